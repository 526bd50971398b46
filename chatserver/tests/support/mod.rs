//! Runs the real server for the tests of this crate.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

pub mod crowd;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;

pub const PASSWORD: &str = "correct horse";

/// What `tests/io_threads.rs` adds to each server's arguments.
const IO_THREADS: [&str; 2] = ["--io-threads", "2"];

/// A server on loopback.
pub struct Server {
    child: Child,
    pub addr: String,
    pub fingerprint: Option<String>,
}

impl Server {
    /// Starts it on a port of the system's choice.
    pub fn start(data: &Path, args: &[&str]) -> Self {
        Self::start_on(data, "127.0.0.1:0", args)
    }

    pub fn start_on(data: &Path, listen: &str, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatserver"))
            .args(["--log", "warn", "--listen", listen, "--data"])
            .arg(data)
            .args(args)
            .args(IO_THREADS.iter().filter(|_| module_path!().starts_with("io_threads::")))
            .stdout(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().expect("piped"));
        out.read_line(&mut line).expect("the server says where it listens");
        let mut words = line.split_whitespace();
        assert_eq!((words.next(), words.next()), (Some("listening"), Some("on")), "first line: {line:?}");
        let addr = words.next().expect("an address").to_owned();
        let fingerprint = words.nth(1).map(str::to_owned);
        Self { child, addr, fingerprint }
    }

    /// Stops it the polite way.
    pub fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs").success());
        assert!(self.child.wait().expect("the server ends").success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs one command of the server program.
pub fn command(args: &[&str], data: &Path, input: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_chatserver"))
        .args(args)
        .arg("--data")
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the command starts");
    // A command that needs no input may have ended before it was written.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("the command ends")
}

/// Adds an account whose logins are cheap.
pub fn add_user(data: &Path, user: &str) {
    let args = ["user", "add", user, "--password-stdin", "--stretch", "light"];
    let output = command(&args, data, &format!("{PASSWORD}\n"));
    assert!(output.status.success(), "{output:?}");
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Everything that comes until the other side ends the connection.
pub fn read_to_end(stream: &mut std::net::TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    // A reset after the bye ends the stream just as well.
    let _ = stream.read_to_end(&mut all);
    all
}

/// The path of an example of `chatproto`, built if it is not there or not fresh.
pub fn example(name: &str) -> PathBuf {
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
