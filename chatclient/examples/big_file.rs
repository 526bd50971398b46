//! What a big file costs: one goes from peer to peer on loopback, and the clock, both clients' CPU and memory, and the
//! bytes that passed the server meanwhile are told.
//!
//! `cargo run --release -p chatclient --example big_file -- 1024` moves 1,024 MiB.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it stops at what it did not expect"
)]

#[path = "../tests/harness/mod.rs"]
mod harness;

use std::fs::File;
use std::io::{BufWriter, Read as _, Write as _};
use std::path::Path;
use std::time::Instant;

use harness::{Client, Options, Proxy, Scratch, Server, download, noise};

/// Size if none is given, in MiB.
const DEFAULT_MIB: usize = 1024;

fn main() {
    let size = std::env::args().nth(1).map_or(DEFAULT_MIB, |size| size.parse().expect("a size in MiB"));
    let scratch = Scratch::new();
    let server = Server::start(&scratch.path("server"));
    server.add_users(&["alice", "bob"]);
    let original = scratch.folder("bob-share").join("big.bin");
    write_noise(&original, size);

    let proxy = Proxy::start(&server.addr);
    let through = |user| Options::new(user, &server, &scratch).server(proxy.addr.clone());
    let mut alice = Client::ready(through("alice"));
    let bob = Client::ready(through("bob").arg("--accept").arg("all"));
    alice.type_line("[FILE] bob");
    alice.expect("file_list", |event| event["peer"] == "bob");

    let (passed, before) = (proxy.passed(), [alice.cost().0, bob.cost().0]);
    let began = Instant::now();
    alice.type_line("/get 1");
    let done = alice.expect("transfer", |event| event["state"] == "done" || event["state"] == "failed");
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(done["state"], "done", "{done}");
    assert!(same(&original, &download(&scratch, "alice", "big.bin")), "what arrived is what was shared");

    println!(
        "{size} MiB in {seconds:.2} s, {:.0} MiB/s, identical, blake3 {}",
        size as f64 / seconds,
        done["blake3"]
    );
    for (client, before) in [(&alice, before[0]), (&bob, before[1])] {
        let (cpu, peak) = client.cost();
        println!("{:>6}: {:.2} s of CPU, at most {} MiB of memory", client.user, cpu - before, peak >> 20);
    }
    println!("server: {} bytes passed it meanwhile", proxy.passed() - passed);
    [alice, bob].into_iter().for_each(Client::quit);
    server.stop();
}

fn write_noise(path: &Path, mib: usize) {
    let mut file = BufWriter::new(File::create(path).expect("a file to share"));
    // Each MiB is different, so that no piece can stand in for another.
    let pattern = noise(1 << 20, 11);
    for number in 0..mib as u64 {
        file.write_all(&number.to_be_bytes()).expect("it is written");
        file.write_all(&pattern[8..]).expect("it is written");
    }
    file.flush().expect("it is written");
}

fn same(one: &Path, other: &Path) -> bool {
    let (mut one, mut other) = (File::open(one).expect("a file"), File::open(other).expect("a file"));
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    loop {
        let len = one.read(&mut left).expect("it reads");
        if len == 0 {
            return other.read(&mut right).expect("it reads") == 0;
        }
        if other.read_exact(&mut right[..len]).is_err() || left[..len] != right[..len] {
            return false;
        }
    }
}
