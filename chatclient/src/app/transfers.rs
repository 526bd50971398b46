//! The transfers of both directions as the user sees them: numbered over all links, shown at a bounded rate.

use super::App;
use super::errand::Errand;
use super::gather::Outcome;
use super::jobs::{Job, LinkTransfer};
use super::links::LinkId;
use super::meter::Meter;
use super::receiving::{self, Coming};
use super::sources::Pieces;
use crate::downloads::{Incoming, KeptPart, Origin};
use crate::notice::{Code, Direction, Notice, Transfer, TransferState};
use bytes::Bytes;
use chatproto::peer::{FetchError, ListedEntry, Resume};
use chatproto::verify::UnitLog2;
use chatproto::wire::{ErrorCode, Generation, Hash, Name, SafeName, SafeRelPath, Source};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// Files that come over one link at a time; the others wait here. More would only make each of them slower.
const MAX_ACTIVE: usize = 4;

/// So many small files beside them, so that a thousand of them do not pay a round trip each, and so that as many can be made
/// durable together. Each costs an open file at both ends.
pub(super) const MAX_SMALL_ACTIVE: usize = 256;

/// The largest small file, in bytes: one data frame. All that are active together hold 16 MiB.
const MAX_SMALL: u64 = 64 * 1024 - 1024;

/// Files that may wait. Answers a script that asks without end.
pub(super) const MAX_WAITING: usize = 20_000;

/// At most four times a second: enough for eyes, little for logs.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);

/// A peer that sends nothing of a file for so long does not send it any more.
const STALL_TIMEOUT: Duration = Duration::from_secs(60);

/// Parts of files that ended early and that `/discard` can still name. Of more, those of the newest transfers; the others
/// lie on the disk all the same, and `/get` goes on with them.
const MAX_KEPT: usize = 1_000;

/// A file that a peer shows.
#[derive(Debug, Clone)]
pub(super) struct RemoteFile {
    pub(super) peer: Name,
    /// Where it lies in the share of the peer.
    pub(super) path: SafeRelPath,
    pub(super) size: u64,
    pub(super) mtime: u64,
    pub(super) root: Option<Hash>,
    /// How to ask for it on the link where it was shown.
    pub(super) source: Source,
    /// All its bytes, if it is small and they came with the list.
    pub(super) content: Option<Bytes>,
}

/// A file that this client fetches.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) errand: Errand,
    /// The `/get` that counts it.
    pub(super) batch: Option<u64>,
    /// None while there is no link with the peer.
    pub(super) link: Option<LinkId>,
    pub(super) file: RemoteFile,
    pub(super) fact: Transfer,
    pub(super) stage: Stage,
    /// What an earlier transfer left of it, read back already.
    pub(super) found: Option<Box<Incoming>>,
    /// The user has stopped it, or the peer has.
    pub(super) paused: bool,
    pub(super) paused_there: bool,
    /// Its link was lost once.
    was_parked: bool,
    /// When something of it came last.
    pub(super) heard_at: Instant,
    shown_at: Option<Instant>,
    meter: Meter,
}

/// How far a download is.
#[derive(Debug)]
pub(super) enum Stage {
    /// Others on the same link come first, or there is no link.
    Waiting,
    /// A worker looks for what an earlier transfer left.
    Looking,
    /// That is known.
    Ready,
    /// The peer was asked.
    Asked(LinkTransfer),
    /// Bytes come.
    Coming(LinkTransfer, Coming),
    /// Its hash is known, and its units come from whoever has them.
    Parts(Pieces),
    /// The link was lost; what came is being put away.
    Parking,
    /// All bytes came with the list; a worker puts them in their place.
    Placing,
}

/// What is to become of the bytes of a transfer that ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Keep,
    Discard,
}

