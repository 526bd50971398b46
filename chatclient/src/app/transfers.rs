//! The transfers of both directions as the user sees them: numbered over all links, shown at a bounded rate.

use super::App;
use super::errand::Errand;
use super::jobs::{Job, LinkTransfer};
use super::links::LinkId;
use super::receiving::{self, Coming};
use crate::notice::{Code, Direction, Notice, Transfer, TransferState};
use chatproto::peer::FetchError;
use chatproto::peer::Resume;
use chatproto::wire::{ErrorCode, Name, SafeName, Source};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Files that come over one link at a time; the others wait here. More would only make each of them slower.
const MAX_ACTIVE: usize = 4;

/// Files that may wait. Answers a script that asks without end.
const MAX_WAITING: usize = 10_000;

/// At most four times a second: enough for eyes, little for logs.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);

/// A peer that sends nothing of a file for so long does not send it any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A file that this client fetches.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) errand: Errand,
    pub(super) link: LinkId,
    source: Source,
    pub(super) fact: Transfer,
    pub(super) stage: Stage,
    /// When something of it came last.
    pub(super) heard_at: Instant,
    shown_at: Option<Instant>,
}

/// How far a download is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Others on the same link come first.
    Waiting,
    /// The peer was asked.
    Asked(LinkTransfer),
    /// Bytes come.
    Coming(LinkTransfer, Coming),
}

/// All downloads that have not ended, and the numbers of transfers.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub(super) downloads: BTreeMap<u64, Download>,
    /// The downloads that the peers know, by the peers' numbers.
    asked: BTreeMap<LinkTransfer, u64>,
    last: u64,
}

impl Transfers {
    /// A number for a transfer, from 1.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// The download that the peer knows by this number.
    pub(super) fn of(&mut self, at: LinkTransfer) -> Option<&mut Download> {
        self.downloads.get_mut(self.asked.get(&at)?)
    }

    /// When the next download will have stalled, unless something comes.
    pub(super) fn next_stall(&self) -> Option<Instant> {
        let active = self.asked.values().filter_map(|id| self.downloads.get(id));
        active.map(|download| download.heard_at + STALL_TIMEOUT).min()
    }

    fn stalled(&self, now: Instant) -> Option<(LinkTransfer, u64)> {
        let stalled = |id: &u64| {
            self.downloads.get(id).is_some_and(|download| now >= download.heard_at + STALL_TIMEOUT)
        };
        self.asked.iter().find(|(_, id)| stalled(id)).map(|(at, id)| (*at, *id))
    }

    fn remove(&mut self, id: u64) -> Option<Download> {
        let download = self.downloads.remove(&id)?;
        if let Some(at) = download.at() {
            self.asked.remove(&at);
        }
        Some(download)
    }

    fn active_on(&self, link: LinkId) -> usize {
        self.asked.keys().filter(|(on, _)| *on == link).count()
    }

    fn next_waiting(&self, link: LinkId) -> Option<u64> {
        let waits = |download: &&Download| download.link == link && download.at().is_none();
        self.downloads.values().find(waits).map(|download| download.fact.id)
    }
}

impl Download {
    pub(super) fn at(&self) -> Option<LinkTransfer> {
        match &self.stage {
            Stage::Waiting => None,
            Stage::Asked(at) | Stage::Coming(at, _) => Some(*at),
        }
    }

    fn notice(&self) -> Notice {
        Notice::Transfer(self.fact.clone())
    }
}

impl App {
    /// Fetches one file of a list that was shown.
    pub(super) fn fetch(
        &mut self,
        errand: &Errand,
        link: LinkId,
        peer: Name,
        name: SafeName,
        source: Source,
    ) {
        if self.transfers.downloads.len() >= MAX_WAITING {
            let text = format!("{MAX_WAITING} files wait to be fetched already");
            return self.voice.fail(Some(errand), ErrorCode::TooManyTransfers, text);
        }
        let id = self.transfers.next_id();
        let fact = Transfer {
            id,
            peer,
            direction: Direction::In,
            name,
            size: None,
            bytes: 0,
            state: TransferState::Queued,
            path: None,
            blake3: None,
            position: None,
            error: None,
        };
        let errand = errand.clone();
        let download = Download {
            errand,
            link,
            source,
            fact,
            stage: Stage::Waiting,
            heard_at: Instant::now(),
            shown_at: None,
        };
        self.voice.show(&download.notice(), Some(&download.errand));
        self.transfers.downloads.insert(id, download);
        self.start_downloads(link);
    }

    /// Asks for waiting files as far as there is room.
    pub(super) fn start_downloads(&mut self, link: LinkId) {
        while self.transfers.active_on(link) < MAX_ACTIVE
            && let Some(id) = self.transfers.next_waiting(link)
        {
            let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
            let asked = match self.links.get_mut(link) {
                Some(link) => link.peer.fetch(download.source, Resume::default()),
                None => return self.fail_download(id, Code::LinkLost),
            };
            match asked {
                Ok(transfer) => {
                    download.stage = Stage::Asked((link, transfer));
                    download.heard_at = Instant::now();
                    self.transfers.asked.insert((link, transfer), id);
                }
                Err(FetchError::TooMany { .. }) => return,
                Err(
                    FetchError::NotOpen(_)
                    | FetchError::Resume(_)
                    | FetchError::NoResume
                    | FetchError::UsedUp,
                ) => {
                    self.fail_download(id, Code::LinkLost);
                }
            }
        }
    }

