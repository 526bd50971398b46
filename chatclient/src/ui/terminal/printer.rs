//! Output above the line being edited.
//!
//! The editor takes output only while it waits for a key, and not at all while it searches its history. So that the
//! loop never waits for a person, a thread stands between. What comes in the very moment in which a line is finished may
//! be shown one line late.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::ExternalPrinter;

/// The loop's end.
#[derive(Debug)]
pub(super) struct Printer {
    lines: Option<Sender<String>>,
    /// Gone when the thread has printed everything.
    finished: Receiver<()>,
    closed: Arc<AtomicBool>,
}

impl Printer {
    pub(super) fn start(
        output: impl ExternalPrinter + Send + 'static,
        editing: Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let (lines, waiting) = bounded(MAX_WAITING_OUTPUT);
        let (running, finished) = bounded(1);
        let closed = Arc::new(AtomicBool::new(false));
        let failed = Arc::clone(&closed);
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let _running: Sender<()> = running;
            if print_all(output, &waiting, &editing).is_err() {
                failed.store(true, Ordering::SeqCst);
            }
        })?;
        Ok(Self { lines: Some(lines), finished, closed })
    }

    /// Prints lines, each with its end. Waits only when very much is waiting already.
    pub(super) fn print(&self, lines: String) {
        if let Some(sender) = &self.lines {
            // Fails only when the terminal is gone, which is_closed tells.
            let _ = sender.send(lines);
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }

    /// Waits until everything is on the screen, for at most [`MAX_FLUSH_WAIT`]. Nothing is printed afterwards.
    pub(super) fn finish(&mut self) {
        self.lines = None;
        let _ = self.finished.recv_timeout(MAX_FLUSH_WAIT);
    }
}

fn print_all(
    mut output: impl ExternalPrinter,
    waiting: &Receiver<String>,
    editing: &AtomicBool,
) -> rustyline::Result<()> {
    for lines in waiting {
        output.print(lines)?;
    }
    // The editor holds one print in its hand and one in its queue. When it has taken both of these, what came before
    // them is on the screen.
    for _ in 0..2 {
        if editing.load(Ordering::SeqCst) {
            output.print(NOTHING.to_owned())?;
        }
    }
    Ok(())
}

/// One line up and one down: the editor ends every print with a new line.
const NOTHING: &str = "\x1b[A\n";

/// So many notices may wait for the screen. Bounds memory; beyond it the loop waits for the terminal.
const MAX_WAITING_OUTPUT: usize = 10_000;

/// A terminal that takes nothing for so long loses the last lines: the program must end.
const MAX_FLUSH_WAIT: Duration = Duration::from_secs(1);
