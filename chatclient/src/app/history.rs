//! `/history`: the server gives so many messages with one answer; for more, it is asked for what was said before them.

use super::App;
use super::rooms::{Answer, Question};
use crate::notice::{Message, Notice};
use chatproto::session::RoomKey;
use chatproto::wire::{Anchor, ErrorCode};

/// How much is wanted, and what came of it.
#[derive(Debug)]
pub(super) struct History {
    room: RoomKey,
    count: usize,
    /// The latest answers together, oldest first.
    messages: Vec<Message>,
    /// The answer that comes, which is about what was said before all of them.
    earlier: Vec<Message>,
}

impl History {
    pub(super) fn new(room: RoomKey, count: usize) -> Self {
        Self { room, count, messages: Vec::new(), earlier: Vec::new() }
    }

    /// A page of an answer.
    pub(super) fn take(&mut self, page: impl IntoIterator<Item = Message>) {
        self.earlier.extend(page);
    }

    /// An answer is complete: before which message there is more to ask for, if there is.
    fn end_answer(&mut self) -> Option<u64> {
        let first = self.earlier.first().map(|message| message.seq);
        self.messages.splice(..0, std::mem::take(&mut self.earlier));
        first.filter(|seq| *seq > 1 && self.messages.len() < self.count)
    }

    fn missing(&self) -> u16 {
        u16::try_from(self.count.saturating_sub(self.messages.len())).unwrap_or(u16::MAX)
    }

    fn into_notice(self) -> Notice {
        Notice::History { history: self.messages }
    }
}

impl App {
    /// Asks for what comes before, or shows what came.
    pub(super) fn go_on_with_history(&mut self, question: Question) {
        let (errand, answer) = question.into_parts();
        let Answer::History(mut history) = answer else { return };
        if let Some(before) = history.end_answer() {
            let session = &mut self.server.session;
            if let Ok(request) = session.history(&history.room, Anchor::Before, before, history.missing()) {
                self.questions.insert(request, Question::new(errand, Answer::History(history)));
                return;
            }
        }
        self.voice.show(&history.into_notice(), Some(&errand));
    }

    /// There is no further answer: what came is shown, if that is something. `false` if the refusal is the answer.
    pub(super) fn end_history(&mut self, question: &mut Question, code: Option<ErrorCode>) -> bool {
        let Answer::History(history) = question.answer_mut() else { return false };
        let messages = std::mem::take(&mut history.messages);
        if messages.is_empty() {
            return false;
        }
        self.voice.show(&Notice::History { history: messages }, Some(&question.errand));
        // What is not kept any more was asked for by number, as it were, and is not missed.
        code == Some(ErrorCode::Gone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::notice::{MessageId, Place};
    use chatproto::wire::{DeviceId, Name, Text};

    fn messages(seqs: std::ops::Range<u64>) -> Vec<Message> {
        let device = DeviceId([1; 16]);
        let (from, room) = (Name::new("bob").unwrap(), Name::new("lobby").unwrap());
        let message = |seq| Message {
            place: Place::Room(room.clone()),
            seq,
            id: MessageId { device, counter: seq },
            from: from.clone(),
            device,
            text: Text::new("hello").unwrap(),
            time: 0,
        };
        seqs.map(message).collect()
    }

    fn history(count: usize) -> History {
        History::new(RoomKey::Room(Name::new("lobby").unwrap()), count)
    }

    #[test]
    fn it_is_asked_for_more_until_enough_is_there() {
        let mut history = history(5);
        history.take(messages(8..9));
        history.take(messages(9..10));
        assert_eq!((history.end_answer(), history.missing()), (Some(8), 3));
        history.take(messages(5..8));
        assert_eq!(history.end_answer(), None);
        let Notice::History { history } = history.into_notice() else { panic!("a history") };
        assert_eq!(history.iter().map(|message| message.seq).collect::<Vec<_>>(), [5, 6, 7, 8, 9]);
    }

    #[test]
    fn it_ends_where_the_room_begins() {
        let mut first = history(5);
        first.take(messages(1..3));
        assert_eq!(first.end_answer(), None);
        let mut nothing = history(5);
        nothing.take(messages(4..6));
        assert_eq!(nothing.end_answer(), Some(4));
        assert_eq!(nothing.end_answer(), None, "the server shows nothing before");
    }
}
