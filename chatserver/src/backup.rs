//! The `backup` and `restore` commands: one file that holds all that a server needs to go on elsewhere.
//!
//! A backup is `chat.db` as it was at one moment, with the certificate and its key inside, and with the next one that was
//! announced: accounts, log, the server's identity and login keys are there already. Clients that know the server by its
//! certificate know the restored one, and take the next one from it.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use chatnet::Identity;

use crate::certificate::{IDENTITY_FILE, NEXT_FILE};
use crate::cli::DataArg;
use crate::exit::Failure;
use crate::settings;
use crate::store::DataDir;
use crate::store::copy::{self, Certificates, Restored};

/// Copies the data directory's log and keys into `file`, which appears whole or not at all, readable by its owner only.
///
/// # Errors
/// When there is no server's data, or `file` exists, or either cannot be read or written.
pub fn backup(file: &Path, data: &DataArg) -> Result<(), Failure> {
    let dir = settings::data_dir(data)?;
    if fs::symlink_metadata(file).is_ok() {
        return Err(exists(file));
    }
    let database = DataDir::existing(&dir).map_err(Failure::said)?;
    // The next one first: should it come in force meanwhile, it is found in both places and not lost.
    let next = identity(&dir.join(NEXT_FILE))?;
    let current = identity(&dir.join(IDENTITY_FILE))?;
    let next = next.filter(|next| current.as_ref().is_some_and(|it| it.fingerprint() != next.fingerprint()));
    let pem = |identity: Option<Identity>| identity.as_ref().map(|identity| identity.to_pem().to_owned());
    let certificates = Certificates { current: pem(current), next: pem(next) };
    let folder = folder_of(file);
    let temporary = tempfile::Builder::new()
        .prefix(".chatserver-backup-")
        .tempfile_in(folder)
        .map_err(|error| Failure::new(format!("cannot make a file in {}", folder.display()), error))?;
    copy::backup(&database, temporary.path(), &certificates).map_err(Failure::said)?;
    let failed = |error: io::Error| Failure::new(format!("cannot write {}", file.display()), error);
    temporary.as_file().sync_all().map_err(failed)?;
    temporary.persist_noclobber(file).map_err(|error| {
        let is_there = error.error.kind() == io::ErrorKind::AlreadyExists;
        if is_there { exists(file) } else { failed(error.error) }
    })?;
    sync(folder).map_err(failed)
}

/// Makes a data directory of a backup. The backup stays as it is.
///
/// # Errors
/// When the directory holds a server's data already, or `file` is no backup of this or an older version.
pub fn restore(file: &Path, data: &DataArg) -> Result<(), Failure> {
    let dir = settings::data_dir(data)?;
    let restored = Restored::begin(file, &dir).map_err(Failure::said)?;
    let Certificates { current, next } = restored.certificates();
    for (pem, name) in [(current, IDENTITY_FILE), (next, NEXT_FILE)] {
        let Some(pem) = pem else { continue };
        let identity = Identity::from_pem(pem)
            .map_err(|error| Failure::new(format!("certificate in {}", file.display()), error))?;
        identity.store(&dir.join(name)).map_err(|error| Failure::new("certificate", error))?;
    }
    // Last: a directory with a database is a directory that a server starts on.
    restored.finish().map_err(Failure::said)
}

/// The certificate in a file; a server that speaks plaintext has none, and most have no next one.
fn identity(path: &Path) -> Result<Option<Identity>, Failure> {
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        _ => Identity::load(path).map(Some).map_err(|error| Failure::new("certificate", error)),
    }
}

fn exists(file: &Path) -> Failure {
    Failure::Said(format!("{} exists already; a backup replaces nothing", file.display()))
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
