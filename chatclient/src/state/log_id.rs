//! Which log of the server the cursors in the journal belong to.

use super::StateError;
use super::folder::Folder;
use super::hex;

/// A log is named by this many random bytes.
pub const LOG_ID_BYTES: usize = 16;

const FILE: &str = "server_log";

pub(super) fn load(folder: &Folder) -> Result<Option<[u8; LOG_ID_BYTES]>, StateError> {
    let Some(text) = folder.read(FILE)? else { return Ok(None) };
    hex::decode(text.trim_end())
        .map(Some)
        .ok_or_else(|| folder.corrupt(FILE, format!("it does not hold {} hex digits", 2 * LOG_ID_BYTES)))
}

pub(super) fn store(folder: &Folder, log: &[u8; LOG_ID_BYTES]) -> Result<(), StateError> {
    folder.replace(FILE, format!("{}\n", hex::encode(log)).as_bytes()).map(drop)
}
