//! The devices that each account logged in with. A device that was revoked stays as a mark, until it logs in again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rusqlite::Connection;

use super::{
    rows,
    tickets::{self, TicketHash},
};

/// A device of an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceRow {
    /// The device.
    pub device: [u8; 16],
    /// First login, in Unix milliseconds.
    pub first_ms: u64,
    /// Last login, in Unix milliseconds.
    pub last_ms: u64,
    /// From where the last login came.
    pub address: SocketAddr,
    /// Whether it holds a session ticket that is good now.
    pub has_ticket: bool,
}

/// Devices that are remembered for one account; the longest unseen go.
pub const MAX_KNOWN_DEVICES: usize = 64;

/// Notes a login. It takes the mark of a revocation away, unless the ticket that it brought or was brought by has ended since: then
/// the revocation came later.
pub(super) fn seen(
    conn: &Connection,
    user: &str,
    device: [u8; 16],
    address: SocketAddr,
    ticket: Option<TicketHash>,
    now_ms: u64,
) -> Result<(), rusqlite::Error> {
    let now = rows::to_i64(now_ms);
    let has_ended = match ticket {
        Some(ticket) => !tickets::is_kept(conn, ticket)?,
        None => false,
    };
    let noted = conn.prepare_cached(SEEN)?.execute((user, device, now, address.to_string(), has_ended))?;
    if noted > 0 {
        conn.prepare_cached(TRIM)?.execute((user, rows::to_i64(MAX_KNOWN_DEVICES as u64)))?;
    }
    Ok(())
}

/// Ends a device's ticket and marks its sessions for the end. `false` when the account has no such device.
pub(super) fn revoke(
    conn: &Connection,
    user: &str,
    device: [u8; 16],
    now_ms: u64,
) -> Result<bool, rusqlite::Error> {
    conn.prepare_cached(END_TICKET)?.execute((user, device))?;
    let marked = conn.prepare_cached(REVOKE)?.execute((user, device, rows::to_i64(now_ms)))?;
    Ok(marked > 0)
}

/// The devices that are not revoked, the latest login first.
pub(super) fn list(conn: &Connection, user: &str, now_ms: u64) -> Result<Vec<DeviceRow>, rusqlite::Error> {
    conn.prepare_cached(LIST)?
        .query_map((user, rows::to_i64(now_ms)), |row| {
            let address: String = row.get(3)?;
            Ok(DeviceRow {
                device: row.get(0)?,
                first_ms: rows::unsigned(row, 1)?,
                last_ms: rows::unsigned(row, 2)?,
                // Only another program can have written anything else.
                address: address.parse().unwrap_or(UNKNOWN),
                has_ticket: row.get(4)?,
            })
        })?
        .collect()
}

/// The devices that were revoked and have not logged in since.
pub(super) fn revoked(conn: &Connection, user: &str) -> Result<Vec<[u8; 16]>, rusqlite::Error> {
    conn.prepare_cached(REVOKED)?.query_map([user], |row| row.get(0))?.collect()
}

const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

const SEEN: &str = "INSERT INTO devices(user, device, first_ms, last_ms, address)
    SELECT id, ?2, ?3, ?3, ?4 FROM users WHERE name = ?1
    ON CONFLICT(user, device) DO UPDATE SET last_ms = ?3, address = ?4,
        revoked_ms = CASE WHEN ?5 THEN revoked_ms ELSE 0 END";

const TRIM: &str = "DELETE FROM devices WHERE user = (SELECT id FROM users WHERE name = ?1) AND device NOT IN
    (SELECT device FROM devices WHERE user = (SELECT id FROM users WHERE name = ?1)
        ORDER BY last_ms DESC LIMIT ?2)";

const END_TICKET: &str =
    "DELETE FROM tickets WHERE user = (SELECT id FROM users WHERE name = ?1) AND device = ?2";

const REVOKE: &str = "UPDATE devices SET revoked_ms = ?3
    WHERE user = (SELECT id FROM users WHERE name = ?1) AND device = ?2 AND revoked_ms = 0";

const LIST: &str = "SELECT device, first_ms, last_ms, address,
        EXISTS(SELECT 1 FROM tickets WHERE tickets.user = devices.user AND tickets.device = devices.device
            AND expires_ms > ?2)
    FROM devices WHERE user = (SELECT id FROM users WHERE name = ?1) AND revoked_ms = 0
    ORDER BY last_ms DESC";

const REVOKED: &str = "SELECT device FROM devices
    WHERE user = (SELECT id FROM users WHERE name = ?1) AND revoked_ms > 0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Accounts, DataDir, NewTicket};

    const DEVICE: [u8; 16] = [7; 16];

    #[test]
    fn a_login_that_is_noted_after_its_ticket_was_revoked_leaves_the_mark() {
        let dir = tempfile::tempdir().unwrap();
        let data = DataDir::open(dir.path()).unwrap();
        Accounts::open(&data).unwrap().add("alice", false, b"record").unwrap();
        let conn = data.connect().unwrap();
        let address = SocketAddr::from(([192, 0, 2, 1], 5));
        let keep = |secret: &[u8]| {
            let hash = TicketHash::of(secret);
            let ticket = NewTicket { hash, device: DEVICE, expires_ms: 1_000 };
            assert!(tickets::keep(&conn, "alice", b"record", &ticket, 9, 1).unwrap());
            Some(hash)
        };
        let see = |ticket| seen(&conn, "alice", DEVICE, address, ticket, 5).unwrap();
        let old = keep(b"old");
        see(old);
        assert!(revoke(&conn, "alice", DEVICE, 9).unwrap());
        // It was accepted before that, and waited for the desk.
        see(old);
        assert_eq!(revoked(&conn, "alice").unwrap(), [DEVICE]);
        assert!(list(&conn, "alice", 9).unwrap().is_empty());
        // Whoever knows the password comes again, with a new ticket or without one.
        see(keep(b"new"));
        assert!(revoked(&conn, "alice").unwrap().is_empty());
        assert!(revoke(&conn, "alice", DEVICE, 9).unwrap());
        see(None);
        assert!(revoked(&conn, "alice").unwrap().is_empty());
    }
}
