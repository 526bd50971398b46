//! A session against a server that sends what fits, what does not, and anything at all, and a program that calls anything; beside
//! a model of what the program must be told.
#![no_main]

use core::time::Duration;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use bytes::Bytes;
use chatproto::Instant;
use chatproto::session::{Announcement, Config, Decree, Event, Order, Restored, RoomKey, Session, State};
use chatproto::wire::{
    Anchor, Blob, Body, Capabilities, CaughtUp, DeviceId, DialRole, Error, ErrorCode, FrameType, FrameWriter,
    Gap, Inquiry, Joined, Left, LinkKey, LinkTicket, List, LoginOk, MAX_FRAME, Members, Message, Name,
    NameRef, NoteRef, OfferId, PeerIntroduce, Posted, Presence, RawFrame, RequestId, RoomId, RoomKind,
    RoomList, ServerHello, ServerId, SideToken, Text, TextRef, ToClient, ToServer,
};
use chatproto_fuzz::{Asked, Due, Heard, Sent, Value};
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
    heard: Heard,
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
    fn serve(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
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
            _ => return Ok(()),
        };
        self.feed(&bytes, u)
    }

    /// A frame that is about something that is under way, and mostly fits.
    fn likely(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let rooms = self.heard.rooms();
        let (room, next) = if rooms.is_empty() { (RoomId(1), 1) } else { *u.choose(&rooms)? };
        let seq = (next + u.int_in_range(0..=3)?).saturating_sub(1).max(1);
        let name = NameRef::draw(u, &bump)?;
        let bytes = match u.int_in_range(0..=13)? {
            0..=2 => {
                let first = Message {
                    room,
                    seq: if u.ratio(3, 4)? { next } else { seq },
                    time: 5,
                    flags: u.int_in_range(0..=1)?,
                    device: DeviceId([u.int_in_range(0..=2)?; 16]),
                    counter: seq,
                    from: name,
                    text: TextRef::new("hi").expect("a legal text"),
                };
                // One, two or three of them.
                let mut out = FrameWriter::default();
                for more in 0..=seq % 3 {
                    out.message(&Message { seq: first.seq.saturating_add(more), ..first });
                }
                out.take()
            }
            3 => Gap { room, from: seq, to: seq + u.int_in_range(0..=3)? }.to_bytes(),
            4 => CaughtUp { room, seq: if u.ratio(3, 4)? { next - 1 } else { seq } }.to_bytes(),
            5 => Left { room, code: u.arbitrary::<bool>()?.then_some(ErrorCode::Kicked) }.to_bytes(),
            6 => {
                let joins = self.heard.joins();
                let Some((request, key)) = joins.get(u.choose_index(joins.len().max(1))?) else {
                    return Ok(());
                };
                let kind = if matches!(key, RoomKey::Room(_)) { RoomKind::Group } else { RoomKind::Direct };
                let (last, cursor) = (u.int_in_range(0..=6)?, u.int_in_range(0..=7)?);
                let room = RoomId(u.int_in_range(1..=8)?);
                let (name, topic) = (key.name().borrow(), NoteRef::EMPTY);
                Joined { request: *request, room, kind, name, topic, last, cursor }.to_bytes()
            }
            7 => {
                let says = self.heard.says();
                let Some(counter) = says.get(u.choose_index(says.len().max(1))?) else { return Ok(()) };
                Posted { counter: *counter, room, seq, time: 6 }.to_bytes()
            }
            8 => {
                let says = self.heard.says();
                let Some(counter) = says.get(u.choose_index(says.len().max(1))?) else { return Ok(()) };
                self.error(FrameType::Say, *counter, Value::draw(u, &bump)?)
            }
            9 => {
                let open = self.heard.requests();
                let Some(request) = open.get(u.choose_index(open.len().max(1))?) else { return Ok(()) };
                self.error(FrameType::Who, request.0.into(), Value::draw(u, &bump)?)
            }
            10 => {
                let open = self.heard.requests();
                let request = open.get(u.choose_index(open.len().max(1))?).copied().unwrap_or(RequestId(0));
                let more = u.ratio(1, 4)?;
                if u.arbitrary()? {
                    Members { request, room, more, members: List::new(&[]) }.to_bytes()
                } else {
                    RoomList { request, more, rooms: List::new(&[]) }.to_bytes()
                }
            }
            11 => Presence { room, change: Value::draw(u, &bump)?, device: DeviceId([2; 16]), user: name }
                .to_bytes(),
            12 => {
                let offers = self.heard.offers();
                let Some((offer, from, device, purpose)) = offers.get(u.choose_index(offers.len().max(1))?)
                else {
                    return Ok(());
                };
                self.introduction(RequestId(0), *offer, from, *device, *purpose)
            }
            _ => {
                let open = self.heard.requests();
                let request = open.get(u.choose_index(open.len().max(1))?).copied().unwrap_or(RequestId(1));
                let (offer, purpose) = (Value::draw(u, &bump)?, Value::draw(u, &bump)?);
                self.introduction(request, offer, &name.to_owned(), DeviceId([1; 16]), purpose)
            }
        };
        self.feed(&bytes, u)
    }

    fn error(&self, about: FrameType, request: u64, code: ErrorCode) -> Bytes {
        let (about, note) = (about.number(), NoteRef::EMPTY);
        Error { code, about, request, retry_after: 0, note }.to_bytes()
    }

    fn introduction(
        &self,
        request: RequestId,
        offer: OfferId,
        peer: &Name,
        device: DeviceId,
        purpose: chatproto::wire::Purpose,
    ) -> Bytes {
        PeerIntroduce {
            request,
            offer,
            purpose,
            role: DialRole::Await,
            peer: peer.borrow(),
            device,
            link_key: LinkKey([1; 32]),
            addresses: List::new(&[]),
            hidden: false,
            ticket: LinkTicket([2; 32]),
            token: SideToken([3; 32]),
            expires: 30_000,
        }
        .to_bytes()
    }

    /// Gives the session a frame, in two pieces cut anywhere, and holds what that brings against the model.
    fn feed(&mut self, bytes: &[u8], u: &mut Unstructured<'_>) -> Result<()> {
        self.answer(u)?;
        let heard = &mut self.heard;
        self.sent.take_each(self.session.outgoing(), usize::MAX, |raw| heard.sent(raw));
        let raw = RawFrame { number: bytes[4], body: &bytes[5..] };
        let due = match ToClient::decode(raw) {
            Ok(Some(frame)) if self.session.state() == State::Ready => heard.due(&frame),
            Ok(_) | Err(_) => Due::Unknown,
        };
        let cut = usize::from(u.arbitrary::<u8>()?).min(bytes.len());
        self.session.handle_input(&bytes[..cut], self.now);
        self.session.handle_input(&bytes[cut..], self.now);
        let told: Vec<Event> = core::iter::from_fn(|| self.session.poll_event()).collect();
        assert!(told.len() < MAX_EVENTS_AT_ONCE, "events without end");
        let session = &self.session;
        self.heard.check(&due, &told, session.state() == State::Ready, || session.snapshot());
        for event in told {
            self.on_event(event, u)?;
        }
        self.look_outside();
        Ok(())
    }

    /// Without a login, nothing is open.
    fn look_outside(&mut self) {
        if self.session.state() != State::Ready && self.session.state() != State::Closing {
            let session = &self.session;
            self.heard.is_outside(|| session.snapshot());
        }
    }

    /// Any legal frame.
    fn frame(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let mut bytes = Vec::new();
        ToClient::draw(u, &bump)?.encode(&mut bytes);
        self.feed(&bytes, u)
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        for _ in 0..MAX_EVENTS_AT_ONCE {
            let Some(event) = self.session.poll_event() else {
                self.look_outside();
                return Ok(());
            };
            self.on_event(event, u)?;
        }
        panic!("events without end");
    }

    fn on_event(&mut self, event: Event, u: &mut Unstructured<'_>) -> Result<()> {
        self.heard.note(&event);
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
            Event::PeerOffer { offer, .. } if u.ratio(1, 4)? => _ = offer,
            Event::PeerOffer { offer, .. } => self.answer_peer(offer, u.arbitrary()?),
            _ => {}
        }
        Ok(())
    }

    fn answer_peer(&mut self, offer: OfferId, yes: bool) {
        if self.session.answer_peer(offer, yes).is_ok() {
            self.heard.answered(offer, yes);
        }
    }

    fn call(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        // Then the model knows of everything that is open.
        self.answer(u)?;
        let (session, heard) = (&mut self.session, &mut self.heard);
        match u.int_in_range(0..=17)? {
            0..=3 => {
                let target = room_key(u)?;
                if let Ok(counter) = session.say(target.clone(), &TextRef::draw(u, &bump)?.to_owned()) {
                    heard.said(counter, target);
                }
            }
            4 => {
                let room = room_key(u)?;
                if let Ok(request) = session.join(room.clone()) {
                    heard.wanted(request, room);
                }
            }
            5 => {
                let room = room_key(u)?;
                if session.leave(&room).is_ok() {
                    heard.parted(&room);
                }
            }
            6..=12 => {
                let room = room_key(u)?;
                let (what, asked) = match u.int_in_range(0..=8)? {
                    0 => (Asked::Rooms, session.rooms()),
                    1 => (Asked::Who(room.clone()), session.who(&room)),
                    2 => {
                        let anchor = Anchor::draw(u, &bump)?;
                        (
                            Asked::History(room.clone()),
                            session.history(&room, anchor, u.arbitrary()?, u.arbitrary()?),
                        )
                    }
                    3 => {
                        let words = Text::new("words").expect("a legal text");
                        (Asked::Search, session.search(None, &words, u.arbitrary()?))
                    }
                    4 => {
                        let (to, purpose) = (NameRef::draw(u, &bump)?.to_owned(), Value::draw(u, &bump)?);
                        (Asked::Peer(purpose), session.request_peer(&to, purpose))
                    }
                    5 => (Asked::Create, session.create(room.name(), u.arbitrary()?)),
                    6 => {
                        let (action, note) = (Value::draw(u, &bump)?, NoteRef::EMPTY.to_owned());
                        let order = Order { action, user: None, seconds: 0, note };
                        (Asked::Moderate(room.clone()), session.moderate(&room, &order))
                    }
                    7 => {
                        let (action, note) = (Value::draw(u, &bump)?, NoteRef::EMPTY.to_owned());
                        let decree = Decree { action, subject: None, seconds: 0, note };
                        (Asked::Govern, session.govern(&decree))
                    }
                    _ if u.arbitrary()? => (Asked::Reach, session.test_reach()),
                    _ => (Asked::Inquire, session.inquire(None, Inquiry::Audit, 0, 5)),
                };
                if let Ok(request) = asked {
                    heard.asked(request, what);
                }
            }
            13 => _ = session.withdraw_peer(RequestId::draw(u, &bump)?),
            14 => {
                let (offer, yes) = (OfferId::draw(u, &bump)?, u.arbitrary()?);
                self.answer_peer(offer, yes);
            }
            15 => {
                let (offer, ticket) = (Value::draw(u, &bump)?, Value::draw(u, &bump)?);
                let (key, user) = (Value::draw(u, &bump)?, NameRef::draw(u, &bump)?.to_owned());
                let device = Value::draw(u, &bump)?;
                if self.session.admit(offer, &ticket, key, &user, device, self.now).is_ok() {
                    self.heard.admitted(&ticket, key, &user, device);
                    let again = self.session.admit(offer, &ticket, key, &user, device, self.now);
                    assert!(again.is_err(), "an introduction is good once");
                }
            }
            16 => match u.int_in_range(0..=3)? {
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
            1 => {
                self.heard.go_blind();
                self.session.handle_input(u.arbitrary()?, self.now);
            }
            2..=3 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=100_000)?);
                self.session.handle_timeout(self.now);
            }
            4..=8 => self.answer(u)?,
            9..=12 => self.serve(u)?,
            13..=20 => self.likely(u)?,
            21 => {
                let count = u.int_in_range(0..=3000)?;
                let heard = &mut self.heard;
                self.sent.take_each(self.session.outgoing(), count, |raw| heard.sent(raw));
            }
            22..=26 => self.call(u)?,
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
    let heard = Heard::new(DeviceId([0; 16]), config().max_offers);
    let mut world = World { session, sent: sent(), heard, now, seq: 0 };
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
