//! Rooms, people and order; not a byte of any connection.
//!
//! What happens in a room during one turn is encoded once into the room's batch. At the end of the turn
//! [`Router::poll_batch`] gives the batch and the members that get it; they share its bytes. A program that spreads its
//! connections over threads uses this part alone and brings each thread its targets.

mod order;

use core::ops::Bound;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::config::{Label, RoomRecord};
use super::event::ConnId;
use super::house::{House, Left};
use super::log::Record;
use crate::Instant;
use crate::conn::{FrameReader, Step};
use crate::wire::{
    Body, Change, DeviceId, FrameWriter, MESSAGE_MISSED, Message, Messages, Name, Note, Presence, RoomId,
};

/// Where a member stands in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Gets every batch.
    Live,
    /// Has everything up to this number and gets the rest from the log.
    Behind(u64),
}

/// One turn of one room, encoded.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The room.
    pub room: RoomId,
    /// Number of the last message before the batch: where a member stands that does not get it.
    pub before: u64,
    /// How many messages it holds.
    pub messages: u64,
    /// Whole frames.
    pub frames: Bytes,
}

/// Rooms and who is in them, what order they have, and what comes next for whom.
///
/// It knows people by their names and connections by their numbers, and takes everybody's word for both. What it does not
/// know, and a [`Hub`](super::Hub) adds: logins, who administers the server, the [`Gate`](super::Gate), budgets, introductions,
/// and how much may be queued for a connection. Who may give an order is for the program to decide from the
/// [`House`] of the room; the router carries out what was decided and stored.
///
/// Kicking somebody and removing a room, with nothing but a router:
///
/// ```
/// use chatproto::Instant;
/// use chatproto::hub::{ConnId, House, Label, Role, Router, Ruling};
/// use chatproto::wire::{Action, DeviceId, Moderated, Name, Note, RequestId};
///
/// let [alice, bob] = ["alice", "bob"].map(|name| Name::new(name).unwrap());
/// let (laptop, phone) = (DeviceId([1; 16]), DeviceId([2; 16]));
/// let mut router = Router::new([], 64 * 1024, 64 * 1024);
/// let tea = router.create(Label::Group(Name::new("tea").unwrap()), House::of(&alice, true));
/// // The program lets them in, and finds them live with the turn's end.
/// for (conn, user, device) in [(ConnId(1), &alice, laptop), (ConnId(2), &bob, phone)] {
///     router.join(tea, conn, user, device, 0);
/// }
/// let mut targets = Vec::new();
/// while let Some(batch) = router.poll_batch(&mut targets) {
///     // Nobody is live yet; otherwise each of the targets gets `batch.frames`.
///     assert_eq!((batch.room, targets.len()), (tea, 0));
/// }
/// for conn in [ConnId(1), ConnId(2)] {
///     router.catch_up(tea, conn, 0);
/// }
///
/// // Alice owns the room, so she may. Once the program has stored it, it holds, and the room hears of it.
/// assert_eq!(router.house(tea).and_then(|house| house.role(&alice)), Some(Role::Owner));
/// let reason = Note::new("enough").unwrap();
/// let (action, user) = (Action::Kick, Some(&bob));
/// let kick = Ruling { action, user, seconds: 0, reason: &reason, admits: &[], networks: &[] };
/// router.apply(tea, &kick, Instant::default());
/// router.tell(tea, &Moderated {
///     request: RequestId(0),
///     room: tea,
///     action,
///     by: Some(alice.borrow()),
///     device: laptop,
///     user: Some(bob.borrow()),
///     seconds: 0,
///     note: reason.borrow(),
/// });
/// // Bob hears why, and is out.
/// router.poll_batch(&mut targets).unwrap();
/// assert_eq!(targets, [ConnId(1), ConnId(2)]);
/// router.leave(tea, ConnId(2), &bob, phone);
///
/// // A room is removed when the last has left it.
/// assert!(!router.remove(tea));
/// let left = router.members(tea).map(|(conn, _)| conn).collect::<Vec<_>>();
/// for conn in left {
///     router.leave(tea, conn, &alice, laptop);
/// }
/// assert!(router.remove(tea) && router.info(tea).is_none());
/// ```
#[derive(Debug)]
pub struct Router {
    rooms: BTreeMap<RoomId, Room>,
    labels: BTreeMap<Label, RoomId>,
    /// Each person's conversations.
    directs: BTreeMap<Name, BTreeSet<RoomId>>,
    groups: usize,
    next_room: u32,
    dirty: VecDeque<RoomId>,
    recent_bytes: usize,
    batch_bytes: usize,
    is_full: bool,
}

