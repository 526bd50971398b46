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

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use chatnet::{ClientTls, ConnToken, ConnectOptions, Fingerprint, Net, NetConfig, NetEvent, Read, Security};
use chatproto::Instant;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::session::{Config, Event, LoginError, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, Name, Text};
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
    // All of them come from one address, and at once.
    let config = data.path().join("crowd.toml");
    let settings = "[network]\nmax_handshakes_per_address = 1000\n[hub]\nmax_strangers_per_address = 1000\n\
                    [accounts]\nmax_attempts = 1000\nmax_attempts_per_address = 1000\n";
    std::fs::write(&config, settings).expect("a file");
    let config = config.to_str().expect("a path in UTF-8");
    let args = ["--max-devices", devices.as_str(), "--config", config];
    let server = Server::start(data.path(), &args);
    let mut crowd = Crowd::new(&accounts, &server);
    crowd.until("everybody is in the lobby", |crowd| crowd.members.iter().all(|member| member.in_lobby));

    crowd.say_round("first");
    crowd.until("everybody has the first hundred", |crowd| crowd.all_have(SENDERS * EACH));
    crowd.check_order();

    let addr = server.addr.clone();
    server.stop();
    crowd.until("everybody has noticed", |crowd| crowd.members.iter().all(|member| !member.in_lobby));
    // Said while the server is away: it waits with its sender.
    crowd.say_round("second");
    let server = Server::start_on(data.path(), &addr, &args);
    crowd.until("everybody has all two hundred", |crowd| crowd.all_have(2 * SENDERS * EACH));
    crowd.check_order();
    server.stop();
}

struct Member {
    session: Session,
    user: String,
    token: Option<ConnToken>,
    login: Option<ClientLogin>,
    binding: [u8; 32],
    in_lobby: bool,
    heard: Vec<(u64, String)>,
}

/// Sessions on one loop.
struct Crowd {
    net: Net,
    server: SocketAddr,
    fingerprint: Fingerprint,
    members: Vec<Member>,
    by_token: HashMap<ConnToken, usize>,
    started: Clock,
}

impl Crowd {
    fn new(accounts: &[String], server: &Server) -> Self {
        let member = |number: usize| {
            let user = accounts[number % accounts.len()].clone();
            let mut device = [0; 16];
            device[..8].copy_from_slice(&(number as u64).to_be_bytes());
            let config = Config::new(Name::new(&user).expect("a name"), DeviceId(device));
            let session = Session::new(config, Restored::default(), number as u64, Instant::default());
            let heard = Vec::new();
            Member { session, user, token: None, login: None, binding: [0; 32], in_lobby: false, heard }
        };
        Self {
            net: Net::new(NetConfig::default()).expect("a loop"),
            server: server.addr.parse().expect("an address"),
            fingerprint: server.fingerprint.as_deref().expect("TLS").parse().expect("a fingerprint"),
            members: (0..CLIENTS).map(member).collect(),
            by_token: HashMap::new(),
            started: Clock::now(),
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.started.elapsed().as_millis().try_into().expect("a time"))
    }

    /// The first members of each account say their messages.
    fn say_round(&mut self, round: &str) {
        for member in self.members.iter_mut().take(SENDERS) {
            for number in 0..EACH {
                let text = Text::new(&format!("{} {round} {number}", member.user)).expect("a text");
                member
                    .session
                    .say(RoomKey::Room(Name::new("lobby").expect("a name")), &text)
                    .expect("it can wait");
            }
        }
    }

    fn all_have(&self, count: usize) -> bool {
        self.members.iter().all(|member| member.heard.len() >= count)
    }

    /// Numbers without a gap, nothing twice, the same words under the same numbers for all, each sender in its order.
    fn check_order(&self) {
        let first = &self.members[0].heard;
        for (at, (seq, _)) in first.iter().enumerate() {
            assert_eq!(*seq, at as u64 + 1, "numbers run without a gap");
        }
        for member in &self.members {
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

    fn until(&mut self, what: &str, done: impl Fn(&Self) -> bool) {
        let began = Clock::now();
        let mut events = Vec::new();
        loop {
            for at in 0..self.members.len() {
                self.run(at);
            }
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
            for member in &mut self.members {
                member.session.handle_timeout(now);
            }
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            NetEvent::Connected { token, tls } => {
                let at = self.by_token[&token];
                self.members[at].binding = tls.expect("TLS").channel_binding;
                self.members[at].session.connected(now);
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
        let now = self.now();
        let member = &mut self.members[at];
        while let Some(event) = member.session.poll_event() {
            match event {
                Event::Connect => {
                    let security = Security::TlsClient(ClientTls::pinned(self.fingerprint).expect("TLS"));
                    let options = ConnectOptions { security, timeout: Duration::from_secs(60) };
                    match self.net.connect(self.server, options) {
                        Ok(token) => {
                            member.token = Some(token);
                            self.by_token.insert(token, at);
                        }
                        Err(_) => member.session.connect_failed(now),
                    }
                }
                Event::LoginWanted { .. } => {
                    let password = Password::new(PASSWORD).expect("a password");
                    let (login, request) = ClientLogin::start(password, &mut OsRng).expect("a login");
                    member.login = Some(login);
                    goes_on(member.session.login(MECHANISM, &request));
                }
                Event::Challenge { data } => {
                    let login = member.login.take().expect("a login");
                    let (proof, _) = login
                        .finish(&data, &member.user, &member.binding, &mut OsRng)
                        .expect("the right password");
                    goes_on(member.session.respond(&proof));
                }
                Event::LoginFailed { code, note } => panic!("{}: {code} {note:?}", member.user),
                Event::Joined { .. } => member.in_lobby = true,
                Event::Lost { .. } => member.in_lobby = false,
                Event::Message { message, .. } => {
                    member.heard.push((message.seq, message.text.as_str().to_owned()));
                }
                _ => {}
            }
        }
        if let Some(token) = member.token {
            self.net.write(token, member.session.outgoing());
        }
    }
}

/// On a slow machine the session's time for a login may be over before this crowd has done its part: it connects again.
fn goes_on(outcome: Result<(), LoginError>) {
    assert!(matches!(outcome, Ok(()) | Err(LoginError::NotNow { .. })), "{outcome:?}");
}
