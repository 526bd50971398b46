//! Who may do what in a room and on the server.

use rusqlite::{Connection, OptionalExtension as _, Row};

use super::{
    append::Write,
    audit::Line,
    data_dir::DataDir,
    error::StoreError,
    removed, rows,
    rows::{PAIR_SEPARATOR, RoomKind},
};

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
#[derive(Debug, Clone, PartialEq, Eq)]
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
    /// As a ban, and nobody enters from these networks.
    BanWith(Box<[String]>),
    /// The person may do it again.
    Lift(Sanction),
    /// Nobody enters from these networks until the time has passed.
    BarNetworks(Box<[String]>),
    /// That is lifted.
    UnbarNetworks(Box<[String]>),
    /// The person keeps order no more; in a private room they stay let in.
    Demote,
    /// The person owns the room, free of mutes and bans; who owned it keeps order.
    Own,
    /// Only those with a role see and enter the room; these people are let in.
    Close(Box<[String]>),
    /// Everybody sees and enters the room.
    Open,
    /// The room is gone, but for its messages and its number.
    Remove,
}

/// What a change of the whole server changes in the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateChange {
    /// The subject is kept out until the time has passed.
    Bar,
    /// The subject is let in again.
    Unbar,
    /// Only administrators log in, and maybe only they speak.
    Lock {
        /// Only administrators speak.
        hushed: bool,
    },
    /// Everybody logs in again.
    Unlock,
}

/// Something that somebody may not do, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SanctionRow {
    /// Who: a person's name; of the server, a network, or an account with an `@` before its name.
    pub subject: String,
    /// What.
    pub kind: Sanction,
    /// Until when in Unix milliseconds; `None` until it is lifted. It may have run out.
    pub until_ms: Option<u64>,
    /// Why; may be empty.
    pub note: String,
}

/// What holds for the whole server, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GateRow {
    /// Who is kept out.
    pub bans: Vec<SanctionRow>,
    /// The lockdown: whether only administrators speak, and why.
    pub lockdown: Option<(bool, String)>,
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
    /// Who may not do what.
    pub sanctions: Vec<SanctionRow>,
    /// From which networks nobody enters, each a ban whose subject is the network, and with whose ban.
    pub networks: Vec<(SanctionRow, Option<String>)>,
}

/// The removed account, if there is one, that a write would note something about. The trigger took away what was noted
/// before, and what comes later would be the next one's who gets the name.
pub(super) fn gone(conn: &Connection, write: &Write) -> Result<Option<String>, rusqlite::Error> {
    let people: Vec<&str> = match write {
        Write::CreateRoom { kind: RoomKind::Direct, name, .. } => name.split(PAIR_SEPARATOR).collect(),
        Write::Moderate { change, user, .. } => match &**change {
            HouseChange::Admit
            | HouseChange::Role(Some(_))
            | HouseChange::Impose(_)
            | HouseChange::BanWith(_)
            | HouseChange::Demote
            | HouseChange::Own => user.as_deref().into_iter().collect(),
            HouseChange::Close(people) => people.iter().map(String::as_str).collect(),
            HouseChange::Topic
            | HouseChange::Slow
            | HouseChange::Role(None)
            | HouseChange::Dismiss
            | HouseChange::Lift(_)
            | HouseChange::BarNetworks(_)
            | HouseChange::UnbarNetworks(_)
            | HouseChange::Open
            | HouseChange::Remove => Vec::new(),
        },
        Write::Govern { change: GateChange::Bar, subject, .. } => {
            subject.as_deref().and_then(|subject| subject.strip_prefix('@')).into_iter().collect()
        }
        Write::Govern { .. }
        | Write::CreateRoom { .. }
        | Write::Append { .. }
        | Write::Recall { .. }
        | Write::Number { .. }
        | Write::Retire { .. }
        | Write::KeepTicket { .. } => Vec::new(),
    };
    for name in people {
        if removed::is_gone(conn, name)? {
            return Ok(Some(name.to_owned()));
        }
    }
    Ok(None)
}

/// Writes a [`Write::Moderate`] and its line; `false` for any other write and for a room that does not exist.
pub(super) fn moderate(conn: &Connection, write: &Write, now_ms: u64) -> Result<bool, rusqlite::Error> {
    let Write::Moderate { room, by, action, change, user, seconds, note, .. } = write else {
        return Ok(false);
    };
    let name = conn
        .prepare_cached("SELECT name FROM rooms WHERE id = ?1 AND kind <> 2")?
        .query_row([room], |row| row.get::<_, String>(0))
        .optional()?;
    let Some(name) = name else { return Ok(false) };
    let subject = user.as_deref().unwrap_or_default();
    change_room(conn, *room, change, subject, *seconds, note, now_ms)?;
    let line = Line { room: *room, room_name: &name, by: by.as_deref(), action, user: user.as_deref() };
    line.write(conn, *seconds, note, now_ms)?;
    Ok(true)
}

