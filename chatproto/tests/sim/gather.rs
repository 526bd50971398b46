//! A file that everybody shares, fetched in parts from whoever is linked: whichever part comes from whom, the whole is the file.

use std::collections::{BTreeMap, BTreeSet};

use chatproto::peer::Part;
use chatproto::testing::Rng;
use chatproto::wire::Hash;

use crate::queue::Job;
use crate::share::{self, COMMON_LEN};

const UNIT_LOG2: u8 = 10;

/// Units asked of one source at once, at most.
const MOST: u64 = 2;

#[derive(Default)]
pub struct Gather {
    have: BTreeMap<u64, Vec<u8>>,
    /// What is on its way, by where it comes from.
    busy: BTreeMap<Job, Part>,
    sources: BTreeSet<usize>,
}

impl Gather {
    /// What to ask the next source for, if there is anything that nobody sends.
    pub fn next(&self, rng: &mut Rng) -> Option<Part> {
        let is_free = |unit: &u64| {
            let is_coming = |part: &Part| (part.first..part.first + part.count).contains(unit);
            !self.have.contains_key(unit) && !self.busy.values().any(is_coming)
        };
        let units = (COMMON_LEN as u64).div_ceil(1 << UNIT_LOG2);
        let first = (0..units).find(is_free)?;
        let count = (first..units.min(first + 1 + rng.below(MOST))).take_while(is_free).count() as u64;
        Some(Part { unit_log2: UNIT_LOG2, first, count, values: rng.chance(50) })
    }

    pub fn begin(&mut self, job: Job, part: Part) {
        self.busy.insert(job, part);
    }

    /// It does not come: somebody else is to send it.
    pub fn failed(&mut self, job: Job) {
        self.busy.remove(&job);
    }

    pub fn end_link(&mut self, link: u64) {
        self.busy.retain(|(of, _), _| *of != link);
    }

    /// A part has come from somebody. From how many the file is, if it is whole now; it is begun anew then.
    pub fn arrived(&mut self, job: Job, from: usize, bytes: &[u8], root: Hash) -> Option<usize> {
        let part = self.busy.remove(&job).expect("it was asked for");
        let units = bytes.chunks(1 << UNIT_LOG2).map(<[u8]>::to_vec);
        assert_eq!(units.len() as u64, part.count);
        self.have.extend((part.first..).zip(units));
        self.sources.insert(from);
        let whole = self.have.values().flatten().copied().collect::<Vec<_>>();
        if whole.len() < COMMON_LEN {
            return None;
        }
        assert!(self.have.keys().copied().eq(0..self.have.len() as u64));
        assert_eq!(share::digest(&whole), root, "a whole file of other bytes");
        let sources = self.sources.len();
        *self = Self { busy: core::mem::take(&mut self.busy), ..Self::default() };
        Some(sources)
    }
}
