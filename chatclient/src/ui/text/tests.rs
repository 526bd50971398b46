use std::path::PathBuf;
use std::time::Duration;

use chatproto::wire::chars::is_forbidden;
use chatproto::wire::{ErrorCode, Hash, Note, Rank, SafeName, SafeRelPath};

use super::*;
use crate::notice::{
    Code, Direction, FileEntry, FileKind, MessageId, Peer, PeerState, Person, Room, Transfer, TransferState,
};

fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}

fn device(byte: u8) -> DeviceId {
    DeviceId([byte; 16])
}

fn message(place: Place, from: &str, byte: u8) -> Message {
    Message {
        place,
        seq: 12,
        id: MessageId { device: device(byte), counter: 1 },
        from: name(from),
        device: device(byte),
        text: chatproto::wire::Text::new("hi").unwrap(),
        time: 1_700_000_000_123,
    }
}

fn transfer(state: TransferState, bytes: u64) -> Transfer {
    let file = SafeName::new("notes.txt").unwrap();
    let transfer = Transfer::new(1, name("bob"), Direction::In, SafeRelPath::root(), file);
    Transfer { size: Some(100 << 20), bytes, state, ..transfer }
}

/// What alice, on device 1, reads.
fn reader(audience: Audience) -> Text {
    let mut text = Text::new(audience);
    let ready = Notice::Ready {
        user: name("alice"),
        device: device(1),
        server: "host:4848".into(),
        peer_port: Some(40_000),
        rooms: vec![name("lobby"), name("games")],
    };
    let shown = text.render(&ready, Instant::now());
    assert_eq!(shown, "logged in to host:4848 as alice, in lobby, games; peers may connect to port 40000\n");
    text
}

fn shown(notice: &Notice) -> String {
    reader(Audience::Script).render(notice, Instant::now())
}

#[test]
fn what_happens_takes_a_line() {
    let said = |place, from, missed| Notice::Message { message: message(place, from, 2), missed };
    let lobby = || Place::Room(name("lobby"));
    for (notice, line) in [
        (said(lobby(), "bob", false), "[lobby] bob: hi"),
        (said(lobby(), "bob", true), "[lobby 2023-11-14 22:13Z] bob: hi"),
        (said(Place::To(name("alice")), "bob", false), "(direct) bob: hi"),
        (said(Place::To(name("bob")), "alice", false), "(direct to bob) alice: hi"),
        (said(Place::To(name("alice")), "bob", true), "(direct 2023-11-14 22:13Z) bob: hi"),
        (Notice::Joined { room: name("lobby"), user: name("carol") }, "* carol joined lobby"),
        (Notice::Joined { room: name("lobby"), user: name("alice") }, "* you joined lobby"),
        (Notice::Left { room: name("lobby"), user: name("carol") }, "* carol left lobby"),
        (
            Notice::Gap { place: Place::To(name("bob")), from: 2, to: 4 },
            "* the conversation with bob: messages 2 to 4 are gone for good",
        ),
        (
            Notice::PeerRequest { id: 3, from: name("bob"), purpose: Purpose::Files },
            "bob asks for your files - /accept 3 or /deny 3",
        ),
        (
            Notice::PeerRequestClosed { id: 3, reason: Some(ErrorCode::Withdrawn.into()) },
            "* request 3 needs no answer any more: The asking side took the request back",
        ),
        (
            Notice::PeerConnected {
                peer: name("bob"),
                device: device(2),
                path: LinkPath::Reverse,
                verified: false,
            },
            "* connected with bob (direct, they dialled, unverified)",
        ),
        (
            Notice::PeerMessage { peer: name("bob"), text: chatproto::wire::Text::new("psst").unwrap() },
            "(link) bob: psst",
        ),
        (
            Notice::ServerLost { reason: "the connection was cut".into(), retry_ms: Some(1500) },
            "* the server is gone: the connection was cut; trying again in 1.5 s",
        ),
        (Notice::ServerBack { missed: 0 }, "* the server is back; you missed nothing"),
        (Notice::ServerBack { missed: 2 }, "* the server is back; you have the 2 messages that you missed"),
        (Notice::error(Code::Usage, "no"), "error: no"),
        (Notice::Info("one\ntwo".into()), "one\ntwo"),
        (Notice::History { history: vec![] }, "no messages"),
        (Notice::Rooms { rooms: vec![] }, "no rooms"),
        (Notice::Transfers { transfers: vec![] }, "no transfers"),
        (Notice::Peers { peers: vec![] }, "no direct links"),
    ] {
        assert_eq!(shown(&notice), format!("{line}\n"), "{notice:?}");
    }
    let posted = message(lobby(), "alice", 1);
    assert_eq!(shown(&Notice::Posted { place: posted.place, seq: 1, id: posted.id }), "");
}

