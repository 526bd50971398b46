//! The state directory: locked, never silently reset, and a journal that survives being killed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use chatclient::state::{
    COUNTER_BLOCK, Device, Journal, KeyCheck, KnownServer, MAX_PENDING_SAYS, MAX_SAY_BYTES, PendingSay,
    SayTarget, StateDir, StateError,
};
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn the_directory_and_its_files_are_private() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("a/b");
    let state = StateDir::open(&path).unwrap();
    let device = state.device().unwrap();
    state.pin_server("host:1", KnownServer { fingerprint: [7; 32], next: None }).unwrap();
    state.known_peers().unwrap().remember("bob", &[1; 16], &[2; 32]).unwrap();
    let _journal = state.journal(&device).unwrap();

    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    let mut names = Vec::new();
    for entry in fs::read_dir(&path).unwrap().map(Result::unwrap) {
        assert_eq!(mode(&entry.path()), 0o600, "{:?}", entry.path());
        names.push(entry.file_name().into_string().unwrap());
    }
    names.sort();
    assert_eq!(names, ["device.json", "journal", "known_servers", "lock", "peers.json"]);
}

#[test]
fn a_second_client_is_told_who_holds_the_directory() {
    let temp = tempfile::tempdir().unwrap();
    let first = StateDir::open(temp.path()).unwrap();
    let error = StateDir::open(temp.path()).unwrap_err();
    assert!(
        matches!(error, StateError::InUse { pid: Some(pid), .. } if pid == std::process::id()),
        "{error:?}"
    );
    assert!(error.to_string().contains("is in use by another chatclient (pid "), "{error}");

    let device = first.device().unwrap();
    drop(first);
    assert!(StateDir::open(temp.path()).is_err(), "what was opened from it keeps it locked");
    drop(device);
    StateDir::open(temp.path()).unwrap();
}

#[test]
fn a_file_in_place_of_the_directory_is_named() {
    let temp = tempfile::NamedTempFile::new().unwrap();
    let error = StateDir::open(temp.path()).unwrap_err();
    assert!(matches!(error, StateError::NotADirectory { .. }), "{error:?}");
}

#[test]
fn the_device_id_stays_and_no_counter_is_used_twice() {
    let temp = tempfile::tempdir().unwrap();
    let mut last = 0;
    let mut id = None;
    for _ in 0..3 {
        let state = StateDir::open(temp.path()).unwrap();
        let mut device = state.device().unwrap();
        assert_eq!(*id.get_or_insert(device.id()), device.id());
        for _ in 0..COUNTER_BLOCK + 5 {
            let counter = device.next_counter().unwrap();
            assert!(counter > last);
            last = counter;
        }
    }
    assert_ne!(id.unwrap(), [0; 16]);
}

#[test]
fn a_damaged_identity_is_reported_and_left_alone() {
    let huge = format!(r#"{{"device":"{}","reserved":1}}"#, "00".repeat(3 * 1024 * 1024));
    let damaged: [&[u8]; 6] = [
        b"",
        b"{\"device\":\"00\",\"reserved\":1}",
        b"{\"device\":\"zz000000000000000000000000000000\",\"reserved\":1}",
        b"{\"device\":\"00000000000000000000000000000000\"}",
        b"\xff\xfe",
        huge.as_bytes(),
    ];
    for content in damaged {
        let temp = tempfile::tempdir().unwrap();
        let file = temp.path().join("device.json");
        fs::write(&file, content).unwrap();
        let error = StateDir::open(temp.path()).unwrap().device().unwrap_err();
        assert!(matches!(&error, StateError::Corrupt { path, .. } if *path == file), "{error:?}");
        assert!(error.to_string().contains("device.json"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), content);
    }
}

#[test]
fn counters_end_instead_of_wrapping() {
    let temp = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"device":"{}","reserved":{}}}"#, "00".repeat(16), u64::MAX);
    fs::write(temp.path().join("device.json"), text).unwrap();
    let mut device = StateDir::open(temp.path()).unwrap().device().unwrap();
    assert!(matches!(device.next_counter(), Err(StateError::Corrupt { .. })));
}

