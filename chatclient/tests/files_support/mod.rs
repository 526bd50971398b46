//! Running one test again in a child process, as somebody else or somewhere else.
#![allow(dead_code, reason = "not every test program needs each of these")]

use chatproto::wire::{SafeName, SafeRelPath};
use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

/// Set in the child: the folder to work in.
const FOLDER: &str = "CHATCLIENT_TEST_FOLDER";

/// Not root, to whom everything is readable and writable.
const NOBODY: u32 = 65_534;

pub(crate) fn name(name: &str) -> SafeName {
    SafeName::new(name).unwrap()
}

pub(crate) fn path(path: &str) -> SafeRelPath {
    SafeRelPath::new(path).unwrap()
}

/// Runs `check` as a user whom permissions bind, in a folder that `prepare` filled; `test` is the calling test's name.
pub(crate) fn as_ordinary_user(test: &str, prepare: impl FnOnce(&Path), check: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return check(Path::new(&folder));
    }
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path().join("folder");
    fs::create_dir(&folder).unwrap();
    prepare(&folder);
    if fs::metadata(temp.path()).unwrap().uid() != 0 {
        return check(&folder);
    }
    // The build directory may be closed to others, so the child runs a copy.
    let program = temp.path().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(temp.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let mut child = Command::new(program);
    child.args([test, "--exact"]).env(FOLDER, &folder).uid(NOBODY).gid(NOBODY);
    assert_passes(child);
}

/// Runs `check` in a file system of `kib` KiB; tells so and checks nothing where the system lets nobody mount.
#[cfg(target_os = "linux")]
pub(crate) fn on_small_disk(test: &str, kib: u32, check: impl FnOnce(&Path)) {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return check(Path::new(&folder));
    }
    let temp = tempfile::tempdir().unwrap();
    let mount = format!("mount -t tmpfs -o size={kib}k none \"${FOLDER}\"");
    let isolated = |script: &str| {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"])
            .env(FOLDER, temp.path());
        command
    };
    if !isolated(&mount).output().is_ok_and(|output| output.status.success()) {
        eprintln!("not checked: this system does not let us mount a small disk");
        return;
    }
    let mut child = isolated(&format!("{mount} && exec \"$@\""));
    child.arg(std::env::current_exe().unwrap()).args([test, "--exact", "--nocapture"]);
    assert_passes(child);
}

fn assert_passes(mut child: Command) {
    let output = child.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
    print!("{out}");
}
