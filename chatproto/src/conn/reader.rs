//! Cuts a byte stream into frames.
//!
//! Whole frames are handed out straight from the driver's buffer. Only a frame that is cut by the end of the input is
//! kept, and only the bytes that arrived: the length in a header reserves nothing.

use alloc::vec::Vec;

use byteorder::{BigEndian, ByteOrder};

use crate::wire::{FrameError, HEADER_LEN, RawFrame};

/// Bytes of the length field.
const LENGTH_LEN: usize = 4;

/// Capacity that an emptied buffer may keep. More is given back when no cut frame follows at once, so that one large frame
/// does not cost a connection its memory for good.
const KEEP_CAPACITY: usize = 1024;

/// One step through the input.
#[derive(Debug)]
pub struct Step<'a> {
    /// How many bytes of the input were used.
    pub used: usize,
    /// The frame that became complete, if one did. Without one, all the input was used.
    pub frame: Option<RawFrame<'a>>,
}

/// The reading half of a connection.
#[derive(Debug)]
pub struct FrameReader {
    /// The beginning of a frame whose rest has not arrived, or that the last step handed out.
    partial: Vec<u8>,
    /// Whether `partial` was handed out whole by the last step.
    taken: bool,
    max_frame: u32,
}

impl FrameReader {
    /// A reader that refuses frames longer than `max_frame` bytes (type and body).
    #[must_use]
    pub fn new(max_frame: u32) -> Self {
        Self { partial: Vec::new(), taken: false, max_frame }
    }

    /// Changes the limit; it holds from the next header on.
    pub fn set_max_frame(&mut self, max_frame: u32) {
        self.max_frame = max_frame;
    }

    /// Bytes held of a frame that is not complete.
    #[must_use]
    pub fn buffered(&self) -> usize {
        if self.taken { 0 } else { self.partial.len() }
    }

    /// Looks for the next frame in what is held and in `input`.
    ///
    /// Call again with the rest of the input until no frame comes back.
    ///
    /// # Errors
    /// When a header breaks a rule. Nothing more can be read then.
    #[inline]
    pub fn step<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, FrameError> {
        if self.taken {
            self.taken = false;
            self.partial.clear();
        }
        if self.partial.is_empty() {
            let whole = self.frame_len(input)?.and_then(|len| input.get(..len));
            if whole.is_some() || input.is_empty() {
                self.partial.shrink_to(KEEP_CAPACITY);
            }
            if let Some(frame) = whole {
                return Ok(Step { used: frame.len(), frame: raw(frame) });
            }
        }
        self.step_partial(input)
    }

    fn step_partial<'a>(&'a mut self, input: &'a [u8]) -> Result<Step<'a>, FrameError> {
        let mut used = 0;
        // First the length, then as much as it asks for: two rounds complete any frame.
        for _ in 0..2 {
            let wanted = self.frame_len(&self.partial)?.unwrap_or(LENGTH_LEN);
            let missing = wanted.saturating_sub(self.partial.len());
            let rest = input.get(used..).unwrap_or_default();
            let piece = rest.get(..missing.min(rest.len())).unwrap_or_default();
            self.partial.extend_from_slice(piece);
            used += piece.len();
        }
        match self.frame_len(&self.partial)? {
            Some(len) if len == self.partial.len() => {
                self.taken = true;
                Ok(Step { used, frame: raw(&self.partial) })
            }
            _ => Ok(Step { used, frame: None }),
        }
    }

    /// Length of the frame that begins with `bytes`, header included, once its length field is there.
    #[inline]
    fn frame_len(&self, bytes: &[u8]) -> Result<Option<usize>, FrameError> {
        let Some(length) = bytes.get(..LENGTH_LEN) else { return Ok(None) };
        let len = BigEndian::read_u32(length);
        if len == 0 {
            return Err(FrameError::NoType);
        }
        if len > self.max_frame {
            return Err(FrameError::TooLarge { len, max: self.max_frame });
        }
        // Checked against a limit far below usize::MAX just above.
        Ok(Some(usize::try_from(len).unwrap_or(usize::MAX).saturating_add(LENGTH_LEN)))
    }
}

/// Splits a whole frame into its type and body.
#[inline]
fn raw(frame: &[u8]) -> Option<RawFrame<'_>> {
    let (header, body) = frame.split_at_checked(HEADER_LEN)?;
    header.last().map(|&number| RawFrame { number, body })
}
