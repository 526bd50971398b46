//! Who is measured: the floor or the server, each a process of its own.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use chatnet::{ClientTls, Security};
use chatproto::wire::{DeviceId, Name};
use tempfile::TempDir;

use crate::Failure;
use crate::cli::{Durability, ServerArgs};
use crate::disk;
use crate::process::Listening;

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// The bare broadcaster.
    Floor,
    /// The server, with this promise.
    Server(Durability),
}

/// How the server is started.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The program.
    pub program: PathBuf,
    /// Lines of its settings file.
    pub set: Vec<String>,
    /// More of its arguments.
    pub args: Vec<String>,
    /// Where its data directories are made.
    pub dir: PathBuf,
    /// Whether it speaks TLS.
    pub tls: bool,
    /// Whether its limits of senders and crowds are its own, and not wide open.
    pub keeps_limits: bool,
    /// The processor that it has to stay on.
    pub processor: Option<usize>,
}

impl Setup {
    /// What the command line asks for.
    ///
    /// # Errors
    /// When there is no server to start.
    pub fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let this = std::env::current_exe().map_err(Failure::io("find this program"))?;
        let beside = this.parent().map_or_else(|| PathBuf::from("."), PathBuf::from);
        let program = args.server.clone().unwrap_or_else(|| beside.join("chatserver"));
        if !program.is_file() {
            let why = "there is none; build it with `cargo build --release -p chatserver`, or name one with --server";
            return Err(Failure::new(format!("find the server {}", program.display()), why));
        }
        let dir = args.dir.clone().unwrap_or(beside);
        Ok(Self {
            program,
            set: args.set.clone(),
            args: args.server_arg.clone(),
            dir,
            tls: args.tls,
            keeps_limits: false,
            processor: None,
        })
    }
}

/// A program of this project: the one that the command line names with `flag`, or the one that was built beside this.
///
/// # Errors
/// When there is none.
pub fn built(name: &str, flag: &str, named: Option<&Path>) -> Result<PathBuf, Failure> {
    let program = named.map_or_else(|| beside().map(|dir| dir.join(name)), |path| Ok(path.into()))?;
    if program.is_file() {
        return Ok(program);
    }
    let why =
        format!("there is none; build it with `cargo build --release -p {name}`, or name one with --{flag}");
    Err(Failure::new(format!("find {}", program.display()), why))
}

/// Where this program is.
fn beside() -> Result<PathBuf, Failure> {
    let this = std::env::current_exe().map_err(Failure::io("find this program"))?;
    Ok(this.parent().map_or_else(|| PathBuf::from("."), PathBuf::from))
}

/// A subject that runs.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: Listening,
    /// What is spoken to it, and below what.
    pub dialect: Dialect,
    /// How connections are secured.
    pub security: Security,
    /// Where the server tells its metrics.
    metrics: Option<SocketAddr>,
    data: Option<TempDir>,
}

/// What is spoken on a connection.
#[derive(Clone, Debug)]
pub enum Dialect {
    /// The floor's framing.
    Floor,
    /// chatproto, after a login with one of these accounts.
    Chat(Vec<Account>),
}

/// An account of the server.
#[derive(Clone, Debug)]
pub struct Account {
    /// Its ID.
    pub name: Name,
    /// A session ticket of one device; without it, devices log in with the password.
    pub ticket: Option<Ticket>,
}

/// A session ticket.
#[derive(Clone, Debug)]
pub struct Ticket {
    /// Whose it is.
    pub device: DeviceId,
    /// The secret.
    pub secret: Vec<u8>,
}

/// Who comes to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guests {
    /// So many devices of a few accounts, with their passwords.
    Devices(usize),
    /// So many accounts with one device each, with session tickets.
    Accounts(usize),
}

/// Time that the server has to tell its metrics.
const METRICS_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest page of metrics that is read, in bytes.
const MAX_METRICS: u64 = 1 << 20;

/// The password of every account made here.
pub const PASSWORD: &str = "a load is not a secret";

/// Accounts that devices share.
const SHARED_ACCOUNTS: usize = 4;

/// The name of account `number`.
#[must_use]
pub fn account_name(number: usize) -> String {
    format!("user{number}")
}

/// The number in the name of an account.
#[must_use]
pub fn account_number(name: &str) -> Option<usize> {
    name.strip_prefix("user")?.parse().ok()
}

