//! The hashes of shared files, remembered for as long as the files stay what they were.

use crate::state::{FileId, HashFile, MAX_HASHES, RememberedHash, hex};
use chatproto::verify::{Root, UnitValue};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Values of units that are kept in memory over all files, 32 bytes each: 128 GiB in units of 1 MiB. Of more, those used last;
/// the others are computed again when they are asked for.
const MAX_VALUES: usize = 131_072;

/// A file that changed so short a time ago may change again without its times showing it: clocks of file systems tick
/// every few milliseconds.
const SETTLING_TIME: Duration = Duration::from_millis(100);

/// The memory. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct KnownHashes(Arc<Mutex<Table>>);

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its BLAKE3 hash, if it was read to the end.
    pub root: Option<Root>,
    /// The values of its units of [`UnitLog2::DEFAULT`](chatproto::verify::UnitLog2::DEFAULT), from the first on, as far as
    /// they are known.
    pub values: Arc<[UnitValue]>,
}

#[derive(Debug, Default)]
struct Table {
    files: HashMap<String, Entry>,
    /// Paths by the order in which they were learnt or used.
    order: BTreeMap<u64, String>,
    roots: HashMap<Root, String>,
    /// Values over all files.
    values: usize,
    turn: u64,
    file: Option<HashFile>,
}

#[derive(Debug)]
struct Entry {
    id: FileId,
    known: Known,
    turn: u64,
}

impl KnownHashes {
    /// Goes on with what earlier runs remembered, and adds to it.
    #[must_use]
    pub fn restored(file: HashFile, remembered: Vec<RememberedHash>) -> Self {
        let mut table = Table::default();
        for RememberedHash { path, file, root } in remembered {
            if let Some(root) = hex::decode(&root) {
                table.insert(path, file, Known { root: Some(root), values: Arc::default() });
            }
        }
        table.file = Some(file);
        Self(Arc::new(Mutex::new(table)))
    }

    /// What is known of the file at `path`, if it is still what it was.
    #[must_use]
    pub fn get(&self, path: &str, id: &FileId) -> Option<Known> {
        let table = self.lock();
        let entry = table.files.get(path).filter(|entry| entry.id == *id)?;
        Some(entry.known.clone())
    }

    /// The same as [`get`](Self::get), with nothing where nothing is known; `None` if somebody else looks at this moment.
    #[must_use]
    pub fn get_at_once(&self, path: &str, id: &FileId) -> Option<Known> {
        let table = self.0.try_lock().ok()?;
        let entry = table.files.get(path).filter(|entry| entry.id == *id);
        Some(entry.map(|entry| entry.known.clone()).unwrap_or_default())
    }

    /// Where a file with this hash lies, or lay.
    #[must_use]
    pub fn path_of(&self, root: &Root) -> Option<String> {
        self.lock().roots.get(root).cloned()
    }

    /// Remembers what was computed of a file that was `id` before and after it was read, in place of what was known of its
    /// path.
    pub fn remember(&self, path: &str, id: &FileId, known: Known) {
        if !is_settled(id) {
            return;
        }
        let mut table = self.lock();
        let entry = table.files.get(path).filter(|entry| entry.id == *id);
        let was_remembered = entry.is_some_and(|entry| entry.known.root == known.root);
        if let Some(entry) = entry
            && (entry.known.root.is_some() && known.root.is_none()
                || was_remembered && entry.known.values.len() >= known.values.len())
        {
            return;
        }
        if let (Some(root), Some(file), false) = (&known.root, &mut table.file, was_remembered) {
            let hash = RememberedHash { path: path.to_owned(), file: *id, root: hex::encode(root) };
            if let Err(error) = file.remember(&hash) {
                // It costs hashing the file again in the next run.
                tracing::warn!(%error, "a hash is not remembered");
            }
        }
        table.insert(path.to_owned(), *id, known);
    }

    /// What was remembered of a path turned out to be wrong.
    pub fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that is done under it leaves it half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn insert(&mut self, path: String, id: FileId, known: Known) {
        self.remove(&path);
        self.turn += 1;
        self.values += known.values.len();
        if let Some(root) = known.root {
            self.roots.insert(root, path.clone());
        }
        self.order.insert(self.turn, path.clone());
        self.files.insert(path, Entry { id, known, turn: self.turn });
        self.make_room();
    }

