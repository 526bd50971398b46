//! Conversations of two people: made with the first message, kept for those who are away.

use chatproto::hub::{ConnId, Event, Holder, LogRequest, QueryId};
use chatproto::wire::*;

use crate::desk::*;

fn join_user(desk: &mut Desk, conn: ConnId, with: &str, cursor: Option<u64>) {
    let with = name(with);
    desk.send(conn, &Join { request: RequestId(3), target: Target::User(with.borrow()), cursor });
}

#[test]
fn first_message_makes_the_conversation_for_both_and_all_their_devices() {
    let mut desk = Desk::new();
    let (alice, alice2) = (desk.login("alice", 1), desk.login("alice", 2));
    let bob = desk.login("bob", 3);
    desk.say_to(alice, 1, "bob", "psst");
    desk.commit();
    for (conn, with) in [(alice, "bob"), (alice2, "bob"), (bob, "alice")] {
        let frames = desk.frames(conn);
        let entered = joined(&frames);
        assert_eq!((entered.kind, entered.name.as_str()), (RoomKind::Direct, with));
        assert_eq!(messages(&frames), [(1, "psst", false)]);
    }
    desk.say_to(bob, 1, "alice", "what?");
    desk.commit();
    assert_eq!(messages(&desk.frames(alice2)), [(2, "what?", false)]);
}

#[test]
fn message_to_somebody_away_waits_for_their_login() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    desk.say_to(alice, 1, "bob", "one");
    desk.say_to(alice, 2, "bob", "two");
    desk.commit();
    let mut desk = desk.restart();
    let bob = desk.connect("192.0.2.1");
    desk.hello(bob);
    desk.start_login(bob, "bob", 3);
    assert!(desk.hub.login_accept(bob, &accept("bob")));
    let frames = desk.frames(bob);
    let Some(ToClient::DirectRoom(direct)) = frames.last() else { panic!("{frames:?}") };
    assert_eq!((direct.with.as_str(), direct.last), ("alice", 2));
    join_user(&mut desk, bob, "alice", Some(0));
    assert_eq!(messages(&desk.frames(bob)), [(1, "one", true), (2, "two", true)]);
    let carol = desk.login("carol", 4);
    assert_eq!(desk.frames(carol), [], "nobody else hears of it");
}

#[test]
fn who_logs_in_while_the_first_message_is_being_stored_hears_of_the_conversation() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    desk.say_to(alice, 1, "bob", "psst");
    let bob = desk.login("bob", 2);
    assert_eq!(desk.frames(bob), [], "nothing is shown that is not stored");
    desk.commit();
    let room = joined(&desk.frames(alice)).room;
    let alice_name = name("alice");
    let begun = DirectRoom { room, with: alice_name.borrow(), last: 1, over: false };
    assert_eq!(desk.frames(bob), [ToClient::DirectRoom(begun)]);
    join_user(&mut desk, bob, "alice", Some(0));
    assert_eq!(messages(&desk.frames(bob)), [(1, "psst", true)]);
}

#[test]
fn a_conversation_nobody_began_cannot_be_joined() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    join_user(&mut desk, alice, "bob", None);
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::NoSuchRoom);
}

#[test]
fn one_can_write_to_oneself() {
    let mut desk = Desk::new();
    let (desk_top, phone) = (desk.login("alice", 1), desk.login("alice", 2));
    desk.say_to(desk_top, 1, "alice", "milk");
    desk.commit();
    assert_eq!(messages(&desk.frames(phone)), [(1, "milk", false)]);
    assert_eq!(messages(&desk.frames(desk_top)), [(1, "milk", false)]);
}

/// A lookup that the test answers when it wants.
fn lookups(desk: &mut Desk) -> Vec<QueryId> {
    let mut asked = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        match event {
            Event::Log(LogRequest::FindUser { id, .. }) => asked.push(id),
            other => desk.events.extend(desk.log.take(other, desk.now)),
        }
    }
    asked
}

fn say_raw(desk: &mut Desk, conn: ConnId, counter: u64, to: &str, text: &str) {
    let (to, text) = (name(to), Text::new(text).unwrap());
    let say = Say { counter, target: Target::User(to.borrow()), text: text.borrow() };
    desk.hub.handle_input(conn, &say.to_bytes(), desk.now);
}

