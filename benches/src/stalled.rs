//! A member that stops reading while messages pass: what it costs the server in memory and the others in latency, and
//! whether it gets everything, in order, when it reads again. Each time the same is run without it.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use chatproto::conn::Limits;
use serde::Serialize;

use crate::cli::StalledArgs;
use crate::crowd::{Crowd, Speech};
use crate::goal::Goal;
use crate::latency::Histogram;
use crate::member::Task;
use crate::plan::{Load, Pace};
use crate::report::{Figures, Latency, Report, float, kib, middle};
use crate::subject::{Guests, Running, Setup, Subject};
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// What may wait for a reader beyond its queue bound, in bytes: what one turn of a room holds (the hub's `page_bytes`).
const PAGE_BYTES: usize = 64 * 1024;

/// How often memory is looked at while messages pass.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);

/// How often it is looked whether those who read again have caught up.
const CATCH_UP_INTERVAL: Duration = Duration::from_millis(20);

/// Time that they have for it.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(120);

/// What is on its way to a member who has caught up: so much of a second's messages.
const NEARLY: f64 = 0.1;

/// One time with the readers that stop, and one without them.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pair {
    without: Pass,
    with: Pass,
    caught: CaughtUp,
}

/// What was measured while the messages passed.
#[derive(Clone, Copy, Debug, Serialize)]
struct Pass {
    /// Of those who read.
    latency_ms: Latency,
    /// Growth of the server's resident memory, in bytes.
    grown: u64,
    /// Bytes that waited in the server at the end, over all connections.
    queued: u64,
}

/// What was measured when they read again, while the load went on.
#[derive(Clone, Copy, Debug, Serialize)]
struct CaughtUp {
    /// Of those who had been reading all the time.
    latency_ms: Latency,
    seconds: f64,
    /// Messages that each of them got from the log, at least.
    missed: u64,
}

impl Pair {
    fn times_p50(&self) -> f64 {
        self.with.latency_ms.p50 / self.without.latency_ms.p50
    }

    fn times_p99(&self) -> f64 {
        self.with.latency_ms.p99 / self.without.latency_ms.p99
    }

    fn catch_up_times_p99(&self) -> f64 {
        self.caught.latency_ms.p99 / self.without.latency_ms.p99
    }
}

#[derive(Clone, Debug, Serialize)]
struct Stalled {
    messages: u32,
    stalled: usize,
    pairs: Vec<Pair>,
}

impl Figures for Stalled {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| run | p50 ms | p95 ms | p99 ms | max ms | server grew, KiB | waits to be sent, KiB |"
        )?;
        writeln!(out, "|---|--:|--:|--:|--:|--:|--:|")?;
        for Pair { without, with, caught } in &self.pairs {
            for (name, pass) in [("everybody reads", without), ("stalled", with)] {
                let Latency { p50, p95, p99, max } = pass.latency_ms;
                let (grown, queued) = (kib(pass.grown), kib(pass.queued));
                writeln!(
                    out,
                    "| {name} | {p50:.2} | {p95:.2} | {p99:.2} | {max:.2} | {grown:.0} | {queued:.0} |"
                )?;
            }
            let Latency { p50, p95, p99, max } = caught.latency_ms;
            let CaughtUp { seconds, missed, .. } = caught;
            let name = format!("catching up: {missed} messages in {seconds:.2} s");
            writeln!(out, "| {name} | {p50:.2} | {p95:.2} | {p99:.2} | {max:.2} | | |")?;
        }
        Ok(())
    }
}

/// Runs it as often as asked, with and without, and publishes the report.
///
/// # Errors
/// Says which step failed: also when the reader does not get everything in order.
pub fn run(args: &StalledArgs) -> Result<(), Failure> {
    let setup = Setup::new(&args.server)?;
    if args.members < args.senders.into() {
        let why = format!("{} members cannot have {} senders", args.members, args.senders);
        return Err(Failure::new("plan the load", why));
    }
    raise_descriptor_limit(args.members + args.stalled + SPARE_DESCRIPTORS)?;
    let mut pairs = Vec::new();
    for repetition in 1..=args.repeat {
        eprintln!("everybody reads: {repetition} of {}", args.repeat);
        let (without, _) = pass(args, &setup, 0)?;
        eprintln!("{} stop reading: {repetition} of {}", args.stalled, args.repeat);
        let (with, caught) = pass(args, &setup, args.stalled)?;
        pairs.push(Pair { without, with, caught });
    }
    let goals = goals(args, &pairs);
    let figures = Stalled { messages: args.messages, stalled: args.stalled, pairs };
    let load = format!(
        "{} messages of {} bytes at {} a second from {} senders to {} members, {}, {}; {} more stop reading.",
        args.messages,
        args.text,
        args.rate,
        args.senders,
        args.members,
        args.durability.name(),
        if setup.tls { "TLS" } else { "plaintext" },
        args.stalled,
    );
    Report::new(load, figures, goals).publish(args.server.json.as_deref())
}

