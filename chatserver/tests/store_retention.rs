//! Retention beside writers, readers and searches.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use chatserver::store::{Outcome, Read, Reply, StoreConfig};
use store_support::{PATIENCE, Running, append, recall};

/// The store's clock.
static NOW: AtomicU64 = AtomicU64::new(0);

const HOUR: u64 = 3_600_000;

fn now() -> u64 {
    NOW.load(Ordering::Relaxed)
}

/// Asks until the answer is the one that must come.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

fn indexed(dir: &std::path::Path) -> i64 {
    let index = rusqlite::Connection::open(dir.join("search.db")).unwrap();
    index.query_row("SELECT count(*) FROM texts_docsize", [], |row| row.get(0)).unwrap()
}

#[test]
fn old_messages_leave_the_log_and_the_index_and_what_was_said_stays_said() {
    NOW.store(2_400 * HOUR, Ordering::Relaxed);
    let dir = tempfile::tempdir().unwrap();
    let config =
        StoreConfig { keep_time: Some(Duration::from_secs(3_600)), clock: now, ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    for counter in 1..=50 {
        run.say(1, counter, "an old word");
    }
    until("everything is indexed", || indexed(dir.path()) == 50);
    NOW.fetch_add(2 * HOUR, Ordering::Relaxed);
    run.say(1, 51, "a new word");
    until("the old ones go", || run.store.writer.removed() == 50);
    assert_eq!(run.search(&[1], "word", 100), (vec!["a new word".to_owned()], true));
    until("the index follows", || indexed(dir.path()) == 1);

    // A cursor from before gets what there is, and can tell what is gone.
    let page = |run: &Running, after| -> Vec<u64> {
        match run.read(Read::Page { id: 1, room: 1, after, limit: 9, max_bytes: 9_999 }) {
            Reply::Page { messages, more: false, .. } => messages.iter().map(|message| message.seq).collect(),
            other => panic!("not a page: {other:?}"),
        }
    };
    assert_eq!(page(&run, 3), [51]);
    assert_eq!(run.one(append(7, 1, 7, "an old word")), Outcome::Forgotten { id: 7 });
    run.store.finish().unwrap();

    let run = Running::start_with(dir.path(), &config);
    assert_eq!(run.store.rooms()[0].last_seq, 51);
    assert_eq!(page(&run, 0), [51]);
    assert_eq!(run.one(recall(8, 50)), Outcome::Forgotten { id: 8 });
    assert_eq!(run.say(1, 52, "another"), 52);
    assert_eq!(run.search(&[1], "old", 100), (vec![], true));
    run.store.finish().unwrap();
}

#[test]
fn a_busy_log_stays_near_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let keep = 2 << 20;
    let config = StoreConfig { keep_bytes: Some(keep), ..StoreConfig::default() };
    let run = Running::start_with(dir.path(), &config);
    run.create_room(1, "lobby");
    let text = "y".repeat(900);
    let mut counter = 0;
    // Three times what may stay, and then until the writer has let go of the rest.
    until("the oldest go", || {
        for _ in 0..200 {
            counter += 1;
            run.send(append(counter, 1, counter, &text));
        }
        run.outcomes(200);
        counter > 6_000 && run.store.writer.removed() > 0
    });
    until("it comes to its bound", || counter - run.store.writer.removed() < keep / 900);
    // What goes between two pages of it would look like a hole.
    let mut left = Vec::new();
    until("the writer rests", || {
        let removed = run.store.writer.removed();
        left = run.whole_room(1);
        run.store.writer.removed() == removed
    });
    assert_eq!(left.last().unwrap().seq, counter);
    assert!(left.windows(2).all(|pair| pair[1].seq == pair[0].seq + 1), "no hole");
    run.store.finish().unwrap();
}
