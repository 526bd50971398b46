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

    /// Forgets everything: a transaction did not hold, or what was stored has changed.
    pub(super) fn clear(&mut self) {
        self.by_device.clear();
        self.devices.clear();
    }

    /// What the log has let go of, of one origin, is this now.
    pub(super) fn set_forgotten(&mut self, id: i64, forgotten: &Counters) {
        let origins = self.devices.get(&id).and_then(|device| self.by_device.get_mut(device));
        if let Some(origin) = origins.into_iter().flatten().find(|origin| origin.id == id) {
            origin.forgotten.clone_from(forgotten);
        }
    }

    fn knows(&self, sender: &str, device: &[u8; 16]) -> bool {
        let origins = self.by_device.get(device);
        origins.is_some_and(|origins| origins.iter().any(|origin| origin.sender == sender))
    }

    fn get(&mut self, sender: &str, device: &[u8; 16]) -> Option<&mut Origin> {
        self.by_device.get_mut(device)?.iter_mut().find(|origin| origin.sender == sender)
    }

    fn load(&mut self, conn: &Connection, sender: &str, device: &[u8; 16]) -> Result<(), rusqlite::Error> {
        let id = conn.prepare_cached(SELECT)?.query_row((sender, device), |row| row.get(0)).optional()?;
        let Some(id) = id else { return Ok(()) };
        if self.devices.len() >= MAX_ORIGINS {
            self.clear();
        }
        let origin = Origin { id, sender: sender.to_owned(), forgotten: forgotten(conn, id)? };
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

const INSERT: &str = "INSERT INTO origins(sender, device) VALUES (?1, ?2) ON CONFLICT DO NOTHING";

const SELECT: &str = "SELECT id FROM origins WHERE sender = ?1 AND device = ?2";

/// Origins in memory, about 150 bytes each for a device that leaves no numbers out. Past it all are looked up anew.
const MAX_ORIGINS: usize = 16_384;
