//! Two negotiations that talk to each other through a server, with the network's answers given by a script.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    reason = "a test fails by panicking, in its helpers too"
)]

use core::time::Duration;

use chatproto::Instant;
use chatproto::reach::{Action, Begin, Bounds, Negotiation, Policy, Signal, Verdict};
use chatproto::wire::{DialRole, ErrorCode, Way};
use proptest::prelude::*;

/// What the network does with each way, for the side that works on it: a connection, a failure, or silence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Network {
    Works,
    Fails(ErrorCode),
    Silent,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    link: Option<Way>,
    verdicts: [Option<Verdict>; 2],
    took: Duration,
}

fn begin(leads: bool) -> Begin {
    Begin {
        leads,
        role: if leads { DialRole::Dial } else { DialRole::Await },
        addresses: vec!["203.0.113.5:4000".parse().unwrap()],
        hidden: false,
        observed: Some("203.0.113.1".parse().unwrap()),
        negotiates: true,
        policy: Policy::Any,
        bounds: Bounds::default(),
        expires: Instant::from_millis(45_000),
    }
}

/// Plays until both have ended. `relays` is the server's answer to a relay.
fn play(begins: [Begin; 2], network: impl Fn(usize, Way) -> Network, relays: bool) -> Outcome {
    let start = Instant::from_millis(0);
    let mut now = start;
    let mut ends = begins.map(|begin| Negotiation::new(begin, start));
    let mut outcome = Outcome::default();
    let mut probes = 0;
    for _ in 0..1_000 {
        let mut moved = true;
        while core::mem::take(&mut moved) {
            for at in 0..2 {
                while let Some(action) = ends[at].poll_action() {
                    moved = true;
                    let mut attempt = |ends: &mut [Negotiation; 2], way| match network(at, way) {
                        Network::Works if ends[at].linking(way) => outcome.link = Some(way),
                        Network::Works | Network::Silent => {}
                        Network::Fails(code) => ends[at].failed(way, code, now),
                    };
                    match action {
                        Action::Tell(Signal::Try(Way::Relay)) if !relays => {
                            for end in &mut ends {
                                end.handle_signal(Signal::Outcome(Way::Relay, ErrorCode::NoRelay), now);
                            }
                        }
                        Action::Tell(signal) => ends[1 - at].handle_signal(signal, now),
                        Action::Dial { way, .. } | Action::Meet { way, .. } => attempt(&mut ends, way),
                        Action::Relay => attempt(&mut ends, Way::Relay),
                        Action::Probe { way } => match network(at, way) {
                            Network::Fails(code) => ends[at].failed(way, code, now),
                            _ => {
                                probes += 1;
                                if probes % 2 == 0 {
                                    let address = "203.0.113.9:9".parse().unwrap();
                                    for end in &mut ends {
                                        end.handle_meet(way, address, Duration::from_millis(200), now);
                                    }
                                }
                            }
                        },
                        Action::Stop => {}
                        Action::Fail(verdict) => {
                            assert!(outcome.verdicts[at].replace(verdict).is_none(), "one verdict");
                        }
                    }
                }
            }
        }
        outcome.took = now.since(start);
        if outcome.link.is_some() || ends.iter().all(Negotiation::is_over) {
            return outcome;
        }
        let next = ends.iter().filter_map(Negotiation::poll_timeout).min().expect("it waits for something");
        assert!(next >= now, "time goes forward");
        now = next;
        ends.iter_mut().for_each(|end| end.handle_timeout(now));
    }
    panic!("it never ends");
}

fn codes(outcome: &Outcome) -> [ErrorCode; 2] {
    outcome.verdicts.each_ref().map(|verdict| verdict.as_ref().expect("a verdict on both sides").code)
}

#[test]
fn the_first_way_that_works_is_taken_in_the_fixed_order() {
    for (works, &way) in Way::ALL.iter().enumerate() {
        let network = |_, way: Way| {
            if usize::from(way.number()) > works {
                Network::Works
            } else {
                Network::Fails(ErrorCode::DialRefused)
            }
        };
        let outcome = play([begin(true), begin(false)], network, true);
        assert_eq!(outcome.link, Some(way));
        assert_eq!(outcome.took, Duration::ZERO, "who is refused does not wait");
    }
}

#[test]
fn silence_everywhere_ends_in_a_verdict_on_both_sides_before_the_ticket_does() {
    let outcome = play([begin(true), begin(false)], |_, _| Network::Silent, true);
    assert_eq!(codes(&outcome), [ErrorCode::DialTimeout; 2]);
    assert!(outcome.took < Duration::from_secs(40), "{:?}", outcome.took);
    let tried = &outcome.verdicts[0].as_ref().unwrap().tried;
    assert_eq!(tried.iter().map(|tried| tried.way).collect::<Vec<_>>(), Way::ALL);
}

#[test]
fn both_sides_can_say_what_was_wrong_with_whose_port() {
    let network = |_, way| match way {
        Way::Direct => Network::Fails(ErrorCode::DialTimeout),
        Way::Reverse => Network::Fails(ErrorCode::DialRefused),
        Way::Family => Network::Fails(ErrorCode::NoFamily),
        Way::Punch | Way::Relay => Network::Silent,
    };
    let outcome = play([begin(true), begin(false)], network, false);
    let texts = outcome.verdicts.map(|verdict| verdict.unwrap().text("them"));
    assert!(texts[0].starts_with("them's port is not reachable (no answer"), "{}", texts[0]);
    assert!(texts[0].contains("your port is not reachable (refused)"), "{}", texts[0]);
    assert!(texts[0].contains("relay: the server relays no links"), "{}", texts[0]);
    assert!(texts[1].starts_with("your port is not reachable (no answer"), "{}", texts[1]);
    assert!(texts[1].contains("them's port is not reachable (refused)"), "{}", texts[1]);
}

