//! What was stored is acknowledged for good, whatever its sender may do now.

use chatproto::hub::{AppendId, ConnId, Event, LogRequest, Stored};
use chatproto::wire::*;

use crate::desk::*;

/// Alice owns the garden, and Bob has said number 7 there without hearing that it was stored.
fn garden() -> (Desk, ConnId, ConnId) {
    let mut desk = desk();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.join(alice, "garden", None);
    desk.join(bob, "garden", None);
    desk.say(bob, 7, "garden", "once");
    desk.commit();
    desk.skip(alice);
    desk.skip(bob);
    (desk, alice, bob)
}

fn desk() -> Desk {
    Desk::with(|config| config.capabilities = Capabilities::NONE.with(Capability::Moderation))
}

fn order(desk: &mut Desk, conn: ConnId, action: Action, user: &str) {
    let room = name("garden");
    let person = (!user.is_empty()).then(|| name(user));
    desk.send(
        conn,
        &Moderate {
            request: RequestId(9),
            target: Target::Room(room.borrow()),
            action,
            user: person.as_ref().map(Name::borrow),
            seconds: 60,
            note: NoteRef::EMPTY,
        },
    );
    desk.commit();
    desk.skip(conn);
}

/// Says what is in the log already, and something new: the one is acknowledged, the other refused.
fn says_old_and_new(desk: &mut Desk, bob: ConnId, refusal: ErrorCode) {
    desk.skip(bob);
    desk.say(bob, 7, "garden", "once");
    desk.say(bob, 8, "garden", "more");
    desk.commit();
    let frames = desk.frames(bob);
    let posted = |frame: &ToClient<'static>| match frame {
        ToClient::Posted(posted) => Some((posted.counter, posted.seq)),
        _ => None,
    };
    assert_eq!(frames.iter().filter_map(posted).collect::<Vec<_>>(), [(7, 1)], "{frames:?}");
    let refused = errors(&frames);
    assert_eq!(
        refused.iter().map(|(code, counter, _)| (*code, *counter)).collect::<Vec<_>>(),
        [(refusal, 8)]
    );
    assert_eq!(desk.log.records(&chatproto::hub::Label::Group(name("garden"))).len(), 1);
}

#[test]
fn of_the_muted() {
    let (mut desk, alice, bob) = garden();
    order(&mut desk, alice, Action::Mute, "bob");
    says_old_and_new(&mut desk, bob, ErrorCode::Muted);
}

#[test]
fn of_the_banned_and_of_the_kicked() {
    for action in [Action::Ban, Action::Kick] {
        let (mut desk, alice, bob) = garden();
        order(&mut desk, alice, action, "bob");
        says_old_and_new(&mut desk, bob, ErrorCode::NotMember);
    }
}

#[test]
fn of_those_who_have_left() {
    let (mut desk, _, bob) = garden();
    desk.send(bob, &Leave { room: RoomId(2) });
    says_old_and_new(&mut desk, bob, ErrorCode::NotMember);
}

#[test]
fn of_the_hasty() {
    let (mut desk, alice, bob) = garden();
    order(&mut desk, alice, Action::Slow, "");
    desk.say(bob, 9, "garden", "slowly");
    desk.commit();
    desk.skip(bob);
    desk.say(bob, 7, "garden", "once");
    desk.say(bob, 9, "garden", "slowly");
    desk.say(bob, 10, "garden", "too soon");
    desk.commit();
    let frames = desk.frames(bob);
    let codes: Vec<_> = errors(&frames).iter().map(|(code, counter, _)| (*code, *counter)).collect();
    assert_eq!(codes, [(ErrorCode::SlowMode, 10)]);
    assert_eq!(frames.iter().filter(|frame| matches!(frame, ToClient::Posted(_))).count(), 2);
}

#[test]
fn of_those_to_whom_the_room_does_not_show_itself_any_more() {
    let mut desk = desk();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    let garden = name("garden");
    desk.send(alice, &Create { request: RequestId(1), name: garden.borrow(), private: true });
    order(&mut desk, alice, Action::Invite, "bob");
    desk.join(bob, "garden", None);
    desk.say(bob, 7, "garden", "once");
    desk.commit();
    order(&mut desk, alice, Action::Kick, "bob");
    says_old_and_new(&mut desk, bob, ErrorCode::NoSuchRoom);
}

#[test]
fn a_repeat_that_overtakes_nothing_finds_what_is_still_on_its_way() {
    let mut desk = desk();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.join(alice, "garden", None);
    desk.join(bob, "garden", None);
    desk.say(bob, 7, "garden", "once");
    desk.send(bob, &Leave { room: RoomId(2) });
    desk.say(bob, 7, "garden", "once");
    desk.commit();
    let frames = desk.frames(bob);
    assert_eq!(frames.iter().filter(|frame| matches!(frame, ToClient::Posted(_))).count(), 2, "{frames:?}");
    assert_eq!(errors(&frames), []);
}

#[test]
fn what_the_log_has_let_go_of_is_acknowledged_without_a_number() {
    let (mut desk, alice, bob) = garden();
    desk.log.forget(&chatproto::hub::Label::Group(name("garden")), 1);
    desk.say(bob, 7, "garden", "once");
    order(&mut desk, alice, Action::Mute, "bob");
    desk.say(bob, 7, "garden", "once");
    desk.commit();
    let frames = desk.frames(bob);
    let posted = |frame: &&ToClient<'static>| {
        matches!(frame, ToClient::Posted(Posted { counter: 7, room: RoomId(2), seq: 0, time: 0 }))
    };
    assert_eq!(frames.iter().filter(posted).count(), 2, "{frames:?}");
    assert_eq!(messages(&frames), []);
}

/// The hub's question to the log about what Bob says.
fn question(desk: &mut Desk, bob: ConnId) -> AppendId {
    let (lobby, text) = (name("nowhere"), TextRef::new("x").unwrap());
    let say = Say { counter: 1, target: Target::Room(lobby.borrow()), text };
    desk.hub.handle_input(bob, &say.to_bytes(), desk.now);
    loop {
        match desk.hub.poll_event() {
            Some(Event::Log(LogRequest::Recall { id, room: None, counter: 1, .. })) => return id,
            Some(_) => {}
            None => panic!("the log was not asked"),
        }
    }
}

#[test]
fn a_log_that_cannot_look_leaves_it_open_and_one_that_stores_is_out_of_order() {
    let mut desk = desk();
    let bob = desk.login("bob", 2);
    let id = question(&mut desk, bob);
    assert!(desk.hub.stored(id, Stored::Failed));
    let refused = errors(&desk.frames(bob));
    assert_eq!((refused[0].0, refused[0].1), (ErrorCode::Busy, 1), "to be sent again");
    let id = question(&mut desk, bob);
    assert!(!desk.hub.stored(id, Stored::Committed { seq: 1, time: 0 }));
    assert!(!desk.hub.stored(id, Stored::Absent), "it was answered");
}

#[test]
fn questions_about_what_was_said_count_as_messages_on_their_way() {
    let mut desk = Desk::with(|config| config.max_appends = 2);
    let bob = desk.login("bob", 2);
    desk.skip(bob);
    for counter in 1..=3 {
        desk.say(bob, counter, "nowhere", "x");
    }
    assert!(!desk.hub.wants_read(bob));
    assert_eq!(errors(&desk.frames(bob))[0].0, ErrorCode::Backlog);
    desk.commit();
    assert!(desk.hub.wants_read(bob));
    assert_eq!(errors(&desk.frames(bob)).len(), 2);
}
