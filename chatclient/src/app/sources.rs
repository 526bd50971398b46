//! Files whose hash is known: their units come from every peer that shows the hash, each unit checked against a value that
//! is proved by the hash itself.
//!
//! The first part is asked for together with the values of all units. Once these merge to the hash, the other peers are
//! asked for parts too. A part that fails goes back to those that are to be had; who failed is not asked again.

use super::App;
use super::jobs::{Job, LinkTransfer};
use super::links::LinkId;
use super::receiving::{Failure, Stored, Unit};
use super::transfers::{Download, Stage};
use crate::downloads::{Incoming, Whole};
use crate::notice::{Code, TransferState};
use bytes::Bytes;
use chatproto::peer::Part;
use chatproto::verify::{Layout, RootBuilder, UnitLog2, UnitValue};
use chatproto::wire::{ErrorCode, Hash, MAX_VALUES};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// Fewest and most units of a part when several peers have the file: enough that asking costs nothing, and few enough that
/// the last part does not wait for the slowest peer for long.
const MIN_PART: u64 = 16;
const MAX_PART: u64 = 256;

/// Parts for each peer, as far as the two bounds allow: the fast ones fetch more of them.
const PARTS_EACH: u64 = 4;

/// Hashes that are remembered with who showed them, over all links. Of more, the ones shown first.
const MAX_ROOTS: usize = 20_000;

/// Who shows which hashes.
#[derive(Debug, Default)]
pub(super) struct Sources {
    links: BTreeMap<Hash, BTreeSet<LinkId>>,
}

impl Sources {
    /// A list shows a hash.
    pub(super) fn shown(&mut self, root: Hash, link: LinkId) {
        if self.links.len() < MAX_ROOTS || self.links.contains_key(&root) {
            self.links.entry(root).or_default().insert(link);
        }
    }

    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.links.retain(|_, links| {
            links.remove(&link);
            !links.is_empty()
        });
    }

    /// Who shows a hash.
    pub(super) fn of(&self, root: Hash) -> impl Iterator<Item = LinkId> + '_ {
        self.links.get(&root).into_iter().flatten().copied()
    }
}

/// A file whose parts come.
#[derive(Debug)]
pub(super) struct Pieces {
    /// None while a worker has it, or before it is begun.
    pub(super) incoming: Option<Box<Incoming>>,
    root: Hash,
    mtime: u64,
    values: Values,
    parts: BTreeMap<LinkTransfer, Coming>,
    /// Units that wait for the worker, and the one that it has, with who sent them.
    units: VecDeque<(LinkTransfer, Unit)>,
    storing: Option<LinkTransfer>,
    /// Units that nobody was asked for.
    todo: Vec<Range<u64>>,
    failed: BTreeSet<LinkId>,
    last_failure: Code,
}

/// The values of all units.
#[derive(Debug)]
enum Values {
    Wanted,
    Coming(LinkTransfer, Vec<Hash>),
    Checking(LinkTransfer),
    Known(Arc<[UnitValue]>),
}

/// One part on its way.
#[derive(Debug)]
struct Coming {
    /// Units that are not stored yet.
    left: Range<u64>,
    /// Bytes of the unit that comes.
    pieces: Vec<Bytes>,
    /// When something of it came last.
    heard_at: Instant,
    /// Its sender holds it back.
    held_back: bool,
}

impl Pieces {
    fn new(root: Hash, mtime: u64) -> Self {
        Self {
            incoming: None,
            root,
            mtime,
            values: Values::Wanted,
            parts: BTreeMap::new(),
            units: VecDeque::new(),
            storing: None,
            todo: Vec::new(),
            failed: BTreeSet::new(),
            last_failure: Code::LinkLost,
        }
    }

