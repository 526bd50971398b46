//! Files that come: collected to units on the loop, written and hashed on a worker, one job at a time for each. Small ones go
//! another way (`small.rs`), and meet the others again where files get their names, many at a time (`placing.rs`).

use super::App;
use super::jobs::{Folder, Job, LinkTransfer};
use super::transfers::{Ending, Stage};
use crate::downloads::{Claim, Content, DownloadError, Downloads, Incoming, KeptPart, Origin, Search, Whole};
use crate::notice::{Code, TransferState};
use bytes::Bytes;
use chatproto::wire::{ErrorCode, Hash, SafeName, SafeRelPath};
use std::collections::VecDeque;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The place of one file in a queue is told so often. Where hundreds wait, each of them moves up whenever one is sent.
const PLACES_INTERVAL: Duration = Duration::from_secs(2);

/// Bytes of a part that a worker reads back in one go; between two of them other jobs have their turn.
const RECHECK_STEP: u64 = 64 * 1024 * 1024;

/// A file while its bytes come. The link's window bounds what waits here.
#[derive(Debug)]
pub(super) struct Coming {
    /// None while a worker has it.
    pub(super) incoming: Option<Box<Incoming>>,
    /// A worker was asked to begin it, or it was there.
    pub(super) is_begun: bool,
    pub(super) mtime: u64,
    /// What came of the unit that comes.
    pub(super) pieces: Vec<Bytes>,
    /// Units that wait for the worker.
    units: VecDeque<Unit>,
    /// All bytes of a small file, and what they hash to.
    pub(super) content: Option<Content>,
    /// The root of the whole, once everything is stored.
    complete: Option<Hash>,
}

/// A unit whose bytes are all there.
#[derive(Debug)]
pub(super) struct Unit {
    unit: u64,
    pieces: Vec<Bytes>,
    /// What the sender says that they hash to.
    value: Hash,
}

impl Unit {
    pub(super) fn new(unit: u64, pieces: Vec<Bytes>, value: Hash) -> Self {
        Self { unit, pieces, value }
    }

    pub(super) fn number(&self) -> u64 {
        self.unit
    }

    /// With what its bytes must hash to.
    pub(super) fn with_value(self, value: Hash) -> Self {
        Self { value, ..self }
    }
}

impl Stored {
    /// Which unit, what it hashes to, and what is to be claimed now.
    pub(super) fn into_parts(self) -> (u64, Hash, Option<Claim>) {
        (self.unit, self.value, self.claim)
    }
}

/// A unit that was hashed, and written if it was what it should be.
#[derive(Debug)]
pub(super) struct Stored {
    unit: u64,
    value: Hash,
    received: u64,
    claim: Option<Claim>,
}

/// What an earlier transfer left of a file.
#[derive(Debug)]
pub(super) enum Looked {
    Nothing { damaged: Vec<PathBuf> },
    Part(Box<Incoming>),
    Changed(KeptPart),
}

/// Why a file cannot be received, for the peer and for the user.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: ErrorCode,
    pub(super) message: String,
}

impl Coming {
    fn new(incoming: Option<Box<Incoming>>, is_begun: bool, mtime: u64) -> Self {
        let (pieces, units) = (Vec::new(), VecDeque::new());
        Self { incoming, is_begun, mtime, pieces, units, content: None, complete: None }
    }

    /// Whether everything has come.
    pub(super) fn is_complete(&self) -> bool {
        self.complete.is_some()
    }
}

impl App {
    /// The download folder, for a worker.
    pub(super) fn folder(&self) -> Folder {
        match &self.downloads {
            Some(open) => Folder::Open(open.clone()),
            None => Folder::Named(self.settings.downloads.clone()),
        }
    }

