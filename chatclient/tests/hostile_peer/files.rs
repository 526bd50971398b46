//! Files that lie.

use std::time::Duration;

use chatproto::wire::{
    Body as _, Capabilities, Entry, ErrorCode, FileCancel, FileData, FileRequest, FileUnit, FileValues, Hash,
    ListFolder, Rest, ToPeer, TransferId,
};

use crate::harness::{MIB, film, read};
use crate::mallory::{End, Mallory, Sending, entry, merged, page, root_of, values_of};
use crate::scene::{Scene, Victim, was_violation};

/// A unit, as a power of two: what the client asks for.
const UNIT_LOG2: u8 = 20;

/// What every file here holds, unless it lies: three units and a piece.
fn content() -> Vec<u8> {
    let mut content = film(3, 11);
    content.extend_from_slice(b"piece");
    content
}

/// The same with one byte changed in the second unit.
fn corrupted() -> Vec<u8> {
    let mut content = content();
    content[MIB + 77] ^= 0x40;
    content
}

type Lie = fn(&FileRequest) -> Vec<u8>;

fn bent(asked: &FileRequest, bend: impl FnOnce(&mut Sending)) -> Vec<u8> {
    let mut sending = Sending::answer(asked, &content());
    bend(&mut sending);
    sending.bytes()
}

/// What ends the transfer, and leaves the link alone.
const REFUTED: [(&str, Lie, &str); 7] = [
    ("a corrupted unit", |asked| bent(asked, |it| it.content = corrupted()), "verify_failed"),
    ("a wrong value", |asked| bent(asked, |it| it.values[2].0[0] ^= 1), "verify_failed"),
    ("a wrong root", |asked| bent(asked, |it| it.root.0[31] ^= 1), "verify_failed"),
    (
        "a corrupted unit with its value, and the right root",
        |asked| {
            bent(asked, |it| {
                it.content = corrupted();
                it.values = values_of(&corrupted(), UNIT_LOG2);
            })
        },
        "verify_failed",
    ),
    (
        "another root in the head than at the end",
        |asked| bent(asked, |it| it.head_root = Some(root_of(b"other"))),
        "verify_failed",
    ),
    ("a size that is not the listed one", |asked| bent(asked, |it| it.size += 1), "changed"),
    (
        "the end of a transfer that is not ended",
        |asked| FileCancel { transfer: asked.transfer, code: ErrorCode::Unreadable }.to_bytes().to_vec(),
        "unreadable",
    ),
];