    /// The transfers under which the peers know it.
    pub(super) fn transfers(&self) -> impl Iterator<Item = LinkTransfer> + '_ {
        self.parts.keys().copied()
    }

    /// Something came of a part.
    pub(super) fn hear(&mut self, at: LinkTransfer, now: Instant) {
        if let Some(part) = self.parts.get_mut(&at) {
            part.heard_at = now;
        }
    }

    pub(super) fn last_heard(&self, at: LinkTransfer) -> Option<Instant> {
        self.parts.get(&at).map(|part| part.heard_at)
    }

    /// Whether the sender of a part holds it back.
    pub(super) fn is_held_back(&self, at: LinkTransfer) -> bool {
        self.parts.get(&at).is_some_and(|part| part.held_back)
    }

    /// Whether all that is asked for is held back.
    fn stands(&self) -> bool {
        !self.parts.is_empty() && self.parts.values().all(|part| part.held_back)
    }

    /// Whether a part comes over a link.
    pub(super) fn uses(&self, link: LinkId) -> bool {
        self.parts.keys().any(|(on, _)| *on == link)
    }

    /// Takes the next units off what is to be had, for one of so many peers.
    fn next_part(&mut self, peers: u64) -> Option<Range<u64>> {
        let total: u64 = self.todo.iter().map(|range| range.end - range.start).sum();
        let range = self.todo.first_mut()?;
        // With one peer, too, it has an end: another may come.
        let most =
            if peers > 1 { (total / (PARTS_EACH * peers)).clamp(MIN_PART, MAX_PART) } else { MAX_PART };
        let end = range.end.min(range.start.saturating_add(most));
        let part = range.start..end;
        range.start = end;
        self.todo.retain(|range| !range.is_empty());
        Some(part)
    }

    /// Gives back what has not come of a part.
    fn lose(&mut self, at: LinkTransfer) {
        let Some(part) = self.parts.remove(&at) else { return };
        self.units.retain(|(from, _)| *from != at);
        if !part.left.is_empty() {
            self.todo.push(part.left);
        }
        match &self.values {
            Values::Coming(from, _) | Values::Checking(from) if *from == at => self.values = Values::Wanted,
            Values::Coming(..) | Values::Checking(_) | Values::Wanted | Values::Known(_) => {}
        }
    }
}

impl App {
    /// Whether a file can come by its hash, and so from several peers.
    pub(super) fn comes_in_parts(&self, download: &Download) -> Option<Hash> {
        let root = download.file.root?;
        let layout = download.file.origin().layout();
        let link = download.link.filter(|link| self.links.has_sources(*link))?;
        let is_shown = self.sources.of(root).any(|shows| shows == link);
        (is_shown && layout.units() > 1 && layout.units() <= MAX_VALUES).then_some(root)
    }

