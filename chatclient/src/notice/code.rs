//! Why something failed: the wire's codes, and those of this program.

use chatproto::wire::ErrorCode;

use crate::exit::ExitStatus;

/// Why something failed. Its name is the `code` of the `error` event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// A code of the protocol, from the other side or found here.
    Wire(ErrorCode),
    /// The line or the argument is not understood.
    Usage,
    /// The server was never met, and nothing says which certificate it should show.
    UnknownServer,
    /// The server shows another certificate than the one it is pinned to.
    ServerChanged,
    /// The server cannot be reached.
    Connect,
    /// The connection ended before the answer came.
    ConnectionLost,
    /// There is no connection to the server now.
    NotConnected,
    /// Another client uses the state directory.
    StateInUse,
    /// The state directory cannot be used.
    State,
    /// The address for peers cannot be listened on.
    PeerListen,
    /// No room is the current one.
    NoRoom,
    /// There is no link with this person, or none that could be meant.
    NoPeer,
    /// No list of this peer was shown yet.
    NoList,
    /// No transfer has this id.
    NoSuchTransfer,
    /// No request has this id.
    NoSuchRequest,
    /// None of the peer's addresses answered.
    Unreachable,
    /// The peer's device shows another key than before, or than the one introduced.
    KeyMismatch,
    /// The link ended in the middle.
    LinkLost,
    /// More than one command may ask for.
    TooMuch,
    /// The user, or a signal, ended the program.
    Interrupted,
}

impl Code {
    /// Lower case, words joined by `_`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wire(code) => code.name(),
            Self::Usage => "usage",
            Self::UnknownServer => "unknown_server",
            Self::ServerChanged => "server_key_changed",
            Self::Connect => "connect",
            Self::ConnectionLost => "connection_lost",
            Self::NotConnected => "not_connected",
            Self::StateInUse => "state_in_use",
            Self::State => "state",
            Self::PeerListen => "peer_listen",
            Self::NoRoom => "no_room",
            Self::NoPeer => "no_peer",
            Self::NoList => "no_list",
            Self::NoSuchTransfer => "no_such_transfer",
            Self::NoSuchRequest => "no_such_request",
            Self::Unreachable => "unreachable",
            Self::KeyMismatch => "key_mismatch",
            Self::LinkLost => "link_lost",
            Self::TooMuch => "too_much",
            Self::Interrupted => "interrupted",
        }
    }

    /// The code of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let own = [
            Self::Usage,
            Self::UnknownServer,
            Self::ServerChanged,
            Self::Connect,
            Self::ConnectionLost,
            Self::NotConnected,
            Self::StateInUse,
            Self::State,
            Self::PeerListen,
            Self::NoRoom,
            Self::NoPeer,
            Self::NoList,
            Self::NoSuchTransfer,
            Self::NoSuchRequest,
            Self::Unreachable,
            Self::KeyMismatch,
            Self::LinkLost,
            Self::TooMuch,
            Self::Interrupted,
        ];
        let wire = ErrorCode::ALL.iter().copied().map(Self::Wire);
        wire.chain(own).find(|code| code.name() == name)
    }

    /// What happened, in one sentence without its full stop.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Wire(code) => code.meaning().trim_end_matches('.'),
            Self::Usage => "the command is not understood",
            Self::UnknownServer => "the server is not known",
            Self::ServerChanged => "the server shows another certificate than before",
            Self::Connect => "the server cannot be reached",
            Self::ConnectionLost => "the connection ended before the answer came",
            Self::NotConnected => "there is no connection to the server now",
            Self::StateInUse => "another client uses the state directory",
            Self::State => "the state directory cannot be used",
            Self::PeerListen => "the address for peers cannot be listened on",
            Self::NoRoom => "no room is the current one",
            Self::NoPeer => "there is no link with this person",
            Self::NoList => "no list of this peer was shown yet",
            Self::NoSuchTransfer => "no transfer has this id",
            Self::NoSuchRequest => "no request has this id",
            Self::Unreachable => "none of the peer's addresses answered",
            Self::KeyMismatch => "the peer's device shows another key than it should",
            Self::LinkLost => "the link ended in the middle",
            Self::TooMuch => "this is more than one command may ask for",
            Self::Interrupted => "the program was ended",
        }
    }

    /// How the program ends when this is the first failure.
    #[must_use]
    pub const fn exit_status(self) -> ExitStatus {
        match self {
            Self::Wire(code) => wire_status(code),
            Self::Usage => ExitStatus::Usage,
            Self::UnknownServer | Self::ServerChanged | Self::Connect | Self::NotConnected => {
                ExitStatus::Connect
            }
            Self::ConnectionLost
            | Self::StateInUse
            | Self::State
            | Self::PeerListen
            | Self::LinkLost
            | Self::TooMuch
            | Self::Unreachable => ExitStatus::Failure,
            Self::NoRoom | Self::NoPeer | Self::NoList | Self::NoSuchTransfer | Self::NoSuchRequest => {
                ExitStatus::NotFound
            }
            Self::KeyMismatch => ExitStatus::Verification,
            Self::Interrupted => ExitStatus::Interrupted,
        }
    }
}

const fn wire_status(code: ErrorCode) -> ExitStatus {
    use ErrorCode as E;
    match code {
        E::Version | E::UnknownMechanism => ExitStatus::Connect,
        E::LoginRefused
        | E::AccountRemoved
        | E::RegistrationClosed
        | E::NameTaken
        | E::BadInvite
        | E::TooManyAttempts
        | E::WrongPassword
        | E::Barred
        | E::LockedDown => ExitStatus::Login,
        E::NoSuchDevice
        | E::NoSuchRoom
        | E::NoSuchUser
        | E::Offline
        | E::NoSuchPath
        | E::NoSuchNumber
        | E::NotAFile
        | E::NoShare
        | E::Gone => ExitStatus::NotFound,
        E::NotMember
        | E::RoomExists
        | E::Forbidden
        | E::Muted
        | E::ConversationOver
        | E::SlowMode
        | E::Banned
        | E::Kicked
        | E::RoomFull
        | E::TooFast
        | E::TooManyRooms
        | E::TooManyRequests
        | E::TooManyTransfers
        | E::Flood
        | E::Denied
        | E::NoPeerPort
        | E::SelfRequest
        | E::BadTicket
        | E::NoRelay
        | E::Declined
        | E::NotSupported => ExitStatus::Refused,
        E::VerifyFailed | E::WrongKey => ExitStatus::Verification,
        E::Timeout | E::Expired | E::DialTimeout => ExitStatus::Timeout,
        E::Malformed
        | E::TooLarge
        | E::UnknownFrame
        | E::WrongState
        | E::Internal
        | E::ShuttingDown
        | E::Busy
        | E::Replaced
        | E::NotStored
        | E::Backlog
        | E::Withdrawn
        | E::AnsweredElsewhere
        | E::NoAnnounce
        | E::NotReachable
        | E::DialRefused
        | E::NoRoute
        | E::PrivateAddress
        | E::NoFamily
        | E::RelayBusy
        | E::LinkBroken
        | E::Changed
        | E::Unreadable
        | E::Cancelled
        | E::Storage => ExitStatus::Failure,
    }
}

impl From<ErrorCode> for Code {
    fn from(code: ErrorCode) -> Self {
        Self::Wire(code)
    }
}
