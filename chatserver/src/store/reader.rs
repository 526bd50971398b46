//! The reader thread, and the door to the search thread beside it.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use rusqlite::Connection;

use super::{
    ReadSink, StoreConfig,
    accounts::{self, Account},
    audit::{self, AuditRow},
    data_dir::DataDir,
    error::{DbError, StoreError},
    invites,
    priority::{self, Priority},
    query::{self, Bounds},
    refused::{self, Refused},
    removed::{self, Removal, RemovedAccounts},
    rows::{FoundMessage, Message},
    search::Searcher,
    tickets::{self, TicketHash},
};

/// Something to be read. Each carries an id of the caller's choice that comes back in its [`Reply`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// What a room's log has after a number: catching up.
    Page {
        /// Comes back in the reply.
        id: u64,
        /// The room.
        room: u32,
        /// The last number already seen, 0 for none.
        after: u64,
        /// Most messages wanted: 1 to 1,000, others are taken for the nearest of these.
        limit: usize,
        /// Most bytes of names and texts wanted, at most 1 MiB; the first message comes in any case.
        max_bytes: usize,
    },
    /// What a room's log has before a number, its newest part: scrolling back.
    Before {
        /// Comes back in the reply.
        id: u64,
        /// The room.
        room: u32,
        /// The first number already seen; `u64::MAX` for the end of the log.
        before: u64,
        /// Most messages wanted, as in `Page`.
        limit: usize,
        /// Most bytes wanted, as in `Page`.
        max_bytes: usize,
    },
    /// What a room's log has on both sides of a number: showing where something was said.
    Around {
        /// Comes back in the reply.
        id: u64,
        /// The room.
        room: u32,
        /// The number: half of the page lies below it, the other half begins with it.
        seq: u64,
        /// Most messages wanted, as in `Page`.
        limit: usize,
        /// Most bytes wanted, as in `Page`.
        max_bytes: usize,
    },
    /// Lines of the audit log, newest first.
    Audit {
        /// Comes back in the reply.
        id: u64,
        /// Of this room only.
        room: Option<u32>,
        /// Below this number; 0 for the newest.
        before: u64,
        /// Most lines wanted, at most 1,000.
        limit: u32,
    },
    /// An account, for a login.
    Account {
        /// Comes back in the reply.
        id: u64,
        /// The account's name.
        name: String,
    },
    /// Whether an invitation is good now.
    Invite {
        /// Comes back in the reply.
        id: u64,
        /// Its code, as somebody typed it.
        code: String,
    },
    /// Which accounts were removed or disabled until now: told before the reply, as before any about an account.
    Removals {
        /// Comes back in the reply.
        id: u64,
    },
    /// Whether a session ticket is good now.
    Ticket {
        /// Comes back in the reply.
        id: u64,
        /// The ticket.
        hash: TicketHash,
        /// The account that shows it.
        user: String,
        /// The device that shows it.
        device: [u8; 16],
    },
}

/// A search for messages that contain all words, anywhere in their text and in any case, newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Comes back in the reply.
    pub id: u64,
    /// The rooms to search in.
    pub rooms: Vec<u32>,
    /// The words, separated by white space; at most 16 count.
    pub words: String,
    /// Most messages wanted: 1 to 1,000, others are taken for the nearest of these.
    pub limit: usize,
}

