//! A person at a terminal: line editing, and output that does not disturb it.

mod completion;
mod printer;
mod prompt;
mod reader;

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use chatnet::MailSender;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};

use super::input::Input;
use super::text::Text;
use crate::notice::Notice;
use printer::Printer;
use prompt::Prompt;

/// The terminal while lines are read from it.
#[derive(Debug)]
pub(super) struct Terminal {
    text: Text,
    prompt: Arc<Prompt>,
    printer: Printer,
    /// Whether a line is being edited just now.
    editing: Arc<AtomicBool>,
    /// How the terminal was before.
    before: Option<Termios>,
}

impl Terminal {
    /// Starts to read lines; `text` has shown what came before.
    pub(super) fn start(text: Text, sender: MailSender<Input>) -> io::Result<Self> {
        let before = tcgetattr(rustix::stdio::stdin()).ok();
        let prompt = Arc::new(Prompt::default());
        let editing = Arc::new(AtomicBool::new(false));
        let mut editor = reader::editor()?;
        let output = editor.create_external_printer().map_err(io::Error::other)?;
        let printer = Printer::start(output, Arc::clone(&editing))?;
        reader::start(editor, Arc::clone(&prompt), Arc::clone(&editing), sender)?;
        Ok(Self { text, prompt, printer, editing, before })
    }

    pub(super) fn show(&mut self, notice: &Notice) {
        let lines = self.text.render(notice, Instant::now());
        if !lines.is_empty() {
            self.printer.print(lines);
        }
    }

    pub(super) fn set_prompt(&mut self, prompt: &str) {
        self.prompt.set(prompt);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.printer.is_closed()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.printer.finish();
        // The thread that edits a line cannot be told to stop, and dies with the program: leave the terminal as it was.
        if self.editing.load(Ordering::SeqCst) {
            if let Some(before) = &self.before {
                let _ = tcsetattr(rustix::stdio::stdin(), OptionalActions::Drain, before);
            }
            let _ = io::stdout().lock().write_all(b"\n");
        }
    }
}

/// Asks until the answer is clear.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    let mut out = io::stdout().lock();
    for _ in 0..MAX_QUESTIONS {
        for line in question.lines() {
            writeln!(out, "{}", chatproto::wire::escaped(line))?;
        }
        write!(out, "yes or no: ")?;
        out.flush()?;
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

/// So many unclear answers mean no.
const MAX_QUESTIONS: u32 = 3;
