//! What one end of a link may cost in memory at the very most, as a formula of its limits. Tests let a peer attack and count.

use super::{Config, Event, Peer, Violation};
use crate::conn::Limits;
use crate::wire::{MAX_UNIT_LOG2, MIN_UNIT_LOG2, SafeRelPathRef};

/// How many times the bytes of a frame its event may need: lists of the shortest entries.
const SPREAD: usize = 16;

/// The shortest frame that makes an event, in bytes.
const SHORTEST: usize = 8;

/// What a tree needs for one entry beside the entry, at most.
const ENTRY: usize = 64;

/// A transfer or a list that is open: two paths, and what is known of it.
const OPEN: usize = 1024 + 3 * SafeRelPathRef::MAX_LEN;

/// A unit that waits to be stored.
const UNSTORED: usize = 2 * ENTRY;

/// An entry of a list that is served, with its name.
const LISTED: usize = 400;

impl Config {
    /// The most that an end of a link costs, in bytes, when the driver reads at most `read` bytes between two looks at
    /// [`wants_read`](super::Peer::wants_read). Units that the program provides count until they are sent; data that was
    /// polled is the program's own.
    #[must_use]
    pub fn worst_case_bytes(&self, read: usize) -> usize {
        let conn = Limits::worst_case_bytes(self.limits.max_frame, self.limits.max_queue_hard);
        let input = self.max_event_bytes.saturating_add(read);
        let events = self.max_events.saturating_add(read / SHORTEST);
        // A queue grows by doubling, and is there twice while it is copied.
        let events =
            events.saturating_mul(3 * size_of::<Event>()).saturating_add(input.saturating_mul(SPREAD));
        let transfers = self.max_transfers.saturating_mul(2 * OPEN);
        let stored_late = usize::try_from(self.max_unstored).unwrap_or(usize::MAX).saturating_add(input);
        let units = (stored_late >> MIN_UNIT_LOG2).saturating_add(self.max_transfers);
        let unstored = units.saturating_mul(UNSTORED);
        let list = self.max_list_entries.saturating_mul(LISTED).saturating_add(self.max_list_content);
        let lists =
            self.max_generations.saturating_mul(list).saturating_add(self.max_lists.saturating_mul(2 * OPEN));
        let parts = [size_of::<Peer>(), conn, self.most_bulk(), events, transfers, unstored, lists];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// The most file data, and what goes in its lane, that may wait to be sent.
    fn most_bulk(&self) -> usize {
        let units = self.max_units_wanted.saturating_add(1) << MAX_UNIT_LOG2;
        self.low_water.saturating_add(units).saturating_add(self.limits.max_queue_hard)
    }
}

impl Peer {
    /// Answers a peer that asks and asks and never reads, also for transfers that it cancels at once.
    pub(super) fn check_backlog(&self) -> Result<(), Violation> {
        let max = self.config.limits.max_queue_hard;
        let is_over = self.chat_waiting() > max || self.bulk_waiting() > self.config.most_bulk();
        if is_over { Err(Violation::TooSlow { max }) } else { Ok(()) }
    }
}
