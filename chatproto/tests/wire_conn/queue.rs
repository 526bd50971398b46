//! The send queue against a model that is too slow and too simple to be wrong.

use std::collections::VecDeque;
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use chatproto::conn::{Lane, SendQueue};
use chatproto::wire::{Body, LinkSay, Ping, TextRef};
use proptest::prelude::*;

/// Whole frames in two lines, and the rest of the one that has begun.
#[derive(Default)]
struct Model {
    begun: VecDeque<u8>,
    chat: VecDeque<Vec<u8>>,
    bulk: VecDeque<Vec<u8>>,
}

impl Model {
    fn advance(&mut self, count: usize) {
        for _ in 0..count {
            while self.begun.is_empty() {
                let next = self.chat.pop_front().or_else(|| self.bulk.pop_front());
                self.begun.extend(next.expect("as much as there is"));
            }
            self.begun.pop_front();
        }
    }

    /// Everything that waits, in the order in which it would leave if nothing were added.
    fn bytes(&self) -> Vec<u8> {
        let lines = self.chat.iter().chain(&self.bulk).flatten();
        self.begun.iter().chain(lines).copied().collect()
    }

    fn bulk_len(&self) -> usize {
        self.bulk.iter().map(Vec::len).sum()
    }
}

#[derive(Debug, Clone)]
enum Op {
    Frame { lane: Lane, text: usize },
    Shared { len: usize },
    Bulk { head: usize, payload: Option<usize> },
    Advance { count: usize },
    AdvanceAll,
    Clear,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        4 => (1_usize..200).prop_map(|text| Op::Frame { lane: Lane::Chat, text }),
        1 => (3000_usize..=4096).prop_map(|text| Op::Frame { lane: Lane::Chat, text }),
        2 => prop_oneof![0_usize..4, 200_usize..300, 5000_usize..6000].prop_map(|len| Op::Shared { len }),
        1 => (1_usize..100).prop_map(|text| Op::Frame { lane: Lane::Bulk, text }),
        3 => (0_usize..20, prop::option::of(0_usize..500)).prop_map(|(head, payload)| Op::Bulk { head, payload }),
        6 => prop_oneof![0_usize..30, 0_usize..1500].prop_map(|count| Op::Advance { count }),
        1 => Just(Op::AdvanceAll),
    ];
    let op = prop_oneof![40 => op, 1 => Just(Op::Clear)];
    prop::collection::vec(op, 0..60)
}

/// Bytes that differ from push to push and from place to place.
fn content(push: usize, len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from((push * 31 + at * 7) % 251).expect("below 251")).collect()
}

fn apply(op: &Op, push: usize, queue: &mut SendQueue, model: &mut Model) {
    match *op {
        Op::Frame { lane, text } => {
            let text = char::from(b'a' + u8::try_from(push % 26).expect("a letter")).to_string().repeat(text);
            let frame = LinkSay { counter: push as u64, text: TextRef::new(&text).expect("a legal text") };
            let line = match lane {
                Lane::Chat => &mut model.chat,
                Lane::Bulk => &mut model.bulk,
            };
            queue.push_frame(lane, &frame);
            line.push_back(frame.to_bytes().to_vec());
        }
        Op::Shared { len } => {
            queue.push_shared(content(push, len));
            model.chat.push_back(content(push, len).to_vec());
        }
        Op::Bulk { head, payload } => {
            let (head, payload) = (content(push, head), payload.map(|len| content(push + 1, len)));
            queue.push_bulk(head.clone(), payload.clone());
            model.bulk.push_back([head, payload.unwrap_or_default()].concat());
        }
        Op::Advance { count } => {
            let count = count.min(queue.remaining());
            queue.advance(count);
            model.advance(count);
        }
        Op::AdvanceAll => {
            let count = queue.remaining();
            queue.advance(count);
            model.advance(count);
        }
        Op::Clear => {
            queue.clear();
            *model = Model::default();
        }
    }
}

/// All that the queue would send, gathered `slots` slices at a time at most.
fn gathered(queue: &SendQueue, slots: usize) -> Vec<u8> {
    let mut into = vec![IoSlice::new(&[]); slots];
    let filled = queue.chunks_vectored(&mut into);
    into[..filled].iter().flat_map(|slice| slice.iter().copied()).collect()
}