/// What no machine would say: it ends the link.
const UNHEARD: [(&str, Lie); 15] = [
    ("data before the head", |asked| Sending::answer(asked, &content()).unit(0)),
    ("the head twice", |asked| Sending::answer(asked, &content()).head().repeat(2)),
    ("a head in other units", |asked| {
        let mut sending = Sending::answer(asked, &content());
        sending.unit_log2 = 19;
        sending.head()
    }),
    ("a head that begins elsewhere", |asked| {
        let mut sending = Sending::answer(asked, &content());
        sending.offset = MIB as u64;
        sending.head()
    }),
    ("a gap in the data", |asked| {
        let sending = Sending::answer(asked, &content());
        [sending.head(), sending.unit(1)].concat()
    }),
    ("the same data twice", |asked| {
        let sending = Sending::answer(asked, &content());
        [sending.head(), sending.data(0), sending.data(0)].concat()
    }),
    ("a value before its data", |asked| {
        let unit = FileUnit { transfer: asked.transfer, unit: 0, value: Hash([0; 32]) };
        [Sending::answer(asked, &content()).head(), unit.to_bytes().to_vec()].concat()
    }),
    ("a value twice", |asked| {
        let sending = Sending::answer(asked, &content());
        let unit = FileUnit { transfer: asked.transfer, unit: 0, value: sending.values[0] };
        [sending.head(), sending.unit(0), unit.to_bytes().to_vec()].concat()
    }),
    ("data across the end of a unit", |asked| {
        let mut sending = Sending::answer(asked, &content());
        // Of the first unit all but its last 1,000 bytes.
        sending.end = (MIB - 1_000) as u64;
        let data = FileData { transfer: asked.transfer, offset: sending.end, data: Rest(&[7; 2_000]) };
        [sending.head(), sending.data(0), data.to_bytes().to_vec()].concat()
    }),
    ("more data than the size", |asked| {
        let sending = Sending::answer(asked, &content());
        let size = content().len() as u64;
        let more = FileData { transfer: asked.transfer, offset: size, data: Rest(b"more") };
        let units = (0..4).flat_map(|unit| sending.unit(unit)).collect();
        [sending.head(), units, more.to_bytes().to_vec()].concat()
    }),
    ("data without bytes", |asked| {
        let data = FileData { transfer: asked.transfer, offset: 0, data: Rest(b"") };
        [Sending::answer(asked, &content()).head(), data.to_bytes().to_vec()].concat()
    }),
    ("the end before all data", |asked| {
        let sending = Sending::answer(asked, &content());
        [sending.head(), sending.unit(0), sending.finish()].concat()
    }),
    ("data of a transfer that nobody asked for", |asked| {
        let transfer = TransferId(asked.transfer.0 + 1_000);
        FileData { transfer, offset: 0, data: Rest(b"here") }.to_bytes().to_vec()
    }),
    ("data of a transfer of her own", |asked| {
        let transfer = TransferId(asked.transfer.0 + 1);
        FileData { transfer, offset: 0, data: Rest(b"here") }.to_bytes().to_vec()
    }),
    ("values that nobody asked for", |asked| {
        let values = FileValues { transfer: asked.transfer, first: 0, values: Rest(&[7; 128]) };
        [Sending::answer(asked, &content()).head(), values.to_bytes().to_vec()].concat()
    }),
];

/// Alice asks for the only file of a list, and gets this answer.
fn fetch(
    scene: &mut Scene,
    victim: &mut Victim,
    listed: Entry<'_>,
    mut lie: impl FnMut(&FileRequest) -> Vec<u8> + Send,
    act: impl FnOnce(&mut Victim),
) -> End {
    let link = scene.link(victim);
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) => page(&asked, &[listed]).to_bytes().to_vec(),
        ToPeer::FileRequest(asked) => lie(&asked),
        _ => Vec::new(),
    };
    scene.play(victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get 1");
        act(victim);
    })
}

#[test]
fn a_file_that_is_not_what_its_hashes_say_gets_no_name() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let size = content().len() as u64;
    for (number, (what, lie, code)) in REFUTED.into_iter().enumerate() {
        eprintln!("{what}");
        // Each under a name of its own: what came of one is kept, and is nothing to go on with for the next.
        let name = format!("film {number}.mkv");
        let mut cancelled = None;
        let link = scene.link(&mut victim);
        let play = |frame: ToPeer<'_>| match frame {
            ToPeer::List(asked) => page(&asked, &[entry(1, &name, size)]).to_bytes().to_vec(),
            ToPeer::FileRequest(asked) => lie(&asked),
            ToPeer::FileCancel(cancel) => {
                cancelled = Some(cancel.code.name());
                Vec::new()
            }
            _ => Vec::new(),
        };
        scene.play(&mut victim, link, play, |victim| {
            victim.alice.expect("file_list", |_| true);
            victim.alice.type_line("/get 1");
            victim.gives_up(code);
            victim.hangs_up();
        });
        if code != "unreadable" {
            assert_eq!(cancelled, Some(code), "the sender is told");
        }
    }
    victim.ends_well(7, &[]);
}

