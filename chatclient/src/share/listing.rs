//! One look at one folder.

use super::known::KnownHashes;
use crate::handle::unix_millis;
use crate::state::FileId;
use cap_std::fs::{Dir, DirEntry, FileType, Metadata, MetadataExt as _};
use chatproto::verify::Root;
use chatproto::wire::path::{FileNameError, case_fold_key};
use chatproto::wire::{EntryKind, SafeName, SafeRelPathRef};
use rustix::fs::{Access, AtFlags};
use rustix::io::Errno;
use std::ffi::OsString;
use std::fmt;
use std::io;

/// So many names of one folder are looked at; what is past them is not listed, and [`Listing::truncated`] says so.
/// Bounds the memory (about 200 bytes each) and the time that a peer's request for a list can cost.
pub const MAX_FOLDER_ENTRIES: usize = 100_000;

/// So many skipped names are kept for the report; [`Listing::skipped_total`] counts them all.
pub const MAX_SKIPPED_NAMES: usize = 100;

/// What was in a folder.
#[derive(Debug, Clone)]
pub struct Listing {
    entries: Vec<Listed>,
    skipped: Vec<Skipped>,
    skipped_total: usize,
    truncated: bool,
    fingerprint: [u8; 32],
}

/// One file or folder that a peer may see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// File or folder.
    pub kind: EntryKind,
    /// Its name.
    pub name: SafeName,
    /// Size in bytes; 0 for a folder.
    pub size: u64,
    /// Last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub mtime_ms: u64,
    /// Its BLAKE3 hash, if it is known and the file has not changed since.
    pub root: Option<Root>,
}

/// One name that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The name as the file system has it. It may hold anything: escape it before it is shown.
    pub name: OsString,
    /// Why.
    pub reason: SkipReason,
}

/// Why a name was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SkipReason {
    /// This user may not read it.
    Unreadable,
    /// The name is not UTF-8.
    NotUtf8,
    /// The name could do harm elsewhere.
    UnsafeName(FileNameError),
    /// With its folders, the name is longer or deeper than a path may be.
    PathTooLong,
    /// A symbolic link, wherever it leads.
    Symlink,
    /// A pipe, a socket or a device.
    Special,
    /// A download that is still coming or was interrupted.
    Unfinished,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable => f.write_str("it may not be read by this user"),
            Self::NotUtf8 => f.write_str("its name is not UTF-8"),
            Self::UnsafeName(error) => error.fmt(f),
            Self::PathTooLong => f.write_str("its path is too long or too deep"),
            Self::Symlink => f.write_str("it is a symbolic link"),
            Self::Special => f.write_str("it is a pipe, a socket or a device"),
            Self::Unfinished => f.write_str("it is an unfinished download"),
        }
    }
}

impl Listing {
    /// Folders, then files; each kind by name without regard to case, the same order for the same folder always.
    #[must_use]
    pub fn entries(&self) -> &[Listed] {
        &self.entries
    }

    /// The entries as a vector.
    #[must_use]
    pub fn into_entries(self) -> Vec<Listed> {
        self.entries
    }

    /// The first [`MAX_SKIPPED_NAMES`] of what was left out, by name.
    #[must_use]
    pub fn skipped(&self) -> &[Skipped] {
        &self.skipped
    }

    /// How many were left out.
    #[must_use]
    pub fn skipped_total(&self) -> usize {
        self.skipped_total
    }

    /// Whether the folder has more than [`MAX_FOLDER_ENTRIES`] names.
    #[must_use]
    pub fn truncated(&self) -> bool {
        self.truncated
    }

    /// Equal for two looks between which no listed name, size or time changed.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        self.fingerprint
    }
}

pub(super) fn read(dir: &Dir, folder: SafeRelPathRef<'_>, hashes: &KnownHashes) -> io::Result<Listing> {
    read_at_most(MAX_FOLDER_ENTRIES, dir, folder, hashes)
}

