//! Why the store could not do something, in words for whoever runs the server.

use std::{io, path::PathBuf};

use rusqlite::ErrorCode;

/// Why a store could not be opened, started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The path exists and is something else.
    #[error("data directory {} is not a directory", .path.display())]
    NotADirectory {
        /// The path as it was given.
        path: PathBuf,
    },
    /// The directory holds data already.
    #[error("data directory {} holds a server's data already", .path.display())]
    Occupied {
        /// The data directory.
        path: PathBuf,
    },
    /// The operating system refused a step on a file or directory.
    #[error("cannot {step} {}: {source}", .path.display())]
    Io {
        /// What was tried, as a verb.
        step: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system answered.
        source: io::Error,
    },
    /// Another server runs on this directory.
    #[error("data directory {} is in use by another server (pid {pid})", .path.display())]
    InUse {
        /// The data directory.
        path: PathBuf,
        /// The other server's process id, `unknown` when it has not written one yet.
        pid: String,
    },
    /// The file's schema is from the future.
    #[error("{} was written by a newer version of this server (schema {found}, this one knows {known})", .path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The schema version found in it.
        found: u32,
        /// The latest schema version that this program knows.
        known: u32,
    },
    /// The file is a database, but not a chat server's.
    #[error("{} is not a chat server's database", .path.display())]
    Foreign {
        /// The database file.
        path: PathBuf,
    },
    /// The database refused.
    #[error("{}: {source}", .path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What it answered.
        source: DbError,
    },
    /// A thread of the store panicked.
    #[error("the store's {thread} thread died")]
    ThreadDied {
        /// Which one.
        thread: &'static str,
    },
}

impl StoreError {
    pub(super) fn io(step: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { step, path, source }
    }

    pub(super) fn database<E: Into<DbError>>(path: impl Into<PathBuf>) -> impl FnOnce(E) -> Self {
        let path = path.into();
        move |source| Self::Database { path, source: source.into() }
    }
}

/// What the database answered, sorted by what the operator can do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DbError {
    /// The disk, or the configured size limit, is exhausted.
    #[error("the disk is full, or the database has reached its size limit")]
    Full,
    /// The file, or the directory that holds it, cannot be written.
    #[error("the database cannot be written: the file or its directory is read-only")]
    ReadOnly,
    /// The file, or the directory that holds it, cannot be used at all.
    #[error("the database cannot be opened: the file or its directory cannot be read, or cannot be written")]
    CannotOpen,
    /// Another process held the write lock for longer than the store waits.
    #[error("the database is locked by another process")]
    Busy,
    /// The file's content makes no sense.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// Anything else, in SQLite's words.
    #[error("{0}")]
    Other(String),
}

impl From<rusqlite::Error> for DbError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::Full,
            Some(ErrorCode::ReadOnly) => Self::ReadOnly,
            Some(ErrorCode::CannotOpen) => Self::CannotOpen,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Other(error.to_string()),
        }
    }
}
