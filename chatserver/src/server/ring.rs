//! The log without a disk: durability `off`. The latest messages of each room are in memory, up to a bound, and a message is
//! answered in the turn in which it was said.
//!
//! Two things still hold. A room's numbers never run backwards, not even when the server was killed: they are reserved in
//! `chat.db` in blocks, each before its first number is given, and after a restart numbering goes on behind the block. And
//! what is sent again while the server runs appears once. All else ends with the process: whoever comes back for what is
//! gone is told so by a `gap`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, VecDeque};

use chatproto::hub::{AppendId, Record};
use chatproto::wire::{Anchor, DeviceId, Name, RoomId};

use crate::store::counters::Counters;
use crate::store::{Outcome, RoomRow, StoreConfig, WriteError};

/// How many numbers of a room are reserved at once. A server that was killed leaves at most twice as many out. Half of them
/// last longer than the disk takes for the next block, also in a room where 100,000 messages a second are said.
const BLOCK: u64 = 16_384;

/// Devices whose messages are known, about 150 bytes each. Past it all are forgotten, and what they send again appears twice.
const MAX_DEVICES: usize = 65_536;

/// What a record takes beside its text, about: names are shared.
const RECORD_BYTES: usize = 96;

/// Past the bound over all rooms, one part in so many goes at once.
const SHRINK_PART: usize = 16;

/// The latest messages of every room.
#[derive(Debug)]
pub(super) struct Ring {
    max_messages: usize,
    max_bytes: usize,
    max_total_bytes: usize,
    /// Of all rooms together.
    total_bytes: usize,
    rooms: BTreeMap<RoomId, Room>,
    /// What each device said since the start.
    said: HashMap<(Name, DeviceId), Counters>,
    outcomes: Vec<Outcome>,
    reservations: Vec<Reservation>,
}

/// Numbers of a room that must be on the disk before they are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reservation {
    pub(super) room: RoomId,
    /// The last of them.
    pub(super) last: u64,
}

#[derive(Debug, Default)]
struct Room {
    /// The last number that was given.
    last: u64,
    /// The last one that may be.
    reserved: u64,
    is_reserving: bool,
    time: u64,
    records: VecDeque<Record>,
    bytes: usize,
    /// What waits for numbers, or behind something that does.
    held: VecDeque<Asked>,
}

#[derive(Debug)]
enum Asked {
    /// The number and the time are still to be given.
    Append(AppendId, Record),
    Recall(AppendId, (Name, DeviceId), u64),
}

impl Ring {
    /// A ring over rooms that exist: their numbers go on from where they are.
    pub(super) fn new(rooms: &[RoomRow], config: &StoreConfig) -> Self {
        let room = |row: &RoomRow| {
            let (last, time) = (row.last_seq, row.last_ms);
            (RoomId(row.id), Room { last, reserved: last, time, ..Room::default() })
        };
        Self {
            max_messages: config.ring_messages.max(1),
            max_bytes: config.ring_bytes,
            max_total_bytes: config.ring_total_bytes,
            total_bytes: 0,
            rooms: rooms.iter().map(room).collect(),
            said: HashMap::new(),
            outcomes: Vec::new(),
            reservations: Vec::new(),
        }
    }

    /// Takes a message without number and time, at `now` in Unix milliseconds. The outcome may come later.
    pub(super) fn append(&mut self, id: AppendId, record: Record, now: u64) {
        let room = self.rooms.entry(record.room).or_default();
        room.time = room.time.max(now);
        if room.held.is_empty() {
            self.store(id, record);
        } else {
            room.held.push_back(Asked::Append(id, record));
        }
    }

    /// Was this said before? `room` is where it is said now.
    pub(super) fn recall(&mut self, id: AppendId, room: Option<RoomId>, who: (Name, DeviceId), counter: u64) {
        let waiting = room.and_then(|room| self.rooms.get_mut(&room)).filter(|room| !room.held.is_empty());
        if let Some(room) = waiting {
            return room.held.push_back(Asked::Recall(id, who, counter));
        }
        let outcome = self.earlier(id, room, &who, counter).unwrap_or(Outcome::Absent { id: id.0 });
        self.outcomes.push(outcome);
    }

    /// What became of what was asked.
    pub(super) fn take_outcomes(&mut self) -> Vec<Outcome> {
        core::mem::take(&mut self.outcomes)
    }

    /// Numbers to be reserved; each answered with [`reserved`](Self::reserved) or [`not_reserved`](Self::not_reserved).
    pub(super) fn take_reservations(&mut self) -> Vec<Reservation> {
        core::mem::take(&mut self.reservations)
    }

