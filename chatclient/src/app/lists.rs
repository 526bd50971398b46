//! Lists of what peers share: asked for by path, shown by page, remembered for the numbers.

use super::App;
use super::errand::Errand;
use super::links::LinkId;
use crate::command::Picks;
use crate::notice::{Code, FileEntry, FileKind, Notice};
use chatproto::peer::ListedEntry;
use chatproto::wire::{EntryKind, ErrorCode, Generation, Name, RequestId, SafeRelPath};
use std::collections::BTreeMap;

/// What was shown, and what was asked.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// The last list of each peer.
    shown: BTreeMap<Name, Shown>,
    open: BTreeMap<(LinkId, RequestId), Question>,
    /// Whose list was shown last.
    last: Option<Name>,
}

/// One generation of a folder, as far as its pages were shown.
#[derive(Debug)]
struct Shown {
    link: LinkId,
    generation: Generation,
    path: SafeRelPath,
    entries: BTreeMap<u32, ListedEntry>,
}

#[derive(Debug)]
struct Question {
    errand: Errand,
    peer: Name,
    path: SafeRelPath,
    /// The page that the user wants; a fresh look begins with the first one.
    page: u32,
    inline: bool,
}

/// A page as the link brought it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) generation: Generation,
    pub(super) path: SafeRelPath,
    pub(super) page: u32,
    pub(super) pages: u32,
    pub(super) total: u32,
    pub(super) entries: Vec<ListedEntry>,
}

impl Shown {
    /// Whether a number that was shown means something else now. What the user has read and picks must be what comes.
    fn contradicts(&self, entries: &[ListedEntry]) -> bool {
        entries.iter().any(|entry| {
            let before = self.entries.get(&entry.number);
            before.is_some_and(|before| (&before.name, before.kind) != (&entry.name, entry.kind))
        })
    }
}

impl Lists {
    /// Whether a list of somebody is on its way; of anybody, for `None`.
    pub(super) fn is_busy(&self, peer: Option<&Name>) -> bool {
        self.open.values().any(|question| peer.is_none_or(|peer| *peer == question.peer))
    }

    /// Whose list was shown last.
    pub(super) fn last(&self) -> Option<&Name> {
        self.last.as_ref()
    }

    /// The link has ended, and with it the meaning of its numbers.
    pub(super) fn forget(&mut self, link: LinkId) {
        self.shown.retain(|_, shown| shown.link != link);
    }
}

impl App {
    pub(super) fn list_root(&mut self, errand: Errand, link: LinkId) {
        self.list(errand, link, SafeRelPath::root(), 1, false);
    }

    /// `/ls`.
    pub(super) fn list_folder(
        &mut self,
        errand: Errand,
        peer: Option<Name>,
        path: SafeRelPath,
        page: Option<u32>,
        inline: bool,
    ) {
        if let Some((link, _)) = self.link_for(&errand, peer) {
            self.list(errand, link, path, page.unwrap_or(1), inline);
        }
    }

    /// `/get`.
    pub(super) fn get(&mut self, errand: &Errand, peer: Option<Name>, picks: &Picks) {
        let Some((link, peer)) = self.link_for(errand, peer) else { return };
        let shown = self.lists.shown.get(&peer).filter(|shown| self.links.stands(shown.link));
        match (picks, shown) {
            (Picks::All, shown) => {
                // What is there now, of the folder that was shown.
                let (link, remote) =
                    shown.map_or((link, SafeRelPath::root()), |shown| (shown.link, shown.path.clone()));
                self.get_folder(errand, &peer, link, remote);
            }
            (Picks::These(numbers), Some(shown)) => {
                let (link, folder, generation) = (shown.link, shown.path.clone(), shown.generation);
                let find = |number: &u64| {
                    let entry = u32::try_from(*number).ok().and_then(|number| shown.entries.get(&number));
                    entry.cloned().ok_or(*number)
                };
                let found = numbers.iter().map(find).collect();
                self.get_entries(errand, &peer, link, (folder, generation), found);
            }
            (Picks::These(_), None) => {
                let text = format!("no list of {} was shown yet; try /ls @{0}", peer.as_str());
                self.voice.fail(Some(errand), Code::NoList, text);
            }
        }
    }

