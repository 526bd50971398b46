//! One batch, one transaction: where messages get their numbers.

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
};

use rusqlite::{CachedStatement, Connection, OptionalExtension as _, Row, Transaction, TransactionBehavior};

use super::{
    StoreConfig,
    age::Stamps,
    audit,
    audit::Line,
    checkpoint,
    data_dir::DataDir,
    error::{DbError, StoreError},
    house::{self, GateChange, GateRow, HouseChange, RoleRow},
    origins::Origins,
    removed::{self, RemovedAccounts},
    retention::Retention,
    rows::{self, RoomKind, RoomRow},
    schema,
    tickets::{self, NewTicket},
};

/// Something to be written. Each carries an id of the caller's choice that comes back in its [`Outcome`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// A message, to be numbered and timed by its commit.
    Append {
        /// Comes back in the outcome.
        id: u64,
        /// The room it is said in.
        room: u32,
        /// The account that says it.
        sender: String,
        /// The device that says it.
        device: [u8; 16],
        /// The device's own number for it, at most 2^63 - 1.
        counter: u64,
        /// What is said.
        text: String,
    },
    /// The question whether a message was stored before. It is answered as its append would be, except that nothing is
    /// ever written.
    Recall {
        /// Comes back in the outcome.
        id: u64,
        /// The account that said it.
        sender: String,
        /// The device that said it.
        device: [u8; 16],
        /// The device's own number for it.
        counter: u64,
    },
    /// The numbers of a room up to this one count as given: for a server that numbers messages itself and keeps them in
    /// memory only.
    Number {
        /// Comes back in the outcome.
        id: u64,
        /// The room.
        room: u32,
        /// The last number.
        last: u64,
    },
    /// A new room. Creating the same room again (id, kind and name) is answered like the first time, and changes
    /// nothing: what failed may be repeated.
    CreateRoom {
        /// Comes back in the outcome.
        id: u64,
        /// The new room's id.
        room: u32,
        /// What it is.
        kind: RoomKind,
        /// Its name (or key), unique among rooms of its kind.
        name: String,
        /// Who made it; `None` for the first room, conversations, and the operator of the server.
        by: Option<String>,
        /// Who owns it; nobody owns conversations and the first room.
        owner: Option<String>,
        /// Whether only those with a role see and enter it.
        is_private: bool,
    },
    /// A change of a room, or of what somebody may do there. It leaves a line in the audit log.
    Moderate {
        /// Comes back in the outcome.
        id: u64,
        /// The room.
        room: u32,
        /// Who did it; `None` for the operator of the server.
        by: Option<String>,
        /// What it is called in the audit log.
        action: &'static str,
        /// What it changes.
        change: Box<HouseChange>,
        /// To whom.
        user: Option<String>,
        /// For how long from its commit on, in seconds; 0 where there is no time or no end.
        seconds: u32,
        /// The reason, or the topic; may be empty.
        note: String,
    },
    /// A change of the whole server. It leaves a line in the audit log.
    Govern {
        /// Comes back in the outcome.
        id: u64,
        /// Who did it; `None` for the operator of the server.
        by: Option<String>,
        /// What it is called in the audit log.
        action: &'static str,
        /// What it changes.
        change: GateChange,
        /// Upon whom: a network, or an account with an `@` before its name.
        subject: Option<String>,
        /// For how long from its commit on, in seconds; 0 where there is no time or no end.
        seconds: u32,
        /// The reason; may be empty.
        note: String,
    },
    /// A conversation is over, because the account of one of the two was removed. The log knows that already, unless the
    /// conversation began in that very moment.
    Retire {
        /// Comes back in the outcome.
        id: u64,
        /// Its room.
        room: u32,
        /// Whose account was removed.
        gone: String,
        /// Who keeps what was said; `None` for nobody.
        keeper: Option<String>,
    },
    /// A session ticket. It is kept only if the account may log in and has not changed since.
    KeepTicket {
        /// Comes back in the outcome.
        id: u64,
        /// The account.
        user: String,
        /// The account's record that the login was checked with.
        record: Vec<u8>,
        /// The ticket.
        ticket: NewTicket,
    },
}

