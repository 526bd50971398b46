//! The log in memory: commits in batches, forgets what was not committed when it crashes.

use core::time::Duration;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use super::journal::{Asked, Change, Committed, Journal};
use crate::Instant;
use crate::hub::{
    AppendId, AuditLine, Event, Gate, Holder, House, Hub, Label, LogRequest, OrderId, Ordered, QueryId,
    Record, RoomRecord, Ruling, Stored,
};
use crate::wire::{Action, Anchor, DeviceId, Name, Network, Note, NoteRef, RoomId, Subject};

/// What virtual time 0 is in the times of messages: 2026-01-01 UTC, in milliseconds since 1970-01-01 UTC.
pub const LOG_EPOCH_MS: u64 = 1_767_225_600_000;

/// What stores messages behind a hub in a test: the seam that a database fills in a program.
///
/// Everything that waits when a batch begins is committed together after the delay, in the order it came, and answered
/// then. A (person, device, counter) is stored once for good. Questions are answered from what is committed and kept.
///
/// It remembers also what it [let go of](Self::forget), so that a model can be held against it.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    delay: Duration,
    rooms: BTreeMap<RoomId, Room>,
    known: BTreeMap<Key, (RoomId, u64, u64)>,
    users: Option<BTreeSet<Name>>,
    admins: BTreeSet<Name>,
    gate: Gate,
    audit: Vec<(Option<RoomId>, AuditLine)>,
    journal: Journal,
    /// The greatest number that a room has had.
    last_room: RoomId,
    /// What is to be stored, in its order.
    waiting: VecDeque<(LogRequest, Asked)>,
    batch: VecDeque<(LogRequest, Asked)>,
    batch_done: Option<Instant>,
    answers: VecDeque<Answer>,
    trouble: Option<Trouble>,
    is_volatile: bool,
    appended: u64,
}

#[derive(Debug, Clone)]
struct Room {
    label: Label,
    house: House,
    topic: Note,
    last: u64,
    /// Up to here the records are only remembered, not kept.
    forgotten: u64,
    records: Vec<Record>,
}

/// What names a message for good: who said it, on which device, the device's number for it.
type Key = (Name, DeviceId, u64);

/// Why a log stores nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// The disk is full.
    Full,
    /// Another process holds the file.
    Locked,
}

#[derive(Debug, Clone)]
enum Answer {
    Stored(AppendId, Stored),
    Ordered(OrderId, Ordered),
    Audited(QueryId, Vec<AuditLine>),
    Records(QueryId, Vec<Record>),
    User(QueryId, Holder),
}

impl MemoryLog {
    /// An empty log whose commits take `delay`.
    #[must_use]
    pub fn new(delay: Duration) -> Self {
        Self {
            delay,
            rooms: BTreeMap::new(),
            known: BTreeMap::new(),
            users: None,
            admins: BTreeSet::new(),
            gate: Gate::default(),
            audit: Vec::new(),
            journal: Journal::default(),
            last_room: RoomId(0),
            waiting: VecDeque::new(),
            batch: VecDeque::new(),
            batch_done: None,
            answers: VecDeque::new(),
            trouble: None,
            is_volatile: false,
            appended: 0,
        }
    }

    /// From now on messages are in memory only, as on a server that keeps no log: a crash loses them all, and numbers go
    /// on behind a block that had been reserved.
    pub fn set_volatile(&mut self) {
        self.is_volatile = true;
    }

    /// Whether messages are in memory only.
    #[must_use]
    pub fn is_volatile(&self) -> bool {
        self.is_volatile
    }

    /// Says who has an account. Without it everybody has.
    pub fn set_users(&mut self, users: impl IntoIterator<Item = Name>) {
        self.users = Some(users.into_iter().collect());
    }

    /// Says who of them administers the server.
    pub fn set_admins(&mut self, admins: impl IntoIterator<Item = Name>) {
        self.admins = admins.into_iter().collect();
    }

