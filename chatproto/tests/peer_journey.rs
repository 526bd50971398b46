//! What two ends of a link are for: finding each other, listing, fetching, talking.
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

use chatproto::peer::{Closed, Event, FetchError, ListError, Resume, State, Violation};
use chatproto::wire::{
    Body as _, Capabilities, CloseReason, DeviceId, EntryKind, ErrorCode, FileCancel, FileRequest,
    Generation, Name, Note, Purpose, Source, Text, TransferId,
};
use peer_pair::{ALICE, BOB, Pair, START, config, content, digest, path};

#[test]
fn both_ends_open_and_know_each_other() {
    let pair = Pair::open();
    let opened = |name: &str, device| Event::Open {
        user: Name::new(name).unwrap(),
        device,
        purpose: Purpose::Files,
        agent: Note::new("test 1.0").unwrap(),
        capabilities: config(name, device).capabilities,
    };
    assert_eq!(pair.alice.seen, [opened("bob", BOB)]);
    assert!(
        matches!(&pair.bob.seen[0], Event::Hello { user, device: ALICE, .. } if user.as_str() == "alice")
    );
    assert_eq!(pair.bob.seen[1..], [opened("alice", ALICE)]);
    assert_eq!((pair.alice.peer.state(), pair.bob.peer.state()), (State::Open, State::Open));
}

#[test]
fn nothing_can_be_asked_before_the_link_stands() {
    let mut pair = Pair::new(config("alice", ALICE), config("bob", BOB));
    let alice = &mut pair.alice.peer;
    assert_eq!(alice.list(&path(""), Generation(0), 1), Err(ListError::NotOpen(State::AwaitWelcome)));
    let source = Source::Root(digest(b"x"));
    assert_eq!(alice.fetch(source, Resume::default()), Err(FetchError::NotOpen(State::AwaitWelcome)));
    let refused = alice.say(&Text::new("hi").unwrap()).unwrap_err();
    assert_eq!(refused.to_string(), "nothing can be said: waiting for the welcome");
    assert!(pair.bob.peer.admit(START).is_err(), "there is no hello to admit yet");
    pair.settle();
    assert_eq!(pair.alice.peer.state(), State::Open);
    assert!(pair.bob.peer.admit(START).is_err(), "it was admitted already");
}

#[test]
fn a_refused_ticket_is_told_to_the_dialling_end() {
    let mut pair = Pair::new(config("alice", ALICE), config("bob", BOB));
    pair.bob.automatic = false;
    pair.settle();
    pair.bob.peer.refuse(ErrorCode::BadTicket, START).unwrap();
    pair.settle();
    let note = Note::new("").unwrap();
    let reason = Closed::Bye { reason: CloseReason::BadTicket, code: Some(ErrorCode::BadTicket), note };
    assert_eq!(pair.alice.seen, [Event::Closed { reason }]);
    assert_eq!(pair.bob.seen.last(), Some(&Event::Closed { reason: Closed::Local }));
    assert!(pair.alice.peer.is_finished() && pair.bob.peer.is_finished());
}

#[test]
fn somebody_else_than_introduced_is_hung_up_on() {
    for (name, device) in [("mallory", BOB), ("bob", DeviceId([3; 16]))] {
        let mut pair = Pair::new(config("alice", ALICE), config(name, device));
        pair.settle();
        assert_eq!(pair.alice.seen, [Event::Closed { reason: Closed::Violation(Violation::WrongPeer) }]);
        let Some(Event::Closed { reason: Closed::Bye { reason, code, note } }) = pair.bob.seen.last() else {
            panic!("bob was not told: {:?}", pair.bob.seen);
        };
        assert_eq!((*reason, *code), (CloseReason::Violation, Some(ErrorCode::BadTicket)));
        assert_eq!(note.as_str(), "the link was answered by somebody else than was introduced");
    }
}

#[test]
fn what_is_said_arrives_in_order_and_is_acknowledged() {
    let mut pair = Pair::open();
    for text in ["one", "two"] {
        pair.alice.peer.say(&Text::new(text).unwrap()).unwrap();
    }
    assert_eq!(pair.bob.peer.say(&Text::new("hey").unwrap()), Ok(1));
    pair.settle();
    let said = |counter, text| Event::Said { counter, text: Text::new(text).unwrap() };
    assert_eq!(pair.bob.seen[2..4], [said(1, "one"), said(2, "two")]);
    assert!(pair.alice.has(&said(1, "hey")));
    for counter in [1, 2] {
        assert!(pair.alice.has(&Event::SayReceived { counter }));
    }
    assert!(pair.bob.has(&Event::SayReceived { counter: 1 }));
}

