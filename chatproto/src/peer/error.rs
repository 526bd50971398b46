//! Faults of the other end, and mistakes of the program: two kinds, and never one for the other.

use thiserror::Error;

use super::State;
use crate::wire::{
    CloseReason, ErrorCode, FrameError, FrameType, MAX_UNIT_LOG2, MIN_FRAME, MIN_UNIT_LOG2, RequestId,
    TransferId, VERSION,
};

/// Which rule the other end broke. Its text goes to the other end and into a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// Bytes that are no frame that may come here.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that may not come in this state.
    #[error("`{frame}` is not allowed while {state}")]
    WrongState {
        /// The frame.
        frame: FrameType,
        /// The state of the end that got it.
        state: State,
    },
    /// The hello is not one of this protocol.
    #[error("the hello is not one of this protocol")]
    Magic,
    /// No version in common.
    #[error("versions {min} to {max} are offered, but this side speaks {VERSION}")]
    Version {
        /// Lowest version of the other end.
        min: u8,
        /// Highest version of the other end.
        max: u8,
    },
    /// The other end accepts too little.
    #[error("frames of at most {max} bytes are accepted, but {MIN_FRAME} are needed")]
    FrameLimit {
        /// Its limit in bytes.
        max: u32,
    },
    /// Somebody else answered than was introduced.
    #[error("the link was answered by somebody else than was introduced")]
    WrongPeer,
    /// More frames than the budget allows.
    #[error("more frames than the budget of {max} allows")]
    Flood {
        /// Frames in an interval.
        max: u32,
    },
    /// More waits for the other end than it may leave unread.
    #[error("more than {max} bytes wait to be read")]
    TooSlow {
        /// The limit in bytes.
        max: usize,
    },
    /// A chat frame with the wrong number.
    #[error("`{frame}` has the number {found}, expected was {expected}")]
    Counter {
        /// The frame.
        frame: FrameType,
        /// The number expected; for an acknowledgement, the highest that is possible.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// A list frame that does not fit its request.
    #[error("`{frame}` for request {request}: {fault}")]
    List {
        /// The frame.
        frame: FrameType,
        /// The request.
        request: RequestId,
        /// What is wrong.
        fault: ListFault,
    },
    /// A file frame that does not fit its transfer.
    #[error("`{frame}` for transfer {transfer}: {fault}")]
    Transfer {
        /// The frame.
        frame: FrameType,
        /// The transfer.
        transfer: TransferId,
        /// What is wrong.
        fault: TransferFault,
    },
}

/// What is wrong with a list frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListFault {
    /// A request of this number is still open.
    #[error("the number is in use")]
    InUse,
    /// No request of this number is open.
    #[error("it was not asked for")]
    NotAsked,
    /// It is about another folder, generation or page than was asked for.
    #[error("it has another {field} than was asked for")]
    Differs {
        /// Name of the field.
        field: &'static str,
    },
    /// A page number outside of the list, or an entry number outside of the total.
    #[error("`{field}` is out of range")]
    OutOfRange {
        /// Name of the field.
        field: &'static str,
    },
}

