//! Transfers as users steer them: folders, queues, pauses, rates, restarts.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use harness::{Client, Options, Scratch, Server, download, noise, read};
use serde_json::Value;

const MIB: usize = 1024 * 1024;

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob", "carol"]);
    (scratch, server)
}

fn options(user: &str, server: &Server, scratch: &Scratch) -> Options {
    Options::new(user, server, scratch).args(["--accept", "all"])
}

/// Links alice with bob, and returns his list.
fn link(alice: &mut Client) -> Value {
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |event| event["peer"] == "bob")
}

fn number_of(list: &Value, name: &str) -> u64 {
    let entries = list["entries"].as_array().expect("entries");
    let entry = entries.iter().find(|entry| entry["name"] == name);
    entry.and_then(|entry| entry["number"].as_u64()).unwrap_or_else(|| panic!("no {name} in {list}"))
}

fn ended(client: &mut Client, name: &str) -> Value {
    client.expect("transfer", |event| {
        let state = &event["state"];
        event["name"] == name && (state == "done" || state == "failed" || state == "cancelled")
    })
}

fn in_state(client: &mut Client, event: &str, name: &str, state: &str) -> Value {
    client.expect(event, |event| event["name"] == name && event["state"] == state)
}

#[test]
fn a_folder_comes_with_its_tree_its_times_and_nothing_executable() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let (scratch, server) = world();
    let big = noise(3 * MIB + 5, 1);
    let files: [(&str, &[u8]); 5] = [
        ("docs/readme.txt", b"hello"),
        ("docs/deep/deeper/big.bin", &big),
        ("docs/deep/empty", b""),
        ("docs/run.sh", b"#!/bin/sh\n"),
        ("other.txt", b"not this one"),
    ];
    files.iter().for_each(|(path, content)| scratch.share("bob", path, content));
    let shared = scratch.path("bob-share");
    std::fs::create_dir_all(shared.join("docs/nothing here")).expect("a folder");
    let script = shared.join("docs/run.sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
    std::fs::File::options()
        .write(true)
        .open(&script)
        .and_then(|file| file.set_modified(long_ago))
        .expect("a time");
    // What is already there stays.
    std::fs::create_dir_all(scratch.path("alice-downloads").join("docs")).expect("a folder");
    std::fs::write(scratch.path("alice-downloads").join("docs/readme.txt"), "mine").expect("a file to keep");

    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    let list = link(&mut alice);
    alice.type_line(&format!(r#"{{"cmd":"/get {}","ref":"tree"}}"#, number_of(&list, "docs")));
    let sum = alice.expect("fetched", |event| event["ref"] == "tree");
    let counts = ["done", "failed", "cancelled"].map(|field| sum[field].as_u64().expect("a number"));
    assert_eq!((counts, sum["bytes"].as_u64()), ([4, 0, 0], Some(3 * 1_048_576 + 5 + 5 + 10)), "{sum}");
    let got = |path: &str| download(&scratch, "alice", path);
    assert_eq!(read(&got("docs/readme.txt")), b"mine");
    assert_eq!(read(&got("docs/readme (1).txt")), b"hello");
    assert_eq!(read(&got("docs/deep/deeper/big.bin")), big);
    assert_eq!(read(&got("docs/deep/empty")), b"");
    let script = std::fs::metadata(got("docs/run.sh")).expect("a file");
    assert_eq!((script.mtime(), script.mode() & 0o111), (1_000_000_000, 0));
    assert!(got("docs/nothing here").is_dir());
    assert!(!got("other.txt").exists());
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn everything_comes_over_many_pages_and_more_folders_than_a_peer_remembers() {
    let (scratch, server) = world();
    for folder in 0..20 {
        for file in 0..30 {
            // Every third is too large to come with the list.
            let size = if file % 3 == 0 { 5000 } else { 50 };
            scratch.share("bob", &format!("{folder:02}/{file:02}.bin"), &noise(size, folder * 100 + file));
        }
    }
    (0..600).for_each(|file| scratch.share("bob", &format!("{file:03}.txt"), b"x"));
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get @bob all");
    let sum = alice.expect("fetched", |_| true);
    assert_eq!((sum["done"].as_u64(), sum["failed"].as_u64()), (Some(1200), Some(0)), "{sum}");
    for path in ["00/00.bin", "19/29.bin", "07/15.bin", "000.txt", "599.txt"] {
        assert_eq!(read(&download(&scratch, "alice", path)), read(&scratch.path("bob-share").join(path)));
    }
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn names_that_differ_in_case_only_stay_two_files() {
    let (scratch, server) = world();
    for (path, content) in [("A.txt", "1"), ("a.txt", "2"), ("docs/x", "3"), ("Docs/x", "4")] {
        scratch.share("bob", path, content.as_bytes());
    }
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get *");
    let sum = alice.expect("fetched", |_| true);
    assert_eq!(sum["done"], 4, "{sum}");
    let mut names: Vec<_> = std::fs::read_dir(scratch.path("alice-downloads"))
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8").to_lowercase())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 4, "{names:?}");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn a_link_in_the_way_leads_nowhere() {
    let (scratch, server) = world();
    scratch.share("bob", "docs/notes.txt", &noise(10_000, 3));
    scratch.share("bob", "notes.txt", &noise(10_000, 4));
    let outside = scratch.folder("outside");
    std::os::unix::fs::symlink(&outside, scratch.folder("alice-downloads").join("docs")).expect("a link");
    std::os::unix::fs::symlink(outside.join("new"), scratch.path("alice-downloads").join("notes.txt"))
        .expect("a link");
    // And one that is shared shows nothing of what it leads to.
    std::os::unix::fs::symlink(&outside, scratch.path("bob-share").join("way out")).expect("a link");
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    let list = link(&mut alice);
    assert_eq!(list["entries"].as_array().expect("entries").len(), 2, "{list}");
    alice.type_line("/get all");
    let sum = alice.expect("fetched", |_| true);
    assert_eq!((sum["done"].as_u64(), sum["failed"].as_u64()), (Some(1), Some(1)), "{sum}");
    let failed = alice.expect("transfer", |event| event["state"] == "failed");
    assert_eq!(failed["error"], "storage", "{failed}");
    assert!(failed["message"].as_str().is_some_and(|text| text.contains("docs")), "{failed}");
    assert_eq!(std::fs::read_dir(outside).expect("a folder").count(), 0);
    assert_eq!(read(&download(&scratch, "alice", "notes (1).txt")), noise(10_000, 4));
    alice.quit_with_failures();
    bob.quit();
    server.stop();
}

#[test]
fn either_end_pauses_and_both_see_it() {
    let (scratch, server) = world();
    scratch.share("bob", "big.bin", &noise(24 * MIB, 5));
    let mut bob = Client::ready(options("bob", &server, &scratch).args(["--upload-rate", "4M"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1");
    let begun = alice.expect("transfer", |event| event["bytes"].as_u64().is_some_and(|bytes| bytes > 0));
    let id = begun["id"].as_str().expect("an id").to_owned();

    alice.type_line(&format!("/pause {id}"));
    in_state(&mut alice, "transfer", "big.bin", "paused");
    let upload = in_state(&mut bob, "upload", "big.bin", "paused");
    alice.type_line(&format!("/resume {id}"));
    in_state(&mut bob, "upload", "big.bin", "active");
    in_state(&mut alice, "transfer", "big.bin", "active");

    bob.type_line(&format!("/pause {}", upload["id"].as_str().expect("an id")));
    in_state(&mut alice, "transfer", "big.bin", "paused");
    alice.type_line("/transfers");
    let transfers = alice.expect("transfers", |_| true);
    assert_eq!(transfers["transfers"][0]["state"], "paused", "{transfers}");
    bob.type_line("/resume all");
    assert_eq!(ended(&mut alice, "big.bin")["state"], "done");
    assert_eq!(read(&download(&scratch, "alice", "big.bin")), noise(24 * MIB, 5));
    alice.quit();
    bob.quit();
    server.stop();
}

/// Of a file that has not begun, too: it keeps no slot from anybody.
#[test]
fn what_waits_for_a_slot_can_be_paused_by_either_end() {
    let (scratch, server) = world();
    (0..2).for_each(|file| scratch.share("bob", &format!("{file}.bin"), &noise(8 * MIB, file)));
    let slow = ["--upload-slots", "1", "--upload-rate", "4M"];
    let mut bob = Client::ready(options("bob", &server, &scratch).args(slow));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1 2");
    // Either may be asked for first.
    let waiting = alice.expect("transfer", |event| event["position"] == 1);
    let (id, name) = (waiting["id"].as_str().expect("an id"), waiting["name"].as_str().expect("a name"));
    alice.type_line(&format!("/pause {id}"));
    let upload = in_state(&mut bob, "upload", name, "paused");
    alice.type_line(&format!("/resume {id}"));
    in_state(&mut bob, "upload", name, "queued");
    let id = upload["id"].as_str().expect("an id");
    bob.type_line(&format!("/pause {id}"));
    in_state(&mut bob, "upload", name, "paused");
    bob.type_line(&format!("/resume {id}"));
    for name in ["0.bin", "1.bin"] {
        assert_eq!(ended(&mut alice, name)["state"], "done");
    }
    alice.quit();
    bob.quit();
    server.stop();
}

/// Who asks for a file wants it now, whatever was stopped in an earlier run; and what is empty is told to be fetched, too.
#[test]
fn a_script_is_not_left_waiting() {
    let (scratch, server) = world();
    scratch.share("bob", "big.bin", &noise(8 * MIB, 9));
    std::fs::create_dir(scratch.path("bob-share").join("empty")).expect("a folder");
    let bob = Client::ready(options("bob", &server, &scratch).args(["--upload-rate", "4M"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    let list = link(&mut alice);
    alice.type_line(&format!("/get {}", number_of(&list, "big.bin")));
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(0));
    alice.type_line("/pause all");
    in_state(&mut alice, "transfer", "big.bin", "paused");
    alice.quit();

    let mut alice = options("alice", &server, &scratch).without("--stay").start();
    alice.type_line("[FILE] bob");
    alice.type_line(&format!(r#"{{"cmd":"/get {}","ref":"empty"}}"#, number_of(&list, "empty")));
    alice.type_line(&format!(r#"{{"cmd":"/get {}","ref":"big"}}"#, number_of(&list, "big.bin")));
    alice.end_input();
    let empty = alice.expect("fetched", |event| event["ref"] == "empty");
    assert_eq!((&empty["done"], &empty["failed"]), (&0.into(), &0.into()), "{empty}");
    let big = alice.expect("fetched", |event| event["ref"] == "big");
    assert_eq!(big["done"], 1, "{big}");
    assert!(alice.wait().success());
    bob.quit();
    server.stop();
}

#[test]
fn who_waits_sees_the_place_and_each_peer_has_its_turn() {
    let (scratch, server) = world();
    (0..4).for_each(|file| scratch.share("bob", &format!("{file}.bin"), &noise(3 * MIB, file)));
    let slow = ["--upload-slots", "1", "--upload-rate", "6M"];
    let bob = Client::ready(options("bob", &server, &scratch).args(slow));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    let mut carol = Client::ready(options("carol", &server, &scratch));
    link(&mut carol);
    link(&mut alice);
    alice.type_line("/get 1-4");
    let place = |client: &mut Client, name: &str| {
        client.expect("transfer", |event| event["name"] == name && event["position"].is_number())
    };
    assert!(place(&mut alice, "3.bin")["position"].as_u64() >= Some(2));
    carol.type_line("/get 1");
    assert!(place(&mut carol, "0.bin")["position"].as_u64() <= Some(2), "not behind all of alice's");
    assert_eq!(ended(&mut carol, "0.bin")["state"], "done");
    let last = alice.others().iter().any(|event| event["event"] == "fetched");
    assert!(!last, "carol did not wait for all that alice wants");
    let sum = alice.expect("fetched", |_| true);
    assert_eq!(sum["done"], 4);
    [alice, carol, bob].into_iter().for_each(Client::quit);
    server.stop();
}

#[test]
fn a_rate_holds_at_either_end() {
    for (sender, receiver) in [(vec!["--upload-rate", "2M"], vec![]), (vec![], vec!["--download-rate", "2M"])]
    {
        let (scratch, server) = world();
        scratch.share("bob", "some.bin", &noise(3 * MIB, 6));
        let args = |options: Options, args: Vec<&str>| args.into_iter().fold(options, Options::arg);
        let bob = Client::ready(args(options("bob", &server, &scratch), sender));
        let mut alice = Client::ready(args(options("alice", &server, &scratch), receiver));
        link(&mut alice);
        let since = Instant::now();
        alice.type_line("/get 1");
        assert_eq!(ended(&mut alice, "some.bin")["state"], "done");
        // At least: how much longer it takes is the machine's affair.
        assert!(since.elapsed() >= Duration::from_secs(1), "{:?}", since.elapsed());
        alice.quit();
        bob.quit();
        server.stop();
    }
}

#[test]
fn what_was_wanted_goes_on_after_a_restart_when_the_peer_is_there() {
    let (scratch, server) = world();
    scratch.share("bob", "docs/big.bin", &noise(20 * MIB, 7));
    scratch.share("bob", "docs/small.bin", &noise(10_000, 8));
    let bob = Client::ready(options("bob", &server, &scratch).args(["--upload-rate", "4M"]));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get all");
    alice.expect("transfer", |event| event["name"] == "small.bin" && event["state"] == "done");
    alice.expect("transfer", |event| event["name"] == "big.bin" && event["bytes"].as_u64() > Some(0));
    alice.kill();
    bob.quit();

    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    alice.type_line("/transfers");
    let transfers = alice.expect("transfers", |_| true);
    let listed = transfers["transfers"].as_array().expect("transfers");
    assert_eq!(listed.len(), 1, "{transfers}");
    assert_eq!((&listed[0]["name"], &listed[0]["state"]), (&"big.bin".into(), &"waiting".into()));
    link(&mut alice);
    let done = ended(&mut alice, "big.bin");
    assert_eq!((&done["state"], &done["id"]), (&"done".into(), &listed[0]["id"]), "{done}");
    assert_eq!(read(&download(&scratch, "alice", "docs/big.bin")), noise(20 * MIB, 7));
    alice.type_line("/transfers");
    let transfers = alice.expect("transfers", |_| true);
    assert_eq!(transfers["transfers"].as_array().map(Vec::len), Some(0), "{transfers}");
    alice.quit();
    bob.quit();
    server.stop();
}

/// What the device of an earlier run showed waits for it, whatever another one of the same person has.
#[test]
fn what_one_device_showed_waits_for_it_after_a_restart() {
    let (scratch, server) = world();
    scratch.share("bob", "big.bin", &noise(8 * MIB, 10));
    let slow = options("bob", &server, &scratch).args(["--upload-rate", "2M"]);
    let bob = Client::ready(slow);
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/get 1");
    alice.expect("transfer", |event| event["bytes"].as_u64() > Some(0));
    alice.kill();
    bob.quit();

    let mut alice = Client::ready(options("alice", &server, &scratch));
    let (file, away) = (scratch.path("bob-share").join("big.bin"), scratch.path("away"));
    std::fs::rename(&file, &away).expect("a file to hide");
    let mut other = Client::ready(options("bob", &server, &scratch).state(&scratch.path("bob-second-state")));
    other.type_line("[FILE] alice");
    alice.expect("peer_connected", |_| true);
    let mut state = Value::Null;
    while state != "waiting" {
        alice.type_line("/transfers");
        state = alice.expect("transfers", |_| true)["transfers"][0]["state"].take();
        assert_ne!(state, "failed");
    }
    other.quit();
    std::fs::rename(&away, &file).expect("a file to show");
    let bob = Client::ready(options("bob", &server, &scratch));
    link(&mut alice);
    assert_eq!(ended(&mut alice, "big.bin")["state"], "done");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn what_failed_is_fetched_again_or_forgotten() {
    let (scratch, server) = world();
    (0..2).for_each(|file| scratch.share("bob", &format!("{file}.bin"), &noise(10_000, file)));
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    let away = scratch.path("away");
    let (first, second) = (scratch.path("bob-share").join("0.bin"), scratch.path("bob-share").join("1.bin"));
    std::fs::rename(&first, &away).expect("a file to hide");
    std::fs::remove_file(&second).expect("a file to remove");
    alice.type_line("/get 1 2");
    let failed = ["0.bin", "1.bin"].map(|name| in_state(&mut alice, "transfer", name, "failed"));
    assert!(failed.iter().all(|event| event["error"] == "changed"), "{failed:?}");
    std::fs::rename(&away, &first).expect("a file to show");
    alice.type_line(&format!("/retry {}", failed[0]["id"].as_str().expect("an id")));
    in_state(&mut alice, "transfer", "0.bin", "done");
    alice.type_line(&format!("/retry {}", failed[1]["id"].as_str().expect("an id")));
    let again = in_state(&mut alice, "transfer", "1.bin", "failed");
    assert_eq!(again["error"], "no_such_path", "{again}");
    alice.type_line("/cancel all");
    in_state(&mut alice, "transfer", "1.bin", "cancelled");
    alice.type_line("/transfers");
    assert_eq!(alice.expect("transfers", |_| true)["transfers"].as_array().map(Vec::len), Some(0));
    alice.type_line("/retry 77");
    alice.expect("error", |event| event["code"] == "no_such_transfer");
    alice.quit_with_failures();
    bob.quit();
    server.stop();
}

#[test]
fn small_files_come_with_the_list_and_need_no_transfer() {
    let (scratch, server) = world();
    scratch.share("bob", "tiny.txt", b"tiny");
    let mut bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    alice.type_line("/ls @bob --inline");
    alice.expect("file_list", |_| true);
    // What came along is what the list showed, whatever has become of the file.
    std::fs::remove_file(scratch.path("bob-share").join("tiny.txt")).expect("a file to remove");
    alice.type_line("/get 1");
    let done = ended(&mut alice, "tiny.txt");
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(done["blake3"], blake3::hash(b"tiny").to_hex().as_str());
    assert_eq!(read(Path::new(done["path"].as_str().expect("a path"))), b"tiny");
    assert!(!bob.others().iter().any(|event| event["event"] == "upload"), "nothing was asked for");
    alice.quit();
    bob.quit();
    server.stop();
}

#[test]
fn a_device_with_another_key_ends_with_7() {
    let (scratch, server) = world();
    scratch.share("bob", "notes.txt", b"x");
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = Client::ready(options("alice", &server, &scratch));
    link(&mut alice);
    bob.quit();
    alice.quit();
    // The same device, as it says, with a key that nobody has seen.
    std::fs::remove_file(scratch.path("bob-state").join("device.pem")).expect("the key of the device");
    let bob = Client::ready(options("bob", &server, &scratch));
    let mut alice = options("alice", &server, &scratch).without("--stay").start();
    alice.type_line("[FILE] bob");
    let (status, events) = alice.finish();
    assert_eq!(status.code(), Some(7), "{events:#?}");
    let has = |code| events.iter().any(|event| event["event"] == "error" && event["code"] == code);
    assert!(has("key_mismatch"), "{events:#?}");
    bob.quit();
    server.stop();
}

#[test]
fn nobody_who_answers_ends_with_8() {
    let scratch = Scratch::new();
    let settings = scratch.path("settings.toml");
    std::fs::write(&settings, "[hub]\noffer_timeout = \"1 s\"\n").expect("settings");
    let settings = settings.to_str().expect("a path in UTF-8");
    let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", &["--config", settings]);
    server.add_users(&["alice", "bob"]);
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    let mut alice = Options::new("alice", &server, &scratch).without("--stay").start();
    alice.type_line("[FILE] bob");
    bob.expect("peer_request", |event| event["from"] == "alice");
    let (status, events) = alice.finish();
    assert_eq!(status.code(), Some(8), "{events:#?}");
    assert!(events.iter().any(|event| event["code"] == "expired"), "{events:#?}");
    bob.expect("peer_request_closed", |_| true);
    bob.quit();
    server.stop();
}
