use blake3::Hasher;

use super::{UnitValue, VALUE_LEN};

/// A running digest of the unit values that come before an offset.
///
/// Whoever resumes a transfer sends the digest of what it holds; the other side computes the same over its
/// file, and both know with 32 bytes that they talk about the same prefix. It is BLAKE3 over the values in
/// order, each of 32 bytes, starting with unit 0.
#[derive(Clone, Debug, Default)]
pub struct Held {
    hasher: Hasher,
    units: u64,
}

impl Held {
    /// The digest of nothing held.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the value of the next unit.
    pub fn push(&mut self, value: &UnitValue) {
        self.hasher.update(value);
        self.units += 1;
    }

    /// How many units are held.
    pub const fn units(&self) -> u64 {
        self.units
    }

    /// The digest of the values so far; more may be pushed afterwards.
    pub fn digest(&self) -> [u8; VALUE_LEN] {
        *self.hasher.finalize().as_bytes()
    }
}
