//! The real client, driven as a script drives it: lines in, JSON out.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::process;
use crate::subject::{PASSWORD, Running, account_name};

/// Time without any event after which a client counts as stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// Bytes of events that are taken at once. Whoever measures a program on two processors should take little of them.
const CHUNK: usize = 64 * 1024;

/// A client that runs; it ends with this value.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) name: String,
    child: Child,
    input: Option<ChildStdin>,
    /// Whole lines, many at once.
    told: Receiver<String>,
    /// Those that were not looked at yet, from `seen` on.
    lines: String,
    seen: usize,
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
        let (tell, told) = channel();
        if let Some(out) = child.stdout.take() {
            // It ends with the client's output, or with this value.
            std::thread::spawn(move || pass_on(out, &tell));
        }
        let input = child.stdin.take();
        Ok(Self { name, child, input, told, lines: String::new(), seen: 0 })
    }

    pub(super) fn type_line(&mut self, line: &str) -> Result<(), Failure> {
        let what = || format!("tell {} to {line}", self.name);
        let Some(input) = &mut self.input else { return Err(Failure::new(what(), "its input is closed")) };
        writeln!(input, "{line}").and_then(|()| input.flush()).map_err(Failure::io(what()))
    }

    /// Waits for an event of this name for which `wanted` holds; what comes before it is of no interest, and not even parsed.
    pub(super) fn expect(&mut self, event: &str, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        let name = format!("\"{event}\"");
        self.wait(event, |line| line.contains(&name), |found| field(found, "event") == event && wanted(found))
    }

    /// Waits for any event for which `wanted` holds.
    pub(super) fn any(&mut self, wanted: impl Fn(&Value) -> bool) -> Result<Value, Failure> {
        self.wait("one of several events", |_| true, wanted)
    }

    fn wait(
        &mut self,
        name: &str,
        may_be: impl Fn(&str) -> bool,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value, Failure> {
        let mut last = String::new();
        loop {
            while let Some((line, _)) = self.lines.get(self.seen..).and_then(|rest| rest.split_once('\n')) {
                self.seen += line.len() + 1;
                if may_be(line)
                    && let Some(found) = serde_json::from_str(line).ok().filter(&wanted)
                {
                    return Ok(found);
                }
                line.clone_into(&mut last);
            }
            self.seen = 0;
            self.lines = self.told.recv_timeout(PATIENCE).map_err(|_| {
                let what = format!("wait for {name} of {}", self.name);
                Failure::new(what, format!("the last that it told is {last}"))
            })?;
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
            if self.told.recv_timeout(left).is_err() {
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

/// Passes on what a client tells, whole lines at a time, as they come.
fn pass_on(mut out: ChildStdout, tell: &Sender<String>) {
    let (mut chunk, mut lines) = (vec![0; CHUNK], Vec::new());
    while let Ok(len @ 1..) = out.read(&mut chunk) {
        lines.extend_from_slice(chunk.get(..len).unwrap_or_default());
        let Some(end) = lines.iter().rposition(|byte| *byte == b'\n') else { continue };
        let rest = lines.split_off(end + 1);
        let whole = String::from_utf8_lossy(&std::mem::replace(&mut lines, rest)).into_owned();
        if tell.send(whole).is_err() {
            return;
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
