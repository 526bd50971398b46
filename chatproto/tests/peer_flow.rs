//! Who goes first, who waits for whom, and what is bounded.
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

use core::time::Duration;

use bytes::{BufMut as _, Bytes, BytesMut};
use chatproto::Instant;
use chatproto::conn::FrameReader;
use chatproto::peer::{Closed, Event, FileInfo, Peer, Resume, SayError, State, UnitData, Violation};
use chatproto::wire::{
    Body as _, CloseReason, ErrorCode, FileData, FileHead, FileUnit, FrameType, HEADER_LEN, Hash,
    MAX_FILE_DATA, Ping, Pong, Rest, SafeRelPathRef, Source, Text, ToPeer, TransferId, encode_header,
};
use peer_pair::{ALICE, BOB, Pair, START, config, content, digest, introduction, path, take};

/// Root of the files whose bytes do not matter.
const ROOT: Hash = Hash([7; 32]);

/// The types of the whole frames in `bytes`.
fn types(mut bytes: &[u8]) -> Vec<FrameType> {
    let mut types = Vec::new();
    while let Some((header, rest)) = bytes.split_at_checked(HEADER_LEN) {
        types.push(FrameType::from_number(header[4]).unwrap());
        let len = u32::from_be_bytes(header[..4].try_into().unwrap()) as usize;
        bytes = &rest[len - 1..];
    }
    types
}

fn count(end: &peer_pair::End, like: impl Fn(&Event) -> bool) -> usize {
    end.seen.iter().filter(|event| like(event)).count()
}

/// Bytes of files that alice's program has.
fn arrived(pair: &Pair) -> usize {
    let data = pair.alice.seen.iter().filter_map(|event| match event {
        Event::FileData { data, .. } => Some(data.len()),
        _ => None,
    });
    data.sum()
}

fn is_unit_wanted(event: &Event) -> bool {
    matches!(event, Event::UnitWanted { .. })
}

/// Bob sends a file of `size` bytes in units of 1 MiB, whose units he was asked for and has not provided.
fn sending(size: usize) -> (Pair, TransferId) {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(ROOT), Resume::default()).unwrap();
    pair.settle();
    let info = FileInfo { size: size as u64, mtime: 0, root: Some(ROOT) };
    pair.bob.peer.send_file(transfer, info).unwrap();
    pair.settle();
    (pair, transfer)
}

fn unit(unit: u64, len: usize) -> UnitData {
    UnitData { unit, bytes: Bytes::from(vec![3; len]), value: Hash([8; 32]), root: None }
}

#[test]
fn chat_goes_before_file_data_at_the_next_frame() {
    let (mut pair, transfer) = sending(1 << 20);
    pair.bob.peer.provide_unit(transfer, unit(0, 1 << 20)).unwrap();
    let begun = take(&mut pair.bob.peer, 100);
    pair.bob.peer.say(&Text::new("excuse me").unwrap()).unwrap();
    let rest = take(&mut pair.bob.peer, usize::MAX);
    let sent = [begun, rest].concat();
    assert_eq!(types(&sent)[..3], [FrameType::FileData, FrameType::LinkSay, FrameType::FileData]);
    pair.alice.peer.handle_input(&sent, pair.now);
    pair.settle();
    assert_eq!(arrived(&pair), 1 << 20);
    assert_eq!(count(&pair.alice, |event| matches!(event, Event::FileUnit { .. })), 1);
}

#[test]
fn data_frames_keep_to_the_limit_of_the_other_end() {
    let mut small = config("alice", ALICE);
    small.limits.max_frame = 16_384;
    let mut pair = Pair::new(small, config("bob", BOB));
    pair.settle();
    // Long enough that the window has opened: before, frames are shorter.
    let file = content(3_000_000);
    pair.bob.share("f", file.clone());
    let transfer = pair.alice.peer.fetch(Source::Root(digest(&file)), Resume::default()).unwrap();
    pair.settle();
    assert!(pair.alice.received[&transfer] == file);
    let longest = pair.alice.seen.iter().filter_map(|event| match event {
        Event::FileData { data, .. } => Some(data.len()),
        _ => None,
    });
    assert_eq!(longest.max(), Some(16_384 - 13));
}

#[test]
fn file_bytes_are_queued_without_a_copy() {
    let (mut pair, transfer) = sending(5);
    let bytes = Bytes::from(b"hello".to_vec());
    let address = bytes.as_ptr();
    let data = UnitData { unit: 0, bytes, value: Hash([8; 32]), root: None };
    pair.bob.peer.provide_unit(transfer, data).unwrap();
    take(&mut pair.bob.peer, HEADER_LEN + 12);
    let queued = bytes::Buf::chunk(pair.bob.peer.outgoing());
    assert_eq!((queued, queued.as_ptr()), (&b"hello"[..], address));
}

