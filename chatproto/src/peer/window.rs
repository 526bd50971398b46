//! How much file data may be on its way to the other end, judged by how long it takes.
//!
//! What the wire cannot carry yet waits in a router's buffer, and a word said now waits behind it; where the buffer
//! overflows, the word waits until what was lost is sent again. So the sender of files puts *markers* into their stream,
//! pings that the other end answers at once, and lets go of no more bytes than keep the wire busy: a marker tells how much
//! has arrived, and the time of its answer beyond the shortest one known, the *base*, is the time spent in queues.
//!
//! ```text
//!  Opening --the queue takes half its target--> Steady --every BASE_LIFE--> Draining
//!                                                 ^                            |
//!                                     as it was before                 all has arrived
//!                                                 |                            |
//!                                                 +-------- Reopening <--------+
//! ```
//!
//! Opening, the window grows by half with each round trip. Steady, it moves to the size at which the queue takes
//! its [target](TARGET): the bytes that were on their way with a marker, divided by the time that the answer took, are what
//! the wire carries. The small step that is added each time grows with the root of the window, so that two that share a
//! wire come to share it evenly.
//! A queue that never empties hides the base, hence the draining. And not all that takes time is our queue: if much less
//! arrives since the window shrank, the wire was not full, and what is left of the time is *foreign*, until the next draining.
//!
//! No clock and no I/O: time is the machine's, in milliseconds, and all arithmetic is in integers.

use alloc::collections::VecDeque;

use crate::Instant;

/// How long the queue may take at least, in milliseconds: enough that the wire does not run dry between two answers, and
/// little enough that nobody notices it in a conversation, nor a router's short buffer overflows.
const TARGET: u64 = 5;

/// The share of the base that the queue may take, where that is longer: what goes far comes less evenly.
const SHARE: u64 = 4;

/// The window at the beginning: what TCP sends in its first few round trips anyway.
const INITIAL: u64 = 64 * 1024;

/// The least window: a wire of 10 Mbit/s needs 12 ms for it.
const FLOOR: u64 = 16 * 1024;

/// The greatest window: 10 Gbit/s with a round trip of 25 ms. It bounds what a peer that answers too early can bring us
/// to send; that is in the system's buffers, which have bounds of their own.
const CEILING: u64 = 32 * 1024 * 1024;

/// How long the shortest time known is believed, in milliseconds. The one before it counts as well, so that it takes two
/// to find out that the way has become longer.
const BASE_LIFE: u64 = 10_000;

/// The least time between two drainings, in milliseconds and in times of the base, when a new base is needed sooner.
const DRAIN_PAUSE: u64 = 1_000;
const DRAIN_PAUSE_BASES: u64 = 8;

/// A rate is told from no less than so many milliseconds.
const LEAST_MEASURE: u64 = 5;

/// Markers in a window while it is what holds the data back; of a window that does not, one lies in its middle.
const MARKERS: u64 = 8;

/// Markers that may wait for their answers. A window has few; only one that shrinks has more.
const MAX_MARKERS: usize = 32;

/// The pieces of a window into which data is cut, so that a word need not wait for a long frame on a slow wire.
const PIECES: u64 = 16;

/// The shortest piece into which data is cut.
const MIN_PIECE: u64 = 4 * 1024;

/// By how much a window grows beyond what is measured: by the root of itself times this, in bytes.
const STEP: u64 = 256;

/// The markers' nonces begin here, far from those of the pings that keep a link alive.
const FIRST_NONCE: u64 = 1 << 63;

/// How much file data may be on its way, and what of it is.
#[derive(Debug)]
pub(super) struct Window {
    /// Bytes that may be on their way.
    size: u64,
    /// What it grows to as answers come; what is smaller holds at once.
    goal: u64,
    phase: Phase,
    /// File data let go since the link stands, in bytes: positions in its stream.
    sent: u64,
    /// The position up to which it has arrived.
    answered: u64,
    /// The position of the last marker.
    marked: u64,
    /// Markers without an answer, in their order.
    markers: VecDeque<Marker>,
    next_nonce: u64,
    /// What was let go before this position says nothing about the present size.
    judged: u64,
    /// The greatest size that fits, of the answers since then.
    fitting: u64,
    measure: Measure,
    /// Whether data waits for which there is no room.
    limits: bool,
    /// Nothing is on its way, so what goes next shows the base.
    shows_base: bool,
    base: Base,
    /// When data was let go last.
    last: Instant,
}

