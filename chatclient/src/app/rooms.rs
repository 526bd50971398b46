//! What the server tells of rooms, people and messages.

use super::App;
use super::errand::Errand;
use super::facts;
use super::history::History;
use crate::notice::{Line, Message, Notice, Person, Room};
use crate::state::ConsentRule;
use chatproto::session::{ChatMessage, LineInfo, MemberInfo, Refusal, RoomInfo, RoomKey};
use chatproto::wire::{Change, DeviceId, ErrorCode, Inquiry, Name, Note, OfferId, RequestId};

/// A question to the server whose answer comes in pages.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) errand: Errand,
    answer: Answer,
}

/// The answer as far as it came.
#[derive(Debug)]
pub(super) enum Answer {
    Rooms(Vec<Room>),
    People(Name, Vec<Person>),
    History(History),
    Found(Vec<Message>),
    Report(Option<Name>, Inquiry, Vec<Line>),
    /// Whether somebody who asks for a link is in a room that has a rule.
    Consent {
        offer: OfferId,
        from: Name,
        rule: ConsentRule,
        is_there: bool,
    },
    /// The devices of the account; of the beginning of the name of one, to revoke it first.
    Devices {
        revoke: Option<String>,
    },
    /// Of a room, or of what somebody may do there: one frame.
    Change,
    /// Whether peers can reach this client.
    Reach,
}

impl Question {
    pub(super) fn new(errand: Errand, answer: Answer) -> Self {
        Self { errand, answer }
    }

    pub(super) fn into_parts(self) -> (Errand, Answer) {
        (self.errand, self.answer)
    }

    pub(super) fn answer_mut(&mut self) -> &mut Answer {
        &mut self.answer
    }
}

impl App {
    /// The rooms that this client is in.
    pub(super) fn rooms_joined(&self) -> Vec<Name> {
        let rooms = self.server.session.joined().filter_map(|key| match key {
            RoomKey::Room(name) => Some(name.clone()),
            RoomKey::User(_) | RoomKey::Former(..) => None,
        });
        let mut rooms = rooms.collect::<Vec<_>>();
        rooms.sort();
        rooms
    }

    pub(super) fn is_in(&self, room: &Name) -> bool {
        self.server.session.joined().any(|key| matches!(key, RoomKey::Room(name) if name == room))
    }

    pub(super) fn on_joined(&mut self, key: &RoomKey, topic: Note, request: Option<RequestId>) {
        self.keep_cursor(key);
        let errand = request.and_then(|request| self.joins.remove(&request));
        let RoomKey::Room(room) = key else { return };
        // Before it is ready nothing is told; the topics follow then.
        let is_news = self.learn_topic(room, topic) && self.server.told_ready;
        if let Some(errand) = errand {
            self.room = Some(room.clone());
            let user = self.settings.user.clone();
            self.voice.show(&Notice::Joined { room: room.clone(), user }, Some(&errand));
            self.refresh_prompt();
        } else {
            self.on_first_room();
        }
        if is_news {
            self.tell_topic(room.clone(), None, None);
        }
    }

    /// A room that was entered without a cursor begins at its end: that is what the next run goes on from.
    fn keep_cursor(&mut self, key: &RoomKey) {
        let cursors = self.server.session.snapshot().cursors;
        if let Some((_, cursor)) = cursors.into_iter().find(|(room, _)| room == key) {
            let saved = self.memory.saw(key, cursor);
            self.report(saved);
        }
    }

    /// A conversation is over: what was seen of it is remembered under its new key.
    pub(super) fn on_retired(&mut self, was: &RoomKey, key: &RoomKey) {
        let retired = self.memory.retire(was, key);
        self.report(retired);
        self.keep_cursor(key);
        self.voice.show(&Notice::ConversationOver { with: key.name().clone() }, None);
    }

    pub(super) fn on_join_refused(&mut self, key: &RoomKey, request: Option<RequestId>, refusal: &Refusal) {
        let (code, text) = facts::refusal(refusal);
        let errand = request.and_then(|request| self.joins.remove(&request));
        let message = format!("cannot enter {}: {text}", key.name().as_str());
        self.voice.fail(errand.as_ref(), code, message);
        if request.is_none() && matches!(key, RoomKey::Room(_)) {
            self.on_first_room();
        }
    }

    pub(super) fn on_left(&mut self, key: &RoomKey, code: Option<ErrorCode>) {
        let forgotten = self.memory.forget_room(key);
        self.report(forgotten);
        let errand = self.leaves.remove(key);
        let RoomKey::Room(room) = key else { return };
        self.topics.remove(room);
        match code {
            // The room was not there yet, and could not be kept.
            Some(code @ (ErrorCode::NotStored | ErrorCode::Busy)) => {
                let why = facts::sentence(code);
                self.voice.fail(None, code, format!("out of {}: {why}", room.as_str()));
            }
            Some(code) => self.voice.info(format!("{}: {}", room.as_str(), facts::sentence(code))),
            None => {}
        }
        let user = self.settings.user.clone();
        self.voice.show(&Notice::Left { room: room.clone(), user }, errand.as_ref());
        if self.room.as_ref() == Some(room) {
            let rooms = self.rooms_joined();
            let default = rooms.iter().find(|room| Some(*room) == self.server.default_room.as_ref());
            self.room = default.or_else(|| rooms.first()).cloned();
            self.refresh_prompt();
        }
    }

    pub(super) fn on_message(&mut self, message: ChatMessage, missed: bool) {
        let saved = self.memory.saw(&message.room, message.seq);
        self.report(saved);
        let message = facts::message(message, &self.settings.user);
        self.voice.show(&Notice::Message { message, missed }, None);
    }

