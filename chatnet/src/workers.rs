//! Threads for work that would hold the loop up: arithmetic, disks, name lookup.

use std::{
    io,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread::{self, JoinHandle},
};

use crossbeam_channel::{Sender, TrySendError};

use crate::{MailSender, Mailbox, Waker};

/// A fixed number of threads that turn jobs `J` into results `R`, between two bounded queues.
///
/// The loop never waits for it: a job that finds the queue full comes back, and results wake the loop.
/// Dropping the pool discards waiting jobs and results, and waits for the jobs under way.
#[derive(Debug)]
pub struct WorkerPool<J, R> {
    jobs: Option<Sender<J>>,
    results: Option<Mailbox<R>>,
    threads: Vec<JoinHandle<()>>,
    panics: Arc<AtomicU64>,
}

/// The queue of a [`WorkerPool`] is full; the job comes back.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the queue of the worker threads is full")]
pub struct PoolFull<J>(pub J);

impl<J: Send + 'static, R: Send + 'static> WorkerPool<J, R> {
    /// Starts `threads` (at least one) threads called `name`, with at most `queue` (at least one) jobs waiting, and as
    /// many results.
    ///
    /// A job that panics yields no result, and its thread goes on with the next; see [`panics`](Self::panics).
    ///
    /// # Errors
    /// When the system has no more threads.
    pub fn new(
        name: &str,
        threads: usize,
        queue: usize,
        waker: &Waker,
        work: impl Fn(J) -> R + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let (jobs, waiting) = crossbeam_channel::bounded::<J>(queue.max(1));
        let (done, results) = Mailbox::new(waker.clone(), queue);
        let mut pool =
            Self { jobs: Some(jobs), results: Some(results), threads: Vec::new(), panics: Arc::default() };
        let work = Arc::new(work);
        for _ in 0..threads.max(1) {
            let (waiting, done) = (waiting.clone(), done.clone());
            let (work, panics) = (Arc::clone(&work), Arc::clone(&pool.panics));
            let run = move || {
                for job in waiting {
                    if !finish(job, &*work, &done, &panics) {
                        break;
                    }
                }
            };
            pool.threads.push(thread::Builder::new().name(name.to_owned()).spawn(run)?);
        }
        Ok(pool)
    }

    /// Queues a job; never waits.
    ///
    /// # Errors
    /// [`PoolFull`] with the job when the queue is full.
    pub fn submit(&self, job: J) -> Result<(), PoolFull<J>> {
        let Some(jobs) = &self.jobs else { return Err(PoolFull(job)) };
        jobs.try_send(job).map_err(|error| match error {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => PoolFull(job),
        })
    }

    /// Takes the results that are waiting, see [`Mailbox::drain`]. They come in the order in which they were
    /// finished, which is not that of the jobs.
    pub fn drain(&mut self) -> impl Iterator<Item = R> + '_ {
        self.results.iter_mut().flat_map(Mailbox::drain)
    }

    /// Ends the pool without waiting for the jobs under way: they go on until they are done, or the process ends, and nobody
    /// hears of them. For the end of a program that a slow name server or a disk that hangs must not keep.
    pub fn leave(mut self) {
        self.threads.clear();
    }

    /// How many jobs panicked, and so will never have a result.
    #[must_use]
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}

impl<J, R> Drop for WorkerPool<J, R> {
    fn drop(&mut self) {
        // Without both ends no thread can wait for anything but its own job.
        self.jobs = None;
        self.results = None;
        for thread in self.threads.drain(..) {
            // Jobs cannot unwind out of a worker, so there is nothing to learn from its end.
            let _ = thread.join();
        }
    }
}

/// Does one job; false when nobody waits for results any more.
fn finish<J, R>(job: J, work: &impl Fn(J) -> R, done: &MailSender<R>, panics: &AtomicU64) -> bool {
    // The job is consumed, so a half-changed one cannot be seen; what `work` shares, it guards itself.
    match catch_unwind(AssertUnwindSafe(|| work(job))) {
        Ok(result) => done.send(result).is_ok(),
        Err(_) => {
            panics.fetch_add(1, Ordering::Relaxed);
            true
        }
    }
}
