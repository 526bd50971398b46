//! Transfers that stand still for a while, rates, and content that comes with a list.
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
use chatproto::peer::{Closed, Event, FileInfo, Item, ListedEntry, PaceError, Resume, UnitData, Violation};
use chatproto::wire::{
    Blob, Body as _, Capability, Entry, EntryKind, ErrorCode, Generation, Hash, List, ListPage, MAX_INLINE,
    RequestId, SafeName, SafeNameRef, SafeRelPathRef, Source, TransferId,
};
use peer_pair::{Pair, START, content, digest, path, take};

const UNIT: usize = 1 << 10;

fn paced() -> Pair {
    Pair::open_with(|config| {
        config.capabilities = config.capabilities.with(Capability::Pace).with(Capability::Inline);
    })
}

/// Bob sends a file of `units` units of 1 KiB by hand; the first two are wanted.
fn sending(pair: &mut Pair, units: usize) -> TransferId {
    pair.bob.automatic = false;
    let source = Source::Root(Hash([7; 32]));
    let transfer = pair.alice.peer.fetch(source, Resume::whole(10)).unwrap();
    pair.settle();
    let info = FileInfo { size: (units * UNIT) as u64, mtime: 0, root: Some(Hash([7; 32])) };
    pair.bob.peer.send_file(transfer, info).unwrap();
    pair.settle();
    transfer
}

fn provide(pair: &mut Pair, transfer: TransferId, unit: u64) {
    let bytes = Bytes::from(vec![3; UNIT]);
    let data = UnitData { unit, value: digest(&bytes), bytes, root: None };
    pair.bob.peer.provide_unit(transfer, data).unwrap();
    pair.settle();
}

fn wanted(pair: &Pair, of: TransferId) -> usize {
    let is_one = |event: &&Event| matches!(event, Event::UnitWanted { transfer, .. } if *transfer == of);
    pair.bob.seen.iter().filter(is_one).count()
}

#[test]
fn a_transfer_moves_only_while_neither_end_has_stopped_it() {
    let mut pair = paced();
    let transfer = sending(&mut pair, 6);
    assert_eq!(wanted(&pair, transfer), 2);
    pair.alice.peer.pause_file(transfer).unwrap();
    pair.alice.peer.pause_file(transfer).unwrap();
    pair.settle();
    assert_eq!(pair.bob.seen.last(), Some(&Event::FilePaused { transfer }));
    for unit in [0, 1] {
        // What was wanted before is still taken.
        provide(&mut pair, transfer, unit);
    }
    assert_eq!(wanted(&pair, transfer), 2, "and nothing more is wanted");
    pair.bob.peer.pause_file(transfer).unwrap();
    pair.alice.peer.resume_file(transfer).unwrap();
    pair.settle();
    assert!(pair.alice.has(&Event::FilePaused { transfer }));
    assert_eq!(wanted(&pair, transfer), 2, "the sender itself still holds it");
    pair.bob.peer.resume_file(transfer).unwrap();
    pair.settle();
    assert_eq!(wanted(&pair, transfer), 4);
    let changes = pair.bob.seen.iter().filter(|event| matches!(event, Event::FilePaused { .. })).count();
    assert_eq!(changes, 1, "twice is as good as once");
    for unit in 2..6 {
        provide(&mut pair, transfer, unit);
    }
    assert_eq!(pair.alice.done, [transfer]);
}

#[test]
fn a_stopped_transfer_does_not_hold_up_another() {
    let mut pair = paced();
    let first = sending(&mut pair, 6);
    let second = sending(&mut pair, 6);
    assert_eq!((wanted(&pair, first), wanted(&pair, second)), (2, 2), "as many as may be wanted in all");
    pair.alice.peer.pause_file(first).unwrap();
    pair.settle();
    for unit in 0..6 {
        provide(&mut pair, second, unit);
    }
    assert_eq!(pair.alice.done, [second]);
    assert_eq!(wanted(&pair, first), 2);
}

#[test]
fn a_transfer_may_be_stopped_before_its_head() {
    let mut pair = paced();
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(Hash([7; 32])), Resume::whole(10)).unwrap();
    pair.alice.peer.pause_file(transfer).unwrap();
    pair.settle();
    let info = FileInfo { size: UNIT as u64, mtime: 0, root: Some(Hash([7; 32])) };
    pair.bob.peer.send_file(transfer, info).unwrap();
    pair.settle();
    assert_eq!(wanted(&pair, transfer), 0);
    pair.alice.peer.resume_file(transfer).unwrap();
    pair.settle();
    provide(&mut pair, transfer, 0);
    assert_eq!(pair.alice.done, [transfer]);
}

#[test]
fn a_pause_that_crosses_the_end_is_ignored() {
    let mut pair = paced();
    let transfer = sending(&mut pair, 1);
    pair.alice.peer.pause_file(transfer).unwrap();
    pair.bob.peer.cancel(transfer, ErrorCode::Cancelled).unwrap();
    pair.settle();
    assert_eq!(pair.alice.peer.pause_file(transfer), Err(PaceError::NotOpen(transfer)));
    assert!(pair.alice.peer.poll_event().is_none() && pair.bob.peer.poll_event().is_none());
}

#[test]
fn the_other_end_hears_of_a_rate() {
    let mut pair = paced();
    pair.alice.peer.limit_rate(1 << 20).unwrap();
    pair.settle();
    assert_eq!(pair.bob.seen.last(), Some(&Event::RateWanted { bytes_per_second: 1 << 20 }));
}

