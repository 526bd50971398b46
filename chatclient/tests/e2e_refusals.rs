//! What goes wrong in the client's world: each with a clear error, its code, and nothing else disturbed.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use harness::{Client, Options, Scratch, Server, download, noise, read};

/// A server with alice and bob, and what bob shares.
fn world() -> (Scratch, Server, std::path::PathBuf) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let share = scratch.folder("bob-share");
    (scratch, server, share)
}

fn sharing_bob(server: &Server, scratch: &Scratch) -> Client {
    Client::ready(Options::new("bob", server, scratch).arg("--accept").arg("all"))
}

fn names(list: &serde_json::Value) -> Vec<&str> {
    list["entries"]
        .as_array()
        .expect("entries")
        .iter()
        .map(|entry| entry["name"].as_str().expect("a name"))
        .collect()
}

#[test]
fn a_share_with_oddities_shows_what_is_safe() {
    let (scratch, server, share) = world();
    std::fs::write(share.join("good.txt"), b"good").expect("a file");
    std::fs::write(share.join(OsStr::from_bytes(b"not-utf8-\xff")), b"x").expect("a file");
    std::fs::write(share.join("escape-\u{1b}[31m"), b"x").expect("a file");
    std::fs::write(share.join("bidi-\u{202e}txt.exe"), b"x").expect("a file");
    std::fs::write(scratch.path("secret"), b"secret").expect("a file");
    std::os::unix::fs::symlink(scratch.path("secret"), share.join("link")).expect("a link");
    std::os::unix::fs::symlink("/", share.join("root")).expect("a link");
    std::fs::create_dir(share.join("folder")).expect("a folder");
    std::fs::write(share.join("folder").join("inner.txt"), b"inner").expect("a file");
    let bob = sharing_bob(&server, &scratch);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    let list = alice.expect("file_list", |_| true);
    assert_eq!(names(&list), ["folder", "good.txt"], "{list}");
    assert_eq!(list["entries"][0]["kind"], "dir");
    for path in ["root", "link", "../", "/etc", "folder/../.."] {
        alice.type_line(&format!("/ls {path}"));
        let error = alice.expect("error", |_| true);
        assert!(error["code"] == "no_such_path" || error["code"] == "usage", "{path}: {error}");
    }
    alice.type_line("/ls folder");
    let list = alice.expect("file_list", |event| event["path"] == "folder");
    assert_eq!(names(&list), ["inner.txt"]);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["state"] == "done");
    assert_eq!(read(&download(&scratch, "alice", "inner.txt")), b"inner");
    bob.quit();
    drop(alice);
    server.stop();
}

#[test]
fn a_file_that_changed_since_it_was_listed_is_not_fetched() {
    let (scratch, server, share) = world();
    std::fs::write(share.join("notes.txt"), b"one").expect("a file");
    let bob = sharing_bob(&server, &scratch);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |_| true);
    std::fs::write(share.join("notes.txt"), b"another content").expect("a file");
    alice.type_line("/get 1");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!(failed["error"], "changed", "{failed}");
    assert!(!download(&scratch, "alice", "notes.txt").exists());
    // A fresh list has the new one.
    alice.type_line("/ls");
    alice.expect("file_list", |_| true);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["state"] == "done");
    assert_eq!(read(&download(&scratch, "alice", "notes.txt")), b"another content");
    bob.quit();
    drop(alice);
    server.stop();
}

#[test]
fn a_peer_that_vanishes_in_the_middle_is_named_and_leaves_nothing_under_the_final_name() {
    let (scratch, server, share) = world();
    std::fs::write(share.join("big.bin"), noise(64 << 20, 3)).expect("a file");
    let bob = sharing_bob(&server, &scratch);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |_| true);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["state"] == "active");
    bob.kill();
    alice.expect("transfer", |event| event["state"] == "waiting");
    alice.expect("peer_closed", |event| event["peer"] == "bob");
    assert!(!download(&scratch, "alice", "big.bin").exists());
    // The server and the chat have not noticed.
    alice.type_line("still here");
    alice.expect("posted", |_| true);
    drop(alice);
    server.stop();
}