    /// Why nothing can be stored now.
    #[must_use]
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// From now on nothing can be stored, or it can again.
    pub fn set_trouble(&mut self, trouble: Option<Trouble>) {
        self.trouble = trouble;
    }

    /// Takes an event that asks for the log; hands back any other.
    pub fn take(&mut self, event: Event, now: Instant) -> Option<Event> {
        let Event::Log(request) = event else { return Some(event) };
        match request {
            LogRequest::Audit { id, room, before, limit } => {
                let lines = self.audit.iter().rev().filter(|(of, line)| {
                    (room.is_none() || *of == room) && (before == 0 || line.number < before)
                });
                let lines = lines.take(limit.into()).map(|(_, line)| line.clone()).collect();
                self.answers.push_back(Answer::Audited(id, lines));
            }
            LogRequest::Read { id, room, after, limit } => {
                let found = self.history(room, Anchor::After, after, limit);
                self.answers.push_back(Answer::Records(id, found));
            }
            LogRequest::History { id, room, anchor, seq, limit } => {
                let found = self.history(room, anchor, seq, limit);
                self.answers.push_back(Answer::Records(id, found));
            }
            LogRequest::Search { id, rooms, words, limit } => {
                let found = self.search(&rooms, words.as_str(), limit);
                self.answers.push_back(Answer::Records(id, found));
            }
            LogRequest::FindUser { id, name } => {
                let holder = match &self.users {
                    Some(users) if !users.contains(&name) => Holder::Nobody,
                    _ if self.admins.contains(&name) => Holder::Admin,
                    Some(_) | None => Holder::Person,
                };
                self.answers.push_back(Answer::User(id, holder));
            }
            change @ (LogRequest::RoomCreated { .. }
            | LogRequest::Moderate { .. }
            | LogRequest::Govern { .. }
            | LogRequest::Retired { .. }
            | LogRequest::Append { .. }
            | LogRequest::Recall { .. }) => {
                let asked = Asked { at: now, changes: self.journal.changes() };
                self.waiting.push_back((change, asked));
            }
        }
        self.begin_batch(now);
        None
    }