    /// Tells how far a download is, unless that was told a moment ago.
    pub(super) fn show_progress(&mut self, id: u64) {
        let now = Instant::now();
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        if download.shown_at.is_none_or(|shown| now.duration_since(shown) >= SHOW_INTERVAL) {
            download.shown_at = Some(now);
            self.voice.show(&download.notice(), Some(&download.errand));
        }
    }

    /// Ends a download that arrived.
    pub(super) fn complete_download(&mut self, id: u64, finished: crate::downloads::Finished) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        let fact = &mut download.fact;
        fact.state = TransferState::Done;
        fact.bytes = finished.size;
        fact.path = Some(finished.path);
        fact.blake3 = Some(chatproto::wire::Hash(finished.root));
        self.voice.show(&download.notice(), Some(&download.errand));
        self.start_downloads(download.link);
    }

    /// Ends a download that will not arrive, and removes what came.
    pub(super) fn fail_download(&mut self, id: u64, code: Code) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        if let Stage::Coming(_, Coming { incoming: Some(incoming), .. }) = download.stage {
            self.jobs.submit(Job::Discard { incoming });
        }
        download.stage = Stage::Waiting;
        let cancelled = code == Code::Wire(ErrorCode::Cancelled);
        download.fact.state = if cancelled { TransferState::Cancelled } else { TransferState::Failed };
        download.fact.error = Some(code);
        download.fact.position = None;
        self.voice.show(&download.notice(), Some(&download.errand));
        // Who cancels a file has got what was asked for; it is a peer's cancel that fails the command.
        self.voice.note(code);
        let link = download.link;
        drop(download);
        self.start_downloads(link);
    }

    /// Gives a download up because of something here, and tells the peer.
    pub(super) fn give_up_download(&mut self, id: u64, failure: &receiving::Failure) {
        self.cancel_on_link(id, failure.code);
        self.voice.info(failure.message.clone());
        self.fail_download(id, failure.code.into());
    }

    /// Gives up what has not come for too long. Places in a queue count as coming.
    pub(super) fn end_stalled(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.transfers.stalled(now) {
            tracing::debug!(?at, id, "a transfer has stalled");
            self.cancel_on_link(id, ErrorCode::Timeout);
            self.fail_download(id, ErrorCode::Timeout.into());
        }
    }

    /// `/cancel`.
    pub(super) fn cancel_transfer(&mut self, errand: &Errand, id: u64) {
        if self.transfers.downloads.contains_key(&id) {
            self.cancel_on_link(id, ErrorCode::Cancelled);
            return self.drop_download(id);
        }
        let Some(at) = self.uploads.iter().find(|(_, upload)| upload.id() == id).map(|(at, _)| *at) else {
            return self.voice.fail(Some(errand), Code::NoSuchTransfer, format!("there is no transfer {id}"));
        };
        if let Some(link) = self.links.get_mut(at.0) {
            // It has ended already when this fails.
            let _ = link.peer.cancel(at.1, ErrorCode::Cancelled);
        }
        self.on_upload_over(at, Some(ErrorCode::Cancelled));
    }

    /// `/transfers`.
    pub(super) fn show_transfers(&mut self, errand: &Errand) {
        let downloads = self.transfers.downloads.values().map(|download| download.fact.clone());
        let uploads = self.uploads.values().map(super::sending::Upload::fact);
        let mut transfers = downloads.chain(uploads).collect::<Vec<_>>();
        transfers.sort_by_key(|transfer| transfer.id);
        self.voice.show(&Notice::Transfers { transfers }, Some(errand));
    }

    /// Ends a download because the user wished so: nothing has failed.
    pub(super) fn drop_download(&mut self, id: u64) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        if let Stage::Coming(_, Coming { incoming: Some(incoming), .. }) = download.stage {
            self.jobs.submit(Job::Discard { incoming });
        }
        download.stage = Stage::Waiting;
        download.fact.state = TransferState::Cancelled;
        self.voice.show(&download.notice(), Some(&download.errand));
        self.start_downloads(download.link);
    }

    fn cancel_on_link(&mut self, id: u64, code: ErrorCode) {
        let at = self.transfers.downloads.get(&id).and_then(Download::at);
        if let Some((link, transfer)) = at
            && let Some(link) = self.links.get_mut(link)
        {
            // It has ended already when this fails.
            let _ = link.peer.cancel(transfer, code);
        }
    }

    /// Every download over a link that has ended.
    pub(super) fn fail_downloads_of(&mut self, link: LinkId) {
        let of_link = |(id, download): (&u64, &Download)| (download.link == link).then_some(*id);
        let ids = self.transfers.downloads.iter().filter_map(of_link).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| self.fail_download(id, Code::LinkLost));
    }
}
