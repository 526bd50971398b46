//! Whom a listener takes in: how often, and how many at once, from one address and in all.
//!
//! A machine without I/O: time comes in as a value. What it costs is bounded by the budgets' tables and by
//! [`NetConfig::max_handshakes`](crate::NetConfig::max_handshakes), however many addresses an attacker has.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap},
    hash::Hash,
    net::IpAddr,
    time::{Duration, Instant},
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

/// How far a handshake can come before it is over: nothing whole was heard, or the caller's hello was.
const STEPS: usize = 2;

/// Part of the grace for who has not said hello: that comes right behind the connection, whatever the distance.
const SILENT_PART: u32 = 8;

/// Of those who could give way, so many are compared, those who have waited for longest: a caller costs no more work than that.
const MAX_LOOKED_AT: usize = 256;

/// A TLS handshake under way.
#[derive(Debug)]
struct Handshake {
    origin: IpAddr,
    step: usize,
    /// Its place in the order of its step.
    number: u64,
}

/// Decides about callers; `K` names a connection.
#[derive(Debug)]
pub(crate) struct Admission<K> {
    here: Budget<IpAddr>,
    anywhere: Budget<()>,
    max_handshakes: usize,
    /// For how long each step is left alone, when others want the place.
    grace: [Duration; STEPS],
    taken_in: u64,
    handshakes: HashMap<K, Handshake>,
    /// The same by the steps that they have made, in the order in which they made them, and when.
    order: [BTreeMap<u64, (K, Instant)>; STEPS],
    numbers: u64,
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
            grace: grace(config),
            taken_in: 0,
            handshakes: HashMap::new(),
            order: Default::default(),
            numbers: 0,
            origins: HashMap::new(),
            turned_away: TurnedAway::default(),
        }
    }

    /// Takes other bounds. What was spent stays spent.
    pub(crate) fn configure(&mut self, config: &NetConfig) {
        self.here.set_limits(config.accepts_per_address, config.accept_refill_per_address);
        self.anywhere.set_limits(config.accepts, config.accept_refill);
        self.max_handshakes = config.max_handshakes_per_address;
        self.grace = grace(config);
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
        self.numbers += 1;
        self.handshakes.insert(conn, Handshake { origin, step: 0, number: self.numbers });
        let [first, ..] = &mut self.order;
        first.insert(self.numbers, (conn, now));
    }

    /// A caller has said a whole hello, and is answered.
    pub(crate) fn advances(&mut self, conn: &K, now: Instant) {
        let Some(handshake) = self.handshakes.get_mut(conn) else { return };
        if handshake.step + 1 < STEPS {
            self.numbers += 1;
            let before = std::mem::replace(&mut handshake.number, self.numbers);
            if let Some(order) = self.order.get_mut(handshake.step) {
                order.remove(&before);
            }
            handshake.step += 1;
            if let Some(order) = self.order.get_mut(handshake.step) {
                order.insert(self.numbers, (*conn, now));
            }
        }
    }

    /// Which handshake gives way to a caller when there is no room for one more: of those that have been waited for longer
    /// than they are left alone, those that have come least far; of these one of the address with most; of these the one that
    /// has waited for longest. Nobody gives way whose words are `unheard`: it is not the caller who is late.
    pub(crate) fn gives_way(&self, now: Instant, unheard: impl Fn(&K) -> bool) -> Option<K> {
        self.order.iter().zip(self.grace).find_map(|(order, grace)| {
            let overdue = order.values().take(MAX_LOOKED_AT);
            let overdue = overdue.take_while(|(_, since)| now.saturating_duration_since(*since) >= grace);
            let late = overdue.map(|(conn, _)| conn).filter(|conn| !unheard(conn));
            late.min_by_key(|conn| Reverse(self.handshakes_beside(conn))).copied()
        })
    }

    /// When the next handshake has had its time, unless it gets on.
    pub(crate) fn next_overdue(&self) -> Option<Instant> {
        let firsts = self.order.iter().zip(self.grace).filter_map(|(order, grace)| {
            let (_, (_, since)) = order.first_key_value()?;
            Some(*since + grace)
        });
        firsts.min()
    }

    /// How many handshakes the address of this one has.
    fn handshakes_beside(&self, conn: &K) -> usize {
        let origin = self.handshakes.get(conn).map(|handshake| handshake.origin);
        origin.and_then(|origin| self.origins.get(&origin)).copied().unwrap_or_default()
    }

    /// A connection is through its handshake, or gone.
    pub(crate) fn ends(&mut self, conn: &K) {
        let Some(Handshake { origin, step, number }) = self.handshakes.remove(conn) else { return };
        if let Some(order) = self.order.get_mut(step) {
            order.remove(&number);
        }
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

fn grace(config: &NetConfig) -> [Duration; STEPS] {
    [config.handshake_grace / SILENT_PART, config.handshake_grace]
}

#[cfg(test)]
mod tests {
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
        admission.ends(&0);
        assert!(admission.admits(ip("192.0.2.1"), start));
        // A second end is none, and what has ended is forgotten.
        for conn in [0, 0, 1, 2] {
            admission.ends(&conn);
        }
        assert!(admission.handshakes.is_empty() && admission.origins.is_empty());
        assert!(admission.order.iter().all(BTreeMap::is_empty));
        assert_eq!(admission.next_overdue(), None);
    }

    /// Who gives way at `now`, if all that is said is heard.
    fn next(admission: &Admission<u32>, now: Instant) -> Option<u32> {
        admission.gives_way(now, |_| false)
    }

    #[test]
    fn who_gets_on_is_left_alone_for_longer_than_who_says_nothing() {
        let (mut admission, start) = admission(|_| {});
        admission.begins(0, ip("192.0.2.1"), start);
        admission.begins(1, ip("192.0.2.2"), start);
        admission.advances(&0, start);
        admission.advances(&7, start);
        assert_eq!(next(&admission, start + SECOND / 8 - Duration::from_nanos(1)), None);
        assert_eq!(admission.next_overdue(), Some(start + SECOND / 8));
        assert_eq!(next(&admission, start + SECOND / 8), Some(1));
        // What it says may be here, and only not have had its turn.
        assert_eq!(admission.gives_way(start + SECOND / 8, |conn| *conn == 1), None);
        admission.advances(&1, start + SECOND / 8);
        assert_eq!(next(&admission, start + SECOND / 2), None);
        // A second answer is no step: nobody stays for ever.
        admission.advances(&0, start + SECOND / 2);
        assert_eq!(admission.next_overdue(), Some(start + SECOND));
        assert_eq!(next(&admission, start + SECOND), Some(0));
        // Who has come less far goes first, even if another waits for longer.
        admission.begins(2, ip("192.0.2.3"), start + SECOND / 2);
        assert_eq!(next(&admission, start + SECOND), Some(2));
        (0..3).for_each(|conn| admission.ends(&conn));
        assert_eq!((next(&admission, start + 10 * SECOND), admission.next_overdue()), (None, None));
    }

    #[test]
    fn the_address_with_most_handshakes_gives_way_first() {
        let (mut admission, start) = admission(|_| {});
        admission.begins(0, ip("192.0.2.1"), start);
        for conn in 1..4 {
            admission.begins(conn, ip("192.0.2.2"), start + SECOND / 100 * conn);
        }
        let late = start + SECOND;
        let order = std::iter::from_fn(|| {
            let conn = next(&admission, late)?;
            admission.ends(&conn);
            Some(conn)
        });
        // Then it has no more than the other.
        assert_eq!(order.collect::<Vec<_>>(), [1, 2, 0, 3]);
    }

    /// A crowd of a thousand addresses that calls again and again and says nothing whole, and somebody who needs a second for a
    /// handshake: that place is found in the time that the silent are left alone, and kept.
    #[test]
    fn who_gets_on_finds_a_place_and_keeps_it_however_many_drip() {
        const PLACES: usize = 16;
        const MILLI: Duration = Duration::from_millis(1);
        let (mut admission, start) = admission(|config| config.accepts = u32::MAX);
        let crowd = |number: u32| ip(&format!("10.0.{}.{}", number % 1000 / 250, number % 250));
        let (mut here, mut number, mut waited, mut served) = (Vec::new(), 0, 0, 0);
        let mut visitor: Option<(u32, Instant)> = None;
        for milli in 0..20_000 {
            let now = start + MILLI * milli;
            if let Some((conn, since)) = visitor {
                assert!(here.contains(&conn), "the place is kept");
                if now - since == 100 * MILLI {
                    admission.advances(&conn, now);
                } else if now - since == 1000 * MILLI {
                    admission.ends(&conn);
                    here.retain(|other| *other != conn);
                    visitor = None;
                    served += 1;
                }
            }
            // One of the crowd calls each millisecond, and before it whoever wants to log in, if it has waited for longer.
            for is_visitor in [true, false] {
                if is_visitor && visitor.is_some() {
                    continue;
                }
                if here.len() == PLACES {
                    let Some(conn) = next(&admission, now) else {
                        waited += u32::from(is_visitor);
                        continue;
                    };
                    admission.ends(&conn);
                    here.retain(|other| *other != conn);
                }
                number += 1;
                let from = if is_visitor { ip("192.0.2.1") } else { crowd(number) };
                admission.begins(number, from, now);
                here.push(number);
                if is_visitor {
                    waited = 0;
                    visitor = Some((number, now));
                }
            }
            assert!(waited <= 125, "longer than one is left alone who says nothing");
        }
        assert!(served >= 17, "{served} in 20 seconds");
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
