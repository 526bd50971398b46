//! A running store tells which accounts are removed or disabled beside it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::sync::Arc;
use std::time::Instant;

use chatserver::store::{DataDir, Outcome, Read, Removal, Reply, RoomKind, Store, StoreConfig, Write, rooms};
use store_support::{PATIENCE, Running, accounts, append};

/// The next accounts that the store tells of.
fn told(reply: Reply) -> Vec<Removal> {
    match reply {
        Reply::Removed { accounts } => accounts,
        other => panic!("not what was removed: {other:?}"),
    }
}

fn removal(name: &str, is_disabled: bool) -> Removal {
    Removal { name: name.to_owned(), is_disabled }
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
    assert_eq!(told(run.reply()), [removal("alice", false)]);
    beside.set_disabled("bob", true).unwrap();
    assert_eq!(told(run.reply()), [removal("bob", true)]);
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
    let mut heard = Vec::new();
    while heard.len() < names.len() {
        heard.extend(told(run.reply()).into_iter().map(|removal| removal.name));
    }
    assert_eq!(heard, names);
}

#[test]
fn whoever_has_a_name_since_is_not_told_of_before_the_removal() {
    let dir = tempfile::tempdir().unwrap();
    let mut beside = accounts(dir.path());
    beside.add("alice", false, b"record").unwrap();
    let run = Running::start(dir.path());
    for round in 0..20_u64 {
        beside.remove("alice").unwrap();
        beside.add("alice", false, &round.to_be_bytes()).unwrap();
        run.ask(Read::Account { id: round, name: "alice".into() });
        assert_eq!(told(run.reply()), [removal("alice", false)]);
        match run.reply() {
            Reply::Account { id, account } if id == round => {
                assert_eq!(account.unwrap().record, round.to_be_bytes());
            }
            other => panic!("not the account: {other:?}"),
        }
    }
    beside.remove("alice").unwrap();
    run.ask(Read::Removals { id: 5 });
    assert_eq!(told(run.reply()), [removal("alice", false)]);
    assert_eq!(run.reply(), Reply::Looked { id: 5 });
}

/// A conversation, by the names of its two people.
fn converse(run: &Running, room: u32, name: &str) {
    let (id, kind, name) = (room.into(), RoomKind::Direct, name.to_owned());
    let made = run.one(Write::CreateRoom { id, room, kind, name, by: None, owner: None, is_private: false });
    assert!(matches!(made, Outcome::RoomCreated { .. }), "{made:?}");
}

/// Number, kind and name of every room that is left.
fn left(path: &std::path::Path) -> Vec<(u32, RoomKind, String)> {
    let rooms = rooms(&DataDir::open(path).unwrap()).unwrap();
    rooms.into_iter().map(|room| (room.id, room.kind, room.name)).collect()
}

#[test]
fn conversations_of_a_removed_account_lead_no_name_to_them_any_more() {
    let dir = tempfile::tempdir().unwrap();
    let mut beside = accounts(dir.path());
    // Names that are parts of each other, and one with letters of several bytes.
    for name in ["bob", "bo", "ob", "alice", "b\u{fc}b"] {
        beside.add(name, false, b"record").unwrap();
    }
    let run = Running::start(dir.path());
    let names = ["alice/bob", "bob/bob", "bo/bob", "bob/ob", "bo/ob", "alice/bo", "bob/b\u{fc}b"];
    for (room, name) in (1..).zip(names) {
        converse(&run, room, name);
    }
    assert!(matches!(run.one(append(50, 1, 1, "kept")), Outcome::Committed { seq: 1, .. }));
    run.create_room(20, "bob/x");
    beside.remove("bob").unwrap();
    let kept = |room: u32, name: &str| (room, RoomKind::Former, name.to_owned());
    let direct = |room: u32, name: &str| (room, RoomKind::Direct, name.to_owned());
    let group = (20, RoomKind::Group, "bob/x".to_owned());
    let rest = [direct(5, "bo/ob"), direct(6, "alice/bo")];
    let mut wanted = vec![kept(1, "alice/bob/1"), kept(3, "bo/bob/3"), kept(4, "ob/bob/4")];
    wanted.extend(rest.clone());
    wanted.extend([kept(7, "b\u{fc}b/bob/7"), group.clone()]);
    assert_eq!(left(dir.path()), wanted);
    // The same two names may begin again, and end again, and what was said stays where it was.
    assert_eq!(told(run.reply()), [removal("bob", false)]);
    beside.add("bob", false, b"another").unwrap();
    converse(&run, 30, "alice/bob");
    beside.remove("bob").unwrap();
    assert_eq!(told(run.reply()), [removal("bob", false)]);
    assert!(left(dir.path()).contains(&kept(30, "alice/bob/30")));
    assert_eq!(run.whole_room(1).len(), 1);
    // When the other goes, too, nobody is left.
    beside.remove("alice").unwrap();
    let mut wanted =
        vec![kept(3, "bo/bob/3"), kept(4, "ob/bob/4"), direct(5, "bo/ob"), kept(6, "bo/alice/6")];
    wanted.extend([kept(7, "b\u{fc}b/bob/7"), group]);
    assert_eq!(left(dir.path()), wanted);
}

#[test]
fn a_conversation_that_began_while_the_account_went_is_ended_by_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    converse(&run, 1, "alice/bob");
    converse(&run, 2, "bob/bob");
    let retire = |room, keeper: Option<&str>| {
        let (gone, keeper) = ("bob".to_owned(), keeper.map(str::to_owned));
        run.one(Write::Retire { id: 9, room, gone, keeper })
    };
    for _ in 0..2 {
        assert_eq!(retire(1, Some("alice")), Outcome::Moderated { id: 9, room: 1 });
        assert_eq!(retire(2, None), Outcome::Moderated { id: 9, room: 2 });
        assert_eq!(left(dir.path()), [(1, RoomKind::Former, "alice/bob/1".to_owned())]);
    }
}

#[test]
fn a_reader_that_died_is_noticed_while_the_search_lives_on() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
    let on_read = Arc::new(|reply| panic!("nobody takes {reply:?}"));
    let store = Store::start(lock, &StoreConfig::default(), Box::new(drop), on_read).unwrap();
    assert!(store.reader.is_running());
    store.reader.try_send(Read::Removals { id: 1 }).unwrap();
    let deadline = Instant::now() + PATIENCE;
    while store.reader.is_running() {
        assert!(Instant::now() < deadline, "it answers nobody, and counts as running");
        std::thread::yield_now();
    }
    assert!(store.finish().is_err());
}
