//! Messages on their way: nothing is shown before it is durable, and everybody sees one order.

use core::time::Duration;

use chatproto::hub::{ConnId, Event, Holder, LogRequest, QueryId, Rate, Stored};
use chatproto::testing::Trouble;
use chatproto::wire::*;

use crate::desk::*;

#[test]
fn nothing_is_acknowledged_or_delivered_before_it_is_stored() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.say(alice, 1, "lobby", "hello");
    desk.pass(COMMIT - 1);
    assert_eq!(desk.frames(alice), []);
    assert_eq!(desk.frames(bob), []);
    desk.commit();
    let frames = desk.frames(alice);
    let [ToClient::Posted(posted), ToClient::Messages(own)] = frames.as_slice() else { panic!("{frames:?}") };
    let own = own.iter().next().unwrap();
    assert_eq!((posted.counter, posted.seq), (1, 1));
    assert_eq!((posted.room, posted.time), (own.room, own.time));
    let frames = desk.frames(bob);
    let [message] = together(&frames).concat()[..] else { panic!("{frames:?}") };
    assert_eq!((message.seq, message.counter, message.flags), (1, 1, 0));
    assert_eq!((message.from.as_str(), message.text.as_str()), ("alice", "hello"));
    assert_eq!(message.device, DeviceId([1; 16]));
}

#[test]
fn everybody_sees_the_order_of_the_log() {
    let mut desk = Desk::new();
    let conns = [desk.member("alice", 1), desk.member("bob", 2), desk.member("carol", 3)];
    for counter in 1..=10 {
        for conn in conns {
            desk.say(conn, counter, "lobby", &format!("{conn} {counter}"));
        }
        if counter % 3 == 0 {
            desk.pass(COMMIT);
        }
    }
    desk.commit();
    let expected = messages(&desk.frames(conns[0]));
    assert_eq!(expected.iter().map(|(seq, ..)| *seq).collect::<Vec<_>>(), (1..=30).collect::<Vec<_>>());
    for conn in &conns[1..] {
        assert_eq!(messages(&desk.frames(*conn)), expected);
    }
}

#[test]
fn a_say_sent_again_is_acknowledged_again_and_appears_once() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.say(alice, 1, "lobby", "once");
    desk.say(alice, 1, "lobby", "once");
    desk.commit();
    let posted = |frame: &ToClient<'_>| matches!(frame, ToClient::Posted(posted) if posted.seq == 1);
    assert_eq!(desk.frames(alice).iter().filter(|frame| posted(frame)).count(), 2);
    assert_eq!(seqs(&desk.frames(bob)), [1]);

    // Also after a restart; and somebody else's device of the same number is somebody else.
    let mut desk = desk.restart();
    let (alice, mallory) = (desk.member("alice", 1), desk.member("mallory", 1));
    desk.skip(alice);
    desk.say(alice, 1, "lobby", "once");
    desk.say(mallory, 1, "lobby", "mine");
    desk.commit();
    let frames = desk.frames(alice);
    assert!(matches!(frames[0], ToClient::Posted(Posted { counter: 1, seq: 1, .. })), "{frames:?}");
    assert_eq!(messages(&frames), [(2, "mine", false)]);
}

#[test]
fn what_cannot_be_stored_is_refused_and_shown_to_nobody() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.skip(alice);
    desk.commit();
    desk.log.set_trouble(Some(Trouble::Full));
    desk.say(alice, 1, "lobby", "lost");
    desk.commit();
    let frames = desk.frames(alice);
    assert_eq!(errors(&frames)[0].0, ErrorCode::NotStored);
    assert_eq!(errors(&frames)[0].1, 1);
    desk.log.set_trouble(None);
    desk.say(alice, 1, "lobby", "found");
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(1, "found", false)]);
}