#[test]
fn units_are_wanted_as_the_wire_takes_them() {
    let (mut pair, transfer) = sending(8 << 20);
    assert_eq!(count(&pair.bob, is_unit_wanted), 2, "two ahead for one transfer");
    pair.bob.peer.provide_unit(transfer, unit(0, 1 << 20)).unwrap();
    while pair.bob.turn() {}
    assert_eq!(count(&pair.bob, is_unit_wanted), 2, "the wire has enough");
    while arrived(&pair) < (1 << 20) - (200 << 10) {
        let some = take(&mut pair.bob.peer, 16 << 10);
        pair.alice.peer.handle_input(&some, pair.now);
        while pair.alice.turn() {}
        let answers = take(&mut pair.alice.peer, usize::MAX);
        pair.bob.peer.handle_input(&answers, pair.now);
    }
    while pair.bob.turn() {}
    assert_eq!(count(&pair.bob, is_unit_wanted), 3, "it has run low");
    while pair.bob.turn() {}
    assert_eq!(count(&pair.bob, is_unit_wanted), 3, "and polling again changes nothing");
}

/// How many bytes bob sends now, without the pings, and the pings in them: how many bytes come before, and the nonce.
fn let_go(bob: &mut Peer) -> (usize, Vec<(usize, u64)>) {
    let sent = take(bob, usize::MAX);
    let (mut bytes, mut pings) = (0, Vec::new());
    let mut reader = FrameReader::new(65_536);
    let mut rest = &sent[..];
    loop {
        let step = reader.step(rest).unwrap();
        rest = &rest[step.used..];
        let Some(raw) = step.frame else { return (bytes, pings) };
        let len = HEADER_LEN + raw.body.len();
        match ToPeer::decode(raw).unwrap() {
            Some(ToPeer::Ping(ping)) => pings.push((bytes, ping.nonce)),
            _ => bytes += len,
        }
    }
}

#[test]
fn file_data_waits_until_what_is_on_its_way_was_answered() {
    let (mut pair, transfer) = sending(8 << 20);
    pair.bob.peer.provide_unit(transfer, unit(0, 1 << 20)).unwrap();
    let (first, pings) = let_go(&mut pair.bob.peer);
    let nonces: Vec<_> = pings.into_iter().map(|(_, nonce)| nonce).collect();
    assert!((32 << 10..80 << 10).contains(&first), "{first} bytes at first");
    assert!(!nonces.is_empty());
    // Nothing but the answer that is waited for moves it on; a keep-alive's answer does not.
    for nonce in [0, 1, 2, nonces[0] - 1, nonces[nonces.len() - 1] + 1, u64::MAX] {
        pair.bob.peer.handle_input(&Pong { nonce }.to_bytes(), pair.now);
    }
    pair.bob.peer.handle_timeout(pair.now);
    assert_eq!(let_go(&mut pair.bob.peer), (0, vec![]));
    let last = Pong { nonce: nonces[nonces.len() - 1] }.to_bytes();
    pair.bob.peer.handle_input(&last, pair.now);
    let (second, _) = let_go(&mut pair.bob.peer);
    assert!(second >= first / 2, "{second} bytes more");
    pair.bob.peer.handle_input(&last, pair.now);
    assert_eq!(let_go(&mut pair.bob.peer), (0, vec![]), "the same answer twice");
    // A cancelled file takes what waits away with it.
    pair.bob.peer.cancel(transfer, ErrorCode::Cancelled).unwrap();
    assert_eq!(types(&take(&mut pair.bob.peer, usize::MAX)), [FrameType::FileCancel]);
    pair.bob.peer.handle_input(&last, pair.now);
    assert_eq!(let_go(&mut pair.bob.peer), (0, vec![]));
}

#[test]
fn on_a_slow_wire_less_is_on_its_way() {
    let (mut pair, transfer) = sending(64 << 20);
    for wanted in [0, 1] {
        pair.bob.peer.provide_unit(transfer, unit(wanted, 1 << 20)).unwrap();
    }
    let mut began = pair.now;
    let mut rounds = Vec::new();
    // A wire that carries 1,000 bytes a millisecond and answers 10 ms later.
    for _ in 0..200 {
        while let Some(event) = pair.bob.peer.poll_event() {
            let Event::UnitWanted { unit: wanted, .. } = event else { continue };
            pair.bob.peer.provide_unit(transfer, unit(wanted, 1 << 20)).unwrap();
        }
        let (sent, pings) = let_go(&mut pair.bob.peer);
        let mut ended = began;
        for (before, nonce) in pings {
            ended = began + Duration::from_millis(10 + before as u64 / 1000);
            pair.bob.peer.handle_input(&Pong { nonce }.to_bytes(), ended);
        }
        began = ended;
        rounds.push(sent);
    }
    let late = &rounds[100..];
    assert!(late.iter().all(|&sent| sent < 40_000), "{late:?}");
    assert!(late.iter().sum::<usize>() > 100 * 10_000, "{late:?}");
}

