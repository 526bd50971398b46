//! Telling the local network that this server is here, by multicast DNS (RFC 6762, 6763), when the operator asks for it. Who
//! hears it learns the address and the certificate's fingerprint, which a person can compare; nothing more.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use chatnet::Fingerprint;
use chatproto::wire::{ServerId, escaped};
use mdns_sd::{DaemonEvent, IfKind, Metrics, ServiceDaemon, ServiceInfo};

use crate::exit::Failure;

/// The kind of service; `chatclient discover` looks for it.
const SERVICE: &str = "_chatproto._tcp.local.";

/// Longest name that is announced, in bytes: the bound of DNS-SD for one label.
const MAX_NAME: usize = 63;

/// Time for the goodbye to leave, and for the responder to say how it is.
const ANSWER_TIMEOUT: Duration = Duration::from_millis(500);

/// How often the responder is looked after.
const WATCH_INTERVAL: Duration = Duration::from_secs(2);

/// Records of others that the responder may hold, a few hundred bytes each. It keeps some that nobody asked for; this
/// answers a neighbour who sends them without end.
const MAX_FOREIGN: i64 = 4_096;

/// How long nothing is announced after such a flood.
const FLOOD_PAUSE: Duration = Duration::from_secs(60);

/// The announcement; it is taken back when this is dropped.
#[derive(Debug)]
pub(super) struct Lan {
    fresh: Option<Sender<Option<Fingerprint>>>,
    thread: Option<JoinHandle<()>>,
}

/// What is announced.
#[derive(Debug, Clone)]
struct Card {
    addr: SocketAddr,
    server: ServerId,
    fingerprint: Option<Fingerprint>,
}

/// One responder: a thread of the library, with sockets of its own.
struct Responder {
    daemon: ServiceDaemon,
    service: String,
    events: mdns_sd::Receiver<DaemonEvent>,
}

impl Lan {
    /// Announces the server that listens on `addr`, on the interface of that address; on all but loopback, if it is
    /// unspecified.
    ///
    /// # Errors
    /// When the system refuses a thread or a poll.
    pub(super) fn announce(
        addr: SocketAddr,
        server: ServerId,
        fingerprint: Option<Fingerprint>,
    ) -> Result<Self, Failure> {
        let failed = |error: &dyn std::fmt::Display| {
            Failure::new("cannot announce the server on the local network", error)
        };
        let mut card = Card { addr, server, fingerprint };
        let mut responder = Some(Responder::start(&card).map_err(|error| failed(&error))?);
        let (fresh, changes) = channel();
        let look_after = move || {
            while let Some(wait) = look(&mut responder) {
                match changes.recv_timeout(wait) {
                    Ok(fingerprint) => {
                        card.fingerprint = fingerprint;
                        responder.take().into_iter().for_each(Responder::stop);
                    }
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                if responder.is_none() {
                    match Responder::start(&card) {
                        Ok(started) => responder = Some(started),
                        Err(error) => tracing::warn!(%error, "the local network is told nothing"),
                    }
                }
            }
            responder.into_iter().for_each(Responder::stop);
        };
        let thread = std::thread::Builder::new()
            .name("lan".to_owned())
            .spawn(look_after)
            .map_err(|error| failed(&error))?;
        tracing::info!("the local network is told of this server");
        Ok(Self { fresh: Some(fresh), thread: Some(thread) })
    }

    /// Another certificate is in force.
    pub(super) fn tell(&self, fingerprint: Option<Fingerprint>) {
        // A thread that is gone has said why.
        let _ = self.fresh.as_ref().map(|fresh| fresh.send(fingerprint));
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        drop(self.fresh.take());
        // Bounded by the time for the goodbye.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// Looks after the responder; how long to wait until the next time.
fn look(responder: &mut Option<Responder>) -> Option<Duration> {
    let Some(running) = responder else { return Some(FLOOD_PAUSE) };
    running.report();
    if running.foreign_records() <= MAX_FOREIGN {
        return Some(WATCH_INTERVAL);
    }
    tracing::warn!("a neighbour floods multicast DNS: the server is not announced for a minute");
    responder.take().into_iter().for_each(Responder::stop);
    Some(FLOOD_PAUSE)
}

impl Responder {
    fn start(card: &Card) -> Result<Self, mdns_sd::Error> {
        let daemon = ServiceDaemon::new()?;
        let events = daemon.monitor()?;
        let ip = card.addr.ip();
        if ip.is_unspecified() {
            daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6])?;
            if ip == IpAddr::V4(Ipv4Addr::UNSPECIFIED) {
                // Nobody listens there.
                daemon.disable_interface(IfKind::IPv6)?;
            }
        } else {
            daemon.disable_interface(IfKind::All)?;
            daemon.enable_interface(IfKind::Addr(ip))?;
        }
        let info = card.service(&name())?;
        let service = info.get_fullname().to_owned();
        daemon.register(info)?;
        Ok(Self { daemon, service, events })
    }

    /// Tells the operator what went wrong; the rest is the responder's daily work.
    fn report(&self) {
        for event in self.events.try_iter() {
            match event {
                DaemonEvent::Error(error) => tracing::warn!(%error, "multicast DNS"),
                DaemonEvent::NameChange(change) => {
                    let name = escaped(&change.new_name).to_string();
                    tracing::info!(name, "another server has this name on the local network");
                }
                DaemonEvent::Announce(..)
                | DaemonEvent::IpAdd(_)
                | DaemonEvent::IpDel(_)
                | DaemonEvent::Respond(_)
                | _ => {}
            }
        }
    }

    fn foreign_records(&self) -> i64 {
        let asked = self.daemon.get_metrics().ok();
        let counted = asked.and_then(|counted| counted.recv_timeout(ANSWER_TIMEOUT).ok());
        let of_others = |counted: Metrics| {
            let cached = counted.iter().filter(|(name, _)| name.starts_with("cached-"));
            cached.map(|(_, count)| *count).sum()
        };
        // Who does not answer in time is asked again the next time.
        counted.map_or(0, of_others)
    }

    /// Says goodbye. Who does not hear it forgets the server by itself, later.
    fn stop(self) {
        let wait = |done: mdns_sd::Receiver<_>| done.recv_timeout(ANSWER_TIMEOUT).ok();
        let _ = self.daemon.unregister(&self.service).ok().and_then(wait);
        let _ = self.daemon.shutdown();
    }
}

impl Card {
    fn service(&self, name: &str) -> Result<ServiceInfo, mdns_sd::Error> {
        // The machine's own host name belongs to its own responder, if it has one.
        let [a, b, c, d, ..] = self.server.0;
        let host = format!("chatproto-{a:02x}{b:02x}{c:02x}{d:02x}.local.");
        let fingerprint = self.fingerprint.map(|fingerprint| fingerprint.to_string());
        let mut properties = vec![("txtvers", "1"), ("name", name)];
        properties.extend(fingerprint.as_deref().map(|fingerprint| ("fingerprint", fingerprint)));
        let (ip, port) = (self.addr.ip(), self.addr.port());
        if ip.is_unspecified() {
            let info = ServiceInfo::new(SERVICE, name, &host, "", port, &properties[..])?;
            return Ok(info.enable_addr_auto());
        }
        ServiceInfo::new(SERVICE, name, &host, ip, port, &properties[..])
    }
}

/// What people see: the machine's name.
fn name() -> String {
    let system = rustix::system::uname();
    let name = system.nodename().to_string_lossy();
    let name = name.split('.').next().unwrap_or_default();
    let shown = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(MAX_NAME);
    let shown = shown.collect::<String>();
    if shown.is_empty() { "chatserver".to_owned() } else { shown }
}