fn read_at_most(
    limit: usize,
    dir: &Dir,
    folder: SafeRelPathRef<'_>,
    hashes: &KnownHashes,
) -> io::Result<Listing> {
    let (mut entries, mut skipped) = (Vec::new(), Vec::new());
    let mut found = dir.entries()?;
    for entry in found.by_ref().take(limit) {
        let entry = entry?;
        match look(dir, folder, &entry, hashes) {
            Look::Listed(listed) => entries.push(listed),
            Look::Skipped(reason) => skipped.push(Skipped { name: entry.file_name(), reason }),
            Look::Gone => {}
        }
    }
    let truncated = found.next().is_some();
    entries.sort_by_cached_key(|entry| {
        (entry.kind == EntryKind::File, case_fold_key(entry.name.borrow()), entry.name.clone())
    });
    let skipped_total = skipped.len();
    skipped.sort_by(|one, other| one.name.cmp(&other.name));
    skipped.truncate(MAX_SKIPPED_NAMES);
    let fingerprint = fingerprint(&entries);
    Ok(Listing { entries, skipped, skipped_total, truncated, fingerprint })
}

enum Look {
    Listed(Listed),
    Skipped(SkipReason),
    /// Removed since its name was read.
    Gone,
}

fn look(dir: &Dir, folder: SafeRelPathRef<'_>, entry: &DirEntry, hashes: &KnownHashes) -> Look {
    let name = entry.file_name();
    let Some(name) = name.to_str() else { return Look::Skipped(SkipReason::NotUtf8) };
    let name = match SafeName::new(name) {
        Ok(name) => name,
        Err(error) => return Look::Skipped(SkipReason::UnsafeName(error)),
    };
    let Ok(path) = folder.join(name.borrow()) else { return Look::Skipped(SkipReason::PathTooLong) };
    if crate::downloads::is_temporary(name.as_str()) {
        return Look::Skipped(SkipReason::Unfinished);
    }
    let metadata = match entry.metadata() {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Look::Gone,
        Err(_) => return Look::Skipped(SkipReason::Unreadable),
    };
    let (kind, size, access) = match kind(metadata.file_type()) {
        Ok(EntryKind::File) => (EntryKind::File, metadata.len(), Access::READ_OK),
        Ok(EntryKind::Folder) => (EntryKind::Folder, 0, Access::READ_OK | Access::EXEC_OK),
        Err(reason) => return Look::Skipped(reason),
    };
    if rustix::fs::accessat(dir, name.as_str(), access, AtFlags::EACCESS) == Err(Errno::ACCESS) {
        return Look::Skipped(SkipReason::Unreadable);
    }
    let mtime_ms = metadata.modified().map_or(0, |time| unix_millis(time.into_std()));
    let known = (kind == EntryKind::File).then(|| hashes.get(path.as_str(), &file_id(&metadata))).flatten();
    Look::Listed(Listed { kind, name, size, mtime_ms, root: known.and_then(|known| known.root) })
}

fn file_id(metadata: &Metadata) -> FileId {
    FileId {
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}

fn kind(file_type: FileType) -> Result<EntryKind, SkipReason> {
    if file_type.is_file() {
        Ok(EntryKind::File)
    } else if file_type.is_dir() {
        Ok(EntryKind::Folder)
    } else if file_type.is_symlink() {
        Err(SkipReason::Symlink)
    } else {
        Err(SkipReason::Special)
    }
}

fn fingerprint(entries: &[Listed]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    for entry in entries {
        hasher.update(&[u8::from(entry.kind == EntryKind::File)]);
        hasher.update(&entry.size.to_be_bytes());
        hasher.update(&entry.mtime_ms.to_be_bytes());
        // No name contains a NUL, so it ends each one unmistakably.
        hasher.update(entry.name.as_str().as_bytes());
        hasher.update(&[0]);
    }
    *hasher.finalize().as_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_past_the_bound_is_cut_and_says_so() {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_ambient_dir(temp.path(), cap_std::ambient_authority()).unwrap();
        for name in ["a", "b", "c", "d"] {
            dir.write(name, "").unwrap();
        }
        for (limit, listed, truncated) in [(3, 3, true), (4, 4, false), (5, 4, false)] {
            let listing = read_at_most(limit, &dir, SafeRelPathRef::ROOT, &KnownHashes::default()).unwrap();
            assert_eq!((listing.entries().len(), listing.truncated()), (listed, truncated), "limit {limit}");
        }
    }
}
