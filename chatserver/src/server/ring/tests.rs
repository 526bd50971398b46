//! A ring whose disk is the test.

use chatproto::wire::Text;

use super::*;
use crate::store::{HouseRow, RoomKind};

const ROOM: RoomId = RoomId(1);

fn row(last_seq: u64) -> RoomRow {
    RoomRow {
        id: ROOM.0,
        kind: RoomKind::Group,
        name: "lobby".into(),
        topic: String::new(),
        created_ms: 0,
        last_seq,
        last_ms: 0,
        house: HouseRow::default(),
    }
}

fn ring(last: u64) -> Ring {
    Ring::new(&[row(last)], &config())
}

fn config() -> StoreConfig {
    StoreConfig { ring_messages: 5, ring_bytes: 10_000, ..StoreConfig::default() }
}

fn record(counter: u64, text: &str) -> Record {
    Record {
        room: ROOM,
        seq: 0,
        time: 0,
        from: Name::new("alice").unwrap(),
        device: DeviceId([1; 16]),
        counter,
        text: Text::new(text).unwrap(),
    }
}

fn who() -> (Name, DeviceId) {
    (Name::new("alice").unwrap(), DeviceId([1; 16]))
}

fn say(ring: &mut Ring, counter: u64) {
    ring.append(AppendId(counter), record(counter, "x"), 7);
}

/// The disk takes what is to be reserved.
fn reserve(ring: &mut Ring) -> Vec<u64> {
    let taken = ring.take_reservations();
    taken.iter().for_each(|reservation| ring.reserved(reservation.room, reservation.last));
    taken.iter().map(|reservation| reservation.last).collect()
}

/// Numbers that were given, in order.
fn given(ring: &mut Ring) -> Vec<u64> {
    let seq = |outcome: &Outcome| {
        let Outcome::Committed { seq, .. } = outcome else { panic!("{outcome:?}") };
        *seq
    };
    ring.take_outcomes().iter().map(seq).collect()
}

fn seqs(ring: &Ring, anchor: Anchor, seq: u64) -> Vec<u64> {
    ring.history(ROOM, anchor, seq, 3).iter().map(|record| record.seq).collect()
}

#[test]
fn no_number_is_given_before_it_is_reserved() {
    let mut ring = ring(40);
    say(&mut ring, 1);
    say(&mut ring, 2);
    assert_eq!(ring.take_outcomes(), []);
    assert_eq!(reserve(&mut ring), [40 + BLOCK]);
    assert_eq!(given(&mut ring), [41, 42]);
    say(&mut ring, 3);
    assert_eq!(given(&mut ring), [43], "in the same turn from now on");
}

#[test]
fn the_next_block_is_asked_for_before_it_is_needed_and_ends_are_exact() {
    let mut ring = ring(0);
    let mut asked = Vec::new();
    for counter in 1..=2 * BLOCK {
        say(&mut ring, counter);
        asked.extend(reserve(&mut ring));
        assert_eq!(given(&mut ring), [counter], "nothing waits but the first");
    }
    assert_eq!(asked, [BLOCK, 2 * BLOCK, 3 * BLOCK]);
    assert_eq!(ring.ends().collect::<Vec<_>>(), [Reservation { room: ROOM, last: 2 * BLOCK }]);
}

#[test]
fn a_disk_that_does_not_answer_holds_messages_back_in_their_order_and_one_that_refuses_fails_them() {
    let mut ring = ring(0);
    for counter in 1..=3 {
        say(&mut ring, counter);
    }
    say(&mut ring, 1);
    ring.recall(AppendId(50), Some(ROOM), who(), 2);
    assert_eq!(ring.take_reservations().len(), 1);
    let error = WriteError::NoSuchRoom(1);
    ring.not_reserved(ROOM, &error);
    let failed = |id| Outcome::Failed { id, error: error.clone() };
    assert_eq!(
        ring.take_outcomes(),
        [failed(1), failed(2), failed(3), failed(1), Outcome::Absent { id: 50 }]
    );
    say(&mut ring, 4);
    say(&mut ring, 4);
    ring.recall(AppendId(51), Some(ROOM), who(), 4);
    assert_eq!(reserve(&mut ring), [BLOCK]);
    let known = |id| Outcome::Duplicate { id, room: 1, seq: 1, time_ms: 7 };
    let stored = Outcome::Committed { id: 4, seq: 1, time_ms: 7 };
    assert_eq!(ring.take_outcomes(), [stored, known(4), known(51)]);
}

