//! The download folder: whole and verified or not there at all, and nothing is ever replaced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files_support;

use bytes::Bytes;
use chatclient::downloads::{DownloadError, Downloads, Incoming, Origin, Search};
use chatclient::share::{Outgoing, Share};
use chatproto::verify::UnitLog2;
use chatproto::wire::SafeRelPathRef;
use files_support::{as_ordinary_user, name, path};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, UNIX_EPOCH};

const ROOT: SafeRelPathRef<'static> = SafeRelPathRef::ROOT;
const UNIT: UnitLog2 = UnitLog2::MIN;

fn downloads() -> (tempfile::TempDir, Downloads) {
    let temp = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(temp.path()).unwrap();
    (temp, downloads)
}

fn files(folder: &Path) -> BTreeSet<String> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

fn origin(path: &str, size: u64) -> Origin {
    Origin { peer: "bob".to_owned(), path: path.to_owned(), size, mtime_ms: 7, unit: UNIT, root: None }
}

fn incoming(downloads: &Downloads, size: usize) -> Incoming {
    Incoming::begin(downloads, ROOT, name("file.bin").borrow(), &origin("file.bin", size as u64)).unwrap()
}

/// What a unit hashes to.
fn value(incoming: &Incoming, unit: u64, bytes: &[u8]) -> [u8; 32] {
    let mut hasher = incoming.layout().hasher(unit).unwrap();
    assert_eq!(hasher.update(bytes), bytes.len());
    hasher.finish().unwrap()
}

/// Stores a unit whose bytes are what they should be.
fn store(incoming: &mut Incoming, unit: u64, bytes: &[u8]) -> Result<(), DownloadError> {
    let value = value(incoming, unit, bytes);
    let stored = incoming.store(unit, &[Bytes::copy_from_slice(bytes)], &value)?;
    assert_eq!(stored, value);
    Ok(())
}

/// Sends a file of the share through to the downloads, in data frames of 700 bytes that end with each unit.
fn transfer(
    share: &Share,
    file: &str,
    downloads: &Downloads,
    unit: UnitLog2,
) -> chatclient::downloads::Finished {
    let file = path(file);
    let shared = share.open_file(file.borrow(), None).unwrap();
    let (size, mtime_ms) = (shared.size(), shared.mtime_ms());
    let mut outgoing = Outgoing::new(shared, unit);
    let (folder, name) = (file.borrow().parent().unwrap(), file.borrow().file_name().unwrap());
    let origin = Origin { unit, ..origin(file.as_str(), size) };
    let mut incoming = Incoming::begin(downloads, folder, name, &origin).unwrap();
    while let Some(sent) = outgoing.next_unit().unwrap() {
        let pieces: Vec<Bytes> = sent.bytes.chunks(700).map(Bytes::copy_from_slice).collect();
        assert_eq!(incoming.store(sent.index, &pieces, &sent.value).unwrap(), sent.value);
    }
    incoming.finish(&outgoing.root().unwrap(), mtime_ms).unwrap()
}

#[test]
fn a_file_arrives_identical_with_its_time_and_not_executable() {
    let unit = UNIT.len() as usize;
    for size in [0, 1, unit - 1, unit, unit + 1, 3 * unit + 1, 300_000] {
        let content: Vec<u8> = (0..=250).cycle().take(size).collect();
        let source = tempfile::tempdir().unwrap();
        fs::create_dir_all(source.path().join("music/old")).unwrap();
        let original = source.path().join("music/old/song.mp3");
        fs::write(&original, &content).unwrap();
        fs::set_permissions(&original, fs::Permissions::from_mode(0o777)).unwrap();
        let time = UNIX_EPOCH + Duration::from_millis(1_500_000_000_250);
        fs::File::options().write(true).open(&original).unwrap().set_modified(time).unwrap();

        let (temp, downloads) = downloads();
        let finished = transfer(&Share::open(source.path()).unwrap(), "music/old/song.mp3", &downloads, UNIT);
        assert_eq!(finished.path, temp.path().join("music/old/song.mp3"));
        assert_eq!(finished.size, size as u64);
        assert_eq!(finished.root, *blake3::hash(&content).as_bytes());
        assert_eq!(fs::read(&finished.path).unwrap(), content);
        let metadata = fs::metadata(&finished.path).unwrap();
        assert_eq!(metadata.modified().unwrap(), time);
        assert_eq!(metadata.permissions().mode() & 0o111, 0);
        assert_eq!(files(&temp.path().join("music/old")), ["song.mp3".to_owned()].into());
    }
}

