//! Everything that can be told to the user: plain, owned facts, without a word about how they look.
//!
//! The serde form of a [`Notice`] is its JSON event. Scripts rely on the names: more may join, none may change.

mod code;
mod json;
mod time;

pub use code::Code;
pub(crate) use time::timestamp;

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use chatproto::wire::{Action, DeviceId, Hash, Name, Note, Purpose, Rank, SafeName, SafeRelPath, Text};
use serde::Serialize;

use crate::portmap::Protocol;
use crate::settings::RelayPolicy;
use crate::state::ConsentRule;

/// One thing that happened, or one answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Notice {
    /// Logged in; told once.
    Ready {
        /// The account as it is written to others.
        #[serde(serialize_with = "json::name")]
        user: Name,
        /// This device: which of the own messages come from here.
        #[serde(serialize_with = "json::shown")]
        device: DeviceId,
        /// The server as it was named, `host:port`.
        server: String,
        /// The port on which peers may connect.
        #[serde(skip_serializing_if = "Option::is_none")]
        peer_port: Option<u16>,
        /// The rooms that this client is in or is entering, by name.
        #[serde(serialize_with = "json::names")]
        rooms: Vec<Name>,
    },
    /// A message, live or caught up; own ones too, once.
    Message {
        /// The message.
        #[serde(flatten)]
        message: Message,
        /// Caught up rather than live.
        #[serde(skip_serializing_if = "is_false")]
        missed: bool,
    },
    /// An own message is durable.
    Posted {
        /// Where it stands.
        #[serde(flatten)]
        place: Place,
        /// Its number there.
        seq: u64,
        /// The id that the message has everywhere.
        id: MessageId,
    },
    /// The account of this person was removed: what was said in the conversation stays, and whoever has the name next is
    /// somebody else.
    ConversationOver {
        /// Whose.
        #[serde(serialize_with = "json::name")]
        with: Name,
    },
    /// These messages are gone for good.
    Gap {
        /// Where; `To` is the other person of a conversation, whoever it was said to.
        #[serde(flatten, serialize_with = "json::conversation")]
        place: Place,
        /// First number missing.
        from: u64,
        /// Last number missing.
        to: u64,
    },
    /// Somebody entered a room. Not told of those already there.
    Joined {
        /// Which.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// Who; also this user.
        #[serde(serialize_with = "json::name")]
        user: Name,
    },
    /// Somebody left a room.
    Left {
        /// Which.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// Who; also this user.
        #[serde(serialize_with = "json::name")]
        user: Name,
    },

    /// The topic of a room: at its entering, when it changes, and when `/topic` asks.
    Topic {
        /// Which room.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// The topic; empty when there is none.
        #[serde(serialize_with = "json::note")]
        topic: Note,
        /// Who set it just now.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        by: Option<Name>,
    },
    /// A room, or what somebody may do there, was changed.
    Moderated {
        /// Which room.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// What was done.
        #[serde(serialize_with = "json::action")]
        action: Action,
        /// Who did it.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        by: Option<Name>,
        /// To whom.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        user: Option<Name>,
        /// For how long, in seconds; absent where there is no time or no end.
        #[serde(skip_serializing_if = "is_zero")]
        seconds: u32,
        /// Why, if that was said.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
        reason: Option<Note>,
    },
    /// Somebody invites this user to a private room.
    Invited {
        /// Which room; `/join` enters it.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// Who invites; absent for the operator of the server.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        by: Option<Name>,
    },

    /// What holds for the whole server was changed, as this user asked.
    Governed {
        /// What was done.
        #[serde(serialize_with = "json::action")]
        action: Action,
        /// Upon whom: an account, an address or a network.
        #[serde(skip_serializing_if = "Option::is_none")]
        subject: Option<String>,
        /// For how long, in seconds; absent where there is no time or no end.
        #[serde(skip_serializing_if = "is_zero")]
        seconds: u32,
        /// Why, if that was said.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
        reason: Option<Note>,
    },
    /// What was done, the latest last: answers `/audit` and `/server-audit`.
    Audit {
        /// In which room; absent for the whole server.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        room: Option<Name>,
        /// The lines.
        audit: Vec<Line>,
    },
    /// Who may not speak or enter: answers `/bans` and `/server-bans`.
    Bans {
        /// In which room; absent for the whole server.
        #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::name_if_any")]
        room: Option<Name>,
        /// The lines; of the server also its lockdown.
        bans: Vec<Line>,
    },

    /// A peer asks; the answer is `/accept ID` or `/deny ID`.
    PeerRequest {
        /// The id of the request.
        #[serde(serialize_with = "json::shown")]
        id: u64,
        /// Who asks.
        #[serde(serialize_with = "json::name")]
        from: Name,
        /// What for.
        #[serde(serialize_with = "json::purpose")]
        purpose: Purpose,
    },
    /// A peer's request needs no answer any more.
    PeerRequestClosed {
        /// The id of the request.
        #[serde(serialize_with = "json::shown")]
        id: u64,
        /// Why, unless it was answered here.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Code>,
    },
    /// A direct link stands.
    PeerConnected {
        /// With whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// With which of their devices.
        #[serde(serialize_with = "json::shown")]
        device: DeviceId,
        /// How it came about.
        path: LinkPath,
        /// Whether the user has compared codes with this device.
        verified: bool,
    },
    /// A direct link did not come about.
    PeerFailed {
        /// With whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// Why.
        verdict: Code,
        /// Why, for people.
        message: String,
    },
    /// Answers `/reach`.
    Reach {
        /// Whether peers can connect to this client.
        reachable: bool,
        /// Where the server tried.
        #[serde(serialize_with = "json::shown")]
        address: SocketAddr,
        /// Why not.
        #[serde(skip_serializing_if = "Option::is_none")]
        verdict: Option<Code>,
        /// The same, for people.
        message: String,
    },
    /// What became of a port of the router, with `--map-port`.
    PortMapping {
        /// Whether one leads to this client.
        mapped: bool,
        /// Which, as the router says it.
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<SocketAddr>,
        /// How it was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        protocol: Option<Protocol>,
        /// The same, for people, or why there is none.
        message: String,
    },
    /// A direct link has ended.
    PeerClosed {
        /// With whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// Why: a close reason of the protocol, or a word of the same kind.
        reason: String,
    },
    /// Both have left the server; the link goes on.
    Direct {
        /// With whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
    },
    /// Something said over the link.
    PeerMessage {
        /// By whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// What.
        #[serde(serialize_with = "json::text")]
        text: Text,
    },
    /// One page of a peer's numbered list.
    FileList {
        /// Whose files.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// Which folder; empty for the root.
        #[serde(serialize_with = "json::path")]
        path: SafeRelPath,
        /// Which look at the folder: numbers belong to one generation.
        generation: u32,
        /// This page, counted from 1.
        page: u32,
        /// How many pages there are, at least 1.
        pages: u32,
        /// How many entries are on all pages.
        total: u32,
        /// Whether another page follows.
        more: bool,
        /// The entries.
        entries: Vec<FileEntry>,
    },
    /// A transfer began, went on, or ended.
    Transfer(Transfer),
    /// Everything that one `/get` asked for has ended.
    Fetched {
        /// From whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// Files that arrived.
        done: u64,
        /// Files and folders that did not.
        failed: u64,
        /// Files that were cancelled.
        cancelled: u64,
        /// Bytes of the files that arrived.
        bytes: u64,
        /// How long it took, in milliseconds.
        #[serde(rename = "ms")]
        millis: u64,
    },
    /// A file that a peer fetches from here. A name of its own, so that who waits for a `transfer` of theirs meets no other.
    Upload(Transfer),

    /// Answers `/rooms`.
    Rooms {
        /// The rooms, by name.
        rooms: Vec<Room>,
    },
    /// Answers `/who`.
    Who {
        /// Which room.
        #[serde(serialize_with = "json::name")]
        room: Name,
        /// The people, by name.
        who: Vec<Person>,
    },
    /// Answers `/history`, oldest first.
    History {
        /// The messages.
        history: Vec<Message>,
    },
    /// Answers `/search`, newest first.
    Search {
        /// The messages.
        search: Vec<Message>,
    },
    /// Answers `/transfers`.
    Transfers {
        /// Those of both directions.
        transfers: Vec<Transfer>,
    },
    /// Answers `/peers`.
    Peers {
        /// Links, and those under way.
        peers: Vec<Peer>,
    },

    /// The account was made.
    Registered {
        /// Its ID.
        #[serde(serialize_with = "json::name")]
        user: Name,
    },
    /// The password was changed; other sessions of the account have ended.
    PasswordChanged,
    /// Answers `/verify` and `/trust`: the codes to compare.
    PeerKeys {
        /// With whom.
        #[serde(serialize_with = "json::name")]
        peer: Name,
        /// One for each of their devices that was met.
        keys: Vec<PeerKey>,
    },
    /// Answers `/consent`.
    Consent {
        /// Rules for people, then for rooms.
        rules: Vec<ConsentLine>,
        /// What all others are told.
        otherwise: ConsentRule,
    },
    /// Answers `/relay`.
    Relay {
        /// Those who get links through the relay alone.
        only: Vec<String>,
        /// What it is used for with all others.
        otherwise: RelayPolicy,
    },
    /// Answers `/devices` and `/revoke`.
    Devices {
        /// The devices, the latest login first.
        devices: Vec<AccountDevice>,
    },

    /// The server is gone; not told when the client left it for a direct link.
    ServerLost {
        /// Why.
        reason: String,
        /// When the next attempt is made, in milliseconds from now; absent when there is none.
        #[serde(skip_serializing_if = "Option::is_none")]
        retry_ms: Option<u64>,
    },
    /// The server is back, and everything said meanwhile was delivered.
    ServerBack {
        /// How many messages that were.
        missed: u64,
    },
    /// A command with a `ref` is done, and nothing else has answered it.
    Done {
        /// The command, as it was given.
        cmd: String,
    },
    /// A command, or the program, failed.
    Error {
        /// Why, for programs.
        code: Code,
        /// Why, for people.
        message: String,
        /// The certificate that an unknown server shows.
        #[serde(skip_serializing_if = "Option::is_none")]
        fingerprint: Option<String>,
    },

    /// A remark for people; no event.
    #[serde(skip)]
    Info(String),
    /// The list of commands, for people; no event.
    #[serde(skip)]
    Help,
}

