//! Session tickets and bulk accounts, against the real server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

mod support;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use chatproto::Instant;
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password};
use chatproto::session::{Config, Event, Restored, Session};
use chatproto::ticket;
use chatproto::wire::{Capability, DeviceId, ErrorCode, Name};
use support::{PASSWORD, Server, add_user, command, text};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// A login that went well.
#[derive(Debug, PartialEq, Eq)]
struct In {
    ticket: Vec<u8>,
    lifetime: Duration,
    mechanisms: Vec<String>,
}

/// How to log in.
enum With<'a> {
    Password(&'a str),
    /// With something that happens when the login is under way.
    Interrupted(&'a str, &'a dyn Fn()),
    Ticket(&'a [u8]),
}

fn plaintext(data: &Path, args: &[&str]) -> Server {
    Server::start(data, &[&["--insecure-plaintext"], args].concat())
}

/// Logs in on a connection of its own, which ends right after.
fn login(server: &Server, user: &str, device: u8, with: &With<'_>) -> Result<In, ErrorCode> {
    login_of(server, user, DeviceId([device; 16]), with)
}

fn login_of(server: &Server, user: &str, device: DeviceId, with: &With<'_>) -> Result<In, ErrorCode> {
    let now = Instant::default();
    let mut config = Config::new(Name::new(user).expect("a name"), device);
    config.capabilities = config.capabilities.with(Capability::Tickets);
    let mut session = Session::new(config, Restored::default(), 1, now);
    let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
    let (mut opaque, mut offered) = (None, Vec::new());
    let mut buffer = [0; 4096];
    loop {
        while let Some(event) = session.poll_event() {
            match event {
                Event::Connect => session.connected(now),
                Event::LoginWanted { mechanisms, .. } => {
                    offered = mechanisms.iter().map(|name| name.as_str().to_owned()).collect();
                    match with {
                        With::Password(password) | With::Interrupted(password, _) => {
                            let password = Password::new(password).expect("a password");
                            let (login, request) = ClientLogin::start(password, &mut OsRng).expect("a login");
                            opaque = Some(login);
                            session.login(MECHANISM, &request).expect("it is offered");
                        }
                        With::Ticket(secret) => {
                            if session.login_one_way(ticket::MECHANISM, secret).is_err() {
                                return Err(ErrorCode::UnknownMechanism);
                            }
                        }
                    }
                }
                Event::Challenge { data } => {
                    if let With::Interrupted(_, meanwhile) = with {
                        meanwhile();
                    }
                    let login = opaque.take().expect("a password login");
                    match login.finish(&data, user, &[], &mut OsRng) {
                        Ok((proof, _)) => session.respond(&proof).expect("it is waited for"),
                        Err(_) => session.abandon_login(now).expect("it is under way"),
                    }
                }
                Event::LoginFailed { code, .. } => return Err(code),
                Event::Ready { ticket, ticket_lifetime: lifetime, .. } => {
                    return Ok(In { ticket: ticket.to_vec(), lifetime, mechanisms: offered });
                }
                _ => {}
            }
        }
        let out = session.outgoing();
        while bytes::Buf::has_remaining(out) {
            let sent = stream.write(bytes::Buf::chunk(out)).expect("the server reads");
            bytes::Buf::advance(out, sent);
        }
        match stream.read(&mut buffer).expect("the server answers") {
            0 => session.handle_eof(now),
            len => session.handle_input(&buffer[..len], now),
        }
    }
}

#[test]
fn a_ticket_logs_in_its_own_device_and_nobody_else() {
    let data = tempfile::tempdir().expect("a data directory");
    for user in ["alice", "bob"] {
        add_user(data.path(), user);
    }
    let server = plaintext(data.path(), &["--plaintext-tickets"]);
    let first = login(&server, "alice", 1, &With::Password(PASSWORD)).expect("the right password");
    assert_eq!((first.ticket.len(), first.lifetime), (ticket::LEN, WEEK));
    assert_eq!(first.mechanisms, [MECHANISM, ticket::MECHANISM]);

    let again = login(&server, "alice", 1, &With::Ticket(&first.ticket)).expect("a good ticket");
    assert_eq!((again.ticket, again.lifetime), (Vec::new(), Duration::ZERO), "the first one goes on");
    login(&server, "alice", 1, &With::Ticket(&first.ticket)).expect("it is good many times");

    let mut forged = first.ticket.clone();
    forged[31] ^= 1;
    let long = [&first.ticket[..], &[0]].concat();
    for (user, device, secret) in [
        ("alice", 2, &first.ticket[..]),
        ("bob", 1, &first.ticket),
        ("nobody", 1, &first.ticket),
        ("alice", 1, &forged),
        ("alice", 1, &first.ticket[..31]),
        ("alice", 1, &long),
        ("alice", 1, &[]),
    ] {
        let refused = login(&server, user, device, &With::Ticket(secret));
        assert_eq!(refused, Err(ErrorCode::BadTicket), "{user} {device} {}", secret.len());
    }
    server.stop();
    // It outlives the server that gave it.
    let server = plaintext(data.path(), &["--plaintext-tickets"]);
    login(&server, "alice", 1, &With::Ticket(&first.ticket)).expect("a good ticket");
    server.stop();
}

#[test]
fn a_ticket_ends_with_its_time_its_password_and_its_account() {
    let data = tempfile::tempdir().expect("a data directory");
    for user in ["alice", "bob", "carol"] {
        add_user(data.path(), user);
    }
    let server = plaintext(data.path(), &["--plaintext-tickets", "--ticket-lifetime", "90s"]);
    let mut tickets = Vec::new();
    for user in ["alice", "bob", "carol"] {
        let first = login(&server, user, 1, &With::Password(PASSWORD)).expect("the right password");
        assert_eq!(first.lifetime, Duration::from_secs(90));
        login(&server, user, 1, &With::Ticket(&first.ticket)).expect("a good ticket");
        tickets.push(first.ticket);
    }

    let changed = command(
        &["user", "passwd", "alice", "--password-stdin", "--stretch", "light"],
        data.path(),
        "battery staple\n",
    );
    assert!(changed.status.success(), "{changed:?}");
    let removed = command(&["user", "remove", "bob"], data.path(), "");
    assert!(removed.status.success(), "{removed:?}");
    let db = rusqlite::Connection::open(data.path().join("chat.db")).expect("the log");
    let expired = db.execute(
        "UPDATE tickets SET expires_ms = 1 WHERE user = (SELECT id FROM users WHERE name = 'carol')",
        [],
    );
    assert_eq!(expired, Ok(1));

    for (user, secret) in ["alice", "bob", "carol"].iter().zip(&tickets) {
        let refused = login(&server, user, 1, &With::Ticket(secret));
        assert_eq!(refused, Err(ErrorCode::BadTicket), "{user}");
    }
    login(&server, "alice", 1, &With::Password("battery staple")).expect("the new password");
    login(&server, "carol", 1, &With::Password(PASSWORD)).expect("the right password");
    server.stop();
}

#[test]
fn a_login_does_not_get_in_after_its_account_has_changed() {
    let data = tempfile::tempdir().expect("a data directory");
    for args in [&[][..], &["--plaintext-tickets"]] {
        let server = plaintext(data.path(), args);
        for change in [&["user", "passwd", "alice", "--password-stdin", "--stretch", "light"][..], REMOVE] {
            add_user(data.path(), "alice");
            let changed = || {
                let output = command(change, data.path(), "battery staple\n");
                assert!(output.status.success(), "{output:?}");
            };
            let with = With::Interrupted(PASSWORD, &changed);
            assert_eq!(
                login(&server, "alice", 1, &with),
                Err(ErrorCode::LoginRefused),
                "{change:?} {args:?}"
            );
            if change != REMOVE {
                assert!(command(REMOVE, data.path(), "").status.success());
            }
        }
        server.stop();
    }
}

const REMOVE: &[&str] = &["user", "remove", "alice"];

#[test]
fn tickets_need_tls_or_somebody_who_insists_on_loopback() {
    let data = tempfile::tempdir().expect("a data directory");
    add_user(data.path(), "alice");
    for args in [&[][..], &["--plaintext-tickets", "--ticket-lifetime", "0"]] {
        let server = plaintext(data.path(), args);
        let first = login(&server, "alice", 1, &With::Password(PASSWORD)).expect("the right password");
        assert_eq!((first.ticket, first.lifetime), (Vec::new(), Duration::ZERO));
        assert_eq!(first.mechanisms, [MECHANISM]);
        let refused = login(&server, "alice", 1, &With::Ticket(&[0; ticket::LEN]));
        assert_eq!(refused, Err(ErrorCode::UnknownMechanism));
        server.stop();
    }
    let anywhere = ["--insecure-plaintext", "--insecure-plaintext-anywhere", "--plaintext-tickets"];
    let refused = command(&[&anywhere[..], &["--listen", "0.0.0.0:0"]].concat(), data.path(), "");
    assert_eq!(refused.status.code(), Some(2), "{refused:?}");
    assert!(text(&refused.stderr).contains("--plaintext-tickets on 0.0.0.0:0"), "{refused:?}");
}

fn unhex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex");
    (0..text.len()).step_by(2).map(byte).collect()
}

