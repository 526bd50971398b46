//! Files that are all there get their names: many at a time, so that they are flushed together.

use super::App;
use super::jobs::{Folder, Job};
use super::receiving::{self, Failure};
use super::transfers::Stage;
use crate::downloads::{Downloads, Finished, Whole, finish_all};
use chatproto::wire::Hash;
use std::time::Instant;

/// Files that are made durable together.
const MAX_BATCH: usize = 256;

/// A file that is all there.
#[derive(Debug)]
pub(super) struct Placed {
    id: u64,
    whole: Whole,
    root: Hash,
    mtime: u64,
}

/// Files that are all there and wait to be made durable. While one batch is, the next one gathers.
#[derive(Debug, Default)]
pub(super) struct Batches {
    next: Vec<Placed>,
    under_way: bool,
}

/// How the files of a batch ended, and the download folder, which may have been opened for them.
pub(super) type Ended = (Option<Downloads>, Vec<(u64, Result<Finished, Failure>)>);

impl Batches {
    /// Whether files are being made durable.
    pub(super) fn is_under_way(&self) -> bool {
        self.under_way
    }
}

impl App {
    /// A file is all there. From here on it arrives, unless the disk fails: nothing and nobody cancels it.
    pub(super) fn finish_download(&mut self, id: u64, whole: Whole, root: Hash, mtime: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        download.stage = Stage::Placing(download.at());
        self.batches.next.push(Placed { id, whole, root, mtime });
    }

    /// Makes what is there durable, unless the disk is busy with that. Once a turn: what came together goes together.
    pub(super) fn finish_next(&mut self) {
        let is_late = self.ending.is_some_and(|leaving| leaving.is_late(Instant::now()));
        if self.batches.under_way || self.batches.next.is_empty() || is_late {
            return;
        }
        self.batches.under_way = true;
        let count = self.batches.next.len().min(MAX_BATCH);
        let files = self.batches.next.drain(..count).collect();
        let folder = self.folder();
        self.jobs.submit(Job::Finish { folder, files });
    }

    /// Files have their names, durably, or have not.
    pub(super) fn on_finished(&mut self, (downloads, finished): Ended) {
        self.batches.under_way = false;
        if let Some(downloads) = downloads {
            self.downloads.get_or_insert(downloads);
        }
        finished.into_iter().for_each(|(id, finished)| self.on_one_finished(id, finished));
    }

    fn on_one_finished(&mut self, id: u64, finished: Result<Finished, Failure>) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let at = download.at();
        // It may end now.
        download.stage = Stage::Waiting;
        if let Some(at) = at {
            self.transfers.asked.remove(&at);
            let outcome = finished.as_ref().map(drop).map_err(|failure| failure.code);
            if let Some(link) = self.links.get_mut(at.0) {
                // The file is at its place even when the peer cannot be told any more.
                let _ = link.peer.finish_file(at.1, outcome);
            }
        }
        match finished {
            Ok(finished) => self.complete_download(id, finished),
            Err(failure) => self.give_up_download(id, &failure),
        }
    }
}

/// Writes small files, compares all with their hashes, makes them durable and gives them their names; on a worker.
pub(super) fn finish(folder: Folder, files: Vec<Placed>) -> Ended {
    let ids = files.iter().map(|placed| placed.id).collect::<Vec<_>>();
    let downloads = match receiving::open(folder) {
        Ok(downloads) => downloads,
        Err(error) => {
            let Failure { code, message } = error.into();
            let failed = |id| (id, Err(Failure { code, message: message.clone() }));
            return (None, ids.into_iter().map(failed).collect());
        }
    };
    let files = files.into_iter().map(|Placed { whole, root, mtime, .. }| (whole, root.0, mtime));
    let outcomes = finish_all(&downloads, files).into_iter().map(|finished| finished.map_err(Failure::from));
    (Some(downloads), ids.into_iter().zip(outcomes).collect())
}
