//! How many frames the other side may send in an interval.

use core::time::Duration;

use super::Limits;
use crate::Instant;

/// A budget of frames, whole again at the start of each interval.
#[derive(Debug, Clone)]
pub struct Budget {
    left: u32,
    max: u32,
    interval: Duration,
    renewed: Instant,
}

impl Budget {
    /// A whole budget at `now`.
    #[must_use]
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            left: limits.max_frames,
            max: limits.max_frames,
            interval: limits.budget_interval,
            renewed: now,
        }
    }

    /// Takes one frame out of the budget; `false` when it is used up.
    #[must_use]
    pub fn spend(&mut self, now: Instant) -> bool {
        if now.since(self.renewed) >= self.interval {
            self.left = self.max;
            self.renewed = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}
