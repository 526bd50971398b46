//! Every command that a script gives with a `ref` is answered by something that carries it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::collections::BTreeSet;
use std::process::{Command, Stdio};

use harness::{Client, Options, Scratch, Server, list, program};
use serde_json::{Value, json};

/// Every command, as somebody gives it who has a link with Bob, has fetched a file from him and owns the room.
const TOGETHER: &[&str] = &[
    "hello",
    "/help",
    "/join garden",
    "/topic roses",
    "/topic",
    "/private",
    "/invite bob",
    "/public",
    "/slow 1s",
    "/slow 0",
    "/mute bob 1h",
    "/unmute bob",
    "/ban bob 1h",
    "/unban bob",
    "/op bob",
    "/deop bob",
    "/bans",
    "/audit",
    "/rooms",
    "/who",
    "/history",
    "/search hello",
    "/leave garden",
    "/create shed",
    "/remove shed",
    "/msg bob hello",
    "[FILE] bob",
    "/file bob",
    "/ls @bob",
    "/get 1",
    "/get all",
    "/peer bob hello",
    "/peers",
    "/transfers",
    "/pause all",
    "/resume all",
    "/retry all",
    "/cancel all",
    "/reach",
    "/verify bob",
    "/consent",
    "/relay",
    "/devices",
    "/passwd PASSWORD_FILE",
    "/direct bob",
    "/server",
    "/hangup bob",
];

/// Every command, as somebody gives it who is alone and asks for what is not there.
const ALONE: &[&str] = &[
    "/nonsense",
    "/join ga/rden",
    "/kick bob",
    "/mute bob 1h",
    "/unmute bob",
    "/ban bob 1h --address",
    "/unban bob",
    "/invite bob",
    "/op bob",
    "/deop bob",
    "/owner bob",
    "/remove nowhere",
    "/leave nowhere",
    "/msg nobody hello",
    "/server-ban nobody 1h",
    "/server-unban nobody",
    "/lockdown off",
    "/server-bans",
    "/server-audit",
    "[FILE] bob",
    "/file nobody",
    "/ls",
    "/get 1",
    "/peer bob hello",
    "/pause 7",
    "/resume 7",
    "/retry 7",
    "/cancel 7",
    "/cancel all",
    "/discard 7",
    "/accept 7",
    "/deny 7",
    "/hangup bob",
    "/direct bob",
    "/trust bob",
    "/verify bob",
    "/revoke ff",
    "/passwd nowhere/at/all",
    "/server",
];

fn give(client: &mut Client, line: &str, mark: &str) {
    client.type_line(&json!({"cmd": line, "ref": mark}).to_string());
}

/// The first event with this mark.
fn answer(client: &mut Client, mark: &str) -> Value {
    client.expect_any(|event| event["ref"] == mark)
}

/// The first words of all commands, as the help tells them.
fn words(server: &Server, scratch: &Scratch) -> BTreeSet<String> {
    let output = Command::new(program("chatclient"))
        .args(["--server", &server.addr, "--user", "alice", "--trust-first", "--peer-listen", "none"])
        .arg("--password-file")
        .arg(scratch.path("password"))
        .arg("--state")
        .arg(scratch.path("helped"))
        .stdin(Stdio::from(std::fs::File::open(scratch.path("help")).expect("a script")))
        .output()
        .expect("the client runs");
    let help = String::from_utf8(output.stdout).expect("text");
    let first = |line: &str| line.split_whitespace().next().map(str::to_owned);
    help.lines().filter_map(first).filter(|word| word.starts_with(['/', '['])).collect()
}

#[test]
fn every_command_is_answered() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob", "carol"]);
    scratch.share("bob", "notes.txt", b"bring cake");
    let _bob = Client::ready(Options::new("bob", &server, &scratch).args(["--accept", "all"]));
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let password = scratch.path("password");
    for (number, line) in TOGETHER.iter().enumerate() {
        let line = line.replace("PASSWORD_FILE", password.to_str().expect("a path"));
        give(&mut alice, &line, &format!("together {number}"));
        let answer = answer(&mut alice, &format!("together {number}"));
        assert_ne!(answer["event"], "error", "{line}: {answer}");
        if answer["event"] == "done" {
            assert_eq!(answer["cmd"], line);
        }
    }
    let mut carol = Client::ready(Options::new("carol", &server, &scratch));
    carol.type_line("/join cellar");
    carol.expect("joined", |event| event["room"] == "cellar");
    for (number, line) in ALONE.iter().enumerate() {
        give(&mut carol, line, &format!("alone {number}"));
        answer(&mut carol, &format!("alone {number}"));
    }
    give(&mut carol, "/quit", "the end");
    assert_eq!(answer(&mut carol, "the end"), json!({"event": "done", "cmd": "/quit", "ref": "the end"}));

    let lines = TOGETHER.iter().chain(ALONE).map(|line| line.split(' ').next().expect("a word").to_owned());
    let tried = lines.chain(["/quit".to_owned()]).collect::<BTreeSet<_>>();
    std::fs::write(scratch.path("help"), "/help\n").expect("a script");
    let words = words(&server, &scratch);
    assert!(words.len() > 40 && words.contains("/join"), "{words:?}");
    let left = words.difference(&tried).collect::<Vec<_>>();
    assert!(left.is_empty(), "not tried: {left:?}");
}

#[test]
fn what_is_not_done_at_the_end_is_told_too() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    give(&mut alice, "/file bob", "asked");
    bob.expect("peer_request", |_| true);
    // Both wait for what Bob says.
    give(&mut alice, "/ls @bob", "held");
    give(&mut alice, "/transfers", "not held");
    answer(&mut alice, "not held");
    alice.terminate();
    let (status, events) = alice.finish();
    assert_eq!(status.code(), Some(1), "what was asked for failed");
    for (mark, code) in [("asked", "connection_lost"), ("held", "interrupted")] {
        let told = events.iter().filter(|event| event["ref"] == mark).collect::<Vec<_>>();
        assert!(told.iter().any(|event| event["event"] == "error" && event["code"] == code), "{told:?}");
    }
}

#[test]
fn what_was_kept_is_discarded_and_a_link_hung_up_with_an_answer() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    scratch.share("bob", "film.mkv", &harness::film(32, 1));
    let slow = ["--accept", "all", "--upload-rate", "1M"];
    let _bob = Client::ready(Options::new("bob", &server, &scratch).args(slow));
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    let part = alice.expect("transfer", |event| event["bytes"].as_u64() > Some(0));
    let id = part["id"].as_str().expect("an id").to_owned();
    give(&mut alice, "/hangup bob", "hung up");
    let closed = alice.expect("peer_closed", |_| true);
    assert_eq!(closed["ref"], "hung up");
    give(&mut alice, &format!("/discard {id}"), "discarded");
    let discarded = answer(&mut alice, "discarded");
    assert_eq!(discarded["event"], "done", "{discarded}");
}