    fn remove(&mut self, path: &str) {
        let Some(entry) = self.files.remove(path) else { return };
        self.values -= entry.known.values.len();
        self.order.remove(&entry.turn);
        if let Some(root) = entry.known.root
            && self.roots.get(&root).is_some_and(|known| known == path)
        {
            self.roots.remove(&root);
        }
    }

    fn make_room(&mut self) {
        while self.files.len() > MAX_HASHES
            && let Some(path) = self.order.values().next().cloned()
        {
            self.remove(&path);
        }
        if self.values <= MAX_VALUES {
            return;
        }
        for path in self.order.values() {
            if let Some(entry) = self.files.get_mut(path) {
                self.values -= entry.known.values.len();
                entry.known.values = Arc::default();
            }
            if self.values <= MAX_VALUES {
                return;
            }
        }
    }
}

fn is_settled(id: &FileId) -> bool {
    let (seconds, nanoseconds) = id.changed;
    let since = u64::try_from(seconds).unwrap_or(0);
    let changed = UNIX_EPOCH
        .checked_add(Duration::from_secs(since))
        .and_then(|at| at.checked_add(Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(0))));
    let Some(changed) = changed else { return false };
    SystemTime::now().duration_since(changed).is_ok_and(|age| age >= SETTLING_TIME)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(size: u64) -> FileId {
        FileId { size, modified: (5, 6), changed: (7, 8), device: 1, inode: 2 }
    }

    fn known(root: u8, values: usize) -> Known {
        Known { root: Some([root; 32]), values: vec![[root; 32]; values].into() }
    }

    #[test]
    fn a_file_that_is_another_is_not_known() {
        let hashes = KnownHashes::default();
        hashes.remember("a", &id(1), known(1, 0));
        assert_eq!(hashes.get("a", &id(1)), Some(known(1, 0)));
        let other = [
            id(2),
            FileId { modified: (5, 7), ..id(1) },
            FileId { changed: (7, 9), ..id(1) },
            FileId { inode: 3, ..id(1) },
            FileId { device: 3, ..id(1) },
        ];
        assert!(other.iter().all(|other| hashes.get("a", other).is_none()));
        assert_eq!(hashes.get("b", &id(1)), None);
    }

    #[test]
    fn a_hash_leads_to_the_path_that_has_it_now() {
        let hashes = KnownHashes::default();
        hashes.remember("a", &id(1), known(1, 0));
        assert_eq!(hashes.path_of(&[1; 32]).as_deref(), Some("a"));
        hashes.remember("a", &id(2), known(2, 0));
        assert_eq!((hashes.path_of(&[1; 32]), hashes.path_of(&[2; 32]).as_deref()), (None, Some("a")));
        hashes.forget("a");
        assert_eq!(hashes.path_of(&[2; 32]), None);
    }

    #[test]
    fn what_is_known_of_a_part_does_not_replace_what_is_known_of_the_whole() {
        let hashes = KnownHashes::default();
        hashes.remember("a", &id(1), known(1, 3));
        hashes.remember("a", &id(1), Known { root: None, values: vec![[1; 32]].into() });
        hashes.remember("a", &id(1), known(1, 0));
        assert_eq!(hashes.get("a", &id(1)), Some(known(1, 3)));
    }

    #[test]
    fn memory_is_bounded_and_the_newest_stay() {
        let mut table = Table::default();
        for number in 0..MAX_HASHES + 10 {
            table.insert(number.to_string(), id(1), known(1, 0));
        }
        assert_eq!((table.files.len(), table.order.len()), (MAX_HASHES, MAX_HASHES));
        assert!(!table.files.contains_key("9") && table.files.contains_key("10"));

        let mut table = Table::default();
        for number in 0..3 {
            table.insert(number.to_string(), id(1), known(1, MAX_VALUES / 2));
        }
        assert_eq!(table.values, MAX_VALUES);
        let values = |path: &str| table.files[path].known.values.len();
        assert_eq!([values("0"), values("1"), values("2")], [0, MAX_VALUES / 2, MAX_VALUES / 2]);
        assert_eq!(table.files["0"].known.root, Some([1; 32]), "the hash itself stays");
    }

    #[test]
    fn a_file_that_changed_this_moment_is_not_remembered() {
        let hashes = KnownHashes::default();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let ahead = i64::try_from(now.as_secs()).unwrap() + 3600;
        let fresh = FileId { changed: (ahead, 0), ..id(1) };
        hashes.remember("a", &fresh, known(1, 0));
        assert_eq!(hashes.get("a", &fresh), None);
    }
}
