//! The `audit` command: who changed what in the rooms, and why.

use std::io::{self, Write as _};

use chatproto::wire::escaped;

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

/// One line: when (Unix seconds), where, who, what, to whom, for how long, why.
fn shown(line: &AuditRow) -> String {
    let AuditRow { time_ms, room, by, action, user, seconds, note } = line;
    let mut shown = format!("{}.{:03} {room} {by} {action}", time_ms / 1_000, time_ms % 1_000);
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
