//! However the bytes are cut and whoever is polled first, what happens is the same.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm
)]

#[path = "common/peer_pair.rs"]
#[allow(dead_code, reason = "each test file uses its own part")]
mod peer_pair;

use bytes::{BufMut as _, BytesMut};
use chatproto::peer::{Closed, Event, Peer, Resume, State};
use chatproto::wire::{
    Body as _, Capabilities, ErrorCode, FileCancel, FileData, FileEnd, FileHead, FileQueued, FileRequest,
    FileUnit, FrameType, Generation, LinkSaid, LinkSay, LinkWelcome, List, ListFolder, ListPage, NameRef,
    NoteRef, Ping, RequestId, Rest, SafeRelPathRef, Source, Text, TextRef, TransferId,
};
use peer_pair::{ALICE, BOB, Pair, START, config, content, digest, introduction, path, take};
use proptest::prelude::*;

/// An open end that has said something and asked for a list and two files.
fn waiting() -> Peer {
    let mut peer = Peer::dial(config("alice", ALICE), introduction(), START);
    let welcome = LinkWelcome {
        version: 1,
        capabilities: Capabilities::NONE,
        max_frame: 65_536,
        user: NameRef::new("bob").unwrap(),
        device: BOB,
        agent: NoteRef::EMPTY,
    };
    peer.handle_input(&welcome.to_bytes(), START);
    peer.say(&Text::new("hi").unwrap()).unwrap();
    peer.list(&path(""), Generation(0), 1).unwrap();
    for _ in 0..2 {
        peer.fetch(Source::Root(digest(b"")), Resume::whole(10)).unwrap();
    }
    peer
}

/// What comes to [`waiting`], and where each frame ends.
fn stream() -> (BytesMut, Vec<usize>) {
    let (one, three) = (TransferId(1), TransferId(3));
    let root = SafeRelPathRef::ROOT;
    let bytes = content(1500);
    let value = digest(b"");
    let head =
        FileHead { transfer: one, size: 1500, mtime: 0, unit_log2: 10, offset: 0, root: None, path: root };
    let text = TextRef::new("hello there").unwrap();
    let mut out = BytesMut::new();
    let mut ends = Vec::new();
    macro_rules! put {
        ($($frame:expr),* $(,)?) => {$(
            $frame.encode_frame(&mut out);
            ends.push(out.len());
        )*};
    }
    put!(
        LinkSaid { counter: 1 },
        LinkSay { counter: 1, text },
        FileQueued { transfer: three, position: 1 },
        head,
        FileData { transfer: one, offset: 0, data: Rest(&bytes[..700]) },
        Ping { nonce: 9 },
        ListPage {
            request: RequestId(1),
            generation: Generation(1),
            page: 1,
            pages: 1,
            total: 0,
            path: root,
            entries: List::new(&[])
        },
        FileData { transfer: one, offset: 700, data: Rest(&bytes[700..1024]) },
        FileUnit { transfer: one, unit: 0, value },
        ListFolder { request: RequestId(1), generation: Generation(0), page: 1, flags: 0, path: root },
        FileRequest {
            transfer: TransferId(2),
            source: Source::Root(value),
            unit_log2: 10,
            offset: 0,
            held: None
        },
        FileCancel { transfer: three, code: ErrorCode::Busy },
        FileData { transfer: one, offset: 1024, data: Rest(&bytes[1024..]) },
        FileUnit { transfer: one, unit: 1, value },
        FileEnd { transfer: one, root: value },
    );
    // Something unknown that may be skipped.
    out.put_slice(&[0, 0, 0, 2, 0x99, 0xff]);
    ends.push(out.len());
    (out, ends)
}

fn events(peer: &mut Peer) -> Vec<Event> {
    core::iter::from_fn(|| peer.poll_event()).collect()
}

fn whole() -> (Vec<Event>, bytes::Bytes) {
    let mut peer = waiting();
    peer.handle_input(&stream().0, START);
    (events(&mut peer), take(&mut peer, usize::MAX))
}

#[test]
fn the_stream_means_something() {
    let (events, sent) = whole();
    assert_eq!(events.len(), 14, "{events:?}");
    assert!(sent.windows(13).any(|frame| frame[4] == FrameType::Pong.number()));
}

#[test]
fn byte_by_byte_is_the_same_as_at_once() {
    let mut peer = waiting();
    for &byte in &stream().0 {
        peer.handle_input(&[byte], START);
        peer.handle_input(&[], START);
    }
    assert_eq!((events(&mut peer), take(&mut peer, usize::MAX)), whole());
}