/// As the hub's `House::apply` changes what it has in memory.
fn change_room(
    conn: &Connection,
    room: u32,
    change: &HouseChange,
    user: &str,
    seconds: u32,
    note: &str,
    now_ms: u64,
) -> Result<(), rusqlite::Error> {
    let run =
        |sql: &str, values: &[&dyn rusqlite::ToSql]| conn.prepare_cached(sql)?.execute(values).map(drop);
    match change {
        HouseChange::Topic => run("UPDATE rooms SET topic = ?2 WHERE id = ?1", &[&room, &note]),
        HouseChange::Slow => run("UPDATE rooms SET slow_s = ?2 WHERE id = ?1", &[&room, &seconds]),
        HouseChange::Admit => run(ADMIT, &[&room, &user]),
        HouseChange::Role(Some(role)) => set_role(conn, room, user, *role),
        HouseChange::Role(None) => {
            run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2", &[&room, &user])
        }
        HouseChange::Dismiss => {
            run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2 AND role = 'member'", &[&room, &user])
        }
        HouseChange::BanWith(networks) => {
            let ban = HouseChange::Impose(Sanction::Ban);
            change_room(conn, room, &ban, user, seconds, note, now_ms)?;
            let until_ms = until_ms(now_ms, seconds);
            networks.iter().try_for_each(|network| run(BAR, &[&room, network, &user, &until_ms, &note]))
        }
        HouseChange::BarNetworks(networks) => {
            let until_ms = until_ms(now_ms, seconds);
            run(EXPIRE_NETWORKS, &[&room, &rows::to_i64(now_ms)])?;
            networks.iter().try_for_each(|network| run(BAR, &[&room, network, &"", &until_ms, &note]))
        }
        HouseChange::UnbarNetworks(networks) => {
            const UNBAR: &str = "DELETE FROM room_networks WHERE room = ?1 AND network = ?2 AND user = ''";
            networks.iter().try_for_each(|network| run(UNBAR, &[&room, network]))
        }
        HouseChange::Impose(sanction) => {
            if *sanction == Sanction::Ban {
                run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2", &[&room, &user])?;
                run(LIFT_NETWORKS, &[&room, &user])?;
                run(EXPIRE_NETWORKS, &[&room, &rows::to_i64(now_ms)])?;
            }
            run(
                "DELETE FROM room_sanctions WHERE room = ?1 AND until_ms <= ?2",
                &[&room, &rows::to_i64(now_ms)],
            )?;
            run(
                "INSERT OR REPLACE INTO room_sanctions(room, user, kind, until_ms, note)
                    VALUES (?1, ?2, ?3, ?4, ?5)",
                &[&room, &user, &sanction.name(), &until_ms(now_ms, seconds), &note],
            )
        }
        HouseChange::Lift(sanction) => {
            if *sanction == Sanction::Ban {
                run(LIFT_NETWORKS, &[&room, &user])?;
            }
            run(
                "DELETE FROM room_sanctions WHERE room = ?1 AND user = ?2 AND kind = ?3",
                &[&room, &user, &sanction.name()],
            )
        }
        HouseChange::Demote => {
            run("DELETE FROM room_roles WHERE room = ?1 AND user = ?2", &[&room, &user])?;
            run(
                "INSERT INTO room_roles(room, user, role)
                    SELECT id, ?2, 'member' FROM rooms WHERE id = ?1 AND private = 1",
                &[&room, &user],
            )
        }
        HouseChange::Own => {
            run("UPDATE room_roles SET role = 'operator' WHERE room = ?1 AND role = 'owner'", &[&room])?;
            run("DELETE FROM room_sanctions WHERE room = ?1 AND user = ?2", &[&room, &user])?;
            run(LIFT_NETWORKS, &[&room, &user])?;
            set_role(conn, room, user, RoleRow::Owner)
        }
        HouseChange::Close(people) => {
            run("UPDATE rooms SET private = 1 WHERE id = ?1", &[&room])?;
            people.iter().try_for_each(|user| run(ADMIT, &[&room, user]))
        }
        HouseChange::Open => {
            run("UPDATE rooms SET private = 0 WHERE id = ?1", &[&room])?;
            run("DELETE FROM room_roles WHERE room = ?1 AND role = 'member'", &[&room])
        }
        HouseChange::Remove => {
            run("DELETE FROM room_roles WHERE room = ?1", &[&room])?;
            run("DELETE FROM room_sanctions WHERE room = ?1", &[&room])?;
            run("DELETE FROM room_networks WHERE room = ?1", &[&room])?;
            run("UPDATE rooms SET kind = 2, name = name || '/' || id, topic = '' WHERE id = ?1", &[&room])
        }
    }
}

