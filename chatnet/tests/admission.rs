//! Callers who come too often, or say nothing, are closed unanswered, and others are served.

#![allow(clippy::expect_used, clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::wildcard_enum_match_arm, reason = "a program looks at the events that it cares about")]

use std::{
    io::Read as _,
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use chatnet::{AcceptPause, Identity, Net, NetConfig, NetEvent, Security, ServerTls, TurnedAway};

const PATIENCE: Duration = Duration::from_secs(30);
const NEVER: Duration = Duration::from_secs(3600);

fn frugal() -> NetConfig {
    NetConfig {
        accepts_per_address: 2,
        accept_refill_per_address: NEVER,
        max_handshakes_per_address: 1,
        handshake_timeout: NEVER,
        ..NetConfig::default()
    }
}

/// Turns the loop until the condition holds; counts those who were accepted.
fn until(net: &mut Net, accepted: &mut Vec<SocketAddr>, mut done: impl FnMut(&Net, &[SocketAddr]) -> bool) {
    let deadline = Instant::now() + PATIENCE;
    let mut events = Vec::new();
    while !done(net, accepted) {
        assert!(Instant::now() < deadline, "nothing happens any more");
        net.turn(Some(deadline), &mut events).unwrap();
        for event in events.drain(..) {
            match event {
                NetEvent::Accepted { peer, .. } => accepted.push(peer),
                NetEvent::AcceptPaused { cause: AcceptPause::System(error), .. } => panic!("{error}"),
                _ => {}
            }
        }
    }
}

/// A caller on loopback from an address of its own.
fn call(from: [u8; 4], to: SocketAddr) -> TcpStream {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((from, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn who_calls_too_often_is_closed_unanswered() {
    for io_threads in [0, 2] {
        let mut net = Net::new(NetConfig { io_threads, ..frugal() }).unwrap();
        let (_, addr) = net.listen("127.0.0.1:0".parse().unwrap(), Security::Plain).unwrap();
        let mut accepted = Vec::new();
        let mut callers: Vec<_> = (0..5).map(|_| call([127, 0, 0, 1], addr)).collect();
        until(&mut net, &mut accepted, |net, _| net.turned_away().too_often == 3);
        assert_eq!(accepted.len(), 2);
        for caller in callers.iter_mut().skip(2) {
            assert_eq!(caller.read(&mut [0]).unwrap(), 0, "closed, and nothing said");
        }
        let _neighbour = call([127, 0, 0, 2], addr);
        until(&mut net, &mut accepted, |_, accepted| accepted.len() == 3);
        assert_eq!(net.turned_away(), TurnedAway { too_often: 3, ..TurnedAway::default() });
    }
}

#[test]
fn a_silent_handshake_keeps_out_its_own_address_only_and_only_while_it_lasts() {
    for io_threads in [0, 2] {
        let config = NetConfig { io_threads, accepts_per_address: 100, ..frugal() };
        let mut net = Net::new(config).unwrap();
        let tls = ServerTls::new(&Identity::generate(["localhost"]).unwrap()).unwrap();
        let (_, addr) = net.listen("127.0.0.1:0".parse().unwrap(), Security::TlsServer(tls)).unwrap();
        let mut accepted = Vec::new();
        let silent = call([127, 0, 0, 1], addr);
        until(&mut net, &mut accepted, |_, accepted| accepted.len() == 1);
        let mut second = call([127, 0, 0, 1], addr);
        until(&mut net, &mut accepted, |net, _| net.turned_away().half_open == 1);
        assert_eq!(second.read(&mut [0]).unwrap(), 0, "closed, and nothing said");
        let _neighbour = call([127, 0, 0, 2], addr);
        until(&mut net, &mut accepted, |_, accepted| accepted.len() == 2);
        drop(silent);
        let mut gone = false;
        let mut events = Vec::new();
        while !gone {
            net.turn(Some(Instant::now() + PATIENCE), &mut events).unwrap();
            assert!(!events.is_empty(), "its end is told");
            gone = events.drain(..).any(|event| matches!(event, NetEvent::Closed { .. }));
        }
        let _third = call([127, 0, 0, 1], addr);
        until(&mut net, &mut accepted, |_, accepted| accepted.len() == 3);
    }
}
