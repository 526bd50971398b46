//! Which rules the other end can break, each with its wire code and a text that says what was found where.

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
    /// The other end chose a version that was not offered.
    #[error("version {version} was chosen, but this side speaks {VERSION}")]
    Chosen {
        /// The version chosen.
        version: u8,
    },
    /// The other end accepts too little.
    #[error("frames of at most {max} bytes are accepted, but {MIN_FRAME} are needed")]
    FrameLimit {
        /// The frame.
        frame: FrameType,
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
        /// The number expected.
        expected: u64,
        /// The number found.
        found: u64,
    },
    /// An acknowledgement of what was acknowledged before, or was never said.
    #[error("`link_said` names {found}: up to {before} was named before, and {last} was said last")]
    Acknowledgement {
        /// The number found.
        found: u64,
        /// The highest that was acknowledged before.
        before: u64,
        /// The highest that was said.
        last: u64,
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
    /// Units are asked for that no file has.
    #[error("it asks for no unit, or for units that no file has")]
    NoUnit,
    /// Values that are not the next ones, or not whole.
    #[error(
        "values from {found} on, in {len} bytes; expected were those from {expected} on, of 32 bytes each"
    )]
    Values {
        /// The unit whose value was expected.
        expected: u64,
        /// The unit whose value came first.
        found: u64,
        /// Bytes found.
        len: usize,
    },
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
            Self::Magic | Self::FrameLimit { .. } | Self::Counter { .. } | Self::Acknowledgement { .. } => {
                ErrorCode::Malformed
            }
            Self::Version { .. } | Self::Chosen { .. } => ErrorCode::Version,
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
            | Self::FrameLimit { frame, .. }
            | Self::Counter { frame, .. }
            | Self::List { frame, .. }
            | Self::Transfer { frame, .. } => frame.number(),
            Self::Magic | Self::Version { .. } => FrameType::LinkHello.number(),
            Self::Acknowledgement { .. } => FrameType::LinkSaid.number(),
            Self::Chosen { .. } | Self::WrongPeer => FrameType::LinkWelcome.number(),
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
            | Self::Chosen { .. }
            | Self::FrameLimit { .. }
            | Self::WrongPeer
            | Self::Flood { .. }
            | Self::Counter { .. }
            | Self::Acknowledgement { .. }
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
            | Self::NoUnit
            | Self::Values { .. }
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
