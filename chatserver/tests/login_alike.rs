//! A wrong password and an unknown ID are answered alike: the same bytes, and as far as a stranger can measure, in the same time.
//! So are the accounts that once were and those that may not log in, all that can be wrong with a ticket, and whoever wants to
//! register without an invitation.
//!
//! The bytes are compared here. Times are printed and compared, over as many tries as `LOGIN_TRIES` says:
//!
//! ```sh
//! LOGIN_TRIES=1000 cargo test --release -p chatserver --test login_alike -- --nocapture
//! ```

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use chatproto::opaque::{
    ClientLogin, ClientRegistration, FINALIZATION_LEN, MECHANISM, OsRng, Password, RESPONSE_LEN,
};
use chatproto::ticket;
use chatproto::wire::{
    Blob, Body, Capabilities, Capability, ClientHello, DeviceId, ErrorCode, FrameType, HEADER_LEN,
    LoginResponse, LoginStart, MAGIC, MAX_FRAME, NameRef, NoteRef, RegisterFinish, RegisterStart, VERSION,
};
use chatserver::store::{Accounts, DataDir};
use support::{PASSWORD, Server, add_user, command, read_to_end};

/// Tries of each kind when nobody says otherwise.
const FEW: usize = 10;

/// How one login went that was bound to fail.
struct Try {
    /// From the request to the challenge.
    challenge: Duration,
    /// From the wrong proof to the refusal.
    refusal: Duration,
    /// The stretch of the challenge, and all that came after it.
    seen: (Vec<u8>, Vec<u8>),
}

fn frame(stream: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; HEADER_LEN];
    stream.read_exact(&mut header).expect("a frame");
    let len = u32::from_be_bytes(header[..4].try_into().expect("four bytes"));
    let mut body = vec![0; usize::try_from(len).expect("a small frame") - 1];
    stream.read_exact(&mut body).expect("a body");
    body.insert(0, header[4]);
    body
}

/// A connection on which a login may begin.
fn greeted(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
    stream.set_nodelay(true).expect("an option");
    let hello = ClientHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: Capabilities::NONE.with(Capability::Tickets).with(Capability::Register),
        max_frame: MAX_FRAME,
        agent: NoteRef::EMPTY,
    };
    stream.write_all(&hello.to_bytes()).expect("sent");
    assert_eq!(frame(&mut stream)[0], FrameType::ServerHello.number());
    stream
}

fn start(user: &str, mechanism: &str, data: &[u8]) -> Vec<u8> {
    let start = LoginStart {
        user: NameRef::new(user).expect("a name"),
        device: DeviceId([7; 16]),
        mechanism: NoteRef::new(mechanism).expect("a note"),
        data: Blob::new(data).expect("a blob"),
    };
    start.to_bytes().to_vec()
}

fn attempt(server: &Server, user: &str) -> Try {
    let mut stream = greeted(server);
    let password = Password::new("wrong").expect("a password");
    let (_, request) = ClientLogin::start(password, &mut OsRng).expect("a request");
    let start = start(user, MECHANISM, &request);
    let began = Instant::now();
    stream.write_all(&start).expect("sent");
    let challenge = frame(&mut stream);
    let to_challenge = began.elapsed();
    assert_eq!(challenge[0], FrameType::LoginChallenge.number());
    // Type, length of the blob, stretch and KE2.
    assert_eq!(challenge.len(), 3 + RESPONSE_LEN);
    let proof = LoginResponse { data: Blob::new(&[9; FINALIZATION_LEN]).expect("a blob") }.to_bytes();
    let began = Instant::now();
    stream.write_all(&proof).expect("sent");
    let refusal = frame(&mut stream);
    let to_refusal = began.elapsed();
    let seen = (challenge[3..9].to_vec(), [refusal, read_to_end(&mut stream)].concat());
    Try { challenge: to_challenge, refusal: to_refusal, seen }
}

/// All that comes back for a ticket that is not good, and how long the first of it took.
fn show_ticket(server: &Server, user: &str) -> (Vec<u8>, Duration) {
    let mut stream = greeted(server);
    let start = start(user, ticket::MECHANISM, &[5; ticket::LEN]);
    let began = Instant::now();
    stream.write_all(&start).expect("sent");
    let refusal = frame(&mut stream);
    let took = began.elapsed();
    ([refusal, read_to_end(&mut stream)].concat(), took)
}

/// The greatest distance between the two distributions (Kolmogorov and Smirnov): 0 for the same, 1 for two that do not touch.
fn distance(one: &[Duration], other: &[Duration]) -> f64 {
    let share =
        |times: &[Duration], at| times.partition_point(|time| *time <= at) as f64 / times.len() as f64;
    one.iter().chain(other).map(|at| (share(one, *at) - share(other, *at)).abs()).fold(0.0, f64::max)
}

