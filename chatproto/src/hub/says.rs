//! Messages on their way: in from a connection, through the log, out to the room.
//!
//! Nothing is shown to anybody before the log has it. The log is asked in one order and answers in one order, and that
//! order is what everybody sees.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::budgets::Verb;
use super::orders::{Refused, unknown};
use super::query::{Query, Wanted};
use super::{AppendId, ConnId, Holder, Hub, LogRequest, QueryId, Record, Stored};
use crate::wire::{DeviceId, ErrorCode, FrameType, Name, Note, NoteRef, Posted, RoomId, Say, Target, Text};

/// Number of a room's first message.
const FIRST: u64 = 1;

/// In a `posted`: the message was stored, and the log has let go of its number since.
const FORGOTTEN: u64 = 0;

/// In a `posted`: the room cannot be told any more.
const NO_ROOM: RoomId = RoomId(0);

/// Messages that the log has not answered for, and those that wait for a lookup.
#[derive(Debug, Default)]
pub(super) struct Says {
    /// Answered in order nearly always, so the one looked for is at the front.
    asked: VecDeque<(AppendId, Asked)>,
    next: u64,
    /// First messages to people, while it is found out whether there is such a person.
    lookups: BTreeMap<(Name, Name), Vec<Waiting>>,
}

/// What the log was asked about a say.
#[derive(Debug)]
enum Asked {
    Append(Append),
    Recall(Recall),
}

#[derive(Debug)]
struct Append {
    conn: ConnId,
    room: RoomId,
    from: Name,
    device: DeviceId,
    counter: u64,
    text: Text,
    /// The log was too busy to make the room: for what is said there, too.
    is_put_off: bool,
}

impl Says {
    /// The room is gone, for now.
    pub(super) fn put_off(&mut self, room: RoomId) {
        for (_, asked) in &mut self.asked {
            match asked {
                Asked::Append(append) => append.is_put_off |= append.room == room,
                Asked::Recall(_) => {}
            }
        }
    }
}

/// A say that is refused unless it was stored before.
#[derive(Debug)]
struct Recall {
    conn: ConnId,
    room: Option<RoomId>,
    counter: u64,
    bytes: usize,
    refusal: Refusal,
}

#[derive(Debug)]
struct Refusal {
    code: ErrorCode,
    retry_after: u32,
    note: Note,
}

impl Refusal {
    fn new(code: ErrorCode, note: &str) -> Self {
        Self { code, retry_after: 0, note: NoteRef::truncated(note).to_owned() }
    }
}

#[derive(Debug)]
struct Waiting {
    conn: ConnId,
    device: DeviceId,
    counter: u64,
    text: Text,
}

impl Hub {
    pub(super) fn on_say(&mut self, id: ConnId, say: &Say<'_>) {
        let Some((user, device)) = self.identity(id) else { return };
        let Some(client) = self.clients.get(&id) else { return };
        if client.appends >= self.config.max_appends || client.append_bytes >= self.config.max_append_bytes {
            let note = "too many messages wait to be stored";
            return self.send_error(id, ErrorCode::Backlog, say, say.counter, note);
        }
        let room = self.find_room(&user, say.target);
        if let Some(note) = self.bars_speech(id) {
            let refusal = Refusal::new(ErrorCode::LockedDown, &note);
            return self.recall(id, room, user, device, say, refusal);
        }
        if let Some(room) = room.filter(|room| self.is_over(*room)) {
            let refusal = Refusal::new(ErrorCode::ConversationOver, "the account of this person was removed");
            return self.recall(id, Some(room), user, device, say, refusal);
        }
        match (say.target, room) {
            (Target::Id(_) | Target::Room(_), Some(room)) if client.rooms.contains(&room) => {
                if let Err((code, left)) = self.may_speak(room, &user, device, say.counter) {
                    let note = alloc::format!("you may not speak here {left}");
                    let refusal = Refusal { retry_after: left.as_retry_after(), ..Refusal::new(code, &note) };
                    return self.recall(id, Some(room), user, device, say, refusal);
                }
                self.append(id, room, user, device, say.counter, say.text.to_owned());
            }
            (Target::User(_), Some(room)) => {
                self.append(id, room, user, device, say.counter, say.text.to_owned());
            }
            (Target::Id(_) | Target::Room(_), Some(room)) => {
                let refusal = Refusal::new(ErrorCode::NotMember, "join the room first");
                self.recall(id, Some(room), user, device, say, refusal);
            }
            (Target::Id(_) | Target::Room(_), None) => {
                let refusal = Refusal::new(ErrorCode::NoSuchRoom, "no such room");
                self.recall(id, None, user, device, say, refusal);
            }
            (Target::User(to), None) => self.look_up(id, &user, to.to_owned(), device, say),
        }
    }

