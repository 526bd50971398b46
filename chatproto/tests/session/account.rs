//! Registering, changing the password, devices: what the session asks, and what it believes.

use chatproto::session::{Event, LoginError, LostReason, State, Violation};
use chatproto::wire::{
    AccountReply, Blob, DeviceEntry, DeviceList, Error, ErrorCode, FrameType, List, Note, NoteRef, RequestId,
    ServerKey, ToServer,
};

use crate::rig::{BOB, Rig, hello, login_ok};

fn reply(request: u32, data: &[u8]) -> AccountReply<'_> {
    AccountReply { request: RequestId(request), data: Blob::new(data).unwrap() }
}

fn choosing() -> Rig {
    let mut rig = Rig::new();
    rig.connect();
    rig.receive(&hello());
    rig.frames();
    rig.events();
    rig
}

fn registering() -> Rig {
    let mut rig = choosing();
    rig.session.register("OPAQUE", &Note::new("code").unwrap(), b"one").unwrap();
    rig
}

fn violated(rig: &mut Rig) -> Violation {
    assert_eq!(rig.session.state(), State::Closing);
    rig.session.handle_eof(rig.now);
    let found = rig.events().into_iter().find_map(|event| match event {
        Event::Lost { reason: LostReason::Violation(violation), .. } => Some(violation),
        _ => None,
    });
    found.expect("a violation")
}

#[test]
fn an_account_is_made_and_logged_in_to() {
    let mut rig = registering();
    let frames = rig.frames();
    let ToServer::RegisterStart(start) = frames[0].frame() else { panic!("{frames:?}") };
    assert_eq!((start.user.as_str(), start.invite.as_str()), ("alice", "code"));
    assert_eq!((start.mechanism.as_str(), start.data.as_bytes()), ("OPAQUE", &b"one"[..]));
    rig.receive(&reply(0, b"two"));
    let Event::RegisterChallenge { data } = rig.event() else { panic!() };
    assert_eq!(&data[..], b"two");
    rig.session.finish_registration(b"three").unwrap();
    assert_eq!(rig.types(), [FrameType::RegisterFinish]);
    rig.receive(&reply(0, b""));
    assert_eq!(rig.event(), Event::Registered);
    rig.session.login("OPAQUE", b"one").unwrap();
    rig.session.respond(b"three").unwrap();
    rig.receive(&login_ok());
    assert_eq!(rig.session.state(), State::Ready);
}

#[test]
fn a_registration_can_be_refused() {
    let mut rig = registering();
    let (code, note) = (ErrorCode::BadInvite, NoteRef::new("used up").unwrap());
    rig.receive(&Error { code, about: 0x16, request: 0, retry_after: 0, note });
    assert_eq!(rig.event(), Event::LoginFailed { code, retry_after: None, note: note.to_owned() });
    assert_eq!(rig.session.state(), State::Stopped);
}

#[test]
fn a_server_that_takes_steps_out_of_turn_is_not_believed() {
    let what = "it comes out of turn";
    let out_of_turn = Violation::Content { frame: FrameType::AccountReply, what };
    let mut rig = registering();
    rig.receive(&reply(0, b""));
    assert_eq!(violated(&mut rig), out_of_turn, "done before it has the record");
    let mut rig = registering();
    rig.receive(&reply(0, b"two"));
    rig.session.finish_registration(b"three").unwrap();
    rig.receive(&reply(0, b"more"));
    assert_eq!(violated(&mut rig), out_of_turn);
    let mut rig = Rig::in_lobby();
    let request = rig.session.change_password(&Note::new("OPAQUE").unwrap(), b"one").unwrap();
    rig.receive(&reply(request.0, b""));
    assert_eq!(violated(&mut rig), out_of_turn, "changed without the proof");
}

#[test]
fn registering_is_for_those_who_are_not_logged_in() {
    let mut rig = Rig::in_lobby();
    let refused = rig.session.register("OPAQUE", &NoteRef::EMPTY.to_owned(), b"");
    assert_eq!(refused, Err(LoginError::NotNow { state: State::Ready }));
    let mut rig = choosing();
    let refused = rig.session.register("other", &NoteRef::EMPTY.to_owned(), b"");
    assert_eq!(refused, Err(LoginError::NotOffered));
    assert!(rig.session.finish_registration(b"").is_err());
}

#[test]
fn a_password_is_changed_after_the_servers_answer() {
    let mut rig = Rig::in_lobby();
    rig.frames();
    let request = rig.session.change_password(&Note::new("OPAQUE").unwrap(), b"one").unwrap();
    rig.receive(&reply(request.0, b"two"));
    let Event::PasswordChallenge { request: asked, data } = rig.event() else { panic!() };
    assert_eq!((asked, &data[..]), (request, &b"two"[..]));
    rig.session.finish_password(request, b"three").unwrap();
    assert!(rig.session.finish_password(request, b"again").is_err());
    assert_eq!(rig.types(), [FrameType::PasswordStart, FrameType::PasswordFinish]);
    rig.receive(&reply(request.0, b""));
    assert_eq!(rig.event(), Event::PasswordChanged { request });
}

#[test]
fn a_change_that_was_given_up_is_forgotten() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.change_password(&Note::new("OPAQUE").unwrap(), b"one").unwrap();
    rig.session.abandon_password(request);
    assert!(rig.session.finish_password(request, b"three").is_err());
    rig.receive(&reply(request.0, b"late"));
    let violation = Violation::NoSuchRequest { frame: FrameType::AccountReply, request };
    assert_eq!(violated(&mut rig), violation);
}

#[test]
fn devices_and_the_next_key_are_told() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.devices(Some(BOB)).unwrap();
    let address = "192.0.2.1:1".parse().unwrap();
    let entry = DeviceEntry { device: BOB, first: 1, last: 2, address, ticket: false, online: true };
    rig.receive(&DeviceList { request, devices: List::new(&[entry]) });
    assert_eq!(rig.event(), Event::Devices { request, devices: vec![entry] });
    rig.receive(&ServerKey { fingerprint: [7; 32] });
    assert_eq!(rig.event(), Event::ServerKey { fingerprint: [7; 32] });
}
