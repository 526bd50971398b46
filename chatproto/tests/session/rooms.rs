//! Rooms: entering, leaving, and the promise of every message exactly once, in order.

use chatproto::session::{
    Config, Event, JoinError, LeaveError, LostReason, PendingSay, Refusal, Restored, RoomKey, SayError,
    State, Violation,
};
use chatproto::wire::{
    CaughtUp, DirectRoom, Error, ErrorCode, FrameType, Gap, Joined, Left, NameRef, NoteRef, Pong, RequestId,
    RoomId, RoomKind, ToServer,
};

use crate::rig::{LOBBY, Rig, SERVER, Sent, config, lobby, name, room, target, text, user};

const DEN: RoomId = RoomId(2);

fn direct(request: RequestId, with: &str, last: u64, cursor: u64) -> Joined<'_> {
    let name = NameRef::new(with).unwrap();
    Joined { request, room: DEN, kind: RoomKind::Direct, name, topic: NoteRef::EMPTY, last, cursor }
}

fn refused(request: RequestId, code: ErrorCode) -> Error<'static> {
    let about = FrameType::Join.number();
    Error { code, about, request: request.into(), retry_after: 0, note: NoteRef::EMPTY }
}

#[test]
fn the_rooms_of_the_configuration_are_entered_with_what_was_seen_there() {
    let rooms = Some(vec![name("den"), name("lobby")]);
    let cursors = vec![(room("den"), 12), (room("old"), 3)];
    let restored = Restored { server: Some(SERVER), cursors, ..Restored::default() };
    let mut rig = Rig::with(Config { rooms, ..config() }, restored);
    rig.connect();
    rig.log_in();
    let joins = rig.joins().into_iter().map(|(_, name, cursor)| (name, cursor)).collect::<Vec<_>>();
    assert_eq!(joins, [("den".to_owned(), Some(12)), ("lobby".to_owned(), None)]);
}

#[test]
fn a_first_join_begins_at_the_end_of_the_room() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.join(room("den")).unwrap();
    assert_eq!(rig.joins(), [(request, "den".to_owned(), None)]);
    rig.joined(request, DEN, "den", 30, 30);
    let Event::Joined { room: entered, id, last, request: answered, .. } = rig.event() else { panic!() };
    assert_eq!((entered, id, last, answered), (room("den"), DEN, 30, Some(request)));
    rig.message(1, "in the lobby", false);
    rig.hear(&crate::rig::message(DEN, 31, crate::rig::BOB, "bob", "in the den", false));
    assert_eq!(rig.texts(), ["in the lobby", "in the den"]);
    assert_eq!(rig.session.joined().cloned().collect::<Vec<_>>(), [lobby(), room("den")]);
}

#[test]
fn duplicates_are_dropped() {
    let mut rig = Rig::in_lobby();
    for seq in [1, 1, 2, 1, 2, 3, 0] {
        rig.message(seq, &format!("m{seq}"), false);
    }
    assert_eq!(rig.texts(), ["m1", "m2", "m3"]);
    assert_eq!(rig.joins(), []);
}

#[test]
fn a_skipped_number_is_asked_for_once_and_nothing_is_delivered_out_of_order() {
    let mut rig = Rig::in_lobby();
    for seq in [1, 3, 4] {
        rig.message(seq, &format!("m{seq}"), false);
    }
    assert_eq!(rig.texts(), ["m1"]);
    let joins = rig.joins();
    assert_eq!(joins, [(joins[0].0, "#1".to_owned(), Some(1))]);
    rig.joined(joins[0].0, LOBBY, "lobby", 4, 1);
    for seq in 2..=4 {
        rig.message(seq, &format!("m{seq}"), true);
    }
    rig.receive(&CaughtUp { room: LOBBY, seq: 4 });
    let events = rig.events();
    // The program was told that it is in the room, once.
    assert!(!events.iter().any(|event| matches!(event, Event::Joined { .. })), "{events:?}");
    assert_eq!(events.last(), Some(&Event::CaughtUp { room: lobby(), missed: 3 }));
    assert_eq!(events.len(), 4);
}

