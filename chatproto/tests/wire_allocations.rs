//! What reading costs in memory: a frame is decoded where it lies, and a claim reserves nothing.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use allocation_counter::{AllocationInfo, measure};
use chatproto::conn::FrameReader;
use chatproto::wire::{
    Body, DeviceId, FrameWriter, HEADER_LEN, List, MAX_FRAME, Message, MessagePage, Messages, NameRef,
    PageMessage, RawFrame, RequestId, RoomId, TextRef, ToClient,
};

fn message(text: &str) -> Message<'_> {
    Message {
        room: RoomId(3),
        seq: 42,
        time: 1_770_091_506_789,
        flags: 0,
        device: DeviceId([0xd5; 16]),
        counter: 7,
        from: NameRef::new("alice").unwrap(),
        text: TextRef::new(text).unwrap(),
    }
}

fn raw<'f, 'b, B: Body<'b>>(frame: &'f [u8]) -> RawFrame<'f> {
    RawFrame { number: B::TYPE.number(), body: &frame[HEADER_LEN..] }
}

fn in_one_frame(frame: &[u8]) -> Vec<Message<'_>> {
    Messages::decode_body(&frame[HEADER_LEN..]).unwrap().iter().collect()
}

#[test]
fn decoding_a_message_allocates_nothing() {
    for text in ["x".repeat(64), "x".repeat(1024), "ünïcödé 👍 ".repeat(20)] {
        let frame = message(&text).to_bytes();
        let mut decoded = None;
        let info = measure(|| {
            let Ok(Some(ToClient::Messages(messages))) = ToClient::decode(raw::<Messages<'_>>(&frame)) else {
                return;
            };
            decoded = messages.iter().next();
        });
        assert_eq!(info, AllocationInfo::default());
        assert_eq!(decoded, Some(message(&text)));
    }
}

#[test]
fn reading_a_list_allocates_nothing() {
    let item = PageMessage {
        room: RoomId(3),
        seq: 1,
        time: 2,
        device: DeviceId([1; 16]),
        counter: 4,
        from: NameRef::new("жанна").unwrap(),
        text: TextRef::new("a page of these").unwrap(),
    };
    let items = [item; 100];
    let frame = MessagePage { request: RequestId(1), more: false, messages: List::new(&items) }.to_bytes();
    let mut count = 0;
    let info = measure(|| {
        let page = MessagePage::decode_body(&frame[HEADER_LEN..]).unwrap();
        count = page.messages.iter().filter(|found| *found == item).count();
    });
    assert_eq!((count, info.count_total), (items.len(), 0));
}

#[test]
fn encoding_into_a_buffer_with_room_allocates_nothing() {
    let text = "x".repeat(64);
    let message = message(&text);
    let mut out = FrameWriter::with_capacity(2 * message.frame_len());
    let info = measure(|| {
        out.message(&message);
        out.message(&Message { seq: message.seq + 1, ..message });
    });
    assert_eq!(info.count_total, 0);
    assert!(out.len() < 2 * message.frame_len(), "two in one frame");
    assert_eq!(in_one_frame(&out.take()), [message, Message { seq: message.seq + 1, ..message }]);
}

#[test]
fn a_length_reserves_nothing_before_its_bytes_arrive() {
    let mut reader = FrameReader::new(MAX_FRAME);
    let header = MAX_FRAME.to_be_bytes();
    let info = measure(|| {
        let step = reader.step(&header).unwrap();
        assert!(step.frame.is_none());
    });
    assert!(info.bytes_current <= 64, "{info:?}");
    let piece = [7; 1000];
    let info = measure(|| assert!(reader.step(&piece).unwrap().frame.is_none()));
    assert!(info.bytes_current <= 4 * 1024, "{info:?}");
}

#[test]
fn a_reader_that_held_a_large_frame_gives_its_memory_back() {
    let mut reader = FrameReader::new(MAX_FRAME);
    let len = usize::try_from(MAX_FRAME).unwrap();
    let bytes = [&MAX_FRAME.to_be_bytes()[..], &vec![0x80; len]].concat();
    let info = measure(|| {
        assert!(reader.step(&bytes[..1000]).unwrap().frame.is_none());
        assert!(reader.step(&bytes[1000..]).unwrap().frame.is_some());
        assert!(reader.step(&[]).unwrap().frame.is_none());
    });
    assert!(info.bytes_max <= 2 * (u64::from(MAX_FRAME) + 4), "{info:?}");
    assert!(info.bytes_current <= 1024, "{info:?}");
}
