//! The program before it has a server: what it says about its arguments, and to whom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use std::io::{self, PipeWriter};
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_chatclient"));
    command.env_remove("CHATCLIENT_SERVER").env_remove("CHATCLIENT_USER").env_remove("CHATCLIENT_LOG");
    command.stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    program().args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).unwrap()
}

#[test]
fn wrong_arguments_end_with_2_and_say_what_is_wrong() {
    for (arguments, part) in [
        (&[][..], "--server"),
        (&["--server", "host", "--user", "a b"], "forbidden character U+0020"),
        (
            &["--server", "https://host", "--user", "alice"],
            "an invite begins with chat://, not with https://",
        ),
        (&["--server", "host", "--user", "alice", "--frobnicate"], "--frobnicate"),
        (&["--server", "host", "--user", "alice"], "name a file with --password-file"),
        (&["--server", "host", "--user", "alice", "--log", "=,="], "error: --log: "),
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stdout), "", "{arguments:?}");
        assert!(text(&output.stderr).contains(part), "{arguments:?}: {}", text(&output.stderr));
    }
}

#[test]
fn a_program_learns_of_wrong_arguments_as_an_event() {
    let output =
        run(&["--json", "--server", "host", "--user", "alice", "--password-file", "/nowhere/at/all"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "");
    let event: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(event["event"], "error");
    assert_eq!(event["code"], "usage");
    assert!(event["message"].as_str().unwrap().contains("/nowhere/at/all"), "{event}");
    assert_eq!(text(&output.stdout).matches('\n').count(), 1);
}

#[test]
fn the_environment_names_server_and_user() {
    let output = program().env("CHATCLIENT_SERVER", "host").env("CHATCLIENT_USER", "alice").output().unwrap();
    assert!(text(&output.stderr).contains("name a file with --password-file"), "{}", text(&output.stderr));
}

#[test]
fn the_help_names_the_exit_codes() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = text(&output.stdout);
    for part in [
        "--peer-listen",
        "--accept",
        "--insecure-plaintext-anywhere",
        "130 interrupted",
        "default: downloads",
    ] {
        assert!(help.contains(part), "{part} is missing in\n{help}");
    }
}

#[test]
fn nobody_reading_is_no_reason_to_shout() {
    let output = program()
        .args(["--json", "--server", "host", "--user", "alice", "--password-file", "/nowhere/at/all"])
        .stdout(closed_pipe())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(text(&output.stderr), "");
}

fn closed_pipe() -> PipeWriter {
    let (reader, writer) = io::pipe().unwrap();
    drop(reader);
    writer
}
