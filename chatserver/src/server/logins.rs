//! Logins: the hub brings a mechanism's bytes, the store the account's record, OPAQUE says yes or no. Who has proved a
//! password gets a ticket, and with that the store alone says yes or no.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chatproto::hub::{Accept, ConnId, Hub};
use chatproto::opaque::{OsRng, Password, Record, ServerLogin, ServerSetup, Stretch, register};
use chatproto::ticket;
use chatproto::wire::{Capability, DeviceId, ErrorCode, Name, Note};

use super::attempts::Attempts;
use super::console;
use super::links::Links;
use super::seam::ROOM_WRITE;
use crate::store::{NewTicket, Outcome, Read, Reply, Store, TicketHash, Write, unix_ms};

/// Set in the id of a store read that belongs to a login, so that it never meets the hub's own ids.
const LOGIN_READ: u64 = 1 << 63;

/// Set in the id of a write that keeps a ticket, so that it never meets the hub's own ids or those of rooms.
const TICKET_WRITE: u64 = 1 << 62;

/// What a failed login hears, whatever was wrong.
const REFUSED: &str = "wrong ID or password";

/// What a refused ticket hears, whatever was wrong.
const BAD_TICKET: &str = "this ticket is not good any more: log in with the password";

/// The logins under way; the hub bounds their number.
pub(super) struct Logins {
    setup: ServerSetup,
    /// How long a ticket is good; `None` gives none.
    ticket_lifetime: Option<Duration>,
    /// By the id of the look-up.
    started: HashMap<u64, Started>,
    challenged: HashMap<ConnId, Challenged>,
    /// Waits for its ticket to be stored, by the id of that write: a ticket that was given works.
    proved: HashMap<u64, Proved>,
    /// What each connection was let in by, until it is asked for.
    entered: HashMap<ConnId, LetIn>,
    /// Read for unknown accounts, so that they cost what known ones do.
    decoy: Vec<u8>,
    last: u64,
    refused: u64,
    abandoned: u64,
}

/// A login as its first message says.
pub(super) struct Begun {
    pub(super) conn: ConnId,
    pub(super) user: Name,
    pub(super) device: DeviceId,
    pub(super) mechanism: Note,
    pub(super) data: Bytes,
}

/// What is looked up.
enum Started {
    /// The account's record.
    Password(Begun),
    /// Whether the ticket is good.
    Ticket { conn: ConnId, user: Name, hash: TicketHash },
    /// Whether the account is still what the password was proved to, where no ticket's write says so.
    Again(Proved),
}

/// What a connection was let in by.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct LetIn {
    /// The generation of the account.
    pub(super) generation: u64,
    /// The ticket that was shown or given.
    pub(super) ticket: Option<TicketHash>,
}

struct Challenged {
    user: Name,
    device: DeviceId,
    login: ServerLogin,
    /// The record of an account that may log in. Known here, told to nobody before the end.
    record: Option<Vec<u8>>,
    is_admin: bool,
    generation: u64,
}

struct Proved {
    conn: ConnId,
    user: Name,
    is_admin: bool,
    generation: u64,
    /// The account's record that the login was checked with; nobody needs it where a ticket was shown.
    record: Vec<u8>,
    ticket: Bytes,
}

impl Logins {
    pub(super) fn new(setup: ServerSetup, ticket_lifetime: Option<Duration>) -> Self {
        Self {
            ticket_lifetime,
            started: HashMap::new(),
            challenged: HashMap::new(),
            proved: HashMap::new(),
            entered: HashMap::new(),
            decoy: decoy(&setup),
            setup,
            last: 0,
            refused: 0,
            abandoned: 0,
        }
    }