    /// Begins to fetch a file by its hash, with what there is of it already.
    pub(super) fn begin_parts(&mut self, id: u64, root: Hash) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let found = download.found.take();
        download.heard_at = Instant::now();
        download.stage = Stage::Parts(Pieces::new(root, download.file.mtime));
        match found {
            Some(incoming) => self.on_part_file(id, incoming),
            None => {
                let (into, name) = (download.fact.folder.clone(), download.fact.name.clone());
                let origin = download.file.origin();
                let folder = self.folder();
                self.jobs.submit(Job::Begin { id, folder, into, name, origin });
            }
        }
    }

    /// The file is open, on the disk: its gaps are what is to be had, but for what is on its way.
    pub(super) fn on_part_file(&mut self, id: u64, incoming: Box<Incoming>) {
        let Some(pieces) = self.transfers.pieces(id) else { return self.put_away(id, incoming) };
        let on_the_way = pieces.parts.values().map(|part| part.left.clone()).collect::<Vec<_>>();
        pieces.todo = on_the_way.iter().fold(incoming.gaps(), without);
        pieces.incoming = Some(incoming);
        self.plan(id);
    }

    /// Lists were shown: perhaps somebody else has what comes already.
    pub(super) fn plan_all(&mut self) {
        let in_parts =
            self.transfers.downloads.values().filter(|download| matches!(download.stage, Stage::Parts(_)));
        let ids = in_parts.map(|download| download.fact.id).collect::<Vec<_>>();
        ids.into_iter().for_each(|id| self.plan(id));
    }

    /// Asks whoever can for what is missing.
    pub(super) fn plan(&mut self, id: u64) {
        let is_paused = self.transfers.downloads.get(&id).is_some_and(|download| download.paused);
        let Some(pieces) = self.transfers.pieces(id) else { return };
        if is_paused && !pieces.todo.is_empty() {
            return self.go_on_with_parts(id);
        }
        let root = pieces.root;
        let sources = self.sources.of(root).filter(|link| self.links.has_sources(*link)).collect::<Vec<_>>();
        let Some(pieces) = self.transfers.pieces(id) else { return };
        let able = sources.into_iter().filter(|link| !pieces.failed.contains(link)).collect::<Vec<_>>();
        let peers = u64::try_from(able.len()).unwrap_or(u64::MAX);
        let mut is_put_off = false;
        for link in able {
            if self.transfers.has_room(link) {
                self.ask_for_part(id, link, peers);
            } else {
                is_put_off = true;
            }
        }
        let Some(pieces) = self.transfers.pieces(id) else { return };
        if pieces.parts.is_empty() && !pieces.todo.is_empty() && !is_put_off {
            let code = pieces.last_failure;
            self.end_parts(id, code);
        } else {
            self.go_on_with_parts(id);
        }
    }

    /// Nobody is left who could send the rest.
    fn end_parts(&mut self, id: u64, code: Code) {
        if code == Code::LinkLost && self.may_wait() {
            self.park_download(id);
            // Whom it waits for may be there again, after the parts had gone on with others.
            let peer = self.transfers.downloads.get(&id).map(|download| download.file.peer.clone());
            if let Some((link, peer)) = peer.and_then(|peer| Some((self.links.with(&peer)?, peer))) {
                self.find_again(link, &peer);
            }
        } else {
            self.fail_download(id, code, None);
        }
    }

    fn ask_for_part(&mut self, id: u64, on: LinkId, peers: u64) {
        let Some(pieces) = self.transfers.pieces(id) else { return };
        // Until the values are proved, one peer is enough.
        let is_first = matches!(pieces.values, Values::Wanted);
        if pieces.uses(on) || !(is_first || matches!(pieces.values, Values::Known(_))) {
            return;
        }
        let Some(range) = pieces.next_part(peers) else { return };
        let part = Part {
            unit_log2: UnitLog2::DEFAULT.get(),
            first: range.start,
            count: range.end - range.start,
            values: is_first,
        };
        let root = pieces.root;
        let asked = self.links.get_mut(on).map(|link| link.peer.fetch_units(root, part));
        match asked {
            Some(Ok(transfer)) => {
                let at = (on, transfer);
                let (pieces_of_unit, heard_at) = (Vec::new(), Instant::now());
                let part = Coming { left: range, pieces: pieces_of_unit, heard_at, held_back: false };
                pieces.parts.insert(at, part);
                if is_first {
                    pieces.values = Values::Coming(at, Vec::new());
                }
                self.transfers.asked.insert(at, id);
            }
            Some(Err(_)) | None => {
                pieces.todo.push(range);
                pieces.failed.insert(on);
            }
        }
    }

    /// A part begins to come.
    pub(super) fn on_part_started(&mut self, at: LinkTransfer, size: u64) {
        let Some(download) = self.transfers.of(at) else { return };
        download.hear(at);
        download.fact.position = None;
        if size != download.file.size {
            return self.drop_part(at, ErrorCode::VerifyFailed);
        }
        download.fact.size = Some(size);
        let is_paused = download.paused || download.paused_there;
        if download.fact.state != TransferState::Active && !is_paused {
            download.fact.state = TransferState::Active;
            let id = download.fact.id;
            self.show_progress(id);
        }
    }

    pub(super) fn on_file_values(&mut self, at: LinkTransfer, mut values: Vec<Hash>) {
        let Some(download) = self.transfers.of(at) else { return };
        download.hear(at);
        let layout = download.file.origin().layout();
        let id = download.fact.id;
        let Stage::Parts(pieces) = &mut download.stage else { return };
        let Values::Coming(from, got) = &mut pieces.values else { return };
        if *from != at {
            return;
        }
        got.append(&mut values);
        if u64::try_from(got.len()).is_ok_and(|count| count >= layout.units()) {
            let values = std::mem::take(got);
            let root = pieces.root;
            pieces.values = Values::Checking(at);
            self.jobs.submit(Job::Prove { id, root, layout, values });
        }
    }

    /// It is known whether the values merge to the hash.
    pub(super) fn on_proved(&mut self, id: u64, values: Option<Arc<[UnitValue]>>) {
        let Some(pieces) = self.transfers.pieces(id) else { return };
        let Values::Checking(at) = pieces.values else { return };
        match values {
            Some(values) => {
                let doubted = pieces.incoming.take_if(|incoming| incoming.doubt(&values) > 0);
                pieces.values = Values::Known(values);
                match doubted {
                    Some(incoming) => self.recheck(id, incoming),
                    None => self.plan(id),
                }
            }
            None => self.drop_part(at, ErrorCode::VerifyFailed),
        }
    }

    pub(super) fn on_part_data(&mut self, at: LinkTransfer, data: Bytes) {
        let Some(download) = self.transfers.of(at) else { return };
        let Stage::Parts(pieces) = &mut download.stage else { return };
        if let Some(part) = pieces.parts.get_mut(&at) {
            part.pieces.push(data);
        }
    }

    pub(super) fn on_part_unit(&mut self, at: LinkTransfer, unit: u64, value: Hash) {
        let Some(download) = self.transfers.of(at) else { return };
        let id = download.fact.id;
        let Stage::Parts(pieces) = &mut download.stage else { return };
        let Some(part) = pieces.parts.get_mut(&at) else { return };
        let unit = Unit::new(unit, std::mem::take(&mut part.pieces), value);
        pieces.units.push_back((at, unit));
        self.go_on_with_parts(id);
    }

    /// Gives the worker the next thing to do.
    fn go_on_with_parts(&mut self, id: u64) {
        let Some(pieces) = self.transfers.pieces(id) else { return };
        let Values::Known(values) = &pieces.values else { return };
        let Some(incoming) = pieces.incoming.take() else { return };
        if let Some((at, unit)) = pieces.units.pop_front() {
            // What the hash proves counts, not what the sender says.
            let proved = usize::try_from(unit.number()).ok().and_then(|unit| values.get(unit));
            let unit = unit.with_value(proved.map_or(Hash([0; 32]), |value| Hash(*value)));
            pieces.storing = Some(at);
            return self.jobs.submit(Job::Store { id, incoming, unit });
        }
        if pieces.parts.is_empty() && incoming.gaps().is_empty() {
            let (root, mtime) = (pieces.root, pieces.mtime);
            return self.finish_download(id, Whole::Written(incoming), root, mtime);
        }
        if pieces.parts.is_empty() && pieces.todo.is_empty() {
            // What was lost on the way is to be had again.
            pieces.todo = incoming.gaps();
            pieces.incoming = Some(incoming);
            return self.plan(id);
        }
        pieces.incoming = Some(incoming);
    }

    /// A unit is stored, if it was what it should be.
    pub(super) fn on_part_stored(
        &mut self,
        id: u64,
        incoming: Box<Incoming>,
        stored: Result<Stored, Failure>,
    ) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        if incoming.received() > download.fact.bytes {
            download.note_first_byte();
        }
        download.fact.bytes = incoming.received();
        let Stage::Parts(pieces) = &mut download.stage else { return };
        pieces.incoming = Some(incoming);
        let Some(at) = pieces.storing.take() else { return };
        let stored = match stored {
            Ok(stored) => stored,
            Err(failure) => return self.give_up_download(id, &failure),
        };
        let (unit, value, claim) = stored.into_parts();
        let Values::Known(values) = &pieces.values else { return };
        let is_proved = usize::try_from(unit).ok().and_then(|unit| values.get(unit)) == Some(&value.0);
        if let Some(part) = pieces.parts.get_mut(&at).filter(|_| is_proved) {
            part.left.start = unit + 1;
            part.heard_at = Instant::now();
        }
        if let Some(claim) = claim {
            self.jobs.submit(Job::Claim { claim });
        }
        if !is_proved {
            return self.drop_part(at, ErrorCode::VerifyFailed);
        }
        if let Some(link) = self.links.get_mut(at.0) {
            // Another value than it said comes back as the transfer's failure; anything else has ended already.
            let _ = link.peer.unit_stored(at.1, unit, value);
        }
        self.show_progress(id);
        self.go_on_with_parts(id);
    }

    /// All units of a part are there.
    pub(super) fn on_part_complete(&mut self, at: LinkTransfer) {
        let Some(id) = self.transfers.asked.remove(&at) else { return };
        self.start_soon(at.0);
        if let Some(link) = self.links.get_mut(at.0) {
            // They are there even when the peer cannot be told any more.
            let _ = link.peer.finish_file(at.1, Ok(()));
        }
        if let Some(pieces) = self.transfers.pieces(id) {
            pieces.parts.remove(&at);
            self.plan(id);
        }
    }

    /// Gives up a part because of what came, and whoever sent it.
    pub(super) fn drop_part(&mut self, at: LinkTransfer, code: ErrorCode) {
        if let Some(link) = self.links.get_mut(at.0) {
            // It has ended already when this fails.
            let _ = link.peer.cancel(at.1, code);
        }
        self.on_part_failed(at, code.into());
    }

    /// A part will not come from where it was asked for.
    pub(super) fn on_part_failed(&mut self, at: LinkTransfer, code: Code) {
        let Some(id) = self.transfers.asked.remove(&at) else { return };
        self.start_soon(at.0);
        let others = self.transfers.open_on(at.0);
        let Some(pieces) = self.transfers.pieces(id) else { return };
        pieces.lose(at);
        if code == Code::Wire(ErrorCode::TooManyTransfers) && others > 0 {
            // When one of them has ended, it is asked for again.
            self.transfers.limit(at.0, others);
            return self.plan(id);
        }
        pieces.failed.insert(at.0);
        pieces.last_failure = code;
        tracing::debug!(?at, code = code.name(), "a part does not come from this peer");
        self.plan(id);
        self.note_standstill(id);
    }

    /// The sender of a part holds it back, or lets it go on. What is held back is asked of the others, if there are any.
    pub(super) fn on_part_paused(&mut self, at: LinkTransfer, held_back: bool) {
        let Some(id) = self.transfers.asked.get(&at).copied() else { return };
        let Some(pieces) = self.transfers.pieces(id) else { return };
        let may_send =
            |link: LinkId| link != at.0 && self.links.has_sources(link) && !pieces.failed.contains(&link);
        if held_back && self.sources.of(pieces.root).any(may_send) {
            return self.drop_part(at, ErrorCode::Cancelled);
        }
        if let Some(part) = pieces.parts.get_mut(&at) {
            part.held_back = held_back;
        }
        self.note_standstill(id);
    }

    /// Shows whether everything that is asked for is held back.
    fn note_standstill(&mut self, id: u64) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let Stage::Parts(pieces) = &download.stage else { return };
        let stands = pieces.stands();
        if std::mem::replace(&mut download.paused_there, stands) != stands {
            self.show_pause(id);
        }
    }
}