/// All downloads that have not ended, and the numbers of transfers.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub(super) downloads: BTreeMap<u64, Download>,
    /// The downloads that the peers know, by the peers' numbers.
    pub(super) asked: BTreeMap<LinkTransfer, u64>,
    /// Downloads that have ended while a worker had their bytes, and whose bytes nobody wants.
    unwanted: BTreeSet<u64>,
    /// Downloads that have ended early and whose bytes are being put away.
    pub(super) keeping: BTreeSet<u64>,
    /// What is left of downloads that have ended early.
    kept: BTreeMap<u64, KeptPart>,
    /// Commands that wait for one of them to be removed.
    pub(super) discarding: BTreeMap<u64, Errand>,
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

    /// Lists of a link of which a file was not asked for yet, each once, at most `max` of them.
    pub(super) fn generations(&self, link: LinkId, max: usize) -> BTreeSet<Generation> {
        let mut found = BTreeSet::new();
        for download in self.downloads.values().filter(|download| download.is_unasked(link)) {
            if let Source::Number { generation, .. } = download.file.source {
                found.insert(generation);
            }
            if found.len() >= max {
                break;
            }
        }
        found
    }

    /// Links over which files come, or were asked for.
    pub(super) fn busy_links(&self) -> Vec<LinkId> {
        let mut links = self.asked.keys().map(|(link, _)| *link).collect::<Vec<_>>();
        links.dedup();
        links
    }

    /// The download that the peer knows by this number.
    pub(super) fn of(&mut self, at: LinkTransfer) -> Option<&mut Download> {
        self.downloads.get_mut(self.asked.get(&at)?)
    }

    /// When the next download will have stalled, unless something comes.
    pub(super) fn next_stall(&self) -> Option<Instant> {
        let active = self.asked.values().filter_map(|id| self.downloads.get(id));
        active.filter(|it| it.may_stall()).map(|download| download.heard_at + STALL_TIMEOUT).min()
    }

    fn stalled(&self, now: Instant) -> Option<(LinkTransfer, u64)> {
        let stalled = |id: &u64| {
            let download = self.downloads.get(id);
            download.is_some_and(|it| it.may_stall() && now >= it.heard_at + STALL_TIMEOUT)
        };
        self.asked.iter().find(|(_, id)| stalled(id)).map(|(at, id)| (*at, *id))
    }

    fn remove(&mut self, id: u64) -> Option<Download> {
        let download = self.downloads.remove(&id)?;
        for at in download.transfers() {
            self.asked.remove(&at);
        }
        Some(download)
    }

    /// The parts of a download that comes by its hash.
    pub(super) fn pieces(&mut self, id: u64) -> Option<&mut Pieces> {
        match &mut self.downloads.get_mut(&id)?.stage {
            Stage::Parts(pieces) => Some(pieces),
            Stage::Waiting
            | Stage::Looking
            | Stage::Ready
            | Stage::Asked(_)
            | Stage::Coming(..)
            | Stage::Parking
            | Stage::Placing => None,
        }
    }

    /// What is to become of bytes that come back from a worker.
    pub(super) fn ending(&mut self, id: u64) -> Ending {
        if self.unwanted.remove(&id) { Ending::Discard } else { Ending::Keep }
    }

    /// Remembers what is left of a download that has ended.
    pub(super) fn keep(&mut self, id: u64, kept: KeptPart) {
        self.keeping.remove(&id);
        self.kept.insert(id, kept);
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_first();
        }
    }

    /// How many more downloads may begin on a link: small ones, and others.
    fn room_on(&self, link: LinkId) -> (usize, usize) {
        let on_link = self.downloads.values().filter(|download| download.link == Some(link));
        let active = on_link.filter(|it| !it.paused && !matches!(it.stage, Stage::Waiting | Stage::Placing));
        let (small, large): (Vec<_>, Vec<_>) = active.partition(|download| download.file.is_small());
        (MAX_SMALL_ACTIVE.saturating_sub(small.len()), MAX_ACTIVE.saturating_sub(large.len()))
    }

    /// The next downloads to begin on a link.
    fn next_waiting(&self, link: LinkId) -> Vec<u64> {
        let (mut small, mut large) = self.room_on(link);
        let waits = |download: &&Download| {
            download.link == Some(link) && !download.paused && matches!(download.stage, Stage::Waiting)
        };
        let mut next = Vec::new();
        for download in self.downloads.values().filter(waits) {
            let room = if download.file.is_small() { &mut small } else { &mut large };
            if *room > 0 {
                *room -= 1;
                next.push(download.fact.id);
            }
            if small + large == 0 {
                break;
            }
        }
        next
    }
}

