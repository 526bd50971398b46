//! The file-list and file-data families, spoken on direct links only.

use super::body::body;
use super::path::{SafeNameRef, SafeRelPathRef};
use super::{Blob, EntryKind, ErrorCode, Generation, Hash, List, RequestId, Rest, Source, TransferId};

/// Bit of [`ListFolder::flags`]: small files' content may come with the list.
pub const LIST_INLINE: u8 = 0x01;

/// Smallest unit of verification, as a power of two: 1 KiB.
pub const MIN_UNIT_LOG2: u8 = 10;

/// Largest unit of verification, as a power of two: 1 MiB.
pub const MAX_UNIT_LOG2: u8 = 20;

/// Bit of [`UnitRequest::flags`]: the values of all units are wanted before the first unit.
pub const UNITS_WITH_VALUES: u8 = 0x01;

/// Most units of a file whose values are sent beforehand: 2 MiB of values, for a file of 64 GiB in units of 1 MiB.
pub const MAX_VALUES: u64 = 65_536;

/// Most bytes of one inline file.
pub const MAX_INLINE: usize = 4096;

body! {
    /// Asks for one page of a folder.
    frame List ListFolder<'a> {
        /// Ties the answer to the request.
        request: RequestId,
        /// Which generation; 0 for a fresh look at the folder.
        generation: Generation,
        /// Which page, from 1.
        page: u32,
        /// [`LIST_INLINE`] or 0; other bits are ignored.
        flags: u8,
        /// The folder; empty for the root of the share.
        path: SafeRelPathRef<'a>,
    }
}

body! {
    /// One entry of a folder.
    part Entry<'a> {
        /// Its number in this generation, from 1.
        number: u32,
        /// File or folder.
        kind: EntryKind,
        /// Size in bytes; 0 for a folder.
        size: u64,
        /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
        mtime: u64,
        /// BLAKE3 root, if the sender knows it already.
        root: Option<Hash>,
        /// The content, if the list was asked with [`LIST_INLINE`] and the file has at most [`MAX_INLINE`] bytes.
        inline: Option<Blob<'a>>,
        /// Its name.
        name: SafeNameRef<'a>,
    }
}

body! {
    /// One page of a folder.
    frame ListPage ListPage<'a> {
        /// The request.
        request: RequestId,
        /// The generation that the numbers belong to.
        generation: Generation,
        /// This page, from 1.
        page: u32,
        /// How many pages the folder has in this generation, at least 1.
        pages: u32,
        /// How many entries the folder has over all pages.
        total: u32,
        /// The folder.
        path: SafeRelPathRef<'a>,
        /// The entries of this page.
        entries: List<'a, Entry<'a>>,
    }
}

body! {
    /// Asks for a file.
    frame FileRequest FileRequest {
        /// The receiver's number for the transfer.
        transfer: TransferId,
        /// Which file.
        source: Source,
        /// Size of a unit of verification as a power of two, [`MIN_UNIT_LOG2`] to [`MAX_UNIT_LOG2`].
        unit_log2: u8,
        /// First byte wanted: a multiple of the unit; 0 for the whole file.
        offset: u64,
        /// Digest over the units already held, when `offset` is not 0.
        held: Option<Hash>,
    }
}

body! {
    /// The file that comes.
    frame FileHead FileHead<'a> {
        /// The transfer.
        transfer: TransferId,
        /// Size of the file in bytes.
        size: u64,
        /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
        mtime: u64,
        /// Size of a unit as a power of two.
        unit_log2: u8,
        /// First byte that comes.
        offset: u64,
        /// BLAKE3 root, if the sender knows it already.
        root: Option<Hash>,
        /// Where it lies in the share.
        path: SafeRelPathRef<'a>,
    }
}

body! {
    /// Bytes of a file, in order.
    frame FileData FileData<'a> {
        /// The transfer.
        transfer: TransferId,
        /// Position of the first byte in the file.
        offset: u64,
        /// At most [`MAX_FILE_DATA`](super::MAX_FILE_DATA) bytes, never across the end of a unit.
        data: Rest<'a>,
    }
}

body! {
    /// The sender's value for a unit whose bytes were all sent.
    frame FileUnit FileUnit {
        /// The transfer.
        transfer: TransferId,
        /// Which unit, from 0.
        unit: u64,
        /// Its BLAKE3 chaining value; of a file with a single unit, the root.
        value: Hash,
    }
}

body! {
    /// All bytes were sent.
    frame FileEnd FileEnd {
        /// The transfer.
        transfer: TransferId,
        /// BLAKE3 root over the whole file.
        root: Hash,
    }
}

body! {
    /// Ends a transfer early, from either side.
    frame FileCancel FileCancel {
        /// The transfer.
        transfer: TransferId,
        /// Why.
        code: ErrorCode,
    }
}

body! {
    /// The transfer waits.
    frame FileQueued FileQueued {
        /// The transfer.
        transfer: TransferId,
        /// How many are before it, plus one.
        position: u32,
    }
}

body! {
    /// The receiver has the file, verified.
    frame FileDone FileDone {
        /// The transfer.
        transfer: TransferId,
    }
}

body! {
    /// Asks for some units of a file by its root, wherever it lies.
    frame UnitRequest UnitRequest {
        /// The receiver's number for the transfer.
        transfer: TransferId,
        /// The file.
        root: Hash,
        /// Size of a unit of verification as a power of two, [`MIN_UNIT_LOG2`] to [`MAX_UNIT_LOG2`].
        unit_log2: u8,
        /// The first unit wanted, from 0.
        first: u64,
        /// How many units are wanted, at least 1.
        count: u64,
        /// [`UNITS_WITH_VALUES`] or 0; other bits are ignored.
        flags: u8,
    }
}

body! {
    /// Values of a file's units, in order. They merge to the root.
    frame FileValues FileValues<'a> {
        /// The transfer.
        transfer: TransferId,
        /// The unit that the first value is of, from 0.
        first: u64,
        /// The values, 32 bytes each, at least one.
        values: Rest<'a>,
    }
}

body! {
    /// One side stops a transfer for now. It moves when neither side stops it.
    frame FilePause FilePause {
        /// The transfer.
        transfer: TransferId,
    }
}

body! {
    /// The side that stopped a transfer lets it go on.
    frame FileResume FileResume {
        /// The transfer.
        transfer: TransferId,
    }
}

body! {
    /// How fast the sender of this frame wants files to come over this link, all together.
    frame FileRate FileRate {
        /// Bytes of files a second; 0 for no limit.
        bytes_per_second: u64,
    }
}
