//! Facts as lines for people.

mod house;
mod lists;
mod progress;
pub(super) mod units;

use std::time::Instant;

use chatproto::wire::{DeviceId, Name, Purpose, escaped};

use crate::notice::{LinkPath, Message, Notice, Place, Transfer, TransferState, timestamp};
use progress::Progress;

/// Turns notices into lines. It knows who reads them, and how fast files come.
#[derive(Debug)]
pub(super) struct Text {
    audience: Audience,
    /// The user and this device, once logged in.
    own: Option<(Name, DeviceId)>,
    progress: Progress,
    /// The way of transfers is shown elsewhere.
    has_board: bool,
}

/// Who reads the lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Audience {
    /// Somebody at a terminal: sees what they type anyway, and wants to see files move.
    Person,
    /// A file or a program: the facts, each once.
    Script,
}

impl Text {
    pub(super) fn new(audience: Audience) -> Self {
        Self { audience, own: None, progress: Progress::default(), has_board: false }
    }

    /// From now on a board shows how far transfers are.
    pub(super) fn leave_ways_to_a_board(&mut self) {
        self.has_board = true;
    }

    /// The lines, each with its end; may be empty. Nothing in them can drive a terminal, whoever wrote it.
    pub(super) fn render(&mut self, notice: &Notice, now: Instant) -> String {
        let mut out = String::new();
        for line in self.lines(notice, now) {
            // The one place that everything passes: what is escaped here needs no care anywhere else.
            out.push_str(&escaped(&line).to_string());
            out.push('\n');
        }
        out
    }

    fn lines(&mut self, notice: &Notice, now: Instant) -> Vec<String> {
        match notice {
            Notice::Ready { user, device, server, peer_port, rooms } => {
                self.own = Some((user.clone(), *device));
                let mut line = format!("logged in to {server} as {}", user.as_str());
                if !rooms.is_empty() {
                    let rooms: Vec<_> = rooms.iter().map(Name::as_str).collect();
                    line += &format!(", in {}", rooms.join(", "));
                }
                if let Some(port) = peer_port {
                    line += &format!("; peers may connect to port {port}");
                }
                vec![line]
            }
            Notice::Message { message, missed } => self.message(message, *missed).into_iter().collect(),
            // For programs.
            Notice::Posted { .. } | Notice::Done { .. } => Vec::new(),
            Notice::ConversationOver { with } => vec![format!(
                "* the account {0} was removed; your conversation stays readable, and a new {0} is somebody else",
                with.as_str()
            )],
            Notice::Gap { place, from, to } => {
                vec![format!("* {}: messages {from} to {to} are gone for good", conversation(place))]
            }
            Notice::Joined { room, user } => vec![self.presence(user, "joined", room)],
            Notice::Left { room, user } => vec![self.presence(user, "left", room)],
            Notice::Topic { room, topic, by } => vec![house::topic(room, topic, by.as_ref())],
            Notice::Moderated { room, action, by, user, seconds, reason } => {
                vec![house::change(room, *action, (by.as_ref(), user.as_ref()), *seconds, reason.as_ref())]
            }
            Notice::Invited { room, by } => {
                let by = by.as_ref().map_or("the server", |by| by.as_str());
                vec![format!("* {by} invites you to {0} - /join {0}", room.as_str())]
            }
            Notice::Governed { action, subject, seconds, reason } => {
                vec![house::decree(*action, subject.as_deref(), *seconds, reason.as_ref())]
            }
            Notice::Audit { audit, .. } => house::lines(audit, "nothing was done yet"),
            Notice::Bans { bans, .. } => house::lines(bans, "nobody is kept out or silent"),
            Notice::PeerRequest { id, from, purpose } => vec![peer_request(*id, from, *purpose)],
            Notice::PeerRequestClosed { id, reason } => reason
                .map(|reason| format!("* request {id} needs no answer any more: {}", reason.meaning()))
                .into_iter()
                .collect(),
            Notice::PeerConnected { peer, path, verified, .. } => {
                let state = if *verified { ", verified" } else { ", unverified" };
                vec![format!("* connected with {} ({}{state})", peer.as_str(), link_path(*path))]
            }
            Notice::PeerFailed { peer, message, .. } => {
                vec![format!("* no connection with {}: {message}", peer.as_str())]
            }
            Notice::Reach { message, .. } | Notice::PortMapping { message, .. } => {
                vec![format!("* {message}")]
            }
            Notice::PeerClosed { peer, reason } => {
                vec![format!("* the link with {} has ended: {reason}", peer.as_str())]
            }
            Notice::Direct { peer } => vec![format!(
                "* you and {} have left the server and talk over the link alone; /server comes back",
                peer.as_str()
            )],
            Notice::PeerMessage { peer, text } => {
                vec![format!("(link) {}: {}", peer.as_str(), text.as_str())]
            }
            Notice::FileList { peer, path, page, pages, total, entries, .. } => {
                lists::files(peer, path, (*page, *pages, *total), entries)
            }
            Notice::Transfer(transfer) | Notice::Upload(transfer) => {
                let line = self.progress.line(transfer, self.audience, now);
                line.filter(|_| !self.has_board || !is_way(transfer)).into_iter().collect()
            }
            Notice::Fetched { peer, done, failed, cancelled, bytes, millis } => {
                let counts = (*done, *failed, *cancelled);
                progress::sum(peer.as_str(), counts, *bytes, *millis).into_iter().collect()
            }
            Notice::Rooms { rooms } => lists::rooms(rooms),
            Notice::Who { room, who } => lists::people(room, who),
            Notice::History { history: messages } | Notice::Search { search: messages } => {
                self.messages(messages)
            }
            Notice::Transfers { transfers } => lists::transfers(transfers),
            Notice::Peers { peers } => lists::peers(peers),
            Notice::Registered { user } => vec![format!("* your account {} is made", user.as_str())],
            Notice::PasswordChanged => {
                vec!["* your password is changed; your other sessions have ended".to_owned()]
            }
            Notice::PeerKeys { peer, keys } => lists::keys(peer, keys),
            Notice::Consent { rules, otherwise } => lists::consent(rules, *otherwise),
            Notice::Relay { only, otherwise } => lists::relay(only, *otherwise),
            Notice::Devices { devices } => lists::devices(devices),
            Notice::ServerLost { reason, retry_ms } => vec![match retry_ms {
                Some(pause) => {
                    format!("* the server is gone: {reason}; trying again in {}", units::pause(*pause))
                }
                None => format!("* the server is gone: {reason}"),
            }],
            Notice::ServerBack { missed } => vec![match missed {
                0 => "* the server is back; you missed nothing".to_owned(),
                1 => "* the server is back; you have the message that you missed".to_owned(),
                more => format!("* the server is back; you have the {more} messages that you missed"),
            }],
            Notice::Error { message, fingerprint, .. } => {
                let mut lines = vec![format!("error: {message}")];
                lines.extend(fingerprint.as_ref().map(|shown| format!("       its fingerprint is {shown}")));
                lines
            }
            Notice::Info(text) => text.lines().map(str::to_owned).collect(),
            Notice::Help => lists::help(),
        }
    }

