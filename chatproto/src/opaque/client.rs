use alloc::vec::Vec;
use core::fmt;

use opaque_ke::errors::{InternalError, ProtocolError};
use opaque_ke::rand::{CryptoRng, RngCore};
use opaque_ke::{ClientLoginFinishParameters, CredentialResponse, Identifiers};
use zeroize::Zeroize as _;

use super::suite::{ScopeError, SessionKey, Suite, context};
use super::{Password, RESPONSE_LEN, STRETCH_LEN, Stretch, StretchOutOfRange};

/// A login on the client's side, between its request and the server's answer.
pub struct ClientLogin {
    password: Password,
    state: opaque_ke::ClientLogin<Suite>,
}

impl ClientLogin {
    /// Begins a login; the bytes are for [`ServerLogin::start`](super::ServerLogin::start).
    ///
    /// # Errors
    /// Only if the cipher suite itself fails.
    pub fn start(
        password: Password,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Vec<u8>), ClientLoginError> {
        let started = opaque_ke::ClientLogin::<Suite>::start(rng, password.as_bytes())?;
        let request = started.message.serialize().to_vec();
        Ok((Self { password, state: started.state }, request))
    }

    /// Stretches the password and checks that the server knows this user and is at the other end of this channel; the
    /// bytes prove the password to [`ServerLogin::finish`](super::ServerLogin::finish).
    ///
    /// Takes as long and as much memory as the server asks for, within the bounds of [`Stretch`].
    ///
    /// # Errors
    /// See [`ClientLoginError`]. Nothing must be sent after an error.
    pub fn finish(
        self,
        response: &[u8],
        user: &str,
        channel_binding: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Vec<u8>, SessionKey), ClientLoginError> {
        if response.len() != RESPONSE_LEN {
            return Err(ClientLoginError::Malformed);
        }
        let (stretch, response) =
            response.split_first_chunk::<STRETCH_LEN>().ok_or(ClientLoginError::Malformed)?;
        let stretch = Stretch::from_bytes(*stretch)?;
        let context = context(stretch, user, channel_binding)?;
        let response = CredentialResponse::deserialize(response)?;
        let parameters = ClientLoginFinishParameters::new(
            Some(&context),
            Identifiers { client: Some(user.as_bytes()), server: None },
            Some(&stretch),
        );
        let mut finished = self.state.finish(rng, self.password.as_bytes(), response, parameters)?;
        let finalization = finished.message.serialize().to_vec();
        finished.export_key.as_mut_slice().zeroize();
        Ok((finalization, SessionKey::take(&mut finished.session_key)))
    }
}

impl fmt::Debug for ClientLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientLogin(***)")
    }
}

/// Why the client gives up on a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientLoginError {
    /// The password does not belong to this user, the user does not exist, or whoever answered is not the server, at
    /// the other end of this very channel, that knows the user. The client cannot tell which.
    #[error("wrong ID or password, or not the right server")]
    Refused,
    /// The response is not one of this mechanism.
    #[error("a malformed login response")]
    Malformed,
    /// The server asks for a stretch that this client does not agree to.
    #[error("the server asks for unacceptable password stretching: {0}")]
    Stretch(#[from] StretchOutOfRange),
    /// The user's name or the channel binding has no legal length.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// There is not enough memory for the stretch that the server asks for.
    #[error("not enough memory to stretch the password")]
    OutOfMemory,
}

impl From<ProtocolError> for ClientLoginError {
    fn from(error: ProtocolError) -> Self {
        match error {
            ProtocolError::LibraryError(InternalError::KsfError) => Self::OutOfMemory,
            ProtocolError::SerializationError | ProtocolError::SizeError { .. } => Self::Malformed,
            ProtocolError::InvalidLoginError
            | ProtocolError::ReflectedValueError
            | ProtocolError::LibraryError(_) => Self::Refused,
            ProtocolError::Custom(never) => match never {},
        }
    }
}
