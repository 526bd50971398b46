//! The shared folder: lists what is safe, skips the rest with a reason, and never sends a file that changed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files_support;

use chatclient::share::{
    Listing, MAX_SKIPPED_NAMES, Outgoing, Seen, Share, ShareError, SharedFile, SkipReason,
};
use chatproto::verify::UnitLog2;
use chatproto::wire::path::FileNameError;
use chatproto::wire::{EntryKind, SafeRelPath, SafeRelPathRef};
use files_support::{as_ordinary_user, path};
use rustix::fs::{CWD, FileType, Mode};
use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, SystemTime};

const UNIT: UnitLog2 = UnitLog2::MIN;

fn share(files: &[(&str, &[u8])]) -> (tempfile::TempDir, Share) {
    let temp = tempfile::tempdir().unwrap();
    for (file, content) in files {
        let file = temp.path().join(file);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, content).unwrap();
    }
    let share = Share::open(temp.path()).unwrap();
    (temp, share)
}

fn names(listing: &Listing) -> Vec<&str> {
    listing.entries().iter().map(|entry| entry.name.as_str()).collect()
}

fn root_names(share: &Share) -> Vec<String> {
    names(&share.list(SafeRelPathRef::ROOT).unwrap()).into_iter().map(str::to_owned).collect()
}

fn open(share: &Share, file: &str) -> Result<SharedFile, ShareError> {
    share.open_file(path(file).borrow(), None)
}

fn make_pipe(path: &Path) {
    rustix::fs::mknodat(CWD, path, FileType::Fifo, Mode::RWXU, 0).unwrap();
}

#[test]
fn a_share_that_cannot_be_is_refused_with_its_path() {
    let (temp, _) = share(&[("file", b"")]);
    let error = Share::open(temp.path().join("missing")).unwrap_err();
    assert!(matches!(error, ShareError::NotFound { .. }), "{error:?}");
    assert!(error.to_string().contains("missing"), "{error}");
    let error = Share::open(temp.path().join("file")).unwrap_err();
    assert!(matches!(error, ShareError::NotAFolder { .. }), "{error:?}");
}

#[test]
fn a_hash_gives_what_is_shared_and_nothing_else() {
    let content = [7; 3000];
    let root = *blake3::hash(&content).as_bytes();
    let (temp, share) = share(&[("notes.txt", &content), ("secret/plan.txt", b"known to nobody")]);
    assert!(matches!(share.open_root(&root), Err(ShareError::NotFound { .. })), "it was never read");
    let known = loop {
        let mut outgoing = Outgoing::new(open(&share, "notes.txt").unwrap(), UnitLog2::DEFAULT);
        while outgoing.next_unit().unwrap().is_some() {}
        // What was changed just now may change again without a trace, and is not remembered yet.
        outgoing.remember(share.hashes());
        if let Ok(known) = share.open_root(&root) {
            break known;
        }
        std::thread::yield_now();
    };
    assert_eq!(known.shared_path(), "notes.txt");
    let notes = temp.path().join("notes.txt");
    // The same bytes are elsewhere, but not shared any more.
    let outside = tempfile::tempdir().unwrap();
    fs::rename(&notes, outside.path().join("notes.txt")).unwrap();
    assert!(share.open_root(&root).is_err());
    symlink(outside.path().join("notes.txt"), &notes).unwrap();
    assert!(matches!(share.open_root(&root), Err(ShareError::NotAFile { .. })));
}

#[test]
fn folders_come_first_and_case_does_not_order() {
    let (temp, share) =
        share(&[("b.txt", b"12"), ("A.txt", b"1"), ("a.txt", b""), ("Z/x", b""), ("c/x", b"")]);
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(1_600_000_000_123);
    File::options().write(true).open(temp.path().join("b.txt")).unwrap().set_modified(time).unwrap();

    let listing = share.list(SafeRelPathRef::ROOT).unwrap();
    assert_eq!(names(&listing), ["c", "Z", "A.txt", "a.txt", "b.txt"]);
    let kinds: Vec<EntryKind> = listing.entries().iter().map(|entry| entry.kind).collect();
    assert_eq!(kinds[1..3], [EntryKind::Folder, EntryKind::File]);
    let last = listing.entries().last().unwrap();
    assert_eq!((last.size, last.mtime_ms), (2, 1_600_000_000_123));
    assert_eq!(listing.entries()[0].size, 0);
    assert!(listing.skipped().is_empty() && !listing.truncated());

    assert_eq!(names(&share.list(path("Z").borrow()).unwrap()), ["x"]);
    assert!(matches!(share.list(path("b.txt").borrow()), Err(ShareError::NotAFolder { .. })));
    assert!(matches!(share.list(path("no").borrow()), Err(ShareError::NotFound { .. })));
}