#[test]
fn the_end_may_come_at_any_byte() {
    let (stream, ends) = stream();
    for cut in 0..=stream.len() {
        let mut peer = waiting();
        peer.handle_input(&stream[..cut], START);
        peer.handle_eof(START);
        let events = events(&mut peer);
        let closed = |event: &&Event| matches!(event, Event::Closed { .. });
        assert_eq!(events.iter().filter(closed).count(), 1, "cut at {cut}");
        let in_frame = cut != 0 && !ends.contains(&cut);
        let reason = Closed::Eof { in_frame };
        assert_eq!(events.last(), Some(&Event::Closed { reason }), "cut at {cut}");
        let one = |event: &&Event| matches!(event, Event::FileFailed { transfer: TransferId(1), .. });
        let three = |event: &&Event| matches!(event, Event::FileFailed { transfer: TransferId(3), .. });
        assert_eq!(events.iter().filter(one).count(), 1, "cut at {cut}");
        assert_eq!(events.iter().filter(three).count(), 1, "cut at {cut}");
        assert!(peer.is_finished() && peer.poll_timeout().is_none());
    }
}

/// What an end saw, as far as it does not depend on who was faster: per transfer, what was said, lists.
fn stories(end: &peer_pair::End) -> Vec<Vec<String>> {
    let mut stories: Vec<Vec<String>> = vec![Vec::new(); 8];
    for event in &end.seen {
        let story = match event {
            Event::UnitWanted { .. } => continue,
            Event::Said { .. } => 5,
            Event::SayReceived { .. } => 6,
            Event::ListPage { .. } | Event::ListWanted { .. } => 7,
            other => other.transfer().map_or(0, |transfer| transfer.0 as usize),
        };
        stories[story].push(format!("{event:?}"));
    }
    stories
}

/// Both ends list, fetch and talk; `steps` decides who moves when, and by how much.
fn play(steps: &[u8]) -> Vec<Vec<Vec<String>>> {
    let mut pair = Pair::new(config("alice", ALICE), config("bob", BOB));
    let sizes = [3000, 0, 70_000];
    for end in [&mut pair.alice, &mut pair.bob] {
        for size in sizes {
            end.share(&format!("{size}"), content(size));
        }
    }
    pair.settle();
    for end in [&mut pair.alice, &mut pair.bob] {
        end.peer.list(&path(""), Generation(0), 1).unwrap();
        for (size, unit_log2) in [(3000, 10), (70_000, 12)] {
            end.peer.fetch(Source::Root(digest(&content(size))), Resume::whole(unit_log2)).unwrap();
        }
        for text in ["a", "b", "c"] {
            end.peer.say(&Text::new(text).unwrap()).unwrap();
        }
    }
    for &step in steps {
        let (from, to) =
            if step & 1 == 0 { (&mut pair.alice, &mut pair.bob) } else { (&mut pair.bob, &mut pair.alice) };
        match step >> 1 & 3 {
            0 | 1 => {
                let bytes = take(&mut from.peer, usize::from(step >> 3) * 97);
                to.peer.handle_input(&bytes, START);
            }
            2 => drop(from.turn()),
            _ => {
                // Looking changes nothing.
                let _ = (from.peer.poll_timeout(), from.peer.wants_read(), from.peer.is_finished());
                from.peer.handle_timeout(START);
            }
        }
    }
    pair.settle();
    assert_eq!((pair.alice.peer.state(), pair.bob.peer.state()), (State::Open, State::Open));
    for end in [&pair.alice, &pair.bob] {
        assert_eq!(end.done.len(), 2);
        let received: Vec<_> = end.received.values().cloned().collect();
        assert!(received == [content(3000), content(70_000)]);
    }
    vec![stories(&pair.alice), stories(&pair.bob)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_events(cuts in prop::collection::vec(0..400_usize, 0..40)) {
        let stream = stream().0;
        let mut peer = waiting();
        let mut rest = &stream[..];
        for cut in cuts {
            let (piece, tail) = rest.split_at(cut.min(rest.len()));
            peer.handle_input(piece, START);
            rest = tail;
        }
        peer.handle_input(rest, START);
        prop_assert_eq!((events(&mut peer), take(&mut peer, usize::MAX)), whole());
    }

    #[test]
    fn any_order_of_moves_and_polls_ends_the_same(steps in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert_eq!(play(&steps), play(&[]));
    }

    #[test]
    fn noise_never_does_more_than_end_the_link(noise in prop::collection::vec(any::<u8>(), 0..600)) {
        for mut peer in [waiting(), Peer::listen(config("bob", BOB), START)] {
            peer.handle_input(&noise, START);
            peer.handle_eof(START);
            let closed = events(&mut peer).into_iter().filter(|event| matches!(event, Event::Closed { .. })).count();
            prop_assert_eq!(closed, 1);
        }
    }
}
