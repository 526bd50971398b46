//! Every message exactly once, in order.
//!
//! The cursor of a room is the promise: a message is delivered when its number follows the cursor, dropped when it does
//! not exceed it, and asked for again when it is further ahead.

use super::Rooms;
use super::room::Room;
use crate::session::outbox::Outbox;
use crate::session::{ChatMessage, Event, RoomKey, Violation};
use crate::wire::{CaughtUp, FrameType, Gap, Join, MESSAGE_MISSED, Message, Messages, Name, RoomId, Target};

/// How often in a row a room is entered again for missing messages without getting one. Answers a server that skips
/// numbers for good, which would otherwise make both sides loop.
const MAX_RESTARTS: u8 = 3;

impl Rooms {
    pub(in crate::session) fn messages(
        &mut self,
        frame: &Messages<'_>,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        // What one person says in a row shares the name.
        let mut last: Option<Name> = None;
        for message in frame.iter() {
            let from = last.filter(|last| last.borrow() == message.from);
            let from = from.unwrap_or_else(|| message.from.to_owned());
            self.message(&message, from.clone(), out)?;
            last = Some(from);
        }
        Ok(())
    }

    fn message(&mut self, frame: &Message<'_>, from: Name, out: &mut Outbox) -> Result<(), Violation> {
        let (key, room) = self.entered_room(frame.room, FrameType::Messages)?;
        if room.is_going() {
            return Ok(());
        }
        if !room.follows(frame.seq) {
            return self.skipped(frame.room, frame.seq, out);
        }
        room.cursor = Some(frame.seq);
        room.restarts = 0;
        let missed = frame.flags & MESSAGE_MISSED != 0;
        let message = ChatMessage {
            room: key.clone(),
            seq: frame.seq,
            time: frame.time,
            from,
            device: frame.device,
            counter: frame.counter,
            text: frame.text.to_owned(),
        };
        out.emit(Event::Message { message, missed });
        if missed && frame.device != self.device {
            self.count_missed(frame.room);
        }
        Ok(())
    }

    pub(in crate::session) fn gap(&mut self, frame: &Gap, out: &mut Outbox) -> Result<(), Violation> {
        if frame.to < frame.from {
            return Err(Violation::Content { frame: FrameType::Gap, what: "it ends before it begins" });
        }
        let (key, room) = self.entered_room(frame.room, FrameType::Gap)?;
        if room.is_going() || room.cursor.is_some_and(|cursor| frame.to <= cursor) {
            return Ok(());
        }
        let next = room.cursor.unwrap_or_default().saturating_add(1);
        if frame.from > next {
            return self.skipped(frame.room, frame.from, out);
        }
        room.cursor = Some(frame.to);
        room.restarts = 0;
        out.emit(Event::Gap { room: key.clone(), from: next, to: frame.to });
        Ok(())
    }

    pub(in crate::session) fn end_of_missed(
        &mut self,
        frame: &CaughtUp,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        let (key, room) = self.entered_room(frame.room, FrameType::CaughtUp)?;
        // While the room is being entered once more, what this belongs to is about to begin again.
        if room.is_going() || room.join.is_some() {
            return Ok(());
        }
        if room.cursor.is_some_and(|cursor| frame.seq > cursor) {
            return self.skipped(frame.room, frame.seq.saturating_add(1), out);
        }
        let missed = core::mem::take(&mut room.missed);
        let key = key.clone();
        self.caught_up(&key);
        out.emit(Event::CaughtUp { room: key, missed });
        Ok(())
    }

    fn entered_room(&mut self, id: RoomId, frame: FrameType) -> Result<(&RoomKey, &mut Room), Violation> {
        let entered = self.by_id.get(&id).and_then(|key| Some((key, self.known.get_mut(key)?)));
        entered.ok_or(Violation::NotIn { frame, room: id })
    }

    /// A number came that does not follow the cursor: seen before, or something is missing and is asked for once.
    fn skipped(&mut self, id: RoomId, seq: u64, out: &mut Outbox) -> Result<(), Violation> {
        let (key, room) = self.entered_room(id, FrameType::Messages)?;
        let key = key.clone();
        if room.cursor.is_some_and(|cursor| seq <= cursor) || room.join.is_some() {
            return Ok(());
        }
        if room.restarts >= MAX_RESTARTS {
            let what = "numbers of the room are skipped again and again";
            return Err(Violation::Content { frame: FrameType::Messages, what });
        }
        room.restarts += 1;
        let request = out.next_request();
        room.join = Some(request);
        out.send(&Join { request, target: Target::Id(id), cursor: room.cursor });
        self.joins.insert(request, key);
        Ok(())
    }

    fn count_missed(&mut self, id: RoomId) {
        if let Some(room) = self.by_id.get(&id).and_then(|key| self.known.get_mut(key)) {
            room.missed = room.missed.saturating_add(1);
            self.missed = self.missed.saturating_add(u64::from(room.returning));
        }
    }
}
