//! The hub as its connections see it: every promise of the server's side, one frame at a time.
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

mod desk;
mod host;
mod house;

mod account;
mod addresses;
mod bounds;
mod budgets;
mod catch_up;
mod crowds_behind;
mod directs;
mod frames;
mod introductions;
mod login;
mod operate;
mod paging;
mod presence;
mod properties;
mod removed;
mod repeats;
mod rooms;
mod says;
mod searches;
mod slow_readers;
mod states;
mod trouble;
mod ways;
