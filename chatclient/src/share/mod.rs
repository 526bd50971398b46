//! The shared folder: what a peer may see and fetch, read through one directory handle.
//!
//! The handle is opened once. From there every step down is by name, from handle to handle, and no symbolic link is
//! followed at any of them: nothing that a peer asks for, and nothing that is changed in the folder meanwhile, leads
//! out of it. All of this blocks on the disk and belongs on worker threads.

mod error;
mod file;
mod listing;
mod outgoing;

pub use error::ShareError;
pub use file::SharedFile;
pub use listing::{Listed, Listing, MAX_FOLDER_ENTRIES, MAX_SKIPPED_NAMES, SkipReason, Skipped};
pub use outgoing::{Outgoing, OutgoingUnit};

use crate::handle;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use chatproto::wire::SafeRelPathRef;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder that `--share` names. Cloning shares the handle.
#[derive(Debug, Clone)]
pub struct Share {
    root: Arc<Dir>,
    path: PathBuf,
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
        Ok(Self { root: Arc::new(root), path: path.to_owned() })
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
        listing::read(&dir, folder).map_err(|source| self.failed("list", folder, source))
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
        SharedFile::open(&dir, name, self.path.join(file.as_str()), expected)
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
