//! A server's attacks on a session whose program polls nothing and whose socket takes nothing.

use chatproto::session::Config;
use chatproto::wire::*;

use crate::rig::{self, BOB, LOBBY, Rig, config, message};
use crate::{READ, costs_at_most, pieces};

fn attack(what: &str, script: &[u8]) {
    attack_with(what, config(), script, |_| {});
}

/// Feeds a session that stands in the lobby, as long as it wants to read.
fn attack_with(what: &str, config: Config, script: &[u8], prepare: impl FnOnce(&mut Rig)) {
    let bound = config.worst_case_bytes(READ);
    costs_at_most(what, bound, || {
        let mut rig = Rig::in_lobby();
        prepare(&mut rig);
        for piece in (0..1_000).flat_map(|_| pieces(script)) {
            if !rig.session.wants_read() {
                return;
            }
            rig.session.handle_input(piece, rig.now);
        }
    });
}

#[test]
fn pings_whose_answers_nobody_takes() {
    attack("pings", &Ping { nonce: 1 }.to_bytes().repeat(5_000));
}

#[test]
fn presence_without_end() {
    let user = NameRef::new("x").unwrap();
    let presence = Presence { room: LOBBY, change: Change::Entered, device: BOB, user };
    attack("presence", &presence.to_bytes().repeat(2_000));
}

#[test]
fn messages_without_end() {
    let text = "x".repeat(4096);
    let script: Vec<u8> = (1..2_000)
        .flat_map(|seq| message(LOBBY, seq, BOB, "bob", &text, false).to_bytes().to_vec())
        .collect();
    attack("messages", &script);
    let script: Vec<u8> =
        (1..20_000).flat_map(|seq| message(LOBBY, seq, BOB, "b", "x", false).to_bytes().to_vec()).collect();
    attack("short messages", &script);
}

#[test]
fn lists_of_the_shortest_entries() {
    let entry = RoomEntry {
        room: RoomId(1),
        people: 0,
        last: 0,
        name: NameRef::new("x").unwrap(),
        topic: NoteRef::EMPTY,
    };
    let entries = vec![entry; 2_500];
    // Page after page of one answer that never ends.
    let page = RoomList { request: RequestId(2), more: true, rooms: List::new(&entries) }.to_bytes();
    attack_with("a list of rooms", config(), &page, |rig| assert!(rig.session.rooms().is_ok()));
    let entry = Member { user: NameRef::new("x").unwrap(), devices: 1, rank: Rank::Guest };
    let entries = vec![entry; 10_000];
    let page = Members { request: RequestId(2), room: LOBBY, more: true, members: List::new(&entries) };
    let page = page.to_bytes();
    attack_with("a list of members", config(), &page, |rig| assert!(rig.session.who(&rig::lobby()).is_ok()));
}

#[test]
fn conversations_and_offers_without_end() {
    let script: Vec<u8> = (2..8_000)
        .flat_map(|room| {
            let user = format!("user{room}");
            let user = NameRef::new(&user).unwrap();
            DirectRoom { room: RoomId(room), last: 0, over: false, with: user }.to_bytes().to_vec()
        })
        .collect();
    attack("conversations", &script);
    let script: Vec<u8> = (1..4_000)
        .flat_map(|offer| {
            let from = NameRef::new("bob").unwrap();
            let purpose = Purpose::Files;
            PeerOffer { offer: OfferId(offer), purpose, expires: 60_000, device: BOB, from }
                .to_bytes()
                .to_vec()
        })
        .collect();
    attack("offers", &script);
}

#[test]
fn a_giant_frame_that_never_ends() {
    let mut begun = vec![1; MAX_FRAME as usize + 3];
    begun[..4].copy_from_slice(&MAX_FRAME.to_be_bytes());
    begun[4] = FrameType::MessagePage.number();
    let bound = config().worst_case_bytes(READ);
    costs_at_most("a giant frame", bound, || {
        let mut rig = Rig::in_lobby();
        rig.session.handle_input(&begun, rig.now);
    });
}
