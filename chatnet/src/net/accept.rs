//! Listeners: taking connections within the bounds, and pausing when there is no room.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Instant,
};

use mio::{
    Interest, Token,
    net::{TcpListener, TcpStream},
};

use super::{Alarm, Conn, Crew, FIRST_LISTENER, MAX_LISTENERS, Net, shared};
use crate::{
    AcceptPause, CloseReason, ConnToken, ListenerId, NetEvent, Security, config::MIN_SEND_BUFFER,
    tls::Session,
};

/// One listening socket.
#[derive(Debug)]
pub(super) struct Listener {
    socket: TcpListener,
    security: Security,
    /// Connections may be waiting: an edge came, and no accept found none since.
    ready: bool,
    /// Paused until the retry timer, after the system refused.
    refused: bool,
    /// The program was told that the bounds are reached, once until nobody waits any more: each caller that is let in
    /// makes the next one wait, and they may be many.
    full_told: bool,
}

impl Listener {
    fn is_waiting(&self) -> bool {
        self.ready && !self.refused
    }
}

impl Net {
    /// Listens on `addr`; port 0 lets the system choose. Returns the address with the real port.
    ///
    /// # Errors
    /// When the system refuses, for instance because the port is in use, or with `QuotaExceeded` beyond 62 listeners.
    pub fn listen(&mut self, addr: SocketAddr, security: Security) -> io::Result<(ListenerId, SocketAddr)> {
        self.add_listener(TcpListener::bind(addr)?, security)
    }

    /// As [`listen`](Self::listen), on a port that [`connect_from`](Self::connect_from) can dial from.
    ///
    /// # Errors
    /// As `listen`.
    pub fn listen_shared(
        &mut self,
        addr: SocketAddr,
        security: Security,
    ) -> io::Result<(ListenerId, SocketAddr)> {
        self.add_listener(shared::listen(addr)?, security)
    }

    fn add_listener(
        &mut self,
        mut socket: TcpListener,
        security: Security,
    ) -> io::Result<(ListenerId, SocketAddr)> {
        let local = socket.local_addr()?;
        let entry = self.listeners.vacant_entry();
        let id = ListenerId(entry.key());
        if id.0 >= MAX_LISTENERS {
            return Err(io::Error::new(io::ErrorKind::QuotaExceeded, "too many listeners"));
        }
        self.poll.registry().register(&mut socket, Token(FIRST_LISTENER + id.0), Interest::READABLE)?;
        entry.insert(Listener { socket, security, ready: false, refused: false, full_told: false });
        Ok((id, local))
    }

    /// Stops listening. Connections that were accepted stay.
    pub fn close_listener(&mut self, id: ListenerId) {
        if let Some(mut listener) = self.listeners.try_remove(id.0) {
            self.timers.cancel(Alarm::Listener(id));
            // The descriptor closes right here, and with it ends its registration.
            let _ = self.poll.registry().deregister(&mut listener.socket);
        }
    }

    /// What connections that are accepted from now on speak, for instance with a renewed certificate; those that exist go
    /// on as they are. `false` when there is no such listener.
    pub fn set_security(&mut self, id: ListenerId, security: Security) -> bool {
        let listener = self.listeners.get_mut(id.0);
        listener.map(|listener| listener.security = security).is_some()
    }

    pub(super) fn note_listener(&mut self, slot: usize) {
        if let Some(listener) = self.listeners.get_mut(slot) {
            listener.ready = true;
        }
    }

    pub(super) fn retry_accept(&mut self, id: ListenerId) {
        if let Some(listener) = self.listeners.get_mut(id.0) {
            listener.refused = false;
        }
    }

    /// Whether a connection may be waiting that there is room for.
    pub(super) fn can_accept(&self) -> bool {
        self.bars_all().is_none() && self.is_called()
    }

    fn is_called(&self) -> bool {
        self.listeners.iter().any(|(_, listener)| listener.is_waiting())
    }

    /// When somebody has to give way to a connection that may be waiting.
    pub(super) fn next_place(&self) -> Option<Instant> {
        let is_awaited = self.is_called() && self.is_handshaking_full();
        self.admission.next_overdue().filter(|_| is_awaited)
    }

    fn is_handshaking_full(&self) -> bool {
        matches!(self.full(), Some(AcceptPause::TooManyHandshakes))
    }

    /// The handshake that has to give way, if any has had its time.
    fn overdue(&self) -> Option<ConnToken> {
        self.admission.gives_way(Instant::now(), |token| self.is_unheard(*token))
    }

