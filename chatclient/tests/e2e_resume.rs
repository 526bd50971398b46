//! Files that are cut off and go on, between real clients.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use harness::{Client, MIB, Options, Scratch, Server, download, ended, film, list, only_file};
use serde_json::Value;

/// A file that takes a while, in MiB.
const BIG: usize = 128;

/// How fast it comes while something is to happen to it, however fast the machine is.
const SLOWLY: &str = "12M";

struct World {
    scratch: Scratch,
    server: Server,
    original: PathBuf,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let server = Server::start(&scratch.path("server"));
        server.add_users(&["alice", "bob"]);
        let original = scratch.folder("bob-share").join("big.bin");
        write(&original, 5);
        Self { scratch, server, original }
    }

    fn alice(&self) -> Client {
        Client::ready(self.alices())
    }

    fn slow_alice(&self) -> Client {
        Client::ready(self.alices().args(["--download-rate", SLOWLY]))
    }

    fn alices(&self) -> Options {
        Options::new("alice", &self.server, &self.scratch)
    }

    fn bob(&self) -> Client {
        Client::ready(self.bobs())
    }

    fn slow_bob(&self) -> Client {
        Client::ready(self.bobs().args(["--upload-rate", SLOWLY]))
    }

    fn bobs(&self) -> Options {
        Options::new("bob", &self.server, &self.scratch).args(["--accept", "all"])
    }

    fn arrived(&self) -> PathBuf {
        download(&self.scratch, "alice", "big.bin")
    }

    /// That the file is there, whole, and nothing else.
    fn check(&self, done: &Value) {
        assert_eq!(done["state"], "done", "{done}");
        assert!(
            std::fs::read(self.arrived()).ok() == std::fs::read(&self.original).ok(),
            "it is another file"
        );
        only_file(&self.scratch.path("alice-downloads"));
    }
}

fn write(path: &Path, seed: u64) {
    std::fs::write(path, film(BIG, seed)).expect("a file to share");
}

/// Begins to fetch, and waits until so many bytes have come.
fn fetch(alice: &mut Client, bytes: usize) {
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["bytes"].as_u64() >= Some(bytes as u64));
}

/// How many bytes were there when the transfer went on.
fn resumed_at(client: &mut Client) -> u64 {
    let active = client.expect("transfer", |event| event["state"] == "active");
    active["bytes"].as_u64().expect("a number")
}

#[test]
fn it_goes_on_by_itself_when_the_sender_is_back() {
    let world = World::new();
    let bob = world.slow_bob();
    let mut alice = world.alice();
    list(&mut alice, "bob");
    fetch(&mut alice, 8 * MIB);
    bob.kill();
    let waiting = alice.expect("transfer", |event| event["state"] == "waiting");
    assert_eq!(waiting["id"], "1");
    assert!(!world.arrived().exists());
    // Whatever was said of it before.
    alice.expect("peer_closed", |_| true);
    alice.others();
    let bob = world.bob();
    alice.type_line("[FILE] bob");
    alice.expect("transfer", |event| event["state"] == "active" && event["bytes"].as_u64() > Some(0));
    let done = alice.expect("transfer", ended);
    assert_eq!(done["id"], "1");
    world.check(&done);
    // Now its hash is known, and the list says so to whoever looks.
    [alice, bob].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn a_receiver_that_was_killed_goes_on_where_it_was() {
    let world = World::new();
    let mut bob = world.bob();
    let mut alice = world.slow_alice();
    list(&mut alice, "bob");
    fetch(&mut alice, 40 * MIB);
    alice.kill();
    bob.expect("upload", |event| event["state"] == "failed");
    assert!(!world.arrived().exists());

    let mut alice = world.alice();
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    assert!(resumed_at(&mut alice) >= 16 * MIB as u64, "it began anew");
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, bob].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn quitting_in_the_middle_keeps_what_came() {
    let world = World::new();
    let bob = world.bob();
    let mut alice = world.slow_alice();
    list(&mut alice, "bob");
    fetch(&mut alice, 8 * MIB);
    alice.quit();
    let mut alice = world.alice();
    list(&mut alice, "bob");
    alice.type_line("/get 1");
    assert!(resumed_at(&mut alice) >= 8 * MIB as u64);
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, bob].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn a_source_that_changed_is_refused_until_the_user_says_otherwise() {
    let world = World::new();
    let bob = world.slow_bob();
    let mut alice = world.alice();
    list(&mut alice, "bob");
    fetch(&mut alice, 8 * MIB);
    bob.kill();
    alice.expect("transfer", |event| event["state"] == "waiting");
    write(&world.original, 6);
    let bob = world.bob();
    list(&mut alice, "bob");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!((&failed["id"], &failed["error"]), (&"1".into(), &"changed".into()));
    alice.type_line("/get 1");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!((&failed["id"], &failed["error"]), (&"1".into(), &"changed".into()), "under its number");
    let kept = std::fs::read_dir(world.scratch.path("alice-downloads")).expect("a folder").count();
    assert_eq!(kept, 2, "the part and its record");
    alice.type_line("/discard 1");
    alice.type_line("/get 1");
    let done = alice.expect("transfer", |event| event["id"] == "1" && ended(event));
    world.check(&done);
    alice.quit_with_failures();
    bob.quit();
    world.server.stop();
}

#[test]
fn a_change_that_shows_neither_in_size_nor_in_time_is_found_by_the_hashes() {
    let world = World::new();
    let bob = world.slow_bob();
    let mut alice = world.alice();
    list(&mut alice, "bob");
    fetch(&mut alice, 8 * MIB);
    let time = modified(&world.original);
    bob.kill();
    alice.expect("transfer", |event| event["state"] == "waiting");
    write(&world.original, 6);
    File::options()
        .write(true)
        .open(&world.original)
        .and_then(|file| file.set_modified(time))
        .expect("a time");
    let bob = world.bob();
    list(&mut alice, "bob");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!((&failed["id"], &failed["error"]), (&"1".into(), &"changed".into()));
    assert!(!world.arrived().exists());
    alice.quit_with_failures();
    bob.quit();
    world.server.stop();
}

fn modified(path: &Path) -> SystemTime {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).expect("a time")
}
