//! The lines that scripts rely on, each written out.

use serde_json::{Value, json};

use super::*;
use chatproto::wire::ErrorCode;

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn device() -> DeviceId {
    DeviceId([0xab; 16])
}

const DEVICE: &str = "abababababababababababababababab";

fn message(place: Place) -> Message {
    Message {
        place,
        seq: 12,
        id: MessageId { device: device(), counter: u64::MAX },
        from: name("alice"),
        device: device(),
        text: Text::new("say \"hi\" \\ 日本").unwrap(),
        time: 1_700_000_000_123,
    }
}

fn transfer(state: TransferState) -> Transfer {
    let file = SafeName::new("notes.txt").unwrap();
    let transfer = Transfer::new(3, name("bob"), Direction::In, SafeRelPath::root(), file);
    Transfer { state, ..transfer }
}

fn check(notice: &Notice, expected: &Value) {
    let line = serde_json::to_string(notice).unwrap();
    assert!(line.starts_with(r#"{"event":""#), "{line}");
    assert!(!line.contains("null") && !line.contains('\n'), "{line}");
    assert_eq!(&serde_json::from_str::<Value>(&line).unwrap(), expected, "{line}");
    assert_eq!(line.len(), expected.to_string().len(), "a field stands there twice: {line}");
    check_told(expected);
}

/// What scripts' authors read.
const SCRIPTING: &str = include_str!("../../SCRIPTING.md");

/// The row of the page that tells of an event.
fn row_of(event: &str) -> &'static str {
    let named = format!("`{event}`");
    let is_it = |line: &&str| {
        line.strip_prefix("| ").is_some_and(|row| row.split('|').next().unwrap().contains(&named))
    };
    SCRIPTING.lines().find(is_it).unwrap_or_else(|| panic!("SCRIPTING.md has no row of `{event}`"))
}

/// The page names every field of an event, and those of what it lists.
fn check_told(event: &Value) {
    let name = event["event"].as_str().unwrap();
    // These have the fields of another one.
    let rows = match name {
        "upload" | "transfers" => [row_of(name), row_of("transfer")].concat(),
        "history" | "search" => [row_of(name), row_of("message")].concat(),
        "bans" => [row_of(name), row_of("audit")].concat(),
        _ => row_of(name).to_owned(),
    };
    let within = event.as_object().unwrap().values().filter_map(Value::as_array).flatten();
    for object in within.chain([event]).filter_map(Value::as_object) {
        for field in object.keys().filter(|field| *field != "event") {
            let is_told =
                [format!("`{field}`"), format!("`{field}?`")].iter().any(|told| rows.contains(told));
            assert!(is_told, "SCRIPTING.md does not tell of `{field}` of `{name}`");
        }
    }
}

#[test]
fn the_page_for_scripts_has_every_event_and_every_code() {
    let source = include_str!("../notice.rs");
    let variants = source
        .lines()
        .skip_while(|line| !line.starts_with("pub enum Notice {"))
        .take_while(|line| *line != "}");
    let variants = variants
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.starts_with(char::is_uppercase));
    let mut count = 0;
    for variant in variants {
        let name = variant.split([' ', '(', ',']).next().unwrap();
        let starts_word = |(at, letter): (usize, char)| at > 0 && letter.is_uppercase();
        let snake = name.char_indices().flat_map(|(at, letter)| {
            starts_word((at, letter)).then_some('_').into_iter().chain(letter.to_lowercase())
        });
        if !matches!(name, "Info" | "Help") {
            row_of(&snake.collect::<String>());
            count += 1;
        }
    }
    assert!(count > 30, "{count} events");
    for code in Code::OWN {
        let row = format!("| `{}` | {} |", code.name(), code.meaning());
        assert!(SCRIPTING.contains(&row), "SCRIPTING.md lacks `{row}`");
    }
}

