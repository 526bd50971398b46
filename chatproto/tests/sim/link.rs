//! One end of a direct link, and the model of what goes over it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatproto::Instant;
use chatproto::peer::{self, Event, Peer, Resume, Wanted};
use chatproto::testing::{PeerEnd, Rng};
use chatproto::wire::*;

use crate::client::{Client, Part};
use crate::queue::Waiting;
use crate::share::{self, Share};
use crate::world::Totals;

pub struct LinkEnd {
    /// No other end has it.
    pub number: u64,
    pub end: PeerEnd,
    /// Whose end it is.
    pub owner: usize,
    /// Who is at the other end, once that is known.
    pub other: Option<usize>,
    /// Names the link on both ends.
    pub ticket: Option<LinkTicket>,
    /// The key that the other end's certificate has.
    pub remote_key: LinkKey,
    /// What it is to become, on the side that dialled.
    pub dialled: Option<(OfferId, Way)>,
    /// An introduction that has just become this link.
    pub found: Option<OfferId>,
    pub is_open: bool,
    pub is_closed: bool,
    said: Vec<Text>,
    heard: u64,
    received: u64,
    downloads: BTreeMap<TransferId, Download>,
    uploads: BTreeMap<TransferId, Bytes>,
    /// Where it waits in the other end's line, as it was last told.
    places: BTreeMap<TransferId, u32>,
}

/// What an end of a link is shown of the world.
pub struct Around<'a> {
    /// What the other end said, as far as that is known.
    pub said: Option<Vec<Text>>,
    /// What everybody shares.
    pub shares: &'a [Share],
    pub rng: &'a mut Rng,
    pub totals: &'a mut Totals,
    pub now: Instant,
}

struct Download {
    name: String,
    unit_log2: u8,
    /// Where the bytes belong that come first.
    offset: usize,
    /// What was there, and what came.
    bytes: Vec<u8>,
    /// Units that were acknowledged; of a file that is asked for by its hash, in some parts only.
    stored: usize,
    part: Option<peer::Part>,
    /// One of the parts that come from several.
    is_gathered: bool,
    /// How it was asked for, unless that was by its hash.
    source: Option<Source>,
    values: Vec<Hash>,
}

