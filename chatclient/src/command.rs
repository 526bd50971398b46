//! What a person or a script can ask for. The same lines work in the terminal, on a pipe, and inside JSON.

mod parse;

pub(crate) use parse::COMMANDS;
pub use parse::{CommandError, MAX_AUDIT, MAX_HISTORY, MAX_PICKS, parse};

use std::path::PathBuf;

use chatproto::session::{Decree, Order};
use chatproto::wire::{Inquiry, Name, SafeRelPath, Text};

use crate::state::ConsentRule;

/// One thing to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Says it in the current room; over the link, in direct mode.
    Say {
        /// What to say.
        text: Text,
    },
    /// Enters a room and makes it the current one.
    Join {
        /// Which.
        room: Name,
    },
    /// Makes a room and makes it the current one.
    Create {
        /// Its name.
        room: Name,
        /// Whether only those who are invited see and enter it.
        private: bool,
    },
    /// Shows the topic of the current room.
    Topic,
    /// Changes the current room, or what somebody may do there.
    Moderate(Order),
    /// Removes a room that this user owns.
    Remove {
        /// Which; named, so that nobody removes one by mistake.
        room: Name,
    },
    /// Changes what holds for the whole server.
    Govern(Decree),
    /// Shows what was done, or what is imposed.
    Inquire {
        /// On the whole server, not in the current room.
        of_server: bool,
        /// What to tell.
        about: Inquiry,
        /// How many lines of the audit log, at least 1.
        count: Option<u32>,
    },
    /// Leaves a room.
    Leave {
        /// Which; the current one by default.
        room: Option<Name>,
    },
    /// Lists the public rooms.
    Rooms,
    /// Lists who is in a room.
    Who {
        /// Which; the current one by default.
        room: Option<Name>,
    },
    /// Says it to one person.
    Msg {
        /// To whom.
        user: Name,
        /// What to say.
        text: Text,
    },
    /// Shows what was said last in the current room.
    History {
        /// How many messages, at least 1.
        count: Option<u32>,
    },
    /// Searches what was said.
    Search {
        /// The words.
        words: Text,
    },
    /// `[FILE] USER`: asks, connects, and lists the root folder.
    File {
        /// Whose files.
        user: Name,
    },
    /// Lists a folder of a peer.
    Ls {
        /// Whose; the peer listed last by default.
        peer: Option<Name>,
        /// Which folder; the root by default.
        path: SafeRelPath,
        /// Which page, counted from 1.
        page: Option<u32>,
        /// Whether the content of small files is to come along.
        inline: bool,
    },
    /// Fetches files and whole folders by the numbers of the last list shown for that peer.
    Get {
        /// Whose; the peer listed last by default.
        peer: Option<Name>,
        /// Their numbers.
        files: Picks,
    },
    /// Says it over the link.
    PeerSay {
        /// To whom.
        user: Name,
        /// What to say.
        text: Text,
    },
    /// Shows the transfers of both directions.
    Transfers,
    /// Ends transfers.
    Cancel {
        /// Their ids.
        transfers: Picks,
    },
    /// Stops transfers for now.
    Pause {
        /// Their ids.
        transfers: Picks,
    },
    /// Lets transfers go on that were stopped.
    Resume {
        /// Their ids.
        transfers: Picks,
    },
    /// Fetches again what failed.
    Retry {
        /// The ids of the failed transfers.
        transfers: Picks,
    },
    /// Removes what was kept of a transfer that has ended early.
    Discard {
        /// Its id.
        id: u64,
    },
    /// Says yes to somebody who asks.
    Accept {
        /// The id of the request.
        id: u64,
    },
    /// Says no to somebody who asks.
    Deny {
        /// The id of the request.
        id: u64,
    },
    /// Changes the password.
    Passwd {
        /// The file whose first line is the new one.
        file: PathBuf,
    },
    /// Shows the devices of the account.
    Devices,
    /// Ends the sessions and the ticket of a device of the account.
    Revoke {
        /// The beginning of its name, at least one hex digit.
        device: String,
    },
    /// Accepts the changed key of somebody's device.
    Trust {
        /// Whose.
        user: Name,
    },
    /// Shows the codes to compare with somebody, or remembers that one was right.
    Verify {
        /// With whom.
        user: Name,
        /// The code that the other has read out.
        code: Option<String>,
    },
    /// Shows who gets a link without a question, or changes it.
    Consent {
        /// For whom, and what; without a rule it is taken away.
        change: Option<(ConsentWhom, Option<ConsentRule>)>,
    },
    /// Shows who gets a link through the server's relay alone, and so learns no address of this client, or changes it.
    Relay {
        /// For whom, everybody for `None`; and whether from now on.
        change: Option<(Option<Name>, bool)>,
    },
    /// Shows the links.
    Peers,
    /// Asks the server whether peers can reach this client.
    Reach,
    /// Ends a link.
    Hangup {
        /// With whom.
        user: Name,
    },
    /// Asks somebody to leave the server and go on over the link alone.
    Direct {
        /// Whom.
        user: Name,
    },
    /// Comes back to the server and catches up.
    Server,
    /// Shows the commands.
    Help,
    /// Ends the program.
    Quit,
}

/// Whom a rule of consent is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConsentWhom {
    /// One person.
    Person(Name),
    /// Everybody in a room.
    Room(Name),
}

/// Which of several numbered things are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Picks {
    /// All of them.
    All,
    /// Those with these numbers: at least one, each once, in the order given.
    These(Vec<u64>),
}

/// A command, and the mark that its answers are to carry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What to do.
    pub command: Command,
    /// The line that says so, without the spaces around it.
    pub line: String,
    /// The `ref` of a JSON line.
    pub reference: Option<String>,
}