#[test]
fn caught_up_beyond_what_came_is_a_skipped_number_too() {
    let mut rig = Rig::in_lobby();
    rig.receive(&CaughtUp { room: LOBBY, seq: 2 });
    assert_eq!(rig.events(), []);
    assert_eq!(rig.joins()[0].2, Some(0));
}

#[test]
fn a_server_that_skips_for_good_is_left() {
    let mut rig = Rig::in_lobby();
    for _ in 0..3 {
        rig.message(9, "m", false);
        let joins = rig.joins();
        rig.joined(joins[0].0, LOBBY, "lobby", 9, 0);
    }
    rig.message(9, "m", false);
    rig.session.handle_eof(rig.now);
    let Event::Lost { reason: LostReason::Violation(violation), .. } = rig.event() else { panic!() };
    assert!(matches!(violation, Violation::Content { frame: FrameType::Messages, .. }));
}

#[test]
fn numbers_that_are_gone_are_told_and_stepped_over() {
    let mut rig = Rig::in_lobby();
    rig.message(1, "m1", false);
    rig.receive(&Gap { room: LOBBY, from: 1, to: 5 });
    rig.receive(&Gap { room: LOBBY, from: 2, to: 4 });
    rig.message(6, "m6", false);
    let events = rig.events();
    assert_eq!(events[1], Event::Gap { room: lobby(), from: 2, to: 5 });
    assert_eq!(events.len(), 3);
    // A gap that begins too late hides a message.
    rig.receive(&Gap { room: LOBBY, from: 8, to: 9 });
    assert_eq!((rig.events(), rig.joins()[0].2), (Vec::new(), Some(6)));
    rig.receive(&Gap { room: LOBBY, from: 3, to: 2 });
    assert_eq!(rig.session.state(), State::Closing);
}

#[test]
fn a_log_that_lost_its_end_gives_numbers_again_and_they_are_shown() {
    let restored = Restored { server: Some(SERVER), cursors: vec![(lobby(), 50)], ..Restored::default() };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    rig.log_in();
    let request = rig.joins()[0].0;
    rig.joined(request, LOBBY, "lobby", 20, 20);
    rig.message(21, "m21", false);
    assert_eq!(rig.texts(), ["m21"]);
}

#[test]
fn a_log_that_forgot_its_beginning_says_which_numbers_are_gone() {
    let restored = Restored { server: Some(SERVER), cursors: vec![(lobby(), 50)], ..Restored::default() };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    rig.log_in();
    let request = rig.joins()[0].0;
    rig.events();
    rig.joined(request, LOBBY, "lobby", 90, 80);
    assert_eq!(rig.events()[1], Event::Gap { room: lobby(), from: 51, to: 80 });
    rig.message(81, "m81", true);
    assert_eq!(rig.texts(), ["m81"]);
}

#[test]
fn a_refused_join_is_told_and_not_tried_again() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.join(room("den")).unwrap();
    rig.receive(&refused(request, ErrorCode::TooManyRooms));
    let refusal =
        Refusal::Code { code: ErrorCode::TooManyRooms, retry_after: None, note: NoteRef::EMPTY.to_owned() };
    assert_eq!(rig.event(), Event::JoinRefused { room: room("den"), request: Some(request), refusal });
    rig.session.handle_eof(rig.now);
    rig.reconnect();
    assert_eq!(rig.joins().len(), 1);
}

#[test]
fn a_join_asked_offline_is_answered_after_the_login() {
    let mut rig = Rig::new();
    let request = rig.session.join(room("den")).unwrap();
    assert_eq!(rig.session.join(room("den")), Ok(request));
    rig.connect();
    rig.log_in();
    let joins = rig.joins();
    assert_eq!(joins.iter().map(|join| join.1.as_str()).collect::<Vec<_>>(), ["den", "lobby"]);
    assert_eq!(joins[0].0, request);
    // The connection is lost before the answer: the request lives on.
    rig.session.handle_eof(rig.now);
    rig.events();
    rig.reconnect();
    let joins = rig.joins();
    assert_eq!(joins[0].0, request);
    rig.events();
    rig.joined(request, DEN, "den", 0, 0);
    assert!(matches!(rig.event(), Event::Joined { request: Some(answered), .. } if answered == request));
}

