//! Folders that are fetched whole: looked into page by page, their files queued as transfers, their tree made again below
//! the download folder.
//!
//! A peer remembers the numbers of few lists, so a folder is looked into only when most files of the earlier ones have
//! been asked for. Nothing that a peer lists is believed: how much one command may fetch is bounded here.

use super::App;
use super::errand::Errand;
use super::jobs::Job;
use super::links::LinkId;
use super::lists::Page;
use super::remote::RemoteFile;
use crate::downloads::GivenNames;
use crate::notice::{Code, Notice};
use chatproto::peer::ListedEntry;
use chatproto::wire::{EntryKind, ErrorCode, Generation, Name, RequestId, SafeName, SafeRelPath};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Instant;

/// So many files one `/get` may fetch. Answers a peer that lists folders in folders without end.
pub(super) const MAX_GET_FILES: u64 = 10_000;

/// So many folders one `/get` may look into, for the same reason.
const MAX_GET_FOLDERS: u64 = 10_000;

/// So many pages of one folder are asked for. More than an honest folder has: a list holds at most 10,000 entries.
pub(super) const MAX_PAGES: u32 = 10_000;

/// So deep in the folder that was asked for one `/get` looks. A path has its own bound, which is not higher.
const MAX_GET_DEPTH: usize = 24;

/// Pages that are asked for ahead on one link. Less than a link allows, so that there is room for an `/ls`.
const PAGES_AHEAD: usize = 4;

/// Lists of one link whose numbers are in use. The other end keeps eight; the rest is for what the user lists meanwhile.
const LISTS_IN_USE: usize = 4;

/// All folders that are being looked into, and the commands that they belong to.
#[derive(Debug, Default)]
pub(super) struct Gathering {
    waiting: BTreeMap<LinkId, VecDeque<Look>>,
    begun: BTreeMap<u64, (Look, Pages)>,
    /// Pages that were asked for.
    asked: BTreeMap<(LinkId, RequestId), u64>,
    batches: BTreeMap<u64, Batch>,
    last: u64,
}

/// One folder to look into.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) link: LinkId,
    /// The `/get` that it belongs to, if it does.
    pub(super) batch: Option<u64>,
    pub(super) errand: Errand,
    /// Where it lies at the peer.
    pub(super) remote: SafeRelPath,
    /// Where its files are to lie, below the download folder.
    pub(super) into: SafeRelPath,
    pub(super) want: Want,
    /// How far it is below what was asked for.
    pub(super) depth: usize,
}

/// What of a folder is wanted.
#[derive(Debug)]
pub(super) enum Want {
    /// Everything, with what is below.
    All,
    /// These files, which go on as these transfers.
    Files(BTreeMap<SafeName, u64>),
}

/// How much of a folder has come.
#[derive(Debug)]
struct Pages {
    generation: Generation,
    /// The next to ask for, and how many there are.
    next: u32,
    last: u32,
    /// Asked for, and not here.
    open: usize,
    names: GivenNames,
}

/// One `/get`.
#[derive(Debug)]
struct Batch {
    peer: Name,
    errand: Errand,
    since: Instant,
    /// Folders and files that have not ended.
    open: u64,
    files: u64,
    folders: u64,
    /// It was told that this is too much.
    is_full: bool,
    /// The user has stopped it: its files wait.
    is_paused: bool,
    sum: Sum,
}

#[derive(Debug, Default)]
struct Sum {
    done: u64,
    failed: u64,
    cancelled: u64,
    bytes: u64,
}

/// How one file of a command ended.
#[derive(Debug, Clone, Copy)]
pub(super) enum Outcome {
    Done { bytes: u64 },
    Failed,
    Cancelled,
}

impl Gathering {
    /// Lists whose numbers are in use on a link, given those that files wait for.
    fn in_use(&self, link: LinkId, by_files: BTreeSet<Generation>) -> usize {
        let looks = || self.begun.values().filter(|(look, _)| look.link == link).map(|(_, pages)| pages);
        let others = by_files.into_iter().filter(|number| looks().all(|pages| pages.generation != *number));
        looks().count() + others.count()
    }

