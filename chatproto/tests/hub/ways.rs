//! Two ends that look for a way to each other: what the server passes on, and to whom.

use chatproto::hub::{ConnId, Event};
use chatproto::wire::*;

use crate::desk::*;

/// Two people who were introduced, and their tokens.
struct Pair {
    alice: ConnId,
    bob: ConnId,
    offer: OfferId,
    tokens: [SideToken; 2],
}

fn desk() -> Desk {
    Desk::with(|config| {
        config.capabilities = all_capabilities();
        config.max_relays = 64;
    })
}

fn announce(desk: &mut Desk, conn: ConnId, port: u16) {
    desk.send(conn, &Announce { port, link_key: LinkKey([7; 32]), candidates: List::new(&[]) });
}

fn introduce(desk: &mut Desk, ports: [u16; 2]) -> Pair {
    let alice = desk.login_from("203.0.113.1", "alice", 1);
    let bob = desk.login_from("203.0.113.2", "bob", 2);
    announce(desk, alice, ports[0]);
    announce(desk, bob, ports[1]);
    let to = name("bob");
    desk.send(
        alice,
        &PeerRequest { request: RequestId(1), purpose: Purpose::Files, concealed: false, to: to.borrow() },
    );
    let frames = desk.frames(bob);
    let [ToClient::PeerOffer(PeerOffer { offer, .. })] = frames[..] else { panic!("{frames:?}") };
    desk.send(bob, &PeerAnswer { offer, accept: true, concealed: false });
    let token = |frames: Vec<ToClient<'static>>| match frames[..] {
        [ToClient::PeerIntroduce(PeerIntroduce { token, .. })] => token,
        _ => panic!("{frames:?}"),
    };
    let tokens = [token(desk.frames(alice)), token(desk.frames(bob))];
    Pair { alice, bob, offer, tokens }
}

/// A connection that waits for the other end of its relay.
pub(crate) fn relaying(desk: &mut Desk) -> ConnId {
    *desk = self::desk();
    let pair = introduce(desk, [5001, 5002]);
    desk.send(pair.alice, &PeerTry { offer: pair.offer, way: Way::Relay });
    let conn = desk.connect("203.0.113.1");
    desk.send(conn, &Relay { token: pair.tokens[0] });
    conn
}

#[test]
fn what_one_end_says_reaches_the_other_and_nobody_else() {
    let mut desk = desk();
    let Pair { alice, bob, offer, .. } = introduce(&mut desk, [5001, 5002]);
    let eve = desk.login_from("203.0.113.3", "eve", 3);
    let ask = PeerTry { offer, way: Way::Reverse };
    desk.send(alice, &ask);
    assert_eq!(desk.frames(bob), [ToClient::PeerTry(ask)]);
    let outcome = PeerOutcome { offer, way: Way::Reverse, code: ErrorCode::DialTimeout };
    desk.send(bob, &outcome);
    assert_eq!(desk.frames(alice), [ToClient::PeerOutcome(outcome)]);
    // Who was not introduced learns nothing, and moves nothing.
    desk.send(eve, &ask);
    assert_eq!(desk.frames(eve), [ToClient::PeerFailed(PeerFailed { offer, code: ErrorCode::Expired })]);
    // The asked side does not lead.
    desk.send(bob, &ask);
    assert_eq!((desk.frames(alice), desk.frames(bob)), (vec![], vec![]));
    let failed = PeerFailed { offer, code: ErrorCode::DialTimeout };
    desk.send(alice, &failed);
    assert_eq!(desk.frames(bob), [ToClient::PeerFailed(failed)]);
    desk.send(bob, &outcome);
    assert_eq!(desk.frames(alice), [], "it is over");
}

#[test]
fn not_without_end() {
    let mut desk = desk();
    let Pair { alice, bob, offer, .. } = introduce(&mut desk, [5001, 5002]);
    for _ in 0..200 {
        desk.send(alice, &PeerTry { offer, way: Way::Reverse });
    }
    assert_eq!(desk.frames(bob).len(), 64);
}

