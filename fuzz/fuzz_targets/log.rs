//! A hub over a log that answers in any order, with any outcome, and sometimes with nonsense. Beside it a model of the
//! rooms: every client must see exactly that, numbers one after the other but for what it was told to be gone.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use bytes::{Buf, Bytes};
use chatproto::Instant;
use chatproto::conn::FrameReader;
use chatproto::hub::{
    Accept, AppendId, Config, ConnId, Event, Hub, LogRequest, OrderId, Ordered, QueryId, Record, Stored,
};
use chatproto::wire::{
    Anchor, Body, Capabilities, ClientHello, DeviceId, FrameType, History, Join, Leave, LoginStart, MAGIC,
    MAX_FRAME, Name, NameRef, NoteRef, RequestId, RoomId, Say, ServerId, Target, Text, TextRef, ToClient,
};
use libfuzzer_sys::fuzz_target;

/// Connections alive at once, each with a device of its own.
const MAX_CONNS: usize = 4;

const ROOMS: [&str; 2] = ["lobby", "tea"];

/// The number of the first.
const LOBBY: RoomId = RoomId(1);

/// Bounds small enough to be met.
fn config() -> Config {
    let note = |text| NoteRef::new(text).expect("a legal note").to_owned();
    let mut config = Config::new(ServerId([9; 16]), note("fuzz"), note("any"), name("lobby"));
    config.limits.max_queue = 2 * 1024;
    config.limits.max_queue_hard = 64 * 1024;
    config.max_appends = 6;
    config.max_requests = 2;
    config.page_messages = 3;
    config.page_bytes = 512;
    config.recent_bytes = 256;
    config
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a legal name")
}

/// What the hub asked and nobody has answered.
enum Asked {
    Room { id: OrderId, room: RoomId },
    Append { id: AppendId, record: Record },
    Recall { id: AppendId },
    Page { id: QueryId, room: RoomId, after: u64, limit: u16 },
}

/// What one client was told.
struct Client {
    reader: FrameReader,
    cursors: BTreeMap<RoomId, u64>,
    said: usize,
    answered: usize,
}

#[derive(Default)]
struct Model {
    records: BTreeMap<(RoomId, u64), Record>,
    last: BTreeMap<RoomId, u64>,
    /// What retention has removed.
    gone: BTreeSet<(RoomId, u64)>,
}

impl Model {
    fn kept(&self, room: RoomId, after: u64) -> impl Iterator<Item = &Record> {
        let above = self.records.range((room, after.saturating_add(1))..(room, u64::MAX));
        above.filter(|(key, _)| !self.gone.contains(key)).map(|(_, record)| record)
    }
}

impl Client {
    fn read(&mut self, mut bytes: &[u8], model: &Model) {
        loop {
            let step = self.reader.step(bytes).expect("a hub sends legal headers");
            let used = step.used;
            let Some(raw) = step.frame else { return };
            let frame = ToClient::decode(raw).expect("a hub sends legal frames").expect("and known ones");
            match frame {
                ToClient::Joined(joined) => {
                    assert!(joined.cursor <= joined.last);
                    self.cursors.insert(joined.room, joined.cursor);
                }
                ToClient::Left(left) => {
                    assert!(self.cursors.remove(&left.room).is_some(), "out of a room that one is in");
                }
                ToClient::Messages(messages) => {
                    for message in messages.iter() {
                        let cursor =
                            self.cursors.get_mut(&message.room).expect("a message of a room one is in");
                        assert_eq!(message.seq, *cursor + 1, "no gap, and nothing twice");
                        *cursor = message.seq;
                        let record = &model.records[&(message.room, message.seq)];
                        let was = (record.from.as_str(), record.device, record.counter, record.text.as_str());
                        let is =
                            (message.from.as_str(), message.device, message.counter, message.text.as_str());
                        assert_eq!(is, was);
                    }
                }
                ToClient::Gap(gap) => {
                    let cursor = self.cursors.get_mut(&gap.room).expect("a gap in a room that one is in");
                    assert_eq!(gap.from, *cursor + 1);
                    assert!((gap.from..=gap.to).all(|seq| model.gone.contains(&(gap.room, seq))), "{gap:?}");
                    *cursor = gap.to;
                }
                ToClient::CaughtUp(met) => assert_eq!(self.cursors.get(&met.room), Some(&met.seq)),
                ToClient::Posted(_) => self.answered += 1,
                ToClient::Error(error) if error.about == FrameType::Say.number() => self.answered += 1,
                _ => {}
            }
            assert!(self.answered <= self.said, "no say is answered twice");
            bytes = &bytes[used..];
        }
    }
}

