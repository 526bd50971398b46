//! A session against a server that sends anything, and a program that calls anything.
#![no_main]

use core::time::Duration;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use chatproto::Instant;
use chatproto::session::{Announcement, Config, Event, Restored, RoomKey, Session, State};
use chatproto::wire::{
    Anchor, Blob, Body, Capabilities, DeviceId, Joined, LinkKey, LoginOk, MAX_FRAME, Message, Name, NameRef,
    NoteRef, OfferId, RequestId, RoomId, RoomKind, ServerHello, ServerId, Text, TextRef, ToClient, ToServer,
};
use chatproto_fuzz::{Sent, Value};
use libfuzzer_sys::fuzz_target;

/// Events that one input may bring: every frame brings a few, and a lost connection one for everything that was open.
const MAX_EVENTS_AT_ONCE: usize = 100_000;

/// Bounds small enough to be met.
fn config() -> Config {
    let mut config = Config::new(name("alice"), DeviceId([0; 16]));
    config.announcement = Announcement::new(4000, LinkKey([1; 32]), Vec::new()).ok();
    config.limits.max_queue = 8 * 1024;
    config.limits.max_queue_hard = 64 * 1024;
    config.max_pending = 8;
    config.max_pending_bytes = 8 * 1024;
    config.max_unposted = 3;
    config.max_requests = 4;
    config.max_rooms = 6;
    config.max_offers = 3;
    config.max_introductions = 3;
    config
}

/// What a queue may hold past its hard bound: what was added to it in one call, and the bye.
const SLACK: usize = 128 * 1024;

fn name(text: &str) -> Name {
    Name::new(text).expect("a legal name")
}

struct World {
    session: Session,
    sent: Sent,
    now: Instant,
    /// Number of the last message of the room 1 as a well-behaved server would count.
    seq: u64,
}

fn sent() -> Sent {
    Sent::new(|raw| ToServer::decode(raw).map(|frame| frame.is_some()))
}

fn room_key(u: &mut Unstructured<'_>) -> Result<RoomKey> {
    let bump = Bump::new();
    let name = NameRef::draw(u, &bump)?.to_owned();
    Ok(if u.arbitrary()? { RoomKey::Room(name) } else { RoomKey::User(name) })
}

impl World {
    /// What a well-behaved server would send next.
    fn serve(&mut self) {
        let bytes = match self.session.state() {
            State::Hello => ServerHello {
                version: 1,
                capabilities: Capabilities::NONE,
                max_frame: MAX_FRAME,
                server: ServerId([9; 16]),
                agent: NoteRef::EMPTY,
                mechanisms: NoteRef::new("any").expect("a legal note"),
            }
            .to_bytes(),
            State::Proving => LoginOk {
                user: NameRef::new("alice").expect("a legal name"),
                default_room: NameRef::new("lobby").expect("a legal name"),
                observed: ([127, 0, 0, 1], 5000).into(),
                ticket: Blob::default(),
                ticket_lifetime: 0,
                data: Blob::default(),
            }
            .to_bytes(),
            State::Ready if self.seq == 0 => {
                self.seq = 1;
                Joined {
                    request: RequestId(1),
                    room: RoomId(1),
                    kind: RoomKind::Group,
                    name: NameRef::new("lobby").expect("a legal name"),
                    topic: NoteRef::EMPTY,
                    last: 0,
                    cursor: 0,
                }
                .to_bytes()
            }
            State::Ready => {
                self.seq += 1;
                Message {
                    room: RoomId(1),
                    seq: self.seq - 1,
                    time: 5,
                    flags: 0,
                    device: DeviceId([2; 16]),
                    counter: self.seq,
                    from: NameRef::new("bob").expect("a legal name"),
                    text: TextRef::new("hi").expect("a legal text"),
                }
                .to_bytes()
            }
            _ => return,
        };
        self.session.handle_input(&bytes, self.now);
    }

