//! Why a connection ended, in words for a person.

use std::io;

use crate::{Fingerprint, LinkKey};

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum CloseReason {
    /// The program closed it.
    #[error("closed on this side")]
    Local,
    /// Both directions ended properly.
    #[error("both sides finished")]
    Finished,
    /// The TCP connection could not be made.
    #[error("cannot connect: {0}")]
    ConnectFailed(#[source] io::Error),
    /// The TCP connection was not made in time.
    #[error("cannot connect: no answer in time")]
    ConnectTimeout,
    /// The TLS handshake was not complete in time.
    #[error("the TLS handshake did not finish in time")]
    HandshakeTimeout,
    /// The other side went away during the TLS handshake, as a server that speaks no TLS often does.
    #[error("the other side ended the connection during the TLS handshake")]
    HandshakeCut,
    /// What came first is no TLS record.
    #[error("the other side does not speak TLS")]
    NotTls,
    /// The server's certificate is not the pinned one.
    #[error("the server's certificate is {found}, expected {expected}")]
    WrongFingerprint {
        /// The pin.
        expected: Fingerprint,
        /// What the server presented.
        found: Fingerprint,
    },
    /// The peer's link key is none of the expected ones.
    #[error("the peer's link key is {found}, which is not the expected one")]
    WrongLinkKey {
        /// What the peer presented.
        found: LinkKey,
    },
    /// The other side's certificate is malformed, missing, or not backed by its key.
    #[error("the other side's certificate is not acceptable: {0}")]
    BadCertificate(String),
    /// The other side refused with a TLS alert, for instance because it expected another certificate.
    #[error("the other side refused the TLS connection: {0}")]
    RefusedByPeer(String),
    /// The other side broke TLS, or shares no version or cipher suite with us.
    #[error("TLS failed: {0}")]
    Tls(String),
    /// The TCP stream ended without the end of the TLS stream: something was cut off, by accident or on purpose.
    #[error("the connection was cut off: it ended without a TLS close_notify")]
    Truncated,
    /// The connection broke.
    #[error("the connection was lost: {0}")]
    Lost(#[source] io::Error),
}
