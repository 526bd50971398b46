//! Rooms and messages as they leave the store.

use rusqlite::{Connection, Row, types::Type};

use super::{
    data_dir::DataDir,
    error::StoreError,
    house::{self, HouseRow},
};

/// Joins the names of a conversation's two people to that of its room; no name can hold it.
pub const PAIR_SEPARATOR: char = '/';

/// What a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoomKind {
    /// A room that people join by its name.
    Group,
    /// A conversation of two; its name is the caller's key for the pair.
    Direct,
    /// What is left of one, with somebody whose account was removed: who keeps it, who it was with, and its number.
    Former,
}

impl RoomKind {
    pub(super) fn number(self) -> u8 {
        match self {
            Self::Group => 0,
            Self::Direct => 1,
            Self::Former => 3,
        }
    }
}

/// A room of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRow {
    /// The room's id, chosen by whoever created it.
    pub id: u32,
    /// What it is.
    pub kind: RoomKind,
    /// Its name (or key), unique among rooms of its kind.
    pub name: String,
    /// Its topic; may be empty.
    pub topic: String,
    /// When it was created, in Unix milliseconds.
    pub created_ms: u64,
    /// The number of its last message, 0 before the first.
    pub last_seq: u64,
    /// The time of its last message in Unix milliseconds, 0 before the first.
    pub last_ms: u64,
    /// Who may do what there.
    pub house: HouseRow,
}

/// A message of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its number in its room, from 1.
    pub seq: u64,
    /// When it was committed, in Unix milliseconds.
    pub time_ms: u64,
    /// The account that said it.
    pub sender: String,
    /// The device that said it.
    pub device: [u8; 16],
    /// The device's own number for it.
    pub counter: u64,
    /// What was said.
    pub text: String,
}

impl Message {
    /// Reads the columns seq, time_ms, sender, device, counter and text, from column `first` on.
    pub(super) fn read(row: &Row<'_>, first: usize) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: unsigned(row, first)?,
            time_ms: unsigned(row, first + 1)?,
            sender: row.get(first + 2)?,
            device: row.get(first + 3)?,
            counter: unsigned(row, first + 4)?,
            text: row.get(first + 5)?,
        })
    }

    /// The bytes that vary from message to message, for page bounds.
    pub(super) fn bytes(&self) -> usize {
        self.sender.len() + self.text.len()
    }
}

/// A message and the room that it was found in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundMessage {
    /// The room.
    pub room: u32,
    /// The message.
    pub message: Message,
}

/// All rooms, by ascending id. Works beside a running server.
///
/// # Errors
///
/// [`StoreError`] when the database cannot be opened or read.
pub fn rooms(dir: &DataDir) -> Result<Vec<RoomRow>, StoreError> {
    let conn = dir.connect_read_only()?;
    load_rooms(&conn).map_err(StoreError::database(&dir.database()))
}

/// All rooms, by ascending id.
pub(super) fn load_rooms(conn: &Connection) -> Result<Vec<RoomRow>, rusqlite::Error> {
    conn.prepare(ROOMS)?
        .query_map([], |row| {
            Ok(RoomRow {
                id: row.get(0)?,
                kind: match row.get(1)? {
                    0_u8 => RoomKind::Group,
                    1 => RoomKind::Direct,
                    3 => RoomKind::Former,
                    other => return Err(rusqlite::Error::IntegralValueOutOfRange(1, other.into())),
                },
                name: row.get(2)?,
                topic: row.get(3)?,
                created_ms: unsigned(row, 4)?,
                last_seq: unsigned(row, 5)?,
                last_ms: unsigned(row, 6)?,
                house: house::load(conn, row.get(0)?, row.get(7)?, row.get(8)?)?,
            })
        })?
        .collect()
}

/// A room's last number is kept beside it, so that it outlives the messages; should somebody have put messages in
/// by hand, they count.
const ROOMS: &str = "SELECT id, kind, name, topic, created_ms,
        max(last_seq, coalesce((SELECT max(seq) FROM messages WHERE room = rooms.id), 0)), last_ms, private, slow_s
    FROM rooms WHERE kind <> 2 ORDER BY id";

/// Reads a number that is never negative; a negative one means a damaged or foreign row.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> Result<u64, rusqlite::Error> {
    let value: i64 = row.get(column)?;
    u64::try_from(value)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error)))
}

/// SQLite's integers are signed: a bound beyond them is as good as their greatest.
pub(super) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
