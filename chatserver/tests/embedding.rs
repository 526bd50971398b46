//! The examples of `chatproto`, played against the real server: whoever embeds the crate can talk to it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

const PASSWORD: &str = "correct horse";

/// The path of an example, built if it is not there or not fresh.
fn example(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let status = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "chatproto", "--features", "opaque", "--examples"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status()
            .expect("cargo runs");
        assert!(status.success(), "the examples do not build");
        let server = Path::new(env!("CARGO_BIN_EXE_chatserver"));
        server.parent().expect("a target directory").join("examples")
    });
    dir.join(name)
}

/// A server on loopback, in plaintext, with accounts.
struct Server {
    child: Child,
    addr: String,
    _data: tempfile::TempDir,
}

impl Server {
    fn start(users: &[&str]) -> Self {
        let data = tempfile::tempdir().expect("a data directory");
        for user in users {
            add_user(data.path(), user);
        }
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatserver"))
            .args(["--listen", "127.0.0.1:0", "--insecure-plaintext", "--log", "warn", "--data"])
            .arg(data.path())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("the server says where it listens");
        let addr = line.trim_end().strip_prefix("listening on ").expect("the first line").to_owned();
        Self { child, addr, _data: data }
    }

    fn client(&self, args: &[&str]) -> Output {
        let mut command = Command::new(example("blocking_client"));
        command.arg(&self.addr).args(args).output().expect("the client runs")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn add_user(data: &Path, user: &str) {
    let mut add = Command::new(env!("CARGO_BIN_EXE_chatserver"))
        .args(["user", "add", user, "--password-stdin", "--stretch", "light", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the command starts");
    writeln!(add.stdin.take().expect("piped"), "{PASSWORD}").expect("the password is taken");
    assert!(add.wait().expect("the command ends").success());
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
fn a_blocking_client_talks_to_the_server() {
    let server = Server::start(&["alice"]);
    let output = server.client(&["alice", PASSWORD, "1", "hello from std::net"]);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(stdout(&output), "alice: hello from std::net\n");
}

#[test]
fn a_blocking_client_is_refused_with_a_wrong_password() {
    let server = Server::start(&["alice"]);
    for user in ["alice", "nobody"] {
        let output = server.client(&[user, "wrong", "1", "hello"]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert_eq!(stdout(&output), "");
    }
}

#[test]
fn a_bot_on_another_runtime_answers() {
    let server = Server::start(&["alice", "bot"]);
    let mut bot = Command::new(example("time_bot"))
        .args([&server.addr, "bot", PASSWORD])
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
