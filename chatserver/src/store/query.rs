//! Pages of a room's log, bounded in rows and bytes.

use rusqlite::Connection;

use super::rows::{self, Message};

/// Messages of one room by ascending number, and whether the room has more in the direction that was read.
pub(super) struct Page {
    pub(super) messages: Vec<Message>,
    pub(super) more: bool,
}

/// What follows number `after`.
pub(super) fn after(
    conn: &Connection,
    room: u32,
    after: u64,
    bounds: Bounds,
) -> Result<Page, rusqlite::Error> {
    read(conn, AFTER, room, after, bounds)
}

/// What precedes number `before`: the newest of it, by ascending number.
pub(super) fn before(
    conn: &Connection,
    room: u32,
    before: u64,
    bounds: Bounds,
) -> Result<Page, rusqlite::Error> {
    let mut page = read(conn, BEFORE, room, before, bounds)?;
    page.messages.reverse();
    Ok(page)
}

/// What lies on both sides of number `seq`, which begins the upper half. What one half has too little of, the
/// upper one may fill.
pub(super) fn around(
    conn: &Connection,
    room: u32,
    seq: u64,
    bounds: Bounds,
) -> Result<Page, rusqlite::Error> {
    let (half, rest) = bounds.halved();
    let mut page = before(conn, room, seq, half)?;
    let rest = Bounds { rows: rest.rows + (half.rows - page.messages.len()), ..rest };
    let above = after(conn, room, seq.saturating_sub(1), rest)?;
    page.more |= above.more;
    page.messages.extend(above.messages);
    Ok(page)
}

/// How much a page may hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    rows: usize,
    bytes: usize,
}

impl Bounds {
    /// What was asked for, within what the server allows. At least one message fits any page.
    pub(super) fn clamped(rows: usize, bytes: usize) -> Self {
        Self { rows: rows.clamp(1, MAX_ROWS), bytes: bytes.min(MAX_BYTES) }
    }

    /// The smaller half of the rows, which may be none, and the larger.
    fn halved(self) -> (Self, Self) {
        let (rows, bytes) = (self.rows / 2, self.bytes / 2);
        (Self { rows, bytes }, Self { rows: self.rows - rows, bytes })
    }
}

fn read(conn: &Connection, sql: &str, room: u32, seq: u64, bounds: Bounds) -> Result<Page, rusqlite::Error> {
    let mut select = conn.prepare_cached(sql)?;
    let mut found = select.query((room, rows::to_i64(seq)))?;
    let mut page = Page { messages: Vec::new(), more: false };
    let mut bytes = 0_usize;
    while let Some(row) = found.next()? {
        if page.messages.len() == bounds.rows {
            page.more = true;
            break;
        }
        let message = Message::read(row, 0)?;
        bytes = bytes.saturating_add(message.bytes());
        if bytes > bounds.bytes && !page.messages.is_empty() {
            page.more = true;
            break;
        }
        page.messages.push(message);
    }
    Ok(page)
}

const AFTER: &str = "SELECT seq, time_ms, sender, device, counter, text
    FROM messages JOIN origins ON origins.id = origin WHERE room = ?1 AND seq > ?2 ORDER BY seq";

const BEFORE: &str = "SELECT seq, time_ms, sender, device, counter, text
    FROM messages JOIN origins ON origins.id = origin WHERE room = ?1 AND seq < ?2 ORDER BY seq DESC";

/// Messages in one page, whatever was asked for.
pub(super) const MAX_ROWS: usize = 1_000;

/// Bytes of names and texts in one page, whatever was asked for; a single longer message is a page of its own.
const MAX_BYTES: usize = 1 << 20;