    /// When something is committed next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.batch_done
    }

    /// Commits what is due and gives the answers to `hub`. Returns whether there was any.
    ///
    /// # Panics
    /// When the hub refuses an answer: log and hub disagree, and the test has found an error.
    pub fn answer(&mut self, hub: &mut Hub, now: Instant) -> bool {
        self.commit_due(now);
        let mut any = false;
        while let Some(answer) = self.answers.pop_front() {
            any = true;
            let was_asked = match &answer {
                Answer::Stored(id, stored) => hub.stored(*id, *stored),
                Answer::Ordered(id, outcome) => hub.ordered(*id, *outcome),
                Answer::Audited(id, lines) => hub.audited(*id, Some(lines)),
                Answer::Records(id, records) => hub.records(*id, Some(records)),
                Answer::User(id, holder) => hub.user_known(*id, Some(*holder)),
            };
            assert!(was_asked, "the hub refuses {answer:?}");
        }
        any
    }

    /// Commits what is due, and tells nobody yet.
    pub fn commit_due(&mut self, now: Instant) {
        if self.batch_done.is_some_and(|done| done <= now) {
            self.commit(now);
            self.begin_batch(now);
        }
    }

    /// How many messages, of all that were ever asked to be stored, are stored or about to be by [`commit_due`](Self::commit_due).
    #[must_use]
    pub fn appended_by(&self, now: Instant) -> u64 {
        let is_due = self.batch_done.is_some_and(|done| done <= now);
        let appends =
            self.batch.iter().filter(|(change, _)| is_due && matches!(change, LogRequest::Append { .. }));
        self.appended.saturating_add(u64::try_from(appends.count()).unwrap_or(u64::MAX))
    }

    /// The same of changes: of rooms that are made, and of what [`LogRequest::Moderate`] and [`LogRequest::Govern`] ask for.
    #[must_use]
    pub fn changed_by(&self, now: Instant) -> u64 {
        let is_due = self.batch_done.is_some_and(|done| done <= now);
        let is_change = |(change, _): &&(LogRequest, Asked)| {
            let is_change = matches!(
                change,
                LogRequest::RoomCreated { .. } | LogRequest::Moderate { .. } | LogRequest::Govern { .. }
            );
            is_due && is_change
        };
        let changes = self.journal.changes().saturating_add(self.batch.iter().filter(is_change).count());
        u64::try_from(changes).unwrap_or(u64::MAX)
    }

    /// What was committed, in its order.
    #[must_use]
    pub fn journal(&self) -> &[Committed] {
        self.journal.entries()
    }

    /// The process dies: what was not committed is gone, and nobody is answered any more.
    pub fn crash(&mut self) {
        self.waiting.clear();
        self.batch.clear();
        self.batch_done = None;
        self.answers.clear();
        self.journal.add(Committed::Crash);
        if self.is_volatile {
            self.known.clear();
            for room in self.rooms.values_mut() {
                room.last = room.last.saturating_add(RESERVED);
                room.forgotten = room.last;
            }
        }
    }

    /// The rooms, for a hub that starts.
    pub fn rooms(&self) -> impl Iterator<Item = RoomRecord> {
        self.rooms.iter().map(|(id, room)| RoomRecord {
            room: *id,
            label: room.label.clone(),
            last: room.last,
            topic: room.topic.clone(),
            house: room.house.clone(),
        })
    }

    /// What holds for the whole server, for a hub that starts.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// The greatest number that a room has had, for a hub that starts.
    #[must_use]
    pub fn last_room(&self) -> RoomId {
        self.last_room
    }

    /// Everything ever committed in a room, by its label: also what is not kept any more.
    #[must_use]
    pub fn records(&self, label: &Label) -> &[Record] {
        self.room(label).map_or(&[], |room| &room.records)
    }

    /// The message of this number, also one that is not kept any more.
    #[must_use]
    pub fn record(&self, label: &Label, seq: u64) -> Option<&Record> {
        let records = self.records(label);
        let at = records.binary_search_by_key(&seq, |record| record.seq).ok()?;
        records.get(at)
    }

    /// Number of the last message of a room, 0 for none.
    #[must_use]
    pub fn last(&self, label: &Label) -> u64 {
        self.room(label).map_or(0, |room| room.last)
    }

    /// Up to which number nothing of a room is kept.
    #[must_use]
    pub fn forgotten(&self, label: &Label) -> u64 {
        self.room(label).map_or(0, |room| room.forgotten)
    }

    fn room(&self, label: &Label) -> Option<&Room> {
        self.rooms.values().find(|room| room.label == *label)
    }

    /// How many messages are committed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// Whether no message is committed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }

    /// Drops the messages of a room up to a number, as retention would.
    pub fn forget(&mut self, label: &Label, up_to: u64) {
        if let Some(room) = self.rooms.values_mut().find(|room| room.label == *label) {
            room.forgotten = room.forgotten.max(up_to.min(room.last));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a line has as many fields")]
    fn note(
        &mut self,
        room: Option<RoomId>,
        by: Option<&Name>,
        action: Action,
        subject: &str,
        seconds: u32,
        note: &Note,
        time: u64,
    ) {
        let text = |text: &str| NoteRef::truncated(text).to_owned();
        let named = room.and_then(|room| self.rooms.get(&room)).map(|room| match &room.label {
            Label::Group(name) => text(name.as_str()),
            Label::Direct(..) | Label::Former(..) => text(""),
        });
        let line = AuditLine {
            number: u64::try_from(self.audit.len()).unwrap_or(u64::MAX).saturating_add(1),
            time,
            room: named.unwrap_or_else(|| text("")),
            by: text(by.map_or("", |by| by.as_str())),
            action,
            subject: text(subject),
            seconds,
            note: note.clone(),
        };
        self.audit.push((room, line));
    }

    /// The last line of the audit log goes into the journal too.
    fn journal_change(
        &mut self,
        room: Option<RoomId>,
        user: Option<Name>,
        networks: Vec<Network>,
        admits: Vec<Name>,
        at: Instant,
    ) {
        let Some((_, line)) = self.audit.last() else { return };
        let label = room.and_then(|room| self.rooms.get(&room)).map(|room| room.label.clone());
        let change = Change { at, room: label, line: line.clone(), user, networks, admits };
        self.journal.add(Committed::Change(change));
    }

    fn begin_batch(&mut self, now: Instant) {
        if self.batch_done.is_none() && !self.waiting.is_empty() {
            self.batch = core::mem::take(&mut self.waiting);
            self.batch_done = Some(now + self.delay);
        }
    }

    fn commit(&mut self, now: Instant) {
        self.batch_done = None;
        let ordered = match self.trouble {
            None => Ordered::Stored,
            Some(Trouble::Full) => Ordered::Failed,
            Some(Trouble::Locked) => Ordered::Busy,
        };
        let is_stored = ordered == Ordered::Stored;
        let time = LOG_EPOCH_MS.saturating_add(now.as_millis());
        for (change, asked) in core::mem::take(&mut self.batch) {
            match change {
                LogRequest::RoomCreated { id, room, label, house, .. } => {
                    let topic = NoteRef::EMPTY.to_owned();
                    if is_stored {
                        self.journal.add(Committed::Room { label: label.clone(), house: house.clone() });
                        self.rooms.entry(room).or_insert(Room {
                            label,
                            house,
                            topic,
                            last: 0,
                            forgotten: 0,
                            records: Vec::new(),
                        });
                        self.last_room = self.last_room.max(room);
                    }
                    self.answers.push_back(Answer::Ordered(id, ordered));
                }
                LogRequest::Moderate { id, room, by, action, user, seconds, note, admits, networks } => {
                    let is_there = self.rooms.contains_key(&room);
                    let outcome = if is_there { ordered } else { Ordered::Failed };
                    self.answers.push_back(Answer::Ordered(id, outcome));
                    if outcome != Ordered::Stored {
                        continue;
                    }
                    let network =
                        networks.first().filter(|_| user.is_none()).map(|it| alloc::format!("{it}"));
                    let subject =
                        user.as_ref().map(|user| user.as_str()).or(network.as_deref()).unwrap_or("");
                    self.note(Some(room), by.as_ref(), action, subject, seconds, &note, time);
                    self.journal_change(Some(room), user.clone(), networks.clone(), admits.clone(), now);
                    let (user, reason, admits) = (user.as_ref(), &note, &admits[..]);
                    let networks = &networks[..];
                    let ruling = Ruling { action, user, seconds, reason, admits, networks };
                    if action == Action::Remove {
                        self.rooms.remove(&room);
                    } else if let Some(room) = self.rooms.get_mut(&room) {
                        room.house.apply(&ruling, now);
                        if action == Action::Topic {
                            room.topic = note;
                        }
                    }
                }
                LogRequest::Govern { id, by, action, subject, seconds, note } => {
                    if is_stored {
                        let written = subject.as_ref().map(Subject::as_written).unwrap_or_default();
                        self.note(None, by.as_ref(), action, &written, seconds, &note, time);
                        let (user, networks) = match &subject {
                            Some(Subject::User(user)) => (Some(user.clone()), Vec::new()),
                            Some(Subject::Network(network)) => (None, alloc::vec![*network]),
                            None => (None, Vec::new()),
                        };
                        self.journal_change(None, user, networks, Vec::new(), now);
                        self.gate.apply(action, subject.as_ref(), seconds, &note, now);
                    }
                    self.answers.push_back(Answer::Ordered(id, ordered));
                }
                LogRequest::Retired { .. } if !is_stored => {}
                LogRequest::Retired { room, gone, keeper } => match (self.rooms.get_mut(&room), keeper) {
                    (Some(room), Some(keeper)) => room.label = Label::Former(keeper, gone),
                    (Some(_), None) => drop(self.rooms.remove(&room)),
                    (None, _) => {}
                },
                LogRequest::Append { id, room, from, device, counter, text } => {
                    self.appended = self.appended.saturating_add(1);
                    // The number is given when it is stored.
                    let record = Record { room, seq: 0, time, from, device, counter, text };
                    let stored = self.append(record, asked);
                    self.answers.push_back(Answer::Stored(id, stored));
                }
                LogRequest::Recall { id, from, device, counter, .. } => {
                    let absent =
                        if self.trouble == Some(Trouble::Locked) { Stored::Busy } else { Stored::Absent };
                    let stored = self.earlier(&(from, device, counter)).unwrap_or(absent);
                    self.answers.push_back(Answer::Stored(id, stored));
                }
                // Answered when they were asked.
                LogRequest::Audit { .. }
                | LogRequest::Read { .. }
                | LogRequest::History { .. }
                | LogRequest::Search { .. }
                | LogRequest::FindUser { .. } => {}
            }
        }
    }

    /// What became of a message that was stored before.
    fn earlier(&self, key: &Key) -> Option<Stored> {
        let &(room, seq, time) = self.known.get(key)?;
        let is_kept = self.rooms.get(&room).is_some_and(|room| seq > room.forgotten);
        Some(if is_kept { Stored::Duplicate { room, seq, time } } else { Stored::Forgotten })
    }

    fn append(&mut self, record: Record, asked: Asked) -> Stored {
        let key = (record.from.clone(), record.device, record.counter);
        if let Some(stored) = self.earlier(&key) {
            return stored;
        }
        match self.trouble {
            None => {}
            Some(Trouble::Full) => return Stored::Failed,
            Some(Trouble::Locked) => return Stored::Busy,
        }
        let Some(room) = self.rooms.get_mut(&record.room) else { return Stored::Failed };
        let (seq, time) = (room.last.saturating_add(1), record.time);
        room.last = seq;
        self.known.insert(key, (record.room, seq, time));
        self.journal.add(Committed::Message { label: room.label.clone(), seq, asked });
        room.records.push(Record { seq, ..record });
        Stored::Committed { seq, time }
    }

    fn history(&self, room: RoomId, anchor: Anchor, seq: u64, limit: u16) -> Vec<Record> {
        let records = self.rooms.get(&room).map_or(&[][..], Room::kept);
        let limit = usize::from(limit);
        let at = match anchor {
            Anchor::After => records.partition_point(|record| record.seq <= seq),
            Anchor::Before | Anchor::Around => records.partition_point(|record| record.seq < seq),
        };
        let from = match anchor {
            Anchor::After => at,
            Anchor::Before => at.saturating_sub(limit),
            Anchor::Around => at.saturating_sub(limit / 2),
        };
        let end = if anchor == Anchor::Before { at } else { from.saturating_add(limit) };
        records.get(from..end.min(records.len())).unwrap_or_default().to_vec()
    }

    fn search(&self, rooms: &[RoomId], words: &str, limit: u16) -> Vec<Record> {
        let has_all = |record: &&Record| words.split(' ').all(|word| record.text.as_str().contains(word));
        let rooms = rooms.iter().filter_map(|room| self.rooms.get(room));
        let mut found: Vec<Record> =
            rooms.flat_map(|room| room.kept().iter().filter(has_all)).cloned().collect();
        found.sort_by_key(|record| core::cmp::Reverse((record.time, record.room, record.seq)));
        found.truncate(limit.into());
        found
    }
}

impl Room {
    fn kept(&self) -> &[Record] {
        let first = self.records.partition_point(|record| record.seq <= self.forgotten);
        self.records.get(first..).unwrap_or_default()
    }
}

/// Numbers of a room that a volatile log leaves out with every crash.
const RESERVED: u64 = 100;
