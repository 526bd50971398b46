//! Golden vectors of every frame: the files in `tests/vectors` are what these values encode to, and back.
//!
//! The files are for other implementations; `tests/vectors/read.py` is one. After a deliberate change of the wire, run
//! this test with `CHATPROTO_WRITE_VECTORS=1` and read the difference.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

mod account;
mod announce;
mod control;
mod file;
mod invalid;
mod link;
mod login;
mod message;
mod show;
mod values;

use std::collections::BTreeSet;
use std::path::PathBuf;

use chatproto::conn::FrameReader;
use chatproto::wire::{
    Body, FrameError, FrameType, HEADER_LEN, MAX_FRAME, RawFrame, ToClient, ToPeer, ToServer, WireError,
};

use show::{Fields, hex, quoted};

/// One value, its encoding, and how to decode it again.
pub(crate) struct Vector {
    case: &'static str,
    frame: FrameType,
    fields: Vec<(&'static str, String)>,
    bytes: &'static [u8],
    decodes_to_same: Box<dyn Fn(&'static [u8]) -> Result<bool, WireError>>,
}

/// Encodes `value`.
pub(crate) fn vector<B>(case: &'static str, value: B) -> Vector
where
    B: Body<'static> + Fields + PartialEq + 'static,
{
    let bytes: &'static [u8] = value.to_bytes().to_vec().leak();
    assert_eq!(bytes.len(), value.frame_len(), "{case}");
    Vector {
        case,
        frame: B::TYPE,
        fields: value.fields(),
        bytes,
        decodes_to_same: Box::new(move |body| B::decode_body(body).map(|decoded| decoded == value)),
    }
}

/// A file of vectors, and the vectors that belong in it.
fn families() -> Vec<(&'static str, Vec<Vector>)> {
    vec![
        ("control", control::vectors()),
        ("account", account::vectors()),
        ("login", login::vectors()),
        ("link", link::vectors()),
        ("message", message::vectors()),
        ("peer_announce", announce::vectors()),
        ("file_list", file::lists()),
        ("file_data", file::transfers()),
    ]
}

fn all_vectors() -> impl Iterator<Item = Vector> {
    families().into_iter().flat_map(|(_, vectors)| vectors)
}

/// One direction: its name, its frame types, and a decoder that says whether the frame was known and encodes the same.
pub(crate) struct Direction {
    name: &'static str,
    types: &'static [FrameType],
    pub(crate) decode: fn(RawFrame<'_>) -> Result<Option<Vec<u8>>, FrameError>,
}

macro_rules! directions {
    ($($name:literal $frames:ident)*) => {
        [$(Direction {
            name: $name,
            types: $frames::TYPES,
            decode: |raw| Ok($frames::decode(raw)?.map(|frame| {
                assert_eq!(frame.frame_type().number(), raw.number);
                let mut bytes = Vec::new();
                frame.encode(&mut bytes);
                assert_eq!(bytes.len(), frame.frame_len());
                bytes
            })),
        }),*]
    };
}

pub(crate) const DIRECTIONS: [Direction; 3] =
    directions! { "server" ToServer "client" ToClient "peer" ToPeer };

/// Reads one frame the way a connection does.
pub(crate) fn read_one(bytes: &[u8], direction: &Direction) -> Result<Option<Vec<u8>>, FrameError> {
    let mut reader = FrameReader::new(MAX_FRAME);
    match reader.step(bytes)?.frame {
        Some(raw) => (direction.decode)(raw),
        None => Ok(None),
    }
}

fn directions_of(frame: FrameType) -> impl Iterator<Item = &'static Direction> {
    DIRECTIONS.iter().filter(move |direction| direction.types.contains(&frame))
}

/// Frames that end with all the bytes that there are, after twelve others.
const ENDS_WITH_ALL: [FrameType; 2] = [FrameType::FileData, FrameType::FileValues];

#[test]
fn files_hold_what_the_values_encode_to() {
    for (family, vectors) in families() {
        compare_file(family, &render(&vectors));
    }
    compare_file("invalid", &invalid::render());
}

#[test]
fn bytes_decode_to_the_same_value_and_encode_to_the_same_bytes() {
    for vector in all_vectors() {
        let (case, frame) = (vector.case, vector.frame);
        let same = (vector.decodes_to_same)(&vector.bytes[HEADER_LEN..]);
        assert_eq!(same, Ok(true), "{frame}: {case}");
        for direction in directions_of(frame) {
            let encoded =
                read_one(vector.bytes, direction).unwrap_or_else(|error| panic!("{frame}: {case}: {error}"));
            assert_eq!(encoded.as_deref(), Some(vector.bytes), "{frame}: {case}");
        }
    }
}

#[test]
fn every_strict_prefix_of_a_body_is_refused() {
    for vector in all_vectors() {
        let (case, frame) = (vector.case, vector.frame);
        let body = &vector.bytes[HEADER_LEN..];
        for len in 0..body.len() {
            let result = (vector.decodes_to_same)(&body[..len]);
            if ENDS_WITH_ALL.contains(&frame) && len >= 12 {
                // It has no length of its own: fewer bytes are another, legal frame.
                assert_eq!(result, Ok(false), "{case}, {len} bytes");
            } else {
                assert!(
                    matches!(result, Err(WireError::Truncated { .. })),
                    "{frame}: {case}, {len} bytes: {result:?}"
                );
            }
        }
    }
}

#[test]
fn a_byte_after_the_last_field_is_refused() {
    for vector in all_vectors().filter(|vector| !ENDS_WITH_ALL.contains(&vector.frame)) {
        let longer: &'static [u8] = [&vector.bytes[HEADER_LEN..], &[0]].concat().leak();
        let result = (vector.decodes_to_same)(longer);
        assert_eq!(result, Err(WireError::Trailing { bytes: 1 }), "{}: {}", vector.frame, vector.case);
    }
}

#[test]
fn a_damaged_byte_is_refused_or_makes_another_frame_that_encodes_to_itself() {
    for vector in all_vectors() {
        // The longest ones repeat a byte; their first kibibyte has every field but the last few.
        for at in 0..vector.bytes.len().min(1024) {
            for flip in [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff] {
                let mut bytes = vector.bytes.to_vec();
                bytes[at] ^= flip;
                for direction in directions_of(vector.frame) {
                    let Ok(Some(encoded)) = read_one(&bytes, direction) else { continue };
                    assert_eq!(encoded[..], bytes[..encoded.len()], "{}: {}", vector.frame, vector.case);
                }
            }
        }
    }
}

#[test]
fn every_frame_type_has_several_vectors_and_a_direction() {
    for &frame in FrameType::ALL {
        let count = all_vectors().filter(|vector| vector.frame == frame).count();
        assert!(count >= 2, "{frame} has {count} vectors");
        assert!(directions_of(frame).next().is_some(), "{frame} goes nowhere");
    }
}

#[test]
fn cases_of_a_frame_have_different_names() {
    let mut seen = BTreeSet::new();
    for vector in all_vectors() {
        assert!(seen.insert((vector.frame, vector.case)), "{}: {} twice", vector.frame, vector.case);
    }
}

#[test]
fn each_direction_accepts_its_own_types_and_no_other() {
    for direction in &DIRECTIONS {
        for number in 0..=u8::MAX {
            let known = FrameType::from_number(number);
            let result = (direction.decode)(RawFrame { number, body: &[] });
            match known {
                Some(frame) if direction.types.contains(&frame) => {
                    assert!(
                        matches!(result, Err(FrameError::Body { frame: about, .. }) if about == frame),
                        "{frame}"
                    );
                }
                Some(frame) => assert_eq!(result, Err(FrameError::Direction(frame)), "{}", direction.name),
                None if number >= 0x80 => assert_eq!(result, Ok(None), "0x{number:02x} may be ignored"),
                None => assert_eq!(result, Err(FrameError::Unknown(number))),
            }
        }
    }
}

/// The content of one file.
fn render(vectors: &[Vector]) -> String {
    let vectors: Vec<_> = vectors.iter().map(render_one).collect();
    format!("[\n{}\n]\n", vectors.join(",\n"))
}

fn render_one(vector: &Vector) -> String {
    let to: Vec<_> = directions_of(vector.frame).map(|direction| quoted(direction.name)).collect();
    let fields: Vec<_> =
        vector.fields.iter().map(|(name, value)| format!("      {}: {value}", quoted(name))).collect();
    format!(
        "  {{\n    \"case\": {},\n    \"frame\": {},\n    \"number\": {},\n    \"to\": [{}],\n    \"fields\": {{\n{}\n    }},\n    \"hex\": {}\n  }}",
        quoted(vector.case),
        quoted(vector.frame.name()),
        vector.frame.number(),
        to.join(", "),
        fields.join(",\n"),
        quoted(&hex(vector.bytes)),
    )
}

/// Compares the committed file with `content`, or writes it when asked to.
fn compare_file(family: &str, content: &str) {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", &format!("{family}.json")].iter().collect();
    if std::env::var_os("CHATPROTO_WRITE_VECTORS").is_some() {
        std::fs::write(&path, content).expect("the file is writable");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed.lines().zip(content.lines()).position(|(old, new)| old != new);
    assert!(
        committed == content,
        "{} differs from line {:?} on; see the top of this test",
        path.display(),
        differs.map(|line| line + 1),
    );
}
