//! Who is measured: the floor or the server, each a process of its own.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use chatnet::{ClientTls, Security};
use chatproto::wire::Name;
use tempfile::TempDir;

use crate::Failure;
use crate::cli::Durability;
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
    /// More of its arguments.
    pub args: Vec<String>,
    /// Where its data directories are made.
    pub dir: PathBuf,
    /// Whether it speaks TLS.
    pub tls: bool,
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
    data: Option<TempDir>,
}

/// What is spoken on a connection.
#[derive(Clone, Debug)]
pub enum Dialect {
    /// The floor's framing.
    Floor,
    /// chatproto, after a login with one of these accounts.
    Chat(Vec<Name>),
}

/// The password of every account made here.
pub const PASSWORD: &str = "a load is not a secret";

/// Accounts that the members share: a device each.
const ACCOUNTS: usize = 4;

impl Subject {
    /// What the report calls it.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Floor => "floor".into(),
            Self::Server(durability) => format!("server, {}", durability.name()),
        }
    }

    /// Starts it, for so many members.
    ///
    /// # Errors
    /// Says which step failed.
    pub fn start(self, setup: &Setup, members: usize) -> Result<Running, Failure> {
        match self {
            Self::Floor => start_floor(),
            Self::Server(durability) => start_server(setup, durability, members),
        }
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.process.addr
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
    Ok(Running { process, dialect: Dialect::Floor, security: Security::Plain, data: None })
}

fn start_server(setup: &Setup, durability: Durability, members: usize) -> Result<Running, Failure> {
    let data = TempDir::with_prefix_in("load-", &setup.dir).map_err(Failure::io("make a data directory"))?;
    let accounts = (0..ACCOUNTS).map(|number| add_account(&setup.program, data.path(), number));
    let accounts = accounts.collect::<Result<Vec<_>, _>>()?;
    let devices = members.div_ceil(ACCOUNTS).to_string();
    let mut command = Command::new(&setup.program);
    command.args(["--listen", "127.0.0.1:0", "--log", "error"]);
    command.args(["--durability", durability.name(), "--max-devices", &devices]);
    if !setup.tls {
        command.arg("--insecure-plaintext");
    }
    command.args(&setup.args).arg("--data").arg(data.path());
    let process = Listening::start(&mut command)?;
    let security = if setup.tls { pinned(&process.rest)? } else { Security::Plain };
    Ok(Running { process, dialect: Dialect::Chat(accounts), security, data: Some(data) })
}

fn add_account(program: &Path, data: &Path, number: usize) -> Result<Name, Failure> {
    let what = "add an account";
    let name = Name::new(&format!("user{number}")).map_err(|error| Failure::new(what, error))?;
    let mut child = Command::new(program)
        .args(["user", "add", name.as_str(), "--password-stdin", "--stretch", "light", "--data"])
        .arg(data)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .map_err(Failure::io(format!("start {}", program.display())))?;
    if let Some(mut input) = child.stdin.take() {
        writeln!(input, "{PASSWORD}").map_err(Failure::io(what))?;
    }
    let status = child.wait().map_err(Failure::io(what))?;
    if status.success() { Ok(name) } else { Err(Failure::new(what, status)) }
}

/// TLS with the certificate of which the server said the fingerprint.
fn pinned(said: &str) -> Result<Security, Failure> {
    let what = "read the server's fingerprint";
    let fingerprint = said.strip_prefix("fingerprint ").unwrap_or_default();
    let fingerprint = fingerprint.parse().map_err(|error| Failure::new(what, error))?;
    let tls = ClientTls::pinned(fingerprint).map_err(|error| Failure::new(what, error))?;
    Ok(Security::TlsClient(tls))
}
