//! Messages that follow one another in a room, as one frame.
//!
//! A turn of a busy room is many short messages. What they have in common is said once for all of them: the room, the first
//! number and time, and who spoke for as many as one device said in a row.

use core::fmt;

use bytes::{BufMut, Bytes};

use super::{
    Body, DeviceId, FrameType, FrameWriter, HEADER_LEN, NameRef, Reader, RoomId, TextRef, Wire, WireError,
};

/// One message of a room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Message<'a> {
    /// The room.
    pub room: RoomId,
    /// Its number in the room: 1, 2, 3 ... without a gap.
    pub seq: u64,
    /// When it was stored, in milliseconds since 1970-01-01 UTC.
    pub time: u64,
    /// [`MESSAGE_MISSED`](super::MESSAGE_MISSED) or 0; other bits are ignored.
    pub flags: u8,
    /// The device that said it.
    pub device: DeviceId,
    /// The device's own number for it.
    pub counter: u64,
    /// Who said it.
    pub from: NameRef<'a>,
    /// What was said.
    pub text: TextRef<'a>,
}

impl Message<'_> {
    /// Length of the frame that holds this message alone, in bytes, header included. Beside others it never takes more.
    #[must_use]
    pub fn frame_len(&self) -> usize {
        HEADER_LEN + HEAD_LEN + self.run_len() + self.said_len()
    }

    /// The frame that holds this message alone, header included.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let mut out = FrameWriter::with_capacity(self.frame_len());
        out.message(self);
        out.take()
    }

    /// What a run takes before the first thing said in it.
    pub(super) fn run_len(&self) -> usize {
        size_of::<DeviceId>() + self.from.encoded_len() + LIST_LEN
    }

    /// What the message takes in a run.
    pub(super) fn said_len(&self) -> usize {
        LATER_LEN + size_of::<u64>() + self.text.encoded_len()
    }
}

/// Messages of one room whose numbers follow one another; at least one.
///
/// There are only those that were received: a [`FrameWriter`] puts such frames together, message by message. All of them were
/// checked once when the frame was decoded, so iterating cannot fail.
#[derive(Clone, Copy, PartialEq)]
pub struct Messages<'a> {
    /// The body, checked.
    body: &'a [u8],
}

impl<'a> Messages<'a> {
    /// The messages in order.
    pub fn iter(&self) -> impl Iterator<Item = Message<'a>> + use<'a> {
        Walk::begin(self.body).into_iter().flatten().map_while(Result::ok)
    }
}

impl fmt::Debug for Messages<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> Body<'a> for Messages<'a> {
    const TYPE: FrameType = FrameType::Messages;

    fn decode_body(body: &'a [u8]) -> Result<Self, WireError> {
        for message in Walk::begin(body)? {
            message?;
        }
        Ok(Self { body })
    }

    fn encode_body(&self, out: &mut impl BufMut) {
        out.put_slice(self.body);
    }

    fn body_len(&self) -> usize {
        self.body.len()
    }
}

/// A way through the body of a frame, message by message.
struct Walk<'a> {
    room: RoomId,
    flags: u8,
    /// Number of the next message; `None` behind the largest.
    seq: Option<u64>,
    /// Time of the message before, or that of the frame.
    time: u64,
    is_first: bool,
    /// Runs that have not begun.
    runs: Reader<'a>,
    /// Who speaks in the run that has.
    speaker: Option<(DeviceId, NameRef<'a>)>,
    /// What is left of it.
    said: Reader<'a>,
}

impl<'a> Walk<'a> {
    fn begin(body: &'a [u8]) -> Result<Self, WireError> {
        let mut reader = Reader::new(body);
        let room = RoomId::decode(&mut reader, "room")?;
        let seq = u64::decode(&mut reader, "seq")?;
        let time = u64::decode(&mut reader, "time")?;
        let flags = u8::decode(&mut reader, "flags")?;
        let runs = items(&mut reader, "runs")?;
        reader.finish()?;
        let (speaker, said) = (None, Reader::new(&[]));
        Ok(Self { room, flags, seq: Some(seq), time, is_first: true, runs, speaker, said })
    }

    fn begin_run(&mut self) -> Result<(DeviceId, NameRef<'a>), WireError> {
        let device = DeviceId::decode(&mut self.runs, "device")?;
        let from = NameRef::decode(&mut self.runs, "from")?;
        self.said = items(&mut self.runs, "said")?;
        if self.speaker.replace((device, from)) == Some((device, from)) {
            return Err(WireError::Divided { field: "runs" });
        }
        Ok((device, from))
    }

    fn step(&mut self) -> Result<Message<'a>, WireError> {
        let (device, from) = match self.speaker {
            Some(speaker) if self.said.remaining() > 0 => speaker,
            Some(_) | None => self.begin_run()?,
        };
        let later = u32::decode(&mut self.said, "later")?;
        if self.is_first && later != 0 {
            return Err(WireError::UnknownValue { field: "later", value: later.into() });
        }
        self.is_first = false;
        let seq = self.seq.ok_or(WireError::Overflow { field: "seq" })?;
        self.seq = seq.checked_add(1);
        self.time = self.time.checked_add(later.into()).ok_or(WireError::Overflow { field: "time" })?;
        Ok(Message {
            room: self.room,
            seq,
            time: self.time,
            flags: self.flags,
            device,
            counter: u64::decode(&mut self.said, "counter")?,
            from,
            text: TextRef::decode(&mut self.said, "text")?,
        })
    }
}

impl<'a> Iterator for Walk<'a> {
    type Item = Result<Message<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        (self.said.remaining() > 0 || self.runs.remaining() > 0).then(|| self.step())
    }
}

/// The bytes of a list that must not be empty.
fn items<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<Reader<'a>, WireError> {
    let len = u32::decode(reader, field)?;
    // A frame is shorter than usize::MAX, so a length that does not fit is one that is not there.
    let len = usize::try_from(len).map_err(|_| WireError::Truncated { field })?;
    match reader.take(len, field)? {
        [] => Err(WireError::Empty { field }),
        items => Ok(Reader::new(items)),
    }
}

/// Bytes of a list's length.
const LIST_LEN: usize = size_of::<u32>();

/// Bytes of the time since the message before.
const LATER_LEN: usize = size_of::<u32>();

/// Where the length of the runs is, from the start of the body: behind room, number, time and flags.
pub(super) const RUNS_AT: usize = size_of::<RoomId>() + 2 * size_of::<u64>() + 1;

/// What stands before the first run in a body.
const HEAD_LEN: usize = RUNS_AT + LIST_LEN;
