//! What people say to each other over a link, while a file takes all that it has.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::Failure;
use crate::cli::TransferArgs;
use crate::goal::Goal;
use crate::report::{Figures, Report};

use super::client::{Client, field};
use super::{Pair, Place, big};

/// Median time of a message while a file comes, in milliseconds.
const MAX_MS: f64 = 5.0;

/// Messages without a file.
const IDLE: u32 = 200;

/// Quantiles of some times.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Times {
    pub(super) p50_ms: f64,
    pub(super) p95_ms: f64,
    pub(super) max_ms: f64,
}

impl Times {
    pub(super) fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let last = times.len().saturating_sub(1);
        let ms = |at: usize| times.get(at).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3);
        Self { p50_ms: ms(last / 2), p95_ms: ms(last * 19 / 20), max_ms: ms(last) }
    }
}

#[derive(Clone, Debug, Serialize)]
struct Chat {
    mib: u32,
    /// Without a file, and with one.
    idle: Times,
    busy: Times,
    messages: usize,
    mib_per_second: f64,
}

impl Figures for Chat {
    fn write(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "| link | messages | p50 ms | p95 ms | max ms |")?;
        writeln!(out, "|---|--:|--:|--:|--:|")?;
        let idle = usize::try_from(IDLE).unwrap_or(0);
        let busy = format!("a file at {:.0} MiB/s", self.mib_per_second);
        for (what, count, times) in [("idle", idle, &self.idle), (&*busy, self.messages, &self.busy)] {
            let Times { p50_ms, p95_ms, max_ms } = times;
            writeln!(out, "| {what} | {count} | {p50_ms:.2} | {p95_ms:.2} | {max_ms:.2} |")?;
        }
        Ok(())
    }
}

pub(super) fn run(args: &TransferArgs) -> Result<(), Failure> {
    let place = Place::new(args)?;
    let original = big::shared_file(place.scratch.path(), args.mib)?;
    let mut pair = Pair::start(&place, original.parent().unwrap_or(&original))?;
    let mut idle = Vec::new();
    for _ in 0..IDLE {
        let begin = say(&mut pair)?;
        pair.asker.expect("peer_message", |_| true)?;
        idle.push(begin.elapsed());
    }
    let started = Instant::now();
    pair.asker.type_line("/get 1")?;
    pair.asker
        .expect("transfer", |event| event.get("bytes").and_then(serde_json::Value::as_u64) > Some(0))?;
    let mut busy = Vec::new();
    let seconds = loop {
        let begin = say(&mut pair)?;
        let ended = heard(&mut pair.asker)?;
        if let Some(done) = ended {
            if field(&done, "state") != "done" {
                return Err(Failure::new("fetch the file", done));
            }
            break started.elapsed().as_secs_f64();
        }
        busy.push(begin.elapsed());
    };
    pair.end()?;
    let messages = busy.len();
    let mib_per_second = f64::from(args.mib) / seconds;
    let chat = Chat { mib: args.mib, idle: Times::of(idle), busy: Times::of(busy), messages, mib_per_second };
    let what = "a message over the link while a file comes, median";
    let goal = Goal::new(what, format!("{MAX_MS} ms"), MAX_MS, chat.busy.p50_ms, "ms");
    let load = format!("Chat over a link beside a file of {} MiB on loopback.", args.mib);
    Report::new(load, chat, vec![goal]).publish(args.server.json.as_deref())
}

/// The giver says something; since when.
fn say(pair: &mut Pair) -> Result<Instant, Failure> {
    let line = format!("/peer {} are you still there?", pair.asker.name);
    let begin = Instant::now();
    pair.giver.type_line(&line)?;
    Ok(begin)
}

/// Waits for the message, or for the end of the transfer.
fn heard(asker: &mut Client) -> Result<Option<serde_json::Value>, Failure> {
    let is_end = |event: &serde_json::Value| ["done", "failed", "cancelled"].contains(&field(event, "state"));
    let event = asker.any(|event| {
        field(event, "event") == "peer_message" || (field(event, "event") == "transfer" && is_end(event))
    })?;
    Ok((field(&event, "event") == "transfer").then_some(event))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_times() {
        let times = Times::of((1..=101).rev().map(Duration::from_millis).collect());
        assert_eq!((times.p50_ms, times.p95_ms, times.max_ms), (51.0, 96.0, 101.0));
        assert!(Times::of(Vec::new()).p50_ms.is_nan());
    }
}
