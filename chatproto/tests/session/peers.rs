//! Introductions: consent on this side, secrets used once, and a table that outlives the connection.

use std::net::SocketAddr;
use std::time::Duration;

use chatproto::reach::{Action, Policy};
use chatproto::session::{
    AdmitError, Announcement, AnnouncementError, Config, Event, Introduction, PeerVerbError, Refusal,
    RequestError, Restored, State,
};
use chatproto::wire::{
    DialRole, Error, ErrorCode, FrameType, LinkKey, LinkTicket, List, NameRef, NoteRef, OfferId, PeerAnswer,
    PeerClosed, PeerIntroduce, PeerOffer, Purpose, RequestId, SideToken, ToServer,
};

use crate::rig::{BOB, LINK_KEY, Rig, config, name};

const TICKET: LinkTicket = LinkTicket([0x77; 32]);
const OFFER: OfferId = OfferId(5);

fn offer(offer: OfferId) -> PeerOffer<'static> {
    let from = NameRef::new("bob").unwrap();
    PeerOffer { offer, purpose: Purpose::Files, expires: 60_000, device: BOB, from }
}

fn introduce(request: RequestId, role: DialRole, addresses: &[SocketAddr]) -> PeerIntroduce<'_> {
    PeerIntroduce {
        offer: OFFER,
        request,
        purpose: Purpose::Files,
        role,
        expires: 30_000,
        ticket: TICKET,
        token: SideToken([0x66; 32]),
        device: BOB,
        link_key: LINK_KEY,
        hidden: false,
        peer: NameRef::new("bob").unwrap(),
        addresses: List::new(addresses),
    }
}

/// Bob asked, Alice said yes, and waits for him.
fn awaiting() -> Rig {
    let mut rig = Rig::in_lobby();
    rig.receive(&offer(OFFER));
    rig.session.answer_peer(OFFER, true).unwrap();
    rig.receive(&introduce(RequestId(0), DialRole::Await, &[]));
    rig.events();
    rig
}

fn admit(rig: &mut Rig) -> Result<Introduction, AdmitError> {
    let admitted = rig.session.admit(OFFER, &TICKET, LINK_KEY, &name("bob"), BOB, rig.now);
    admitted.map(|(introduction, _)| introduction)
}

#[test]
fn a_request_is_answered_with_an_introduction_to_dial() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.request_peer(&name("bob"), Purpose::Files).unwrap();
    let frames = rig.frames();
    let ToServer::PeerRequest(ask) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!((ask.request, ask.to.as_str(), ask.purpose), (request, "bob", Purpose::Files));
    let addresses =
        ["192.0.2.9:4001", "10.0.0.9:4001", "192.0.2.9:25"].map(|address| address.parse().unwrap());
    rig.receive(&introduce(request, DialRole::Dial, &addresses));
    let events = rig.events();
    let [Event::Introduced(introduction), Event::Reach { action: Action::Dial { .. }, .. }] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((introduction.request, introduction.role), (Some(request), DialRole::Dial));
    assert_eq!(introduction.addresses, addresses[..2], "nobody dials a mail server, whoever says so");
    assert_eq!(introduction.expires, rig.now + Duration::from_secs(30));
    assert_eq!(format!("{:?}", introduction.ticket), "LinkTicket(***)");
    // Who dials waits for nobody.
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));
    assert_eq!(rig.session.withdraw_peer(request), Err(PeerVerbError::NoSuchRequest(request)));
}

#[test]
fn nobody_is_introduced_to_this_device_without_its_yes() {
    let mut rig = Rig::in_lobby();
    rig.receive(&introduce(RequestId(0), DialRole::Await, &[]));
    rig.receive(&offer(OFFER));
    rig.receive(&introduce(RequestId(0), DialRole::Await, &[]));
    rig.receive(&introduce(RequestId(800), DialRole::Await, &[]));
    let events = rig.events();
    assert!(matches!(events[..], [Event::PeerOffer { .. }]), "{events:?}");
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));

    rig.session.answer_peer(OFFER, true).unwrap();
    let eve =
        PeerIntroduce { peer: NameRef::new("eve").unwrap(), ..introduce(RequestId(0), DialRole::Await, &[]) };
    let direct = PeerIntroduce { purpose: Purpose::Direct, ..introduce(RequestId(0), DialRole::Await, &[]) };
    rig.receive(&eve);
    rig.receive(&direct);
    assert_eq!(rig.events(), []);
    rig.receive(&introduce(RequestId(0), DialRole::Await, &[]));
    assert!(matches!(rig.event(), Event::Introduced(_)));
    assert_eq!(rig.session.state(), State::Ready);
}