#[test]
fn what_a_person_just_typed_is_not_said_again() {
    let own = |byte, missed| Notice::Message {
        message: message(Place::Room(name("lobby")), "alice", byte),
        missed,
    };
    let now = Instant::now();
    let mut person = reader(Audience::Person);
    assert_eq!(person.render(&own(1, false), now), "");
    assert_eq!(person.render(&own(2, false), now), "[lobby] alice: hi\n", "another device of alice");
    assert_eq!(person.render(&own(1, true), now), "[lobby 2023-11-14 22:13Z] alice: hi\n");
    assert_eq!(shown(&own(1, false)), "[lobby] alice: hi\n");
}

#[test]
fn nothing_remote_can_drive_the_terminal() {
    let hostile = "\x1b]0;owned\x07\r\u{9b}2J\u{202e}gpj.exe\u{2066}\n";
    let escaped = r"\u{1b}]0;owned\u{7}\r\u{9b}2J\u{202e}gpj.exe\u{2066}";
    let name = || name("bob");
    for notice in [
        Notice::error(Code::Connect, hostile),
        Notice::Error { code: Code::UnknownServer, message: "x".into(), fingerprint: Some(hostile.into()) },
        Notice::Info(hostile.into()),
        Notice::PeerClosed { peer: name(), reason: hostile.into() },
        Notice::PeerFailed { peer: name(), verdict: Code::Unreachable, message: hostile.into() },
        Notice::ServerLost { reason: hostile.into(), retry_ms: None },
        Notice::Ready {
            user: name(),
            device: device(1),
            server: hostile.into(),
            peer_port: None,
            rooms: vec![],
        },
        Notice::Transfer(Transfer {
            path: Some(PathBuf::from(hostile)),
            ..transfer(TransferState::Done, 100 << 20)
        }),
    ] {
        let shown = shown(&notice);
        assert!(shown.contains(escaped), "{shown:?}");
        assert!(shown.lines().all(|line| !line.contains(is_forbidden)), "{shown:?}");
    }
}

#[test]
fn a_list_of_files_is_aligned_and_says_how_to_go_on() {
    let entry =
        |number, kind, name: &str, size| FileEntry { number, kind, name: SafeName::new(name).unwrap(), size };
    let list = |path: &str, page, pages, total, entries| Notice::FileList {
        peer: name("bob"),
        path: SafeRelPath::new(path).unwrap(),
        generation: 1,
        page,
        pages,
        total,
        more: page < pages,
        entries,
    };
    let entries = vec![
        entry(9, FileKind::Dir, "my music", None),
        entry(10, FileKind::File, "日本 notes.txt", Some(1_258_291)),
        entry(11, FileKind::File, "empty", Some(0)),
    ];
    assert_eq!(
        shown(&list("docs", 1, 2, 300, entries.clone())),
        "bob:/docs - 300 entries, page 1 of 2\n\
         \x20  9   folder  my music/\n\
         \x20 10  1.2 MiB  日本 notes.txt\n\
         \x20 11      0 B  empty\n\
         more: /ls @bob docs --page 2\n"
    );
    assert_eq!(shown(&list("", 1, 1, 1, entries[2..].to_vec())), "bob:/ - 1 entry\n  11  0 B  empty\n");
    assert_eq!(shown(&list("", 1, 1, 0, vec![])), "bob:/ is empty\n");
}

#[test]
fn answers_are_readable_lists() {
    let room = |room, people, joined, topic: Option<&str>| Room {
        room: name(room),
        people,
        last: 1,
        topic: topic.map(|topic| Note::new(topic).unwrap()),
        joined,
    };
    assert_eq!(
        shown(&Notice::Rooms {
            rooms: vec![room("games", 1, false, None), room("lobby", 2, true, Some("all"))]
        }),
        "  games (1 person, 1 message)\n* lobby (2 people, 1 message) - all\n"
    );
    let person = |user, devices, rank| Person { user: name(user), devices, rank };
    assert_eq!(
        shown(&Notice::Who {
            room: name("lobby"),
            who: vec![person("alice", 2, Rank::Owner), person("bob", 1, Rank::Member)]
        }),
        "in lobby: alice (owner, 2 devices), bob\n"
    );
    assert_eq!(shown(&Notice::Who { room: name("lobby"), who: vec![] }), "nobody is in lobby\n");
    let peer = |state, path, id| Peer {
        peer: name("bob"),
        state,
        device: None,
        path,
        id,
        verified: state == PeerState::Direct,
    };
    assert_eq!(
        shown(&Notice::Peers {
            peers: vec![
                peer(PeerState::Waiting, None, Some(4)),
                peer(PeerState::Asked, None, None),
                peer(PeerState::Connecting, None, None),
                peer(PeerState::Connected, Some(LinkPath::Direct), None),
                peer(PeerState::Direct, Some(LinkPath::Relay), None),
            ]
        }),
        "bob: asks - /accept 4 or /deny 4\nbob: was asked\nbob: connecting\nbob: connected (direct), not verified\n\
         bob: connected (through the server's relay), without the server, verified\n"
    );
    assert_eq!(
        shown(&Notice::History { history: vec![message(Place::Room(name("lobby")), "bob", 2)] }),
        "[lobby 2023-11-14 22:13Z] bob: hi\n"
    );
    let help = shown(&Notice::Help);
    assert!(help.contains("/ls [@USER] [PATH] [--page N] [--inline]  list a folder of a peer\n"), "{help}");
    assert!(help.lines().all(|line| line.len() <= 110), "{help}");
}

