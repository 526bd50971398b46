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
pub struct KnownHashes(Arc<Shared>);

/// The table is never held while something is written: whoever looks into it waits for no disk.
#[derive(Debug, Default)]
struct Shared {
    table: Mutex<Table>,
    file: Mutex<Option<HashFile>>,
}

/// What is known of one file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// Its BLAKE3 hash, if it was read to the end.
    pub root: Option<Root>,
    /// The values of its units of [`UnitLog2::DEFAULT`](chatproto::verify::UnitLog2::DEFAULT), from the first on, as far as
    /// they are known.
    pub values: Arc<[UnitValue]>,
}

impl Known {
    /// What is known with this besides: of a large file that was read once, the hash, and later again the values, perhaps in
    /// several goes. A different hash means that what was known before was wrong.
    fn with(&self, computed: &Self) -> Self {
        if self.root.is_some() && computed.root.is_some() && self.root != computed.root {
            return computed.clone();
        }
        let values = if computed.values.len() > self.values.len() { &computed.values } else { &self.values };
        Self { root: computed.root.or(self.root), values: Arc::clone(values) }
    }
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
}

/// What was computed of one file.
#[derive(Debug)]
pub struct Computed {
    /// Where it lies in the share.
    pub path: String,
    /// What it was before and after it was read.
    pub id: FileId,
    /// What is known now.
    pub known: Known,
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
        Self(Arc::new(Shared { table: Mutex::new(table), file: Mutex::new(Some(file)) }))
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
        let table = self.0.table.try_lock().ok()?;
        let entry = table.files.get(path).filter(|entry| entry.id == *id);
        Some(entry.map(|entry| entry.known.clone()).unwrap_or_default())
    }

    /// Where a file with this hash lies, or lay.
    #[must_use]
    pub fn path_of(&self, root: &Root) -> Option<String> {
        self.lock().roots.get(root).cloned()
    }

    /// Remembers what was computed, for later runs too: written in one piece, however many files it is about.
    pub fn remember(&self, computed: impl IntoIterator<Item = Computed>) {
        // Computing may look at the disk, so it is over before the table is taken.
        let computed = computed.into_iter().filter(|computed| is_settled(&computed.id)).collect::<Vec<_>>();
        let new = {
            let mut table = self.lock();
            let learn = |Computed { path, id, known }| table.learn(path, id, known);
            computed.into_iter().filter_map(learn).collect::<Vec<_>>()
        };
        let mut file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = file.as_mut().filter(|_| !new.is_empty())
            && let Err(error) = file.remember(&new)
        {
            // It costs hashing the files again in the next run.
            tracing::warn!(%error, "hashes are not remembered");
        }
    }

    /// What was remembered of a path turned out to be wrong.
    pub fn forget(&self, path: &str) {
        self.lock().remove(path);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing that is done under it leaves it half done.
        self.0.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    /// Adds what was computed to what is known of the same file. Returns what later runs should know and do not.
    fn learn(&mut self, path: String, id: FileId, computed: Known) -> Option<RememberedHash> {
        let before = self.files.get(&path).filter(|entry| entry.id == id).map(|entry| &entry.known);
        let known = before.map_or_else(|| computed.clone(), |before| before.with(&computed));
        if before == Some(&known) {
            return None;
        }
        let news = known.root.filter(|root| before.and_then(|before| before.root) != Some(*root));
        let news = news.map(|root| RememberedHash { path: path.clone(), file: id, root: hex::encode(&root) });
        self.insert(path, id, known);
        news
    }

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

    fn computed(id: FileId, known: Known) -> Computed {
        Computed { path: "a".to_owned(), id, known }
    }

    #[test]
    fn a_file_that_is_another_is_not_known() {
        let hashes = KnownHashes::default();
        hashes.remember([computed(id(1), known(1, 0))]);
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
        hashes.remember([computed(id(1), known(1, 0))]);
        assert_eq!(hashes.path_of(&[1; 32]).as_deref(), Some("a"));
        hashes.remember([computed(id(2), known(2, 0))]);
        assert_eq!((hashes.path_of(&[1; 32]), hashes.path_of(&[2; 32]).as_deref()), (None, Some("a")));
        hashes.forget("a");
        assert_eq!(hashes.path_of(&[2; 32]), None);
    }

    #[test]
    fn what_is_known_of_a_part_does_not_replace_what_is_known_of_the_whole() {
        let hashes = KnownHashes::default();
        hashes.remember([computed(id(1), known(1, 3))]);
        hashes.remember([computed(id(1), Known { root: None, values: vec![[1; 32]].into() })]);
        hashes.remember([computed(id(1), known(1, 0))]);
        assert_eq!(hashes.get("a", &id(1)), Some(known(1, 3)));
    }

    #[test]
    fn what_is_computed_in_several_goes_is_added_to_a_hash_that_an_earlier_run_remembered() {
        let hashes = KnownHashes::default();
        hashes.remember([computed(id(1), known(1, 0))]);
        let some = |count| Known { root: None, values: vec![[1; 32]; count].into() };
        hashes.remember([computed(id(1), some(2)), computed(id(1), some(5)), computed(id(1), some(4))]);
        assert_eq!(hashes.get("a", &id(1)), Some(known(1, 5)));
        hashes.remember([computed(id(1), known(2, 1))]);
        assert_eq!(hashes.get("a", &id(1)), Some(known(2, 1)), "what was known before was wrong");
    }

    #[test]
    fn only_what_later_runs_do_not_know_yet_is_for_them() {
        let mut table = Table::default();
        let mut told = |id, known| table.learn("a".to_owned(), id, known).map(|hash| hash.root);
        let hex = |root: u8| Some(hex::encode(&[root; 32]));
        assert_eq!(told(id(1), Known { root: None, values: vec![[1; 32]].into() }), None, "part of a file");
        assert_eq!(told(id(1), known(1, 2)), hex(1));
        assert_eq!(told(id(1), known(1, 3)), None, "more values of the same file");
        assert_eq!(told(id(2), known(1, 3)), hex(1), "another file with the same content");
        assert_eq!(told(id(2), known(2, 3)), hex(2), "what was known was wrong");
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
        hashes.remember([computed(fresh, known(1, 0))]);
        assert_eq!(hashes.get("a", &fresh), None);
    }
}