impl Write {
    /// The id that comes back in the outcome.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Append { id, .. }
            | Self::Recall { id, .. }
            | Self::Number { id, .. }
            | Self::CreateRoom { id, .. }
            | Self::Moderate { id, .. }
            | Self::Govern { id, .. }
            | Self::Retire { id, .. }
            | Self::KeepTicket { id, .. } => *id,
        }
    }

    /// The bytes that vary from write to write, for batch bounds.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Append { sender, text, .. } => sender.len() + text.len(),
            Self::Recall { sender, .. } => sender.len(),
            Self::Number { .. } | Self::Retire { .. } => 0,
            Self::CreateRoom { name, .. } => name.len(),
            Self::Moderate { note, .. } | Self::Govern { note, .. } => note.len(),
            Self::KeepTicket { user, record, .. } => user.len() + record.len(),
        }
    }
}

/// What became of a [`Write`]. All but `Failed` are as durable as the store's setting says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The message is in the log.
    Committed {
        /// The write's id.
        id: u64,
        /// Its number in its room.
        seq: u64,
        /// Its time in Unix milliseconds.
        time_ms: u64,
    },
    /// The same sender, device and counter were in the log before. Nothing was written.
    Duplicate {
        /// The write's id.
        id: u64,
        /// The room that the first one was said in.
        room: u32,
        /// The first one's number.
        seq: u64,
        /// The first one's time in Unix milliseconds.
        time_ms: u64,
    },
    /// The same sender, device and counter were in the log once, which has let go of the message since. Nothing was written.
    Forgotten {
        /// The write's id.
        id: u64,
    },
    /// To a [`Write::Recall`]: the log never had it.
    Absent {
        /// The write's id.
        id: u64,
    },
    /// The room's next message has the number after this one.
    Numbered {
        /// The write's id.
        id: u64,
        /// The room.
        room: u32,
        /// The last number that counts as given.
        last: u64,
    },
    /// The room exists now.
    RoomCreated {
        /// The write's id.
        id: u64,
        /// The room.
        room: u32,
        /// When it was first created, in Unix milliseconds.
        created_ms: u64,
    },
    /// The room, or the whole server, is changed.
    Moderated {
        /// The write's id.
        id: u64,
        /// The room; 0 for the whole server.
        room: u32,
    },
    /// The ticket was looked at.
    TicketKept {
        /// The write's id.
        id: u64,
        /// It is worth something. False when the account is gone, disabled or has another record: nothing was written.
        kept: bool,
    },
    /// Nothing was written and no number was consumed.
    Failed {
        /// The write's id.
        id: u64,
        /// Why.
        error: WriteError,
    },
}

impl Outcome {
    /// The write's id.
    #[must_use]
    pub fn id(&self) -> u64 {
        match self {
            Self::Committed { id, .. }
            | Self::Duplicate { id, .. }
            | Self::Forgotten { id }
            | Self::Absent { id }
            | Self::Numbered { id, .. }
            | Self::RoomCreated { id, .. }
            | Self::Moderated { id, .. }
            | Self::TicketKept { id, .. }
            | Self::Failed { id, .. } => *id,
        }
    }
}

/// Why a write failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WriteError {
    /// The room does not exist.
    #[error("there is no room {0}")]
    NoSuchRoom(u32),
    /// The room's id, or its name among rooms of its kind, is taken by another room.
    #[error("room {room} or its name `{name}` exists already")]
    RoomTaken {
        /// The id that was asked for.
        room: u32,
        /// The name that was asked for.
        name: String,
    },
    /// An account that it is about was removed meanwhile: whoever has the name next is somebody else.
    #[error("the account {0} was removed")]
    Gone(String),
    /// The counter is beyond what the log can hold.
    #[error("counter {0} is greater than 2^63 - 1")]
    CounterTooLarge(u64),
    /// The database refused this row, or the whole batch.
    #[error(transparent)]
    Database(#[from] DbError),
}

