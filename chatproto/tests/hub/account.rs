//! Registration, change of password, devices, and the server's next key: the order of what is asked and answered.

use bytes::Bytes;
use chatproto::hub::{ConnId, Event};
use chatproto::wire::*;

use crate::desk::*;

fn desk() -> Desk {
    Desk::with(|config| {
        config.capabilities = config.capabilities.with(Capability::Register).with(Capability::Account);
    })
}

/// Says hello as a client that can do all of this.
fn greet(desk: &mut Desk, conn: ConnId) {
    let capabilities = Capabilities::NONE.with(Capability::Register).with(Capability::Account);
    desk.send(conn, &ClientHello { capabilities, ..client_hello() });
    desk.skip(conn);
}

fn open(desk: &mut Desk, device: u8) -> ConnId {
    let conn = desk.connect("192.0.2.1");
    greet(desk, conn);
    desk.start_login(conn, "alice", device);
    assert!(desk.hub.login_accept(conn, &accept("alice")));
    desk.skip(conn);
    desk.take_events();
    conn
}

fn blob(bytes: &[u8]) -> Blob<'_> {
    Blob::new(bytes).unwrap()
}

fn register(desk: &mut Desk, conn: ConnId) {
    let (user, mechanism, invite) = (name("carol"), note("none"), note("code"));
    let start = RegisterStart {
        user: user.borrow(),
        mechanism: mechanism.borrow(),
        invite: invite.borrow(),
        data: blob(b"one"),
    };
    desk.send(conn, &start);
}

fn password(desk: &mut Desk, conn: ConnId, request: u32) {
    let mechanism = note("none");
    let request = RequestId(request);
    desk.send(conn, &PasswordStart { request, mechanism: mechanism.borrow(), data: blob(b"one") });
}

