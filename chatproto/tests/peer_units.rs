//! Units by root: exactly those that were asked for, with the values of all before them.
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

use chatproto::peer::{
    Closed, Event, FetchError, FileInfo, Part, SendFileError, TransferFault, ValuesError, Violation,
};
use chatproto::wire::{
    Body, Capabilities, ErrorCode, FileData, FileHead, FileValues, Hash, MAX_FILE_DATA, Rest, SafeRelPathRef,
    TransferId, UnitRequest,
};
use peer_pair::{Pair, START, content, digest, take};

const UNIT: usize = 1024;

fn part(first: u64, count: u64, values: bool) -> Part {
    Part { unit_log2: 10, first, count, values }
}

/// The values that came for a transfer.
fn values(pair: &Pair, of: TransferId) -> Vec<Hash> {
    let came = pair.alice.seen.iter().filter_map(|event| match event {
        Event::FileValues { transfer, values, .. } if *transfer == of => Some(values.clone()),
        _ => None,
    });
    came.flatten().collect()
}

#[test]
fn each_part_brings_its_units_and_the_values_if_they_are_wanted() {
    for size in [1, UNIT - 1, UNIT, UNIT + 1, 3 * UNIT + 1, 3 * UNIT * UNIT] {
        let file = content(size);
        let root = digest(&file);
        let units = size.div_ceil(UNIT);
        let mut cases = vec![(0, units), (0, 1), (units - 1, 1)];
        if units > 2 {
            cases.push((1, units - 2));
        }
        for ((first, count), wanted) in cases.into_iter().zip([true, false, true, false]) {
            let mut pair = Pair::open();
            pair.bob.share("film", file.clone());
            let part = part(first as u64, count as u64, wanted);
            let transfer = pair.alice.peer.fetch_units(root, part).unwrap();
            pair.settle();
            assert_eq!(pair.alice.done, [transfer], "{size} bytes, {part:?}");
            let expected = &file[first * UNIT..size.min((first + count) * UNIT)];
            assert!(pair.alice.received[&transfer] == expected);
            let all: Vec<_> = if wanted { file.chunks(UNIT).map(digest).collect() } else { Vec::new() };
            assert!(values(&pair, transfer) == all);
            assert!(pair.bob.has(&Event::FileSent { transfer }));
        }
    }
}

#[test]
fn a_part_that_the_file_does_not_have_or_another_root_fails() {
    let file = content(3 * UNIT);
    for (size, root) in [(2 * UNIT as u64, digest(&file)), (3 * UNIT as u64, digest(b"other"))] {
        let mut pair = Pair::open();
        pair.bob.automatic = false;
        let transfer = pair.alice.peer.fetch_units(digest(&file), part(1, 2, false)).unwrap();
        pair.settle();
        let info = FileInfo { size, mtime: 0, root: Some(root) };
        let sent = pair.bob.peer.send_file(transfer, info);
        if size < 3 * UNIT as u64 {
            assert_eq!(sent, Err(SendFileError::OffsetPastEnd { offset: 3 * UNIT as u64, size }));
            continue;
        }
        sent.unwrap();
        pair.settle();
        let failed = Event::FileFailed { transfer, code: ErrorCode::VerifyFailed, local: true };
        assert!(pair.alice.has(&failed));
        assert!(pair.bob.has(&Event::SendStopped { transfer, code: ErrorCode::VerifyFailed }));
    }
}

#[test]
fn no_unit_is_wanted_before_the_values_were_given() {
    let file = content(3 * UNIT);
    let root = digest(&file);
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch_units(root, part(0, 3, true)).unwrap();
    pair.settle();
    assert_eq!(pair.bob.peer.provide_values(transfer, &[root]), Err(ValuesError::NotWanted(transfer)));
    let no_root = FileInfo { size: file.len() as u64, mtime: 0, root: None };
    assert_eq!(pair.bob.peer.send_file(transfer, no_root), Err(SendFileError::NoRoot));
    pair.bob.peer.send_file(transfer, FileInfo { root: Some(root), ..no_root }).unwrap();
    pair.settle();
    let wanted = |pair: &Pair| pair.bob.last(|event| matches!(event, Event::UnitWanted { .. }).then_some(()));
    assert_eq!(wanted(&pair), None);
    let two = pair.bob.peer.provide_values(transfer, &[root, root]);
    assert_eq!(two, Err(ValuesError::Count { expected: 3, found: 2 }));
    pair.bob.peer.provide_values(transfer, &[root, root, root]).unwrap();
    assert_eq!(pair.bob.peer.provide_values(transfer, &[root; 3]), Err(ValuesError::NotWanted(transfer)));
    pair.settle();
    assert_eq!(wanted(&pair), Some(()));
}

