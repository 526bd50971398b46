//! Roles, mutes, bans and the audit log in the store.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::wildcard_enum_match_arm,
    missing_docs,
    unreachable_pub,
    reason = "a test stops at the first surprise"
)]
#![allow(dead_code, reason = "the support module serves other tests too")]

mod store_support;

use chatserver::store::{
    Accounts, DataDir, GateChange, HouseChange, HouseRow, Outcome, RoleRow, RoomKind, Sanction, Write,
    WriteError, audit,
};
use store_support::Running;

fn den(id: u64) -> Write {
    let (kind, name, owner) = (RoomKind::Group, "den".to_owned(), Some("alice".to_owned()));
    let by = owner.clone();
    Write::CreateRoom { id, room: 1, kind, name, by, owner, is_private: true }
}

fn change(id: u64, change: HouseChange, action: &'static str, user: &str, seconds: u32) -> Write {
    let (by, note) = (Some("alice".to_owned()), "because".to_owned());
    let change = Box::new(change);
    Write::Moderate { id, room: 1, by, action, change, user: Some(user.to_owned()), seconds, note }
}

fn house(run: &Running) -> HouseRow {
    run.store.rooms()[0].house.clone()
}

#[test]
fn who_may_do_what_outlives_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.send(den(1));
    run.send(change(2, HouseChange::Admit, "invite", "bob", 0));
    run.send(change(3, HouseChange::Admit, "invite", "carol", 0));
    run.send(change(4, HouseChange::Role(Some(RoleRow::Operator)), "op", "carol", 0));
    run.send(change(5, HouseChange::Admit, "invite", "dave", 0));
    run.send(change(6, HouseChange::Dismiss, "kick", "dave", 0));
    run.send(change(7, HouseChange::Dismiss, "kick", "carol", 0));
    run.send(change(8, HouseChange::Slow, "slow", "", 5));
    run.send(change(9, HouseChange::Impose(Sanction::Mute), "mute", "bob", 0));
    run.send(change(10, HouseChange::Impose(Sanction::Ban), "ban", "eve", 60));
    assert!(matches!(run.outcomes(10)[9], Outcome::Moderated { id: 10, room: 1 }));
    run.store.finish().unwrap();

    let run = Running::start(dir.path());
    let found = house(&run);
    assert!(found.is_private);
    assert_eq!(found.slow_s, 5);
    let role = |name: &str, role| (name.to_owned(), role);
    assert_eq!(
        found.roles,
        [role("alice", RoleRow::Owner), role("bob", RoleRow::Member), role("carol", RoleRow::Operator)],
    );
    let [bob, eve] = &found.sanctions[..] else { panic!("{found:?}") };
    assert_eq!((bob.subject.as_str(), bob.kind, bob.until_ms), ("bob", Sanction::Mute, None));
    assert_eq!((eve.subject.as_str(), eve.kind, eve.note.as_str()), ("eve", Sanction::Ban, "because"));
    let lines = audit(&DataDir::open(dir.path()).unwrap(), None, 100).unwrap();
    assert_eq!(Some(lines[9].time_ms + 60_000), eve.until_ms, "a minute from its commit on");

    run.send(change(11, HouseChange::Lift(Sanction::Mute), "unmute", "bob", 0));
    run.send(change(12, HouseChange::Impose(Sanction::Ban), "ban", "bob", 0));
    run.send(change(13, HouseChange::Demote, "deop", "carol", 0));
    run.outcomes(3);
    run.store.finish().unwrap();
    let found = house(&Running::start(dir.path()));
    assert_eq!(found.roles, [role("alice", RoleRow::Owner), role("carol", RoleRow::Member)]);
    let bob = &found.sanctions[0];
    assert_eq!((bob.subject.as_str(), bob.kind, bob.until_ms), ("bob", Sanction::Ban, None));
}

#[test]
fn the_audit_log_tells_the_latest_lines_of_one_room_or_all_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.send(den(1));
    for (id, action) in [(2, "kick"), (3, "mute"), (4, "ban")] {
        run.send(change(id, HouseChange::Dismiss, action, "bob", 7));
    }
    run.outcomes(4);
    let dir = DataDir::open(dir.path()).unwrap();
    let actions = |room, limit| {
        let lines = audit(&dir, room, limit).unwrap();
        lines.into_iter().map(|line| line.action).collect::<Vec<_>>()
    };
    // Beside the running server.
    assert_eq!(actions(None, 100), ["create", "kick", "mute", "ban"]);
    assert_eq!(actions(Some("den"), 2), ["mute", "ban"]);
    assert!(actions(Some("lobby"), 100).is_empty());
    let line = audit(&dir, None, 1).unwrap().remove(0);
    assert_eq!((line.room.as_str(), line.by.as_deref()), ("den", Some("alice")));
    assert_eq!((line.user.as_deref(), line.seconds, line.note.as_str()), (Some("bob"), 7, "because"));
    assert!(line.time_ms > 0);
}

#[test]
fn what_is_noted_about_an_account_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut accounts = Accounts::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    accounts.add("alice", false, b"record").unwrap();
    let run = Running::start(dir.path());
    run.send(den(1));
    run.send(change(2, HouseChange::Impose(Sanction::Mute), "mute", "alice", 0));
    run.send(bar(3, "@alice", 0));
    run.send(bar(4, "192.0.2.0/24", 60));
    run.outcomes(4);
    accounts.remove("alice").unwrap();
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    let found = house(&run);
    assert!(found.roles.is_empty() && found.sanctions.is_empty(), "{found:?}");
    let [ban] = &run.store.gate().bans[..] else { panic!("{:?}", run.store.gate()) };
    assert_eq!((ban.subject.as_str(), ban.note.as_str()), ("192.0.2.0/24", "spam"));
    assert!(ban.until_ms.is_some());
}

