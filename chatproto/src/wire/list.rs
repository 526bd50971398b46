//! Lists inside a frame: a `u32` byte length, then the items back to back.

use bytes::BufMut;

use super::{Reader, Wire, WireError};

/// Items of one frame, without a copy on either side.
///
/// To send, it borrows a slice of items. Received, it borrows the frame and decodes each item as it is reached; all of
/// them were checked once when the frame was decoded, so iterating cannot fail.
///
/// Holds at most `MAX` items, where the frame's own length is not bound enough.
#[derive(Clone, Copy)]
pub struct List<'a, T, const MAX: usize = { usize::MAX }>(Items<'a, T>);

#[derive(Clone, Copy)]
enum Items<'a, T> {
    Slice(&'a [T]),
    Encoded(Reader<'a>),
}

impl<'a, T: Wire<'a> + Copy, const MAX: usize> List<'a, T, MAX> {
    /// A list to send: the first `MAX` of `items`.
    #[must_use]
    pub fn new(items: &'a [T]) -> Self {
        Self(Items::Slice(items.get(..MAX).unwrap_or(items)))
    }

    /// The items in order.
    pub fn iter(&self) -> impl Iterator<Item = T> + 'a {
        let (slice, mut reader) = match self.0 {
            Items::Slice(items) => (items, Reader::new(&[])),
            Items::Encoded(reader) => (&[][..], reader),
        };
        slice.iter().copied().chain(core::iter::from_fn(move || {
            if reader.remaining() == 0 { None } else { T::decode(&mut reader, "item").ok() }
        }))
    }

    /// Whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        match &self.0 {
            Items::Slice(items) => items.is_empty(),
            Items::Encoded(reader) => reader.remaining() == 0,
        }
    }
}

impl<'a, T: Wire<'a> + Copy + PartialEq, const MAX: usize> PartialEq for List<'a, T, MAX> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl<'a, T: Wire<'a> + Copy + core::fmt::Debug, const MAX: usize> core::fmt::Debug for List<'a, T, MAX> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a, T: Wire<'a> + Copy, const MAX: usize> Wire<'a> for List<'a, T, MAX> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = u32::decode(reader, field)?;
        // A frame is shorter than usize::MAX, so a length that does not fit is one that is not there.
        let len = usize::try_from(len).map_err(|_| WireError::Truncated { field })?;
        let items = Reader::new(reader.take(len, field)?);
        let mut check = items;
        let mut count = 0;
        while check.remaining() > 0 {
            if count == MAX {
                return Err(WireError::TooMany { field, max: MAX });
            }
            count += 1;
            let before = check.remaining();
            T::decode(&mut check, field)?;
            // An item without bytes would never end the list.
            if check.remaining() == before {
                return Err(WireError::Truncated { field });
            }
        }
        Ok(Self(Items::Encoded(items)))
    }

    fn encode(&self, out: &mut impl BufMut) {
        let len = self.encoded_len().saturating_sub(4);
        out.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        match &self.0 {
            Items::Slice(items) => items.iter().for_each(|item| item.encode(out)),
            Items::Encoded(reader) => out.put_slice(reader.clone().take_rest()),
        }
    }

    fn encoded_len(&self) -> usize {
        4 + match &self.0 {
            Items::Slice(items) => items.iter().map(Wire::encoded_len).sum(),
            Items::Encoded(reader) => reader.remaining(),
        }
    }
}
