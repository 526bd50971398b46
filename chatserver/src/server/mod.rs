//! The server's loop: one thread that moves bytes between sockets and the hub, and questions between the hub and the
//! store. It decides nothing that the hub could decide, and waits for nothing but the poll.

mod console;
mod links;
mod logins;
mod removals;
mod seam;

use std::io::{self, Write as _};
use std::time::{Duration, Instant};

use chatnet::{Identity, Mailbox, Net, NetConfig, NetEvent, Read, Security, ServerTls, Signal, Write};
use chatproto::hub::{Config, ConnId, Event, Hub};
use chatproto::opaque::MECHANISM;
use chatproto::ticket;
use chatproto::wire::{Capabilities, Capability, Name, Note, ServerId};

use crate::cli::{DurabilityArg, RunArgs};
use crate::exit::Failure;
use crate::store::{Accounts, DataDir, Durability, Outcome, Reply, Store, StoreConfig, unix_ms};
use crate::{logging, store, users};

use links::Links;
use logins::{Begun, Logins};
use removals::Removals;
use seam::Seam;

/// The room that everybody is in unless they choose otherwise.
const DEFAULT_ROOM: &str = "lobby";

/// File of the certificate and its key in the data directory.
const IDENTITY_FILE: &str = "server.pem";

/// Commits, and replies, that may wait for the loop; the store's threads wait when it is full.
const MAX_WAITING_ANSWERS: usize = 1024;

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
    let _logs = logging::start(&args.log, args.log_format)?;
    check_plaintext(args)?;
    raise_descriptor_limit();
    let mut server = Server::start(args)?;
    server.serve()?;
    server.finish()
}

/// Plaintext needs a flag, and a second one where others can listen in.
fn check_plaintext(args: &RunArgs) -> Result<(), Failure> {
    if args.insecure_plaintext && !args.listen.ip().is_loopback() && !args.insecure_plaintext_anywhere {
        return Err(Failure::Usage(format!(
            "--insecure-plaintext on {}: others on the network could read everything. Listen on 127.0.0.1, leave the \
             flag out, or insist with --insecure-plaintext-anywhere",
            args.listen
        )));
    }
    if args.plaintext_tickets && !args.listen.ip().is_loopback() {
        return Err(Failure::Usage(format!(
            "--plaintext-tickets on {}: others on the network could log in with what they read. Only for 127.0.0.1 or ::1",
            args.listen
        )));
    }
    Ok(())
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
    net: Net,
    hub: Hub,
    store: Store,
    links: Links,
    logins: Logins,
    removals: Removals,
    seam: Seam,
    outcomes: Mailbox<Vec<Outcome>>,
    replies: Mailbox<Reply>,
    listener: chatnet::ListenerId,
    started: Instant,
    /// When the loop gives up on clients that do not take their bye.
    stop_at: Option<Instant>,
    /// The log and the hub disagree, or a thread died: nothing more can be promised.
    fatal: Option<Failure>,
}