struct World {
    hub: Hub,
    clients: BTreeMap<ConnId, Client>,
    asked: Vec<Asked>,
    /// Rooms that the log would not have: nothing is stored there.
    refused: BTreeSet<RoomId>,
    model: Model,
    counter: u64,
    now: Instant,
}

impl World {
    fn connect(&mut self) {
        if self.clients.len() >= MAX_CONNS {
            return;
        }
        let id = self.hub.accept(([10, 0, 0, 1], 1).into(), self.now);
        let hello = ClientHello {
            magic: MAGIC,
            version_min: 1,
            version_max: 1,
            capabilities: Capabilities::NONE,
            max_frame: MAX_FRAME,
            agent: NoteRef::EMPTY,
        };
        let start = LoginStart {
            user: NameRef::new("alice").expect("a legal name"),
            device: DeviceId([u8::try_from(id.0).unwrap_or(0); 16]),
            mechanism: NoteRef::new("any").expect("a legal note"),
            data: chatproto::wire::Blob::default(),
        };
        self.hub.handle_input(id, &hello.to_bytes(), self.now);
        self.hub.handle_input(id, &start.to_bytes(), self.now);
        let client =
            Client { reader: FrameReader::new(MAX_FRAME), cursors: BTreeMap::new(), said: 0, answered: 0 };
        self.clients.insert(id, client);
        self.take_events();
    }

    fn take_events(&mut self) {
        while let Some(event) = self.hub.poll_event() {
            match event {
                Event::LoginStarted { conn, user, .. } => {
                    let accept = Accept {
                        user,
                        is_admin: false,
                        ticket: Bytes::new(),
                        ticket_lifetime: core::time::Duration::ZERO,
                        data: Bytes::new(),
                    };
                    self.hub.login_accept(conn, &accept);
                }
                Event::Log(LogRequest::RoomCreated { id, room, .. }) => {
                    self.asked.push(Asked::Room { id, room })
                }
                Event::Log(LogRequest::Append { id, room, from, device, counter, text }) => {
                    let record = Record { room, seq: 0, time: 0, from, device, counter, text };
                    self.asked.push(Asked::Append { id, record });
                }
                Event::Log(LogRequest::Recall { id, .. }) => self.asked.push(Asked::Recall { id }),
                Event::Log(LogRequest::Read { id, room, after, limit }) => {
                    self.asked.push(Asked::Page { id, room, after, limit });
                }
                Event::Log(LogRequest::History { id, room, seq, limit, .. }) => {
                    self.asked.push(Asked::Page { id, room, after: seq, limit });
                }
                _ => {}
            }
        }
    }

