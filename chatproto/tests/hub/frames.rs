//! What is said in one turn goes out in one frame, and whatever happens in between keeps its place.

use chatproto::hub::{CatchUp, ConnId, House, Label, Record, Router};
use chatproto::wire::*;

use crate::desk::*;

/// Says something in one turn.
fn say(desk: &mut Desk, conn: ConnId, counters: core::ops::RangeInclusive<u64>, text: &str) {
    let lobby = name("lobby");
    for counter in counters {
        let (target, text) = (Target::Room(lobby.borrow()), TextRef::new(text).unwrap());
        desk.hub.handle_input(conn, &Say { counter, target, text }.to_bytes(), desk.now);
    }
}

/// Numbers by frame.
fn grouped(frames: &[ToClient<'static>]) -> Vec<Vec<u64>> {
    together(frames).iter().map(|frame| frame.iter().map(|message| message.seq).collect()).collect()
}

#[test]
fn what_is_said_in_a_turn_is_one_frame() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    say(&mut desk, alice, 1..=5, "hello");
    say(&mut desk, bob, 1..=1, "hello yourself");
    desk.commit();
    let heard = desk.frames(alice);
    assert_eq!(grouped(&heard), [[1, 2, 3, 4, 5, 6]]);
    let whose: Vec<_> = together(&heard).concat().iter().map(|it| (it.from.as_str(), it.counter)).collect();
    assert_eq!(whose, [("alice", 1), ("alice", 2), ("alice", 3), ("alice", 4), ("alice", 5), ("bob", 1)]);
    assert_eq!(grouped(&desk.frames(bob)), [[1, 2, 3, 4, 5, 6]]);
    assert_eq!(desk.hub.deliveries(), 12, "each message to each of them");
    desk.say(alice, 6, "lobby", "the next turn");
    desk.commit();
    assert_eq!(grouped(&desk.frames(bob)), [[7]]);
}

#[test]
fn who_comes_and_goes_within_a_turn_keeps_the_place_among_the_messages() {
    let mut router = Router::new([], 64 * 1024, 64 * 1024);
    let (alice, bob) = (name("alice"), name("bob"));
    let room = router.create(Label::Group(name("lobby")), House::default());
    let (first, second) = (DeviceId([1; 16]), DeviceId([2; 16]));
    let text = Text::new("hello").unwrap();
    let record = |seq| {
        let (from, text) = (alice.clone(), text.clone());
        Record { room, seq, time: 7, from, device: first, counter: seq, text }
    };
    let [here, there] = [1, 2].map(ConnId);
    assert!(router.join(room, here, &alice, first, 0));
    let mut targets = Vec::new();
    while router.poll_batch(&mut targets).is_some() {}
    assert!(matches!(router.catch_up(room, here, 0), CatchUp::Live { seq: 0 }));
    assert!(router.commit(&record(1)) && router.commit(&record(2)));
    router.join(room, there, &bob, second, 2);
    assert!(router.commit(&record(3)) && !router.commit(&record(3)) && router.commit(&record(4)));
    let batch = router.poll_batch(&mut targets).unwrap();
    assert_eq!((batch.before, batch.messages, &targets[..]), (0, 4, &[here][..]));
    let frames = decode(batch.frames);
    assert!(matches!(frames[1], ToClient::Presence(_)), "{frames:?}");
    assert_eq!(grouped(&frames), [[1, 2], [3, 4]]);
    // Who meets the room from memory gets them without what came between.
    let CatchUp::Recent { frames, seq: 4 } = router.catch_up(room, there, 1) else { panic!() };
    let frames = decode(frames);
    assert_eq!(grouped(&frames), [[2, 3, 4]]);
    assert!(messages(&frames).iter().all(|(.., missed)| *missed));
}

#[test]
fn a_turn_longer_than_everybody_takes_is_several_frames() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    say(&mut desk, alice, 1..=40, &"x".repeat(1_000));
    desk.commit();
    let queue = desk.hub.outgoing(bob).unwrap();
    let bytes = bytes::Buf::copy_to_bytes(queue, usize::MAX);
    let longest = longest_frame(&bytes);
    assert!(longest <= MIN_FRAME && longest > MIN_FRAME - 1_100, "{longest}");
    let frames = decode(bytes);
    assert_eq!(seqs(&frames), (1..=40).collect::<Vec<_>>());
    assert_eq!(frames.len(), 3);
}

#[test]
fn what_is_caught_up_is_together_too_wherever_it_comes_from() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    // Turn by turn, so that memory holds it in many batches.
    for counter in 1..=30 {
        desk.say(alice, counter, "lobby", "hello");
        desk.commit();
    }
    let from_memory = desk.login("bob", 2);
    desk.join(from_memory, "lobby", Some(3));
    let heard = desk.frames(from_memory);
    assert_eq!(grouped(&heard), [(4..=30).collect::<Vec<_>>()]);
    for conn in [alice, from_memory] {
        desk.hub.handle_eof(conn, desk.now);
    }
    let from_log = desk.login("carol", 3);
    desk.join(from_log, "lobby", Some(3));
    let read = desk.frames(from_log);
    assert_eq!(together(&read), together(&heard));
    assert!(messages(&read).iter().all(|(.., missed)| *missed));
}

/// What the longest header claims.
fn longest_frame(mut bytes: &[u8]) -> u32 {
    let mut longest = 0;
    while let Some((length, rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes(*length);
        longest = longest.max(length);
        bytes = &rest[length as usize..];
    }
    longest
}
