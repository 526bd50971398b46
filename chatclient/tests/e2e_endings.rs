//! How transfers end, and what of them is left: nothing hangs, nothing comes twice, and what is told is so.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::io::Write as _;
use std::path::Path;

use harness::{Client, MIB, Options, Scratch, Server, noise, read};
use serde_json::Value;

/// More than any disk of a test has room for.
const TOO_LARGE: u64 = 1 << 42;

/// Files that are too large to come with a list, in one folder.
const MANY: usize = 700;

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    (scratch, server)
}

fn options(user: &str, server: &Server, scratch: &Scratch) -> Options {
    Options::new(user, server, scratch).args(["--accept", "all"])
}

fn share_many(scratch: &Scratch) {
    (0..MANY)
        .for_each(|file| scratch.share("bob", &format!("many/{file:03}.bin"), &noise(5000, file as u64)));
}

fn link(alice: &mut Client) -> Value {
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |event| event["peer"] == "bob")
}

fn ended(client: &mut Client, name: &str) -> Value {
    client.expect("transfer", |event| event["name"] == name && harness::ended(event))
}

/// Names in a folder that files have got, not those of parts.
fn names_in(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"));
    names.filter(|name| !name.starts_with('.') && !name.ends_with(".part")).collect()
}

#[test]
fn what_did_not_begin_leaves_nothing_to_wait_for() {
    let (scratch, server) = world();
    scratch.share("bob", "a-large.bin", &[]);
    let file = scratch.path("bob-share").join("a-large.bin");
    let file = std::fs::File::options().write(true).open(file).expect("a file");
    file.set_len(TOO_LARGE).expect("a sparse file");
    let content = noise(3 * MIB, 1);
    scratch.share("bob", "b.bin", &content);
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1");
    let failed = ended(&mut alice, "a-large.bin");
    assert_eq!((&failed["state"], &failed["error"]), (&"failed".into(), &"storage".into()), "{failed}");
    let id = failed["id"].as_str().expect("a number");
    alice.type_line(&format!(r#"{{"cmd":"/discard {id}","ref":"gone"}}"#));
    alice.expect("error", |event| event["ref"] == "gone" && event["code"] == "no_such_transfer");
    // Nothing that was discarded is in the way.
    alice.type_line("/get 2");
    assert_eq!(ended(&mut alice, "b.bin")["state"], "done");
    assert_eq!(read(&scratch.path("alice-downloads").join("b.bin")), content);
    alice.quit_with_failures();
    bob.quit();
    server.stop();
}

#[test]
fn all_is_cancelled_and_what_arrived_is_what_was_told() {
    let (scratch, server) = world();
    share_many(&scratch);
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line(r#"{"cmd":"/get 1","ref":"tree"}"#);
    alice.expect("transfer", |event| event["state"] == "done");
    alice.type_line("/cancel all");
    let sum = alice.expect("fetched", |event| event["ref"] == "tree");
    let arrived = names_in(&scratch.path("alice-downloads").join("many")).len();
    assert_eq!(sum["done"].as_u64(), Some(arrived as u64), "{sum}");
    alice.type_line("/transfers");
    let left = alice.expect("transfers", |_| true);
    assert_eq!(left["transfers"].as_array().map(Vec::len), Some(0), "{left}");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn a_folder_that_is_cancelled_is_looked_into_no_further() {
    let (scratch, server) = world();
    // The first file holds its list, and so those that come after it, for as long as it comes.
    (0..20).for_each(|folder| {
        scratch.share("bob", &format!("all/{folder:02}/file.bin"), &noise(2 * MIB, folder))
    });
    let bob = Client::ready(options("bob", &server, &scratch).args(["--upload-rate", "1M"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line(r#"{"cmd":"/get 1","ref":"tree"}"#);
    alice.expect("transfer", |event| event["state"] == "active");
    alice.type_line("/cancel all");
    let sum = alice.expect("fetched", |event| event["ref"] == "tree");
    assert_eq!(sum["done"], 0, "{sum}");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn who_leaves_while_files_get_their_names_finds_each_once() {
    let (scratch, server) = world();
    share_many(&scratch);
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["state"] == "done");
    alice.terminate();
    alice.wait();

    let mut alice = Client::ready(options("alice", &server, &scratch));
    alice.type_line("/transfers");
    let waiting = alice.expect("transfers", |_| true);
    let waiting = waiting["transfers"].as_array().expect("transfers").len();
    link(&mut alice);
    (0..waiting).for_each(|_| drop(alice.expect("transfer", |event| event["state"] == "done")));
    let names = names_in(&scratch.path("alice-downloads").join("many"));
    let twice = names.iter().filter(|name| name.contains('(')).collect::<Vec<_>>();
    assert!(twice.is_empty(), "{twice:?}");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn what_waits_goes_on_with_the_other_device_of_the_same_person() {
    let (scratch, server) = world();
    let content = noise(8 * MIB, 5);
    scratch.share("bob", "big.bin", &content);
    scratch.share("bob", "other.bin", b"kept by the first device alone");
    let slow = options("bob", &server, &scratch).args(["--upload-rate", "512K"]);
    let mut first = Client::ready(slow);
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1");
    first.expect("upload", |event| event["state"] == "active");
    alice.expect("transfer", |event| event["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    // The second one asks by itself, so that two links with bob stand.
    let mut second =
        Client::ready(options("bob", &server, &scratch).state(&scratch.path("bob-second-state")));
    second.type_line("[FILE] alice");
    alice.expect("peer_connected", |_| true);
    alice.expect("peer_connected", |_| true);
    first.kill();
    assert_eq!(ended(&mut alice, "big.bin")["state"], "done");
    assert_eq!(read(&scratch.path("alice-downloads").join("big.bin")), content);
    alice.quit();
    second.quit();
    server.stop();
}

#[test]
fn a_script_that_says_something_and_leaves_has_said_it() {
    let (scratch, server) = world();
    let mut bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = options("alice", &server, &scratch).start();
    let mut input = alice.take_input();
    // At once, long before the login.
    input.write_all(b"hello\n/quit\n").expect("the client reads");
    bob.expect_message("alice", "hello");
    assert!(alice.wait().success());
    bob.quit();
    server.stop();
}

#[test]
fn rooms_where_one_is_not_leave_the_rules_of_the_others_in_force() {
    let (scratch, server) = world();
    let mut bob = Client::ready(options("bob", &server, &scratch));
    // More than are asked about at once, and all before the one that counts.
    (0..12).for_each(|room| bob.type_line(&format!("/consent #a-room-{room} always")));
    bob.type_line(r#"{"cmd":"/consent #lobby never","ref":"set"}"#);
    bob.expect("consent", |event| event["ref"] == "set");
    let mut alice = Client::ready(options("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    assert_eq!(alice.expect("peer_failed", |_| true)["verdict"], "denied");
    alice.quit_with(6);
    bob.quit();
    server.stop();
}

/// A peer who stays is no reason to wait for a server that is gone.
#[test]
fn a_script_ends_without_its_server_though_a_link_stands() {
    let (scratch, server) = world();
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = options("alice", &server, &scratch).without("--stay").start();
    link(&mut alice);
    server.kill();
    alice.expect("server_lost", |_| true);
    alice.type_line("hello");
    alice.end_input();
    alice.expect("error", |event| event["code"] == "timeout");
    let (status, _) = alice.finish();
    assert_eq!(status.code(), Some(8));
    bob.kill();
}
