//! What a program does with a connection whose socket is another thread's. Same words as in the parent's verbs.

use std::{io, net::SocketAddr, time::Instant};

use bytes::Buf;

use super::{Crew, MIN_PIECE, Order, Phase, Remote, cost, remote_of};
use crate::{CloseReason, ConnToken, NetEvent, Read, Write};

impl Crew {
    pub(in crate::net) fn read(&mut self, token: ConnToken, events: &mut Vec<NetEvent>) -> Read<'_> {
        let Some(remote) = open(&mut self.remotes, token) else { return Read::Closed };
        if remote.eof_told {
            return Read::Eof;
        }
        remote.renew_budget(self.turn, self.read_budget);
        if remote.read_left == 0 {
            return Read::Empty;
        }
        if let Some(bytes) = remote.inbox.pop_front() {
            remote.read_left = remote.read_left.saturating_sub(bytes.len());
            let thread = remote.thread;
            if remote.flow.inward.take(cost(&bytes), self.transit_limit) {
                self.order(thread, Order::Read(token));
            }
            let read = std::mem::replace(&mut self.lent, bytes);
            self.recycle(thread, read);
            return Read::Bytes(&self.lent);
        }
        if remote.ended {
            remote.eof_told = true;
            if remote.is_over() {
                self.end(token, events);
            }
            return Read::Eof;
        }
        if remote.is_over() {
            self.end(token, events);
            return Read::Closed;
        }
        Read::Empty
    }

    pub(in crate::net) fn write(&mut self, token: ConnToken, bytes: &mut impl Buf) -> Write {
        let limit = self.transit_limit;
        let Some(remote) = remote_of(&mut self.remotes, token) else { return Write::Closed };
        match remote.phase {
            Phase::Opening => {
                remote.write_blocked = true;
                return Write::Blocked;
            }
            Phase::Lingering => return Write::Closed,
            Phase::Open if remote.write_ended || remote.ending.is_some() => return Write::Closed,
            Phase::Open => {}
        }
        let Some(thread) = self.threads.get_mut(remote.thread) else { return Write::Closed };
        loop {
            let mut room = limit.saturating_sub(remote.flow.outward.bytes());
            while room > 0 && bytes.has_remaining() {
                let count = bytes.chunk().len().max(MIN_PIECE).min(bytes.remaining()).min(room);
                room -= count;
                remote.flow.outward.give(count);
                thread.orders.push(Order::Send(token, bytes.copy_to_bytes(count)));
            }
            if !bytes.has_remaining() {
                remote.write_blocked = false;
                return Write::Done;
            }
            // Each round fills what the thread has taken since the turn began, which is no more than the limit.
            if remote.flow.outward.must_wait(limit) {
                remote.write_blocked = true;
                return Write::Blocked;
            }
        }
    }

    /// Bytes that were written and that the I/O thread has not yet brought to the socket or its TLS session.
    pub(in crate::net) fn in_transit(&self, token: ConnToken) -> usize {
        self.remote(token).map_or(0, |remote| remote.flow.outward.bytes())
    }

    pub(in crate::net) fn pause_read(&mut self, token: ConnToken) {
        if let Some(remote) = remote_of(&mut self.remotes, token) {
            remote.paused = true;
            self.enqueue(token);
        }
    }

    pub(in crate::net) fn resume_read(&mut self, token: ConnToken) {
        if let Some(remote) = remote_of(&mut self.remotes, token) {
            remote.paused = false;
            self.enqueue(token);
        }
    }

    pub(in crate::net) fn shutdown_write(&mut self, token: ConnToken) {
        let Some(remote) = open(&mut self.remotes, token).filter(|remote| !remote.write_ended) else {
            return;
        };
        remote.write_ended = true;
        remote.write_blocked = false;
        let thread = remote.thread;
        self.order(thread, Order::ShutdownWrite(token));
    }

    pub(in crate::net) fn close(&mut self, token: ConnToken, events: &mut Vec<NetEvent>) {
        let Some(remote) = remote_of(&mut self.remotes, token) else { return };
        match remote.phase {
            Phase::Opening => self.abort(token, events),
            Phase::Open if remote.ending.is_some() => self.remove(token, CloseReason::Local, events),
            Phase::Open => {
                remote.phase = Phase::Lingering;
                remote.inbox.clear();
                let thread = remote.thread;
                self.order(thread, Order::Close(token, Instant::now() + self.linger_timeout));
            }
            Phase::Lingering => {}
        }
    }

    pub(in crate::net) fn abort(&mut self, token: ConnToken, events: &mut Vec<NetEvent>) {
        let Some(remote) = remote_of(&mut self.remotes, token) else { return };
        let thread = remote.thread;
        self.remove(token, CloseReason::Local, events);
        self.order(thread, Order::Abort(token));
    }

    pub(in crate::net) fn peer_addr(&self, token: ConnToken) -> io::Result<SocketAddr> {
        let remote = self.remote(token).filter(|remote| remote.phase != Phase::Opening);
        Ok(remote.ok_or(io::ErrorKind::NotConnected)?.peer)
    }

    pub(in crate::net) fn local_addr(&self, token: ConnToken) -> io::Result<SocketAddr> {
        Ok(self.remote(token).and_then(|remote| remote.local).ok_or(io::ErrorKind::NotConnected)?)
    }

    fn remote(&self, token: ConnToken) -> Option<&Remote> {
        self.remotes.get(token.slot as usize).filter(|remote| remote.generation == token.generation)
    }
}

fn open(remotes: &mut slab::Slab<Remote>, token: ConnToken) -> Option<&mut Remote> {
    remote_of(remotes, token).filter(|remote| remote.phase == Phase::Open)
}
