//! What somebody on the way can read: a whole session, recorded at the connections to the server and at the link, shows no
//! password, no name, no text, no byte of a file. Without TLS to the server the same search finds them, and the link stays shut.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use harness::{Client, Options, PASSWORD, Scratch, Server, download, noise};
use socket2::{Domain, Socket, Type};
use std::collections::HashSet;
use std::io::{self, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// All that passed, each direction of each connection by itself.
type Tape = Arc<Mutex<Vec<Vec<u8>>>>;

/// Bytes of a file that count as found when they appear in a row.
const WINDOW: usize = 8;

/// Where the recorders stand, and whence they go on: the server sees Bob there, so that Alice dials him there.
const BETWEEN: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);

/// Passes connections on, and writes down what passes.
fn recorder(listen: SocketAddr, to: SocketAddr) -> (SocketAddr, Tape) {
    let listener = TcpListener::bind(listen).expect("a port");
    let addr = listener.local_addr().expect("an address");
    let tape = Tape::default();
    let shared = Arc::clone(&tape);
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let Ok(server) = from_between(to) else { continue };
            let clones = (client.try_clone().expect("a socket"), server.try_clone().expect("a socket"));
            record(client, server, Arc::clone(&shared));
            record(clones.1, clones.0, Arc::clone(&shared));
        }
    });
    (addr, tape)
}

fn from_between(to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::new(IpAddr::V4(BETWEEN), 0).into())?;
    socket.connect(&to.into())?;
    Ok(socket.into())
}

fn record(mut from: TcpStream, mut to: TcpStream, tape: Tape) {
    let track = {
        let mut tracks = tape.lock().expect("nobody panicked");
        tracks.push(Vec::new());
        tracks.len() - 1
    };
    thread::spawn(move || -> io::Result<()> {
        let mut buffer = [0; 16 * 1024];
        loop {
            let len = from.read(&mut buffer)?;
            if len == 0 {
                return to.shutdown(Shutdown::Write);
            }
            tape.lock().expect("nobody panicked")[track].extend_from_slice(&buffer[..len]);
            to.write_all(&buffer[..len])?;
        }
    });
}

fn len(tape: &Tape) -> usize {
    tape.lock().expect("nobody panicked").iter().map(Vec::len).sum()
}

/// Letters that appear nowhere by chance.
fn word(seed: u64) -> String {
    noise(16, seed).into_iter().map(|byte| char::from(b'a' + byte % 26)).collect()
}

/// Everything that is nobody else's business.
struct Secrets {
    alice: String,
    bob: String,
    room: String,
    said: String,
    whispered: String,
    linked: String,
    file: String,
    content: Vec<u8>,
}

impl Secrets {
    fn new() -> Self {
        let [alice, bob, room, said, whispered, linked, file] = [1, 2, 3, 4, 5, 6, 7].map(word);
        Self { alice, bob, room, said, whispered, linked, file, content: noise(200_000, 8) }
    }

    /// Which of them are on a tape.
    fn found(&self, tape: &Tape) -> Vec<&'static str> {
        let words = [
            ("password", PASSWORD),
            ("name of the asking user", &self.alice),
            ("name of the asked user", &self.bob),
            ("room", &self.room),
            ("text in the room", &self.said),
            ("direct message", &self.whispered),
            ("text on the link", &self.linked),
            ("file name", &self.file),
        ];
        let tracks = tape.lock().expect("nobody panicked");
        let has = |needle: &[u8]| {
            tracks.iter().any(|track| track.windows(needle.len()).any(|window| window == needle))
        };
        let mut found =
            words.iter().filter(|(_, word)| has(word.as_bytes())).map(|(what, _)| *what).collect::<Vec<_>>();
        let content = self.content.windows(WINDOW).collect::<HashSet<_>>();
        if tracks.iter().any(|track| track.windows(WINDOW).any(|window| content.contains(window))) {
            found.push("file content");
        }
        found
    }
}

fn leave(mut client: Client) {
    client.type_line("/quit");
    let (status, events) = client.finish();
    assert!(status.success(), "{events:#?}");
}

/// A whole session through recorders: rooms, direct messages, a link with a file and talk. Gives the tape of the connections to
/// the server and that of the link.
fn session(secrets: &Secrets, args: &[&str]) -> (Tape, Tape) {
    let Secrets { alice, bob, room, said, whispered, linked, file, content } = secrets;
    let scratch = Scratch::new();
    let server = Server::start_with(&scratch.path("server"), "127.0.0.1:0", args);
    server.add_users(&[alice, bob]);
    let between = SocketAddr::new(IpAddr::V4(BETWEEN), 0);
    let (through, to_server) = recorder(between, server.addr.parse().expect("an address"));
    let shared = scratch.folder(&format!("{bob}-share"));
    std::fs::write(shared.join(file), content).expect("a file");

    let options = |user: &str| Options::new(user, &server, &scratch).server(through.to_string());
    let mut his = options(bob).arg("--accept").arg("all").start();
    let port = his.expect("ready", |_| true)["peer_port"].as_u64().expect("a port");
    let port = u16::try_from(port).expect("a port");
    // Where the server sees Bob, with the port that he has announced; he himself is next door.
    let (_, on_link) =
        recorder(SocketAddr::new(IpAddr::V4(BETWEEN), port), SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    let mut hers = Client::ready(options(alice));
    for client in [&mut his, &mut hers] {
        client.type_line(&format!("/join {room}"));
        client.expect("joined", |event| event["room"] == room.as_str());
    }
    hers.type_line(said);
    his.expect_message(alice, said);
    hers.type_line(&format!("/msg {bob} {whispered}"));
    his.expect_message(alice, whispered);
    hers.type_line(&format!("/file {bob}"));
    assert_eq!(hers.expect("peer_connected", |_| true)["path"], "direct");
    hers.expect("file_list", |_| true);
    hers.type_line("/get 1");
    hers.expect("transfer", |event| event["state"] == "done");
    assert_eq!(std::fs::read(download(&scratch, alice, file)).expect("the file"), *content);
    hers.type_line(&format!("/peer {bob} {linked}"));
    his.expect("peer_message", |event| event["text"] == linked.as_str());
    // What is asked after it is answered after it was acknowledged.
    hers.type_line("/ls");
    hers.expect("file_list", |_| true);
    leave(hers);
    leave(his);
    if server.fingerprint.is_some() {
        // Back with the ticket, which is as good as a password.
        leave(Client::ready(options(alice).without_password()));
    }
    server.stop();
    (to_server, on_link)
}

#[test]
fn a_recorded_session_shows_nothing_of_what_was_said_and_sent() {
    let secrets = Secrets::new();
    let (to_server, on_link) = session(&secrets, &[]);
    assert!(len(&to_server) > 10_000, "three logins and what was said: {}", len(&to_server));
    assert!(len(&on_link) > secrets.content.len(), "the file: {}", len(&on_link));
    assert_eq!(secrets.found(&to_server), Vec::<&str>::new());
    assert_eq!(secrets.found(&on_link), Vec::<&str>::new());
}

#[test]
fn without_tls_to_the_server_the_same_search_finds_all_but_the_password_and_the_link() {
    let secrets = Secrets::new();
    let (to_server, on_link) = session(&secrets, &["--insecure-plaintext"]);
    let expected =
        ["name of the asking user", "name of the asked user", "room", "text in the room", "direct message"];
    assert_eq!(secrets.found(&to_server), expected);
    assert!(len(&on_link) > secrets.content.len(), "the file: {}", len(&on_link));
    assert_eq!(secrets.found(&on_link), Vec::<&str>::new());
}
