//! Runs the real programs: a server, clients in `--json` mode, and a proxy that counts what passes.
//!
//! Everything waits for events. The one duration here, [`PATIENCE`], only bounds how long a test that has failed hangs.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test uses its own part")]

mod client;
mod files;
mod net;
mod proxy;
mod server;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

pub use client::{Client, Options, download};
pub use files::{MIB, ended, film, list, only_file};
pub use net::{Line, Net, ip, nft, run};
pub use proxy::Proxy;
pub use server::Server;

/// How long an event is waited for before the test counts as failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every account here.
pub const PASSWORD: &str = "correct horse";

/// The path of one of our programs, built if it is not there or not fresh.
pub fn program(name: &str) -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    let dir = BUILT.get_or_init(|| {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--package", "chatserver", "--package", "chatclient", "--bins"]);
        if !cfg!(debug_assertions) {
            build.arg("--release");
        }
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo runs");
        assert!(status.success(), "the programs do not build");
        // Tests run from DIR/deps, examples from DIR/examples.
        let exe = std::env::current_exe().expect("a path of our own");
        exe.ancestors().nth(2).expect("a target directory").to_owned()
    });
    dir.join(name)
}

/// One of our programs, about to start in a network namespace, if one is named.
pub fn command_in(netns: Option<&str>, name: &str) -> Command {
    let Some(netns) = netns else { return Command::new(program(name)) };
    let mut command = Command::new("ip");
    command.args(["netns", "exec", netns]).arg(program(name));
    command
}

/// A directory that is removed at the end, with what a test keeps in it.
pub struct Scratch(tempfile::TempDir);

impl Scratch {
    pub fn new() -> Self {
        Self(tempfile::tempdir().expect("a directory for the test"))
    }

    /// A path in it; nothing is made there.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file into somebody's share, with the folders that lead to it.
    pub fn share(&self, user: &str, path: &str, content: &[u8]) {
        let file = self.folder(&format!("{user}-share")).join(path);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("a folder in the share");
        std::fs::write(file, content).expect("a file to share");
    }

    /// A new folder in it.
    pub fn folder(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(&path).expect("a folder for the test");
        path
    }
}

/// Sends a signal to a process that this test started.
pub fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().expect("kill runs");
    assert!(status.success(), "the process is gone already");
}

/// Bytes that look random and are the same in every run.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 24).to_le_bytes()
    });
    words.flat_map(|word| word.into_iter().take(4)).take(len).collect()
}

/// The content of a file.
pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
