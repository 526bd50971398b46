//! The server with its sockets on I/O threads keeps the same promises: some of the other tests again, with that setting,
//! which `support` gives to the servers of this program.

#[path = "bad_input.rs"]
mod bad_input;
#[path = "embedding.rs"]
mod embedding;
#[path = "thousand.rs"]
mod thousand;
#[path = "tickets.rs"]
mod tickets;
