//! Removed accounts, with the real programs: whoever gets such a name is somebody else.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::process::Command;

use harness::{Client, Options, Scratch, Server, program};

fn remove(user: &str, scratch: &Scratch) {
    let data = scratch.path("server");
    let output =
        Command::new(program("chatserver")).args(["user", "remove", user, "--data"]).arg(data).output();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// A client of `user` on a device of its own.
fn on(device: &str, user: &str, server: &Server, scratch: &Scratch) -> Client {
    Client::ready(Options::new(user, server, scratch).state(&scratch.path(device)))
}

/// Everything that the new Bob is shown while he looks around.
fn look_around(mut bob: Client) -> String {
    for line in ["/search secret", "/history 100", "/msg bob a note"] {
        bob.type_line(line);
    }
    let mut shown = bob.expect_message("bob", "a note").to_string();
    bob.type_line("/quit");
    let (status, events) = bob.finish();
    assert!(status.code().is_some(), "it ended by itself");
    events.iter().for_each(|event| shown += &event.to_string());
    shown
}

fn a_new_bob_learns_nothing(args: &[&str]) {
    let scratch = Scratch::new();
    let start = || Server::start_with(&scratch.path("server"), "127.0.0.1:0", args);
    let server = start();
    server.add_users(&["alice", "bob"]);
    let mut alice = on("alice's", "alice", &server, &scratch);
    let mut bob = on("bob's", "bob", &server, &scratch);
    alice.type_line("/msg bob what do you know?");
    bob.expect_message("alice", "what do you know?");
    bob.type_line("/msg alice the secret");
    alice.expect_message("bob", "the secret");

    remove("bob", &scratch);
    bob.expect("server_lost", |_| true);
    assert_eq!(alice.expect("conversation_over", |_| true)["with"], "bob");
    server.add_users(&["bob"]);
    let shown = look_around(on("new bob's", "bob", &server, &scratch));
    assert!(!shown.contains("secret") && !shown.contains("what do you know"), "{shown}");

    // What she says to that name now goes to the new one, and stands beside what was.
    let mut new_bob = on("new bob's", "bob", &server, &scratch);
    alice.type_line("/msg bob who are you?");
    assert_eq!(alice.expect_message("alice", "who are you?")["to"], "bob");
    assert_eq!(new_bob.expect_message("alice", "who are you?")["seq"], 1);
    drop((alice, new_bob));
    server.stop();

    let server = start();
    let shown = look_around(on("newest bob's", "bob", &server, &scratch));
    assert!(!shown.contains("secret") && !shown.contains("what do you know"), "{shown}");
    // Another device of hers reads it all, as far as the server keeps it, each where it belongs.
    let mut alice = on("alice's other", "alice", &server, &scratch);
    if args.is_empty() {
        assert_eq!(alice.expect_message("bob", "the secret")["former"], "bob");
        assert_eq!(alice.expect_message("alice", "who are you?")["to"], "bob");
        alice.type_line("/search secret");
        let found = alice.expect("search", |_| true);
        assert_eq!(found["search"][0]["former"], "bob", "{found}");
    } else {
        alice.expect("gap", |event| event["former"] == "bob");
    }
}

#[test]
fn whoever_gets_the_name_of_a_removed_account_sees_nothing_of_its_conversations() {
    a_new_bob_learns_nothing(&[]);
}

#[test]
fn nor_with_messages_in_memory_only() {
    a_new_bob_learns_nothing(&["--durability", "off"]);
}