/// Ends a conversation as the trigger does when an account is removed.
pub(super) fn retire(
    conn: &Connection,
    room: u32,
    gone: &str,
    keeper: Option<&str>,
) -> Result<(), rusqlite::Error> {
    const RETIRE: &str = "UPDATE rooms SET kind = ?2, name = ?3 WHERE id = ?1 AND kind IN (1, 3)";
    let (kind, name) = match keeper {
        Some(keeper) => (RoomKind::Former.number(), format!("{keeper}/{gone}/{room}")),
        None => (REMOVED, format!("{gone}/{gone}/{room}")),
    };
    conn.prepare_cached(RETIRE)?.execute((room, kind, name)).map(drop)
}

/// The kind of a room that is gone.
const REMOVED: u8 = 2;

/// Writes a [`Write::Govern`] and its line.
pub(super) fn govern(conn: &Connection, write: &Write, now_ms: u64) -> Result<(), rusqlite::Error> {
    let Write::Govern { by, action, change, subject, seconds, note, .. } = write else { return Ok(()) };
    let run =
        |sql: &str, values: &[&dyn rusqlite::ToSql]| conn.prepare_cached(sql)?.execute(values).map(drop);
    match change {
        GateChange::Bar => {
            run("DELETE FROM server_bans WHERE until_ms <= ?1", &[&rows::to_i64(now_ms)])?;
            run(
                "INSERT OR REPLACE INTO server_bans(subject, until_ms, note) VALUES (?1, ?2, ?3)",
                &[subject, &until_ms(now_ms, *seconds), note],
            )?;
        }
        GateChange::Unbar => run("DELETE FROM server_bans WHERE subject = ?1", &[subject])?,
        GateChange::Lock { hushed } => {
            run("INSERT OR REPLACE INTO lockdown(id, hushed, note) VALUES (1, ?1, ?2)", &[hushed, note])?;
        }
        GateChange::Unlock => run("DELETE FROM lockdown", &[])?,
    }
    let line = Line { room: 0, room_name: "", by: by.as_deref(), action, user: subject.as_deref() };
    line.write(conn, *seconds, note, now_ms)
}

/// What holds for the whole server. Works beside a running server.
///
/// # Errors
///
/// [`StoreError`] when the database cannot be opened or read.
pub fn gate(dir: &DataDir) -> Result<GateRow, StoreError> {
    let conn = dir.connect_read_only()?;
    load_gate(&conn).map_err(StoreError::database(&dir.database()))
}

/// What holds for the whole server.
pub(super) fn load_gate(conn: &Connection) -> Result<GateRow, rusqlite::Error> {
    let bans = conn
        .prepare("SELECT subject, until_ms, note FROM server_bans ORDER BY subject")?
        .query_map([], |row| {
            Ok(SanctionRow {
                subject: row.get(0)?,
                kind: Sanction::Ban,
                until_ms: optional_ms(row, 1)?,
                note: row.get(2)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let lockdown = conn
        .query_row("SELECT hushed, note FROM lockdown", [], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(GateRow { bans, lockdown })
}

fn until_ms(now_ms: u64, seconds: u32) -> Option<i64> {
    (seconds != 0).then(|| rows::to_i64(now_ms.saturating_add(u64::from(seconds) * 1_000)))
}

fn optional_ms(row: &Row<'_>, column: usize) -> Result<Option<u64>, rusqlite::Error> {
    let ms: Option<i64> = row.get(column)?;
    Ok(ms.map(|ms| u64::try_from(ms).unwrap_or(0)))
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
            "SELECT user, kind, until_ms, note FROM room_sanctions WHERE room = ?1 ORDER BY user, kind",
        )?
        .query_map([room], |row| {
            Ok(SanctionRow {
                subject: row.get(0)?,
                kind: Sanction::named(&row.get::<_, String>(1)?),
                until_ms: optional_ms(row, 2)?,
                note: row.get(3)?,
            })
        })?
        .collect::<Result<_, _>>()?;
    let networks = conn
        .prepare_cached(
            "SELECT network, user, until_ms, note FROM room_networks WHERE room = ?1 ORDER BY network, user",
        )?
        .query_map([room], |row| {
            let (kind, user) = (Sanction::Ban, row.get::<_, String>(1)?);
            let ban =
                SanctionRow { subject: row.get(0)?, kind, until_ms: optional_ms(row, 2)?, note: row.get(3)? };
            Ok((ban, Some(user).filter(|user| !user.is_empty())))
        })?
        .collect::<Result<_, _>>()?;
    Ok(HouseRow { is_private, slow_s, roles, sanctions, networks })
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

const BAR: &str = "INSERT OR REPLACE INTO room_networks(room, network, user, until_ms, note)
    VALUES (?1, ?2, ?3, ?4, ?5)";

const LIFT_NETWORKS: &str = "DELETE FROM room_networks WHERE room = ?1 AND user = ?2";

const EXPIRE_NETWORKS: &str = "DELETE FROM room_networks WHERE room = ?1 AND until_ms <= ?2";

const ADMIT: &str =
    "INSERT INTO room_roles(room, user, role) VALUES (?1, ?2, 'member') ON CONFLICT DO NOTHING";
