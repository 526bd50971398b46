//! Facts as lines for people.

use crate::notice::Notice;

/// Turns notices into lines.
#[derive(Debug)]
pub(super) struct Text {
    person: bool,
}

impl Text {
    pub(super) fn new(person: bool) -> Self {
        Self { person }
    }

    pub(super) fn render(&mut self, notice: &Notice) -> String {
        let _ = (self.person, notice);
        String::new()
    }
}
