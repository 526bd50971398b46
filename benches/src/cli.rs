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
    /// Run only the floor: a broadcaster of length-prefixed messages, until its last member leaves.
    Floor(FloorArgs),
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
    /// Closed loop: messages a second that one sender may say to the server, which cuts whoever floods it with more than
    /// 20,000 frames a second. The floor is not spared.
    #[arg(long, value_name = "MESSAGES", default_value_t = 18_000.0)]
    pub sender_limit: f64,
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
    /// Speak TLS to the server. The floor stays plain.
    #[arg(long)]
    pub tls: bool,
    /// Instead of a load: log in with this many connections, in no room, and tell what each costs in memory.
    #[arg(long, value_name = "CONNECTIONS", conflicts_with = "rate")]
    pub idle: Option<usize>,
    /// The server program; by default the one that was built beside this one.
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
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

fn seconds(value: &str) -> Result<f64, String> {
    let seconds = value.parse::<f64>().map_err(|error| error.to_string())?;
    if (0.1..=MAX_SECONDS).contains(&seconds) { Ok(seconds) } else { Err("must be from 0.1 to 3600".into()) }
}

/// Longest text that the protocol takes, in bytes.
const MAX_TEXT: usize = chatproto::wire::TextRef::MAX_LEN;

const MAX_SECONDS: f64 = 3600.0;
