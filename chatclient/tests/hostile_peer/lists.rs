//! Lists that lie.

use bytes::BufMut as _;
use chatproto::wire::{
    Body as _, Entry, EntryKind, Generation, LIST_INLINE, ListFolder, ListPage, SafeRelPathRef, ToPeer,
};

use crate::harness::read;
use crate::mallory::{entry, inline, page, root_of};
use crate::scene::{Scene, was_violation};

type Lie = fn(&ListFolder<'_>) -> Vec<u8>;

/// A page that a machine would have said, but for some of its numbers.
fn bent(asked: &ListFolder<'_>, numbers: &[u32], bend: impl FnOnce(&mut ListPage<'_>)) -> Vec<u8> {
    let entries: Vec<_> = numbers.iter().map(|number| entry(*number, "notes.txt", 3)).collect();
    let mut page = page(asked, &entries);
    bend(&mut page);
    page.to_bytes().to_vec()
}

/// A page whose only entry has a name that no machine would say.
fn named(asked: &ListFolder<'_>, name: &[u8]) -> Vec<u8> {
    let mut raw = Vec::new();
    raw.put_u32(1);
    raw.put_u8(EntryKind::File.number());
    raw.put_u64(3);
    raw.put_u64(0);
    // Neither a hash nor content.
    raw.put_slice(&[0, 0]);
    raw.put_u8(u8::try_from(name.len()).expect("a short name"));
    raw.put_slice(name);
    let mut frame = page(asked, &[]);
    frame.total = 1;
    let frame = frame.to_bytes();
    let (_, body) = frame.split_at(4);
    // The list is the last field: its length, and nothing.
    let (body, _) = body.split_at(body.len() - 4);
    let mut bytes = Vec::new();
    bytes.put_u32(u32::try_from(body.len() + 4 + raw.len()).expect("a frame"));
    bytes.put_slice(body);
    bytes.put_u32(u32::try_from(raw.len()).expect("a frame"));
    bytes.put_slice(&raw);
    bytes
}

const LIES: [(&str, Lie); 13] = [
    ("numbers that fall", |asked| bent(asked, &[2, 1], |_| {})),
    ("a number twice", |asked| bent(asked, &[1, 1], |_| {})),
    ("the number 0", |asked| bent(asked, &[0, 1], |_| {})),
    ("a number above the total", |asked| bent(asked, &[1, 3], |_| {})),
    ("a page that was not asked for", |asked| bent(asked, &[1], |page| (page.page, page.pages) = (2, 2))),
    ("a page behind the last one", |asked| bent(asked, &[1], |page| page.pages = 0)),
    ("more pages than there are entries", |asked| bent(asked, &[1], |page| page.pages = u32::MAX)),
    ("no entries, and yet some", |asked| bent(asked, &[], |page| page.total = 3)),
    ("no generation", |asked| bent(asked, &[1], |page| page.generation = Generation(0))),
    ("another folder", |asked| {
        bent(asked, &[1], |page| page.path = SafeRelPathRef::new("other").expect("a path"))
    }),
    ("an answer to another question", |asked| bent(asked, &[1], |page| page.request.0 += 1)),
    ("the same page twice", |asked| bent(asked, &[1], |_| {}).repeat(2)),
    ("content that was not asked for", |asked| {
        page(asked, &[inline(entry(1, "notes.txt", 0), b"one")]).to_bytes().to_vec()
    }),
];

#[test]
fn a_list_that_breaks_a_rule_ends_the_link() {
    let mut scene = Scene::new();
    for (what, lie) in LIES {
        eprintln!("{what}");
        let mut victim = scene.victim();
        let link = scene.link(&mut victim);
        let end = scene.mallory.serve(link, |frame| match frame {
            ToPeer::List(asked) => lie(&asked),
            _ => Vec::new(),
        });
        was_violation(&end);
        victim.alice.expect("peer_closed", |event| event["reason"] == "violation");
        // The same page twice is one good answer, and then one to nothing.
        let code = if what == "the same page twice" {
            victim.alice.expect("file_list", |_| true);
            0
        } else {
            victim.alice.expect("error", |event| {
                ["malformed", "wrong_state"].contains(&event["code"].as_str().expect("a code"))
            });
            1
        };
        victim.ends_well(code, &[]);
    }
}

#[test]
fn a_name_that_is_none_ends_the_link_and_is_written_nowhere() {
    let long = "x".repeat(255);
    let names: [&[u8]; 24] = [
        b"",
        b".",
        b"..",
        b"../mallory-was-here",
        b"/tmp/mallory-was-here",
        b"a/b",
        b"..\\mallory-was-here",
        b"C:mallory",
        b"nul\0byte",
        b"NUL",
        b"com1.txt",
        b" space",
        b"space ",
        b"dot.",
        b"\x1b[2J",
        b"\x1b]0;title\x07",
        b"line\nbreak",
        "cod.\u{202e}txt.exe".as_bytes(),
        "\u{2066}isolated".as_bytes(),
        "zero\u{200b}width".as_bytes(),
        "e\u{301}.txt".as_bytes(),
        b"\xff\xfe",
        b"half \xe2\x82",
        long.as_bytes(),
    ];
    let mut scene = Scene::new();
    // One victim for all of them: every time she is asked again.
    let mut victim = scene.victim();
    for name in names {
        eprintln!("{:?}", String::from_utf8_lossy(name));
        let link = scene.link(&mut victim);
        let end = scene.mallory.serve(link, |frame| match frame {
            ToPeer::List(asked) => named(&asked, name),
            _ => Vec::new(),
        });
        was_violation(&end);
        victim.alice.expect("peer_closed", |event| event["reason"] == "violation");
        victim.complains("malformed");
        victim.alice.forget();
    }
    victim.ends_well(1, &[]);
}

