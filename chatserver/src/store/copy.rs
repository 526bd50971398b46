//! A whole copy of the database, made beside a running server, and a data directory made of such a copy.

use std::{path::Path, thread, time::Duration};

use rusqlite::{
    Connection, OpenFlags, OptionalExtension as _,
    backup::{Backup, StepResult},
};
use tempfile::NamedTempFile;

use super::{
    data_dir::{DataDir, sync_directory},
    error::{DbError, StoreError},
    schema,
};

/// Where a backup keeps the certificates with their keys; a data directory has a file for each.
const CERTIFICATE: &str = "certificate";
const NEXT_CERTIFICATE: &str = "next certificate";

/// The PEM texts that a data directory keeps beside the database.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    /// The one in force; none where a server speaks plaintext.
    pub(crate) current: Option<String>,
    /// The one that was announced to clients, who will take it for the server's.
    pub(crate) next: Option<String>,
}

/// Times that a copy is tried while others hold the file, and the pause between them: 10 s in all.
const MAX_TRIES: u32 = 100;
const RETRY: Duration = Duration::from_millis(100);

/// Copies the database into the empty file `to`, with the certificates inside.
pub(crate) fn backup(dir: &DataDir, to: &Path, certificates: &Certificates) -> Result<(), StoreError> {
    let from = dir.connect_read_only()?;
    schema::check_version(&from, &dir.database())?;
    let failed = || StoreError::database::<DbError>(to);
    let copied = copy(&from, to).map_err(failed())?;
    let Certificates { current, next } = certificates;
    for (key, pem) in [(CERTIFICATE, current), (NEXT_CERTIFICATE, next)] {
        let Some(pem) = pem else { continue };
        let row = (key, pem.as_bytes());
        copied
            .execute("INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)", row)
            .map_err(StoreError::database(to))?;
    }
    close(copied).map_err(failed())
}

/// A data directory that is not there yet: it appears with [`finish`](Self::finish).
#[derive(Debug)]
pub(crate) struct Restored {
    dir: DataDir,
    database: NamedTempFile,
    certificates: Certificates,
}

impl Restored {
    /// Makes a directory at `path` and copies the backup into a temporary file there.
    pub(crate) fn begin(backup: &Path, path: &Path) -> Result<Self, StoreError> {
        let from = schema::open_read_only(backup)?;
        schema::check_version(&from, backup)?;
        let dir = DataDir::fresh(path)?;
        let database = NamedTempFile::new_in(path).map_err(StoreError::io("make a file in", path))?;
        let failed = || StoreError::database(database.path());
        let mut copied = copy(&from, database.path()).map_err(failed())?;
        let taken = take_certificates(&mut copied).map_err(StoreError::database(database.path()))?;
        close(copied).map_err(failed())?;
        let text = |pem: Option<Vec<u8>>| {
            pem.map(String::from_utf8).transpose().map_err(|_| {
                StoreError::database(backup)(DbError::Damaged("its certificate is no text".into()))
            })
        };
        let [current, next] = taken;
        let certificates = Certificates { current: text(current)?, next: text(next)? };
        Ok(Self { dir, database, certificates })
    }

    /// The certificates that were in the backup.
    pub(crate) fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// Gives the database its name.
    pub(crate) fn finish(self) -> Result<(), StoreError> {
        let path = self.dir.database();
        self.database.as_file().sync_all().map_err(StoreError::io("flush", &path))?;
        self.database
            .persist_noclobber(&path)
            .map_err(|error| StoreError::io("create", &path)(error.error))?;
        sync_directory(self.dir.path())
    }
}

/// Copies all pages in one step: one read transaction, which a write-ahead log gives without holding up the writer. In
/// several steps, each commit between two of them would start the copy over, for ever on a busy server.
fn copy(from: &Connection, to: &Path) -> Result<Connection, DbError> {
    let mut copied =
        Connection::open_with_flags(to, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    let backup = Backup::new(from, &mut copied)?;
    for _ in 0..MAX_TRIES {
        if backup.step(-1)? == StepResult::Done {
            drop(backup);
            return Ok(copied);
        }
        thread::sleep(RETRY);
    }
    Err(DbError::Busy)
}

/// Takes the certificates out again, without a trace in the file. With the identity of the log goes what clients believe
/// to have seen of it: the backup may be older than that, and they have to ask anew.
fn take_certificates(copied: &mut Connection) -> Result<[Option<Vec<u8>>; 2], rusqlite::Error> {
    copied.pragma_update(None, "secure_delete", true)?;
    let tx = copied.transaction()?;
    let kept =
        |key| tx.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional();
    let certificates = [kept(CERTIFICATE)?, kept(NEXT_CERTIFICATE)?];
    tx.execute("DELETE FROM meta WHERE key IN (?1, ?2, 'server_id')", [CERTIFICATE, NEXT_CERTIFICATE])?;
    tx.commit()?;
    Ok(certificates)
}

/// Leaves one file, checked and without side files.
fn close(copied: Connection) -> Result<(), DbError> {
    copied.pragma_update(None, "journal_mode", "DELETE")?;
    let verdict = copied.query_row("PRAGMA quick_check(1)", [], |row| row.get::<_, String>(0))?;
    if verdict != "ok" {
        return Err(DbError::Damaged(verdict));
    }
    copied.close().map_err(|(_, error)| error.into())
}
