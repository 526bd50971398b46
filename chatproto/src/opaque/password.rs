use alloc::string::String;
use core::fmt;

use unicode_normalization::UnicodeNormalization as _;
use zeroize::Zeroizing;

/// A password, wiped when dropped.
///
/// It is brought into one form first, so that the same keys give the same password on every system: every kind of
/// space becomes U+0020, and the rest NFC (as in RFC 8265, section 4.2).
#[derive(Clone)]
pub struct Password(Zeroizing<String>);

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// No character at all.
    #[error("the password is empty")]
    Empty,
    /// More than [`Password::MAX_LEN`] bytes.
    #[error("the password has {len} bytes, at most {max} are allowed", max = Password::MAX_LEN)]
    TooLong {
        /// Its length in bytes.
        len: usize,
    },
}

impl Password {
    /// Longest password as it is typed, in bytes of UTF-8.
    pub const MAX_LEN: usize = 1024;

    /// Checks and normalises `typed`. Wiping `typed` itself is up to the caller.
    ///
    /// # Errors
    /// When it is empty or too long.
    pub fn new(typed: &str) -> Result<Self, PasswordError> {
        if typed.is_empty() {
            return Err(PasswordError::Empty);
        }
        if typed.len() > Self::MAX_LEN {
            return Err(PasswordError::TooLong { len: typed.len() });
        }
        // Never grown: growing would leave a copy behind that nobody wipes.
        let mut password = Zeroizing::new(String::with_capacity(typed.len() * NFC_GROWTH_MAX));
        password.extend(typed.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc());
        Ok(Self(password))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(***)")
    }
}

/// The category Zs of Unicode.
const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// UTF-8 in NFC is at most three times as long as its source (Unicode Standard Annex 15, section 9).
const NFC_GROWTH_MAX: usize = 3;
