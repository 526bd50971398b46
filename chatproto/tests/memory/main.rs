//! The memory contract: whatever the other side does, a machine costs no more than the formula of its limits says. Each test
//! attacks and counts what was allocated meanwhile, at its highest. The desk's own memory counts as well: that only makes the
//! tests stricter.
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

#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "../hub/desk.rs"]
mod desk;
#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "../common/peer_pair.rs"]
mod peer_pair;
#[allow(dead_code, reason = "each test file uses its own part")]
#[path = "../session/rig.rs"]
mod rig;

mod hub;
mod peer;
mod session;

/// What a driver reads between two looks at `wants_read`.
const READ: usize = 64 * 1024;

/// Runs an attack and holds its highest memory against the bound.
fn costs_at_most(what: &str, bound: usize, attack: impl FnOnce()) {
    let most = allocation_counter::measure(attack).bytes_max;
    eprintln!("{what}: {most} bytes of {bound}");
    assert!(most <= bound as u64, "{what}: {most} bytes, the bound is {bound}");
}

/// A script in pieces of what a driver reads.
fn pieces(script: &[u8]) -> impl Iterator<Item = &[u8]> {
    script.chunks(READ)
}
