//! Who insists on the relay shows nobody an address: with one person or with all, kept over restarts, also in direct mode.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server};
use serde_json::json;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};

/// A server that relays, and Alice and Bob, both of whom can be dialled.
fn world(relays: &str) -> (Scratch, Server) {
    let scratch = Scratch::new();
    let config = scratch.path("settings.toml");
    std::fs::write(&config, format!("[relay]\nmax_relays = {relays}\n")).expect("a file");
    let config = config.to_str().expect("a path");
    let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", &["--config", config]);
    server.add_users(&["alice", "bob", "carol"]);
    (scratch, server)
}

/// How Alice's link with Bob goes, whoever asks.
fn path_of_link(asking: &mut Client, asked: &mut Client) -> (String, String) {
    asking.type_line(&format!("/file {}", asked.user));
    let path = |client: &mut Client| {
        let connected = client.expect("peer_connected", |_| true);
        connected["path"].as_str().expect("a path").to_owned()
    };
    let paths = (path(asking), path(asked));
    asking.expect("file_list", |_| true);
    asking.type_line(&format!("/hangup {}", asked.user));
    asking.expect("peer_closed", |_| true);
    asked.expect("peer_closed", |_| true);
    paths
}

#[test]
fn a_rule_for_a_person_holds_whoever_asks_and_is_kept() {
    let (scratch, server) = world("4");
    let options = |user| Options::new(user, &server, &scratch).arg("--accept").arg("all");
    let mut bob = Client::ready(options("bob"));
    let mut carol = Client::ready(options("carol"));
    let mut alice = Client::ready(options("alice"));
    assert_eq!(path_of_link(&mut alice, &mut bob).0, "direct");
    alice.type_line("/relay bob only");
    let rules = alice.expect("relay", |_| true);
    assert_eq!((&rules["only"], &rules["otherwise"]), (&json!(["bob"]), &json!("last")));
    let relayed = || ("relay".to_owned(), "relay".to_owned());
    assert_eq!(path_of_link(&mut alice, &mut bob), relayed());
    assert_eq!(path_of_link(&mut bob, &mut alice), relayed());
    assert_eq!(path_of_link(&mut carol, &mut alice).0, "direct", "others are nobody's concern");
    alice.quit();
    let mut alice = Client::ready(options("alice"));
    assert_eq!(path_of_link(&mut bob, &mut alice), relayed());
    alice.type_line("/relay bob default");
    assert_eq!(alice.expect("relay", |_| true)["only"], json!([]));
    assert_eq!(path_of_link(&mut bob, &mut alice).0, "direct");
    drop((alice, bob, carol));
    server.stop();
}

#[test]
fn a_rule_for_all_outweighs_the_command_line_and_without_a_relay_there_is_no_link() {
    let (scratch, server) = world("0");
    let options = |user| Options::new(user, &server, &scratch).arg("--accept").arg("all");
    let mut bob = Client::ready(options("bob"));
    let mut alice = Client::ready(options("alice"));
    alice.type_line("/relay all only");
    assert_eq!(alice.expect("relay", |_| true)["otherwise"], "only");
    alice.quit();
    let mut alice = Client::ready(options("alice").arg("--relay").arg("never"));
    alice.type_line("/relay");
    assert_eq!(alice.expect("relay", |_| true)["otherwise"], "only");
    for (asking, asked) in [("alice", "bob"), ("bob", "alice")] {
        let (one, other) = if asking == "alice" { (&mut alice, &mut bob) } else { (&mut bob, &mut alice) };
        one.type_line(&format!("/file {asked}"));
        let failed = one.expect("peer_failed", |_| true);
        assert_eq!(failed["peer"], asked, "{failed}");
        let failed = other.expect("peer_failed", |_| true);
        assert_eq!(failed["peer"], asking, "{failed}");
    }
    drop((alice, bob));
    server.stop();
}

#[test]
fn a_lost_link_is_not_looked_for_with_an_address() {
    let (scratch, server) = world("4");
    let options = |user| Options::new(user, &server, &scratch).arg("--accept").arg("all");
    let mut bob = options("bob").start();
    let port = bob.expect("ready", |_| true)["peer_port"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("a port");
    let mut alice = Client::ready(options("alice"));
    alice.type_line("/relay bob only");
    alice.expect("relay", |_| true);
    alice.type_line("/direct bob");
    alice.expect("direct", |_| true);
    bob.expect("direct", |_| true);
    // Alice was told where Bob listens. Where the link is lost there, somebody else listens now.
    bob.kill();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).expect("his port is free");
    listener.set_nonblocking(true).expect("an option");
    alice.expect("server_back", |_| true);
    let called = listener.accept().map(|(_, from)| from);
    assert_eq!(called.map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
    drop(alice);
    server.stop();
}
