//! The deadlines of one connection: handshake, login, ping, idle, close.

use super::Limits;
use crate::Instant;

/// How far a connection has come; each stage has its own deadline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Waiting for the hello.
    Handshake,
    /// Hellos exchanged, not logged in.
    Login,
    /// Working.
    Open,
    /// The bye is queued.
    Closing,
}

/// What a deadline asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// Send a ping.
    Ping,
    /// The hello did not come in time.
    Handshake,
    /// The login was not finished in time.
    Login,
    /// Nothing was heard for too long.
    Idle,
    /// The last bytes did not leave in time: cut the connection.
    Close,
}

/// When something is due on a connection, recomputed from what happened and never scanned.
#[derive(Debug, Clone)]
pub struct Deadlines {
    stage: Stage,
    since: Instant,
    heard: Instant,
    pinged: bool,
}

impl Deadlines {
    /// Starts the handshake at `now`.
    #[must_use]
    pub fn new(_: &Limits, now: Instant) -> Self {
        Self { stage: Stage::Handshake, since: now, heard: now, pinged: false }
    }

    /// Enters a stage.
    pub fn enter(&mut self, stage: Stage, now: Instant) {
        self.stage = stage;
        self.since = now;
        self.heard = now;
        self.pinged = false;
    }

    /// The stage the connection is in.
    #[must_use]
    pub fn stage(&self) -> Stage {
        self.stage
    }

    /// Something arrived.
    pub fn heard(&mut self, now: Instant) {
        self.heard = now;
        self.pinged = false;
    }

    /// When to look again.
    #[must_use]
    pub fn next(&self, limits: &Limits) -> Instant {
        match self.stage {
            Stage::Handshake => self.since + limits.handshake_timeout,
            Stage::Login => self.since + limits.login_timeout,
            Stage::Open if self.pinged => self.heard + limits.idle_timeout,
            Stage::Open => self.heard + limits.ping_interval.min(limits.idle_timeout),
            Stage::Closing => self.since + limits.close_timeout,
        }
    }

    /// What is due at `now`, if anything; a ping is due once per silence.
    pub fn check(&mut self, limits: &Limits, now: Instant) -> Option<Due> {
        if now < self.next(limits) {
            return None;
        }
        match self.stage {
            Stage::Handshake => Some(Due::Handshake),
            Stage::Login => Some(Due::Login),
            Stage::Open if self.pinged || limits.idle_timeout <= limits.ping_interval => Some(Due::Idle),
            Stage::Open => {
                self.pinged = true;
                Some(Due::Ping)
            }
            Stage::Closing => Some(Due::Close),
        }
    }
}