    /// Looks the account, or the ticket, up.
    pub(super) fn start(&mut self, hub: &mut Hub, store: &Store, attempts: &mut Attempts, begun: Begun) {
        if begun.mechanism.as_str() != ticket::MECHANISM
            && let Some(addr) = hub.addr(begun.conn)
            && let Err(hasty) = attempts.begin(begun.conn, addr, &begun.user, Instant::now())
        {
            self.refused += 1;
            let (code, wait, note) = hasty.refusal();
            hub.login_refuse_for(begun.conn, code, wait, &note);
            return;
        }
        self.last += 1;
        let id = self.last | LOGIN_READ;
        let conn = begun.conn;
        let (read, started) = if begun.mechanism.as_str() == ticket::MECHANISM {
            let Begun { user, device, data, .. } = begun;
            if data.len() != ticket::LEN {
                self.refused += 1;
                return refuse_ticket(hub, conn, &user);
            }
            let hash = TicketHash::of(&data);
            let read = Read::Ticket { id, hash, user: user.as_str().into(), device: device.0 };
            (read, Started::Ticket { conn, user, hash })
        } else {
            (Read::Account { id, name: begun.user.as_str().into() }, Started::Password(begun))
        };
        if store.reader.try_send(read).is_err() {
            self.refused += 1;
            hub.login_refuse(conn, ErrorCode::Busy, "too many logins at once, try again");
            return;
        }
        self.started.insert(id, started);
    }

    /// The look-up that a reply answers, if it is one of a login.
    pub(super) fn lookup_of(reply: &Reply) -> Option<u64> {
        match reply {
            Reply::Account { id, .. } | Reply::Ticket { id, .. } | Reply::Failed { id, .. } => {
                (id & LOGIN_READ != 0).then_some(*id)
            }
            Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Audit { .. }
            | Reply::Invite { .. }
            | Reply::Removed { .. }
            | Reply::Looked { .. } => None,
        }
    }

    /// Answers the client's first message.
    pub(super) fn on_reply(
        &mut self,
        hub: &mut Hub,
        attempts: &mut Attempts,
        lookup: u64,
        reply: Reply,
        links: &Links,
    ) {
        match self.started.remove(&lookup) {
            Some(Started::Password(begun)) => {
                let conn = begun.conn;
                if self.on_account(hub, begun, reply, links) {
                    attempts.challenged(conn);
                }
            }
            Some(Started::Ticket { conn, user, hash }) => {
                self.refused += u64::from(!matches!(reply, Reply::Ticket { is_good: true, .. }));
                self.on_ticket(hub, conn, user, hash, &reply);
            }
            Some(Started::Again(proved)) => self.on_account_again(hub, proved, reply),
            None => {}
        }
    }

    /// Sends the challenge; `false` if it could not. An unknown account is answered like a known one.
    fn on_account(&mut self, hub: &mut Hub, begun: Begun, reply: Reply, links: &Links) -> bool {
        let Begun { conn, user, device, data: request, .. } = begun;
        let Reply::Account { account, .. } = reply else {
            tracing::error!(user = user.as_str(), "the account could not be read");
            self.refused += 1;
            hub.login_refuse(conn, ErrorCode::Internal, "the account could not be read");
            return false;
        };
        let may_enter = account.as_ref().filter(|account| !account.disabled);
        let is_admin = may_enter.is_some_and(|account| account.admin);
        let bought_with = may_enter.map(|account| account.record.clone());
        let generation = account.as_ref().map_or(0, |account| account.generation);
        let kept = account.as_ref().map_or(&self.decoy, |account| &account.record);
        let record = match Record::from_bytes(kept) {
            Ok(record) => Some(record).filter(|_| account.is_some()),
            Err(error) => {
                if account.is_some() {
                    tracing::error!(user = user.as_str(), %error, "the account's login record is damaged");
                }
                None
            }
        };
        let binding = links.channel_binding(conn);
        let started =
            ServerLogin::start(&self.setup, record.as_ref(), user.as_str(), &request, binding, &mut OsRng);
        match started {
            Ok((login, response)) => {
                let is_sent = hub.login_challenge(conn, &response);
                if is_sent {
                    self.challenged.insert(
                        conn,
                        Challenged { user, device, login, record: bought_with, is_admin, generation },
                    );
                }
                is_sent
            }
            Err(error) => {
                self.refused += 1;
                hub.login_refuse(conn, ErrorCode::Malformed, &error.to_string());
                false
            }
        }
    }