fn bar(id: u64, subject: &str, seconds: u32) -> Write {
    let (change, subject) = (GateChange::Bar, Some(subject.to_owned()));
    Write::Govern { id, by: None, action: "ban", change, subject, seconds, note: "spam".into() }
}

#[test]
fn bans_and_lockdown_of_the_server_outlive_it() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.send(bar(1, "192.0.2.0/24", 0));
    run.send(bar(2, "@eve", 0));
    let unbar = GateChange::Unbar;
    let (action, subject, note) = ("unban", Some("@eve".to_owned()), String::new());
    run.send(Write::Govern {
        id: 3,
        by: Some("root".into()),
        action,
        change: unbar,
        subject,
        seconds: 0,
        note,
    });
    let lock = GateChange::Lock { hushed: true };
    let (action, note) = ("hush", "flood".to_owned());
    run.send(Write::Govern { id: 4, by: None, action, change: lock, subject: None, seconds: 0, note });
    assert!(matches!(run.outcomes(4)[3], Outcome::Moderated { id: 4, room: 0 }));
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    assert_eq!(run.store.gate().bans.len(), 1);
    assert_eq!(run.store.gate().lockdown, Some((true, "flood".to_owned())));
    let lines = audit(&DataDir::open(dir.path()).unwrap(), None, 100).unwrap();
    let told: Vec<_> = lines.iter().map(|line| (line.by.as_deref(), line.action.as_str())).collect();
    assert_eq!(told, [(None, "ban"), (None, "ban"), (Some("root"), "unban"), (None, "hush")]);
}

#[test]
fn a_removed_room_takes_no_message_and_gives_its_number_to_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let run = Running::start(dir.path());
    run.send(den(1));
    run.send(change(2, HouseChange::Remove, "remove", "", 0));
    let (sender, device, text) = ("alice".to_owned(), store_support::DEVICE, "hello".to_owned());
    run.send(Write::Append { id: 3, room: 1, sender, device, counter: 1, text });
    assert!(matches!(run.outcomes(3)[2], Outcome::Failed { id: 3, .. }));
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    assert!(run.store.rooms().is_empty());
    assert_eq!(run.store.last_room(), 1);
}

#[test]
fn what_is_noted_too_late_about_an_account_is_not_the_next_one_s() {
    let dir = tempfile::tempdir().unwrap();
    let mut accounts = Accounts::open(&DataDir::open(dir.path()).unwrap()).unwrap();
    accounts.add("alice", false, b"record").unwrap();
    accounts.add("bob", false, b"record").unwrap();
    let run = Running::start(dir.path());
    run.one(den(1));
    // What the server has queued when the account is removed.
    accounts.remove("bob").unwrap();
    let (networks, people) = (["192.0.2.7/32".to_owned()], ["bob".to_owned()]);
    for to_bob in [
        HouseChange::Admit,
        HouseChange::Role(Some(RoleRow::Operator)),
        HouseChange::Own,
        HouseChange::Demote,
        HouseChange::Impose(Sanction::Mute),
        HouseChange::BanWith(networks.into()),
        HouseChange::Close(people.into()),
    ] {
        let outcome = run.one(change(2, to_bob.clone(), "invite", "bob", 0));
        assert_eq!(outcome, gone(2), "{to_bob:?}");
    }
    assert_eq!(run.one(bar(3, "@bob", 0)), gone(3));
    let conversation = |id| {
        let (kind, name) = (RoomKind::Direct, "alice/bob".to_owned());
        Write::CreateRoom { id, room: 2, kind, name, by: None, owner: None, is_private: false }
    };
    assert_eq!(run.one(conversation(4)), gone(4));
    let (kind, name, owner) = (RoomKind::Group, "his".to_owned(), Some("bob".to_owned()));
    let his = Write::CreateRoom { id: 5, room: 3, kind, name, by: owner.clone(), owner, is_private: true };
    assert!(matches!(run.one(his), Outcome::RoomCreated { room: 3, .. }));
    // What takes something away from nobody does no harm.
    assert!(matches!(run.one(change(6, HouseChange::Dismiss, "kick", "bob", 0)), Outcome::Moderated { .. }));

    accounts.add("bob", false, b"another").unwrap();
    run.store.finish().unwrap();
    let run = Running::start(dir.path());
    let [den, his] = run.store.rooms() else { panic!("{:?}", run.store.rooms()) };
    assert_eq!(den.house.roles, [("alice".to_owned(), RoleRow::Owner)]);
    assert!(den.house.sanctions.is_empty() && den.house.networks.is_empty(), "{den:?}");
    assert!(his.house.roles.is_empty() && run.store.gate().bans.is_empty(), "{his:?}");
    // Who has the name now is somebody that there is.
    assert!(matches!(run.one(change(7, HouseChange::Admit, "invite", "bob", 0)), Outcome::Moderated { .. }));
    assert!(matches!(run.one(conversation(8)), Outcome::RoomCreated { room: 2, .. }));
}

fn gone(id: u64) -> Outcome {
    Outcome::Failed { id, error: WriteError::Gone("bob".to_owned()) }
}
