//! The named bounds of a [`Net`](crate::Net): what each one costs, and which attack it answers.

use std::time::Duration;

use crate::Budget;

/// Bounds of one poll loop. Start from [`NetConfig::default`] and change what differs.
///
/// Bytes that a program queues for a connection are its own and are not counted here: a [`Net`](crate::Net)
/// keeps no copy of plain data, and of TLS data at most [`tls_send_buffer`](Self::tls_send_buffer). With I/O threads it
/// keeps a reference to at most [`max_in_transit`](Self::max_in_transit) as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NetConfig {
    /// Threads for sockets and TLS; the loop's own thread is then the program's alone.
    ///
    /// Default 0: sockets and TLS are on the loop's thread; 1 means the same. Each thread costs about 150 KiB, and each
    /// byte a little more work. Fixed when the loop is made.
    pub io_threads: usize,
    /// Bytes of one connection that may be on their way between the loop and its I/O thread, each way; the last read may
    /// exceed it by 80 KiB. Half of it must be taken before more follows.
    ///
    /// Default 128 KiB, at least 1 KiB: a connection moves about that much in the time that the threads take to answer each
    /// other. Bounds memory: of what a slow reader has not taken, and of what was read from a
    /// connection that the program does not read. Of no effect without I/O threads.
    pub max_in_transit: usize,
    /// Connections that may exist at once: accepted, dialled and those still lingering after a close.
    ///
    /// Default 10,000. Bounds descriptors and memory (below 500 bytes each while idle and plain, about 8 KiB
    /// with TLS). Answers connection floods: beyond it nothing is accepted, and new callers wait in the
    /// kernel's backlog.
    pub max_connections: usize,
    /// TLS handshakes that may be under way at once.
    ///
    /// Default 256. Bounds the memory of half-open sessions (up to 64 KiB of handshake each). Answers callers that
    /// open many connections and then stay silent: beyond it nothing is accepted until one of them finishes or times out, or
    /// has had its [`handshake_grace`](Self::handshake_grace).
    pub max_handshakes: usize,
    /// Those of them that callers from one address (of IPv6, from one /64) may have under way.
    ///
    /// Default 192 of 256. Answers one silent caller that would keep everybody else out for as long as handshakes may take: past
    /// it, the address's next connection is closed unanswered.
    pub max_handshakes_per_address: usize,
    /// Time for which a handshake is left alone when [`max_handshakes`](Self::max_handshakes) are under way; an eighth of it
    /// for a caller whose hello is not here, since that comes right behind the connection.
    ///
    /// Default 1 s: past it, of those that have come least far, one of the address with most gives way to the next caller, the
    /// one that has waited for longest first. Answers many addresses that connect and then drip or stay silent: who wants to log
    /// in waits for a moment, and not for [`handshake_timeout`](Self::handshake_timeout), and who gets on stays.
    pub handshake_grace: Duration,
    /// Connections that are accepted from one address (of IPv6, from one /64) at once, before
    /// [`accept_refill_per_address`](Self::accept_refill_per_address) counts. Past it they are closed unanswered.
    ///
    /// Default 4,000, so that a house behind one address can come back at once when a server restarts. Bounds what one
    /// attacker costs to two seconds of handshakes, and the refill after it.
    pub accepts_per_address: u32,
    /// Time after which one of them comes back.
    ///
    /// Default 5 ms: 200 connections each second, some 10 % of a core in handshakes.
    pub accept_refill_per_address: Duration,
    /// Connections that are accepted from all addresses at once, before [`accept_refill`](Self::accept_refill) counts. Past
    /// it they are closed unanswered.
    ///
    /// Default 16,000. Answers attackers with many addresses; what one address is refused does not count here.
    pub accepts: u32,
    /// Time after which one of them comes back.
    ///
    /// Default 1 ms: 1,000 connections each second, half a core in handshakes.
    pub accept_refill: Duration,
    /// Connections taken from one listener in one turn.
    ///
    /// Default 64. Bounds the time of a turn. Answers accept floods that would starve those already connected.
    pub max_accepts_per_turn: usize,
    /// TLS handshake steps (an asymmetric operation each, about half a millisecond) in one turn.
    ///
    /// Default 16. Bounds the time of a turn. Answers handshake floods that would delay everybody's chat.
    pub max_handshake_steps_per_turn: usize,
    /// Bytes read from one connection in one turn; the rest waits for the next turn.
    ///
    /// Default 256 KiB. Answers a flooding connection that would starve the others.
    pub read_budget: usize,
    /// Bytes written to one connection in one turn; the rest waits for the next turn.
    ///
    /// Default 256 KiB. Keeps a fast download from delaying others.
    pub write_budget: usize,
    /// Encrypted bytes that may wait in one TLS session for its socket.
    ///
    /// Default 64 KiB. Bounds memory per TLS connection whose peer does not read.
    pub tls_send_buffer: usize,
    /// Bytes that the system takes from one connection beyond what is on its way to the other side; `None` for as many as
    /// it likes, which may be megabytes.
    ///
    /// Default `None`. What the system has taken cannot be overtaken: a program with urgent words behind bulk data keeps
    /// the queue in its own hands with some ten KiB. Where the system knows no such bound, it has no effect.
    pub unsent_limit: Option<u32>,
    /// Time that an accepted connection has for its TLS handshake.
    ///
    /// Default 10 s. Answers callers that connect and stay silent. Dialled connections have
    /// [`ConnectOptions::timeout`](crate::ConnectOptions::timeout) instead.
    pub handshake_timeout: Duration,
    /// Time that a closed connection has to take its last bytes and to end its own side.
    ///
    /// Default 2 s. Answers peers that never end theirs.
    pub linger_timeout: Duration,
    /// Bytes that are read and thrown away from a closed connection, so that its last bytes are not destroyed by a reset.
    ///
    /// Default 1 MiB. Answers peers that go on sending.
    pub max_linger_bytes: usize,
    /// Pause of a listener after `accept` failed, for instance for lack of descriptors.
    ///
    /// Default 200 ms. Bounds the number of failing calls: the readiness of a listener gives no second edge.
    pub accept_retry: Duration,
    /// Readiness events that one poll may return; more of them wait for the next turn.
    ///
    /// Default 1,024. Bounds the time of a turn.
    pub max_poll_events: usize,
}

