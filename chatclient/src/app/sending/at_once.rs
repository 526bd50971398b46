//! Small files that the system has in memory are read on the loop: nothing there waits for a disk, and a thousand of them wake
//! no worker. Everything else is a worker's.

use super::{Part, What, unit_data};
use crate::app::remote::MAX_SMALL;
use crate::share::{Outgoing, Share};
use chatproto::peer::UnitData;
use chatproto::verify::UnitLog2;

/// Opens a small file that is known from a list; `None` when a worker has to, also to say why it cannot be opened.
pub(super) fn open(share: &Share, what: &What, unit: UnitLog2, part: Part) -> Option<Box<Outgoing>> {
    let (What::Listed(path, seen), Part::Whole) = (what, part) else { return None };
    if seen.size > MAX_SMALL {
        return None;
    }
    let file = share.open_at_once(path.borrow(), *seen)?;
    Some(Box::new(Outgoing::new(file, unit)))
}

/// Reads and hashes the only unit of a small file; `None` when a worker has to.
pub(super) fn read(outgoing: &mut Outgoing) -> Option<UnitData> {
    if outgoing.file().size() > MAX_SMALL || outgoing.layout().units() > 1 {
        return None;
    }
    let unit = outgoing.next_unit_at_once()?;
    Some(unit_data(outgoing, unit))
}
