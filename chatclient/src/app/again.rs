//! Finding files again: numbers belong to the link on which a list was shown, so when there is another link with the same
//! peer, the folders of the files that wait are listed once more, quietly, and each goes on if it is still what it was.

use super::App;
use super::gather::MAX_PAGES;
use super::jobs::LinkTransfer;
use super::links::LinkId;
use super::lists::Page;
use super::remote::RemoteFile;
use super::transfers::Stage;
use crate::notice::TransferState;
use chatproto::peer::ListError;
use chatproto::wire::{EntryKind, ErrorCode, Generation, Name, RequestId, SafeRelPath, Source};
use std::collections::{BTreeMap, BTreeSet};

/// A file whose number means nothing any more is looked for so often. A peer forgets the numbers of older lists; one that does so at
/// once, or only says so, is believed in the end.
const MAX_SEEKS: u8 = 8;

/// The lists that were asked for, one at a time on each link.
#[derive(Debug, Default)]
pub(super) struct Again {
    open: BTreeMap<(LinkId, RequestId), Search>,
    /// Pages that cannot be asked for now: the user's own lists come first.
    waiting: Vec<(LinkId, Search, Generation, u32)>,
}

#[derive(Debug)]
struct Search {
    peer: Name,
    folder: SafeRelPath,
    /// The files that are looked for in it. Those that come to wait while its pages come are looked for in another look.
    wanted: BTreeSet<u64>,
    /// The folders that come after this one.
    left: BTreeSet<SafeRelPath>,
}

impl Again {
    /// The link has ended.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.open.retain(|(on, _), _| *on != link);
        self.waiting.retain(|(on, ..)| *on != link);
    }

    fn is_looking(&self, link: LinkId) -> bool {
        self.open.keys().any(|(on, _)| *on == link) || self.waiting.iter().any(|(on, ..)| *on == link)
    }
}

impl App {
    /// There is a link with somebody: looks for the files that wait for it.
    pub(super) fn find_again(&mut self, link: LinkId, peer: &Name) {
        let waiting = self.transfers.downloads.values().filter(|download| download.waits_for(peer));
        let folders = waiting.filter_map(|download| download.file.folder()).collect();
        self.look_again(link, peer.clone(), folders);
    }

    fn look_again(&mut self, link: LinkId, peer: Name, mut left: BTreeSet<SafeRelPath>) {
        let folder = left.pop_first().or_else(|| {
            left = self.sought_on(link);
            left.pop_first()
        });
        let Some(folder) = folder else { return };
        let waiting = self.transfers.downloads.values().filter(|download| download.waits_for(&peer));
        let here = waiting.filter(|download| download.file.folder().as_ref() == Some(&folder));
        let wanted = here.map(|download| download.fact.id).collect();
        self.ask_again(link, Search { peer, folder, wanted, left }, Generation(0), 1);
    }

    /// The folders of files whose numbers have come to mean nothing meanwhile.
    fn sought_on(&self, link: LinkId) -> BTreeSet<SafeRelPath> {
        let sought = self.transfers.downloads.values();
        let sought = sought.filter(|download| download.is_sought && download.link == Some(link));
        sought.filter_map(|download| download.file.folder()).collect()
    }

    /// The number under which a file was asked for means nothing any more. Its folder is listed once more, for it and for whatever
    /// else has its number from the same list. `false` if that is of no use.
    pub(super) fn seek(&mut self, at: LinkTransfer) -> bool {
        let Some(download) = self.transfers.of(at) else { return false };
        let Source::Number { generation, .. } = download.file.source else { return false };
        let is_asked = matches!(download.stage, Stage::Asked(_));
        if !is_asked || download.seeks >= MAX_SEEKS || download.file.folder().is_none() {
            return false;
        }
        let peer = download.file.peer.clone();
        download.stage = Stage::Waiting;
        self.transfers.asked.remove(&at);
        for other in self.transfers.downloads.values_mut() {
            let is_of_list =
                matches!(other.file.source, Source::Number { generation: of, .. } if of == generation);
            if is_of_list
                && other.link == Some(at.0)
                && matches!(other.stage, Stage::Waiting)
                && !other.is_sought
            {
                other.is_sought = true;
                other.seeks = other.seeks.saturating_add(1);
                other.fact.position = None;
            }
        }
        if !self.again.is_looking(at.0) {
            self.look_again(at.0, peer, BTreeSet::new());
        }
        true
    }

    /// Asks for the pages that could not be asked for before.
    pub(super) fn look_on(&mut self) {
        for (link, search, generation, page) in std::mem::take(&mut self.again.waiting) {
            self.ask_again(link, search, generation, page);
        }
    }

    fn ask_again(&mut self, id: LinkId, search: Search, generation: Generation, page: u32) {
        let Some(link) = self.links.get_mut(id) else { return };
        match link.peer.list(&search.folder, generation, page) {
            Ok(request) => drop(self.again.open.insert((id, request), search)),
            Err(ListError::TooMany { .. }) => self.again.waiting.push((id, search, generation, page)),
            // When the link has ended, there will be another one.
            Err(_) => {}
        }
    }

    /// A page that the user did not ask for.
    pub(super) fn on_page_again(&mut self, link: LinkId, request: RequestId, page: &Page) {
        let Some(search) = self.again.open.remove(&(link, request)) else { return };
        let files = page.entries.iter().filter(|entry| entry.kind == EntryKind::File);
        let files =
            files.filter_map(|entry| RemoteFile::listed(&search.peer, &page.path, page.generation, entry));
        for file in files.collect::<Vec<_>>() {
            self.found_again(link, &file);
        }
        if page.page < page.pages.min(MAX_PAGES) {
            return self.ask_again(link, search, page.generation, page.page + 1);
        }
        self.not_found_again(link, &search);
        self.look_again(link, search.peer, search.left);
    }

    /// The other end does not show the folder any more.
    pub(super) fn on_refused_again(&mut self, link: LinkId, request: RequestId, code: ErrorCode) {
        let Some(search) = self.again.open.remove(&(link, request)) else { return };
        // That is how a link's end is said of its requests.
        if code != ErrorCode::Offline {
            self.not_found_again(link, &search);
            self.look_again(link, search.peer, search.left);
        }
    }

    fn found_again(&mut self, link: LinkId, file: &RemoteFile) {
        let waiting = self.transfers.downloads.values_mut();
        let waiting = waiting.filter(|download| download.waits_for(&file.peer));
        let device = self.links.device(link);
        let mut changed = Vec::new();
        for download in waiting.filter(|download| download.file.path == file.path) {
            if download.file.is_same_as(file) {
                download.file = file.clone();
                (download.link, download.device, download.is_sought) = (Some(link), device, false);
                download.fact.state =
                    if download.paused { TransferState::Paused } else { TransferState::Queued };
            } else if download.device == device {
                changed.push(download.fact.id);
            }
        }
        changed.into_iter().for_each(|id| self.fail_download(id, ErrorCode::Changed.into(), None));
        self.start_soon(link);
    }

    /// Whatever was not in the folder will not come, unless another device of the same person has shown it.
    fn not_found_again(&mut self, link: LinkId, search: &Search) {
        let wanted = search.wanted.iter().filter_map(|id| self.transfers.downloads.get(id));
        let device = self.links.device(link);
        let gone = wanted.filter(|download| download.waits_for(&search.peer) && download.device == device);
        for id in gone.map(|download| download.fact.id).collect::<Vec<_>>() {
            self.fail_download(id, ErrorCode::Changed.into(), None);
        }
    }
}
