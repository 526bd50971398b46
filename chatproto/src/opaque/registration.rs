use alloc::vec::Vec;
use core::fmt;

use opaque_ke::rand::{CryptoRng, RngCore};
use opaque_ke::{
    ClientRegistrationFinishParameters, Identifiers, RegistrationRequest, RegistrationResponse,
    ServerRegistration,
};

use super::suite::{ScopeError, Suite, check_user};
use super::{Password, REGISTRATION_REQUEST_LEN, REGISTRATION_RESPONSE_LEN, Record, ServerSetup, Stretch};

/// Makes the record of a user where setup and password are both at hand, as on the server's command line.
///
/// # Errors
/// When the user's name has no legal length or there is not enough memory to stretch with.
pub fn register(
    setup: &ServerSetup,
    user: &str,
    password: Password,
    stretch: Stretch,
    rng: &mut (impl RngCore + CryptoRng),
) -> Result<Record, RegistrationError> {
    let (client, request) = ClientRegistration::start(password, rng)?;
    let response = answer_registration(setup, user, &request)?;
    client.finish(&response, user, stretch, rng)
}

/// The server's part of a registration from afar: answers the request of [`ClientRegistration::start`].
///
/// It keeps nothing in between; the [`Record`] comes back from the client as bytes. Run it only for a user who may
/// register, and only through an authenticated channel: registration trusts the server that it talks to.
///
/// # Errors
/// When the user's name has no legal length or the request is malformed.
pub fn answer_registration(
    setup: &ServerSetup,
    user: &str,
    request: &[u8],
) -> Result<Vec<u8>, RegistrationError> {
    check_user(user)?;
    if request.len() != REGISTRATION_REQUEST_LEN {
        return Err(RegistrationError::Malformed);
    }
    let request = RegistrationRequest::deserialize(request).map_err(|_| RegistrationError::Malformed)?;
    let started = ServerRegistration::<Suite>::start(&setup.inner, request, user.as_bytes())
        .map_err(|_| RegistrationError::Failed)?;
    Ok(started.message.serialize().to_vec())
}

/// The client's part of a registration from afar.
pub struct ClientRegistration {
    password: Password,
    state: opaque_ke::ClientRegistration<Suite>,
}

impl ClientRegistration {
    /// Begins with a request for [`answer_registration`].
    ///
    /// # Errors
    /// Only if the cipher suite itself fails.
    pub fn start(
        password: Password,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Vec<u8>), RegistrationError> {
        let started = opaque_ke::ClientRegistration::<Suite>::start(rng, password.as_bytes())
            .map_err(|_| RegistrationError::Failed)?;
        let request = started.message.serialize().to_vec();
        Ok((Self { password, state: started.state }, request))
    }

    /// Ends with the record that the server is to keep.
    ///
    /// # Errors
    /// When the response is malformed, the user's name has no legal length, or there is not enough memory.
    pub fn finish(
        self,
        response: &[u8],
        user: &str,
        stretch: Stretch,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Record, RegistrationError> {
        check_user(user)?;
        if response.len() != REGISTRATION_RESPONSE_LEN {
            return Err(RegistrationError::Malformed);
        }
        let response =
            RegistrationResponse::deserialize(response).map_err(|_| RegistrationError::Malformed)?;
        let parameters = ClientRegistrationFinishParameters::new(
            Identifiers { client: Some(user.as_bytes()), server: None },
            Some(&stretch),
        );
        let finished = self
            .state
            .finish(rng, self.password.as_bytes(), response, parameters)
            .map_err(|_| RegistrationError::Failed)?;
        Ok(Record { stretch, inner: ServerRegistration::finish(finished.message) })
    }
}

impl fmt::Debug for ClientRegistration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientRegistration(***)")
    }
}

/// Why a registration failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistrationError {
    /// The user's name has no legal length.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// The other side's message is not one of this mechanism.
    #[error("a malformed registration message")]
    Malformed,
    /// Most likely there is not enough memory to stretch with; or the other side's message reflects our own.
    #[error("the registration could not be computed")]
    Failed,
}