#[derive(Debug)]
struct Room {
    label: Label,
    topic: Note,
    house: House,
    /// In slow mode: when each person spoke last, with which message.
    spoken: BTreeMap<Name, (Instant, (DeviceId, u64))>,
    /// Number of the last committed message.
    last: u64,
    /// Number of the last message that was given out in a batch.
    flushed: u64,
    members: BTreeMap<ConnId, Standing>,
    /// Devices of each person in the room.
    people: BTreeMap<Name, u16>,
    batch: FrameWriter,
    is_dirty: bool,
    recent: VecDeque<Recent>,
    recent_len: usize,
}

/// A batch that is kept for those who are nearly live.
#[derive(Debug)]
struct Recent {
    before: u64,
    frames: Bytes,
}

impl Router {
    /// The rooms of the log. `recent_bytes` of messages are kept in memory for each room that somebody is in; a room whose
    /// batch has `batch_bytes` makes the router [full](Self::is_full).
    #[must_use]
    pub fn new(rooms: impl IntoIterator<Item = RoomRecord>, recent_bytes: usize, batch_bytes: usize) -> Self {
        let mut router = Self {
            rooms: BTreeMap::new(),
            labels: BTreeMap::new(),
            directs: BTreeMap::new(),
            groups: 0,
            next_room: 1,
            dirty: VecDeque::new(),
            recent_bytes,
            batch_bytes,
            is_full: false,
        };
        for record in rooms {
            router.next_room = router.next_room.max(record.room.0.saturating_add(1));
            router.insert(record);
        }
        router
    }

    fn insert(&mut self, record: RoomRecord) {
        for person in record.label.pair() {
            self.directs.entry(person).or_default().insert(record.room);
        }
        self.groups += usize::from(matches!(record.label, Label::Group(_)));
        // What is left of a conversation has no name that leads to it.
        if !matches!(record.label, Label::Former(..)) {
            self.labels.insert(record.label.clone(), record.room);
        }
        self.rooms.insert(record.room, Room::new(record));
    }

    /// The room with this label.
    #[must_use]
    pub fn find(&self, label: &Label) -> Option<RoomId> {
        self.labels.get(label).copied()
    }

    /// Makes a room. The program stores it before any message of it.
    pub fn create(&mut self, label: Label, house: House) -> RoomId {
        let room = RoomId(self.next_room);
        self.next_room = self.next_room.saturating_add(1);
        let topic = crate::wire::NoteRef::EMPTY.to_owned();
        self.insert(RoomRecord { room, label, last: 0, topic, house });
        room
    }

    /// How many group rooms there are.
    #[must_use]
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Label, topic and number of the last committed message.
    #[must_use]
    pub fn info(&self, room: RoomId) -> Option<(&Label, &Note, u64)> {
        self.rooms.get(&room).map(|room| (&room.label, &room.topic, room.last))
    }

    /// Who may do what in a room.
    #[must_use]
    pub fn house(&self, room: RoomId) -> Option<&House> {
        self.rooms.get(&room).map(|room| &room.house)
    }

    /// Gives a room another topic. Nobody is told.
    pub fn set_topic(&mut self, room: RoomId, topic: Note) {
        if let Some(room) = self.rooms.get_mut(&room) {
            room.topic = topic;
        }
    }

