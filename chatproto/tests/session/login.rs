//! From the first dial to a login that stands, and every way it can fail.

use std::time::Duration;

use chatproto::conn::Stage;
use chatproto::session::{Config, Event, LoginError, LostReason, Restored, State, Violation};
use chatproto::wire::{
    Blob, Bye, Capabilities, Capability, CloseReason, Error, ErrorCode, FrameType, LoginChallenge, NoteRef,
    ServerHello, ToServer,
};

use crate::rig::{ALICE, LINK_KEY, Rig, SERVER, config, hello, login_ok};

#[test]
fn a_login_goes_from_the_dial_to_ready() {
    let mut rig = Rig::new();
    assert_eq!(rig.session.state(), State::Connecting);
    assert_eq!(rig.event(), Event::Connect);

    rig.session.connected(rig.now);
    let frames = rig.frames();
    let ToServer::ClientHello(ours) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!((ours.version_min, ours.version_max, ours.max_frame), (1, 1, 65_536));
    assert_eq!(frames.len(), 1);

    rig.receive(&hello());
    let Event::LoginWanted { server, mechanisms, .. } = rig.event() else { panic!() };
    assert_eq!(server, SERVER);
    assert_eq!(mechanisms.iter().map(|offered| offered.as_str()).collect::<Vec<_>>(), ["OPAQUE", "TICKET"]);

    rig.session.login("OPAQUE", b"one").unwrap();
    let frames = rig.frames();
    let ToServer::Announce(announce) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!((announce.port, announce.link_key), (4_000, LINK_KEY));
    let ToServer::LoginStart(start) = frames[1].frame() else { panic!("{frames:?}") };
    assert_eq!((start.user.as_str(), start.device, start.data.as_bytes()), ("alice", ALICE, &b"one"[..]));

    rig.receive(&LoginChallenge { data: Blob::new(b"two").unwrap() });
    let Event::Challenge { data } = rig.event() else { panic!() };
    assert_eq!((&*data, format!("{data:?}")), (&b"two"[..], "***".to_owned()));
    rig.session.respond(b"three").unwrap();
    let frames = rig.frames();
    let ToServer::LoginResponse(response) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!(response.data.as_bytes(), b"three");

    rig.receive(&login_ok());
    let Event::Ready { user, observed, resumed, ticket, ticket_lifetime, data, .. } = rig.event() else {
        panic!()
    };
    assert_eq!((user.as_str(), resumed), ("alice", false));
    assert_eq!(observed.to_string(), "192.0.2.7:50000");
    assert_eq!((&*ticket, &*data, ticket_lifetime.as_secs()), (&b"ticket"[..], &b"four"[..], 3_600));
    assert_eq!(rig.joins()[0].1, "lobby");
    assert_eq!(rig.session.state(), State::Ready);
}

#[test]
fn what_both_sides_can_do_is_known_after_the_hello() {
    let ours = Capabilities::NONE.with(Capability::Search).with(Capability::Resume);
    let theirs = Capabilities::NONE.with(Capability::Search).with(Capability::Relay);
    let mut rig = Rig::with(Config { capabilities: ours, ..config() }, Restored::default());
    rig.connect();
    rig.receive(&ServerHello { capabilities: theirs, ..hello() });
    assert_eq!(rig.session.capabilities(), Capabilities::NONE.with(Capability::Search));
}

#[test]
fn a_wrong_password_stops_the_session_until_the_program_tries_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.session.login("OPAQUE", b"one").unwrap();
    rig.events();
    let note = NoteRef::new("wrong ID or password").unwrap();
    rig.receive(&Error { code: ErrorCode::LoginRefused, about: 0, request: 0, retry_after: 0, note });
    assert_eq!(
        rig.event(),
        Event::LoginFailed { code: ErrorCode::LoginRefused, retry_after: None, note: note.to_owned() }
    );
    // The bye that follows is not heard any more.
    rig.receive(&Bye { reason: CloseReason::LoginRefused, retry_after: 0, note: NoteRef::EMPTY });
    rig.session.handle_eof(rig.now);
    assert_eq!((rig.session.state(), rig.session.is_finished()), (State::Stopped, true));
    assert_eq!((rig.events(), rig.session.poll_timeout()), (Vec::new(), None));

    rig.session.reconnect_now(rig.now);
    rig.connect();
    rig.log_in();
    assert_eq!(rig.session.state(), State::Ready);
}

#[test]
fn a_bye_alone_is_enough_to_refuse_a_login() {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.events();
    let note = NoteRef::new("closed today").unwrap();
    rig.receive(&Bye { reason: CloseReason::LoginRefused, retry_after: 0, note });
    assert_eq!(
        rig.event(),
        Event::LoginFailed { code: ErrorCode::LoginRefused, retry_after: None, note: note.to_owned() }
    );
    assert_eq!(rig.session.state(), State::Stopped);
}

#[test]
fn a_server_that_fails_inside_is_tried_again() {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.session.login("OPAQUE", b"one").unwrap();
    rig.events();
    let note = NoteRef::new("the accounts cannot be read").unwrap();
    rig.receive(&Error { code: ErrorCode::Internal, about: 0, request: 0, retry_after: 0, note });
    rig.receive(&Bye { reason: CloseReason::LoginRefused, retry_after: 0, note: NoteRef::EMPTY });
    let reason = LostReason::Bye {
        reason: CloseReason::LoginRefused,
        error: Some(ErrorCode::Internal),
        note: note.to_owned(),
    };
    assert_eq!(rig.event(), Event::Lost { reason, retry_in: Some(Duration::from_millis(500)) });
}

