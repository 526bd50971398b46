//! Whom a listener takes in: how often, and how many at once, from one address and in all.
//!
//! A machine without I/O: time comes in as a value. What it costs is bounded by the budgets' tables and by
//! [`NetConfig::max_handshakes`](crate::NetConfig::max_handshakes), however many addresses an attacker has.

use std::{
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::IpAddr,
    time::Instant,
};

use crate::{Budget, NetConfig, budget::origin};

/// Callers that were turned away, since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TurnedAway {
    /// Their address called too often.
    pub too_often: u64,
    /// All addresses together called too often.
    pub too_many: u64,
    /// Their address had too many TLS handshakes under way.
    pub half_open: u64,
}

/// Decides about callers; `K` names a connection.
#[derive(Debug)]
pub(crate) struct Admission<K> {
    here: Budget<IpAddr>,
    anywhere: Budget<()>,
    max_handshakes: usize,
    taken_in: u64,
    handshakes: HashMap<K, (IpAddr, u64)>,
    /// The same in the order in which they began, and when.
    order: BTreeMap<u64, (K, Instant)>,
    begun: u64,
    /// How many of them each address has; never zero.
    origins: HashMap<IpAddr, usize>,
    turned_away: TurnedAway,
}

impl<K: Hash + Eq + Copy> Admission<K> {
    pub(crate) fn new(config: &NetConfig, now: Instant) -> Self {
        Self {
            here: Budget::new(config.accepts_per_address, config.accept_refill_per_address, now),
            anywhere: Budget::new(config.accepts, config.accept_refill, now),
            max_handshakes: config.max_handshakes_per_address,
            taken_in: 0,
            handshakes: HashMap::new(),
            order: BTreeMap::new(),
            begun: 0,
            origins: HashMap::new(),
            turned_away: TurnedAway::default(),
        }
    }

    /// Takes other bounds. What was spent stays spent.
    pub(crate) fn configure(&mut self, config: &NetConfig) {
        self.here.set_limits(config.accepts_per_address, config.accept_refill_per_address);
        self.anywhere.set_limits(config.accepts, config.accept_refill);
        self.max_handshakes = config.max_handshakes_per_address;
    }

    /// Whether a caller from `ip` is taken in. One address that calls too often spends nothing of what all have together.
    pub(crate) fn admits(&mut self, ip: IpAddr, now: Instant) -> bool {
        let origin = origin(ip);
        let counter = if self.here.spend(origin, now).is_err() {
            &mut self.turned_away.too_often
        } else if self.origins.get(&origin).is_some_and(|count| *count >= self.max_handshakes) {
            &mut self.turned_away.half_open
        } else if self.anywhere.spend((), now).is_err() {
            &mut self.turned_away.too_many
        } else {
            self.taken_in += 1;
            return true;
        };
        *counter += 1;
        false
    }

    /// A caller that was taken in begins its TLS handshake.
    pub(crate) fn begins(&mut self, conn: K, ip: IpAddr, now: Instant) {
        let origin = origin(ip);
        *self.origins.entry(origin).or_default() += 1;
        self.begun += 1;
        self.handshakes.insert(conn, (origin, self.begun));
        self.order.insert(self.begun, (conn, now));
    }

    /// The handshake that began first, and when.
    pub(crate) fn oldest(&self) -> Option<(K, Instant)> {
        self.order.first_key_value().map(|(_, oldest)| *oldest)
    }

    /// A connection is through its handshake, or gone.
    pub(crate) fn ends(&mut self, conn: &K) {
        let Some((origin, number)) = self.handshakes.remove(conn) else { return };
        self.order.remove(&number);
        if let Some(count) = self.origins.get_mut(&origin) {
            *count -= 1;
            if *count == 0 {
                self.origins.remove(&origin);
            }
        }
    }

    /// Callers that were taken in, since the start.
    pub(crate) fn taken_in(&self) -> u64 {
        self.taken_in
    }

    pub(crate) fn turned_away(&self) -> TurnedAway {
        self.turned_away
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn admission(change: impl FnOnce(&mut NetConfig)) -> (Admission<u32>, Instant) {
        let mut config = NetConfig {
            accepts_per_address: 3,
            accept_refill_per_address: SECOND,
            accepts: 5,
            accept_refill: SECOND / 10,
            max_handshakes_per_address: 100,
            ..NetConfig::default()
        };
        change(&mut config);
        let now = Instant::now();
        (Admission::new(&config, now), now)
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn who_calls_too_often_is_turned_away_and_takes_nothing_from_others() {
        let (mut admission, start) = admission(|_| {});
        let taken = (0..1000).filter(|_| admission.admits(ip("192.0.2.1"), start)).count();
        assert_eq!(taken, 3);
        assert_eq!(admission.turned_away(), TurnedAway { too_often: 997, ..TurnedAway::default() });
        assert!(admission.admits(ip("192.0.2.2"), start));
        assert!(admission.admits(ip("192.0.2.2"), start));
        // Now all of them together have.
        assert!(!admission.admits(ip("192.0.2.3"), start));
        assert_eq!(admission.turned_away().too_many, 1);
        assert!(admission.admits(ip("192.0.2.4"), start + SECOND / 10));
        assert!(admission.admits(ip("192.0.2.1"), start + SECOND));
        assert!(!admission.admits(ip("192.0.2.1"), start + SECOND));
    }

    #[test]
    fn neighbours_in_one_network_are_one_caller() {
        let (mut admission, start) = admission(|_| {});
        let taken = (0..100).filter(|n| admission.admits(ip(&format!("2001:db8::{n:x}")), start)).count();
        assert_eq!(taken, 3);
        assert!(admission.admits(ip("2001:db8:0:1::1"), start));
    }

    #[test]
    fn silent_handshakes_of_one_address_leave_room_for_others() {
        let (mut admission, start) = admission(|config| {
            config.accepts_per_address = 100;
            config.accepts = 100;
            config.max_handshakes_per_address = 2;
        });
        for conn in 0..2 {
            assert!(admission.admits(ip("192.0.2.1"), start));
            admission.begins(conn, ip("192.0.2.1"), start);
        }
        assert!(!admission.admits(ip("192.0.2.1"), start));
        assert_eq!(admission.turned_away().half_open, 1);
        assert!(admission.admits(ip("192.0.2.2"), start));
        admission.begins(2, ip("192.0.2.2"), start + SECOND);
        assert_eq!(admission.oldest(), Some((0, start)));
        admission.ends(&0);
        assert_eq!(admission.oldest(), Some((1, start)));
        assert!(admission.admits(ip("192.0.2.1"), start));
        // A second end is none, and what has ended is forgotten.
        for conn in [0, 0, 1, 2] {
            admission.ends(&conn);
        }
        assert!(admission.handshakes.is_empty() && admission.origins.is_empty());
        assert_eq!(admission.oldest(), None);
    }

    #[test]
    fn other_bounds_hold_at_once() {
        let (mut admission, start) = admission(|_| {});
        assert_eq!((0..10).filter(|_| admission.admits(ip("192.0.2.1"), start)).count(), 3);
        let wider =
            NetConfig { accepts_per_address: 6, accept_refill_per_address: SECOND, ..NetConfig::default() };
        admission.configure(&wider);
        assert_eq!(
            (0..10).filter(|_| admission.admits(ip("192.0.2.1"), start)).count(),
            3,
            "the rest of six"
        );
    }
}
