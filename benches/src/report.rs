//! The report: Markdown for people, JSON for programs.

use std::fmt::Write as _;

use serde::Serialize;

/// Everything that one command found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// What was asked for, in words.
    pub load: String,
    /// Processors that this machine has.
    pub processors: usize,
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

impl Report {
    /// The report as Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        // Writing to a string does not fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "{} {} processors; one flush takes {:.2} ms.\n",
            self.load, self.processors, self.flush_ms
        )?;
        writeln!(
            out,
            "| members | pace | subject | deliveries/s | CPU-s per million | x floor | search CPU-s per million | \
             p50 ms | p95 ms | p99 ms | max ms | RSS MiB | KiB per connection |"
        )?;
        writeln!(out, "|--:|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for row in &self.rows {
            let ratio = row.ratio.map_or("1".into(), |ratio| format!("**{ratio:.2}**"));
            let Latency { p50, p95, p99, max } = row.latency_ms;
            writeln!(
                out,
                "| {} | {} | {} | {:.0} | {:.4} | {ratio} | {:.4} | {p50:.2} | {p95:.2} | {p99:.2} | {max:.2} | {:.1} | \
                 {:.1} |",
                row.members,
                row.pace,
                row.subject,
                row.deliveries_per_second,
                row.cpu_per_million - row.search_cpu_per_million,
                row.search_cpu_per_million,
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

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / (1024.0 * 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "for people")]
fn kib(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}
