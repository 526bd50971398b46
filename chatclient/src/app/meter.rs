//! How fast transfers move.

use std::time::{Duration, Instant};

/// How fast something moves, over the last moments.
#[derive(Debug)]
pub(super) struct Meter {
    at: Instant,
    bytes: u64,
    speed: Option<u64>,
}

/// The speed is told over at least so long.
const METER_INTERVAL: Duration = Duration::from_millis(500);

impl Meter {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, bytes: 0, speed: None }
    }

    /// Bytes a second, given how many there are now.
    pub(super) fn measure(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed >= METER_INTERVAL {
            let gained = u128::from(bytes.saturating_sub(self.bytes));
            let speed = gained * 1000 / elapsed.as_millis().max(1);
            self.speed = Some(u64::try_from(speed).unwrap_or(u64::MAX));
            (self.at, self.bytes) = (now, bytes);
        }
        self.speed
    }
}
