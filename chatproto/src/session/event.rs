//! What a session tells its program: owned facts.

use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use core::ops::Deref;
use core::time::Duration;

use bytes::Bytes;

use super::{Introduction, RoomKey, Violation};
use crate::Instant;
use crate::conn::Stage;
use crate::reach::{Action as ReachAction, Verdict};
use crate::wire::{
    Action, Change, CloseReason, DeviceEntry, DeviceId, ErrorCode, FrameType, Name, Note, NoteRef, OfferId,
    Purpose, Rank, RequestId, RoomId, ServerId, Subject, Text,
};

/// Something happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Dial the server now, then call `connected` or `connect_failed`. Whatever socket there was is of no use any more.
    Connect,
    /// The server said hello: call `login`.
    LoginWanted {
        /// Identity of the server's log.
        server: ServerId,
        /// Program and version.
        agent: Note,
        /// The login mechanisms offered, best first.
        mechanisms: Vec<Note>,
    },
    /// The mechanism's bytes from the server: call `respond`, or `abandon_login` if they are wrong.
    Challenge {
        /// The mechanism's bytes.
        data: SecretBytes,
    },
    /// The mechanism's bytes for the account that is being made: call `finish_registration`.
    RegisterChallenge {
        /// The mechanism's bytes.
        data: SecretBytes,
    },
    /// The account exists; call `login`.
    Registered,
    /// The mechanism's bytes for a change of the password: call `finish_password`, or `abandon_password` if they are wrong.
    PasswordChallenge {
        /// The request.
        request: RequestId,
        /// The mechanism's bytes.
        data: SecretBytes,
    },
    /// The password is changed; other sessions of the account end, and all tickets.
    PasswordChanged {
        /// The request.
        request: RequestId,
    },
    /// Answers `devices`.
    Devices {
        /// The request.
        request: RequestId,
        /// The devices, the latest login first.
        devices: Vec<DeviceEntry>,
    },
    /// The server, under its present certificate, says which one it will show next.
    ServerKey {
        /// SHA-256 of the DER certificate.
        fingerprint: [u8; 32],
    },
    /// The login failed. Not tried again until `reconnect_now`.
    LoginFailed {
        /// Why.
        code: ErrorCode,
        /// For how long the same is not worth trying, if the server said.
        retry_after: Option<Duration>,
        /// A remark for people, may be empty.
        note: Note,
    },
    /// Logged in.
    Ready {
        /// The account's ID as it is written to others.
        user: Name,
        /// The room that everybody is in unless they choose otherwise.
        default_room: Name,
        /// This client's address as the server sees it.
        observed: SocketAddr,
        /// Whether this session was logged in before.
        resumed: bool,
        /// A secret that resumes the session later; may be empty.
        ticket: SecretBytes,
        /// How long the ticket is good.
        ticket_lifetime: Duration,
        /// The mechanism's last bytes, may be empty.
        data: SecretBytes,
    },
    /// The connection, or the attempt to make one, has ended.
    Lost {
        /// Why.
        reason: LostReason,
        /// When the next attempt is made; `None` when there is none until `reconnect_now`.
        retry_in: Option<Duration>,
    },
    /// The server has another log than the one remembered: cursors were dropped and rooms are entered at their ends.
    NewLog {
        /// Identity of the server's log.
        server: ServerId,
    },
    /// After a reconnect, every room has caught up.
    Back {
        /// Messages of others that were said meanwhile and have been delivered.
        missed: u64,
    },
    /// The server was left for a direct link, as `leave_for_direct` asked.
    Away,
    /// The session has ended, as `quit` asked.
    Stopped,

    /// A room was entered.
    Joined {
        /// Which.
        room: RoomKey,
        /// The server's number for it.
        id: RoomId,
        /// Topic, may be empty.
        topic: Note,
        /// Number of its last message, 0 for none.
        last: u64,
        /// The `join` that it answers; `None` for a room of the configuration, a reconnect, or a conversation.
        request: Option<RequestId>,
    },
    /// A room was not entered and is not tried again.
    JoinRefused {
        /// Which.
        room: RoomKey,
        /// The `join` that it answers, if one.
        request: Option<RequestId>,
        /// Why.
        refusal: Refusal,
    },
    /// A room was left.
    Left {
        /// Which.
        room: RoomKey,
        /// Why, if it was not asked for.
        code: Option<ErrorCode>,
    },
    /// A conversation is over, because the other person's account was removed: it goes on, to be read, under another key.
    /// Whoever has that name next is somebody else.
    Retired {
        /// Its key until now.
        was: RoomKey,
        /// Its key from now on.
        room: RoomKey,
    },
    /// A message: each exactly once, in the order of the room.
    Message {
        /// The message.
        message: ChatMessage,
        /// Caught up rather than live.
        missed: bool,
    },
    /// These numbers of a room are gone for good.
    Gap {
        /// Which room.
        room: RoomKey,
        /// First number missing.
        from: u64,
        /// Last number missing.
        to: u64,
    },
    /// Everything said meanwhile was delivered; what follows is live.
    CaughtUp {
        /// Which room.
        room: RoomKey,
        /// Messages that were caught up, this device's own left out.
        missed: u64,
    },
    /// Somebody entered or left a room.
    Presence {
        /// Which room.
        room: RoomKey,
        /// Who.
        user: Name,
        /// With which device.
        device: DeviceId,
        /// What happened.
        change: Change,
    },
    /// A room, or what somebody may do there, was changed.
    Moderated {
        /// Which room.
        room: RoomKey,
        /// What was done.
        action: Action,
        /// Who did it; `None` when the server tells the present state on its own.
        by: Option<Name>,
        /// To whom.
        user: Option<Name>,
        /// For how long, where the action has a time; else 0.
        seconds: u32,
        /// The topic, or the reason; may be empty.
        note: Note,
        /// The `moderate` of this device that it answers.
        request: Option<RequestId>,
    },
    /// Somebody invites to a private room: `join` enters it.
    Invited {
        /// Which room.
        room: RoomKey,
        /// Who invites; `None` for the operator of the server.
        by: Option<Name>,
    },
    /// Something this device said is durable.
    Posted {
        /// The number that `say` gave.
        counter: u64,
        /// The room it went to.
        room: RoomKey,
        /// Its number in the room; 0 if the log has let go of the message since.
        seq: u64,
        /// When it was stored, in milliseconds since 1970-01-01 UTC; 0 if the log has let go of it.
        time: u64,
    },
    /// Something this device said was refused for good.
    SayRefused {
        /// The number that `say` gave.
        counter: u64,
        /// Where it should have gone.
        target: RoomKey,
        /// Why.
        code: ErrorCode,
        /// For how long the same is not worth trying, if the server said.
        retry_after: Option<Duration>,
        /// A remark for people, may be empty.
        note: Note,
    },

    /// One page of rooms.
    RoomList {
        /// The request.
        request: RequestId,
        /// The rooms, by name.
        rooms: Vec<RoomInfo>,
        /// Whether another page follows.
        more: bool,
    },
    /// One page of the people in a room.
    Members {
        /// The request; `None` when the server tells the present state on its own.
        request: Option<RequestId>,
        /// Which room.
        room: RoomKey,
        /// The people, by name.
        members: Vec<MemberInfo>,
        /// Whether another page follows.
        more: bool,
    },
    /// Answers `history` (oldest first) and `search` (newest first).
    Page {
        /// The request.
        request: RequestId,
        /// The messages.
        messages: Vec<ChatMessage>,
        /// Whether another page follows for this request.
        more: bool,
    },
    /// What holds for the whole server was changed, as `govern` asked.
    Governed {
        /// The request.
        request: RequestId,
        /// What was done.
        action: Action,
        /// Upon whom.
        subject: Option<Subject>,
        /// For how long, of a ban; 0 until it is lifted.
        seconds: u32,
        /// The reason, may be empty.
        note: Note,
    },
    /// Answers `inquire`; the audit log newest first.
    Report {
        /// The request.
        request: RequestId,
        /// What was done or is imposed.
        lines: Vec<LineInfo>,
        /// Whether another page follows for this request.
        more: bool,
    },
    /// A request has ended without an answer.
    Refused {
        /// The request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// The server reported an error that belongs to no request.
    ServerError {
        /// What is wrong.
        code: ErrorCode,
        /// Which frame it is about, if the server said.
        about: Option<FrameType>,
        /// For how long the same is not worth trying, if the server said.
        retry_after: Option<Duration>,
        /// A remark for people, may be empty.
        note: Note,
    },

    /// Somebody asks to be introduced: call `answer_peer`.
    PeerOffer {
        /// The server's number for it.
        offer: OfferId,
        /// Who asks.
        from: Name,
        /// With which device.
        device: DeviceId,
        /// What the link is for.
        purpose: Purpose,
        /// Until when it can be answered.
        expires: Instant,
    },
    /// An offer has ended without an introduction.
    PeerOfferClosed {
        /// The offer.
        offer: OfferId,
        /// Why.
        refusal: Refusal,
    },
    /// A peer request has ended without an introduction.
    PeerRequestClosed {
        /// The request.
        request: RequestId,
        /// Why.
        refusal: Refusal,
    },
    /// The server named the other side: dial, or wait and `admit`.
    Introduced(Introduction),
    /// Something is to be done to come together with the other side of an introduction: dial, probe, stop. Never
    /// [`Tell`](ReachAction::Tell) or [`Fail`](ReachAction::Fail), which the session does itself.
    Reach {
        /// The offer.
        offer: OfferId,
        /// What to do.
        action: ReachAction,
    },
    /// An introduction ended without a link: no way worked, or it expired.
    LinkFailed {
        /// The offer.
        offer: OfferId,
        /// The other person.
        peer: Name,
        /// What for.
        purpose: Purpose,
        /// Why.
        verdict: Verdict,
    },
    /// Answers [`Session::test_reach`](super::Session::test_reach).
    Reached {
        /// The request.
        request: RequestId,
        /// Where the server tried.
        address: SocketAddr,
        /// Why not; `None` when it got through to this device.
        code: Option<ErrorCode>,
    },
}

