//! Making rooms and keeping order in them, as a session sees it.

use chatproto::session::{Event, Order, Refusal, RoomKey};
use chatproto::wire::{
    Action, DeviceId, Error, ErrorCode, FrameType, Invited, Joined, Moderated, NameRef, Note, NoteRef,
    RequestId, RoomId, RoomKind, ToServer,
};

use crate::rig::{BOB, LOBBY, Rig, config, lobby, name};

fn name_ref(text: &'static str) -> NameRef<'static> {
    NameRef::new(text).unwrap()
}

fn topic(note: &'static str) -> Moderated<'static> {
    Moderated {
        request: RequestId(0),
        room: LOBBY,
        action: Action::Topic,
        by: Some(name_ref("bob")),
        device: BOB,
        user: None,
        seconds: 0,
        note: NoteRef::new(note).unwrap(),
    }
}

fn order() -> Order {
    let note = Note::new("roses").unwrap();
    Order { action: Action::Topic, user: None, seconds: 0, note }
}

fn told(by: Option<&str>, note: &str, request: Option<RequestId>) -> Event {
    Event::Moderated {
        room: lobby(),
        action: Action::Topic,
        by: by.map(name),
        user: None,
        seconds: 0,
        note: Note::new(note).unwrap(),
        request,
    }
}

#[test]
fn what_this_device_asked_for_is_told_once_as_the_answer() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.moderate(&lobby(), &order()).unwrap();
    let sent = rig.frames();
    assert!(matches!(sent[0].frame(), ToServer::Moderate(asked) if asked.request == request));
    let own = Moderated { device: config().device, by: Some(name_ref("alice")), ..topic("roses") };
    rig.receive(&own);
    rig.receive(&Moderated { request, ..own });
    assert_eq!(rig.event(), told(Some("alice"), "roses", Some(request)));
    assert_eq!(rig.session.poll_event(), None);
}

#[test]
fn news_of_others_and_the_present_state_are_told() {
    let mut rig = Rig::in_lobby();
    rig.receive(&topic("weeds"));
    assert_eq!(rig.event(), told(Some("bob"), "weeds", None));
    rig.receive(&Moderated { by: None, device: DeviceId([0; 16]), ..topic("roses") });
    assert_eq!(rig.event(), told(None, "roses", None));
    rig.receive(&Invited { room: RoomId(9), name: name_ref("den"), by: Some(name_ref("bob")) });
    assert_eq!(rig.event(), Event::Invited { room: RoomKey::Room(name("den")), by: Some(name("bob")) });
}

#[test]
fn a_refused_order_ends_with_its_code() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.moderate(&lobby(), &order()).unwrap();
    let note = NoteRef::EMPTY;
    let (code, about) = (ErrorCode::Forbidden, FrameType::Moderate.number());
    rig.receive(&Error { code, about, request: request.0.into(), retry_after: 0, note });
    let refusal = Refusal::Code { code, retry_after: None, note: note.to_owned() };
    assert_eq!(rig.event(), Event::Refused { request, refusal });
}

#[test]
fn a_room_that_was_made_is_entered_and_one_that_was_not_is_not_joined_instead() {
    let mut rig = Rig::in_lobby();
    let request = rig.session.create(&name("den"), true).unwrap();
    let sent = rig.frames();
    assert!(matches!(sent[0].frame(), ToServer::Create(asked) if asked.private));
    rig.receive(&Joined {
        request,
        room: RoomId(2),
        kind: RoomKind::Group,
        name: name_ref("den"),
        topic: NoteRef::EMPTY,
        last: 0,
        cursor: 0,
    });
    let den = RoomKey::Room(name("den"));
    let topic = NoteRef::EMPTY.to_owned();
    let joined = Event::Joined { room: den, id: RoomId(2), topic, last: 0, request: Some(request) };
    assert_eq!(rig.event(), joined);

    // The connection breaks before the answer: whether it was made is not known, so it is not entered as a public one.
    let request = rig.session.create(&name("nest"), true).unwrap();
    rig.session.handle_eof(rig.now);
    let nest = RoomKey::Room(name("nest"));
    let refusal = Refusal::ConnectionLost;
    let refused = Event::JoinRefused { room: nest.clone(), request: Some(request), refusal };
    let events: Vec<_> = core::iter::from_fn(|| rig.session.poll_event()).collect();
    assert!(events.contains(&refused), "{events:?}");
    assert!(!rig.session.joined().any(|room| *room == nest));
}