#[test]
fn transfers_take_turns_and_share_one_bound() {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    for _ in 0..5 {
        pair.alice.peer.fetch(Source::Root(ROOT), Resume::whole(10)).unwrap();
    }
    pair.settle();
    for number in [1, 3, 5, 7, 9] {
        let info = FileInfo { size: 10_240, mtime: 0, root: Some(ROOT) };
        pair.bob.peer.send_file(TransferId(number), info).unwrap();
    }
    let wanted = |pair: &mut Pair| {
        let mut wanted = Vec::new();
        while let Some(event) = pair.bob.peer.poll_event() {
            let Event::UnitWanted { transfer, unit, .. } = event else { panic!("{event:?}") };
            wanted.push((transfer.0, unit));
        }
        wanted
    };
    assert_eq!(wanted(&mut pair), [(1, 0), (3, 0), (5, 0), (7, 0)]);
    pair.bob.peer.provide_unit(TransferId(3), unit(0, 1024)).unwrap();
    assert_eq!(wanted(&mut pair), [(9, 0)]);
    pair.bob.peer.cancel(TransferId(1), ErrorCode::Cancelled).unwrap();
    pair.bob.peer.provide_unit(TransferId(9), unit(0, 1024)).unwrap();
    assert_eq!(wanted(&mut pair), [(3, 1), (5, 1)]);
}

#[test]
fn reading_stops_while_the_disk_is_behind_and_goes_on_when_it_caught_up() {
    let mut pair = Pair::open_with(|config| config.max_unstored = 10_000);
    pair.bob.share("f", content(100_000));
    pair.alice.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(digest(&content(100_000))), Resume::whole(12)).unwrap();
    // Byte by byte, so that it is seen how far alice lets it come.
    let mut now_and_then = 0;
    while pair.alice.peer.wants_read() && now_and_then < 200_000 {
        let to_bob = take(&mut pair.alice.peer, usize::MAX);
        pair.bob.peer.handle_input(&to_bob, pair.now);
        while pair.bob.turn() {}
        let byte = take(&mut pair.bob.peer, 1);
        pair.alice.peer.handle_input(&byte, pair.now);
        while pair.alice.turn() {}
        now_and_then += 1;
    }
    let handed_out = |pair: &Pair| {
        pair.alice
            .seen
            .iter()
            .map(|event| match event {
                Event::FileData { data, .. } => data.len(),
                _ => 0,
            })
            .sum::<usize>()
    };
    assert_eq!(handed_out(&pair), 3 * 4096, "two units, and the data that went past the window");
    // While it does not listen, silence is not the other end's fault.
    let late = pair.now + Duration::from_secs(1000);
    pair.alice.peer.handle_timeout(late);
    pair.alice.peer.handle_timeout(late + Duration::from_secs(1000));
    assert_eq!(pair.alice.peer.state(), State::Open);

    pair.alice.automatic = true;
    for (unit, bytes) in (0..2).zip(content(100_000).chunks(4096)) {
        pair.alice.peer.unit_stored(transfer, unit, digest(bytes)).unwrap();
    }
    assert!(pair.alice.peer.wants_read());
    for event in pair.alice.seen.clone() {
        if matches!(event, Event::FileStarted { .. } | Event::FileData { .. }) {
            pair.alice.react(event);
        }
    }
    // What was stored by hand is no part of the third unit.
    pair.alice.forget_partial(transfer, 2 * 4096);
    pair.settle();
    assert!(pair.alice.received[&transfer] == content(100_000));
    assert_eq!(pair.alice.done, [transfer]);
}

