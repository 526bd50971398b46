//! One small file after the other over a link that stands already, each beside a bare fetch of the same file.
//!
//! The client itself tells how long it took from the request to the first bytes that were verified. It is driven by its lines,
//! so what is seen from outside is more: it begins with a line that is typed and ends when the file has its name, durably, and that
//! was told.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::cli::TransferArgs;
use crate::goal::Goal;
use crate::report::{Figures, Report};

use super::chat::Times;
use super::client::field;
use super::small::{self, Bare};
use super::{Pair, Place};

/// What a fetch may take, in bare ones, by the median.
const MAX_RATIO: f64 = 2.0;

/// Numbers on one page of a list.
const PAGE: u32 = 256;

#[derive(Clone, Copy, Debug, Serialize)]
struct One {
    files: u32,
    /// From the request to the first verified byte, as the client tells.
    first_byte: Times,
    /// From the line to the file in its place.
    fetched: Times,
    /// Over the bare link, into memory.
    bare: Times,
}

impl Figures for One {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "| fetch | p50 ms | p95 ms | max ms |")?;
        writeln!(out, "|---|--:|--:|--:|")?;
        let rows = [
            ("client, request to first verified byte", &self.first_byte),
            ("client, line to line", &self.fetched),
            ("bare", &self.bare),
        ];
        for (what, times) in rows {
            let Times { p50_ms, p95_ms, max_ms } = times;
            writeln!(out, "| {what} | {p50_ms:.3} | {p95_ms:.3} | {max_ms:.3} |")?;
        }
        Ok(())
    }
}

pub(super) fn run(args: &TransferArgs) -> Result<(), Failure> {
    let place = Place::new(args)?;
    let share = place.scratch.path().join("shared");
    let files = small::make(&share, args.files)?;
    let mut bare = Bare::start(files)?;
    let mut pair = Pair::start(&place, &share)?;
    let asker = &mut pair.asker;
    for page in 2..=args.files.div_ceil(PAGE) {
        asker.type_line(&format!("/ls --page {page}"))?;
        asker.expect("file_list", |event| {
            event.get("page").and_then(serde_json::Value::as_u64) == Some(page.into())
        })?;
    }
    let (mut first_bytes, mut fetched, mut bare_times) = (Vec::new(), Vec::<Duration>::new(), Vec::new());
    for number in 0..args.files {
        let begin = Instant::now();
        std::hint::black_box(bare.fetch(number)?);
        bare_times.push(begin.elapsed());
        let begin = Instant::now();
        asker.type_line(&format!("/get {}", number + 1))?;
        let done = asker
            .expect("transfer", |event| ["done", "failed", "cancelled"].contains(&field(event, "state")))?;
        fetched.push(begin.elapsed());
        let first_byte = done.get("first_byte_us").and_then(serde_json::Value::as_u64);
        match first_byte.filter(|_| field(&done, "state") == "done") {
            Some(micros) => first_bytes.push(Duration::from_micros(micros)),
            None => return Err(Failure::new("fetch a file", done)),
        }
    }
    pair.end()?;
    bare.end()?;
    let one = One {
        files: args.files,
        first_byte: Times::of(first_bytes),
        fetched: Times::of(fetched),
        bare: Times::of(bare_times),
    };
    let goal = Goal::new(
        "from the request to the first verified byte, median",
        format!("{MAX_RATIO} x a bare fetch"),
        MAX_RATIO * one.bare.p50_ms,
        one.first_byte.p50_ms,
        "ms",
    );
    let load = format!("{} fetches of {} bytes, each beside a bare one.", args.files, small::SIZE);
    Report::new(load, one, vec![goal]).publish(args.server.json.as_deref())
}
