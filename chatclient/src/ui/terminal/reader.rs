//! The thread that edits lines.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use chatnet::MailSender;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Config, Editor};

use super::completion::Commands;
use super::prompt::{Prompt, Standing};
use super::renewal::Renewal;
use super::secret;
use crate::command::{Command, Request};
use crate::ui::Format;
use crate::ui::input::{Input, InputError, MAX_LINE_BYTES, malformed, read};

/// An editor whose history lives in memory.
pub(super) type LineEditor = Editor<Commands, MemHistory>;

/// So many lines can be called back with the arrow keys.
const MAX_HISTORY_LINES: usize = 500;

/// A command that may change the prompt delays the next line by so much at most: a line that was begun under the old
/// one has to be begun again.
const MAX_WAIT: Duration = Duration::from_millis(500);

/// The first line waits so long for the first prompt, which comes with the login.
const MAX_FIRST_WAIT: Duration = Duration::from_secs(2);

pub(super) fn editor() -> io::Result<LineEditor> {
    let config = Config::builder()
        .max_history_size(MAX_HISTORY_LINES)
        .map_err(io::Error::other)?
        // A line that begins anew is none yet.
        .auto_add_history(false)
        // What is pasted is taken in one go: the editor draws the whole line anew for every few of its characters.
        .bracketed_paste(true)
        .build();
    let mut editor =
        Editor::with_history(config.clone(), MemHistory::with_config(&config)).map_err(io::Error::other)?;
    editor.set_helper(Some(Commands));
    Ok(editor)
}

/// Starts to read lines, until the person leaves or nobody wants more.
pub(super) fn start(
    mut editor: LineEditor,
    prompt: Arc<Prompt>,
    (editing, lines_begun): (Arc<AtomicBool>, Arc<AtomicU64>),
    sender: MailSender<Input>,
) -> io::Result<()> {
    let renewal = Renewal::watch(&mut editor, &prompt);
    let read_all = move || {
        let mut line_number = 0;
        prompt.wait(0, MAX_FIRST_WAIT);
        loop {
            let (text, seen) = prompt.now();
            let begun = renewal.begin(&text);
            editing.store(true, Ordering::SeqCst);
            let standing = Standing::new(&prompt, text);
            let line = editor.readline_with_initial(&standing, (&begun.left, &begun.right));
            lines_begun.fetch_add(1, Ordering::SeqCst);
            editing.store(false, Ordering::SeqCst);
            if renewal.is_due() {
                continue;
            }
            let (line, asks) = match &line {
                Ok(text) => {
                    let (before, asks) = before_passwd(text);
                    (Ok(before), asks)
                }
                Err(error) => (Err(error), false),
            };
            if let Ok(text) = &line {
                // Memory is all that it takes, which is bounded: there is nothing to fail.
                let _ = editor.add_history_entry(*text);
            }
            line_number += 1;
            let mut entered = inputs(line, line_number);
            if asks {
                entered.push(
                    secret::new_password().map_or_else(|error| malformed(error, None), Input::NewPassword),
                );
            }
            for input in entered {
                let (last, wait) = (is_last(&input), may_change_prompt(&input));
                // After the last line the terminal is as it was, and must stay so.
                if sender.send(input).is_err() || last {
                    return;
                }
                if wait {
                    prompt.wait(seen, MAX_WAIT);
                }
            }
        }
    };
    thread::Builder::new().name("terminal".to_owned()).spawn(read_all).map(drop)
}

/// What was entered: a line, or several that were pasted at once.
fn inputs(entered: Result<&str, &ReadlineError>, number: u64) -> Vec<Input> {
    match entered {
        Ok(text) => text.lines().filter_map(|line| input(Ok(line), number)).collect(),
        Err(error) => input(Err(error), number).into_iter().collect(),
    }
}

fn input(line: Result<&str, &ReadlineError>, number: u64) -> Option<Input> {
    match line {
        Ok(line) if line.len() > MAX_LINE_BYTES => {
            Some(malformed(InputError::TooLong { line: number }, None))
        }
        Ok(line) => read(Format::Text, line),
        // At a terminal the end of input is a wish to leave.
        Err(ReadlineError::Eof) => {
            let (command, line) = (Command::Quit, String::new());
            Some(Input::Request(Request { command, line, reference: None }))
        }
        Err(ReadlineError::Interrupted) => Some(Input::Interrupt),
        Err(ReadlineError::Signal(_)) => None,
        Err(_) => Some(Input::End),
    }
}

/// What was entered before a line that asks for passwords, and whether there is such a line. What was pasted together with it
/// may be the passwords: nobody is to read them, and they are typed once more.
fn before_passwd(entered: &str) -> (&str, bool) {
    let mut at = 0;
    for line in entered.split_inclusive('\n') {
        if line.trim() == secret::COMMAND {
            return (entered.get(..at).unwrap_or_default(), true);
        }
        at += line.len();
    }
    (entered, false)
}

fn is_last(input: &Input) -> bool {
    match input {
        Input::Request(request) => request.command == Command::Quit,
        Input::Malformed { .. } | Input::NewPassword(_) => false,
        Input::End | Input::Interrupt => true,
    }
}

fn may_change_prompt(input: &Input) -> bool {
    let Input::Request(request) = input else { return false };
    matches!(
        request.command,
        Command::Join { .. } | Command::Create { .. } | Command::Leave { .. } | Command::Server
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_that_are_pasted_with_their_command_are_no_words() {
        for (entered, before, asks) in [
            ("hello", "hello", false),
            ("/passwd", "", true),
            (" /passwd \nold\nnew\nnew", "", true),
            ("hello\n/passwd\r\nold\r\nnew", "hello\n", true),
            ("/passwd FILE\nhello", "/passwd FILE\nhello", false),
        ] {
            assert_eq!(before_passwd(entered), (before, asks), "{entered:?}");
        }
    }
}
