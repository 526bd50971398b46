//! The machines' facts in the user's words.

use crate::notice::{Code, Line, Message, MessageId, Person, Place, Room};
use chatproto::session::{ChatMessage, LineInfo, LostReason, MemberInfo, Refusal, RoomInfo, RoomKey};
use chatproto::wire::{ErrorCode, Name, Note};

/// A message, seen by `me`.
pub(super) fn message(message: ChatMessage, me: &Name) -> Message {
    let ChatMessage { room, seq, time, from, device, counter, text } = message;
    let place = place(room, &from, me);
    Message { place, seq, id: MessageId { device, counter }, from, device, text, time }
}

/// Where something stands that `from` said: in a conversation, with the one it was said to.
pub(super) fn place(room: RoomKey, from: &Name, me: &Name) -> Place {
    match room {
        RoomKey::Room(name) => Place::Room(name),
        RoomKey::User(_) if from != me => Place::To(me.clone()),
        RoomKey::User(other) => Place::To(other),
        RoomKey::Former(other, _) => Place::Former(other),
    }
}

pub(super) fn room(info: RoomInfo, joined: bool) -> Room {
    let RoomInfo { name, people, last, topic, .. } = info;
    let topic = (!topic.as_str().is_empty()).then_some(topic);
    Room { room: name, people, last, topic, joined }
}

pub(super) fn person(member: MemberInfo) -> Person {
    Person { user: member.user, devices: member.devices, rank: member.rank }
}

pub(super) fn line(info: LineInfo) -> Line {
    let LineInfo { number, time, room, by, action, subject, seconds, note } = info;
    let some = |note: Note| (!note.as_str().is_empty()).then_some(note);
    // What is imposed has neither a number nor a time.
    let time = (number != 0).then_some(time);
    let (room, by, subject, note) = (some(room), some(by), some(subject), some(note));
    Line { number, time, room, by, action, subject, seconds, note }
}

/// Why a request was refused: for programs, and for people.
pub(super) fn refusal(refusal: &Refusal) -> (Code, String) {
    match refusal {
        Refusal::Code { code, note, .. } if note.as_str().is_empty() => ((*code).into(), sentence(*code)),
        Refusal::Code { code, note, .. } => ((*code).into(), note.as_str().to_owned()),
        Refusal::ConnectionLost => {
            (Code::ConnectionLost, "the connection ended before the answer came".to_owned())
        }
    }
}

/// A code's meaning, to be read after a colon.
pub(super) fn sentence(code: ErrorCode) -> String {
    let meaning = code.meaning().trim_end_matches('.');
    let mut chars = meaning.chars();
    chars.next().map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
}

/// Why the server is gone: a word for programs, and a sentence for people.
pub(super) fn lost(reason: &LostReason) -> (String, String) {
    match reason {
        LostReason::Unreachable => ("unreachable".to_owned(), "it cannot be reached".to_owned()),
        LostReason::Closed { cut: 0 } => ("closed".to_owned(), "the connection was closed".to_owned()),
        LostReason::Closed { cut } => {
            ("cut".to_owned(), format!("the connection was cut {cut} bytes into a frame"))
        }
        LostReason::Bye { reason, error, note } => {
            let text = if note.as_str().is_empty() {
                error.map_or_else(|| reason.meaning().to_owned(), sentence)
            } else {
                note.as_str().to_owned()
            };
            (reason.name().to_owned(), text)
        }
        LostReason::Violation(violation) => ("violation".to_owned(), violation.to_string()),
        LostReason::Timeout(stage) => {
            ("timeout".to_owned(), format!("it did not answer in time ({stage:?})").to_lowercase())
        }
        LostReason::TooSlow => ("too_slow".to_owned(), "it does not read what is sent".to_owned()),
    }
}
