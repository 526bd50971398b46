//! From one line of input to a [`Command`].

use chatproto::session::{Decree, Order};
use chatproto::wire::path::RelPathError;
use chatproto::wire::{
    Action, Inquiry, MAX_AUDIT_LINES, Name, NameRef, Note, SafeRelPath, Subject, SubjectError, Text,
    WireError,
};

use super::{Command, ConsentWhom, Picks};
use crate::state::ConsentRule;
use std::collections::BTreeSet;

/// So many numbers one command may name. Bounds what a range like `1-4000000000` can cost; `all` is not bounded by it.
pub const MAX_PICKS: usize = 10_000;

/// So many messages may be asked for in one `/history`. Bounds the pages that are asked for in a row.
pub const MAX_HISTORY: u32 = 10_000;

/// So many lines of the audit log may be asked for at once: what the server gives.
pub const MAX_AUDIT: u32 = MAX_AUDIT_LINES as u32;

/// Why a line is no command.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// No command of this name.
    #[error("there is no command {0:?}; /help shows them all, and //x says /x")]
    Unknown(String),
    /// Something that the command needs is not there.
    #[error("{command} needs {what}: {usage}")]
    Missing {
        /// The command as it was typed.
        command: String,
        /// What is missing.
        what: &'static str,
        /// How it is written.
        usage: &'static str,
    },
    /// There is more than the command takes.
    #[error("{command} takes no {extra:?}: {usage}")]
    Extra {
        /// The command as it was typed.
        command: String,
        /// The first part too many.
        extra: String,
        /// How it is written.
        usage: &'static str,
    },
    /// A name of a person or room that cannot exist.
    #[error("{name:?} is no name: {error}")]
    Name {
        /// As typed.
        name: String,
        /// The rule it breaks.
        error: WireError,
    },
    /// Neither an account nor an address.
    #[error("{text:?}: {error}")]
    Subject {
        /// As typed.
        text: String,
        /// What is wrong.
        error: SubjectError,
    },
    /// A text that cannot be sent.
    #[error("the text cannot be sent: {0}")]
    Text(WireError),
    /// A path that cannot be asked for.
    #[error("{path:?} is no path of a list: {error}")]
    Path {
        /// As typed.
        path: String,
        /// The rule it breaks.
        error: RelPathError,
    },
    /// A number that is none, or out of its bounds.
    #[error("{text:?} is no {what}")]
    Number {
        /// As typed.
        text: String,
        /// What it should be.
        what: &'static str,
    },
    /// A range whose end is before its start.
    #[error("the range {0:?} ends before it starts")]
    Range(String),
    /// More numbers than one command may name.
    #[error("at most {MAX_PICKS} numbers can be given at once; `all` means everything")]
    TooManyNumbers,
}

/// Reads one line, without its line end; `None` for a blank one.
///
/// What begins with `/` is a command, `//x` says `/x`; `[FILE]` as the first word is one too. All else is said.
///
/// # Errors
/// [`CommandError`], in words for the person who typed it.
pub fn parse(line: &str) -> Result<Option<Command>, CommandError> {
    let line = line.trim();
    if line.is_empty() {
        return Ok(None);
    }
    if let Some(said) = line.strip_prefix('/').filter(|rest| rest.starts_with('/')) {
        return Ok(Some(Command::Say { text: text(said)? }));
    }
    let (word, rest) = split_word(line);
    if word != FILE_WORD && !word.starts_with('/') {
        return Ok(Some(Command::Say { text: text(line)? }));
    }
    command(&Words { command: word, rest }).map(Some)
}