#[test]
fn the_folder_is_created_and_a_file_in_its_place_is_named() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("a/b");
    Downloads::open(&folder).unwrap();
    assert_eq!(files(&folder), BTreeSet::new(), "the trial file is gone");

    fs::write(temp.path().join("file"), "").unwrap();
    for no_folder in ["file", "file/inner"] {
        let error = Downloads::open(temp.path().join(no_folder)).unwrap_err();
        assert!(matches!(error, DownloadError::NotAFolder { .. }), "{error:?}");
        assert!(error.to_string().contains("file"), "{error}");
    }
}

#[test]
fn a_folder_that_is_not_writable_is_refused_at_once() {
    let prepare = |folder: &Path| {
        fs::create_dir(folder.join("closed")).unwrap();
        fs::set_permissions(folder.join("closed"), fs::Permissions::from_mode(0o555)).unwrap();
    };
    as_ordinary_user("a_folder_that_is_not_writable_is_refused_at_once", prepare, |folder| {
        for closed in ["closed", "closed/inner"] {
            let error = Downloads::open(folder.join(closed)).unwrap_err();
            assert!(matches!(error, DownloadError::NotWritable { .. }), "{error:?}");
            assert!(error.to_string().contains("is not writable"), "{error}");
        }
    });
}

#[test]
fn a_download_folder_that_vanished_is_an_error_and_not_made_anew_elsewhere() {
    let (temp, downloads) = downloads();
    fs::remove_dir(temp.path()).unwrap();
    let error = downloads.begin(ROOT, name("x").borrow(), 1).unwrap_err();
    assert!(matches!(error, DownloadError::Io { .. }), "{error:?}");
    assert!(!temp.path().exists());
}

#[test]
fn a_taken_name_gets_a_number_and_nothing_is_replaced() {
    let (temp, downloads) = downloads();
    fs::write(temp.path().join("file.bin"), "mine").unwrap();
    symlink("nowhere", temp.path().join("file (1).bin")).unwrap();
    fs::create_dir(temp.path().join("file (2).bin")).unwrap();
    let partial = downloads.begin(ROOT, name("file.bin").borrow(), 3).unwrap();
    assert!(!partial.path().ends_with(partial.temporary_path().file_name().unwrap()));
    partial.write_at(0, b"new").unwrap();
    let landed = partial.finish(0).unwrap();
    assert_eq!(landed, temp.path().join("file (3).bin"));
    assert_eq!(fs::read_to_string(landed).unwrap(), "new");
    assert_eq!(fs::read_to_string(temp.path().join("file.bin")).unwrap(), "mine");
    assert!(!temp.path().join("nowhere").exists());
}

#[test]
fn many_files_that_race_for_one_name_all_survive() {
    const RACERS: usize = 24;
    let (temp, downloads) = downloads();
    let start = Barrier::new(RACERS + 1);
    thread::scope(|scope| {
        for racer in 0..RACERS {
            let (downloads, start) = (downloads.clone(), &start);
            scope.spawn(move || {
                let content = format!("{racer:04}");
                let partial = downloads.begin(ROOT, name("same.txt").borrow(), 4).unwrap();
                partial.write_at(0, content.as_bytes()).unwrap();
                start.wait();
                let landed = partial.finish(0).unwrap();
                assert_eq!(fs::read_to_string(landed).unwrap(), content);
            });
        }
        start.wait();
        // And somebody else who wants the name.
        let _ = fs::File::create_new(temp.path().join("same.txt"));
    });
    let contents: BTreeSet<String> =
        files(temp.path()).iter().map(|file| fs::read_to_string(temp.path().join(file)).unwrap()).collect();
    assert!((0..RACERS).all(|racer| contents.contains(&format!("{racer:04}"))), "{contents:?}");
    assert!(files(temp.path()).iter().all(|file| file.starts_with("same")), "no temporary name is left");
}