#[test]
fn what_cannot_be_served_is_left_out_with_its_reason() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let (temp, share) = share(&[("fine", b"x"), ("folder/inner", b"x")]);
    let at = |name: &str| temp.path().join(name);
    symlink(outside.path().join("secret"), at("link-out")).unwrap();
    symlink("fine", at("link-in")).unwrap();
    symlink(outside.path(), at("link-folder")).unwrap();
    symlink("nowhere", at("link-dangling")).unwrap();
    make_pipe(&at("pipe"));
    let _socket = UnixListener::bind(at("socket")).unwrap();
    fs::write(at("bad\u{1b}[31mred"), "").unwrap();
    fs::write(at("e\u{301}"), "").unwrap();
    fs::write(at("back\\slash"), "").unwrap();
    fs::write(at("CON.txt"), "").unwrap();
    fs::write(at(".song.mp3.0123abcd.part"), "").unwrap();
    fs::write(temp.path().join(OsStr::from_bytes(b"not\xffutf8")), "").unwrap();

    let listing = share.list(SafeRelPathRef::ROOT).unwrap();
    assert_eq!(names(&listing), ["folder", "fine"]);
    let reason = |name: &[u8]| {
        listing.skipped().iter().find(|skipped| skipped.name == OsStr::from_bytes(name)).unwrap().reason
    };
    for link in ["link-out", "link-in", "link-folder", "link-dangling"] {
        assert_eq!(reason(link.as_bytes()), SkipReason::Symlink, "{link}");
    }
    assert_eq!(reason(b"pipe"), SkipReason::Special);
    assert_eq!(reason(b"socket"), SkipReason::Special);
    assert_eq!(reason(b"not\xffutf8"), SkipReason::NotUtf8);
    assert_eq!(reason(b".song.mp3.0123abcd.part"), SkipReason::Unfinished);
    assert_eq!(reason("e\u{301}".as_bytes()), SkipReason::UnsafeName(FileNameError::NotNfc));
    assert_eq!(reason(b"CON.txt"), SkipReason::UnsafeName(FileNameError::DeviceName));
    assert!(matches!(
        reason(b"bad\x1b[31mred"),
        SkipReason::UnsafeName(FileNameError::ForbiddenChar { found: '\x1b', .. })
    ));
    assert_eq!(listing.skipped_total(), 12);
}

#[test]
fn nothing_outside_can_be_opened_or_listed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let (temp, share) = share(&[("folder/inner", b"x")]);
    symlink(outside.path().join("secret"), temp.path().join("link")).unwrap();
    symlink(outside.path(), temp.path().join("out")).unwrap();
    symlink("folder", temp.path().join("in")).unwrap();
    make_pipe(&temp.path().join("pipe"));

    // The paths that would climb do not even exist as a type.
    for climbing in ["..", "../secret", "folder/../../secret", "/etc/passwd", "./x", "a//b"] {
        assert!(SafeRelPath::new(climbing).is_err(), "{climbing}");
    }
    for not_a_file in ["link", "pipe", "folder", "out", ""] {
        let error = open(&share, not_a_file).unwrap_err();
        assert!(matches!(error, ShareError::NotAFile { .. }), "{not_a_file}: {error:?}");
    }
    for through_link in ["out/secret", "in/inner", "folder/inner/x"] {
        let error = open(&share, through_link).unwrap_err();
        assert!(matches!(error, ShareError::NotAFolder { .. }), "{through_link}: {error:?}");
    }
    for folder in ["out", "in"] {
        let error = share.list(path(folder).borrow()).unwrap_err();
        assert!(matches!(error, ShareError::NotAFolder { .. }), "{folder}: {error:?}");
    }
    assert!(matches!(open(&share, "no"), Err(ShareError::NotFound { .. })));
    assert!(matches!(open(&share, "no/no"), Err(ShareError::NotFound { .. })));
}

#[test]
fn unreadable_files_are_left_out_and_an_unreadable_share_is_refused() {
    let prepare = |folder: &Path| {
        for (file, mode) in [("open", 0o644), ("closed", 0o000)] {
            fs::write(folder.join(file), "x").unwrap();
            fs::set_permissions(folder.join(file), fs::Permissions::from_mode(mode)).unwrap();
        }
        // Without the right to read, then without the right to enter.
        for (inner, mode) in [("unlistable", 0o311), ("unenterable", 0o444)] {
            fs::create_dir(folder.join(inner)).unwrap();
            fs::set_permissions(folder.join(inner), fs::Permissions::from_mode(mode)).unwrap();
        }
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    };
    as_ordinary_user("unreadable_files_are_left_out_and_an_unreadable_share_is_refused", prepare, |folder| {
        let share = Share::open(folder).unwrap();
        let listing = share.list(SafeRelPathRef::ROOT).unwrap();
        assert_eq!(names(&listing), ["open"]);
        let skipped: Vec<_> =
            listing.skipped().iter().map(|one| (one.name.to_str().unwrap(), one.reason)).collect();
        assert_eq!(
            skipped,
            ["closed", "unenterable", "unlistable"].map(|name| (name, SkipReason::Unreadable))
        );

        assert!(matches!(open(&share, "closed"), Err(ShareError::Denied { .. })));
        assert!(matches!(share.list(path("unlistable").borrow()), Err(ShareError::Denied { .. })));
        let error = Share::open(folder.join("unlistable")).unwrap_err();
        assert!(error.to_string().contains("may not be read by this user"), "{error}");
    });
}

