//! Moves bytes between one connection of a machine and its stream.

use alloc::vec::Vec;

use bytes::Buf as _;

use super::{Network, StreamId};
use crate::Instant;
use crate::conn::SendQueue;
use crate::hub::{ConnId, Hub};
use crate::peer::Peer;
use crate::session::Session;

/// One connection of a machine, whichever it is.
pub(super) trait End {
    fn input(&mut self, bytes: &[u8], now: Instant);
    fn eof(&mut self, now: Instant);
    fn queue(&mut self) -> Option<&mut SendQueue>;
    fn wants_read(&self) -> bool;
    fn is_finished(&self) -> bool;
}

impl End for Session {
    fn input(&mut self, bytes: &[u8], now: Instant) {
        self.handle_input(bytes, now);
    }
    fn eof(&mut self, now: Instant) {
        self.handle_eof(now);
    }
    fn queue(&mut self) -> Option<&mut SendQueue> {
        Some(self.outgoing())
    }
    fn wants_read(&self) -> bool {
        Self::wants_read(self)
    }
    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}

impl End for Peer {
    fn input(&mut self, bytes: &[u8], now: Instant) {
        self.handle_input(bytes, now);
    }
    fn eof(&mut self, now: Instant) {
        self.handle_eof(now);
    }
    fn queue(&mut self) -> Option<&mut SendQueue> {
        Some(self.outgoing())
    }
    fn wants_read(&self) -> bool {
        Self::wants_read(self)
    }
    fn is_finished(&self) -> bool {
        Self::is_finished(self)
    }
}

/// One connection of a hub.
pub(super) struct HubConn<'a>(pub(super) &'a mut Hub, pub(super) ConnId);

impl End for HubConn<'_> {
    fn input(&mut self, bytes: &[u8], now: Instant) {
        self.0.handle_input(self.1, bytes, now);
    }
    fn eof(&mut self, now: Instant) {
        self.0.handle_eof(self.1, now);
    }
    fn queue(&mut self) -> Option<&mut SendQueue> {
        self.0.outgoing(self.1)
    }
    fn wants_read(&self) -> bool {
        self.0.wants_read(self.1)
    }
    fn is_finished(&self) -> bool {
        self.0.is_finished(self.1)
    }
}

/// What one round on a connection came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pumped {
    /// Nothing could be moved.
    Idle,
    /// Something was.
    Moved,
    /// The connection is over; the stream was closed and the machine told.
    Over,
}

/// Writes and reads once as far as the stream goes, and ends what has ended.
pub(super) fn pump(network: &mut Network, stream: StreamId, end: &mut impl End, now: Instant) -> Pumped {
    let mut moved = write(network, stream, end, now);
    let mut bytes = Vec::new();
    while end.wants_read() && network.read(stream, &mut bytes, now) > 0 {
        end.input(&bytes, now);
        moved = true;
    }
    moved |= write(network, stream, end, now);
    let waits = end.queue().is_some_and(|queue| queue.has_remaining());
    let is_over =
        end.is_finished() && !waits || network.is_at_end(stream) || waits && network.is_reset(stream);
    if is_over {
        network.close(stream);
        end.eof(now);
        return Pumped::Over;
    }
    if moved { Pumped::Moved } else { Pumped::Idle }
}

fn write(network: &mut Network, stream: StreamId, end: &mut impl End, now: Instant) -> bool {
    let Some(queue) = end.queue() else { return false };
    let mut moved = false;
    // Ends when the queue is empty or the window full.
    while queue.has_remaining() && network.write(stream, queue, now) > 0 {
        moved = true;
    }
    moved
}