impl Subject {
    /// What the report calls it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Floor => "floor".into(),
            Self::Server(durability) => format!("server, {}", durability.name()),
        }
    }

    /// Starts it for these guests.
    ///
    /// # Errors
    /// Says which step failed.
    pub fn start(self, setup: &Setup, guests: Guests) -> Result<Running, Failure> {
        match self {
            Self::Floor => start_floor(),
            Self::Server(durability) => start_server(setup, durability, guests),
        }
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.process.addr
    }

    /// Messages that the server's search index does not have yet; 0 for the floor.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn search_lag(&self) -> Result<u64, Failure> {
        self.data.as_ref().map_or(Ok(0), |data| disk::search_lag(data.path()))
    }

    /// The fingerprint of its certificate; nothing in plaintext.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.process.rest.strip_prefix("fingerprint ")
    }

    /// Bytes that wait to be sent, over all connections of the server; 0 for the floor.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn queued_bytes(&self) -> Result<u64, Failure> {
        if self.metrics.is_none() {
            return Ok(0);
        }
        Self::metric(&self.metrics_page()?, "chatserver_queue_bytes")
    }

    /// A number of a page of metrics, by its name and labels.
    ///
    /// # Errors
    /// When it is not there.
    pub fn metric(page: &str, name: &str) -> Result<u64, Failure> {
        let value = page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.ok_or_else(|| Failure::new("read the server's metrics", format!("it does not tell {name}")))
    }

    /// Everything that the server counts; nothing for the floor.
    ///
    /// # Errors
    /// When the server does not tell.
    pub fn metrics_page(&self) -> Result<String, Failure> {
        let Some(addr) = self.metrics else { return Ok(String::new()) };
        let what = "ask the server for its metrics";
        let mut stream = TcpStream::connect_timeout(&addr, METRICS_TIMEOUT).map_err(Failure::io(what))?;
        stream.set_read_timeout(Some(METRICS_TIMEOUT)).map_err(Failure::io(what))?;
        stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: load\r\n\r\n").map_err(Failure::io(what))?;
        let mut page = String::new();
        stream.take(MAX_METRICS).read_to_string(&mut page).map_err(Failure::io(what))?;
        Ok(page)
    }

    /// Ends it; what the server wrote comes back.
    ///
    /// # Errors
    /// When the server does not end well.
    pub fn stop(self) -> Result<Option<TempDir>, Failure> {
        match self.dialect {
            // It ends with its last member, or else with this value.
            Dialect::Floor => Ok(None),
            Dialect::Chat(_) => {
                self.process.stop()?;
                Ok(self.data)
            }
        }
    }
}

fn start_floor() -> Result<Running, Failure> {
    let program = std::env::current_exe().map_err(Failure::io("find this program"))?;
    let process = Listening::start(Command::new(program).arg("floor"))?;
    Ok(Running { process, dialect: Dialect::Floor, security: Security::Plain, metrics: None, data: None })
}

fn start_server(setup: &Setup, durability: Durability, guests: Guests) -> Result<Running, Failure> {
    let what = "make a data directory";
    let data = TempDir::with_prefix_in("load-", &setup.dir).map_err(Failure::io(what))?;
    let (accounts, devices, with_tickets) = match guests {
        Guests::Devices(count) => (SHARED_ACCOUNTS, count.div_ceil(SHARED_ACCOUNTS), false),
        Guests::Accounts(count) => (count, 1, true),
    };
    let accounts = import(&setup.program, data.path(), accounts, with_tickets)?;
    let config = data.path().join("load.toml");
    fs::write(&config, settings(&setup.set, setup.keeps_limits))
        .map_err(Failure::io("write the settings"))?;
    let mut command = on_processor(setup.processor, &setup.program);
    command.args(["--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0", "--log", "error"]);
    command.args(["--durability", durability.name(), "--max-devices", &devices.to_string()]);
    if !setup.tls {
        command.args(["--insecure-plaintext", "--plaintext-tickets"]);
    }
    command.args(&setup.args).arg("--config").arg(config).arg("--data").arg(data.path());
    let mut process = Listening::start(&mut command)?;
    let security = if setup.tls { pinned(&process.rest)? } else { Security::Plain };
    let line = process.next_line()?;
    let metrics = line
        .trim()
        .strip_prefix("metrics on http://")
        .and_then(|url| url.strip_suffix("/metrics")?.parse().ok());
    let metrics = metrics
        .ok_or_else(|| Failure::new("find the server's metrics", format!("it said `{}`", line.trim())))?;
    Ok(Running {
        process,
        dialect: Dialect::Chat(accounts),
        security,
        metrics: Some(metrics),
        data: Some(data),
    })
}

