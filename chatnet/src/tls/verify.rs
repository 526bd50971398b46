//! Whom we believe: certificate checks by pin, and always a proof that the other side holds the key.

use std::{
    error::Error as StdError,
    fmt,
    sync::{Arc, LazyLock},
};

use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, aws_lc_rs, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::{
        ParsedCertificate,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
};

use super::PeerCertificate;
use crate::{CloseReason, Fingerprint, LinkKey};

/// The one set of algorithms, shared by all sessions of the process.
pub(super) static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(aws_lc_rs::default_provider()));

/// What a client demands of the server's certificate.
#[derive(Clone, Debug)]
pub(super) enum Pin {
    /// The program decides, with what [`TlsInfo`](crate::TlsInfo) tells.
    Any,
    /// One of these very certificates; the first is the one that is told as expected.
    Certificates(Vec<Fingerprint>),
    /// A certificate with one of these keys.
    Keys(Vec<LinkKey>),
}

impl Pin {
    fn check(&self, peer: PeerCertificate) -> Result<(), Error> {
        let refusal = match self {
            Self::Certificates(pins) if !pins.contains(&peer.fingerprint) => match pins.first() {
                Some(expected) => Refusal::Fingerprint { expected: *expected, found: peer.fingerprint },
                None => return Err(CertificateError::ApplicationVerificationFailure.into()),
            },
            Self::Keys(keys) if !keys.contains(&peer.link_key) => Refusal::LinkKey { found: peer.link_key },
            Self::Any | Self::Certificates(_) | Self::Keys(_) => return Ok(()),
        };
        Err(CertificateError::Other(OtherError(Arc::new(refusal))).into())
    }
}

/// The names of a certificate.
pub(super) fn names(certificate: &CertificateDer<'_>) -> Result<PeerCertificate, Error> {
    Ok(PeerCertificate {
        fingerprint: Fingerprint::of_certificate(certificate),
        link_key: link_key(certificate)?,
    })
}

/// The name of a certificate's key. Fails for what is not an X.509 version 3 certificate.
pub(super) fn link_key(certificate: &CertificateDer<'_>) -> Result<LinkKey, Error> {
    let parsed = ParsedCertificate::try_from(certificate)?;
    Ok(LinkKey::of_public_key_info(&parsed.subject_public_key_info()))
}

/// Why a pin refused, if that is what `error` is about.
pub(super) fn refusal(error: &Error) -> Option<CloseReason> {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error else { return None };
    match other.downcast_ref::<Refusal>()? {
        Refusal::Fingerprint { expected, found } => {
            Some(CloseReason::WrongFingerprint { expected: *expected, found: *found })
        }
        Refusal::LinkKey { found } => Some(CloseReason::WrongLinkKey { found: *found }),
    }
}

/// What every verifier here does with the proof of a certificate's key: TLS 1.3, with the provider's algorithms.
macro_rules! tls13_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            _message: &[u8],
            _certificate: &CertificateDer<'_>,
            _signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            Err(no_tls12())
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, Error> {
            verify_tls13_signature(
                message,
                certificate,
                signature,
                &PROVIDER.signature_verification_algorithms,
            )
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            PROVIDER.signature_verification_algorithms.supported_schemes()
        }
    };
}

/// A client's check of the server.
#[derive(Debug)]
pub(super) struct PinnedServer(pub(super) Pin);

impl ServerCertVerifier for PinnedServer {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.0.check(names(certificate)?)?;
        Ok(ServerCertVerified::assertion())
    }

    tls13_signatures!();
}

/// A server's check of a peer: any well-formed certificate, and the proof of its key. Who it is, the program
/// judges by the link key.
#[derive(Debug)]
pub(super) struct AnyPeer;

impl ClientCertVerifier for AnyPeer {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _chain: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        names(certificate)?;
        Ok(ClientCertVerified::assertion())
    }

    tls13_signatures!();
}

/// A failed pin on its way through rustls, which knows only errors of its own.
#[derive(Debug)]
enum Refusal {
    Fingerprint { expected: Fingerprint, found: Fingerprint },
    LinkKey { found: LinkKey },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pinned to another certificate")
    }
}

impl StdError for Refusal {}

/// Cannot happen while only TLS 1.3 is enabled; if it ever did, it must not pass.
fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken here".to_owned())
}
