//! The `backup` and `restore` commands: one file that holds all that a server needs to go on elsewhere.
//!
//! A backup is `chat.db` as it was at one moment, with the certificate and its key inside: accounts, log, the server's
//! identity and login keys are there already. Clients that know the server by its certificate know the restored one.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use chatnet::Identity;

use crate::certificate::IDENTITY_FILE;
use crate::cli::DataArg;
use crate::exit::Failure;
use crate::settings;
use crate::store::DataDir;
use crate::store::copy::{self, Restored};

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
    let path = dir.join(IDENTITY_FILE);
    let identity = match fs::symlink_metadata(&path) {
        // A server that speaks plaintext has none.
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        _ => Some(Identity::load(&path).map_err(|error| Failure::new("certificate", error))?),
    };
    let folder = folder_of(file);
    let temporary = tempfile::Builder::new()
        .prefix(".chatserver-backup-")
        .tempfile_in(folder)
        .map_err(|error| Failure::new(format!("cannot make a file in {}", folder.display()), error))?;
    copy::backup(&database, temporary.path(), identity.as_ref().map(Identity::to_pem))
        .map_err(Failure::said)?;
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
    if let Some(pem) = restored.certificate() {
        let identity = Identity::from_pem(pem)
            .map_err(|error| Failure::new(format!("certificate in {}", file.display()), error))?;
        identity.store(&dir.join(IDENTITY_FILE)).map_err(|error| Failure::new("certificate", error))?;
    }
    // Last: a directory with a database is a directory that a server starts on.
    restored.finish().map_err(Failure::said)
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
