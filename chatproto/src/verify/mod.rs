//! BLAKE3 in aligned units: a transfer is checked while it runs, and its root is what `b3sum` prints.
//!
//! A file is cut into units of one power-of-two length; only the last one may be shorter. Each unit is a
//! subtree of the file's BLAKE3 tree, so the 32-byte values of the units merge to the root of the whole
//! file without reading a byte twice, and a wrong byte is found at the end of its own unit.
//!
//! ```
//! use chatproto::verify::{Layout, RootBuilder, UnitLog2};
//!
//! let file = vec![7_u8; 3000];
//! let layout = Layout::new(3000, UnitLog2::new(10)?);
//! let mut root = RootBuilder::new(layout);
//! for (index, bytes) in (0..).zip(file.chunks(1024)) {
//!     let mut unit = layout.hasher(index)?;
//!     assert_eq!(unit.update(bytes), bytes.len());
//!     root.push(unit.finish()?)?;
//! }
//! assert_eq!(root.finish()?, *blake3::hash(&file).as_bytes());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```
//!
//! A file that fits in one unit is the exception that the tree itself makes: its only value *is* the root,
//! since BLAKE3 marks the topmost node. [`Layout`] knows when that is so, and hands out the right hasher.

mod held;
mod root;
#[cfg(test)]
mod tests;
mod unit;

pub use held::Held;
pub use root::{RootBuilder, RootIncomplete, TooManyUnits};
pub use unit::{Layout, NoSuchUnit, UnitHasher, UnitIncomplete, UnitLog2, UnitLog2OutOfRange};

/// What one unit hashes to: a BLAKE3 chaining value, or the root when the file is that one unit.
pub type UnitValue = [u8; VALUE_LEN];

/// The BLAKE3 hash of a whole file, in the byte order that `b3sum` prints.
pub type Root = [u8; VALUE_LEN];

/// Length of a [`UnitValue`], a [`Root`] and a [`Held`] digest, in bytes.
pub const VALUE_LEN: usize = blake3::OUT_LEN;

/// Length of the longest unit, in bytes. Bounds what a lying sender can waste of a receiver's time and disk.
pub const UNIT_LEN_MAX: u32 = 1 << UnitLog2::MAX.get();
