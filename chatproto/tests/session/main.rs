//! The client's session against a scripted server: frames are written by hand, time is a number.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test that goes wrong should stop where it does"
)]

mod account;
mod away;
mod frames;
mod house;
mod login;
mod peers;
mod properties;
mod reconnect;
mod requests;
mod rig;
mod rooms;
mod says;
mod states;
mod time_jumps;
mod with_hub;
