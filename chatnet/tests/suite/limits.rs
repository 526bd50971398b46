//! The bounds of a loop hold, and what they keep out comes in when there is room again.

use std::{
    fs::File,
    io::{ErrorKind, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::Command,
    time::{Duration, Instant},
};

use super::common::{PATIENCE, Rig, tls};
use chatnet::{AcceptPause, ConnToken, ConnectOptions, NetConfig, NetEvent, Security};

#[test]
fn connections_beyond_the_limit_wait_for_room() {
    let mut rig = Rig::new(NetConfig { max_connections: 2, ..NetConfig::default() });
    let addr = rig.listen(Security::Plain);
    let callers = connect(addr, 3);
    rig.run_until("two are in, and the listener pauses", |rig| {
        rig.accepted.len() == 2 && !rig.other.is_empty()
    });
    assert!(
        matches!(&rig.other[..], [NetEvent::AcceptPaused { cause: AcceptPause::TooManyConnections, .. }]),
        "told once: {:?}",
        rig.other
    );
    rig.assert_at_rest();
    let options = ConnectOptions { security: Security::Plain, timeout: PATIENCE };
    assert_eq!(rig.net.connect(addr, options).unwrap_err().kind(), ErrorKind::QuotaExceeded);

    rig.net.abort(rig.accepted[0]);
    rig.run_until("the third is in", |rig| rig.accepted.len() == 3);
    let peers: Vec<_> = rig.accepted.iter().map(|token| rig.end(*token).peer.unwrap()).collect();
    let expected: Vec<_> = callers.iter().map(|caller| caller.local_addr().unwrap()).collect();
    assert_eq!(peers, expected, "in the order in which they came");
}

#[test]
fn silent_handshakes_keep_others_out_only_until_they_time_out() {
    let config = NetConfig {
        max_handshakes: 2,
        handshake_timeout: Duration::from_millis(100),
        ..NetConfig::default()
    };
    let mut rig = Rig::new(config);
    let (server, client) = tls();
    let addr = rig.listen(server);
    let _silent = connect(addr, 2);
    rig.run_until("both are in", |rig| rig.accepted.len() == 2);
    // From a loop of its own, which has handshakes of its own to count.
    let mut other = Rig::new(NetConfig::default());
    let token = other.dial(addr, client);
    until_connected(&mut other, token, &mut rig);
    assert_eq!(rig.accepted.len(), 3);
    let is_full = |event: &NetEvent| {
        matches!(event, NetEvent::AcceptPaused { cause: AcceptPause::TooManyHandshakes, .. })
    };
    // Once, although it was full again as soon as one of them had run out of time.
    assert!(rig.other.len() == 1 && rig.other.iter().all(is_full), "{:?}", rig.other);
}

#[test]
fn the_oldest_silent_handshake_gives_way_to_the_next_caller() {
    let config = NetConfig {
        max_handshakes: 2,
        handshake_grace: Duration::from_millis(100),
        // Nobody waits for that.
        handshake_timeout: Duration::from_secs(3600),
        ..NetConfig::default()
    };
    let mut rig = Rig::new(config);
    let (server, client) = tls();
    let addr = rig.listen(server);
    let _silent = connect(addr, 2);
    rig.run_until("both are in", |rig| rig.accepted.len() == 2);
    let mut other = Rig::new(NetConfig::default());
    let token = other.dial(addr, client);
    until_connected(&mut other, token, &mut rig);
    let gone = rig.accepted.iter().filter(|token| rig.closed(**token)).count();
    assert_eq!(gone, 1, "one gave way, and the other had no need to");
}

/// Lets two loops run until the one has its connection to the other.
fn until_connected(rig: &mut Rig, token: ConnToken, other: &mut Rig) {
    let deadline = Instant::now() + PATIENCE;
    while !rig.end(token).connected {
        assert!(Instant::now() < deadline && !rig.closed(token), "{:?}", rig.end(token));
        other.turn(Instant::now() + Duration::from_millis(5));
        rig.turn(Instant::now() + Duration::from_millis(5));
    }
}

#[test]
fn one_turn_accepts_no_more_than_its_share() {
    let mut rig = Rig::new(NetConfig { max_accepts_per_turn: 3, ..NetConfig::default() });
    let addr = rig.listen(Security::Plain);
    let _callers = connect(addr, 10);
    let mut before = 0;
    rig.run_until("all are in", |rig| {
        assert!(rig.accepted.len() <= before + 3);
        before = rig.accepted.len();
        before == 10
    });
}

#[test]
fn handshakes_are_spread_over_turns_and_all_complete() {
    let mut rig = Rig::new(NetConfig { max_handshake_steps_per_turn: 1, ..NetConfig::default() });
    let (server, client) = tls();
    let addr = rig.listen(server);
    let tokens: Vec<_> = (0..10).map(|_| rig.dial(addr, client.clone())).collect();
    rig.run_until("all are connected", |rig| {
        tokens.iter().all(|token| rig.end(*token).connected)
            && rig.accepted.len() == 10
            && rig.accepted.iter().all(|token| rig.end(*token).connected)
    });
}

#[test]
fn refused_port_is_told() {
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut rig = Rig::new(NetConfig::default());
    let token = rig.dial(nobody, Security::Plain);
    rig.run_until("it is refused", |rig| rig.closed(token));
    assert!(rig.reason(token).starts_with("cannot connect: "), "{}", rig.reason(token));
    assert_eq!(rig.net.connections(), 0);
}

#[test]
fn connection_that_nobody_answers_runs_out_of_time() {
    // A handshake that never begins: the backlog takes the connection, and nobody reads.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut rig = Rig::new(NetConfig::default());
    let options = ConnectOptions { security: tls().1, timeout: Duration::from_millis(50) };
    let token = rig.net.connect(server.local_addr().unwrap(), options).unwrap();
    rig.ends.insert(token, super::common::End::default());
    rig.run_until("it is over", |rig| rig.closed(token));
    assert_eq!(rig.reason(token), "the TLS handshake did not finish in time");
}

#[test]
fn port_in_use_is_an_error_and_a_closed_listener_refuses() {
    let mut rig = Rig::new(NetConfig::default());
    let (id, addr) = rig.net.listen("127.0.0.1:0".parse().unwrap(), Security::Plain).unwrap();
    assert_eq!(rig.net.listen(addr, Security::Plain).unwrap_err().kind(), ErrorKind::AddrInUse);
    rig.net.close_listener(id);
    assert_eq!(TcpStream::connect(addr).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    rig.net.listen(addr, Security::Plain).unwrap();
}

#[test]
fn caller_from_ipv4_is_seen_as_one_at_a_dual_stack_listener() {
    let mut rig = Rig::new(NetConfig::default());
    // Machines without IPv6 have no such listener, and nothing to get wrong.
    let Ok((_, addr)) = rig.net.listen("[::]:0".parse().unwrap(), Security::Plain) else { return };
    let Ok(caller) = TcpStream::connect(("127.0.0.1", addr.port())) else { return };
    rig.run_until("it is in", |rig| rig.accepted.len() == 1);
    assert_eq!(rig.end(rig.accepted[0]).peer.unwrap(), caller.local_addr().unwrap());
}

#[test]
fn caller_that_is_gone_before_it_is_accepted_harms_nobody() {
    let mut rig = Rig::new(NetConfig::default());
    let addr = rig.listen(Security::Plain);
    for mut caller in connect(addr, 5) {
        caller.write_all(b"gone").unwrap();
    }
    let mut last = TcpStream::connect(addr).unwrap();
    last.write_all(b"here").unwrap();
    rig.run_until("all are seen", |rig| {
        rig.accepted.len() == 6
            && rig.accepted.iter().take(5).all(|token| rig.end(*token).eof)
            && rig.end(rig.accepted[5]).received == b"here"
    });
}

/// Plays in a process of its own, whose limit of descriptors harms nobody else.
#[test]
fn lack_of_descriptors_pauses_the_listener_until_there_are_some() {
    const INSIDE: &str = "CHATNET_TEST_FEW_DESCRIPTORS";
    if std::env::var_os(INSIDE).is_none() {
        let name = concat!(module_path!(), "::lack_of_descriptors_pauses_the_listener_until_there_are_some");
        let (_, name) = name.split_once("::").unwrap();
        let status = Command::new("sh")
            .args(["-c", &format!("ulimit -n 64 && exec \"$0\" --exact {name} --nocapture")])
            .arg(std::env::current_exe().unwrap())
            .env(INSIDE, "1")
            .status();
        assert!(status.unwrap().success());
        return;
    }
    let mut rig = Rig::new(NetConfig { accept_retry: Duration::from_millis(20), ..NetConfig::default() });
    let addr = rig.listen(Security::Plain);
    let callers = connect(addr, 10);
    let hoard: Vec<_> = std::iter::from_fn(|| File::open("/dev/null").ok()).collect();
    let refusals = |rig: &Rig| {
        let refused =
            |event: &&NetEvent| matches!(event, NetEvent::AcceptPaused { cause: AcceptPause::System(_), .. });
        rig.other.iter().filter(refused).count()
    };
    rig.run_until("it is refused, and again after a pause", |rig| refusals(rig) == 2);
    assert!(rig.accepted.is_empty() && !hoard.is_empty());
    drop(hoard);
    rig.run_until("all are in", |rig| rig.accepted.len() == callers.len());
}

fn connect(addr: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(addr).unwrap()).collect()
}
