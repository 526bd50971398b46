//! Transfers as they go: few lines, however many facts come.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::{Audience, units};
use crate::notice::{Direction, Transfer, TransferState};

/// The transfers that are moving.
#[derive(Debug, Default)]
pub(super) struct Progress {
    moving: HashMap<u64, Moving>,
    last_line: Option<Instant>,
    /// When a place in a queue was told last.
    last_place: Option<Instant>,
}

/// One of them.
#[derive(Debug)]
struct Moving {
    since: Instant,
    /// Bytes that were there at the start: of a transfer that was resumed they cost no time.
    had: u64,
    shown_at: Instant,
    shown_bytes: u64,
}

impl Progress {
    /// The line to show now, if one is due: the beginning and the end always, the way between at a bounded rate, and
    /// only to people.
    pub(super) fn line(&mut self, transfer: &Transfer, audience: Audience, now: Instant) -> Option<String> {
        match transfer.state {
            // Without a place in a queue it starts at once.
            TransferState::Queued => {
                transfer.position?;
                let is_due = self.last_place.is_none_or(|last| now.duration_since(last) >= PLACE_INTERVAL);
                is_due.then(|| {
                    self.last_place = Some(now);
                    format!("{}: {}", title(transfer), queued(transfer))
                })
            }
            TransferState::Active => self.active(transfer, audience, now),
            TransferState::Waiting | TransferState::Paused => {
                self.moving.remove(&transfer.id);
                Some(format!("{}: {}", title(transfer), standing(transfer)))
            }
            TransferState::Done => {
                let moving = self.moving.remove(&transfer.id);
                Some(done(transfer, moving.map(|moving| (moving.had, now.duration_since(moving.since)))))
            }
            TransferState::Failed | TransferState::Cancelled => {
                self.moving.remove(&transfer.id);
                Some(format!("{}: {}", title(transfer), ended(transfer)))
            }
        }
    }

    fn active(&mut self, transfer: &Transfer, audience: Audience, now: Instant) -> Option<String> {
        let Some(moving) = self.moving.get_mut(&transfer.id) else {
            if self.moving.len() < MAX_MOVING {
                let bytes = transfer.bytes;
                let moving = Moving { since: now, had: bytes, shown_at: now, shown_bytes: bytes };
                self.moving.insert(transfer.id, moving);
            }
            self.last_line = Some(now);
            return Some(format!("{}: {}", title(transfer), started(transfer)));
        };
        let quiet = now.duration_since(moving.shown_at) < TRANSFER_INTERVAL
            || self.last_line.is_some_and(|last| now.duration_since(last) < LINE_INTERVAL);
        if audience == Audience::Script || quiet {
            return None;
        }
        let gained = transfer.bytes.saturating_sub(moving.shown_bytes);
        let line = format!("{}: {}", title(transfer), way(transfer, gained, now - moving.shown_at));
        (moving.shown_at, moving.shown_bytes) = (now, transfer.bytes);
        self.last_line = Some(now);
        Some(line)
    }
}

/// One line for `/transfers`, without speed.
pub(super) fn summary(transfer: &Transfer) -> String {
    let state = match transfer.state {
        TransferState::Queued => queued(transfer),
        TransferState::Active => {
            let speed = transfer.speed.map_or_else(String::new, |speed| format!(" {}/s", units::size(speed)));
            format!("{}{speed}", amount(transfer))
        }
        TransferState::Waiting | TransferState::Paused => standing(transfer),
        TransferState::Done => format!("done, {}", units::size(transfer.bytes)),
        TransferState::Failed | TransferState::Cancelled => ended(transfer),
    };
    format!("{}: {state}", title(transfer))
}

fn title(transfer: &Transfer) -> String {
    let (id, peer) = (transfer.id, transfer.peer.as_str());
    let name = match transfer.folder.as_str() {
        "" => transfer.name.as_str().to_owned(),
        folder => format!("{folder}/{}", transfer.name.as_str()),
    };
    match transfer.direction {
        Direction::In => format!("transfer {id}: {name} from {peer}"),
        Direction::Out => format!("transfer {id}: {name} to {peer}"),
    }
}

fn standing(transfer: &Transfer) -> String {
    match transfer.state {
        TransferState::Paused => format!("paused at {}", amount(transfer)),
        TransferState::Waiting
        | TransferState::Queued
        | TransferState::Active
        | TransferState::Done
        | TransferState::Failed
        | TransferState::Cancelled => {
            format!("waiting for a link with {}, {}", transfer.peer.as_str(), amount(transfer))
        }
    }
}

