//! What the server does with what it should never get: each time a clear answer, and nobody else notices.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};

use chatproto::conn::FrameReader;
use chatproto::wire::{
    Body, Capabilities, ClientHello, CloseReason, ErrorCode, MAGIC, MAX_FRAME, NameRef, NoteRef, Say, Target,
    TextRef, ToClient, VERSION,
};
use support::{Server, add_user, command, read_to_end, text};

fn plaintext() -> (tempfile::TempDir, Server) {
    let data = tempfile::tempdir().expect("a data directory");
    add_user(data.path(), "alice");
    let server = Server::start(data.path(), &["--insecure-plaintext"]);
    (data, server)
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

/// Sends `bytes` on a new connection and reads all that comes back: the error, its note, and the reason of the bye.
fn answer(server: &Server, bytes: &[u8]) -> (Option<(ErrorCode, String)>, Option<CloseReason>) {
    let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
    stream.write_all(bytes).expect("it reads");
    let input = read_to_end(&mut stream);
    let mut reader = FrameReader::new(MAX_FRAME);
    let (mut at, mut error, mut bye) = (0, None, None);
    loop {
        let step = reader.step(&input[at..]).expect("legal headers");
        at += step.used;
        let Some(raw) = step.frame else { return (error, bye) };
        match ToClient::decode(raw).expect("a legal frame") {
            Some(ToClient::Error(found)) => error = Some((found.code, found.note.as_str().to_owned())),
            Some(ToClient::Bye(found)) => bye = Some(found.reason),
            other => assert!(matches!(other, Some(ToClient::ServerHello(_))), "{other:?}"),
        }
    }
}

/// The server still serves: a hello is answered.
fn still_serves(server: &Server) {
    let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
    stream.write_all(&hello()).expect("it reads");
    let mut header = [0; 5];
    stream.read_exact(&mut header).expect("it answers");
    assert_eq!(header[4], chatproto::wire::FrameType::ServerHello.number());
}

#[test]
fn other_protocols_and_giant_lengths_are_refused_at_the_header() {
    let (_data, server) = plaintext();
    let cases: [(&[u8], ErrorCode, &str); 5] = [
        (b"GET / HTTP/1.0\r\n\r\n", ErrorCode::TooLarge, "HTTP"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", ErrorCode::TooLarge, "TLS"),
        (b"\xff\xff\xff\xff\x10", ErrorCode::TooLarge, "4294967295"),
        (b"\0\0\0\0", ErrorCode::Malformed, "length 0"),
        (b"\0\0\0\x01\x7e", ErrorCode::UnknownFrame, "0x7e"),
    ];
    for (bytes, code, note) in cases {
        let (error, bye) = answer(&server, bytes);
        let (found, said) = error.unwrap_or_else(|| panic!("no error for {bytes:?}"));
        assert_eq!((found, bye), (code, Some(CloseReason::Violation)), "{said}");
        assert!(said.contains(note), "{said:?} does not mention {note}");
    }
    still_serves(&server);
}

#[test]
fn a_frame_in_the_wrong_state_is_named_with_the_state() {
    let (_data, server) = plaintext();
    let target = Target::Room(NameRef::new("lobby").expect("a name"));
    let say = Say { counter: 1, target, text: TextRef::new("hi").expect("a text") }.to_bytes();
    for before in [Vec::new(), hello()] {
        let (error, bye) = answer(&server, &[before.as_slice(), &say].concat());
        let (code, note) = error.expect("an error");
        assert_eq!((code, bye), (ErrorCode::WrongState, Some(CloseReason::Violation)));
        assert!(note.contains("`say`") && note.contains("while"), "{note}");
    }
    still_serves(&server);
}

#[test]
fn a_body_that_is_cut_or_too_long_is_named_with_its_field() {
    let (_data, server) = plaintext();
    let mut short = hello();
    short.truncate(short.len() - 1);
    short[3] -= 1;
    let mut long = hello();
    long.push(0);
    long[3] += 1;
    for (bytes, note) in [(short, "agent"), (long, "1 bytes follow")] {
        let (error, _) = answer(&server, &bytes);
        let (code, said) = error.expect("an error");
        assert_eq!(code, ErrorCode::Malformed);
        assert!(said.contains("client_hello") && said.contains(note), "{said}");
    }
    still_serves(&server);
}

#[test]
fn a_stream_that_ends_inside_a_frame_disturbs_nobody() {
    let (_data, server) = plaintext();
    for len in 0..hello().len() {
        let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
        stream.write_all(&hello()[..len]).expect("it reads");
        stream.shutdown(Shutdown::Write).expect("half closed");
        assert_eq!(read_to_end(&mut stream), b"", "nothing to say to the first {len} bytes");
    }
    still_serves(&server);
}

#[test]
fn a_hello_in_plaintext_to_a_tls_port_ends_at_once() {
    let data = tempfile::tempdir().expect("a data directory");
    let server = Server::start(data.path(), &[]);
    let mut stream = TcpStream::connect(&server.addr).expect("the server listens");
    stream.write_all(&hello()).expect("it reads");
    let input = read_to_end(&mut stream);
    // Without TLS there are probes and relays, and no login: an error and a bye, nothing about accounts.
    let numbers = [input.get(4), input.get(5), input.get(6)];
    assert_eq!(numbers, [Some(&4), Some(&0), Some(&4)], "`error` with `wrong_state`: {input:?}");
    let len = usize::from(input[3]) + 4;
    assert_eq!(input.get(len + 4), Some(&3), "then `bye`, and nothing else: {input:?}");
    assert_eq!(input.len(), len + 4 + usize::from(input[len + 3]), "{input:?}");
    server.stop();
}

#[test]
fn a_port_or_a_directory_in_use_is_named() {
    let data = tempfile::tempdir().expect("a data directory");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = taken.local_addr().expect("an address").to_string();
    let output = command(&["--listen", &addr], data.path(), "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains(&format!("cannot listen on {addr}")), "{}", text(&output.stderr));

    let server = Server::start(data.path(), &[]);
    let output = command(&["--listen", "127.0.0.1:0"], data.path(), "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("in use by another server"), "{}", text(&output.stderr));
    server.stop();
}

#[test]
fn account_commands_say_what_is_wrong() {
    let data = tempfile::tempdir().expect("a data directory");
    let add = |name: &str, input: &str| {
        command(&["user", "add", name, "--password-stdin", "--stretch", "light"], data.path(), input)
    };
    assert!(add("alice", "secret\n").status.success());
    let cases = [
        (add("alice", "secret\n"), 1, "`alice` exists already"),
        (add("al ice", "secret\n"), 2, "forbidden character U+0020"),
        (add("", "secret\n"), 2, "empty"),
        (add("a\u{202e}b", "secret\n"), 2, "U+202E"),
        (add("bob", "\n"), 2, "password"),
        (command(&["user", "remove", "carol"], data.path(), ""), 5, "no account `carol`"),
        (
            command(&["user", "passwd", "carol", "--password-stdin"], data.path(), "x\n"),
            5,
            "no account `carol`",
        ),
    ];
    for (output, code, message) in cases {
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(message), "{said:?} does not say {message:?}");
        assert!(!said.contains('\u{202e}'), "what a terminal would obey is escaped");
    }
    let list = command(&["user", "list"], data.path(), "");
    assert_eq!(text(&list.stdout), "alice\n");
    assert!(command(&["user", "remove", "alice"], data.path(), "").status.success());
    assert_eq!(text(&command(&["user", "list"], data.path(), "").stdout), "");
}

#[test]
fn plaintext_off_loopback_needs_to_be_insisted_on() {
    let data = tempfile::tempdir().expect("a data directory");
    let output = command(&["--listen", "0.0.0.0:0", "--insecure-plaintext"], data.path(), "");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("--insecure-plaintext-anywhere"), "{}", text(&output.stderr));
}

#[test]
fn a_data_directory_that_is_not_there_is_named_and_not_made() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let missing = scratch.path().join("misspelt");
    for verb in [&["user", "list"][..], &["user", "remove", "alice"], &["user", "passwd", "alice"]] {
        let output = command(verb, &missing, "");
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(5), "{said}");
        assert!(said.contains("misspelt"), "{said}");
    }
    let output = command(&["--listen", "127.0.0.1:0", "--max-devices", "0"], &missing, "");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(!missing.exists());
}
