//! How one end of a link is set up: who it is, and its bounds.

use crate::conn::Limits;
use crate::wire::{Capabilities, DeviceId, LinkTicket, MAX_FRAME, MIN_FRAME, Name, Note, OfferId, Purpose};

/// Who this end is, and the bounds of what the other end may cost it.
#[derive(Debug, Clone)]
pub struct Config {
    /// The account of this end, as it was introduced.
    pub user: Name,
    /// The device of this end.
    pub device: DeviceId,
    /// Program and version, for the other end's log.
    pub agent: Note,
    /// What this end can do beyond the base. Default: nothing.
    pub capabilities: Capabilities,
    /// Frames, deadlines and budgets of the connection. A `max_frame` outside [`MIN_FRAME`] to [`MAX_FRAME`] is moved
    /// to the nearer of them.
    pub limits: Limits,
    /// Transfers open at a time, in each direction. Default 16. Bounds their state (some hundred bytes each, and
    /// one unit of at most 1 MiB each that was received in part); answers a peer that asks for everything at once.
    pub max_transfers: usize,
    /// List requests open at a time, in each direction. Default 8. Answers a peer that asks for folders faster
    /// than the disk can be read.
    pub max_lists: usize,
    /// Entries on a page that this end serves. Default 256; a page is cut shorter where the frame limit asks for it.
    pub page_entries: usize,
    /// Entries of a folder that this end serves. Default 10,000. Together with
    /// [`max_generations`](Self::max_generations) it bounds the snapshots: at most 400 bytes an entry.
    pub max_list_entries: usize,
    /// Bytes of content that go along with one generation of a list, when it is asked for. Default 1 MiB. Together with
    /// [`max_generations`](Self::max_generations) it bounds the memory of a peer that asks for content again and again.
    pub max_list_content: usize,
    /// Generations that are kept so that their pages and numbers can still be asked for. Default 8; the oldest goes
    /// first, and is answered with `changed` from then on.
    pub max_generations: usize,
    /// Bytes of file data in the queue below which more is wanted from the program. Default 256 KiB. Enough to keep
    /// the wire busy while a unit is read; more would only delay a cancel.
    pub low_water: usize,
    /// Units wanted from the program and not yet provided, over all transfers. Default 4. With
    /// [`low_water`](Self::low_water) it bounds the file data in memory when sending: 4.25 MiB with units of 1 MiB.
    pub max_units_wanted: usize,
    /// Bytes handed to the program and not yet reported by [`unit_stored`](super::Peer::unit_stored) above which
    /// nothing more is read. Default 4 MiB. Bounds what a fast sender can pile up before a slow disk. Nothing is held
    /// back while no unit is complete, so a value smaller than a unit slows a transfer and does not stop it.
    pub max_unstored: u64,
    /// Events waiting to be polled above which nothing more is read. Default 4,096. Answers floods of small frames at
    /// a program that is slow to poll.
    pub max_events: usize,
    /// Bytes of input whose events the program has not polled, above which nothing more is read. Default 1 MiB. Answers a
    /// peer that fills the events with long lists.
    pub max_event_bytes: usize,
}

impl Config {
    /// The defaults for this user and device.
    #[must_use]
    pub fn new(user: Name, device: DeviceId, agent: Note) -> Self {
        Self {
            user,
            device,
            agent,
            capabilities: Capabilities::NONE,
            limits: Limits::default(),
            max_transfers: 16,
            max_lists: 8,
            page_entries: 256,
            max_list_entries: 10_000,
            max_list_content: 1024 * 1024,
            max_generations: 8,
            low_water: 256 * 1024,
            max_units_wanted: 4,
            max_unstored: 4 * 1024 * 1024,
            max_events: 4096,
            max_event_bytes: 1024 * 1024,
        }
    }

    /// With every value inside of its range.
    pub(super) fn in_range(mut self) -> Self {
        self.limits.max_frame = self.limits.max_frame.clamp(MIN_FRAME, MAX_FRAME);
        self.page_entries = self.page_entries.max(1);
        self.max_generations = self.max_generations.max(1);
        self.max_units_wanted = self.max_units_wanted.max(1);
        self.low_water = self.low_water.max(1);
        self
    }
}

/// What the server told the dialling end about the other one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The offer that was accepted.
    pub offer: OfferId,
    /// Its secret, shown once.
    pub ticket: LinkTicket,
    /// What the link is for.
    pub purpose: Purpose,
    /// Who must answer.
    pub peer: Name,
    /// On which device.
    pub device: DeviceId,
}
