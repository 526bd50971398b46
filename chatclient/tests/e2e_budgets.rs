//! Budgets, with the real programs: who is too fast is told so, and nothing of what they said is lost.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server};

#[test]
fn who_is_too_fast_waits_and_loses_nothing() {
    let scratch = Scratch::new();
    let config = scratch.path("server.toml");
    let settings =
        |budgets: &str| std::fs::write(&config, format!("[budgets]\n{budgets}")).expect("settings");
    settings("say = \"3 / 3 s\"\nlist = \"1 / 1 h\"\n");
    let args = ["--config", config.to_str().expect("a path")];
    let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", &args);
    server.add_users(&["alice", "bob"]);
    let [mut alice, mut bob] =
        ["alice", "bob"].map(|user| Client::ready(Options::new(user, &server, &scratch)));
    let lines = (0..8).map(|number| format!("line {number}")).collect::<Vec<_>>();
    for line in &lines {
        alice.type_line(line);
    }
    let mut heard = Vec::new();
    while heard.len() < lines.len() {
        let message = bob.expect("message", |event| event["from"] == "alice");
        heard.push(message["text"].as_str().expect("a text").to_owned());
    }
    heard.sort();
    assert_eq!(heard, lines, "each once");
    for _ in &lines {
        alice.expect("posted", |_| true);
    }

    alice.type_line("/rooms");
    alice.expect("rooms", |_| true);
    alice.type_line("/rooms");
    let refused = alice.expect("error", |event| event["code"] == "too_fast");
    assert!(refused["message"].as_str().expect("a message").contains("again in"), "{refused}");
    bob.type_line("/rooms");
    bob.expect("rooms", |_| true);

    // The operator is more generous, while the server runs.
    settings("list = \"unlimited\"\n");
    server.reload();
    server.expect_log("budgets.list");
    for _ in 0..3 {
        alice.type_line("/rooms");
        alice.expect("rooms", |_| true);
    }
    bob.quit();
    alice.quit_with(6);
    server.stop();
}
