//! Writes the log back from its write-ahead file into the database, beside the writer.
//!
//! SQLite lets one connection copy committed pages into the file while another appends. So no message waits for that,
//! only for the last part of it, which the writer does: it alone can begin the write-ahead file anew, and then
//! overwrites it in place. That is worth something for itself: a flush of a file that does not grow is a quarter faster.

use std::thread::{self, JoinHandle};

use crossbeam_channel::{Receiver, Sender};
use rusqlite::Connection;

use super::{
    data_dir::DataDir,
    error::StoreError,
    priority::{self, Priority},
};

/// The thread, as the writer knows it.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// One token is enough, however often it is asked for meanwhile.
    requests: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(dir: &DataDir) -> Result<Self, StoreError> {
        let conn = dir.connect()?;
        // Only the writer begins the file anew: it knows when nothing is lost by it.
        conn.pragma_update(None, "wal_autocheckpoint", 0)
            .and_then(|()| conn.pragma_update(None, "cache_size", -CACHE_KIB))
            .map_err(StoreError::database(dir.database()))?;
        let (requests, asked) = crossbeam_channel::bounded(1);
        let thread = thread::Builder::new()
            .name("log-tidy".into())
            .spawn(move || run(&conn, &asked))
            .map_err(StoreError::io("start a thread for", "the message log"))?;
        Ok(Self { requests: Some(requests), thread: Some(thread) })
    }

    /// Asks for what is committed to be written back. Does not wait.
    pub(super) fn ask(&self) {
        // Full: it is going to. Disconnected: its thread died, and the writer's own checkpoints remain.
        let _asked = self.requests.as_ref().map(|requests| requests.try_send(()));
    }
}

impl Drop for Checkpointer {
    /// Waits for the thread: its connection must be closed before the writer's, which then leaves one whole file.
    fn drop(&mut self) {
        self.requests = None;
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the thread that writes the log back has died");
        }
    }
}

fn run(conn: &Connection, asked: &Receiver<()>) {
    priority::give_way(Priority::Background);
    while asked.recv().is_ok() {
        write_back(conn);
    }
}

/// Writes what is committed back from the write-ahead log into the file, as far as readers let it.
pub(super) fn write_back(conn: &Connection) {
    let checkpointed = conn.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(()));
    if let Err(error) = checkpointed {
        // Harmless: what is committed is in the write-ahead log, and the next checkpoint tries again.
        tracing::warn!(%error, "checkpoint of the message log failed");
    }
}

/// Pages that the thread's connection keeps. Pages pass it by on their way from one file into the other.
const CACHE_KIB: i32 = 64;
