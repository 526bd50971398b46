//! A set of counters, kept as ranges: a device counts upwards, so all that it ever said is nearly always one range.

use std::collections::BTreeMap;

/// Counters that were used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    /// The first of each range and its last. Ranges neither overlap nor touch.
    ranges: BTreeMap<u64, u64>,
}

impl Counters {
    /// Adds one. When there are too many ranges, the two lowest become one: what lies between them counts as used too,
    /// which only a device meets that leaves numbers out on purpose and comes back to them much later.
    pub(crate) fn insert(&mut self, counter: u64) {
        self.insert_range(counter, counter);
    }

    pub(super) fn insert_range(&mut self, first: u64, last: u64) {
        let (mut first, mut last) = (first, last);
        // The one before may reach to here, and those behind may begin within or right after it.
        while let Some((&low, &high)) = self.ranges.range(..=last.saturating_add(1)).next_back() {
            if high.saturating_add(1) < first {
                break;
            }
            self.ranges.remove(&low);
            (first, last) = (first.min(low), last.max(high));
        }
        self.ranges.insert(first, last);
        if self.ranges.len() > MAX_RANGES
            && let (Some((low, _)), Some((next, high))) = (self.ranges.pop_first(), self.ranges.pop_first())
        {
            debug_assert!(low < next, "ranges are in order");
            self.ranges.insert(low, high);
        }
    }

    /// Whether it was used.
    pub(crate) fn contains(&self, counter: u64) -> bool {
        self.ranges.range(..=counter).next_back().is_some_and(|(_, last)| counter <= *last)
    }

    /// The ranges, by ascending number.
    pub(super) fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        self.ranges.iter().map(|(first, last)| (*first, *last))
    }
}

/// Ranges that are kept apart for one device, about 50 bytes each. It answers a device that uses every other number.
const MAX_RANGES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(counters: &[u64]) -> Counters {
        let mut set = Counters::default();
        counters.iter().for_each(|counter| set.insert(*counter));
        set
    }

    #[test]
    fn neighbours_become_one_range_whatever_their_order() {
        for order in [[1, 2, 3, 4, 5], [5, 4, 3, 2, 1], [1, 3, 5, 2, 4], [3, 3, 1, 5, 3]] {
            let mut set = of(&order);
            set.insert(2);
            set.insert(4);
            assert_eq!(set.ranges().collect::<Vec<_>>(), [(1, 5)], "{order:?}");
        }
    }

    #[test]
    fn what_was_left_out_is_not_in_it() {
        let set = of(&[1, 2, 5, 9, u64::MAX, 0]);
        assert_eq!(set.ranges().collect::<Vec<_>>(), [(0, 2), (5, 5), (9, 9), (u64::MAX, u64::MAX)]);
        for absent in [3, 4, 6, 8, 10, u64::MAX - 1] {
            assert!(!set.contains(absent), "{absent}");
        }
    }

    #[test]
    fn a_device_that_leaves_numbers_out_costs_a_bounded_number_of_ranges_and_loses_none() {
        let used: Vec<u64> = (0..10_000).map(|n| n * 2).collect();
        let set = of(&used);
        assert_eq!(set.ranges().count(), MAX_RANGES);
        assert!(used.iter().all(|counter| set.contains(*counter)));
        assert!(!set.contains(19_997), "the newest stay apart");
    }
}