#[test]
fn an_offer_is_answered_once() {
    let mut rig = Rig::in_lobby();
    rig.receive(&offer(OFFER));
    let Event::PeerOffer { offer: asked, from, device, purpose, expires } = rig.event() else { panic!() };
    assert_eq!((asked, from, device, purpose), (OFFER, name("bob"), BOB, Purpose::Files));
    assert_eq!(expires, rig.now + Duration::from_secs(60));
    rig.session.answer_peer(OFFER, false).unwrap();
    let frames = rig.frames();
    assert!(
        matches!(frames[0].frame(), ToServer::PeerAnswer(answer) if !answer.accept && answer.offer == OFFER)
    );
    assert_eq!(rig.session.answer_peer(OFFER, true), Err(PeerVerbError::NoSuchOffer(OFFER)));
    assert_eq!(rig.types(), []);
}

#[test]
fn an_offer_ends_by_itself_or_when_another_device_answers() {
    let mut rig = Rig::in_lobby();
    rig.receive(&offer(OFFER));
    let code = ErrorCode::AnsweredElsewhere;
    rig.receive(&PeerClosed { offer: OFFER, request: RequestId(0), code });
    let events = rig.events();
    assert!(
        matches!(&events[1], Event::PeerOfferClosed { offer: OFFER, refusal } if refusal.code() == Some(code)),
        "{events:?}"
    );

    rig.receive(&offer(OfferId(6)));
    rig.events();
    rig.advance(Duration::from_secs(60));
    let expired = Some(ErrorCode::Expired);
    let Event::PeerOfferClosed { offer: OfferId(6), refusal } = rig.event() else { panic!() };
    assert_eq!(refusal.code(), expired);
    // What the server says about it later is no news.
    rig.receive(&PeerClosed { offer: OfferId(6), request: RequestId(0), code: ErrorCode::Expired });
    assert_eq!(rig.events(), []);

    rig.receive(&offer(OfferId(7)));
    rig.events();
    rig.session.handle_eof(rig.now);
    let refusal = Refusal::ConnectionLost;
    assert_eq!(rig.events()[0], Event::PeerOfferClosed { offer: OfferId(7), refusal });
}

#[test]
fn offers_without_end_are_denied() {
    let mut rig = Rig::with(Config { max_offers: 1, ..config() }, Restored::default());
    rig.connect();
    rig.log_in();
    rig.frames();
    rig.receive(&offer(OfferId(1)));
    rig.receive(&offer(OfferId(2)));
    let frames = rig.frames();
    assert!(
        matches!(frames[0].frame(), ToServer::PeerAnswer(answer) if !answer.accept && answer.offer == OfferId(2))
    );
    assert_eq!(rig.events().iter().filter(|event| matches!(event, Event::PeerOffer { .. })).count(), 1);
}

#[test]
fn a_request_ends_with_a_refusal_whichever_way_the_server_says_it() {
    let mut rig = Rig::in_lobby();
    let closed = |event| match event {
        Event::PeerRequestClosed { request, refusal } => (request, refusal.code()),
        other => panic!("{other:?}"),
    };
    let request = rig.session.request_peer(&name("bob"), Purpose::Direct).unwrap();
    rig.receive(&PeerClosed { offer: OfferId(0), request, code: ErrorCode::Denied });
    assert_eq!(closed(rig.event()), (request, Some(ErrorCode::Denied)));

    let request = rig.session.request_peer(&name("carol"), Purpose::Files).unwrap();
    let (code, about) = (ErrorCode::Offline, FrameType::PeerRequest.number());
    rig.receive(&Error { code, about, request: request.into(), retry_after: 0, note: NoteRef::EMPTY });
    assert_eq!(closed(rig.event()), (request, Some(ErrorCode::Offline)));
}

#[test]
fn a_request_taken_back_leads_nowhere() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.request_peer(&name("bob"), Purpose::Files).unwrap();
    rig.frames();
    rig.session.withdraw_peer(request).unwrap();
    assert_eq!(rig.types(), [FrameType::PeerWithdraw]);
    assert!(
        matches!(rig.event(), Event::PeerRequestClosed { refusal, .. } if refusal.code() == Some(ErrorCode::Withdrawn))
    );
    rig.receive(&introduce(request, DialRole::Await, &[]));
    rig.receive(&PeerClosed { offer: OfferId(0), request, code: ErrorCode::Withdrawn });
    assert_eq!((rig.events(), rig.session.state()), (Vec::new(), State::Ready));
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));
}

