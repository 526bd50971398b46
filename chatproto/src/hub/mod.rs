//! The server's side: who is here, rooms, routing, logins, introductions.
//!
//! A [`Hub`] is a [`Router`] (rooms, people, order) and a [`Conn`](crate::conn::Conn) for every connection, run by one
//! thread. It does no I/O: the program brings bytes in, takes bytes out, stores messages and answers logins.
//!
//! ```
//! use chatproto::Instant;
//! use chatproto::hub::{Accept, Config, Event, Hub, Stored};
//! use chatproto::wire::{Body, Capabilities, ClientHello, DeviceId, MAGIC, MAX_FRAME, Name, Note, NoteRef, ServerId};
//!
//! let note = |text| Note::new(text).unwrap();
//! let config = Config::new(ServerId([7; 16]), note("demo"), note("none"), Name::new("lobby").unwrap());
//! let mut hub = Hub::new(config, [], |bytes: &mut [u8]| bytes.fill(4));
//!
//! let now = Instant::default();
//! let conn = hub.accept("127.0.0.1:4000".parse().unwrap(), now);
//! let hello = ClientHello {
//!     magic: MAGIC,
//!     version_min: 1,
//!     version_max: 1,
//!     capabilities: Capabilities::NONE,
//!     max_frame: MAX_FRAME,
//!     agent: NoteRef::EMPTY,
//! };
//! hub.handle_input(conn, &hello.to_bytes(), now);
//! assert_eq!(hub.poll_writable(), Some(conn)); // the server's hello waits to be sent
//! ```
//!
//! # What the program does
//!
//! - At the start: [`new`](Hub::new) with the rooms of the log and, in [`Config::last_room`], the last number that any room ever
//!   had; [`set_gate`](Hub::set_gate) with who is barred from the whole server.
//! - [`Event::Log`] asks something of the log, and every [`LogRequest`] but [`LogRequest::Retired`] must be answered, each by the
//!   verb that it names; a question that cannot be queued now, by [`put_off_query`](Hub::put_off_query).
//! - For every connection: [`accept`](Hub::accept), [`handle_input`](Hub::handle_input) with what arrives while
//!   [`wants_read`](Hub::wants_read), [`handle_eof`](Hub::handle_eof) when it is gone.
//! - Once per turn: [`poll_event`](Hub::poll_event) until `None`, answering; then [`poll_writable`](Hub::poll_writable)
//!   until `None`, sending [`outgoing`](Hub::outgoing) as far as the socket takes it, and closing the socket of a
//!   connection that [`is_finished`](Hub::is_finished). Sending makes room, and room may bring the next event: go to
//!   sleep when both gave `None` one after the other.
//! - At [`poll_timeout`](Hub::poll_timeout): [`handle_timeout`](Hub::handle_timeout).
//!
//! The calls may come in any order and as often as the program likes.

mod account;
mod budgets;
mod catch_up;
mod client;
mod config;
mod entropy;
mod event;
mod gate;
mod govern;
mod house;
mod introduce;
mod listing;
mod log;
mod login;
mod memory;
mod moderate;
mod operate;
mod orders;
mod pages;
mod query;
mod rooms;
mod router;
mod says;
mod searches;
mod state;
mod strangers;
mod ways;

use core::net::SocketAddr;

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

pub use budgets::{Budgets, Rate};
pub use config::{Config, Label, RoomRecord};
pub use entropy::Entropy;
pub use event::{Accept, ConnId, Ended, Event};
pub use gate::{Gate, GateAction, Lockdown};
pub use house::{House, Imposed, Left, Role, Ruling, Until};
pub use log::{AppendId, AuditLine, Holder, LogRequest, OrderId, Ordered, QueryId, Record, Stored};
pub use moderate::RoomOrder;
pub use router::{Batch, CatchUp, Router, Standing};
pub use state::State;

use budgets::Tallies;
use client::Client;
use introduce::Introductions;
use listing::Listing;
use memory::MAX_STRANGER_QUEUE;
use orders::Orders;
use pages::Pages;
use query::Query;
use says::Says;
use searches::Searches;
use strangers::{Step, Strangers};
use ways::Meetings;

use crate::Instant;
use crate::conn::{Due, FrameReader, Limits, SendQueue, Stage};
use crate::wire::{
    Body, Capabilities, CloseReason, ErrorCode, FrameError, FrameType, Name, Note, NoteRef, Ping, Pong,
    Subject, ToServer,
};

