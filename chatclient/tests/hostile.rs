//! A hostile server, and strangers at the peer port, against the real client: it lives on or ends with a named error, its
//! memory is bounded, nothing lands outside of its downloads, nothing raw reaches the terminal, and no password leaves it.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};

use chatproto::conn::FrameReader;
use chatproto::opaque::{MECHANISM, OsRng, Password, Record, ServerLogin, ServerSetup, Stretch, register};
use chatproto::wire::*;
use harness::{Client, Options, PASSWORD, PATIENCE, Scratch, Server, command_in};

/// What a client may need at the very most: its program, its buffers, and Argon2 at the login.
const MOST_MEMORY: u64 = 96 << 20;

/// A server that does what the test wants, for one connection after the other.
struct Hostile {
    addr: String,
    /// Everything that clients said.
    heard: Receiver<Vec<u8>>,
}

/// One connection at the hostile server.
struct Talk {
    stream: TcpStream,
    reader: FrameReader,
    input: Vec<u8>,
    said: Vec<u8>,
    login: Option<ServerLogin>,
    keys: Arc<(ServerSetup, Record)>,
}

impl Hostile {
    fn start(script: impl Fn(&mut Talk) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let addr = listener.local_addr().expect("an address").to_string();
        let setup = ServerSetup::generate(&mut OsRng);
        let password = Password::new(PASSWORD).expect("a password");
        let record = register(&setup, "alice", password, Stretch::LIGHT, &mut OsRng).expect("a record");
        let keys = Arc::new((setup, record));
        let (told, heard) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                stream.set_write_timeout(Some(PATIENCE)).expect("a timeout");
                let mut talk = Talk {
                    stream,
                    reader: FrameReader::new(MAX_FRAME),
                    input: Vec::new(),
                    said: Vec::new(),
                    login: None,
                    keys: Arc::clone(&keys),
                };
                script(&mut talk);
                // What it says to the very end.
                let _ = talk.stream.shutdown(std::net::Shutdown::Write);
                while talk.hear() {}
                if told.send(talk.said).is_err() {
                    return;
                }
            }
        });
        Self { addr, heard }
    }

    /// Nothing that clients have said holds the password.
    fn has_no_password(&self) {
        for said in self.heard.try_iter() {
            let password = PASSWORD.as_bytes();
            assert!(!said.windows(password.len()).any(|part| part == password), "the password was sent");
        }
    }
}

impl Talk {
    /// Sends bytes; a client that has gone does not hear them.
    fn send(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    fn say<'a>(&mut self, frame: &impl Body<'a>) -> bool {
        self.send(&frame.to_bytes())
    }

    /// Reads on; false at the end.
    fn hear(&mut self) -> bool {
        let mut buffer = [0; 16 * 1024];
        match self.stream.read(&mut buffer) {
            Ok(0) | Err(_) => false,
            Ok(len) => {
                self.said.extend_from_slice(&buffer[..len]);
                self.input.extend_from_slice(&buffer[..len]);
                true
            }
        }
    }

    /// Serves a client as a good server would until it is in the lobby; false if it went before.
    fn welcome(&mut self) -> bool {
        loop {
            let input = std::mem::take(&mut self.input);
            let (mut at, mut is_in) = (0, false);
            loop {
                let mut reader = std::mem::replace(&mut self.reader, FrameReader::new(MAX_FRAME));
                let step = reader.step(&input[at..]).expect("a good client");
                at += step.used;
                let Some(raw) = step.frame else {
                    self.reader = reader;
                    break;
                };
                let frame = ToServer::decode(raw).expect("a good frame").expect("a known frame");
                is_in |= self.answer(frame);
                self.reader = reader;
            }
            if is_in {
                return true;
            }
            if !self.hear() {
                return false;
            }
        }
    }