/// What is wrong with a file frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransferFault {
    /// The number belongs to the other side.
    #[error("the number belongs to the other side")]
    WrongParity,
    /// Numbers must rise; this one does not.
    #[error("the number is not above the last one, {last}")]
    NotRising {
        /// The highest number so far.
        last: u32,
    },
    /// The number was never asked for.
    #[error("it was never asked for")]
    NeverAsked,
    /// The frame does not fit how far the transfer has come.
    #[error("not allowed {when}")]
    WrongStage {
        /// How far it has come.
        when: &'static str,
    },
    /// A unit of a size that does not exist.
    #[error("a unit of 2^{log2} bytes, allowed are 2^{MIN_UNIT_LOG2} to 2^{MAX_UNIT_LOG2}")]
    UnitSize {
        /// The exponent.
        log2: u8,
    },
    /// The first byte wanted is not the first of a unit.
    #[error("offset {offset} is not at the start of a unit")]
    OffsetInUnit {
        /// The offset in bytes.
        offset: u64,
    },
    /// The digest over what is held must be there exactly when something is held.
    #[error("the digest over what is held goes with an offset above 0 and with nothing else")]
    Held,
    /// The head does not repeat what was asked for.
    #[error("it has another {field} than was asked for")]
    Differs {
        /// Name of the field.
        field: &'static str,
    },
    /// The first byte that comes lies behind the end.
    #[error("offset {offset} is past the size of {size} bytes")]
    OffsetPastEnd {
        /// The offset in bytes.
        offset: u64,
        /// The size in bytes.
        size: u64,
    },
    /// Bytes out of order.
    #[error("offset {found}, expected was {expected}")]
    Offset {
        /// The offset expected.
        expected: u64,
        /// The offset found.
        found: u64,
    },
    /// No bytes.
    #[error("it carries no bytes")]
    Empty,
    /// Bytes past the end of the unit or the file.
    #[error("its bytes go past offset {end}, where the unit ends")]
    PastUnit {
        /// Where the unit ends.
        end: u64,
    },
    /// A unit's value out of order.
    #[error("unit {found}, expected was {expected}")]
    Unit {
        /// The unit expected.
        expected: u64,
        /// The unit found.
        found: u64,
    },
    /// A unit's value or the end before all of its bytes.
    #[error("{missing} bytes are missing before it")]
    Early {
        /// How many bytes.
        missing: u64,
    },
}

impl Violation {
    /// The code that goes on the wire.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Frame(error) => error.code(),
            Self::WrongState { .. } => ErrorCode::WrongState,
            Self::Magic | Self::FrameLimit { .. } | Self::Counter { .. } => ErrorCode::Malformed,
            Self::Version { .. } => ErrorCode::Version,
            Self::WrongPeer => ErrorCode::BadTicket,
            Self::Flood { .. } | Self::TooSlow { .. } => ErrorCode::Flood,
            Self::List { fault, .. } => match fault {
                ListFault::InUse | ListFault::NotAsked => ErrorCode::WrongState,
                ListFault::Differs { .. } | ListFault::OutOfRange { .. } => ErrorCode::Malformed,
            },
            Self::Transfer { fault, .. } => fault.code(),
        }
    }

    /// The frame type that it is about; 0 for none in particular.
    #[must_use]
    pub fn about(&self) -> u8 {
        match self {
            Self::Frame(error) => error.about(),
            Self::WrongState { frame, .. }
            | Self::Counter { frame, .. }
            | Self::List { frame, .. }
            | Self::Transfer { frame, .. } => frame.number(),
            Self::Magic | Self::Version { .. } | Self::FrameLimit { .. } => FrameType::LinkHello.number(),
            Self::WrongPeer => FrameType::LinkWelcome.number(),
            Self::Flood { .. } | Self::TooSlow { .. } => 0,
        }
    }

    /// The reason of the bye.
    #[must_use]
    pub fn close_reason(&self) -> CloseReason {
        match self {
            Self::TooSlow { .. } => CloseReason::TooSlow,
            Self::Frame(_)
            | Self::WrongState { .. }
            | Self::Magic
            | Self::Version { .. }
            | Self::FrameLimit { .. }
            | Self::WrongPeer
            | Self::Flood { .. }
            | Self::Counter { .. }
            | Self::List { .. }
            | Self::Transfer { .. } => CloseReason::Violation,
        }
    }
}

impl TransferFault {
    fn code(self) -> ErrorCode {
        match self {
            Self::NeverAsked | Self::WrongStage { .. } => ErrorCode::WrongState,
            Self::WrongParity
            | Self::NotRising { .. }
            | Self::UnitSize { .. }
            | Self::OffsetInUnit { .. }
            | Self::Held
            | Self::Differs { .. }
            | Self::OffsetPastEnd { .. }
            | Self::Offset { .. }
            | Self::Empty
            | Self::PastUnit { .. }
            | Self::Unit { .. }
            | Self::Early { .. } => ErrorCode::Malformed,
        }
    }

    pub(super) fn of(self, frame: FrameType, transfer: TransferId) -> Violation {
        Violation::Transfer { frame, transfer, fault: self }
    }
}

impl ListFault {
    pub(super) fn of(self, frame: FrameType, request: RequestId) -> Violation {
        Violation::List { frame, request, fault: self }
    }
}

