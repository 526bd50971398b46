//! The beginning of a download: it waits for its turn, a worker looks for what there is of it, and the rest is asked for.

use super::App;
use super::errand::Errand;
use super::gather::Outcome;
use super::jobs::Job;
use super::links::LinkId;
use super::meter::Meter;
use super::remote::RemoteFile;
use super::transfers::{Download, Stage};
use crate::downloads::Incoming;
use crate::notice::{Code, Direction, Transfer};
use chatproto::peer::{FetchError, Resume};
use chatproto::wire::{ErrorCode, Hash, SafeName, SafeRelPath};
use std::time::Instant;

/// Files that may wait. Answers a script that asks without end.
pub(super) const MAX_WAITING: usize = 20_000;

impl App {
    /// Fetches one file of a list into a folder below the download folder; `id` is the number of a transfer that goes on.
    pub(super) fn fetch(
        &mut self,
        errand: &Errand,
        link: LinkId,
        batch: Option<u64>,
        id: Option<u64>,
        file: RemoteFile,
        place: (SafeRelPath, SafeName),
    ) {
        if self.transfers.downloads.len() >= MAX_WAITING {
            let text = format!("{MAX_WAITING} files wait to be fetched already");
            return self.voice.fail(Some(errand), ErrorCode::TooManyTransfers, text);
        }
        if id.is_none() && !self.count_file(batch) {
            return;
        }
        if id.is_none() && self.adopt(errand, batch, &file) {
            return;
        }
        // What was left by an earlier run, or had failed, is the same file: it goes on under its number.
        let id = id.or_else(|| self.kept.number_of(&file.peer, &file.path));
        let kept = id.and_then(|id| self.kept.take(id));
        let id = id.unwrap_or_else(|| self.transfers.next_id());
        let (into, name) = kept.map_or(place, |kept| (kept.fact.folder, kept.fact.name));
        let mut fact = Transfer::new(id, file.peer.clone(), Direction::In, into, name);
        fact.size = Some(file.size);
        let now = Instant::now();
        let mut download = Download {
            errand: errand.clone(),
            batch,
            link: Some(link),
            file,
            fact,
            stage: Stage::Waiting,
            found: None,
            paused: false,
            paused_there: false,
            was_parked: false,
            heard_at: now,
            trickle: 0,
            shown_at: None,
            meter: Meter::new(now),
        };
        self.voice.show(&download.notice(), Some(&download.errand));
        match (download.file.content.take(), download.file.root) {
            (Some(content), Some(root)) => {
                download.stage = Stage::Placing;
                let (folder, into) = (self.folder(), download.fact.folder.clone());
                let (name, origin) = (download.fact.name.clone(), download.file.origin());
                self.jobs.submit(Job::Place { id, folder, into, name, origin, root, content });
            }
            // The machine lets no content through without a root.
            (Some(_) | None, _) => self.remember(&download, None),
        }
        self.transfers.downloads.insert(id, download);
        self.start_downloads(link);
    }

    /// Whether a file goes on by itself already, after its link was lost or the program ended: then it is what was asked
    /// for.
    fn adopt(&mut self, errand: &Errand, batch: Option<u64>, file: &RemoteFile) -> bool {
        let same = |it: &&mut Download| it.file.peer == file.peer && it.file.path == file.path;
        let mut goes_on = self.transfers.downloads.values_mut().filter(same);
        let Some(download) = goes_on.find(|it| it.batch.is_none() || it.was_parked) else { return false };
        download.errand = errand.clone();
        let earlier = std::mem::replace(&mut download.batch, batch);
        let id = download.fact.id;
        self.end_file(earlier, Outcome::Cancelled);
        self.show_change(id);
        true
    }

    /// Begins waiting files as far as there is room.
    pub(super) fn start_downloads(&mut self, link: LinkId) {
        for id in self.transfers.next_waiting(link) {
            let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
            if download.file.has_parts() && download.found.is_none() {
                download.stage = Stage::Looking;
                if self.transfers.discarding.is_empty() {
                    self.look_for_part(id);
                } else {
                    self.transfers.held_up.insert(id);
                }
            } else {
                download.stage = Stage::Ready;
                if !self.ask_for(id) {
                    return;
                }
            }
        }
        self.gather(link);
    }

    /// Lets a worker look for what an earlier transfer left.
    pub(super) fn look_for_part(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get(&id) else { return };
        let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
        let origin = download.file.origin();
        let folder = self.folder();
        self.jobs.submit(Job::Look { id, folder, into, name, origin });
    }

    /// It is known what there is of a file; the rest is asked for.
    pub(super) fn found_part(&mut self, id: u64, found: Option<Box<Incoming>>) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        match (download.link, &download.stage) {
            (Some(_), Stage::Looking) => {
                download.found = found;
                download.stage = Stage::Ready;
                self.ask_for(id);
            }
            // The link was lost meanwhile.
            (None | Some(_), _) => match found {
                Some(incoming) => self.put_away(id, incoming),
                None => self.on_parked(id),
            },
        }
    }

    /// `false` when nothing can be asked for on this link now.
    fn ask_for(&mut self, id: u64) -> bool {
        let Some(download) = self.transfers.downloads.get(&id) else { return true };
        if let Some(root) = self.comes_in_parts(download) {
            self.begin_parts(id, root);
            return true;
        }
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return true };
        let at = download.found.as_ref().map_or_else(Resume::default, |found| resume_at(found));
        let link = download.link.and_then(|id| Some((id, self.links.get_mut(id)?)));
        let Some((link_id, link)) = link else {
            self.fail_download(id, Code::LinkLost, None);
            return true;
        };
        let mut asked = link.peer.fetch(download.file.source, at);
        if asked == Err(FetchError::NoResume) {
            // What is there is compared with what comes.
            asked = link.peer.fetch(download.file.source, Resume::default());
        }
        match asked {
            Ok(transfer) => {
                download.stage = Stage::Asked((link_id, transfer));
                download.heard_at = Instant::now();
                if download.paused {
                    // It was stopped while a worker looked for its part.
                    let _ = link.peer.pause_file(transfer);
                }
                self.transfers.asked.insert((link_id, transfer), id);
                true
            }
            // When the link has less to do, or when its end, which follows, has parked it, it is asked for.
            Err(FetchError::TooMany { .. } | FetchError::NotOpen(_)) => {
                download.stage = Stage::Waiting;
                false
            }
            Err(
                FetchError::Resume(_) | FetchError::NoResume | FetchError::NoSources | FetchError::UsedUp,
            ) => {
                self.fail_download(id, Code::LinkLost, None);
                true
            }
        }
    }

    pub(super) fn start_next(&mut self, link: Option<LinkId>) {
        if let Some(link) = link {
            self.start_downloads(link);
        }
    }
}

/// Where to go on with a part of a file.
fn resume_at(found: &Incoming) -> Resume {
    let (units, held) = found.prefix();
    let unit_log2 = found.layout().unit().get();
    match units {
        0 => Resume::whole(unit_log2),
        units => Resume { unit_log2, offset: units << unit_log2, held: Some(Hash(held)) },
    }
}
