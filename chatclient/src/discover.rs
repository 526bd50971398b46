//! `chatclient discover`: which servers announce themselves on the local network (RFC 6762, 6763). It lists them, with the
//! fingerprints that a person can compare, and connects to none.
//!
//! Everything here was said by somebody on the network, and anybody there can say anything: numbers are bounded, and what
//! is printed is escaped.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use chatnet::Fingerprint;
use chatproto::wire::escaped;
use clap::Parser;
use mdns_sd::{IfKind, Metrics, ResolvedService, ServiceDaemon, ServiceEvent};
use serde::Serialize;

use crate::exit::ExitStatus;

/// The first argument that asks for it.
pub const WORD: &str = "discover";

/// What servers announce.
const SERVICE: &str = "_chatproto._tcp.local.";

/// Servers, each with an address, that are listed at most. Answers who announces without end.
const MAX_SERVERS: usize = 64;

/// Addresses of one server that are listed at most.
const MAX_ADDRESSES: usize = 8;

/// Longest name of a server that is shown, in characters.
const MAX_NAME: usize = 63;

/// Records that are heard at most, a few hundred bytes each; then it has heard enough.
const MAX_RECORDS: i64 = 16_384;

/// How often they are counted.
const COUNT_INTERVAL: Duration = Duration::from_millis(250);

/// List the servers that announce themselves on the local network, with their fingerprints.
///
/// Nothing connects to them. Anybody on the network can announce anything: compare the fingerprint with what the server
/// printed at its start.
#[derive(Debug, Parser)]
#[command(name = "chatclient discover", version)]
pub struct Args {
    /// How long to listen.
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub seconds: u64,

    /// One JSON object a line, for programs.
    #[arg(long)]
    pub json: bool,
}

/// One address of a server that was heard of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "server")]
struct Found {
    name: String,
    address: IpAddr,
    port: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    fingerprint: Option<String>,
    uri: String,
}

/// Listens, and lists what was heard.
#[must_use]
pub fn run(args: &Args) -> ExitStatus {
    let outcome = listen(Duration::from_secs(args.seconds)).map_err(io::Error::other);
    match outcome.and_then(|found| print(&found, args.json).map(|()| found.is_empty())) {
        Ok(false) => ExitStatus::Done,
        Ok(true) => ExitStatus::NotFound,
        Err(error) => {
            // Standard error may be gone, too; the exit code is not.
            let _ = writeln!(io::stderr(), "error: cannot look for servers: {error}");
            ExitStatus::Failure
        }
    }
}

fn listen(time: Duration) -> Result<Vec<Found>, mdns_sd::Error> {
    let until = Instant::now() + time;
    let daemon = ServiceDaemon::new()?;
    daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
    let heard = daemon.browse(SERVICE)?;
    let mut found = BTreeMap::new();
    while Instant::now() < until && !is_flooded(&daemon) {
        let pause = until.min(Instant::now() + COUNT_INTERVAL);
        while let Ok(event) = heard.recv_deadline(pause) {
            take(&mut found, event);
        }
    }
    let _ = daemon.shutdown();
    Ok(found.into_values().collect())
}

/// What is known by the announcement's name and the address: the last word counts, and a goodbye takes it back.
fn take(found: &mut BTreeMap<(String, IpAddr), Found>, event: ServiceEvent) {
    match event {
        ServiceEvent::ServiceResolved(service) => {
            for server in servers(&service) {
                let key = (service.fullname.clone(), server.address);
                if found.len() < MAX_SERVERS || found.contains_key(&key) {
                    found.insert(key, server);
                }
            }
        }
        ServiceEvent::ServiceRemoved(_, fullname) => found.retain(|(name, _), _| *name != fullname),
        // Names without an address yet.
        ServiceEvent::SearchStarted(_)
        | ServiceEvent::ServiceFound(..)
        | ServiceEvent::SearchStopped(_)
        | _ => {}
    }
}

/// Whether somebody has sent more than any network has servers.
fn is_flooded(daemon: &ServiceDaemon) -> bool {
    let counted = daemon.get_metrics().ok().and_then(|counted| counted.recv_timeout(COUNT_INTERVAL).ok());
    let records = |counted: Metrics| {
        let cached = counted.iter().filter(|(name, _)| name.starts_with("cached-"));
        cached.map(|(_, count)| *count).sum::<i64>()
    };
    counted.map_or(0, records) > MAX_RECORDS
}

/// What one announcement comes to: only what can be connected to without naming an interface.
fn servers(service: &ResolvedService) -> Vec<Found> {
    let instance = service.fullname.strip_suffix(SERVICE).unwrap_or(&service.fullname);
    let said = service.get_property_val_str("name").filter(|name| !name.is_empty());
    let name = said.unwrap_or_else(|| instance.trim_end_matches('.'));
    let name = escaped(&name.chars().take(MAX_NAME).collect::<String>()).to_string();
    let fingerprint = service.get_property_val_str("fingerprint").and_then(|text| text.parse().ok());
    let fingerprint = fingerprint.map(|fingerprint: Fingerprint| fingerprint.to_string());
    let mut addresses = service.addresses.iter().map(mdns_sd::ScopedIp::to_ip_addr).collect::<Vec<_>>();
    addresses.retain(is_usable);
    addresses.sort_unstable();
    addresses.truncate(MAX_ADDRESSES);
    let found = |address| Found {
        name: name.clone(),
        address,
        port: service.port,
        uri: uri(SocketAddr::new(address, service.port), fingerprint.as_deref()),
        fingerprint: fingerprint.clone(),
    };
    addresses.into_iter().map(found).collect()
}

fn is_usable(ip: &IpAddr) -> bool {
    let is_somewhere = !ip.is_loopback() && !ip.is_unspecified() && !ip.is_multicast();
    is_somewhere && !matches!(ip, IpAddr::V6(ip) if ip.is_unicast_link_local())
}

/// What `--server` takes.
fn uri(address: SocketAddr, fingerprint: Option<&str>) -> String {
    let query = fingerprint.map(|fingerprint| format!("?fp={fingerprint}")).unwrap_or_default();
    format!("chat://{address}/{query}")
}

fn print(found: &[Found], json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    for server in found {
        if json {
            writeln!(out, "{}", serde_json::to_string(server)?)?;
            continue;
        }
        let Found { name, address, port, fingerprint, uri } = server;
        let shown =
            fingerprint.as_deref().unwrap_or("no fingerprint: without TLS, or no server of this kind");
        writeln!(out, "{name}  {}  {shown}", SocketAddr::new(*address, *port))?;
        writeln!(out, "    chatclient --server '{uri}' --user NAME")?;
    }
    match (found.is_empty(), json) {
        (true, false) => writeln!(out, "no server announces itself here (chatserver --announce-lan does)")?,
        (false, false) => writeln!(
            out,
            "Anybody here can announce anything: compare the fingerprint with what the server printed at its start."
        )?,
        (_, true) => {}
    }
    out.flush()
}

#[cfg(test)]
mod tests;
