//! Who is believed: a man in the middle of a first contact, a certificate that rolls on, the keys of people, who may ask.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use chatnet::{
    ClientTls, ConnToken, ConnectOptions, Identity, Net, NetConfig, NetEvent, Read, Security, ServerTls,
};
use chatproto::wire::FrameType;
use harness::{Client, Options, PASSWORD, PATIENCE, Scratch, Server, program};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    (scratch, server)
}

/// Stands between a client and the server with a certificate of its own: relays every byte, and reads all of them.
/// Gives its address, and at the end what the client had said.
fn man_in_the_middle(server: SocketAddr) -> (SocketAddr, Receiver<Vec<u8>>) {
    let mut net = Net::new(NetConfig::default()).expect("a loop");
    let identity = Identity::generate(["localhost"]).expect("a certificate");
    let tls = ServerTls::new(&identity).expect("TLS");
    let anywhere = "127.0.0.1:0".parse().expect("an address");
    let (_, addr) = net.listen(anywhere, Security::TlsServer(tls)).expect("a port");
    let (told, heard) = channel();
    std::thread::spawn(move || {
        let options = || ConnectOptions {
            security: Security::TlsClient(ClientTls::trust_first().expect("TLS")),
            timeout: PATIENCE,
        };
        // Both ways: what came on one end goes out on the other.
        let mut other: BTreeMap<ConnToken, ConnToken> = BTreeMap::new();
        let mut waiting: BTreeMap<ConnToken, Vec<u8>> = BTreeMap::new();
        let mut said = Vec::new();
        let mut victim = None;
        let mut events = Vec::new();
        loop {
            net.turn(None, &mut events).expect("a turn");
            for event in events.drain(..) {
                match event {
                    NetEvent::Connected { token, .. } if !other.contains_key(&token) => {
                        let upstream = net.connect(server, options()).expect("the server is there");
                        victim = Some(token);
                        other.insert(token, upstream);
                        other.insert(upstream, token);
                    }
                    NetEvent::Readable { token } => loop {
                        match net.read(token) {
                            Read::Bytes(bytes) => {
                                if victim == Some(token) {
                                    said.extend_from_slice(bytes);
                                }
                                waiting.entry(other[&token]).or_default().extend_from_slice(bytes);
                            }
                            Read::Eof if victim == Some(token) => {
                                let _ = told.send(said);
                                return;
                            }
                            Read::Eof | Read::Empty | Read::Closed => break,
                        }
                    },
                    NetEvent::Closed { token, .. } if victim == Some(token) => {
                        let _ = told.send(said);
                        return;
                    }
                    NetEvent::Accepted { .. }
                    | NetEvent::Connected { .. }
                    | NetEvent::Writable { .. }
                    | NetEvent::Closed { .. }
                    | NetEvent::AcceptPaused { .. }
                    | NetEvent::Woken
                    | NetEvent::Signal(_) => {}
                }
            }
            for (to, bytes) in &mut waiting {
                let mut rest = &bytes[..];
                let _ = net.write(*to, &mut rest);
                let left = rest.to_vec();
                *bytes = left;
            }
        }
    });
    (addr, heard)
}

/// The types of the frames in a stream.
fn frame_types(mut stream: &[u8]) -> Vec<u8> {
    let mut types = Vec::new();
    while stream.len() > 4 {
        let len = u32::from_be_bytes(stream[..4].try_into().expect("four bytes"));
        types.push(stream[4]);
        stream = &stream[4 + usize::try_from(len).expect("a small frame")..];
    }
    types
}

#[test]
fn a_man_in_the_middle_of_a_first_contact_fails_and_learns_nothing() {
    let (scratch, server) = world();
    let (addr, heard) = man_in_the_middle(server.addr.parse().expect("an address"));
    let client = Options::bare("alice", &addr.to_string(), &scratch).arg("--trust-first").start();
    let (status, events) = client.finish();
    assert_eq!(status.code(), Some(4), "the login fails, though the password is right: {events:#?}");
    let error = events.iter().find(|event| event["event"] == "error").expect("an error");
    assert_eq!(error["code"], "login_refused");
    let message = error["message"].as_str().expect("a text");
    assert!(message.contains("somebody may stand in between"), "{message}");
    // It has seen the blinded request, from which nothing follows without the server's key; not the proof, nor a password.
    let said = heard.recv_timeout(PATIENCE).expect("it relayed");
    let types = frame_types(&said);
    assert!(types.contains(&FrameType::LoginStart.number()), "{types:x?}");
    assert!(!types.contains(&FrameType::LoginResponse.number()), "{types:x?}");
    assert!(!said.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes()));
    // Nothing is pinned: the next try, at the server itself, is a first contact again, and works.
    assert!(!scratch.path("alice-state").join("known_servers").exists());
    let mut alice =
        Client::ready(Options::bare("alice", &server.addr, &scratch).arg("--trust-first").arg("--stay"));
    alice.type_line("safe");
    alice.expect("posted", |_| true);
    alice.quit();
    server.stop();
}

