//! The log's promises: order, numbers without gap, nothing twice, nothing half.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::{
    collections::VecDeque,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use chatserver::store::{
    DataDir, DbError, Durability, HouseChange, Outcome, Read, Refused, Reply, RoomKind, Store, StoreConfig,
    Write, WriteError,
};
use crossbeam_channel::{Receiver, Sender, bounded};
use store_support::{DEVICE, PATIENCE, Running, append, create, recall};

#[test]
fn outcomes_come_in_the_order_of_requests_and_numbers_without_gap() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.send(create(1, 1, "lobby"));
    run.send(create(2, 2, "garden"));
    for n in 1..=1_000 {
        run.send(append(2 + n, if n % 3 == 0 { 2 } else { 1 }, n, "hello"));
    }
    let outcomes = run.outcomes(1_002);
    assert_eq!(outcomes.iter().map(Outcome::id).collect::<Vec<_>>(), (1..=1_002).collect::<Vec<_>>());
    let (mut lobby, mut garden) = (0, 0);
    for outcome in &outcomes[2..] {
        let Outcome::Committed { id, seq, .. } = outcome else { panic!("{outcome:?}") };
        let last = if (id - 2) % 3 == 0 { &mut garden } else { &mut lobby };
        *last += 1;
        assert_eq!(*seq, *last);
    }
    assert_eq!((lobby, garden), (667, 333));
    run.store.finish().unwrap();
}

#[test]
fn what_waits_for_a_flush_shares_the_next_one() {
    let held = Held::start(&StoreConfig::default());
    for n in 1..=5_000 {
        held.store.writer.try_send(append(n, 1, n, "hello")).unwrap();
    }
    assert_eq!(held.finish().iter().map(Vec::len).collect::<Vec<_>>(), [1, 4_096, 904]);
}

#[test]
fn a_full_queue_gives_the_write_back() {
    let held = Held::start(&StoreConfig { max_queued_writes: 2, ..StoreConfig::default() });
    held.store.writer.try_send(append(1, 1, 1, "one")).unwrap();
    held.store.writer.try_send(append(2, 1, 2, "two")).unwrap();
    let refused = held.store.writer.try_send(append(3, 1, 3, "three")).unwrap_err();
    assert_eq!(refused, Refused::Full(append(3, 1, 3, "three")));
    assert_eq!(ids(&held.finish()), [0, 1, 2]);
}

#[test]
fn what_is_handed_over_together_is_committed_together() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
    let (sizes, batches) = crossbeam_channel::unbounded();
    let sink = Box::new(move |batch: Vec<Outcome>| sizes.send(batch.len()).unwrap());
    let store = Store::start(lock, &StoreConfig::default(), sink, Arc::new(drop)).unwrap();
    let next = || batches.recv_timeout(PATIENCE).unwrap();
    store.writer.try_send(create(0, 1, "lobby")).unwrap();
    assert_eq!(next(), 1);
    for round in 0..20 {
        let mut writes = (1..=50).map(|n| append(n, 1, round * 50 + n, "hello")).collect();
        store.writer.try_send_all(&mut writes).unwrap();
        assert_eq!((writes.len(), next()), (0, 50));
    }
    store.finish().unwrap();
}

#[test]
fn a_handover_that_does_not_fit_leaves_its_end_behind() {
    let held = Held::start(&StoreConfig { max_queued_writes: 2, ..StoreConfig::default() });
    let mut writes = (1..=4).map(|n| append(n, 1, n, "hello")).collect::<VecDeque<_>>();
    assert_eq!(held.store.writer.try_send_all(&mut writes), Err(Refused::Full(())));
    assert_eq!(writes, [append(3, 1, 3, "hello"), append(4, 1, 4, "hello")]);
    assert_eq!(ids(&held.finish()), [0, 1, 2]);
}

/// A store whose writer has made a room and is held at its report of that: what is sent now gathers.
struct Held {
    _dir: tempfile::TempDir,
    store: Store,
    open: Sender<()>,
    batches: Receiver<Vec<Outcome>>,
}

