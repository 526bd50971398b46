//! The session ticket: logs this device in again without the password, at the one server that gave it.

use super::StateError;
use super::folder::Folder;
use super::hex;
use super::pin::FINGERPRINT_BYTES;
use serde::{Deserialize, Serialize};
use std::fmt;
use zeroize::{Zeroize as _, Zeroizing};

/// A ticket is this long.
pub const TICKET_BYTES: usize = chatproto::ticket::LEN;

pub(super) const FILE: &str = "ticket.json";

/// A ticket, and what it is good for.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    /// The account that it was given to.
    pub user: String,
    /// The certificate of the server that gave it. Nobody else may see it.
    pub fingerprint: [u8; FINGERPRINT_BYTES],
    /// The ticket itself: as good as the password until it expires.
    pub secret: Zeroizing<[u8; TICKET_BYTES]>,
    /// When the server ceases to accept it, in Unix milliseconds of this machine's clock.
    pub expires_ms: u64,
}

/// Without the secret.
impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, fingerprint: _, secret: _, expires_ms } = self;
        f.debug_struct("Ticket").field("user", user).field("expires_ms", expires_ms).finish_non_exhaustive()
    }
}

#[derive(Serialize, Deserialize)]
struct Stored {
    user: String,
    server: String,
    ticket: String,
    expires_ms: u64,
}

pub(super) fn load(folder: &Folder) -> Result<Option<Ticket>, StateError> {
    let Some(text) = folder.read(FILE)?.map(Zeroizing::new) else { return Ok(None) };
    // Not the parser's own words: they may quote the secret.
    let stored: Stored =
        serde_json::from_str(&text).map_err(|_| folder.corrupt(FILE, "it holds no ticket"))?;
    let fingerprint = hex::decode(&stored.server).ok_or_else(|| {
        folder.corrupt(FILE, format!("\"server\" is not {} hex digits", 2 * FINGERPRINT_BYTES))
    })?;
    let digits = Zeroizing::new(stored.ticket);
    let secret = hex::decode(&digits)
        .map(Zeroizing::new)
        .ok_or_else(|| folder.corrupt(FILE, format!("\"ticket\" is not {} hex digits", 2 * TICKET_BYTES)))?;
    Ok(Some(Ticket { user: stored.user, fingerprint, secret, expires_ms: stored.expires_ms }))
}

pub(super) fn store(folder: &Folder, ticket: &Ticket) -> Result<(), StateError> {
    let mut stored = Stored {
        user: ticket.user.clone(),
        server: hex::encode(&ticket.fingerprint),
        ticket: hex::encode(&*ticket.secret),
        expires_ms: ticket.expires_ms,
    };
    let text = serde_json::to_string(&stored).map(Zeroizing::new);
    stored.ticket.zeroize();
    let text = text.map_err(|error| folder.failed("write", FILE, error.into()))?;
    folder.replace(FILE, text.as_bytes()).map(drop)
}

pub(super) fn forget(folder: &Folder) -> Result<(), StateError> {
    folder.remove(FILE)
}