/// Every command with how it is written and what it does, in the order of the help.
pub(crate) const COMMANDS: &[CommandHelp] = &[
    help("/join", "/join ROOM", "enter a room and make it the current one"),
    help("/create", "/create ROOM [private]", "make a room; only those who are invited enter a private one"),
    help("/leave", "/leave [ROOM]", "leave a room"),
    help("/rooms", "/rooms", "list the rooms"),
    help("/who", "/who [ROOM]", "list who is in a room"),
    help("/msg", "/msg USER TEXT", "say it to one person, also to one who is away"),
    help("/history", "/history [N]", "show what was said last"),
    help("/search", "/search WORDS", "search what was said"),
    help("/topic", "/topic [TEXT]", "show the topic of the room, or set it; - takes it away"),
    help("/invite", "/invite USER", "let somebody into this private room"),
    help("/kick", "/kick USER [REASON]", "remove somebody from the room"),
    help(
        "/mute",
        "/mute USER TIME [REASON]",
        "let somebody not speak for a while: 90s, 15m, 2h, 7d, forever",
    ),
    help("/unmute", "/unmute USER", "lift that"),
    help(
        "/ban",
        "/ban USER TIME [REASON] [--address]",
        "keep somebody out; with --address also whoever comes from there",
    ),
    help("/unban", "/unban USER", "lift that"),
    help("/slow", "/slow TIME", "let everybody wait between two messages; 0 ends it"),
    help("/op", "/op USER", "make somebody an operator of the room"),
    help("/deop", "/deop USER", "take that back"),
    help("/owner", "/owner USER", "hand this room over; you stay an operator"),
    help("/private", "/private", "let only those who are here or invited into this room"),
    help("/public", "/public", "open this room to all"),
    help("/remove", "/remove ROOM", "remove a room that you own"),
    help("/bans", "/bans", "show who may not speak or enter here"),
    help("/audit", "/audit [N]", "show what operators did here"),
    help(
        "/server-ban",
        "/server-ban WHO TIME [REASON]",
        "administrators: keep an account, address or network out",
    ),
    help("/server-unban", "/server-unban WHO", "lift that"),
    help(
        "/lockdown",
        "/lockdown on|hush|off [WHY]",
        "administrators: let nobody else log in (hush: or speak)",
    ),
    help("/server-bans", "/server-bans", "administrators: show who is kept out"),
    help("/server-audit", "/server-audit [N]", "administrators: show what was done"),
    help(FILE_WORD, "[FILE] USER", "ask to see somebody's files"),
    help("/file", "/file USER", "the same"),
    help("/ls", "/ls [@USER] [PATH] [--page N] [--inline]", "list a folder of a peer"),
    help("/get", "/get [@USER] NUMBER...|all", "fetch files and folders by number"),
    help("/peer", "/peer USER TEXT", "say it over the direct link"),
    help("/transfers", "/transfers", "show the transfers"),
    help("/cancel", "/cancel ID...|all", "end transfers"),
    help("/discard", "/discard ID", "remove what was kept of a transfer that ended early"),
    help("/pause", "/pause ID...|all", "stop transfers for now"),
    help("/resume", "/resume ID...|all", "let them go on"),
    help("/retry", "/retry ID...|all", "fetch again what failed"),
    help("/accept", "/accept ID", "say yes to somebody who asks"),
    help("/deny", "/deny ID", "say no"),
    help("/peers", "/peers", "show the direct links"),
    help("/reach", "/reach", "ask the server whether peers can reach you, and why not"),
    help("/hangup", "/hangup USER", "end a direct link"),
    help("/direct", "/direct USER", "leave the server together and go on over the link alone"),
    help("/verify", "/verify USER [CODE]", "show the code to compare with somebody, or check theirs"),
    help("/trust", "/trust USER", "accept that a device of theirs has another key than before"),
    help(
        "/consent",
        "/consent [WHOM RULE]",
        "who gets a link unasked: USER or #ROOM, always|ask|never|default",
    ),
    help(
        "/relay",
        "/relay [USER|all only|default]",
        "who gets links through the server's relay only, no address",
    ),
    help("/devices", "/devices", "show the devices that your account logged in with"),
    help("/revoke", "/revoke DEVICE", "end a device's sessions; the beginning of its name will do"),
    help("/passwd", "/passwd [FILE]", "change your password: typed unseen, or the first line of a file"),
    help("/server", "/server", "come back to the server and catch up"),
    help("/help", "/help", "show this"),
    help("/quit", "/quit", "end the program"),
];

