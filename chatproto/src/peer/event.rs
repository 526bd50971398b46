//! What a link tells its program, and what it asks for.

use alloc::vec::Vec;

use bytes::Bytes;

use super::Violation;
use super::lists::{ListId, ListedEntry};
use super::send::Wanted;
use crate::wire::{
    Capabilities, CloseReason, DeviceId, ErrorCode, Generation, Hash, LinkTicket, Name, Note, OfferId,
    Purpose, RequestId, SafeRelPath, Text, TransferId,
};

/// A fact about the link, or something that the program is asked to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody dialled and shows a ticket. The program checks it, and the key of the connection, against what the
    /// server introduced, and calls [`admit`](super::Peer::admit) or [`refuse`](super::Peer::refuse). Nothing here is
    /// believed until then.
    Hello {
        /// The introduction that the ticket belongs to.
        offer: OfferId,
        /// The ticket shown.
        ticket: LinkTicket,
        /// Who it claims to be.
        user: Name,
        /// With which device.
        device: DeviceId,
        /// What the link is for.
        purpose: Purpose,
        /// Program and version of the other end.
        agent: Note,
    },
    /// The link stands.
    Open {
        /// Who is at the other end.
        user: Name,
        /// With which device.
        device: DeviceId,
        /// What the link is for.
        purpose: Purpose,
        /// Program and version of the other end.
        agent: Note,
        /// What both ends can do.
        capabilities: Capabilities,
    },

    /// The other end said something.
    Said {
        /// Its number for it: 1, 2, 3 ...
        counter: u64,
        /// What it said.
        text: Text,
    },
    /// The other end has received everything that was said up to this number.
    SayReceived {
        /// As [`say`](super::Peer::say) returned it.
        counter: u64,
    },

    /// Answers [`list`](super::Peer::list).
    ListPage {
        /// The request.
        request: RequestId,
        /// The generation that the numbers belong to.
        generation: Generation,
        /// The folder.
        path: SafeRelPath,
        /// This page, from 1.
        page: u32,
        /// How many pages there are, at least 1.
        pages: u32,
        /// How many entries there are over all pages.
        total: u32,
        /// The entries of this page.
        entries: Vec<ListedEntry>,
    },
    /// The other end does not answer [`list`](super::Peer::list), or the link ended first.
    ListRefused {
        /// The request.
        request: RequestId,
        /// Why.
        code: ErrorCode,
    },
    /// The other end wants to see a folder: answer with [`provide_list`](super::Peer::provide_list) or
    /// [`refuse_list`](super::Peer::refuse_list).
    ListWanted {
        /// Names it in the answer.
        id: ListId,
        /// The folder.
        path: SafeRelPath,
        /// Whether the content of small files is wanted with it: [`Item::content`](super::Item::content).
        content: bool,
    },

    /// A file that this end fetches waits at the other end.
    FileQueued {
        /// The transfer.
        transfer: TransferId,
        /// Its place in the queue, from 1.
        position: u32,
    },
    /// The other end has stopped a transfer of either direction for now.
    FilePaused {
        /// The transfer.
        transfer: TransferId,
    },
    /// The other end lets a transfer go on that it had stopped.
    FileResumed {
        /// The transfer.
        transfer: TransferId,
    },
    /// The other end wants files to come no faster over this link, all together: the program keeps to it as it drains
    /// [`outgoing`](super::Peer::outgoing).
    RateWanted {
        /// Bytes of files a second; 0 for no limit.
        bytes_per_second: u64,
    },
    /// A file that this end fetches begins to come. One [`FileData`](Self::FileData) or more and a
    /// [`FileUnit`](Self::FileUnit) follow for every unit from `offset` on, none for an empty file.
    FileStarted {
        /// The transfer.
        transfer: TransferId,
        /// Where it lies at the other end; empty if it was asked for by its root.
        path: SafeRelPath,
        /// Its size in bytes.
        size: u64,
        /// Its last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
        mtime: u64,
        /// Size of a unit as a power of two, as asked.
        unit_log2: u8,
        /// First byte that comes, as asked.
        offset: u64,
        /// Its BLAKE3 root, if the other end knows it already.
        root: Option<Hash>,
    },
    /// Values of units of a file that was asked for by [`fetch_units`](super::Peer::fetch_units): all of them come, in
    /// order, before the first [`FileData`](Self::FileData). They are worth something once they merge to the root.
    FileValues {
        /// The transfer.
        transfer: TransferId,
        /// The unit that the first of them is of.
        first: u64,
        /// The values.
        values: Vec<Hash>,
    },
    /// Bytes of a file: in order, without gaps, never across the end of a unit.
    FileData {
        /// The transfer.
        transfer: TransferId,
        /// Position of the first of them in the file.
        offset: u64,
        /// The bytes, at least one.
        data: Bytes,
    },
    /// All bytes of a unit were handed out. Once they are stored, report what they hash to with
    /// [`unit_stored`](super::Peer::unit_stored).
    FileUnit {
        /// The transfer.
        transfer: TransferId,
        /// Which unit, from 0.
        unit: u64,
        /// What the other end says that they hash to.
        value: Hash,
    },
    /// All units were stored, and each is what the other end said it is. Compare the root, put the file in its place,
    /// and call [`finish_file`](super::Peer::finish_file).
    FileComplete {
        /// The transfer.
        transfer: TransferId,
        /// The root that the other end claims. It must equal the root over the units.
        root: Hash,
        /// Size of the file in bytes.
        size: u64,
    },
    /// A file that this end fetches will not come. The transfer's number is free of meaning from here on.
    FileFailed {
        /// The transfer.
        transfer: TransferId,
        /// Why.
        code: ErrorCode,
        /// Whether this end gave up; otherwise the other did.
        local: bool,
    },

    /// The other end wants a file: answer with [`send_file`](super::Peer::send_file),
    /// [`queue_file`](super::Peer::queue_file) or [`refuse_file`](super::Peer::refuse_file).
    FileWanted {
        /// The transfer.
        transfer: TransferId,
        /// Which file.
        wanted: Wanted,
        /// Size of a unit as a power of two.
        unit_log2: u8,
        /// First byte wanted, a multiple of the unit.
        offset: u64,
        /// Digest over the values of the units before `offset`, unless that is 0 or some units are asked for by root. If the file's differ, refuse it
        /// with [`ErrorCode::Changed`].
        held: Option<Hash>,
    },
    /// The next bytes of a file that this end sends: answer with [`provide_unit`](super::Peer::provide_unit), units of
    /// one transfer in the order they were wanted.
    UnitWanted {
        /// The transfer.
        transfer: TransferId,
        /// Which unit, from 0.
        unit: u64,
        /// Position of its first byte in the file.
        offset: u64,
        /// How many bytes it has: at least 1, at most 1 MiB.
        len: u32,
    },
    /// The other end has the file, verified.
    FileSent {
        /// The transfer.
        transfer: TransferId,
    },
    /// A file that this end sends, or was asked for, is not wanted any more.
    SendStopped {
        /// The transfer.
        transfer: TransferId,
        /// Why.
        code: ErrorCode,
    },

    /// The link has ended: once, as the last event. Open requests and transfers have failed just before.
    Closed {
        /// Why.
        reason: Closed,
    },
}

