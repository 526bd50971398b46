//! One end of a direct link, and the model of what goes over it.

use std::collections::BTreeMap;

use bytes::Bytes;
use chatproto::Instant;
use chatproto::peer::{Event, Resume, Wanted};
use chatproto::testing::{PeerEnd, Rng};
use chatproto::wire::*;

use crate::client::Client;
use crate::share::{self, Share};
use crate::world::Totals;

pub struct LinkEnd {
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
    bytes: Vec<u8>,
}

impl LinkEnd {
    pub fn new(end: PeerEnd, owner: usize, ticket: Option<LinkTicket>, remote_key: LinkKey) -> Self {
        Self {
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
        }
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

    pub fn cancel_one(&mut self, rng: &mut Rng) {
        let open: Vec<TransferId> = self.downloads.keys().chain(self.uploads.keys()).copied().collect();
        if let Some(transfer) = rng.choose(&open) {
            let _ = self.end.peer_mut().cancel(*transfer, ErrorCode::Cancelled);
            self.downloads.remove(transfer);
            self.uploads.remove(transfer);
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
                    if rng.chance(50) {
                        let unit_log2 = 10 + rng.below(4) as u8;
                        let source = Source::Number { generation, number: entry.number };
                        if let Ok(transfer) = peer.fetch(source, Resume::whole(unit_log2)) {
                            let name = entry.name.as_str().to_owned();
                            self.downloads.insert(transfer, Download { name, unit_log2, bytes: Vec::new() });
                        }
                    }
                }
            }
            Event::FileWanted { transfer, wanted, .. } => {
                let Wanted::Listed { path, size, .. } = wanted else { panic!("asked for by number only") };
                let bytes = owner.share.get(path.as_str()).expect("it was listed").clone();
                assert_eq!(size, bytes.len() as u64);
                if rng.chance(10) {
                    let _ = peer.refuse_file(transfer, ErrorCode::Changed);
                } else if peer.send_file(transfer, share::info(&bytes)).is_ok() {
                    self.uploads.insert(transfer, bytes);
                }
            }
            Event::UnitWanted { transfer, unit, offset, len } => {
                // It may have been cancelled since.
                if let Some(bytes) = self.uploads.get(&transfer) {
                    let _ = peer.provide_unit(transfer, share::unit(bytes, unit, offset, len));
                }
            }
            Event::FileStarted { transfer, path, .. } => {
                if let Some(download) = self.downloads.get(&transfer) {
                    assert_eq!(path.as_str(), download.name);
                }
            }
            Event::FileData { transfer, offset, data } => {
                if let Some(download) = self.downloads.get_mut(&transfer) {
                    assert_eq!(offset, download.bytes.len() as u64);
                    download.bytes.extend(data);
                }
            }
            Event::FileUnit { transfer, unit, .. } => {
                if let Some(download) = self.downloads.get(&transfer) {
                    let from = (unit << download.unit_log2) as usize;
                    let to = (from + (1 << download.unit_log2)).min(download.bytes.len());
                    let _ = peer.unit_stored(transfer, unit, share::digest(&download.bytes[from..to]));
                }
            }
            Event::FileComplete { transfer, root, .. } => {
                if let Some(download) = self.downloads.get(&transfer) {
                    let sent = shares[self.other.unwrap()].get(&download.name).unwrap();
                    assert!(download.bytes == *sent, "{} arrived changed", download.name);
                    assert_eq!(root, share::digest(sent));
                    totals.files += 1;
                    totals.file_bytes += sent.len() as u64;
                    // Otherwise the link has ended in the same moment, and the failure follows.
                    if peer.finish_file(transfer, Ok(())).is_ok() {
                        self.downloads.remove(&transfer);
                    }
                }
            }
            Event::FileFailed { transfer, code, .. } => {
                assert_ne!(code, ErrorCode::VerifyFailed);
                assert!(self.downloads.remove(&transfer).is_some(), "it ended before");
                totals.files_failed += 1;
            }
            Event::FileSent { transfer } | Event::SendStopped { transfer, .. } => {
                self.uploads.remove(&transfer);
            }
            Event::Closed { reason } => {
                use chatproto::peer::Closed;
                assert!(!matches!(reason, Closed::Violation(_)), "{reason:?}");
                assert!(self.downloads.is_empty(), "what was open has failed before");
                self.is_closed = true;
                if let Some((offer, way)) = self.dialled.filter(|_| !self.is_open) {
                    owner.end.session_mut().way_failed(offer, way, ErrorCode::LinkBroken, now);
                }
            }
            Event::FileQueued { .. }
            | Event::FilePaused { .. }
            | Event::FileResumed { .. }
            | Event::RateWanted { .. }
            | Event::ListRefused { .. } => {}
        }
    }
}
