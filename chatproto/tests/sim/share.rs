//! The files that somebody shares: made from chance, checked after they arrived.

use bytes::Bytes;
use chatproto::peer::{FileInfo, Item, UnitData};
use chatproto::testing::Rng;
use chatproto::wire::{EntryKind, Hash, SafeName};

/// Sizes at which units and frames end, and some between.
const SIZES: [usize; 10] = [0, 1, 1023, 1024, 1025, 3 * 1024, 5000, 9 * 1024 + 1, 20_000, 70_000];

#[derive(Clone, Debug)]
pub struct Share(Vec<(String, Bytes)>);

/// The file that everybody has in a world of links, and its length.
pub const COMMON: &str = "common.bin";
pub const COMMON_LEN: usize = 5_500;

impl Share {
    /// With the file that everybody has.
    pub fn with(common: &Bytes, rng: &mut Rng) -> Self {
        let mut share = Self::new(rng);
        share.0.push((COMMON.to_owned(), common.clone()));
        share
    }

    pub fn new(rng: &mut Rng) -> Self {
        let file = |at| {
            let mut bytes = vec![0; *rng.choose(&SIZES).unwrap()];
            rng.fill(&mut bytes);
            (format!("file {at}.bin"), Bytes::from(bytes))
        };
        Self((0..4).map(file).collect())
    }

    pub fn items(&self) -> Vec<Item> {
        let item = |(name, bytes): &(String, Bytes)| Item {
            kind: EntryKind::File,
            name: SafeName::new(name).unwrap(),
            size: bytes.len() as u64,
            mtime: 7,
            root: (bytes.len().is_multiple_of(2)).then(|| digest(bytes)),
            content: None,
        };
        self.0.iter().map(item).collect()
    }

    pub fn by_root(&self, root: Hash) -> Option<Bytes> {
        self.0.iter().map(|(_, bytes)| bytes).find(|bytes| digest(bytes) == root).cloned()
    }

    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, bytes)| bytes)
    }
}

pub fn info(bytes: &Bytes) -> FileInfo {
    FileInfo {
        size: bytes.len() as u64,
        mtime: 7,
        root: (bytes.len().is_multiple_of(2)).then(|| digest(bytes)),
    }
}

pub fn unit(bytes: &Bytes, unit: u64, offset: u64, len: u32) -> UnitData {
    let from = offset as usize;
    let piece = bytes.slice(from..from + len as usize);
    let is_last = from + len as usize == bytes.len();
    UnitData { unit, value: digest(&piece), bytes: piece, root: is_last.then(|| digest(bytes)) }
}

/// Stands in for the digest over the values of a file's first units.
pub fn held(bytes: &[u8], unit_log2: u8) -> Hash {
    let values: Vec<u8> = bytes.chunks(1 << unit_log2).flat_map(|unit| digest(unit).0).collect();
    digest(&values)
}

/// The values of all units.
pub fn values(bytes: &[u8], unit_log2: u8) -> Vec<Hash> {
    bytes.chunks(1 << unit_log2).map(digest).collect()
}

/// Stands in for BLAKE3, whose only part here is to differ when bytes differ.
pub fn digest(bytes: &[u8]) -> Hash {
    if bytes.is_empty() {
        return empty_root();
    }
    let mut state = Rng::new(bytes.len() as u64);
    for byte in bytes {
        state = Rng::new(state.next_u64() ^ u64::from(*byte));
    }
    let mut hash = [0; 32];
    state.fill(&mut hash);
    Hash(hash)
}

/// BLAKE3 of nothing, which the link itself knows.
fn empty_root() -> Hash {
    let hex = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
    let byte = |at: usize| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap();
    Hash(core::array::from_fn(byte))
}
