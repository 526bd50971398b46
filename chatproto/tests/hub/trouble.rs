//! A log that cannot store: its disk is full, or another process holds it for a while. What was asked for is not done, whoever
//! asked is told which of the two it is, and no room lives on that the log does not have.

use chatproto::hub::{Label, RoomOrder};
use chatproto::testing::Trouble;
use chatproto::wire::*;

use crate::desk::*;

/// What somebody is told in each kind of trouble.
const TOLD: [(Trouble, ErrorCode); 2] =
    [(Trouble::Full, ErrorCode::NotStored), (Trouble::Locked, ErrorCode::Busy)];

fn desk() -> Desk {
    let mut desk = Desk::with(|config| config.capabilities = Capabilities::NONE.with(Capability::Moderation));
    desk.commit();
    desk
}

fn create(desk: &mut Desk, conn: chatproto::hub::ConnId, room: &str) {
    let room = name(room);
    desk.send(conn, &Create { request: RequestId(7), name: room.borrow(), private: false });
}

fn codes(frames: &[ToClient<'static>]) -> Vec<ErrorCode> {
    errors(frames).into_iter().map(|(code, ..)| code).collect()
}

fn left(frames: &[ToClient<'static>]) -> Vec<Option<ErrorCode>> {
    let code = |frame: &ToClient<'static>| match frame {
        ToClient::Left(left) => Some(left.code),
        _ => None,
    };
    frames.iter().filter_map(code).collect()
}

#[test]
fn a_room_that_cannot_be_stored_is_gone_with_whoever_came_meanwhile() {
    for (trouble, code) in TOLD {
        let mut desk = desk();
        let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
        desk.log.set_trouble(Some(trouble));
        create(&mut desk, alice, "tea");
        // It is there already, and he comes and speaks before the log has answered.
        desk.join(bob, "tea", None);
        desk.say(bob, 1, "tea", "hello?");
        let label = Label::Group(name("tea"));
        let first = desk.hub.router().find(&label).unwrap();
        desk.commit();
        assert_eq!(codes(&desk.frames(alice)), [code], "{trouble:?}");
        let frames = desk.frames(bob);
        assert_eq!((left(&frames), codes(&frames)), (vec![Some(code)], vec![code]), "{trouble:?}");
        assert_eq!(desk.hub.router().find(&label), None);
        assert_eq!(desk.hub.router().groups(), 1);

        // Better times: the name is free, and the room is whoever's makes it now.
        desk.log.set_trouble(None);
        desk.join(bob, "tea", None);
        desk.say(bob, 2, "tea", "hello!");
        desk.commit();
        let frames = desk.frames(bob);
        assert!(joined(&frames).room > first);
        assert_eq!(messages(&frames), [(1, "hello!", false)]);
        let mut desk = desk.restart();
        let room = desk.hub.router().find(&label).unwrap();
        assert_eq!(desk.hub.router().house(room).unwrap().rank(&name("bob")), Rank::Owner);
        let carol = desk.login("carol", 3);
        desk.join(carol, "tea", Some(0));
        assert_eq!(messages(&desk.frames(carol)), [(1, "hello!", true)], "what is acknowledged is there");
    }
}

#[test]
fn a_conversation_that_cannot_be_stored_is_gone_and_begins_again() {
    for (trouble, code) in TOLD {
        let mut desk = desk();
        let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
        desk.log.set_trouble(Some(trouble));
        desk.say_to(alice, 1, "bob", "psst");
        desk.commit();
        for (conn, refused) in [(alice, vec![code]), (bob, vec![])] {
            let frames = desk.frames(conn);
            assert_eq!((left(&frames), codes(&frames)), (vec![Some(code)], refused), "{trouble:?}");
        }
        desk.log.set_trouble(None);
        desk.say_to(alice, 1, "bob", "psst");
        desk.commit();
        assert_eq!(messages(&desk.frames(bob)), [(1, "psst", false)]);
        assert_eq!(desk.log.rooms().count(), 2);
    }
}

#[test]
fn the_default_room_stays_and_is_asked_for_again() {
    for (trouble, code) in TOLD {
        let mut desk = Desk::new();
        desk.log.set_trouble(Some(trouble));
        let alice = desk.member("alice", 1);
        for counter in 1..=2 {
            desk.say(alice, counter, "lobby", "hello?");
            desk.commit();
            let frames = desk.frames(alice);
            assert_eq!((left(&frames), codes(&frames)), (vec![], vec![code]), "{trouble:?}");
        }
        desk.log.set_trouble(None);
        desk.say(alice, 3, "lobby", "hello!");
        desk.commit();
        assert_eq!(messages(&desk.frames(alice)), [(1, "hello!", false)]);
        assert!(desk.log.rooms().next().unwrap().house.roles.is_empty(), "it is everybody's");
    }
}

#[test]
fn orders_and_rooms_meet_a_locked_log_as_messages_do() {
    for (trouble, code) in TOLD {
        let mut desk = desk();
        let [alice, root] = [desk.login("alice", 1), desk.login("root", 9)];
        desk.join(alice, "tea", None);
        desk.commit();
        desk.skip(alice);
        desk.log.set_trouble(Some(trouble));
        let (tea, text) = (name("tea"), note("green"));
        let (request, target) = (RequestId(8), Target::Room(tea.borrow()));
        let (action, user, seconds, note) = (Action::Topic, None, 0, text.borrow());
        desk.send(alice, &Moderate { request, target, action, user, seconds, note });
        let (action, subject) = (Action::Lockdown, None);
        desk.send(root, &Govern { request, action, subject, seconds, note });
        desk.say(alice, 1, "tea", "hello?");
        create(&mut desk, alice, "den");
        desk.commit();
        assert_eq!(codes(&desk.frames(alice)), [code; 3], "{trouble:?}");
        assert_eq!(codes(&desk.frames(root)), [code], "{trouble:?}");
        let room = desk.hub.router().find(&Label::Group(tea.clone())).unwrap();
        assert!(desk.hub.router().info(room).unwrap().1.as_str().is_empty());
        assert_eq!(desk.hub.gate().lockdown(), None);

        desk.log.set_trouble(None);
        let (action, note) = (Action::Topic, text.clone());
        let order = RoomOrder { room: tea, action, user: None, network: None, seconds: 0, note };
        desk.hub.moderate_as_host(order).unwrap();
        desk.commit();
        assert_eq!(desk.hub.router().info(room).unwrap().1, &text);
    }
}

#[test]
fn what_waits_behind_a_room_that_a_busy_log_would_not_have_meets_the_same() {
    let mut desk = desk();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    desk.log.set_trouble(Some(Trouble::Locked));
    desk.join(alice, "tea", None);
    desk.skip(alice);
    desk.say(alice, 1, "tea", "hello?");
    let (tea, words) = (name("tea"), note("green"));
    let (request, target) = (RequestId(8), Target::Room(tea.borrow()));
    let (action, note) = (Action::Topic, words.borrow());
    desk.send(alice, &Moderate { request, target, action, user: None, seconds: 0, note });
    // The log is free again when it comes to them, and has no such room.
    desk.pass(COMMIT);
    desk.log.set_trouble(None);
    desk.commit();
    let frames = desk.frames(alice);
    assert_eq!((left(&frames), codes(&frames)), (vec![Some(ErrorCode::Busy)], vec![ErrorCode::Busy; 2]));
    // In a conversation the client sends it again, and it comes.
    desk.say_to(alice, 2, "bob", "psst");
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(1, "psst", false)]);
}