    /// Any legal frame, cut in two anywhere.
    fn frame(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let mut bytes = Vec::new();
        ToClient::draw(u, &bump)?.encode(&mut bytes);
        let cut = usize::from(u.arbitrary::<u8>()?).min(bytes.len());
        self.session.handle_input(&bytes[..cut], self.now);
        self.session.handle_input(&bytes[cut..], self.now);
        Ok(())
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..MAX_EVENTS_AT_ONCE {
            let Some(event) = self.session.poll_event() else { return Ok(()) };
            match event {
                Event::Connect => {
                    self.sent = sent();
                    self.seq = 0;
                    if u.ratio(1, 8)? {
                        self.session.connect_failed(self.now);
                    } else {
                        self.session.connected(self.now);
                    }
                }
                Event::LoginWanted { .. } => _ = self.session.login_one_way("any", b"start"),
                Event::Challenge { .. } if u.ratio(1, 4)? => _ = self.session.abandon_login(self.now),
                Event::Challenge { .. } => _ = self.session.respond(b"proof"),
                Event::PeerOffer { offer, .. } => _ = self.session.answer_peer(offer, u.arbitrary()?),
                _ => {}
            }
        }
        panic!("events without end");
    }

    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let session = &mut self.session;
        match u.int_in_range(0..=15)? {
            0..=3 => _ = session.say(room_key(u)?, &TextRef::draw(u, &bump)?.to_owned()),
            4 => _ = session.join(room_key(u)?),
            5 => _ = session.leave(&room_key(u)?),
            6 => _ = session.rooms(),
            7 => _ = session.who(&room_key(u)?),
            8 => _ = session.history(&room_key(u)?, Anchor::draw(u, &bump)?, u.arbitrary()?, u.arbitrary()?),
            9 => _ = session.search(None, &Text::new("words").expect("a legal text"), u.arbitrary()?),
            10 => _ = session.request_peer(&NameRef::draw(u, &bump)?.to_owned(), Value::draw(u, &bump)?),
            11 => _ = session.withdraw_peer(RequestId::draw(u, &bump)?),
            12 => _ = session.answer_peer(OfferId::draw(u, &bump)?, u.arbitrary()?),
            13 => {
                let (offer, ticket) = (Value::draw(u, &bump)?, Value::draw(u, &bump)?);
                let (key, user) = (Value::draw(u, &bump)?, NameRef::draw(u, &bump)?.to_owned());
                let device = Value::draw(u, &bump)?;
                if session.admit(offer, &ticket, key, &user, device, self.now).is_ok() {
                    let again = session.admit(offer, &ticket, key, &user, device, self.now);
                    assert!(again.is_err(), "an introduction is good once");
                }
            }
            14 => match u.int_in_range(0..=3)? {
                0 => session.leave_for_direct(self.now),
                1 => session.come_back(self.now),
                2 => session.reconnect_now(self.now),
                _ => session.quit(self.now),
            },
            _ => session.announce(Announcement::new(4001, LinkKey([2; 32]), Vec::new()).expect("legal")),
        }
        Ok(())
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        match u.int_in_range(0..=31)? {
            0 => self.session.handle_eof(self.now),
            1 => self.session.handle_input(u.arbitrary()?, self.now),
            2..=3 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=100_000)?);
                self.session.handle_timeout(self.now);
            }
            4..=8 => self.answer(u)?,
            9..=14 => self.serve(),
            15..=17 => {
                let count = u.int_in_range(0..=3000)?;
                self.sent.take(self.session.outgoing(), count);
            }
            18..=22 => self.call(u)?,
            _ => self.frame(u)?,
        }
        Ok(())
    }

    fn check(&mut self) {
        let bounds = config();
        assert_eq!(self.session.poll_timeout(), self.session.poll_timeout());
        assert!(self.session.pending().count() <= bounds.max_pending);
        let len = self.session.outgoing().len();
        assert!(len <= bounds.limits.max_queue_hard + SLACK, "{len} bytes wait");
        let snapshot = self.session.snapshot();
        assert!(snapshot.cursors.len() <= bounds.max_rooms + 1, "{} cursors", snapshot.cursors.len());
        assert!(snapshot.pending.iter().all(|say| say.counter < snapshot.next_counter));
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let now = Instant::from_millis(1);
    let session = Session::new(config(), Restored::default(), 7, now);
    let mut world = World { session, sent: sent(), now, seq: 0 };
    while !u.is_empty() && world.step(&mut u).is_ok() {
        world.check();
    }
    // However it ended, an end can be made.
    let _ = world.answer(&mut u);
    world.session.quit(world.now);
    world.sent.take(world.session.outgoing(), usize::MAX);
    world.session.handle_eof(world.now);
    assert_eq!(world.session.state(), State::Stopped);
    while world.session.poll_event().is_some() {}
    assert_eq!(world.session.poll_event(), None);
});
