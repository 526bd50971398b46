//! The real client, driven as a script drives it: lines in, JSON out.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::process;
use crate::subject::{PASSWORD, Running, account_name};

/// Time without any event after which a client counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client that runs; it ends with this value.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    child: Child,
    input: Option<ChildStdin>,
    events: Receiver<Value>,
}

impl Client {
    /// Starts the client of an account, with its state in `place`.
    pub(super) fn start(
        program: &Path,
        running: &Running,
        number: usize,
        place: &Path,
        share: Option<&Path>,
    ) -> Result<Self, Failure> {
        let name = account_name(number);
        let own = place.join(&name);
        fs::create_dir_all(&own).map_err(Failure::io("make a client's directory"))?;
        let password = own.join("password");
        fs::write(&password, format!("{PASSWORD}\n")).map_err(Failure::io("write a password"))?;
        let mut command = Command::new(program);
        command.args(["--server", &running.addr().to_string(), "--user", &name, "--json", "--stay"]);
        match running.fingerprint() {
            Some(fingerprint) => command.args(["--fingerprint", fingerprint]),
            None => command.arg("--insecure-plaintext"),
        };
        command.args(["--peer-listen", "127.0.0.1:0", "--accept", "all", "--password-file"]).arg(&password);
        command.arg("--state").arg(own.join("state")).arg("--downloads").arg(own.join("downloads"));
        command.args(share.map(|_| "--share")).args(share);
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut child = started.map_err(Failure::io(format!("start {}", program.display())))?;
        let (told, events) = channel();
        if let Some(out) = child.stdout.take() {
            // It ends with the client's output, or with this value.
            std::thread::spawn(move || {
                let lines = BufReader::new(out).lines().map_while(Result::ok);
                let mut read = lines.filter_map(|line| serde_json::from_str(&line).ok());
                read.try_for_each(|event: Value| told.send(event))
            });
        }
        let input = child.stdin.take();
        Ok(Self { name, child, input, events })
    }

    pub(super) fn type_line(&mut self, line: &str) -> Result<(), Failure> {
        let what = || format!("tell {} to {line}", self.name);
        let Some(input) = &mut self.input else { return Err(Failure::new(what(), "its input is closed")) };
        writeln!(input, "{line}").and_then(|()| input.flush()).map_err(Failure::io(what()))
    }

    /// Waits for an event of this name for which `wanted` holds; what comes before it is of no interest.
    pub(super) fn expect(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        self.wait(event, |found| field(found, "event") == event && wanted(found))
    }

    /// Waits for any event for which `wanted` holds.
    pub(super) fn any(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        self.wait("one of several events", wanted)
    }

    fn wait(&mut self, name: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let mut last = Value::Null;
        loop {
            match self.events.recv_timeout(PATIENCE) {
                Ok(found) if wanted(&found) => return Ok(found),
                Ok(other) => last = other,
                Err(_) => {
                    let what = format!("wait for {name} of {}", self.name);
                    return Err(Failure::new(what, format!("the last that it told is {last}")));
                }
            }
        }
    }

    /// CPU time so far, to a hundredth of a second.
    pub(super) fn cpu(&self) -> Result<Duration, Failure> {
        process::cpu_time(self.child.id())
    }

    /// The most memory that it has held, in bytes.
    pub(super) fn peak(&self) -> Result<u64, Failure> {
        process::memory(self.child.id(), "VmHWM:")
    }

    /// Ends it as a user does.
    pub(super) fn quit(mut self) -> Result<(), Failure> {
        self.type_line("/quit")?;
        self.input = None;
        let what = || format!("end {}", self.name);
        let deadline = Instant::now() + PATIENCE;
        // Its output ends with it.
        while let Some(left) = deadline.checked_duration_since(Instant::now()) {
            if self.events.recv_timeout(left).is_err() {
                break;
            }
        }
        match self.child.try_wait().map_err(Failure::io(what()))? {
            Some(status) if !status.success() => Err(Failure::new(what(), status)),
            // A moment may pass between the end of its output and its own; the drop sees to it.
            Some(_) | None => Ok(()),
        }
    }
}

/// A field of an event that is a text; empty if it has none.
pub(super) fn field<'a>(event: &'a Value, name: &str) -> &'a str {
    event.get(name).and_then(Value::as_str).unwrap_or_default()
}

impl Drop for Client {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
