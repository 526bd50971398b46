//! Connections that only are there: what each costs in memory, and all of them together in CPU time.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use crate::cli::{Durability, IdleArgs};
use crate::crowd::Crowd;
use crate::goal::Goal;
use crate::member::Task;
use crate::report::{Figures, Report, float, kib, mib};
use crate::subject::{Guests, Setup, Subject};
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// The first logins bring in code and buffers that all later ones share: so many come and go before.
const WARM_UP_LOGINS: usize = 64;

/// KiB that a connection may cost, in plaintext and with TLS.
const PLAIN_KIB: f64 = 1.5;
const TLS_KIB: f64 = 12.0;

/// Part of one processor that answering pings may take. A loop that wakes itself takes all of it.
const MAX_BUSY_PERCENT: f64 = 1.0;

/// Time after the last login in which its work ends.
const SETTLE: Duration = Duration::from_secs(1);

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
struct Idle {
    connections: usize,
    seconds: f64,
    /// Before the logins, in bytes.
    resident_before: u64,
    /// After them, in bytes.
    resident_after: u64,
    kib_per_connection: f64,
    /// CPU time while nobody did anything, in percent of one processor.
    busy_percent: f64,
}

impl Figures for Idle {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let (before, after) = (mib(self.resident_before), mib(self.resident_after));
        writeln!(out, "| connections | resident before, MiB | after, MiB | KiB each | CPU, % of one |")?;
        writeln!(out, "|--:|--:|--:|--:|--:|")?;
        let (each, busy) = (self.kib_per_connection, self.busy_percent);
        writeln!(out, "| {} | {before:.1} | {after:.1} | {each:.2} | {busy:.2} |", self.connections)
    }
}

/// Logs in without entering a room, waits, and publishes the report.
///
/// # Errors
/// Says which step failed.
pub fn run(args: &IdleArgs) -> Result<(), Failure> {
    let setup = Setup::new(&args.server)?;
    let connections = args.connections;
    raise_descriptor_limit(connections + SPARE_DESCRIPTORS)?;
    let running = Subject::Server(Durability::Full).start(&setup, Guests::Devices(connections))?;
    let warm = Crowd::gather(&running, connections.min(WARM_UP_LOGINS), Task::Wait)?;
    drop(warm);
    let resident_before = running.process.resident()?;
    let mut crowd = Crowd::gather(&running, connections, Task::Wait)?;
    crowd.rest(SETTLE)?;
    let resident_after = running.process.resident()?;
    let before = running.process.cpu()?;
    crowd.rest(Duration::from_secs_f64(args.seconds))?;
    let busy = running.process.cpu()?.since(&before).total;
    drop(crowd);
    running.stop()?;

    let grown = resident_after.saturating_sub(resident_before);
    let figures = Idle {
        connections,
        seconds: args.seconds,
        resident_before,
        resident_after,
        kib_per_connection: kib(grown) / float(connections as u64),
        busy_percent: busy.as_secs_f64() / args.seconds * 100.0,
    };
    let (security, most) = if setup.tls { ("TLS", TLS_KIB) } else { ("plaintext", PLAIN_KIB) };
    let goals = vec![
        Goal::new("memory of a connection", format!("{most} KiB"), most, figures.kib_per_connection, "KiB"),
        Goal::new("CPU while idle", "nearly none", MAX_BUSY_PERCENT, figures.busy_percent, "%"),
    ];
    let load = format!(
        "{connections} connections, logged in, in no room, {security}; then {} s of silence.",
        args.seconds
    );
    Report::new(load, figures, goals).publish(args.server.json.as_deref())
}