    /// Puts news into the batch of a room: everybody who is live gets them, in order with its messages.
    pub fn tell<'a>(&mut self, room: RoomId, news: &impl Body<'a>) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        entry.batch.frame(news);
        self.mark(room);
    }

    /// Whether `user` may speak in slow mode, and notes that they did. What they said last may be said again: it is
    /// the same message, and the time goes on from when it was new.
    ///
    /// # Errors
    /// For how long they may not. Whoever keeps order does not wait, and need not be asked about.
    pub fn slow_down(
        &mut self,
        room: RoomId,
        user: &Name,
        message: (DeviceId, u64),
        now: Instant,
    ) -> Result<(), Left> {
        let Some(room) = self.rooms.get_mut(&room) else { return Ok(()) };
        let slow = room.house.slow;
        if let Some((spoken, last)) = room.spoken.get(user) {
            if *last == message {
                return Ok(());
            }
            if now < *spoken + slow {
                return Err(Left::For((*spoken + slow).since(now)));
            }
        }
        if room.spoken.len() >= MAX_SPOKEN {
            room.spoken.retain(|_, (spoken, _)| now < *spoken + slow);
        }
        room.spoken.insert(user.clone(), (now, message));
        Ok(())
    }

    /// The group rooms in the order of their names, with the number of people in each.
    pub fn list(&self) -> impl Iterator<Item = (RoomId, &Name, &Note, u64, usize)> {
        self.list_behind(None)
    }

    /// Those whose names come behind `after`. Costs what is taken of it.
    pub fn list_behind(
        &self,
        after: Option<&Name>,
    ) -> impl Iterator<Item = (RoomId, &Name, &Note, u64, usize)> {
        let from = after.map_or(Bound::Unbounded, |after| Bound::Excluded(Label::Group(after.clone())));
        // Groups come before everything else.
        self.labels.range((from, Bound::Unbounded)).map_while(|(label, id)| {
            let Label::Group(name) = label else { return None };
            let room = self.rooms.get(id)?;
            Some((*id, name, &room.topic, room.last, room.people.len()))
        })
    }

    /// How many conversations `user` has, also those without a message and those that are over.
    #[must_use]
    pub fn conversations(&self, user: &Name) -> usize {
        self.directs.get(user).map_or(0, BTreeSet::len)
    }

    /// The conversations of `user` that hold a message.
    pub fn directs(&self, user: &Name) -> impl Iterator<Item = (RoomId, &Label, u64)> {
        let rooms = self.directs.get(user).into_iter().flatten();
        rooms
            .filter_map(|id| self.rooms.get(id).map(|room| (*id, &room.label, room.last)))
            .filter(|(.., last)| *last > 0)
    }

    /// The people in a room, by name, with the number of their devices.
    pub fn people(&self, room: RoomId) -> impl ExactSizeIterator<Item = (&Name, u16)> {
        self.people_of(room).iter().map(|(name, count)| (name, *count))
    }

    /// Those whose names come behind `after`. Costs what is taken of it.
    pub fn people_behind(&self, room: RoomId, after: Option<&Name>) -> impl Iterator<Item = (&Name, u16)> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.people_of(room).range((from, Bound::Unbounded)).map(|(name, count)| (name, *count))
    }

    fn people_of(&self, room: RoomId) -> &BTreeMap<Name, u16> {
        static NOBODY: BTreeMap<Name, u16> = BTreeMap::new();
        self.rooms.get(&room).map_or(&NOBODY, |room| &room.people)
    }

    /// With how many devices `user` is in a room.
    #[must_use]
    pub fn devices(&self, room: RoomId, user: &Name) -> u16 {
        self.rooms.get(&room).and_then(|room| room.people.get(user)).copied().unwrap_or(0)
    }

    /// No room that is made from now on has a number up to `room`: those were given, and their rooms are gone.
    pub fn skip_to(&mut self, room: RoomId) {
        self.next_room = self.next_room.max(room.0.saturating_add(1));
    }

    /// Where `conn` stands in `room`, if it is a member.
    #[must_use]
    pub fn standing(&self, room: RoomId, conn: ConnId) -> Option<Standing> {
        self.rooms.get(&room)?.members.get(&conn).copied()
    }

    /// Makes `conn` a member that has everything up to `cursor`. Others are told if it is the person's first device.
    ///
    /// The member is behind at first; [`catch_up`](Self::catch_up) makes it live. Returns `false` if it was a member.
    pub fn join(&mut self, room: RoomId, conn: ConnId, user: &Name, device: DeviceId, cursor: u64) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else { return false };
        let fresh = entry.members.insert(conn, Standing::Behind(cursor)).is_none();
        if fresh {
            let devices = entry.people.entry(user.clone()).or_default();
            *devices = devices.saturating_add(1);
            if *devices == 1 {
                self.tell_presence(room, user, device, Change::Entered);
            }
        }
        fresh
    }

    /// Ends a membership. Others are told if it was the person's last device there. Returns `false` if it was none.
    pub fn leave(&mut self, room: RoomId, conn: ConnId, user: &Name, device: DeviceId) -> bool {
        let Some(entry) = self.rooms.get_mut(&room) else { return false };
        if entry.members.remove(&conn).is_none() {
            return false;
        }
        let left = entry.people.get_mut(user).map_or(0, |devices| {
            *devices = devices.saturating_sub(1);
            *devices
        });
        if entry.members.is_empty() {
            // Nobody is here to meet the room from memory; whoever comes reads the log.
            entry.recent = VecDeque::new();
            entry.recent_len = 0;
        }
        if left == 0 {
            entry.people.remove(user);
            self.tell_presence(room, user, device, Change::Departed);
        }
        true
    }

    /// A message was committed: it goes to everybody who is live, in the order of the calls.
    ///
    /// Returns `false`, and does nothing, if `record` is not the next number of its room.
    pub fn commit(&mut self, record: &Record) -> bool {
        let Some(room) = self.rooms.get_mut(&record.room) else { return false };
        if record.seq != room.last.saturating_add(1) {
            return false;
        }
        room.last = record.seq;
        room.batch.message(&message(record, 0));
        self.mark(record.room);
        true
    }

    /// Whether a room has collected so much that its batch should be given out before the turn ends.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// The next room's turn, and who gets it in `targets` (cleared first). Call it until `None` at the end of a turn.
    pub fn poll_batch(&mut self, targets: &mut Vec<ConnId>) -> Option<Batch> {
        targets.clear();
        let Some(id) = self.dirty.pop_front() else {
            self.is_full = false;
            return None;
        };
        let room = self.rooms.get_mut(&id)?;
        room.is_dirty = false;
        let frames = room.batch.take();
        let before = core::mem::replace(&mut room.flushed, room.last);
        let live =
            |(conn, standing): (&ConnId, &Standing)| matches!(standing, Standing::Live).then_some(*conn);
        targets.extend(room.members.iter().filter_map(live));
        if room.last > before && !room.members.is_empty() {
            room.remember(Recent { before, frames: frames.clone() }, self.recent_bytes);
        }
        Some(Batch { room: id, before, messages: room.flushed - before, frames })
    }

    /// `conn` did not get a batch: from now on it has only what came up to `cursor`.
    pub fn fall_behind(&mut self, room: RoomId, conn: ConnId, cursor: u64) {
        if let Some(standing) = self.rooms.get_mut(&room).and_then(|room| room.members.get_mut(&conn)) {
            *standing = Standing::Behind(cursor);
        }
    }

    /// Moves a member forward to `cursor`, having sent it everything up to there, and looks what is missing still.
    ///
    /// Call it with an empty [`poll_batch`](Self::poll_batch): a member that turns live gets the next batch whole.
    pub fn catch_up(&mut self, room: RoomId, conn: ConnId, cursor: u64) -> CatchUp {
        let Some(entry) = self.rooms.get_mut(&room) else { return CatchUp::Gone };
        if !entry.members.contains_key(&conn) {
            return CatchUp::Gone;
        }
        // What is committed and not flushed comes with the batch of this turn.
        let found = if cursor >= entry.flushed {
            CatchUp::Live { seq: entry.flushed }
        } else {
            entry.recent_after(cursor).map_or(CatchUp::Read { after: cursor }, |frames| CatchUp::Recent {
                frames,
                seq: entry.flushed,
            })
        };
        let Some(standing) = entry.members.get_mut(&conn) else { return CatchUp::Gone };
        *standing = match found {
            CatchUp::Live { .. } | CatchUp::Recent { .. } => Standing::Live,
            CatchUp::Read { .. } | CatchUp::Gone => Standing::Behind(cursor),
        };
        found
    }

    fn tell_presence(&mut self, room: RoomId, user: &Name, device: DeviceId, change: Change) {
        let Some(entry) = self.rooms.get_mut(&room) else { return };
        entry.batch.frame(&Presence { room, change, device, user: user.borrow() });
        self.mark(room);
    }

    fn mark(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        self.is_full |= room.batch.len() >= self.batch_bytes;
        if !room.is_dirty {
            room.is_dirty = true;
            self.dirty.push_back(id);
        }
    }
}

