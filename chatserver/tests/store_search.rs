//! Search: the same answers from the index, from what it lacks, and after it was lost.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::{fs, path::Path, time::Instant};

use chatserver::store::StoreConfig;
use rusqlite::{Connection, OpenFlags};
use store_support::{PATIENCE, Running, append};

const SAID: [&str; 9] = [
    "Hello, World",
    "안녕하세요 여러분",
    "저는 안녕 못해요",
    "he said \"no\" AND left",
    "今日は世界",
    "NEAR(a b) OR text:*",
    "hello again",
    "100% of _it_",
    "끝",
];

/// Says them all and leaves only when the index has them.
fn said(path: &Path) -> Running {
    let run = Running::start(path);
    run.create_room(1, "lobby");
    for (n, text) in (1..).zip(SAID) {
        run.say(1, n, text);
    }
    run
}

#[track_caller]
fn wait_for_index(path: &Path, last: i64) {
    let deadline = Instant::now() + PATIENCE;
    let index =
        Connection::open_with_flags(path.join("search.db"), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    loop {
        let cursor: i64 = index.query_row("SELECT cursor FROM state", [], |row| row.get(0)).unwrap();
        if cursor == last {
            return;
        }
        assert!(Instant::now() < deadline, "the index stays at {cursor} of {last}");
        std::thread::yield_now();
    }
}

#[track_caller]
fn finds(run: &Running) {
    let cases: [(&str, &[usize]); 20] = [
        ("hello", &[6, 0]),
        ("HELLO world", &[0]),
        ("ell orl", &[0]),
        ("안녕", &[2, 1]),
        ("안녕하세요", &[1]),
        ("녕하", &[1]),
        ("안", &[2, 1]),
        ("요 안녕", &[2, 1]),
        ("끝", &[8]),
        ("분", &[1]),
        ("世界", &[4]),
        ("日は世", &[4]),
        ("\"no\"", &[3]),
        ("\"", &[3]),
        ("AND", &[3]),
        ("NEAR(a OR", &[5]),
        ("text:*", &[5]),
        ("% _", &[7]),
        ("missing", &[]),
        ("hello missing", &[]),
    ];
    for (words, expected) in cases {
        let texts: Vec<_> = expected.iter().map(|&n| SAID[n].to_owned()).collect();
        assert_eq!(run.search(&[1], words, 10), (texts, true), "{words}");
    }
}

#[test]
fn words_are_found_before_and_after_they_are_indexed() {
    let dir = tempfile::tempdir().unwrap();
    let run = said(dir.path());
    finds(&run);
    wait_for_index(dir.path(), 9);
    finds(&run);
}

#[test]
fn an_index_that_is_lost_or_damaged_is_made_anew() {
    let dir = tempfile::tempdir().unwrap();
    let run = said(dir.path());
    wait_for_index(dir.path(), 9);
    run.store.finish().unwrap();
    let index = dir.path().join("search.db");

    fs::remove_file(&index).unwrap();
    let run = Running::start(dir.path());
    wait_for_index(dir.path(), 9);
    finds(&run);
    run.store.finish().unwrap();

    fs::write(&index, "garbage that is longer than the header of a database file".repeat(100)).unwrap();
    let run = Running::start(dir.path());
    wait_for_index(dir.path(), 9);
    finds(&run);
}

#[test]
fn an_index_of_another_or_a_longer_log_is_not_believed() {
    let (dir, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let run = said(dir.path());
    wait_for_index(dir.path(), 9);
    run.store.finish().unwrap();

    let run = Running::start(other.path());
    run.create_room(1, "lobby");
    for n in 1..=20 {
        run.say(1, n, "something else");
    }
    run.store.finish().unwrap();
    fs::copy(dir.path().join("search.db"), other.path().join("search.db")).unwrap();
    let run = Running::start(other.path());
    wait_for_index(other.path(), 20);
    assert_eq!(run.search(&[1], "hello", 10), (vec![], true));
    assert_eq!(run.search(&[1], "something", 100).0.len(), 20);
    run.store.finish().unwrap();

    // The log of an older copy, beside the index of a later one.
    let log = Connection::open(dir.path().join("chat.db")).unwrap();
    log.execute_batch("DELETE FROM messages WHERE id > 4; UPDATE rooms SET last_seq = 4").unwrap();
    drop(log);
    let run = Running::start(dir.path());
    wait_for_index(dir.path(), 4);
    run.say(1, 100, "a new fifth");
    assert_eq!(run.search(&[1], "fifth", 10), (vec!["a new fifth".to_owned()], true));
}

#[test]
fn only_the_rooms_asked_for_are_searched() {
    let dir = tempfile::tempdir().unwrap();
    let run = said(dir.path());
    run.create_room(2, "garden");
    run.say(2, 100, "hello from the garden");
    for indexed in [false, true] {
        if indexed {
            wait_for_index(dir.path(), 10);
        }
        assert_eq!(run.search(&[2], "hello", 10).0, ["hello from the garden"]);
        assert_eq!(
            run.search(&[2, 1], "hello", 2),
            (vec!["hello from the garden".into(), "hello again".into()], false)
        );
        assert_eq!(run.search(&[], "hello", 10), (vec![], true));
        assert_eq!(run.search(&[3], "hello", 10), (vec![], true));
        assert_eq!(run.search(&[1], "  \t ", 10), (vec![], true));
        assert_eq!(run.search(&[1], "\0", 10), (vec![], true));
    }
}

#[test]
fn a_limit_is_told_from_an_end() {
    let dir = tempfile::tempdir().unwrap();
    let run = said(dir.path());
    wait_for_index(dir.path(), 9);
    assert_eq!(run.search(&[1], "hello", 1), (vec!["hello again".to_owned()], false));
    assert!(run.search(&[1], "hello", 2).1);
    assert_eq!(run.search(&[1], "hello", 0).0.len(), 1);
}

#[test]
fn common_short_words_and_hostile_queries_are_answered() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { max_queued_writes: 20_000, ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    for n in 0..10_000_u32 {
        // A letter with more continuations than the index is asked about.
        let text = format!("x{} y", char::from_u32(0xac00 + n).unwrap());
        run.send(append(u64::from(n), 1, u64::from(n), &text));
    }
    run.outcomes(10_000);
    wait_for_index(dir.path(), 10_000);
    let (texts, complete) = run.search(&[1], "x", 5);
    assert_eq!((texts.len(), complete), (5, false));
    assert_eq!(texts[0], format!("x{} y", char::from_u32(0xac00 + 9_999).unwrap()));
    assert_eq!(run.search(&[1], "x zebra", 5), (vec![], true));
    assert_eq!(run.search(&[1], "가", 5), (vec!["x가 y".to_owned()], true));
    assert_eq!(run.search(&[1], &"long".repeat(10_000), 5), (vec![], true));
    assert_eq!(run.search(&[1], &"a b c d ".repeat(10_000), 5), (vec![], true));
    assert_eq!(run.search(&[1], "\u{10ffff}", 5), (vec![], true));
}
