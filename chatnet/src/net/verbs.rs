//! What a program does with a connection. On a token whose connection is gone, nothing happens.

use std::{io, net::SocketAddr};

use bytes::Buf;

use super::{Conn, Net, Phase, conn::Found, conn_of};
use crate::{CloseReason, ConnToken, Read, Write};

impl Net {
    /// Reads the next bytes of a connection, into a buffer that all connections share.
    ///
    /// Call it until it says [`Read::Empty`], [`Read::Eof`] or [`Read::Closed`], or stop in between with
    /// [`pause_read`](Self::pause_read): what is not read stays in the socket and slows the other side down.
    pub fn read(&mut self, token: ConnToken) -> Read<'_> {
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
    /// With TLS, what was taken may still wait in the session (see [`has_unsent`](Self::has_unsent)); the loop sends it
    /// by itself.
    pub fn write(&mut self, token: ConnToken, bytes: &mut impl Buf) -> Write {
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

    /// Whether encrypted bytes wait in the connection's TLS session for the socket.
    #[must_use]
    pub fn has_unsent(&self, token: ConnToken) -> bool {
        self.conn(token).is_some_and(Conn::unsent)
    }

    /// No more `Readable` for this connection, until [`resume_read`](Self::resume_read).
    pub fn pause_read(&mut self, token: ConnToken) {
        if let Some(conn) = self.conn_mut(token) {
            conn.paused = true;
        }
    }

    /// Ends a pause: what arrived meanwhile is told in the next turn.
    pub fn resume_read(&mut self, token: ConnToken) {
        if let Some(conn) = self.conn_mut(token) {
            conn.paused = false;
            self.enqueue(token);
        }
    }

    /// Ends our direction of an open connection after all bytes that [`write`](Self::write) took; the other side reads [`Read::Eof`] and can go
    /// on sending. When both directions have ended, the connection closes with [`CloseReason::Finished`].
    pub fn shutdown_write(&mut self, token: ConnToken) {
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
        let Some(conn) = self.conn_mut(token) else { return };
        match conn.phase {
            Phase::Connecting | Phase::Handshaking => self.remove(token, Some(CloseReason::Local)),
            Phase::Open => self.linger(token, Some(CloseReason::Local)),
            Phase::Lingering { .. } => {}
        }
    }

    /// Closes at once, whatever is under way; `Closed` with [`CloseReason::Local`] comes in the next turn.
    pub fn abort(&mut self, token: ConnToken) {
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
        self.conn(token).ok_or(io::ErrorKind::NotConnected)?.stream.peer_addr()
    }

    /// The address of this side.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn local_addr(&self, token: ConnToken) -> io::Result<SocketAddr> {
        self.conn(token).ok_or(io::ErrorKind::NotConnected)?.stream.local_addr()
    }

    fn conn(&self, token: ConnToken) -> Option<&Conn> {
        self.conns.get(token.slot as usize).filter(|conn| conn.generation == token.generation)
    }
}

fn open(conn: Option<&mut Conn>) -> Option<&mut Conn> {
    conn.filter(|conn| matches!(conn.phase, Phase::Open))
}
