//! What a crash left in a folder and nobody can go on with: temporary files without a record.

use super::{names, partial};
use crate::handle;
use cap_std::fs::Dir;
use chatproto::wire::SafeRelPathRef;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// So long a file is left alone in any case: whoever makes one locks it, and gives it its record, a moment later.
const SETTLING_TIME: Duration = Duration::from_secs(60);

/// So many names of a folder are looked at.
const MAX_LOOKED_AT: usize = 100_000;

/// So many folders are remembered as seen to; of more, each is looked at once more.
const MAX_FOLDERS: usize = 10_000;

/// The folders that were seen to in this run. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Leftovers(Arc<Mutex<HashSet<String>>>);

impl Leftovers {
    /// Removes what a crash left in a folder, the first time that it is used.
    pub(super) fn remove(&self, folder: SafeRelPathRef<'_>, dir: &Dir) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_FOLDERS {
            seen.clear();
        }
        if seen.insert(folder.as_str().to_owned()) {
            drop(seen);
            remove_leftovers(dir);
        }
    }
}

/// What cannot be looked at or removed stays: it is in nobody's way.
fn remove_leftovers(dir: &Dir) {
    let Ok(entries) = dir.entries() else { return };
    for entry in entries.take(MAX_LOOKED_AT).filter_map(Result::ok) {
        let name = entry.file_name();
        let Some(name) = name.to_str().filter(|name| names::is_of_part(name)) else { continue };
        if !dir.exists(names::record(name)) && is_left(dir, name) {
            let _ = dir.remove_file(name);
        }
    }
}

/// Whether nobody has a file open who would write to it.
fn is_left(dir: &Dir, name: &str) -> bool {
    let Ok(file) = partial::open(dir, name) else { return false };
    let now = handle::unix_millis(SystemTime::now());
    let changed = file.metadata().and_then(|metadata| metadata.modified()).map_or(now, handle::unix_millis);
    let is_old = u128::from(now.saturating_sub(changed)) >= SETTLING_TIME.as_millis();
    is_old && partial::lock(&file).unwrap_or(false)
}
