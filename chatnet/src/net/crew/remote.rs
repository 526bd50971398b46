//! One connection as the loop sees it, whose socket is another thread's.

use std::{collections::VecDeque, net::SocketAddr, sync::Arc};

use super::flow::Flow;
use crate::CloseReason;

/// What the loop knows of a connection.
#[derive(Debug)]
pub(super) struct Remote {
    pub(super) generation: u32,
    /// Whose socket it is.
    pub(super) thread: usize,
    pub(super) phase: Phase,
    pub(super) is_tls: bool,
    pub(super) flow: Arc<Flow>,
    /// Received and not yet read by the program.
    pub(super) inbox: VecDeque<Vec<u8>>,
    /// The other side has ended its direction, after what is in the inbox.
    pub(super) ended: bool,
    /// The program was told so.
    pub(super) eof_told: bool,
    /// The socket is gone; the program learns it when it has read what came before.
    pub(super) ending: Option<CloseReason>,
    /// The program does not want to read.
    pub(super) paused: bool,
    /// The program has ended our direction.
    pub(super) write_ended: bool,
    /// The program has bytes left from a blocked write and waits for `Writable`.
    pub(super) write_blocked: bool,
    /// On the ready list.
    pub(super) queued: bool,
    pub(super) peer: SocketAddr,
    pub(super) local: Option<SocketAddr>,
    budget_turn: u64,
    pub(super) read_left: usize,
}

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Being connected, or in its TLS handshake.
    Opening,
    /// The program reads and writes.
    Open,
    /// Closed by the program; the I/O thread sends the last bytes.
    Lingering,
}

impl Remote {
    pub(super) fn new(
        thread: usize,
        is_tls: bool,
        connected: bool,
        peer: SocketAddr,
        local: Option<SocketAddr>,
    ) -> Self {
        Self {
            generation: 0,
            thread,
            phase: if connected && !is_tls { Phase::Open } else { Phase::Opening },
            is_tls,
            flow: Arc::default(),
            inbox: VecDeque::new(),
            ended: false,
            eof_told: false,
            ending: None,
            paused: false,
            write_ended: false,
            write_blocked: false,
            queued: false,
            peer,
            local,
            budget_turn: 0,
            read_left: 0,
        }
    }

    /// Gives a turn's budget, once a turn.
    pub(super) fn renew_budget(&mut self, turn: u64, read: usize) {
        if self.budget_turn != turn {
            self.budget_turn = turn;
            self.read_left = read;
        }
    }

    /// Whether the program is to be told that it can read.
    pub(super) fn wants_read(&self) -> bool {
        self.phase == Phase::Open && !self.paused && self.has_unread()
    }

    /// Whether the program would lose nothing if it were told of the end now.
    pub(super) fn is_over(&self) -> bool {
        // Who does not read would never find out that the connection broke.
        let is_lost = self.paused && matches!(self.ending, Some(CloseReason::Lost(_)));
        self.phase == Phase::Open && self.ending.is_some() && (is_lost || !self.has_unread())
    }

    fn has_unread(&self) -> bool {
        !self.inbox.is_empty() || (self.ended && !self.eof_told)
    }
}