#[test]
fn a_private_address_seen_from_outside_is_called_that() {
    let mut far = begin(true);
    far.addresses = vec!["192.168.1.5:4000".parse().unwrap()];
    let outcome = play([far, begin(false)], |_, _| Network::Silent, false);
    assert_eq!(codes(&outcome), [ErrorCode::PrivateAddress; 2]);
}

#[test]
fn a_side_that_hides_is_not_dialled_and_dials() {
    let mut hidden = begin(true);
    hidden.addresses.clear();
    hidden.hidden = true;
    let outcome = play([hidden, begin(false)], |_, _| Network::Works, false);
    assert_eq!(outcome.link, Some(Way::Reverse));
}

#[test]
fn who_wants_the_relay_only_dials_nobody() {
    let only = |leads| Begin { policy: Policy::OnlyRelay, ..begin(leads) };
    let never = |leads| Begin { policy: Policy::NoRelay, ..begin(leads) };
    let strict = |_, way| if way == Way::Relay { Network::Works } else { panic!("{way} was tried") };
    assert_eq!(play([only(true), begin(false)], strict, true).link, Some(Way::Relay));
    let lead_dials = |at, way| match way {
        Way::Relay => Network::Works,
        _ if at == 0 => Network::Fails(ErrorCode::DialRefused),
        way => panic!("{way} was tried"),
    };
    assert_eq!(play([begin(true), only(false)], lead_dials, true).link, Some(Way::Relay));
    let unanswered = |_, way| if way == Way::Relay { Network::Silent } else { panic!("{way} was tried") };
    let outcome = play([only(true), never(false)], unanswered, true);
    assert_eq!((outcome.link, codes(&outcome)), (None, [ErrorCode::Declined; 2]));
}

#[test]
fn without_a_server_that_passes_things_on_there_is_one_dial() {
    let plain = |leads| Begin { negotiates: false, ..begin(leads) };
    let outcome = play([plain(true), plain(false)], |_, _| Network::Fails(ErrorCode::DialRefused), true);
    let [Some(first), Some(second)] = outcome.verdicts else { panic!("a verdict on both sides") };
    assert_eq!((first.code, second.code), (ErrorCode::DialRefused, ErrorCode::Timeout));
}

#[test]
fn a_connection_that_breaks_before_the_link_stands_is_not_the_end() {
    let now = Instant::from_millis(0);
    let mut lead = Negotiation::new(begin(true), now);
    assert!(matches!(lead.poll_action(), Some(Action::Dial { way: Way::Direct, .. })));
    assert!(lead.linking(Way::Direct));
    assert!(!lead.linking(Way::Direct), "one is enough");
    lead.handle_signal(Signal::Failed(ErrorCode::Offline), now);
    assert_eq!(lead.poll_action(), None, "what stands needs no server");
    lead.failed(Way::Direct, ErrorCode::LinkBroken, now);
    let actions: Vec<_> = core::iter::from_fn(|| lead.poll_action()).collect();
    assert!(actions.contains(&Action::Tell(Signal::Try(Way::Reverse))), "{actions:?}");
}

#[test]
fn what_the_leading_side_found_out_is_its_verdict_whatever_others_say() {
    let now = Instant::from_millis(0);
    // Nothing was found out yet; a wrong key was.
    for (found, verdict) in [(None, ErrorCode::Expired), (Some(ErrorCode::WrongKey), ErrorCode::WrongKey)] {
        let mut lead = Negotiation::new(begin(true), now);
        if let Some(code) = found {
            lead.failed(Way::Direct, code, now);
        }
        lead.handle_signal(Signal::Failed(ErrorCode::Expired), now);
        let told = core::iter::from_fn(|| lead.poll_action()).find_map(|action| match action {
            Action::Fail(verdict) => Some(verdict.code),
            _ => None,
        });
        assert_eq!(told, Some(verdict));
    }
}

#[test]
fn a_side_that_talks_without_end_is_not_listened_to() {
    let now = Instant::from_millis(0);
    let mut end = Negotiation::new(begin(false), now);
    for _ in 0..1_000 {
        end.handle_signal(Signal::Try(Way::Reverse), now);
    }
    assert!(core::iter::from_fn(|| end.poll_action()).count() < 100);
}

fn network() -> impl Strategy<Value = Network> {
    const CODES: [ErrorCode; 4] =
        [ErrorCode::DialRefused, ErrorCode::DialTimeout, ErrorCode::NoRoute, ErrorCode::WrongKey];
    prop_oneof![
        1 => Just(Network::Works),
        2 => Just(Network::Silent),
        3 => proptest::sample::select(&CODES[..]).prop_map(Network::Fails),
    ]
}

proptest! {
    #[test]
    fn it_always_ends_in_time_and_both_agree(
        answers in proptest::collection::vec(network(), 10),
        policies in proptest::collection::vec(proptest::sample::select(vec![Policy::Any, Policy::NoRelay, Policy::OnlyRelay]), 2),
        has_addresses in proptest::collection::vec(any::<bool>(), 2),
        relays in any::<bool>(),
    ) {
        let mut at = 0;
        let begins = [true, false].map(|leads| {
            let mut begin = Begin { policy: policies[at], ..begin(leads) };
            if !has_addresses[at] {
                begin.addresses.clear();
            }
            at += 1;
            begin
        });
        let outcome = play(begins, |side, way| answers[side * 5 + usize::from(way.number()) - 1], relays);
        prop_assert!(outcome.took <= Duration::from_secs(45));
        if outcome.link.is_none() {
            let [first, second] = codes(&outcome);
            prop_assert_eq!(first, second);
        }
    }
}
