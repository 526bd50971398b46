//! A file that is received and verified unit by unit, in any order, perhaps over several runs.

use super::content::Small;
use super::partial::KeptPart;
use super::record::{Origin, Record};
use super::{DownloadError, Downloads, Partial};
use bytes::Bytes;
use chatproto::verify::{Held, Layout, Root, RootBuilder, UnitValue};
use chatproto::wire::{SafeNameRef, SafeRelPathRef};
use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{
    self,
    ErrorKind::{QuotaExceeded, StorageFull},
};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::record::RecordFile;

/// Verified bytes that a crash may cost: so many come, then they are flushed and claimed in the record, beside what comes
/// meanwhile.
pub const CLAIM_BYTES: u64 = 16 * 1024 * 1024;

/// Or so much time, on slow links.
pub const CLAIM_INTERVAL: Duration = Duration::from_secs(2);

/// For so long a part that is to be kept waits for a claim that is under way, and looks so often. It was begun before, so that
/// only a disk that hangs takes longer.
const CLAIM_PATIENCE: Duration = Duration::from_secs(10);
const CLAIM_LOOK: Duration = Duration::from_millis(1);

/// Writes and hashes what comes. Each call is a job for a worker thread.
#[derive(Debug)]
pub struct Incoming {
    partial: Partial,
    /// Of the units from the first on without a gap.
    root: RootBuilder,
    held: Held,
    /// Verified units behind a gap.
    ahead: BTreeMap<u64, UnitValue>,
    /// Bytes that were verified.
    received: u64,
    claims: Claims,
    /// Units that the record claims and that were not looked at yet in this run.
    unchecked: VecDeque<(u64, UnitValue)>,
    buffer: Vec<u8>,
}

/// What was verified and is not in the record yet.
#[derive(Debug)]
struct Claims {
    units: Vec<(u64, UnitValue)>,
    bytes: u64,
    last: Instant,
    given: Arc<Mutex<Given>>,
}

/// What is known of the claim that was given away last.
#[derive(Debug, Default)]
struct Given {
    /// It is on its way to the disk; there is one at a time.
    is_under_way: bool,
    /// Its units, if it came to its end without being written.
    unwritten: Vec<(u64, UnitValue)>,
}

/// Units to be flushed and then claimed, on a worker beside the one that writes. Those of a claim that is dropped, or cannot be
/// written, belong to the next one.
#[derive(Debug)]
pub struct Claim {
    file: Arc<File>,
    record: Arc<Mutex<RecordFile>>,
    units: Vec<(u64, UnitValue)>,
    given: Arc<Mutex<Given>>,
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
    /// Begins a file as [`Downloads::begin`] does. With more than one unit, it has a record from which it can go on.
    ///
    /// # Errors
    ///
    /// Those of [`Downloads::begin`].
    pub fn begin(
        downloads: &Downloads,
        folder: SafeRelPathRef<'_>,
        name: SafeNameRef<'_>,
        origin: &Origin,
    ) -> Result<Self, DownloadError> {
        let mut partial = downloads.begin(folder, name, origin.size)?;
        let layout = origin.layout();
        if layout.units() > 1
            && let Err(error) = partial.begin_record(origin)
        {
            // Nobody could go on with it.
            let _ = partial.discard();
            return Err(error);
        }
        Ok(Self::new(partial, layout, VecDeque::new()))
    }

    /// Goes on with a part; what its record claims is to be looked at with [`Incoming::recheck`] first.
    pub(super) fn go_on(partial: Partial, record: Record) -> Self {
        let layout = record.origin.layout();
        // The last unit always comes again: so there is one to ask for, at an offset that is a multiple of the unit.
        let last = layout.units().saturating_sub(1);
        let unchecked = record.held.into_iter().filter(|(unit, _)| *unit < last).collect();
        Self::new(partial, layout, unchecked)
    }

    fn new(partial: Partial, layout: Layout, unchecked: VecDeque<(u64, UnitValue)>) -> Self {
        Self {
            partial,
            root: RootBuilder::new(layout),
            held: Held::new(),
            ahead: BTreeMap::new(),
            received: 0,
            claims: Claims { units: Vec::new(), bytes: 0, last: Instant::now(), given: Arc::default() },
            unchecked,
            buffer: Vec::new(),
        }
    }