impl Held {
    fn start(config: &StoreConfig) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
        let (entered, at_gate) = bounded(0);
        let (open, gate) = bounded::<()>(0);
        let (reports, batches) = crossbeam_channel::unbounded();
        let mut is_first = true;
        let sink = Box::new(move |batch: Vec<Outcome>| {
            reports.send(batch).unwrap();
            if std::mem::take(&mut is_first) {
                entered.send(()).unwrap();
                gate.recv().unwrap();
            }
        });
        let store = Store::start(lock, config, sink, Arc::new(drop)).unwrap();
        store.writer.try_send(create(0, 1, "lobby")).unwrap();
        at_gate.recv_timeout(PATIENCE).unwrap();
        Self { _dir: dir, store, open, batches }
    }

    /// Lets the writer go on, and ends it; what it reported, commit by commit.
    fn finish(self) -> Vec<Vec<Outcome>> {
        self.open.send(()).unwrap();
        self.store.finish().unwrap();
        self.batches.iter().collect()
    }
}

fn ids(batches: &[Vec<Outcome>]) -> Vec<u64> {
    batches.iter().flatten().map(Outcome::id).collect()
}

#[test]
fn numbering_goes_on_and_duplicates_stay_duplicates_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    run.create_room(2, "garden");
    assert_eq!(run.say(1, 1, "one"), 1);
    assert_eq!(run.say(1, 2, "two"), 2);
    // Twice in one commit, and once more in another room.
    run.send(append(10, 1, 3, "three"));
    run.send(append(11, 1, 3, "three"));
    run.send(append(12, 2, 3, "three"));
    let outcomes = run.outcomes(3);
    let Outcome::Committed { id: 10, seq: 3, time_ms } = outcomes[0] else { panic!("{outcomes:?}") };
    assert_eq!(outcomes[1], Outcome::Duplicate { id: 11, room: 1, seq: 3, time_ms });
    assert_eq!(outcomes[2], Outcome::Duplicate { id: 12, room: 1, seq: 3, time_ms });
    run.store.finish().unwrap();

    let run = Running::start(dir.path());
    let rooms: Vec<_> =
        run.store.rooms().iter().map(|room| (room.id, room.name.as_str(), room.last_seq)).collect();
    assert_eq!(rooms, [(1, "lobby", 3), (2, "garden", 0)]);
    assert_eq!(run.store.rooms()[0].last_ms, time_ms);
    assert_eq!(run.one(append(20, 1, 3, "three")), Outcome::Duplicate { id: 20, room: 1, seq: 3, time_ms });
    assert_eq!(run.say(1, 4, "four"), 4);
    assert_eq!(run.say(2, 5, "first here"), 1);
    let texts: Vec<_> = run.whole_room(1).into_iter().map(|message| message.text).collect();
    assert_eq!(texts, ["one", "two", "three", "four"]);
}

#[test]
fn a_recall_finds_what_was_stored_and_stores_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    assert_eq!(run.one(recall(1, 5)), Outcome::Absent { id: 1 });
    run.send(append(2, 1, 5, "once"));
    run.send(recall(3, 5));
    let outcomes = run.outcomes(2);
    let Outcome::Committed { time_ms, .. } = outcomes[0] else { panic!("not stored") };
    assert_eq!(outcomes[1], Outcome::Duplicate { id: 3, room: 1, seq: 1, time_ms });
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    assert_eq!(run.one(recall(4, 5)), Outcome::Duplicate { id: 4, room: 1, seq: 1, time_ms });
    assert_eq!(run.one(recall(5, u64::MAX)), Outcome::Absent { id: 5 });
    assert_eq!(run.whole_room(1).len(), 1);
}

