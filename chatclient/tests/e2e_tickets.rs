//! Session tickets: who was in comes back without the password, and with it when the ticket is refused.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use harness::{Client, Options, PASSWORD, Scratch, Server, program};

/// A server with alice, who was logged in once, and a file with a wrong password.
fn world() -> (Scratch, Server, PathBuf) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice"]);
    let wrong = scratch.path("wrong");
    std::fs::write(&wrong, "wrong\n").expect("a file");
    Client::ready(Options::new("alice", &server, &scratch)).quit();
    (scratch, server, wrong)
}

/// The error that ended the login, and the exit code.
fn refusal(options: Options) -> (Option<i32>, String) {
    let (status, events) = options.start().finish();
    let error = events.iter().find(|event| event["event"] == "error").expect("an error");
    assert_eq!(error["code"], "login_refused", "{events:#?}");
    (status.code(), error["message"].as_str().expect("a message").to_owned())
}

#[test]
fn the_next_start_needs_no_password() {
    let (scratch, server, wrong) = world();
    let file = scratch.path("alice-state").join("ticket.json");
    let mode = std::fs::metadata(&file).expect("the ticket is kept").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let mut alice = Client::ready(Options::new("alice", &server, &scratch).password(&wrong));
    alice.type_line("hello");
    alice.expect("posted", |_| true);
    alice.quit();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch).without_password());
    alice.type_line("again");
    alice.expect("posted", |_| true);
    alice.quit();
    server.stop();
}

#[test]
fn who_comes_back_after_a_crash_of_the_server_needs_no_password() {
    let (scratch, server, wrong) = world();
    let mut alice = Client::ready(Options::new("alice", &server, &scratch).password(&wrong));
    let addr = server.addr.clone();
    server.kill();
    alice.expect("server_lost", |_| true);
    let server = Server::start_with(&scratch.path("server"), &addr, &[]);
    alice.expect("server_back", |_| true);
    alice.quit();
    server.stop();
}

#[test]
fn a_new_password_ends_the_session_for_whoever_has_the_old_one_only() {
    let (scratch, server, wrong) = world();
    server.change_password("alice", "battery staple");

    let (code, message) = refusal(Options::new("alice", &server, &scratch).password(&wrong));
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("wrong"), "{message}");
    // That ticket was forgotten: there is nothing left to try.
    let status = Options::new("alice", &server, &scratch).without_password().start().wait();
    assert_eq!(status.code(), Some(2));

    let right = scratch.path("right");
    std::fs::write(&right, "battery staple\n").expect("a file");
    Client::ready(Options::new("alice", &server, &scratch).password(&right)).quit();
    // That login has brought a new one.
    Client::ready(Options::new("alice", &server, &scratch).without_password()).quit();
    server.change_password("alice", "correct horse");
    let (code, message) = refusal(Options::new("alice", &server, &scratch).without_password());
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("the session has expired"), "{message}");
    assert!(message.contains("--password-file"), "{message}");
    server.stop();
}

#[test]
fn a_refused_ticket_is_replaced_by_the_password_without_asking() {
    let (scratch, server, _) = world();
    server.change_password("alice", PASSWORD);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch));
    server.expect_log("a ticket was refused");
    server.change_password("alice", PASSWORD);
    let addr = server.addr.clone();
    server.stop();
    alice.expect("server_lost", |_| true);
    let server = Server::start_with(&scratch.path("server"), &addr, &[]);
    alice.expect("server_back", |_| true);
    server.expect_log("a ticket was refused");
    alice.quit();
    Client::ready(Options::new("alice", &server, &scratch).without_password()).quit();
    server.stop();
}

#[test]
fn a_server_without_tickets_takes_the_password() {
    let (scratch, server, wrong) = world();
    let addr = server.addr.clone();
    server.stop();
    let server = Server::start_with(&scratch.path("server"), &addr, &["--ticket-lifetime", "0"]);
    Client::ready(Options::new("alice", &server, &scratch)).quit();
    let (code, message) = refusal(Options::new("alice", &server, &scratch).password(&wrong));
    assert_eq!(code, Some(4), "{message}");
    let (code, message) = refusal(Options::new("alice", &server, &scratch).without_password());
    assert_eq!(code, Some(4), "{message}");
    server.stop();
}

#[test]
fn who_was_kept_out_for_a_while_needs_no_password_afterwards() {
    let (scratch, server, _) = world();
    let ban = |action: &str| {
        let mut ban = std::process::Command::new(program("chatserver"));
        ban.args(["ban", action, "alice", "--data"]).arg(scratch.path("server"));
        assert!(ban.status().expect("it runs").success(), "ban {action}");
    };
    ban("add");
    let (_, events) = Options::new("alice", &server, &scratch).without_password().start().finish();
    assert!(events.iter().any(|event| event["code"] == "barred"), "{events:#?}");
    ban("remove");
    Client::ready(Options::new("alice", &server, &scratch).without_password()).quit();
    server.stop();
}

#[test]
fn a_clock_that_was_wrong_by_years_ends_no_session_and_keeps_none() {
    const LONG_AGO: u64 = 1;
    let (scratch, server, _) = world();
    let file = scratch.path("alice-state").join("ticket.json");
    let read = || -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(&file).expect("a ticket")).expect("JSON")
    };
    let set = |expires_ms: u64| {
        let mut ticket = read();
        ticket["expires_ms"] = expires_ms.into();
        std::fs::write(&file, ticket.to_string()).expect("it is ours");
    };
    // Kept while the clock stood in 1970, or looked at while it stands years ahead: only the server knows.
    set(LONG_AGO);
    let mut alice = Client::ready(Options::new("alice", &server, &scratch).without_password());
    let addr = server.addr.clone();
    server.kill();
    alice.expect("server_lost", |_| true);
    let server = Server::start_with(&scratch.path("server"), &addr, &[]);
    alice.expect("server_back", |_| true);
    alice.quit();
    assert_eq!(read()["expires_ms"], LONG_AGO);
    // Where the password is at hand, that is surer, and brings the next ticket.
    Client::ready(Options::new("alice", &server, &scratch)).quit();
    assert_ne!(read()["expires_ms"], LONG_AGO);

    // Kept while the clock stood centuries ahead: here it never ends, and at the server it does.
    set(u64::MAX);
    server.change_password("alice", PASSWORD);
    Client::ready(Options::new("alice", &server, &scratch)).quit();
    server.expect_log("a ticket was refused");
    assert_ne!(read()["expires_ms"], u64::MAX);
    Client::ready(Options::new("alice", &server, &scratch).without_password()).quit();
    server.stop();
}
