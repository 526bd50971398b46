//! Manners: who is sent files now and who waits, how fast, and what stands still because somebody wishes so.

use super::App;
use super::errand::Errand;
use super::jobs::LinkTransfer;
use super::links::LinkId;
use super::rate::Bucket;
use super::sending::Upload;
use super::slots::Slots;
use super::transfers::Stage;
use crate::command::Picks;
use crate::notice::{Code, TransferState};
use crate::settings::PaceSettings;
use chatproto::wire::ErrorCode;
use std::time::{Duration, Instant};

/// Places in the queue are told again after so long, so that who waits knows that somebody is there; well within what
/// a receiver takes for silence.
const PLACES_INTERVAL: Duration = Duration::from_secs(15);

/// Changes of places are told so often at most.
const MIN_PLACES_INTERVAL: Duration = Duration::from_millis(250);

/// What may be sent at once after a while of silence, in bytes. Less would cut the frames of files in the middle of a
/// unit for no gain; more would make a slow link wait for what is under way.
const SEND_BURST: u64 = 64 * 1024;

/// Or so much of a second's worth, if that is more: a program that wakes a little late still keeps a high rate.
const BURSTS_PER_SECOND: u64 = 32;

/// The queue and the rates.
#[derive(Debug)]
pub(super) struct Pace {
    pub(super) slots: Slots,
    /// For all links together; none without a limit.
    pub(super) up: Option<Bucket>,
    pub(super) down: Option<Bucket>,
    down_rate: Option<u64>,
    /// The queue has changed since its places were told.
    is_stale: bool,
    told_at: Instant,
    is_admitting: bool,
}

impl Pace {
    pub(super) fn new(settings: &PaceSettings, now: Instant) -> Self {
        let down = settings.download_rate;
        Self {
            slots: Slots::new(settings.upload_slots, settings.upload_slots_per_peer),
            up: settings.upload_rate.map(|rate| Bucket::new(rate, send_burst(rate), now)),
            // A peer keeps to the rate by itself; a second's worth is the patience with one that does not.
            down: down.map(|rate| Bucket::new(rate, rate.max(SEND_BURST), now)),
            down_rate: down,
            is_stale: false,
            told_at: now,
            is_admitting: false,
        }
    }

    /// When the places are to be told.
    pub(super) fn next_telling(&self) -> Option<Instant> {
        let interval = if self.is_stale { MIN_PLACES_INTERVAL } else { PLACES_INTERVAL };
        self.slots.is_crowded().then(|| self.told_at + interval)
    }
}

fn send_burst(bytes_per_second: u64) -> u64 {
    SEND_BURST.max(bytes_per_second / BURSTS_PER_SECOND)
}

impl App {
    /// A file that a peer asked for takes its place in the queue, and leaves it at once if a slot is free.
    pub(super) fn queue_upload(&mut self, at: LinkTransfer) {
        let Some(upload) = self.uploads.get(&at) else { return };
        let peer = upload.peer().clone();
        if !self.pace.slots.is_crowded() {
            // Who waits for less than the interval need not hear of it: of a thousand small files that are most of them.
            self.pace.told_at = Instant::now();
        }
        self.pace.slots.join(&peer, at);
        self.pace.is_stale = true;
        self.admit_uploads();
    }

    /// A file needs no slot any more, or not for now.
    pub(super) fn leave_queue(&mut self, at: LinkTransfer) {
        if self.pace.slots.leave(at) {
            self.pace.is_stale = true;
            self.admit_uploads();
        }
    }

    /// One after the other, also when one is at its end as soon as it begins and makes room for the next.
    fn admit_uploads(&mut self) {
        if std::mem::replace(&mut self.pace.is_admitting, true) {
            return;
        }
        while let Some(at) = self.pace.slots.admit() {
            self.pace.is_stale = true;
            self.begin_upload(at);
        }
        self.pace.is_admitting = false;
    }

