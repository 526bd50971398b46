//! All that knows rustls: settings, certificate checks, identities and sessions. TLS 1.3 only, without resumption,
//! so that each connection proves again who it is.

mod authorities;
mod complaint;
mod identity;
mod session;
mod settings;
mod verify;

use crate::{Fingerprint, LinkKey};

pub use authorities::{Authorities, AuthoritiesError};
pub use identity::{Identity, IdentityError};
pub(crate) use session::{MAX_SLICES, Received, Session};
pub use settings::{ClientTls, ServerTls};

/// What a connection speaks below the program's bytes.
///
/// The TLS role does not depend on who dialled: with a simultaneous open both did, and one of them is the server.
#[derive(Clone, Debug)]
pub enum Security {
    /// Bytes as they are: for loopback, for tests, and for who insists.
    Plain,
    /// The TLS server's side. Usual for listeners.
    TlsServer(ServerTls),
    /// The TLS server's side, unless the caller's first byte is 0, which begins no TLS record: then bytes as they are.
    /// `Connected` tells which. For protocols of which a part needs no secrecy.
    TlsOrPlain(ServerTls),
    /// The TLS client's side. Usual for dialled connections.
    TlsClient(ClientTls),
}

/// What a complete TLS handshake established.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    /// The other side, which has proved that it holds the key of its certificate. `None` at the server's side
    /// for a client that was not asked for a certificate.
    pub peer: Option<PeerCertificate>,
    /// The same 32 bytes at both ends of this one TLS connection and nowhere else: the `tls-exporter`
    /// channel binding of RFC 9266.
    pub channel_binding: [u8; 32],
    /// The key exchange, for logs, such as `X25519MLKEM768`.
    pub key_exchange: String,
}

/// The names of the other side's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerCertificate {
    /// Names the certificate.
    pub fingerprint: Fingerprint,
    /// Names its key.
    pub link_key: LinkKey,
}
