//! The real programs, end to end: what a script that knows only the README can do.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Proxy, Scratch, Server, download, noise, read};

/// Two clients, linked for files: `alice` has the list of what `bob` shares.
fn linked(server: &Server, scratch: &Scratch) -> (Client, Client) {
    let mut alice = Client::ready(Options::new("alice", server, scratch));
    let mut bob = Client::ready(Options::new("bob", server, scratch).arg("--accept").arg("all"));
    bob.type_line("/who");
    bob.expect("who", |_| true);
    alice.type_line("[FILE] bob");
    alice.expect("peer_connected", |event| event["peer"] == "bob");
    bob.expect("peer_connected", |event| event["peer"] == "alice");
    (alice, bob)
}

fn number_of(list: &serde_json::Value, name: &str) -> u64 {
    let entries = list["entries"].as_array().expect("entries");
    let entry =
        entries.iter().find(|entry| entry["name"] == name).unwrap_or_else(|| panic!("no {name} in {list}"));
    entry["number"].as_u64().expect("a number")
}

#[test]
fn chat_reaches_both_sides_in_one_order() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    alice.expect("joined", |event| event["user"] == "bob");
    for (from, line) in [("alice", "one"), ("bob", "two"), ("alice", "three")] {
        let sender = if from == "alice" { &mut alice } else { &mut bob };
        sender.type_line(line);
        sender.expect("posted", |_| true);
    }
    for client in [&mut alice, &mut bob] {
        for (seq, line) in [(1, "one"), (2, "two"), (3, "three")] {
            let message = client.expect("message", |event| event["seq"] == seq);
            assert_eq!(message["text"], line);
            assert_eq!(message["room"], "lobby");
        }
    }
    bob.quit();
    alice.expect("left", |event| event["user"] == "bob");
    alice.quit();
    server.stop();
}

#[test]
fn a_file_comes_straight_from_the_peer() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let content = noise(40 * 1024 * 1024 + 1, 7);
    std::fs::write(scratch.folder("bob-share").join("big.bin"), &content).expect("a file to share");
    std::fs::write(scratch.folder("bob-share").join("empty"), b"").expect("a file to share");
    let proxy = Proxy::start(&server.addr);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch).server(proxy.addr.clone()));
    let bob = Client::ready(
        Options::new("bob", &server, &scratch).server(proxy.addr.clone()).arg("--accept").arg("all"),
    );
    alice.type_line("[FILE] bob");
    let list = alice.expect("file_list", |event| event["peer"] == "bob");
    let before = proxy.passed();
    for name in ["big.bin", "empty"] {
        alice.type_line(&format!("/get {}", number_of(&list, name)));
        let done = alice.expect("transfer", |event| {
            event["name"] == name && event["state"] != "active" && event["state"] != "queued"
        });
        assert_eq!(done["state"], "done", "{done}");
        assert_eq!(read(&download(&scratch, "alice", name)), read(&scratch.path("bob-share").join(name)));
    }
    let passed = proxy.passed() - before;
    assert!(passed < 64 * 1024, "{passed} bytes passed the server while a file went from peer to peer");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn a_download_replaces_nothing_and_a_wrong_number_is_named() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    std::fs::write(scratch.folder("bob-share").join("notes.txt"), b"new").expect("a file to share");
    std::fs::write(scratch.folder("alice-downloads").join("notes.txt"), b"old").expect("a file to keep");
    let (mut alice, bob) = linked(&server, &scratch);
    let list = alice.expect("file_list", |event| event["peer"] == "bob");
    alice.type_line("/get 99");
    let error = alice.expect("error", |_| true);
    assert_eq!(error["code"], "no_such_number", "{error}");
    alice.type_line(&format!("/get {}", number_of(&list, "notes.txt")));
    let done = alice.expect("transfer", |event| event["state"] == "done");
    assert_eq!(read(&download(&scratch, "alice", "notes.txt")), b"old");
    assert_eq!(read(std::path::Path::new(done["path"].as_str().expect("a path"))), b"new");
    alice.type_line("/quit");
    assert_eq!(alice.wait().code(), Some(5), "the code of the first command that failed");
    bob.quit();
    server.stop();
}

