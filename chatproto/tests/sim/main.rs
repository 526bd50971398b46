//! A whole world in one thread: a server with its log, people on their devices, direct links between them, and a network
//! that delays, splits, cuts and stalls. Beside it a model of what was promised, checked after every step.
//!
//! A seed is a life of the world. `CHATPROTO_SEED=7` lives one of them again, `CHATPROTO_SEEDS=5000` lives more of them.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test stops at the first surprise"
)]

mod client;
mod link;
mod share;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use chatproto::testing::CrashPoint;
use world::{SAID_IN_PEACE, Totals, World};

/// Seeds that are lived when nothing else is asked for: a few seconds without optimisation.
const DEFAULT_SEEDS: u64 = 120;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

#[test]
fn promises_hold_in_every_world() {
    let first = number("CHATPROTO_SEED");
    let count = if first.is_some() { 1 } else { number("CHATPROTO_SEEDS").unwrap_or(DEFAULT_SEEDS) };
    let start = first.or(number("CHATPROTO_FIRST_SEED")).unwrap_or(1);
    let mut totals = Totals::default();
    for seed in start..start + count {
        let life = catch_unwind(AssertUnwindSafe(|| World::new(seed).live()));
        match life {
            Ok(life) => totals.add(&life),
            Err(panic) => {
                eprintln!("this world broke a promise; live it again with CHATPROTO_SEED={seed}");
                resume_unwind(panic);
            }
        }
    }
    println!("{count} worlds: {totals:?}");
    // A simulation in which nothing happens proves nothing.
    if count >= DEFAULT_SEEDS {
        totals.assert_rich();
    }
}

#[test]
fn a_crash_at_any_point_of_any_message_loses_nothing_and_repeats_nothing() {
    for point in CrashPoint::ALL {
        for count in 1..=SAID_IN_PEACE {
            let totals = World::durable(count).crash_once(point, count);
            assert_eq!((totals.trapped, totals.gaps), (1, 0), "{point:?} of message {count}");
            assert_eq!(totals.posted, SAID_IN_PEACE, "{point:?} of message {count}");
        }
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in 1..6 {
        assert_eq!(World::new(seed).live(), World::new(seed).live(), "seed {seed}");
    }
}
