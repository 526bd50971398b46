//! Asking for the other end's lists.

use alloc::collections::BTreeMap;

use super::super::{Event, ListError, ListFault, Peer, Violation};
use crate::wire::{
    Capability, ErrorCode, FrameType, Generation, LIST_INLINE, ListFolder, ListPage, MAX_INLINE, RequestId,
    SafeRelPath,
};

/// The requests that wait for their page.
#[derive(Debug, Default)]
pub(in super::super) struct Asked {
    open: BTreeMap<RequestId, Question>,
    last: u32,
}

#[derive(Debug)]
struct Question {
    path: SafeRelPath,
    generation: Generation,
    page: u32,
    /// Whether content may come along.
    content: bool,
}

impl Asked {
    /// Ends all requests, in their order.
    pub(in super::super) fn drain(&mut self) -> impl Iterator<Item = RequestId> + use<> {
        core::mem::take(&mut self.open).into_keys()
    }

    /// The next number that no open request has; never 0.
    fn next_request(&mut self) -> RequestId {
        // Open requests are few, so a free number is found within as many rounds, also after 2^32 of them.
        loop {
            self.last = self.last.checked_add(1).unwrap_or(1);
            if !self.open.contains_key(&RequestId(self.last)) {
                return RequestId(self.last);
            }
        }
    }
}

impl Peer {
    /// Asks for one page of a folder of the other end; the empty path is its share.
    ///
    /// Generation 0 asks for a fresh look at the folder, beginning with page 1. Further pages are asked for with the
    /// generation that [`Event::ListPage`] named, so that their numbers belong together.
    ///
    /// # Errors
    /// When the link does not stand, too many lists are asked for, or there can be no such page.
    pub fn list(
        &mut self,
        path: &SafeRelPath,
        generation: Generation,
        page: u32,
    ) -> Result<RequestId, ListError> {
        self.ask_for_list(path, generation, page, false)
    }

    /// As [`list`](Self::list), and asks for the content of small files to come along where the ends have agreed on
    /// [`Capability::Inline`]. A generation holds content only if its first page was asked for in this way.
    ///
    /// # Errors
    /// Those of [`list`](Self::list).
    pub fn list_with_content(
        &mut self,
        path: &SafeRelPath,
        generation: Generation,
        page: u32,
    ) -> Result<RequestId, ListError> {
        self.ask_for_list(path, generation, page, self.capabilities.has(Capability::Inline))
    }

    fn ask_for_list(
        &mut self,
        path: &SafeRelPath,
        generation: Generation,
        page: u32,
        content: bool,
    ) -> Result<RequestId, ListError> {
        self.check_open().map_err(ListError::NotOpen)?;
        if page == 0 || (generation == Generation(0) && page != 1) {
            return Err(ListError::Page { page });
        }
        if self.asked.open.len() >= self.config.max_lists {
            return Err(ListError::TooMany { max: self.config.max_lists });
        }
        let request = self.asked.next_request();
        let flags = if content { LIST_INLINE } else { 0 };
        self.conn.send(&ListFolder { request, generation, page, flags, path: path.borrow() });
        self.asked.open.insert(request, Question { path: path.clone(), generation, page, content });
        Ok(request)
    }

    pub(in super::super) fn on_list_page(&mut self, page: &ListPage<'_>) -> Result<(), Violation> {
        let request = page.request;
        let fault = |fault: ListFault| fault.of(FrameType::ListPage, request);
        let question = self.asked.open.get(&request).ok_or_else(|| fault(ListFault::NotAsked))?;
        question.check(page).map_err(fault)?;
        self.asked.open.remove(&request);
        self.events.push_back(Event::ListPage {
            request,
            generation: page.generation,
            path: page.path.to_owned(),
            page: page.page,
            pages: page.pages,
            total: page.total,
            entries: page.entries.iter().map(Into::into).collect(),
        });
        Ok(())
    }

    /// Takes an error frame that refuses a list; `false` if it is about something else.
    pub(in super::super) fn on_list_refused(&mut self, request: u64, code: ErrorCode) -> bool {
        let Ok(request) = u32::try_from(request).map(RequestId) else { return false };
        let refused = self.asked.open.remove(&request).is_some();
        if refused {
            self.events.push_back(Event::ListRefused { request, code });
        }
        refused
    }
}

impl Question {
    fn check(&self, page: &ListPage<'_>) -> Result<(), ListFault> {
        let fresh = self.generation == Generation(0);
        let differs = |field| Err(ListFault::Differs { field });
        let out_of_range = |field| Err(ListFault::OutOfRange { field });
        if page.path != self.path.borrow() {
            return differs("path");
        }
        if !fresh && page.generation != self.generation {
            return differs("generation");
        }
        if page.page != self.page {
            return differs("page");
        }
        if page.generation == Generation(0) {
            return out_of_range("generation");
        }
        // Only the one page of an empty folder is empty: pages without end would have to name entries without end.
        if page.page > page.pages || page.pages > page.total.max(1) {
            return out_of_range("pages");
        }
        if page.total > 0 && page.entries.is_empty() {
            return out_of_range("entries");
        }
        // Rising numbers also keep a page from naming one number twice. Each earlier page has used one at least.
        let mut last = page.page.saturating_sub(1);
        for entry in page.entries.iter() {
            if entry.number <= last || entry.number > page.total {
                return out_of_range("number");
            }
            last = entry.number;
            let Some(content) = entry.inline else { continue };
            let is_whole = u64::try_from(content.as_bytes().len()) == Ok(entry.size);
            if !self.content || !is_whole || entry.root.is_none() || entry.size > MAX_CONTENT {
                return out_of_range("inline");
            }
        }
        Ok(())
    }
}

/// Most bytes of a file whose content comes with a list.
const MAX_CONTENT: u64 = MAX_INLINE as u64;