/// Why a link has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closed {
    /// The other end said bye.
    Bye {
        /// Its reason.
        reason: CloseReason,
        /// The code of the error that it sent before, if it did.
        code: Option<ErrorCode>,
        /// Its remark: that of the bye, or if it has none, that of the error.
        note: Note,
    },
    /// The program closed or refused it.
    Local,
    /// The other end broke a rule.
    Violation(Violation),
    /// The connection ended without a bye.
    Eof {
        /// Whether it was cut in the middle of a frame.
        in_frame: bool,
    },
    /// The hello or the welcome did not come in time, or nothing was heard for too long.
    Timeout(CloseReason),
}

impl Event {
    /// The transfer that it is about.
    #[must_use]
    pub fn transfer(&self) -> Option<TransferId> {
        match self {
            Self::FileQueued { transfer, .. }
            | Self::FilePaused { transfer }
            | Self::FileResumed { transfer }
            | Self::FileStarted { transfer, .. }
            | Self::FileValues { transfer, .. }
            | Self::FileData { transfer, .. }
            | Self::FileUnit { transfer, .. }
            | Self::FileComplete { transfer, .. }
            | Self::FileFailed { transfer, .. }
            | Self::FileWanted { transfer, .. }
            | Self::UnitWanted { transfer, .. }
            | Self::FileSent { transfer }
            | Self::SendStopped { transfer, .. } => Some(*transfer),
            Self::Hello { .. }
            | Self::Open { .. }
            | Self::Said { .. }
            | Self::SayReceived { .. }
            | Self::ListPage { .. }
            | Self::ListRefused { .. }
            | Self::ListWanted { .. }
            | Self::RateWanted { .. }
            | Self::Closed { .. } => None,
        }
    }
}

impl Closed {
    /// Whether this end gave the link up.
    pub(super) fn is_local(&self) -> bool {
        match self {
            Self::Local | Self::Timeout(_) | Self::Violation(_) => true,
            Self::Bye { .. } | Self::Eof { .. } => false,
        }
    }

    /// How a transfer that was open is said to have failed.
    pub(super) fn transfer_code(&self) -> ErrorCode {
        match self {
            Self::Local => ErrorCode::Cancelled,
            Self::Timeout(_) => ErrorCode::Timeout,
            Self::Violation(violation) => violation.code(),
            Self::Bye { .. } | Self::Eof { .. } => ErrorCode::Offline,
        }
    }
}
