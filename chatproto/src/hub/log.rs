//! The log seam: what a hub asks of whatever stores rooms, messages and order, and what it is answered with.
//!
//! Each request leaves as an [`Event::Log`](super::Event::Log) and names the verb that answers it. What is to be stored is
//! answered when it is durable, in the order of the requests; what is to be read, when it is there.

use alloc::vec::Vec;

use super::config::Label;
use super::house::House;
use super::{Event, Hub};
use crate::wire::{Action, Anchor, DeviceId, Name, Network, Note, RoomId, Subject, Text};

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

/// What the log says to an [`Append`](LogRequest::Append) or a [`Recall`](LogRequest::Recall).
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
    /// Something else holds the log for now, and nothing was stored: whoever said it sends it again later.
    Busy,
    /// It could not be stored, or not be looked for.
    Failed,
}

/// What the log says to a change: a room that is [made](LogRequest::RoomCreated), or what is done in one
/// ([`Moderate`](LogRequest::Moderate)) or to the whole server ([`Govern`](LogRequest::Govern)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ordered {
    /// It is durable, and holds from now on.
    Stored,
    /// Something else holds the log for now, and nothing was stored: whoever wants it asks again later.
    Busy,
    /// It could not be stored, and never holds.
    Failed,
}

/// Who has a name, as the accounts say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// There is no such account.
    Nobody,
    /// A person.
    Person,
    /// A person who administers the server.
    Admin,
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

/// What the log, or the accounts beside it, are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogRequest {
    /// A room was made: store it before any message of it, and answer with [`ordered`](super::Hub::ordered), in the order of
    /// the events. What is said there meanwhile is asked for behind it. One that cannot be stored is gone, and whoever is in it
    /// with it; only the default room stays, and is asked for again.
    RoomCreated {
        /// Ties the answer to it.
        id: OrderId,
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
    /// Who has this name? Answer with [`user_known`](super::Hub::user_known).
    FindUser {
        /// Ties the answer to it.
        id: QueryId,
        /// The name.
        name: Name,
    },
}

impl Hub {
    pub(super) fn request(&mut self, request: LogRequest) {
        self.events.push_back(Event::Log(request));
    }
}
