//! Real clients whose transfers are cut, killed, starved of disk and deceived, at random moments. Each round ends with the file,
//! identical, or with a failure that is named; and no wrong byte ever has the final name.
//!
//! `CHATCLIENT_ROUNDS=200` makes more rounds, `CHATCLIENT_SEED=7` begins with another one; how many of each kind there were, and
//! which failures were named, is printed (`--no-capture`).

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod files_support;
mod harness;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use chatclient::state::{FileId, RememberedHash, StateDir};
use chatproto::testing::Rng;
use harness::{Client, MIB, Options, Scratch, Server, download, ended, film};
use serde_json::Value;

/// Rounds when nothing else is asked for, one of each kind: a quarter of a minute without optimisation.
const DEFAULT_ROUNDS: u64 = 8;

/// The file, in MiB; and the disk that it comes to.
const SIZE: usize = 24;
const DISK_KIB: u32 = 64 * 1024;

/// So fast it comes: slowly enough that a fault meets it on its way.
const RATE: &str = "32M";

/// Failures of one round after which something is wrong.
const MAX_FAILURES: usize = 6;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_wrong_byte_ever_has_the_final_name() {
    let rounds = number("CHATCLIENT_ROUNDS").unwrap_or(DEFAULT_ROUNDS);
    let seed = number("CHATCLIENT_SEED").unwrap_or(1);
    files_support::on_small_disk("no_wrong_byte_ever_has_the_final_name", DISK_KIB, |disk| {
        let mut world = World::new(seed, disk);
        for round in 0..rounds {
            let fault = FAULTS[usize::try_from(round).unwrap() % FAULTS.len()];
            world.round(round, fault);
        }
        println!("seed {seed}, progress seen {} times", world.went_on);
        for (fault, (rounds, named)) in &world.told {
            println!("{fault}: {rounds} rounds, failures that were named: {named:?}");
        }
    });
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    KillSender,
    KillReceiver,
    CutBySender,
    CutByReceiver,
    ChangeSource,
    FillDisk,
    /// A byte of the file changes behind the sender's back: what it sends is not what it committed to.
    CorruptUnit,
    /// The sender shows another hash than the file has.
    LieAboutHash,
}

const FAULTS: [Fault; 8] = [
    Fault::KillSender,
    Fault::KillReceiver,
    Fault::CutBySender,
    Fault::CutByReceiver,
    Fault::ChangeSource,
    Fault::FillDisk,
    Fault::CorruptUnit,
    Fault::LieAboutHash,
];

struct World {
    rng: Rng,
    scratch: Scratch,
    server: Server,
    disk: PathBuf,
    alice: Option<Client>,
    bob: Option<Client>,
    /// What was asked for, so that the answers can be told apart.
    asked: u32,
    /// Every content that the file ever had.
    versions: Vec<Vec<u8>>,
    went_on: u32,
    /// For each kind of fault, its rounds and the failures in them.
    told: BTreeMap<String, (u32, BTreeMap<String, u32>)>,
}

impl World {
    fn new(seed: u64, disk: &Path) -> Self {
        let scratch = Scratch::new();
        let server = Server::start(&scratch.path("server"));
        server.add_users(&["alice", "bob"]);
        scratch.folder("bob-share");
        std::os::unix::fs::symlink(disk, scratch.path("alice-downloads")).expect("a link to the disk");
        let mut world = Self {
            rng: Rng::new(seed),
            scratch,
            server,
            disk: disk.to_owned(),
            alice: None,
            bob: None,
            asked: 0,
            versions: Vec::new(),
            went_on: 0,
            told: BTreeMap::new(),
        };
        world.change_source();
        world
    }

    fn change_source(&mut self) {
        let content = film(SIZE, self.rng.next_u64());
        std::fs::write(self.source(), &content).expect("a file to share");
        self.versions.push(content);
    }

    fn source(&self) -> PathBuf {
        self.scratch.path("bob-share").join("film.mkv")
    }

    /// Changes one byte, and nothing that the sender looks at while it sends.
    fn corrupt_source(&mut self) {
        let at = self.rng.below((SIZE * MIB) as u64);
        let file = File::options().read(true).write(true).open(self.source()).expect("the file");
        let time = file.metadata().and_then(|metadata| metadata.modified()).expect("a time");
        let mut content = self.versions.last().expect("a version").clone();
        let byte = &mut content[usize::try_from(at).unwrap()];
        *byte ^= 0x55;
        file.write_all_at(&[*byte], at).and_then(|()| file.set_modified(time)).expect("it is changed");
        self.versions.push(content);
    }

    /// Bob comes back, believing that his file has another hash.
    fn lie_about_hash(&mut self) {
        if let Some(bob) = self.bob.take() {
            bob.kill();
        }
        let metadata = std::fs::metadata(self.source()).expect("the file");
        let file = FileId {
            size: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        };
        let root = blake3::hash(&self.rng.next_u64().to_be_bytes()).to_hex().to_string();
        let state = StateDir::open(self.scratch.path("bob-state")).expect("bob's state");
        let (mut hashes, _) = state.hashes().expect("what bob knows of files");
        hashes.remember(&[RememberedHash { path: "film.mkv".into(), file, root }]).expect("it is written");
    }