    /// Who has a slot and takes nothing of what was asked for gives it to others who wait, and waits behind them. Answers a few
    /// peers that would keep all the slots for ever.
    pub(super) fn rotate_idle_slots(&mut self) {
        if !self.pace.slots.is_crowded() {
            return;
        }
        let before = Instant::now().checked_sub(self.settings.pace.stall_timeout);
        let is_idle = |at: &LinkTransfer| {
            let begun = self.uploads.get(at).and_then(|upload| upload.sends_since);
            let sent = self.links.get(at.0).map(|link| link.sent.at());
            begun.max(sent).is_some_and(|last| Some(last) < before) && begun.is_some()
        };
        let idle = self.pace.slots.kept_from_others().filter(is_idle).collect::<Vec<_>>();
        for at in idle {
            self.pace.slots.leave(at);
            self.hold_upload(at, true);
            self.queue_upload(at);
        }
    }

    /// Tells the peers their places when that is due.
    pub(super) fn tell_places(&mut self) {
        let now = Instant::now();
        if self.pace.next_telling().is_none_or(|due| now < due) {
            return;
        }
        (self.pace.is_stale, self.pace.told_at) = (false, now);
        for (at, place) in self.pace.slots.places() {
            let Some(upload) = self.uploads.get_mut(&at) else { continue };
            upload.set_place(place);
            if let Some(link) = self.links.get_mut(at.0) {
                // It has begun already, and was stopped: then its place is nobody's business.
                let _ = link.peer.queue_file(at.1, place);
            }
        }
    }

    /// Asks the peers to keep together to what may come here.
    pub(super) fn share_download_rate(&mut self) {
        let Some(rate) = self.pace.down_rate else { return };
        let busy = self.transfers.busy_links();
        let share = (rate / u64::try_from(busy.len().max(1)).unwrap_or(1)).max(1);
        for id in busy {
            let Some(link) = self.links.get_mut(id).filter(|link| link.asked_rate != share) else { continue };
            link.asked_rate = share;
            // A peer that knows nothing of rates is slowed by not being read.
            let _ = link.peer.limit_rate(share);
        }
    }

    /// The peer says how fast files may come.
    pub(super) fn on_rate_wanted(&mut self, id: LinkId, bytes_per_second: u64) {
        if let Some(link) = self.links.get_mut(id) {
            let bucket = |rate| Bucket::new(rate, send_burst(rate), Instant::now());
            link.rate = (bytes_per_second > 0).then(|| bucket(bytes_per_second));
        }
    }

    /// How many bytes of files may leave over a link now; none without a limit.
    pub(super) fn send_allowance(&mut self, id: LinkId, now: Instant) -> Option<u64> {
        let own = self.pace.up.as_mut().map(|bucket| bucket.available(now));
        let theirs = self.links.get_mut(id).and_then(|link| link.rate.as_mut());
        let theirs = theirs.map(|bucket| bucket.available(now));
        own.into_iter().chain(theirs).min()
    }

    /// So many bytes of files have left over a link.
    pub(super) fn charge_sent(&mut self, id: LinkId, bytes: u64, now: Instant) {
        if let Some(bucket) = &mut self.pace.up {
            bucket.take(bytes, now);
        }
        let Some(link) = self.links.get_mut(id) else { return };
        link.sent.take(bytes);
        if let Some(bucket) = &mut link.rate {
            bucket.take(bytes, now);
        }
    }

    /// When bytes that a rate held back may pass: only those, since whatever else waits is woken by its socket or its disk.
    pub(super) fn next_allowance(&mut self, now: Instant) -> Option<Instant> {
        let mut next = None;
        let mut wait = |at: Option<Instant>| next = [next, at].into_iter().flatten().min();
        for id in self.links.ids() {
            let Some(link) = self.links.get_mut(id) else { continue };
            if link.paused && link.peer.wants_read() {
                wait(self.pace.down.as_mut().map(|bucket| bucket.ready_at(now)));
            }
            if link.is_held {
                let theirs = link.rate.as_mut().map(|bucket| bucket.ready_at(now));
                let own = self.pace.up.as_mut().map(|bucket| bucket.ready_at(now));
                wait([theirs, own].into_iter().flatten().max());
            }
        }
        next
    }

