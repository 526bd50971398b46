//! Where input comes from and facts go to: a person at a terminal, a script on a pipe, or a program that reads JSON.
//!
//! Input is read by a thread of its own and arrives in a mailbox of the loop; output is written by the loop as it
//! shows notices.

mod asking;
mod input;
mod json;
mod lines;
mod sink;
mod terminal;
mod text;

pub(crate) use asking::ask;
pub use input::{Input, InputError, MAX_LINE_BYTES, NewPassword};

use std::io;
use std::sync::Arc;

use chatnet::{Mailbox, Waker};

use crate::notice::Notice;
use sink::Sink;
use terminal::Prompt;

/// What the output is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people: lines of text.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

/// The user, as the program sees them.
#[derive(Debug)]
pub struct Ui {
    format: Format,
    sink: Sink,
    prompt: Arc<Prompt>,
}

impl Ui {
    /// A user interface on standard input and standard output. Nothing is read before [`listen`](Self::listen).
    #[must_use]
    pub fn new(format: Format) -> Self {
        let person = format == Format::Text && terminal::is_there();
        Self { format, sink: Sink::new(format, person), prompt: Arc::default() }
    }

    /// Whether a person sits at a terminal and can be asked.
    #[must_use]
    pub fn is_interactive(&self) -> bool {
        self.sink.is_terminal()
    }

    /// Asks the person a question and waits for `yes` or `no`. Only before [`listen`](Self::listen), and not while
    /// connections wait.
    ///
    /// # Errors
    /// When nobody is there to ask, or the terminal fails; [`io::ErrorKind::Interrupted`] when a signal asks the program to
    /// end: then it must.
    pub fn confirm(&mut self, question: &str) -> io::Result<bool> {
        if !self.is_interactive() {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "nobody is at a terminal to be asked"));
        }
        let question = question.to_owned();
        ask(move || terminal::confirm(&question))
    }

    /// Starts to read input. What is read waits in the mailbox, which wakes the loop; when it is full, reading waits.
    ///
    /// # Errors
    /// When the terminal cannot be used, or no thread can be started.
    pub fn listen(&mut self, waker: Waker) -> io::Result<Mailbox<Input>> {
        let (sender, mailbox) = Mailbox::new(waker, MAX_WAITING_INPUT);
        if !self.sink.edit_lines(&self.prompt, &sender)? {
            lines::start(self.format, sender)?;
        }
        Ok(mailbox)
    }

    /// Tells the user, at the latest at the next [`flush`](Self::flush). `reference` is the `ref` of the JSON command that
    /// this answers.
    ///
    /// Output that fails is not an error here: see [`is_closed`](Self::is_closed).
    pub fn show(&mut self, notice: &Notice, reference: Option<&str>) {
        self.sink.show(notice, reference);
    }

    /// Writes what was shown. Before the program waits for anything.
    pub fn flush(&mut self) {
        self.sink.flush();
    }

    /// Changes what stands before the line being typed, as `lobby> `. A line that has begun shows it in the room that the old one
    /// has, and begins anew with the next key. The first line waits for it a little, and so does a line after a command that may
    /// change it.
    pub fn set_prompt(&mut self, prompt: &str) {
        if self.prompt.set(prompt) {
            self.sink.show_prompt();
        }
    }

    /// Whether nobody reads the output any more: end the program quietly, with
    /// [`Failure`](crate::exit::ExitStatus::Failure).
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sink.is_closed()
    }
}

/// So many lines of input may wait for the loop. Bounds the memory of a script that is faster than the network.
const MAX_WAITING_INPUT: usize = 16;
