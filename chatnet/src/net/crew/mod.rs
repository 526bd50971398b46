//! I/O threads: sockets and TLS off the loop's thread, behind the same verbs and events.
//!
//! The loop keeps the program, the listeners and what it is to know of each connection ([`Remote`]). Each I/O thread
//! runs a [`Net`](super::Net) of its own, as the program of that ([`worker`]). Once a turn the loop hands each thread
//! one batch of [`Order`]s, and each thread hands the loop one batch of [`Report`]s, with one wake-up at most. Only
//! plaintext and facts travel; how much of them for each connection, its [`Flow`](flow::Flow) bounds. A connection
//! stays with one thread for its life, which keeps everything of it in order.

mod flow;
mod lane;
mod outgoing;
mod remote;
mod thread;
mod verbs;
mod worker;

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::net::TcpStream;
use slab::Slab;

use self::{
    lane::{Adopted, Order, Report},
    remote::{Phase, Remote},
    thread::IoThread,
};
use super::too_many;
use crate::{CloseReason, ConnToken, IoThreadStats, NetConfig, NetEvent, Waker, tls::Session};

/// The loop's side of its I/O threads. Dropped, it lets them send what they have, and waits for them.
pub(super) struct Crew {
    threads: Vec<IoThread>,
    remotes: Slab<Remote>,
    /// Those that the program is to be told of again, each at most once.
    ready: VecDeque<ConnToken>,
    last_generation: u32,
    /// TLS handshakes under way.
    handshakes: usize,
    /// Callers whose handshakes have got on, as of this turn's reports.
    pub(super) answered: Vec<ConnToken>,
    /// Sockets of all threads, with those that linger after the program has heard of the end.
    sockets: usize,
    /// What the last read gave to the program.
    lent: Vec<u8>,
    reports: Vec<Report>,
    turn: u64,
    read_budget: usize,
    transit_limit: usize,
    linger_timeout: Duration,
}

impl Crew {
    /// Starts the threads that `config` asks for; `None` if it asks for none. They wake the loop by `waker`.
    pub(super) fn start(config: &NetConfig, waker: &Waker) -> io::Result<Option<Self>> {
        if config.io_threads < 2 {
            return Ok(None);
        }
        let mut crew = Self {
            threads: Vec::new(),
            remotes: Slab::new(),
            ready: VecDeque::new(),
            last_generation: 0,
            handshakes: 0,
            answered: Vec::new(),
            sockets: 0,
            lent: Vec::new(),
            reports: Vec::new(),
            turn: 0,
            read_budget: 0,
            transit_limit: 0,
            linger_timeout: Duration::ZERO,
        };
        for number in 0..config.io_threads {
            crew.threads.push(IoThread::start(number, config, waker.clone())?);
        }
        crew.configure(config);
        Ok(Some(crew))
    }

    /// Takes other bounds.
    pub(super) fn configure(&mut self, config: &NetConfig) {
        self.read_budget = config.read_budget.max(1);
        self.transit_limit = transit_limit(config);
        self.linger_timeout = config.linger_timeout;
        for thread in &mut self.threads {
            thread.orders.push(Order::Configure(Box::new(config.clone())));
        }
    }

    /// Hands the threads what was ordered since the last turn.
    pub(super) fn hand_over(&mut self) {
        self.threads.iter_mut().for_each(IoThread::hand_over);
    }

    /// Whether the program would be told something without any news from the threads.
    pub(super) fn is_busy(&mut self) -> bool {
        let remotes = &mut self.remotes;
        self.ready.retain(|token| {
            let Some(remote) = remote_of(remotes, *token) else { return false };
            remote.queued = remote.wants_read() || remote.is_over();
            remote.queued
        });
        !self.ready.is_empty()
    }

