//! The data directory and its accounts: private, locked, and clear about what is wrong with them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::{fs, os::unix::fs::PermissionsExt as _, process, sync::Barrier, thread};

use chatserver::store::{Account, AccountError, DataDir, DbError, Read, Reply, StoreError};
use store_support::{Running, accounts};

#[test]
fn the_directory_and_its_files_are_private() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("deep/data");
    let run = Running::start(&path);
    run.create_room(1, "lobby");
    let mode = |name: &str| fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(""), 0o700);
    for name in ["chat.db", "chat.db-wal", "search.db", "server.lock"] {
        assert_eq!(mode(name), 0o600, "{name}");
    }
}

#[test]
fn a_second_server_is_refused_with_the_firsts_process_id() {
    let dir = tempfile::tempdir().unwrap();
    let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
    let refused = DataDir::open(dir.path()).unwrap().lock().unwrap_err();
    let expected = format!(
        "data directory {} is in use by another server (pid {})",
        dir.path().display(),
        process::id()
    );
    assert_eq!(refused.to_string(), expected);
    drop(lock);
    DataDir::open(dir.path()).unwrap().lock().unwrap();
}

#[test]
fn a_newer_schema_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    DataDir::open(dir.path()).unwrap();
    let conn = rusqlite::Connection::open(dir.path().join("chat.db")).unwrap();
    conn.pragma_update(None, "user_version", 99).unwrap();
    drop(conn);
    let refused = DataDir::open(dir.path()).unwrap_err();
    assert!(matches!(refused, StoreError::Newer { found: 99, .. }), "{refused}");
    assert!(refused.to_string().contains("chat.db was written by a newer version"), "{refused}");
}

#[test]
fn what_is_not_a_data_directory_is_named_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    for path in [file.clone(), file.join("below")] {
        let refused = DataDir::open(&path).unwrap_err();
        assert_eq!(refused.to_string(), format!("data directory {} is not a directory", path.display()));
    }
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");

    let garbage = dir.path().join("garbage");
    fs::create_dir(&garbage).unwrap();
    fs::write(garbage.join("chat.db"), "this is no database at all, and longer than a header".repeat(100))
        .unwrap();
    let refused = DataDir::open(&garbage).unwrap_err();
    assert!(matches!(&refused, StoreError::Database { source: DbError::Damaged(_), .. }), "{refused:?}");

    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    let conn = rusqlite::Connection::open(foreign.join("chat.db")).unwrap();
    conn.execute_batch("CREATE TABLE recipes(name TEXT)").unwrap();
    let refused = DataDir::open(&foreign).unwrap_err();
    assert!(matches!(refused, StoreError::Foreign { .. }), "{refused}");
    let tables: u32 = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn many_may_open_a_new_directory_at_the_same_moment() {
    const PROGRAMS: usize = 8;
    for _ in 0..10 {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("data");
        let barrier = Barrier::new(PROGRAMS);
        thread::scope(|scope| {
            for n in 0..PROGRAMS {
                let (barrier, path) = (&barrier, &path);
                scope.spawn(move || {
                    barrier.wait();
                    accounts(path).add(&format!("user{n}"), false, b"record").unwrap();
                });
            }
        });
        assert_eq!(accounts(&path).list().unwrap().len(), PROGRAMS);
    }
}

#[test]
fn accounts_are_added_changed_listed_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let mut accounts = accounts(dir.path());
    accounts.add("bob", false, b"bob's").unwrap();
    accounts.add("alice", true, b"alice's").unwrap();
    assert_eq!(accounts.add("bob", true, b"other"), Err(AccountError::Exists("bob".into())));
    accounts.set_record("bob", b"changed").unwrap();
    accounts.set_disabled("bob", true).unwrap();
    let seen: Vec<_> = accounts
        .list()
        .unwrap()
        .into_iter()
        .map(|Account { name, admin, disabled, record, .. }| (name, admin, disabled, record))
        .collect();
    let expected = [
        ("alice".to_owned(), true, false, b"alice's".to_vec()),
        ("bob".to_owned(), false, true, b"changed".to_vec()),
    ];
    assert_eq!(seen, expected);
    accounts.remove("bob").unwrap();
    assert_eq!(accounts.lookup("bob").unwrap(), None);
    let unknown = Err(AccountError::Unknown("bob".into()));
    assert_eq!(accounts.remove("bob"), unknown);
    assert_eq!(accounts.set_record("bob", b""), unknown);
    assert_eq!(accounts.set_disabled("bob", false), unknown);
    accounts.add("bob", false, b"again").unwrap();
}

#[test]
fn a_running_server_knows_a_new_account_at_once_and_keeps_a_removed_ones_messages() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.create_room(1, "lobby");
    let look = |name: &str| match run.read(Read::Account { id: 5, name: name.into() }) {
        Reply::Account { id: 5, account } => account,
        other => panic!("{other:?}"),
    };
    assert_eq!(look("alice"), None);
    let mut accounts = accounts(dir.path());
    for n in 1..=50 {
        // The commands and the writer take turns at the file's one write lock.
        run.send(store_support::append(n, 1, n, "busy"));
        accounts.add(&format!("user{n}"), false, b"record").unwrap();
    }
    accounts.add("alice", false, b"record").unwrap();
    assert_eq!(look("alice").unwrap().record, b"record");
    accounts.remove("alice").unwrap();
    assert_eq!(look("alice"), None);
    run.outcomes(50);
    assert_eq!(run.whole_room(1).len(), 50);
}

#[test]
fn a_secret_is_made_once_for_all() {
    let dir = tempfile::tempdir().unwrap();
    let (mut one, mut other) = (accounts(dir.path()), accounts(dir.path()));
    assert_eq!(one.meta_get_or_create("setup", || b"first".to_vec()).unwrap(), b"first");
    assert_eq!(other.meta_get_or_create("setup", || panic!("made twice")).unwrap(), b"first");
    assert_eq!(other.meta_get_or_create("id", || b"second".to_vec()).unwrap(), b"second");
}

#[test]
fn a_record_is_not_printed() {
    let dir = tempfile::tempdir().unwrap();
    let mut accounts = accounts(dir.path());
    accounts.add("alice", false, b"SECRET").unwrap();
    let printed = format!("{:?}", accounts.lookup("alice").unwrap().unwrap());
    assert!(printed.contains("alice") && printed.contains("***"), "{printed}");
    assert!(!printed.contains(&format!("{:?}", b"SECRET")), "{printed}");
}
