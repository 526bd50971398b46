//! The I/O thread's side: the program of a loop of its own, which does what the other loop's program wants.

use std::{collections::HashMap, sync::Arc, time::Instant};

use bytes::Buf as _;

use super::{
    cost,
    flow::Flow,
    lane::{Adopted, Order, Report},
    outgoing::Outgoing,
    thread::{MAX_SPARE, PIECE, Shared},
    transit_limit,
};
use crate::{
    CloseReason, ConnToken, NetConfig, NetEvent, Read, Timers, Waker, Write,
    net::{Conn, Net},
};

/// One I/O thread. Its connections have two names: the loop's, which travels, and the one of this thread's [`Net`].
pub(super) struct Worker {
    net: Net,
    shared: Arc<Shared>,
    loop_waker: Waker,
    /// By this thread's names.
    links: HashMap<ConnToken, Link>,
    /// This thread's name for each of the loop's.
    locals: HashMap<ConnToken, ConnToken>,
    /// Those that have something new to send, each at most once.
    dirty: Vec<ConnToken>,
    /// When those that are to be closed are given up, although not all of theirs is sent.
    timers: Timers<ConnToken>,
    reports: Vec<Report>,
    spare: Vec<Vec<u8>>,
    /// Sockets that the loop believes there are.
    sockets: usize,
    transit_limit: usize,
    max_linger_bytes: usize,
    /// The loop wants no more than what it has ordered, until then.
    stop_at: Option<Instant>,
}

/// One connection.
struct Link {
    /// The loop's name for it.
    token: ConnToken,
    flow: Arc<Flow>,
    outgoing: Outgoing,
    then: Then,
    is_dirty: bool,
}

/// What comes when everything is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Then {
    GoOn,
    ShutdownWrite,
    /// By then. What still arrives is thrown away, and not more than `discard_left`.
    Close {
        deadline: Instant,
        discard_left: usize,
    },
}

impl Worker {
    pub(super) fn new(net: Net, shared: Arc<Shared>, loop_waker: Waker, config: &NetConfig) -> Self {
        Self {
            net,
            shared,
            loop_waker,
            links: HashMap::new(),
            locals: HashMap::new(),
            dirty: Vec::new(),
            timers: Timers::default(),
            reports: Vec::new(),
            spare: Vec::new(),
            sockets: 0,
            transit_limit: transit_limit(config),
            max_linger_bytes: config.max_linger_bytes,
            stop_at: None,
        }
    }

    /// Works until the loop stops it, or its poll fails.
    pub(super) fn run(mut self) {
        let mut events = Vec::new();
        let mut orders = Vec::new();
        while !self.is_done() {
            let deadline = [self.timers.next_deadline(), self.stop_at].into_iter().flatten().min();
            if self.net.turn(deadline, &mut events).is_err() {
                return;
            }
            // First those who got on: an end that comes in the same turn is the last that is told.
            let answered = self.net.answered.iter().filter_map(|local| self.links.get(local));
            self.reports.extend(answered.map(|link| Report::Answered(link.token)));
            for event in events.drain(..) {
                self.on_event(event);
            }
            self.shared.orders.take(&mut orders);
            self.shared.spare.take(&mut self.spare);
            self.spare.truncate(MAX_SPARE);
            for order in orders.drain(..) {
                self.obey(order);
            }
            self.send_all();
            while let Some(local) = self.timers.take_due(Instant::now()) {
                self.net.abort(local);
            }
            self.hand_over();
            self.shared.turned(self.net.woken_at().elapsed());
        }
    }

    /// Whether the loop has stopped the thread, and all is sent that can be.
    fn is_done(&self) -> bool {
        let is_sent = || self.links.values().all(|link| !link.outgoing.has_remaining());
        self.stop_at.is_some_and(|stop_at| Instant::now() >= stop_at || is_sent())
    }

    fn on_event(&mut self, event: NetEvent) {
        match event {
            NetEvent::Connected { token: local, tls } => {
                if let Some(link) = self.links.get(&local) {
                    self.reports.push(Report::Connected(link.token, tls));
                }
            }
            NetEvent::Readable { token: local } => self.receive(local),
            NetEvent::Writable { token: local } => self.send(local),
            NetEvent::Closed { token: local, reason } => self.forget(local, reason),
            // Orders are looked for in every turn, and there are neither listeners nor signals here.
            NetEvent::Woken
            | NetEvent::Accepted { .. }
            | NetEvent::AcceptPaused { .. }
            | NetEvent::Signal(_) => {}
        }
    }

