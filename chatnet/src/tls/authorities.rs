//! Certificate authorities, for servers whose operators have a certificate that others vouch for.

use std::{fmt, path::Path, sync::Arc};

use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};

/// Whose signature under a server's certificate is believed. Cheap to clone.
#[derive(Clone)]
pub struct Authorities(pub(super) Arc<RootCertStore>);

/// Why there are no authorities.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// The file, or the system's files, cannot be read.
    #[error("cannot read the certificates of {from}: {why}")]
    Unreadable {
        /// Which file, or `this system`.
        from: String,
        /// Why.
        why: String,
    },
    /// There is not one usable certificate.
    #[error("{0} has no usable certificate")]
    None(String),
}

impl Authorities {
    /// Those of a PEM file.
    ///
    /// # Errors
    /// When it cannot be read, or has a certificate that is none.
    pub fn of_file(path: &Path) -> Result<Self, AuthoritiesError> {
        let from = path.display().to_string();
        let unreadable = |why: String| AuthoritiesError::Unreadable { from: from.clone(), why };
        let text = std::fs::read(path).map_err(|error| unreadable(error.to_string()))?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
            roots.add(certificate).map_err(|error| unreadable(error.to_string()))?;
        }
        Self::some(roots, from)
    }

    /// Those that this system trusts. What of them cannot be read is left out.
    ///
    /// # Errors
    /// When there is none at all.
    pub fn of_system() -> Result<Self, AuthoritiesError> {
        let found = rustls_native_certs::load_native_certs();
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(found.certs);
        Self::some(roots, "this system".to_owned())
    }

    fn some(roots: RootCertStore, from: String) -> Result<Self, AuthoritiesError> {
        if roots.is_empty() { Err(AuthoritiesError::None(from)) } else { Ok(Self(Arc::new(roots))) }
    }
}

impl fmt::Debug for Authorities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authorities({})", self.0.len())
    }
}
