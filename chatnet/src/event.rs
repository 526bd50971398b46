//! What a turn of the loop reports, and what reading and writing answer.

use std::{io, net::SocketAddr, time::Duration};

use crate::{CloseReason, ConnToken, ListenerId, Signal, TlsInfo};

/// One fact from a turn of the loop.
///
/// The life of a connection: `Accepted` (accepted ones only), then `Connected`, then any number of `Readable` and
/// `Writable`, then exactly one `Closed`. Only `Closed` may come at any time.
#[derive(Debug)]
pub enum NetEvent {
    /// A listener took a connection. It can be closed at once; nothing can be sent on it before `Connected`.
    Accepted {
        /// The new connection.
        token: ConnToken,
        /// Who took it.
        listener: ListenerId,
        /// The caller's address, an IPv4 address always in its IPv4 form.
        peer: SocketAddr,
    },
    /// The connection is open for bytes: for TLS, the handshake is complete.
    Connected {
        /// The connection.
        token: ConnToken,
        /// Who the other side proved to be; `None` for a plain connection.
        tls: Option<Box<TlsInfo>>,
    },
    /// Bytes, or the end, may be waiting: call [`Net::read`](crate::Net::read) until it has none, or
    /// [`Net::pause_read`](crate::Net::pause_read). Repeated each turn until one of them happened.
    Readable {
        /// The connection.
        token: ConnToken,
    },
    /// A write that ended with [`Write::Blocked`] can go on. Told once per blocked write.
    Writable {
        /// The connection.
        token: ConnToken,
    },
    /// The connection is gone and its token is dead. The last event of each connection.
    Closed {
        /// The connection.
        token: ConnToken,
        /// Why.
        reason: CloseReason,
    },
    /// A listener takes no connections for a while, by itself: it goes on when there is room.
    AcceptPaused {
        /// The listener.
        listener: ListenerId,
        /// Why.
        cause: AcceptPause,
    },
    /// A [`Waker`](crate::Waker) was used since the last turn: look into the mailboxes and pools.
    Woken,
    /// The process got a signal that was asked for with [`Net::watch_signals`](crate::Net::watch_signals).
    Signal(Signal),
}

/// What an I/O thread has to do, see [`Net::io_threads`](crate::Net::io_threads).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IoThreadStats {
    /// Its connections, with those that linger.
    pub connections: usize,
    /// Turns of its loop since the start.
    pub turns: u64,
    /// How long it has worked since the start, which is the time that it did not wait.
    pub busy: Duration,
}

/// Why a listener stopped taking connections for a while.
#[derive(Debug)]
pub enum AcceptPause {
    /// [`NetConfig::max_connections`](crate::NetConfig::max_connections) is reached.
    TooManyConnections,
    /// [`NetConfig::max_handshakes`](crate::NetConfig::max_handshakes) is reached.
    TooManyHandshakes,
    /// The system refused, for instance for lack of descriptors; tried again after
    /// [`NetConfig::accept_retry`](crate::NetConfig::accept_retry).
    System(io::Error),
}

/// What [`Net::read`](crate::Net::read) found.
#[derive(Debug, PartialEq, Eq)]
pub enum Read<'a> {
    /// Bytes, at least one, in the loop's shared buffer: copy what is to be kept. Read again for more.
    Bytes(&'a [u8]),
    /// Nothing more in this turn: the socket is dry or the budget is spent. `Readable` tells when to go on.
    Empty,
    /// The other side has ended its direction, properly: nothing will follow. It may still be written to.
    Eof,
    /// The connection is not open; if it broke just now, `Closed` follows in the next turn.
    Closed,
}

/// What [`Net::write`](crate::Net::write) achieved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// All bytes were taken.
    Done,
    /// Bytes are left in the buffer. `Writable` tells when to go on.
    Blocked,
    /// The connection is not open for writing; if it broke just now, `Closed` follows in the next turn.
    Closed,
}
