//! A session, its clock, and a server whose every frame the test writes.

use std::time::Duration;

use bytes::{Buf as _, Bytes};
use chatproto::Instant;
use chatproto::session::{Announcement, Backoff, Config, Event, Restored, RoomKey, Session};
use chatproto::wire::{
    Blob, Body, Capabilities, CaughtUp, DeviceId, FrameType, HEADER_LEN, Joined, LinkKey, LoginOk,
    MESSAGE_MISSED, Message, Name, NameRef, NoteRef, RawFrame, RequestId, RoomId, RoomKind, ServerHello,
    ServerId, Target, Text, TextRef, ToServer,
};

pub(crate) const ALICE: DeviceId = DeviceId([0xa1; 16]);
pub(crate) const BOB: DeviceId = DeviceId([0xb0; 16]);
pub(crate) const SERVER: ServerId = ServerId([0x55; 16]);
pub(crate) const LINK_KEY: LinkKey = LinkKey([0x11; 32]);
pub(crate) const LOBBY: RoomId = RoomId(1);

pub(crate) struct Rig {
    pub(crate) session: Session,
    pub(crate) now: Instant,
}

impl Rig {
    pub(crate) fn new() -> Self {
        Self::with(config(), Restored::default())
    }

    pub(crate) fn with(config: Config, restored: Restored) -> Self {
        let now = Instant::from_millis(1_000_000);
        Self { session: Session::new(config, restored, 7, now), now }
    }

    /// Logged in, in the lobby, with nothing to catch up, and everything so far taken out.
    pub(crate) fn in_lobby() -> Self {
        let mut rig = Self::new();
        rig.connect();
        rig.log_in();
        let request = rig.joins()[0].0;
        rig.joined(request, LOBBY, "lobby", 0, 0);
        rig.receive(&CaughtUp { room: LOBBY, seq: 0 });
        rig.events();
        rig
    }

    /// Answers the session's wish to connect.
    pub(crate) fn connect(&mut self) {
        assert!(self.events().contains(&Event::Connect));
        self.session.connected(self.now);
    }

    /// From the hello to the login.
    pub(crate) fn log_in(&mut self) {
        self.receive(&hello());
        self.session.login("OPAQUE", b"one").unwrap();
        self.session.respond(b"three").unwrap();
        self.receive(&login_ok());
    }

    /// A reconnect up to the login: after the loss, the pause, the hello.
    pub(crate) fn reconnect(&mut self) {
        self.wait();
        self.frames();
        self.connect();
        self.log_in();
    }

    pub(crate) fn receive<'a>(&mut self, frame: &impl Body<'a>) {
        self.session.handle_input(&frame.to_bytes(), self.now);
    }

    pub(crate) fn hear(&mut self, message: &Message<'_>) {
        self.session.handle_input(&message.to_bytes(), self.now);
    }

    pub(crate) fn joined(&mut self, request: RequestId, room: RoomId, name: &str, last: u64, cursor: u64) {
        let name = NameRef::new(name).unwrap();
        let kind = RoomKind::Group;
        self.receive(&Joined { request, room, kind, name, topic: NoteRef::EMPTY, last, cursor });
    }

    /// Bob says something in the lobby.
    pub(crate) fn message(&mut self, seq: u64, text: &str, missed: bool) {
        self.hear(&message(LOBBY, seq, BOB, "bob", text, missed));
    }

    pub(crate) fn advance(&mut self, duration: Duration) {
        self.now = self.now + duration;
        self.session.handle_timeout(self.now);
    }

    /// Lets the time pass until something is due.
    pub(crate) fn wait(&mut self) -> Duration {
        let due = self.session.poll_timeout().expect("something must be due");
        let waited = due.since(self.now);
        self.now = self.now.max(due);
        self.session.handle_timeout(self.now);
        waited
    }

    pub(crate) fn events(&mut self) -> Vec<Event> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The only event there is.
    pub(crate) fn event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// All frames that were sent since the last look, each whole.
    pub(crate) fn frames(&mut self) -> Vec<Sent> {
        let queue = self.session.outgoing();
        let mut bytes = queue.copy_to_bytes(queue.remaining());
        let mut frames = Vec::new();
        while bytes.has_remaining() {
            let len = u32::from_be_bytes(bytes[..4].try_into().unwrap());
            frames.push(Sent(bytes.split_to(4 + usize::try_from(len).unwrap())));
        }
        frames
    }

    pub(crate) fn types(&mut self) -> Vec<FrameType> {
        self.frames().iter().map(Sent::kind).collect()
    }

    /// The joins among the frames sent, as request, name, cursor.
    pub(crate) fn joins(&mut self) -> Vec<(RequestId, String, Option<u64>)> {
        let read = |sent: &Sent| match sent.frame() {
            ToServer::Join(join) => Some((join.request, target(join.target), join.cursor)),
            _ => None,
        };
        self.frames().iter().filter_map(read).collect()
    }

    /// The says among the frames sent.
    pub(crate) fn says(&mut self) -> Vec<(u64, String)> {
        let read = |sent: &Sent| match sent.frame() {
            ToServer::Say(say) => Some((say.counter, say.text.as_str().to_owned())),
            _ => None,
        };
        self.frames().iter().filter_map(read).collect()
    }

    /// The texts among the events.
    pub(crate) fn texts(&mut self) -> Vec<String> {
        let read = |event: Event| match event {
            Event::Message { message, .. } => Some(message.text.as_str().to_owned()),
            _ => None,
        };
        self.events().into_iter().filter_map(read).collect()
    }
}

