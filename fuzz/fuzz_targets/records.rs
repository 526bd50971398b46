//! The records of parts and the list of wanted files, damaged in any way: what they say is believed only as far as the
//! bytes on the disk bear it out, and no wrong byte gets the final name.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use chatclient::downloads::{Downloads, Incoming, MAX_RECORDED_UNITS, Origin, Record, Search};
use chatclient::state::{MAX_WANTED_FILES, StateDir};
use chatproto::verify::{Held, Layout, UnitLog2, UnitValue};
use chatproto::wire::{SafeName, SafeRelPathRef};
use chatproto_fuzz::folder;
use libfuzzer_sys::fuzz_target;

const UNIT: usize = 1024;
const SIZE: usize = 5 * UNIT + 100;
const UNITS: u64 = 6;

const NAME: &str = "film.mkv";

/// Things that happen to the files between two runs.
const MAX_DAMAGE: usize = 8;

/// Lines after the first of a record that is made here.
const MAX_LINES: usize = 8;

fn content() -> Vec<u8> {
    (0..SIZE).map(|at| (at / 7 % 251) as u8).collect()
}

fn layout() -> Layout {
    Layout::new(SIZE as u64, UnitLog2::MIN)
}

fn of_unit(bytes: &[u8], unit: u64) -> Option<&[u8]> {
    let range = layout().range(unit).ok()?;
    bytes.get(range.start as usize..range.end as usize)
}

fn value(unit: u64, bytes: &[u8]) -> UnitValue {
    let mut hasher = layout().hasher(unit).expect("there is such a unit");
    assert_eq!(hasher.update(bytes), bytes.len());
    hasher.finish().expect("a whole unit")
}

/// A line as the program writes them, whatever it says.
fn line(json: &[u8]) -> Vec<u8> {
    let digits = blake3::hash(json).to_hex();
    [digits[..16].as_bytes(), b" ", json, b"\n"].concat()
}

/// Lines of anything, most of them under their right checksum.
fn lines(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let mut out = Vec::new();
    while !u.is_empty() {
        let is_honest = u.ratio(15, 16)?;
        let json = u.arbitrary::<&[u8]>()?;
        if is_honest { out.extend(line(json)) } else { out.extend_from_slice(json) }
    }
    Ok(out)
}

/// A record that goes on for ever after what the input says.
fn read_anything(bytes: &[u8]) {
    let endless = bytes.chain(io::repeat(b' '));
    for record in [Record::read(endless), Record::read(bytes)].into_iter().flatten() {
        let units = record.origin.layout().units();
        assert!(record.held.len() <= MAX_RECORDED_UNITS && record.held.keys().all(|unit| *unit < units));
    }
}

