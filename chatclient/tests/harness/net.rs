//! Networks for a test: namespaces, a switch between them, and address translations and firewalls made by nftables. No interface
//! of the machine is touched. Needs root, `ip` and `nft`.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// How somebody is connected to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    /// An address of their own, and nothing in between.
    Open,
    /// A router that translates addresses, keeps ports where it can, and drops what nobody asked for.
    Nat,
    /// The same, but with another port for each connection: no port can be foretold.
    RandomNat,
    /// An address of their own behind a firewall that lets out everything and in nothing.
    Firewall,
    /// A firewall that lets nothing through but connections to the server.
    Prison,
}

/// Namespaces that are removed at the end.
pub struct Net {
    prefix: String,
    made: Vec<String>,
}

impl Net {
    /// A switch for public addresses, with the server's namespace at it.
    pub fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("chat{}x{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let mut net = Self { prefix, made: Vec::new() };
        let switch = net.namespace("net");
        ip(&switch, "link add br0 type bridge");
        ip(&switch, "link set br0 up");
        let server = net.namespace("srv");
        net.plug(&server, "203.0.114.10/24");
        net
    }

    /// Where the server's namespace is. The addresses are none of those for documentation: miniupnpd maps no port on these.
    pub fn server(port: u16) -> String {
        format!("203.0.114.10:{port}")
    }

    pub fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub fn namespace(&mut self, name: &str) -> String {
        let name = self.name(name);
        run("ip", &["netns", "add", &name]);
        self.made.push(name.clone());
        ip(&name, "link set lo up");
        name
    }

    /// Connects a namespace to the switch, as its interface `wan`.
    pub fn plug(&self, namespace: &str, address: &str) {
        let switch = self.name("net");
        let port = format!("port{}", address.rsplit_once('.').expect("an address").1.trim_end_matches("/24"));
        ip(&switch, &format!("link add {port} type veth peer name wan netns {namespace}"));
        ip(&switch, &format!("link set {port} master br0 up"));
        ip(namespace, &format!("address add {address} dev wan"));
        ip(namespace, "link set wan up");
    }

    /// A namespace for a person; `number` tells their addresses apart.
    pub fn person(&mut self, name: &str, number: u8, line: Line) -> String {
        let public = format!("203.0.114.{number}/24");
        let person = self.namespace(name);
        match line {
            Line::Open => self.plug(&person, &public),
            Line::Firewall | Line::Prison => {
                self.plug(&person, &public);
                nft(&person, &firewall(line == Line::Prison));
            }
            Line::Nat | Line::RandomNat => {
                let router = self.namespace(&format!("{name}-nat"));
                self.plug(&router, &public);
                ip(&router, &format!("link add lan type veth peer name wan netns {person}"));
                ip(&router, &format!("address add 192.168.{number}.1/24 dev lan"));
                ip(&router, "link set lan up");
                ip(&person, &format!("address add 192.168.{number}.2/24 dev wan"));
                ip(&person, "link set wan up");
                ip(&person, &format!("route add default via 192.168.{number}.1"));
                run("ip", &["netns", "exec", &router, "sysctl", "-qw", "net.ipv4.ip_forward=1"]);
                nft(&router, &translation(line == Line::RandomNat));
            }
        }
        person
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        for namespace in self.made.iter().rev() {
            let _ = Command::new("ip").args(["netns", "del", namespace]).status();
        }
    }
}

fn translation(is_random: bool) -> String {
    let masquerade = if is_random { "masquerade fully-random" } else { "masquerade" };
    format!(
        "table ip translation {{
           chain out {{ type nat hook postrouting priority 100;
             oifname \"wan\" {masquerade}
           }}
           chain through {{ type filter hook forward priority 0; policy drop;
             ct state established,related accept
             ct status dnat accept
             iifname \"lan\" accept
           }}
           chain in {{ type filter hook input priority 0; policy drop;
             ct state established,related accept
             iifname \"lan\" accept
           }}
         }}"
    )
}

fn firewall(is_prison: bool) -> String {
    let out = if is_prison { "ip daddr 203.0.114.10 accept" } else { "accept" };
    format!(
        "table ip firewall {{
           chain in {{ type filter hook input priority 0; policy drop;
             iifname \"lo\" accept
             ct state established,related accept
           }}
           chain out {{ type filter hook output priority 0; policy drop;
             oifname \"lo\" accept
             {out}
           }}
         }}"
    )
}

pub fn ip(namespace: &str, line: &str) {
    let args: Vec<&str> = ["-n", namespace].into_iter().chain(line.split(' ')).collect();
    run("ip", &args);
}

pub fn nft(namespace: &str, rules: &str) {
    let mut child = Command::new("ip")
        .args(["netns", "exec", namespace, "nft", "-f", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("nft runs");
    child.stdin.take().expect("piped").write_all(rules.as_bytes()).expect("the rules are taken");
    assert!(child.wait().expect("nft ends").success(), "in {namespace}: {rules}");
}

pub fn run(program: &str, args: &[&str]) {
    let status =
        Command::new(program).args(args).status().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(status.success(), "{program} {args:?}: {status}");
}
