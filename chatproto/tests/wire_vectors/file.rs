//! The file-list and file-data families.

use chatproto::wire::{
    Entry, EntryKind, ErrorCode, FileCancel, FileData, FileDone, FileEnd, FileHead, FilePause, FileQueued,
    FileRate, FileRequest, FileResume, FileUnit, FileValues, Generation, LIST_INLINE, List, ListFolder,
    ListPage, MAX_UNIT_LOG2, MIN_UNIT_LOG2, RequestId, Rest, SafeNameRef, Source, TransferId,
    UNITS_WITH_VALUES, UnitRequest,
};

use crate::show::show;
use crate::values::{HASH, TIME, ZERO_HASH, blob, file, items, path, repeated};
use crate::{Vector, vector};

show! {
    ListFolder<'_> { request, generation, page, flags, path }
    Entry<'_> { number, kind, size, mtime, root, inline, name }
    ListPage<'_> { request, generation, page, pages, total, path, entries }
    FileRequest { transfer, source, unit_log2, offset, held }
    FileHead<'_> { transfer, size, mtime, unit_log2, offset, root, path }
    FileData<'_> { transfer, offset, data }
    FileUnit { transfer, unit, value }
    FileEnd { transfer, root }
    FileCancel { transfer, code }
    FileQueued { transfer, position }
    FileDone { transfer }
    FilePause { transfer }
    FileResume { transfer }
    FileRate { bytes_per_second }
    UnitRequest { transfer, root, unit_log2, first, count, flags }
    FileValues<'_> { transfer, first, values }
}

const REQUEST: RequestId = RequestId(9);
const TRANSFER: TransferId = TransferId(3);

pub(crate) fn lists() -> Vec<Vector> {
    let list = ListFolder { request: REQUEST, generation: Generation(0), page: 1, flags: 0, path: path("") };
    let photo = Entry {
        number: 1,
        kind: EntryKind::File,
        size: 1 << 20,
        mtime: TIME,
        root: Some(HASH),
        inline: None,
        name: file("photo, 3×4 [draft].jpg"),
    };
    let folder = Entry {
        number: 2,
        kind: EntryKind::Folder,
        size: 0,
        mtime: 0,
        root: None,
        inline: None,
        name: file("2026"),
    };
    let tiny = Entry {
        number: u32::MAX,
        kind: EntryKind::File,
        size: 3,
        mtime: u64::MAX,
        root: None,
        inline: Some(blob(b"hi\n")),
        name: file(repeated("n", SafeNameRef::MAX_LEN)),
    };
    let page = ListPage {
        request: REQUEST,
        generation: Generation(5),
        page: 1,
        pages: 1,
        total: 3,
        path: path(""),
        entries: List::new(items(vec![photo, folder, tiny])),
    };
    // As deep as a path may be, and nearly as long: 32 names of 31 bytes.
    let deepest = repeated("abcdefghijklmnopqrstuvwxyz01234/", 32).trim_end_matches('/');
    vec![
        vector("a fresh look at the root", list),
        vector(
            "a later page",
            ListFolder { generation: Generation(5), page: 2, path: path("2026/summer"), ..list },
        ),
        vector(
            "small files inline, deepest path",
            ListFolder { flags: LIST_INLINE, path: path(deepest), ..list },
        ),
        vector("flags of the future", ListFolder { flags: 0xff, page: u32::MAX, ..list }),
        vector("three entries", page),
        vector("empty folder", ListPage { total: 0, path: path("2026"), entries: List::new(&[]), ..page }),
        vector(
            "last of many pages",
            ListPage { page: 40, pages: 40, total: 10_000, entries: List::new(items(vec![folder])), ..page },
        ),
    ]
}

pub(crate) fn transfers() -> Vec<Vector> {
    let number = Source::Number { generation: Generation(5), number: 3 };
    let request =
        FileRequest { transfer: TRANSFER, source: number, unit_log2: MAX_UNIT_LOG2, offset: 0, held: None };
    let head = FileHead {
        transfer: TRANSFER,
        size: 1 << 30,
        mtime: TIME,
        unit_log2: MAX_UNIT_LOG2,
        offset: 0,
        root: None,
        path: path("2026/summer/beach.mkv"),
    };
    let units = UnitRequest {
        transfer: TRANSFER,
        root: HASH,
        unit_log2: MAX_UNIT_LOG2,
        first: 0,
        count: 64,
        flags: UNITS_WITH_VALUES,
    };
    vec![
        vector("a whole file by number", request),
        vector(
            "the rest of a file",
            FileRequest { transfer: TransferId(4), offset: 3 << 20, held: Some(HASH), ..request },
        ),
        vector(
            "by root, smallest units",
            FileRequest { source: Source::Root(HASH), unit_log2: MIN_UNIT_LOG2, ..request },
        ),
        vector("root not known yet", head),
        vector("resumed, root known", FileHead { offset: 3 << 20, root: Some(HASH), mtime: 0, ..head }),
        vector(
            "empty file",
            FileHead {
                size: 0,
                unit_log2: MIN_UNIT_LOG2,
                root: Some(ZERO_HASH),
                path: path("empty"),
                ..head
            },
        ),
        vector("three bytes", FileData { transfer: TRANSFER, offset: 0, data: Rest(b"hi\n") }),
        vector("no byte", FileData { transfer: TRANSFER, offset: u64::MAX, data: Rest(b"") }),
        vector(
            "a kibibyte",
            FileData { transfer: TransferId(u32::MAX), offset: 1 << 40, data: Rest(items(vec![0xd7; 1024])) },
        ),
        vector("first", FileUnit { transfer: TRANSFER, unit: 0, value: HASH }),
        vector("largest", FileUnit { transfer: TRANSFER, unit: u64::MAX, value: ZERO_HASH }),
        vector("typical", FileEnd { transfer: TRANSFER, root: HASH }),
        vector("root of zeros", FileEnd { transfer: TransferId(0), root: ZERO_HASH }),
        vector("by a person", FileCancel { transfer: TRANSFER, code: ErrorCode::Cancelled }),
        vector("changed", FileCancel { transfer: TransferId(4), code: ErrorCode::Changed }),
        vector("next", FileQueued { transfer: TRANSFER, position: 1 }),
        vector("far away", FileQueued { transfer: TRANSFER, position: u32::MAX }),
        vector("typical", FileDone { transfer: TRANSFER }),
        vector("largest", FileDone { transfer: TransferId(u32::MAX) }),
        vector("typical", FilePause { transfer: TRANSFER }),
        vector("largest", FilePause { transfer: TransferId(u32::MAX) }),
        vector("typical", FileResume { transfer: TRANSFER }),
        vector("largest", FileResume { transfer: TransferId(u32::MAX) }),
        vector("one MiB a second", FileRate { bytes_per_second: 1 << 20 }),
        vector("no limit", FileRate { bytes_per_second: 0 }),
        vector("with all values", units),
        vector(
            "the last units, smallest",
            UnitRequest { unit_log2: MIN_UNIT_LOG2, first: u64::MAX >> 11, count: 1, flags: 0, ..units },
        ),
        vector("one", FileValues { transfer: TRANSFER, first: 0, values: Rest(&HASH.0) }),
        vector(
            "three of the middle",
            FileValues { transfer: TransferId(4), first: 1 << 40, values: Rest(items(vec![0x5a; 96])) },
        ),
    ]
}