#[test]
fn messages_and_presence() {
    let said = json!({
        "room": "lobby", "seq": 12, "id": format!("{DEVICE}-18446744073709551615"), "from": "alice",
        "device": DEVICE, "text": "say \"hi\" \\ 日本", "time": "2023-11-14T22:13:20.123Z",
    });
    let with = |more: Value| {
        let mut all = said.clone();
        all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        all
    };
    let in_lobby = message(Place::Room(name("lobby")));
    check(&Notice::Message { message: in_lobby.clone(), missed: false }, &with(json!({"event": "message"})));
    check(
        &Notice::Message { message: in_lobby.clone(), missed: true },
        &with(json!({"event": "message", "missed": true})),
    );
    let mut direct = with(json!({"event": "message", "to": "bob"}));
    direct.as_object_mut().unwrap().remove("room");
    check(&Notice::Message { message: message(Place::To(name("bob"))), missed: false }, &direct);
    check(
        &Notice::History { history: vec![in_lobby.clone()] },
        &json!({"event": "history", "history": [said]}),
    );
    check(&Notice::Search { search: vec![] }, &json!({"event": "search", "search": []}));
    check(
        &Notice::Posted { place: in_lobby.place, seq: 12, id: in_lobby.id },
        &json!({"event": "posted", "room": "lobby", "seq": 12, "id": format!("{DEVICE}-18446744073709551615")}),
    );
    check(
        &Notice::Gap { place: Place::Room(name("lobby")), from: 3, to: 9 },
        &json!({"event": "gap", "room": "lobby", "from": 3, "to": 9}),
    );
    check(
        &Notice::Gap { place: Place::To(name("bob")), from: 3, to: 9 },
        &json!({"event": "gap", "with": "bob", "from": 3, "to": 9}),
    );
    check(
        &Notice::Joined { room: name("lobby"), user: name("carol") },
        &json!({"event": "joined", "room": "lobby", "user": "carol"}),
    );
    check(
        &Notice::Left { room: name("lobby"), user: name("carol") },
        &json!({"event": "left", "room": "lobby", "user": "carol"}),
    );
}

#[test]
fn logging_in_and_losing_the_server() {
    check(
        &Notice::Ready {
            user: name("alice"),
            device: device(),
            server: "[::1]:4848".into(),
            peer_port: Some(40_000),
            rooms: vec![name("lobby"), name("games")],
        },
        &json!({
            "event": "ready", "user": "alice", "device": DEVICE, "server": "[::1]:4848", "peer_port": 40000,
            "rooms": ["lobby", "games"],
        }),
    );
    check(
        &Notice::Ready {
            user: name("alice"),
            device: device(),
            server: "host:1".into(),
            peer_port: None,
            rooms: vec![],
        },
        &json!({"event": "ready", "user": "alice", "device": DEVICE, "server": "host:1", "rooms": []}),
    );
    check(
        &Notice::ServerLost { reason: "shutting_down".into(), retry_ms: Some(500) },
        &json!({"event": "server_lost", "reason": "shutting_down", "retry_ms": 500}),
    );
    check(
        &Notice::ServerLost { reason: "replaced".into(), retry_ms: None },
        &json!({"event": "server_lost", "reason": "replaced"}),
    );
    check(&Notice::ServerBack { missed: 7 }, &json!({"event": "server_back", "missed": 7}));
    check(
        &Notice::error(ErrorCode::LoginRefused, "wrong ID or password"),
        &json!({"event": "error", "code": "login_refused", "message": "wrong ID or password"}),
    );
    check(
        &Notice::Error {
            code: Code::UnknownServer,
            message: "nobody knows it".into(),
            fingerprint: Some("sha256:00".into()),
        },
        &json!({
            "event": "error", "code": "unknown_server", "message": "nobody knows it", "fingerprint": "sha256:00",
        }),
    );
}