/// So many people are remembered in slow mode before those are forgotten who may speak again.
const MAX_SPOKEN: usize = 1024;

/// What a member that is behind gets next.
#[derive(Debug, Clone)]
pub enum CatchUp {
    /// It is not a member any more.
    Gone,
    /// It has everything; live from here.
    Live {
        /// Number of the last message it has.
        seq: u64,
    },
    /// These frames are all that it misses; live from here.
    Recent {
        /// Whole frames, marked as missed.
        frames: Bytes,
        /// Number of the last message among them.
        seq: u64,
    },
    /// What it misses is in the log only.
    Read {
        /// From the message after this number.
        after: u64,
    },
}

impl Room {
    fn new(record: RoomRecord) -> Self {
        Self {
            label: record.label,
            topic: record.topic,
            house: record.house,
            spoken: BTreeMap::new(),
            last: record.last,
            flushed: record.last,
            members: BTreeMap::new(),
            people: BTreeMap::new(),
            batch: FrameWriter::default(),
            is_dirty: false,
            recent: VecDeque::new(),
            recent_len: 0,
        }
    }

    fn remember(&mut self, recent: Recent, limit: usize) {
        self.recent_len += recent.frames.len();
        self.recent.push_back(recent);
        // The newest stays whatever its size: it is what a member meets the room with.
        while self.recent_len > limit && self.recent.len() > 1 {
            let oldest = self.recent.pop_front().map_or(0, |oldest| oldest.frames.len());
            self.recent_len -= oldest;
        }
    }

