//! The virtual network keeps the rules of a socket: order, back-pressure, half-close, refusal, cuts.
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use core::time::Duration;
use std::net::{IpAddr, SocketAddr};

use bytes::{Buf as _, Bytes};
use chatproto::Instant;
use chatproto::testing::{Conditions, Dialled, Network, StreamId};

const FROM: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 1));

/// Later than anything takes.
const LATER: Duration = Duration::from_secs(1);

fn server() -> SocketAddr {
    "192.0.2.1:4000".parse().unwrap()
}

fn connected(seed: u64, conditions: Conditions) -> (Network, StreamId, StreamId, Instant) {
    let mut network = Network::new(seed, conditions);
    network.listen(server());
    let start = Instant::default();
    let near = network.dial(FROM, server(), start);
    let now = start + LATER;
    assert_eq!(network.poll_dialled(near, now), Some(Dialled::Connected));
    let (far, from) = network.poll_accepted(server(), now).unwrap();
    assert_eq!(from.ip(), FROM);
    (network, near, far, now)
}

/// Reads all that comes, as time passes.
fn read_all(network: &mut Network, stream: StreamId, now: &mut Instant) -> Vec<u8> {
    let (mut all, mut piece) = (Vec::new(), Vec::new());
    *now = *now + LATER;
    while network.read(stream, &mut piece, *now) > 0 {
        all.extend_from_slice(&piece);
    }
    all
}

#[test]
fn bytes_arrive_whole_and_in_order_however_they_are_cut() {
    for seed in 0..50 {
        let conditions = Conditions { max_piece: 7, window: 100, ..Conditions::default() };
        let (mut network, near, far, mut now) = connected(seed, conditions);
        let sent: Vec<u8> = (0..=255).cycle().take(1000).collect();
        let mut queue = Bytes::from(sent.clone());
        let mut received = Vec::new();
        while received.len() < sent.len() {
            while network.write(near, &mut queue, now) > 0 {}
            received.extend(read_all(&mut network, far, &mut now));
        }
        assert_eq!(received, sent);
    }
}

#[test]
fn nothing_arrives_before_its_time_and_the_network_says_when() {
    let conditions = Conditions { min_delay: Duration::from_millis(30), ..Conditions::default() };
    let (mut network, near, far, now) = connected(1, conditions);
    assert!(network.write(near, &mut Bytes::from_static(b"x"), now) > 0);
    let due = network.poll_timeout(now).unwrap();
    assert!(due >= now + Duration::from_millis(30));
    let mut piece = Vec::new();
    assert_eq!(network.read(far, &mut piece, Instant::from_millis(due.as_millis() - 1)), 0);
    assert_eq!(network.read(far, &mut piece, due), 1);
    assert_eq!(network.poll_timeout(due), None);
}

#[test]
fn a_full_window_takes_nothing_until_somebody_reads() {
    let (mut network, near, far, mut now) = connected(1, Conditions { window: 64, ..Conditions::default() });
    let mut queue = Bytes::from(vec![1; 1000]);
    while network.write(near, &mut queue, now) > 0 {}
    assert_eq!(queue.remaining(), 1000 - 64);
    assert!(!network.is_writable(near));
    assert_eq!(read_all(&mut network, far, &mut now).len(), 64);
    assert!(network.is_writable(near));
}

#[test]
fn half_close_ends_one_direction_after_all_has_arrived() {
    let (mut network, near, far, mut now) = connected(1, Conditions::default());
    network.write(near, &mut Bytes::from_static(b"last"), now);
    network.shut(near);
    assert!(!network.is_at_end(far));
    assert_eq!(network.write(near, &mut Bytes::from_static(b"more"), now), 0);
    assert!(!read_all(&mut network, far, &mut now).is_empty());
    assert!(network.is_at_end(far));
    assert!(network.write(far, &mut Bytes::from_static(b"answer"), now) > 0);
    assert!(!network.is_at_end(near));
    network.close(near);
    assert!(network.is_reset(far));
}

#[test]
fn nobody_listening_refuses() {
    let mut network = Network::new(1, Conditions::default());
    let stream = network.dial(FROM, server(), Instant::default());
    assert_eq!(network.poll_dialled(stream, Instant::default()), None, "it takes its time");
    assert_eq!(network.poll_dialled(stream, Instant::default() + LATER), Some(Dialled::Refused));
}

#[test]
fn a_cut_takes_effect_at_its_byte_and_loses_the_rest() {
    for at in 0..20 {
        let (mut network, near, far, mut now) = connected(at, Conditions::default());
        let bytes = usize::try_from(at).unwrap();
        let mut queue = Bytes::from(vec![7; 20]);
        while network.write(near, &mut queue, now) > 0 {}
        network.cut_after(far, bytes);
        assert_eq!(read_all(&mut network, far, &mut now).len(), bytes);
        assert!(network.is_at_end(far) && network.is_at_end(near));
    }
}

#[test]
fn a_slow_end_reads_nothing_until_it_is_quick_again() {
    let (mut network, near, far, mut now) = connected(1, Conditions::default());
    network.write(near, &mut Bytes::from_static(b"wait"), now);
    network.set_slow(far, true);
    assert_eq!(read_all(&mut network, far, &mut now), b"");
    assert_eq!(network.poll_timeout(Instant::default()), None);
    network.set_slow(far, false);
    assert!(!read_all(&mut network, far, &mut now).is_empty());
}
