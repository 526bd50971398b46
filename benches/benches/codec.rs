//! Encoding and decoding a chat message, beside copying its bytes and beside prost with the same fields.
//!
//! What must hold: decoding and encoding 64 bytes of text take at most half of prost's time in the same run, and
//! decoding allocates nothing (`chatproto/tests/wire_allocations.rs`).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a bench that cannot start may panic"
)]

use std::hint::black_box;

use chatproto::wire::{
    DeviceId, FrameType, FrameWriter, HEADER_LEN, MAX_FRAME, Message, NameRef, RawFrame, RoomId, TextRef,
    ToClient,
};
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use prost::Message as _;

/// The fields of `message` as Protocol Buffers have them.
#[derive(Clone, PartialEq, prost::Message)]
struct Proto {
    #[prost(uint32, tag = "1")]
    room: u32,
    #[prost(uint64, tag = "2")]
    seq: u64,
    #[prost(uint64, tag = "3")]
    time: u64,
    #[prost(uint32, tag = "4")]
    flags: u32,
    #[prost(bytes = "vec", tag = "5")]
    device: Vec<u8>,
    #[prost(uint64, tag = "6")]
    counter: u64,
    #[prost(string, tag = "7")]
    from: String,
    #[prost(string, tag = "8")]
    text: String,
}

impl From<&Message<'_>> for Proto {
    fn from(message: &Message<'_>) -> Self {
        Self {
            room: message.room.0,
            seq: message.seq,
            time: message.time,
            flags: message.flags.into(),
            device: message.device.0.to_vec(),
            counter: message.counter,
            from: message.from.as_str().into(),
            text: message.text.as_str().into(),
        }
    }
}

fn message(text: &str) -> Message<'_> {
    Message {
        room: RoomId(3),
        seq: 123_456,
        time: 1_770_091_506_789,
        flags: 0,
        device: DeviceId([0xd5; 16]),
        counter: 4_711,
        from: NameRef::new("alice").expect("a legal name"),
        text: TextRef::new(text).expect("a legal text"),
    }
}

/// Runs `bench` for both sizes of text, as one group.
fn for_texts(c: &mut Criterion, group: &str, bench: fn(&mut BenchmarkGroup<'_, WallTime>, &str)) {
    let mut group = c.benchmark_group(group);
    for len in [64, 1024] {
        let text: String =
            "The quick brown fox jumps over the lazy dog. ".chars().cycle().take(len).collect();
        group.throughput(Throughput::Elements(1));
        bench(&mut group, &text);
    }
    group.finish();
}

fn encode(group: &mut BenchmarkGroup<'_, WallTime>, text: &str) {
    let message = message(text);
    let proto = Proto::from(&message);
    let frame = message.to_bytes();
    let mut out = Vec::with_capacity(2 * frame.len());
    group.bench_function(BenchmarkId::new("memcpy", text.len()), |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(&frame));
            black_box(&mut out);
        });
    });
    for (name, step) in [("chatproto, a frame each", 0), ("chatproto, together", 1)] {
        let mut writer = FrameWriter::with_capacity(2 * MAX_FRAME as usize);
        let mut next = message;
        group.bench_function(BenchmarkId::new(name, text.len()), |b| {
            b.iter(|| {
                next.seq += step;
                writer.message(black_box(&next));
                if writer.len() > MAX_FRAME as usize {
                    black_box(writer.take());
                }
            });
        });
    }
    group.bench_function(BenchmarkId::new("prost", text.len()), |b| {
        b.iter(|| {
            out.clear();
            black_box(&proto).encode_length_delimited(&mut out).expect("a growing buffer");
            black_box(&mut out);
        });
    });
}

fn decode(group: &mut BenchmarkGroup<'_, WallTime>, text: &str) {
    let message = message(text);
    let frame = message.to_bytes();
    let raw = RawFrame { number: FrameType::Messages.number(), body: &frame[HEADER_LEN..] };
    let proto = Proto::from(&message).encode_to_vec();
    let mut out = Vec::with_capacity(2 * frame.len());
    group.bench_function(BenchmarkId::new("memcpy", text.len()), |b| {
        b.iter(|| {
            out.clear();
            out.extend_from_slice(black_box(raw).body);
            black_box(&mut out);
        });
    });
    group.bench_function(BenchmarkId::new("chatproto", text.len()), |b| {
        b.iter(|| match ToClient::decode(black_box(raw)) {
            Ok(Some(ToClient::Messages(messages))) => messages.iter().map(|message| message.seq).last(),
            _ => None,
        });
    });
    group.bench_function(BenchmarkId::new("prost", text.len()), |b| {
        b.iter(|| Proto::decode(black_box(&proto[..])));
    });
}

fn codec(c: &mut Criterion) {
    for_texts(c, "encode", encode);
    for_texts(c, "decode", decode);
}

criterion_group!(benches, codec);
criterion_main!(benches);
