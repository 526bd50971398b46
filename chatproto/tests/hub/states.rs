//! Every state answers every frame: it is taken, or refused with an error that names both.

use chatproto::hub::{ConnId, State};
use chatproto::wire::*;

use crate::desk::*;
use crate::ways::relaying;

/// One of each frame that a client may send, with fields that are legal in an empty world.
fn every_frame() -> Vec<ToServer<'static>> {
    let lobby = NameRef::new("lobby").unwrap();
    let bob = NameRef::new("bob").unwrap();
    let text = TextRef::new("hi").unwrap();
    let blob = Blob::new(b"x").unwrap();
    let request = RequestId(9);
    let target = Target::Room(lobby);
    let mechanism = NoteRef::new("none").unwrap();
    vec![
        Ping { nonce: 1 }.into(),
        Pong { nonce: 1 }.into(),
        Bye { reason: CloseReason::Done, retry_after: 0, note: NoteRef::EMPTY }.into(),
        Error { code: ErrorCode::Internal, about: 0, request: 0, retry_after: 0, note: NoteRef::EMPTY }
            .into(),
        client_hello().into(),
        LoginStart { user: bob, device: DeviceId([3; 16]), mechanism, data: blob }.into(),
        LoginResponse { data: blob }.into(),
        RegisterStart { user: bob, mechanism, invite: NoteRef::EMPTY, data: blob }.into(),
        RegisterFinish { data: blob }.into(),
        PasswordStart { request, mechanism, data: blob }.into(),
        PasswordFinish { request, data: blob }.into(),
        Devices { request, revoke: None }.into(),
        Say { counter: 1, target, text }.into(),
        Join { request, target, cursor: None }.into(),
        Leave { room: RoomId(1) }.into(),
        Rooms { request }.into(),
        Who { request, target }.into(),
        History { request, target, anchor: Anchor::Before, seq: 0, limit: 10 }.into(),
        Search { request, target: None, limit: 10, words: text }.into(),
        Create { request, name: bob, private: true }.into(),
        Moderate { request, target, action: Action::Op, user: Some(bob), seconds: 0, note: NoteRef::EMPTY }
            .into(),
        Govern { request, action: Action::Unlock, subject: None, seconds: 0, note: NoteRef::EMPTY }.into(),
        Inquire { request, target: Some(target), about: Inquiry::Imposed, before: 0, limit: 1 }.into(),
        Announce { port: 4000, link_key: LinkKey([1; 32]), candidates: List::new(&[]) }.into(),
        PeerRequest { request, purpose: Purpose::Files, concealed: false, to: bob }.into(),
        PeerAnswer { offer: OfferId(1), accept: true, concealed: false }.into(),
        PeerWithdraw { request }.into(),
        PeerOutcome { offer: OfferId(1), way: Way::Direct, code: ErrorCode::DialRefused }.into(),
        PeerTry { offer: OfferId(1), way: Way::Reverse }.into(),
        Probe { token: SideToken([1; 32]), way: Way::Punch }.into(),
        Relay { token: SideToken([1; 32]) }.into(),
        PeerFailed { offer: OfferId(1), code: ErrorCode::NotReachable }.into(),
        Reach { request }.into(),
    ]
}

fn registering_desk() -> Desk {
    Desk::with(|config| config.capabilities = config.capabilities.with(Capability::Register))
}

fn in_state(desk: &mut Desk, state: State) -> ConnId {
    match state {
        State::Side => return desk.connect_aside("192.0.2.9"),
        State::Relaying => return relaying(desk),
        _ => {}
    }
    let conn = desk.connect("192.0.2.9");
    let registers = matches!(state, State::Applying | State::Admitted | State::Enrolling);
    if state == State::Hello {
        return conn;
    }
    desk.hello(conn);
    if state == State::Choosing {
        return conn;
    }
    if registers {
        let mechanism = NoteRef::new("none").unwrap();
        let user = NameRef::new("carol").unwrap();
        let data = Blob::new(b"x").unwrap();
        desk.send(conn, &RegisterStart { user, mechanism, invite: NoteRef::EMPTY, data });
        if state != State::Applying {
            assert!(desk.hub.register_challenge(conn, b"go on"));
        }
        if state == State::Enrolling {
            desk.send(conn, &RegisterFinish { data });
        }
        return conn;
    }
    desk.start_login(conn, "alice", 1);
    if matches!(state, State::Challenged | State::Proving) {
        assert!(desk.hub.login_challenge(conn, b"prove it"));
    }
    if state == State::Proving {
        desk.send(conn, &LoginResponse { data: Blob::new(b"proof").unwrap() });
    }
    if state == State::Open {
        assert!(desk.hub.login_accept(conn, &accept("alice")));
    }
    conn
}

#[test]
fn every_frame_of_the_direction_is_tried() {
    let tried: Vec<FrameType> = every_frame().iter().map(ToServer::frame_type).collect();
    assert_eq!(tried, ToServer::TYPES);
}

#[test]
fn every_pair_of_state_and_frame_is_answered() {
    for state in State::ALL {
        for frame in every_frame() {
            let mut desk = registering_desk();
            let conn = in_state(&mut desk, state);
            desk.skip(conn);
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            desk.hub.handle_input(conn, &bytes, desk.now);
            let frames = desk.frames(conn);
            let refused = errors(&frames).iter().any(|(code, ..)| *code == ErrorCode::WrongState);
            let pair = format!("{:?} while {}", frame.frame_type(), state.name());
            assert_eq!(refused, !state.allows(&frame), "{pair}: {frames:?}");
            if refused {
                let (_, _, text) = errors(&frames)[0];
                assert!(text.contains(frame.frame_type().name()), "{pair}: {text}");
                assert!(text.contains(state.name()), "{pair}: {text}");
                assert_eq!(bye(&frames), Some(CloseReason::Violation), "{pair}");
                assert!(desk.hub.is_finished(conn), "{pair}");
            }
        }
    }
}

#[test]
fn what_belongs_to_every_state_is_allowed_in_every_state() {
    for state in State::ALL {
        let mut desk = registering_desk();
        let conn = in_state(&mut desk, state);
        desk.skip(conn);
        desk.send(conn, &Ping { nonce: 77 });
        assert_eq!(desk.frames(conn), [ToClient::Pong(Pong { nonce: 77 })], "{}", state.name());
    }
}
