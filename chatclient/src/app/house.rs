//! Order in the rooms: topics, and what operators do.

use super::App;
use super::errand::Errand;
use crate::notice::{Code, Notice};
use chatproto::session::RoomKey;
use chatproto::wire::{Action, Name, Note, NoteRef, RequestId, Subject};

/// What was changed about a room, or about a person there.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) room: RoomKey,
    pub(super) action: Action,
    pub(super) by: Option<Name>,
    pub(super) user: Option<Name>,
    pub(super) seconds: u32,
    pub(super) note: Note,
}

impl App {
    /// Remembers the topic of a room; `true` if the user has something to read there that they have not seen.
    pub(super) fn learn_topic(&mut self, room: &Name, topic: Note) -> bool {
        let is_empty = topic.as_str().is_empty();
        let before = self.topics.insert(room.clone(), topic.clone());
        before.map_or(!is_empty, |before| before != topic)
    }

    /// `/topic`.
    pub(super) fn show_topic(&mut self, errand: &Errand) {
        match self.room.clone() {
            Some(room) => self.tell_topic(room, None, Some(errand)),
            None => {
                self.voice.fail(Some(errand), Code::NoRoom, "no room is the current one; try /join ROOM");
            }
        }
    }

    /// The topics of all rooms that have one.
    pub(super) fn tell_topics(&mut self) {
        let rooms = self.topics.iter().filter(|(_, topic)| !topic.as_str().is_empty());
        let rooms = rooms.map(|(room, _)| room.clone()).collect::<Vec<_>>();
        for room in rooms {
            self.tell_topic(room, None, None);
        }
    }

    pub(super) fn tell_topic(&mut self, room: Name, by: Option<Name>, errand: Option<&Errand>) {
        let topic = self.topics.get(&room).cloned().unwrap_or_else(|| NoteRef::EMPTY.to_owned());
        self.voice.show(&Notice::Topic { room, topic, by }, errand);
    }

    pub(super) fn on_moderated(&mut self, change: Change, request: Option<RequestId>) {
        let errand = request.and_then(|request| self.end_change(request));
        let Change { room: RoomKey::Room(room), action, by, user, seconds, note } = change else { return };
        if action == Action::Topic {
            let is_news = self.learn_topic(&room, note);
            if is_news || errand.is_some() {
                self.tell_topic(room, by, errand.as_ref());
            }
            return;
        }
        let reason = (!note.as_str().is_empty()).then_some(note);
        let notice = Notice::Moderated { room, action, by, user, seconds, reason };
        self.voice.show(&notice, errand.as_ref());
    }

    pub(super) fn on_invited(&mut self, room: &RoomKey, by: Option<Name>) {
        self.voice.show(&Notice::Invited { room: room.name().clone(), by }, None);
    }

    /// The whole server has changed as this user asked.
    pub(super) fn on_governed(
        &mut self,
        request: RequestId,
        action: Action,
        subject: Option<&Subject>,
        seconds: u32,
        note: Note,
    ) {
        let errand = self.end_change(request);
        let reason = (!note.as_str().is_empty()).then_some(note);
        let subject = subject.map(Subject::as_written);
        self.voice.show(&Notice::Governed { action, subject, seconds, reason }, errand.as_ref());
    }
}
