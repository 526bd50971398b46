//! The suite with sockets and TLS on I/O threads, and what is only there.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

mod suite;

use std::{io::Read as _, net::TcpStream, thread};

use bytes::Buf as _;
use chatnet::{ConnToken, Net, NetConfig, Security, Write};
use suite::common::{Dice, PATIENCE, Rig};

const IO_THREADS: usize = 2;

/// A loop with one connection, and its other end.
fn one_connection() -> (Rig, ConnToken, TcpStream) {
    let mut rig = Rig::new(NetConfig::default());
    let addr = rig.listen(Security::Plain);
    let peer = TcpStream::connect(addr).unwrap();
    peer.set_read_timeout(Some(PATIENCE)).unwrap();
    rig.run_until("it is in", |rig| rig.accepted.len() == 1);
    let token = rig.accepted[0];
    (rig, token, peer)
}

#[test]
fn what_was_written_is_sent_although_the_loop_is_gone() {
    let (mut rig, token, mut peer) = one_connection();
    let bytes = Dice(71).bytes(50_000);
    assert_eq!(rig.net.write(token, &mut bytes.clone()), Write::Done);
    drop(rig);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    assert!(received == bytes);
}

#[test]
fn bytes_in_transit_are_bounded_and_told() {
    let (mut rig, token, mut peer) = one_connection();
    let bound = NetConfig::default().max_in_transit;
    let bytes = Dice(72).bytes(1_000_000);
    let mut left = bytes.clone();
    // Nothing is handed over before the next turn.
    assert_eq!(rig.net.write(token, &mut left), Write::Blocked);
    assert_eq!((rig.net.in_transit(token), left.len()), (bound, bytes.len() - bound));
    rig.end_mut(token).unsent.push(left);
    let reader = thread::spawn(move || {
        let mut received = vec![0; 1_000_000];
        peer.read_exact(&mut received).unwrap();
        (received, peer)
    });
    rig.run_until("all is handed over", |rig| !rig.end(token).unsent.has_remaining());
    rig.run_until("all is sent", |rig| rig.net.in_transit(token) == 0);
    assert!(reader.join().unwrap().0 == bytes);
}

#[test]
fn connections_are_spread_over_the_threads() {
    let mut rig = Rig::new(NetConfig::default());
    let addr = rig.listen(Security::Plain);
    let peers: Vec<_> = (0..10).map(|_| TcpStream::connect(addr).unwrap()).collect();
    rig.run_until("all are in", |rig| rig.accepted.len() == peers.len());
    let spread = |rig: &Rig| rig.net.io_threads().map(|stats| stats.connections).collect::<Vec<_>>();
    assert_eq!(spread(&rig), [5, 5]);
    // Every second one is of the same thread, which then gets the next ones.
    for token in rig.accepted.clone().iter().step_by(2) {
        rig.net.abort(*token);
    }
    rig.run_until("they are gone", |rig| rig.net.connections() == 5);
    let more: Vec<_> = (0..5).map(|_| TcpStream::connect(addr).unwrap()).collect();
    rig.run_until("more are in", |rig| rig.accepted.len() == peers.len() + more.len());
    assert_eq!(spread(&rig), [5, 5]);
    rig.run_until("each thread has had a turn", |rig| rig.net.io_threads().all(|stats| stats.turns > 0));
}

#[test]
fn one_thread_is_the_loops_own() {
    let net = Net::new(NetConfig { io_threads: 1, ..NetConfig::default() }).unwrap();
    assert_eq!(net.io_threads().count(), 0);
}
