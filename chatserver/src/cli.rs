//! The command line.

mod lifetime;

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::builder::RangedU64ValueParser;
use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::store::MAX_TICKETS;

/// Group chat for people who hand each other files directly.
#[derive(Debug, Parser)]
#[command(name = "chatserver", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, the server runs.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Settings of the server.
    #[command(flatten)]
    pub run: RunArgs,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the server (the default).
    Run(RunArgs),
    /// Add, list, remove accounts, or change a password. Works beside a running server, at once.
    User {
        /// What to do with accounts.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Show who changed what in the rooms: roles, mutes, bans, topics. Works beside a running server.
    Audit(AuditArgs),
}

/// Which lines of the audit log are shown.
#[derive(Debug, Clone, Args)]
pub struct AuditArgs {
    /// The data directory.
    #[command(flatten)]
    pub data: DataArg,
    /// Only what was done in this room.
    #[arg(long, value_name = "ROOM")]
    pub room: Option<String>,
    /// At most so many of the latest.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
}

/// Settings of the server.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Address to listen on; port 0 lets the system choose.
    #[arg(long, value_name = "ADDR", env = "CHATSERVER_LISTEN", default_value = "0.0.0.0:4848")]
    pub listen: SocketAddr,
    /// Where accounts, messages and the certificate are kept.
    #[command(flatten)]
    pub data: DataArg,
    /// Speak plaintext: who can see the network can read everything. Loopback addresses only.
    #[arg(long)]
    pub insecure_plaintext: bool,
    /// Together with --insecure-plaintext: yes, also on addresses that others can reach.
    #[arg(long, requires = "insecure_plaintext")]
    pub insecure_plaintext_anywhere: bool,
    /// Together with --insecure-plaintext: give session tickets all the same, for load tests. Whoever can listen in
    /// can log in with them. Loopback addresses only.
    #[arg(long, requires = "insecure_plaintext")]
    pub plaintext_tickets: bool,
    /// How long a session ticket lets a device in again without the password, as 7d, 12h, 30m or 90s; 0 gives none.
    #[arg(long, value_name = "TIME", env = "CHATSERVER_TICKET_LIFETIME", default_value = lifetime::DEFAULT,
          value_parser = lifetime::parse)]
    pub ticket_lifetime: Duration,
    /// Devices that one account may have connected at once, at least 1.
    #[arg(long, value_name = "N", env = "CHATSERVER_MAX_DEVICES", default_value_t = 16, value_parser = at_least_one())]
    pub max_devices: usize,
    /// What an acknowledged message survives.
    #[arg(long, value_enum, env = "CHATSERVER_DURABILITY", default_value_t = DurabilityArg::Full)]
    pub durability: DurabilityArg,
    /// How logs are written to standard error.
    #[arg(long, value_enum, env = "CHATSERVER_LOG_FORMAT", default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// What is logged: error, warn, info, debug, or a filter such as `info,chatserver=debug`.
    #[arg(long, value_name = "FILTER", env = "CHATSERVER_LOG", default_value = "info")]
    pub log: String,
}

/// The data directory.
#[derive(Debug, Clone, Args)]
pub struct DataArg {
    /// Data directory; made at first use.
    #[arg(long = "data", value_name = "DIR", env = "CHATSERVER_DATA", default_value = "chatserver-data")]
    pub dir: PathBuf,
}

/// What an acknowledged message survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DurabilityArg {
    /// A power cut.
    Full,
    /// A crash or `kill -9` of the server, not a power cut.
    Os,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// What to do with accounts.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add an account.
    Add {
        /// ID to log in with: 1 to 32 bytes, letters and digits of any script, `-`, `_` and `.`.
        name: String,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
        /// The account may administer the server.
        #[arg(long)]
        admin: bool,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
    /// Add many accounts at once: all of them, or none if anything is wrong.
    Import {
        /// A file, or `-` for standard input. Each line has an ID, a space or tab, and the password, which is all that
        /// follows. Empty lines and lines that begin with `#` are skipped.
        file: PathBuf,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
        /// How much work a login is for the client's device.
        #[arg(long, value_enum, default_value_t = StretchArg::Standard)]
        stretch: StretchArg,
        /// Print session tickets for this many new devices of each account, for load tests: lines of ID, device and
        /// ticket, the last two in hex. Keep them as secret as passwords.
        #[arg(long, value_name = "DEVICES", num_args = 0..=1, require_equals = true, default_missing_value = "1",
              value_parser = clap::value_parser!(u8).range(1..=MAX_TICKETS as i64))]
        tickets: Option<u8>,
        /// How long these tickets are good, as 7d, 12h, 30m or 90s.
        #[arg(long, value_name = "TIME", default_value = lifetime::DEFAULT, value_parser = lifetime::parse, requires = "tickets")]
        ticket_lifetime: Duration,
    },
    /// List the accounts.
    List {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Remove an account. Its messages stay.
    Remove {
        /// The account's ID.
        name: String,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Change an account's password.
    Passwd {
        /// The account's ID.
        name: String,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
        /// Where the password comes from.
        #[command(flatten)]
        password: PasswordArgs,
    },
}

/// Where a password comes from, and how it is stretched.
#[derive(Debug, Clone, Args)]
pub struct PasswordArgs {
    /// Read the password from the first line of standard input instead of asking for it.
    #[arg(long)]
    pub password_stdin: bool,
    /// How much work a login is for the client's device.
    #[arg(long, value_enum, default_value_t = StretchArg::Standard)]
    pub stretch: StretchArg,
}

/// How much work a login is for the client's device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StretchArg {
    /// 19 MiB of memory, about 35 ms.
    Standard,
    /// 1 MiB of memory: for devices that do not have more. A stolen record is easier to guess from.
    Light,
}

/// With no device at all nobody could log in.
fn at_least_one() -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(1..)
}
