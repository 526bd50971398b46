//! A port of the router at home, mapped to the port where peers may connect: `--map-port`.
//!
//! Only the gateway is asked, by PCP (RFC 6887), NAT-PMP (RFC 6886) and the UPnP of Internet gateways, in this order. It
//! blocks, so it is a thread of its own. What a router answers is believed only as far as it is harmless: the port that
//! is announced is probed by whoever connects to it.

mod gateway;
mod pcp;
mod upnp;

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4, UdpSocket};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use chatnet::{MailSender, Mailbox, Waker};
use serde::Serialize;

/// How long a mapping is asked for: after a crash the router forgets it by then.
const LEASE: Duration = Duration::from_secs(60 * 60);

/// A router that grants less is asked again no sooner than this.
const MIN_RENEWAL: Duration = Duration::from_secs(10);

/// Before a router that gave nothing is asked again; doubled each time, up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(16 * 60));

/// Peers dial no lower ports, so a lower one would be of no use.
const LOWEST_PORT: u16 = 1024;

/// How long the end of the program waits for the router.
const END_TIMEOUT: Duration = Duration::from_secs(3);

/// Reports that may wait for the loop; there is one in minutes.
const MAX_REPORTS: usize = 4;

/// Which gateway is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gateway {
    /// That of the default route.
    Default,
    /// This one.
    At(Ipv4Addr),
}

/// By which protocol a port was mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Protocol {
    /// RFC 6887.
    Pcp,
    /// RFC 6886.
    NatPmp,
    /// WANIPConnection or WANPPPConnection.
    Upnp,
}

/// A port of the router that leads here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mapped {
    /// Who mapped it, and how.
    pub protocol: Protocol,
    /// Where peers connect, as the router sees it.
    pub external: SocketAddrV4,
    /// How long it holds without being renewed.
    pub lease: Duration,
}

/// What became of the port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It is mapped, or mapped anew.
    Mapped(Mapped),
    /// It is not, or not any more; why, in words.
    Failed(String),
}

/// Why a router mapped nothing, by one protocol.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error("no answer")]
    Silent,
    #[error("{0}")]
    Io(io::Error),
    #[error("{0}")]
    Refused(&'static str),
    #[error("refused with code {0}")]
    Code(u16),
    #[error("the answer makes no sense: {0}")]
    Garbled(&'static str),
}

/// Keeps a port mapped until it is dropped; then the router is told to forget it.
#[derive(Debug)]
pub(crate) struct Mapper {
    /// Dropped to end the thread.
    stop: Option<Sender<()>>,
    /// Ends with the thread.
    ended: Receiver<()>,
    reports: Mailbox<Report>,
}

impl Mapper {
    /// Has `port` of this machine mapped.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub(crate) fn start(port: u16, gateway: Gateway, waker: Waker) -> io::Result<Self> {
        let (stop, stopped) = channel();
        let (sender, reports) = Mailbox::new(waker, MAX_REPORTS);
        let (alive, ended) = channel();
        let keep = move || {
            let _alive: Sender<()> = alive;
            Keeper { port, gateway, reports: sender, stopped }.run();
        };
        std::thread::Builder::new().name("map-port".to_owned()).spawn(keep)?;
        Ok(Self { stop: Some(stop), ended, reports })
    }

    /// What has happened since the last time.
    pub(crate) fn reports(&mut self) -> Vec<Report> {
        self.reports.drain().collect()
    }
}

impl Drop for Mapper {
    fn drop(&mut self) {
        drop(self.stop.take());
        // A router that does not answer by then forgets the port when its lease ends.
        let _ = self.ended.recv_timeout(END_TIMEOUT);
    }
}

struct Keeper {
    port: u16,
    gateway: Gateway,
    reports: MailSender<Report>,
    stopped: Receiver<()>,
}

/// What is mapped, and with what to renew it.
struct Held {
    router: Router,
    mapped: Mapped,
}

/// Whom to ask, for which port.
#[derive(Debug, Clone)]
struct Router {
    gateway: Ipv4Addr,
    /// This machine's address on the way there.
    local: Ipv4Addr,
    port: u16,
    /// Tells a PCP router that a renewal comes from who made the mapping.
    nonce: [u8; 12],
}

