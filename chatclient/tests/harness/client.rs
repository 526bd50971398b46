//! The real client, as a process that speaks JSON lines.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::Value;

use super::{PASSWORD, PATIENCE, Scratch, Server, command_in, program, signal};

/// How a client is started; begin with [`Options::new`].
#[derive(Clone)]
pub struct Options {
    user: String,
    server: String,
    args: Vec<OsString>,
    json: bool,
    netns: Option<String>,
    hosts: Option<PathBuf>,
}

impl Options {
    /// A client of `server` that pins its certificate and keeps its state, share and downloads in `scratch`.
    pub fn new(user: &str, server: &Server, scratch: &Scratch) -> Self {
        let mut options = Self::bare(user, &server.addr, scratch);
        match &server.fingerprint {
            Some(fingerprint) => options = options.arg("--fingerprint").arg(fingerprint),
            None => options = options.arg("--insecure-plaintext"),
        }
        options
            .arg("--share")
            .arg(scratch.folder(&format!("{user}-share")))
            .arg("--downloads")
            .arg(scratch.path(&format!("{user}-downloads")))
            .arg("--peer-listen")
            .arg("127.0.0.1:0")
            .arg("--stay")
    }

    /// A client with nothing but a server, a name, a state directory and a password.
    pub fn bare(user: &str, server: &str, scratch: &Scratch) -> Self {
        let password = scratch.path("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).expect("the password is written");
        let options = Self {
            user: user.into(),
            server: server.into(),
            args: Vec::new(),
            json: true,
            netns: None,
            hosts: None,
        };
        options
            .arg("--password-file")
            .arg(password)
            .arg("--state")
            .arg(scratch.path(&format!("{user}-state")))
    }

    /// Another password file than the right one.
    pub fn password(mut self, file: &Path) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == "--password-file") {
            self.args[at + 1] = file.into();
        }
        self
    }

    /// Another state directory: another device of the same user.
    pub fn state(mut self, dir: &Path) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == "--state") {
            self.args[at + 1] = dir.into();
        }
        self
    }

    /// No password file: the client has nobody to ask.
    pub fn without_password(mut self) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == "--password-file") {
            self.args.drain(at..at + 2);
        }
        self
    }

    pub fn arg(mut self, arg: impl Into<OsString>) -> Self {
        self.args.push(arg.into());
        self
    }

    pub fn args<const N: usize>(self, args: [&str; N]) -> Self {
        args.into_iter().fold(self, Self::arg)
    }

    /// Another server address than the one in the options so far.
    pub fn server(mut self, addr: impl Into<String>) -> Self {
        self.server = addr.into();
        self
    }

    /// Removes `flag`, which has no value.
    pub fn without(mut self, flag: &str) -> Self {
        self.args.retain(|arg| arg != flag);
        self
    }

    /// Another address for peers than the one in the options so far.
    pub fn peers_at(mut self, addr: &str) -> Self {
        if let Some(at) = self.args.iter().position(|arg| arg == "--peer-listen") {
            self.args[at + 1] = addr.into();
        }
        self
    }

    /// Runs in a network namespace, if one is named.
    pub fn in_netns(mut self, netns: Option<&str>) -> Self {
        self.netns = netns.map(str::to_owned);
        self
    }

    /// In its namespace, names are looked up in this file.
    pub fn hosts(mut self, file: PathBuf) -> Self {
        self.hosts = Some(file);
        self
    }

    pub fn start(self) -> Client {
        let mut command = match (&self.hosts, &self.netns) {
            (Some(hosts), Some(netns)) => {
                let mut command = Command::new("ip");
                // The mounts of a namespace's command are its own.
                let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
                command.args(["netns", "exec", netns, "sh", "-c", script]).arg(hosts);
                command.arg(program("chatclient"));
                command
            }
            _ => command_in(self.netns.as_deref(), "chatclient"),
        };
        let mut child = command
            .args(["--server", &self.server, "--user", &self.user])
            .args(&self.args)
            .args(self.json.then_some("--json"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("the client starts");
        let out = BufReader::new(child.stdout.take().expect("piped"));
        let (told, events) = channel();
        std::thread::spawn(move || {
            out.lines().map_while(Result::ok).try_for_each(|line| {
                told.send(serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error} in {line:?}")))
            })
        });
        let stdin = child.stdin.take();
        Client { user: self.user, child, stdin, events, seen: Vec::new() }
    }
}

pub struct Client {
    pub user: String,
    child: Child,
    stdin: Option<ChildStdin>,
    events: Receiver<Value>,
    /// What came and was not waited for yet.
    seen: Vec<Value>,
}

impl Client {
    /// Starts a client and waits until it is logged in and in the lobby.
    pub fn ready(options: Options) -> Self {
        let mut client = options.start();
        client.expect("ready", |_| true);
        client
    }

    /// CPU time that the process has used, in seconds, and the most memory that it has held, in bytes.
    pub fn cost(&self) -> (f64, u64) {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("the client runs");
        let after_name = stat.rsplit_once(") ").expect("a name in brackets").1;
        let ticks: u64 =
            after_name.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks")).sum();
        // The unit of these ticks is a hundredth of a second on every Linux.
        (ticks as f64 / 100.0, self.most_memory().expect("the client runs"))
    }

    /// The most memory that the process has held, in bytes; `None` if it has ended.
    pub fn most_memory(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).ok()?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        let peak: u64 = peak.trim().trim_end_matches(" kB").parse().expect("a size");
        Some(peak * 1024)
    }

    /// Types a line.
    pub fn type_line(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("the input is open");
        writeln!(stdin, "{line}").and_then(|()| stdin.flush()).expect("the client reads");
    }

    /// Waits for an event of this name for which `wanted` holds. Others are kept for later.
    pub fn expect(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        self.expect_within(PATIENCE, name, wanted)
    }

    /// The same, for what takes longer than anything else.
    pub fn expect_within(
        &mut self,
        patience: Duration,
        name: &str,
        wanted: impl Fn(&Value) -> bool,
    ) -> Value {
        self.wait_for(patience, &format!("`{name}`"), |event| event["event"] == name && wanted(event))
    }

    /// Waits for any event for which `wanted` holds. Others are kept for later.
    pub fn expect_any(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.wait_for(PATIENCE, "anything", wanted)
    }

    fn wait_for(&mut self, patience: Duration, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.seen.iter().position(&is_it) {
            return self.seen.remove(at);
        }
        loop {
            match self.events.recv_timeout(patience) {
                Ok(event) if is_it(&event) => return event,
                Ok(event) => self.seen.push(event),
                Err(_) => panic!("{} never told {what} as expected, only: {:#?}", self.user, self.seen),
            }
        }
    }

    /// The input, for somebody else to type into.
    pub fn take_input(&mut self) -> ChildStdin {
        self.stdin.take().expect("the input is open")
    }

    /// The next event, whatever it is.
    pub fn next(&mut self) -> Value {
        if !self.seen.is_empty() {
            return self.seen.remove(0);
        }
        let event = self.events.recv_timeout(PATIENCE);
        event.unwrap_or_else(|_| panic!("{} told nothing more", self.user))
    }

    /// Waits for a message with this text.
    pub fn expect_message(&mut self, from: &str, text: &str) -> Value {
        self.expect("message", |event| event["from"] == from && event["text"] == text)
    }

    /// Everything that has come and was not waited for, without waiting.
    pub fn others(&mut self) -> &[Value] {
        self.seen.extend(self.events.try_iter());
        &self.seen
    }

    /// Forgets what came so far and was not waited for.
    pub fn forget(&mut self) {
        self.others();
        self.seen.clear();
    }

    /// Ends the input, as a script that has said everything does.
    pub fn end_input(&mut self) {
        self.stdin = None;
    }

    /// Waits for the end of the process.
    pub fn wait(mut self) -> ExitStatus {
        self.stdin = None;
        self.child.wait().expect("the client ends")
    }

    /// Waits for the end of the process, and for all that it said.
    pub fn finish(mut self) -> (ExitStatus, Vec<Value>) {
        self.stdin = None;
        let status = self.child.wait().expect("the client ends");
        let mut events = std::mem::take(&mut self.seen);
        events.extend(self.events.iter());
        (status, events)
    }

    /// Ends it the way a user does.
    pub fn quit(mut self) {
        self.type_line("/quit");
        let status = self.wait();
        assert!(status.success(), "the client ended with {status}");
    }

    /// Ends it the way a user does whose commands did not all succeed.
    pub fn quit_with_failures(self) {
        self.quit_with(1);
    }

    /// Ends it the way a user does; the first command that failed did so with this code.
    pub fn quit_with(mut self, code: i32) {
        self.type_line("/quit");
        let status = self.wait();
        assert_eq!(status.code(), Some(code), "the client ended with {status}");
    }

    /// Ends it the way a crash does.
    pub fn kill(mut self) {
        self.child.kill().expect("the client is killed");
        self.child.wait().expect("the client ends");
    }

    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a process").is_none()
    }

    pub fn terminate(&self) {
        signal(&self.child, "-TERM");
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ended already when the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where a client of `scratch` finds what it fetched.
pub fn download(scratch: &Scratch, user: &str, name: &str) -> std::path::PathBuf {
    scratch.path(&format!("{user}-downloads")).join(Path::new(name))
}
