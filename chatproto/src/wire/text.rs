//! Names and texts: what exists as a value is legal, so it can be sent without another check.
//!
//! None of these types has a `Display`. What came from remote is data; whoever prints it chooses the escaper of the
//! sink it goes to, for a terminal or a log [`escaped`](super::escaped).

use alloc::sync::Arc;
use core::fmt;

use bytes::BufMut;
use unicode_normalization::char::is_combining_mark;

use super::chars::{is_forbidden, is_invisible};
use super::codec::{put_len_u8, put_len_u16};
use super::{Reader, Wire, WireError};

/// Generates a borrowed `Copy` type and its owned, cheaply cloned counterpart.
macro_rules! text_type {
    ($(#[$doc:meta])* $borrowed:ident, $owned:ident, $field:literal, max $max:literal, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $borrowed<'a>(&'a str);

        impl<'a> $borrowed<'a> {
            /// Longest value, in bytes of UTF-8.
            pub const MAX_LEN: usize = $max;

            /// Checks `text`.
            ///
            /// # Errors
            /// Says which rule `text` breaks.
            pub fn new(text: &'a str) -> Result<Self, WireError> {
                Self::checked(text, $field)
            }

            fn checked(text: &'a str, field: &'static str) -> Result<Self, WireError> {
                if text.len() > Self::MAX_LEN {
                    return Err(WireError::TooLong { field, len: text.len(), max: Self::MAX_LEN });
                }
                $check(text, field)?;
                Ok(Self(text))
            }

            #[inline]
            fn from_wire(bytes: &'a [u8], field: &'static str) -> Result<Self, WireError> {
                if bytes.len() > Self::MAX_LEN {
                    return Err(WireError::TooLong { field, len: bytes.len(), max: Self::MAX_LEN });
                }
                let text = core::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8 { field })?;
                $check(text, field)?;
                Ok(Self(text))
            }

            /// The text; not escaped.
            #[must_use]
            pub fn as_str(&self) -> &'a str {
                self.0
            }

            /// An owned copy.
            #[must_use]
            pub fn to_owned(&self) -> $owned {
                $owned(Arc::from(self.0))
            }
        }

        impl fmt::Debug for $borrowed<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", self.0)
            }
        }

        #[doc = concat!("Owned [`", stringify!($borrowed), "`]; cloning shares it.")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $owned(Arc<str>);

        impl $owned {
            /// Checks and copies `text`.
            ///
            /// # Errors
            /// Says which rule `text` breaks.
            pub fn new(text: &str) -> Result<Self, WireError> {
                $borrowed::new(text).map(|checked| checked.to_owned())
            }

            /// The borrowed form.
            #[must_use]
            pub fn borrow(&self) -> $borrowed<'_> {
                $borrowed(&self.0)
            }

            /// The text; not escaped.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $owned {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &self.0)
            }
        }

        impl PartialEq<str> for $owned {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }
    };
}

text_type! {
    /// The name of an account or a room: 1 to 32 bytes, NFC, letters and digits of any script plus `-`, `_` and `.`,
    /// beginning with a letter or digit.
    NameRef, Name, "name", max 32, check_name
}

text_type! {
    /// One chat message: 1 to 4,096 bytes, on one line, without what [`is_forbidden`] refuses.
    TextRef, Text, "text", max 4096, check_text
}

text_type! {
    /// A short remark (a reason, an agent, a topic): at most 255 bytes, may be empty, characters as in a text.
    NoteRef, Note, "note", max 255, check_note
}

impl<'a> NoteRef<'a> {
    /// The empty note.
    pub const EMPTY: NoteRef<'static> = NoteRef("");

    /// As much of `text` as a note may carry: up to its longest, or to the first forbidden character.
    ///
    /// For our own diagnostics, which are ASCII apart from what they quote.
    #[must_use]
    pub fn truncated(text: &'a str) -> Self {
        let end = text
            .char_indices()
            .find(|&(at, c)| at + c.len_utf8() > Self::MAX_LEN || is_forbidden(c))
            .map_or(text.len(), |(at, _)| at);
        Self(text.get(..end).unwrap_or_default())
    }
}

impl<'a> Wire<'a> for NameRef<'a> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u8::decode(reader, field)?);
        Self::from_wire(reader.take(len, field)?, field)
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u8(self.0.len(), out);
        out.put_slice(self.0.as_bytes());
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1 + self.0.len()
    }
}

impl<'a> Wire<'a> for TextRef<'a> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u16::decode(reader, field)?);
        Self::from_wire(reader.take(len, field)?, field)
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u16(self.0.len(), out);
        out.put_slice(self.0.as_bytes());
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        2 + self.0.len()
    }
}

impl<'a> Wire<'a> for NoteRef<'a> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u8::decode(reader, field)?);
        Self::from_wire(reader.take(len, field)?, field)
    }
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u8(self.0.len(), out);
        out.put_slice(self.0.as_bytes());
    }
    fn encoded_len(&self) -> usize {
        1 + self.0.len()
    }
}

#[inline]
fn check_name(text: &str, field: &'static str) -> Result<(), WireError> {
    let mut bytes = text.bytes();
    // Most names are plain ASCII: one pass, no tables.
    if bytes.next().is_some_and(|first| first.is_ascii_alphanumeric())
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
    {
        return Ok(());
    }
    check_name_slow(text, field)
}

#[cold]
fn check_name_slow(text: &str, field: &'static str) -> Result<(), WireError> {
    let first = text.chars().next().ok_or(WireError::Empty { field })?;
    // Some marks count as alphabetic, but at the beginning they have nothing to stand on.
    if !first.is_alphanumeric() || is_combining_mark(first) {
        return Err(WireError::ForbiddenChar { field, found: first });
    }
    // Combining marks are letters' parts, which NFC leaves in place for scripts without composed forms.
    let allowed = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.') || is_combining_mark(c);
    // Fillers are letters and variation selectors are marks: they would make two names that look the same.
    let unseen = |c: char| is_invisible(c) || matches!(c, '\u{fe00}'..='\u{fe0f}');
    if let Some(found) = text.chars().find(|&c| !allowed(c) || unseen(c)) {
        return Err(WireError::ForbiddenChar { field, found });
    }
    if !unicode_normalization::is_nfc(text) {
        return Err(WireError::NotNfc { field });
    }
    Ok(())
}

#[inline]
fn check_text(text: &str, field: &'static str) -> Result<(), WireError> {
    if text.is_empty() {
        return Err(WireError::Empty { field });
    }
    check_note(text, field)
}

#[inline]
fn check_note(text: &str, field: &'static str) -> Result<(), WireError> {
    // Branch-free over the bytes, so that the compiler can vectorise it.
    if text.bytes().fold(true, |plain, byte| plain & (0x20..0x7f).contains(&byte)) {
        return Ok(());
    }
    match text.chars().find(|&c| is_forbidden(c)) {
        Some(found) => Err(WireError::ForbiddenChar { field, found }),
        None => Ok(()),
    }
}