#[test]
fn unknown_rooms_people_and_foreign_rooms_are_refused_by_name() {
    let mut desk = Desk::new();
    desk.log.set_users([name("alice"), name("bob")]);
    let alice = desk.member("alice", 1);
    let bob = desk.login("bob", 2);
    desk.join(bob, "tea", None);
    desk.skip(alice);
    desk.say(alice, 1, "nowhere", "x");
    desk.say(alice, 2, "tea", "x");
    desk.say_to(alice, 3, "nobody", "x");
    // Whether they were stored before is for the log to say.
    desk.commit();
    let refused = errors(&desk.frames(alice));
    let codes: Vec<(ErrorCode, u64)> = refused.iter().map(|(code, counter, _)| (*code, *counter)).collect();
    assert_eq!(codes, [(ErrorCode::NoSuchRoom, 1), (ErrorCode::NotMember, 2), (ErrorCode::NoSuchUser, 3)]);
    assert!(desk.log.is_empty());
}

#[test]
fn a_sender_ahead_of_the_disk_is_not_read_and_then_refused() {
    let mut desk = Desk::with(|config| config.max_appends = 4);
    let alice = desk.member("alice", 1);
    for counter in 1..=3 {
        desk.say(alice, counter, "lobby", "x");
    }
    assert!(desk.hub.wants_read(alice));
    desk.say(alice, 4, "lobby", "x");
    assert!(!desk.hub.wants_read(alice));
    desk.skip(alice);
    desk.say(alice, 5, "lobby", "x");
    assert_eq!(errors(&desk.frames(alice)), [(ErrorCode::Backlog, 5, "too many messages wait to be stored")]);
    desk.commit();
    assert!(desk.hub.wants_read(alice));
    assert_eq!(desk.log.len(), 4);
}

#[test]
fn the_bytes_on_their_way_to_the_disk_are_bounded() {
    let mut desk = Desk::with(|config| config.max_append_bytes = 10_000);
    let alice = desk.member("alice", 1);
    for counter in 1..=3 {
        assert!(desk.hub.wants_read(alice));
        desk.say(alice, counter, "lobby", &"x".repeat(4_000));
    }
    assert!(!desk.hub.wants_read(alice));
    desk.skip(alice);
    desk.say(alice, 4, "lobby", "x");
    assert_eq!(errors(&desk.frames(alice))[0].0, ErrorCode::Backlog);
    desk.commit();
    assert!(desk.hub.wants_read(alice));
}

#[test]
fn words_of_somebody_who_has_gone_are_still_delivered() {
    let mut desk = Desk::new();
    let (alice, bob) = (desk.member("alice", 1), desk.member("bob", 2));
    desk.say(alice, 1, "lobby", "bye all");
    desk.hub.handle_eof(alice, desk.now);
    desk.commit();
    assert_eq!(messages(&desk.frames(bob)), [(1, "bye all", false)]);
}

#[test]
fn a_log_that_is_busy_puts_a_message_off_and_one_that_fails_refuses_it_for_good() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    let (text, lobby) = (TextRef::new("x").unwrap(), name("lobby"));
    for (outcome, code) in [(Stored::Busy, ErrorCode::Busy), (Stored::Failed, ErrorCode::NotStored)] {
        desk.skip(alice);
        let say = Say { counter: 1, target: Target::Room(lobby.borrow()), text };
        desk.hub.handle_input(alice, &say.to_bytes(), desk.now);
        let mut asked = None;
        while let Some(event) = desk.hub.poll_event() {
            if let Event::Log(LogRequest::Append { id, .. }) = event {
                asked = Some(id);
            }
        }
        assert!(desk.hub.stored(asked.unwrap(), outcome));
        let refused = errors(&desk.frames(alice));
        assert_eq!((refused[0].0, refused[0].1), (code, 1));
    }
}

#[test]
fn answers_that_nobody_asked_for_or_that_skip_a_number_are_reported() {
    let mut desk = Desk::new();
    let alice = desk.member("alice", 1);
    let text = TextRef::new("x").unwrap();
    let lobby = name("lobby");
    let say = Say { counter: 1, target: Target::Room(lobby.borrow()), text };
    desk.hub.handle_input(alice, &say.to_bytes(), desk.now);
    let mut asked = None;
    while let Some(event) = desk.hub.poll_event() {
        if let Event::Log(LogRequest::Append { id, .. }) = event {
            asked = Some(id);
        }
    }
    let id = asked.unwrap();
    assert!(!desk.hub.stored(chatproto::hub::AppendId(id.0 + 1), Stored::Failed));
    assert!(!desk.hub.stored(id, Stored::Committed { seq: 2, time: 0 }), "1 is the next number");
    assert!(!desk.hub.records(chatproto::hub::QueryId(99), None));
    assert!(!desk.hub.user_known(chatproto::hub::QueryId(99), Some(Holder::Person)));
}

