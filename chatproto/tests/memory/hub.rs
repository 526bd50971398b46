//! Attacks on a hub.

use chatproto::hub::{Config, ConnId, Ordered, RoomOrder};
use chatproto::wire::*;

use crate::desk::*;
use crate::{costs_at_most, pieces};

/// What a hub is without anybody: its default room, and a little of everything.
fn itself(config: &Config) -> usize {
    config.worst_case_room() + 64 * 1024
}

/// Feeds a connection as long as the hub reads; answers what the hub asks, reads nothing of what it sends.
fn feed(desk: &mut Desk, conn: ConnId, script: &[u8], times: usize) {
    for piece in (0..times).flat_map(|_| pieces(script)) {
        if !desk.hub.wants_read(conn) {
            return;
        }
        desk.hub.handle_input(conn, piece, desk.now);
        desk.settle();
    }
}

#[test]
fn strangers_in_the_middle_of_everything() {
    let config = Desk::new().hub.config().clone();
    let each = config.worst_case_stranger();
    let all = config.max_strangers;
    let hello = client_hello().to_bytes();
    // The longest frame of a stranger, but for its last byte.
    let mut begun = vec![0; MAX_HELLO_FRAME as usize + 3];
    begun[..4].copy_from_slice(&MAX_HELLO_FRAME.to_be_bytes());
    begun[4] = FrameType::LoginStart.number();
    let pings = Ping { nonce: 7 }.to_bytes().repeat(15_000);
    let scripts: [(&str, Vec<u8>); 4] = [
        ("silent", Vec::new()),
        ("a frame that never ends", begun.clone()),
        ("a hello, and a frame that never ends", [hello.to_vec(), begun.clone()].concat()),
        ("pings whose answers are not read", [hello.to_vec(), pings].concat()),
    ];
    for (what, script) in scripts {
        costs_at_most(&format!("{all} strangers: {what}"), itself(&config) + all * each, || {
            let mut desk = Desk::new();
            for number in 0..all {
                let conn = desk.connect(&format!("192.0.{}.{}", number / 200, number % 200));
                feed(&mut desk, conn, &script, 1);
            }
            // Who asks too much without reading is being closed, and is there until it has been told.
            assert_eq!(desk.hub.connections(), (all, 0));
            assert!(desk.hub.strangers() <= all);
        });
    }
}

#[test]
fn strangers_beyond_those_who_may_wait() {
    let config = Desk::new().hub.config().clone();
    let all = 4 * config.max_strangers;
    costs_at_most("four times the strangers", itself(&config) + all * config.worst_case_stranger(), || {
        let mut desk = Desk::new();
        for number in 0..all {
            desk.connect(&format!("192.0.{}.{}", number / 200, number % 200));
        }
        assert_eq!(desk.hub.strangers_refused() as usize, all - config.max_strangers);
    });
}

/// Members who never read anything, and ask and ask.
#[test]
fn members_who_ask_and_never_read() {
    const MEMBERS: usize = 8;
    let config = Desk::new().hub.config().clone();
    let bound = itself(&config) + MEMBERS * config.worst_case_member();
    let lobby = name("lobby");
    let target = Target::Room(lobby.borrow());
    let request = RequestId(9);
    let words = TextRef::new("x").unwrap();
    let mut begun = vec![1; MAX_FRAME as usize + 3];
    begun[..4].copy_from_slice(&MAX_FRAME.to_be_bytes());
    begun[4] = FrameType::Say.number();
    let scripts: [(&str, Vec<u8>); 6] = [
        ("rooms", Rooms { request }.to_bytes().repeat(5_000)),
        ("who", Who { request, target }.to_bytes().repeat(3_000)),
        ("pings", Ping { nonce: 1 }.to_bytes().repeat(5_000)),
        (
            "history",
            History { request, target, anchor: Anchor::Before, seq: 0, limit: 200 }.to_bytes().repeat(1_000),
        ),
        ("search", Search { request, target: None, limit: 200, words }.to_bytes().repeat(1_000)),
        ("a giant frame that never ends", begun),
    ];
    for (what, script) in scripts {
        costs_at_most(&format!("{MEMBERS} members: {what}"), bound, || {
            let mut desk = Desk::new();
            for number in 0..MEMBERS {
                let conn = desk.member(&format!("user{number}"), number as u8);
                feed(&mut desk, conn, &script, 40);
            }
        });
    }
}