    /// Answers something that was asked, in any order. `false` when the hub has noticed that the log is wrong: a program
    /// stops then.
    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<bool> {
        if self.asked.is_empty() {
            return Ok(true);
        }
        let at = usize::from(u.arbitrary::<u8>()?) % self.asked.len();
        match self.asked.remove(at) {
            Asked::Room { id, room } => {
                let outcome = match u.int_in_range(0..=7)? {
                    0 => Ordered::Busy,
                    1 => Ordered::Failed,
                    _ => Ordered::Stored,
                };
                // The default room stays, and is asked for again.
                if outcome != Ordered::Stored && room != LOBBY {
                    self.refused.insert(room);
                }
                assert!(self.hub.ordered(id, outcome));
                assert_eq!(self.hub.router().info(room).is_none(), self.refused.contains(&room));
                Ok(true)
            }
            Asked::Append { id, record } => self.answer_append(id, record, u),
            Asked::Recall { id } => {
                let outcome = self.outcome(u)?;
                let is_wrong = matches!(outcome, Stored::Committed { .. });
                assert_eq!(self.hub.stored(id, outcome), !is_wrong);
                Ok(!is_wrong)
            }
            Asked::Page { id, room, after, limit } => {
                let limit = usize::from(u.int_in_range(0..=limit)?).max(1);
                let records: Vec<Record> = self.model.kept(room, after).take(limit).cloned().collect();
                assert!(self.hub.records(id, (!u.ratio(1, 32)?).then_some(&records)));
                Ok(true)
            }
        }
    }

    fn answer_append(&mut self, id: AppendId, record: Record, u: &mut Unstructured<'_>) -> Result<bool> {
        let room = record.room;
        if self.refused.contains(&room) {
            assert!(self.hub.stored(id, Stored::Failed));
            return Ok(true);
        }
        let next = self.model.last.get(&room).map_or(1, |last| last + 1);
        let outcome =
            if u.ratio(3, 4)? { Stored::Committed { seq: next, time: 1 } } else { self.outcome(u)? };
        let is_wrong = match outcome {
            Stored::Committed { seq, .. } => seq != next,
            Stored::Absent => true,
            Stored::Duplicate { .. } | Stored::Forgotten | Stored::Busy | Stored::Failed => false,
        };
        if let (Stored::Committed { .. }, false) = (outcome, is_wrong) {
            self.model.last.insert(room, next);
            self.model.records.insert((room, next), Record { seq: next, time: 1, ..record });
        }
        assert_eq!(self.hub.stored(id, outcome), !is_wrong, "{outcome:?}, and {next} is next");
        Ok(!is_wrong)
    }

    fn outcome(&self, u: &mut Unstructured<'_>) -> Result<Stored> {
        let (room, seq) = (RoomId(u.int_in_range(1..=3)?), u.int_in_range(0..=20)?);
        Ok(match u.int_in_range(0..=15)? {
            0 => Stored::Committed { seq, time: 2 },
            1..=5 => Stored::Duplicate { room, seq, time: 2 },
            6..=9 => Stored::Forgotten,
            10 => Stored::Absent,
            11 => Stored::Busy,
            _ => Stored::Failed,
        })
    }

