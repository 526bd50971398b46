//! Coming back: exactly what was missed, from memory or from the log, and live from then on.

use chatproto::hub::{ConnId, Event, Label, LogRequest, Record};
use chatproto::testing::Rng;
use chatproto::wire::*;

use crate::desk::*;

/// A room with `count` messages, and nobody in it any more: memory holds none of them.
fn room_with(count: u64) -> Desk {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.fill(alice, 1, count, 10);
    desk.hub.handle_eof(alice, desk.now);
    desk
}

fn caught_up(frames: &[ToClient<'_>]) -> Vec<u64> {
    let seq = |frame: &ToClient<'_>| match frame {
        ToClient::CaughtUp(it) => Some(it.seq),
        _ => None,
    };
    frames.iter().filter_map(seq).collect()
}

#[test]
fn without_a_cursor_one_enters_at_the_end() {
    let mut desk = room_with(5);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", None);
    let frames = desk.frames(bob);
    assert_eq!(joined(&frames).cursor, 5);
    assert_eq!(seqs(&frames), []);
    assert_eq!(caught_up(&frames), [5]);
}

#[test]
fn what_was_missed_comes_from_the_log_in_pages() {
    let mut desk = room_with(600);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", Some(3));
    let frames = desk.frames(bob);
    assert_eq!((joined(&frames).last, joined(&frames).cursor), (600, 3));
    assert_eq!(seqs(&frames), (4..=600).collect::<Vec<_>>());
    assert!(messages(&frames).iter().all(|(.., missed)| *missed));
    assert_eq!(caught_up(&frames), [600]);
    desk.say(bob, 1, "lobby", "live");
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(601, "live", false)]);
}

#[test]
fn what_was_missed_comes_from_memory_while_others_are_there() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.fill(alice, 1, 20, 10);
    let bob = desk.login("bob", 2);
    let lobby = name("lobby");
    let join = Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: Some(15) };
    desk.hub.handle_input(bob, &join.to_bytes(), desk.now);
    while let Some(event) = desk.hub.poll_event() {
        assert!(!matches!(event, Event::Log(LogRequest::Read { .. })), "memory has it");
    }
    let frames = desk.frames(bob);
    assert_eq!(seqs(&frames), [16, 17, 18, 19, 20]);
    assert!(messages(&frames).iter().all(|(.., missed)| *missed), "missed, wherever it came from");
    assert_eq!(caught_up(&frames), [20]);
}

#[test]
fn cursor_of_another_log_counts_as_the_end() {
    let mut desk = room_with(5);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", Some(1_000));
    let frames = desk.frames(bob);
    assert_eq!(joined(&frames).cursor, 5);
    assert_eq!(caught_up(&frames), [5]);
    assert_eq!(seqs(&frames), []);
}

#[test]
fn numbers_that_retention_dropped_are_told_as_a_gap() {
    let mut desk = room_with(10);
    desk.log.forget(&Label::Group(name("lobby")), 6);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", Some(2));
    let frames = desk.frames(bob);
    assert_eq!(gaps(&frames), [(3, 6)]);
    assert_eq!(seqs(&frames), [7, 8, 9, 10]);
    assert_eq!(caught_up(&frames), [10]);
}

fn gaps(frames: &[ToClient<'_>]) -> Vec<(u64, u64)> {
    let gap = |frame: &ToClient<'_>| match frame {
        ToClient::Gap(gap) => Some((gap.from, gap.to)),
        _ => None,
    };
    frames.iter().filter_map(gap).collect()
}

#[test]
fn a_room_of_which_nothing_is_left_is_one_gap() {
    let mut desk = room_with(10);
    desk.log.forget(&Label::Group(name("lobby")), 10);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", Some(2));
    let frames = desk.frames(bob);
    assert_eq!((gaps(&frames), caught_up(&frames), seqs(&frames)), (vec![(3, 10)], vec![10], vec![]));
    desk.say(bob, 1, "lobby", "anew");
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(11, "anew", false)]);
}

#[test]
fn holes_within_a_page_are_gaps_in_their_places() {
    let mut desk = room_with(10);
    let bob = desk.login("bob", 2);
    let lobby = name("lobby");
    let join = Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: Some(2) };
    desk.hub.handle_input(bob, &join.to_bytes(), desk.now);
    let id = loop {
        if let Event::Log(LogRequest::Read { id, after: 2, .. }) =
            desk.hub.poll_event().expect("the log is asked")
        {
            break id;
        }
    };
    let kept = |record: &&Record| [4, 5, 9].contains(&record.seq);
    let records = desk.log.records(&Label::Group(lobby.clone()));
    let records: Vec<Record> = records.iter().filter(kept).cloned().collect();
    assert!(desk.hub.records(id, Some(&records)));
    let frames = desk.frames(bob);
    assert_eq!((gaps(&frames), seqs(&frames)), (vec![(3, 3), (6, 8)], vec![4, 5, 9, 10]));
    assert_eq!(caught_up(&frames), [10]);
}

#[test]
fn a_page_that_never_comes_ends_the_connection_and_not_the_promise() {
    let mut desk = room_with(10);
    let bob = desk.login("bob", 2);
    let query = join_and_ask(&mut desk, bob, 0);
    assert!(desk.hub.records(query, None));
    assert_eq!(bye(&desk.frames(bob)), Some(CloseReason::ShuttingDown));
}

