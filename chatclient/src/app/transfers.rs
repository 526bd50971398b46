//! The transfers of both directions as the user sees them: numbered over all links, shown at a bounded rate.

use super::App;
use super::errand::Errand;
use super::gather::Ending;
use super::jobs::{Job, LinkTransfer};
use super::links::LinkId;
use super::lists::Entry;
use super::receiving::{self, Coming};
use crate::notice::{Code, Direction, Notice, Transfer, TransferState};
use chatproto::peer::FetchError;
use chatproto::peer::Resume;
use chatproto::wire::{ErrorCode, Generation, SafeName, SafeRelPath, Source};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Files that come over one link at a time; the others wait here. More would only make each of them slower.
const MAX_ACTIVE: usize = 4;

/// Files that may wait. Answers a script that asks without end.
pub(super) const MAX_WAITING: usize = 20_000;

/// At most four times a second for one transfer: enough for eyes, little for logs.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);

/// A peer that sends nothing of a file for so long does not send it any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// A file of a peer, and where it is to lie here.
#[derive(Debug)]
pub(super) struct Wanted {
    /// Its path at the peer.
    pub(super) remote: SafeRelPath,
    /// The folder below the download folder.
    pub(super) into: SafeRelPath,
    pub(super) name: SafeName,
    pub(super) source: Source,
    pub(super) entry: Entry,
}

/// A file that this client fetches.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) errand: Errand,
    /// The `/get` that counts it.
    pub(super) batch: Option<u64>,
    pub(super) link: LinkId,
    source: Source,
    /// Its path at the peer, and its size as it was listed.
    pub(super) remote: SafeRelPath,
    pub(super) listed_size: u64,
    pub(super) fact: Transfer,
    pub(super) stage: Stage,
    /// The user has stopped it.
    pub(super) paused: bool,
    /// The peer has stopped it.
    pub(super) paused_there: bool,
    /// When something of it came last.
    pub(super) heard_at: Instant,
    shown_at: Option<Instant>,
    meter: Meter,
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
    /// All bytes came with the list; a worker puts them in their place.
    Placing,
}

/// How fast something moves, over the last moments.
#[derive(Debug)]
struct Meter {
    at: Instant,
    bytes: u64,
    speed: Option<u64>,
}

/// The speed is told over at least so long.
const METER_INTERVAL: Duration = Duration::from_millis(500);

/// All downloads that have not ended, and the numbers of transfers.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub(super) downloads: BTreeMap<u64, Download>,
    /// The downloads that the peers know, by the peers' numbers.
    asked: BTreeMap<LinkTransfer, u64>,
    /// How many of a list's files were not asked for yet.
    unasked: BTreeMap<(LinkId, Generation), usize>,
    last: u64,
}

