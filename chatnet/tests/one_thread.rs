//! The suite with everything on the loop's own thread.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod suite;

const IO_THREADS: usize = 0;
