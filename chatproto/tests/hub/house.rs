//! Order in a room: topic, private rooms, roles, and what somebody may not do for a while.

use chatproto::hub::{ConnId, Event, LogRequest, OrderId};
use chatproto::wire::*;

use crate::desk::*;

fn desk() -> Desk {
    let capabilities = Capabilities::NONE.with(Capability::Moderation).with(Capability::Search);
    let mut desk = Desk::with(|config| config.capabilities = capabilities);
    desk.commit();
    desk
}

fn order(desk: &mut Desk, conn: ConnId, room: &str, action: Action, user: &str, seconds: u32, text: &str) {
    let (room, text) = (name(room), note(text));
    let person = (!user.is_empty()).then(|| name(user));
    desk.send(
        conn,
        &Moderate {
            request: RequestId(7),
            target: Target::Room(room.borrow()),
            action,
            user: person.as_ref().map(Name::borrow),
            seconds,
            note: text.borrow(),
        },
    );
    // It holds once it is durable.
    desk.pass(COMMIT);
}

fn create(desk: &mut Desk, conn: ConnId, room: &str, private: bool) {
    let room = name(room);
    desk.send(conn, &Create { request: RequestId(7), name: room.borrow(), private });
    desk.pass(COMMIT);
}

/// Request, action, who did it, to whom, seconds and note.
type Change = (u32, Action, Option<&'static str>, Option<&'static str>, u32, &'static str);

/// What the frames say was changed.
fn changes(frames: &[ToClient<'static>]) -> Vec<Change> {
    let change = |frame: &ToClient<'static>| match frame {
        ToClient::Moderated(it) => Some((
            it.request.0,
            it.action,
            it.by.map(|by| by.as_str()),
            it.user.map(|user| user.as_str()),
            it.seconds,
            it.note.as_str(),
        )),
        _ => None,
    };
    frames.iter().filter_map(change).collect()
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

/// Alice owns the garden, Bob and Carol are in it.
fn garden(desk: &mut Desk) -> [ConnId; 3] {
    let people = [("alice", 1), ("bob", 2), ("carol", 3)].map(|(user, device)| desk.login(user, device));
    for conn in people {
        desk.join(conn, "garden", None);
    }
    desk.commit();
    people.map(|conn| {
        desk.skip(conn);
        conn
    })
}

#[test]
fn a_topic_comes_in_order_and_is_shown_to_whoever_enters_even_after_a_restart() {
    let mut desk = desk();
    let [alice, bob, _] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Topic, "", 9, "roses");
    let answer = (7, Action::Topic, Some("alice"), None, 0, "roses");
    assert_eq!(changes(&desk.frames(alice)), [answer, (0, answer.1, answer.2, answer.3, answer.4, answer.5)]);
    assert_eq!(changes(&desk.frames(bob)), [(0, Action::Topic, Some("alice"), None, 0, "roses")]);
    order(&mut desk, bob, "garden", Action::Topic, "", 0, "weeds");
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden]);
    desk.commit();
    let mut desk = desk.restart();
    let dave = desk.login("dave", 4);
    desk.join(dave, "garden", None);
    assert_eq!(joined(&desk.frames(dave)).topic.as_str(), "roses");
}