    fn answer(&mut self, frame: ToServer<'_>) -> bool {
        let keys = Arc::clone(&self.keys);
        match frame {
            ToServer::ClientHello(_) => {
                self.say(&server_hello(VERSION, MECHANISM));
            }
            ToServer::LoginStart(start) => {
                let user = start.user.as_str();
                let (login, answer) =
                    ServerLogin::start(&keys.0, Some(&keys.1), user, start.data.as_bytes(), &[], &mut OsRng)
                        .expect("a good request");
                self.login = Some(login);
                self.say(&LoginChallenge { data: Blob::new(&answer).expect("short") });
            }
            ToServer::LoginResponse(response) => {
                let login = self.login.take().expect("a login under way");
                login.finish(response.data.as_bytes()).expect("the right password");
                self.say(&LoginOk {
                    user: NameRef::new("alice").expect("a name"),
                    default_room: NameRef::new("lobby").expect("a name"),
                    observed: "192.0.2.7:50000".parse().expect("an address"),
                    // What looks like nothing of this server's.
                    ticket: Blob::new(&[0x1b; 4096]).expect("short"),
                    ticket_lifetime: u32::MAX,
                    data: Blob::new(&[]).expect("short"),
                });
            }
            ToServer::Join(join) => {
                let (name, topic) = (NameRef::new("lobby").expect("a name"), NoteRef::EMPTY);
                let room = RoomId(1);
                let (request, kind) = (join.request, RoomKind::Group);
                self.say(&Joined { request, room, kind, name, topic, last: 0, cursor: 0 });
                self.say(&CaughtUp { room, seq: 0 });
                return true;
            }
            _ => {}
        }
        false
    }
}

fn server_hello(version: u8, mechanisms: &str) -> ServerHello<'_> {
    ServerHello {
        version,
        capabilities: Capabilities::NONE,
        max_frame: MAX_FRAME,
        server: ServerId([5; 16]),
        agent: NoteRef::EMPTY,
        mechanisms: NoteRef::new(mechanisms).expect("a note"),
    }
}

fn options(hostile: &Hostile, scratch: &Scratch) -> Options {
    Options::bare("alice", &hostile.addr, scratch)
        .arg("--insecure-plaintext")
        .arg("--downloads")
        .arg(scratch.path("alice-downloads"))
        .args(["--peer-listen", "127.0.0.1:0", "--stay"])
}