    /// Whether a caller may have said something that nobody has looked at yet. I/O threads do not tell.
    fn is_unheard(&self, token: ConnToken) -> bool {
        let conn = self.conns.get(token.slot as usize).filter(|conn| conn.generation == token.generation);
        conn.is_some_and(Conn::is_unheard)
    }

    /// Makes room for a handshake that begins.
    fn make_place(&mut self) {
        let Some(token) = self.overdue().filter(|_| self.is_handshaking_full()) else { return };
        self.admission.ends(&token);
        if self.crew.is_some() {
            self.abort(token);
        } else {
            self.remove(token, Some(CloseReason::HandshakeTimeout));
        }
    }

    pub(super) fn accept_ready(&mut self) {
        for slot in 0..MAX_LISTENERS {
            for _ in 0..self.config.max_accepts_per_turn.max(1) {
                if !self.accept_one(ListenerId(slot)) {
                    break;
                }
            }
        }
    }

    /// Takes one connection; false when this listener has none, or there is no room.
    fn accept_one(&mut self, id: ListenerId) -> bool {
        if !self.listeners.get(id.0).is_some_and(Listener::is_waiting) {
            return false;
        }
        let full = self.bars_all();
        let Some(listener) = self.listeners.get_mut(id.0) else { return false };
        if let Some(cause) = full {
            if !listener.full_told {
                listener.full_told = true;
                self.events.push(NetEvent::AcceptPaused { listener: id, cause });
            }
            return false;
        }
        match listener.socket.accept() {
            // Dropped: what this caller wants is nobody's business yet.
            Ok((_, peer)) if !self.admission.admits(peer.ip(), Instant::now()) => true,
            Ok((stream, peer)) => {
                self.make_place();
                let Some(listener) = self.listeners.get_mut(id.0) else { return false };
                let security = listener.security.clone();
                self.welcome(id, stream, peer, &security);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                listener.ready = false;
                listener.full_told = false;
                false
            }
            // The caller's fault, or nobody's: the next one may be fine.
            Err(error) if SPARE.contains(&error.kind()) => true,
            Err(error) => {
                listener.refused = true;
                self.timers.set(Alarm::Listener(id), Instant::now() + self.config.accept_retry);
                let cause = AcceptPause::System(error);
                self.events.push(NetEvent::AcceptPaused { listener: id, cause });
                false
            }
        }
    }

    /// Makes a connection of an accepted socket. One that is broken already is dropped: nobody has heard of it.
    fn welcome(&mut self, listener: ListenerId, stream: TcpStream, peer: SocketAddr, security: &Security) {
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let Ok(tls) = Session::new(security, peer.ip(), self.send_limit()) else { return };
        let deadline = tls.is_some().then(|| Instant::now() + self.config.handshake_timeout);
        let is_plain = tls.is_none();
        let Ok(token) = self.admit(stream, tls, true, deadline, peer) else { return };
        if !is_plain {
            self.admission.begins(token, peer.ip(), Instant::now());
        }
        self.events.push(NetEvent::Accepted { token, listener, peer: canonical(peer) });
        if is_plain {
            self.events.push(NetEvent::Connected { token, tls: None });
        }
    }

    /// Which bound keeps everybody out, if any; not one at which somebody gives way.
    fn bars_all(&self) -> Option<AcceptPause> {
        let gives_way =
            |cause: &AcceptPause| matches!(cause, AcceptPause::TooManyHandshakes) && self.overdue().is_some();
        self.full().filter(|cause| !gives_way(cause))
    }

    /// Which bound is reached, if any.
    fn full(&self) -> Option<AcceptPause> {
        let handshakes = self.crew.as_ref().map_or(self.handshakes, Crew::handshakes);
        if self.connections() >= self.config.max_connections {
            Some(AcceptPause::TooManyConnections)
        } else if handshakes >= self.config.max_handshakes {
            Some(AcceptPause::TooManyHandshakes)
        } else {
            None
        }
    }

    /// The bound of a session's ciphertext; at least one record's worth, or nothing could be sent at all.
    pub(super) fn send_limit(&self) -> usize {
        self.config.tls_send_buffer.max(MIN_SEND_BUFFER)
    }
}

/// An IPv4 caller of a dual-stack socket as what it is, so that limits per address count it once.
fn canonical(addr: SocketAddr) -> SocketAddr {
    match addr.ip().to_canonical() {
        IpAddr::V4(ip) => SocketAddr::new(ip.into(), addr.port()),
        IpAddr::V6(_) => addr,
    }
}

/// Failures of `accept` that concern one caller only, or nobody.
const SPARE: [io::ErrorKind; 3] =
    [io::ErrorKind::Interrupted, io::ErrorKind::ConnectionAborted, io::ErrorKind::ConnectionReset];
