//! What is known of a file that came in part: the record beside it.
//!
//! ```text
//! CHECKSUM {"file":{"version":1,"peer":"bob","path":"film.mkv","size":…,"mtime":…,"unit":20,"root":"…"}}
//! CHECKSUM {"held":{"from":0,"values":"…"}}       units that were verified, written and flushed
//! CHECKSUM {"lost":{"unit":7}}                     one of them was found damaged since
//! ```
//!
//! Lines are only ever appended, each in one write, so a crash leaves whole lines and at most one torn one at the end,
//! which counts as not written. A line that claims units is written after their bytes were flushed.

use crate::state::{hex, line};
use chatproto::verify::{Layout, Root, UnitLog2, UnitValue, VALUE_LEN};
use line::{Line, Lines};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

const VERSION: u32 = 1;

/// Units of one line. Keeps lines far below what is read back.
const MAX_LINE_UNITS: usize = 1024;

/// Units that a record gives back: 256 GiB in units of 1 MiB, about 16 MiB of memory. What is past them comes again.
pub const MAX_RECORDED_UNITS: usize = 262_144;

/// Which file it is that comes, as far as that can be told beforehand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Who sends it. Only compared, never part of a path.
    pub peer: String,
    /// Where it lies in the share of the peer.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its last change, in milliseconds since 1970-01-01 UTC.
    pub mtime_ms: u64,
    /// Its units of verification.
    pub unit: UnitLog2,
    /// Its BLAKE3 hash, if it is known.
    pub root: Option<Root>,
}

/// What a record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Which file.
    pub origin: Origin,
    /// The units that it claims, with their values.
    pub held: BTreeMap<u64, UnitValue>,
    /// Where the next line belongs: after the last whole one.
    end: u64,
}