#[test]
fn a_file_that_breaks_a_rule_ends_the_link() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let size = content().len() as u64;
    for (number, (what, lie)) in UNHEARD.into_iter().enumerate() {
        eprintln!("{what}");
        let name = format!("film {number}.mkv");
        let end = fetch(&mut scene, &mut victim, entry(1, &name, size), lie, |victim| {
            let failed = victim.alice.expect("transfer", |event| event["state"] == "failed");
            let error = failed["error"].as_str().expect("a failure is named");
            assert!(["malformed", "wrong_state"].contains(&error), "{failed}");
            victim.alice.expect("peer_closed", |event| event["reason"] == "violation");
        });
        was_violation(&end);
    }
    victim.ends_well(1, &[]);
}

/// A list that names a hash has promised it, also where units cannot be asked for by it.
#[test]
fn a_file_that_is_not_what_its_list_said_gets_no_name() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let contents: [&[u8]; 3] = [b"", b"small", &content()];
    for (number, content) in contents.into_iter().enumerate() {
        let name = format!("promised {number}");
        let root = Some(root_of(b"something else"));
        let listed = Entry { root, ..entry(1, &name, content.len() as u64) };
        victim.alice.type_line("[FILE] mallory");
        let introduction = scene.mallory.is_asked();
        let link = scene.mallory.is_called(introduction.link_key);
        scene.mallory.next_frame(link).expect("a hello");
        scene.mallory.welcome_with(link, Capabilities::NONE);
        let play = |frame: ToPeer<'_>| match frame {
            ToPeer::List(asked) => page(&asked, &[listed]).to_bytes().to_vec(),
            ToPeer::FileRequest(asked) => Sending::answer(&asked, content).bytes(),
            _ => Vec::new(),
        };
        scene.play(&mut victim, link, play, |victim| {
            victim.alice.expect("file_list", |_| true);
            victim.alice.type_line("/get 1");
            victim.gives_up("verify_failed");
            victim.hangs_up();
        });
    }
    victim.ends_well(7, &[]);
}

/// Where the hash of the whole is known, a liar wastes one unit at most.
#[test]
fn with_a_known_hash_a_lie_ends_after_one_unit() {
    type Bend = fn(&mut Sending);
    let lies: [(&str, Bend, u64); 4] = [
        ("values of another file", |it| it.values_first = Some(values_of(&corrupted(), UNIT_LOG2)), 0),
        ("the first unit corrupted", |it| it.content[5] ^= 1, 0),
        ("the second unit corrupted", |it| it.content[MIB + 5] ^= 1, 1),
        ("another size", |it| it.size -= 1, 0),
    ];
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let content = content();
    for (number, (what, bend, good)) in lies.into_iter().enumerate() {
        eprintln!("{what}");
        let name = format!("film {number}.mkv");
        let listed = Entry { root: Some(root_of(&content)), ..entry(1, &name, content.len() as u64) };
        let link = scene.link(&mut victim);
        let mut cancelled = None;
        let play = |frame: ToPeer<'_>| match frame {
            ToPeer::List(asked) => page(&asked, &[listed]).to_bytes().to_vec(),
            ToPeer::UnitRequest(asked) => {
                let mut sending = Sending::units(&asked, &content);
                bend(&mut sending);
                // Not more than the lie, so that she has to find it out by itself.
                let units = (0..=good).flat_map(|unit| sending.unit(unit)).collect();
                [sending.head(), units].concat()
            }
            ToPeer::FileCancel(cancel) => {
                cancelled = Some(cancel.code);
                Vec::new()
            }
            _ => Vec::new(),
        };
        scene.play(&mut victim, link, play, |victim| {
            victim.alice.expect("file_list", |_| true);
            victim.alice.type_line("/get 1");
            let failed = victim.gives_up("verify_failed");
            assert_eq!(failed["bytes"], good * MIB as u64, "{failed}");
            victim.hangs_up();
        });
        assert_eq!(cancelled, Some(ErrorCode::VerifyFailed));
    }
    victim.ends_well(7, &[]);
}

