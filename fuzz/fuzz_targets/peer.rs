//! One end of a direct link against an end that sends what fits, what does not, and anything at all, with a program that answers
//! in any way; beside a model of what it may be told.
#![no_main]

use core::time::Duration;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use bytes::Bytes;
use chatproto::Instant;
use chatproto::peer::{Config, Event, FileInfo, Introduction, Item, Peer, Resume, State, UnitData};
use chatproto::wire::{
    Body, Capabilities, Capability, CloseReason, DeviceId, EntryKind, ErrorCode, FileData, FileEnd, FileHead,
    FileRequest, FileUnit, Generation, Hash, LinkHello, LinkTicket, LinkWelcome, ListFolder, MAGIC,
    MAX_FRAME, Name, NameRef, NoteRef, OfferId, Purpose, RawFrame, RequestId, Rest, SafeName, SafeRelPathRef,
    Source, ToPeer, TransferId,
};
use chatproto_fuzz::{Linked, Most, Sent, Value};
use libfuzzer_sys::fuzz_target;

/// Events that one input may bring.
const MAX_EVENTS_AT_ONCE: usize = 100_000;

/// What a queue may hold: answers to one input, and units of at most 1 MiB each that were asked for.
const MAX_QUEUE: usize = 8 * 1024 * 1024;

const RESUME: Capabilities = Capabilities::NONE.with(Capability::Resume);

fn name(text: &str) -> Name {
    Name::new(text).expect("a legal name")
}

/// Bounds small enough to be met.
fn config() -> Config {
    let mut config = Config::new(name("alice"), DeviceId([0; 16]), NoteRef::EMPTY.to_owned());
    config.capabilities = RESUME;
    config.max_transfers = 3;
    config.max_lists = 2;
    config.page_entries = 2;
    config.max_list_entries = 5;
    config.max_generations = 2;
    config.low_water = 4096;
    config.max_units_wanted = 2;
    config.max_unstored = 4096;
    config.max_events = 64;
    config
}

struct World {
    peer: Peer,
    sent: Sent,
    now: Instant,
    /// Files that the program has asked for, as a well-behaved end serves them.
    fetched: Vec<Served>,
    /// Units that wait to be stored.
    unstored: Vec<(TransferId, u64, Hash)>,
    /// Numbers that the other end has given to its transfers.
    next_transfer: u32,
    linked: Linked,
    /// Bytes came of which nobody knows what frames they are.
    is_garbled: bool,
    closed: bool,
}

/// A file on its way to the machine.
struct Served {
    transfer: TransferId,
    size: u64,
    /// First byte that was not sent.
    at: u64,
    has_head: bool,
}

impl World {
    /// The next unit of a file, or what comes before and after them.
    fn serve_file(&mut self, u: &mut Unstructured<'_>) {
        let Some(file) = self.fetched.last_mut() else { return };
        let (transfer, offset) = (file.transfer, file.at);
        let mut out = Vec::new();
        if !file.has_head {
            file.has_head = true;
            let path = SafeRelPathRef::new("a").expect("a legal path");
            FileHead { transfer, size: file.size, mtime: 0, unit_log2: 10, offset, root: None, path }
                .encode_frame(&mut out);
        } else if offset < file.size {
            file.at = file.size.min(offset + 1024);
            let data = vec![3; (file.at - offset) as usize];
            // In one piece or in two.
            let cut = usize::from(u.arbitrary::<u8>().unwrap_or_default()).min(data.len() - 1);
            if cut > 0 {
                FileData { transfer, offset, data: Rest(&data[..cut]) }.encode_frame(&mut out);
            }
            FileData { transfer, offset: offset + cut as u64, data: Rest(&data[cut..]) }
                .encode_frame(&mut out);
            FileUnit { transfer, unit: offset / 1024, value: Hash([8; 32]) }.encode_frame(&mut out);
        } else {
            FileEnd { transfer, root: Hash([9; 32]) }.encode_frame(&mut out);
            self.fetched.pop();
        }
        self.feed(&out);
    }

