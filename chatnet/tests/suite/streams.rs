//! Bytes arrive whole and in order, both ways, whatever their pieces; ends are told apart; nobody starves.

use std::{
    net::TcpStream,
    time::{Duration, Instant},
};

use super::common::{Dice, PATIENCE, Queue, Rig, plain, tls, write_all};
use bytes::Bytes;
use chatnet::{CloseReason, NetConfig, Read, Security, Write};

const BIG: usize = 8 * 1024 * 1024;

fn echo_is_identical((server, client): (Security, Security), seed: u64) {
    let mut rig = Rig::new(NetConfig::default());
    rig.echo = true;
    let (client, server) = rig.pair(server, client);
    let mut dice = Dice(seed);
    let sent = dice.bytes(BIG);
    let queue = dice.split(sent.clone(), 100_000);
    let end = rig.end_mut(client);
    end.unsent = queue;
    end.finish = true;
    rig.run_until("both ends are closed", |rig| rig.closed(client) && rig.closed(server));
    assert!(rig.end(client).received == sent, "what came back differs");
    for end in [client, server] {
        assert!(matches!(rig.end(end).closed, Some(CloseReason::Finished)), "{}", rig.reason(end));
    }
    assert_eq!(rig.net.connections(), 0);
}

#[test]
fn plain_echo_is_identical() {
    echo_is_identical(plain(), 11);
}

#[test]
fn tls_echo_is_identical() {
    echo_is_identical(tls(), 12);
}

fn both_ways_at_once_are_identical((server, client): (Security, Security), seed: u64) {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(server, client);
    let mut dice = Dice(seed);
    let (up, down) = (dice.bytes(BIG), dice.bytes(BIG));
    // Tiny pieces one way: more of them than fit one vectored write.
    rig.end_mut(client).unsent = dice.split(up.clone(), 3_000);
    rig.end_mut(server).unsent = dice.split(down.clone(), 200_000);
    rig.run_until("all has arrived", |rig| {
        rig.end(server).received.len() == up.len() && rig.end(client).received.len() == down.len()
    });
    assert!(rig.end(server).received == up && rig.end(client).received == down);
    rig.run_until("nothing is under way", |rig| !rig.net.has_unsent(client) && !rig.net.has_unsent(server));
    rig.assert_at_rest();
}

#[test]
fn plain_both_ways_at_once_are_identical() {
    both_ways_at_once_are_identical(plain(), 21);
}

#[test]
fn tls_both_ways_at_once_are_identical() {
    both_ways_at_once_are_identical(tls(), 22);
}

fn who_does_not_read_slows_the_sender((server, client): (Security, Security)) {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(server, client);
    rig.net.pause_read(server);
    rig.paused.insert(server);
    let sent = Dice(31).bytes(4 * BIG);
    rig.end_mut(client).unsent.push(sent.clone());
    // The loop must come to rest, with bytes unsent, although the receiver's socket is full of them.
    let mut still = 0;
    let mut left = usize::MAX;
    let deadline = Instant::now() + PATIENCE;
    while still < 3 {
        rig.turn(Instant::now() + Duration::from_millis(20));
        let now_left = bytes::Buf::remaining(&rig.end(client).unsent);
        still = if now_left == left { still + 1 } else { 0 };
        left = now_left;
        assert!(Instant::now() < deadline);
    }
    rig.assert_at_rest();
    assert!(left > 0, "the sockets' buffers hold everything; the test needs more bytes");
    assert!(rig.end(server).received.is_empty());
    let mut rest = Bytes::from_static(b"more");
    assert_eq!(rig.net.write(client, &mut rest), Write::Blocked);
    assert_eq!(rest, "more");

    rig.paused.remove(&server);
    rig.net.resume_read(server);
    rig.run_until("all has arrived", |rig| rig.end(server).received.len() == sent.len());
    assert!(rig.end(server).received == sent);
}

#[test]
fn plain_receiver_that_does_not_read_slows_the_sender() {
    who_does_not_read_slows_the_sender(plain());
}

#[test]
fn tls_receiver_that_does_not_read_slows_the_sender() {
    who_does_not_read_slows_the_sender(tls());
}