    fn send<'a>(&mut self, id: ConnId, frame: &impl Body<'a>) {
        self.hub.handle_input(id, &frame.to_bytes(), self.now);
        self.take_events();
    }

    fn client(&mut self, id: ConnId, u: &mut Unstructured<'_>) -> Result<()> {
        let room = name(ROOMS[usize::from(u.arbitrary::<bool>()?)]);
        let target = Target::Room(room.borrow());
        match u.int_in_range(0..=11)? {
            0..=2 => {
                let cursor = u.arbitrary::<Option<u8>>()?.map(u64::from);
                self.send(id, &Join { request: RequestId(1), target, cursor });
            }
            3 => self.send(id, &Leave { room: RoomId(u.int_in_range(1..=2)?) }),
            4 => {
                let seq = u.int_in_range(0..=20)?;
                let anchor = Anchor::After;
                self.send(id, &History { request: RequestId(2), target, anchor, seq, limit: 5 });
            }
            _ => {
                self.counter += 1;
                let text = Text::new(&format!("{} {}", self.counter, "x".repeat(u.int_in_range(0..=300)?)));
                let text = text.expect("a legal text");
                let counter = self.counter;
                if let Some(client) = self.clients.get_mut(&id) {
                    client.said += 1;
                }
                let text: TextRef<'_> = text.borrow();
                self.send(id, &Say { counter, target, text });
            }
        }
        Ok(())
    }

    fn drain(&mut self, id: ConnId, mut count: usize) {
        while count > 0 {
            let Some(queue) = self.hub.outgoing(id) else { return };
            let len = queue.chunk().len().min(count);
            if len == 0 {
                break;
            }
            let bytes = queue.copy_to_bytes(len);
            count -= len;
            if let Some(client) = self.clients.get_mut(&id) {
                client.read(&bytes, &self.model);
            }
        }
        self.take_events();
        if self.hub.is_finished(id) {
            self.hang_up(id);
        }
    }

    fn hang_up(&mut self, id: ConnId) {
        self.hub.handle_eof(id, self.now);
        self.clients.remove(&id);
        self.take_events();
    }

    /// Retention removes the beginning of a room, or a hole appears that a restart of a log in memory leaves.
    fn forget(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let room = RoomId(u.int_in_range(1..=2)?);
        let first = u.int_in_range(1..=10)?;
        let last = self.model.last.get(&room).copied().unwrap_or(0).min(first + u.int_in_range(0..=10)?);
        self.model.gone.extend((first..=last).map(|seq| (room, seq)));
        Ok(())
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<bool> {
        let op = u.int_in_range(0..=31)?;
        let picked = usize::from(u.arbitrary::<u8>()?) % self.clients.len().max(1);
        let Some(id) = self.clients.keys().nth(picked).copied() else {
            self.connect();
            return Ok(true);
        };
        match op {
            0..=1 => self.connect(),
            2 => self.hang_up(id),
            3 => {
                assert!(!self.hub.stored(AppendId(u64::MAX), Stored::Forgotten));
                assert!(!self.hub.records(QueryId(u64::MAX), None));
            }
            4 => self.forget(u)?,
            5..=14 => return self.answer(u),
            15..=20 => self.drain(id, u.int_in_range(0..=2000)?),
            _ => self.client(id, u)?,
        }
        Ok(true)
    }

    /// The log answers everything as it should, and everybody reads: then all know all.
    fn come_to_rest(&mut self) {
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < MAX_ROUNDS, "the hub asks without end");
            let everybody: Vec<ConnId> = self.clients.keys().copied().collect();
            everybody.iter().for_each(|id| self.drain(*id, usize::MAX));
            let asked = core::mem::take(&mut self.asked);
            if asked.is_empty() && rounds > 2 {
                break;
            }
            for asked in asked {
                let right = match asked {
                    Asked::Room { id, .. } => self.hub.ordered(id, Ordered::Stored),
                    Asked::Append { id, .. } => self.hub.stored(id, Stored::Failed),
                    Asked::Recall { id } => self.hub.stored(id, Stored::Absent),
                    Asked::Page { id, room, after, limit } => {
                        let kept = self.model.kept(room, after);
                        let records: Vec<Record> = kept.take(limit.into()).cloned().collect();
                        self.hub.records(id, Some(&records))
                    }
                };
                assert!(right);
            }
            self.take_events();
        }
        for client in self.clients.values() {
            assert_eq!(client.said, client.answered, "every say is answered");
            for (room, cursor) in &client.cursors {
                assert_eq!(*cursor, self.model.last.get(room).copied().unwrap_or(0), "room {room:?}");
            }
        }
    }
}

/// Far more than a few rooms of a few messages need.
const MAX_ROUNDS: usize = 10_000;

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let hub = Hub::new(config(), [], |bytes: &mut [u8]| bytes.fill(3));
    let mut world = World {
        hub,
        clients: BTreeMap::new(),
        asked: Vec::new(),
        refused: BTreeSet::new(),
        model: Model::default(),
        counter: 0,
        now: Instant::from_millis(1),
    };
    world.take_events();
    while !u.is_empty() {
        match world.step(&mut u) {
            Ok(true) => {}
            // The hub has said that the log cannot be trusted.
            Ok(false) => return,
            Err(_) => break,
        }
    }
    world.come_to_rest();
});
