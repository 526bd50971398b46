//! Where a connection stands, and which frames it may send there.
//!
//! ```text
//!            client_hello          login_start            program: challenge
//!   Hello ────────────────▶ Choosing ───────▶ Starting ─────────────────────▶ Challenged
//!                                                │                               │ login_response
//!                                                │ program: accept               ▼
//!                                                ├───────────────── accept ── Proving
//!                                                ▼
//!                                              Open
//! ```
//!
//!   Hello or Side ── relay ──▶ Relaying ── the other end's relay ──▶ (the program joins the two)
//!   Hello or Side ── probe ──▶ bye
//!
//! From every state a bye, an error of ours, a deadline or the end of the stream leads out.

use crate::wire::ToServer;

/// How far a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Waiting for the client's hello.
    Hello,
    /// Waiting for the login to start.
    Choosing,
    /// The program works on the start of the login.
    Starting,
    /// Waiting for the client's answer to the challenge.
    Challenged,
    /// The program works on the client's answer.
    Proving,
    /// Logged in.
    Open,
    /// Came in plaintext where logins need TLS: for probes and relays only.
    Side,
    /// One end of a relay: waiting for the other.
    Relaying,
}

impl State {
    /// Every state in order.
    pub const ALL: [Self; 8] = [
        Self::Hello,
        Self::Choosing,
        Self::Starting,
        Self::Challenged,
        Self::Proving,
        Self::Open,
        Self::Side,
        Self::Relaying,
    ];

    /// What the state is called in errors and in PROTOCOL.md section 5.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "waiting for the hello",
            Self::Choosing => "waiting for the login",
            Self::Starting => "answering the login",
            Self::Challenged => "waiting for the login response",
            Self::Proving => "checking the login",
            Self::Open => "logged in",
            Self::Side => "waiting for a probe or a relay",
            Self::Relaying => "waiting for the other end",
        }
    }

    /// Whether the connection may send `frame` now. Every pair has its answer here and nowhere else.
    #[must_use]
    pub fn allows(self, frame: &ToServer<'_>) -> bool {
        match frame {
            ToServer::Ping(_) | ToServer::Pong(_) | ToServer::Bye(_) | ToServer::Error(_) => true,
            ToServer::ClientHello(_) => self == Self::Hello,
            ToServer::Probe(_) | ToServer::Relay(_) => matches!(self, Self::Hello | Self::Side),
            ToServer::LoginStart(_) => self == Self::Choosing,
            ToServer::LoginResponse(_) => self == Self::Challenged,
            // The port is announced with the login, and again when it changes.
            ToServer::Announce(_) => matches!(self, Self::Choosing | Self::Open),
            ToServer::Say(_)
            | ToServer::Join(_)
            | ToServer::Leave(_)
            | ToServer::Rooms(_)
            | ToServer::Who(_)
            | ToServer::History(_)
            | ToServer::Search(_)
            | ToServer::Create(_)
            | ToServer::Moderate(_)
            | ToServer::PeerRequest(_)
            | ToServer::PeerAnswer(_)
            | ToServer::PeerWithdraw(_)
            | ToServer::PeerOutcome(_)
            | ToServer::PeerTry(_)
            | ToServer::PeerFailed(_)
            | ToServer::Reach(_) => self == Self::Open,
        }
    }
}
