//! Connections without sockets: bytes with delay, split and merged at random, bounded in flight, cut at any byte.

use core::net::SocketAddr;
use core::time::Duration;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::vec::Vec;

use bytes::{Buf, Bytes};

use super::Rng;
use crate::Instant;

/// How the network behaves.
#[derive(Debug, Clone)]
pub struct Conditions {
    /// Shortest time that bytes or a connection attempt take. Default 1 ms.
    pub min_delay: Duration,
    /// Longest time. Default 20 ms. Bytes of one direction never overtake each other.
    pub max_delay: Duration,
    /// Longest piece that is written or read at once, in bytes. Default 4 KiB. With 1 every byte comes alone.
    pub max_piece: usize,
    /// Bytes that may be under way in one direction, unread ones included. Default 64 KiB. When they are, nothing more
    /// can be written: this is the back-pressure of a socket's buffers.
    pub window: usize,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            min_delay: Duration::from_millis(1),
            max_delay: Duration::from_millis(20),
            max_piece: 4096,
            window: 64 * 1024,
        }
    }
}

/// One end of a connection, for as long as the network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId(u64);

/// What became of an attempt to connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialled {
    /// Connected.
    Connected,
    /// Nobody listens there.
    Refused,
}

/// All connections of a test.
#[derive(Debug)]
pub struct Network {
    rng: Rng,
    conditions: Conditions,
    listeners: BTreeSet<SocketAddr>,
    streams: BTreeMap<StreamId, Stream>,
    attempts: Vec<Attempt>,
    dialled: BTreeMap<StreamId, Dialled>,
    /// Connections that no listener has taken yet.
    accepted: VecDeque<(SocketAddr, StreamId, SocketAddr)>,
    next_stream: u64,
    next_port: u16,
    recording: Option<Recording>,
}

/// What the ends of connections have read, from the time at which it was asked for.
#[derive(Debug)]
struct Recording {
    /// Bytes that are kept for each end.
    limit: usize,
    read: BTreeMap<StreamId, Vec<Bytes>>,
}

#[derive(Debug)]
struct Attempt {
    due: Instant,
    stream: StreamId,
    from: SocketAddr,
    to: SocketAddr,
}

/// One end: what is on its way to it, and how it ends.
#[derive(Debug)]
struct Stream {
    other: StreamId,
    arriving: VecDeque<(Instant, Bytes)>,
    /// Bytes of these.
    len: usize,
    /// No byte is written after this one was.
    is_shut: bool,
    /// The other end was shut or is gone: the end of the stream comes when all has arrived.
    ends: bool,
    /// Bytes that may still arrive before the connection is cut.
    cut_after: Option<usize>,
    is_slow: bool,
}

impl Network {
    /// A network without connections.
    #[must_use]
    pub fn new(seed: u64, conditions: Conditions) -> Self {
        Self {
            rng: Rng::new(seed),
            conditions,
            listeners: BTreeSet::new(),
            streams: BTreeMap::new(),
            attempts: Vec::new(),
            dialled: BTreeMap::new(),
            accepted: VecDeque::new(),
            next_stream: 1,
            next_port: FIRST_PORT,
            recording: None,
        }
    }

    /// Keeps what is read from here on, the first `limit` bytes of each end of a connection and no more.
    pub fn record(&mut self, limit: usize) {
        self.recording = Some(Recording { limit, read: BTreeMap::new() });
    }

    /// What was recorded, in the order in which the connections were made: for each end the pieces as they were read. Ends
    /// the recording.
    pub fn take_recorded(&mut self) -> Vec<Vec<Bytes>> {
        self.recording.take().map(|recording| recording.read.into_values().collect()).unwrap_or_default()
    }

    /// Changes how the network behaves from here on.
    pub fn set_conditions(&mut self, conditions: Conditions) {
        self.conditions = conditions;
    }

    /// Accepts connections at `address`.
    pub fn listen(&mut self, address: SocketAddr) {
        self.listeners.insert(address);
    }

    /// Refuses them again. Those that were not taken yet are cut, others stand.
    pub fn unlisten(&mut self, address: SocketAddr) {
        self.listeners.remove(&address);
        let (gone, others) =
            core::mem::take(&mut self.accepted).into_iter().partition(|(listener, ..)| *listener == address);
        self.accepted = others;
        let gone: VecDeque<(SocketAddr, StreamId, SocketAddr)> = gone;
        for (_, stream, _) in gone {
            self.cut(stream);
            self.close(stream);
        }
    }

