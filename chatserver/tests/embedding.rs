//! The examples of `chatproto`, played against the real server: whoever embeds the crate can talk to it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Output, Stdio};

use support::{PASSWORD, Server, add_user, command, example, text};

/// A server on loopback, in plaintext, with accounts.
struct Plain {
    server: Server,
    data: tempfile::TempDir,
}

impl Plain {
    fn start(users: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        users.iter().for_each(|user| add_user(data.path(), user));
        let server = Server::start(data.path(), &["--insecure-plaintext"]);
        Self { server, data }
    }

    fn client(&self, args: &[&str]) -> Output {
        let mut command = Command::new(example("blocking_client"));
        command.arg(&self.server.addr).args(args).output().expect("the client runs")
    }
}

fn stdout(output: &Output) -> String {
    text(&output.stdout)
}

#[test]
fn a_blocking_client_talks_to_the_server() {
    let server = Plain::start(&["alice"]);
    let output = server.client(&["alice", PASSWORD, "1", "hello from std::net"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "alice: hello from std::net\n");
}

#[test]
fn a_blocking_client_is_refused_with_a_wrong_password() {
    let server = Plain::start(&["alice"]);
    for user in ["alice", "nobody"] {
        let output = server.client(&[user, "wrong", "1", "hello"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_removed_account_is_disconnected() {
    let plain = Plain::start(&["alice"]);
    let mut client = Command::new(example("blocking_client"))
        .args([&plain.server.addr, "alice", PASSWORD, "2", "one message, and waiting for another"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the client runs");
    let mut line = String::new();
    BufReader::new(client.stdout.take().expect("piped")).read_line(&mut line).expect("it hears itself");
    let output = command(&["user", "remove", "alice"], plain.data.path(), "");
    assert!(output.status.success(), "{output:?}");
    let output = client.wait_with_output().expect("the client ends");
    assert!(text(&output.stderr).contains("Removed"), "{}", text(&output.stderr));
}

#[test]
fn a_bot_on_another_runtime_answers() {
    let server = Plain::start(&["alice", "bot"]);
    let mut bot = Command::new(example("time_bot"))
        .args([&server.server.addr, "bot", PASSWORD])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the bot starts");
    // The bot says that it is logged in; a question that it must hear comes after it has joined.
    let mut ready = String::new();
    let mut out = BufReader::new(bot.stdout.take().expect("piped"));
    out.read_line(&mut ready).expect("the bot says that it is there");
    assert_eq!(ready, "bot is in the lobby\n");

    let output = server.client(&["alice", PASSWORD, "2", "!time"]);
    bot.kill().expect("the bot is stopped");
    bot.wait().expect("the bot ends");
    assert!(output.status.success(), "{output:?}");
    let lines = stdout(&output);
    let (question, answer) = lines.split_once('\n').expect("two lines");
    assert_eq!(question, "alice: !time");
    assert!(
        answer.starts_with("bot: alice: ") && answer.trim_end().ends_with("seconds since 1970"),
        "{answer}"
    );
}