/// Why a hello cannot be admitted or refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no hello waits to be admitted: {state}")]
pub struct NoHello {
    /// How far the link has come.
    pub state: State,
}

/// Why something cannot be said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SayError {
    /// The link does not stand.
    #[error("nothing can be said: {0}")]
    NotOpen(State),
    /// The other end does not read what was sent before.
    #[error("{waiting} bytes wait to be sent, at most {max} may")]
    Backlog {
        /// Bytes that wait.
        waiting: usize,
        /// The limit in bytes.
        max: usize,
    },
}

/// Why a list cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ListError {
    /// The link does not stand.
    #[error("no list can be asked for: {0}")]
    NotOpen(State),
    /// Pages are counted from 1, and a fresh look at a folder begins with its first.
    #[error("page {page} cannot be asked for: pages count from 1, and a fresh list begins with page 1")]
    Page {
        /// The page.
        page: u32,
    },
    /// Too many requests are open.
    #[error("{max} lists were asked for and have not come yet")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// Why a list is not accepted from the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProvideListError {
    /// Nobody waits for it (any more).
    #[error("nobody waits for this list")]
    NotWanted,
    /// Too many entries.
    #[error("a list of {entries} entries, at most {max} are served")]
    TooLong {
        /// How many entries.
        entries: usize,
        /// The limit.
        max: usize,
    },
    /// An entry whose whole path could not be sent.
    #[error("entry {index} makes a path that is too long or too deep")]
    Path {
        /// Which entry, from 0.
        index: usize,
    },
}

/// Why a file cannot be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FetchError {
    /// The link does not stand.
    #[error("no file can be asked for: {0}")]
    NotOpen(State),
    /// Too many transfers are open.
    #[error("{max} files are on their way, which is the limit")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The other end would refuse the place to go on from.
    #[error("cannot go on from there: {0}")]
    Resume(TransferFault),
    /// A link has two thousand million numbers for transfers in each direction.
    #[error("the numbers for transfers on this link are used up")]
    UsedUp,
}

/// Why a verb about a transfer is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum TransferError {
    /// The transfer has ended, or there never was one.
    #[error("no transfer {0} is open")]
    NotOpen(TransferId),
    /// The unit was not handed out, or was reported already.
    #[error("unit {unit} of transfer {transfer} does not wait to be stored")]
    Unit {
        /// The transfer.
        transfer: TransferId,
        /// The unit.
        unit: u64,
    },
    /// Not all of it has come and been stored.
    #[error("transfer {0} is not complete")]
    NotComplete(TransferId),
}

/// Why a file is not accepted for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SendFileError {
    /// The transfer has ended, or there never was one.
    #[error("nobody asks for transfer {0}")]
    NotWanted(TransferId),
    /// The file was promised already.
    #[error("transfer {0} has begun")]
    Begun(TransferId),
    /// The other end wants to go on from a place that the file does not have.
    #[error("offset {offset} was asked for, but the file has {size} bytes")]
    OffsetPastEnd {
        /// The offset in bytes.
        offset: u64,
        /// The size in bytes.
        size: u64,
    },
    /// Nothing remains to be sent but the root, and that was not given.
    #[error("the other end holds all bytes, so the root must be given")]
    NoRoot,
}

/// Why a unit is not accepted from the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum UnitError {
    /// The transfer has ended, or there never was one.
    #[error("transfer {0} is not being sent")]
    NotSending(TransferId),
    /// Another unit is due, or none.
    #[error("unit {unit} is not the next one wanted of transfer {transfer}")]
    NotNext {
        /// The transfer.
        transfer: TransferId,
        /// The unit.
        unit: u64,
    },
    /// The wrong number of bytes; most often the file became shorter. Cancel it with [`ErrorCode::Changed`].
    #[error("unit {unit} has {found} bytes, expected were {expected}")]
    Length {
        /// The unit.
        unit: u64,
        /// Bytes expected.
        expected: u32,
        /// Bytes found.
        found: usize,
    },
    /// The last unit came without the root, and that was not given before.
    #[error("the root must come with the last unit")]
    NoRoot,
    /// The root is not the one promised: the file changed. Cancel it with [`ErrorCode::Changed`].
    #[error("the root is not the one that was promised")]
    OtherRoot,
}