#[test]
fn lists_are_numbered_over_all_pages_and_show_folders() {
    let mut pair = Pair::open_with(|config| config.page_entries = 3);
    for name in ["a", "b", "c", "d", "e", "f"] {
        pair.bob.share(name, content(10));
    }
    pair.bob.share("docs/inner", content(1));
    let generation = pair.list("");
    for page in 2..=3 {
        pair.alice.peer.list(&path(""), generation, page).unwrap();
    }
    pair.settle();
    let mut names = Vec::new();
    for event in &pair.alice.seen {
        if let Event::ListPage { pages, total, entries, path, .. } = event {
            assert_eq!((*pages, *total, path.as_str()), (3, 7, ""));
            names.extend(
                entries.iter().map(|entry| (entry.number, entry.kind, entry.name.as_str().to_owned())),
            );
        }
    }
    let expected = [EntryKind::Folder, EntryKind::File, EntryKind::File, EntryKind::File, EntryKind::File];
    assert_eq!(names[0], (1, EntryKind::Folder, "docs".to_owned()));
    assert_eq!(names.iter().map(|entry| entry.0).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7]);
    assert!(names.iter().map(|entry| entry.1).zip(expected).all(|(found, expected)| found == expected));
    assert_eq!(pair.bob.seen.iter().filter(|event| matches!(event, Event::ListWanted { .. })).count(), 1);
}

#[test]
fn a_page_is_cut_to_the_frame_limit() {
    let mut pair = Pair::open_with(|config| {
        config.limits.max_frame = 16_384;
        config.page_entries = 10_000;
    });
    for number in 0..200 {
        pair.bob.share(&format!("{number:03}-{}", "n".repeat(200)), Vec::new());
    }
    pair.list("");
    let (pages, total, shown) = pair
        .alice
        .last(|event| match event {
            Event::ListPage { pages, total, entries, .. } => Some((*pages, *total, entries.len())),
            _ => None,
        })
        .unwrap();
    assert_eq!(total, 200);
    assert!(pages >= 3, "{pages} pages");
    assert!((50..100).contains(&shown), "{shown} entries");
}

#[test]
fn an_empty_folder_has_one_empty_page() {
    let mut pair = Pair::open();
    pair.list("");
    let page = pair.alice.last(|event| match event {
        Event::ListPage { page, pages, total, entries, .. } => Some((*page, *pages, *total, entries.len())),
        _ => None,
    });
    assert_eq!(page, Some((1, 1, 0, 0)));
}

#[test]
fn files_of_every_edge_size_arrive() {
    let unit = 1024;
    let sizes = [0, 1, unit - 1, unit, unit + 1, 2 * unit, 3 * unit + 1, 64_512, 64_513, 300_000];
    for unit_log2 in [10, 16, 20] {
        let mut pair = Pair::open();
        for (number, size) in (1..).zip(sizes) {
            pair.bob.share(&format!("{number:02}"), content(size));
        }
        let mut transfers = Vec::new();
        for (number, size) in (1..).zip(sizes) {
            transfers.push((pair.fetch(number, unit_log2), size));
        }
        pair.settle();
        for (transfer, size) in transfers {
            assert!(pair.alice.done.contains(&transfer), "{size} bytes in units of 2^{unit_log2}");
            assert!(
                pair.alice.received[&transfer] == content(size),
                "{size} bytes in units of 2^{unit_log2}"
            );
            assert!(pair.bob.has(&Event::FileSent { transfer }));
        }
    }
}

#[test]
fn transfers_run_both_ways_at_once_with_numbers_of_their_own() {
    let mut pair = Pair::open();
    pair.alice.share("mine", content(200_000));
    pair.bob.share("yours", content(150_000));
    let root = |bytes: usize| Source::Root(digest(&content(bytes)));
    let from_bob = pair.alice.peer.fetch(root(150_000), Resume::whole(14)).unwrap();
    let from_alice = pair.bob.peer.fetch(root(200_000), Resume::whole(14)).unwrap();
    assert_eq!((from_bob, from_alice), (TransferId(1), TransferId(2)));
    pair.settle();
    assert!(pair.alice.received[&from_bob] == content(150_000));
    assert!(pair.bob.received[&from_alice] == content(200_000));
    assert_eq!((pair.alice.done, pair.bob.done), (vec![from_bob], vec![from_alice]));
}

