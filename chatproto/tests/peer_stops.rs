//! How transfers and lists end early: refusals, cancels at every point, lies, and ends that vanish.
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
use chatproto::peer::{
    Closed, Event, FetchError, FileInfo, ListError, ProvideListError, Resume, SendFileError, State,
    TransferError, UnitData,
};
use chatproto::wire::{ErrorCode, Generation, Hash, Source, TransferId};
use peer_pair::{End, Pair, content, digest, path, take};

fn failed(transfer: TransferId, code: ErrorCode, local: bool) -> Event {
    Event::FileFailed { transfer, code, local }
}

#[test]
fn what_cannot_be_sent_is_refused_with_the_reason() {
    let mut pair = Pair::open();
    pair.bob.share("docs/inner", content(1));
    pair.bob.share("file", content(1));
    let generation = pair.list("");
    for (generation, number, code) in [
        (generation, 1, ErrorCode::NotAFile),
        (generation, 0, ErrorCode::NoSuchNumber),
        (generation, 3, ErrorCode::NoSuchNumber),
        (Generation(99), 1, ErrorCode::Changed),
    ] {
        let transfer =
            pair.alice.peer.fetch(Source::Number { generation, number }, Resume::default()).unwrap();
        pair.settle();
        assert_eq!(pair.alice.seen.last(), Some(&failed(transfer, code, false)), "{code}");
    }
    let unknown = pair.alice.peer.fetch(Source::Root(digest(b"who?")), Resume::default()).unwrap();
    pair.settle();
    assert_eq!(pair.alice.seen.last(), Some(&failed(unknown, ErrorCode::NoSuchPath, false)));
    assert_eq!(pair.alice.peer.state(), State::Open);
}

#[test]
fn lists_that_cannot_be_given_are_refused_with_the_reason() {
    let mut pair = Pair::open();
    pair.bob.share("docs/inner", content(1));
    let generation = pair.list("");
    for (folder, generation, page, code) in [
        ("nowhere", Generation(0), 1, ErrorCode::NoSuchPath),
        ("", generation, 2, ErrorCode::NoSuchNumber),
        ("docs", generation, 1, ErrorCode::NoSuchPath),
        ("", Generation(99), 1, ErrorCode::Changed),
    ] {
        let request = pair.alice.peer.list(&path(folder), generation, page).unwrap();
        pair.settle();
        assert_eq!(pair.alice.seen.last(), Some(&Event::ListRefused { request, code }), "{folder} {code}");
    }
    let alice = &mut pair.alice.peer;
    assert_eq!(alice.list(&path(""), Generation(0), 2), Err(ListError::Page { page: 2 }));
    assert_eq!(alice.list(&path(""), Generation(1), 0), Err(ListError::Page { page: 0 }));
}

#[test]
fn an_old_generation_is_answered_with_changed_never_with_another_file() {
    let mut pair = Pair::open_with(|config| config.max_generations = 2);
    pair.bob.share("b", content(5));
    let oldest = pair.list("");
    pair.bob.share("a", content(6));
    let newer = pair.list("");
    let fetch = |pair: &mut Pair, generation| {
        let transfer =
            pair.alice.peer.fetch(Source::Number { generation, number: 1 }, Resume::whole(10)).unwrap();
        pair.settle();
        transfer
    };
    let kept = fetch(&mut pair, oldest);
    assert!(pair.alice.received[&kept] == content(5), "number 1 is still what it was");
    let new = fetch(&mut pair, newer);
    assert!(pair.alice.received[&new] == content(6));
    pair.list("");
    let evicted = fetch(&mut pair, oldest);
    assert_eq!(pair.alice.seen.last(), Some(&failed(evicted, ErrorCode::Changed, false)));
    let request = pair.alice.peer.list(&path(""), oldest, 1).unwrap();
    pair.settle();
    assert_eq!(pair.alice.seen.last(), Some(&Event::ListRefused { request, code: ErrorCode::Changed }));
}

