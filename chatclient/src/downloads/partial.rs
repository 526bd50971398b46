//! A file on its way in, under a temporary name.

use super::incoming::Finished;
use super::record::{Origin, RecordFile};
use super::{DownloadError, Downloads, names};
use crate::handle;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};
use chatproto::wire::{SafeName, SafeRelPath};
use std::fs::{File, TryLockError};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

/// So many numbered variants of a taken name are tried; bounds what a peer that sends one name for ever can cost.
pub const MAX_COPIES: u32 = 9_999;

/// Files up to this size, in bytes, are sent to the disk together; larger ones were written back on their way.
const SMALL: u64 = 1024 * 1024;

/// So many random tags are tried for a temporary name; a second one is hardly ever needed.
const MAX_TAGS: u32 = 16;

/// A file that is being received.
///
/// It is locked for as long as it is open, so that nobody else goes on with it. Dropping it keeps what was written under
/// the temporary name, so that it can be resumed after a crash or a cut; [`Partial::discard`] removes it.
#[derive(Debug)]
pub struct Partial {
    downloads: Downloads,
    into: SafeRelPath,
    dir: Arc<Dir>,
    folder: PathBuf,
    file: Arc<File>,
    temporary: String,
    name: SafeName,
    size: u64,
    record: Option<Arc<Mutex<RecordFile>>>,
}

/// A part of a file that waits to be gone on with. There may be many, so its folder is open only while something is done.
#[derive(Debug)]
pub struct KeptPart {
    downloads: Downloads,
    into: SafeRelPath,
    temporary: String,
    bytes: u64,
}

impl KeptPart {
    pub(super) fn new(downloads: Downloads, into: SafeRelPath, temporary: String, bytes: u64) -> Self {
        Self { downloads, into, temporary, bytes }
    }

    pub(super) fn name(&self) -> &str {
        &self.temporary
    }

    /// Verified bytes of it.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.downloads.path().join(self.into.as_str()).join(&self.temporary)
    }

    /// Removes it, unless somebody goes on with it at this moment; `false` then.
    ///
    /// # Errors
    ///
    /// [`DownloadError`] when the system refuses. A part that is gone already is no error.
    pub fn discard(&self) -> Result<bool, DownloadError> {
        let failed = |error| DownloadError::from_io("remove", self.path(), error);
        let dir = match self.downloads.descend(self.into.borrow()) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            dir => dir.map_err(failed)?,
        };
        match open(&dir, &self.temporary) {
            Ok(file) if !lock(&file).map_err(failed)? => return Ok(false),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(failed(error)),
        }
        remove(&dir, &self.temporary).map_err(failed)?;
        Ok(true)
    }
}

/// Removes a temporary file, then its record: in this order a crash leaves a record without a file, which means nothing.
pub(super) fn remove(dir: &Dir, temporary: &str) -> io::Result<()> {
    for name in [temporary, &names::record(temporary)] {
        match dir.remove_file(name) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Opens a file that is there; no symbolic link, and nothing but a plain file.
pub(super) fn open(dir: &Dir, name: &str) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).follow(FollowSymlinks::No).nonblock(true);
    let file = dir.open_with(name, &options)?.into_std();
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(file)
}

