//! What travels when an account is made, or gets another password, from afar.
//!
//! The server says how hard the new password is to be stretched, so that the parameters of records can rise: each account
//! gets the present ones with its next password. A change proves the old password by a login of its own, bound to the same
//! channel; the server in turn has proved itself before the client hands the new record over.

use alloc::vec::Vec;

use opaque_ke::rand::{CryptoRng, RngCore};

use super::{
    ClientLogin, ClientLoginError, ClientRegistration, FINALIZATION_LEN, LoginRequestError, Password,
    REGISTRATION_RESPONSE_LEN, REQUEST_LEN, RESPONSE_LEN, Record, RegistrationError, STRETCH_LEN,
    ServerLogin, ServerSetup, Stretch, answer_registration,
};

/// The server's answer to the request of [`ClientRegistration::start`]: how to stretch, and the registration's response.
///
/// # Errors
/// As [`answer_registration`].
pub fn offer_registration(
    setup: &ServerSetup,
    user: &str,
    request: &[u8],
    stretch: Stretch,
) -> Result<Vec<u8>, RegistrationError> {
    let response = answer_registration(setup, user, request)?;
    Ok([&stretch.to_bytes()[..], &response].concat())
}

/// Reads what a client made of [`offer_registration`]: a record, stretched as it was told.
///
/// # Errors
/// [`RegistrationError::Malformed`] for anything else.
pub fn accept_registration(record: &[u8], stretch: Stretch) -> Result<Record, RegistrationError> {
    let record = Record::from_bytes(record).map_err(|_| RegistrationError::Malformed)?;
    if record.stretch() == stretch { Ok(record) } else { Err(RegistrationError::Malformed) }
}

impl ClientRegistration {
    /// Ends a registration from afar: the record for [`accept_registration`]. Stretches the password, within the bounds of
    /// [`Stretch`].
    ///
    /// # Errors
    /// When the offer is malformed or asks for too much, or there is not enough memory.
    pub fn take_offer(
        self,
        offer: &[u8],
        user: &str,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, RegistrationError> {
        let (stretch, response) =
            offer.split_first_chunk::<STRETCH_LEN>().ok_or(RegistrationError::Malformed)?;
        let stretch = Stretch::from_bytes(*stretch).map_err(|_| RegistrationError::Malformed)?;
        Ok(self.finish(response, user, stretch, rng)?.to_bytes())
    }
}

/// A change of the password on the client's side.
#[derive(Debug)]
pub struct ClientPasswordChange {
    login: ClientLogin,
    registration: ClientRegistration,
}

impl ClientPasswordChange {
    /// Begins with a request for [`ServerPasswordChange::start`].
    ///
    /// # Errors
    /// Only if the cipher suite itself fails.
    pub fn start(
        old: Password,
        new: Password,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Vec<u8>), RegistrationError> {
        let (login, request) = ClientLogin::start(old, rng).map_err(|_| RegistrationError::Failed)?;
        let (registration, wanted) = ClientRegistration::start(new, rng)?;
        Ok((Self { login, registration }, [request, wanted].concat()))
    }

    /// Checks that the server knows the account, and answers with the proof of the old password and the new record.
    /// Stretches both passwords.
    ///
    /// # Errors
    /// See [`ClientLoginError`]; nothing must be sent then.
    pub fn finish(
        self,
        reply: &[u8],
        user: &str,
        channel_binding: &[u8],
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<Vec<u8>, ClientLoginError> {
        let (response, offer) = reply.split_at_checked(RESPONSE_LEN).ok_or(ClientLoginError::Malformed)?;
        if offer.len() != STRETCH_LEN + REGISTRATION_RESPONSE_LEN {
            return Err(ClientLoginError::Malformed);
        }
        let (proof, _key) = self.login.finish(response, user, channel_binding, rng)?;
        let record = self.registration.take_offer(offer, user, rng).map_err(|error| match error {
            RegistrationError::Scope(error) => ClientLoginError::Scope(error),
            RegistrationError::Malformed => ClientLoginError::Malformed,
            RegistrationError::Failed => ClientLoginError::OutOfMemory,
        })?;
        Ok([proof, record].concat())
    }
}

/// A change of the password on the server's side, between its answer and the client's proof.
#[derive(Debug)]
pub struct ServerPasswordChange {
    login: ServerLogin,
    stretch: Stretch,
}

impl ServerPasswordChange {
    /// Answers the request of `user`, who has this record and gets one that is stretched by `stretch`.
    ///
    /// # Errors
    /// When the request is malformed, or the lengths of `user` or `channel_binding` are not legal.
    pub fn start(
        setup: &ServerSetup,
        record: &Record,
        user: &str,
        request: &[u8],
        channel_binding: &[u8],
        stretch: Stretch,
        rng: &mut (impl RngCore + CryptoRng),
    ) -> Result<(Self, Vec<u8>), LoginRequestError> {
        let (request, wanted) = request.split_at_checked(REQUEST_LEN).ok_or(LoginRequestError::Malformed)?;
        let (login, response) = ServerLogin::start(setup, Some(record), user, request, channel_binding, rng)?;
        let offer = offer_registration(setup, user, wanted, stretch).map_err(|error| match error {
            RegistrationError::Scope(error) => LoginRequestError::Scope(error),
            RegistrationError::Malformed | RegistrationError::Failed => LoginRequestError::Malformed,
        })?;
        Ok((Self { login, stretch }, [response, offer].concat()))
    }

    /// Checks the proof of the old password, and reads the new record.
    ///
    /// # Errors
    /// Says whether the password or the form is wrong.
    pub fn finish(self, proof: &[u8]) -> Result<Record, PasswordChangeError> {
        let (proof, record) =
            proof.split_at_checked(FINALIZATION_LEN).ok_or(PasswordChangeError::Malformed)?;
        self.login.finish(proof).map_err(|_| PasswordChangeError::Password)?;
        accept_registration(record, self.stretch).map_err(|_| PasswordChangeError::Malformed)
    }
}

/// Why a password was not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PasswordChangeError {
    /// The proof of the old password is wrong.
    #[error("the old password is wrong")]
    Password,
    /// The bytes are not those of this mechanism.
    #[error("a malformed new record")]
    Malformed,
}
