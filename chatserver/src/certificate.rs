//! The server's certificate: the operator's own, or one made at the first start; and the next one, told ahead to clients.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use chatnet::{Fingerprint, Identity, IdentityError};

use crate::cli::RotateArgs;
use crate::exit::Failure;
use crate::settings::{self, Settings};

/// File of the certificate and its key in the data directory.
pub(crate) const IDENTITY_FILE: &str = "server.pem";

/// File of the one that comes next.
pub(crate) const NEXT_FILE: &str = "server-next.pem";

/// File of the one before.
const OLD_FILE: &str = "server-old.pem";

/// Where a server's certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Source {
    data: PathBuf,
    /// Certificate chain and key of the operator's own.
    own: Option<(PathBuf, PathBuf)>,
}

impl Source {
    pub(crate) fn of(settings: &Settings) -> Self {
        Self { data: settings.data.clone(), own: settings.certificate() }
    }

    /// The certificate in force, made if this is the first start.
    pub(crate) fn load_or_create(&self) -> Result<Identity, Failure> {
        match &self.own {
            Some(_) => self.load(),
            None => Identity::load_or_create(&self.data.join(IDENTITY_FILE), ["localhost"]).map_err(failed),
        }
    }

    /// The certificate in force.
    pub(crate) fn load(&self) -> Result<Identity, Failure> {
        match &self.own {
            Some((certificate, key)) => Identity::load_pair(certificate, key).map_err(failed),
            None => Identity::load(&self.data.join(IDENTITY_FILE)).map_err(failed),
        }
    }

    /// The fingerprint of the one that comes next, if one was made.
    pub(crate) fn next(&self) -> Result<Option<Fingerprint>, Failure> {
        if self.own.is_some() {
            return Ok(None);
        }
        match Identity::load(&self.data.join(NEXT_FILE)) {
            Ok(identity) => Ok(Some(identity.fingerprint())),
            Err(IdentityError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed(error)),
        }
    }
}

/// The `rotate` command: makes the next certificate, or puts it in force.
///
/// # Errors
/// When there is nothing to rotate, or the files cannot be written.
pub fn rotate(args: &RotateArgs) -> Result<(), Failure> {
    let data = settings::data_dir(&args.data)?;
    let current = data.join(IDENTITY_FILE);
    let next = data.join(NEXT_FILE);
    if !current.exists() {
        let text =
            format!("{} is not there: nothing to rotate before the server's first start", current.display());
        return Err(Failure::NotFound(text));
    }
    if !args.now {
        let identity = Identity::load_or_create(&next, ["localhost"]).map_err(failed)?;
        return say(&format!(
            "the next certificate is {}\nreload the server (SIGHUP) to have it told to clients; when they have all been \
             here, put it in force with: chatserver rotate --now",
            identity.fingerprint()
        ));
    }
    if !next.exists() {
        let text = "there is no next certificate: make it with `chatserver rotate`";
        return Err(Failure::NotFound(text.into()));
    }
    let identity = Identity::load(&next).map_err(failed)?;
    switch(&data, &current, &next)?;
    say(&format!(
        "the certificate is now {}\nreload the server (SIGHUP): new connections get it. The one before is {OLD_FILE}",
        identity.fingerprint()
    ))
}

/// A crash in between leaves a certificate in force: the old one, or the new one.
fn switch(data: &Path, current: &Path, next: &Path) -> Result<(), Failure> {
    let old = data.join(OLD_FILE);
    let keep = || -> io::Result<()> {
        match fs::remove_file(&old) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        fs::hard_link(current, &old)?;
        fs::rename(next, current)?;
        fs::File::open(data)?.sync_all()
    };
    keep().map_err(|error| Failure::new("cannot put the next certificate in force", error))
}

fn failed(error: IdentityError) -> Failure {
    Failure::new("certificate", error)
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{line}").map_err(|error| Failure::new("standard output", error))
}
