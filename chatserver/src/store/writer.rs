//! The writer thread: all that waits becomes one commit.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};

use super::{
    StoreConfig, WriteSink,
    append::{Log, Write},
    checkpoint::Checkpointer,
    error::StoreError,
    refused::{self, Refused},
    retention::MAX_REMOVED,
};
use crate::metrics::Histogram;

/// The hub's end of the writer thread.
#[derive(Debug)]
pub struct LogWriter {
    requests: Option<Sender<Write>>,
    handover: Arc<Mutex<()>>,
    thread: Option<JoinHandle<()>>,
    commit_times: Arc<Histogram>,
    removed: Arc<AtomicU64>,
}

impl LogWriter {
    pub(super) fn start(
        log: Log,
        checkpointer: Checkpointer,
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
        let removed = Arc::new(AtomicU64::new(0));
        let count = removed.clone();
        let sweep_at = log.retention.is_on().then(Instant::now);
        let writer = move || Writer {
            checkpointer,
            log,
            queue,
            handover: gate,
            committed,
            clock,
            sink,
            times,
            removed: count,
            sweep_at,
            unwritten: 0,
        };
        let thread = thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || writer().run())
            .map_err(StoreError::io("start a thread for", "the message log"))?;
        Ok(Self { requests: Some(requests), handover, thread: Some(thread), commit_times, removed })
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

    /// Messages that retention has removed since the start.
    #[must_use]
    pub fn removed(&self) -> u64 {
        self.removed.load(Ordering::Relaxed)
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
    // Before the log's own connection, which is to be the last.
    checkpointer: Checkpointer,
    log: Log,
    queue: Receiver<Write>,
    /// Locked while writes that belong together are being queued.
    handover: Arc<Mutex<()>>,
    /// Tells the indexer that there is more; one token is enough, however many commits it stands for.
    committed: Sender<()>,
    clock: fn() -> u64,
    sink: WriteSink,
    times: Arc<Histogram>,
    removed: Arc<AtomicU64>,
    /// When to look for messages that need not be kept; never without retention.
    sweep_at: Option<Instant>,
    /// About so many bytes were committed since the checkpointer was asked to write them back into the file.
    unwritten: usize,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        while let Some(first) = self.next() {
            self.collect(first, &mut batch);
            let begun = Instant::now();
            let outcomes = self.log.commit(&batch, (self.clock)());
            self.times.record(begun.elapsed());
            (self.sink)(outcomes);
            self.tell_search();
            let added = batch.len();
            self.note_written(batch.drain(..).map(|write| write.bytes()).sum::<usize>());
            if self.sweep_at.is_some_and(|at| at <= Instant::now()) {
                self.sweep(added);
            }
        }
        drop(self.checkpointer);
        self.log.checkpoint();
    }

    /// Has what was committed written back, each time that there is much of it.
    fn note_written(&mut self, bytes: usize) {
        self.unwritten += bytes + COMMIT_BYTES;
        if self.unwritten >= WRITE_BACK_BYTES {
            self.write_back();
        }
    }

    fn write_back(&mut self) {
        self.checkpointer.ask();
        self.unwritten = 0;
    }

    /// The next write, or `None` when the store closes. A quiet moment is used to write the log back.
    fn next(&mut self) -> Option<Write> {
        loop {
            let quiet_at = (self.unwritten > 0).then(|| Instant::now() + QUIET);
            let Some(until) = quiet_at.into_iter().chain(self.sweep_at).min() else {
                return self.queue.recv().ok();
            };
            match self.queue.recv_deadline(until) {
                Ok(write) => return Some(write),
                Err(RecvTimeoutError::Disconnected) => return None,
                Err(RecvTimeoutError::Timeout) if self.sweep_at == Some(until) => self.sweep(0),
                Err(RecvTimeoutError::Timeout) => self.write_back(),
            }
        }
    }

    /// Removes messages that need not be kept. While as many come as go, twice as many go as have just come.
    fn sweep(&mut self, added: usize) {
        let steps = 1 + 2 * added / usize::try_from(MAX_REMOVED).unwrap_or(usize::MAX);
        let mut pause = SWEEP_INTERVAL;
        for _ in 0..steps {
            match self.log.remove_old((self.clock)()) {
                Ok(step) => {
                    if step.messages > 0 {
                        self.removed.fetch_add(step.messages, Ordering::Relaxed);
                        self.unwritten += COMMIT_BYTES;
                        self.tell_search();
                    }
                    if !step.more {
                        pause = SWEEP_INTERVAL;
                        break;
                    }
                    pause = Duration::ZERO;
                }
                Err(error) => {
                    tracing::warn!(%error, "old messages cannot be removed; trying again later");
                    pause = SWEEP_RETRY;
                    break;
                }
            }
        }
        self.sweep_at = Some(Instant::now() + pause);
    }

    fn tell_search(&self) {
        // Full: a token waits already. Disconnected: the indexer has ended, the log has not.
        let _told = self.committed.try_send(());
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

/// What a commit takes in the write-ahead log beside texts: the last pages of the table, its two indexes, and the rooms.
const COMMIT_BYTES: usize = 4 * 4_096;

/// After so many bytes the checkpointer is asked to write them back: often, so that the writer finds little left to do when the
/// write-ahead log is as long as it may become.
const WRITE_BACK_BYTES: usize = 2 << 20;

/// So long without a write, and the write-ahead log is written back into the file.
const QUIET: Duration = Duration::from_millis(500);

/// Pause between two looks for messages that need not be kept, when the last found no more.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// The same after a look that failed.
const SWEEP_RETRY: Duration = Duration::from_secs(10);
