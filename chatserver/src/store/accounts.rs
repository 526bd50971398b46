//! Accounts and the server's own secrets. The store does not know what a record means.

use std::fmt;

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, TransactionBehavior};

use super::{
    MAX_TICKETS,
    data_dir::DataDir,
    devices::{self, DeviceRow},
    error::{DbError, StoreError},
    invites::{self, InviteRow},
    lookalikes::Forms,
    rows,
    tickets::{self, NewTicket},
    unix_ms,
};

/// Who may log in, and with what.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name, exactly as it was added; no two that could be mistaken for one another exist.
    pub name: String,
    /// May administer the server.
    pub admin: bool,
    /// Exists, but may not log in.
    pub disabled: bool,
    /// What a login is checked with. The caller's format, versioned by the caller.
    pub record: Vec<u8>,
    /// When the account was added, in Unix milliseconds.
    pub created_ms: u64,
    /// Another one after each change of the record, and for an account of the same name made later.
    pub generation: u64,
}

/// Without the record, which has no business in a log.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, admin, disabled, record: _, created_ms, generation } = self;
        f.debug_struct("Account")
            .field("name", name)
            .field("admin", admin)
            .field("disabled", disabled)
            .field("record", &"***")
            .field("created_ms", created_ms)
            .field("generation", generation)
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
    /// The name could be mistaken for one that is taken.
    #[error("`{name}` could be mistaken for the account `{other}`, which exists already")]
    Lookalike {
        /// The name that was asked for.
        name: String,
        /// The one that exists.
        other: String,
    },
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
        let mut select = self.conn.prepare(
            "SELECT name, admin, disabled, record, created_ms, generation FROM users ORDER BY name",
        )?;
        let accounts = select.query_map([], account)?.collect::<Result<_, _>>()?;
        Ok(accounts)
    }

    /// A record of the kind that most accounts have: those count as one kind whose first `head` bytes are the same.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn commonest_record(&self, head: usize) -> Result<Option<Vec<u8>>, AccountError> {
        let head = i64::try_from(head).unwrap_or(i64::MAX);
        let select = "SELECT record FROM users GROUP BY substr(record, 1, ?1)
            ORDER BY count(*) DESC, min(id) LIMIT 1";
        Ok(self.conn.query_row(select, [head], |row| row.get(0)).optional()?)
    }

    /// Makes an invitation for `uses` accounts and gives its number.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn invite(
        &mut self,
        code: &str,
        label: &str,
        uses: u32,
        expires_ms: u64,
    ) -> Result<u64, AccountError> {
        Ok(invites::create(&self.conn, code, label, uses, expires_ms)?)
    }

    /// All invitations, by number.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn invites(&self) -> Result<Vec<InviteRow>, AccountError> {
        Ok(invites::list(&self.conn)?)
    }

    /// Removes an invitation; `false` when there is none of this number. Accounts made with it stay.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn remove_invite(&mut self, id: u64) -> Result<bool, AccountError> {
        Ok(invites::remove(&self.conn, id)?)
    }

    /// The devices of an account, the latest login first.
    ///
    /// # Errors
    ///
    /// [`AccountError::Unknown`] when there is no such account.
    pub fn devices(&self, name: &str) -> Result<Vec<DeviceRow>, AccountError> {
        if self.lookup(name)?.is_none() {
            return Err(AccountError::Unknown(name.to_owned()));
        }
        Ok(devices::list(&self.conn, name, unix_ms())?)
    }

    /// Ends the tickets and sessions of a device, on a running server within seconds; `false` when the account has no such
    /// device.
    ///
    /// # Errors
    ///
    /// [`AccountError::Database`].
    pub fn revoke_device(&mut self, name: &str, device: [u8; 16]) -> Result<bool, AccountError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let is_there = devices::revoke(&tx, name, device, unix_ms())?;
        tx.commit()?;
        Ok(is_there)
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

/// Adds an account whose name cannot be mistaken for another's.
pub(super) fn add(
    conn: &Connection,
    name: &str,
    admin: bool,
    record: &[u8],
    created_ms: u64,
) -> Result<(), AccountError> {
    let Forms { folded, skeleton } = Forms::of(name);
    let other = conn
        .prepare_cached(
            "SELECT name FROM users WHERE folded = ?1 OR skeleton = ?2 ORDER BY name = ?3 DESC LIMIT 1",
        )?
        .query_row((&folded, &skeleton, name), |row| row.get::<_, String>(0))
        .optional()?;
    match other {
        Some(other) if other == name => return Err(AccountError::Exists(other)),
        Some(other) => return Err(AccountError::Lookalike { name: name.to_owned(), other }),
        None => {}
    }
    // Of two accounts of one name, made one after the other, sessions of the first must not pass for the second's.
    let added = conn
        .prepare_cached(
            "INSERT INTO users(name, admin, record, created_ms, folded, skeleton, generation)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?4)",
        )?
        .execute((name, admin, record, rows::to_i64(created_ms), folded, skeleton));
    match added {
        Ok(_) => Ok(()),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            Err(AccountError::Exists(name.to_owned()))
        }
        Err(error) => Err(error.into()),
    }
}

/// Replaces a record, if the account may log in and still has the old one; gives the account's new generation.
pub(super) fn exchange_record(
    conn: &Connection,
    name: &str,
    old: &[u8],
    new: &[u8],
) -> Result<Option<u64>, rusqlite::Error> {
    let changed = conn
        .prepare_cached("UPDATE users SET record = ?3 WHERE name = ?1 AND record = ?2 AND disabled = 0")?
        .execute((name, old, new))?;
    if changed == 0 { Ok(None) } else { generation(conn, name) }
}

/// The generation of an account that may log in.
pub(super) fn generation(conn: &Connection, name: &str) -> Result<Option<u64>, rusqlite::Error> {
    conn.prepare_cached("SELECT generation FROM users WHERE name = ?1 AND disabled = 0")?
        .query_row([name], |row| rows::unsigned(row, 0))
        .optional()
}

/// Looks an account up on any connection.
pub(super) fn lookup(conn: &Connection, name: &str) -> Result<Option<Account>, rusqlite::Error> {
    conn.prepare_cached(
        "SELECT name, admin, disabled, record, created_ms, generation FROM users WHERE name = ?1",
    )?
    .query_row([name], account)
    .optional()
}

/// Looks an account up for a login. Where there is none, another's row is read in its place and thrown away, so that the time
/// does not tell.
pub(super) fn lookup_alike(conn: &Connection, name: &str) -> Result<Option<Account>, rusqlite::Error> {
    let found = conn
        .prepare_cached(
            "SELECT name, admin, disabled, record, created_ms, generation FROM users WHERE name = ?1
                UNION ALL SELECT * FROM (SELECT name, admin, disabled, record, created_ms, generation
                    FROM users ORDER BY id LIMIT 1)
                LIMIT 1",
        )?
        .query_row([name], account)
        .optional()?;
    Ok(found.filter(|account| account.name == name))
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
        generation: rows::unsigned(row, 5)?,
    })
}

fn found(changed: usize, name: &str) -> Result<(), AccountError> {
    if changed == 0 { Err(AccountError::Unknown(name.to_owned())) } else { Ok(()) }
}
