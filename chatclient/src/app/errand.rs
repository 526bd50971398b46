//! What a command still waits for.

use std::rc::Rc;

/// Counts the commands that are not finished.
#[derive(Debug, Default)]
pub(super) struct Errands {
    alive: Rc<()>,
}

/// One unfinished command. It is kept by whatever waits on its behalf; the command is finished when the last copy is
/// dropped.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    reference: Option<Rc<str>>,
    _alive: Rc<()>,
}

impl Errands {
    /// A new command, with the mark that its answers carry.
    pub(super) fn begin(&self, reference: Option<String>) -> Errand {
        Errand { reference: reference.map(Rc::from), _alive: Rc::clone(&self.alive) }
    }

    /// Whether no command is unfinished.
    pub(super) fn is_empty(&self) -> bool {
        Rc::strong_count(&self.alive) == 1
    }
}

impl Errand {
    /// The mark that answers carry.
    pub(super) fn reference(&self) -> Option<&str> {
        self.reference.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_finished_when_nothing_waits_for_it() {
        let errands = Errands::default();
        assert!(errands.is_empty());
        let errand = errands.begin(Some("x".to_owned()));
        let copy = errand.clone();
        drop(errand);
        assert!(!errands.is_empty());
        assert_eq!(copy.reference(), Some("x"));
        drop(copy);
        assert!(errands.is_empty());
    }
}
