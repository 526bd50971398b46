//! The rooms that the session is in or wants to be in, and the last number seen in each.

mod delivery;
mod room;

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use self::room::Room;

/// What is kept of one room, beside texts.
pub(super) const ROOM_BYTES: usize = size_of::<Room>();
use super::outbox::Outbox;
use super::{Event, JoinError, LeaveError, Refusal, RoomKey, Violation};
use crate::Instant;
use crate::wire::{DeviceId, DirectRoom, ErrorCode, FrameType, Join, Joined, Leave, Left, RequestId, RoomId};

/// How much of a conversation that this device has never seen is fetched when it is entered, in messages.
const DIRECT_BACKLOG: u64 = 100;

/// Bounds of the time after which a join that the server put off is asked for again.
const MIN_PUT_OFF: Duration = Duration::from_secs(1);
const MAX_PUT_OFF: Duration = Duration::from_secs(600);

/// The request of a room that the server entered on its own: a conversation that has just begun.
const UNASKED: RequestId = RequestId(0);

/// All rooms.
#[derive(Debug)]
pub(in crate::session) struct Rooms {
    known: BTreeMap<RoomKey, Room>,
    /// The rooms entered on the present connection.
    by_id: BTreeMap<RoomId, RoomKey>,
    /// Joins on their way.
    joins: BTreeMap<RequestId, RoomKey>,
    device: DeviceId,
    max: usize,
    return_trip: Option<Return>,
    /// Messages of others missed since the last time that everything had caught up.
    missed: u64,
    /// The server put joins of ours off until then.
    put_off: Option<Instant>,
}

/// Coming back after a lost connection.
#[derive(Debug, Clone, Copy, Default)]
struct Return {
    /// Rooms that have not caught up yet.
    behind: usize,
}

impl Rooms {
    pub(in crate::session) fn new(device: DeviceId, max: usize) -> Self {
        Self {
            known: BTreeMap::new(),
            by_id: BTreeMap::new(),
            joins: BTreeMap::new(),
            device,
            max,
            return_trip: None,
            missed: 0,
            put_off: None,
        }
    }

    pub(in crate::session) fn restore(&mut self, key: RoomKey, cursor: u64) {
        self.known.entry(key).or_default().cursor = Some(cursor);
    }

    /// A room to be in from the next login on.
    pub(in crate::session) fn want(&mut self, key: RoomKey) {
        self.known.entry(key).or_default().wanted = true;
    }

    pub(in crate::session) fn key(&self, id: RoomId) -> Option<&RoomKey> {
        self.by_id.get(&id)
    }

    pub(in crate::session) fn joined(&self) -> impl Iterator<Item = &RoomKey> {
        self.by_id.values()
    }

    pub(in crate::session) fn cursors(&self) -> impl Iterator<Item = (&RoomKey, u64)> {
        self.known.iter().filter_map(|(key, room)| Some((key, room.cursor?)))
    }

    /// The server has another log: what was seen in the old one means nothing.
    pub(in crate::session) fn forget_cursors(&mut self) {
        self.known.values_mut().for_each(|room| room.cursor = None);
        // Which conversations exist there, the server will tell.
        self.known.retain(|key, room| room.asked || (room.wanted && matches!(key, RoomKey::Room(_))));
    }

    /// Enters a room, now or with the next login.
    pub(in crate::session) fn join(
        &mut self,
        key: RoomKey,
        ready: bool,
        out: &mut Outbox,
    ) -> Result<RequestId, JoinError> {
        if self.known.len() >= self.max && !self.known.contains_key(&key) {
            return Err(JoinError::TooMany { max: self.max });
        }
        let room = self.known.entry(key.clone()).or_default();
        room.wanted = true;
        room.asked = true;
        // A join on its way is answered for this one too, unless a leave has gone out behind it.
        let comes_back = core::mem::take(&mut room.leaving);
        if let Some(request) = room.join.filter(|_| !(comes_back && room.parting)) {
            return Ok(request);
        }
        let request = out.next_request();
        room.join = Some(request);
        if ready {
            self.send_join(&key, request, out);
        }
        Ok(request)
    }

