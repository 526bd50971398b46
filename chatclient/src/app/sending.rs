//! Serving the shared folder: lists and files that peers ask for.

mod at_once;
mod remembering;

pub(super) use remembering::Sent;

use super::App;
use super::jobs::{Job, LinkTransfer};
use super::links::LinkId;
use super::meter::Meter;
use crate::notice::{Code, Direction, Notice, Transfer, TransferState};
use crate::share::{self, MAX_VALUES, Outgoing, OutgoingUnit, Seen, Share, ShareError, Skipped};
use chatproto::peer::{FileInfo, Item, ListId, Part as PeerPart, UnitData, Wanted};
use chatproto::verify::UnitLog2;
use chatproto::wire::{EntryKind, ErrorCode, Hash, MAX_INLINE, Name, SafeName, SafeRelPath};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Most entries of a folder that are served, as the link's own limit has it.
const MAX_ENTRIES: usize = 10_000;

/// Bytes of small files that go along with a list, as the link's own limit has it.
const MAX_CONTENT: usize = 1024 * 1024;

/// Names that are left out of a list and told to the user; of the others, how many there are.
const MAX_REMARKED: usize = 3;

/// Bytes of a file that a worker hashes in one go before it is sent; between two of them other jobs have their turn.
const HASH_STEP: u64 = 64 * 1024 * 1024;

/// While a file is hashed before it is sent, the peer hears so often that it has not been forgotten.
const HASHING_NEWS: Duration = Duration::from_secs(2);

/// Files on their way to peers. The links bound how many there are.
pub(super) type Uploads = BTreeMap<LinkTransfer, Upload>;

/// A file on its way to a peer.
#[derive(Debug)]
pub(super) struct Upload {
    fact: Transfer,
    /// None while a worker has it.
    outgoing: Option<Box<Outgoing>>,
    /// Units wanted and not yet being read.
    wanted: u64,
    /// The units that the peer wants.
    part: Part,
    /// When the peer was told last that the file is still being hashed.
    told_at: Instant,
    /// What to open when its turn comes.
    asked: Option<Asked>,
    /// All its bytes were handed to the link.
    all_sent: bool,
    /// This user has stopped it, or the peer has.
    pub(super) paused: bool,
    pub(super) paused_there: bool,
    /// Since when its bytes may leave, with the slot that it has.
    pub(super) sends_since: Option<Instant>,
    /// Whether it stands still for one of these, and since when.
    pub(super) stands: bool,
    pub(super) stands_since: Instant,
    shown_at: Instant,
    meter: Meter,
}

/// Which file a peer asked for.
#[derive(Debug)]
struct Asked {
    share: Share,
    what: What,
    unit: UnitLog2,
}

/// The way of an upload is shown so often.
const SHOW_INTERVAL: Duration = Duration::from_millis(500);

/// Which file a peer wants.
#[derive(Debug)]
pub(super) enum What {
    /// One that it saw in a list.
    Listed(SafeRelPath, Seen),
    /// One with this hash.
    Root(Hash),
}

/// Which units of a file a peer wants.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    /// All.
    Whole,
    /// Those after the ones that it has, of whose values this is the digest.
    After { unit: u64, held: Hash },
    /// Some, asked for by the hash of the file.
    Units { first: u64, count: u64, values: bool },
}

impl What {
    /// The folder that the file lies in, and its name.
    fn name(&self, share: &Share) -> Option<(SafeRelPath, SafeName)> {
        let path = match self {
            Self::Listed(path, _) => path.clone(),
            Self::Root(root) => SafeRelPath::new(&share.hashes().path_of(&root.0)?).ok()?,
        };
        let folder = path.borrow().parent()?.to_owned();
        path.borrow().file_name().map(|name| (folder, name.to_owned()))
    }
}

/// A folder as a peer may see it.
#[derive(Debug)]
pub(super) struct Listed {
    items: Vec<Item>,
    /// What the user should know of it, if anything.
    remark: Option<String>,
}

impl Upload {
    pub(super) fn id(&self) -> u64 {
        self.fact.id
    }

    pub(super) fn peer(&self) -> &Name {
        &self.fact.peer
    }

    pub(super) fn fact(&self) -> Transfer {
        self.fact.clone()
    }

    /// Its place in the queue has changed.
    pub(super) fn set_place(&mut self, place: u32) {
        self.fact.position = Some(place);
    }