#[test]
fn a_private_room_is_nothing_to_strangers_and_open_to_the_invited() {
    let mut desk = desk();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    create(&mut desk, alice, "den", true);
    let entered = joined(&desk.frames(alice));
    assert_eq!((entered.request, entered.name.as_str()), (RequestId(7), "den"));
    let den = name("den");
    let target = Target::Room(den.borrow());
    let strangers = |desk: &mut Desk, conn| {
        desk.join(conn, "den", None);
        desk.send(conn, &Join { request: RequestId(1), target: Target::Id(entered.room), cursor: None });
        desk.say(conn, 1, "den", "hello?");
        desk.send(conn, &Who { request: RequestId(1), target });
        desk.send(conn, &History { request: RequestId(1), target, anchor: Anchor::Before, seq: 0, limit: 9 });
        order(desk, conn, "den", Action::Topic, "", 0, "mine");
        desk.commit();
        codes(&desk.frames(conn))
    };
    assert_eq!(strangers(&mut desk, bob), [ErrorCode::NoSuchRoom; 6]);
    desk.send(bob, &Rooms { request: RequestId(2) });
    let listed = |frames: &[ToClient<'static>]| match frames {
        [ToClient::RoomList(list)] => list.rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    assert_eq!(listed(&desk.frames(bob)), ["lobby"]);

    order(&mut desk, alice, "den", Action::Invite, "bob", 0, "");
    let ToClient::Invited(invited) = desk.frames(bob)[0] else { panic!("no invitation") };
    assert_eq!(
        (invited.room, invited.name.as_str(), invited.by.map(|by| by.as_str())),
        (entered.room, "den", Some("alice"))
    );
    desk.join(bob, "den", None);
    assert_eq!(joined(&desk.frames(bob)).room, entered.room);
    desk.send(bob, &Rooms { request: RequestId(2) });
    assert_eq!(listed(&desk.frames(bob)), ["den", "lobby"]);
    // Kicked out of a private room, one has to be invited again.
    order(&mut desk, alice, "den", Action::Kick, "bob", 0, "bye");
    let frames = desk.frames(bob);
    assert_eq!(left(&frames), [Some(ErrorCode::Kicked)]);
    assert_eq!(changes(&frames), [(0, Action::Kick, Some("alice"), Some("bob"), 0, "bye")]);
    assert_eq!(strangers(&mut desk, bob), [ErrorCode::NoSuchRoom; 6]);
}

#[test]
fn a_private_room_stays_private_and_its_members_stay_let_in_over_a_restart() {
    let mut desk = desk();
    let alice = desk.login("alice", 1);
    desk.login("bob", 2);
    create(&mut desk, alice, "den", true);
    order(&mut desk, alice, "den", Action::Invite, "bob", 0, "");
    desk.commit();
    let mut desk = desk.restart();
    let [bob, eve] = [desk.login("bob", 2), desk.login("eve", 3)];
    desk.join(bob, "den", None);
    joined(&desk.frames(bob));
    desk.join(eve, "den", None);
    assert_eq!(codes(&desk.frames(eve)), [ErrorCode::NoSuchRoom]);
}

#[test]
fn a_room_is_made_once() {
    let mut desk = desk();
    let [alice, bob] = [desk.login("alice", 1), desk.login("bob", 2)];
    create(&mut desk, alice, "den", true);
    create(&mut desk, bob, "den", false);
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::RoomExists]);
}

#[test]
fn the_muted_are_refused_with_the_time_left_and_speak_again_after_it() {
    let mut desk = desk();
    let [alice, bob, carol] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Mute, "bob", 60, "too loud");
    assert_eq!(changes(&desk.frames(carol)), [(0, Action::Mute, Some("alice"), Some("bob"), 60, "too loud")]);
    desk.skip(bob);
    desk.pass(20_000);
    desk.skip(bob);
    desk.say(bob, 1, "garden", "mmm");
    desk.commit();
    let [ToClient::Error(error)] = desk.frames(bob)[..] else { panic!("not refused") };
    assert_eq!((error.code, error.request, error.retry_after), (ErrorCode::Muted, 1, 40_000));
    assert_eq!(error.note.as_str(), "you may not speak here for another 40 s");
    desk.pass(20_000);
    desk.pass(20_000 - 2 * COMMIT);
    desk.say(bob, 2, "garden", "sorry");
    desk.commit();
    assert_eq!(messages(&desk.frames(carol)), [(1, "sorry", false)]);

    order(&mut desk, alice, "garden", Action::Mute, "bob", 0, "");
    desk.say(bob, 3, "garden", "mmm");
    desk.commit();
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Muted]);
    order(&mut desk, alice, "garden", Action::Unmute, "bob", 0, "");
    desk.say(bob, 4, "garden", "thanks");
    desk.commit();
    assert_eq!(messages(&desk.frames(carol)), [(2, "thanks", false)]);
}

#[test]
fn a_banned_person_is_removed_with_every_device_and_enters_when_the_time_is_over() {
    let mut desk = desk();
    let [alice, bob, carol] = garden(&mut desk);
    let phone = desk.login("bob", 9);
    desk.join(phone, "garden", None);
    desk.skip(phone);
    order(&mut desk, alice, "garden", Action::Ban, "bob", 30, "spam");
    for conn in [bob, phone] {
        assert_eq!(left(&desk.frames(conn)), [Some(ErrorCode::Banned)]);
    }
    assert_eq!(presence(&desk.frames(carol)), [(chatproto::wire::Change::Departed, "bob")]);
    desk.say(bob, 1, "garden", "but");
    desk.commit();
    desk.join(bob, "garden", None);
    let frames = desk.frames(bob);
    assert_eq!(codes(&frames), [ErrorCode::NotMember, ErrorCode::Banned]);
    assert_eq!(errors(&frames)[1].2, "you may not enter this room for another 30 s: spam");
    desk.commit();
    let ran = desk.now;
    let mut desk = desk.restart();
    let bob = desk.login("bob", 2);
    desk.join(bob, "garden", None);
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Banned], "the ban is in the log ({ran:?})");
    desk.pass(29_900);
    desk.skip(bob);
    desk.pass(100);
    desk.join(bob, "garden", None);
    joined(&desk.frames(bob));
}

