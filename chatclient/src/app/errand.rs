//! What a command still waits for, and whether it was answered.

use std::cell::Cell;
use std::rc::Rc;

/// The commands that are not finished.
#[derive(Debug, Default)]
pub(super) struct Errands {
    alive: Rc<()>,
    /// The marks of those that have one and whose end was not seen yet.
    marks: Vec<Rc<Mark>>,
}

/// One unfinished command. It is kept by whatever waits on its behalf; the command is finished when the last copy is
/// dropped.
#[derive(Debug, Clone)]
pub(super) struct Errand {
    mark: Option<Rc<Mark>>,
    _alive: Rc<()>,
}

/// What the answers of a command carry.
#[derive(Debug)]
struct Mark {
    reference: String,
    line: String,
    answered: Cell<bool>,
}

impl Errands {
    /// A new command, or something that is done on nobody's command.
    pub(super) fn begin(&self) -> Errand {
        Errand { mark: None, _alive: Rc::clone(&self.alive) }
    }

    /// A new command, with the mark that its answers carry, and the line that it came as.
    pub(super) fn begin_marked(&mut self, reference: String, line: String) -> Errand {
        let mark = Rc::new(Mark { reference, line, answered: Cell::new(false) });
        self.marks.push(Rc::clone(&mark));
        Errand { mark: Some(mark), ..self.begin() }
    }

    /// Whether no command is unfinished.
    pub(super) fn is_empty(&self) -> bool {
        Rc::strong_count(&self.alive) == 1
    }

    /// The marked commands that have finished without an answer; each once.
    pub(super) fn unanswered(&mut self) -> Vec<Errand> {
        self.take(|mark| Rc::strong_count(mark) == 1)
    }

    /// The marked commands without an answer, finished or not; each once.
    pub(super) fn all_unanswered(&mut self) -> Vec<Errand> {
        self.take(|_| true)
    }

    fn take(&mut self, is_wanted: impl Fn(&Rc<Mark>) -> bool) -> Vec<Errand> {
        let wanted = self.marks.extract_if(.., |mark| is_wanted(mark)).filter(|mark| !mark.answered.get());
        let alive = &self.alive;
        wanted.map(|mark| Errand { mark: Some(mark), _alive: Rc::clone(alive) }).collect()
    }
}

impl Errand {
    /// The mark that answers carry.
    pub(super) fn reference(&self) -> Option<&str> {
        self.mark.as_ref().map(|mark| mark.reference.as_str())
    }

    /// The line that it came as, if its answers carry a mark.
    pub(super) fn line(&self) -> Option<&str> {
        self.mark.as_ref().map(|mark| mark.line.as_str())
    }

    /// Something that carries its mark was told.
    pub(super) fn note_answer(&self) {
        if let Some(mark) = &self.mark {
            mark.answered.set(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_finished_when_nothing_waits_for_it() {
        let mut errands = Errands::default();
        assert!(errands.is_empty());
        let errand = errands.begin_marked("x".to_owned(), "/peers".to_owned());
        let copy = errand.clone();
        drop(errand);
        assert!(!errands.is_empty());
        assert_eq!((copy.reference(), copy.line()), (Some("x"), Some("/peers")));
        drop(copy);
        assert!(errands.is_empty());
    }

    #[test]
    fn who_gave_a_mark_and_got_no_answer_is_found_once_at_the_end() {
        let mut errands = Errands::default();
        let [open, answered, silent] =
            ["1", "2", "3"].map(|mark| errands.begin_marked(mark.to_owned(), String::new()));
        let unmarked = errands.begin();
        unmarked.note_answer();
        answered.note_answer();
        drop((answered, silent, unmarked));
        let marks = |found: Vec<Errand>| {
            found.iter().filter_map(|errand| errand.reference().map(str::to_owned)).collect::<Vec<_>>()
        };
        assert_eq!(marks(errands.unanswered()), ["3"]);
        assert!(errands.unanswered().is_empty(), "it was found already");
        assert_eq!(marks(errands.all_unanswered()), ["1"]);
        drop(open);
        assert!(errands.unanswered().is_empty());
    }
}