impl Keeper {
    fn run(self) {
        let mut held: Option<Held> = None;
        let mut told = None;
        let mut retry = RETRY.0;
        loop {
            let outcome = match held.take() {
                Some(before) => self.renew(before),
                None => self.map(),
            };
            let (report, wait) = match outcome {
                Ok(now) => {
                    let mapped = now.mapped;
                    held = Some(now);
                    retry = RETRY.0;
                    (Report::Mapped(mapped), renewal(mapped.lease))
                }
                Err(why) => {
                    let wait = retry;
                    retry = (retry * 2).min(RETRY.1);
                    (Report::Failed(why), wait)
                }
            };
            // A renewal that changes nothing is nobody's concern.
            if told.as_ref() != Some(&report) && self.reports.send(report.clone()).is_err() {
                break;
            }
            told = Some(report);
            if self.stopped.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                break;
            }
        }
        if let Some(Held { router, mapped }) = held {
            // A router that does not hear it forgets the port when the lease ends.
            let _ = router.unmap(&mapped);
        }
    }

    fn renew(&self, before: Held) -> Result<Held, String> {
        let suggested = before.mapped.external.port();
        match before.router.map_by(before.mapped.protocol, suggested) {
            Ok(mapped) => Ok(Held { mapped, ..before }),
            // The router may have started again, or there is another one.
            Err(_) => self.map(),
        }
    }

    fn map(&self) -> Result<Held, String> {
        let gateway = match self.gateway {
            Gateway::At(gateway) => gateway,
            Gateway::Default => gateway::default()?,
        };
        let router = Router::new(gateway, self.port)
            .map_err(|error| format!("the router {gateway} cannot be asked: {error}"))?;
        let mut said = Vec::new();
        for protocol in [Protocol::Pcp, Protocol::NatPmp, Protocol::Upnp] {
            match router.map_by(protocol, self.port) {
                Ok(mapped) => return Ok(Held { router, mapped }),
                Err(error) => said.push(format!("{protocol}: {error}")),
            }
            // Whoever ends the program does not want to wait for the others.
            if self.stopped.try_recv() == Err(std::sync::mpsc::TryRecvError::Disconnected) {
                break;
            }
        }
        Err(format!("the router {gateway} maps no port ({})", said.join("; ")))
    }
}

impl Router {
    fn new(gateway: Ipv4Addr, port: u16) -> io::Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        // Sends nothing: the system chooses the address that packets there would come from.
        socket.connect((gateway, pcp::PORT))?;
        let local = match socket.local_addr()?.ip() {
            std::net::IpAddr::V4(local) => local,
            std::net::IpAddr::V6(_) => return Err(io::ErrorKind::AddrNotAvailable.into()),
        };
        let mut nonce = [0; 12];
        getrandom::fill(&mut nonce).map_err(io::Error::other)?;
        Ok(Self { gateway, local, port, nonce })
    }

    fn map_by(&self, protocol: Protocol, suggested: u16) -> Result<Mapped, Error> {
        let mapped = match protocol {
            Protocol::Pcp => pcp::map(self, suggested, LEASE),
            Protocol::NatPmp => pcp::map_nat_pmp(self, suggested, LEASE),
            Protocol::Upnp => upnp::map(self, suggested, LEASE),
        }?;
        if mapped.external.port() < LOWEST_PORT {
            let _ = self.unmap(&mapped);
            return Err(Error::Refused("it gave a port below 1024, which peers do not dial"));
        }
        Ok(mapped)
    }

    fn unmap(&self, mapped: &Mapped) -> Result<(), Error> {
        match mapped.protocol {
            Protocol::Pcp => pcp::map(self, mapped.external.port(), Duration::ZERO).map(drop),
            Protocol::NatPmp => pcp::map_nat_pmp(self, 0, Duration::ZERO).map(drop),
            Protocol::Upnp => upnp::unmap(self, mapped.external.port()),
        }
    }
}

/// A lease is renewed at half of its life.
fn renewal(lease: Duration) -> Duration {
    (lease.min(LEASE) / 2).max(MIN_RENEWAL)
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pcp => "PCP",
            Self::NatPmp => "NAT-PMP",
            Self::Upnp => "UPnP",
        })
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        const SILENCE: [io::ErrorKind; 2] = [io::ErrorKind::WouldBlock, io::ErrorKind::TimedOut];
        if SILENCE.contains(&error.kind()) {
            Self::Silent
        } else if error.kind() == io::ErrorKind::ConnectionRefused {
            // What a closed port answers with.
            Self::Refused("not spoken there")
        } else {
            Self::Io(error)
        }
    }
}

#[cfg(test)]
mod tests;
