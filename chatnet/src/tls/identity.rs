//! A certificate with its private key: made, kept in a file, and read again.

use std::{
    fmt, fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};

use super::verify;
use crate::{Fingerprint, LinkKey};

/// A self-signed (or any other) certificate with its private key.
///
/// Kept as one PEM file that holds both, so that no crash can leave a key beside the wrong certificate.
pub struct Identity {
    certificates: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    pem: String,
    fingerprint: Fingerprint,
    link_key: LinkKey,
}

/// Why an identity could not be made, read or stored.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The certificate could not be made, for instance for a malformed subject name.
    #[error("cannot make a certificate: {0}")]
    Generate(String),
    /// The file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Others may read the file with the private key.
    #[error("{} holds a private key and may be used by others (mode {mode:04o}); make it 0600", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no certificate in the PEM text, or a malformed one.
    #[error("no usable certificate in the PEM text: {0}")]
    Certificate(String),
    /// There is no private key in the PEM text, or a malformed one.
    #[error("no usable private key in the PEM text: {0}")]
    Key(String),
    /// The private key does not belong to the certificate.
    #[error("the private key does not belong to the certificate")]
    Mismatch,
}

impl Identity {
    /// Makes a new ECDSA P-256 key and a self-signed certificate for it. Whoever pins it looks at neither names
    /// nor dates; the names are for people.
    ///
    /// # Errors
    /// [`IdentityError::Generate`] when a name is not fit for a certificate.
    pub fn generate<S: Into<String>>(
        subject_names: impl IntoIterator<Item = S>,
    ) -> Result<Self, IdentityError> {
        let failed = |error: rcgen::Error| IdentityError::Generate(error.to_string());
        let names = subject_names.into_iter().map(Into::into).collect::<Vec<_>>();
        let key = KeyPair::generate().map_err(failed)?;
        let certificate =
            CertificateParams::new(names).and_then(|params| params.self_signed(&key)).map_err(failed)?;
        Self::from_pem(&format!("{}{}", certificate.pem(), key.serialize_pem()))
    }

    /// Reads a PEM text with one private key and its certificate, followed by the rest of its chain if there is one.
    ///
    /// # Errors
    /// [`IdentityError::Certificate`], [`IdentityError::Key`] or [`IdentityError::Mismatch`].
    pub fn from_pem(pem: &str) -> Result<Self, IdentityError> {
        let certificates = CertificateDer::pem_slice_iter(pem.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(pem.as_bytes())
            .map_err(|error| IdentityError::Key(error.to_string()))?;
        let Some(certificate) = certificates.first() else {
            return Err(IdentityError::Certificate("there is none".to_owned()));
        };
        let fingerprint = Fingerprint::of_certificate(certificate);
        let link_key =
            verify::link_key(certificate).map_err(|error| IdentityError::Certificate(error.to_string()))?;
        let identity = Self { certificates, key, pem: pem.to_owned(), fingerprint, link_key };
        super::settings::check(&identity)?;
        Ok(identity)
    }

    /// The PEM text of certificate and private key. A secret.
    #[must_use]
    pub fn to_pem(&self) -> &str {
        &self.pem
    }

    /// Reads the file that [`store`](Self::store) wrote.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] when others may use the file; the other variants when it cannot be read or holds
    /// something else.
    pub fn load(path: &Path) -> Result<Self, IdentityError> {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = fs::metadata(path).map_err(|error| at(path, error))?.permissions().mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(IdentityError::Exposed { path: path.to_owned(), mode });
        }
        Self::from_pem(&fs::read_to_string(path).map_err(|error| at(path, error))?)
    }

    /// Reads a certificate chain and its key from a PEM file each, as certificate authorities hand them out.
    ///
    /// # Errors
    /// [`IdentityError::Exposed`] when others may read the key; the other variants when a file cannot be read or the two do
    /// not belong together.
    pub fn load_pair(certificate: &Path, key: &Path) -> Result<Self, IdentityError> {
        use std::os::unix::fs::PermissionsExt as _;

        let mode = fs::metadata(key).map_err(|error| at(key, error))?.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            return Err(IdentityError::Exposed { path: key.to_owned(), mode });
        }
        let certificate = fs::read_to_string(certificate).map_err(|error| at(certificate, error))?;
        let key = fs::read_to_string(key).map_err(|error| at(key, error))?;
        Self::from_pem(&format!("{certificate}\n{key}"))
    }

    /// Writes the identity to a new file with mode 0600, durably and all at once: after a crash the file is there whole
    /// or not at all.
    ///
    /// # Errors
    /// [`IdentityError::File`], with the kind `AlreadyExists` when there is such a file: an identity is never
    /// overwritten.
    pub fn store(&self, path: &Path) -> Result<(), IdentityError> {
        self.write_new(path).map_err(|error| at(path, error))
    }

    /// Reads the file, or makes a new identity and stores it when there is none. When two processes do so at
    /// once, both get the same identity.
    ///
    /// # Errors
    /// Those of [`load`](Self::load), [`generate`](Self::generate) and [`store`](Self::store).
    pub fn load_or_create<S: Into<String>>(
        path: &Path,
        subject_names: impl IntoIterator<Item = S>,
    ) -> Result<Self, IdentityError> {
        match Self::load(path) {
            Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {}
            found => return found,
        }
        let created = Self::generate(subject_names)?;
        match created.store(path) {
            Ok(()) => Ok(created),
            Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {
                Self::load(path)
            }
            Err(error) => Err(error),
        }
    }

    /// SHA-256 over the DER certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    /// SHA-256 over the DER of the certificate's SubjectPublicKeyInfo.
    #[must_use]
    pub fn link_key(&self) -> LinkKey {
        self.link_key
    }

    pub(super) fn certificates(&self) -> Vec<CertificateDer<'static>> {
        self.certificates.clone()
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        self.key.clone_key()
    }

    fn write_new(&self, path: &Path) -> io::Result<()> {
        let directory = match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Born with mode 0600, so there is no moment in which others could read it.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        file.write_all(self.pem.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist_noclobber(path)?;
        fs::File::open(directory)?.sync_all()
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("fingerprint", &self.fingerprint)
            .field("key", &"***")
            .finish_non_exhaustive()
    }
}

fn at(path: &Path, source: io::Error) -> IdentityError {
    IdentityError::File { path: path.to_owned(), source }
}