/// Ranges, without what is in another one.
fn without(ranges: Vec<Range<u64>>, hole: &Range<u64>) -> Vec<Range<u64>> {
    let sides =
        |range: Range<u64>| [range.start..range.end.min(hole.start), range.start.max(hole.end)..range.end];
    ranges.into_iter().flat_map(sides).filter(|range| !range.is_empty()).collect()
}

/// Whether values merge to a hash: then they are those of the units; on a worker.
pub(super) fn prove(root: Hash, layout: Layout, values: &[Hash]) -> Option<Arc<[UnitValue]>> {
    let mut builder = RootBuilder::new(layout);
    for value in values {
        builder.push(value.0).ok()?;
    }
    let is_root = builder.finish().is_ok_and(|found| found == root.0);
    is_root.then(|| values.iter().map(|value| value.0).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_its_way_is_not_to_be_had_again() {
        let gaps: [Range<u64>; 3] = [0..4, 6..10, 20..30];
        let holes: [(Range<u64>, &[Range<u64>]); 5] = [
            (0..4, &[6..10, 20..30]),
            (1..3, &[0..1, 3..4, 6..10, 20..30]),
            (3..7, &[0..3, 7..10, 20..30]),
            (4..6, &gaps),
            (0..40, &[]),
        ];
        for (hole, left) in holes {
            assert_eq!(without(gaps.to_vec(), &hole), left, "{hole:?}");
        }
    }
}