/// The server's machine: every connection, every room.
pub struct Hub {
    config: Config,
    router: Router,
    clients: BTreeMap<ConnId, Box<Client>>,
    /// Connections of each account that is logged in.
    people: BTreeMap<Name, BTreeSet<ConnId>>,
    gate: Gate,
    says: Says,
    searches: Searches,
    orders: Orders,
    tallies: Tallies,
    introductions: Introductions,
    meetings: Meetings,
    queries: BTreeMap<QueryId, Query>,
    next_conn: u64,
    next_query: u64,
    strangers: Strangers,
    events: VecDeque<Event>,
    writable: VecDeque<ConnId>,
    /// Those that got nothing but missed messages: the others go first.
    writable_late: VecDeque<ConnId>,
    /// Connections that are behind and whose queue the driver looked at.
    touched: VecDeque<ConnId>,
    pages: Pages,
    /// When to look at a connection's deadlines; never later than they are.
    deadlines: BTreeSet<(Instant, ConnId)>,
    targets: Vec<ConnId>,
    /// The certificate that the server will show next.
    server_key: Option<[u8; 32]>,
    deliveries: u64,
    entropy: Box<dyn Entropy + Send>,
    now: Instant,
}

impl core::fmt::Debug for Hub {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Hub")
            .field("clients", &self.clients.len())
            .field("people", &self.people.len())
            .field("events", &self.events.len())
            .finish_non_exhaustive()
    }
}

impl Hub {
    /// A hub over the rooms of the log. The default room is made if the log does not have it. Limits that the protocol does not
    /// allow are [brought within its bounds](Config).
    #[must_use]
    pub fn new(
        config: Config,
        rooms: impl IntoIterator<Item = RoomRecord>,
        entropy: impl Entropy + Send + 'static,
    ) -> Self {
        let config = config.within_bounds();
        let mut router = Router::new(rooms, config.recent_bytes, config.page_bytes);
        router.skip_to(config.last_room);
        let pages = Pages::new(config.catch_up_bytes);
        let mut hub = Self {
            config,
            router,
            clients: BTreeMap::new(),
            people: BTreeMap::new(),
            gate: Gate::default(),
            says: Says::default(),
            searches: Searches::default(),
            orders: Orders::default(),
            tallies: Tallies::default(),
            introductions: Introductions::default(),
            meetings: Meetings::default(),
            queries: BTreeMap::new(),
            next_conn: 1,
            next_query: 1,
            strangers: Strangers::default(),
            events: VecDeque::new(),
            writable: VecDeque::new(),
            writable_late: VecDeque::new(),
            touched: VecDeque::new(),
            pages,
            deadlines: BTreeSet::new(),
            targets: Vec::new(),
            server_key: None,
            deliveries: 0,
            entropy: Box::new(entropy),
            now: Instant::default(),
        };
        let lobby = Label::Group(hub.config.default_room.clone());
        if hub.router.find(&lobby).is_none() {
            hub.create_room(lobby, House::default());
        }
        hub
    }

    /// Takes a new connection from `addr`, as observed. When too many strangers wait, in all or from its address, it is told to
    /// come back later; in all, one that has not got on for [`Config::stranger_grace`] goes before that.
    pub fn accept(&mut self, addr: SocketAddr, now: Instant) -> ConnId {
        self.now = now;
        let id = ConnId(self.next_conn);
        self.next_conn += 1;
        let client = Client::new(addr, &self.config.limits, now);
        self.deadlines.insert((client.due, id));
        self.clients.insert(id, Box::new(client));
        if let Some(idle) = self.strangers.gives_way(addr.ip(), &self.config, now) {
            self.close_for(idle, CloseReason::Busy, BUSY_RETRY_MS, "others want to log in");
        }
        if let Err(note) = self.strangers.enter(id, addr.ip(), &self.config, now) {
            self.close_for(id, CloseReason::Busy, BUSY_RETRY_MS, note);
        }
        self.turn_away_if_barred(id, addr.ip());
        id
    }

    /// Takes a new connection that came in plaintext where logins need TLS: it may show an address or be one end of a
    /// relay, which needs no secrecy, and nothing else.
    pub fn accept_side(&mut self, addr: SocketAddr, now: Instant) -> ConnId {
        let id = self.accept(addr, now);
        if let Some(client) = self.clients.get_mut(&id) {
            client.state = State::Side;
        }
        id
    }