/// A whole frame that the session sent.
#[derive(Debug)]
pub(crate) struct Sent(Bytes);

impl Sent {
    pub(crate) fn kind(&self) -> FrameType {
        FrameType::from_number(self.0[HEADER_LEN - 1]).unwrap()
    }

    pub(crate) fn frame(&self) -> ToServer<'_> {
        let raw = RawFrame { number: self.0[HEADER_LEN - 1], body: &self.0[HEADER_LEN..] };
        ToServer::decode(raw).unwrap().unwrap()
    }
}

pub(crate) fn target(target: Target<'_>) -> String {
    match target {
        Target::Id(room) => format!("#{room}"),
        Target::Room(name) => name.as_str().to_owned(),
        Target::User(name) => format!("@{}", name.as_str()),
    }
}

pub(crate) fn config() -> Config {
    let mut config = Config::new(name("alice"), ALICE);
    config.backoff = Backoff { jitter: 0, ..Backoff::default() };
    config.announcement = Some(Announcement::new(4_000, LINK_KEY, Vec::new()).unwrap());
    config
}

pub(crate) fn name(name: &str) -> Name {
    Name::new(name).unwrap()
}

pub(crate) fn text(text: &str) -> Text {
    Text::new(text).unwrap()
}

pub(crate) fn lobby() -> RoomKey {
    RoomKey::Room(name("lobby"))
}

pub(crate) fn room(room: &str) -> RoomKey {
    RoomKey::Room(name(room))
}

pub(crate) fn user(user: &str) -> RoomKey {
    RoomKey::User(name(user))
}

pub(crate) fn hello() -> ServerHello<'static> {
    hello_of(SERVER)
}

pub(crate) fn hello_of(server: ServerId) -> ServerHello<'static> {
    ServerHello {
        version: 1,
        capabilities: Capabilities::NONE,
        max_frame: 65_536,
        server,
        agent: NoteRef::new("script").unwrap(),
        mechanisms: NoteRef::new("OPAQUE TICKET").unwrap(),
    }
}

pub(crate) fn login_ok() -> LoginOk<'static> {
    LoginOk {
        user: NameRef::new("alice").unwrap(),
        default_room: NameRef::new("lobby").unwrap(),
        observed: "192.0.2.7:50000".parse().unwrap(),
        ticket: Blob::new(b"ticket").unwrap(),
        ticket_lifetime: 3_600,
        data: Blob::new(b"four").unwrap(),
    }
}

pub(crate) fn message<'a>(
    room: RoomId,
    seq: u64,
    device: DeviceId,
    from: &'a str,
    text: &'a str,
    missed: bool,
) -> Message<'a> {
    Message {
        room,
        seq,
        time: 1_700_000_000_000 + seq,
        flags: if missed { MESSAGE_MISSED } else { 0 },
        device,
        counter: seq,
        from: NameRef::new(from).unwrap(),
        text: TextRef::new(text).unwrap(),
    }
}
