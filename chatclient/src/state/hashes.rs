//! The hashes of shared files, remembered from run to run. Losing some costs reading those files once more.

use super::folder::Folder;
use super::{StateError, line};
use line::{Line, Lines};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

/// Files whose hashes are remembered: about 5 MiB of memory and of disk. Of more, the ones hashed last.
pub const MAX_HASHES: usize = 16_384;

/// Lines of the file, after which only what still counts is kept.
const MAX_LINES: usize = 4 * MAX_HASHES;

const FILE: &str = "hashes";

/// What a file was when it was hashed. Whatever changes the content changes one of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Its size in bytes.
    pub size: u64,
    /// Its last change, in seconds since 1970-01-01 UTC and nanoseconds.
    pub modified: (i64, i64),
    /// The last change of its inode, likewise. Nobody can set it back.
    pub changed: (i64, i64),
    /// The file system.
    pub device: u64,
    /// The file on it.
    pub inode: u64,
}

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RememberedHash {
    /// Where it lies in the share.
    pub path: String,
    /// What it was.
    pub file: FileId,
    /// Its BLAKE3 hash, as hex digits.
    pub root: String,
}

/// The open file. Appending takes a few microseconds and is not flushed.
#[derive(Debug)]
pub struct HashFile {
    folder: Arc<Folder>,
    file: std::fs::File,
    end: u64,
    lines: usize,
}

impl HashFile {
    /// Opens the file; lines that cannot be read are left out.
    pub(super) fn open(folder: &Arc<Folder>) -> Result<(Self, Vec<RememberedHash>), StateError> {
        let mut found = Vec::new();
        if let Some(file) = folder.open_existing(FILE)? {
            let mut lines = Lines::<_, RememberedHash>::new(file.into_std());
            let failed = |error| folder.failed("read", FILE, error);
            while let Some(line) = lines.next().map_err(failed)? {
                if let Line::Good(hash) = line {
                    found.push(hash);
                }
            }
        }
        let kept = newest(found);
        let mut opened = Self::rewritten(folder, &kept)?;
        opened.lines = kept.len();
        Ok((opened, kept))
    }

    fn rewritten(folder: &Arc<Folder>, hashes: &[RememberedHash]) -> Result<Self, StateError> {
        let mut content = Vec::new();
        for hash in hashes {
            content.extend(line::encode(hash).map_err(|error| folder.failed("write", FILE, error))?);
        }
        let file = folder.replace(FILE, &content)?.into_std();
        Ok(Self { folder: Arc::clone(folder), file, end: content.len() as u64, lines: hashes.len() })
    }

    /// Adds hashes; each outweighs earlier ones of the same path.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when they cannot be written.
    pub fn remember(&mut self, hashes: &[RememberedHash]) -> Result<(), StateError> {
        if self.lines >= MAX_LINES {
            let (reopened, _) = Self::open(&self.folder)?;
            *self = reopened;
        }
        let failed = |error| self.folder.failed("write", FILE, error);
        let mut lines = Vec::new();
        for hash in hashes {
            lines.extend(line::encode(hash).map_err(failed)?);
        }
        self.file.write_all_at(&lines, self.end).map_err(failed)?;
        self.end += lines.len() as u64;
        self.lines += hashes.len();
        Ok(())
    }
}

/// The last of each path, and of these the last [`MAX_HASHES`], in their order.
fn newest(found: Vec<RememberedHash>) -> Vec<RememberedHash> {
    let last: HashMap<String, usize> =
        found.iter().enumerate().map(|(at, hash)| (hash.path.clone(), at)).collect();
    let surplus = last.len().saturating_sub(MAX_HASHES);
    let counts = found.into_iter().enumerate().filter(|(at, hash)| last.get(&hash.path) == Some(at));
    counts.map(|(_, hash)| hash).skip(surplus).collect()
}
