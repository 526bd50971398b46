//! What waits to be sent on one connection.
//!
//! A queue of segments that the driver drains as a [`bytes::Buf`], vectored if it likes. Small frames are collected in
//! one open segment; encoded batches are shared with other connections; bulk data keeps its own buffers. Chat goes
//! before bulk, at the boundaries of frames.

use alloc::collections::VecDeque;

use bytes::{Buf, BufMut as _, Bytes, BytesMut};

use crate::wire::Body;

/// Which frames go first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Everything that a person waits for.
    Chat,
    /// File data: sent when no chat waits.
    Bulk,
}

/// Frames smaller than this are collected in one segment instead of getting their own.
const COLLECT: usize = 4096;

/// Capacity that the open segment starts with.
const OPEN_CAPACITY: usize = 256;

#[derive(Debug)]
struct Segment {
    bytes: Bytes,
    /// Whether a frame ends with this segment, so that another lane may go next.
    ends_frame: bool,
}

/// The sending half of a connection.
#[derive(Debug, Default)]
pub struct SendQueue {
    /// Chat segments first, then bulk; the frame that is partly sent stays in front.
    segments: VecDeque<Segment>,
    /// How many of the segments in front must go before any bulk frame that has not begun.
    chat: usize,
    /// Small chat frames that are still being collected; they follow the chat segments.
    open: BytesMut,
    /// Bytes of bulk that wait.
    bulk_bytes: usize,
    bytes: usize,
    /// Bytes that the driver took and has not brought to the socket yet.
    in_transit: usize,
}

impl SendQueue {
    /// An empty queue; holds no heap memory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that count against the bounds of the connection: those that wait, and those in
    /// [transit](Self::set_in_transit).
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes + self.in_transit
    }

    /// For a driver that hands what it takes to another thread: how many of those bytes have not reached the socket. Who
    /// does not read must fill the queue all the same.
    pub fn set_in_transit(&mut self, bytes: usize) {
        self.in_transit = bytes;
    }

    /// Bytes of bulk data that wait.
    #[must_use]
    pub fn bulk_len(&self) -> usize {
        self.bulk_bytes
    }

    /// Whether the driver took everything.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Queues one frame, encoding it.
    pub fn push_frame<'a>(&mut self, lane: Lane, frame: &impl Body<'a>) {
        let len = frame.frame_len();
        match lane {
            Lane::Chat => {
                if self.open.capacity() == 0 {
                    self.open.reserve(OPEN_CAPACITY.max(len));
                }
                frame.encode_frame(&mut self.open);
                self.bytes += len;
                if self.open.len() >= COLLECT {
                    self.close_open();
                }
            }
            Lane::Bulk => self.push_bulk(frame.to_bytes(), None),
        }
    }

    /// Queues whole frames that are encoded already, without copying them.
    pub fn push_shared(&mut self, frames: Bytes) {
        if frames.is_empty() {
            return;
        }
        // A short batch is cheaper to copy than to keep alive and to gather.
        if frames.len() < OPEN_CAPACITY {
            self.bytes += frames.len();
            self.open.extend_from_slice(&frames);
            return;
        }
        self.close_open();
        self.bytes += frames.len();
        self.insert_chat(frames);
    }

    /// Queues one bulk frame: its encoded beginning, and a payload that is not copied.
    pub fn push_bulk(&mut self, head: Bytes, payload: Option<Bytes>) {
        // An empty segment in front would look like the end of the queue.
        let payload = payload.filter(|payload| !payload.is_empty());
        let head = Some(head).filter(|head| !head.is_empty());
        let ends_with_head = payload.is_none();
        for (bytes, ends_frame) in [(head, ends_with_head), (payload, true)] {
            let Some(bytes) = bytes else { continue };
            self.bytes += bytes.len();
            self.bulk_bytes += bytes.len();
            self.segments.push_back(Segment { bytes, ends_frame });
        }
    }

    /// Forgets bulk frames that have not begun. A frame that has begun stays, so that the stream stays whole.
    pub fn drop_bulk(&mut self) {
        self.segments.truncate(self.chat);
        self.bytes -= self.bulk_bytes;
        self.bulk_bytes = 0;
    }

    /// Forgets everything that was not taken.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    fn insert_chat(&mut self, bytes: Bytes) {
        self.segments.insert(self.chat, Segment { bytes, ends_frame: true });
        self.chat += 1;
    }

    fn close_open(&mut self) {
        if !self.open.is_empty() {
            let bytes = self.open.split().freeze();
            self.insert_chat(bytes);
        }
    }
}

