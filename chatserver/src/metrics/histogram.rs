//! Times in buckets.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Upper ends of the buckets: from what a turn of the loop takes to what a disk in trouble takes.
const BOUNDS: [Duration; 14] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(250),
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How often something took how long. Recording costs two uncontended atomic additions; a reader may see a time in its
/// bucket an instant before it sees it in the sum.
#[derive(Debug, Default)]
pub struct Histogram {
    buckets: [AtomicU64; BOUNDS.len()],
    /// Times beyond the last bound.
    beyond: AtomicU64,
    sum_nanos: AtomicU64,
}

impl Histogram {
    /// Counts one time.
    pub fn record(&self, time: Duration) {
        let bucket = BOUNDS.iter().zip(&self.buckets).find(|(bound, _)| time <= **bound);
        bucket.map_or(&self.beyond, |(_, bucket)| bucket).fetch_add(1, Relaxed);
        // 584 years of time before it wraps.
        self.sum_nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Each bound with the number of times up to it, then the number of all times, then their sum.
    pub(super) fn snapshot(&self) -> (Vec<(Duration, u64)>, u64, Duration) {
        let mut count = 0;
        let up_to = |(bound, bucket): (&Duration, &AtomicU64)| {
            count += bucket.load(Relaxed);
            (*bound, count)
        };
        let buckets = BOUNDS.iter().zip(&self.buckets).map(up_to).collect();
        let count = count + self.beyond.load(Relaxed);
        (buckets, count, Duration::from_nanos(self.sum_nanos.load(Relaxed)))
    }
}
