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

use std::collections::BTreeSet;
use std::time::Duration;

use chatnet::{Security, TlsInfo};
use chatproto::session::{Config, Event, Restored, RoomKey, Session};
use chatproto::wire::{Change, DeviceId, Name, RequestId};
use chatproto::{Instant, ticket};
use support::crowd::{Crowd, Member};
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
    let attendants = (0..).zip(&guests).map(|(number, guest)| guest.arrives(number)).collect();
    let mut crowd = Crowd::new(attendants, &server, Security::Plain, PATIENCE);
    crowd.until("everybody is logged in", |members| members.iter().all(|member| member.is_ready));

    for member in &mut crowd.members {
        member.session.join(hall()).expect("a join");
    }
    let all = guests.iter().map(|guest| guest.name.clone()).collect::<BTreeSet<_>>();
    crowd.until("everybody knows everybody", |members| members.iter().all(|member| member.knows == all));

    crowd.members[STAY..].iter_mut().for_each(|member| member.session.leave(&hall()).expect("it is in"));
    let rest = guests[..STAY].iter().map(|guest| guest.name.clone()).collect::<BTreeSet<_>>();
    crowd.until("those who stay know who is left, and the others are out", |members| {
        let (stay, left) = members.split_at(STAY);
        stay.iter().all(|member| member.knows == rest) && left.iter().all(|member| member.has_left)
    });
    // What the server says is what they have put together.
    let asked = crowd.members[0].session.who(&hall()).expect("a question");
    crowd.members[0].asked = Some(asked);
    crowd.until("the server answers", |members| members[0].asked.is_none());
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

struct Attendant {
    session: Session,
    ticket: Vec<u8>,
    is_ready: bool,
    has_left: bool,
    /// The question who is in the hall, until it is answered.
    asked: Option<RequestId>,
    /// Who is in the hall, as far as this one was told.
    knows: BTreeSet<Name>,
}

impl Guest {
    fn arrives(&self, number: u64) -> Attendant {
        let config = Config::new(self.name.clone(), self.device);
        Attendant {
            session: Session::new(config, Restored::default(), number, Instant::default()),
            ticket: self.ticket.clone(),
            is_ready: false,
            has_left: false,
            asked: None,
            knows: BTreeSet::new(),
        }
    }
}

impl Member for Attendant {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn on_connected(&mut self, _: Option<&TlsInfo>) {}

    fn on_event(&mut self, event: Event) {
        match event {
            Event::LoginWanted { .. } => {
                self.session.login_one_way(ticket::MECHANISM, &self.ticket).expect("the right moment");
            }
            Event::Ready { .. } => self.is_ready = true,
            // From here on it is told of all who come and go.
            Event::CaughtUp { room, .. } if room == hall() => {
                self.asked = Some(self.session.who(&room).expect("a question"));
                self.knows.clear();
            }
            Event::Members { request, room, members, more } if room == hall() => {
                if request.is_none() {
                    self.knows.clear();
                }
                self.knows.extend(members.into_iter().map(|it| it.user));
                self.asked = self.asked.filter(|asked| more || Some(*asked) != request);
            }
            Event::Presence { room, user, change, .. } if room == hall() => match change {
                Change::Entered => _ = self.knows.insert(user),
                Change::Departed => _ = self.knows.remove(&user),
            },
            Event::Left { room, .. } if room == hall() => self.has_left = true,
            Event::LoginFailed { code, .. } => panic!("somebody may not log in: {code:?}"),
            // Too many logins at once are told to come back, and do.
            Event::Lost { reason, .. } if self.is_ready => panic!("somebody was dropped: {reason:?}"),
            Event::JoinRefused { refusal, .. } => panic!("somebody was refused: {refusal:?}"),
            _ => {}
        }
    }
}
