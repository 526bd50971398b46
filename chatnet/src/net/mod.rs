//! The poll loop: who is ready, whose turn it is, and what the program is told.

mod accept;
mod conn;
mod crew;
mod dial;
mod shared;
mod step;
mod verbs;

use std::{
    collections::VecDeque,
    fmt, io, mem,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Poll, Token, net::TcpStream};
use slab::Slab;

pub use self::dial::ConnectOptions;
use self::{
    accept::Listener,
    conn::{Buffers, Conn, Phase},
    crew::Crew,
};
use crate::{
    CloseReason, ConnToken, IoThreadStats, ListenerId, NetConfig, NetEvent, Signal, Timers, TurnedAway,
    Waker, admission::Admission, signals::Signals, tls::Session,
};

/// A poll loop with its connections and listeners.
///
/// The program calls [`turn`](Self::turn) again and again and acts on the events. Nothing else waits, and no call
/// fails because a peer misbehaved: that is told by [`NetEvent::Closed`].
pub struct Net {
    config: NetConfig,
    poll: Poll,
    poll_events: Events,
    waker: Waker,
    signals: Option<Signals>,
    /// Who has the connections, if this thread has not.
    crew: Option<Crew>,
    conns: Slab<Conn>,
    listeners: Slab<Listener>,
    admission: Admission<ConnToken>,
    /// Those that can go on without a new edge from their sockets, each at most once.
    ready: VecDeque<ConnToken>,
    timers: Timers<Alarm>,
    /// Events for the end of this turn, or of the next one.
    events: Vec<NetEvent>,
    buffers: Buffers,
    turn: u64,
    woken_at: Instant,
    last_generation: u32,
    handshakes: usize,
    handshake_steps: usize,
    /// Callers whose hello was whole in this turn or before, and who do something now.
    answered: Vec<ConnToken>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Alarm {
    Conn(ConnToken),
    Listener(ListenerId),
}

impl Net {
    /// An empty loop.
    ///
    /// # Errors
    /// When the system refuses a poll, its waker or an I/O thread, for instance for lack of descriptors.
    pub fn new(config: NetConfig) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let crew = Crew::start(&config, &waker)?;
        let admission = Admission::new(&config, Instant::now());
        Ok(Self {
            poll_events: Events::with_capacity(config.max_poll_events.max(1)),
            config,
            poll,
            waker,
            signals: None,
            crew,
            conns: Slab::new(),
            listeners: Slab::new(),
            admission,
            ready: VecDeque::new(),
            timers: Timers::default(),
            events: Vec::new(),
            buffers: Buffers::new(),
            turn: 0,
            woken_at: Instant::now(),
            last_generation: 0,
            handshakes: 0,
            handshake_steps: 0,
            answered: Vec::new(),
        })
    }

    /// A handle with which other threads end the loop's wait.
    #[must_use]
    pub fn waker(&self) -> Waker {
        self.waker.clone()
    }

    /// From now on these signals of the process come as [`NetEvent::Signal`] instead of having their usual effect. Later
    /// calls replace the set of this loop.
    ///
    /// # Errors
    /// When the system refuses the handler.
    pub fn watch_signals(&mut self, signals: &[Signal]) -> io::Result<()> {
        self.signals = None;
        self.signals = Some(Signals::new(self.poll.registry(), SIGNALS, signals)?);
        Ok(())
    }

    /// Waits until something happens or `deadline` has come (`None`: as long as it takes), and appends to `events`
    /// what did. Does not wait while any connection still has something to do.
    ///
    /// # Errors
    /// Only when the poll itself fails or an I/O thread has ended, which leaves nothing to go on with.
    pub fn turn(&mut self, deadline: Option<Instant>, events: &mut Vec<NetEvent>) -> io::Result<()> {
        self.turn += 1;
        self.handshake_steps = 0;
        self.answered.clear();
        self.crew.iter_mut().for_each(Crew::hand_over);
        self.wait(deadline)?;
        self.woken_at = Instant::now();
        self.note_edges();
        self.expire(Instant::now());
        if let Some(crew) = &mut self.crew {
            crew.collect(self.turn, &mut self.events)?;
            self.answered.extend_from_slice(&crew.answered);
        }
        self.accept_ready();
        self.run_ready();
        if let Some(crew) = &mut self.crew {
            crew.run_ready(&mut self.events);
        }
        self.note_handshakes();
        events.append(&mut self.events);
        Ok(())
    }

