//! How many bytes may pass: a bucket that fills with time.

use std::time::{Duration, Instant};

/// A rate as a bucket of tokens. What was taken beyond its content is owed, and made good before more is given.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    bytes_per_second: u64,
    /// Most that it holds: what may pass at once after a while of silence.
    burst: u64,
    /// What it holds, in bytes times [`SECOND`]; negative while something is owed.
    level: i128,
    at: Instant,
}

/// Nanoseconds in a second: content is counted in bytes times this, so that nothing is lost to rounding.
const SECOND: i128 = 1_000_000_000;

impl Bucket {
    /// A full bucket; `burst` is in bytes.
    pub(super) fn new(bytes_per_second: u64, burst: u64, now: Instant) -> Self {
        let burst = burst.max(1);
        Self { bytes_per_second: bytes_per_second.max(1), burst, level: i128::from(burst) * SECOND, at: now }
    }

    /// How many bytes may pass now.
    pub(super) fn available(&mut self, now: Instant) -> u64 {
        self.fill(now);
        u64::try_from(self.level / SECOND).unwrap_or(0)
    }

    /// So many bytes have passed.
    pub(super) fn take(&mut self, bytes: u64, now: Instant) {
        self.fill(now);
        self.level -= i128::from(bytes) * SECOND;
    }

    /// When a byte may pass; `now` if one may already. Whoever was held back a moment ago comes back then, and not never because it
    /// has filled meanwhile.
    pub(super) fn ready_at(&mut self, now: Instant) -> Instant {
        self.fill(now);
        let missing = SECOND - self.level;
        if missing <= 0 {
            return now;
        }
        let wait = missing.div_euclid(i128::from(self.bytes_per_second)) + 1;
        now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.at).as_nanos();
        let gained =
            i128::try_from(elapsed).unwrap_or(i128::MAX).saturating_mul(self.bytes_per_second.into());
        self.level = self.level.saturating_add(gained).min(i128::from(self.burst) * SECOND);
        self.at = self.at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(start: Instant, millis: u64) -> Instant {
        start + Duration::from_millis(millis)
    }

    #[test]
    fn over_time_no_more_passes_than_the_rate_and_one_burst() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100, start);
        let mut passed = 0;
        for millis in 0..=10_000 {
            let now = after(start, millis);
            if bucket.available(now) > 0 {
                // As a frame does, which is longer than what is left.
                bucket.take(333, now);
                passed += 333;
            }
        }
        assert!((10_000..=10_000 + 100 + 333).contains(&passed), "{passed}");
    }

    #[test]
    fn it_tells_when_to_come_back() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1000, 100, start);
        assert_eq!(bucket.ready_at(start), start);
        bucket.take(600, start);
        let ready = bucket.ready_at(start);
        assert!(ready > after(start, 500) && ready < after(start, 502), "{:?}", ready - start);
        assert_eq!(bucket.available(after(start, 500)), 0);
        assert_eq!((bucket.available(ready), bucket.ready_at(ready)), (1, ready));
        assert_eq!(bucket.available(after(start, 60_000)), 100, "silence saves up one burst");
        assert_eq!(bucket.available(start), 100, "time does not go back");
    }
}