#[test]
fn an_introduction_admits_exactly_one_and_only_the_right_one() {
    let mut rig = awaiting();
    let now = rig.now;
    let wrong = LinkTicket([0x76; 32]);
    let session = &mut rig.session;
    assert_eq!(session.admit(OFFER, &wrong, LINK_KEY, &name("bob"), BOB, now), Err(AdmitError::Ticket));
    assert_eq!(session.admit(OFFER, &TICKET, LinkKey([1; 32]), &name("bob"), BOB, now), Err(AdmitError::Key));
    assert_eq!(session.admit(OFFER, &TICKET, LINK_KEY, &name("eve"), BOB, now), Err(AdmitError::Identity));
    assert_eq!(
        session.admit(OfferId(6), &TICKET, LINK_KEY, &name("bob"), BOB, now),
        Err(AdmitError::Unknown)
    );
    let introduction = admit(&mut rig).unwrap();
    assert_eq!(
        (introduction.peer, introduction.purpose, introduction.request),
        (name("bob"), Purpose::Files, None)
    );
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));
}

#[test]
fn an_introduction_outlives_the_server_and_then_expires() {
    let mut rig = awaiting();
    rig.session.handle_eof(rig.now);
    rig.session.leave_for_direct(rig.now);
    rig.events();
    assert_eq!(rig.session.state(), State::Away);
    let mut other = awaiting();
    other.session.handle_eof(other.now);
    assert!(admit(&mut other).is_ok());

    assert_eq!(rig.wait(), Duration::from_secs(30));
    let events = rig.events();
    let Some(Event::LinkFailed { offer: OFFER, peer, verdict, .. }) = events.last() else {
        panic!("{events:?}")
    };
    assert_eq!((peer, verdict.code), (&name("bob"), ErrorCode::Timeout));
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));
    assert_eq!(rig.session.poll_timeout(), None);
}

#[test]
fn peers_need_an_announcement_and_it_is_checked() {
    let mut rig = Rig::with(Config { announcement: None, ..config() }, Restored::default());
    rig.connect();
    rig.log_in();
    assert_eq!(rig.session.request_peer(&name("bob"), Purpose::Files), Err(RequestError::NoAnnouncement));
    rig.frames();
    let near: SocketAddr = "10.0.0.1:5000".parse().unwrap();
    rig.session.announce(Announcement::new(5_000, LINK_KEY, vec![near]).unwrap());
    let frames = rig.frames();
    let ToServer::Announce(announce) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!((announce.port, announce.candidates.iter().collect::<Vec<_>>()), (5_000, vec![near]));
    assert!(rig.session.request_peer(&name("bob"), Purpose::Files).is_ok());

    let many = Announcement::new(5_000, LINK_KEY, vec![near; 5]);
    assert_eq!(many, Err(AnnouncementError::TooMany { found: 5, max: 4 }));
    let address = "10.0.0.1:0".parse().unwrap();
    assert_eq!(Announcement::new(1, LINK_KEY, vec![address]), Err(AnnouncementError::NoPort { address }));
}

#[test]
fn with_whom_it_is_the_relay_only_nothing_is_shown_and_nobody_is_dialled_whatever_the_server_says() {
    let mut rig = Rig::in_lobby();
    rig.session.set_policy(Policy::Any, [name("bob")].into());
    let request = rig.session.request_peer(&name("bob"), Purpose::Files).unwrap();
    let other = rig.session.request_peer(&name("carol"), Purpose::Files).unwrap();
    let asked = rig.frames();
    let concealed = asked.iter().map(|frame| match frame.frame() {
        ToServer::PeerRequest(ask) => (ask.request, ask.concealed),
        frame => panic!("{frame:?}"),
    });
    assert_eq!(concealed.collect::<Vec<_>>(), [(request, true), (other, false)]);
    // A server that has it dial all the same.
    let addresses = ["192.0.2.9:4001".parse().unwrap()];
    rig.receive(&introduce(request, DialRole::Dial, &addresses));
    let dials = |event: &Event| {
        matches!(event, Event::Reach { action: Action::Dial { .. } | Action::Probe { .. }, .. })
    };
    let events = rig.events();
    assert!(matches!(events[0], Event::Introduced(_)), "{events:?}");
    assert!(!events.iter().any(dials), "{events:?}");

    rig.receive(&offer(OFFER));
    rig.session.answer_peer(OFFER, true).unwrap();
    let frames = rig.frames();
    let answered = |frame: &ToServer<'_>| {
        matches!(frame, ToServer::PeerAnswer(PeerAnswer { accept: true, concealed: true, .. }))
    };
    assert!(frames.iter().any(|frame| answered(&frame.frame())), "{frames:?}");
    rig.receive(&introduce(RequestId(0), DialRole::Dial, &addresses));
    let events = rig.events();
    assert!(!events.iter().any(dials), "{events:?}");
    // Nor is somebody let in who found the way without the server's relay.
    assert_eq!(admit(&mut rig), Err(AdmitError::Unknown));
}