/// What a sender has committed to, it must keep to after a cut.
#[test]
fn the_rest_of_another_file_does_not_complete_the_first() {
    type Rest = fn(&FileRequest) -> Vec<u8>;
    let other = || {
        let mut other = content();
        other[2 * MIB + 5] ^= 1;
        other
    };
    let rests: [(&str, Rest, &str); 2] = [
        (
            "what an honest sender says",
            |asked| FileCancel { transfer: asked.transfer, code: ErrorCode::Changed }.to_bytes().to_vec(),
            "changed",
        ),
        (
            "the rest of another file, with its root",
            |asked| {
                assert_eq!(asked.offset, 2 * MIB as u64, "what was verified is not asked for again");
                let mut other = content();
                other[0] ^= 1;
                other[2 * MIB + 5] ^= 1;
                Sending::answer(asked, &other).bytes()
            },
            "verify_failed",
        ),
    ];
    let mut scene = Scene::new();
    for (what, rest, code) in rests {
        eprintln!("{what}");
        let mut victim = scene.victim();
        let size = content().len() as u64;
        let listed = entry(1, "film.mkv", size);
        let link = scene.link(&mut victim);
        victim.alice.type_line("/get 1");
        // Two units, and silence until they are on the disk.
        let asked = scene.mallory.until(link, |frame| match frame {
            ToPeer::List(asked) => Err(page(&asked, &[listed]).to_bytes().to_vec()),
            ToPeer::FileRequest(asked) => Ok(asked),
            _ => Err(Vec::new()),
        });
        let sending = Sending::answer(&asked.expect("it is asked for"), &content());
        scene.mallory.say(link, &[sending.head(), sending.unit(0), sending.unit(1)].concat());
        scene.mallory.flush(link);
        victim.has_stored(2 * MIB as u64);
        scene.mallory.cut(link);
        victim.alice.expect("transfer", |event| event["state"] == "waiting");
        victim.alice.expect("peer_closed", |_| true);
        let link = scene.link(&mut victim);
        let play = |frame: ToPeer<'_>| match frame {
            ToPeer::List(asked) => page(&asked, &[listed]).to_bytes().to_vec(),
            ToPeer::FileRequest(asked) => rest(&asked),
            _ => Vec::new(),
        };
        scene.play(&mut victim, link, play, |victim| {
            victim.gives_up(code);
            victim.hangs_up();
        });
        victim.ends_well(if code == "changed" { 1 } else { 7 }, &[]);
    }
    // Only what merges with what she said before is the file that she means.
    let values = [&values_of(&content(), UNIT_LOG2)[..2], &values_of(&other(), UNIT_LOG2)[2..]].concat();
    assert_ne!(merged(&values, content().len() as u64, UNIT_LOG2), root_of(&content()));
}

