//! How a file falls into units, and from which of them on a transfer goes.

use core::ops::Range;

use super::TransferFault;
use crate::wire::{Hash, MAX_UNIT_LOG2, MIN_UNIT_LOG2};

/// Where a transfer begins, and in which units it is verified.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resume {
    /// Size of a unit as a power of two, from 10 (1 KiB) to 20 (1 MiB).
    pub unit_log2: u8,
    /// First byte wanted: a multiple of the unit, 0 for the whole file.
    pub offset: u64,
    /// Digest over the values of the units before `offset`; there exactly when `offset` is not 0.
    pub held: Option<Hash>,
}

impl Resume {
    /// The whole file.
    #[must_use]
    pub const fn whole(unit_log2: u8) -> Self {
        Self { unit_log2, offset: 0, held: None }
    }

    /// The rules that a request must keep.
    pub(super) fn check(&self) -> Result<(), TransferFault> {
        if !(MIN_UNIT_LOG2..=MAX_UNIT_LOG2).contains(&self.unit_log2) {
            return Err(TransferFault::UnitSize { log2: self.unit_log2 });
        }
        if self.offset & ((1 << self.unit_log2) - 1) != 0 {
            return Err(TransferFault::OffsetInUnit { offset: self.offset });
        }
        if self.held.is_some() != (self.offset > 0) {
            return Err(TransferFault::Held);
        }
        Ok(())
    }
}

/// Some units of a file, asked for by its root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Size of a unit as a power of two, from 10 (1 KiB) to 20 (1 MiB).
    pub unit_log2: u8,
    /// The first unit, from 0.
    pub first: u64,
    /// How many, at least 1.
    pub count: u64,
    /// Whether the values of all units are wanted before the first of them.
    pub values: bool,
}

impl Part {
    /// The rules that a request must keep. Returns where it begins.
    pub(super) fn check(&self) -> Result<Resume, TransferFault> {
        Resume::whole(self.unit_log2).check()?;
        if self.count == 0 {
            return Err(TransferFault::NoUnit);
        }
        // No file has a unit that begins past 2^64 bytes.
        let end = self.first.checked_add(self.count).and_then(|end| end.checked_mul(1 << self.unit_log2));
        if end.is_none() {
            return Err(TransferFault::NoUnit);
        }
        Ok(Resume { unit_log2: self.unit_log2, offset: self.first << self.unit_log2, held: None })
    }

    /// The unit after the last.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.count)
    }
}

/// The whole file in units of 1 MiB.
impl Default for Resume {
    fn default() -> Self {
        Self::whole(MAX_UNIT_LOG2)
    }
}

/// The units of a file of a known size. An empty file has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) size: u64,
    log2: u8,
}

impl Units {
    /// `log2` was checked when the transfer was asked for.
    pub(super) fn new(size: u64, log2: u8) -> Self {
        Self { size, log2 }
    }

    /// How many there are.
    pub(super) fn count(self) -> u64 {
        self.size.div_ceil(1 << self.log2)
    }

    /// The unit that begins at `offset`.
    pub(super) fn at(self, offset: u64) -> u64 {
        offset >> self.log2
    }

    /// The bytes of unit `unit`; at and past the end an empty range.
    pub(super) fn range(self, unit: u64) -> Range<u64> {
        let start = unit.saturating_mul(1 << self.log2).min(self.size);
        start..start.saturating_add(1 << self.log2).min(self.size)
    }
}

/// BLAKE3 root of a file without bytes.
pub(super) const EMPTY_ROOT: Hash = Hash([
    0xaf, 0x13, 0x49, 0xb9, 0xf5, 0xf9, 0xa1, 0xa6, 0xa0, 0x40, 0x4d, 0xea, 0x36, 0xdc, 0xc9, 0x49, 0x9b,
    0xcb, 0x25, 0xc9, 0xad, 0xc1, 0x12, 0xb7, 0xcc, 0x9a, 0x93, 0xca, 0xe4, 0x1f, 0x32, 0x62,
]);

#[cfg(all(test, feature = "blake3"))]
mod tests {
    use super::EMPTY_ROOT;

    #[test]
    fn the_root_of_nothing_is_what_blake3_says() {
        assert_eq!(EMPTY_ROOT.0, *blake3::hash(&[]).as_bytes());
    }
}