    /// Whether another room can be known beside those that are.
    pub(in crate::session) fn has_space_for(&self, key: &RoomKey) -> bool {
        self.known.len() < self.max || self.known.contains_key(key)
    }

    pub(in crate::session) fn leave(
        &mut self,
        key: &RoomKey,
        ready: bool,
        out: &mut Outbox,
    ) -> Result<(), LeaveError> {
        let room = self.known.get_mut(key).filter(|room| room.wanted && !room.leaving);
        let room = room.ok_or_else(|| LeaveError::NotIn(key.clone()))?;
        if !ready {
            self.known.remove(key);
            out.emit(Event::Left { room: key.clone(), code: None });
            return Ok(());
        }
        room.leaving = true;
        // While it is being entered, or entered again, the leave follows the answer.
        if let Some(id) = room.id.filter(|_| !room.parting) {
            room.parting = true;
            out.send(&Leave { room: id });
        }
        self.caught_up(key);
        Ok(())
    }

    /// Logged in: enters every room that is wanted.
    pub(in crate::session) fn ready(&mut self, resumed: bool, out: &mut Outbox) {
        self.return_trip = resumed.then(Return::default);
        // The server is about to name every conversation that there is: until then a name may be somebody else's.
        let is_sure = |key: &RoomKey, room: &Room| matches!(key, RoomKey::Room(_)) || room.asked;
        let wanted = self.known.iter().filter(|(key, room)| room.wanted && is_sure(key, room));
        let wanted: Vec<_> = wanted.map(|(key, _)| key.clone()).collect();
        for key in wanted {
            self.enter(&key, out);
        }
    }

    /// Asks for a room on the session's own account, or for the program if it asked before.
    fn enter(&mut self, key: &RoomKey, out: &mut Outbox) {
        let Some(room) = self.known.get_mut(key) else { return };
        let request = *room.join.get_or_insert_with(|| out.next_request());
        if let Some(trip) = &mut self.return_trip
            && room.id.is_none()
        {
            trip.behind += 1;
            room.returning = true;
        }
        self.send_join(key, request, out);
    }

    fn send_join(&mut self, key: &RoomKey, request: RequestId, out: &mut Outbox) {
        // Behind a leave, a room is entered at its end, like one never seen.
        let cursor = self.known.get(key).filter(|room| !room.parting).and_then(|room| room.cursor);
        out.send(&Join { request, target: key.target(), cursor });
        self.joins.insert(request, key.clone());
    }

    /// A conversation exists: enters it unless that is under way. One that has turned out to be over is told by its keys before and
    /// after.
    pub(in crate::session) fn direct_room(
        &mut self,
        frame: &DirectRoom<'_>,
        out: &mut Outbox,
    ) -> Option<(RoomKey, RoomKey)> {
        let with = frame.with.to_owned();
        if !frame.over {
            self.enter_conversation(RoomKey::User(with), frame.last, out);
            return None;
        }
        let (was, key) = (RoomKey::User(with.clone()), RoomKey::Former(with, frame.room));
        let is_news = self.retire(&was, &key, frame.room, out);
        self.enter_conversation(key.clone(), frame.last, out);
        is_news.then_some((was, key))
    }

    fn enter_conversation(&mut self, key: RoomKey, last: u64, out: &mut Outbox) {
        let full = self.known.len() >= self.max;
        let Some(room) = self.known.get_mut(&key) else {
            if full {
                let refusal = Refusal::because(ErrorCode::TooManyRooms);
                out.emit(Event::JoinRefused { room: key, request: None, refusal });
                return;
            }
            let cursor = Some(last.saturating_sub(DIRECT_BACKLOG));
            self.known.insert(key.clone(), Room { cursor, wanted: true, ..Room::default() });
            return self.enter(&key, out);
        };
        if room.id.is_some() || room.join.is_some() {
            return;
        }
        room.wanted = true;
        room.cursor.get_or_insert(last.saturating_sub(DIRECT_BACKLOG));
        self.enter(&key, out);
    }

