//! What chat costs while a transfer saturates the link: how long words take from one client's input to the other's output,
//! over the link and through the server, with an idle link and with a busy one. The words go the way of the file.
//!
//! `cargo run --release -p chatclient --example chat_under_load` measures on loopback. With `netns` as its argument, and
//! as root, it makes two network namespaces whose wire carries 100 Mbit/s with a buffer of 20 ms, puts the receiver and
//! the server on one side and the sender on the other, and removes them at the end. With `far` the wire has a round trip
//! of 20 ms as well; `delayed_wire.py` beside this carries its packets, for kernels without netem, and needs python3.
//!
//! The goals: over a shaped wire, busy at most 30 ms above idle over the link, and at most twice the idle time through the
//! server, both at the 95th percentile.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it stops at what it did not expect"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use harness::{Client, Options, Scratch, Server};

/// Words of each measurement.
const WORDS: usize = 150;

/// Between two words: as fast as somebody who reads aloud, and enough for a queue to build up again.
const PAUSE: Duration = Duration::from_millis(10);

/// More than comes while it is measured; at the sender it is a hole, all zeros.
const FILE_SIZE: u64 = 8 << 30;

fn main() {
    let wire = match std::env::args().nth(1).as_deref() {
        Some("netns") => Some(Wire::new(false)),
        Some("far") => Some(Wire::new(true)),
        _ => None,
    };
    let scratch = Scratch::new();
    let (here, there) = wire.as_ref().map_or((None, None), |wire| (Some(&*wire.here), Some(&*wire.there)));
    let listen = if wire.is_some() { "10.66.7.1:0" } else { "127.0.0.1:0" };
    let server = Server::start_in(here, &scratch.path("server"), listen, &[]);
    server.add_users(&["alice", "bob"]);
    let big = scratch.folder("bob-share").join("big.bin");
    std::fs::File::create(&big).and_then(|file| file.set_len(FILE_SIZE)).expect("a large file");

    let options = |user: &str, at: &str, netns: Option<&str>| {
        Options::new(user, &server, &scratch).peers_at(at).in_netns(netns)
    };
    let (alice_at, bob_at) =
        if wire.is_some() { ("10.66.7.1:0", "10.66.7.2:0") } else { ("127.0.0.1:0", "127.0.0.1:0") };
    let mut alice = Client::ready(options("alice", alice_at, here));
    let mut bob = Client::ready(options("bob", bob_at, there).arg("--accept").arg("all"));
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |event| event["peer"] == "bob");

    let idle = measure_both(&mut alice, &mut bob);
    alice.type_line("/get 1");
    let active = |event: &serde_json::Value| event["bytes"].as_u64() > Some(8 << 20);
    alice.expect("transfer", active);
    let began = (Instant::now(), bytes(&mut alice));
    let busy = measure_both(&mut alice, &mut bob);
    let speed = (bytes(&mut alice) - began.1) as f64 / began.0.elapsed().as_secs_f64();
    alice.type_line("/cancel all");
    alice.expect("transfer", |event| event["state"] == "cancelled");

    println!("file data meanwhile: {:.1} Mbit/s", speed * 8.0 / 1e6);
    println!("                      p50        p95        max");
    for (what, at) in [("over the link", 0), ("through the server", 1)] {
        for (when, times) in [("idle", &idle[at]), ("busy", &busy[at])] {
            println!(
                "{what:>18} {when}  {:>7.2} ms {:>7.2} ms {:>7.2} ms",
                percentile(times, 50),
                percentile(times, 95),
                percentile(times, 100)
            );
        }
    }
    if wire.is_some() {
        let p95 = |times: &[Vec<f64>; 2], at: usize| percentile(&times[at], 95);
        let (above, times) = (p95(&busy, 0) - p95(&idle, 0), p95(&busy, 1) / p95(&idle, 1));
        let kept = |is_kept: bool| if is_kept { "kept" } else { "MISSED" };
        println!("over the link {above:.1} ms above idle (goal: 30): {}", kept(above <= 30.0));
        println!("through the server {times:.2} times idle (goal: 2): {}", kept(times <= 2.0));
    }
    [alice, bob].into_iter().for_each(Client::quit);
    server.stop();
}

