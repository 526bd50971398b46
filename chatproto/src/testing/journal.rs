//! What a log has committed, in its order, for a model to be held against.

use alloc::vec::Vec;

use crate::Instant;
use crate::hub::{AuditLine, House, Label};
use crate::wire::{Name, Network};

/// One thing that a [`MemoryLog`](super::MemoryLog) has committed.
#[derive(Debug, Clone)]
pub enum Committed {
    /// A room was made.
    Room {
        /// What it is called.
        label: Label,
        /// Its order as it was made.
        house: House,
    },
    /// A room or the whole server was changed.
    Change(Change),
    /// A message was stored.
    Message {
        /// Its room.
        label: Label,
        /// Its number there.
        seq: u64,
        /// When the hub asked for it.
        asked: Asked,
    },
    /// The process died here: what it knew and had not stored is gone.
    Crash,
}

/// A change as it was stored.
#[derive(Debug, Clone)]
pub struct Change {
    /// When it was stored, which is from when it holds.
    pub at: Instant,
    /// The room; `None` for the whole server.
    pub room: Option<Label>,
    /// Its line of the audit log.
    pub line: AuditLine,
    /// Upon whom.
    pub user: Option<Name>,
    /// Upon which addresses.
    pub networks: Vec<Network>,
    /// Who is let into a room that became private.
    pub admits: Vec<Name>,
}

/// The moment at which a hub let a message pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// When.
    pub at: Instant,
    /// How many rooms and changes it had been told to be stored.
    pub changes: usize,
}

/// All of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Journal {
    entries: Vec<Committed>,
    changes: usize,
}

impl Journal {
    pub(super) fn add(&mut self, entry: Committed) {
        self.changes += usize::from(matches!(entry, Committed::Room { .. } | Committed::Change(_)));
        self.entries.push(entry);
    }

    /// How many rooms and changes there are.
    pub(super) fn changes(&self) -> usize {
        self.changes
    }

    pub(super) fn entries(&self) -> &[Committed] {
        &self.entries
    }
}
