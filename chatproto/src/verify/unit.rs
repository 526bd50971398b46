use blake3::Hasher;
use blake3::hazmat::HasherExt as _;
use core::ops::Range;

use super::UnitValue;

/// The length of a unit as a power of two: 2^10 (1 KiB, a BLAKE3 chunk) to 2^20 (1 MiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitLog2(u8);

/// A unit length outside 2^10 to 2^20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("units of 2^{log2} bytes, but they have 2^{min} to 2^{max}", min = UnitLog2::MIN.0, max = UnitLog2::MAX.0)]
pub struct UnitLog2OutOfRange {
    /// The refused exponent.
    pub log2: u8,
}

impl UnitLog2 {
    /// 1 KiB. A unit below a BLAKE3 chunk would have no value of its own in the tree.
    pub const MIN: Self = Self(10);
    /// 1 MiB. Larger units would let a liar waste more before it is found out.
    pub const MAX: Self = Self(20);
    /// 1 MiB: the fewest values to exchange, and long runs for the vector units.
    pub const DEFAULT: Self = Self::MAX;

    /// Accepts an exponent from [`MIN`](Self::MIN) to [`MAX`](Self::MAX).
    pub const fn new(log2: u8) -> Result<Self, UnitLog2OutOfRange> {
        if log2 < Self::MIN.0 || log2 > Self::MAX.0 {
            return Err(UnitLog2OutOfRange { log2 });
        }
        Ok(Self(log2))
    }

    /// The exponent.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// The length of a full unit, in bytes.
    #[expect(clippy::len_without_is_empty, reason = "a unit length is never zero")]
    pub const fn len(self) -> u32 {
        1 << self.0
    }
}

impl Default for UnitLog2 {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// How a file of a known size falls into units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Layout {
    size: u64,
    unit: UnitLog2,
}

/// A unit index at or past the end of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unit {index} asked for, but the file has {units}")]
pub struct NoSuchUnit {
    /// The index asked for, from 0.
    pub index: u64,
    /// How many units the file has.
    pub units: u64,
}

impl Layout {
    /// A file of `size` bytes in units of `unit`. Every `u64` is a legal size.
    pub const fn new(size: u64, unit: UnitLog2) -> Self {
        Self { size, unit }
    }

    /// Size of the file, in bytes.
    pub const fn size(self) -> u64 {
        self.size
    }

    /// Length of all units but the last.
    pub const fn unit(self) -> UnitLog2 {
        self.unit
    }

    /// How many units there are; none for an empty file.
    pub const fn units(self) -> u64 {
        self.size.div_ceil(self.unit.len() as u64)
    }

    /// The bytes of the file that unit `index` (from 0) covers.
    pub fn range(self, index: u64) -> Result<Range<u64>, NoSuchUnit> {
        let units = self.units();
        if index >= units {
            return Err(NoSuchUnit { index, units });
        }
        let start = index << self.unit.0;
        Ok(start..self.size.min(start.saturating_add(u64::from(self.unit.len()))))
    }

    /// The unit that holds the byte at `offset`, or [`units`](Self::units) at and past the end.
    pub const fn index_at(self, offset: u64) -> u64 {
        if offset >= self.size { self.units() } else { offset >> self.unit.0 }
    }

    /// A hasher for the bytes of unit `index` (from 0).
    pub fn hasher(self, index: u64) -> Result<UnitHasher, NoSuchUnit> {
        let Range { start, end } = self.range(index)?;
        let mut hasher = Hasher::new();
        hasher.set_input_offset(start);
        Ok(UnitHasher { hasher, missing: end - start, is_root: self.units() == 1 })
    }
}

/// Hashes the bytes of one unit, in pieces of any size. About 2 KiB; it buffers nothing else.
#[derive(Clone, Debug)]
pub struct UnitHasher {
    hasher: Hasher,
    missing: u64,
    is_root: bool,
}

/// A unit was finished before all of its bytes had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the unit lacks its last {missing} bytes")]
pub struct UnitIncomplete {
    /// How many bytes are missing.
    pub missing: u64,
}

impl UnitHasher {
    /// Hashes the leading `bytes` that still belong to this unit, and returns how many that were; what is
    /// left over belongs to the next one.
    #[must_use = "bytes past the end of the unit are not hashed"]
    pub fn update(&mut self, bytes: &[u8]) -> usize {
        let room = usize::try_from(self.missing).unwrap_or(usize::MAX);
        let taken = bytes.get(..room).unwrap_or(bytes);
        self.hasher.update(taken);
        self.missing = self.missing.saturating_sub(taken.len() as u64);
        taken.len()
    }

    /// How many bytes of the unit are still to come.
    pub fn missing(&self) -> u64 {
        self.missing
    }

    /// The unit's value, once all of its bytes are in.
    pub fn finish(self) -> Result<UnitValue, UnitIncomplete> {
        if self.missing > 0 {
            return Err(UnitIncomplete { missing: self.missing });
        }
        Ok(if self.is_root { *self.hasher.finalize().as_bytes() } else { self.hasher.finalize_non_root() })
    }
}
