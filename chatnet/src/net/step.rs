//! What a connection does when its turn comes.

use std::time::Instant;

use super::{Alarm, Net, Phase};
use crate::{CloseReason, ConnToken, NetEvent};

impl Net {
    /// Moves a connection on as far as its phase, its socket and its budgets allow, and tells the program.
    pub(super) fn step(&mut self, token: ConnToken) {
        let (turn, read, write) =
            (self.turn, self.config.read_budget.max(1), self.config.write_budget.max(1));
        let Some(conn) = self.conn_mut(token) else { return };
        conn.renew_budgets(turn, read, write);
        match conn.phase {
            Phase::Connecting => self.step_connecting(token),
            Phase::Handshaking => self.step_handshaking(token),
            Phase::Open => self.step_open(token),
            Phase::Lingering { .. } => self.step_lingering(token),
        }
    }

    fn step_connecting(&mut self, token: ConnToken) {
        let unsent_limit = self.config.unsent_limit;
        let Some(conn) = self.conn_mut(token) else { return };
        let connected = conn.check_connected();
        if matches!(connected, Ok(true)) {
            conn.limit_unsent(unsent_limit);
        }
        match connected {
            Ok(true) if conn.tls.is_some() => self.step_handshaking(token),
            Ok(true) => {
                self.timers.cancel(Alarm::Conn(token));
                self.events.push(NetEvent::Connected { token, tls: None });
                self.step_open(token);
            }
            Ok(false) => {}
            Err(error) => self.remove(token, Some(CloseReason::ConnectFailed(error))),
        }
    }

    fn step_handshaking(&mut self, token: ConnToken) {
        if self.handshake_steps >= self.config.max_handshake_steps_per_turn.max(1) {
            return;
        }
        let Some(conn) = self.conn_mut(token) else { return };
        let costly = conn.readable;
        let outcome = match conn.handshake() {
            Ok(true) if conn.tls.is_none() => Ok(Some(None)),
            Ok(true) => match conn.tls.as_ref().map(|tls| tls.info()).transpose() {
                Ok(info) => Ok(Some(info.map(Box::new))),
                Err(reason) => Err(reason),
            },
            Ok(false) => Ok(None),
            Err(reason) => Err(reason),
        };
        let is_answered = conn.tls.as_ref().is_some_and(|tls| tls.is_answered());
        self.handshake_steps += usize::from(costly);
        match outcome {
            Ok(None) if is_answered => self.answered.push(token),
            Ok(None) => {}
            Ok(Some(tls)) => {
                self.handshakes -= 1;
                self.timers.cancel(Alarm::Conn(token));
                self.events.push(NetEvent::Connected { token, tls });
                self.step_open(token);
            }
            Err(reason) => self.fail(token, reason),
        }
    }

    fn step_open(&mut self, token: ConnToken) {
        let Some(conn) = self.conn_mut(token) else { return };
        if let Err(error) = conn.flush() {
            return self.fail(token, CloseReason::Lost(error));
        }
        let can_write = conn.write_blocked && conn.writable;
        conn.write_blocked &= !can_write;
        let can_read = conn.wants_read();
        if conn.is_finished() {
            return self.remove(token, Some(CloseReason::Finished));
        }
        if can_read {
            self.events.push(NetEvent::Readable { token });
        }
        if can_write {
            self.events.push(NetEvent::Writable { token });
        }
    }

    fn step_lingering(&mut self, token: ConnToken) {
        // Not by `conn_mut`, which would borrow the buffers as well.
        let Some(conn) = super::conn_of(&mut self.conns, token) else { return };
        if conn.linger(&mut self.buffers)
            && let Phase::Lingering { reason, .. } = &mut conn.phase
        {
            let reason = reason.take();
            self.remove(token, reason);
        }
    }

    /// Ends a connection that broke. The program learns it now; if TLS has an alert to send, the socket lingers for it.
    pub(super) fn fail(&mut self, token: ConnToken, reason: CloseReason) {
        let Some(conn) = self.conn_mut(token) else { return };
        if conn.unsent() && !matches!(reason, CloseReason::Lost(_)) {
            self.events.push(NetEvent::Closed { token, reason });
            self.linger(token, None, Instant::now() + self.config.linger_timeout);
        } else {
            self.remove(token, Some(reason));
        }
    }

    /// Closes a connection for the program, sends what is under way and waits for the other side's end, until `deadline`.
    pub(super) fn linger(&mut self, token: ConnToken, reason: Option<CloseReason>, deadline: Instant) {
        let discard_left = self.config.max_linger_bytes;
        let Some(conn) = super::conn_of(&mut self.conns, token) else { return };
        if matches!(conn.phase, Phase::Connecting | Phase::Handshaking) {
            self.handshakes -= usize::from(conn.tls.is_some());
        }
        conn.phase = Phase::Lingering { reason, discard_left };
        // What the program was told of the end holds; else the socket is asked again.
        conn.readable = !conn.eof_told;
        self.timers.set(Alarm::Conn(token), deadline);
        // A failure shows again in the step, which then ends it.
        let _ = conn.end_write();
        self.enqueue(token);
    }
}
