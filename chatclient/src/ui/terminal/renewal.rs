//! A line whose prompt changed while it was being typed.

use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustyline::{
    Cmd, ConditionalEventHandler, Event, EventContext, EventHandler, KeyCode, KeyEvent, Modifiers,
    RepeatCount,
};

use super::prompt::Prompt;
use super::reader::LineEditor;

/// Begins a line anew, with what was typed of it, at the first key after its prompt has changed. The editor cannot change a
/// prompt; and nobody should tell a peer what was meant for a room because the prompt still named the room.
#[derive(Debug, Clone)]
pub(super) struct Renewal {
    prompt: Arc<Prompt>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The prompt before the line.
    shown: String,
    /// What was typed of a line that is to begin anew.
    kept: Option<Typed>,
}

/// What was typed of a line, left and right of the cursor.
#[derive(Debug, Default)]
pub(super) struct Typed {
    pub(super) left: String,
    pub(super) right: String,
}

impl Renewal {
    pub(super) fn watch(editor: &mut LineEditor, prompt: &Arc<Prompt>) -> Self {
        let renewal = Self { prompt: Arc::clone(prompt), state: Arc::default() };
        editor.bind_sequence(Event::Any, EventHandler::Conditional(Box::new(renewal.clone())));
        renewal
    }

    /// Notes that a line begins after the prompt `shown`, and tells what it begins with.
    pub(super) fn begin(&self, shown: &str) -> Typed {
        let mut state = self.lock();
        shown.clone_into(&mut state.shown);
        mem::take(&mut state.kept).unwrap_or_default()
    }

    /// Whether the line ended only to begin anew.
    pub(super) fn is_due(&self) -> bool {
        self.lock().kept.is_some()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConditionalEventHandler for Renewal {
    fn handle(&self, event: &Event, _: RepeatCount, _: bool, line: &EventContext<'_>) -> Option<Cmd> {
        let mut state = self.lock();
        if self.prompt.is(&state.shown) {
            return None;
        }
        let KeyEvent(key, modifiers) = *event.get(0)?;
        let control = modifiers.contains(Modifiers::CTRL);
        let leaves = control && matches!(key, KeyCode::Char('C' | 'D'));
        // What is pasted comes in one piece, and the key after it will do.
        if leaves || key == KeyCode::BracketedPasteStart {
            return None;
        }
        let (left, right) = line.line().split_at_checked(line.pos())?;
        let mut typed = Typed { left: left.to_owned(), right: right.to_owned() };
        // Any other key is lost; most of all the one that would have sent the line to where it was not meant to go.
        if let (KeyCode::Char(letter), false) = (key, control) {
            typed.left.push(letter);
        }
        state.kept = Some(typed);
        // As if it were entered: only so does the editor keep what was typed ahead.
        Some(Cmd::AcceptLine)
    }
}
