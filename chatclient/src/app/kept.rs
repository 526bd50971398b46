//! Transfers that do not move and are not forgotten: those that wait for a link with their peer, also from an earlier
//! run, and those that failed.

use super::App;
use super::gather::{Look, Want};
use super::links::LinkId;
use super::transfers::Download;
use crate::notice::{Code, Direction, Notice, Transfer, TransferState};
use crate::state::{WantedFile, hex};
use chatproto::wire::{DeviceId, ErrorCode, Name, SafeName, SafeRelPath};
use std::collections::BTreeMap;

/// Failed transfers that are kept; the oldest goes first. Answers a script that asks for what is not there, again and
/// again.
const MAX_FAILED: usize = 1000;

/// All of them, by number.
#[derive(Debug, Default)]
pub(super) struct KeptTransfers(BTreeMap<u64, Kept>);

/// A transfer that does not move.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) fact: Transfer,
    /// Its path at the peer.
    remote: SafeRelPath,
    /// The peer's device that showed it.
    device: Option<DeviceId>,
    /// The user has stopped it.
    pub(super) paused: bool,
}

impl KeptTransfers {
    pub(super) fn take(&mut self, id: u64) -> Option<Kept> {
        self.0.remove(&id)
    }

    pub(super) fn facts(&self) -> impl Iterator<Item = Transfer> {
        self.0.values().map(|kept| kept.fact.clone())
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = u64> {
        self.0.keys().copied()
    }

    /// The kept transfer of a file, if there is one.
    pub(super) fn number_of(&self, peer: &Name, remote: &SafeRelPath) -> Option<u64> {
        let same = |kept: &&Kept| kept.fact.peer == *peer && kept.remote == *remote;
        self.0.values().find(same).map(|kept| kept.fact.id)
    }

    /// The oldest that failed, when there are too many.
    fn surplus(&self) -> Option<u64> {
        let failed = || self.0.iter().filter(|(_, kept)| kept.fact.state == TransferState::Failed);
        (failed().count() > MAX_FAILED).then(|| failed().next().map(|(id, _)| *id)).flatten()
    }
}

impl App {
    /// Remembers a download over the end of this run.
    pub(super) fn remember(&mut self, download: &Download, error: Option<Code>) {
        let (fact, remote, device) = (download.fact.clone(), download.file.path.clone(), download.device);
        let kept = Kept { fact, remote, device, paused: download.paused };
        self.write_down(&kept, error);
    }

    /// Remembers how a download stands.
    pub(super) fn write_down_download(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get(&id) else { return };
        let (fact, remote, device) = (download.fact.clone(), download.file.path.clone(), download.device);
        let kept = Kept { fact, remote, device, paused: download.paused };
        self.write_down(&kept, None);
    }

    fn write_down(&mut self, kept: &Kept, error: Option<Code>) {
        let fact = &kept.fact;
        let wanted = WantedFile {
            id: fact.id,
            peer: fact.peer.as_str().to_owned(),
            remote: kept.remote.as_str().to_owned(),
            into: fact.folder.as_str().to_owned(),
            name: fact.name.as_str().to_owned(),
            size: fact.size.unwrap_or(0),
            device: kept.device.map(|device| hex::encode(&device.0)),
            paused: kept.paused,
            error: error.map(|code| code.name().to_owned()),
        };
        match self.memory.wanted.want(wanted) {
            // It is fetched all the same, as long as the program runs.
            Err(crate::state::StateError::Full { .. }) => {}
            outcome => self.report(outcome),
        }
    }

    pub(super) fn forget_wanted(&mut self, id: u64) {
        let forgotten = self.memory.wanted.forget(id);
        self.report(forgotten);
    }

    /// Keeps a download that failed: one whose link was lost for the next run, others for `/retry`.
    pub(super) fn keep_failed(&mut self, download: Download, code: Code) {
        if code == Code::Wire(ErrorCode::Cancelled) {
            return self.forget_wanted(download.fact.id);
        }
        let waits = code == Code::LinkLost;
        self.remember(&download, Some(code).filter(|_| !waits));
        let Download { mut fact, file, device, paused, .. } = download;
        fact.state = if waits { TransferState::Waiting } else { TransferState::Failed };
        self.kept.0.insert(fact.id, Kept { fact, remote: file.path, device, paused });
        if let Some(oldest) = self.kept.surplus() {
            self.kept.0.remove(&oldest);
            self.forget_wanted(oldest);
        }
    }

    /// What an earlier run did not finish.
    pub(super) fn restore_wanted(&mut self) {
        let found = self.memory.wanted.iter().map(|wanted| (wanted.id, restored(wanted))).collect::<Vec<_>>();
        for (id, kept) in found {
            self.transfers.skip_to(id);
            match kept {
                Some(kept) => drop(self.kept.0.insert(id, kept)),
                // Written by another program: what it says cannot be asked for.
                None => self.forget_wanted(id),
            }
        }
    }

