//! What only the connection itself can be made to do: run out of pages in the middle of a batch.

use super::*;

fn log(dir: &tempfile::TempDir) -> Log {
    Log::open(&DataDir::open(dir.path()).unwrap(), &StoreConfig::default()).unwrap()
}

fn create(id: u64, room: u32) -> Write {
    Write::CreateRoom {
        id,
        room,
        kind: RoomKind::Group,
        name: format!("room {room}"),
        by: None,
        owner: None,
        is_private: false,
    }
}

fn append(id: u64, room: u32, text: String) -> Write {
    Write::Append { id, room, sender: "alice".into(), device: [1; 16], counter: id, text }
}

fn limit_pages(log: &Log, pages: u32) {
    log.conn.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(())).unwrap();
}

fn pages(log: &Log) -> u32 {
    log.conn.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
}

#[test]
fn a_batch_that_meets_a_full_disk_fails_whole_and_succeeds_when_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    log.commit(&[create(1, 1), append(2, 1, "before".into())], 10);
    limit_pages(&log, pages(&log) + 4);

    let batch = [
        append(3, 1, "small enough to fit".into()),
        create(4, 2),
        append(5, 2, "also in the new room".into()),
        append(6, 1, "x".repeat(100_000)),
    ];
    let full = WriteError::Database(DbError::Full);
    let failed: Vec<_> = (3..=6).map(|id| Outcome::Failed { id, error: full.clone() }).collect();
    assert_eq!(log.commit(&batch, 20), failed);
    // Neither the rooms nor the numbers of the batch exist.
    let no_room = WriteError::NoSuchRoom(2);
    let orphan = log.commit(&[append(7, 2, "anyone?".into())], 30);
    assert_eq!(orphan, [Outcome::Failed { id: 7, error: no_room }]);
    assert_eq!(log.tails.get(&1), Some(&Tail { seq: 1, time_ms: 10 }));

    // What was stored before is still known to be: a repeat is no failure.
    let mut repeated = [append(8, 1, "before".into()), append(6, 1, "x".repeat(100_000))];
    if let Write::Append { counter, .. } = &mut repeated[0] {
        *counter = 2;
    }
    let known = Outcome::Duplicate { id: 8, room: 1, seq: 1, time_ms: 10 };
    assert_eq!(log.commit(&repeated, 35), [known, Outcome::Failed { id: 6, error: full }]);

    limit_pages(&log, 1_000);
    let outcomes = log.commit(&batch, 40);
    let expected = [
        Outcome::Committed { id: 3, seq: 2, time_ms: 40 },
        Outcome::RoomCreated { id: 4, room: 2, created_ms: 40 },
        Outcome::Committed { id: 5, seq: 1, time_ms: 40 },
        Outcome::Committed { id: 6, seq: 3, time_ms: 40 },
    ];
    assert_eq!(outcomes, expected);
}

#[test]
fn a_last_number_that_was_not_kept_is_found_in_the_messages() {
    let dir = tempfile::tempdir().unwrap();
    let mut first = log(&dir);
    first.commit(&[create(1, 1), append(2, 1, "one".into()), append(3, 1, "two".into())], 10);
    first.conn.execute("UPDATE rooms SET last_seq = 0", []).unwrap();
    drop(first);
    let outcomes = log(&dir).commit(&[append(4, 1, "three".into())], 20);
    assert_eq!(outcomes, [Outcome::Committed { id: 4, seq: 3, time_ms: 20 }]);
}

#[test]
fn a_lock_held_elsewhere_fails_the_batch_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = log(&dir);
    log.commit(&[create(1, 1)], 10);
    log.conn.busy_timeout(std::time::Duration::ZERO).unwrap();
    let mut other = DataDir::open(dir.path()).unwrap().connect().unwrap();
    let held = other.transaction_with_behavior(TransactionBehavior::Immediate).unwrap();
    let outcomes = log.commit(&[append(2, 1, "one".into())], 20);
    assert_eq!(outcomes, [Outcome::Failed { id: 2, error: WriteError::Database(DbError::Busy) }]);
    drop(held);
    let outcomes = log.commit(&[append(2, 1, "one".into())], 20);
    assert_eq!(outcomes, [Outcome::Committed { id: 2, seq: 1, time_ms: 20 }]);
}
