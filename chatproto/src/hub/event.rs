//! What a hub tells its program, and the values that pass between them.

use core::net::SocketAddr;
use core::time::Duration;

use alloc::vec::Vec;

use bytes::Bytes;

use super::config::Label;
use super::house::House;
use crate::wire::{
    Action, Anchor, CloseReason, DeviceId, ErrorCode, LinkKey, Name, Network, Note, OfferId, Purpose,
    RequestId, RoomId, Subject, Text,
};

/// One connection for as long as the hub lives; never used twice. Whoever runs a [`Router`](super::Router) alone chooses
/// the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnId(pub u64);

impl core::fmt::Display for ConnId {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// One message on its way into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId(pub u64);

/// One question to the log or the accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct QueryId(pub u64);

/// One change of a room, or of the whole server, on its way into the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OrderId(pub u64);

/// A message of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The room.
    pub room: RoomId,
    /// Its number there.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// Who said it.
    pub from: Name,
    /// On which device.
    pub device: DeviceId,
    /// The device's own number for it.
    pub counter: u64,
    /// What was said.
    pub text: Text,
}

/// What the log says to an [`Append`](Event::Append) or a [`Recall`](Event::Recall).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stored {
    /// To an append: it is durable, with this number and time.
    Committed {
        /// Number in its room: one more than the last.
        seq: u64,
        /// Milliseconds since 1970-01-01 UTC.
        time: u64,
    },
    /// To both: the same (person, device, counter) is in the log already.
    Duplicate {
        /// The room it went to then.
        room: RoomId,
        /// Its number there.
        seq: u64,
        /// Milliseconds since 1970-01-01 UTC.
        time: u64,
    },
    /// To both: the same (person, device, counter) was in the log, which has let go of the message since.
    Forgotten,
    /// To a recall: nothing of that kind was ever stored.
    Absent,
    /// It could not be stored, or not be looked for.
    Failed,
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
    /// A room was made: store it before any message of it.
    RoomCreated {
        /// Answer with [`ordered`](super::Hub::ordered) under this number if it is there: somebody waits for it.
        id: Option<OrderId>,
        /// Its number.
        room: RoomId,
        /// Who made it; `None` for the first room, conversations, and the operator of the server.
        by: Option<Name>,
        /// Its name or people.
        label: Label,
        /// Whether it is private, and its owner.
        house: House,
    },
    /// Change a room, or what somebody may do there, with a line in the audit log; answer with
    /// [`ordered`](super::Hub::ordered), in the order of the events. It does not hold before that.
    Moderate {
        /// Ties the answer to it.
        id: OrderId,
        /// The room.
        room: RoomId,
        /// Who does it; `None` for the operator of the server.
        by: Option<Name>,
        /// What is done.
        action: Action,
        /// To whom.
        user: Option<Name>,
        /// For how long from now, where the action has a time; 0 for no end, or, of slow mode, for none.
        seconds: u32,
        /// The topic, or the reason; may be empty.
        note: Note,
        /// Who is let into a room that becomes private, besides those with a role.
        admits: Vec<Name>,
        /// The addresses that a ban covers, or its lifting.
        networks: Vec<Network>,
    },
    /// Change what holds for the whole server, with a line in the audit log; answer as above.
    Govern {
        /// Ties the answer to it.
        id: OrderId,
        /// Who does it; `None` for the operator of the server.
        by: Option<Name>,
        /// Ban, unban, lockdown, hush or unlock.
        action: Action,
        /// Upon whom, of a ban and its lifting.
        subject: Option<Subject>,
        /// For how long from now, of a ban; 0 for no end.
        seconds: u32,
        /// The reason; may be empty.
        note: Note,
    },
    /// Read lines of the audit log, newest first; answer with [`audited`](super::Hub::audited).
    Audit {
        /// Ties the answer to it.
        id: QueryId,
        /// Of this room; `None` for all of the log.
        room: Option<RoomId>,
        /// Only lines below this number; 0 for the newest.
        before: u64,
        /// At most this many.
        limit: u16,
    },
    /// Store this message and answer with [`stored`](super::Hub::stored), in the order of the events.
    Append {
        /// Ties the answer to it.
        id: AppendId,
        /// The room.
        room: RoomId,
        /// Who said it.
        from: Name,
        /// On which device.
        device: DeviceId,
        /// The device's own number for it.
        counter: u64,
        /// What was said.
        text: Text,
    },
    /// Was this message stored before? It may not be said now, but what was stored is acknowledged for good. Answer with
    /// [`stored`](super::Hub::stored), in the order of the events, and store nothing.
    Recall {
        /// Ties the answer to it.
        id: AppendId,
        /// The room that it is said to now, if there is one.
        room: Option<RoomId>,
        /// Who said it.
        from: Name,
        /// On which device.
        device: DeviceId,
        /// The device's own number for it.
        counter: u64,
    },
    /// Read messages upwards; answer with [`records`](super::Hub::records).
    Read {
        /// Ties the answer to it.
        id: QueryId,
        /// The room.
        room: RoomId,
        /// Messages above this number.
        after: u64,
        /// At most this many.
        limit: u16,
    },
    /// Read a page of history, oldest first; answer with [`records`](super::Hub::records).
    History {
        /// Ties the answer to it.
        id: QueryId,
        /// The room.
        room: RoomId,
        /// Which messages.
        anchor: Anchor,
        /// The number that the anchor is about.
        seq: u64,
        /// At most this many.
        limit: u16,
    },
    /// Search, newest first; answer with [`records`](super::Hub::records).
    Search {
        /// Ties the answer to it.
        id: QueryId,
        /// In these rooms.
        rooms: Vec<RoomId>,
        /// For all of these words.
        words: Text,
        /// At most this many.
        limit: u16,
    },
    /// A conversation is over, because the account of one person was removed: store that whoever has its name next is
    /// somebody else. Nobody waits for an answer.
    Retired {
        /// Its room.
        room: RoomId,
        /// Whose account was removed.
        gone: Name,
        /// Who keeps what was said; `None` if nobody is left who could read it.
        keeper: Option<Name>,
    },
    /// Is there an account of this name? Answer with [`user_known`](super::Hub::user_known).
    FindUser {
        /// Ties the answer to it.
        id: QueryId,
        /// The name.
        name: Name,
    },
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

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditLine {
    /// Its number: later ones are greater.
    pub number: u64,
    /// When, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// The room's name, or its number if it is gone; empty for the whole server.
    pub room: Note,
    /// Who did it; empty for the operator of the server.
    pub by: Note,
    /// What.
    pub action: Action,
    /// Upon whom, as [`Subject::as_written`] says it; may be empty.
    pub subject: Note,
    /// For how long, in seconds; 0 where there is no time or no end.
    pub seconds: u32,
    /// The reason, or the topic; may be empty.
    pub note: Note,
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
