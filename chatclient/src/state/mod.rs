//! What one user at one server must not forget: the `--state DIR`.
//!
//! The directory (mode 0700, files 0600) is locked while a client uses it. It holds
//!
//! | file | content | written |
//! |---|---|---|
//! | `lock` | the pid of the client that holds the lock | at open |
//! | `device.json` | the device id and the mark up to which its counters may be used | flushed, once in 1,000 says |
//! | `known_servers` | the certificates to which the server is pinned | flushed, at first contact, and when it announces another |
//! | `server_log` | which log of the server the cursors belong to | flushed, when it is another one |
//! | `ticket.json` | the session ticket, which logs in without the password until it expires | flushed, when one is given |
//! | `peers.json` | the link keys of other people's devices, and which of them were compared | flushed, when a new one is met |
//! | `consent.json` | who gets a link without a question, or never, or through the relay alone | flushed, at each change |
//! | `hashes` | the hashes of shared files | appended, not flushed |
//! | `journal` | unacknowledged says and the cursor of each room | appended, not flushed |
//! | `wanted` | the files that are still to be fetched | appended, not flushed |
//!
//! Files that are flushed are replaced whole, so a crash leaves the old or the new. The journal survives the death of
//! the process at any moment; a power cut may cost its last lines, which costs no correctness: a cursor that is
//! behind is caught up, and an acknowledgement that is lost means one harmless repetition.

mod consent;
mod device;
mod error;
mod folder;
mod hashes;
pub(crate) mod hex;
mod journal;
pub(crate) mod line;
mod location;
mod log_id;
mod peers;
mod pin;
mod ticket;
mod wanted;

pub use consent::{Consent, ConsentFor, ConsentRule, MAX_CONSENT_RULES};
pub use device::{COUNTER_BLOCK, DEVICE_ID_BYTES, Device};
pub use error::StateError;
pub use hashes::{FileId, HashFile, MAX_HASHES, RememberedHash};
pub use journal::{Journal, MAX_PENDING_SAYS, MAX_SAY_BYTES, PendingSay, Replay, SayTarget};
pub use location::default_path;
pub use log_id::LOG_ID_BYTES;
pub use peers::{KeyCheck, KnownPeers, LINK_KEY_BYTES, MAX_KNOWN_DEVICES};
pub use pin::{FINGERPRINT_BYTES, KnownServer};
pub use ticket::{TICKET_BYTES, Ticket};
pub use wanted::{MAX_WANTED_FILES, WantedFile, WantedFiles};

use folder::Folder;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whether the state directory at `path` seems to hold a session ticket; opens and locks nothing.
#[must_use]
pub fn may_have_ticket(path: &Path) -> bool {
    path.join(ticket::FILE).exists()
}

/// An open state directory. The lock is held until this and everything opened from it is dropped.
#[derive(Debug, Clone)]
pub struct StateDir {
    folder: Arc<Folder>,
}

impl StateDir {
    /// Opens the directory, creating it when it is not there, and locks it.
    ///
    /// # Errors
    ///
    /// [`StateError::InUse`] while another client holds it, [`StateError::NotADirectory`], or [`StateError::Io`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StateError> {
        Folder::open(path.as_ref()).map(|folder| Self { folder: Arc::new(folder) })
    }

    /// The directory, for those who keep files of their own in it.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The path of a file in the directory.
    #[must_use]
    pub fn file_path(&self, name: &str) -> PathBuf {
        self.folder.file_path(name)
    }

    /// The device id with its counters; made at the first call ever. Load it once: two would reserve the same counters.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and unreadable: a lost identity is never replaced silently.
    pub fn device(&self) -> Result<Device, StateError> {
        Device::load_or_create(&self.folder)
    }

    /// What the server at this address is pinned to, if it was met before.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and has a line that is none.
    pub fn known_server(&self, address: &str) -> Result<Option<KnownServer>, StateError> {
        pin::load(&self.folder, address)
    }

    /// Pins the server at this address, in place of an earlier pin.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written.
    pub fn pin_server(&self, address: &str, server: KnownServer) -> Result<(), StateError> {
        pin::store(&self.folder, address, server)
    }

    /// The log of the server that the cursors in the journal belong to, if it was met before.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and names no log.
    pub fn known_log(&self) -> Result<Option<[u8; LOG_ID_BYTES]>, StateError> {
        log_id::load(&self.folder)
    }

    /// Remembers the log of the server, in place of an earlier one. Forget the cursors of the earlier one first.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written.
    pub fn remember_log(&self, log: &[u8; LOG_ID_BYTES]) -> Result<(), StateError> {
        log_id::store(&self.folder, log)
    }

    /// The session ticket, if there is one; it may have expired.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and holds no ticket.
    pub fn ticket(&self) -> Result<Option<Ticket>, StateError> {
        ticket::load(&self.folder)
    }

    /// Keeps a session ticket, in place of an earlier one.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written.
    pub fn keep_ticket(&self, ticket: &Ticket) -> Result<(), StateError> {
        ticket::store(&self.folder, ticket)
    }

    /// Removes the session ticket, if there is one.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be removed.
    pub fn forget_ticket(&self) -> Result<(), StateError> {
        ticket::forget(&self.folder)
    }

    /// The link keys of the devices met so far.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and unreadable.
    pub fn known_peers(&self) -> Result<KnownPeers, StateError> {
        KnownPeers::load(&self.folder)
    }

    /// Who gets a link without a question, or never.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the file is there and unreadable.
    pub fn consent(&self) -> Result<Consent, StateError> {
        Consent::load(&self.folder)
    }

    /// The files that are still to be fetched. Open it once: two would write over each other.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when the file cannot be read or written.
    pub fn wanted(&self) -> Result<WantedFiles, StateError> {
        WantedFiles::open(&self.folder)
    }

    /// The journal of `device`, and what it brought back. Open it once: two would write over each other.
    ///
    /// # Errors
    ///
    /// [`StateError::Corrupt`] when the journal belongs to another device or is not a journal.
    pub fn journal(&self, device: &Device) -> Result<(Journal, Replay), StateError> {
        Journal::open(&self.folder, device.id())
    }

    /// The hashes of shared files that were remembered. Open it once: two would write over each other.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when the file cannot be read or rewritten.
    pub fn hashes(&self) -> Result<(HashFile, Vec<RememberedHash>), StateError> {
        HashFile::open(&self.folder)
    }
}