impl RemoteFile {
    /// An entry of a list; `None` when its path is longer than a path may be.
    pub(super) fn listed(
        peer: &Name,
        folder: &SafeRelPath,
        generation: Generation,
        entry: &ListedEntry,
    ) -> Option<Self> {
        Some(Self {
            peer: peer.clone(),
            path: folder.borrow().join(entry.name.borrow()).ok()?,
            size: entry.size,
            mtime: entry.mtime,
            root: entry.root,
            source: Source::Number { generation, number: entry.number },
            content: entry.content.clone(),
        })
    }

    /// What it is known by on the disk.
    pub(super) fn origin(&self) -> Origin {
        Origin {
            peer: self.peer.as_str().to_owned(),
            path: self.path.as_str().to_owned(),
            size: self.size,
            mtime_ms: self.mtime,
            unit: UnitLog2::DEFAULT,
            root: self.root.map(|root| root.0),
        }
    }

    /// The folder that it lies in.
    pub(super) fn folder(&self) -> Option<SafeRelPath> {
        self.path.borrow().parent().map(|folder| folder.to_owned())
    }

    /// Whether what is shown now is what was shown before.
    pub(super) fn is_same_as(&self, now: &Self) -> bool {
        match (self.root, now.root) {
            (Some(before), Some(now)) => before == now,
            (None, _) | (_, None) => self.size == now.size && self.mtime == now.mtime,
        }
    }

    /// Whether it comes among the many.
    pub(super) fn is_small(&self) -> bool {
        self.size <= MAX_SMALL
    }

    /// Whether there can be a part of it.
    pub(super) fn has_parts(&self) -> bool {
        self.size > u64::from(UnitLog2::DEFAULT.len())
    }
}

impl Download {
    pub(super) fn at(&self) -> Option<LinkTransfer> {
        match &self.stage {
            Stage::Waiting
            | Stage::Looking
            | Stage::Ready
            | Stage::Parts(_)
            | Stage::Parking
            | Stage::Placing => None,
            Stage::Asked(at) | Stage::Coming(at, _) => Some(*at),
        }
    }

    /// All under which peers know it.
    pub(super) fn transfers(&self) -> Vec<LinkTransfer> {
        match &self.stage {
            Stage::Parts(pieces) => pieces.transfers().collect(),
            Stage::Waiting
            | Stage::Looking
            | Stage::Ready
            | Stage::Asked(_)
            | Stage::Coming(..)
            | Stage::Parking
            | Stage::Placing => self.at().into_iter().collect(),
        }
    }

    /// Whether it waits for a link with somebody.
    pub(super) fn waits_for(&self, peer: &Name) -> bool {
        self.link.is_none() && self.file.peer == *peer
    }

    pub(super) fn notice(&self) -> Notice {
        Notice::Transfer(self.fact.clone())
    }

    /// Whether the number by which it was listed is still needed.
    fn is_unasked(&self, link: LinkId) -> bool {
        self.link == Some(link) && matches!(self.stage, Stage::Waiting | Stage::Looking | Stage::Ready)
    }