#[test]
fn peers_and_links() {
    for (purpose, word) in [(Purpose::Files, "files"), (Purpose::Direct, "direct")] {
        check(
            &Notice::PeerRequest { id: u64::MAX, from: name("alice"), purpose },
            &json!({"event": "peer_request", "id": "18446744073709551615", "from": "alice", "purpose": word}),
        );
    }
    check(
        &Notice::PeerRequestClosed { id: 3, reason: Some(ErrorCode::Expired.into()) },
        &json!({"event": "peer_request_closed", "id": "3", "reason": "expired"}),
    );
    check(
        &Notice::PeerRequestClosed { id: 3, reason: None },
        &json!({"event": "peer_request_closed", "id": "3"}),
    );
    for (path, word) in [
        (LinkPath::Direct, "direct"),
        (LinkPath::Reverse, "reverse"),
        (LinkPath::Punched, "punched"),
        (LinkPath::Relay, "relay"),
    ] {
        check(
            &Notice::PeerConnected { peer: name("bob"), device: device(), path, verified: false },
            &json!({"event": "peer_connected", "peer": "bob", "device": DEVICE, "path": word, "verified": false}),
        );
    }
    check(
        &Notice::PeerFailed {
            peer: name("bob"),
            verdict: ErrorCode::Denied.into(),
            message: "bob said no".into(),
        },
        &json!({"event": "peer_failed", "peer": "bob", "verdict": "denied", "message": "bob said no"}),
    );
    check(
        &Notice::PeerClosed { peer: name("bob"), reason: "done".into() },
        &json!({"event": "peer_closed", "peer": "bob", "reason": "done"}),
    );
    check(&Notice::Direct { peer: name("bob") }, &json!({"event": "direct", "peer": "bob"}));
    check(
        &Notice::PeerMessage { peer: name("bob"), text: Text::new("psst").unwrap() },
        &json!({"event": "peer_message", "peer": "bob", "text": "psst"}),
    );
    let waiting = Peer {
        peer: name("bob"),
        state: PeerState::Waiting,
        device: None,
        path: None,
        id: Some(4),
        verified: false,
    };
    let standing = Peer {
        peer: name("carol"),
        state: PeerState::Connected,
        device: Some(device()),
        path: Some(LinkPath::Direct),
        id: None,
        verified: true,
    };
    check(
        &Notice::Peers { peers: vec![waiting, standing] },
        &json!({"event": "peers", "peers": [
            {"peer": "bob", "state": "waiting", "id": "4"},
            {"peer": "carol", "state": "connected", "device": DEVICE, "path": "direct", "verified": true},
        ]}),
    );
}

#[test]
fn files_and_transfers() {
    let entry =
        |number, kind, name: &str, size| FileEntry { number, kind, name: SafeName::new(name).unwrap(), size };
    check(
        &Notice::FileList {
            peer: name("bob"),
            path: SafeRelPath::root(),
            generation: 5,
            page: 1,
            pages: 2,
            total: 3,
            more: true,
            entries: vec![entry(1, FileKind::Dir, "docs", None), entry(2, FileKind::File, "empty", Some(0))],
        },
        &json!({
            "event": "file_list", "peer": "bob", "path": "", "generation": 5, "page": 1, "pages": 2, "total": 3,
            "more": true, "entries": [
                {"number": 1, "kind": "dir", "name": "docs"},
                {"number": 2, "kind": "file", "name": "empty", "size": 0},
            ],
        }),
    );
    for (state, word) in [
        (TransferState::Queued, "queued"),
        (TransferState::Waiting, "waiting"),
        (TransferState::Active, "active"),
        (TransferState::Paused, "paused"),
        (TransferState::Done, "done"),
        (TransferState::Failed, "failed"),
        (TransferState::Cancelled, "cancelled"),
    ] {
        check(
            &Notice::Transfer(transfer(state)),
            &json!({
                "event": "transfer", "id": "3", "peer": "bob", "direction": "in", "name": "notes.txt",
                "bytes": 0, "state": word,
            }),
        );
    }
    let full = Transfer {
        direction: Direction::Out,
        size: Some(10),
        bytes: 10,
        path: Some("/tmp/notes.txt".into()),
        blake3: Some(Hash([0x0f; 32])),
        position: Some(2),
        folder: SafeRelPath::new("docs/old").unwrap(),
        speed: Some(7),
        message: Some("why".into()),
        error: Some(ErrorCode::VerifyFailed.into()),
        ..transfer(TransferState::Failed)
    };
    let root = "0f".repeat(32);
    check(
        &Notice::Transfers { transfers: vec![full] },
        &json!({"event": "transfers", "transfers": [{
            "id": "3", "peer": "bob", "direction": "out", "name": "notes.txt", "size": 10, "bytes": 10,
            "state": "failed", "path": "/tmp/notes.txt", "blake3": root, "position": 2, "error": "verify_failed",
            "folder": "docs/old", "speed": 7, "message": "why",
        }]}),
    );
}

