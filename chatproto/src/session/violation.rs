//! How a server can break the rules, and the code that it is told.

use thiserror::Error;

use super::State;
use crate::wire::{ErrorCode, FrameError, FrameType, RequestId, RoomId};

/// What the server did that it must not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// A frame could not be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that may not come now.
    #[error("`{frame}` is not allowed while the session is {state}")]
    State {
        /// Which frame.
        frame: FrameType,
        /// Where the session was.
        state: State,
    },
    /// A login that was accepted before the server had proved itself.
    #[error("the server accepted the login without proving that it knows the account")]
    Unproved,
    /// More frames than anybody needs.
    #[error("too many frames at once")]
    Flood,
    /// A version outside of the range that was offered.
    #[error("protocol version {found} was not offered")]
    Version {
        /// What the server chose.
        found: u8,
    },
    /// A frame about a room that was not entered.
    #[error("`{frame}` is about room {room}, which was not entered")]
    NotIn {
        /// Which frame.
        frame: FrameType,
        /// The room's number.
        room: RoomId,
    },
    /// An answer to nothing.
    #[error("`{frame}` answers request {request}, which is not open")]
    NoSuchRequest {
        /// Which frame.
        frame: FrameType,
        /// The request.
        request: RequestId,
    },
    /// A value that contradicts what was said before.
    #[error("`{frame}`: {what}")]
    Content {
        /// Which frame.
        frame: FrameType,
        /// What is wrong with it.
        what: &'static str,
    },
}

impl Violation {
    /// The code that the server is told.
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        match self {
            Self::Frame(error) => error.code(),
            Self::State { .. } | Self::Unproved | Self::NotIn { .. } | Self::NoSuchRequest { .. } => {
                ErrorCode::WrongState
            }
            Self::Flood => ErrorCode::Flood,
            Self::Version { .. } => ErrorCode::Version,
            Self::Content { .. } => ErrorCode::Malformed,
        }
    }

    /// The type byte of the frame that did it; 0 when none is to blame.
    #[must_use]
    pub fn about(&self) -> u8 {
        match self {
            Self::Frame(error) => error.about(),
            Self::Flood => 0,
            Self::Version { .. } => FrameType::ServerHello.number(),
            Self::Unproved => FrameType::LoginOk.number(),
            Self::State { frame, .. }
            | Self::NotIn { frame, .. }
            | Self::NoSuchRequest { frame, .. }
            | Self::Content { frame, .. } => frame.number(),
        }
    }
}
