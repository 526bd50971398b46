//! Losing the server and coming back: pauses, reasons, and that nothing is lost or doubled.

use std::time::Duration;

use chatproto::Instant;
use chatproto::conn::Stage;
use chatproto::session::{Backoff, Config, Event, LostReason, Restored, RoomKey, Session, State, Violation};
use chatproto::wire::{
    Bye, CaughtUp, CloseReason, DirectRoom, ErrorCode, FrameType, NameRef, NoteRef, Ping, Pong, Posted,
    ServerId,
};

use crate::rig::{
    ALICE, BOB, LOBBY, Rig, SERVER, config, hello_of, lobby, login_ok, message, name, text, user,
};

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

#[test]
fn pauses_grow_to_their_limit_and_begin_anew_after_a_login_that_stood() {
    let mut rig = Rig::new();
    let mut waited = Vec::new();
    for _ in 0..9 {
        assert_eq!(rig.event(), Event::Connect);
        rig.session.connect_failed(rig.now);
        let Event::Lost { reason: LostReason::Unreachable, retry_in } = rig.event() else { panic!() };
        assert_eq!(retry_in, Some(rig.wait()));
        waited.extend(retry_in);
    }
    let expected = [500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000].map(millis);
    assert_eq!(waited, expected);

    // A login that falls at once counts as one more failure.
    rig.connect();
    rig.log_in();
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.wait(), millis(60_000));

    rig.connect();
    rig.log_in();
    rig.advance(config().backoff.stable);
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.wait(), millis(500));
}

#[test]
fn pauses_depend_on_the_seed_and_on_nothing_else() {
    let pauses = |seed| {
        let config = Config { backoff: Backoff::default(), ..config() };
        let mut session = Session::new(config, Restored::default(), seed, Instant::from_millis(0));
        let mut now = Instant::from_millis(0);
        let mut pauses = Vec::new();
        for _ in 0..8 {
            session.connect_failed(now);
            let due = session.poll_timeout().unwrap();
            pauses.push(due.since(now));
            now = due;
            session.handle_timeout(now);
        }
        pauses
    };
    assert_eq!(pauses(1), pauses(1));
    assert_ne!(pauses(1), pauses(2));
}

#[test]
fn a_person_need_not_wait_for_the_pause() {
    let mut rig = Rig::new();
    rig.session.connect_failed(rig.now);
    rig.events();
    rig.session.reconnect_now(rig.now);
    assert_eq!(rig.event(), Event::Connect);
    // Once is enough.
    rig.session.reconnect_now(rig.now);
    assert_eq!(rig.events(), []);
}

#[test]
fn the_servers_advice_is_followed() {
    let mut rig = Rig::in_lobby();
    let note = NoteRef::new("upgrading").unwrap();
    rig.receive(&Bye { reason: CloseReason::ShuttingDown, retry_after: 5_000, note });
    let reason = LostReason::Bye { reason: CloseReason::ShuttingDown, error: None, note: note.to_owned() };
    assert_eq!(rig.event(), Event::Lost { reason, retry_in: Some(millis(5_500)) });
    assert!(rig.session.is_finished());
    assert_eq!(rig.wait(), millis(5_500));
    assert_eq!(rig.event(), Event::Connect);
}

#[test]
fn who_was_replaced_or_removed_does_not_fight_back() {
    for reason in [CloseReason::Replaced, CloseReason::Removed] {
        let mut rig = Rig::in_lobby();
        rig.receive(&Bye { reason, retry_after: 1, note: NoteRef::EMPTY });
        assert!(matches!(rig.event(), Event::Lost { retry_in: None, .. }));
        assert_eq!((rig.session.state(), rig.session.poll_timeout()), (State::Stopped, None));
    }
}

#[test]
fn a_frame_cut_in_the_middle_is_said_in_the_event() {
    let mut rig = Rig::in_lobby();
    rig.session.handle_input(&[0, 0, 0, 9, 1, 2], rig.now);
    rig.session.handle_eof(rig.now);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Closed { cut: 6 }, .. }));
    // Telling it twice changes nothing.
    rig.session.handle_eof(rig.now);
    assert_eq!(rig.events(), []);
}

