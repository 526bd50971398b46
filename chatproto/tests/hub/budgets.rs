//! Budgets of each verb: a flood costs whoever makes it, and is told when to come back.

use core::time::Duration;

use chatproto::hub::{Budgets, ConnId, Rate};
use chatproto::wire::*;

use crate::desk::*;

fn desk(change: impl FnOnce(&mut Budgets)) -> Desk {
    Desk::with(|config| change(&mut config.budgets))
}

fn rate(times: u32, seconds: u64) -> Rate {
    Rate { times, per: Duration::from_secs(seconds) }
}

/// The code, the request and the wait of every refusal.
fn refusals(frames: &[ToClient<'static>]) -> Vec<(ErrorCode, u64, u32)> {
    let refusal = |frame: &ToClient<'static>| match frame {
        ToClient::Error(error) => Some((error.code, error.request, error.retry_after)),
        _ => None,
    };
    frames.iter().filter_map(refusal).collect()
}

fn ask(desk: &mut Desk, conn: ConnId) -> Vec<(ErrorCode, u64, u32)> {
    desk.send(conn, &Rooms { request: RequestId(4) });
    refusals(&desk.frames(conn))
}

#[test]
fn who_says_too_much_is_told_when_to_go_on_and_others_notice_nothing() {
    let mut desk = desk(|budgets| budgets.say = rate(3, 3));
    let [alice, bob] = [desk.member("alice", 1), desk.login("bob", 2)];
    desk.join(bob, "lobby", None);
    desk.skip(alice);
    desk.skip(bob);
    for counter in 1..=4 {
        desk.say(alice, counter, "lobby", "x");
    }
    let frames = desk.frames(alice);
    assert_eq!(refusals(&frames), [(ErrorCode::TooFast, 4, 1_000)]);
    assert_eq!(errors(&frames)[0].2, "too much at once: again in 1 s");
    desk.say(bob, 1, "lobby", "y");
    assert!(refusals(&desk.frames(bob)).is_empty());
    // What was refused costs nothing: after the time that was told, it goes.
    desk.pass(1_000);
    desk.say(alice, 4, "lobby", "x");
    assert!(refusals(&desk.frames(alice)).is_empty());
    desk.say(alice, 5, "lobby", "x");
    assert_eq!(refusals(&desk.frames(alice)), [(ErrorCode::TooFast, 5, 1_000)]);
    // The whole budget comes back, and no more than that.
    desk.pass(9_000);
    for counter in 5..=8 {
        desk.say(alice, counter, "lobby", "x");
    }
    assert_eq!(refusals(&desk.frames(alice)).len(), 1);
}

#[test]
fn all_connections_of_an_account_share_its_budget_also_new_ones() {
    let mut desk = desk(|budgets| budgets.list = rate(2, 10));
    let [one, two] = [1, 2].map(|device| desk.login("alice", device));
    assert!(ask(&mut desk, one).is_empty() && ask(&mut desk, two).is_empty());
    assert_eq!(ask(&mut desk, two), [(ErrorCode::TooFast, 4, 5_000)]);
    desk.hub.handle_eof(one, desk.now);
    let again = desk.login_from("203.0.113.1", "alice", 7);
    assert_eq!(ask(&mut desk, again)[0].0, ErrorCode::TooFast);
    let bob = desk.login("bob", 3);
    assert!(ask(&mut desk, bob).is_empty(), "at the same address as she was");
}

