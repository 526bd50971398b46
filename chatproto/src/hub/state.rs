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
//! Before the login, a stranger may make an account where the operator lets them:
//!
//! ```text
//!             register_start           program: challenge            register_finish
//!   Choosing ───────────────▶ Applying ──────────────────▶ Admitted ────────────────▶ Enrolling
//!       ▲                                                                                 │
//!       └──────────────────────────────── program: registered ────────────────────────────┘
//! ```
//!
//! Who comes for a probe or a relay does not log in:
//!
//! ```text
//!   Hello or Side ── relay ──▶ Relaying ── the other end's relay ──▶ (the program joins the two)
//!   Hello or Side ── probe ──▶ bye
//! ```
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
    /// The program works on the start of a registration.
    Applying,
    /// Waiting for the record of the new account.
    Admitted,
    /// The program makes the account.
    Enrolling,
    /// Logged in.
    Open,
    /// Came in plaintext where logins need TLS: for probes and relays only.
    Side,
    /// One end of a relay: waiting for the other.
    Relaying,
}

impl State {
    /// Every state in order.
    pub const ALL: [Self; 11] = [
        Self::Hello,
        Self::Choosing,
        Self::Starting,
        Self::Challenged,
        Self::Proving,
        Self::Applying,
        Self::Admitted,
        Self::Enrolling,
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
            Self::Applying => "answering the registration",
            Self::Admitted => "waiting for the new record",
            Self::Enrolling => "making the account",
            Self::Open => "logged in",
            Self::Side => "waiting for a probe or a relay: this port speaks TLS for all else",
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
            ToServer::RegisterStart(_) => self == Self::Choosing,
            ToServer::RegisterFinish(_) => self == Self::Admitted,
            // The port is announced with the login, and again when it changes.
            ToServer::Announce(_) => matches!(self, Self::Choosing | Self::Open),
            ToServer::PasswordStart(_)
            | ToServer::PasswordFinish(_)
            | ToServer::Devices(_)
            | ToServer::Say(_)
            | ToServer::Join(_)
            | ToServer::Leave(_)
            | ToServer::Rooms(_)
            | ToServer::Who(_)
            | ToServer::History(_)
            | ToServer::Search(_)
            | ToServer::Create(_)
            | ToServer::Moderate(_)
            | ToServer::Govern(_)
            | ToServer::Inquire(_)
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
