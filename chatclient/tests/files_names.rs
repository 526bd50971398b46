//! Names that a peer made up, on the disk: whatever they are, nothing is written outside of the download folder, nothing
//! that is there is changed, and nothing that is shown can drive a terminal.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use chatclient::downloads::{DownloadError, Downloads, Incoming, Origin};
use chatproto::verify::UnitLog2;
use chatproto::wire::path::case_fold_key;
use chatproto::wire::{Name, SafeName, SafeRelPath};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Whatever has hurt somebody once.
const NASTY: &[&str] = &[
    "..",
    ".",
    "...",
    "/",
    "//",
    "\\",
    "..\\",
    "../",
    "../../etc/passwd",
    "/etc/passwd",
    "C:",
    "C:\\x",
    "\\\\host\\share",
    "con",
    "NUL",
    "nul.txt",
    "COM1",
    "lpt9.log",
    "aux ",
    "\0",
    "a\0b",
    "\n",
    "\r",
    "\u{1b}[2J",
    "\u{9b}31m",
    "\u{7f}",
    "trailing.",
    "trailing ",
    " leading",
    "file.",
    "x:stream",
    "a*b",
    "a?b",
    "<",
    ">",
    "|",
    "\"",
    "~",
    "-rf",
    ".bashrc",
    "\u{202e}gpj.exe",
    "\u{2066}x",
    "\u{200f}",
    "\u{feff}",
    "\u{2028}",
    "\u{e9}",
    "e\u{301}",
    "STRASSE",
    "stra\u{df}e",
    "\u{130}",
    "i",
    "I",
    "\u{131}",
    "A",
    "a",
    "out",
    "Out",
    "inside",
    "kept",
    ".x.12345678.part",
    "\u{1f4a9}",
    "日本",
];

fn made_up() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(NASTY).prop_map(str::to_owned);
    let long = (1_usize..300, prop::sample::select(vec!["x", "\u{e9}", "日", "."]))
        .prop_map(|(count, piece)| piece.repeat(count));
    let piece = prop_oneof![4 => nasty, 1 => long, 2 => any::<String>()];
    prop::collection::vec(piece, 1..4).prop_map(|pieces| pieces.concat())
}

/// Everything below a folder, by its path: what a file holds, where a link leads.
fn tree(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap();
            let what = if kind.is_symlink() {
                format!("to {:?}", fs::read_link(&path).unwrap())
            } else if kind.is_dir() {
                folders.push(path.clone());
                "folder".to_owned()
            } else {
                fs::read_to_string(&path).unwrap()
            };
            found.insert(path, what);
        }
    }
    found
}

/// Puts a file of one byte under `folder/name`.
fn receive(downloads: &Downloads, folder: &SafeRelPath, name: &SafeName) -> Result<PathBuf, DownloadError> {
    let unit = UnitLog2::MIN;
    let origin = Origin { peer: "..".into(), path: "../x".into(), size: 1, mtime_ms: 7, unit, root: None };
    let mut incoming = Incoming::begin(downloads, folder.borrow(), name.borrow(), &origin)?;
    let root = *blake3::hash(b"!").as_bytes();
    incoming.store(0, &[Bytes::from_static(b"!")], &root)?;
    Ok(incoming.finish(&root, 7)?.path)
}

fn can_drive_a_terminal(text: &str) -> bool {
    text.chars().any(chatproto::wire::chars::is_forbidden)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_name_leads_out_or_changes_what_is_there(
        names in prop::collection::vec((made_up(), made_up()), 1..6),
    ) {
        let temp = tempfile::tempdir().unwrap();
        let (inside, outside) = (temp.path().join("inside"), temp.path().join("outside"));
        for folder in [&inside, &outside, &inside.join("A")] {
            fs::create_dir(folder).unwrap();
        }
        fs::write(inside.join("kept"), "kept").unwrap();
        fs::write(outside.join("kept"), "kept").unwrap();
        // Ways out that somebody has left in the folder.
        symlink(&outside, inside.join("out")).unwrap();
        symlink(outside.join("new"), inside.join("i")).unwrap();
        let before = tree(temp.path());
        let downloads = Downloads::open(&inside).unwrap();
        let mut arrived = Vec::new();
        for (folder, name) in &names {
            let (Ok(folder), Ok(name)) = (SafeRelPath::new(folder), SafeName::new(name)) else { continue };
            prop_assert!(!can_drive_a_terminal(folder.as_str()) && !can_drive_a_terminal(name.as_str()));
            if let Ok(path) = receive(&downloads, &folder, &name) {
                prop_assert_eq!(fs::read_to_string(&path).unwrap(), "!");
                let real = fs::canonicalize(&path).unwrap();
                prop_assert!(real.starts_with(fs::canonicalize(&inside).unwrap()), "{:?}", real);
                arrived.push(path);
            }
        }
        let after = tree(temp.path());
        for (path, what) in &before {
            prop_assert_eq!(after.get(path), Some(what), "{:?}", path);
        }
        let new = after.keys().filter(|path| !before.contains_key(*path));
        for path in new {
            prop_assert!(path.starts_with(&inside), "{:?}", path);
        }
        arrived.sort();
        let all = arrived.len();
        arrived.dedup();
        prop_assert_eq!(arrived.len(), all, "each has a place of its own");
    }

    #[test]
    fn a_made_up_name_is_refused_or_harmless(text in made_up()) {
        if let Ok(name) = SafeName::new(&text) {
            let path = Path::new(name.as_str());
            let parts: Vec<_> = path.components().collect();
            prop_assert!(matches!(parts[..], [std::path::Component::Normal(_)]), "{:?}", parts);
            prop_assert!(name.as_str().len() <= 240 && !name.as_str().contains(['\0', '\\', ':']));
            prop_assert!(!name.as_str().ends_with(['.', ' ']));
            prop_assert!(!case_fold_key(name.borrow()).is_empty());
        }
        // Who somebody is never becomes a path, but it must not look like one, either.
        if let Ok(name) = Name::new(&text) {
            prop_assert!(!can_drive_a_terminal(name.as_str()) && !name.as_str().contains(['/', '\\', '\0']));
        }
    }
}
