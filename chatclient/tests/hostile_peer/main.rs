//! A peer that the real server introduced, and that lies: about its lists, its files, its tickets and its keys, or that only
//! wants to be a burden. Whatever it says, the real client names what is wrong or ends the link, gives no wrong byte a name,
//! writes nothing outside of its downloads, and goes on serving.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    dead_code,
    unreachable_pub,
    reason = "a test stops at what it did not expect"
)]

#[path = "../harness/mod.rs"]
mod harness;
#[path = "../mallory/mod.rs"]
mod mallory;

mod again;
mod burdens;
mod files;
mod links;
mod lists;
mod scene;
mod torture;