#[test]
fn open_lists_are_bounded_on_both_sides() {
    let mut pair = Pair::new(
        peer_pair::config("alice", peer_pair::ALICE),
        chatproto::peer::Config { max_lists: 2, ..peer_pair::config("bob", peer_pair::BOB) },
    );
    pair.settle();
    pair.bob.automatic = false;
    for _ in 0..8 {
        pair.alice.peer.list(&path(""), Generation(0), 1).unwrap();
    }
    assert_eq!(pair.alice.peer.list(&path(""), Generation(0), 1), Err(ListError::TooMany { max: 8 }));
    pair.settle();
    let wanted: Vec<_> = pair
        .bob
        .seen
        .iter()
        .filter_map(|event| match event {
            Event::ListWanted { id, .. } => Some(*id),
            _ => None,
        })
        .collect();
    assert_eq!(wanted.len(), 2);
    let refused =
        |event: &&Event| matches!(event, Event::ListRefused { code: ErrorCode::TooManyRequests, .. });
    assert_eq!(pair.alice.seen.iter().filter(refused).count(), 6);
    for id in wanted {
        pair.bob.peer.provide_list(id, Vec::new()).unwrap();
        assert_eq!(pair.bob.peer.provide_list(id, Vec::new()), Err(ProvideListError::NotWanted));
    }
    pair.settle();
    assert_eq!(pair.alice.seen.iter().filter(|event| matches!(event, Event::ListPage { .. })).count(), 2);
}

#[test]
fn lists_past_the_limit_are_an_error_of_the_program() {
    let mut pair = Pair::open_with(|config| config.max_list_entries = 1);
    pair.bob.automatic = false;
    pair.alice.peer.list(&path(""), Generation(0), 1).unwrap();
    pair.settle();
    let Some(Event::ListWanted { id, .. }) = pair.bob.seen.last().cloned() else {
        panic!("{:?}", pair.bob.seen)
    };
    let item = |name: &str| chatproto::peer::Item {
        kind: chatproto::wire::EntryKind::File,
        name: chatproto::wire::SafeName::new(name).unwrap(),
        size: 0,
        mtime: 0,
        root: None,
        content: None,
    };
    let too_long = pair.bob.peer.provide_list(id, vec![item("a"), item("b")]);
    assert_eq!(too_long, Err(ProvideListError::TooLong { entries: 2, max: 1 }));
    assert_eq!(pair.bob.peer.provide_list(id, vec![item("a")]), Ok(Generation(1)), "it still waits");
}

#[test]
fn open_transfers_are_bounded_on_both_sides() {
    let mut pair = Pair::new(
        peer_pair::config("alice", peer_pair::ALICE),
        chatproto::peer::Config { max_transfers: 2, ..peer_pair::config("bob", peer_pair::BOB) },
    );
    pair.settle();
    pair.bob.automatic = false;
    let source = Source::Root(digest(b""));
    for _ in 0..16 {
        pair.alice.peer.fetch(source, Resume::default()).unwrap();
    }
    assert_eq!(pair.alice.peer.fetch(source, Resume::default()), Err(FetchError::TooMany { max: 16 }));
    pair.settle();
    assert_eq!(pair.bob.seen.iter().filter(|event| matches!(event, Event::FileWanted { .. })).count(), 2);
    let refused =
        |event: &&Event| matches!(event, Event::FileFailed { code: ErrorCode::TooManyTransfers, .. });
    assert_eq!(pair.alice.seen.iter().filter(refused).count(), 14);
}

/// Runs a fetch of 5,000 bytes in units of 1 KiB, and stops it once `stop` likes an event of either end.
fn stop_at(by_alice: bool, number: usize) -> Option<(Pair, TransferId)> {
    let mut pair = Pair::open_with(|config| config.low_water = 1);
    pair.bob.share("f", content(5000));
    let source = Source::Root(digest(&content(5000)));
    let (before_alice, before_bob) = (pair.alice.seen.len(), pair.bob.seen.len());
    let transfer = pair.alice.peer.fetch(source, Resume::whole(10)).unwrap();
    // Single steps, so that bytes and events of every point are on their way when it stops.
    for _ in 0..10_000 {
        let events = pair.alice.seen.len() - before_alice + pair.bob.seen.len() - before_bob;
        if events >= number {
            let end = if by_alice { &mut pair.alice } else { &mut pair.bob };
            end.peer.cancel(transfer, ErrorCode::Cancelled).ok()?;
            let (alice, bob) = (pair.alice.seen.len(), pair.bob.seen.len());
            pair.settle();
            let stopped = if by_alice { &pair.alice.seen[alice..] } else { &pair.bob.seen[bob..] };
            assert!(stopped.iter().all(|event| event.transfer() != Some(transfer)), "{stopped:?}");
            return Some((pair, transfer));
        }
        let to_bob = take(&mut pair.alice.peer, 40);
        pair.bob.peer.handle_input(&to_bob, pair.now);
        let to_alice = take(&mut pair.bob.peer, 40);
        pair.alice.peer.handle_input(&to_alice, pair.now);
        pair.alice.turn();
        pair.bob.turn();
    }
    None
}

