//! Many people enter one room at once and leave it at once, over real sockets: everybody's own list of who is there, kept from
//! what they are told, is right in the end, and nobody is dropped.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

mod support;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use chatnet::{ConnToken, ConnectOptions, Net, NetConfig, NetEvent, Read, Security};
use chatproto::session::{Config, Event, Restored, RoomKey, Session};
use chatproto::wire::{Change, DeviceId, Name, RequestId};
use chatproto::{Instant, ticket};
use support::{Server, command, text};

const CLIENTS: usize = 400;

/// Who stays when the others leave.
const STAY: usize = 40;

/// All of them come from one address, and at once.
const SETTINGS: &str = "[hub]\nmax_strangers = 1000\nmax_strangers_per_address = 1000\n";

/// How long the crowd may take for one step before the test counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn four_hundred_come_and_go_at_once_and_everybody_knows_who_is_there() {
    let data = tempfile::tempdir().expect("a data directory");
    let guests = invite(data.path());
    let settings = data.path().join("storm.toml");
    std::fs::write(&settings, SETTINGS).expect("a file");
    let settings = settings.to_str().expect("a path in UTF-8");
    let server =
        Server::start(data.path(), &["--insecure-plaintext", "--plaintext-tickets", "--config", settings]);
    let mut crowd = Crowd::new(&guests, &server);
    crowd.until("everybody is logged in", |crowd| crowd.members.iter().all(|member| member.is_ready));

    for member in &mut crowd.members {
        member.session.join(hall()).expect("a join");
    }
    let all = guests.iter().map(|guest| guest.name.clone()).collect::<BTreeSet<_>>();
    crowd.until("everybody knows everybody", |crowd| crowd.members.iter().all(|member| member.knows == all));

    crowd.members[STAY..].iter_mut().for_each(|member| member.session.leave(&hall()).expect("it is in"));
    let rest = guests[..STAY].iter().map(|guest| guest.name.clone()).collect::<BTreeSet<_>>();
    crowd.until("those who stay know who is left, and the others are out", |crowd| {
        let (stay, left) = crowd.members.split_at(STAY);
        stay.iter().all(|member| member.knows == rest) && left.iter().all(|member| member.has_left)
    });
    // What the server says is what they have put together.
    let asked = crowd.members[0].session.who(&hall()).expect("a question");
    crowd.members[0].asked = Some(asked);
    crowd.until("the server answers", |crowd| crowd.members[0].asked.is_none());
    assert_eq!(crowd.members[0].knows, rest);
    server.stop();
}

fn hall() -> RoomKey {
    RoomKey::Room(Name::new("hall").expect("a name"))
}

/// An account with a ticket for one device: logging in costs no password.
struct Guest {
    name: Name,
    device: DeviceId,
    ticket: Vec<u8>,
}

fn invite(data: &std::path::Path) -> Vec<Guest> {
    let file = data.join("accounts.txt");
    let lines = (0..CLIENTS).map(|number| format!("guest{number} correct horse\n"));
    std::fs::write(&file, lines.collect::<String>()).expect("a file");
    let file = file.to_str().expect("a path");
    let output = command(&["user", "import", file, "--stretch", "light", "--tickets"], data, "");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let guests = text(&output.stdout).lines().map(guest).collect::<Vec<_>>();
    assert_eq!(guests.len(), CLIENTS);
    guests
}

/// A line of the import: ID, device and ticket, the last two in hexadecimal digits.
fn guest(line: &str) -> Guest {
    let mut words = line.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("too few words: {line:?}"));
    let name = Name::new(next()).expect("a name");
    let device = DeviceId(bytes(next()).try_into().expect("a device"));
    Guest { name, device, ticket: bytes(next()) }
}

fn bytes(hex: &str) -> Vec<u8> {
    let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().expect("hexadecimal digits")
}

struct Member {
    session: Session,
    ticket: Vec<u8>,
    token: Option<ConnToken>,
    is_ready: bool,
    has_left: bool,
    /// The question who is in the hall, until it is answered.
    asked: Option<RequestId>,
    /// Who is in the hall, as far as this one was told.
    knows: BTreeSet<Name>,
}

/// Sessions on one loop.
struct Crowd {
    net: Net,
    server: SocketAddr,
    members: Vec<Member>,
    by_token: HashMap<ConnToken, usize>,
    started: Clock,
}

