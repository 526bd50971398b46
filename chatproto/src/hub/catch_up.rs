//! Those who are behind: they get what they miss from the log, a page at a time, at their own pace.
//!
//! A member is behind when it joins, and falls behind when its queue is past its bound. From then on no live message of
//! that room is queued for it. A page is asked for when its queue has room, one at a time for each connection, and the
//! member turns live in the turn in which its cursor meets the room. What all of them get in a millisecond is bounded
//! ([`Config::catch_up_bytes`](super::Config::catch_up_bytes)), and so are the pages that the log is asked for at once
//! ([`Config::catch_up_reads`](super::Config::catch_up_reads)); past that they stand in line.

use bytes::Bytes;

use super::pages::{Askers, Page, up_to_meeting_point};
use super::query::{Query, fitting};
use super::router::{CatchUp, encode_missed, message};
use super::{ConnId, Hub, LogRequest, Record, Standing};
use crate::wire::{CaughtUp, CloseReason, FrameWriter, Gap, RoomId};

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
            && client.is_owed()
            && !client.is_touched
        {
            client.is_touched = true;
            self.touched.push_back(id);
        }
    }

    /// Goes on with those whose queue the driver has looked at since, or who have just joined.
    pub(super) fn catch_up_touched(&mut self) {
        if self.pages.renew(self.config.catch_up_bytes, self.now) {
            // Nobody is told of a turn that has begun already.
            self.serve_line();
        }
        // One pass: a connection that is still full is put back by the next look at its queue.
        for _ in 0..self.touched.len() {
            let Some(id) = self.touched.pop_front() else { return };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_touched = false;
            let is_in_line = client.is_in_line;
            self.go_on_listing(id);
            // Who stands in line has its turn there.
            if !is_in_line {
                self.advance(id, false);
            }
        }
    }

    /// Goes on with those in line as far as time and the log allow.
    pub(super) fn serve_line(&mut self) {
        let _ = self.pages.renew(self.config.catch_up_bytes, self.now);
        for _ in 0..self.pages.in_line() {
            if self.pages.is_spent() {
                return;
            }
            let Some(id) = self.pages.take_next() else { return };
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_in_line = false;
            if !self.advance(id, true) {
                return;
            }
        }
    }

    /// Moves a connection forward in all rooms that it waits in. `is_served`: it has waited for its turn. `false` if it has to
    /// wait for one.
    fn advance(&mut self, id: ConnId, is_served: bool) -> bool {
        let rooms = self.clients.get(&id).map_or(0, |client| client.waiting.len());
        (0..rooms).all(|_| self.advance_next(id, is_served))
    }

    /// Moves a connection forward in the room that has waited longest; `false` if it has to wait for a turn.
    fn advance_next(&mut self, id: ConnId, is_served: bool) -> bool {
        let max_queue = self.config.limits.max_queue;
        let Some(client) = self.clients.get_mut(&id) else { return true };
        // The next page waits until the other side has read half of what may be queued.
        if client.conn.queue.len() > max_queue / 2 {
            return true;
        }
        if self.pages.is_spent() {
            return self.stand_in_line(id, is_served);
        }
        let Some(room) = client.waiting.pop_front() else { return true };
        let is_reading = client.is_reading;
        let Some(Standing::Behind(cursor)) = self.router.standing(room, id) else { return true };
        match self.router.catch_up(room, id, cursor) {
            CatchUp::Gone => {}
            CatchUp::Live { seq } => self.turn_live(id, room, seq),
            CatchUp::Recent { frames, seq } => {
                self.give_out(id, frames, seq.saturating_sub(cursor));
                self.turn_live(id, room, seq);
            }
            CatchUp::Read { .. } if is_reading => self.wait_in(id, room),
            CatchUp::Read { after } => return self.get_page(id, room, after, is_served),
        }
        true
    }

    /// Brings the page behind `after` to a member: one that came lately, one that is under way, or a new one.
    fn get_page(&mut self, id: ConnId, room: RoomId, after: u64, is_served: bool) -> bool {
        if let Some(page) = self.pages.kept(room, after, self.now) {
            self.send_page(id, page);
            return true;
        }
        if let Some(query) = self.pages.asked(room, after)
            && let Some(Query::Missed { conns, .. }) = self.queries.get_mut(&query)
        {
            conns.push(id);
            self.wait_for_page(id);
            return true;
        }
        let is_its_turn = is_served || self.pages.is_free();
        if !is_its_turn || self.pages.under_way() >= self.config.catch_up_reads.max(1) {
            self.wait_in(id, room);
            return self.stand_in_line(id, is_served);
        }
        self.wait_for_page(id);
        let query = self.ask(Query::Missed { conns: [id].into(), room, after });
        self.pages.begin(room, after, query);
        let limit = self.config.page_messages;
        self.request(LogRequest::Read { id: query, room, after, limit });
        true
    }

    fn stand_in_line(&mut self, id: ConnId, was_served: bool) -> bool {
        if let Some(client) = self.clients.get_mut(&id)
            && !core::mem::replace(&mut client.is_in_line, true)
        {
            self.pages.stand_in_line(id, was_served);
        }
        false
    }

    /// From here on the member gets every batch. Who came and went while it was behind is told as who is there now.
    fn turn_live(&mut self, id: ConnId, room: RoomId, seq: u64) {
        let client = self.clients.get_mut(&id);
        if client.is_some_and(|client| client.missed_presence.remove(&room)) {
            self.send_members(id, room);
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

    /// A page of what these miss has come, or cannot be had.
    pub(super) fn on_missed(&mut self, conns: Askers, room: RoomId, after: u64, records: Option<&[Record]>) {
        self.pages.end(room, after);
        let _ = self.pages.renew(self.config.catch_up_bytes, self.now);
        let is_shared = conns.len() > 1 || self.pages.under_way() > 0 || !self.pages.is_free();
        let page = records.map(|records| self.encode_page(room, after, records, is_shared));
        for id in conns {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_reading = false;
            let Some(page) = &page else {
                self.close(id, CloseReason::ShuttingDown, "the log could not be read");
                continue;
            };
            // It may have left meanwhile, or joined again with another cursor, and waits for a page from there.
            if self.router.standing(room, id) == Some(Standing::Behind(after)) {
                if self.pages.is_spent() {
                    self.wait_in(id, room);
                    self.stand_in_line(id, false);
                } else {
                    self.send_page(id, page.clone());
                }
            }
            self.touch(id);
        }
        // At the end of the room pages grow; only those before it are the same for everybody.
        let is_whole = |page: &Page| self.router.info(room).is_some_and(|(.., last)| page.next < last);
        if let Some(page) = page.filter(|page| is_shared && is_whole(page)) {
            self.pages.keep(page);
        }
        self.serve_line();
    }

    /// The log has no room for the question now. Those who wait for the page stay first in line, and nobody asks again before
    /// the next millisecond.
    pub(super) fn put_off(&mut self, conns: Askers, room: RoomId, after: u64) {
        self.pages.end(room, after);
        let _ = self.pages.renew(self.config.catch_up_bytes, self.now);
        self.pages.spend_all();
        for id in conns.into_iter().rev() {
            let Some(client) = self.clients.get_mut(&id) else { continue };
            client.is_reading = false;
            if matches!(self.router.standing(room, id), Some(Standing::Behind(_))) {
                self.wait_in(id, room);
            }
            self.stand_in_line(id, true);
        }
    }

    fn encode_page(&self, room: RoomId, after: u64, records: &[Record], is_shared: bool) -> Page {
        let last = self.router.info(room).map_or(after, |(.., last)| last);
        // The log may be ahead of what the hub was told: that comes live, once.
        let known = records.iter().take_while(|record| record.seq <= last).count();
        let mut records = fitting(records.get(..known).unwrap_or_default(), 0, self.config.page_bytes);
        if is_shared && records.last().is_some_and(|record| record.seq < last) {
            records = up_to_meeting_point(records);
        }
        let mut frames = FrameWriter::with_capacity(missed_len(records));
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
        Page {
            room,
            after,
            next: records.last().map_or(last, |record| record.seq),
            messages: u64::try_from(records.len()).unwrap_or(0),
            frames: frames.take(),
            read: self.now,
        }
    }

    fn send_page(&mut self, id: ConnId, page: Page) {
        self.give_out(id, page.frames, page.messages);
        self.router.fall_behind(page.room, id, page.next);
        self.wait_in(id, page.room);
    }

    /// Queues missed messages, to be sent after what is live.
    fn give_out(&mut self, id: ConnId, frames: Bytes, messages: u64) {
        self.pages.spend(frames.len());
        self.deliveries += messages;
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.conn.send_shared(frames);
        if !core::mem::replace(&mut client.is_writable, true) {
            self.writable_late.push_back(id);
        }
    }
}

/// The most that these records take as frames, without gaps.
fn missed_len(records: &[Record]) -> usize {
    records.iter().map(|record| message(record, 0).frame_len()).sum()
}

/// Tells that the numbers from `next` up to `first`, without it, are gone; if there are any.
fn encode_gap(room: RoomId, next: u64, first: u64, out: &mut FrameWriter) {
    if first > next {
        out.frame(&Gap { room, from: next, to: first.saturating_sub(1) });
    }
}
