//! The devices that each account logged in with. A device that was revoked stays as a mark, until it logs in again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use rusqlite::Connection;

use super::rows;

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

/// Notes a login.
pub(super) fn seen(
    conn: &Connection,
    user: &str,
    device: [u8; 16],
    address: SocketAddr,
    now_ms: u64,
) -> Result<(), rusqlite::Error> {
    let now = rows::to_i64(now_ms);
    let noted = conn.prepare_cached(SEEN)?.execute((user, device, now, address.to_string()))?;
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
    ON CONFLICT(user, device) DO UPDATE SET last_ms = ?3, address = ?4, revoked_ms = 0";

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
