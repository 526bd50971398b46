//! What the two roles of TLS are set to.

use std::{fmt, sync::Arc};

use rustls::{
    ClientConfig, Error, InconsistentKeys, ServerConfig, client::Resumption, pki_types::ServerName,
    server::NoServerSessionStorage, version::TLS13,
};

use super::{
    Authorities, Identity, IdentityError,
    verify::{AnyPeer, PROVIDER, Pin, PinnedServer},
};
use crate::{Fingerprint, LinkKey};

/// The server's side of TLS 1.3. Cheap to clone.
#[derive(Clone)]
pub struct ServerTls(pub(super) Arc<ServerConfig>);

/// The client's side of TLS 1.3. Cheap to clone.
#[derive(Clone)]
pub struct ClientTls {
    pub(super) config: Arc<ClientConfig>,
    /// Under which name a server is known to the authorities.
    pub(super) name: Option<ServerName<'static>>,
}

impl ServerTls {
    /// A server that asks its clients for no certificate.
    ///
    /// # Errors
    /// When the library refuses the identity.
    pub fn new(identity: &Identity) -> Result<Self, IdentityError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?;
        let config = builder
            .with_no_client_auth()
            .with_single_cert(identity.certificates(), identity.key())
            .map_err(unusable)?;
        Ok(Self(Arc::new(without_resumption(config))))
    }

    /// The listening end of direct links: the caller must present a well-formed certificate and prove that it holds
    /// its key. Any key will do; the program compares [`PeerCertificate::link_key`](crate::PeerCertificate::link_key)
    /// with whom it expects, before it sends or believes anything.
    ///
    /// # Errors
    /// When the library refuses the identity.
    pub fn for_peers(identity: &Identity) -> Result<Self, IdentityError> {
        let builder = ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?;
        let config = builder
            .with_client_cert_verifier(Arc::new(AnyPeer))
            .with_single_cert(identity.certificates(), identity.key())
            .map_err(unusable)?;
        Ok(Self(Arc::new(without_resumption(config))))
    }
}

impl ClientTls {
    /// Accepts only the server with this very certificate.
    ///
    /// # Errors
    /// When the library refuses its own settings.
    pub fn pinned(fingerprint: Fingerprint) -> Result<Self, IdentityError> {
        Self::pinned_to_any([fingerprint])
    }

    /// Accepts only the server with one of these very certificates: the present one, and maybe one that it has announced.
    ///
    /// # Errors
    /// When the library refuses its own settings.
    pub fn pinned_to_any(fingerprints: impl IntoIterator<Item = Fingerprint>) -> Result<Self, IdentityError> {
        Self::build(Pin::Certificates(fingerprints.into_iter().collect()), None)
    }

    /// Accepts the server whose certificate one of these authorities has signed for `host`, a name or an address, and whose
    /// time has not passed. The name goes over the wire in the clear (SNI).
    ///
    /// # Errors
    /// When `host` is neither, or the library refuses the authorities.
    pub fn by_authority(authorities: &Authorities, host: &str) -> Result<Self, IdentityError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|error| {
            IdentityError::Certificate(format!("{host:?} is no name of a server: {error}"))
        })?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .with_root_certificates(Arc::clone(&authorities.0))
            .with_no_client_auth();
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name: Some(name) })
    }

    /// Accepts any server, for a first contact: the program shows or compares the fingerprint of the
    /// [`Connected`](crate::NetEvent::Connected) event before it sends anything.
    ///
    /// # Errors
    /// When the library refuses its own settings.
    pub fn trust_first() -> Result<Self, IdentityError> {
        Self::build(Pin::Any, None)
    }

    /// The dialling end of a direct link: presents `identity`, and accepts only a peer with one of the `expected` keys.
    ///
    /// With TLS 1.3 the client is done one message before the server has judged its certificate: a refusal by the other
    /// side comes as [`CloseReason::RefusedByPeer`](crate::CloseReason::RefusedByPeer) after `Connected`.
    ///
    /// # Errors
    /// When the library refuses the identity.
    pub fn to_peer(
        identity: &Identity,
        expected: impl IntoIterator<Item = LinkKey>,
    ) -> Result<Self, IdentityError> {
        Self::build(Pin::Keys(expected.into_iter().collect()), Some(identity))
    }

    fn build(pin: Pin, identity: Option<&Identity>) -> Result<Self, IdentityError> {
        let builder = ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
            .with_protocol_versions(&[&TLS13])
            .map_err(unusable)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(PinnedServer(pin)));
        let mut config = match identity {
            None => builder.with_no_client_auth(),
            Some(identity) => {
                builder.with_client_auth_cert(identity.certificates(), identity.key()).map_err(unusable)?
            }
        };
        // Servers are known by their pins: there is no name to disclose.
        config.enable_sni = false;
        config.resumption = Resumption::disabled();
        Ok(Self { config: Arc::new(config), name: None })
    }
}

impl fmt::Debug for ServerTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerTls")
    }
}

impl fmt::Debug for ClientTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientTls")
    }
}

/// Whether an identity will do for TLS: key and certificate are readable and belong together.
pub(super) fn check(identity: &Identity) -> Result<(), IdentityError> {
    ServerTls::new(identity).map(drop)
}

/// Tickets would let a client come back without the certificate that a pin demands, and cost memory.
fn without_resumption(mut config: ServerConfig) -> ServerConfig {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config
}

fn unusable(error: Error) -> IdentityError {
    if matches!(error, Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) {
        IdentityError::Mismatch
    } else {
        IdentityError::Key(error.to_string())
    }
}