#[test]
fn both_probes_make_a_meeting_and_each_learns_the_others_port() {
    let mut desk = desk();
    let Pair { alice, bob, offer, tokens } = introduce(&mut desk, [5001, 5002]);
    desk.send(alice, &PeerTry { offer, way: Way::Punch });
    desk.skip(bob);
    for (end, ip) in [(0, "203.0.113.1"), (1, "203.0.113.2")] {
        assert_eq!(desk.frames(alice), [], "not before both are there");
        let probe = desk.connect_aside(ip);
        // One for another way comes too late.
        desk.send(probe, &Probe { token: tokens[end], way: Way::Punch });
        assert_eq!(bye(&desk.frames(probe)), Some(CloseReason::Done));
    }
    let (to_alice, to_bob) = (desk.frames(alice), desk.frames(bob));
    let [ToClient::PeerMeet(there)] = to_alice[..] else { panic!("{to_alice:?}") };
    let [ToClient::PeerMeet(here)] = to_bob[..] else { panic!("{to_bob:?}") };
    assert_eq!((there.offer, there.way, there.after), (offer, Way::Punch, here.after));
    assert_eq!(there.address.ip().to_string(), "203.0.113.2");
    assert_eq!(here.address.ip().to_string(), "203.0.113.1");
    // The ports are those of the probes, not the announced ones.
    assert!(![5001, 5002].contains(&there.address.port()));
}

#[test]
fn a_probe_without_a_good_token_shows_nothing() {
    let mut desk = desk();
    let Pair { alice, offer, tokens, .. } = introduce(&mut desk, [5001, 5002]);
    desk.send(alice, &PeerTry { offer, way: Way::Punch });
    let mut wrong = tokens[1];
    wrong.0[31] ^= 1;
    for token in [wrong, SideToken([0; 32])] {
        let probe = desk.connect_aside("203.0.113.9");
        desk.send(probe, &Probe { token, way: Way::Punch });
        assert_eq!(bye(&desk.frames(probe)), Some(CloseReason::BadTicket));
    }
    let probe = desk.connect_aside("203.0.113.1");
    desk.send(probe, &Probe { token: tokens[0], way: Way::Family });
    assert_eq!(desk.frames(alice), []);
}

#[test]
fn the_two_ends_of_a_relay_are_handed_over_together() {
    let mut desk = desk();
    let Pair { alice, bob, offer, tokens } = introduce(&mut desk, [0, 0]);
    desk.send(alice, &PeerTry { offer, way: Way::Relay });
    assert_eq!(desk.frames(bob), [ToClient::PeerTry(PeerTry { offer, way: Way::Relay })]);
    let ends = [desk.connect_aside("203.0.113.1"), desk.connect_aside("203.0.113.2")];
    desk.send(ends[1], &Relay { token: tokens[1] });
    assert!(!desk.take_events().iter().any(|event| matches!(event, Event::Relayed { .. })));
    desk.send(ends[0], &Relay { token: tokens[0] });
    let relayed = Event::Relayed { offer, ends, from: name("alice"), to: name("bob") };
    assert!(desk.take_events().contains(&relayed));
    assert!(desk.hub.is_finished(ends[0]), "the hub knows them no more");
    assert_eq!(desk.hub.relays(), 1);
    desk.hub.relay_ended(offer);
    assert_eq!(desk.hub.relays(), 0);
}

#[test]
fn no_relay_where_the_operator_allows_none_or_no_more() {
    for (max, expected) in [(0, ErrorCode::RelayBusy), (64, ErrorCode::NoRelay)] {
        let mut desk = Desk::with(|config| {
            config.max_relays = max;
            config.capabilities = Capabilities::NONE.with(Capability::Ways);
            if max == 0 {
                config.capabilities = all_capabilities();
            }
        });
        let Pair { alice, bob, offer, .. } = introduce(&mut desk, [5001, 5002]);
        desk.send(alice, &PeerTry { offer, way: Way::Relay });
        let outcome = ToClient::PeerOutcome(PeerOutcome { offer, way: Way::Relay, code: expected });
        assert_eq!((desk.frames(alice), desk.frames(bob)), (vec![outcome], vec![outcome]));
    }
}

#[test]
fn who_goes_away_is_waited_for_no_longer() {
    let mut desk = desk();
    let Pair { alice, bob, offer, .. } = introduce(&mut desk, [5001, 5002]);
    desk.hub.handle_eof(bob, desk.now);
    let gone = PeerFailed { offer, code: ErrorCode::Offline };
    assert!(desk.frames(alice).contains(&ToClient::PeerFailed(gone)));
}

