//! The transfers of both directions as the user sees them: numbered over all links, shown at a bounded rate.

use super::App;
use super::errand::Errand;
use super::jobs::LinkTransfer;
use super::links::LinkId;
use super::meter::Meter;
use super::receiving::Coming;
use super::remote::RemoteFile;
use super::sources::Pieces;
use crate::downloads::{Incoming, KeptPart};
use crate::notice::{Notice, Transfer, TransferState};
use chatproto::wire::{DeviceId, Generation, Name, SafeRelPath, Source};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

/// Files that come over one link at a time; the others wait here. More would only make each of them slower.
const MAX_ACTIVE: usize = 4;

/// So many small files beside them, so that a thousand of them do not pay a round trip each, and so that as many can be made
/// durable together. Each costs an open file at both ends.
pub(super) const MAX_SMALL_ACTIVE: usize = 256;

/// At most four times a second: enough for eyes, little for logs.
const SHOW_INTERVAL: Duration = Duration::from_millis(250);

/// So much of a file counts as something, in bytes. Answers a peer that sends a byte now and then, so that a transfer never
/// ends; the slowest honest line brings more in the time that silence may last.
const LEAST_PROGRESS: u64 = 1024;

/// Parts of files that ended early and that `/discard` can still name. Of more, those of the newest transfers; the others
/// lie on the disk all the same, and `/get` goes on with them.
const MAX_KEPT: usize = 1_000;

/// A file that this client fetches.
#[derive(Debug)]
pub(super) struct Download {
    pub(super) errand: Errand,
    /// The `/get` that counts it.
    pub(super) batch: Option<u64>,
    /// None while there is no link with the peer.
    pub(super) link: Option<LinkId>,
    /// The peer's device that showed it.
    pub(super) device: Option<DeviceId>,
    pub(super) file: RemoteFile,
    pub(super) fact: Transfer,
    pub(super) stage: Stage,
    /// What an earlier transfer left of it, read back already.
    pub(super) found: Option<Box<Incoming>>,
    /// The user has stopped it, or the peer has.
    pub(super) paused: bool,
    pub(super) paused_there: bool,
    /// Its link was lost once.
    pub(super) was_parked: bool,
    /// Its number means nothing any more, and its folder is being listed once more; and how often that was done.
    pub(super) is_sought: bool,
    pub(super) seeks: u8,
    /// When the peer was asked last.
    pub(super) asked_at: Instant,
    /// When something of it came last.
    pub(super) heard_at: Instant,
    pub(super) shown_at: Option<Instant>,
    pub(super) meter: Meter,
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
    /// All its bytes are here, and it gets its name: past being cancelled. Under what number the peer waits for that.
    Placing(Option<LinkTransfer>),
}

/// What is to become of the bytes of a transfer that ends early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Keep,
    Discard,
}

/// When bytes of files passed over a link, in one direction.
#[derive(Debug)]
pub(super) struct Heard {
    at: Instant,
    /// Bytes that passed since, too few to count.
    trickle: u64,
}

impl Heard {
    pub(super) fn now() -> Self {
        Self { at: Instant::now(), trickle: 0 }
    }

    /// So many bytes passed.
    pub(super) fn take(&mut self, bytes: u64) {
        self.trickle = self.trickle.saturating_add(bytes);
        if self.trickle >= LEAST_PROGRESS {
            *self = Self::now();
        }
    }

    pub(super) fn at(&self) -> Instant {
        self.at
    }
}

