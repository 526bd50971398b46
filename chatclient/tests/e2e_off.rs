//! A server that keeps messages in memory only.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server};

const ARGS: [&str; 2] = ["--durability", "off"];

fn world() -> (Scratch, Server, [Client; 2]) {
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", &ARGS);
    server.add_users(&["alice", "bob"]);
    let clients = ["alice", "bob"].map(|user| Client::ready(Options::new(user, &server, &scratch)));
    (scratch, server, clients)
}

fn say(client: &mut Client, text: &str) -> u64 {
    client.type_line(text);
    client.expect("posted", |_| true)["seq"].as_u64().expect("a number")
}

#[test]
fn messages_are_there_while_the_server_runs_and_there_is_no_search() {
    let (scratch, server, [mut alice, bob]) = world();
    bob.quit();
    for (number, text) in (1..).zip(["one", "two", "three"]) {
        assert_eq!(say(&mut alice, text), number);
    }
    // Who was away gets all of it, and history reads it again.
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    for text in ["one", "two", "three"] {
        assert_eq!(bob.expect_message("alice", text)["missed"], true);
    }
    bob.type_line("/history 2");
    let page = bob.expect("history", |_| true);
    let texts: Vec<_> = page["history"].as_array().expect("messages").iter().map(|it| &it["text"]).collect();
    assert_eq!(texts, ["two", "three"]);
    bob.type_line("/search one");
    bob.expect("error", |error| error["code"] == "not_supported");
    server.stop();
    let database = std::fs::read(scratch.path("server").join("chat.db")).expect("accounts are on the disk");
    let has = |words: &[u8]| database.windows(words.len()).any(|bytes| bytes == words);
    assert!(has(b"alice") && !has(b"three"), "messages are not");
}

#[test]
fn after_a_kill_what_is_gone_is_said_and_numbers_go_on() {
    let (scratch, server, [mut alice, mut bob]) = world();
    let addr = server.addr.clone();
    for text in ["one", "two", "three"] {
        say(&mut alice, text);
        bob.expect_message("alice", text);
    }
    bob.quit();
    let last = say(&mut alice, "while bob is away");
    server.kill();
    alice.expect("server_lost", |_| true);
    let server = Server::start_with(&scratch.path("server"), &addr, &ARGS);
    let gone = alice.expect("gap", |_| true);
    assert_eq!(gone["from"].as_u64(), Some(last + 1), "numbers that were reserved are left out: {gone}");
    alice.type_line("/history");
    alice.expect("error", |error| error["code"] == "gone");
    let next = say(&mut alice, "again");
    assert_eq!(Some(next), gone["to"].as_u64().map(|to| to + 1));

    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let gone = bob.expect("gap", |_| true);
    assert_eq!((gone["from"].as_u64(), gone["to"].as_u64()), (Some(last), Some(next - 1)));
    assert_eq!(bob.expect_message("alice", "again")["seq"].as_u64(), Some(next));
    // In good order, no number is left out.
    server.stop();
    alice.expect("server_lost", |_| true);
    let server = Server::start_with(&scratch.path("server"), &addr, &ARGS);
    alice.expect("server_back", |_| true);
    assert_eq!(say(&mut alice, "once more"), next + 1);
    server.stop();
}
