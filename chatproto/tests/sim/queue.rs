//! The files that a device sends: so many go at once, over all its links, and the others wait in line and hear of their places.

use std::collections::{BTreeSet, VecDeque};

use bytes::Bytes;
use chatproto::peer::Part;
use chatproto::wire::TransferId;

/// Files that one device sends at once.
pub const SLOTS: usize = 2;

/// A transfer on one of the links, by the link's number.
pub type Job = (u64, TransferId);

#[derive(Default)]
pub struct Queue {
    active: BTreeSet<Job>,
    /// Each with the place that was told.
    line: VecDeque<(Waiting, u32)>,
}

/// A file that somebody wants.
pub struct Waiting {
    pub job: Job,
    pub bytes: Bytes,
    pub part: Option<Part>,
    pub unit_log2: u8,
}

impl Queue {
    pub fn ask(&mut self, job: Job, bytes: Bytes, part: Option<Part>, unit_log2: u8) {
        self.line.push_back((Waiting { job, bytes, part, unit_log2 }, 0));
    }

    /// A transfer is over, whether it had begun or not.
    pub fn end(&mut self, job: Job) {
        self.active.remove(&job);
        self.line.retain(|(waiting, _)| waiting.job != job);
    }

    pub fn end_link(&mut self, link: u64) {
        self.active.retain(|(of, _)| *of != link);
        self.line.retain(|(waiting, _)| waiting.job.0 != link);
    }

    /// Whoever has a turn now.
    pub fn next(&mut self) -> Option<Waiting> {
        let (next, _) = (self.active.len() < SLOTS).then(|| self.line.pop_front()).flatten()?;
        self.active.insert(next.job);
        Some(next)
    }

    /// Those whose places have changed since they were told.
    pub fn moved(&mut self) -> Vec<(Job, u32)> {
        let mut moved = Vec::new();
        for ((waiting, told), place) in self.line.iter_mut().zip(1..) {
            if *told != place {
                *told = place;
                moved.push((waiting.job, place));
            }
        }
        moved
    }

    /// Everybody's place.
    pub fn places(&self) -> impl Iterator<Item = (Job, u32)> {
        self.line.iter().zip(1..).map(|((waiting, _), place)| (waiting.job, place))
    }

    /// Nobody waits while there is a slot.
    pub fn check(&self) {
        assert!(self.active.len() <= SLOTS);
        assert!(self.line.is_empty() || self.active.len() == SLOTS, "somebody waits for nothing");
    }
}
