//! `kill -9` of the real server, again and again, under load: what was acknowledged is there once, in order, without a gap,
//! and all clients end with the same room.
//!
//! `CHATPROTO_KILLS=60` kills it sixty times; `CHATPROTO_SEED=7` chooses other moments.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test stops at what it did not expect"
)]

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::ChildStdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use harness::{Client, Options, PATIENCE, Scratch, Server};

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];

/// Times that the server is killed when nothing else is asked for.
const DEFAULT_KILLS: u64 = 6;

/// Messages that each client has on their way.
const WINDOW: usize = 24;

/// So long without an acknowledgement, and people ask for the server: their clients' own pauses have grown.
const IMPATIENCE: Duration = Duration::from_millis(500);

/// Most messages that are acknowledged between two kills.
const MAX_BETWEEN: u64 = 150;

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} must be a number")))
}

/// A keyboard that the person at the client and the test share.
#[derive(Clone)]
struct Keyboard(Arc<Mutex<ChildStdin>>);

impl Keyboard {
    fn type_line(&self, line: &str) {
        writeln!(self.0.lock().expect("nobody died at it"), "{line}").expect("the client reads");
    }
}

/// What one client has said and seen.
struct Seen {
    user: &'static str,
    said: usize,
    /// The numbers that its own messages got.
    posted: BTreeSet<u64>,
    /// Who said what under each number.
    room: BTreeMap<u64, (String, String)>,
}

/// Says one thing after the other until told to stop; ends when everything is acknowledged.
fn talk(
    mut client: Client,
    keyboard: &Keyboard,
    user: &'static str,
    told: &Sender<()>,
    stop: &AtomicBool,
) -> (Client, Seen) {
    let mut seen = Seen { user, said: 0, posted: BTreeSet::new(), room: BTreeMap::new() };
    loop {
        while !stop.load(Ordering::Relaxed) && seen.said - seen.posted.len() < WINDOW {
            seen.said += 1;
            keyboard.type_line(&format!("{user} {}", seen.said));
        }
        if seen.said == seen.posted.len() {
            return (client, seen);
        }
        hear(&mut client, &mut seen, told);
    }
}

fn hear(client: &mut Client, seen: &mut Seen, told: &Sender<()>) {
    let event = client.next();
    let text = |field: &str| event[field].as_str().unwrap_or_default().to_owned();
    match event["event"].as_str().unwrap_or_default() {
        "posted" => {
            let seq = event["seq"].as_u64().expect("a number");
            assert!(seen.posted.insert(seq), "{} was told twice of {event}", seen.user);
            told.send(()).expect("the test waits");
        }
        "message" => {
            let seq = event["seq"].as_u64().expect("a number");
            let last = seen.room.last_key_value().map_or(0, |(last, _)| *last);
            assert_eq!(seq, last + 1, "{} got {event}", seen.user);
            seen.room.insert(seq, (text("from"), text("text")));
        }
        // Asking for a server that is just being killed may fail.
        "error" if event["code"] == "connect" || event["code"] == "connection_lost" => {}
        "error" | "gap" => panic!("{}: {event}", seen.user),
        _ => {}
    }
}

/// Moments, the same for the same seed.
struct Moments(u64);

impl Moments {
    /// How many messages are acknowledged before the next kill; sometimes the server is killed as it starts.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = self.0 >> 33;
        if drawn.is_multiple_of(5) { 0 } else { 1 + drawn / 5 % MAX_BETWEEN }
    }
}

/// Waits until so many messages were acknowledged, or `is_over`.
fn wait_for(posted: &Receiver<()>, keyboards: &[Keyboard], count: u64, is_over: impl Fn() -> bool) {
    let mut last = Instant::now();
    let mut left = count;
    while left > 0 && !is_over() {
        if posted.recv_timeout(IMPATIENCE).is_ok() {
            (left, last) = (left - 1, Instant::now());
            continue;
        }
        assert!(last.elapsed() < PATIENCE, "clients go on saying things");
        keyboards.iter().for_each(|keyboard| keyboard.type_line("/server"));
    }
}

#[test]
fn nothing_that_was_acknowledged_is_lost_and_nothing_appears_twice() {
    let kills = number("CHATPROTO_KILLS", DEFAULT_KILLS);
    let mut moments = Moments(number("CHATPROTO_SEED", 1));
    let scratch = Scratch::new();
    let data = scratch.path("server");
    let mut server = Server::start(&data);
    let addr = server.addr.clone();
    server.add_users(&PEOPLE);
    let mut clients: Vec<Client> =
        PEOPLE.iter().map(|user| Client::ready(Options::new(user, &server, &scratch))).collect();
    let keyboard = |client: &mut Client| Keyboard(Arc::new(Mutex::new(client.take_input())));
    let keyboards: Vec<Keyboard> = clients.iter_mut().map(keyboard).collect();

    let stop = Arc::new(AtomicBool::new(false));
    let (told, posted) = channel();
    let talkers: Vec<JoinHandle<(Client, Seen)>> = clients
        .into_iter()
        .zip(PEOPLE.into_iter().zip(&keyboards))
        .map(|(client, (user, keyboard))| {
            let (told, stop, keyboard) = (told.clone(), Arc::clone(&stop), keyboard.clone());
            thread::spawn(move || talk(client, &keyboard, user, &told, &stop))
        })
        .collect();
    for _ in 0..kills {
        wait_for(&posted, &keyboards, moments.next(), || false);
        server.kill();
        server = Server::start_with(&data, &addr, &[]);
    }
    stop.store(true, Ordering::Relaxed);
    wait_for(&posted, &keyboards, u64::MAX, || talkers.iter().all(JoinHandle::is_finished));

    let (mut clients, mut seen): (Vec<Client>, Vec<Seen>) =
        talkers.into_iter().map(|talker| talker.join().expect("all went well")).unzip();
    // Everything is acknowledged; the last of it may be on its way to the others.
    let all: usize = seen.iter().map(|seen| seen.said).sum();
    for (client, seen) in clients.iter_mut().zip(&mut seen) {
        while seen.room.len() < all {
            hear(client, seen, &told);
        }
    }
    println!("{kills} kills, {all} messages");
    for one in &seen {
        assert_eq!(one.room, seen[0].room, "{} and {} see different rooms", one.user, seen[0].user);
        let own: Vec<&String> =
            one.room.values().filter(|(from, _)| from == one.user).map(|(_, text)| text).collect();
        let said: Vec<String> = (1..=one.said).map(|number| format!("{} {number}", one.user)).collect();
        assert_eq!(own, said.iter().collect::<Vec<_>>(), "what {} said, once and in order", one.user);
        let numbers = one.room.iter().filter(|(_, (from, _))| from == one.user).map(|(seq, _)| *seq);
        assert_eq!(one.posted, numbers.collect(), "what {} was told", one.user);
    }
    for (client, seen) in clients.iter_mut().zip(&seen) {
        let late: Vec<_> = client.others().iter().filter(|event| event["event"] == "message").collect();
        assert!(late.is_empty(), "{} got more than was said: {late:?}", seen.user);
    }
    server.stop();
}
