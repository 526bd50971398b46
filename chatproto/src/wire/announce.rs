//! The peer-announce family: where a client accepts peers, and how two clients are introduced.

use core::net::SocketAddr;

use super::body::body;
use super::{
    DeviceId, DialRole, ErrorCode, LinkKey, LinkTicket, List, NameRef, OfferId, Purpose, RequestId,
    SideToken, Way,
};

/// Most private candidates of an announcement. More would make a client a list of targets for others.
pub const MAX_CANDIDATES: usize = 4;

/// Most addresses of an introduction: the observed one and the candidates.
pub const MAX_ADDRESSES: usize = MAX_CANDIDATES + 1;

body! {
    /// Where the client accepts peers. Sent with the login and again whenever it changes.
    frame Announce Announce<'a> {
        /// Port where peers are accepted; 0 for none.
        port: u16,
        /// The device's key on links.
        link_key: LinkKey,
        /// Private addresses, at most [`MAX_CANDIDATES`]; shown only to peers with the same observed address.
        candidates: List<'a, SocketAddr, MAX_CANDIDATES>,
    }
}

body! {
    /// Asks to be introduced to a person.
    frame PeerRequest PeerRequest<'a> {
        /// Ties what follows to the request.
        request: RequestId,
        /// What the link is for.
        purpose: Purpose,
        /// No address of this side is shown to the other: the relay only.
        concealed: bool,
        /// To whom.
        to: NameRef<'a>,
    }
}

body! {
    /// Somebody asks to be introduced.
    frame PeerOffer PeerOffer<'a> {
        /// The server's number for it.
        offer: OfferId,
        /// What the link is for.
        purpose: Purpose,
        /// Milliseconds until it expires.
        expires: u32,
        /// The device that asks.
        device: DeviceId,
        /// Who asks.
        from: NameRef<'a>,
    }
}

body! {
    /// Accepts or denies an offer.
    frame PeerAnswer PeerAnswer {
        /// The offer.
        offer: OfferId,
        /// Yes or no.
        accept: bool,
        /// No address of this side is shown to the other: the relay only.
        concealed: bool,
    }
}

body! {
    /// Names the other side. Both ends get one, with opposite roles.
    frame PeerIntroduce PeerIntroduce<'a> {
        /// The offer that was accepted.
        offer: OfferId,
        /// The request that it answers; 0 on the side that accepted.
        request: RequestId,
        /// What the link is for.
        purpose: Purpose,
        /// What this end does first.
        role: DialRole,
        /// Milliseconds for which the ticket is good.
        expires: u32,
        /// The secret of the link.
        ticket: LinkTicket,
        /// This end's secret for further connections to the server about this introduction.
        token: SideToken,
        /// The other device.
        device: DeviceId,
        /// The other device's key, which its certificate must have.
        link_key: LinkKey,
        /// The other side accepts peers, but only at an address that means nothing here.
        hidden: bool,
        /// The other person.
        peer: NameRef<'a>,
        /// Where the other side accepts peers, best first, at most [`MAX_ADDRESSES`]; may be empty.
        addresses: List<'a, SocketAddr, MAX_ADDRESSES>,
    }
}

body! {
    /// A request or an offer has ended without an introduction.
    frame PeerClosed PeerClosed {
        /// The offer, on the side that was asked; 0 on the asking side.
        offer: OfferId,
        /// The request, on the asking side; 0 on the side that was asked.
        request: RequestId,
        /// Why.
        code: ErrorCode,
    }
}

body! {
    /// Takes a request back.
    frame PeerWithdraw PeerWithdraw {
        /// The request.
        request: RequestId,
    }
}

body! {
    /// One way to the other side did not work. The server passes it on.
    frame PeerOutcome PeerOutcome {
        /// The offer that was accepted.
        offer: OfferId,
        /// The way.
        way: Way,
        /// Why not.
        code: ErrorCode,
    }
}

body! {
    /// Asks the other side to do its part of a way. The server passes it on, or tells both sides that it will not.
    frame PeerTry PeerTry {
        /// The offer that was accepted.
        offer: OfferId,
        /// The way.
        way: Way,
    }
}

body! {
    /// First frame of a connection that shows the server an address, instead of a hello. A bye answers it.
    frame Probe Probe {
        /// The token of the introduction.
        token: SideToken,
        /// For which way: [`Way::Family`] or [`Way::Punch`].
        way: Way,
    }
}

body! {
    /// First frame of a connection that the server joins to one of the other side, instead of a hello.
    frame Relay Relay {
        /// The token of the introduction.
        token: SideToken,
    }
}

body! {
    /// The last frame of the server on a relayed connection: what follows is the link, in both directions.
    frame RelayOpened RelayOpened {
        /// The offer that was accepted.
        offer: OfferId,
    }
}

body! {
    /// Both sides connect to each other, each from the port of its probe.
    frame PeerMeet PeerMeet {
        /// The offer that was accepted.
        offer: OfferId,
        /// The way.
        way: Way,
        /// Milliseconds from now.
        after: u32,
        /// Where the server saw the other side's probe come from.
        address: SocketAddr,
    }
}

body! {
    /// No way led to a link. The server passes it on.
    frame PeerFailed PeerFailed {
        /// The offer that was accepted.
        offer: OfferId,
        /// The verdict.
        code: ErrorCode,
    }
}

body! {
    /// Asks whether peers can reach this client at the address that the server sees and the port that it announced.
    frame Reach Reach {
        /// Ties the answer to it.
        request: RequestId,
    }
}

body! {
    /// Answers a [`Reach`].
    frame Reached Reached {
        /// The request.
        request: RequestId,
        /// Where the server tried.
        address: SocketAddr,
        /// Why not; none when it got through to this very device.
        code: Option<ErrorCode>,
    }
}