/// The end of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Tail {
    seq: u64,
    time_ms: u64,
}

/// The appending end of the log, and what it knows of every room's end.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) conn: Connection,
    file: PathBuf,
    tails: HashMap<u32, Tail>,
    pub(super) stamps: Stamps,
    pub(super) origins: Origins,
    pub(super) retention: Retention,
    max_tickets: usize,
    keep_audit: u64,
}

impl Log {
    pub(super) fn open(dir: &DataDir, config: &StoreConfig) -> Result<Self, StoreError> {
        let file = dir.database();
        let conn = dir.connect()?;
        let tails = prepare(&conn, config).map_err(StoreError::database(&file))?;
        let stamps = Stamps::load(&conn).map_err(StoreError::database(&file))?;
        let retention = Retention::load(&conn, config).map_err(StoreError::database(&file))?;
        let origins = Origins::default();
        let StoreConfig { max_tickets, keep_audit, .. } = *config;
        Ok(Self { conn, file, tails, stamps, origins, retention, max_tickets, keep_audit })
    }

    pub(super) fn load_rooms(&self) -> Result<Vec<RoomRow>, StoreError> {
        rows::load_rooms(&self.conn).map_err(StoreError::database(&self.file))
    }

    pub(super) fn load_gate(&self) -> Result<GateRow, StoreError> {
        house::load_gate(&self.conn).map_err(StoreError::database(&self.file))
    }

    pub(super) fn watch_removals(&self) -> Result<RemovedAccounts, StoreError> {
        RemovedAccounts::watch(&self.conn).map_err(StoreError::database(&self.file))
    }

    /// The greatest number that a room has had, also one that is gone.
    pub(super) fn last_room(&self) -> Result<u32, StoreError> {
        let last = self.conn.query_row("SELECT coalesce(max(id), 0) FROM rooms", [], |row| row.get(0));
        last.map_err(StoreError::database(&self.file))
    }

    /// Commits a batch and tells what became of each write, in order. A row that cannot be written fails
    /// alone; a transaction that cannot be committed fails as a whole and leaves everything as it was.
    pub(super) fn commit(&mut self, writes: &[Write], now_ms: u64) -> Vec<Outcome> {
        let mut before = BTreeMap::new();
        let stamps = self.stamps;
        match self.try_commit(writes, now_ms, &mut before) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                for (room, tail) in before {
                    match tail {
                        Some(tail) => self.tails.insert(room, tail),
                        None => self.tails.remove(&room),
                    };
                }
                self.stamps = stamps;
                // Some may be of this transaction, and never came to be.
                self.origins.clear();
                writes.iter().map(|write| self.failed(write, &error)).collect()
            }
        }
    }

    /// What cannot be stored now may have been stored before: on a full disk, what there is can be read.
    fn failed(&mut self, write: &Write, error: &DbError) -> Outcome {
        if let Write::Append { id, sender, device, counter, .. }
        | Write::Recall { id, sender, device, counter } = write
            && let Ok(Some(outcome)) = earlier(&self.conn, &mut self.origins, *id, sender, device, *counter)
        {
            return outcome;
        }
        Outcome::Failed { id: write.id(), error: error.clone().into() }
    }

    /// Writes what is committed back from the write-ahead log into the file, as far as readers let it.
    pub(super) fn checkpoint(&self) {
        checkpoint::write_back(&self.conn);
    }

    fn try_commit(
        &mut self,
        writes: &[Write],
        now_ms: u64,
        before: &mut BTreeMap<u32, Option<Tail>>,
    ) -> Result<Vec<Outcome>, DbError> {
        let tx = self.conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let stamp_ms = self.stamps.now(&tx, now_ms)?;
        let batch = Batch {
            insert: tx.prepare_cached(INSERT)?,
            tx: &tx,
            tails: &mut self.tails,
            origins: &mut self.origins,
            before,
            max_tickets: self.max_tickets,
            keep_audit: self.keep_audit,
            now_ms,
            stamp_ms,
        };
        let outcomes = batch.apply_all(writes)?;
        tx.commit()?;
        Ok(outcomes)
    }
}

