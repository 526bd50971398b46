//! The server's loop: one thread that moves bytes between sockets and the hub, and questions between the hub and the
//! store. It decides nothing that the hub could decide, and waits for nothing but the poll.

mod accounts;
mod attempts;
mod console;
mod lan;
mod links;
mod logins;
mod metering;
mod orders;
mod reach;
mod relays;
mod reload;
mod removals;
mod ring;
mod seam;

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use bytes::Buf as _;
use chatnet::{Identity, Mailbox, Net, NetEvent, Read, Security, ServerTls, Signal, Write};
use chatproto::hub::{Config, ConnId, Event, Hub};
use chatproto::opaque::MECHANISM;
use chatproto::ticket;
use chatproto::wire::{Capabilities, Capability, Name, Note, OfferId, RoomId, ServerId};

use crate::certificate::Source;
use crate::cli::RunArgs;
use crate::control;
use crate::exit::Failure;
use crate::invites;
use crate::logging::{self, Logs};
use crate::metrics::endpoint::{Endpoint, Question};
use crate::settings::{Registration, Settings};
use crate::store::{
    AccountDesk, Accounts, DataDir, DeskReply, Durability, Job, Outcome, Reply, Store, unix_ms,
};
use crate::users;

use accounts::AccountWork;
use attempts::Attempts;
use lan::Lan;
use links::Links;
use logins::{Begun, LetIn, Logins};
use metering::Meter;
use orders::Orders;
pub(crate) use orders::offline;
use reach::Tests;
pub(crate) use relays::RelayConfig;
use relays::Relays;
use reload::Reload;
use removals::Removals;
use ring::Ring;
use seam::{Answer, Seam};

/// Commits, and replies, that may wait for the loop; the store's threads wait when it is full.
const MAX_WAITING_ANSWERS: usize = 1024;

/// Questions of the metrics endpoint that may wait: it asks one at a time, and gives up on one that takes too long.
const MAX_WAITING_QUESTIONS: usize = 2;

/// Rounds between the hub's events and its sockets in one turn. Sending leads to at most one more question for each
/// connection, whose answer comes in a later turn; a hub that went on for ever would still not hold the loop.
const MAX_ROUNDS: usize = 8;

/// Time that clients have to take their bye when the server shuts down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

/// Runs the server until a signal ends it.
///
/// # Errors
/// Says what could not be opened, bound or started, and why.
pub fn run(args: &RunArgs) -> Result<(), Failure> {
    let settings = Settings::resolve(args)?;
    let logs = logging::start(&settings.log, settings.log_format)?;
    raise_descriptor_limit();
    let mut server = Server::start(args, settings, logs)?;
    let served = server.serve();
    let finished = server.finish();
    served.and(finished)
}

/// Each connection is a descriptor: the soft limit of most systems is far below what the server can carry.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        tracing::warn!(%error, "the limit of open connections stays as it is");
    }
}

struct Server {
    // Before the threads that fill them: who reports to nobody does not wait for it, and can be waited for.
    outcomes: Mailbox<Vec<Outcome>>,
    replies: Mailbox<Answer>,
    done: Mailbox<DeskReply>,
    net: Net,
    hub: Hub,
    // Before the store, which holds the lock.
    desk: AccountDesk,
    store: Store,
    links: Links,
    logins: Logins,
    accounts: AccountWork,
    attempts: Attempts,
    removals: Removals,
    relays: Relays,
    tests: Tests,
    seam: Seam,
    reload: Reload,
    meter: Meter,
    /// Of the metrics endpoint, each with where to send the answer.
    questions: Mailbox<Question>,
    /// Of the operator's commands.
    commands: Mailbox<control::listener::Question>,
    orders: Orders,
    listener: chatnet::ListenerId,
    /// Logins come with TLS; what comes without may be a probe or a relay.
    takes_side_doors: bool,
    data: PathBuf,
    started: Instant,
    /// The hub has more to do, for which no event will come: the next turn must not wait.
    is_unfinished: bool,
    /// When the loop gives up on clients that do not take their bye.
    stop_at: Option<Instant>,
    /// The log and the hub disagree, or a thread died: nothing more can be promised.
    fatal: Option<Failure>,
    /// Tells the local network; takes it back when it is dropped.
    lan: Option<Lan>,
    /// Dropped last: what ends the server is logged too.
    logs: Logs,
}

