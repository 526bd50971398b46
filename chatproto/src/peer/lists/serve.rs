//! Serving lists: snapshots of folders whose numbers keep their meaning.
//!
//! Every fresh look at a folder makes a generation: its entries are numbered 1 to n over all pages, and its pages are
//! cut once. Later pages and file requests are answered from the snapshot, so a folder that changes in between never
//! gives another file than the one that was shown.

use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;

use bytes::Bytes;

use super::super::{Event, ListFault, Peer, ProvideListError, Violation};
use super::{Item, ListId};
use crate::wire::{
    Capability, EntryKind, ErrorCode, FrameType, Generation, Hash, LIST_INLINE, List, ListFolder, ListPage,
    MAX_INLINE, RequestId, SafeRelPath, Wire as _,
};

/// What the other end wants listed, and what it was shown.
#[derive(Debug, Default)]
pub(in super::super) struct Served {
    /// Lists that the program was asked for.
    wanted: BTreeMap<ListId, Wanted>,
    /// Generations from the oldest to the newest.
    snapshots: VecDeque<Snapshot>,
    last_id: u64,
    last_generation: u32,
}

#[derive(Debug)]
struct Wanted {
    request: RequestId,
    path: SafeRelPath,
    content: bool,
}

/// One generation of one folder.
#[derive(Debug)]
struct Snapshot {
    generation: Generation,
    path: SafeRelPath,
    items: Vec<Item>,
    /// Index of the first item of each page; one page at least.
    pages: Vec<usize>,
}

/// A file that was shown under a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Listed {
    pub(in super::super) path: SafeRelPath,
    pub(in super::super) size: u64,
    pub(in super::super) mtime: u64,
    pub(in super::super) root: Option<Hash>,
}

impl Served {
    /// The file of this number, or why there is none.
    pub(in super::super) fn file(&self, generation: Generation, number: u32) -> Result<Listed, ErrorCode> {
        let snapshot = self.snapshot(generation).ok_or(ErrorCode::Changed)?;
        let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
        let item = index.and_then(|index| snapshot.items.get(index)).ok_or(ErrorCode::NoSuchNumber)?;
        match item.kind {
            EntryKind::Folder => Err(ErrorCode::NotAFile),
            EntryKind::File => {
                let path =
                    snapshot.path.borrow().join(item.name.borrow()).map_err(|_| ErrorCode::NoSuchPath)?;
                Ok(Listed { path, size: item.size, mtime: item.mtime, root: item.root })
            }
        }
    }

    /// Forgets everything; the link has ended.
    pub(in super::super) fn clear(&mut self) {
        *self = Self::default();
    }

    fn snapshot(&self, generation: Generation) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.generation == generation)
    }
}

impl Peer {
    /// Answers [`Event::ListWanted`] with what the folder holds now, in the order in which it is to be numbered, and
    /// returns the generation that this makes.
    ///
    /// # Errors
    /// When nobody waits for it any more, there are too many items, or one has a path that could not be sent.
    pub fn provide_list(&mut self, id: ListId, mut items: Vec<Item>) -> Result<Generation, ProvideListError> {
        let wanted = self.served.wanted.get(&id).ok_or(ProvideListError::NotWanted)?;
        let too_long = ProvideListError::TooLong { entries: items.len(), max: self.config.max_list_entries };
        if items.len() > self.config.max_list_entries || u32::try_from(items.len()).is_err() {
            return Err(too_long);
        }
        let path = wanted.path.borrow();
        if let Some(index) = items.iter().position(|item| path.join(item.name.borrow()).is_err()) {
            return Err(ProvideListError::Path { index });
        }
        let Some(wanted) = self.served.wanted.remove(&id) else { return Err(ProvideListError::NotWanted) };
        keep_content(&mut items, wanted.content.then_some(self.config.max_list_content));
        // After 2^32 lists the numbers begin again; what had them was evicted long ago.
        self.served.last_generation = self.served.last_generation.checked_add(1).unwrap_or(1);
        let generation = Generation(self.served.last_generation);
        let snapshot =
            Snapshot::new(generation, wanted.path, items, self.config.page_entries, self.max_frame_out);
        if let Some(page) = snapshot.page(wanted.request, 1, wanted.content) {
            self.conn.send(&page.frame());
        }
        while self.served.snapshots.len() >= self.config.max_generations {
            self.served.snapshots.pop_front();
        }
        self.served.snapshots.push_back(snapshot);
        Ok(generation)
    }

    /// Answers [`Event::ListWanted`] with a refusal.
    ///
    /// # Errors
    /// When nobody waits for it any more.
    pub fn refuse_list(&mut self, id: ListId, code: ErrorCode) -> Result<(), ProvideListError> {
        let wanted = self.served.wanted.remove(&id).ok_or(ProvideListError::NotWanted)?;
        self.refuse_request(wanted.request, code);
        Ok(())
    }