/// The answer to a [`Read`] or a [`Search`], or what nobody asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// The answer to [`Read::Page`], [`Read::Before`] and [`Read::Around`].
    Page {
        /// The read's id.
        id: u64,
        /// The room.
        room: u32,
        /// By ascending number, without gap.
        messages: Vec<Message>,
        /// The log had more in the direction that was read (in either, around a number).
        more: bool,
    },
    /// The answer to [`Read::Audit`].
    Audit {
        /// The read's id.
        id: u64,
        /// Newest first.
        lines: Vec<AuditRow>,
    },
    /// The answer to [`Read::Account`].
    Account {
        /// The read's id.
        id: u64,
        /// The account, if there is one.
        account: Option<Account>,
    },
    /// The answer to [`Read::Invite`].
    Invite {
        /// The read's id.
        id: u64,
        /// An account can be made with it.
        is_good: bool,
    },
    /// The answer to [`Read::Ticket`].
    Ticket {
        /// The read's id.
        id: u64,
        /// It is this account's and this device's, has not expired, and the account may log in.
        is_good: bool,
        /// The account administers the server.
        is_admin: bool,
        /// The account's generation; 0 if the ticket is not good.
        generation: u64,
    },
    /// The answer to a [`Search`].
    Found {
        /// The read's id.
        id: u64,
        /// Newest first.
        messages: Vec<FoundMessage>,
        /// These are all there are. False when the limit was reached, or when the search stopped at its bound
        /// before it had seen the whole log.
        complete: bool,
    },
    /// Accounts were removed or disabled beside the store: whoever is logged in with one is to go. Tells of each once, and
    /// before any reply about an account that has such a name since.
    Removed {
        /// Which, at most 1,000, in the order of their removal.
        accounts: Vec<Removal>,
    },
    /// The answer to [`Read::Removals`].
    Looked {
        /// The read's id.
        id: u64,
    },
    /// The database refused.
    Failed {
        /// The read's id.
        id: u64,
        /// Why.
        error: DbError,
    },
}

/// The hub's end of the reader and search threads.
#[derive(Debug)]
pub struct LogReader {
    reads: Option<Sender<Read>>,
    searches: Option<Sender<Search>>,
    threads: Vec<JoinHandle<()>>,
}

impl LogReader {
    pub(super) fn start(
        dir: &DataDir,
        config: &StoreConfig,
        searcher: Searcher,
        commits: Receiver<()>,
        removed: RemovedAccounts,
        sink: ReadSink,
    ) -> Result<Self, StoreError> {
        let conn = dir.connect_read_only()?;
        conn.pragma_update(None, "cache_size", -CACHE_KIB).map_err(StoreError::database(dir.database()))?;
        let max_queued = config.max_queued_reads.max(1);
        let (reads, queue) = crossbeam_channel::bounded(max_queued);
        let (searches, search_queue) = crossbeam_channel::bounded(max_queued);
        let read_sink = sink.clone();
        let clock = config.clock;
        let reader = thread::Builder::new()
            .name("log-reader".into())
            .spawn(move || {
                priority::give_way(Priority::Patient);
                run(&conn, &queue, clock, removed, &read_sink);
            })
            .map_err(StoreError::io("start a thread for", "reading the log"))?;
        let mut this = Self { reads: Some(reads), searches: Some(searches), threads: vec![reader] };
        let search = thread::Builder::new()
            .name("log-search".into())
            .spawn(move || {
                priority::give_way(Priority::Background);
                searcher.run(&search_queue, commits, &sink);
            })
            .map_err(StoreError::io("start a thread for", "searching the log"))?;
        this.threads.push(search);
        Ok(this)
    }

    /// Queues a read. Reads are answered in the order of sending, beside the searches.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the read back.
    pub fn try_send(&self, read: Read) -> Result<(), Refused<Read>> {
        refused::try_send(self.reads.as_ref(), read)
    }

    /// Queues a search. Searches are answered in the order of sending, beside the reads.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the search back.
    pub fn try_search(&self, search: Search) -> Result<(), Refused<Search>> {
        refused::try_send(self.searches.as_ref(), search)
    }

    /// Whether both threads are there to answer. One that has panicked answers nothing any more.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.threads.iter().all(|thread| !thread.is_finished())
    }

    /// Answers what is queued, then ends the threads.
    pub(super) fn stop(&mut self) -> Result<(), StoreError> {
        self.reads = None;
        self.searches = None;
        let mut result = Ok(());
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                result = Err(StoreError::ThreadDied { thread: "reader or search" });
            }
        }
        result
    }
}