    /// Begins to connect; [`poll_dialled`](Self::poll_dialled) tells how it went.
    pub fn dial(&mut self, from: core::net::IpAddr, to: SocketAddr, now: Instant) -> StreamId {
        let stream = self.new_stream();
        let from = SocketAddr::new(from, self.next_port);
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_PORT);
        let due = now + self.delay();
        self.attempts.push(Attempt { due, stream, from, to });
        stream
    }

    /// Writes as much of `bytes` as fits just now; what is left stays in the buffer. Returns how much was taken.
    pub fn write(&mut self, stream: StreamId, bytes: &mut impl Buf, now: Instant) -> usize {
        let Some(other) = self.streams.get(&stream).filter(|end| !end.is_shut).map(|end| end.other) else {
            return 0;
        };
        let Some(end) = self.streams.get(&other) else { return 0 };
        let room = self.conditions.window.saturating_sub(end.len).min(bytes.remaining());
        if room == 0 {
            return 0;
        }
        let piece = bytes.copy_to_bytes(1 + self.rng.index(room.min(self.conditions.max_piece)));
        let arrives = now + self.delay();
        let Some(end) = self.streams.get_mut(&other) else { return 0 };
        let arrives = end.arriving.back().map_or(arrives, |(before, _)| arrives.max(*before));
        let len = piece.len();
        end.len += len;
        end.arriving.push_back((arrives, piece));
        len
    }

    /// Reads some of what has arrived into `into`, after clearing it. Nothing is read from a stream that is
    /// [slow](Self::set_slow). Returns how many bytes came.
    pub fn read(&mut self, stream: StreamId, into: &mut Vec<u8>, now: Instant) -> usize {
        into.clear();
        let Some(end) = self.streams.get_mut(&stream).filter(|end| !end.is_slow) else { return 0 };
        let due = end.arriving.iter().take_while(|(arrives, _)| *arrives <= now);
        let arrived = due.map(|(_, piece)| piece.len()).sum::<usize>();
        let allowed = arrived.min(end.cut_after.unwrap_or(usize::MAX));
        if allowed > 0 {
            let len = 1 + self.rng.index(allowed.min(self.conditions.max_piece));
            end.take(len, into);
            if let Some(recording) = &mut self.recording {
                recording.note(stream, into);
            }
        }
        if end.cut_after == Some(0) {
            self.cut(stream);
        }
        into.len()
    }

    /// Whether the stream has ended and everything was read.
    #[must_use]
    pub fn is_at_end(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(|end| end.ends && end.arriving.is_empty() && !end.is_slow)
    }

    /// Whether something can be written.
    #[must_use]
    pub fn is_writable(&self, stream: StreamId) -> bool {
        let other = self.streams.get(&stream).filter(|end| !end.is_shut).map(|end| end.other);
        let other = other.and_then(|other| self.streams.get(&other));
        other.is_some_and(|other| other.len < self.conditions.window)
    }

    /// Whether the other end is gone for good: what is written now would be answered with a reset.
    #[must_use]
    pub fn is_reset(&self, stream: StreamId) -> bool {
        self.streams.get(&stream).is_none_or(|end| !self.streams.contains_key(&end.other))
    }

    /// Closes the writing half: the other end reads to the end and then sees it.
    pub fn shut(&mut self, stream: StreamId) {
        let Some(end) = self.streams.get_mut(&stream) else { return };
        end.is_shut = true;
        let other = end.other;
        if let Some(other) = self.streams.get_mut(&other) {
            other.ends = true;
        }
    }

    /// Closes this end: what it sent still arrives, what comes to it is dropped.
    pub fn close(&mut self, stream: StreamId) {
        self.attempts.retain(|attempt| attempt.stream != stream);
        self.dialled.remove(&stream);
        self.shut(stream);
        self.streams.remove(&stream);
    }

    /// Breaks the connection at once; what was under way is lost in both directions.
    pub fn cut(&mut self, stream: StreamId) {
        let other = self.streams.get(&stream).map(|end| end.other);
        for id in other.into_iter().chain([stream]) {
            if let Some(end) = self.streams.get_mut(&id) {
                end.arriving.clear();
                end.len = 0;
                end.ends = true;
                end.is_shut = true;
                end.is_slow = false;
            }
        }
    }

    /// Breaks the connection once `bytes` more have arrived at this end.
    pub fn cut_after(&mut self, stream: StreamId, bytes: usize) {
        if bytes == 0 {
            return self.cut(stream);
        }
        if let Some(end) = self.streams.get_mut(&stream) {
            end.cut_after = Some(bytes);
        }
    }

    /// A slow end does not read until it is quick again.
    pub fn set_slow(&mut self, stream: StreamId, is_slow: bool) {
        if let Some(end) = self.streams.get_mut(&stream) {
            end.is_slow = is_slow;
        }
    }

    /// Connections that are open at this end.
    pub fn streams(&self) -> impl Iterator<Item = StreamId> {
        self.streams.keys().copied()
    }

    /// How the attempt that [`dial`](Self::dial) began has ended, once.
    pub fn poll_dialled(&mut self, stream: StreamId, now: Instant) -> Option<Dialled> {
        self.settle(now);
        self.dialled.remove(&stream)
    }

    /// The next connection to a listener, with the address it comes from.
    pub fn poll_accepted(&mut self, listener: SocketAddr, now: Instant) -> Option<(StreamId, SocketAddr)> {
        self.settle(now);
        let at = self.accepted.iter().position(|(address, ..)| *address == listener)?;
        self.accepted.remove(at).map(|(_, stream, from)| (stream, from))
    }

    /// When something arrives that has not arrived at `now`.
    #[must_use]
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let attempts = self.attempts.iter().map(|attempt| attempt.due);
        let later = |end: &Stream| end.arriving.iter().map(|(at, _)| *at).find(|at| *at > now);
        let bytes = self.streams.values().filter(|end| !end.is_slow).filter_map(later);
        attempts.chain(bytes).min()
    }

    /// Ends the attempts that are due.
    pub(super) fn settle(&mut self, now: Instant) {
        let (due, later) = core::mem::take(&mut self.attempts).into_iter().partition(|it| it.due <= now);
        self.attempts = later;
        let due: Vec<Attempt> = due;
        for Attempt { stream, from, to, .. } in due {
            if !self.listeners.contains(&to) {
                self.dialled.insert(stream, Dialled::Refused);
                continue;
            }
            let accepted = self.new_stream();
            self.streams.insert(stream, Stream::to(accepted));
            self.streams.insert(accepted, Stream::to(stream));
            self.dialled.insert(stream, Dialled::Connected);
            self.accepted.push_back((to, accepted, from));
        }
    }

    fn new_stream(&mut self) -> StreamId {
        let id = StreamId(self.next_stream);
        self.next_stream += 1;
        id
    }

    fn delay(&mut self) -> Duration {
        let spread = self.conditions.max_delay.saturating_sub(self.conditions.min_delay);
        let spread = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        self.conditions.min_delay + Duration::from_millis(self.rng.below(spread.saturating_add(1)))
    }
}

