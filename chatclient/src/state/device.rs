//! Who this installation is: the device id, and the counters that number what it says.

use super::StateError;
use super::folder::Folder;
use super::hex;
use serde::{Deserialize, Serialize};
use std::io;
use std::sync::Arc;

/// The device id is this long.
pub const DEVICE_ID_BYTES: usize = 16;

/// So many counters are reserved at once: one flush to disk per this many messages, and as many numbers lost at a crash.
pub const COUNTER_BLOCK: u64 = 1_000;

const FILE: &str = "device.json";

/// The device id and its counter of says.
///
/// The id and the high-water mark are one file, so that neither can be lost without the other: a device that forgot
/// its mark would number new messages like old ones, and the server would take them for repetitions.
#[derive(Debug)]
pub struct Device {
    folder: Arc<Folder>,
    id: [u8; DEVICE_ID_BYTES],
    last: u64,
    reserved: u64,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    device: String,
    /// Every counter up to here may have been used.
    reserved: u64,
}

impl Device {
    pub(super) fn load_or_create(folder: &Arc<Folder>) -> Result<Self, StateError> {
        let Some(text) = folder.read(FILE)? else { return Self::create(folder) };
        let stored: Stored =
            serde_json::from_str(&text).map_err(|error| folder.corrupt(FILE, error.to_string()))?;
        let id = hex::decode(&stored.device).ok_or_else(|| {
            folder.corrupt(FILE, format!("\"device\" is not {} hex digits", 2 * DEVICE_ID_BYTES))
        })?;
        // The rest of the last block may have been used before a crash: it is skipped.
        Ok(Self { folder: Arc::clone(folder), id, last: stored.reserved, reserved: stored.reserved })
    }

    fn create(folder: &Arc<Folder>) -> Result<Self, StateError> {
        let mut id = [0; DEVICE_ID_BYTES];
        let no_entropy = |error: getrandom::Error| io::Error::other(error.to_string());
        getrandom::fill(&mut id).map_err(|error| folder.failed("make", FILE, no_entropy(error)))?;
        let device = Self { folder: Arc::clone(folder), id, last: 0, reserved: 0 };
        device.store(0)?;
        Ok(device)
    }

    /// The id, made at random once and then kept.
    #[must_use]
    pub fn id(&self) -> [u8; DEVICE_ID_BYTES] {
        self.id
    }

    /// A counter that this device never used before, greater than all earlier ones; the first is 1.
    ///
    /// Once in [`COUNTER_BLOCK`] calls the next block is made durable first, which waits for the disk.
    ///
    /// # Errors
    ///
    /// When the reservation cannot be written; no counter is used up then.
    pub fn next_counter(&mut self) -> Result<u64, StateError> {
        let next = self.last.checked_add(1).ok_or_else(|| self.exhausted())?;
        if next > self.reserved {
            let reserved = self.reserved.checked_add(COUNTER_BLOCK).ok_or_else(|| self.exhausted())?;
            self.store(reserved)?;
            self.reserved = reserved;
        }
        self.last = next;
        Ok(next)
    }

    fn store(&self, reserved: u64) -> Result<(), StateError> {
        let stored = Stored { device: hex::encode(&self.id), reserved };
        let mut text = serde_json::to_string(&stored)
            .map_err(|error| self.folder.failed("write", FILE, error.into()))?;
        text.push('\n');
        self.folder.replace(FILE, text.as_bytes()).map(drop)
    }

    fn exhausted(&self) -> StateError {
        self.folder.corrupt(FILE, "\"reserved\" leaves no counters")
    }
}