#[test]
fn a_get_is_summed_up() {
    let sum = Notice::Fetched { peer: name("bob"), done: 3, failed: 1, cancelled: 2, bytes: 9, millis: 40 };
    check(
        &sum,
        &json!({
            "event": "fetched", "peer": "bob", "done": 3, "failed": 1, "cancelled": 2, "bytes": 9, "ms": 40,
        }),
    );
}

#[test]
fn codes_are_found_by_their_names() {
    for code in [Code::from(ErrorCode::Storage), Code::LinkLost, Code::TooMuch, Code::Usage] {
        assert_eq!(Code::named(code.name()), Some(code));
    }
    assert_eq!(Code::named("nonsense"), None);
}

#[test]
fn lists_of_rooms_and_people() {
    let room = |topic: Option<&str>| Room {
        room: name("lobby"),
        people: 2,
        last: 1 << 40,
        topic: topic.map(|topic| Note::new(topic).unwrap()),
        joined: true,
    };
    check(
        &Notice::Rooms { rooms: vec![room(None), room(Some("all and sundry"))] },
        &json!({"event": "rooms", "rooms": [
            {"room": "lobby", "people": 2, "last": 1_u64 << 40, "joined": true},
            {"room": "lobby", "people": 2, "last": 1_u64 << 40, "topic": "all and sundry", "joined": true},
        ]}),
    );
    check(
        &Notice::Who {
            room: name("lobby"),
            who: vec![Person { user: name("alice"), devices: 2, rank: chatproto::wire::Rank::Owner }],
        },
        &json!({"event": "who", "room": "lobby", "who": [{"user": "alice", "devices": 2, "rank": "owner"}]}),
    );
}

#[test]
fn every_code_has_its_own_name_and_a_sentence() {
    let mut names = std::collections::BTreeSet::new();
    let local = [
        Code::Usage,
        Code::UnknownServer,
        Code::ServerChanged,
        Code::Connect,
        Code::ConnectionLost,
        Code::NotConnected,
        Code::StateInUse,
        Code::State,
        Code::NoRoom,
        Code::NoPeer,
        Code::NoList,
        Code::NoSuchTransfer,
        Code::NoSuchRequest,
        Code::Unreachable,
        Code::KeyMismatch,
        Code::LinkLost,
    ];
    for code in local.into_iter().chain(ErrorCode::ALL.iter().map(|&code| Code::Wire(code))) {
        assert!(names.insert(code.name()), "{} names two codes", code.name());
        assert!(!code.meaning().is_empty() && !code.meaning().ends_with('.'), "{}", code.meaning());
        assert_ne!(code.exit_status().code(), 0, "{}", code.name());
    }
}

#[test]
fn codes_end_the_program_as_scripts_expect() {
    for (code, status) in [
        (Code::Usage, 2),
        (Code::UnknownServer, 3),
        (Code::Connect, 3),
        (ErrorCode::LoginRefused.into(), 4),
        (ErrorCode::NoSuchUser.into(), 5),
        (ErrorCode::NoSuchNumber.into(), 5),
        (Code::NoList, 5),
        (ErrorCode::Denied.into(), 6),
        (ErrorCode::NoPeerPort.into(), 6),
        (ErrorCode::VerifyFailed.into(), 7),
        (ErrorCode::Expired.into(), 8),
        (Code::StateInUse, 1),
    ] {
        assert_eq!(code.exit_status().code(), status, "{}", code.name());
    }
}
