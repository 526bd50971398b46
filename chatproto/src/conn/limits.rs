//! The limits of one connection: each with its default, the memory or time that it bounds, and the attack it answers.

use core::time::Duration;

use super::Conn;
use crate::wire::{HEADER_LEN, MAX_FRAME};

/// Limits of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame accepted once hellos were exchanged, in bytes (type and body). Default 64 KiB.
    /// Bounds the input buffer of a connection; a giant length is refused before anything is buffered. The machines bring it within
    /// [`MIN_FRAME`](crate::wire::MIN_FRAME) and [`MAX_FRAME`].
    pub max_frame: u32,
    /// Bytes that may wait to be sent before the other side counts as slow. Default 256 KiB.
    /// Past it a hub stops sending live messages and lets the connection catch up from the log.
    pub max_queue: usize,
    /// Bytes that may wait to be sent at all. Default 1 MiB.
    /// Answers a client that asks and asks and never reads: past it the connection ends as too slow. A hub takes it for no less than
    /// [`max_queue`](Self::max_queue) and a page of the log.
    pub max_queue_hard: usize,
    /// Time from the connection to its hello. Default 10 s. Answers connections that never speak.
    pub handshake_timeout: Duration,
    /// Time from the hello to the end of the login. Default 30 s, for a slow device's key stretching.
    pub login_timeout: Duration,
    /// Silence after which a ping is sent. Default 30 s.
    pub ping_interval: Duration,
    /// Silence after which the connection ends. Default 90 s. Answers half-open connections.
    pub idle_timeout: Duration,
    /// Time that the last bytes of a closing connection have to leave. Default 5 s.
    pub close_timeout: Duration,
    /// Frames that may arrive in each [`budget_interval`](Self::budget_interval). Default 20,000.
    /// Answers floods of cheap frames (empty, tiny, ping).
    pub max_frames: u32,
    /// Length of a budget interval. Default 1 s.
    pub budget_interval: Duration,
}

impl Limits {
    /// The most that one connection costs in memory, in bytes, when `max_queue` bytes may wait to be sent and the other side
    /// may send frames of `max_frame`: what is kept of a frame that is not whole, and the queue with the frame that goes past
    /// its bound. Buffers grow by doubling, and while one is copied it is there twice.
    #[must_use]
    pub const fn worst_case_bytes(max_frame: u32, max_queue: usize) -> usize {
        let frame = max_frame as usize + HEADER_LEN;
        let queue = max_queue.saturating_add(MAX_FRAME as usize + HEADER_LEN);
        size_of::<Conn>() + 3 * frame + 2 * queue
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_frame: MAX_FRAME,
            max_queue: 256 * 1024,
            max_queue_hard: 1024 * 1024,
            handshake_timeout: Duration::from_secs(10),
            login_timeout: Duration::from_secs(30),
            ping_interval: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(90),
            close_timeout: Duration::from_secs(5),
            max_frames: 20_000,
            budget_interval: Duration::from_secs(1),
        }
    }
}
