//! What must not matter: how bytes are cut, when polls come, what a hostile server sends.

use bytes::{Buf as _, BytesMut};
use chatproto::session::{Event, Session, State};
use chatproto::wire::{
    Body as _, CaughtUp, Change, DirectRoom, Gap, Joined, LoginChallenge, NameRef, NoteRef, Ping, Posted,
    Presence, RequestId, RoomId, RoomKind,
};
use proptest::prelude::*;

use crate::rig::{ALICE, BOB, LOBBY, Rig, hello, lobby, login_ok, message, text};

/// All that a server says to a session that logs in, joins the lobby and says one thing.
fn conversation() -> Vec<u8> {
    let mut out = BytesMut::new();
    let name = NameRef::new("lobby").unwrap();
    let bob = NameRef::new("bob").unwrap();
    let topic = NoteRef::new("welcome").unwrap();
    LoginChallenge { data: Default::default() }.encode_frame(&mut out);
    login_ok().encode_frame(&mut out);
    let request = RequestId(1);
    Joined { request, room: LOBBY, kind: RoomKind::Group, name, topic, last: 3, cursor: 3 }
        .encode_frame(&mut out);
    CaughtUp { room: LOBBY, seq: 3 }.encode_frame(&mut out);
    DirectRoom { room: RoomId(2), with: bob, last: 500, over: false }.encode_frame(&mut out);
    Ping { nonce: 1 }.encode_frame(&mut out);
    for seq in [4, 5, 5, 9, 6] {
        out.extend_from_slice(&message(LOBBY, seq, BOB, "bob", &"long words ".repeat(30), false).to_bytes());
    }
    Presence { room: LOBBY, change: Change::Entered, device: BOB, user: bob }.encode_frame(&mut out);
    Gap { room: LOBBY, from: 7, to: 8 }.encode_frame(&mut out);
    out.extend_from_slice(&message(LOBBY, 9, ALICE, "alice", "hello", false).to_bytes());
    Posted { counter: 1, room: LOBBY, seq: 9, time: 3 }.encode_frame(&mut out);
    out.extend_from_slice(&[0, 0, 0, 2, 0x90, 0]);
    // In the end it breaks the rules.
    hello().encode_frame(&mut out);
    out.to_vec()
}

fn begun() -> Rig {
    let mut rig = Rig::new();
    rig.session.say(lobby(), &text("hello")).unwrap();
    rig.session.connected(rig.now);
    rig.receive(&hello());
    rig.session.login_one_way("OPAQUE", b"").unwrap();
    rig
}

fn drain(session: &mut Session) -> (Vec<Event>, Vec<u8>) {
    let events = std::iter::from_fn(|| session.poll_event()).collect();
    let queue = session.outgoing();
    (events, queue.copy_to_bytes(queue.remaining()).to_vec())
}

/// The outcome when everything comes at once and is looked at in the end.
fn reference() -> (Vec<Event>, Vec<u8>) {
    let mut rig = begun();
    rig.session.handle_input(&conversation(), rig.now);
    assert_eq!(rig.session.state(), State::Closing);
    drain(&mut rig.session)
}

#[test]
fn the_reference_delivers_what_it_should() {
    let mut rig = begun();
    rig.session.handle_input(&conversation(), rig.now);
    let events = rig.events();
    let count = |wanted: fn(&Event) -> bool| events.iter().filter(|event| wanted(event)).count();
    assert_eq!(count(|event| matches!(event, Event::Message { .. })), 4);
    assert_eq!(count(|event| matches!(event, Event::Gap { from: 7, to: 8, .. })), 1);
    assert_eq!(count(|event| matches!(event, Event::Posted { counter: 1, .. })), 1);
}

#[test]
fn one_byte_at_a_time_gives_the_same() {
    let mut rig = begun();
    for byte in conversation() {
        rig.session.handle_input(&[byte], rig.now);
    }
    assert_eq!(drain(&mut rig.session), reference());
}

proptest! {
    #[test]
    fn any_cutting_of_the_bytes_gives_the_same(cuts in prop::collection::vec(0_usize..5_000, 0..40)) {
        let bytes = conversation();
        let mut cuts = cuts.into_iter().map(|cut| cut % (bytes.len() + 1)).collect::<Vec<_>>();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let mut rig = begun();
        for piece in cuts.windows(2) {
            rig.session.handle_input(&bytes[piece[0]..piece[1]], rig.now);
        }
        prop_assert_eq!(drain(&mut rig.session), reference());
    }

    #[test]
    fn any_order_of_polls_gives_the_same(polls in prop::collection::vec(0_u8..7, 0..600)) {
        let mut rig = begun();
        let (mut events, mut sent) = (Vec::new(), Vec::new());
        let bytes = conversation();
        let mut polls = polls.into_iter();
        for piece in bytes.chunks(97) {
            rig.session.handle_input(piece, rig.now);
            for poll in polls.by_ref().take(20) {
                match poll {
                    0 => events.extend(rig.session.poll_event()),
                    1 => {
                        let queue = rig.session.outgoing();
                        let some = queue.remaining().min(11);
                        sent.extend(queue.copy_to_bytes(some));
                    }
                    2 => rig.session.handle_timeout(rig.now),
                    3 => prop_assert_eq!(rig.session.poll_timeout(), rig.session.poll_timeout()),
                    4 => prop_assert_eq!(rig.session.wants_read(), rig.session.wants_read()),
                    5 => prop_assert_eq!(rig.session.is_finished(), rig.session.is_finished()),
                    _ => rig.session.handle_input(&[], rig.now),
                }
            }
        }
        let (rest, tail) = drain(&mut rig.session);
        events.extend(rest);
        sent.extend(tail);
        prop_assert_eq!((events, sent), reference());
    }

    #[test]
    fn no_bytes_of_a_server_break_the_session(
        bytes in prop::collection::vec(any::<u8>(), 0..600),
        cut in 0_usize..4_000,
    ) {
        let mut rig = begun();
        let legal = conversation();
        rig.session.handle_input(&legal[..cut % legal.len()], rig.now);
        rig.session.handle_input(&bytes, rig.now);
        rig.session.handle_eof(rig.now);
        // Whatever it was, the session comes back by itself or says why not.
        let ended = rig.events().into_iter().any(|event| {
            matches!(event, Event::Lost { .. } | Event::LoginFailed { .. })
        });
        prop_assert!(ended);
        prop_assert!(rig.session.is_finished());
        prop_assert!(matches!(rig.session.state(), State::Offline | State::Stopped));
    }
}
