//! The audit log: who did what to whom. It has a bound of its own, so that it takes no room from messages.

use rusqlite::{CachedStatement, Connection, Row};

use super::{data_dir::DataDir, error::StoreError, rows};

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// Its number: later ones are greater.
    pub id: u64,
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// The name of the room then; empty for the whole server.
    pub room: String,
    /// Who did it; `None` for the operator of the server.
    pub by: Option<String>,
    /// What.
    pub action: String,
    /// To whom.
    pub user: Option<String>,
    /// For how long, in seconds; 0 where there is no time or no end.
    pub seconds: u32,
    /// The reason, or the topic; may be empty.
    pub note: String,
}

/// Which lines of the audit log are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) enum Of<'a> {
    /// All of them.
    Everything,
    /// Those of the room with this number.
    Room(u32),
    /// Those of rooms that had this name.
    Named(&'a str),
}

/// The latest lines of the audit log, oldest first; only those of one room if it is named. Works beside a running server.
///
/// # Errors
///
/// [`StoreError`] when the database cannot be opened or read.
pub fn audit(dir: &DataDir, room: Option<&str>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let conn = dir.connect()?;
    let of = room.map_or(Of::Everything, Of::Named);
    let mut lines = read(&conn, of, 0, limit).map_err(StoreError::database(&dir.database()))?;
    lines.reverse();
    Ok(lines)
}

/// Those below a number, or with 0 the newest; newest first.
pub(super) fn read(
    conn: &Connection,
    of: Of<'_>,
    before: u64,
    limit: u32,
) -> Result<Vec<AuditRow>, rusqlite::Error> {
    let before = if before == 0 { i64::MAX } else { rows::to_i64(before) };
    let mut select = select(conn, of)?;
    match of {
        Of::Everything => select.query_map((before, limit), line)?.collect(),
        Of::Room(room) => select.query_map((before, limit, room), line)?.collect(),
        Of::Named(name) => select.query_map((before, limit, name), line)?.collect(),
    }
}

/// A statement for each, so that each has its index: the thread that reads this also serves logins.
fn select<'a>(conn: &'a Connection, of: Of<'_>) -> Result<CachedStatement<'a>, rusqlite::Error> {
    let condition = match of {
        Of::Everything => "",
        Of::Room(_) => "AND room = ?3",
        Of::Named(_) => "AND room_name = ?3",
    };
    conn.prepare_cached(&format!(
        "SELECT id, time_ms, room_name, by_user, action, user, seconds, note FROM audit
            WHERE id < ?1 {condition} ORDER BY id DESC LIMIT ?2"
    ))
}

fn line(row: &Row<'_>) -> Result<AuditRow, rusqlite::Error> {
    Ok(AuditRow {
        id: rows::unsigned(row, 0)?,
        time_ms: rows::unsigned(row, 1)?,
        room: row.get(2)?,
        by: row.get(3)?,
        action: row.get(4)?,
        user: row.get(5)?,
        seconds: row.get(6)?,
        note: row.get(7)?,
    })
}

/// One line of the audit log to be.
pub(super) struct Line<'a> {
    pub(super) room: u32,
    pub(super) room_name: &'a str,
    pub(super) by: Option<&'a str>,
    pub(super) action: &'a str,
    pub(super) user: Option<&'a str>,
}

impl Line<'_> {
    pub(super) fn write(
        &self,
        conn: &Connection,
        seconds: u32,
        note: &str,
        now_ms: u64,
    ) -> Result<(), rusqlite::Error> {
        let Self { room, room_name, by, action, user } = self;
        conn.prepare_cached(
            "INSERT INTO audit(time_ms, room, room_name, by_user, action, user, seconds, note)
                VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((rows::to_i64(now_ms), room, room_name, by, action, user, seconds, note))
        .map(drop)
    }
}

/// Lets go of the oldest lines past the newest `keep`, in a commit that has added `added`: more go than come, but only so
/// many that nobody waits for it. The newest stays in any case, for the next one's number follows from it.
pub(super) fn forget(conn: &Connection, keep: u64, added: u64) -> Result<(), rusqlite::Error> {
    conn.prepare_cached(FORGET)?
        .execute((rows::to_i64(keep.max(1)), rows::to_i64(added.saturating_mul(GONE_FOR_ONE))))
        .map(drop)
}

/// Numbers have no gaps, so that they count the lines.
const FORGET: &str = "DELETE FROM audit
    WHERE id <= (SELECT max(id) FROM audit) - ?1 AND id < (SELECT min(id) FROM audit) + ?2";

/// Lines that go for one that comes, at most: how fast a log shrinks whose bound was lowered.
const GONE_FOR_ONE: u64 = 8;

#[cfg(test)]
mod tests;
