//! The end of a download: it arrived, failed, stalled, or nobody wants it any more. What is left of it is kept or goes.

use super::App;
use super::errand::Errand;
use super::gather::Outcome;
use super::jobs::Job;
use super::receiving::{self, Coming};
use super::sources::Pieces;
use super::transfers::{Download, Ending, Stage};
use crate::notice::{Code, TransferState};
use chatproto::wire::{ErrorCode, Hash};
use std::time::Instant;

impl App {
    /// Ends a download that arrived.
    pub(super) fn complete_download(&mut self, id: u64, finished: crate::downloads::Finished) {
        self.forget_wanted(id);
        let Some(mut download) = self.transfers.remove(id) else { return };
        let fact = &mut download.fact;
        fact.state = TransferState::Done;
        fact.speed = None;
        fact.bytes = finished.size;
        fact.path = Some(finished.path);
        fact.blake3 = Some(Hash(finished.root));
        self.voice.show(&download.notice(), Some(&download.errand));
        self.end_file(download.batch, Outcome::Done { bytes: finished.size });
        self.start_next(download.link);
    }

    /// Ends a download that will not arrive. What came is kept. One that is getting its name arrives.
    pub(super) fn fail_download(&mut self, id: u64, code: Code, message: Option<String>) {
        if self.transfers.is_placing(id) {
            return;
        }
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

    /// Puts the bytes of a download away that has ended; what a worker has of it, when it comes back.
    fn release(&mut self, download: &mut Download, ending: Ending) {
        let id = download.fact.id;
        let stage = std::mem::replace(&mut download.stage, Stage::Waiting);
        let incoming = match stage {
            Stage::Coming(_, Coming { incoming, .. }) | Stage::Parts(Pieces { incoming, .. }) => incoming,
            Stage::Looking
            | Stage::Parking
            | Stage::Waiting
            | Stage::Ready
            | Stage::Asked(_)
            | Stage::Placing(_) => download.found.take(),
        };
        match (incoming, ending) {
            (Some(incoming), Ending::Keep) => self.jobs.submit(Job::Keep { id, incoming }),
            (Some(incoming), Ending::Discard) => self.jobs.submit(Job::Discard { incoming }),
            (None, Ending::Discard) if self.jobs.hold(id) => drop(self.transfers.unwanted.insert(id)),
            (None, Ending::Keep | Ending::Discard) => {}
        }
    }

    /// A worker is done with the bytes of a download. When none has them any more, nothing of it comes back: whoever waits for
    /// what is left gets an answer.
    pub(super) fn settle_bytes(&mut self, id: u64) {
        if self.jobs.hold(id) {
            return;
        }
        self.transfers.unwanted.remove(&id);
        if self.transfers.discarding.contains_key(&id) {
            match self.transfers.kept.remove(&id) {
                Some(kept) => self.jobs.submit(Job::Forget { id, kept }),
                None => self.on_forgotten(id, Ok(true)),
            }
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
        let last_word = self.last_word();
        while let Some((at, id)) = self.transfers.stalled(now, self.settings.pace.stall_timeout, last_word) {
            tracing::debug!(?at, id, "a transfer has stalled");
            if self.transfers.pieces(id).is_some() {
                // Others may have it.
                self.drop_part(at, ErrorCode::Timeout);
                continue;
            }
            self.cancel_on_link(id, ErrorCode::Timeout);
            self.fail_download(id, ErrorCode::Timeout.into(), None);
        }
    }

    /// Ends a download because the user wished so: nothing has failed, and what came goes.
    ///
    /// One that is getting its name arrives all the same.
    pub(super) fn drop_download(&mut self, id: u64) {
        if self.transfers.is_placing(id) {
            return;
        }
        self.cancel_on_link(id, ErrorCode::Cancelled);
        self.forget_wanted(id);
        self.stop_download(id, Ending::Discard);
    }

    /// Ends a download because the program ends. What came is kept, and the next run goes on with it.
    pub(super) fn interrupt_download(&mut self, id: u64) {
        self.stop_download(id, Ending::Keep);
    }

    fn stop_download(&mut self, id: u64, ending: Ending) {
        if self.transfers.is_placing(id) {
            return;
        }
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
            None if self.jobs.hold(id) && !self.transfers.downloads.contains_key(&id) => {
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
        if self.transfers.discarding.is_empty() {
            for held_up in std::mem::take(&mut self.transfers.held_up) {
                self.look_for_part(held_up);
            }
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
}