#[test]
fn who_cannot_do_it_says_so() {
    let mut pair = Pair::open_with(|config| config.capabilities = Capabilities::NONE);
    let refused = pair.alice.peer.fetch_units(digest(b"x"), part(0, 1, false));
    assert_eq!(refused, Err(FetchError::NoSources));
    let request = UnitRequest {
        transfer: TransferId(1),
        root: digest(b"x"),
        unit_log2: 10,
        first: 0,
        count: 1,
        flags: 0,
    };
    pair.bob.peer.handle_input(&request.to_bytes(), START);
    assert!(!pair.bob.turn());
    assert!(!take(&mut pair.bob.peer, usize::MAX).is_empty(), "a refusal");

    let mut pair = Pair::open();
    for bad in [part(0, 0, false), part(u64::MAX, 1, false), part(u64::MAX >> 10, 2, false)] {
        let refused = pair.alice.peer.fetch_units(digest(b"x"), bad);
        assert_eq!(refused, Err(FetchError::Resume(TransferFault::NoUnit)), "{bad:?}");
    }
}

/// What alice finds wrong with the frames that answer her request for the middle one of three units, with values.
fn fault(frames: &[bytes::Bytes]) -> Option<TransferFault> {
    let mut pair = Pair::open();
    pair.alice.peer.fetch_units(digest(b"film"), part(1, 1, true)).unwrap();
    let head = FileHead {
        transfer: TransferId(1),
        size: 3 * UNIT as u64,
        mtime: 0,
        unit_log2: 10,
        offset: UNIT as u64,
        root: Some(digest(b"film")),
        path: SafeRelPathRef::ROOT,
    };
    pair.alice.peer.handle_input(&head.to_bytes(), START);
    for frame in frames {
        pair.alice.peer.handle_input(frame, START);
    }
    core::iter::from_fn(|| pair.alice.peer.poll_event()).find_map(|event| match event {
        Event::Closed { reason: Closed::Violation(Violation::Transfer { fault, .. }) } => Some(fault),
        _ => None,
    })
}

#[test]
fn values_come_in_order_whole_and_before_the_data() {
    let transfer = TransferId(1);
    let values = |first, bytes: &[u8]| FileValues { transfer, first, values: Rest(bytes) }.to_bytes();
    let data = |offset, len: usize| {
        FileData { transfer, offset, data: Rest(&vec![0; len.min(MAX_FILE_DATA)]) }.to_bytes()
    };
    let wrong = |expected, found, len| Some(TransferFault::Values { expected, found, len });
    assert_eq!(fault(&[values(0, &[0; 96]), data(1024, 1024)]), None);
    assert_eq!(fault(&[values(0, &[0; 32]), values(1, &[0; 64]), data(1024, 5)]), None);
    assert_eq!(fault(&[values(1, &[0; 32])]), wrong(0, 1, 32));
    assert_eq!(fault(&[values(0, &[0; 33])]), wrong(0, 0, 33));
    assert_eq!(fault(&[values(0, &[])]), wrong(0, 0, 0));
    assert_eq!(fault(&[values(0, &[0; 128])]), wrong(0, 0, 128));
    for early in [vec![data(1024, 5)], vec![values(0, &[0; 64]), data(1024, 5)]] {
        assert_eq!(fault(&early), Some(TransferFault::WrongStage { when: "before all values" }));
    }
    let again = [values(0, &[0; 96]), values(0, &[0; 32])];
    assert!(matches!(fault(&again), Some(TransferFault::WrongStage { .. })));
    // Only the middle unit was asked for.
    assert_eq!(
        fault(&[values(0, &[0; 96]), data(0, 5)]),
        Some(TransferFault::Offset { expected: 1024, found: 0 })
    );
    assert_eq!(fault(&[values(0, &[0; 96]), data(1024, 1025)]), Some(TransferFault::PastUnit { end: 2048 }));
}
