//! The writer thread: all that waits becomes one commit.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    StoreConfig, WriteSink,
    append::{Log, Write},
    error::StoreError,
    refused::{self, Refused},
};
use crate::metrics::Histogram;

/// The hub's end of the writer thread.
#[derive(Debug)]
pub struct LogWriter {
    requests: Option<Sender<Write>>,
    handover: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
    commit_times: Arc<Histogram>,
}

impl LogWriter {
    pub(super) fn start(
        log: Log,
        config: &StoreConfig,
        committed: Sender<()>,
        sink: WriteSink,
    ) -> Result<Self, StoreError> {
        let (requests, queue) = crossbeam_channel::bounded(config.max_queued_writes.max(1));
        let clock = config.clock;
        let handover = Arc::new(Mutex::new(()));
        let gate = handover.clone();
        let commit_times = Arc::new(Histogram::default());
        let times = commit_times.clone();
        let thread = thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || Writer { log, queue, handover: gate, committed, clock, sink, times }.run())
            .map_err(StoreError::io("start a thread for", "the message log"))?;
        Ok(Self { requests: Some(requests), handover, thread: Some(thread), commit_times })
    }

    /// Queues a write. Its outcome comes through the sink, after those of all writes queued before it.
    ///
    /// # Errors
    ///
    /// [`Refused`] gives the write back.
    pub fn try_send(&self, write: Write) -> Result<(), Refused<Write>> {
        refused::try_send(self.requests.as_ref(), write)
    }

    /// How long each commit took, with its flush.
    #[must_use]
    pub fn commit_times(&self) -> &Histogram {
        &self.commit_times
    }

    /// Queues writes from the front, in order, as far as there is room; the rest stays. The writer does not begin with
    /// the first before the last is there: what comes together is committed together, and costs one flush.
    ///
    /// # Errors
    ///
    /// [`Refused`] says why some are left, and gives nothing back: they are all in `writes`.
    pub fn try_send_all(&self, writes: &mut VecDeque<Write>) -> Result<(), Refused<()>> {
        // Held for as long as it takes to queue them; the writer never does more than wait for it.
        let _together = self.handover.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(write) = writes.pop_front() {
            let (refused, write) = match self.try_send(write) {
                Ok(()) => continue,
                Err(Refused::Full(write)) => (Refused::Full(()), write),
                Err(Refused::Closed(write)) => (Refused::Closed(()), write),
            };
            writes.push_front(write);
            return Err(refused);
        }
        Ok(())
    }

    /// Commits and reports what is queued, then ends the thread.
    pub(super) fn stop(&mut self) -> Result<(), StoreError> {
        self.requests = None;
        match self.thread.take().map(JoinHandle::join) {
            Some(Err(_)) => Err(StoreError::ThreadDied { thread: "writer" }),
            Some(Ok(())) | None => Ok(()),
        }
    }
}

impl Drop for LogWriter {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::error!(%error, "the message log did not close cleanly");
        }
    }
}

struct Writer {
    log: Log,
    queue: Receiver<Write>,
    /// Locked while writes that belong together are being queued.
    handover: Arc<Mutex<()>>,
    /// Tells the indexer that there is more; one token is enough, however many commits it stands for.
    committed: Sender<()>,
    clock: fn() -> u64,
    sink: WriteSink,
    times: Arc<Histogram>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        let mut checkpointed = true;
        while let Some(first) = self.next(&mut checkpointed) {
            self.collect(first, &mut batch);
            let begun = Instant::now();
            let outcomes = self.log.commit(&batch, (self.clock)());
            self.times.record(begun.elapsed());
            batch.clear();
            checkpointed = false;
            (self.sink)(outcomes);
            // Full: a token waits already. Disconnected: the indexer has ended, the log has not.
            let _told = self.committed.try_send(());
        }
        self.log.checkpoint();
    }

    /// The next write, or `None` when the store closes. A quiet moment is used to write the log back.
    fn next(&self, checkpointed: &mut bool) -> Option<Write> {
        if !*checkpointed {
            match self.queue.recv_timeout(QUIET) {
                Ok(write) => return Some(write),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) => {
                    self.log.checkpoint();
                    *checkpointed = true;
                }
            }
        }
        self.queue.recv().ok()
    }

    /// Adds what waits, without waiting for more: the flush of one commit is what gathers the next.
    fn collect(&self, first: Write, batch: &mut Vec<Write>) {
        drop(self.handover.lock().unwrap_or_else(PoisonError::into_inner));
        let mut bytes = first.bytes();
        batch.push(first);
        while batch.len() < MAX_BATCH && bytes < MAX_BATCH_BYTES {
            let Ok(write) = self.queue.try_recv() else { break };
            bytes += write.bytes();
            batch.push(write);
        }
    }
}

/// Writes in one commit. More would not make the flush cheaper per row, only the first row wait longer.
const MAX_BATCH: usize = 4_096;

/// Bytes of text in one commit, give or take its last write: the same bound for long messages.
const MAX_BATCH_BYTES: usize = 4 << 20;

/// So long without a write, and the write-ahead log is written back into the file.
const QUIET: Duration = Duration::from_millis(500);
