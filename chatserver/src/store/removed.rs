//! Accounts that are removed or disabled beside the running server: triggers write them down, and the reader looks there.

use std::time::{Duration, Instant};

use rusqlite::Connection;

/// An account that was removed or disabled beside the running store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub name: String,
    /// It is still there, and may not log in. Otherwise whoever gets its name next is somebody else.
    pub is_disabled: bool,
}

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

    /// What has come since the last look, if it is time for one.
    pub(super) fn look_if_due(&mut self, conn: &Connection) -> Vec<Removal> {
        if Instant::now() < self.next_look { Vec::new() } else { self.look(conn) }
    }

    /// What has come since the last look.
    pub(super) fn look(&mut self, conn: &Connection) -> Vec<Removal> {
        let now = Instant::now();
        self.next_look = now + INTERVAL;
        match self.read(conn) {
            Ok(removals) => {
                self.is_failing = false;
                if removals.len() == MAX_AT_ONCE as usize {
                    self.next_look = now;
                }
                removals
            }
            Err(error) => {
                if !std::mem::replace(&mut self.is_failing, true) {
                    tracing::warn!(%error, "cannot see which accounts are removed; trying on");
                }
                Vec::new()
            }
        }
    }

    fn read(&mut self, conn: &Connection) -> Result<Vec<Removal>, rusqlite::Error> {
        let mut select = conn.prepare_cached(
            "SELECT id, name, disabled FROM removed_accounts WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?;
        let rows = select.query_map((self.seen, MAX_AT_ONCE), |row| {
            Ok((row.get(0)?, Removal { name: row.get(1)?, is_disabled: row.get(2)? }))
        })?;
        let rows = rows.collect::<Result<Vec<(i64, Removal)>, _>>()?;
        self.seen = rows.last().map_or(self.seen, |(id, _)| *id);
        Ok(rows.into_iter().map(|(_, removal)| removal).collect())
    }
}

/// Whether an account was removed, and nobody has its name now. Of names that were never accounts nothing is known, and they
/// are not gone.
pub(super) fn is_gone(conn: &Connection, name: &str) -> Result<bool, rusqlite::Error> {
    conn.prepare_cached(IS_GONE)?.exists([name])
}

const IS_GONE: &str = "SELECT 1 FROM removed_accounts
    WHERE name = ?1 AND disabled = 0 AND NOT EXISTS(SELECT 1 FROM users WHERE name = ?1)";

/// Pause between two looks, each of a few microseconds: a removal takes effect within that time.
const INTERVAL: Duration = Duration::from_millis(250);

/// Names of one look; with more, the next look follows at once.
pub(super) const MAX_AT_ONCE: u32 = 1_000;
