//! A file as a peer shows it.

use crate::downloads::Origin;
use bytes::Bytes;
use chatproto::peer::ListedEntry;
use chatproto::verify::{Layout, UnitLog2};
use chatproto::wire::{Generation, Hash, Name, SafeRelPath, Source};

/// The largest small file, in bytes: one data frame. All that are active together hold 16 MiB.
pub(super) const MAX_SMALL: u64 = 64 * 1024 - 1024;

/// A file that a peer shows.
#[derive(Debug, Clone)]
pub(super) struct RemoteFile {
    pub(super) peer: Name,
    /// Where it lies in the share of the peer.
    pub(super) path: SafeRelPath,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) root: Option<Hash>,
    /// How to ask for it on the link where it was shown.
    pub(super) source: Source,
    /// All its bytes, if it is small and they came with the list.
    pub(super) content: Option<Bytes>,
}

impl RemoteFile {
    /// An entry of a list; `None` when its path is longer than a path may be.
    pub(super) fn listed(
        peer: &Name,
        folder: &SafeRelPath,
        generation: Generation,
        entry: &ListedEntry,
    ) -> Option<Self> {
        Some(Self {
            peer: peer.clone(),
            path: folder.borrow().join(entry.name.borrow()).ok()?,
            size: entry.size,
            mtime: entry.mtime,
            root: entry.root,
            source: Source::Number { generation, number: entry.number },
            content: entry.content.clone(),
        })
    }

    /// How it falls into units.
    pub(super) fn layout(&self) -> Layout {
        Layout::new(self.size, UnitLog2::DEFAULT)
    }

    /// What it is known by on the disk.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            peer: self.peer.as_str().to_owned(),
            path: self.path.as_str().to_owned(),
            size: self.size,
            mtime_ms: self.mtime,
            unit: UnitLog2::DEFAULT,
            root: self.root.map(|root| root.0),
        }
    }

    /// What it is known by as long as nothing but its sender's word says what it holds: whoever else has a file of that hash
    /// does not go on with what came.
    pub(super) fn unproved_origin(&self) -> Origin {
        Origin { root: None, ..self.origin() }
    }

    /// The folder that it lies in.
    pub(super) fn folder(&self) -> Option<SafeRelPath> {
        self.path.borrow().parent().map(|folder| folder.to_owned())
    }

    /// Whether what is shown now is what was shown before.
    pub(super) fn is_same_as(&self, now: &Self) -> bool {
        match (self.root, now.root) {
            (Some(before), Some(now)) => before == now,
            (None, _) | (_, None) => self.size == now.size && self.mtime == now.mtime,
        }
    }

    /// Whether it comes among the many.
    pub(super) fn is_small(&self) -> bool {
        self.size <= MAX_SMALL
    }

    /// Whether there can be a part of it.
    pub(super) fn has_parts(&self) -> bool {
        self.size > u64::from(UnitLog2::DEFAULT.len())
    }
}