/// One line of the help.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CommandHelp {
    /// The first word.
    pub(crate) word: &'static str,
    /// How the whole is written.
    pub(crate) usage: &'static str,
    /// What it does.
    pub(crate) meaning: &'static str,
}

const FILE_WORD: &str = "[FILE]";

const fn help(word: &'static str, usage: &'static str, meaning: &'static str) -> CommandHelp {
    CommandHelp { word, usage, meaning }
}

fn command(words: &Words<'_>) -> Result<Command, CommandError> {
    Ok(match words.command {
        "/join" => Command::Join { room: words.only_name("the name of a room")? },
        "/create" => words.create()?,
        "/topic" if words.rest.is_empty() => Command::Topic,
        "/topic" => {
            let note = note(if words.rest == NO_TOPIC { "" } else { words.rest })?;
            Command::Moderate(Order { action: Action::Topic, user: None, seconds: 0, note })
        }
        "/slow" => {
            let (word, rest) = split_word(words.rest);
            words.no_more(rest)?;
            let seconds = if word == "0" { 0 } else { words.seconds(word, MAX_SLOW)? };
            Command::Moderate(Order { action: Action::Slow, user: None, seconds, note: note("")? })
        }
        "/kick" => words.order(Action::Kick, Takes::Reason)?,
        "/mute" => words.order(Action::Mute, Takes::TimeAndReason)?,
        "/ban" => words.ban()?,
        "/invite" => words.order(Action::Invite, Takes::Nothing)?,
        "/unmute" => words.order(Action::Unmute, Takes::Nothing)?,
        "/unban" => words.order(Action::Unban, Takes::Nothing)?,
        "/op" => words.order(Action::Op, Takes::Nothing)?,
        "/deop" => words.order(Action::Deop, Takes::Nothing)?,
        "/owner" => words.order(Action::Owner, Takes::Nothing)?,
        "/private" => words.nothing_more(of_room(Action::Private)?)?,
        "/public" => words.nothing_more(of_room(Action::Public)?)?,
        "/remove" => Command::Remove { room: words.only_name("the name of a room")? },
        "/bans" => words.nothing_more(inquire(false, Inquiry::Imposed, None))?,
        "/audit" => inquire(false, Inquiry::Audit, words.lines_if_any()?),
        "/server-bans" => words.nothing_more(inquire(true, Inquiry::Imposed, None))?,
        "/server-audit" => inquire(true, Inquiry::Audit, words.lines_if_any()?),
        "/server-ban" => words.server_ban(Action::Ban)?,
        "/server-unban" => words.server_ban(Action::Unban)?,
        "/lockdown" => words.lockdown()?,
        "/leave" => Command::Leave { room: words.name_if_any()? },
        "/rooms" => words.nothing_more(Command::Rooms)?,
        "/who" => Command::Who { room: words.name_if_any()? },
        "/msg" => {
            let (user, text) = words.name_and_text()?;
            Command::Msg { user, text }
        }
        "/history" => Command::History { count: words.count_if_any()? },
        "/search" => {
            if words.rest.is_empty() {
                return Err(words.missing("words to search for"));
            }
            Command::Search { words: text(words.rest)? }
        }
        FILE_WORD | "/file" => Command::File { user: words.only_name("the name of a person")? },
        "/ls" => ls(words)?,
        "/get" => get(words)?,
        "/peer" => {
            let (user, text) = words.name_and_text()?;
            Command::PeerSay { user, text }
        }
        "/transfers" => words.nothing_more(Command::Transfers)?,
        "/cancel" => Command::Cancel { transfers: words.transfers()? },
        "/discard" => Command::Discard { id: words.id()? },
        "/pause" => Command::Pause { transfers: words.transfers()? },
        "/resume" => Command::Resume { transfers: words.transfers()? },
        "/retry" => Command::Retry { transfers: words.transfers()? },
        "/accept" => Command::Accept { id: words.id()? },
        "/deny" => Command::Deny { id: words.id()? },
        "/peers" => words.nothing_more(Command::Peers)?,
        "/reach" => words.nothing_more(Command::Reach)?,
        "/hangup" => Command::Hangup { user: words.only_name("the name of a person")? },
        "/direct" => Command::Direct { user: words.only_name("the name of a person")? },
        "/trust" => Command::Trust { user: words.only_name("the name of a person")? },
        "/verify" => words.verify()?,
        "/consent" => words.consent()?,
        "/relay" => words.relay()?,
        "/devices" => words.nothing_more(Command::Devices)?,
        "/revoke" => words.device()?,
        "/passwd" if words.rest.is_empty() => {
            return Err(words.missing("a file with the new password, where no terminal can ask"));
        }
        "/passwd" => Command::Passwd { file: words.rest.into() },
        "/server" => words.nothing_more(Command::Server)?,
        "/help" => words.nothing_more(Command::Help)?,
        "/quit" => words.nothing_more(Command::Quit)?,
        unknown => return Err(CommandError::Unknown(unknown.to_owned())),
    })
}

