//! PROTOCOL.md says what the code does: its tables are compared with the code's, number by number.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking, in its helpers too"
)]

use core::time::Duration;
use std::collections::BTreeMap;
use std::fs;

use chatproto::conn::Limits;
use chatproto::reach::MIN_PEER_PORT;
use chatproto::wire::{
    Action, Anchor, Blob, Capability, Change, CloseReason, DialRole, EntryKind, ErrorCode, FrameType,
    HEADER_LEN, Inquiry, MAX_ADDRESSES, MAX_AUDIT_LINES, MAX_CANDIDATES, MAX_FILE_DATA, MAX_FRAME,
    MAX_HELLO_FRAME, MAX_INLINE, MAX_PAGE_MESSAGES, MAX_UNIT_LOG2, MAX_VALUES, MIN_FRAME, MIN_UNIT_LOG2,
    NameRef, NoteRef, Purpose, RESERVED_FRAMES, Rank, RoomKind, Row, SafeNameRef, SafeRelPathRef, TextRef,
    ToClient, ToPeer, ToServer, VERSION, Way,
};

/// The lines of the document under the heading that begins with `heading`, up to the next one.
fn section<'d>(document: &'d str, heading: &str) -> Vec<&'d str> {
    let mut lines = document.lines().skip_while(|line| !line.starts_with(heading));
    assert!(lines.next().is_some(), "PROTOCOL.md has no `{heading}`");
    lines.take_while(|line| !line.starts_with('#')).collect()
}

/// The cells of the first table in `lines`, without its head.
fn table<'d>(lines: &[&'d str]) -> Vec<Vec<&'d str>> {
    let rows =
        lines.iter().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    rows.skip(2).map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
}

fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../PROTOCOL.md");
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn unquoted(cell: &str) -> &str {
    cell.trim_matches('`')
}

/// Decimal, or hex with `0x`.
fn number(cell: &str) -> u64 {
    let parsed = match cell.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16),
        None => cell.parse(),
    };
    parsed.unwrap_or_else(|_| panic!("`{cell}` is not a number"))
}

#[test]
fn the_numbers_of_appendix_a_are_those_of_the_code() {
    let document = document();
    let tables: [(&str, &[Row]); 14] = [
        ("### A.1 ", FrameType::TABLE),
        ("### A.3 ", ErrorCode::TABLE),
        ("### A.4 ", CloseReason::TABLE),
        ("### A.5 ", Capability::TABLE),
        ("### A.6 ", Purpose::TABLE),
        ("### A.7 ", DialRole::TABLE),
        ("### A.8 ", RoomKind::TABLE),
        ("### A.9 ", Change::TABLE),
        ("### A.10 ", Anchor::TABLE),
        ("### A.11 ", EntryKind::TABLE),
        ("### A.12 ", Action::TABLE),
        ("### A.13 ", Rank::TABLE),
        ("### A.14 ", Inquiry::TABLE),
        ("### A.15 ", Way::TABLE),
    ];
    for (heading, code) in tables {
        let rows = table(&section(&document, heading));
        let found: Vec<_> = rows.iter().map(|row| (number(row[0]), unquoted(row[1]), row[2])).collect();
        let expected: Vec<_> = code.iter().map(|row| (row.number, row.name, row.meaning)).collect();
        assert_eq!(found, expected, "{heading}");
    }
}

#[test]
fn the_reserved_frame_types_are_those_of_the_code_and_free() {
    let document = document();
    let rows = table(&section(&document, "### A.2 "));
    let found: Vec<_> = rows.iter().map(|row| (number(row[0]), row[1])).collect();
    let expected: Vec<_> =
        RESERVED_FRAMES.iter().map(|&(number, kept_for)| (number.into(), kept_for)).collect();
    assert_eq!(found, expected);
    for &(number, _) in RESERVED_FRAMES {
        assert_eq!(FrameType::from_number(number), None, "0x{number:02x} is in use");
    }
}

