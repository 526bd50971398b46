//! What a hub is told at its start: limits with their reasons, and the rooms that exist already.

use core::time::Duration;

use alloc::vec::Vec;

use super::budgets::Budgets;
use super::house::House;
use crate::conn::Limits;
use crate::wire::{Capabilities, MAX_FRAME, MIN_FRAME, Name, Note, RoomId, RoomKind, ServerId};

/// Settings of a [`Hub`](super::Hub). A hub brings them within what the protocol allows: [`Limits::max_frame`] from
/// [`MIN_FRAME`] to [`MAX_FRAME`], and [`Limits::max_queue_hard`] at least [`Limits::max_queue`] and
/// [`page_bytes`](Self::page_bytes) together, or whoever reads slowly would be sent away in place of falling behind.
#[derive(Debug, Clone)]
pub struct Config {
    /// Identity of the log; a client drops its cursors when it changes.
    pub server: ServerId,
    /// Program and version, shown to clients.
    pub agent: Note,
    /// Login mechanisms offered, best first, separated by spaces.
    pub mechanisms: Note,
    /// What the program behind the hub can do.
    pub capabilities: Capabilities,
    /// The last number that a room of this log ever had, also one that is gone: no number is given twice. 0 for a new log.
    pub last_room: RoomId,
    /// The room that everybody is in unless they choose otherwise.
    pub default_room: Name,
    /// Limits of each connection.
    pub limits: Limits,
    /// Connections that may wait in or before a login. Default 256. Bounds the memory that strangers cost
    /// (about 3 KiB each); past it a new connection is told to come back later.
    pub max_strangers: usize,
    /// Those of them that may come from one address (of IPv6, from one /64). Default 192; past it as above. Answers one
    /// attacker who would take the room of everybody who wants to log in.
    pub max_strangers_per_address: usize,
    /// Time for which a stranger may be silent when all places are taken; four times as long after its hello, and sixteen times
    /// with a challenge to answer. Default 1 s: past it, of those who have come least far, one of the address with most places
    /// gives way to the next caller, the one that has waited for longest first. Answers many addresses that take all places and
    /// do not get on: who does is not kept out.
    pub stranger_grace: Duration,
    /// Devices that one account may have connected. Default 16. Answers an account used to exhaust connections.
    pub max_devices: usize,
    /// Group rooms that one connection may be in. Default 256. Bounds the fan-out that one connection can ask for. With
    /// conversations, which others begin, it is in twice as many at most before it hears of one more by name only.
    pub max_rooms_joined: usize,
    /// Group rooms that may exist. Default 10,000 (about 300 bytes each). Answers floods of new rooms.
    pub max_rooms: usize,
    /// Conversations that one account may have, also those that others began and those that are over. Default 4,096 (about 800
    /// bytes each, for both together). Bounds what the hub keeps for good, and what it tells at each login, 51 bytes for each:
    /// [`Limits::max_queue_hard`] must hold that. Answers who writes to everybody.
    pub max_conversations: usize,
    /// Roles, mutes and bans of one room together. Bounds its memory to this many times about 150 bytes, 500 with the longest
    /// reasons, and answers an operator who bans everybody. Default 10,000.
    pub max_house_notes: usize,
    /// People who may be in one group room. Default 10,000; past it only those who keep order enter. Bounds what one message
    /// or one newcomer costs.
    pub max_room_members: usize,
    /// Accounts and networks that may be barred from the whole server. Default 10,000. Bounds the memory of that to this many
    /// times about 150 bytes, 500 with the longest reasons.
    pub max_bans: usize,
    /// Messages of one connection that may wait for the log. Default 1,024; past it the connection is not read, and what
    /// was read already is refused as a backlog. Answers a sender that is faster than the disk.
    pub max_appends: u32,
    /// Bytes of their texts. Default 256 KiB; past it as above. Bounds the memory that such a sender costs.
    pub max_append_bytes: usize,
    /// What one account may ask for in a time, each kind of request on its own.
    pub budgets: Budgets,
    /// Requests of one connection (history, search, inquiries, changes of rooms and of the server, people who are written to for
    /// the first time) that the program may be working on, and lists whose pages are still to come. Default 8 of each; past it
    /// the connection is not read, and what was read already is refused. Answers floods of expensive questions.
    pub max_requests: u32,
    /// Introductions that one connection may have asked for and not got. Default 8. Answers floods of questions to people.
    pub max_offers: usize,
    /// Time that a person has to answer an offer. Default 60 s.
    pub offer_timeout: Duration,
    /// Time for which the ticket of an introduction is good. Default 45 s: longer than all ways to the other side together.
    pub ticket_lifetime: Duration,
    /// Introductions whose two ends may still ask the server to pass something on. Default 4,096 (below 400 bytes each).
    /// Past it the oldest is forgotten: its ends have what they know and nothing more. Answers floods of introductions.
    pub max_meetings: usize,
    /// Links relayed at once. Default 0; a program that relays says so with the capability `relay`, too. Bounds descriptors and buffers of the
    /// program, and answers those who would make the server their tunnel.
    pub max_relays: usize,
    /// Those of them that one account may be an end of. Default 4. Answers two accounts that would hold all places.
    pub max_relays_per_account: usize,
    /// Tests of reachability that one address (of IPv6, one network of 64 bits) may ask for in an interval. Default 6.
    /// Answers those who would have the server scan the ports of whoever shares their address.
    pub reach_tests: u32,
    /// That interval. Default 10 minutes.
    pub reach_interval: Duration,
    /// Messages asked from the log at once for a connection that catches up. Default 256. One page is under way for each
    /// connection, however many rooms it is behind in.
    pub page_messages: u16,
    /// Pages that the log is asked for at once, for all connections that catch up together; at least 1. Default 2: the
    /// log reads one while another is on its way. Answers a crowd that comes back at once: logins and history are read from
    /// the same log. Who misses the same shares a page.
    pub catch_up_reads: usize,
    /// Bytes of missed messages that are given out in a millisecond, to all connections together; the last page may exceed
    /// it. Default 1 MiB, eight gigabits a second. Bounds what those who are behind take of the hub's time, and so what they
    /// cost the others in latency. It must be more than what is said to them meanwhile, or they never catch up.
    pub catch_up_bytes: usize,
    /// Bytes of messages that one page holds when it is sent (catching up, history, search), and that a room collects in
    /// one turn before they are given out. Default 64 KiB. A queue is past its bound by no more than this.
    pub page_bytes: usize,
    /// Bytes of recent messages kept in memory for each room that is in use. Default 64 KiB.
    /// Whoever catches up turns live from there, however busy the room is.
    pub recent_bytes: usize,
}

