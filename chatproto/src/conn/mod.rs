//! What every connection needs, whoever is at the other end: reading frames, queueing what goes out, deadlines, budgets.
//!
//! A [`Conn`] is one connection's share of a machine. It knows frames' lengths and times, not their meaning.

mod budget;
mod deadlines;
mod limits;
mod queue;
mod reader;

use bytes::{Bytes, BytesMut};

pub use budget::Budget;
pub use deadlines::{Deadlines, Due, Stage};
pub use limits::Limits;
pub use queue::{Lane, SendQueue};
pub use reader::{FrameReader, Step};

use crate::Instant;
use crate::wire::{Body, Bye, CloseReason, Error, ErrorCode, FrameError, MAX_HELLO_FRAME, NoteRef};

/// One connection: reader, queue, deadlines, budget, and how it ends.
#[derive(Debug)]
pub struct Conn {
    /// Cuts the input into frames.
    pub reader: FrameReader,
    /// What waits to be sent.
    pub queue: SendQueue,
    /// Handshake, login, idle and ping.
    pub deadlines: Deadlines,
    /// What the other side may still send in this interval.
    pub budget: Budget,
    closing: Option<CloseReason>,
}

impl Conn {
    /// A connection that was made at `now`, before any hello.
    #[must_use]
    pub fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            reader: FrameReader::new(MAX_HELLO_FRAME),
            queue: SendQueue::new(),
            deadlines: Deadlines::new(limits, now),
            budget: Budget::new(limits, now),
            closing: None,
        }
    }

    /// Queues one frame.
    pub fn send<'a>(&mut self, frame: &impl Body<'a>) {
        if self.closing.is_none() {
            self.queue.push_frame(Lane::Chat, frame);
        }
    }

    /// Queues frames that are encoded already and may be shared with other connections.
    pub fn send_shared(&mut self, frames: Bytes) {
        if self.closing.is_none() {
            self.queue.push_shared(frames);
        }
    }

    /// Queues an error frame.
    pub fn send_error(&mut self, code: ErrorCode, about: u8, request: u64, note: &str) {
        self.send(&Error { code, about, request, retry_after: 0, note: NoteRef::truncated(note) });
    }

    /// Queues a bye as the last frame. What came before it is still sent, except bulk frames that have not begun; what
    /// comes after it is dropped.
    pub fn close(&mut self, reason: CloseReason, note: &str) {
        self.close_for(reason, 0, note);
    }

    /// As [`close`](Self::close), with advice to come back after `retry_after` milliseconds.
    pub fn close_for(&mut self, reason: CloseReason, retry_after: u32, note: &str) {
        // Chat goes before bulk, so the bye would; and who closes does not wait for bulk.
        self.queue.drop_bulk();
        self.send(&Bye { reason, retry_after, note: NoteRef::truncated(note) });
        self.closing.get_or_insert(reason);
    }

    /// Answers a frame that broke the rules: an error that says what, then the bye.
    pub fn violation(&mut self, error: &FrameError) {
        let mut note = NoteBuffer::default();
        // A note that does not fit is cut; that is all that can go wrong here.
        let _ = core::fmt::Write::write_fmt(&mut note, format_args!("{error}"));
        self.send_error(error.code(), error.about(), 0, note.as_str());
        self.close(CloseReason::Violation, "");
    }

    /// Why the connection is ending, once its bye is queued.
    #[must_use]
    pub fn closing(&self) -> Option<CloseReason> {
        self.closing
    }

    /// Whether the bye and everything before it was taken by the driver.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.closing.is_some() && self.queue.is_empty()
    }
}

/// Room for one note.
#[derive(Default)]
struct NoteBuffer(BytesMut);

impl NoteBuffer {
    fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl core::fmt::Write for NoteBuffer {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        self.0.extend_from_slice(text.as_bytes());
        Ok(())
    }
}