    /// Every message above `cursor` as a missed one, if memory still has them all.
    fn recent_after(&self, cursor: u64) -> Option<Bytes> {
        if self.recent.front()?.before > cursor || cursor >= self.flushed {
            return None;
        }
        let first = self.recent.iter().rposition(|recent| recent.before <= cursor)?;
        let len = self.recent.iter().skip(first).map(|recent| recent.frames.len()).sum();
        let mut missed = FrameWriter::with_capacity(len);
        for recent in self.recent.iter().skip(first) {
            mark_missed(&recent.frames, cursor, &mut missed);
        }
        Some(missed.take())
    }
}

/// Copies the messages above `cursor` out of a batch, marked as missed. Who came and went then is no news any more.
fn mark_missed(frames: &[u8], cursor: u64, out: &mut FrameWriter) {
    let mut reader = FrameReader::new(u32::MAX);
    let mut rest = frames;
    while let Ok(Step { used, frame: Some(frame) }) = reader.step(rest) {
        rest = rest.get(used..).unwrap_or_default();
        if frame.number == Messages::TYPE.number()
            && let Ok(messages) = Messages::decode_body(frame.body)
        {
            for message in messages.iter().filter(|message| message.seq > cursor) {
                out.message(&Message { flags: MESSAGE_MISSED, ..message });
            }
        }
    }
}

/// A record as it is sent.
pub(super) fn message(record: &Record, flags: u8) -> Message<'_> {
    Message {
        room: record.room,
        seq: record.seq,
        time: record.time,
        flags,
        device: record.device,
        counter: record.counter,
        from: record.from.borrow(),
        text: record.text.borrow(),
    }
}

/// Encodes records as the messages of a catch-up.
pub(super) fn encode_missed(records: &[Record], out: &mut FrameWriter) {
    for record in records {
        out.message(&message(record, MESSAGE_MISSED));
    }
}