/// What is to be changed about a room, or about a person there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What to do.
    pub action: Action,
    /// To whom; `None` for the topic and slow mode.
    pub user: Option<Name>,
    /// For how long, where the action has a time; 0 for no end, or, of slow mode, for none.
    pub seconds: u32,
    /// The topic, or the reason; may be empty.
    pub note: Note,
}

/// What is to be changed for the whole server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decree {
    /// Ban, unban, lockdown, hush or unlock.
    pub action: Action,
    /// Upon whom, of a ban and its lifting.
    pub subject: Option<Subject>,
    /// For how long, of a ban; 0 until it is lifted.
    pub seconds: u32,
    /// The reason, may be empty.
    pub note: Note,
}

/// One thing that was done or is imposed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineInfo {
    /// Its number in the audit log; 0 of what is imposed.
    pub number: u64,
    /// When, in milliseconds since 1970-01-01 UTC; 0 of what is imposed.
    pub time: u64,
    /// The room's name; empty for the whole server.
    pub room: Note,
    /// Who did it; empty for the operator of the server, and of what is imposed.
    pub by: Note,
    /// What.
    pub action: Action,
    /// Upon whom; may be empty.
    pub subject: Note,
    /// For how long it was done, or still holds; 0 without an end, or where there is no time.
    pub seconds: u32,
    /// The reason, or the topic; may be empty.
    pub note: Note,
}

