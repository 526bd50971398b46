//! A peer's attacks on the other end of a link, whose socket takes nothing.

use bytes::Bytes;
use chatproto::peer::{Event, FileInfo, Item, Resume, UnitData};
use chatproto::wire::*;

use crate::peer_pair::{BOB, Pair, config, content, digest, path};
use crate::{READ, costs_at_most, pieces};

fn bound() -> usize {
    config("bob", BOB).worst_case_bytes(READ)
}

/// Feeds bob, whose program polls and answers as `react` says, as long as he reads; nothing that he sends is taken.
fn attack(what: &str, script: &[u8], mut react: impl FnMut(&mut Pair)) {
    let mut pair = Pair::open();
    costs_at_most(what, bound(), || {
        for piece in (0..1_000).flat_map(|_| pieces(script)) {
            if !pair.bob.peer.wants_read() {
                return;
            }
            pair.bob.peer.handle_input(piece, pair.now);
            react(&mut pair);
        }
    });
}

#[test]
fn cheap_frames_that_nobody_polls() {
    attack("pings", &Ping { nonce: 1 }.to_bytes().repeat(5_000), |_| {});
    let says: Vec<u8> = (1..20_000)
        .flat_map(|counter| LinkSay { counter, text: TextRef::new("x").unwrap() }.to_bytes().to_vec())
        .collect();
    attack("words", &says, |_| {});
}

/// Everything that may be asked for at once, cancelled and asked for again, with answers that nobody reads.
#[test]
fn transfers_asked_for_and_cancelled_without_end() {
    let generation = Generation(1);
    let mut pair = Pair::open();
    pair.bob.share("a", content(4096));
    assert_eq!(pair.list(""), generation);
    let mut number = 1;
    costs_at_most("transfers cancelled at once", bound(), || {
        for _ in 0..100_000 {
            if !pair.bob.peer.wants_read() || pair.bob.peer.is_finished() {
                break;
            }
            let transfer = TransferId(number);
            number += 2;
            let source = Source::Number { generation, number: 1 };
            let request = FileRequest { transfer, source, unit_log2: MIN_UNIT_LOG2, offset: 0, held: None };
            pair.bob.peer.handle_input(&request.to_bytes(), pair.now);
            while let Some(event) = pair.bob.peer.poll_event() {
                match event {
                    Event::FileWanted { transfer, .. } => {
                        let info = FileInfo { size: 4096, mtime: 5, root: None };
                        let _ = pair.bob.peer.send_file(transfer, info);
                    }
                    Event::UnitWanted { transfer, unit, len, .. } => {
                        let bytes = Bytes::from(content(len as usize));
                        let data = UnitData { unit, value: digest(&bytes), bytes, root: None };
                        let _ = pair.bob.peer.provide_unit(transfer, data);
                    }
                    _ => {}
                }
            }
            let cancel = FileCancel { transfer, code: ErrorCode::Cancelled };
            pair.bob.peer.handle_input(&cancel.to_bytes(), pair.now);
        }
    });
}

/// Lists of a great folder, asked for as often as may be, and not read.
#[test]
fn lists_of_a_great_folder() {
    let limits = config("bob", BOB);
    let items: Vec<Item> = (0..limits.max_list_entries)
        .map(|number| Item {
            kind: EntryKind::File,
            name: SafeName::new(&format!("{number:0>200}")).unwrap(),
            size: 1,
            mtime: 1,
            root: None,
            content: None,
        })
        .collect();
    let mut request = 0;
    let mut pair = Pair::open();
    costs_at_most("lists", bound(), || {
        for _ in 0..200 {
            request += 1;
            let root = path("");
            let list = ListFolder {
                request: RequestId(request),
                generation: Generation(0),
                page: 1,
                flags: 0,
                path: root.borrow(),
            };
            pair.bob.peer.handle_input(&list.to_bytes(), pair.now);
            while let Some(event) = pair.bob.peer.poll_event() {
                if let Event::ListWanted { id, .. } = event {
                    let _ = pair.bob.peer.provide_list(id, items.clone());
                }
            }
        }
    });
}

/// Files that bob asked for come, a unit each but for its last byte, and none of it is polled or stored.
#[test]
fn transfers_to_the_limit_that_never_end() {
    let generation = Generation(1);
    let limits = config("bob", BOB);
    let mut pair = Pair::open();
    let source = |number| Source::Number { generation, number };
    let transfers: Vec<TransferId> = (1..=limits.max_transfers as u32)
        .map(|number| pair.bob.peer.fetch(source(number), Resume::whole(MAX_UNIT_LOG2)).unwrap())
        .collect();
    let data = vec![7; MAX_FILE_DATA];
    costs_at_most("units that never end", bound(), || {
        for &transfer in &transfers {
            let name = path("a");
            let (size, unit_log2, offset, root) = (1 << 40, MAX_UNIT_LOG2, 0, None);
            let head = FileHead { transfer, size, mtime: 0, unit_log2, offset, root, path: name.borrow() };
            pair.bob.peer.handle_input(&head.to_bytes(), pair.now);
        }
        for at in 0..16_u64 {
            for &transfer in &transfers {
                if pair.bob.peer.wants_read() {
                    let offset = at * MAX_FILE_DATA as u64;
                    let frame = FileData { transfer, offset, data: Rest(&data) };
                    pair.bob.peer.handle_input(&frame.to_bytes(), pair.now);
                }
            }
        }
    });
}
