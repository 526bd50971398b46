//! Latencies: a histogram whose size does not grow with what it counts.

/// Each power of two is cut into so many buckets, so that a value is told to within one part of this.
const STEPS: u64 = 1 << STEP_BITS;

/// Bits of a step's number.
const STEP_BITS: u32 = 6;

/// Buckets for every value there is.
const BUCKETS: usize = (64 - STEP_BITS as usize + 1) << STEP_BITS;

/// Counts of values, exact below 64 and to within 1/64 above.
#[derive(Clone, Debug)]
pub struct Histogram {
    counts: Vec<u64>,
    total: u64,
    max: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { counts: vec![0; BUCKETS], total: 0, max: 0 }
    }
}

impl Histogram {
    /// Counts one value.
    pub fn record(&mut self, value: u64) {
        if let Some(count) = self.counts.get_mut(bucket(value)) {
            *count += 1;
        }
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// How many values were counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly; 0 if there is none.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The value that `per_mille` of a thousand values do not exceed; 0 if there is none.
    #[must_use]
    pub fn quantile(&self, per_mille: u64) -> u64 {
        let wanted = (u128::from(self.total) * u128::from(per_mille)).div_ceil(1000).max(1);
        let mut seen = 0;
        for (at, count) in self.counts.iter().enumerate() {
            seen += u128::from(*count);
            if seen >= wanted {
                return upper(at).min(self.max);
            }
        }
        self.max
    }
}

fn bucket(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(STEP_BITS + 1);
    let step = value >> shift;
    usize::try_from(u64::from(shift) * STEPS + step).unwrap_or(BUCKETS)
}

/// The largest value of a bucket.
fn upper(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let shift = (bucket / STEPS).saturating_sub(1);
    let step = bucket - shift * STEPS;
    (((u128::from(step) + 1) << shift) - 1).try_into().unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_falls_into_a_bucket_that_tells_it_to_one_part_in_sixty_four() {
        let values = (0..64).flat_map(|bits| {
            let power = 1_u64 << bits;
            [power - 1, power, power + power / 3, power + (power - 1)]
        });
        for value in values.chain([u64::MAX]) {
            let bucket = bucket(value);
            assert!(bucket < BUCKETS, "{value}");
            let told = upper(bucket);
            assert!(told >= value && told - value <= value / STEPS, "{value} is told as {told}");
        }
    }

    #[test]
    fn quantiles_of_a_thousand_values() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(500), 0);
        (1..=1000).for_each(|value| histogram.record(value * 1000));
        for (per_mille, exact) in [(500, 500_000), (950, 950_000), (990, 990_000), (1000, 1_000_000)] {
            let told = histogram.quantile(per_mille);
            assert!(told >= exact && told <= exact + exact / STEPS, "{per_mille}: {told}");
        }
        assert_eq!((histogram.total(), histogram.max()), (1000, 1_000_000));
    }
}
