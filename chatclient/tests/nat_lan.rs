//! Servers that announce themselves, and who looks for them: our own two, and each of them with Avahi, in network namespaces.
//! No interface of the machine is touched.
//!
//! Needs root, `ip`, `nft`, `avahi-daemon`, `avahi-browse` and `dbus-daemon`, so it runs only when asked for:
//! `cargo test -p chatclient --test nat_lan -- --ignored`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a test fails by panicking, in its helpers too"
)]

mod harness;

use std::path::Path;
use std::process::{Child, Command};
use std::time::Instant;

use harness::{Line, Net, PATIENCE, Scratch, Server, command_in, ip};
use serde_json::Value;

/// A server at the switch, and the namespace of somebody who looks for it.
struct Lan {
    server: Server,
    neighbour: String,
    scratch: Scratch,
    // Last, so that the programs are gone before their networks.
    net: Net,
}

fn lan(listen: &str, flags: &[&str]) -> Lan {
    let scratch = Scratch::new();
    let mut net = Net::new();
    let neighbour = net.person("alice", 21, Line::Open);
    let here = net.name("srv");
    // Multicast has no other way out of a namespace without routes.
    for namespace in [&neighbour, &here] {
        ip(namespace, "route add default dev wan");
    }
    let server = Server::start_in(Some(&here), &scratch.path("data"), listen, flags);
    Lan { server, neighbour, scratch, net }
}

