//! How old messages are, though the system's clock may be wrong for a while.
//!
//! Beside the time that people are shown, which never runs backwards in a room, each message has a stamp: the system's clock
//! when it came. From there it grows old, and two rules keep a clock that was ahead from doing harm:
//!
//! - A clock that is put back tells that every message so far came before that, whatever its stamp says.
//! - A clock that is far ahead of where it should be is believed only once it has stood so for a while: until then nothing
//!   is removed because of it. It cannot be told from one that is right after a server was off for long.

use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension as _};

use super::{accounts, rows};

/// Gives messages their stamps.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamps {
    /// That of the newest message.
    last_ms: Option<u64>,
}

impl Stamps {
    /// Those of a log, going on from its newest message.
    pub(super) fn load(conn: &Connection) -> Result<Self, rusqlite::Error> {
        let last_ms = conn.query_row(NEWEST, [], |row| rows::unsigned(row, 0)).optional()?;
        Ok(Self { last_ms })
    }

    /// The stamp of what comes now. That the clock was put back is noted with the messages, and undone with them.
    pub(super) fn now(&mut self, conn: &Connection, now_ms: u64) -> Result<u64, rusqlite::Error> {
        let last_ms = self.last_ms.unwrap_or(now_ms);
        let stamp = if now_ms.saturating_add(JITTER_MS) < last_ms {
            conn.prepare_cached(PUT_BACK)?.execute([rows::to_i64(now_ms)])?;
            now_ms
        } else {
            now_ms.max(last_ms)
        };
        self.last_ms = Some(stamp);
        Ok(stamp)
    }
}

/// The first message that need not be older than `before_ms`, as far as the times tell at which the clock was put back: those
/// in front of it are, whatever their stamps say.
pub(super) fn first_that_may_be_younger(
    conn: &Connection,
    before_ms: u64,
) -> Result<Option<i64>, rusqlite::Error> {
    conn.prepare_cached("SELECT max(first) FROM put_back WHERE at_ms < ?1")?
        .query_row([rows::to_i64(before_ms)], |row| row.get(0))
}

/// Forgets what was noted about messages up to this one, which are gone.
pub(super) fn forget(conn: &Connection, last: i64) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("DELETE FROM put_back WHERE first <= ?1 + 1")?.execute([last]).map(drop)
}

/// What the system's clock says, as far as it is believed.
#[derive(Debug)]
pub(super) struct Caution {
    /// What it said last.
    now_ms: Option<u64>,
    /// How long the server had run then.
    ran: Duration,
    /// How long it had run when the clock was first found too far ahead.
    doubted: Option<Duration>,
    saved_ms: u64,
    started: Instant,
}

impl Caution {
    /// Goes on from what was last believed.
    pub(super) fn load(conn: &Connection) -> Result<Self, rusqlite::Error> {
        let saved = accounts::meta(conn, BELIEVED)?.and_then(|bytes| bytes.try_into().ok());
        let now_ms = saved.map(u64::from_be_bytes);
        let saved_ms = now_ms.unwrap_or_default();
        Ok(Self { now_ms, ran: Duration::ZERO, doubted: None, saved_ms, started: Instant::now() })
    }

    /// The time that it is, when the system's clock says `clock_ms`.
    pub(super) fn now(&mut self, conn: &Connection, clock_ms: u64) -> Result<u64, rusqlite::Error> {
        let now_ms = self.look(clock_ms, self.started.elapsed());
        if self.doubted.is_none() && now_ms.abs_diff(self.saved_ms) >= SAVE_MS {
            conn.prepare_cached("INSERT OR REPLACE INTO meta(key, value) VALUES (?1, ?2)")?
                .execute((BELIEVED, now_ms.to_be_bytes()))?;
            self.saved_ms = now_ms;
        }
        Ok(now_ms)
    }

    /// The same when the server has run for this long.
    fn look(&mut self, clock_ms: u64, ran: Duration) -> u64 {
        let passed = u64::try_from(ran.saturating_sub(self.ran).as_millis()).unwrap_or(u64::MAX);
        self.ran = ran;
        let expected = self.now_ms.map_or(clock_ms, |before| before.saturating_add(passed));
        let is_ahead = clock_ms > expected.saturating_add(BELIEVED_AT_ONCE_MS);
        let has_stood = self.doubted.is_some_and(|since| ran.saturating_sub(since) >= DOUBT);
        let now_ms = if is_ahead && !has_stood {
            if self.doubted.is_none() {
                tracing::warn!(
                    days = (clock_ms - expected) / DAY_MS,
                    "the system's clock is far ahead of when this server last looked: should it stay so for an hour, messages \
                     are removed that are too old by it"
                );
            }
            self.doubted.get_or_insert(ran);
            expected
        } else {
            self.doubted = None;
            clock_ms
        };
        self.now_ms = Some(now_ms);
        now_ms
    }

    /// As if the server had begun to run so much earlier.
    #[cfg(test)]
    pub(super) fn has_run(&mut self, longer: Duration) {
        self.started -= longer;
    }
}

const DAY_MS: u64 = 86_400_000;

/// A clock that is back by no more than this was not put back: it is being corrected.
const JITTER_MS: u64 = 60_000;

/// So far ahead of where it was expected the clock is believed at once. Messages may go so much too early, and no more.
const BELIEVED_AT_ONCE_MS: u64 = DAY_MS;

/// Further ahead it is believed once the server has run for so long: long enough for the network to have set it right.
const DOUBT: Duration = Duration::from_secs(3_600);

/// The time that is believed is kept about so often.
const SAVE_MS: u64 = 3_600_000;

/// Where.
const BELIEVED: &str = "believed_ms";

const NEWEST: &str = "SELECT time_ms - ahead_ms FROM messages ORDER BY id DESC LIMIT 1";

/// The next message is the first that came after the clock was put back.
const PUT_BACK: &str =
    "INSERT INTO put_back(first, at_ms) SELECT coalesce(max(id), 0) + 1, ?1 FROM messages WHERE true
    ON CONFLICT DO UPDATE SET at_ms = min(at_ms, excluded.at_ms)";

#[cfg(test)]
mod tests;