#[test]
fn the_pin_is_kept_and_a_damaged_one_is_not_taken_for_none() {
    let temp = tempfile::tempdir().unwrap();
    let state = StateDir::open(temp.path()).unwrap();
    let (address, moved) = ("chat.example:4848", "other.example:1");
    assert_eq!(state.known_server(address).unwrap(), None);
    let known = KnownServer { fingerprint: [0xab; 32], next: None };
    state.pin_server(address, known).unwrap();
    assert_eq!(state.known_server(address).unwrap(), Some(known));
    assert_eq!(state.known_server(moved).unwrap(), Some(known), "a state directory is of one server");
    let read = || fs::read_to_string(state.file_path("known_servers")).unwrap();
    let pin = format!("{address} sha256:{}", "ab".repeat(32));
    assert_eq!(read().lines().nth(1), Some(pin.as_str()));
    let known = KnownServer { next: Some([0xcd; 32]), ..known };
    state.pin_server(address, known).unwrap();
    assert_eq!(state.known_server(address).unwrap(), Some(known));
    assert_eq!(read().lines().nth(1), Some(format!("{pin} next sha256:{}", "cd".repeat(32)).as_str()));
    let there = KnownServer { fingerprint: [1; 32], next: None };
    state.pin_server(moved, there).unwrap();
    let both = (state.known_server(address).unwrap(), state.known_server(moved).unwrap());
    assert_eq!(both, (Some(known), Some(there)));
    for damaged in [
        "",
        "# nothing",
        "host:1",
        "host:1 sha256:ab",
        &"ab".repeat(32),
        &format!("{pin} last"),
        &format!("{pin} next"),
    ] {
        fs::write(state.file_path("known_servers"), damaged).unwrap();
        assert!(matches!(state.known_server(address), Err(StateError::Corrupt { .. })), "{damaged}");
    }
}

