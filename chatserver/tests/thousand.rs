//! A thousand clients in one room: everybody gets everything, in one order, also across a restart of the server.
//!
//! The clients are a thousand sessions on one loop, against the real server with TLS and its log on the disk.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

mod support;

use std::time::Duration;

use chatnet::{ClientTls, Security, TlsInfo};
use chatproto::Instant;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::session::{Config, Event, LoginError, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, Name, Text};
use support::crowd::{Crowd, Member};
use support::{PASSWORD, Server, add_user};

const CLIENTS: usize = 1_000;
const SENDERS: usize = 10;
const EACH: usize = 10;

/// How long the crowd may take for one step before the test counts as failed.
const PATIENCE: Duration = Duration::from_secs(180);

#[test]
fn a_thousand_clients_get_everything_in_one_order_across_a_restart() {
    let data = tempfile::tempdir().expect("a data directory");
    let accounts: Vec<String> = (0..SENDERS).map(|number| format!("user{number}")).collect();
    for account in &accounts {
        add_user(data.path(), account);
    }
    let devices = (CLIENTS / SENDERS).to_string();
    // All of them come from one address, and at once: the bounds before login leave room for a house full of people.
    let args = ["--max-devices", devices.as_str()];
    let server = Server::start(data.path(), &args);
    let fingerprint = server.fingerprint.as_deref().expect("TLS").parse().expect("a fingerprint");
    let security = Security::TlsClient(ClientTls::pinned(fingerprint).expect("TLS"));
    let clients = (0..CLIENTS).map(|number| Client::new(number, &accounts)).collect();
    let mut crowd = Crowd::new(clients, &server, security, PATIENCE);
    crowd.until("everybody is in the lobby", |members| members.iter().all(|member| member.in_lobby));

    say_round(&mut crowd.members, "first");
    crowd.until("everybody has the first hundred", |members| all_have(members, SENDERS * EACH));
    check_order(&crowd.members);

    let addr = server.addr.clone();
    server.stop();
    crowd.until("everybody has noticed", |members| members.iter().all(|member| !member.in_lobby));
    // Said while the server is away: it waits with its sender.
    say_round(&mut crowd.members, "second");
    let server = Server::start_on(data.path(), &addr, &args);
    crowd.until("everybody has all two hundred", |members| all_have(members, 2 * SENDERS * EACH));
    check_order(&crowd.members);
    server.stop();
}

struct Client {
    session: Session,
    user: String,
    login: Option<ClientLogin>,
    binding: [u8; 32],
    in_lobby: bool,
    heard: Vec<(u64, String)>,
}

impl Client {
    fn new(number: usize, accounts: &[String]) -> Self {
        let user = accounts[number % accounts.len()].clone();
        let mut device = [0; 16];
        device[..8].copy_from_slice(&(number as u64).to_be_bytes());
        let config = Config::new(Name::new(&user).expect("a name"), DeviceId(device));
        let session = Session::new(config, Restored::default(), number as u64, Instant::default());
        Self { session, user, login: None, binding: [0; 32], in_lobby: false, heard: Vec::new() }
    }
}

impl Member for Client {
    fn session(&mut self) -> &mut Session {
        &mut self.session
    }

    fn on_connected(&mut self, tls: Option<&TlsInfo>) {
        self.binding = tls.expect("TLS").channel_binding;
    }

    fn on_event(&mut self, event: Event) {
        match event {
            Event::LoginWanted { .. } => {
                let password = Password::new(PASSWORD).expect("a password");
                let (login, request) = ClientLogin::start(password, &mut OsRng).expect("a login");
                self.login = Some(login);
                goes_on(self.session.login(MECHANISM, &request));
            }
            Event::Challenge { data } => {
                let login = self.login.take().expect("a login");
                let (proof, _) =
                    login.finish(&data, &self.user, &self.binding, &mut OsRng).expect("the right password");
                goes_on(self.session.respond(&proof));
            }
            Event::LoginFailed { code, note, .. } => panic!("{}: {code} {note:?}", self.user),
            Event::Joined { .. } => self.in_lobby = true,
            Event::Lost { .. } => self.in_lobby = false,
            Event::Message { message, .. } => {
                self.heard.push((message.seq, message.text.as_str().to_owned()));
            }
            _ => {}
        }
    }
}

/// The first members of each account say their messages.
fn say_round(members: &mut [Client], round: &str) {
    for member in members.iter_mut().take(SENDERS) {
        for number in 0..EACH {
            let text = Text::new(&format!("{} {round} {number}", member.user)).expect("a text");
            member
                .session
                .say(RoomKey::Room(Name::new("lobby").expect("a name")), &text)
                .expect("it can wait");
        }
    }
}

fn all_have(members: &[Client], count: usize) -> bool {
    members.iter().all(|member| member.heard.len() >= count)
}

/// Numbers without a gap, nothing twice, the same words under the same numbers for all, each sender in its order.
fn check_order(members: &[Client]) {
    let first = &members[0].heard;
    for (at, (seq, _)) in first.iter().enumerate() {
        assert_eq!(*seq, at as u64 + 1, "numbers run without a gap");
    }
    for member in members {
        assert_eq!(&member.heard, first, "everybody sees the same");
    }
    for sender in 0..SENDERS {
        let own: Vec<_> = first
            .iter()
            .map(|(_, text)| text)
            .filter(|text| text.starts_with(&format!("user{sender} ")))
            .collect();
        let mut expected: Vec<String> = Vec::new();
        for round in ["first", "second"].iter().take(own.len() / EACH) {
            expected.extend((0..EACH).map(|number| format!("user{sender} {round} {number}")));
        }
        assert!(own.iter().copied().eq(expected.iter()), "{own:?}");
    }
}

/// On a slow machine the session's time for a login may be over before this crowd has done its part: it connects again.
fn goes_on(outcome: Result<(), LoginError>) {
    assert!(matches!(outcome, Ok(()) | Err(LoginError::NotNow { .. })), "{outcome:?}");
}