    /// Whether more of files may be read now.
    pub(super) fn may_receive(&mut self, now: Instant) -> bool {
        self.pace.down.as_mut().is_none_or(|bucket| bucket.available(now) > 0)
    }

    /// The peer has stopped a transfer, or lets it go on.
    pub(super) fn on_paused(&mut self, at: LinkTransfer, paused: bool) {
        if let Some(upload) = self.uploads.get_mut(&at) {
            upload.paused_there = paused;
            return self.settle_pause(at);
        }
        let Some(download) = self.transfers.of(at) else { return };
        download.hear(at);
        let id = download.fact.id;
        if matches!(download.stage, Stage::Parts(_)) {
            return self.on_part_paused(at, paused);
        }
        download.paused_there = paused;
        self.show_pause(id);
    }

    /// A file that stands still keeps no slot; one that goes on waits for one again.
    fn settle_pause(&mut self, at: LinkTransfer) {
        let Some(upload) = self.uploads.get_mut(&at) else { return };
        let stands = upload.paused || upload.paused_there;
        if stands == std::mem::replace(&mut upload.stands, stands) {
            return;
        }
        upload.stands_since = Instant::now();
        upload.show_state();
        if stands {
            self.leave_queue(at);
        } else if !upload.is_all_sent() {
            self.queue_upload(at);
            // What has not begun waits as it did before: for its peer it is queued, and nobody holds it back.
            let has_begun = self.uploads.get(&at).is_some_and(Upload::has_begun);
            self.hold_upload(at, has_begun && self.pace.slots.waits(at));
        }
        self.show_upload(at);
    }

    /// When the first file that stands still must have gone on: once nobody is there any more who could change that here, and a
    /// peer that takes no more would keep the program from its end.
    pub(super) fn next_standing_upload(&self) -> Option<Instant> {
        let last_word = self.last_word()?;
        let standing = self.uploads.values().filter(|upload| upload.stands);
        let since = standing.map(|upload| upload.stands_since).min()?;
        Some(since.max(last_word) + self.settings.pace.stall_timeout)
    }

    /// Gives up files that a peer has stopped for too long after the end of the input.
    pub(super) fn end_standing_uploads(&mut self) {
        let now = Instant::now();
        while self.next_standing_upload().is_some_and(|due| now >= due) {
            let standing = self.uploads.iter().filter(|(_, upload)| upload.stands);
            let oldest = standing.min_by_key(|(_, upload)| upload.stands_since).map(|(at, _)| *at);
            let Some(at) = oldest else { return };
            if let Some(link) = self.links.get_mut(at.0) {
                // It has ended already when this fails.
                let _ = link.peer.cancel(at.1, ErrorCode::Timeout);
            }
            self.on_upload_over(at, Some(ErrorCode::Timeout));
        }
    }

    /// Tells the peer whether this side holds a file back.
    pub(super) fn hold_upload(&mut self, at: LinkTransfer, held: bool) {
        if let Some(link) = self.links.get_mut(at.0) {
            // Fails where the peer knows nothing of pauses: then nothing of the kind has begun, either.
            let _ = if held { link.peer.pause_file(at.1) } else { link.peer.resume_file(at.1) };
        }
    }

    /// `/pause` and `/resume`.
    pub(super) fn pause_transfers(&mut self, errand: &Errand, picks: &Picks, paused: bool) {
        if matches!(picks, Picks::All) {
            self.gathering.pause(paused);
        }
        self.for_each_transfer(errand, picks, |app, id| {
            if app.transfers.downloads.contains_key(&id) {
                app.pause_download(errand, id, paused);
                return true;
            }
            match app.upload(id) {
                Some(at) => {
                    app.pause_upload(errand, at, paused);
                    true
                }
                None => app.pause_kept(id, paused),
            }
        });
    }