    /// Numbers up to `last` are on the disk.
    pub(super) fn reserved(&mut self, room: RoomId, last: u64) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        entry.is_reserving = false;
        entry.reserved = entry.reserved.max(last);
        for asked in core::mem::take(&mut entry.held) {
            match asked {
                Asked::Append(id, record) => self.store(id, record),
                Asked::Recall(id, who, counter) => self.recall(id, Some(room), who, counter),
            }
        }
    }

    /// The disk does not take the reservation: what waits for it cannot be said, and the next message tries again.
    pub(super) fn not_reserved(&mut self, room: RoomId, error: &WriteError) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        entry.is_reserving = false;
        let held = core::mem::take(&mut entry.held);
        if matches!(error, WriteError::NoSuchRoom(_)) {
            self.forget(room);
        }
        self.refuse(room, held, error);
    }

    /// The room is gone, with what was said there; nobody says anything there any more.
    pub(super) fn forget(&mut self, room: RoomId) {
        let Some(gone) = self.rooms.remove(&room) else { return };
        self.total_bytes = self.total_bytes.saturating_sub(gone.bytes);
        self.refuse(room, gone.held, &WriteError::NoSuchRoom(room.0));
    }

    fn refuse(&mut self, room: RoomId, held: VecDeque<Asked>, error: &WriteError) {
        for asked in held {
            match asked {
                Asked::Append(id, _) => {
                    self.outcomes.push(Outcome::Failed { id: id.0, error: error.clone() });
                }
                Asked::Recall(id, who, counter) => self.recall(id, Some(room), who, counter),
            }
        }
    }

    /// Where each room's numbers really end, for a server that stops in good order.
    pub(super) fn ends(&self) -> impl Iterator<Item = Reservation> {
        let ends = |(room, entry): (&RoomId, &Room)| {
            (entry.reserved > entry.last).then_some(Reservation { room: *room, last: entry.last })
        };
        self.rooms.iter().filter_map(ends)
    }

    /// Messages of a room, oldest first. What is gone is left out.
    pub(super) fn history(&self, room: RoomId, anchor: Anchor, seq: u64, limit: u16) -> Vec<Record> {
        let Some(room) = self.rooms.get(&room) else { return Vec::new() };
        let (records, limit) = (&room.records, usize::from(limit));
        let at = match anchor {
            Anchor::After => records.partition_point(|record| record.seq <= seq),
            Anchor::Before | Anchor::Around => records.partition_point(|record| record.seq < seq),
        };
        let from = match anchor {
            Anchor::After => at,
            Anchor::Before => at.saturating_sub(limit),
            Anchor::Around => at.saturating_sub(limit / 2),
        };
        let end = if anchor == Anchor::Before { at } else { from.saturating_add(limit).min(records.len()) };
        records.range(from..end).cloned().collect()
    }

    /// Gives a message its number, or lets it wait for one.
    fn store(&mut self, id: AppendId, record: Record) {
        let who = (record.from.clone(), record.device);
        if let Some(outcome) = self.earlier(id, Some(record.room), &who, record.counter) {
            return self.outcomes.push(outcome);
        }
        let Some(room) = self.rooms.get_mut(&record.room) else {
            let error = WriteError::NoSuchRoom(record.room.0);
            return self.outcomes.push(Outcome::Failed { id: id.0, error });
        };
        let left = room.reserved.saturating_sub(room.last);
        if left <= BLOCK / 2 && !room.is_reserving {
            room.is_reserving = true;
            let last = room.reserved.saturating_add(BLOCK);
            self.reservations.push(Reservation { room: record.room, last });
        }
        if left == 0 {
            return room.held.push_back(Asked::Append(id, record));
        }
        let counter = record.counter;
        room.last = room.last.saturating_add(1);
        let (seq, time_ms) = (room.last, room.time);
        let before = room.bytes;
        room.push(Record { seq, time: time_ms, ..record }, self.max_messages, self.max_bytes);
        self.total_bytes = self.total_bytes.saturating_sub(before).saturating_add(room.bytes);
        self.shrink();
        if self.said.len() >= MAX_DEVICES && !self.said.contains_key(&who) {
            self.said.clear();
        }
        self.said.entry(who).or_default().insert(counter);
        self.outcomes.push(Outcome::Committed { id: id.0, seq, time_ms });
    }

    /// Past the bound over all rooms, the oldest messages go, whatever room they are in: so many at once that it is seldom done.
    fn shrink(&mut self) {
        if self.total_bytes <= self.max_total_bytes {
            return;
        }
        let wanted = self.max_total_bytes - self.max_total_bytes / SHRINK_PART;
        let oldest = |(id, room): (&RoomId, &Room)| Some(Reverse((room.records.front()?.time, *id)));
        let mut oldest = self.rooms.iter().filter_map(oldest).collect::<BinaryHeap<_>>();
        while self.total_bytes > wanted {
            let Some(Reverse((_, id))) = oldest.pop() else { return };
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            let freed = room.pop();
            self.total_bytes = self.total_bytes.saturating_sub(freed);
            oldest.extend(room.records.front().map(|next| Reverse((next.time, id))));
        }
    }

    fn earlier(
        &self,
        id: AppendId,
        room: Option<RoomId>,
        who: &(Name, DeviceId),
        counter: u64,
    ) -> Option<Outcome> {
        let is_known = self.said.get(who).is_some_and(|counters| counters.contains(counter));
        is_known.then(|| {
            let room = room.and_then(|room| self.rooms.get(&room));
            let is_it = |record: &&Record| {
                record.counter == counter && record.device == who.1 && record.from == who.0
            };
            // Nearly always among the latest. In another room than it was said in, it is not looked for.
            let found = room.and_then(|room| room.records.iter().rev().find(is_it));
            found.map_or(Outcome::Forgotten { id: id.0 }, |record| Outcome::Duplicate {
                id: id.0,
                room: record.room.0,
                seq: record.seq,
                time_ms: record.time,
            })
        })
    }
}

impl Room {
    fn push(&mut self, record: Record, max_messages: usize, max_bytes: usize) {
        self.bytes += bytes(&record);
        self.records.push_back(record);
        while self.records.len() > max_messages || (self.bytes > max_bytes && self.records.len() > 1) {
            self.pop();
        }
    }

    /// Lets the oldest message go, and gives its bytes.
    fn pop(&mut self) -> usize {
        let freed = self.records.pop_front().map_or(0, |oldest| bytes(&oldest));
        self.bytes = self.bytes.saturating_sub(freed);
        freed
    }
}

fn bytes(record: &Record) -> usize {
    record.text.as_str().len() + RECORD_BYTES
}

#[cfg(test)]
mod tests;
