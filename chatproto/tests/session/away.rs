//! Leaving for a direct link, coming back, and quitting.

use chatproto::session::{Event, LostReason, State};
use chatproto::wire::{CloseReason, FrameType, ToServer};

use crate::rig::{Rig, lobby, text};

fn bye(rig: &mut Rig) -> CloseReason {
    let frames = rig.frames();
    let ToServer::Bye(bye) = frames.last().unwrap().frame() else { panic!("{frames:?}") };
    bye.reason
}

#[test]
fn leaving_for_a_link_is_no_loss_and_coming_back_is_at_once() {
    let mut rig = Rig::in_lobby();
    rig.session.leave_for_direct(rig.now);
    assert_eq!((rig.session.state(), rig.session.is_finished()), (State::Closing, false));
    assert_eq!(bye(&mut rig), CloseReason::Direct);
    assert!(rig.session.is_finished());
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.event(), Event::Away);
    assert_eq!((rig.session.state(), rig.session.poll_timeout()), (State::Away, None));

    // Words said meanwhile wait.
    rig.session.say(lobby(), &text("from afar")).unwrap();
    rig.session.come_back(rig.now);
    rig.connect();
    rig.log_in();
    let events = rig.events();
    assert!(events.iter().any(|event| matches!(event, Event::Ready { resumed: true, .. })), "{events:?}");
    assert_eq!(rig.says(), [(1, "from afar".to_owned())]);
}

#[test]
fn leaving_works_without_a_connection() {
    let mut rig = Rig::new();
    rig.session.leave_for_direct(rig.now);
    assert_eq!(rig.events(), [Event::Connect, Event::Away]);
    // The dial that was under way is not wanted any more.
    rig.session.connected(rig.now);
    assert!(rig.session.is_finished());
    rig.session.come_back(rig.now);
    assert_eq!(rig.event(), Event::Connect);
}

#[test]
fn whoever_wants_back_before_having_left_comes_back() {
    let mut rig = Rig::in_lobby();
    rig.session.leave_for_direct(rig.now);
    rig.session.come_back(rig.now);
    rig.frames();
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.events(), [Event::Away, Event::Connect]);
}

#[test]
fn quitting_sends_what_was_said_before_and_then_stops() {
    let mut rig = Rig::in_lobby();
    rig.session.say(lobby(), &text("good night")).unwrap();
    rig.session.quit(rig.now);
    assert_eq!(rig.types(), [FrameType::Say, FrameType::Bye]);
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.event(), Event::Stopped);
    assert_eq!((rig.session.state(), rig.session.poll_timeout()), (State::Stopped, None));
    assert_eq!(rig.session.pending().count(), 1, "what is not acknowledged is kept");
}

#[test]
fn quitting_offline_stops_at_once_and_takes_no_time_when_nobody_reads() {
    let mut rig = Rig::new();
    rig.session.connect_failed(rig.now);
    rig.events();
    rig.session.quit(rig.now);
    assert_eq!(rig.event(), Event::Stopped);

    let mut rig = Rig::in_lobby();
    rig.session.quit(rig.now);
    rig.wait();
    assert_eq!(rig.event(), Event::Stopped);
}

#[test]
fn quitting_while_a_violation_is_being_reported_stops() {
    let mut rig = Rig::in_lobby();
    rig.session.handle_input(&[0; 4], rig.now);
    rig.session.quit(rig.now);
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.event(), Event::Stopped);
    rig.session.reconnect_now(rig.now);
    rig.connect();
    rig.session.handle_eof(rig.now);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Closed { cut: 0 }, .. }));
}
