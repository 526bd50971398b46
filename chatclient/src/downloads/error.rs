//! What can go wrong with the download folder and with a file that comes into it.

use chatproto::verify::Root;
use std::io;
use std::path::PathBuf;

/// Why a download cannot begin, go on or end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DownloadError {
    /// Something on the way is no folder; a symbolic link to one counts as none, except for the download folder itself.
    #[error("{path:?} is not a folder")]
    NotAFolder {
        /// What was looked at.
        path: PathBuf,
    },
    /// The folder, or the file system below it, does not let this user write.
    #[error("{path:?} is not writable: {source}")]
    NotWritable {
        /// What was to be written.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The file is larger than the space that is left. Nothing was written.
    #[error("{path:?} has no room: {needed} bytes are needed and {free} are free")]
    NoRoom {
        /// The download folder.
        path: PathBuf,
        /// Size of the file, in bytes.
        needed: u64,
        /// Bytes that are free for this user.
        free: u64,
    },
    /// The disk, or this user's share of it, ran full while the file came.
    #[error("the disk is full: cannot write {path:?}")]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// The name and all its numbered variants are taken.
    #[error("{path:?} and its first {limit} numbered variants exist already")]
    TooManyCopies {
        /// The name.
        path: PathBuf,
        /// How many variants were tried.
        limit: u32,
    },
    /// Bytes past the announced size.
    #[error("bytes up to {end} came for {path:?}, which was announced with {size}")]
    PastEnd {
        /// The file.
        path: PathBuf,
        /// Where the bytes end.
        end: u64,
        /// The announced size.
        size: u64,
    },
    /// Bytes that belong to two units.
    #[error("bytes at offset {offset} of {path:?} reach over the end of their unit")]
    CrossesUnit {
        /// The file.
        path: PathBuf,
        /// Where the bytes begin.
        offset: u64,
    },
    /// A unit was ended before its bytes were there.
    #[error("a unit of {path:?} ended {missing} bytes early")]
    UnitIncomplete {
        /// The file.
        path: PathBuf,
        /// How many bytes of the unit are missing.
        missing: u64,
    },
    /// A unit was ended after the last one.
    #[error("{path:?} has no more units")]
    NoUnitLeft {
        /// The file.
        path: PathBuf,
    },
    /// The file was ended before its bytes were there.
    #[error("{path:?} ended after {received} of {size} bytes")]
    Incomplete {
        /// The file.
        path: PathBuf,
        /// Bytes that were received and verified.
        received: u64,
        /// The announced size.
        size: u64,
    },
    /// The bytes are not those that were promised. They were removed.
    #[error("{path:?} failed verification: its hash should be {} and is {}", Hex(expected), Hex(found))]
    RootMismatch {
        /// The file.
        path: PathBuf,
        /// The hash that was promised.
        expected: Root,
        /// The hash of what came.
        found: Root,
    },
    /// The system refused an operation.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried, as a verb.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl DownloadError {
    /// Sorts an error of the system by what a person can do about it.
    pub(super) fn from_io(action: &'static str, path: PathBuf, source: io::Error) -> Self {
        use io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
        if matches!(source.kind(), StorageFull | QuotaExceeded) {
            Self::DiskFull { path }
        } else if matches!(source.kind(), PermissionDenied | ReadOnlyFilesystem) {
            Self::NotWritable { path, source }
        } else if crate::handle::is_no_folder(&source) {
            Self::NotAFolder { path }
        } else {
            Self::Io { action, path, source }
        }
    }
}

struct Hex<'a>(&'a Root);

impl std::fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