    /// Whether no folder is looked into, and none is to be.
    pub(super) fn is_idle(&self) -> bool {
        self.begun.is_empty() && self.waiting.values().all(VecDeque::is_empty)
    }

    fn pages_open(&self, link: LinkId) -> usize {
        self.asked.keys().filter(|(on, _)| *on == link).count()
    }

    /// Whether a command has asked for as much as it may.
    fn is_full(&self, batch: Option<u64>) -> bool {
        batch.and_then(|batch| self.batches.get(&batch)).is_some_and(|batch| batch.is_full)
    }

    /// Whether the user has stopped a command: what it finds from here on waits.
    pub(super) fn is_paused(&self, batch: Option<u64>) -> bool {
        batch.and_then(|batch| self.batches.get(&batch)).is_some_and(|batch| batch.is_paused)
    }

    /// `/pause all` and `/resume all`.
    pub(super) fn pause(&mut self, paused: bool) {
        self.batches.values_mut().for_each(|batch| batch.is_paused = paused);
    }

    /// Nobody wants this transfer to go on any more.
    pub(super) fn leave_out(&mut self, id: u64) {
        let waiting = self.waiting.values_mut().flatten();
        for look in waiting.chain(self.begun.values_mut().map(|(look, _)| look)) {
            if let Want::Files(files) = &mut look.want {
                files.retain(|_, wanted| *wanted != id);
            }
        }
    }

    fn fail(&mut self, batch: Option<u64>) {
        if let Some(batch) = batch.and_then(|batch| self.batches.get_mut(&batch)) {
            batch.sum.failed += 1;
        }
    }
}

impl App {
    /// Begins to count what one `/get` asks for; that it was asked for is itself a part that ends.
    fn open_batch(&mut self, errand: &Errand, peer: &Name) -> u64 {
        self.gathering.last += 1;
        let (errand, peer) = (errand.clone(), peer.clone());
        let batch = Batch {
            peer,
            errand,
            since: Instant::now(),
            open: 1,
            files: 0,
            folders: 0,
            is_full: false,
            is_paused: false,
            sum: Sum::default(),
        };
        self.gathering.batches.insert(self.gathering.last, batch);
        self.gathering.last
    }

    /// Whether a command may fetch one file more; if not, that is told once.
    pub(super) fn count_file(&mut self, batch: Option<u64>) -> bool {
        self.count(batch, |batch| {
            batch.files += 1;
            batch.files <= MAX_GET_FILES
        })
    }

    fn count(&mut self, id: Option<u64>, one_more: impl Fn(&mut Batch) -> bool) -> bool {
        let Some(batch) = id.and_then(|id| self.gathering.batches.get_mut(&id)) else { return true };
        if one_more(batch) {
            batch.open += 1;
            return true;
        }
        batch.sum.failed += 1;
        if !std::mem::replace(&mut batch.is_full, true) {
            let text = format!(
                "one /get fetches at most {MAX_GET_FILES} files from {MAX_GET_FOLDERS} folders; the others are left out"
            );
            let errand = batch.errand.clone();
            self.voice.fail(Some(&errand), Code::TooMuch, text);
        }
        false
    }

    /// A file of a command has ended.
    pub(super) fn end_file(&mut self, id: Option<u64>, outcome: Outcome) {
        let Some(batch) = id.and_then(|id| self.gathering.batches.get_mut(&id)) else { return };
        match outcome {
            Outcome::Done { bytes } => {
                batch.sum.done += 1;
                batch.sum.bytes += bytes;
            }
            Outcome::Failed => batch.sum.failed += 1,
            Outcome::Cancelled => batch.sum.cancelled += 1,
        }
        self.end_one(id);
    }