fn of_room(action: Action) -> Result<Command, CommandError> {
    Ok(Command::Moderate(Order { action, user: None, seconds: 0, note: note("")? }))
}

fn inquire(of_server: bool, about: Inquiry, count: Option<u32>) -> Command {
    Command::Inquire { of_server, about, count }
}

/// `[@USER] [PATH] [--page N] [--inline]`; the path may have spaces in it.
fn ls(words: &Words<'_>) -> Result<Command, CommandError> {
    let (peer, rest) = words.peer_if_any()?;
    let (rest, is_last) = without_inline(rest);
    let (rest, page) = match rest.split_once(PAGE_OPTION) {
        Some((before, after)) if is_word_end(before) && after.starts_with(char::is_whitespace) => {
            (before.trim_end(), Some(at_least_one(after.trim(), "page number", u32::MAX)?))
        }
        Some((before, "")) if is_word_end(before) => return Err(words.missing("a number after --page")),
        Some(_) | None => (rest, None),
    };
    let (rest, is_before) = without_inline(rest);
    let inline = is_last || is_before;
    let inner = rest.trim_end_matches('/');
    // `/` and `.` name the root in every shell; a path that only starts with a slash is refused by its type.
    let inner = if inner == "." { "" } else { inner };
    let path =
        SafeRelPath::new(inner).map_err(|error| CommandError::Path { path: rest.to_owned(), error })?;
    Ok(Command::Ls { peer, path, page, inline })
}

const INLINE_OPTION: &str = "--inline";

const PAGE_OPTION: &str = "--page";

/// What stands before `--inline`, and whether that is there.
fn without_inline(text: &str) -> (&str, bool) {
    match text.strip_suffix(INLINE_OPTION) {
        Some(before) if is_word_end(before) => (before.trim_end(), true),
        Some(_) | None => (text, false),
    }
}

fn is_word_end(before: &str) -> bool {
    before.is_empty() || before.ends_with(char::is_whitespace)
}

/// `[@USER] NUMBER...`, where a number may be a range, or `all`.
fn get(words: &Words<'_>) -> Result<Command, CommandError> {
    let (peer, rest) = words.peer_if_any()?;
    let files = picks(rest, "file number", 1, u32::MAX.into())?;
    let files = files.ok_or_else(|| words.missing("the number of a file"))?;
    Ok(Command::Get { peer, files })
}

/// Numbers and ranges between spaces or commas, or `all`; `None` when there is nothing.
fn picks(text: &str, what: &'static str, min: u64, max: u64) -> Result<Option<Picks>, CommandError> {
    if ALL_WORDS.contains(&text.trim_end()) {
        return Ok(Some(Picks::All));
    }
    let (mut numbers, mut seen) = (Vec::new(), BTreeSet::new());
    let is_between = |c: char| c.is_whitespace() || c == ',';
    for word in text.split(is_between).filter(|word| !word.is_empty()) {
        let number = |text: &str| {
            let number = digits(text).filter(|number| (min..=max).contains(number));
            number.ok_or_else(|| CommandError::Number { text: text.to_owned(), what })
        };
        let (first, last) = word.split_once('-').unwrap_or((word, word));
        let (first, last) = (number(first)?, number(last)?);
        if last < first {
            return Err(CommandError::Range(word.to_owned()));
        }
        for number in first..=last {
            if !seen.insert(number) {
                continue;
            }
            if numbers.len() == MAX_PICKS {
                return Err(CommandError::TooManyNumbers);
            }
            numbers.push(number);
        }
    }
    Ok((!numbers.is_empty()).then_some(Picks::These(numbers)))
}