    /// How many connections there are, with those that still linger after their close.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.crew.as_ref().map_or(self.conns.len(), Crew::sockets)
    }

    /// Callers that listeners took in since the start.
    #[must_use]
    pub fn taken_in(&self) -> u64 {
        self.admission.taken_in()
    }

    /// Callers that were closed unanswered since the start, for what they or others asked for too often.
    #[must_use]
    pub fn turned_away(&self) -> TurnedAway {
        self.admission.turned_away()
    }

    /// How much each I/O thread has to do; nothing without any.
    pub fn io_threads(&self) -> impl Iterator<Item = IoThreadStats> + '_ {
        self.crew.iter().flat_map(Crew::stats)
    }

    /// When the last turn stopped waiting and began to work.
    #[must_use]
    pub fn woken_at(&self) -> Instant {
        self.woken_at
    }

    /// Takes other bounds, which hold from now on; `tls_send_buffer` for connections that come from now on. Those that
    /// were fixed at the start stay: `io_threads` and `max_poll_events`.
    pub fn set_config(&mut self, config: NetConfig) {
        let NetConfig { io_threads, max_poll_events, .. } = self.config;
        self.config = NetConfig { io_threads, max_poll_events, ..config };
        self.admission.configure(&self.config);
        if let Some(crew) = &mut self.crew {
            crew.configure(&self.config);
        }
    }

    /// Whatever ends a handshake, the program is told one of these.
    fn note_handshakes(&mut self) {
        for token in &self.answered {
            self.admission.advances(token, self.woken_at);
        }
        for event in &self.events {
            if let NetEvent::Connected { token, .. } | NetEvent::Closed { token, .. } = event {
                self.admission.ends(token);
            }
        }
    }

    fn wait(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        self.drop_idle_from_ready();
        let is_crew_busy = self.crew.as_mut().is_some_and(Crew::is_busy);
        let busy = !self.ready.is_empty() || !self.events.is_empty() || self.can_accept() || is_crew_busy;
        let until = [deadline, self.timers.next_deadline(), self.next_place()].into_iter().flatten().min();
        loop {
            let timeout = match (busy, until) {
                (true, _) => Some(Duration::ZERO),
                (false, Some(until)) => Some(until.saturating_duration_since(Instant::now())),
                (false, None) => None,
            };
            match self.poll.poll(&mut self.poll_events, timeout) {
                // Any signal with a handler does this.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                outcome => return outcome,
            }
        }
    }

    fn note_edges(&mut self) {
        let poll_events = mem::replace(&mut self.poll_events, Events::with_capacity(0));
        for event in &poll_events {
            match event.token() {
                WAKER => {
                    if self.waker.rearm() {
                        self.events.push(NetEvent::Woken);
                    }
                }
                SIGNALS => {
                    let pending = self.signals.iter_mut().flat_map(Signals::pending);
                    self.events.extend(pending.map(NetEvent::Signal));
                }
                Token(number) if number < FIRST_CONN => self.note_listener(number - FIRST_LISTENER),
                Token(number) => self.note_conn(number - FIRST_CONN, event),
            }
        }
        self.poll_events = poll_events;
    }

    fn note_conn(&mut self, slot: usize, event: &mio::event::Event) {
        let Some(conn) = self.conns.get_mut(slot) else { return };
        conn.readable |= event.is_readable() || event.is_read_closed() || event.is_error();
        conn.writable |= event.is_writable() || event.is_write_closed() || event.is_error();
        conn.peer_shut |= event.is_read_closed() || event.is_error();
        // When both sides have ended their directions, that looks the same and is no accident: what came before is read.
        let hung_up = event.is_read_closed() && event.is_write_closed() && !conn.has_shut_write();
        let broken = event.is_error() || hung_up;
        // Nobody would find out by reading.
        let unread = conn.paused || conn.eof_told;
        let error = (broken && unread && matches!(conn.phase, Phase::Open))
            .then(|| conn.stream.take_error().ok().flatten());
        let Some(token) = token_of(slot, conn) else { return };
        match error {
            Some(error) => {
                let error = error.unwrap_or_else(|| io::ErrorKind::ConnectionReset.into());
                self.remove(token, Some(CloseReason::Lost(error)));
            }
            None => self.enqueue(token),
        }
    }

    fn expire(&mut self, now: Instant) {
        while let Some(alarm) = self.timers.take_due(now) {
            match alarm {
                Alarm::Listener(id) => self.retry_accept(id),
                Alarm::Conn(token) => {
                    let Some(conn) = self.conn_mut(token) else { continue };
                    match &mut conn.phase {
                        Phase::Connecting => self.remove(token, Some(CloseReason::ConnectTimeout)),
                        Phase::Handshaking => self.remove(token, Some(CloseReason::HandshakeTimeout)),
                        Phase::Lingering { reason, .. } => {
                            let reason = reason.take();
                            self.remove(token, reason);
                        }
                        Phase::Open => {}
                    }
                }
            }
        }
    }

    fn run_ready(&mut self) {
        // Those that join meanwhile, behind these, have their turn next time.
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { break };
            if let Some(conn) = self.conn_mut(token) {
                conn.queued = false;
                self.step(token);
                self.enqueue(token);
            }
        }
    }

    /// Puts a connection on the still-ready list if it can go on by itself.
    fn enqueue(&mut self, token: ConnToken) {
        let Some(conn) = self.conn_mut(token) else { return };
        if !conn.queued && conn.has_work() {
            conn.queued = true;
            self.ready.push_back(token);
        }
    }

    /// The program has acted since: what it has read dry must not keep the loop from waiting.
    fn drop_idle_from_ready(&mut self) {
        let conns = &mut self.conns;
        self.ready.retain(|token| {
            let Some(conn) = conn_of(conns, *token) else { return false };
            conn.queued = conn.has_work();
            conn.queued
        });
    }

    fn conn_mut(&mut self, token: ConnToken) -> Option<&mut Conn> {
        conn_of(&mut self.conns, token)
    }

    /// Takes a new connection in, or gives it to the crew. By `deadline` everything must be connected.
    fn admit(
        &mut self,
        stream: TcpStream,
        tls: Option<Box<Session>>,
        connected: bool,
        deadline: Option<Instant>,
        peer: SocketAddr,
    ) -> io::Result<ConnToken> {
        match &mut self.crew {
            Some(crew) => crew.adopt(stream, tls, connected, deadline, peer),
            None => self.insert(Conn::new(stream, tls, 0, connected), deadline),
        }
    }

    /// Adds a connection whose socket is not yet registered.
    fn insert(&mut self, mut conn: Conn, handshake_deadline: Option<Instant>) -> io::Result<ConnToken> {
        if !matches!(conn.phase, Phase::Connecting) {
            conn.limit_unsent(self.config.unsent_limit);
        }
        self.last_generation = self.last_generation.wrapping_add(1);
        conn.generation = self.last_generation;
        let entry = self.conns.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(|_| too_many())?;
        let token = ConnToken { slot, generation: conn.generation };
        let interest = mio::Interest::READABLE | mio::Interest::WRITABLE;
        self.poll.registry().register(&mut conn.stream, Token(FIRST_CONN + entry.key()), interest)?;
        self.handshakes += usize::from(conn.tls.is_some());
        entry.insert(conn);
        if let Some(deadline) = handshake_deadline {
            self.timers.set(Alarm::Conn(token), deadline);
        }
        Ok(token)
    }

    /// Ends a connection at once; `reason` is `None` when the program knows already.
    fn remove(&mut self, token: ConnToken, reason: Option<CloseReason>) {
        if self.conn_mut(token).is_none() {
            return;
        }
        let mut conn = self.conns.remove(token.slot as usize);
        if matches!(conn.phase, Phase::Connecting | Phase::Handshaking) {
            self.handshakes -= usize::from(conn.tls.is_some());
        }
        self.timers.cancel(Alarm::Conn(token));
        // The descriptor closes right here, and with it ends its registration.
        let _ = self.poll.registry().deregister(&mut conn.stream);
        if let Some(reason) = reason {
            self.events.push(NetEvent::Closed { token, reason });
        }
    }
}

impl fmt::Debug for Net {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Net")
            .field("connections", &self.connections())
            .field("listeners", &self.listeners.len())
            .field("ready", &self.ready.len())
            .finish_non_exhaustive()
    }
}

fn conn_of(conns: &mut Slab<Conn>, token: ConnToken) -> Option<&mut Conn> {
    conns.get_mut(token.slot as usize).filter(|conn| conn.generation == token.generation)
}

fn token_of(slot: usize, conn: &Conn) -> Option<ConnToken> {
    Some(ConnToken { slot: u32::try_from(slot).ok()?, generation: conn.generation })
}

fn too_many() -> io::Error {
    io::Error::new(io::ErrorKind::QuotaExceeded, "the limit of connections is reached")
}

const WAKER: Token = Token(0);
const SIGNALS: Token = Token(1);
const FIRST_LISTENER: usize = 2;
/// Listeners of one loop: a program has one for each address family and purpose.
const MAX_LISTENERS: usize = 62;
const FIRST_CONN: usize = FIRST_LISTENER + MAX_LISTENERS;