    /// One part of a command has ended; after the last one it is summed up.
    fn end_one(&mut self, id: Option<u64>) {
        let Some(id) = id else { return };
        let Some(batch) = self.gathering.batches.get_mut(&id) else { return };
        batch.open = batch.open.saturating_sub(1);
        if batch.open > 0 {
            return;
        }
        let Some(Batch { peer, errand, since, sum, folders, .. }) = self.gathering.batches.remove(&id) else {
            return;
        };
        let Sum { done, failed, cancelled, bytes } = sum;
        // That an empty folder is fetched is told as well. Of a wrong number an error was told.
        if done + failed + cancelled + folders > 0 {
            let millis = u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX);
            self.voice.show(&Notice::Fetched { peer, done, failed, cancelled, bytes, millis }, Some(&errand));
        }
    }

    /// Looks into a folder when its turn comes.
    pub(super) fn look_into(&mut self, look: Look) {
        let may = look.depth <= MAX_GET_DEPTH
            && self.count(look.batch, |batch| {
                batch.folders += 1;
                batch.folders <= MAX_GET_FOLDERS
            });
        if may {
            let link = look.link;
            self.gathering.waiting.entry(link).or_default().push_back(look);
            self.gather(link);
        } else if look.depth > MAX_GET_DEPTH {
            self.gathering.fail(look.batch);
            let text = format!(
                "/{} lies more than {MAX_GET_DEPTH} folders deep and is left out",
                look.remote.as_str()
            );
            self.voice.fail(Some(&look.errand), Code::TooMuch, text);
        }
    }

    /// Asks for pages as far as there is room.
    pub(super) fn gather(&mut self, id: LinkId) {
        while self.gathering.pages_open(id) < PAGES_AHEAD {
            let further = self.gathering.begun.iter().find(|(_, (look, pages))| {
                look.link == id && pages.generation != Generation(0) && pages.next <= pages.last
            });
            let number = match further.map(|(number, _)| *number) {
                Some(number) => number,
                None => match self.begin_look(id) {
                    Some(number) => number,
                    None => return,
                },
            };
            let Some((look, pages)) = self.gathering.begun.get_mut(&number) else { return };
            let Some(link) = self.links.get_mut(id) else { return };
            match link.peer.list_with_content(&look.remote, pages.generation, pages.next) {
                Ok(request) => {
                    pages.next += 1;
                    pages.open += 1;
                    self.gathering.asked.insert((id, request), number);
                }
                // The user's own lists come first. When one of them is here, this goes on.
                Err(_) => {
                    if pages.generation == Generation(0)
                        && let Some((look, _)) = self.gathering.begun.remove(&number)
                    {
                        self.gathering.waiting.entry(id).or_default().push_front(look);
                    }
                    return;
                }
            }
        }
    }

    fn begin_look(&mut self, link: LinkId) -> Option<u64> {
        self.gathering.waiting.get(&link).filter(|waiting| !waiting.is_empty())?;
        let by_files = self.transfers.generations(link, LISTS_IN_USE);
        if self.gathering.in_use(link, by_files) >= LISTS_IN_USE {
            return None;
        }
        let look = self.gathering.waiting.get_mut(&link)?.pop_front()?;
        let pages =
            Pages { generation: Generation(0), next: 1, last: 1, open: 0, names: GivenNames::default() };
        self.gathering.last += 1;
        self.gathering.begun.insert(self.gathering.last, (look, pages));
        Some(self.gathering.last)
    }

    /// A page; `Err` gives it back if it was not asked for here.
    pub(super) fn on_gathered(&mut self, link: LinkId, request: RequestId, page: Page) -> Result<(), Page> {
        let Some(number) = self.gathering.asked.remove(&(link, request)) else { return Err(page) };
        page.entries.iter().filter_map(|entry| entry.root).for_each(|root| self.sources.shown(root, link));
        let Some((mut look, mut pages)) = self.gathering.begun.remove(&number) else { return Ok(()) };
        if page.page == 1 {
            (pages.generation, pages.last) = (page.generation, page.pages.min(MAX_PAGES));
            if page.total == 0 && matches!(look.want, Want::All) && !look.into.borrow().is_root() {
                let (folder, path) = (self.folder(), look.into.clone());
                self.jobs.submit(Job::MakeFolder { folder, path });
            }
        }
        for entry in page.entries {
            self.take_entry(&mut look, &mut pages, &entry);
        }
        pages.open -= 1;
        if self.gathering.is_full(look.batch) {
            // Whatever the others show, it would be left out.
            pages.last = 0;
        }
        if pages.open == 0 && pages.next > pages.last {
            self.end_look(look);
        } else {
            self.gathering.begun.insert(number, (look, pages));
        }
        self.gather(link);
        Ok(())
    }

    fn take_entry(&mut self, look: &mut Look, pages: &mut Pages, entry: &ListedEntry) {
        let id = match &mut look.want {
            Want::All => None,
            Want::Files(files) => match files.remove(&entry.name) {
                Some(id) if entry.kind == EntryKind::File => Some(id),
                Some(_) | None => return,
            },
        };
        let Look { link, batch, depth, .. } = *look;
        // One that goes on has its name already.
        let name = if id.is_some() { Some(entry.name.clone()) } else { pages.names.give(&entry.name) };
        let place = name.map(|name| (look.into.clone(), name));
        let of = (look.remote.clone(), pages.generation);
        self.take(&look.errand.clone(), link, batch, id, of, place, depth, entry);
    }

    /// `/get` of a whole folder, as it is now.
    pub(super) fn get_folder(&mut self, errand: &Errand, peer: &Name, link: LinkId, remote: SafeRelPath) {
        let batch = self.open_batch(errand, peer);
        let (errand, into, want) = (errand.clone(), SafeRelPath::root(), Want::All);
        self.look_into(Look { link, batch: Some(batch), errand, remote, into, want, depth: 0 });
        self.end_one(Some(batch));
    }

    /// `/get` of lines of a list that was shown; of those that it does not have, the number.
    pub(super) fn get_entries(
        &mut self,
        errand: &Errand,
        peer: &Name,
        link: LinkId,
        of: (SafeRelPath, Generation),
        found: Vec<Result<ListedEntry, u64>>,
    ) {
        let batch = self.open_batch(errand, peer);
        let mut names = GivenNames::default();
        for entry in found {
            match entry {
                Ok(entry) => {
                    let place = names.give(&entry.name).map(|name| (SafeRelPath::root(), name));
                    self.take(errand, link, Some(batch), None, of.clone(), place, 0, &entry);
                }
                Err(number) => {
                    let text = format!("number {number} is not in the list");
                    self.voice.fail(Some(errand), ErrorCode::NoSuchNumber, text);
                }
            }
        }
        self.end_one(Some(batch));
    }

    /// Fetches a file of a list, or looks into a folder.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own about one line of a list")]
    fn take(
        &mut self,
        errand: &Errand,
        link: LinkId,
        batch: Option<u64>,
        id: Option<u64>,
        (folder, generation): (SafeRelPath, Generation),
        place: Option<(SafeRelPath, SafeName)>,
        depth: usize,
        entry: &ListedEntry,
    ) {
        let Some(peer) = self.links.get_mut(link).and_then(|link| link.name().cloned()) else { return };
        let file = RemoteFile::listed(&peer, &folder, generation, entry);
        match (entry.kind, file, place) {
            (EntryKind::File, Some(file), Some(place)) => self.fetch(errand, link, batch, id, file, place),
            (EntryKind::Folder, Some(file), Some((into, name))) => {
                // Here it may have a longer name than there.
                let Ok(into) = into.borrow().join(name.borrow()) else {
                    return self.leave_out(errand, batch, entry);
                };
                let (errand, remote, want) = (errand.clone(), file.path, Want::All);
                self.look_into(Look { link, batch, errand, remote, into, want, depth: depth + 1 });
            }
            (EntryKind::File | EntryKind::Folder, _, _) => self.leave_out(errand, batch, entry),
        }
    }

    /// Tells of what cannot have a place here.
    fn leave_out(&mut self, errand: &Errand, batch: Option<u64>, entry: &ListedEntry) {
        self.gathering.fail(batch);
        let name = entry.name.as_str();
        let text = format!("{name} has too long a path, or too many others of its name");
        self.voice.fail(Some(errand), Code::TooMuch, text);
    }

    fn end_look(&mut self, look: Look) {
        if let Want::Files(missing) = look.want {
            missing.into_values().for_each(|id| self.miss_kept(look.link, id, ErrorCode::NoSuchPath.into()));
        }
        self.end_one(look.batch);
    }

    /// A folder cannot be looked into; `false` if that was not wanted here.
    pub(super) fn on_gather_refused(&mut self, link: LinkId, request: RequestId, code: ErrorCode) -> bool {
        let Some(number) = self.gathering.asked.remove(&(link, request)) else { return false };
        let Some((look, _)) = self.gathering.begun.remove(&number) else { return true };
        self.gathering.asked.retain(|_, other| *other != number);
        self.fail_look(look, code);
        self.gather(link);
        true
    }

    fn fail_look(&mut self, look: Look, code: ErrorCode) {
        // That is how a link's end is said of its requests.
        let code = if code == ErrorCode::Offline { Code::LinkLost } else { code.into() };
        match look.want {
            Want::All => {
                self.gathering.fail(look.batch);
                let text = format!("/{} cannot be fetched: {}", look.remote.as_str(), code.meaning());
                self.voice.fail(Some(&look.errand), code, text);
            }
            Want::Files(files) => files.into_values().for_each(|id| self.miss_kept(look.link, id, code)),
        }
        self.end_one(look.batch);
    }

    /// `/cancel all`: no folder is looked into any further.
    pub(super) fn stop_gathering(&mut self) {
        let waiting = std::mem::take(&mut self.gathering.waiting).into_values().flatten();
        // A page of these that comes yet finds nobody who waits for it.
        let begun = std::mem::take(&mut self.gathering.begun).into_values().map(|(look, _)| look);
        for look in waiting.chain(begun).collect::<Vec<_>>() {
            self.end_file(look.batch, Outcome::Cancelled);
        }
    }

    /// Nothing comes over a link any more.
    pub(super) fn end_gathering(&mut self, link: LinkId) {
        self.gathering.asked.retain(|(on, _), _| *on != link);
        let mut looks = Vec::from(self.gathering.waiting.remove(&link).unwrap_or_default());
        let begun = std::mem::take(&mut self.gathering.begun);
        for (number, (look, pages)) in begun {
            if look.link == link {
                looks.push(look);
            } else {
                self.gathering.begun.insert(number, (look, pages));
            }
        }
        looks.into_iter().for_each(|look| self.fail_look(look, ErrorCode::Offline));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatproto::wire::SafeNameRef;

    #[test]
    fn names_that_a_file_system_may_take_for_one_stay_apart() {
        let mut names = GivenNames::default();
        let given = ["Notes.txt", "notes.TXT", "notes (1).txt", "stra\u{df}e", "STRASSE", "other"]
            .map(|name| names.give(&SafeName::new(name).unwrap()).unwrap());
        let given = given.each_ref().map(SafeName::as_str);
        let apart =
            ["Notes.txt", "notes (1).TXT", "notes (1) (1).txt", "stra\u{df}e", "STRASSE (1)", "other"];
        assert_eq!(given, apart);
    }

    #[test]
    fn the_longest_names_stay_apart_too() {
        let mut names = GivenNames::default();
        let longest = |letter: &str| SafeName::new(&letter.repeat(SafeNameRef::MAX_LEN)).unwrap();
        let given = ["x", "X", "x", "y"].map(|letter| names.give(&longest(letter)).unwrap());
        let lengths = given.each_ref().map(|name| name.as_str().len());
        assert_eq!(lengths, [SafeNameRef::MAX_LEN; 4]);
        assert!(given[1].as_str().ends_with("X (1)") && given[2].as_str().ends_with("x (2)"));
        assert_eq!(given[3], longest("y"));
    }
}
