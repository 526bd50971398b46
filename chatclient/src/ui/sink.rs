//! Where facts go.

use std::io::{self, Write as _};
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use chatnet::MailSender;

use super::input::Input;
use super::terminal::{Prompt, Started, Terminal, folded};
use super::text::{Audience, Text};
use super::{Format, json};
use crate::notice::Notice;

/// Where facts go.
#[derive(Debug)]
pub(super) enum Sink {
    /// JSON lines on standard output.
    Json(Output),
    /// Lines of text on standard output.
    Text(Output, Text),
    /// A terminal, while nothing is typed yet.
    Screen(Output, Text),
    /// A terminal at which somebody may be typing.
    Terminal(Terminal),
}

impl Sink {
    pub(super) fn new(format: Format, person: bool) -> Self {
        match format {
            Format::Json => Self::Json(Output::default()),
            Format::Text if person => Self::Screen(Output::default(), Text::new(Audience::Person)),
            Format::Text => Self::Text(Output::default(), Text::new(Audience::Script)),
        }
    }

    pub(super) fn is_terminal(&self) -> bool {
        matches!(self, Self::Screen(..) | Self::Terminal(_))
    }

    /// From a terminal on which nothing is typed yet to one on which lines are edited. Says no when this is no terminal,
    /// or one too simple for that.
    pub(super) fn edit_lines(
        &mut self,
        prompt: &Arc<Prompt>,
        sender: &MailSender<Input>,
    ) -> io::Result<bool> {
        let Self::Screen(_, text) = self else { return Ok(false) };
        let text = mem::replace(text, Text::new(Audience::Person));
        match Terminal::start(text, prompt, sender)? {
            Started::Editing(terminal) => *self = Self::Terminal(terminal),
            Started::TooSimple(text) => {
                *self = Self::Screen(Output::default(), text);
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn show(&mut self, notice: &Notice, reference: Option<&str>) {
        match self {
            Self::Json(output) => {
                if let Some(line) = json::line(notice, reference) {
                    output.write(&(line + "\n"));
                }
            }
            Self::Text(output, text) => {
                let lines = text.render(notice, Instant::now());
                if matches!(notice, Notice::Error { .. }) {
                    // Where both end up in one place, they keep their order.
                    output.flush();
                    // Facts are for whoever reads the output; what went wrong is for whoever started the program.
                    let _ = io::stderr().lock().write_all(lines.as_bytes());
                } else {
                    output.write(&lines);
                }
            }
            Self::Screen(output, text) => {
                output.write(&folded(&text.render(notice, Instant::now())));
                // What the person reads may be the reason for the question that follows.
                output.flush();
            }
            Self::Terminal(terminal) => terminal.show(notice),
        }
    }

    /// The prompt is another now.
    pub(super) fn show_prompt(&self) {
        match self {
            Self::Terminal(terminal) => terminal.show_prompt(),
            Self::Json(_) | Self::Text(..) | Self::Screen(..) => {}
        }
    }

    /// Lets go of what was shown and not written yet.
    pub(super) fn flush(&mut self) {
        match self {
            Self::Json(output) | Self::Text(output, _) | Self::Screen(output, _) => output.flush(),
            Self::Terminal(_) => {}
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        match self {
            Self::Json(output) | Self::Text(output, _) | Self::Screen(output, _) => output.closed,
            Self::Terminal(terminal) => terminal.is_closed(),
        }
    }
}

/// Standard output; it may go away.
#[derive(Debug, Default)]
pub(super) struct Output {
    closed: bool,
    /// Lines of one turn of the loop, which a script gets in one piece: a thousand small files are thousands of lines.
    waiting: String,
}

impl Output {
    fn write(&mut self, lines: &str) {
        if self.closed {
            return;
        }
        self.waiting.push_str(lines);
        if self.waiting.len() >= MAX_WAITING_OUTPUT {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.closed || self.waiting.is_empty() {
            return;
        }
        let mut out = io::stdout().lock();
        self.closed = out.write_all(self.waiting.as_bytes()).and_then(|()| out.flush()).is_err();
        self.waiting.clear();
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.flush();
    }
}

/// So many bytes of lines wait at most for the end of a turn.
const MAX_WAITING_OUTPUT: usize = 64 * 1024;