    /// A conversation is over: what is known of it goes with it, and not to whoever has the name next. Whether that is news.
    fn retire(&mut self, was: &RoomKey, key: &RoomKey, id: RoomId, out: &mut Outbox) -> bool {
        // A conversation under that name with another number has begun since.
        let is_another = self.known.get(was).is_none_or(|room| room.id.is_some_and(|other| other != id));
        if self.known.contains_key(key) || is_another {
            return false;
        }
        let Some(room) = self.known.remove(was) else { return false };
        if room.id.is_some() {
            self.by_id.insert(id, key.clone());
        }
        if let Some(request) = room.join {
            self.joins.insert(request, key.clone());
        }
        self.known.insert(key.clone(), room);
        out.emit(Event::Retired { was: was.clone(), room: key.clone() });
        true
    }

    /// The server let this device into a room; `is_made` if the program asked for it to be made.
    pub(in crate::session) fn entered(
        &mut self,
        frame: &Joined<'_>,
        is_made: bool,
        out: &mut Outbox,
    ) -> Result<(), Violation> {
        const FRAME: FrameType = FrameType::Joined;
        let key = RoomKey::of(frame.kind, frame.name, frame.room);
        if self.by_id.get(&frame.room).is_some_and(|other| *other != key) {
            return Err(Violation::Content { frame: FRAME, what: "the number belongs to another room" });
        }
        if frame.request == UNASKED || is_made {
            if self.known.len() >= self.max && !self.known.contains_key(&key) {
                return Err(Violation::Content { frame: FRAME, what: "more rooms than this client keeps" });
            }
        } else {
            let asked = self.joins.remove(&frame.request);
            let asked = asked.ok_or(Violation::NoSuchRequest { frame: FRAME, request: frame.request })?;
            self.rename(&asked, &key);
        }
        let room = self.known.entry(key.clone()).or_default();
        room.wanted = true;
        let answered = room.join.take_if(|join| *join == frame.request);
        let request = answered.filter(|_| core::mem::take(&mut room.asked));
        let request = request.or(is_made.then_some(frame.request));
        let old = room.id.replace(frame.room);
        if let Some(old) = old.filter(|old| *old != frame.room) {
            self.by_id.remove(&old);
        }
        self.by_id.insert(frame.room, key.clone());
        if room.leaving {
            if !core::mem::replace(&mut room.parting, true) {
                out.send(&Leave { room: frame.room });
            }
            return Ok(());
        }
        if !room.entered || request.is_some() {
            let (topic, last) = (frame.topic.to_owned(), frame.last);
            out.emit(Event::Joined { room: key.clone(), id: frame.room, topic, last, request });
        }
        if let Some((from, to)) = room.entered_at(frame.last, frame.cursor) {
            out.emit(Event::Gap { room: key.clone(), from, to });
        }
        if room.cursor == Some(frame.last) {
            self.caught_up(&key);
        }
        Ok(())
    }

    /// The server knows the room by a name that is written differently: what is known goes with it.
    fn rename(&mut self, old: &RoomKey, new: &RoomKey) {
        if old == new {
            return;
        }
        let Some(moved) = self.known.remove(old) else { return };
        let behind = match self.known.get_mut(new) {
            Some(room) => room.merge(moved),
            None => {
                self.known.insert(new.clone(), moved);
                false
            }
        };
        if let Some(trip) = self.return_trip.as_mut().filter(|_| behind) {
            trip.behind = trip.behind.saturating_sub(1);
        }
    }

