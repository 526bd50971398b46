//! The search thread: fills the index behind the log, and answers searches from both.

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, at, never, select};
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    ReadSink, accounts,
    data_dir::DataDir,
    error::{DbError, StoreError},
    index::{Index, Plan},
    query::MAX_ROWS,
    reader::{Reply, Search},
    rows::{FoundMessage, Message},
    words::Words,
};

/// The log, read-only, and its index.
#[derive(Debug)]
pub(super) struct Searcher {
    log: Connection,
    index: Index,
}

impl Searcher {
    /// Opens both. Must come before the first append of this run (see [`Index::open`]).
    pub(super) fn open(dir: &DataDir) -> Result<Self, StoreError> {
        let log = dir.connect_read_only()?;
        let (log_id, last_id) = identity(&log).map_err(StoreError::database(dir.database()))?;
        let index = Index::open(dir, &log_id, last_id)?;
        Ok(Self { log, index })
    }

    /// Answers searches until the store closes; in between follows the commits.
    pub(super) fn run(mut self, queue: &Receiver<Search>, mut commits: Receiver<()>, sink: &ReadSink) {
        let mut due = Some(Instant::now());
        let nothing = never();
        loop {
            let step = due.map_or_else(never, at);
            // While a step is due anyway, commits wake nobody: their one token waits.
            let commits_now = if due.is_some() { &nothing } else { &commits };
            select! {
                recv(queue) -> search => match search {
                    Ok(search) => sink(self.answer(&search)),
                    Err(_) => return,
                },
                recv(commits_now) -> commit => match commit {
                    Ok(()) => due = Some(Instant::now() + GATHER),
                    Err(_) => commits = never(),
                },
                recv(step) -> _ => due = self.step(),
            }
        }
    }

    /// Indexes a bounded number of messages; tells when to go on, if there is more.
    fn step(&mut self) -> Option<Instant> {
        match self.index_some().and_then(|added| Ok(self.drop_some()? || added)) {
            Ok(more) => more.then(Instant::now),
            Err(error) => {
                // Searches read what is not indexed from the log, so this costs speed and reach, not truth.
                tracing::warn!(%error, "the search index cannot be extended; trying again later");
                Some(Instant::now() + RETRY)
            }
        }
    }

