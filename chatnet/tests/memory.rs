//! The memory contract of a loop: whatever callers do before a program knows anything of them, and whatever members do who do
//! not read, they cost no more than [`NetConfig::worst_case_strangers`] and [`NetConfig::worst_case_connections`] say. Each
//! test attacks, and counts what was allocated meanwhile, at its highest. Counted is this thread, which has the loop; what
//! the library's own C code holds is not.

#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "a test stops at the first surprise"
)]

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes};
use chatnet::{
    ClientTls, ConnToken, ConnectOptions, Identity, Net, NetConfig, NetEvent, Security, ServerTls, Write,
};
use socket2::{Domain, Socket, Type};

const PATIENCE: Duration = Duration::from_secs(60);

/// A turn that waits for so long has nothing to do.
const REST: Duration = Duration::from_millis(20);

/// Callers of one attack: half of them from each of two addresses, so that neither has more than it may.
const CALLERS: usize = 256;

/// So many call at once: fewer than a listener's backlog holds.
const BATCH: usize = 64;

/// Runs an attack and holds its highest memory against the bound.
fn costs_at_most(what: &str, bound: usize, attack: impl FnOnce()) {
    let most = allocation_counter::measure(attack).bytes_max;
    eprintln!("{what}: {most} bytes of {bound}");
    assert!(most <= bound as u64, "{what}: {most} bytes, the bound is {bound}");
}

fn listener(net: &mut Net, security: Security) -> SocketAddr {
    net.listen("127.0.0.1:0".parse().expect("an address"), security).expect("a port").1
}

fn identity() -> Identity {
    Identity::generate(["localhost"]).expect("a key")
}

/// A caller on loopback from an address of its own.
fn call(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((from, 0)).into()).expect("all of 127/8 is ours");
    socket.connect(&to.into()).expect("the loop listens");
    TcpStream::from(socket)
}

/// Those who call, let in as they come, and all that they could say before more was read.
fn callers(net: &mut Net, to: SocketAddr, script: &[u8]) -> (Vec<TcpStream>, Vec<ConnToken>) {
    let (mut streams, mut accepted) = (Vec::new(), Vec::new());
    for number in 0..CALLERS {
        streams.push(caller(number, to, script));
        if number % BATCH == BATCH - 1 {
            accepted.extend(rest(net));
        }
    }
    (streams, accepted)
}

/// One who calls and says what the system takes.
fn caller(number: usize, to: SocketAddr, script: &[u8]) -> TcpStream {
    let mut stream = call(Ipv4Addr::new(127, 0, 1, u8::from(number.is_multiple_of(2))), to);
    stream.set_nonblocking(true).expect("an option");
    let mut left = script;
    while !left.is_empty() {
        match stream.write(left) {
            Ok(sent) => left = &left[sent..],
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) => panic!("{error}"),
        }
    }
    stream
}

/// Turns the loop until it has nothing to do; those who were accepted, and are there still.
fn rest(net: &mut Net) -> Vec<ConnToken> {
    let (mut accepted, mut events) = (Vec::new(), Vec::new());
    let deadline = Instant::now() + PATIENCE;
    loop {
        let before = Instant::now();
        assert!(before < deadline, "the loop never rests");
        net.turn(Some(before + REST), &mut events).expect("it turns");
        if events.is_empty() && before.elapsed() >= REST {
            return accepted;
        }
        for event in events.drain(..) {
            match event {
                NetEvent::Accepted { token, .. } => accepted.push(token),
                NetEvent::Closed { token, .. } => accepted.retain(|other| *other != token),
                // Whoever is here has not read it, and is not asked for more.
                NetEvent::Readable { token } => net.pause_read(token),
                _ => {}
            }
        }
    }
}

/// A handshake message that claims nearly the most that is taken, in records as large as they may be, all but its last byte.
fn endless_hello() -> Vec<u8> {
    const CLAIM: usize = 0xff00;
    let mut message = vec![1, 0, 0xff, 0];
    message.resize(4 + CLAIM - 1, 0);
    records(&message, 16 * 1024)
}

/// TLS records of a handshake.
fn records(message: &[u8], most: usize) -> Vec<u8> {
    let record = |part: &[u8]| {
        let len = u16::try_from(part.len()).expect("a record").to_be_bytes();
        [&[22, 3, 1, len[0], len[1]], part].concat()
    };
    message.chunks(most).flat_map(record).collect()
}

/// What a good client says first, as it was seen on the wire.
fn good_hello() -> Vec<u8> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let mut net = Net::new(NetConfig::default()).expect("a loop");
    let security = Security::TlsClient(ClientTls::trust_first().expect("a client"));
    let addr = listener.local_addr().expect("an address");
    net.connect(addr, ConnectOptions { security, timeout: PATIENCE }).expect("a socket");
    let (mut stream, _) = listener.accept().expect("a caller");
    rest(&mut net);
    stream.set_nonblocking(true).expect("an option");
    let mut hello = vec![0; 16 * 1024];
    let len = stream.read(&mut hello).expect("a hello");
    hello.truncate(len);
    hello
}

