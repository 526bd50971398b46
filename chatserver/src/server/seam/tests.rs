//! Tables and memory come to the same, whatever is done in whatever order.

use std::sync::Arc;
use std::time::Duration;

use chatproto::Instant;
use chatproto::hub::{Config, Event, House, Hub, Label, Ordered, RoomOrder, Ruling};
use chatproto::testing::Rng;
use chatproto::wire::{Action, Name, Note, ServerId, Subject};
use crossbeam_channel::unbounded;

use super::{Seam, change, imposed, room_records};
use crate::store::{
    DataDir, DbError, Outcome, RoomKind, Sanction, SanctionRow, Store, StoreConfig, Write, WriteError,
};

const ACTIONS: [Action; 15] = [
    Action::Slow,
    Action::Invite,
    Action::Kick,
    Action::Mute,
    Action::Unmute,
    Action::Ban,
    Action::Unban,
    Action::Op,
    Action::Deop,
    Action::Private,
    Action::Public,
    Action::Owner,
    Action::BanAddress,
    Action::BanNetwork,
    Action::UnbanNetwork,
];

const ORDERS: u64 = 600;

/// A clock that stands still: what is imposed for a time never runs out between two looks.
fn stopped_clock() -> u64 {
    1_000
}

#[test]
fn what_is_imposed_for_a_time_survives_a_clock_that_jumps_while_the_server_is_down() {
    const HOUR: u64 = 60 * 60 * 1_000;
    const DAY: u64 = 24 * HOUR;
    let row =
        |until_ms| SanctionRow { subject: "bob".into(), kind: Sanction::Mute, until_ms, note: String::new() };
    let left = |until_ms, now_ms| {
        let imposed = imposed(&row(until_ms), now_ms).unwrap();
        imposed.map(|imposed| imposed.until.map(|until| until.since(Instant::default())))
    };
    let said = Some(10 * DAY + HOUR);
    let hours = |hours| Some(Some(Duration::from_millis(hours * HOUR)));
    assert_eq!(left(said, 10 * DAY), hours(1));
    assert_eq!(
        left(said, 9 * DAY),
        hours(25),
        "put back, it lasts longer, and ends at the time that was said"
    );
    assert_eq!(left(said, 11 * DAY), None, "put forward, it is over");
    assert_eq!(left(said, u64::MAX), None);
    for now in [0, 10 * DAY, u64::MAX] {
        assert_eq!(left(None, now), Some(None), "what has no end has none at any time");
    }
}

#[test]
fn the_tables_say_what_the_hub_has_in_memory() {
    let dir = tempfile::tempdir().unwrap();
    let config = StoreConfig { clock: stopped_clock, ..StoreConfig::default() };
    let start = || {
        let (sender, outcomes) = unbounded();
        let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
        let on_write = Box::new(move |batch| drop(sender.send(batch)));
        (Store::start(lock, &config, on_write, Arc::new(|_| {})).unwrap(), outcomes)
    };
    let people = ["alice", "bob", "carol", "dave"].map(|name| Name::new(name).unwrap());
    let [alice, ..] = &people;
    let networks = ["192.0.2.7", "198.51.100.0/24", "2001:db8::/64"].map(|text| match text.parse() {
        Ok(Subject::Network(network)) => network,
        other => panic!("{other:?}"),
    });
    let mut house = House::of(alice, false);
    let (store, outcomes) = start();
    let owner = Some("alice".to_owned());
    let (kind, name, by) = (RoomKind::Group, "den".to_owned(), owner.clone());
    store
        .writer
        .try_send(Write::CreateRoom { id: 0, room: 1, kind, name, by, owner, is_private: false })
        .unwrap();
    let mut rng = Rng::new(7);
    for id in 1..=ORDERS {
        let action = ACTIONS[usize::try_from(rng.below(15)).unwrap()];
        let user = &people[usize::try_from(rng.below(4)).unwrap()];
        let seconds = u32::try_from(rng.below(3)).unwrap() * 60;
        let note = Note::new(["", "because"][usize::try_from(rng.below(2)).unwrap()]).unwrap();
        let admits = &people[..usize::try_from(rng.below(4)).unwrap()];
        let is_about_room = matches!(
            action,
            Action::Slow | Action::Private | Action::Public | Action::BanNetwork | Action::UnbanNetwork
        );
        let networks = &networks[usize::try_from(rng.below(3)).unwrap()..];
        let user = (!is_about_room).then_some(user);
        house.apply(&Ruling { action, user, seconds, reason: &note, admits, networks }, Instant::default());
        let write = Write::Moderate {
            id,
            room: 1,
            by: None,
            action: action.name(),
            change: Box::new(change(action, admits, networks).unwrap()),
            user: user.map(|user| user.as_str().into()),
            seconds,
            note: note.as_str().into(),
        };
        store.writer.try_send(write).unwrap();
    }
    store.finish().unwrap();
    assert_eq!(outcomes.try_iter().flatten().count(), usize::try_from(ORDERS).unwrap() + 1);
    let (store, _outcomes) = start();
    let records = room_records(store.rooms(), stopped_clock()).unwrap();
    assert_eq!(records[0].house, house);
}

#[test]
fn a_room_and_an_order_that_meet_a_locked_log_are_told_apart_from_what_can_never_be_stored() {
    let name = |text| Name::new(text).unwrap();
    let note = |text| Note::new(text).unwrap();
    for (error, expected) in [(DbError::Busy, Ordered::Busy), (DbError::Full, Ordered::Failed)] {
        let dir = tempfile::tempdir().unwrap();
        let lock = DataDir::open(dir.path()).unwrap().lock().unwrap();
        let config = StoreConfig::default();
        let store = Store::start(lock, &config, Box::new(|_| {}), Arc::new(|_| {})).unwrap();
        let config = Config::new(ServerId([7; 16]), note("test"), note("none"), name("lobby"));
        let mut hub = Hub::new(config, [], |bytes: &mut [u8]| bytes.fill(4));
        let made = hub.create_room_as_host(name("tea"), None, false).unwrap();
        let order = |action, text| RoomOrder {
            room: name("lobby"),
            action,
            user: None,
            network: None,
            seconds: 0,
            note: note(text),
        };
        let changed = hub.moderate_as_host(order(Action::Topic, "green")).unwrap();
        let mut seam = Seam::default();
        while let Some(event) = hub.poll_event() {
            if let Event::Log(request) = event {
                seam.ask(&mut hub, &store, request);
            }
        }
        let waiting = seam.waiting.iter().map(Write::id).collect::<Vec<_>>();
        let answers = waiting.into_iter().map(|id| {
            let failed = Outcome::Failed { id, error: WriteError::Database(error.clone()) };
            seam.on_outcome(&mut hub, failed).ok().flatten().unwrap()
        });
        let answers = answers.collect::<Vec<_>>();
        assert_eq!(answers[1..], [(made, expected), (changed, expected)]);
        let router = hub.router();
        assert!(router.find(&Label::Group(name("tea"))).is_none(), "it is gone");
        let lobby = router.find(&Label::Group(name("lobby"))).expect("the default room stays");
        assert_eq!(router.info(lobby).unwrap().1.as_str(), "");
    }
}
