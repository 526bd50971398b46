//! Lists and files as an honest end would say them, in parts that a test can bend.

use chatproto::verify::{Layout, RootBuilder, UnitLog2};
use chatproto::wire::{
    Blob, Body as _, Entry, EntryKind, FileData, FileEnd, FileHead, FileRequest, FileUnit, FileValues,
    Generation, Hash, List, ListFolder, ListPage, MAX_FILE_DATA, Rest, SafeNameRef, SafeRelPathRef,
    TransferId, UNITS_WITH_VALUES, UnitRequest,
};

/// The generation of every list of hers.
pub const GENERATION: Generation = Generation(1);

/// An entry without a hash and without content.
pub fn entry(number: u32, name: &str, size: u64) -> Entry<'_> {
    Entry {
        number,
        kind: EntryKind::File,
        size,
        mtime: 1_000,
        root: None,
        inline: None,
        name: SafeNameRef::new(name).expect("a name"),
    }
}

/// The same file, its content with the list.
pub fn inline<'a>(entry: Entry<'a>, content: &'a [u8]) -> Entry<'a> {
    let inline = Some(Blob::new(content).expect("short enough"));
    Entry { size: content.len() as u64, root: Some(root_of(content)), inline, ..entry }
}

/// What was asked for, as the only page of its list.
pub fn page<'a>(asked: &ListFolder<'a>, entries: &'a [Entry<'a>]) -> ListPage<'a> {
    ListPage {
        request: asked.request,
        generation: GENERATION,
        page: asked.page,
        pages: 1,
        total: u32::try_from(entries.len()).expect("few"),
        path: asked.path,
        entries: List::new(entries),
    }
}

pub fn root_of(content: &[u8]) -> Hash {
    Hash(*blake3::hash(content).as_bytes())
}

/// The values of a file's units.
pub fn values_of(content: &[u8], unit_log2: u8) -> Vec<Hash> {
    let unit = UnitLog2::new(unit_log2).expect("a unit");
    let layout = Layout::new(content.len() as u64, unit);
    let units = (0..).zip(content.chunks(1 << unit_log2));
    let value = |(number, bytes): (u64, &[u8])| {
        let mut hasher = layout.hasher(number).expect("a unit");
        assert_eq!(hasher.update(bytes), bytes.len());
        Hash(hasher.finish().expect("a whole unit"))
    };
    units.map(value).collect()
}

/// The root that values merge to, whatever file they are of.
pub fn merged(values: &[Hash], size: u64, unit_log2: u8) -> Hash {
    let mut builder = RootBuilder::new(Layout::new(size, UnitLog2::new(unit_log2).expect("a unit")));
    values.iter().for_each(|value| builder.push(value.0).expect("a unit"));
    Hash(builder.finish().expect("all units"))
}

/// A file on its way, or some of its units: what she is about to say, field by field.
#[derive(Clone, Debug)]
pub struct Sending {
    pub transfer: TransferId,
    pub unit_log2: u8,
    pub size: u64,
    /// In the head, if at all.
    pub head_root: Option<Hash>,
    /// The first byte that goes out.
    pub offset: u64,
    /// All bytes of the file; those from `offset` on go out, up to `end`.
    pub content: Vec<u8>,
    pub end: u64,
    /// What she says that the units hash to.
    pub values: Vec<Hash>,
    /// These go out first, if they were asked for.
    pub values_first: Option<Vec<Hash>>,
    /// What she says at the end.
    pub root: Hash,
}

impl Sending {
    /// What was asked for, of this content.
    pub fn answer(asked: &FileRequest, content: &[u8]) -> Self {
        let size = content.len() as u64;
        let values = values_of(content, asked.unit_log2);
        Self {
            transfer: asked.transfer,
            unit_log2: asked.unit_log2,
            size,
            head_root: None,
            offset: asked.offset,
            content: content.to_vec(),
            end: size,
            values,
            values_first: None,
            root: root_of(content),
        }
    }

    /// The units that were asked for, of this content.
    pub fn units(asked: &UnitRequest, content: &[u8]) -> Self {
        let size = content.len() as u64;
        let values = values_of(content, asked.unit_log2);
        Self {
            transfer: asked.transfer,
            unit_log2: asked.unit_log2,
            size,
            head_root: Some(asked.root),
            offset: asked.first << asked.unit_log2,
            content: content.to_vec(),
            end: size.min((asked.first + asked.count) << asked.unit_log2),
            values_first: (asked.flags & UNITS_WITH_VALUES != 0).then(|| values.clone()),
            values,
            root: asked.root,
        }
    }

    /// Everything, from the head to the end.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.head();
        let unit = 1_u64 << self.unit_log2;
        let mut at = self.offset;
        while at < self.end {
            bytes.extend(self.unit(at >> self.unit_log2));
            at += unit;
        }
        bytes.extend(self.finish());
        bytes
    }

    /// The head, and the values where they come first.
    pub fn head(&self) -> Vec<u8> {
        let head = FileHead {
            transfer: self.transfer,
            size: self.size,
            mtime: 1_000,
            unit_log2: self.unit_log2,
            offset: self.offset,
            root: self.head_root,
            path: SafeRelPathRef::new("file").expect("a path"),
        };
        let mut bytes = head.to_bytes().to_vec();
        if let Some(values) = &self.values_first {
            let values: Vec<u8> = values.iter().flat_map(|value| value.0).collect();
            let values = FileValues { transfer: self.transfer, first: 0, values: Rest(&values) };
            bytes.extend(values.to_bytes());
        }
        bytes
    }

    /// The data of one unit, and its value.
    pub fn unit(&self, unit: u64) -> Vec<u8> {
        let value = self.values[usize::try_from(unit).expect("a unit")];
        let mut bytes = self.data(unit);
        bytes.extend(FileUnit { transfer: self.transfer, unit, value }.to_bytes());
        bytes
    }

    /// The data of one unit.
    pub fn data(&self, unit: u64) -> Vec<u8> {
        let first = unit << self.unit_log2;
        let end = self.end.min(first + (1 << self.unit_log2));
        let range = usize::try_from(first).expect("a size")..usize::try_from(end).expect("a size");
        let mut offset = first;
        let mut bytes = Vec::new();
        for data in self.content[range].chunks(MAX_FILE_DATA) {
            bytes.extend(FileData { transfer: self.transfer, offset, data: Rest(data) }.to_bytes());
            offset += data.len() as u64;
        }
        bytes
    }

    pub fn finish(&self) -> Vec<u8> {
        FileEnd { transfer: self.transfer, root: self.root }.to_bytes().to_vec()
    }
}
