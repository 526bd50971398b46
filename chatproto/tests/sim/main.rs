//! A whole world in one thread: a server with its log, people on their devices, direct links between them, and a network
//! that delays, splits, cuts and stalls. Beside it a model of what was promised, checked after every step.
//!
//! What must hold, and where it is looked at:
//!
//! - Messages (`client`): what is acknowledged is in the log once, under the number that was told; whoever is in a room gets its
//!   numbers one after the other, live or caught up, whatever breaks; what is gone is told as a gap, and only that; nothing
//!   comes after leaving; every say ends once; whoever was written to while they were away has it in the end. No queue is longer than its bound (`world`).
//! - Who is there (`presence`): what a device was told of the people in its rooms, whole or by news, is in the end who is there,
//!   whatever it missed meanwhile.
//! - Consent (`consent`): nobody is introduced, and nobody's address told, without a yes of whoever was asked.
//! - Order (`house`, `rules`, `watch`, `answers`): whoever is banned, muted, kicked, barred or kept out by slow mode or lockdown says
//!   nothing from the moment at which the hub knows that to be stored, and is in no room that they may not be in; the hub's
//!   notes are the model's after every turn; every answer - done, refused, who, rooms, audit - was right at some moment
//!   since the question; in the end `who` shows exactly who is there; what is told is in the log, what was refused is not; who is removed has seen nothing that was
//!   said after it; what has a time ends with it.
//! - Links (`world`, `link`): every introduction ends in a link or a verdict; words come once, in order.
//! - Files (`link`, `share`): what arrives is what was sent, also in parts and gone on with after a cut or a crash; every
//!   transfer ends once. Whoever waits for a file (`queue`) is told a place that only falls, and waits only while others are
//!   sent. A file that comes in parts from several (`gather`) is the file.
//!
//! A seed is a life of the world. `CHATPROTO_SEED=7` lives one of them again, `CHATPROTO_SEEDS=5000` lives more of them, and
//! `CHATPROTO_WRITE_SEEDS=DIR` writes what crossed the wire in some of them as seeds for the fuzzers (`record`).
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

mod acts;
mod answers;
mod client;
mod consent;
mod counts;
mod gather;
mod house;
mod link;
mod presence;
mod queue;
mod record;
mod rules;
mod share;
mod watch;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use chatproto::testing::CrashPoint;
use counts::Counts;
use house::{House, SCRIPT};
use world::{SAID_IN_PEACE, Totals, World};

/// Seeds that are lived when nothing else is asked for: a few seconds without optimisation.
const DEFAULT_SEEDS: u64 = 120;

/// The same for worlds in which people keep order.
const DEFAULT_HOUSES: u64 = 40;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} must be a number, not {text:?}")))
}

/// Lives as many worlds as are asked for, and says which one broke a promise. Returns how many that were.
fn live_all(default: u64, mut live: impl FnMut(u64)) -> u64 {
    let first = number("CHATPROTO_SEED");
    let count = if first.is_some() { 1 } else { number("CHATPROTO_SEEDS").unwrap_or(default) };
    let start = first.or(number("CHATPROTO_FIRST_SEED")).unwrap_or(1);
    for seed in start..start + count {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| live(seed))) {
            eprintln!("this world broke a promise; live it again with CHATPROTO_SEED={seed}");
            resume_unwind(panic);
        }
    }
    count
}

#[test]
fn promises_hold_in_every_world() {
    let mut totals = Totals::default();
    let count = live_all(DEFAULT_SEEDS, |seed| totals.add(&World::new(seed).live()));
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
fn order_holds_in_every_house() {
    let (mut counts, mut totals) = (Counts::default(), Totals::default());
    let count = live_all(DEFAULT_HOUSES, |seed| {
        let (life, world) = House::new(seed).live();
        counts.merge(&life);
        totals.add(&world);
    });
    println!("{count} houses: {counts:?} {totals:?}");
    if count >= DEFAULT_HOUSES {
        counts.assert_rich();
    }
}

#[test]
fn order_holds_through_a_crash_at_any_point_of_any_change() {
    for point in CrashPoint::ALL {
        for count in 1..=SCRIPT.len() as u64 {
            let counts = House::new(count).crash_once(point, count);
            // What was on its way may be lost, and with it the right to do what follows.
            assert!(counts.of_rooms() > SCRIPT.len() as u64 / 2, "{point:?} of change {count}: {counts:?}");
        }
    }
}

#[test]
fn the_same_seed_lives_the_same_life() {
    for seed in 1..6 {
        assert_eq!(World::new(seed).live(), World::new(seed).live(), "seed {seed}");
    }
}