fn rotate(scratch: &Scratch, args: &[&str]) {
    let mut command = Command::new(program("chatserver"));
    command.arg("rotate").args(args).arg("--data").arg(scratch.path("server"));
    assert!(command.output().expect("the command runs").status.success(), "{args:?}");
}

#[test]
fn a_certificate_that_was_announced_rolls_on_and_another_stops_loudly() {
    let (scratch, server) = world();
    let bare = |user: &str| Options::bare(user, &server.addr, &scratch).arg("--stay");
    let known = |user: &str| {
        let file = scratch.path(&format!("{user}-state")).join("known_servers");
        std::fs::read_to_string(file).expect("the file of the pins")
    };
    let mut alice = Client::ready(bare("alice").arg("--trust-first"));
    // Bob was here before it was announced, and not since.
    Client::ready(bare("bob").arg("--trust-first")).quit();
    let before = server.fingerprint.clone().expect("a fingerprint");
    assert!(known("alice").contains(&format!("{} {before}\n", server.addr)), "{}", known("alice"));
    rotate(&scratch, &[]);
    server.reload();
    let line = server.expect_log("the next certificate is");
    let after = line.rsplit(' ').next().expect("a fingerprint").to_owned();
    // Whoever is here hears of it, and whoever comes. What is said later shows that it has arrived.
    alice.type_line("did you hear?");
    alice.expect("posted", |_| true);
    alice.quit();
    assert!(known("alice").contains(&format!("{before} next {after}\n")), "{}", known("alice"));
    rotate(&scratch, &["--now"]);
    server.reload();
    server.expect_log("new connections get the certificate");
    // The session ticket holds, too: it is the same server.
    Client::ready(bare("alice").without_password()).quit();
    assert!(known("alice").contains(&format!("{} {after}\n", server.addr)), "{}", known("alice"));
    let (status, events) = bare("bob").start().finish();
    let error = events.iter().find(|event| event["event"] == "error").expect("an error");
    assert_eq!((status.code(), &error["code"]), (Some(3), &"server_key_changed".into()), "{error}");
    server.stop();
}

/// A backup is taken between the announcement and the change, and restored where the disk was lost.
#[test]
fn a_certificate_that_was_announced_rolls_on_from_a_backup() {
    let (scratch, server) = world();
    Client::ready(Options::bare("alice", &server.addr, &scratch).arg("--trust-first").arg("--stay")).quit();
    rotate(&scratch, &[]);
    server.reload();
    server.expect_log("the next certificate is");
    let alice = Client::ready(Options::bare("alice", &server.addr, &scratch).arg("--stay"));
    alice.quit();
    let run = |args: &[&str], data: &str| {
        let mut command = Command::new(program("chatserver"));
        command.args(args).arg("--data").arg(scratch.path(data));
        let output = command.output().expect("the command runs");
        assert!(output.status.success(), "{args:?}: {output:?}");
    };
    let file = scratch.path("backup");
    run(&["backup", file.to_str().expect("a path")], "server");
    let addr = server.addr.clone();
    server.kill();
    run(&["restore", file.to_str().expect("a path")], "restored");
    run(&["rotate", "--now"], "restored");
    let restored = Server::start_with(&scratch.path("restored"), &addr, &[]);
    Client::ready(Options::bare("alice", &addr, &scratch).arg("--stay")).quit();
    let known = std::fs::read_to_string(scratch.path("alice-state").join("known_servers")).expect("the pins");
    let now = restored.fingerprint.clone().expect("a fingerprint");
    assert!(known.contains(&format!("{addr} {now}\n")), "{known}");
    restored.stop();
}

