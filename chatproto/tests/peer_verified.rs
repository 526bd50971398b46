//! The transfer and the verification fit: units, values and roots of one file, from end to end.
#![cfg(feature = "blake3")]
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

use bytes::Bytes;
use chatproto::peer::{Event, FileInfo, Resume, UnitData};
use chatproto::verify::{Layout, RootBuilder, UnitLog2};
use chatproto::wire::{ErrorCode, Hash, Source, TransferId};
use peer_pair::{Pair, content};

fn value(layout: Layout, unit: u64, bytes: &[u8]) -> Hash {
    let mut hasher = layout.hasher(unit).unwrap();
    assert_eq!(hasher.update(bytes), bytes.len());
    Hash(hasher.finish().unwrap())
}

/// Fetches `file` whose sender hashes while it sends; `damage` may change what is stored.
fn transfer(file: &[u8], unit_log2: u8, damage: impl Fn(&mut Vec<u8>)) -> Vec<Event> {
    let mut pair = Pair::open();
    pair.alice.automatic = false;
    pair.bob.automatic = false;
    let root = Hash(*blake3::hash(file).as_bytes());
    let layout = Layout::new(file.len() as u64, UnitLog2::new(unit_log2).unwrap());
    let transfer = pair.alice.peer.fetch(Source::Root(root), Resume::whole(unit_log2)).unwrap();
    let (mut sent, mut received) = (RootBuilder::new(layout), RootBuilder::new(layout));
    let mut stored = Vec::new();
    let (mut seen_by_alice, mut seen_by_bob) = (0, 0);
    loop {
        pair.settle();
        let (alice, bob) = (pair.alice.seen.len(), pair.bob.seen.len());
        if (alice, bob) == (seen_by_alice, seen_by_bob) {
            return pair.alice.seen;
        }
        for event in pair.bob.seen[seen_by_bob..].iter().cloned() {
            match event {
                Event::FileWanted { .. } => {
                    let info = FileInfo { size: file.len() as u64, mtime: 0, root: None };
                    pair.bob.peer.send_file(transfer, info).unwrap();
                }
                Event::UnitWanted { unit, .. } => {
                    let range = layout.range(unit).unwrap();
                    let bytes =
                        &file[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()];
                    let value = value(layout, unit, bytes);
                    sent.push(value.0).unwrap();
                    let root = sent.clone().finish().ok().map(Hash);
                    let bytes = Bytes::copy_from_slice(bytes);
                    // The other end may have found a lie already.
                    let _ = pair.bob.peer.provide_unit(transfer, UnitData { unit, bytes, value, root });
                }
                _ => {}
            }
        }
        for event in pair.alice.seen[seen_by_alice..].iter().cloned() {
            match event {
                Event::FileData { data, .. } => stored.extend_from_slice(&data),
                Event::FileUnit { unit, .. } => {
                    damage(&mut stored);
                    let start = usize::try_from(layout.range(unit).unwrap().start).unwrap();
                    let end = usize::try_from(layout.range(unit).unwrap().end).unwrap();
                    let computed = value(layout, unit, &stored[start..end]);
                    received.push(computed.0).unwrap();
                    let _ = pair.alice.peer.unit_stored(transfer, unit, computed);
                }
                Event::FileComplete { root: claimed, .. } => {
                    assert_eq!(Hash(received.clone().finish().unwrap()), claimed);
                    assert_eq!(claimed, root);
                    assert!(stored == file);
                    pair.alice.peer.finish_file(transfer, Ok(())).unwrap();
                }
                _ => {}
            }
        }
        (seen_by_alice, seen_by_bob) = (alice, bob);
    }
}

#[test]
fn roots_are_those_of_blake3_at_every_edge() {
    for (size, unit_log2) in [
        (0, 20),
        (1, 20),
        (1024, 10),
        (1025, 10),
        (4096, 11),
        (3 * 2048 + 1, 11),
        (1 << 20, 20),
        ((1 << 20) + 1, 20),
    ] {
        let events = transfer(&content(size), unit_log2, |_| {});
        let complete = events.iter().filter(|event| matches!(event, Event::FileComplete { .. })).count();
        assert_eq!(complete, 1, "{size} bytes in units of 2^{unit_log2}");
    }
}

#[test]
fn one_wrong_bit_is_found_at_the_end_of_its_unit() {
    let events = transfer(&content(3000), 10, |stored| {
        if stored.len() > 1500 {
            stored[1500] ^= 1;
        }
    });
    let failed = Event::FileFailed { transfer: TransferId(1), code: ErrorCode::VerifyFailed, local: true };
    assert!(events.contains(&failed), "{events:?}");
}