/// Over the link, and through the server.
fn measure_both(alice: &mut Client, bob: &mut Client) -> [Vec<f64>; 2] {
    [true, false].map(|link| {
        let mut times = (0..WORDS).map(|number| {
            std::thread::sleep(PAUSE);
            let since = Instant::now();
            let word = format!("word {number} of {:?}", since);
            if link {
                bob.type_line(&format!("/peer alice {word}"));
                alice.expect("peer_message", |event| event["text"] == *word);
            } else {
                bob.type_line(&word);
                alice.expect("message", |event| event["text"] == *word);
            }
            since.elapsed().as_secs_f64() * 1000.0
        });
        let mut times = times.by_ref().collect::<Vec<_>>();
        times.sort_by(f64::total_cmp);
        times
    })
}

fn bytes(alice: &mut Client) -> u64 {
    alice.type_line("/transfers");
    let transfers = alice.expect("transfers", |_| true);
    transfers["transfers"][0]["bytes"].as_u64().expect("a transfer")
}

fn percentile(sorted: &[f64], percent: usize) -> f64 {
    sorted[(sorted.len() * percent).div_ceil(100).saturating_sub(1)]
}

/// Two namespaces with a shaped wire between them, for as long as this lives.
struct Wire {
    here: String,
    there: String,
    /// Carries the packets, where the kernel does not.
    carrier: Option<Child>,
}

impl Wire {
    fn new(is_far: bool) -> Self {
        let id = std::process::id();
        let mut wire = Self { here: format!("chat-a-{id}"), there: format!("chat-b-{id}"), carrier: None };
        let (here, there) = (&wire.here, &wire.there);
        ip(&["netns", "add", here]);
        ip(&["netns", "add", there]);
        if is_far {
            wire.carrier = Some(carry(here, there));
        } else {
            ip(&[
                "link", "add", "wire", "netns", here, "type", "veth", "peer", "name", "wire", "netns", there,
            ]);
        }
        for (netns, address) in [(here, "10.66.7.1/24"), (there, "10.66.7.2/24")] {
            ip(&["-n", netns, "address", "add", address, "dev", "wire"]);
            ip(&["-n", netns, "link", "set", "lo", "up"]);
            ip(&["-n", netns, "link", "set", "wire", "up"]);
            if is_far {
                continue;
            }
            let shape = ["qdisc", "add", "dev", "wire", "root", "tbf", "rate", "100mbit", "burst", "32kb"];
            let shaped =
                Command::new("tc").args(["-n", netns]).args(shape).args(["latency", "20ms"]).status();
            assert!(shaped.expect("tc runs").success(), "the wire cannot be shaped");
        }
        wire
    }
}

/// Starts what carries packets slowly, and waits until the interfaces are there.
fn carry(here: &str, there: &str) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/delayed_wire.py");
    let mut command = Command::new("python3");
    command.args([script, here, there]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut carrier = command.spawn().expect("python3 runs");
    let mut line = String::new();
    BufReader::new(carrier.stdout.as_mut().expect("piped")).read_line(&mut line).expect("it says something");
    assert_eq!(line, "ready\n", "the wire cannot be made");
    carrier
}

impl Drop for Wire {
    fn drop(&mut self) {
        if let Some(mut carrier) = self.carrier.take() {
            // It may have ended by itself.
            let _ = carrier.kill();
            let _ = carrier.wait();
        }
        for netns in [&self.here, &self.there] {
            // What cannot be removed was not made.
            let _ = Command::new("ip").args(["netns", "delete", netns]).status();
        }
    }
}

fn ip(args: &[&str]) {
    let status = Command::new("ip").args(args).status().expect("ip runs");
    assert!(status.success(), "ip {args:?} fails; namespaces are made by root");
}
