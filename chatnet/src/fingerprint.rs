//! SHA-256 names of certificates and of keys, as people and programs compare them.

use std::{fmt, str::FromStr};

use sha2::{Digest, Sha256};

/// SHA-256 over a certificate's DER encoding: what a person compares and a client pins.
///
/// Shown as `sha256:` and 64 lowercase hex digits. Read in either case, with or without colons between
/// the digits, so that the output of other tools can be pasted; the prefix may be left out.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fingerprint([u8; 32]);

/// SHA-256 over the DER encoding of a certificate's SubjectPublicKeyInfo: names the key, whatever certificate
/// carries it. Peers on a direct link are pinned by it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkKey([u8; 32]);

/// Why a text is no fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FingerprintError {
    /// A prefix other than `sha256:`.
    #[error("a fingerprint starts with sha256: or with its first hex digit, not with {0:?}")]
    Prefix(String),
    /// A character that is neither a hex digit nor a colon.
    #[error("character {position} of the fingerprint, {found:?}, is not a hex digit")]
    Digit {
        /// Counted from 1 over the whole text.
        position: usize,
        /// The character.
        found: char,
    },
    /// Not 64 digits.
    #[error("a fingerprint has {DIGITS} hex digits, this one has {0}")]
    Length(usize),
}

impl Fingerprint {
    /// The fingerprint with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl LinkKey {
    /// The link key with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(crate) fn of_public_key_info(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        hex(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        hex(&self.0, f)
    }
}

impl fmt::Debug for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LinkKey({self})")
    }
}

impl FromStr for Fingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = match text.get(..PREFIX.len()) {
            Some(prefix) if prefix.eq_ignore_ascii_case(PREFIX) => {
                text.get(PREFIX.len()..).unwrap_or_default()
            }
            _ => match text.split_once(':') {
                Some((prefix, _)) if !prefix.chars().all(|c| c.is_ascii_hexdigit()) => {
                    return Err(FingerprintError::Prefix(prefix.to_owned()));
                }
                _ => text,
            },
        };
        let before = text.chars().count() - digits.chars().count();
        let mut bytes = [0_u8; 32];
        let mut count = 0;
        for (index, found) in digits.chars().enumerate().filter(|(_, c)| *c != ':') {
            let Some(nibble) = found.to_digit(16).and_then(|value| u8::try_from(value).ok()) else {
                return Err(FingerprintError::Digit { position: before + index + 1, found });
            };
            if let Some(byte) = bytes.get_mut(count / 2) {
                *byte = (*byte << 4) | nibble;
            }
            count += 1;
        }
        if count == DIGITS { Ok(Self(bytes)) } else { Err(FingerprintError::Length(count)) }
    }
}

fn hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

const PREFIX: &str = "sha256:";
const DIGITS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fingerprint {
        Fingerprint::of_certificate(b"abc")
    }

    #[test]
    fn shows_the_well_known_digest_and_reads_it_back() {
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sample().to_string(), text);
        assert_eq!(text.parse(), Ok(sample()));
    }

    #[test]
    fn reads_what_other_tools_print() {
        let colons = sample().to_string()[PREFIX.len()..]
            .to_uppercase()
            .as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair).into_owned())
            .collect::<Vec<_>>()
            .join(":");
        assert_eq!(colons.parse(), Ok(sample()));
        assert_eq!(format!("SHA256:{colons}").parse(), Ok(sample()));
    }

    #[test]
    fn says_what_is_wrong() {
        assert_eq!("sha256:abcd".parse::<Fingerprint>(), Err(FingerprintError::Length(4)));
        assert_eq!("".parse::<Fingerprint>(), Err(FingerprintError::Length(0)));
        assert_eq!(
            "sha256:abxd".parse::<Fingerprint>(),
            Err(FingerprintError::Digit { position: 10, found: 'x' })
        );
        assert_eq!("md5:abcd".parse::<Fingerprint>(), Err(FingerprintError::Prefix("md5".into())));
        let long = format!("{}00", sample());
        assert_eq!(long.parse::<Fingerprint>(), Err(FingerprintError::Length(66)));
    }
}
