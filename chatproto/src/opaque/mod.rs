//! The OPAQUE login (RFC 9807): the server checks a password that it never sees.
//!
//! One place for the cipher suite: ristretto255, 3DH, SHA-512, and Argon2id as the stretching function, which runs on
//! the client. Bytes come in and bytes go out; frames carry them as the bytes of the mechanism [`MECHANISM`].
//!
//! ```text
//! client                                              server
//! ClientLogin::start --- request, 96 bytes ---------> ServerLogin::start
//! ClientLogin::finish <-- response, 326 bytes -------
//!                     --- finalization, 64 bytes ---> ServerLogin::finish
//! ```
//!
//! Both ends then hold the same [`SessionKey`]. Both name the user and the channel that the messages pass through (over
//! TLS the `tls-exporter` binding of RFC 9266, over plaintext nothing); who relays between two channels makes the login
//! fail on either side and learns nothing that a password could be tried against.
//!
//! Held against RFC 9807, clause by clause:
//!
//! - *Bytes*: the vectors of its appendix C are a test of this module, that of an unknown user among them.
//! - *Identities* (section 6.3.1): the client's is the user's name in registration and login alike, which is also the
//!   credential identifier; the server's is its public key. A record serves the name that it was made for.
//! - *Context* (6.4): everything that the messages do not carry is in it, each part with a fixed or stated length, so that no
//!   two contexts run into each other.
//! - *Unknown users* (6.3.2.2): the OPRF key follows from seed and name as for everybody, so that the same request is evaluated
//!   alike each time; the masking key is drawn anew, which nobody can tell, because a fresh nonce goes into the pad. The
//!   decoy is drawn also where there is a record. The proof is compared where nobody can be right, too.
//! - *Comparisons* of both MACs take the same time wherever they differ. *Reflected* and *identity elements* are refused.
//! - *Stretching* (10.9): the RFC suggests 2 GiB; what stands here is for clients on phones and in browsers, and may be raised
//!   for each account. The salt is zero, as there.
//! - *Key separation*: OPRF seed, login key, TLS certificate and link keys are drawn apart. The session key proves the login
//!   and is used for nothing else; the export key is wiped.
//! - *Secrets in memory*: password, states and session keys are wiped when dropped. Argon2's memory is wiped after use.
//! - Not of the RFC: the stretch parameters travel before KE2 in the clear. They are in the context, and the client has bounds.
//!   They tell accounts with others than most from unknown users ([`ServerSetup::with_decoy_stretch`]).
//!
//! The client's [`finish`](ClientLogin::finish) stretches the password: tens of milliseconds and 19 MiB with
//! [`Stretch::STANDARD`], so it belongs on a thread of its own. The server's work is a few scalar multiplications.
//!
//! ```
//! use chatproto::opaque::{ClientLogin, OsRng, Password, ServerLogin, ServerSetup, Stretch, register};
//!
//! let setup = ServerSetup::generate(&mut OsRng);
//! let record = register(&setup, "alice", Password::new("correct horse")?, Stretch::LIGHT, &mut OsRng)?;
//!
//! let channel = b"what both ends know of their channel";
//! let (client, request) = ClientLogin::start(Password::new("correct horse")?, &mut OsRng)?;
//! let (server, response) = ServerLogin::start(&setup, Some(&record), "alice", &request, channel, &mut OsRng)?;
//! let (finalization, key) = client.finish(&response, "alice", channel, &mut OsRng)?;
//! assert_eq!(server.finish(&finalization)?.as_bytes(), key.as_bytes());
//! # Ok::<(), Box<dyn core::error::Error>>(())
//! ```

mod account;
mod client;
mod password;
mod record;
mod registration;
mod server;
mod stretch;
mod suite;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;

pub use account::{
    ClientPasswordChange, PasswordChangeError, ServerPasswordChange, accept_registration, offer_registration,
};
pub use client::{ClientLogin, ClientLoginError};
pub use opaque_ke::rand::{CryptoRng, RngCore};
pub use password::{Password, PasswordError};
#[cfg(feature = "std")]
pub use rand_core::OsRng;
pub use record::{Record, ServerSetup, StoredError};
pub use registration::{ClientRegistration, RegistrationError, answer_registration, register};
pub use server::{LoginRejected, LoginRequestError, ServerLogin};
pub use stretch::{Stretch, StretchOutOfRange};
pub use suite::{ScopeError, SessionKey};
pub use zeroize::Zeroizing;

/// Name under which this mechanism is offered and chosen. Another suite would be another name.
pub const MECHANISM: &str = "opaque-ristretto255-argon2id";

/// Length of the client's first login message, in bytes.
pub const REQUEST_LEN: usize = 96;
/// Length of the server's answer to it, in bytes: [`STRETCH_LEN`] and the OPAQUE response.
pub const RESPONSE_LEN: usize = STRETCH_LEN + 320;
/// Length of the client's last login message, in bytes.
pub const FINALIZATION_LEN: usize = 64;
/// Length of the longest login message, in bytes.
pub const MESSAGE_LEN_MAX: usize = RESPONSE_LEN;

/// Length of the client's first registration message, in bytes.
pub const REGISTRATION_REQUEST_LEN: usize = 32;
/// Length of the server's answer to it, in bytes.
pub const REGISTRATION_RESPONSE_LEN: usize = 64;

/// Length of a stored [`ServerSetup`], in bytes.
pub const SETUP_LEN: usize = 1 + 128;
/// Length of a stored [`Record`], in bytes; also the client's last registration message.
pub const RECORD_LEN: usize = 1 + STRETCH_LEN + 192;
/// Length of encoded [`Stretch`] parameters, in bytes.
pub const STRETCH_LEN: usize = 6;
/// Length of a [`SessionKey`], in bytes.
pub const SESSION_KEY_LEN: usize = 64;

/// Longest user name that a login takes, in bytes. Account names are far shorter.
pub const USER_LEN_MAX: usize = 255;
/// Longest channel binding, in bytes.
pub const CHANNEL_BINDING_LEN_MAX: usize = 1024;