    fn named_file(&self) -> PathBuf {
        download(&self.scratch, "alice", "film.mkv")
    }

    /// Whatever has the name is a whole version.
    fn check(&self) {
        if let Ok(content) = std::fs::read(self.named_file()) {
            assert!(self.versions.contains(&content), "wrong bytes have the final name");
        }
    }

    fn start_missing(&mut self) {
        if self.bob.is_none() {
            let options = Options::new("bob", &self.server, &self.scratch).arg("--accept").arg("all");
            self.bob = Some(Client::ready(options));
        }
        if self.alice.is_none() {
            let options = Options::new("alice", &self.server, &self.scratch).args(["--download-rate", RATE]);
            self.alice = Some(Client::ready(options));
        }
    }

    fn alice(&mut self) -> &mut Client {
        self.alice.as_mut().expect("alice is there")
    }

    /// Says it as alice, with a mark of its own.
    fn say(&mut self, command: &str) -> String {
        self.asked += 1;
        let mark = format!("m{}", self.asked);
        let line = serde_json::json!({"cmd": command, "ref": mark}).to_string();
        self.alice().type_line(&line);
        mark
    }

    /// A link, and the list: the file is number 1.
    fn link(&mut self) {
        let mark = self.say("[FILE] bob");
        self.alice().expect("file_list", |event| event["ref"] == mark.as_str());
    }

    fn round(&mut self, round: u64, fault: Fault) {
        eprintln!("round {round}: {fault:?}");
        self.told.entry(format!("{fault:?}")).or_default().0 += 1;
        if fault == Fault::LieAboutHash {
            self.lie_about_hash();
        }
        self.start_missing();
        self.link();
        if fault == Fault::FillDisk {
            let left = self.rng.below((SIZE * MIB) as u64);
            let len = u64::from(DISK_KIB) * 1024 - left;
            // As much as there is, if others have some of it.
            let _ = std::fs::write(self.disk.join("filler"), vec![7; usize::try_from(len).unwrap()]);
        }
        self.alice().forget();
        self.say("/get 1");
        let moment = self.rng.below((SIZE * MIB) as u64);
        let event = self.transfer(|event| event["bytes"].as_u64() >= Some(moment) || ended(event));
        self.check();
        let waits = fault != Fault::KillReceiver && !ended(&event);
        match fault {
            Fault::KillSender => self.bob.take().expect("bob is there").kill(),
            Fault::KillReceiver => self.alice.take().expect("alice is there").kill(),
            Fault::CutBySender => self.bob.as_mut().expect("bob is there").type_line("/hangup alice"),
            Fault::CutByReceiver => drop(self.say("/hangup bob")),
            Fault::ChangeSource => self.change_source(),
            Fault::CorruptUnit => self.corrupt_source(),
            Fault::FillDisk | Fault::LieAboutHash => {}
        }
        self.recover(fault, waits, event);
        self.check();
        assert!(self.named_file().exists(), "round {round} ended without the file");
        // Asked for in the moment in which it arrived by itself, it comes twice.
        for entry in std::fs::read_dir(&self.disk).expect("the disk").map_while(Result::ok) {
            if !entry.file_name().to_string_lossy().starts_with('.') {
                let content = std::fs::read(entry.path()).expect("a file");
                assert!(
                    self.versions.contains(&content),
                    "wrong bytes have the name {:?}",
                    entry.file_name()
                );
                std::fs::remove_file(entry.path()).expect("it is removed");
            }
        }
    }

    /// Nothing disturbs any more; what failed is asked for again.
    fn recover(&mut self, fault: Fault, mut waits: bool, mut last: Value) {
        for _ in 0..MAX_FAILURES {
            if waits {
                last = self.transfer(|event| ended(event) || event["state"] == "waiting");
            }
            self.check();
            if last["state"] == "done" || self.named_file().exists() {
                return;
            }
            if last["state"] == "failed" {
                let named = &mut self.told.entry(format!("{fault:?}")).or_default().1;
                *named.entry(last["error"].as_str().expect("a failure is named").to_owned()).or_default() +=
                    1;
            }
            if last["error"] == "changed" {
                let discard = format!("/discard {}", last["id"].as_str().expect("an id"));
                self.say(&discard);
            }
            let _ = std::fs::remove_file(self.disk.join("filler"));
            self.start_missing();
            self.alice().forget();
            self.link();
            if last["state"] != "waiting" && !self.named_file().exists() {
                self.say("/get 1");
            }
            waits = true;
        }
        panic!("it does not arrive: {last}");
    }

    fn transfer(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let event = self.alice().expect("transfer", |_| true);
            let bytes = event["bytes"].as_u64();
            if event["state"] == "active" && bytes > Some(0) && event["bytes"] != event["size"] {
                self.went_on += 1;
            }
            if wanted(&event) {
                return event;
            }
        }
    }
}
