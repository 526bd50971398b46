//! One step at a time, on a clock of the test's.

use std::time::Duration;

use super::{
    super::{
        append::{Outcome, Write},
        data_dir::DataDir,
        rows::RoomKind,
    },
    *,
};

fn open(dir: &tempfile::TempDir, keep_ms: Option<u64>, keep_bytes: Option<u64>) -> Log {
    let keep_time = keep_ms.map(Duration::from_millis);
    let config = StoreConfig { keep_time, keep_bytes, ..StoreConfig::default() };
    Log::open(&DataDir::open(dir.path()).unwrap(), &config).unwrap()
}

fn create(log: &mut Log, room: u32) {
    let (kind, name) = (RoomKind::Group, format!("room {room}"));
    log.commit(&[Write::CreateRoom { id: 0, room, kind, name, by: None, owner: None, is_private: false }], 1);
}

fn write(room: u32, sender: &str, counter: u64, text: &str) -> Write {
    let (sender, text) = (sender.to_owned(), text.to_owned());
    Write::Append { id: counter, room, sender, device: [1; 16], counter, text }
}

fn say(log: &mut Log, room: u32, sender: &str, counter: u64, now_ms: u64) -> Outcome {
    log.commit(&[write(room, sender, counter, "hello")], now_ms).remove(0)
}

fn recall(log: &mut Log, sender: &str, counter: u64) -> Outcome {
    log.commit(&[Write::Recall { id: 0, sender: sender.to_owned(), device: [1; 16], counter }], 1).remove(0)
}

fn seqs(log: &Log, room: u32) -> Vec<i64> {
    let mut select = log.conn.prepare("SELECT seq FROM messages WHERE room = ?1 ORDER BY seq").unwrap();
    select.query_map([room], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

const NOTHING: Removed = Removed { messages: 0, more: false };

#[test]
fn without_retention_nothing_goes() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, None, None);
    create(&mut log, 1);
    say(&mut log, 1, "alice", 1, 1);
    assert_eq!(log.remove_old(u64::MAX).unwrap(), NOTHING);
    assert!(!log.retention.is_on());
}

#[test]
fn what_is_too_old_goes_and_numbers_and_counters_stay_across_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, Some(1_000), None);
    create(&mut log, 1);
    create(&mut log, 2);
    for (counter, now) in [(1, 100), (2, 200), (3, 300)] {
        say(&mut log, 1, "alice", counter, now);
        say(&mut log, 2, "bob", counter, now);
    }
    assert_eq!(log.remove_old(1_100).unwrap(), NOTHING, "exactly as old as it may be");
    assert_eq!(log.remove_old(1_201).unwrap(), Removed { messages: 4, more: false });
    assert_eq!((seqs(&log, 1), seqs(&log, 2)), (vec![3], vec![3]));

    for round in 0..2 {
        for counter in [1, 2] {
            let gone = Outcome::Forgotten { id: counter };
            assert_eq!(say(&mut log, 1, "alice", counter, 1_300), gone, "round {round}");
            assert_eq!(recall(&mut log, "bob", counter), Outcome::Forgotten { id: 0 }, "round {round}");
        }
        let kept = Outcome::Duplicate { id: 3, room: 1, seq: 3, time_ms: 300 };
        assert_eq!(say(&mut log, 1, "alice", 3, 1_300), kept);
        assert_eq!(recall(&mut log, "alice", 4 + round), Outcome::Absent { id: 0 });
        drop(log);
        log = open(&dir, Some(1_000), None);
    }
    let next = Outcome::Committed { id: 4, seq: 4, time_ms: 1_400 };
    assert_eq!(say(&mut log, 1, "alice", 4, 1_400), next);
    // All of a room may go, but not the newest of the log.
    assert_eq!(log.remove_old(9_999).unwrap(), Removed { messages: 2, more: false });
    assert_eq!((seqs(&log, 1), seqs(&log, 2)), (vec![4], vec![]));
    let next = Outcome::Committed { id: 5, seq: 4, time_ms: 1_500 };
    assert_eq!(say(&mut log, 2, "carol", 5, 1_500), next, "its numbers go on");
}

#[test]
fn a_number_that_was_left_out_is_new_after_its_neighbours_went() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, Some(1_000), None);
    create(&mut log, 1);
    for counter in [1, 2, 4, 5] {
        say(&mut log, 1, "alice", counter, 100);
    }
    say(&mut log, 1, "bob", 1, 5_000);
    assert_eq!(log.remove_old(5_000).unwrap().messages, 4);
    // It was refused as a backlog then, say, and comes again only now.
    assert!(matches!(say(&mut log, 1, "alice", 3, 5_000), Outcome::Committed { seq: 6, .. }));
    assert_eq!(say(&mut log, 1, "alice", 4, 5_000), Outcome::Forgotten { id: 4 });
}