    /// A join was refused; `false` when no such join is on its way.
    pub(in crate::session) fn refused(
        &mut self,
        request: RequestId,
        refusal: Refusal,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(key) = self.joins.remove(&request) else { return false };
        self.caught_up(&key);
        let Some(room) = self.known.get_mut(&key) else { return true };
        room.join.take_if(|join| *join == request);
        let asked = core::mem::take(&mut room.asked).then_some(request);
        let left = core::mem::take(&mut room.leaving);
        // Nobody waits for the answer: what came too fast is asked for again at the time that the server names.
        if asked.is_none() && !left && matches!(refusal.code(), Some(ErrorCode::TooFast | ErrorCode::Busy)) {
            let after = refusal.retry_after().unwrap_or_default().max(MIN_PUT_OFF).min(MAX_PUT_OFF);
            self.put_off = self.put_off.max(Some(now + after));
            return true;
        }
        if room.id.is_none() {
            room.wanted = false;
            if room.cursor.is_none() || left {
                self.known.remove(&key);
            }
        }
        out.emit(if left {
            Event::Left { room: key, code: None }
        } else {
            Event::JoinRefused { room: key, request: asked, refusal }
        });
        true
    }

    pub(in crate::session) fn left(&mut self, frame: &Left, out: &mut Outbox) -> Result<(), Violation> {
        let id = frame.room;
        let key = self.by_id.remove(&id).ok_or(Violation::NotIn { frame: FrameType::Left, room: id })?;
        self.caught_up(&key);
        // A join that followed the leave is still to be answered.
        match self.known.get_mut(&key) {
            Some(room) if room.join.is_some() => room.forget_place(),
            Some(_) | None => drop(self.known.remove(&key)),
        }
        out.emit(Event::Left { room: key, code: frame.code });
        Ok(())
    }

    /// When joins that were put off are asked for again.
    pub(in crate::session) fn put_off(&self) -> Option<Instant> {
        self.put_off
    }

    /// Asks again for rooms whose joins were put off, when it is time.
    pub(in crate::session) fn resume(&mut self, now: Instant, out: &mut Outbox) {
        if self.put_off.take_if(|at| *at <= now).is_none() {
            return;
        }
        let is_left = |room: &Room| room.wanted && room.id.is_none() && room.join.is_none();
        let left = self.known.iter().filter(|(_, room)| is_left(room)).map(|(key, _)| key.clone());
        for key in left.collect::<Vec<_>>() {
            self.enter(&key, out);
        }
    }

    /// The room of a frame that only comes for rooms that were entered.
    pub(in crate::session) fn entered_key(
        &self,
        id: RoomId,
        frame: FrameType,
    ) -> Result<&RoomKey, Violation> {
        self.by_id.get(&id).ok_or(Violation::NotIn { frame, room: id })
    }

    /// The room need not be waited for any more before everything is back.
    fn caught_up(&mut self, key: &RoomKey) {
        let returning = self.known.get_mut(key).is_some_and(|room| core::mem::take(&mut room.returning));
        if let Some(trip) = self.return_trip.as_mut().filter(|_| returning) {
            trip.behind = trip.behind.saturating_sub(1);
        }
    }

    /// Says once per reconnect that every room has caught up.
    pub(in crate::session) fn tell_back(&mut self, out: &mut Outbox) {
        if self.return_trip.take_if(|trip| trip.behind == 0).is_some() {
            out.emit(Event::Back { missed: core::mem::take(&mut self.missed) });
        }
    }

    /// The connection is gone: what was entered is wanted again, what was being left is left.
    pub(in crate::session) fn lost(&mut self, out: &mut Outbox) {
        self.by_id.clear();
        self.joins.clear();
        self.put_off = None;
        self.return_trip = None;
        for (key, _) in self.known.extract_if(.., |_, room| room.leaving) {
            out.emit(Event::Left { room: key, code: None });
        }
        self.known.values_mut().for_each(Room::disconnected);
    }
}
