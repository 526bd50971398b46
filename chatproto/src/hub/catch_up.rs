//! Those who are behind: they get what they miss from the log, a page at a time, at their own pace.
//!
//! A member falls behind when it joins with a cursor, or when its queue is past its bound. From then on no live message
//! of that room is queued for it. Each page is asked for when its queue has room, and the member turns live in the turn
//! in which its cursor meets the room.

use bytes::BytesMut;

use super::query::Query;
use super::router::{CatchUp, encode_missed};
use super::{ConnId, Event, Hub, Record};
use crate::wire::{CaughtUp, Gap, RoomId};

impl Hub {
    /// Moves one member forward: it has everything up to `cursor`.
    pub(super) fn advance(&mut self, id: ConnId, room: RoomId, cursor: u64) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        // The next page waits until the other side has read half of what is queued.
        if client.conn.queue.len() > self.config.limits.max_queue / 2 {
            self.router.fall_behind(room, id, cursor);
            client.waiting.push(room);
            return;
        }
        match self.router.catch_up(room, id, cursor) {
            CatchUp::Gone => {}
            CatchUp::Live { seq } => self.send(id, &CaughtUp { room, seq }),
            CatchUp::Recent { frames, seq } => {
                for piece in frames {
                    self.send_bytes(id, piece);
                }
                self.send(id, &CaughtUp { room, seq });
            }
            CatchUp::Read { after } => {
                let query = self.ask(Query::Missed { conn: id, room, after });
                let limit = self.config.page_messages;
                self.events.push_back(Event::Read { id: query, room, after, limit });
            }
        }
    }

    /// Goes on with those whose queue the driver has looked at since.
    pub(super) fn catch_up_touched(&mut self) {
        // One pass: a connection that is still full is put back by the next look at its queue.
        for _ in 0..self.touched.len() {
            let Some(id) = self.touched.pop_front() else { return };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_touched = false;
            if client.conn.queue.len() > self.config.limits.max_queue / 2 {
                continue;
            }
            for room in core::mem::take(&mut client.waiting) {
                if let Some(super::Standing::Behind(cursor)) = self.router.standing(room, id) {
                    self.advance(id, room, cursor);
                }
            }
        }
    }

    /// A page of what `id` misses has come.
    pub(super) fn on_missed(&mut self, id: ConnId, room: RoomId, after: u64, records: &[Record]) {
        // It may have left, or joined again with another cursor: then another read is under way.
        if self.router.standing(room, id) != Some(super::Standing::Behind(after)) {
            return;
        }
        // What the log no longer has cannot be sent: the client is told which numbers are gone.
        let last = self.router.info(room).map_or(after, |(.., last)| last);
        let first = records.first().map_or(last.saturating_add(1), |record| record.seq);
        if first > after.saturating_add(1) {
            self.send(id, &Gap { room, from: after.saturating_add(1), to: first.saturating_sub(1) });
        }
        let cursor = records.last().map_or(last, |record| record.seq);
        let mut frames = BytesMut::new();
        encode_missed(records, &mut frames);
        self.send_bytes(id, frames.freeze());
        self.advance(id, room, cursor);
    }
}