    /// Whether silence means that something is wrong.
    fn may_stall(&self) -> bool {
        self.fact.state != TransferState::Paused
    }
}

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
                let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
                let origin = download.file.origin();
                let folder = self.folder();
                self.jobs.submit(Job::Look { id, folder, into, name, origin });
            } else {
                download.stage = Stage::Ready;
                if !self.ask_for(id) {
                    return;
                }
            }
        }
        self.gather(link);
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
        fact.blake3 = Some(Hash(finished.root));
        self.forget_wanted(id);
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Outcome::Done { bytes: finished.size });
        self.start_next(download.link);
    }

    /// Ends a download that will not arrive. What came is kept.
    pub(super) fn fail_download(&mut self, id: u64, code: Code, message: Option<String>) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        self.release(&mut download, Ending::Keep);
        let cancelled = code == Code::Wire(ErrorCode::Cancelled);
        download.fact.state = if cancelled { TransferState::Cancelled } else { TransferState::Failed };
        download.fact.error = Some(code);
        download.fact.message = message;
        (download.fact.position, download.fact.speed) = (None, None);
        self.voice.show(&download.notice(), Some(&download.errand));
        // Who cancels a file has got what was asked for; it is a peer's cancel that fails the command.
        self.voice.note(code);
        self.end_file(download.batch, if cancelled { Outcome::Cancelled } else { Outcome::Failed });
        let link = download.link;
        self.keep_failed(download, code);
        self.start_next(link);
    }

    fn start_next(&mut self, link: Option<LinkId>) {
        if let Some(link) = link {
            self.start_downloads(link);
        }
    }

    /// Puts the bytes of a download away that has ended; what a worker has of it, when it comes back.
    fn release(&mut self, download: &mut Download, ending: Ending) {
        let id = download.fact.id;
        let stage = std::mem::replace(&mut download.stage, Stage::Waiting);
        let (incoming, is_out) = match stage {
            Stage::Coming(_, Coming { incoming, is_begun, .. }) => {
                let is_out = is_begun && incoming.is_none();
                (incoming, is_out)
            }
            Stage::Parts(Pieces { incoming, is_out, .. }) => (incoming, is_out),
            Stage::Looking | Stage::Parking => (None, true),
            Stage::Waiting | Stage::Ready | Stage::Asked(_) | Stage::Placing => {
                (download.found.take(), false)
            }
        };
        match (incoming, ending) {
            (Some(incoming), Ending::Keep) => {
                self.transfers.keeping.insert(id);
                self.jobs.submit(Job::Keep { id, incoming });
            }
            (None, Ending::Keep) if is_out => drop(self.transfers.keeping.insert(id)),
            (Some(incoming), Ending::Discard) => self.jobs.submit(Job::Discard { incoming }),
            (None, Ending::Discard) if is_out => drop(self.transfers.unwanted.insert(id)),
            (None, Ending::Keep | Ending::Discard) => {}
        }
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

    /// Ends a download because the user wished so: nothing has failed, and what came goes.
    pub(super) fn drop_download(&mut self, id: u64) {
        self.cancel_on_link(id, ErrorCode::Cancelled);
        self.forget_wanted(id);
        self.stop_download(id, Ending::Discard);
    }

    /// Ends a download because the program ends. What came is kept, and the next run goes on with it.
    pub(super) fn interrupt_download(&mut self, id: u64) {
        self.stop_download(id, Ending::Keep);
    }

    fn stop_download(&mut self, id: u64, ending: Ending) {
        let Some(mut download) = self.transfers.remove(id) else { return };
        self.release(&mut download, ending);
        download.fact.state = match ending {
            Ending::Keep => TransferState::Waiting,
            Ending::Discard => TransferState::Cancelled,
        };
        (download.fact.position, download.fact.speed) = (None, None);
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Outcome::Cancelled);
        self.start_next(download.link);
    }

    /// `/discard`.
    pub(super) fn discard_transfer(&mut self, errand: Errand, id: u64) {
        match self.transfers.kept.remove(&id) {
            Some(kept) => {
                self.transfers.discarding.insert(id, errand);
                self.jobs.submit(Job::Forget { id, kept });
            }
            // It goes as soon as it is there.
            None if self.transfers.keeping.contains(&id) => {
                self.transfers.discarding.insert(id, errand);
            }
            None => {
                let text = format!("nothing is kept of transfer {id}");
                self.voice.fail(Some(&errand), Code::NoSuchTransfer, text);
            }
        }
    }

    /// What was kept of a transfer is gone, or is in use.
    pub(super) fn on_forgotten(&mut self, id: u64, forgotten: Result<bool, receiving::Failure>) {
        let Some(errand) = self.transfers.discarding.remove(&id) else { return };
        match forgotten {
            Ok(true) => self.voice.info(format!("what was kept of transfer {id} is removed")),
            Ok(false) => {
                let text = format!("another transfer goes on with what was kept of transfer {id}");
                self.voice.fail(Some(&errand), ErrorCode::Busy, text);
            }
            Err(failure) => self.voice.fail(Some(&errand), failure.code, failure.message),
        }
    }

    fn cancel_on_link(&mut self, id: u64, code: ErrorCode) {
        let transfers = self.transfers.downloads.get(&id).map(Download::transfers).unwrap_or_default();
        for (link, transfer) in transfers {
            if let Some(link) = self.links.get_mut(link) {
                // It has ended already when this fails.
                let _ = link.peer.cancel(transfer, code);
            }
        }
    }

    /// Every download over a link that has ended waits for another one, unless none can come.
    pub(super) fn park_downloads_of(&mut self, link: LinkId) {
        let of_link = |(id, download): (&u64, &Download)| {
            // What comes in parts has lost some by now, and goes on with what other peers have.
            let is_here = download.link == Some(link) && !matches!(download.stage, Stage::Parts(_));
            is_here.then_some(*id)
        };
        let ids = self.transfers.downloads.iter().filter_map(of_link).collect::<Vec<_>>();
        for id in ids {
            if self.may_wait() {
                self.park_download(id);
            } else {
                self.fail_download(id, Code::LinkLost, None);
            }
        }
        self.sources.forget(link);
        self.plan_all();
    }

    /// Whether it makes sense to wait for another link.
    pub(super) fn may_wait(&self) -> bool {
        let is_last_chance = self.input_ended.is_some() && !self.settings.stay;
        !is_last_chance && self.ending.is_none()
    }

    pub(super) fn park_download(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        download.link = None;
        download.fact.state = TransferState::Waiting;
        (download.fact.position, download.fact.speed) = (None, None);
        (download.paused_there, download.was_parked) = (false, true);
        if matches!(download.stage, Stage::Placing) {
            // It has all its bytes and needs no link.
            return;
        }
        for at in download.transfers() {
            self.transfers.asked.remove(&at);
        }
        self.voice.show(&download.notice(), Some(&download.errand));
        let stage = std::mem::replace(&mut download.stage, Stage::Parking);
        let incoming = match stage {
            Stage::Coming(_, Coming { is_begun: false, .. }) => {
                download.stage = Stage::Waiting;
                return;
            }
            Stage::Coming(_, Coming { incoming, .. }) | Stage::Parts(Pieces { incoming, .. }) => incoming,
            // Nothing has begun.
            Stage::Waiting | Stage::Ready | Stage::Asked(_) | Stage::Placing if download.found.is_none() => {
                download.stage = Stage::Waiting;
                return;
            }
            Stage::Waiting | Stage::Ready | Stage::Asked(_) | Stage::Placing => download.found.take(),
            Stage::Looking | Stage::Parking => None,
        };
        // What a worker has comes back later.
        if let Some(incoming) = incoming {
            self.jobs.submit(Job::Keep { id, incoming });
        }
    }

    /// What came of a parked download is put away.
    pub(super) fn on_parked(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        if matches!(download.stage, Stage::Parking) {
            download.stage = Stage::Waiting;
            let link = download.link;
            self.start_next(link);
        }
    }

    /// No link can come any more for what is parked.
    pub(super) fn fail_parked(&mut self) {
        if self.settings.stay {
            return;
        }
        let parked = |(id, download): (&u64, &Download)| download.link.is_none().then_some(*id);
        let ids = self.transfers.downloads.iter().filter_map(parked).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| self.fail_download(id, Code::LinkLost, None));
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
