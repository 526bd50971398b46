//! Reads what a machine sends, and finds out if it is not what it may send.

use bytes::Buf;
use chatproto::conn::{FrameReader, SendQueue};
use chatproto::wire::{FrameError, MAX_FRAME, RawFrame};

/// The receiving end of one connection of a machine.
pub struct Sent {
    reader: FrameReader,
    check: fn(RawFrame<'_>) -> Result<bool, FrameError>,
}

impl Sent {
    /// `check` decodes a frame in the right direction and says whether it is known.
    pub fn new(check: fn(RawFrame<'_>) -> Result<bool, FrameError>) -> Self {
        Self { reader: FrameReader::new(MAX_FRAME), check }
    }

    /// Takes up to `count` bytes from the queue, a chunk at a time as a socket does.
    pub fn take(&mut self, queue: &mut SendQueue, count: usize) {
        self.take_each(queue, count, |_| {});
    }

    /// As [`take`](Self::take), and shows every frame.
    pub fn take_each(&mut self, queue: &mut SendQueue, count: usize, mut hear: impl FnMut(RawFrame<'_>)) {
        let mut left = count;
        while left > 0 && queue.has_remaining() {
            let chunk = queue.chunk();
            assert!(!chunk.is_empty(), "bytes wait, but there is no chunk");
            let len = chunk.len().min(left);
            self.read(&chunk[..len], &mut hear);
            queue.advance(len);
            left -= len;
        }
    }

    fn read(&mut self, mut bytes: &[u8], hear: &mut impl FnMut(RawFrame<'_>)) {
        loop {
            let step = self.reader.step(bytes).expect("a machine sends legal headers");
            let used = step.used;
            let Some(raw) = step.frame else { return };
            assert_eq!((self.check)(raw), Ok(true), "a machine sends legal frames");
            hear(raw);
            bytes = &bytes[used..];
        }
    }
}