fn print(what: &str, mut known: Vec<Duration>, mut unknown: Vec<Duration>) {
    known.sort();
    unknown.sort();
    let shown = |times: &[Duration]| {
        let at = |percent: usize| times[(times.len() - 1) * percent / 100].as_secs_f64() * 1e6;
        format!("{:7.1} {:7.1} {:7.1} {:7.1}", at(10), at(50), at(90), at(99))
    };
    // Past this, two samples of one distribution differ in one case of a hundred.
    let bound = 1.63 * (2.0 / known.len() as f64).sqrt();
    let distance = distance(&known, &unknown);
    let verdict = if distance <= bound { "cannot be told apart" } else { "CAN BE TOLD APART" };
    println!("{what:10} known ID    {}  us (10, 50, 90, 99 %), {} tries", shown(&known), known.len());
    println!("{what:10} unknown ID  {}  us", shown(&unknown));
    println!("{what:10} distance {distance:.3}, chance alone gives up to {bound:.3}: {verdict}");
}

fn tries() -> usize {
    std::env::var("LOGIN_TRIES").map_or(FEW, |tries| tries.parse().expect("a number"))
}

/// A server with budgets for all of these tries, and these accounts.
fn world(temp: &Path, users: &[&str]) -> (PathBuf, Server) {
    world_with(temp, users, "registrations_per_address = 1000000\n")
}

/// The same, with more settings about accounts.
fn world_with(temp: &Path, users: &[&str], accounts: &str) -> (PathBuf, Server) {
    let data = temp.join("data");
    for user in users {
        add_user(&data, user);
    }
    let config = temp.join("settings.toml");
    let text = format!(
        "[accounts]\nmax_attempts = 1000000\nmax_attempts_per_address = 1000000\nregistrations = 1000000\n\
         stretch = \"light\"\n{accounts}[network]\naccepts_per_address = 1000000\naccepts = 1000000\n"
    );
    std::fs::write(&config, text).expect("a file");
    let config = config.to_str().expect("a path");
    let args = ["--insecure-plaintext", "--plaintext-tickets", "--config", config];
    let server = Server::start(&data, &args);
    (data, server)
}

#[test]
fn a_wrong_password_and_an_unknown_id_are_answered_alike() {
    let temp = tempfile::tempdir().expect("a directory");
    let (_, server) = world(temp.path(), &["known"]);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..tries() {
        // In turns, and not always in the same order.
        if round % 2 == 0 {
            known.push(attempt(&server, "known"));
            unknown.push(attempt(&server, "nobody"));
        } else {
            unknown.push(attempt(&server, "nobody"));
            known.push(attempt(&server, "known"));
        }
    }
    for attempt in known.iter().chain(&unknown) {
        assert_eq!(attempt.seen, known[0].seen);
    }
    let times = |tries: &[Try], which: fn(&Try) -> Duration| tries.iter().map(which).collect::<Vec<_>>();
    print("challenge", times(&known, |one| one.challenge), times(&unknown, |one| one.challenge));
    print("refusal", times(&known, |one| one.refusal), times(&unknown, |one| one.refusal));
    server.stop();
}

#[test]
fn a_bad_ticket_of_somebody_and_of_nobody_is_answered_alike() {
    let temp = tempfile::tempdir().expect("a directory");
    let (_, server) = world(temp.path(), &["known"]);
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for round in 0..tries() {
        let users = if round % 2 == 0 { ["known", "nobody"] } else { ["nobody", "known"] };
        for user in users {
            let answered = show_ticket(&server, user);
            if user == "known" { known.push(answered) } else { unknown.push(answered) }
        }
    }
    assert!(known.iter().chain(&unknown).all(|(seen, _)| *seen == known[0].0));
    let times = |tries: &[(Vec<u8>, Duration)]| tries.iter().map(|(_, took)| *took).collect::<Vec<_>>();
    print("ticket", times(&known), times(&unknown));
    server.stop();
}

#[test]
fn accounts_that_were_removed_or_may_not_log_in_look_like_none() {
    let temp = tempfile::tempdir().expect("a directory");
    let (data, server) = world(temp.path(), &["gone", "disabled", "changed"]);
    assert!(command(&["user", "remove", "gone"], &data, "").status.success());
    let mut accounts = Accounts::open(&DataDir::open(&data).expect("a directory")).expect("accounts");
    accounts.set_disabled("disabled", true).expect("disabled");
    let passwd = ["user", "passwd", "changed", "--password-stdin", "--stretch", "light"];
    assert!(command(&passwd, &data, &format!("another {PASSWORD}\n")).status.success());
    let (nobody, (no_ticket, _)) = (attempt(&server, "nobody"), show_ticket(&server, "nobody"));
    for user in ["gone", "disabled", "changed"] {
        assert_eq!(attempt(&server, user).seen, nobody.seen, "{user}");
        assert_eq!(show_ticket(&server, user).0, no_ticket, "{user}");
    }
    server.stop();
}

/// All that a stranger is told who registers.
struct Application {
    /// The offer without what differs for each ID, and all that came after the record.
    seen: (usize, Vec<u8>, Vec<u8>),
}

