//! Introductions: consent first, one yes, addresses afterwards, and only those that concern the other side.

use std::net::SocketAddr;

use chatproto::hub::{ConnId, Event};
use chatproto::wire::*;

use crate::desk::*;

fn announce(desk: &mut Desk, conn: ConnId, port: u16, candidates: &[&str]) {
    let candidates: Vec<SocketAddr> = candidates.iter().map(|it| it.parse().unwrap()).collect();
    // Told apart by the port.
    let link_key = LinkKey([u8::try_from(port % 251).unwrap(); 32]);
    desk.send(conn, &Announce { port, link_key, candidates: List::new(&candidates) });
    assert_eq!(desk.frames(conn), []);
}

fn ask(desk: &mut Desk, conn: ConnId, request: u32, to: &str) {
    ask_as(desk, conn, request, to, false);
}

fn ask_as(desk: &mut Desk, conn: ConnId, request: u32, to: &str, concealed: bool) {
    let (request, to) = (RequestId(request), name(to));
    desk.send(conn, &PeerRequest { request, purpose: Purpose::Files, concealed, to: to.borrow() });
}

fn answer(desk: &mut Desk, conn: ConnId, offer: OfferId, accept: bool) {
    desk.send(conn, &PeerAnswer { offer, accept, concealed: false });
}

