//! Many who are behind: what they cost in a while is bounded, they share pages, everybody has their turn, and all get everything.

use core::time::Duration;

use bytes::Buf as _;
use chatproto::hub::{ConnId, Event, LogRequest};
use chatproto::wire::*;

use crate::desk::*;

const PAGE: usize = 1024;

const TICK: Duration = Duration::from_millis(1);

/// A room with `count` messages, of which memory holds none, and people who come back to it.
fn desk(count: u64, change: impl FnOnce(&mut chatproto::hub::Config)) -> Desk {
    let mut desk = Desk::with(|config| {
        config.page_bytes = PAGE;
        config.recent_bytes = PAGE;
        config.max_devices = 64;
        change(config);
    });
    let alice = desk.member("alice", 1);
    desk.fill(alice, 1, count, 10);
    desk.hub.handle_eof(alice, desk.now);
    desk
}

/// People who log in, and enter together.
fn enter(desk: &mut Desk, cursors: &[u64]) -> Vec<ConnId> {
    let conns: Vec<_> =
        (0..cursors.len()).map(|at| desk.login("bob", u8::try_from(at).unwrap() + 2)).collect();
    let lobby = name("lobby");
    for (conn, cursor) in conns.iter().zip(cursors) {
        let join =
            Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: Some(*cursor) };
        desk.hub.handle_input(*conn, &join.to_bytes(), desk.now);
    }
    conns
}

/// Gives the log what the hub asks of it; how many pages that was.
fn ask_log(desk: &mut Desk) -> usize {
    let mut pages = 0;
    while let Some(event) = desk.hub.poll_event() {
        pages += usize::from(matches!(event, Event::Log(LogRequest::Read { .. })));
        desk.events.extend(desk.log.take(event, desk.now));
    }
    pages
}

/// Takes all that waits for a connection.
fn take(desk: &mut Desk, conn: ConnId, into: &mut Vec<u8>) {
    if let Some(queue) = desk.hub.outgoing(conn) {
        into.extend(queue.copy_to_bytes(queue.remaining()));
    }
}

/// What the turns of a crowd were like.
struct Turns {
    /// Pages that the log was asked for.
    pages: usize,
    most_under_way: usize,
    most_bytes: usize,
    /// What each got.
    received: Vec<Vec<u8>>,
}

/// Turns until everybody has everything up to `last`. In each, everybody reads all that there is.
fn play(desk: &mut Desk, conns: &[ConnId], last: u64) -> Turns {
    let mut turns =
        Turns { pages: 0, most_under_way: 0, most_bytes: 0, received: vec![Vec::new(); conns.len()] };
    for _ in 0..10_000 {
        desk.now = desk.now + TICK;
        desk.hub.handle_timeout(desk.now);
        let before: usize = turns.received.iter().map(Vec::len).sum();
        // As often as a driver may ask in one turn: no more comes for it.
        for _ in 0..4 {
            let asked = ask_log(desk);
            turns.pages += asked;
            turns.most_under_way = turns.most_under_way.max(asked);
            desk.log.answer(&mut desk.hub, desk.now);
            for (conn, received) in conns.iter().zip(&mut turns.received) {
                take(desk, *conn, received);
            }
        }
        let after: usize = turns.received.iter().map(Vec::len).sum();
        turns.most_bytes = turns.most_bytes.max(after - before);
        let is_live = |bytes: &Vec<u8>| {
            let frames = decode(bytes.clone().into());
            frames.iter().any(|frame| matches!(frame, ToClient::CaughtUp(it) if it.seq == last))
        };
        if after == before && turns.received.iter().all(is_live) {
            return turns;
        }
    }
    panic!("they never caught up");
}

#[test]
fn who_misses_the_same_gets_the_same_pages() {
    let alone = {
        let mut desk = desk(300, |_| {});
        let conns = enter(&mut desk, &[0]);
        play(&mut desk, &conns, 300)
    };
    let mut desk = desk(300, |_| {});
    let conns = enter(&mut desk, &[0; 40]);
    let turns = play(&mut desk, &conns, 300);
    assert!(alone.pages > 10, "{} pages", alone.pages);
    assert!(turns.pages <= 2 * alone.pages + 4, "{} pages for 40, {} for one", turns.pages, alone.pages);
    for bytes in turns.received {
        assert_eq!(seqs(&decode(bytes.into())), (1..=300).collect::<Vec<_>>());
    }
}

#[test]
fn who_begins_elsewhere_soon_shares_the_pages_of_the_others() {
    let mut desk = desk(600, |_| {});
    let cursors: Vec<u64> = (0..20).map(|at| at * 3).collect();
    let conns = enter(&mut desk, &cursors);
    let turns = play(&mut desk, &conns, 600);
    // Each alone would take 50 pages and more.
    assert!(turns.pages < 20 * 12, "{} pages for 20", turns.pages);
    for (bytes, cursor) in turns.received.into_iter().zip(cursors) {
        assert_eq!(seqs(&decode(bytes.into())), (cursor + 1..=600).collect::<Vec<_>>());
    }
}

#[test]
fn a_millisecond_gives_out_so_many_bytes_and_the_log_is_asked_for_so_many_pages() {
    let mut desk = desk(300, |config| {
        config.catch_up_bytes = 4 * PAGE;
        config.catch_up_reads = 3;
    });
    let cursors: Vec<u64> = (0..30).map(|at| at * 5).collect();
    let conns = enter(&mut desk, &cursors);
    let turns = play(&mut desk, &conns, 300);
    assert!(turns.most_under_way <= 3, "{} pages at once", turns.most_under_way);
    // The answer to `join` and the word that one is live count for themselves.
    let most = 4 * PAGE + PAGE + 30 * 200;
    assert!(turns.most_bytes <= most, "{} bytes in one millisecond", turns.most_bytes);
    for (bytes, cursor) in turns.received.into_iter().zip(cursors) {
        assert_eq!(seqs(&decode(bytes.into())), (cursor + 1..=300).collect::<Vec<_>>());
    }
}