/// What the driver sends, in order. Taking part of a frame is fine.
impl Buf for SendQueue {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        if self.chat == 0 && !self.open.is_empty() {
            return &self.open;
        }
        self.segments.front().map_or(&[], |segment| &segment.bytes)
    }

    #[cfg(feature = "std")]
    fn chunks_vectored<'a>(&'a self, into: &mut [std_io::IoSlice<'a>]) -> usize {
        let segments = |from| self.segments.iter().skip(from).map(|segment| &*segment.bytes);
        let (chat, bulk) = (segments(0).take(self.chat), segments(self.chat));
        let open = (!self.open.is_empty()).then_some(&*self.open);
        let mut filled = 0;
        for (slot, bytes) in into.iter_mut().zip(chat.chain(open).chain(bulk)) {
            *slot = std_io::IoSlice::new(bytes);
            filled += 1;
        }
        filled
    }

    /// What fits the first segment is shared; only what is longer, or still being collected, may be copied.
    fn copy_to_bytes(&mut self, len: usize) -> Bytes {
        let len = len.min(self.bytes);
        if self.chat == 0 && len == self.open.len() {
            self.close_open();
        }
        if let Some(front) = self.segments.front()
            && (self.chat > 0 || self.open.is_empty())
            && len <= front.bytes.len()
        {
            let shared = front.bytes.slice(..len);
            self.advance(len);
            return shared;
        }
        let mut copied = BytesMut::with_capacity(len);
        copied.put(self.take(len));
        copied.freeze()
    }

    fn advance(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        // Every round removes a segment, the open one, or ends the loop.
        while left > 0 {
            if self.chat == 0 && !self.open.is_empty() {
                let taken = left.min(self.open.len());
                self.open.advance(taken);
                left -= taken;
                if self.open.is_empty() {
                    self.open = BytesMut::new();
                } else if left == 0 {
                    // Partly sent: it must stay in front of any bulk, which it is.
                    return;
                }
                continue;
            }
            let Some(front) = self.segments.front_mut() else { return };
            let taken = left.min(front.bytes.len());
            let was_bulk = self.chat == 0;
            front.bytes.advance(taken);
            left -= taken;
            if was_bulk {
                self.bulk_bytes -= taken;
            }
            let emptied = front.bytes.is_empty();
            let ends_frame = front.ends_frame;
            if emptied {
                self.segments.pop_front();
                self.chat = self.chat.saturating_sub(1);
            }
            // A bulk frame that has begun must be finished before chat goes on: count its rest as chat.
            if was_bulk && !(emptied && ends_frame) {
                let rest = self.segments.iter().position(|segment| segment.ends_frame).map_or(0, |at| at + 1);
                let begun = self.segments.iter().take(rest).map(|segment| segment.bytes.len()).sum::<usize>();
                self.bulk_bytes = self.bulk_bytes.saturating_sub(begun);
                self.chat = rest;
            }
        }
        if self.segments.is_empty() && self.segments.capacity() > IDLE_SEGMENTS {
            self.segments = VecDeque::new();
        }
    }
}

/// Segments whose room an empty queue may keep.
const IDLE_SEGMENTS: usize = 8;

#[cfg(feature = "std")]
mod std_io {
    extern crate std;
    pub(super) use std::io::IoSlice;
}
