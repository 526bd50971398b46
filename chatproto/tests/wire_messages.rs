//! Messages that follow one another share a frame: which do, and that what is read is what was written.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use chatproto::conn::FrameReader;
use chatproto::wire::{
    Body as _, DeviceId, FrameWriter, Gap, HEADER_LEN, MAX_FRAME, MIN_FRAME, Message, NameRef, RoomId,
    TextRef, ToClient,
};
use proptest::prelude::*;

fn message(seq: u64) -> Message<'static> {
    Message {
        room: RoomId(1),
        seq,
        time: 1_000 + seq,
        flags: 0,
        device: DeviceId([1; 16]),
        counter: seq,
        from: NameRef::new("alice").unwrap(),
        text: TextRef::new("hello").unwrap(),
    }
}

/// What is in each frame of messages, in order; others are empty.
fn read(bytes: &[u8]) -> Vec<Vec<Message<'_>>> {
    let mut frames = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let mut reader = FrameReader::new(MAX_FRAME);
        let step = reader.step(rest).unwrap();
        let (used, number) = (step.used, step.frame.unwrap().number);
        let raw = chatproto::wire::RawFrame { number, body: &rest[HEADER_LEN..used] };
        frames.push(match ToClient::decode(raw) {
            Ok(Some(ToClient::Messages(messages))) => messages.iter().collect(),
            Ok(Some(_)) => Vec::new(),
            other => panic!("{other:?}"),
        });
        rest = &rest[used..];
    }
    frames
}

/// Numbers by frame of what a writer makes of these.
fn grouped(messages: &[Message<'_>]) -> Vec<Vec<u64>> {
    let mut out = FrameWriter::default();
    messages.iter().for_each(|message| out.message(message));
    let bytes = out.take();
    let frames = read(&bytes);
    assert_eq!(frames.concat(), messages);
    frames.iter().map(|frame| frame.iter().map(|message| message.seq).collect()).collect()
}

#[test]
fn messages_that_follow_one_another_share_a_frame() {
    let bob = Message { device: DeviceId([2; 16]), from: NameRef::new("bob").unwrap(), ..message(3) };
    assert_eq!(grouped(&[message(1), message(2), bob, message(4)]), [[1, 2, 3, 4]]);
}

#[test]
fn what_does_not_follow_begins_a_frame() {
    let first = message(7);
    let next = message(8);
    let others = [
        Message { room: RoomId(2), ..next },
        Message { flags: 1, ..next },
        Message { time: first.time - 1, ..next },
        Message { time: first.time + u64::from(u32::MAX) + 1, ..next },
        message(7),
        message(6),
        message(9),
        Message { seq: u64::MAX, ..next },
    ];
    for other in others {
        assert_eq!(grouped(&[first, other]), [[7], [other.seq]]);
    }
    let last = Message { seq: u64::MAX, ..first };
    assert_eq!(grouped(&[last, Message { seq: 0, ..last }]), [[u64::MAX], [0]]);
}

#[test]
fn whatever_comes_between_ends_the_frame() {
    let mut out = FrameWriter::default();
    out.message(&message(1));
    out.frame(&Gap { room: RoomId(1), from: 2, to: 2 });
    out.message(&message(2));
    out.message(&message(3));
    let bytes = out.take();
    assert!(out.is_empty());
    out.message(&message(4));
    assert_eq!(read(&bytes), [vec![message(1)], vec![], vec![message(2), message(3)]]);
    assert_eq!(read(&out.take()), [[message(4)]]);
}

#[test]
fn frames_of_one_batch_are_whole_after_every_message() {
    let mut out = FrameWriter::default();
    for seq in 1..=200 {
        let device = DeviceId([u8::try_from(seq % 3).unwrap(); 16]);
        out.message(&Message { device, ..message(seq) });
        let mut copy = FrameWriter::default();
        (1..=seq).for_each(|seq| {
            let device = DeviceId([u8::try_from(seq % 3).unwrap(); 16]);
            copy.message(&Message { device, ..message(seq) });
        });
        assert_eq!(out.len(), copy.len());
        assert_eq!(read(&copy.take()).concat().len() as u64, seq);
    }
}

#[test]
fn a_message_alone_takes_what_it_says() {
    let message = message(9);
    assert_eq!(message.to_bytes().len(), message.frame_len());
    assert_eq!(read(&message.to_bytes()), [[message]]);
}

fn any_message() -> impl Strategy<Value = Message<'static>> {
    let texts = prop_oneof![Just(1_usize), Just(64), Just(1_000), 3_900_usize..=4_096];
    let time = prop_oneof![8 => 0_u64..3, 1 => any::<u64>()];
    (1_u32..3, prop_oneof![12 => Just(1_u64), 1 => 0_u64..4], time, 0_u8..8, 0_u8..3, texts).prop_map(
        |(room, step, time, flags, device, len)| Message {
            room: RoomId(room.saturating_sub(1).max(1)),
            // A step, until they are put in a row.
            seq: step,
            time,
            flags: u8::from(flags == 0),
            device: DeviceId([device; 16]),
            counter: time,
            from: NameRef::new(if device == 0 { "alice" } else { "bob" }).unwrap(),
            text: TextRef::new("x".repeat(len).leak()).unwrap(),
        },
    )
}

proptest! {
    #[test]
    fn any_messages_are_read_as_they_were_written(
        steps in prop::collection::vec(any_message(), 1..60),
        start in prop_oneof![Just(1_u64), Just(u64::MAX - 5)],
    ) {
        let (mut seq, mut time) = (start, 0_u64);
        let messages: Vec<_> = steps
            .into_iter()
            .map(|step| {
                seq = seq.saturating_add(step.seq);
                time = time.checked_add(step.time).unwrap_or(step.time);
                Message { seq, time, ..step }
            })
            .collect();
        let mut out = FrameWriter::default();
        messages.iter().for_each(|message| out.message(message));
        prop_assert!(out.len() <= messages.iter().map(Message::frame_len).sum());
        let bytes = out.take();
        let frames = read(&bytes);
        prop_assert_eq!(frames.concat(), messages);
        // No frame is longer than every member takes, and no two of them could have been one.
        for pair in frames.windows(2) {
            let mut both = FrameWriter::default();
            pair.concat().iter().for_each(|message| both.message(message));
            prop_assert!(read(&both.take()).len() == 2);
        }
        let lengths = frames.iter().map(|frame| {
            let mut alone = FrameWriter::default();
            frame.iter().for_each(|message| alone.message(message));
            alone.len() - 4
        });
        prop_assert!(lengths.max().unwrap_or(0) <= MIN_FRAME as usize);
    }

    #[test]
    fn bytes_that_are_read_at_all_encode_to_themselves(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        at in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let mut out = FrameWriter::default();
        for seq in 1..6 {
            out.message(&Message { device: DeviceId([u8::from(seq > 3); 16]), ..message(seq) });
        }
        let mut body = out.take()[HEADER_LEN..].to_vec();
        let at = at.index(body.len());
        body[at] = byte;
        for body in [&body, &bytes] {
            let Ok(messages) = chatproto::wire::Messages::decode_body(body) else { continue };
            let mut encoded = Vec::new();
            messages.encode_body(&mut encoded);
            prop_assert_eq!(&encoded[..], &body[..]);
            prop_assert!(messages.iter().next().is_some());
        }
    }
}