#[derive(Debug)]
struct Marker {
    nonce: u64,
    position: u64,
    /// Bytes on their way with it.
    under_way: u64,
    sent: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Grows fast, and finds out how far.
    Opening,
    /// Grows fast to where it was.
    Reopening,
    Steady,
    /// Nothing is let go until all has arrived; then it opens again, up to this size.
    Draining {
        until: u64,
    },
}

/// What the size brought about: whether a queue is ours is seen when the window shrinks, and only the queue may become less.
#[derive(Debug, Default)]
struct Measure {
    since: Instant,
    /// The position that had arrived then.
    from: u64,
    /// The best rate of late, in bytes a millisecond.
    best: u64,
    /// The size before it shrank last.
    before: u64,
    /// Whether much less arrived the last time; once may be chance.
    is_lower: bool,
    /// Time that others than we make data take, beyond the base: a busy machine, a slow disk, the files of other people.
    foreign: u64,
}

impl Measure {
    fn renew(&mut self, position: u64, now: Instant) {
        (self.from, self.since) = (position, now);
    }

    fn forget(&mut self) {
        (self.best, self.before, self.foreign) = (0, 0, 0);
        self.is_lower = false;
    }

    /// Whether much less arrives than before the window shrank, for the second time.
    fn has_lost(&mut self, position: u64, now: Instant) -> bool {
        let millis = millis_between(self.since, now);
        if millis < LEAST_MEASURE {
            return false;
        }
        let rate = (position - self.from) / millis;
        let is_lower = rate < self.best / 4 * 3;
        self.best = rate.max(self.best - self.best / 16);
        core::mem::replace(&mut self.is_lower, is_lower) && is_lower
    }
}

/// The shortest time of an answer, in milliseconds, of this while and of the one before.
#[derive(Debug, Default)]
struct Base {
    now: Option<u64>,
    before: Option<u64>,
    since: Instant,
}

impl Base {
    fn get(&self) -> Option<u64> {
        self.now.into_iter().chain(self.before).min()
    }

    /// How long the queue may take.
    fn target(&self) -> u64 {
        TARGET.max(self.get().unwrap_or(0) / SHARE)
    }

    fn learn(&mut self, millis: u64) {
        self.now = Some(self.now.map_or(millis, |least| least.min(millis)));
    }

    fn age(&self, now: Instant) -> u64 {
        now.as_millis().saturating_sub(self.since.as_millis())
    }

    fn renew(&mut self, now: Instant) {
        self.before = self.now.take();
        self.since = now;
    }
}