/// A program that runs on one processor only, if one is named.
fn on_processor(processor: Option<usize>, program: &Path) -> Command {
    let Some(processor) = processor else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("-c").arg(processor.to_string()).arg(program);
    command
}

/// The server's settings file. How it answers floods and backlogs is not what is measured here: senders may say what they
/// can, and an open loop does not slow down when the server does.
fn settings(lines: &[String], keeps_limits: bool) -> String {
    let is_chosen = |key: &str| lines.iter().any(|line| line.starts_with(key));
    let ours = OPEN_LIMITS.iter().filter(|(key, _)| !keeps_limits && !is_chosen(key));
    let ours = ours.map(|(key, value)| format!("{key} = {value}\n"));
    ours.chain(lines.iter().map(|line| format!("{line}\n"))).collect()
}

/// Limits of what a sender, and a crowd behind one address, may do, wide open.
const OPEN_LIMITS: [(&str, &str); 10] = [
    ("budgets.say", "\"unlimited\""),
    ("budgets.join", "\"unlimited\""),
    ("budgets.list", "\"unlimited\""),
    ("budgets.read", "\"unlimited\""),
    ("connection.max_frames", "10000000"),
    ("hub.max_appends", "1000000"),
    ("hub.max_append_bytes", "\"256 MiB\""),
    ("network.accepts", "1000000"),
    ("network.accepts_per_address", "1000000"),
    ("network.max_handshakes_per_address", "100000"),
];

/// Makes accounts, all at once, as an operator would.
fn import(program: &Path, data: &Path, count: usize, with_tickets: bool) -> Result<Vec<Account>, Failure> {
    let what = "import accounts";
    let file = data.join("accounts.txt");
    let lines = (0..count).map(|number| format!("{} {PASSWORD}\n", account_name(number)));
    fs::write(&file, lines.collect::<String>()).map_err(Failure::io(what))?;
    let mut command = Command::new(program);
    command.args(["user", "import", "--stretch", "light"]).args(with_tickets.then_some("--tickets"));
    let output = command.arg("--data").arg(data).arg(&file).stderr(Stdio::piped()).output();
    let output = output.map_err(Failure::io(format!("start {}", program.display())))?;
    if !output.status.success() {
        return Err(Failure::new(what, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let printed = String::from_utf8_lossy(&output.stdout);
    let accounts = if with_tickets {
        printed.lines().map(read_ticket).collect::<Option<Vec<_>>>()
    } else {
        let account = |number| Some(Account { name: Name::new(&account_name(number)).ok()?, ticket: None });
        (0..count).map(account).collect()
    };
    let accounts = accounts.filter(|accounts| accounts.len() == count);
    accounts.ok_or_else(|| Failure::new(what, "the server printed no ticket for each"))
}

/// A line of `user import --tickets`: ID, device and ticket, the last two in hexadecimal digits.
fn read_ticket(line: &str) -> Option<Account> {
    let mut words = line.split(' ');
    let name = Name::new(words.next()?).ok()?;
    let device = DeviceId(from_hex(words.next()?)?.try_into().ok()?);
    let secret = from_hex(words.next()?)?;
    Some(Account { name, ticket: Some(Ticket { device, secret }) })
}

fn from_hex(digits: &str) -> Option<Vec<u8>> {
    let pair = |pair: &[u8]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
    digits.as_bytes().chunks(2).map(pair).collect()
}

/// TLS with the certificate of which the server said the fingerprint.
fn pinned(said: &str) -> Result<Security, Failure> {
    let what = "read the server's fingerprint";
    let fingerprint = said.strip_prefix("fingerprint ").unwrap_or_default();
    let fingerprint = fingerprint.parse().map_err(|error| Failure::new(what, error))?;
    let tls = ClientTls::pinned(fingerprint).map_err(|error| Failure::new(what, error))?;
    Ok(Security::TlsClient(tls))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_the_server_prints_it() {
        let line = format!("user7 {} {}", "0f".repeat(16), "a0".repeat(32));
        let account = read_ticket(&line).unwrap();
        let ticket = account.ticket.unwrap();
        assert_eq!((account.name.as_str(), ticket.device), ("user7", DeviceId([0x0f; 16])));
        assert_eq!(ticket.secret, [0xa0; 32]);
        assert!(read_ticket("user7 0f").is_none());
    }
}
