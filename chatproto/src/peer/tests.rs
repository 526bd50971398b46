//! What cannot be reached from outside in a test's time, and the tables.

use bytes::Buf as _;

use super::state::Step;
use super::unit::Units;
use super::{Config, Event, FetchError, Introduction, Peer, Resume, State};
use crate::Instant;
use crate::wire::{
    Body as _, Capabilities, DeviceId, ErrorCode, FileCancel, Hash, LinkTicket, LinkWelcome, Name, Note,
    OfferId, Purpose, Source, TransferId,
};

const NOW: Instant = Instant::from_millis(0);

#[test]
fn every_step_from_every_state_is_drawn_or_changes_nothing() {
    use State::{Admitting, AwaitHello, AwaitWelcome, Closed, Open};
    for state in [AwaitHello, AwaitWelcome, Admitting, Open, Closed] {
        assert_eq!(state.after(Step::Ended), Closed);
        let drawn = |step| match (state, step) {
            (AwaitHello, Step::HelloCame) => Admitting,
            (Admitting, Step::Admitted) | (AwaitWelcome, Step::Welcomed) => Open,
            _ => state,
        };
        for step in [Step::HelloCame, Step::Admitted, Step::Welcomed] {
            assert_eq!(state.after(step), drawn(step), "{state:?} {step:?}");
        }
    }
}

#[test]
fn units_cover_a_file_without_gap_or_overlap() {
    for size in [0, 1, 1023, 1024, 1025, 3 * 1024 + 1] {
        let units = Units::new(size, 10);
        let mut end = 0;
        for unit in 0..units.count() {
            let range = units.range(unit);
            assert_eq!(range.start, end);
            assert_eq!(units.at(range.start), unit);
            assert!(range.start < range.end);
            end = range.end;
        }
        assert_eq!(end, size);
        assert!(units.range(units.count()).is_empty());
    }
    let giant = Units::new(u64::MAX, 20);
    assert_eq!(giant.range(giant.count() - 1).end, u64::MAX);
    assert!(giant.range(u64::MAX).is_empty());
}

#[test]
fn numbers_for_transfers_are_used_up_cleanly() {
    let mut peer = open();
    peer.downloads.skip_to(u32::MAX);
    let source = Source::Root(Hash([1; 32]));
    let last = peer.fetch(source, Resume::default()).unwrap();
    assert_eq!(last, TransferId(u32::MAX));
    assert_eq!(peer.fetch(source, Resume::default()), Err(FetchError::UsedUp));
    let code = ErrorCode::Busy;
    for _ in 0..2 {
        peer.handle_input(&FileCancel { transfer: last, code }.to_bytes(), NOW);
    }
    assert_eq!(peer.poll_event(), Some(Event::FileFailed { transfer: last, code, local: false }));
    assert_eq!(peer.poll_event(), None, "late frames about the last number are ignored like others");
}

/// A peer that has dialled and was welcomed.
fn open() -> Peer {
    let config = Config::new(Name::new("alice").unwrap(), DeviceId([1; 16]), Note::new("").unwrap());
    let introduction = Introduction {
        offer: OfferId(1),
        ticket: LinkTicket([1; 32]),
        purpose: Purpose::Files,
        peer: Name::new("bob").unwrap(),
        device: DeviceId([2; 16]),
    };
    let mut peer = Peer::dial(config, introduction.clone(), NOW);
    let welcome = LinkWelcome {
        version: 1,
        capabilities: Capabilities::NONE,
        max_frame: 65_536,
        user: introduction.peer.borrow(),
        device: introduction.device,
        agent: Note::new("").unwrap().borrow(),
    }
    .to_bytes();
    peer.handle_input(&welcome, NOW);
    assert!(matches!(peer.poll_event(), Some(Event::Open { .. })));
    let queued = peer.outgoing().remaining();
    peer.outgoing().advance(queued);
    peer
}