#[test]
fn without_the_capability_nothing_is_paused_or_limited() {
    let mut pair = Pair::open();
    let transfer = sending(&mut pair, 1);
    assert_eq!(pair.alice.peer.pause_file(transfer), Err(PaceError::NotSupported));
    assert_eq!(pair.alice.peer.resume_file(transfer), Err(PaceError::NotSupported));
    assert_eq!(pair.alice.peer.limit_rate(1), Err(PaceError::NotSupported));
    assert!(take(&mut pair.alice.peer, usize::MAX).is_empty());
}

fn item(name: &str, bytes: &[u8]) -> Item {
    Item {
        kind: EntryKind::File,
        name: SafeName::new(name).unwrap(),
        size: bytes.len() as u64,
        mtime: 5,
        root: Some(digest(bytes)),
        content: Some(Bytes::copy_from_slice(bytes)),
    }
}

/// What alice gets of `items`, in all pages.
fn listed(pair: &mut Pair, with_content: bool, items: Vec<Item>) -> Vec<ListedEntry> {
    pair.bob.automatic = false;
    let ask = |pair: &mut Pair, generation, page| {
        let peer = &mut pair.alice.peer;
        let folder = path("");
        let asked = if with_content {
            peer.list_with_content(&folder, generation, page)
        } else {
            peer.list(&folder, generation, page)
        };
        asked.unwrap();
        pair.settle();
    };
    ask(pair, Generation(0), 1);
    let Some(Event::ListWanted { id, content, .. }) = pair.bob.seen.last().cloned() else {
        panic!("{:?}", pair.bob.seen)
    };
    assert_eq!(content, with_content);
    let generation = pair.bob.peer.provide_list(id, items).unwrap();
    pair.settle();
    let mut found = Vec::new();
    for next in 2.. {
        let Some(Event::ListPage { pages, entries, .. }) = pair.alice.seen.last().cloned() else {
            panic!("{:?}", pair.alice.seen)
        };
        found.extend(entries);
        if next > pages {
            break;
        }
        ask(pair, generation, next);
    }
    found
}

#[test]
fn small_files_come_with_the_list_when_they_are_wanted() {
    let small = content(MAX_INLINE);
    let items = vec![item("empty", b""), item("large", &content(MAX_INLINE + 1)), item("small", &small)];
    let found = listed(&mut paced(), true, items.clone());
    assert_eq!(found[0].content, Some(Bytes::new()));
    assert_eq!(found[1].content, None);
    assert_eq!(found[2].content.as_deref(), Some(&small[..]));
    assert!(listed(&mut paced(), false, items).iter().all(|entry| entry.content.is_none()));
}

#[test]
fn content_makes_more_pages_and_no_longer_frames() {
    let items: Vec<_> = (0..200).map(|at| item(&format!("{at:03}"), &content(MAX_INLINE - at))).collect();
    let found = listed(&mut paced(), true, items.clone());
    assert_eq!(found.len(), items.len());
    for (entry, item) in found.iter().zip(&items) {
        assert_eq!(entry.content, item.content, "{}", entry.name.as_str());
    }
}

#[test]
fn a_page_asked_for_without_content_comes_without() {
    let mut pair = paced();
    let items = (0..300).map(|at| item(&format!("{at:03}"), b"x")).collect();
    listed(&mut pair, true, items);
    pair.alice.peer.list(&path(""), Generation(1), 2).unwrap();
    pair.settle();
    let Some(Event::ListPage { page: 2, entries, .. }) = pair.alice.seen.last() else {
        panic!("{:?}", pair.alice.seen.last())
    };
    assert!(entries.iter().all(|entry| entry.content.is_none()));
}

#[test]
fn a_generation_holds_so_much_content_and_no_more() {
    let mut pair = Pair::open_with(|config| {
        config.capabilities = config.capabilities.with(Capability::Inline);
        config.max_list_content = 2500;
    });
    let items = ["a", "b", "c"].map(|name| item(name, &content(1000)));
    let found = listed(&mut pair, true, items.into());
    let with: Vec<_> = found.iter().map(|entry| entry.content.is_some()).collect();
    assert_eq!(with, [true, true, false]);
}

#[test]
fn content_that_breaks_a_rule_is_a_violation() {
    let hash = Some(digest(b"12345"));
    let cases: [(bool, u64, Option<Hash>, bool); 4] =
        [(true, 5, hash, true), (true, 4, hash, false), (true, 5, None, false), (false, 5, hash, false)];
    for (wanted, size, root, is_fine) in cases {
        let mut pair = paced();
        let peer = &mut pair.alice.peer;
        let folder = path("");
        let asked = if wanted {
            peer.list_with_content(&folder, Generation(0), 1)
        } else {
            peer.list(&folder, Generation(0), 1)
        };
        let entries = [Entry {
            number: 1,
            kind: EntryKind::File,
            size,
            mtime: 0,
            root,
            inline: Some(Blob::new(b"12345").unwrap()),
            name: SafeNameRef::new("five").unwrap(),
        }];
        let page = ListPage {
            request: asked.unwrap_or(RequestId(0)),
            generation: Generation(1),
            page: 1,
            pages: 1,
            total: 1,
            path: SafeRelPathRef::ROOT,
            entries: List::new(&entries),
        };
        peer.handle_input(&page.to_bytes(), START);
        let event = peer.poll_event().unwrap();
        if is_fine {
            assert!(matches!(event, Event::ListPage { .. }), "{event:?}");
            continue;
        }
        let last = core::iter::from_fn(|| peer.poll_event()).last();
        let broken =
            matches!(last, Some(Event::Closed { reason: Closed::Violation(Violation::List { .. }) }));
        assert!(broken, "{wanted} {size} {root:?}: {last:?}");
    }
}
