//! One end of a direct link against an end that sends anything, with a program that answers in any way.
#![no_main]

use core::time::Duration;
use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use bytes::Bytes;
use chatproto::Instant;
use chatproto::peer::{Config, Event, FileInfo, Introduction, Item, Peer, Resume, State, UnitData};
use chatproto::wire::{
    Body, Capabilities, Capability, CloseReason, DeviceId, EntryKind, FileData, FileEnd, FileHead,
    FileRequest, FileUnit, Generation, Hash, LinkHello, LinkTicket, LinkWelcome, ListFolder, MAGIC,
    MAX_FRAME, Name, NameRef, NoteRef, OfferId, Purpose, RequestId, Rest, SafeName, SafeRelPathRef, Source,
    ToPeer, TransferId,
};
use chatproto_fuzz::{Sent, Value};
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
    /// Bytes of each file that came, to see that they come in order.
    received: BTreeMap<TransferId, u64>,
    /// Numbers that the other end has given to its transfers.
    next_transfer: u32,
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
        self.peer.handle_input(&out, self.now);
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
        self.peer.handle_input(&bytes, self.now);
        Ok(())
    }

    /// Any legal frame, cut in two anywhere.
    fn frame(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let mut bytes = Vec::new();
        ToPeer::draw(u, &bump)?.encode(&mut bytes);
        let cut = usize::from(u.arbitrary::<u8>()?).min(bytes.len());
        self.peer.handle_input(&bytes[..cut], self.now);
        self.peer.handle_input(&bytes[cut..], self.now);
        Ok(())
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..MAX_EVENTS_AT_ONCE {
            let Some(event) = self.peer.poll_event() else { return Ok(()) };
            assert!(!self.closed, "{event:?} after the end");
            self.on_event(event, u)?;
        }
        panic!("events without end");
    }

    fn on_event(&mut self, event: Event, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        match event {
            Event::Hello { .. } if u.ratio(1, 8)? => _ = self.peer.refuse(Value::draw(u, &bump)?, self.now),
            Event::Hello { .. } => _ = self.peer.admit(self.now),
            Event::ListWanted { id, .. } if u.ratio(1, 8)? => {
                _ = self.peer.refuse_list(id, Value::draw(u, &bump)?)
            }
            Event::ListWanted { id, .. } => _ = self.peer.provide_list(id, items(u)?),
            Event::FileWanted { transfer, .. } => match u.int_in_range(0..=7)? {
                0 => _ = self.peer.refuse_file(transfer, Value::draw(u, &bump)?),
                1 => _ = self.peer.queue_file(transfer, 1),
                _ => {
                    let file = FileInfo { size: u.int_in_range(0..=5000)?, mtime: 0, root: None };
                    _ = self.peer.send_file(transfer, file);
                }
            },
            Event::UnitWanted { transfer, unit, len, .. } => {
                assert!((1..=1 << 20).contains(&len));
                let root = u.arbitrary::<bool>()?.then_some(Hash([5; 32]));
                let bytes = Bytes::from(vec![unit as u8; len as usize]);
                let data = UnitData { unit, bytes, value: Hash([4; 32]), root };
                _ = self.peer.provide_unit(transfer, data);
            }
            Event::FileStarted { transfer, offset, .. } => _ = self.received.insert(transfer, offset),
            Event::FileData { transfer, offset, data } => {
                let end = self.received.get_mut(&transfer).expect("a file that has started");
                assert_eq!(*end, offset, "bytes come in order");
                assert!(!data.is_empty());
                *end += data.len() as u64;
            }
            Event::FileUnit { transfer, unit, value } => self.unstored.push((transfer, unit, value)),
            Event::FileComplete { transfer, size, .. } => {
                assert_eq!(self.received.get(&transfer), Some(&size), "all bytes came");
                assert!(self.unstored.iter().all(|(other, ..)| *other != transfer), "all units were stored");
                let outcome = if u.arbitrary()? { Ok(()) } else { Err(Value::draw(u, &bump)?) };
                // Refused only if the transfer has ended since.
                _ = self.peer.finish_file(transfer, outcome);
                assert!(self.peer.finish_file(transfer, Ok(())).is_err(), "a file is finished once");
            }
            Event::Closed { .. } => self.closed = true,
            _ => {}
        }
        Ok(())
    }

    fn store(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if let Some((transfer, unit, value)) = self.unstored.pop() {
            let computed = if u.ratio(1, 16)? { Hash([0xee; 32]) } else { value };
            _ = self.peer.unit_stored(transfer, unit, computed);
        }
        Ok(())
    }

    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        match u.int_in_range(0..=7)? {
            0..=2 => {
                let resume =
                    Resume { unit_log2: 10, offset: 1024 * u.int_in_range::<u64>(0..=2)?, held: None };
                let held = (resume.offset > 0).then_some(Hash([6; 32]));
                if let Ok(transfer) = self.peer.fetch(Value::draw(u, &bump)?, Resume { held, ..resume }) {
                    let size = u.int_in_range(resume.offset..=4000)?;
                    self.fetched.push(Served { transfer, size, at: resume.offset, has_head: false });
                }
            }
            3 => {
                let path = SafeRelPathRef::draw(u, &bump)?.to_owned();
                _ = self.peer.list(&path, Value::draw(u, &bump)?, Value::draw(u, &bump)?);
            }
            4 => _ = self.peer.say(&chatproto::wire::TextRef::draw(u, &bump)?.to_owned()),
            5 => {
                let at = usize::from(u.arbitrary::<u8>()?);
                if let Some(file) = self.fetched.get(at % self.fetched.len().max(1)) {
                    self.cancel(file.transfer, Value::draw(u, &bump)?);
                }
            }
            6 => self.cancel(TransferId(self.next_transfer), Value::draw(u, &bump)?),
            _ if u.ratio(1, 8)? => self.peer.close(CloseReason::Done, self.now),
            _ => {}
        }
        Ok(())
    }

    fn cancel(&mut self, transfer: TransferId, code: chatproto::wire::ErrorCode) {
        if self.peer.cancel(transfer, code).is_ok() {
            self.unstored.retain(|(other, ..)| *other != transfer);
            self.received.remove(&transfer);
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            0 => self.peer.handle_eof(self.now),
            1 => self.peer.handle_input(u.arbitrary()?, self.now),
            2 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=40_000)?);
                self.peer.handle_timeout(self.now);
            }
            3..=8 => self.answer(u)?,
            9..=14 => self.serve(u)?,
            15..=17 => {
                let count = u.int_in_range(0..=5000)?;
                self.sent.take(self.peer.outgoing(), count);
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
        received: BTreeMap::new(),
        // Odd from the end that dialled.
        next_transfer: if dials { 0 } else { 1 },
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