    /// A message on its line. What was just typed at a terminal stands there already.
    fn message(&self, message: &Message, missed: bool) -> Option<String> {
        let typed_here = self.audience == Audience::Person && self.is_from_here(message);
        if typed_here && !missed {
            return None;
        }
        Some(if missed { self.dated(message) } else { self.undated(message) })
    }

    fn messages(&self, messages: &[Message]) -> Vec<String> {
        if messages.is_empty() {
            return vec!["no messages".to_owned()];
        }
        messages.iter().map(|message| self.dated(message)).collect()
    }

    fn undated(&self, message: &Message) -> String {
        format!("{} {}: {}", self.bracketed(&message.place, ""), message.from.as_str(), message.text.as_str())
    }

    fn dated(&self, message: &Message) -> String {
        let stamp = timestamp(message.time);
        let minute = stamp.get(..MINUTE_LENGTH).unwrap_or(&stamp).replace('T', " ");
        let place = self.bracketed(&message.place, &format!(" {minute}Z"));
        format!("{place} {}: {}", message.from.as_str(), message.text.as_str())
    }

    fn bracketed(&self, place: &Place, time: &str) -> String {
        match place {
            Place::Room(room) => format!("[{}{time}]", room.as_str()),
            Place::To(user) if self.is_self(user) => format!("(direct{time})"),
            Place::To(user) => format!("(direct to {}{time})", user.as_str()),
            Place::Former(user) => format!("(with {}, account removed{time})", user.as_str()),
        }
    }

    fn presence(&self, user: &Name, verb: &str, room: &Name) -> String {
        let who = if self.is_self(user) { "you" } else { user.as_str() };
        format!("* {who} {verb} {}", room.as_str())
    }

    fn is_self(&self, user: &Name) -> bool {
        self.own.as_ref().is_some_and(|(own, _)| own == user)
    }

    fn is_from_here(&self, message: &Message) -> bool {
        self.own.as_ref().is_some_and(|(user, device)| *user == message.from && *device == message.device)
    }
}

/// Whether a transfer is just on its way.
fn is_way(transfer: &Transfer) -> bool {
    transfer.state == TransferState::Active
}

fn conversation(place: &Place) -> String {
    match place {
        Place::Room(room) => room.as_str().to_owned(),
        Place::To(user) => format!("the conversation with {}", user.as_str()),
        Place::Former(user) => format!("the former conversation with {}", user.as_str()),
    }
}

fn peer_request(id: u64, from: &Name, purpose: Purpose) -> String {
    let wish = match purpose {
        Purpose::Files => "asks for your files",
        Purpose::Direct => "asks you to leave the server and talk directly",
    };
    format!("{} {wish} - /accept {id} or /deny {id}", from.as_str())
}

fn link_path(path: LinkPath) -> &'static str {
    match path {
        LinkPath::Direct => "direct",
        LinkPath::Reverse => "direct, they dialled",
        LinkPath::Punched => "direct, both dialled",
        LinkPath::Relay => "through the server's relay",
    }
}

/// Of an RFC 3339 time, up to its minute.
const MINUTE_LENGTH: usize = "2025-01-31T12:00".len();

#[cfg(test)]
mod tests;