    /// It is known what an earlier transfer left of a file.
    pub(super) fn on_looked(&mut self, id: u64, looked: Result<(Downloads, Looked), Failure>) {
        let looked = looked.map(|(downloads, looked)| {
            self.downloads.get_or_insert(downloads);
            looked
        });
        let Some(download) = self.transfers.downloads.get_mut(&id) else {
            match looked {
                Ok(Looked::Part(incoming)) => self.put_away(id, incoming),
                Ok(Looked::Changed(kept)) => self.transfers.keep(id, kept),
                Ok(Looked::Nothing { .. }) | Err(_) => {}
            }
            return;
        };
        match looked {
            Ok(Looked::Nothing { damaged }) => {
                for path in damaged {
                    let text = format!(
                        "the record of {} is damaged: it is left where it is, and the file begins anew",
                        path.display()
                    );
                    self.voice.info(text);
                }
                self.found_part(id, None);
            }
            Ok(Looked::Part(incoming)) => self.recheck(id, incoming),
            Ok(Looked::Changed(kept)) => {
                let name = download.fact.name.as_str();
                let text = format!(
                    "{name} has changed since {} bytes of it came; they are kept until /discard {id}, then /get begins anew",
                    kept.bytes()
                );
                self.voice.info(text);
                self.transfers.keep(id, kept);
                self.fail_download(id, ErrorCode::Changed.into(), None);
            }
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    pub(super) fn recheck(&mut self, id: u64, incoming: Box<Incoming>) {
        self.jobs.submit(Job::Recheck { id, incoming });
    }

    pub(super) fn on_rechecked(&mut self, id: u64, incoming: Box<Incoming>, left: Result<usize, Failure>) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else {
            return self.put_away(id, incoming);
        };
        download.fact.bytes = incoming.received();
        let comes_in_parts = matches!(download.stage, Stage::Parts(_));
        match left {
            Ok(0) if comes_in_parts => self.on_part_file(id, incoming),
            Ok(0) => self.found_part(id, Some(incoming)),
            Ok(_) => {
                self.show_progress(id);
                self.recheck(id, incoming);
            }
            Err(failure) => {
                self.put_away(id, incoming);
                self.give_up_download(id, &failure);
            }
        }
    }

    pub(super) fn on_file_queued(&mut self, at: LinkTransfer, position: u32) {
        let Some(download) = self.transfers.of(at) else { return };
        let before = download.fact.position.replace(position);
        download.hear(at);
        let id = download.fact.id;
        let is_due = download.shown_at.is_none_or(|shown| shown.elapsed() >= PLACES_INTERVAL);
        if before.is_none() || (before != Some(position) && is_due) {
            self.show_progress(id);
        }
    }

    pub(super) fn on_file_started(&mut self, at: LinkTransfer, size: u64, mtime: u64) {
        let Some(download) = self.transfers.of(at) else { return };
        if matches!(download.stage, Stage::Parts(_)) {
            return self.on_part_started(at, size);
        }
        let id = download.fact.id;
        let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
        download.heard_at = Instant::now();
        download.fact.size = Some(size);
        download.fact.position = None;
        if !(download.paused || download.paused_there) {
            download.fact.state = TransferState::Active;
        }
        if size != download.file.size {
            // What came earlier was looked for, and what is asked for counted, with the size that was listed.
            let message = format!("{} has another size than was listed", name.as_str());
            return self.give_up_download(id, &Failure { code: ErrorCode::Changed, message });
        }
        let incoming = download.found.take();
        // A file of one unit is begun when it has come.
        let has_parts = download.file.has_parts();
        let must_begin = has_parts && incoming.is_none();
        let origin = download.file.unproved_origin();
        download.stage = Stage::Coming(at, Coming::new(incoming, has_parts, mtime));
        if must_begin {
            let folder = self.folder();
            self.jobs.submit(Job::Begin { id, folder, into, name, origin });
        }
        // A small one is mostly all there before this turn ends.
        self.transfers.begun.push(id);
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
                if self.transfers.pieces(id).is_some() {
                    return self.on_part_file(id, incoming);
                }
                self.take_back(id, incoming);
                self.go_on(id);
            }
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    pub(super) fn on_file_data(&mut self, at: LinkTransfer, data: Bytes) {
        if let Some(bucket) = &mut self.pace.down {
            bucket.take(data.len() as u64, Instant::now());
        }
        self.transfers.hear(at.0, data.len());
        let Some(download) = self.transfers.of(at) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return self.on_part_data(at, data) };
        coming.pieces.push(data);
    }

    pub(super) fn on_file_unit(&mut self, at: LinkTransfer, unit: u64, value: Hash) {
        let Some(download) = self.transfers.of(at) else { return };
        if download.file.is_small() {
            return self.on_small_unit(at, unit);
        }
        let Stage::Coming(_, coming) = &mut download.stage else {
            return self.on_part_unit(at, unit, value);
        };
        let pieces = std::mem::take(&mut coming.pieces);
        coming.units.push_back(Unit { unit, pieces, value });
        let id = download.fact.id;
        self.go_on(id);
    }

