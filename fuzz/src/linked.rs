//! What one end of a link may tell its program and send to the other end: a model of its transfers, lists and words that knows
//! the protocol and nothing of the machine.

use std::collections::{BTreeMap, BTreeSet};

use chatproto::peer::{Event, ListId};
use chatproto::wire::{RawFrame, RequestId, Text, ToPeer, TransferId};

/// Units of files that this end fetches have this size here.
const UNIT: u64 = 1024;

/// How many of each may be open.
#[derive(Debug, Default, Clone, Copy)]
pub struct Most {
    pub transfers: usize,
    pub lists: usize,
    pub units_wanted: u64,
}

/// A file that this end sends.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Upload {
    Wanted { offset: u64 },
    Sending { size: u64, next_wanted: u64, next: u64 },
    Sent,
}

/// A file that this end fetches.
#[derive(Debug, Clone, PartialEq)]
enum Download {
    Asked,
    Coming { size: u64, at: u64, units: u64, unstored: BTreeSet<u64> },
    Complete,
}

/// The model.
#[derive(Debug, Default)]
pub struct Linked {
    most: Most,
    is_open: bool,
    is_closed: bool,
    uploads: BTreeMap<TransferId, Upload>,
    /// Size of the units of each file that was ever wanted.
    unit_of: BTreeMap<TransferId, u64>,
    downloads: BTreeMap<TransferId, Download>,
    /// Those that the other end has stopped: what they still wait for does not hold up the others.
    paused: BTreeSet<TransferId>,
    /// Transfers that the program has ended itself. What was to be told of them before may still be.
    ended: BTreeSet<TransferId>,
    asked: BTreeSet<RequestId>,
    wanted: BTreeSet<ListId>,
    /// What the program said, and how much of it the other end has.
    said: u64,
    received: u64,
    /// What the other end said under each number, however often, and how much of it was told.
    words: BTreeMap<u64, Vec<Text>>,
    heard: u64,
    /// Bytes of files that came.
    pieces: BTreeMap<TransferId, Vec<(u64, Vec<u8>)>>,
    /// Up to where each file has left.
    left: BTreeMap<TransferId, u64>,
}

impl Linked {
    pub fn new(most: Most) -> Self {
        Self { most, ..Self::default() }
    }

