//! How other threads end the loop's wait.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

/// Wakes the loop of one [`Net`](crate::Net) from any thread: its turn ends with
/// [`NetEvent::Woken`](crate::NetEvent::Woken). Cheap to clone; many wakes before a turn are one event and one
/// system call.
#[derive(Clone, Debug)]
pub struct Waker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    waker: mio::Waker,
    /// The loop will look.
    pending: AtomicBool,
    /// The program is to be told.
    called: AtomicBool,
}

impl Waker {
    pub(crate) fn new(registry: &mio::Registry, token: mio::Token) -> io::Result<Self> {
        let waker = mio::Waker::new(registry, token)?;
        Ok(Self {
            shared: Arc::new(Shared { waker, pending: AtomicBool::default(), called: AtomicBool::default() }),
        })
    }

    /// Ends the current wait of the loop, or else the next one.
    pub fn wake(&self) {
        self.shared.called.store(true, Ordering::Release);
        self.nudge();
    }

    /// Ends the wait of the loop without the event: for what the loop sees to by itself.
    pub(crate) fn nudge(&self) {
        if !self.shared.pending.swap(true, Ordering::AcqRel) && self.shared.waker.wake().is_err() {
            // The write fails only when the counter is at its end, and then the loop is awake anyway; the next
            // caller tries again.
            self.shared.pending.store(false, Ordering::Release);
        }
    }

    /// Called by the loop before it reports the wake, so that what is sent while it looks wakes it again. Whether there is
    /// anything to report.
    pub(crate) fn rearm(&self) -> bool {
        // Both to read what the wakers have written before, and to be seen by those who come after.
        self.shared.pending.swap(false, Ordering::AcqRel);
        self.shared.called.swap(false, Ordering::AcqRel)
    }
}
