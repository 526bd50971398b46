//! Attacks on the real server, each small: the attacker is bounded, and others are served meanwhile.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use chatproto::conn::FrameReader;
use chatproto::wire::{
    Blob, Body, Capabilities, ClientHello, CloseReason, DeviceId, ErrorCode, FrameType, HEADER_LEN,
    LoginStart, MAGIC, MAX_FRAME, NameRef, NoteRef, Ping, ToClient, VERSION,
};
use socket2::{Domain, Socket, Type};
use support::{Server, add_user, read_to_end};

/// How long anything may take before the test counts as failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// More than the sockets of both ways hold, and far less than a server could be made to keep.
const MOST_UNREAD: usize = 128 << 20;

/// Calls after which somebody who is told to come back gives up.
const MOST_CALLS: usize = 10_000;

const ATTACKER: [u8; 4] = [127, 0, 0, 66];
const NEIGHBOUR: [u8; 4] = [127, 0, 0, 1];

/// A server with these settings.
fn server(settings: &str, args: &[&str]) -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().expect("a data directory");
    add_user(data.path(), "alice");
    let file = data.path().join("hostile.toml");
    std::fs::write(&file, settings).expect("a file");
    let file = file.to_str().expect("a path in UTF-8");
    let server = Server::start(data.path(), &[args, &["--config", file]].concat());
    (data, server)
}

/// A caller from an address of its own on loopback.
fn call(server: &Server, from: [u8; 4]) -> TcpStream {
    let to: SocketAddr = server.addr.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("loopback is a whole network");
    socket.connect(&to.into()).expect("the server listens");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

fn hello() -> Vec<u8> {
    let hello = ClientHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: Capabilities::NONE,
        max_frame: MAX_FRAME,
        agent: NoteRef::EMPTY,
    };
    hello.to_bytes().to_vec()
}

/// Somebody else says hello and is answered.
fn serves_others(server: &Server) -> TcpStream {
    let mut stream = call(server, NEIGHBOUR);
    stream.write_all(&hello()).expect("it reads");
    let mut header = [0; 5];
    stream.read_exact(&mut header).expect("it answers");
    assert_eq!(header[4], FrameType::ServerHello.number());
    stream
}

/// The error and the bye among everything that came until the end.
fn verdict(stream: &mut TcpStream) -> (Option<ErrorCode>, Option<(CloseReason, u32)>) {
    let input = read_to_end(stream);
    let mut reader = FrameReader::new(MAX_FRAME);
    let (mut at, mut error, mut bye) = (0, None, None);
    loop {
        let step = reader.step(&input[at..]).expect("legal headers");
        at += step.used;
        let Some(raw) = step.frame else { return (error, bye) };
        match ToClient::decode(raw).expect("a legal frame") {
            Some(ToClient::Error(found)) => error = Some(found.code),
            Some(ToClient::Bye(found)) => bye = Some((found.reason, found.retry_after)),
            _ => {}
        }
    }
}

#[test]
fn who_connects_too_often_is_closed_unanswered() {
    let settings = "[network]\naccepts_per_address = 3\naccept_refill_per_address = \"1 h\"\n";
    let (_data, server) = server(settings, &["--insecure-plaintext"]);
    let mut callers: Vec<_> = (0..10).map(|_| call(&server, ATTACKER)).collect();
    for caller in callers.iter_mut().skip(3) {
        assert_eq!(read_to_end(caller), [], "not a byte");
    }
    for caller in callers.iter_mut().take(3) {
        caller.write_all(&hello()).expect("it reads");
        caller.read_exact(&mut [0; 5]).expect("those within the budget are served");
    }
    serves_others(&server);
}

#[test]
fn a_storm_of_logins_from_one_address_is_told_when_to_return() {
    let (_data, server) = server("[hub]\nmax_strangers_per_address = 2\n", &["--insecure-plaintext"]);
    let mut waiting: Vec<_> = (0..2).map(|_| call(&server, ATTACKER)).collect();
    for stream in &mut waiting {
        stream.write_all(&hello()).expect("it reads");
        stream.read_exact(&mut [0; 5]).expect("it answers");
    }
    for _ in 0..20 {
        let (_, bye) = verdict(&mut call(&server, ATTACKER));
        let (reason, retry_after) = bye.expect("a bye");
        assert_eq!(reason, CloseReason::Busy);
        assert!(retry_after > 0);
    }
    serves_others(&server);
}