/// All downloads that have not ended, and the numbers of transfers.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    pub(super) downloads: BTreeMap<u64, Download>,
    /// The downloads that the peers know, by the peers' numbers.
    pub(super) asked: BTreeMap<LinkTransfer, u64>,
    /// Downloads that have ended while a worker had their bytes, and whose bytes nobody wants.
    pub(super) unwanted: BTreeSet<u64>,
    /// What is left of downloads that have ended early.
    pub(super) kept: BTreeMap<u64, KeptPart>,
    /// Commands that wait for one of them to be removed.
    pub(super) discarding: BTreeMap<u64, Errand>,
    /// Downloads that look for an earlier part once these are gone: it may be the one that is being removed.
    pub(super) held_up: BTreeSet<u64>,
    /// Links on which there may be room for what waits.
    pub(super) due: BTreeSet<LinkId>,
    /// Downloads that have begun in this turn.
    pub(super) begun: Vec<u64>,
    /// The downloads by their paths at the peers.
    paths: HashMap<SafeRelPath, Vec<u64>>,
    /// How many transfers the peers let be open on their links, where they have said that there were too many.
    limits: BTreeMap<LinkId, usize>,
    /// When bytes of files came last over each link.
    pub(super) heard: BTreeMap<LinkId, Heard>,
    /// No download stalls before.
    stall_at: Option<Instant>,
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

    /// When to look for downloads that have stalled. What is heard meanwhile only puts that off, so it is seen to when the time
    /// has come and not with each of many files.
    ///
    /// After the `last_word` also of those that a peer has stopped: from then on, at the earliest, it is silent.
    pub(super) fn next_stall(&mut self, timeout: Duration, last_word: Option<Instant>) -> Option<Instant> {
        if self.asked.is_empty() {
            self.stall_at = None;
        } else if self.stall_at.is_none() {
            let first = self.first_stall(timeout, last_word);
            self.stall_at = Some(first.unwrap_or_else(|| Instant::now() + timeout));
        }
        self.stall_at
    }

    /// When the next download will have stalled, unless something comes.
    fn first_stall(&self, timeout: Duration, last_word: Option<Instant>) -> Option<Instant> {
        let active = self.asked.iter().filter_map(|(at, id)| Some((*at, self.downloads.get(id)?)));
        let active = active.filter(|(at, download)| download.may_stall(*at, last_word.is_some()));
        active.map(|(at, download)| self.quiet_since(at, download, last_word) + timeout).min()
    }

    /// Since when nothing has come of a download. Files of one link share its way and its rate, so that any of them may wait
    /// for the others.
    fn quiet_since(&self, at: LinkTransfer, download: &Download, last_word: Option<Instant>) -> Instant {
        let on_link = self.heard.get(&at.0).map(|heard| heard.at);
        let last_word = last_word.filter(|_| !download.may_stall(at, false));
        on_link.into_iter().chain(last_word).fold(download.last_heard(at), Instant::max)
    }

    /// So many bytes of files came over a link.
    pub(super) fn hear(&mut self, link: LinkId, bytes: usize) {
        self.heard.entry(link).or_insert_with(Heard::now).take(bytes as u64);
    }

    pub(super) fn stalled(
        &mut self,
        now: Instant,
        timeout: Duration,
        last_word: Option<Instant>,
    ) -> Option<(LinkTransfer, u64)> {
        if self.stall_at.is_none_or(|at| now < at) {
            return None;
        }
        let stalled = |at: LinkTransfer, id: &u64| {
            let download = self.downloads.get(id);
            download.is_some_and(|it| {
                it.may_stall(at, last_word.is_some()) && now >= self.quiet_since(at, it, last_word) + timeout
            })
        };
        let found = self.asked.iter().find(|(at, id)| stalled(**at, id)).map(|(at, id)| (*at, *id));
        if found.is_none() {
            self.stall_at = None;
        }
        found
    }

    /// What may stall is another question now.
    pub(super) fn look_for_stalls_anew(&mut self) {
        self.stall_at = None;
    }

    /// The downloads of a path at any peer.
    pub(super) fn of_path(&self, path: &SafeRelPath) -> impl Iterator<Item = &Download> {
        self.paths.get(path).into_iter().flatten().filter_map(|id| self.downloads.get(id))
    }

    pub(super) fn insert(&mut self, download: Download) {
        let id = download.fact.id;
        self.paths.entry(download.file.path.clone()).or_default().push(id);
        self.downloads.insert(id, download);
    }

    pub(super) fn remove(&mut self, id: u64) -> Option<Download> {
        let download = self.downloads.remove(&id)?;
        if let Some(ids) = self.paths.get_mut(&download.file.path) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.paths.remove(&download.file.path);
            }
        }
        for at in download.transfers() {
            self.asked.remove(&at);
            self.due.insert(at.0);
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
            | Stage::Placing(_) => None,
        }
    }

    /// Whether a download is getting its name.
    pub(super) fn is_placing(&self, id: u64) -> bool {
        self.downloads.get(&id).is_some_and(Download::is_placing)
    }

    /// What is to become of bytes that come back from a worker.
    pub(super) fn ending(&mut self, id: u64) -> Ending {
        if self.unwanted.remove(&id) { Ending::Discard } else { Ending::Keep }
    }

    /// Remembers what is left of a download that has ended.
    pub(super) fn keep(&mut self, id: u64, kept: KeptPart) {
        self.kept.insert(id, kept);
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_first();
        }
    }

    /// Transfers that are open on a link.
    pub(super) fn open_on(&self, link: LinkId) -> usize {
        self.asked.keys().filter(|(on, _)| *on == link).count()
    }

    /// Whether one more may be open on a link.
    pub(super) fn has_room(&self, link: LinkId) -> bool {
        self.limits.get(&link).is_none_or(|limit| self.open_on(link) < *limit)
    }

    /// Whether the peer has set a limit.
    pub(super) fn is_limited(&self, link: LinkId) -> bool {
        self.limits.contains_key(&link)
    }

    /// From now on at most so many are to be open on a link.
    pub(super) fn limit(&mut self, link: LinkId, max: usize) {
        let limit = self.limits.entry(link).or_insert(max);
        *limit = max.min(*limit);
    }

    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.heard.remove(&link);
        self.limits.remove(&link);
    }

    /// How many more downloads may begin on a link: small ones, others, and all together.
    fn room_on(&self, link: LinkId) -> (usize, usize, usize) {
        let on_link = self.downloads.values().filter(|download| download.link == Some(link));
        let active =
            on_link.filter(|it| !it.paused && !matches!(it.stage, Stage::Waiting | Stage::Placing(None)));
        let (mut small, mut large) = (0, 0);
        for download in active {
            *(if download.file.is_small() { &mut small } else { &mut large }) += 1;
        }
        let limit = self.limits.get(&link).copied().unwrap_or(usize::MAX);
        let room = limit.saturating_sub(self.open_on(link).max(small + large));
        (MAX_SMALL_ACTIVE.saturating_sub(small), MAX_ACTIVE.saturating_sub(large), room)
    }

    /// The next downloads to begin on a link.
    pub(super) fn next_waiting(&self, link: LinkId) -> Vec<u64> {
        let (mut small, mut large, room) = self.room_on(link);
        let waits = |download: &&Download| {
            let is_stopped = download.paused || download.is_sought;
            download.link == Some(link) && !is_stopped && matches!(download.stage, Stage::Waiting)
        };
        let mut next = Vec::new();
        for download in self.downloads.values().filter(waits) {
            if next.len() >= room {
                break;
            }
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

impl Download {
    pub(super) fn at(&self) -> Option<LinkTransfer> {
        match &self.stage {
            Stage::Waiting | Stage::Looking | Stage::Ready | Stage::Parts(_) | Stage::Parking => None,
            Stage::Asked(at) | Stage::Coming(at, _) => Some(*at),
            Stage::Placing(at) => *at,
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
            | Stage::Placing(_) => self.at().into_iter().collect(),
        }
    }

    /// Something came of it, or of this part of it.
    pub(super) fn hear(&mut self, at: LinkTransfer) {
        let now = Instant::now();
        match &mut self.stage {
            Stage::Parts(pieces) => pieces.hear(at, now),
            Stage::Waiting
            | Stage::Looking
            | Stage::Ready
            | Stage::Asked(_)
            | Stage::Coming(..)
            | Stage::Parking
            | Stage::Placing(_) => self.heard_at = now,
        }
    }

    fn last_heard(&self, at: LinkTransfer) -> Instant {
        match &self.stage {
            Stage::Parts(pieces) => {
                pieces.last_heard(at).map_or(self.heard_at, |heard| heard.max(self.heard_at))
            }
            Stage::Waiting
            | Stage::Looking
            | Stage::Ready
            | Stage::Asked(_)
            | Stage::Coming(..)
            | Stage::Parking
            | Stage::Placing(_) => self.heard_at,
        }
    }

    /// Whether it waits for being found in a list of somebody.
    pub(super) fn waits_for(&self, peer: &Name) -> bool {
        (self.link.is_none() || self.is_sought) && self.file.peer == *peer && !self.is_placing()
    }

    pub(super) fn is_placing(&self) -> bool {
        matches!(self.stage, Stage::Placing(_))
    }

    pub(super) fn notice(&self) -> Notice {
        Notice::Transfer(self.fact.clone())
    }

    /// Whether the number by which it was listed is still needed.
    fn is_unasked(&self, link: LinkId) -> bool {
        let is_begun = !matches!(self.stage, Stage::Waiting | Stage::Looking | Stage::Ready);
        self.link == Some(link) && !is_begun && !self.is_sought
    }

    /// Verified bytes are there: how soon the first of them were is told.
    pub(super) fn note_first_byte(&mut self) {
        let micros = || u64::try_from(self.asked_at.elapsed().as_micros()).unwrap_or(u64::MAX);
        if self.fact.first_byte_us.is_none() {
            self.fact.first_byte_us = Some(micros());
        }
    }

    /// Whether silence means that something is wrong. Once nobody is there to wait, that holds for a peer's pause too.
    fn may_stall(&self, at: LinkTransfer, is_last: bool) -> bool {
        let is_held_back = matches!(&self.stage, Stage::Parts(pieces) if pieces.is_held_back(at));
        let stands = self.fact.state == TransferState::Paused || is_held_back;
        !self.is_placing() && !self.paused && (is_last || !stands)
    }
}

impl App {
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

    /// Tells of the downloads that began in this turn and whose bytes still come. Of the others it is told that they are done.
    pub(super) fn show_begun(&mut self) {
        for id in std::mem::take(&mut self.transfers.begun) {
            let stage = self.transfers.downloads.get(&id).map(|download| &download.stage);
            if matches!(stage, Some(Stage::Coming(_, coming)) if !coming.is_complete()) {
                self.show_change(id);
            }
        }
    }

    /// Tells of a download at once: it has come into another state.
    pub(super) fn show_change(&mut self, id: u64) {
        if let Some(download) = self.transfers.downloads.get_mut(&id) {
            download.shown_at = None;
            self.show_progress(id);
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
}