const HOUR_MS: u64 = 3_600_000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

/// Any day, and messages that are kept for ten.
const NOW: u64 = 20_000 * 24 * HOUR_MS;
const TEN_DAYS: u64 = 240 * HOUR_MS;

/// Sweeps as a running server does, from one hour to the next.
fn sweep(log: &mut Log, from_ms: u64, to_ms: u64) -> u64 {
    let hours = 0..=(to_ms - from_ms) / HOUR_MS;
    hours.map(|hour| log.remove_old(from_ms + hour * HOUR_MS).unwrap().messages).sum()
}

#[test]
fn a_clock_that_was_a_year_ahead_takes_nothing_away_and_keeps_nothing_for_longer() {
    for is_restarted in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let mut log = open(&dir, Some(TEN_DAYS), None);
        let restart = |log: Log| {
            if !is_restarted {
                return log;
            }
            drop(log);
            open(&dir, Some(TEN_DAYS), None)
        };
        create(&mut log, 1);
        log.remove_old(NOW).unwrap();
        say(&mut log, 1, "alice", 1, NOW);
        // The clock jumps, and something is said by it.
        log.remove_old(NOW + YEAR_MS).unwrap();
        say(&mut log, 1, "alice", 2, NOW + YEAR_MS);
        log = restart(log);
        assert_eq!(log.remove_old(NOW + YEAR_MS).unwrap(), NOTHING);
        assert_eq!(seqs(&log, 1), [1, 2]);
        // It is put back, and the room's times stay where they are.
        log = restart(log);
        assert_eq!(log.remove_old(NOW + HOUR_MS).unwrap(), NOTHING);
        let said = Outcome::Committed { id: 3, seq: 3, time_ms: NOW + YEAR_MS };
        assert_eq!(say(&mut log, 1, "alice", 3, NOW + 2 * HOUR_MS), said);
        log = restart(log);
        let then = NOW + TEN_DAYS;
        assert_eq!(sweep(&mut log, NOW + 2 * HOUR_MS, then), 0, "none is ten days old");
        say(&mut log, 1, "alice", 4, then);
        log = restart(log);
        assert_eq!(sweep(&mut log, then, then + HOUR_MS), 1);
        assert_eq!(sweep(&mut log, then + 2 * HOUR_MS, then + 3 * HOUR_MS), 2);
        assert_eq!(seqs(&log, 1), [4]);
        let noted: i64 = log.conn.query_row("SELECT count(*) FROM put_back", [], |row| row.get(0)).unwrap();
        assert_eq!(noted, 0, "what was noted about them goes with them");
    }
}

#[test]
fn a_server_that_was_off_for_long_keeps_what_is_said_then_and_removes_the_rest_an_hour_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, Some(TEN_DAYS), None);
    create(&mut log, 1);
    log.remove_old(NOW).unwrap();
    say(&mut log, 1, "alice", 1, NOW);
    drop(log);
    let mut log = open(&dir, Some(TEN_DAYS), None);
    let now = NOW + YEAR_MS;
    say(&mut log, 1, "alice", 2, now);
    say(&mut log, 1, "alice", 3, now);
    assert_eq!(log.remove_old(now).unwrap(), NOTHING);
    log.retention.clock.has_run(Duration::from_millis(HOUR_MS));
    assert_eq!(log.remove_old(now + HOUR_MS).unwrap().messages, 1);
    assert_eq!(seqs(&log, 1), [2, 3]);
}

#[test]
fn steps_are_bounded_and_tell_of_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, Some(1_000), None);
    create(&mut log, 1);
    let writes: Vec<Write> = (1..=MAX_REMOVED + 100).map(|counter| write(1, "alice", counter, "x")).collect();
    log.commit(&writes, 100);
    assert_eq!(log.remove_old(5_000).unwrap(), Removed { messages: MAX_REMOVED, more: true });
    assert_eq!(log.remove_old(5_000).unwrap(), Removed { messages: 99, more: false });
}