/// One message of a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChatMessage {
    /// Which room.
    pub room: RoomKey,
    /// Its number in the room.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// Who said it.
    pub from: Name,
    /// With which device.
    pub device: DeviceId,
    /// The device's own number for it.
    pub counter: u64,
    /// What was said.
    pub text: Text,
}

/// One room of a room list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomInfo {
    /// The server's number for it.
    pub id: RoomId,
    /// Its name.
    pub name: Name,
    /// How many people are in it now.
    pub people: u32,
    /// Number of its last message, 0 for none.
    pub last: u64,
    /// Topic, may be empty.
    pub topic: Note,
}

/// One person in a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemberInfo {
    /// Who.
    pub user: Name,
    /// With how many devices.
    pub devices: u16,
    /// What they are in the room.
    pub rank: Rank,
}

/// Why a request has ended without what it asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// For a reason that has a code.
    Code {
        /// The code.
        code: ErrorCode,
        /// When to try again, if the server gave advice.
        retry_after: Option<Duration>,
        /// A remark for people, may be empty.
        note: Note,
    },
    /// The connection ended before the answer came.
    ConnectionLost,
}

impl Refusal {
    /// The code, unless the connection was lost.
    #[must_use]
    pub fn code(&self) -> Option<ErrorCode> {
        match self {
            Self::Code { code, .. } => Some(*code),
            Self::ConnectionLost => None,
        }
    }

    /// When to try again, if the server gave advice.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Code { retry_after, .. } => *retry_after,
            Self::ConnectionLost => None,
        }
    }

    pub(super) fn because(code: ErrorCode) -> Self {
        Self::Code { code, retry_after: None, note: NoteRef::EMPTY.to_owned() }
    }
}

/// Why a connection, or an attempt to make one, has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LostReason {
    /// The driver could not connect, or not in time.
    Unreachable,
    /// The connection ended without a bye.
    Closed {
        /// Bytes of a frame that had begun; more than 0 when it was cut in the middle.
        cut: usize,
    },
    /// The server said bye.
    Bye {
        /// Its reason.
        reason: CloseReason,
        /// What it complained about before, if it did.
        error: Option<ErrorCode>,
        /// A remark for people, may be empty.
        note: Note,
    },
    /// The server broke the rules.
    Violation(Violation),
    /// Nothing came in time, at this stage.
    Timeout(Stage),
    /// The server did not take what was sent.
    TooSlow,
}

/// Bytes that may be secret: they print as `***`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretBytes(Bytes);

impl SecretBytes {
    pub(super) fn copied(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }

    /// The bytes themselves; sharing, not copying.
    #[must_use]
    pub fn into_bytes(self) -> Bytes {
        self.0
    }
}

impl Deref for SecretBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
