//! What a session ticket is worth, to whom and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::sync::atomic::{AtomicU64, Ordering};

use chatserver::store::{
    AccountError, NewAccount, NewTicket, Outcome, Read, Reply, StoreConfig, TicketHash, Write,
};
use store_support::{DEVICE, Running, accounts};

const RECORD: &[u8] = b"record";

/// The time of the store's clock.
const NOW: u64 = 1_000_000;

fn ticket(secret: &[u8], expires_ms: u64) -> NewTicket {
    NewTicket { hash: TicketHash::of(secret), device: DEVICE, expires_ms }
}

fn on_device(secret: &[u8], device: u8) -> NewTicket {
    NewTicket { device: [device; 16], ..ticket(secret, NOW + 1) }
}

fn start(path: &std::path::Path, max_tickets: usize) -> Running {
    accounts(path).add("alice", false, RECORD).unwrap();
    accounts(path).add("bob", false, RECORD).unwrap();
    Running::start_with(path, &StoreConfig { clock: || NOW, max_tickets, ..StoreConfig::default() })
}

fn keep(run: &Running, user: &str, record: &[u8], ticket: NewTicket) -> bool {
    let write = Write::KeepTicket { id: 5, user: user.into(), record: record.into(), ticket };
    match run.one(write) {
        Outcome::TicketKept { id: 5, kept } => kept,
        other => panic!("not a ticket's outcome: {other:?}"),
    }
}

fn is_good(run: &Running, secret: &[u8], user: &str, device: u8) -> bool {
    let read = Read::Ticket { id: 6, hash: TicketHash::of(secret), user: user.into(), device: [device; 16] };
    match run.read(read) {
        Reply::Ticket { id: 6, is_good, .. } => is_good,
        other => panic!("not a ticket's answer: {other:?}"),
    }
}

/// DEVICE is this many times.
const OWN: u8 = 7;

#[test]
fn a_ticket_is_good_for_its_user_and_device_until_it_expires() {
    let dir = tempfile::tempdir().unwrap();
    let run = start(dir.path(), 32);
    assert!(keep(&run, "alice", RECORD, ticket(b"good", NOW + 1)));
    assert!(keep(&run, "bob", RECORD, ticket(b"late", NOW)));
    assert!(is_good(&run, b"good", "alice", OWN));
    for (secret, user, device) in [
        (&b"forged"[..], "alice", OWN),
        (b"good", "alice", OWN + 1),
        (b"good", "bob", OWN),
        (b"good", "nobody", OWN),
        (b"late", "bob", OWN),
        (b"", "alice", OWN),
    ] {
        assert!(!is_good(&run, secret, user, device), "{secret:?} {user} {device}");
    }
    run.store.finish().unwrap();
    let stored = std::fs::read(dir.path().join("chat.db")).unwrap();
    assert!(!stored.windows(4).any(|bytes| bytes == b"good"), "the ticket itself is not kept");
}

/// A clock that somebody sets.
static CLOCK: AtomicU64 = AtomicU64::new(0);

#[test]
fn a_clock_that_jumps_ends_no_ticket_for_good_and_keeps_none_beyond_its_time() {
    const DAY: u64 = 24 * 60 * 60 * 1_000;
    let dir = tempfile::tempdir().unwrap();
    accounts(dir.path()).add("alice", false, RECORD).unwrap();
    let set = |now: u64| CLOCK.store(now, Ordering::SeqCst);
    let clock = || CLOCK.load(Ordering::SeqCst);
    set(10 * DAY);
    let run = Running::start_with(dir.path(), &StoreConfig { clock, ..StoreConfig::default() });
    assert!(keep(&run, "alice", RECORD, ticket(b"week", 17 * DAY)));
    for (now, good) in [(9 * DAY, true), (11 * DAY, true), (17 * DAY, false), (10 * DAY, true), (0, true)] {
        set(now);
        assert_eq!(is_good(&run, b"week", "alice", OWN), good, "at {now}");
    }
    // One that comes while the clock is ahead takes the others along that seem to be over.
    set(18 * DAY);
    assert!(keep(&run, "alice", RECORD, NewTicket { device: [1; 16], ..ticket(b"ahead", 25 * DAY) }));
    set(10 * DAY);
    assert!(!is_good(&run, b"week", "alice", OWN), "the password is asked for again");
    assert!(is_good(&run, b"ahead", "alice", 1));
}

