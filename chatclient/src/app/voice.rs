//! What the user is told, and what the shell will be told at the end.

use super::errand::Errand;
use crate::exit::{ExitStatus, Outcome};
use crate::notice::{Code, Notice};
use crate::ui::Ui;

/// The user interface, and the first failure of a command.
#[derive(Debug)]
pub(super) struct Voice {
    pub(super) ui: Ui,
    outcome: Outcome,
}

impl Voice {
    pub(super) fn new(ui: Ui) -> Self {
        Self { ui, outcome: Outcome::default() }
    }

    /// Tells a fact; `errand` is the command that it answers.
    pub(super) fn show(&mut self, notice: &Notice, errand: Option<&Errand>) {
        self.ui.show(notice, errand.and_then(Errand::reference));
        if let Some(errand) = errand.filter(|_| notice.is_event()) {
            errand.note_answer();
        }
    }

    /// Tells who waits for an answer that the command is done, and that it has nothing else to tell.
    pub(super) fn done(&mut self, errand: &Errand) {
        if let Some(line) = errand.line() {
            self.show(&Notice::Done { cmd: line.to_owned() }, Some(errand));
        }
    }

    /// Tells that something failed. Only what a command asked for counts for the exit code.
    pub(super) fn fail(
        &mut self,
        errand: Option<&Errand>,
        code: impl Into<Code>,
        message: impl Into<String>,
    ) {
        let code = code.into();
        if errand.is_some() {
            self.note(code);
        }
        self.show(&Notice::error(code, message), errand);
    }

    /// Tells that the program itself cannot go on.
    pub(super) fn fatal(&mut self, notice: &Notice, code: Code) {
        self.note(code);
        self.show(notice, None);
    }

    /// A remark for people.
    pub(super) fn info(&mut self, text: impl Into<String>) {
        self.ui.show(&Notice::Info(text.into()), None);
    }

    pub(super) fn note(&mut self, code: Code) {
        self.outcome.note(code.exit_status());
    }

    pub(super) fn note_status(&mut self, status: ExitStatus) {
        self.outcome.note(status);
    }

    pub(super) fn status(&self) -> ExitStatus {
        self.outcome.status()
    }
}
