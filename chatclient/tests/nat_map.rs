//! Ports mapped on a router, by a real miniupnpd on the router that the test makes. No interface of the machine is touched.
//!
//! Needs root, `ip`, `nft` and `miniupnpd`, so it runs only when asked for:
//! `cargo test -p chatclient --test nat_map -- --ignored`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking, in its helpers too"
)]

mod harness;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use harness::{Client, Line, Net, Options, Scratch, Server, download, nft, noise, read};

/// What miniupnpd changes at run time, as Debian's package names it.
const CHAINS: &str = "table inet filter {
  chain forward { type filter hook forward priority 0; policy accept; jump miniupnpd; }
  chain miniupnpd { }
  chain prerouting { type nat hook prerouting priority -100; policy accept; jump prerouting_miniupnpd; }
  chain postrouting { type nat hook postrouting priority 100; policy accept; jump postrouting_miniupnpd; }
  chain prerouting_miniupnpd { }
  chain postrouting_miniupnpd { }
}";

/// Drops requests by PCP, whose first byte is its version, 2; NAT-PMP has 0 there and the same port.
const NO_PCP: &str = "table inet deaf {
  chain in { type filter hook input priority -10; udp dport 5351 @th,64,8 2 drop; }
}";

/// Drops PCP and NAT-PMP.
const NEITHER: &str = "table inet deaf {
  chain in { type filter hook input priority -10; udp dport 5351 drop; }
}";

struct Router {
    daemon: Child,
    namespace: String,
}