fn pass(args: &StalledArgs, setup: &Setup, stalled: usize) -> Result<(Pass, CaughtUp), Failure> {
    let seats = args.members + stalled;
    let running = Subject::Server(args.durability).start(setup, Guests::Devices(seats))?;
    let mut crowd = Crowd::gather(&running, seats, Task::Enter)?;
    let load = Load {
        members: seats,
        senders: args.senders,
        pace: Pace::Rate(args.rate.into()),
        text_len: args.text,
        warm_up: Duration::from_secs_f64(args.warm_up),
        measured: Duration::from_secs_f64(f64::from(args.messages) / f64::from(args.rate)),
    };
    let mut speech = crowd.begin(&load);
    crowd.speak_until(Instant::now() + load.warm_up, &mut speech)?;

    (args.members..seats).for_each(|at| crowd.stall(at));
    let measured = messages_pass(args, &running, &load, &mut crowd, &mut speech)?;
    let caught = catch_up(args.members..seats, args.rate, &mut crowd, &mut speech)?;
    drop(crowd);
    running.stop()?;
    Ok((measured, caught))
}

fn messages_pass(
    args: &StalledArgs,
    running: &Running,
    load: &Load,
    crowd: &mut Crowd,
    speech: &mut Speech,
) -> Result<Pass, Failure> {
    let before = running.process.resident()?;
    let last = crowd.said() + u64::from(args.messages);
    let watch = crowd.watch(Instant::now(), Instant::now() + load.measured);
    let mut most = before;
    while crowd.said() < last {
        crowd.speak_until(Instant::now() + LOOK_INTERVAL, speech)?;
        most = most.max(running.process.resident()?);
    }
    let latency_ms = Latency::from(&crowd.watched(watch));
    Ok(Pass { latency_ms, grown: most - before, queued: running.queued_bytes()? })
}

/// Lets those who had stopped read again, with the load going on until they are nearly up to date; then everybody has to
/// have heard everything.
fn catch_up(
    seats: std::ops::Range<usize>,
    rate: u32,
    crowd: &mut Crowd,
    speech: &mut Speech,
) -> Result<CaughtUp, Failure> {
    let begin = Instant::now();
    let watch = crowd.watch(begin, begin + CATCH_UP_TIMEOUT);
    let had = seats.clone().map(|at| crowd.heard(at).0).min().unwrap_or_default();
    seats.clone().for_each(|at| crowd.resume(at));
    loop {
        let said = float(crowd.said()) - f64::from(rate) * NEARLY;
        if seats.clone().all(|at| float(crowd.heard(at).0) >= said) {
            break;
        }
        if begin.elapsed() > CATCH_UP_TIMEOUT {
            let heard = seats.clone().map(|at| crowd.heard(at).0).min().unwrap_or_default();
            let why = format!("after {} s it had {heard} of {}", CATCH_UP_TIMEOUT.as_secs(), crowd.said());
            return Err(Failure::new("wait until the reader has caught up", why));
        }
        crowd.speak_until(Instant::now() + CATCH_UP_INTERVAL, speech)?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let latency: Histogram = crowd.watched(watch);
    crowd.hear_all()?;
    seats.clone().try_for_each(|at| crowd.hear_out(at))?;
    let missed = seats.map(|at| crowd.heard(at).1).min().unwrap_or_default();
    if had > 0 && missed == 0 {
        return Err(Failure::new("stop reading", "it missed nothing: its buffers held all that passed"));
    }
    Ok(CaughtUp { latency_ms: Latency::from(&latency), seconds, missed })
}

fn goals(args: &StalledArgs, pairs: &[Pair]) -> Vec<Goal> {
    let mut goals = Vec::new();
    let mut aim = |what: &str, at_most: f64, key: fn(&Pair) -> f64| {
        if let Some(pair) = middle(pairs, key) {
            goals.push(Goal::new(what, format!("{at_most} x of the run without"), at_most, key(pair), "x"));
        }
    };
    aim("median latency of the others", 1.2, Pair::times_p50);
    aim("p99 latency of the others", 2.0, Pair::times_p99);
    aim("p99 latency of the others while it catches up", 2.0, Pair::catch_up_times_p99);
    let is_default =
        !args.server.set.iter().any(|line| line.contains("max_queue") || line.contains("page_bytes"));
    if is_default {
        let bound = kib((args.stalled * (Limits::default().max_queue + PAGE_BYTES)) as u64);
        let words = "queue bound and one page for each that stopped";
        let queued = pairs.iter().map(|pair| kib(pair.with.queued)).fold(0.0, f64::max);
        goals.push(Goal::new("waits in the server to be sent", words, bound, queued, "KiB"));
        let growth = |pair: &Pair| kib(pair.with.grown) - kib(pair.without.grown);
        if let Some(pair) = middle(pairs, growth) {
            goals.push(Goal::new(
                "growth of the server beyond the run without",
                words,
                bound,
                growth(pair),
                "KiB",
            ));
        }
    }
    goals
}