impl LinkEnd {
    pub fn new(
        number: u64,
        end: PeerEnd,
        owner: usize,
        ticket: Option<LinkTicket>,
        remote_key: LinkKey,
    ) -> Self {
        Self {
            number,
            end,
            owner,
            other: None,
            ticket,
            remote_key,
            dialled: None,
            found: None,
            is_open: false,
            is_closed: false,
            said: Vec::new(),
            heard: 0,
            received: 0,
            downloads: BTreeMap::new(),
            uploads: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    /// Begins to send what has waited for its turn. `false` if nobody wants it any more.
    pub fn start(&mut self, waiting: Waiting) -> bool {
        let Waiting { job: (_, transfer), bytes, part, unit_log2 } = waiting;
        let peer = self.end.peer_mut();
        if peer.send_file(transfer, share::info(&bytes)).is_err() {
            return false;
        }
        if part.is_some_and(|part| part.values) {
            let values = share::values(&bytes, unit_log2);
            peer.provide_values(transfer, &values).expect("they were asked for");
        }
        self.uploads.insert(transfer, bytes);
        true
    }

    /// Where it believes to be in the other end's line.
    pub fn place(&self, transfer: TransferId) -> Option<u32> {
        self.places.get(&transfer).copied()
    }

    pub fn say(&mut self, words: &str) {
        let text = Text::new(words).unwrap();
        if let Ok(counter) = self.end.peer_mut().say(&text) {
            self.said.push(text);
            assert_eq!(counter as usize, self.said.len());
        }
    }

    pub fn list(&mut self) {
        // Refused when the link has ended or too many are asked for.
        let _ = self.end.peer_mut().list(&SafeRelPath::root(), Generation(0), 1);
    }

    pub fn cancel_one(&mut self, owner: &mut Client, rng: &mut Rng) {
        let open: Vec<TransferId> = self.downloads.keys().chain(self.uploads.keys()).copied().collect();
        if let Some(transfer) = rng.choose(&open) {
            let _ = self.end.peer_mut().cancel(*transfer, ErrorCode::Cancelled);
            self.downloads.remove(transfer);
            self.uploads.remove(transfer);
            self.places.remove(transfer);
            owner.queue.end((self.number, *transfer));
            owner.gather.failed((self.number, *transfer));
        }
    }

    /// What was said at this end, for the other end's model.
    pub fn said(&self) -> Vec<Text> {
        self.said.clone()
    }

    /// Answers an event and holds it against the model.
    pub fn handle(&mut self, event: Event, owner: &mut Client, around: Around<'_>) {
        let Around { said, shares, rng, totals, now } = around;
        assert!(!self.is_closed, "{event:?} after the end");
        let peer = self.end.peer_mut();
        match event {
            Event::Hello { offer, ticket, user, device, .. } => {
                let session = owner.end.session_mut();
                // The link may have ended before its hello was looked at.
                let _ = match session.admit(offer, &ticket, self.remote_key, &user, device, now) {
                    Ok(_) => {
                        self.ticket = Some(ticket);
                        self.found = Some(offer);
                        peer.admit(now)
                    }
                    Err(_) => peer.refuse(ErrorCode::BadTicket, now),
                };
            }
            Event::Open { device, .. } => {
                assert!(!self.is_open);
                self.is_open = true;
                if let Some((offer, _)) = self.dialled {
                    owner.end.session_mut().linked(offer);
                    self.found = Some(offer);
                }
                self.other = Some(usize::from(device.0[0]) - 1);
                totals.links += 1;
                if rng.chance(50) {
                    let _ = peer.list(&SafeRelPath::root(), Generation(0), 1);
                }
            }
            Event::Said { counter, text } => {
                self.heard += 1;
                assert_eq!(counter, self.heard);
                if let Some(said) = said {
                    assert_eq!(said[counter as usize - 1], text);
                }
                totals.link_says += 1;
            }
            Event::SayReceived { counter } => {
                assert!(counter > self.received && counter as usize <= self.said.len());
                self.received = counter;
            }
            Event::ListWanted { id, .. } => {
                // Whatever is asked may have ended in the same moment; that is all that these can be refused for.
                if rng.chance(90) {
                    let _ = peer.provide_list(id, owner.share.items());
                } else {
                    let _ = peer.refuse_list(id, ErrorCode::NoShare);
                }
            }
            Event::ListPage { generation, entries, .. } => {
                for entry in entries {
                    if entry.name.as_str() == share::COMMON {
                        let root = entry.root.expect("it is known");
                        if let Some((transfer, download)) = gather(peer, self.number, owner, root, rng) {
                            self.downloads.insert(transfer, download);
                        }
                    } else if rng.chance(50) {
                        let unit_log2 = 10 + rng.below(4) as u8;
                        let download = match entry.root.filter(|_| rng.chance(60)) {
                            Some(root) => fetch_part(peer, root, entry.size, unit_log2, rng),
                            None => {
                                let key = (self.other.unwrap(), entry.name.as_str().to_owned());
                                let source = Source::Number { generation, number: entry.number };
                                fetch_rest(peer, source, owner.parts.get(&key), unit_log2, totals)
                            }
                        };
                        if let Some((transfer, mut download)) = download {
                            entry.name.as_str().clone_into(&mut download.name);
                            self.downloads.insert(transfer, download);
                        }
                    }
                }
            }
            Event::FileWanted { transfer, wanted, unit_log2, offset, held } => {
                let (bytes, part) = match wanted {
                    Wanted::Listed { path, size, .. } => {
                        let bytes = owner.share.get(path.as_str()).expect("it was listed").clone();
                        assert_eq!(size, bytes.len() as u64);
                        (bytes, None)
                    }
                    Wanted::Units(root, part) => {
                        (owner.share.by_root(root).expect("it was listed"), Some(part))
                    }
                    Wanted::Root(_) => panic!("nobody asks for a whole file by its hash"),
                };
                if let Some(held) = held {
                    let there = &bytes[..offset as usize];
                    assert_eq!(share::held(there, unit_log2), held, "the part is none of this file");
                }
                if rng.chance(10) {
                    let _ = peer.refuse_file(transfer, ErrorCode::Changed);
                } else {
                    owner.queue.ask((self.number, transfer), bytes, part, unit_log2);
                }
            }
            Event::FileValues { transfer, first, mut values } => {
                if let Some(download) = self.downloads.get_mut(&transfer) {
                    assert_eq!(first, download.values.len() as u64);
                    assert!(download.part.is_some_and(|part| part.values));
                    download.values.append(&mut values);
                }
            }
            Event::UnitWanted { transfer, unit, offset, len } => {
                // It may have been cancelled since.
                if let Some(bytes) = self.uploads.get(&transfer) {
                    let _ = peer.provide_unit(transfer, share::unit(bytes, unit, offset, len));
                }
            }
            Event::FileStarted { transfer, path, .. } => {
                self.places.remove(&transfer);
                if let Some(download) = self.downloads.get(&transfer).filter(|it| it.part.is_none()) {
                    assert_eq!(path.as_str(), download.name);
                }
            }
            Event::FileData { transfer, offset, data } => {
                if let Some(download) = self.downloads.get_mut(&transfer) {
                    assert_eq!(offset as usize, download.offset + download.bytes.len());
                    download.bytes.extend(data);
                }
            }
            Event::FileUnit { transfer, unit, .. } => {
                if let Some(download) = self.downloads.get_mut(&transfer) {
                    let from = (unit << download.unit_log2) as usize - download.offset;
                    let to = (from + (1 << download.unit_log2)).min(download.bytes.len());
                    let value = share::digest(&download.bytes[from..to]);
                    if download.part.is_some_and(|part| part.values) {
                        assert_eq!(download.values[unit as usize], value, "what was said before comes");
                    }
                    if peer.unit_stored(transfer, unit, value).is_ok() {
                        download.stored = to;
                    }
                    // Cut off here, and gone on with at once over the same link.
                    if rng.chance(20)
                        && let Some(source) = download.source
                        && peer.cancel(transfer, ErrorCode::Cancelled).is_ok()
                        && let Some(download) = self.downloads.remove(&transfer)
                    {
                        let (name, part) = download.into_part();
                        let again = fetch_rest(peer, source, Some(&part), part.unit_log2, totals);
                        owner.parts.insert((self.other.unwrap(), name.clone()), part);
                        if let Some((transfer, mut download)) = again {
                            download.name = name;
                            self.downloads.insert(transfer, download);
                        }
                    }
                }
            }
            Event::FileComplete { transfer, root, .. } => {
                if let Some(download) = self.downloads.get(&transfer) {
                    let sent = shares[self.other.unwrap()].get(&download.name).unwrap();
                    let to = download.part.map_or(sent.len(), |part| {
                        sent.len().min(((part.first + part.count) << part.unit_log2) as usize)
                    });
                    assert!(download.bytes == sent[download.offset..to], "{} arrived changed", download.name);
                    assert_eq!(root, share::digest(sent));
                    match download.part {
                        Some(_) => totals.parts += 1,
                        None => totals.files += 1,
                    }
                    totals.file_bytes += download.bytes.len() as u64;
                    // Otherwise the link has ended in the same moment, and the failure follows.
                    if peer.finish_file(transfer, Ok(())).is_ok()
                        && let Some(download) = self.downloads.remove(&transfer)
                    {
                        let other = self.other.unwrap();
                        if download.is_gathered {
                            let job = (self.number, transfer);
                            if let Some(sources) = owner.gather.arrived(job, other, &download.bytes, root) {
                                totals.gathered += 1;
                                totals.several += u64::from(sources > 1);
                            } else if rng.chance(50)
                                && let Some((transfer, next)) = gather(peer, self.number, owner, root, rng)
                            {
                                self.downloads.insert(transfer, next);
                            }
                        } else {
                            owner.parts.remove(&(other, download.name));
                        }
                    }
                }
            }
            Event::FileFailed { transfer, code, .. } => {
                assert_ne!(code, ErrorCode::VerifyFailed);
                let download = self.downloads.remove(&transfer).expect("it ended before");
                self.places.remove(&transfer);
                owner.gather.failed((self.number, transfer));
                if download.part.is_none() && download.stored > 0 {
                    let (name, part) = download.into_part();
                    owner.parts.insert((self.other.unwrap(), name), part);
                }
                totals.files_failed += 1;
            }
            Event::FileSent { transfer } | Event::SendStopped { transfer, .. } => {
                self.uploads.remove(&transfer);
                owner.queue.end((self.number, transfer));
            }
            Event::Closed { reason } => {
                use chatproto::peer::Closed;
                assert!(!matches!(reason, Closed::Violation(_)), "{reason:?}");
                assert!(self.downloads.is_empty(), "what was open has failed before");
                self.is_closed = true;
                owner.queue.end_link(self.number);
                owner.gather.end_link(self.number);
                if let Some((offer, way)) = self.dialled.filter(|_| !self.is_open) {
                    owner.end.session_mut().way_failed(offer, way, ErrorCode::LinkBroken, now);
                }
            }
            Event::FileQueued { transfer, position } => {
                // What was cancelled meanwhile waits nowhere.
                if self.downloads.contains_key(&transfer) {
                    let before = self.places.insert(transfer, position);
                    assert!(position > 0 && before.is_none_or(|before| position < before), "{before:?}");
                    totals.queued += 1;
                    totals.moved_up += u64::from(before.is_some());
                }
            }
            Event::FilePaused { .. }
            | Event::FileResumed { .. }
            | Event::RateWanted { .. }
            | Event::ListRefused { .. } => {}
        }
    }
}

/// Asks for a file from where an earlier link ended, if one did.
fn fetch_rest(
    peer: &mut Peer,
    source: Source,
    part: Option<&Part>,
    unit_log2: u8,
    totals: &mut Totals,
) -> Option<(TransferId, Download)> {
    let (at, bytes) = match part.filter(|part| !part.bytes.is_empty()) {
        Some(Part { unit_log2, bytes }) => {
            let held = Some(share::held(bytes, *unit_log2));
            (Resume { unit_log2: *unit_log2, offset: bytes.len() as u64, held }, bytes.clone())
        }
        None => (Resume::whole(unit_log2), Vec::new()),
    };
    let transfer = peer.fetch(source, at).ok()?;
    totals.files_resumed += u64::from(at.offset > 0);
    let download = Download::new(at.unit_log2, 0, bytes, None);
    Some((transfer, Download { source: Some(source), ..download }))
}

/// Asks for some units of a file by its hash.
fn fetch_part(
    peer: &mut Peer,
    root: Hash,
    size: u64,
    unit_log2: u8,
    rng: &mut Rng,
) -> Option<(TransferId, Download)> {
    let units = size.div_ceil(1 << unit_log2);
    if units == 0 {
        return None;
    }
    let first = rng.below(units);
    let count = 1 + rng.below(units - first);
    let part = peer::Part { unit_log2, first, count, values: rng.chance(50) };
    let transfer = peer.fetch_units(root, part).ok()?;
    Some((transfer, Download::new(unit_log2, (first << unit_log2) as usize, Vec::new(), Some(part))))
}

/// Asks for a part of the file that comes from several.
fn gather(
    peer: &mut Peer,
    number: u64,
    owner: &mut Client,
    root: Hash,
    rng: &mut Rng,
) -> Option<(TransferId, Download)> {
    let part = owner.gather.next(rng)?;
    let transfer = peer.fetch_units(root, part).ok()?;
    owner.gather.begin((number, transfer), part);
    let from = (part.first << part.unit_log2) as usize;
    let download = Download::new(part.unit_log2, from, Vec::new(), Some(part));
    Some((transfer, Download { name: share::COMMON.to_owned(), is_gathered: true, ..download }))
}

impl Download {
    fn new(unit_log2: u8, offset: usize, bytes: Vec<u8>, part: Option<peer::Part>) -> Self {
        let stored = bytes.len();
        let (name, source, values) = (String::new(), None, Vec::new());
        Self { name, unit_log2, offset, bytes, stored, part, is_gathered: false, source, values }
    }

    /// What is kept of it. A last unit that is not whole comes again.
    fn into_part(mut self) -> (String, Part) {
        self.bytes.truncate(self.stored >> self.unit_log2 << self.unit_log2);
        (self.name, Part { unit_log2: self.unit_log2, bytes: self.bytes })
    }
}
