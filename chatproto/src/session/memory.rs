//! What a session may cost in memory at the very most, as a formula of its limits. Tests let a server attack and count.

use super::rooms::ROOM_BYTES;
use super::{Config, Event, RoomKey};
use crate::conn::Limits;
use crate::wire::{NameRef, NoteRef};

/// How many times the bytes of a frame its event may need: lists of the shortest entries.
const SPREAD: usize = 16;

/// The shortest part of a frame that makes an event, in bytes.
const SHORTEST: usize = 8;

/// What a tree or a queue needs for one entry beside the entry, at most.
const ENTRY: usize = 64;

/// A request, an offer or an introduction: names, addresses, deadlines.
const QUESTION: usize = 1024;

impl Config {
    /// The most that a session costs, in bytes, when the driver reads at most `read` bytes between two looks at
    /// [`wants_read`](super::Session::wants_read).
    #[must_use]
    pub fn worst_case_bytes(&self, read: usize) -> usize {
        let conn =
            Limits::worst_case_bytes(self.limits.max_frame, self.limits.max_queue_hard.saturating_add(read));
        // The last read may complete a frame that has long been coming.
        let last = read.saturating_add(usize::try_from(self.limits.max_frame).unwrap_or(usize::MAX));
        let input = self.max_event_bytes.saturating_add(last);
        let events = self.max_events.saturating_add(last / SHORTEST);
        // A queue grows by doubling, and is there twice while it is copied.
        let events =
            events.saturating_mul(3 * size_of::<Event>()).saturating_add(input.saturating_mul(SPREAD));
        let room =
            ROOM_BYTES + 2 * size_of::<RoomKey>() + 2 * ENTRY + 2 * NameRef::MAX_LEN + NoteRef::MAX_LEN;
        let rooms = self.max_rooms.saturating_mul(room);
        let says = self.max_pending.saturating_mul(QUESTION).saturating_add(3 * self.max_pending_bytes);
        let questions =
            self.max_requests.saturating_add(self.max_offers).saturating_add(self.max_introductions);
        let parts =
            [size_of::<super::Session>(), conn, events, rooms, says, questions.saturating_mul(QUESTION)];
        parts.into_iter().fold(0, usize::saturating_add)
    }
}
