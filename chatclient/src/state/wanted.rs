//! The files that are still to be fetched: they are fetched on when their peer is there again.

use super::StateError;
use super::folder::Folder;
use super::line::{self, Line, Lines};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// So many wanted files are remembered. What is past them is fetched, and forgotten if the program ends before.
pub const MAX_WANTED_FILES: usize = 10_000;

const FILE: &str = "wanted";

/// Below this the file is not rewritten, however little in it still counts.
const MIN_COMPACTION_BYTES: u64 = 256 * 1024;

/// So many bytes of changes wait at most.
const MAX_WAITING_BYTES: usize = 64 * 1024;

/// One file that is to be fetched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WantedFile {
    /// The number of its transfer.
    pub id: u64,
    /// Who has it.
    pub peer: String,
    /// Its path at the peer.
    pub remote: String,
    /// The folder that it is to lie in, below the download folder.
    pub into: String,
    /// The name that it is to have there.
    pub name: String,
    /// Its size in bytes, as it was listed.
    pub size: u64,
    /// The device of the peer that showed it, in hex.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The user has stopped it for now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub paused: bool,
    /// Why it failed; it is fetched again when the user says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// All of them, kept in a file to which the changes are appended, many at a time. Not flushed: a power cut may cost the last
/// changes, and a crash those that were not [written out](Self::write_out); then a file is fetched once more, or once less.
#[derive(Debug)]
pub struct WantedFiles {
    folder: Arc<Folder>,
    file: std::fs::File,
    /// Where the next line goes.
    end: u64,
    compact_at: u64,
    /// Lines that are not in the file yet.
    waiting: Vec<u8>,
    files: BTreeMap<u64, WantedFile>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Record {
    Want(WantedFile),
    Forget(u64),
}

impl WantedFiles {
    /// Lines that cannot be read are left out: what they cost is one more `/get`.
    pub(super) fn open(folder: &Arc<Folder>) -> Result<Self, StateError> {
        let mut files = BTreeMap::new();
        if let Some(file) = folder.open_existing(FILE)? {
            let mut lines = Lines::new(file.into_std());
            while let Some(line) = lines.next().map_err(|error| folder.failed("read", FILE, error))? {
                match line {
                    Line::Good(Record::Want(wanted))
                        if files.len() < MAX_WANTED_FILES || files.contains_key(&wanted.id) =>
                    {
                        files.insert(wanted.id, wanted);
                    }
                    Line::Good(Record::Forget(id)) => drop(files.remove(&id)),
                    Line::Good(Record::Want(_)) | Line::Bad => {}
                }
            }
        }
        let (file, end) = rewrite(folder, &files)?;
        Ok(Self {
            folder: Arc::clone(folder),
            file,
            end,
            compact_at: next_compaction(end),
            waiting: Vec::new(),
            files,
        })
    }

    /// The files, by the numbers of their transfers.
    pub fn iter(&self) -> impl Iterator<Item = &WantedFile> {
        self.files.values()
    }

    /// Remembers a file, in place of what was remembered under its number.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] past [`MAX_WANTED_FILES`]; nothing is changed then. Otherwise as [`write_out`](Self::write_out).
    pub fn want(&mut self, wanted: WantedFile) -> Result<(), StateError> {
        let known = self.files.get(&wanted.id);
        if known == Some(&wanted) {
            return Ok(());
        }
        if known.is_none() && self.files.len() >= MAX_WANTED_FILES {
            let path = self.folder.file_path(FILE);
            return Err(StateError::Full { path, what: "wanted files", limit: MAX_WANTED_FILES });
        }
        let record = Record::Want(wanted.clone());
        self.files.insert(wanted.id, wanted);
        self.append(&record)
    }

    /// Forgets a file, if it is remembered.
    ///
    /// # Errors
    ///
    /// As [`write_out`](Self::write_out).
    pub fn forget(&mut self, id: u64) -> Result<(), StateError> {
        match self.files.remove(&id) {
            Some(_) => self.append(&Record::Forget(id)),
            None => Ok(()),
        }
    }

    /// Writes the changes that wait, in one piece.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`]; the next change is written with all that is remembered.
    pub fn write_out(&mut self) -> Result<(), StateError> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.waiting);
        if self.end < self.compact_at {
            // At an explicit place: what came of a failed write is behind the end.
            if let Err(error) = self.file.write_all_at(&lines, self.end) {
                self.compact_at = 0;
                return Err(self.folder.failed("write", FILE, error));
            }
            self.end += lines.len() as u64;
            return Ok(());
        }
        // What waited is part of what is remembered.
        let (file, end) = rewrite(&self.folder, &self.files)?;
        (self.file, self.end, self.compact_at) = (file, end, next_compaction(end));
        Ok(())
    }

    fn append(&mut self, record: &Record) -> Result<(), StateError> {
        let failed = |error| self.folder.failed("write", FILE, error);
        self.waiting.extend(line::encode(record).map_err(failed)?);
        if self.waiting.len() >= MAX_WAITING_BYTES { self.write_out() } else { Ok(()) }
    }
}

/// What is remembered is written before the program ends by itself.
impl Drop for WantedFiles {
    fn drop(&mut self) {
        if let Err(error) = self.write_out() {
            tracing::warn!(%error, "the last changes of what is wanted are lost");
        }
    }
}

/// Twice what counts, so that the rewriting costs each line a constant share.
fn next_compaction(size: u64) -> u64 {
    size.saturating_mul(2).max(MIN_COMPACTION_BYTES)
}

fn rewrite(folder: &Folder, files: &BTreeMap<u64, WantedFile>) -> Result<(std::fs::File, u64), StateError> {
    let mut content = Vec::new();
    for wanted in files.values().cloned() {
        let line =
            line::encode(&Record::Want(wanted)).map_err(|error| folder.failed("write", FILE, error))?;
        content.extend(line);
    }
    let file = folder.replace(FILE, &content)?;
    Ok((file.into_std(), content.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::StateDir;

    fn wanted(id: u64) -> WantedFile {
        WantedFile {
            id,
            peer: "bob".into(),
            remote: "docs/notes.txt".into(),
            into: "docs".into(),
            name: "notes.txt".into(),
            size: 12,
            device: (id == 1).then(|| "07".repeat(16)),
            paused: id == 2,
            error: (id == 3).then(|| "storage".into()),
        }
    }

    #[test]
    fn what_is_wanted_is_there_in_the_next_run_and_what_came_is_not() {
        let temp = tempfile::tempdir().unwrap();
        {
            let mut files = StateDir::open(temp.path()).unwrap().wanted().unwrap();
            (1..=4).for_each(|id| files.want(wanted(id)).unwrap());
            files.forget(1).unwrap();
            files.forget(77).unwrap();
        }
        // The last line is torn by a crash.
        let path = temp.path().join(FILE);
        let kept = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&kept[..], b"0123456789abcdef {\"want\""].concat()).unwrap();
        let files = StateDir::open(temp.path()).unwrap().wanted().unwrap();
        assert!(files.iter().eq([2, 3, 4].map(wanted).iter()));
    }

    #[test]
    fn the_file_does_not_grow_with_what_has_come() {
        let temp = tempfile::tempdir().unwrap();
        let mut files = StateDir::open(temp.path()).unwrap().wanted().unwrap();
        for id in 0..3000 {
            files.want(wanted(id)).unwrap();
            files.forget(id).unwrap();
        }
        let size = std::fs::metadata(temp.path().join(FILE)).unwrap().len();
        assert!(size <= MIN_COMPACTION_BYTES + 1024, "{size}");
    }
}