/// Why a record cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// Its first line is damaged, or it was written by something else.
    #[error("its first line is damaged, or was not written by this program")]
    NoOrigin,
    /// It was written by a newer version.
    #[error("it has version {0}, and this program knows version {VERSION}")]
    Version(u32),
    /// It cannot be read.
    #[error(transparent)]
    Io(#[from] io::Error),
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Entry {
    File(FileLine),
    Held(HeldLine),
    Lost { unit: u64 },
}

#[derive(Serialize, Deserialize)]
struct FileLine {
    version: u32,
    peer: String,
    path: String,
    size: u64,
    mtime: u64,
    unit: u8,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    root: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct HeldLine {
    from: u64,
    values: String,
}

impl Origin {
    /// How the file falls into units.
    #[must_use]
    pub fn layout(&self) -> Layout {
        Layout::new(self.size, self.unit)
    }

    /// Whether a part of `self` is a part of `wanted`: the same hash, whoever has it; or the same file of the same peer,
    /// unchanged as far as that can be seen.
    pub(super) fn continues(&self, wanted: &Self) -> bool {
        if self.size != wanted.size || self.unit != wanted.unit {
            return false;
        }
        match (self.root, wanted.root) {
            (Some(one), Some(other)) => one == other,
            (None, _) | (_, None) => self.is_place_of(wanted) && self.mtime_ms == wanted.mtime_ms,
        }
    }

    /// Whether both are about the same place at the same peer.
    pub(super) fn is_place_of(&self, wanted: &Self) -> bool {
        self.peer == wanted.peer && self.path == wanted.path
    }
}

impl Record {
    /// Reads a record up to its end, or up to the first line that is not whole: what is past it is not believed.
    ///
    /// # Errors
    ///
    /// [`RecordError`], when it does not say which file it is about.
    pub fn read(from: impl Read) -> Result<Self, RecordError> {
        let mut lines = Lines::<_, Entry>::new(from);
        let Some(Line::Good(Entry::File(file))) = lines.next()? else { return Err(RecordError::NoOrigin) };
        let mut record = Self { origin: file.origin()?, held: BTreeMap::new(), end: lines.taken() };
        while let Some(Line::Good(entry)) = lines.next()? {
            if record.take(&entry).is_none() {
                break;
            }
            record.end = lines.taken();
        }
        Ok(record)
    }

    /// `None` for what no whole line says.
    fn take(&mut self, entry: &Entry) -> Option<()> {
        match entry {
            Entry::File(_) => None,
            Entry::Lost { unit } => {
                self.held.remove(unit);
                Some(())
            }
            Entry::Held(HeldLine { from, values }) => {
                let (digits, rest) = values.as_bytes().as_chunks::<{ 2 * VALUE_LEN }>();
                let count = u64::try_from(digits.len()).ok()?;
                let units = self.origin.layout().units();
                if !rest.is_empty() || from.checked_add(count)? > units {
                    return None;
                }
                for (unit, digits) in (*from..).zip(digits) {
                    let value = hex::decode(str::from_utf8(digits).ok()?)?;
                    if self.held.len() < MAX_RECORDED_UNITS {
                        self.held.insert(unit, value);
                    }
                }
                Some(())
            }
        }
    }
}

impl FileLine {
    fn origin(self) -> Result<Origin, RecordError> {
        if self.version != VERSION {
            return Err(RecordError::Version(self.version));
        }
        let unit = UnitLog2::new(self.unit).map_err(|_| RecordError::NoOrigin)?;
        let root = match self.root {
            Some(digits) => Some(hex::decode(&digits).ok_or(RecordError::NoOrigin)?),
            None => None,
        };
        let Self { peer, path, size, mtime, .. } = self;
        Ok(Origin { peer, path, size, mtime_ms: mtime, unit, root })
    }
}

/// The record as it grows.
#[derive(Debug)]
pub(super) struct RecordFile {
    file: File,
    end: u64,
}

impl RecordFile {
    /// Writes the first line into a new file.
    pub(super) fn begin(file: File, origin: &Origin) -> io::Result<Self> {
        let Origin { peer, path, size, mtime_ms, unit, root } = origin;
        let line = FileLine {
            version: VERSION,
            peer: peer.clone(),
            path: path.clone(),
            size: *size,
            mtime: *mtime_ms,
            unit: unit.get(),
            root: root.as_ref().map(|root| hex::encode(root)),
        };
        let mut record = Self { file, end: 0 };
        record.append(&Entry::File(line))?;
        Ok(record)
    }

    /// Goes on after what was read.
    pub(super) fn go_on(file: File, record: &Record) -> io::Result<Self> {
        file.set_len(record.end)?;
        Ok(Self { file, end: record.end })
    }

    /// Claims units, in rising order. Their bytes were flushed before.
    pub(super) fn claim(&mut self, units: &[(u64, UnitValue)]) -> io::Result<()> {
        let runs = units.chunk_by(|(one, _), (next, _)| one.checked_add(1) == Some(*next));
        for run in runs.flat_map(|run| run.chunks(MAX_LINE_UNITS)) {
            let Some((from, _)) = run.first() else { continue };
            let values = run.iter().map(|(_, value)| hex::encode(value)).collect();
            self.append(&Entry::Held(HeldLine { from: *from, values }))?;
        }
        self.file.sync_data()
    }

    /// Takes a claim back.
    pub(super) fn lose(&mut self, unit: u64) -> io::Result<()> {
        self.append(&Entry::Lost { unit })
    }

    fn append(&mut self, entry: &Entry) -> io::Result<()> {
        let line = line::encode(entry)?;
        // At an explicit place: after a failed write the next line overwrites what came of it.
        self.file.write_all_at(&line, self.end)?;
        self.end += line.len() as u64;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn origin() -> Origin {
        let (peer, path) = ("bob".to_owned(), "film/one.mkv".to_owned());
        Origin { peer, path, size: 10_000, mtime_ms: 7, unit: UnitLog2::MIN, root: Some([5; 32]) }
    }

    fn written(claims: &[&[(u64, UnitValue)]]) -> Vec<u8> {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("record");
        let mut record = RecordFile::begin(File::create(&path).unwrap(), &origin()).unwrap();
        for claim in claims {
            record.claim(claim).unwrap();
        }
        fs::read(path).unwrap()
    }

    #[test]
    fn what_is_claimed_is_read_back() {
        let bytes = written(&[&[(0, [1; 32]), (1, [2; 32])], &[(5, [6; 32]), (3, [4; 32])]]);
        let record = Record::read(&bytes[..]).unwrap();
        assert_eq!(record.origin, origin());
        assert_eq!(
            record.held.into_iter().map(|(unit, value)| (unit, value[0])).collect::<Vec<_>>(),
            [(0, 1), (1, 2), (3, 4), (5, 6)]
        );
        assert_eq!(record.end, bytes.len() as u64);
    }

    #[test]
    fn a_record_cut_anywhere_claims_only_whole_lines() {
        let bytes = written(&[&[(0, [1; 32])], &[(1, [2; 32])]]);
        let ends: Vec<usize> =
            bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
        for cut in 0..bytes.len() {
            let whole = ends.iter().filter(|end| **end <= cut).count();
            match Record::read(&bytes[..cut]) {
                Ok(record) => assert_eq!(record.held.len() + 1, whole, "cut at {cut}"),
                Err(error) => assert!(whole == 0 && matches!(error, RecordError::NoOrigin), "cut at {cut}"),
            }
        }
    }

    #[test]
    fn a_flipped_bit_is_never_believed() {
        let bytes = written(&[&[(0, [1; 32])], &[(1, [2; 32])]]);
        let whole = Record::read(&bytes[..]).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            if let Ok(record) = Record::read(&damaged[..]) {
                assert_eq!(record.origin, whole.origin);
                assert!(record.held.iter().all(|(unit, value)| whole.held.get(unit) == Some(value)));
                assert!(record.held.len() < whole.held.len(), "bit at {at}");
            }
        }
    }

    #[test]
    fn claims_that_no_file_has_end_the_record() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("record");
        let mut file = RecordFile::begin(File::create(&path).unwrap(), &origin()).unwrap();
        file.claim(&[(0, [1; 32])]).unwrap();
        for (from, values) in [(10, "00".repeat(32)), (u64::MAX, "00".repeat(32)), (1, "zz".repeat(32))] {
            let end = file.end;
            file.append(&Entry::Held(HeldLine { from, values })).unwrap();
            let record = Record::read(&fs::read(&path).unwrap()[..]).unwrap();
            assert_eq!((record.held.len(), record.end), (1, end));
            file.end = end;
            file.file.set_len(end).unwrap();
        }
    }

    #[test]
    fn a_lost_unit_is_not_claimed_any_more() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("record");
        let mut file = RecordFile::begin(File::create(&path).unwrap(), &origin()).unwrap();
        file.claim(&[(0, [1; 32]), (1, [1; 32])]).unwrap();
        file.lose(0).unwrap();
        let record = Record::read(&fs::read(&path).unwrap()[..]).unwrap();
        assert_eq!(record.held.into_keys().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn a_part_belongs_to_its_hash_or_else_to_its_place() {
        let part = origin();
        let elsewhere = Origin { peer: "carol".to_owned(), path: "x".to_owned(), mtime_ms: 9, ..origin() };
        assert!(part.continues(&elsewhere), "the hash is the same");
        assert!(!part.continues(&Origin { root: Some([6; 32]), ..origin() }));
        assert!(part.continues(&Origin { root: None, ..origin() }));
        assert!(!part.continues(&Origin { root: None, ..elsewhere }));
        assert!(!part.continues(&Origin { root: None, mtime_ms: 8, ..origin() }));
        assert!(!part.continues(&Origin { size: 9_999, ..origin() }));
    }
}
