//! Finding the part of a file that an earlier transfer left.

use super::partial::{self, KeptPart, Partial};
use super::record::{Origin, Record, RecordFile};
use super::{DownloadError, Downloads, Incoming, names};
use crate::handle;
use cap_std::fs::Dir;
use chatproto::wire::{SafeNameRef, SafeRelPathRef};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// So many names of the folder are looked at. Bounds the time that a folder full of other things can cost; what is past
/// them is not found, and the file begins anew.
pub const MAX_LOOKED_AT: usize = 100_000;

/// What was found of a file.
#[derive(Debug)]
pub enum Search {
    /// Nothing that belongs to it. Parts whose record is damaged are named; they are left alone.
    Nothing {
        /// Where they lie.
        damaged: Vec<PathBuf>,
    },
    /// A part of it, to be looked at with [`Incoming::recheck`].
    Part(Box<Incoming>),
    /// A part of what was at its place at the same peer, and is something else now.
    Changed(KeptPart),
}

/// A part with its record, locked.
struct Part {
    kept: KeptPart,
    dir: Arc<Dir>,
    file: File,
    record_file: File,
    record: Record,
}

impl Downloads {
    /// Looks for a part of the file `wanted`, which is to be called `name` in `folder`. A part that another transfer goes
    /// on with at this moment is not found.
    ///
    /// # Errors
    ///
    /// [`DownloadError`] when the folder cannot be read, or when there is no room for what is missing.
    pub fn look_for(
        &self,
        folder: SafeRelPathRef<'_>,
        name: SafeNameRef<'_>,
        wanted: &Origin,
    ) -> Result<Search, DownloadError> {
        let path = self.path.join(folder.as_str());
        let failed = |error| DownloadError::from_io("look into", path.clone(), error);
        let dir = match self.descend(folder) {
            Ok(dir) => Arc::new(dir),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Search::Nothing { damaged: Vec::new() });
            }
            Err(error) => return Err(failed(error)),
        };
        let (mut best, mut other, mut damaged) = (None::<Box<Part>>, None, Vec::new());
        for entry in dir.entries().map_err(failed)?.take(MAX_LOOKED_AT) {
            let found = entry.map_err(failed)?.file_name();
            let Some(temporary) = found.to_str().and_then(|found| names::recorded(found, name.as_str()))
            else {
                continue;
            };
            match self.open_part(&dir, folder, temporary).map_err(failed)? {
                Found::Part(part) if part.record.origin.continues(wanted) => {
                    let is_more = |best: &Part| part.record.held.len() > best.record.held.len();
                    if best.as_deref().is_none_or(is_more) {
                        best = Some(part);
                    }
                }
                Found::Part(part) if part.record.origin.is_place_of(wanted) => {
                    if part.record.held.is_empty() {
                        partial::remove(&dir, part.kept.name()).map_err(failed)?;
                    } else {
                        other = Some(part);
                    }
                }
                Found::Damaged(path) => damaged.push(path),
                Found::Part(_) | Found::Nothing => {}
            }
        }
        match (best, other) {
            (Some(part), _) => self.go_on(part, name, wanted).map(Search::Part),
            (None, Some(part)) => Ok(Search::Changed(part.kept)),
            (None, None) => Ok(Search::Nothing { damaged }),
        }
    }

    pub(super) fn descend(&self, folder: SafeRelPathRef<'_>) -> io::Result<Dir> {
        let root = self.root.try_clone()?;
        folder.components().try_fold(root, |dir, name| handle::open_folder(&dir, name))
    }

    fn go_on(
        &self,
        part: Box<Part>,
        name: SafeNameRef<'_>,
        wanted: &Origin,
    ) -> Result<Box<Incoming>, DownloadError> {
        let Part { kept, dir, file, record_file, record } = *part;
        // What was written needs no room any more.
        self.check_room(wanted.size.saturating_sub(kept.bytes()))?;
        let failed = |error| DownloadError::from_io("go on with", kept.path(), error);
        let record_file = RecordFile::go_on(record_file, &record).map_err(failed)?;
        let partial = Partial::reopened(kept, dir, name.to_owned(), wanted.size, file, record_file);
        Ok(Box::new(Incoming::go_on(partial, record)))
    }

    fn open_part(&self, dir: &Arc<Dir>, folder: SafeRelPathRef<'_>, temporary: String) -> io::Result<Found> {
        let record_name = names::record(&temporary);
        let path = |temporary: &str| self.path.join(folder.as_str()).join(temporary);
        let file = match partial::open(dir, &temporary) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                // Its file got its name, or was removed, and then there was a crash.
                let _ = dir.remove_file(record_name);
                return Ok(Found::Nothing);
            }
            Err(_) => return Ok(Found::Damaged(path(&temporary))),
        };
        if !partial::lock(&file)? {
            return Ok(Found::Nothing);
        }
        let opened = partial::open(dir, &record_name).map_err(Into::into);
        match opened.and_then(|opened| Record::read(&opened).map(|record| (opened, record))) {
            Ok((record_file, record)) => {
                let unit = u64::from(record.origin.unit.len());
                let bytes = unit.saturating_mul(record.held.len() as u64).min(record.origin.size);
                let kept = KeptPart::new(self.clone(), folder.to_owned(), temporary, bytes);
                let dir = Arc::clone(dir);
                Ok(Found::Part(Box::new(Part { kept, dir, file, record_file, record })))
            }
            Err(error) => {
                tracing::warn!(%error, record = record_name, "the record of a part is damaged");
                Ok(Found::Damaged(path(&temporary)))
            }
        }
    }
}

enum Found {
    Part(Box<Part>),
    /// The record does not say what it is about.
    Damaged(PathBuf),
    /// In use, or a record that was left behind.
    Nothing,
}
