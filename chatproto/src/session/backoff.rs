//! Growing pauses with jitter, from a seed: the same seed gives the same pauses.

use core::time::Duration;

use super::Backoff;

/// The pauses of one kind of attempt.
#[derive(Debug, Clone)]
pub(super) struct Pauses {
    config: Backoff,
    failures: u32,
    random: u64,
}

impl Pauses {
    pub(super) fn new(config: Backoff, seed: u64) -> Self {
        Self { config, failures: 0, random: seed }
    }

    /// It worked: the next pause is the first one again.
    pub(super) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The pause after another failure, at least as long as `advised` within the bound for advice.
    pub(super) fn next(&mut self, advised: Duration) -> Duration {
        let growth = self.config.factor.max(1).saturating_pow(self.failures);
        let longest = self.config.first.saturating_mul(growth).min(self.config.max);
        self.failures = self.failures.saturating_add(1);
        // Whoever was given advice was given the same as everybody else, so the jitter goes on top of it.
        advised.min(self.config.max_advised) + self.shorten(longest)
    }

    /// Takes a random part of up to the configured percentage away.
    fn shorten(&mut self, pause: Duration) -> Duration {
        let millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
        let jitter = millis / 100 * u64::from(self.config.jitter.min(100));
        let taken = match jitter {
            0 => 0,
            _ => self.random() % jitter.saturating_add(1),
        };
        Duration::from_millis(millis - taken)
    }

    /// SplitMix64: enough to spread clients, and it cannot get stuck at any seed.
    fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn pauses(seed: u64) -> Vec<u64> {
        let mut pauses = Pauses::new(Backoff::default(), seed);
        (0..12).map(|_| u64::try_from(pauses.next(Duration::ZERO).as_millis()).unwrap()).collect()
    }

    #[test]
    fn pauses_double_up_to_the_longest_and_jitter_takes_at_most_half() {
        for seed in 0..50 {
            for (n, pause) in pauses(seed).into_iter().enumerate() {
                let longest = (500_u64 << n).min(60_000);
                assert!((longest / 2..=longest).contains(&pause), "pause {n} of seed {seed} is {pause} ms");
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_pauses_and_another_seed_others() {
        assert_eq!(pauses(7), pauses(7));
        assert_ne!(pauses(7), pauses(8));
    }

    #[test]
    fn success_begins_anew() {
        let mut pauses = Pauses::new(Backoff { jitter: 0, ..Backoff::default() }, 1);
        assert_eq!(pauses.next(Duration::ZERO), Duration::from_millis(500));
        assert_eq!(pauses.next(Duration::ZERO), Duration::from_secs(1));
        pauses.reset();
        assert_eq!(pauses.next(Duration::ZERO), Duration::from_millis(500));
    }

    #[test]
    fn advice_is_followed_within_its_bound() {
        let config = Backoff { jitter: 0, ..Backoff::default() };
        let mut pauses = Pauses::new(config, 1);
        assert_eq!(pauses.next(Duration::from_secs(5)), Duration::from_millis(5_500));
        let weeks = Duration::from_secs(3_600 * 24 * 21);
        assert_eq!(pauses.next(weeks), config.max_advised + Duration::from_secs(1));
    }

    #[test]
    fn extreme_settings_do_not_overflow() {
        let config = Backoff {
            first: Duration::MAX,
            max: Duration::from_millis(u64::MAX),
            factor: u32::MAX,
            jitter: u8::MAX,
            ..Backoff::default()
        };
        let mut pauses = Pauses::new(config, u64::MAX);
        for _ in 0..100 {
            let _ = pauses.next(Duration::MAX);
        }
        let mut still = Pauses::new(Backoff { first: Duration::ZERO, factor: 0, ..Backoff::default() }, 0);
        assert_eq!(still.next(Duration::ZERO), Duration::ZERO);
    }
}
