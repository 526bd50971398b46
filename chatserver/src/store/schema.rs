//! The tables of `chat.db`, how they come to be, and how a connection to them is opened.

use std::{
    path::Path,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::{Durability, error::StoreError};

/// One step for each schema version; `PRAGMA user_version` counts those that a file has seen.
///
/// In `messages`, `id` is the order of insertion and the search index's cursor: retention keeps the newest row, so that
/// ids are not given twice, and notes in `forgotten` which counters it removes, so that a repeated say stays one. How far a
/// message's time is ahead of the clock at which it came is `ahead_ms`; `put_back` has the first message after each time that
/// the clock was put back, and what it said then (see `age`). The view
/// `log` is for people. A removed account frees nothing here: its messages keep their sender's name.
/// `removed_accounts` is how a running server hears of those; the last of them are kept, so that ids are not given twice.
const STEPS: [&str; 1] = ["
    CREATE TABLE meta(
        key TEXT PRIMARY KEY,
        value BLOB NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE users(
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        admin INTEGER NOT NULL DEFAULT 0 CHECK(admin IN (0, 1)),
        disabled INTEGER NOT NULL DEFAULT 0 CHECK(disabled IN (0, 1)),
        record BLOB NOT NULL,
        created_ms INTEGER NOT NULL,
        folded TEXT NOT NULL UNIQUE,
        skeleton TEXT NOT NULL UNIQUE,
        generation INTEGER NOT NULL
    );
    CREATE TABLE devices(
        user INTEGER NOT NULL,
        device BLOB NOT NULL,
        first_ms INTEGER NOT NULL,
        last_ms INTEGER NOT NULL,
        address TEXT NOT NULL,
        revoked_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY(user, device)
    ) WITHOUT ROWID;
    CREATE TABLE invites(
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL UNIQUE,
        label TEXT NOT NULL,
        uses_left INTEGER NOT NULL CHECK(uses_left >= 0),
        expires_ms INTEGER NOT NULL
    );
    CREATE TABLE tickets(
        id INTEGER PRIMARY KEY,
        hash BLOB NOT NULL UNIQUE,
        user INTEGER NOT NULL,
        device BLOB NOT NULL,
        expires_ms INTEGER NOT NULL,
        UNIQUE(user, device)
    );
    CREATE INDEX tickets_by_expiry ON tickets(expires_ms);
    CREATE TRIGGER tickets_end_with_their_password AFTER UPDATE OF record, disabled ON users BEGIN
        DELETE FROM tickets WHERE user = OLD.id;
        UPDATE users SET generation = OLD.generation + 1 WHERE id = OLD.id;
    END;
    CREATE TRIGGER tickets_end_with_their_account AFTER DELETE ON users BEGIN
        DELETE FROM tickets WHERE user = OLD.id;
        DELETE FROM devices WHERE user = OLD.id;
    END;
    CREATE TABLE removed_accounts(
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        disabled INTEGER NOT NULL CHECK(disabled IN (0, 1))
    );
    CREATE INDEX removed_by_name ON removed_accounts(name);
    CREATE TRIGGER removals_are_told AFTER DELETE ON users BEGIN
        INSERT INTO removed_accounts(name, disabled) VALUES (OLD.name, 0);
    END;
    CREATE TRIGGER disabling_is_told AFTER UPDATE OF disabled ON users WHEN NEW.disabled BEGIN
        INSERT INTO removed_accounts(name, disabled) VALUES (NEW.name, 1);
    END;
    CREATE TRIGGER old_removals_are_forgotten AFTER INSERT ON removed_accounts BEGIN
        DELETE FROM removed_accounts WHERE id <= NEW.id - 10000;
    END;
    CREATE TABLE rooms(
        id INTEGER PRIMARY KEY,
        -- 0 group; 1 conversation, 'alice/bob'; 2 was removed, and is kept so that its number is not given again;
        -- 3 what bob keeps of a conversation after alice's account was removed, 'bob/alice/' and its number
        kind INTEGER NOT NULL CHECK(kind IN (0, 1, 2, 3)),
        name TEXT NOT NULL,
        topic TEXT NOT NULL DEFAULT '',
        created_ms INTEGER NOT NULL,
        last_seq INTEGER NOT NULL DEFAULT 0,
        last_ms INTEGER NOT NULL DEFAULT 0,
        private INTEGER NOT NULL DEFAULT 0 CHECK(private IN (0, 1)),
        slow_s INTEGER NOT NULL DEFAULT 0,
        UNIQUE(kind, name)
    );
    CREATE TABLE room_roles(
        room INTEGER NOT NULL,
        user TEXT NOT NULL,
        role TEXT NOT NULL CHECK(role IN ('member', 'operator', 'owner')),
        PRIMARY KEY(room, user)
    ) WITHOUT ROWID;
    CREATE TABLE room_sanctions(
        room INTEGER NOT NULL,
        user TEXT NOT NULL,
        kind TEXT NOT NULL CHECK(kind IN ('mute', 'ban')),
        until_ms INTEGER,
        note TEXT NOT NULL,
        PRIMARY KEY(room, user, kind)
    ) WITHOUT ROWID;
    -- from where nobody enters a room; with whose ban, or ''
    CREATE TABLE room_networks(
        room INTEGER NOT NULL,
        network TEXT NOT NULL,
        user TEXT NOT NULL,
        until_ms INTEGER,
        note TEXT NOT NULL,
        PRIMARY KEY(room, network, user)
    ) WITHOUT ROWID;
    -- a network, or an account with an @ before its name
    CREATE TABLE server_bans(
        subject TEXT PRIMARY KEY,
        until_ms INTEGER,
        note TEXT NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE lockdown(
        id INTEGER PRIMARY KEY CHECK(id = 1),
        hushed INTEGER NOT NULL CHECK(hushed IN (0, 1)),
        note TEXT NOT NULL
    );
    -- Whoever gets the name of a removed account is somebody else.
    CREATE TRIGGER what_is_said_of_an_account_ends_with_it AFTER DELETE ON users BEGIN
        DELETE FROM room_roles WHERE user = OLD.name;
        DELETE FROM room_sanctions WHERE user = OLD.name;
        DELETE FROM room_networks WHERE user = OLD.name;
        DELETE FROM server_bans WHERE subject = '@' || OLD.name;
        -- Nobody is left who could read these: notes to oneself, and what the account kept of former conversations.
        UPDATE rooms SET kind = 2, name = name || '/' || id WHERE kind = 1 AND name = OLD.name || '/' || OLD.name;
        UPDATE rooms SET kind = 2
            WHERE kind = 3 AND substr(name, 1, length(OLD.name) + 1) = OLD.name || '/';
        UPDATE rooms SET kind = 3, name = name || '/' || id
            WHERE kind = 1 AND substr(name, -length(OLD.name) - 1) = '/' || OLD.name;
        UPDATE rooms SET kind = 3, name = substr(name, length(OLD.name) + 2) || '/' || OLD.name || '/' || id
            WHERE kind = 1 AND substr(name, 1, length(OLD.name) + 1) = OLD.name || '/';
    END;
    -- room 0 is the whole server; nobody is the server's operator
    CREATE TABLE audit(
        id INTEGER PRIMARY KEY,
        time_ms INTEGER NOT NULL,
        room INTEGER NOT NULL,
        room_name TEXT NOT NULL,
        by_user TEXT,
        action TEXT NOT NULL,
        user TEXT,
        seconds INTEGER NOT NULL,
        note TEXT NOT NULL
    );
    CREATE INDEX audit_by_room ON audit(room, id);
    CREATE INDEX audit_by_name ON audit(room_name, id);
    CREATE TABLE origins(
        id INTEGER PRIMARY KEY,
        sender TEXT NOT NULL,
        device BLOB NOT NULL,
        -- its last message was removed
        emptied INTEGER NOT NULL DEFAULT 0 CHECK(emptied IN (0, 1)),
        UNIQUE(sender, device)
    );
    CREATE INDEX emptied_origins ON origins(sender, id) WHERE emptied = 1;
    CREATE TRIGGER what_is_forgotten_ends_with_its_origin AFTER DELETE ON origins BEGIN
        DELETE FROM forgotten WHERE origin = OLD.id;
    END;
    CREATE TABLE messages(
        id INTEGER PRIMARY KEY,
        room INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        time_ms INTEGER NOT NULL,
        ahead_ms INTEGER NOT NULL DEFAULT 0,
        origin INTEGER NOT NULL,
        counter INTEGER NOT NULL,
        text TEXT NOT NULL,
        UNIQUE(room, seq),
        UNIQUE(origin, counter)
    );
    CREATE TABLE forgotten(
        origin INTEGER NOT NULL,
        first INTEGER NOT NULL,
        last INTEGER NOT NULL,
        PRIMARY KEY(origin, first)
    ) WITHOUT ROWID;
    CREATE TABLE put_back(
        first INTEGER PRIMARY KEY,
        at_ms INTEGER NOT NULL
    );
    CREATE VIEW log AS SELECT
        rooms.name AS room, messages.seq, strftime('%Y-%m-%dT%H:%M:%fZ', time_ms / 1000.0, 'unixepoch') AS time,
        origins.sender, messages.text, hex(origins.device) AS device, messages.counter
    FROM messages JOIN rooms ON rooms.id = messages.room JOIN origins ON origins.id = messages.origin;
    INSERT INTO meta(key, value) VALUES ('log_id', randomblob(16));
"];

/// Opens `chat.db` for writing, making or migrating its tables first. The file must exist.
pub(super) fn open(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut conn = Connection::open_with_flags(file, flags).map_err(StoreError::database(file))?;
    prepare(&conn).map_err(StoreError::database(file))?;
    migrate(&mut conn, file)?;
    Ok(conn)
}

/// Opens a database of this store for reading only.
pub(super) fn open_read_only(file: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(file, flags).map_err(StoreError::database(file))?;
    conn.busy_timeout(BUSY_TIMEOUT).map_err(StoreError::database(file))?;
    Ok(conn)
}

/// Makes commits on this connection as durable as asked.
pub(super) fn set_durability(conn: &Connection, durability: Durability) -> Result<(), rusqlite::Error> {
    let synchronous = match durability {
        // Without messages little is written, and accounts and rooms are worth a flush.
        Durability::Full | Durability::Off => "FULL",
        Durability::Os => "NORMAL",
    };
    conn.pragma_update(None, "synchronous", synchronous)
}

/// Whether this program knows what the file holds.
pub(super) fn check_version(conn: &Connection, file: &Path) -> Result<(), StoreError> {
    check(conn, file, known_version()).map(drop)
}

fn known_version() -> u32 {
    u32::try_from(STEPS.len()).unwrap_or(u32::MAX)
}

fn prepare(conn: &Connection) -> Result<(), rusqlite::Error> {
    conn.busy_timeout(BUSY_TIMEOUT)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "journal_size_limit", WAL_KEPT_BYTES)
}

fn migrate(conn: &mut Connection, file: &Path) -> Result<(), StoreError> {
    let failed = || StoreError::database(file);
    let known = known_version();
    // One snapshot: another program may be making the tables between two of the questions.
    let snapshot = conn.transaction().map_err(failed())?;
    let found = check(&snapshot, file, known)?;
    drop(snapshot);
    if found < known {
        // Two programs may create the file at the same moment: the lock decides, the loser looks again.
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate).map_err(failed())?;
        let found = check(&tx, file, known)?;
        for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
            tx.execute_batch(step).map_err(failed())?;
        }
        tx.pragma_update(None, "application_id", APPLICATION_ID).map_err(failed())?;
        tx.pragma_update(None, "user_version", known).map_err(failed())?;
        tx.commit().map_err(failed())?;
    }
    use_wal(conn).map_err(failed())
}

/// Turns the write-ahead log on, for good: it is a property of the file and no part of a transaction. The one
/// time that it changes something it needs the file for itself, and is refused at once when another program
/// opens the new file at the same moment; that one may do it then.
fn use_wal(conn: &Connection) -> Result<(), rusqlite::Error> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match conn.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && Instant::now() < deadline =>
            {
                thread::sleep(WAL_RETRY);
            }
            result => return result,
        }
    }
}

/// The file's schema version, when it is a file that this program may touch.
fn check(conn: &Connection, file: &Path, known: u32) -> Result<u32, StoreError> {
    let number = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, u32>(0));
    let found = number("user_version").map_err(StoreError::database(file))?;
    let application = number("application_id").map_err(StoreError::database(file))?;
    let tables: u32 = conn
        .query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))
        .map_err(StoreError::database(file))?;
    if application != APPLICATION_ID && (tables > 0 || found > 0) {
        return Err(StoreError::Foreign { path: file.into() });
    }
    if found > known {
        return Err(StoreError::Newer { path: file.into(), found, known });
    }
    Ok(found)
}

/// How long a connection waits for another process' write lock: an account command needs a few milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How long to leave the file to another program that has just made it.
const WAL_RETRY: Duration = Duration::from_millis(5);

/// A write-ahead log that grew beyond this is cut back to it when it starts over.
const WAL_KEPT_BYTES: u32 = 64 << 20;

/// `chat`, in SQLite's header field for the program that a file belongs to.
const APPLICATION_ID: u32 = 0x6368_6174;
