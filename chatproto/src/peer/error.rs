//! Mistakes of the program: each verb has its own small error, and leaves the state as it was.

use thiserror::Error;

use super::{State, TransferFault};
use crate::wire::TransferId;

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
    /// The ends have not agreed on [`Capability::Resume`](crate::wire::Capability::Resume).
    #[error("the two ends cannot both go on with part of a file")]
    NoResume,
    /// The ends have not agreed on [`Capability::Sources`](crate::wire::Capability::Sources).
    #[error("the two ends cannot both send units by their root")]
    NoSources,
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

/// Why a transfer cannot be paused, or a rate not be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PaceError {
    /// The link does not stand.
    #[error("no rate can be asked for: {0}")]
    NotLinked(State),
    /// The transfer has ended, or there never was one.
    #[error("no transfer {0} is open")]
    NotOpen(TransferId),
    /// The ends have not agreed on [`Capability::Pace`](crate::wire::Capability::Pace).
    #[error("the two ends cannot both pause transfers")]
    NotSupported,
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
    #[error("the other end holds all bytes, or asked by the root, so the root must be given")]
    NoRoot,
}

/// Why the values of a file's units are not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValuesError {
    /// The transfer has ended, has not begun, or the values were not asked for, or were given.
    #[error("nobody waits for the values of transfer {0}")]
    NotWanted(TransferId),
    /// The file has another number of units.
    #[error("{found} values were given for {expected} units")]
    Count {
        /// Units of the file.
        expected: u64,
        /// Values given.
        found: usize,
    },
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
    /// The wrong number of bytes; most often the file became shorter. Cancel it with [`ErrorCode::Changed`](crate::wire::ErrorCode::Changed).
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
    /// The root is not the one promised: the file changed. Cancel it with [`ErrorCode::Changed`](crate::wire::ErrorCode::Changed).
    #[error("the root is not the one that was promised")]
    OtherRoot,
}
