//! Golden vectors of the verification: what the units of a file hash to, what digests a receiver sends that holds the first of
//! them, and the root, which is what `b3sum` prints.
//!
//! Byte `i` of a file is `(i * 31 + i / 253) mod 251`. After a deliberate change, run this test with
//! `CHATPROTO_WRITE_VECTORS=1` and read the difference.
#![cfg(feature = "blake3")]
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fmt::Write as _;
use std::path::PathBuf;

use chatproto::verify::{Held, Layout, RootBuilder, UnitLog2};

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|index| u8::try_from((index * 31 + index / 253) % 251).unwrap()).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

/// One file as a line of JSON. The root is compared with that of the whole, hashed at once.
fn vector(size: usize, unit_log2: u8) -> String {
    let file = content(size);
    let layout = Layout::new(size as u64, UnitLog2::new(unit_log2).unwrap());
    let (mut root, mut held) = (RootBuilder::new(layout), Held::new());
    let (mut values, mut digests) = (Vec::new(), Vec::new());
    for (unit, bytes) in (0..).zip(file.chunks(1 << unit_log2)) {
        let mut hasher = layout.hasher(unit).unwrap();
        assert_eq!(hasher.update(bytes), bytes.len());
        let value = hasher.finish().unwrap();
        root.push(value).unwrap();
        held.push(&value);
        values.push(format!("\"{}\"", hex(&value)));
        digests.push(format!("\"{}\"", hex(&held.digest())));
    }
    let root = root.finish().unwrap();
    assert_eq!(root, *blake3::hash(&file).as_bytes(), "{size} bytes in units of 2^{unit_log2}");
    if values.len() == 1 {
        assert_eq!(values[0], format!("\"{}\"", hex(&root)), "the value of the only unit is the root");
    }
    format!(
        "{{\"size\": {size}, \"unit_log2\": {unit_log2}, \"values\": [{}], \"held\": [{}], \"root\": \"{}\"}}",
        values.join(", "),
        digests.join(", "),
        hex(&root)
    )
}

#[test]
fn units_roots_and_digests_are_what_they_were() {
    let mut lines = Vec::new();
    for unit_log2 in [10, 14, 20] {
        let unit = 1_usize << unit_log2;
        let mut sizes = vec![0, 1, 1024, 1025, unit - 1, unit, unit + 1, 3 * unit + 1];
        sizes.sort_unstable();
        sizes.dedup();
        lines.extend(sizes.into_iter().map(|size| vector(size, unit_log2)));
    }
    let content = format!("[\n{}\n]\n", lines.join(",\n"));
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", "verification", "units.json"].iter().collect();
    if std::env::var_os("CHATPROTO_WRITE_VECTORS").is_some() {
        std::fs::write(&path, &content).expect("the file is writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == content, "{} differs; see the top of this test", path.display());
}
