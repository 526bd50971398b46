//! Files that go from client to client.

use std::path::Path;

use serde_json::Value;

use super::{Client, noise};

pub const MIB: usize = 1024 * 1024;

/// A file of so many MiB, different in each of them, so that no piece can stand in for another.
pub fn film(mib: usize, seed: u64) -> Vec<u8> {
    let mut content = noise(MIB, seed).repeat(mib);
    for (number, block) in content.chunks_mut(MIB).enumerate() {
        block[..8].copy_from_slice(&(number as u64).to_be_bytes());
    }
    content
}

/// Connects, and sees what somebody shares.
pub fn list(client: &mut Client, user: &str) {
    client.type_line(&format!("[FILE] {user}"));
    client.expect("file_list", |event| event["peer"] == user);
}

/// Whether nothing more happens to a transfer by itself.
pub fn ended(event: &Value) -> bool {
    ["done", "failed", "cancelled"].iter().any(|state| event["state"] == *state)
}

/// That a folder holds one file and nothing temporary.
pub fn only_file(folder: &Path) {
    assert_eq!(std::fs::read_dir(folder).expect("a folder").count(), 1, "temporary files are left");
}
