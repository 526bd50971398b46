//! Two ends of a link in memory, each with a small program that shares files and fetches.

use std::collections::BTreeMap;

use bytes::{Buf as _, Bytes};
use chatproto::Instant;
use chatproto::peer::{
    Config, Event, FileInfo, Introduction, Item, Peer, Resume, SendFileError, TransferError, UnitData, Wanted,
};
use chatproto::wire::{
    Capabilities, Capability, DeviceId, EntryKind, ErrorCode, Hash, LinkTicket, Name, Note, OfferId, Purpose,
    SafeName, SafeRelPath, TransferId,
};

pub(crate) const START: Instant = Instant::from_millis(1_000);
pub(crate) const TICKET: LinkTicket = LinkTicket([9; 32]);
pub(crate) const ALICE: DeviceId = DeviceId([1; 16]);
pub(crate) const BOB: DeviceId = DeviceId([2; 16]);

/// Any function of the bytes will do for the machine, as long as both ends agree.
pub(crate) fn digest(bytes: &[u8]) -> Hash {
    let mut state = [0x9e37_79b9_7f4a_7c15_u64, 1, 2, 3];
    for (index, &byte) in bytes.iter().enumerate() {
        let slot = index % 4;
        state[slot] = (state[slot] ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3).rotate_left(7);
    }
    let mut hash = [0; 32];
    for (chunk, word) in hash.chunks_mut(8).zip(state) {
        chunk.copy_from_slice(&word.to_be_bytes());
    }
    Hash(hash)
}

pub(crate) fn config(name: &str, device: DeviceId) -> Config {
    let config = Config::new(Name::new(name).unwrap(), device, Note::new("test 1.0").unwrap());
    Config { capabilities: Capabilities::NONE.with(Capability::Resume).with(Capability::Sources), ..config }
}

pub(crate) fn introduction() -> Introduction {
    Introduction {
        offer: OfferId(7),
        ticket: TICKET,
        purpose: Purpose::Files,
        peer: Name::new("bob").unwrap(),
        device: BOB,
    }
}

pub(crate) fn path(text: &str) -> SafeRelPath {
    SafeRelPath::new(text).unwrap()
}

/// Bytes that differ everywhere.
pub(crate) fn content(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((index * 31 + index / 253) % 251).unwrap()).collect()
}

/// Takes up to `max` bytes of what a peer sends.
pub(crate) fn take(peer: &mut Peer, max: usize) -> Bytes {
    let queue = peer.outgoing();
    queue.copy_to_bytes(queue.remaining().min(max))
}

/// A peer and its program.
pub(crate) struct End {
    pub(crate) peer: Peer,
    /// All events so far.
    pub(crate) seen: Vec<Event>,
    /// What it shares, by path.
    pub(crate) share: BTreeMap<String, Vec<u8>>,
    /// What it received, by transfer; whole only if the transfer is in `done`.
    pub(crate) received: BTreeMap<TransferId, Vec<u8>>,
    pub(crate) done: Vec<TransferId>,
    sending: BTreeMap<TransferId, Vec<u8>>,
    /// Whether the program answers by itself.
    pub(crate) automatic: bool,
    partial: BTreeMap<TransferId, Vec<u8>>,
}

impl End {
    pub(crate) fn new(peer: Peer) -> Self {
        Self {
            peer,
            seen: Vec::new(),
            share: BTreeMap::new(),
            received: BTreeMap::new(),
            done: Vec::new(),
            sending: BTreeMap::new(),
            automatic: true,
            partial: BTreeMap::new(),
        }
    }

    pub(crate) fn share(&mut self, path: &str, bytes: Vec<u8>) {
        self.share.insert(path.into(), bytes);
    }

    /// Polls one event and lets the program react; `false` if there was none.
    pub(crate) fn turn(&mut self) -> bool {
        let Some(event) = self.peer.poll_event() else { return false };
        self.seen.push(event.clone());
        if self.automatic {
            self.react(event);
        }
        true
    }

    /// The program. A transfer may have ended since the event was made, so errors that say so are nothing to it.
    pub(crate) fn react(&mut self, event: Event) {
        match event {
            Event::Hello { ticket, .. } => {
                assert_eq!(ticket, TICKET);
                self.peer.admit(START).unwrap();
            }
            Event::ListWanted { id, path, .. } => match self.items(path.as_str()) {
                Some(items) => drop(self.peer.provide_list(id, items).unwrap()),
                None => self.peer.refuse_list(id, ErrorCode::NoSuchPath).unwrap(),
            },
            Event::FileWanted { transfer, wanted, .. } => {
                let file = match &wanted {
                    Wanted::Listed { path, .. } => self.share.get(path.as_str()),
                    Wanted::Root(root) | Wanted::Units(root, _) => {
                        self.share.values().find(|bytes| digest(bytes) == *root)
                    }
                };
                let part = match wanted {
                    Wanted::Units(root, part) => Some((root, part)),
                    Wanted::Listed { .. } | Wanted::Root(_) => None,
                };
                let Some(file) = file.cloned() else {
                    return self.peer.refuse_file(transfer, ErrorCode::NoSuchPath).unwrap();
                };
                let root = part.map(|(root, _)| root);
                let info = FileInfo { size: file.len() as u64, mtime: 5, root };
                let sent = self.peer.send_file(transfer, info);
                assert!(matches!(sent, Ok(()) | Err(SendFileError::NotWanted(_))), "{sent:?}");
                if let Some((_, part)) = part.filter(|(_, part)| part.values && sent.is_ok()) {
                    let values: Vec<_> = file.chunks(1 << part.unit_log2).map(digest).collect();
                    self.peer.provide_values(transfer, &values).unwrap();
                }
                self.sending.insert(transfer, file);
            }
            Event::UnitWanted { transfer, unit, offset, len } => {
                let file = &self.sending[&transfer];
                let range = usize::try_from(offset).unwrap()..usize::try_from(offset).unwrap() + len as usize;
                let last = range.end == file.len();
                let bytes = Bytes::copy_from_slice(&file[range]);
                let data = UnitData { unit, value: digest(&bytes), bytes, root: last.then(|| digest(file)) };
                self.peer.provide_unit(transfer, data).unwrap();
            }
            Event::FileStarted { transfer, .. } => drop(self.received.insert(transfer, Vec::new())),
            Event::FileData { transfer, data, .. } => {
                self.received.get_mut(&transfer).unwrap().extend_from_slice(&data);
                self.partial.entry(transfer).or_default().extend_from_slice(&data);
            }
            Event::FileUnit { transfer, unit, .. } => {
                let bytes = self.partial.remove(&transfer).unwrap();
                let stored = self.peer.unit_stored(transfer, unit, digest(&bytes));
                assert!(matches!(stored, Ok(()) | Err(TransferError::NotOpen(_))), "{stored:?}");
            }
            Event::FileComplete { transfer, .. } => {
                let finished = self.peer.finish_file(transfer, Ok(()));
                self.done.extend(finished.is_ok().then_some(transfer));
            }
            _ => {}
        }
    }

