//! What can go wrong with the shared folder.

use std::io;
use std::path::PathBuf;

/// Why the shared folder, or something in it, cannot be served.
///
/// The paths are local and for the local user; a peer is told the kind of failure only.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShareError {
    /// There is no such file or folder.
    #[error("there is no {path:?}")]
    NotFound {
        /// What was looked for.
        path: PathBuf,
    },
    /// It is no folder; a symbolic link to one counts as none, except for the share itself.
    #[error("{path:?} is not a folder")]
    NotAFolder {
        /// What was looked at.
        path: PathBuf,
    },
    /// It is no plain file: a folder, a symbolic link, a pipe, a socket or a device.
    #[error("{path:?} is not a plain file")]
    NotAFile {
        /// What was looked at.
        path: PathBuf,
    },
    /// This user may not read it.
    #[error("{path:?} may not be read by this user")]
    Denied {
        /// What was to be read.
        path: PathBuf,
    },
    /// The file is not the one that was listed, or it changed while it was sent.
    #[error("{path:?} has changed: {what}")]
    Changed {
        /// The file.
        path: PathBuf,
        /// What is different.
        what: &'static str,
    },
    /// A part was asked for that the file does not have.
    #[error("{path:?}: {error}")]
    NoSuchUnit {
        /// The file.
        path: PathBuf,
        /// Which part.
        error: chatproto::verify::NoSuchUnit,
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

impl ShareError {
    /// Sorts an error of the system by what a person would call it.
    pub(super) fn from_io(action: &'static str, path: PathBuf, source: io::Error) -> Self {
        if source.kind() == io::ErrorKind::NotFound {
            Self::NotFound { path }
        } else if source.kind() == io::ErrorKind::PermissionDenied {
            Self::Denied { path }
        } else if crate::handle::is_no_folder(&source) {
            Self::NotAFolder { path }
        } else {
            Self::Io { action, path, source }
        }
    }
}
