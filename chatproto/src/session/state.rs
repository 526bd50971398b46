//! Where a session is, and every way from one place to another.
//!
//! ```text
//!              Dial           Connected       Greeted          Begun            Accepted
//!    Offline ───────► Connecting ─────► Hello ─────► Choosing ─────► Proving ─────► Ready
//!    Away                 │               │             │               │             │
//!    Stopped              │               └─────────────┴───── Close ───┴─────────────┘
//!       ▲                 │                                      ▼
//!       └───── Ended ─────┴──────────── (from anywhere) ◄──── Closing
//! ```
//!
//! `Applied` leads from `Choosing` to `Registering`, where an account is made, and `Enrolled` back. `Ended` leads to where the end was headed: `Offline` when the session comes back by itself, `Away` when it left for
//! a direct link, `Stopped` when only the program can start it again.

use core::fmt;

use crate::wire::ToClient;

/// Where a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// No connection; the next attempt is timed.
    Offline,
    /// The driver was asked to dial.
    Connecting,
    /// Our hello is sent, the server's is awaited.
    Hello,
    /// The program chooses how to log in.
    Choosing,
    /// An account is being made.
    Registering,
    /// The login exchange runs.
    Proving,
    /// Logged in.
    Ready,
    /// Our bye is queued; input is not read any more.
    Closing,
    /// Left for a direct link.
    Away,
    /// Ended until the program starts it again.
    Stopped,
}

impl State {
    /// Every state, in the order of a session's life.
    pub const ALL: &'static [Self] = &[
        Self::Offline,
        Self::Connecting,
        Self::Hello,
        Self::Choosing,
        Self::Registering,
        Self::Proving,
        Self::Ready,
        Self::Closing,
        Self::Away,
        Self::Stopped,
    ];

    /// What the session is doing, to be read after "the session is".
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Offline => "offline",
            Self::Connecting => "connecting",
            Self::Hello => "waiting for the hello",
            Self::Choosing => "choosing a login mechanism",
            Self::Registering => "registering",
            Self::Proving => "logging in",
            Self::Ready => "logged in",
            Self::Closing => "closing",
            Self::Away => "away on a direct link",
            Self::Stopped => "stopped",
        }
    }

    /// Whether frames of the server are read.
    pub(super) const fn reads(self) -> bool {
        matches!(self, Self::Hello | Self::Choosing | Self::Registering | Self::Proving | Self::Ready)
    }

    /// Whether a connection exists.
    pub(super) const fn connected(self) -> bool {
        self.reads() || matches!(self, Self::Closing)
    }

    /// The only place where one state becomes another. `None` when there is no such way.
    pub(super) fn after(self, turn: Turn) -> Option<Self> {
        let (legal, next) = match turn {
            Turn::Dial => (matches!(self, Self::Offline | Self::Away | Self::Stopped), Self::Connecting),
            Turn::Connected => (self == Self::Connecting, Self::Hello),
            Turn::Greeted => (self == Self::Hello, Self::Choosing),
            Turn::Applied => (self == Self::Choosing, Self::Registering),
            Turn::Enrolled => (self == Self::Registering, Self::Choosing),
            Turn::Begun => (self == Self::Choosing, Self::Proving),
            Turn::Accepted => (self == Self::Proving, Self::Ready),
            Turn::Close => (self.reads(), Self::Closing),
            Turn::Ended(Destination::Offline) => {
                (self.connected() || self == Self::Connecting, Self::Offline)
            }
            Turn::Ended(Destination::Away) => (self != Self::Stopped, Self::Away),
            Turn::Ended(Destination::Stopped) => (true, Self::Stopped),
        };
        legal.then_some(next)
    }

    /// Whether the server may send this frame now. What may not come is a violation.
    pub(super) fn accepts(self, frame: &ToClient<'_>) -> bool {
        match frame {
            ToClient::Ping(_) | ToClient::Pong(_) | ToClient::Bye(_) | ToClient::Error(_) => self.reads(),
            ToClient::ServerHello(_) => self == Self::Hello,
            ToClient::LoginChallenge(_) | ToClient::LoginOk(_) => self == Self::Proving,
            ToClient::AccountReply(_) => matches!(self, Self::Registering | Self::Ready),
            ToClient::ServerKey(_)
            | ToClient::DeviceList(_)
            | ToClient::Posted(_)
            | ToClient::Messages(_)
            | ToClient::Joined(_)
            | ToClient::Left(_)
            | ToClient::Presence(_)
            | ToClient::RoomList(_)
            | ToClient::Members(_)
            | ToClient::MessagePage(_)
            | ToClient::DirectRoom(_)
            | ToClient::CaughtUp(_)
            | ToClient::Gap(_)
            | ToClient::Moderated(_)
            | ToClient::Invited(_)
            | ToClient::Governed(_)
            | ToClient::Report(_)
            | ToClient::PeerOffer(_)
            | ToClient::PeerIntroduce(_)
            | ToClient::PeerClosed(_)
            | ToClient::PeerOutcome(_)
            | ToClient::PeerTry(_)
            | ToClient::PeerMeet(_)
            | ToClient::PeerFailed(_)
            | ToClient::Reached(_) => self == Self::Ready,
            // It belongs on a connection of its own.
            ToClient::RelayOpened(_) => false,
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What moves a session from one state to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// The driver is asked to dial.
    Dial,
    /// The driver has a connection.
    Connected,
    /// The server's hello came.
    Greeted,
    /// The program asked for an account.
    Applied,
    /// The account exists.
    Enrolled,
    /// The program chose a mechanism.
    Begun,
    /// The server accepted the login.
    Accepted,
    /// Our bye was queued.
    Close,
    /// The connection is gone.
    Ended(Destination),
}

/// Where an end leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination {
    /// Comes back by itself.
    Offline,
    /// On a direct link.
    Away,
    /// Ended until the program starts it again.
    Stopped,
}

