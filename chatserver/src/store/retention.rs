//! Retention: the oldest messages go when they are too [old](super::age), or when the log is too large.
//!
//! What is in the file beside messages counts for that, but cannot cost them all: the newest stay whatever else grows.
//!
//! They go from the front of the log, in the order in which they came, so that every room keeps its end without a hole.
//! Two things outlive them: the room's last number, and the counters of their devices (of the last
//! [`MAX_EMPTIED`](origins::MAX_EMPTIED) of an account), so that no number is given twice and a message that is said again stays
//! one. Nothing here is flushed for its own sake: what a power cut brings back is
//! removed again.

use std::collections::BTreeMap;

use rusqlite::{Connection, TransactionBehavior};

use super::{
    Durability, StoreConfig,
    age::{self, Caution},
    append::Log,
    counters::Counters,
    error::DbError,
    origins::{self, Origins},
    rows, schema,
};

/// What the log may let go of.
#[derive(Debug)]
pub(super) struct Retention {
    pub(super) clock: Caution,
    keep_ms: Option<u64>,
    keep_bytes: Option<u64>,
    durability: Durability,
    /// That too much else is in the file was said, and is so still.
    is_crowded_told: bool,
}

impl Retention {
    pub(super) fn load(conn: &Connection, config: &StoreConfig) -> Result<Self, rusqlite::Error> {
        let clock = Caution::load(conn)?;
        let keep_ms = config.keep_time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        let StoreConfig { keep_bytes, durability, .. } = *config;
        Ok(Self { clock, keep_ms, keep_bytes, durability, is_crowded_told: false })
    }

    /// Whether anything is ever removed.
    pub(super) fn is_on(&self) -> bool {
        self.keep_ms.is_some() || self.keep_bytes.is_some()
    }

    /// How many of the oldest messages may go for the sake of space, and before which time they have to go.
    fn wanted(&mut self, conn: &Connection, clock_ms: u64) -> Result<Wanted, rusqlite::Error> {
        let over = match self.keep_bytes {
            Some(keep) => used_bytes(conn)?.saturating_sub(keep),
            None => 0,
        };
        let for_space = over.div_ceil(ROW_BYTES).min(MAX_REMOVED);
        let before_ms = match self.keep_ms {
            Some(keep) => self.clock.now(conn, clock_ms)?.saturating_sub(keep),
            None => 0,
        };
        let old_below = age::first_that_may_be_younger(conn, before_ms)?.unwrap_or_default();
        let kept = self.keep_bytes.map_or(0, |keep| keep / KEPT_BYTES);
        Ok(Wanted { for_space, before_ms, old_below, kept })
    }

    /// Says once that space is missing which messages cannot give.
    fn tell_crowded(&mut self, is_crowded: bool) {
        if is_crowded && !self.is_crowded_told {
            tracing::warn!(
                keep_bytes = self.keep_bytes,
                "chat.db stays larger than store.keep_bytes: what is in it beside messages takes too much; the newest \
                 messages are kept all the same"
            );
        }
        self.is_crowded_told = is_crowded;
    }
}

struct Wanted {
    for_space: u64,
    before_ms: u64,
    /// Those in front of this one have to go, whatever their stamps say.
    old_below: i64,
    /// So many of the newest do not go for the sake of space.
    kept: u64,
}

/// What one step removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) messages: u64,
    /// Whether the next step would find more to remove.
    pub(super) more: bool,
}

impl Log {
    /// Removes the oldest messages that need not be kept, at most [`MAX_REMOVED`].
    pub(super) fn remove_old(&mut self, clock_ms: u64) -> Result<Removed, DbError> {
        let removed = self.try_remove_old(clock_ms);
        if removed.is_err() {
            self.origins.clear();
        }
        Ok(removed?)
    }