#[test]
fn a_share_that_cannot_be_used_is_named_at_once() {
    let (scratch, server, _) = world();
    let file = scratch.path("file");
    std::fs::write(&file, b"").expect("a file");
    for path in [&scratch.path("nowhere"), &file] {
        let options =
            Options::bare("alice", &server.addr, &scratch).arg("--trust-first").arg("--share").arg(path);
        let (status, events) = options.start().finish();
        assert_eq!(status.code(), Some(5), "{path:?}: {events:#?}");
        let error = events.iter().find(|event| event["event"] == "error").expect("an error");
        let message = error["message"].as_str().expect("a message");
        assert!(message.contains(path.to_str().expect("a path")), "{message}");
    }
    server.stop();
}

#[test]
fn a_download_folder_that_cannot_be_used_fails_the_transfer_and_nothing_else() {
    let (scratch, server, share) = world();
    std::fs::write(share.join("notes.txt"), b"one").expect("a file");
    // Where the folder should be is a file.
    std::fs::write(scratch.path("alice-downloads"), b"").expect("a file");
    let bob = sharing_bob(&server, &scratch);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |_| true);
    alice.type_line("/get 1");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!(failed["error"], "storage", "{failed}");
    alice.type_line("still here");
    alice.expect("posted", |_| true);
    alice.type_line("/quit");
    assert_eq!(alice.wait().code(), Some(1));
    bob.quit();
    server.stop();
}

#[test]
fn who_shares_nothing_says_so() {
    let (scratch, server, _) = world();
    let bare = Options::bare("bob", &server.addr, &scratch).arg("--trust-first").arg("--stay");
    let bob = Client::ready(bare.arg("--peer-listen").arg("127.0.0.1:0").arg("--accept").arg("all"));
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("[FILE] bob");
    let error = alice.expect("error", |_| true);
    assert_eq!(error["code"], "no_share", "{error}");
    bob.quit();
    drop(alice);
    server.stop();
}

#[test]
fn a_server_with_another_key_is_a_loud_stop() {
    let (scratch, server, _) = world();
    Client::ready(Options::new("alice", &server, &scratch)).quit();
    let addr = server.addr.clone();
    server.stop();
    let other = Server::start_with(&scratch.path("other-server"), &addr, &[]);
    other.add_users(&["alice"]);
    let (status, events) = Options::bare("alice", &addr, &scratch).start().finish();
    assert_eq!(status.code(), Some(3), "{events:#?}");
    assert!(events.iter().any(|event| event["code"] == "server_key_changed"), "{events:#?}");
    other.stop();
}

#[test]
fn a_direct_message_waits_for_who_is_away() {
    let (scratch, server, _) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    alice.type_line("/msg bob are you there?");
    alice.expect("posted", |_| true);
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let message = bob.expect_message("alice", "are you there?");
    assert_eq!((&message["to"], &message["missed"]), (&"bob".into(), &true.into()), "{message}");
    assert!(message.get("room").is_none());
    bob.type_line("/msg alice now I am");
    let message = alice.expect_message("bob", "now I am");
    assert_eq!(message["to"], "alice");
    [alice, bob].into_iter().for_each(Client::quit);
    server.stop();
}