    /// Takes what arrived on a connection. Bytes of a connection that is ending are dropped.
    pub fn handle_input(&mut self, id: ConnId, bytes: &[u8], now: Instant) {
        self.now = now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.conn.closing().is_some() {
            return;
        }
        client.conn.deadlines.heard(now);
        // After a ping the next look was to be for the end of a long silence.
        let is_late = client.conn.deadlines.next(&self.config.limits) < client.due;
        if is_late {
            self.schedule(id);
        }
        let Some(client) = self.clients.get_mut(&id) else { return };
        // The reader is taken out, so that a frame can borrow from it while the hub works on the frame.
        let placeholder = FrameReader::new(0);
        let mut reader = core::mem::replace(&mut client.conn.reader, placeholder);
        let error = self.read_frames(id, &mut reader, bytes).err();
        if let Some(client) = self.clients.get_mut(&id) {
            client.conn.reader = reader;
        }
        if let Some(error) = error {
            self.violation(id, &error);
        }
        self.flush_if_full();
    }

    fn read_frames(&mut self, id: ConnId, reader: &mut FrameReader, bytes: &[u8]) -> Result<(), FrameError> {
        let mut at = 0;
        loop {
            let step = reader.step(bytes.get(at..).unwrap_or_default())?;
            at += step.used;
            let Some(raw) = step.frame else { return Ok(()) };
            let Some(client) = self.clients.get_mut(&id) else { return Ok(()) };
            if client.conn.closing().is_some() {
                return Ok(());
            }
            if !client.conn.budget.spend(self.now) {
                self.refuse_and_close(id, ErrorCode::Flood, raw.number, "more frames than a client may send");
                return Ok(());
            }
            let state = client.state;
            if let Some(frame) = ToServer::decode(raw)? {
                if !state.allows(&frame) {
                    self.wrong_state(id, &frame, state);
                    return Ok(());
                }
                self.handle_frame(id, frame);
            }
        }
    }

    fn handle_frame(&mut self, id: ConnId, frame: ToServer<'_>) {
        if self.is_too_fast(id, &frame) {
            return;
        }
        match frame {
            ToServer::Ping(Ping { nonce }) => self.send(id, &Pong { nonce }),
            // Having been heard is all that a pong is for; a client's error is its own business.
            ToServer::Pong(_) | ToServer::Error(_) => {}
            ToServer::Bye(bye) => self.on_bye(id, bye.reason),
            ToServer::ClientHello(hello) => self.on_hello(id, &hello),
            ToServer::LoginStart(start) => self.on_login_start(id, &start),
            ToServer::LoginResponse(response) => self.on_login_response(id, &response),
            ToServer::RegisterStart(start) => self.on_register_start(id, &start),
            ToServer::RegisterFinish(finish) => self.on_register_finish(id, &finish),
            ToServer::PasswordStart(start) => self.on_password_start(id, &start),
            ToServer::PasswordFinish(finish) => self.on_password_finish(id, &finish),
            ToServer::Devices(devices) => self.on_devices(id, &devices),
            ToServer::Say(say) => self.on_say(id, &say),
            ToServer::Join(join) => self.on_join(id, &join),
            ToServer::Leave(leave) => self.on_leave(id, leave.room),
            ToServer::Rooms(rooms) => {
                self.begin_list(id, Listing::Rooms { request: rooms.request, after: None });
            }
            ToServer::Who(who) => self.on_who(id, &who),
            ToServer::History(history) => self.on_history(id, &history),
            ToServer::Search(search) => self.on_search(id, &search),
            ToServer::Create(create) => self.on_create(id, &create),
            ToServer::Moderate(moderate) => self.on_moderate(id, &moderate),
            ToServer::Govern(govern) => self.on_govern(id, &govern),
            ToServer::Inquire(inquire) => self.on_inquire(id, &inquire),
            ToServer::Announce(announce) => self.on_announce(id, &announce),
            ToServer::PeerRequest(request) => self.on_peer_request(id, &request),
            ToServer::PeerAnswer(answer) => self.on_peer_answer(id, answer),
            ToServer::PeerWithdraw(withdraw) => self.on_peer_withdraw(id, withdraw.request),
            ToServer::PeerTry(ask) => self.on_peer_try(id, ask),
            ToServer::PeerOutcome(outcome) => self.on_peer_outcome(id, outcome),
            ToServer::PeerFailed(failed) => self.on_peer_failed(id, failed),
            ToServer::Probe(probe) => self.on_probe(id, &probe),
            ToServer::Relay(relay) => self.on_relay(id, &relay),
            ToServer::Reach(reach) => self.on_reach(id, &reach),
        }
    }

