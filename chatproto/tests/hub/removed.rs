//! Removed accounts: whoever gets such a name is somebody else, and whom it talked to keeps what was said.

use chatproto::hub::{ConnId, Event, Holder, Label, LogRequest};
use chatproto::wire::*;

use crate::desk::*;

/// Alice and Bob have talked, and Bob's account is removed. Gives Alice's connection and the room.
fn parted() -> (Desk, ConnId, RoomId) {
    let mut desk = Desk::new();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    desk.say_to(alice, 1, "bob", "what do you know?");
    desk.commit();
    desk.say_to(bob, 1, "alice", "the secret");
    desk.say_to(bob, 2, "bob", "a note to myself");
    desk.commit();
    let room = joined(&desk.frames(alice)).room;
    desk.hub.remove_user(&name("bob"), desk.now);
    desk.settle();
    assert_eq!(bye(&desk.frames(bob)), Some(CloseReason::Removed));
    (desk, alice, room)
}

/// What a login is told of conversations: with whom, whether it is over, the room.
fn log_in(desk: &mut Desk, user: &str, device: u8) -> (ConnId, Vec<(String, bool, RoomId)>) {
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    desk.start_login(conn, user, device);
    assert!(desk.hub.login_accept(conn, &accept(user)));
    let frames = desk.frames(conn);
    (conn, directs(&frames))
}

fn directs(frames: &[ToClient<'static>]) -> Vec<(String, bool, RoomId)> {
    let direct = |frame: &ToClient<'static>| match frame {
        ToClient::DirectRoom(it) => Some((it.with.as_str().to_owned(), it.over, it.room)),
        _ => None,
    };
    frames.iter().filter_map(direct).collect()
}