#[test]
fn names_that_a_file_system_may_take_for_one_overwrite_nothing() {
    let names = ["notes.txt", "NOTES.TXT", "Notes.txt", "stra\u{df}e", "STRASSE", "notes (1).txt"];
    let content = |number: usize| format!("content of {number}").into_bytes();
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = scene.link(&mut victim);
    let contents: Vec<_> = (0..names.len()).map(content).collect();
    let entries: Vec<_> = (1..)
        .zip(names)
        .zip(&contents)
        .map(|((number, name), content)| inline(entry(number, name, 0), content))
        .collect();
    let play = |frame: ToPeer<'_>| match frame {
        // Content comes only when it was asked for.
        ToPeer::List(asked) if asked.flags & LIST_INLINE != 0 => page(&asked, &entries).to_bytes().to_vec(),
        ToPeer::List(asked) => page(&asked, &[]).to_bytes().to_vec(),
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get all");
        let fetched = victim.alice.expect("fetched", |_| true);
        assert_eq!(fetched["done"], names.len(), "{fetched}");
        victim.hangs_up();
    });
    let stored = victim.downloads();
    let mut found: Vec<_> = stored.iter().map(|name| read(&victim.download(name))).collect();
    found.sort();
    assert_eq!(found, contents);
    let mut keys: Vec<_> = stored.iter().map(|name| name.to_lowercase()).collect();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), names.len(), "{stored:?}");
    let stored: Vec<_> = stored.iter().map(String::as_str).collect();
    victim.ends_well(0, &stored);
}

/// Content that comes with a list is believed only as far as its hash goes.
#[test]
fn content_with_a_wrong_hash_gets_no_name() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = scene.link(&mut victim);
    let entries = [
        inline(entry(1, "good.txt", 0), b"good"),
        Entry { root: Some(root_of(b"other")), ..inline(entry(2, "bad.txt", 0), b"evil") },
        Entry { root: Some(root_of(b"not empty")), ..inline(entry(3, "empty.txt", 0), b"") },
    ];
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) if asked.flags & LIST_INLINE != 0 => page(&asked, &entries).to_bytes().to_vec(),
        ToPeer::List(asked) => page(&asked, &[]).to_bytes().to_vec(),
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get all");
        victim.gives_up("verify_failed");
        victim.gives_up("verify_failed");
        victim.has("good.txt");
        victim.hangs_up();
    });
    victim.ends_well(7, &["good.txt"]);
}

/// A folder of very many pages costs no more than a command may fetch.
#[test]
fn pages_without_end_come_to_one() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = scene.link(&mut victim);
    let mut asked_for = 0;
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) => {
            asked_for += 1;
            let name = format!("folder {}", asked.page);
            let entries = [Entry { kind: EntryKind::Folder, ..entry(asked.page, &name, 0) }];
            let mut page = page(&asked, &entries);
            (page.pages, page.total) = (u32::MAX, u32::MAX);
            page.to_bytes().to_vec()
        }
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |_| true);
        victim.alice.type_line("/get all");
        victim.complains("too_much");
        let fetched = victim.alice.expect("fetched", |_| true);
        assert_eq!(fetched["done"], 0, "{fetched}");
        victim.hangs_up();
    });
    eprintln!("{asked_for} pages were asked for");
    victim.ends_well(1, &[]);
}

/// What a number was shown to be, it stays, as long as its list is the same.
#[test]
fn a_number_that_is_shown_again_as_something_else_is_told() {
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let link = scene.link(&mut victim);
    let mut asked_for = 0;
    let play = |frame: ToPeer<'_>| match frame {
        ToPeer::List(asked) => {
            asked_for += 1;
            let name = ["notes.txt", "other.txt", "evil.txt"][asked_for - 1];
            let entries = [entry(asked.page, name, 3)];
            let mut page = page(&asked, &entries);
            (page.pages, page.total) = (2, 2);
            page.to_bytes().to_vec()
        }
        _ => Vec::new(),
    };
    scene.play(&mut victim, link, play, |victim| {
        victim.alice.expect("file_list", |list| list["entries"][0]["name"] == "notes.txt");
        victim.alice.type_line("/ls --page 2");
        victim.alice.expect("file_list", |list| list["entries"][0]["name"] == "other.txt");
        victim.alice.type_line("/ls --page 2");
        victim.complains("changed");
        victim.hangs_up();
    });
    victim.ends_well(1, &[]);
}
