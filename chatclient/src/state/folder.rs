//! The directory itself: locked while in use, small files replaced whole or not at all.

use super::StateError;
use crate::handle;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, File, OpenOptions, OpenOptionsExt as _};
use std::fs::TryLockError;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

/// The largest of the small files that is read; a larger one was not written by this program.
pub(super) const MAX_SMALL_FILE_BYTES: u64 = 4 * 1024 * 1024;

const LOCK_FILE: &str = "lock";

/// An open, locked state directory. The lock goes when the last holder drops it, or when the process dies.
#[derive(Debug)]
pub(super) struct Folder {
    dir: Dir,
    path: PathBuf,
    _lock: std::fs::File,
}

impl Folder {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let failed = |action, source| StateError::Io { action, path: path.to_owned(), source };
        if let Err(error) = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path) {
            if path.exists() {
                return Err(StateError::NotADirectory { path: path.to_owned() });
            }
            return Err(failed("create", error));
        }
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| failed("open", error))?;
        let lock = lock(&dir, path)?;
        Ok(Self { dir, path: path.to_owned(), _lock: lock })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn file_path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn corrupt(&self, name: &str, what: impl Into<String>) -> StateError {
        StateError::Corrupt { path: self.file_path(name), what: what.into() }
    }

    pub(super) fn failed(&self, action: &'static str, name: &str, source: io::Error) -> StateError {
        StateError::Io { action, path: self.file_path(name), source }
    }

    /// Opens an existing file for reading; `None` when there is none.
    pub(super) fn open_existing(&self, name: &str) -> Result<Option<File>, StateError> {
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No);
        match self.dir.open_with(name, &options) {
            Ok(file) => Ok(Some(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed("open", name, error)),
        }
    }

    /// The whole content of a small text file; `None` when there is no such file.
    pub(super) fn read(&self, name: &str) -> Result<Option<String>, StateError> {
        let Some(file) = self.open_existing(name)? else { return Ok(None) };
        let mut content = Vec::new();
        file.take(MAX_SMALL_FILE_BYTES + 1)
            .read_to_end(&mut content)
            .map_err(|error| self.failed("read", name, error))?;
        if content.len() as u64 > MAX_SMALL_FILE_BYTES {
            return Err(self.corrupt(name, format!("it is larger than {MAX_SMALL_FILE_BYTES} bytes")));
        }
        String::from_utf8(content).map(Some).map_err(|_| self.corrupt(name, "it is not UTF-8 text"))
    }

    /// Puts `content` under `name`: after this, a crash or a power cut shows the old content or the new, never a part.
    pub(super) fn replace(&self, name: &str, content: &[u8]) -> Result<File, StateError> {
        self.try_replace(name, content).map_err(|error| self.failed("write", name, error))
    }

    fn try_replace(&self, name: &str, content: &[u8]) -> io::Result<File> {
        // One name is enough: the lock keeps others out, and a left-over of a crash is overwritten.
        let temporary = format!(".{name}.new");
        let mut file =
            self.dir.open_with(&temporary, private(OpenOptions::new().create(true).truncate(true)))?;
        file.write_all(content)?;
        file.sync_all()?;
        self.dir.rename(&temporary, &self.dir, name)?;
        handle::sync(&self.dir)?;
        Ok(file)
    }

    /// Removes a file, if it is there.
    pub(super) fn remove(&self, name: &str) -> Result<(), StateError> {
        match self.dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(self.failed("remove", name, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives a file a second name, in place of an earlier one that had it. The file keeps its own until it is replaced, so
    /// that nothing is lost in between.
    pub(super) fn keep_as(&self, name: &str, aside: &str) -> Result<(), StateError> {
        self.remove(aside)?;
        self.dir.hard_link(name, &self.dir, aside).map_err(|error| self.failed("keep", name, error))
    }
}

fn lock(dir: &Dir, path: &Path) -> Result<std::fs::File, StateError> {
    let failed = |source| StateError::Io { action: "lock", path: path.to_owned(), source };
    let file = dir
        .open_with(LOCK_FILE, private(OpenOptions::new().read(true).create(true)))
        .map_err(failed)?
        .into_std();
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            return Err(StateError::InUse { path: path.to_owned(), pid: owner(&file) });
        }
        Err(TryLockError::Error(error)) => return Err(failed(error)),
    }
    file.set_len(0).map_err(failed)?;
    (&file).write_all(format!("{}\n", std::process::id()).as_bytes()).map_err(failed)?;
    Ok(file)
}

/// Only for the message: the lock, not this number, decides.
fn owner(file: &std::fs::File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

fn private(options: &mut OpenOptions) -> &OpenOptions {
    options.write(true).mode(0o600).follow(FollowSymlinks::No)
}
