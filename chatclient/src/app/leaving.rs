//! The end of the program: the last bytes leave, and what is being written is written, each for so long and no longer.

use std::time::{Duration, Instant};

/// Time that the last bytes, on all connections, have to leave at the end.
const FAREWELL: Duration = Duration::from_secs(3);

/// Time after it for files whose bytes a worker has: what gets its name without being noted would come a second time in the next
/// run. A disk that hangs longer does not keep the program.
const LAST_WRITES: Duration = Duration::from_secs(10);

/// Since when the end has begun, as what it still waits for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Leaving {
    bytes_until: Instant,
    writes_until: Instant,
}

impl Leaving {
    pub(super) fn begin(now: Instant) -> Self {
        let bytes_until = now + FAREWELL;
        Self { bytes_until, writes_until: bytes_until + LAST_WRITES }
    }

    /// Whoever asks twice does not want to wait.
    pub(super) fn at_once(now: Instant) -> Self {
        Self { bytes_until: now, writes_until: now }
    }

    /// Whether nothing new is begun any more.
    pub(super) fn is_late(self, now: Instant) -> bool {
        now >= self.bytes_until
    }

    /// Whether it is waited for no longer, with or without somebody who writes.
    pub(super) fn is_over(self, now: Instant, is_writing: bool) -> bool {
        now >= self.until(now, is_writing)
    }

    /// When to look again.
    pub(super) fn until(self, now: Instant, is_writing: bool) -> Instant {
        if is_writing && self.is_late(now) { self.writes_until } else { self.bytes_until }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_waited_for_a_little_longer_than_the_network() {
        let now = Instant::now();
        let leaving = Leaving::begin(now);
        assert!(!leaving.is_over(now, false));
        assert_eq!(leaving.until(now, true), now + FAREWELL, "the network is given up first");
        let late = now + FAREWELL;
        assert!(leaving.is_late(late) && leaving.is_over(late, false) && !leaving.is_over(late, true));
        assert_eq!(leaving.until(late, true), late + LAST_WRITES);
        assert!(leaving.is_over(late + LAST_WRITES, true));
    }

    #[test]
    fn who_asks_twice_waits_for_nothing() {
        let now = Instant::now();
        assert!(Leaving::at_once(now).is_over(now, true));
    }
}
