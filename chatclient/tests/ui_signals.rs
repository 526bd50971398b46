//! Questions at a terminal, before there is a session: Ctrl-C and SIGTERM end them, and the program.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use harness::{PASSWORD, PATIENCE, Scratch, Server, program, signal};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, tcgetattr};

const CTRL_C: &[u8] = b"\x03";

/// A person at a terminal who starts the client.
struct Person {
    keyboard: File,
    screen: Receiver<Vec<u8>>,
    unread: String,
    /// Kept open, so that the modes can be read after the client has gone.
    line: OwnedFd,
    before: LocalModes,
    client: Child,
}

impl Person {
    fn starts(server: &Server, scratch: &Scratch, args: &[&str]) -> Self {
        let keyboard = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a pseudo-terminal");
        grantpt(&keyboard).and_then(|()| unlockpt(&keyboard)).expect("a pseudo-terminal");
        let name = ptsname(&keyboard, Vec::new()).expect("a name");
        let line =
            rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).expect("its other end");
        let before = tcgetattr(&line).expect("modes").local_modes;
        let end = || Stdio::from(line.try_clone().expect("a handle"));
        // A terminal sends signals to those whose controlling terminal it is.
        let client = Command::new("setsid")
            .args(["--ctty", "--wait"])
            .arg(program("chatclient"))
            .args(["--server", &server.addr, "--user", "alice", "--peer-listen", "none"])
            .arg("--state")
            .arg(scratch.path("state"))
            .args(args)
            .env("TERM", "xterm")
            .stdin(end())
            .stdout(end())
            .stderr(end())
            .spawn()
            .expect("the client starts");
        let keyboard = File::from(keyboard);
        let (sender, screen) = channel();
        let mut output = keyboard.try_clone().expect("a handle");
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard, screen, unread: String::new(), line, before, client }
    }

    fn sees(&mut self, expected: &str) {
        while !self.unread.contains(expected) {
            let bytes = self.screen.recv_timeout(PATIENCE);
            let bytes = bytes.unwrap_or_else(|_| panic!("never saw {expected:?}, only {:?}", self.unread));
            self.unread.push_str(&String::from_utf8_lossy(&bytes));
        }
    }

    fn types(&mut self, keys: &[u8]) {
        self.keyboard.write_all(keys).expect("keys are taken");
    }

    /// The program has ended as one that was interrupted, and the terminal is as it was.
    fn ends_interrupted(mut self) {
        let status = self.client.wait().expect("the client ends");
        assert_eq!(status.code(), Some(130), "{status}: {}", self.unread);
        assert_eq!(tcgetattr(&self.line).expect("modes").local_modes, self.before);
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        // A test that failed must not leave its client behind.
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}

/// Starts at the question that `args` lead to, whose text has `part` in it, and ends it.
fn is_ended_by(args: &[&str], part: &str, end: impl Fn(&mut Person)) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice"]);
    std::fs::write(scratch.path("password"), PASSWORD).expect("the password is written");
    let password = scratch.path("password");
    let args = args.iter().map(|arg| if *arg == "FILE" { password.to_str().expect("a path") } else { arg });
    let mut person = Person::starts(&server, &scratch, &args.collect::<Vec<_>>());
    person.sees(part);
    end(&mut person);
    person.ends_interrupted();
    server.stop();
}

#[test]
fn ctrl_c_ends_the_question_about_an_unknown_server() {
    is_ended_by(&["--password-file", "FILE"], "yes or no: ", |person| person.types(CTRL_C));
}

#[test]
fn sigterm_ends_the_question_about_an_unknown_server() {
    is_ended_by(&["--password-file", "FILE"], "yes or no: ", |person| signal(&person.client, "-TERM"));
}

#[test]
fn ctrl_c_ends_the_question_for_the_password() {
    is_ended_by(&["--trust-first"], "password of alice at ", |person| person.types(CTRL_C));
}

#[test]
fn sigterm_ends_the_question_for_the_password() {
    is_ended_by(&["--trust-first"], "password of alice at ", |person| signal(&person.client, "-TERM"));
}
