//! A file on its way out: read and hashed unit by unit, each byte once.

use super::{ShareError, SharedFile};
use bytes::Bytes;
use chatproto::verify::{Layout, Root, RootBuilder, UnitLog2, UnitValue};

/// Reads a shared file from its start and hashes what it reads. Each step is a job for a worker thread.
#[derive(Debug)]
pub struct Outgoing {
    file: SharedFile,
    root: RootBuilder,
}

/// One unit of a file.
#[derive(Debug, Clone)]
pub struct OutgoingUnit {
    /// Which one, from 0.
    pub index: u64,
    /// Its bytes, at most 1 MiB; slices of them can be sent without a copy.
    pub bytes: Bytes,
    /// What they hash to.
    pub value: UnitValue,
}

impl Outgoing {
    /// Begins with the first unit.
    #[must_use]
    pub fn new(file: SharedFile, unit: UnitLog2) -> Self {
        let root = RootBuilder::new(file.layout(unit));
        Self { file, root }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &SharedFile {
        &self.file
    }

    /// How it falls into units.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.root.layout()
    }

    /// Reads and hashes the next unit; `None` after the last one, at once for an empty file.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when the file is no longer what it was at opening, or [`ShareError::Io`].
    pub fn next_unit(&mut self) -> Result<Option<OutgoingUnit>, ShareError> {
        let layout = self.layout();
        let index = self.root.pushed();
        if index >= layout.units() {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.file.read_unit(layout.unit(), index, &mut bytes)?;
        let value = self.hash(index, &bytes)?;
        Ok(Some(OutgoingUnit { index, bytes: bytes.into(), value }))
    }

    /// The BLAKE3 hash of the whole file; `None` until its last unit was read.
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        self.root.clone().finish().ok()
    }

    fn hash(&mut self, index: u64, bytes: &[u8]) -> Result<UnitValue, ShareError> {
        // read_unit() gave exactly the unit, so none of this fails; were it otherwise, the file would not be what it was.
        let changed = || ShareError::Changed {
            path: self.file.path().to_owned(),
            what: "it is not as long as its units",
        };
        let mut hasher = self.layout().hasher(index).map_err(|_| changed())?;
        if hasher.update(bytes) != bytes.len() {
            return Err(changed());
        }
        let value = hasher.finish().map_err(|_| changed())?;
        self.root.push(value).map_err(|_| changed())?;
        Ok(value)
    }
}