    /// Begins a turn: takes what the threads have to report.
    ///
    /// # Errors
    /// When a thread has ended, which leaves connections that nobody serves.
    pub(super) fn collect(&mut self, turn: u64, events: &mut Vec<NetEvent>) -> io::Result<()> {
        self.turn = turn;
        self.answered.clear();
        for index in 0..self.threads.len() {
            let Some(thread) = self.threads.get(index) else { break };
            if thread.has_ended() {
                return Err(io::Error::other("an I/O thread has ended"));
            }
            let mut reports = std::mem::take(&mut self.reports);
            thread.take_reports(&mut reports);
            for report in reports.drain(..) {
                self.note(index, report, events);
            }
            self.reports = reports;
        }
        Ok(())
    }

    /// Tells the program who can be read, or is gone.
    pub(super) fn run_ready(&mut self, events: &mut Vec<NetEvent>) {
        // Those that join meanwhile, behind these, have their turn next time.
        for _ in 0..self.ready.len() {
            let Some(token) = self.ready.pop_front() else { break };
            let Some(remote) = remote_of(&mut self.remotes, token) else { continue };
            remote.queued = false;
            if remote.is_over() {
                self.end(token, events);
            } else if remote.wants_read() {
                events.push(NetEvent::Readable { token });
                self.enqueue(token);
            }
        }
    }

    /// Gives a new connection to the thread that has the fewest.
    pub(super) fn adopt(
        &mut self,
        stream: TcpStream,
        tls: Option<Box<Session>>,
        connected: bool,
        deadline: Option<Instant>,
        peer: SocketAddr,
    ) -> io::Result<ConnToken> {
        let threads = self.threads.iter_mut().enumerate();
        let (index, thread) = threads.min_by_key(|(_, thread)| thread.sockets).ok_or_else(too_many)?;
        let mut remote = Remote::new(index, tls.is_some(), connected, peer, stream.local_addr().ok());
        self.last_generation = self.last_generation.wrapping_add(1);
        remote.generation = self.last_generation;
        let flow = std::sync::Arc::clone(&remote.flow);
        let entry = self.remotes.vacant_entry();
        let slot = u32::try_from(entry.key()).map_err(|_| too_many())?;
        let token = ConnToken { slot, generation: remote.generation };
        entry.insert(remote);
        self.handshakes += usize::from(tls.is_some());
        self.sockets += 1;
        thread.sockets += 1;
        let adopted = Adopted { token, stream, tls, connected, deadline, flow };
        thread.orders.push(Order::Adopt(Box::new(adopted)));
        Ok(token)
    }

    /// How many sockets there are.
    pub(super) fn sockets(&self) -> usize {
        self.sockets
    }