/// A transaction under way.
struct Batch<'a> {
    tx: &'a Transaction<'a>,
    insert: CachedStatement<'a>,
    tails: &'a mut HashMap<u32, Tail>,
    origins: &'a mut Origins,
    /// How the rooms that this batch touches ended before it.
    before: &'a mut BTreeMap<u32, Option<Tail>>,
    max_tickets: usize,
    keep_audit: u64,
    now_ms: u64,
    /// From when on its messages grow old.
    stamp_ms: u64,
}

impl Batch<'_> {
    /// Applies every write. A row that is wrong in itself fails alone; what the next row would meet as well, or
    /// what has ended the transaction, fails them all.
    fn apply_all(mut self, writes: &[Write]) -> Result<Vec<Outcome>, DbError> {
        let mut outcomes = Vec::with_capacity(writes.len());
        for write in writes {
            outcomes.push(match self.apply(write) {
                Ok(outcome) => outcome,
                Err(WriteError::Database(error)) => return Err(error),
                Err(
                    error @ (WriteError::NoSuchRoom(_)
                    | WriteError::RoomTaken { .. }
                    | WriteError::Gone(_)
                    | WriteError::CounterTooLarge(_)),
                ) => Outcome::Failed { id: write.id(), error },
            });
        }
        let is_audited = |write: &&Write| {
            matches!(write, Write::CreateRoom { .. } | Write::Moderate { .. } | Write::Govern { .. })
        };
        let added = writes.iter().filter(is_audited).count();
        if added > 0 {
            audit::forget(self.tx, self.keep_audit, u64::try_from(added).unwrap_or(u64::MAX))?;
        }
        self.store_tails()?;
        Ok(outcomes)
    }

    fn apply(&mut self, write: &Write) -> Result<Outcome, WriteError> {
        if let Some(gone) = house::gone(self.tx, write).map_err(DbError::from)? {
            return Err(WriteError::Gone(gone));
        }
        match write {
            Write::Append { id, room, sender, device, counter, text } => {
                self.append(*id, *room, sender, device, *counter, text)
            }
            Write::Recall { id, sender, device, counter } => {
                let found = earlier(self.tx, self.origins, *id, sender, device, *counter)?;
                Ok(found.unwrap_or(Outcome::Absent { id: *id }))
            }
            Write::Number { id, room, last } => self.number(*id, *room, *last),
            Write::CreateRoom { id, room, kind, name, owner, is_private, .. } => {
                let outcome = self.create_room(*id, *room, *kind, name, owner.as_deref(), *is_private)?;
                self.note_creation(write, &outcome).map_err(DbError::from)?;
                Ok(outcome)
            }
            Write::Moderate { id, room, change, .. } => {
                let is_there = house::moderate(self.tx, write, self.now_ms).map_err(DbError::from)?;
                if !is_there {
                    return Err(WriteError::NoSuchRoom(*room));
                }
                if **change == HouseChange::Remove
                    && let Some(tail) = self.tails.remove(room)
                {
                    self.before.entry(*room).or_insert(Some(tail));
                }
                Ok(Outcome::Moderated { id: *id, room: *room })
            }
            Write::Govern { id, .. } => {
                house::govern(self.tx, write, self.now_ms).map_err(DbError::from)?;
                Ok(Outcome::Moderated { id: *id, room: 0 })
            }
            Write::Retire { id, room, gone, keeper } => {
                house::retire(self.tx, *room, gone, keeper.as_deref()).map_err(DbError::from)?;
                Ok(Outcome::Moderated { id: *id, room: *room })
            }
            Write::KeepTicket { id, user, record, ticket } => self.keep_ticket(*id, user, record, ticket),
        }
    }

    fn append(
        &mut self,
        id: u64,
        room: u32,
        sender: &str,
        device: &[u8; 16],
        counter: u64,
        text: &str,
    ) -> Result<Outcome, WriteError> {
        let number = i64::try_from(counter).map_err(|_| WriteError::CounterTooLarge(counter))?;
        let Some(last) = self.tails.get(&room).copied() else {
            return Err(WriteError::NoSuchRoom(room));
        };
        let origin = self.origins.intern(self.tx, sender, device).map_err(DbError::from)?;
        let (is_forgotten, is_emptied) = (origin.forgotten.contains(counter), origin.is_emptied);
        let origin = origin.id;
        let next = Tail { seq: last.seq.saturating_add(1), time_ms: last.time_ms.max(self.now_ms) };
        let (seq, time) = (rows::to_i64(next.seq), rows::to_i64(next.time_ms));
        let ahead = time - rows::to_i64(self.stamp_ms);
        let row = (room, seq, time, ahead, origin, number, text);
        let is_new = !is_forgotten && self.insert.execute(row).map_err(DbError::from)? > 0;
        if !is_new {
            let found = earlier(self.tx, self.origins, id, sender, device, counter)?;
            let damaged = || DbError::Damaged("a message is in one index and not in the other".into()).into();
            return found.ok_or_else(damaged);
        }
        if is_emptied {
            self.origins.fill(self.tx, origin).map_err(DbError::from)?;
        }
        self.before.entry(room).or_insert(Some(last));
        self.tails.insert(room, next);
        Ok(Outcome::Committed { id, seq: next.seq, time_ms: next.time_ms })
    }

    fn number(&mut self, id: u64, room: u32, last: u64) -> Result<Outcome, WriteError> {
        let Some(tail) = self.tails.get(&room).copied() else {
            return Err(WriteError::NoSuchRoom(room));
        };
        self.before.entry(room).or_insert(Some(tail));
        self.tails.insert(room, Tail { seq: last, time_ms: tail.time_ms.max(self.now_ms) });
        Ok(Outcome::Numbered { id, room, last })
    }

    fn create_room(
        &mut self,
        id: u64,
        room: u32,
        kind: RoomKind,
        name: &str,
        owner: Option<&str>,
        is_private: bool,
    ) -> Result<Outcome, WriteError> {
        let created_ms = self.now_ms;
        let inserted = self
            .tx
            .prepare_cached(CREATE_ROOM)
            .and_then(|mut insert| {
                insert.execute((room, kind.number(), name, is_private, rows::to_i64(created_ms)))
            })
            .map_err(DbError::from)?;
        if inserted == 0 {
            return self.existing_room(id, room, kind, name);
        }
        // Without its owner a room is what it would be had they been removed a moment later.
        if let Some(owner) = owner
            && !removed::is_gone(self.tx, owner).map_err(DbError::from)?
        {
            house::set_role(self.tx, room, owner, RoleRow::Owner).map_err(DbError::from)?;
        }
        self.before.entry(room).or_insert(None);
        self.tails.insert(room, Tail { seq: 0, time_ms: 0 });
        Ok(Outcome::RoomCreated { id, room, created_ms })
    }

    /// That a group room was made stands in the audit log, once.
    fn note_creation(&self, write: &Write, outcome: &Outcome) -> Result<(), rusqlite::Error> {
        let Write::CreateRoom { room, kind: RoomKind::Group, name, by, owner, .. } = write else {
            return Ok(());
        };
        if !matches!(outcome, Outcome::RoomCreated { created_ms, .. } if *created_ms == self.now_ms) {
            return Ok(());
        }
        let (by, user) = (by.as_deref(), owner.as_deref());
        let line = Line { room: *room, room_name: name, by, action: "create", user };
        line.write(self.tx, 0, "", self.now_ms)
    }

    /// A room that is created twice is there, like a message that is said twice; a different one in its place is
    /// an error.
    fn existing_room(&self, id: u64, room: u32, kind: RoomKind, name: &str) -> Result<Outcome, WriteError> {
        let existing = self
            .tx
            .prepare_cached("SELECT created_ms FROM rooms WHERE id = ?1 AND kind = ?2 AND name = ?3")
            .and_then(|mut select| {
                select.query_row((room, kind.number(), name), |row| rows::unsigned(row, 0)).optional()
            })
            .map_err(DbError::from)?;
        match existing {
            Some(created_ms) => Ok(Outcome::RoomCreated { id, room, created_ms }),
            None => Err(WriteError::RoomTaken { room, name: name.to_owned() }),
        }
    }

    fn keep_ticket(
        &self,
        id: u64,
        user: &str,
        record: &[u8],
        ticket: &NewTicket,
    ) -> Result<Outcome, WriteError> {
        let kept = tickets::keep(self.tx, user, record, ticket, self.max_tickets, self.now_ms)
            .map_err(DbError::from)?;
        Ok(Outcome::TicketKept { id, kept })
    }

    fn store_tails(&self) -> Result<(), DbError> {
        let mut update =
            self.tx.prepare_cached("UPDATE rooms SET last_seq = ?2, last_ms = ?3 WHERE id = ?1")?;
        for room in self.before.keys() {
            if let Some(tail) = self.tails.get(room) {
                update.execute((room, rows::to_i64(tail.seq), rows::to_i64(tail.time_ms)))?;
            }
        }
        Ok(())
    }
}

