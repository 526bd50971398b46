//! A shared file while it is sent.

use super::at_once::Disk;
use super::known::{Known, KnownHashes};
use super::{Seen, ShareError};
use crate::handle::unix_millis;
use crate::state::FileId;
use cap_fs_ext::{FollowSymlinks, OpenOptionsFollowExt as _, OpenOptionsSyncExt as _};
use cap_std::fs::{Dir, OpenOptions};
use chatproto::verify::{Layout, UnitLog2};
use chatproto::wire::SafeNameRef;
use rustix::buffer::spare_capacity;
use rustix::io::{pread, retry_on_intr};
use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An open file of the share. What is read from it is what it was at opening, or [`ShareError::Changed`].
#[derive(Debug)]
pub struct SharedFile {
    file: File,
    path: PathBuf,
    /// Where it lies in the share.
    pub(super) shared_path: String,
    size: u64,
    modified: SystemTime,
    pub(super) id: FileId,
    pub(super) known: Known,
    /// Where it can be read from without waiting.
    pub(super) disk: Disk,
}

impl SharedFile {
    pub(super) fn open(
        dir: &Dir,
        name: SafeNameRef<'_>,
        path: PathBuf,
        shared_path: String,
        expected: Option<Seen>,
        hashes: &KnownHashes,
    ) -> Result<Self, ShareError> {
        let failed = |source| ShareError::from_io("open", path.clone(), source);
        // Looked at before it is opened, since opening a device can have effects. Then once more, for what took its
        // place in between; O_NONBLOCK keeps a pipe among that from blocking this thread for good.
        if !dir.symlink_metadata(name.as_str()).map_err(failed)?.is_file() {
            return Err(ShareError::NotAFile { path });
        }
        let mut options = OpenOptions::new();
        options.read(true).follow(FollowSymlinks::No).nonblock(true);
        let file = dir.open_with(name.as_str(), &options).map_err(failed)?.into_std();
        let mut opened = Self::of(file, path, shared_path)?;
        opened.known = hashes.get(&opened.shared_path, &opened.id).unwrap_or_default();
        opened.expect(expected)
    }

    /// A file that is open, and of which nothing is known.
    pub(super) fn of(file: File, path: PathBuf, shared_path: String) -> Result<Self, ShareError> {
        let failed = |source| ShareError::from_io("open", path.clone(), source);
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(ShareError::NotAFile { path });
        }
        let (size, modified, id) = (metadata.len(), metadata.modified().map_err(failed)?, file_id(&metadata));
        let (known, disk) = (Known::default(), Disk::Unknown);
        Ok(Self { file, path, shared_path, size, modified, id, known, disk })
    }

    /// The file, if it is what was shown of it.
    pub(super) fn expect(self, seen: Option<Seen>) -> Result<Self, ShareError> {
        match seen {
            Some(seen) if seen.size != self.size => Err(self.changed("its size is not the one listed")),
            Some(seen) if seen.mtime_ms != self.mtime_ms() => {
                Err(self.changed("its time is not the one listed"))
            }
            Some(_) | None => Ok(self),
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Its last change, in milliseconds since 1970-01-01 UTC; 0 if earlier.
    #[must_use]
    pub fn mtime_ms(&self) -> u64 {
        unix_millis(self.modified)
    }

    /// Where it lies, for the local user's eyes.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where it lies in the share.
    #[must_use]
    pub fn shared_path(&self) -> &str {
        &self.shared_path
    }

    /// What was known of it when it was opened.
    #[must_use]
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// What it is, if it still is what it was at opening.
    #[must_use]
    pub fn id_if_unchanged(&self) -> Option<FileId> {
        self.file.metadata().ok().map(|metadata| file_id(&metadata)).filter(|id| *id == self.id)
    }

    /// How it falls into units of one length.
    #[must_use]
    pub fn layout(&self, unit: UnitLog2) -> Layout {
        Layout::new(self.size, unit)
    }

    /// Reads one unit, at most 1 MiB, in place of what `into` held.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when the file was cut, grew or was written to since it was opened,
    /// [`ShareError::NoSuchUnit`], or [`ShareError::Io`].
    pub fn read_unit(&self, unit: UnitLog2, index: u64, into: &mut Vec<u8>) -> Result<(), ShareError> {
        let range = self
            .layout(unit)
            .range(index)
            .map_err(|error| ShareError::NoSuchUnit { path: self.path.clone(), error })?;
        // No unit is longer than a usize.
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        into.clear();
        into.reserve_exact(len);
        // Into memory that nobody has cleared first, which would cost a twentieth of a whole transfer.
        while into.len() < len {
            let offset = range.start + into.len() as u64;
            match retry_on_intr(|| pread(&self.file, spare_capacity(into), offset)) {
                Ok(0) => return Err(self.changed("it was cut")),
                Ok(_) => {}
                Err(error) => return Err(self.failed("read", error.into())),
            }
        }
        into.truncate(len);
        self.check_unchanged()
    }

    /// Reads the whole of a file of one unit, if that waits for no disk: `None` otherwise, and whenever
    /// [`read_unit`](Self::read_unit) would fail.
    #[must_use]
    pub fn read_at_once(&self) -> Option<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.size).ok()?];
        let is_read = self.disk.read(&self.file, &mut bytes) && self.check_unchanged().is_ok();
        is_read.then_some(bytes)
    }

    /// Compares the file with what it was at opening. A change that keeps size and time is not seen here: it is the
    /// receiver's hashes that see it.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] or [`ShareError::Io`].
    pub fn check_unchanged(&self) -> Result<(), ShareError> {
        let failed = |error| self.failed("look at", error);
        let metadata = self.file.metadata().map_err(failed)?;
        if metadata.len() != self.size {
            return Err(self.changed("its size is another now"));
        }
        if metadata.modified().map_err(failed)? != self.modified {
            return Err(self.changed("it was written to"));
        }
        Ok(())
    }

    fn changed(&self, what: &'static str) -> ShareError {
        ShareError::Changed { path: self.path.clone(), what }
    }

    fn failed(&self, action: &'static str, source: io::Error) -> ShareError {
        ShareError::from_io(action, self.path.clone(), source)
    }
}

fn file_id(metadata: &std::fs::Metadata) -> FileId {
    FileId {
        size: metadata.len(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        device: metadata.dev(),
        inode: metadata.ino(),
    }
}
