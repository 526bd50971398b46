//! What the server keeps: accounts and the durable message log, in one SQLite file.
//!
//! ```text
//! DIR/              0700
//!   chat.db         0600, accounts, rooms and messages; opened by any `sqlite3` shell (WAL mode)
//!   search.db       0600, the full-text index: derived from chat.db, rebuilt when missing or stale
//!   server.lock     held by the running server, contains its process id
//! ```
//!
//! Five threads, so that nothing on the event loop ever waits for the disk:
//!
//! | thread | owns | does |
//! |---|---|---|
//! | writer | the one connection that appends | takes all that waits, one transaction, one flush, then reports |
//! | reader | a read-only connection | pages of history, account records and tickets for logins, removed accounts |
//! | search | a read-only connection and `search.db` | fills the index behind the log, answers searches |
//! | accounts | a connection | registers, changes passwords, remembers devices |
//! | tidy | a connection | writes the log back into the file, beside the writer |
//!
//! Requests go in through bounded channels that give the request back when they are full; answers come out
//! through callbacks that run on these threads and must only hand the answer over (a mailbox and a waker).
//! Where the system has priorities for threads, reader, search and tidy give way to the loop and the writer (`priority`).
//! A search costs what its words cost, so it has a thread of its own: no login and no catch-up waits for it.
//!
//! # What the log promises
//!
//! - An [`Outcome::Committed`] is reported after its commit is as durable as [`Durability`] says.
//! - A room's numbers run 1, 2, 3 ... without gap; they are given inside the commit, and a commit that fails
//!   consumes none. Times within a room never run backwards, whatever the system's clock does.
//! - `(sender, device, counter)` is unique in the log for good: what is said twice is
//!   [`Outcome::Duplicate`], with the number of the first. A [`Write::Recall`] asks for that and writes nothing.
//! - What retention removes goes from the front of the log. Numbers go on, and a repeated message stays one: it is
//!   [`Outcome::Forgotten`].
//! - What can be found is what is committed: the index lags, but a search reads what the index does not have
//!   yet from the log itself.
//!
//! Account commands work beside a running server: they need no lock, and the server looks a record up at
//! every login and hears within moments which accounts are removed.

mod accounts;
mod age;
mod append;
mod audit;
mod checkpoint;
pub(crate) mod copy;
pub(crate) mod counters;
mod data_dir;
mod desk;
mod devices;
mod error;
mod house;
mod index;
mod invites;
mod lookalikes;
mod origins;
mod priority;
mod query;
mod reader;
mod refused;
mod removed;
mod retention;
mod rows;
mod schema;
mod search;
mod tickets;
mod words;
mod writer;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use self::checkpoint::Checkpointer;
pub use self::{
    accounts::{Account, AccountError, Accounts, NewAccount},
    append::{Outcome, Write, WriteError},
    audit::{AuditRow, audit},
    data_dir::{DataDir, ServerLock},
    desk::{AccountDesk, DeskReply, Job, RegisterError, Standing},
    devices::{DeviceRow, MAX_KNOWN_DEVICES},
    error::{DbError, StoreError},
    house::{GateChange, GateRow, HouseChange, HouseRow, RoleRow, Sanction, SanctionRow, gate},
    invites::{CODE_BYTES, InviteRow, code as invite_code},
    reader::{LogReader, Read, Reply, Search},
    refused::Refused,
    removed::Removal,
    rows::{FoundMessage, Message, PAIR_SEPARATOR, RoomKind, RoomRow, rooms},
    tickets::{NewTicket, TicketHash},
    writer::LogWriter,
};

/// Receives the outcomes of each commit, in request order. Runs on the writer thread: it must not block.
pub type WriteSink = Box<dyn FnMut(Vec<Outcome>) + Send>;

/// Receives each reply of the reader and search threads. Runs on them: it must not block.
pub type ReadSink = Arc<dyn Fn(Reply) + Send + Sync>;

/// What a commit survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A power cut: each commit is flushed to the disk before it is reported.
    #[default]
    Full,
    /// The death of the process (`kill -9`), but not of the machine: the latest commits may be lost with the
    /// power, the file stays consistent.
    Os,
    /// Nothing: messages are not brought here at all, but kept in memory for a while by the server. What is brought here,
    /// accounts, rooms, and which numbers were given, is as safe as with `Full`.
    Off,
}

