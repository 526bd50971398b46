//! The shared folder: what a peer may see and fetch, read through one directory handle.
//!
//! The handle is opened once. From there every step down is by name, from handle to handle, and no symbolic link is
//! followed at any of them: nothing that a peer asks for, and nothing that is changed in the folder meanwhile, leads
//! out of it. All of this blocks on the disk and belongs on worker threads.

mod at_once;
mod error;
mod file;
mod known;
mod listing;
mod outgoing;

pub use error::ShareError;
pub use file::SharedFile;
pub use known::{Computed, Known, KnownHashes};
pub use listing::{Listed, Listing, MAX_FOLDER_ENTRIES, MAX_SKIPPED_NAMES, SkipReason, Skipped};
pub use outgoing::{MAX_VALUES, Outgoing, OutgoingUnit};

use crate::handle;
use at_once::Disk;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use chatproto::verify::Root;
use chatproto::wire::SafeRelPathRef;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder that `--share` names. Cloning shares the handle.
#[derive(Debug, Clone)]
pub struct Share {
    root: Arc<Dir>,
    path: PathBuf,
    hashes: KnownHashes,
    disk: Disk,
}

/// A file as a list showed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Its size in bytes.
    pub size: u64,
    /// Its last change, in milliseconds since 1970-01-01 UTC; 0 if unknown.
    pub mtime_ms: u64,
}

impl Share {
    /// Opens the folder. It may be named by a symbolic link; below it none is followed.
    ///
    /// # Errors
    ///
    /// [`ShareError::NotFound`], [`ShareError::NotAFolder`] or [`ShareError::Denied`], each with the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, ShareError> {
        let path = path.as_ref();
        let failed = |source| ShareError::from_io("open", path.to_owned(), source);
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed)?;
        // The handle alone can be had without the right to read the folder.
        root.entries().map_err(failed)?;
        let disk = Disk::below(&root);
        Ok(Self { root: Arc::new(root), path: path.to_owned(), hashes: KnownHashes::default(), disk })
    }

    /// With what was remembered of its files.
    #[must_use]
    pub fn with_hashes(mut self, hashes: KnownHashes) -> Self {
        self.hashes = hashes;
        self
    }

    /// What is known of its files.
    #[must_use]
    pub fn hashes(&self) -> &KnownHashes {
        &self.hashes
    }

    /// The folder as it was named at [`Share::open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What is in a folder: folders first, each kind by name without regard to case.
    ///
    /// # Errors
    ///
    /// When the folder is not there, is none, or cannot be read. What cannot be served in it is no error: it is left
    /// out and told in [`Listing::skipped`].
    pub fn list(&self, folder: SafeRelPathRef<'_>) -> Result<Listing, ShareError> {
        let dir = self.descend(folder)?;
        listing::read(&dir, folder, &self.hashes).map_err(|source| self.failed("list", folder, source))
    }

    /// Opens a plain file for sending; `expected` is what the list showed to the one who asks for it now.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when the file is not as `expected`; [`ShareError::NotAFile`], also for a symbolic link,
    /// and for a pipe, which is not opened; or why it cannot be opened.
    pub fn open_file(
        &self,
        file: SafeRelPathRef<'_>,
        expected: Option<Seen>,
    ) -> Result<SharedFile, ShareError> {
        let (Some(folder), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(ShareError::NotAFile { path: self.path.clone() });
        };
        let dir = self.descend(folder)?;
        let (path, shared_path) = (self.path.join(file.as_str()), file.as_str().to_owned());
        SharedFile::open(&dir, name, path, shared_path, expected, &self.hashes)
    }

    /// Opens a plain file for sending, but only if that waits for no disk: `None` otherwise, and for every other reason why
    /// it cannot be opened. Then [`open_file`](Self::open_file) does, or says why not.
    #[must_use]
    pub fn open_at_once(&self, file: SafeRelPathRef<'_>, expected: Seen) -> Option<SharedFile> {
        let opened = self.disk.open(&self.root, file)?;
        let (path, shared_path) = (self.path.join(file.as_str()), file.as_str().to_owned());
        let mut opened = SharedFile::of(opened, path, shared_path).ok()?.expect(Some(expected)).ok()?;
        opened.known = self.hashes.get_at_once(&opened.shared_path, &opened.id)?;
        opened.disk = self.disk;
        Some(opened)
    }

    /// Opens a file that is known to have this hash.
    ///
    /// # Errors
    ///
    /// [`ShareError::NotFound`] when none is known, [`ShareError::Changed`] when it is not what it was, or why it cannot be
    /// opened.
    pub fn open_root(&self, root: &Root) -> Result<SharedFile, ShareError> {
        let nothing = || ShareError::NotFound { path: self.path.clone() };
        let path = self.hashes.path_of(root).ok_or_else(nothing)?;
        let path = SafeRelPathRef::new(&path).map_err(|_| nothing())?;
        let file = self.open_file(path, None)?;
        if file.known().root != Some(*root) {
            return Err(ShareError::Changed {
                path: file.path().to_owned(),
                what: "it has another hash now",
            });
        }
        Ok(file)
    }

    fn descend(&self, folder: SafeRelPathRef<'_>) -> Result<Dir, ShareError> {
        self.root
            .try_clone()
            .and_then(|root| folder.components().try_fold(root, |dir, name| handle::open_folder(&dir, name)))
            .map_err(|source| self.failed("open", folder, source))
    }

    fn failed(&self, action: &'static str, path: SafeRelPathRef<'_>, source: std::io::Error) -> ShareError {
        ShareError::from_io(action, self.path.join(path.as_str()), source)
    }
}