/// Takes what the hub wants to know about people, and leaves everything else to the log.
fn looked_up(desk: &mut Desk) -> Vec<QueryId> {
    let mut asked = Vec::new();
    while let Some(event) = desk.hub.poll_event() {
        match event {
            Event::Log(LogRequest::FindUser { id, .. }) => asked.push(id),
            other => desk.events.extend(desk.log.take(other, desk.now)),
        }
    }
    asked
}

fn first_words(desk: &mut Desk, conn: ConnId, counter: u64, user: &str) {
    let (user, text) = (name(user), Text::new("hello").unwrap());
    let say = Say { counter, target: Target::User(user.borrow()), text: text.borrow() };
    desk.hub.handle_input(conn, &say.to_bytes(), desk.now);
}

#[test]
fn so_many_people_are_looked_up_at_once_and_the_rest_is_to_come_again() {
    let mut desk = Desk::with(|config| config.max_requests = 3);
    let alice = desk.member("alice", 1);
    for counter in 1..=10 {
        first_words(&mut desk, alice, counter, &format!("user{counter}"));
    }
    // More for somebody who is looked up already costs nothing.
    first_words(&mut desk, alice, 11, "user1");
    let asked = looked_up(&mut desk);
    assert_eq!(asked.len(), 3);
    assert!(!desk.hub.wants_read(alice));
    let refused = errors(&desk.frames(alice));
    let refused: Vec<_> = refused.iter().map(|(code, counter, _)| (*code, *counter)).collect();
    assert_eq!(refused, (4..=10).map(|counter| (ErrorCode::Busy, counter)).collect::<Vec<_>>());
    // One that the program cannot tell now counts as answered too.
    assert!(desk.hub.put_off_query(asked[0]));
    assert!(desk.hub.user_known(asked[1], Some(Holder::Person)));
    assert!(desk.hub.user_known(asked[2], Some(Holder::Nobody)));
    assert!(desk.hub.wants_read(alice));
    desk.commit();
    let frames = desk.frames(alice);
    let codes: Vec<_> = errors(&frames).iter().map(|(code, counter, _)| (*code, *counter)).collect();
    assert_eq!(codes, [(ErrorCode::Busy, 1), (ErrorCode::Busy, 11), (ErrorCode::NoSuchUser, 3)]);
    let posted = |frame: &&ToClient<'_>| matches!(frame, ToClient::Posted(posted) if posted.counter == 2);
    assert_eq!(frames.iter().filter(posted).count(), 1);
}

#[test]
fn conversations_of_an_account_are_bounded_and_begun_no_faster_than_rooms() {
    let mut desk = Desk::with(|config| {
        config.max_conversations = 2;
        config.budgets.create = Rate { times: 4, per: Duration::from_secs(60) };
    });
    let [alice, dave] = [desk.member("alice", 1), desk.member("dave", 2)];
    let say_to = |desk: &mut Desk, conn, counter, user| {
        desk.say_to(conn, counter, user, "hello");
        desk.commit();
        errors(&desk.frames(conn)).first().map(|(code, ..)| *code)
    };
    assert_eq!(say_to(&mut desk, alice, 1, "bob"), None);
    assert_eq!(say_to(&mut desk, alice, 2, "carol"), None);
    assert_eq!(say_to(&mut desk, alice, 3, "dave"), Some(ErrorCode::TooManyRooms));
    assert_eq!(say_to(&mut desk, dave, 1, "alice"), Some(ErrorCode::TooManyRooms));
    // Where they talk already they go on, as much as they like.
    for counter in 4..20 {
        assert_eq!(say_to(&mut desk, alice, counter, "bob"), None);
    }
    assert_eq!(say_to(&mut desk, alice, 20, "dave"), Some(ErrorCode::TooManyRooms));
    assert_eq!(say_to(&mut desk, alice, 21, "dave"), Some(ErrorCode::TooFast));
    assert_eq!(say_to(&mut desk, dave, 2, "erin"), None);
}