    /// Drops the first `stored` bytes of a file that came while the program did not answer by itself.
    pub(crate) fn forget_partial(&mut self, transfer: TransferId, stored: usize) {
        drop(self.partial.get_mut(&transfer).unwrap().drain(..stored));
    }

    /// What the share has in a folder, folders first.
    fn items(&self, folder: &str) -> Option<Vec<Item>> {
        let prefix = if folder.is_empty() { String::new() } else { format!("{folder}/") };
        let mut items = BTreeMap::new();
        for (path, bytes) in &self.share {
            let Some(rest) = path.strip_prefix(&prefix) else { continue };
            let (name, kind, size) = match rest.split_once('/') {
                Some((name, _)) => (name, EntryKind::Folder, 0),
                None => (rest, EntryKind::File, bytes.len() as u64),
            };
            let item =
                Item { kind, name: SafeName::new(name).unwrap(), size, mtime: 5, root: None, content: None };
            items.insert((kind == EntryKind::File, name), item);
        }
        (!items.is_empty() || folder.is_empty()).then(|| items.into_values().collect())
    }

    /// The last event that `pick` likes.
    pub(crate) fn last<T>(&self, pick: impl Fn(&Event) -> Option<T>) -> Option<T> {
        self.seen.iter().rev().find_map(pick)
    }

    pub(crate) fn has(&self, event: &Event) -> bool {
        self.seen.contains(event)
    }
}

/// Moves what waits from one end to the other, and lets both programs react; `false` if nothing happened.
fn carry(from: &mut End, to: &mut End, now: Instant) -> bool {
    let bytes = if to.peer.wants_read() { take(&mut from.peer, usize::MAX) } else { Bytes::new() };
    to.peer.handle_input(&bytes, now);
    let mut moved = !bytes.is_empty();
    while from.turn() | to.turn() {
        moved = true;
    }
    moved
}

/// Alice has dialled bob.
pub(crate) struct Pair {
    pub(crate) alice: End,
    pub(crate) bob: End,
    pub(crate) now: Instant,
}

impl Pair {
    /// Before the first byte.
    pub(crate) fn new(alice: Config, bob: Config) -> Self {
        let alice = End::new(Peer::dial(alice, introduction(), START));
        let bob = End::new(Peer::listen(bob, START));
        Self { alice, bob, now: START }
    }

    /// With defaults, and the link standing.
    pub(crate) fn open() -> Self {
        Self::open_with(|_| {})
    }

    /// With the same change to both configs, and the link standing.
    pub(crate) fn open_with(change: impl Fn(&mut Config)) -> Self {
        let (mut alice, mut bob) = (config("alice", ALICE), config("bob", BOB));
        change(&mut alice);
        change(&mut bob);
        let mut pair = Self::new(alice, bob);
        pair.settle();
        pair
    }

    /// Moves bytes and events until nothing moves.
    pub(crate) fn settle(&mut self) {
        const MAX_ROUNDS: usize = 100_000;
        for _ in 0..MAX_ROUNDS {
            let there = carry(&mut self.alice, &mut self.bob, self.now);
            let back = carry(&mut self.bob, &mut self.alice, self.now);
            if !there && !back {
                return;
            }
        }
        panic!("the pair did not come to rest");
    }

    /// Alice lists bob's `folder` afresh, and returns the generation.
    pub(crate) fn list(&mut self, folder: &str) -> chatproto::wire::Generation {
        let asked = self.alice.peer.list(&path(folder), chatproto::wire::Generation(0), 1).unwrap();
        self.settle();
        self.alice
            .last(|event| match event {
                Event::ListPage { request, generation, .. } if *request == asked => Some(*generation),
                _ => None,
            })
            .unwrap()
    }

    /// Alice fetches a number of the root list of bob, whole, and returns the transfer.
    pub(crate) fn fetch(&mut self, number: u32, unit_log2: u8) -> TransferId {
        let generation = self.list("");
        let source = chatproto::wire::Source::Number { generation, number };
        self.alice.peer.fetch(source, Resume::whole(unit_log2)).unwrap()
    }
}
