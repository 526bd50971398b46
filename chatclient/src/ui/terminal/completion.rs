//! Commands complete with the tabulator key.

use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};

use crate::command::COMMANDS;

/// Completes the first word of a line.
#[derive(Debug)]
pub(super) struct Commands;

impl Completer for Commands {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok((0, candidates(line.get(..at).unwrap_or_default())))
    }
}

impl Hinter for Commands {
    type Hint = String;
}

impl Highlighter for Commands {}

impl Validator for Commands {}

impl Helper for Commands {}

/// What a line that starts like this may start with.
fn candidates(start: &str) -> Vec<String> {
    if start.is_empty() || start.contains(char::is_whitespace) {
        return Vec::new();
    }
    let starts = |word: &str| word.get(..start.len()).is_some_and(|head| head.eq_ignore_ascii_case(start));
    COMMANDS
        .iter()
        .filter(|command| starts(command.word))
        .map(|command| format!("{} ", command.word))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::candidates;

    #[test]
    fn the_first_word_completes_to_commands() {
        assert_eq!(candidates("/le"), ["/leave "]);
        assert_eq!(candidates("/pe"), ["/peer ", "/peers "]);
        assert_eq!(candidates("[f"), ["[FILE] "]);
        for nothing in ["", "hello", "/join lob", "/nonsense", "é"] {
            assert!(candidates(nothing).is_empty(), "{nothing:?}");
        }
    }
}