#[test]
fn silence_is_probed_and_then_ended() {
    let limits = config().limits;
    let mut rig = Rig::in_lobby();
    assert_eq!(rig.wait(), limits.ping_interval);
    assert_eq!(rig.types(), [FrameType::Ping]);
    rig.receive(&Ping { nonce: 4 });
    assert_eq!(rig.types(), [FrameType::Pong]);
    assert_eq!(rig.wait(), limits.ping_interval);
    assert_eq!(rig.types(), [FrameType::Ping]);
    assert_eq!(rig.wait(), limits.idle_timeout - limits.ping_interval);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Timeout(Stage::Open), .. }));
}

#[test]
fn garbage_is_answered_with_what_is_wrong_and_the_session_comes_back() {
    let mut rig = Rig::in_lobby();
    rig.session.handle_input(b"HTTP/1.1 400 Bad Request\r\n", rig.now);
    let frames = rig.frames();
    let chatproto::wire::ToServer::Error(error) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!(error.code, ErrorCode::TooLarge);
    assert!(error.note.as_str().contains("HTTP"), "{:?}", error.note);
    assert!(rig.session.is_finished());
    rig.session.handle_eof(rig.now);
    let Event::Lost { reason: LostReason::Violation(Violation::Frame(_)), retry_in } = rig.event() else {
        panic!()
    };
    assert!(retry_in.is_some());
    rig.reconnect();
    assert_eq!(rig.session.state(), State::Ready);
}

#[test]
fn a_flood_of_cheap_frames_ends_the_connection_and_many_messages_do_not() {
    let mut rig = Rig::in_lobby();
    let max = u64::from(config().limits.max_frames);
    for seq in 1..=max + 10 {
        rig.message(seq, "m", true);
    }
    assert_eq!(rig.texts().len(), usize::try_from(max + 10).unwrap());

    let ping = [0, 0, 0, 1, 0x80];
    for _ in 0..=max {
        rig.session.handle_input(&ping, rig.now);
    }
    rig.session.handle_eof(rig.now);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Violation(Violation::Flood), .. }));
}

#[test]
fn a_server_that_asks_and_never_reads_costs_no_memory() {
    let mut rig = Rig::in_lobby();
    let limits = config().limits;
    for nonce in 0_u64.. {
        rig.now = rig.now + limits.budget_interval;
        rig.receive(&Ping { nonce });
        for nonce in 0..10_000 {
            rig.receive(&Ping { nonce });
        }
        if rig.session.state() == State::Offline {
            break;
        }
        assert!(rig.session.outgoing().len() <= limits.max_queue_hard);
    }
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::TooSlow, .. }));
    assert!(rig.session.outgoing().is_empty());
}

#[test]
fn what_was_missed_comes_once_and_back_is_told_when_every_room_has_caught_up() {
    let mut rig = Rig::in_lobby();
    rig.message(1, "before", false);
    rig.session.handle_eof(rig.now);
    rig.events();
    rig.reconnect();
    let events = rig.events();
    assert!(matches!(events[1], Event::Ready { resumed: true, .. }), "{events:?}");
    let joins = rig.joins();
    assert_eq!((joins[0].1.as_str(), joins[0].2), ("lobby", Some(1)));

    // A conversation began meanwhile: it belongs to what was missed.
    rig.receive(&DirectRoom {
        room: chatproto::wire::RoomId(2),
        with: NameRef::new("bob").unwrap(),
        last: 1,
        over: false,
    });
    let direct = rig.joins();
    assert_eq!((direct[0].1.as_str(), direct[0].2), ("@bob", Some(0)));

    rig.joined(joins[0].0, LOBBY, "lobby", 4, 1);
    rig.message(1, "before", true);
    rig.message(2, "two", true);
    rig.hear(&message(LOBBY, 3, ALICE, "alice", "my own", true));
    rig.message(4, "four", true);
    rig.receive(&CaughtUp { room: LOBBY, seq: 4 });
    let events = rig.events();
    assert!(events.contains(&Event::CaughtUp { room: lobby(), missed: 2 }), "{events:?}");
    assert!(!events.iter().any(|event| matches!(event, Event::Back { .. })), "{events:?}");

    rig.receive(&chatproto::wire::Joined {
        request: direct[0].0,
        room: chatproto::wire::RoomId(2),
        kind: chatproto::wire::RoomKind::Direct,
        name: NameRef::new("bob").unwrap(),
        topic: NoteRef::EMPTY,
        last: 1,
        cursor: 0,
    });
    rig.hear(&message(chatproto::wire::RoomId(2), 1, BOB, "bob", "psst", true));
    rig.receive(&CaughtUp { room: chatproto::wire::RoomId(2), seq: 1 });
    let events = rig.events();
    assert_eq!(events.last(), Some(&Event::Back { missed: 3 }));
    rig.receive(&CaughtUp { room: LOBBY, seq: 4 });
    assert!(!rig.events().iter().any(|event| matches!(event, Event::Back { .. })));
}

