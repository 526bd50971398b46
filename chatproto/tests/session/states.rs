//! Every state meets every frame: what may come now is taken, anything else is a violation that names both.

use bytes::BytesMut;
use chatproto::session::{Event, LostReason, State, Violation};
use chatproto::wire::{
    AccountReply, Action, Blob, Body as _, Bye, CaughtUp, Change, CloseReason, DeviceList, DirectRoom, Error,
    ErrorCode, FrameType, Gap, Governed, HEADER_LEN, Invited, Joined, Left, List, LoginChallenge, Members,
    MessagePage, Messages, Moderated, NameRef, NoteRef, OfferId, PeerClosed, PeerFailed, PeerIntroduce,
    PeerMeet, PeerOffer, PeerOutcome, PeerTry, Ping, Pong, Posted, Presence, Purpose, Reached, RelayOpened,
    Report, RequestId, RoomKind, RoomList, ServerKey, ToClient, ToServer, Way,
};

use crate::rig::{BOB, LINK_KEY, LOBBY, Rig, hello, login_ok, message};

/// One frame of each type, as legal as its type allows for somebody who is in the lobby.
fn samples() -> Vec<ToClient<'static>> {
    let (name, note) = (NameRef::new("bob").unwrap(), NoteRef::EMPTY);
    let request = RequestId(0);
    let room = LOBBY;
    let said = &message(room, 1, BOB, "bob", "hi", false).to_bytes().to_vec().leak()[HEADER_LEN..];
    let samples = vec![
        ToClient::Ping(Ping { nonce: 1 }),
        ToClient::Pong(Pong { nonce: 1 }),
        ToClient::Bye(Bye { reason: CloseReason::Done, retry_after: 0, note }),
        ToClient::Error(Error { code: ErrorCode::Internal, about: 0, request: 0, retry_after: 0, note }),
        ToClient::ServerHello(hello()),
        ToClient::LoginChallenge(LoginChallenge { data: Default::default() }),
        ToClient::LoginOk(login_ok()),
        ToClient::AccountReply(AccountReply { request, data: Blob::new(b"x").unwrap() }),
        ToClient::ServerKey(ServerKey { fingerprint: [1; 32] }),
        ToClient::DeviceList(DeviceList { request, devices: List::new(&[]) }),
        ToClient::Posted(Posted { counter: 1, room, seq: 1, time: 1 }),
        ToClient::Messages(Messages::decode_body(said).unwrap()),
        ToClient::Joined(Joined {
            request,
            room: chatproto::wire::RoomId(2),
            kind: RoomKind::Direct,
            name,
            topic: note,
            last: 0,
            cursor: 0,
        }),
        ToClient::Left(Left { room, code: None }),
        ToClient::Presence(Presence { room, change: Change::Entered, device: BOB, user: name }),
        ToClient::RoomList(RoomList { request, more: false, rooms: List::new(&[]) }),
        ToClient::Members(Members { request, room, more: false, members: List::new(&[]) }),
        ToClient::MessagePage(MessagePage { request, more: false, messages: List::new(&[]) }),
        ToClient::DirectRoom(DirectRoom { room, with: name, last: 1, over: false }),
        ToClient::CaughtUp(CaughtUp { room, seq: 0 }),
        ToClient::Gap(Gap { room, from: 1, to: 2 }),
        ToClient::Moderated(Moderated {
            request,
            room,
            action: Action::Topic,
            by: Some(name),
            device: BOB,
            user: None,
            seconds: 0,
            note,
        }),
        ToClient::Invited(Invited { room, name, by: Some(name) }),
        ToClient::Governed(Governed { request, action: Action::Unlock, subject: None, seconds: 0, note }),
        ToClient::Report(Report { request, more: false, lines: List::new(&[]) }),
        ToClient::PeerOffer(PeerOffer {
            offer: OfferId(1),
            purpose: Purpose::Files,
            expires: 9,
            device: BOB,
            from: name,
        }),
        ToClient::PeerIntroduce(PeerIntroduce {
            offer: OfferId(1),
            request,
            purpose: Purpose::Files,
            role: chatproto::wire::DialRole::Await,
            expires: 9,
            ticket: chatproto::wire::LinkTicket([0; 32]),
            token: chatproto::wire::SideToken([0; 32]),
            device: BOB,
            link_key: LINK_KEY,
            hidden: false,
            peer: name,
            addresses: List::new(&[]),
        }),
        ToClient::PeerClosed(PeerClosed { offer: OfferId(1), request, code: ErrorCode::Denied }),
        ToClient::PeerOutcome(PeerOutcome {
            offer: OfferId(1),
            way: Way::Direct,
            code: ErrorCode::DialRefused,
        }),
        ToClient::PeerTry(PeerTry { offer: OfferId(1), way: Way::Reverse }),
        ToClient::RelayOpened(RelayOpened { offer: OfferId(1) }),
        ToClient::PeerMeet(PeerMeet {
            offer: OfferId(1),
            way: Way::Punch,
            after: 200,
            address: "192.0.2.1:4000".parse().unwrap(),
        }),
        ToClient::PeerFailed(PeerFailed { offer: OfferId(1), code: ErrorCode::NotReachable }),
        ToClient::Reached(Reached { request, address: "192.0.2.1:4000".parse().unwrap(), code: None }),
    ];
    let types = samples.iter().map(ToClient::frame_type).collect::<Vec<_>>();
    assert_eq!(types, ToClient::TYPES, "one sample of each type, in the order of the types");
    samples
}