#[test]
fn a_transfer_can_be_cancelled_from_each_side_at_each_point() {
    for by_alice in [true, false] {
        let mut stopped = 0;
        for number in 0..60 {
            let Some((mut pair, transfer)) = stop_at(by_alice, number) else { continue };
            stopped += 1;
            let told = if by_alice {
                let event = Event::SendStopped { transfer, code: ErrorCode::Cancelled };
                pair.bob.has(&event) || !pair.bob.seen.iter().any(|event| event.transfer() == Some(transfer))
            } else {
                pair.alice.has(&failed(transfer, ErrorCode::Cancelled, false))
                    || pair.alice.done.contains(&transfer)
            };
            assert!(told, "after {number} events");
            assert_eq!(pair.alice.peer.state(), State::Open, "after {number} events");
            assert_eq!(pair.bob.peer.state(), State::Open, "after {number} events");
            // The link is as good as new.
            let again =
                pair.alice.peer.fetch(Source::Root(digest(&content(5000))), Resume::whole(12)).unwrap();
            pair.settle();
            assert!(pair.alice.received[&again] == content(5000), "after {number} events");
        }
        assert!(stopped >= 15, "{stopped} points were tried");
    }
}

#[test]
fn a_unit_that_hashes_to_something_else_ends_the_transfer() {
    let mut pair = Pair::open();
    pair.alice.automatic = false;
    pair.bob.share("f", content(5000));
    let transfer = pair.alice.peer.fetch(Source::Root(digest(&content(5000))), Resume::whole(10)).unwrap();
    pair.settle();
    let alice = &mut pair.alice.peer;
    let first = digest(&content(5000)[..1024]);
    assert_eq!(alice.unit_stored(transfer, 9, first), Err(TransferError::Unit { transfer, unit: 9 }));
    assert_eq!(alice.finish_file(transfer, Ok(())), Err(TransferError::NotComplete(transfer)));
    alice.unit_stored(transfer, 0, first).unwrap();
    assert_eq!(alice.unit_stored(transfer, 0, first), Err(TransferError::Unit { transfer, unit: 0 }));
    alice.unit_stored(transfer, 1, digest(b"something else")).unwrap();
    assert_eq!(alice.unit_stored(transfer, 2, first), Err(TransferError::NotOpen(transfer)));
    pair.settle();
    assert_eq!(pair.alice.seen.last(), Some(&failed(transfer, ErrorCode::VerifyFailed, true)));
    assert_eq!(pair.bob.seen.last(), Some(&Event::SendStopped { transfer, code: ErrorCode::VerifyFailed }));
}

#[test]
fn units_may_be_stored_in_any_order() {
    let mut pair = Pair::open();
    pair.alice.automatic = false;
    pair.bob.share("f", content(3000));
    let transfer = pair.alice.peer.fetch(Source::Root(digest(&content(3000))), Resume::whole(10)).unwrap();
    pair.settle();
    for unit in [2, 0, 1] {
        assert!(!pair.alice.seen.iter().any(|event| matches!(event, Event::FileComplete { .. })));
        let bytes = &content(3000)[unit * 1024..3000.min((unit + 1) * 1024)];
        pair.alice.peer.unit_stored(transfer, unit as u64, digest(bytes)).unwrap();
        pair.settle();
    }
    let root = digest(&content(3000));
    assert_eq!(pair.alice.seen.last(), Some(&Event::FileComplete { transfer, root, size: 3000 }));
    pair.alice.peer.finish_file(transfer, Err(ErrorCode::Storage)).unwrap();
    pair.settle();
    assert_eq!(pair.bob.seen.last(), Some(&Event::SendStopped { transfer, code: ErrorCode::Storage }));
}

