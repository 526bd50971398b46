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

use chatserver::store::{DataDir, HouseChange, HouseRow, Outcome, RoleRow, RoomKind, Sanction, Write, audit};
use store_support::Running;

fn den(id: u64) -> Write {
    let (kind, name, owner) = (RoomKind::Group, "den".to_owned(), Some("alice".to_owned()));
    Write::CreateRoom { id, room: 1, kind, name, owner, is_private: true }
}

fn change(id: u64, change: HouseChange, action: &'static str, user: &str, seconds: u32) -> Write {
    let (by, note) = ("alice".to_owned(), "because".to_owned());
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
    let [(bob, Sanction::Mute, None), (eve, Sanction::Ban, Some(until_ms))] = &found.sanctions[..] else {
        panic!("{found:?}")
    };
    assert_eq!((bob.as_str(), eve.as_str()), ("bob", "eve"));
    let lines = audit(&DataDir::open(dir.path()).unwrap(), None, 100).unwrap();
    assert_eq!(lines[8].time_ms + 60_000, *until_ms, "a minute from its commit on");

    run.send(change(11, HouseChange::Lift(Sanction::Mute), "unmute", "bob", 0));
    run.send(change(12, HouseChange::Impose(Sanction::Ban), "ban", "bob", 0));
    run.send(change(13, HouseChange::Role(Some(RoleRow::Member)), "deop", "carol", 0));
    run.outcomes(3);
    run.store.finish().unwrap();
    let found = house(&Running::start(dir.path()));
    assert_eq!(found.roles, [role("alice", RoleRow::Owner), role("carol", RoleRow::Member)]);
    assert_eq!(found.sanctions[0], ("bob".to_owned(), Sanction::Ban, None));
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
    assert_eq!(actions(None, 100), ["kick", "mute", "ban"]);
    assert_eq!(actions(Some("den"), 2), ["mute", "ban"]);
    assert!(actions(Some("lobby"), 100).is_empty());
    let line = audit(&dir, None, 1).unwrap().remove(0);
    assert_eq!((line.room.as_str(), line.by.as_str()), ("den", "alice"));
    assert_eq!((line.user.as_deref(), line.seconds, line.note.as_str()), (Some("bob"), 7, "because"));
    assert!(line.time_ms > 0);
}
