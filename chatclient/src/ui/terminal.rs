//! A person at a terminal: line editing, and output that does not disturb it.

mod board;
mod completion;
mod fold;
mod printer;
mod prompt;
mod reader;
mod renewal;
mod secret;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use chatnet::MailSender;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};

use super::input::Input;
use super::text::Text;
use crate::notice::Notice;
pub(super) use prompt::Prompt;

use board::Board;
use printer::Printer;

/// The terminal while lines are read from it.
#[derive(Debug)]
pub(super) struct Terminal {
    text: Text,
    board: Board,
    printer: Printer,
    /// Whether a line is being edited just now.
    editing: Arc<AtomicBool>,
    /// How the terminal was before.
    before: Termios,
}

/// Whether lines can be edited.
#[derive(Debug)]
pub(super) enum Started {
    /// Yes, and a thread does so.
    Editing(Terminal),
    /// The terminal understands too little; nothing has begun.
    TooSimple(Text),
}

impl Terminal {
    /// Starts to read lines; `text` has shown what came before.
    pub(super) fn start(
        mut text: Text,
        prompt: &Arc<Prompt>,
        sender: &MailSender<Input>,
    ) -> io::Result<Started> {
        let mut editor = reader::editor()?;
        let Ok(output) = editor.create_external_printer() else { return Ok(Started::TooSimple(text)) };
        let editing = Arc::new(AtomicBool::new(false));
        let lines_begun = Arc::new(AtomicU64::new(0));
        let printer = Printer::start(output, Arc::clone(&editing), Arc::clone(&lines_begun))?;
        text.leave_ways_to_a_board();
        let before = quiet_between_lines()?;
        let board = Board::default();
        let terminal = Self { text, board, printer, editing: Arc::clone(&editing), before };
        reader::start(editor, Arc::clone(prompt), (editing, lines_begun), sender.clone())?;
        Ok(Started::Editing(terminal))
    }

    pub(super) fn show(&mut self, notice: &Notice) {
        let now = Instant::now();
        let lines = folded(&self.text.render(notice, now));
        if self.board.take(notice, now) || !lines.is_empty() {
            self.printer.print(lines, self.board.draw(columns()));
        }
    }

    /// The prompt is another now: shows it at once.
    pub(super) fn show_prompt(&self) {
        self.printer.repaint();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.printer.is_closed()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.printer.finish();
        // A thread that edits a line cannot be told to stop, and dies with the program.
        let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, &self.before);
        if self.editing.load(Ordering::SeqCst) {
            // The editor has told the terminal to mark what is pasted, and will not take that back.
            let _ = io::stdout().lock().write_all(b"\x1b[?2004l\n");
        }
    }
}

/// Lines as they fit the terminal.
pub(super) fn folded(lines: &str) -> String {
    fold::fold(lines, columns())
}

/// How wide the terminal is.
fn columns() -> usize {
    let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout());
    let columns = size.ok().map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0);
    columns.unwrap_or(USUAL_COLUMNS).min(MAX_COLUMNS)
}

/// What is typed while no line is edited waits for the next one, instead of being shown where it does not belong; also
/// Ctrl-D, which would be lost. Returns how the terminal was before.
fn quiet_between_lines() -> io::Result<Termios> {
    let stdin = rustix::stdio::stdin();
    let before = tcgetattr(stdin)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    tcsetattr(stdin, OptionalActions::Now, &quiet)?;
    Ok(before)
}

/// Asks until the answer is clear.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    for _ in 0..MAX_QUESTIONS {
        // Not locked while it waits: whoever ends the question has something to write, too.
        let mut out = io::stdout().lock();
        for line in question.lines() {
            writeln!(out, "{}", chatproto::wire::escaped(line))?;
        }
        write!(out, "yes or no: ")?;
        out.flush()?;
        drop(out);
        let mut answer = String::new();
        if io::stdin().read_line(&mut answer)? == 0 {
            return Ok(false);
        }
        match answer.trim().to_lowercase().as_str() {
            "yes" | "y" => return Ok(true),
            "no" | "n" => return Ok(false),
            _ => {}
        }
    }
    Ok(false)
}

/// Whether a person is at both ends: one who only reads or only types is better served with plain lines.
pub(super) fn is_there() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

/// Where a terminal does not say how wide it is, and what is believed of those that do.
const USUAL_COLUMNS: usize = 80;
const MAX_COLUMNS: usize = 500;

/// So many unclear answers mean no.
const MAX_QUESTIONS: u32 = 3;