#[test]
fn many_half_units_never_stop_the_reading() {
    let mut alice = Peer::dial(
        chatproto::peer::Config { max_unstored: 1, ..config("alice", ALICE) },
        introduction(),
        START,
    );
    let mut bob = Peer::listen(config("bob", BOB), START);
    bob.handle_input(&take(&mut alice, usize::MAX), START);
    bob.admit(START).unwrap();
    alice.handle_input(&take(&mut bob, usize::MAX), START);
    for _ in 0..16 {
        let transfer = alice.fetch(Source::Root(digest(b"")), Resume::default()).unwrap();
        let (path, root) = (SafeRelPathRef::ROOT, None);
        let head = FileHead { transfer, size: 2 << 20, mtime: 0, unit_log2: 20, offset: 0, root, path };
        alice.handle_input(&head.to_bytes(), START);
        alice.handle_input(&FileData { transfer, offset: 0, data: Rest(&[0; 50_000]) }.to_bytes(), START);
        assert!(alice.wants_read(), "nothing could ever be stored otherwise");
    }
    while alice.poll_event().is_some() {}
    let (transfer, value) = (TransferId(1), digest(b""));
    let mut offset = 50_000;
    while offset < 1 << 20 {
        let len = MAX_FILE_DATA.min((1 << 20) - offset);
        let data = FileData { transfer, offset: offset as u64, data: Rest(&vec![0; len]) };
        alice.handle_input(&data.to_bytes(), START);
        offset += len;
    }
    alice.handle_input(&FileUnit { transfer, unit: 0, value }.to_bytes(), START);
    assert!(!alice.wants_read());
    alice.cancel(transfer, ErrorCode::Cancelled).unwrap();
    assert!(alice.wants_read(), "a cancel gives the room back");
}

#[test]
fn reading_stops_while_events_wait() {
    let mut pair = Pair::open_with(|config| config.max_events = 3);
    for _ in 0..3 {
        pair.alice.peer.say(&Text::new("hello").unwrap()).unwrap();
    }
    let bytes = take(&mut pair.alice.peer, usize::MAX);
    pair.bob.peer.handle_input(&bytes, pair.now);
    assert!(!pair.bob.peer.wants_read());
    assert!(pair.bob.turn());
    assert!(pair.bob.peer.wants_read());
}

#[test]
fn cheap_frames_in_floods_end_the_link_and_a_fast_transfer_does_not() {
    let mut pair = Pair::open_with(|config| config.limits.max_frames = 50);
    pair.bob.share("f", content(1_000_000));
    let root = digest(&content(1_000_000));
    let transfer = pair.alice.peer.fetch(Source::Root(root), Resume::whole(10)).unwrap();
    pair.settle();
    assert_eq!(pair.alice.done, [transfer], "2,000 frames that were asked for");

    let ping = Ping { nonce: 1 }.to_bytes();
    for _ in 0..50 {
        pair.alice.peer.handle_input(&ping, pair.now + Duration::from_secs(2));
    }
    assert_eq!(pair.alice.peer.state(), State::Open);
    pair.alice.peer.handle_input(&ping, pair.now + Duration::from_secs(2));
    while pair.alice.turn() {}
    let reason = Closed::Violation(Violation::Flood { max: 50 });
    assert_eq!(pair.alice.seen.last(), Some(&Event::Closed { reason }));
}

#[test]
fn file_data_in_crumbs_spends_the_budget() {
    let mut pair = Pair::open_with(|config| config.limits.max_frames = 50);
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(digest(b"")), Resume::whole(10)).unwrap();
    pair.settle();
    pair.bob.peer.send_file(transfer, FileInfo { size: 1000, mtime: 0, root: None }).unwrap();
    pair.settle();
    for offset in 0..60 {
        pair.alice.peer.handle_input(&FileData { transfer, offset, data: Rest(b"x") }.to_bytes(), pair.now);
    }
    while pair.alice.turn() {}
    let reason = Closed::Violation(Violation::Flood { max: 50 });
    assert_eq!(pair.alice.seen.last(), Some(&Event::Closed { reason }));
}

#[test]
fn who_asks_and_never_reads_is_hung_up_on() {
    let mut pair = Pair::open_with(|config| config.limits.max_frames = u32::MAX);
    let ping = Ping { nonce: 1 }.to_bytes();
    let pings = ping.repeat(10_000);
    for _ in 0..10 {
        pair.bob.peer.handle_input(&pings, pair.now);
    }
    while pair.bob.turn() {}
    let max = 1024 * 1024;
    assert_eq!(
        pair.bob.seen.last(),
        Some(&Event::Closed { reason: Closed::Violation(Violation::TooSlow { max }) })
    );
    assert!(pair.bob.peer.outgoing().len() < max + 1024);
    assert!(!pair.bob.peer.is_finished());
    pair.bob.peer.handle_timeout(pair.now + Duration::from_secs(5));
    assert!(pair.bob.peer.is_finished(), "the last bytes have a deadline");
}

