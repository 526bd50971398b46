//! What leaves the machine: frames to the server, events to the program, and the numbers of requests.

use alloc::collections::VecDeque;

use super::Event;
use crate::Instant;
use crate::conn::{Conn, Limits};
use crate::wire::{Body, RequestId};

/// Events for which there is room even when there are none.
const KEEP_EVENTS: usize = 64;

/// The way out that all parts of a session share.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) conn: Conn,
    pub(super) events: VecDeque<Event>,
    /// Bytes of input that came since the program had polled everything.
    pub(super) unpolled: usize,
    last_request: u32,
}

impl Outbox {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self { conn: Conn::new(limits, now), events: VecDeque::new(), unpolled: 0, last_request: 0 }
    }

    /// Bytes came, whatever becomes of them.
    pub(super) fn heard(&mut self, bytes: usize) {
        let before = if self.events.is_empty() { 0 } else { self.unpolled };
        self.unpolled = before.saturating_add(bytes);
    }

    /// The next event. Whoever has polled them all gives the memory of many back.
    pub(super) fn poll(&mut self) -> Option<Event> {
        let event = self.events.pop_front();
        if self.events.is_empty() {
            self.unpolled = 0;
            self.events.shrink_to(KEEP_EVENTS);
        }
        event
    }

    pub(super) fn send<'a>(&mut self, frame: &impl Body<'a>) {
        self.conn.send(frame);
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.events.push_back(event);
    }

    /// A number that no request of this session had before, so that a late answer is never taken for another.
    pub(super) fn next_request(&mut self) -> RequestId {
        // 0 means none on the wire; four billion requests later the first ones are long answered.
        self.last_request = self.last_request.checked_add(1).unwrap_or(1);
        RequestId(self.last_request)
    }
}
