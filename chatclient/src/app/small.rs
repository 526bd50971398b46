//! Small files that come. A thousand of them should cost what their bytes cost: each is hashed on the loop, which takes fewer
//! microseconds than its decryption did, waits in memory, and is written by the worker that gives it its name.

use super::App;
use super::jobs::LinkTransfer;
use super::receiving::Failure;
use super::transfers::Stage;
use crate::downloads::{Content, Small, Whole};
use bytes::Bytes;
use chatproto::wire::{ErrorCode, Hash};
use std::time::Instant;

impl App {
    /// All bytes of a small file have come.
    pub(super) fn on_small_unit(&mut self, at: LinkTransfer, unit: u64) {
        let Some(download) = self.transfers.of(at) else { return };
        let layout = download.file.layout();
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        // The machine lets through what makes one whole unit, and nothing else.
        let content = Content::hash(layout, std::mem::take(&mut coming.pieces));
        let root = content.as_ref().map_or(Hash([0; 32]), |content| Hash(content.root()));
        coming.content = content;
        download.heard_at = Instant::now();
        download.fact.bytes = download.file.size;
        download.note_first_byte();
        if let Some(link) = self.links.get_mut(at.0) {
            // It is in memory, which `MAX_SMALL_ACTIVE` bounds. A wrong value comes back as the transfer's failure.
            let _ = link.peer.unit_stored(at.1, unit, root);
        }
    }

    /// A small file is all there, and is what its sender committed to.
    pub(super) fn on_small_complete(&mut self, id: u64, root: Hash) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let Stage::Coming(_, coming) = &mut download.stage else { return };
        let mtime = coming.mtime;
        // No unit comes of an empty one.
        let content = coming.content.take().or_else(|| Content::hash(download.file.layout(), Vec::new()));
        coming.is_begun = true;
        self.place_small(id, content, root, mtime);
    }

    /// The bytes of a file came with the list that showed it.
    pub(super) fn on_listed_content(&mut self, id: u64, content: Bytes, root: Hash) {
        let Some(download) = self.transfers.downloads.get_mut(&id) else { return };
        let content = Content::hash(download.file.layout(), vec![content]);
        let mtime = download.file.mtime;
        self.place_small(id, content, root, mtime);
    }

    fn place_small(&mut self, id: u64, content: Option<Content>, root: Hash, mtime: u64) {
        let Some(download) = self.transfers.downloads.get(&id) else { return };
        let name = download.fact.name.clone();
        let Some(content) = content.filter(|content| content.root() == root.0) else {
            let message = format!("{} does not hash to what the peer said", name.as_str());
            return self.give_up_download(id, &Failure { code: ErrorCode::VerifyFailed, message });
        };
        let (folder, origin) = (download.fact.folder.clone(), download.file.origin());
        let small = Box::new(Small { folder, name, origin, content });
        self.finish_download(id, Whole::Small(small), root, mtime);
    }
}
