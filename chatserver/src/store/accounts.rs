//! Accounts and the server's own secrets. The store does not know what a record means.

use std::fmt;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior};

use super::{
    MAX_TICKETS,
    data_dir::DataDir,
    error::{DbError, StoreError},
    rows,
    tickets::{self, NewTicket},
    unix_ms,
};

/// Who may log in, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name, exactly as it was added; names that differ in any byte are different accounts.
    pub name: String,
    /// May administer the server.
    pub admin: bool,
    /// Exists, but may not log in.
    pub disabled: bool,
    /// What a login is checked with. The caller's format, versioned by the caller.
    pub record: Vec<u8>,
    /// When the account was added, in Unix milliseconds.
    pub created_ms: u64,
}

/// Without the record, which has no business in a log.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, admin, disabled, record: _, created_ms } = self;
        f.debug_struct("Account")
            .field("name", name)
            .field("admin", admin)
            .field("disabled", disabled)
            .field("record", &"***")
            .field("created_ms", created_ms)
            .finish()
    }
}

/// An account to be made together with others.
#[derive(Clone)]
pub struct NewAccount {
    /// The name.
    pub name: String,
    /// What a login is checked with.
    pub record: Vec<u8>,
    /// Tickets that are good from the start, at most [`MAX_TICKETS`](super::MAX_TICKETS).
    pub tickets: Vec<NewTicket>,
}

/// Without the record, which has no business in a log.
impl fmt::Debug for NewAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, record: _, tickets } = self;
        f.debug_struct("NewAccount").field("name", name).field("tickets", tickets).finish_non_exhaustive()
    }
}

/// Why an account could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("account `{0}` exists already")]
    Exists(String),
    /// There is no such account.
    #[error("there is no account `{0}`")]
    Unknown(String),
    /// The database refused.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<rusqlite::Error> for AccountError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error.into())
    }
}

/// A connection of its own to the accounts. It blocks on the disk, and up to 5 seconds on another process'
/// lock: for commands and for the server's start, not for its event loop.
#[derive(Debug)]
pub struct Accounts {
    conn: Connection,
}

impl Accounts {
    /// Opens the accounts of a data directory, beside whatever else has it open.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database cannot be opened.
    pub fn open(dir: &DataDir) -> Result<Self, StoreError> {
        Ok(Self { conn: dir.connect()? })
    }

    /// Adds an account. A running server knows it at once. The name of a removed account is free again; the
    /// messages said under it stay.
    ///
    /// # Errors
    ///
    /// [`AccountError::Exists`] when the name is taken.
    pub fn add(&mut self, name: &str, admin: bool, record: &[u8]) -> Result<(), AccountError> {
        add(&self.conn, name, admin, record, unix_ms())
    }

    /// Adds all of these accounts, or none. Running servers know them at once.
    ///
    /// # Errors
    ///
    /// [`AccountError::Exists`] with the first name that is taken.
    pub fn import(&mut self, accounts: &[NewAccount]) -> Result<(), AccountError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let now_ms = unix_ms();
        for NewAccount { name, record, tickets } in accounts {
            add(&tx, name, false, record, now_ms)?;
            for ticket in tickets {
                tickets::keep(&tx, name, record, ticket, MAX_TICKETS, now_ms)?;
            }
        }
        Ok(tx.commit()?)
    }

    /// Replaces an account's record.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unknown`] when there is no such account.
    pub fn set_record(&mut self, name: &str, record: &[u8]) -> Result<(), AccountError> {
        let changed = self.conn.execute("UPDATE users SET record = ?2 WHERE name = ?1", (name, record))?;
        found(changed, name)
    }

    /// Lets an account log in, or not.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unknown`] when there is no such account.
    pub fn set_disabled(&mut self, name: &str, disabled: bool) -> Result<(), AccountError> {
        let changed =
            self.conn.execute("UPDATE users SET disabled = ?2 WHERE name = ?1", (name, disabled))?;
        found(changed, name)
    }

    /// Removes an account; its messages stay in the log.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unknown`] when there is no such account.
    pub fn remove(&mut self, name: &str) -> Result<(), AccountError> {
        let changed = self.conn.execute("DELETE FROM users WHERE name = ?1", [name])?;
        found(changed, name)
    }

    /// The account of that name, if there is one.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn lookup(&self, name: &str) -> Result<Option<Account>, AccountError> {
        Ok(lookup(&self.conn, name)?)
    }

    /// All accounts, by name.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn list(&self) -> Result<Vec<Account>, AccountError> {
        let mut select =
            self.conn.prepare("SELECT name, admin, disabled, record, created_ms FROM users ORDER BY name")?;
        let accounts = select.query_map([], account)?.collect::<Result<_, _>>()?;
        Ok(accounts)
    }

    /// The value kept under `key`, made by `make` if there is none. Whoever asks first decides: all others,
    /// also in other processes, get the same value.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn meta_get_or_create(
        &mut self,
        key: &str,
        make: impl FnOnce() -> Vec<u8>,
    ) -> Result<Vec<u8>, AccountError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let kept = meta(&tx, key)?;
        let value = if let Some(value) = kept {
            value
        } else {
            let value = make();
            tx.execute("INSERT INTO meta(key, value) VALUES (?1, ?2)", (key, &value))?;
            value
        };
        tx.commit()?;
        Ok(value)
    }
}

fn add(
    conn: &Connection,
    name: &str,
    admin: bool,
    record: &[u8],
    created_ms: u64,
) -> Result<(), AccountError> {
    let added = conn
        .prepare_cached("INSERT INTO users(name, admin, record, created_ms) VALUES (?1, ?2, ?3, ?4)")?
        .execute((name, admin, record, rows::to_i64(created_ms)));
    match added {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(AccountError::Exists(name.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Looks an account up on any connection.
pub(super) fn lookup(conn: &Connection, name: &str) -> Result<Option<Account>, rusqlite::Error> {
    conn.prepare_cached("SELECT name, admin, disabled, record, created_ms FROM users WHERE name = ?1")?
        .query_row([name], account)
        .optional()
}

/// What is kept under `key`.
pub(super) fn meta(conn: &Connection, key: &str) -> Result<Option<Vec<u8>>, rusqlite::Error> {
    conn.query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get(0)).optional()
}

fn account(row: &Row<'_>) -> Result<Account, rusqlite::Error> {
    Ok(Account {
        name: row.get(0)?,
        admin: row.get(1)?,
        disabled: row.get(2)?,
        record: row.get(3)?,
        created_ms: rows::unsigned(row, 4)?,
    })
}

fn found(changed: usize, name: &str) -> Result<(), AccountError> {
    if changed == 0 { Err(AccountError::Unknown(name.to_owned())) } else { Ok(()) }
}
