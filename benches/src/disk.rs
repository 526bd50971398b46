//! The floors of the log: what one flush of this disk takes, and what a bare SQLite insert loop costs for the same rows
//! in commits of the same sizes.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use rustix::time::{ClockId, clock_gettime};

use crate::Failure;

/// Flushes that are measured.
const FLUSHES: usize = 64;

/// Bytes written before each: a page.
const FLUSHED: [u8; 4096] = [0x5a; 4096];

/// Rows of a log that are inserted again, at most; bounds the memory that they take here.
const MAX_ROWS: u32 = 200_000;

/// The median time of one flush after a small write, in `dir`.
///
/// # Errors
/// When the file cannot be written.
pub fn flush_time(dir: &Path) -> Result<Duration, Failure> {
    let what = "measure a flush";
    let mut file = tempfile::tempfile_in(dir).map_err(Failure::io(what))?;
    let mut times = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let begin = Instant::now();
        flush(&mut file).map_err(Failure::io(what))?;
        times.push(begin.elapsed());
    }
    times.sort_unstable();
    Ok(times.get(FLUSHES / 2).copied().unwrap_or_default())
}

fn flush(file: &mut File) -> std::io::Result<()> {
    file.write_all(&FLUSHED)?;
    file.sync_data()
}

/// How many messages of the log in `data` its search index does not have yet.
///
/// # Errors
/// When one of the two databases cannot be read.
pub fn search_lag(data: &Path) -> Result<u64, Failure> {
    let number = |file: &str, question: &str| {
        let open = Connection::open_with_flags(data.join(file), OpenFlags::SQLITE_OPEN_READ_ONLY);
        open.and_then(|database| {
            database.busy_timeout(BUSY_TIMEOUT)?;
            database.query_row(question, [], |row| row.get::<_, i64>(0))
        })
    };
    // The index first: what is committed between the questions counts as lag.
    let indexed = number("search.db", "SELECT cursor FROM state");
    let last = number("chat.db", "SELECT coalesce(max(id), 0) FROM messages");
    let lag = indexed.and_then(|indexed| Ok(last?.saturating_sub(indexed)));
    lag.map(|lag| u64::try_from(lag).unwrap_or(0))
        .map_err(|error| Failure::new("look at the search index", error))
}

/// Time that another program may hold a database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// What a bare insert loop cost.
#[derive(Clone, Copy, Debug)]
pub struct Inserted {
    /// Rows that were inserted.
    pub rows: usize,
    /// In so many commits.
    pub commits: usize,
    /// CPU time of the loop.
    pub cpu: Duration,
}

struct Row {
    room: i64,
    seq: i64,
    time: i64,
    sender: String,
    device: Vec<u8>,
    counter: i64,
    text: String,
}

/// Inserts the messages of the log in `data` into a fresh database, flushing every commit: into the plain table that a log
/// begins with, all in one row, each number once. Messages
/// that bear the same time count as one commit, so commits are rather taken for larger, and cheaper, than they were.
///
/// # Errors
/// When the log cannot be read, or the copy not be written.
pub fn insert_again(data: &Path) -> Result<Inserted, Failure> {
    inserted(data).map_err(|error| Failure::new("insert the log's rows again", error))
}

fn inserted(data: &Path) -> Result<Inserted, rusqlite::Error> {
    let log = Connection::open_with_flags(data.join("chat.db"), OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let rows = rows(&log)?;

    let mut copy = Connection::open(data.join("bare.db"))?;
    copy.pragma_update(None, "journal_mode", "WAL")?;
    copy.pragma_update(None, "synchronous", "FULL")?;
    copy.execute_batch(TABLE)?;
    let begin = thread_time();
    let mut commits = 0;
    for batch in rows.chunk_by(|one, other| one.time == other.time) {
        let tx = copy.transaction()?;
        {
            let mut insert = tx.prepare_cached(INSERT)?;
            for row in batch {
                let device = row.device.as_slice();
                insert.execute((row.room, row.seq, row.time, &row.sender, device, row.counter, &row.text))?;
            }
        }
        tx.commit()?;
        commits += 1;
    }
    Ok(Inserted { rows: rows.len(), commits, cpu: thread_time().saturating_sub(begin) })
}

fn rows(log: &Connection) -> Result<Vec<Row>, rusqlite::Error> {
    let mut select = log.prepare(
        "SELECT room, seq, time_ms, sender, device, counter, text
        FROM messages JOIN origins ON origins.id = origin ORDER BY messages.id LIMIT ?1",
    )?;
    let rows = select.query_map([MAX_ROWS], |row| {
        Ok(Row {
            room: row.get(0)?,
            seq: row.get(1)?,
            time: row.get(2)?,
            sender: row.get(3)?,
            device: row.get(4)?,
            counter: row.get(5)?,
            text: row.get(6)?,
        })
    })?;
    rows.collect()
}

/// CPU time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

const TABLE: &str = "CREATE TABLE messages(
    id INTEGER PRIMARY KEY, room INTEGER NOT NULL, seq INTEGER NOT NULL, time_ms INTEGER NOT NULL, sender TEXT NOT NULL,
    device BLOB NOT NULL, counter INTEGER NOT NULL, text TEXT NOT NULL,
    UNIQUE(room, seq), UNIQUE(sender, device, counter)
)";

const INSERT: &str = "INSERT INTO messages(room, seq, time_ms, sender, device, counter, text)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
