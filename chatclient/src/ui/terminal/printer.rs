//! Output above the line being edited.
//!
//! The editor takes output only while it waits for a key, and not at all while it searches its history. So that the
//! loop never waits for a person, a thread stands between. What comes in the very moment in which a line is finished may
//! be shown one line late.
//!
//! Below the lines stands the board of the transfers. It is taken away before other lines come, and drawn again after
//! them, as long as nobody has begun another line below it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use rustyline::ExternalPrinter;

/// The loop's end.
#[derive(Debug)]
pub(super) struct Printer {
    lines: Option<Sender<Output>>,
    /// Gone when the thread has printed everything.
    finished: Receiver<()>,
    closed: Arc<AtomicBool>,
}

impl Printer {
    pub(super) fn start(
        output: impl ExternalPrinter + Send + 'static,
        editing: Arc<AtomicBool>,
        lines_begun: Arc<AtomicU64>,
    ) -> io::Result<Self> {
        let (lines, waiting) = bounded(MAX_WAITING_OUTPUT);
        let (running, finished) = bounded(1);
        let closed = Arc::new(AtomicBool::new(false));
        let failed = Arc::clone(&closed);
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            let _running: Sender<()> = running;
            if print_all(output, &waiting, &editing, &lines_begun).is_err() {
                failed.store(true, Ordering::SeqCst);
            }
        })?;
        Ok(Self { lines: Some(lines), finished, closed })
    }

    /// Prints lines, each with its end, and the board below them. Waits only when very much is waiting already.
    pub(super) fn print(&self, lines: String, board: String) {
        if let Some(sender) = &self.lines {
            // Fails only when the terminal is gone, which is_closed tells.
            let _ = sender.send(Output::Lines { lines, board });
        }
    }

    /// Has the line that is being edited drawn anew.
    pub(super) fn repaint(&self) {
        if let Some(sender) = &self.lines {
            // As above.
            let _ = sender.send(Output::Repaint);
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
    waiting: &Receiver<Output>,
    editing: &AtomicBool,
    lines_begun: &AtomicU64,
) -> rustyline::Result<()> {
    // The rows of the board that stand there, and which line was being typed below them.
    let mut drawn = (0, 0);
    for next in waiting {
        let Output::Lines { lines, board } = next else {
            if editing.load(Ordering::SeqCst) {
                output.print(NOTHING.to_owned())?;
            }
            continue;
        };
        let line = lines_begun.load(Ordering::SeqCst);
        let (rows, below) = drawn;
        let erase = if rows > 0 && below == line { format!("\x1b[{rows}A\x1b[J") } else { String::new() };
        let all = format!("{erase}{lines}{board}");
        drawn = (board.lines().count(), line);
        if !all.is_empty() {
            // The editor ends what does not end a line, which would leave an empty one behind.
            output.print(if lines.is_empty() && board.is_empty() { erase_only(rows) } else { all })?;
        }
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

/// Takes the board away with one row less than it has: the editor adds the last line's end.
fn erase_only(rows: usize) -> String {
    format!("\x1b[{rows}A\x1b[J\x1b[A\n")
}

/// What is to be printed at once.
#[derive(Debug)]
enum Output {
    Lines {
        lines: String,
        board: String,
    },
    /// Nothing, but the line being edited once more.
    Repaint,
}

/// One line up and one down: the editor ends every print with a new line.
const NOTHING: &str = "\x1b[A\n";

/// So many notices may wait for the screen. Bounds memory; beyond it the loop waits for the terminal.
const MAX_WAITING_OUTPUT: usize = 10_000;

/// A terminal that takes nothing for so long loses the last lines: the program must end.
const MAX_FLUSH_WAIT: Duration = Duration::from_secs(1);