#[test]
fn a_log_that_is_too_large_shrinks_to_its_bound_and_no_further() {
    let dir = tempfile::tempdir().unwrap();
    let keep = 1 << 20;
    let mut log = open(&dir, None, Some(keep));
    create(&mut log, 1);
    let text = "x".repeat(1_000);
    let writes: Vec<Write> = (1..=3_000).map(|counter| write(1, "alice", counter, &text)).collect();
    log.commit(&writes, 100);
    assert!(used_bytes(&log.conn).unwrap() > 2 * keep);
    let mut removed = 0;
    while let Removed { messages, more: true } = log.remove_old(100).unwrap() {
        removed += messages;
    }
    let used = used_bytes(&log.conn).unwrap();
    assert!((keep / 2..=keep).contains(&used), "{used} bytes after {removed} messages went");
    let left = seqs(&log, 1);
    assert_eq!((left.len() as u64, left.last()), (3_000 - removed, Some(&3_000)));
    assert_eq!(log.remove_old(100).unwrap(), NOTHING);
}

#[test]
fn what_else_is_in_the_file_does_not_cost_the_newest_messages() {
    let dir = tempfile::tempdir().unwrap();
    let keep = 1 << 20;
    let mut log = open(&dir, Some(1_000), Some(keep));
    create(&mut log, 1);
    let writes: Vec<Write> = (1..=2_000).map(|counter| write(1, "alice", counter, "x")).collect();
    log.commit(&writes, 100);
    let rest = vec![7; 2 << 20];
    log.conn.execute("INSERT INTO meta(key, value) VALUES ('rest', ?1)", [&rest[..]]).unwrap();
    assert!(used_bytes(&log.conn).unwrap() > 2 * keep);
    while log.remove_old(100).unwrap().more {}
    let kept = keep / KEPT_BYTES;
    assert_eq!(seqs(&log, 1), (2_001 - kept.cast_signed()..=2_000).collect::<Vec<_>>());
    assert!(log.retention.is_crowded_told);
    // Those that are too old go all the same.
    assert_eq!(log.remove_old(5_000).unwrap().messages, kept - 1);
    log.conn.execute("DELETE FROM meta WHERE key = 'rest'", []).unwrap();
    assert_eq!(log.remove_old(100).unwrap(), NOTHING);
    assert!(!log.retention.is_crowded_told, "there is room again");
}

#[test]
fn devices_without_messages_are_remembered_up_to_a_bound() {
    let most = u64::from(origins::MAX_EMPTIED);
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, Some(1_000), None);
    create(&mut log, 1);
    let device = |number: u64| {
        let mut device = [0; 16];
        device[..8].copy_from_slice(&number.to_be_bytes());
        device
    };
    let on = |number: u64, sender: &str, counter| Write::Append {
        id: number,
        room: 1,
        sender: sender.to_owned(),
        device: device(number),
        counter,
        text: "hello".to_owned(),
    };
    let count = |log: &Log, table: &str| -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        log.conn.query_row(&sql, [], |row| rows::unsigned(row, 0)).unwrap()
    };
    // Mallory logs in with ever new devices; the third of them speaks again and again, and Alice has one.
    let say = |log: &mut Log, write: Write, now| log.commit(&[write], now).remove(0);
    say(&mut log, on(0, "alice", 1), 100);
    for number in 1..=2 * most {
        let now = 100 * number;
        say(&mut log, on(number, "mallory", 1), now);
        if number % 64 == 0 {
            say(&mut log, on(3, "mallory", number), now);
            log.remove_old(now + 1_001).unwrap();
            assert_eq!(say(&mut log, on(number, "mallory", 1), now), Outcome::Forgotten { id: number });
        }
    }
    let now = 1_000_000;
    say(&mut log, on(3, "mallory", 1_000), now);
    while log.remove_old(now + 1_001).unwrap().messages > 0 {}
    // And the one that has a message.
    assert_eq!(count(&log, "origins WHERE sender = 'mallory'"), most + 1);
    assert_eq!(count(&log, "forgotten"), count(&log, "forgotten WHERE origin IN (SELECT id FROM origins)"));
    for round in 0..2 {
        for (number, sender) in [(0, "alice"), (2 * most, "mallory"), (most + 10, "mallory"), (3, "mallory")]
        {
            let again = say(&mut log, on(number, sender, 1), now);
            assert_eq!(again, Outcome::Forgotten { id: number }, "{sender} {number}, round {round}");
        }
        assert_eq!(count(&log, "origins WHERE sender = 'mallory' AND emptied = 0"), 1);
        drop(log);
        log = open(&dir, Some(1_000), None);
    }
    // One that was forgotten is as good as new.
    assert!(matches!(say(&mut log, on(1, "mallory", 1), now), Outcome::Committed { .. }));
}
