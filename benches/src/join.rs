//! Many people enter one room at once and leave it again. Everybody keeps a list of who is there from what it is told; in
//! the end all lists have to be right.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::cli::{Durability, JoinArgs};
use crate::crowd::Crowd;
use crate::goal::Goal;
use crate::member::Task;
use crate::report::{Figures, Report, mib};
use crate::subject::{Guests, Setup, Subject};
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// What "within seconds" is held against, for 2,000 people.
const MAX_SECONDS: f64 = 5.0;

/// What was found.
#[derive(Clone, Copy, Debug, Serialize)]
struct Joined {
    members: usize,
    stay: usize,
    /// Until all were logged in, in seconds.
    login_seconds: f64,
    /// From the first join until everybody was in and knew exactly who is there, in seconds.
    join_seconds: f64,
    /// The server's CPU time for it, in seconds.
    join_cpu_seconds: f64,
    /// From the first leave until all had left and those who stayed knew exactly who is left, in seconds.
    leave_seconds: f64,
    /// Resident memory of the server when all were in, in bytes.
    resident: u64,
}

impl Figures for Joined {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { members, stay, login_seconds, join_seconds, join_cpu_seconds, leave_seconds, .. } = self;
        writeln!(
            out,
            "| members | logged in after, s | all in after, s | its CPU, s | stay | others out after, s | RSS MiB |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|")?;
        let resident = mib(self.resident);
        writeln!(
            out,
            "| {members} | {login_seconds:.2} | {join_seconds:.2} | {join_cpu_seconds:.2} | {stay} | {leave_seconds:.2} | \
             {resident:.1} |"
        )
    }
}

/// Lets everybody in and out again, and publishes the report. Whoever is dropped, refused or told wrong ends it.
///
/// # Errors
/// Says which step failed.
pub fn run(args: &JoinArgs) -> Result<(), Failure> {
    let setup = Setup::new(&args.server)?;
    let (members, stay) = (args.members, args.stay.min(args.members));
    raise_descriptor_limit(members + SPARE_DESCRIPTORS)?;
    let running = Subject::Server(Durability::Full).start(&setup, Guests::Accounts(members))?;

    let begin = Instant::now();
    let mut crowd = Crowd::gather(&running, members, Task::Wait)?;
    let logged_in = begin.elapsed();

    let (begin, cpu) = (Instant::now(), running.process.cpu()?);
    crowd.enter(0);
    crowd.agree(members)?;
    let (joined, joined_cpu) = (begin.elapsed(), running.process.cpu()?.since(&cpu).total);
    let resident = running.process.resident()?;

    let begin = Instant::now();
    crowd.leave(stay);
    crowd.agree(stay)?;
    let left = begin.elapsed();
    drop(crowd);
    running.stop()?;

    let figures = Joined {
        members,
        stay,
        login_seconds: logged_in.as_secs_f64(),
        join_seconds: joined.as_secs_f64(),
        join_cpu_seconds: joined_cpu.as_secs_f64(),
        leave_seconds: left.as_secs_f64(),
        resident,
    };
    let goal = |what: &str, time: Duration| {
        Goal::new(what, "within seconds, nobody dropped", MAX_SECONDS, time.as_secs_f64(), "s")
    };
    let goals = vec![goal("all are in and know each other", joined), goal("all others have left", left)];
    let security = if setup.tls { "TLS" } else { "plaintext" };
    let load =
        format!("{members} accounts log in with session tickets, {security}, enter one room, and leave.");
    Report::new(load, figures, goals).publish(args.server.json.as_deref())
}
