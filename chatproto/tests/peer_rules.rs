//! What the other end must not do: every frame in every state, and every rule of a transfer.
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

use bytes::Buf as _;
use bytes::Bytes;
use chatproto::peer::{
    Closed, Event, FileInfo, ListFault, Peer, Resume, State, TransferFault, UnitData, UnitError, Violation,
};
use chatproto::wire::{
    Body, Bye, Capabilities, Capability, CloseReason, Error, ErrorCode, FileCancel, FileData, FileDone,
    FileEnd, FileHead, FilePause, FileQueued, FileRate, FileRequest, FileResume, FileUnit, FileValues,
    FrameError, FrameType, Generation, HEADER_LEN, LinkHello, LinkSaid, LinkSay, LinkTicket, LinkWelcome,
    List, ListFolder, ListPage, MAGIC, NameRef, NoteRef, OfferId, Ping, Pong, Purpose, RawFrame, RequestId,
    Rest, SafeRelPathRef, Source, Text, TextRef, ToPeer, TransferId, UnitRequest,
};
use peer_pair::{ALICE, BOB, START, TICKET, config, digest, introduction, path, take};

const STATES: [State; 5] =
    [State::AwaitHello, State::AwaitWelcome, State::Admitting, State::Open, State::Closed];

fn hello() -> LinkHello<'static> {
    LinkHello {
        magic: MAGIC,
        version_min: 1,
        version_max: 3,
        capabilities: Capabilities::NONE,
        max_frame: 65_536,
        offer: OfferId(7),
        ticket: TICKET,
        user: NameRef::new("alice").unwrap(),
        device: ALICE,
        purpose: Purpose::Files,
        agent: NoteRef::EMPTY,
    }
}

fn welcome() -> LinkWelcome<'static> {
    LinkWelcome {
        version: 1,
        capabilities: Capabilities::NONE.with(Capability::Resume),
        max_frame: 65_536,
        user: NameRef::new("bob").unwrap(),
        device: BOB,
        agent: NoteRef::EMPTY,
    }
}

fn head(transfer: u32, size: u64) -> FileHead<'static> {
    FileHead {
        transfer: TransferId(transfer),
        size,
        mtime: 0,
        unit_log2: 10,
        offset: 0,
        root: None,
        path: SafeRelPathRef::ROOT,
    }
}

fn data(offset: u64, bytes: &[u8]) -> FileData<'_> {
    FileData { transfer: TransferId(1), offset, data: Rest(bytes) }
}

fn request(transfer: u32) -> FileRequest {
    let source = Source::Root(digest(b"some file"));
    FileRequest { transfer: TransferId(transfer), source, unit_log2: 10, offset: 0, held: None }
}

fn unit_request(transfer: u32) -> UnitRequest {
    let root = digest(b"some file");
    UnitRequest { transfer: TransferId(transfer), root, unit_log2: 10, first: 0, count: 1, flags: 0 }
}

fn page(request: u32) -> ListPage<'static> {
    ListPage {
        request: RequestId(request),
        generation: Generation(1),
        page: 1,
        pages: 1,
        total: 0,
        path: SafeRelPathRef::ROOT,
        entries: List::new(&[]),
    }
}

fn list(request: u32, generation: u32, page: u32) -> ListFolder<'static> {
    ListFolder {
        request: RequestId(request),
        generation: Generation(generation),
        page,
        flags: 0,
        path: SafeRelPathRef::ROOT,
    }
}