    pub(super) fn is_all_sent(&self) -> bool {
        self.all_sent
    }

    /// It had a slot once.
    pub(super) fn has_begun(&self) -> bool {
        self.asked.is_none()
    }

    /// Gives it the state that it has by who stops it.
    pub(super) fn show_state(&mut self) {
        self.fact.state = match (self.stands, &self.asked) {
            (true, _) => TransferState::Paused,
            (false, Some(_)) => TransferState::Queued,
            (false, None) => TransferState::Active,
        };
    }
}

impl App {
    pub(super) fn on_list_wanted(&mut self, link: LinkId, id: ListId, path: SafeRelPath, content: bool) {
        match self.share.clone() {
            Some(share) => self.jobs.submit(Job::List { link, id, share, path, content }),
            None => self.on_listed(link, id, Err(ErrorCode::NoShare)),
        }
    }

    pub(super) fn on_listed(&mut self, link: LinkId, id: ListId, listed: Result<Listed, ErrorCode>) {
        let Some(link) = self.links.get_mut(link) else { return };
        // When nobody waits any more, the link is on its way out.
        let _ = match listed {
            Ok(Listed { items, remark }) => {
                // Once is enough: the peer may look again and again.
                if let Some(remark) = remark.filter(|remark| *remark != self.share_remark) {
                    self.voice.info(remark.clone());
                    self.share_remark = remark;
                }
                link.peer.provide_list(id, items).map(drop)
            }
            Err(code) => link.peer.refuse_list(id, code),
        };
    }

    pub(super) fn on_file_wanted(
        &mut self,
        at: LinkTransfer,
        wanted: Wanted,
        unit_log2: u8,
        offset: u64,
        held: Option<Hash>,
    ) {
        let part = match held {
            Some(held) => Part::After { unit: offset >> unit_log2, held },
            None => Part::Whole,
        };
        let (what, part) = match wanted {
            Wanted::Listed { path, size, mtime, .. } => {
                (What::Listed(path, Seen { size, mtime_ms: mtime }), part)
            }
            Wanted::Root(root) => (What::Root(root), part),
            Wanted::Units(root, PeerPart { first, count, values, .. }) => {
                (What::Root(root), Part::Units { first, count, values })
            }
        };
        let peer = self.links.get_mut(at.0).and_then(|link| link.name().cloned());
        let (Some(share), Ok(unit)) = (self.share.clone(), UnitLog2::new(unit_log2)) else {
            return self.refuse_file(at, ErrorCode::NoShare);
        };
        let named = what.name(&share).zip(peer);
        // A file that was listed has a name, and a hash that is known belongs to one.
        let Some(((folder, name), peer)) = named else { return self.refuse_file(at, ErrorCode::Changed) };
        let id = self.transfers.next_id();
        let mut fact = Transfer::new(id, peer, Direction::Out, folder, name);
        fact.size = match &what {
            What::Listed(_, seen) => Some(seen.size),
            What::Root(_) => None,
        };
        let now = Instant::now();
        let upload = Upload {
            fact,
            outgoing: None,
            wanted: 0,
            part,
            told_at: now,
            asked: Some(Asked { share, what, unit }),
            all_sent: false,
            paused: false,
            paused_there: false,
            sends_since: None,
            stands: false,
            stands_since: now,
            shown_at: now,
            meter: Meter::new(now),
        };
        self.uploads.insert(at, upload);
        self.queue_upload(at);
    }

    /// A slot is free for a file.
    pub(super) fn begin_upload(&mut self, at: LinkTransfer) {
        let Some(upload) = self.uploads.get_mut(&at) else { return };
        upload.fact.position = None;
        match upload.asked.take() {
            Some(Asked { share, what, unit }) => match at_once::open(&share, &what, unit, upload.part) {
                Some(outgoing) => self.begin_sending(at, outgoing),
                None => self.jobs.submit(Job::Open { at, share, what, unit }),
            },
            // It had begun before it was stopped.
            None => {
                upload.sends_since = upload.sends_since.map(|_| Instant::now());
                self.hold_upload(at, false);
                self.read_next(at);
            }
        }
    }

    pub(super) fn show_upload(&mut self, at: LinkTransfer) {
        if let Some(upload) = self.uploads.get(&at) {
            self.voice.show(&Notice::Upload(upload.fact()), None);
        }
    }

