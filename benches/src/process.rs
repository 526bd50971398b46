//! What a process has cost, as Linux counts it in `/proc`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use crate::Failure;

/// A process that listens; it ends with this value.
#[derive(Debug)]
pub struct Listening {
    child: Child,
    out: Option<BufReader<ChildStdout>>,
    /// Where it accepts connections.
    pub addr: SocketAddr,
    /// The rest of the line on which it said so.
    pub rest: String,
}

/// CPU time of a process, kernel time included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Of all its threads, also those that have ended.
    pub total: Duration,
    /// Of each thread that lives, by name.
    pub threads: BTreeMap<String, Duration>,
}

impl Cpu {
    /// What was used since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |name: &String| earlier.threads.get(name).copied().unwrap_or_default();
        let used = |(name, time): (&String, &Duration)| (name.clone(), time.saturating_sub(before(name)));
        Self {
            total: self.total.saturating_sub(earlier.total),
            threads: self.threads.iter().map(used).collect(),
        }
    }
}

impl Listening {
    /// Starts `command` and waits for its line `listening on ADDR ...`.
    ///
    /// # Errors
    /// When it does not start, or says something else.
    pub fn start(command: &mut Command) -> Result<Self, Failure> {
        let name = command.get_program().display().to_string();
        let mut child =
            command.stdout(Stdio::piped()).spawn().map_err(Failure::io(format!("start {name}")))?;
        let out = child.stdout.take().map(BufReader::new);
        let mut listening = Self { child, out, addr: SocketAddr::from(([0; 4], 0)), rest: String::new() };
        let line = listening.next_line()?;
        let words = line.trim().strip_prefix("listening on ");
        let (addr, rest) = words.map_or(("", ""), |words| words.split_once(' ').unwrap_or((words, "")));
        listening.addr = addr
            .parse()
            .map_err(|_| Failure::new(format!("start {name}"), format!("it said `{}`", line.trim())))?;
        rest.clone_into(&mut listening.rest);
        Ok(listening)
    }

    /// The next line that it says on standard output; waits for it.
    ///
    /// # Errors
    /// When it says nothing more.
    pub fn next_line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        if let Some(out) = &mut self.out {
            out.read_line(&mut line).map_err(Failure::io("listen to what was started"))?;
        }
        Ok(line)
    }

    /// CPU time so far, to a hundredth of a second.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn cpu(&self) -> Result<Cpu, Failure> {
        let process = format!("/proc/{}", self.child.id());
        let (_, total) = stat(&format!("{process}/stat"))?;
        let mut threads = BTreeMap::new();
        let tasks = fs::read_dir(format!("{process}/task")).map_err(Failure::io("list the threads"))?;
        for task in tasks.flatten() {
            // A thread may end while we look.
            if let Ok((name, time)) = stat(&format!("{}/stat", task.path().display())) {
                *threads.entry(name).or_default() += time;
            }
        }
        Ok(Cpu { total, threads })
    }

    /// Resident memory, in bytes.
    ///
    /// # Errors
    /// When the process has ended.
    pub fn resident(&self) -> Result<u64, Failure> {
        memory(self.child.id(), "VmRSS:")
    }

    /// Asks it to end and waits until it has.
    ///
    /// # Errors
    /// When it ends with an error, which means that what it acknowledged may be lost.
    pub fn stop(mut self) -> Result<(), Failure> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)
            .map_err(|error| Failure::new("stop the server", error))?;
        let status = self.child.wait().map_err(Failure::io("stop the server"))?;
        if status.success() { Ok(()) } else { Err(Failure::new("stop the server", status)) }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        // It has ended already when all went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU time of a process so far, kernel time included, to a hundredth of a second.
///
/// # Errors
/// When the process has ended.
pub fn cpu_time(pid: u32) -> Result<Duration, Failure> {
    stat(&format!("/proc/{pid}/stat")).map(|(_, time)| time)
}

/// A size in the status of a process, by the line's name, in bytes.
///
/// # Errors
/// When the process has ended.
pub fn memory(pid: u32, name: &str) -> Result<u64, Failure> {
    let path = format!("/proc/{pid}/status");
    let status = fs::read_to_string(&path).map_err(Failure::io(format!("read {path}")))?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| Failure::new(format!("read {path}"), format!("no {name}")))
}

/// Name and CPU time of a process or a thread.
fn stat(path: &str) -> Result<(String, Duration), Failure> {
    let what = || format!("read {path}");
    let stat = fs::read_to_string(path).map_err(Failure::io(what()))?;
    parse(&stat).ok_or_else(|| Failure::new(what(), "not the format of Linux"))
}

/// The name is in parentheses and may hold anything; the times are the 14th and 15th field (proc(5)).
fn parse(stat: &str) -> Option<(String, Duration)> {
    let (head, fields) = stat.rsplit_once(") ")?;
    let (_, name) = head.split_once('(')?;
    let ticks = fields.split(' ').skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    Some((name.to_owned(), Duration::from_millis(ticks * 1000 / per_second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_are_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "71 (a (b) c) S 1 71 71 0 -1 4194560 9 8 7 6 250 50 3 2 20 0 1 0 5 1 1";
        let (name, time) = parse(stat).unwrap();
        let ticks = rustix::param::clock_ticks_per_second();
        assert_eq!((name.as_str(), time), ("a (b) c", Duration::from_millis(300 * 1000 / ticks)));
    }
}
