//! The bytes of a small file, all of them here before anything is written.

use super::incoming::Incoming;
use super::{DownloadError, Downloads, Origin};
use bytes::Bytes;
use chatproto::verify::{Layout, Root, RootBuilder, UnitValue};
use chatproto::wire::{SafeName, SafeRelPath};

/// All bytes of a file of at most one unit, and what they hash to. Whoever has one has verified or can verify the file without a
/// disk; nothing of it exists before [`finish_all`](super::finish_all) gives it its name.
#[derive(Debug)]
pub struct Content {
    pieces: Vec<Bytes>,
    root: Root,
}

/// A small file that waits for its place.
#[derive(Debug)]
pub struct Small {
    /// The folder below the download folder.
    pub folder: SafeRelPath,
    /// The name that it is to have.
    pub name: SafeName,
    /// Which file it is.
    pub origin: Origin,
    /// Its bytes.
    pub content: Content,
}

impl Content {
    /// Hashes the bytes of a file that falls into units as `layout` says: some microseconds for a small one, fewer than it took
    /// to decrypt it. `None` when they are not exactly those of one unit, or none for an empty file.
    #[must_use]
    pub fn hash(layout: Layout, pieces: Vec<Bytes>) -> Option<Self> {
        if layout.units() == 0 {
            let root = RootBuilder::new(layout).finish().ok()?;
            return pieces.iter().all(Bytes::is_empty).then_some(Self { pieces, root });
        }
        if layout.units() > 1 {
            return None;
        }
        let mut hasher = layout.hasher(0).ok()?;
        let is_inside = pieces.iter().all(|piece| hasher.update(piece) == piece.len());
        let root = hasher.finish().ok().filter(|_| is_inside)?;
        Some(Self { pieces, root })
    }

    /// The BLAKE3 hash of the whole file.
    #[must_use]
    pub fn root(&self) -> Root {
        self.root
    }
}

impl Small {
    /// Writes it under a temporary name.
    pub(super) fn write(self, downloads: &Downloads) -> Result<Incoming, DownloadError> {
        let Self { folder, name, origin, content: Content { pieces, root } } = self;
        let mut incoming = Incoming::begin(downloads, folder.borrow(), name.borrow(), &origin)?;
        let value: UnitValue = root;
        match incoming.write_verified(&pieces, value) {
            Ok(()) => Ok(incoming),
            Err(error) => {
                // Nothing of it is worth keeping.
                let _ = incoming.discard();
                Err(error)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatproto::verify::UnitLog2;

    fn layout(size: u64) -> Layout {
        Layout::new(size, UnitLog2::MIN)
    }

    #[test]
    fn the_bytes_of_one_unit_hash_to_the_file_and_no_others_do() {
        let pieces = || vec![Bytes::from_static(b"ab"), Bytes::from_static(b"c")];
        assert_eq!(Content::hash(layout(3), pieces()).unwrap().root(), *blake3::hash(b"abc").as_bytes());
        assert_eq!(Content::hash(layout(0), vec![]).unwrap().root(), *blake3::hash(b"").as_bytes());
        for size in [0, 2, 4, 2000] {
            assert!(Content::hash(layout(size), pieces()).is_none(), "{size}");
        }
    }
}
