//! What a session is told at the start, and every limit it keeps: default, memory bounded, attack answered.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;

use super::{AnnouncementError, RoomKey};
use crate::conn::Limits;
use crate::reach::{Bounds, Policy};
use crate::wire::{Capabilities, DeviceId, LinkKey, MAX_CANDIDATES, Name, Note, NoteRef, ServerId, Text};

/// Who logs in, with what, and how much may be held.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account's ID.
    pub user: Name,
    /// This installation. Give a new one where numbers of earlier words were not kept ([`Session::say`](super::Session::say)):
    /// a device that counts from the start again repeats numbers that are taken.
    pub device: DeviceId,
    /// Program and version, for the server's log. Default empty.
    pub agent: Note,
    /// What this client can do. Default none beyond the base protocol.
    pub capabilities: Capabilities,
    /// Limits of the connection; `max_frame` is brought into `MIN_FRAME..=MAX_FRAME`.
    pub limits: Limits,
    /// Rooms to be in from the first login on; `None` for the server's default room. Default `None`.
    pub rooms: Option<Vec<Name>>,
    /// Where peers are accepted. Default `None`: without it nobody can be asked for a link.
    pub announcement: Option<Announcement>,
    /// Pauses between attempts to connect.
    pub backoff: Backoff,
    /// Time for one attempt to dial. Default 30 s. Answers a driver or network that never says yes or no.
    pub connect_timeout: Duration,
    /// Says that may wait for their acknowledgement. Default 1,000. Bounds a long time offline.
    pub max_pending: usize,
    /// Bytes of text that may wait for their acknowledgement. Default 1 MiB.
    pub max_pending_bytes: usize,
    /// Says that may be on their way at once. Default 64, so that a server's own queue is not filled by one client.
    pub max_unposted: usize,
    /// Requests that may be open at once, peer requests included. Default 64.
    pub max_requests: usize,
    /// Rooms and conversations known at once. Default 4,096, about 1 MiB.
    /// Answers a server that reports conversations without end.
    pub max_rooms: usize,
    /// Offers that wait for an answer. Default 64; further ones are denied. Answers people who ask without end.
    pub max_offers: usize,
    /// Which ways to a peer the user wants. Default all.
    pub policy: Policy,
    /// People with whom it is [`Policy::OnlyRelay`] all the same: they learn no address of this device. Default none.
    pub relay_only: BTreeSet<Name>,
    /// How long each of them may take.
    pub bounds: Bounds,
    /// Introductions that look for a way to the other side. Default 64; the one that expires first gives way.
    pub max_introductions: usize,
    /// Events above which [`Session::wants_read`](super::Session::wants_read) is false. Default 4,096.
    /// Bounds what a fast server can make a slow program hold, apart from the events of one more read.
    pub max_events: usize,
    /// Bytes of input whose events the program has not polled, above which nothing more is read. Default 1 MiB. Answers a
    /// server that fills the events with long lists.
    pub max_event_bytes: usize,
}

impl Config {
    /// The defaults for an account on a device.
    #[must_use]
    pub fn new(user: Name, device: DeviceId) -> Self {
        Self {
            user,
            device,
            agent: NoteRef::EMPTY.to_owned(),
            capabilities: Capabilities::NONE,
            limits: Limits::default(),
            rooms: None,
            announcement: None,
            backoff: Backoff::default(),
            connect_timeout: Duration::from_secs(30),
            max_pending: 1_000,
            max_pending_bytes: 1024 * 1024,
            max_unposted: 64,
            max_requests: 64,
            max_rooms: 4_096,
            max_offers: 64,
            policy: Policy::Any,
            relay_only: BTreeSet::new(),
            bounds: Bounds::default(),
            max_introductions: 64,
            max_events: 4_096,
            max_event_bytes: 1024 * 1024,
        }
    }
}

/// Growing, jittered pauses between attempts to connect.
///
/// The n-th pause is `first * factor^n`, at most `max`, shortened by a random part of up to `jitter` percent, so that a
/// thousand clients do not come back in the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause before jitter. Default 500 ms.
    pub first: Duration,
    /// The longest pause before jitter. Default 60 s.
    pub max: Duration,
    /// By how much each pause grows. Default 2.
    pub factor: u32,
    /// Percent of a pause that chance may take away. Default 50, at most 100.
    pub jitter: u8,
    /// How long a login must have stood for the pauses to begin anew. Default 10 s.
    /// Answers a server that accepts logins and then fails at once.
    pub stable: Duration,
    /// The longest pause that a server's advice can ask for. Default 10 min.
    /// Answers a server that tells its clients to stay away for weeks.
    pub max_advised: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            max: Duration::from_secs(60),
            factor: 2,
            jitter: 50,
            stable: Duration::from_secs(10),
            max_advised: Duration::from_secs(600),
        }
    }
}

/// Where this device accepts peers, as the server is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Announcement {
    port: u16,
    link_key: LinkKey,
    candidates: Vec<SocketAddr>,
}

impl Announcement {
    /// Port where peers are accepted (0 for none), the device's key on links, and private addresses.
    ///
    /// # Errors
    /// When there are more than [`MAX_CANDIDATES`] candidates, or one has port 0.
    pub fn new(port: u16, link_key: LinkKey, candidates: Vec<SocketAddr>) -> Result<Self, AnnouncementError> {
        if candidates.len() > MAX_CANDIDATES {
            return Err(AnnouncementError::TooMany { found: candidates.len(), max: MAX_CANDIDATES });
        }
        if let Some(&address) = candidates.iter().find(|address| address.port() == 0) {
            return Err(AnnouncementError::NoPort { address });
        }
        Ok(Self { port, link_key, candidates })
    }

    /// Port where peers are accepted; 0 for none.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The device's key on links.
    #[must_use]
    pub fn link_key(&self) -> LinkKey {
        self.link_key
    }

    /// Private addresses, shown only to peers with the same observed address.
    #[must_use]
    pub fn candidates(&self) -> &[SocketAddr] {
        &self.candidates
    }
}

/// A say that was not acknowledged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingSay {
    /// The device's own number for it.
    pub counter: u64,
    /// Where it goes.
    pub target: RoomKey,
    /// What is said.
    pub text: Text,
}

/// What a program kept from the last run, or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Restored {
    /// The server's log that the cursors belong to.
    pub server: Option<ServerId>,
    /// Last number seen in each room.
    pub cursors: Vec<(RoomKey, u64)>,
    /// A number for the next say, above all that this device ever used.
    pub next_counter: u64,
    /// Says without acknowledgement, any order. Kept whole even past the limits: they are somebody's words.
    pub pending: Vec<PendingSay>,
}

impl Default for Restored {
    /// A first run: counting begins at 1.
    fn default() -> Self {
        Self { server: None, cursors: Vec::new(), next_counter: 1, pending: Vec::new() }
    }
}