    /// The first message to a person waits until the program has said whether there is an account.
    fn look_up(&mut self, id: ConnId, user: &Name, to: Name, device: DeviceId, say: &Say<'_>) {
        let pair = (user.clone(), to.clone());
        let is_first = !self.says.lookups.contains_key(&pair);
        if is_first {
            let (about, counter) = (FrameType::Say, say.counter);
            if !self.may_ask(id) {
                let note = "too many people are looked up; send it again later";
                return self.send_error(id, ErrorCode::Busy, &about, counter, note);
            }
            if let Err(wait) = self.charge(id, Verb::Create) {
                self.end_request(id);
                return self.refuse_too_fast(id, about, counter, wait);
            }
        }
        self.count_append(id, say.text.as_str().len(), true);
        let waiting = Waiting { conn: id, device, counter: say.counter, text: say.text.to_owned() };
        self.says.lookups.entry(pair).or_default().push(waiting);
        if is_first {
            let query = self.ask(Query::User { conn: id, from: user.clone(), to: to.clone() });
            self.request(LogRequest::FindUser { id: query, name: to });
        }
    }

    /// Answers [`LogRequest::FindUser`]; `None` if it cannot be told now: whoever waits for it is told to come again. `false` if
    /// the hub did not ask.
    pub fn user_known(&mut self, id: QueryId, holder: Option<Holder>) -> bool {
        let asked = |query: &Query| matches!(query, Query::User { .. } | Query::Order(_));
        let (from, to) = match self.take_query(id, asked) {
            Some(Query::User { conn, from, to }) => {
                self.end_request(conn);
                (from, to)
            }
            Some(Query::Order(Wanted::Room(order))) => {
                self.end_order(order, holder);
                return true;
            }
            Some(Query::Order(Wanted::Server(decree))) => {
                self.end_decree(decree, holder);
                return true;
            }
            Some(Query::Missed { .. } | Query::Page { .. } | Query::Audit { .. }) | None => return false,
        };
        if !self.says.lookups.contains_key(&(from.clone(), to.clone())) {
            // The asker's account is gone.
            return true;
        }
        let (room, refusal) = match self.find_room(&from, Target::User(to.borrow())) {
            None if matches!(holder, Some(Holder::Person | Holder::Admin)) => {
                match self.has_too_many_conversations(&from, &to) {
                    Some(refusal) => (None, refusal),
                    None => (Some(self.open_direct(&from, &to)), unknown(holder)),
                }
            }
            room => (room, unknown(holder)),
        };
        self.end_lookup(&from, &to, room, refusal);
        if room.is_some() {
            // Both may have written first: what the other said must not come after what they say next.
            self.end_lookup(&to, &from, room, refusal);
        }
        true
    }

    /// What somebody wrote first and is not stored yet ends with their account.
    pub(super) fn drop_lookups_of(&mut self, gone: &Name) {
        self.says.lookups.retain(|(from, _), _| from != gone);
    }

    /// Sends what waited for a lookup on its way, or back: unless it was stored when there was such an account.
    fn end_lookup(&mut self, from: &Name, to: &Name, room: Option<RoomId>, (code, note): Refused) {
        let waiting = self.says.lookups.remove(&(from.clone(), to.clone())).unwrap_or_default();
        for say in waiting {
            self.count_append(say.conn, say.text.as_str().len(), false);
            match room {
                Some(room) => self.append(say.conn, room, from.clone(), say.device, say.counter, say.text),
                None => {
                    let target = Target::User(to.borrow());
                    let frame = Say { counter: say.counter, target, text: say.text.borrow() };
                    let refusal = Refusal::new(code, note);
                    self.recall(say.conn, None, from.clone(), say.device, &frame, refusal);
                }
            }
        }
    }

    fn append(&mut self, conn: ConnId, room: RoomId, from: Name, device: DeviceId, counter: u64, text: Text) {
        self.make_again(room);
        let (sender, said) = (from.clone(), text.clone());
        let append = Append { conn, room, from: sender, device, counter, text: said, is_put_off: false };
        let id = self.ask_log(conn, text.as_str().len(), Asked::Append(append));
        self.request(LogRequest::Append { id, room, from, device, counter, text });
    }