    fn try_remove_old(&mut self, clock_ms: u64) -> Result<Removed, rusqlite::Error> {
        // Also when nothing is said for a while: that the clock was put back dates what was said before.
        self.stamps.now(&self.conn, clock_ms)?;
        let wanted = self.retention.wanted(&self.conn, clock_ms)?;
        if wanted.for_space == 0 {
            self.retention.tell_crowded(false);
        }
        if wanted.for_space == 0 && wanted.before_ms == 0 {
            return Ok(Removed { messages: 0, more: false });
        }
        let durability = self.retention.durability;
        schema::set_durability(&self.conn, Durability::Os)?;
        let removed = remove(&mut self.conn, &mut self.origins, &wanted);
        schema::set_durability(&self.conn, durability)?;
        let messages = removed?;
        self.retention.tell_crowded(wanted.for_space > 0 && messages == 0);
        Ok(Removed { messages, more: messages >= MAX_REMOVED || (wanted.for_space > 0 && messages > 0) })
    }
}

fn remove(conn: &mut Connection, origins: &mut Origins, wanted: &Wanted) -> Result<u64, rusqlite::Error> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut last = None;
    let mut removed = 0;
    let mut counters: BTreeMap<i64, Vec<u64>> = BTreeMap::new();
    {
        let mut select = tx.prepare_cached(OLDEST)?;
        let mut found = select.query([rows::to_i64(MAX_REMOVED)])?;
        while let Some(row) = found.next()? {
            let id = row.get::<_, i64>(0)?;
            let is_old = id < wanted.old_below || rows::unsigned(row, 3)? < wanted.before_ms;
            let is_kept = rows::unsigned(row, 4)? < wanted.kept;
            if !is_old && (is_kept || removed >= wanted.for_space) {
                break;
            }
            last = Some(id);
            counters.entry(row.get(1)?).or_default().push(rows::unsigned(row, 2)?);
            removed += 1;
        }
    }
    let Some(last) = last else { return Ok(0) };
    tx.prepare_cached("DELETE FROM messages WHERE id <= ?1")?.execute([last])?;
    age::forget(&tx, last)?;
    let mut changed: Vec<(i64, Counters, bool)> = Vec::with_capacity(counters.len());
    let mut gone = Vec::new();
    for (origin, counters) in counters {
        let mut forgotten = origins::forgotten(&tx, origin)?;
        counters.into_iter().for_each(|counter| forgotten.insert(counter));
        origins::forget(&tx, origin, &forgotten)?;
        changed.push((origin, forgotten, origins::empty(&tx, origin, &mut gone)?));
    }
    tx.commit()?;
    for (origin, forgotten, is_emptied) in changed {
        origins.set_forgotten(origin, &forgotten, is_emptied);
    }
    gone.into_iter().for_each(|origin| origins.remove(origin));
    Ok(removed)
}

/// Bytes of the file that hold something.
fn used_bytes(conn: &Connection) -> Result<u64, rusqlite::Error> {
    let number = |pragma: &str| conn.pragma_query_value(None, pragma, |row| rows::unsigned(row, 0));
    let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
    Ok(pages.saturating_mul(number("page_size")?))
}

/// The newest message stays whatever its age: the next one's id follows from it.
const OLDEST: &str = "SELECT id, origin, counter, time_ms - ahead_ms, newest - id
    FROM messages, (SELECT max(id) AS newest FROM messages) WHERE id < newest ORDER BY id LIMIT ?1";

/// Messages removed in one step, some 10 ms: the longest that retention holds up a message.
pub(super) const MAX_REMOVED: u64 = 1_024;

/// What a short message takes in the table and its indexes, at least: so many are removed for the space that is missing, and
/// more in the next step.
const ROW_BYTES: u64 = 256;

/// For each so many bytes of what may be in use, one of the newest messages stays in any case: of the longest texts there are
/// they take about half, of all others far less.
const KEPT_BYTES: u64 = 8_192;

#[cfg(test)]
mod tests;
