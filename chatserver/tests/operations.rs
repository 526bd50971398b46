//! What an operator does with a server that runs: settings and certificate read again, a backup, figures.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use chatnet::{ClientTls, ConnectOptions, Identity, Net, NetConfig, NetEvent, Security};
use chatproto::wire::{Body as _, Capabilities, ClientHello, FrameType, MAGIC, MAX_FRAME, NoteRef, VERSION};
use chatserver::store::{DataDir, Outcome, RoomKind, Store, StoreConfig, Write};
use support::{PASSWORD, add_user, command, example, read_to_end, text};
use tempfile::TempDir;

/// A server whose log is read.
struct Watched {
    child: Child,
    log: BufReader<ChildStderr>,
    addr: String,
    fingerprint: Option<String>,
    metrics: Option<String>,
}

impl Watched {
    fn start(data: &Path, args: &[&str]) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_chatserver"))
            .args(["--listen", "127.0.0.1:0", "--data"])
            .arg(data)
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let log = BufReader::new(child.stderr.take().expect("piped"));
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let line = lines.next().expect("a line").expect("text");
        let words = line.split(' ').collect::<Vec<_>>();
        assert_eq!(words[..2], ["listening", "on"], "{line}");
        let metrics = args.contains(&"--metrics").then(|| {
            let line = lines.next().expect("a line").expect("text");
            let rest = line.strip_prefix("metrics on http://").and_then(|rest| rest.strip_suffix("/metrics"));
            rest.expect("where the metrics are").to_owned()
        });
        let fingerprint = words.get(4).map(|word| (*word).to_owned());
        Self { child, log, addr: words[2].to_owned(), fingerprint, metrics }
    }

    fn signal(&self, name: &str) {
        let status = Command::new("kill").args([name, &self.child.id().to_string()]).status();
        assert!(status.expect("kill runs").success());
    }

    /// The lines of the log up to one that contains `wanted`.
    fn log_until(&mut self, wanted: &str) -> String {
        let mut all = String::new();
        loop {
            let before = all.len();
            assert_ne!(self.log.read_line(&mut all).expect("a log"), 0, "no `{wanted}` in {all}");
            if all[before..].contains(wanted) {
                return all;
            }
        }
    }

    fn reload(&mut self, wanted: &str) -> String {
        self.signal("-HUP");
        self.log_until(wanted)
    }

    /// Says hello; the number of the first frame that comes back.
    fn greet(&self) -> u8 {
        let hello = ClientHello {
            magic: MAGIC,
            version_min: VERSION,
            version_max: VERSION,
            capabilities: Capabilities::NONE,
            max_frame: MAX_FRAME,
            agent: NoteRef::EMPTY,
        };
        let mut stream = TcpStream::connect(&self.addr).expect("the server listens");
        stream.write_all(&hello.to_bytes()).expect("it reads");
        let mut header = [0; 5];
        stream.read_exact(&mut header).expect("it answers");
        header[4]
    }

    fn client(&self, args: &[&str]) -> Output {
        Command::new(example("blocking_client")).arg(&self.addr).args(args).output().expect("the client runs")
    }

    /// What the metrics endpoint answers to `request`.
    fn ask(&self, request: &str) -> String {
        let mut stream = TcpStream::connect(self.metrics.as_ref().expect("metrics")).expect("it listens");
        // It may answer, and end the connection, before a long request is read to its end.
        let _ = stream.write_all(request.as_bytes());
        text(&read_to_end(&mut stream))
    }

    fn metrics(&self) -> String {
        let answer = self.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4"), "{head}");
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{head}");
        body.to_owned()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The value of a sample.
fn sample(page: &str, name: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().expect("a number")
}

/// A directory with room for data, a settings file and more.
fn place() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

fn path(path: &Path) -> &str {
    path.to_str().expect("text")
}

#[test]
fn limits_and_filter_are_reloaded_and_a_bad_file_changes_nothing() {
    let place = place();
    let file = place.path().join("chat.toml");
    let set = |text: &str| fs::write(&file, text).expect("written");
    set("insecure_plaintext = true\n[hub]\nmax_strangers = 1\n");
    let mut server = Watched::start(&place.path().join("data"), &["--config", path(&file)]);
    let _first = TcpStream::connect(&server.addr).expect("the server listens");
    assert_eq!(server.greet(), FrameType::Bye.number(), "there is room for one");

    set("insecure_plaintext = true\n[hub]\nmax_strangers = 100\n");
    server.reload("reloaded: hub.max_strangers changed");
    assert_eq!(server.greet(), FrameType::ServerHello.number());

    set("insecure_plaintext = true\n[hub]\nmax_strangers = none\n");
    let said = server.reload("nothing is reloaded");
    assert!(said.contains("line 3: `max_strangers = none`"), "{said}");
    assert_eq!(server.greet(), FrameType::ServerHello.number());

    set("insecure_plaintext = true\nlog = \"warn\"\ndurability = \"os\"\n");
    let said = server.reload("only after a restart: durability");
    assert!(!said.contains("reloaded:"), "the new filter holds: {said}");
}

#[test]
fn a_renewed_certificate_is_for_new_connections() {
    let place = place();
    let data = place.path().join("data");
    let mut server = Watched::start(&data, &[]);
    let renewed = Identity::generate(["localhost"]).expect("an identity");
    let (next, pem) = (data.join("next.pem"), data.join("server.pem"));
    renewed.store(&next).expect("stored");
    fs::rename(&next, &pem).expect("renamed");
    server.reload(&format!("new connections get the certificate {}", renewed.fingerprint()));
    assert_ne!(server.fingerprint, Some(renewed.fingerprint().to_string()));
    connect_pinned(&server.addr, &renewed);

    fs::write(&pem, "no certificate").expect("written");
    let said = server.reload("nothing is reloaded");
    assert!(said.contains("certificate"), "{said}");
    connect_pinned(&server.addr, &renewed);
}

/// Connects to whoever has this very certificate.
fn connect_pinned(addr: &str, identity: &Identity) {
    let mut net = Net::new(NetConfig::default()).expect("a loop");
    let options = ConnectOptions {
        security: Security::TlsClient(ClientTls::pinned(identity.fingerprint()).expect("settings")),
        timeout: Duration::from_secs(10),
    };
    net.connect(addr.parse().expect("an address"), options).expect("a socket");
    let mut events = Vec::new();
    loop {
        net.turn(None, &mut events).expect("a turn");
        for event in events.drain(..) {
            assert!(!matches!(event, NetEvent::Closed { .. }), "{event:?}");
            if matches!(event, NetEvent::Connected { .. }) {
                return;
            }
        }
    }
}

#[test]
fn check_config_prints_what_would_be_in_force_or_what_is_wrong() {
    let place = place();
    let file = place.path().join("chat.toml");
    let check = |text: &str| {
        fs::write(&file, text).expect("written");
        command(&["check-config", "--config", path(&file), "--max-devices", "5"], place.path(), "")
    };
    let output = check("log_format = \"json\"\n[hub]\nmax_devices = 3\n");
    assert!(output.status.success(), "{output:?}");
    let printed = text(&output.stdout);
    for line in ["log_format = \"json\"", "max_devices = 5", "max_rooms = 10000", "listen = \"0.0.0.0:4848\""]
    {
        assert!(printed.lines().any(|found| found == line), "no {line} in {printed}");
    }
    let output = check(&printed.replace("max_rooms = 10000", "max_rooms = 0"));
    assert_eq!((output.status.code(), text(&output.stdout).as_str()), (Some(2), ""));
    assert!(text(&output.stderr).contains("from 1 to 10000000"), "{output:?}");
    let output = check("colour = 1\n");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("line 1: `colour = 1`"), "{output:?}");
}

