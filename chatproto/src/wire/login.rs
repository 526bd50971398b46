//! The control frames and the login family: hellos, the login exchange, the opening of a direct link.

use core::net::SocketAddr;

use super::body::body;
use super::{
    Blob, Capabilities, CloseReason, DeviceId, ErrorCode, LinkTicket, NameRef, NoteRef, OfferId, Purpose,
    RequestId, ServerId,
};

/// The protocol version this crate speaks.
pub const VERSION: u8 = 1;

/// First field of a client hello and a link hello: tells this protocol from others.
pub const MAGIC: [u8; 4] = *b"chat";

body! {
    /// Asks for a pong with the same nonce.
    frame Ping Ping {
        /// Any number.
        nonce: u64,
    }
}

body! {
    /// Answers a ping.
    frame Pong Pong {
        /// The nonce of the ping.
        nonce: u64,
    }
}

body! {
    /// Last frame of a connection: says why it ends.
    frame Bye Bye<'a> {
        /// Why.
        reason: CloseReason,
        /// Milliseconds after which to come back; 0 for no advice.
        retry_after: u32,
        /// A remark for people, may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// Refuses a request, or says what was wrong before a bye.
    frame Error Error<'a> {
        /// What is wrong.
        code: ErrorCode,
        /// Type byte of the frame that it is about; 0 if that is not known.
        about: u8,
        /// The request, transfer or counter that it is about; 0 for the connection.
        request: u64,
        /// Milliseconds after which to try again; 0 for no advice.
        retry_after: u32,
        /// A remark for people, may be empty.
        note: NoteRef<'a>,
    }
}

body! {
    /// First frame of a client.
    frame ClientHello ClientHello<'a> {
        /// [`MAGIC`].
        magic: [u8; 4],
        /// Lowest version the client speaks.
        version_min: u8,
        /// Highest version the client speaks.
        version_max: u8,
        /// What the client can do.
        capabilities: Capabilities,
        /// Largest frame length that the client accepts, in bytes.
        max_frame: u32,
        /// Program and version, for the server's log.
        agent: NoteRef<'a>,
    }
}

body! {
    /// First frame of a server.
    frame ServerHello ServerHello<'a> {
        /// The version chosen, from the client's range.
        version: u8,
        /// What both sides can do.
        capabilities: Capabilities,
        /// Largest frame length that the server accepts, in bytes.
        max_frame: u32,
        /// Identity of the server's log.
        server: ServerId,
        /// Program and version.
        agent: NoteRef<'a>,
        /// The login mechanisms offered, best first, separated by spaces.
        mechanisms: NoteRef<'a>,
    }
}

body! {
    /// Names the account, the device and the mechanism, with the mechanism's first bytes.
    frame LoginStart LoginStart<'a> {
        /// The account's ID.
        user: NameRef<'a>,
        /// The device.
        device: DeviceId,
        /// One of the mechanisms of the server hello.
        mechanism: NoteRef<'a>,
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// The mechanism's bytes from the server.
    frame LoginChallenge LoginChallenge<'a> {
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// The mechanism's bytes from the client.
    frame LoginResponse LoginResponse<'a> {
        /// The mechanism's bytes.
        data: Blob<'a>,
    }
}

body! {
    /// Ends the login: the session stands.
    frame LoginOk LoginOk<'a> {
        /// The account's ID as it is written to others.
        user: NameRef<'a>,
        /// The room that everybody is in unless they choose otherwise.
        default_room: NameRef<'a>,
        /// The client's address as the server sees it.
        observed: SocketAddr,
        /// A secret that resumes the session later; empty if the server gives none.
        ticket: Blob<'a>,
        /// Seconds for which the ticket is good.
        ticket_lifetime: u32,
        /// The mechanism's last bytes, may be empty.
        data: Blob<'a>,
    }
}

body! {
    /// First frame of the peer that dialled.
    frame LinkHello LinkHello<'a> {
        /// [`MAGIC`].
        magic: [u8; 4],
        /// Lowest version spoken.
        version_min: u8,
        /// Highest version spoken.
        version_max: u8,
        /// What this side can do.
        capabilities: Capabilities,
        /// Largest frame length that this side accepts, in bytes.
        max_frame: u32,
        /// The introduction.
        offer: OfferId,
        /// Its secret.
        ticket: LinkTicket,
        /// Who dials.
        user: NameRef<'a>,
        /// With which device.
        device: DeviceId,
        /// What the link is for.
        purpose: Purpose,
        /// Program and version.
        agent: NoteRef<'a>,
    }
}

body! {
    /// First frame of the peer that was dialled.
    frame LinkWelcome LinkWelcome<'a> {
        /// The version chosen.
        version: u8,
        /// What both sides can do.
        capabilities: Capabilities,
        /// Largest frame length that this side accepts, in bytes.
        max_frame: u32,
        /// Who was dialled.
        user: NameRef<'a>,
        /// On which device.
        device: DeviceId,
        /// Program and version.
        agent: NoteRef<'a>,
    }
}

/// Ties a request of any family to its error: the number as the error frame carries it.
impl From<RequestId> for u64 {
    fn from(request: RequestId) -> Self {
        request.0.into()
    }
}