#[test]
fn the_report_of_skipped_names_is_bounded() {
    let (temp, share) = share(&[]);
    for number in 0..MAX_SKIPPED_NAMES + 5 {
        symlink("x", temp.path().join(format!("link{number:04}"))).unwrap();
    }
    let listing = share.list(SafeRelPathRef::ROOT).unwrap();
    assert_eq!(listing.skipped().len(), MAX_SKIPPED_NAMES);
    assert_eq!(listing.skipped_total(), MAX_SKIPPED_NAMES + 5);
    assert_eq!(listing.skipped()[0].name, "link0000");
}

#[test]
fn names_that_no_request_could_carry_are_left_out() {
    let deep = vec!["d"; SafeRelPathRef::MAX_DEPTH].join("/");
    let (temp, share) = share(&[]);
    fs::create_dir_all(temp.path().join(&deep)).unwrap();
    fs::write(temp.path().join(&deep).join("file"), "").unwrap();
    let listing = share.list(path(&deep).borrow()).unwrap();
    assert_eq!(names(&listing), [""; 0]);
    assert_eq!(listing.skipped()[0].reason, SkipReason::PathTooLong);
}

#[test]
fn a_fingerprint_tells_any_change_of_the_list() {
    let (temp, share) = share(&[("a", b"1"), ("b", b"1")]);
    let look = || share.list(SafeRelPathRef::ROOT).unwrap().fingerprint();
    let mut seen = vec![look()];
    assert_eq!(seen[0], look(), "nothing changed");
    let at = |name: &str| temp.path().join(name);
    let changes: [&dyn Fn(); 4] = [
        &|| fs::write(at("a"), "22").unwrap(),
        &|| fs::rename(at("a"), at("c")).unwrap(),
        &|| File::options().write(true).open(at("b")).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap(),
        &|| fs::remove_file(at("b")).unwrap(),
    ];
    for change in changes {
        change();
        let now = look();
        assert!(!seen.contains(&now));
        seen.push(now);
    }
}

#[test]
fn a_file_that_is_not_as_listed_is_not_opened() {
    let (_temp, share) = share(&[("file", b"content")]);
    let listed = share.list(SafeRelPathRef::ROOT).unwrap().into_entries().remove(0);
    let seen = Seen { size: listed.size, mtime_ms: listed.mtime_ms };
    let open = |seen| share.open_file(path("file").borrow(), Some(seen));
    let file = open(seen).unwrap();
    assert_eq!((file.size(), file.mtime_ms()), (seen.size, seen.mtime_ms));
    for other in [Seen { size: seen.size + 1, ..seen }, Seen { mtime_ms: seen.mtime_ms + 1, ..seen }] {
        assert!(matches!(open(other), Err(ShareError::Changed { .. })), "{other:?}");
    }
}

#[test]
fn a_file_that_changes_while_it_is_sent_is_noticed() {
    let changes: [fn(&File); 4] = [
        |file| file.set_len(1500).unwrap(),
        |file| file.set_len(0).unwrap(),
        |file| file.set_len(1 << 20).unwrap(),
        |file| file.set_modified(SystemTime::UNIX_EPOCH).unwrap(),
    ];
    for change in changes {
        let (temp, share) = share(&[("file", &[7; 3000])]);
        let mut outgoing = Outgoing::new(open(&share, "file").unwrap(), UNIT);
        assert_eq!(outgoing.next_unit().unwrap().unwrap().bytes, [7; 1024][..]);
        change(&File::options().write(true).open(temp.path().join("file")).unwrap());
        let error = outgoing.next_unit().unwrap_err();
        assert!(matches!(error, ShareError::Changed { .. }), "{error:?}");
        assert!(outgoing.root().is_none());
    }
}