    /// The connection is gone. Whatever was still queued for it is dropped, and the id with it.
    pub fn handle_eof(&mut self, id: ConnId, now: Instant) {
        self.now = now;
        let Some(client) = self.clients.get(&id) else { return };
        let partial = client.conn.reader.buffered();
        self.end(id, Ended::Lost { partial });
        if let Some(client) = self.clients.remove(&id) {
            self.deadlines.remove(&(client.due, id));
        }
    }

    /// Does what is due: deadlines of connections and of offers, and the next of those who wait for their turn to catch up.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        self.serve_line();
        self.expire_offers();
        self.expire_meetings();
        while let Some(&(due, id)) = self.deadlines.first() {
            if due > now {
                break;
            }
            self.deadlines.pop_first();
            self.check_deadline(id);
        }
    }

    fn check_deadline(&mut self, id: ConnId) {
        let now = self.now;
        let Some(client) = self.clients.get_mut(&id) else { return };
        let due = client.conn.deadlines.check(&self.config.limits, now);
        match due {
            None => {}
            Some(Due::Ping) => self.send(id, &Ping { nonce: now.as_millis() }),
            Some(Due::Handshake) => self.close(id, CloseReason::HandshakeTimeout, "no hello in time"),
            Some(Due::Login) => {
                self.close(id, CloseReason::LoginTimeout, "the login was not finished in time")
            }
            Some(Due::Idle) => self.close(id, CloseReason::Idle, "nothing was heard for too long"),
            Some(Due::Close) => {
                // It does not even take the bye: let go of what waits, so that it counts as finished.
                client.conn.queue.clear();
                self.mark_writable(id);
                return;
            }
        }
        self.schedule(id);
    }

    /// Notes when the deadlines of a connection are to be looked at next: one entry for each connection.
    fn schedule(&mut self, id: ConnId) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        let due = client.conn.deadlines.next(&self.config.limits);
        let before = core::mem::replace(&mut client.due, due);
        self.deadlines.remove(&(before, id));
        self.deadlines.insert((due, id));
    }

    /// The next thing that happened or is asked of the program.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.settle();
        self.events.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let conn = self.deadlines.first().map(|(due, _)| *due);
        let offer = self.introductions.next_expiry();
        conn.into_iter().chain(offer).chain(self.meetings.next_expiry()).chain(self.pages.next_turn()).min()
    }

    /// A connection that has something new to send, or is [finished](Self::is_finished). Each is named once until more
    /// is queued for it; the driver remembers those whose socket is full.
    pub fn poll_writable(&mut self) -> Option<ConnId> {
        self.settle();
        let id = self.writable.pop_front().or_else(|| self.writable_late.pop_front())?;
        if let Some(client) = self.clients.get_mut(&id) {
            client.is_writable = false;
        }
        Some(id)
    }

    /// What waits to be sent on a connection, as a [`bytes::Buf`].
    pub fn outgoing(&mut self, id: ConnId) -> Option<&mut SendQueue> {
        self.settle();
        let client = self.clients.get_mut(&id)?;
        if client.is_owed() && !core::mem::replace(&mut client.is_touched, true) {
            self.touched.push_back(id);
        }
        Some(&mut client.conn.queue)
    }

    /// Whether the driver should read from the connection. While it is `false`, what the other side sends waits in the
    /// socket; ask again after events were answered and bytes were sent.
    #[must_use]
    pub fn wants_read(&self, id: ConnId) -> bool {
        self.clients.get(&id).is_some_and(|client| {
            client.conn.closing().is_none()
                && client.conn.queue.len() < self.queue_bounds(client).0
                && client.appends < self.config.max_appends
                && client.append_bytes < self.config.max_append_bytes
                && client.requests < self.config.max_requests
                && client.listings.len() < usize::try_from(self.config.max_requests).unwrap_or(usize::MAX)
        })
    }

    /// Whether the last byte for this connection was taken: the driver closes the socket and calls
    /// [`handle_eof`](Self::handle_eof). Also `true` for a connection that the hub does not know (any more).
    #[must_use]
    pub fn is_finished(&self, id: ConnId) -> bool {
        self.clients.get(&id).is_none_or(|client| client.conn.is_finished())
    }

    /// Says bye to everybody. New connections are refused by not accepting them.
    pub fn shut_down(&mut self, now: Instant) {
        self.now = now;
        let everybody: Vec<ConnId> = self.clients.keys().copied().collect();
        for id in everybody {
            self.close(id, CloseReason::ShuttingDown, "the server is shutting down");
        }
    }

    /// Ends every connection of an account, because it was removed, and forgets all about it: whoever gets its name next
    /// is somebody else. Its conversations are over, and an [`LogRequest::Retired`] asks to store that of each: whom it was
    /// talked to keeps what was said.
    pub fn remove_user(&mut self, user: &Name, now: Instant) {
        self.disconnect_user(user, now);
        self.router.forget(user);
        self.forget_orders_about(user);
        self.retire_conversations(user);
        self.gate.unbar(&Subject::User(user.clone()));
    }

    /// Ends every connection of an account that may not log in any more. What is noted about it stays.
    pub fn disconnect_user(&mut self, user: &Name, now: Instant) {
        self.now = now;
        for id in self.conns_of(user) {
            self.close(id, CloseReason::Removed, "the account was removed");
        }
    }

    /// How many connections there are, and how many of them are logged in.
    #[must_use]
    pub fn connections(&self) -> (usize, usize) {
        (self.clients.len(), self.people.values().map(BTreeSet::len).sum())
    }

    /// What was agreed on with a client; nothing before its hello.
    #[must_use]
    pub fn capabilities(&self, id: ConnId) -> Capabilities {
        self.clients.get(&id).map_or(Capabilities::NONE, |client| client.capabilities)
    }

    /// The rooms and who is in them.
    #[must_use]
    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Brings everything that follows from what happened to where it belongs: batches to members, pages to those behind.
    fn settle(&mut self) {
        self.flush_rooms();
        self.catch_up_touched();
    }

    /// Keeps a batch from growing past its bound within one turn.
    fn flush_if_full(&mut self) {
        if self.router.is_full() {
            self.flush_rooms();
        }
    }

    fn flush_rooms(&mut self) {
        let mut targets = core::mem::take(&mut self.targets);
        while let Some(batch) = self.router.poll_batch(&mut targets) {
            for &id in &targets {
                let Some(client) = self.clients.get_mut(&id) else { continue };
                if client.conn.queue.len() >= self.config.limits.max_queue {
                    self.router.fall_behind(batch.room, id, batch.before);
                    client.wait_in(batch.room);
                    client.missed_presence.insert(batch.room);
                } else {
                    client.conn.send_shared(batch.frames.clone());
                    self.deliveries += batch.messages;
                    // In place: a second look for each member would cost as much as the first.
                    if !core::mem::replace(&mut client.is_writable, true) {
                        self.writable.push_back(id);
                    }
                }
            }
        }
        self.targets = targets;
    }

    fn send<'a>(&mut self, id: ConnId, frame: &impl Body<'a>) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.conn.send(frame);
        let waiting = client.conn.queue.len();
        let is_too_slow = self.clients.get(&id).is_some_and(|client| waiting > self.queue_bounds(client).1);
        self.mark_writable(id);
        if is_too_slow {
            self.close(id, CloseReason::TooSlow, "answers are not read");
        }
    }

    /// Bytes that may wait before a connection is not read, and at all. Who is not logged in is owed little.
    fn queue_bounds(&self, client: &Client) -> (usize, usize) {
        let Limits { max_queue, max_queue_hard, .. } = self.config.limits;
        if client.user.is_some() && client.state == State::Open {
            (max_queue, max_queue_hard)
        } else {
            (max_queue.min(MAX_STRANGER_QUEUE), max_queue_hard.min(2 * MAX_STRANGER_QUEUE))
        }
    }

    fn send_error(&mut self, id: ConnId, code: ErrorCode, about: &impl Frame, request: u64, note: &str) {
        self.send_error_until(id, code, about, request, 0, note);
    }

    /// Refuses something that may be tried again after `retry_after` milliseconds.
    fn send_error_until(
        &mut self,
        id: ConnId,
        code: ErrorCode,
        about: &impl Frame,
        request: u64,
        retry_after: u32,
        note: &str,
    ) {
        let note = NoteRef::truncated(note);
        let error = crate::wire::Error { code, about: about.number(), request, retry_after, note };
        self.send(id, &error);
    }

    fn mark_writable(&mut self, id: ConnId) {
        if let Some(client) = self.clients.get_mut(&id)
            && !client.is_writable
        {
            client.is_writable = true;
            self.writable.push_back(id);
        }
    }

    fn close(&mut self, id: ConnId, reason: CloseReason, note: &str) {
        self.close_for(id, reason, 0, note);
    }

    fn close_for(&mut self, id: ConnId, reason: CloseReason, retry_after: u32, note: &str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.conn.closing().is_some() {
            return;
        }
        client.conn.close_for(reason, retry_after, note);
        self.closing(id, Ended::Closed(reason, Some(NoteRef::truncated(note).to_owned())));
    }

    /// The last frame is queued: nothing more comes in, and the deadline for what goes out runs.
    fn closing(&mut self, id: ConnId, ended: Ended) {
        let now = self.now;
        if let Some(client) = self.clients.get_mut(&id) {
            client.conn.deadlines.enter(Stage::Closing, now);
        }
        self.schedule(id);
        self.mark_writable(id);
        self.end(id, ended);
    }

    fn violation(&mut self, id: ConnId, error: &FrameError) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if client.conn.closing().is_some() {
            return;
        }
        client.conn.violation(error);
        let note = Note::new(&alloc::format!("{error}")).ok();
        self.closing(id, Ended::Closed(CloseReason::Violation, note));
    }

    fn wrong_state(&mut self, id: ConnId, frame: &ToServer<'_>, state: State) {
        let note = alloc::format!("`{}` is not allowed while {}", frame.frame_type(), state.name());
        self.refuse_and_close(id, ErrorCode::WrongState, frame.frame_type().number(), &note);
    }

    fn refuse_and_close(&mut self, id: ConnId, code: ErrorCode, about: u8, note: &str) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.conn.send_error(code, about, 0, note);
        self.close(id, CloseReason::Violation, note);
    }

    fn on_bye(&mut self, id: ConnId, reason: CloseReason) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.conn.close(CloseReason::Done, "");
        }
        self.closing(id, Ended::Bye(reason));
    }

    /// Takes a connection out of everything that others see, once.
    fn end(&mut self, id: ConnId, ended: Ended) {
        let Some(client) = self.clients.get_mut(&id) else { return };
        if core::mem::replace(&mut client.is_ended, true) {
            return;
        }
        let is_open = client.state == State::Open;
        let is_relaying = client.state == State::Relaying;
        let user = client.user.clone().filter(|_| is_open);
        let device = client.device;
        let addr = client.addr;
        let rooms = core::mem::take(&mut client.rooms);
        client.waiting.clear();
        client.missed_presence.clear();
        client.listings.clear();
        if let Some(user) = &user {
            for room in rooms {
                self.router.leave(room, id, user, device);
            }
            if let Some(conns) = self.people.get_mut(user) {
                conns.remove(&id);
                if conns.is_empty() {
                    self.people.remove(user);
                }
            }
            self.drop_searches_of(id, user);
            self.end_offers_of(id);
            self.end_meetings_of(id);
        } else {
            self.strangers.leave(id);
            if is_relaying {
                self.forget_relay_end(id);
            }
        }
        self.events.push_back(Event::Closed { conn: id, user, addr, reason: ended });
    }

    /// The account and device of a connection that is logged in.
    fn identity(&self, id: ConnId) -> Option<(Name, crate::wire::DeviceId)> {
        let client = self.clients.get(&id).filter(|client| client.is_open())?;
        client.user.clone().map(|user| (user, client.device))
    }
}

/// Advice to a connection that came at a busy moment, in milliseconds.
const BUSY_RETRY_MS: u32 = 2_000;

/// The type byte of a frame that an error is about.
trait Frame {
    fn number(&self) -> u8;
}

impl<'a, B: Body<'a>> Frame for B {
    fn number(&self) -> u8 {
        B::TYPE.number()
    }
}

impl Frame for FrameType {
    fn number(&self) -> u8 {
        FrameType::number(*self)
    }
}
