//! Downloads whose link has ended: they go on over another one, or wait for it.

use super::App;
use super::jobs::Job;
use super::links::LinkId;
use super::receiving::Coming;
use super::sources::Pieces;
use super::transfers::{Download, Stage};
use crate::notice::{Code, TransferState};
use chatproto::wire::{Hash, Source};

impl App {
    /// Every download over a link that has ended goes on with somebody else who has the file, or waits for another link,
    /// unless none can come.
    pub(super) fn park_downloads_of(&mut self, link: LinkId) {
        let of_link = |(id, download): (&u64, &Download)| {
            // What comes in parts has lost some by now, and goes on with what other peers have, unless the user has stopped it.
            let goes_on = |pieces: &Pieces| !download.paused || pieces.transfers().next().is_some();
            let is_left = !matches!(&download.stage, Stage::Parts(pieces) if goes_on(pieces));
            (download.link == Some(link) && is_left).then_some(*id)
        };
        let ids = self.transfers.downloads.iter().filter_map(of_link).collect::<Vec<_>>();
        self.sources.forget(link);
        self.transfers.forget(link);
        for id in ids {
            if self.may_wait() || self.other_source(id).is_some() {
                self.park_download(id);
                self.carry_on(id);
            } else {
                self.fail_download(id, Code::LinkLost, None);
            }
        }
        self.plan_all();
    }

    /// Another link stands with whom one has ended: what waits for one looks there.
    pub(super) fn use_other_link(&mut self, ended: LinkId) {
        let Some(peer) = self.links.get_mut(ended).and_then(|link| link.name().cloned()) else { return };
        if let Some(other) = self.links.with(&peer).filter(|other| *other != ended) {
            self.find_again(other, &peer);
            self.revive(other, &peer);
        }
    }

    /// Whether it makes sense to wait for another link.
    pub(super) fn may_wait(&self) -> bool {
        let is_last_chance = self.input_ended.is_some() && !self.settings.stay;
        !is_last_chance && self.ending.is_none()
    }

    pub(super) fn park_download(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        (download.link, download.was_parked, download.is_sought) = (None, true, false);
        if download.is_placing() {
            // It has all its bytes and needs no link.
            return;
        }
        download.fact.state = TransferState::Waiting;
        (download.fact.position, download.fact.speed) = (None, None);
        download.paused_there = false;
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
            Stage::Waiting | Stage::Ready | Stage::Asked(_) | Stage::Placing(_)
                if download.found.is_none() =>
            {
                download.stage = Stage::Waiting;
                return;
            }
            Stage::Waiting | Stage::Ready | Stage::Asked(_) | Stage::Placing(_) => download.found.take(),
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

    /// Nobody will let go on what the user has stopped: it waits for the next run.
    pub(super) fn leave_paused(&mut self) {
        self.transfers.look_for_stalls_anew();
        if self.settings.stay {
            return;
        }
        let paused = |(id, download): (&u64, &Download)| download.paused.then_some(*id);
        let ids = self.transfers.downloads.iter().filter_map(paused).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| self.interrupt_download(id));
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

    /// A file whose hash somebody else shows comes from there.
    fn carry_on(&mut self, id: u64) -> bool {
        let Some((root, other)) = self.other_source(id) else { return false };
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return false };
        download.link = Some(other);
        download.file.source = Source::Root(root);
        download.fact.state = if download.paused { TransferState::Paused } else { TransferState::Queued };
        self.show_change(id);
        self.start_soon(other);
        true
    }

    fn other_source(&self, id: u64) -> Option<(Hash, LinkId)> {
        let download = self.transfers.downloads.get(&id)?;
        let root = download.file.root.filter(|_| !download.is_placing())?;
        let mut able = self.sources.of(root).filter(|link| self.links.has_sources(*link));
        able.next().map(|link| (root, link))
    }

    /// Lists were shown: perhaps somebody has what waits for somebody else.
    pub(super) fn carry_on_parked(&mut self) {
        let parked = self.transfers.downloads.values().filter(|download| download.link.is_none());
        let parked = parked.map(|download| download.fact.id).collect::<Vec<_>>();
        for id in parked {
            self.carry_on(id);
        }
    }
}