#[test]
fn handshakes_that_do_not_end_cost_what_the_formula_says() {
    let hello = good_hello();
    let scripts: [(&str, Vec<u8>); 7] = [
        ("nothing", Vec::new()),
        ("one byte", vec![22]),
        ("half a record of the greatest size", [&[22, 3, 1, 0x40, 0], &[1; 8192][..]].concat()),
        ("a hello without an end", endless_hello()),
        ("the same, byte by byte", records(&endless_hello()[5..9_000], 1)),
        ("all but the last byte of a good hello", hello[..hello.len() - 1].to_vec()),
        ("a good hello, and no more", hello),
    ];
    for (what, script) in scripts {
        let config = NetConfig::default();
        let bound = config.worst_case_strangers();
        let mut net = Net::new(config).expect("a loop");
        let addr = listener(&mut net, Security::TlsServer(ServerTls::new(&identity()).expect("TLS")));
        let mut known = 0;
        costs_at_most(what, bound, || {
            let (_streams, accepted) = callers(&mut net, addr, &script);
            known = accepted.len();
        });
        // Whoever says nothing wrong is let in, and stays.
        eprintln!("{known} of {CALLERS} stay");
        assert!(known == CALLERS || what.contains("byte by byte"), "{what}: only {known} stay");
    }
}

/// The same on a port that takes plain connections, which are told by their first byte.
#[test]
fn plain_strangers_cost_what_the_formula_says() {
    let config = NetConfig::default();
    let bound = config.worst_case_strangers() + config.worst_case_connections(CALLERS);
    let mut net = Net::new(config).expect("a loop");
    let tls = ServerTls::new(&identity()).expect("TLS");
    let addr = listener(&mut net, Security::TlsOrPlain(tls));
    let mut known = 0;
    costs_at_most("plain", bound, || known = callers(&mut net, addr, &[0; 64 * 1024]).1.len());
    assert_eq!(known, CALLERS);
}

/// Every address that calls leaves a line in the tables, and there is an end to that.
#[test]
fn callers_from_everywhere_cost_what_the_formula_says() {
    const ADDRESSES: u32 = 17_024;
    let config = NetConfig { accepts: 100_000, max_handshakes: 1, ..NetConfig::default() };
    let bound = config.worst_case_strangers();
    let mut net = Net::new(config).expect("a loop");
    let addr = listener(&mut net, Security::Plain);
    costs_at_most("addresses", bound, || {
        let mut events = Vec::new();
        let first = u32::from(Ipv4Addr::new(127, 1, 0, 0));
        for from in (first..first + ADDRESSES).step_by(BATCH) {
            let batch = (from..from + BATCH as u32).map(|from| call(Ipv4Addr::from(from), addr));
            let batch: Vec<_> = batch.collect();
            let mut known = Vec::new();
            let deadline = Instant::now() + PATIENCE;
            while known.len() < batch.len() {
                assert!(Instant::now() < deadline, "only {} of a batch are let in", known.len());
                net.turn(Some(deadline), &mut events).expect("it turns");
                known.extend(events.drain(..).filter_map(|event| match event {
                    NetEvent::Accepted { token, .. } => Some(token),
                    _ => None,
                }));
            }
            known.into_iter().for_each(|token| net.abort(token));
        }
    });
}

/// Members with TLS who do not read what they are sent, and of whom the program does not read what they send.
#[test]
fn connections_that_do_not_read_cost_what_the_formula_says() {
    const MEMBERS: usize = 64;
    let config = NetConfig { max_handshakes: MEMBERS, ..NetConfig::default() };
    let bound = config.worst_case_strangers() + config.worst_case_connections(MEMBERS);
    let mut net = Net::new(config).expect("a loop");
    let identity = identity();
    let addr = listener(&mut net, Security::TlsServer(ServerTls::new(&identity).expect("TLS")));
    let tls = ClientTls::pinned(identity.fingerprint()).expect("a client");
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    // The members have a loop and a thread of their own, which is not counted.
    let members = std::thread::spawn(move || {
        let mut net = Net::new(NetConfig::default()).expect("a loop");
        let options = ConnectOptions { security: Security::TlsClient(tls), timeout: PATIENCE };
        let mut unsent: Vec<_> = (0..MEMBERS)
            .map(|_| {
                (net.connect(addr, options.clone()).expect("a socket"), Bytes::from(vec![7; 256 * 1024]))
            })
            .collect();
        let mut events = Vec::new();
        while stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Empty) {
            net.turn(Some(Instant::now() + REST), &mut events).expect("it turns");
            for event in events.drain(..) {
                match event {
                    NetEvent::Readable { token } => net.pause_read(token),
                    NetEvent::Connected { token, .. } | NetEvent::Writable { token } => {
                        let mine = unsent.iter_mut().find(|(other, _)| *other == token);
                        let (_, bytes) = mine.expect("a member");
                        net.write(token, bytes);
                    }
                    _ => {}
                }
            }
        }
    });
    let news = Bytes::from(vec![9; 1024 * 1024]);
    costs_at_most("members", bound, || {
        let (mut queues, mut events) = (Vec::new(), Vec::new());
        let deadline = Instant::now() + PATIENCE;
        let mut blocked = 0;
        while blocked < MEMBERS {
            net.turn(Some(deadline), &mut events).expect("it turns");
            assert!(Instant::now() < deadline, "only {blocked} are full");
            for event in events.drain(..) {
                match event {
                    NetEvent::Connected { token, .. } => queues.push((token, news.clone())),
                    NetEvent::Readable { token } => net.pause_read(token),
                    _ => {}
                }
            }
            blocked = 0;
            for (token, queue) in &mut queues {
                // A socket may take some megabytes; there is always more.
                while net.write(*token, queue) != Write::Blocked {
                    *queue = news.clone();
                }
                blocked += usize::from(queue.has_remaining());
            }
        }
    });
    stop.send(()).expect("they listen");
    members.join().expect("they end");
}