    /// The other end sends something.
    pub fn comes(&mut self, raw: RawFrame<'_>) {
        match ToPeer::decode(raw) {
            Ok(Some(ToPeer::LinkSay(say))) => {
                self.words.entry(say.counter).or_default().push(say.text.to_owned());
            }
            Ok(Some(ToPeer::FileData(it))) => {
                self.pieces.entry(it.transfer).or_default().push((it.offset, it.data.0.to_vec()));
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// This end sends something: of each file a head, then its bytes in order, as the program gave them.
    pub fn leaves(&mut self, raw: RawFrame<'_>) {
        match ToPeer::decode(raw) {
            Ok(Some(ToPeer::FileHead(it))) => {
                assert!(self.left.insert(it.transfer, it.offset).is_none(), "{:?} begins twice", it.transfer);
            }
            Ok(Some(ToPeer::FileData(it))) => {
                let at = self.left.get_mut(&it.transfer).expect("bytes of a file that has not begun");
                assert_eq!(*at, it.offset, "bytes leave in order");
                let unit = it.offset / self.unit_of[&it.transfer];
                assert!(it.data.0.iter().all(|byte| *byte == unit as u8), "bytes of another unit");
                *at += it.data.0.len() as u64;
            }
            Ok(Some(ToPeer::FileEnd(it))) => {
                assert!(self.left.contains_key(&it.transfer), "the end of a file that has not begun");
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Whether the program may answer that it sends, queues or refuses this file.
    pub fn is_wanted(&self, transfer: TransferId) -> bool {
        matches!(self.uploads.get(&transfer), Some(Upload::Wanted { .. }))
    }

    /// Whether there is such a transfer, in either direction.
    pub fn is_transfer(&self, transfer: TransferId) -> bool {
        self.uploads.contains_key(&transfer) || self.downloads.contains_key(&transfer)
    }

    /// Whether all of a file has come and was stored.
    pub fn is_complete(&self, transfer: TransferId) -> bool {
        self.downloads.get(&transfer) == Some(&Download::Complete)
    }

    /// The program sends a file of this size.
    pub fn sends(&mut self, transfer: TransferId, size: u64) {
        let Some(Upload::Wanted { offset }) = self.uploads.get(&transfer).copied() else {
            panic!("{transfer:?} is not wanted");
        };
        assert!(offset <= size, "from {offset} of {size}");
        let (first, is_all) = (offset / self.unit_of[&transfer], offset == size);
        let sending = Upload::Sending { size, next_wanted: first, next: first };
        self.uploads.insert(transfer, if is_all { Upload::Sent } else { sending });
    }

    /// The program gave a unit.
    pub fn provides(&mut self, transfer: TransferId, unit: u64) {
        let Some(Upload::Sending { size, next_wanted, next }) = self.uploads.get_mut(&transfer) else {
            panic!("{transfer:?} is not being sent");
        };
        assert!(unit == *next && unit < *next_wanted, "unit {unit} is not due");
        *next += 1;
        if *next == size.div_ceil(self.unit_of[&transfer]) {
            self.uploads.insert(transfer, Upload::Sent);
        }
    }

    /// The program ended a transfer.
    pub fn ends(&mut self, transfer: TransferId) {
        let is_open = self.uploads.remove(&transfer).is_some() | self.downloads.remove(&transfer).is_some();
        assert!(is_open, "{transfer:?} was not open");
        self.ended.insert(transfer);
    }

    /// The program fetches a file.
    pub fn fetches(&mut self, transfer: TransferId) {
        assert!(self.downloads.insert(transfer, Download::Asked).is_none(), "{transfer:?} twice");
        assert!(self.downloads.len() <= self.most.transfers, "more than may be open");
    }

    /// The program asked for a list.
    pub fn lists(&mut self, request: RequestId) {
        assert!(self.asked.insert(request), "{request:?} twice");
        assert!(self.asked.len() <= self.most.lists, "more than may be open");
    }

    /// The program answered a list.
    pub fn shows(&mut self, id: ListId) {
        assert!(self.wanted.remove(&id), "{id:?} was not wanted");
    }

    /// The program said something.
    pub fn says(&mut self, counter: u64) {
        self.said += 1;
        assert_eq!(counter, self.said);
    }

    /// The program has stored a unit.
    pub fn stores(&mut self, transfer: TransferId, unit: u64) {
        let Some(Download::Coming { unstored, .. }) = self.downloads.get_mut(&transfer) else {
            panic!("{transfer:?} is not coming");
        };
        assert!(unstored.remove(&unit), "unit {unit} does not wait to be stored");
    }

    /// The program is told something.
    pub fn note(&mut self, event: &Event) {
        assert!(!self.is_closed, "{event:?} after the end");
        match event {
            Event::Open { .. } => {
                assert!(!self.is_open, "it opens once");
                self.is_open = true;
            }
            Event::Said { counter, text } => {
                self.heard += 1;
                assert_eq!(*counter, self.heard, "words come in order, once");
                assert!(self.words[counter].contains(text), "{text:?} was never said");
            }
            Event::SayReceived { counter } => {
                assert!(*counter > self.received && *counter <= self.said, "{counter} of {}", self.said);
                self.received = *counter;
            }
            Event::ListPage { request, .. } | Event::ListRefused { request, .. } => {
                assert!(self.asked.remove(request), "{event:?} was not asked for");
            }
            Event::ListWanted { id, .. } => {
                assert!(self.wanted.insert(*id), "{id:?} twice");
            }
            Event::FileWanted { transfer, offset, unit_log2, .. } => {
                self.unit_of.insert(*transfer, 1 << unit_log2);
                let before = self.uploads.insert(*transfer, Upload::Wanted { offset: *offset });
                assert_eq!(before, None, "{transfer:?} twice");
                assert!(self.uploads.len() <= self.most.transfers, "more than may be open");
            }
            Event::UnitWanted { transfer, unit, offset, len } => {
                self.unit_wanted(*transfer, *unit, *offset, *len)
            }
            Event::FileSent { transfer } => {
                assert_eq!(self.uploads.remove(transfer), Some(Upload::Sent), "{transfer:?}");
            }
            Event::SendStopped { transfer, .. } => {
                assert!(self.uploads.remove(transfer).is_some(), "{transfer:?} was not open");
            }
            Event::FileQueued { transfer, .. } => {
                assert_eq!(self.downloads.get(transfer), Some(&Download::Asked), "{transfer:?}");
            }
            Event::FilePaused { transfer } | Event::FileResumed { transfer } => {
                let is_known = self.is_transfer(*transfer) || self.ended.contains(transfer);
                assert!(is_known, "{transfer:?} is not open");
                if matches!(event, Event::FilePaused { .. }) {
                    self.paused.insert(*transfer);
                } else {
                    self.paused.remove(transfer);
                }
            }
            Event::FileStarted { transfer, offset, size, .. } => {
                let units = offset / UNIT;
                let coming = Download::Coming { size: *size, at: *offset, units, unstored: BTreeSet::new() };
                let before = self.downloads.insert(*transfer, coming);
                assert_eq!(before, Some(Download::Asked), "{transfer:?}");
            }
            Event::FileData { transfer, offset, data } => {
                let Some(Download::Coming { size, at, .. }) = self.downloads.get_mut(transfer) else {
                    panic!("{transfer:?} is not coming");
                };
                assert_eq!(at, offset, "bytes come in order");
                assert!(!data.is_empty());
                let end = *at + data.len() as u64;
                assert!(end <= *size && (end - 1) / UNIT == *at / UNIT, "across the end of a unit");
                *at = end;
                let is_in = |(from, piece): &(u64, Vec<u8>)| {
                    let skipped = offset.checked_sub(*from).and_then(|skipped| usize::try_from(skipped).ok());
                    skipped
                        .and_then(|skipped| piece.get(skipped..))
                        .is_some_and(|rest| rest.starts_with(data))
                };
                assert!(self.pieces[transfer].iter().any(is_in), "bytes that never came");
            }
            Event::FileUnit { transfer, unit, .. } => {
                let Some(Download::Coming { size, at, units, unstored }) = self.downloads.get_mut(transfer)
                else {
                    panic!("{transfer:?} is not coming");
                };
                assert_eq!(
                    (unit, *at),
                    (&*units, (*size).min((unit + 1) * UNIT)),
                    "units come whole, in order"
                );
                *units += 1;
                unstored.insert(*unit);
            }
            Event::FileComplete { transfer, size, .. } => {
                let before = self.downloads.insert(*transfer, Download::Complete);
                let is_whole = matches!(&before, Some(Download::Coming { size: whole, at, unstored, .. })
                    if (whole, at) == (size, size) && unstored.is_empty());
                assert!(is_whole, "{before:?} is complete");
            }
            Event::FileFailed { transfer, .. } => {
                assert!(self.downloads.remove(transfer).is_some(), "{transfer:?} was not open");
            }
            Event::Closed { .. } => {
                self.is_closed = true;
                assert!(self.uploads.is_empty(), "without an end: {:?}", self.uploads);
                assert!(self.downloads.is_empty(), "without an end: {:?}", self.downloads);
                assert!(self.asked.is_empty(), "without an end: {:?}", self.asked);
            }
            Event::Hello { .. } => assert!(!self.is_open),
            Event::FileValues { .. } => panic!("nobody asks for values"),
            Event::RateWanted { .. } => {}
        }
    }

    fn unit_wanted(&mut self, transfer: TransferId, unit: u64, offset: u64, len: u32) {
        let Some(Upload::Sending { size, next_wanted, .. }) = self.uploads.get_mut(&transfer) else {
            panic!("{transfer:?} is not being sent");
        };
        let long = self.unit_of[&transfer];
        assert_eq!((unit, offset), (*next_wanted, unit * long), "units are wanted in order");
        assert_eq!(u64::from(len), long.min(*size - offset));
        *next_wanted += 1;
        let ahead = |(transfer, upload): (&TransferId, &Upload)| match upload {
            Upload::Sending { next_wanted, next, .. } if !self.paused.contains(transfer) => {
                next_wanted - next
            }
            Upload::Sending { .. } | Upload::Wanted { .. } | Upload::Sent => 0,
        };
        let ahead: u64 = self.uploads.iter().map(ahead).sum();
        assert!(ahead <= self.most.units_wanted, "{ahead} units are wanted at once");
    }
}
