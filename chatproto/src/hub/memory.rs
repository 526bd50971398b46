//! What a hub may cost in memory at the very most, as a formula of its limits. Tests attack a hub and count.

use super::Config;
use super::client::Client;
use super::pages::MAX_KEPT as MAX_KEPT_PAGES;
use crate::conn::Limits;
use crate::wire::{MAX_FRAME, MAX_HELLO_FRAME, NameRef, NoteRef, TextRef};

/// Bytes that may wait for a connection without a login before it is not read; twice that, and it ends.
pub(super) const MAX_STRANGER_QUEUE: usize = 8 * 1024;

/// The longest answer that a login has: a blob of a mechanism and what is around it.
const LOGIN_ANSWER: usize = 9 * 1024;

/// What a tree or a queue needs for one entry beside the entry, at most.
const ENTRY: usize = 64;

/// What one person's seat in one room needs: in the room, in the person's own list, among those who wait.
const SEAT: usize = 4 * ENTRY + 2 * NameRef::MAX_LEN;

/// A message that waits for the log, beside its text, in the hub and as an event.
const APPEND: usize = 512;

/// A question that waits for its answer, with the longest text that it can have.
const REQUEST: usize = 1024;

/// What names and texts need beside their bytes: they are shared, and count who shares them.
const SHARED: usize = 2 * size_of::<usize>();

/// A note about somebody in a room, or of the whole server, with a reason of its own.
const HOUSE_NOTE: usize = 3 * ENTRY + SHARED + NameRef::MAX_LEN + SHARED + NoteRef::MAX_LEN;

impl Config {
    /// The most that one connection costs while nobody is logged in on it, in bytes. So many of them may be there:
    /// [`max_strangers`](Self::max_strangers), and those that are just being told to come back later.
    #[must_use]
    pub fn worst_case_stranger(&self) -> usize {
        let queue = self.limits.max_queue_hard.min(2 * MAX_STRANGER_QUEUE).saturating_add(LOGIN_ANSWER);
        let input = 3 * (MAX_HELLO_FRAME as usize);
        size_of::<Client>() + 4 * ENTRY + input + 2 * queue + REQUEST
    }

    /// The most that one connection costs that is logged in, in bytes. What it shares with others counts fully, though there
    /// is one copy: the queue holds what its rooms hold.
    #[must_use]
    pub fn worst_case_member(&self) -> usize {
        let queue = self.limits.max_queue_hard.max(self.limits.max_queue.saturating_add(self.page_bytes));
        let conn = Limits::worst_case_bytes(self.limits.max_frame.min(MAX_FRAME), queue);
        let appends =
            (self.max_appends as usize).saturating_mul(APPEND).saturating_add(2 * self.max_append_bytes);
        let requests = (2 * self.max_requests as usize + self.max_offers).saturating_mul(REQUEST);
        // Searches wait with their words.
        let words = (self.max_requests as usize).saturating_mul(TextRef::MAX_LEN);
        // As many groups, and conversations that others began.
        let rooms = self.max_rooms_joined.saturating_mul(3 * SEAT);
        let parts = [size_of::<Client>(), 4 * ENTRY, conn, appends, requests, words, rooms];
        parts.into_iter().fold(0, usize::saturating_add)
    }

    /// The most that catching up costs beside the [members](Self::worst_case_member), in bytes: pages on their way from the
    /// log, and those that are kept for others who miss the same. However many are behind, it stays the same.
    #[must_use]
    pub fn worst_case_catch_up(&self) -> usize {
        let page = self.page_bytes.saturating_add(MAX_FRAME as usize);
        let records = (self.page_messages as usize).saturating_mul(APPEND);
        let under_way = self.catch_up_reads.saturating_mul(2 * page + records);
        MAX_KEPT_PAGES.saturating_mul(page).saturating_add(under_way)
    }

    /// The most that one room costs beside its [members](Self::worst_case_member), in bytes.
    #[must_use]
    pub fn worst_case_room(&self) -> usize {
        let itself = 8 * ENTRY + 2 * NameRef::MAX_LEN + NoteRef::MAX_LEN;
        let notes = self.max_house_notes.saturating_mul(HOUSE_NOTE);
        // The batch of this turn, while it grows and is copied, and the latest ones.
        let batches =
            self.recent_bytes.saturating_add(3 * self.page_bytes.saturating_add(MAX_FRAME as usize));
        itself.saturating_add(notes).saturating_add(batches)
    }

    /// The most that the bans of the whole server cost, in bytes.
    #[must_use]
    pub fn worst_case_gate(&self) -> usize {
        ENTRY.saturating_add(NoteRef::MAX_LEN).saturating_add(self.max_bans.saturating_mul(HOUSE_NOTE))
    }
}
