//! The full-text index: trigrams of every message, in a file of its own.
//!
//! It is derived from the log, so it lives outside it: an append never waits for the index, a backup needs
//! only the log, and an index that is missing, damaged or of another log is made anew. It keeps which
//! messages contain a trigram and not where; whoever searches holds the candidates against their text.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    data_dir::{DataDir, INDEX},
    error::{DbError, StoreError},
    words::{self, Words},
};

/// An open index and the last message that it has.
#[derive(Debug)]
pub(super) struct Index {
    conn: Connection,
    cursor: i64,
}

/// How the index can help with a search.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// No indexed message has all words.
    Nothing,
    /// The indexed messages that match this expression include all that have the words.
    Match(String),
    /// The words are too short and too common to be looked up.
    Scan,
}

impl Index {
    /// Opens the index of the log `log_id`, whose last message is `last_id`, or makes an empty one.
    pub(super) fn open(dir: &DataDir, log_id: &[u8], last_id: i64) -> Result<Self, StoreError> {
        let file = dir.index();
        match Self::open_existing(&file, log_id, last_id) {
            Ok(Some(index)) => return Ok(index),
            Ok(None) => {}
            Err(DbError::Damaged(error)) => {
                tracing::warn!(error, "the search index is damaged and will be made anew");
            }
            Err(error) => return Err(StoreError::database(&file)(error)),
        }
        remove(&file)?;
        dir.create_file(INDEX)?;
        Self::create(&file, log_id).map_err(StoreError::database(&file))
    }

    /// The last message, in the order of insertion, that the index has.
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Adds messages by ascending id, all beyond the cursor.
    pub(super) fn add(&mut self, messages: &[(i64, String)]) -> Result<(), rusqlite::Error> {
        let Some((last, _)) = messages.last() else { return Ok(()) };
        let tx = self.conn.transaction()?;
        {
            let mut insert = tx.prepare_cached("INSERT INTO texts(rowid, text) VALUES (?1, ?2)")?;
            for (id, text) in messages {
                insert.execute((id, format!("{text}{PADDING}")))?;
            }
        }
        tx.execute("UPDATE state SET cursor = ?1", [last])?;
        tx.commit()?;
        self.cursor = *last;
        Ok(())
    }

    /// Drops messages below `first`, which the log does not have any more, at most `limit`. Tells whether there were any.
    pub(super) fn remove_below(&mut self, first: i64, limit: u32) -> Result<bool, rusqlite::Error> {
        let tx = self.conn.transaction()?;
        let ids = tx
            .prepare_cached("SELECT id FROM texts_docsize WHERE id < ?1 ORDER BY id LIMIT ?2")?
            .query_map((first, limit), |row| row.get(0))?
            .collect::<Result<Vec<i64>, _>>()?;
        {
            let mut delete = tx.prepare_cached("DELETE FROM texts WHERE rowid = ?1")?;
            for id in &ids {
                delete.execute([id])?;
            }
        }
        tx.commit()?;
        Ok(!ids.is_empty())
    }

    /// Turns words into an expression. They are quoted one by one: nothing in them is syntax.
    pub(super) fn plan(&self, words: &Words) -> Result<Plan, rusqlite::Error> {
        let mut clauses = Vec::new();
        for word in words.iter() {
            if word.chars().nth(2).is_some() {
                clauses.extend(words::trigrams(word).map(words::quote));
                continue;
            }
            let terms = self.terms_beginning_with(word)?;
            if terms.is_empty() {
                return Ok(Plan::Nothing);
            }
            if terms.len() < MAX_TERMS as usize {
                let any: Vec<_> = terms.iter().map(|term| words::quote(term)).collect();
                clauses.push(format!("({})", any.join(" OR ")));
            }
        }
        Ok(if clauses.is_empty() { Plan::Scan } else { Plan::Match(clauses.join(" AND ")) })
    }

    /// Calls `visit` with the ids that match, newest first, until it returns false.
    pub(super) fn candidates(
        &self,
        expression: &str,
        mut visit: impl FnMut(i64) -> Result<bool, rusqlite::Error>,
    ) -> Result<(), rusqlite::Error> {
        let mut select =
            self.conn.prepare_cached("SELECT rowid FROM texts WHERE texts MATCH ?1 ORDER BY rowid DESC")?;
        let mut rows = select.query([expression])?;
        while let Some(row) = rows.next()? {
            if !visit(row.get(0)?)? {
                break;
            }
        }
        Ok(())
    }

    /// The indexed trigrams with this beginning, at most [`MAX_TERMS`]. A word of one or two
    /// characters is found through them, which matters most where a character is a word.
    fn terms_beginning_with(&self, word: &str) -> Result<Vec<String>, rusqlite::Error> {
        let beyond = format!("{word}{}", char::MAX);
        self.conn
            .prepare_cached("SELECT term FROM terms WHERE term >= ?1 AND term < ?2 LIMIT ?3")?
            .query_map((word, beyond, MAX_TERMS), |row| row.get(0))?
            .collect()
    }

    fn open_existing(file: &Path, log_id: &[u8], last_id: i64) -> Result<Option<Self>, DbError> {
        if !file.exists() {
            return Ok(None);
        }
        let conn = connect(file)?;
        let version: u32 = conn.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version != VERSION {
            return Ok(None);
        }
        let (of, cursor): (Vec<u8>, i64) =
            conn.query_row("SELECT log_id, cursor FROM state", [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        // A cursor beyond the log's end: the log is an older copy, and will give these ids to other messages.
        let fits = of == log_id && cursor <= last_id;
        Ok(fits.then_some(Self { conn, cursor }))
    }

    fn create(file: &Path, log_id: &[u8]) -> Result<Self, rusqlite::Error> {
        let mut conn = connect(file)?;
        let tx = conn.transaction()?;
        tx.execute_batch(SCHEMA)?;
        tx.execute("INSERT INTO state(log_id, cursor) VALUES (?1, 0)", [log_id])?;
        tx.pragma_update(None, "user_version", VERSION)?;
        tx.commit()?;
        Ok(Self { conn, cursor: 0 })
    }
}

/// Opens the file so that its content is always consistent; its last additions may be lost with the power,
/// and are then made again.
fn connect(file: &Path) -> Result<Connection, rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "NORMAL")?;
    Ok(conn)
}

fn remove(file: &Path) -> Result<(), StoreError> {
    for suffix in ["", "-wal", "-shm"] {
        let mut name = file.as_os_str().to_owned();
        name.push(suffix);
        let path = PathBuf::from(name);
        match fs::remove_file(&path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(StoreError::io("remove", &path)(error)),
        }
    }
    Ok(())
}

const SCHEMA: &str = "
    CREATE VIRTUAL TABLE texts USING fts5(
        text, content = '', contentless_delete = 1, detail = none, tokenize = 'trigram'
    );
    CREATE VIRTUAL TABLE terms USING fts5vocab(texts, row);
    CREATE TABLE state(log_id BLOB NOT NULL, cursor INTEGER NOT NULL);
";

/// Raised with every change of what is indexed or how; an index of another version is made anew.
const VERSION: u32 = 1;

/// Two characters more, so that a trigram begins at each character of the text.
const PADDING: &str = "  ";

/// Trigrams that stand for one short word. One with as many is common enough to be found without the index.
const MAX_TERMS: u32 = 128;