#[cfg(test)]
mod tests {
    use super::*;

    const TURNS: [Turn; 11] = [
        Turn::Dial,
        Turn::Connected,
        Turn::Greeted,
        Turn::Begun,
        Turn::Accepted,
        Turn::Close,
        Turn::Ended(Destination::Offline),
        Turn::Ended(Destination::Away),
        Turn::Ended(Destination::Stopped),
        Turn::Applied,
        Turn::Enrolled,
    ];

    /// The diagram, row by row in the order of [`State::ALL`], one letter per turn: where it leads, `.` for nowhere.
    const TABLE: [(State, &str); 10] = [
        (State::Offline, "c......as.."),
        (State::Connecting, ".h....oas.."),
        (State::Hello, "..l..xoas.."),
        (State::Choosing, "...p.xoase."),
        (State::Registering, ".....xoas.l"),
        (State::Proving, "....rxoas.."),
        (State::Ready, ".....xoas.."),
        (State::Closing, "......oas.."),
        (State::Away, "c......as.."),
        (State::Stopped, "c.......s.."),
    ];

    #[test]
    fn every_turn_in_every_state_leads_where_the_diagram_says() {
        for ((state, row), &listed) in TABLE.into_iter().zip(State::ALL) {
            assert_eq!(state, listed);
            for (turn, letter) in TURNS.into_iter().zip(row.chars()) {
                let expected = match letter {
                    'c' => Some(State::Connecting),
                    'h' => Some(State::Hello),
                    'l' => Some(State::Choosing),
                    'p' => Some(State::Proving),
                    'e' => Some(State::Registering),
                    'r' => Some(State::Ready),
                    'x' => Some(State::Closing),
                    'o' => Some(State::Offline),
                    'a' => Some(State::Away),
                    's' => Some(State::Stopped),
                    _ => None,
                };
                assert_eq!(state.after(turn), expected, "{turn:?} while {state}");
            }
        }
    }
}