#[test]
fn a_ticket_ends_with_the_password_and_with_the_account() {
    let dir = tempfile::tempdir().unwrap();
    let run = start(dir.path(), 32);
    for user in ["alice", "bob"] {
        assert!(keep(&run, user, RECORD, ticket(user.as_bytes(), NOW + 1)));
    }
    accounts(dir.path()).set_record("alice", b"changed").unwrap();
    assert!(!is_good(&run, b"alice", "alice", OWN));
    accounts(dir.path()).set_record("alice", RECORD).unwrap();
    assert!(!is_good(&run, b"alice", "alice", OWN), "it does not come back");

    accounts(dir.path()).remove("bob").unwrap();
    accounts(dir.path()).add("bob", false, RECORD).unwrap();
    assert!(!is_good(&run, b"bob", "bob", OWN), "the new bob is somebody else");

    assert!(keep(&run, "bob", RECORD, ticket(b"again", NOW + 1)));
    accounts(dir.path()).set_disabled("bob", true).unwrap();
    assert!(!is_good(&run, b"again", "bob", OWN));
}

#[test]
fn no_ticket_is_kept_that_was_bought_with_another_record() {
    let dir = tempfile::tempdir().unwrap();
    let run = start(dir.path(), 32);
    assert!(!keep(&run, "alice", b"older", ticket(b"secret", NOW + 1)));
    assert!(!keep(&run, "nobody", RECORD, ticket(b"secret", NOW + 1)));
    accounts(dir.path()).set_disabled("bob", true).unwrap();
    assert!(!keep(&run, "bob", RECORD, ticket(b"secret", NOW + 1)));
    for user in ["alice", "bob", "nobody"] {
        assert!(!is_good(&run, b"secret", user, OWN), "{user}");
    }
}

#[test]
fn a_device_has_one_ticket_and_an_account_so_many_that_the_oldest_go() {
    let dir = tempfile::tempdir().unwrap();
    let run = start(dir.path(), 2);
    assert!(keep(&run, "bob", RECORD, on_device(b"bob", 1)));
    assert!(keep(&run, "alice", RECORD, on_device(b"one", 1)));
    assert!(keep(&run, "alice", RECORD, on_device(b"two", 2)));
    assert!(keep(&run, "alice", RECORD, on_device(b"newer one", 1)));
    assert!(!is_good(&run, b"one", "alice", 1), "replaced");
    assert!(is_good(&run, b"two", "alice", 2));
    assert!(keep(&run, "alice", RECORD, on_device(b"three", 3)));
    assert!(!is_good(&run, b"two", "alice", 2), "the oldest goes");
    assert!(is_good(&run, b"newer one", "alice", 1));
    assert!(is_good(&run, b"three", "alice", 3));
    assert!(is_good(&run, b"bob", "bob", 1), "nobody else's");
}

#[test]
fn expired_tickets_are_purged_a_few_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    // They were given long ago, by a server whose clock was there then.
    let then = Running::start_with(dir.path(), &StoreConfig { clock: || 0, ..StoreConfig::default() });
    for number in 0..40_u8 {
        accounts(dir.path()).add(&format!("user{number}"), false, RECORD).unwrap();
        assert!(keep(&then, &format!("user{number}"), RECORD, on_device(&[number], number)));
    }
    drop(then);
    let db = rusqlite::Connection::open(dir.path().join("chat.db")).unwrap();
    db.execute("UPDATE tickets SET expires_ms = 10", []).unwrap();
    let run = start(dir.path(), 32);
    let mut left = Vec::new();
    for number in 0..4_u8 {
        assert!(keep(&run, "alice", RECORD, on_device(&[99, number], number)));
        left.push(db.query_row("SELECT count(*) FROM tickets", [], |row| row.get::<_, i64>(0)).unwrap());
    }
    assert_eq!(left, [40 - 16 + 1, 40 - 32 + 2, 3, 4]);
}

#[test]
fn an_import_adds_all_accounts_with_their_tickets_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let run = start(dir.path(), 32);
    let new = |name: &str, tickets| NewAccount { name: name.into(), record: RECORD.into(), tickets };
    // These tickets are looked at by the system's clock first.
    let forever = NewTicket { expires_ms: u64::MAX >> 1, ..ticket(b"carol", 0) };
    accounts(dir.path()).import(&[new("carol", vec![forever]), new("dave", Vec::new())]).unwrap();
    assert!(is_good(&run, b"carol", "carol", OWN));
    let refused = accounts(dir.path()).import(&[new("erin", Vec::new()), new("dave", Vec::new())]);
    assert_eq!(refused, Err(AccountError::Exists("dave".into())));
    assert_eq!(accounts(dir.path()).lookup("erin").unwrap(), None);
    assert!(!format!("{:?}", new("erin", Vec::new())).contains("114"), "a record has no business in a log");
}