    pub(in super::super) fn on_list(&mut self, list: &ListFolder<'_>) -> Result<(), Violation> {
        let request = list.request;
        if self.served.wanted.values().any(|wanted| wanted.request == request) {
            return Err(ListFault::InUse.of(FrameType::List, request));
        }
        if list.generation == Generation(0) {
            self.want_list(list);
            return Ok(());
        }
        let Some(snapshot) = self.served.snapshot(list.generation) else {
            self.refuse_request(request, ErrorCode::Changed);
            return Ok(());
        };
        if snapshot.path.borrow() != list.path {
            self.refuse_request(request, ErrorCode::NoSuchPath);
            return Ok(());
        }
        match snapshot.page(request, list.page, self.wants_content(list)) {
            Some(page) => self.conn.send(&page.frame()),
            None => self.refuse_request(request, ErrorCode::NoSuchNumber),
        }
        Ok(())
    }

    /// Passes a fresh request on to the program.
    fn want_list(&mut self, list: &ListFolder<'_>) {
        if list.page != 1 {
            return self.refuse_request(list.request, ErrorCode::NoSuchNumber);
        }
        if self.served.wanted.len() >= self.config.max_lists {
            return self.refuse_request(list.request, ErrorCode::TooManyRequests);
        }
        self.served.last_id += 1;
        let id = ListId(self.served.last_id);
        let path = list.path.to_owned();
        let content = self.wants_content(list);
        self.served.wanted.insert(id, Wanted { request: list.request, path: path.clone(), content });
        self.events.push_back(Event::ListWanted { id, path, content });
    }

    fn wants_content(&self, list: &ListFolder<'_>) -> bool {
        list.flags & LIST_INLINE != 0 && self.capabilities.has(Capability::Inline)
    }

    fn refuse_request(&mut self, request: RequestId, code: ErrorCode) {
        self.conn.send_error(code, FrameType::List.number(), request.into(), "");
    }
}

/// Drops content that may not go along, or for which there is no room.
fn keep_content(items: &mut [Item], room: Option<usize>) {
    let (wanted, mut room) = (room.is_some(), room.unwrap_or(0));
    for item in items {
        let kept = item.content.take().filter(|content| {
            let is_whole = u64::try_from(content.len()) == Ok(item.size);
            wanted && is_whole && item.root.is_some() && content.len() <= MAX_INLINE.min(room)
        });
        room -= kept.as_ref().map_or(0, Bytes::len);
        item.content = kept;
    }
}

impl Snapshot {
    fn new(
        generation: Generation,
        path: SafeRelPath,
        items: Vec<Item>,
        page_entries: usize,
        max_frame: usize,
    ) -> Self {
        let room = max_frame.saturating_sub(PAGE_OVERHEAD + path.as_str().len());
        let mut pages = Vec::from([0]);
        let mut first = 0;
        let mut bytes = 0;
        for (index, item) in items.iter().enumerate() {
            let len = item.entry(0, true).encoded_len();
            // One entry always fits, so no page is empty but that of an empty folder.
            if index > first && (index - first >= page_entries || bytes + len > room) {
                pages.push(index);
                first = index;
                bytes = 0;
            }
            bytes += len;
        }
        Self { generation, path, items, pages }
    }

    /// Page `page`, from 1, as the answer to `request`.
    fn page(&self, request: RequestId, page: u32, content: bool) -> Option<Page<'_>> {
        let index = usize::try_from(page.checked_sub(1)?).ok()?;
        let first = *self.pages.get(index)?;
        let end = self.pages.get(index + 1).copied().unwrap_or(self.items.len());
        let numbers = u32::try_from(first).ok()?.checked_add(1)?..;
        let entries = numbers
            .zip(self.items.get(first..end)?)
            .map(|(number, item)| item.entry(number, content))
            .collect();
        Some(Page { snapshot: self, request, page, entries })
    }
}

/// Owns the entries that a page frame borrows.
struct Page<'a> {
    snapshot: &'a Snapshot,
    request: RequestId,
    page: u32,
    entries: Vec<crate::wire::Entry<'a>>,
}

impl Page<'_> {
    fn frame(&self) -> ListPage<'_> {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        ListPage {
            request: self.request,
            generation: self.snapshot.generation,
            page: self.page,
            pages: count(self.snapshot.pages.len()),
            total: count(self.snapshot.items.len()),
            path: self.snapshot.path.borrow(),
            entries: List::new(&self.entries),
        }
    }
}

/// Bytes of a page frame without its path's text and its entries: the type, five numbers, two lengths.
const PAGE_OVERHEAD: usize = 1 + 5 * 4 + 2 + 4;
