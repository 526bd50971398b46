//! How many bytes of a connection are between the loop and its I/O thread, each way.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Both ways of one connection, shared by the two threads.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// From the program to the socket.
    pub(super) outward: Gauge,
    /// From the socket to the program.
    pub(super) inward: Gauge,
}

/// Bytes that one thread has given and the other has not taken yet. The giver stops at a limit and
/// [waits](Self::must_wait) for a word from the taker, which says it when half of the limit is [taken](Self::take).
#[derive(Debug, Default)]
pub(super) struct Gauge {
    bytes: AtomicUsize,
    /// The giver waits for the taker's word.
    waiting: AtomicBool,
}

// Each side writes one of the two fields and then reads the other; only the one order that `SeqCst` gives to all four
// accesses keeps both from missing what the other has just written, and the giver from waiting for ever.
impl Gauge {
    /// Bytes on their way.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }

    /// The giver: these bytes are on their way from now on.
    pub(super) fn give(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::SeqCst);
    }

    /// The giver, past its limit: whether it must wait for the taker's word. If not, there is room by now.
    pub(super) fn must_wait(&self, limit: usize) -> bool {
        self.waiting.store(true, Ordering::SeqCst);
        // Whoever takes the mark back has the say: the word of a taker that was faster is on its way.
        self.bytes() > limit / 2 || !self.waiting.swap(false, Ordering::SeqCst)
    }

    /// The taker: these bytes have arrived. Says whether the giver waits for a word that there is room.
    #[must_use]
    pub(super) fn take(&self, bytes: usize, limit: usize) -> bool {
        let left = self.bytes.fetch_sub(bytes, Ordering::SeqCst).saturating_sub(bytes);
        left <= limit / 2 && self.waiting.swap(false, Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use super::*;

    #[test]
    fn giver_hears_of_room_once_and_only_when_it_waits() {
        let gauge = Gauge::default();
        gauge.give(10);
        assert!(!gauge.take(1, 10), "nobody waits");
        assert!(gauge.must_wait(10));
        assert!(!gauge.take(3, 10), "6 of 10 are more than half");
        assert!(gauge.take(1, 10));
        assert!(!gauge.take(5, 10), "told already");
        assert!(!gauge.must_wait(10), "there is room");
        assert_eq!(gauge.bytes(), 0);
    }

    #[test]
    fn two_threads_never_wait_for_each_other() {
        const LIMIT: usize = 8;
        const TOTAL: usize = 200_000;
        let gauge = Gauge::default();
        let (give, given) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        thread::scope(|scope| {
            scope.spawn(|| {
                for bytes in given {
                    if gauge.take(bytes, LIMIT) {
                        tell.send(()).unwrap();
                    }
                }
            });
            for number in 0..TOTAL {
                while gauge.bytes() >= LIMIT {
                    if gauge.must_wait(LIMIT) {
                        told.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
                    }
                }
                let bytes = 1 + number % LIMIT;
                gauge.give(bytes);
                give.send(bytes).unwrap();
            }
            drop(give);
        });
        assert_eq!(gauge.bytes(), 0);
    }
}
