//! Messages on their way: in from a connection, through the log, out to the room.
//!
//! Nothing is shown to anybody before the log has it. The log is asked in one order and answers in one order, and that
//! order is what everybody sees.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use super::query::{Asked, Query};
use super::{AppendId, ConnId, Event, Hub, QueryId, Record, Stored};
use crate::wire::{DeviceId, ErrorCode, Name, Posted, RoomId, Say, Target, Text};

/// Number of a room's first message.
const FIRST: u64 = 1;

/// Messages that the log has not answered for, and those that wait for a lookup.
#[derive(Debug, Default)]
pub(super) struct Says {
    /// Answered in order nearly always, so the one looked for is at the front.
    appends: VecDeque<(AppendId, Append)>,
    next: u64,
    /// First messages to people, while it is found out whether there is such a person.
    lookups: BTreeMap<(Name, Name), Vec<Waiting>>,
}

#[derive(Debug)]
struct Append {
    conn: ConnId,
    room: RoomId,
    from: Name,
    device: DeviceId,
    counter: u64,
    text: Text,
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
        if let Some(note) = self.bars_speech(id) {
            return self.send_error(id, ErrorCode::LockedDown, say, say.counter, &note);
        }
        let room = self.find_room(&user, say.target);
        match (say.target, room) {
            (Target::Id(_) | Target::Room(_), Some(room)) if client.rooms.contains(&room) => {
                if let Err((code, left)) = self.may_speak(room, &user, device, say.counter) {
                    let note = alloc::format!("you may not speak here {left}");
                    let retry_after = left.as_retry_after();
                    return self.send_error_until(id, code, say, say.counter, retry_after, &note);
                }
                self.append(id, room, user, device, say.counter, say.text.to_owned());
            }
            (Target::User(_), Some(room)) => {
                self.append(id, room, user, device, say.counter, say.text.to_owned());
            }
            (Target::Id(_) | Target::Room(_), Some(_)) => {
                self.send_error(id, ErrorCode::NotMember, say, say.counter, "join the room first");
            }
            (Target::Id(_) | Target::Room(_), None) => {
                self.send_error(id, ErrorCode::NoSuchRoom, say, say.counter, "no such room");
            }
            (Target::User(to), None) => self.look_up(id, &user, to.to_owned(), device, say),
        }
    }

    /// The first message to a person waits until the program has said whether there is an account.
    fn look_up(&mut self, id: ConnId, user: &Name, to: Name, device: DeviceId, say: &Say<'_>) {
        self.count_append(id, say.text.as_str().len(), true);
        let waiting = Waiting { conn: id, device, counter: say.counter, text: say.text.to_owned() };
        let entry = self.says.lookups.entry((user.clone(), to.clone())).or_default();
        entry.push(waiting);
        if entry.len() == 1 {
            let query = self.ask(Query::User { from: user.clone(), to: to.clone() });
            self.events.push_back(Event::FindUser { id: query, name: to });
        }
    }

    /// Answers [`Event::FindUser`]. `false` if the hub did not ask.
    pub fn user_known(&mut self, id: QueryId, is_known: bool) -> bool {
        let asked = |query: &Query| matches!(query, Query::User { .. } | Query::Order(_));
        let (from, to) = match self.take_query(id, asked) {
            Some(Query::User { from, to }) => (from, to),
            Some(Query::Order(Asked::Room(order))) => {
                self.end_order(order, is_known);
                return true;
            }
            Some(Query::Order(Asked::Server(decree))) => {
                self.end_decree(decree, is_known);
                return true;
            }
            Some(Query::Missed { .. } | Query::Page { .. } | Query::Audit { .. }) | None => return false,
        };
        let room = match self.find_room(&from, Target::User(to.borrow())) {
            None if is_known => Some(self.open_direct(&from, &to)),
            room => room,
        };
        self.end_lookup(&from, &to, room);
        if room.is_some() {
            // Both may have written first: what the other said must not come after what they say next.
            self.end_lookup(&to, &from, room);
        }
        true
    }

    /// Sends what waited for a lookup on its way, or back.
    fn end_lookup(&mut self, from: &Name, to: &Name, room: Option<RoomId>) {
        let waiting = self.says.lookups.remove(&(from.clone(), to.clone())).unwrap_or_default();
        for say in waiting {
            self.count_append(say.conn, say.text.as_str().len(), false);
            match room {
                Some(room) => self.append(say.conn, room, from.clone(), say.device, say.counter, say.text),
                None => {
                    let target = Target::User(to.borrow());
                    let frame = Say { counter: say.counter, target, text: say.text.borrow() };
                    let note = "nobody here has this name";
                    self.send_error(say.conn, ErrorCode::NoSuchUser, &frame, say.counter, note);
                }
            }
        }
    }

    fn append(&mut self, conn: ConnId, room: RoomId, from: Name, device: DeviceId, counter: u64, text: Text) {
        let id = AppendId(self.says.next);
        self.says.next += 1;
        self.count_append(conn, text.as_str().len(), true);
        let append = Append { conn, room, from: from.clone(), device, counter, text: text.clone() };
        self.says.appends.push_back((id, append));
        self.events.push_back(Event::Append { id, room, from, device, counter, text });
    }

    /// Answers [`Event::Append`]. What is committed goes to the room in the order of these calls.
    ///
    /// `false` if the hub did not ask, or if the number is not the next of the room: the log and the hub disagree, and
    /// the program should stop.
    pub fn stored(&mut self, id: AppendId, outcome: Stored) -> bool {
        let Some(at) = self.says.appends.iter().position(|(pending, _)| *pending == id) else { return false };
        let Some((_, append)) = self.says.appends.remove(at) else { return false };
        self.count_append(append.conn, append.text.as_str().len(), false);
        let Append { conn, room, from, device, counter, text } = append;
        match outcome {
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
            Stored::Failed => {
                let say = Say { counter, target: Target::Id(room), text: text.borrow() };
                let note = "the message could not be stored";
                self.send_error(conn, ErrorCode::NotStored, &say, counter, note);
            }
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
