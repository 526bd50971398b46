//! Folders to work in, in memory where the system has such a place: then a target is as fast as its code.

use std::path::Path;

use tempfile::TempDir;

const MEMORY: &str = "/dev/shm";

/// A new folder, which goes with the value.
pub fn folder() -> TempDir {
    let made = if Path::new(MEMORY).is_dir() { TempDir::new_in(MEMORY) } else { TempDir::new() };
    made.expect("a folder to work in")
}