fn queued(transfer: &Transfer) -> String {
    transfer.position.map_or_else(|| "waiting".to_owned(), |position| format!("waiting, place {position}"))
}

fn started(transfer: &Transfer) -> String {
    let size = transfer.size.map_or_else(|| "size unknown".to_owned(), units::size);
    match transfer.bytes {
        0 => format!("started, {size}"),
        bytes => format!("resumed at {} of {size}", units::size(bytes)),
    }
}

/// `45% 12.3 MiB/s 3 s left`, at the speed of the last `time`.
fn way(transfer: &Transfer, gained: u64, time: Duration) -> String {
    let mut line = amount(transfer);
    if let Some(speed) = units::speed(gained, time) {
        line += &format!(" {speed}");
    }
    let left = transfer.size.map(|size| size.saturating_sub(transfer.bytes));
    if let (Some(left), true) = (left, gained > 0) {
        let seconds = (u128::from(left) * time.as_millis()).div_ceil(u128::from(gained) * 1000);
        line += &format!(" {} left", units::seconds(u64::try_from(seconds).unwrap_or(u64::MAX)));
    }
    line
}

fn amount(transfer: &Transfer) -> String {
    match transfer.size {
        Some(size) if size > 0 => {
            // Rounded down: 100% is for what is done.
            format!("{}%", u128::from(transfer.bytes.min(size)) * 100 / u128::from(size))
        }
        Some(_) | None => units::size(transfer.bytes),
    }
}

/// What one `/get` came to, where that is more than one file.
pub(super) fn sum(peer: &str, counts: (u64, u64, u64), bytes: u64, millis: u64) -> Option<String> {
    let (done, failed, cancelled) = counts;
    match done + failed + cancelled {
        0 => return Some(format!("there are no files to fetch from {peer}")),
        // What became of it was told.
        1 => return None,
        _ => {}
    }
    let mut line = format!("fetched {done} of {} files from {peer}", done + failed + cancelled);
    let mut facts = vec![units::size(bytes)];
    facts.extend(units::speed(bytes, Duration::from_millis(millis)));
    facts.extend((failed > 0).then(|| format!("{failed} failed")));
    facts.extend((cancelled > 0).then(|| format!("{cancelled} cancelled")));
    line += &format!(" ({})", facts.join(", "));
    Some(line)
}

/// `saved /path/notes.txt (1.2 MiB, 45 MiB/s, verified, blake3 HEX)`
fn done(transfer: &Transfer, took: Option<(u64, Duration)>) -> String {
    let mut facts = vec![units::size(transfer.size.unwrap_or(transfer.bytes))];
    facts.extend(took.and_then(|(had, time)| units::speed(transfer.bytes.saturating_sub(had), time)));
    if let Some(root) = transfer.blake3 {
        if transfer.direction == Direction::In {
            facts.push("verified".to_owned());
        }
        facts.push(format!("blake3 {root}"));
    }
    let facts = facts.join(", ");
    match (transfer.direction, &transfer.path) {
        (Direction::In, Some(path)) => format!("saved {} ({facts})", path.display()),
        (Direction::In, None) => format!("saved {} ({facts})", transfer.name.as_str()),
        (Direction::Out, _) => format!("{}: sent ({facts})", title(transfer)),
    }
}

fn ended(transfer: &Transfer) -> String {
    let word = if transfer.state == TransferState::Cancelled { "cancelled" } else { "failed" };
    let why = transfer.error.filter(|_| transfer.state == TransferState::Failed);
    match (why, &transfer.message) {
        (Some(_), Some(message)) => format!("{word}: {message}"),
        (Some(code), None) => format!("{word}: {}", code.meaning()),
        (None, _) => word.to_owned(),
    }
}

/// The way of one transfer is shown so often.
const TRANSFER_INTERVAL: Duration = Duration::from_secs(1);

/// Lines about the way of any transfer are at least so far apart.
const LINE_INTERVAL: Duration = Duration::from_millis(250);

/// Places in a queue, of whatever transfer, are told so often: where hundreds wait, each moves up with each that is sent.
const PLACE_INTERVAL: Duration = Duration::from_secs(1);

/// So many transfers are followed at once. Bounds the memory of transfers whose end is never told.
const MAX_MOVING: usize = 1024;