/// One frame of each type.
fn samples() -> Vec<(FrameType, Bytes)> {
    let transfer = TransferId(1);
    let text = TextRef::new("hi").unwrap();
    let (code, note) = (ErrorCode::Busy, NoteRef::EMPTY);
    vec![
        (FrameType::Ping, Ping { nonce: 3 }.to_bytes()),
        (FrameType::Pong, Pong { nonce: 3 }.to_bytes()),
        (FrameType::Bye, Bye { reason: CloseReason::Done, retry_after: 0, note }.to_bytes()),
        (FrameType::Error, Error { code, about: 0, request: 0, retry_after: 0, note }.to_bytes()),
        (FrameType::LinkHello, hello().to_bytes()),
        (FrameType::LinkWelcome, welcome().to_bytes()),
        (FrameType::LinkSay, LinkSay { counter: 1, text }.to_bytes()),
        (FrameType::LinkSaid, LinkSaid { counter: 1 }.to_bytes()),
        (FrameType::List, list(1, 0, 1).to_bytes()),
        (FrameType::ListPage, page(1).to_bytes()),
        (FrameType::FileRequest, request(1).to_bytes()),
        (FrameType::FileHead, head(1, 5).to_bytes()),
        (FrameType::FileData, data(0, b"hello").to_bytes()),
        (FrameType::FileUnit, FileUnit { transfer, unit: 0, value: digest(b"hello") }.to_bytes()),
        (FrameType::FileEnd, FileEnd { transfer, root: digest(b"hello") }.to_bytes()),
        (FrameType::FileCancel, FileCancel { transfer, code }.to_bytes()),
        (FrameType::FileQueued, FileQueued { transfer, position: 1 }.to_bytes()),
        (FrameType::FileDone, FileDone { transfer }.to_bytes()),
        (FrameType::FilePause, FilePause { transfer }.to_bytes()),
        (FrameType::FileResume, FileResume { transfer }.to_bytes()),
        (FrameType::FileRate, FileRate { bytes_per_second: 1 }.to_bytes()),
        (FrameType::UnitRequest, unit_request(1).to_bytes()),
        (FrameType::FileValues, FileValues { transfer, first: 0, values: Rest(&[7; 32]) }.to_bytes()),
    ]
}

/// A peer in this state, with nothing queued and no event waiting. Open ones have dialled.
fn peer_in(state: State) -> Peer {
    let mut peer = match state {
        State::AwaitHello | State::Admitting => Peer::listen(config("bob", BOB), START),
        State::AwaitWelcome | State::Open | State::Closed => {
            Peer::dial(config("alice", ALICE), introduction(), START)
        }
    };
    match state {
        State::AwaitHello | State::AwaitWelcome => {}
        State::Admitting => peer.handle_input(&hello().to_bytes(), START),
        State::Open => peer.handle_input(&welcome().to_bytes(), START),
        State::Closed => peer.close(CloseReason::Done, START),
    }
    assert_eq!(peer.state(), state);
    quiet(&mut peer);
    peer
}

/// An open peer that has asked for a file in units of 1 KiB: transfer 1.
fn fetching() -> Peer {
    let mut peer = peer_in(State::Open);
    peer.fetch(Source::Root(digest(b"hello")), Resume::whole(10)).unwrap();
    quiet(&mut peer);
    peer
}

/// An open peer that was dialled: the other end's transfers are odd.
fn dialled() -> Peer {
    let mut peer = peer_in(State::Admitting);
    peer.admit(START).unwrap();
    quiet(&mut peer);
    peer
}

fn quiet(peer: &mut Peer) -> Vec<Event> {
    take(peer, usize::MAX);
    core::iter::from_fn(|| peer.poll_event()).collect()
}

fn feed<'a>(peer: &mut Peer, frame: &impl Body<'a>) {
    peer.handle_input(&frame.to_bytes(), START);
}

fn events(peer: &mut Peer) -> Vec<Event> {
    core::iter::from_fn(|| peer.poll_event()).collect()
}

/// The rule that the other end has broken, if it has. Checks that it is told so, and hung up on.
fn broken(peer: &mut Peer) -> Option<Violation> {
    let last = events(peer).pop();
    let Some(Event::Closed { reason: Closed::Violation(violation) }) = last else { return None };
    let sent = take(peer, usize::MAX);
    let frames = frames(&sent);
    let [.., error, bye] = &frames[..] else { panic!("no error and bye: {frames:?}") };
    let ToPeer::Error(error) = error else { panic!("{error:?}") };
    assert_eq!((error.code, error.about), (violation.code(), violation.about()));
    let text = violation.to_string();
    assert_eq!(error.note.as_str(), &text[..text.len().min(255)]);
    assert!(matches!(bye, ToPeer::Bye(Bye { reason, .. }) if *reason == violation.close_reason()), "{bye:?}");
    assert!(peer.is_finished());
    Some(violation)
}