    fn obey(&mut self, order: Order) {
        match order {
            Order::Adopt(adopted) => self.adopt(*adopted),
            Order::Send(token, piece) => {
                if let Some(link) = self.touch(token) {
                    link.outgoing.push(piece);
                }
            }
            Order::Read(token) => {
                if let Some(local) = self.locals.get(&token) {
                    self.net.resume_read(*local);
                }
            }
            Order::ShutdownWrite(token) => {
                if let Some(link) = self.touch(token) {
                    link.then = Then::ShutdownWrite;
                }
            }
            Order::Close(token, deadline) => {
                let discard_left = self.max_linger_bytes;
                let Some(link) = self.touch(token) else { return };
                link.then = Then::Close { deadline, discard_left };
                if let Some(local) = self.locals.get(&token) {
                    self.timers.set(*local, deadline);
                    // Nobody reads any more, and yet what arrives must not turn the end into a reset.
                    self.net.resume_read(*local);
                }
            }
            Order::Abort(token) => {
                if let Some(local) = self.locals.get(&token).copied() {
                    // What was ordered before may still go.
                    self.send(local);
                    self.locals.remove(&token);
                    self.links.remove(&local);
                    self.timers.cancel(local);
                    self.net.abort(local);
                }
            }
            Order::Configure(config) => {
                self.transit_limit = transit_limit(&config);
                self.max_linger_bytes = config.max_linger_bytes;
                self.net.set_config(*config);
            }
            Order::Stop(deadline) => self.stop_at = Some(deadline),
        }
    }

    fn adopt(&mut self, adopted: Adopted) {
        let Adopted { token, stream, tls, connected, deadline, flow } = adopted;
        self.sockets += 1;
        match self.net.insert(Conn::new(stream, tls, 0, connected), deadline) {
            Ok(local) => {
                let link =
                    Link { token, flow, outgoing: Outgoing::default(), then: Then::GoOn, is_dirty: false };
                self.links.insert(local, link);
                self.locals.insert(token, local);
            }
            Err(error) => self.reports.push(Report::Closed(token, CloseReason::Lost(error))),
        }
    }

    /// The link of the loop's `token`, which is going to have something new to send.
    fn touch(&mut self, token: ConnToken) -> Option<&mut Link> {
        let local = self.locals.get(&token)?;
        let link = self.links.get_mut(local)?;
        if !std::mem::replace(&mut link.is_dirty, true) {
            self.dirty.push(*local);
        }
        Some(link)
    }

    /// One write for each connection, however many pieces have come for it.
    fn send_all(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for local in dirty.drain(..) {
            if let Some(link) = self.links.get_mut(&local) {
                link.is_dirty = false;
                self.send(local);
            }
        }
        self.dirty = dirty;
    }

    /// Sends what the socket takes, and does what comes then.
    fn send(&mut self, local: ConnToken) {
        let Some(link) = self.links.get_mut(&local) else { return };
        let before = link.outgoing.remaining();
        let outcome = self.net.write(local, &mut link.outgoing);
        let sent = before - link.outgoing.remaining();
        if sent > 0 && link.flow.outward.take(sent, self.transit_limit) {
            self.reports.push(Report::Writable(link.token));
        }
        match (outcome, link.then) {
            (Write::Blocked, _) | (_, Then::GoOn) => {}
            (Write::Done | Write::Closed, Then::ShutdownWrite) => {
                link.then = Then::GoOn;
                self.net.shutdown_write(local);
            }
            (Write::Done | Write::Closed, Then::Close { deadline, .. }) => {
                self.timers.cancel(local);
                self.net.close_by(local, deadline);
            }
        }
    }

    /// Reads for the loop as long as it has room.
    fn receive(&mut self, local: ConnToken) {
        let Some(link) = self.links.get_mut(&local) else { return };
        if let Then::Close { discard_left, .. } = &mut link.then {
            while let Read::Bytes(bytes) = self.net.read(local) {
                *discard_left = discard_left.saturating_sub(bytes.len());
                if *discard_left == 0 {
                    return self.net.abort(local);
                }
            }
            return;
        }
        loop {
            let inward = &link.flow.inward;
            if inward.bytes() >= self.transit_limit && inward.must_wait(self.transit_limit) {
                return self.net.pause_read(local);
            }
            match self.net.read(local) {
                Read::Bytes(bytes) => {
                    for piece in bytes.chunks(PIECE) {
                        inward.give(cost(piece));
                        let buffer = match self.spare.pop_if(|_| piece.len() > SMALL) {
                            Some(mut buffer) => {
                                buffer.clear();
                                buffer.extend_from_slice(piece);
                                buffer
                            }
                            None => fresh(piece),
                        };
                        self.reports.push(Report::Received(link.token, buffer));
                    }
                }
                Read::Eof => return self.reports.push(Report::Ended(link.token)),
                Read::Empty | Read::Closed => return,
            }
        }
    }

    fn forget(&mut self, local: ConnToken, reason: CloseReason) {
        self.timers.cancel(local);
        if let Some(link) = self.links.remove(&local) {
            self.locals.remove(&link.token);
            self.reports.push(Report::Closed(link.token, reason));
        }
    }

    /// Hands over what there is to report, and wakes the loop if there is anything.
    fn hand_over(&mut self) {
        let gone = self.sockets.saturating_sub(self.net.connections());
        if gone > 0 {
            self.sockets -= gone;
            self.reports.push(Report::Gone(gone));
        }
        if self.shared.reports.put(&mut self.reports) {
            self.loop_waker.nudge();
        }
    }
}

fn fresh(piece: &[u8]) -> Vec<u8> {
    if piece.len() <= SMALL {
        return piece.to_vec();
    }
    let mut buffer = Vec::with_capacity(PIECE);
    buffer.extend_from_slice(piece);
    buffer
}

/// Pieces up to this size get a buffer of exactly theirs: idle connections must not hold large ones.
const SMALL: usize = 512;
