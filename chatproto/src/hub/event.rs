//! What a hub tells its program, and the values that pass between them.

use core::net::SocketAddr;
use core::time::Duration;

use bytes::Bytes;

use super::log::LogRequest;
use crate::wire::{CloseReason, DeviceId, ErrorCode, LinkKey, Name, Note, OfferId, Purpose, RequestId};

/// One connection for as long as the hub lives; never used twice. Whoever runs a [`Router`](super::Router) alone chooses
/// the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl core::fmt::Display for ConnId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// How a login that succeeded is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accept {
    /// The account's ID as it is written to others.
    pub user: Name,
    /// Whether the account administers the server: above the owner of every room that it sees.
    pub is_admin: bool,
    /// A secret that resumes the session later; empty for none. At most 255 bytes are sensible.
    pub ticket: Bytes,
    /// How long the ticket is good.
    pub ticket_lifetime: Duration,
    /// The mechanism's last bytes, may be empty.
    pub data: Bytes,
}

/// What happened, or what the program is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A login began: answer with [`login_challenge`](super::Hub::login_challenge),
    /// [`login_accept`](super::Hub::login_accept) or [`login_refuse`](super::Hub::login_refuse).
    LoginStarted {
        /// The connection.
        conn: ConnId,
        /// The account's ID as given.
        user: Name,
        /// The device as given.
        device: DeviceId,
        /// The mechanism.
        mechanism: Note,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// A login goes on: answer as above.
    LoginResponse {
        /// The connection.
        conn: ConnId,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// A stranger asks for an account: answer with [`register_challenge`](super::Hub::register_challenge) or
    /// [`login_refuse`](super::Hub::login_refuse).
    RegisterStarted {
        /// The connection.
        conn: ConnId,
        /// The ID that the account is to have.
        user: Name,
        /// The code of the invitation, maybe empty.
        invite: Note,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// A registration goes on: make the account and answer with [`registered`](super::Hub::registered), or with
    /// [`login_refuse`](super::Hub::login_refuse).
    RegisterFinished {
        /// The connection.
        conn: ConnId,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// Somebody wants another password: answer with [`password_challenge`](super::Hub::password_challenge) or
    /// [`account_refuse`](super::Hub::account_refuse). What the same connection began before and has not finished is over.
    PasswordStarted {
        /// The connection.
        conn: ConnId,
        /// Whose password.
        user: Name,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// The proof of the old password and the new record: answer with
    /// [`password_changed`](super::Hub::password_changed) or [`account_refuse`](super::Hub::account_refuse).
    PasswordFinished {
        /// The connection.
        conn: ConnId,
        /// The mechanism's bytes.
        data: Bytes,
    },
    /// Somebody asks for the devices of the account: answer with [`device_list`](super::Hub::device_list) or
    /// [`account_refuse`](super::Hub::account_refuse).
    DevicesAsked {
        /// The connection.
        conn: ConnId,
        /// Whose devices.
        user: Name,
        /// A device whose sessions and tickets are to end first.
        revoke: Option<DeviceId>,
    },
    /// Somebody is logged in.
    LoggedIn {
        /// The connection.
        conn: ConnId,
        /// Who.
        user: Name,
        /// With which device.
        device: DeviceId,
        /// From where.
        addr: SocketAddr,
    },
    /// A connection has ended for the protocol; of a login nothing more comes.
    Closed {
        /// The connection.
        conn: ConnId,
        /// Who was logged in.
        user: Option<Name>,
        /// From where.
        addr: SocketAddr,
        /// Why.
        reason: Ended,
    },
    /// The log, and what else is stored, is asked for something.
    Log(LogRequest),
    /// Somebody asks to be introduced; for the operator's eyes.
    PeerRequested {
        /// The offer.
        offer: OfferId,
        /// Who asks.
        from: Name,
        /// Whom.
        to: Name,
        /// What for.
        purpose: Purpose,
    },
    /// Two people were introduced; for the operator's eyes.
    PeerIntroduced {
        /// The offer.
        offer: OfferId,
        /// Who asked.
        from: Name,
        /// Who said yes.
        to: Name,
    },
    /// The two ends of a relay are there. The hub knows both connections no more: write a
    /// [`RelayOpened`](crate::wire::RelayOpened) with `offer` to each, then pass all bytes between them, and call
    /// [`relay_ended`](super::Hub::relay_ended) when that is over.
    Relayed {
        /// The offer.
        offer: OfferId,
        /// The asking side's connection, and the other's.
        ends: [ConnId; 2],
        /// Who asked.
        from: Name,
        /// Who said yes.
        to: Name,
    },
    /// Can the device of this connection be reached? Connect to `address`, and to nothing else; answer with
    /// [`reached`](super::Hub::reached) whether the device with `link_key` is there.
    TestReach {
        /// The connection.
        conn: ConnId,
        /// Ties the answer to it.
        request: RequestId,
        /// The observed address and the announced port.
        address: SocketAddr,
        /// What the other end must prove to have.
        link_key: LinkKey,
    },
    /// A request ended without an introduction; for the operator's eyes.
    PeerRefused {
        /// Who asked.
        from: Name,
        /// Whom.
        to: Name,
        /// Why.
        code: ErrorCode,
    },
}

/// Why a connection ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// The client said bye.
    Bye(CloseReason),
    /// The hub said bye; for a violation, with what was wrong.
    Closed(CloseReason, Option<Note>),
    /// The connection broke without a bye.
    Lost {
        /// Bytes of a frame that had not arrived whole.
        partial: usize,
    },
}