impl Transfers {
    /// A number for a transfer, from 1.
    pub(super) fn next_id(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// Numbers up to this one are in use.
    pub(super) fn skip_to(&mut self, id: u64) {
        self.last = self.last.max(id);
    }

    /// The download that the peer knows by this number.
    pub(super) fn of(&mut self, at: LinkTransfer) -> Option<&mut Download> {
        self.downloads.get_mut(self.asked.get(&at)?)
    }

    /// Lists of a link of which a file was not asked for yet.
    pub(super) fn generations(&self, link: LinkId) -> impl Iterator<Item = Generation> {
        self.unasked.keys().filter(move |(on, _)| *on == link).map(|(_, generation)| *generation)
    }

    /// Links over which files come, or were asked for.
    pub(super) fn busy_links(&self) -> Vec<LinkId> {
        let mut links = self.asked.keys().map(|(link, _)| *link).collect::<Vec<_>>();
        links.dedup();
        links
    }

    /// When the next download will have stalled, unless something comes.
    pub(super) fn next_stall(&self) -> Option<Instant> {
        let active = self.asked.values().filter_map(|id| self.downloads.get(id));
        active.filter(|download| download.may_stall()).map(|download| download.heard_at + STALL_TIMEOUT).min()
    }

    fn stalled(&self, now: Instant) -> Option<(LinkTransfer, u64)> {
        let stalled = |id: &u64| {
            let download = self.downloads.get(id);
            download.is_some_and(|it| it.may_stall() && now >= it.heard_at + STALL_TIMEOUT)
        };
        self.asked.iter().find(|(_, id)| stalled(id)).map(|(at, id)| (*at, *id))
    }

    fn insert(&mut self, download: Download) {
        if let (Some(list), Stage::Waiting) = (download.list(), &download.stage) {
            *self.unasked.entry(list).or_default() += 1;
        }
        self.downloads.insert(download.fact.id, download);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Download> {
        let download = self.downloads.remove(&id)?;
        match (download.at(), &download.stage, download.list()) {
            (Some(at), ..) => drop(self.asked.remove(&at)),
            (None, Stage::Waiting, Some(list)) => self.was_asked(list),
            (None, ..) => {}
        }
        Some(download)
    }

    /// One file of a list less is waiting.
    fn was_asked(&mut self, list: (LinkId, Generation)) {
        if let Some(left) = self.unasked.get_mut(&list) {
            *left -= 1;
            if *left == 0 {
                self.unasked.remove(&list);
            }
        }
    }

    fn active_on(&self, link: LinkId) -> usize {
        let moves = |id: &u64| self.downloads.get(id).is_some_and(|download| !download.paused);
        self.asked.iter().filter(|((on, _), id)| *on == link && moves(id)).count()
    }

    fn next_waiting(&self, link: LinkId) -> Option<u64> {
        let waits = |download: &&Download| {
            download.link == link && !download.paused && matches!(download.stage, Stage::Waiting)
        };
        self.downloads.values().find(waits).map(|download| download.fact.id)
    }
}

impl Download {
    pub(super) fn at(&self) -> Option<LinkTransfer> {
        match &self.stage {
            Stage::Waiting | Stage::Placing => None,
            Stage::Asked(at) | Stage::Coming(at, _) => Some(*at),
        }
    }

    pub(super) fn notice(&self) -> Notice {
        Notice::Transfer(self.fact.clone())
    }

    /// The list that its number belongs to.
    fn list(&self) -> Option<(LinkId, Generation)> {
        match self.source {
            Source::Number { generation, .. } => Some((self.link, generation)),
            Source::Root(_) => None,
        }
    }

    /// Whether silence means that something is wrong.
    fn may_stall(&self) -> bool {
        self.fact.state != TransferState::Paused
    }
}

impl Meter {
    fn new(now: Instant, bytes: u64) -> Self {
        Self { at: now, bytes, speed: None }
    }

    /// Bytes a second, given how many there are now.
    fn measure(&mut self, now: Instant, bytes: u64) -> Option<u64> {
        let elapsed = now.saturating_duration_since(self.at);
        if elapsed >= METER_INTERVAL {
            let gained = u128::from(bytes.saturating_sub(self.bytes));
            let speed = gained * 1000 / elapsed.as_millis().max(1);
            self.speed = Some(u64::try_from(speed).unwrap_or(u64::MAX));
            (self.at, self.bytes) = (now, bytes);
        }
        self.speed
    }
}

impl App {
    /// Fetches one file of a list; `id` is the number of a transfer that goes on.
    pub(super) fn fetch(
        &mut self,
        errand: &Errand,
        link: LinkId,
        batch: Option<u64>,
        id: Option<u64>,
        wanted: Wanted,
    ) {
        let Some(peer) = self.links.get_mut(link).and_then(|link| link.name().cloned()) else { return };
        if self.transfers.downloads.len() >= MAX_WAITING {
            let text = format!("{MAX_WAITING} files wait to be fetched already");
            return self.voice.fail(Some(errand), ErrorCode::TooManyTransfers, text);
        }
        if id.is_none() && !self.count_file(batch) {
            return;
        }
        let Wanted { remote, into, name, source, entry } = wanted;
        // What waited for this peer, or had failed, is the same file: it goes on under its number.
        let id = id.or_else(|| self.kept_of(&peer, &remote));
        let kept = id.and_then(|id| self.kept.take(id));
        let id = id.unwrap_or_else(|| self.transfers.next_id());
        let (into, name) = kept.map_or((into, name), |kept| (kept.fact.folder, kept.fact.name));
        let now = Instant::now();
        let mut fact = Transfer::new(id, peer, Direction::In, into, name);
        fact.size = Some(entry.size);
        let (paused, shown_at) = (false, None);
        let stage = if entry.content.is_some() { Stage::Placing } else { Stage::Waiting };
        let (errand, listed_size) = (errand.clone(), entry.size);
        let meter = Meter::new(now, 0);
        let download = Download {
            errand,
            batch,
            link,
            source,
            remote,
            listed_size,
            fact,
            stage,
            paused,
            paused_there: false,
            heard_at: now,
            shown_at,
            meter,
        };
        self.voice.show(&download.notice(), Some(&download.errand));
        match (entry.content, entry.root) {
            (Some(content), Some(root)) => {
                let (folder, into) = (self.download_folder(), download.fact.folder.clone());
                let (name, mtime) = (download.fact.name.clone(), entry.mtime);
                self.jobs.submit(Job::Place { id, folder, into, name, mtime, root, content });
            }
            // The machine lets no content through without a root.
            (Some(_) | None, _) => self.remember(&download, None),
        }
        self.transfers.insert(download);
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
                None => return self.fail_download(id, Code::LinkLost, None),
            };
            match asked {
                Ok(transfer) => {
                    let list = download.list();
                    download.stage = Stage::Asked((link, transfer));
                    download.heard_at = Instant::now();
                    self.transfers.asked.insert((link, transfer), id);
                    list.into_iter().for_each(|list| self.transfers.was_asked(list));
                }
                Err(FetchError::TooMany { .. }) => return,
                Err(
                    FetchError::NotOpen(_)
                    | FetchError::Resume(_)
                    | FetchError::NoResume
                    | FetchError::UsedUp,
                ) => {
                    self.fail_download(id, Code::LinkLost, None);
                }
            }
        }
        self.gather(link);
    }

