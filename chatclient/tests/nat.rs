//! Two people who want a file from each other, and what may be between them: address translations and firewalls, made of
//! network namespaces and nftables. No interface of the machine is touched.
//!
//! Needs root, `ip` and `nft`, so it runs only when asked for: `cargo test -p chatclient --test nat -- --ignored`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test fails by panicking, in its helpers too"
)]

mod harness;

use std::time::{Duration, Instant};

use harness::{Client, Line, Net, Options, Scratch, Server, download, ip, nft, noise, read};
use serde_json::Value;

/// Longest time from the question to a link or a verdict: all ways with all their deadlines.
const DEADLINE: Duration = Duration::from_secs(40);

struct World {
    alice: Client,
    bob: Client,
    scratch: Scratch,
    /// None once it was killed.
    server: Option<Server>,
    // Last, so that the programs are gone before their networks.
    net: Net,
}

fn start_server(net: &Net, scratch: &Scratch, flags: &[&str]) -> Server {
    let config = scratch.path("settings.toml");
    let args = [&["--config", config.to_str().expect("a plain path")], flags].concat();
    Server::start_in(Some(&net.name("srv")), &scratch.path("data"), &Net::server(4848), &args)
}

/// Alice and Bob, logged in from behind their lines.
fn world(alice: Line, bob: Line, settings: &str, flags: [&[&str]; 2]) -> World {
    world_at(alice, bob, settings, flags, &[])
}

/// The same, with a server that has these flags.
fn world_at(alice: Line, bob: Line, settings: &str, flags: [&[&str]; 2], of_server: &[&str]) -> World {
    let scratch = Scratch::new();
    let mut net = Net::new();
    let [alice_ns, bob_ns] = [net.person("alice", 21, alice), net.person("bob", 22, bob)];
    let config = scratch.path("settings.toml");
    std::fs::write(&config, settings).expect("the settings are written");
    let server = start_server(&net, &scratch, of_server);
    server.add_users(&["alice", "bob"]);
    let start = |user: &str, namespace: &str, flags: &[&str]| {
        let options = Options::new(user, &server, &scratch).in_netns(Some(namespace)).peers_at("0.0.0.0:0");
        Client::ready(flags.iter().fold(options, |options, flag| options.arg(*flag)))
    };
    let alice = start("alice", &alice_ns, flags[0]);
    let bob = start("bob", &bob_ns, flags[1]);
    std::fs::write(scratch.path("bob-share").join("notes.txt"), noise(300_000, 7)).expect("a file to share");
    World { alice, bob, scratch, server: Some(server), net }
}

impl World {
    /// Alice asks for Bob's files, and Bob says yes. What comes of it, on both sides.
    fn ask(&mut self, name: &str) -> [Value; 2] {
        let began = Instant::now();
        self.alice.type_line("[FILE] bob");
        let request = self.bob.expect("peer_request", |event| event["from"] == "alice");
        self.bob.type_line(&format!("/accept {}", request["id"].as_str().expect("an id")));
        let outcomes = [self.alice.expect(name, |_| true), self.bob.expect(name, |_| true)];
        let took = began.elapsed();
        assert!(took < DEADLINE, "it took {took:?}");
        println!("{name} after {took:?}: {} / {}", outcomes[0], outcomes[1]);
        outcomes
    }

    /// The file arrives, by this path.
    fn fetches(&mut self, path: &str) {
        for outcome in self.ask("peer_connected") {
            assert_eq!(outcome["path"], path, "{outcome}");
        }
        self.alice.expect("file_list", |list| list["entries"][0]["name"] == "notes.txt");
        self.alice.type_line("/get 1");
        self.alice.expect("transfer", |transfer| transfer["state"] == "done");
        let fetched = read(&download(&self.scratch, "alice", "notes.txt"));
        assert!(fetched == noise(300_000, 7), "the file arrived changed");
    }

    /// Both leave the server for a link of their own.
    fn go_direct(&mut self) {
        self.alice.type_line("/direct bob");
        let request = self.bob.expect("peer_request", |event| event["from"] == "alice");
        self.bob.type_line(&format!("/accept {}", request["id"].as_str().expect("an id")));
        for client in [&mut self.alice, &mut self.bob] {
            client.expect("peer_connected", |_| true);
            client.expect("direct", |_| true);
        }
    }

    /// There is no link, and both are told the same, with these words in it.
    fn fails(&mut self, verdict: &str, words: &[&str]) {
        for outcome in self.ask("peer_failed") {
            assert_eq!(outcome["verdict"], verdict, "{outcome}");
            let message = outcome["message"].as_str().expect("a message");
            assert!(words.iter().all(|word| message.contains(word)), "{message}");
        }
    }
}

const RELAY: &str = "[relay]\nmax_relays = 4\n";