impl Server {
    fn start(args: &RunArgs, settings: Settings, logs: Logs) -> Result<Self, Failure> {
        let dir = DataDir::open(&settings.data).map_err(Failure::said)?;
        let mut accounts = Accounts::open(&dir).map_err(Failure::said)?;
        let lock = dir.lock().map_err(Failure::said)?;
        let policy = settings.accounts().clone();
        let decoy = users::decoy_stretch(&accounts, policy.stretch())?;
        let setup = users::server_setup(&mut accounts)?.with_decoy_stretch(decoy);
        let server = server_id(&mut accounts)?;

        let mut net =
            Net::new(settings.network()).map_err(|error| Failure::new("cannot start the loop", error))?;
        let (security, fingerprint, next, identity) = if settings.insecure_plaintext {
            let identity =
                Identity::generate(["localhost"]).map_err(|error| Failure::new("certificate", error))?;
            (Security::Plain, None, None, identity)
        } else {
            let source = Source::of(&settings);
            let identity = source.load_or_create()?;
            let tls = ServerTls::new(&identity).map_err(|error| Failure::new("certificate", error))?;
            (Security::TlsOrPlain(tls), Some(identity.fingerprint()), source.next()?, identity)
        };
        let (listener, addr) = net
            .listen(settings.listen, security)
            .map_err(|error| Failure::new(format!("cannot listen on {}", settings.listen), error))?;
        let endpoint = settings.metrics().map(Endpoint::bind).transpose()?;
        net.watch_signals(&[Signal::Interrupt, Signal::Terminate, Signal::Hangup])
            .map_err(|error| Failure::new("cannot watch signals", error))?;

        let (written, outcomes) = Mailbox::new(net.waker(), MAX_WAITING_ANSWERS);
        let (read, replies) = Mailbox::new(net.waker(), MAX_WAITING_ANSWERS);
        let (did, done) = Mailbox::new(net.waker(), MAX_WAITING_ANSWERS);
        // The loop is gone only when the process ends: there is nobody left to tell then.
        let on_write = Box::new(move |outcomes| drop(written.send(outcomes)));
        let on_read = std::sync::Arc::new(move |reply| drop(read.send(Answer::from(reply))));
        let log = settings.store();
        let desk = AccountDesk::start(lock.dir(), log.durability, log.max_queued_reads, move |reply| {
            drop(did.send(reply));
        })
        .map_err(Failure::said)?;
        let store = Store::start(lock, &log, on_write, on_read).map_err(Failure::said)?;
        let ring = (log.durability == Durability::Off).then(|| Ring::new(store.rooms(), &log));
        let rooms = seam::room_records(store.rooms(), unix_ms())?;
        let mut config = hub_config(server, &settings)?;
        config.last_room = RoomId(store.last_room());
        let mut hub = Hub::new(config, rooms, |bytes: &mut [u8]| fill_random(bytes));
        hub.set_gate(seam::gate(store.gate(), unix_ms())?);
        hub.tell_server_key(next.map(|next| *next.as_bytes()));
        next.into_iter().for_each(console::next_certificate);

        let (ask, questions) = Mailbox::new(net.waker(), MAX_WAITING_QUESTIONS);
        let (command, commands) = Mailbox::new(net.waker(), MAX_WAITING_QUESTIONS);
        control::listener::start(&settings.data, command)?;
        announce(addr, fingerprint, endpoint.as_ref().map(Endpoint::addr))?;
        draw_link(&settings, fingerprint)?;
        console::listening(addr, fingerprint, &settings.data);
        let lan = settings.announce_lan.then(|| Lan::announce(addr, server, fingerprint)).transpose()?;
        if let Some(endpoint) = endpoint {
            endpoint.start(ask)?;
        }
        let tickets = settings.tickets();
        let relay = settings.relay();
        let takes_side_doors = fingerprint.is_some();
        let data = settings.data.clone();
        let reload = Reload::new(args, settings, net.waker());
        Ok(Self {
            net,
            hub,
            desk,
            store,
            links: Links::default(),
            logins: Logins::new(setup.clone(), tickets),
            attempts: Attempts::new(&policy, Instant::now()),
            accounts: AccountWork::new(setup, policy),
            removals: Removals::default(),
            relays: Relays::new(relay),
            tests: Tests::new(identity),
            seam: Seam::new(ring),
            reload,
            meter: Meter::default(),
            questions,
            commands,
            orders: Orders::default(),
            outcomes,
            replies,
            done,
            listener,
            takes_side_doors,
            data,
            started: Instant::now(),
            is_unfinished: false,
            stop_at: None,
            fatal: None,
            lan,
            logs,
        })
    }

