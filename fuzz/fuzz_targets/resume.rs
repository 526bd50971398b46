//! A session that comes back again and again, after cuts and restarts of its program, to a hub that is hostile, or odd: it
//! skips, repeats, forgets and invents numbers and answers. What the program is told must make sense all the same.
#![no_main]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use arbitrary::{Result, Unstructured};
use bytes::{Buf, Bytes};
use chatproto::Instant;
use chatproto::conn::FrameReader;
use chatproto::session::{Config, Event, Restored, RoomKey, Session, State};
use chatproto::wire::{
    Blob, Body, Capabilities, CaughtUp, DeviceId, Error, ErrorCode, FrameType, Gap, Joined, LoginOk,
    MAX_FRAME, Message, Name, NameRef, NoteRef, Posted, RequestId, RoomId, RoomKind, ServerHello, ServerId,
    Target, Text, TextRef, ToServer,
};
use libfuzzer_sys::fuzz_target;

const ROOMS: [&str; 2] = ["lobby", "tea"];

/// Says that may be on their way at once.
const MAX_UNPOSTED: usize = 3;

fn config() -> Config {
    let mut config = Config::new(name("alice"), DeviceId([1; 16]));
    config.max_pending = 8;
    config.max_unposted = MAX_UNPOSTED;
    config
}

fn name(text: &str) -> Name {
    Name::new(text).expect("a legal name")
}

/// What the program was told, over all connections and restarts.
#[derive(Default)]
struct Told {
    /// The last number seen in each room.
    seen: BTreeMap<RoomKey, u64>,
    said: BTreeSet<u64>,
    ended: BTreeSet<u64>,
}

/// What the session has sent on the present connection.
struct Sent {
    reader: FrameReader,
    /// Joins that wait for an answer.
    joins: Vec<(RequestId, Option<u64>, String)>,
    /// Says that were sent and not refused for the moment.
    says: BTreeSet<u64>,
}

impl Sent {
    fn new() -> Self {
        Self { reader: FrameReader::new(MAX_FRAME), joins: Vec::new(), says: BTreeSet::new() }
    }
}

struct World {
    session: Session,
    told: Told,
    sent: Sent,
    now: Instant,
    seed: u64,
}

impl World {
    /// Reads what the session sends, as the hub does.
    fn listen(&mut self) {
        let queue = self.session.outgoing();
        let bytes: Bytes = queue.copy_to_bytes(queue.remaining());
        let mut rest = &bytes[..];
        loop {
            let step = self.sent.reader.step(rest).expect("a session sends legal headers");
            let used = step.used;
            let Some(raw) = step.frame else { return };
            match ToServer::decode(raw).expect("a session sends legal frames") {
                Some(ToServer::Join(join)) => {
                    let room = match join.target {
                        Target::Room(room) => room.as_str().to_owned(),
                        Target::Id(RoomId(id)) => {
                            let at = usize::try_from(id).unwrap_or(0) % ROOMS.len();
                            ROOMS[at].to_owned()
                        }
                        Target::User(user) => user.as_str().to_owned(),
                    };
                    self.sent.joins.push((join.request, join.cursor, room));
                }
                Some(ToServer::Say(say)) => {
                    assert!(self.told.said.contains(&say.counter), "it was said");
                    assert!(!self.told.ended.contains(&say.counter), "nothing is sent again that has ended");
                    assert!(self.sent.says.insert(say.counter), "once on each connection");
                    // Each is above those that are on their way; what was to wait comes again below them.
                    assert!(self.sent.says.len() <= MAX_UNPOSTED, "no more are on their way than may be");
                }
                Some(_) => {}
                None => panic!("a session sends known frames"),
            }
            rest = &rest[used..];
        }
    }