fn frames(mut bytes: &[u8]) -> Vec<ToPeer<'_>> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (mut header, rest) = bytes.split_at(HEADER_LEN);
        let len = header.get_u32() as usize - 1;
        let (body, rest) = rest.split_at(len);
        frames.push(ToPeer::decode(RawFrame { number: header[0], body }).unwrap().unwrap());
        bytes = rest;
    }
    frames
}

#[test]
fn every_frame_has_an_answer_in_every_state() {
    let samples = samples();
    assert_eq!(samples.iter().map(|sample| sample.0).collect::<Vec<_>>(), ToPeer::TYPES);
    for state in STATES {
        for (frame, bytes) in &samples {
            let mut peer = peer_in(state);
            peer.handle_input(bytes, START);
            if state == State::Closed {
                assert_eq!((peer.poll_event(), peer.outgoing().len()), (None, 0), "{frame} after the end");
                continue;
            }
            let allowed = match frame {
                FrameType::Ping | FrameType::Pong | FrameType::Bye | FrameType::Error => true,
                FrameType::LinkHello => state == State::AwaitHello,
                FrameType::LinkWelcome => state == State::AwaitWelcome,
                _ => state == State::Open,
            };
            let found = broken(&mut peer);
            let wrong = Violation::WrongState { frame: *frame, state };
            assert_eq!(found != Some(wrong), allowed, "{frame} while {state}: {found:?}");
            assert_eq!(wrong.to_string(), format!("`{frame}` is not allowed while {state}"));
        }
    }
}

#[test]
fn pings_are_answered_in_every_state() {
    for state in [State::AwaitHello, State::AwaitWelcome, State::Admitting, State::Open] {
        let mut peer = peer_in(state);
        feed(&mut peer, &Ping { nonce: 77 });
        assert_eq!(frames(&take(&mut peer, usize::MAX)), [ToPeer::Pong(Pong { nonce: 77 })], "{state}");
    }
}

#[test]
fn a_frame_that_has_begun_is_finished_before_the_last_one() {
    let mut peer = peer_in(State::Open);
    let said = Text::new("said").unwrap();
    peer.say(&said).unwrap();
    let begun = take(&mut peer, HEADER_LEN + 2);
    feed(&mut peer, &Bye { reason: CloseReason::Done, retry_after: 0, note: NoteRef::EMPTY });
    assert_eq!(peer.state(), State::Closed);
    let sent = [begun, take(&mut peer, usize::MAX)].concat();
    let frames = frames(&sent);
    assert!(
        matches!(&frames[..], [ToPeer::LinkSay(say), ToPeer::Bye(_)] if say.text.as_str() == said.as_str()),
        "{frames:?}"
    );
    assert!(peer.is_finished());
}

#[test]
fn unknown_frames_are_skipped_only_with_the_ignorable_bit() {
    let mut peer = peer_in(State::Open);
    peer.handle_input(&[0, 0, 0, 3, 0x9a, 1, 2], START);
    assert_eq!(events(&mut peer), []);
    peer.handle_input(&[0, 0, 0, 1, 0x7e], START);
    assert_eq!(broken(&mut peer), Some(Violation::Frame(FrameError::Unknown(0x7e))));
}

#[test]
fn bytes_that_are_no_frames_end_the_link() {
    let mut peer = peer_in(State::Open);
    peer.handle_input(&[0, 0, 0, 0], START);
    assert_eq!(broken(&mut peer), Some(Violation::Frame(FrameError::NoType)));

    let mut stranger = peer_in(State::AwaitHello);
    stranger.handle_input(b"GET / HTTP/1.1\r\n", START);
    let violation = broken(&mut stranger).unwrap();
    assert!(violation.to_string().contains("speaks HTTP"), "{violation}");

    let mut peer = peer_in(State::Open);
    peer.handle_input(&[0, 0, 0, 2, FrameType::Ping.number(), 0], START);
    let violation = broken(&mut peer).unwrap();
    assert_eq!(violation.to_string(), "malformed `ping`: the frame ends inside `nonce`");
}

