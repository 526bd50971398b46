//! The command line of `load`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::payload;

/// Measures what a chat server pays to bring messages to everybody in a room, beside a floor that promises nothing.
#[derive(Debug, Parser)]
#[command(name = "load", args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, the load runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// What the load is.
    #[command(flatten)]
    pub load: LoadArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// A member stops reading while messages pass: what it costs the server and the others, and whether it gets
    /// everything when it reads again.
    Stalled(StalledArgs),
    /// Attackers connect, or guess passwords, as fast as they can: what those inside and those who come meanwhile notice.
    Storm(StormArgs),
    /// Attackers connect and say nothing, or a byte a second: what that costs, and when it ends.
    Silent(SilentArgs),
    /// Many people enter one room at once and leave it again: how long it takes, and whether everybody knows who is there.
    Join(JoinArgs),
    /// Connections that only are there: what each costs in memory, and all of them in CPU time.
    Idle(IdleArgs),
    /// Files from peer to peer between two real clients, beside a bare copy over TLS.
    Transfer(TransferArgs),
    /// Run only the floor: a broadcaster of length-prefixed messages, until its last member leaves.
    Floor(FloorArgs),
}

/// Settings of `stalled`.
#[derive(Debug, Args)]
pub struct StalledArgs {
    /// Members who go on reading.
    #[arg(long, default_value_t = 20, value_parser = count)]
    pub members: usize,
    /// Members who stop.
    #[arg(long, default_value_t = 1, value_parser = count)]
    pub stalled: usize,
    /// Messages that pass meanwhile.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub messages: u32,
    /// Messages a second, from all senders together.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub rate: u32,
    /// Members who speak, among those who read.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    pub senders: u8,
    /// Bytes of each text.
    #[arg(long, default_value_t = 1024, value_parser = text_len)]
    pub text: usize,
    /// Seconds of the same load before the reader stops.
    #[arg(long, default_value_t = 2.0, value_parser = seconds)]
    pub warm_up: f64,
    /// How often it is run, with and without the reader that stops; the report has the ratios in the middle.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// What the server's acknowledged messages survive.
    #[arg(long, default_value = "full")]
    pub durability: Durability,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Settings of `storm`.
#[derive(Debug, Args)]
pub struct StormArgs {
    /// Who talks meanwhile.
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Logins with a wrong password each second.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    pub logins: u32,
    /// Addresses of the many.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=16_000))]
    pub addresses: u16,
    /// Seconds of each storm, and of the quiet before it.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Settings of `silent`.
#[derive(Debug, Args)]
pub struct SilentArgs {
    /// Who talks meanwhile.
    #[command(flatten)]
    pub talk: TalkArgs,
    /// Connections of each kind.
    #[arg(long, default_value_t = 5000, value_parser = count)]
    pub connections: usize,
    /// Addresses that they come from.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=16_000))]
    pub addresses: u16,
    /// Seconds of quiet before.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// The members who talk while somebody attacks.
#[derive(Clone, Copy, Debug, Args)]
pub struct TalkArgs {
    /// Members of the room.
    #[arg(long, default_value_t = 20, value_parser = count)]
    pub members: usize,
    /// Milliseconds between two messages.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    pub every: u64,
    /// What the server's acknowledged messages survive.
    #[arg(long, default_value = "full")]
    pub durability: Durability,
}

/// Settings of `join`.
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// Accounts that log in, each with a session ticket, and enter the room.
    #[arg(long, default_value_t = 2000, value_parser = count)]
    pub members: usize,
    /// So many of them stay when the others leave, and look who is left.
    #[arg(long, default_value_t = 100, value_parser = count)]
    pub stay: usize,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Settings of `idle`.
#[derive(Debug, Args)]
pub struct IdleArgs {
    /// Connections that log in and enter no room.
    #[arg(long, default_value_t = 5000, value_parser = count)]
    pub connections: usize,
    /// Seconds for which nobody does anything.
    #[arg(long, default_value_t = 10.0, value_parser = seconds)]
    pub seconds: f64,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Settings of `transfer`.
#[derive(Debug, Args)]
pub struct TransferArgs {
    /// What is moved.
    #[arg(value_enum, default_value_t = TransferKind::Big)]
    pub kind: TransferKind,
    /// Size of a big file, in MiB.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    pub mib: u32,
    /// Number of small files.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub files: u32,
    /// How often `big` and `many` are run.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// The client program; by default the one that was built beside this one.
    #[arg(long, value_name = "FILE")]
    pub client: Option<PathBuf>,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What `transfer` moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TransferKind {
    /// One big file: CPU time and memory.
    Big,
    /// Many small files at once: how long they take.
    Many,
    /// Small files one after the other: how long each takes.
    One,
    /// One big file, and chat beside it: how long a message takes.
    Chat,
}

/// How the server is started, and where the report goes.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// Speak TLS to the server. The floor stays plain.
    #[arg(long)]
    pub tls: bool,
    /// The server program; by default the one that was built beside this one.
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// A key of the server's settings file, for instance `--set connection.max_frames=100000` or
    /// `--set connection.max_queue="1 MiB"`.
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub set: Vec<String>,
    /// More arguments for the server, for instance `--server-arg=--log --server-arg=info`.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub server_arg: Vec<String>,
    /// Where data directories are made and removed again: on the disk that is to be measured. By default beside this
    /// program.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// Write the report as JSON as well.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// Settings of the floor.
#[derive(Debug, Args)]
pub struct FloorArgs {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub listen: SocketAddr,
}

/// What is run.
#[derive(Debug, Args)]
pub struct LoadArgs {
    /// Members of the room, one run for each number.
    #[arg(long, value_delimiter = ',', default_value = "10,100,1000")]
    pub members: Vec<usize>,
    /// Closed loop: messages that each sender keeps on their way, for each number of members; the last one holds for
    /// the rest.
    #[arg(long, value_delimiter = ',', default_value = "256,64,16")]
    pub windows: Vec<u32>,
    /// Open loop instead: deliveries a second, from all senders to all members together.
    #[arg(long, value_name = "DELIVERIES")]
    pub rate: Option<f64>,
    /// Members who speak.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..))]
    pub senders: u8,
    /// Bytes of each text.
    #[arg(long, default_value_t = 64, value_parser = text_len)]
    pub text: usize,
    /// Seconds that are measured.
    #[arg(long, default_value_t = 5.0, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds of the same load before.
    #[arg(long, default_value_t = 1.0, value_parser = seconds)]
    pub warm_up: f64,
    /// How often everything is run; the report has the run in the middle, by CPU time for each delivery.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    pub repeat: u32,
    /// What the server's acknowledged messages survive.
    #[arg(long, value_delimiter = ',', default_value = "full,os")]
    pub durability: Vec<Durability>,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What an acknowledged message survives; the server's setting of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// A power cut.
    Full,
    /// A crash of the server.
    Os,
    /// Nothing.
    Off,
}

impl Durability {
    /// As the server's command line has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Os => "os",
            Self::Off => "off",
        }
    }
}

fn text_len(value: &str) -> Result<usize, String> {
    let len = value.parse().map_err(|error| format!("{error}"))?;
    let range = payload::MIN_LEN..=MAX_TEXT;
    if range.contains(&len) {
        Ok(len)
    } else {
        Err(format!("must be from {} (a time and a sender) to {}", range.start(), range.end()))
    }
}

fn count(value: &str) -> Result<usize, String> {
    let count = value.parse().map_err(|error| format!("{error}"))?;
    if (1..=MAX_MEMBERS).contains(&count) {
        Ok(count)
    } else {
        Err(format!("must be from 1 to {MAX_MEMBERS}"))
    }
}

/// A line of TOML. What is neither a number nor a truth value nor in quotes already is a text.
fn setting(assignment: &str) -> Result<String, String> {
    let (key, value) = assignment.split_once('=').ok_or("must be KEY=VALUE")?;
    let (key, value) = (key.trim(), value.trim());
    let is_bare = value.parse::<u64>().is_ok() || value.parse::<bool>().is_ok() || value.starts_with('"');
    Ok(if is_bare { format!("{key} = {value}") } else { format!("{key} = \"{value}\"") })
}

fn seconds(value: &str) -> Result<f64, String> {
    let seconds = value.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.1..=MAX_SECONDS).contains(&seconds) { Ok(seconds) } else { Err("must be from 0.1 to 3600".into()) }
}

/// Longest text that the protocol takes, in bytes.
const MAX_TEXT: usize = chatproto::wire::TextRef::MAX_LEN;

const MAX_SECONDS: f64 = 3600.0;

/// Most connections of one run: a loopback address has no more ports for them.
const MAX_MEMBERS: usize = 25_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_becomes_a_line_of_toml() {
        assert_eq!(setting("connection.max_frames=100").unwrap(), "connection.max_frames = 100");
        assert_eq!(setting("connection.max_queue=1 MiB").unwrap(), "connection.max_queue = \"1 MiB\"");
        assert_eq!(setting("a = \"b\"").unwrap(), "a = \"b\"");
        assert!(setting("connection.max_queue").is_err());
    }

    #[test]
    fn the_command_line_holds_together() {
        use clap::CommandFactory as _;
        Cli::command().debug_assert();
    }
}