fn half_closed_still_receives((server, client): (Security, Security)) {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(server, client);
    write_all(&mut rig, client, b"question");
    rig.net.shutdown_write(client);
    rig.run_until("the end is seen", |rig| rig.end(server).eof);
    assert_eq!(rig.end(server).received, b"question");
    assert_eq!(rig.net.read(server), Read::Eof, "an end stays an end");
    assert_eq!(rig.net.write(client, &mut &b"no"[..]), Write::Closed);
    assert!(!rig.closed(client) && !rig.closed(server));
    rig.assert_at_rest();

    let answer = Dice(41).bytes(300_000);
    rig.end_mut(server).unsent.push(answer.clone());
    rig.end_mut(server).finish = true;
    rig.run_until("both are closed", |rig| rig.closed(client) && rig.closed(server));
    assert!(rig.end(client).received == answer);
    assert_eq!(rig.reason(client), "both sides finished");
    assert_eq!(rig.reason(server), "both sides finished");
}

#[test]
fn plain_half_closed_still_receives() {
    half_closed_still_receives(plain());
}

#[test]
fn tls_half_closed_still_receives() {
    half_closed_still_receives(tls());
}

fn half_closed_receives_after_a_pause((server, client): (Security, Security)) {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(server, client);
    rig.net.shutdown_write(client);
    rig.run_until("the end is seen", |rig| rig.end(server).eof);
    rig.net.pause_read(client);
    rig.paused.insert(client);
    // With the end of the second direction the socket has hung up, although there is something to read.
    let answer = Dice(42).bytes(300_000);
    rig.end_mut(server).unsent.push(answer.clone());
    rig.end_mut(server).finish = true;
    rig.run_until("all is sent", |rig| rig.closed(server));
    rig.turn(Instant::now());
    assert!(!rig.closed(client), "{}", rig.reason(client));
    rig.net.resume_read(client);
    rig.paused.remove(&client);
    rig.run_until("the other one is closed", |rig| rig.closed(client));
    assert!(rig.end(client).received == answer);
    assert_eq!(rig.reason(client), "both sides finished");
}

#[test]
fn plain_half_closed_receives_after_a_pause() {
    half_closed_receives_after_a_pause(plain());
}

#[test]
fn tls_half_closed_receives_after_a_pause() {
    half_closed_receives_after_a_pause(tls());
}

fn last_words_before_a_close_arrive((server, client): (Security, Security)) {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(server, client);
    // The closing side has unread bytes, which would make a careless close a reset.
    write_all(&mut rig, client, b"unread");
    write_all(&mut rig, server, b"bye");
    rig.net.close(server);
    assert_eq!(rig.net.write(server, &mut &b"late"[..]), Write::Closed);
    rig.run_until("the end is seen", |rig| rig.end(client).eof);
    assert_eq!(rig.end(client).received, b"bye");
    rig.net.close(client);
    rig.run_until("both are closed", |rig| rig.closed(client) && rig.closed(server));
    assert_eq!(rig.reason(server), "closed on this side");
    assert_eq!(rig.reason(client), "closed on this side");
    assert_eq!(rig.net.connections(), 0);
}

#[test]
fn plain_last_words_before_a_close_arrive() {
    last_words_before_a_close_arrive(plain());
}

#[test]
fn tls_last_words_before_a_close_arrive() {
    last_words_before_a_close_arrive(tls());
}

#[test]
fn close_ends_although_the_other_side_does_not() {
    let config = NetConfig { linger_timeout: Duration::from_millis(50), ..NetConfig::default() };
    let mut rig = Rig::new(config);
    let (client, server) = rig.pair(Security::Plain, Security::Plain);
    rig.net.close(server);
    rig.run_until("the close is over", |rig| rig.closed(server));
    assert!(!rig.closed(client), "it was told of the end, and may still decide");
    assert!(rig.end(client).eof);
}

#[test]
fn close_does_not_swallow_a_flood_without_end() {
    let config =
        NetConfig { linger_timeout: PATIENCE * 2, max_linger_bytes: 100_000, ..NetConfig::default() };
    let mut rig = Rig::new(config);
    let (client, server) = rig.pair(Security::Plain, Security::Plain);
    rig.end_mut(client).unsent.push(Dice(51).bytes(BIG));
    rig.net.close(server);
    rig.run_until("both are closed", |rig| rig.closed(server) && rig.closed(client));
    assert!(rig.reason(client).starts_with("the connection was lost: "), "{}", rig.reason(client));
}

#[test]
fn tls_stream_that_is_cut_off_is_no_end() {
    let mut rig = Rig::new(NetConfig::default());
    let (server, client) = tls();
    let (client, server) = rig.pair(server, client);
    write_all(&mut rig, client, b"half a sent");
    rig.net.abort(client);
    rig.run_until("both are closed", |rig| rig.closed(client) && rig.closed(server));
    assert_eq!(rig.end(server).received, b"half a sent");
    assert!(!rig.end(server).eof);
    assert!(matches!(rig.end(server).closed, Some(CloseReason::Truncated)), "{}", rig.reason(server));
    assert!(matches!(rig.end(client).closed, Some(CloseReason::Local)));
}