#[test]
fn hellos_are_negotiated() {
    let cases = [
        (LinkHello { magic: *b"chap", ..hello() }, Violation::Magic),
        (LinkHello { version_min: 2, ..hello() }, Violation::Version { min: 2, max: 3 }),
        (LinkHello { version_min: 0, version_max: 0, ..hello() }, Violation::Version { min: 0, max: 0 }),
        (
            LinkHello { max_frame: 16_383, ..hello() },
            Violation::FrameLimit { frame: FrameType::LinkHello, max: 16_383 },
        ),
    ];
    for (hello, expected) in cases {
        let mut peer = peer_in(State::AwaitHello);
        feed(&mut peer, &hello);
        assert_eq!(broken(&mut peer), Some(expected));
    }
    for (welcome, expected) in [
        (LinkWelcome { version: 2, ..welcome() }, Violation::Chosen { version: 2 }),
        (
            LinkWelcome { max_frame: 0, ..welcome() },
            Violation::FrameLimit { frame: FrameType::LinkWelcome, max: 0 },
        ),
    ] {
        let mut peer = peer_in(State::AwaitWelcome);
        feed(&mut peer, &welcome);
        assert_eq!(broken(&mut peer), Some(expected));
    }
    let mut peer = peer_in(State::AwaitHello);
    feed(&mut peer, &LinkHello { ticket: LinkTicket([1; 32]), ..hello() });
    assert!(matches!(events(&mut peer)[..], [Event::Hello { ticket: LinkTicket([1, ..]), .. }]));
}

#[test]
fn numbers_of_what_is_said_have_no_gap() {
    let text = TextRef::new("hi").unwrap();
    for counter in [0, 2] {
        let mut peer = peer_in(State::Open);
        feed(&mut peer, &LinkSay { counter, text });
        let expected = Violation::Counter { frame: FrameType::LinkSay, expected: 1, found: counter };
        assert_eq!(broken(&mut peer), Some(expected));
    }
    for counter in [0, 2] {
        let mut peer = peer_in(State::Open);
        peer.say(&Text::new("hi").unwrap()).unwrap();
        feed(&mut peer, &LinkSaid { counter });
        let expected = Violation::Acknowledgement { found: counter, before: 0, last: 1 };
        assert_eq!(broken(&mut peer), Some(expected));
    }
}

#[test]
fn pages_answer_what_was_asked_and_nothing_else() {
    let fault = |fault| Some(Violation::List { frame: FrameType::ListPage, request: RequestId(1), fault });
    let elsewhere = path("elsewhere");
    let cases = [
        (ListPage { path: elsewhere.borrow(), ..page(1) }, ListFault::Differs { field: "path" }),
        (ListPage { page: 2, pages: 2, ..page(1) }, ListFault::Differs { field: "page" }),
        (ListPage { generation: Generation(0), ..page(1) }, ListFault::OutOfRange { field: "generation" }),
        (ListPage { pages: 0, ..page(1) }, ListFault::OutOfRange { field: "pages" }),
    ];
    for (page, expected) in cases {
        let mut peer = peer_in(State::Open);
        peer.list(&path(""), Generation(0), 1).unwrap();
        feed(&mut peer, &page);
        assert_eq!(broken(&mut peer), fault(expected));
    }
    let mut peer = peer_in(State::Open);
    peer.list(&path(""), Generation(5), 1).unwrap();
    feed(&mut peer, &page(1));
    assert_eq!(broken(&mut peer), fault(ListFault::Differs { field: "generation" }));

    let mut peer = peer_in(State::Open);
    feed(&mut peer, &page(1));
    assert_eq!(broken(&mut peer), fault(ListFault::NotAsked));
}