/// Joins the lobby and gives the question that the hub asks the log then.
fn join_and_ask(desk: &mut Desk, conn: ConnId, cursor: u64) -> chatproto::hub::QueryId {
    let lobby = name("lobby");
    let join = Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: Some(cursor) };
    desk.hub.handle_input(conn, &join.to_bytes(), desk.now);
    let mut asked = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        if let Event::Log(LogRequest::Read { id, .. }) = event {
            asked.push(id);
        }
    }
    assert_eq!(asked.len(), 1);
    asked[0]
}

#[test]
fn a_log_that_is_ahead_of_the_hub_makes_no_duplicate() {
    let mut desk = room_with(3);
    let (alice, bob) = (desk.member("alice", 1), desk.login("bob", 2));
    let query = join_and_ask(&mut desk, bob, 0);
    desk.say(alice, 100, "lobby", "four");
    // It is committed, and the page has it before the hub hears of it.
    let mut page = desk.log.records(&Label::Group(name("lobby"))).to_vec();
    let four = Record { seq: 4, counter: 100, text: Text::new("four").unwrap(), ..page[2].clone() };
    page.push(four);
    assert!(desk.hub.records(query, Some(&page)));
    let frames = desk.frames(bob);
    assert_eq!(seqs(&frames), [1, 2, 3]);
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(4, "four", false)]);
}

#[test]
fn joining_again_and_leaving_while_a_page_is_under_way_is_safe() {
    let mut desk = room_with(300);
    let bob = desk.login("bob", 2);
    let room = desk.hub.router().find(&Label::Group(name("lobby"))).unwrap();
    let query = join_and_ask(&mut desk, bob, 10);
    // Another cursor while the page is under way: no second page is asked for.
    let target = Target::Id(room);
    for cursor in [20, 30, 290] {
        let join = Join { request: RequestId(2), target, cursor: Some(cursor) };
        desk.hub.handle_input(bob, &join.to_bytes(), desk.now);
        while let Some(event) = desk.hub.poll_event() {
            assert!(!matches!(event, Event::Log(LogRequest::Read { .. })));
        }
    }
    let page = desk.log.records(&Label::Group(name("lobby")))[10..20].to_vec();
    assert!(desk.hub.records(query, Some(&page)));
    let frames = desk.frames(bob);
    assert_eq!(seqs(&frames), (291..=300).collect::<Vec<_>>(), "only what the last cursor asks for");
    assert_eq!(caught_up(&frames), [300]);

    let query = join_and_ask(&mut desk, bob, 0);
    desk.send(bob, &Leave { room });
    assert!(desk.hub.records(query, Some(&page)));
    assert_eq!(seqs(&desk.frames(bob)), []);
}

#[test]
fn one_page_at_a_time_for_all_rooms_of_a_connection() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    for room in 0..20 {
        desk.join(alice, &format!("r{room}"), None);
        desk.say(alice, room + 1, &format!("r{room}"), "x");
    }
    desk.commit();
    let mut desk = desk.restart();
    let bob = desk.login("bob", 2);
    for room in 0..20 {
        let room = name(&format!("r{room}"));
        let join = Join { request: RequestId(1), target: Target::Room(room.borrow()), cursor: Some(0) };
        desk.hub.handle_input(bob, &join.to_bytes(), desk.now);
    }
    let mut under_way = 0;
    while let Some(event) = desk.hub.poll_event() {
        under_way += u32::from(matches!(event, Event::Log(LogRequest::Read { .. })));
        desk.events.extend(desk.log.take(event, desk.now));
    }
    assert_eq!(under_way, 1);
    let frames = desk.frames(bob);
    assert_eq!(seqs(&frames), [1; 20]);
    assert_eq!(caught_up(&frames), [1; 20]);
}

#[test]
fn catching_up_meets_a_busy_room_without_loss_or_duplicate() {
    for seed in 0..200 {
        let mut rng = Rng::new(seed);
        let mut desk = Desk::with(|config| {
            config.page_messages = 1 + u16::try_from(seed % 7).unwrap();
            config.recent_bytes = usize::try_from(seed % 3).unwrap() * 200;
            config.page_bytes = 100 + usize::try_from(seed % 5).unwrap() * 300;
        });
        let alice = desk.member("alice", 1);
        desk.fill(alice, 1, 20, 5);
        let bob = desk.login("bob", 2);
        let cursor = rng.below(20);
        desk.join(bob, "lobby", Some(cursor));
        let mut seen = Vec::new();
        let mut counter = 21;
        for _ in 0..60 {
            match rng.below(4) {
                0 => {
                    desk.say(alice, counter, "lobby", "more");
                    counter += 1;
                }
                1 => desk.pass(rng.below(2 * COMMIT)),
                2 => {
                    // Bob's socket takes some bytes at a time.
                    let bytes = rng.index(120);
                    if let Some(queue) = desk.hub.outgoing(bob) {
                        use bytes::Buf as _;
                        let taken = bytes.min(queue.remaining());
                        seen.extend(queue.copy_to_bytes(taken));
                    }
                }
                _ => desk.settle(),
            }
        }
        desk.commit();
        let rest = drain(&mut desk, bob);
        seen.extend(rest);
        let frames = decode(seen.into());
        let expected: Vec<u64> = (cursor + 1..counter).collect();
        assert_eq!(seqs(&frames), expected, "seed {seed}");
        assert_eq!(caught_up(&frames).len(), 1, "seed {seed}: it turns live once");
    }
}

fn drain(desk: &mut Desk, conn: ConnId) -> Vec<u8> {
    use bytes::Buf as _;
    let mut bytes = Vec::new();
    loop {
        desk.settle();
        let queue = desk.hub.outgoing(conn).unwrap();
        if !queue.has_remaining() {
            return bytes;
        }
        bytes.extend(queue.copy_to_bytes(queue.remaining()));
    }
}
