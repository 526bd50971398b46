//! Names that are given away in one folder before anything is there.

use super::names::variant;
use chatproto::wire::SafeName;
use chatproto::wire::path::case_fold_key;
use std::collections::BTreeSet;

/// So many variants of a name are tried beside others that a file system may take for the same one.
const MAX_VARIANTS: u32 = 1000;

/// The names of one folder, as file systems compare them.
#[derive(Debug, Default)]
pub struct GivenNames(BTreeSet<String>);

impl GivenNames {
    /// The name, or a variant of it that no file system takes for one that was given away before; `None` when there
    /// are too many of them.
    pub fn give(&mut self, name: &SafeName) -> Option<SafeName> {
        (0..MAX_VARIANTS).find_map(|number| {
            let name = SafeName::new(&variant(name.as_str(), number)).ok()?;
            self.0.insert(case_fold_key(name.borrow())).then_some(name)
        })
    }
}