#[test]
fn the_environment_goes_before_the_file_and_flags_go_before_both() {
    let place = place();
    let file = place.path().join("chat.toml");
    fs::write(&file, "listen = \"127.0.0.1:1\"\nlog = \"warn\"\ndurability = \"os\"\n").expect("written");
    let output = Command::new(env!("CARGO_BIN_EXE_chatserver"))
        .args(["check-config", "--listen", "127.0.0.1:3"])
        .env("CHATSERVER_CONFIG", &file)
        .env("CHATSERVER_LISTEN", "127.0.0.1:2")
        .env("CHATSERVER_LOG", "debug")
        .output()
        .expect("it runs");
    let printed = text(&output.stdout);
    for line in ["listen = \"127.0.0.1:3\"", "log = \"debug\"", "durability = \"os\""] {
        assert!(printed.lines().any(|found| found == line), "no {line} in {printed}");
    }
}

#[test]
fn a_backup_beside_a_running_server_is_restored_with_people_messages_and_certificate() {
    let place = place();
    let (data, file, other) =
        (place.path().join("data"), place.path().join("chat.backup"), place.path().join("other"));
    add_user(&data, "alice");
    let plaintext = Watched::start(&data, &["--insecure-plaintext"]);
    // The last thing said waits in the write-ahead log.
    let output = plaintext.client(&["alice", PASSWORD, "1", "before the backup"]);
    assert!(output.status.success(), "{output:?}");
    // A certificate joins, as after a server that spoke TLS.
    let identity = Identity::generate(["localhost"]).expect("an identity");
    identity.store(&data.join("server.pem")).expect("stored");

    let output = command(&["backup", path(&file)], &data, "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::metadata(&file).expect("a file").permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_dir(place.path()).expect("a directory").count(), 2, "no temporary files are left");
    let whole = fs::read(&file).expect("a file");
    let output = plaintext.client(&["alice", PASSWORD, "1", "after the backup"]);
    assert!(output.status.success(), "the server goes on: {output:?}");

    let again = command(&["backup", path(&file)], &data, "");
    assert_eq!(again.status.code(), Some(1));
    assert!(text(&again.stderr).contains("exists already"), "{again:?}");
    assert_eq!(fs::read(&file).expect("a file"), whole, "a backup replaces nothing");

    let output = command(&["restore", path(&file)], &other, "");
    assert!(output.status.success(), "{output:?}");
    assert_eq!(fs::read(&file).expect("a file"), whole, "the backup stays as it is");
    for name in ["chat.db", "server.pem"] {
        assert_eq!(
            fs::metadata(other.join(name)).expect(name).permissions().mode() & 0o7777,
            0o600,
            "{name}"
        );
    }
    let key = identity.to_pem().lines().rev().nth(1).expect("the key's last line").as_bytes();
    let database = fs::read(other.join("chat.db")).expect("a file");
    assert!(!database.windows(key.len()).any(|window| window == key), "the key is in its file only");

    let tls = Watched::start(&other, &[]);
    assert_eq!(tls.fingerprint, Some(identity.fingerprint().to_string()), "clients know it again");
    drop(tls);
    let restored = Watched::start(&other, &["--insecure-plaintext"]);
    let output = restored.client(&["alice", PASSWORD, "1", "after the restore"]);
    assert!(output.status.success(), "the password is known: {output:?}");
    drop(restored);
    assert_eq!(log_of(&other), ["1 before the backup", "2 after the restore"]);
    assert_ne!(id_of(&other), id_of(&data), "clients must not believe that they have seen what is gone");

    let output = command(&["restore", path(&file)], &other, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("holds a server's data already"), "{output:?}");
}

#[test]
fn a_backup_under_load_is_one_moment_and_has_all_that_was_acknowledged_before() {
    let place = place();
    let (data, file, other) =
        (place.path().join("data"), place.path().join("chat.backup"), place.path().join("other"));
    let lock = DataDir::open(&data).and_then(DataDir::lock).expect("a data directory");
    let (told, outcomes) = mpsc::channel();
    let on_write = Box::new(move |outcomes: Vec<Outcome>| {
        let _ = told.send(outcomes.len());
    });
    let store = Store::start(lock, &StoreConfig::default(), on_write, Arc::new(|_| {})).expect("a store");
    let room = Write::CreateRoom {
        id: 0,
        room: 1,
        kind: RoomKind::Group,
        name: "lobby".into(),
        by: None,
        owner: None,
        is_private: false,
    };
    store.writer.try_send(room).expect("room");
    let is_done = AtomicBool::new(false);
    let mut acknowledged = 0_usize;
    let (before, output) = thread::scope(|scope| {
        scope.spawn(|| {
            for counter in 1.. {
                if is_done.load(Ordering::Relaxed) {
                    break;
                }
                let (sender, text) = ("alice".into(), "x".repeat(500));
                let mut write =
                    Write::Append { id: counter, room: 1, sender, device: [1; 16], counter, text };
                while let Err(refused) = store.writer.try_send(write) {
                    write = refused.into_inner();
                    thread::yield_now();
                }
            }
        });
        while acknowledged < 2_000 {
            acknowledged += outcomes.recv().expect("the log goes on");
        }
        // One of them is the room.
        let before = acknowledged - 1;
        let output = command(&["backup", path(&file)], &data, "");
        let next = outcomes.recv();
        is_done.store(true, Ordering::Relaxed);
        next.expect("the log goes on");
        (before, output)
    });
    assert!(output.status.success(), "{output:?}");
    store.finish().expect("closed");
    assert!(command(&["restore", path(&file)], &other, "").status.success());
    let counts = "SELECT count(*), max(seq), (SELECT last_seq FROM rooms) FROM messages";
    let (count, last, told): (u32, u32, u32) = database(&other)
        .query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .expect("a table");
    assert!(u64::from(count) >= before as u64, "{count} of {before}");
    assert_eq!((count, count), (last, told), "numbered without gap, and the room knows");
}

fn database(data: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(data.join("chat.db")).expect("a database")
}

fn log_of(data: &Path) -> Vec<String> {
    let database = database(data);
    let mut rows = database.prepare("SELECT seq || ' ' || text FROM messages ORDER BY seq").expect("a table");
    let rows = rows.query_map([], |row| row.get(0)).expect("rows");
    rows.collect::<Result<_, _>>().expect("texts")
}

fn id_of(data: &Path) -> Vec<u8> {
    let id = "SELECT value FROM meta WHERE key = 'server_id'";
    database(data).query_row(id, [], |row| row.get(0)).expect("an identity")
}

#[test]
fn backup_and_restore_say_what_is_wrong() {
    let place = place();
    let (nothing, file) = (place.path().join("nothing"), place.path().join("chat.backup"));
    let output = command(&["backup", path(&file)], &nothing, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("nothing/chat.db"), "{output:?}");
    assert!(!nothing.exists() && !file.exists(), "nothing is made");

    let output = command(&["restore", path(&file)], &nothing, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("chat.backup"), "{output:?}");
    fs::write(&file, "this is no database, however long one looks at it").expect("written");
    let output = command(&["restore", path(&file)], &nothing, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("not a database"), "{output:?}");
    assert!(!nothing.exists(), "nothing is made");

    let foreign = rusqlite::Connection::open(place.path().join("foreign")).expect("a database");
    foreign.execute_batch("CREATE TABLE other(id)").expect("a table");
    let output = command(&["restore", path(&place.path().join("foreign"))], &nothing, "");
    assert!(text(&output.stderr).contains("is not a chat server's database"), "{output:?}");

    let data = place.path().join("data");
    add_user(&data, "alice");
    let output = command(&["backup", path(&place.path().join("no/such/folder"))], &data, "");
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("no/such"), "{output:?}");
}

