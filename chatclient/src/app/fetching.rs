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
use crate::notice::{Code, Direction, Transfer, TransferState};
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
        let is_asked_for = id.is_none();
        // What was left by an earlier run, or had failed, is the same file: it goes on under its number.
        let id = id.or_else(|| self.kept.number_of(&file.peer, &file.path));
        let kept = id.and_then(|id| self.kept.take(id));
        let id = id.unwrap_or_else(|| self.transfers.next_id());
        // What is asked for by name is to come, also where an earlier run had stopped it.
        let was_paused = kept.as_ref().is_some_and(|kept| kept.paused);
        let paused = if is_asked_for { self.gathering.is_paused(batch) } else { was_paused };
        let (into, name) = kept.map_or(place, |kept| (kept.fact.folder, kept.fact.name));
        let mut fact = Transfer::new(id, file.peer.clone(), Direction::In, into, name);
        fact.size = Some(file.size);
        if paused {
            fact.state = TransferState::Paused;
        }
        let now = Instant::now();
        let mut download = Download {
            errand: errand.clone(),
            batch,
            link: Some(link),
            device: self.links.device(link),
            file,
            fact,
            stage: Stage::Waiting,
            found: None,
            paused,
            paused_there: false,
            was_parked: false,
            is_sought: false,
            seeks: 0,
            asked_at: now,
            heard_at: now,
            shown_at: None,
            meter: Meter::new(now),
        };
        self.voice.show(&download.notice(), Some(&download.errand));
        // The machine lets no content through without a root.
        let content = download.file.content.take().zip(download.file.root);
        if content.is_none() {
            self.remember(&download, None);
        }
        self.transfers.insert(download);
        match content {
            Some((content, root)) => self.on_listed_content(id, content, root),
            None => self.start_soon(link),
        }
    }

    /// Whether a file goes on by itself already, after its link was lost or the program ended: then it is what was asked
    /// for.
    fn adopt(&mut self, errand: &Errand, batch: Option<u64>, file: &RemoteFile) -> bool {
        let goes_on = |it: &Download| it.file.peer == file.peer && (it.batch.is_none() || it.was_parked);
        let id = self.transfers.of_path(&file.path).find(|download| goes_on(download)).map(|it| it.fact.id);
        let Some(download) = id.and_then(|id| self.transfers.downloads.get_mut(&id)) else { return false };
        download.errand = errand.clone();
        let earlier = std::mem::replace(&mut download.batch, batch);
        let id = download.fact.id;
        self.end_file(earlier, Outcome::Cancelled);
        self.show_change(id);
        true
    }

    /// Begins waiting files on a link, once what happens now is over: then all that may begin is looked for once.
    pub(super) fn start_soon(&mut self, link: LinkId) {
        self.transfers.due.insert(link);
    }

    /// Begins what may begin; whether there was anything to look for.
    pub(super) fn start_due(&mut self) -> bool {
        let due = std::mem::take(&mut self.transfers.due);
        let is_any = !due.is_empty();
        due.into_iter().for_each(|link| self.start_downloads(link));
        is_any
    }

    /// Begins waiting files as far as there is room.
    fn start_downloads(&mut self, link: LinkId) {
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
        if self.transfers.is_limited(link) {
            self.plan_all();
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
        if let Some(download) = self.transfers.downloads.get_mut(&id) {
            download.asked_at = Instant::now();
            download.fact.first_byte_us = None;
        }
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
            self.start_soon(link);
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
