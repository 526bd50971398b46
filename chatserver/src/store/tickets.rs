//! Session tickets: each stands for an account's password on one device until it expires.
//!
//! Only their hashes are kept: who reads the database finds nothing to log in with. Tickets end with the record that they
//! were bought with; triggers of the schema see to that, whoever changes the account.

use std::fmt;

use rusqlite::{Connection, OptionalExtension as _};
use sha2::{Digest as _, Sha256};

use super::rows;

/// The SHA-256 of a ticket. Looking for it takes the same time for every ticket of the other side's choice.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TicketHash([u8; 32]);

impl TicketHash {
    /// Hashes a ticket as it goes over the wire.
    #[must_use]
    pub fn of(ticket: &[u8]) -> Self {
        Self(Sha256::digest(ticket).into())
    }
}

impl fmt::Debug for TicketHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TicketHash(***)")
    }
}

/// A ticket to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewTicket {
    /// What is kept of it.
    pub hash: TicketHash,
    /// The only device that may show it. An older ticket of the same device is replaced.
    pub device: [u8; 16],
    /// From when on it is worth nothing, in Unix milliseconds.
    pub expires_ms: u64,
}

/// Keeps a ticket, if the account may log in and still has the record that the ticket was bought with. The account's oldest
/// tickets beyond `max_tickets` go, and so do some that have expired.
pub(super) fn keep(
    conn: &Connection,
    user: &str,
    record: &[u8],
    ticket: &NewTicket,
    max_tickets: usize,
    now_ms: u64,
) -> Result<bool, rusqlite::Error> {
    conn.prepare_cached(PURGE)?.execute((rows::to_i64(now_ms), PURGED_AT_ONCE))?;
    let bought = conn
        .prepare_cached("SELECT id FROM users WHERE name = ?1 AND record = ?2 AND disabled = 0")?
        .query_row((user, record), |row| row.get::<_, i64>(0))
        .optional()?;
    let Some(user) = bought else { return Ok(false) };
    let expires = rows::to_i64(ticket.expires_ms);
    conn.prepare_cached(INSERT)?.execute((ticket.hash.0, user, ticket.device, expires))?;
    let max_tickets = i64::try_from(max_tickets.max(1)).unwrap_or(i64::MAX);
    conn.prepare_cached(TRIM)?.execute((user, max_tickets))?;
    Ok(true)
}

/// Whether this ticket lets this user in on this device now, and if so, whether they administer the server, and the
/// account's generation.
pub(super) fn holder(
    conn: &Connection,
    hash: TicketHash,
    user: &str,
    device: [u8; 16],
    now_ms: u64,
) -> Result<Option<(bool, u64)>, rusqlite::Error> {
    conn.prepare_cached(LOOKUP)?
        .query_row((hash.0, user, device, rows::to_i64(now_ms)), |row| {
            Ok((row.get(0)?, rows::unsigned(row, 1)?))
        })
        .optional()
}

/// Whether a ticket is kept still, expired or not.
pub(super) fn is_kept(conn: &Connection, hash: TicketHash) -> Result<bool, rusqlite::Error> {
    conn.prepare_cached("SELECT 1 FROM tickets WHERE hash = ?1")?.exists([hash.0])
}

const INSERT: &str = "INSERT OR REPLACE INTO tickets(hash, user, device, expires_ms) VALUES (?1, ?2, ?3, ?4)";

/// The newest stay, whenever they expire.
const TRIM: &str = "DELETE FROM tickets WHERE user = ?1
    AND id NOT IN (SELECT id FROM tickets WHERE user = ?1 ORDER BY id DESC LIMIT ?2)";

const PURGE: &str = "DELETE FROM tickets
    WHERE id IN (SELECT id FROM tickets WHERE expires_ms <= ?1 ORDER BY expires_ms LIMIT ?2)";

const LOOKUP: &str = "SELECT users.admin, users.generation FROM tickets JOIN users ON users.id = tickets.user
    WHERE hash = ?1 AND name = ?2 AND device = ?3 AND expires_ms > ?4 AND disabled = 0";

/// Expired tickets that go with each new one: more than come, so that they die out, and few enough not to be noticed.
const PURGED_AT_ONCE: i64 = 16;