#[test]
fn rooms_people_history_and_search_answer() {
    let (scratch, server, _) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    for (client, user) in [(&mut alice, "alice"), (&mut bob, "bob")] {
        client.type_line("/join tea");
        client.expect("joined", |event| event["room"] == "tea" && event["user"] == user);
    }
    alice.expect("joined", |event| event["room"] == "tea" && event["user"] == "bob");
    for line in ["the kettle is on", "오늘은 녹차", "with cake"] {
        alice.type_line(line);
        alice.expect("posted", |event| event["room"] == "tea");
    }
    bob.expect_message("alice", "with cake");
    bob.type_line(r#"{"cmd":"/who tea","ref":"w"}"#);
    let who = bob.expect("who", |event| event["ref"] == "w");
    let people: Vec<_> =
        who["who"].as_array().expect("people").iter().map(|person| &person["user"]).collect();
    assert_eq!(people, ["alice", "bob"]);
    bob.type_line("/rooms");
    let rooms = bob.expect("rooms", |_| true);
    let rooms: Vec<_> = rooms["rooms"].as_array().expect("rooms").iter().map(|room| &room["room"]).collect();
    assert_eq!(rooms, ["lobby", "tea"]);
    bob.type_line("/history 2");
    let history = bob.expect("history", |_| true);
    let said: Vec<_> =
        history["history"].as_array().expect("messages").iter().map(|said| &said["text"]).collect();
    assert_eq!(said, ["오늘은 녹차", "with cake"]);
    for (words, found) in [("kettle", "the kettle is on"), ("녹차", "오늘은 녹차")] {
        bob.type_line(&format!("/search {words}"));
        let search = bob.expect("search", |_| true);
        assert_eq!(search["search"][0]["text"], found, "{search}");
    }
    [alice, bob].into_iter().for_each(Client::quit);
    server.stop();
}

#[test]
fn refusals_have_their_codes() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let code = |options: Options, lines: &[&str]| {
        let mut client = options.start();
        lines.iter().for_each(|line| client.type_line(line));
        client.finish()
    };
    let has = |events: &[serde_json::Value], code: &str| {
        assert!(
            events.iter().any(|event| event["event"] == "error" && event["code"] == code),
            "{code}: {events:#?}"
        );
    };
    let script = |user: &str| Options::new(user, &server, &scratch).without("--stay");

    let wrong = scratch.path("wrong");
    std::fs::write(&wrong, "wrong\n").expect("a file");
    for user in ["alice", "nobody"] {
        let (status, events) = code(script(user).password(&wrong), &[]);
        assert_eq!(status.code(), Some(4), "{events:#?}");
        has(&events, "login_refused");
    }
    let (status, events) = code(script("alice"), &["/msg nobody hi"]);
    assert_eq!(status.code(), Some(5), "{events:#?}");
    has(&events, "no_such_user");
    let (status, events) = code(script("alice"), &["[FILE] bob"]);
    assert_eq!(status.code(), Some(5), "{events:#?}");
    has(&events, "offline");
    let (status, events) = code(script("alice"), &["/nonsense"]);
    assert_eq!(status.code(), Some(2), "{events:#?}");
    has(&events, "usage");

    let mut bob = Client::ready(Options::new("bob", &server, &scratch).arg("--accept").arg("none"));
    let (status, events) = code(script("alice"), &["[FILE] bob"]);
    assert_eq!(status.code(), Some(6), "{events:#?}");
    has(&events, "denied");
    // The state of a client that runs is nobody else's.
    let (status, events) = code(script("bob"), &[]);
    assert_eq!(status.code(), Some(1), "{events:#?}");
    has(&events, "state_in_use");
    bob.end_input();
    bob.terminate();

    // A state that has never met this server.
    let fresh = Scratch::new();
    let unknown = Options::bare("alice", &server.addr, &fresh);
    let (status, events) = code(unknown, &[]);
    assert_eq!(status.code(), Some(3), "{events:#?}");
    let error = events.iter().find(|event| event["code"] == "unknown_server").expect("the reason");
    assert_eq!(error["fingerprint"].as_str(), server.fingerprint.as_deref());

    let addr = server.addr.clone();
    server.stop();
    let (status, events) = code(Options::bare("alice", &addr, &scratch).arg("--trust-first"), &[]);
    assert_eq!(status.code(), Some(3), "{events:#?}");
}
