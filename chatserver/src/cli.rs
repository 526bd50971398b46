//! The command line.

mod house;
mod lifetime;

pub use house::{BanCommand, LockdownCommand, PersonArgs, RoomArgs, RoomCommand, TermsArgs, WhomArgs};

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::settings::Registration;
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
    /// Print the settings that a server would run with, or what is wrong with them (exit code 2).
    CheckConfig(RunArgs),
    /// Copy accounts, messages and the server's keys into one new file. Works beside a running server.
    Backup {
        /// The file to make; it must not exist. Whoever has it can pose as this server: keep it as safe as the data.
        file: PathBuf,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Make a data directory from a backup.
    Restore {
        /// The file that `backup` made.
        file: PathBuf,
        /// The data directory; it must not hold a server's data.
        #[command(flatten)]
        data: DataArg,
    },
    /// Add, list, remove accounts, or change a password. Works beside a running server, at once.
    User {
        /// What to do with accounts.
        #[command(subcommand)]
        command: UserCommand,
    },
    /// Keep order in the rooms. Works beside a running server, at once, and without one.
    Room {
        /// What to do with rooms.
        #[command(subcommand)]
        command: RoomCommand,
    },
    /// Keep accounts, addresses and networks out of the server. Works beside a running server, at once, and without one.
    Ban {
        /// What to do with bans.
        #[command(subcommand)]
        command: BanCommand,
    },
    /// Let nobody log in but administrators. Works beside a running server, at once, and without one.
    Lockdown {
        /// What to do with the lockdown.
        #[command(subcommand)]
        command: LockdownCommand,
    },
    /// Make, list and revoke invitations: codes with which strangers make accounts.
    Invite {
        /// What to do with invitations.
        #[command(subcommand)]
        command: InviteCommand,
    },
    /// Make the next certificate, which clients are told ahead, or put it in force.
    Rotate(RotateArgs),
    /// Show who changed what: roles, mutes, bans, topics, lockdown. Works beside a running server.
    Audit(AuditArgs),
}

/// What to do with invitations.
#[derive(Debug, Subcommand)]
pub enum InviteCommand {
    /// Make an invitation and print its code, and a link with --host.
    Create {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
        /// How many accounts it is good for.
        #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
        uses: u32,
        /// How long it is good, as 7d, 12h, 30m or 90s.
        #[arg(long, value_name = "TIME", default_value = lifetime::DEFAULT, value_parser = lifetime::parse_some)]
        expires: Duration,
        /// What to call it in the list.
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// Host and maybe port under which the invited reach this server: prints a link with certificate and code.
        #[arg(long, value_name = "HOST[:PORT]")]
        host: Option<String>,
        /// Draw the link as a QR code, too.
        #[arg(long, requires = "host")]
        qr: bool,
    },
    /// List the invitations, without their codes.
    List {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// End an invitation.
    Revoke {
        /// Its number in the list.
        id: u64,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
}

/// How the certificate is changed.
#[derive(Debug, Clone, Args)]
pub struct RotateArgs {
    /// Put the next certificate in force.
    #[arg(long)]
    pub now: bool,
    /// The data directory.
    #[command(flatten)]
    pub data: DataArg,
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

/// Settings of the server. What is absent comes from the settings file, and what that does not have is the default.
#[derive(Debug, Clone, Args)]
pub struct RunArgs {
    /// Address to listen on; port 0 lets the system choose [default: 0.0.0.0:4848]
    #[arg(long, value_name = "ADDR", env = "CHATSERVER_LISTEN")]
    pub listen: Option<SocketAddr>,
    /// Where accounts, messages and the certificate are kept.
    #[command(flatten)]
    pub data: DataArg,
    /// Speak plaintext: who can see the network can read everything. Loopback addresses only.
    #[arg(long)]
    pub insecure_plaintext: bool,
    /// Together with --insecure-plaintext: yes, also on addresses that others can reach.
    #[arg(long)]
    pub insecure_plaintext_anywhere: bool,
    /// Together with --insecure-plaintext: give session tickets all the same, for load tests. Whoever can listen in
    /// can log in with them. Loopback addresses only.
    #[arg(long)]
    pub plaintext_tickets: bool,
    /// How long a session ticket lets a device in again without the password, as 7d, 12h, 30m or 90s; 0 gives none
    /// [default: 7d]
    #[arg(long, value_name = "TIME", env = "CHATSERVER_TICKET_LIFETIME", value_parser = lifetime::parse)]
    pub ticket_lifetime: Option<Duration>,
    /// Devices that one account may have connected at once [default: 16]
    #[arg(long, value_name = "N", env = "CHATSERVER_MAX_DEVICES")]
    pub max_devices: Option<usize>,
    /// Who may make an account over the network [default: closed]
    #[arg(long, value_enum, env = "CHATSERVER_REGISTRATION")]
    pub registration: Option<Registration>,
    /// Threads for sockets and TLS; 0 or 1: the main thread does that too [default: 0]
    #[arg(long, value_name = "N", env = "CHATSERVER_IO_THREADS")]
    pub io_threads: Option<usize>,
    /// What an acknowledged message survives [default: full]
    #[arg(long, value_enum, env = "CHATSERVER_DURABILITY")]
    pub durability: Option<DurabilityArg>,
    /// Loopback address on which to serve Prometheus metrics, or `off` [default: off]
    #[arg(long, value_name = "ADDR", env = "CHATSERVER_METRICS")]
    pub metrics: Option<String>,
    /// Together with --metrics: yes, also on addresses that others can reach.
    #[arg(long)]
    pub metrics_anywhere: bool,
    /// Tell the local network that this server is here, by multicast DNS, with its name, address and fingerprint.
    #[arg(long)]
    pub announce_lan: bool,
    /// How logs are written to standard error [default: text]
    #[arg(long, value_enum, env = "CHATSERVER_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What is logged: error, warn, info, debug, or a filter such as `info,chatserver=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "CHATSERVER_LOG")]
    pub log: Option<String>,
}

/// The data directory, and the file that may name it.
#[derive(Debug, Clone, Args)]
pub struct DataArg {
    /// Data directory; made at first use [default: chatserver-data]
    #[arg(long = "data", value_name = "DIR", env = "CHATSERVER_DATA")]
    pub dir: Option<PathBuf>,
    /// Settings file (TOML). Flags go before the environment, the environment before the file.
    #[arg(long, value_name = "FILE", env = "CHATSERVER_CONFIG")]
    pub config: Option<PathBuf>,
}

/// What an acknowledged message survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DurabilityArg {
    /// A power cut.
    Full,
    /// A crash or `kill -9` of the server, not a power cut.
    Os,
    /// Nothing: the latest messages of each room are in memory, none on the disk.
    Off,
}

/// How logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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
        #[arg(long, value_name = "TIME", default_value = lifetime::DEFAULT, value_parser = lifetime::parse_some, requires = "tickets")]
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
    /// List the devices that an account logged in with, or revoke one.
    Devices {
        /// The account's ID.
        name: String,
        /// End the sessions and the ticket of this device; on a running server within seconds.
        #[arg(long, value_name = "DEVICE")]
        revoke: Option<String>,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Change an account's password. Its sessions end and its tickets are worth nothing any more.
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StretchArg {
    /// 19 MiB of memory, about 35 ms.
    Standard,
    /// 1 MiB of memory: for devices that do not have more. A stolen record is easier to guess from.
    Light,
}