/// The store's settings and bounds.
#[derive(Debug, Clone)]
pub struct StoreConfig {
    /// What a reported commit survives.
    pub durability: Durability,
    /// How many writes may wait for the writer, at least 1. Default 8,192. It bounds memory to this many times the longest
    /// message, and answers a flood that outruns the disk: the hub gets its request back.
    pub max_queued_writes: usize,
    /// How many reads may wait for the reader, and as many searches for the search thread, at least 1. Default
    /// 1,024.
    /// It answers a flood of history requests.
    pub max_queued_reads: usize,
    /// The greatest size of `chat.db` in bytes, rounded up to whole pages; beyond it writes fail with
    /// [`DbError::Full`]. Default `None`: the disk is the bound.
    pub max_file_bytes: Option<u64>,
    /// How long messages are kept. Older ones are removed, the oldest first, within seconds where there are not many; when the
    /// clock is more than a day ahead of when the server last looked, an hour later. Default `None`: for good.
    pub keep_time: Option<Duration>,
    /// How many bytes of `chat.db` may be in use, accounts and all; beyond it the oldest messages are removed. One message for
    /// each 8 KiB of it stays in any case, the newest ones: should accounts and audit log alone come to more than this, they
    /// do not cost what was said. Default `None`: the disk is the bound.
    pub keep_bytes: Option<u64>,
    /// Lines of the audit log that are kept, at least 1; past them the oldest go. Default 50,000, some 10 MiB. Answers who
    /// changes a topic again and again, for what the audit log takes of `keep_bytes` is missing for messages.
    pub keep_audit: u64,
    /// With [`Durability::Off`], the messages of a room that stay in memory, at least 1. Default 1,024.
    pub ring_messages: usize,
    /// With [`Durability::Off`], the bytes of their texts, each with about 100 bytes for what else there is of it; the latest
    /// message stays in any case, as far as the bound over all rooms lets it. Default 256 KiB. It bounds what a room costs.
    pub ring_bytes: usize,
    /// With [`Durability::Off`], the same bytes over all rooms together. Default 256 MiB; past it the oldest messages go, in
    /// whatever room they are. Answers who makes many rooms and fills each.
    pub ring_total_bytes: usize,
    /// Session tickets that one account may have, at least 1: the oldest go. Default 32, two for each device that may be
    /// connected at once. It bounds what somebody who logs in again and again can leave behind.
    pub max_tickets: usize,
    /// The clock: milliseconds since the Unix epoch. Default: the system's.
    pub clock: fn() -> u64,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            durability: Durability::Full,
            max_queued_writes: 8_192,
            max_queued_reads: 1_024,
            max_file_bytes: None,
            keep_time: None,
            keep_bytes: None,
            keep_audit: 50_000,
            ring_messages: 1_024,
            ring_bytes: 256 << 10,
            ring_total_bytes: 256 << 20,
            max_tickets: MAX_TICKETS,
            clock: unix_ms,
        }
    }
}

/// The running store: its threads and the lock that keeps a second server out.
#[derive(Debug)]
pub struct Store {
    // In this order: only the writer, closed last, can leave `chat.db` whole without its side files.
    /// Reads the log and the accounts.
    pub reader: LogReader,
    /// Appends to the log.
    pub writer: LogWriter,
    rooms: Vec<RoomRow>,
    gate: GateRow,
    last_room: u32,
    _lock: ServerLock,
}

impl Store {
    /// Starts the threads on a data directory that this process has locked.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the database or the index cannot be opened, or a thread cannot be started.
    pub fn start(
        lock: ServerLock,
        config: &StoreConfig,
        on_write: WriteSink,
        on_read: ReadSink,
    ) -> Result<Self, StoreError> {
        let dir = lock.dir();
        let log = append::Log::open(dir, config)?;
        // Before the rooms are read: who is removed in between is told of.
        let removed = log.watch_removals()?;
        let (rooms, gate, last_room) = (log.load_rooms()?, log.load_gate()?, log.last_room()?);
        // Before the first append: a stale index is told from a good one by a cursor beyond the log's end.
        let searcher = search::Searcher::open(dir)?;
        let (committed, commits) = crossbeam_channel::bounded(1);
        let reader = LogReader::start(dir, config, searcher, commits, removed, on_read)?;
        let writer = LogWriter::start(log, Checkpointer::start(dir)?, config, committed, on_write)?;
        Ok(Self { reader, writer, rooms, gate, last_room, _lock: lock })
    }

    /// The rooms as they were when the store was started, by ascending id.
    #[must_use]
    pub fn rooms(&self) -> &[RoomRow] {
        &self.rooms
    }

    /// What held for the whole server when the store was started.
    #[must_use]
    pub fn gate(&self) -> &GateRow {
        &self.gate
    }

    /// The greatest number that a room had when the store was started, also one that is gone.
    #[must_use]
    pub fn last_room(&self) -> u32 {
        self.last_room
    }

    /// Commits what is queued, reports it, writes the log back into `chat.db` and ends the threads. Dropping
    /// the store does the same, without a word about how it went.
    ///
    /// # Errors
    ///
    /// [`StoreError::ThreadDied`] when one of the threads had panicked.
    pub fn finish(mut self) -> Result<(), StoreError> {
        let read = self.reader.stop();
        let written = self.writer.stop();
        written.and(read)
    }
}

/// Session tickets that one account may have, unless the store's settings say otherwise.
pub const MAX_TICKETS: usize = 32;

/// Milliseconds since the Unix epoch; 0 before it.
#[must_use]
pub fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