impl Recording {
    fn note(&mut self, stream: StreamId, bytes: &[u8]) {
        let pieces = self.read.entry(stream).or_default();
        let left = self.limit.saturating_sub(pieces.iter().map(Bytes::len).sum());
        let kept = bytes.get(..left).unwrap_or(bytes);
        if !kept.is_empty() {
            pieces.push(Bytes::copy_from_slice(kept));
        }
    }
}

impl Stream {
    fn to(other: StreamId) -> Self {
        Self {
            other,
            arriving: VecDeque::new(),
            len: 0,
            is_shut: false,
            ends: false,
            cut_after: None,
            is_slow: false,
        }
    }

    /// Takes `len` bytes from the front, which have arrived.
    fn take(&mut self, len: usize, into: &mut Vec<u8>) {
        while into.len() < len {
            let Some((_, piece)) = self.arriving.front_mut() else { return };
            let taken = piece.split_to(piece.len().min(len - into.len()));
            let is_empty = piece.is_empty();
            into.extend_from_slice(&taken);
            self.len -= taken.len();
            if let Some(left) = &mut self.cut_after {
                *left = left.saturating_sub(taken.len());
            }
            if is_empty {
                self.arriving.pop_front();
            }
        }
    }
}

/// First port that dialling ends get.
const FIRST_PORT: u16 = 40_000;