/// A session in this state.
fn at(state: State) -> Rig {
    let mut rig = match state {
        State::Ready | State::Closing | State::Away | State::Stopped => Rig::in_lobby(),
        State::Offline
        | State::Connecting
        | State::Hello
        | State::Choosing
        | State::Registering
        | State::Proving => Rig::new(),
    };
    let now = rig.now;
    match state {
        State::Connecting | State::Ready => {}
        State::Offline => rig.session.connect_failed(now),
        State::Hello => rig.session.connected(now),
        State::Choosing | State::Registering | State::Proving => {
            rig.session.connected(now);
            rig.receive(&hello());
            if state == State::Registering {
                rig.session.register("OPAQUE", &NoteRef::EMPTY.to_owned(), b"").unwrap();
            }
            if state == State::Proving {
                rig.session.login_one_way("OPAQUE", b"").unwrap();
            }
        }
        State::Closing => rig.session.quit(now),
        State::Away | State::Stopped => {
            if state == State::Away {
                rig.session.leave_for_direct(now);
            } else {
                rig.session.quit(now);
            }
            rig.session.handle_eof(now);
        }
    }
    assert_eq!(rig.session.state(), state);
    rig.frames();
    rig.events();
    rig
}

/// The rule of PROTOCOL.md in other words than the machine's.
fn is_legal(state: State, frame: FrameType) -> bool {
    const LOGIN: [FrameType; 2] = [FrameType::LoginChallenge, FrameType::LoginOk];
    match frame.number() {
        0x01..=0x04 => true,
        _ if frame == FrameType::ServerHello => state == State::Hello,
        _ if frame == FrameType::AccountReply => matches!(state, State::Registering | State::Ready),
        _ if LOGIN.contains(&frame) => state == State::Proving,
        // The last frame before a relayed link, which has a connection of its own.
        _ if frame == FrameType::RelayOpened => false,
        _ => state == State::Ready,
    }
}

