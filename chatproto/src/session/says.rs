//! What was said and is not acknowledged: kept, sent in order, sent again after a reconnect.

use alloc::collections::BTreeMap;
use core::time::Duration;

use super::backoff::Pauses;
use super::outbox::Outbox;
use super::{Config, Event, PendingSay, RoomKey, SayError};
use crate::Instant;
use crate::wire::{ErrorCode, Note, Posted, Say, Text};

/// The says of this device that are not acknowledged.
#[derive(Debug)]
pub(super) struct Says {
    pending: BTreeMap<u64, Entry>,
    /// Bytes of text in `pending`.
    bytes: usize,
    /// How many of `pending` are on their way.
    unposted: usize,
    next_counter: u64,
    /// What was said to people before this login, and what was said since, waits: a name may be somebody else's by now.
    awaits_names: bool,
    /// The server asked for a pause: nothing leaves before.
    paused_until: Option<Instant>,
    pauses: Pauses,
    max: usize,
    max_bytes: usize,
    max_unposted: usize,
}

#[derive(Debug)]
struct Entry {
    say: PendingSay,
    /// Sent on this connection and not answered.
    sent: bool,
}

impl Says {
    pub(super) fn new(config: &Config, pauses: Pauses, next_counter: u64) -> Self {
        Self {
            pending: BTreeMap::new(),
            bytes: 0,
            unposted: 0,
            next_counter,
            awaits_names: false,
            paused_until: None,
            pauses,
            max: config.max_pending,
            max_bytes: config.max_pending_bytes,
            max_unposted: config.max_unposted.max(1),
        }
    }

    /// Takes up a say of an earlier run.
    pub(super) fn restore(&mut self, say: PendingSay) {
        self.next_counter = self.next_counter.max(say.counter.saturating_add(1));
        self.insert(say);
    }

    pub(super) fn next_counter(&self) -> u64 {
        self.next_counter
    }

    pub(super) fn pending(&self) -> impl Iterator<Item = &PendingSay> {
        self.pending.values().map(|entry| &entry.say)
    }

    pub(super) fn say(&mut self, target: RoomKey, text: &Text) -> Result<u64, SayError> {
        if self.pending.len() >= self.max {
            return Err(SayError::TooMany { max: self.max });
        }
        if self.bytes.saturating_add(text.as_str().len()) > self.max_bytes {
            return Err(SayError::TooManyBytes { max: self.max_bytes });
        }
        let counter = self.next_counter;
        self.next_counter = counter.saturating_add(1);
        self.insert(PendingSay { counter, target, text: text.clone() });
        Ok(counter)
    }

    /// Logged in: whether something is to be said to a person, so that it must be known first which conversations are over.
    pub(super) fn await_names(&mut self) -> bool {
        let is_to_person = |entry: &Entry| matches!(entry.say.target, RoomKey::User(_));
        self.awaits_names = self.pending.values().any(is_to_person);
        self.awaits_names
    }

    /// It is known which conversations are over.
    pub(super) fn names_told(&mut self, out: &mut Outbox) {
        if core::mem::take(&mut self.awaits_names) {
            self.flush(out);
        }
    }

    /// A conversation is over: what was to be said there is not said to whoever has the name next. The server is asked all the
    /// same, by the number of what is left: it may have stored some of it before.
    pub(super) fn retire(&mut self, was: &RoomKey, now: &RoomKey) {
        for entry in self.pending.values_mut().filter(|entry| entry.say.target == *was) {
            entry.say.target = now.clone();
        }
    }

    /// Sends what may be on its way, oldest first. Only to be called while logged in.
    pub(super) fn flush(&mut self, out: &mut Outbox) {
        if self.paused_until.is_some() {
            return;
        }
        // Those sent stand in front and are at most `max_unposted`, so little is looked at in vain.
        let room = self.max_unposted.saturating_sub(self.unposted);
        for entry in self.pending.values_mut().filter(|entry| !entry.sent).take(room) {
            if self.awaits_names && matches!(entry.say.target, RoomKey::User(_)) {
                return;
            }
            let PendingSay { counter, target, text } = &entry.say;
            out.send(&Say { counter: *counter, target: target.target(), text: text.borrow() });
            entry.sent = true;
            self.unposted += 1;
        }
    }

    /// The server stored one; told only once, also when it is acknowledged twice.
    pub(super) fn posted(&mut self, posted: &Posted, room: Option<&RoomKey>, out: &mut Outbox) {
        let Some(say) = self.remove(posted.counter) else { return };
        self.pauses.reset();
        // The answer to the first words to a person may come before the conversation has been entered.
        let room = room.cloned().unwrap_or(say.target);
        out.emit(Event::Posted { counter: posted.counter, room, seq: posted.seq, time: posted.time });
        self.flush(out);
    }

    /// The server refused one: for now, or for good. `false` when no such say is on its way.
    pub(super) fn refused(
        &mut self,
        counter: u64,
        code: ErrorCode,
        advised: Duration,
        note: &Note,
        now: Instant,
        out: &mut Outbox,
    ) -> bool {
        let Some(entry) = self.pending.get_mut(&counter).filter(|entry| entry.sent) else { return false };
        if is_passing(code) {
            entry.sent = false;
            self.unposted = self.unposted.saturating_sub(1);
            // Several that were on their way are refused together: one pause for all of them.
            if self.paused_until.is_none() {
                self.paused_until = Some(now + self.pauses.next(advised));
            }
            return true;
        }
        if let Some(PendingSay { target, .. }) = self.remove(counter) {
            out.emit(Event::SayRefused { counter, target, code, note: note.clone() });
            self.flush(out);
        }
        true
    }

    pub(super) fn paused_until(&self) -> Option<Instant> {
        self.paused_until
    }

    /// Goes on when the pause is over.
    pub(super) fn resume(&mut self, now: Instant, out: &mut Outbox) {
        if self.paused_until.is_some_and(|until| now >= until) {
            self.paused_until = None;
            self.flush(out);
        }
    }

    /// The connection is gone: everything unanswered is sent again on the next one.
    pub(super) fn lost(&mut self) {
        self.pending.values_mut().for_each(|entry| entry.sent = false);
        self.unposted = 0;
        self.awaits_names = false;
        self.paused_until = None;
    }

    fn insert(&mut self, say: PendingSay) {
        let len = say.text.as_str().len();
        if let Some(old) = self.pending.insert(say.counter, Entry { say, sent: false }) {
            self.bytes = self.bytes.saturating_sub(old.say.text.as_str().len());
        }
        self.bytes = self.bytes.saturating_add(len);
    }

    fn remove(&mut self, counter: u64) -> Option<PendingSay> {
        let Entry { say, sent } = self.pending.remove(&counter)?;
        self.bytes = self.bytes.saturating_sub(say.text.as_str().len());
        self.unposted = self.unposted.saturating_sub(usize::from(sent));
        Some(say)
    }
}

/// Whether the same say can succeed a little later.
fn is_passing(code: ErrorCode) -> bool {
    matches!(
        code,
        ErrorCode::Backlog
            | ErrorCode::Busy
            | ErrorCode::Flood
            | ErrorCode::ShuttingDown
            | ErrorCode::TooFast
    )
}