    pub(super) fn on_opened(&mut self, at: LinkTransfer, opened: Result<Box<Outgoing>, ErrorCode>) {
        // The peer may have lost interest, or the link may have ended.
        let Some(upload) = self.uploads.get(&at) else { return };
        match (opened, upload.part) {
            (Ok(outgoing), Part::Whole) => self.begin_sending(at, outgoing),
            (Ok(outgoing), part @ (Part::After { .. } | Part::Units { .. })) => {
                self.jobs.submit(Job::Hash { at, outgoing, part });
            }
            (Err(code), _) => self.give_up_upload(at, code),
        }
    }

    /// Some of what must be known before the file is sent is known.
    pub(super) fn on_hashed(
        &mut self,
        at: LinkTransfer,
        outgoing: Box<Outgoing>,
        part: Part,
        left: Result<u64, ErrorCode>,
    ) {
        let Some(upload) = self.uploads.get_mut(&at) else { return self.remember_hashes(outgoing, false) };
        match left {
            Ok(0) => self.begin_sending(at, outgoing),
            Ok(_) => {
                if upload.told_at.elapsed() >= HASHING_NEWS
                    && let Some(link) = self.links.get_mut(at.0)
                {
                    upload.told_at = Instant::now();
                    // It has ended already when this fails.
                    let _ = link.peer.queue_file(at.1, 1);
                }
                self.jobs.submit(Job::Hash { at, outgoing, part });
            }
            Err(code) => {
                self.remember_hashes(outgoing, false);
                self.give_up_upload(at, code);
            }
        }
    }

    fn begin_sending(&mut self, at: LinkTransfer, outgoing: Box<Outgoing>) {
        let Some(upload) = self.uploads.get_mut(&at) else { return };
        let file = outgoing.file();
        let info = FileInfo { size: file.size(), mtime: file.mtime_ms(), root: outgoing.root().map(Hash) };
        let layout = outgoing.layout();
        upload.fact.size = Some(info.size);
        let mut values = None;
        match upload.part {
            Part::Whole => {}
            Part::After { unit, .. } => {
                upload.fact.bytes = (unit << layout.unit().get()).min(info.size);
            }
            Part::Units { first, count, values: wanted } => {
                let start = |unit| layout.range(unit).map_or(info.size, |range| range.start);
                upload.fact.size = Some(start(first.saturating_add(count)) - start(first));
                values = outgoing
                    .values()
                    .filter(|_| wanted)
                    .map(|values| values.iter().copied().map(Hash).collect());
            }
        }
        upload.outgoing = Some(outgoing);
        upload.sends_since = Some(Instant::now());
        let Some(link) = self.links.get_mut(at.0) else { return };
        if link.peer.send_file(at.1, info).is_err() {
            // It does not fit what was asked for, so it is not what was shown.
            return self.give_up_upload(at, ErrorCode::Changed);
        }
        let values: Option<Vec<Hash>> = values;
        if let Some(values) = values {
            // They are as many as the file has units, and were asked for.
            let _ = link.peer.provide_values(at.1, &values);
        }
        upload.show_state();
        // Nothing is left to be read.
        upload.all_sent = upload.fact.bytes == upload.fact.size.unwrap_or(info.size);
        let all_sent = upload.all_sent;
        // Of a small one it is mostly over before this turn ends.
        self.begun_uploads.push(at);
        if all_sent {
            self.leave_queue(at);
        }
    }

    fn give_up_upload(&mut self, at: LinkTransfer, code: ErrorCode) {
        self.uploads.remove(&at);
        self.refuse_file(at, code);
        self.leave_queue(at);
    }

    /// Tells of the uploads that began in this turn and go on.
    pub(super) fn show_begun_uploads(&mut self) {
        for at in std::mem::take(&mut self.begun_uploads) {
            if self.uploads.get(&at).is_some_and(|upload| !upload.all_sent) {
                self.show_upload(at);
            }
        }
    }

    pub(super) fn on_unit_wanted(&mut self, at: LinkTransfer) {
        if let Some(upload) = self.uploads.get_mut(&at) {
            upload.wanted += 1;
            self.read_next(at);
        }
    }

