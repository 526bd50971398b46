//! All runs of one command, side by side: for every number of members the floor and then the server, as often as asked.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::cli::LoadArgs;
use crate::crowd::{Crowd, Measured};
use crate::disk::{self, Inserted};
use crate::plan::{Load, Pace};
use crate::report::{Latency, Report, Row};
use crate::subject::{Setup, Subject};
use crate::{Failure, raise_descriptor_limit};

/// Descriptors of this process beside those of the members.
const SPARE_DESCRIPTORS: usize = 64;

/// The server's thread whose cost is not that of a delivery: it works off what was said, in its own time.
const SEARCH_THREAD: &str = "log-search";

/// Runs everything that was asked for and writes the report to standard output, and as JSON where that is asked for.
///
/// # Errors
/// Says which step of which run failed; there is no report then.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let setup = setup(args)?;
    let most = args.members.iter().chain(&args.idle).max().copied().unwrap_or_default();
    raise_descriptor_limit(most + SPARE_DESCRIPTORS)?;
    if let Some(connections) = args.idle {
        return idle(args, &setup, connections);
    }
    let subjects = args.durability.iter().map(|durability| Subject::Server(*durability));
    let subjects = std::iter::once(Subject::Floor).chain(subjects).collect::<Vec<_>>();
    let mut rows = Vec::new();
    for (at, &members) in args.members.iter().enumerate() {
        let load = load(args, at, members)?;
        let mut runs = vec![Vec::new(); subjects.len()];
        for repetition in 1..=args.repeat {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                eprintln!("{members} members, {}: {repetition} of {}", subject.name(), args.repeat);
                runs.push(measure(*subject, &setup, &load)?);
            }
        }
        rows.extend(table(&subjects, &runs, &load));
    }
    let report = Report {
        load: words(args),
        processors: std::thread::available_parallelism().map_or(1, usize::from),
        flush_ms: millis(disk::flush_time(&setup.dir)?),
        rows,
    };
    println!("{}", report.markdown());
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report).map_err(|error| Failure::new("write JSON", error))?;
        fs::write(path, json).map_err(Failure::io(format!("write {}", path.display())))?;
    }
    Ok(())
}

/// One run of one subject.
#[derive(Clone, Debug)]
struct Run {
    measured: Measured,
    inserted: Option<Inserted>,
    resident_per_connection: u64,
}

impl Run {
    fn cpu(&self) -> Duration {
        self.measured.cpu.total
    }

    fn search(&self) -> Duration {
        self.measured.cpu.threads.get(SEARCH_THREAD).copied().unwrap_or_default()
    }

    /// CPU-seconds for a million deliveries, of which `cpu` is a part.
    fn per_million(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / float(self.measured.deliveries.max(1)) * 1e6
    }

    fn ratio(&self, floor: &Self) -> f64 {
        self.per_million(self.cpu() - self.search()) / floor.per_million(floor.cpu())
    }
}

fn measure(subject: Subject, setup: &Setup, load: &Load) -> Result<Run, Failure> {
    // The floor has no rules that a sender could break.
    let load = match (subject, load.pace) {
        (Subject::Floor, Pace::Window { messages, .. }) => {
            &Load { pace: Pace::Window { messages, limit: f64::INFINITY }, ..*load }
        }
        (Subject::Floor | Subject::Server(_), Pace::Window { .. } | Pace::Rate(_)) => load,
    };
    let running = subject.start(setup, load.members)?;
    let before = running.process.resident()?;
    let mut crowd = Crowd::gather(&running, load.members, true)?;
    let grown = running.process.resident()?.saturating_sub(before);
    let measured = crowd.run(load, &running.process)?;
    drop(crowd);
    let data = running.stop()?;
    let inserted = data.map(|data| disk::insert_again(data.path())).transpose()?;
    Ok(Run { measured, inserted, resident_per_connection: grown / load.members as u64 })
}

