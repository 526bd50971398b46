//! Talking over the link.

use super::{Event, Peer, SayError, Violation};
use crate::wire::{FrameType, LinkSaid, LinkSay, Text};

/// How far each direction has come. Nothing is kept of what was said: the connection delivers it or breaks.
#[derive(Debug, Default)]
pub(super) struct Chat {
    said: u64,
    acknowledged: u64,
    heard: u64,
}

impl Peer {
    /// Says something to the other end, and returns its number on this link: 1, 2, 3 ...
    ///
    /// [`Event::SayReceived`] tells when it has arrived. It goes before file data.
    ///
    /// # Errors
    /// When the link does not stand, or the other end does not read.
    pub fn say(&mut self, text: &Text) -> Result<u64, SayError> {
        self.check_open().map_err(SayError::NotOpen)?;
        let (waiting, max) = (self.chat_waiting(), self.config.limits.max_queue);
        if waiting > max {
            return Err(SayError::Backlog { waiting, max });
        }
        self.chat.said += 1;
        self.conn.send(&LinkSay { counter: self.chat.said, text: text.borrow() });
        Ok(self.chat.said)
    }

    pub(super) fn on_say(&mut self, say: &LinkSay<'_>) -> Result<(), Violation> {
        let expected = self.chat.heard + 1;
        if say.counter != expected {
            return Err(Violation::Counter { frame: FrameType::LinkSay, expected, found: say.counter });
        }
        self.chat.heard = expected;
        self.events.push_back(Event::Said { counter: say.counter, text: say.text.to_owned() });
        self.conn.send(&LinkSaid { counter: say.counter });
        Ok(())
    }

    pub(super) fn on_said(&mut self, said: LinkSaid) -> Result<(), Violation> {
        let (found, before, last) = (said.counter, self.chat.acknowledged, self.chat.said);
        if found <= before || found > last {
            return Err(Violation::Acknowledgement { found, before, last });
        }
        self.chat.acknowledged = said.counter;
        self.events.push_back(Event::SayReceived { counter: said.counter });
        Ok(())
    }
}
