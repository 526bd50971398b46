//! What share, downloads and state have in common: directories as handles, never as path strings.

use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};
use std::io;

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: &Dir) -> io::Result<()> {
    // The handle itself is opened for walking only (O_PATH), which fsync refuses.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
    Ok(rustix::fs::fsync(readable)?)
}
