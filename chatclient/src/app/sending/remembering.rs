//! What was computed of a file while it was sent is remembered, many files at a time.

use crate::app::App;
use crate::app::jobs::Job;
use crate::share::Outgoing;

/// Files that were sent and whose hashes are not remembered yet, at most: each is open.
const MAX_UNREMEMBERED: usize = 64;

/// Files whose hashes are to be remembered.
#[derive(Debug, Default)]
pub(in crate::app) struct Sent {
    next: Vec<Outgoing>,
    under_way: bool,
}

impl App {
    /// Keeps what was computed of a file that is not read any more.
    pub(super) fn remember_hashes(&mut self, outgoing: Box<Outgoing>, doubted: bool) {
        let Some(share) = self.share.clone() else { return };
        if doubted {
            return self.jobs.submit(Job::Doubt { share, outgoing });
        }
        self.sent.next.push(*outgoing);
        if self.sent.next.len() >= MAX_UNREMEMBERED {
            self.remember_next();
        }
    }

    /// Keeps what was computed of the files that were sent meanwhile, unless a worker is at it: many at a time, for one alone is
    /// hardly worth waking a thread.
    pub(in crate::app) fn remember_sent(&mut self) {
        if !self.sent.under_way {
            self.remember_next();
        }
    }

    fn remember_next(&mut self) {
        let Some(share) = self.share.clone().filter(|_| !self.sent.next.is_empty()) else { return };
        self.sent.under_way = true;
        self.jobs.submit(Job::Remember { share, outgoing: std::mem::take(&mut self.sent.next) });
    }

    pub(in crate::app) fn on_remembered(&mut self) {
        self.sent.under_way = false;
    }
}