    fn index_some(&mut self) -> Result<bool, rusqlite::Error> {
        let messages = self
            .log
            .prepare_cached("SELECT id, text FROM messages WHERE id > ?1 ORDER BY id LIMIT ?2")?
            .query_map((self.index.cursor(), STEP), |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect::<Result<Vec<(i64, String)>, _>>()?;
        self.index.add(&messages)?;
        Ok(!messages.is_empty())
    }

    /// Follows retention.
    fn drop_some(&mut self) -> Result<bool, rusqlite::Error> {
        let first: Option<i64> =
            self.log.prepare_cached("SELECT min(id) FROM messages")?.query_row([], |row| row.get(0))?;
        first.map_or(Ok(false), |first| self.index.remove_below(first, STEP))
    }

    fn answer(&self, search: &Search) -> Reply {
        let id = search.id;
        let words = Words::parse(&search.words);
        if words.is_empty() || search.rooms.is_empty() {
            return Reply::Found { id, messages: Vec::new(), complete: true };
        }
        match self.find(search, &words) {
            Ok(found) => found.into_reply(id),
            Err(error) => Reply::Failed { id, error: error.into() },
        }
    }

    fn find(&self, search: &Search, words: &Words) -> Result<Found, rusqlite::Error> {
        let mut found = Found::new(search, words.clone());
        let cursor = self.index.cursor();
        self.scan(cursor, i64::MAX, &mut found)?;
        match self.index.plan(words)? {
            Plan::Nothing => {}
            Plan::Scan => self.scan(0, cursor, &mut found)?,
            Plan::Match(expression) => self.look_up(&expression, &mut found)?,
        }
        Ok(found)
    }

    /// Holds messages beyond `after` up to `until` against the words, newest first.
    fn scan(&self, after: i64, until: i64, found: &mut Found) -> Result<(), rusqlite::Error> {
        let mut select = self.log.prepare_cached(SCAN)?;
        let mut rows = select.query((after, until))?;
        while found.wants_more() {
            let Some(row) = rows.next()? else { break };
            found.visit(row, SCANNED)?;
        }
        Ok(())
    }

    /// Holds the index's candidates against the words, newest first.
    fn look_up(&self, expression: &str, found: &mut Found) -> Result<(), rusqlite::Error> {
        let mut select = self.log.prepare_cached(ONE)?;
        self.index.candidates(expression, |id| {
            // Asked first: a candidate beyond the budget means that the search has not seen them all.
            if !found.wants_more() {
                return Ok(false);
            }
            // Gone, when the log has let go of it: then there is nothing to find.
            select.query_row([id], |row| found.visit(row, LOOKED_UP)).optional()?;
            Ok(true)
        })
    }
}

/// Which log this is, and its last message in the order of insertion.
fn identity(log: &Connection) -> Result<(Vec<u8>, i64), DbError> {
    let Some(log_id) = accounts::meta(log, "log_id")? else {
        return Err(DbError::Damaged("the log has no id".into()));
    };
    let last_id = log.query_row("SELECT coalesce(max(id), 0) FROM messages", [], |row| row.get(0))?;
    Ok((log_id, last_id))
}

/// What a search has found so far, and what it may still spend.
struct Found {
    rooms: HashSet<u32>,
    words: Words,
    limit: usize,
    messages: Vec<FoundMessage>,
    budget: u32,
    exhausted: bool,
}

impl Found {
    fn new(search: &Search, words: Words) -> Self {
        Self {
            rooms: search.rooms.iter().copied().collect(),
            words,
            limit: search.limit.clamp(1, MAX_ROWS),
            messages: Vec::new(),
            budget: BUDGET,
            exhausted: false,
        }
    }

    /// One message beyond the limit is looked for, to know whether there are more.
    fn wants_more(&mut self) -> bool {
        self.exhausted = self.exhausted || self.budget == 0;
        !self.exhausted && self.messages.len() <= self.limit
    }

    fn visit(&mut self, row: &Row<'_>, cost: u32) -> Result<(), rusqlite::Error> {
        self.budget = self.budget.saturating_sub(cost);
        let room = row.get(0)?;
        if self.rooms.contains(&room) && self.words.match_text(row.get_ref(6)?.as_str()?) {
            self.messages.push(FoundMessage { room, message: Message::read(row, 1)? });
        }
        Ok(())
    }

    fn into_reply(mut self, id: u64) -> Reply {
        let complete = !self.exhausted && self.messages.len() <= self.limit;
        self.messages.truncate(self.limit);
        Reply::Found { id, messages: self.messages, complete }
    }
}

const SCAN: &str = "SELECT room, seq, time_ms, sender, device, counter, text
    FROM messages JOIN origins ON origins.id = origin
    WHERE messages.id > ?1 AND messages.id <= ?2 ORDER BY messages.id DESC";

const ONE: &str = "SELECT room, seq, time_ms, sender, device, counter, text
    FROM messages JOIN origins ON origins.id = origin WHERE messages.id = ?1";

/// Commits of this long are indexed together: an index is made much faster from many messages than from few.
const GATHER: Duration = Duration::from_millis(250);

/// How long to wait when the index cannot be written (a full disk).
const RETRY: Duration = Duration::from_secs(10);

/// Messages indexed in one step, about 30 milliseconds: the longest that a search waits for the indexer.
const STEP: u32 = 1_024;

/// What one search may spend before it answers with what it has: it bounds the time that the next one waits.
const BUDGET: u32 = 100_000;

/// A row that the scan passes, in units of the budget: about a microsecond.
const SCANNED: u32 = 1;

/// A candidate that is fetched by its id.
const LOOKED_UP: u32 = 4;
