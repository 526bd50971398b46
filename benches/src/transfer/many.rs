//! Many small files over a link that stands already, beside a bare copy of the same files and the same flushes.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use crate::Failure;
use crate::cli::TransferArgs;
use crate::goal::Goal;
use crate::report::{Figures, Report, middle};

use super::small::{self, Bare};
use super::{Pair, Place};

/// What it may take, in bare copies and in flushes of all files in batches.
const MAX_COPIES: f64 = 3.0;
const MAX_FLUSHES: f64 = 2.0;

/// Files that are flushed together, here as there.
const BATCH: usize = 256;

/// All files, once.
#[derive(Clone, Copy, Debug, Serialize)]
struct Moved {
    /// From the wish to the last file in its place, in seconds.
    seconds: f64,
    /// CPU time of both clients, in seconds.
    cpu_seconds: f64,
    /// The bare copy, and then its flushes.
    copy_seconds: f64,
    flush_seconds: f64,
}

impl Moved {
    fn allowed(&self) -> f64 {
        MAX_COPIES * self.copy_seconds + MAX_FLUSHES * self.flush_seconds
    }

    fn ratio(&self) -> f64 {
        self.seconds / self.allowed()
    }
}

#[derive(Clone, Debug, Serialize)]
struct Many {
    files: u32,
    runs: Vec<Moved>,
}

impl Figures for Many {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| files | s | files/s | CPU-s, both ends | bare copy, s | flushes in batches, s | of what is allowed |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|")?;
        for run in &self.runs {
            let Moved { seconds, cpu_seconds, copy_seconds, flush_seconds, .. } = run;
            writeln!(
                out,
                "| {} | {seconds:.3} | {:.0} | {cpu_seconds:.2} | {copy_seconds:.3} | {flush_seconds:.3} | **{:.2}** |",
                self.files,
                f64::from(self.files) / seconds,
                run.ratio(),
            )?;
        }
        Ok(())
    }
}

pub(super) fn run(args: &TransferArgs) -> Result<(), Failure> {
    let place = Place::new(args)?;
    let share = place.scratch.path().join("shared");
    let files = small::make(&share, args.files)?;
    let copies = place.scratch.path().join("copies");
    let mut runs = Vec::new();
    for repetition in 1..=args.repeat {
        eprintln!("{} files: {repetition} of {}", args.files, args.repeat);
        let mut bare = Bare::start(files.clone())?;
        let copied = bare.fetch_all(args.files, &copies)?;
        bare.end()?;
        let flushed = small::flush_all(&copies, BATCH)?;
        fs::remove_dir_all(&copies).map_err(Failure::io("remove copies"))?;
        let (seconds, cpu_seconds) = moved(&place, &share, args.files)?;
        let (copy_seconds, flush_seconds) = (copied.as_secs_f64(), flushed.as_secs_f64());
        runs.push(Moved { seconds, cpu_seconds, copy_seconds, flush_seconds });
    }
    let mut goals = Vec::new();
    if let Some(run) = middle(&runs, Moved::ratio) {
        let words = format!("{MAX_COPIES} bare copies and {MAX_FLUSHES} times their flushes");
        goals.push(Goal::new("from the wish to the last file", words, run.allowed(), run.seconds, "s"));
    }
    let load = format!("{} files of {} bytes from peer to peer on loopback.", args.files, small::SIZE);
    Report::new(load, Many { files: args.files, runs }, goals).publish(args.server.json.as_deref())
}

/// Seconds, and seconds of CPU time of both clients.
fn moved(place: &Place, share: &Path, files: u32) -> Result<(f64, f64), Failure> {
    let mut pair = Pair::start(place, share)?;
    let before = pair.asker.cpu()? + pair.giver.cpu()?;
    let begin = Instant::now();
    pair.asker.type_line("/get all")?;
    let fetched = pair.asker.expect("fetched", |_| true)?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = (pair.asker.cpu()? + pair.giver.cpu()?).saturating_sub(before);
    if fetched.get("done").and_then(serde_json::Value::as_u64) != Some(u64::from(files)) {
        return Err(Failure::new("fetch all files", fetched));
    }
    pair.end()?;
    Ok((seconds, cpu.as_secs_f64()))
}
