//! One file from several peers at once, between real clients.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::path::PathBuf;

use harness::{Client, MIB, Options, Scratch, Server, download, ended, film, list, only_file, read};
use serde_json::Value;

/// In MiB, with a last unit that is not whole.
const SIZE: usize = 96;

struct World {
    scratch: Scratch,
    server: Server,
    content: Vec<u8>,
}

impl World {
    fn new() -> Self {
        let scratch = Scratch::new();
        let server = Server::start(&scratch.path("server"));
        server.add_users(&["alice", "bob", "carol"]);
        let mut content = film(SIZE, 3);
        content.extend_from_slice(b"and an end");
        for user in ["bob", "carol"] {
            let share = scratch.folder(&format!("{user}-share"));
            std::fs::write(share.join("film.mkv"), &content).expect("a file to share");
        }
        Self { scratch, server, content }
    }

    fn client(&self, user: &str) -> Client {
        Client::ready(Options::new(user, &self.server, &self.scratch).arg("--accept").arg("all"))
    }

    fn named(&self) -> PathBuf {
        download(&self.scratch, "alice", "film.mkv")
    }

    /// Alice fetches the file from everybody once, so that they know its hash, and then sees it in their lists.
    fn acquaint(&self, alice: &mut Client) {
        for user in ["bob", "carol"] {
            list(alice, user);
            alice.type_line(&format!("/get @{user} 1"));
            let done = alice.expect("transfer", ended);
            assert_eq!(done["state"], "done", "{done}");
            std::fs::remove_file(self.named()).expect("it is removed");
        }
        for user in ["bob", "carol"] {
            list(alice, user);
        }
        alice.forget();
    }

    fn check(&self, done: &Value) {
        assert_eq!(done["state"], "done", "{done}");
        assert_eq!(done["blake3"], blake3::hash(&self.content).to_hex().as_str());
        assert!(read(&self.named()) == self.content);
        only_file(&self.scratch.path("alice-downloads"));
    }
}