#[test]
fn metrics_count_what_happens() {
    let place = place();
    add_user(place.path(), "alice");
    let server = Watched::start(place.path(), &["--insecure-plaintext", "--metrics", "127.0.0.1:0"]);
    let before = server.metrics();
    assert_eq!(sample(&before, "chatserver_connections"), 0.0);
    assert_eq!(sample(&before, "chatserver_messages_total{result=\"appended\"}"), 0.0);
    let _stranger = TcpStream::connect(&server.addr).expect("the server listens");
    assert!(server.client(&["alice", PASSWORD, "1", "hello"]).status.success());
    assert!(!server.client(&["alice", "wrong", "1", "hello"]).status.success());
    let page = server.metrics();
    for (name, value) in [
        ("chatserver_strangers", 1.0),
        ("chatserver_logged_in", 0.0),
        ("chatserver_rooms", 1.0),
        ("chatserver_logins_total{result=\"accepted\"}", 1.0),
        ("chatserver_logins_total{result=\"abandoned\"}", 1.0),
        ("chatserver_messages_total{result=\"appended\"}", 1.0),
        ("chatserver_messages_total{result=\"failed\"}", 0.0),
        ("chatserver_deliveries_total", 1.0),
    ] {
        assert_eq!(sample(&page, name), value, "{name}: {page}");
    }
    assert!(sample(&page, "chatserver_received_bytes_total") > 100.0, "{page}");
    assert!(sample(&page, "chatserver_sent_bytes_total") > 100.0, "{page}");
    for name in ["chatserver_log_commit_seconds", "chatserver_loop_turn_seconds"] {
        let count = sample(&page, &format!("{name}_count"));
        assert!(count >= 1.0, "{page}");
        assert_eq!(sample(&page, &format!("{name}_bucket{{le=\"+Inf\"}}")), count);
        assert!(sample(&page, &format!("{name}_sum")) > 0.0, "{page}");
    }
    for line in page.lines() {
        let legal = line.starts_with("# HELP chatserver_") || line.starts_with("# TYPE chatserver_");
        assert!(
            legal || line.rsplit_once(' ').is_some_and(|(_, value)| value.parse::<f64>().is_ok()),
            "{line}"
        );
    }
}

