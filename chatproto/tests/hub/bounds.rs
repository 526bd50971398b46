//! What breaks the rules ends its own connection with the right error, and nobody else's.

use chatproto::hub::Ended;
use chatproto::hub::Event;
use chatproto::wire::*;

use crate::desk::*;

/// What a member who sends `bytes` hears; the other member must not notice.
fn offend(bytes: &[u8]) -> Vec<ToClient<'static>> {
    let mut desk = Desk::new();
    let (good, bad) = (desk.member("good", 1), desk.member("bad", 2));
    desk.skip(good);
    desk.take_events();
    desk.hub.handle_input(bad, bytes, desk.now);
    let frames = desk.frames(bad);
    if bye(&frames).is_some() {
        assert!(desk.hub.is_finished(bad));
        assert_eq!(presence(&desk.frames(good)), [(Change::Departed, "bad")]);
        // Bytes after the end are dropped.
        desk.hub.handle_input(bad, &Ping { nonce: 1 }.to_bytes(), desk.now);
        desk.hub.handle_input(bad, &[0xff; 64], desk.now);
        assert_eq!(desk.frames(bad), []);
        let events = desk.take_events();
        let [Event::Closed { reason: Ended::Closed(CloseReason::Violation, Some(text)), .. }] = &events[..]
        else {
            panic!("{events:?}")
        };
        assert!(!text.as_str().is_empty());
    }
    desk.send(good, &Ping { nonce: 5 });
    assert_eq!(desk.frames(good), [ToClient::Pong(Pong { nonce: 5 })]);
    frames
}

fn refused_with(frames: &[ToClient<'static>], code: ErrorCode, about: u8) {
    let [ToClient::Error(error), ToClient::Bye(bye)] = frames else { panic!("{frames:?}") };
    assert_eq!((error.code, error.about, bye.reason), (code, about, CloseReason::Violation), "{error:?}");
}

#[test]
fn giant_and_empty_lengths_are_refused_on_the_header() {
    refused_with(&offend(&[0xff, 0xff, 0xff, 0xff]), ErrorCode::TooLarge, 0);
    refused_with(&offend(&(MAX_FRAME + 1).to_be_bytes()), ErrorCode::TooLarge, 0);
    refused_with(&offend(&[0, 0, 0, 0]), ErrorCode::Malformed, 0);
    let frames = offend(b"GET / HTTP/1.1\r\n");
    refused_with(&frames, ErrorCode::TooLarge, 0);
    assert!(errors(&frames)[0].2.contains("HTTP"));
}

#[test]
fn strangers_may_not_send_long_frames() {
    let mut desk = Desk::new();
    let stranger = desk.connect("192.0.2.1");
    desk.hub.handle_input(stranger, &(MAX_HELLO_FRAME + 1).to_be_bytes(), desk.now);
    refused_with(&desk.frames(stranger), ErrorCode::TooLarge, 0);
}

#[test]
fn malformed_bodies_name_the_frame() {
    let ping = FrameType::Ping.number();
    refused_with(&offend(&[0, 0, 0, 2, ping, 0]), ErrorCode::Malformed, ping);
    let mut long = vec![0, 0, 0, 10, ping];
    long.extend([0; 9]);
    refused_with(&offend(&long), ErrorCode::Malformed, ping);
}

#[test]
fn unknown_frames_are_refused_or_skipped_by_their_bit() {
    refused_with(&offend(&[0, 0, 0, 1, 0x7e]), ErrorCode::UnknownFrame, 0x7e);
    assert_eq!(offend(&[0, 0, 0, 3, 0xfe, 1, 2]), [], "may be ignored");
}

#[test]
fn frames_of_the_other_direction_are_refused() {
    let posted = Posted { counter: 1, room: RoomId(1), seq: 1, time: 0 };
    refused_with(&offend(&posted.to_bytes()), ErrorCode::WrongState, FrameType::Posted.number());
    let say = LinkSay { counter: 1, text: TextRef::new("x").unwrap() };
    refused_with(&offend(&say.to_bytes()), ErrorCode::WrongState, FrameType::LinkSay.number());
}

#[test]
fn what_came_before_the_offence_is_still_done() {
    let mut bytes = Ping { nonce: 3 }.to_bytes().to_vec();
    bytes.extend([0, 0, 0, 0]);
    let frames = offend(&bytes);
    assert_eq!(frames[0], ToClient::Pong(Pong { nonce: 3 }));
    refused_with(&frames[1..], ErrorCode::Malformed, 0);
}

#[test]
fn half_a_frame_waits_for_its_rest() {
    let ping = Ping { nonce: 9 }.to_bytes();
    let mut desk = Desk::new();
    let conn = desk.member("alice", 1);
    for cut in 1..ping.len() {
        desk.hub.handle_input(conn, &ping[..cut], desk.now);
        assert_eq!(desk.frames(conn), []);
        desk.hub.handle_input(conn, &ping[cut..], desk.now);
        assert_eq!(desk.frames(conn), [ToClient::Pong(Pong { nonce: 9 })]);
    }
}

#[test]
fn floods_of_cheap_frames_are_cut_off_and_honest_ones_are_not() {
    // Ignorable, pong, ping: whatever is cheapest.
    for flood in [vec![0, 0, 0, 1, 0xff], Pong { nonce: 1 }.to_bytes().to_vec()] {
        let mut desk = Desk::with(|config| config.limits.max_frames = 100);
        let conn = desk.login("alice", 1);
        desk.pass(1_000);
        let burst = flood.repeat(100);
        for _ in 0..3 {
            desk.hub.handle_input(conn, &burst, desk.now);
            assert_eq!(desk.frames(conn), [], "a whole budget in each interval");
            desk.pass(1_000);
        }
        desk.hub.handle_input(conn, &burst, desk.now);
        desk.hub.handle_input(conn, &flood, desk.now);
        refused_with(&desk.frames(conn), ErrorCode::Flood, flood[4]);
    }
}

#[test]
fn silence_is_answered_with_a_ping_and_then_with_the_end() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.skip(bob);
    desk.pass(29_999);
    assert_eq!(desk.frames(alice), []);
    desk.pass(1);
    assert!(matches!(desk.frames(alice)[..], [ToClient::Ping(_)]));
    desk.pass(10_000);
    assert_eq!(desk.frames(alice), [], "one ping for each silence");
    desk.send(bob, &Pong { nonce: 0 });
    desk.skip(bob);
    desk.pass(29_999);
    assert_eq!(desk.frames(bob), []);
    desk.pass(1);
    assert!(matches!(desk.frames(bob)[..], [ToClient::Ping(_)]), "a ping for each silence");
    desk.pass(19_999);
    assert_eq!(bye(&desk.frames(alice)), None);
    desk.pass(1);
    assert_eq!(bye(&desk.frames(alice)), Some(CloseReason::Idle));
    let frames = desk.frames(bob);
    assert_eq!(bye(&frames), None);
    assert_eq!(presence(&frames), [(Change::Departed, "alice")]);
}

