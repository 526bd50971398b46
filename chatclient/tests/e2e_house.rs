//! Order in the rooms, with the real programs: topics, private rooms, mutes, bans, and what outlives the server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(dead_code, reason = "the harness serves other tests too")]

mod harness;

use std::process::Command;

use harness::{Client, Options, Scratch, Server, program};

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    (scratch, server)
}

fn client(user: &str, server: &Server, scratch: &Scratch) -> Client {
    Client::ready(Options::new(user, server, scratch))
}

#[test]
fn an_owner_keeps_order_and_the_server_remembers_it() {
    let (scratch, server) = world();
    let mut alice = client("alice", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    alice.type_line("/create garden");
    alice.expect("joined", |event| event["room"] == "garden");
    bob.type_line("/join garden");
    alice.expect("joined", |event| event["user"] == "bob");
    bob.expect("joined", |event| event["room"] == "garden");

    alice.type_line("/topic roses and \u{1f339}");
    for client in [&mut alice, &mut bob] {
        let topic = client.expect("topic", |_| true);
        assert_eq!((&topic["room"], &topic["by"]), (&"garden".into(), &"alice".into()), "{topic}");
        assert_eq!(topic["topic"], "roses and \u{1f339}");
    }
    bob.type_line("/topic weeds");
    bob.expect("error", |event| event["code"] == "forbidden");

    alice.type_line(r#"{"cmd":"/mute bob 1h too loud","ref":"m"}"#);
    let answer = alice.expect("moderated", |_| true);
    assert_eq!((&answer["action"], &answer["ref"]), (&"mute".into(), &"m".into()), "{answer}");
    let news = bob.expect("moderated", |_| true);
    assert_eq!((&news["user"], &news["by"]), (&"bob".into(), &"alice".into()), "{news}");
    assert_eq!((&news["seconds"], &news["reason"]), (&3_600.into(), &"too loud".into()), "{news}");
    bob.type_line("mmm");
    let refused = bob.expect("error", |event| event["code"] == "muted");
    assert!(refused["message"].as_str().expect("a message").contains("for another"), "{refused}");
    alice.type_line("/unmute bob");
    bob.expect("moderated", |event| event["action"] == "unmute");
    bob.type_line("thanks");
    alice.expect_message("bob", "thanks");

    alice.type_line("/ban bob 2d spam");
    bob.expect("moderated", |event| event["action"] == "ban");
    bob.expect("left", |event| event["room"] == "garden");
    bob.type_line("/join garden");
    bob.expect("error", |event| event["code"] == "banned");
    alice.expect("moderated", |event| event["action"] == "ban");
    alice.quit();
    bob.type_line("/quit");
    assert_eq!(bob.wait().code(), Some(6), "the first refusal decides");
    server.stop();

    let server = Server::start(&scratch.path("server"));
    let mut bob = client("bob", &server, &scratch);
    bob.type_line("/join garden");
    bob.expect("error", |event| event["code"] == "banned");
    let mut alice = client("alice", &server, &scratch);
    alice.type_line("/join garden");
    let topic = alice.expect("topic", |_| true);
    assert_eq!(topic["topic"], "roses and \u{1f339}");
    alice.type_line("/unban bob");
    bob.type_line("/who lobby");
    bob.expect("who", |_| true);
    alice.expect("moderated", |event| event["action"] == "unban");
    bob.type_line("/join garden");
    bob.expect("joined", |event| event["room"] == "garden");
    // What is posted was stored, and what was asked before it.
    alice.type_line("welcome back");
    alice.expect("posted", |_| true);

    // The log of it all, beside the running server.
    let audit = Command::new(program("chatserver"))
        .args(["audit", "--room", "garden", "--data"])
        .arg(scratch.path("server"))
        .output()
        .expect("the audit log");
    let lines = String::from_utf8(audit.stdout).expect("text");
    let told = |line: &str, part: &str| assert!(line.contains(part), "{part:?} in {line}");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 5, "{lines:?}");
    told(lines[1], "garden alice mute bob for 3600 s: too loud");
    told(lines[3], "garden alice ban bob for 172800 s: spam");
    told(lines[4], "garden alice unban bob");
}

#[test]
fn a_private_room_is_found_by_the_invited_only() {
    let (scratch, server) = world();
    let mut alice = client("alice", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    alice.type_line("/create den private");
    alice.expect("joined", |event| event["room"] == "den");
    alice.type_line("the key is under the mat");
    alice.expect_message("alice", "the key is under the mat");
    bob.type_line("/rooms");
    let rooms = bob.expect("rooms", |_| true);
    assert_eq!(rooms["rooms"].as_array().expect("rooms").len(), 1, "{rooms}");
    bob.type_line("/join den");
    bob.expect("error", |event| event["code"] == "no_such_room");
    bob.type_line("/create den");
    bob.expect("error", |event| event["code"] == "room_exists");
    alice.type_line("/invite bbo");
    alice.expect("error", |event| event["code"] == "no_such_user");
    alice.type_line("/invite bob");
    let invited = bob.expect("invited", |_| true);
    assert_eq!((&invited["room"], &invited["by"]), (&"den".into(), &"alice".into()));
    bob.type_line("/join den");
    bob.expect("joined", |event| event["room"] == "den");
    bob.type_line("/history");
    let history = bob.expect("history", |_| true);
    assert_eq!(history["history"][0]["text"], "the key is under the mat", "{history}");
    alice.type_line("/kick bob it was a joke");
    bob.expect("left", |event| event["room"] == "den");
    bob.type_line("/join den");
    bob.expect("error", |event| event["code"] == "no_such_room");
}
