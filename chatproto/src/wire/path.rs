//! File names and paths from remote, safe to use on any system below a folder of one's choice.
//!
//! A name that breaks a rule is refused, never repaired: a repaired name could meet another file. Whoever shares files
//! skips those whose local names are unsuitable and says why.

mod rules;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::sync::Arc;
use core::fmt;

use bytes::BufMut;

use super::codec::{put_len_u8, put_len_u16};
use super::{Reader, Wire, WireError};

pub use rules::{FileNameError, case_fold_key};

/// The name of one file or folder: one component of a [`SafeRelPathRef`].
///
/// 1 to 240 bytes in NFC, without `/`, `\`, `:`, control, bidirectional and invisible characters, not `.` or `..`, no
/// space at either end, no dot at the end, and no device of Windows. Wildcards and quotes are allowed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeNameRef<'a>(&'a str);

impl<'a> SafeNameRef<'a> {
    /// Longest name, in bytes. File systems take 255; the rest is for what a receiver appends, as ` (2)`.
    pub const MAX_LEN: usize = 240;

    /// Checks `name`.
    ///
    /// # Errors
    /// Says which rule `name` breaks, and where.
    pub fn new(name: &'a str) -> Result<Self, FileNameError> {
        rules::check(name).map(|()| Self(name))
    }
}

/// A relative path of [`SafeNameRef`]s with `/` between them; the empty path is the root folder.
///
/// At most 1,024 bytes and 32 names. It cannot lead out of the folder that it is taken relative to, symbolic links
/// aside: those are for the directory handle to refuse.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SafeRelPathRef<'a>(&'a str);

/// Why a path is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelPathError {
    /// More than [`SafeRelPathRef::MAX_LEN`] bytes.
    #[error("a path of {len} bytes, at most {max} are allowed", max = SafeRelPathRef::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// More than [`SafeRelPathRef::MAX_DEPTH`] names.
    #[error("a path of more than {max} names", max = SafeRelPathRef::MAX_DEPTH)]
    TooDeep,
    /// It starts with a slash.
    #[error("a path that starts at the root of the file system")]
    Absolute,
    /// One of its names breaks a rule.
    #[error("name {} of the path: {error}", index + 1)]
    Name {
        /// Which one, from 0.
        index: usize,
        /// The rule.
        error: FileNameError,
    },
}

impl<'a> SafeRelPathRef<'a> {
    /// Longest path, in bytes.
    pub const MAX_LEN: usize = 1024;
    /// Most names in a path. Bounds how deep a remote list or request can make us descend.
    pub const MAX_DEPTH: usize = 32;
    /// The root folder.
    pub const ROOT: SafeRelPathRef<'static> = SafeRelPathRef("");

    /// Checks `path`.
    ///
    /// # Errors
    /// Says which rule `path` breaks, and in which of its names.
    pub fn new(path: &'a str) -> Result<Self, RelPathError> {
        if path.len() > Self::MAX_LEN {
            return Err(RelPathError::TooLong { len: path.len() });
        }
        if path.is_empty() {
            return Ok(Self(path));
        }
        if path.starts_with('/') {
            return Err(RelPathError::Absolute);
        }
        for (index, name) in path.split('/').enumerate() {
            if index == Self::MAX_DEPTH {
                return Err(RelPathError::TooDeep);
            }
            rules::check(name).map_err(|error| RelPathError::Name { index, error })?;
        }
        Ok(Self(path))
    }

    /// Whether this is the root folder.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The names from the outermost folder inwards; none for the root.
    pub fn components(&self) -> impl DoubleEndedIterator<Item = SafeNameRef<'a>> + use<'a> {
        self.0.split('/').filter(|name| !name.is_empty()).map(SafeNameRef)
    }

    /// The last name; none for the root.
    #[must_use]
    pub fn file_name(&self) -> Option<SafeNameRef<'a>> {
        self.components().next_back()
    }

    /// The folder that this is in; none for the root.
    #[must_use]
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        Some(Self(self.0.rsplit_once('/').map_or("", |(parent, _)| parent)))
    }

    /// `name` in this folder.
    ///
    /// # Errors
    /// When the result would be too long or too deep.
    pub fn join(&self, name: SafeNameRef<'_>) -> Result<SafeRelPath, RelPathError> {
        let slash = if self.is_root() { "" } else { "/" };
        let joined: String = [self.0, slash, name.0].concat();
        SafeRelPath::new(&joined)
    }
}

/// The parts that do not differ between a name and a path.
macro_rules! owned_type {
    ($borrowed:ident, $owned:ident, $error:ident) => {
        impl<'a> $borrowed<'a> {
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
                fmt::Debug::fmt(self.0, f)
            }
        }

        #[doc = concat!("Owned [`", stringify!($borrowed), "`]; cloning shares it.")]
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $owned(Arc<str>);

        impl $owned {
            /// Checks and copies.
            ///
            /// # Errors
            /// Says which rule is broken, and where.
            pub fn new(text: &str) -> Result<Self, $error> {
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
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl PartialEq<str> for $owned {
            fn eq(&self, other: &str) -> bool {
                &*self.0 == other
            }
        }
    };
}

owned_type! { SafeNameRef, SafeName, FileNameError }
owned_type! { SafeRelPathRef, SafeRelPath, RelPathError }

impl SafeRelPath {
    /// The root folder.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }
}

impl Default for SafeRelPath {
    fn default() -> Self {
        SafeRelPathRef::ROOT.to_owned()
    }
}

/// A `u8` length, then that many bytes.
impl<'a> Wire<'a> for SafeNameRef<'a> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u8::decode(reader, field)?);
        let name = utf8(reader.take(len, field)?, field)?;
        Self::new(name).map_err(|_| WireError::UnsafePath { field })
    }
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u8(self.0.len(), out);
        out.put_slice(self.0.as_bytes());
    }
    fn encoded_len(&self) -> usize {
        1 + self.0.len()
    }
}

/// A `u16` length, then that many bytes.
impl<'a> Wire<'a> for SafeRelPathRef<'a> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let len = usize::from(u16::decode(reader, field)?);
        if len > Self::MAX_LEN {
            return Err(WireError::TooLong { field, len, max: Self::MAX_LEN });
        }
        let path = utf8(reader.take(len, field)?, field)?;
        Self::new(path).map_err(|_| WireError::UnsafePath { field })
    }
    fn encode(&self, out: &mut impl BufMut) {
        put_len_u16(self.0.len(), out);
        out.put_slice(self.0.as_bytes());
    }
    fn encoded_len(&self) -> usize {
        2 + self.0.len()
    }
}

fn utf8<'a>(bytes: &'a [u8], field: &'static str) -> Result<&'a str, WireError> {
    core::str::from_utf8(bytes).map_err(|_| WireError::NotUtf8 { field })
}