#[test]
fn people_compare_codes_and_a_changed_key_waits_for_a_word() {
    let (scratch, server) = world();
    let accepting = || Options::new("bob", &server, &scratch).arg("--accept").arg("all");
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(accepting());
    alice.type_line("/verify bob");
    assert_eq!(alice.expect("error", |_| true)["code"], "no_peer");
    alice.type_line("/file bob");
    let connected = alice.expect("peer_connected", |_| true);
    assert_eq!(connected["verified"], false, "{connected}");
    alice.expect("file_list", |_| true);
    bob.expect("peer_connected", |_| true);
    let code = |client: &mut Client, of: &str| {
        client.type_line(&format!("/verify {of}"));
        let keys = client.expect("peer_keys", |event| event["peer"] == of);
        (keys["keys"][0]["code"].as_str().expect("a code").to_owned(), keys["keys"][0]["verified"].clone())
    };
    let (hers, _) = code(&mut alice, "bob");
    let (his, _) = code(&mut bob, "alice");
    assert_eq!(hers, his);
    alice.type_line("/verify bob 00000 11111 22222 33333 44444 55555 66666 77777");
    assert_eq!(alice.expect("error", |_| true)["code"], "key_mismatch");
    alice.type_line(&format!("/verify bob {his}"));
    assert_eq!(alice.expect("peer_keys", |_| true)["keys"][0]["verified"], true);
    alice.type_line("/peers");
    assert_eq!(alice.expect("peers", |_| true)["peers"][0]["verified"], true);

    // Bob's device comes back with another key.
    bob.quit();
    alice.expect("peer_closed", |_| true);
    std::fs::remove_file(scratch.path("bob-state").join("device.pem")).expect("the key was there");
    let bob = Client::ready(accepting());
    alice.type_line("/file bob");
    assert_eq!(alice.expect("peer_failed", |_| true)["verdict"], "key_mismatch");
    alice.type_line("/trust bob");
    let keys = alice.expect("peer_keys", |_| true);
    assert_eq!(keys["keys"][0]["verified"], false, "another key is not verified: {keys}");
    alice.type_line("/file bob");
    assert_eq!(alice.expect("peer_connected", |_| true)["verified"], false);
    drop(bob);
    drop(alice);
    server.stop();
}

#[test]
fn rules_for_people_and_rooms_answer_in_the_users_place() {
    let (scratch, server) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let denied = |alice: &mut Client| {
        alice.type_line("/file bob");
        assert_eq!(alice.expect("peer_failed", |_| true)["verdict"], "denied");
    };
    bob.type_line("/consent #lobby never");
    bob.expect("consent", |event| event["rules"][0]["room"] == "lobby");
    denied(&mut alice);
    // The rule for a person goes before those of rooms.
    bob.type_line("/consent alice always");
    bob.expect("consent", |event| event["rules"][0]["user"] == "alice" && event["otherwise"] == "ask");
    alice.type_line("/file bob");
    alice.expect("file_list", |_| true);
    alice.type_line("/hangup bob");
    alice.expect("peer_closed", |_| true);
    bob.expect("peer_closed", |_| true);
    bob.type_line("/consent alice never");
    bob.expect("consent", |event| event["rules"][0]["rule"] == "never");
    bob.quit();
    // They are kept.
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    denied(&mut alice);
    for whom in ["alice", "#lobby"] {
        bob.type_line(&format!("/consent {whom} default"));
        bob.expect("consent", |_| true);
    }
    alice.type_line("/file bob");
    bob.expect("peer_request", |event| event["from"] == "alice");
    drop(alice);
    drop(bob);
    server.stop();
}

#[test]
fn plaintext_and_tls_that_meet_say_so_at_both_ends() {
    let (scratch, server) = world();
    let message = |client: Client| {
        let (status, events) = client.finish();
        assert_eq!(status.code(), Some(3));
        let error = events.into_iter().find(|event| event["event"] == "error").expect("an error");
        error["message"].as_str().expect("a text").to_owned()
    };
    let plain = Options::bare("alice", &server.addr, &scratch).arg("--insecure-plaintext").start();
    let text = message(plain);
    assert!(text.contains("speaks TLS"), "{text}");
    let line = server.expect_log("was disconnected");
    assert!(line.contains("TLS"), "{line}");
    server.stop();

    let server = Server::start_with(&scratch.path("plain"), "127.0.0.1:0", &["--insecure-plaintext"]);
    let tls = Options::bare("alice", &server.addr, &scratch).arg("--trust-first").start();
    let text = message(tls);
    assert!(text.contains("TLS"), "{text}");
    server.expect_log("the other side speaks TLS");
    server.stop();
}