    /// What may not be said now may have been said before, and its `posted` was lost: the log knows.
    fn recall(
        &mut self,
        conn: ConnId,
        room: Option<RoomId>,
        from: Name,
        device: DeviceId,
        say: &Say<'_>,
        refusal: Refusal,
    ) {
        let (counter, bytes) = (say.counter, say.text.as_str().len());
        let id = self.ask_log(conn, bytes, Asked::Recall(Recall { conn, room, counter, bytes, refusal }));
        self.request(LogRequest::Recall { id, room, from, device, counter });
    }

    fn ask_log(&mut self, conn: ConnId, bytes: usize, asked: Asked) -> AppendId {
        let id = AppendId(self.says.next);
        self.says.next += 1;
        self.count_append(conn, bytes, true);
        self.says.asked.push_back((id, asked));
        id
    }

    /// Answers [`LogRequest::Append`] and [`LogRequest::Recall`]. What is committed goes to the room in the order of these calls.
    ///
    /// `false` if the hub did not ask, or not that, or if the number is not the next of the room: the log and the hub
    /// disagree, and the program should stop.
    pub fn stored(&mut self, id: AppendId, outcome: Stored) -> bool {
        let Some(at) = self.says.asked.iter().position(|(pending, _)| *pending == id) else { return false };
        let Some((_, asked)) = self.says.asked.remove(at) else { return false };
        match asked {
            Asked::Append(append) => self.appended(append, outcome),
            Asked::Recall(recall) => self.recalled(&recall, outcome),
        }
    }

    fn appended(&mut self, append: Append, outcome: Stored) -> bool {
        let Append { conn, room, from, device, counter, text, is_put_off } = append;
        self.count_append(conn, text.as_str().len(), false);
        let outcome = if is_put_off && outcome == Stored::Failed { Stored::Busy } else { outcome };
        match outcome {
            // The room was removed while the message was on its way.
            Stored::Committed { .. } if self.router.info(room).is_none() => {
                let note = "the room was removed";
                self.send_error(conn, ErrorCode::NotStored, &crate::wire::FrameType::Say, counter, note);
            }
            Stored::Committed { seq, time } => {
                let record = Record { room, seq, time, from, device, counter, text };
                if !self.router.commit(&record) {
                    return false;
                }
                self.send(conn, &Posted { counter, room, seq, time });
                if seq == FIRST {
                    self.tell_begun(room);
                }
                self.flush_if_full();
            }
            Stored::Duplicate { room, seq, time } => self.send(conn, &Posted { counter, room, seq, time }),
            Stored::Forgotten => self.send(conn, &Posted { counter, room, seq: FORGOTTEN, time: FORGOTTEN }),
            Stored::Busy => {
                let note = "the log is busy; send it again later";
                self.send_error(conn, ErrorCode::Busy, &FrameType::Say, counter, note);
            }
            Stored::Failed => {
                let say = Say { counter, target: Target::Id(room), text: text.borrow() };
                let note = "the message could not be stored";
                self.send_error(conn, ErrorCode::NotStored, &say, counter, note);
            }
            Stored::Absent => return false,
        }
        true
    }

    fn recalled(&mut self, recall: &Recall, outcome: Stored) -> bool {
        let Recall { conn, room, counter, bytes, refusal } = recall;
        let (conn, counter, about) = (*conn, *counter, FrameType::Say);
        self.count_append(conn, *bytes, false);
        match outcome {
            Stored::Duplicate { room, seq, time } => self.send(conn, &Posted { counter, room, seq, time }),
            Stored::Forgotten => {
                let room = room.unwrap_or(NO_ROOM);
                self.send(conn, &Posted { counter, room, seq: FORGOTTEN, time: FORGOTTEN });
            }
            Stored::Absent => {
                let Refusal { code, retry_after, note } = refusal;
                self.send_error_until(conn, *code, &about, counter, *retry_after, note.as_str());
            }
            // A refusal would be for good, and may be wrong.
            Stored::Busy | Stored::Failed => {
                let note = "whether it was stored before cannot be told now; send it again later";
                self.send_error(conn, ErrorCode::Busy, &about, counter, note);
            }
            Stored::Committed { .. } => return false,
        }
        true
    }

    fn count_append(&mut self, id: ConnId, bytes: usize, begins: bool) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if begins {
            client.appends += 1;
            client.append_bytes += bytes;
        } else {
            client.appends = client.appends.saturating_sub(1);
            client.append_bytes = client.append_bytes.saturating_sub(bytes);
        }
    }
}