#[test]
fn saying_more_than_is_read_is_an_error_of_the_program() {
    let mut pair = Pair::open();
    let text = Text::new(&"x".repeat(4000)).unwrap();
    let mut said = 0;
    let refused = loop {
        match pair.alice.peer.say(&text) {
            Ok(counter) => said = counter,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, SayError::Backlog { waiting: 262_145..270_000, max: 262_144 }), "{refused}");
    pair.settle();
    assert_eq!(pair.alice.peer.say(&text), Ok(said + 1), "numbers go on without a gap");
    pair.settle();
    assert_eq!(pair.bob.peer.state(), State::Open);
}

#[test]
fn a_link_that_never_stands_times_out() {
    let half_time = START + Duration::from_secs(5);
    let deadline = START + Duration::from_secs(10);
    for mut peer in
        [Peer::listen(config("bob", BOB), START), Peer::dial(config("alice", ALICE), introduction(), START)]
    {
        assert_eq!(peer.poll_timeout(), Some(deadline));
        peer.handle_timeout(half_time);
        assert_eq!(peer.poll_event(), None);
        peer.handle_timeout(deadline);
        let reason = Closed::Timeout(CloseReason::HandshakeTimeout);
        assert_eq!(peer.poll_event(), Some(Event::Closed { reason }));
        assert_eq!(peer.poll_timeout(), Some(deadline + Duration::from_secs(5)));
    }
}

#[test]
fn silence_is_answered_with_a_ping_and_then_with_the_end() {
    let mut pair = Pair::open();
    let ping_due = START + Duration::from_secs(30);
    assert_eq!(pair.alice.peer.poll_timeout(), Some(ping_due));
    pair.now = ping_due;
    pair.alice.peer.handle_timeout(ping_due);
    pair.settle();
    assert_eq!(pair.alice.peer.poll_timeout(), Some(ping_due + Duration::from_secs(30)), "bob answered");

    pair.alice.peer.handle_timeout(ping_due + Duration::from_secs(30));
    assert_eq!(types(&take(&mut pair.alice.peer, usize::MAX)), [FrameType::Ping]);
    let end: Instant = ping_due + Duration::from_secs(90);
    assert_eq!(pair.alice.peer.poll_timeout(), Some(end));
    pair.alice.peer.handle_timeout(end);
    while pair.alice.turn() {}
    let reason = Closed::Timeout(CloseReason::Idle);
    assert_eq!(pair.alice.seen.last(), Some(&Event::Closed { reason }));
    assert_eq!(types(&take(&mut pair.alice.peer, usize::MAX)), [FrameType::Bye]);
}

#[test]
fn bytes_without_a_whole_frame_are_silence() {
    let mut pair = Pair::open();
    let ping = Ping { nonce: 1 }.to_bytes();
    pair.alice.peer.handle_input(&ping[..10], START + Duration::from_secs(29));
    assert_eq!(pair.alice.peer.poll_timeout(), Some(START + Duration::from_secs(30)));
}

#[test]
fn a_bye_leaves_file_data_behind_but_not_what_was_said() {
    let (mut pair, transfer) = sending(1 << 20);
    pair.bob.peer.provide_unit(transfer, unit(0, 1 << 20)).unwrap();
    let begun = take(&mut pair.bob.peer, 100);
    pair.bob.peer.say(&Text::new("bye then").unwrap()).unwrap();
    pair.bob.peer.close(CloseReason::Done, pair.now);
    let rest = take(&mut pair.bob.peer, usize::MAX);
    assert_eq!(types(&[begun, rest].concat()), [FrameType::FileData, FrameType::LinkSay, FrameType::Bye]);
    assert!(pair.bob.peer.is_finished());
}

#[test]
fn strangers_cannot_make_a_listening_end_buffer_more_than_a_hello() {
    let mut peer = Peer::listen(config("bob", BOB), START);
    let mut frame = BytesMut::new();
    encode_header(FrameType::LinkHello, 2000, &mut frame);
    frame.put_bytes(0, 10);
    peer.handle_input(&frame, START);
    assert!(matches!(
        peer.poll_event(),
        Some(Event::Closed { reason: Closed::Violation(Violation::Frame(_)) })
    ));
}

#[test]
fn lists_served_twice_come_from_the_same_snapshot() {
    let mut pair = Pair::open_with(|config| config.page_entries = 1);
    pair.bob.share("a", content(1));
    pair.bob.share("b", content(2));
    let generation = pair.list("");
    pair.bob.share("aa", content(3));
    pair.alice.peer.list(&path(""), generation, 2).unwrap();
    pair.settle();
    let Some(Event::ListPage { entries, total: 2, .. }) = pair.alice.seen.last() else {
        panic!("{:?}", pair.alice.seen);
    };
    assert_eq!((entries[0].number, entries[0].name.as_str()), (2, "b"));
}