    pub(super) fn on_stored(&mut self, id: u64, incoming: Box<Incoming>, stored: Result<Stored, Failure>) {
        if self.transfers.pieces(id).is_some() {
            return self.on_part_stored(id, incoming, stored);
        }
        if !self.take_back(id, incoming) {
            return;
        }
        match stored {
            Ok(stored) => {
                let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
                download.fact.bytes = stored.received;
                download.heard_at = Instant::now();
                download.note_first_byte();
                let at = download.at();
                if let Some(claim) = stored.claim {
                    self.jobs.submit(Job::Claim { claim });
                }
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
        let id = download.fact.id;
        let promised = download.file.root;
        let Stage::Coming(_, coming) = &mut download.stage else { return self.on_part_complete(at) };
        coming.complete = Some(root);
        if promised.is_some_and(|promised| promised != root) {
            let message = format!("{} is not the file that was listed", download.fact.name.as_str());
            return self.give_up_download(id, &Failure { code: ErrorCode::VerifyFailed, message });
        }
        if download.file.is_small() {
            return self.on_small_complete(id, root);
        }
        self.go_on(id);
    }

    pub(super) fn on_file_failed(&mut self, at: LinkTransfer, code: ErrorCode) {
        let Some(download) = self.transfers.of(at) else { return };
        let id = download.fact.id;
        if matches!(download.stage, Stage::Parts(_)) {
            let code = if code == ErrorCode::Offline { Code::LinkLost } else { code.into() };
            return self.on_part_failed(at, code);
        }
        // That is how a link's end is said of its transfers; the link's own end, which follows, deals with them all.
        let is_forgotten = matches!(code, ErrorCode::Changed | ErrorCode::NoSuchNumber);
        let goes_on = code == ErrorCode::Offline
            || (is_forgotten && self.seek(at))
            || (code == ErrorCode::TooManyTransfers && self.put_back(at));
        if !goes_on {
            self.fail_download(id, code.into(), None);
        }
    }

    /// The peer has as many transfers open as it lets: this one waits until another has ended. `false` if there is none.
    fn put_back(&mut self, at: LinkTransfer) -> bool {
        let others = self.transfers.open_on(at.0).saturating_sub(1);
        let Some(download) = self.transfers.of(at) else { return false };
        if others == 0 || !matches!(download.stage, Stage::Asked(_)) {
            return false;
        }
        download.stage = Stage::Waiting;
        download.fact.position = None;
        self.transfers.asked.remove(&at);
        self.transfers.limit(at.0, others);
        true
    }

    /// Gives the worker the next thing to do for a file.
    fn go_on(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        if coming.units.is_empty() && coming.complete.is_none() {
            return;
        }
        let mtime = coming.mtime;
        match (coming.incoming.take(), coming.units.pop_front(), coming.complete) {
            (Some(incoming), Some(unit), _) => self.jobs.submit(Job::Store { id, incoming, unit }),
            (Some(incoming), None, Some(root)) => {
                self.finish_download(id, Whole::Written(incoming), root, mtime);
            }
            (Some(incoming), None, None) => coming.incoming = Some(incoming),
            (None, Some(unit), _) if !coming.is_begun => {
                coming.is_begun = true;
                let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
                let origin = download.file.origin();
                let folder = self.folder();
                self.jobs.submit(Job::StoreWhole { id, folder, into, name, origin, unit });
            }
            // A worker has it.
            (None, Some(unit), _) => coming.units.push_front(unit),
            (None, None, _) => {}
        }
    }

    /// A file of one unit is written, or is not.
    pub(super) fn on_stored_whole(
        &mut self,
        id: u64,
        stored: Result<(Downloads, Box<Incoming>, Stored), Failure>,
    ) {
        match stored {
            Ok((downloads, incoming, stored)) => {
                self.downloads.get_or_insert(downloads);
                self.on_stored(id, incoming, Ok(stored));
            }
            Err(failure) => self.give_up_download(id, &failure),
        }
    }

    /// Takes a file back from a worker; when nobody waits for it any more, it is put away.
    fn take_back(&mut self, id: u64, incoming: Box<Incoming>) -> bool {
        match self.transfers.downloads.get_mut(&id).map(|download| &mut download.stage) {
            Some(Stage::Coming(_, coming)) => {
                coming.incoming = Some(incoming);
                true
            }
            Some(
                Stage::Waiting
                | Stage::Looking
                | Stage::Ready
                | Stage::Asked(_)
                | Stage::Parts(_)
                | Stage::Parking
                | Stage::Placing(_),
            )
            | None => {
                self.put_away(id, incoming);
                false
            }
        }
    }

    /// Keeps what came, unless the user does not want it.
    pub(super) fn put_away(&mut self, id: u64, incoming: Box<Incoming>) {
        match self.transfers.ending(id) {
            Ending::Keep => self.jobs.submit(Job::Keep { id, incoming }),
            Ending::Discard => self.jobs.submit(Job::Discard { incoming }),
        }
    }

    /// What came is kept.
    pub(super) fn on_kept(&mut self, id: u64, kept: Result<Option<KeptPart>, Failure>) {
        let kept = kept.unwrap_or_else(|failure| {
            self.voice.info(failure.message);
            None
        });
        let is_unwanted = self.transfers.ending(id) == Ending::Discard;
        if is_unwanted || self.transfers.discarding.contains_key(&id) {
            kept.into_iter().for_each(|kept| self.jobs.submit(Job::Forget { id, kept }));
            self.on_parked(id);
        } else if self.transfers.downloads.contains_key(&id) {
            self.on_parked(id);
        } else if let Some(kept) = kept {
            if self.ending.is_none() {
                let text = format!(
                    "{} bytes of transfer {id} are kept: /get goes on with them, /discard {id} removes them",
                    kept.bytes()
                );
                self.voice.info(text);
            }
            self.transfers.keep(id, kept);
        }
    }
}

/// Looks for what an earlier transfer left; on a worker.
pub(super) fn look(
    folder: Folder,
    into: &SafeRelPath,
    name: &SafeName,
    origin: &Origin,
) -> Result<(Downloads, Looked), Failure> {
    let downloads = open(folder)?;
    let looked = match downloads.look_for(into.borrow(), name.borrow(), origin)? {
        Search::Nothing { damaged } => Looked::Nothing { damaged },
        Search::Part(incoming) => Looked::Part(incoming),
        Search::Changed(kept) => Looked::Changed(kept),
    };
    Ok((downloads, looked))
}

/// Reads some of a part back; on a worker.
pub(super) fn recheck(incoming: &mut Incoming) -> Result<usize, Failure> {
    Ok(incoming.recheck(RECHECK_STEP)?)
}

/// Begins a file; on a worker.
pub(super) fn begin(
    folder: Folder,
    into: &SafeRelPath,
    name: &SafeName,
    origin: &Origin,
) -> Result<(Downloads, Box<Incoming>), Failure> {
    let downloads = open(folder)?;
    let incoming = Incoming::begin(&downloads, into.borrow(), name.borrow(), origin)?;
    Ok((downloads, Box::new(incoming)))
}

pub(super) fn open(folder: Folder) -> Result<Downloads, DownloadError> {
    match folder {
        Folder::Open(downloads) => Ok(downloads),
        Folder::Named(path) => Downloads::open(path),
    }
}

/// Makes a folder; on a worker.
pub(super) fn make_folder(folder: Folder, path: &SafeRelPath) -> Result<(), Failure> {
    Ok(open(folder)?.create_folder(path.borrow())?)
}

/// Hashes and writes one unit; on a worker.
pub(super) fn store(incoming: &mut Incoming, unit: &Unit) -> Result<Stored, Failure> {
    let Unit { unit, pieces, value } = unit;
    let value = Hash(incoming.store(*unit, pieces, &value.0)?);
    Ok(Stored { unit: *unit, value, received: incoming.received(), claim: incoming.claim_due() })
}

/// Writes a file of one unit; on a worker.
pub(super) fn store_whole(
    folder: Folder,
    into: &SafeRelPath,
    name: &SafeName,
    origin: &Origin,
    unit: &Unit,
) -> Result<(Downloads, Box<Incoming>, Stored), Failure> {
    let (downloads, mut incoming) = begin(folder, into, name, origin)?;
    let stored = store(&mut incoming, unit);
    match stored {
        Ok(stored) => Ok((downloads, incoming, stored)),
        Err(failure) => {
            // Nothing of it is worth keeping.
            let _ = incoming.discard();
            Err(failure)
        }
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        let code = match &error {
            DownloadError::RootMismatch { .. } => ErrorCode::VerifyFailed,
            DownloadError::PastEnd { .. }
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