#[test]
fn a_changed_key_is_noticed_until_it_is_accepted() {
    let temp = tempfile::tempdir().unwrap();
    let (device, old, new) = ([1; 16], [2; 32], [3; 32]);
    let state = StateDir::open(temp.path()).unwrap();
    let mut peers = state.known_peers().unwrap();
    assert!(peers.is_empty());
    assert_eq!(peers.check("bob", &device, &old), KeyCheck::New);
    peers.remember("bob", &device, &old).unwrap();

    let mut peers = state.known_peers().unwrap();
    assert_eq!(peers.check("bob", &device, &old), KeyCheck::Known);
    assert_eq!(peers.check("bob", &device, &new), KeyCheck::Changed { known: old });
    assert_eq!(peers.check("bob", &[9; 16], &new), KeyCheck::New);
    assert_eq!(peers.check("eve", &device, &old), KeyCheck::New);
    peers.remember("bob", &device, &new).unwrap();
    assert_eq!(state.known_peers().unwrap().check("bob", &device, &new), KeyCheck::Known);

    fs::write(state.file_path("peers.json"), r#"{"bob":{"01":{"key":"02"}}}"#).unwrap();
    let error = state.known_peers().unwrap_err();
    assert!(error.to_string().contains("\"bob\""), "{error}");
}

fn say(device: &mut Device, text: &str) -> PendingSay {
    let counter = device.next_counter().unwrap();
    PendingSay { counter, target: SayTarget::Room("lobby".into()), text: text.into() }
}

fn texts(journal: &Journal) -> Vec<&str> {
    journal.pending().map(|say| say.text.as_str()).collect()
}

#[test]
fn the_journal_brings_back_what_was_not_acknowledged() {
    let temp = tempfile::tempdir().unwrap();
    {
        let state = StateDir::open(temp.path()).unwrap();
        let mut device = state.device().unwrap();
        let (mut journal, _) = state.journal(&device).unwrap();
        let one = say(&mut device, "one");
        journal.say(one.clone()).unwrap();
        journal.say(say(&mut device, "two \u{1f600} \n\"quoted\"")).unwrap();
        let three = say(&mut device, "three");
        journal.say(PendingSay { target: SayTarget::User("bob".into()), ..three }).unwrap();
        assert_eq!(journal.ack(one.counter).unwrap(), Some(one.clone()));
        assert_eq!(journal.ack(one.counter).unwrap(), None);
        journal.set_cursor("lobby", 41).unwrap();
        journal.set_cursor("lobby", 42).unwrap();
        journal.set_cursor("games", 7).unwrap();
        journal.forget_room("games").unwrap();
    }
    for _ in 0..2 {
        let state = StateDir::open(temp.path()).unwrap();
        let device = state.device().unwrap();
        let (journal, replay) = state.journal(&device).unwrap();
        assert_eq!(replay.damaged_lines, 0);
        assert_eq!(texts(&journal), ["two \u{1f600} \n\"quoted\"", "three"]);
        assert_eq!(journal.pending().last().unwrap().target, SayTarget::User("bob".into()));
        assert_eq!(journal.cursors().iter().collect::<Vec<_>>(), [(&"lobby".to_owned(), &42)]);
    }
}

/// What the journal replays after its file was changed, with three says in it.
fn replay_after(
    change: impl FnOnce(&mut Vec<u8>),
) -> (tempfile::TempDir, Result<(Vec<String>, u64), StateError>) {
    let temp = tempfile::tempdir().unwrap();
    let state = StateDir::open(temp.path()).unwrap();
    let mut device = state.device().unwrap();
    let (mut journal, _) = state.journal(&device).unwrap();
    for text in ["one", "two", "three"] {
        journal.say(say(&mut device, text)).unwrap();
    }
    drop(journal);
    let file = state.file_path("journal");
    let mut bytes = fs::read(&file).unwrap();
    change(&mut bytes);
    fs::write(&file, bytes).unwrap();
    let result = state.journal(&device).map(|(journal, replay)| {
        (texts(&journal).into_iter().map(str::to_owned).collect(), replay.damaged_lines)
    });
    (temp, result)
}

#[test]
fn a_torn_last_line_is_dropped_wherever_it_was_torn() {
    let (_, whole) = replay_after(|_| {});
    assert_eq!(whole.unwrap().0, ["one", "two", "three"]);
    let mut last = 0;
    let (_temp, untouched) =
        replay_after(|bytes| last = bytes.split_inclusive(|byte| *byte == b'\n').next_back().unwrap().len());
    assert_eq!(untouched.unwrap().1, 0);
    for torn in 1..=last {
        let (_temp, result) = replay_after(|bytes| bytes.truncate(bytes.len() - torn));
        let (texts, damaged_lines) = result.unwrap();
        assert_eq!(
            (texts, damaged_lines),
            (vec!["one".to_owned(), "two".to_owned()], 0),
            "{torn} bytes torn"
        );
    }
    let (_temp, result) = replay_after(|bytes| bytes.extend([0; 5000]));
    assert_eq!(result.unwrap().1, 0);
}

#[test]
fn damage_in_the_middle_is_reported_and_the_rest_is_kept() {
    let (temp, result) = replay_after(|bytes| {
        let at = bytes.windows(3).position(|window| window == b"two").unwrap();
        bytes[at] ^= 1;
    });
    assert_eq!(result.unwrap(), (vec!["one".to_owned(), "three".to_owned()], 1));
    assert!(temp.path().join("journal.damaged").exists());
}

#[test]
fn a_journal_of_another_device_is_refused() {
    for change in [
        (|bytes: &mut Vec<u8>| bytes[3] ^= 1) as fn(&mut Vec<u8>),
        |bytes| drop(bytes.drain(..=bytes.iter().position(|byte| *byte == b'\n').unwrap())),
        |bytes| *bytes = b"not a journal".to_vec(),
    ] {
        let (_temp, result) = replay_after(change);
        assert!(matches!(result, Err(StateError::Corrupt { .. })), "{result:?}");
    }
    let temp = tempfile::tempdir().unwrap();
    let state = StateDir::open(temp.path()).unwrap();
    drop(state.journal(&state.device().unwrap()).unwrap());
    fs::remove_file(state.file_path("device.json")).unwrap();
    let error = state.journal(&state.device().unwrap()).unwrap_err();
    assert!(error.to_string().contains("belongs to device"), "{error}");
}

#[test]
fn the_journal_stays_small_and_bounded() {
    let temp = tempfile::tempdir().unwrap();
    let state = StateDir::open(temp.path()).unwrap();
    let mut device = state.device().unwrap();
    let (mut journal, _) = state.journal(&device).unwrap();
    for seq in 0..50_000 {
        journal.set_cursor("lobby", seq).unwrap();
    }
    let size = fs::metadata(state.file_path("journal")).unwrap().len();
    assert!(size < 1024 * 1024 + 200, "{size}");

    let long = PendingSay { text: "x".repeat(MAX_SAY_BYTES + 1), ..say(&mut device, "") };
    assert!(matches!(journal.say(long), Err(StateError::TooLong { .. })));
    for _ in 0..MAX_PENDING_SAYS {
        journal.say(say(&mut device, "x")).unwrap();
    }
    assert!(matches!(journal.say(say(&mut device, "x")), Err(StateError::Full { .. })));
    assert_eq!(journal.pending().len(), MAX_PENDING_SAYS);
    drop(journal);
    let (journal, _) = state.journal(&device).unwrap();
    assert_eq!(journal.pending().len(), MAX_PENDING_SAYS);
    assert_eq!(journal.cursors()["lobby"], 49_999);
}

/// Set in the child process that the next test kills.
const VICTIM: &str = "CHATCLIENT_TEST_JOURNAL";

#[test]
fn what_was_said_survives_kill_9() {
    if let Some(path) = std::env::var_os(VICTIM) {
        write_until_killed(Path::new(&path));
        return;
    }
    let temp = tempfile::tempdir().unwrap();
    let mut acknowledged_before = 0;
    for _ in 0..5 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["what_was_said_survives_kill_9", "--exact", "--nocapture"])
            .env(VICTIM, temp.path())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut reported = 0;
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            let Some(counter) = line.unwrap().strip_prefix("kept ").map(|n| n.parse::<u64>().unwrap()) else {
                continue;
            };
            assert!(counter > acknowledged_before, "a counter was used again");
            reported = counter;
            if counter % 1000 >= 300 {
                break;
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();

        let state = StateDir::open(temp.path()).unwrap();
        let device = state.device().unwrap();
        let (mut journal, replay) = state.journal(&device).unwrap();
        assert_eq!(replay.damaged_lines, 0);
        let counters: Vec<u64> = journal.pending().map(|say| say.counter).collect();
        let first = reported - reported % 1000 + 1;
        let expected: Vec<u64> = (first..=reported).collect();
        assert_eq!(counters[..expected.len()], expected, "every say that was reported as kept is there");
        acknowledged_before = *counters.last().unwrap();
        for counter in counters {
            journal.ack(counter).unwrap();
        }
    }
}

fn write_until_killed(path: &Path) {
    let state = StateDir::open(path).unwrap();
    let mut device = state.device().unwrap();
    let (mut journal, _) = state.journal(&device).unwrap();
    let mut out = std::io::stdout();
    // Ends by itself when nobody kills it.
    for _ in 0..COUNTER_BLOCK {
        let say = say(&mut device, "hello");
        let counter = say.counter;
        journal.say(say).unwrap();
        if writeln!(out, "\nkept {counter}").is_err() {
            return;
        }
    }
}