/// A ban covers the addresses, too.
const ADDRESS: &str = "--address";

/// How everything is asked for.
const ALL_WORDS: [&str; 2] = ["all", "*"];

/// A line taken apart: its first word, and all that follows, trimmed.
struct Words<'a> {
    command: &'a str,
    rest: &'a str,
}

impl Words<'_> {
    fn usage(&self) -> &'static str {
        COMMANDS.iter().find(|help| help.word == self.command).map_or("", |help| help.usage)
    }

    fn missing(&self, what: &'static str) -> CommandError {
        CommandError::Missing { command: self.command.to_owned(), what, usage: self.usage() }
    }

    fn no_more(&self, extra: &str) -> Result<(), CommandError> {
        let (extra, _) = split_word(extra);
        if extra.is_empty() {
            return Ok(());
        }
        let (command, extra) = (self.command.to_owned(), extra.to_owned());
        Err(CommandError::Extra { command, extra, usage: self.usage() })
    }

    fn nothing_more(&self, command: Command) -> Result<Command, CommandError> {
        self.no_more(self.rest).map(|()| command)
    }

    fn only_name(&self, what: &'static str) -> Result<Name, CommandError> {
        self.name_if_any()?.ok_or_else(|| self.missing(what))
    }

    fn name_if_any(&self) -> Result<Option<Name>, CommandError> {
        let (word, rest) = split_word(self.rest);
        self.no_more(rest)?;
        if word.is_empty() { Ok(None) } else { name(word).map(Some) }
    }

    fn name_and_text(&self) -> Result<(Name, Text), CommandError> {
        let (word, rest) = split_word(self.rest);
        if word.is_empty() {
            return Err(self.missing("the name of a person"));
        }
        if rest.is_empty() {
            return Err(self.missing("a text"));
        }
        Ok((name(word)?, text(rest)?))
    }

    /// `ROOM [private]`.
    fn create(&self) -> Result<Command, CommandError> {
        let (word, rest) = split_word(self.rest);
        if word.is_empty() {
            return Err(self.missing("the name of a room"));
        }
        let (option, more) = split_word(rest);
        let private = option == PRIVATE;
        self.no_more(if private { more } else { rest })?;
        Ok(Command::Create { room: name(word)?, private })
    }

    /// `USER`, maybe `TIME`, maybe a reason.
    fn order(&self, action: Action, takes: Takes) -> Result<Command, CommandError> {
        let (word, rest) = split_word(self.rest);
        if word.is_empty() {
            return Err(self.missing("the name of a person"));
        }
        let user = Some(name(word)?);
        let (seconds, reason) = match takes {
            Takes::Nothing => {
                self.no_more(rest)?;
                (0, "")
            }
            Takes::Reason => (0, rest),
            Takes::TimeAndReason => {
                let (time, reason) = split_word(rest);
                (if time == FOREVER { 0 } else { self.seconds(time, u32::MAX)? }, reason)
            }
        };
        Ok(Command::Moderate(Order { action, user, seconds, note: note(reason)? }))
    }

    /// `USER TIME`, maybe a reason, and `--address` before or behind it.
    fn ban(&self) -> Result<Command, CommandError> {
        let is_option = |word: &&str| *word == ADDRESS;
        let (who, rest) = split_word(self.rest);
        let (time, reason) = split_word(rest);
        let (first, after) = split_word(reason);
        let (before, last) = reason.rsplit_once(char::is_whitespace).unwrap_or(("", reason));
        let reason = if is_option(&first) { Some(after) } else { Some(before).filter(|_| is_option(&last)) };
        let Some(reason) = reason else { return self.order(Action::Ban, Takes::TimeAndReason) };
        let rest = format!("{who} {time} {}", reason.trim_end());
        Words { command: self.command, rest: rest.trim_end() }.order(Action::BanAddress, Takes::TimeAndReason)
    }

    /// `WHO`, and for a ban `TIME`, maybe a reason.
    fn server_ban(&self, action: Action) -> Result<Command, CommandError> {
        let (word, rest) = split_word(self.rest);
        if word.is_empty() {
            return Err(self.missing("an account, an address or a network"));
        }
        let subject = word
            .parse::<Subject>()
            .map_err(|error| CommandError::Subject { text: word.to_owned(), error })?;
        let (seconds, reason) = if action == Action::Ban {
            let (time, reason) = split_word(rest);
            (if time == FOREVER { 0 } else { self.seconds(time, u32::MAX)? }, reason)
        } else {
            self.no_more(rest)?;
            (0, "")
        };
        Ok(Command::Govern(Decree { action, subject: Some(subject), seconds, note: note(reason)? }))
    }

    /// `on`, `hush` or `off`, maybe a reason.
    fn lockdown(&self) -> Result<Command, CommandError> {
        let (word, reason) = split_word(self.rest);
        let action = match word {
            "on" => Action::Lockdown,
            "hush" => Action::Hush,
            "off" => Action::Unlock,
            _ => return Err(self.missing("on, hush or off")),
        };
        Ok(Command::Govern(Decree { action, subject: None, seconds: 0, note: note(reason)? }))
    }

    /// A time from 1 second on: digits and maybe `s`, `m`, `h` or `d`.
    fn seconds(&self, word: &str, max: u32) -> Result<u32, CommandError> {
        if word.is_empty() {
            return Err(self.missing("a time, as 90s, 15m, 2h or 7d"));
        }
        let (number, unit) = match word.char_indices().next_back() {
            Some((at, 's')) => (word.get(..at), 1),
            Some((at, 'm')) => (word.get(..at), 60),
            Some((at, 'h')) => (word.get(..at), 3_600),
            Some((at, 'd')) => (word.get(..at), 86_400),
            Some(_) | None => (Some(word), 1),
        };
        let what =
            if max == MAX_SLOW { "time from 1s to 1h" } else { "time, as 90s, 15m, 2h, 7d or forever" };
        let wrong = || CommandError::Number { text: word.to_owned(), what };
        let number = number.filter(|number| !number.is_empty()).and_then(digits).ok_or_else(wrong)?;
        let seconds = number.checked_mul(unit).and_then(|seconds| u32::try_from(seconds).ok());
        seconds.filter(|seconds| (1..=max).contains(seconds)).ok_or_else(wrong)
    }

    fn count_if_any(&self) -> Result<Option<u32>, CommandError> {
        let (word, rest) = split_word(self.rest);
        self.no_more(rest)?;
        if word.is_empty() {
            return Ok(None);
        }
        at_least_one(word, "number of messages from 1 to 10000", MAX_HISTORY).map(Some)
    }

    fn lines_if_any(&self) -> Result<Option<u32>, CommandError> {
        let (word, rest) = split_word(self.rest);
        self.no_more(rest)?;
        if word.is_empty() {
            return Ok(None);
        }
        at_least_one(word, "number of lines from 1 to 200", MAX_AUDIT).map(Some)
    }

    fn id(&self) -> Result<u64, CommandError> {
        let (word, rest) = split_word(self.rest);
        self.no_more(rest)?;
        if word.is_empty() {
            return Err(self.missing("an id"));
        }
        digits(word).ok_or_else(|| CommandError::Number { text: word.to_owned(), what: "id" })
    }

    /// `USER`, maybe a code of digits.
    fn verify(&self) -> Result<Command, CommandError> {
        let (word, rest) = split_word(self.rest);
        if word.is_empty() {
            return Err(self.missing("the name of a person"));
        }
        let user = name(word)?;
        if !rest.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '-') {
            return Err(CommandError::Number { text: rest.to_owned(), what: "code of digits" });
        }
        Ok(Command::Verify { user, code: Some(rest.to_owned()).filter(|code| !code.is_empty()) })
    }

    /// Nothing, or `USER` or `#ROOM`, and a rule.
    fn consent(&self) -> Result<Command, CommandError> {
        let (whom, rest) = split_word(self.rest);
        if whom.is_empty() {
            return Ok(Command::Consent { change: None });
        }
        let whom = match whom.strip_prefix('#') {
            Some(room) => ConsentWhom::Room(name(room)?),
            None => ConsentWhom::Person(name(whom)?),
        };
        let (word, rest) = split_word(rest);
        self.no_more(rest)?;
        let rule = match word {
            "always" => Some(ConsentRule::Always),
            "ask" => Some(ConsentRule::Ask),
            "never" => Some(ConsentRule::Never),
            "default" => None,
            _ => return Err(self.missing("always, ask, never or default")),
        };
        Ok(Command::Consent { change: Some((whom, rule)) })
    }

    /// Nothing, or `USER` or `all`, and a rule.
    fn relay(&self) -> Result<Command, CommandError> {
        let (whom, rest) = split_word(self.rest);
        if whom.is_empty() {
            return Ok(Command::Relay { change: None });
        }
        let whom = if whom == "all" { None } else { Some(name(whom)?) };
        let (word, rest) = split_word(rest);
        self.no_more(rest)?;
        let only = match word {
            "only" => true,
            "default" => false,
            _ => return Err(self.missing("only or default")),
        };
        Ok(Command::Relay { change: Some((whom, only)) })
    }

    fn device(&self) -> Result<Command, CommandError> {
        let (word, rest) = split_word(self.rest);
        self.no_more(rest)?;
        if word.is_empty() {
            return Err(self.missing("the beginning of a device's name"));
        }
        if !word.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(CommandError::Number {
                text: word.to_owned(),
                what: "name of a device, in hex digits",
            });
        }
        Ok(Command::Revoke { device: word.to_ascii_lowercase() })
    }

    /// `ID...`, where an id may be a range, or `all`.
    fn transfers(&self) -> Result<Picks, CommandError> {
        picks(self.rest, "id", 0, u64::MAX)?.ok_or_else(|| self.missing("an id"))
    }

    fn peer_if_any(&self) -> Result<(Option<Name>, &str), CommandError> {
        let (word, rest) = split_word(self.rest);
        match word.strip_prefix('@') {
            Some(peer) => Ok((Some(name(peer)?), rest)),
            None => Ok((None, self.rest)),
        }
    }
}