    /// How many TLS handshakes are under way.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes
    }

    pub(super) fn stats(&self) -> impl Iterator<Item = IoThreadStats> + '_ {
        self.threads.iter().map(IoThread::stats)
    }

    /// Makes of one report what the program is to know of it.
    fn note(&mut self, thread: usize, report: Report, events: &mut Vec<NetEvent>) {
        match report {
            Report::Answered(token) => self.answered.push(token),
            Report::Connected(token, tls) => {
                let Some(remote) = remote_of(&mut self.remotes, token) else { return };
                // A plain connection that was accepted stands from the start.
                if remote.phase != Phase::Opening {
                    return;
                }
                remote.phase = Phase::Open;
                self.handshakes -= usize::from(remote.is_tls);
                events.push(NetEvent::Connected { token, tls });
                if std::mem::take(&mut remote.write_blocked) {
                    events.push(NetEvent::Writable { token });
                }
            }
            Report::Received(token, bytes) => {
                match remote_of(&mut self.remotes, token).filter(|remote| remote.phase == Phase::Open) {
                    Some(remote) => remote.inbox.push_back(bytes),
                    None => return self.recycle(thread, bytes),
                }
                self.enqueue(token);
            }
            Report::Ended(token) => {
                if let Some(remote) = remote_of(&mut self.remotes, token) {
                    remote.ended = true;
                    self.enqueue(token);
                }
            }
            Report::Writable(token) => {
                if let Some(remote) = remote_of(&mut self.remotes, token)
                    && std::mem::take(&mut remote.write_blocked)
                {
                    events.push(NetEvent::Writable { token });
                }
            }
            Report::Closed(token, reason) => self.note_closed(token, reason, events),
            Report::Gone(count) => {
                self.sockets -= count;
                if let Some(thread) = self.threads.get_mut(thread) {
                    thread.sockets -= count;
                }
            }
        }
    }

    fn note_closed(&mut self, token: ConnToken, reason: CloseReason, events: &mut Vec<NetEvent>) {
        let Some(remote) = remote_of(&mut self.remotes, token) else { return };
        match remote.phase {
            Phase::Opening => self.remove(token, reason, events),
            // However it went, it was the program that wanted it.
            Phase::Lingering => self.remove(token, CloseReason::Local, events),
            Phase::Open => {
                remote.ending = Some(reason);
                if remote.is_over() {
                    self.end(token, events);
                } else {
                    self.enqueue(token);
                }
            }
        }
    }

    /// Tells of the end of a connection whose socket is gone.
    fn end(&mut self, token: ConnToken, events: &mut Vec<NetEvent>) {
        let reason = remote_of(&mut self.remotes, token).and_then(|remote| remote.ending.take());
        if let Some(reason) = reason {
            self.remove(token, reason, events);
        }
    }

    fn remove(&mut self, token: ConnToken, reason: CloseReason, events: &mut Vec<NetEvent>) {
        if remote_of(&mut self.remotes, token).is_none() {
            return;
        }
        let remote = self.remotes.remove(token.slot as usize);
        self.handshakes -= usize::from(remote.is_tls && remote.phase == Phase::Opening);
        events.push(NetEvent::Closed { token, reason });
    }

    /// Puts a connection on the ready list, if the program is to be told of it.
    fn enqueue(&mut self, token: ConnToken) {
        let Some(remote) = remote_of(&mut self.remotes, token) else { return };
        if !remote.queued && (remote.wants_read() || remote.is_over()) {
            remote.queued = true;
            self.ready.push_back(token);
        }
    }

    fn order(&mut self, thread: usize, order: Order) {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.orders.push(order);
        }
    }

    fn recycle(&mut self, thread: usize, buffer: Vec<u8>) {
        if let Some(thread) = self.threads.get_mut(thread) {
            thread.recycle(buffer);
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        let deadline = Instant::now() + self.linger_timeout;
        // First all of them, so that they end side by side.
        for thread in &mut self.threads {
            thread.orders.push(Order::Stop(deadline));
            thread.hand_over();
        }
    }
}

fn remote_of(remotes: &mut Slab<Remote>, token: ConnToken) -> Option<&mut Remote> {
    remotes.get_mut(token.slot as usize).filter(|remote| remote.generation == token.generation)
}

/// The bound of one way of a [`Flow`](flow::Flow).
fn transit_limit(config: &NetConfig) -> usize {
    config.max_in_transit.max(MIN_PIECE)
}

/// What a received piece counts as: whoever sends single bytes must not cost a hundred times their memory.
fn cost(piece: &[u8]) -> usize {
    piece.len() + PIECE_OVERHEAD
}

/// About what an allocation and its place in the queue take.
const PIECE_OVERHEAD: usize = 64;

/// Smaller pieces are put together, so that a connection's bytes bound the number of its pieces too.
const MIN_PIECE: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::Net;

    #[test]
    fn a_thread_that_ends_by_itself_ends_the_loop() {
        let mut net = Net::new(NetConfig { io_threads: 2, ..NetConfig::default() }).unwrap();
        let crew = net.crew.as_mut().unwrap();
        crew.order(1, Order::Stop(Instant::now()));
        let deadline = Instant::now() + Duration::from_secs(20);
        let mut events = Vec::new();
        let error = loop {
            assert!(Instant::now() < deadline, "nobody has noticed");
            match net.turn(Some(deadline), &mut events) {
                Ok(()) => {}
                Err(error) => break error,
            }
        };
        assert_eq!(error.to_string(), "an I/O thread has ended");
    }
}