/// What came on the word of a sender alone is not what the hash has proved: whoever sends true units is not blamed for it.
#[test]
fn what_a_liar_sent_first_does_not_spoil_what_is_proved() {
    let mut scene = Scene::new();
    scene.server.add_users(&["eve"]);
    let mut eve = Mallory::start(&scene.server, "eve");
    let mut victim = scene.victim();
    let content = content();
    let listed = Entry { root: Some(root_of(&content)), ..entry(1, "film.mkv", content.len() as u64) };
    // She shows the hash that everybody shows, offers no units by it, and sends another first unit.
    victim.alice.type_line("[FILE] mallory");
    let introduction = scene.mallory.is_asked();
    let link = scene.mallory.is_called(introduction.link_key);
    scene.mallory.next_frame(link).expect("a hello");
    scene.mallory.welcome_with(link, Capabilities::NONE);
    let list = |asked: &ListFolder<'_>| page(asked, &[listed]).to_bytes().to_vec();
    scene.mallory.hears_of_list(link, list);
    victim.alice.expect("file_list", |_| true);
    victim.alice.type_line("/get 1");
    let asked = scene.mallory.until(link, |frame| match frame {
        ToPeer::FileRequest(asked) => Ok(asked),
        _ => Err(Vec::new()),
    });
    let mut lie = content.clone();
    lie[7] ^= 1;
    let sending = Sending::answer(&asked.expect("it is asked for"), &lie);
    scene.mallory.say(link, &[sending.head(), sending.unit(0), sending.unit(1)].concat());
    scene.mallory.flush(link);
    victim.has_stored(2 * MIB as u64);
    scene.mallory.cut(link);
    victim.alice.expect("transfer", |event| event["state"] == "waiting");
    // Somebody else shows the same hash and sends the file, whole, because what is there is nobody's but hers.
    victim.alice.type_line("[FILE] eve");
    let introduction = eve.is_asked();
    let link = eve.is_called(introduction.link_key);
    eve.next_frame(link).expect("a hello");
    eve.welcome_with(link, Capabilities::NONE);
    eve.hears_of_list(link, list);
    victim.alice.expect("file_list", |event| event["peer"] == "eve");
    victim.alice.type_line("/get @eve 1");
    let done = eve.until(link, |frame| match frame {
        ToPeer::FileRequest(asked) => {
            assert_eq!(asked.offset, 0, "what came from somebody else is gone on with");
            Err(Sending::answer(&asked, &content).bytes())
        }
        ToPeer::FileDone(_) => Ok(()),
        _ => Err(Vec::new()),
    });
    done.expect("it arrives");
    victim.has("film.mkv");
    assert!(read(&victim.download("film.mkv")) == content);
    std::fs::remove_file(victim.download("film.mkv")).expect("it is removed");
    // And when she herself offers units, what she sent before is found to be none of them.
    let link = scene.link(&mut victim);
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) => list(&asked),
        ToPeer::UnitRequest(asked) => Sending::units(&asked, &content).bytes(),
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.has("film.mkv");
        victim.hangs_up();
    });
    assert!(read(&victim.download("film.mkv")) == content);
    victim.ends_well(0, &["film.mkv"]);
}

/// A peer lets fewer transfers be open than were asked for: what it refuses is asked for again when another has ended.
#[test]
fn what_is_too_many_at_once_comes_later() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let contents = [content(), corrupted()];
    let names = ["first.mkv", "second.mkv"];
    let size = contents[0].len() as u64;
    let by_root =
        |content: &[u8], number, name| Entry { root: Some(root_of(content)), ..entry(number, name, size) };
    let entries = [by_root(&contents[0], 1, names[0]), by_root(&contents[1], 2, names[1])];
    let of_root = |root: Hash| contents.iter().find(|content| root_of(content) == root).expect("one of hers");
    let (mut first, mut is_refused, mut is_done) = (None, false, false);
    let link = scene.link(&mut victim);
    let play = |frame: ToPeer<'_>| match (frame, first) {
        (ToPeer::List(asked), _) => page(&asked, &entries).to_bytes().to_vec(),
        (ToPeer::UnitRequest(asked), None) => {
            first = Some(asked);
            Vec::new()
        }
        (ToPeer::UnitRequest(asked), Some(first)) if !is_refused => {
            is_refused = true;
            let cancel = FileCancel { transfer: asked.transfer, code: ErrorCode::TooManyTransfers };
            [cancel.to_bytes().to_vec(), Sending::units(&first, of_root(first.root)).bytes()].concat()
        }
        (ToPeer::UnitRequest(asked), Some(_)) => {
            assert!(is_done, "the first is still open");
            Sending::units(&asked, of_root(asked.root)).bytes()
        }
        (ToPeer::FileDone(_), _) => {
            is_done = true;
            Vec::new()
        }
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get 1 2");
        names.iter().for_each(|name| victim.has(name));
        victim.hangs_up();
    });
    victim.ends_well(0, &names);
}

