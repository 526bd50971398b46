//! What is said when nothing worked.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write as _;

use crate::wire::{ErrorCode, Way};

/// Which side failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// This one.
    Us,
    /// The other one.
    Them,
}

impl By {
    /// Whose part of a way it is to connect.
    pub(super) fn of(leads: bool, way: Way) -> Self {
        match way {
            Way::Direct => {
                if leads {
                    Self::Us
                } else {
                    Self::Them
                }
            }
            Way::Reverse => {
                if leads {
                    Self::Them
                } else {
                    Self::Us
                }
            }
            Way::Family | Way::Punch | Way::Relay => Self::Us,
        }
    }
}

/// One way that did not work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tried {
    /// Which.
    pub way: Way,
    /// Who found out.
    pub by: By,
    /// Why not.
    pub code: ErrorCode,
}

/// Why there is no link.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// In one word, the same on both sides.
    pub code: ErrorCode,
    /// All that was tried, in order; may be empty on the side that only waited.
    pub tried: Vec<Tried>,
}

impl Verdict {
    /// The verdict in words for a person who wanted a link with `peer`.
    #[must_use]
    pub fn text(&self, peer: &str) -> String {
        if self.tried.is_empty() {
            return String::from(self.code.meaning());
        }
        let mut text = String::new();
        for tried in &self.tried {
            if !text.is_empty() {
                text.push_str("; ");
            }
            // Writing to a string does not fail.
            let _ = match (tried.way, tried.by) {
                (Way::Direct | Way::Reverse, By::Us) => {
                    write!(text, "{peer}'s port {}", words(&AT_PORT, tried.code))
                }
                (Way::Direct | Way::Reverse, By::Them) => {
                    write!(text, "your port {}", words(&AT_PORT, tried.code))
                }
                (Way::Family, _) => write!(text, "other address family: {}", words(&IN_SHORT, tried.code)),
                (Way::Punch, _) => write!(text, "simultaneous open: {}", words(&IN_SHORT, tried.code)),
                (Way::Relay, _) => write!(text, "relay: {}", words(&IN_SHORT, tried.code)),
            };
        }
        text
    }
}

/// What is wrong with a port that somebody dialled; what stands first is said of every other code.
const AT_PORT: [(ErrorCode, &str); 9] = [
    (ErrorCode::NotReachable, "could not be tried"),
    (ErrorCode::DialRefused, "is not reachable (refused)"),
    (ErrorCode::DialTimeout, "is not reachable (no answer: a firewall or an address translation)"),
    (ErrorCode::NoRoute, "is not reachable (no route)"),
    (ErrorCode::NoPeerPort, "accepts nobody"),
    (ErrorCode::PrivateAddress, "is known to the server only at a private address"),
    (ErrorCode::WrongKey, "is answered by somebody else"),
    (ErrorCode::Declined, "was not tried, because that side wants no direct connection"),
    (ErrorCode::LinkBroken, "answered, and the connection broke"),
];

/// How the other ways fail; what stands first is said of every other code.
const IN_SHORT: [(ErrorCode, &str); 10] = [
    (ErrorCode::NotReachable, "it did not work"),
    (ErrorCode::DialRefused, "refused"),
    (ErrorCode::DialTimeout, "no answer in time"),
    (ErrorCode::NoRoute, "no route"),
    (ErrorCode::NoFamily, "one side has none"),
    (ErrorCode::NoRelay, "the server relays no links"),
    (ErrorCode::RelayBusy, "the server relays too much already"),
    (ErrorCode::Declined, "one side does not want it"),
    (ErrorCode::LinkBroken, "the connection broke"),
    (ErrorCode::WrongKey, "somebody else answered"),
];

fn words(of: &'static [(ErrorCode, &'static str)], code: ErrorCode) -> &'static str {
    let said = of.iter().find(|(known, _)| *known == code).or(of.first());
    said.map_or("", |(_, words)| words)
}

/// The one word for all of it: what one of the two can do something about comes first.
pub(super) fn overall(tried: &[Tried]) -> ErrorCode {
    const TELLING: [ErrorCode; 6] = [
        ErrorCode::WrongKey,
        ErrorCode::LinkBroken,
        ErrorCode::RelayBusy,
        ErrorCode::PrivateAddress,
        ErrorCode::DialTimeout,
        ErrorCode::DialRefused,
    ];
    let said = |code: ErrorCode| tried.iter().any(|tried| tried.code == code);
    let is_dial = |tried: &&Tried| matches!(tried.way, Way::Direct | Way::Reverse);
    let mut dials = tried.iter().filter(is_dial).map(|tried| tried.code);
    // Two dials that failed alike say it best.
    if let (Some(first), Some(second)) = (dials.next(), dials.next())
        && first == second
        && !said(ErrorCode::WrongKey)
    {
        return first;
    }
    if let [only] = tried {
        return only.code;
    }
    TELLING.into_iter().find(|code| said(*code)).unwrap_or(ErrorCode::NotReachable)
}
