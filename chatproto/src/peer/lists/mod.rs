//! Numbered lists of folders: asking for them and serving them. Both ends do both.

mod ask;
mod serve;

use core::fmt;

use bytes::Bytes;

pub(super) use ask::Asked;
pub(super) use serve::Served;

use crate::wire::{Blob, Entry, EntryKind, Hash, SafeName};

/// This end's number for a list that the other end wants; used once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListId(pub(super) u64);

impl fmt::Display for ListId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One file or folder that this end shares. Its place in the list gives it its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// File or folder.
    pub kind: EntryKind,
    /// Its name in the folder.
    pub name: SafeName,
    /// Size in bytes; 0 for a folder.
    pub size: u64,
    /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub mtime: u64,
    /// BLAKE3 root, if it is known already.
    pub root: Option<Hash>,
    /// All its bytes, where they were wanted and the file has at most [`MAX_INLINE`](crate::wire::MAX_INLINE); they go
    /// along only with `root`, and while the list has room for them.
    pub content: Option<Bytes>,
}

/// One file or folder that the other end shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// Its number in this generation of the list, from 1.
    pub number: u32,
    /// File or folder.
    pub kind: EntryKind,
    /// Size in bytes; 0 for a folder.
    pub size: u64,
    /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub mtime: u64,
    /// BLAKE3 root, if the other end knows it already.
    pub root: Option<Hash>,
    /// All its bytes, if they came along. Compare what they hash to with `root`, which is there then.
    pub content: Option<Bytes>,
    /// Its name in the folder.
    pub name: SafeName,
}

impl Item {
    fn entry(&self, number: u32, content: bool) -> Entry<'_> {
        let content = self.content.as_deref().filter(|_| content);
        Entry {
            number,
            kind: self.kind,
            size: self.size,
            mtime: self.mtime,
            root: self.root,
            inline: content.and_then(|content| Blob::new(content).ok()),
            name: self.name.borrow(),
        }
    }
}

impl From<Entry<'_>> for ListedEntry {
    fn from(entry: Entry<'_>) -> Self {
        Self {
            number: entry.number,
            kind: entry.kind,
            size: entry.size,
            mtime: entry.mtime,
            root: entry.root,
            content: entry.inline.map(|content| Bytes::copy_from_slice(content.as_bytes())),
            name: entry.name.to_owned(),
        }
    }
}