    /// The file under its temporary name.
    #[must_use]
    pub fn partial(&self) -> &Partial {
        &self.partial
    }

    /// How it falls into units.
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.root.layout()
    }

    /// How many bytes are there and verified.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.received
    }

    /// Units that are there from the first on without a gap, and the digest over their values.
    #[must_use]
    pub fn prefix(&self) -> (u64, [u8; 32]) {
        (self.held.units(), self.held.digest())
    }

    /// The units that are missing, in rising order.
    #[must_use]
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        let mut from = self.root.pushed();
        for unit in self.ahead.keys().copied().chain([self.layout().units()]) {
            if from < unit {
                gaps.push(from..unit);
            }
            from = unit + 1;
        }
        gaps
    }

    /// Reads back what the record claims, at most about `max_bytes` of it, and believes only what still has the value
    /// that was verified: neither the disk nor whoever had the folder meanwhile is trusted. Returns how many units are
    /// left to look at.
    ///
    /// # Errors
    ///
    /// [`DownloadError::Io`] when the record cannot be changed.
    pub fn recheck(&mut self, max_bytes: u64) -> Result<usize, DownloadError> {
        let mut looked_at = 0;
        while looked_at < max_bytes
            && let Some((unit, value)) = self.unchecked.pop_front()
        {
            looked_at += u64::from(self.layout().unit().len());
            if self.read_back(unit) == Some(value) {
                self.accept(unit, value);
            } else {
                self.partial.lose(unit)?;
            }
        }
        Ok(self.unchecked.len())
    }

    /// Holds what is there against the values that the file's hash has proved. What was verified against a sender's word alone
    /// may be of another file: then all of it is to be looked at again with [`Incoming::recheck`], which believes only what has
    /// its proved value. Returns how many units are to be looked at; none when what is there is right.
    pub fn doubt(&mut self, proved: &[UnitValue]) -> usize {
        let (units, digest) = self.prefix();
        let mut held = Held::new();
        proved.iter().zip(0..units).for_each(|(value, _)| held.push(value));
        let value_of = |unit: u64| usize::try_from(unit).ok().and_then(|unit| proved.get(unit)).copied();
        let is_right = |(unit, value): (&u64, &UnitValue)| value_of(*unit) == Some(*value);
        if held.digest() == digest && self.ahead.iter().all(is_right) {
            return 0;
        }
        let there = (0..units).chain(std::mem::take(&mut self.ahead).into_keys());
        self.unchecked.extend(there.filter_map(|unit| Some((unit, value_of(unit)?))));
        (self.root, self.held, self.received) = (RootBuilder::new(self.layout()), Held::new(), 0);
        self.claims.units.retain(|(unit, value)| is_right((unit, value)));
        lock(&self.claims.given).unwritten.retain(|(unit, value)| is_right((unit, value)));
        self.unchecked.len()
    }

    /// What a unit on the disk hashes to; none if it cannot be read.
    fn read_back(&mut self, unit: u64) -> Option<UnitValue> {
        let range = self.layout().range(unit).ok()?;
        self.buffer.resize(usize::try_from(range.end - range.start).ok()?, 0);
        self.partial.read_at(range.start, &mut self.buffer).ok()?;
        let mut hasher = self.layout().hasher(unit).ok()?;
        let hashed = hasher.update(&self.buffer);
        (hashed == self.buffer.len()).then(|| hasher.finish().ok())?
    }

    /// Takes all bytes of a unit and tells what they hash to. They are written and count as received when that is what
    /// was `expected`; otherwise nothing happens.
    ///
    /// # Errors
    ///
    /// [`DownloadError::CrossesUnit`], [`DownloadError::UnitIncomplete`] and [`DownloadError::NoUnitLeft`] are the
    /// peer's faults, the others are local. In each case the transfer is over.
    pub fn store(
        &mut self,
        unit: u64,
        pieces: &[Bytes],
        expected: &UnitValue,
    ) -> Result<UnitValue, DownloadError> {
        let path = || self.partial.path();
        let no_unit = |_| DownloadError::NoUnitLeft { path: path() };
        let mut offset = self.layout().range(unit).map_err(no_unit)?.start;
        let mut hasher = self.layout().hasher(unit).map_err(no_unit)?;
        for piece in pieces {
            if hasher.update(piece) != piece.len() {
                return Err(DownloadError::CrossesUnit { path: path(), offset });
            }
        }
        let missing = hasher.missing();
        let value = hasher.finish().map_err(|_| DownloadError::UnitIncomplete { path: path(), missing })?;
        if value != *expected || self.has(unit) {
            return Ok(value);
        }
        for piece in pieces {
            self.partial.write_at(offset, piece)?;
            offset += piece.len() as u64;
        }
        self.accept(unit, value);
        self.claims.units.push((unit, value));
        self.claims.bytes += pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
        Ok(value)
    }

    /// Writes a file of one unit, or an empty one, whose bytes hash to `value` as the caller has seen.
    pub(super) fn write_verified(&mut self, pieces: &[Bytes], value: UnitValue) -> Result<(), DownloadError> {
        let mut offset = 0;
        for piece in pieces {
            self.partial.write_at(offset, piece)?;
            offset += piece.len() as u64;
        }
        self.accept(0, value);
        Ok(())
    }

    fn has(&self, unit: u64) -> bool {
        unit < self.root.pushed() || self.ahead.contains_key(&unit)
    }

    fn accept(&mut self, unit: u64, value: UnitValue) {
        let Ok(range) = self.layout().range(unit) else { return };
        self.received += range.end - range.start;
        self.ahead.insert(unit, value);
        while let Some(value) = self.ahead.remove(&self.root.pushed()) {
            // There is a unit of this number, so the root takes it.
            let _ = self.root.push(value);
            self.held.push(&value);
        }
    }

    /// What is to be claimed now, because enough has come, or for long enough.
    pub fn claim_due(&mut self) -> Option<Claim> {
        let is_due = self.claims.bytes >= CLAIM_BYTES || self.claims.last.elapsed() >= CLAIM_INTERVAL;
        if is_due && !lock(&self.claims.given).is_under_way { self.claim() } else { None }
    }

    fn claim(&mut self) -> Option<Claim> {
        let record = self.partial.record()?;
        let mut units = std::mem::take(&mut self.claims.units);
        let mut given = lock(&self.claims.given);
        units.append(&mut given.unwritten);
        self.claims.bytes = 0;
        self.claims.last = Instant::now();
        units.sort_unstable();
        if units.is_empty() {
            return None;
        }
        given.is_under_way = true;
        Some(Claim { file: self.partial.file(), record, units, given: Arc::clone(&self.claims.given) })
    }

    /// Compares the whole with the hash that the sender promised, and gives the file its name and time as
    /// [`Partial::finish`] does.
    ///
    /// # Errors
    ///
    /// As [`finish_all`].
    pub fn finish(self, expected: &Root, mtime_ms: u64) -> Result<Finished, DownloadError> {
        let (partial, Finished { size, root, .. }) = self.verify(expected)?;
        let path = partial.finish(mtime_ms)?;
        Ok(Finished { path, size, root })
    }

    fn verify(self, expected: &Root) -> Result<(Partial, Finished), DownloadError> {
        let (path, size) = (self.partial.path(), self.partial.size());
        let Ok(found) = self.root.finish() else {
            return Err(DownloadError::Incomplete { path, received: self.received, size });
        };
        if found != *expected {
            self.partial.discard()?;
            return Err(DownloadError::RootMismatch { path, expected: *expected, found });
        }
        Ok((self.partial, Finished { path, size, root: found }))
    }

    /// Stops in the middle: what was verified is flushed, claimed and kept. A file without a verified unit, or of a
    /// single one, is removed: `None`.
    ///
    /// # Errors
    ///
    /// [`DownloadError`] when the system refuses. What was claimed before stays claimed.
    pub fn keep(mut self) -> Result<Option<KeptPart>, DownloadError> {
        let claims_some = !self.unchecked.is_empty() || self.received > 0;
        if self.partial.record().is_none() || !claims_some {
            self.partial.discard()?;
            return Ok(None);
        }
        // A claim that is still being written has the file locked, and whoever goes on with the part would take it to be in use.
        // What one leaves unwritten is claimed here.
        let begun = Instant::now();
        while self.partial.is_shared() && begun.elapsed() < CLAIM_PATIENCE {
            std::thread::sleep(CLAIM_LOOK);
        }
        if let Some(claim) = self.claim() {
            self.write_at_the_end(claim)?;
        }
        Ok(Some(self.partial.keep(self.received)))
    }

    /// On a full disk, the last unit makes room for the claim to the others.
    fn write_at_the_end(&mut self, mut claim: Claim) -> Result<(), DownloadError> {
        match claim.write() {
            Err(error) if matches!(error.kind(), StorageFull | QuotaExceeded) => {}
            outcome => return outcome.map_err(|error| self.failed_to_keep(error)),
        }
        let highest = self.layout().index_at(self.partial.written().saturating_sub(1));
        let start = self.layout().range(highest).map_or(0, |range| range.start);
        self.partial.cut(start)?;
        let before = claim.units.len();
        claim.units.retain(|(unit, _)| *unit < highest);
        if claim.units.len() < before {
            self.received = self.received.saturating_sub(u64::from(self.layout().unit().len()));
        }
        claim.write().map_err(|error| self.failed_to_keep(error))
    }

    fn failed_to_keep(&self, error: io::Error) -> DownloadError {
        DownloadError::from_io("keep a part of", self.partial.path(), error)
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

impl Claim {
    /// Flushes the bytes, then writes the claim.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn write(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        lock(&self.record).claim(&self.units)?;
        self.units.clear();
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut given = lock(&self.given);
        given.is_under_way = false;
        given.unwritten.append(&mut self.units);
    }
}

