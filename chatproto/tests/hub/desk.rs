//! A hub on the test's desk: connections are byte queues, the log is in memory, time passes when the test says so.

use core::time::Duration;

use bytes::{Buf as _, Bytes};
use chatproto::Instant;
use chatproto::conn::FrameReader;
use chatproto::hub::{Accept, Budgets, Config, ConnId, Event, Hub, RoomRecord};
use chatproto::testing::{MemoryLog, Rng};
use chatproto::wire::*;

/// How long the log takes to make something durable.
pub const COMMIT: u64 = 10;

pub struct Desk {
    pub hub: Hub,
    pub log: MemoryLog,
    pub now: Instant,
    /// What the hub told, without what the log was asked.
    pub events: Vec<Event>,
    next_port: u16,
}

impl Desk {
    pub fn new() -> Self {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::over(MemoryLog::new(Duration::from_millis(COMMIT)), change)
    }

    /// A hub that starts over a log that exists.
    pub fn over(log: MemoryLog, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::new(ServerId([7; 16]), note("test"), note("none other"), name("lobby"));
        config.capabilities = Capabilities::NONE.with(Capability::Search);
        // Tests hurry; those about budgets say which.
        config.budgets = Budgets::unlimited();
        config.last_room = log.last_room();
        change(&mut config);
        let rooms: Vec<RoomRecord> = log.rooms().collect();
        let mut hub = Hub::new(config, rooms, Rng::new(1));
        hub.set_gate(log.gate().clone());
        Self { hub, log, now: Instant::from_millis(1), events: Vec::new(), next_port: 1000 }
    }

    /// The process dies and starts again: only what was committed is there.
    pub fn restart(mut self) -> Self {
        self.log.crash();
        let now = self.now;
        let capabilities = self.hub.config().capabilities;
        Self { now, ..Self::over(self.log, |config| config.capabilities = capabilities) }
    }

    pub fn connect(&mut self, ip: &str) -> ConnId {
        self.next_port += 1;
        let addr = core::net::SocketAddr::new(ip.parse().unwrap(), self.next_port);
        self.hub.accept(addr, self.now)
    }

    /// In plaintext, where others come with TLS.
    pub fn connect_aside(&mut self, ip: &str) -> ConnId {
        self.next_port += 1;
        let addr = core::net::SocketAddr::new(ip.parse().unwrap(), self.next_port);
        self.hub.accept_side(addr, self.now)
    }

    pub fn send<'a>(&mut self, conn: ConnId, frame: &impl Body<'a>) {
        self.hub.handle_input(conn, &frame.to_bytes(), self.now);
        self.settle();
    }

    /// Lets the program of the hub take its events; commits wait for time to pass.
    pub fn settle(&mut self) {
        loop {
            while let Some(event) = self.hub.poll_event() {
                self.events.extend(self.log.take(event, self.now));
            }
            if !self.log.answer(&mut self.hub, self.now) {
                return;
            }
        }
    }

    pub fn pass(&mut self, millis: u64) {
        self.now = self.now + Duration::from_millis(millis);
        self.hub.handle_timeout(self.now);
        self.settle();
    }

    /// Waits until everything said so far is durable.
    pub fn commit(&mut self) {
        self.settle();
        // What was said while a batch was being written is in the next one.
        self.pass(COMMIT);
        self.pass(COMMIT);
    }

    /// Takes and decodes everything that waits for a connection, until nothing more comes.
    pub fn frames(&mut self, conn: ConnId) -> Vec<ToClient<'static>> {
        let mut frames = Vec::new();
        loop {
            self.settle();
            let Some(queue) = self.hub.outgoing(conn) else { return frames };
            let bytes = queue.copy_to_bytes(queue.remaining());
            if bytes.is_empty() {
                return frames;
            }
            frames.extend(decode(bytes));
        }
    }

    /// Everything that waits for a connection, thrown away.
    pub fn skip(&mut self, conn: ConnId) {
        self.frames(conn);
    }

    pub fn take_events(&mut self) -> Vec<Event> {
        self.settle();
        core::mem::take(&mut self.events)
    }

    pub fn hello(&mut self, conn: ConnId) {
        self.send(conn, &client_hello());
    }

    pub fn start_login(&mut self, conn: ConnId, user: &str, device: u8) {
        let (user, mechanism) = (name(user), note("none"));
        self.send(
            conn,
            &LoginStart {
                user: user.borrow(),
                device: DeviceId([device; 16]),
                mechanism: mechanism.borrow(),
                data: Blob::new(b"start").unwrap(),
            },
        );
    }

    pub fn login(&mut self, user: &str, device: u8) -> ConnId {
        self.login_from("192.0.2.1", user, device)
    }

    pub fn login_from(&mut self, ip: &str, user: &str, device: u8) -> ConnId {
        let conn = self.connect(ip);
        self.hello(conn);
        self.start_login(conn, user, device);
        assert!(self.hub.login_accept(conn, &accept(user)));
        self.skip(conn);
        conn
    }

    /// Logged in and in the lobby.
    pub fn member(&mut self, user: &str, device: u8) -> ConnId {
        let conn = self.login(user, device);
        self.join(conn, "lobby", None);
        self.skip(conn);
        conn
    }

    pub fn join(&mut self, conn: ConnId, room: &str, cursor: Option<u64>) {
        let room = name(room);
        let target = Target::Room(room.borrow());
        self.send(conn, &Join { request: RequestId(1), target, cursor });
    }

    pub fn say(&mut self, conn: ConnId, counter: u64, room: &str, text: &str) {
        let (room, text) = (name(room), Text::new(text).unwrap());
        self.send(conn, &Say { counter, target: Target::Room(room.borrow()), text: text.borrow() });
    }

    pub fn say_to(&mut self, conn: ConnId, counter: u64, user: &str, text: &str) {
        let (user, text) = (name(user), Text::new(text).unwrap());
        self.send(conn, &Say { counter, target: Target::User(user.borrow()), text: text.borrow() });
    }

    /// `count` messages of `len` bytes in the lobby, committed.
    pub fn fill(&mut self, conn: ConnId, from: u64, count: u64, len: usize) {
        for counter in from..from + count {
            self.say(conn, counter, "lobby", &"x".repeat(len));
            // Not more on their way than a connection may have.
            if counter % 16 == 0 {
                self.pass(COMMIT);
            }
        }
        self.commit();
    }
}