impl Lan {
    /// What `chatclient discover` lists, and its exit code.
    fn discover(&self) -> (Vec<Value>, Option<i32>) {
        let mut command = command_in(Some(&self.neighbour), "chatclient");
        let output = command.args(["discover", "--json", "--seconds", "6"]).output().expect("it runs");
        let text = String::from_utf8(output.stdout).expect("text");
        let found = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        (found, output.status.code())
    }
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_server_that_announces_itself_is_listed_with_its_fingerprint() {
    for listen in ["0.0.0.0:4848", "203.0.114.10:4848"] {
        let lan = lan(listen, &["--announce-lan"]);
        let print = lan.server.fingerprint.clone().expect("TLS");
        let (found, code) = lan.discover();
        assert_eq!((found.len(), code), (1, Some(0)), "{found:?}");
        assert_eq!(found[0]["address"], "203.0.114.10", "{found:?}");
        assert_eq!(found[0]["port"], 4848);
        assert_eq!(found[0]["fingerprint"], *print);
        assert_eq!(found[0]["uri"], format!("chat://203.0.114.10:4848/?fp={print}"));
    }
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_server_that_was_not_asked_to_says_nothing() {
    let lan = lan("0.0.0.0:4848", &[]);
    assert_eq!(lan.discover(), (Vec::new(), Some(5)));
}

#[test]
#[ignore = "needs root, ip and nft"]
fn a_server_that_stops_takes_its_announcement_back() {
    let lan = lan("0.0.0.0:4848", &["--announce-lan"]);
    assert_eq!(lan.discover().0.len(), 1);
    let listener = command_in(Some(&lan.neighbour), "chatclient")
        .args(["discover", "--json", "--seconds", "20"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("it runs");
    lan.server.stop();
    let output = listener.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(5), "{:?}", String::from_utf8_lossy(&output.stdout));
}

/// Avahi in a namespace, with a bus and folders of its own.
struct Avahi {
    daemon: Child,
    bus: Child,
    address: String,
}

/// Enough of a system bus for Avahi and who asks it.
const BUS: &str = "<busconfig><type>system</type><listen>unix:path=BUS</listen><auth>EXTERNAL</auth>
  <policy context=\"default\"><allow send_destination=\"*\" eavesdrop=\"true\"/><allow own=\"*\"/>
  <allow receive_sender=\"*\"/></policy></busconfig>";

/// A server as somebody would announce it by hand.
const BY_HAND: &str = "<service-group><name>lab</name><service><type>_chatproto._tcp</type><port>4900</port>
  <txt-record>name=lab</txt-record></service></service-group>";

const SETTINGS: &str =
    "[server]\nallow-interfaces=wan\nuse-ipv6=no\nenable-dbus=yes\n[wide-area]\nenable-wide-area=no\n
[publish]\npublish-workstation=no\npublish-hinfo=no\n";

impl Avahi {
    fn start(namespace: &str, scratch: &Scratch) -> Self {
        let folder = scratch.folder("avahi");
        let write = |name: &str, text: &str| std::fs::write(folder.join(name), text).expect("it is written");
        let socket = folder.join("bus");
        write("bus.conf", &BUS.replace("BUS", socket.to_str().expect("a plain path")));
        write("avahi.conf", SETTINGS);
        write("lab.service", BY_HAND);
        let address = format!("unix:path={}", socket.display());
        let bus = Command::new("dbus-daemon")
            .args(["--nofork", "--nopidfile", "--config-file"])
            .arg(folder.join("bus.conf"))
            .spawn()
            .expect("dbus-daemon runs");
        wait_for(&socket);
        // Its paths are fixed: it sees others there than the machine does.
        let script = "set -e; mount -t tmpfs none /run; mount -t tmpfs none /etc
            printf 'root:x:0:0::/:/bin/sh\\navahi:x:0:0::/:/bin/sh\\n' > /etc/passwd
            printf 'root:x:0:\\navahi:x:0:\\nnetdev:x:0:\\n' > /etc/group
            mkdir -p /run/avahi-daemon /etc/avahi/services; cp \"$0/lab.service\" /etc/avahi/services/
            exec avahi-daemon -f \"$0/avahi.conf\" --no-drop-root --no-chroot --no-rlimits --no-proc-title";
        let daemon = Command::new("ip")
            .args(["netns", "exec", namespace, "sh", "-c", script])
            .arg(&folder)
            .env("DBUS_SYSTEM_BUS_ADDRESS", &address)
            .spawn()
            .expect("avahi-daemon runs");
        Self { daemon, bus, address }
    }

    /// What it has heard of our kind of service, as soon as this is in it.
    fn browse(&self, namespace: &str, awaited: &str) -> String {
        let began = Instant::now();
        loop {
            let output = Command::new("ip")
                .args(["netns", "exec", namespace, "avahi-browse", "-prt", "_chatproto._tcp"])
                .env("DBUS_SYSTEM_BUS_ADDRESS", &self.address)
                .output()
                .expect("avahi-browse runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let is_there = text.lines().any(|line| line.starts_with('=') && line.contains(awaited));
            if is_there || began.elapsed() > PATIENCE {
                return text;
            }
        }
    }
}

impl Drop for Avahi {
    fn drop(&mut self) {
        for child in [&mut self.daemon, &mut self.bus] {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn wait_for(path: &Path) {
    let began = Instant::now();
    while !path.exists() {
        assert!(began.elapsed() < PATIENCE, "{} never appears", path.display());
        std::thread::yield_now();
    }
}

#[test]
#[ignore = "needs root, ip, nft, avahi and dbus"]
fn avahi_finds_our_server_and_we_find_what_avahi_announces() {
    let lan = lan("0.0.0.0:4848", &["--announce-lan"]);
    let print = lan.server.fingerprint.clone().expect("TLS");
    let other = lan.net.name("alice");
    let avahi = Avahi::start(&other, &lan.scratch);
    let heard = avahi.browse(&other, &print);
    let line = heard.lines().find(|line| line.starts_with('=') && line.contains(&print));
    let line = line.unwrap_or_else(|| panic!("Avahi heard only: {heard}"));
    assert!(line.contains(";203.0.114.10;4848;"), "{line}");
    // From the server's own namespace: what Avahi tells of its neighbourhood.
    let output = command_in(Some(&lan.net.name("srv")), "chatclient")
        .args(["discover", "--json", "--seconds", "6"])
        .output()
        .expect("it runs");
    let found = String::from_utf8_lossy(&output.stdout);
    let by_hand = found.lines().find(|line| line.contains("\"name\":\"lab\""));
    let by_hand: Value = serde_json::from_str(by_hand.unwrap_or_else(|| panic!("{found}"))).expect("JSON");
    assert_eq!((&by_hand["address"], &by_hand["port"]), (&"203.0.114.21".into(), &4900.into()));
    assert_eq!(by_hand.get("fingerprint"), None, "nobody said one");
}