impl Drop for LogReader {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the log's readers did not end cleanly");
        }
    }
}

fn run(
    conn: &Connection,
    queue: &Receiver<Read>,
    clock: fn() -> u64,
    mut removed: RemovedAccounts,
    sink: &ReadSink,
) {
    loop {
        match queue.recv_deadline(removed.next_look()) {
            Ok(read) if is_of_accounts(&read) => answer_of_accounts(conn, read, clock, &mut removed, sink),
            Ok(read) => sink(answer(conn, read, clock)),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        tell(removed.look_if_due(conn), sink);
    }
}

fn tell(accounts: Vec<Removal>, sink: &ReadSink) {
    if !accounts.is_empty() {
        sink(Reply::Removed { accounts });
    }
}

fn is_of_accounts(read: &Read) -> bool {
    matches!(read, Read::Account { .. } | Read::Removals { .. } | Read::Ticket { .. })
}

/// Whoever has the name of a removed account is not told of before the removal was: both come from one state of the tables.
fn answer_of_accounts(
    conn: &Connection,
    read: Read,
    clock: fn() -> u64,
    removed: &mut RemovedAccounts,
    sink: &ReadSink,
) {
    // Without the snapshot the database is in trouble, which the answer will say.
    let snapshot = conn.unchecked_transaction();
    loop {
        let accounts = removed.look(conn);
        let is_last = accounts.len() < removed::MAX_AT_ONCE as usize;
        tell(accounts, sink);
        if is_last {
            break;
        }
    }
    let reply = answer(conn, read, clock);
    drop(snapshot);
    sink(reply);
}

fn answer(conn: &Connection, read: Read, clock: fn() -> u64) -> Reply {
    let (id, room, page) = match read {
        Read::Page { id, room, after, limit, max_bytes } => {
            (id, room, query::after(conn, room, after, Bounds::clamped(limit, max_bytes)))
        }
        Read::Before { id, room, before, limit, max_bytes } => {
            (id, room, query::before(conn, room, before, Bounds::clamped(limit, max_bytes)))
        }
        Read::Around { id, room, seq, limit, max_bytes } => {
            (id, room, query::around(conn, room, seq, Bounds::clamped(limit, max_bytes)))
        }
        Read::Audit { id, room, before, limit } => {
            let of = room.map_or(audit::Of::Everything, audit::Of::Room);
            return match audit::read(conn, of, before, limit.min(MAX_AUDIT_LINES)) {
                Ok(lines) => Reply::Audit { id, lines },
                Err(error) => Reply::Failed { id, error: error.into() },
            };
        }
        Read::Account { id, name } => {
            return match accounts::lookup_alike(conn, &name) {
                Ok(account) => Reply::Account { id, account },
                Err(error) => Reply::Failed { id, error: error.into() },
            };
        }
        Read::Invite { id, code } => {
            return match invites::is_good(conn, &code, clock()) {
                Ok(is_good) => Reply::Invite { id, is_good },
                Err(error) => Reply::Failed { id, error: error.into() },
            };
        }
        Read::Removals { id } => return Reply::Looked { id },
        Read::Ticket { id, hash, user, device } => {
            return match tickets::holder(conn, hash, &user, device, clock()) {
                Ok(holder) => {
                    let (is_admin, generation) = holder.unwrap_or_default();
                    Reply::Ticket { id, is_good: holder.is_some(), is_admin, generation }
                }
                Err(error) => Reply::Failed { id, error: error.into() },
            };
        }
    };
    match page {
        Ok(page) => Reply::Page { id, room, messages: page.messages, more: page.more },
        Err(error) => Reply::Failed { id, error: error.into() },
    }
}

/// The reader's page cache. Who catches up reads each page once, and the system has the file in memory anyway: more would
/// only be what a reader that is behind costs the server.
const CACHE_KIB: i32 = 256;

/// Lines of the audit log in one reply, whatever was asked for.
const MAX_AUDIT_LINES: u32 = 1_000;