    /// Tells how far a download is, unless that was told a moment ago.
    pub(super) fn show_progress(&mut self, id: u64) {
        let now = Instant::now();
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        download.fact.speed = download.meter.measure(now, download.fact.bytes);
        if download.shown_at.is_none_or(|shown| now.duration_since(shown) >= SHOW_INTERVAL) {
            download.shown_at = Some(now);
            self.voice.show(&download.notice(), Some(&download.errand));
        }
    }

    /// Tells of a download at once: it has come into another state.
    pub(super) fn show_change(&mut self, id: u64) {
        if let Some(download) = self.transfers.downloads.get_mut(&id) {
            download.shown_at = None;
            self.show_progress(id);
        }
    }

    /// Ends a download that arrived.
    pub(super) fn complete_download(&mut self, id: u64, finished: crate::downloads::Finished) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        let fact = &mut download.fact;
        fact.state = TransferState::Done;
        fact.speed = None;
        fact.bytes = finished.size;
        fact.path = Some(finished.path);
        fact.blake3 = Some(chatproto::wire::Hash(finished.root));
        self.forget_wanted(id);
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Ending::Done { bytes: finished.size });
        self.start_downloads(download.link);
    }

    /// Ends a download that will not arrive, and removes what came.
    pub(super) fn fail_download(&mut self, id: u64, code: Code, message: Option<String>) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        self.discard(&mut download);
        let cancelled = code == Code::Wire(ErrorCode::Cancelled);
        let fact = &mut download.fact;
        fact.state = if cancelled { TransferState::Cancelled } else { TransferState::Failed };
        fact.error = Some(code);
        fact.message = message;
        (fact.position, fact.speed) = (None, None);
        self.voice.show(&download.notice(), Some(&download.errand));
        // Who cancels a file has got what was asked for; it is a peer's cancel that fails the command.
        self.voice.note(code);
        self.end_file(download.batch, if cancelled { Ending::Cancelled } else { Ending::Failed });
        let link = download.link;
        self.keep(download, Some(code));
        self.start_downloads(link);
    }

    /// Gives a download up because of something here, and tells the peer.
    pub(super) fn give_up_download(&mut self, id: u64, failure: &receiving::Failure) {
        self.cancel_on_link(id, failure.code);
        self.fail_download(id, failure.code.into(), Some(failure.message.clone()));
    }

    /// Gives up what has not come for too long. Places in a queue count as coming.
    pub(super) fn end_stalled(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.transfers.stalled(now) {
            tracing::debug!(?at, id, "a transfer has stalled");
            self.cancel_on_link(id, ErrorCode::Timeout);
            self.fail_download(id, ErrorCode::Timeout.into(), None);
        }
    }

    /// `/transfers`.
    pub(super) fn show_transfers(&mut self, errand: &Errand) {
        let downloads = self.transfers.downloads.values().map(|download| download.fact.clone());
        let uploads = self.uploads.values().map(super::sending::Upload::fact);
        let mut transfers = downloads.chain(uploads).chain(self.kept.facts()).collect::<Vec<_>>();
        transfers.sort_by_key(|transfer| transfer.id);
        self.voice.show(&Notice::Transfers { transfers }, Some(errand));
    }

    /// Ends a download because the user wished so: nothing has failed.
    pub(super) fn drop_download(&mut self, id: u64) {
        self.cancel_on_link(id, ErrorCode::Cancelled);
        let Some(mut download) = self.transfers.remove(id) else { return };
        self.discard(&mut download);
        download.fact.state = TransferState::Cancelled;
        (download.fact.position, download.fact.speed) = (None, None);
        self.forget_wanted(id);
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Ending::Cancelled);
        self.start_downloads(download.link);
    }

    /// Ends a download for this run; it goes on when its peer is there again.
    pub(super) fn keep_download(&mut self, id: u64, error: Option<Code>) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        self.discard(&mut download);
        download.fact.state = TransferState::Waiting;
        (download.fact.position, download.fact.speed) = (None, None);
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Ending::Failed);
        self.keep(download, error);
    }

    /// Lets go of what came.
    fn discard(&mut self, download: &mut Download) {
        let stage = std::mem::replace(&mut download.stage, Stage::Waiting);
        if let Stage::Coming(_, Coming { incoming: Some(incoming), .. }) = stage {
            self.jobs.submit(Job::Discard { incoming });
        }
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
        ids.into_iter().for_each(|id| self.fail_download(id, Code::LinkLost, None));
    }
}