    /// A link stands: what waited for it goes on.
    pub(super) fn revive(&mut self, link: LinkId, peer: &Name) {
        let waits = |kept: &&Kept| {
            kept.fact.peer == *peer && !kept.paused && kept.fact.state == TransferState::Waiting
        };
        let ids = self.kept.0.values().filter(waits).map(|kept| kept.fact.id).collect::<Vec<_>>();
        self.look_for(link, ids);
    }

    /// Looks at the peer for kept files, folder by folder: their numbers are those of a list that is gone.
    fn look_for(&mut self, link: LinkId, ids: Vec<u64>) {
        let mut folders: BTreeMap<SafeRelPath, BTreeMap<SafeName, u64>> = BTreeMap::new();
        for id in ids {
            let Some(kept) = self.kept.0.get_mut(&id) else { continue };
            let remote = kept.remote.borrow();
            let (Some(folder), Some(name)) = (remote.parent(), remote.file_name()) else { continue };
            folders.entry(folder.to_owned()).or_default().insert(name.to_owned(), id);
            kept.fact.state = TransferState::Queued;
            (kept.fact.error, kept.fact.message) = (None, None);
        }
        let errand = self.errands.begin();
        for (remote, files) in folders {
            let (errand, into, want) = (errand.clone(), SafeRelPath::root(), Want::Files(files));
            self.look_into(Look { link, batch: None, errand, remote, into, want, depth: 0 });
        }
    }

    /// A kept file could not be found over a link, or not be looked for. What another device of the same person has shown, and who
    /// shares nothing at the moment, is waited for.
    pub(super) fn miss_kept(&mut self, link: LinkId, id: u64, code: Code) {
        let Some(mut kept) = self.kept.0.remove(&id) else { return };
        let there = self.links.device(link);
        let is_elsewhere = kept.device.is_some_and(|device| there.is_some_and(|there| there != device));
        let waits = code == Code::LinkLost || code == Code::Wire(ErrorCode::NoShare) || is_elsewhere;
        kept.fact.state = if waits { TransferState::Waiting } else { TransferState::Failed };
        kept.fact.error = Some(code).filter(|_| !waits || code == Code::LinkLost);
        if !waits {
            self.voice.show(&Notice::Transfer(kept.fact.clone()), None);
        }
        self.write_down(&kept, Some(code).filter(|_| !waits));
        self.kept.0.insert(id, kept);
    }

    /// `/retry` of a transfer that failed; `false` if it did not.
    pub(super) fn retry_kept(&mut self, id: u64) -> bool {
        let Some(kept) = self.kept.0.get_mut(&id) else { return false };
        if kept.fact.state == TransferState::Queued {
            return true;
        }
        kept.paused = false;
        kept.fact.state = TransferState::Waiting;
        (kept.fact.error, kept.fact.message) = (None, None);
        self.go_on_with_kept(id);
        true
    }

    /// `/resume` of a kept transfer.
    pub(super) fn pause_kept(&mut self, id: u64, paused: bool) -> bool {
        let Some(kept) = self.kept.0.get_mut(&id) else { return false };
        if kept.fact.state != TransferState::Failed {
            kept.paused = paused;
            kept.fact.state = if paused { TransferState::Paused } else { TransferState::Waiting };
        }
        self.go_on_with_kept(id);
        true
    }

    /// Writes down how a kept transfer stands, and fetches it if it may be and its peer is there.
    fn go_on_with_kept(&mut self, id: u64) {
        let Some(kept) = self.kept.0.remove(&id) else { return };
        self.write_down(&kept, kept.fact.error);
        self.voice.show(&Notice::Transfer(kept.fact.clone()), None);
        let peer = kept.fact.peer.clone();
        let waits = kept.fact.state == TransferState::Waiting;
        self.kept.0.insert(id, kept);
        if let Some(link) = self.links.with(&peer).filter(|_| waits) {
            self.look_for(link, vec![id]);
        }
    }

    /// `/cancel` of a kept transfer; `false` if there is none.
    pub(super) fn drop_kept(&mut self, id: u64) -> bool {
        let Some(mut kept) = self.kept.0.remove(&id) else { return false };
        self.forget_wanted(id);
        self.gathering.leave_out(id);
        kept.fact.state = TransferState::Cancelled;
        kept.fact.error = None;
        self.voice.show(&Notice::Transfer(kept.fact), None);
        true
    }
}

fn restored(wanted: &WantedFile) -> Option<Kept> {
    let (peer, name) = (Name::new(&wanted.peer).ok()?, SafeName::new(&wanted.name).ok()?);
    let folder = SafeRelPath::new(&wanted.into).ok()?;
    let remote = SafeRelPath::new(&wanted.remote).ok()?;
    let mut fact = Transfer::new(wanted.id, peer, Direction::In, folder, name);
    fact.size = Some(wanted.size);
    fact.error = wanted.error.as_deref().map(|name| Code::named(name).unwrap_or(ErrorCode::Internal.into()));
    fact.state = match (&wanted.error, wanted.paused) {
        (Some(_), _) => TransferState::Failed,
        (None, true) => TransferState::Paused,
        (None, false) => TransferState::Waiting,
    };
    let device = wanted.device.as_deref().and_then(hex::decode).map(DeviceId);
    Some(Kept { fact, remote, device, paused: wanted.paused })
}
