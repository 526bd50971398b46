//! A running store tells which accounts are removed or disabled beside it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use chatserver::store::Reply;
use store_support::{Running, accounts};

/// The next names that the store tells.
fn removed(run: &Running) -> Vec<String> {
    match run.reply() {
        Reply::Removed { names } => names,
        other => panic!("not what was removed: {other:?}"),
    }
}

#[test]
fn who_is_removed_or_disabled_is_told_and_nobody_else() {
    let dir = tempfile::tempdir().unwrap();
    let mut beside = accounts(dir.path());
    for name in ["early", "alice", "bob", "carol"] {
        beside.add(name, false, b"record").unwrap();
    }
    beside.remove("early").unwrap();
    let run = Running::start(dir.path());
    beside.set_record("carol", b"another").unwrap();
    beside.set_disabled("carol", false).unwrap();
    beside.remove("alice").unwrap();
    assert_eq!(removed(&run), ["alice"]);
    beside.set_disabled("bob", true).unwrap();
    assert_eq!(removed(&run), ["bob"]);
}

#[test]
fn many_at_once_are_all_told_in_order() {
    let dir = tempfile::tempdir().unwrap();
    drop(accounts(dir.path()));
    let run = Running::start(dir.path());
    let mut beside = rusqlite::Connection::open(dir.path().join("chat.db")).unwrap();
    let tx = beside.transaction().unwrap();
    let names = (0..2_500).map(|number| format!("user{number:04}")).collect::<Vec<_>>();
    for name in &names {
        let add = "INSERT INTO users(name, folded, skeleton, record, created_ms, generation)
            VALUES (?1, ?1, ?1, x'00', 0, 0)";
        tx.execute(add, [name]).unwrap();
        tx.execute("DELETE FROM users WHERE name = ?1", [name]).unwrap();
    }
    tx.commit().unwrap();
    let mut told = Vec::new();
    while told.len() < names.len() {
        told.extend(removed(&run));
    }
    assert_eq!(told, names);
}