    fn pause_download(&mut self, errand: &Errand, id: u64, paused: bool) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        if download.paused == paused || download.is_placing() {
            return self.show_pause(id);
        }
        for (link, transfer) in download.transfers() {
            let Some(link) = self.links.get_mut(link) else { continue };
            let asked = if paused { link.peer.pause_file(transfer) } else { link.peer.resume_file(transfer) };
            if let Err(error) = asked {
                return self.voice.fail(Some(errand), ErrorCode::NotSupported, error.to_string());
            }
        }
        download.paused = paused;
        download.heard_at = Instant::now();
        let link = download.link;
        self.write_down_download(id);
        self.show_pause(id);
        if let Some(link) = link {
            self.start_soon(link);
        }
        self.plan(id);
    }

    /// Shows a download in the state that it has by who stops it.
    pub(super) fn show_pause(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        download.fact.speed = None;
        download.fact.state = match (&download.stage, download.paused || download.paused_there) {
            (_, true) => TransferState::Paused,
            (Stage::Coming(..) | Stage::Parts(_) | Stage::Placing(_), false) => TransferState::Active,
            (_, false) if download.link.is_none() => TransferState::Waiting,
            (Stage::Waiting | Stage::Looking | Stage::Ready | Stage::Asked(_) | Stage::Parking, false) => {
                TransferState::Queued
            }
        };
        self.show_change(id);
    }

    fn pause_upload(&mut self, errand: &Errand, at: LinkTransfer, paused: bool) {
        let Some(link) = self.links.get_mut(at.0) else { return };
        let asked = if paused { link.peer.pause_file(at.1) } else { link.peer.resume_file(at.1) };
        if let Err(error) = asked {
            return self.voice.fail(Some(errand), ErrorCode::NotSupported, error.to_string());
        }
        if let Some(upload) = self.uploads.get_mut(&at) {
            upload.paused = paused;
        }
        self.settle_pause(at);
    }

    /// `/cancel`.
    pub(super) fn cancel_transfers(&mut self, errand: &Errand, picks: &Picks) {
        if matches!(picks, Picks::All) {
            self.stop_gathering();
        }
        self.for_each_transfer(errand, picks, |app, id| {
            if app.transfers.downloads.contains_key(&id) {
                app.drop_download(id);
                return true;
            }
            let Some(at) = app.upload(id) else { return app.drop_kept(id) };
            if let Some(link) = app.links.get_mut(at.0) {
                // It has ended already when this fails.
                let _ = link.peer.cancel(at.1, ErrorCode::Cancelled);
            }
            app.on_upload_over(at, Some(ErrorCode::Cancelled));
            true
        });
    }

    /// `/retry`: what failed. What has not failed is on its way and needs none.
    pub(super) fn retry_transfers(&mut self, errand: &Errand, picks: &Picks) {
        self.for_each_transfer(errand, picks, |app, id| {
            app.transfers.downloads.contains_key(&id) || app.upload(id).is_some() || app.retry_kept(id)
        });
    }

    /// Does something to each transfer that is meant; `act` says whether there is one of that number.
    fn for_each_transfer(&mut self, errand: &Errand, picks: &Picks, act: impl Fn(&mut Self, u64) -> bool) {
        match picks {
            Picks::All => {
                let uploads = self.uploads.values().map(Upload::id);
                let downloads = self.transfers.downloads.keys().copied();
                let ids = downloads.chain(uploads).chain(self.kept.ids()).collect::<Vec<_>>();
                for id in ids {
                    act(self, id);
                }
            }
            Picks::These(ids) => {
                for id in ids {
                    if !act(self, *id) {
                        let text = format!("there is no transfer {id}");
                        self.voice.fail(Some(errand), Code::NoSuchTransfer, text);
                    }
                }
            }
        }
    }

    fn upload(&self, id: u64) -> Option<LinkTransfer> {
        self.uploads.iter().find(|(_, upload)| upload.id() == id).map(|(at, _)| *at)
    }
}
