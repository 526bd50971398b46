//! What stands before the line being typed.

use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

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
    pub(in crate::ui) fn set(&self, text: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Names only: anything that a terminal could obey would also spoil the editor's idea of the width.
        state.text = chatproto::wire::escaped(text).to_string();
        state.changes += 1;
        self.changed.notify_all();
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
