use alloc::vec::Vec;
use blake3::hazmat::{Mode, merge_subtrees_non_root, merge_subtrees_root};

use super::{Layout, Root, UnitValue};

/// Merges the values of a file's units, in order, to the root of the file.
///
/// Keeps one value per complete subtree, like the digits of a binary counter: at most 55 of 32 bytes, for
/// any file.
#[derive(Clone, Debug)]
pub struct RootBuilder {
    layout: Layout,
    pushed: u64,
    subtrees: Vec<UnitValue>,
}

/// A value was pushed after that of the last unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the file has only {units} units")]
pub struct TooManyUnits {
    /// How many units the file has.
    pub units: u64,
}

/// The root was asked for before the values of all units were in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the values of {pushed} units are known, of {units}")]
pub struct RootIncomplete {
    /// How many values have been pushed.
    pub pushed: u64,
    /// How many units the file has.
    pub units: u64,
}

impl RootBuilder {
    /// A builder that has seen none of the file's units.
    pub const fn new(layout: Layout) -> Self {
        Self { layout, pushed: 0, subtrees: Vec::new() }
    }

    /// How the file falls into units.
    pub const fn layout(&self) -> Layout {
        self.layout
    }

    /// How many values have been pushed: the index of the next one.
    pub const fn pushed(&self) -> u64 {
        self.pushed
    }

    /// Takes the value of the next unit.
    pub fn push(&mut self, value: UnitValue) -> Result<(), TooManyUnits> {
        let units = self.layout.units();
        if self.pushed >= units {
            return Err(TooManyUnits { units });
        }
        // Merging waits until the next value is there: whichever merge turns out to be the last one is the
        // root, and BLAKE3 computes that differently.
        while self.subtrees.len() > self.pushed.count_ones() as usize {
            self.merge_last_two();
        }
        self.subtrees.push(value);
        self.pushed += 1;
        Ok(())
    }

    /// The root, once the values of all units are in.
    pub fn finish(mut self) -> Result<Root, RootIncomplete> {
        let units = self.layout.units();
        if self.pushed < units {
            return Err(RootIncomplete { pushed: self.pushed, units });
        }
        while self.subtrees.len() > 2 {
            self.merge_last_two();
        }
        Ok(match self.subtrees.as_slice() {
            [left, right] => *merge_subtrees_root(left, right, Mode::Hash).as_bytes(),
            [sole] => *sole,
            _ => *blake3::hash(&[]).as_bytes(),
        })
    }

    fn merge_last_two(&mut self) {
        if let (Some(right), Some(left)) = (self.subtrees.pop(), self.subtrees.last_mut()) {
            *left = merge_subtrees_non_root(left, &right, Mode::Hash);
        }
    }
}