#[test]
fn a_person_sees_a_file_move_at_a_bounded_rate() {
    let mut text = reader(Audience::Person);
    let start = Instant::now();
    let mut at =
        |millis, transfer| text.render(&Notice::Transfer(transfer), start + Duration::from_millis(millis));
    assert_eq!(at(0, transfer(TransferState::Queued, 0)), "");
    let queued = Transfer { position: Some(2), ..transfer(TransferState::Queued, 0) };
    assert_eq!(at(0, queued), "transfer 1: notes.txt from bob: waiting, place 2\n");
    let active = |mebibytes: u64| transfer(TransferState::Active, mebibytes << 20);
    assert_eq!(at(0, active(0)), "transfer 1: notes.txt from bob: started, 100.0 MiB\n");
    let lines: Vec<_> =
        (1..=50).map(|step| at(step * 20, active(step / 2))).filter(|line| !line.is_empty()).collect();
    assert_eq!(lines, ["transfer 1: notes.txt from bob: 25% 25.0 MiB/s 3 s left\n"]);
    assert_eq!(at(2000, active(25)), "transfer 1: notes.txt from bob: 25% 0 B/s\n", "stalled");
    let done = Transfer {
        path: Some("/tmp/notes.txt".into()),
        blake3: Some(Hash([0xcd; 32])),
        ..transfer(TransferState::Done, 100 << 20)
    };
    let hex = "cd".repeat(32);
    assert_eq!(
        at(4000, done),
        format!("saved /tmp/notes.txt (100.0 MiB, 25.0 MiB/s, verified, blake3 {hex})\n")
    );
}

#[test]
fn many_transfers_share_the_rate() {
    let mut text = reader(Audience::Person);
    let start = Instant::now();
    let mut lines = 0;
    for millis in (0..=10_000).step_by(10) {
        for id in 1..=16 {
            let now = start + Duration::from_millis(millis);
            let moving = Transfer { id, ..transfer(TransferState::Active, millis) };
            lines += usize::from(!text.render(&Notice::Transfer(moving), now).is_empty());
        }
    }
    // 16 beginnings, then at most four lines a second.
    assert!((16 + 30..=16 + 40).contains(&lines), "{lines}");
}

#[test]
fn a_script_gets_the_beginning_and_the_end_of_a_transfer() {
    let mut text = reader(Audience::Script);
    let start = Instant::now();
    let mut lines = Vec::new();
    for second in 0..100 {
        let active = transfer(TransferState::Active, (50 + second / 2) << 20);
        lines.push(text.render(&Notice::Transfer(active), start + Duration::from_secs(second)));
    }
    let failed =
        Transfer { error: Some(ErrorCode::VerifyFailed.into()), ..transfer(TransferState::Failed, 9) };
    lines.push(text.render(&Notice::Transfer(failed), start));
    lines.retain(|line| !line.is_empty());
    assert_eq!(
        lines,
        [
            "transfer 1: notes.txt from bob: resumed at 50.0 MiB of 100.0 MiB\n",
            "transfer 1: notes.txt from bob: failed: The bytes do not match what the sender committed to\n",
        ]
    );
}

#[test]
fn transfers_are_summed_up() {
    let out = Transfer { direction: Direction::Out, ..transfer(TransferState::Done, 100 << 20) };
    assert_eq!(
        shown(&Notice::Transfers {
            transfers: vec![
                transfer(TransferState::Queued, 0),
                transfer(TransferState::Active, (100 << 20) - 1),
                Transfer { size: None, ..transfer(TransferState::Active, 2048) },
                transfer(TransferState::Waiting, 50 << 20),
                transfer(TransferState::Cancelled, 0),
                out.clone(),
            ]
        }),
        "transfer 1: notes.txt from bob: waiting\n\
         transfer 1: notes.txt from bob: 99%\n\
         transfer 1: notes.txt from bob: 2.0 KiB\n\
         transfer 1: notes.txt from bob: waiting for a link with bob, 50%\n\
         transfer 1: notes.txt from bob: cancelled\n\
         transfer 1: notes.txt to bob: done, 100.0 MiB\n"
    );
    assert_eq!(shown(&Notice::Upload(out)), "transfer 1: notes.txt to bob: sent (100.0 MiB)\n");
}
