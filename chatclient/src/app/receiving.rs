//! Files that come: collected to units on the loop, written and hashed on a worker, one job at a time for each.

use super::App;
use super::jobs::{Folder, Job, LinkTransfer};
use super::transfers::{Download, Stage};
use crate::downloads::{DownloadError, Downloads, Finished, Incoming};
use crate::notice::{Code, TransferState};
use bytes::Bytes;
use chatproto::verify::UnitLog2;
use chatproto::wire::{ErrorCode, Hash, SafeName, SafeRelPath};
use std::collections::VecDeque;
use std::time::Instant;

/// A file while its bytes come. The link's window bounds what waits here.
#[derive(Debug)]
pub(super) struct Coming {
    /// None while a worker has it.
    pub(super) incoming: Option<Box<Incoming>>,
    mtime: u64,
    /// Where the unit that comes begins, and what came of it.
    offset: u64,
    pieces: Vec<Bytes>,
    /// Units that wait for the worker.
    units: VecDeque<Unit>,
    /// The root of the whole, once everything is stored.
    complete: Option<Hash>,
}

#[derive(Debug)]
struct Unit {
    unit: u64,
    offset: u64,
    pieces: Vec<Bytes>,
}

/// A unit that was written.
#[derive(Debug)]
pub(super) struct Stored {
    unit: u64,
    value: Hash,
    received: u64,
}