fn offer(frames: &[ToClient<'_>]) -> OfferId {
    match frames {
        [ToClient::PeerOffer(offer)] => offer.offer,
        other => panic!("{other:?}"),
    }
}

fn introduced(frames: &[ToClient<'static>]) -> PeerIntroduce<'static> {
    match frames {
        [ToClient::PeerIntroduce(it)] => *it,
        other => panic!("{other:?}"),
    }
}

fn closed(frames: &[ToClient<'_>]) -> (OfferId, RequestId, ErrorCode) {
    match frames {
        [ToClient::PeerClosed(it)] => (it.offer, it.request, it.code),
        other => panic!("{other:?}"),
    }
}

fn addresses(introduced: &PeerIntroduce<'_>) -> Vec<String> {
    introduced.addresses.iter().map(|address| address.to_string()).collect()
}

/// Alice and Bob, logged in from two places, both with a port.
fn pair() -> (Desk, ConnId, ConnId) {
    let mut desk = Desk::new();
    let alice = desk.login_from("203.0.113.1", "alice", 1);
    let bob = desk.login_from("203.0.113.2", "bob", 2);
    announce(&mut desk, alice, 5001, &[]);
    announce(&mut desk, bob, 5002, &[]);
    (desk, alice, bob)
}

#[test]
fn yes_introduces_both_with_one_ticket_and_opposite_roles() {
    let (mut desk, alice, bob) = pair();
    ask(&mut desk, alice, 9, "bob");
    assert_eq!(desk.frames(alice), [], "not a word before a yes");
    let frames = desk.frames(bob);
    let [ToClient::PeerOffer(asked)] = frames.as_slice() else { panic!("{frames:?}") };
    assert_eq!((asked.from.as_str(), asked.purpose), ("alice", Purpose::Files));
    assert_eq!((asked.device, asked.expires), (DeviceId([1; 16]), 60_000));

    answer(&mut desk, bob, asked.offer, true);
    let (to_alice, to_bob) = (introduced(&desk.frames(alice)), introduced(&desk.frames(bob)));
    assert_eq!(to_alice.ticket, to_bob.ticket);
    assert_ne!(to_alice.ticket, LinkTicket([0; 32]));
    assert_eq!((to_alice.role, to_bob.role), (DialRole::Dial, DialRole::Await));
    assert_eq!((to_alice.request, to_bob.request), (RequestId(9), RequestId(0)));
    assert_eq!((to_alice.offer, to_bob.offer), (asked.offer, asked.offer));
    assert_eq!((to_alice.peer.as_str(), to_bob.peer.as_str()), ("bob", "alice"));
    assert_eq!((to_alice.device, to_bob.device), (DeviceId([2; 16]), DeviceId([1; 16])));
    assert_ne!(to_alice.link_key, to_bob.link_key);
    assert_eq!(addresses(&to_alice), ["203.0.113.2:5002"]);
    assert_eq!(addresses(&to_bob), ["203.0.113.1:5001"]);
    assert_eq!(to_alice.expires, 45_000);

    answer(&mut desk, bob, asked.offer, true);
    assert_eq!(closed(&desk.frames(bob)), (asked.offer, RequestId(0), ErrorCode::Expired), "good once");
    assert_eq!(desk.frames(alice), []);
    let told = desk.take_events();
    assert!(told.iter().any(|event| matches!(event, Event::PeerRequested { .. })));
    assert!(told.iter().any(|event| matches!(event, Event::PeerIntroduced { .. })));
}

#[test]
fn tickets_are_never_the_same() {
    let (mut desk, alice, bob) = pair();
    let mut tickets = Vec::new();
    for request in 1..=3 {
        ask(&mut desk, alice, request, "bob");
        let asked = offer(&desk.frames(bob));
        answer(&mut desk, bob, asked, true);
        let ticket = introduced(&desk.frames(alice)).ticket;
        desk.skip(bob);
        assert!(!tickets.contains(&ticket));
        tickets.push(ticket);
    }
}

#[test]
fn first_answer_of_several_devices_wins() {
    for accept in [true, false] {
        let (mut desk, alice, bob) = pair();
        let phone = desk.login("bob", 3);
        announce(&mut desk, phone, 5003, &[]);
        let silent = desk.login("bob", 4);
        ask(&mut desk, alice, 1, "bob");
        let asked = offer(&desk.frames(bob));
        assert_eq!(offer(&desk.frames(phone)), asked);
        assert_eq!(desk.frames(silent), [], "it announced nothing");
        answer(&mut desk, phone, asked, accept);
        assert_eq!(closed(&desk.frames(bob)).2, ErrorCode::AnsweredElsewhere);
        answer(&mut desk, bob, asked, true);
        assert_eq!(closed(&desk.frames(bob)).2, ErrorCode::Expired);
        let frames = desk.frames(alice);
        if accept {
            assert_eq!(introduced(&frames).device, DeviceId([3; 16]));
        } else {
            assert_eq!(closed(&frames), (OfferId(0), RequestId(1), ErrorCode::Denied));
        }
    }
}

#[test]
fn only_those_who_were_asked_can_answer() {
    let (mut desk, alice, bob) = pair();
    let mallory = desk.login("mallory", 9);
    announce(&mut desk, mallory, 5009, &[]);
    ask(&mut desk, alice, 1, "bob");
    let asked = offer(&desk.frames(bob));
    answer(&mut desk, mallory, asked, true);
    assert_eq!(closed(&desk.frames(mallory)).2, ErrorCode::Expired);
    answer(&mut desk, alice, asked, true);
    assert_eq!(closed(&desk.frames(alice)).2, ErrorCode::Expired, "nor can the asker");
    answer(&mut desk, bob, asked, true);
    assert_eq!(introduced(&desk.frames(alice)).peer.as_str(), "bob");
}

#[test]
fn unanswered_offer_expires_on_both_sides() {
    let (mut desk, alice, bob) = pair();
    ask(&mut desk, alice, 4, "bob");
    let asked = offer(&desk.frames(bob));
    let due = desk.now + core::time::Duration::from_secs(60);
    // Ping deadlines come first; nothing later than the offer's is waited for.
    assert!(desk.hub.poll_timeout().unwrap() <= due);
    for _ in 0..3 {
        desk.pass(19_000);
        desk.send(alice, &Ping { nonce: 1 });
        desk.send(bob, &Ping { nonce: 1 });
        desk.skip(alice);
        desk.skip(bob);
    }
    desk.pass(3_000);
    assert_eq!(closed(&desk.frames(alice)), (OfferId(0), RequestId(4), ErrorCode::Expired));
    assert_eq!(closed(&desk.frames(bob)), (asked, RequestId(0), ErrorCode::Expired));
}

#[test]
fn request_is_withdrawn_by_word_or_by_leaving() {
    let (mut desk, alice, bob) = pair();
    ask(&mut desk, alice, 1, "bob");
    let asked = offer(&desk.frames(bob));
    desk.send(alice, &PeerWithdraw { request: RequestId(2) });
    assert_eq!(desk.frames(bob), [], "no such request: it may have ended on its way");
    desk.send(alice, &PeerWithdraw { request: RequestId(1) });
    assert_eq!(closed(&desk.frames(bob)), (asked, RequestId(0), ErrorCode::Withdrawn));
    assert_eq!(closed(&desk.frames(alice)), (OfferId(0), RequestId(1), ErrorCode::Withdrawn));

    ask(&mut desk, alice, 2, "bob");
    let asked = offer(&desk.frames(bob));
    desk.hub.handle_eof(alice, desk.now);
    assert_eq!(closed(&desk.frames(bob)), (asked, RequestId(0), ErrorCode::Withdrawn));
}

#[test]
fn leaving_of_the_last_device_asked_means_offline() {
    let (mut desk, alice, bob) = pair();
    let phone = desk.login("bob", 3);
    announce(&mut desk, phone, 5003, &[]);
    ask(&mut desk, alice, 1, "bob");
    desk.hub.handle_eof(bob, desk.now);
    assert_eq!(desk.frames(alice), [], "the other device may still answer");
    desk.hub.handle_eof(phone, desk.now);
    assert_eq!(closed(&desk.frames(alice)), (OfferId(0), RequestId(1), ErrorCode::Offline));
}

#[test]
fn requests_that_cannot_work_are_refused_at_once() {
    let mut desk = Desk::new();
    let (alice, bob, carol) = (desk.login("alice", 1), desk.login("bob", 2), desk.login("carol", 3));
    let refused = |desk: &mut Desk, conn, to: &str| {
        ask(desk, conn, 7, to);
        let frames = desk.frames(conn);
        let (code, request, _) = errors(&frames)[0];
        assert_eq!(request, 7);
        code
    };
    assert_eq!(refused(&mut desk, alice, "bob"), ErrorCode::NoAnnounce);
    announce(&mut desk, alice, 0, &[]);
    assert_eq!(refused(&mut desk, alice, "alice"), ErrorCode::SelfRequest);
    assert_eq!(refused(&mut desk, alice, "ghost"), ErrorCode::Offline);
    assert_eq!(refused(&mut desk, alice, "carol"), ErrorCode::NoPeerPort, "she announced nothing");
    announce(&mut desk, bob, 0, &[]);
    assert_eq!(refused(&mut desk, alice, "bob"), ErrorCode::NoPeerPort, "neither can be dialled");
    announce(&mut desk, bob, 25, &[]);
    assert_eq!(refused(&mut desk, alice, "bob"), ErrorCode::NoPeerPort, "nobody is sent to a mail server");
    assert_eq!(desk.frames(carol), []);
    assert_eq!(desk.frames(bob), []);
}

#[test]
fn open_requests_are_bounded() {
    let (mut desk, alice, bob) = pair();
    for request in 1..=8 {
        ask(&mut desk, alice, request, "bob");
    }
    assert_eq!(desk.frames(alice), []);
    ask(&mut desk, alice, 9, "bob");
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::TooManyRequests);
    desk.send(alice, &PeerWithdraw { request: RequestId(3) });
    desk.skip(alice);
    ask(&mut desk, alice, 10, "bob");
    assert_eq!(desk.frames(alice), []);
    assert_eq!(desk.frames(bob).len(), 10);
}

#[test]
fn who_cannot_be_dialled_dials() {
    let mut desk = Desk::new();
    let alice = desk.login_from("203.0.113.1", "alice", 1);
    let bob = desk.login_from("203.0.113.2", "bob", 2);
    announce(&mut desk, alice, 5001, &[]);
    announce(&mut desk, bob, 0, &[]);
    ask(&mut desk, alice, 1, "bob");
    let asked = offer(&desk.frames(bob));
    answer(&mut desk, bob, asked, true);
    let (to_alice, to_bob) = (introduced(&desk.frames(alice)), introduced(&desk.frames(bob)));
    assert_eq!((to_alice.role, to_bob.role), (DialRole::Await, DialRole::Dial));
    assert_eq!(addresses(&to_alice), [""; 0]);
    assert_eq!(addresses(&to_bob), ["203.0.113.1:5001"]);
}

/// What each learns of the other's addresses after a yes.
fn learned(from: [&str; 2], candidates: [&[&str]; 2]) -> [Vec<String>; 2] {
    let mut desk = Desk::new();
    let alice = desk.login_from(from[0], "alice", 1);
    let bob = desk.login_from(from[1], "bob", 2);
    announce(&mut desk, alice, 5001, candidates[0]);
    announce(&mut desk, bob, 5002, candidates[1]);
    ask(&mut desk, alice, 1, "bob");
    let asked = offer(&desk.frames(bob));
    answer(&mut desk, bob, asked, true);
    let of = |frames: Vec<ToClient<'static>>| match frames[..] {
        [ToClient::PeerIntroduce(it)] => addresses(&it),
        _ => vec!["nothing".to_owned()],
    };
    [of(desk.frames(alice)), of(desk.frames(bob))]
}

#[test]
fn candidates_are_for_neighbours_only() {
    let home: [&[&str]; 2] = [&["192.168.1.10:5001"], &["192.168.1.11:5002"]];
    let [alice, bob] = learned(["203.0.113.1", "203.0.113.1"], home);
    assert_eq!(alice, ["203.0.113.1:5002", "192.168.1.11:5002"]);
    assert_eq!(bob, ["203.0.113.1:5001", "192.168.1.10:5001"]);
    let [alice, bob] = learned(["203.0.113.1", "203.0.113.2"], home);
    assert_eq!(alice, ["203.0.113.2:5002"]);
    assert_eq!(bob, ["203.0.113.1:5001"]);
}

#[test]
fn candidates_that_could_point_at_others_are_dropped() {
    let foreign: &[&str] = &["198.51.100.7:5002", "127.0.0.1:5002", "10.0.0.1:80", "[2001:db8::1]:5002"];
    let [alice, _] = learned(["203.0.113.1", "203.0.113.1"], [&[], foreign]);
    assert_eq!(alice, ["203.0.113.1:5002"]);
    let own: &[&str] = &["10.1.2.3:5002", "169.254.1.1:5002", "[fd00::1]:5002", "[fe80::1]:5002"];
    let [alice, _] = learned(["203.0.113.1", "203.0.113.1"], [&[], own]);
    assert_eq!(alice.len(), 5);
}

#[test]
fn loopback_is_shown_on_the_same_machine_only() {
    assert_eq!(learned(["127.0.0.1", "127.0.0.1"], [&[], &[]])[0], ["127.0.0.1:5002"]);
    // Who comes from elsewhere cannot dial it, so who is on the machine dials.
    let [alice, bob] = learned(["203.0.113.1", "127.0.0.1"], [&[], &[]]);
    assert_eq!(alice, [""; 0]);
    assert_eq!(bob, ["203.0.113.1:5001"]);
    // An IPv4 address in IPv6 clothes is the same address.
    assert_eq!(learned(["::ffff:127.0.0.1", "127.0.0.1"], [&[], &[]])[1], ["127.0.0.1:5001"]);
}

#[test]
fn nobody_learns_an_address_or_key_without_a_yes() {
    let (mut desk, alice, bob) = pair();
    ask(&mut desk, alice, 1, "bob");
    let asked = desk.frames(bob);
    assert!(!format!("{asked:?}").contains("203.0.113"));
    answer(&mut desk, bob, offer(&asked), false);
    let denied = desk.frames(alice);
    assert_eq!(closed(&denied).2, ErrorCode::Denied);
    assert_eq!(desk.frames(bob), []);
}

#[test]
fn the_newest_announcement_counts() {
    let (mut desk, alice, bob) = pair();
    ask(&mut desk, alice, 1, "bob");
    announce_raw(&mut desk, bob, 6002);
    let asked = offer(&desk.frames(bob));
    answer(&mut desk, bob, asked, true);
    assert_eq!(addresses(&introduced(&desk.frames(alice))), ["203.0.113.2:6002"]);
}

fn announce_raw(desk: &mut Desk, conn: ConnId, port: u16) {
    desk.send(conn, &Announce { port, link_key: LinkKey([9; 32]), candidates: List::new(&[]) });
}

#[test]
fn whoever_conceals_their_address_is_introduced_without_one() {
    let (mut desk, alice, bob) = pair();
    announce(&mut desk, alice, 5001, &["10.0.0.1:5001"]);
    ask_as(&mut desk, alice, 1, "bob", true);
    let offer_id = offer(&desk.frames(bob));
    answer(&mut desk, bob, offer_id, true);
    let to_bob = introduced(&desk.frames(bob));
    assert_eq!((addresses(&to_bob), to_bob.hidden), (vec![], false), "not even that there is one");
    assert_eq!(addresses(&introduced(&desk.frames(alice))), ["203.0.113.2:5002"]);

    ask(&mut desk, alice, 2, "bob");
    let offer_id = offer(&desk.frames(bob));
    desk.send(bob, &PeerAnswer { offer: offer_id, accept: true, concealed: true });
    assert_eq!(addresses(&introduced(&desk.frames(bob))), ["203.0.113.1:5001"]);
    let to_alice = introduced(&desk.frames(alice));
    assert_eq!((addresses(&to_alice), to_alice.hidden), (vec![], false));
    assert_eq!(to_alice.role, DialRole::Await);
    // The next introduction shows the address again: the word is for one only.
    ask(&mut desk, alice, 3, "bob");
    let offer_id = offer(&desk.frames(bob));
    answer(&mut desk, bob, offer_id, true);
    assert_eq!(addresses(&introduced(&desk.frames(alice))), ["203.0.113.2:5002"]);
}