/// A record of whole lines, one of which is changed by a byte: it and what is past it is not believed.
fn read_damaged(u: &mut Unstructured<'_>) -> Result<()> {
    let file = format!(
        r#"{{"file":{{"version":1,"peer":"bob","path":"{NAME}","size":{SIZE},"mtime":7,"unit":10}}}}"#
    );
    let mut bytes = line(file.as_bytes());
    let mut ends = vec![bytes.len()];
    let mut states = vec![BTreeMap::new()];
    let mut held = BTreeMap::new();
    for _ in 0..u.int_in_range(1..=MAX_LINES)? {
        let (unit, value) = (u.int_in_range(0..=UNITS - 1)?, u.arbitrary::<UnitValue>()?);
        if u.ratio(1, 4)? {
            held.remove(&unit);
            bytes.extend(line(format!(r#"{{"lost":{{"unit":{unit}}}}}"#).as_bytes()));
        } else {
            held.insert(unit, value);
            bytes.extend(line(held_line(unit, value).as_bytes()));
        }
        ends.push(bytes.len());
        states.push(held.clone());
    }
    assert_eq!(Record::read(&bytes[..]).expect("it is whole").held, held);

    let at = u.int_in_range(0..=bytes.len() - 1)?;
    bytes[at] ^= u.int_in_range(1..=255)?;
    let whole = ends.iter().filter(|end| **end <= at).count();
    match (Record::read(&bytes[..]), whole.checked_sub(1)) {
        (Ok(record), Some(last)) => assert_eq!(record.held, states[last], "byte {at} was changed"),
        (Err(_), None) => {}
        (read, _) => panic!("{whole} whole lines, and {read:?}"),
    }
    Ok(())
}

fn held_line(unit: u64, value: UnitValue) -> String {
    let digits = value.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    format!(r#"{{"held":{{"from":{unit},"values":"{digits}"}}}}"#)
}

fn read_wanted(bytes: &[u8]) {
    let place = folder();
    drop(StateDir::open(place.path()).expect("a state folder"));
    fs::write(place.path().join("wanted"), bytes).expect("a file");
    let read = || StateDir::open(place.path()).and_then(|state| state.wanted()).expect("it is read");
    let first = read().iter().cloned().collect::<Vec<_>>();
    assert!(first.len() <= MAX_WANTED_FILES);
    assert!(read().iter().eq(&first), "it is written down as it was understood");
}

fn the_file(place: &Path, ending: &str) -> Option<PathBuf> {
    let mut paths = fs::read_dir(place).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths.find(|path| path.to_str().is_some_and(|path| path.ends_with(ending)))
}

/// A part is received, kept, damaged, found and gone on with.
fn live(u: &mut Unstructured<'_>) -> Result<()> {
    let place = folder();
    let downloads = Downloads::open(place.path()).expect("a download folder");
    let name = SafeName::new(NAME).expect("a legal name");
    let truth = content();
    let root = *blake3::hash(&truth).as_bytes();
    let has_root = u.arbitrary::<bool>()?;
    let origin = Origin {
        peer: "bob".into(),
        path: NAME.into(),
        size: SIZE as u64,
        mtime_ms: 7,
        unit: UnitLog2::MIN,
        root: has_root.then_some(root),
    };
    let begin =
        || Incoming::begin(&downloads, SafeRelPathRef::ROOT, name.borrow(), &origin).expect("it begins");
    let store = |incoming: &mut Incoming, unit: u64| {
        let bytes = of_unit(&truth, unit).expect("there is such a unit");
        let value = value(unit, bytes);
        assert_eq!(
            incoming.store(unit, &[Bytes::copy_from_slice(bytes)], &value).expect("it is stored"),
            value
        );
    };
    let mut incoming = begin();
    let mask = u.arbitrary::<u8>()?;
    (0..UNITS).filter(|unit| mask >> unit & 1 == 1).for_each(|unit| store(&mut incoming, unit));
    incoming.keep().expect("it is kept");
    for _ in 0..u.int_in_range(0..=MAX_DAMAGE)? {
        damage(u, place.path(), &truth)?;
    }

    let record = the_file(place.path(), ".held").and_then(|path| fs::read(path).ok());
    let claimed = record.and_then(|bytes| Record::read(&bytes[..]).ok());
    let wanted = Origin { mtime_ms: if u.ratio(1, 8)? { 8 } else { 7 }, ..origin.clone() };
    let found = downloads.look_for(SafeRelPathRef::ROOT, name.borrow(), &wanted).expect("the folder is read");
    let mut incoming = match found {
        Search::Part(mut part) => {
            while part.recheck(u.int_in_range(1..=4096)?).expect("it is read back") > 0 {}
            let claimed = claimed.expect("a part has a record");
            let bytes = fs::read(the_file(place.path(), ".part").expect("a part")).expect("it is there");
            check_believed(&part, &claimed, &bytes);
            part
        }
        Search::Changed(kept) => {
            kept.discard().expect("it is removed");
            Box::new(begin())
        }
        Search::Nothing { .. } => Box::new(begin()),
    };
    let missing = incoming.gaps().into_iter().flatten().collect::<Vec<_>>();
    missing.into_iter().for_each(|unit| store(&mut incoming, unit));
    assert!(incoming.gaps().is_empty());
    match incoming.finish(&root, 0) {
        Ok(finished) => assert!(fs::read(finished.path).expect("it is there") == truth, "wrong bytes"),
        // Somebody who can write checksums has exchanged a unit for another one.
        Err(_) => assert!(!place.path().join(NAME).exists(), "a wrong file has the name"),
    }
    Ok(())
}

/// Each unit that is believed is claimed, and is on the disk as it was claimed.
fn check_believed(part: &Incoming, claimed: &Record, bytes: &[u8]) {
    let gaps = part.gaps();
    let mut received = 0;
    let mut held = Held::new();
    for unit in 0..UNITS {
        if gaps.iter().any(|gap| gap.contains(&unit)) {
            continue;
        }
        let found = of_unit(bytes, unit).expect("what is believed is there");
        let value = value(unit, found);
        assert_eq!(claimed.held.get(&unit), Some(&value), "unit {unit} is believed");
        received += found.len() as u64;
        if held.units() == unit {
            held.push(&value);
        }
    }
    assert_eq!(part.received(), received);
    assert_eq!(part.prefix(), (held.units(), held.digest()));
}

fn damage(u: &mut Unstructured<'_>, place: &Path, truth: &[u8]) -> Result<()> {
    let ending = if u.arbitrary()? { ".held" } else { ".part" };
    let Some(path) = the_file(place, ending) else { return Ok(()) };
    let mut bytes = fs::read(&path).expect("it is there");
    let at = u.int_in_range(0..=bytes.len())?;
    match u.int_in_range(0..=6)? {
        0 => bytes.truncate(at),
        1 => {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= u.int_in_range(1..=255)?;
            }
        }
        2 => bytes.extend_from_slice(u.arbitrary()?),
        3 => {
            let unit: u64 = u.int_in_range(0..=UNITS)?;
            let lies = of_unit(&bytes, unit).filter(|_| ending == ".part").map(|bytes| value(unit, bytes));
            let claimed = match of_unit(truth, unit).map(|bytes| value(unit, bytes)) {
                Some(value) if u.arbitrary()? => value,
                Some(_) | None => lies.unwrap_or([7; 32]),
            };
            if let Some(record) = the_file(place, ".held") {
                let mut record_bytes = fs::read(&record).expect("it is there");
                record_bytes.extend(line(held_line(unit, claimed).as_bytes()));
                fs::write(record, record_bytes).expect("it is written");
            }
            return Ok(());
        }
        4 => bytes.extend(line(format!("{{\"lost\":{{\"unit\":{at}}}}}").as_bytes())),
        5 => bytes.extend(line(u.arbitrary()?)),
        _ => return Ok(fs::remove_file(path).expect("it is removed")),
    }
    fs::write(path, bytes).expect("it is written");
    Ok(())
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    match u.int_in_range(0..=4) {
        Ok(0) => read_anything(u.take_rest()),
        Ok(1) => lines(&mut u).iter().for_each(|lines| read_anything(lines)),
        Ok(2) => lines(&mut u).iter().for_each(|lines| read_wanted(lines)),
        Ok(3) => _ = read_damaged(&mut u),
        _ => _ = live(&mut u),
    }
});