impl Config {
    /// The defaults for a server with this identity.
    #[must_use]
    pub fn new(server: ServerId, agent: Note, mechanisms: Note, default_room: Name) -> Self {
        Self {
            server,
            agent,
            mechanisms,
            capabilities: Capabilities::NONE,
            last_room: RoomId(0),
            default_room,
            limits: Limits::default(),
            max_strangers: 256,
            max_strangers_per_address: 192,
            stranger_grace: Duration::from_secs(1),
            max_devices: 16,
            max_rooms_joined: 256,
            max_rooms: 10_000,
            max_conversations: 4_096,
            max_house_notes: 10_000,
            max_room_members: 10_000,
            max_bans: 10_000,
            max_appends: 1024,
            max_append_bytes: 256 * 1024,
            budgets: Budgets::default(),
            max_requests: 8,
            max_offers: 8,
            offer_timeout: Duration::from_secs(60),
            ticket_lifetime: Duration::from_secs(45),
            max_meetings: 4_096,
            max_relays: 0,
            max_relays_per_account: 4,
            reach_tests: 6,
            reach_interval: Duration::from_secs(600),
            page_messages: 256,
            catch_up_reads: 2,
            catch_up_bytes: 1024 * 1024,
            page_bytes: 64 * 1024,
            recent_bytes: 64 * 1024,
        }
    }
}

impl Config {
    pub(super) fn within_bounds(mut self) -> Self {
        let limits = &mut self.limits;
        limits.max_frame = limits.max_frame.clamp(MIN_FRAME, MAX_FRAME);
        let least = limits.max_queue.saturating_add(self.page_bytes);
        limits.max_queue_hard = limits.max_queue_hard.max(least);
        self
    }
}

/// A room that the log holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomRecord {
    /// Its number.
    pub room: RoomId,
    /// What it is.
    pub label: Label,
    /// Number of its last message, 0 for none.
    pub last: u64,
    /// Topic, may be empty.
    pub topic: Note,
    /// Who may do what there.
    pub house: House,
}

/// What a room is called, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// A room that people join by name.
    Group(Name),
    /// The conversation of two people, in the order of their names.
    Direct(Name, Name),
    /// What the first person keeps of a conversation with the second, whose account was removed. It is never found by name
    /// again: whoever has that name now is somebody else.
    Former(Name, Name),
}

impl Label {
    /// The conversation of `a` and `b`, whoever of them began it.
    #[must_use]
    pub fn direct(a: &Name, b: &Name) -> Self {
        if a <= b { Self::Direct(a.clone(), b.clone()) } else { Self::Direct(b.clone(), a.clone()) }
    }

    /// Its kind on the wire.
    #[must_use]
    pub fn kind(&self) -> RoomKind {
        match self {
            Self::Group(_) => RoomKind::Group,
            Self::Direct(..) => RoomKind::Direct,
            Self::Former(..) => RoomKind::Former,
        }
    }

    /// What `user` calls it: the room's name, or the other person.
    #[must_use]
    pub fn name_for(&self, user: &Name) -> &Name {
        match self {
            Self::Group(name) => name,
            Self::Direct(first, second) if first == user => second,
            Self::Direct(first, _) => first,
            Self::Former(_, gone) => gone,
        }
    }

    /// The name of a group room; empty for a conversation.
    pub(super) fn shown(&self) -> &str {
        match self {
            Self::Group(name) => name.as_str(),
            Self::Direct(..) | Self::Former(..) => "",
        }
    }

    /// The people whose conversation it is; nobody for a group.
    pub(super) fn pair(&self) -> Vec<Name> {
        match self {
            Self::Group(_) => Vec::new(),
            Self::Direct(first, second) => [first.clone(), second.clone()].into(),
            Self::Former(keeper, _) => [keeper.clone()].into(),
        }
    }
}
