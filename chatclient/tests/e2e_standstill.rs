//! Transfers that somebody stops: a script comes to its end all the same, and nobody waits for ever.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server, download, film, list, noise, read};
use serde_json::Value;

/// So slow that no film arrives while a test runs.
const CRAWL: [&str; 2] = ["--upload-rate", "256K"];

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    scratch.share("bob", "film.mkv", &film(32, 1));
    scratch.share("bob", "notes.txt", &noise(5000, 2));
    (scratch, server)
}

fn options(user: &str, server: &Server, scratch: &Scratch) -> Options {
    Options::new(user, server, scratch).args(["--accept", "all"])
}

fn in_state(client: &mut Client, event: &str, name: &str, state: &str) -> Value {
    client.expect(event, |event| event["name"] == name && event["state"] == state)
}

#[test]
fn a_peer_that_stops_a_file_for_ever_does_not_hold_a_script_that_has_ended() {
    let (scratch, server) = world();
    let mut bob = Client::ready(options("bob", &server, &scratch).args(CRAWL));
    let hasty = options("alice", &server, &scratch).without("--stay").args(["--stall-timeout", "5"]);
    let mut alice = Client::ready(hasty);
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    in_state(&mut bob, "upload", "film.mkv", "active");
    bob.type_line("/pause all");
    in_state(&mut alice, "transfer", "film.mkv", "paused");
    let (status, events) = alice.finish();
    assert_eq!(status.code(), Some(8));
    let last = events.iter().rev().find(|event| event["event"] == "transfer").expect("how it ended");
    assert_eq!((&last["state"], &last["error"]), (&"failed".into(), &"timeout".into()), "{last}");
}

#[test]
fn a_peer_that_stops_taking_a_file_does_not_hold_its_sender() {
    let (scratch, server) = world();
    let hasty = options("bob", &server, &scratch).without("--stay").args(CRAWL);
    let mut bob = Client::ready(hasty.args(["--stall-timeout", "5"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    in_state(&mut bob, "upload", "film.mkv", "active");
    alice.type_line("/pause all");
    in_state(&mut bob, "upload", "film.mkv", "paused");
    let (status, events) = bob.finish();
    assert!(status.success(), "no command of his has failed: {status}");
    let last = events.iter().rev().find(|event| event["event"] == "upload").expect("how it ended");
    assert_eq!((&last["state"], &last["error"]), (&"failed".into(), &"timeout".into()), "{last}");
}

#[test]
fn what_a_script_has_stopped_itself_waits_for_the_next_one_that_asks() {
    let (scratch, server) = world();
    // While the film has the only slot, nothing else comes.
    let one = ["--upload-slots", "1"];
    let bob = Client::ready(options("bob", &server, &scratch).args(CRAWL).args(one));
    let mut alice = Client::ready(options("alice", &server, &scratch).without("--stay"));
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    let film = in_state(&mut alice, "transfer", "film.mkv", "active");
    alice.type_line("/get 2");
    let notes = in_state(&mut alice, "transfer", "notes.txt", "queued");
    let id = |event: &Value| event["id"].as_str().expect("an id").to_owned();
    alice.type_line(&format!("/pause {}", id(&notes)));
    in_state(&mut alice, "transfer", "notes.txt", "paused");
    alice.type_line(&format!("/cancel {}", id(&film)));
    let (status, _) = alice.finish();
    assert!(status.success(), "{status}");

    let mut alice = Client::ready(options("alice", &server, &scratch).without("--stay"));
    list(&mut alice, "bob");
    alice.type_line("/get 2");
    in_state(&mut alice, "transfer", "notes.txt", "done");
    assert_eq!(read(&download(&scratch, "alice", "notes.txt")), noise(5000, 2));
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn files_arrive_although_their_list_was_forgotten_meanwhile() {
    let (scratch, server) = world();
    (0..8).for_each(|file| scratch.share("bob", &format!("many/{file}.bin"), &noise(70_000, file)));
    let bob = Client::ready(options("bob", &server, &scratch).args(["--upload-rate", "256K"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    list(&mut alice, "bob");
    alice.type_line("/ls many");
    alice.expect("file_list", |event| event["path"] == "many");
    alice.type_line("/get 1-8");
    alice.type_line("/pause all");
    // More than a peer remembers.
    for _ in 0..12 {
        alice.type_line("/ls @bob");
        alice.expect("file_list", |event| event["path"] == "");
    }
    alice.type_line("/resume all");
    let sum = alice.expect("fetched", |_| true);
    assert_eq!((sum["done"].as_u64(), sum["failed"].as_u64()), (Some(8), Some(0)), "{sum}");
    for file in 0..8 {
        assert_eq!(read(&download(&scratch, "alice", &format!("{file}.bin"))), noise(70_000, file));
    }
    alice.quit();
    bob.quit();
    server.stop();
}
