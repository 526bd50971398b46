//! One big file, beside its floor in the same run: a bare copy over TLS with the same cipher, and the BLAKE3 passes that
//! verification cannot do without.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::cli::TransferArgs;
use crate::goal::Goal;
use crate::report::{Figures, Report, float, mib, middle};

use super::client::field;
use super::copy::{self, Copied};
use super::{MIB, Pair, Place};

/// What both clients together may take, as a multiple of the bare copy and the hashes.
const MAX_RATIO: f64 = 1.25;

/// Memory that either client may hold, in MiB.
const MAX_MEMORY: f64 = 32.0;

/// Ends that hash all that passes: the one that sends, and the one that verifies.
const HASHING_ENDS: f64 = 2.0;

/// One file, once.
#[derive(Clone, Copy, Debug, Serialize)]
struct Moved {
    /// From the wish to the verified file, in seconds.
    seconds: f64,
    /// CPU time of both clients, in seconds.
    cpu_seconds: f64,
    /// The most memory that either held, in bytes.
    peak: u64,
    /// The bare copy of the same file.
    copy_seconds: f64,
    /// CPU time of both its ends, in seconds.
    copy_cpu_seconds: f64,
    /// CPU time of one BLAKE3 pass, in seconds.
    hash_cpu_seconds: f64,
}

impl Moved {
    fn ratio(&self) -> f64 {
        self.cpu_seconds / (self.copy_cpu_seconds + HASHING_ENDS * self.hash_cpu_seconds)
    }
}

#[derive(Clone, Debug, Serialize)]
struct Transfer {
    mib: u32,
    runs: Vec<Moved>,
}

impl Figures for Transfer {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(
            out,
            "| MiB | s | MiB/s | CPU-s, both ends | bare copy, s | its CPU-s, both ends | one BLAKE3 pass, CPU-s | \
             x floor | peak RSS MiB |"
        )?;
        writeln!(out, "|--:|--:|--:|--:|--:|--:|--:|--:|--:|")?;
        for run in &self.runs {
            let Moved { seconds, cpu_seconds, copy_seconds, copy_cpu_seconds, hash_cpu_seconds, .. } = run;
            writeln!(
                out,
                "| {} | {seconds:.2} | {:.0} | {cpu_seconds:.2} | {copy_seconds:.2} | {copy_cpu_seconds:.2} | \
                 {hash_cpu_seconds:.2} | **{:.2}** | {:.1} |",
                self.mib,
                f64::from(self.mib) / seconds,
                run.ratio(),
                mib(run.peak),
            )?;
        }
        Ok(())
    }
}

/// Moves the file as often as asked, and publishes the report.
///
/// # Errors
/// Says which step failed.
pub(super) fn run(args: &TransferArgs) -> Result<(), Failure> {
    let place = Place::new(args)?;
    let original = shared_file(place.scratch.path(), args.mib)?;
    let target = place.scratch.path().join("copied.bin");
    // Not counted: a virtual machine pays for memory that it touches for the first time. From here on everybody writes into
    // the memory of a copy that was just removed.
    copied(&original, &target)?;
    let mut runs = Vec::new();
    for repetition in 1..=args.repeat {
        eprintln!("{} MiB: {repetition} of {}", args.mib, args.repeat);
        let copied = copied(&original, &target)?;
        let hash_cpu_seconds = copy::hash_time(&original)?.as_secs_f64();
        let moved = moved(&place, &original)?;
        runs.push(Moved {
            copy_seconds: copied.time.as_secs_f64(),
            copy_cpu_seconds: copied.cpu.as_secs_f64(),
            hash_cpu_seconds,
            ..moved
        });
    }
    let mut goals = Vec::new();
    if let Some(run) = middle(&runs, Moved::ratio) {
        let what = "CPU time of both clients, as a multiple of the bare copy and a BLAKE3 pass at each end";
        goals.push(Goal::new(what, format!("{MAX_RATIO} x"), MAX_RATIO, run.ratio(), "x"));
    }
    let peak = runs.iter().map(|run| mib(run.peak)).fold(0.0, f64::max);
    goals.push(Goal::new("memory of either client", format!("{MAX_MEMORY} MiB"), MAX_MEMORY, peak, "MiB"));
    let load = format!("One file of {} MiB from peer to peer on loopback.", args.mib);
    Report::new(load, Transfer { mib: args.mib, runs }, goals).publish(args.server.json.as_deref())
}

/// The bare copy, of which nothing is left.
fn copied(original: &Path, target: &Path) -> Result<Copied, Failure> {
    let copied = copy::copy(original, target)?;
    fs::remove_file(target).map_err(Failure::io("remove a copy"))?;
    Ok(copied)
}

/// Two fresh clients; one fetches the file from the other.
fn moved(place: &Place, original: &Path) -> Result<Moved, Failure> {
    let share = original.parent().unwrap_or(original);
    let mut pair = Pair::start(place, share)?;
    let Pair { asker, giver, .. } = &mut pair;
    let before = asker.cpu()? + giver.cpu()?;
    let begin = Instant::now();
    asker.type_line("/get 1")?;
    let done =
        asker.expect("transfer", |event| ["done", "failed", "cancelled"].contains(&field(event, "state")))?;
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = (asker.cpu()? + giver.cpu()?).saturating_sub(before);
    let peak = asker.peak()?.max(giver.peak()?);
    if field(&done, "state") != "done" {
        return Err(Failure::new("fetch the file", done));
    }
    pair.end()?;
    let none = Duration::ZERO.as_secs_f64();
    Ok(Moved {
        seconds,
        cpu_seconds: cpu.as_secs_f64(),
        peak,
        copy_seconds: none,
        copy_cpu_seconds: none,
        hash_cpu_seconds: none,
    })
}

/// A folder with one file to share. Each MiB of it is different, so that none can stand in for another.
pub(super) fn shared_file(scratch: &Path, mib: u32) -> Result<PathBuf, Failure> {
    let what = "make a file to share";
    let folder = scratch.join("shared");
    fs::create_dir(&folder).map_err(Failure::io(what))?;
    let path = folder.join("big.bin");
    let mut file = BufWriter::new(File::create(&path).map_err(Failure::io(what))?);
    let mut noise = blake3::Hasher::new().update(b"noise").finalize_xof();
    let mut piece = vec![0; MIB];
    noise.fill(&mut piece);
    for number in 0..mib {
        piece.splice(..4, number.to_be_bytes());
        file.write_all(&piece).map_err(Failure::io(what))?;
    }
    file.flush().map_err(Failure::io(what))?;
    let written = fs::metadata(&path).map_err(Failure::io(what))?.len();
    debug_assert_eq!(float(written), f64::from(mib) * float(MIB as u64));
    Ok(path)
}