impl Crowd {
    fn new(guests: &[Guest], server: &Server) -> Self {
        let member = |(number, guest): (u64, &Guest)| Member {
            session: Session::new(
                Config::new(guest.name.clone(), guest.device),
                Restored::default(),
                number,
                Instant::default(),
            ),
            ticket: guest.ticket.clone(),
            token: None,
            is_ready: false,
            has_left: false,
            asked: None,
            knows: BTreeSet::new(),
        };
        Self {
            net: Net::new(NetConfig::default()).expect("a loop"),
            server: server.addr.parse().expect("an address"),
            members: (0..).zip(guests).map(member).collect(),
            by_token: HashMap::new(),
            started: Clock::now(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.started.elapsed().as_millis().try_into().expect("a time"))
    }

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Clock::now();
        let mut events = Vec::new();
        loop {
            (0..self.members.len()).for_each(|at| self.run(at));
            if done(self) {
                return;
            }
            assert!(began.elapsed() < PATIENCE, "not in time: {what}");
            let next = self.members.iter().filter_map(|member| member.session.poll_timeout()).min();
            let next = next.map(|at| self.started + Duration::from_millis(at.as_millis()));
            self.net.turn(next, &mut events).expect("the loop runs");
            for event in events.drain(..) {
                self.on_net(event);
            }
            let now = self.now();
            self.members.iter_mut().for_each(|member| member.session.handle_timeout(now));
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            NetEvent::Connected { token, .. } => {
                self.members[self.by_token[&token]].session.connected(now);
            }
            NetEvent::Readable { token } => {
                let Some(&at) = self.by_token.get(&token) else { return };
                loop {
                    match self.net.read(token) {
                        Read::Bytes(bytes) => self.members[at].session.handle_input(bytes, now),
                        Read::Empty | Read::Closed => return,
                        Read::Eof => {
                            self.members[at].session.handle_eof(now);
                            return self.net.close(token);
                        }
                    }
                }
            }
            NetEvent::Closed { token, .. } => {
                let Some(at) = self.by_token.remove(&token) else { return };
                if self.members[at].token == Some(token) {
                    self.members[at].token = None;
                    self.members[at].session.connect_failed(now);
                    self.members[at].session.handle_eof(now);
                }
            }
            _ => {}
        }
    }

    /// Lets one session go on, and sends what it has to say.
    fn run(&mut self, at: usize) {
        let member = &mut self.members[at];
        while let Some(event) = member.session.poll_event() {
            match event {
                Event::Connect => {
                    let options = ConnectOptions { security: Security::Plain, timeout: PATIENCE };
                    let token = self.net.connect(self.server, options).expect("a socket");
                    member.token = Some(token);
                    self.by_token.insert(token, at);
                }
                Event::LoginWanted { .. } => {
                    member
                        .session
                        .login_one_way(ticket::MECHANISM, &member.ticket)
                        .expect("the right moment");
                }
                Event::Ready { .. } => member.is_ready = true,
                // From here on it is told of all who come and go.
                Event::CaughtUp { room, .. } if room == hall() => {
                    member.asked = Some(member.session.who(&room).expect("a question"));
                    member.knows.clear();
                }
                Event::Members { request, room, members, more } if room == hall() => {
                    if request.is_none() {
                        member.knows.clear();
                    }
                    member.knows.extend(members.into_iter().map(|it| it.user));
                    member.asked = member.asked.filter(|asked| more || Some(*asked) != request);
                }
                Event::Presence { room, user, change, .. } if room == hall() => match change {
                    Change::Entered => _ = member.knows.insert(user),
                    Change::Departed => _ = member.knows.remove(&user),
                },
                Event::Left { room, .. } if room == hall() => member.has_left = true,
                // Too many logins at once are told to come back, and do.
                Event::LoginFailed { code, .. } => panic!("{at} may not log in: {code:?}"),
                Event::Lost { .. } if !member.is_ready => member.token = None,
                Event::Lost { reason, .. } => panic!("{at} was dropped: {reason:?}"),
                Event::JoinRefused { refusal, .. } => panic!("{at} was refused: {refusal:?}"),
                _ => {}
            }
        }
        if let Some(token) = member.token {
            self.net.write(token, member.session.outgoing());
        }
    }
}