#[test]
fn the_limits_are_those_of_the_code() {
    let limits = Limits::default();
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).expect("a short time");
    let size = |len: usize| u64::try_from(len).expect("a small limit");
    let expected = BTreeMap::from([
        ("HEADER_LEN", size(HEADER_LEN)),
        ("MAX_FRAME", MAX_FRAME.into()),
        ("MIN_FRAME", MIN_FRAME.into()),
        ("MAX_HELLO_FRAME", MAX_HELLO_FRAME.into()),
        ("MAX_FILE_DATA", size(MAX_FILE_DATA)),
        ("MAX_VALUES", MAX_VALUES),
        ("MAX_INLINE", size(MAX_INLINE)),
        ("MIN_PEER_PORT", MIN_PEER_PORT.into()),
        ("NameRef::MAX_LEN", size(NameRef::MAX_LEN)),
        ("TextRef::MAX_LEN", size(TextRef::MAX_LEN)),
        ("NoteRef::MAX_LEN", size(NoteRef::MAX_LEN)),
        ("SafeNameRef::MAX_LEN", size(SafeNameRef::MAX_LEN)),
        ("SafeRelPathRef::MAX_LEN", size(SafeRelPathRef::MAX_LEN)),
        ("SafeRelPathRef::MAX_DEPTH", size(SafeRelPathRef::MAX_DEPTH)),
        ("Blob::MAX_LEN", size(Blob::MAX_LEN)),
        ("MAX_CANDIDATES", size(MAX_CANDIDATES)),
        ("MAX_ADDRESSES", size(MAX_ADDRESSES)),
        ("MAX_AUDIT_LINES", MAX_AUDIT_LINES.into()),
        ("MAX_PAGE_MESSAGES", MAX_PAGE_MESSAGES.into()),
        ("MIN_UNIT_LOG2", MIN_UNIT_LOG2.into()),
        ("MAX_UNIT_LOG2", MAX_UNIT_LOG2.into()),
        ("VERSION", VERSION.into()),
        ("Limits::max_frame", limits.max_frame.into()),
        ("Limits::max_queue", size(limits.max_queue)),
        ("Limits::max_queue_hard", size(limits.max_queue_hard)),
        ("Limits::handshake_timeout", ms(limits.handshake_timeout)),
        ("Limits::login_timeout", ms(limits.login_timeout)),
        ("Limits::ping_interval", ms(limits.ping_interval)),
        ("Limits::idle_timeout", ms(limits.idle_timeout)),
        ("Limits::close_timeout", ms(limits.close_timeout)),
        ("Limits::max_frames", limits.max_frames.into()),
        ("Limits::budget_interval", ms(limits.budget_interval)),
    ]);
    let document = document();
    let rows = table(&section(&document, "## 11 "));
    let found: BTreeMap<_, _> = rows.iter().map(|row| (unquoted(row[3]), number(row[1]))).collect();
    assert_eq!(found, expected);
}

#[cfg(feature = "opaque")]
#[test]
fn the_login_messages_have_the_documented_lengths() {
    use chatproto::opaque::{FINALIZATION_LEN, MECHANISM, REQUEST_LEN, RESPONSE_LEN};

    let document = document();
    let rows = table(&section(&document, &format!("### 6.1 `{MECHANISM}`")));
    let found: Vec<_> = rows.iter().map(|row| (row[0], row[1].parse().expect(row[1]))).collect();
    let expected = [
        ("login_start", REQUEST_LEN),
        ("login_challenge", RESPONSE_LEN),
        ("login_response", FINALIZATION_LEN),
        ("login_ok", 0),
    ];
    assert_eq!(found, expected);
}

#[test]
fn every_frame_is_described_with_its_directions() {
    let document = document();
    let headings: Vec<_> = document.lines().filter(|line| line.starts_with("#### 0x")).collect();
    let expected: Vec<_> = FrameType::ALL
        .iter()
        .map(|frame| {
            let to: Vec<_> =
                [("server", ToServer::TYPES), ("client", ToClient::TYPES), ("peer", ToPeer::TYPES)]
                    .into_iter()
                    .filter(|(_, types)| types.contains(frame))
                    .map(|(name, _)| name)
                    .collect();
            format!("#### 0x{:02x} `{frame}` (to: {})", frame.number(), to.join(", "))
        })
        .collect();
    assert_eq!(headings, expected);
}

/// The vectors know the fields of every frame, since a value of it was taken apart to make them.
#[test]
fn the_fields_of_every_frame_are_those_of_the_vectors() {
    let document = document();
    let fields = fields_of_vectors();
    for frame in FrameType::ALL {
        let heading = format!("#### 0x{:02x} ", frame.number());
        let described: Vec<_> =
            table(&section(&document, &heading)).iter().map(|row| unquoted(row[0]).to_owned()).collect();
        assert_eq!(Some(&described), fields.get(frame.name()), "{frame}");
    }
}

/// Field names by frame, from the layout in which the vectors are written: one field on a line, six spaces deep.
fn fields_of_vectors() -> BTreeMap<String, Vec<String>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors");
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("the folder of the vectors") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let content = fs::read_to_string(&path).expect("a readable file");
        for vector in content.split("\n  {\n") {
            let Some(frame) = vector.lines().find_map(|line| line.strip_prefix("    \"frame\": \"")) else {
                continue;
            };
            let fields = vector.lines().filter_map(|line| line.strip_prefix("      \""));
            let fields =
                fields.filter_map(|line| line.split_once('"')).map(|(name, _)| name.to_owned()).collect();
            found.insert(frame.trim_end_matches("\",").to_owned(), fields);
        }
    }
    found
}