/// Begins to register with an invitation that does not exist; what comes first, and after how long.
fn begin(server: &Server, user: &str) -> (TcpStream, ClientRegistration, Vec<u8>, Duration) {
    let mut stream = greeted(server);
    let password = Password::new("a new one").expect("a password");
    let (registration, request) = ClientRegistration::start(password, &mut OsRng).expect("a request");
    let start = RegisterStart {
        user: NameRef::new(user).expect("a name"),
        mechanism: NoteRef::new(MECHANISM).expect("a note"),
        invite: NoteRef::new("no-such-invitation").expect("a note"),
        data: Blob::new(&request).expect("a blob"),
    };
    let began = Instant::now();
    stream.write_all(&start.to_bytes()).expect("sent");
    let reply = frame(&mut stream);
    (stream, registration, reply, began.elapsed())
}

fn apply(server: &Server, user: &str) -> Application {
    let (mut stream, registration, reply, _) = begin(server, user);
    assert_eq!(reply[0], FrameType::AccountReply.number(), "{reply:?}");
    // Type, request, and the length of the blob.
    let offer = &reply[7..];
    let record = registration.take_offer(offer, user, &mut OsRng).expect("a good offer");
    let finish = RegisterFinish { data: Blob::new(&record).expect("a blob") }.to_bytes();
    stream.write_all(&finish).expect("sent");
    let refusal = frame(&mut stream);
    // Who has an account now could log in: nothing more is said, and so the server ends it.
    let _ = stream.shutdown(Shutdown::Write);
    // The stretch and the server's key are the same for all; between them is what is computed for the ID.
    let same = [&offer[..6], &offer[38..]].concat();
    Application { seen: (reply.len(), same, [refusal, read_to_end(&mut stream)].concat()) }
}

/// Who has no invitation learns nothing of who is there: a taken ID and a free one are answered alike, before anything is
/// computed for them.
#[test]
fn without_an_invitation_a_taken_id_and_a_free_one_are_answered_alike() {
    let temp = tempfile::tempdir().expect("a directory");
    let (_, server) = world_with(
        temp.path(),
        &["known"],
        "registration = \"invite\"\nregistrations_per_address = 1000000\n",
    );
    let (mut taken, mut free) = (Vec::new(), Vec::new());
    for round in 0..tries() {
        let users = if round % 2 == 0 { ["known", "nobody"] } else { ["nobody", "known"] };
        for user in users {
            let (mut stream, _, refusal, took) = begin(&server, user);
            let _ = stream.shutdown(Shutdown::Write);
            let seen = [refusal, read_to_end(&mut stream)].concat();
            if user == "known" { taken.push((seen, took)) } else { free.push((seen, took)) }
        }
    }
    assert_eq!(u16::from_be_bytes([taken[0].0[1], taken[0].0[2]]), ErrorCode::BadInvite.number());
    assert!(taken.iter().chain(&free).all(|(seen, _)| *seen == taken[0].0));
    let times = |all: &[(Vec<u8>, Duration)]| all.iter().map(|(_, took)| *took).collect::<Vec<_>>();
    print("invitation", times(&taken), times(&free));
    server.stop();
}

/// Where everybody may register, whoever does so to the end must be told that an ID is taken. Nobody is told before: the offer is
/// the same, and each try is one of the few that an address has.
#[test]
fn with_open_registration_a_taken_id_is_told_at_the_end_and_costs_a_try() {
    let temp = tempfile::tempdir().expect("a directory");
    let settings = "registration = \"open\"\nregistrations_per_address = 3\n";
    let (_, server) = world_with(temp.path(), &["known"], settings);
    let (first, second, new) = (apply(&server, "known"), apply(&server, "Known"), apply(&server, "nobody"));
    assert_eq!((&first.seen.0, &first.seen.1), (&new.seen.0, &new.seen.1), "the offers differ");
    let code = |application: &Application| {
        let answer = &application.seen.2;
        // An error begins with its type and its code.
        (answer[0] == FrameType::Error.number()).then(|| u16::from_be_bytes([answer[1], answer[2]]))
    };
    assert_eq!(code(&first), Some(ErrorCode::NameTaken.number()));
    assert_eq!(code(&second), Some(ErrorCode::NameTaken.number()), "it could be mistaken for the first");
    assert_eq!(code(&new), None);
    let mut stream = greeted(&server);
    let (_, request) = ClientRegistration::start(Password::new("a new one").expect("a password"), &mut OsRng)
        .expect("a request");
    let start = RegisterStart {
        user: NameRef::new("another").expect("a name"),
        mechanism: NoteRef::new(MECHANISM).expect("a note"),
        invite: NoteRef::EMPTY,
        data: Blob::new(&request).expect("a blob"),
    };
    stream.write_all(&start.to_bytes()).expect("sent");
    let refusal = frame(&mut stream);
    assert_eq!(refusal[0], FrameType::Error.number());
    assert_eq!(u16::from_be_bytes([refusal[1], refusal[2]]), ErrorCode::TooManyAttempts.number());
    server.stop();
}