#[test]
fn a_list_request_in_use_is_not_used_again() {
    let mut peer = peer_in(State::Open);
    feed(&mut peer, &list(4, 0, 1));
    feed(&mut peer, &list(4, 0, 1));
    let fault = ListFault::InUse;
    assert_eq!(
        broken(&mut peer),
        Some(Violation::List { frame: FrameType::List, request: RequestId(4), fault })
    );
}

#[test]
fn transfers_are_numbered_by_side_and_rising() {
    for (numbers, expected) in [
        (&[2][..], TransferFault::WrongParity),
        (&[0], TransferFault::WrongParity),
        (&[1, 1], TransferFault::NotRising { last: 1 }),
        (&[5, 3], TransferFault::NotRising { last: 5 }),
    ] {
        let mut peer = dialled();
        for &number in numbers {
            feed(&mut peer, &request(number));
        }
        let transfer = TransferId(*numbers.last().unwrap());
        let fault = Violation::Transfer { frame: FrameType::FileRequest, transfer, fault: expected };
        assert_eq!(broken(&mut peer), Some(fault));
    }
    let mut dialling = peer_in(State::Open);
    feed(&mut dialling, &request(0));
    assert!(broken(&mut dialling).is_some(), "0 is no number, even though it is even");
}

#[test]
fn requests_keep_to_units() {
    let held = Some(digest(b"held"));
    for (bad, expected) in [
        (FileRequest { unit_log2: 9, ..request(1) }, TransferFault::UnitSize { log2: 9 }),
        (FileRequest { unit_log2: 64, ..request(1) }, TransferFault::UnitSize { log2: 64 }),
        (FileRequest { offset: 1, held, ..request(1) }, TransferFault::OffsetInUnit { offset: 1 }),
        (FileRequest { offset: 1024, ..request(1) }, TransferFault::Held),
        (FileRequest { held, ..request(1) }, TransferFault::Held),
    ] {
        let mut peer = dialled();
        feed(&mut peer, &bad);
        let violation = broken(&mut peer).unwrap();
        assert!(matches!(violation, Violation::Transfer { fault, .. } if fault == expected), "{violation}");
    }
}

#[test]
fn a_head_repeats_what_was_asked() {
    for (bad, expected) in [
        (FileHead { unit_log2: 11, ..head(1, 5) }, TransferFault::Differs { field: "unit" }),
        (FileHead { offset: 1024, ..head(1, 5000) }, TransferFault::Differs { field: "offset" }),
    ] {
        let mut peer = fetching();
        feed(&mut peer, &bad);
        let violation = broken(&mut peer).unwrap();
        assert!(matches!(violation, Violation::Transfer { fault, .. } if fault == expected), "{violation}");
    }
    let mut peer = peer_in(State::Open);
    let at = Resume { unit_log2: 10, offset: 2048, held: Some(digest(b"")) };
    peer.fetch(Source::Root(digest(b"hello")), at).unwrap();
    feed(&mut peer, &FileHead { offset: 2048, ..head(1, 2047) });
    let violation = broken(&mut peer).unwrap();
    assert!(violation.to_string().ends_with("offset 2048 is past the size of 2047 bytes"), "{violation}");
}

/// What a sender might do to a transfer of 1,500 bytes in units of 1 KiB.
#[derive(Debug, Clone, Copy)]
enum Do {
    Head,
    Data(u64, usize),
    Unit(u64),
    End,
}

