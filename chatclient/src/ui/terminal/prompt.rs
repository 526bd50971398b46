//! What stands before the line being typed.

use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

/// The prompt, set by the loop and read by the thread that edits lines.
#[derive(Debug, Default)]
pub(in crate::ui) struct Prompt {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    changes: u64,
}

impl Prompt {
    /// Says whether it is another one now.
    pub(in crate::ui) fn set(&self, text: &str) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Names only: anything that a terminal could obey would also spoil the editor's idea of the width.
        let text = chatproto::wire::escaped(text).to_string();
        let is_another = text != state.text;
        state.text = text;
        state.changes += 1;
        self.changed.notify_all();
        is_another
    }

    /// The prompt, and how often it was set.
    pub(super) fn now(&self) -> (String, u64) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.text.clone(), state.changes)
    }

    /// Whether it is `text`.
    pub(super) fn is(&self, text: &str) -> bool {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).text == text
    }

    /// Waits until it was set more often than `seen` times, for at most `max`.
    pub(super) fn wait(&self, seen: u64, max: Duration) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Whether it changed or the time is over, the next line begins.
        drop(self.changed.wait_timeout_while(state, max, |state| state.changes <= seen));
    }
}

/// The prompt of a line that is being typed. The editor keeps to the width that it begins with, so later ones are shown in its
/// room: until the next key, with which the line begins anew.
#[derive(Debug)]
pub(super) struct Standing {
    prompt: Arc<Prompt>,
    width: usize,
    shown: Shown,
}

/// A prompt as it is shown, and one that came after it.
#[derive(Debug)]
struct Shown {
    text: String,
    fitted: String,
    next: OnceLock<Box<Self>>,
}

impl Standing {
    /// A line begins behind the prompt `text`.
    pub(super) fn new(prompt: &Arc<Prompt>, text: String) -> Self {
        let (prompt, width) = (Arc::clone(prompt), text.width());
        let shown = Shown { fitted: text.clone(), text, next: OnceLock::new() };
        Self { prompt, width, shown }
    }
}

impl rustyline::Prompt for Standing {
    fn raw(&self) -> &str {
        let (now, _) = self.prompt.now();
        let mut shown = &self.shown;
        for _ in 0..MAX_SHOWN {
            if shown.text == now {
                break;
            }
            shown = shown.next.get_or_init(|| {
                let fitted = fit(&now, self.width);
                Box::new(Shown { text: now.clone(), fitted, next: OnceLock::new() })
            });
        }
        &shown.fitted
    }
}

/// A prompt in exactly so many columns.
fn fit(text: &str, columns: usize) -> String {
    let width = text.width();
    if width <= columns {
        return " ".repeat(columns - width) + text;
    }
    let room = columns.saturating_sub(CUT.len());
    let mut left = room;
    let fits = |letter: &char| {
        let width = letter.width().unwrap_or(0);
        let fits = width <= left;
        left = if fits { left - width } else { 0 };
        fits
    };
    let head = text.chars().take_while(fits).collect::<String>();
    let gap = " ".repeat(room - head.width());
    let end = CUT.get(CUT.len() - columns.min(CUT.len())..).unwrap_or_default();
    gap + &head + end
}

/// How a prompt ends that has too little room.
const CUT: &str = "..> ";

/// So many prompts are shown before one line; the last of them stays.
const MAX_SHOWN: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use rustyline::Prompt as _;

    #[test]
    fn a_later_prompt_is_shown_in_the_room_of_the_first() {
        let prompt = Arc::new(Prompt::default());
        assert!(prompt.set("lobby> ") && !prompt.set("lobby> "));
        let standing = Standing::new(&prompt, prompt.now().0);
        assert_eq!(standing.raw(), "lobby> ");
        for (text, shown) in [
            ("bob (direct)> ", "bob..> "),
            ("x> ", "    x> "),
            ("日本日本> ", " 日..> "),
            ("lobby> ", "lobby> "),
        ] {
            assert!(prompt.set(text));
            assert_eq!(standing.raw(), shown);
        }
        for number in 0..2 * MAX_SHOWN {
            prompt.set(&format!("{number:05}> "));
            assert_eq!(standing.raw().width(), "lobby> ".len());
        }
    }

    #[test]
    fn where_there_is_no_room_only_the_end_of_a_prompt_is_shown() {
        assert_eq!([0, 2, 4, 5].map(|columns| fit("elsewhere> ", columns)), ["", "> ", "..> ", "e..> "]);
    }
}
