//! Budgets that come back with time, one for each key: how often somebody may try.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    time::{Duration, Instant},
};

/// Keys remembered at once, twice this many at most: about 4 MiB. Answers an attacker with many addresses; past it the
/// oldest are forgotten, which forgives them.
const MAX_KEYS: usize = 16_384;

/// `burst` tries at once, and one more each `refill`, for each key. Takes time as a value.
#[derive(Debug)]
pub struct Budget<K> {
    burst: u32,
    refill: Duration,
    /// When everything that was spent will have come back, by key. Two maps that take turns: what was not touched for as
    /// long as a whole budget takes to come back is as good as new, and goes with its map.
    fresh: HashMap<K, Instant>,
    stale: HashMap<K, Instant>,
    turned: Instant,
}

impl<K> Budget<K> {
    /// The most that one costs in memory, in bytes, keys that own more not counted: two tables, which grow by doubling and
    /// are filled to seven eighths at most.
    pub const WORST_CASE_BYTES: usize = 2 * 2 * MAX_KEYS * 8 / 7 * (size_of::<(K, Instant)>() + 1);
}

impl<K: Hash + Eq + Clone> Budget<K> {
    /// A budget that nobody has touched. A `burst` of 0 counts as 1.
    #[must_use]
    pub fn new(burst: u32, refill: Duration, now: Instant) -> Self {
        Self { burst: burst.max(1), refill, fresh: HashMap::new(), stale: HashMap::new(), turned: now }
    }

    /// Whether there is a try left.
    ///
    /// # Errors
    /// When there is none: how long until there is one.
    pub fn ask(&self, key: &K, now: Instant) -> Result<(), Duration> {
        let allowed = self.refill * (self.burst - 1);
        let spent = self.back(key, now).saturating_duration_since(now);
        spent.checked_sub(allowed).filter(|wait| !wait.is_zero()).map_or(Ok(()), Err)
    }

    /// How many tries there are.
    #[must_use]
    pub fn left(&self, key: &K, now: Instant) -> u32 {
        let spent = self.back(key, now).saturating_duration_since(now).as_nanos();
        let spent = spent.div_ceil(self.refill.as_nanos().max(1));
        self.burst.saturating_sub(u32::try_from(spent).unwrap_or(u32::MAX))
    }

    /// Spends a try, also one that is not there: then it takes the longer until there is one again, as long as the whole
    /// budget needs to come back at most.
    pub fn charge(&mut self, key: K, now: Instant) {
        self.turn(now);
        // More would be forgotten before it is paid: what nobody touches is kept for one whole budget.
        let back = (self.back(&key, now) + self.refill).min(now + self.refill * self.burst);
        self.stale.remove(&key);
        self.fresh.insert(key, back);
    }

    /// Takes other bounds. What was spent stays spent.
    pub fn set_limits(&mut self, burst: u32, refill: Duration) {
        self.burst = burst.max(1);
        self.refill = refill;
    }

    /// Spends one try.
    ///
    /// # Errors
    /// When there is none left: how long until there is one.
    pub fn spend(&mut self, key: K, now: Instant) -> Result<(), Duration> {
        self.ask(&key, now)?;
        self.charge(key, now);
        Ok(())
    }

    fn back(&self, key: &K, now: Instant) -> Instant {
        self.fresh.get(key).or_else(|| self.stale.get(key)).copied().unwrap_or(now).max(now)
    }

    fn turn(&mut self, now: Instant) {
        let whole = self.refill * self.burst;
        if self.fresh.len() >= MAX_KEYS || now.saturating_duration_since(self.turned) >= whole {
            self.stale = std::mem::take(&mut self.fresh);
            self.turned = now;
        }
    }
}