    pub(super) fn on_gap(&mut self, room: RoomKey, from: u64, to: u64) {
        let saved = self.memory.saw(&room, to);
        self.report(saved);
        let me = &self.settings.user;
        let place = facts::place(room, me, me);
        self.voice.show(&Notice::Gap { place, from, to }, None);
    }

    pub(super) fn on_posted(&mut self, counter: u64, room: RoomKey, seq: u64) {
        let settled = self.memory.settle(counter);
        self.report(settled);
        let errand = self.says.remove(&counter);
        let me = &self.settings.user;
        let place = facts::place(room, me, me);
        let id = crate::notice::MessageId { device: self.memory.device(), counter };
        self.voice.show(&Notice::Posted { place, seq, id }, errand.as_ref());
    }

    pub(super) fn on_say_refused(&mut self, counter: u64, target: &RoomKey, code: ErrorCode, note: &Note) {
        let settled = self.memory.settle(counter);
        self.report(settled);
        let errand = self.says.remove(&counter);
        let text = if note.as_str().is_empty() { facts::sentence(code) } else { note.as_str().to_owned() };
        self.voice.fail(errand.as_ref(), code, format!("not said to {}: {text}", target.name().as_str()));
    }

    pub(super) fn on_presence(&mut self, key: RoomKey, user: Name, device: DeviceId, change: Change) {
        let RoomKey::Room(room) = key else { return };
        if user == self.settings.user && device == self.memory.device() {
            return;
        }
        let notice = match change {
            Change::Entered => Notice::Joined { room, user },
            Change::Departed => Notice::Left { room, user },
        };
        self.voice.show(&notice, None);
    }

    pub(super) fn on_room_list(&mut self, request: RequestId, rooms: Vec<RoomInfo>, more: bool) {
        let joined = self.rooms_joined();
        if let Some(Question { answer: Answer::Rooms(found), .. }) = self.questions.get_mut(&request) {
            found.extend(rooms.into_iter().map(|info| {
                let is_joined = joined.contains(&info.name);
                facts::room(info, is_joined)
            }));
        }
        self.answer(request, more);
    }

    /// Unasked, it is the present state after too many changes; who wants to know asks.
    pub(super) fn on_members(&mut self, request: Option<RequestId>, members: Vec<MemberInfo>, more: bool) {
        let Some(request) = request else { return };
        match self.questions.get_mut(&request).map(|question| &mut question.answer) {
            Some(Answer::People(_, found)) => found.extend(members.into_iter().map(facts::person)),
            Some(Answer::Consent { from, is_there, .. }) => {
                *is_there |= members.iter().any(|member| member.user == *from);
            }
            Some(
                Answer::Rooms(_)
                | Answer::History(_)
                | Answer::Found(_)
                | Answer::Report(..)
                | Answer::Devices { .. }
                | Answer::Change
                | Answer::Reach,
            )
            | None => {}
        }
        self.answer(request, more);
    }

    pub(super) fn on_page(&mut self, request: RequestId, messages: Vec<ChatMessage>, more: bool) {
        let me = self.settings.user.clone();
        let messages = messages.into_iter().map(|message| facts::message(message, &me));
        match self.questions.get_mut(&request).map(|question| &mut question.answer) {
            Some(Answer::History(found)) => found.take(messages),
            Some(Answer::Found(found)) => found.extend(messages),
            Some(
                Answer::Rooms(_)
                | Answer::People(..)
                | Answer::Report(..)
                | Answer::Consent { .. }
                | Answer::Devices { .. }
                | Answer::Change
                | Answer::Reach,
            )
            | None => {}
        }
        self.answer(request, more);
    }

    pub(super) fn on_report(&mut self, request: RequestId, lines: Vec<LineInfo>, more: bool) {
        if let Some(Question { answer: Answer::Report(_, _, found), .. }) = self.questions.get_mut(&request) {
            found.extend(lines.into_iter().map(facts::line));
        }
        self.answer(request, more);
    }

    /// Shows an answer once its last page is there.
    fn answer(&mut self, request: RequestId, more: bool) {
        if more {
            return;
        }
        let Some(Question { errand, answer }) = self.questions.remove(&request) else { return };
        let notice = match answer {
            Answer::Rooms(rooms) => Notice::Rooms { rooms },
            Answer::People(room, who) => Notice::Who { room, who },
            Answer::History(history) => {
                return self.go_on_with_history(Question::new(errand, Answer::History(history)));
            }
            Answer::Found(search) => Notice::Search { search },
            Answer::Report(room, Inquiry::Audit, mut audit) => {
                // The latest last, as everything else is told.
                audit.reverse();
                Notice::Audit { room, audit }
            }
            Answer::Report(room, Inquiry::Imposed, bans) => Notice::Bans { room, bans },
            // It is answered by what was changed.
            Answer::Consent { offer, rule, is_there, .. } => {
                return self.on_asker_sought(offer, rule, Some(is_there));
            }
            Answer::Change | Answer::Reach | Answer::Devices { .. } => return,
        };
        self.voice.show(&notice, Some(&errand));
    }

    /// The errand that asked for a change, once it is answered.
    pub(super) fn end_change(&mut self, request: RequestId) -> Option<Errand> {
        self.questions.remove(&request).map(|question| question.errand)
    }

    pub(super) fn on_refused(&mut self, request: RequestId, refusal: &Refusal) {
        let Some(mut question) = self.questions.remove(&request) else { return };
        if self.end_history(&mut question, refusal.code()) {
            return;
        }
        let Question { errand, answer } = question;
        if let Answer::Consent { offer, rule, .. } = answer {
            return self.on_asker_sought(offer, rule, None);
        }
        let (code, text) = facts::refusal(refusal);
        self.voice.fail(Some(&errand), code, text);
    }
}
