//! One turn of a room: a message is committed, goes to every member, and the queues are drained as sockets would.
//!
//! The floor copies the same bytes into one buffer for each member, and reads them out again: what nobody who has N
//! sockets can avoid. Both are given per delivery, so that 10, 100 and 1,000 members can be compared. A turn of 16
//! messages shows what collecting a turn into one batch is worth.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench that cannot start may panic"
)]

use std::hint::black_box;

use bytes::{Buf as _, Bytes};
use chatproto::Instant;
use chatproto::hub::{Accept, Config, ConnId, Event, Hub, LogRequest, Stored};
use chatproto::testing::Rng;
use chatproto::wire::{
    Blob, Body, Capabilities, ClientHello, DeviceId, FrameWriter, Join, LoginStart, MAGIC, MAX_FRAME,
    Message, Name, Note, NoteRef, RequestId, RoomId, Say, ServerId, Target, TextRef, VERSION,
};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

const MEMBERS: [usize; 3] = [10, 100, 1_000];

/// Messages of one turn.
const TURNS: [u64; 2] = [1, 16];

/// Bytes of text in each message.
const TEXT: usize = 64;

/// A hub with one room that everybody is in.
struct Room {
    hub: Hub,
    members: Vec<ConnId>,
    now: Instant,
    counter: u64,
    seq: u64,
    text: String,
}

impl Room {
    fn new(members: usize) -> Self {
        let note = |text| Note::new(text).expect("a legal note");
        let lobby = Name::new("lobby").expect("a legal name");
        let mut config = Config::new(ServerId([7; 16]), note("bench"), note("none"), lobby);
        config.max_strangers = members + 1;
        config.max_strangers_per_address = members + 1;
        config.limits.max_frames = u32::MAX;
        let hub = Hub::new(config, [], Rng::new(1));
        let mut room = Self {
            hub,
            members: Vec::new(),
            now: Instant::default(),
            counter: 0,
            seq: 0,
            text: "x".repeat(TEXT),
        };
        room.members = (0..members).map(|at| room.enter(at)).collect();
        room.drain();
        room
    }

    fn enter(&mut self, at: usize) -> ConnId {
        let conn = self.hub.accept(([192, 0, 2, 1], 4000).into(), self.now);
        let user = Name::new(&format!("member{at}")).expect("a legal name");
        let agent = NoteRef::EMPTY;
        let (version_min, version_max, max_frame) = (VERSION, VERSION, MAX_FRAME);
        let capabilities = Capabilities::NONE;
        let hello = ClientHello { magic: MAGIC, version_min, version_max, capabilities, max_frame, agent };
        self.hub.handle_input(conn, &hello.to_bytes(), self.now);
        let mechanism = NoteRef::new("none").expect("a legal note");
        let device = DeviceId([1; 16]);
        let start = LoginStart { user: user.borrow(), device, mechanism, data: Blob::default() };
        self.hub.handle_input(conn, &start.to_bytes(), self.now);
        let accept = Accept {
            user,
            is_admin: false,
            ticket: Bytes::new(),
            ticket_lifetime: Default::default(),
            data: Bytes::new(),
        };
        assert!(self.hub.login_accept(conn, &accept));
        let lobby = Name::new("lobby").expect("a legal name");
        let join = Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: None };
        self.hub.handle_input(conn, &join.to_bytes(), self.now);
        conn
    }

    /// `messages` are said by the first member, stored at once, and sent to everybody.
    fn turn(&mut self, messages: u64) -> usize {
        let text = TextRef::new(&self.text).expect("a legal text");
        for _ in 0..messages {
            self.counter += 1;
            let say = Say { counter: self.counter, target: Target::Id(RoomId(1)), text };
            self.hub.handle_input(self.members[0], &say.to_bytes(), self.now);
        }
        self.drain()
    }

    /// What a driver does with the turn: answers the log, then takes the bytes of every queue that has some.
    fn drain(&mut self) -> usize {
        let mut ids = Vec::new();
        while let Some(event) = self.hub.poll_event() {
            if let Event::Log(LogRequest::Append { id, .. }) = event {
                ids.push(id);
            }
        }
        for id in ids {
            self.seq += 1;
            assert!(self.hub.stored(id, Stored::Committed { seq: self.seq, time: 1 }));
        }
        let mut bytes = 0;
        while let Some(conn) = self.hub.poll_writable() {
            let Some(queue) = self.hub.outgoing(conn) else { continue };
            while queue.has_remaining() {
                let len = black_box(queue.chunk()).len();
                queue.advance(len);
                bytes += len;
            }
        }
        bytes
    }
}

/// One buffer for each member.
struct Floor {
    batch: Bytes,
    buffers: Vec<Vec<u8>>,
}

impl Floor {
    fn new(members: usize, messages: u64) -> Self {
        let from = Name::new("member0").expect("a legal name");
        let text = "x".repeat(TEXT);
        let message = Message {
            room: RoomId(1),
            seq: 1,
            time: 1,
            flags: 0,
            device: DeviceId([1; 16]),
            counter: 1,
            from: from.borrow(),
            text: TextRef::new(&text).expect("a legal text"),
        };
        let mut batch = FrameWriter::default();
        (0..messages).for_each(|at| batch.message(&Message { seq: 1 + at, ..message }));
        Self { batch: batch.take(), buffers: vec![Vec::new(); members] }
    }

    fn turn(&mut self) -> usize {
        let mut bytes = 0;
        for buffer in &mut self.buffers {
            buffer.extend_from_slice(&self.batch);
        }
        for buffer in &mut self.buffers {
            bytes += black_box(buffer.as_slice()).len();
            buffer.clear();
        }
        bytes
    }
}

fn fan_out(criterion: &mut Criterion) {
    for messages in TURNS {
        let mut group = criterion.benchmark_group(format!("fan-out of {messages} messages in a turn"));
        for members in MEMBERS {
            let deliveries = u64::try_from(members).unwrap_or(u64::MAX) * messages;
            group.throughput(Throughput::Elements(deliveries));
            let mut room = Room::new(members);
            let mut floor = Floor::new(members, messages);
            // The same bytes, and the acknowledgements to the sender on top.
            assert!(room.turn(messages) >= floor.turn());
            group.bench_function(BenchmarkId::new("hub", members), |bencher| {
                bencher.iter(|| room.turn(messages));
            });
            group.bench_function(BenchmarkId::new("memcpy", members), |bencher| {
                bencher.iter(|| floor.turn());
            });
        }
        group.finish();
    }
}

criterion_group!(benches, fan_out);
criterion_main!(benches);
