//! Accounts, with the real programs: made by invitation, the password changed, devices seen and revoked.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, Scratch, Server, program};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Command;

/// Runs a command of the server's and gives what it prints.
fn server_command(scratch: &Scratch, args: &[&str]) -> String {
    let output = Command::new(program("chatserver"))
        .args(args)
        .arg("--data")
        .arg(scratch.path("server"))
        .output()
        .expect("the command runs");
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn started(scratch: &Scratch, args: &[&str]) -> Server {
    Server::start_with(&scratch.path("server"), "127.0.0.1:0", args)
}

/// A file with this password.
fn written(scratch: &Scratch, password: &str) -> PathBuf {
    let file = scratch.path(&format!("password-{password}"));
    std::fs::write(&file, format!("{password}\n")).expect("a file");
    file
}

/// The client's end, and the code of its first error.
fn refused(client: Client) -> (Option<i32>, Value) {
    let (status, events) = client.finish();
    let error = events.into_iter().find(|event| event["event"] == "error").expect("an error");
    (status.code(), error["code"].clone())
}

#[test]
fn an_invitation_makes_one_account_and_no_second() {
    let scratch = Scratch::new();
    let server = started(&scratch, &["--registration", "invite"]);
    let made =
        server_command(&scratch, &["invite", "create", "--label", "for carol", "--host", "chat.example"]);
    let (code, link) = made.split_once('\n').expect("two lines");
    let code = code.rsplit(' ').next().expect("a code");
    let fingerprint = server.fingerprint.as_deref().expect("a fingerprint");
    assert_eq!(link.trim(), format!("chat://chat.example/?fp={fingerprint}&invite={code}"));

    let carol = Options::new("carol", &server, &scratch);
    let wrong = carol.clone().arg("--register").arg("--invite").arg("2222-2222-2222-2222");
    assert_eq!(refused(wrong.start()), (Some(4), "bad_invite".into()));
    let mut client = carol.clone().arg("--register").arg("--invite").arg(code.to_uppercase()).start();
    client.expect("registered", |event| event["user"] == "carol");
    client.expect("ready", |_| true);
    client.type_line("hello");
    client.expect("posted", |_| true);
    client.quit();
    // From now on it is an account like any other, and the invitation is used up.
    Client::ready(carol).quit();
    let again = Options::new("dave", &server, &scratch).arg("--register").arg("--invite").arg(code);
    assert_eq!(refused(again.start()), (Some(4), "bad_invite".into()));
    assert!(server_command(&scratch, &["invite", "list"]).contains("used up\tfor carol"));
    assert!(server_command(&scratch, &["invite", "revoke", "1"]).contains("invitation 1"));
    assert_eq!(server_command(&scratch, &["invite", "list"]), "");
    server.stop();
}

#[test]
fn who_has_no_good_invitation_takes_no_registration_from_who_has() {
    let scratch = Scratch::new();
    let settings = scratch.path("settings.toml");
    std::fs::write(&settings, "[accounts]\nregistration = \"invite\"\nregistrations = 1\n").expect("a file");
    let server = started(&scratch, &["--config", settings.to_str().expect("a path")]);
    let made = server_command(&scratch, &["invite", "create", "--uses", "2", "--host", "chat.example"]);
    let (code, _) = made.split_once('\n').expect("two lines");
    let code = code.rsplit(' ').next().expect("a code");
    let register = |user: &str, code: &str| {
        Options::new(user, &server, &scratch).arg("--register").arg("--invite").arg(code).start()
    };
    for wrong in ["2222-2222-2222-2222", "3333-3333-3333-3333"] {
        assert_eq!(refused(register("mallory", wrong)), (Some(4), "bad_invite".into()));
    }
    let mut carol = register("carol", code);
    carol.expect("ready", |_| true);
    carol.quit();
    // With that the budget of all is spent.
    assert_eq!(refused(register("dave", code)), (Some(4), "too_many_attempts".into()));
    server.stop();
}

#[test]
fn registration_is_closed_unless_the_operator_opens_it_and_no_two_ids_look_alike() {
    let scratch = Scratch::new();
    let server = started(&scratch, &[]);
    let register =
        |server: &Server, user: &str| Options::new(user, server, &scratch).arg("--register").start();
    assert_eq!(refused(register(&server, "alice")), (Some(4), "registration_closed".into()));
    server.stop();

    let server = started(&scratch, &["--registration", "open"]);
    let mut alice = register(&server, "alice");
    alice.expect("ready", |_| true);
    alice.quit();
    for lookalike in ["alice", "Alice", "аlice", "ａlice"] {
        assert_eq!(refused(register(&server, lookalike)), (Some(4), "name_taken".into()), "{lookalike}");
    }
    // The budget of the address: five in an hour.
    assert_eq!(refused(register(&server, "erin")), (Some(4), "too_many_attempts".into()));
    server.stop();
}

#[test]
fn a_changed_password_ends_other_sessions_and_all_tickets() {
    let scratch = Scratch::new();
    let server = started(&scratch, &[]);
    server.add_users(&["alice"]);
    let first = Options::new("alice", &server, &scratch);
    let second = first.clone().state(&scratch.path("second-state"));
    let mut here = Client::ready(first.clone());
    let mut there = Client::ready(second.clone());
    let file = written(&scratch, "a better one");
    here.type_line(&format!("/passwd {}", file.display()));
    here.expect("password_changed", |_| true);
    there.expect("server_lost", |event| event["reason"] == "revoked");
    assert_eq!(there.wait().code(), Some(3));
    here.type_line("still here");
    here.expect("posted", |_| true);
    // The old password is worth nothing any more, also not to change it back; nor is the ticket of the other device.
    here.quit();
    assert_eq!(refused(second.start()), (Some(4), "login_refused".into()));
    let mut again = Client::ready(first.password(&written(&scratch, "a better one")));
    again.type_line("/devices");
    let devices = again.expect("devices", |_| true);
    assert_eq!(devices["devices"].as_array().map(Vec::len), Some(2), "{devices}");
    again.quit();
    server.stop();
}

#[test]
fn a_password_reset_on_the_command_line_ends_every_session() {
    let scratch = Scratch::new();
    let server = started(&scratch, &[]);
    server.add_users(&["alice"]);
    let options = Options::new("alice", &server, &scratch);
    let mut alice = Client::ready(options.clone());
    server.change_password("alice", "reset");
    alice.expect("server_lost", |event| event["reason"] == "revoked");
    assert_eq!(alice.wait().code(), Some(3));
    assert_eq!(refused(options.clone().start()), (Some(4), "login_refused".into()));
    Client::ready(options.password(&written(&scratch, "reset"))).quit();
    server.stop();
}

#[test]
fn a_device_is_revoked_from_another_and_from_the_command_line() {
    let scratch = Scratch::new();
    let server = started(&scratch, &[]);
    server.add_users(&["alice"]);
    let first = Options::new("alice", &server, &scratch);
    let second = first.clone().state(&scratch.path("second-state"));
    let mut here = Client::ready(first.clone());
    let mut there = Client::ready(second.clone());
    let device = |list: &Value, this: bool| {
        let devices = list["devices"].as_array().expect("devices");
        let found = devices.iter().find(|device| device["this"] == this).expect("the device");
        assert_eq!((&found["online"], &found["ticket"]), (&true.into(), &true.into()), "{list}");
        found["device"].as_str().expect("a name").to_owned()
    };
    here.type_line("/devices");
    let list = here.expect("devices", |_| true);
    let (mine, other) = (device(&list, true), device(&list, false));
    here.type_line(&format!("/revoke {}", &other[..6]));
    let left = here.expect("devices", |_| true);
    assert_eq!(left["devices"].as_array().map(Vec::len), Some(1), "{left}");
    there.expect("server_lost", |event| event["reason"] == "revoked");
    assert_eq!(there.wait().code(), Some(3));
    here.type_line("/revoke 00ff00");
    assert_eq!(here.expect("error", |_| true)["code"], "no_such_device");

    let shown = server_command(&scratch, &["user", "devices", "alice"]);
    assert!(shown.starts_with(&mine), "{shown}");
    server_command(&scratch, &["user", "devices", "alice", "--revoke", &mine]);
    here.expect("server_lost", |event| event["reason"] == "revoked");
    // The first failure counts: the device that was not there.
    assert_eq!(here.wait().code(), Some(5));
    // With the password, the device may come back: who knows it is who they are.
    Client::ready(second).quit();
    server.stop();
}

#[test]
fn wrong_passwords_are_slowed_down_for_one_id_at_one_address_alone() {
    let scratch = Scratch::new();
    let config = scratch.path("settings.toml");
    std::fs::write(&config, "[accounts]\nmax_attempts = 3\nattempt_refill = \"1 h\"\n").expect("a file");
    let server = started(&scratch, &["--config", config.to_str().expect("a path")]);
    server.add_users(&["alice", "bob"]);
    let try_as = |user: &str| {
        let options = Options::new(user, &server, &scratch).password(&written(&scratch, "wrong"));
        refused(options.start())
    };
    for user in ["alice", "nobody"] {
        for _ in 0..3 {
            assert_eq!(try_as(user), (Some(4), "login_refused".into()), "{user}");
        }
        assert_eq!(try_as(user), (Some(4), "too_many_attempts".into()), "{user}");
    }
    for _ in 0..5 {
        let bob = Options::new("bob", &server, &scratch);
        Client::ready(bob).quit();
    }
    server.stop();
}
