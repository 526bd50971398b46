use alloc::vec::Vec;
use proptest::prelude::*;

use super::*;

const KIB: usize = 1024;
const MIB: usize = KIB * KIB;

/// Bytes without a period that a unit length could share.
fn file(len: usize) -> Vec<u8> {
    (0_u32..).flat_map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()).take(len).collect()
}

fn unit_values(file: &[u8], layout: Layout) -> Vec<UnitValue> {
    let units = file.chunks(1 << layout.unit().get());
    assert_eq!(units.len() as u64, layout.units());
    (0..)
        .zip(units)
        .map(|(index, bytes)| {
            let range = layout.range(index).unwrap();
            assert_eq!(range.end - range.start, bytes.len() as u64);
            let mut hasher = layout.hasher(index).unwrap();
            assert_eq!(hasher.update(bytes), bytes.len());
            hasher.finish().unwrap()
        })
        .collect()
}

fn root_by_units(file: &[u8], log2: u8) -> Root {
    let layout = Layout::new(file.len() as u64, UnitLog2::new(log2).unwrap());
    let mut root = RootBuilder::new(layout);
    for value in unit_values(file, layout) {
        root.push(value).unwrap();
    }
    root.finish().unwrap()
}

#[test]
fn units_merge_to_the_hash_of_the_whole_file() {
    for (log2, unit) in [(10, KIB), (12, 4 * KIB), (20, MIB)] {
        let sizes = [
            0,
            1,
            KIB - 1,
            KIB,
            KIB + 1,
            unit - 1,
            unit,
            unit + 1,
            2 * unit - 1,
            2 * unit,
            2 * unit + 1,
            3 * unit,
            3 * unit + 1,
            4 * unit,
            5 * unit + 17,
        ];
        for size in sizes {
            let file = file(size);
            assert_eq!(root_by_units(&file, log2), *blake3::hash(&file).as_bytes(), "{size} bytes, 2^{log2}");
        }
    }
}

#[test]
fn every_unit_count_up_to_a_hundred_has_the_right_tree() {
    let file = file(100 * KIB);
    for units in 0..=100 {
        let file = &file[..units * KIB];
        assert_eq!(root_by_units(file, 10), *blake3::hash(file).as_bytes(), "{units} units");
    }
}

#[test]
fn a_unit_takes_only_its_own_bytes() {
    let layout = Layout::new(1500, UnitLog2::MIN);
    let mut first = layout.hasher(0).unwrap();
    assert_eq!(first.update(&[1; 1000]), 1000);
    assert_eq!(first.missing(), 24);
    assert_eq!(first.update(&[1; 1000]), 24);
    assert_eq!(first.update(&[1; 1000]), 0);
    let mut last = layout.hasher(1).unwrap();
    assert_eq!(last.update(&[1; 1000]), 476);
    let mut root = RootBuilder::new(layout);
    root.push(first.finish().unwrap()).unwrap();
    root.push(last.finish().unwrap()).unwrap();
    assert_eq!(root.finish().unwrap(), *blake3::hash(&[1; 1500]).as_bytes());
}

#[test]
fn misuse_is_an_error_that_says_what_is_missing() {
    assert_eq!(UnitLog2::new(9), Err(UnitLog2OutOfRange { log2: 9 }));
    assert_eq!(UnitLog2::new(21), Err(UnitLog2OutOfRange { log2: 21 }));
    let layout = Layout::new(2 * 1024, UnitLog2::MIN);
    assert_eq!(layout.hasher(2).unwrap_err(), NoSuchUnit { index: 2, units: 2 });
    let mut hasher = layout.hasher(0).unwrap();
    assert_eq!(hasher.update(&[0; 1000]), 1000);
    assert_eq!(hasher.finish(), Err(UnitIncomplete { missing: 24 }));
    let mut root = RootBuilder::new(layout);
    root.push([1; 32]).unwrap();
    assert_eq!(root.clone().finish(), Err(RootIncomplete { pushed: 1, units: 2 }));
    root.push([2; 32]).unwrap();
    assert_eq!(root.push([3; 32]), Err(TooManyUnits { units: 2 }));
    assert_eq!(root.pushed(), 2);
}

#[test]
fn the_largest_size_has_a_last_unit() {
    let layout = Layout::new(u64::MAX, UnitLog2::MIN);
    let last = layout.units() - 1;
    assert_eq!(layout.range(last).unwrap(), last * 1024..u64::MAX);
    assert_eq!(layout.hasher(last).unwrap().missing(), 1023);
    assert_eq!(layout.index_at(u64::MAX - 1), last);
    assert_eq!(layout.index_at(u64::MAX), last + 1);
}

#[test]
fn held_digests_agree_exactly_on_equal_prefixes() {
    let layout = Layout::new(5 * 1024, UnitLog2::MIN);
    let values = unit_values(&file(5 * KIB), layout);
    let mut held = Held::new();
    let mut seen = Vec::from([held.digest()]);
    for (index, value) in values.iter().enumerate() {
        held.push(value);
        assert_eq!(held.units(), index as u64 + 1);
        assert_eq!(held.digest(), *blake3::hash(&values[..=index].concat()).as_bytes());
        assert!(!seen.contains(&held.digest()));
        seen.push(held.digest());
    }
}

proptest! {
    #[test]
    fn any_file_in_any_unit_and_any_pieces(
        log2 in 10_u8..=14,
        bytes in prop::collection::vec(any::<u8>(), 0..40_000),
        piece in 1_usize..5_000,
    ) {
        let layout = Layout::new(bytes.len() as u64, UnitLog2::new(log2).unwrap());
        let mut root = RootBuilder::new(layout);
        let mut rest = bytes.as_slice();
        while root.pushed() < layout.units() {
            let mut unit = layout.hasher(root.pushed()).unwrap();
            while unit.missing() > 0 {
                let taken = unit.update(&rest[..piece.min(rest.len())]);
                rest = &rest[taken..];
            }
            root.push(unit.finish().unwrap()).unwrap();
        }
        prop_assert!(rest.is_empty());
        prop_assert_eq!(root.finish().unwrap(), *blake3::hash(&bytes).as_bytes());
    }

    #[test]
    fn a_changed_byte_changes_exactly_its_unit(at in 0_usize..10_000, flip in 1_u8..) {
        let layout = Layout::new(10_000, UnitLog2::MIN);
        let mut bytes = file(10_000);
        let before = unit_values(&bytes, layout);
        bytes[at] ^= flip;
        let after = unit_values(&bytes, layout);
        for (index, (a, b)) in (0..).zip(before.iter().zip(&after)) {
            prop_assert_eq!(a != b, index == layout.index_at(at as u64));
        }
    }
}