    /// What a well-behaved end would send next.
    fn serve(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (user, device) = (NameRef::new("bob").expect("a legal name"), DeviceId([1; 16]));
        let bytes = match self.peer.state() {
            State::AwaitHello => LinkHello {
                magic: MAGIC,
                version_min: 1,
                version_max: 1,
                capabilities: RESUME,
                max_frame: MAX_FRAME,
                offer: OfferId(7),
                ticket: LinkTicket([3; 32]),
                user,
                device,
                purpose: Purpose::Files,
                agent: NoteRef::EMPTY,
            }
            .to_bytes(),
            State::AwaitWelcome => LinkWelcome {
                version: 1,
                capabilities: RESUME,
                max_frame: MAX_FRAME,
                user,
                device,
                agent: NoteRef::EMPTY,
            }
            .to_bytes(),
            State::Open if u.ratio(1, 3)? => {
                self.serve_file(u);
                return Ok(());
            }
            State::Open if u.arbitrary()? => ListFolder {
                request: RequestId(u.int_in_range(1..=3)?),
                generation: Generation(u.int_in_range(0..=3)?),
                page: u.int_in_range(1..=3)?,
                flags: 0,
                path: SafeRelPathRef::ROOT,
            }
            .to_bytes(),
            State::Open => {
                self.next_transfer += 2;
                FileRequest {
                    transfer: TransferId(self.next_transfer),
                    source: Source::Number { generation: Generation(1), number: u.int_in_range(1..=4)? },
                    unit_log2: 10,
                    offset: 0,
                    held: None,
                }
                .to_bytes()
            }
            State::Admitting | State::Closed => return Ok(()),
        };
        self.feed(&bytes);
        Ok(())
    }

    /// Any legal frame, cut in two anywhere.
    fn frame(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let mut bytes = Vec::new();
        ToPeer::draw(u, &bump)?.encode(&mut bytes);
        self.show(&bytes);
        let cut = usize::from(u.arbitrary::<u8>()?).min(bytes.len());
        self.peer.handle_input(&bytes[..cut], self.now);
        self.peer.handle_input(&bytes[cut..], self.now);
        Ok(())
    }

    fn feed(&mut self, bytes: &[u8]) {
        self.show(bytes);
        self.peer.handle_input(bytes, self.now);
    }