    fn serve(&mut self) -> Result<(), Failure> {
        let mut events = Vec::new();
        // A new log has its first room made before anybody comes.
        self.run_hub();
        loop {
            let deadline = self.deadline();
            self.net.turn(deadline, &mut events).map_err(|error| Failure::new("the poll loop", error))?;
            for event in events.drain(..) {
                self.on_net(event);
            }
            self.take_answers();
            self.hub.handle_timeout(self.now());
            self.relays.tick(&mut self.net, &mut self.hub);
            self.removals.look(&self.desk);
            self.take_reloaded();
            for question in self.commands.drain() {
                self.orders.take(&mut self.hub, &self.store, question);
            }
            self.run_hub();
            self.meter.turned(self.net.woken_at().elapsed());
            for question in self.questions.drain() {
                // The asker may have given up: it asks again.
                let _ = question.send(self.meter.page(
                    &self.hub,
                    &self.logins,
                    &self.store.writer,
                    &self.relays,
                    &self.net,
                ));
            }
            if let Some(failure) = self.fatal.take() {
                return Err(failure);
            }
            if let Some(stop_at) = self.stop_at
                && (self.links.is_empty() || Instant::now() >= stop_at)
            {
                return Ok(());
            }
        }
    }

    /// Commits what is queued and closes the log, also after what ended the loop before its time.
    fn finish(mut self) -> Result<(), Failure> {
        self.seam.finish(&self.store);
        // What the store still reports after the loop has nobody to go to, and its threads must not wait for us.
        drop(self.outcomes);
        drop(self.replies);
        control::remove(&self.data);
        drop(self.done);
        drop(self.desk);
        // Only now: it may have to wait for the network's answer.
        drop(self.lan);
        self.store.finish().map_err(|error| Failure::new("the message log", error))?;
        console::stopped();
        Ok(())
    }

