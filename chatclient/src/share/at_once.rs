//! Opening and reading that never waits for a disk, for small files: what the system has in memory comes at once, and of everything
//! else it says that it would have to wait.

use cap_std::fs::Dir;
use std::fs::File;

/// What is known of the file system below the share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disk {
    /// All of it is memory.
    Memory,
    /// A local disk; the system tells what it has of it in memory.
    Local,
    /// The other end of a network, another program, or who knows what: even opening a file may wait.
    Unknown,
}

#[cfg(target_os = "linux")]
mod linux {
    use super::{Dir, Disk, File};
    use chatproto::wire::SafeRelPathRef;
    use rustix::fs::{Mode, OFlags, ResolveFlags};
    use rustix::io::ReadWriteFlags;
    use std::io::IoSliceMut;
    use std::os::unix::fs::FileExt as _;

    /// File systems by the numbers that statfs(2) knows them by: tmpfs and ramfs.
    const IN_MEMORY: [i128; 2] = [0x0102_1994, 0x8584_58f6];

    /// Those of local disks on which both calls below keep their promise: ext4 (and 2, 3), XFS, Btrfs, F2FS.
    const ON_DISK: [i128; 4] = [0xef53, 0x5846_5342, 0x9123_683e, 0xf2f5_2010];

    impl Disk {
        pub(in crate::share) fn below(root: &Dir) -> Self {
            match rustix::fs::fstatfs(root).map(|disk| i128::from(disk.f_type)) {
                Ok(kind) if IN_MEMORY.contains(&kind) => Self::Memory,
                Ok(kind) if ON_DISK.contains(&kind) => Self::Local,
                Ok(_) | Err(_) => Self::Unknown,
            }
        }

        /// Opens a plain file on this disk if the way to it is in memory. No symbolic link is followed on that way, and it leads
        /// to no other file system.
        pub(in crate::share) fn open(self, root: &Dir, file: SafeRelPathRef<'_>) -> Option<File> {
            if self == Self::Unknown {
                return None;
            }
            let open = |flags| {
                let way = ResolveFlags::BENEATH
                    | ResolveFlags::NO_SYMLINKS
                    | ResolveFlags::NO_MAGICLINKS
                    | ResolveFlags::NO_XDEV
                    | ResolveFlags::CACHED;
                let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                rustix::fs::openat2(root, file.as_str(), flags, Mode::empty(), way).ok().map(File::from)
            };
            // As when a worker opens one: looked at first, since opening a device can have effects, and again afterwards.
            let is_plain = |file: &File| file.metadata().is_ok_and(|metadata| metadata.is_file());
            open(OFlags::PATH).filter(is_plain)?;
            open(OFlags::RDONLY | OFlags::NONBLOCK)
        }

        /// Reads all of `into` from the beginning of a file on this disk; `false` if it is not all there in memory.
        pub(in crate::share) fn read(self, file: &File, into: &mut [u8]) -> bool {
            match self {
                Self::Memory => file.read_exact_at(into, 0).is_ok(),
                Self::Local => {
                    let len = into.len();
                    let mut slices = [IoSliceMut::new(into)];
                    rustix::io::preadv2(file, &mut slices, 0, ReadWriteFlags::NOWAIT) == Ok(len)
                }
                Self::Unknown => false,
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Dir, Disk, File};
    use chatproto::wire::SafeRelPathRef;

    impl Disk {
        pub(in crate::share) fn below(_: &Dir) -> Self {
            Self::Unknown
        }

        pub(in crate::share) fn open(self, _: &Dir, _: SafeRelPathRef<'_>) -> Option<File> {
            None
        }

        pub(in crate::share) fn read(self, _: &File, _: &mut [u8]) -> bool {
            false
        }
    }
}