#[test]
fn slow_mode_holds_back_members_and_not_operators() {
    let mut desk = desk();
    let [alice, bob, _] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Slow, "", 5, "");
    desk.say(bob, 1, "garden", "one");
    desk.commit();
    desk.skip(bob);
    desk.say(bob, 2, "garden", "two");
    desk.commit();
    let [ToClient::Error(error)] = desk.frames(bob)[..] else { panic!("not refused") };
    assert_eq!((error.code, error.request), (ErrorCode::SlowMode, 2));
    assert_eq!(u64::from(error.retry_after), 5_000 - 2 * COMMIT);
    // What was sent once may be sent again: it is the same message.
    desk.say(bob, 1, "garden", "one");
    desk.commit();
    assert!(codes(&desk.frames(bob)).is_empty());
    for counter in 1..=3 {
        desk.say(alice, counter, "garden", "I may");
    }
    desk.pass(4_000);
    desk.say(bob, 1, "garden", "one");
    desk.commit();
    assert!(codes(&desk.frames(bob)).is_empty());
    // Five seconds after it was new, not after it was repeated.
    desk.pass(1_000);
    desk.say(bob, 3, "garden", "three");
    desk.commit();
    assert_eq!(messages(&desk.frames(alice)).last().unwrap().1, "three");
}

#[test]
fn each_acts_upon_those_below() {
    let mut desk = desk();
    let [alice, bob, carol] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Op, "bob", 0, "");
    desk.skip(bob);
    order(&mut desk, bob, "garden", Action::Kick, "alice", 0, "");
    order(&mut desk, bob, "garden", Action::Op, "carol", 0, "");
    order(&mut desk, carol, "garden", Action::Kick, "bob", 0, "");
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden; 2]);
    assert_eq!(codes(&desk.frames(carol)), [ErrorCode::Forbidden]);
    order(&mut desk, bob, "garden", Action::Kick, "carol", 0, "");
    assert_eq!(left(&desk.frames(carol)), [Some(ErrorCode::Kicked)]);
    order(&mut desk, alice, "garden", Action::Deop, "bob", 0, "");
    desk.skip(bob);
    order(&mut desk, bob, "garden", Action::Topic, "", 0, "mine");
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden]);
    // The lobby belongs to nobody: the server's administrators keep order there, and in every room.
    let root = desk.login("root", 8);
    order(&mut desk, root, "lobby", Action::Topic, "", 0, "be kind");
    order(&mut desk, root, "garden", Action::Ban, "alice", 0, "");
    assert_eq!(changes(&desk.frames(root)).len(), 2);
    assert_eq!(left(&desk.frames(alice)), [Some(ErrorCode::Banned)]);
    order(&mut desk, alice, "lobby", Action::Topic, "", 0, "mine");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Forbidden]);
}

#[test]
fn what_is_stored_says_who_did_what_and_why() {
    let mut desk = desk();
    let [alice, ..] = garden(&mut desk);
    // The log of the desk takes the event; the hub's own queue shows it.
    let target = name("garden");
    let frame = Moderate {
        request: RequestId(7),
        target: Target::Room(target.borrow()),
        action: Action::Ban,
        user: Some(NameRef::new("bob").unwrap()),
        seconds: 30,
        note: NoteRef::new("spam").unwrap(),
    };
    desk.hub.handle_input(alice, &frame.to_bytes(), desk.now);
    let events: Vec<Event> = core::iter::from_fn(|| desk.hub.poll_event()).collect();
    let expected = Event::Log(LogRequest::Moderate {
        // Behind those of two rooms.
        id: OrderId(2),
        room: RoomId(2),
        by: Some(name("alice")),
        action: Action::Ban,
        user: Some(name("bob")),
        seconds: 30,
        note: note("spam"),
        admits: Vec::new(),
        networks: Vec::new(),
    });
    assert_eq!(events, [expected]);
}

#[test]
fn orders_about_nobody_are_refused() {
    let mut desk = desk();
    let [alice, bob, _] = garden(&mut desk);
    desk.log.set_users([name("dave")]);
    order(&mut desk, alice, "garden", Action::Ban, "bbo", 0, "");
    order(&mut desk, alice, "garden", Action::Ban, "", 0, "");
    order(&mut desk, alice, "garden", Action::Invite, "dave", 0, "");
    order(&mut desk, alice, "nowhere", Action::Slow, "", 1, "");
    let expected =
        [ErrorCode::NoSuchUser, ErrorCode::NoSuchUser, ErrorCode::Forbidden, ErrorCode::NoSuchRoom];
    let mut found = codes(&desk.frames(alice));
    found.sort_by_key(|code| expected.iter().position(|expected| expected == code));
    assert_eq!(found, expected);
    // Somebody who is away can be banned all the same.
    order(&mut desk, alice, "garden", Action::Ban, "dave", 0, "");
    assert_eq!(changes(&desk.frames(alice)).len(), 2);
    desk.say_to(bob, 1, "dave", "hello");
    desk.commit();
    let dave = desk.login("dave", 5);
    desk.join(dave, "garden", None);
    assert_eq!(codes(&desk.frames(dave)), [ErrorCode::Banned]);
    order(&mut desk, bob, "garden", Action::Unban, "dave", 0, "");
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden]);
}

