//! How links come about, end and are left again, between real clients.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server, noise};

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    (scratch, server)
}

fn accepting_bob(server: &Server, scratch: &Scratch) -> Client {
    Client::ready(Options::new("bob", server, scratch).arg("--accept").arg("all"))
}

/// Whose files take a while, however fast the machine is.
fn slow_bob(server: &Server, scratch: &Scratch) -> Client {
    let options = Options::new("bob", server, scratch);
    Client::ready(options.args(["--accept", "all", "--upload-rate", "2M"]))
}

/// A file that takes half a minute, in bob's share.
fn big_file(scratch: &Scratch) {
    let content = noise(64 * 1024 * 1024, 3);
    std::fs::write(scratch.folder("bob-share").join("big.bin"), content).expect("a file to share");
}

fn fetch_big(alice: &mut Client) {
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |_| true);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
}

#[test]
fn a_person_answers_and_the_answer_decides() {
    let (scratch, server) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    alice.type_line(r#"{"cmd":"[FILE] bob","ref":"no"}"#);
    let request = bob.expect("peer_request", |event| event["from"] == "alice" && event["purpose"] == "files");
    bob.type_line(&format!("/deny {}", request["id"].as_str().expect("an id")));
    let failed = alice.expect("peer_failed", |event| event["peer"] == "bob");
    assert_eq!((&failed["verdict"], &failed["ref"]), (&"denied".into(), &"no".into()), "{failed}");

    alice.type_line(r#"{"cmd":"[FILE] bob","ref":"yes"}"#);
    let request = bob.expect("peer_request", |_| true);
    let id = request["id"].as_str().expect("an id").to_owned();
    bob.type_line(&format!("/accept {id}"));
    bob.expect("peer_request_closed", |event| event["id"] == id.as_str());
    let list = alice.expect("file_list", |event| event["ref"] == "yes");
    assert_eq!(list["peer"], "bob");
    // It was answered already.
    bob.type_line(&format!("/accept {id}"));
    bob.expect("error", |event| event["code"] == "no_such_request");
}

#[test]
fn who_accepts_no_connections_dials() {
    let (scratch, server) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let bob = Options::bare("bob", &server.addr, &scratch)
        .args(["--accept", "all", "--peer-listen", "none", "--trust-first", "--stay", "--share"])
        .arg(scratch.folder("bob-share"));
    let mut bob = Client::ready(bob);
    alice.type_line("[FILE] bob");
    for (client, other) in [(&mut alice, "bob"), (&mut bob, "alice")] {
        let connected = client.expect("peer_connected", |event| event["peer"] == other);
        assert_eq!(connected["path"], "reverse", "{connected}");
    }
    alice.expect("file_list", |_| true);
}

#[test]
fn a_transfer_can_be_cancelled_from_either_side() {
    let (scratch, server) = world();
    big_file(&scratch);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = slow_bob(&server, &scratch);
    fetch_big(&mut alice);
    alice.type_line("/cancel 1");
    let cancelled = alice.expect("transfer", |event| event["state"] == "cancelled");
    assert_eq!(cancelled["id"], "1");
    bob.expect("upload", |event| event["id"] == "1" && event["state"] == "cancelled");

    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["id"] == "2" && event["state"] == "active");
    bob.type_line("/cancel 2");
    let cancelled = alice.expect("transfer", |event| event["id"] == "2" && event["state"] == "cancelled");
    assert_eq!(cancelled["error"], "cancelled");
    // What came is kept, if a unit did, until the user does not want it any more; then there is nothing to discard.
    alice.type_line("/discard 2");
    // Nothing of it stays, under whatever name, once the client has cleaned up and ended.
    alice.quit_with_failures();
    let left = std::fs::read_dir(scratch.path("alice-downloads")).expect("a folder").count();
    assert_eq!(left, 0);
}

#[test]
fn a_lost_link_leads_back_to_the_server() {
    let (scratch, server) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    let mut bob = accepting_bob(&server, &scratch);
    alice.type_line("/direct bob");
    alice.expect("direct", |event| event["peer"] == "bob");
    bob.expect("direct", |event| event["peer"] == "alice");
    bob.kill();
    alice.expect("peer_closed", |event| event["peer"] == "bob");
    alice.expect("server_back", |_| true);
    alice.type_line("back again");
    alice.expect("posted", |event| event["room"] == "lobby");
}

#[test]
fn a_script_says_everything_before_it_ends() {
    let (scratch, server) = world();
    let bob = accepting_bob(&server, &scratch);
    let mut alice = Options::new("alice", &server, &scratch).without("--stay").start();
    for number in 0..1500 {
        alice.type_line(&format!("line {number}"));
    }
    // Words that only the server can take, said just before it is left.
    alice.type_line("/direct bob");
    alice.type_line("the last ones");
    let (status, events) = alice.finish();
    assert!(status.success(), "{status}");
    assert_eq!(events.iter().filter(|event| event["event"] == "posted").count(), 1501);
    bob.quit();
}

#[test]
fn who_comes_back_is_always_told() {
    let (scratch, server) = world();
    let _bob = accepting_bob(&server, &scratch);
    let mut alice = Options::new("alice", &server, &scratch).start();
    // All at once, and before the login: each waits for what was asked for before it.
    alice.type_line(r#"{"cmd":"/server","ref":"there"}"#);
    alice.type_line("/direct bob");
    alice.type_line(r#"{"cmd":"/server","ref":"back"}"#);
    alice.type_line(r#"{"cmd":"/server","ref":"again"}"#);
    alice.expect("server_back", |event| event["ref"] == "there");
    alice.expect("direct", |event| event["peer"] == "bob");
    alice.expect("server_back", |event| event["ref"] == "back");
    alice.expect("server_back", |event| event["ref"] == "again");
    alice.type_line(r#"{"cmd":"/rooms","ref":"rooms"}"#);
    alice.expect("rooms", |event| event["ref"] == "rooms");
}
