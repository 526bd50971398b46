//! What can go wrong with the state directory, told so that a person can act on it.

use std::io;
use std::path::PathBuf;

/// Why the state directory could not be opened, read or written.
///
/// Paths are printed quoted and escaped; nothing in these texts came from a remote peer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// No `--state` was given and the system names no home directory to derive a default from.
    #[error("no home directory is known; name a state directory with --state DIR")]
    NoHome,
    /// Another running client holds the lock.
    #[error("{path:?} is in use by another chatclient{}", OwnerPid(*pid))]
    InUse {
        /// The state directory.
        path: PathBuf,
        /// The process that holds it, when its lock file says so.
        pid: Option<u32>,
    },
    /// The path exists and is something else than a directory.
    #[error("the state directory {path:?} is not a directory")]
    NotADirectory {
        /// The path as given.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("cannot {action} {path:?}: {source}")]
    Io {
        /// What was tried, as a verb: `read`, `write`, `lock`.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A file does not hold what it must. It is left as it is: an identity is never replaced silently.
    #[error("{path:?} is damaged: {what}. Restore it, or move it away to begin anew without it")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A table or the journal is full.
    #[error("{path:?} is full: it holds at most {limit} {what}")]
    Full {
        /// The file.
        path: PathBuf,
        /// What it holds.
        what: &'static str,
        /// The bound.
        limit: usize,
    },
    /// A message is longer than the journal keeps.
    #[error("a message of {bytes} bytes is too long to be kept; the limit is {limit}")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The bound.
        limit: usize,
    },
}

struct OwnerPid(Option<u32>);

impl std::fmt::Display for OwnerPid {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |pid| write!(f, " (pid {pid})"))
    }
}
