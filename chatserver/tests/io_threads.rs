//! The server with its sockets on I/O threads keeps the same promises: some of the other tests again, with that setting,
//! which `support` gives to the servers of this program.

#![allow(clippy::duplicate_mod, reason = "each of these tests has its own support, as in its own program")]

#[path = "bad_input.rs"]
mod bad_input;
#[path = "embedding.rs"]
mod embedding;
#[path = "thousand.rs"]
mod thousand;
#[path = "tickets.rs"]
mod tickets;