    pub(super) fn on_read(
        &mut self,
        at: LinkTransfer,
        outgoing: Box<Outgoing>,
        read: Result<UnitData, ErrorCode>,
    ) {
        let Some(upload) = self.uploads.get_mut(&at) else { return self.remember_hashes(outgoing, false) };
        upload.outgoing = Some(outgoing);
        let Some(link) = self.links.get_mut(at.0) else { return };
        let provided = read.and_then(|data| {
            upload.fact.bytes += data.bytes.len() as u64;
            if data.root.is_some() {
                upload.fact.blake3 = data.root;
            }
            upload.all_sent = upload.fact.size.is_some_and(|size| upload.fact.bytes >= size);
            // How long the unit takes to arrive counts from now, and not from the last turn.
            link.peer.handle_timeout(self.clock.now());
            link.peer.provide_unit(at.1, data).map_err(|_| ErrorCode::Changed)
        });
        match provided {
            Ok(()) => {
                let now = Instant::now();
                let is_due = now.duration_since(upload.shown_at) >= SHOW_INTERVAL;
                if is_due {
                    upload.fact.speed = upload.meter.measure(now, upload.fact.bytes);
                    upload.shown_at = now;
                }
                // What is sent leaves its slot to the next one; when it is confirmed is the peer's affair.
                if upload.all_sent {
                    self.leave_queue(at);
                } else if is_due {
                    self.show_upload(at);
                }
                self.read_next(at);
            }
            Err(code) => {
                // If it has ended already, the event that says why is on its way.
                if link.peer.cancel(at.1, code).is_ok() {
                    self.on_upload_over(at, Some(code));
                }
            }
        }
    }

    /// The peer has the file, or will not get it.
    pub(super) fn on_upload_over(&mut self, at: LinkTransfer, failed: Option<ErrorCode>) {
        let Some(mut upload) = self.uploads.remove(&at) else { return };
        self.leave_queue(at);
        if let Some(outgoing) = upload.outgoing.take() {
            self.remember_hashes(outgoing, failed == Some(ErrorCode::VerifyFailed));
        }
        let fact = &mut upload.fact;
        // That is how a link's end is said of its transfers.
        fact.error = failed.map(|code| if code == ErrorCode::Offline { Code::LinkLost } else { code.into() });
        fact.state = match failed {
            None => TransferState::Done,
            Some(ErrorCode::Cancelled) => TransferState::Cancelled,
            Some(_) => TransferState::Failed,
        };
        (fact.position, fact.speed) = (None, None);
        self.voice.show(&Notice::Upload(upload.fact), None);
    }

    fn read_next(&mut self, at: LinkTransfer) {
        let Some(upload) = self.uploads.get_mut(&at).filter(|upload| upload.wanted > 0) else { return };
        if let Some(mut outgoing) = upload.outgoing.take() {
            upload.wanted -= 1;
            match at_once::read(&mut outgoing) {
                Some(read) => self.on_read(at, outgoing, Ok(read)),
                None => self.jobs.submit(Job::Read { at, outgoing }),
            }
        }
    }

    fn refuse_file(&mut self, at: LinkTransfer, code: ErrorCode) {
        if let Some(link) = self.links.get_mut(at.0) {
            // It has ended already when this fails.
            let _ = link.peer.refuse_file(at.1, code);
        }
    }
}

/// Looks into a shared folder; on a worker.
pub(super) fn list(share: &Share, path: &SafeRelPath, content: bool) -> Result<Listed, ErrorCode> {
    let listing = share.list(path.borrow()).map_err(|error| code_of(&error))?;
    let (skipped, total) = (listing.skipped(), listing.skipped_total());
    let mut remark = (total > 0).then(|| skipped_remark(path, skipped, total));
    if listing.truncated() || listing.entries().len() > MAX_ENTRIES {
        remark =
            Some(format!("only the first {MAX_ENTRIES} entries of /{} are shown to peers", path.as_str()));
    }
    let mut items = listing.into_entries().into_iter().take(MAX_ENTRIES).map(item).collect::<Vec<_>>();
    if content {
        add_content(share, path, &mut items);
    }
    Ok(Listed { items, remark })
}