#[test]
fn the_log_can_be_read_in_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    run.say(1, 5, "hello");
    let conn = rusqlite::Connection::open(dir.path().join("chat.db")).unwrap();
    let row = conn.query_row("SELECT room, seq, time, sender, text, device, counter FROM log", [], |row| {
        let time: String = row.get(2)?;
        assert!(time.starts_with("20") && time.ends_with('Z'), "{time}");
        let said = (row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, String>(3)?);
        Ok((said, row.get::<_, String>(4)?, row.get::<_, String>(5)?, row.get::<_, i64>(6)?))
    });
    let said = ("lobby".to_owned(), 1, "alice".to_owned());
    assert_eq!(row.unwrap(), (said, "hello".to_owned(), "07".repeat(16), 5));
}

#[test]
fn the_same_counter_of_another_device_or_sender_is_another_message() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    for (id, sender, device) in [(1, "alice", [1; 16]), (2, "alice", [2; 16]), (3, "bob", [1; 16])] {
        let text = "hello".to_owned();
        let said = run.one(Write::Append { id, room: 1, sender: sender.into(), device, counter: 1, text });
        assert!(matches!(said, Outcome::Committed { seq, .. } if seq == id), "{said:?}");
    }
}

#[test]
fn one_bad_write_does_not_fail_its_neighbours() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    run.send(append(1, 1, 1, "good"));
    run.send(append(2, 99, 2, "no such room"));
    run.send(append(3, 1, u64::MAX, "no such counter"));
    run.send(create(4, 1, "another"));
    run.send(create(5, 5, "lobby"));
    run.send(topic(6, 99, "?"));
    run.send(topic(7, 1, "the weather"));
    run.send(append(8, 1, 3, "good too"));
    let outcomes = run.outcomes(8);
    let failed = |id, error| Outcome::Failed { id, error };
    assert!(matches!(outcomes[0], Outcome::Committed { id: 1, seq: 1, .. }), "{outcomes:?}");
    assert_eq!(outcomes[1], failed(2, WriteError::NoSuchRoom(99)));
    assert_eq!(outcomes[2], failed(3, WriteError::CounterTooLarge(u64::MAX)));
    assert_eq!(outcomes[3], failed(4, WriteError::RoomTaken { room: 1, name: "another".into() }));
    assert_eq!(outcomes[4], failed(5, WriteError::RoomTaken { room: 5, name: "lobby".into() }));
    assert_eq!(outcomes[5], failed(6, WriteError::NoSuchRoom(99)));
    assert_eq!(outcomes[6], Outcome::Moderated { id: 7, room: 1 });
    assert!(matches!(outcomes[7], Outcome::Committed { id: 8, seq: 2, .. }), "{outcomes:?}");
    run.store.finish().unwrap();
    assert_eq!(Running::start(dir.path()).store.rooms()[0].topic, "the weather");
}

fn topic(id: u64, room: u32, topic: &str) -> Write {
    Write::Moderate {
        id,
        room,
        by: Some("alice".into()),
        action: "topic",
        change: Box::new(HouseChange::Topic),
        user: None,
        seconds: 0,
        note: topic.into(),
    }
}

#[test]
fn a_room_that_is_created_again_stays_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    let first = run.one(create(1, 1, "lobby"));
    let Outcome::RoomCreated { id: 1, room: 1, created_ms } = first else { panic!("{first:?}") };
    run.say(1, 1, "one");
    assert_eq!(run.one(create(2, 1, "lobby")), Outcome::RoomCreated { id: 2, room: 1, created_ms });
    assert_eq!(run.say(1, 2, "two"), 2);
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    assert_eq!(run.one(create(3, 1, "lobby")), Outcome::RoomCreated { id: 3, room: 1, created_ms });
    assert_eq!(run.say(1, 3, "three"), 3);
}

#[test]
fn a_direct_room_may_share_its_name_with_a_group() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    let (kind, name) = (RoomKind::Direct, "lobby".to_owned());
    let created =
        run.one(Write::CreateRoom { id: 2, room: 2, kind, name, by: None, owner: None, is_private: false });
    assert!(matches!(created, Outcome::RoomCreated { id: 2, room: 2, .. }), "{created:?}");
    run.store.finish().unwrap();
    let kinds: Vec<_> = Running::start(dir.path()).store.rooms().iter().map(|room| room.kind).collect();
    assert_eq!(kinds, [RoomKind::Group, RoomKind::Direct]);
}