#[test]
fn a_member_in_all_the_rooms_that_it_may_be_in() {
    let mut desk = Desk::new();
    let config = desk.hub.config().clone();
    let rooms = config.max_rooms_joined;
    let conn = desk.member("alice", 1);
    // Rooms exist before: what is counted is the member's part.
    let names: Vec<Name> = (1..rooms).map(|number| name(&format!("room{number}"))).collect();
    let joins: Vec<_> = names
        .iter()
        .map(|room| {
            Join { request: RequestId(3), target: Target::Room(room.borrow()), cursor: None }.to_bytes()
        })
        .collect();
    let owner = desk.member("owner", 2);
    for join in &joins {
        desk.hub.handle_input(owner, join, desk.now);
        desk.commit();
        desk.skip(owner);
    }
    costs_at_most("a member of every room", config.worst_case_member(), || {
        for join in &joins {
            desk.hub.handle_input(conn, join, desk.now);
            desk.settle();
        }
    });
    let people = desk.hub.router().find(&chatproto::hub::Label::Group(names[rooms - 2].clone()));
    assert!(people.is_some());
}

/// A member says as much as it can while the log answers nothing.
#[test]
fn a_member_who_is_faster_than_the_log() {
    let mut desk = Desk::new();
    let config = desk.hub.config().clone();
    let conn = desk.member("alice", 1);
    let lobby = name("lobby");
    let text = "x".repeat(4096);
    let text = TextRef::new(&text).unwrap();
    let say = |counter| Say { counter, target: Target::Room(lobby.borrow()), text }.to_bytes();
    let says: Vec<u8> = (1..=15).flat_map(|counter| say(counter).to_vec()).collect();
    costs_at_most(
        "messages that wait for the log",
        config.worst_case_member() + config.worst_case_room(),
        || {
            let mut heard = 0;
            while desk.hub.wants_read(conn) {
                desk.hub.handle_input(conn, &says, desk.now);
                heard += 1;
                assert!(heard < 1_000, "it is read for ever");
            }
        },
    );
}

/// An operator who bans and mutes everybody, each for as long a reason as there may be.
#[test]
fn a_room_with_all_its_notes_and_a_server_with_all_its_bans() {
    const NOTES: usize = 3_000;
    let mut desk = Desk::with(|config| {
        config.max_house_notes = NOTES;
        config.max_bans = NOTES;
    });
    desk.settle();
    let config = desk.hub.config().clone();
    let of_each = |number: usize| {
        let long = name(&format!("{number}{}", "n".repeat(NameRef::MAX_LEN - number.to_string().len())));
        let reason = note(&format!("{number}{}", "r".repeat(NoteRef::MAX_LEN - number.to_string().len())));
        (long, reason)
    };
    // The log is not the desk's here: what it keeps is not the hub's.
    let stored = |hub: &mut chatproto::hub::Hub, id| {
        while hub.poll_event().is_some() {}
        assert!(hub.ordered(id, Ordered::Stored));
    };
    let room = name("lobby");
    costs_at_most("a room with all its notes", config.worst_case_room(), || {
        for number in 0..NOTES {
            let (user, note) = of_each(number);
            let network = user_network(number).filter(|_| number % 3 == 0);
            let action = match number % 3 {
                0 => Action::BanNetwork,
                1 => Action::Ban,
                _ => Action::Mute,
            };
            let user = network.is_none().then_some(user);
            let order = RoomOrder { room: room.clone(), action, user, network, seconds: 0, note };
            let id = desk.hub.moderate_as_host(order).unwrap();
            stored(&mut desk.hub, id);
        }
        let router = desk.hub.router();
        let house = router.list().next().and_then(|(id, ..)| router.house(id)).unwrap();
        assert_eq!(house.bans.len() + house.mutes.len() + house.networks.len(), NOTES);
    });
    costs_at_most("a server with all its bans", config.worst_case_gate(), || {
        for number in 0..NOTES {
            let (user, note) = of_each(number);
            let network = user_network(number).filter(|_| number % 2 == 0);
            let subject = Some(network.map_or(Subject::User(user), Subject::Network));
            let id = desk.hub.govern_as_host(Action::Ban, subject, 0, note).unwrap();
            stored(&mut desk.hub, id);
        }
        assert_eq!(desk.hub.gate().bans().count(), NOTES);
    });
}

fn user_network(number: usize) -> Option<Network> {
    Network::new([198, 18, (number >> 8) as u8, number as u8].into(), 32)
}
