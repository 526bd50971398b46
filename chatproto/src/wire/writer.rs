//! Puts frames together in one buffer, so that messages which follow one another share a frame.

use bytes::{Bytes, BytesMut};

use super::messages::RUNS_AT;
use super::{Body, FrameType, HEADER_LEN, MIN_FRAME, Message, RoomId, Wire, encode_header};

/// Frames on their way out. After every call they are whole.
///
/// A message joins the [`messages`](FrameType::Messages) before it if it is the next of the same room, and the frame stays one
/// that everybody accepts; any other frame in between ends it.
#[derive(Debug, Default)]
pub struct FrameWriter {
    bytes: BytesMut,
    open: Option<Open>,
}

/// The frame of messages at the end of the buffer.
#[derive(Debug, Clone, Copy)]
struct Open {
    /// Where it begins.
    frame: usize,
    /// Where its last run begins.
    run: usize,
    /// Where the length of what is said in that run is.
    said: usize,
    room: RoomId,
    flags: u8,
    /// Number and time of its last message.
    seq: u64,
    time: u64,
}

impl FrameWriter {
    /// An empty buffer that holds `capacity` bytes before it grows.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self { bytes: BytesMut::with_capacity(capacity), open: None }
    }

    /// Bytes of the frames.
    #[must_use]
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is no frame.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Appends a frame.
    pub fn frame<'a>(&mut self, frame: &impl Body<'a>) {
        self.open = None;
        frame.encode_frame(&mut self.bytes);
    }

    /// Appends a message: to the frame before, or as a new one.
    pub fn message(&mut self, message: &Message<'_>) {
        let (open, later) = self.go_on(message).unwrap_or_else(|| (self.begin_frame(message), 0));
        later.encode(&mut self.bytes);
        message.counter.encode(&mut self.bytes);
        message.text.encode(&mut self.bytes);
        for length in [open.frame, open.frame + HEADER_LEN + RUNS_AT, open.said] {
            self.set_length(length);
        }
        self.open = Some(Open { seq: message.seq, time: message.time, ..open });
    }

    /// Takes the frames out; what comes next begins a new one.
    pub fn take(&mut self) -> Bytes {
        self.open = None;
        self.bytes.split().freeze()
    }

    /// The open frame with a run of the message's author at its end, and the time since the message before; `None` if the
    /// message does not belong there.
    fn go_on(&mut self, message: &Message<'_>) -> Option<(Open, u32)> {
        let open = self.open.filter(|open| (open.room, open.flags) == (message.room, message.flags))?;
        if open.seq.checked_add(1) != Some(message.seq) {
            return None;
        }
        let later = u32::try_from(message.time.checked_sub(open.time)?).ok()?;
        let goes_on = self.is_by_author(&open, message);
        let run_len = if goes_on { 0 } else { message.run_len() };
        let len = self.length_at(open.frame).saturating_add(run_len).saturating_add(message.said_len());
        if len > MAX_LENGTH {
            return None;
        }
        Some((if goes_on { open } else { self.begin_run(open, message) }, later))
    }

    /// Whether the last run is by who says this, on the same device.
    fn is_by_author(&self, open: &Open, message: &Message<'_>) -> bool {
        let speaker = self.bytes.get(open.run..open.said).and_then(<[u8]>::split_first_chunk);
        speaker.is_some_and(|(device, from)| {
            *device == message.device.0 && from.get(1..) == Some(message.from.as_str().as_bytes())
        })
    }

    fn begin_frame(&mut self, message: &Message<'_>) -> Open {
        let Message { room, seq, time, flags, .. } = *message;
        let frame = self.bytes.len();
        encode_header(FrameType::Messages, 0, &mut self.bytes);
        room.encode(&mut self.bytes);
        seq.encode(&mut self.bytes);
        time.encode(&mut self.bytes);
        flags.encode(&mut self.bytes);
        LENGTH_TO_COME.encode(&mut self.bytes);
        self.begin_run(Open { frame, run: 0, said: 0, room, flags, seq, time }, message)
    }

    fn begin_run(&mut self, open: Open, message: &Message<'_>) -> Open {
        let run = self.bytes.len();
        message.device.encode(&mut self.bytes);
        message.from.encode(&mut self.bytes);
        let said = self.bytes.len();
        LENGTH_TO_COME.encode(&mut self.bytes);
        Open { run, said, ..open }
    }

    /// Bytes behind a length field at `at`: the frame, its runs and what is said in the last of them all end with the buffer.
    fn length_at(&self, at: usize) -> usize {
        self.bytes.len().saturating_sub(at + LENGTH_LEN)
    }

    fn set_length(&mut self, at: usize) {
        // Bounded by MAX_LENGTH.
        let len = u32::try_from(self.length_at(at)).unwrap_or(u32::MAX);
        if let Some(field) = self.bytes.get_mut(at..).and_then(<[u8]>::first_chunk_mut) {
            *field = len.to_be_bytes();
        }
    }
}

/// Bytes of a length field.
const LENGTH_LEN: usize = size_of::<u32>();

/// Stands in for a length until what it counts is there.
const LENGTH_TO_COME: u32 = 0;

/// A frame that more messages may join stays one that every member accepts, so that all can share it.
const MAX_LENGTH: usize = MIN_FRAME as usize;