impl Notice {
    /// An [`Notice::Error`] without more than a code and a sentence.
    pub fn error(code: impl Into<Code>, message: impl Into<String>) -> Self {
        Self::Error { code: code.into(), message: message.into(), fingerprint: None }
    }

    /// Whether programs are told, too.
    #[must_use]
    pub fn is_event(&self) -> bool {
        !matches!(self, Self::Info(_) | Self::Help)
    }
}

/// One message of a room or of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Message {
    /// Where it stands.
    #[serde(flatten)]
    pub place: Place,
    /// Its number there.
    pub seq: u64,
    /// The id that it has everywhere.
    pub id: MessageId,
    /// Who said it.
    #[serde(serialize_with = "json::name")]
    pub from: Name,
    /// With which device.
    #[serde(serialize_with = "json::shown")]
    pub device: DeviceId,
    /// What was said.
    #[serde(serialize_with = "json::text")]
    pub text: Text,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    #[serde(serialize_with = "json::time")]
    pub time: u64,
}

/// Where a message stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// In this room.
    #[serde(serialize_with = "json::name")]
    Room(Name),
    /// In a conversation: the one it was said to.
    #[serde(serialize_with = "json::name")]
    To(Name),
    /// In what is left of the conversation with this person, whose account was removed.
    #[serde(serialize_with = "json::name")]
    Former(Name),
}