impl Window {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            size: INITIAL,
            goal: CEILING,
            phase: Phase::Opening,
            sent: 0,
            answered: 0,
            marked: 0,
            markers: VecDeque::new(),
            next_nonce: FIRST_NONCE,
            judged: 0,
            fitting: 0,
            measure: Measure { since: now, ..Measure::default() },
            limits: false,
            shows_base: true,
            base: Base { since: now, ..Base::default() },
            last: now,
        }
    }

    /// Bytes that may be let go now. A frame that goes past it is fine.
    pub(super) fn room(&self) -> u64 {
        match self.phase {
            Phase::Draining { .. } => 0,
            Phase::Opening | Phase::Reopening | Phase::Steady => self.size.saturating_sub(self.under_way()),
        }
    }

    fn under_way(&self) -> u64 {
        self.sent - self.answered
    }

    /// The longest piece into which data should be cut now.
    pub(super) fn piece(&self) -> u64 {
        (self.size / PIECES).max(MIN_PIECE)
    }

    /// Data is about to be let go. After a while without any, all of a window would leave at once, faster than any wire; so it
    /// opens anew.
    pub(super) fn wake(&mut self, now: Instant) {
        let usual = self.base.get().unwrap_or(0) + self.base.target();
        let paused = !self.limits && millis_between(self.last, now) > usual;
        if paused && self.size > INITIAL && !self.drains() {
            self.open(self.goal, now);
        }
    }

    /// So many bytes were let go.
    pub(super) fn let_go(&mut self, bytes: u64, now: Instant) {
        self.sent = self.sent.saturating_add(bytes);
        self.last = now;
    }

    /// Whether there is data for which there was no room.
    pub(super) fn set_limits(&mut self, limits: bool) {
        self.limits = limits;
    }

    /// The nonce of the marker that is to follow what was let go last, if one is due.
    pub(super) fn mark(&mut self, now: Instant) -> Option<u64> {
        let unmarked = self.sent - self.marked;
        let spacing = if self.limits { self.size / MARKERS } else { self.size / 2 };
        // Without an answer to wait for, what is held back would be held for ever.
        let needs_answer = self.markers.is_empty() && self.room() == 0;
        let is_due = unmarked >= spacing || self.shows_base || needs_answer || self.drains();
        if unmarked == 0 || !is_due || self.markers.len() >= MAX_MARKERS {
            return None;
        }
        let nonce = self.next_nonce;
        self.next_nonce = nonce.checked_add(1).unwrap_or(FIRST_NONCE);
        (self.marked, self.shows_base) = (self.sent, false);
        let under_way = self.under_way();
        self.markers.push_back(Marker { nonce, position: self.sent, under_way, sent: now });
        Some(nonce)
    }

    /// A pong came. What answers no marker that waits means nothing here; an answer covers the markers before it.
    pub(super) fn answer(&mut self, nonce: u64, now: Instant) {
        let Some(index) = self.markers.iter().position(|marker| marker.nonce == nonce) else { return };
        let Some(marker) = self.markers.drain(..=index).next_back() else { return };
        let millis = millis_between(marker.sent, now);
        let arrived = marker.position - self.answered;
        self.answered = marker.position;
        self.base.learn(millis);
        // A window that holds nothing back says nothing.
        if self.limits && !self.drains() {
            self.grow(arrived, now);
            self.judge(&marker, millis, now);
        }
        self.end_draining(now);
    }

    fn drains(&self) -> bool {
        matches!(self.phase, Phase::Draining { .. })
    }

    /// Opens again when all has arrived.
    fn end_draining(&mut self, now: Instant) {
        if let Phase::Draining { until } = self.phase
            && self.under_way() == 0
        {
            self.open(until, now);
            self.shows_base = true;
        }
    }

    /// Opens with what fills half of the queue's target when it comes at once.
    fn open(&mut self, goal: u64, now: Instant) {
        let (base, target) = (self.base.get().unwrap_or(0), self.base.target());
        let at_once = goal.saturating_mul(target) / (2 * (base + target));
        (self.phase, self.size) = match goal {
            CEILING => (Phase::Opening, self.size.min(INITIAL)),
            _ => (Phase::Reopening, at_once.max(FLOOR)),
        };
        self.goal = goal;
        self.measure.forget();
        self.judge_anew(now);
    }

    fn grow(&mut self, arrived: u64, now: Instant) {
        self.size = self.size.saturating_add(arrived / 2).min(self.goal.max(self.size));
        if self.size >= self.goal && self.phase != Phase::Steady {
            self.phase = Phase::Steady;
            self.judge_anew(now);
        }
    }

    fn judge_anew(&mut self, now: Instant) {
        (self.judged, self.fitting) = (self.sent, 0);
        self.measure.renew(self.answered, now);
    }

    /// Sets the goal by how long data took that was let go since the last time.
    fn judge(&mut self, marker: &Marker, millis: u64, now: Instant) {
        if marker.position <= self.judged {
            return;
        }
        let base = self.base.get().unwrap_or(millis);
        let (queue, target) = (millis.saturating_sub(base), self.base.target());
        let fits = |millis_allowed| marker.under_way.saturating_mul(millis_allowed) / millis.max(1);
        let fitting = fits(base + self.measure.foreign + target);
        self.fitting = self.fitting.max(fitting);
        let is_over = match self.phase {
            Phase::Opening => queue > target / 2,
            // What comes in bursts takes longer.
            Phase::Reopening => queue > 2 * target,
            // The best of a whole window, where others make the times uneven.
            Phase::Steady | Phase::Draining { .. } => marker.position >= self.judged + self.size,
        };
        if !is_over {
            return;
        }
        let has_lost = self.measure.has_lost(self.answered, now);
        if has_lost && self.fitting < self.size {
            self.measure.foreign = queue;
            self.fitting = fits(millis + target).max(self.measure.before);
        }
        let step = self.size.saturating_mul(STEP).isqrt();
        self.goal = (self.fitting + step).clamp(self.size / 2, self.size * 2).clamp(FLOOR, CEILING);
        if self.goal < self.size {
            (self.measure.before, self.size) = (self.size, self.goal);
        }
        self.phase = Phase::Steady;
        self.judge_anew(now);
        self.check_base(base, now);
    }

    /// Drains when the base is old; sooner, when others seem to take time: it may as well be the way that is longer now.
    fn check_base(&mut self, base: u64, now: Instant) {
        let life = match self.measure.foreign {
            0 => BASE_LIFE,
            _ => DRAIN_PAUSE.max(base * DRAIN_PAUSE_BASES),
        };
        if self.base.age(now) >= life {
            self.base.renew(now);
            self.phase = Phase::Draining { until: self.goal };
        }
    }
}

fn millis_between(from: Instant, to: Instant) -> u64 {
    to.as_millis().saturating_sub(from.as_millis())
}

#[cfg(test)]
mod tests;
