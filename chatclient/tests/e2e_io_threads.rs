//! The journey again, with a server that has its sockets on I/O threads, which `harness` sees to.

#[path = "e2e_journey.rs"]
mod journey;
