//! What was said before, asked for by real clients.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server};
use serde_json::Value;

/// More than the server gives with one answer.
const SAID: usize = 450;

fn texts(history: &Value) -> Vec<&str> {
    let messages = history["history"].as_array().expect("messages");
    messages.iter().map(|message| message["text"].as_str().expect("a text")).collect()
}

#[test]
fn as_many_messages_are_shown_as_were_asked_for() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice"]);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let said: Vec<_> = (0..SAID).map(|number| format!("line {number}")).collect();
    said.iter().for_each(|line| alice.type_line(line));
    (0..SAID).for_each(|_| drop(alice.expect("posted", |_| true)));
    for count in [1, 200, 201, 430, 1_000] {
        alice.type_line(&format!(r#"{{"cmd":"/history {count}","ref":"{count}"}}"#));
        let history = alice.expect("history", |event| event["ref"] == count.to_string());
        assert_eq!(texts(&history), said[SAID.saturating_sub(count)..]);
    }
    alice.quit();

    // A script reads what it asked for, also when it says at once that it leaves.
    let mut alice = Options::new("alice", &server, &scratch).start();
    alice.type_line(r#"{"cmd":"/history 430","ref":"script"}"#);
    alice.type_line("/quit");
    let (status, events) = alice.finish();
    assert!(status.success(), "{status}");
    let history = events.iter().find(|event| event["ref"] == "script").expect("an answer");
    assert_eq!(texts(history).len(), 430);
    server.stop();
}
