//! Messages come several in a frame: what was seen is dropped, what is missing is asked for, message by message.

use chatproto::session::{Event, LostReason, Violation};
use chatproto::wire::{DeviceId, FrameType, FrameWriter, Message, RoomId};

use crate::rig::{ALICE, BOB, LOBBY, Rig, lobby, message};

/// These numbers of the lobby, in as few frames as a writer makes of them.
fn say(rig: &mut Rig, seqs: impl IntoIterator<Item = u64>, missed: bool) {
    let mut out = FrameWriter::default();
    for seq in seqs {
        let (device, from) = if seq % 4 == 0 { (ALICE, "alice") } else { (BOB, "bob") };
        out.message(&message(LOBBY, seq, device, from, &format!("m{seq}"), missed));
    }
    rig.session.handle_input(&out.take(), rig.now);
}

#[test]
fn all_messages_of_a_frame_are_delivered_in_order() {
    let mut rig = Rig::in_lobby();
    say(&mut rig, 1..=6, false);
    let heard = rig.events().into_iter().map(|event| match event {
        Event::Message { message, missed: false } => {
            (message.seq, message.from, message.device, message.time)
        }
        other => panic!("{other:?}"),
    });
    let heard: Vec<_> = heard.collect();
    let was = |seq: u64| {
        let (device, from) = if seq == 4 { (ALICE, "alice") } else { (BOB, "bob") };
        (seq, crate::rig::name(from), device, 1_700_000_000_000 + seq)
    };
    assert_eq!(heard, (1..=6).map(was).collect::<Vec<_>>());
}

#[test]
fn of_a_frame_that_overlaps_the_cursor_only_the_rest_is_delivered() {
    let mut rig = Rig::in_lobby();
    say(&mut rig, 1..=3, false);
    say(&mut rig, 2..=5, false);
    say(&mut rig, 1..=5, true);
    assert_eq!(rig.texts(), ["m1", "m2", "m3", "m4", "m5"]);
    assert_eq!(rig.joins(), []);
}

#[test]
fn a_frame_beyond_the_cursor_is_asked_for_once() {
    let mut rig = Rig::in_lobby();
    say(&mut rig, 1..=2, false);
    say(&mut rig, 4..=9, false);
    assert_eq!(rig.texts(), ["m1", "m2"]);
    let joins = rig.joins();
    assert_eq!(joins, [(joins[0].0, "#1".to_owned(), Some(2))]);
    rig.joined(joins[0].0, LOBBY, "lobby", 9, 2);
    say(&mut rig, 3..=9, true);
    assert_eq!(rig.texts().len(), 7);
}

#[test]
fn what_was_missed_is_counted_by_message_and_without_the_own_ones() {
    let mut rig = Rig::in_lobby();
    say(&mut rig, 1..=9, true);
    rig.receive(&chatproto::wire::CaughtUp { room: LOBBY, seq: 9 });
    let last = rig.events().pop();
    // Two of them are the own device's.
    assert_eq!(last, Some(Event::CaughtUp { room: lobby(), missed: 7 }));
}

#[test]
fn a_frame_that_is_wrong_at_its_end_delivers_nothing() {
    let mut rig = Rig::in_lobby();
    let mut out = FrameWriter::default();
    for seq in 1..=3 {
        out.message(&message(LOBBY, seq, BOB, "bob", "hello", false));
    }
    let mut bytes = out.take().to_vec();
    *bytes.last_mut().unwrap() = 0x1b;
    rig.session.handle_input(&bytes, rig.now);
    assert_eq!(rig.texts(), [""; 0]);
    rig.session.handle_eof(rig.now);
    let Event::Lost { reason: LostReason::Violation(violation), .. } = rig.event() else { panic!() };
    assert!(matches!(violation, Violation::Frame(error) if error.about() == FrameType::Messages.number()));
}

#[test]
fn messages_of_a_room_that_one_is_not_in_break_the_rules() {
    let mut rig = Rig::in_lobby();
    let other = Message { room: RoomId(7), ..message(LOBBY, 1, DeviceId([9; 16]), "bob", "hello", false) };
    rig.hear(&other);
    rig.session.handle_eof(rig.now);
    let Event::Lost { reason: LostReason::Violation(violation), .. } = rig.event() else { panic!() };
    assert_eq!(violation, Violation::NotIn { frame: FrameType::Messages, room: RoomId(7) });
}