    /// Shows the model what comes.
    fn show(&mut self, mut bytes: &[u8]) {
        while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
            let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
            self.linked.comes(RawFrame { number: frame[0], body: &frame[1..] });
            bytes = rest;
        }
    }

    /// Takes bytes that wait, and shows the model what leaves.
    fn take(&mut self, count: usize) {
        let linked = &mut self.linked;
        let is_garbled = self.is_garbled;
        self.sent.take_each(self.peer.outgoing(), count, |raw| {
            if !is_garbled {
                linked.leaves(raw);
            }
        });
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..MAX_EVENTS_AT_ONCE {
            let Some(event) = self.peer.poll_event() else { return Ok(()) };
            self.on_event(event, u)?;
        }
        panic!("events without end");
    }

    fn on_event(&mut self, event: Event, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        if !self.is_garbled {
            self.linked.note(&event);
        }
        match event {
            Event::Hello { .. } if u.ratio(1, 8)? => _ = self.peer.refuse(Value::draw(u, &bump)?, self.now),
            Event::Hello { .. } => _ = self.peer.admit(self.now),
            Event::ListWanted { id, .. } => {
                let is_shown = if u.ratio(1, 8)? {
                    self.peer.refuse_list(id, Value::draw(u, &bump)?).is_ok()
                } else {
                    self.peer.provide_list(id, items(u)?).is_ok()
                };
                if is_shown && !self.is_garbled {
                    self.linked.shows(id);
                }
                assert!(
                    !is_shown || self.peer.refuse_list(id, ErrorCode::NoShare).is_err(),
                    "answered twice"
                );
            }
            Event::FileWanted { transfer, .. } if u.ratio(15, 16)? => self.give(transfer, u)?,
            Event::UnitWanted { transfer, unit, len, .. } => {
                assert!((1..=1 << 20).contains(&len));
                let root = u.arbitrary::<bool>()?.then_some(Hash([5; 32]));
                let bytes = Bytes::from(vec![unit as u8; len as usize]);
                let data = UnitData { unit, bytes, value: Hash([4; 32]), root };
                // Refused without a root, or if it has ended since.
                if self.peer.provide_unit(transfer, data).is_ok() && !self.is_garbled {
                    self.linked.provides(transfer, unit);
                }
            }
            Event::FileUnit { transfer, unit, value } => self.unstored.push((transfer, unit, value)),
            Event::FileComplete { transfer, .. } if u.ratio(7, 8)? => {
                self.finish(transfer, if u.arbitrary()? { Ok(()) } else { Err(Value::draw(u, &bump)?) });
            }
            Event::FileFailed { transfer, .. } => self.unstored.retain(|(other, ..)| *other != transfer),
            Event::Closed { .. } => self.closed = true,
            _ => {}
        }
        Ok(())
    }

    /// Sends, queues or refuses a file.
    fn give(&mut self, transfer: TransferId, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let is_wanted = self.is_garbled || self.linked.is_wanted(transfer);
        match u.int_in_range(0..=7)? {
            0 => {
                if self.peer.refuse_file(transfer, Value::draw(u, &bump)?).is_ok() {
                    assert!(is_wanted, "{transfer:?} is not wanted");
                    self.end(transfer);
                }
            }
            1 => {
                let is_queued = self.peer.queue_file(transfer, u.int_in_range(1..=3)?).is_ok();
                assert!(!is_queued || is_wanted, "{transfer:?} is not wanted");
            }
            _ => {
                let root = u.arbitrary::<bool>()?.then_some(Hash([5; 32]));
                let file = FileInfo { size: u.int_in_range(0..=5000)?, mtime: 0, root };
                if self.peer.send_file(transfer, file).is_ok() && !self.is_garbled {
                    self.linked.sends(transfer, file.size);
                }
            }
        }
        Ok(())
    }

    /// Ends a file that has come, once.
    fn finish(&mut self, transfer: TransferId, outcome: core::result::Result<(), ErrorCode>) {
        // Refused only if the transfer has ended since.
        if self.peer.finish_file(transfer, outcome).is_ok() {
            assert!(self.is_garbled || self.linked.is_complete(transfer), "{transfer:?} is not complete");
            self.end(transfer);
        }
        assert!(self.peer.finish_file(transfer, Ok(())).is_err(), "a file is finished once");
    }

    fn end(&mut self, transfer: TransferId) {
        self.unstored.retain(|(other, ..)| *other != transfer);
        if !self.is_garbled {
            self.linked.ends(transfer);
        }
    }

    fn store(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        // Units may be stored in any order.
        let count = self.unstored.len();
        if count == 0 {
            return Ok(());
        }
        let (transfer, unit, value) = self.unstored.swap_remove(u.choose_index(count)?);
        let computed = if u.ratio(1, 16)? { Hash([0xee; 32]) } else { value };
        if self.peer.unit_stored(transfer, unit, computed).is_ok() {
            if !self.is_garbled {
                self.linked.stores(transfer, unit);
            }
            assert!(self.peer.unit_stored(transfer, unit, computed).is_err(), "a unit is stored once");
        }
        Ok(())
    }

    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        // Then the model knows of everything that is open.
        self.answer(u)?;
        match u.int_in_range(0..=9)? {
            0..=2 => {
                let resume =
                    Resume { unit_log2: 10, offset: 1024 * u.int_in_range::<u64>(0..=2)?, held: None };
                let held = (resume.offset > 0).then_some(Hash([6; 32]));
                if let Ok(transfer) = self.peer.fetch(Value::draw(u, &bump)?, Resume { held, ..resume }) {
                    if !self.is_garbled {
                        self.linked.fetches(transfer);
                    }
                    let size = u.int_in_range(resume.offset..=4000)?;
                    self.fetched.push(Served { transfer, size, at: resume.offset, has_head: false });
                }
            }
            3 => {
                let path = SafeRelPathRef::draw(u, &bump)?.to_owned();
                let asked = self.peer.list(&path, Value::draw(u, &bump)?, Value::draw(u, &bump)?);
                if let Ok(request) = asked
                    && !self.is_garbled
                {
                    self.linked.lists(request);
                }
            }
            4 => {
                let said = self.peer.say(&chatproto::wire::TextRef::draw(u, &bump)?.to_owned());
                if let Ok(counter) = said
                    && !self.is_garbled
                {
                    self.linked.says(counter);
                }
            }
            5 => {
                let at = usize::from(u.arbitrary::<u8>()?);
                if let Some(file) = self.fetched.get(at % self.fetched.len().max(1)) {
                    self.cancel(file.transfer, Value::draw(u, &bump)?);
                }
            }
            6 => self.cancel(TransferId(self.next_transfer), Value::draw(u, &bump)?),
            // Also of files that nobody wants.
            7 => self.give(Value::draw(u, &bump)?, u)?,
            8 => self.finish(Value::draw(u, &bump)?, Ok(())),
            _ if u.ratio(1, 8)? => self.peer.close(CloseReason::Done, self.now),
            _ => {}
        }
        Ok(())
    }

    fn cancel(&mut self, transfer: TransferId, code: ErrorCode) {
        let is_open = self.linked.is_transfer(transfer);
        let is_cancelled = self.peer.cancel(transfer, code).is_ok();
        assert!(self.is_garbled || is_open == is_cancelled, "{transfer:?} is open: {is_open}");
        if is_cancelled {
            self.end(transfer);
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            0 => self.peer.handle_eof(self.now),
            1 if u.ratio(1, 4)? => {
                self.is_garbled = true;
                self.peer.handle_input(u.arbitrary()?, self.now);
            }
            1 => {}
            2 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=40_000)?);
                self.peer.handle_timeout(self.now);
            }
            3..=8 => self.answer(u)?,
            9..=14 => self.serve(u)?,
            15..=17 => {
                let count = u.int_in_range(0..=5000)?;
                self.take(count);
            }
            18..=19 => self.store(u)?,
            20..=22 => self.call(u)?,
            _ => self.frame(u)?,
        }
        Ok(())
    }

    fn check(&mut self) {
        assert_eq!(self.peer.poll_timeout(), self.peer.poll_timeout());
        assert_eq!(self.peer.wants_read(), self.peer.wants_read());
        let len = self.peer.outgoing().len();
        assert!(len <= MAX_QUEUE, "{len} bytes wait");
    }
}