#[test]
fn a_name_like_that_of_a_part_is_not_given() {
    let (temp, downloads) = downloads();
    for taken in [".film.mkv.12345678.part", ".film.mkv.12345678.held"] {
        let partial = downloads.begin(ROOT, name(taken).borrow(), 1).unwrap();
        partial.write_at(0, b"x").unwrap();
        partial.finish(0).unwrap();
    }
    let given = [".film.mkv.12345678 (1).held", ".film.mkv.12345678 (1).part"];
    assert_eq!(files(temp.path()), given.map(String::from).into());
}

#[test]
fn an_absurd_time_does_not_cost_the_file() {
    let (_temp, downloads) = downloads();
    for mtime_ms in [1, u64::MAX] {
        let partial = downloads.begin(ROOT, name("x").borrow(), 1).unwrap();
        partial.write_at(0, b"x").unwrap();
        assert_eq!(fs::read(partial.finish(mtime_ms).unwrap()).unwrap(), b"x");
    }
}

#[test]
fn no_link_leads_out_of_the_folder() {
    let outside = tempfile::tempdir().unwrap();
    let (temp, downloads) = downloads();
    symlink(outside.path(), temp.path().join("out")).unwrap();
    fs::write(temp.path().join("file"), "").unwrap();
    for folder in ["out", "out/inner", "file", "file/inner"] {
        let error = downloads.begin(path(folder).borrow(), name("x").borrow(), 1).unwrap_err();
        assert!(matches!(error, DownloadError::NotAFolder { .. }), "{folder}: {error:?}");
    }
    assert_eq!(files(outside.path()), BTreeSet::new());
}

#[test]
fn an_interrupted_file_is_kept_and_a_cancelled_one_is_not() {
    let (temp, downloads) = downloads();
    let partial = downloads.begin(ROOT, name("kept").borrow(), 10).unwrap();
    partial.write_at(0, b"12345").unwrap();
    let kept = partial.temporary_path();
    drop(partial);
    assert_eq!(fs::read(&kept).unwrap(), b"12345");

    let mut cancelled = incoming(&downloads, 3000);
    store(&mut cancelled, 0, &[1; 1024]).unwrap();
    cancelled.discard().unwrap();
    assert_eq!(files(temp.path()).len(), 1);
    assert!(kept.exists());
}

#[test]
fn bytes_that_do_not_fit_are_refused() {
    let (temp, downloads) = downloads();
    let unit = UNIT.len() as usize;
    let refused = |number, bytes: &[u8]| {
        let pieces = [Bytes::copy_from_slice(bytes)];
        incoming(&downloads, unit + 10).store(number, &pieces, &[0; 32]).unwrap_err()
    };
    assert!(matches!(refused(0, &vec![0; unit + 1]), DownloadError::CrossesUnit { .. }));
    assert!(matches!(refused(0, &vec![0; unit - 1]), DownloadError::UnitIncomplete { missing: 1, .. }));
    assert!(matches!(refused(1, &vec![0; unit]), DownloadError::CrossesUnit { .. }));
    assert!(matches!(refused(2, b"x"), DownloadError::NoUnitLeft { .. }));
    let partial = downloads.begin(ROOT, name("x").borrow(), 1).unwrap();
    assert!(matches!(partial.write_at(u64::MAX, b"xx"), Err(DownloadError::PastEnd { .. })));
    let mut empty = incoming(&downloads, 0);
    assert!(matches!(empty.store(0, &[], &[0; 32]), Err(DownloadError::NoUnitLeft { .. })));
    assert!(!temp.path().join("file.bin").exists());
}

