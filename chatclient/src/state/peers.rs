//! The keys of other people's devices: whoever was met once must be the same next time.

use super::StateError;
use super::device::DEVICE_ID_BYTES;
use super::folder::Folder;
use super::hex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A link key is remembered by this many bytes: the SHA-256 of the device's certificate.
pub const LINK_KEY_BYTES: usize = 32;

/// So many devices are remembered in all; a server that invents people cannot fill the disk.
pub const MAX_KNOWN_DEVICES: usize = 10_000;

const FILE: &str = "peers.json";

/// What is remembered about a device and its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyCheck {
    /// This device was never met.
    New,
    /// Met before, with this key.
    Known,
    /// Met before with another key: stop loudly.
    Changed {
        /// The key that it had.
        known: [u8; LINK_KEY_BYTES],
    },
}

/// User name, device id, link key; saved at each change.
#[derive(Debug)]
pub struct KnownPeers {
    folder: Arc<Folder>,
    users: Users,
}

type Users = BTreeMap<String, BTreeMap<String, Stored>>;

/// An object of its own, so that later versions can remember more beside the key.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stored {
    key: String,
    /// The user has compared codes with its owner.
    #[serde(default)]
    verified: bool,
}

impl KnownPeers {
    pub(super) fn load(folder: &Arc<Folder>) -> Result<Self, StateError> {
        let users: Users = match folder.read(FILE)? {
            None => Users::new(),
            Some(text) => {
                serde_json::from_str(&text).map_err(|error| folder.corrupt(FILE, error.to_string()))?
            }
        };
        for (user, devices) in &users {
            for (device, stored) in devices {
                if hex::decode::<DEVICE_ID_BYTES>(device).is_none()
                    || hex::decode::<LINK_KEY_BYTES>(&stored.key).is_none()
                {
                    return Err(folder.corrupt(FILE, format!("a device id or key of {user:?} is malformed")));
                }
            }
        }
        Ok(Self { folder: Arc::clone(folder), users })
    }

    /// Compares a device's key with what is remembered.
    #[must_use]
    pub fn check(&self, user: &str, device: &[u8; DEVICE_ID_BYTES], key: &[u8; LINK_KEY_BYTES]) -> KeyCheck {
        match self.key(user, device) {
            None => KeyCheck::New,
            Some(known) if known == *key => KeyCheck::Known,
            Some(known) => KeyCheck::Changed { known },
        }
    }

    /// Remembers a device's key, in place of another one, and saves.
    ///
    /// # Errors
    ///
    /// [`StateError::Full`] past [`MAX_KNOWN_DEVICES`], [`StateError::Io`] when it cannot be written. What was
    /// remembered stays as it was then.
    pub fn remember(
        &mut self,
        user: &str,
        device: &[u8; DEVICE_ID_BYTES],
        key: &[u8; LINK_KEY_BYTES],
    ) -> Result<(), StateError> {
        let known = self.key(user, device);
        if known == Some(*key) {
            return Ok(());
        }
        if known.is_none() && self.len() >= MAX_KNOWN_DEVICES {
            let path = self.folder.file_path(FILE);
            return Err(StateError::Full { path, what: "known devices", limit: MAX_KNOWN_DEVICES });
        }
        let mut users = self.users.clone();
        let stored = Stored { key: hex::encode(key), verified: false };
        users.entry(user.to_owned()).or_default().insert(hex::encode(device), stored);
        self.save(users)
    }

    /// Remembers that the key of a device was compared and is right; a later key of the device is not.
    ///
    /// # Errors
    ///
    /// [`StateError::Io`] when it cannot be written. Nothing, when the device was never met.
    pub fn verify(&mut self, user: &str, device: &[u8; DEVICE_ID_BYTES]) -> Result<(), StateError> {
        let mut users = self.users.clone();
        let stored = users.get_mut(user).and_then(|devices| devices.get_mut(&hex::encode(device)));
        let Some(stored) = stored.filter(|stored| !stored.verified) else { return Ok(()) };
        stored.verified = true;
        self.save(users)
    }

    /// The devices of somebody: each with its key, and whether that was compared.
    #[must_use]
    pub fn devices(&self, user: &str) -> Vec<([u8; DEVICE_ID_BYTES], [u8; LINK_KEY_BYTES], bool)> {
        let devices = self.users.get(user).into_iter().flatten();
        let decoded = devices
            .map(|(device, stored)| Some((hex::decode(device)?, hex::decode(&stored.key)?, stored.verified)));
        decoded.flatten().collect()
    }

    fn save(&mut self, users: Users) -> Result<(), StateError> {
        let mut text = serde_json::to_string_pretty(&users)
            .map_err(|error| self.folder.failed("write", FILE, error.into()))?;
        text.push('\n');
        self.folder.replace(FILE, text.as_bytes())?;
        self.users = users;
        Ok(())
    }

    /// How many devices are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.users.values().map(BTreeMap::len).sum()
    }

    /// Whether nobody was met yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn key(&self, user: &str, device: &[u8; DEVICE_ID_BYTES]) -> Option<[u8; LINK_KEY_BYTES]> {
        hex::decode(&self.users.get(user)?.get(&hex::encode(device))?.key)
    }
}