#[test]
fn a_room_is_left_when_the_server_says_so() {
    let mut rig = Rig::in_lobby();
    rig.session.leave(&lobby()).unwrap();
    assert_eq!(rig.types(), [FrameType::Leave]);
    assert_eq!(rig.session.leave(&lobby()), Err(LeaveError::NotIn(lobby())));
    rig.message(1, "crossed the leave", false);
    assert_eq!(rig.events(), []);
    rig.receive(&Left { room: LOBBY, code: None });
    assert_eq!(rig.event(), Event::Left { room: lobby(), code: None });
    rig.message(2, "after the leave", false);
    rig.session.handle_eof(rig.now);
    let frame = FrameType::Messages;
    let reason = LostReason::Violation(Violation::NotIn { frame, room: LOBBY });
    assert!(matches!(rig.event(), Event::Lost { reason: found, .. } if found == reason));
    rig.reconnect();
    assert_eq!(rig.joins(), [], "a room that was left is not entered again");
}

#[test]
fn a_room_left_while_it_is_being_entered_is_left_after_the_answer() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.join(room("den")).unwrap();
    rig.frames();
    rig.session.leave(&room("den")).unwrap();
    assert_eq!(rig.types(), []);
    rig.joined(request, DEN, "den", 0, 0);
    assert_eq!((rig.types(), rig.events()), (vec![FrameType::Leave], Vec::new()));
    rig.receive(&Left { room: DEN, code: None });
    assert_eq!(rig.event(), Event::Left { room: room("den"), code: None });
}

#[test]
fn a_room_entered_again_right_after_leaving_is_entered() {
    let mut rig = Rig::in_lobby();
    rig.session.leave(&lobby()).unwrap();
    let request = rig.session.join(lobby()).unwrap();
    assert_eq!(rig.types(), [FrameType::Leave, FrameType::Join]);
    rig.receive(&Left { room: LOBBY, code: None });
    rig.joined(request, LOBBY, "lobby", 3, 3);
    rig.message(4, "m4", false);
    let events = rig.events();
    assert!(matches!(events[0], Event::Left { .. }));
    assert!(matches!(events[1], Event::Joined { request: Some(answered), .. } if answered == request));
    assert!(matches!(events[2], Event::Message { .. }));
}

#[test]
fn who_is_put_out_of_a_room_stays_out() {
    let mut rig = Rig::in_lobby();
    rig.receive(&Left { room: LOBBY, code: Some(ErrorCode::Denied) });
    assert_eq!(rig.event(), Event::Left { room: lobby(), code: Some(ErrorCode::Denied) });
    rig.session.handle_eof(rig.now);
    rig.reconnect();
    assert_eq!(rig.joins(), []);
}

#[test]
fn a_leave_that_the_connection_did_not_survive_still_counts() {
    let mut rig = Rig::in_lobby();
    rig.session.leave(&lobby()).unwrap();
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.events()[0], Event::Left { room: lobby(), code: None });
    rig.reconnect();
    assert_eq!(rig.joins(), []);
}

#[test]
fn a_conversation_that_exists_is_entered_with_its_last_hundred_messages() {
    let mut rig = Rig::in_lobby();
    let with = NameRef::new("bob").unwrap();
    rig.receive(&DirectRoom { room: DEN, with, last: 250, over: false });
    rig.receive(&DirectRoom { room: DEN, with, last: 250, over: false });
    let joins = rig.joins();
    assert_eq!(joins, [(joins[0].0, "@bob".to_owned(), Some(150))]);
    rig.receive(&direct(joins[0].0, "bob", 250, 150));
    assert!(matches!(rig.event(), Event::Joined { room: key, request: None, .. } if key == user("bob")));
    rig.receive(&DirectRoom { room: DEN, with, last: 250, over: false });
    assert_eq!(rig.joins(), []);
}

#[test]
fn a_conversation_seen_before_goes_on_where_it_was() {
    let cursors = vec![(user("bob"), 240)];
    let restored = Restored { server: Some(SERVER), cursors, ..Restored::default() };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    rig.log_in();
    assert_eq!(rig.joins().len(), 1);
    rig.receive(&DirectRoom { room: DEN, with: NameRef::new("bob").unwrap(), last: 250, over: false });
    assert_eq!(rig.joins()[0].2, Some(240));
}