fn compare(queue: &SendQueue, model: &Model) {
    let expected = model.bytes();
    assert_eq!(queue.remaining(), expected.len());
    assert_eq!(queue.len(), expected.len());
    assert_eq!(queue.is_empty(), expected.is_empty());
    assert_eq!(queue.has_remaining(), !expected.is_empty());
    assert_eq!(queue.bulk_len(), model.bulk_len());
    assert_eq!(queue.chunk().is_empty(), expected.is_empty(), "a chunk is empty only at the end");
    assert!(expected.starts_with(queue.chunk()));
    assert_eq!(gathered(queue, 256), expected);
    assert!(expected.starts_with(&gathered(queue, 2)));
    assert_eq!(gathered(queue, 1), queue.chunk());
}

proptest! {
    #[test]
    fn chat_goes_before_bulk_at_the_boundaries_of_frames(ops in ops()) {
        let (mut queue, mut model) = (SendQueue::new(), Model::default());
        for (push, op) in ops.iter().enumerate() {
            apply(op, push, &mut queue, &mut model);
            compare(&queue, &model);
        }
    }

    #[test]
    fn taking_chunks_takes_everything_once(ops in ops(), most in 1_usize..700) {
        let (mut queue, mut model) = (SendQueue::new(), Model::default());
        for (push, op) in ops.iter().enumerate() {
            apply(op, push, &mut queue, &mut model);
        }
        let expected = model.bytes();
        let mut taken = Vec::new();
        while queue.has_remaining() {
            let chunk = queue.chunk();
            let piece = &chunk[..most.min(chunk.len())];
            let len = piece.len();
            prop_assert!(len > 0);
            taken.extend_from_slice(piece);
            queue.advance(len);
        }
        prop_assert_eq!(taken, expected);
        prop_assert_eq!(queue.chunk(), b"");
        prop_assert_eq!(gathered(&queue, 4), b"");
    }

    #[test]
    fn pieces_of_their_own_are_the_same_bytes(ops in ops(), most in 1_usize..700) {
        let (mut queue, mut model) = (SendQueue::new(), Model::default());
        for (push, op) in ops.iter().enumerate() {
            apply(op, push, &mut queue, &mut model);
        }
        let expected = model.bytes();
        let mut taken = Vec::new();
        while queue.has_remaining() {
            let whole = queue.chunk().len();
            let len = if taken.len() % 2 == 0 { whole } else { most.min(queue.remaining()) };
            let piece = queue.copy_to_bytes(len);
            prop_assert_eq!(piece.len(), len);
            taken.extend_from_slice(&piece);
            prop_assert_eq!(&gathered(&queue, 256), &expected[taken.len()..]);
        }
        prop_assert_eq!(taken, expected);
        prop_assert!(queue.copy_to_bytes(1).is_empty());
    }
}

#[test]
fn a_frame_of_file_data_that_has_begun_is_finished_before_chat() {
    let mut queue = SendQueue::new();
    queue.push_bulk(Bytes::from_static(b"HEAD"), Some(Bytes::from_static(b"payload")));
    queue.push_bulk(Bytes::from_static(b"HEAD"), Some(Bytes::from_static(b"another")));
    queue.advance(1);
    let ping = Ping { nonce: 1 };
    queue.push_frame(Lane::Chat, &ping);
    let expected = [b"EADpayload", &ping.to_bytes()[..], b"HEADanother"].concat();
    assert_eq!(gathered(&queue, 8), expected);
}

#[test]
fn small_frames_share_a_segment_and_large_batches_are_not_copied() {
    let mut queue = SendQueue::new();
    for nonce in 0..10 {
        queue.push_frame(Lane::Chat, &Ping { nonce });
    }
    assert_eq!(queue.chunk().len(), 10 * Ping { nonce: 0 }.frame_len());

    let batch = content(1, 10_000);
    let mut queue = SendQueue::new();
    queue.push_shared(batch.clone());
    assert!(std::ptr::eq(queue.chunk(), &batch[..]));
    let (first, rest) = (queue.copy_to_bytes(100), queue.copy_to_bytes(9_900));
    assert!(std::ptr::eq(&*first, &batch[..100]) && std::ptr::eq(&*rest, &batch[100..]));
}

#[test]
fn bytes_in_transit_count_until_they_are_gone() {
    let mut queue = SendQueue::new();
    queue.push_shared(content(1, 1000));
    let piece = queue.copy_to_bytes(600);
    queue.set_in_transit(piece.len());
    assert_eq!((queue.remaining(), queue.len()), (400, 1000));
    queue.advance(400);
    assert!(queue.is_empty(), "the driver has everything");
    assert_eq!(queue.len(), 600);
    queue.set_in_transit(0);
    assert_eq!(queue.len(), 0);
}