#[test]
fn everybody_has_their_turn() {
    let mut desk = desk(600, |config| config.catch_up_bytes = PAGE);
    let conns = enter(&mut desk, &[0; 10]);
    let mut received = vec![Vec::new(); conns.len()];
    for _ in 0..40 {
        desk.now = desk.now + TICK;
        desk.hub.handle_timeout(desk.now);
        ask_log(&mut desk);
        desk.log.answer(&mut desk.hub, desk.now);
        for (conn, received) in conns.iter().zip(&mut received) {
            take(&mut desk, *conn, received);
        }
    }
    let lengths: Vec<_> = received.iter().map(Vec::len).collect();
    let (least, most) = (lengths.iter().min().unwrap(), lengths.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 3 * PAGE, "{lengths:?}");
    assert_eq!(desk.hub.poll_timeout(), Some(desk.now + TICK), "those who wait want the next millisecond");
}

#[test]
fn what_is_live_is_sent_before_what_was_missed() {
    let mut desk = desk(100, |_| {});
    let [carol, dave] = [desk.member("carol", 60), desk.member("dave", 61)];
    while desk.hub.poll_writable().is_some() {}
    let bob = enter(&mut desk, &[0])[0];
    while desk.hub.poll_writable().is_some() {}
    assert_eq!(ask_log(&mut desk), 1);
    desk.log.answer(&mut desk.hub, desk.now);
    desk.say(carol, 1, "lobby", "now");
    desk.now = desk.now + Duration::from_millis(COMMIT);
    desk.log.answer(&mut desk.hub, desk.now);
    let named: Vec<_> = core::iter::from_fn(|| desk.hub.poll_writable()).collect();
    let at = |conn| named.iter().position(|named| *named == conn).unwrap();
    assert!(at(bob) > at(carol) && at(bob) > at(dave), "{named:?}");
}

#[test]
fn who_leaves_while_in_line_holds_up_nobody() {
    let mut desk = desk(200, |config| {
        config.catch_up_bytes = PAGE;
        config.catch_up_reads = 1;
    });
    let conns = enter(&mut desk, &[0, 7, 13, 21, 34, 55, 89]);
    ask_log(&mut desk);
    for conn in [conns[1], conns[3], conns[6]] {
        desk.hub.handle_eof(conn, desk.now);
    }
    let staying = [conns[0], conns[2], conns[4], conns[5]];
    let turns = play(&mut desk, &staying, 200);
    for (bytes, cursor) in turns.received.into_iter().zip([0, 13, 34, 55]) {
        assert_eq!(seqs(&decode(bytes.into())), (cursor + 1..=200).collect::<Vec<_>>());
    }
}

#[test]
fn a_millisecond_that_begins_with_anything_else_is_nobodys_loss() {
    const LAST: u64 = 200;
    let mut desk = desk(LAST, |config| config.catch_up_bytes = 1);
    let other = desk.login("carol", 60);
    let conns = enter(&mut desk, &[0, 10, 20, 30, 40]);
    let mut received = vec![Vec::new(); conns.len()];
    let is_over = |received: &[Vec<u8>]| {
        let last = |bytes: &Vec<u8>| seqs(&decode(bytes.clone().into())).last().copied();
        received.iter().all(|bytes| last(bytes) == Some(LAST))
    };
    // As drivers do it: what has come goes first, and a deadline is looked at only when it is named.
    for _ in 0..2_000 {
        desk.now = desk.now + TICK;
        desk.hub.handle_input(other, &[], desk.now);
        desk.settle();
        for (conn, into) in conns.iter().zip(&mut received) {
            take(&mut desk, *conn, into);
        }
        desk.settle();
        if desk.hub.poll_timeout().is_some_and(|due| due <= desk.now) {
            desk.hub.handle_timeout(desk.now);
        }
    }
    assert!(is_over(&received));
}

#[test]
fn a_log_without_room_for_the_question_is_asked_again_and_nobody_is_sent_away() {
    let mut desk = desk(100, |config| config.catch_up_bytes = 8 * PAGE);
    let conns = enter(&mut desk, &[0, 40, 80]);
    let mut refused = 0;
    for _ in 0..20 {
        while let Some(event) = desk.hub.poll_event() {
            match event {
                Event::Log(LogRequest::Read { id, .. }) => {
                    refused += 1;
                    assert!(desk.hub.put_off_query(id));
                    assert!(!desk.hub.put_off_query(id), "it is answered");
                }
                other => desk.events.extend(desk.log.take(other, desk.now)),
            }
        }
        // No sooner than the next millisecond.
        assert_eq!(desk.hub.poll_timeout(), Some(desk.now + TICK));
        desk.now = desk.now + TICK;
        desk.hub.handle_timeout(desk.now);
    }
    assert!((20..=60).contains(&refused), "{refused} questions in 20 milliseconds");
    let turns = play(&mut desk, &conns, 100);
    for (bytes, cursor) in turns.received.into_iter().zip([0, 40, 80]) {
        assert_eq!(seqs(&decode(bytes.into())), (cursor + 1..=100).collect::<Vec<_>>());
    }
}