#[test]
fn a_conversation_that_begins_is_entered_by_the_server() {
    let mut rig = Rig::in_lobby();
    rig.session.say(user("bob"), &text("first words")).unwrap();
    rig.receive(&direct(RequestId(0), "bob", 0, 0));
    assert!(matches!(rig.event(), Event::Joined { room: key, request: None, .. } if key == user("bob")));
    rig.hear(&crate::rig::message(DEN, 1, crate::rig::ALICE, "alice", "first words", false));
    assert_eq!(rig.texts(), ["first words"]);
    rig.session.handle_eof(rig.now);
    rig.reconnect();
    // Whose name this is now, the server says.
    assert_eq!(names(&mut rig), [("lobby".to_owned(), Some(0))]);
    rig.receive(&DirectRoom { room: DEN, with: NameRef::new("bob").unwrap(), last: 1, over: false });
    assert_eq!(names(&mut rig), [("@bob".to_owned(), Some(1))]);
}

#[test]
fn a_room_is_known_by_the_name_that_the_server_writes() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.join(room("DEN")).unwrap();
    rig.joined(request, DEN, "den", 0, 0);
    assert!(matches!(rig.event(), Event::Joined { room: key, request: Some(_), .. } if key == room("den")));
    rig.session.leave(&room("den")).unwrap();
    assert_eq!(rig.session.leave(&room("DEN")), Err(LeaveError::NotIn(room("DEN"))));
}

#[test]
fn rooms_are_bounded_whoever_adds_them() {
    let mut rig = Rig::with(Config { max_rooms: 2, ..config() }, Restored::default());
    rig.connect();
    rig.log_in();
    rig.session.join(room("den")).unwrap();
    rig.frames();
    rig.events();
    assert_eq!(rig.session.join(room("hall")), Err(JoinError::TooMany { max: 2 }));
    rig.receive(&DirectRoom { room: DEN, with: NameRef::new("bob").unwrap(), last: 1, over: false });
    assert!(matches!(rig.event(), Event::JoinRefused { room: key, request: None, .. } if key == user("bob")));
    rig.receive(&direct(RequestId(0), "eve", 0, 0));
    assert_eq!(rig.session.state(), State::Closing);
}

#[test]
fn an_answer_to_no_join_is_a_violation() {
    let mut rig = Rig::in_lobby();
    rig.joined(RequestId(900), DEN, "den", 0, 0);
    rig.session.handle_eof(rig.now);
    let violation = Violation::NoSuchRequest { frame: FrameType::Joined, request: RequestId(900) };
    assert!(
        matches!(rig.event(), Event::Lost { reason: LostReason::Violation(found), .. } if found == violation)
    );
}

#[test]
fn one_number_cannot_be_two_rooms() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.join(room("den")).unwrap();
    rig.joined(request, LOBBY, "den", 0, 0);
    rig.session.handle_eof(rig.now);
    assert!(matches!(
        rig.event(),
        Event::Lost { reason: LostReason::Violation(Violation::Content { .. }), .. }
    ));
}

/// Names and cursors of the joins that were sent.
fn names(rig: &mut Rig) -> Vec<(String, Option<u64>)> {
    rig.joins().into_iter().map(|(_, name, cursor)| (name, cursor)).collect()
}