#[test]
fn a_transfer_goes_on_from_a_verified_unit() {
    let mut pair = Pair::open();
    pair.bob.share("f", content(5000));
    let source = Source::Root(digest(&content(5000)));
    let held = Some(digest(b"the values of the first two units"));
    let at = Resume { unit_log2: 10, offset: 2048, held };
    let transfer = pair.alice.peer.fetch(source, at).unwrap();
    pair.settle();
    assert!(
        pair.bob.seen.iter().any(
            |event| matches!(event, Event::FileWanted { offset: 2048, held: shown, .. } if *shown == held)
        )
    );
    assert!(pair.alice.received[&transfer] == content(5000)[2048..]);
    assert_eq!(pair.alice.done, [transfer]);
    let units = pair.alice.seen.iter().filter_map(|event| match event {
        Event::FileUnit { unit, .. } => Some(*unit),
        _ => None,
    });
    assert_eq!(units.collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn places_that_cannot_be_resumed_from_are_refused_at_once() {
    let mut alice = Pair::open().alice.peer;
    let source = Source::Root(digest(b""));
    let held = Some(digest(b""));
    for at in [
        Resume { unit_log2: 9, offset: 0, held: None },
        Resume { unit_log2: 21, offset: 0, held: None },
        Resume { unit_log2: 10, offset: 1000, held },
        Resume { unit_log2: 10, offset: 1024, held: None },
        Resume { unit_log2: 10, offset: 0, held },
    ] {
        assert!(matches!(alice.fetch(source, at), Err(FetchError::Resume(_))), "{at:?}");
    }
    assert_eq!(alice.outgoing().len(), 0, "nothing was sent");
}

#[test]
fn nothing_is_resumed_unless_both_ends_can() {
    let at = Resume { unit_log2: 10, offset: 1024, held: Some(digest(b"")) };
    let source = Source::Root(digest(b"f"));
    let mut pair = Pair::new(config("alice", ALICE), config("bob", BOB));
    pair.settle();
    assert!(pair.alice.peer.fetch(source, at).is_ok());
    let cannot = chatproto::peer::Config { capabilities: Capabilities::NONE, ..config("bob", BOB) };
    let mut pair = Pair::new(config("alice", ALICE), cannot);
    pair.settle();
    assert_eq!(pair.alice.peer.fetch(source, at), Err(FetchError::NoResume));
    // One that asks all the same is refused, and stays connected.
    let Resume { unit_log2, offset, held } = at;
    let request = FileRequest { transfer: TransferId(1), source, unit_log2, offset, held };
    pair.bob.peer.handle_input(&request.to_bytes(), START);
    assert!(!pair.bob.turn(), "the program is not bothered");
    let cancel = FileCancel { transfer: TransferId(1), code: ErrorCode::NotSupported };
    assert_eq!(peer_pair::take(&mut pair.bob.peer, usize::MAX), cancel.to_bytes());
}

#[test]
fn a_file_in_the_queue_shows_its_place() {
    let mut pair = Pair::open();
    pair.bob.automatic = false;
    let transfer = pair.alice.peer.fetch(Source::Root(digest(b"x")), Resume::default()).unwrap();
    pair.settle();
    for position in [2, 1] {
        pair.bob.peer.queue_file(transfer, position).unwrap();
        pair.settle();
        assert_eq!(pair.alice.seen.last(), Some(&Event::FileQueued { transfer, position }));
    }
}

#[test]
fn a_bye_ends_both_ends_once() {
    let mut pair = Pair::open();
    pair.alice.peer.close(CloseReason::Done, pair.now);
    pair.alice.peer.close(CloseReason::Done, pair.now);
    pair.settle();
    let closed = |end: &peer_pair::End| {
        end.seen.iter().filter(|event| matches!(event, Event::Closed { .. })).cloned().collect::<Vec<_>>()
    };
    assert_eq!(closed(&pair.alice), [Event::Closed { reason: Closed::Local }]);
    let note = Note::new("").unwrap();
    assert_eq!(
        closed(&pair.bob),
        [Event::Closed { reason: Closed::Bye { reason: CloseReason::Done, code: None, note } }]
    );
    assert!(pair.alice.peer.is_finished() && pair.bob.peer.is_finished());
    assert_eq!((pair.alice.peer.poll_timeout(), pair.bob.peer.poll_timeout()), (None, None));
    pair.alice.peer.handle_eof(pair.now);
    assert_eq!(pair.alice.peer.poll_event(), None);
}
