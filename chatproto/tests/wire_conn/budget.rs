//! Floods of cheap frames.

use core::time::Duration;

use chatproto::Instant;
use chatproto::conn::{Budget, Limits};
use proptest::prelude::*;

const START: Instant = Instant::from_millis(5);

#[test]
fn a_budget_ends_and_is_whole_again_in_the_next_interval() {
    let limits = Limits { max_frames: 3, budget_interval: Duration::from_secs(1), ..Limits::default() };
    let mut budget = Budget::new(&limits, START);
    let spent: Vec<_> = (0..5).map(|_| budget.spend(START)).collect();
    assert_eq!(spent, [true, true, true, false, false]);
    assert!(!budget.spend(START + Duration::from_millis(999)));
    let next = START + Duration::from_secs(1);
    let spent: Vec<_> = (0..4).map(|_| budget.spend(next)).collect();
    assert_eq!(spent, [true, true, true, false]);
}

#[test]
fn a_budget_of_nothing_allows_nothing() {
    let limits = Limits { max_frames: 0, ..Limits::default() };
    assert!(!Budget::new(&limits, START).spend(START));
}

proptest! {
    /// A burst at the end of one interval and one at the start of the next are the most that can come together.
    #[test]
    fn no_stretch_of_an_interval_allows_more_than_twice_the_budget(
        mut times in prop::collection::vec(0_u64..5_000, 0..300),
        max_frames in 1_u32..20,
    ) {
        times.sort_unstable();
        let limits = Limits { max_frames, budget_interval: Duration::from_secs(1), ..Limits::default() };
        let mut budget = Budget::new(&limits, START);
        let allowed: Vec<u64> =
            times.into_iter().filter(|&at| budget.spend(START + Duration::from_millis(at))).collect();
        for &first in &allowed {
            let within = allowed.iter().filter(|&&at| at >= first && at < first + 1_000).count();
            prop_assert!(within <= 2 * max_frames as usize);
        }
    }
}