/// A list may claim any size; what it costs is what comes.
#[test]
fn sizes_beyond_all_disks_are_refused() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    for (number, size) in [u64::MAX, 1 << 62, 1 << 50].into_iter().enumerate() {
        let name = format!("film {number}.mkv");
        let lie = |asked: &FileRequest| {
            let mut sending = Sending::answer(asked, &content());
            sending.size = size;
            // It never comes to the end.
            [sending.head(), sending.unit(0)].concat()
        };
        fetch(&mut scene, &mut victim, entry(1, &name, size), lie, |victim| {
            victim.gives_up("storage");
            victim.hangs_up();
        });
    }
    victim.ends_well(1, &[]);
}

#[test]
fn a_file_that_never_comes_times_out() {
    let mut scene = Scene::new();
    let mut victim = scene.victim_with(|options| options.args(["--stall-timeout", "1"]));
    let silent: [(&str, Lie); 3] = [
        ("no word", |_| Vec::new()),
        ("the head alone", |asked| Sending::answer(asked, &content()).head()),
        ("one unit and a half", |asked| {
            let sending = Sending::answer(asked, &content());
            [sending.head(), sending.unit(0), sending.data(1)].concat()
        }),
    ];
    for (number, (what, lie)) in silent.into_iter().enumerate() {
        eprintln!("{what}");
        let name = format!("film {number}.mkv");
        fetch(&mut scene, &mut victim, entry(1, &name, content().len() as u64), lie, |victim| {
            victim.gives_up("timeout");
            victim.hangs_up();
        });
    }
    victim.ends_well(8, &[]);
}

/// A byte now and then is next to nothing.
#[test]
fn a_file_that_drips_times_out() {
    let mut scene = Scene::new();
    let mut victim = scene.victim_with(|options| options.args(["--stall-timeout", "1"]));
    let listed = entry(1, "film.mkv", content().len() as u64);
    let link = scene.link(&mut victim);
    victim.alice.type_line("/get 1");
    let asked = scene.mallory.until(link, |frame| match frame {
        ToPeer::List(asked) => Err(page(&asked, &[listed]).to_bytes().to_vec()),
        ToPeer::FileRequest(asked) => Ok(asked),
        _ => Err(Vec::new()),
    });
    let asked = asked.expect("it is asked for");
    let content = content();
    scene.mallory.say(link, &Sending::answer(&asked, &content).head());
    // Every frame is whole: it brings a byte.
    let drops = (0..).zip(content.iter().take(2_000)).map(|(offset, byte)| {
        let data = FileData { transfer: asked.transfer, offset, data: Rest(std::slice::from_ref(byte)) };
        data.to_bytes()
    });
    let said = scene.mallory.drip(link, drops, Duration::from_millis(5));
    assert!(said < 2_000, "it took everything");
    victim.gives_up("timeout");
    let cancelled = scene.mallory.until(link, |frame| match frame {
        ToPeer::FileCancel(cancel) => Ok(cancel.code),
        _ => Err(Vec::new()),
    });
    assert_eq!(cancelled.expect("the sender is told"), ErrorCode::Timeout);
    scene.mallory.cut(link);
    victim.alice.expect("peer_closed", |_| true);
    victim.ends_well(8, &[]);
}

/// The victim has what an honest Mallory sends: the lies above are seen for what they are, and not for what they look like.
#[test]
fn what_is_true_arrives() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let content = content();
    let by_root = Entry { root: Some(root_of(&content)), ..entry(2, "second.mkv", content.len() as u64) };
    let entries = [entry(1, "first.mkv", content.len() as u64), by_root];
    let link = scene.link(&mut victim);
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) => page(&asked, &entries).to_bytes().to_vec(),
        ToPeer::FileRequest(asked) => Sending::answer(&asked, &content).bytes(),
        ToPeer::UnitRequest(asked) => Sending::units(&asked, &content).bytes(),
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get 1 2");
        victim.has("first.mkv");
        victim.has("second.mkv");
        victim.hangs_up();
    });
    assert!(
        read(&victim.download("first.mkv")) == content && read(&victim.download("second.mkv")) == content
    );
    victim.ends_well(0, &["first.mkv", "second.mkv"]);
}