#[test]
fn messages_that_wait_for_a_lookup_keep_their_order_and_ask_once() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.login("alice", 1), desk.login("bob", 2));
    say_raw(&mut desk, alice, 1, "bob", "one");
    say_raw(&mut desk, alice, 2, "bob", "two");
    let asked = lookups(&mut desk);
    assert_eq!(asked.len(), 1);
    assert!(desk.hub.user_known(asked[0], Some(Holder::Person)));
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(1, "one", false), (2, "two", false)]);
}

#[test]
fn two_people_who_write_first_at_once_share_one_conversation_in_order() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.login("alice", 1), desk.login("bob", 2));
    say_raw(&mut desk, alice, 1, "bob", "a1");
    say_raw(&mut desk, bob, 1, "alice", "b1");
    let asked = lookups(&mut desk);
    assert_eq!(asked.len(), 2);
    assert!(desk.hub.user_known(asked[1], Some(Holder::Person)), "bob's question is answered first");
    say_raw(&mut desk, alice, 2, "bob", "a2");
    assert!(desk.hub.user_known(asked[0], Some(Holder::Person)));
    desk.commit();
    let seen = messages(&desk.frames(alice));
    let order: Vec<&str> = seen.iter().map(|(_, text, _)| *text).collect();
    assert_eq!(order, ["b1", "a1", "a2"]);
    assert_eq!(messages(&desk.frames(bob)), seen);
}

#[test]
fn refused_lookup_refuses_all_that_waited_for_it() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    say_raw(&mut desk, alice, 1, "ghost", "one");
    say_raw(&mut desk, alice, 2, "ghost", "two");
    let asked = lookups(&mut desk);
    assert!(desk.hub.user_known(asked[0], Some(Holder::Nobody)));
    desk.commit();
    let refused = errors(&desk.frames(alice));
    assert_eq!(
        refused.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>(),
        [(ErrorCode::NoSuchUser, 1), (ErrorCode::NoSuchUser, 2)]
    );
}

#[test]
fn who_could_not_be_looked_up_is_asked_for_again_later() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    say_raw(&mut desk, alice, 1, "bob", "one");
    let asked = lookups(&mut desk);
    assert!(desk.hub.user_known(asked[0], None));
    desk.commit();
    let refused = errors(&desk.frames(alice));
    assert_eq!(refused.iter().map(|it| (it.0, it.1)).collect::<Vec<_>>(), [(ErrorCode::Busy, 1)]);
}

#[test]
fn what_was_stored_is_acknowledged_though_the_person_is_gone() {
    let mut desk = Desk::new();
    let alice = desk.login("alice", 1);
    desk.say_to(alice, 1, "bob", "one");
    desk.commit();
    desk.skip(alice);
    desk.hub.remove_user(&name("bob"), desk.now);
    desk.log.set_users([name("alice")]);
    // The acknowledgement was lost: it is sent again.
    desk.say_to(alice, 1, "bob", "one");
    desk.commit();
    let frames = desk.frames(alice);
    assert!(
        frames.iter().any(|frame| matches!(frame, ToClient::Posted(Posted { counter: 1, .. }))),
        "{frames:?}"
    );
    assert_eq!(errors(&frames), []);
}

#[test]
fn conversations_that_others_begin_take_no_place_in_groups() {
    let mut desk = Desk::with(|config| config.max_rooms_joined = 2);
    let teacher = desk.login("teacher", 1);
    for (device, user) in (2..).zip(["ann", "ben", "cleo", "dan", "eve", "fay"]) {
        let student = desk.login(user, device);
        desk.say_to(student, 1, "teacher", "a question");
        desk.commit();
    }
    let heard = desk.frames(teacher);
    // Past twice as many as groups it hears of them by name.
    assert_eq!(messages(&heard).len(), 4);
    assert_eq!(heard.iter().filter(|frame| matches!(frame, ToClient::DirectRoom(_))).count(), 2);
    for (room, is_let_in) in [("lobby", true), ("garden", true), ("shed", false)] {
        desk.join(teacher, room, None);
        assert_eq!(errors(&desk.frames(teacher)).is_empty(), is_let_in, "{room}");
    }
}