#[test]
fn a_test_of_reachability_goes_to_the_observed_address_and_not_too_often() {
    let mut desk = desk();
    let alice = desk.login_from("203.0.113.1", "alice", 1);
    announce(&mut desk, alice, 5001);
    for _ in 0..6 {
        desk.send(alice, &Reach { request: RequestId(3) });
    }
    let tests = desk.take_events();
    let address = "203.0.113.1:5001".parse().unwrap();
    let expected =
        Event::TestReach { conn: alice, request: RequestId(3), address, link_key: LinkKey([7; 32]) };
    assert_eq!(tests.iter().filter(|event| **event == expected).count(), 6);
    // Another device at the same address has no more.
    let other = desk.login_from("203.0.113.1", "bob", 2);
    announce(&mut desk, other, 5002);
    desk.send(other, &Reach { request: RequestId(4) });
    assert_eq!(errors(&desk.frames(other))[0].0, ErrorCode::Busy);
    desk.hub.reached(alice, RequestId(3), address, Some(ErrorCode::DialRefused));
    let code = Some(ErrorCode::DialRefused);
    assert_eq!(desk.frames(alice), [ToClient::Reached(Reached { request: RequestId(3), address, code })]);
    // Time gives more.
    for _ in 0..11 {
        desk.pass(60_000);
        desk.send(other, &Ping { nonce: 1 });
    }
    desk.send(other, &Reach { request: RequestId(5) });
    assert!(desk.take_events().iter().any(|event| matches!(event, Event::TestReach { .. })));
}

#[test]
fn ports_of_other_services_are_not_tested() {
    let mut desk = desk();
    let alice = desk.login_from("203.0.113.1", "alice", 1);
    for (port, code) in [(0, ErrorCode::NoPeerPort), (22, ErrorCode::Forbidden)] {
        announce(&mut desk, alice, port);
        desk.send(alice, &Reach { request: RequestId(3) });
        assert_eq!(errors(&desk.frames(alice))[0].0, code);
    }
    assert!(!desk.take_events().iter().any(|event| matches!(event, Event::TestReach { .. })));
}

#[test]
fn the_ends_of_a_relay_leave_the_places_of_strangers() {
    let mut desk = desk();
    let Pair { alice, offer, tokens, .. } = introduce(&mut desk, [0, 0]);
    desk.send(alice, &PeerTry { offer, way: Way::Relay });
    let ends = [desk.connect_aside("203.0.113.1"), desk.connect_aside("203.0.113.2")];
    for (end, token) in ends.into_iter().zip(tokens) {
        desk.send(end, &Relay { token });
    }
    assert_eq!((desk.hub.relays(), desk.hub.strangers()), (1, 0));
    // Those who say nothing fill all places, and still the oldest of them gives way.
    let config = desk.hub.config().clone();
    let silent =
        (0..config.max_strangers).map(|at| desk.connect(&format!("198.51.{}.{}", at / 250, at % 250)));
    let silent = silent.collect::<Vec<_>>();
    desk.pass(u64::try_from(config.stranger_grace.as_millis()).unwrap());
    desk.connect("192.0.2.77");
    assert_eq!(bye(&desk.frames(silent[0])), Some(CloseReason::Busy));
}

#[test]
fn an_account_holds_no_more_than_its_share_of_the_relays() {
    let mut desk = Desk::with(|config| {
        config.capabilities = all_capabilities();
        config.max_relays = 64;
        config.max_relays_per_account = 2;
    });
    let mut open = Vec::new();
    for _ in 0..2 {
        let Pair { alice, offer, tokens, .. } = introduce(&mut desk, [0, 0]);
        desk.send(alice, &PeerTry { offer, way: Way::Relay });
        for token in tokens {
            let end = desk.connect_aside("203.0.113.1");
            desk.send(end, &Relay { token });
        }
        open.push(offer);
    }
    assert_eq!(desk.hub.relays(), 2);
    let Pair { alice, bob, offer, tokens } = introduce(&mut desk, [0, 0]);
    desk.send(alice, &PeerTry { offer, way: Way::Relay });
    let busy = PeerOutcome { offer, way: Way::Relay, code: ErrorCode::RelayBusy };
    for conn in [alice, bob] {
        assert_eq!(desk.frames(conn), [ToClient::PeerOutcome(busy)]);
    }
    // Nor by coming without having asked.
    let ends = tokens.map(|token| {
        let end = desk.connect_aside("203.0.113.1");
        desk.send(end, &Relay { token });
        end
    });
    for end in ends {
        assert_eq!(errors(&desk.frames(end))[0].0, ErrorCode::RelayBusy);
    }
    // A place is given back once.
    desk.hub.relay_ended(open[0]);
    desk.hub.relay_ended(open[0]);
    assert_eq!(desk.hub.relays(), 1);
    let Pair { alice, bob, offer, .. } = introduce(&mut desk, [0, 0]);
    desk.send(alice, &PeerTry { offer, way: Way::Relay });
    assert_eq!(desk.frames(bob), [ToClient::PeerTry(PeerTry { offer, way: Way::Relay })]);
}