#[test]
fn metrics_tell_of_each_io_thread() {
    let place = place();
    let args = ["--insecure-plaintext", "--metrics", "127.0.0.1:0", "--io-threads", "2"];
    let server = Watched::start(place.path(), &args);
    server.greet();
    let page = server.metrics();
    let both = |name: &str| {
        ["0", "1"].map(|thread| sample(&page, &format!("chatserver_io_thread_{name}{{thread=\"{thread}\"}}")))
    };
    assert!(both("turns_total").iter().sum::<f64>() >= 1.0, "{page}");
    assert!(both("connections").iter().all(|count| *count <= 1.0), "{page}");
    assert!(both("busy_seconds_total").iter().all(|time| *time < 60.0), "{page}");
}

#[test]
fn metrics_endpoint_answers_one_question_and_bounds_its_callers() {
    let place = place();
    let server = Watched::start(place.path(), &["--insecure-plaintext", "--metrics", "127.0.0.1:0"]);
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n", "404"),
        ("GET /metrics/../etc/passwd HTTP/1.1\r\n\r\n", "404"),
        ("POST /metrics HTTP/1.1\r\n\r\n", "405"),
        ("\r\n\r\n", "405"),
    ];
    for (request, status) in cases {
        let answer = server.ask(request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{request:?}: {answer}");
    }
    let long = format!("GET /metrics HTTP/1.1\r\nX: {}", "x".repeat(9 * 1024));
    assert!(server.ask(&long).starts_with("HTTP/1.1 431 "));
    // One that stays silent has its time, and then the next has its turn.
    let _silent = TcpStream::connect(server.metrics.as_ref().expect("metrics")).expect("it listens");
    assert!(server.metrics().contains("chatserver_connections 0"));
}
