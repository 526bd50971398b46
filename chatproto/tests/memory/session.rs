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

/// The shortest messages, as many of them as the longest frames hold.
#[test]
fn frames_of_the_shortest_messages() {
    const SAID: [u8; 15] = *b"\0\0\0\0\0\0\0\0\0\0\0\0\0\x01x";
    let count = (MAX_FRAME as usize - 100) / SAID.len();
    let said = SAID.repeat(count);
    let run = [&BOB.0[..], b"\x01b", &(said.len() as u32).to_be_bytes(), &said].concat();
    let script: Vec<u8> = (0..20)
        .flat_map(|frame| {
            let seq = 1 + frame * count as u64;
            let head: [&[u8]; 4] =
                [&LOBBY.0.to_be_bytes(), &seq.to_be_bytes(), &[0; 9], &(run.len() as u32).to_be_bytes()];
            let body = [&head.concat()[..], &run].concat();
            assert!(Messages::decode_body(&body).is_ok_and(|messages| messages.iter().count() == count));
            let length = (body.len() as u32 + 1).to_be_bytes();
            [&length[..], &[FrameType::Messages.number()], &body].concat()
        })
        .collect();
    attack("the shortest messages, together", &script);
    // A byte at a time, until the last of a whole frame brings all of its messages.
    let bound = config().worst_case_bytes(1);
    costs_at_most("the shortest messages, dripping", bound, || {
        let mut rig = Rig::in_lobby();
        for byte in &script[..MAX_FRAME as usize] {
            rig.session.handle_input(&[*byte], rig.now);
        }
    });
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