/// Names a message for good: no two have the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The device that said it.
    pub device: DeviceId,
    /// The device's own number for it.
    pub counter: u64,
}

/// How a link came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkPath {
    /// Who asked for it dialled.
    Direct,
    /// Who was asked dialled.
    Reverse,
    /// Both dialled at once.
    Punched,
    /// Through the server's relay.
    Relay,
}

/// One line of a peer's list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FileEntry {
    /// What `/get` takes.
    pub number: u32,
    /// File or folder.
    pub kind: FileKind,
    /// The name.
    #[serde(serialize_with = "json::safe_name")]
    pub name: SafeName,
    /// Size in bytes; absent for a folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
}

/// What a line of a list names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FileKind {
    /// A file, to fetch by its number.
    File,
    /// A folder, to list by its path.
    Dir,
}

/// One transfer at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Transfer {
    /// This client's number for it, over all links.
    #[serde(serialize_with = "json::shown")]
    pub id: u64,
    /// The other side.
    #[serde(serialize_with = "json::name")]
    pub peer: Name,
    /// Which way the file goes.
    pub direction: Direction,
    /// The file.
    #[serde(serialize_with = "json::safe_name")]
    pub name: SafeName,
    /// The folder that it is to lie in, or lies in where it is shared, below the download folder or the share; empty
    /// for these themselves.
    #[serde(skip_serializing_if = "json::is_root", serialize_with = "json::path")]
    pub folder: SafeRelPath,
    /// Its size in bytes, once known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// How many bytes have come or gone.
    pub bytes: u64,
    /// How far it is.
    pub state: TransferState,
    /// Bytes a second, over the last moments; of one that moves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub speed: Option<u64>,
    /// Microseconds from the request to the first bytes that were verified; of one that comes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_byte_us: Option<u64>,
    /// Where the file is now; of a received one that is done.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::local_path")]
    pub path: Option<PathBuf>,
    /// The root over all of its bytes; of one that is done.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::shown_if_any")]
    pub blake3: Option<Hash>,
    /// Place in the sender's queue, from 1; of one that is queued.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<u32>,
    /// Why it ended; of one that failed or was cancelled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Code>,
    /// Why, for people, where there is more to say than the code does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Transfer {
    /// One that was asked for, and of which nothing has come or gone.
    #[must_use]
    pub fn new(id: u64, peer: Name, direction: Direction, folder: SafeRelPath, name: SafeName) -> Self {
        Self {
            id,
            peer,
            direction,
            name,
            folder,
            size: None,
            bytes: 0,
            state: TransferState::Queued,
            speed: None,
            first_byte_us: None,
            path: None,
            blake3: None,
            position: None,
            error: None,
            message: None,
        }
    }
}

