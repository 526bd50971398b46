//! Order in the rooms, with the real programs: topics, private rooms, mutes, bans, and what outlives the server.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]
#![allow(dead_code, reason = "the harness serves other tests too")]

mod harness;

use std::process::Command;

use harness::{Client, Options, Scratch, Server, program};

fn world() -> (Scratch, Server) {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    (scratch, server)
}

fn client(user: &str, server: &Server, scratch: &Scratch) -> Client {
    Client::ready(Options::new(user, server, scratch))
}

#[test]
fn an_owner_keeps_order_and_the_server_remembers_it() {
    let (scratch, server) = world();
    let mut alice = client("alice", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    alice.type_line("/create garden");
    alice.expect("joined", |event| event["room"] == "garden");
    bob.type_line("/join garden");
    alice.expect("joined", |event| event["user"] == "bob");
    bob.expect("joined", |event| event["room"] == "garden");

    alice.type_line("/topic roses and \u{1f339}");
    for client in [&mut alice, &mut bob] {
        let topic = client.expect("topic", |_| true);
        assert_eq!((&topic["room"], &topic["by"]), (&"garden".into(), &"alice".into()), "{topic}");
        assert_eq!(topic["topic"], "roses and \u{1f339}");
    }
    bob.type_line("/topic weeds");
    bob.expect("error", |event| event["code"] == "forbidden");

    alice.type_line(r#"{"cmd":"/mute bob 1h too loud","ref":"m"}"#);
    let answer = alice.expect("moderated", |_| true);
    assert_eq!((&answer["action"], &answer["ref"]), (&"mute".into(), &"m".into()), "{answer}");
    let news = bob.expect("moderated", |_| true);
    assert_eq!((&news["user"], &news["by"]), (&"bob".into(), &"alice".into()), "{news}");
    assert_eq!((&news["seconds"], &news["reason"]), (&3_600.into(), &"too loud".into()), "{news}");
    bob.type_line("mmm");
    let refused = bob.expect("error", |event| event["code"] == "muted");
    assert!(refused["message"].as_str().expect("a message").contains("for another"), "{refused}");
    alice.type_line("/unmute bob");
    bob.expect("moderated", |event| event["action"] == "unmute");
    bob.type_line("thanks");
    alice.expect_message("bob", "thanks");

    alice.type_line("/ban bob 2d spam");
    bob.expect("moderated", |event| event["action"] == "ban");
    bob.expect("left", |event| event["room"] == "garden");
    bob.type_line("/join garden");
    bob.expect("error", |event| event["code"] == "banned");
    alice.expect("moderated", |event| event["action"] == "ban");
    alice.quit();
    bob.type_line("/quit");
    assert_eq!(bob.wait().code(), Some(6), "the first refusal decides");
    server.stop();

    let server = Server::start(&scratch.path("server"));
    let mut bob = client("bob", &server, &scratch);
    bob.type_line("/join garden");
    bob.expect("error", |event| event["code"] == "banned");
    let mut alice = client("alice", &server, &scratch);
    alice.type_line("/join garden");
    let topic = alice.expect("topic", |_| true);
    assert_eq!(topic["topic"], "roses and \u{1f339}");
    alice.type_line("/unban bob");
    bob.type_line("/who lobby");
    bob.expect("who", |_| true);
    alice.expect("moderated", |event| event["action"] == "unban");
    bob.type_line("/join garden");
    bob.expect("joined", |event| event["room"] == "garden");
    // What is posted was stored, and what was asked before it.
    alice.type_line("welcome back");
    alice.expect("posted", |_| true);

    // The log of it all, beside the running server.
    let audit = Command::new(program("chatserver"))
        .args(["audit", "--room", "garden", "--data"])
        .arg(scratch.path("server"))
        .output()
        .expect("the audit log");
    let lines = String::from_utf8(audit.stdout).expect("text");
    let told = |line: &str, part: &str| assert!(line.contains(part), "{part:?} in {line}");
    let lines: Vec<_> = lines.lines().collect();
    assert_eq!(lines.len(), 6, "{lines:?}");
    told(lines[0], "Z garden alice create alice");
    told(lines[2], "garden alice mute bob for 3600 s: too loud");
    told(lines[4], "garden alice ban bob for 172800 s: spam");
    told(lines[5], "garden alice unban bob");
    alice.type_line("/audit 2");
    let audit = alice.expect("audit", |_| true);
    assert_eq!(
        (&audit["room"], audit["audit"].as_array().map(Vec::len)),
        (&"garden".into(), Some(2)),
        "{audit}"
    );
    assert_eq!(audit["audit"][1]["action"], "unban", "{audit}");
    alice.type_line("/who");
    let who = alice.expect("who", |_| true);
    assert_eq!(who["who"][0]["rank"], "owner", "{who}");
}

/// Runs a command of the server's operator; its exit code and what it says.
fn operator(args: &[&str], scratch: &Scratch) -> (Option<i32>, String) {
    let mut command = Command::new(program("chatserver"));
    let output = command.args(args).arg("--data").arg(scratch.path("server")).output().expect("it runs");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(said).expect("text"))
}

#[test]
fn the_operator_of_the_server_keeps_order_beside_it_and_without_it() {
    let (scratch, server) = world();
    let run = |args: &[&str]| {
        let (code, said) = operator(args, &scratch);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        said
    };
    let mut alice = client("alice", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    run(&["room", "create", "hall", "--owner", "alice"]);
    alice.type_line("/join hall");
    alice.expect("joined", |event| event["room"] == "hall");
    bob.type_line("/join hall");
    bob.expect("joined", |event| event["room"] == "hall");
    run(&["room", "mute", "hall", "bob", "--for", "1h", "--reason", "too loud"]);
    let told = bob.expect("moderated", |event| event["action"] == "mute");
    assert_eq!((&told["by"], &told["reason"]), (&serde_json::Value::Null, &"too loud".into()), "{told}");
    bob.type_line("mmm");
    bob.expect("error", |event| event["code"] == "muted");
    assert_eq!(operator(&["room", "kick", "hall", "nobody"], &scratch).0, Some(5));
    assert_eq!(operator(&["room", "create", "hall"], &scratch).0, Some(1));
    assert!(run(&["room", "show", "hall"]).contains("mute bob for another"), "the mute is shown");

    run(&["ban", "add", "bob", "--reason", "spam"]);
    let refused = bob.expect("error", |event| event["code"] == "barred");
    assert!(refused["message"].as_str().expect("a message").contains("spam"), "{refused}");
    bob.kill();
    run(&["lockdown", "on", "--hush", "--reason", "a flood"]);
    alice.type_line("may I?");
    alice.expect("error", |event| event["code"] == "locked_down");
    assert!(run(&["lockdown", "status"]).contains("a flood"));
    alice.type_line("/quit");
    alice.wait();
    server.stop();

    // Nobody runs on the directory now.
    assert_eq!(run(&["ban", "list"]), "ban bob: spam\n");
    run(&["lockdown", "off"]);
    run(&["ban", "remove", "bob"]);
    run(&["ban", "add", "203.0.113.0/24", "--for", "7d"]);
    run(&["room", "owner", "hall", "bob"]);
    assert_eq!(operator(&["ban", "remove", "bob"], &scratch).0, Some(1));
    let server = Server::start(&scratch.path("server"));
    let mut bob = client("bob", &server, &scratch);
    bob.type_line("/join hall");
    bob.expect("joined", |event| event["room"] == "hall");
    bob.type_line("/topic mine");
    bob.expect("topic", |event| event["topic"] == "mine");
    let list = run(&["room", "list"]);
    assert!(list.contains("hall public messages=0 owner=bob: mine"), "{list}");
    run(&["room", "remove", "hall"]);
    bob.expect("left", |event| event["room"] == "hall");
    // At once, and whoever gets the name next is somebody else.
    run(&["user", "remove", "bob"]);
    bob.expect("server_lost", |event| event["reason"] == "removed");
    server.stop();
}

#[test]
fn administrators_keep_people_out_from_their_client() {
    let (scratch, server) = world();
    let mut command = Command::new(program("chatserver"));
    let added = command
        .args(["user", "add", "root", "--admin", "--password-stdin", "--stretch", "light", "--data"])
        .arg(scratch.path("server"))
        .stdin(std::process::Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            let stdin = child.stdin.take().expect("piped");
            std::io::Write::write_all(&mut { stdin }, format!("{}\n", harness::PASSWORD).as_bytes())?;
            child.wait()
        });
    assert!(added.expect("it runs").success());
    let mut root = client("root", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    bob.type_line("/server-ban alice forever");
    bob.expect("error", |event| event["code"] == "forbidden");
    root.type_line("/server-ban bob 1h spam");
    let done = root.expect("governed", |_| true);
    assert_eq!((&done["action"], &done["subject"]), (&"ban".into(), &"bob".into()), "{done}");
    bob.expect("error", |event| event["code"] == "barred");
    root.type_line("/server-ban 127.0.0.1 1h");
    root.expect("error", |event| event["code"] == "forbidden");
    root.type_line("/server-ban 203.0.113.0/24 forever");
    root.expect("governed", |event| event["subject"] == "203.0.113.0/24");
    root.type_line("/server-bans");
    let bans = root.expect("bans", |_| true);
    assert_eq!(bans["bans"].as_array().map(Vec::len), Some(2), "{bans}");
    root.type_line("/server-unban bob");
    root.expect("governed", |event| event["action"] == "unban");
    client("alice", &server, &scratch).quit();
    root.type_line("/lockdown on cleaning");
    root.expect("governed", |event| event["action"] == "lockdown");
    root.type_line("/server-audit");
    let audit = root.expect("audit", |_| true);
    let actions: Vec<_> =
        audit["audit"].as_array().expect("lines").iter().map(|line| &line["action"]).collect();
    assert_eq!(actions, ["create", "ban", "ban", "unban", "lockdown"], "{audit}");
    let mut alice = Options::new("alice", &server, &scratch).start();
    let refused = alice.expect("error", |event| event["code"] == "locked_down");
    assert!(refused["message"].as_str().expect("a message").contains("cleaning"), "{refused}");
}

#[test]
fn a_private_room_is_found_by_the_invited_only() {
    let (scratch, server) = world();
    let mut alice = client("alice", &server, &scratch);
    let mut bob = client("bob", &server, &scratch);
    alice.type_line("/create den private");
    alice.expect("joined", |event| event["room"] == "den");
    alice.type_line("the key is under the mat");
    alice.expect_message("alice", "the key is under the mat");
    bob.type_line("/rooms");
    let rooms = bob.expect("rooms", |_| true);
    assert_eq!(rooms["rooms"].as_array().expect("rooms").len(), 1, "{rooms}");
    bob.type_line("/join den");
    bob.expect("error", |event| event["code"] == "no_such_room");
    bob.type_line("/create den");
    bob.expect("error", |event| event["code"] == "room_exists");
    alice.type_line("/invite bbo");
    alice.expect("error", |event| event["code"] == "no_such_user");
    alice.type_line("/invite bob");
    let invited = bob.expect("invited", |_| true);
    assert_eq!((&invited["room"], &invited["by"]), (&"den".into(), &"alice".into()));
    bob.type_line("/join den");
    bob.expect("joined", |event| event["room"] == "den");
    bob.type_line("/history");
    let history = bob.expect("history", |_| true);
    assert_eq!(history["history"][0]["text"], "the key is under the mat", "{history}");
    alice.type_line("/kick bob it was a joke");
    bob.expect("left", |event| event["room"] == "den");
    bob.type_line("/join den");
    bob.expect("error", |event| event["code"] == "no_such_room");
}

#[test]
fn a_ban_of_a_room_may_cover_the_address_which_nobody_is_shown() {
    let (scratch, server) = world();
    let run = |args: &[&str]| {
        let (code, said) = operator(args, &scratch);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        said
    };
    server.add_users(&["carol"]);
    let [mut alice, mut bob, mut carol] =
        ["alice", "bob", "carol"].map(|user| client(user, &server, &scratch));
    alice.type_line("/create den");
    alice.expect("joined", |event| event["room"] == "den");
    for other in [&mut bob, &mut carol] {
        other.type_line("/join den");
        other.expect("joined", |event| event["room"] == "den");
    }
    // All are on loopback: who keeps order stays.
    alice.type_line("/ban bob 1h spam --address");
    assert_eq!(alice.expect("moderated", |_| true)["action"], "ban_address");
    for other in [&mut bob, &mut carol] {
        other.expect("left", |event| event["room"] == "den");
        other.type_line("/join den");
        other.expect("error", |event| event["code"] == "banned");
    }
    alice.type_line("/bans");
    let bans = alice.expect("bans", |_| true);
    let ban = &bans["bans"][0];
    assert_eq!((&ban["action"], &ban["subject"]), (&"ban_address".into(), &"bob".into()), "{bans}");
    alice.type_line("/audit 1");
    let audit = alice.expect("audit", |_| true);
    assert!(!bans.to_string().contains("127.") && !audit.to_string().contains("127."), "{bans} {audit}");
    alice.quit();
    server.stop();

    // It outlives the server; the operator sees it, and lifts it without one.
    assert!(run(&["room", "show", "den"]).contains("ban 127.0.0.1 for another"));
    let server = Server::start(&scratch.path("server"));
    let mut dave = {
        server.add_users(&["dave"]);
        client("dave", &server, &scratch)
    };
    dave.type_line("/join den");
    let refused = dave.expect("error", |event| event["code"] == "banned");
    assert!(refused["message"].as_str().expect("a message").contains("from your address"), "{refused}");
    run(&["room", "unban", "den", "bob"]);
    dave.type_line("/join den");
    dave.expect("joined", |event| event["room"] == "den");

    run(&["room", "ban", "den", "127.0.0.0/8", "--reason", "a flood"]);
    dave.expect("left", |event| event["room"] == "den");
    let (code, _) = operator(&["room", "ban", "den", "127.0.0.0/8", "--address"], &scratch);
    assert_eq!(code, Some(2));
    server.stop();
    assert!(run(&["room", "show", "den"]).contains("ban 127.0.0.0/8: a flood"));
    run(&["room", "unban", "den", "127.0.0.0/8"]);
    assert!(!run(&["room", "show", "den"]).contains("ban"));
    assert!(run(&["audit", "--room", "den"]).contains("unban_network 127.0.0.0/8"));
}