#[test]
fn the_oldest_fall_out_by_number_and_by_bytes_and_stay_said() {
    let mut ring = ring(0);
    for counter in 1..=8 {
        say(&mut ring, counter);
    }
    reserve(&mut ring);
    assert_eq!(given(&mut ring), (1..=8).collect::<Vec<_>>());
    assert_eq!(seqs(&ring, Anchor::After, 0), [4, 5, 6]);
    assert_eq!(seqs(&ring, Anchor::Before, 6), [4, 5]);
    assert_eq!(seqs(&ring, Anchor::Around, 7), [6, 7, 8]);
    assert_eq!(seqs(&ring, Anchor::After, 8), Vec::<u64>::new());
    assert_eq!(ring.history(RoomId(9), Anchor::After, 0, 9), []);
    say(&mut ring, 2);
    ring.recall(AppendId(60), Some(ROOM), who(), 5);
    ring.recall(AppendId(61), None, who(), 5);
    ring.recall(AppendId(62), None, who(), 9);
    let expected = [
        Outcome::Forgotten { id: 2 },
        Outcome::Duplicate { id: 60, room: 1, seq: 5, time_ms: 7 },
        Outcome::Forgotten { id: 61 },
        Outcome::Absent { id: 62 },
    ];
    assert_eq!(ring.take_outcomes(), expected);

    for counter in 9..=11 {
        ring.append(AppendId(counter), record(counter, &"y".repeat(4_000)), 8);
    }
    assert_eq!(given(&mut ring), [9, 10, 11]);
    assert_eq!(seqs(&ring, Anchor::After, 0), [10, 11], "two of these are below 10,000 bytes, three above");
}

#[test]
fn times_do_not_run_backwards() {
    let mut ring = ring(0);
    ring.append(AppendId(1), record(1, "x"), 100);
    ring.append(AppendId(2), record(2, "x"), 50);
    reserve(&mut ring);
    let times = |outcome: &Outcome| {
        let Outcome::Committed { time_ms, .. } = outcome else { panic!("{outcome:?}") };
        *time_ms
    };
    assert_eq!(ring.take_outcomes().iter().map(times).collect::<Vec<_>>(), [100, 100]);
}

#[test]
fn all_rooms_together_have_a_bound_and_the_oldest_messages_go_first() {
    let rooms = (1..=50).map(|id| RoomRow { id, name: format!("room{id}"), ..row(0) }).collect::<Vec<_>>();
    let max = 20 * (RECORD_BYTES + 900);
    let mut ring = Ring::new(&rooms, &StoreConfig { ring_total_bytes: max, ..config() });
    let text = "x".repeat(900);
    for counter in 1..=200_u64 {
        let room = RoomId(u32::try_from(counter % 50).unwrap() + 1);
        ring.append(AppendId(counter), Record { room, ..record(counter, &text) }, counter);
        reserve(&mut ring);
        let held = ring.rooms.values().map(|room| room.bytes).sum::<usize>();
        assert!(held == ring.total_bytes && held <= max, "{held} of {max}");
    }
    assert_eq!(given(&mut ring).len(), 200);
    // The latest are there, wherever they were said; of what is gone the numbers stay.
    let held = ring.rooms.values().flat_map(|room| room.records.iter().map(|record| record.counter));
    let held = held.collect::<std::collections::BTreeSet<_>>();
    assert!(
        (18..=20).contains(&held.len())
            && held.iter().eq((201 - held.len() as u64..=200).collect::<Vec<_>>().iter()),
        "{held:?}"
    );
    ring.append(AppendId(201), Record { room: RoomId(30), ..record(201, "y") }, 300);
    assert_eq!(given(&mut ring), [5]);
}

#[test]
fn what_is_larger_than_the_bound_over_all_rooms_is_said_and_not_kept() {
    let mut ring = Ring::new(&[row(0)], &StoreConfig { ring_total_bytes: 100, ..config() });
    say(&mut ring, 1);
    reserve(&mut ring);
    ring.append(AppendId(2), record(2, &"x".repeat(500)), 7);
    assert_eq!(given(&mut ring), [1, 2]);
    assert_eq!(ring.history(ROOM, Anchor::After, 0, 10), []);
    assert_eq!(ring.total_bytes, 0);
}

#[test]
fn a_room_that_is_gone_is_forgotten_and_what_waits_in_it_is_refused() {
    let mut ring = ring(0);
    say(&mut ring, 1);
    reserve(&mut ring);
    assert_eq!(given(&mut ring), [1]);
    ring.rooms.get_mut(&ROOM).unwrap().reserved = 1;
    say(&mut ring, 2);
    ring.forget(ROOM);
    let refused = Outcome::Failed { id: 2, error: WriteError::NoSuchRoom(ROOM.0) };
    assert_eq!(ring.take_outcomes(), [refused]);
    assert_eq!((ring.rooms.len(), ring.total_bytes), (0, 0));
    // Words that come late make it no room again: the disk knows of none.
    say(&mut ring, 3);
    ring.not_reserved(ROOM, &WriteError::NoSuchRoom(ROOM.0));
    assert!(ring.rooms.is_empty());
    assert!(matches!(ring.take_outcomes()[..], [Outcome::Failed { id: 3, .. }]));
}
