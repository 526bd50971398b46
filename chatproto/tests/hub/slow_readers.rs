//! A slow reader costs bounded memory, delays nobody and loses nothing.

use bytes::Buf as _;
use chatproto::wire::*;

use crate::desk::*;

const QUEUE: usize = 8 * 1024;

fn desk() -> Desk {
    let mut desk = Desk::with(|config| {
        config.limits.max_queue = QUEUE;
        config.limits.max_queue_hard = 64 * 1024;
        config.page_bytes = 4 * 1024;
        config.recent_bytes = 4 * 1024;
        config.catch_up_bytes = 1024 * 1024;
    });
    // The lobby is in the log before the first word.
    desk.commit();
    desk
}

#[test]
fn slow_reader_stays_bounded_and_then_gets_everything_in_order() {
    let mut desk = desk();
    let (alice, slow) = (desk.member("alice", 1), desk.member("slow", 2));
    desk.skip(alice);
    let mut largest = 0;
    for counter in 1..=500 {
        desk.say(alice, counter, "lobby", &"x".repeat(1000));
        desk.pass(COMMIT);
        largest = largest.max(desk.hub.outgoing(slow).unwrap().remaining());
        assert_eq!(seqs(&desk.frames(alice)), [counter], "nobody else waits");
    }
    assert!(largest <= QUEUE + 4 * 1024 + 2 * 1100, "{largest} bytes waited");
    let frames = desk.frames(slow);
    assert_eq!(seqs(&frames), (1..=500).collect::<Vec<_>>());
    let live = messages(&frames).iter().filter(|(.., missed)| !missed).count();
    assert!((1..20).contains(&live), "{live} fitted before it fell behind");
    assert!(matches!(frames.last(), Some(ToClient::CaughtUp(CaughtUp { seq: 500, .. }))));
    desk.say(alice, 501, "lobby", "live again");
    desk.pass(COMMIT);
    assert_eq!(messages(&desk.frames(slow)), [(501, "live again", false)]);
}

#[test]
fn slow_reader_that_reads_a_little_catches_up_at_its_own_pace() {
    let mut desk = desk();
    let (alice, slow) = (desk.member("alice", 1), desk.member("slow", 2));
    let mut seen = Vec::new();
    for counter in 1..=400 {
        desk.say(alice, counter, "lobby", &"y".repeat(500));
        desk.pass(COMMIT);
        desk.skip(alice);
        let queue = desk.hub.outgoing(slow).unwrap();
        let taken = queue.remaining().min(300);
        assert!(queue.remaining() <= QUEUE + 6 * 1024);
        seen.extend(queue.copy_to_bytes(taken));
    }
    loop {
        desk.settle();
        let queue = desk.hub.outgoing(slow).unwrap();
        if !queue.has_remaining() {
            break;
        }
        seen.extend(queue.copy_to_bytes(queue.remaining().min(700)));
    }
    assert_eq!(seqs(&decode(seen.into())), (1..=400).collect::<Vec<_>>());
}

#[test]
fn what_another_thread_has_not_sent_fills_the_queue_as_well() {
    let mut desk = desk();
    let (alice, slow) = (desk.member("alice", 1), desk.member("slow", 2));
    let mut handed_over = Vec::new();
    for counter in 1..=100 {
        desk.say(alice, counter, "lobby", &"z".repeat(500));
        desk.pass(COMMIT);
        desk.skip(alice);
        let queue = desk.hub.outgoing(slow).unwrap();
        handed_over.extend(queue.copy_to_bytes(queue.remaining()));
        queue.set_in_transit(handed_over.len());
    }
    assert!(handed_over.len() <= QUEUE + 6 * 1024, "{} bytes are on their way", handed_over.len());
    // Now the other side reads; nothing but the bytes in transit held it back.
    desk.hub.outgoing(slow).unwrap().set_in_transit(0);
    let mut frames = decode(handed_over.into());
    frames.extend(desk.frames(slow));
    assert_eq!(seqs(&frames), (1..=100).collect::<Vec<_>>());
}

#[test]
fn presence_after_falling_behind_is_one_snapshot() {
    let mut desk = desk();
    let (alice, slow) = (desk.member("alice", 1), desk.member("slow", 2));
    desk.member("carol", 3);
    for counter in 1..=30 {
        desk.say(alice, counter, "lobby", &"x".repeat(1000));
        desk.pass(COMMIT);
        desk.skip(alice);
    }
    let dave = desk.member("dave", 4);
    desk.member("erin", 5);
    desk.hub.handle_eof(dave, desk.now);
    let frames = desk.frames(slow);
    let snapshots: Vec<Vec<&str>> = frames
        .iter()
        .filter_map(|frame| match frame {
            ToClient::Members(it) if it.request == RequestId(0) => {
                Some(it.members.iter().map(|member| member.user.as_str()).collect())
            }
            _ => None,
        })
        .collect();
    assert_eq!(snapshots, [["alice", "carol", "erin", "slow"]]);
    let members = frames.iter().position(|frame| matches!(frame, ToClient::Members(_))).unwrap();
    let changes = presence(&frames[..members]);
    assert!(!changes.contains(&(Change::Entered, "dave")) && !changes.contains(&(Change::Departed, "dave")));
}

#[test]
fn a_large_turn_is_given_out_in_pieces() {
    let mut desk = desk();
    let (alice, slow) = (desk.member("alice", 1), desk.member("slow", 2));
    for counter in 1..=100 {
        desk.say(alice, counter, "lobby", &"x".repeat(1000));
    }
    // All of them are committed in two turns.
    desk.commit();
    let waiting = desk.hub.outgoing(slow).unwrap().remaining();
    assert!(waiting <= QUEUE + 4 * 1024 + 1100, "{waiting} bytes wait");
    assert_eq!(seqs(&desk.frames(slow)), (1..=100).collect::<Vec<_>>());
}

#[test]
fn who_asks_and_never_reads_ends_as_too_slow() {
    let mut desk = desk();
    let greedy = desk.login("greedy", 1);
    let ping = Ping { nonce: 1 }.to_bytes();
    for _ in 0..6_000 {
        desk.hub.handle_input(greedy, &ping, desk.now);
        assert!(desk.hub.outgoing(greedy).unwrap().remaining() <= 64 * 1024 + 1024);
    }
    assert!(!desk.hub.wants_read(greedy));
    let frames = desk.frames(greedy);
    assert_eq!(bye(&frames), Some(CloseReason::TooSlow));
    assert!(desk.hub.is_finished(greedy));
}

#[test]
fn last_bytes_that_nobody_takes_are_let_go_at_their_deadline() {
    let mut desk = desk();
    let conn = desk.login("alice", 1);
    desk.hub.remove_user(&name("alice"), desk.now);
    assert!(!desk.hub.is_finished(conn));
    desk.pass(4_999);
    assert!(!desk.hub.is_finished(conn));
    desk.pass(1);
    assert!(desk.hub.is_finished(conn));
    let named: Vec<_> = core::iter::from_fn(|| desk.hub.poll_writable()).collect();
    assert_eq!(named, [conn], "the driver is told");
}
