//! All runs of one command, side by side: for every number of members the floor and then the server, as often as asked.

use std::time::Duration;

use crate::cli::{Durability, LoadArgs};
use crate::crowd::{Crowd, Measured};
use crate::disk::{self, Inserted};
use crate::goal::Goal;
use crate::member::Task;
use crate::plan::{Load, Pace};
use crate::report::{FanOut, Latency, Report, Row, float, middle, millis};
use crate::subject::{Guests, Setup, Subject};
use crate::{Failure, SPARE_DESCRIPTORS, raise_descriptor_limit};

/// The server's thread whose cost is not that of a delivery: it works off what was said, in its own time.
const SEARCH_THREAD: &str = "log-search";

/// Messages that one search reads from the log because the index does not have them yet; further behind, it would miss some.
const MAX_SEARCH_LAG: f64 = 100_000.0;

/// Runs everything that was asked for and publishes the report.
///
/// # Errors
/// Says which step of which run failed; there is no report then.
pub fn run(args: &LoadArgs) -> Result<(), Failure> {
    let setup = Setup::new(&args.server)?;
    let most = args.members.iter().max().copied().unwrap_or_default();
    raise_descriptor_limit(most + SPARE_DESCRIPTORS)?;
    let subjects = args.durability.iter().map(|durability| Subject::Server(*durability));
    let subjects = std::iter::once(Subject::Floor).chain(subjects).collect::<Vec<_>>();
    let mut flushes = vec![disk::flush_time(&setup.dir)?];
    let mut tables = Vec::new();
    for (at, &members) in args.members.iter().enumerate() {
        let load = load(args, at, members)?;
        let mut runs = vec![Vec::new(); subjects.len()];
        for repetition in 1..=args.repeat {
            for (subject, runs) in subjects.iter().zip(&mut runs) {
                eprintln!("{members} members, {}: {repetition} of {}", subject.name(), args.repeat);
                runs.push(measure(*subject, &setup, &load)?);
                // The disk has its moods: those of the whole command count.
                flushes.push(disk::flush_time(&setup.dir)?);
            }
        }
        tables.push((load, table(&subjects, &runs, &load)));
    }
    flushes.sort_unstable();
    let flush_ms = millis(flushes.get(flushes.len() / 2).copied().unwrap_or_default());
    let goals =
        tables.iter().flat_map(|(load, rows)| aims(&subjects, rows, load, setup.tls, flush_ms)).collect();
    let figures = FanOut { flush_ms, rows: tables.into_iter().flat_map(|(_, rows)| rows).collect() };
    Report::new(words(args), figures, goals).publish(args.server.json.as_deref())
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
    let running = subject.start(setup, Guests::Devices(load.members))?;
    let before = running.process.resident()?;
    let mut crowd = Crowd::gather(&running, load.members, Task::Enter)?;
    let grown = running.process.resident()?.saturating_sub(before);
    let measured = crowd.run(load, &running)?;
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
                Pace::Window(messages) => format!("{} x {messages}", load.senders),
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
            latency_ms: Latency::from(&run.measured.latency),
            resident: run.measured.resident,
            resident_per_connection: run.resident_per_connection,
            missed: run.measured.missed,
            search_lag: runs.iter().map(|run| run.measured.search_lag).max().unwrap_or_default(),
        })
    };
    subjects.iter().zip(runs).filter_map(row).collect()
}

/// What is aimed at, where the load is one of those that goals are set for.
fn aims(subjects: &[Subject], rows: &[Row], load: &Load, is_tls: bool, flush_ms: f64) -> Vec<Goal> {
    let Some(floor) = rows.first() else { return Vec::new() };
    let durability = |subject: &Subject| match subject {
        Subject::Floor => None,
        Subject::Server(durability) => Some(*durability),
    };
    let mut goals = Vec::new();
    for (row, durability) in
        subjects.iter().zip(rows).filter_map(|(subject, row)| Some((row, durability(subject)?)))
    {
        let own = format!("{} members, {}", row.members, row.subject);
        let cpu = row.cpu_per_million - row.search_cpu_per_million;
        let unit = "CPU-s per million";
        let aim = |goal: &str, at_most| Some(Goal::new(own.clone(), goal, at_most, cpu, unit));
        let times = |factor: f64| {
            let what = format!("{own}: multiple of the floor's CPU time");
            Some(Goal::new(what, format!("{factor} x floor"), factor, row.ratio.unwrap_or(f64::NAN), "x"))
        };
        let late = |goal: &str, at_most| {
            Some(Goal::new(format!("{own}: median latency"), goal, at_most, row.latency_ms.p50, "ms"))
        };
        if matches!(load.pace, Pace::Window(_)) && durability != Durability::Off {
            let (what, goal) =
                (format!("{own}: search index behind"), "what one search reads beside the index");
            goals.push(Goal::new(what, goal, MAX_SEARCH_LAG, float(row.search_lag), "messages"));
        }
        let inserts = row.bare_sqlite_cpu_per_million.unwrap_or_default();
        goals.extend(match (load.pace, durability, load.members) {
            (Pace::Rate(_), Durability::Off, _) => late("1.3 x the floor's", 1.3 * floor.latency_ms.p50),
            (Pace::Rate(_), Durability::Full, _) => {
                late("the floor's and two flushes", floor.latency_ms.p50 + 2.0 * flush_ms)
            }
            (Pace::Window(_), _, 100) if is_tls => aim("0.2 with TLS", 0.2),
            (Pace::Window(_), Durability::Off, 100 | 1000) => times(2.0),
            (Pace::Window(_), Durability::Full, 1000) => times(3.0),
            (Pace::Window(_), Durability::Full, 100) => {
                aim("2 x floor and 1.5 x a bare insert loop", 2.0 * floor.cpu_per_million + 1.5 * inserts)
            }
            (Pace::Window(_) | Pace::Rate(_), Durability::Full | Durability::Os | Durability::Off, _) => None,
        });
    }
    goals
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
        None if window > 0 => Pace::Window(window),
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

fn words(args: &LoadArgs) -> String {
    let pace = match args.rate {
        Some(rate) => format!("open loop at {rate} deliveries a second"),
        None => "closed loop".to_owned(),
    };
    format!(
        "{} senders, {}-byte texts, {pace}, {} for the server; {} s each after {} s, {} repetitions.",
        args.senders,
        args.text,
        if args.server.tls { "TLS" } else { "plaintext" },
        args.seconds,
        args.warm_up,
        args.repeat
    )
}