#[test]
fn a_unit_with_another_value_is_not_written() {
    let (_temp, downloads) = downloads();
    let mut file = incoming(&downloads, 3000);
    let good = value(&file, 0, &[1; 1024]);
    let found = file.store(0, &[Bytes::from(vec![2; 1024])], &good).unwrap();
    assert_ne!(found, good);
    assert_eq!(file.received(), 0);
    assert_eq!(fs::metadata(file.partial().temporary_path()).unwrap().len(), 0);
    store(&mut file, 0, &[1; 1024]).unwrap();
    assert_eq!((file.received(), file.prefix().0), (1024, 1));
}

#[test]
fn an_incomplete_file_does_not_get_its_name() {
    let (temp, downloads) = downloads();
    let mut file = incoming(&downloads, 2000);
    store(&mut file, 0, &[0; 1024]).unwrap();
    let error = file.finish(&[0; 32], 0).unwrap_err();
    assert!(matches!(error, DownloadError::Incomplete { received: 1024, size: 2000, .. }), "{error:?}");

    let short = downloads.begin(ROOT, name("file.bin").borrow(), 3).unwrap();
    short.write_at(0, b"x").unwrap();
    assert!(matches!(short.finish(0), Err(DownloadError::Incomplete { received: 1, size: 3, .. })));
    assert!(!temp.path().join("file.bin").exists());
}

#[test]
fn a_file_with_another_hash_is_removed() {
    let (temp, downloads) = downloads();
    let mut file = incoming(&downloads, 4);
    store(&mut file, 0, b"evil").unwrap();
    let error = file.finish(blake3::hash(b"good").as_bytes(), 0).unwrap_err();
    assert!(matches!(error, DownloadError::RootMismatch { .. }), "{error:?}");
    assert!(error.to_string().contains(blake3::hash(b"evil").to_hex().as_str()), "{error}");
    assert_eq!(files(temp.path()), BTreeSet::new());
}

#[test]
fn a_file_larger_than_the_disk_is_refused_before_it_comes() {
    let (temp, downloads) = downloads();
    let error = downloads.begin(ROOT, name("huge").borrow(), u64::MAX).unwrap_err();
    assert!(matches!(error, DownloadError::NoRoom { needed: u64::MAX, .. }), "{error:?}");
    assert_eq!(files(temp.path()), BTreeSet::new());
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_runs_full_is_named_as_such() {
    files_support::on_small_disk("a_disk_that_runs_full_is_named_as_such", 256, |folder| {
        let downloads = Downloads::open(folder).unwrap();
        let mut file = incoming(&downloads, 100 * 1024);
        // There was room at the beginning, and then somebody else took it.
        fs::write(folder.join("other"), vec![0; 220 * 1024]).unwrap();
        let error = (0..).find_map(|unit| store(&mut file, unit, &[0; 1024]).err()).unwrap();
        assert!(matches!(error, DownloadError::DiskFull { .. }), "{error:?}");
        assert!(error.to_string().contains("the disk is full"), "{error}");
        assert!(!folder.join("file.bin").exists());

        // What came is kept all the same, but for the unit that made room for the record.
        let received = file.received();
        let kept = file.keep().unwrap().unwrap();
        assert!(kept.bytes() > 0 && kept.bytes() <= received, "{} of {received}", kept.bytes());
        fs::remove_file(folder.join("other")).unwrap();
        let wanted = origin("file.bin", 100 * 1024);
        let Search::Part(mut part) = downloads.look_for(ROOT, name("file.bin").borrow(), &wanted).unwrap()
        else {
            panic!("the part is not found");
        };
        assert_eq!(part.recheck(u64::MAX).unwrap(), 0);
        assert_eq!(part.received(), kept.bytes());
        drop(part);

        let error = downloads.begin(ROOT, name("x").borrow(), 250 * 1024).unwrap_err();
        assert!(matches!(error, DownloadError::NoRoom { .. }), "{error:?}");
    });
}

#[test]
fn it_can_move_to_worker_threads() {
    fn is_send<T: Send + 'static>() {}
    is_send::<Downloads>();
    is_send::<Incoming>();
    is_send::<Share>();
    is_send::<Outgoing>();
    is_send::<chatclient::state::Journal>();
}
