//! A file on its way out: read and hashed unit by unit, each byte once, from its start or from a unit on.

use super::known::{Computed, Known, KnownHashes};
use super::{ShareError, SharedFile};
use bytes::Bytes;
use chatproto::verify::{Held, Layout, Root, RootBuilder, UnitLog2, UnitValue};
use std::sync::Arc;

/// Values of one file that are kept while it is sent: a file of 64 GiB in units of 1 MiB. Those of a larger file are
/// forgotten as it goes.
pub const MAX_VALUES: u64 = 65_536;

/// Reads a shared file and hashes what it reads. Each step is a job for a worker thread.
///
/// What was known of the file already is not computed again; when it is wrong, the receiver's hashes find it out, and
/// [`Outgoing::doubt`] forgets it.
#[derive(Debug)]
pub struct Outgoing {
    file: SharedFile,
    known: Known,
    /// Of the units that were hashed or were known, from the first on.
    root: RootBuilder,
    held: Held,
    values: Vec<UnitValue>,
    /// The next unit to send, and the one at which sending ends.
    next: u64,
    end: u64,
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
        let layout = file.layout(unit);
        // Values are remembered for one size of units; the hash of the whole is the same for all.
        let mut known = file.known().clone();
        if unit != UnitLog2::DEFAULT {
            known.values = Known::default().values;
        }
        let end = layout.units();
        let (root, held) = (RootBuilder::new(layout), Held::new());
        Self { file, known, root, held, values: Vec::new(), next: 0, end }
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

    /// Looks at the values of the units before `unit`: those that are not known are computed, at most about `max_bytes` at
    /// a time. Returns how many are left.
    ///
    /// # Errors
    ///
    /// As [`Outgoing::next_unit`].
    pub fn hash_up_to(&mut self, unit: u64, max_bytes: u64) -> Result<u64, ShareError> {
        let unit = unit.min(self.layout().units());
        let (mut hashed, mut buffer) = (0, Vec::new());
        while self.root.pushed() < unit && hashed < max_bytes {
            let index = self.root.pushed();
            let value = match self.known_value(index) {
                Some(value) => value,
                None => {
                    self.file.read_unit(self.layout().unit(), index, &mut buffer)?;
                    hashed += buffer.len() as u64;
                    self.hash(index, &buffer)?
                }
            };
            self.push(value)?;
        }
        Ok(unit.saturating_sub(self.root.pushed()))
    }

    /// Goes on at `unit` if the units before it, all looked at by now, have the values that `held` is the digest of.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when they have others, or are not there.
    pub fn go_on_at(&mut self, unit: u64, held: &[u8; 32]) -> Result<(), ShareError> {
        if unit > self.end || self.held.units() != unit || self.held.digest() != *held {
            return Err(self.changed("it does not begin as the part that the peer has"));
        }
        self.next = unit;
        Ok(())
    }

    /// Sends only `count` units from `first` on.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when the file has no such units.
    pub fn limit_to(&mut self, first: u64, count: u64) -> Result<(), ShareError> {
        match first.checked_add(count).filter(|end| *end <= self.layout().units()) {
            Some(end) => {
                (self.next, self.end) = (first, end);
                Ok(())
            }
            None => Err(self.changed("it has fewer units")),
        }
    }

    /// The values of all units, when all were looked at; none of a file with more than [`MAX_VALUES`].
    #[must_use]
    pub fn values(&self) -> Option<&[UnitValue]> {
        (self.values.len() as u64 == self.layout().units()).then_some(&self.values[..])
    }

    /// Reads and hashes the next unit; `None` after the last one, at once for an empty file.
    ///
    /// # Errors
    ///
    /// [`ShareError::Changed`] when the file is no longer what it was at opening, or [`ShareError::Io`].
    pub fn next_unit(&mut self) -> Result<Option<OutgoingUnit>, ShareError> {
        let index = self.next;
        if index >= self.end {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.file.read_unit(self.layout().unit(), index, &mut bytes)?;
        self.pass(index, bytes).map(Some)
    }

    /// The only unit of a file of one unit, if reading it waits for no disk; `None` otherwise, and then
    /// [`next_unit`](Self::next_unit) reads it or says why not.
    #[must_use]
    pub fn next_unit_at_once(&mut self) -> Option<OutgoingUnit> {
        if self.next != 0 || self.end != 1 || self.layout().units() != 1 {
            return None;
        }
        let bytes = self.file.read_at_once()?;
        self.pass(0, bytes).ok()
    }

    /// Hashes a unit that was read, unless its value is known, and goes on behind it.
    fn pass(&mut self, index: u64, bytes: Vec<u8>) -> Result<OutgoingUnit, ShareError> {
        let value = match self.known_value(index) {
            Some(value) => value,
            None => self.hash(index, &bytes)?,
        };
        if index == self.root.pushed() {
            self.push(value)?;
        }
        self.next += 1;
        Ok(OutgoingUnit { index, bytes: bytes.into(), value })
    }

    /// The BLAKE3 hash of the whole file; `None` until its last unit was looked at, unless it was known.
    #[must_use]
    pub fn root(&self) -> Option<Root> {
        self.computed_root().or(self.known.root)
    }

    /// What was computed and is worth remembering, if the file is still what it was.
    #[must_use]
    pub fn computed(&self) -> Option<Computed> {
        if self.layout().unit() != UnitLog2::DEFAULT && self.layout().units() > 1 {
            return None;
        }
        let known = Known { root: self.computed_root(), values: Arc::from(&self.values[..]) };
        if known.root.is_none() && known.values.is_empty() {
            return None;
        }
        let id = self.file.id_if_unchanged()?;
        Some(Computed { path: self.file.shared_path().to_owned(), id, known })
    }

    /// A receiver computed other hashes: what was known of the file is not believed any more.
    pub fn doubt(&self, hashes: &KnownHashes) {
        hashes.forget(self.file.shared_path());
    }

    fn computed_root(&self) -> Option<Root> {
        (self.root.pushed() == self.layout().units()).then(|| self.root.clone().finish().ok())?
    }

    fn known_value(&self, index: u64) -> Option<UnitValue> {
        let at = usize::try_from(index).ok()?;
        self.values.get(at).or_else(|| self.known.values.get(at)).copied()
    }

    fn push(&mut self, value: UnitValue) -> Result<(), ShareError> {
        if self.root.push(value).is_err() {
            return Err(self.changed("it is not as long as its units"));
        }
        self.held.push(&value);
        if self.layout().units() <= MAX_VALUES {
            self.values.push(value);
        }
        Ok(())
    }

    fn hash(&self, index: u64, bytes: &[u8]) -> Result<UnitValue, ShareError> {
        // read_unit() gave exactly the unit, so none of this fails; were it otherwise, the file would not be what it was.
        let changed = || self.changed("it is not as long as its units");
        let mut hasher = self.layout().hasher(index).map_err(|_| changed())?;
        if hasher.update(bytes) != bytes.len() {
            return Err(changed());
        }
        hasher.finish().map_err(|_| changed())
    }

    fn changed(&self, what: &'static str) -> ShareError {
        ShareError::Changed { path: self.file.path().to_owned(), what }
    }
}
