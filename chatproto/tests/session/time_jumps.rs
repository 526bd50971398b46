//! Time that jumps: a machine that slept, a clock that went back. Nothing lives longer by it, and nothing is stuck.

use std::time::Duration;

use chatproto::Instant;
use chatproto::session::{AdmitError, Event, Introduction, State};
use chatproto::wire::{
    DialRole, LinkTicket, List, NameRef, OfferId, PeerIntroduce, PeerOffer, Purpose, RequestId, SideToken,
};

use crate::rig::{BOB, LINK_KEY, Rig, name};

const TICKET: LinkTicket = LinkTicket([0x77; 32]);
const LIFE: Duration = Duration::from_secs(30);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Bob asked, Alice said yes, and waits for him to call.
fn awaiting(rig: &mut Rig, offer: OfferId) {
    let from = NameRef::new("bob").unwrap();
    rig.receive(&PeerOffer { offer, purpose: Purpose::Files, expires: 60_000, device: BOB, from });
    rig.session.answer_peer(offer, true).unwrap();
    rig.receive(&PeerIntroduce {
        offer,
        request: RequestId(0),
        purpose: Purpose::Files,
        role: DialRole::Await,
        expires: u32::try_from(LIFE.as_millis()).unwrap(),
        ticket: TICKET,
        token: SideToken([0x66; 32]),
        device: BOB,
        link_key: LINK_KEY,
        hidden: false,
        peer: from,
        addresses: List::new(&[]),
    });
    rig.events();
}

fn admit(rig: &mut Rig, offer: OfferId, now: Instant) -> Result<Introduction, AdmitError> {
    let admitted = rig.session.admit(offer, &TICKET, LINK_KEY, &name("bob"), BOB, now);
    admitted.map(|(introduction, _)| introduction)
}

#[test]
fn a_link_ticket_is_dead_after_a_jump_ahead_whether_or_not_anybody_looked() {
    for jump in [LIFE, LIFE + Duration::from_millis(1), DAY, 1_000 * DAY] {
        let mut rig = Rig::in_lobby();
        awaiting(&mut rig, OfferId(5));
        // The caller is there before the timer is.
        let late = rig.now + jump;
        assert_eq!(admit(&mut rig, OfferId(5), late), Err(AdmitError::Expired), "{jump:?}");
        rig.session.handle_timeout(late);
        let failed = |event: &Event| matches!(event, Event::LinkFailed { offer: OfferId(5), .. });
        let told = rig.events().iter().filter(|event| failed(event)).count();
        assert_eq!(told, 1, "its end is told once");
        assert_eq!(admit(&mut rig, OfferId(5), late), Err(AdmitError::Unknown));
        // A moment that lies before brings nothing back.
        let early = rig.now;
        assert_eq!(admit(&mut rig, OfferId(5), early), Err(AdmitError::Unknown));
    }
}

#[test]
fn a_clock_that_goes_back_lengthens_no_ticket() {
    let mut rig = Rig::in_lobby();
    rig.advance(DAY);
    rig.events();
    if rig.session.state() != State::Ready {
        // A day without a word has ended the connection, as it should.
        rig.reconnect();
        rig.events();
    }
    awaiting(&mut rig, OfferId(5));
    let introduced = rig.now;
    // The system's clock of a driver that breaks its promise: back by an hour.
    rig.session.handle_timeout(Instant::from_millis(introduced.as_millis() - 3_600_000));
    assert_eq!(rig.events(), []);
    assert_eq!(admit(&mut rig, OfferId(5), introduced + LIFE), Err(AdmitError::Expired));
    assert!(admit(&mut rig, OfferId(5), introduced + (LIFE - Duration::from_millis(1))).is_ok());
}

#[test]
fn after_a_long_sleep_everything_that_waited_has_ended_and_the_session_comes_back() {
    let mut rig = Rig::in_lobby();
    awaiting(&mut rig, OfferId(5));
    let from = NameRef::new("bob").unwrap();
    let (purpose, expires) = (Purpose::Files, 60_000);
    rig.receive(&PeerOffer { offer: OfferId(6), purpose, expires, device: BOB, from });
    rig.events();
    rig.now = rig.now + 30 * DAY;
    let now = rig.now;
    // One thing at a time may be due, but not without end.
    for _ in 0..4 {
        if rig.session.poll_timeout().is_some_and(|at| at <= now) {
            rig.session.handle_timeout(now);
        }
    }
    let events = rig.events();
    let has = |wanted: fn(&Event) -> bool| events.iter().any(wanted);
    assert!(has(|event| matches!(event, Event::LinkFailed { offer: OfferId(5), .. })), "{events:?}");
    assert!(has(|event| matches!(event, Event::PeerOfferClosed { offer: OfferId(6), .. })), "{events:?}");
    assert!(has(|event| matches!(event, Event::Lost { retry_in: Some(_), .. })), "{events:?}");
    // No timer spins over what is past.
    assert!(rig.session.poll_timeout().is_some_and(|at| at > now));
    rig.reconnect();
    assert_eq!(rig.session.state(), State::Ready);
    assert_eq!(admit(&mut rig, OfferId(5), now), Err(AdmitError::Unknown));
}
