//! Who may do what in a room, and the audit log of how that came about.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{append::Write, data_dir::DataDir, error::StoreError, rows};

/// What somebody is in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RoleRow {
    /// Let into a private room.
    Member,
    /// Keeps order.
    Operator,
    /// Made the room.
    Owner,
}

/// What somebody may not do for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sanction {
    /// Speak.
    Mute,
    /// Enter.
    Ban,
}

/// What a moderation changes in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HouseChange {
    /// The topic becomes the note.
    Topic,
    /// The room waits so many seconds between two messages of one person.
    Slow,
    /// The person has this role, if they have none.
    Admit,
    /// The person has this role, or none.
    Role(Option<RoleRow>),
    /// Who was only let in is so no more.
    Dismiss,
    /// The person may not do something until the time has passed; a ban takes their role.
    Impose(Sanction),
    /// The person may do it again.
    Lift(Sanction),
}

/// The order of a room as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HouseRow {
    /// Whether only those with a role see and enter it.
    pub is_private: bool,
    /// Seconds between two messages of one person; 0 for none.
    pub slow_s: u32,
    /// Those who are more than present.
    pub roles: Vec<(String, RoleRow)>,
    /// Who may not do what, until when in Unix milliseconds; `None` until it is lifted. Some may have run out.
    pub sanctions: Vec<(String, Sanction, Option<u64>)>,
}

/// One line of the audit log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditRow {
    /// When, in Unix milliseconds.
    pub time_ms: u64,
    /// The name of the room, or its number if it is gone.
    pub room: String,
    /// Who did it.
    pub by: String,
    /// What.
    pub action: String,
    /// To whom.
    pub user: Option<String>,
    /// For how long, in seconds; 0 where there is no time or no end.
    pub seconds: u32,
    /// The reason, or the topic; may be empty.
    pub note: String,
}

/// The latest lines of the audit log, oldest first; only those of one room if it is named. Works beside a running server.
///
/// # Errors
///
/// [`StoreError`] when the database cannot be opened or read.
pub fn audit(dir: &DataDir, room: Option<&str>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
    let conn = dir.connect()?;
    read_audit(&conn, room, limit).map_err(StoreError::database(&dir.database()))
}

fn read_audit(conn: &Connection, room: Option<&str>, limit: u32) -> Result<Vec<AuditRow>, rusqlite::Error> {
    let mut select = conn.prepare(AUDIT)?;
    let mut lines = select.query_map((room, limit), line)?.collect::<Result<Vec<_>, _>>()?;
    lines.reverse();
    Ok(lines)
}

fn line(row: &Row<'_>) -> Result<AuditRow, rusqlite::Error> {
    Ok(AuditRow {
        time_ms: rows::unsigned(row, 0)?,
        room: row.get(1)?,
        by: row.get(2)?,
        action: row.get(3)?,
        user: row.get(4)?,
        seconds: row.get(5)?,
        note: row.get(6)?,
    })
}