/// What stands after the person that an order is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Takes {
    Nothing,
    Reason,
    TimeAndReason,
}

/// The topic that takes the topic away.
const NO_TOPIC: &str = "-";

const PRIVATE: &str = "private";

const FOREVER: &str = "forever";

/// Longest wait of slow mode, in seconds.
const MAX_SLOW: u32 = 3_600;

/// The first word, and the rest without the space around it.
fn split_word(text: &str) -> (&str, &str) {
    text.split_once(char::is_whitespace).map_or((text, ""), |(word, rest)| (word, rest.trim_start()))
}

fn name(word: &str) -> Result<Name, CommandError> {
    NameRef::new(word)
        .map(|name| name.to_owned())
        .map_err(|error| CommandError::Name { name: word.to_owned(), error })
}

fn note(remark: &str) -> Result<Note, CommandError> {
    Note::new(remark).map_err(CommandError::Text)
}

fn text(said: &str) -> Result<Text, CommandError> {
    Text::new(said).map_err(CommandError::Text)
}

fn at_least_one(word: &str, what: &'static str, max: u32) -> Result<u32, CommandError> {
    digits(word)
        .and_then(|number| u32::try_from(number).ok())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| CommandError::Number { text: word.to_owned(), what })
}

/// Digits only: `u64`'s own reader would take `+3`.
fn digits(word: &str) -> Option<u64> {
    word.bytes().all(|byte| byte.is_ascii_digit()).then(|| word.parse().ok()).flatten()
}

#[cfg(test)]
mod tests;
