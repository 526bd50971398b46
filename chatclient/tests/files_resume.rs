//! Going on with a part of a file: what is believed, what is refused, and what is left alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files_support;

use bytes::Bytes;
use chatclient::downloads::{
    Claim, Content, Downloads, Incoming, Origin, Record, Search, Small, Whole, finish_all,
};
use chatproto::verify::{Held, UnitLog2};
use chatproto::wire::SafeRelPathRef;
use files_support::name;
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: SafeRelPathRef<'static> = SafeRelPathRef::ROOT;
const UNIT: usize = 1024;
const SIZE: usize = 5 * UNIT + 100;

fn downloads() -> (tempfile::TempDir, Downloads) {
    let temp = tempfile::tempdir().unwrap();
    let downloads = Downloads::open(temp.path()).unwrap();
    (temp, downloads)
}

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| u8::try_from(at / 7 % 251).unwrap()).collect()
}

fn origin() -> Origin {
    let (peer, path) = ("bob".to_owned(), "film.mkv".to_owned());
    Origin { peer, path, size: SIZE as u64, mtime_ms: 7, unit: UnitLog2::MIN, root: None }
}

fn begin(downloads: &Downloads) -> Incoming {
    Incoming::begin(downloads, ROOT, name("film.mkv").borrow(), &origin()).unwrap()
}

fn value(unit: usize) -> [u8; 32] {
    let mut hasher = origin().layout().hasher(unit as u64).unwrap();
    let bytes = bytes(unit);
    assert_eq!(hasher.update(&bytes), bytes.len());
    hasher.finish().unwrap()
}

fn bytes(unit: usize) -> Bytes {
    Bytes::copy_from_slice(&content()[unit * UNIT..SIZE.min((unit + 1) * UNIT)])
}

fn store(incoming: &mut Incoming, units: impl IntoIterator<Item = usize>) {
    for unit in units {
        assert_eq!(incoming.store(unit as u64, &[bytes(unit)], &value(unit)).unwrap(), value(unit));
    }
}

fn look(downloads: &Downloads, wanted: &Origin) -> Search {
    downloads.look_for(ROOT, name("film.mkv").borrow(), wanted).unwrap()
}

fn part(search: Search) -> Box<Incoming> {
    let Search::Part(mut part) = search else { panic!("no part was found, but {search:?}") };
    assert_eq!(part.recheck(u64::MAX).unwrap(), 0);
    part
}

/// The only file with this ending.
fn the_file(folder: &Path, ending: &str) -> PathBuf {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found = names.filter(|path| path.to_str().unwrap().ends_with(ending)).collect::<Vec<_>>();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn a_part_goes_on_where_it_ended_and_becomes_the_file() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    let kept = file.keep().unwrap().unwrap();
    assert_eq!(kept.bytes(), 3 * UNIT as u64);

    let mut file = part(look(&downloads, &origin()));
    let mut held = Held::new();
    (0..3).for_each(|unit| held.push(&value(unit)));
    assert_eq!(file.prefix(), (3, held.digest()));
    assert_eq!(file.gaps().first(), Some(&(3..6)));
    store(&mut file, 3..6);
    let finished = file.finish(blake3::hash(&content()).as_bytes(), 0).unwrap();
    assert_eq!(fs::read(finished.path).unwrap(), content());
    let names: Vec<_> = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["film.mkv"]);
}

#[test]
fn what_was_claimed_survives_a_crash_and_no_more() {
    let (_temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..2);
    // As if the process died here: nothing was claimed.
    drop(file);
    let mut file = part(look(&downloads, &origin()));
    assert_eq!(file.received(), 0);
    store(&mut file, 0..2);
    file.keep().unwrap().unwrap();
    let mut file = part(look(&downloads, &origin()));
    store(&mut file, 2..4);
    drop(file);
    assert_eq!(part(look(&downloads, &origin())).received(), 2 * UNIT as u64);
}

#[test]
fn units_behind_a_gap_are_kept_too() {
    let (_temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, [0, 2, 4]);
    assert_eq!(file.gaps(), vec![1..2, 3..4, 5..6]);
    file.keep().unwrap().unwrap();
    let mut file = part(look(&downloads, &origin()));
    assert_eq!(file.gaps(), vec![1..2, 3..4, 5..6]);
    assert_eq!(file.prefix().0, 1);
    store(&mut file, [5, 3, 1]);
    assert_eq!(file.prefix().0, 6);
    file.finish(blake3::hash(&content()).as_bytes(), 0).unwrap();
}

