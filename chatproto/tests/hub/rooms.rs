//! Entering, leaving and finding rooms.

use chatproto::hub::{Event, LogRequest};
use chatproto::wire::*;

use crate::desk::*;

#[test]
fn default_room_exists_and_is_stored() {
    let mut desk = Desk::new();
    let conn = desk.login("alice", 1);
    desk.join(conn, "lobby", None);
    let entered = joined(&desk.frames(conn));
    assert_eq!((entered.name.as_str(), entered.kind), ("lobby", RoomKind::Group));
    assert_eq!((entered.last, entered.cursor, entered.request), (0, 0, RequestId(1)));
    desk.commit();
    assert_eq!(desk.log.rooms().count(), 1);

    let mut desk = desk.restart();
    let conn = desk.login("alice", 1);
    desk.join(conn, "lobby", None);
    assert_eq!(joined(&desk.frames(conn)).room, entered.room, "the same room after a restart");
}

#[test]
fn joining_an_unknown_name_makes_the_room_once() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.login("alice", 1), desk.login("bob", 2));
    desk.join(alice, "tea", None);
    desk.join(bob, "tea", None);
    let (first, second) = (joined(&desk.frames(alice)), joined(&desk.frames(bob)));
    assert_eq!(first.room, second.room);
    desk.commit();
    assert_eq!(desk.log.rooms().count(), 2);
}

#[test]
fn joining_is_confirmed_before_anything_of_the_room_and_ends_in_caught_up() {
    let mut desk = Desk::new();
    let conn = desk.login("alice", 1);
    desk.join(conn, "lobby", None);
    let frames = desk.frames(conn);
    let [ToClient::Joined(_), ToClient::CaughtUp(caught_up)] = frames.as_slice() else {
        panic!("{frames:?}")
    };
    assert_eq!(caught_up.seq, 0);
}

#[test]
fn joining_again_changes_nothing_for_others() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.join(bob, "lobby", None);
    assert_eq!(desk.frames(alice), []);
    assert_eq!(joined(&desk.frames(bob)).name.as_str(), "lobby");
}

#[test]
fn rooms_by_number_must_exist_and_conversations_be_ones_own() {
    let mut desk = Desk::new();
    let (alice, bob, carol) = (desk.member("alice", 1), desk.member("bob", 2), desk.member("carol", 3));
    desk.say_to(alice, 1, "bob", "psst");
    let direct = joined(&desk.frames(bob)).room;
    for (room, code) in [(RoomId(99), ErrorCode::NoSuchRoom), (direct, ErrorCode::NoSuchRoom)] {
        desk.skip(carol);
        let target = Target::Id(room);
        let text = TextRef::new("x").unwrap();
        desk.send(carol, &Join { request: RequestId(5), target, cursor: None });
        desk.send(carol, &Who { request: RequestId(6), target });
        desk.send(
            carol,
            &History { request: RequestId(7), target, anchor: Anchor::Before, seq: 0, limit: 1 },
        );
        desk.send(carol, &Search { request: RequestId(8), target: Some(target), limit: 1, words: text });
        desk.send(carol, &Say { counter: 9, target, text });
        desk.commit();
        let refused = errors(&desk.frames(carol));
        let expected: Vec<(ErrorCode, u64)> = (5..10).map(|request| (code, request)).collect();
        let refused: Vec<(ErrorCode, u64)> = refused.iter().map(|(code, at, _)| (*code, *at)).collect();
        assert_eq!(refused, expected);
    }
}

#[test]
fn leaving_is_confirmed_and_ends_delivery() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    let room = desk.hub.router().find(&chatproto::hub::Label::Group(name("lobby"))).unwrap();
    desk.skip(alice);
    desk.send(bob, &Leave { room });
    assert_eq!(desk.frames(bob), [ToClient::Left(Left { room, code: None })]);
    assert_eq!(presence(&desk.frames(alice)), [(Change::Departed, "bob")]);
    desk.say(alice, 1, "lobby", "hello?");
    desk.commit();
    assert_eq!(desk.frames(bob), []);
    desk.send(bob, &Leave { room });
    assert_eq!(errors(&desk.frames(bob))[0].0, ErrorCode::NotMember);
    desk.say(bob, 1, "lobby", "hm");
    desk.commit();
    assert_eq!(errors(&desk.frames(bob))[0].0, ErrorCode::NotMember);
}

#[test]
fn leaving_with_a_message_on_its_way_delivers_nothing_after_left() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    let room = joined_room(&mut desk, bob);
    desk.say(alice, 1, "lobby", "one");
    desk.send(bob, &Leave { room });
    desk.commit();
    let frames = desk.frames(bob);
    let left = frames.iter().position(|frame| matches!(frame, ToClient::Left(_))).unwrap();
    assert_eq!(messages(&frames[left..]), []);
}

#[test]
fn limits_of_rooms_are_kept() {
    let mut desk = Desk::with(|config| {
        config.max_rooms = 4;
        config.max_rooms_joined = 2;
    });
    let conn = desk.login("alice", 1);
    desk.join(conn, "one", None);
    desk.join(conn, "two", None);
    desk.skip(conn);
    desk.join(conn, "three", None);
    let error = errors(&desk.frames(conn))[0];
    assert_eq!(error.0, ErrorCode::TooManyRooms, "{}", error.2);
    // The refused join has left nothing behind: beside the lobby and the two there is room for one more.
    let other = desk.login("bob", 2);
    desk.join(other, "four", None);
    assert_eq!(joined(&desk.frames(other)).name.as_str(), "four");
    desk.join(other, "five", None);
    assert_eq!(errors(&desk.frames(other))[0].0, ErrorCode::TooManyRooms);
    desk.join(conn, "one", None);
    assert_eq!(joined(&desk.frames(conn)).name.as_str(), "one", "a room one is in can be joined again");
    desk.commit();
    let created = desk.log.rooms().count();
    assert_eq!(created, 4);
}

#[test]
fn rooms_made_are_told_before_any_message_of_them() {
    let mut desk = Desk::new();
    let conn = desk.login("alice", 1);
    let (tea, text) = (name("tea"), TextRef::new("x").unwrap());
    let target = Target::Room(tea.borrow());
    let mut bytes = Join { request: RequestId(1), target, cursor: None }.to_bytes().to_vec();
    bytes.extend(Say { counter: 1, target, text }.to_bytes());
    desk.hub.handle_input(conn, &bytes, desk.now);
    let mut order = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        match event {
            Event::Log(LogRequest::RoomCreated { .. }) => order.push("room"),
            Event::Log(LogRequest::Append { .. }) => order.push("append"),
            _ => {}
        }
    }
    assert_eq!(order.last(), Some(&"append"));
    assert!(order.contains(&"room"));
}

fn joined_room(desk: &mut Desk, conn: chatproto::hub::ConnId) -> RoomId {
    desk.join(conn, "lobby", None);
    joined(&desk.frames(conn)).room
}
