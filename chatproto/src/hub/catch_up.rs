//! Those who are behind: they get what they miss from the log, a page at a time, at their own pace.
//!
//! A member is behind when it joins, and falls behind when its queue is past its bound. From then on no live message of
//! that room is queued for it. A page is asked for when its queue has room, one at a time for each connection, and the
//! member turns live in the turn in which its cursor meets the room.

use bytes::BytesMut;

use super::query::{Query, fitting};
use super::router::{CatchUp, encode_missed};
use super::{ConnId, Event, Hub, Record, Standing};
use crate::wire::{Body as _, CaughtUp, CloseReason, Gap, RequestId, RoomId};

impl Hub {
    /// Lets a member that is behind in `room` go on at the end of this turn.
    pub(super) fn wake(&mut self, id: ConnId, room: RoomId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.wait_in(room);
        self.touch(id);
    }

    /// Looks at a connection that is behind at the end of this turn.
    pub(super) fn touch(&mut self, id: ConnId) {
        if let Some(client) = self.clients.get_mut(&id)
            && !client.waiting.is_empty()
            && !client.is_touched
        {
            client.is_touched = true;
            self.touched.push_back(id);
        }
    }

    /// Goes on with those whose queue the driver has looked at since, or who have just joined.
    pub(super) fn catch_up_touched(&mut self) {
        // One pass: a connection that is still full is put back by the next look at its queue.
        for _ in 0..self.touched.len() {
            let Some(id) = self.touched.pop_front() else { return };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_touched = false;
            for _ in 0..client.waiting.len() {
                self.advance_next(id);
            }
        }
    }

    /// Moves a connection forward in the room that has waited longest.
    fn advance_next(&mut self, id: ConnId) {
        let max_queue = self.config.limits.max_queue;
        let Some(client) = self.clients.get_mut(&id) else { return };
        // The next page waits until the other side has read half of what may be queued.
        if client.conn.queue.len() > max_queue / 2 {
            return;
        }
        let Some(room) = client.waiting.pop_front() else { return };
        let is_reading = client.is_reading;
        let Some(Standing::Behind(cursor)) = self.router.standing(room, id) else { return };
        match self.router.catch_up(room, id, cursor) {
            CatchUp::Gone => {}
            CatchUp::Live { seq } => self.turn_live(id, room, seq),
            CatchUp::Recent { frames, seq } => {
                self.send_bytes(id, frames);
                self.deliveries += seq.saturating_sub(cursor);
                self.turn_live(id, room, seq);
            }
            CatchUp::Read { .. } if is_reading => self.wait_in(id, room),
            CatchUp::Read { after } => {
                self.wait_for_page(id);
                let query = self.ask(Query::Missed { conn: id, room, after });
                let limit = self.config.page_messages;
                self.events.push_back(Event::Read { id: query, room, after, limit });
            }
        }
    }

    /// From here on the member gets every batch. Who came and went while it was behind is told as who is there now.
    fn turn_live(&mut self, id: ConnId, room: RoomId, seq: u64) {
        let client = self.clients.get_mut(&id);
        if client.is_some_and(|client| client.missed_presence.remove(&room)) {
            self.send_members(id, RequestId(0), room);
            self.send_topic(id, room);
        }
        self.send(id, &CaughtUp { room, seq });
    }

    fn wait_in(&mut self, id: ConnId, room: RoomId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.wait_in(room);
        }
    }

    fn wait_for_page(&mut self, id: ConnId) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_reading = true;
        }
    }

    /// A page of what `id` misses has come, or cannot be had.
    pub(super) fn on_missed(&mut self, id: ConnId, room: RoomId, after: u64, records: Option<&[Record]>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.is_reading = false;
        let Some(records) = records else {
            return self.close(id, CloseReason::ShuttingDown, "the log could not be read");
        };
        // It may have left meanwhile, or joined again with another cursor, and waits for a page from there.
        if self.router.standing(room, id) == Some(Standing::Behind(after)) {
            self.send_missed(id, room, after, records);
            self.wait_in(id, room);
        }
        self.touch(id);
    }

    fn send_missed(&mut self, id: ConnId, room: RoomId, after: u64, records: &[Record]) {
        let last = self.router.info(room).map_or(after, |(.., last)| last);
        // The log may be ahead of what the hub was told: that comes live, once.
        let known = records.iter().take_while(|record| record.seq <= last).count();
        let records = fitting(records.get(..known).unwrap_or_default(), 0, self.config.page_bytes);
        let mut frames = BytesMut::new();
        let mut next = after.saturating_add(1);
        for run in records.chunk_by(|one, other| one.seq.saturating_add(1) == other.seq) {
            // What the log no longer has cannot be sent: the client is told which numbers are gone.
            let (first, end) =
                (run.first().map_or(next, |record| record.seq), run.last().map(|record| record.seq));
            encode_gap(room, next, first, &mut frames);
            encode_missed(run, &mut frames);
            next = end.map_or(next, |end| end.saturating_add(1));
        }
        if records.is_empty() {
            encode_gap(room, next, last.saturating_add(1), &mut frames);
        }
        self.send_bytes(id, frames.freeze());
        self.deliveries += u64::try_from(records.len()).unwrap_or(0);
        let cursor = records.last().map_or(last, |record| record.seq);
        self.router.fall_behind(room, id, cursor);
    }
}

/// Tells that the numbers from `next` up to `first`, without it, are gone; if there are any.
fn encode_gap(room: RoomId, next: u64, first: u64, out: &mut BytesMut) {
    if first > next {
        Gap { room, from: next, to: first.saturating_sub(1) }.encode_frame(out);
    }
}