#[test]
fn silence_in_the_handshake_takes_one_address_its_room_and_ends_in_time() {
    let settings = "[network]\nmax_handshakes_per_address = 4\nhandshake_timeout = \"1 s\"\n";
    let (_data, server) = server(settings, &[]);
    let mut silent: Vec<_> = (0..4).map(|_| call(&server, ATTACKER)).collect();
    for _ in 0..10 {
        assert_eq!(read_to_end(&mut call(&server, ATTACKER)), [], "not a byte");
    }
    // A neighbour's handshake is looked at: what is no TLS hears so.
    let mut neighbour = call(&server, NEIGHBOUR);
    neighbour.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    assert_ne!(read_to_end(&mut neighbour), [], "an alert");
    for stream in &mut silent {
        read_to_end(stream);
    }
    // Their room is free again.
    let mut again = call(&server, ATTACKER);
    again.write_all(b"GET / HTTP/1.0\r\n\r\n").expect("it reads");
    assert_ne!(read_to_end(&mut again), [], "an alert");
}

#[test]
fn half_a_hello_ends_at_its_deadline() {
    let (_data, server) = server("[connection]\nhandshake_timeout = \"1 s\"\n", &["--insecure-plaintext"]);
    let hello = hello();
    // Nothing, a piece of the header, a piece of the body: bytes that are no frame buy no time.
    let mut callers = [0, 3, hello.len() - 1].map(|len| (len, call(&server, ATTACKER)));
    for (len, slow) in &mut callers {
        slow.write_all(&hello[..*len]).expect("it reads");
    }
    serves_others(&server);
    for (len, slow) in &mut callers {
        let (_, bye) = verdict(slow);
        assert_eq!(bye.map(|(reason, _)| reason), Some(CloseReason::HandshakeTimeout), "{len} bytes");
    }
}

#[test]
fn a_byte_now_and_then_buys_no_time() {
    let (_data, server) = server("[connection]\nhandshake_timeout = \"1 s\"\n", &["--insecure-plaintext"]);
    let mut drip = call(&server, ATTACKER);
    // Each byte waits for a whole exchange with somebody else: the pace is the server's own.
    for byte in hello().iter().take(8) {
        drip.write_all(&[*byte]).expect("it reads");
        serves_others(&server);
    }
    let (_, bye) = verdict(&mut drip);
    assert_eq!(bye.map(|(reason, _)| reason), Some(CloseReason::HandshakeTimeout));
}

#[test]
fn a_flood_of_cheap_frames_ends_the_flooder() {
    let settings = "[connection]\nmax_frames = 100\nbudget_interval = \"1 min\"\n";
    let (_data, server) = server(settings, &["--insecure-plaintext"]);
    let mut flooder = call(&server, ATTACKER);
    flooder.write_all(&hello()).expect("it reads");
    let ping = Ping { nonce: 7 }.to_bytes();
    for _ in 0..10_000 {
        // A reset is an answer, too.
        if flooder.write_all(&ping).is_err() {
            break;
        }
    }
    serves_others(&server);
    let (error, bye) = verdict(&mut flooder);
    // What was on its way when the server closed may have turned the end into a reset that swallows it.
    assert!(matches!(error, None | Some(ErrorCode::Flood)), "{error:?}");
    assert!(matches!(bye, None | Some((CloseReason::Violation, _))), "{bye:?}");
}

#[test]
fn giant_claims_reserve_nothing_and_end_at_the_header() {
    let (_data, server) = server("", &["--insecure-plaintext"]);
    for claim in [u32::MAX, 1 << 30, 65_537, 1_025] {
        let mut giant = call(&server, ATTACKER);
        giant.write_all(&claim.to_be_bytes()).expect("it reads");
        giant.write_all(&[FrameType::ClientHello.number()]).expect("it reads");
        let (error, bye) = verdict(&mut giant);
        assert_eq!(error, Some(ErrorCode::TooLarge), "{claim}");
        assert_eq!(bye.map(|(reason, _)| reason), Some(CloseReason::Violation));
    }
    serves_others(&server);
}

#[test]
fn who_never_reads_is_not_waited_for() {
    let settings = "[connection]\nmax_frames = 10000000\nlogin_timeout = \"1 s\"\nclose_timeout = \"1 s\"\n";
    let (_data, server) = server(settings, &["--insecure-plaintext"]);
    let mut deaf = call(&server, ATTACKER);
    deaf.write_all(&hello()).expect("it reads");
    // Each ping is owed a pong that nobody takes. The server stops reading, so that its queue does not grow, and ends it.
    let pings = Ping { nonce: 7 }.to_bytes().repeat(1024);
    let mut sent = 0;
    let error = loop {
        match deaf.write(&pings) {
            Ok(len) => sent += len,
            Err(error) => break error,
        }
        assert!(sent < MOST_UNREAD, "the server takes whatever it is sent");
    };
    assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{error}");
    serves_others(&server);
}