#[test]
fn what_is_not_acknowledged_is_said_again_in_order_after_the_joins() {
    let mut rig = Rig::in_lobby();
    for words in ["one", "two", "three"] {
        rig.session.say(lobby(), &text(words)).unwrap();
    }
    assert_eq!(rig.says().len(), 3);
    rig.receive(&Posted { counter: 2, room: LOBBY, seq: 1, time: 5 });
    rig.session.handle_eof(rig.now);
    rig.session.say(user("bob"), &text("four")).unwrap();
    assert_eq!(rig.says(), []);
    rig.wait();
    rig.connect();
    rig.receive(&crate::rig::hello());
    rig.session.login_one_way("OPAQUE", b"").unwrap();
    rig.frames();
    rig.receive(&login_ok());
    let frames = rig.frames();
    let kinds = frames.iter().map(crate::rig::Sent::kind).collect::<Vec<_>>();
    // What is for a person waits until it is known who is gone.
    assert_eq!(kinds, [FrameType::Join, FrameType::Ping, FrameType::Say, FrameType::Say]);
    rig.receive(&Pong { nonce: 0 });
    assert_eq!(rig.says(), [(4, "four".to_owned())]);
    let counters = rig.session.pending().map(|say| say.counter).collect::<Vec<_>>();
    assert_eq!(counters, [1, 3, 4]);
}

#[test]
fn another_log_drops_the_cursors() {
    let restored = Restored {
        server: Some(SERVER),
        cursors: vec![(lobby(), 40), (user("bob"), 9)],
        ..Restored::default()
    };
    let mut rig = Rig::with(config(), restored);
    rig.connect();
    let other = ServerId([9; 16]);
    rig.receive(&hello_of(other));
    assert_eq!(rig.events()[0], Event::NewLog { server: other });
    rig.session.login_one_way("OPAQUE", b"").unwrap();
    rig.receive(&login_ok());
    let joins = rig.joins();
    assert_eq!((joins.len(), joins[0].1.as_str(), joins[0].2), (1, "lobby", None));
}

#[test]
fn a_program_goes_on_from_a_snapshot() {
    let mut rig = Rig::in_lobby();
    rig.message(1, "one", false);
    rig.session.say(lobby(), &text("unsent")).unwrap();
    let snapshot = rig.session.snapshot();
    assert_eq!(snapshot.cursors, [(RoomKey::Room(name("lobby")), 1)]);
    assert_eq!((snapshot.server, snapshot.next_counter), (Some(SERVER), 2));

    let mut rig = Rig::with(config(), snapshot.clone());
    assert_eq!(rig.session.snapshot(), snapshot);
    rig.connect();
    rig.receive(&crate::rig::hello());
    rig.session.login_one_way("OPAQUE", b"").unwrap();
    rig.receive(&login_ok());
    let frames = rig.frames();
    let last = frames.last().unwrap();
    assert!(matches!(last.frame(), chatproto::wire::ToServer::Say(say) if say.counter == 1));
    assert!(matches!(
        frames[frames.len() - 2].frame(),
        chatproto::wire::ToServer::Join(join) if join.cursor == Some(1)
    ));
    assert_eq!(rig.session.say(lobby(), &text("next")), Ok(2));
}
