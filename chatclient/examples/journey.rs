//! The journey, played by the real programs over real sockets with real files, for a person to read along:
//! `cargo journey`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::time::Instant;

use harness::{Client, Options, Scratch, Server, noise, read};

fn main() {
    let began = Instant::now();
    let scratch = Scratch::new();
    let data = scratch.path("server");

    chapter("A server runs, with its accounts and its log in one directory");
    let server = Server::start(&data);
    tell("server", &format!("listening on {}", server.addr));
    tell("server", &format!("fingerprint {}", server.fingerprint.as_deref().unwrap_or("none")));
    server.add_users(&["alice", "bob"]);
    tell("server", "accounts: alice, bob");

    chapter("Alice and Bob log in; each announces the port on which it accepts peers");
    let bobs = scratch.folder("bob-share");
    write(&bobs.join("report.pdf"), &noise(3 * 1024 * 1024 + 17, 1));
    write(&bobs.join("notes.txt"), b"bring cake\n");
    write(&scratch.folder("alice-share").join("photo.jpg"), &noise(700_000, 2));
    let mut alice = Client::ready(Options::new("alice", &server, &scratch).arg("--accept").arg("all"));
    let mut bob = Client::ready(Options::new("bob", &server, &scratch));
    tell("server", &after(&server.expect_log("alice logged in"), "INFO "));
    tell("server", &after(&server.expect_log("bob logged in"), "INFO "));

    chapter("They chat in the lobby");
    say(&mut alice, &mut bob, "hello, who is there?");
    say(&mut bob, &mut alice, "me! I have the report.");

    chapter("Alice asks for Bob's files; Bob is asked, and says yes");
    types(&mut alice, "[FILE] bob");
    tell("server", &after(&server.expect_log("alice asks bob [FILE]"), "INFO "));
    let request = bob.expect("peer_request", |event| event["from"] == "alice");
    types(&mut bob, &format!("/accept {}", text(&request, "id")));
    let link = alice.expect("peer_connected", |event| event["peer"] == "bob");
    tell("alice", &format!("connected to bob, {}", text(&link, "path")));
    let list = alice.expect("file_list", |event| event["peer"] == "bob");
    let report = show_list(&list, "report.pdf");

    chapter("A number fetches the file, straight from Bob");
    types(&mut alice, &format!("/get {report}"));
    fetched(&mut alice, &bobs.join("report.pdf"));

    chapter("Both leave the server, and keep talking over the link alone");
    types(&mut alice, "/direct bob");
    let request = bob.expect("peer_request", |event| event["purpose"] == "direct");
    types(&mut bob, &format!("/accept {}", text(&request, "id")));
    alice.expect("direct", |event| event["peer"] == "bob");
    bob.expect("direct", |event| event["peer"] == "alice");
    tell("server", &after(&server.expect_log("left (direct)"), "INFO "));
    tell("server", &after(&server.expect_log("left (direct)"), "INFO "));

    chapter("The server is stopped. The link does not notice");
    let addr = server.addr.clone();
    server.stop();
    tell("server", "gone");
    types(&mut alice, "nobody but you hears this");
    bob.expect("peer_message", |event| event["text"] == "nobody but you hears this");
    tell("bob", "hears: nobody but you hears this");
    types(&mut bob, "[FILE] alice");
    let list = bob.expect("file_list", |event| event["peer"] == "alice");
    let photo = show_list(&list, "photo.jpg");
    types(&mut bob, &format!("/get {photo}"));
    fetched(&mut bob, &scratch.path("alice-share").join("photo.jpg"));

    chapter("The server is started again; both come back and miss nothing");
    let server = Server::start_with(&data, &addr, &[]);
    tell("server", &format!("listening on {}", server.addr));
    server.add_users(&["carol"]);
    let mut carol = Client::ready(Options::new("carol", &server, &scratch));
    types(&mut carol, "anybody here?");
    carol.expect_message("carol", "anybody here?");
    for client in [&mut alice, &mut bob] {
        types(client, "/server");
        let message = client.expect_message("carol", "anybody here?");
        assert_eq!(message["missed"], true, "it was said while {} was away", client.user);
        tell(&client.user, "is back, and reads what was said meanwhile: anybody here?");
    }
    say(&mut alice, &mut bob, "good to be back");

    [alice, bob, carol].into_iter().for_each(Client::quit);
    server.stop();
    println!(
        "\nThat was the journey, in {:.1} s. Every file above was compared byte by byte.",
        began.elapsed().as_secs_f64()
    );
}

fn chapter(title: &str) {
    println!("\n# {title}");
}

fn tell(who: &str, what: &str) {
    println!("  {who:>7} | {what}");
}

fn types(client: &mut Client, line: &str) {
    println!("  {:>7} > {line}", client.user);
    client.type_line(line);
}

/// One says something, both see it, with the same number.
fn say(from: &mut Client, to: &mut Client, line: &str) {
    types(from, line);
    let own = from.expect_message(&from.user.clone(), line);
    let seen = to.expect_message(&from.user, line);
    assert_eq!(own["seq"], seen["seq"], "one order for all");
    tell(&to.user, &format!("[{} #{}] {}: {line}", text(&seen, "room"), seen["seq"], from.user));
}

/// Prints a list as its reader sees it, and gives the number of `name`.
fn show_list(list: &serde_json::Value, name: &str) -> u64 {
    let entries = list["entries"].as_array().expect("entries");
    for entry in entries {
        println!("          | {:>3}  {:>9}  {}", entry["number"], entry["size"], text(entry, "name"));
    }
    let found = entries.iter().find(|entry| entry["name"] == name).expect("the file is in the list");
    found["number"].as_u64().expect("a number")
}

/// Waits for the end of a transfer, and compares what arrived with what was shared.
fn fetched(client: &mut Client, original: &std::path::Path) {
    let done = client.expect("transfer", |event| event["state"] == "done" || event["state"] == "failed");
    assert_eq!(done["state"], "done", "{done}");
    let path = text(&done, "path");
    assert_eq!(read(std::path::Path::new(&path)), read(original), "what arrived is what was shared");
    tell(
        &client.user,
        &format!(
            "{} arrived: {} bytes, verified, blake3 {}",
            text(&done, "name"),
            done["size"],
            text(&done, "blake3")
        ),
    );
}

fn text(event: &serde_json::Value, field: &str) -> String {
    event[field].as_str().unwrap_or_else(|| panic!("no `{field}` in {event}")).to_owned()
}

fn write(path: &std::path::Path, content: &[u8]) {
    std::fs::write(path, content).expect("a file to share");
}

/// What follows `mark` in a log line.
fn after(line: &str, mark: &str) -> String {
    line.split_once(mark).map_or(line, |(_, rest)| rest).to_owned()
}