#[test]
fn crowds_that_say_nothing_give_way_to_who_does() {
    // No deadline but the grace ends anybody here.
    let settings = "[hub]\nmax_strangers = 4\nstranger_grace = \"100 ms\"\n\
                    [connection]\nhandshake_timeout = \"1 h\"\n\
                    [network]\naccepts_per_address = 1000000\nmax_handshakes = 4\nhandshake_grace = \"100 ms\"\nhandshake_timeout = \"1 h\"\n";
    for args in [&["--insecure-plaintext"][..], &[]] {
        let (_data, server) = server(settings, args);
        let is_plain = !args.is_empty();
        // Each from an address of its own: nothing but the whole is full. Half of them drip.
        let mut crowd: Vec<_> = (0..48).map(|number| call(&server, [127, 0, 1, number + 1])).collect();
        for drip in crowd.iter_mut().step_by(2) {
            // It may have been told to go already.
            let _ = drip.write_all(if is_plain { &[0] } else { &[0x16] });
        }
        // What is no TLS hears so; before it is taken in, it waits for those who give way.
        let (words, answer) =
            if is_plain { (hello(), FrameType::ServerHello.number()) } else { (b"GET / ".to_vec(), 0x02) };
        // In plaintext, who comes while all the others have just come is told to come back, and does.
        let is_served = (0..MOST_CALLS).any(|_| {
            let mut neighbour = call(&server, NEIGHBOUR);
            let mut header = [0; 5];
            let is_heard = neighbour.write_all(&words).and_then(|()| neighbour.read_exact(&mut header));
            // The type of the frame, or the length of a TLS alert.
            is_heard.is_ok() && header[4] == answer
        });
        assert!(is_served, "{args:?}");
    }
}

#[test]
fn versions_and_mechanisms_cannot_be_talked_down() {
    let (_data, server) = server("", &["--insecure-plaintext"]);
    for (min, max) in [(0, 0), (0, VERSION - 1), (VERSION + 1, u8::MAX), (VERSION + 1, VERSION)] {
        let mut caller = call(&server, ATTACKER);
        let mut hello = hello();
        // Behind the header and the magic.
        let at = HEADER_LEN + MAGIC.len();
        hello[at..at + 2].copy_from_slice(&[min, max]);
        caller.write_all(&hello).expect("it reads");
        let (error, bye) = verdict(&mut caller);
        assert_eq!(error, Some(ErrorCode::Version), "{min} to {max}");
        assert_eq!(bye.map(|(reason, _)| reason), Some(CloseReason::Violation));
    }
    for mechanism in ["plain", "none", "", "OPAQUE-RISTRETTO255-ARGON2ID"] {
        let mut caller = call(&server, ATTACKER);
        let start = LoginStart {
            user: NameRef::new("alice").expect("a name"),
            device: DeviceId([1; 16]),
            mechanism: NoteRef::new(mechanism).expect("a note"),
            data: Blob::new(support::PASSWORD.as_bytes()).expect("short"),
        };
        caller.write_all(&[hello(), start.to_bytes().to_vec()].concat()).expect("it reads");
        caller.shutdown(std::net::Shutdown::Write).expect("it has said everything");
        let (error, _) = verdict(&mut caller);
        assert!(error.is_some(), "`{mechanism}` is no way in");
    }
    serves_others(&server);
}

#[test]
fn frames_in_pieces_of_a_byte_are_frames_and_cost_no_more() {
    let (_data, server) = server("", &["--insecure-plaintext"]);
    let mut caller = call(&server, ATTACKER);
    caller.set_nodelay(true).expect("small packets");
    let script = [hello(), Ping { nonce: 7 }.to_bytes().to_vec().repeat(50)].concat();
    for byte in script {
        caller.write_all(&[byte]).expect("it reads");
    }
    let mut frame = || {
        let mut header = [0; HEADER_LEN];
        caller.read_exact(&mut header).expect("it answers");
        let [length @ .., kind] = header;
        let mut body = vec![0; u32::from_be_bytes(length) as usize - 1];
        caller.read_exact(&mut body).expect("all of it");
        kind
    };
    assert_eq!(frame(), FrameType::ServerHello.number());
    (0..50).for_each(|_| assert_eq!(frame(), FrameType::Pong.number()));
}
