//! Requests and their answers: rooms, people, pages, refusals.

use chatproto::session::{ChatMessage, Config, Event, MemberInfo, Refusal, RequestError, Restored, State};
use chatproto::wire::{
    Anchor, Change, Error, ErrorCode, FrameType, List, Member, Members, MessagePage, NameRef, NoteRef,
    PageMessage, Presence, Rank, RequestId, RoomEntry, RoomId, RoomList, TextRef, ToServer,
};

use crate::rig::{BOB, LOBBY, Rig, config, lobby, name, room, text, user};

fn nr(text: &str) -> NameRef<'_> {
    NameRef::new(text).unwrap()
}

fn found(room: RoomId, seq: u64) -> PageMessage<'static> {
    PageMessage {
        room,
        seq,
        time: 1,
        device: BOB,
        counter: 3,
        from: nr("bob"),
        text: TextRef::new("hit").unwrap(),
    }
}

#[test]
fn a_room_list_comes_in_pages() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.rooms().unwrap();
    assert_eq!(rig.types(), [FrameType::Rooms]);
    let entry = RoomEntry { room: LOBBY, name: nr("lobby"), people: 3, last: 9, topic: NoteRef::EMPTY };
    for more in [true, false] {
        rig.receive(&RoomList { request, more, rooms: List::new(&[entry]) });
        let Event::RoomList { request: answered, rooms, more: follows } = rig.event() else { panic!() };
        assert_eq!((answered, follows, rooms.len()), (request, more, 1));
        assert_eq!((rooms[0].name.as_str(), rooms[0].people, rooms[0].last), ("lobby", 3, 9));
    }
    // Nothing more was asked for.
    rig.receive(&RoomList { request, more: false, rooms: List::new(&[entry]) });
    assert_eq!(rig.session.state(), State::Closing);
}

#[test]
fn people_are_listed_for_the_room_that_was_asked_about() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.who(&room("elsewhere")).unwrap();
    let member = Member { user: nr("bob"), devices: 2, rank: Rank::Operator };
    rig.receive(&Members { request, room: RoomId(40), more: false, members: List::new(&[member]) });
    let members = vec![MemberInfo { user: name("bob"), devices: 2, rank: Rank::Operator }];
    let expected = Event::Members { request: Some(request), room: room("elsewhere"), members, more: false };
    assert_eq!(rig.event(), expected);
    rig.receive(&Members { request: RequestId(0), room: LOBBY, more: false, members: List::new(&[]) });
    let expected = Event::Members { request: None, room: lobby(), members: Vec::new(), more: false };
    assert_eq!(rig.event(), expected);
}

#[test]
fn pages_name_their_rooms_and_leave_out_what_is_not_ours_any_more() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.search(None, &text("hit"), 20).unwrap();
    rig.receive(&MessagePage {
        request,
        more: false,
        messages: List::new(&[found(LOBBY, 5), found(RoomId(9), 1)]),
    });
    let Event::Page { messages, .. } = rig.event() else { panic!() };
    let expected = ChatMessage {
        room: lobby(),
        seq: 5,
        time: 1,
        from: name("bob"),
        device: BOB,
        counter: 3,
        text: text("hit"),
    };
    assert_eq!(messages, [expected]);

    let request = rig.session.history(&user("bob"), Anchor::Before, 0, 20).unwrap();
    let frames = rig.frames();
    let ToServer::History(history) = frames[1].frame() else { panic!("{frames:?}") };
    assert_eq!((history.anchor, history.seq, history.limit), (Anchor::Before, 0, 20));
    rig.receive(&MessagePage { request, more: true, messages: List::new(&[found(RoomId(9), 1)]) });
    let Event::Page { messages, more, .. } = rig.event() else { panic!() };
    assert_eq!((messages[0].room.clone(), more), (user("bob"), true));
}

#[test]
fn a_refusal_says_why_and_when_to_try_again() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.history(&room("secret"), Anchor::After, 3, 1).unwrap();
    let about = FrameType::History.number();
    let note = NoteRef::new("join the room first").unwrap();
    let code = ErrorCode::NotMember;
    rig.receive(&Error { code, about, request: request.into(), retry_after: 250, note });
    let retry_after = Some(std::time::Duration::from_millis(250));
    let refusal = Refusal::Code { code, retry_after, note: note.to_owned() };
    assert_eq!(rig.event(), Event::Refused { request, refusal });
}

#[test]
fn every_open_request_ends_with_the_connection() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.rooms().unwrap();
    let peer = rig.session.request_peer(&name("bob"), chatproto::wire::Purpose::Files).unwrap();
    rig.session.handle_eof(rig.now);
    let events = rig.events();
    let refusal = Refusal::ConnectionLost;
    assert_eq!(events[0], Event::Refused { request, refusal: refusal.clone() });
    assert_eq!(events[1], Event::PeerRequestClosed { request: peer, refusal });
    assert!(matches!(events[2], Event::Lost { .. }));
    assert_eq!(rig.session.rooms(), Err(RequestError::NotReady { state: State::Offline }));
}

#[test]
fn open_requests_are_bounded() {
    let mut rig = Rig::with(Config { max_requests: 2, ..config() }, Restored::default());
    rig.connect();
    rig.log_in();
    rig.session.rooms().unwrap();
    rig.session.who(&lobby()).unwrap();
    rig.frames();
    assert_eq!(rig.session.rooms(), Err(RequestError::TooMany { max: 2 }));
    assert_eq!(rig.types(), []);
}

#[test]
fn presence_names_room_and_person() {
    let mut rig = Rig::in_lobby();
    rig.receive(&Presence { room: LOBBY, change: Change::Entered, device: BOB, user: nr("bob") });
    let change = Change::Entered;
    assert_eq!(rig.event(), Event::Presence { room: lobby(), user: name("bob"), device: BOB, change });
}

#[test]
fn reading_stops_while_the_program_is_behind_with_the_events() {
    let mut rig = Rig::in_lobby();
    for seq in 1..=u64::try_from(config().max_events).unwrap() {
        assert!(rig.session.wants_read());
        rig.message(seq, "m", false);
    }
    assert!(!rig.session.wants_read());
    rig.session.poll_event().unwrap();
    assert!(rig.session.wants_read());
}