#[test]
fn every_pair_of_state_and_frame_has_its_answer() {
    for &state in State::ALL {
        for frame in samples() {
            let mut rig = at(state);
            let mut bytes = BytesMut::new();
            frame.encode(&mut bytes);
            rig.session.handle_input(&bytes, rig.now);
            let kind = frame.frame_type();
            let pair = format!("{kind} while {state}");
            if !matches!(
                state,
                State::Hello | State::Choosing | State::Registering | State::Proving | State::Ready
            ) {
                assert_eq!(
                    (rig.types(), rig.events(), rig.session.state()),
                    (vec![], vec![], state),
                    "{pair}"
                );
            } else if is_legal(state, kind) {
                // Answers to requests that are not open are wrong for another reason than the state.
                let answers = [
                    FrameType::RoomList,
                    FrameType::MessagePage,
                    FrameType::AccountReply,
                    FrameType::DeviceList,
                    FrameType::Reached,
                    FrameType::Governed,
                    FrameType::Report,
                ];
                let refused = answers.contains(&kind) && state == State::Ready;
                assert_eq!(rig.session.state() == State::Closing, refused, "{pair}");
            } else {
                let frames = rig.frames();
                let ToServer::Error(error) = frames[0].frame() else { panic!("{pair}: {frames:?}") };
                assert_eq!((error.code, error.about), (ErrorCode::WrongState, kind.number()), "{pair}");
                let expected = format!("`{kind}` is not allowed while the session is {state}");
                assert_eq!(error.note.as_str(), expected);
                assert_eq!((frames.len(), frames[1].kind()), (2, FrameType::Bye), "{pair}");
                rig.session.handle_eof(rig.now);
                let violation = Violation::State { frame: kind, state };
                let events = rig.events();
                assert!(
                    events.iter().any(|event| matches!(event,
                        Event::Lost { reason: LostReason::Violation(found), .. } if *found == violation)),
                    "{pair}: {events:?}"
                );
            }
        }
    }
}

#[test]
fn frames_that_only_a_client_sends_are_refused_in_every_state() {
    for &state in
        State::ALL.iter().filter(|state| matches!(state, State::Hello | State::Choosing | State::Ready))
    {
        let mut rig = at(state);
        rig.receive(&chatproto::wire::Rooms { request: RequestId(1) });
        assert_eq!(rig.types(), [FrameType::Error, FrameType::Bye]);
    }
}

#[test]
fn unknown_frames_are_skipped_only_when_they_may_be() {
    let mut rig = at(State::Ready);
    rig.session.handle_input(&[0, 0, 0, 3, 0xfe, 1, 2, 0, 0, 0, 9, 1, 0, 0, 0, 0, 0, 0, 0, 5], rig.now);
    assert_eq!(rig.types(), [FrameType::Pong]);
    rig.session.handle_input(&[0, 0, 0, 1, 0x7e], rig.now);
    let frames = rig.frames();
    assert!(matches!(frames[0].frame(), ToServer::Error(error) if error.code == ErrorCode::UnknownFrame));
}

#[test]
fn verbs_in_every_state_leave_the_machine_whole() {
    for &state in State::ALL {
        let mut rig = at(state);
        let now = rig.now;
        let _ = rig.session.login("OPAQUE", b"");
        let _ = rig.session.respond(b"");
        let _ = rig.session.register("OPAQUE", &NoteRef::EMPTY.to_owned(), b"");
        let _ = rig.session.finish_registration(b"");
        let _ = rig.session.devices(None);
        let _ = rig.session.join(crate::rig::room("den"));
        let _ = rig.session.leave(&crate::rig::lobby());
        let _ = rig.session.say(crate::rig::lobby(), &crate::rig::text("x"));
        let _ = rig.session.rooms();
        let _ = rig.session.answer_peer(OfferId(1), true);
        rig.session.connected(now);
        rig.session.connect_failed(now);
        rig.session.handle_timeout(now);
        rig.session.come_back(now);
        rig.session.leave_for_direct(now);
        rig.session.reconnect_now(now);
        rig.session.quit(now);
        rig.session.handle_eof(now);
        assert_eq!(rig.session.state(), State::Stopped, "from {state}");
        assert_eq!(rig.events().last(), Some(&Event::Stopped), "from {state}");
        rig.session.reconnect_now(now);
        rig.connect();
        rig.log_in();
        assert_eq!(rig.session.state(), State::Ready, "from {state}");
    }
}