/// Writes a [`Write::Moderate`] and its line; `false` for any other write and for a room that does not exist.
pub(super) fn moderate(conn: &Connection, write: &Write, now_ms: u64) -> Result<bool, rusqlite::Error> {
    let Write::Moderate { room, by, action, change, user, seconds, note, .. } = write else {
        return Ok(false);
    };
    let is_there = conn
        .prepare_cached("SELECT 1 FROM rooms WHERE id = ?1")?
        .query_row([room], |_| Ok(()))
        .optional()?
        .is_some();
    if !is_there {
        return Ok(false);
    }
    let until_ms = (*seconds != 0).then(|| rows::to_i64(now_ms.saturating_add(u64::from(*seconds) * 1_000)));
    let run = |sql: &str, values: &[&dyn rusqlite::ToSql]| conn.prepare_cached(sql)?.execute(values);
    let user_name = user.as_deref().unwrap_or_default();
    match change {
        HouseChange::Topic => run("UPDATE rooms SET topic = ?2 WHERE id = ?1", &[room, note])?,
        HouseChange::Slow => run("UPDATE rooms SET slow_s = ?2 WHERE id = ?1", &[room, seconds])?,
        HouseChange::Admit => run(
            "INSERT INTO room_roles(room, user, role) VALUES (?1, ?2, 'member') ON CONFLICT DO NOTHING",
            &[room, &user_name],
        )?,
        HouseChange::Role(Some(role)) => {
            set_role(conn, *room, user_name, *role)?;
            0
        }
        HouseChange::Role(None) => {
            run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2", &[room, &user_name])?
        }
        HouseChange::Dismiss => run(
            "DELETE FROM room_roles WHERE room = ?1 AND user = ?2 AND role = 'member'",
            &[room, &user_name],
        )?,
        HouseChange::Impose(sanction) => {
            if *sanction == Sanction::Ban {
                run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2", &[room, &user_name])?;
            }
            run(
                "INSERT OR REPLACE INTO room_sanctions(room, user, kind, until_ms) VALUES (?1, ?2, ?3, ?4)",
                &[room, &user_name, &sanction.name(), &until_ms],
            )?
        }
        HouseChange::Lift(sanction) => run(
            "DELETE FROM room_sanctions WHERE room = ?1 AND user = ?2 AND kind = ?3",
            &[room, &user_name, &sanction.name()],
        )?,
    };
    run(
        "INSERT INTO audit(time_ms, room, by_user, action, user, seconds, note)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &[&rows::to_i64(now_ms), room, by, action, user, seconds, note],
    )?;
    Ok(true)
}

/// Gives somebody a role in a room.
pub(super) fn set_role(
    conn: &Connection,
    room: u32,
    user: &str,
    role: RoleRow,
) -> Result<(), rusqlite::Error> {
    conn.prepare_cached("INSERT OR REPLACE INTO room_roles(room, user, role) VALUES (?1, ?2, ?3)")?
        .execute((room, user, role.name()))
        .map(drop)
}

/// The order of one room.
pub(super) fn load(
    conn: &Connection,
    room: u32,
    is_private: bool,
    slow_s: u32,
) -> Result<HouseRow, rusqlite::Error> {
    let roles = conn
        .prepare_cached("SELECT user, role FROM room_roles WHERE room = ?1 ORDER BY user")?
        .query_map([room], |row| Ok((row.get(0)?, RoleRow::named(&row.get::<_, String>(1)?))))?
        .collect::<Result<_, _>>()?;
    let sanctions = conn
        .prepare_cached(
            "SELECT user, kind, until_ms FROM room_sanctions WHERE room = ?1 ORDER BY user, kind",
        )?
        .query_map([room], |row| {
            let until: Option<i64> = row.get(2)?;
            let kind = Sanction::named(&row.get::<_, String>(1)?);
            Ok((row.get(0)?, kind, until.map(|until| u64::try_from(until).unwrap_or(0))))
        })?
        .collect::<Result<_, _>>()?;
    Ok(HouseRow { is_private, slow_s, roles, sanctions })
}

impl RoleRow {
    fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Operator => "operator",
            Self::Owner => "owner",
        }
    }

    /// The table lets no other name in.
    fn named(name: &str) -> Self {
        match name {
            "owner" => Self::Owner,
            "operator" => Self::Operator,
            _ => Self::Member,
        }
    }
}

impl Sanction {
    fn name(self) -> &'static str {
        match self {
            Self::Mute => "mute",
            Self::Ban => "ban",
        }
    }

    /// The table lets no other name in.
    fn named(name: &str) -> Self {
        if name == "ban" { Self::Ban } else { Self::Mute }
    }
}

const AUDIT: &str =
    "SELECT audit.time_ms, coalesce(rooms.name, audit.room), by_user, action, user, seconds, note
    FROM audit LEFT JOIN rooms ON rooms.id = audit.room
    WHERE ?1 IS NULL OR rooms.name = ?1
    ORDER BY audit.id DESC LIMIT ?2";