/// Where tries come from: an IPv4 address, or the part of an IPv6 address that one customer has.
#[must_use]
pub fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_burst_is_allowed_and_comes_back_one_by_one() {
        let start = Instant::now();
        let mut budget = Budget::new(3, SECOND, start);
        for _ in 0..3 {
            assert_eq!(budget.spend("a", start), Ok(()));
        }
        assert_eq!(budget.spend("a", start), Err(SECOND));
        assert_eq!(budget.spend("b", start), Ok(()), "each key has its own");
        assert_eq!(budget.spend("a", start + SECOND), Ok(()));
        assert_eq!(budget.spend("a", start + SECOND), Err(SECOND));
        assert_eq!(budget.spend("a", start + 60 * SECOND), Ok(()));
    }

    #[test]
    fn refused_tries_cost_nothing_and_a_debt_takes_longer() {
        let start = Instant::now();
        let mut budget = Budget::new(1, SECOND, start);
        assert_eq!(budget.spend(1, start), Ok(()));
        for _ in 0..100 {
            assert_eq!(budget.spend(1, start), Err(SECOND));
        }
        let mut budget = Budget::new(2, SECOND, start);
        (0..100).for_each(|_| budget.charge(1, start));
        assert_eq!((budget.left(&1, start), budget.ask(&1, start)), (0, Err(SECOND)));
        // Nothing is owed that others' charges would make it forget.
        assert_eq!(budget.spend(2, start + 2 * SECOND), Ok(()));
        assert_eq!(budget.spend(3, start + 4 * SECOND), Ok(()));
        assert_eq!(budget.left(&1, start + 4 * SECOND), 2);
    }

    #[test]
    fn as_many_are_left_as_may_be_spent() {
        let start = Instant::now();
        let mut budget = Budget::new(3, SECOND, start);
        for left in (0..3).rev() {
            assert_eq!(budget.spend("a", start), Ok(()));
            assert_eq!(budget.left(&"a", start), left);
        }
        assert_eq!(budget.left(&"a", start + SECOND / 2), 0);
        assert_eq!(budget.left(&"a", start + 2 * SECOND), 2);
        assert_eq!(budget.left(&"b", start), 3);
    }

    #[test]
    fn a_clock_that_jumps_gives_no_more_than_a_whole_budget_and_takes_no_more_than_was_spent() {
        let day = 24 * 60 * 60 * SECOND;
        let start = Instant::now() + day;
        let mut budget = Budget::new(3, SECOND, start);
        for _ in 0..3 {
            assert_eq!(budget.spend("a", start), Ok(()));
        }
        let spent = |budget: &mut Budget<_>, now| (0..10).filter(|_| budget.spend("a", now).is_ok()).count();
        assert_eq!(spent(&mut budget, start + day), 3, "no more than the burst after a day");
        // Put back: what was spent is owed until that time comes again, and the other keys owe nothing.
        assert!(budget.spend("a", start).is_err());
        assert_eq!(budget.spend("b", start), Ok(()));
        assert_eq!(spent(&mut budget, start + 2 * day), 3);
    }

    #[test]
    fn memory_is_bounded_and_what_is_new_is_kept() {
        let start = Instant::now();
        let mut budget = Budget::new(1, 1000 * SECOND, start);
        for key in 0..5 * MAX_KEYS {
            assert_eq!(budget.spend(key, start), Ok(()));
            assert!(budget.fresh.len() + budget.stale.len() <= 2 * MAX_KEYS);
        }
        assert!(budget.spend(5 * MAX_KEYS - 1, start).is_err());
    }

    #[test]
    fn what_is_not_touched_for_long_is_forgotten_and_not_before() {
        let start = Instant::now();
        let mut budget = Budget::new(10, SECOND, start);
        for _ in 0..10 {
            assert_eq!(budget.spend(1, start), Ok(()));
        }
        let nearly = start + 9 * SECOND;
        assert_eq!(budget.spend(2, nearly), Ok(()));
        assert_eq!(budget.spend(2, start + 10 * SECOND), Ok(()));
        assert!(budget.stale.contains_key(&1));
        assert_eq!(budget.spend(2, start + 20 * SECOND), Ok(()));
        assert!(!budget.stale.contains_key(&1));
    }

    #[test]
    fn neighbours_in_one_ipv6_network_share_a_budget() {
        let at = |text: &str| origin(text.parse().unwrap());
        assert_eq!(at("2001:db8::1"), at("2001:db8::ffff:2"));
        assert_ne!(at("2001:db8::1"), at("2001:db8:0:1::1"));
        assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
        assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    }
}
