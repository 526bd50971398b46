//! What every connection is made of: the reader, the send queue, deadlines, the frame budget, and how it ends.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, in its helpers too"
)]

mod budget;
mod closing;
mod deadlines;
mod queue;
mod reader;