#[test]
fn an_import_makes_accounts_and_tickets_beside_the_running_server() {
    let data = tempfile::tempdir().expect("a data directory");
    let server = plaintext(data.path(), &["--plaintext-tickets"]);
    let lines: String = (0..50).map(|number| format!("user{number} secret {number}\n")).collect();
    let import = ["user", "import", "-", "--stretch", "light", "--tickets=2"];
    let imported = command(&import, data.path(), &lines);
    assert!(imported.status.success(), "{imported:?}");
    assert!(text(&imported.stderr).contains("imported 50 accounts"), "{imported:?}");
    let printed = text(&imported.stdout);
    let printed: Vec<Vec<&str>> = printed.lines().map(|line| line.split(' ').collect()).collect();
    assert_eq!(printed.len(), 100);
    for (at, line) in printed.iter().enumerate() {
        let [user, device, secret] = line[..] else { panic!("{line:?}") };
        assert_eq!(user, format!("user{}", at / 2), "in the order of the file");
        let device = DeviceId(unhex(device).try_into().expect("16 bytes"));
        login_of(&server, user, device, &With::Ticket(&unhex(secret))).expect("a good ticket");
    }
    login(&server, "user7", 1, &With::Password("secret 7")).expect("the right password");

    let faults = command(&import, data.path(), "new fine\nuser3 again\nbad\n");
    assert_eq!(faults.status.code(), Some(2), "{faults:?}");
    let told = text(&faults.stderr);
    assert!(told.contains("line 2: account `user3` exists already"), "{told}");
    assert!(told.contains("line 3: an ID, a space and the password"), "{told}");
    let listed = text(&command(&["user", "list"], data.path(), "").stdout);
    assert!(!listed.contains("new"), "all or nothing: {listed}");
    let missing = command(&["user", "import", "/nowhere/at/all"], data.path(), "");
    assert!(text(&missing.stderr).contains("cannot read /nowhere/at/all"), "{missing:?}");
    server.stop();
}
