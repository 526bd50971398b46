//! One room as the session sees it.

use crate::wire::{RequestId, RoomId};

/// What is known of one room.
#[derive(Debug, Default)]
pub(super) struct Room {
    /// Last number seen; `None` when nothing was ever seen.
    pub(super) cursor: Option<u64>,
    /// To be entered with every login.
    pub(super) wanted: bool,
    /// The server's number for it, once it was entered on this connection.
    pub(super) id: Option<RoomId>,
    /// Entered on this connection, and the program knows.
    pub(super) entered: bool,
    /// The join on its way, or the one that the program asked for while offline.
    pub(super) join: Option<RequestId>,
    /// The program waits for that join.
    pub(super) asked: bool,
    /// The program has left.
    pub(super) leaving: bool,
    /// The leave has gone out; until its confirmation comes, whatever comes for the room is of no interest.
    pub(super) parting: bool,
    /// Times in a row that the room was entered again for missing messages.
    pub(super) restarts: u8,
    /// Messages of others caught up since the room was entered.
    pub(super) missed: u64,
    /// Counted among the rooms that must catch up after a reconnect.
    pub(super) returning: bool,
}

impl Room {
    /// Whether what comes for the room is dropped, because it was left.
    pub(super) fn is_going(&self) -> bool {
        self.leaving || self.parting
    }

    /// Whether a message with this number is the next one.
    pub(super) fn follows(&self, seq: u64) -> bool {
        self.cursor.is_some_and(|cursor| cursor.checked_add(1) == Some(seq))
    }

    /// The server let this device in: messages above `cursor` follow, the last one is `last`.
    ///
    /// Returns the numbers that were lost in between, if there are any.
    pub(super) fn entered_at(&mut self, last: u64, cursor: u64) -> Option<(u64, u64)> {
        self.entered = true;
        let seen = match self.cursor {
            // A server that ended without flushing gives numbers again: what was seen under them is gone there.
            Some(seen) if seen <= last => seen,
            Some(_) | None => cursor.min(last),
        };
        self.cursor = Some(seen.max(cursor.min(last)));
        (cursor > seen).then_some((seen.saturating_add(1), cursor.min(last))).filter(|(from, to)| from <= to)
    }

    /// Takes over what was known under another spelling of the name; tells whether both had to catch up.
    pub(super) fn merge(&mut self, other: Self) -> bool {
        self.wanted |= other.wanted;
        self.asked |= other.asked;
        self.leaving |= other.leaving;
        self.cursor = self.cursor.or(other.cursor);
        self.join = other.join.or(self.join);
        let both = self.returning && other.returning;
        self.returning |= other.returning;
        both
    }

    /// Left, and being entered anew: like a room never seen.
    pub(super) fn forget_place(&mut self) {
        *self = Self {
            wanted: true,
            join: self.join,
            asked: self.asked,
            leaving: self.leaving,
            ..Self::default()
        };
    }

    /// The connection is gone. Only a join that the program asked for is still owed an answer.
    pub(super) fn disconnected(&mut self) {
        *self = Self {
            cursor: self.cursor,
            wanted: self.wanted,
            join: self.join.filter(|_| self.asked),
            asked: self.asked,
            ..Self::default()
        };
    }
}
