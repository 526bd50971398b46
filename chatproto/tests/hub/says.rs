//! Messages on their way: nothing is shown before it is durable, and everybody sees one order.

use chatproto::hub::{Event, Holder, LogRequest, Stored};
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
