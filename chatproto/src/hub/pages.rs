//! Pages of the log for those who are behind: how many are read at once, how many bytes are given out in a while, and who
//! is next.
//!
//! However many are behind, only so much of the time goes to them, so that those who are live wait for nobody. Whoever
//! misses the same gets the same page: after a restart, or when a crowd has fallen behind, the log is read once for all.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::time::Duration;

use bytes::Bytes;

use super::{ConnId, QueryId, Record};
use crate::Instant;
use crate::wire::RoomId;

/// What all who are behind share.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Pages that the log was asked for, by where they begin.
    under_way: BTreeMap<(RoomId, u64), QueryId>,
    /// Pages that came lately, the newest last.
    kept: VecDeque<Page>,
    /// Connections whose turn has not come, the one that has waited longest in front; each once.
    line: VecDeque<ConnId>,
    /// Bytes that may still be given out in this millisecond.
    left: usize,
    /// The millisecond.
    renewed: Instant,
}

/// What follows a number in a room, encoded.
#[derive(Debug, Clone)]
pub(super) struct Page {
    pub(super) room: RoomId,
    /// The number that it follows.
    pub(super) after: u64,
    /// Where a member stands that has it.
    pub(super) next: u64,
    /// How many messages it holds.
    pub(super) messages: u64,
    /// Whole frames, marked as missed.
    pub(super) frames: Bytes,
    /// When it was read.
    pub(super) read: Instant,
}

impl Pages {
    /// In the first millisecond, too, so many bytes may be given out.
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: bytes.max(1), ..Self::default() }
    }

    /// So many bytes may be given out in each millisecond; the last page may exceed it. Whether another one has begun.
    pub(super) fn renew(&mut self, bytes: usize, now: Instant) -> bool {
        let is_next = now > self.renewed;
        if is_next {
            self.left = bytes.max(1);
            self.renewed = now;
        }
        is_next
    }

    /// Nothing more is given out in this millisecond.
    pub(super) fn spend_all(&mut self) {
        self.left = 0;
    }

    /// Notes that so many bytes were given out.
    pub(super) fn spend(&mut self, bytes: usize) {
        self.left = self.left.saturating_sub(bytes);
    }

    /// Whether all is given out that this millisecond allows.
    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }

    /// When more may be given out, if somebody waits for nothing else.
    pub(super) fn next_turn(&self) -> Option<Instant> {
        (self.is_spent() && !self.line.is_empty()).then(|| self.renewed + TICK)
    }

    /// Whether nobody waits for a turn.
    pub(super) fn is_free(&self) -> bool {
        self.line.is_empty()
    }

    /// How many wait for their turn.
    pub(super) fn in_line(&self) -> usize {
        self.line.len()
    }

    /// The next whose turn it is.
    pub(super) fn take_next(&mut self) -> Option<ConnId> {
        self.line.pop_front()
    }

    /// Puts a connection in the line: in front, if it had its turn and could not use it.
    pub(super) fn stand_in_line(&mut self, conn: ConnId, in_front: bool) {
        if in_front {
            self.line.push_front(conn);
        } else {
            self.line.push_back(conn);
        }
    }

    /// How many pages the log is being asked for.
    pub(super) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The question for what follows `after`, if the log was asked already.
    pub(super) fn asked(&self, room: RoomId, after: u64) -> Option<QueryId> {
        self.under_way.get(&(room, after)).copied()
    }

    pub(super) fn begin(&mut self, room: RoomId, after: u64, query: QueryId) {
        self.under_way.insert((room, after), query);
    }

    pub(super) fn end(&mut self, room: RoomId, after: u64) {
        self.under_way.remove(&(room, after));
    }

    /// The page that follows `after`, if it came lately.
    pub(super) fn kept(&self, room: RoomId, after: u64, now: Instant) -> Option<Page> {
        let is_it = |page: &&Page| page.room == room && page.after == after;
        self.kept.iter().rev().find(is_it).filter(|page| now < page.read + KEPT_FOR).cloned()
    }

    /// Keeps a page for others.
    pub(super) fn keep(&mut self, page: Page) {
        self.kept.retain(|kept| (kept.room, kept.after) != (page.room, page.after));
        self.kept.push_back(page);
        if self.kept.len() > MAX_KEPT {
            self.kept.pop_front();
        }
    }

    /// Lets go of the pages of a room that is gone.
    pub(super) fn forget(&mut self, room: RoomId) {
        self.kept.retain(|page| page.room != room);
    }
}

/// As many of `records` as end at the roundest number of their second half: those who began elsewhere meet there, and share
/// every page from then on.
pub(super) fn up_to_meeting_point(records: &[Record]) -> &[Record] {
    let half = records.len() / 2;
    let ends = records.iter().enumerate().skip(half);
    let end = ends.max_by_key(|(_, record)| record.seq.trailing_zeros()).map_or(half, |(at, _)| at + 1);
    records.get(..end).unwrap_or(records)
}

/// Conns that ask for the same page.
pub(super) type Askers = Vec<ConnId>;

/// The hub's clock counts these.
const TICK: Duration = Duration::from_millis(1);

/// Pages in memory for others who miss the same, each of at most [`Config::page_bytes`](super::Config::page_bytes). It bounds
/// what they cost the whole server.
pub(super) const MAX_KEPT: usize = 4;

/// So long a page may serve others: what retention removes must not come back from here.
const KEPT_FOR: Duration = Duration::from_secs(1);
