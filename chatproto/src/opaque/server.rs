use alloc::vec::Vec;
use core::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};
use opaque_ke::{CredentialFinalization, CredentialRequest, Identifiers, ServerLoginParameters};

use super::suite::{ScopeError, SessionKey, Suite, context};
use super::{FINALIZATION_LEN, REQUEST_LEN, Record, ServerSetup};

/// A login on the server's side, between its answer and the client's proof.
pub struct ServerLogin(opaque_ke::ServerLogin<Suite>);

impl ServerLogin {
    /// Answers the request of a client that claims to be `user`.
    ///
    /// Without a record (an unknown user) the answer is a decoy of the same form, and the login ends like one with a
    /// wrong password; do not answer such a request in any other way. Two things can still tell the two apart: stretch
    /// parameters other than the decoy's (see [`ServerSetup::with_decoy_stretch`]), and how long the look-up of the
    /// record took.
    ///
    /// # Errors
    /// When the request is malformed, or the lengths of `user` or `channel_binding` are not legal.
    pub fn start(
        setup: &ServerSetup,
        record: Option<&Record>,
        user: &str,
        request: &[u8],
        channel_binding: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Vec<u8>), LoginRequestError> {
        let stretch = record.map_or(setup.decoy_stretch, |record| record.stretch);
        let context = context(stretch, user, channel_binding)?;
        if request.len() != REQUEST_LEN {
            return Err(LoginRequestError::Malformed);
        }
        let request = CredentialRequest::deserialize(request).map_err(|_| LoginRequestError::Malformed)?;
        let started = opaque_ke::ServerLogin::start(
            rng,
            &setup.inner,
            record.map(|record| record.inner.clone()),
            request,
            user.as_bytes(),
            ServerLoginParameters {
                context: Some(&context),
                identifiers: Identifiers { client: Some(user.as_bytes()), server: None },
            },
        )
        .map_err(|_| LoginRequestError::Malformed)?;
        let response = [&stretch.to_bytes()[..], &started.message.serialize()].concat();
        Ok((Self(started.state), response))
    }

    /// Checks the client's proof that it knows the password.
    ///
    /// # Errors
    /// [`LoginRejected`] for a wrong password, an unknown user, a relayed or a malformed message alike.
    pub fn finish(self, finalization: &[u8]) -> Result<SessionKey, LoginRejected> {
        if finalization.len() != FINALIZATION_LEN {
            return Err(LoginRejected);
        }
        let finalization = CredentialFinalization::deserialize(finalization).map_err(|_| LoginRejected)?;
        // 3DH fixed the proof to expect when it answered; context and user are already in it.
        let mut finished =
            self.0.finish(finalization, ServerLoginParameters::default()).map_err(|_| LoginRejected)?;
        Ok(SessionKey::take(&mut finished.session_key))
    }
}

impl fmt::Debug for ServerLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerLogin(***)")
    }
}

/// Why a login request cannot be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginRequestError {
    /// The user's name or the channel binding has no legal length.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The request is not one of this mechanism.
    #[error("a malformed login request")]
    Malformed,
}

/// The client did not prove that it knows the password of a known user. Deliberately without a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong ID or password")]
pub struct LoginRejected;