#[test]
fn everybody_who_has_it_sends_some_of_it() {
    let world = World::new();
    let (mut bob, mut carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    for sender in [&mut bob, &mut carol] {
        sender.expect("upload", |event| event["state"] == "done");
    }
    alice.type_line("/get @bob 1");
    let done = alice.expect("transfer", ended);
    world.check(&done);
    for sender in [&mut bob, &mut carol] {
        let sent = sender.expect("upload", |event| event["state"] == "done");
        assert!(sent["size"].as_u64() < Some(world.content.len() as u64), "a part: {sent}");
    }
    [alice, bob, carol].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn who_leaves_is_replaced_and_who_has_the_same_hash_goes_on() {
    let world = World::new();
    let (bob, carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    alice.quit();
    // So slowly that it does not arrive meanwhile.
    let slow = Options::new("alice", &world.server, &world.scratch).args(["--download-rate", "32M"]);
    let mut alice = Client::ready(slow);
    list(&mut alice, "bob");
    list(&mut alice, "carol");
    alice.type_line("/get @bob 1");
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(4 * MIB as u64));
    bob.kill();
    let done = alice.expect("transfer", ended);
    world.check(&done);
    carol.quit();
    alice.quit();
    world.server.stop();
}

#[test]
fn a_part_of_one_peer_is_a_part_of_the_other() {
    let world = World::new();
    let (bob, carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    alice.quit();
    // So slowly that it does not arrive meanwhile.
    let slow = Options::new("alice", &world.server, &world.scratch).args(["--download-rate", "16M"]);
    let mut alice = Client::ready(slow);
    list(&mut alice, "bob");
    alice.type_line("/get @bob 1");
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(4 * MIB as u64));
    alice.quit();
    bob.quit();
    let mut alice = world.client("alice");
    list(&mut alice, "carol");
    alice.type_line("/get 1");
    let active = alice.expect("transfer", |event| event["state"] == "active");
    assert!(active["bytes"].as_u64() > Some(4 * MIB as u64), "it begins anew: {active}");
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, carol].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn a_source_whose_file_is_another_now_is_passed_over() {
    let world = World::new();
    let (bob, carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    // The list that alice saw still has the old hash.
    let mut other = world.content.clone();
    other[5 * MIB] ^= 1;
    std::fs::write(world.scratch.path("carol-share").join("film.mkv"), other).expect("another file");
    alice.type_line("/get @bob 1");
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, bob, carol].into_iter().for_each(Client::quit);
    world.server.stop();
}

/// Of files that wait for their turn, nothing was asked for yet.
#[test]
fn what_waited_for_who_left_comes_from_the_others() {
    const FILES: u64 = 6;
    let world = World::new();
    let of_file = |number: u64| film(2, 10 + number);
    for user in ["bob", "carol"] {
        let folder = world.scratch.folder(&format!("{user}-share/episodes"));
        (1..=FILES).for_each(|number| {
            std::fs::write(folder.join(format!("{number}.mkv")), of_file(number)).expect("a file to share");
        });
    }
    let (bob, carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    let look = |alice: &mut Client, user: &str| {
        list(alice, user);
        alice.type_line(&format!("/ls @{user} episodes"));
        alice.expect("file_list", |event| event["peer"] == user && event["path"] == "episodes");
    };
    for user in ["bob", "carol"] {
        look(&mut alice, user);
        alice.type_line(&format!("/get @{user} 1-{FILES}"));
        for _ in 0..FILES {
            let done = alice.expect("transfer", ended);
            let path = done["path"].as_str().unwrap_or_else(|| panic!("it arrived: {done}"));
            std::fs::remove_file(path).expect("it is removed");
        }
    }
    [bob, carol].into_iter().for_each(Client::quit);
    // Bob, who is there first and so is asked first, is so slow that not one part of his arrives.
    let slow =
        Options::new("bob", &world.server, &world.scratch).args(["--accept", "all", "--upload-rate", "4K"]);
    let mut bob = Client::ready(slow);
    look(&mut alice, "bob");
    let carol = world.client("carol");
    look(&mut alice, "carol");
    alice.forget();
    alice.type_line(&format!("/get @bob 1-{FILES}"));
    bob.expect("upload", |event| event["state"] == "active");
    bob.kill();
    for _ in 0..FILES {
        let done = alice.expect("transfer", ended);
        assert_eq!(done["state"], "done", "{done}");
        let path = std::path::Path::new(done["path"].as_str().expect("a path"));
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name");
        assert!(read(path) == of_file(name.parse().expect("a number")), "{done}");
    }
    [alice, carol].into_iter().for_each(Client::quit);
    world.server.stop();
}

#[test]
fn who_holds_it_back_is_passed_over() {
    let world = World::new();
    let slow = |user: &str| {
        let options = Options::new(user, &world.server, &world.scratch).arg("--accept").arg("all");
        Client::ready(options.args(["--upload-rate", "24M"]))
    };
    let (mut bob, carol) = (slow("bob"), slow("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    bob.expect("upload", |event| event["state"] == "done");
    alice.type_line("/get @bob 1");
    bob.expect("upload", |event| event["state"] == "active");
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(0));
    bob.type_line("/pause all");
    // Carol has it too, so nobody waits until bob goes on.
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, bob, carol].into_iter().for_each(Client::quit);
    world.server.stop();
}

/// The first peer comes back while the parts come from another one, and is found when that one leaves, too.
#[test]
fn who_is_back_before_the_other_leaves_is_found() {
    let world = World::new();
    let (bob, carol) = (world.client("bob"), world.client("carol"));
    let mut alice = world.client("alice");
    world.acquaint(&mut alice);
    alice.quit();
    // So slowly that it does not arrive meanwhile.
    let slow = Options::new("alice", &world.server, &world.scratch);
    let mut alice = Client::ready(slow.args(["--download-rate", "8M", "--accept", "all"]));
    list(&mut alice, "bob");
    list(&mut alice, "carol");
    alice.type_line("/get @bob 1");
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(4 * MIB as u64));
    bob.kill();
    alice.expect("peer_closed", |event| event["peer"] == "bob");
    // He asks, so that alice has not looked at what he shares.
    let mut bob = world.client("bob");
    bob.type_line("[FILE] alice");
    alice.expect("peer_connected", |event| event["peer"] == "bob");
    carol.kill();
    let done = alice.expect("transfer", ended);
    world.check(&done);
    [alice, bob].into_iter().for_each(Client::quit);
    world.server.stop();
}
