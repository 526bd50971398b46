//! Primitives: a reader that names the field that failed, and the [`Wire`] trait every field implements.
//!
//! Nothing here allocates. Whatever a decoded value holds is borrowed from the frame it came in; whatever exists as a
//! value is legal, so writing cannot fail.

use byteorder::{BigEndian, ByteOrder};
use bytes::BufMut;

use super::WireError;

/// A value with one encoding on the wire (PROTOCOL.md section 3).
pub trait Wire<'a>: Sized {
    /// Reads the value; `field` is its name for the error.
    ///
    /// # Errors
    /// When the frame ends early or the bytes break a rule of the type.
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError>;

    /// Writes the value: exactly [`encoded_len`](Self::encoded_len) bytes.
    fn encode(&self, out: &mut impl BufMut);

    /// Length of the encoding in bytes.
    fn encoded_len(&self) -> usize;
}

/// A cursor over the body of one frame.
#[derive(Debug, Clone, Copy)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Starts at the first byte of `body`.
    #[must_use]
    pub fn new(body: &'a [u8]) -> Self {
        Self { rest: body }
    }

    /// Bytes not yet read.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The next `len` bytes.
    ///
    /// # Errors
    /// [`WireError::Truncated`] when fewer remain.
    #[inline]
    pub fn take(&mut self, len: usize, field: &'static str) -> Result<&'a [u8], WireError> {
        let Some((head, tail)) = self.rest.split_at_checked(len) else {
            return Err(WireError::Truncated { field });
        };
        self.rest = tail;
        Ok(head)
    }

    /// All that remains.
    #[inline]
    pub fn take_rest(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// Ends the frame.
    ///
    /// # Errors
    /// [`WireError::Trailing`] when bytes follow the last field.
    #[inline]
    pub fn finish(self) -> Result<(), WireError> {
        if self.rest.is_empty() { Ok(()) } else { Err(WireError::Trailing { bytes: self.rest.len() }) }
    }
}

/// The integers, fixed width and big-endian.
macro_rules! integer {
    ($($type:ty, $width:literal, $read:path, $put:ident;)*) => {$(
        impl<'a> Wire<'a> for $type {
            #[inline]
            fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
                reader.take($width, field).map($read)
            }
            #[inline]
            fn encode(&self, out: &mut impl BufMut) {
                out.$put(*self);
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                $width
            }
        }
    )*};
}

integer! {
    u16, 2, BigEndian::read_u16, put_u16;
    u32, 4, BigEndian::read_u32, put_u32;
    u64, 8, BigEndian::read_u64, put_u64;
}

impl<'a> Wire<'a> for u8 {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        reader.take(1, field).map(|bytes| bytes.first().copied().unwrap_or_default())
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(*self);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }
}

/// One byte: 0 or 1, nothing else.
impl<'a> Wire<'a> for bool {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        match u8::decode(reader, field)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(WireError::UnknownValue { field, value: value.into() }),
        }
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(u8::from(*self));
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1
    }
}

/// Fixed-size byte strings: identifiers, keys, hashes.
impl<'a, const N: usize> Wire<'a> for [u8; N] {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let bytes = reader.take(N, field)?;
        bytes.try_into().map_err(|_| WireError::Truncated { field })
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(self);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        N
    }
}

/// One presence byte, then the value if it is 1.
impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        if bool::decode(reader, field)? { T::decode(reader, field).map(Some) } else { Ok(None) }
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        out.put_u8(u8::from(self.is_some()));
        if let Some(value) = self {
            value.encode(out);
        }
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1 + self.as_ref().map_or(0, Wire::encoded_len)
    }
}

/// Opaque bytes behind a `u16` length: what a login mechanism says, an inline file, a ticket.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Blob<'a>(&'a [u8]);

impl<'a> Blob<'a> {
    /// Longest blob, in bytes.
    pub const MAX_LEN: usize = 8192;

    /// Wraps `bytes`.
    ///
    /// # Errors
    /// [`WireError::TooLong`] past [`MAX_LEN`](Self::MAX_LEN).
    pub fn new(bytes: &'a [u8]) -> Result<Self, WireError> {
        if bytes.len() > Self::MAX_LEN {
            return Err(WireError::TooLong { field: "blob", len: bytes.len(), max: Self::MAX_LEN });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }
}

/// Blobs carry secrets, so only the length is shown.
impl core::fmt::Debug for Blob<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl<'a> Wire<'a> for Blob<'a> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u16::decode(reader, field)?);
        if len > Self::MAX_LEN {
            return Err(WireError::TooLong { field, len, max: Self::MAX_LEN });
        }
        reader.take(len, field).map(Self)
    }
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u16(self.0.len(), out);
        out.put_slice(self.0);
    }
    fn encoded_len(&self) -> usize {
        2 + self.0.len()
    }
}

/// The rest of the frame, without a length of its own: file data.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Rest<'a>(pub &'a [u8]);

impl core::fmt::Debug for Rest<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Rest({} bytes)", self.0.len())
    }
}

impl<'a> Wire<'a> for Rest<'a> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, _: &'static str) -> Result<Self, WireError> {
        Ok(Self(reader.take_rest()))
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        out.put_slice(self.0);
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        self.0.len()
    }
}

/// Writes a length that a type's limit already keeps below 256.
#[inline]
pub(super) fn put_len_u8(len: usize, out: &mut impl BufMut) {
    out.put_u8(u8::try_from(len).unwrap_or(u8::MAX));
}

/// Writes a length that a type's limit already keeps below 65,536.
#[inline]
pub(super) fn put_len_u16(len: usize, out: &mut impl BufMut) {
    out.put_u16(u16::try_from(len).unwrap_or(u16::MAX));
}
