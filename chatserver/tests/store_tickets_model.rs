//! Session tickets beside a model: whatever is done to accounts in whatever order, a ticket lets the same account in on the
//! same device until its time, and nobody else.
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking"
)]

mod store_support;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use chatproto::testing::Rng;
use chatserver::store::{NewTicket, Outcome, Read, Reply, StoreConfig, TicketHash, Write};
use store_support::{Running, accounts};

/// The store's clock: one test in this program.
static NOW: AtomicU64 = AtomicU64::new(1_000);

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const DEVICES: u64 = 3;
const STEPS: u64 = 400;

/// An account as it should be.
#[derive(Clone)]
struct Account {
    record: Vec<u8>,
    is_disabled: bool,
}

/// A ticket that was given out, and whether it should still be worth something.
struct Given {
    secret: Vec<u8>,
    user: &'static str,
    device: u8,
    expires: u64,
    is_alive: bool,
}

fn is_good(run: &Running, given: &Given, user: &str, device: u8) -> bool {
    let read =
        Read::Ticket { id: 1, hash: TicketHash::of(&given.secret), user: user.into(), device: [device; 16] };
    match run.read(read) {
        Reply::Ticket { is_good, .. } => is_good,
        other => panic!("not a ticket's answer: {other:?}"),
    }
}

fn end(tickets: &mut [Given], user: &str) {
    tickets.iter_mut().filter(|given| given.user == user).for_each(|given| given.is_alive = false);
}

#[test]
fn a_ticket_is_worth_something_to_its_account_and_device_only_whatever_happens() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { clock: || NOW.load(Ordering::Relaxed), ..StoreConfig::default() };
    let mut run = Running::start_with(dir.path(), &config);
    let mut beside = accounts(dir.path());
    let mut people: BTreeMap<&str, Account> = BTreeMap::new();
    let mut tickets: Vec<Given> = Vec::new();
    let mut rng = Rng::new(11);
    let (mut shown, mut good) = (0, 0);
    for step in 0..STEPS {
        let user = PEOPLE[rng.below(3) as usize];
        let fresh = step.to_be_bytes().to_vec();
        match rng.below(10) {
            0 if people.remove(user).is_some() => {
                beside.remove(user).unwrap();
                end(&mut tickets, user);
            }
            0 | 1 if !people.contains_key(user) => {
                beside.add(user, false, &fresh).unwrap();
                people.insert(user, Account { record: fresh, is_disabled: false });
            }
            2 if people.contains_key(user) => {
                beside.set_record(user, &fresh).unwrap();
                people.get_mut(user).unwrap().record = fresh;
                end(&mut tickets, user);
            }
            3 if people.contains_key(user) => {
                let account = people.get_mut(user).unwrap();
                account.is_disabled = !account.is_disabled;
                beside.set_disabled(user, account.is_disabled).unwrap();
                end(&mut tickets, user);
            }
            4 => _ = NOW.fetch_add(rng.below(50), Ordering::Relaxed),
            5 if rng.chance(20) => {
                run.store.finish().unwrap();
                run = Running::start_with(dir.path(), &config);
            }
            _ => {
                // Sometimes bought with a password that was changed since.
                let (device, now) = (rng.below(DEVICES) as u8, NOW.load(Ordering::Relaxed));
                let account = people.get(user).cloned();
                let is_stale = rng.chance(15);
                let record =
                    account.as_ref().filter(|_| !is_stale).map_or(b"old".to_vec(), |it| it.record.clone());
                let (secret, expires) = ([b"ticket ", &fresh[..]].concat(), now + 1 + rng.below(200));
                let ticket =
                    NewTicket { hash: TicketHash::of(&secret), device: [device; 16], expires_ms: expires };
                let kept = run.one(Write::KeepTicket { id: 2, user: user.into(), record, ticket });
                let is_due = account.is_some_and(|account| !account.is_disabled && !is_stale);
                assert_eq!(kept, Outcome::TicketKept { id: 2, kept: is_due }, "step {step}");
                if is_due {
                    let older =
                        tickets.iter_mut().filter(|given| (given.user, given.device) == (user, device));
                    older.for_each(|given| given.is_alive = false);
                }
                tickets.push(Given { secret, user, device, expires, is_alive: is_due });
            }
        }
        for _ in 0..4 {
            if tickets.is_empty() {
                continue;
            }
            let given = &tickets[tickets.len() - 1 - rng.index(tickets.len().min(8))];
            let (by, device) = match rng.below(4) {
                0 => (PEOPLE[rng.below(3) as usize], given.device),
                1 => (given.user, rng.below(DEVICES) as u8),
                _ => (given.user, given.device),
            };
            let is_owner = (by, device) == (given.user, given.device);
            let is_due = is_owner && given.is_alive && NOW.load(Ordering::Relaxed) < given.expires;
            assert_eq!(
                is_good(&run, given, by, device),
                is_due,
                "step {step}: {by} shows that of {}",
                given.user
            );
            shown += 1;
            good += u64::from(is_due);
        }
    }
    assert!(good > 50 && shown - good > 200, "{good} of {shown}");
}
