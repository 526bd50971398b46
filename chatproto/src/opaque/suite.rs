//! The cipher suite, and what a login is bound to.

use alloc::vec::Vec;
use core::fmt;

use opaque_ke::{CipherSuite, Ristretto255, TripleDh};
use zeroize::{Zeroize as _, Zeroizing};

use super::{CHANNEL_BINDING_LEN_MAX, SESSION_KEY_LEN, Stretch, USER_LEN_MAX};

/// ristretto255 for the OPRF and 3DH, SHA-512, Argon2id.
pub(super) struct Suite;

impl CipherSuite for Suite {
    type OprfCs = Ristretto255;
    type KeyExchange = TripleDh<Ristretto255, sha2::Sha512>;
    type Ksf = Stretch;
}

/// The secret that both ends share after a login; wiped when dropped.
#[derive(Clone)]
pub struct SessionKey(Zeroizing<[u8; SESSION_KEY_LEN]>);

impl SessionKey {
    /// The key. Compare it in constant time only, or not at all.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; SESSION_KEY_LEN] {
        &self.0
    }

    /// Takes the key out of what the library returns and wipes the original.
    pub(super) fn take(output: &mut [u8]) -> Self {
        let mut key = Zeroizing::new([0; SESSION_KEY_LEN]);
        for (to, from) in key.iter_mut().zip(output.iter()) {
            *to = *from;
        }
        output.zeroize();
        Self(key)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(***)")
    }
}

/// The user name or the channel binding has a length that a login does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// Empty, or more than [`USER_LEN_MAX`] bytes.
    #[error("a user name of {len} bytes, 1 to {max} are allowed", max = USER_LEN_MAX)]
    User {
        /// Its length in bytes.
        len: usize,
    },
    /// More than [`CHANNEL_BINDING_LEN_MAX`] bytes.
    #[error("a channel binding of {len} bytes, at most {max} are allowed", max = CHANNEL_BINDING_LEN_MAX)]
    ChannelBinding {
        /// Its length in bytes.
        len: usize,
    },
}

pub(super) fn check_user(user: &str) -> Result<(), ScopeError> {
    if user.is_empty() || user.len() > USER_LEN_MAX {
        return Err(ScopeError::User { len: user.len() });
    }
    Ok(())
}

/// The context of the key exchange: the two ends agree on all of it or the login fails.
///
/// The label, the stretch parameters (which travel outside the OPAQUE messages), the user's name behind its length in
/// a byte, and the channel binding.
pub(super) fn context(stretch: Stretch, user: &str, channel_binding: &[u8]) -> Result<Vec<u8>, ScopeError> {
    check_user(user)?;
    let user_len = u8::try_from(user.len()).map_err(|_| ScopeError::User { len: user.len() })?;
    if channel_binding.len() > CHANNEL_BINDING_LEN_MAX {
        return Err(ScopeError::ChannelBinding { len: channel_binding.len() });
    }
    Ok([LABEL, &stretch.to_bytes(), &[user_len], user.as_bytes(), channel_binding].concat())
}

/// Names this protocol and the version of its login.
const LABEL: &[u8] = b"chatproto login 1\0";