    /// Checks the client's proof.
    pub(super) fn respond(
        &mut self,
        hub: &mut Hub,
        store: &Store,
        attempts: &mut Attempts,
        conn: ConnId,
        finalization: &[u8],
    ) {
        let Some(challenged) = self.challenged.remove(&conn) else { return };
        let Challenged { user, device, login, record, is_admin, generation } = challenged;
        // Compared also where nobody can be right, so that it takes the same time.
        let is_right = login.finish(finalization).is_ok();
        match record.filter(|_| is_right) {
            Some(record) => {
                attempts.right(conn);
                let proved = Proved { conn, user, is_admin, generation, record, ticket: Bytes::new() };
                self.give_ticket(hub, store, proved, device);
            }
            None => {
                attempts.end(conn, Instant::now());
                tracing::warn!(user = user.as_str(), %conn, "login refused: {REFUSED}");
                self.refused += 1;
                hub.login_refuse(conn, ErrorCode::LoginRefused, REFUSED);
            }
        }
    }

    /// Lets somebody in who has proved the password, as soon as the ticket is stored; without one if there cannot be one.
    fn give_ticket(&mut self, hub: &mut Hub, store: &Store, mut proved: Proved, device: DeviceId) {
        let lifetime =
            self.ticket_lifetime.filter(|_| hub.capabilities(proved.conn).has(Capability::Tickets));
        let Some(lifetime) = lifetime else { return self.look_again(hub, store, proved) };
        let mut ticket = [0; ticket::LEN];
        super::fill_random(&mut ticket);
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let new = NewTicket {
            hash: TicketHash::of(&ticket),
            device: device.0,
            expires_ms: unix_ms().saturating_add(lifetime_ms),
        };
        self.last += 1;
        let id = self.last | TICKET_WRITE;
        let (user, record) = (proved.user.as_str().into(), proved.record.clone());
        let write = Write::KeepTicket { id, user, record, ticket: new };
        match store.writer.try_send(write) {
            Ok(()) => {
                proved.ticket = Bytes::copy_from_slice(&ticket);
                self.proved.insert(id, proved);
            }
            // The disk has more to do than it can: a ticket is not worth waiting for.
            Err(_) => self.look_again(hub, store, proved),
        }
    }

    /// Lets somebody in without a ticket, if the account has not changed since their login began.
    fn look_again(&mut self, hub: &mut Hub, store: &Store, proved: Proved) {
        self.last += 1;
        let id = self.last | LOGIN_READ;
        let read = Read::Account { id, name: proved.user.as_str().into() };
        if store.reader.try_send(read).is_err() {
            self.refused += 1;
            hub.login_refuse(proved.conn, ErrorCode::Busy, "too many logins at once, try again");
            return;
        }
        self.started.insert(id, Started::Again(proved));
    }

    fn on_account_again(&mut self, hub: &mut Hub, proved: Proved, reply: Reply) {
        match reply {
            Reply::Account { account: Some(account), .. }
                if !account.disabled && account.record == proved.record =>
            {
                self.accept(hub, proved, None, None);
            }
            Reply::Account { .. } => self.refuse_changed(hub, &proved),
            Reply::Failed { .. }
            | Reply::Invite { .. }
            | Reply::Ticket { .. }
            | Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Audit { .. }
            | Reply::Removed { .. }
            | Reply::Looked { .. } => {
                tracing::error!(user = proved.user.as_str(), "the account could not be read");
                self.refused += 1;
                hub.login_refuse(proved.conn, ErrorCode::Internal, "the account could not be read");
            }
        }
    }

    fn refuse_changed(&mut self, hub: &mut Hub, proved: &Proved) {
        let Proved { conn, user, .. } = proved;
        tracing::warn!(user = user.as_str(), %conn, "login refused: the account has just changed");
        self.refused += 1;
        hub.login_refuse(*conn, ErrorCode::LoginRefused, REFUSED);
    }

    /// Takes an outcome if it is one of a ticket, and lets its owner in; gives any other back.
    pub(super) fn on_outcome(&mut self, hub: &mut Hub, store: &Store, outcome: Outcome) -> Option<Outcome> {
        let id = outcome.id();
        let is_ours = matches!(outcome, Outcome::TicketKept { .. } | Outcome::Failed { .. });
        if !is_ours || id & TICKET_WRITE == 0 || id & ROOM_WRITE != 0 {
            return Some(outcome);
        }
        // Gone meanwhile: nobody is there to be let in.
        if let Some(proved) = self.proved.remove(&id) {
            self.let_in(hub, store, proved, outcome);
        }
        None
    }