impl Router {
    /// Runs miniupnpd on the router of a person with this number.
    fn start(namespace: &str, number: u8, scratch: &Scratch, settings: &str) -> Self {
        nft(namespace, CHAINS);
        let file = scratch.path("miniupnpd.conf");
        let text = format!(
            "ext_ifname=wan\nlistening_ip=lan\nport=5000\nsecure_mode=yes\nmin_lifetime=20\nmax_lifetime=86400\n\
             uuid=00000000-0000-0000-0000-000000000000\n{settings}\n\
             allow 1024-65535 192.168.{number}.0/24 1024-65535\ndeny 0-65535 0.0.0.0/0 0-65535\n"
        );
        std::fs::write(&file, text).expect("the settings are written");
        let mut daemon = Command::new("ip")
            .args(["netns", "exec", namespace, "miniupnpd", "-d", "-f"])
            .arg(&file)
            .arg("-P")
            .arg(scratch.path("miniupnpd.pid"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("miniupnpd runs");
        let mut lines = BufReader::new(daemon.stderr.take().expect("piped")).lines().map_while(Result::ok);
        let listens =
            if settings.contains("enable_natpmp=yes") { "NAT-PMP/PCP traffic" } else { "HTTP listening" };
        assert!(lines.any(|line| line.contains(listens)), "miniupnpd does not listen");
        // It writes on, and waits when nobody reads.
        std::thread::spawn(move || lines.for_each(drop));
        Self { daemon, namespace: namespace.to_owned() }
    }

    /// How many ports lead inside.
    fn mappings(&self) -> usize {
        let list = [
            "netns",
            "exec",
            &self.namespace,
            "nft",
            "list",
            "chain",
            "inet",
            "filter",
            "prerouting_miniupnpd",
        ];
        let output = Command::new("ip").args(list).output().expect("nft runs");
        String::from_utf8_lossy(&output.stdout).matches(" dnat ").count()
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}

/// Alice is open; Bob, who shares a file, maps a port of his router.
struct World {
    alice: Client,
    bob: Client,
    router: Option<Router>,
    scratch: Scratch,
    _server: Server,
    // Last, so that the programs are gone before their networks.
    _net: Net,
}

/// With a router of these settings, or one that maps nothing.
fn world(settings: Option<&str>) -> World {
    world_with(settings, None)
}

/// The same, with more rules for what the router hears.
fn world_with(settings: Option<&str>, rules: Option<&str>) -> World {
    let scratch = Scratch::new();
    let mut net = Net::new();
    let alice_ns = net.person("alice", 21, Line::Open);
    // No port of his can be foretold, and nobody gets in unasked.
    let bob_ns = net.person("bob", 22, Line::RandomNat);
    let router = settings.map(|settings| Router::start(&net.name("bob-nat"), 22, &scratch, settings));
    rules.iter().for_each(|rules| nft(&net.name("bob-nat"), rules));
    let server = Server::start_in(Some(&net.name("srv")), &scratch.path("data"), &Net::server(4848), &[]);
    server.add_users(&["alice", "bob"]);
    let options = |user: &str, namespace: &str| {
        Options::new(user, &server, &scratch).in_netns(Some(namespace)).peers_at("0.0.0.0:0")
    };
    let alice = Client::ready(options("alice", &alice_ns));
    let bob = Client::ready(options("bob", &bob_ns).args(["--map-port", "--accept", "all"]));
    std::fs::write(scratch.path("bob-share").join("notes.txt"), noise(300_000, 7)).expect("a file to share");
    World { alice, bob, router, scratch, _server: server, _net: net }
}

impl World {
    /// Alice fetches Bob's file, and the two connected by this path.
    fn fetches(&mut self, path: &str) {
        self.alice.type_line("[FILE] bob");
        for client in [&mut self.alice, &mut self.bob] {
            let connected = client.expect("peer_connected", |_| true);
            assert_eq!(connected["path"], path, "{connected}");
        }
        self.alice.expect("file_list", |list| list["entries"][0]["name"] == "notes.txt");
        self.alice.type_line("/get 1");
        self.alice.expect("transfer", |transfer| transfer["state"] == "done");
        assert!(
            read(&download(&self.scratch, "alice", "notes.txt")) == noise(300_000, 7),
            "it arrived changed"
        );
    }
}

fn a_mapped_port_leads_inside(settings: &str, rules: Option<&str>, protocol: &str) {
    let mut world = world_with(Some(settings), rules);
    let mapped = world.bob.expect("port_mapping", |_| true);
    assert_eq!((&mapped["mapped"], &mapped["protocol"]), (&true.into(), &protocol.into()), "{mapped}");
    assert!(mapped["address"].as_str().expect("an address").starts_with("203.0.114.22:"), "{mapped}");
    world.fetches("direct");
    world.bob.type_line("/reach");
    let reach = world.bob.expect("reach", |_| true);
    assert_eq!((&reach["reachable"], &reach["address"]), (&true.into(), &mapped["address"]), "{reach}");
    let World { alice, bob, router, .. } = &mut world;
    let router = router.as_ref().expect("it runs");
    assert_eq!(router.mappings(), 1);
    // At the end the router is told.
    bob.end_input();
    bob.terminate();
    alice.expect("peer_closed", |_| true);
    while bob.is_running() {
        std::thread::yield_now();
    }
    assert_eq!(router.mappings(), 0);
}

#[test]
#[ignore = "needs root, ip, nft and miniupnpd"]
fn by_pcp() {
    a_mapped_port_leads_inside("enable_natpmp=yes\nenable_upnp=no", None, "pcp");
}

/// A router that does not know the younger protocol answers in the older one.
#[test]
#[ignore = "needs root, ip, nft and miniupnpd"]
fn by_nat_pmp() {
    a_mapped_port_leads_inside("enable_natpmp=yes\nenable_upnp=no", Some(NO_PCP), "nat_pmp");
}

/// A router whose answers to both get lost is asked by the third.
#[test]
#[ignore = "needs root, ip, nft and miniupnpd"]
fn by_upnp_when_the_others_are_not_heard() {
    a_mapped_port_leads_inside("enable_natpmp=yes\nenable_upnp=yes", Some(NEITHER), "upnp");
}

#[test]
#[ignore = "needs root, ip, nft and miniupnpd"]
fn by_upnp() {
    a_mapped_port_leads_inside("enable_natpmp=no\nenable_upnp=yes", None, "upnp");
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_router_that_maps_nothing_is_told_of_and_the_other_ways_remain() {
    let mut world = world(None);
    let failed = world.bob.expect("port_mapping", |_| true);
    assert_eq!(failed["mapped"], false, "{failed}");
    let message = failed["message"].as_str().expect("a message");
    assert!(message.contains("the router 192.168.22.1 maps no port (PCP: "), "{message}");
    world.fetches("reverse");
}

#[test]
#[ignore = "needs root, ip, nft and miniupnpd"]
fn an_address_that_is_not_the_observed_one_is_a_warning() {
    let mut world = world(Some("enable_natpmp=yes\nenable_upnp=no\next_ip=203.0.115.9"));
    let mapped = world.bob.expect("port_mapping", |_| true);
    assert_eq!(mapped["mapped"], true, "{mapped}");
    let warning = world.bob.expect("port_mapping", |event| {
        event["message"].as_str().is_some_and(|text| text.contains("another router"))
    });
    let text = warning["message"].as_str().expect("a message");
    assert!(text.contains("203.0.115.9") && text.contains("203.0.114.22"), "{text}");
}