/// Whoever panicked with it left it whole: it is changed in single steps.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A file that is all there.
#[derive(Debug)]
pub enum Whole {
    /// Written already.
    Written(Box<Incoming>),
    /// Not written yet, because it is small.
    Small(Box<Small>),
}

impl Whole {
    fn write(self, downloads: &Downloads) -> Result<Incoming, DownloadError> {
        match self {
            Self::Written(incoming) => Ok(*incoming),
            Self::Small(small) => small.write(downloads),
        }
    }
}

/// Ends many files as one: all are written and verified, then flushed, then named, then each of their folders is flushed
/// once. Only then are they reported, in their order. With each come the hash that it must have, and its time as for
/// [`Partial::finish`].
///
/// # Errors
///
/// Each of its own: those of [`Downloads::begin`] and [`Partial::write_at`] for a small one, of which nothing is left then;
/// [`DownloadError::RootMismatch`], with what came removed; [`DownloadError::Incomplete`] when units are missing; and those
/// of [`Partial::finish`], with what came kept under its temporary name if it has a record, and removed if not.
pub fn finish_all(
    downloads: &Downloads,
    files: impl IntoIterator<Item = (Whole, Root, u64)>,
) -> Vec<Result<Finished, DownloadError>> {
    let verified: Vec<_> = files
        .into_iter()
        .map(|(whole, expected, mtime_ms)| {
            let verified = whole.write(downloads).and_then(|incoming| incoming.verify(&expected));
            (verified, mtime_ms)
        })
        .collect();
    // All at once on their way to the disk, so that the flushes that follow mostly find it done.
    for (verified, mtime_ms) in &verified {
        if let Ok((partial, _)) = verified {
            partial.begin_flush(*mtime_ms);
        }
    }
    let flushed: Vec<_> = verified
        .into_iter()
        .map(|(verified, _)| {
            let (partial, finished) = verified?;
            let outcome = partial.flush();
            partial.or_drop(outcome).map(|(partial, ())| (partial, finished))
        })
        .collect();
    let mut placed: Vec<Result<(Partial, Finished), DownloadError>> = flushed
        .into_iter()
        .map(|flushed| {
            let (partial, Finished { size, root, .. }) = flushed?;
            let outcome = partial.place();
            let (partial, path) = partial.or_drop(outcome)?;
            Ok((partial, Finished { path, size, root }))
        })
        .collect();
    super::partial::sync_folders(&mut placed);
    placed
        .into_iter()
        .map(|placed| {
            let (partial, finished) = placed?;
            partial.forget_record();
            Ok(finished)
        })
        .collect()
}