#[test]
#[ignore = "needs root, ip and nft"]
fn both_open() {
    world(Line::Open, Line::Open, "", [&[], &[]]).fetches("direct");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn who_asks_is_behind_an_address_translation() {
    world(Line::Nat, Line::Open, "", [&[], &[]]).fetches("direct");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn who_is_asked_is_behind_an_address_translation() {
    world(Line::Open, Line::Nat, "", [&[], &[]]).fetches("reverse");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn both_are_behind_address_translations_that_keep_ports() {
    world(Line::Nat, Line::Nat, "", [&[], &[]]).fetches("punched");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn both_are_behind_firewalls_that_let_answers_in() {
    world(Line::Firewall, Line::Firewall, "", [&[], &[]]).fetches("punched");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn both_are_behind_translations_that_cannot_be_foretold_and_nobody_relays() {
    let words =
        ["your port is not reachable", "simultaneous open: no answer", "relays no links", "--map-port"];
    world(Line::RandomNat, Line::RandomNat, "", [&[], &[]]).fails("dial_timeout", &words);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn both_are_behind_translations_that_cannot_be_foretold_and_the_server_relays() {
    let mut world = world(Line::RandomNat, Line::RandomNat, RELAY, [&[], &[]]);
    world.fetches("relay");
    world.server.as_ref().expect("it runs").expect_log("is relayed");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_firewall_that_lets_nothing_through_ends_in_a_verdict() {
    let mut world = world(Line::Prison, Line::Prison, "", [&[], &[]]);
    world.fails("dial_timeout", &["is not reachable", "relays no links"]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn the_relay_gets_through_such_a_firewall() {
    world(Line::Prison, Line::Prison, RELAY, [&[], &[]]).fetches("relay");
}

/// Two threads for the server's sockets.
const IO_THREADS: [&str; 2] = ["--io-threads", "2"];

#[test]
#[ignore = "needs root, ip and nft"]
fn the_relay_passes_through_a_server_with_threads_for_its_sockets() {
    let mut world = world_at(Line::Prison, Line::Prison, RELAY, [&[], &[]], &IO_THREADS);
    world.fetches("relay");
    world.server.as_ref().expect("it runs").expect_log("is relayed");
    world.alice.type_line("/hangup bob");
    world.bob.expect("peer_closed", |_| true);
    world.server.as_ref().expect("it runs").expect_log("no longer relayed");
}

/// Over IPv6, nobody but the server.
const PRISON_6: &str = "table ip6 firewall {
  chain in { type filter hook input priority 0; policy drop;
    iifname \"lo\" accept
    meta l4proto ipv6-icmp accept
    ct state established,related accept
  }
  chain out { type filter hook output priority 0; policy drop;
    oifname \"lo\" accept
    meta l4proto ipv6-icmp accept
    ip6 daddr 2001:db8::10 accept
  }
}";

#[test]
#[ignore = "needs root, ip and nft"]
fn the_other_address_family_is_found_by_a_server_with_threads_for_its_sockets() {
    let scratch = Scratch::new();
    let mut net = Net::new();
    let people = [net.person("alice", 21, Line::Open), net.person("bob", 22, Line::Open)];
    for (namespace, number) in [(&net.name("srv"), 10), (&people[0], 21), (&people[1], 22)] {
        ip(namespace, &format!("address add 2001:db8::{number}/64 dev wan nodad"));
    }
    people.iter().for_each(|person| nft(person, PRISON_6));
    let server = Server::start_in(Some(&net.name("srv")), &scratch.path("data"), "[::]:4848", &IO_THREADS);
    server.add_users(&["alice", "bob"]);
    let hosts = scratch.path("hosts");
    std::fs::write(&hosts, "2001:db8::10 chat.test\n203.0.114.10 chat.test\n").expect("names");
    std::fs::write(scratch.folder("bob-share").join("notes.txt"), noise(300_000, 7))
        .expect("a file to share");
    let start = |user: &str, namespace: &str| {
        let options = Options::new(user, &server, &scratch).server("chat.test:4848").peers_at("[::]:0");
        Client::ready(options.in_netns(Some(namespace)).hosts(hosts.clone()))
    };
    let (alice, bob) = (start("alice", &people[0]), start("bob", &people[1]));
    let mut world = World { alice, bob, scratch, server: Some(server), net };
    world.fetches("punched");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn who_insists_on_the_relay_gets_it_although_all_is_open() {
    world(Line::Open, Line::Open, RELAY, [&["--relay", "only"], &[]]).fetches("relay");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn who_wants_no_relay_gets_none() {
    let mut world = world(Line::Prison, Line::Prison, RELAY, [&[], &["--relay", "never"]]);
    world.fails("dial_timeout", &["relay: one side does not want it"]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn the_self_test_tells_who_can_be_reached() {
    let mut world = world(Line::Open, Line::Nat, "", [&[], &[]]);
    world.alice.type_line("/reach");
    let alice = world.alice.expect("reach", |_| true);
    assert_eq!(alice["reachable"], true, "{alice}");
    assert!(alice["address"].as_str().expect("an address").starts_with("203.0.114.21:"), "{alice}");
    world.bob.type_line("/reach");
    let bob = world.bob.expect("reach", |_| true);
    assert_eq!(
        (bob["reachable"].as_bool(), bob["verdict"].as_str()),
        (Some(false), Some("dial_timeout")),
        "{bob}"
    );
    let port =
        format!("TCP port {}", bob["address"].as_str().and_then(|at| at.rsplit_once(':')).expect("a port").1);
    assert!(bob["message"].as_str().expect("a message").contains(&port), "{bob}");
}

/// Resets what goes from here to the other person, and lets nothing new begin.
const CUT: &str = "table ip cut {
  chain out { type filter hook output priority 0
    oifname \"wan\" ip daddr 203.0.114.20-203.0.114.29 meta l4proto tcp reject with tcp reset
  }
}";

#[test]
#[ignore = "needs root, ip and nft"]
fn a_link_that_is_cut_in_direct_mode_is_found_again_without_the_server() {
    let mut world = world(Line::Open, Line::Open, "", [&[], &[]]);
    world.go_direct();
    world.server.take().expect("it runs").kill();
    let people = ["alice", "bob"].map(|name| world.net.name(name));
    people.iter().for_each(|person| nft(person, CUT));
    // The first packet meets the reset.
    world.alice.type_line("/peer bob into the void");
    world.bob.type_line("/peer alice into the void");
    for client in [&mut world.alice, &mut world.bob] {
        client.expect("peer_closed", |_| true);
    }
    people.iter().for_each(|person| nft(person, "delete table ip cut"));
    for client in [&mut world.alice, &mut world.bob] {
        client.expect("peer_connected", |_| true);
    }
    world.alice.type_line("/peer bob there you are");
    world.bob.expect("peer_message", |event| event["text"] == "there you are");
    world.bob.type_line("and you");
    world.alice.expect("peer_message", |event| event["text"] == "and you");
}

/// Swallows what goes from here to the other person, and tells nobody.
const SWALLOW: &str = "table ip cut {
  chain out { type filter hook output priority 0
    oifname \"wan\" ip daddr 203.0.114.20-203.0.114.29 drop
  }
}";

/// So long may silence last before both ends take the link for dead, and some seconds more.
const SILENCE: Duration = Duration::from_secs(120);

/// A link in direct mode dies without a word, from one side or both, and the server is gone. Both notice, and find each other again
/// when the line is back.
fn a_link_that_dies_silently_is_found_again(silent: &[&str]) {
    let mut world = world(Line::Open, Line::Open, "", [&[], &[]]);
    world.go_direct();
    world.server.take().expect("it runs").kill();
    let silent = silent.iter().map(|name| world.net.name(name)).collect::<Vec<_>>();
    silent.iter().for_each(|person| nft(person, SWALLOW));
    world.alice.type_line("/peer bob into the void");
    for client in [&mut world.alice, &mut world.bob] {
        client.expect_within(SILENCE, "peer_closed", |event| event["reason"] == "idle");
    }
    silent.iter().for_each(|person| nft(person, "delete table ip cut"));
    for client in [&mut world.alice, &mut world.bob] {
        client.expect("peer_connected", |_| true);
    }
    world.alice.type_line("/peer bob there you are");
    world.bob.expect("peer_message", |event| event["text"] == "there you are");
    world.bob.type_line("and you");
    world.alice.expect("peer_message", |event| event["text"] == "and you");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_link_that_dies_silently_both_ways_in_direct_mode_is_found_again() {
    a_link_that_dies_silently_is_found_again(&["alice", "bob"]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_link_that_dies_silently_one_way_in_direct_mode_is_found_again() {
    a_link_that_dies_silently_is_found_again(&["bob"]);
}

#[test]
#[ignore = "needs root, ip and nft"]
fn who_is_left_alone_in_direct_mode_goes_back_to_the_server() {
    let mut world = world(Line::Open, Line::Open, "", [&[], &[]]);
    world.go_direct();
    world.server.take().expect("it runs").kill();
    let people = ["alice", "bob"].map(|name| world.net.name(name));
    // No goodbye gets through.
    people.iter().for_each(|person| nft(person, CUT));
    world.alice.type_line("/peer bob into the void");
    world.alice.expect("peer_closed", |_| true);
    world.server = Some(start_server(&world.net, &world.scratch, &[]));
    world.alice.expect("server_back", |_| true);
}
