//! What is said: kept, numbered, sent in order, put off, refused.

use std::time::Duration;

use chatproto::session::{Config, Event, PendingSay, Restored, SayError};
use chatproto::wire::{Error, ErrorCode, FrameType, NoteRef, Posted, RoomId};

use crate::rig::{LOBBY, Rig, config, lobby, text, user};

fn refuse(counter: u64, code: ErrorCode, retry_after: u32) -> Error<'static> {
    Error { code, about: FrameType::Say.number(), request: counter, retry_after, note: NoteRef::EMPTY }
}

#[test]
fn words_said_before_the_login_leave_with_it() {
    let mut rig = Rig::new();
    assert_eq!(rig.session.say(lobby(), &text("early")), Ok(1));
    rig.connect();
    rig.log_in();
    assert_eq!(rig.says(), [(1, "early".to_owned())]);
}

#[test]
fn posted_is_told_once_with_the_room_it_went_to() {
    let mut rig = Rig::in_lobby();
    rig.session.say(lobby(), &text("hi")).unwrap();
    rig.session.say(user("bob"), &text("psst")).unwrap();
    rig.receive(&Posted { counter: 1, room: LOBBY, seq: 7, time: 99 });
    assert_eq!(rig.event(), Event::Posted { counter: 1, room: lobby(), seq: 7, time: 99 });
    rig.receive(&Posted { counter: 1, room: LOBBY, seq: 7, time: 99 });
    assert_eq!(rig.events(), []);
    // The conversation was not entered yet: its name is where it was said.
    rig.receive(&Posted { counter: 2, room: RoomId(77), seq: 1, time: 99 });
    assert_eq!(rig.event(), Event::Posted { counter: 2, room: user("bob"), seq: 1, time: 99 });
    assert_eq!(rig.session.pending().count(), 0);
}

#[test]
fn only_so_many_are_on_their_way_at_once() {
    let mut rig = Rig::with(Config { max_unposted: 2, ..config() }, Restored::default());
    rig.connect();
    rig.log_in();
    rig.frames();
    for words in ["1", "2", "3", "4"] {
        rig.session.say(lobby(), &text(words)).unwrap();
    }
    let sent = |rig: &mut Rig| rig.says().into_iter().map(|(counter, _)| counter).collect::<Vec<_>>();
    assert_eq!(sent(&mut rig), [1, 2]);
    rig.receive(&Posted { counter: 1, room: LOBBY, seq: 1, time: 0 });
    assert_eq!(sent(&mut rig), [3]);
    rig.receive(&refuse(2, ErrorCode::NotMember, 0));
    assert_eq!(sent(&mut rig), [4]);
}

#[test]
fn a_refusal_ends_a_say() {
    let mut rig = Rig::in_lobby();
    rig.session.say(user("nobody"), &text("hello?")).unwrap();
    rig.receive(&refuse(1, ErrorCode::NoSuchUser, 0));
    let Event::SayRefused { counter, target, code, retry_after, .. } = rig.event() else { panic!() };
    assert_eq!((counter, target, code, retry_after), (1, user("nobody"), ErrorCode::NoSuchUser, None));
    assert_eq!(rig.session.pending().count(), 0);
    rig.session.say(lobby(), &text("again!")).unwrap();
    rig.receive(&refuse(2, ErrorCode::SlowMode, 1500));
    let Event::SayRefused { code, retry_after, .. } = rig.event() else { panic!() };
    assert_eq!((code, retry_after), (ErrorCode::SlowMode, Some(Duration::from_millis(1500))));
}

#[test]
fn a_backlog_puts_says_off_and_they_leave_in_order_after_the_pause() {
    let mut rig = Rig::in_lobby();
    for words in ["1", "2"] {
        rig.session.say(lobby(), &text(words)).unwrap();
    }
    rig.frames();
    rig.receive(&refuse(1, ErrorCode::Backlog, 2_000));
    rig.receive(&refuse(2, ErrorCode::Backlog, 2_000));
    rig.session.say(lobby(), &text("3")).unwrap();
    assert_eq!((rig.says(), rig.events()), (Vec::new(), Vec::new()));
    assert_eq!(rig.wait(), Duration::from_millis(2_500));
    let counters = rig.says().into_iter().map(|(counter, _)| counter).collect::<Vec<_>>();
    assert_eq!(counters, [1, 2, 3]);
    // The next pause is longer, until one was stored.
    rig.receive(&refuse(1, ErrorCode::Busy, 0));
    assert_eq!(rig.wait(), Duration::from_millis(1_000));
    rig.receive(&Posted { counter: 1, room: LOBBY, seq: 1, time: 0 });
    rig.receive(&refuse(2, ErrorCode::Busy, 0));
    assert_eq!(rig.wait(), Duration::from_millis(500));
}

#[test]
fn an_error_about_a_say_that_nobody_knows_is_only_reported() {
    let mut rig = Rig::in_lobby();
    rig.receive(&refuse(99, ErrorCode::Backlog, 0));
    assert!(matches!(rig.event(), Event::ServerError { about: Some(FrameType::Say), .. }));
}

#[test]
fn memory_for_words_is_bounded_and_restored_words_are_kept_anyway() {
    let old = |counter| PendingSay { counter, target: lobby(), text: text("old") };
    let restored = Restored { pending: vec![old(9), old(4), old(7)], ..Restored::default() };
    let limits = Config { max_pending: 4, max_pending_bytes: 20, ..config() };
    let mut rig = Rig::with(limits, restored);
    assert_eq!(rig.session.pending().map(|say| say.counter).collect::<Vec<_>>(), [4, 7, 9]);
    assert_eq!(rig.session.next_counter(), 10);
    assert_eq!(rig.session.say(lobby(), &text("twelve bytes")), Err(SayError::TooManyBytes { max: 20 }));
    assert_eq!(rig.session.say(lobby(), &text("eleven byte")), Ok(10));
    assert_eq!(rig.session.say(lobby(), &text("x")), Err(SayError::TooMany { max: 4 }));
    assert_eq!(rig.session.next_counter(), 11);
    rig.session.quit(rig.now);
    assert_eq!(rig.session.say(lobby(), &text("x")), Err(SayError::Stopped));
}
