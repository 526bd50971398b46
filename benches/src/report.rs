//! The report: Markdown for people, JSON for programs.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::Failure;
use crate::goal::{self, Goal};
use crate::latency::Histogram;

/// Everything that one command found.
#[derive(Clone, Debug, Serialize)]
pub struct Report<T> {
    /// What was asked for, in words.
    pub load: String,
    /// Processors that this machine has.
    pub processors: usize,
    /// What was found.
    #[serde(flatten)]
    pub figures: T,
    /// What was aimed at.
    pub goals: Vec<Goal>,
}

/// What a command finds.
pub trait Figures: Serialize {
    /// Writes them as Markdown.
    ///
    /// # Errors
    /// When `out` fails.
    fn write(&self, out: &mut String) -> std::fmt::Result;
}

impl<T: Figures> Report<T> {
    /// A report of this machine.
    #[must_use]
    pub fn new(load: String, figures: T, goals: Vec<Goal>) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Self { load, processors, figures, goals }
    }

    /// Writes the report to standard output, and as JSON to `json`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn publish(&self, json: Option<&Path>) -> Result<(), Failure> {
        println!("{}", self.markdown());
        let Some(path) = json else { return Ok(()) };
        let json = serde_json::to_vec_pretty(self).map_err(|error| Failure::new("write JSON", error))?;
        fs::write(path, json).map_err(Failure::io(format!("write {}", path.display())))
    }

    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = format!("{} {} processors.\n\n", self.load, self.processors);
        // Writing to a string does not fail.
        let _ = self.figures.write(&mut out).and_then(|()| goal::write(&self.goals, &mut out));
        out
    }
}

/// The floor and the server under one load after another.
#[derive(Clone, Debug, Serialize)]
pub struct FanOut {
    /// How long this disk takes for one flush, in milliseconds.
    pub flush_ms: f64,
    /// One row for each number of members and each subject; the floor comes first.
    pub rows: Vec<Row>,
}

/// One subject under one load.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// Who was measured.
    pub subject: String,
    /// Members of the room.
    pub members: usize,
    /// Each sender's window, or the deliveries a second of an open loop.
    pub pace: String,
    /// Deliveries a second.
    pub deliveries_per_second: f64,
    /// CPU-seconds of the whole process, for a million deliveries.
    pub cpu_per_million: f64,
    /// The same, of its search thread alone.
    pub search_cpu_per_million: f64,
    /// The same, by thread, of the threads that did anything.
    pub threads: Vec<(String, f64)>,
    /// CPU time for each delivery without the search thread, as a multiple of the floor's in the same repetition; the
    /// median of all repetitions.
    pub ratio: Option<f64>,
    /// The same with the search thread.
    pub ratio_with_search: Option<f64>,
    /// CPU-seconds that a bare insert loop takes for the messages of a million deliveries.
    pub bare_sqlite_cpu_per_million: Option<f64>,
    /// Messages in each commit, on average.
    pub rows_per_commit: Option<f64>,
    /// Latency from when a message was due to when a member had it.
    pub latency_ms: Latency,
    /// Resident memory under load, in bytes.
    pub resident: u64,
    /// What each connection added to it before the load, in bytes.
    pub resident_per_connection: u64,
    /// Deliveries that came from the log, because a member was too slow.
    pub missed: u64,
    /// Messages that the search index did not have at the end, at most over all repetitions.
    pub search_lag: u64,
}

/// Quantiles in milliseconds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Latency {
    /// The median.
    pub p50: f64,
    /// 95 of a hundred were no slower.
    pub p95: f64,
    /// 99 of a hundred were no slower.
    pub p99: f64,
    /// The slowest.
    pub max: f64,
}

impl Figures for FanOut {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "One flush of the disk takes {:.2} ms.\n", self.flush_ms)?;
        writeln!(
            out,
            "| members | pace | subject | deliveries/s | CPU-s per million | x floor | search CPU-s per million | \
             search behind | p50 ms | p95 ms | p99 ms | max ms | RSS MiB | KiB per connection |"
        )?;
        writeln!(out, "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for row in &self.rows {
            let ratio = row.ratio.map_or("1".into(), |ratio| format!("**{ratio:.2}**"));
            let Latency { p50, p95, p99, max } = row.latency_ms;
            writeln!(
                out,
                "| {} | {} | {} | {:.0} | {:.4} | {ratio} | {:.4} | {} | {p50:.2} | {p95:.2} | {p99:.2} | {max:.2} | {:.1} | \
                 {:.1} |",
                row.members,
                row.pace,
                row.subject,
                row.deliveries_per_second,
                row.cpu_per_million - row.search_cpu_per_million,
                row.search_cpu_per_million,
                row.search_lag,
                mib(row.resident),
                kib(row.resident_per_connection),
            )?;
        }
        writeln!(out, "\nCPU-seconds per million deliveries, by thread:\n")?;
        for row in self.rows.iter().filter(|row| row.ratio.is_some()) {
            let threads = row.threads.iter().map(|(name, cpu)| format!("`{name}` {cpu:.4}"));
            let threads = threads.collect::<Vec<_>>().join(", ");
            writeln!(out, "- {} members, {}: {threads}{}", row.members, row.subject, notes(row))?;
        }
        Ok(())
    }
}

fn notes(row: &Row) -> String {
    let mut notes = String::new();
    if let (Some(cpu), Some(rows)) = (row.bare_sqlite_cpu_per_million, row.rows_per_commit) {
        notes += &format!("; a bare insert loop {cpu:.4}, {rows:.0} rows a commit");
    }
    if row.missed > 0 {
        notes += &format!("; {} deliveries came from the log", row.missed);
    }
    notes
}

impl From<&Histogram> for Latency {
    fn from(nanos: &Histogram) -> Self {
        let at = |per_mille| millis(Duration::from_nanos(nanos.quantile(per_mille)));
        let max = millis(Duration::from_nanos(nanos.max()));
        Self { p50: at(500), p95: at(950), p99: at(990), max }
    }
}

/// In milliseconds, for people.
#[must_use]
pub fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// A count as a number to divide by.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "counts and sizes of one run are far below 2^52")]
pub fn float(count: u64) -> f64 {
    count as f64
}

/// In units of 1024 bytes, for people.
#[must_use]
pub fn kib(bytes: u64) -> f64 {
    float(bytes) / 1024.0
}

/// In units of 1024 KiB, for people.
#[must_use]
pub fn mib(bytes: u64) -> f64 {
    kib(bytes) / 1024.0
}

/// The value in the middle, by `key`.
pub fn middle<T>(values: &[T], key: impl Fn(&T) -> f64) -> Option<&T> {
    let mut sorted = values.iter().collect::<Vec<_>>();
    sorted.sort_by(|one, other| key(one).total_cmp(&key(other)));
    sorted.get(sorted.len() / 2).copied()
}