/// Frames that outlive the test's buffers; a test's memory is given back at its end.
pub fn decode(bytes: Bytes) -> Vec<ToClient<'static>> {
    let bytes: &'static [u8] = Box::leak(bytes.to_vec().into_boxed_slice());
    let mut reader = FrameReader::new(u32::MAX);
    let mut rest = bytes;
    let mut frames = Vec::new();
    while let Some(raw) = reader.step(rest).unwrap().frame {
        let (body, tail) = rest[HEADER_LEN..].split_at(raw.body.len());
        let raw = RawFrame { number: raw.number, body };
        frames.push(ToClient::decode(raw).unwrap().expect("the hub sends known frames"));
        rest = tail;
    }
    assert!(rest.is_empty(), "the hub sends whole frames");
    frames
}

/// What a client of today can do; a desk decides what of it counts.
pub fn all_capabilities() -> Capabilities {
    [Capability::Search, Capability::Probe, Capability::Relay, Capability::Ways]
        .into_iter()
        .fold(Capabilities::NONE, Capabilities::with)
}

pub fn client_hello() -> ClientHello<'static> {
    ClientHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: all_capabilities(),
        max_frame: MAX_FRAME,
        agent: NoteRef::EMPTY,
    }
}

pub fn accept(user: &str) -> Accept {
    Accept {
        user: name(user),
        is_admin: user == "root",
        ticket: Bytes::from_static(b"ticket"),
        ticket_lifetime: Duration::from_secs(60),
        data: Bytes::from_static(b"done"),
    }
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

pub fn note(text: &str) -> Note {
    Note::new(text).unwrap()
}

/// Number, text and whether it was marked as missed, of every message among the frames.
pub fn messages(frames: &[ToClient<'static>]) -> Vec<(u64, &'static str, bool)> {
    let show = |it: Message<'static>| (it.seq, it.text.as_str(), it.flags & MESSAGE_MISSED != 0);
    together(frames).into_iter().flatten().map(show).collect()
}

/// The messages among the frames, frame by frame.
pub fn together(frames: &[ToClient<'static>]) -> Vec<Vec<Message<'static>>> {
    let messages = |frame: &ToClient<'static>| match frame {
        ToClient::Messages(messages) => Some(messages.iter().collect()),
        _ => None,
    };
    frames.iter().filter_map(messages).collect()
}

pub fn seqs(frames: &[ToClient<'static>]) -> Vec<u64> {
    messages(frames).into_iter().map(|(seq, ..)| seq).collect()
}

pub fn errors(frames: &[ToClient<'static>]) -> Vec<(ErrorCode, u64, &'static str)> {
    let error = |frame: &ToClient<'static>| match frame {
        ToClient::Error(error) => Some((error.code, error.request, error.note.as_str())),
        _ => None,
    };
    frames.iter().filter_map(error).collect()
}

pub fn bye(frames: &[ToClient<'static>]) -> Option<CloseReason> {
    match frames.last() {
        Some(ToClient::Bye(bye)) => Some(bye.reason),
        _ => None,
    }
}

pub fn presence(frames: &[ToClient<'static>]) -> Vec<(Change, &'static str)> {
    let change = |frame: &ToClient<'static>| match frame {
        ToClient::Presence(it) => Some((it.change, it.user.as_str())),
        _ => None,
    };
    frames.iter().filter_map(change).collect()
}

pub fn joined(frames: &[ToClient<'static>]) -> Joined<'static> {
    let joined = |frame: &ToClient<'static>| match frame {
        ToClient::Joined(joined) => Some(*joined),
        _ => None,
    };
    frames.iter().find_map(joined).expect("a `joined` came")
}
