//! What one run is asked to do.

use std::time::Duration;

/// One run: a room, who speaks in it and how fast, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Load {
    /// Connections in the room; everybody gets everything, also what they say themselves.
    pub members: usize,
    /// How many of the members speak.
    pub senders: u8,
    /// How fast they do.
    pub pace: Pace,
    /// Bytes of each text.
    pub text_len: usize,
    /// Time before the measured time, under the same load.
    pub warm_up: Duration,
    /// The measured time.
    pub measured: Duration,
}

/// How fast the senders speak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Closed loop: each sender keeps so many of its messages on their way to itself.
    Window(u32),
    /// Open loop: so many messages a second from all senders together, whatever comes back. The latency of a message
    /// counts from the moment when it was due.
    Rate(f64),
}
