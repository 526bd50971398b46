//! Names and paths that a peer made up, up to the system calls: nothing outside of the download folder, nothing replaced.
//!
//! The input is text, cut at the byte 0xff: a folder, a name, a folder, a name, and so on.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use chatclient::downloads::{DownloadError, Downloads, Finished, GivenNames, Incoming, Origin, Search};
use chatproto::verify::UnitLog2;
use chatproto::wire::{Reader, SafeName, SafeNameRef, SafeRelPath, SafeRelPathRef, Wire};
use chatproto_fuzz::{folder, may_be_one};
use libfuzzer_sys::fuzz_target;
use unicode_normalization::UnicodeNormalization as _;

/// Files of one input.
const MAX_FILES: usize = 6;

/// The longest path that the wire has, and how deep it may be.
const MAX_PATH: usize = 1024;
const MAX_DEPTH: usize = 32;

const DEVICES: [&str; 9] = ["con", "prn", "aux", "nul", "com0", "com1", "com\u{b9}", "lpt9", "conin$"];

/// What must not be seen where a name is shown.
fn is_treacherous(found: char) -> bool {
    found.is_control()
        || matches!(found, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(found, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}')
}

fn check_name(text: &str) -> Option<SafeName> {
    let name = SafeNameRef::new(text).ok()?;
    assert_eq!(name.as_str(), text);
    assert!((1..=SafeNameRef::MAX_LEN).contains(&text.len()));
    assert!(!text.contains(['/', '\\', ':']) && !text.contains(is_treacherous), "{text:?}");
    assert!(!text.ends_with(['.', ' ']) && !text.starts_with(' '), "{text:?}");
    let stem = text.split('.').next().unwrap_or(text).trim_end().to_ascii_lowercase();
    assert!(!DEVICES.contains(&stem.as_str()), "{text:?}");
    assert!(text.nfc().eq(text.chars()), "{text:?} may be written otherwise");
    let parts = Path::new(text).components().collect::<Vec<_>>();
    assert_eq!(parts, [Component::Normal(text.as_ref())], "one step down, and no other");
    let mut bytes = Vec::new();
    name.encode(&mut bytes);
    assert_eq!(SafeNameRef::decode(&mut Reader::new(&bytes), "name"), Ok(name));
    Some(name.to_owned())
}

fn check_path(text: &str) -> Option<SafeRelPath> {
    let path = SafeRelPathRef::new(text).ok()?;
    assert_eq!(path.as_str(), text);
    assert!(text.len() <= MAX_PATH && path.components().count() <= MAX_DEPTH);
    let steps = Path::new(text).components();
    let names = path.components().map(|name| Component::Normal(name.as_str().as_ref()));
    assert!(steps.eq(names), "{text:?} leads elsewhere than its names say");
    let mut rebuilt = SafeRelPath::root();
    for name in path.components() {
        check_name(name.as_str()).expect("a path is made of names");
        rebuilt = rebuilt.borrow().join(name).expect("each beginning of a path is one");
    }
    assert_eq!(rebuilt.borrow(), path);
    let mut bytes = Vec::new();
    path.encode(&mut bytes);
    assert_eq!(SafeRelPathRef::decode(&mut Reader::new(&bytes), "path"), Ok(path));
    Some(path.to_owned())
}

/// A file with one byte, all the way.
fn receive(
    downloads: &Downloads,
    folder: &SafeRelPath,
    name: &SafeName,
    content: u8,
) -> Result<Finished, DownloadError> {
    let mut incoming = Incoming::begin(downloads, folder.borrow(), name.borrow(), &origin())?;
    let root = *blake3::hash(&[content]).as_bytes();
    incoming.store(0, &[Bytes::copy_from_slice(&[content])], &root)?;
    incoming.finish(&root, 7)
}

fn origin() -> Origin {
    Origin { peer: "..".into(), path: "../x".into(), size: 1, mtime_ms: 7, unit: UnitLog2::MIN, root: None }
}

/// Whether `found` is `name`, or what it is called beside another of that name.
fn is_variant(found: &str, name: &str) -> bool {
    let stem_end = name.rfind('.').filter(|at| *at > 0).unwrap_or(name.len());
    let (stem, extension) = name.split_at(stem_end);
    let number = found.strip_prefix(stem).and_then(|rest| rest.strip_suffix(extension));
    let number = number.and_then(|rest| rest.strip_prefix(" (")?.strip_suffix(')'));
    found == name || number.is_some_and(|number| number.parse::<u32>().is_ok())
}

fuzz_target!(|data: &[u8]| {
    let mut pieces = data.split(|byte| *byte == 0xff).filter_map(|piece| str::from_utf8(piece).ok());
    let mut wanted = Vec::new();
    while wanted.len() < MAX_FILES
        && let Some(folder) = pieces.next()
    {
        let name = pieces.next().unwrap_or(folder);
        // Each as the other as well: what is no name must not pass as a path, and the other way round.
        assert!(check_name(folder).is_none() || check_path(folder).is_some());
        if let (Some(folder), Some(name)) = (check_path(folder), check_name(name)) {
            wanted.push((folder, name));
        }
    }
    if wanted.is_empty() {
        return;
    }

    // As many as asked for in one folder: no two that a file system may take for one.
    let mut given = GivenNames::default();
    let mut others = Vec::<SafeName>::new();
    for (_, name) in &wanted {
        let Some(given) = given.give(name) else { continue };
        assert!(is_variant(given.as_str(), name.as_str()));
        let twin = others.iter().find(|other| may_be_one(other.as_str(), given.as_str()));
        assert_eq!(twin, None, "{given:?} may be the same file");
        others.push(given);
    }

    let outer = folder();
    let (inside, trap) = (outer.path().join("inside"), outer.path().join("trap"));
    fs::create_dir(&trap).expect("a folder");
    fs::write(outer.path().join("kept"), "kept").expect("a file");
    let downloads = Downloads::open(&inside).expect("a download folder");
    symlink(&trap, inside.join("a")).expect("a link that leads out");
    symlink("../kept", inside.join("b")).expect("a link that leads out");
    let mut placed = BTreeMap::<PathBuf, u8>::new();
    for (number, (folder, name)) in (0..).zip(&wanted) {
        // A file in the way of a folder, mostly.
        let Ok(finished) = receive(&downloads, folder, name, number) else { continue };
        let at = inside.join(folder.as_str());
        assert_eq!(finished.path.parent(), Some(at.as_path()));
        let found = finished.path.file_name().and_then(|name| name.to_str()).expect("it has a name");
        assert!(is_variant(found, name.as_str()), "{found:?} for {name:?}");
        assert!(fs::symlink_metadata(&finished.path).expect("it is there").is_file());
        assert_eq!(placed.insert(finished.path, number), None, "nothing is replaced");
    }
    for (folder, name) in &wanted {
        // No link and no file is looked through; and what came is nobody's part, whatever it is called.
        match downloads.look_for(folder.borrow(), name.borrow(), &origin()) {
            Ok(Search::Nothing { damaged }) => assert!(damaged.is_empty(), "{damaged:?}"),
            Ok(found) => panic!("a part out of nothing: {found:?}"),
            Err(_) => {}
        }
    }
    for (path, content) in &placed {
        assert_eq!(fs::read(path).expect("it is still there"), [*content]);
        let real = fs::canonicalize(path).expect("it is somewhere");
        assert!(real.starts_with(fs::canonicalize(&inside).expect("it is somewhere")), "{real:?}");
    }
    assert_eq!(fs::read_dir(&trap).expect("a folder").count(), 0, "nothing went through the link");
    assert_eq!(fs::read_to_string(outer.path().join("kept")).expect("a file"), "kept");
    assert_eq!(fs::read_dir(outer.path()).expect("a folder").count(), 3, "nothing lies outside");
});
