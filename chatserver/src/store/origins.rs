//! Who said something on which device, as one small number: a message's row and its index hold that instead of the names.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension as _};

use super::{counters::Counters, rows};

/// One account on one device.
#[derive(Debug)]
pub(super) struct Origin {
    /// Its row.
    pub(super) id: i64,
    sender: String,
    /// Its messages are all gone.
    pub(super) is_emptied: bool,
    /// Counters of messages that the log has let go of.
    pub(super) forgotten: Counters,
}

/// The origins that wrote lately.
#[derive(Debug, Default)]
pub(super) struct Origins {
    by_device: HashMap<[u8; 16], Vec<Origin>>,
    /// The device of each, by its row.
    devices: HashMap<i64, [u8; 16]>,
}

impl Origins {
    /// The origin of a message, which is made if there is none.
    pub(super) fn intern(
        &mut self,
        conn: &Connection,
        sender: &str,
        device: &[u8; 16],
    ) -> Result<&mut Origin, rusqlite::Error> {
        if !self.knows(sender, device) {
            conn.prepare_cached(INSERT)?.execute((sender, device))?;
            self.load(conn, sender, device)?;
        }
        self.get(sender, device).ok_or(rusqlite::Error::QueryReturnedNoRows)
    }

    /// The origin, if it ever said anything.
    pub(super) fn find(
        &mut self,
        conn: &Connection,
        sender: &str,
        device: &[u8; 16],
    ) -> Result<Option<&mut Origin>, rusqlite::Error> {
        if !self.knows(sender, device) {
            self.load(conn, sender, device)?;
        }
        Ok(self.get(sender, device))
    }

    /// The origin has a message again.
    pub(super) fn fill(&mut self, conn: &Connection, id: i64) -> Result<(), rusqlite::Error> {
        conn.prepare_cached("UPDATE origins SET emptied = 0 WHERE id = ?1")?.execute([id])?;
        if let Some(origin) = self.by_id(id) {
            origin.is_emptied = false;
        }
        Ok(())
    }

    /// Forgets everything: a transaction did not hold, or what was stored has changed.
    pub(super) fn clear(&mut self) {
        self.by_device.clear();
        self.devices.clear();
    }

    /// What the log has let go of, of one origin, is this now.
    pub(super) fn set_forgotten(&mut self, id: i64, forgotten: &Counters, is_emptied: bool) {
        if let Some(origin) = self.by_id(id) {
            origin.forgotten.clone_from(forgotten);
            origin.is_emptied |= is_emptied;
        }
    }

    /// The origin is not stored any more.
    pub(super) fn remove(&mut self, id: i64) {
        if let Some(device) = self.devices.remove(&id)
            && let Some(origins) = self.by_device.get_mut(&device)
        {
            origins.retain(|origin| origin.id != id);
            if origins.is_empty() {
                self.by_device.remove(&device);
            }
        }
    }

    fn by_id(&mut self, id: i64) -> Option<&mut Origin> {
        let origins = self.devices.get(&id).and_then(|device| self.by_device.get_mut(device));
        origins.into_iter().flatten().find(|origin| origin.id == id)
    }

    fn knows(&self, sender: &str, device: &[u8; 16]) -> bool {
        let origins = self.by_device.get(device);
        origins.is_some_and(|origins| origins.iter().any(|origin| origin.sender == sender))
    }

    fn get(&mut self, sender: &str, device: &[u8; 16]) -> Option<&mut Origin> {
        self.by_device.get_mut(device)?.iter_mut().find(|origin| origin.sender == sender)
    }

    fn load(&mut self, conn: &Connection, sender: &str, device: &[u8; 16]) -> Result<(), rusqlite::Error> {
        let found = conn
            .prepare_cached(SELECT)?
            .query_row((sender, device), |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((id, is_emptied)) = found else { return Ok(()) };
        if self.devices.len() >= MAX_ORIGINS {
            self.clear();
        }
        let origin = Origin { id, sender: sender.to_owned(), is_emptied, forgotten: forgotten(conn, id)? };
        self.by_device.entry(*device).or_default().push(origin);
        self.devices.insert(id, *device);
        Ok(())
    }
}

/// What the log has let go of, of one origin.
pub(super) fn forgotten(conn: &Connection, origin: i64) -> Result<Counters, rusqlite::Error> {
    let mut counters = Counters::default();
    let mut select = conn.prepare_cached("SELECT first, last FROM forgotten WHERE origin = ?1")?;
    let mut found = select.query([origin])?;
    while let Some(row) = found.next()? {
        counters.insert_range(rows::unsigned(row, 0)?, rows::unsigned(row, 1)?);
    }
    Ok(counters)
}

/// Remembers what the log has let go of, of one origin.
pub(super) fn forget(conn: &Connection, origin: i64, counters: &Counters) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("DELETE FROM forgotten WHERE origin = ?1")?.execute([origin])?;
    let mut insert = conn.prepare_cached("INSERT INTO forgotten(origin, first, last) VALUES (?1, ?2, ?3)")?;
    for (first, last) in counters.ranges() {
        insert.execute((origin, rows::to_i64(first), rows::to_i64(last)))?;
    }
    Ok(())
}

/// Notes that the log has let go of the last message of an origin, if it has. Those that are too many after that are removed, and
/// handed to `gone`.
pub(super) fn empty(conn: &Connection, origin: i64, gone: &mut Vec<i64>) -> Result<bool, rusqlite::Error> {
    if conn.prepare_cached(EMPTY)?.execute([origin])? == 0 {
        return Ok(false);
    }
    let mut trim = conn.prepare_cached(TRIM)?;
    let mut removed = trim.query((origin, MAX_EMPTIED))?;
    while let Some(row) = removed.next()? {
        gone.push(row.get(0)?);
    }
    Ok(true)
}

const INSERT: &str = "INSERT INTO origins(sender, device) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

const SELECT: &str = "SELECT id, emptied FROM origins WHERE sender = ?1 AND device = ?2";

const EMPTY: &str = "UPDATE origins SET emptied = 1
    WHERE id = ?1 AND NOT EXISTS(SELECT 1 FROM messages WHERE origin = ?1)";

const TRIM: &str = "DELETE FROM origins WHERE id IN (SELECT id FROM origins WHERE emptied = 1
        AND sender = (SELECT sender FROM origins WHERE id = ?1) ORDER BY id DESC LIMIT -1 OFFSET ?2)
    RETURNING id";

/// Devices of one account that are remembered after their last message went: whoever logs in with ever new ones would fill the
/// file with them. What an older one said and says again is a new message.
pub(super) const MAX_EMPTIED: u32 = 256;

/// Origins in memory, about 150 bytes each for a device that leaves no numbers out. Past it all are looked up anew.
const MAX_ORIGINS: usize = 16_384;
