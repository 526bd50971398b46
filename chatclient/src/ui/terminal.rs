//! A person at a terminal: line editing, and output that does not disturb it.

use std::io::{self, Write as _};

use chatnet::MailSender;

use super::input::Input;
use crate::notice::Notice;

/// The terminal.
#[derive(Debug)]
pub(super) struct Terminal {}

pub(super) fn start(_sender: MailSender<Input>) -> io::Result<Terminal> {
    Ok(Terminal {})
}

impl Terminal {
    pub(super) fn show(&mut self, _notice: &Notice) {}

    pub(super) fn set_prompt(&mut self, _prompt: &str) {}

    pub(super) fn is_closed(&self) -> bool {
        false
    }
}

/// Asks until the answer is clear.
pub(super) fn confirm(question: &str) -> io::Result<bool> {
    for _ in 0..MAX_QUESTIONS {
        eprint!("{question} (yes/no) ");
        io::stderr().flush()?;
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

/// So many unclear answers mean no.
const MAX_QUESTIONS: u32 = 3;
