//! What share, downloads and state have in common: directories as handles, never as path strings.

use cap_fs_ext::DirExt as _;
use cap_std::fs::Dir;
use chatproto::wire::SafeNameRef;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::io;

/// Opens a folder right below `dir`; a symbolic link is not one.
pub(crate) fn open_folder(dir: &Dir, name: SafeNameRef<'_>) -> io::Result<Dir> {
    dir.open_dir_nofollow(name.as_str())
}

/// Whether opening a folder failed because the name is something else: a file, or a symbolic link.
pub(crate) fn is_no_folder(error: &io::Error) -> bool {
    matches!(Errno::from_io_error(error), Some(Errno::NOTDIR | Errno::LOOP))
}

/// Makes the names in a directory durable.
pub(crate) fn sync(dir: &Dir) -> io::Result<()> {
    // The handle itself is opened for walking only (O_PATH), which fsync refuses.
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let readable = rustix::fs::openat(dir, c".", flags, Mode::empty())?;
    Ok(rustix::fs::fsync(readable)?)
}

/// A time as the wire has it: milliseconds since 1970-01-01 UTC, 0 when unknown or earlier.
pub(crate) fn unix_millis(time: std::time::SystemTime) -> u64 {
    time.duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
