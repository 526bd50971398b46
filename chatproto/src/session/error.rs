//! What a verb of the program can be refused with. The session is unchanged then.

use core::net::SocketAddr;

use thiserror::Error;

use super::{RoomKey, State};
use crate::wire::{OfferId, RequestId, WireError};

/// Why an [`Announcement`](super::Announcement) was not made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AnnouncementError {
    /// Too many private addresses.
    #[error("{found} private addresses, at most {max} can be announced")]
    TooMany {
        /// How many there were.
        found: usize,
        /// The limit.
        max: usize,
    },
    /// A private address without a port.
    #[error("the private address {address} has no port")]
    NoPort {
        /// The address.
        address: SocketAddr,
    },
}

/// Why a login verb was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The login is not at this point.
    #[error("the login is not at this point: the session is {state}")]
    NotNow {
        /// Where the session is.
        state: State,
    },
    /// The server did not offer this mechanism.
    #[error("the server does not offer this login mechanism")]
    NotOffered,
    /// The mechanism's bytes do not fit.
    #[error("the bytes of the login mechanism do not fit: {0}")]
    Data(WireError),
}

/// Why something was not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum SayError {
    /// The session has ended for good.
    #[error("the session has ended")]
    Stopped,
    /// The account of this person was removed: what is left of the conversation is for reading.
    #[error("the account of this person was removed")]
    Over,
    /// Too many says wait for their acknowledgement.
    #[error("{max} messages wait to be acknowledged already")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// The says that wait for their acknowledgement are too long together.
    #[error("messages of {max} bytes wait to be acknowledged already")]
    TooManyBytes {
        /// The limit in bytes.
        max: usize,
    },
}

/// Why a room was not asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum JoinError {
    /// The session has ended for good.
    #[error("the session has ended")]
    Stopped,
    /// Too many rooms are known already.
    #[error("{max} rooms are known already")]
    TooMany {
        /// The limit.
        max: usize,
    },
}

/// Why a room was not left.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeaveError {
    /// The session is not in it and does not want to be.
    #[error("not in the {0}")]
    NotIn(RoomKey),
}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum RequestError {
    /// There is no login that could carry it.
    #[error("not logged in: the session is {state}")]
    NotReady {
        /// Where the session is.
        state: State,
    },
    /// The request that this goes on with has ended, or waits for something else.
    #[error("request {0} does not wait for this")]
    NotOpen(RequestId),
    /// Too many requests are open.
    #[error("{max} requests are open already")]
    TooMany {
        /// The limit.
        max: usize,
    },
    /// Too many rooms are known already.
    #[error("too many rooms are known already")]
    TooManyRooms,
    /// The mechanism's bytes do not fit.
    #[error("the bytes of the login mechanism do not fit: {0}")]
    Data(WireError),
    /// A link is asked for without [`Announcement`](super::Announcement).
    #[error("no link key is announced, so no peer can be asked")]
    NoAnnouncement,
}

/// Why a peer request was not taken back, or an offer not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum PeerVerbError {
    /// No such request is open.
    #[error("no peer request {0} is open")]
    NoSuchRequest(RequestId),
    /// No such offer waits for an answer.
    #[error("no offer {0} waits for an answer")]
    NoSuchOffer(OfferId),
}

/// Why somebody who connected was not admitted. To the other side all of these are a bad ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum AdmitError {
    /// Nobody was introduced under this offer, or the introduction was used already.
    #[error("nobody waits under this offer")]
    Unknown,
    /// The introduction has expired.
    #[error("the introduction has expired")]
    Expired,
    /// The secret is wrong.
    #[error("wrong ticket")]
    Ticket,
    /// The key of the connection is not the one that the server introduced.
    #[error("the connection has another key than the one introduced")]
    Key,
    /// The person or device is not the one that the server introduced.
    #[error("another person or device was introduced")]
    Identity,
}
