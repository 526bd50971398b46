//! One connection as the hub sees it.

use core::net::SocketAddr;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::State;
use crate::Instant;
use crate::conn::{Conn, Limits};
use crate::wire::{DeviceId, LinkKey, MIN_FRAME, Name, RoomId};

/// What a client announced: where it accepts peers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Announcement {
    pub(super) port: u16,
    pub(super) link_key: LinkKey,
    pub(super) candidates: Vec<SocketAddr>,
}

/// One connection.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: Conn,
    pub(super) addr: SocketAddr,
    pub(super) state: State,
    /// Longest frame that the client accepts, in bytes (type and body).
    pub(super) max_frame: u32,
    /// Who is logging in, or logged in.
    pub(super) user: Option<Name>,
    pub(super) device: DeviceId,
    pub(super) announcement: Option<Announcement>,
    pub(super) rooms: BTreeSet<RoomId>,
    /// Rooms in which this connection is behind and nobody reads for it.
    pub(super) waiting: Vec<RoomId>,
    /// Messages on their way into the log.
    pub(super) appends: u32,
    /// Questions that the program works on.
    pub(super) requests: u32,
    /// Whether the end was told to the program.
    pub(super) is_ended: bool,
    pub(super) is_writable: bool,
    pub(super) is_touched: bool,
}

impl Client {
    pub(super) fn new(addr: SocketAddr, limits: &Limits, now: Instant) -> Self {
        Self {
            conn: Conn::new(limits, now),
            addr,
            state: State::Hello,
            max_frame: MIN_FRAME,
            user: None,
            device: DeviceId::default(),
            announcement: None,
            rooms: BTreeSet::new(),
            waiting: Vec::new(),
            appends: 0,
            requests: 0,
            is_ended: false,
            is_writable: false,
            is_touched: false,
        }
    }

    /// Whether the connection takes part: logged in and not ending.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Open && self.conn.closing().is_none()
    }
}