#[test]
fn data_comes_in_order_and_unit_by_unit() {
    use Do::{Data, End, Head, Unit};
    use TransferFault as F;
    let cases: &[(&[Do], F)] = &[
        (&[Data(0, 10)], F::WrongStage { when: "before the head" }),
        (&[Unit(0)], F::WrongStage { when: "before the head" }),
        (&[End], F::WrongStage { when: "before the head" }),
        (&[Head, Head], F::WrongStage { when: "after the head" }),
        (&[Head, Data(1, 10)], F::Offset { expected: 0, found: 1 }),
        (&[Head, Data(0, 10), Data(0, 10)], F::Offset { expected: 10, found: 0 }),
        (&[Head, Data(0, 0)], F::Empty),
        (&[Head, Data(0, 1025)], F::PastUnit { end: 1024 }),
        (&[Head, Data(0, 1024), Data(1024, 1)], F::PastUnit { end: 1024 }),
        (&[Head, Data(0, 1024), Unit(0), Data(1024, 477)], F::PastUnit { end: 1500 }),
        (&[Head, Data(0, 1023), Unit(0)], F::Early { missing: 1 }),
        (&[Head, Data(0, 1024), Unit(1)], F::Unit { expected: 0, found: 1 }),
        (&[Head, Data(0, 1024), Unit(0), Unit(0)], F::Unit { expected: 1, found: 0 }),
        (&[Head, Data(0, 1024), Unit(0), End], F::Early { missing: 476 }),
        (
            &[Head, Data(0, 1024), Unit(0), Data(1024, 476), End],
            F::WrongStage { when: "before the value of the last unit" },
        ),
        (
            &[Head, Data(0, 1024), Unit(0), Data(1024, 476), Unit(1), Unit(2)],
            F::Unit { expected: 2, found: 2 },
        ),
        (
            &[Head, Data(0, 1024), Unit(0), Data(1024, 476), Unit(1), End, End],
            F::WrongStage { when: "after the end" },
        ),
        (
            &[Head, Data(0, 1024), Unit(0), Data(1024, 476), Unit(1), End, Data(1500, 1)],
            F::WrongStage { when: "after the end" },
        ),
    ];
    let (transfer, value) = (TransferId(1), digest(b""));
    for (steps, expected) in cases {
        let mut peer = fetching();
        let (last, good) = steps.split_last().unwrap();
        let step = |peer: &mut Peer, step: &Do| match *step {
            Head => feed(peer, &head(1, 1500)),
            Data(offset, len) => feed(peer, &data(offset, &vec![0; len])),
            Unit(unit) => feed(peer, &FileUnit { transfer, unit, value }),
            End => feed(peer, &FileEnd { transfer, root: digest(b"hello") }),
        };
        good.iter().for_each(|good| step(&mut peer, good));
        assert_eq!(peer.state(), State::Open, "{good:?}");
        step(&mut peer, last);
        let violation = broken(&mut peer).unwrap_or_else(|| panic!("{steps:?} was accepted"));
        assert!(
            matches!(violation, Violation::Transfer { transfer: TransferId(1), fault, .. } if fault == *expected),
            "{steps:?}: {violation}"
        );
    }
}

#[test]
fn an_empty_file_has_no_unit() {
    let mut peer = fetching();
    feed(&mut peer, &head(1, 0));
    feed(&mut peer, &FileUnit { transfer: TransferId(1), unit: 0, value: digest(b"") });
    assert!(broken(&mut peer).is_some());
}

#[test]
fn the_last_offsets_of_a_giant_file_do_not_overflow() {
    let mut peer = peer_in(State::Open);
    let offset = u64::MAX - 1023;
    let at = Resume { unit_log2: 10, offset, held: Some(digest(b"")) };
    let transfer = peer.fetch(Source::Number { generation: Generation(1), number: 1 }, at).unwrap();
    feed(&mut peer, &FileHead { offset, ..head(1, u64::MAX) });
    feed(&mut peer, &FileData { transfer, offset, data: Rest(&[0; 1023]) });
    let unit = u64::MAX >> 10;
    feed(&mut peer, &FileUnit { transfer, unit, value: digest(b"") });
    let root = digest(b"root");
    feed(&mut peer, &FileEnd { transfer, root });
    peer.unit_stored(transfer, unit, digest(b"")).unwrap();
    assert_eq!(events(&mut peer).last(), Some(&Event::FileComplete { transfer, root, size: u64::MAX }));
}