    fn take_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connect => {
                    self.sent = Sent::new();
                    self.session.connected(self.now);
                }
                Event::LoginWanted { .. } => _ = self.session.login_one_way("any", b"x"),
                Event::NewLog { .. } => self.told.seen.clear(),
                Event::Left { room, .. } => _ = self.told.seen.remove(&room),
                Event::Message { message, .. } => {
                    let last = self.told.seen.insert(message.room.clone(), message.seq);
                    assert!(last.is_none_or(|last| message.seq == last + 1), "{last:?}, then {message:?}");
                }
                Event::Gap { room, from, to } => {
                    assert!(from <= to);
                    let last = self.told.seen.insert(room, to);
                    assert!(
                        last.is_none_or(|last| from == last + 1),
                        "{last:?}, then {from} to {to} is gone"
                    );
                }
                Event::Posted { counter, .. } | Event::SayRefused { counter, .. } => {
                    assert!(self.told.said.contains(&counter), "{counter} was never said");
                    assert!(self.told.ended.insert(counter), "{counter} ended before");
                    self.sent.says.remove(&counter);
                }
                _ => {}
            }
        }
    }

    fn hear<'a>(&mut self, frame: &impl Body<'a>) {
        self.session.handle_input(&frame.to_bytes(), self.now);
    }

    /// What the hub says next: sensible as far as the login goes, odd from there on.
    fn serve(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match self.session.state() {
            State::Hello => {
                let server = ServerId([if u.ratio(1, 16)? { 8 } else { 9 }; 16]);
                self.hear(&ServerHello {
                    version: 1,
                    capabilities: Capabilities::NONE,
                    max_frame: MAX_FRAME,
                    server,
                    agent: NoteRef::EMPTY,
                    mechanisms: NoteRef::new("any").expect("a legal note"),
                });
            }
            State::Proving => self.hear(&LoginOk {
                user: NameRef::new("alice").expect("a legal name"),
                default_room: NameRef::new("lobby").expect("a legal name"),
                observed: ([127, 0, 0, 1], 5000).into(),
                ticket: Blob::default(),
                ticket_lifetime: 0,
                data: Blob::default(),
            }),
            State::Ready => self.serve_room(u)?,
            _ => {}
        }
        Ok(())
    }

    fn serve_room(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        // Room 1 is the tea room, room 2 the lobby.
        let room = RoomId(u.int_in_range(1..=2)?);
        let at = usize::try_from(room.0).unwrap_or(0) % ROOMS.len();
        let last = self.told.seen.get(&RoomKey::Room(name(ROOMS[at]))).copied().unwrap_or(0);
        // Mostly the number that is due, and those near it.
        let near = |u: &mut Unstructured<'_>| -> Result<u64> {
            Ok(if u.ratio(3, 4)? { last + 1 } else { (last + u.int_in_range(0..=4)?).saturating_sub(1) })
        };
        match u.int_in_range(0..=15)? {
            0..=4 => self.answer_join(u)?,
            5..=9 => {
                let frame = Message {
                    room,
                    seq: near(u)?,
                    time: 5,
                    flags: u.int_in_range(0..=1)?,
                    device: DeviceId([2; 16]),
                    counter: 1,
                    from: NameRef::new("bob").expect("a legal name"),
                    text: TextRef::new("hi").expect("a legal text"),
                };
                self.session.handle_input(&frame.to_bytes(), self.now);
            }
            10 => {
                let (from, len) = (near(u)?, u.int_in_range(0..=3)?);
                self.hear(&Gap { room, from, to: from + len });
            }
            11 => {
                let seq = near(u)?.saturating_sub(1);
                self.hear(&CaughtUp { room, seq });
            }
            12..=13 => {
                let counter = u.int_in_range(0..=self.told.said.len() + 1)?;
                let counter = u64::try_from(counter).unwrap_or(0);
                self.hear(&Posted { counter, room, seq: u.int_in_range(0..=9)?, time: 1 });
            }
            _ => {
                let counter = u64::try_from(u.int_in_range(0..=self.told.said.len() + 1)?).unwrap_or(0);
                let codes = [ErrorCode::Backlog, ErrorCode::Busy, ErrorCode::Muted, ErrorCode::NotStored];
                let code = *u.choose(&codes)?;
                let about = FrameType::Say.number();
                if matches!(code, ErrorCode::Backlog | ErrorCode::Busy) {
                    // It may come again on this connection.
                    self.sent.says.remove(&counter);
                }
                self.hear(&Error { code, about, request: counter, retry_after: 0, note: NoteRef::EMPTY });
            }
        }
        Ok(())
    }

    fn answer_join(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.sent.joins.is_empty() {
            return Ok(());
        }
        let (request, cursor, room) = self.sent.joins.remove(0);
        let id = ROOMS.iter().position(|known| *known == room).unwrap_or(0);
        let id = RoomId(if id == 0 { 2 } else { 1 });
        let asked = cursor.unwrap_or(0);
        let last = asked + u.int_in_range(0..=5)?;
        // An odd hub begins elsewhere than it was asked to.
        let cursor = if u.ratio(7, 8)? { asked } else { u.int_in_range(0..=last)? };
        // A log that ends before what was seen of it gives numbers again, from where the hub says.
        if let Some(seen) = self.told.seen.get_mut(&RoomKey::Room(name(&room)))
            && last < *seen
        {
            *seen = cursor.min(last);
        }
        self.hear(&Joined {
            request,
            room: id,
            kind: RoomKind::Group,
            name: NameRef::new(&room).expect("a legal name"),
            topic: NoteRef::EMPTY,
            last,
            cursor,
        });
        Ok(())
    }

    /// The program is killed and starts again with what it kept.
    fn restart(&mut self) {
        let kept: Restored = self.session.snapshot();
        let left: BTreeSet<u64> = kept.pending.iter().map(|say| say.counter).collect();
        let open: BTreeSet<u64> = self.told.said.difference(&self.told.ended).copied().collect();
        assert_eq!(left, open, "what has not ended is kept, and nothing else");
        self.seed += 1;
        self.session = Session::new(config(), kept, self.seed, self.now);
        self.sent = Sent::new();
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            0 => self.session.handle_eof(self.now),
            1 => self.restart(),
            2..=3 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=70_000)?);
                self.session.handle_timeout(self.now);
            }
            4..=7 => {
                let room = RoomKey::Room(name(ROOMS[usize::from(u.arbitrary::<bool>()?)]));
                if let Ok(counter) = self.session.say(room, &Text::new("words").expect("a legal text")) {
                    assert!(self.told.said.insert(counter), "counters are new");
                }
            }
            8 => {
                let room = RoomKey::Room(name(ROOMS[usize::from(u.arbitrary::<bool>()?)]));
                if u.arbitrary()? {
                    let _ = self.session.join(room);
                } else if self.session.leave(&room).is_ok() {
                    // Who comes back enters at the end.
                    self.told.seen.remove(&room);
                }
            }
            _ => self.serve(u)?,
        }
        self.take_events();
        self.listen();
        self.take_events();
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let now = Instant::from_millis(1);
    let session = Session::new(config(), Restored::default(), 7, now);
    let mut world = World { session, told: Told::default(), sent: Sent::new(), now, seed: 7 };
    world.take_events();
    while !u.is_empty() && world.step(&mut u).is_ok() {}
    let cursors: BTreeMap<RoomKey, u64> = world.session.snapshot().cursors.into_iter().collect();
    for (room, seen) in &world.told.seen {
        assert_eq!(cursors.get(room), Some(seen), "what was told is what is remembered of {room}");
    }
});
