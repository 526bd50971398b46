use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use proptest::prelude::*;

use super::*;
use crate::wire::chars::{is_forbidden, is_invisible};

fn name_error(name: &str) -> FileNameError {
    SafeNameRef::new(name).expect_err(name)
}

#[test]
fn ordinary_names_pass() {
    let names = [
        "a",
        "Report 2024 (final).pdf",
        ".hidden",
        "...a",
        "-rf",
        "~",
        "what?*\"<>|",
        "한국어.txt",
        "日本語",
        "Ä.txt",
        "❤\u{fe0f}.png",
        "console.log",
        "com",
        "com10",
        "lpt",
        "nul-terminated",
        "auxiliary.c",
        "a.con",
        "a b",
    ];
    for name in names {
        assert_eq!(SafeNameRef::new(name).map(|name| name.as_str()), Ok(name));
    }
}

#[test]
fn each_rule_names_itself() {
    use FileNameError::*;
    assert_eq!(name_error(""), Empty);
    assert_eq!(name_error(&"x".repeat(241)), TooLong { len: 241 });
    assert_eq!(name_error("."), Dots);
    assert_eq!(name_error(".."), Dots);
    assert_eq!(name_error("..."), TrailingSpaceOrDot);
    assert_eq!(name_error("ab/c"), Separator { found: '/', at: 2 });
    assert_eq!(name_error("..\\x"), Separator { found: '\\', at: 2 });
    assert_eq!(name_error("C:"), Separator { found: ':', at: 1 });
    assert_eq!(name_error("file.txt::$DATA"), Separator { found: ':', at: 8 });
    assert_eq!(name_error("a\0"), ForbiddenChar { found: '\0', at: 1 });
    assert_eq!(name_error("ä\x1b[2J"), ForbiddenChar { found: '\x1b', at: 2 });
    assert_eq!(name_error("exe\u{202e}gpj"), ForbiddenChar { found: '\u{202e}', at: 3 });
    for found in
        ['\u{200b}', '\u{200d}', '\u{200e}', '\u{61c}', '\u{2066}', '\u{feff}', '\u{3164}', '\u{e0041}']
    {
        assert_eq!(name_error(&format!("a{found}b")), ForbiddenChar { found, at: 1 });
    }
    assert_eq!(name_error(" a"), LeadingSpace);
    assert_eq!(name_error("\u{a0}a"), LeadingSpace);
    assert_eq!(name_error("a "), TrailingSpaceOrDot);
    assert_eq!(name_error("a\u{3000}"), TrailingSpaceOrDot);
    assert_eq!(name_error("a."), TrailingSpaceOrDot);
    assert_eq!(name_error("A\u{308}"), NotNfc);
    assert_eq!(name_error("\u{212a}elvin"), NotNfc);
}

#[test]
fn devices_are_refused_in_any_case_with_any_extension() {
    for device in
        ["con", "PRN", "Aux", "nul", "CONIN$", "conout$", "clock$", "com0", "COM1", "Com9", "lpt³", "LPT0"]
    {
        for name in [
            String::from(device),
            format!("{device}.txt"),
            format!("{device}.tar.gz"),
            format!("{device} .x"),
        ] {
            assert_eq!(name_error(&name), FileNameError::DeviceName, "{name}");
        }
    }
}

#[test]
fn paths_are_walked_by_their_names() {
    let path = SafeRelPath::new("music/live/a.flac").unwrap();
    let names: Vec<_> = path.borrow().components().map(|name| name.as_str()).collect();
    assert_eq!(names, ["music", "live", "a.flac"]);
    assert_eq!(path.borrow().file_name().unwrap().as_str(), "a.flac");
    let folder = path.borrow().parent().unwrap();
    assert_eq!(folder.as_str(), "music/live");
    assert_eq!(folder.join(SafeNameRef::new("a.flac").unwrap()), Ok(path.clone()));
    let top = folder.parent().unwrap();
    assert_eq!((top.as_str(), top.parent()), ("music", Some(SafeRelPathRef::ROOT)));
}

#[test]
fn the_empty_path_is_the_root_folder() {
    let root = SafeRelPathRef::new("").unwrap();
    assert!(root.is_root());
    assert_eq!((root.components().count(), root.file_name(), root.parent()), (0, None, None));
    assert_eq!(root.join(SafeNameRef::new("a").unwrap()).unwrap().as_str(), "a");
    assert_eq!(SafeRelPath::root().borrow(), root);
}

#[test]
fn paths_that_lead_elsewhere_are_refused_with_the_place() {
    use RelPathError::*;
    let error = |path: &str| SafeRelPathRef::new(path).expect_err(path);
    assert_eq!(error("/etc/passwd"), Absolute);
    assert_eq!(error("//host/share"), Absolute);
    assert_eq!(error("a/../../b"), Name { index: 1, error: FileNameError::Dots });
    assert_eq!(error("./a"), Name { index: 0, error: FileNameError::Dots });
    assert_eq!(error("a//b"), Name { index: 1, error: FileNameError::Empty });
    assert_eq!(error("a/"), Name { index: 1, error: FileNameError::Empty });
    assert_eq!(error("a/C:/b"), Name { index: 1, error: FileNameError::Separator { found: ':', at: 1 } });
    assert_eq!(error("ok/nul.txt"), Name { index: 1, error: FileNameError::DeviceName });
    assert_eq!(error(&"a/".repeat(600)), TooLong { len: 1200 });
    assert_eq!(
        format!("{}", error("a/..")),
        "name 2 of the path: a file name that means this folder or the one above"
    );
}