/// The row in the middle of each subject's repetitions.
fn table(subjects: &[Subject], runs: &[Vec<Run>], load: &Load) -> Vec<Row> {
    let Some(floors) = runs.first() else { return Vec::new() };
    let row = |(subject, runs): (&Subject, &Vec<Run>)| {
        let run = middle(runs, |run| run.per_million(run.cpu()))?;
        let is_floor = *subject == Subject::Floor;
        let pairs = runs.iter().zip(floors).collect::<Vec<_>>();
        let ratio = middle(&pairs, |(run, floor)| run.ratio(floor)).map(|(run, floor)| run.ratio(floor));
        let with_search =
            |(run, floor): &(&Run, &Run)| run.per_million(run.cpu()) / floor.per_million(floor.cpu());
        let threads = run.measured.cpu.threads.iter().filter(|(_, cpu)| !cpu.is_zero());
        Some(Row {
            subject: subject.name(),
            members: load.members,
            pace: match load.pace {
                Pace::Window { messages, .. } => format!("{} x {messages}", load.senders),
                Pace::Rate(rate) => format!("{:.0}/s", rate * float(load.members as u64)),
            },
            deliveries_per_second: float(run.measured.deliveries) / run.measured.time.as_secs_f64(),
            cpu_per_million: run.per_million(run.cpu()),
            search_cpu_per_million: run.per_million(run.search()),
            threads: threads.map(|(name, cpu)| (name.clone(), run.per_million(*cpu))).collect(),
            ratio: ratio.filter(|_| !is_floor),
            ratio_with_search: middle(&pairs, with_search).map(with_search).filter(|_| !is_floor),
            bare_sqlite_cpu_per_million: run.inserted.map(|inserted| {
                let deliveries = float(inserted.rows.max(1) as u64) * float(load.members as u64);
                inserted.cpu.as_secs_f64() / deliveries * 1e6
            }),
            rows_per_commit: run
                .inserted
                .map(|inserted| float(inserted.rows as u64) / float(inserted.commits.max(1) as u64)),
            latency_ms: latency(&run.measured),
            resident: run.measured.resident,
            resident_per_connection: run.resident_per_connection,
            missed: run.measured.missed,
        })
    };
    subjects.iter().zip(runs).filter_map(row).collect()
}

fn middle<T>(values: &[T], key: impl Fn(&T) -> f64) -> Option<&T> {
    let mut sorted = values.iter().collect::<Vec<_>>();
    sorted.sort_by(|one, other| key(one).total_cmp(&key(other)));
    sorted.get(sorted.len() / 2).copied()
}

fn latency(measured: &Measured) -> Latency {
    let at = |per_mille| millis(Duration::from_nanos(measured.latency.quantile(per_mille)));
    let max = millis(Duration::from_nanos(measured.latency.max()));
    Latency { p50: at(500), p95: at(950), p99: at(990), max }
}

/// Logs in without entering a room, and tells what each connection costs.
fn idle(args: &LoadArgs, setup: &Setup, connections: usize) -> Result<(), Failure> {
    let Some(&durability) = args.durability.first() else { return Ok(()) };
    let running = Subject::Server(durability).start(setup, connections)?;
    // The first logins bring in code and buffers that all later ones share.
    let warm = Crowd::gather(&running, connections.min(WARM_UP_LOGINS), false)?;
    drop(warm);
    let before = running.process.resident()?;
    let crowd = Crowd::gather(&running, connections, false)?;
    let after = running.process.resident()?;
    drop(crowd);
    running.stop()?;
    let each = float(after.saturating_sub(before)) / float(connections as u64) / 1024.0;
    let security = if setup.tls { "TLS" } else { "plain" };
    println!(
        "{connections} connections, {security}, logged in, in no room: {each:.2} KiB each (resident {:.1} MiB, then {:.1} MiB)",
        float(before) / MIB,
        float(after) / MIB
    );
    Ok(())
}

fn load(args: &LoadArgs, at: usize, members: usize) -> Result<Load, Failure> {
    let what = "plan the load";
    if members < args.senders.into() {
        return Err(Failure::new(what, format!("{members} members cannot have {} senders", args.senders)));
    }
    let window = args.windows.get(at).or(args.windows.last()).copied().unwrap_or_default();
    let pace = match args.rate {
        Some(rate) if rate > 0.0 => Pace::Rate(rate / float(members as u64)),
        Some(_) => return Err(Failure::new(what, "a rate must be above 0")),
        None if window > 0 => Pace::Window { messages: window, limit: args.sender_limit },
        None => return Err(Failure::new(what, "a window must be at least 1")),
    };
    Ok(Load {
        members,
        senders: args.senders,
        pace,
        text_len: args.text,
        warm_up: Duration::from_secs_f64(args.warm_up),
        measured: Duration::from_secs_f64(args.seconds),
    })
}

fn setup(args: &LoadArgs) -> Result<Setup, Failure> {
    let this = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let beside = this.parent().map_or_else(|| PathBuf::from("."), PathBuf::from);
    let program = args.server.clone().unwrap_or_else(|| beside.join("chatserver"));
    if !program.is_file() {
        let why =
            "there is none; build it with `cargo build --release -p chatserver`, or name one with --server";
        return Err(Failure::new(format!("find the server {}", program.display()), why));
    }
    Ok(Setup {
        program,
        args: args.server_arg.clone(),
        dir: args.dir.clone().unwrap_or(beside),
        tls: args.tls,
    })
}

fn words(args: &LoadArgs) -> String {
    let pace = match args.rate {
        Some(rate) => format!("open loop at {rate} deliveries a second"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{} senders, {}-byte texts, {pace}, {} for the server; {} s each after {} s, {} repetitions.",
        args.senders,
        args.text,
        if args.tls { "TLS" } else { "plaintext" },
        args.seconds,
        args.warm_up,
        args.repeat
    )
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[expect(clippy::cast_precision_loss, reason = "counts of one run are far below 2^52")]
fn float(count: u64) -> f64 {
    count as f64
}

const WARM_UP_LOGINS: usize = 64;

const MIB: f64 = 1024.0 * 1024.0;