/// Why a file cannot be received, for the peer and for the user.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl App {
    pub(super) fn on_file_queued(&mut self, at: LinkTransfer, position: u32) {
        let Some(download) = self.transfers.of(at) else { return };
        download.fact.position = Some(position);
        download.heard_at = Instant::now();
        let id = download.fact.id;
        self.show_progress(id);
    }

    pub(super) fn on_file_started(&mut self, at: LinkTransfer, size: u64, mtime: u64, unit_log2: u8) {
        let Some(download) = self.transfers.of(at) else { return };
        let id = download.fact.id;
        let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
        download.heard_at = Instant::now();
        download.fact.size = Some(size);
        download.fact.position = None;
        if !(download.paused || download.paused_there) {
            download.fact.state = TransferState::Active;
        }
        let (pieces, units) = (Vec::new(), VecDeque::new());
        let coming = Coming { incoming: None, mtime, offset: 0, pieces, units, complete: None };
        download.stage = Stage::Coming(at, coming);
        // The machine has compared it with what was asked for.
        let unit = UnitLog2::new(unit_log2).unwrap_or_default();
        let folder = self.download_folder();
        self.jobs.submit(Job::Begin { id, folder, into, name, size, unit });
        self.show_change(id);
    }

    /// The download folder, as a worker needs it.
    pub(super) fn download_folder(&self) -> Folder {
        match &self.downloads {
            Some(open) => Folder::Open(open.clone()),
            None => Folder::Named(self.settings.downloads.clone()),
        }
    }

    pub(super) fn on_folder_made(&mut self, made: Result<(), Failure>) {
        if let Err(failure) = made {
            self.voice.fail(None, failure.code, failure.message);
        }
    }

    pub(super) fn on_begun(&mut self, id: u64, begun: Result<(Downloads, Box<Incoming>), Failure>) {
        match begun {
            Ok((downloads, incoming)) => {
                self.downloads.get_or_insert(downloads);
                self.take_back(id, incoming);
                self.go_on(id);
            }
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    pub(super) fn on_file_data(&mut self, at: LinkTransfer, offset: u64, data: Bytes) {
        if let Some(bucket) = &mut self.pace.down {
            bucket.take(data.len() as u64, Instant::now());
        }
        let Some(Download { stage: Stage::Coming(_, coming), heard_at, .. }) = self.transfers.of(at) else {
            return;
        };
        *heard_at = Instant::now();
        if coming.pieces.is_empty() {
            coming.offset = offset;
        }
        coming.pieces.push(data);
    }

    pub(super) fn on_file_unit(&mut self, at: LinkTransfer, unit: u64) {
        let Some(download) = self.transfers.of(at) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        let pieces = std::mem::take(&mut coming.pieces);
        coming.units.push_back(Unit { unit, offset: coming.offset, pieces });
        let id = download.fact.id;
        self.go_on(id);
    }

    pub(super) fn on_stored(&mut self, id: u64, incoming: Box<Incoming>, stored: Result<Stored, Failure>) {
        if !self.take_back(id, incoming) {
            return;
        }
        match stored {
            Ok(stored) => {
                let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
                download.fact.bytes = stored.received;
                download.heard_at = Instant::now();
                let at = download.at();
                if let Some((link, transfer)) = at
                    && let Some(link) = self.links.get_mut(link)
                {
                    // A wrong value comes back as the transfer's failure; anything else has ended already.
                    let _ = link.peer.unit_stored(transfer, stored.unit, stored.value);
                }
                self.show_progress(id);
                self.go_on(id);
            }
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    pub(super) fn on_file_complete(&mut self, at: LinkTransfer, root: Hash) {
        let Some(download) = self.transfers.of(at) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        coming.complete = Some(root);
        let id = download.fact.id;
        self.go_on(id);
    }

    pub(super) fn on_finished(&mut self, id: u64, finished: Result<Finished, Failure>) {
        let at = self.transfers.downloads.get(&id).and_then(Download::at);
        let outcome = finished.as_ref().map(drop).map_err(|failure| failure.code);
        if let Some((link, transfer)) = at
            && let Some(link) = self.links.get_mut(link)
        {
            // The file is at its place even when the peer cannot be told any more.
            let _ = link.peer.finish_file(transfer, outcome);
        }
        match finished {
            Ok(finished) => self.complete_download(id, finished),
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    pub(super) fn on_file_failed(&mut self, at: LinkTransfer, code: ErrorCode) {
        let Some(id) = self.transfers.of(at).map(|download| download.fact.id) else { return };
        // That is how a link's end is said of its transfers.
        let code = if code == ErrorCode::Offline { Code::LinkLost } else { code.into() };
        self.fail_download(id, code, None);
    }

    /// Gives the worker the next thing to do for a file.
    fn go_on(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        if coming.units.is_empty() && coming.complete.is_none() {
            return;
        }
        let Some(incoming) = coming.incoming.take() else { return };
        let job = match (coming.units.pop_front(), coming.complete) {
            (Some(Unit { unit, offset, pieces }), _) => Job::Store { id, incoming, unit, offset, pieces },
            (None, Some(root)) => Job::Finish { id, incoming, root, mtime: coming.mtime },
            (None, None) => return coming.incoming = Some(incoming),
        };
        self.jobs.submit(job);
    }

    /// Takes a file back from a worker; when nobody wants it any more, it is removed.
    fn take_back(&mut self, id: u64, incoming: Box<Incoming>) -> bool {
        match self.transfers.downloads.get_mut(&id).map(|download| &mut download.stage) {
            Some(Stage::Coming(_, coming)) => {
                coming.incoming = Some(incoming);
                true
            }
            Some(Stage::Waiting | Stage::Asked(_) | Stage::Placing) | None => {
                self.jobs.submit(Job::Discard { incoming });
                false
            }
        }
    }
}

/// Begins a file; on a worker.
pub(super) fn begin(
    folder: Folder,
    into: &SafeRelPath,
    name: &SafeName,
    size: u64,
    unit: UnitLog2,
) -> Result<(Downloads, Box<Incoming>), Failure> {
    let downloads = opened(folder)?;
    let incoming = Incoming::begin(&downloads, into.borrow(), name.borrow(), size, unit)?;
    Ok((downloads, Box::new(incoming)))
}

/// Puts a whole file in its place; on a worker.
pub(super) fn place(
    folder: Folder,
    into: &SafeRelPath,
    name: &SafeName,
    mtime: u64,
    root: Hash,
    content: &[u8],
) -> Result<Finished, Failure> {
    let size = u64::try_from(content.len()).unwrap_or(u64::MAX);
    let (_, mut incoming) = begin(folder, into, name, size, UnitLog2::default())?;
    if size > 0 {
        incoming.data(0, content)?;
        incoming.unit_end()?;
    }
    finish(*incoming, root, mtime)
}

/// Makes a folder; on a worker.
pub(super) fn make_folder(folder: Folder, path: &SafeRelPath) -> Result<(), Failure> {
    Ok(opened(folder)?.create_folder(path.borrow())?)
}

fn opened(folder: Folder) -> Result<Downloads, DownloadError> {
    match folder {
        Folder::Open(downloads) => Ok(downloads),
        Folder::Named(path) => Downloads::open(path),
    }
}

/// Writes and hashes one unit; on a worker.
pub(super) fn store(
    incoming: &mut Incoming,
    unit: u64,
    mut offset: u64,
    pieces: &[Bytes],
) -> Result<Stored, Failure> {
    for piece in pieces {
        incoming.data(offset, piece)?;
        offset = incoming.received();
    }
    let value = Hash(incoming.unit_end()?);
    Ok(Stored { unit, value, received: incoming.received() })
}

/// Compares the whole and gives the file its name; on a worker.
pub(super) fn finish(incoming: Incoming, root: Hash, mtime: u64) -> Result<Finished, Failure> {
    Ok(incoming.finish(&root.0, mtime)?)
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        let code = match &error {
            DownloadError::RootMismatch { .. } => ErrorCode::VerifyFailed,
            DownloadError::PastEnd { .. }
            | DownloadError::OutOfOrder { .. }
            | DownloadError::CrossesUnit { .. }
            | DownloadError::UnitIncomplete { .. }
            | DownloadError::NoUnitLeft { .. }
            | DownloadError::Incomplete { .. } => ErrorCode::Malformed,
            DownloadError::NotAFolder { .. }
            | DownloadError::NotWritable { .. }
            | DownloadError::NoRoom { .. }
            | DownloadError::DiskFull { .. }
            | DownloadError::TooManyCopies { .. }
            | DownloadError::Io { .. } => ErrorCode::Storage,
        };
        Self { code, message: error.to_string() }
    }
}
