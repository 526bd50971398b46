//! Deadlines by key.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

/// Deadlines, at most one per key, earliest first; equal ones in the order of their keys.
///
/// Setting, cancelling and taking are logarithmic in the number of keys that have a deadline.
///
/// ```
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut timers = chatnet::Timers::default();
/// timers.set("ping", now + Duration::from_secs(30));
/// timers.set("idle", now);
/// assert_eq!(timers.take_due(now), Some("idle"));
/// assert_eq!(timers.take_due(now), None);
/// assert_eq!(timers.next_deadline(), Some(now + Duration::from_secs(30)));
/// ```
#[derive(Clone, Debug)]
pub struct Timers<K> {
    by_key: BTreeMap<K, Instant>,
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Copy + Ord> Timers<K> {
    /// Sets the deadline of `key`, in place of an earlier one.
    pub fn set(&mut self, key: K, deadline: Instant) {
        self.cancel(key);
        self.by_key.insert(key, deadline);
        self.by_time.insert((deadline, key));
    }

    /// Forgets the deadline of `key`, if it has one.
    pub fn cancel(&mut self, key: K) {
        if let Some(deadline) = self.by_key.remove(&key) {
            self.by_time.remove(&(deadline, key));
        }
    }

    /// The earliest deadline.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.by_time.first().map(|(deadline, _)| *deadline)
    }

    /// Takes the earliest key whose deadline is not after `now`.
    pub fn take_due(&mut self, now: Instant) -> Option<K> {
        let (deadline, key) = *self.by_time.first()?;
        if deadline > now {
            return None;
        }
        self.cancel(key);
        Some(key)
    }
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_key_has_one_deadline_and_the_last_one_counts() {
        let now = Instant::now();
        let mut timers = Timers::default();
        timers.set(1, now);
        timers.set(1, now + Duration::from_secs(2));
        timers.set(2, now + Duration::from_secs(1));
        assert_eq!(timers.take_due(now), None);
        assert_eq!(timers.next_deadline(), Some(now + Duration::from_secs(1)));
        let later = now + Duration::from_secs(5);
        assert_eq!(timers.take_due(later), Some(2));
        timers.cancel(1);
        assert_eq!(timers.take_due(later), None);
        assert_eq!(timers.next_deadline(), None);
    }
}