#[test]
fn bytes_that_changed_on_the_disk_are_fetched_again() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..4);
    file.keep().unwrap().unwrap();
    let path = the_file(temp.path(), ".part");
    let mut bytes = fs::read(&path).unwrap();
    bytes[UNIT + 5] ^= 1;
    fs::write(&path, &bytes[..3 * UNIT + 1]).unwrap();

    let file = part(look(&downloads, &origin()));
    assert_eq!(file.gaps(), vec![1..2, 3..6], "one was changed, one was cut");
    drop(file);
    // That they are gone was written down: what is there now is not looked at again.
    fs::write(&path, content()).unwrap();
    assert_eq!(part(look(&downloads, &origin())).gaps(), vec![1..2, 3..6]);
}

#[test]
fn a_damaged_record_is_named_and_everything_left_alone() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..4);
    file.keep().unwrap().unwrap();
    let record = the_file(temp.path(), ".held");
    for garbage in [&b""[..], b"\0\0\0\0", b"0123456789abcdef {\"file\":{}}\n"] {
        fs::write(&record, garbage).unwrap();
        let Search::Nothing { damaged } = look(&downloads, &origin()) else { panic!("it was believed") };
        assert_eq!(damaged, [the_file(temp.path(), ".part")]);
    }
    let before = fs::read(the_file(temp.path(), ".part")).unwrap();
    assert_eq!(before, content()[..4 * UNIT]);
}

#[test]
fn the_same_hash_is_enough_from_whomever_it_comes() {
    let (_temp, downloads) = downloads();
    let root = Some(*blake3::hash(&content()).as_bytes());
    let known = Origin { root, ..origin() };
    let mut file = Incoming::begin(&downloads, ROOT, name("film.mkv").borrow(), &known).unwrap();
    store(&mut file, 0..3);
    file.keep().unwrap().unwrap();
    let elsewhere =
        Origin { peer: "carol".to_owned(), path: "old/film.mkv".to_owned(), mtime_ms: 9, ..known.clone() };
    assert_eq!(part(look(&downloads, &elsewhere)).received(), 3 * UNIT as u64);
    let other = Origin { root: Some([1; 32]), ..elsewhere };
    assert!(matches!(look(&downloads, &other), Search::Nothing { .. }));
}