#[test]
fn broken_connection_is_noticed_while_it_is_not_read() {
    let mut rig = Rig::new(NetConfig::default());
    let addr = rig.listen(Security::Plain);
    let client = TcpStream::connect(addr).unwrap();
    rig.run_until("it is in", |rig| rig.accepted.len() == 1);
    let server = rig.accepted[0];
    rig.net.pause_read(server);
    rig.paused.insert(server);
    // Unread bytes turn the client's end into a reset.
    write_all(&mut rig, server, b"never read");
    rig.turn(Instant::now());
    assert_eq!(client.peek(&mut [0; 10]).unwrap(), 10);
    drop(client);
    rig.run_until("the reset is noticed", |rig| rig.closed(server));
    assert!(rig.reason(server).starts_with("the connection was lost: "), "{}", rig.reason(server));
}

fn flood_does_not_starve_others((server, client): (Security, Security)) {
    let budget = 64 * 1024;
    let config = NetConfig { read_budget: budget, ..NetConfig::default() };
    let mut rig = Rig::new(config);
    let (flooder, flooded) = rig.pair(server.clone(), client.clone());
    let (quiet, heard) = rig.pair(server, client);
    // The flood lies in the socket before anybody reads, so that each turn could go on for long.
    rig.net.pause_read(flooded);
    rig.paused.insert(flooded);
    let flood = Dice(61).bytes(BIG);
    rig.end_mut(flooder).unsent.push(flood.clone());
    for _ in 0..20 {
        rig.turn(Instant::now());
    }
    rig.net.resume_read(flooded);
    rig.paused.remove(&flooded);
    write_all(&mut rig, quiet, b"hello");
    rig.run_until("the quiet one is heard", |rig| rig.end(heard).received == b"hello");
    // With I/O threads it depends on them how many turns of the loop the quiet one takes.
    let meanwhile = rig.end(flooded).received.len();
    let is_spread = crate::IO_THREADS != 0;
    assert!(is_spread || meanwhile <= 4 * budget, "{meanwhile} bytes of the flood came first");
    rig.run_until("the flood arrives too", |rig| rig.end(flooded).received.len() == flood.len());
    assert!(rig.end(flooded).received == flood);
    let most = rig.end(flooded).per_turn.iter().max().copied().unwrap_or_default();
    assert!(most <= budget + 2 * 16 * 1024, "{most} bytes in one turn");
    assert!(rig.end(flooded).per_turn.len() >= BIG / budget);
}

#[test]
fn plain_flood_does_not_starve_others() {
    flood_does_not_starve_others(plain());
}

#[test]
fn tls_flood_does_not_starve_others() {
    flood_does_not_starve_others(tls());
}

#[test]
fn dead_token_does_nothing() {
    let mut rig = Rig::new(NetConfig::default());
    let (client, server) = rig.pair(Security::Plain, Security::Plain);
    rig.net.abort(client);
    rig.run_until("it is closed", |rig| rig.closed(client));
    // The slot is taken again, by another connection.
    let (next, _) = rig.pair(Security::Plain, Security::Plain);
    assert_ne!(client, next);
    rig.net.close(client);
    rig.net.abort(client);
    rig.net.shutdown_write(client);
    assert_eq!(rig.net.read(client), Read::Closed);
    assert_eq!(rig.net.write(client, &mut &b"x"[..]), Write::Closed);
    assert!(rig.net.peer_addr(client).is_err());
    assert!(rig.net.peer_addr(next).is_ok());
    rig.run_until("the other end is told", |rig| rig.end(server).eof);
    assert!(!rig.closed(next));
}

#[test]
fn write_before_the_connection_stands_waits_for_it() {
    let mut rig = Rig::new(NetConfig::default());
    let (server, client) = tls();
    let addr = rig.listen(server);
    let client = rig.dial(addr, client);
    let mut early = Queue::default();
    early.push(Bytes::from_static(b"early"));
    assert_eq!(rig.net.write(client, &mut early), Write::Blocked);
    rig.end_mut(client).unsent = early;
    rig.run_until("it arrives", |rig| {
        rig.accepted.first().is_some_and(|server| rig.end(*server).received == b"early")
    });
}
