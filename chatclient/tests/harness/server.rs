//! The real server, as a process.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::{PASSWORD, PATIENCE, command_in, program, signal};

/// What `tests/e2e_io_threads.rs` adds to each server's arguments.
const IO_THREADS: [&str; 2] = ["--io-threads", "2"];

pub struct Server {
    child: Child,
    data: PathBuf,
    /// Where it listens, as it said itself.
    pub addr: String,
    /// What its certificate is known by; `None` in plaintext.
    pub fingerprint: Option<String>,
    log: Receiver<String>,
}

impl Server {
    /// Starts a server with TLS on a port of the system's choice.
    pub fn start(data: &Path) -> Self {
        Self::start_with(data, "127.0.0.1:0", &[])
    }

    pub fn start_with(data: &Path, listen: &str, args: &[&str]) -> Self {
        Self::start_in(None, data, listen, args)
    }

    /// Starts a server in a network namespace.
    pub fn start_in(netns: Option<&str>, data: &Path, listen: &str, args: &[&str]) -> Self {
        let mut child = command_in(netns, "chatserver")
            .args(["--listen", listen, "--data"])
            .arg(data)
            .args(args)
            .args(IO_THREADS.iter().filter(|_| module_path!().starts_with("e2e_io_threads::")))
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        let (told, log) = channel();
        let err = BufReader::new(child.stderr.take().expect("piped"));
        std::thread::spawn(move || err.lines().map_while(Result::ok).try_for_each(|line| told.send(line)));
        let mut line = String::new();
        out.read_line(&mut line).expect("the server says where it listens");
        let mut words = line.split_whitespace();
        assert_eq!((words.next(), words.next()), (Some("listening"), Some("on")), "first line: {line:?}");
        let addr = words.next().expect("an address").to_owned();
        let fingerprint = words.nth(1).map(str::to_owned);
        Self { child, data: data.to_owned(), addr, fingerprint, log }
    }

    /// Adds accounts, beside the running server.
    pub fn add_users(&self, names: &[&str]) {
        names.iter().for_each(|name| add_user(&self.data, name));
    }

    /// Changes a password, beside the running server.
    pub fn change_password(&self, name: &str, password: &str) {
        let args = ["user", "passwd", name, "--password-stdin", "--stretch", "light", "--data"];
        command(&args, &self.data, password);
    }

    /// Waits for a line of the server's console that contains `text`.
    pub fn expect_log(&self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            match self.log.recv_timeout(PATIENCE) {
                Ok(line) if line.contains(text) => return line,
                Ok(line) => seen.push(line),
                Err(_) => panic!("the server never said {text:?}, only:\n{}", seen.join("\n")),
            }
        }
    }

    /// Has it read its settings and certificate again.
    pub fn reload(&self) {
        signal(&self.child, "-HUP");
    }

    /// Stops it the polite way and waits for its end.
    pub fn stop(mut self) {
        signal(&self.child, "-TERM");
        let status = self.child.wait().expect("the server ends");
        assert!(status.success(), "the server ended with {status}");
    }

    /// Stops it the way a crash does.
    pub fn kill(mut self) {
        self.child.kill().expect("the server is killed");
        self.child.wait().expect("the server ends");
    }

    /// Bytes of memory that the process holds now.
    pub fn resident(&self) -> u64 {
        let path = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(path).expect("the server runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("a size");
        line.split_whitespace().nth(1).and_then(|size| size.parse::<u64>().ok()).expect("a number") * 1024
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Adds an account whose logins are cheap, so that tests with many of them are quick.
pub fn add_user(data: &Path, name: &str) {
    command(&["user", "add", name, "--password-stdin", "--stretch", "light", "--data"], data, PASSWORD);
}

/// Runs a command of the server with one line of input.
fn command(args: &[&str], data: &Path, line: &str) {
    let mut child = Command::new(program("chatserver"))
        .args(args)
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the server's command starts");
    writeln!(child.stdin.take().expect("piped"), "{line}").expect("the line is taken");
    assert!(child.wait().expect("the command ends").success(), "{args:?}");
}