#[test]
fn each_verb_has_its_own_budget_and_a_room_made_by_joining_costs_a_room() {
    let mut desk = desk(|budgets| {
        budgets.create = rate(1, 60);
        budgets.peer = rate(1, 60);
        budgets.read = rate(1, 60);
    });
    let alice = desk.login("alice", 1);
    desk.join(alice, "one", None);
    desk.join(alice, "two", None);
    assert_eq!(refusals(&desk.frames(alice)), [(ErrorCode::TooFast, 1, 60_000)]);
    desk.join(alice, "lobby", None);
    assert!(refusals(&desk.frames(alice)).is_empty(), "this one is there already");
    let bob = name("bob");
    let codes = |desk: &mut Desk| {
        refusals(&desk.frames(alice)).into_iter().map(|(code, ..)| code).collect::<Vec<_>>()
    };
    for _ in 0..2 {
        desk.send(
            alice,
            &PeerRequest {
                request: RequestId(5),
                purpose: Purpose::Files,
                to: bob.borrow(),
                concealed: false,
            },
        );
    }
    assert_eq!(codes(&mut desk), [ErrorCode::NoAnnounce, ErrorCode::TooFast]);
    let lobby = name("lobby");
    for anchor in [Anchor::Before, Anchor::Around] {
        let target = Target::Room(lobby.borrow());
        desk.send(alice, &History { request: RequestId(6), target, anchor, seq: 0, limit: 9 });
    }
    assert_eq!(codes(&mut desk), [ErrorCode::TooFast]);
    assert!(ask(&mut desk, alice).is_empty());
}

#[test]
fn nobody_is_pestered_but_whoever_is_welcome_may_come_again() {
    let mut desk = desk(|budgets| budgets.peer_pair = rate(3, 300));
    let people = ["alice", "bob", "carol"].map(|user| desk.login(user, 1));
    for conn in people {
        desk.send(conn, &Announce { port: 4_000, link_key: LinkKey([3; 32]), candidates: List::new(&[]) });
    }
    let [alice, bob, carol] = people;
    let request = |desk: &mut Desk, from: ConnId, to: &str| {
        let to = name(to);
        desk.send(
            from,
            &PeerRequest {
                request: RequestId(5),
                purpose: Purpose::Files,
                to: to.borrow(),
                concealed: false,
            },
        );
        refusals(&desk.frames(from)).first().copied()
    };
    let offered = |desk: &mut Desk| match desk.frames(bob).last() {
        Some(ToClient::PeerOffer(offer)) => offer.offer,
        other => panic!("{other:?}"),
    };
    // Accepted ones cost nothing.
    for _ in 0..5 {
        assert_eq!(request(&mut desk, alice, "bob"), None);
        let offer = offered(&mut desk);
        desk.send(bob, &PeerAnswer { offer, accept: true, concealed: false });
        desk.skip(alice);
    }
    // Denied, expired, taken back: each counts as one.
    assert_eq!(request(&mut desk, alice, "bob"), None);
    let offer = offered(&mut desk);
    desk.send(bob, &PeerAnswer { offer, accept: false, concealed: false });
    assert_eq!(request(&mut desk, alice, "bob"), None);
    let timeout = desk.hub.config().offer_timeout;
    desk.pass(u64::try_from(timeout.as_millis()).unwrap());
    desk.skip(alice);
    assert_eq!(request(&mut desk, alice, "bob"), None);
    desk.send(alice, &PeerWithdraw { request: RequestId(5) });
    desk.skip(alice);
    desk.skip(bob);
    let refused = request(&mut desk, alice, "bob");
    assert_eq!(refused, Some((ErrorCode::TooFast, 5, 40_000)), "one came back in the minute meanwhile");
    assert_eq!(desk.frames(bob), [], "not a sound");
    assert_eq!(request(&mut desk, alice, "carol"), None);
    assert_eq!(request(&mut desk, carol, "bob"), None);
    assert_eq!(request(&mut desk, bob, "alice"), None, "the other way round is another matter");
    desk.pass(40_000);
    desk.skip(alice);
    assert_eq!(request(&mut desk, alice, "bob"), None);
}

#[test]
fn budgets_change_while_the_server_runs() {
    let mut desk = desk(|budgets| budgets.list = rate(1, 60));
    let alice = desk.login("alice", 1);
    assert!(ask(&mut desk, alice).is_empty());
    assert_eq!(ask(&mut desk, alice)[0].0, ErrorCode::TooFast);
    let mut config = desk.hub.config().clone();
    config.budgets = Budgets::unlimited();
    desk.hub.set_limits(config);
    for _ in 0..50 {
        assert!(ask(&mut desk, alice).is_empty());
    }
}