/// Reads what small files hold. One that cannot be read, or has just changed, goes without.
fn add_content(share: &Share, folder: &SafeRelPath, items: &mut [Item]) {
    let mut room = MAX_CONTENT;
    for item in items.iter_mut().filter(|item| item.kind == EntryKind::File) {
        let is_small = usize::try_from(item.size).is_ok_and(|size| size <= MAX_INLINE.min(room));
        let Some(path) = folder.borrow().join(item.name.borrow()).ok().filter(|_| is_small) else { continue };
        let what = What::Listed(path, Seen { size: item.size, mtime_ms: item.mtime });
        let Ok(mut outgoing) = open(share, &what, UnitLog2::default()) else { continue };
        let content = match outgoing.next_unit() {
            Ok(unit) => unit.map(|unit| unit.bytes).unwrap_or_default(),
            Err(_) => continue,
        };
        room -= content.len();
        (item.root, item.content) = (outgoing.root().map(Hash), Some(content));
    }
}

fn item(entry: share::Listed) -> Item {
    let share::Listed { kind, name, size, mtime_ms, root } = entry;
    Item { kind, name, size, mtime: mtime_ms, root: root.map(Hash), content: None }
}

fn skipped_remark(path: &SafeRelPath, skipped: &[Skipped], total: usize) -> String {
    // The quotes of Debug escape whatever the file system lets a name hold.
    let name = |skipped: &Skipped| format!("{:?} ({})", skipped.name, skipped.reason);
    let named = skipped.iter().take(MAX_REMARKED).map(name).collect::<Vec<_>>().join(", ");
    let more = total.saturating_sub(MAX_REMARKED);
    let more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("not shown to peers in /{}: {named}{more}", path.as_str())
}

/// Opens a shared file; on a worker.
pub(super) fn open(share: &Share, what: &What, unit: UnitLog2) -> Result<Box<Outgoing>, ErrorCode> {
    let opened = match what {
        What::Listed(path, seen) => share.open_file(path.borrow(), Some(*seen)),
        What::Root(root) => share.open_root(&root.0),
    };
    match opened {
        Ok(file) => Ok(Box::new(Outgoing::new(file, unit))),
        // It was there when it was listed.
        Err(ShareError::NotFound { .. } | ShareError::NotAFile { .. } | ShareError::NotAFolder { .. }) => {
            Err(ErrorCode::Changed)
        }
        Err(error) => Err(code_of(&error)),
    }
}

/// Looks at some of the units that must be known before the file is sent, and tells how many are left; on a worker.
pub(super) fn hash(outgoing: &mut Outgoing, part: &Part) -> Result<u64, ErrorCode> {
    match part {
        Part::Whole => Ok(0),
        Part::After { unit, held } => {
            let left = outgoing.hash_up_to(*unit, HASH_STEP).map_err(|error| code_of(&error))?;
            if left == 0 {
                outgoing.go_on_at(*unit, &held.0).map_err(|error| code_of(&error))?;
            }
            Ok(left)
        }
        Part::Units { first, count, values } => {
            let units = outgoing.layout().units();
            if *values && units > MAX_VALUES {
                return Err(ErrorCode::NotSupported);
            }
            let up_to = if *values { units } else { 0 };
            let left = outgoing.hash_up_to(up_to, HASH_STEP).map_err(|error| code_of(&error))?;
            if left == 0 {
                outgoing.limit_to(*first, *count).map_err(|error| code_of(&error))?;
            }
            Ok(left)
        }
    }
}

/// Reads and hashes the next unit; on a worker.
pub(super) fn read(outgoing: &mut Outgoing) -> Result<UnitData, ErrorCode> {
    // The machine wants no unit past the last.
    let unit = outgoing.next_unit().map_err(|error| code_of(&error))?.ok_or(ErrorCode::Changed)?;
    Ok(unit_data(outgoing, unit))
}

fn unit_data(outgoing: &Outgoing, unit: OutgoingUnit) -> UnitData {
    let root = outgoing.root().map(Hash);
    UnitData { unit: unit.index, bytes: unit.bytes, value: Hash(unit.value), root }
}

/// What a peer is told: the kind of failure and no path of this machine.
fn code_of(error: &ShareError) -> ErrorCode {
    match error {
        ShareError::NotFound { .. } | ShareError::NotAFolder { .. } => ErrorCode::NoSuchPath,
        ShareError::NotAFile { .. } => ErrorCode::NotAFile,
        ShareError::Changed { .. } | ShareError::NoSuchUnit { .. } => ErrorCode::Changed,
        ShareError::Denied { .. } | ShareError::Io { .. } => ErrorCode::Unreadable,
    }
}