impl Server {
    fn start(args: &RunArgs) -> Result<Self, Failure> {
        let dir = DataDir::open(&args.data.dir).map_err(Failure::said)?;
        let mut accounts = Accounts::open(&dir).map_err(Failure::said)?;
        let lock = dir.lock().map_err(Failure::said)?;
        let setup = users::server_setup(&mut accounts)?;
        let server = server_id(&mut accounts)?;

        let mut net =
            Net::new(NetConfig::default()).map_err(|error| Failure::new("cannot start the loop", error))?;
        let (security, fingerprint) = if args.insecure_plaintext {
            (Security::Plain, None)
        } else {
            let path = args.data.dir.join(IDENTITY_FILE);
            let identity = Identity::load_or_create(&path, ["localhost"])
                .map_err(|error| Failure::new("certificate", error))?;
            let tls = ServerTls::new(&identity).map_err(|error| Failure::new("certificate", error))?;
            (Security::TlsServer(tls), Some(identity.fingerprint()))
        };
        let (listener, addr) = net
            .listen(args.listen, security)
            .map_err(|error| Failure::new(format!("cannot listen on {}", args.listen), error))?;
        net.watch_signals(&[Signal::Interrupt, Signal::Terminate])
            .map_err(|error| Failure::new("cannot watch signals", error))?;

        let (written, outcomes) = Mailbox::new(net.waker(), MAX_WAITING_ANSWERS);
        let (read, replies) = Mailbox::new(net.waker(), MAX_WAITING_ANSWERS);
        let config = StoreConfig {
            durability: match args.durability {
                DurabilityArg::Full => Durability::Full,
                DurabilityArg::Os => Durability::Os,
            },
            max_tickets: args.max_devices.max(store::MAX_TICKETS),
            ..StoreConfig::default()
        };
        // The loop is gone only when the process ends: there is nobody left to tell then.
        let on_write = Box::new(move |outcomes| drop(written.send(outcomes)));
        let on_read = std::sync::Arc::new(move |reply| drop(read.send(reply)));
        let store = Store::start(lock, &config, on_write, on_read).map_err(Failure::said)?;
        let rooms = seam::room_records(store.rooms(), unix_ms())?;
        let config = hub_config(server, args)?;
        let hub = Hub::new(config, rooms, |bytes: &mut [u8]| fill_random(bytes));

        announce(addr, fingerprint)?;
        console::listening(addr, fingerprint, &args.data.dir);
        Ok(Self {
            net,
            hub,
            store,
            links: Links::default(),
            logins: Logins::new(setup, ticket_lifetime(args)),
            removals: Removals::default(),
            seam: Seam::default(),
            outcomes,
            replies,
            listener,
            started: Instant::now(),
            stop_at: None,
            fatal: None,
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
            self.removals.look(&self.store);
            self.run_hub();
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

    /// Commits what is queued and closes the log.
    fn finish(self) -> Result<(), Failure> {
        // What the store still reports after the loop has nobody to go to, and its threads must not wait for us.
        drop(self.outcomes);
        drop(self.replies);
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
        [hub, self.stop_at, self.removals.deadline()].into_iter().flatten().min()
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            NetEvent::Accepted { .. } | NetEvent::Woken => {}
            NetEvent::Connected { token, tls } => match self.net.peer_addr(token) {
                Ok(addr) => {
                    let conn = self.hub.accept(addr, now);
                    self.links.insert(token, conn, tls.map(|tls| tls.channel_binding));
                }
                Err(_) => self.net.abort(token),
            },
            NetEvent::Readable { token } => self.read(token),
            NetEvent::Writable { token } => {
                if let Some(conn) = self.links.conn(token) {
                    self.flush(conn);
                }
            }
            NetEvent::Closed { token, reason } => match self.links.remove(token) {
                Some(conn) => self.hub.handle_eof(conn, now),
                None => console::connection_failed(&reason),
            },
            NetEvent::AcceptPaused { cause, .. } => console::accept_paused(&cause),
            NetEvent::Signal(signal) => self.on_signal(signal),
        }
    }

    fn on_signal(&mut self, signal: Signal) {
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
                Read::Bytes(bytes) => self.hub.handle_input(conn, bytes, now),
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
            let Some(outcome) = self.logins.on_outcome(&mut self.hub, outcome) else { continue };
            if let Err(failure) = self.seam.on_outcome(&mut self.hub, outcome) {
                self.fatal = Some(failure);
            }
        }
        let replies = self.replies.drain().collect::<Vec<_>>();
        let now = self.now();
        for reply in replies {
            if self.removals.on_reply(&mut self.hub, &reply, now) {
                continue;
            }
            match Logins::lookup_of(&reply) {
                Some(lookup) => self.logins.on_reply(&mut self.hub, lookup, reply, &self.links),
                None => seam::on_reply(&mut self.hub, reply),
            }
        }
        if self.outcomes.is_finished() || self.replies.is_finished() {
            self.fatal = Some(Failure::new("the message log", "a thread of the store has ended"));
        }
    }

    /// Lets the hub go on until it wants nothing more in this turn, then sends. What was sent makes room for those who
    /// catch up, which the hub asks the log for: so until both are quiet.
    fn run_hub(&mut self) {
        for _ in 0..MAX_ROUNDS {
            let mut is_quiet = true;
            while let Some(event) = self.hub.poll_event() {
                is_quiet = false;
                self.on_event(event);
            }
            // Before the sockets, so that the disk works while they are written to.
            self.seam.hand_over(&self.store);
            while let Some(conn) = self.hub.poll_writable() {
                is_quiet = false;
                self.flush(conn);
            }
            if is_quiet {
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
                self.logins.start(&mut self.hub, &self.store, begun);
            }
            Event::LoginResponse { conn, data } => {
                self.logins.respond(&mut self.hub, &self.store, conn, &data);
            }
            Event::Closed { conn, user, .. } => {
                self.logins.forget(conn);
                user.iter().for_each(|user| self.removals.closed(user));
            }
            Event::LoggedIn { user, .. } => self.removals.logged_in(&user),
            Event::PeerRequested { .. } | Event::PeerIntroduced { .. } | Event::PeerRefused { .. } => {}
            asked @ (Event::RoomCreated { .. }
            | Event::Moderated { .. }
            | Event::Append { .. }
            | Event::Read { .. }
            | Event::History { .. }
            | Event::Search { .. }
            | Event::FindUser { .. }) => self.seam.ask(&mut self.hub, &self.store, asked),
        }
    }

    fn flush(&mut self, conn: ConnId) {
        let Some(token) = self.links.token(conn) else {
            // The hub may still name a connection whose socket has gone.
            return;
        };
        if let Some(queue) = self.hub.outgoing(conn) {
            match self.net.write(token, queue) {
                Write::Done | Write::Blocked | Write::Closed => {}
            }
        }
        if self.hub.is_finished(conn) {
            self.links.remove(token);
            self.net.close(token);
            self.hub.handle_eof(conn, self.now());
        }
    }
}

fn hub_config(server: ServerId, args: &RunArgs) -> Result<Config, Failure> {
    let text = |error| Failure::new("the server's own settings", error);
    let agent = Note::new(concat!("chatserver ", env!("CARGO_PKG_VERSION"))).map_err(text)?;
    let tickets = ticket_lifetime(args).is_some();
    let mechanisms =
        if tickets { format!("{MECHANISM} {}", ticket::MECHANISM) } else { MECHANISM.to_owned() };
    let mechanisms = Note::new(&mechanisms).map_err(text)?;
    let mut config = Config::new(server, agent, mechanisms, Name::new(DEFAULT_ROOM).map_err(text)?);
    config.capabilities = Capabilities::NONE.with(Capability::Search).with(Capability::Moderation);
    if tickets {
        config.capabilities = config.capabilities.with(Capability::Tickets);
    }
    config.max_devices = args.max_devices;
    Ok(config)
}

/// How long tickets are good, if any are given. Whoever can listen in could use one again.
fn ticket_lifetime(args: &RunArgs) -> Option<Duration> {
    let is_private = !args.insecure_plaintext || args.plaintext_tickets;
    (is_private && !args.ticket_lifetime.is_zero()).then_some(args.ticket_lifetime)
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

/// The one line on standard output that scripts wait for.
fn announce(addr: std::net::SocketAddr, fingerprint: Option<chatnet::Fingerprint>) -> Result<(), Failure> {
    let fingerprint =
        fingerprint.map(|fingerprint| format!(" fingerprint {fingerprint}")).unwrap_or_default();
    let mut out = io::stdout();
    writeln!(out, "listening on {addr}{fingerprint}")
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new("standard output", error))
}