#[test]
fn direct_mode_uses_the_link_that_stands() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    std::fs::write(scratch.folder("bob-share").join("notes.txt"), b"bring cake\n").expect("a file to share");
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let accept = |bob: &mut Client, purpose: &str| {
        let request = bob.expect("peer_request", |event| event["purpose"] == purpose);
        bob.type_line(&format!("/accept {}", request["id"].as_str().expect("an id")));
    };
    alice.type_line("[FILE] bob");
    accept(&mut bob, "files");
    alice.expect("file_list", |_| true);
    for client in [&mut alice, &mut bob] {
        client.expect("peer_connected", |_| true);
    }
    // Who shares files has not agreed to leave the server.
    alice.type_line("/direct bob");
    accept(&mut bob, "direct");
    alice.expect("direct", |event| event["peer"] == "bob");
    bob.expect("direct", |event| event["peer"] == "alice");
    server.kill();
    alice.type_line("just us");
    bob.expect("peer_message", |event| event["text"] == "just us");
    bob.type_line("indeed");
    alice.expect("peer_message", |event| event["text"] == "indeed");
    for client in [&mut alice, &mut bob] {
        let second = client.others().iter().any(|event| event["event"] == "peer_connected");
        assert!(!second, "one link is enough");
        client.type_line("/peers");
        let peers = client.expect("peers", |_| true);
        assert_eq!(peers["peers"].as_array().map(Vec::len), Some(1), "{peers}");
    }
}

#[test]
fn direct_mode_outlives_the_server_and_comes_back() {
    let scratch = Scratch::new();
    let data = scratch.path("server");
    let server = Server::start(&data);
    server.add_users(&["alice", "bob", "carol"]);
    std::fs::write(scratch.folder("bob-share").join("notes.txt"), b"bring cake\n").expect("a file to share");
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch).arg("--accept").arg("all"));
    let mut carol = Client::ready(Options::new("carol", &server, &scratch));
    alice.type_line("/direct bob");
    alice.expect("direct", |event| event["peer"] == "bob");
    bob.expect("direct", |event| event["peer"] == "alice");
    for user in ["alice", "bob"] {
        carol.expect("left", |event| event["user"] == user);
    }
    carol.type_line("where are you?");
    carol.expect("posted", |_| true);
    let addr = server.addr.clone();
    server.kill();
    carol.expect("server_lost", |_| true);

    alice.type_line("just us");
    bob.expect("peer_message", |event| event["peer"] == "alice" && event["text"] == "just us");
    alice.type_line("[FILE] bob");
    let list = alice.expect("file_list", |event| event["peer"] == "bob");
    alice.type_line(&format!("/get {}", number_of(&list, "notes.txt")));
    alice.expect("transfer", |event| event["state"] == "done");
    assert_eq!(read(&download(&scratch, "alice", "notes.txt")), b"bring cake\n");

    let server = Server::start_with(&data, &addr, &[]);
    carol.expect("server_back", |_| true);
    for client in [&mut alice, &mut bob] {
        client.type_line("/server");
        let message = client.expect_message("carol", "where are you?");
        assert_eq!(message["missed"], true);
        let lost = client.others().iter().any(|event| event["event"] == "server_lost");
        assert!(!lost, "leaving for the link is not losing the server");
    }
    [alice, bob, carol].into_iter().for_each(Client::quit);
    server.stop();
}

#[test]
fn what_was_said_before_a_crash_is_there_after_it_once() {
    let scratch = Scratch::new();
    let data = scratch.path("server");
    let server = Server::start(&data);
    server.add_users(&["alice", "bob"]);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    alice.type_line("before");
    alice.expect("posted", |_| true);
    bob.expect_message("alice", "before");
    let addr = server.addr.clone();
    server.kill();
    alice.expect("server_lost", |_| true);
    bob.expect("server_lost", |_| true);
    // Said while there is no server: it waits, and is sent once there is one.
    alice.type_line("meanwhile");
    let server = Server::start_with(&data, &addr, &[]);
    let posted = alice.expect("posted", |event| event["seq"] == 2);
    assert_eq!(posted["room"], "lobby");
    let seen = bob.expect_message("alice", "meanwhile");
    assert_eq!(seen["seq"], 2);
    bob.type_line("/history 10");
    let history = bob.expect("history", |_| true);
    let texts: Vec<_> =
        history["history"].as_array().expect("messages").iter().map(|m| m["text"].clone()).collect();
    assert_eq!(texts, ["before", "meanwhile"]);
    [alice, bob].into_iter().for_each(Client::quit);
    server.stop();
}

#[test]
fn a_script_without_stay_finishes_what_it_asked_for() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    std::fs::write(scratch.folder("bob-share").join("notes.txt"), b"bring cake\n").expect("a file to share");
    let bob = Client::ready(Options::new("bob", &server, &scratch).arg("--accept").arg("all"));
    let mut alice = Options::new("alice", &server, &scratch).without("--stay").start();
    alice.type_line("said by a script");
    alice.type_line("[FILE] bob");
    alice.type_line("/get 1");
    let (status, events) = alice.finish();
    assert_eq!(status.code(), Some(0), "{events:#?}");
    assert!(events.iter().any(|event| event["event"] == "posted"), "{events:#?}");
    assert_eq!(read(&download(&scratch, "alice", "notes.txt")), b"bring cake\n");
    bob.quit();
    server.stop();
}
