//! What the loop and an I/O thread tell each other, and how it gets there.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use mio::net::TcpStream;

use super::flow::Flow;
use crate::{CloseReason, ConnToken, NetConfig, TlsInfo, tls::Session};

/// From the loop to an I/O thread. Tokens are the loop's.
pub(super) enum Order {
    /// A new connection.
    Adopt(Box<Adopted>),
    /// The next bytes to send.
    Send(ConnToken, Bytes),
    /// The program has read: there is room for more.
    Read(ConnToken),
    /// End our direction after all that was sent.
    ShutdownWrite(ConnToken),
    /// Close politely after all that was sent, by this time.
    Close(ConnToken, Instant),
    /// Close at once.
    Abort(ConnToken),
    /// Other bounds.
    Configure(Box<NetConfig>),
    /// Send what was ordered, by this time, and end.
    Stop(Instant),
}

/// A connection on its way to its I/O thread.
pub(super) struct Adopted {
    pub(super) token: ConnToken,
    pub(super) stream: TcpStream,
    pub(super) tls: Option<Box<Session>>,
    /// The TCP connection stands.
    pub(super) connected: bool,
    /// Until when everything must be connected.
    pub(super) deadline: Option<Instant>,
    pub(super) flow: Arc<Flow>,
}

/// From an I/O thread to the loop. Tokens are the loop's.
pub(super) enum Report {
    /// The other side's part of the TLS handshake has begun, and has its answer.
    Answered(ConnToken),
    Connected(ConnToken, Option<Box<TlsInfo>>),
    /// The next bytes that were received.
    Received(ConnToken, Vec<u8>),
    /// The other side has ended its direction.
    Ended(ConnToken),
    /// There is room for more to send.
    Writable(ConnToken),
    /// The last report of a connection.
    Closed(ConnToken, CloseReason),
    /// So many sockets are gone since the last time.
    Gone(usize),
}

/// A queue between two threads that is filled and emptied a batch at a time. Neither side ever waits for the other, and
/// both keep using the same memory.
///
/// It has no bound of its own: what is in it is bounded for each connection by its [`Flow`].
pub(super) struct Lane<T>(Mutex<Vec<T>>);

impl<T> Lane<T> {
    /// Puts `batch` in, which is empty then. Says whether there was anything.
    pub(super) fn put(&self, batch: &mut Vec<T>) -> bool {
        if batch.is_empty() {
            return false;
        }
        let mut waiting = self.lock();
        if waiting.is_empty() {
            mem::swap(&mut *waiting, batch);
        } else {
            waiting.append(batch);
        }
        true
    }

    /// Takes everything out, behind what is in `batch`.
    pub(super) fn take(&self, batch: &mut Vec<T>) {
        let mut waiting = self.lock();
        if batch.is_empty() {
            mem::swap(&mut *waiting, batch);
        } else {
            batch.append(&mut waiting);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<T>> {
        // Nothing under the lock can leave a list half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Default for Lane<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}