#[test]
fn spurious_timeouts_are_harmless() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.skip(alice);
    for _ in 0..100 {
        desk.hub.handle_timeout(desk.now);
    }
    assert_eq!(desk.frames(alice), []);
    assert_eq!(desk.hub.poll_timeout(), Some(desk.now + core::time::Duration::from_secs(30)));
}

#[test]
fn garbage_never_ends_more_than_its_own_connection() {
    let mut rng = chatproto::testing::Rng::new(1);
    for _ in 0..500 {
        let mut bytes = vec![0; rng.index(200)];
        rng.fill(&mut bytes);
        offend_quietly(&bytes);
    }
}

fn offend_quietly(bytes: &[u8]) {
    let mut desk = Desk::new();
    let good = desk.member("good", 1);
    let strangers = [desk.connect("192.0.2.1"), desk.login("bad", 2)];
    for conn in strangers {
        desk.hub.handle_input(conn, bytes, desk.now);
        desk.skip(conn);
    }
    desk.skip(good);
    desk.send(good, &Ping { nonce: 5 });
    assert_eq!(desk.frames(good), [ToClient::Pong(Pong { nonce: 5 })]);
}

#[test]
fn a_clock_that_jumps_ends_whom_it_must_and_breaks_nothing() {
    let mut desk = Desk::new();
    let stranger = desk.connect("192.0.2.1");
    let alice = desk.member("alice", 1);
    desk.skip(alice);
    let before = desk.now;
    // Back: nothing is due, nobody ends.
    desk.now = chatproto::Instant::from_millis(0);
    desk.hub.handle_timeout(desk.now);
    desk.send(alice, &Ping { nonce: 1 });
    assert_eq!(desk.frames(alice), [ToClient::Pong(Pong { nonce: 1 })]);
    assert_eq!(desk.frames(stranger), []);
    // And a hundred years on: everybody who has not been heard since is told so, once.
    desk.now = before;
    desk.pass(100 * 365 * 86_400_000);
    assert_eq!(bye(&desk.frames(stranger)), Some(CloseReason::HandshakeTimeout));
    desk.pass(0);
    assert_eq!(bye(&desk.frames(alice)), Some(CloseReason::Idle));
}