#[test]
fn words_for_somebody_who_is_gone_do_not_go_to_whoever_has_the_name_next() {
    let bob = NameRef::new("bob").unwrap();
    let said = |counter, target: RoomKey, words| PendingSay { counter, target, text: text(words) };
    let pending = vec![said(1, room("lobby"), "in the room"), said(2, user("bob"), "for the old bob")];
    let cursors = vec![(user("bob"), 240)];
    let restored = Restored { server: Some(SERVER), cursors, pending, next_counter: 3 };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    rig.log_in();
    let sent = |rig: &mut Rig| {
        let read = |sent: &Sent| match sent.frame() {
            ToServer::Say(say) => Some((say.counter, target(say.target))),
            ToServer::Ping(ping) => Some((ping.nonce, "ping".to_owned())),
            _ => None,
        };
        rig.frames().iter().filter_map(read).collect::<Vec<_>>()
    };
    // What is to be said to a person waits until it is known who is gone; what comes behind it keeps its order.
    rig.session.say(user("carol"), &text("for carol")).unwrap();
    assert_eq!(sent(&mut rig), [(0, "ping".to_owned()), (1, "lobby".to_owned())]);
    rig.receive(&DirectRoom { room: DEN, with: bob, last: 250, over: true });
    rig.receive(&DirectRoom { room: RoomId(9), with: bob, last: 3, over: false });
    assert_eq!(sent(&mut rig), []);
    rig.receive(&Pong { nonce: 0 });
    assert_eq!(sent(&mut rig), [(2, format!("#{DEN}")), (3, "@carol".to_owned())]);
    // Said from now on, it is for whoever has the name.
    rig.session.say(user("bob"), &text("for the new bob")).unwrap();
    assert_eq!(sent(&mut rig), [(4, "@bob".to_owned())]);
    rig.events();
    let about = FrameType::Say.number();
    let (code, note) = (ErrorCode::ConversationOver, NoteRef::EMPTY);
    rig.receive(&Error { code, about, request: 2, retry_after: 0, note });
    let Event::SayRefused { counter, target, .. } = rig.event() else { panic!() };
    assert_eq!((counter, target), (2, RoomKey::Former(name("bob"), DEN)));
}

#[test]
fn a_conversation_that_is_over_keeps_its_place_and_a_new_one_begins_at_its_start() {
    let bob = NameRef::new("bob").unwrap();
    let former = |room| RoomKey::Former(name("bob"), room);
    let restored =
        Restored { server: Some(SERVER), cursors: vec![(user("bob"), 240)], ..Restored::default() };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    rig.log_in();
    rig.frames();
    rig.events();
    rig.receive(&DirectRoom { room: DEN, with: bob, last: 250, over: true });
    assert_eq!(names(&mut rig), [(format!("#{DEN}"), Some(240))]);
    assert_eq!(rig.event(), Event::Retired { was: user("bob"), room: former(DEN) });
    let next = RoomId(9);
    rig.receive(&DirectRoom { room: next, with: bob, last: 3, over: false });
    let joins = rig.joins();
    assert_eq!((joins[0].1.as_str(), joins[0].2), ("@bob", Some(0)), "not where the other one was");
    rig.receive(&Joined { room: next, ..direct(joins[0].0, "bob", 3, 0) });
    rig.events();
    // It ends as well, while it is being read.
    rig.hear(&crate::rig::message(next, 1, crate::rig::BOB, "bob", "one", true));
    rig.receive(&DirectRoom { room: next, with: bob, last: 3, over: true });
    rig.hear(&crate::rig::message(next, 2, crate::rig::BOB, "bob", "two", true));
    let events = rig.events();
    assert_eq!(events[1], Event::Retired { was: user("bob"), room: former(next) });
    let Event::Message { message, .. } = &events[2] else { panic!("{events:?}") };
    assert_eq!((&message.room, message.seq), (&former(next), 2));
    assert_eq!(rig.session.say(former(next), &text("hello?")), Err(SayError::Over));
    // Told again at each login, and nothing is new.
    rig.session.handle_eof(rig.now);
    rig.reconnect();
    rig.frames();
    rig.events();
    rig.receive(&DirectRoom { room: next, with: bob, last: 3, over: true });
    assert_eq!(names(&mut rig), [(format!("#{next}"), Some(2))]);
    assert_eq!(rig.events(), []);
}

#[test]
fn joins_of_its_own_that_come_too_fast_are_asked_for_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.log_in();
    rig.events();
    let request = rig.joins()[0].0;
    let (code, note) = (ErrorCode::TooFast, NoteRef::new("again in 2 s").unwrap());
    let refused = |request: RequestId| Error {
        code,
        about: FrameType::Join.number(),
        request: request.into(),
        retry_after: 2_000,
        note,
    };
    rig.receive(&refused(request));
    assert_eq!((rig.events(), rig.joins()), (Vec::new(), Vec::new()), "nobody has to hear of it");
    assert_eq!(rig.wait(), std::time::Duration::from_secs(2));
    let again = rig.joins();
    assert_eq!(again[0].1, "lobby");
    // Somebody who asked is told, and decides.
    let request = rig.session.join(room("den")).unwrap();
    rig.receive(&refused(request));
    assert!(matches!(rig.event(), Event::JoinRefused { request: Some(it), .. } if it == request));
}