/// Bob offers `promised` in the head and `last` at the end; alice asks for `asked`.
fn fetch_with_roots(asked: Hash, promised: Option<Hash>, last: Hash) -> Vec<Event> {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(asked), Resume::default()).unwrap();
    pair.settle();
    pair.bob.peer.send_file(transfer, FileInfo { size: 5, mtime: 0, root: promised }).unwrap();
    pair.settle();
    let bytes = Bytes::from_static(b"hello");
    let data = UnitData { unit: 0, value: digest(&bytes), bytes, root: Some(last) };
    // Alice may have given up on the head already.
    let _ = pair.bob.peer.provide_unit(transfer, data);
    pair.settle();
    pair.alice.seen
}

#[test]
fn a_root_that_is_not_the_one_asked_for_ends_the_transfer() {
    let (good, bad) = (digest(b"hello"), digest(b"other"));
    let last = |events: Vec<Event>| events.last().cloned();
    let verify_failed = Some(failed(TransferId(1), ErrorCode::VerifyFailed, true));
    assert_eq!(last(fetch_with_roots(good, Some(bad), bad)), verify_failed, "in the head");
    assert_eq!(last(fetch_with_roots(good, None, bad)), verify_failed, "at the end");
    let complete = Event::FileComplete { transfer: TransferId(1), root: good, size: 5 };
    assert_eq!(last(fetch_with_roots(good, None, good)), Some(complete));
}

#[test]
fn files_are_answered_once() {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    let held = Some(digest(b""));
    let at = Resume { unit_log2: 10, offset: 1024, held };
    let transfer = pair.alice.peer.fetch(Source::Root(digest(b"f")), at).unwrap();
    pair.settle();
    let bob = &mut pair.bob.peer;
    let file = |size, root| FileInfo { size, mtime: 0, root };
    let short = bob.send_file(transfer, file(1000, None));
    assert_eq!(short, Err(SendFileError::OffsetPastEnd { offset: 1024, size: 1000 }));
    assert_eq!(bob.send_file(transfer, file(1024, None)), Err(SendFileError::NoRoot));
    assert_eq!(bob.send_file(TransferId(3), file(1, None)), Err(SendFileError::NotWanted(TransferId(3))));
    bob.send_file(transfer, file(1024, Some(digest(b"f")))).unwrap();
    assert_eq!(bob.send_file(transfer, file(1024, None)), Err(SendFileError::Begun(transfer)));
    assert_eq!(bob.refuse_file(transfer, ErrorCode::Busy), Err(SendFileError::Begun(transfer)));
    assert_eq!(bob.queue_file(transfer, 1), Err(SendFileError::Begun(transfer)));
    pair.settle();
    assert_eq!(pair.alice.done, [transfer], "everything was held already");
    assert_eq!(pair.bob.seen.last(), Some(&Event::FileSent { transfer }));
}

#[test]
fn what_is_open_fails_before_the_link_is_said_to_have_closed() {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    pair.alice.peer.list(&path(""), Generation(0), 1).unwrap();
    let fetched = pair.alice.peer.fetch(Source::Root(digest(b"")), Resume::default()).unwrap();
    let sent = pair.bob.peer.fetch(Source::Root(digest(b"")), Resume::default()).unwrap();
    pair.alice.automatic = false;
    pair.settle();
    let before = pair.alice.seen.len();
    pair.alice.peer.handle_input(&[0, 0], pair.now);
    pair.alice.peer.handle_eof(pair.now);
    pair.alice.peer.handle_eof(pair.now);
    while pair.alice.turn() {}
    let code = ErrorCode::Offline;
    let expected = [
        Event::ListRefused { request: chatproto::wire::RequestId(1), code },
        failed(fetched, code, false),
        Event::SendStopped { transfer: sent, code },
        Event::Closed { reason: Closed::Eof { in_frame: true } },
    ];
    assert_eq!(pair.alice.seen[before..], expected);
    assert!(pair.alice.peer.is_finished());
    assert_eq!(pair.alice.peer.cancel(fetched, code), Err(TransferError::NotOpen(fetched)));
    let End { peer, .. } = &mut pair.bob;
    peer.handle_eof(pair.now);
    assert!(matches!(
        core::iter::from_fn(|| peer.poll_event()).last(),
        Some(Event::Closed { reason: Closed::Eof { in_frame: false } })
    ));
}