/// A folder of up to six entries, one more than is served.
fn items(u: &mut Unstructured<'_>) -> Result<Vec<Item>> {
    (0..u.int_in_range(0..=6)?)
        .map(|at: usize| {
            let kind = if u.ratio(1, 4)? { EntryKind::Folder } else { EntryKind::File };
            let name = SafeName::new(["a", "b", "c", "d", "e", "f"][at]).expect("a legal name");
            let size = u.int_in_range(0..=5000)?;
            let content = u.arbitrary::<bool>()?.then(|| Bytes::from(vec![7; size as usize]));
            let root = u.arbitrary::<bool>()?.then_some(Hash([5; 32]));
            Ok(Item { kind, name, size, mtime: 0, root, content })
        })
        .collect()
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let now = Instant::from_millis(1);
    let dials = u.arbitrary().unwrap_or_default();
    let peer = if dials {
        let introduction = Introduction {
            offer: OfferId(7),
            ticket: LinkTicket([3; 32]),
            purpose: Purpose::Files,
            peer: name("bob"),
            device: DeviceId([1; 16]),
        };
        Peer::dial(config(), introduction, now)
    } else {
        Peer::listen(config(), now)
    };
    let mut world = World {
        peer,
        sent: Sent::new(|raw| ToPeer::decode(raw).map(|frame| frame.is_some())),
        now,
        fetched: Vec::new(),
        unstored: Vec::new(),
        // Odd from the end that dialled.
        next_transfer: if dials { 0 } else { 1 },
        linked: Linked::new(Most { transfers: 3, lists: 2, units_wanted: 2 }),
        is_garbled: false,
        closed: false,
    };
    while !u.is_empty() && world.step(&mut u).is_ok() {
        world.check();
    }
    // However it ended, the program learns of the end exactly once, as the last event.
    let mut rest = Unstructured::new(&[]);
    world.peer.handle_eof(world.now);
    assert_eq!(world.peer.state(), State::Closed);
    let _ = world.answer(&mut rest);
    while let Some(event) = world.peer.poll_event() {
        assert!(!world.closed, "{event:?} after the end");
        world.closed |= matches!(event, Event::Closed { .. });
    }
    assert!(world.closed);
});