#[test]
fn who_accepts_without_having_proved_itself_is_not_believed() {
    for challenges in [false, true] {
        let mut rig = Rig::new();
        rig.session.say(crate::rig::lobby(), &crate::rig::text("for the right server only")).unwrap();
        rig.connect();
        rig.receive(&hello());
        rig.session.login("OPAQUE", b"one").unwrap();
        rig.frames();
        rig.events();
        if challenges {
            rig.receive(&LoginChallenge { data: Blob::new(b"two").unwrap() });
            rig.events();
        }
        rig.receive(&login_ok());
        assert_eq!(rig.session.state(), State::Closing);
        let frames = rig.frames();
        let ToServer::Error(error) = frames[0].frame() else { panic!("{frames:?}") };
        assert_eq!((error.code, error.about), (ErrorCode::WrongState, FrameType::LoginOk.number()));
        assert_eq!(frames.len(), 2, "an error and a bye, and no word of what was said");
        let lost = LostReason::Violation(Violation::Unproved);
        rig.session.handle_eof(rig.now);
        assert!(matches!(rig.event(), Event::Lost { reason, .. } if reason == lost));
        assert_eq!(rig.says(), []);
    }
}

#[test]
fn an_impostor_is_left_with_a_bye() {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.session.login("OPAQUE", b"one").unwrap();
    rig.frames();
    rig.events();
    rig.session.abandon_login(rig.now).unwrap();
    assert!(matches!(rig.event(), Event::LoginFailed { code: ErrorCode::LoginRefused, .. }));
    let frames = rig.frames();
    assert!(matches!(frames[..], [ref bye] if bye.kind() == FrameType::Bye), "{frames:?}");
    assert!(rig.session.is_finished());
    rig.session.handle_eof(rig.now);
    assert_eq!((rig.session.state(), rig.events()), (State::Stopped, Vec::new()));
}

#[test]
fn login_verbs_are_refused_at_the_wrong_moment_and_change_nothing() {
    let mut rig = Rig::new();
    rig.connect();
    rig.frames();
    let not_now = |state| Err(LoginError::NotNow { state });
    assert_eq!(rig.session.login("OPAQUE", b""), not_now(State::Hello));
    assert_eq!(rig.session.abandon_login(rig.now), not_now(State::Hello));
    rig.receive(&hello());
    assert_eq!(rig.session.respond(b""), not_now(State::Choosing));
    assert_eq!(rig.session.login("PLAIN", b""), Err(LoginError::NotOffered));
    let long = vec![0; Blob::MAX_LEN + 1];
    assert!(matches!(rig.session.login("OPAQUE", &long), Err(LoginError::Data(_))));
    assert_eq!((rig.session.state(), rig.types()), (State::Choosing, Vec::new()));
    rig.session.login("TICKET", b"").unwrap();
    assert_eq!(rig.session.login("OPAQUE", b""), not_now(State::Proving));
    assert!(matches!(rig.session.respond(&long), Err(LoginError::Data(_))));
}

#[test]
fn a_server_of_another_version_is_not_tried_again() {
    let mut rig = Rig::new();
    rig.connect();
    let note = NoteRef::new("this server speaks version 2").unwrap();
    rig.receive(&Error { code: ErrorCode::Version, about: 0x10, request: 0, retry_after: 0, note });
    let Event::Lost { reason: LostReason::Bye { error, .. }, retry_in } = rig.event() else { panic!() };
    assert_eq!((error, retry_in), (Some(ErrorCode::Version), None));
    assert_eq!(rig.session.state(), State::Stopped);
}

#[test]
fn a_hello_that_cannot_work_is_a_violation() {
    let frame = FrameType::ServerHello;
    let what = "`max_frame` is too small for the longest message";
    for (wrong, violation) in [
        (ServerHello { version: 2, ..hello() }, Violation::Version { found: 2 }),
        (ServerHello { max_frame: 16_383, ..hello() }, Violation::Content { frame, what }),
    ] {
        let mut rig = Rig::new();
        rig.connect();
        rig.frames();
        rig.receive(&wrong);
        assert_eq!(rig.types(), [FrameType::Error, FrameType::Bye]);
        rig.session.handle_eof(rig.now);
        let Event::Lost { reason, retry_in } = rig.event() else { panic!() };
        assert_eq!(reason, LostReason::Violation(violation));
        assert!(retry_in.is_some());
    }
}

#[test]
fn every_wait_of_the_login_ends() {
    let limits = config().limits;
    let timeout = |stage| Event::Lost {
        reason: LostReason::Timeout(stage),
        retry_in: Some(Duration::from_millis(500)),
    };

    let mut rig = Rig::new();
    rig.event();
    assert_eq!(rig.wait(), config().connect_timeout);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Unreachable, .. }));
    // The dial that comes too late is not wanted: the driver closes the socket.
    rig.session.connected(rig.now);
    assert!(rig.session.is_finished());
    assert_eq!(rig.types(), []);

    let mut rig = Rig::new();
    rig.connect();
    assert_eq!(rig.wait(), limits.handshake_timeout);
    assert_eq!(rig.event(), timeout(Stage::Handshake));

    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.events();
    assert_eq!(rig.wait(), limits.login_timeout);
    assert_eq!(rig.event(), timeout(Stage::Login));
    assert!(rig.session.is_finished());
}

#[test]
fn a_bye_that_nobody_takes_does_not_hold_the_session_up() {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&login_ok());
    assert_eq!((rig.session.state(), rig.session.is_finished()), (State::Closing, false));
    assert_eq!(rig.wait(), config().limits.close_timeout);
    assert!(matches!(rig.event(), Event::Lost { reason: LostReason::Violation(_), .. }));
    assert!(rig.session.is_finished());
}