/// What became of the message that was stored under the same `(sender, device, counter)`; `None` if there was none.
fn earlier(
    conn: &Connection,
    origins: &mut Origins,
    id: u64,
    sender: &str,
    device: &[u8; 16],
    counter: u64,
) -> Result<Option<Outcome>, DbError> {
    let Some(origin) = origins.find(conn, sender, device)? else { return Ok(None) };
    let duplicate = |row: &Row<'_>| {
        let (seq, time_ms) = (rows::unsigned(row, 1)?, rows::unsigned(row, 2)?);
        Ok(Outcome::Duplicate { id, room: row.get(0)?, seq, time_ms })
    };
    let number = rows::to_i64(counter);
    let found = conn.prepare_cached(EARLIER)?.query_row((origin.id, number), duplicate).optional()?;
    // One that is there goes before one that is gone: of ranges that were joined not every number was used.
    Ok(found.or_else(|| origin.forgotten.contains(counter).then_some(Outcome::Forgotten { id })))
}

fn prepare(conn: &Connection, config: &StoreConfig) -> Result<HashMap<u32, Tail>, rusqlite::Error> {
    schema::set_durability(conn, config.durability)?;
    conn.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)?;
    conn.pragma_update(None, "cache_size", -CACHE_KIB)?;
    if let Some(bytes) = config.max_file_bytes {
        let page: u64 = conn.pragma_query_value(None, "page_size", |row| rows::unsigned(row, 0))?;
        let pages = bytes.div_ceil(page.max(1));
        conn.pragma_update_and_check(None, "max_page_count", rows::to_i64(pages), |_| Ok(()))?;
    }
    let tail = |room: RoomRow| (room.id, Tail { seq: room.last_seq, time_ms: room.last_ms });
    Ok(rows::load_rooms(conn)?.into_iter().map(tail).collect())
}

const INSERT: &str = "INSERT INTO messages(room, seq, time_ms, ahead_ms, origin, counter, text)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT(origin, counter) DO NOTHING";

const EARLIER: &str = "SELECT room, seq, time_ms FROM messages WHERE origin = ?1 AND counter = ?2";

const CREATE_ROOM: &str = "INSERT INTO rooms(id, kind, name, private, created_ms)
    VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING";

/// The writer finishes what the [checkpointer](super::checkpoint) has begun when the write-ahead log has grown to this many
/// pages (8 MiB), and begins it anew.
const CHECKPOINT_PAGES: u32 = 2_048;

/// The writer's page cache: the ends of three trees for some thousand devices.
const CACHE_KIB: i32 = 8_192;

#[cfg(test)]
mod tests;
