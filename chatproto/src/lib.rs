//! Frames and I/O-free state machines for group chat with direct peer-to-peer file exchange.
//!
//! A server keeps rooms and a log; clients log in, talk, and are introduced to each other; two clients that were
//! introduced list and fetch each other's files over a link of their own. This crate is all of that but the I/O: no
//! socket, no file, no clock, no thread, and no `std`. You bring bytes in and take bytes out, with whatever you have.
//!
//! | you write | use | driven by |
//! |---|---|---|
//! | a client, a bot | [`session::Session`] | one connection to a server, across reconnects |
//! | a server, a game lobby | [`hub::Hub`] | one connection for each client |
//! | direct exchange between two | [`peer::Peer`] | one connection to the other |
//! | something else entirely | [`wire`], [`conn`] | frames, and what every connection needs |
//!
//! # The verbs
//!
//! The three machines are used in the same way, in any order, from one thread:
//!
//! - **in**: `handle_input(bytes, now)` with what a socket gave, `handle_eof(now)` when it ended, `handle_timeout(now)` at
//!   the time that `poll_timeout()` named. None of them fails: who breaks the rules is told so and disconnected.
//! - **out**: `poll_event()` until `None`; then send what `outgoing()` holds, which is a [`bytes::Buf`]. Read from the
//!   socket only while `wants_read()`; close it when `is_finished()`.
//! - **verbs** such as `say`, `join` or `fetch`, each with its own small error, and without effect when they fail.
//!
//! What needs a disk, a database or a person comes out as an event with an id and goes back in as a verb. Time is a value,
//! [`Instant`]; chance is a seed. The same inputs give the same outputs.
//!
//! # A client and a server in one page
//!
//! ```
//! use bytes::Buf as _;
//! use chatproto::Instant;
//! use chatproto::hub::{self, Accept, Hub, Stored};
//! use chatproto::session::{self, Restored, RoomKey, Session};
//! use chatproto::wire::{DeviceId, Name, Note, ServerId, Text};
//!
//! # fn main() -> Result<(), Box<dyn core::error::Error>> {
//! let now = Instant::from_millis(0);
//! let lobby = Name::new("lobby")?;
//! let config = hub::Config::new(ServerId([1; 16]), Note::new("demo")?, Note::new("none")?, lobby.clone());
//! let mut hub = Hub::new(config, [], |bytes: &mut [u8]| bytes.fill(0)); // give it real randomness
//! let conn = hub.accept("127.0.0.1:50000".parse()?, now);
//!
//! let config = session::Config::new(Name::new("alice")?, DeviceId([2; 16]));
//! let mut alice = Session::new(config, Restored::default(), 7, now);
//! alice.say(RoomKey::Room(lobby), &Text::new("hello")?)?; // waits until there is a connection
//!
//! let mut log = 0;
//! let heard = loop {
//!     // What sockets would do.
//!     let queue = alice.outgoing();
//!     hub.handle_input(conn, &queue.copy_to_bytes(queue.remaining()), now);
//!     if let Some(queue) = hub.outgoing(conn) {
//!         alice.handle_input(&queue.copy_to_bytes(queue.remaining()), now);
//!     }
//!     // What the server's program does: it knows the accounts and keeps the log.
//!     while let Some(event) = hub.poll_event() {
//!         match event {
//!             hub::Event::LoginStarted { conn, user, .. } => {
//!                 let (ticket, ticket_lifetime, data) = Default::default();
//!                 hub.login_accept(conn, &Accept { user, is_admin: false, ticket, ticket_lifetime, data });
//!             }
//!             hub::Event::Log(hub::LogRequest::Append { id, .. }) => {
//!                 log += 1; // durable from here on: now it may be told
//!                 hub.stored(id, Stored::Committed { seq: log, time: 0 });
//!             }
//!             _ => {}
//!         }
//!     }
//!     // What the client's program does.
//!     let mut heard = None;
//!     while let Some(event) = alice.poll_event() {
//!         match event {
//!             session::Event::Connect => alice.connected(now),
//!             session::Event::LoginWanted { .. } => alice.login_one_way("none", b"")?,
//!             session::Event::Message { message, .. } => heard = Some(message),
//!             _ => {}
//!         }
//!     }
//!     if let Some(message) = heard {
//!         break message;
//!     }
//! };
//! assert_eq!((heard.seq, heard.text.as_str()), (1, "hello"));
//! # Ok(())
//! # }
//! ```
//!
//! The examples of the repository go on from here: `in_memory` is the page above, `blocking_client` is a client on
//! `std::net`, `time_bot` a bot on tokio. PROTOCOL.md is the normative description of every byte.
//!
//! # Features
//!
//! Features add and never change behaviour. None is needed.
//!
//! | feature | adds |
//! |---|---|
//! | `std` (default) | vectored slices from queues, and the system's randomness for `opaque` |
//! | `opaque` | `opaque`: the OPAQUE login (RFC 9807), bytes in, bytes out |
//! | `blake3` | `verify`: BLAKE3 in units, for transfers |
//! | `testing` | `testing`: a virtual network with virtual time, for your own tests |
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
pub mod reach;
pub mod session;
#[cfg(feature = "testing")]
pub mod testing;
pub mod ticket;
mod time;
#[cfg(feature = "blake3")]
pub mod verify;
pub mod wire;

pub use time::Instant;