    fn let_in(&mut self, hub: &mut Hub, store: &Store, proved: Proved, outcome: Outcome) {
        match outcome {
            Outcome::TicketKept { kept: true, .. } => {
                let given = TicketHash::of(&proved.ticket);
                self.accept(hub, proved, self.ticket_lifetime, Some(given));
            }
            Outcome::TicketKept { kept: false, .. } => self.refuse_changed(hub, &proved),
            Outcome::Failed { error, .. } => {
                tracing::error!(%error, "a ticket could not be stored");
                self.look_again(hub, store, proved);
            }
            Outcome::Committed { .. }
            | Outcome::Duplicate { .. }
            | Outcome::Forgotten { .. }
            | Outcome::Absent { .. }
            | Outcome::Numbered { .. }
            | Outcome::RoomCreated { .. }
            | Outcome::Moderated { .. } => {}
        }
    }

    /// How many logins were refused, and how many given up by the client after the server's answer.
    pub(super) fn failed(&self) -> (u64, u64) {
        (self.refused, self.abandoned)
    }

    /// The connection has ended.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if let Some(challenged) = self.challenged.remove(&conn) {
            self.abandoned += 1;
            console::login_abandoned(&challenged.user);
        }
        self.started.retain(|_, started| match started {
            Started::Password(begun) => begun.conn != conn,
            Started::Ticket { conn: shown_on, .. } => *shown_on != conn,
            Started::Again(proved) => proved.conn != conn,
        });
        self.proved.retain(|_, proved| proved.conn != conn);
        self.entered.remove(&conn);
    }

    /// What a connection was just let in by.
    pub(super) fn let_in_by(&mut self, conn: ConnId) -> LetIn {
        self.entered.remove(&conn).unwrap_or_default()
    }

    fn on_ticket(&mut self, hub: &mut Hub, conn: ConnId, user: Name, hash: TicketHash, reply: &Reply) {
        match reply {
            Reply::Ticket { is_good: true, is_admin, generation, .. } => {
                let (is_admin, generation) = (*is_admin, *generation);
                let (record, ticket) = (Vec::new(), Bytes::new());
                let proved = Proved { conn, user, is_admin, generation, record, ticket };
                self.accept(hub, proved, None, Some(hash));
            }
            Reply::Ticket { is_good: false, .. } => refuse_ticket(hub, conn, &user),
            Reply::Account { .. }
            | Reply::Invite { .. }
            | Reply::Page { .. }
            | Reply::Found { .. }
            | Reply::Audit { .. }
            | Reply::Removed { .. }
            | Reply::Looked { .. }
            | Reply::Failed { .. } => {
                tracing::error!(user = user.as_str(), "the ticket could not be read");
                hub.login_refuse(conn, ErrorCode::Internal, "the ticket could not be read");
            }
        }
    }

    /// Lets somebody in, with their ticket if it is good for a time.
    fn accept(
        &mut self,
        hub: &mut Hub,
        proved: Proved,
        lifetime: Option<Duration>,
        hash: Option<TicketHash>,
    ) {
        let Proved { conn, user, is_admin, generation, ticket, record: _ } = proved;
        let (ticket, ticket_lifetime) = lifetime.map(|lifetime| (ticket, lifetime)).unwrap_or_default();
        self.entered.insert(conn, LetIn { generation, ticket: hash });
        hub.login_accept(conn, &Accept { user, is_admin, ticket, ticket_lifetime, data: Bytes::new() });
    }
}

/// A record of nobody, to be read like any other.
fn decoy(setup: &ServerSetup) -> Vec<u8> {
    let password = Password::new("nobody's");
    let record = password.ok().and_then(|password| {
        register(setup, "nobody", password, Stretch::LIGHT, &mut OsRng).map(|record| record.to_bytes()).ok()
    });
    record.unwrap_or_default()
}

/// One answer for all that can be wrong with a ticket.
fn refuse_ticket(hub: &mut Hub, conn: ConnId, user: &Name) {
    tracing::info!(user = user.as_str(), %conn, "a ticket was refused");
    hub.login_refuse(conn, ErrorCode::BadTicket, BAD_TICKET);
}