#[test]
fn transfers_nobody_asked_for_are_refused() {
    let transfer = TransferId(3);
    for frame in [
        head(3, 1).to_bytes(),
        FileData { transfer, offset: 0, data: Rest(b"x") }.to_bytes(),
        FileUnit { transfer, unit: 0, value: digest(b"") }.to_bytes(),
        FileEnd { transfer, root: digest(b"") }.to_bytes(),
        FileQueued { transfer, position: 1 }.to_bytes(),
        FileDone { transfer: TransferId(2) }.to_bytes(),
        FileCancel { transfer, code: ErrorCode::Busy }.to_bytes(),
        FileCancel { transfer: TransferId(2), code: ErrorCode::Busy }.to_bytes(),
        FilePause { transfer }.to_bytes(),
        FileResume { transfer: TransferId(2) }.to_bytes(),
    ] {
        let mut peer = fetching();
        peer.handle_input(&frame, START);
        let violation = broken(&mut peer).unwrap();
        let never = matches!(violation, Violation::Transfer { fault: TransferFault::NeverAsked, .. });
        assert!(never, "{violation}");
    }
}

#[test]
fn a_file_is_not_done_before_its_end() {
    let mut peer = dialled();
    let transfer = TransferId(1);
    feed(&mut peer, &request(1));
    peer.send_file(transfer, FileInfo { size: 5, mtime: 0, root: None }).unwrap();
    feed(&mut peer, &FileDone { transfer });
    let violation = broken(&mut peer).unwrap();
    assert_eq!(violation.to_string(), "`file_done` for transfer 1: not allowed before the end");
}

#[test]
fn units_from_the_program_are_checked_and_nothing_changes_on_error() {
    let mut peer = dialled();
    let transfer = TransferId(1);
    feed(&mut peer, &request(1));
    let unit = |unit, bytes: &'static [u8], root| UnitData {
        unit,
        bytes: Bytes::from_static(bytes),
        value: digest(bytes),
        root,
    };
    assert_eq!(peer.provide_unit(transfer, unit(0, b"hello", None)), Err(UnitError::NotSending(transfer)));
    peer.send_file(transfer, FileInfo { size: 5, mtime: 0, root: None }).unwrap();
    let early = peer.provide_unit(transfer, unit(0, b"hello", None));
    assert_eq!(early, Err(UnitError::NotNext { transfer, unit: 0 }), "it was not wanted yet");
    quiet(&mut peer);
    let short = peer.provide_unit(transfer, unit(0, b"hell", None));
    assert_eq!(short, Err(UnitError::Length { unit: 0, expected: 5, found: 4 }));
    assert_eq!(
        peer.provide_unit(transfer, unit(1, b"hello", None)),
        Err(UnitError::NotNext { transfer, unit: 1 })
    );
    assert_eq!(peer.provide_unit(transfer, unit(0, b"hello", None)), Err(UnitError::NoRoot));
    assert_eq!(peer.outgoing().len(), 0);
    peer.provide_unit(transfer, unit(0, b"hello", Some(digest(b"hello")))).unwrap();
    let sent = take(&mut peer, usize::MAX);
    assert!(matches!(frames(&sent)[..], [ToPeer::FileData(_), ToPeer::FileUnit(_), ToPeer::FileEnd(_)]));
    feed(&mut peer, &FileDone { transfer });
    assert_eq!(events(&mut peer).last(), Some(&Event::FileSent { transfer }));
}

#[test]
fn a_promised_root_must_be_kept_by_the_program() {
    let mut peer = dialled();
    let transfer = TransferId(1);
    feed(&mut peer, &request(1));
    peer.send_file(transfer, FileInfo { size: 5, mtime: 0, root: Some(digest(b"before")) }).unwrap();
    quiet(&mut peer);
    let bytes = Bytes::from_static(b"after");
    let changed = UnitData { unit: 0, value: digest(&bytes), root: Some(digest(&bytes)), bytes };
    assert_eq!(peer.provide_unit(transfer, changed), Err(UnitError::OtherRoot));
    peer.cancel(transfer, ErrorCode::Changed).unwrap();
    let sent = take(&mut peer, usize::MAX);
    assert_eq!(frames(&sent), [ToPeer::FileCancel(FileCancel { transfer, code: ErrorCode::Changed })]);
}