    /// The link that a command means, or a failure.
    fn link_for(&mut self, errand: &Errand, peer: Option<Name>) -> Option<(LinkId, Name)> {
        let Some(peer) = peer.or_else(|| self.default_peer()) else {
            self.voice.fail(Some(errand), Code::NoPeer, "no peer was listed yet; try [FILE] USER");
            return None;
        };
        match self.links.with(&peer) {
            Some(link) => Some((link, peer)),
            None => {
                let text = format!("there is no link with {}; try [FILE] {0}", peer.as_str());
                self.voice.fail(Some(errand), Code::NoPeer, text);
                None
            }
        }
    }

    /// Whom a command means that names nobody: the peer listed last, or the one of the direct mode.
    pub(super) fn default_peer(&self) -> Option<Name> {
        self.lists.last().cloned().or_else(|| self.direct.as_ref().map(|direct| direct.peer.clone()))
    }

    fn list(&mut self, errand: Errand, id: LinkId, path: SafeRelPath, page: u32, inline: bool) {
        let Some(link) = self.links.get_mut(id) else { return };
        let Some(peer) = link.name().cloned() else { return };
        // Further pages belong to the list that was shown; a first page is a fresh look.
        let known = self.lists.shown.get(&peer).filter(|shown| shown.link == id && shown.path == path);
        let (generation, first) =
            known.filter(|_| page > 1).map_or((Generation(0), 1), |shown| (shown.generation, page));
        let asked = if inline {
            link.peer.list_with_content(&path, generation, first)
        } else {
            link.peer.list(&path, generation, first)
        };
        match asked {
            Ok(request) => {
                let question = Question { errand, peer, path, page, inline };
                self.lists.open.insert((id, request), question);
            }
            Err(error) => {
                self.voice.fail(Some(&errand), ErrorCode::TooManyRequests, error.to_string());
            }
        }
    }

    pub(super) fn on_list_page(&mut self, link: LinkId, request: RequestId, found: Page) {
        for root in found.entries.iter().filter_map(|entry| entry.root) {
            self.sources.shown(root, link);
        }
        self.carry_on_parked();
        self.plan_all();
        let Some(question) = self.lists.open.remove(&(link, request)) else {
            return self.on_page_again(link, request, &found);
        };
        let Page { generation, path, page, pages, total, entries } = found;
        let shown = self.lists.shown.get(&question.peer).filter(|shown| shown.link == link);
        if shown.is_some_and(|shown| shown.generation == generation && shown.contradicts(&entries)) {
            let peer = question.peer.as_str();
            let text =
                format!("{peer} shows other files under numbers that were shown before; /ls looks anew");
            return self.voice.fail(Some(&question.errand), ErrorCode::Changed, text);
        }
        let seen = entries.iter().map(|entry| (entry.number, entry.clone()));
        let shown = self.lists.shown.get_mut(&question.peer);
        match shown.filter(|shown| shown.link == link && shown.generation == generation) {
            Some(shown) => shown.entries.extend(seen),
            None => {
                let shown = Shown { link, generation, path: path.clone(), entries: seen.collect() };
                self.lists.shown.insert(question.peer.clone(), shown);
            }
        }
        self.lists.last = Some(question.peer.clone());
        if page < question.page {
            if question.page > pages {
                let text = format!("there is no page {} of {pages}", question.page);
                return self.voice.fail(Some(&question.errand), ErrorCode::NoSuchNumber, text);
            }
            return self.list(question.errand, link, question.path, question.page, question.inline);
        }
        let peer = question.peer;
        let generation = generation.0;
        let more = page < pages;
        let entries = entries.into_iter().map(file_entry).collect();
        let notice = Notice::FileList { peer, path, generation, page, pages, total, more, entries };
        self.voice.show(&notice, Some(&question.errand));
        self.gather(link);
    }

    pub(super) fn on_list_refused(&mut self, link: LinkId, request: RequestId, code: ErrorCode) {
        let Some(question) = self.lists.open.remove(&(link, request)) else {
            return self.on_refused_again(link, request, code);
        };
        let (peer, path) = (question.peer.as_str(), question.path.as_str());
        let text = format!("{peer} does not list /{path}: {}", super::facts::sentence(code));
        // That is how a link's end is said of its requests.
        let code = if code == ErrorCode::Offline { Code::LinkLost } else { code.into() };
        self.voice.fail(Some(&question.errand), code, text);
    }
}

fn file_entry(entry: ListedEntry) -> FileEntry {
    let (kind, size) = match entry.kind {
        EntryKind::File => (FileKind::File, Some(entry.size)),
        EntryKind::Folder => (FileKind::Dir, None),
    };
    FileEntry { number: entry.number, kind, name: entry.name, size }
}
