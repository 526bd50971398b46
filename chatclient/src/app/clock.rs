//! The machines' time.

use chatproto::Instant;
use std::time::Duration;

/// Translates between the system's monotonic clock and the machines' instants.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    zero: std::time::Instant,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self { zero: std::time::Instant::now() }
    }

    pub(super) fn now(self) -> Instant {
        Instant::from_millis(u64::try_from(self.zero.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// When the loop must turn for a machine's deadline. Rounded up by the machines' resolution, so that it has come
    /// when the loop looks.
    pub(super) fn system(self, at: Instant) -> std::time::Instant {
        self.zero + Duration::from_millis(at.as_millis())
    }
}
