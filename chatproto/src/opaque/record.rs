use alloc::vec::Vec;
use core::fmt;

use opaque_ke::ServerRegistration;
use opaque_ke::rand::{CryptoRng, RngCore};
use zeroize::Zeroizing;

use super::suite::Suite;
use super::{RECORD_LEN, SETUP_LEN, STRETCH_LEN, Stretch, StretchOutOfRange};

/// The server's long-term secrets: its key pair and the seed from which each user's OPRF key is derived.
///
/// Losing it locks everybody out. Together with the records it allows passwords to be guessed offline; keep both as a
/// password file would be kept.
#[derive(Clone)]
pub struct ServerSetup {
    pub(super) inner: opaque_ke::ServerSetup<Suite>,
    pub(super) decoy_stretch: Stretch,
}

impl ServerSetup {
    /// New secrets. Once per server: records work only with the setup that they were made with.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> Self {
        Self { inner: opaque_ke::ServerSetup::new(rng), decoy_stretch: Stretch::STANDARD }
    }

    /// What unknown users are told to stretch with instead of [`Stretch::STANDARD`].
    ///
    /// Should be what most accounts have: an account with other parameters is told from an unknown user by them.
    #[must_use]
    pub fn with_decoy_stretch(self, decoy_stretch: Stretch) -> Self {
        Self { inner: self.inner, decoy_stretch }
    }

    /// A form to store, [`SETUP_LEN`] bytes. It leaves out the decoy stretch, which is a setting.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SETUP_LEN));
        bytes.push(VERSION);
        bytes.extend_from_slice(&Zeroizing::new(self.inner.serialize()));
        bytes
    }

    /// Reads the form that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When it was written by a newer version or is damaged.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let body = versioned(bytes, SETUP_LEN)?;
        let inner = opaque_ke::ServerSetup::deserialize(body).map_err(|_| StoredError::Damaged)?;
        Ok(Self { inner, decoy_stretch: Stretch::STANDARD })
    }
}

impl fmt::Debug for ServerSetup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSetup(***)")
    }
}

/// What the server keeps of one user instead of a password.
#[derive(Clone)]
pub struct Record {
    pub(super) stretch: Stretch,
    pub(super) inner: ServerRegistration<Suite>,
}

impl Record {
    /// How hard this user's client must stretch the password.
    #[must_use]
    pub const fn stretch(&self) -> Stretch {
        self.stretch
    }

    /// A form to store, [`RECORD_LEN`] bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&[VERSION][..], &self.stretch.to_bytes(), &self.inner.serialize()].concat()
    }

    /// Reads the form that [`to_bytes`](Self::to_bytes) wrote.
    ///
    /// # Errors
    /// When it was written by a newer version, is damaged, or asks for a stretch out of bounds.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, StoredError> {
        let body = versioned(bytes, RECORD_LEN)?;
        let (stretch, body) = body.split_first_chunk::<STRETCH_LEN>().ok_or(StoredError::Damaged)?;
        let stretch = Stretch::from_bytes(*stretch)?;
        let inner = ServerRegistration::deserialize(body).map_err(|_| StoredError::Damaged)?;
        Ok(Self { stretch, inner })
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({:?}, ***)", self.stretch)
    }
}

/// Why stored bytes are no [`ServerSetup`] or [`Record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoredError {
    /// Written by a version of this crate that is newer than this one.
    #[error("stored in version {version}, this program knows version {VERSION}")]
    Version {
        /// The version found.
        version: u8,
    },
    /// Not as long as it must be.
    #[error("stored in {len} bytes, but it has {expected}")]
    Length {
        /// The length found, in bytes.
        len: usize,
        /// The right length, in bytes.
        expected: usize,
    },
    /// The right length, but not the encoding of a key.
    #[error("stored bytes are damaged")]
    Damaged,
    /// Stretch parameters out of bounds.
    #[error("stored stretch parameters: {0}")]
    Stretch(#[from] StretchOutOfRange),
}

fn versioned(bytes: &[u8], expected: usize) -> Result<&[u8], StoredError> {
    let len = bytes.len();
    let (&version, body) = bytes.split_first().ok_or(StoredError::Length { len, expected })?;
    if version != VERSION {
        return Err(StoredError::Version { version });
    }
    if len != expected {
        return Err(StoredError::Length { len, expected });
    }
    Ok(body)
}

const VERSION: u8 = 1;
