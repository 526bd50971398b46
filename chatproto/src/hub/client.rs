//! One connection as the hub sees it.

use core::net::SocketAddr;

use alloc::collections::{BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::State;
use super::account::Errand;
use super::listing::Listing;
use crate::Instant;
use crate::conn::{Conn, Limits};
use crate::reach::MIN_PEER_PORT;
use crate::wire::{Capabilities, DeviceId, LinkKey, MIN_FRAME, Name, RoomId};

/// What a client announced: where it accepts peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) port: u16,
    pub(super) link_key: LinkKey,
    pub(super) candidates: Vec<SocketAddr>,
}

impl Announcement {
    /// Whether peers can be sent there.
    pub(super) fn accepts(&self) -> bool {
        self.port >= MIN_PEER_PORT
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: Conn,
    pub(super) addr: SocketAddr,
    pub(super) state: State,
    /// Longest frame that the client accepts, in bytes (type and body).
    pub(super) max_frame: u32,
    /// What it and this server can both do.
    pub(super) capabilities: Capabilities,
    /// Who is logging in, or logged in.
    pub(super) user: Option<Name>,
    /// Administers the server.
    pub(super) is_admin: bool,
    pub(super) device: DeviceId,
    pub(super) announcement: Option<Announcement>,
    pub(super) rooms: BTreeSet<RoomId>,
    /// Rooms in which this connection is behind and nobody reads for it, each once.
    pub(super) waiting: VecDeque<RoomId>,
    /// Whether a page of what it misses was asked for: one at a time, whatever the number of rooms.
    pub(super) is_reading: bool,
    /// Rooms in which it missed presence, and maybe a topic: one snapshot makes up for it.
    pub(super) missed_presence: BTreeSet<RoomId>,
    /// Messages on their way into the log.
    pub(super) appends: u32,
    /// Bytes of their texts.
    pub(super) append_bytes: usize,
    /// Lists that it is being told, in the order in which it asked.
    pub(super) listings: VecDeque<Listing>,
    /// Questions that the program works on.
    pub(super) requests: u32,
    /// What is being done with the account.
    pub(super) account: Option<Errand>,
    /// When the hub looks at its deadlines next; never later than they are.
    pub(super) due: Instant,
    /// Whether the end was told to the program.
    pub(super) is_ended: bool,
    pub(super) is_writable: bool,
    pub(super) is_touched: bool,
    /// Behind, and waiting for its turn.
    pub(super) is_in_line: bool,
}

impl Client {
    pub(super) fn new(addr: SocketAddr, limits: &Limits, now: Instant) -> Self {
        let conn = Conn::new(limits, now);
        Self {
            due: conn.deadlines.next(limits),
            conn,
            addr,
            state: State::Hello,
            max_frame: MIN_FRAME,
            capabilities: Capabilities::NONE,
            user: None,
            is_admin: false,
            device: DeviceId::default(),
            announcement: None,
            rooms: BTreeSet::new(),
            waiting: VecDeque::new(),
            is_reading: false,
            missed_presence: BTreeSet::new(),
            appends: 0,
            append_bytes: 0,
            listings: VecDeque::new(),
            requests: 0,
            account: None,
            is_ended: false,
            is_writable: false,
            is_touched: false,
            is_in_line: false,
        }
    }

    /// Remembers that nobody reads for this connection in `room`.
    pub(super) fn wait_in(&mut self, room: RoomId) {
        if !self.waiting.contains(&room) {
            self.waiting.push_back(room);
        }
    }

    /// Whether something is to be queued for it once there is room.
    pub(super) fn is_owed(&self) -> bool {
        !self.waiting.is_empty() || !self.listings.is_empty()
    }

    /// Whether the connection takes part: logged in and not ending.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open && self.conn.closing().is_none()
    }
}