#[test]
fn a_file_that_is_replaced_or_removed_is_sent_as_it_was() {
    let (temp, share) = share(&[("file", &[7; 3000]), ("new", &[8; 3000])]);
    let mut outgoing = Outgoing::new(open(&share, "file").unwrap(), UNIT);
    outgoing.next_unit().unwrap();
    fs::rename(temp.path().join("new"), temp.path().join("file")).unwrap();
    assert_eq!(outgoing.next_unit().unwrap().unwrap().bytes, [7; 1024][..]);
    fs::remove_file(temp.path().join("file")).unwrap();
    assert_eq!(outgoing.next_unit().unwrap().unwrap().bytes, [7; 952][..]);
    assert!(outgoing.next_unit().unwrap().is_none());
    assert_eq!(outgoing.root().unwrap(), *blake3::hash(&[7; 3000]).as_bytes());
}

#[test]
fn any_unit_can_be_read_alone() {
    let content: Vec<u8> = (0..3000_u32).flat_map(u32::to_be_bytes).collect();
    let (_temp, share) = share(&[("file", &content)]);
    let file = open(&share, "file").unwrap();
    let mut buffer = vec![1; 5000];
    for index in [11, 0, 5] {
        file.read_unit(UNIT, index, &mut buffer).unwrap();
        let start = usize::try_from(index).unwrap() * 1024;
        assert_eq!(buffer, content[start..content.len().min(start + 1024)]);
    }
    assert!(matches!(file.read_unit(UNIT, 12, &mut buffer), Err(ShareError::NoSuchUnit { .. })));
}

#[test]
fn the_share_goes_on_while_its_folder_changes_under_it() {
    let (temp, share) = share(&[("old", b"")]);
    assert_eq!(root_names(&share), ["old"]);
    fs::write(temp.path().join("new"), "").unwrap();
    assert_eq!(root_names(&share), ["new", "old"]);
    // The handle is the folder, not its path.
    let moved = tempfile::tempdir().unwrap();
    fs::rename(temp.path(), moved.path().join("elsewhere")).unwrap();
    assert_eq!(root_names(&share), ["new", "old"]);
}

#[test]
fn what_is_read_at_once_is_what_a_worker_reads() {
    let (temp, share) = share(&[("docs/a.txt", b"hello"), ("docs/empty", b"")]);
    for file in ["docs/a.txt", "docs/empty"] {
        let opened = open(&share, file).unwrap();
        let seen = Seen { size: opened.size(), mtime_ms: opened.mtime_ms() };
        // Not every system and file system can tell what is in memory; then a worker reads all.
        let Some(at_once) = share.open_at_once(path(file).borrow(), seen) else { continue };
        assert_eq!((at_once.size(), at_once.mtime_ms()), (opened.size(), opened.mtime_ms()));
        let mut at_once = Outgoing::new(at_once, UnitLog2::DEFAULT);
        let Some(unit) = at_once.next_unit_at_once() else { continue };
        let mut by_worker = Outgoing::new(opened, UnitLog2::DEFAULT);
        let other = by_worker.next_unit().unwrap().unwrap();
        assert_eq!((unit.index, unit.bytes, unit.value), (other.index, other.bytes, other.value));
        assert_eq!(at_once.root(), by_worker.root());
        assert!(at_once.next_unit_at_once().is_none(), "there is one unit");
        assert!(at_once.next_unit().unwrap().is_none());
    }
    drop(temp);
}

#[test]
fn nothing_else_is_opened_at_once() {
    let (temp, share) = share(&[("docs/a.txt", b"hello")]);
    let (outside, _other) = self::share(&[("secret", b"hello")]);
    symlink(outside.path().join("secret"), temp.path().join("link")).unwrap();
    symlink(temp.path().join("docs"), temp.path().join("folder")).unwrap();
    make_pipe(&temp.path().join("pipe"));
    let seen = |file: &Path| {
        let metadata = fs::metadata(file).unwrap();
        let modified = metadata.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        Seen { size: metadata.len(), mtime_ms: u64::try_from(modified.as_millis()).unwrap() }
    };
    let file = temp.path().join("docs/a.txt");
    let right = seen(&file);
    let cases = [
        ("link", seen(&outside.path().join("secret"))),
        ("folder/a.txt", right),
        ("docs", seen(&temp.path().join("docs"))),
        ("pipe", seen(&temp.path().join("pipe"))),
        ("missing", right),
        ("docs/a.txt", Seen { size: 4, ..right }),
        ("docs/a.txt", Seen { mtime_ms: right.mtime_ms + 1, ..right }),
    ];
    for (name, seen) in cases {
        assert!(share.open_at_once(path(name).borrow(), seen).is_none(), "{name}");
    }
    let Some(opened) = share.open_at_once(path("docs/a.txt").borrow(), right) else { return };
    fs::write(&file, b"hello, world").unwrap();
    let mut outgoing = Outgoing::new(opened, UnitLog2::DEFAULT);
    assert!(outgoing.next_unit_at_once().is_none(), "it has changed");
    assert!(matches!(outgoing.next_unit(), Err(ShareError::Changed { .. })));
}
