//! What can be wrong with the bytes of a frame.

use thiserror::Error;

use super::FrameType;

/// Why a field could not be decoded; each failure names its field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WireError {
    /// The frame ends inside the field.
    #[error("the frame ends inside `{field}`")]
    Truncated {
        /// Name of the field.
        field: &'static str,
    },
    /// Bytes follow the last field.
    #[error("{bytes} bytes follow the last field")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// A length is past the limit of its type.
    #[error("`{field}` is {len} bytes long, at most {max} are allowed")]
    TooLong {
        /// Name of the field.
        field: &'static str,
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A list holds more items than it may.
    #[error("`{field}` has more than the {max} items that are allowed")]
    TooMany {
        /// Name of the field.
        field: &'static str,
        /// The limit in items.
        max: usize,
    },
    /// A value that must not be empty is.
    #[error("`{field}` is empty")]
    Empty {
        /// Name of the field.
        field: &'static str,
    },
    /// Neighbours of a list that must be one item.
    #[error("`{field}` has two neighbours that must be one")]
    Divided {
        /// Name of the field.
        field: &'static str,
    },
    /// What a field counts goes past the largest number.
    #[error("`{field}` goes past the largest number")]
    Overflow {
        /// Name of the field.
        field: &'static str,
    },
    /// Not UTF-8.
    #[error("`{field}` is not UTF-8")]
    NotUtf8 {
        /// Name of the field.
        field: &'static str,
    },
    /// A character that this kind of text must not carry.
    #[error("`{field}` carries the forbidden character U+{:04X}", u32::from(*found))]
    ForbiddenChar {
        /// Name of the field.
        field: &'static str,
        /// The character.
        found: char,
    },
    /// Not in Unicode normalization form C.
    #[error("`{field}` is not in Unicode normalization form C")]
    NotNfc {
        /// Name of the field.
        field: &'static str,
    },
    /// A file name or path that is not safe to use.
    #[error("`{field}` is not a safe relative path")]
    UnsafePath {
        /// Name of the field.
        field: &'static str,
    },
    /// A number that the table of the field does not have.
    #[error("`{field}` has the unknown value {value}")]
    UnknownValue {
        /// Name of the field.
        field: &'static str,
        /// What was there.
        value: u64,
    },
}

/// Why a whole frame was refused. Maps to a wire code with [`code`](Self::code).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length field is zero: a frame has at least its type.
    #[error("a frame of length 0")]
    NoType,
    /// The length field is past the negotiated limit.
    #[error("a frame of {len} bytes, at most {max} are allowed here{}", hint(*len))]
    TooLarge {
        /// What the header claims, in bytes.
        len: u32,
        /// The limit in bytes.
        max: u32,
    },
    /// No such frame type, and its ignorable bit is clear.
    #[error("unknown frame type 0x{0:02x}")]
    Unknown(u8),
    /// A known frame that this side does not accept from the other.
    #[error("`{0}` does not go in this direction")]
    Direction(FrameType),
    /// The body is malformed.
    #[error("malformed `{frame}`: {error}")]
    Body {
        /// Which frame.
        frame: FrameType,
        /// What is wrong with it.
        error: WireError,
    },
}

impl FrameError {
    /// The code that goes on the wire for this error.
    #[must_use]
    pub fn code(&self) -> super::ErrorCode {
        use super::ErrorCode;
        match self {
            Self::NoType | Self::Body { .. } => ErrorCode::Malformed,
            Self::TooLarge { .. } => ErrorCode::TooLarge,
            Self::Unknown(_) => ErrorCode::UnknownFrame,
            Self::Direction(_) => ErrorCode::WrongState,
        }
    }

    /// The frame type that the error is about, if the header got that far.
    #[must_use]
    pub fn about(&self) -> u8 {
        match self {
            Self::NoType | Self::TooLarge { .. } => 0,
            Self::Unknown(number) => *number,
            Self::Direction(frame) | Self::Body { frame, .. } => frame.number(),
        }
    }
}

/// A giant length is most often another protocol's first bytes; saying so saves somebody an evening.
fn hint(len: u32) -> &'static str {
    match len.to_be_bytes() {
        [0x16, 0x03, _, _] => " (the other side speaks TLS)",
        [0x15, 0x03, _, _] => " (the other side speaks TLS and gave up)",
        [b'G', b'E', b'T', b' '] | [b'P', b'O', b'S', b'T'] | [b'H', b'T', b'T', b'P'] => {
            " (the other side speaks HTTP)"
        }
        [b'S', b'S', b'H', b'-'] => " (the other side speaks SSH)",
        _ => "",
    }
}
