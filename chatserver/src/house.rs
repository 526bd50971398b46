//! The `room`, `ban` and `lockdown` commands. They work beside a running server, at once, and without one.

use std::io::{self, Write as _};
use std::thread;
use std::time::{Duration, Instant};

use chatproto::wire::{Action, Name, Note, Subject, escaped};

use crate::cli::{
    BanCommand, DataArg, LockdownCommand, PersonArgs, RoomArgs, RoomCommand, TermsArgs, WhomArgs,
};
use crate::control::{self, Order};
use crate::exit::Failure;
use crate::server;
use crate::settings::Settings;
use crate::store::{
    Account, Accounts, DataDir, HouseRow, RoleRow, RoomKind, RoomRow, Sanction, SanctionRow, StoreError,
    gate, rooms, unix_ms,
};

/// Longest slow mode, in seconds.
const MAX_SLOW: u32 = 3_600;

/// Time in which a server that is just starting or ending becomes one that runs or has ended.
const BETWEEN: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(50);

/// Runs one `room` command.
///
/// # Errors
/// Says what is wrong with the names, or why the room does not take it.
pub fn room(command: &RoomCommand) -> Result<(), Failure> {
    match command {
        RoomCommand::List { data } => {
            let rooms = group_rooms(data)?;
            rooms.iter().try_for_each(|room| say(&shown(room)))
        }
        RoomCommand::Show(args) => show(args),
        RoomCommand::Create { room, private, owner } => {
            if let Some(owner) = owner {
                check_account(&room.data, owner)?;
            }
            let order =
                Order::Create { room: checked(&room.room)?, owner: owner.clone(), is_private: *private };
            done(&room.data, order, &format!("created {}", room.room))
        }
        RoomCommand::Remove { room, reason } => to_room(room, Action::Remove, 0, reason, "removed"),
        RoomCommand::Topic { room, topic } => to_room(room, Action::Topic, 0, topic, "set the topic of"),
        RoomCommand::Private(room) => to_room(room, Action::Private, 0, "", "made private:"),
        RoomCommand::Public(room) => to_room(room, Action::Public, 0, "", "made public:"),
        RoomCommand::Slow { room, time } => {
            let seconds = seconds(Some(*time))?;
            if seconds > MAX_SLOW {
                return Err(Failure::Usage("slow mode is at most 1h".into()));
            }
            to_room(room, Action::Slow, seconds, "", "set slow mode of")
        }
        RoomCommand::Invite(person) => to_person(person, Action::Invite, None, ""),
        RoomCommand::Op(person) => to_person(person, Action::Op, None, ""),
        RoomCommand::Deop(person) => to_person(person, Action::Deop, None, ""),
        RoomCommand::Owner(person) => to_person(person, Action::Owner, None, ""),
        RoomCommand::Kick { person, reason } => to_person(person, Action::Kick, None, reason),
        RoomCommand::Mute { person, terms } => to_person(person, Action::Mute, terms.time, &terms.reason),
        RoomCommand::Unmute(person) => to_person(person, Action::Unmute, None, ""),
        RoomCommand::Ban { whom, address, terms } => {
            let action = if *address { Action::BanAddress } else { Action::Ban };
            to_whom(whom, [action, Action::BanNetwork], terms.time, &terms.reason)
        }
        RoomCommand::Unban(whom) => to_whom(whom, [Action::Unban, Action::UnbanNetwork], None, ""),
    }
}

/// Runs one `ban` command.
///
/// # Errors
/// Says what is wrong with the subject, or why it is not done.
pub fn ban(command: &BanCommand) -> Result<(), Failure> {
    match command {
        BanCommand::Add { subject, terms: TermsArgs { time, reason }, data } => {
            let subject = checked_subject(subject)?;
            if let Subject::User(name) = &subject {
                check_account(data, name.as_str())?;
            }
            let shown = subject.as_written();
            let (seconds, note) = (seconds(*time)?, checked_note(reason)?);
            let order = Order::Server { action: Action::Ban, subject: Some(shown.clone()), seconds, note };
            done(data, order, &format!("banned {shown}"))
        }
        BanCommand::List { data } => {
            let dir = existing(data)?;
            let gate = gate(&dir).map_err(Failure::said)?;
            let now_ms = unix_ms();
            let lines = gate.bans.iter().filter_map(|ban| sanction(ban, now_ms));
            lines.into_iter().try_for_each(|line| say(&line))
        }
        BanCommand::Remove { subject, data } => {
            let shown = checked_subject(subject)?.as_written();
            let (subject, note) = (Some(shown.clone()), String::new());
            let order = Order::Server { action: Action::Unban, subject, seconds: 0, note };
            done(data, order, &format!("let {shown} in again"))
        }
    }
}

