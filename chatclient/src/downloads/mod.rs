//! The download folder: what comes from a peer lands here and nowhere else.
//!
//! All is done through one directory handle, from folder to folder by checked names, and no symbolic link is followed.
//! A file comes under a temporary name and gets its own only when it is whole and verified; a name that is taken is
//! never replaced. Beside a file of more than one unit lies its record, from which a later run goes on. All of this blocks
//! on the disk and belongs on worker threads.

mod content;
mod error;
mod given;
mod incoming;
mod kept;
mod leftovers;
mod names;
mod partial;
mod record;

pub use content::{Content, Small};
pub use error::DownloadError;
pub use given::GivenNames;
pub use incoming::{CLAIM_BYTES, CLAIM_INTERVAL, Claim, Finished, Incoming, Whole, finish_all};
pub use kept::{MAX_LOOKED_AT, Search};
pub(crate) use names::is_temporary;
pub use partial::{KeptPart, MAX_COPIES, Partial};
pub use record::{MAX_RECORDED_UNITS, Origin, Record, RecordError};

use crate::handle;
use cap_std::ambient_authority;
use cap_std::fs::Dir;
use chatproto::wire::{SafeNameRef, SafeRelPathRef};
use leftovers::Leftovers;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The folder that `--downloads` names. Cloning shares the handle.
#[derive(Debug, Clone)]
pub struct Downloads {
    root: Arc<Dir>,
    path: PathBuf,
    leftovers: Leftovers,
}

impl Downloads {
    /// Opens the folder, creating it when it is not there, and tries whether a file can be made in it. The folder may
    /// be named by a symbolic link; below it none is followed.
    ///
    /// # Errors
    ///
    /// [`DownloadError::NotAFolder`], [`DownloadError::NotWritable`] or [`DownloadError::DiskFull`], with the path.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DownloadError> {
        let path = path.as_ref();
        let failed = |action| move |source| DownloadError::from_io(action, path.to_owned(), source);
        match std::fs::create_dir_all(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(DownloadError::NotAFolder { path: path.to_owned() });
            }
            result => result.map_err(failed("create"))?,
        }
        let root = Dir::open_ambient_dir(path, ambient_authority()).map_err(failed("open"))?;
        let (probe, _) = partial::create(&root, "probe").map_err(failed("write to"))?;
        root.remove_file(probe).map_err(failed("write to"))?;
        Ok(Self { root: Arc::new(root), path: path.to_owned(), leftovers: Leftovers::default() })
    }

    /// The folder as it was named at [`Downloads::open`].
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Begins a file of `size` bytes that is to be called `name` in `folder`, which is created when it is not there.
    ///
    /// Nothing is reserved: a peer may claim any size. But what cannot fit is refused at once. What a crash left in the folder, and
    /// nobody can go on with, is removed.
    ///
    /// # Errors
    ///
    /// [`DownloadError::NoRoom`], [`DownloadError::NotAFolder`] when a file or a symbolic link is in the way of
    /// `folder`, [`DownloadError::NotWritable`], [`DownloadError::DiskFull`] or [`DownloadError::Io`].
    pub fn begin(
        &self,
        folder: SafeRelPathRef<'_>,
        name: SafeNameRef<'_>,
        size: u64,
    ) -> Result<Partial, DownloadError> {
        self.check_room(size)?;
        // One handle for the many files that lie right in it.
        let dir = match folder.components().next() {
            None => Arc::clone(&self.root),
            Some(_) => Arc::new(self.make_folder(folder)?),
        };
        self.leftovers.remove(folder, &dir);
        Partial::create(self.clone(), folder.to_owned(), dir, name.to_owned(), size)
    }

    /// Makes a folder, with those above it, unless it is there.
    ///
    /// # Errors
    ///
    /// [`DownloadError::NotAFolder`] when a file or a symbolic link is in its way, [`DownloadError::NotWritable`],
    /// [`DownloadError::DiskFull`] or [`DownloadError::Io`].
    pub fn create_folder(&self, folder: SafeRelPathRef<'_>) -> Result<(), DownloadError> {
        self.make_folder(folder).map(drop)
    }

    fn check_room(&self, needed: u64) -> Result<(), DownloadError> {
        let failed = |error: rustix::io::Errno| {
            DownloadError::from_io("look for room in", self.path.clone(), error.into())
        };
        let disk = rustix::fs::fstatvfs(&*self.root).map_err(failed)?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        // Some network file systems do not know their size and say 0.
        if disk.f_blocks > 0 && free < needed {
            return Err(DownloadError::NoRoom { path: self.path.clone(), needed, free });
        }
        Ok(())
    }

    fn make_folder(&self, folder: SafeRelPathRef<'_>) -> Result<Dir, DownloadError> {
        let mut path = self.path.clone();
        let mut dir = self.root.try_clone().map_err(|error| failed_at("open", &path, error))?;
        for name in folder.components() {
            path.push(name.as_str());
            match dir.create_dir(name.as_str()) {
                Ok(()) => handle::sync(&dir).map_err(|error| failed_at("create", &path, error))?,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(failed_at("create", &path, error)),
            }
            dir = handle::open_folder(&dir, name).map_err(|error| failed_at("open", &path, error))?;
        }
        Ok(dir)
    }
}

fn failed_at(action: &'static str, path: &Path, source: io::Error) -> DownloadError {
    DownloadError::from_io(action, path.to_owned(), source)
}
