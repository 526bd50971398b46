//! The data directory: made private, checked, and locked for the one server that runs on it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process,
};

use rusqlite::Connection;

use super::{error::StoreError, schema};

/// A data directory whose database exists and has a schema that this program knows.
#[derive(Debug, Clone)]
pub struct DataDir {
    path: PathBuf,
}

impl DataDir {
    /// Opens the directory, making it (mode 0700) and its database (mode 0600) where they do not exist.
    ///
    /// Takes no lock: account commands use it beside a running server.
    ///
    /// # Errors
    ///
    /// [`StoreError`] that names the path: not a directory, not writable, full, a foreign or damaged database,
    /// or one that a newer version wrote.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = Self { path: path.into() };
        dir.create()?;
        dir.create_file(DATABASE)?;
        dir.connect()?;
        Ok(dir)
    }

    /// A directory that must have a database already, for commands that only read.
    ///
    /// # Errors
    ///
    /// [`StoreError`] that names the path, also when it does not exist.
    pub fn existing(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = Self { path: path.into() };
        let database = dir.database();
        fs::metadata(&database).map_err(StoreError::io("open", &database))?;
        Ok(dir)
    }

    /// Makes a directory (mode 0700), or takes one in which no server has run.
    ///
    /// # Errors
    ///
    /// [`StoreError::Occupied`] when there is a database or a lock.
    pub(super) fn fresh(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let dir = Self { path: path.into() };
        dir.create()?;
        for name in [DATABASE, INDEX, LOCK] {
            if fs::symlink_metadata(dir.path.join(name)).is_ok() {
                return Err(StoreError::Occupied { path: dir.path });
            }
        }
        Ok(dir)
    }

    /// Takes the directory for this process until the lock is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`] when another server holds it.
    pub fn lock(self) -> Result<ServerLock, StoreError> {
        let path = self.path.join(LOCK);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(PRIVATE_FILE)
            .open(&path)
            .map_err(StoreError::io("open", &path))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(StoreError::InUse { path: self.path, pid: holder(&mut file) });
            }
            Err(TryLockError::Error(error)) => return Err(StoreError::io("lock", &path)(error)),
        }
        file.set_len(0)
            .and_then(|()| writeln!(file, "{}", process::id()))
            .map_err(StoreError::io("write", &path))?;
        Ok(ServerLock { dir: self, _file: file })
    }

    /// The directory's path, as it was given.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The database's file.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        self.path.join(DATABASE)
    }

    /// The search index's file.
    pub(super) fn index(&self) -> PathBuf {
        self.path.join(INDEX)
    }

    /// A new connection that may write.
    pub(super) fn connect(&self) -> Result<Connection, StoreError> {
        schema::open(&self.database())
    }

    /// A new connection that may not.
    pub(super) fn connect_read_only(&self) -> Result<Connection, StoreError> {
        schema::open_read_only(&self.database())
    }

    /// Makes an empty file that only this user can read; SQLite gives its side files the same mode.
    pub(super) fn create_file(&self, name: &str) -> Result<(), StoreError> {
        let path = self.path.join(name);
        match OpenOptions::new().write(true).create_new(true).mode(PRIVATE_FILE).open(&path) {
            // The name must survive a power cut as surely as the first commit in it.
            Ok(_) => sync_directory(&self.path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(error) => Err(StoreError::io("create", &path)(error)),
        }
    }

    fn create(&self) -> Result<(), StoreError> {
        match fs::metadata(&self.path) {
            Ok(found) if found.is_dir() => return Ok(()),
            Ok(_) => return Err(StoreError::NotADirectory { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
                return Err(StoreError::NotADirectory { path: self.path.clone() });
            }
            Err(error) => return Err(StoreError::io("open", &self.path)(error)),
        }
        DirBuilder::new()
            .recursive(true)
            .mode(PRIVATE_DIRECTORY)
            .create(&self.path)
            .map_err(StoreError::io("create", &self.path))?;
        match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => sync_directory(parent),
            _ => Ok(()),
        }
    }
}

/// A data directory that belongs to this process. Dropping it lets the next server in.
#[derive(Debug)]
pub struct ServerLock {
    dir: DataDir,
    /// Closing it releases the lock, also when the process is killed.
    _file: File,
}

impl ServerLock {
    /// The directory that is locked.
    #[must_use]
    pub fn dir(&self) -> &DataDir {
        &self.dir
    }
}

/// Who holds the lock, as its file says.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    match file.take(MAX_PID_BYTES).read_to_string(&mut text) {
        Ok(_) if text.trim().parse::<u32>().is_ok() => text.trim().to_owned(),
        Ok(_) | Err(_) => "unknown".to_owned(),
    }
}

pub(super) fn sync_directory(path: &Path) -> Result<(), StoreError> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(StoreError::io("flush", path))
}

const DATABASE: &str = "chat.db";
pub(super) const INDEX: &str = "search.db";
const LOCK: &str = "server.lock";

const PRIVATE_DIRECTORY: u32 = 0o700;
const PRIVATE_FILE: u32 = 0o600;

/// More than any process id needs: the file may hold anything.
const MAX_PID_BYTES: u64 = 16;
