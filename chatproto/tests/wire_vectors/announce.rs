//! The peer-announce family.

use chatproto::wire::{
    Announce, DialRole, ErrorCode, LinkKey, List, MAX_ADDRESSES, MAX_CANDIDATES, OfferId, PeerAnswer,
    PeerClosed, PeerFailed, PeerIntroduce, PeerMeet, PeerOffer, PeerOutcome, PeerRequest, PeerTry,
    PeerWithdraw, Probe, Purpose, Reach, Reached, Relay, RelayOpened, RequestId, Way,
};

use crate::show::show;
use crate::values::{ALICE, BOB, KEY, TICKET, TOKEN, addr, items, name};
use crate::{Vector, vector};

show! {
    Announce<'_> { port, link_key, candidates }
    PeerRequest<'_> { request, purpose, concealed, to }
    PeerOffer<'_> { offer, purpose, expires, device, from }
    PeerAnswer { offer, accept, concealed }
    PeerIntroduce<'_> { offer, request, purpose, role, expires, ticket, token, device, link_key, hidden, peer, addresses }
    PeerClosed { offer, request, code }
    PeerWithdraw { request }
    PeerOutcome { offer, way, code }
    PeerTry { offer, way }
    Probe { token, way }
    Relay { token }
    RelayOpened { offer }
    PeerMeet { offer, way, after, address }
    PeerFailed { offer, code }
    Reach { request }
    Reached { request, address, code }
}

const OFFER: OfferId = OfferId(0x8070_6050_4030_2010);
const REQUEST: RequestId = RequestId(9);

pub(crate) fn vectors() -> Vec<Vector> {
    let addresses =
        ["203.0.113.5:40000", "[2001:db8::5]:40000", "10.1.2.3:40000", "[fd00::1]:1024", "[fe80::1]:65535"];
    let addresses = items(addresses.map(addr).to_vec());
    assert_eq!(addresses.len(), MAX_ADDRESSES);
    let candidates = &addresses[1..];
    assert_eq!(candidates.len(), MAX_CANDIDATES);

    let introduce = PeerIntroduce {
        offer: OFFER,
        request: REQUEST,
        purpose: Purpose::Files,
        role: DialRole::Dial,
        expires: 30_000,
        ticket: TICKET,
        token: TOKEN,
        device: BOB,
        link_key: KEY,
        hidden: false,
        peer: name("bob"),
        addresses: List::new(addresses),
    };
    vec![
        vector("no candidate", Announce { port: 40_000, link_key: KEY, candidates: List::new(&[]) }),
        vector(
            "accepts no peers",
            Announce { port: 0, link_key: LinkKey([0; 32]), candidates: List::new(&[]) },
        ),
        vector(
            "most candidates",
            Announce { port: 65_535, link_key: KEY, candidates: List::new(candidates) },
        ),
        vector(
            "for files",
            PeerRequest { request: REQUEST, purpose: Purpose::Files, concealed: false, to: name("bob") },
        ),
        vector(
            "for a direct talk, without an address",
            PeerRequest {
                request: RequestId(u32::MAX),
                purpose: Purpose::Direct,
                concealed: true,
                to: name("bob"),
            },
        ),
        vector(
            "for files",
            PeerOffer {
                offer: OFFER,
                purpose: Purpose::Files,
                expires: 60_000,
                device: ALICE,
                from: name("alice"),
            },
        ),
        vector(
            "for a direct talk",
            PeerOffer {
                offer: OfferId(1),
                purpose: Purpose::Direct,
                expires: 0,
                device: ALICE,
                from: name("alice"),
            },
        ),
        vector("yes", PeerAnswer { offer: OFFER, accept: true, concealed: false }),
        vector("yes, without an address", PeerAnswer { offer: OFFER, accept: true, concealed: true }),
        vector("no", PeerAnswer { offer: OFFER, accept: false, concealed: false }),
        vector("the asking side dials, most addresses", introduce),
        vector(
            "the asked side waits",
            PeerIntroduce {
                request: RequestId(0),
                purpose: Purpose::Direct,
                role: DialRole::Await,
                device: ALICE,
                hidden: true,
                peer: name("alice"),
                addresses: List::new(&[]),
                ..introduce
            },
        ),
        vector(
            "to the asking side",
            PeerClosed { offer: OfferId(0), request: REQUEST, code: ErrorCode::Denied },
        ),
        vector(
            "to the asked side",
            PeerClosed { offer: OFFER, request: RequestId(0), code: ErrorCode::AnsweredElsewhere },
        ),
        vector("typical", PeerWithdraw { request: REQUEST }),
        vector("largest", PeerWithdraw { request: RequestId(u32::MAX) }),
        vector("direct", PeerOutcome { offer: OFFER, way: Way::Direct, code: ErrorCode::DialTimeout }),
        vector("relay", PeerOutcome { offer: OFFER, way: Way::Relay, code: ErrorCode::NoRelay }),
        vector("reverse", PeerTry { offer: OFFER, way: Way::Reverse }),
        vector("punch", PeerTry { offer: OFFER, way: Way::Punch }),
        vector("family", Probe { token: TOKEN, way: Way::Family }),
        vector("punch", Probe { token: TOKEN, way: Way::Punch }),
        vector("typical", Relay { token: TOKEN }),
        vector("zero", Relay { token: chatproto::wire::SideToken([0; 32]) }),
        vector("typical", RelayOpened { offer: OFFER }),
        vector("first", RelayOpened { offer: OfferId(1) }),
        vector(
            "by IPv4",
            PeerMeet { offer: OFFER, way: Way::Punch, after: 150, address: addr("203.0.113.5:40000") },
        ),
        vector(
            "by IPv6",
            PeerMeet { offer: OFFER, way: Way::Family, after: 0, address: addr("[2001:db8::5]:40000") },
        ),
        vector("no way worked", PeerFailed { offer: OFFER, code: ErrorCode::NotReachable }),
        vector("private", PeerFailed { offer: OFFER, code: ErrorCode::PrivateAddress }),
        vector("typical", Reach { request: REQUEST }),
        vector("largest", Reach { request: RequestId(u32::MAX) }),
        vector("yes", Reached { request: REQUEST, address: addr("203.0.113.5:40000"), code: None }),
        vector(
            "no",
            Reached {
                request: REQUEST,
                address: addr("[2001:db8::5]:40000"),
                code: Some(ErrorCode::DialRefused),
            },
        ),
    ]
}