/// Keeps others from a file for as long as it is open; `false` when somebody else does.
pub(super) fn lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        // Not every file system can lock; there, two clients with one folder are the user's own affair.
        Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => Ok(true),
        Err(TryLockError::Error(error)) => Err(error),
    }
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
        downloads: Downloads,
        into: SafeRelPath,
        dir: Arc<Dir>,
        name: SafeName,
        size: u64,
    ) -> Result<Self, DownloadError> {
        let folder = downloads.path().join(into.as_str());
        let failed = |error| DownloadError::from_io("create", folder.join(name.as_str()), error);
        let (temporary, file) = create(&dir, name.as_str()).map_err(failed)?;
        // Nobody else knows its name.
        lock(&file).map_err(failed)?;
        let file = Arc::new(file);
        Ok(Self { downloads, into, dir, folder, file, temporary, name, size, record: None })
    }

    /// Goes on with a file that is open and locked already.
    pub(super) fn reopened(
        kept: KeptPart,
        dir: Arc<Dir>,
        name: SafeName,
        size: u64,
        file: File,
        record: RecordFile,
    ) -> Self {
        let KeptPart { downloads, into, temporary, bytes: _ } = kept;
        let folder = downloads.path().join(into.as_str());
        let (file, record) = (Arc::new(file), Some(Arc::new(Mutex::new(record))));
        Self { downloads, into, dir, folder, file, temporary, name, size, record }
    }

    /// Begins the record beside the file.
    pub(super) fn begin_record(&mut self, origin: &Origin) -> Result<(), DownloadError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).follow(FollowSymlinks::No);
        let record = self
            .dir
            .open_with(names::record(&self.temporary), &options)
            .and_then(|file| RecordFile::begin(file.into_std(), origin))
            .map_err(|error| self.failed("create a record of", error))?;
        self.record = Some(Arc::new(Mutex::new(record)));
        Ok(())
    }

    pub(super) fn record(&self) -> Option<Arc<Mutex<RecordFile>>> {
        self.record.clone()
    }

    pub(super) fn file(&self) -> Arc<File> {
        Arc::clone(&self.file)
    }

    /// Whether a claim still has the file, which is locked as long.
    pub(super) fn is_shared(&self) -> bool {
        Arc::strong_count(&self.file) > 1
    }

    /// Takes the record's claim to a unit back.
    pub(super) fn lose(&self, unit: u64) -> Result<(), DownloadError> {
        let Some(record) = &self.record else { return Ok(()) };
        let lost = record.lock().unwrap_or_else(PoisonError::into_inner).lose(unit);
        lost.map_err(|error| self.failed("change the record of", error))
    }

    pub(super) fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(into, offset)
    }

    /// Where its bytes end so far; 0 if that cannot be told.
    pub(super) fn written(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Removes the bytes from `len` on.
    pub(super) fn cut(&self, len: u64) -> Result<(), DownloadError> {
        self.file.set_len(len).map_err(|error| self.failed("cut", error))
    }

    /// Lets go of it, with `bytes` of it verified.
    pub(super) fn keep(self, bytes: u64) -> KeptPart {
        KeptPart { downloads: self.downloads, into: self.into, temporary: self.temporary, bytes }
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
    /// Returns the path that it has then. On an error it stays under its temporary name if it has a record.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Incomplete`] when bytes at its end were never written, [`DownloadError::TooManyCopies`],
    /// [`DownloadError::DiskFull`] or [`DownloadError::Io`].
    pub fn finish(self, mtime_ms: u64) -> Result<PathBuf, DownloadError> {
        self.begin_flush(mtime_ms);
        let outcome = self.flush();
        let (partial, ()) = self.or_drop(outcome)?;
        let outcome = partial.place();
        let (partial, path) = partial.or_drop(outcome)?;
        partial.end()?;
        Ok(path)
    }

    fn end(&self) -> Result<(), DownloadError> {
        handle::sync(&self.dir).map_err(|error| self.failed("write", error))?;
        self.forget_record();
        Ok(())
    }

    /// Goes on with it if all went well; if not, it stays only if somebody can go on with it, which its record tells.
    pub(super) fn or_drop<T>(self, outcome: Result<T, DownloadError>) -> Result<(Self, T), DownloadError> {
        match outcome {
            Ok(value) => Ok((self, value)),
            Err(error) => {
                if self.record.is_none() {
                    // The first error is the one to be told.
                    let _ = self.discard();
                }
                Err(error)
            }
        }
    }

    /// Removes what was received.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Io`] when the system refuses.
    pub fn discard(self) -> Result<(), DownloadError> {
        remove(&self.dir, &self.temporary).map_err(|source| DownloadError::Io {
            action: "remove",
            path: self.temporary_path(),
            source,
        })
    }

    /// The file has its name, and that is durable.
    pub(super) fn forget_record(&self) {
        if self.record.is_some() {
            // Left behind, it belongs to no file and is removed when it is met.
            let _ = self.dir.remove_file(names::record(&self.temporary));
        }
    }

    /// Gives the file its time and starts to write it to the disk, without waiting for that.
    pub(super) fn begin_flush(&self, mtime_ms: u64) {
        // A time beyond what the system can tell is one that nobody meant.
        let mtime = UNIX_EPOCH.checked_add(Duration::from_millis(mtime_ms)).filter(|_| mtime_ms > 0);
        if let Some(mtime) = mtime {
            // Not worth losing a verified file over, where the file system has a narrower range.
            let _ = self.file.set_modified(mtime);
        }
        if self.size <= SMALL {
            start_write_back(&self.file);
        }
    }

    /// Makes the file durable.
    pub(super) fn flush(&self) -> Result<(), DownloadError> {
        self.file.sync_all().map_err(|error| self.failed("write", error))?;
        let received = self.file.metadata().map_err(|error| self.failed("look at", error))?.len();
        if received != self.size {
            return Err(DownloadError::Incomplete { path: self.path(), received, size: self.size });
        }
        Ok(())
    }

    /// Gives the file its name, or the first free variant of it; not durable before its folder is flushed.
    pub(super) fn place(&self) -> Result<PathBuf, DownloadError> {
        // A name of the form of a temporary one would later be taken for a part, or for what is known of one.
        let first = u32::from(names::is_temporary(self.name.as_str()));
        for number in first..=MAX_COPIES {
            let name = names::variant(self.name.as_str(), number);
            match rename_without_replacing(&self.dir, &self.temporary, &name) {
                Ok(()) => return Ok(self.folder.join(&*name)),
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

/// A file whose pages are not needed is written back at once, in the background.
#[cfg(target_os = "linux")]
fn start_write_back(file: &File) {
    // It is an advice: what it does not do, the flush will.
    let _ = rustix::fs::fadvise(file, 0, None, rustix::fs::Advice::DontNeed);
}

#[cfg(not(target_os = "linux"))]
fn start_write_back(_: &File) {}

/// Flushes the folder of each file that has its name, each folder once.
pub(super) fn sync_folders(placed: &mut [Result<(Partial, Finished), DownloadError>]) {
    let mut synced: Vec<(PathBuf, bool)> = Vec::new();
    for file in placed {
        let Ok((partial, _)) = file else { continue };
        let known = |(folder, _): &&(PathBuf, bool)| *folder == partial.folder;
        let outcome = match synced.iter().find(known) {
            Some((_, true)) => Ok(()),
            // The error was told of the first file.
            Some((_, false)) => Err(io::ErrorKind::Other.into()),
            None => handle::sync(&partial.dir),
        };
        let folder: &Path = &partial.folder;
        synced.push((folder.to_owned(), outcome.is_ok()));
        if let Err(error) = outcome {
            *file = Err(partial.failed("write", error));
        }
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
