//! An I/O thread as the loop holds it.

use std::{
    fmt, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{Builder, JoinHandle},
    time::Duration,
};

use super::{
    lane::{Lane, Order, Report},
    worker::Worker,
};
use crate::{IoThreadStats, NetConfig, Waker, net::Net};

/// One I/O thread, and what waits to be handed to it.
pub(super) struct IoThread {
    shared: Arc<Shared>,
    /// Ends the thread's wait.
    waker: Waker,
    handle: Option<JoinHandle<()>>,
    pub(super) orders: Vec<Order>,
    /// Buffers that the program has read, for the thread to use again.
    spare: Vec<Vec<u8>>,
    /// How many there are, with those that linger.
    pub(super) sockets: usize,
}

/// What the loop and one I/O thread share.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) orders: Lane<Order>,
    pub(super) reports: Lane<Report>,
    pub(super) spare: Lane<Vec<u8>>,
    has_ended: AtomicBool,
    turns: AtomicU64,
    busy_us: AtomicU64,
}

impl IoThread {
    /// Starts a thread with a loop of its own.
    pub(super) fn start(number: usize, config: &NetConfig, loop_waker: Waker) -> io::Result<Self> {
        let net = Net::new(NetConfig { io_threads: 0, ..config.clone() })?;
        let waker = net.waker();
        let shared = Arc::new(Shared::default());
        let worker = Worker::new(net, Arc::clone(&shared), loop_waker.clone(), config);
        let last_word = LastWord { shared: Arc::clone(&shared), loop_waker };
        let run = move || {
            let _last_word = last_word;
            worker.run();
        };
        let handle = Builder::new().name(format!("io-{number}")).spawn(run)?;
        Ok(Self { shared, waker, handle: Some(handle), orders: Vec::new(), spare: Vec::new(), sockets: 0 })
    }

    /// Hands over what waits, and wakes the thread if there is anything.
    pub(super) fn hand_over(&mut self) {
        if !self.orders.is_empty() {
            // Read buffers alone are not worth a wake-up.
            self.shared.spare.put(&mut self.spare);
            self.shared.orders.put(&mut self.orders);
            self.waker.wake();
        }
    }

    pub(super) fn take_reports(&self, reports: &mut Vec<Report>) {
        self.shared.reports.take(reports);
    }

    /// Whether the thread is gone: its poll failed, or it panicked.
    pub(super) fn has_ended(&self) -> bool {
        self.shared.has_ended.load(Ordering::Acquire)
    }

    /// Keeps a buffer for the thread, unless it is a small one or there are enough.
    pub(super) fn recycle(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() >= PIECE && self.spare.len() < MAX_SPARE {
            self.spare.push(buffer);
        }
    }

    pub(super) fn stats(&self) -> IoThreadStats {
        IoThreadStats {
            connections: self.sockets,
            turns: self.shared.turns.load(Ordering::Relaxed),
            busy: Duration::from_micros(self.shared.busy_us.load(Ordering::Relaxed)),
        }
    }
}

impl Drop for IoThread {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            // A thread that panicked has been told of by its last word.
            let _ = handle.join();
        }
    }
}

impl Shared {
    /// The thread has been busy for so long in one turn.
    pub(super) fn turned(&self, busy: Duration) {
        self.turns.fetch_add(1, Ordering::Relaxed);
        self.busy_us.fetch_add(u64::try_from(busy.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }
}

impl fmt::Debug for IoThread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IoThread").field("sockets", &self.sockets).finish_non_exhaustive()
    }
}

/// Tells the loop that the thread has ended, however it ends.
struct LastWord {
    shared: Arc<Shared>,
    loop_waker: Waker,
}

impl Drop for LastWord {
    fn drop(&mut self) {
        self.shared.has_ended.store(true, Ordering::Release);
        self.loop_waker.nudge();
    }
}

/// Room of the buffers in which received bytes travel. Less than a few hundred bytes get one of their own size.
pub(super) const PIECE: usize = 16 * 1024;

/// Read buffers that are kept for a thread, at each end.
pub(super) const MAX_SPARE: usize = 64;
