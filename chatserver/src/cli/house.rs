//! The commands that keep order: `room`, `ban` and `lockdown`.

use std::time::Duration;

use clap::{Args, Subcommand};

use super::{DataArg, lifetime};

/// What to do with rooms.
#[derive(Debug, Subcommand)]
pub enum RoomCommand {
    /// List the rooms: their names, what they are, who keeps order.
    List {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Show who has a role in a room, and who may not speak or enter.
    Show(RoomArgs),
    /// Make a room.
    Create {
        /// The room, and the data directory.
        #[command(flatten)]
        room: RoomArgs,
        /// Only those who are invited see and enter it.
        #[arg(long)]
        private: bool,
        /// The account that owns it; without it nobody does.
        #[arg(long, value_name = "USER")]
        owner: Option<String>,
    },
    /// Remove a room: everybody leaves it, and its name is free. Its messages stay in the file, unread.
    Remove {
        /// The room, and the data directory.
        #[command(flatten)]
        room: RoomArgs,
        /// Why; those who were there hear it.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Set the topic of a room; without one, take it away.
    Topic {
        /// The room, and the data directory.
        #[command(flatten)]
        room: RoomArgs,
        /// The topic.
        #[arg(default_value = "")]
        topic: String,
    },
    /// Make a room private: those who are there, or have a role, stay.
    Private(RoomArgs),
    /// Open a room to all.
    Public(RoomArgs),
    /// Let somebody into a private room.
    Invite(PersonArgs),
    /// Make somebody an operator of a room.
    Op(PersonArgs),
    /// Take that back.
    Deop(PersonArgs),
    /// Make somebody the owner of a room; who owned it becomes an operator.
    Owner(PersonArgs),
    /// Remove somebody from a room.
    Kick {
        /// The room, the person, and the data directory.
        #[command(flatten)]
        person: PersonArgs,
        /// Why.
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Let somebody not speak in a room.
    Mute {
        /// The room, the person, and the data directory.
        #[command(flatten)]
        person: PersonArgs,
        /// For how long, and why.
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Lift that.
    Unmute(PersonArgs),
    /// Remove somebody from a room and keep them out.
    Ban {
        /// The room, who, and the data directory.
        #[command(flatten)]
        whom: WhomArgs,
        /// Of an account: also everybody who comes from the addresses that it is connected from now.
        #[arg(long)]
        address: bool,
        /// For how long, and why.
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Lift that.
    Unban(WhomArgs),
    /// Let everybody in a room wait between two messages; 0 ends it.
    Slow {
        /// The room, and the data directory.
        #[command(flatten)]
        room: RoomArgs,
        /// The time, at most 1h.
        #[arg(value_name = "TIME", value_parser = lifetime::parse)]
        time: Duration,
    },
}

/// A room.
#[derive(Debug, Clone, Args)]
pub struct RoomArgs {
    /// The room's name.
    pub room: String,
    /// The data directory.
    #[command(flatten)]
    pub data: DataArg,
}

/// A person in a room.
#[derive(Debug, Clone, Args)]
pub struct PersonArgs {
    /// The room's name.
    pub room: String,
    /// The account's ID.
    pub user: String,
    /// The data directory.
    #[command(flatten)]
    pub data: DataArg,
}

/// Somebody, or everybody from somewhere, in a room.
#[derive(Debug, Clone, Args)]
pub struct WhomArgs {
    /// The room's name.
    pub room: String,
    /// An account's ID, an address as 192.0.2.7, or a network as 2001:db8::/32. An ID that looks like an address has an `@`
    /// before it.
    pub subject: String,
    /// The data directory.
    #[command(flatten)]
    pub data: DataArg,
}

/// For how long, and why.
#[derive(Debug, Clone, Args)]
pub struct TermsArgs {
    /// For how long, as 7d, 12h, 30m or 90s [default: until it is lifted]
    #[arg(long = "for", value_name = "TIME", value_parser = lifetime::parse_some)]
    pub time: Option<Duration>,
    /// Why; it is shown to those who are refused.
    #[arg(long, default_value = "")]
    pub reason: String,
}

/// What to do with bans of the whole server.
#[derive(Debug, Subcommand)]
pub enum BanCommand {
    /// Keep an account, an address or a network out; who is connected is disconnected.
    Add {
        /// An account's ID, an address as 192.0.2.7, or a network as 2001:db8::/32. An ID that looks like an address has
        /// an `@` before it.
        subject: String,
        /// For how long, and why.
        #[command(flatten)]
        terms: TermsArgs,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// List the bans that hold.
    List {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Let them in again.
    Remove {
        /// As it was banned.
        subject: String,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
}

/// What to do with the lockdown of the server.
#[derive(Debug, Subcommand)]
pub enum LockdownCommand {
    /// Let nobody log in but administrators. Who is logged in stays.
    On {
        /// Let nobody but administrators speak either.
        #[arg(long)]
        hush: bool,
        /// Why; it is shown to those who are refused.
        #[arg(long, default_value = "")]
        reason: String,
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Let everybody in again.
    Off {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
    /// Tell whether there is lockdown.
    Status {
        /// The data directory.
        #[command(flatten)]
        data: DataArg,
    },
}
