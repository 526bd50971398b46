//! Accounts that are removed or disabled beside the running server: triggers write them down, and the reader looks there.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// How far the list of removed accounts was seen.
#[derive(Debug)]
pub(super) struct RemovedAccounts {
    seen: i64,
    next_look: Instant,
    /// The last look failed, and that was said.
    is_failing: bool,
}

impl RemovedAccounts {
    /// Watches from now on: who was removed before is not logged in.
    pub(super) fn watch(conn: &Connection) -> Result<Self, rusqlite::Error> {
        let latest = "SELECT coalesce(max(id), 0) FROM removed_accounts";
        let seen = conn.query_row(latest, [], |row| row.get(0))?;
        Ok(Self { seen, next_look: Instant::now() + INTERVAL, is_failing: false })
    }

    /// When to look.
    pub(super) fn next_look(&self) -> Instant {
        self.next_look
    }

    /// The names that have come since the last look, if it is time for one.
    pub(super) fn look(&mut self, conn: &Connection) -> Vec<String> {
        let now = Instant::now();
        if now < self.next_look {
            return Vec::new();
        }
        self.next_look = now + INTERVAL;
        match self.read(conn) {
            Ok(names) => {
                self.is_failing = false;
                if names.len() == MAX_AT_ONCE as usize {
                    self.next_look = now;
                }
                names
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "cannot see which accounts are removed; trying on");
                }
                Vec::new()
            }
        }
    }

    fn read(&mut self, conn: &Connection) -> Result<Vec<String>, rusqlite::Error> {
        let mut select =
            conn.prepare_cached("SELECT id, name FROM removed_accounts WHERE id > ?1 ORDER BY id LIMIT ?2")?;
        let rows = select.query_map((self.seen, MAX_AT_ONCE), |row| Ok((row.get(0)?, row.get(1)?)))?;
        let rows = rows.collect::<Result<Vec<(i64, String)>, _>>()?;
        self.seen = rows.last().map_or(self.seen, |(id, _)| *id);
        Ok(rows.into_iter().map(|(_, name)| name).collect())
    }
}

/// Pause between two looks, each of a few microseconds: a removal takes effect within that time.
const INTERVAL: Duration = Duration::from_millis(250);

/// Names of one look; with more, the next look follows at once.
const MAX_AT_ONCE: u32 = 1_000;