#[test]
fn a_server_that_keeps_no_roles_says_so() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    order(&mut desk, alice, "lobby", Action::Topic, "", 0, "x");
    create(&mut desk, alice, "den", true);
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::NotSupported; 2]);
}

#[test]
fn the_notes_about_a_room_have_a_bound() {
    let mut desk = Desk::with(|config| {
        config.capabilities = Capabilities::NONE.with(Capability::Moderation);
        config.max_house_notes = 2;
    });
    let [alice, ..] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Mute, "bob", 10, "");
    order(&mut desk, alice, "garden", Action::Mute, "carol", 10, "");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Busy]);
    desk.pass(10_000);
    order(&mut desk, alice, "garden", Action::Mute, "carol", 10, "");
    assert!(codes(&desk.frames(alice)).is_empty());
}

/// A question of Bob's that the log answers with what it has in the end, after Alice has put him out.
fn asked_before_the_ban(ask: &dyn Fn(&mut Desk, ConnId)) -> Vec<ToClient<'static>> {
    let mut desk = desk();
    let [alice, bob, _] = garden(&mut desk);
    desk.say(alice, 1, "garden", "for all");
    desk.commit();
    desk.skip(bob);
    ask(&mut desk, bob);
    let mut held = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        let is_question = matches!(event, Event::Log(LogRequest::Search { .. } | LogRequest::History { .. }));
        if is_question { held.push(event) } else { drop(desk.log.take(event, desk.now)) }
    }
    order(&mut desk, alice, "garden", Action::Ban, "bob", 0, "");
    desk.commit();
    desk.say(alice, 2, "garden", "not for bob");
    desk.commit();
    desk.skip(bob);
    for event in held {
        desk.log.take(event, desk.now);
    }
    desk.frames(bob)
}

fn raw<'a>(desk: &mut Desk, conn: ConnId, frame: &impl Body<'a>) {
    desk.hub.handle_input(conn, &frame.to_bytes(), desk.now);
}

#[test]
fn who_is_put_out_reads_nothing_with_a_question_asked_before() {
    let garden = name("garden");
    let history = asked_before_the_ban(&|desk, bob| {
        let (request, target) = (RequestId(3), Target::Room(garden.borrow()));
        raw(desk, bob, &History { request, target, anchor: Anchor::After, seq: 0, limit: 9 });
    });
    assert_eq!(codes(&history), [ErrorCode::NotMember]);
    let search = asked_before_the_ban(&|desk, bob| {
        let words = Text::new("for").unwrap();
        raw(desk, bob, &Search { request: RequestId(4), target: None, limit: 9, words: words.borrow() });
    });
    let [ToClient::MessagePage(page)] = &search[..] else { panic!("{search:?}") };
    assert_eq!((page.more, page.messages.iter().count()), (false, 0));
}

#[test]
fn only_operators_can_be_made_none() {
    let mut desk = desk();
    let [alice, ..] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Deop, "bob", 0, "");
    assert_eq!(codes(&desk.frames(alice)), [ErrorCode::Forbidden]);
    order(&mut desk, alice, "garden", Action::Op, "bob", 0, "");
    order(&mut desk, alice, "garden", Action::Deop, "bob", 0, "");
    assert_eq!(codes(&desk.frames(alice)), []);
}

#[test]
fn an_operator_who_is_mute_stays_so_until_somebody_else_lifts_it() {
    let mut desk = desk();
    let [alice, bob, _] = garden(&mut desk);
    order(&mut desk, alice, "garden", Action::Op, "bob", 0, "");
    order(&mut desk, alice, "garden", Action::Mute, "bob", 0, "");
    desk.skip(bob);
    order(&mut desk, bob, "garden", Action::Unmute, "bob", 0, "");
    desk.say(bob, 1, "garden", "hm");
    desk.commit();
    assert_eq!(codes(&desk.frames(bob)), [ErrorCode::Forbidden, ErrorCode::Muted]);
    order(&mut desk, alice, "garden", Action::Unmute, "bob", 0, "");
    desk.say(bob, 2, "garden", "thanks");
    desk.commit();
    assert!(codes(&desk.frames(bob)).is_empty());
}
