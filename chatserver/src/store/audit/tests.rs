use super::super::{
    StoreConfig,
    append::{Log, Write},
    house::GateChange,
};
use super::*;

fn open(dir: &tempfile::TempDir, keep_audit: u64) -> Log {
    let config = StoreConfig { keep_audit, ..StoreConfig::default() };
    Log::open(&DataDir::open(dir.path()).unwrap(), &config).unwrap()
}

fn unlock(log: &mut Log, times: u64) {
    let write = |id| {
        let (action, change, note) = ("unlock", GateChange::Unlock, String::new());
        Write::Govern { id, by: None, action, change, subject: None, seconds: 0, note }
    };
    log.commit(&(1..=times).map(write).collect::<Vec<_>>(), 1);
}

fn numbers(log: &Log) -> Vec<u64> {
    read(&log.conn, Of::Everything, 0, 1_000).unwrap().iter().map(|line| line.id).collect()
}

#[test]
fn a_room_s_lines_are_found_by_their_index() {
    let dir = tempfile::tempdir().unwrap();
    let log = open(&dir, 10);
    let plan = |of| -> String {
        let sql = select(&log.conn, of).unwrap().expanded_sql().unwrap();
        let mut explain = log.conn.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
        let steps = explain.query_map([], |row| row.get::<_, String>(3)).unwrap();
        steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ")
    };
    let of_room = plan(Of::Room(7));
    assert!(of_room.contains("audit_by_room (room=?"), "{of_room}");
    for of in [Of::Everything, Of::Room(7), Of::Named("den")] {
        let steps = plan(of);
        assert!(!steps.contains("SCAN") && !steps.contains("TEMP B-TREE"), "{of:?}: {steps}");
    }
}

#[test]
fn the_oldest_lines_go_past_the_bound_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = open(&dir, 10);
    unlock(&mut log, 10);
    assert_eq!(numbers(&log), (1..=10).rev().collect::<Vec<_>>());
    unlock(&mut log, 3);
    assert_eq!(numbers(&log), (4..=13).rev().collect::<Vec<_>>());
    drop(log);

    // A bound that was lowered is come to in steps.
    let mut log = open(&dir, 1);
    unlock(&mut log, 1);
    assert_eq!(numbers(&log), [14, 13, 12]);
    unlock(&mut log, 1);
    assert_eq!(numbers(&log), [15]);
}