impl NetConfig {
    /// The most that callers may cost in memory before a program knows anything of them, in bytes: TLS handshakes, and the
    /// tables of addresses. What comes after a handshake is [`worst_case_connections`](Self::worst_case_connections).
    #[must_use]
    pub fn worst_case_strangers(&self) -> usize {
        let handshakes = self.max_handshakes.saturating_mul(HANDSHAKE_BYTES);
        handshakes.saturating_add(2 * Budget::<std::net::IpAddr>::WORST_CASE_BYTES)
    }

    /// The most that `connections` past their handshake may cost in memory, in bytes, when none of them reads: what a
    /// program queues for them comes on top, and is its own.
    #[must_use]
    pub fn worst_case_connections(&self, connections: usize) -> usize {
        let each = CONNECTION_BYTES.saturating_add(self.tls_send_buffer.max(MIN_SEND_BUFFER) + RECORD_BYTES);
        let crew = if self.io_threads > 1 { 2 * (self.max_in_transit + READ_BYTES) } else { 0 };
        connections.saturating_mul(each.saturating_add(crew))
    }
}

/// A TLS handshake that is as long as a client can make it.
const HANDSHAKE_BYTES: usize = 64 * 1024;

/// A connection with its TLS session and nothing under way.
const CONNECTION_BYTES: usize = 12 * 1024;

/// A TLS record that is being received, and one that is being made.
const RECORD_BYTES: usize = 2 * 17 * 1024;

/// What one read may bring.
const READ_BYTES: usize = 80 * 1024;

/// The least that may wait in a TLS session: one record, or nothing could be sent.
pub(crate) const MIN_SEND_BUFFER: usize = 16 * 1024;

impl Default for NetConfig {
    fn default() -> Self {
        Self {
            io_threads: 0,
            max_in_transit: 128 * 1024,
            max_connections: 10_000,
            max_handshakes: 256,
            max_handshakes_per_address: 192,
            handshake_grace: Duration::from_secs(1),
            accepts_per_address: 4000,
            accept_refill_per_address: Duration::from_millis(5),
            accepts: 16_000,
            accept_refill: Duration::from_millis(1),
            max_accepts_per_turn: 64,
            max_handshake_steps_per_turn: 16,
            read_budget: 256 * 1024,
            write_budget: 256 * 1024,
            tls_send_buffer: 64 * 1024,
            unsent_limit: None,
            handshake_timeout: Duration::from_secs(10),
            linger_timeout: Duration::from_secs(2),
            max_linger_bytes: 1024 * 1024,
            accept_retry: Duration::from_millis(200),
            max_poll_events: 1024,
        }
    }
}
