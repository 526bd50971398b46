//! Frames and I/O-free state machines for group chat with direct peer-to-peer file exchange.
#![no_std]
#![forbid(unsafe_code)]
#![warn(clippy::std_instead_of_core, clippy::alloc_instead_of_core, clippy::std_instead_of_alloc)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod conn;
pub mod hub;
#[cfg(feature = "opaque")]
pub mod opaque;
pub mod peer;
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
mod time;
#[cfg(feature = "blake3")]
pub mod verify;
pub mod wire;

pub use time::Instant;
