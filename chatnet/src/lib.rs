//! How bytes move: a poll loop over plain and TLS 1.3 connections, with the timers, wakers and worker threads that a
//! program on one thread needs. It knows nothing of what the bytes mean.
//!
//! - [`Net`] is the loop: it listens, dials, reads, writes, and tells by [`NetEvent`]s what happened. One thread serves
//!   thousands of connections, and [`NetConfig::io_threads`] spreads sockets and TLS over more. Each connection gets its
//!   share of a turn, and reading stops where the program stops, so that a slow program slows its peers down instead of
//!   filling its memory.
//! - [`Security`] says what a connection speaks. [`Identity`] is a certificate with its key, [`Fingerprint`] and
//!   [`LinkKey`] are the names by which the other side knows it.
//! - [`Waker`], [`Mailbox`] and [`WorkerPool`] bring other threads in; [`Timers`] keeps a program's deadlines for
//!   [`Net::turn`], [`Budget`] says how often somebody may try.
//!
//! A server that sends everything back, and its client, in one loop:
//!
//! ```
//! use std::{collections::HashMap, time::Duration};
//!
//! use bytes::BytesMut;
//! use chatnet::{ClientTls, ConnectOptions, Identity, Net, NetConfig, NetEvent, Read, Security, ServerTls};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let identity = Identity::generate(["localhost"])?;
//! let mut net = Net::new(NetConfig::default())?;
//! let (_, addr) = net.listen("127.0.0.1:0".parse()?, Security::TlsServer(ServerTls::new(&identity)?))?;
//! let client = net.connect(addr, ConnectOptions {
//!     security: Security::TlsClient(ClientTls::pinned(identity.fingerprint())?),
//!     timeout: Duration::from_secs(10),
//! })?;
//!
//! let mut unsent = HashMap::new(); // what each connection has yet to send
//! let mut answer = Vec::new();
//! let mut events = Vec::new();
//! while answer != b"hello" {
//!     net.turn(None, &mut events)?;
//!     for event in events.drain(..) {
//!         match event {
//!             NetEvent::Connected { token, tls } => {
//!                 let peer = tls.and_then(|tls| tls.peer);
//!                 if token == client {
//!                     assert_eq!(peer.map(|peer| peer.fingerprint), Some(identity.fingerprint()));
//!                     unsent.insert(token, BytesMut::from(&b"hello"[..]));
//!                 }
//!             }
//!             NetEvent::Readable { token } => {
//!                 while let Read::Bytes(bytes) = net.read(token) {
//!                     if token == client {
//!                         answer.extend_from_slice(bytes);
//!                     } else {
//!                         unsent.entry(token).or_default().extend_from_slice(bytes);
//!                     }
//!                 }
//!             }
//!             NetEvent::Closed { reason, .. } => return Err(reason.into()),
//!             _ => {}
//!         }
//!     }
//!     for (token, bytes) in &mut unsent {
//!         net.write(*token, bytes);
//!     }
//! }
//! # Ok(())
//! # }
//! ```

mod admission;
mod budget;
mod config;
mod event;
mod fingerprint;
mod mailbox;
mod net;
mod reason;
mod signals;
mod timers;
mod tls;
mod token;
mod waker;
mod workers;

pub use admission::TurnedAway;
pub use budget::{Budget, origin};
pub use config::NetConfig;
pub use event::{AcceptPause, IoThreadStats, NetEvent, Read, Write};
pub use fingerprint::{Fingerprint, FingerprintError, LinkKey};
pub use mailbox::{MailError, MailSender, Mailbox};
pub use net::{ConnectOptions, Net};
pub use reason::CloseReason;
pub use signals::Signal;
pub use timers::Timers;
pub use tls::{
    Authorities, AuthoritiesError, ClientTls, Identity, IdentityError, PeerCertificate, Security, ServerTls,
    TlsInfo,
};
pub use token::{ConnToken, ListenerId};
pub use waker::Waker;
pub use workers::{PoolFull, WorkerPool};
