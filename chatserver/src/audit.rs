//! The `audit` command: who changed what in the rooms, and why.

use std::io::{self, Write as _};

use chatproto::wire::escaped;
use jiff::Timestamp;

use crate::cli::AuditArgs;
use crate::exit::Failure;
use crate::settings;
use crate::store::{AuditRow, DataDir, audit};

/// Prints the latest lines of the audit log, oldest first.
///
/// # Errors
/// Says what is wrong with the data directory.
pub fn run(args: &AuditArgs) -> Result<(), Failure> {
    let dir = settings::data_dir(&args.data)?;
    if !dir.is_dir() {
        return Err(Failure::NotFound(format!("there is no data directory {}", dir.display())));
    }
    let dir = DataDir::open(dir).map_err(Failure::said)?;
    let lines = audit(&dir, args.room.as_deref(), args.limit).map_err(Failure::said)?;
    let mut out = io::stdout().lock();
    for line in &lines {
        writeln!(out, "{}", escaped(&shown(line))).map_err(|error| Failure::new("standard output", error))?;
    }
    Ok(())
}

/// One line: when (RFC 3339), where, who, what, to whom, for how long, why. A `*` stands for the server and for whoever
/// runs it.
fn shown(line: &AuditRow) -> String {
    let AuditRow { id: _, time_ms, room, by, action, user, seconds, note } = line;
    let room = if room.is_empty() { "*" } else { room };
    let by = by.as_deref().unwrap_or("*");
    let mut shown = format!("{} {room} {by} {action}", timestamp(*time_ms));
    if let Some(user) = user {
        shown += &format!(" {user}");
    }
    if *seconds > 0 {
        shown += &format!(" for {seconds} s");
    }
    if !note.is_empty() {
        shown += &format!(": {note}");
    }
    shown
}

/// What no calendar holds becomes the last moment of one.
fn timestamp(millis: u64) -> String {
    let time = i64::try_from(millis).ok().and_then(|millis| Timestamp::from_millisecond(millis).ok());
    format!("{:.3}", time.unwrap_or(Timestamp::MAX))
}