#[test]
fn depth_and_length_hold_at_their_limits() {
    let deep = Vec::from(["a"; 32]).join("/");
    let path = SafeRelPathRef::new(&deep).unwrap();
    let name = SafeNameRef::new("a").unwrap();
    assert_eq!(path.join(name), Err(RelPathError::TooDeep));
    assert_eq!(path.components().count(), 32);
    let long = ["x".repeat(240).as_str(); 4].join("/") + "/" + &"y".repeat(60);
    let path = SafeRelPathRef::new(&long).unwrap();
    assert_eq!(path.as_str().len(), SafeRelPathRef::MAX_LEN);
    assert_eq!(path.join(name), Err(RelPathError::TooLong { len: 1026 }));
}

#[test]
fn names_that_a_file_system_may_confuse_have_one_key() {
    let key = |name| case_fold_key(SafeNameRef::new(name).unwrap());
    for (one, other) in [
        ("README", "ReadMe"),
        ("Ärger", "ärger"),
        ("ΟΔΟΣ", "οδος"),
        ("Straße", "STRASSE"),
        ("STRAẞE", "straße"),
        ("ﬁx", "FIX"),
        ("❤\u{fe0f}", "❤"),
    ] {
        assert_eq!(key(one), key(other), "{one} {other}");
    }
    assert_ne!(key("a"), key("á"));
}

#[test]
fn nothing_unsafe_comes_off_the_wire() {
    fn decode(bytes: &[u8]) -> Result<SafeRelPathRef<'_>, WireError> {
        SafeRelPathRef::decode(&mut Reader::new(bytes), "path")
    }
    assert_eq!(decode(b"\0\x04../a"), Err(WireError::UnsafePath { field: "path" }));
    assert_eq!(decode(b"\0\x01\xff"), Err(WireError::NotUtf8 { field: "path" }));
    assert_eq!(decode(b"\0\x03a/"), Err(WireError::Truncated { field: "path" }));
    assert_eq!(decode(b"\x04\x01"), Err(WireError::TooLong { field: "path", len: 1025, max: 1024 }));
    assert_eq!(decode(b"\0\0"), Ok(SafeRelPathRef::ROOT));
    let name = SafeNameRef::decode(&mut Reader::new(b"\x02.."), "name");
    assert_eq!(name, Err(WireError::UnsafePath { field: "name" }));
}

/// Strings made of what attacks are made of, so that the rules meet and do not only fire alone.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(
        &[
            ".", "..", "/", "\\", ":", " ", "~", "\0", "\n", "con", "COM1", "a", "é", "e\u{301}", "\u{202e}",
            "\u{200b}", "\u{ff0e}", "\u{2215}", "b", "c.d", "日本", "/a", "/é", "x/y",
        ][..],
    );
    prop_oneof![prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat()), any::<String>()]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_accepted_path_can_lead_out(path in hostile()) {
        if let Ok(safe) = SafeRelPathRef::new(&path) {
            prop_assert_eq!(safe.as_str(), &path);
            prop_assert!(!path.contains(['\\', ':', '\0']) && !path.starts_with('/') && !path.ends_with('/'));
            prop_assert!(!path.chars().any(|c| is_forbidden(c) || is_invisible(c)));
            prop_assert!(path.split('/').all(|name| !matches!(name, "." | "..")));
            prop_assert!(path.is_empty() || path.split('/').all(|name| SafeNameRef::new(name).is_ok()));
            let mut rebuilt = SafeRelPath::root();
            for name in safe.components() {
                rebuilt = rebuilt.borrow().join(name).unwrap();
            }
            prop_assert_eq!(rebuilt.borrow(), safe);
        }
    }

    #[test]
    fn accepted_paths_survive_the_wire(path in hostile()) {
        if let Ok(safe) = SafeRelPathRef::new(&path) {
            let mut bytes = Vec::new();
            safe.encode(&mut bytes);
            prop_assert_eq!(bytes.len(), safe.encoded_len());
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(SafeRelPathRef::decode(&mut reader, "path"), Ok(safe));
            prop_assert_eq!(reader.remaining(), 0);
        }
    }

    #[test]
    fn a_key_does_not_change_with_case(name in "[a-zà-öα-ωа-я]{1,20}") {
        if let (Ok(name), Ok(upper)) = (SafeName::new(&name), SafeName::new(&name.to_uppercase())) {
            prop_assert_eq!(case_fold_key(name.borrow()), case_fold_key(upper.borrow()));
        }
    }
}
