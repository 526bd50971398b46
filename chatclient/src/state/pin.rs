//! The server's fingerprint, remembered from the first contact.

use super::StateError;
use super::folder::Folder;
use super::hex;

/// A fingerprint is the SHA-256 of the server's certificate.
pub const FINGERPRINT_BYTES: usize = 32;

const FILE: &str = "known_server";
const PREFIX: &str = "sha256:";

pub(super) fn load(folder: &Folder) -> Result<Option<[u8; FINGERPRINT_BYTES]>, StateError> {
    let Some(text) = folder.read(FILE)? else { return Ok(None) };
    text.trim_end()
        .strip_prefix(PREFIX)
        .and_then(hex::decode)
        .map(Some)
        .ok_or_else(|| folder.corrupt(FILE, "it does not read sha256: and 64 hex digits"))
}

pub(super) fn store(folder: &Folder, fingerprint: &[u8; FINGERPRINT_BYTES]) -> Result<(), StateError> {
    folder.replace(FILE, format!("{PREFIX}{}\n", hex::encode(fingerprint)).as_bytes()).map(drop)
}