#[test]
fn a_stranger_registers_and_then_logs_in_on_the_same_connection() {
    let mut desk = desk();
    let conn = desk.connect("192.0.2.1");
    greet(&mut desk, conn);
    register(&mut desk, conn);
    let events = desk.take_events();
    let [Event::RegisterStarted { user, invite, data, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((user.as_str(), invite.as_str(), &data[..]), ("carol", "code", &b"one"[..]));
    assert!(!desk.hub.registered(conn), "out of turn");
    assert!(desk.hub.register_challenge(conn, b"two"));
    let reply = AccountReply { request: RequestId(0), data: blob(b"two") };
    assert_eq!(desk.frames(conn), [ToClient::AccountReply(reply)]);
    desk.send(conn, &RegisterFinish { data: blob(b"three") });
    assert_eq!(desk.take_events(), [Event::RegisterFinished { conn, data: Bytes::from_static(b"three") }]);
    assert!(desk.hub.registered(conn));
    let done = AccountReply { request: RequestId(0), data: Blob::default() };
    assert_eq!(desk.frames(conn), [ToClient::AccountReply(done)]);
    desk.start_login(conn, "carol", 3);
    assert!(desk.hub.login_accept(conn, &accept("carol")));
    assert_eq!(desk.hub.connections(), (1, 1));
}

#[test]
fn a_refused_registration_names_its_frame_and_ends_the_connection() {
    for at_the_end in [false, true] {
        let mut desk = desk();
        let conn = desk.connect("192.0.2.1");
        greet(&mut desk, conn);
        register(&mut desk, conn);
        if at_the_end {
            desk.hub.register_challenge(conn, b"two");
            desk.send(conn, &RegisterFinish { data: blob(b"three") });
        }
        desk.skip(conn);
        assert!(desk.hub.login_refuse(conn, ErrorCode::NameTaken, "taken"));
        let frames = desk.frames(conn);
        let Some(ToClient::Error(error)) = frames.first() else { panic!("{frames:?}") };
        let about = if at_the_end { FrameType::RegisterFinish } else { FrameType::RegisterStart };
        assert_eq!((error.code, error.about), (ErrorCode::NameTaken, about.number()));
        assert_eq!(bye(&frames), Some(CloseReason::LoginRefused));
    }
}

#[test]
fn a_server_without_registration_says_so() {
    let mut desk = Desk::new();
    let conn = desk.connect("192.0.2.1");
    greet(&mut desk, conn);
    register(&mut desk, conn);
    let frames = desk.frames(conn);
    assert_eq!(errors(&frames)[0].0, ErrorCode::RegistrationClosed);
    assert_eq!(bye(&frames), Some(CloseReason::LoginRefused));
    let asked = desk.take_events().iter().any(|event| matches!(event, Event::RegisterStarted { .. }));
    assert!(!asked, "the program hears nothing of it");
}

#[test]
fn a_password_changes_in_two_steps_one_at_a_time() {
    let mut desk = desk();
    let conn = open(&mut desk, 1);
    password(&mut desk, conn, 7);
    let alice = name("alice");
    let started = |data| Event::PasswordStarted { conn, user: alice.clone(), data: Bytes::from_static(data) };
    assert_eq!(desk.take_events(), [started(b"one")]);
    password(&mut desk, conn, 8);
    assert_eq!(
        errors(&desk.frames(conn))[0],
        (ErrorCode::TooManyRequests, 8, "one change of the account at a time")
    );
    assert!(desk.hub.password_challenge(conn, b"two"));
    let reply = AccountReply { request: RequestId(7), data: blob(b"two") };
    assert_eq!(desk.frames(conn), [ToClient::AccountReply(reply)]);
    desk.send(conn, &PasswordFinish { request: RequestId(9), data: blob(b"three") });
    assert_eq!(errors(&desk.frames(conn))[0].0, ErrorCode::Expired);
    desk.send(conn, &PasswordFinish { request: RequestId(7), data: blob(b"three") });
    assert_eq!(desk.take_events(), [Event::PasswordFinished { conn, data: Bytes::from_static(b"three") }]);
    assert!(desk.hub.password_changed(conn));
    let done = AccountReply { request: RequestId(7), data: Blob::default() };
    assert_eq!(desk.frames(conn), [ToClient::AccountReply(done)]);
    assert!(!desk.hub.password_changed(conn), "it is over");
}

#[test]
fn a_client_that_gave_up_after_the_challenge_may_begin_anew() {
    let mut desk = desk();
    let conn = open(&mut desk, 1);
    password(&mut desk, conn, 7);
    desk.hub.password_challenge(conn, b"two");
    assert!(!desk.hub.account_refuse(conn, ErrorCode::Internal, 0, ""), "nobody waits for the program");
    password(&mut desk, conn, 8);
    assert!(desk.hub.account_refuse(conn, ErrorCode::TooManyAttempts, 9, "later"));
    let frames = desk.frames(conn);
    let Some(ToClient::Error(error)) = frames.last() else { panic!("{frames:?}") };
    let about = FrameType::PasswordStart.number();
    assert_eq!((error.about, error.request, error.retry_after), (about, 8, 9));
    assert!(!desk.hub.is_finished(conn));
}

#[test]
fn devices_are_listed_and_revoked_by_the_program() {
    let mut desk = desk();
    let conn = open(&mut desk, 1);
    let revoke = Some(DeviceId([2; 16]));
    desk.send(conn, &Devices { request: RequestId(3), revoke });
    assert_eq!(desk.take_events(), [Event::DevicesAsked { conn, user: name("alice"), revoke }]);
    let address = "192.0.2.1:1".parse().unwrap();
    let entry =
        DeviceEntry { device: DeviceId([1; 16]), first: 1, last: 2, address, ticket: true, online: true };
    assert!(desk.hub.device_list(conn, &[entry; MAX_LISTED_DEVICES + 1]));
    let frames = desk.frames(conn);
    let [ToClient::DeviceList(list)] = &frames[..] else { panic!("{frames:?}") };
    assert_eq!(list.devices.iter().collect::<Vec<_>>(), [entry; MAX_LISTED_DEVICES]);
}

#[test]
fn a_revoked_session_is_told_so() {
    let mut desk = desk();
    let (first, second) = (open(&mut desk, 1), open(&mut desk, 2));
    let sessions = desk.hub.sessions(&name("alice"));
    assert_eq!(sessions, [(first, DeviceId([1; 16])), (second, DeviceId([2; 16]))]);
    desk.hub.revoke(second, "the password changed");
    assert_eq!(bye(&desk.frames(second)), Some(CloseReason::Revoked));
    assert_eq!(desk.hub.sessions(&name("alice")).len(), 1);
}

#[test]
fn the_next_key_is_told_to_those_who_are_here_and_to_those_who_come() {
    let mut desk = desk();
    let here = open(&mut desk, 1);
    desk.hub.tell_server_key(Some([9; 32]));
    let told = [ToClient::ServerKey(ServerKey { fingerprint: [9; 32] })];
    assert_eq!(desk.frames(here), told);
    let conn = desk.connect("192.0.2.1");
    greet(&mut desk, conn);
    desk.start_login(conn, "bob", 4);
    desk.hub.login_accept(conn, &accept("bob"));
    assert_eq!(desk.frames(conn).last(), Some(&told[0]));
    desk.hub.tell_server_key(None);
    assert_eq!(desk.frames(here), []);
}

#[test]
fn what_was_not_agreed_on_is_refused_and_never_sent() {
    let mut desk = desk();
    let conn = desk.connect("192.0.2.1");
    desk.hello(conn);
    desk.start_login(conn, "alice", 1);
    desk.hub.login_accept(conn, &accept("alice"));
    desk.skip(conn);
    desk.hub.tell_server_key(Some([9; 32]));
    desk.send(conn, &Devices { request: RequestId(3), revoke: None });
    password(&mut desk, conn, 4);
    let frames = desk.frames(conn);
    let refused = errors(&frames).into_iter().map(|(code, request, _)| (code, request)).collect::<Vec<_>>();
    assert_eq!(refused, [(ErrorCode::NotSupported, 3), (ErrorCode::NotSupported, 4)]);
    assert_eq!(frames.len(), 2, "no key either: {frames:?}");
}
