//! A file on its way in, under a temporary name.

use super::{DownloadError, names};
use crate::handle;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _};
use cap_std::fs::{Dir, OpenOptions};
use chatproto::wire::SafeName;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::time::{Duration, UNIX_EPOCH};

/// So many numbered variants of a taken name are tried; bounds what a peer that sends one name for ever can cost.
pub const MAX_COPIES: u32 = 9_999;

/// So many random tags are tried for a temporary name; a second one is hardly ever needed.
const MAX_TAGS: u32 = 16;

/// A file that is being received.
///
/// Dropping it keeps what was written under the temporary name, so that it can be resumed after a crash or a cut;
/// [`Partial::discard`] removes it.
#[derive(Debug)]
pub struct Partial {
    dir: Dir,
    folder: PathBuf,
    file: File,
    temporary: String,
    name: SafeName,
    size: u64,
}

/// Makes a new file with a temporary name, whatever else is there.
pub(super) fn create(dir: &Dir, name: &str) -> io::Result<(String, File)> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true).follow(FollowSymlinks::No);
    let mut tries = 0;
    loop {
        let tag = getrandom::u32().map_err(|error| io::Error::other(error.to_string()))?;
        let temporary = names::temporary(name, tag);
        match dir.open_with(&temporary, &options) {
            Ok(file) => return Ok((temporary, file.into_std())),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < MAX_TAGS => tries += 1,
            Err(error) => return Err(error),
        }
    }
}

impl Partial {
    pub(super) fn create(
        dir: Dir,
        folder: PathBuf,
        name: SafeName,
        size: u64,
    ) -> Result<Self, DownloadError> {
        let (temporary, file) = create(&dir, name.as_str())
            .map_err(|error| DownloadError::from_io("create", folder.join(name.as_str()), error))?;
        Ok(Self { dir, folder, file, temporary, name, size })
    }

    /// The announced size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The path that it is to have, unless that is taken.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name.as_str())
    }

    /// The path that it has while it comes.
    #[must_use]
    pub fn temporary_path(&self) -> PathBuf {
        self.folder.join(&self.temporary)
    }

    /// Writes bytes at their place.
    ///
    /// # Errors
    ///
    /// [`DownloadError::PastEnd`], [`DownloadError::DiskFull`] or [`DownloadError::Io`].
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), DownloadError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.size {
            return Err(DownloadError::PastEnd { path: self.path(), end, size: self.size });
        }
        self.file.write_all_at(bytes, offset).map_err(|error| self.failed("write", error))
    }

    /// Makes the file durable and gives it its name, or the first free variant of it. `mtime_ms` is the time that it
    /// gets, in milliseconds since 1970-01-01 UTC, 0 for now.
    ///
    /// Returns the path that it has then. On an error it stays under its temporary name.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Incomplete`] when bytes at its end were never written, [`DownloadError::TooManyCopies`],
    /// [`DownloadError::DiskFull`] or [`DownloadError::Io`].
    pub fn finish(self, mtime_ms: u64) -> Result<PathBuf, DownloadError> {
        self.flush(mtime_ms).map_err(|error| self.failed("write", error))?;
        let received = self.file.metadata().map_err(|error| self.failed("look at", error))?.len();
        if received != self.size {
            return Err(DownloadError::Incomplete { path: self.path(), received, size: self.size });
        }
        let name = self.place()?;
        handle::sync(&self.dir).map_err(|error| self.failed("write", error))?;
        Ok(self.folder.join(name))
    }

    /// Removes what was received.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Io`] when the system refuses.
    pub fn discard(self) -> Result<(), DownloadError> {
        self.dir.remove_file(&self.temporary).map_err(|source| DownloadError::Io {
            action: "remove",
            path: self.temporary_path(),
            source,
        })
    }

    fn flush(&self, mtime_ms: u64) -> io::Result<()> {
        // A time beyond what the system can tell is one that nobody meant.
        let mtime = UNIX_EPOCH.checked_add(Duration::from_millis(mtime_ms)).filter(|_| mtime_ms > 0);
        if let Some(mtime) = mtime {
            // Not worth losing a verified file over, where the file system has a narrower range.
            let _ = self.file.set_modified(mtime);
        }
        self.file.sync_all()
    }

    fn place(&self) -> Result<String, DownloadError> {
        for number in 0..=MAX_COPIES {
            let name = names::variant(self.name.as_str(), number);
            match rename_without_replacing(&self.dir, &self.temporary, &name) {
                Ok(()) => return Ok(name.into_owned()),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => {
                    return Err(DownloadError::from_io("rename", self.temporary_path(), error));
                }
            }
        }
        Err(DownloadError::TooManyCopies { path: self.path(), limit: MAX_COPIES })
    }

    fn failed(&self, action: &'static str, source: io::Error) -> DownloadError {
        DownloadError::from_io(action, self.path(), source)
    }
}

/// Fails with [`io::ErrorKind::AlreadyExists`] when `to` is taken, also where the file system takes another name for it.
fn rename_without_replacing(dir: &Dir, from: &str, to: &str) -> io::Result<()> {
    let unsupported =
        |error: &io::Error| matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported);
    match rename_exclusively(dir, from, to) {
        // Not every file system knows the flag; NFS does not.
        Err(error) if unsupported(&error) => link_and_remove(dir, from, to),
        result => result,
    }
}

/// A hard link never replaces either.
fn link_and_remove(dir: &Dir, from: &str, to: &str) -> io::Result<()> {
    dir.hard_link(from, dir, to)?;
    dir.remove_file(from)
}

#[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
fn rename_exclusively(dir: &Dir, from: &str, to: &str) -> io::Result<()> {
    Ok(rustix::fs::renameat_with(dir, from, dir, to, rustix::fs::RenameFlags::NOREPLACE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
fn rename_exclusively(_: &Dir, _: &str, _: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_way_of_renaming_replaces() {
        type Rename = fn(&Dir, &str, &str) -> io::Result<()>;
        for rename in [rename_without_replacing as Rename, rename_exclusively, link_and_remove] {
            let temp = tempfile::tempdir().unwrap();
            let dir = Dir::open_ambient_dir(temp.path(), cap_std::ambient_authority()).unwrap();
            dir.write("from", "new").unwrap();
            dir.write("to", "old").unwrap();
            dir.symlink("nowhere", "dangling").unwrap();
            for taken in ["to", "dangling"] {
                let error = rename(&dir, "from", taken).unwrap_err();
                assert_eq!(error.kind(), io::ErrorKind::AlreadyExists, "{taken}");
            }
            assert_eq!(dir.read_to_string("to").unwrap(), "old");
            rename(&dir, "from", "free").unwrap();
            assert_eq!(dir.read_to_string("free").unwrap(), "new");
            assert!(!dir.exists("from"));
        }
    }
}
