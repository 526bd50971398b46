//! Presence: the first and the last device of a person in a room, told to the others.

use chatproto::wire::*;

use crate::desk::*;

#[test]
fn only_the_first_and_the_last_device_change_presence() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.skip(alice);
    let first = desk.member("bob", 2);
    assert_eq!(presence(&desk.frames(alice)), [(Change::Entered, "bob")]);
    let second = desk.member("bob", 3);
    assert_eq!(presence(&desk.frames(alice)), []);
    desk.hub.handle_eof(first, desk.now);
    assert_eq!(presence(&desk.frames(alice)), []);
    desk.hub.handle_eof(second, desk.now);
    assert_eq!(presence(&desk.frames(alice)), [(Change::Departed, "bob")]);
}

#[test]
fn nobody_is_told_of_themselves_or_of_those_already_there() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    let bob = desk.login("bob", 2);
    desk.join(bob, "lobby", None);
    assert_eq!(presence(&desk.frames(bob)), []);
    assert_eq!(presence(&desk.frames(alice)), [(Change::Entered, "bob")]);
    let again = desk.login("bob", 3);
    desk.join(again, "lobby", None);
    assert_eq!(presence(&desk.frames(again)), []);
    assert_eq!(presence(&desk.frames(bob)), []);
}

#[test]
fn nobody_sees_themselves_enter_a_new_conversation() {
    let mut desk = Desk::new();
    let conns = [desk.login("alice", 1), desk.login("alice", 2), desk.login("bob", 3)];
    desk.say_to(conns[0], 1, "bob", "hi");
    for conn in conns {
        assert_eq!(presence(&desk.frames(conn)), []);
    }
}

#[test]
fn a_storm_of_newcomers_in_one_turn_is_one_batch() {
    let mut desk = Desk::new();
    let watcher = desk.member("watcher", 1);
    let names: Vec<String> = (0..50).map(|at| format!("n{at}")).collect();
    let conns: Vec<_> = names.iter().map(|user| desk.login(user, 2)).collect();
    desk.skip(watcher);
    let lobby = name("lobby");
    let join = Join { request: RequestId(1), target: Target::Room(lobby.borrow()), cursor: None };
    for conn in &conns {
        desk.hub.handle_input(*conn, &join.to_bytes(), desk.now);
    }
    let entered: Vec<&str> = presence(&desk.frames(watcher)).into_iter().map(|(_, user)| user).collect();
    assert_eq!(entered, names);
    for conn in conns {
        let frames = desk.frames(conn);
        assert_eq!(presence(&frames), [], "they came in the same turn");
        assert!(matches!(frames.last(), Some(ToClient::CaughtUp(_))));
    }
}

#[test]
fn presence_of_the_past_is_not_replayed_to_newcomers() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.say(alice, 1, "lobby", "one");
    desk.commit();
    // One batch with a message and somebody who goes; then she is back.
    desk.say(alice, 2, "lobby", "two");
    let bob = desk.member("bob", 2);
    desk.hub.handle_eof(bob, desk.now);
    desk.commit();
    desk.member("bob", 2);
    let late = desk.login("carol", 3);
    desk.join(late, "lobby", Some(0));
    let frames = desk.frames(late);
    assert_eq!(seqs(&frames), [1, 2]);
    assert_eq!(presence(&frames), []);
}

#[test]
fn who_counts_people_and_devices() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.member("bob", 2);
    desk.member("bob", 3);
    desk.skip(alice);
    let lobby = name("lobby");
    desk.send(alice, &Who { request: RequestId(4), target: Target::Room(lobby.borrow()) });
    let frames = desk.frames(alice);
    let [ToClient::Members(members)] = frames.as_slice() else { panic!("{frames:?}") };
    let people: Vec<(&str, u16)> = members.members.iter().map(|it| (it.user.as_str(), it.devices)).collect();
    assert_eq!(people, [("alice", 1), ("bob", 2)]);
    assert!(!members.more);
}

#[test]
fn who_joins_again_is_told_who_is_there_when_it_turns_live() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    desk.say(alice, 1, "lobby", "one");
    desk.commit();
    desk.skip(alice);
    let bob = desk.login("bob", 2);
    // Asks for what it may have missed, and in the same turn somebody comes.
    let lobby = name("lobby");
    let join = |cursor| Join { request: RequestId(2), target: Target::Room(lobby.borrow()), cursor };
    desk.hub.handle_input(alice, &join(Some(0)).to_bytes(), desk.now);
    desk.hub.handle_input(bob, &join(None).to_bytes(), desk.now);
    let mut people = desk.frames(alice).into_iter().filter_map(|frame| match frame {
        ToClient::Members(page) => Some(page.members.iter().map(|it| it.user.as_str()).collect::<Vec<_>>()),
        _ => None,
    });
    assert_eq!(people.next_back(), Some(vec!["alice", "bob"]));
}