/// Which way a file goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// From the peer to here.
    In,
    /// From here to the peer.
    Out,
}

/// How far a transfer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferState {
    /// Asked for; nothing has come.
    Queued,
    /// There is no link with the peer. What came is kept, and it goes on once there is one.
    Waiting,
    /// Bytes are moving.
    Active,
    /// Stopped for now, by either side.
    Paused,
    /// All there, verified, at its place.
    Done,
    /// Ended without the file.
    Failed,
    /// Ended because one side wished so.
    Cancelled,
}

/// One room of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Room {
    /// Its name.
    #[serde(serialize_with = "json::name")]
    pub room: Name,
    /// How many people are in it now.
    pub people: u32,
    /// Number of its last message; 0 for none.
    pub last: u64,
    /// Topic; absent when there is none.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
    pub topic: Option<Note>,
    /// Whether this client is in it.
    pub joined: bool,
}

/// One person in a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Person {
    /// Who.
    #[serde(serialize_with = "json::name")]
    pub user: Name,
    /// With how many devices.
    pub devices: u16,
    /// What they are in the room; absent when no more than there.
    #[serde(skip_serializing_if = "is_guest", serialize_with = "json::rank")]
    pub rank: Rank,
}

/// One thing that was done, or is imposed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Its number in the audit log; absent of what is imposed.
    #[serde(skip_serializing_if = "is_none")]
    pub number: u64,
    /// When, in milliseconds since 1970-01-01 UTC; absent of what is imposed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::time_if_any")]
    pub time: Option<u64>,
    /// The room's name; absent for the whole server.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
    pub room: Option<Note>,
    /// Who did it; absent for the operator of the server, and of what is imposed.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
    pub by: Option<Note>,
    /// What.
    #[serde(serialize_with = "json::action")]
    pub action: Action,
    /// Upon whom.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::note_if_any")]
    pub subject: Option<Note>,
    /// For how long it was done, or still holds, in seconds; absent where there is no time or no end.
    #[serde(skip_serializing_if = "is_zero")]
    pub seconds: u32,
    /// The reason, or the topic.
    #[serde(
        rename = "reason",
        skip_serializing_if = "Option::is_none",
        serialize_with = "json::note_if_any"
    )]
    pub note: Option<Note>,
}

/// A device of somebody, and the code that its owner sees, too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PeerKey {
    /// The device.
    #[serde(serialize_with = "json::shown")]
    pub device: DeviceId,
    /// Groups of digits.
    pub code: String,
    /// Whether it was compared and is right.
    pub verified: bool,
}

/// What somebody who asks is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ConsentLine {
    /// Who.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    /// Or everybody in this room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room: Option<String>,
    /// What.
    pub rule: ConsentRule,
}

/// A device of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountDevice {
    /// Its name.
    #[serde(serialize_with = "json::shown")]
    pub device: DeviceId,
    /// First login, in milliseconds since 1970-01-01 UTC.
    #[serde(serialize_with = "json::time")]
    pub first: u64,
    /// Last login, in milliseconds since 1970-01-01 UTC.
    #[serde(serialize_with = "json::time")]
    pub last: u64,
    /// From where the last login came.
    pub address: IpAddr,
    /// Whether it can log in without the password.
    pub ticket: bool,
    /// Whether it is connected.
    pub online: bool,
    /// Whether it is the one that asks.
    pub this: bool,
}

/// One link, or what may become one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Peer {
    /// With whom.
    #[serde(serialize_with = "json::name")]
    pub peer: Name,
    /// How far it is.
    pub state: PeerState,
    /// With which of their devices, once known.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::shown_if_any")]
    pub device: Option<DeviceId>,
    /// Whether the user has compared codes with the device.
    #[serde(skip_serializing_if = "is_false")]
    pub verified: bool,
    /// How it came about, once it stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<LinkPath>,
    /// The id to answer with; of one that waits for the user.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "json::shown_if_any")]
    pub id: Option<u64>,
}

/// How far a link is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PeerState {
    /// They ask, and the user has not answered.
    Waiting,
    /// They were asked, and have not answered.
    Asked,
    /// Both agree; nothing stands yet.
    Connecting,
    /// The link stands.
    Connected,
    /// The link stands, and both have left the server for it.
    Direct,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_zero(value: &u32) -> bool {
    *value == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_none(number: &u64) -> bool {
    *number == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_guest(rank: &Rank) -> bool {
    *rank == Rank::Guest
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out a reference")]
fn is_false(value: &bool) -> bool {
    !*value
}

#[cfg(test)]
mod tests;
