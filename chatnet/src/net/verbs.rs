//! What a program does with a connection. On a token whose connection is gone, nothing happens.
//!
//! With I/O threads these verbs only note what is wanted: it begins with the next turn.

use std::{io, net::SocketAddr, time::Instant};

use bytes::Buf;

use super::{Conn, Net, Phase, conn::Found, conn_of};
use crate::{CloseReason, ConnToken, Read, Write};

impl Net {
    /// Reads the next bytes of a connection, into a buffer that all connections share.
    ///
    /// Call it until it says [`Read::Empty`], [`Read::Eof`] or [`Read::Closed`], or stop in between with
    /// [`pause_read`](Self::pause_read): what is not read stays in the socket and slows the other side down.
    pub fn read(&mut self, token: ConnToken) -> Read<'_> {
        if self.crew.is_none() {
            return self.read_socket(token);
        }
        let Some(crew) = &mut self.crew else { return Read::Closed };
        crew.read(token, &mut self.events)
    }

    fn read_socket(&mut self, token: ConnToken) -> Read<'_> {
        let Some(conn) = open(conn_of(&mut self.conns, token)) else { return Read::Closed };
        conn.renew_budgets(self.turn, self.config.read_budget.max(1), self.config.write_budget.max(1));
        match conn.read(&mut self.buffers) {
            Err(reason) => {
                self.fail(token, reason);
                Read::Closed
            }
            Ok(found) => {
                // An end may finish the connection, a key update may want an answer, a budget may be spent.
                if found == Found::Eof && conn.is_finished() {
                    self.remove(token, Some(CloseReason::Finished));
                } else {
                    self.enqueue(token);
                }
                match found {
                    Found::Raw(count) => Read::Bytes(self.buffers.raw.get(..count).unwrap_or_default()),
                    Found::Plain => Read::Bytes(&self.buffers.plain),
                    Found::Nothing => Read::Empty,
                    Found::Eof => Read::Eof,
                }
            }
        }
    }

    /// Takes the bytes that can be sent now from `bytes`, many small pieces in one system call, and leaves the rest
    /// for later. Most efficient once a turn for each connection that has something to send.
    ///
    /// With TLS, what was taken may still wait in the session (see [`has_unsent`](Self::has_unsent)), and with I/O threads
    /// for its thread (see [`in_transit`](Self::in_transit)); the loop sends it by itself. With I/O threads, pieces are
    /// taken by [`Buf::copy_to_bytes`], which a queue of shared pieces can do without copying.
    pub fn write(&mut self, token: ConnToken, bytes: &mut impl Buf) -> Write {
        if let Some(crew) = &mut self.crew {
            return crew.write(token, bytes);
        }
        let Some(conn) = conn_of(&mut self.conns, token) else { return Write::Closed };
        if matches!(conn.phase, Phase::Connecting | Phase::Handshaking) {
            conn.write_blocked = true;
            return Write::Blocked;
        }
        let Some(conn) = open(Some(conn)) else { return Write::Closed };
        conn.renew_budgets(self.turn, self.config.read_budget.max(1), self.config.write_budget.max(1));
        match conn.write(bytes) {
            Ok(outcome) => {
                self.enqueue(token);
                outcome
            }
            Err(reason) => {
                self.fail(token, reason);
                Write::Closed
            }
        }
    }

    /// Bytes that [`write`](Self::write) took and that still wait for the connection's I/O thread, at most
    /// [`max_in_transit`](crate::NetConfig::max_in_transit). Always 0 without I/O threads.
    #[must_use]
    pub fn in_transit(&self, token: ConnToken) -> usize {
        self.crew.as_ref().map_or(0, |crew| crew.in_transit(token))
    }

    /// Whether bytes that [`write`](Self::write) took wait in the connection's TLS session for the socket. With I/O
    /// threads, whether any wait for its thread.
    #[must_use]
    pub fn has_unsent(&self, token: ConnToken) -> bool {
        if self.crew.is_some() {
            return self.in_transit(token) > 0;
        }
        self.conn(token).is_some_and(Conn::unsent)
    }

    /// No more `Readable` for this connection, until [`resume_read`](Self::resume_read).
    pub fn pause_read(&mut self, token: ConnToken) {
        if let Some(crew) = &mut self.crew {
            return crew.pause_read(token);
        }
        if let Some(conn) = self.conn_mut(token) {
            conn.paused = true;
        }
    }

    /// Ends a pause: what arrived meanwhile is told in the next turn.
    pub fn resume_read(&mut self, token: ConnToken) {
        if let Some(crew) = &mut self.crew {
            return crew.resume_read(token);
        }
        if let Some(conn) = self.conn_mut(token) {
            conn.paused = false;
            self.enqueue(token);
        }
    }

    /// Ends our direction of an open connection after all bytes that [`write`](Self::write) took; the other side reads [`Read::Eof`] and can go
    /// on sending. When both directions have ended, the connection closes with [`CloseReason::Finished`].
    pub fn shutdown_write(&mut self, token: ConnToken) {
        if let Some(crew) = &mut self.crew {
            return crew.shutdown_write(token);
        }
        let Some(conn) = open(conn_of(&mut self.conns, token)) else { return };
        match conn.end_write() {
            Ok(()) if conn.is_finished() => self.remove(token, Some(CloseReason::Finished)),
            Ok(()) => self.enqueue(token),
            Err(error) => self.fail(token, CloseReason::Lost(error)),
        }
    }

    /// Closes politely: sends the bytes that [`write`](Self::write) took, ends our direction, throws away what
    /// still arrives, and waits for the other side's end, at most
    /// [`linger_timeout`](crate::NetConfig::linger_timeout). From now on the connection has no events but `Closed` with
    /// [`CloseReason::Local`] when that is done.
    pub fn close(&mut self, token: ConnToken) {
        if let Some(crew) = &mut self.crew {
            return crew.close(token, &mut self.events);
        }
        let Some(conn) = self.conn_mut(token) else { return };
        match conn.phase {
            Phase::Connecting | Phase::Handshaking => self.remove(token, Some(CloseReason::Local)),
            Phase::Open => self.close_by(token, Instant::now() + self.config.linger_timeout),
            Phase::Lingering { .. } => {}
        }
    }

    /// Like [`close`](Self::close) of an open connection, with a deadline of the caller's.
    pub(super) fn close_by(&mut self, token: ConnToken, deadline: Instant) {
        if self.conn(token).is_some_and(|conn| matches!(conn.phase, Phase::Open)) {
            self.linger(token, Some(CloseReason::Local), deadline);
        }
    }

    /// Closes at once, whatever is under way; `Closed` with [`CloseReason::Local`] comes in the next turn.
    pub fn abort(&mut self, token: ConnToken) {
        if let Some(crew) = &mut self.crew {
            return crew.abort(token, &mut self.events);
        }
        let Some(conn) = self.conn_mut(token) else { return };
        // If it broke before, the program knows.
        let told = matches!(conn.phase, Phase::Lingering { reason: None, .. });
        self.remove(token, (!told).then_some(CloseReason::Local));
    }

    /// The address of the other side.
    ///
    /// # Errors
    /// When the connection is gone, or not connected yet.
    pub fn peer_addr(&self, token: ConnToken) -> io::Result<SocketAddr> {
        if let Some(crew) = &self.crew {
            return crew.peer_addr(token);
        }
        self.conn(token).ok_or(io::ErrorKind::NotConnected)?.stream.peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn local_addr(&self, token: ConnToken) -> io::Result<SocketAddr> {
        if let Some(crew) = &self.crew {
            return crew.local_addr(token);
        }
        self.conn(token).ok_or(io::ErrorKind::NotConnected)?.stream.local_addr()
    }

    fn conn(&self, token: ConnToken) -> Option<&Conn> {
        self.conns.get(token.slot as usize).filter(|conn| conn.generation == token.generation)
    }
}

fn open(conn: Option<&mut Conn>) -> Option<&mut Conn> {
    conn.filter(|conn| matches!(conn.phase, Phase::Open))
}