fn history(desk: &mut Desk, conn: ConnId, target: Target<'_>) -> Result<Vec<&'static str>, ErrorCode> {
    let (anchor, seq, limit) = (Anchor::Before, 0, 50);
    desk.send(conn, &History { request: RequestId(8), target, anchor, seq, limit });
    match desk.frames(conn).last() {
        Some(ToClient::MessagePage(page)) => Ok(page.messages.iter().map(|it| it.text.as_str()).collect()),
        Some(ToClient::Error(error)) => Err(error.code),
        other => panic!("{other:?}"),
    }
}

fn join_room(desk: &mut Desk, conn: ConnId, target: Target<'_>) -> Result<Joined<'static>, ErrorCode> {
    desk.send(conn, &Join { request: RequestId(9), target, cursor: Some(0) });
    let frames = desk.frames(conn);
    match errors(&frames).first() {
        Some((code, ..)) => Err(*code),
        None => Ok(joined(&frames)),
    }
}

fn found(desk: &mut Desk, conn: ConnId, target: Option<Target<'_>>) -> Result<usize, ErrorCode> {
    let words = Text::new("secret").unwrap();
    desk.send(conn, &Search { request: RequestId(7), target, limit: 50, words: words.borrow() });
    match desk.frames(conn).last() {
        Some(ToClient::MessagePage(page)) => Ok(page.messages.iter().count()),
        Some(ToClient::Error(error)) => Err(error.code),
        other => panic!("{other:?}"),
    }
}

/// Nothing of the conversation in `room` is there for somebody new of that name, whatever they ask.
fn learns_nothing(desk: &mut Desk, room: RoomId, device: u8) -> ConnId {
    let (bob, told) = log_in(desk, "bob", device);
    assert_eq!(told, [], "not even that there were conversations");
    let alice = name("alice");
    let me = name("bob");
    for target in [Target::Id(room), Target::User(alice.borrow()), Target::User(me.borrow())] {
        assert_eq!(history(desk, bob, target), Err(ErrorCode::NoSuchRoom));
        assert_eq!(join_room(desk, bob, target).unwrap_err(), ErrorCode::NoSuchRoom);
        assert_eq!(found(desk, bob, Some(target)), Err(ErrorCode::NoSuchRoom));
        desk.send(bob, &Who { request: RequestId(6), target });
        assert_eq!(errors(&desk.frames(bob))[0].0, ErrorCode::NoSuchRoom);
    }
    assert_eq!(found(desk, bob, None), Ok(0));
    let text = Text::new("hello?").unwrap();
    desk.send(bob, &Say { counter: 90, target: Target::Id(room), text: text.borrow() });
    desk.commit();
    assert_eq!(errors(&desk.frames(bob))[0].0, ErrorCode::NoSuchRoom);
    bob
}

/// Who is left reads it all, by the number of the room, and says nothing more there.
fn keeps_it(desk: &mut Desk, alice: ConnId, room: RoomId) {
    let target = Target::Id(room);
    assert_eq!(history(desk, alice, target), Ok(vec!["what do you know?", "the secret"]));
    assert_eq!(found(desk, alice, Some(target)), Ok(1));
    let entered = join_room(desk, alice, target).unwrap();
    assert_eq!((entered.kind, entered.name.as_str()), (RoomKind::Former, "bob"));
    let text = Text::new("are you there?").unwrap();
    desk.send(alice, &Say { counter: 80, target, text: text.borrow() });
    desk.commit();
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::ConversationOver);
}

#[test]
fn a_new_account_of_that_name_learns_nothing_and_the_other_keeps_it() {
    let (mut desk, alice, room) = parted();
    assert_eq!(directs(&desk.frames(alice)), [("bob".to_owned(), true, room)], "told at once");
    keeps_it(&mut desk, alice, room);
    learns_nothing(&mut desk, room, 3);
    desk.commit();
    let mut desk = desk.restart();
    learns_nothing(&mut desk, room, 4);
    let (alice, told) = log_in(&mut desk, "alice", 1);
    assert_eq!(told, [("bob".to_owned(), true, room)]);
    keeps_it(&mut desk, alice, room);
}

#[test]
fn words_to_the_new_account_begin_another_conversation() {
    let (mut desk, alice, room) = parted();
    let bob = learns_nothing(&mut desk, room, 3);
    desk.skip(alice);
    desk.say_to(alice, 2, "bob", "are you the old one?");
    desk.commit();
    let frames = desk.frames(bob);
    let fresh = joined(&frames);
    assert_eq!((fresh.kind, fresh.last), (RoomKind::Direct, 0));
    assert_ne!(fresh.room, room);
    assert_eq!(messages(&frames), [(1, "are you the old one?", false)]);
    // Both are told of at a login, what is over first: it is never taken for the other.
    let mut desk = desk.restart();
    let (alice, told) = log_in(&mut desk, "alice", 1);
    assert_eq!(told, [("bob".to_owned(), true, room), ("bob".to_owned(), false, fresh.room)]);
    keeps_it(&mut desk, alice, room);
    let (_, told) = log_in(&mut desk, "bob", 3);
    assert_eq!(told, [("alice".to_owned(), false, fresh.room)]);
}

#[test]
fn the_second_bob_goes_as_the_first_and_their_rooms_stay_apart() {
    let (mut desk, alice, first) = parted();
    desk.say_to(alice, 2, "bob", "secret, too");
    desk.commit();
    let (_, told) = log_in(&mut desk, "bob", 3);
    let second = told[0].2;
    desk.hub.remove_user(&name("bob"), desk.now);
    desk.commit();
    for room in [first, second] {
        learns_nothing(&mut desk, room, 4);
    }
    let mut desk = desk.restart();
    let (_, told) = log_in(&mut desk, "alice", 1);
    assert_eq!(told, [("bob".to_owned(), true, first), ("bob".to_owned(), true, second)]);
    // When she goes as well, nobody is left to read it: not an Alice who comes after her either.
    desk.hub.remove_user(&name("alice"), desk.now);
    desk.commit();
    let mut desk = desk.restart();
    let (alice, told) = log_in(&mut desk, "alice", 9);
    assert_eq!(told, []);
    assert_eq!(history(&mut desk, alice, Target::Id(first)), Err(ErrorCode::NoSuchRoom));
    assert_eq!(desk.hub.router().info(second), None);
}

#[test]
fn what_is_on_its_way_when_the_account_goes_does_not_reach_the_next() {
    let mut desk = Desk::new();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    // The room and the message wait for the log.
    desk.say_to(alice, 1, "bob", "a secret on its way");
    desk.hub.remove_user(&name("bob"), desk.now);
    desk.commit();
    desk.skip(bob);
    let (_, told) = log_in(&mut desk, "bob", 3);
    assert_eq!(told, []);
    let mut desk = desk.restart();
    let (_, told) = log_in(&mut desk, "bob", 3);
    assert_eq!(told, []);
    let (_, told) = log_in(&mut desk, "alice", 1);
    assert!(told[0].1, "{told:?}");
    assert_eq!(desk.log.records(&Label::Former(name("alice"), name("bob"))).len(), 1);
}

#[test]
fn first_words_of_a_removed_account_are_not_said_by_the_next() {
    let mut desk = Desk::new();
    let bob = desk.login("bob", 2);
    let (to, text) = (name("carol"), Text::new("secret").unwrap());
    let say = Say { counter: 1, target: Target::User(to.borrow()), text: text.borrow() };
    desk.hub.handle_input(bob, &say.to_bytes(), desk.now);
    let asked = desk.hub.poll_event();
    let Some(Event::Log(LogRequest::FindUser { id, .. })) = asked else { panic!("{asked:?}") };
    desk.hub.remove_user(&name("bob"), desk.now);
    assert!(desk.hub.user_known(id, Some(Holder::Person)), "it was asked");
    desk.commit();
    for user in ["bob", "carol"] {
        assert_eq!(log_in(&mut desk, user, 5).1, []);
    }
}

#[test]
fn in_memory_only_it_is_the_same() {
    let mut desk = Desk::new();
    desk.log.set_volatile();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    desk.say_to(alice, 1, "bob", "what do you know?");
    desk.commit();
    desk.say_to(bob, 1, "alice", "the secret");
    desk.commit();
    let room = joined(&desk.frames(alice)).room;
    desk.hub.remove_user(&name("bob"), desk.now);
    desk.commit();
    desk.skip(alice);
    keeps_it(&mut desk, alice, room);
    learns_nothing(&mut desk, room, 3);
    learns_nothing(&mut desk.restart(), room, 4);
}

#[test]
fn an_order_on_its_way_when_the_account_goes_is_not_done_to_the_next() {
    let moderation = Capabilities::NONE.with(Capability::Moderation);
    let mut desk = Desk::with(|config| config.capabilities = moderation);
    let [alice, _] = [desk.login("alice", 1), desk.login("bob", 2)];
    desk.join(alice, "garden", None);
    desk.commit();
    desk.skip(alice);
    let (garden, bob) = (name("garden"), name("bob"));
    let order = Moderate {
        request: RequestId(7),
        target: Target::Room(garden.borrow()),
        action: Action::Op,
        user: Some(bob.borrow()),
        seconds: 0,
        note: NoteRef::EMPTY,
    };
    desk.send(alice, &order);
    desk.hub.remove_user(&bob, desk.now);
    desk.commit();
    assert_eq!(errors(&desk.frames(alice)).first().map(|it| it.0), Some(ErrorCode::NoSuchUser));
    let room = desk.hub.router().find(&Label::Group(garden)).unwrap();
    assert_eq!(desk.hub.router().house(room).unwrap().role(&bob), None);
}

#[test]
fn a_ban_and_an_admission_on_their_way_when_the_account_goes_do_not_reach_the_next() {
    let moderation = Capabilities::NONE.with(Capability::Moderation);
    let mut desk = Desk::with(|config| config.capabilities = moderation);
    let [alice, root] = [desk.login("alice", 1), desk.login("root", 9)];
    let bob = desk.login("bob", 2);
    for conn in [alice, bob] {
        desk.join(conn, "garden", None);
    }
    desk.commit();
    for conn in [alice, root] {
        desk.skip(conn);
    }
    let (garden, gone, note) = (name("garden"), name("bob"), NoteRef::EMPTY);
    let (request, target) = (RequestId(7), Target::Room(garden.borrow()));
    desk.send(alice, &Moderate { request, target, action: Action::Private, user: None, seconds: 0, note });
    let subject = Subject::User(gone.clone());
    let subject = Some(subject.borrow());
    desk.send(root, &Govern { request, action: Action::Ban, subject, seconds: 0, note });
    desk.hub.remove_user(&gone, desk.now);
    desk.commit();
    assert_eq!(errors(&desk.frames(root)).first().map(|it| it.0), Some(ErrorCode::NoSuchUser));
    assert_eq!(desk.hub.gate().bans().count(), 0);
    let room = desk.hub.router().find(&Label::Group(garden)).unwrap();
    let house = desk.hub.router().house(room).unwrap();
    assert!(house.is_private && house.role(&gone).is_none());
}
