//! Files that are all there get their names: many at a time, so that they are flushed together.

use super::App;
use super::jobs::{Folder, Job};
use super::receiving::{self, Failure};
use super::transfers::Download;
use crate::downloads::{Downloads, Finished, Whole, finish_all};
use chatproto::wire::Hash;

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

impl App {
    /// A file is all there.
    pub(super) fn finish_download(&mut self, id: u64, whole: Whole, root: Hash, mtime: u64) {
        self.batches.next.push(Placed { id, whole, root, mtime });
    }

    /// Makes what is there durable, unless the disk is busy with that. Once a turn: what came together goes together.
    pub(super) fn finish_next(&mut self) {
        if self.batches.under_way || self.batches.next.is_empty() {
            return;
        }
        let is_wanted = |placed: &Placed| self.transfers.downloads.contains_key(&placed.id);
        let (wanted, unwanted) = std::mem::take(&mut self.batches.next).into_iter().partition(is_wanted);
        let unwanted: Vec<_> = unwanted;
        self.batches.next = wanted;
        unwanted.into_iter().for_each(|placed| self.leave_out(placed));
        let count = self.batches.next.len().min(MAX_BATCH);
        if count == 0 {
            return;
        }
        self.batches.under_way = true;
        let files = self.batches.next.drain(..count).collect();
        let folder = self.folder();
        self.jobs.submit(Job::Finish { folder, files });
    }

    /// The download has ended meanwhile.
    fn leave_out(&mut self, Placed { id, whole, .. }: Placed) {
        match whole {
            Whole::Written(incoming) => self.put_away(id, incoming),
            Whole::Small(_) => self.nothing_is_kept(id),
        }
    }

    /// Whoever waits for what is left of a download that has ended waits in vain.
    fn nothing_is_kept(&mut self, id: u64) {
        self.transfers.keeping.remove(&id);
        self.transfers.unwanted.remove(&id);
        self.on_forgotten(id, Ok(true));
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
        if !self.transfers.downloads.contains_key(&id) {
            // It has ended meanwhile, and has arrived all the same.
            if finished.is_ok() {
                self.forget_wanted(id);
            }
            return self.nothing_is_kept(id);
        }
        let at = self.transfers.downloads.get(&id).and_then(Download::at);
        let outcome = finished.as_ref().map(drop).map_err(|failure| failure.code);
        if let Some((link, transfer)) = at
            && let Some(link) = self.links.get_mut(link)
        {
            // The file is at its place even when the peer cannot be told any more.
            let _ = link.peer.finish_file(transfer, outcome);
        }
        match finished {
            Ok(finished) => self.complete_download(id, finished),
            Err(failure) => {
                self.give_up_download(id, &failure);
                self.nothing_is_kept(id);
            }
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