    fn now(&self) -> chatproto::Instant {
        let elapsed = self.started.elapsed().as_millis();
        chatproto::Instant::from_millis(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    fn deadline(&self) -> Option<Instant> {
        let hub = self.hub.poll_timeout().map(|at| self.started + Duration::from_millis(at.as_millis()));
        let now = self.is_unfinished.then_some(self.started);
        [hub, self.stop_at, self.removals.deadline(), now, self.relays.deadline()].into_iter().flatten().min()
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            // Before the handshake: who is barred costs no more than this.
            NetEvent::Accepted { token, peer, .. } if self.hub.bars_address(peer.ip(), now) => {
                self.net.abort(token);
            }
            NetEvent::Accepted { .. } | NetEvent::Woken => {}
            NetEvent::Connected { token, tls } if self.tests.is_test(token) => {
                self.tests.connected(&mut self.net, &mut self.hub, token, tls.as_deref());
            }
            NetEvent::Connected { token, tls } => match self.net.peer_addr(token) {
                Ok(addr) => {
                    let is_aside = self.takes_side_doors && tls.is_none();
                    let conn =
                        if is_aside { self.hub.accept_side(addr, now) } else { self.hub.accept(addr, now) };
                    self.links.insert(token, conn, tls.map(|tls| tls.channel_binding));
                }
                Err(_) => self.net.abort(token),
            },
            NetEvent::Readable { token } if self.relays.has(token) => {
                self.relays.readable(&mut self.net, token)
            }
            NetEvent::Writable { token } if self.relays.has(token) => {
                self.relays.writable(&mut self.net, token)
            }
            NetEvent::Readable { token } => self.read(token),
            NetEvent::Writable { token } => {
                if let Some(conn) = self.links.conn(token) {
                    self.flush(conn);
                }
            }
            NetEvent::Closed { token, reason } => match self.links.remove(token) {
                Some(conn) => self.hub.handle_eof(conn, now),
                None if self.relays.has(token) => self.relays.closed(&mut self.net, token),
                None if self.tests.is_test(token) => self.tests.failed(&mut self.hub, token, &reason),
                None => console::connection_failed(&reason),
            },
            NetEvent::AcceptPaused { cause, .. } => console::accept_paused(&cause),
            NetEvent::Signal(Signal::Hangup) => self.reload.request(),
            NetEvent::Signal(signal @ (Signal::Interrupt | Signal::Terminate)) => self.stop(signal),
        }
    }

    /// Puts in force what was read again, or says why not. All of it is checked: from here on nothing can fail halfway.
    fn take_reloaded(&mut self) {
        let fresh = match self.reload.take() {
            None => return,
            Some(Ok(fresh)) => fresh,
            Some(Err(failure)) => return console::not_reloaded(&failure),
        };
        if let Err(failure) = self.logs.set_filter(&fresh.settings.log) {
            return console::not_reloaded(&failure);
        }
        let mut config = self.hub.config().clone();
        fresh.settings.apply(&mut config);
        self.hub.set_limits(config);
        self.net.set_config(fresh.settings.network());
        let fingerprint = fresh.tls.map(|tls| {
            self.net.set_security(self.listener, Security::TlsOrPlain(tls.config));
            self.hub.tell_server_key(tls.next.map(|next| *next.as_bytes()));
            tls.next.into_iter().for_each(console::next_certificate);
            tls.fingerprint
        });
        if let (Some(lan), Some(_)) = (&self.lan, fingerprint) {
            lan.tell(fingerprint);
        }
        console::reloaded(fingerprint, &self.reload.note(fresh.settings));
    }

    fn stop(&mut self, signal: Signal) {
        // Whoever asks twice does not want to wait.
        let grace = if self.stop_at.is_some() { Duration::ZERO } else { SHUTDOWN_TIMEOUT };
        console::stopping(signal);
        self.net.close_listener(self.listener);
        self.hub.shut_down(self.now());
        self.stop_at = Some(Instant::now() + grace);
    }

    fn read(&mut self, token: chatnet::ConnToken) {
        let now = self.now();
        let Some(conn) = self.links.conn(token) else { return self.net.pause_read(token) };
        while self.hub.wants_read(conn) && !self.seam.is_full() {
            match self.net.read(token) {
                Read::Bytes(bytes) => {
                    self.meter.received(bytes.len());
                    self.hub.handle_input(conn, bytes, now);
                }
                Read::Empty | Read::Closed => return,
                Read::Eof => {
                    self.hub.handle_eof(conn, now);
                    self.links.remove(token);
                    return self.net.close(token);
                }
            }
        }
        self.net.pause_read(token);
        self.links.pause(conn);
    }

    /// Brings answers of the store's threads to the hub.
    fn take_answers(&mut self) {
        let outcomes = self.outcomes.drain().flatten().collect::<Vec<_>>();
        for outcome in outcomes {
            let Some(outcome) = self.logins.on_outcome(&mut self.hub, &self.store, outcome) else { continue };
            self.on_outcome(outcome);
        }
        let replies = self.replies.drain().collect::<Vec<_>>();
        let now = self.now();
        for answer in replies {
            let reply = match answer {
                Answer::Records(id, records) => {
                    seam::on_records(&mut self.hub, id, records.as_deref());
                    continue;
                }
                Answer::Reply(reply) => reply,
            };
            if Removals::on_reply(&mut self.hub, &reply, now)
                || self.accounts.on_reply(&mut self.hub, &mut self.attempts, &reply, &self.links)
            {
                continue;
            }
            if let Reply::Looked { id } = reply {
                self.orders.looked(id);
                continue;
            }
            match Logins::lookup_of(&reply) {
                Some(lookup) => {
                    let (hub, attempts) = (&mut self.hub, &mut self.attempts);
                    self.logins.on_reply(hub, attempts, lookup, reply, &self.links);
                }
                None => seam::on_reply(&mut self.hub, reply),
            }
        }
        let done = self.done.drain().collect::<Vec<_>>();
        for reply in done {
            self.accounts.on_done(&mut self.hub, &mut self.removals, reply, now);
        }
        // The reader and the search share a mailbox: one of them may be gone while the other keeps it open.
        let is_lost =
            self.outcomes.is_finished() || self.done.is_finished() || !self.store.reader.is_running();
        if is_lost {
            self.fatal = Some(Failure::new("the message log", "a thread of the store has ended"));
        }
    }

    fn on_outcome(&mut self, outcome: Outcome) {
        self.meter.written(&outcome);
        match self.seam.on_outcome(&mut self.hub, outcome) {
            Ok(None) => {}
            Ok(Some((order, outcome))) => self.orders.ordered(order, outcome),
            Err(failure) => self.fatal = Some(failure),
        }
    }

    /// Lets the hub go on until it wants nothing more in this turn, then sends. What was sent makes room for those who
    /// catch up, which the hub asks the log for: so until both are quiet, or it is the others' turn.
    fn run_hub(&mut self) {
        self.is_unfinished = true;
        for _ in 0..MAX_ROUNDS {
            let mut is_quiet = true;
            while let Some(event) = self.hub.poll_event() {
                is_quiet = false;
                self.on_event(event);
            }
            // Before the sockets, so that the disk works while they are written to.
            for outcome in self.seam.hand_over(&self.store) {
                self.on_outcome(outcome);
            }
            while let Some(conn) = self.hub.poll_writable() {
                is_quiet = false;
                self.flush(conn);
            }
            if is_quiet {
                self.is_unfinished = false;
                break;
            }
        }
        let (hub, seam) = (&self.hub, &self.seam);
        for token in self.links.resume(|conn| hub.wants_read(conn) && !seam.is_full()) {
            self.net.resume_read(token);
        }
    }

    fn on_event(&mut self, event: Event) {
        console::event(&self.hub, &event);
        match event {
            Event::LoginStarted { conn, user, device, mechanism, data } => {
                let begun = Begun { conn, user, device, mechanism, data };
                self.logins.start(&mut self.hub, &self.store, &mut self.attempts, begun);
            }
            Event::LoginResponse { conn, data } => {
                self.logins.respond(&mut self.hub, &self.store, &mut self.attempts, conn, &data);
            }
            Event::RegisterStarted { conn, user, invite, data } => {
                self.accounts.apply(&mut self.hub, &self.store, conn, user, invite, data);
            }
            Event::RegisterFinished { conn, data } => {
                self.accounts.enrol(&mut self.hub, &self.desk, conn, &data);
            }
            Event::PasswordStarted { conn, user, data } => {
                let (hub, attempts) = (&mut self.hub, &mut self.attempts);
                self.accounts.start_change(hub, &self.store, attempts, conn, user, data);
            }
            Event::PasswordFinished { conn, data } => {
                let (hub, attempts) = (&mut self.hub, &mut self.attempts);
                self.accounts.finish_change(hub, &self.desk, attempts, conn, &data);
            }
            Event::DevicesAsked { conn, user, revoke } => {
                self.accounts.devices(&mut self.hub, &self.desk, conn, user, revoke);
            }
            Event::Closed { conn, user, .. } => {
                self.logins.forget(conn);
                self.attempts.end(conn, Instant::now());
                self.accounts.forget(conn);
                user.iter().for_each(|user| self.removals.closed(conn, user));
            }
            Event::LoggedIn { conn, user, device, addr } => {
                self.meter.logged_in();
                let LetIn { generation, ticket } = self.logins.let_in_by(conn);
                let seen = Job::Seen { user: user.as_str().into(), device: device.0, address: addr, ticket };
                self.removals.logged_in(conn, &user, device, generation);
                self.removals.note(&self.desk, conn, seen);
            }
            Event::Relayed { offer, ends, from, to } => self.join_relay(offer, ends, &from, &to),
            Event::TestReach { conn, request, address, link_key } => {
                self.tests.begin(&mut self.net, &mut self.hub, conn, request, address, link_key);
            }
            Event::PeerRequested { .. } | Event::PeerIntroduced { .. } | Event::PeerRefused { .. } => {}
            Event::Log(request) => self.seam.ask(&mut self.hub, &self.store, request),
        }
    }

    /// The hub hands two connections over: from here on their bytes are no frames.
    fn join_relay(&mut self, offer: OfferId, ends: [ConnId; 2], from: &Name, to: &Name) {
        let tokens = ends.map(|conn| self.links.token(conn));
        for token in tokens.into_iter().flatten() {
            self.links.remove(token);
        }
        let [Some(first), Some(second)] = tokens else {
            // One is gone in this very turn.
            tokens.into_iter().flatten().for_each(|token| self.net.abort(token));
            return self.hub.relay_ended(offer);
        };
        let names = [from.as_str().to_owned(), to.as_str().to_owned()];
        self.relays.begin(&mut self.net, offer, [first, second], names);
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(token) = self.links.token(conn) else {
            // The hub may still name a connection whose socket has gone.
            return;
        };
        if let Some(queue) = self.hub.outgoing(conn) {
            let waiting = queue.remaining();
            match self.net.write(token, queue) {
                Write::Done | Write::Blocked | Write::Closed => {}
            }
            self.meter.sent(waiting - queue.remaining());
            queue.set_in_transit(self.net.in_transit(token));
        }
        if self.hub.is_finished(conn) {
            self.links.remove(token);
            self.net.close(token);
            self.hub.handle_eof(conn, self.now());
        }
    }
}

fn hub_config(server: ServerId, settings: &Settings) -> Result<Config, Failure> {
    let text = |error| Failure::new("the server's own settings", error);
    let agent = Note::new(concat!("chatserver ", env!("CARGO_PKG_VERSION"))).map_err(text)?;
    let tickets = settings.tickets().is_some();
    let mechanisms =
        if tickets { format!("{MECHANISM} {}", ticket::MECHANISM) } else { MECHANISM.to_owned() };
    let mechanisms = Note::new(&mechanisms).map_err(text)?;
    let mut config = settings.hub(server, agent, mechanisms)?;
    config.capabilities = [Capability::Moderation, Capability::Account, Capability::Probe, Capability::Ways]
        .into_iter()
        .fold(Capabilities::NONE, Capabilities::with);
    if settings.accounts().registration() != Registration::Closed {
        config.capabilities = config.capabilities.with(Capability::Register);
    }
    if config.max_relays > 0 {
        config.capabilities = config.capabilities.with(Capability::Relay);
    }
    // What is only in memory is not indexed.
    if settings.store().durability != Durability::Off {
        config.capabilities = config.capabilities.with(Capability::Search);
    }
    if tickets {
        config.capabilities = config.capabilities.with(Capability::Tickets);
    }
    Ok(config)
}

fn server_id(accounts: &mut Accounts) -> Result<ServerId, Failure> {
    let make = || {
        let mut id = [0; 16];
        fill_random(&mut id);
        id.to_vec()
    };
    let id = accounts
        .meta_get_or_create("server_id", make)
        .map_err(|error| Failure::new("data directory", error))?;
    let id = id.try_into().map_err(|_| Failure::new("data directory", "the server's identity is damaged"))?;
    Ok(ServerId(id))
}

/// Fills `bytes` from the system. Without randomness no secret can be made, and nothing can go on.
fn fill_random(bytes: &mut [u8]) {
    use chatproto::opaque::RngCore as _;
    chatproto::opaque::OsRng.fill_bytes(bytes);
}

/// The link that clients are started with, also for a camera, if the operator has said under which name they come.
fn draw_link(settings: &Settings, fingerprint: Option<chatnet::Fingerprint>) -> Result<(), Failure> {
    let Some(host) = settings.announce_link() else { return Ok(()) };
    let link = invites::link(host, fingerprint, None);
    let mut out = io::stdout();
    out.write_all(format!("{link}\n{}\n", invites::qr_code(&link)?).as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new("standard output", error))
}

/// The line on standard output that scripts wait for, and where the metrics are. Written at once: whoever has read the
/// first line may have closed its end.
fn announce(
    addr: SocketAddr,
    fingerprint: Option<chatnet::Fingerprint>,
    metrics: Option<SocketAddr>,
) -> Result<(), Failure> {
    let fingerprint =
        fingerprint.map(|fingerprint| format!(" fingerprint {fingerprint}")).unwrap_or_default();
    let metrics = metrics.map(|addr| format!("metrics on http://{addr}/metrics\n")).unwrap_or_default();
    let mut out = io::stdout();
    out.write_all(format!("listening on {addr}{fingerprint}\n{metrics}").as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new("standard output", error))
}