#[test]
fn what_changed_at_its_place_is_kept_until_it_is_discarded() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    file.keep().unwrap().unwrap();
    let newer = Origin { mtime_ms: 8, ..origin() };
    let Search::Changed(kept) = look(&downloads, &newer) else { panic!("the change was not seen") };
    assert_eq!(kept.bytes(), 3 * UNIT as u64);
    // Of somebody else, the same name is another file.
    let of_carol = Origin { peer: "carol".to_owned(), ..newer.clone() };
    assert!(matches!(look(&downloads, &of_carol), Search::Nothing { .. }));
    assert!(kept.discard().unwrap());
    assert!(matches!(look(&downloads, &newer), Search::Nothing { .. }));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_part_in_use_is_nobody_elses() {
    let (_temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    let kept = file.keep().unwrap().unwrap();
    let first = part(look(&downloads, &origin()));
    assert!(matches!(look(&downloads, &origin()), Search::Nothing { .. }));
    assert!(!kept.discard().unwrap());
    drop(first);
    part(look(&downloads, &origin()));
}

#[test]
fn nothing_is_kept_of_what_has_no_verified_unit() {
    let (temp, downloads) = downloads();
    assert!(begin(&downloads).keep().unwrap().is_none());
    let small = Origin { size: 100, ..origin() };
    let file = Incoming::begin(&downloads, ROOT, name("film.mkv").borrow(), &small).unwrap();
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1, "one unit needs no record");
    assert!(file.keep().unwrap().is_none());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_record_without_its_file_is_cleared_away() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    file.keep().unwrap().unwrap();
    fs::remove_file(the_file(temp.path(), ".part")).unwrap();
    assert!(matches!(look(&downloads, &origin()), Search::Nothing { .. }));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_link_in_place_of_a_part_is_not_followed() {
    let (temp, downloads) = downloads();
    let outside = tempfile::NamedTempFile::new().unwrap();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    file.keep().unwrap().unwrap();
    let path = the_file(temp.path(), ".part");
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(outside.path(), &path).unwrap();
    assert!(matches!(look(&downloads, &origin()), Search::Nothing { damaged } if damaged == [path]));
    assert_eq!(fs::metadata(outside.path()).unwrap().len(), 0);
}

#[test]
fn many_files_end_as_one_and_each_has_its_own_outcome() {
    let (temp, downloads) = downloads();
    let file = |number: usize, bytes: &[u8]| {
        let wanted = Origin { size: bytes.len() as u64, ..origin() };
        let name = name(&format!("{number}.txt"));
        let mut file = Incoming::begin(&downloads, ROOT, name.borrow(), &wanted).unwrap();
        let root = *blake3::hash(bytes).as_bytes();
        file.store(0, &[Bytes::copy_from_slice(bytes)], &root).unwrap();
        (file, root, 0)
    };
    // Some of them are not written before.
    let small = |number: usize, bytes: &[u8]| {
        let origin = Origin { size: bytes.len() as u64, ..origin() };
        let content = Content::hash(origin.layout(), vec![Bytes::copy_from_slice(bytes)]).unwrap();
        let (folder, name, root) = (ROOT.to_owned(), name(&format!("{number}.txt")), content.root());
        (Whole::Small(Box::new(Small { folder, name, origin, content })), root, 0)
    };
    let mut files: Vec<_> = (0..20)
        .map(|number| {
            let bytes = format!("file {number}");
            if number % 3 == 0 {
                return small(number, bytes.as_bytes());
            }
            let (file, root, mtime) = file(number, bytes.as_bytes());
            (Whole::Written(Box::new(file)), root, mtime)
        })
        .collect();
    let wrong = [6, 7];
    wrong.into_iter().for_each(|number| files[number].1 = [0; 32]);
    let outcomes = finish_all(&downloads, files);
    assert_eq!(outcomes.len(), 20);
    for (number, outcome) in outcomes.into_iter().enumerate() {
        if wrong.contains(&number) {
            assert!(outcome.is_err());
        } else {
            assert_eq!(fs::read_to_string(outcome.unwrap().path).unwrap(), format!("file {number}"));
        }
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 18, "of what is wrong nothing is left");
}

#[test]
fn what_a_crash_left_without_a_record_is_removed() {
    let (temp, downloads) = downloads();
    let folder = temp.path().join("folder");
    fs::create_dir(&folder).unwrap();
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    let left = |name: &str| {
        let file = fs::File::create(folder.join(name)).unwrap();
        file.set_modified(long_ago).unwrap();
        file
    };
    left(".small.txt.0000001f.part");
    left(".film.mkv.0000001f.part");
    left(".film.mkv.0000001f.held");
    left("notes.part");
    fs::write(folder.join(".new.txt.0000001f.part"), "somebody begins at this moment").unwrap();
    let used = left(".used.txt.0000001f.part");
    used.lock().unwrap();
    let into = files_support::path("folder");
    let file = Incoming::begin(&downloads, into.borrow(), name("other").borrow(), &origin()).unwrap();
    file.discard().unwrap();
    let mut names: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    let stay = [
        ".film.mkv.0000001f.held",
        ".film.mkv.0000001f.part",
        ".new.txt.0000001f.part",
        ".used.txt.0000001f.part",
        "notes.part",
    ];
    assert_eq!(names, stay);
}

/// Many folders may hold parts: none of them stays open for that.
#[cfg(target_os = "linux")]
#[test]
fn parts_that_wait_hold_nothing_open() {
    let (temp, downloads) = downloads();
    let open_below = || {
        let open =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
        open.filter(|path| path.starts_with(temp.path().join("folder"))).count()
    };
    let into = files_support::path("folder/deep");
    let mut file = Incoming::begin(&downloads, into.borrow(), name("film.mkv").borrow(), &origin()).unwrap();
    store(&mut file, 0..3);
    assert!(open_below() > 0);
    let kept = file.keep().unwrap().expect("a part");
    assert_eq!(open_below(), 0);
    assert!(kept.path().exists() && kept.discard().unwrap() && !kept.path().exists());
    // What is gone with its folder is gone, too.
    let mut file = Incoming::begin(&downloads, into.borrow(), name("film.mkv").borrow(), &origin()).unwrap();
    store(&mut file, 0..3);
    let kept = file.keep().unwrap().expect("a part");
    fs::remove_dir_all(temp.path().join("folder")).unwrap();
    assert!(kept.discard().unwrap());
}

fn claim_of(file: &mut Incoming) -> Claim {
    loop {
        match file.claim_due() {
            Some(claim) => break claim,
            None => std::thread::yield_now(),
        }
    }
}

#[test]
fn a_claim_that_nobody_writes_is_part_of_what_is_kept() {
    let (_temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    // Whoever was to write it had other things to do.
    drop(claim_of(&mut file));
    store(&mut file, [4]);
    file.keep().unwrap().expect("a part");
    assert_eq!(part(look(&downloads, &origin())).gaps(), [3..4, 5..6]);
}

#[test]
fn what_was_believed_gives_way_to_what_is_proved() {
    let (temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    store(&mut file, [4]);
    let proved: Vec<_> = (0..6).map(value).collect();
    assert_eq!(file.doubt(&proved), 0);
    assert_eq!(file.received(), 4 * UNIT as u64);
    // The second unit is of another file, as the hash tells; so are values that nothing came of.
    let mut other = proved.clone();
    (other[1], other[5]) = ([7; 32], [7; 32]);
    assert_eq!(file.doubt(&other), 4);
    assert_eq!(file.recheck(u64::MAX).unwrap(), 0);
    assert_eq!((file.received(), file.gaps()), (3 * UNIT as u64, vec![1..2, 3..4, 5..6]));
    // It is not claimed, either.
    file.keep().unwrap().expect("a part");
    let record = Record::read(fs::File::open(the_file(temp.path(), ".held")).unwrap()).unwrap();
    assert_eq!(record.held.into_keys().collect::<Vec<_>>(), [0, 2, 4]);
    // One behind a gap is found, too.
    let mut file = part(look(&downloads, &origin()));
    let mut other = proved.clone();
    other[4] = [7; 32];
    assert_eq!(file.doubt(&other), 3);
    assert_eq!(file.recheck(u64::MAX).unwrap(), 0);
    assert_eq!(file.gaps(), [1..2, 3..6]);
}

#[test]
fn a_small_file_that_cannot_be_finished_leaves_nothing_and_a_large_one_its_part() {
    let (temp, downloads) = downloads();
    let wanted = Origin { size: 5, ..origin() };
    let mut small = Incoming::begin(&downloads, ROOT, name("small.txt").borrow(), &wanted).unwrap();
    let root = *blake3::hash(b"bytes").as_bytes();
    small.store(0, &[Bytes::from_static(b"bytes")], &root).unwrap();
    let mut large = begin(&downloads);
    store(&mut large, 0..3);
    let prefix = large.partial().temporary_path();
    // What a disk does that loses bytes on their way.
    fs::File::options().write(true).open(small.partial().temporary_path()).unwrap().set_len(3).unwrap();
    let files = [(Whole::Written(Box::new(small)), root, 0)];
    assert!(finish_all(&downloads, files)[0].is_err());
    drop(large);
    let mut left = fs::read_dir(temp.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    left.sort();
    assert_eq!(left.len(), 2, "the part and its record: {left:?}");
    assert!(left.contains(&prefix));
}

#[test]
fn a_claim_that_is_being_written_does_not_hide_a_part_that_is_kept() {
    let (_temp, downloads) = downloads();
    let mut file = begin(&downloads);
    store(&mut file, 0..3);
    let mut claim = claim_of(&mut file);
    let (begin, begun) = std::sync::mpsc::channel();
    let writer = std::thread::spawn(move || {
        begun.recv().unwrap();
        claim.write().unwrap();
    });
    begin.send(()).unwrap();
    file.keep().unwrap().expect("a part");
    assert_eq!(part(look(&downloads, &origin())).received(), 3 * UNIT as u64);
    writer.join().unwrap();
}