/// Runs one `lockdown` command.
///
/// # Errors
/// Says why it is not done.
pub fn lockdown(command: &LockdownCommand) -> Result<(), Failure> {
    let order = |action, note| Order::Server { action, subject: None, seconds: 0, note };
    match command {
        LockdownCommand::On { hush, reason, data } => {
            let action = if *hush { Action::Hush } else { Action::Lockdown };
            done(data, order(action, checked_note(reason)?), "lockdown is on")
        }
        LockdownCommand::Off { data } => done(data, order(Action::Unlock, String::new()), "lockdown is off"),
        LockdownCommand::Status { data } => {
            let dir = existing(data)?;
            let what = match gate(&dir).map_err(Failure::said)?.lockdown {
                None => "lockdown is off".to_owned(),
                Some((hushed, reason)) => {
                    let more = if hushed { ", only administrators may speak" } else { "" };
                    let reason = if reason.is_empty() { reason } else { format!(": {reason}") };
                    format!("lockdown is on{more}{reason}")
                }
            };
            say(&what)
        }
    }
}

/// Has a running server look which accounts are gone; without one there is nothing to do.
///
/// # Errors
/// When a server runs and cannot be told.
pub(crate) fn forget(data: &DataArg) -> Result<(), Failure> {
    carry_out(data, Order::Forget {})
}

fn to_room(room: &RoomArgs, action: Action, seconds: u32, note: &str, did: &str) -> Result<(), Failure> {
    let (name, note) = (checked(&room.room)?, checked_note(note)?);
    let order = Order::Room { room: name, action, user: None, network: None, seconds, note };
    done(&room.data, order, &format!("{did} {}", room.room))
}

fn to_person(
    person: &PersonArgs,
    action: Action,
    time: Option<Duration>,
    reason: &str,
) -> Result<(), Failure> {
    let PersonArgs { room, user, data } = person;
    let (name, user, note) = (checked(room)?, checked(user)?, checked_note(reason)?);
    // What was noted about an account ended with it.
    let is_admin = check_account(data, &user)?.admin;
    if is_admin && matches!(action, Action::Ban | Action::BanAddress) {
        return Err(Failure::Said(format!(
            "no ban holds for administrators of the server, and {user} is one"
        )));
    }
    let done_to = format!("{}: {} {user}", name, action.name());
    let seconds = seconds(time)?;
    done(data, Order::Room { room: name, action, user: Some(user), network: None, seconds, note }, &done_to)
}

/// To an account or to a network, each with its action.
fn to_whom(
    whom: &WhomArgs,
    [of_account, of_network]: [Action; 2],
    time: Option<Duration>,
    reason: &str,
) -> Result<(), Failure> {
    let WhomArgs { room, subject, data } = whom;
    match checked_subject(subject)? {
        Subject::User(user) => {
            let (room, user, data) = (room.clone(), user.as_str().to_owned(), data.clone());
            to_person(&PersonArgs { room, user, data }, of_account, time, reason)
        }
        Subject::Network(_) if of_account == Action::BanAddress => {
            Err(Failure::Usage("--address goes with an account".into()))
        }
        Subject::Network(network) => {
            let (room, note, seconds) = (checked(room)?, checked_note(reason)?, seconds(time)?);
            let what = format!("{room}: {} {network}", of_network.name());
            let (action, network) = (of_network, Some(network.to_string()));
            done(data, Order::Room { room, action, user: None, network, seconds, note }, &what)
        }
    }
}

fn done(data: &DataArg, order: Order, what: &str) -> Result<(), Failure> {
    carry_out(data, order)?;
    say(what)
}

/// Has the server that runs on the data directory do it, or does it where none runs.
fn carry_out(data: &DataArg, order: Order) -> Result<(), Failure> {
    let dir = existing(data)?;
    let deadline = Instant::now() + BETWEEN;
    loop {
        match dir.clone().lock() {
            Ok(lock) => return server::offline(lock, &Settings::of_data(data)?, order),
            Err(StoreError::InUse { .. }) => {}
            Err(error) => return Err(Failure::said(error)),
        }
        match control::ask(dir.path(), &order) {
            Ok(answer) => return answer.error.map_or(Ok(()), |error| Err(Failure::Said(error))),
            Err(error) if Instant::now() >= deadline => {
                return Err(Failure::new("the running server cannot be asked", error));
            }
            // It has the lock and not yet its socket, or not any more.
            Err(_) => thread::sleep(RETRY),
        }
    }
}

