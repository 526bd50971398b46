//! File data that waits to be let go: the window says how much may be on its way, and what goes beyond it stays here.
//!
//! Whole frames and the bytes of units stand in line in the order of the stream. Units are cut into frames when they are
//! let go, so that the frames fit the wire as it is then.

use alloc::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use super::Peer;
use super::window::Window;
use crate::Instant;
use crate::conn::{Lane, SendQueue};
use crate::wire::{
    Body, FileData, FrameType, HEADER_LEN, MAX_FILE_DATA, Ping, Pong, Rest, TransferId, encode_header,
};

/// Bytes of a data frame's body before the data: the transfer and the offset. With values it is the same.
pub(super) const DATA_FIELDS: usize = 4 + 8;

/// What of files waits for the window.
#[derive(Debug)]
pub(super) struct Outflow {
    window: Window,
    waiting: VecDeque<(TransferId, Waiting)>,
    bytes: usize,
    /// The latest time that this end was told.
    now: Instant,
}

#[derive(Debug)]
enum Waiting {
    /// One whole frame.
    Frame(Bytes),
    /// The rest of a unit, from this offset of the file.
    Data { offset: u64, bytes: Bytes },
}

impl Outflow {
    pub(super) fn new(now: Instant) -> Self {
        Self { window: Window::new(now), waiting: VecDeque::new(), bytes: 0, now }
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes
    }

    /// Tells the time, from which markers are timed.
    pub(super) fn set_time(&mut self, now: Instant) {
        self.now = self.now.max(now);
    }

    pub(super) fn push_frame<'a>(&mut self, transfer: TransferId, frame: &impl Body<'a>) {
        let frame = frame.to_bytes();
        self.bytes += frame.len();
        self.waiting.push_back((transfer, Waiting::Frame(frame)));
    }

    /// Queues the bytes of a unit, without copying them.
    pub(super) fn push_data(&mut self, transfer: TransferId, offset: u64, bytes: Bytes) {
        self.bytes += bytes.len();
        self.waiting.push_back((transfer, Waiting::Data { offset, bytes }));
    }

    /// Forgets what waits of a transfer that has ended.
    pub(super) fn forget(&mut self, transfer: TransferId) {
        self.waiting.retain(|(of, _)| *of != transfer);
        self.bytes = self.waiting.iter().map(|(_, waiting)| waiting.len()).sum();
    }

    /// Forgets everything; the link has ended.
    pub(super) fn clear(&mut self) {
        (self.waiting, self.bytes) = (VecDeque::new(), 0);
    }

    /// Lets go of what the window has room for, in frames of at most `max_frame` bytes.
    fn let_go(&mut self, queue: &mut SendQueue, max_frame: usize) {
        if self.waiting.is_empty() {
            return;
        }
        self.window.wake(self.now);
        // Each round takes something off what waits.
        while self.window.room() > 0
            && let Some((transfer, waiting)) = self.waiting.pop_front()
        {
            let before = queue.bulk_len();
            match waiting {
                Waiting::Frame(frame) => {
                    self.bytes -= frame.len();
                    queue.push_bulk(frame, None);
                }
                Waiting::Data { offset, mut bytes } => {
                    let piece = usize::try_from(self.window.piece()).unwrap_or(usize::MAX);
                    let piece = piece.min(max_frame.saturating_sub(1 + DATA_FIELDS)).clamp(1, MAX_FILE_DATA);
                    let piece = bytes.split_to(piece.min(bytes.len()));
                    self.bytes -= piece.len();
                    if !bytes.is_empty() {
                        let offset = offset.saturating_add(u64::try_from(piece.len()).unwrap_or(u64::MAX));
                        self.waiting.push_front((transfer, Waiting::Data { offset, bytes }));
                    }
                    queue.push_bulk(data_head(transfer, offset, piece.len()), Some(piece));
                }
            }
            let bytes = queue.bulk_len().saturating_sub(before);
            self.window.let_go(u64::try_from(bytes).unwrap_or(u64::MAX), self.now);
            self.mark(queue);
        }
        let is_held = !self.waiting.is_empty();
        self.window.set_limits(is_held);
        if is_held {
            self.mark(queue);
        }
    }

    fn mark(&mut self, queue: &mut SendQueue) {
        if let Some(nonce) = self.window.mark(self.now) {
            queue.push_frame(Lane::Bulk, &Ping { nonce });
        }
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Self::Frame(bytes) | Self::Data { bytes, .. } => bytes.len(),
        }
    }
}

/// The beginning of a data frame, up to its data.
fn data_head(transfer: TransferId, offset: u64, len: usize) -> Bytes {
    let mut head = BytesMut::with_capacity(HEADER_LEN + DATA_FIELDS);
    encode_header(FrameType::FileData, DATA_FIELDS + len, &mut head);
    FileData { transfer, offset, data: Rest(&[]) }.encode_body(&mut head);
    head.freeze()
}

impl Peer {
    /// Lets file data go as far as the window has room.
    pub(super) fn let_go(&mut self) {
        self.outflow.let_go(&mut self.conn.queue, self.max_frame_out);
    }

    /// Bytes of file data that wait to be sent, for the window or for the driver.
    pub(super) fn bulk_waiting(&self) -> usize {
        self.outflow.len().saturating_add(self.conn.queue.bulk_len())
    }

    pub(super) fn on_pong(&mut self, pong: Pong) {
        self.outflow.window.answer(pong.nonce, self.outflow.now);
        self.let_go();
    }
}