/// Runs a case for each of these, and says which one failed.
fn all_at_once<T: Send>(
    cases: impl IntoIterator<Item = (&'static str, T)>,
    run: impl Fn(&'static str, T) + Sync,
) {
    // Built once, before the clock of any case runs.
    harness::program("chatclient");
    std::thread::scope(|scope| {
        let run = &run;
        let start = |(what, case)| (what, scope.spawn(move || run(what, case)));
        let running: Vec<_> = cases.into_iter().map(start).collect();
        for (what, case) in running {
            assert!(case.join().is_ok(), "{what}");
        }
    });
}

/// The client says that something is wrong, and with which name.
fn complains(client: &mut Client) -> serde_json::Value {
    loop {
        let event = client.next();
        if event["event"] == "error" || event["event"] == "server_lost" {
            let name = if event["event"] == "error" { &event["code"] } else { &event["reason"] };
            assert!(name.as_str().is_some_and(|name| !name.is_empty()), "{event}");
            return event;
        }
    }
}

/// It has not used more than it may, and ends when it is told to.
fn ends_well(client: Client) {
    // One that has given up by itself holds nothing any more.
    let most = client.most_memory().unwrap_or(0);
    assert!(most < MOST_MEMORY, "the client held {most} bytes");
    client.terminate();
    let (status, _) = client.finish();
    assert!(status.code().is_some(), "it ended with {status}");
}

#[test]
fn a_server_that_breaks_the_rules_before_the_login_is_named_and_learns_no_password() {
    let message = Message {
        room: RoomId(1),
        seq: 1,
        time: 0,
        flags: 0,
        device: DeviceId([1; 16]),
        counter: 1,
        from: NameRef::new("eve").expect("a name"),
        text: TextRef::new("too early").expect("a text"),
    };
    let plain = server_hello(VERSION, "plain PLAIN password none").to_bytes();
    let scripts: [(&str, Vec<u8>); 8] = [
        ("garbage", b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
        ("a giant claim", u32::MAX.to_be_bytes().to_vec()),
        ("a frame without a type", vec![0; 4]),
        ("a frame before its time", message.to_bytes().to_vec()),
        ("another version", server_hello(VERSION + 1, MECHANISM).to_bytes().to_vec()),
        ("an older version", server_hello(0, MECHANISM).to_bytes().to_vec()),
        ("mechanisms that would show the password", plain.to_vec()),
        ("nothing", Vec::new()),
    ];
    all_at_once(scripts, |_, script| {
        let scratch = Scratch::new();
        let hostile = Hostile::start(move |talk| {
            talk.send(&script);
        });
        let mut client = options(&hostile, &scratch).start();
        complains(&mut client);
        ends_well(client);
        hostile.has_no_password();
    });
}

#[test]
fn a_challenge_of_garbage_is_no_login() {
    all_at_once([0, 1, 320, 8192].map(|len| ("garbage", len)), |_, len| {
        let scratch = Scratch::new();
        let hostile = Hostile::start(move |talk| {
            talk.say(&server_hello(VERSION, MECHANISM));
            let challenge = vec![0xa5; len];
            talk.say(&LoginChallenge { data: Blob::new(&challenge).expect("short enough") });
            while talk.hear() {}
        });
        let mut client = options(&hostile, &scratch).start();
        complains(&mut client);
        ends_well(client);
        hostile.has_no_password();
    });
}

/// What a server that everybody is logged in to sends them, and whether a client may put up with it.
fn attacks() -> Vec<(&'static str, Vec<u8>)> {
    let user = NameRef::new("eve").expect("a name");
    let room = RoomId(1);
    let text = |text| TextRef::new(text).expect("a text");
    let message = |room, seq| Message {
        room,
        seq,
        time: 0,
        flags: 0,
        device: DeviceId([1; 16]),
        counter: seq,
        from: user,
        text: text("hello"),
    };
    let mut escape = message(room, 1).to_bytes().to_vec();
    let at = escape.len() - 5;
    escape[at..].copy_from_slice(b"\x1b[31m");
    let mut override_ = message(room, 1).to_bytes().to_vec();
    let at = override_.len() - 5;
    override_[at..].copy_from_slice("a\u{202e}b".as_bytes());
    let introduce = |offer| {
        let addresses = ["192.0.2.9:4000".parse().expect("an address")];
        PeerIntroduce {
            offer: OfferId(offer),
            request: RequestId(0),
            role: DialRole::Dial,
            purpose: Purpose::Files,
            expires: u32::MAX,
            ticket: LinkTicket([7; 32]),
            token: SideToken([7; 32]),
            device: DeviceId([9; 16]),
            link_key: LinkKey([7; 32]),
            hidden: false,
            peer: user,
            addresses: List::new(&addresses),
        }
        .to_bytes()
        .to_vec()
    };
    let offer = |offer| {
        let (purpose, device) = (Purpose::Files, DeviceId([9; 16]));
        PeerOffer { offer: OfferId(offer), purpose, expires: u32::MAX, device, from: user }
            .to_bytes()
            .to_vec()
    };
    let direct = |number: u32| {
        let name = format!("user{number}");
        let with = NameRef::new(&name).expect("a name");
        DirectRoom { room: RoomId(number + 10), with, last: u64::MAX, over: false }.to_bytes().to_vec()
    };
    let presence = Presence { room, change: Change::Entered, device: DeviceId([9; 16]), user }.to_bytes();
    let rooms = RoomList { request: RequestId(77), more: true, rooms: List::new(&[]) }.to_bytes();
    vec![
        ("an escape sequence in a text", escape),
        ("an override in a text", override_),
        ("a message of a room that nobody joined", message(RoomId(9), 1).to_bytes().to_vec()),
        ("a message out of order", message(room, 7).to_bytes().to_vec()),
        ("a message twice", [message(room, 1).to_bytes(), message(room, 1).to_bytes()].concat()),
        ("an answer that nobody asked for", rooms.to_vec()),
        ("an introduction that nobody asked for", introduce(1)),
        ("the same introduction again and again", introduce(1).repeat(1_000)),
        ("a flood of pings", Ping { nonce: 1 }.to_bytes().repeat(100_000)),
        ("a flood of presence", presence.repeat(100_000)),
        ("offers without end", (1..20_000).flat_map(offer).collect()),
        ("conversations without end", (1..20_000).flat_map(direct).collect()),
        (
            "half a giant frame",
            [&MAX_FRAME.to_be_bytes()[..], &[FrameType::MessagePage.number(), 1, 2]].concat(),
        ),
        ("a claim beyond all bounds", (MAX_FRAME + 1).to_be_bytes().to_vec()),
        ("a hello in the middle", server_hello(VERSION, MECHANISM).to_bytes().to_vec()),
    ]
}

#[test]
fn a_server_that_turns_hostile_after_the_login_harms_nothing() {
    all_at_once(attacks(), |what, script| {
        let scratch = Scratch::new();
        let hostile = Hostile::start(move |talk| {
            if talk.welcome() {
                talk.send(&script);
            }
        });
        let mut client = options(&hostile, &scratch).start();
        client.expect("ready", |_| true);
        // The server hangs up after it: the client tells that in any case, whatever it thinks of the rest.
        complains(&mut client);
        ends_well(client);
        hostile.has_no_password();
        let downloads = scratch.path("alice-downloads");
        let files = std::fs::read_dir(&downloads).map_or(0, Iterator::count);
        assert_eq!(files, 0, "{what}: something was stored");
    });
}

#[test]
fn nothing_raw_reaches_the_terminal() {
    let scripts = attacks().into_iter().filter(|(what, _)| what.contains("in a text"));
    let mut topic = Joined {
        request: RequestId(0),
        room: RoomId(1),
        kind: RoomKind::Group,
        name: NameRef::new("lobby").expect("a name"),
        topic: NoteRef::new("xxxxx").expect("a note"),
        last: 0,
        cursor: 0,
    }
    .to_bytes()
    .to_vec();
    let at = topic.windows(5).position(|part| part == b"xxxxx").expect("the topic");
    topic[at..at + 5].copy_from_slice(b"\x1b]0;x");
    let bye = Bye { reason: CloseReason::Done, retry_after: 0, note: NoteRef::new("xxxxx").expect("a note") };
    let mut bye = bye.to_bytes().to_vec();
    let at = bye.len() - 5;
    bye[at..].copy_from_slice(b"\x1b[2Jx");
    for (what, script) in scripts.chain([("a topic", topic), ("a goodbye", bye)]) {
        let scratch = Scratch::new();
        let password = scratch.path("password");
        std::fs::write(&password, format!("{PASSWORD}\n")).expect("the password is written");
        let hostile = Hostile::start(move |talk| {
            if talk.welcome() {
                talk.send(&script);
            }
        });
        let mut child = command_in(None, "chatclient")
            .args(["--server", &hostile.addr, "--user", "alice", "--insecure-plaintext", "--log", "debug"])
            .arg("--password-file")
            .arg(password)
            .arg("--state")
            .arg(scratch.path("state"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the client starts");
        // Once the first connection is over, it has heard all that there was.
        hostile.heard.recv_timeout(PATIENCE).expect("the client has come and gone");
        drop(child.stdin.take());
        let status = std::process::Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "the client runs on");
        let output = child.wait_with_output().expect("it ends");
        for bytes in [output.stdout, output.stderr] {
            let text = String::from_utf8_lossy(&bytes);
            let is_raw = |c: &char| (c.is_control() && !"\n\t".contains(*c)) || *c == '\u{202e}';
            // The client's own log is not coloured: there is no terminal.
            assert!(!text.chars().any(|c| is_raw(&c)), "{what}: {text:?}");
        }
    }
}

/// Strangers at the peer port: whatever they do, those who belong there are served.
#[test]
fn strangers_at_the_peer_port_cost_little_and_are_let_go() {
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let share = scratch.folder("alice-share");
    std::fs::write(share.join("notes.txt"), b"one").expect("a file");
    let mut alice = Options::new("alice", &server, &scratch).arg("--accept").arg("all").start();
    let ready = alice.expect("ready", |_| true);
    let port = u16::try_from(ready["peer_port"].as_u64().expect("a port")).expect("a port");
    let call = || {
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the client listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream
    };
    let scripts: [&[u8]; 4] = [b"", b"GET / HTTP/1.0\r\n\r\n", &[0x16, 3, 1, 2, 0, 1], &[0xff; 4096]];
    let mut open = Vec::new();
    for script in scripts {
        let mut stream = call();
        // It may have been let go already.
        let _ = stream.write_all(script);
        open.push(stream);
    }
    // More than may come at once: the rest is closed unanswered.
    let mut refused = 0;
    for _ in 0..128 {
        let mut stream = call();
        stream.set_nonblocking(false).expect("it blocks");
        stream.set_read_timeout(Some(std::time::Duration::from_millis(1))).expect("a timeout");
        refused += usize::from(matches!(stream.read(&mut [0; 16]), Ok(0)));
    }
    eprintln!("{refused} of 128 were refused at once");
    drop(open);
    let (_, most) = alice.cost();
    assert!(most < MOST_MEMORY, "the client held {most} bytes");
    alice.type_line("still here");
    alice.expect("posted", |_| true);
    alice.quit();
    server.stop();
}
