//! A deterministic world for tests: a virtual network with virtual time, a log in memory, and a driver for the machines.
//!
//! Nothing here opens a socket, starts a thread or reads a clock. All chance comes from one seed, so a run that failed
//! can be run again, exactly. Use it to test a program built on this crate: write its reactions as an [`Actor`] or drive
//! a [`SessionEnd`] and a [`HubEnd`] by hand.
//!
//! - [`Network`]: connections that carry bytes with delay, split and merged at random, with a bounded number of bytes in
//!   flight; half-closed, refused, or cut at any byte.
//! - [`MemoryLog`]: what stores messages behind a [`Hub`](crate::hub::Hub). It commits in batches, and a
//!   [`crash`](MemoryLog::crash) keeps only what was committed.
//! - [`HubEnd`], [`SessionEnd`], [`PeerEnd`]: a machine and its sockets; [`run`] moves them until nothing is left to do or a
//!   moment of virtual time is reached.
//! - [`Rng`]: small, seeded, **not for secrets**.
//!
//! ```
//! use chatproto::Instant;
//! use chatproto::hub::{self, Accept, Hub};
//! use chatproto::session::{self, Restored, RoomKey, Session};
//! use chatproto::testing::{Actor, Conditions, HubEnd, MemoryLog, Network, Rng, SessionEnd, run};
//! use chatproto::wire::{DeviceId, Name, Note, ServerId, Text};
//! use core::time::Duration;
//!
//! let address = "192.0.2.1:4000".parse()?;
//! let mut network = Network::new(1, Conditions::default());
//! let config = hub::Config::new(ServerId([7; 16]), Note::new("demo")?, Note::new("none")?, Name::new("lobby")?);
//! let mut server = HubEnd::new(
//!     Hub::new(config, [], Rng::new(2)),
//!     MemoryLog::new(Duration::from_millis(5)),
//!     address,
//!     &mut network,
//! );
//!
//! let mut now = Instant::default();
//! let config = session::Config::new(Name::new("alice")?, DeviceId([1; 16]));
//! let session = Session::new(config, Restored::default(), 3, now);
//! let mut alice = SessionEnd::new(session, "198.51.100.1".parse()?, address);
//! alice.session_mut().say(RoomKey::Room(Name::new("lobby")?), &Text::new("hello")?)?;
//!
//! run(&mut network, &mut [&mut server, &mut alice], &mut now, Instant::from_millis(10_000))?;
//! let posted = |event: &session::Event| matches!(event, session::Event::Posted { counter: 1, seq: 1, .. });
//! assert!(alice.take_events().iter().any(posted));
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod hub_end;
mod journal;
mod log;
mod network;
mod peer_end;
mod rng;
mod run;
mod session_end;
mod socket;

pub use hub_end::{CrashPoint, HubEnd};
pub use journal::{Asked, Change, Committed};
pub use log::{LOG_EPOCH_MS, MemoryLog, Trouble};
pub use network::{Conditions, Dialled, Network, StreamId};
pub use peer_end::PeerEnd;
pub use rng::Rng;
pub use run::{Actor, MAX_ROUNDS, Stuck, run};
pub use session_end::SessionEnd;
