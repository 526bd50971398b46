//! A file that is received from its start and verified on the way.

use super::{DownloadError, Downloads, Partial};
use chatproto::verify::{Layout, Root, RootBuilder, UnitHasher, UnitLog2, UnitValue};
use chatproto::wire::{SafeNameRef, SafeRelPathRef};
use std::path::PathBuf;

/// Writes and hashes what comes, in order. Each call is a job for a worker thread.
#[derive(Debug)]
pub struct Incoming {
    partial: Partial,
    root: RootBuilder,
    /// Of the unit that comes; none after the last one.
    unit: Option<UnitHasher>,
    received: u64,
}

/// A file that arrived whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// Where it lies. Its name is a numbered variant when the announced one was taken.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
    /// Its BLAKE3 hash.
    pub root: Root,
}

impl Incoming {
    /// Begins a file as [`Downloads::begin`] does.
    ///
    /// # Errors
    ///
    /// Those of [`Downloads::begin`].
    pub fn begin(
        downloads: &Downloads,
        folder: SafeRelPathRef<'_>,
        name: SafeNameRef<'_>,
        size: u64,
        unit: UnitLog2,
    ) -> Result<Self, DownloadError> {
        let partial = downloads.begin(folder, name, size)?;
        let layout = Layout::new(size, unit);
        Ok(Self { partial, root: RootBuilder::new(layout), unit: layout.hasher(0).ok(), received: 0 })
    }

    /// The file under its temporary name.
    #[must_use]
    pub fn partial(&self) -> &Partial {
        &self.partial
    }

    /// How many bytes came so far.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Takes the next bytes, which all belong to one unit.
    ///
    /// # Errors
    ///
    /// [`DownloadError::OutOfOrder`], [`DownloadError::PastEnd`] and [`DownloadError::CrossesUnit`] are the peer's
    /// faults, the others are local. In each case the transfer is over.
    pub fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), DownloadError> {
        if offset != self.received {
            let path = self.partial.path();
            return Err(DownloadError::OutOfOrder { path, expected: self.received, found: offset });
        }
        self.partial.write_at(offset, bytes)?;
        let hashed = self.unit.as_mut().map_or(0, |unit| unit.update(bytes));
        if hashed != bytes.len() {
            return Err(DownloadError::CrossesUnit { path: self.partial.path(), offset });
        }
        self.received += bytes.len() as u64;
        Ok(())
    }

    /// Ends a unit whose bytes all came, and tells what they hash to; that must be what the sender says.
    ///
    /// # Errors
    ///
    /// [`DownloadError::UnitIncomplete`] when bytes are missing, [`DownloadError::NoUnitLeft`] after the last unit; the
    /// transfer is over then.
    pub fn unit_end(&mut self) -> Result<UnitValue, DownloadError> {
        let no_unit = || DownloadError::NoUnitLeft { path: self.partial.path() };
        let unit = self.unit.take().ok_or_else(no_unit)?;
        let missing = unit.missing();
        let value = unit
            .finish()
            .map_err(|_| DownloadError::UnitIncomplete { path: self.partial.path(), missing })?;
        self.root.push(value).map_err(|_| no_unit())?;
        self.unit = self.root.layout().hasher(self.root.pushed()).ok();
        Ok(value)
    }

    /// Compares the whole with the hash that the sender promised, and gives the file its name and time as
    /// [`Partial::finish`] does.
    ///
    /// # Errors
    ///
    /// [`DownloadError::RootMismatch`], with what came removed; [`DownloadError::Incomplete`] when units are missing;
    /// and those of [`Partial::finish`], with what came kept under its temporary name.
    pub fn finish(self, expected: &Root, mtime_ms: u64) -> Result<Finished, DownloadError> {
        let (path, size) = (self.partial.path(), self.partial.size());
        let Ok(found) = self.root.finish() else {
            return Err(DownloadError::Incomplete { path, received: self.received, size });
        };
        if found != *expected {
            self.partial.discard()?;
            return Err(DownloadError::RootMismatch { path, expected: *expected, found });
        }
        let path = self.partial.finish(mtime_ms)?;
        Ok(Finished { path, size, root: found })
    }

    /// Removes what came.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Io`] when the system refuses.
    pub fn discard(self) -> Result<(), DownloadError> {
        self.partial.discard()
    }
}