#[test]
fn times_never_run_backwards_in_a_room() {
    static NOW: AtomicU64 = AtomicU64::new(5_000);
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { clock: || NOW.load(Ordering::SeqCst), ..StoreConfig::default() };
    let time = |outcome| match outcome {
        Outcome::Committed { time_ms, .. } => time_ms,
        other => panic!("{other:?}"),
    };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    assert_eq!(time(run.one(append(1, 1, 1, "a"))), 5_000);
    NOW.store(4_000, Ordering::SeqCst);
    assert_eq!(time(run.one(append(2, 1, 2, "b"))), 5_000);
    run.store.finish().unwrap();
    let run = Running::start_with(dir.path(), &config);
    assert_eq!(time(run.one(append(3, 1, 3, "c"))), 5_000);
    NOW.store(6_000, Ordering::SeqCst);
    assert_eq!(time(run.one(append(4, 1, 4, "d"))), 6_000);
}

#[test]
fn what_was_reported_is_in_a_copy_taken_without_a_shutdown() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    for n in 1..=500 {
        run.send(append(n, 1, n, "must survive"));
    }
    run.outcomes(500);
    // What a killed process leaves behind: the file and its write-ahead log, without a checkpoint at the end.
    for name in ["chat.db", "chat.db-wal"] {
        fs::copy(dir.path().join(name), copy.path().join(name)).unwrap();
    }
    let revived = Running::start(copy.path());
    let seqs: Vec<_> = revived.whole_room(1).iter().map(|message| message.seq).collect();
    assert_eq!(seqs, (1..=500).collect::<Vec<_>>());
    assert_eq!(revived.say(1, 501, "goes on"), 501);
}

#[test]
fn a_torn_write_ahead_log_loses_its_end_only() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    for n in 1..=50 {
        run.say(1, n, "one commit each");
    }
    fs::copy(dir.path().join("chat.db"), copy.path().join("chat.db")).unwrap();
    let wal = fs::read(dir.path().join("chat.db-wal")).unwrap();
    fs::write(copy.path().join("chat.db-wal"), &wal[..wal.len() - 1_000]).unwrap();
    let revived = Running::start(copy.path());
    let kept = revived.whole_room(1).len() as u64;
    assert!(kept < 50, "the cut took the last commit");
    // The number is given again, and the say that was lost is not taken for a duplicate.
    assert_eq!(revived.say(1, kept + 1, "said again"), kept + 1);
}