fn show(args: &RoomArgs) -> Result<(), Failure> {
    let wanted = checked(&args.room)?;
    let rooms = group_rooms(&args.data)?;
    let Some(room) = rooms.iter().find(|room| room.name == wanted) else {
        return Err(Failure::NotFound(format!("there is no room {wanted}")));
    };
    say(&shown(room))?;
    for (user, role) in &room.house.roles {
        say(&format!("{} {user}", role_name(*role)))?;
    }
    let now_ms = unix_ms();
    for line in room.house.sanctions.iter().filter_map(|row| sanction(row, now_ms)) {
        say(&line)?;
    }
    for (row, with) in &room.house.networks {
        let with = with.as_ref().map_or_else(String::new, |user| format!(" (with {user})"));
        if let Some(line) = sanction(row, now_ms) {
            say(&format!("{line}{with}"))?;
        }
    }
    Ok(())
}

/// One line: name, what it is, how many messages, who owns it, the topic.
fn shown(room: &RoomRow) -> String {
    let RoomRow { name, topic, last_seq, house, .. } = room;
    let HouseRow { is_private, slow_s, roles, .. } = house;
    let kind = if *is_private { "private" } else { "public" };
    let mut line = format!("{name} {kind} messages={last_seq}");
    if let Some((owner, _)) = roles.iter().find(|(_, role)| *role == RoleRow::Owner) {
        line += &format!(" owner={owner}");
    }
    if *slow_s > 0 {
        line += &format!(" slow={slow_s}s");
    }
    if !topic.is_empty() {
        line += &format!(": {topic}");
    }
    line
}

/// One line; nothing of what has run out.
fn sanction(row: &SanctionRow, now_ms: u64) -> Option<String> {
    let SanctionRow { subject, kind, until_ms, note } = row;
    let kind = match kind {
        Sanction::Mute => "mute",
        Sanction::Ban => "ban",
    };
    let subject = subject.strip_prefix('@').unwrap_or(subject);
    let mut line = format!("{kind} {subject}");
    if let Some(until_ms) = until_ms {
        let left_s = until_ms.saturating_sub(now_ms).div_ceil(1_000);
        if left_s == 0 {
            return None;
        }
        line += &format!(" for another {left_s} s");
    }
    if !note.is_empty() {
        line += &format!(": {note}");
    }
    Some(line)
}

fn role_name(role: RoleRow) -> &'static str {
    match role {
        RoleRow::Member => "member",
        RoleRow::Operator => "operator",
        RoleRow::Owner => "owner",
    }
}

fn group_rooms(data: &DataArg) -> Result<Vec<RoomRow>, Failure> {
    let mut rooms = rooms(&existing(data)?).map_err(Failure::said)?;
    rooms.retain(|room| room.kind == RoomKind::Group);
    rooms.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(rooms)
}

/// Nobody is in a directory that is not there: making it would only hide that its name is wrong.
fn existing(data: &DataArg) -> Result<DataDir, Failure> {
    let dir = crate::settings::data_dir(data)?;
    if !dir.is_dir() {
        return Err(Failure::NotFound(format!("there is no data directory {}", dir.display())));
    }
    DataDir::open(dir).map_err(Failure::said)
}

fn check_account(data: &DataArg, user: &str) -> Result<Account, Failure> {
    let user = checked(user)?;
    let accounts = Accounts::open(&existing(data)?).map_err(Failure::said)?;
    let account = accounts.lookup(&user).map_err(Failure::said)?;
    account.ok_or_else(|| Failure::NotFound(format!("there is no account `{user}`")))
}

fn checked(name: &str) -> Result<String, Failure> {
    Name::new(name)
        .map(|name| name.as_str().to_owned())
        .map_err(|error| Failure::Usage(format!("`{}` is no name: {error}", escaped(name))))
}

fn checked_note(text: &str) -> Result<String, Failure> {
    Note::new(text)
        .map(|note| note.as_str().to_owned())
        .map_err(|error| Failure::Usage(format!("`{}` is not allowed: {error}", escaped(text))))
}

fn checked_subject(text: &str) -> Result<Subject, Failure> {
    text.parse().map_err(|error| Failure::Usage(format!("`{}`: {error}", escaped(text))))
}

/// 0 until it is lifted.
fn seconds(time: Option<Duration>) -> Result<u32, Failure> {
    let seconds = time.map_or(0, |time| time.as_secs());
    u32::try_from(seconds).map_err(|_| Failure::Usage("this is too long a time".into()))
}

fn say(line: &str) -> Result<(), Failure> {
    writeln!(io::stdout(), "{}", escaped(line)).map_err(|error| Failure::new("standard output", error))
}