#[test]
fn a_full_file_fails_the_whole_batch_and_consumes_no_number() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { max_file_bytes: Some(168 << 10), ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    let mut counter = 0;
    let error = loop {
        counter += 1;
        match run.one(append(counter, 1, counter, &"x".repeat(4_000))) {
            Outcome::Committed { seq, .. } => assert_eq!(seq, counter),
            Outcome::Failed { error, .. } => break error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(error, WriteError::Database(DbError::Full));
    assert!(counter > 5, "something fitted in");
    let said = run.whole_room(1).len() as u64;
    assert_eq!(said, counter - 1);
    run.store.finish().unwrap();

    let run = Running::start(dir.path());
    assert_eq!(run.say(1, counter, "there is room again"), counter);
}

#[test]
fn pages_are_bounded_in_rows_and_bytes_and_tell_of_more() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    for n in 1..=10 {
        run.say(1, n, &"x".repeat(95));
    }
    let seqs = |reply| match reply {
        Reply::Page { messages, more, room: 1, .. } => {
            (messages.iter().map(|message| message.seq).collect::<Vec<_>>(), more)
        }
        other => panic!("{other:?}"),
    };
    let page =
        |after, limit, max_bytes| seqs(run.read(Read::Page { id: 1, room: 1, after, limit, max_bytes }));
    let before =
        |before, limit, max_bytes| seqs(run.read(Read::Before { id: 1, room: 1, before, limit, max_bytes }));
    assert_eq!(page(0, 3, 10_000), (vec![1, 2, 3], true));
    assert_eq!(page(8, 3, 10_000), (vec![9, 10], false));
    assert_eq!(page(7, 3, 10_000), (vec![8, 9, 10], false));
    assert_eq!(page(10, 3, 10_000), (vec![], false));
    assert_eq!(page(u64::MAX, 3, 10_000), (vec![], false));
    // Five bytes of sender and 95 of text make a hundred.
    assert_eq!(page(0, 10, 300), (vec![1, 2, 3], true));
    assert_eq!(page(0, 10, 299), (vec![1, 2], true));
    assert_eq!(page(0, 0, 0), (vec![1], true));
    assert_eq!(before(u64::MAX, 3, 10_000), (vec![8, 9, 10], true));
    assert_eq!(before(4, 3, 10_000), (vec![1, 2, 3], false));
    assert_eq!(before(4, 10, 200), (vec![2, 3], true));
    assert_eq!(before(1, 10, 10_000), (vec![], false));
    assert_eq!(before(0, 10, 10_000), (vec![], false));
    let around =
        |seq, limit, max_bytes| seqs(run.read(Read::Around { id: 1, room: 1, seq, limit, max_bytes }));
    assert_eq!(around(5, 4, 10_000), (vec![3, 4, 5, 6], true));
    assert_eq!(around(5, 1, 10_000), (vec![5], true));
    assert_eq!(around(2, 6, 10_000), (vec![1, 2, 3, 4, 5, 6], true));
    assert_eq!(around(5, 100, 10_000), ((1..=10).collect(), false));
    assert_eq!(around(5, 10, 400), (vec![3, 4, 5, 6], true));
    assert_eq!(around(99, 4, 10_000), (vec![9, 10], true));
    assert_eq!(around(0, 2, 10_000), (vec![1, 2], true));
}

#[test]
fn messages_come_back_as_they_were_said() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    let text = "안녕 \"quoted\" ; DROP TABLE messages; --";
    run.say(1, i64::MAX as u64, text);
    let message = run.whole_room(1).remove(0);
    assert_eq!(
        (message.sender.as_str(), message.device, message.counter),
        ("alice", DEVICE, i64::MAX as u64)
    );
    assert_eq!(message.text, text);
}

#[test]
fn durability_os_keeps_the_log_and_off_goes_on_behind_the_numbers_that_were_given() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { durability: Durability::Os, ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    run.say(1, 1, "kept");
    run.store.finish().unwrap();
    let off = StoreConfig { durability: Durability::Off, ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &off);
    let number = |id, room, last| Write::Number { id, room, last };
    assert_eq!(run.one(number(7, 1, 500)), Outcome::Numbered { id: 7, room: 1, last: 500 });
    let nowhere = Outcome::Failed { id: 8, error: WriteError::NoSuchRoom(9) };
    assert_eq!(run.one(number(8, 9, 500)), nowhere);
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    assert_eq!((run.store.rooms()[0].last_seq, run.whole_room(1).len()), (500, 1));
    assert_eq!(run.say(1, 2, "on the disk again"), 501);
}

#[test]
fn a_clean_shutdown_leaves_everything_in_one_file() {
    let (dir, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = Running::start(dir.path());
    run.send(create(0, 1, "lobby"));
    for n in 1..=100 {
        run.send(append(n, 1, n, "queued"));
    }
    // What is queued is committed and reported before `finish` returns.
    run.store.finish().unwrap();
    fs::copy(dir.path().join("chat.db"), copy.path().join("chat.db")).unwrap();
    assert!(!dir.path().join("chat.db-wal").exists());
    assert_eq!(Running::start(copy.path()).whole_room(1).len(), 100);
}
