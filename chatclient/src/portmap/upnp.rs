//! The UPnP of Internet gateways, as little of it as maps a port: one packet to find the description, one document, and a
//! few calls. Everything goes to the gateway's own address, whatever its answers point to, and everything is bounded.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use super::{Error, Mapped, Protocol, Router};

/// Where a gateway listens for searches.
const SEARCH_PORT: u16 = 1900;

/// How long a search waits; it is sent so often.
const SEARCH_WAIT: Duration = Duration::from_millis(800);
const SEARCHES: usize = 2;

/// Time for one document or call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);

/// Longest answer that is read, in bytes; descriptions have some ten thousand.
const MAX_ANSWER: u64 = 128 * 1024;

/// Longest path that is asked for.
const MAX_PATH: usize = 512;

/// External ports that are tried when the wanted one is taken.
const TRIES: u16 = 4;

/// What maps ports, in the order in which they are wanted.
const SERVICES: [&str; 3] = [
    "urn:schemas-upnp-org:service:WANIPConnection:2",
    "urn:schemas-upnp-org:service:WANIPConnection:1",
    "urn:schemas-upnp-org:service:WANPPPConnection:1",
];

/// `ConflictInMappingEntry`: the port is somebody else's.
const CONFLICT: u16 = 718;

/// `OnlyPermanentLeasesSupported`: the router would never forget it.
const PERMANENT_ONLY: u16 = 725;

/// A service of the gateway that maps ports.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) kind: &'static str,
    pub(super) at: Url,
}

/// A place at the gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) port: u16,
    pub(super) path: String,
}

/// Has a TCP port mapped.
pub(super) fn map(router: &Router, suggested: u16, lease: Duration) -> Result<Mapped, Error> {
    let service = find(router.gateway)?;
    let address = service.call(router.gateway, "GetExternalIPAddress", "")?;
    let address = element(&address, "NewExternalIPAddress").and_then(|text| text.trim().parse().ok());
    let Some(address) = address else { return Err(Error::Garbled("no external address")) };
    for step in 0..TRIES {
        // A prime far from the ports that neighbours may have taken for the same reason.
        let port = suggested.wrapping_add(step.wrapping_mul(1_009)).max(super::LOWEST_PORT);
        let arguments = format!(
            "{}<NewInternalPort>{}</NewInternalPort><NewInternalClient>{}</NewInternalClient><NewEnabled>1</NewEnabled>\
             <NewPortMappingDescription>chatproto</NewPortMappingDescription><NewLeaseDuration>{}</NewLeaseDuration>",
            key(port),
            router.port,
            router.local,
            lease.as_secs()
        );
        match service.call(router.gateway, "AddPortMapping", &arguments) {
            Ok(_) => {
                let external = SocketAddrV4::new(address, port);
                return Ok(Mapped { protocol: Protocol::Upnp, external, lease });
            }
            Err(Error::Code(CONFLICT)) => {}
            Err(Error::Code(PERMANENT_ONLY)) => {
                return Err(Error::Refused("it maps ports for ever only, which is not wanted"));
            }
            Err(error) => return Err(error),
        }
    }
    Err(Error::Refused("the ports that were tried are taken"))
}

/// Takes it back.
pub(super) fn unmap(router: &Router, port: u16) -> Result<(), Error> {
    find(router.gateway)?.call(router.gateway, "DeletePortMapping", &key(port)).map(drop)
}

fn key(port: u16) -> String {
    format!(
        "<NewRemoteHost></NewRemoteHost><NewExternalPort>{port}</NewExternalPort><NewProtocol>TCP</NewProtocol>"
    )
}

fn find(gateway: Ipv4Addr) -> Result<Service, Error> {
    let place = search(gateway)?;
    let description = http(gateway, &place, None)?;
    service(gateway, &place, &description).ok_or(Error::Refused("it describes no service that maps ports"))
}

/// Asks the gateway, and nobody else, where its description is.
fn search(gateway: Ipv4Addr) -> Result<Url, Error> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    socket.connect((gateway, SEARCH_PORT))?;
    let request = format!(
        "M-SEARCH * HTTP/1.1\r\nHOST: {gateway}:{SEARCH_PORT}\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\
         ST: urn:schemas-upnp-org:device:InternetGatewayDevice:1\r\n\r\n"
    );
    let mut packet = [0; 2_048];
    for _ in 0..SEARCHES {
        socket.send(request.as_bytes())?;
        let until = Instant::now() + SEARCH_WAIT;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let len = match socket.recv(&mut packet).map_err(Error::from) {
                Ok(len) => len,
                Err(Error::Silent) => break,
                Err(error) => return Err(error),
            };
            let answer = String::from_utf8_lossy(packet.get(..len).unwrap_or_default()).into_owned();
            if let Some(place) = location(gateway, &answer) {
                return Ok(place);
            }
        }
    }
    Err(Error::Silent)
}

/// Where an answer to a search says the description is, if that is at the gateway.
pub(super) fn location(gateway: Ipv4Addr, answer: &str) -> Option<Url> {
    let mut lines = answer.lines();
    lines.next().filter(|line| line.starts_with("HTTP/1.1 200"))?;
    let headers = lines.filter_map(|line| line.split_once(':'));
    let place = headers.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("location"))?.1;
    Url::parse(gateway, place.trim())
}

/// The best of the services in a description that map ports.
pub(super) fn service(gateway: Ipv4Addr, description_at: &Url, description: &str) -> Option<Service> {
    let blocks = description.split("<service>").skip(1).filter_map(|rest| rest.split("</service>").next());
    let known = blocks.filter_map(|block| {
        let kind = element(block, "serviceType")?.trim();
        let rank = SERVICES.iter().position(|known| *known == kind)?;
        let at = Url::join(gateway, description_at, element(block, "controlURL")?.trim())?;
        Some((rank, Service { kind: SERVICES.get(rank)?, at }))
    });
    known.min_by_key(|(rank, _)| *rank).map(|(_, service)| service)
}

impl Service {
    fn call(&self, gateway: Ipv4Addr, action: &str, arguments: &str) -> Result<String, Error> {
        let kind = self.kind;
        let body = format!(
            "<?xml version=\"1.0\"?>\r\n<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\" \
             s:encodingStyle=\"http://schemas.xmlsoap.org/soap/encoding/\"><s:Body><u:{action} xmlns:u=\"{kind}\">\
             {arguments}</u:{action}></s:Body></s:Envelope>\r\n"
        );
        http(gateway, &self.at, Some((&format!("{kind}#{action}"), &body)))
    }
}

impl Url {
    /// An address at the gateway: any other host is refused, whoever names it.
    pub(super) fn parse(gateway: Ipv4Addr, text: &str) -> Option<Self> {
        let rest = text.strip_prefix("http://")?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = match host.split_once(':') {
            Some((host, port)) => (host, port.parse().ok()?),
            None => (host, 80),
        };
        (host.parse() == Ok(gateway)).then(|| Self::at(port, path)).flatten()
    }

    fn join(gateway: Ipv4Addr, base: &Self, text: &str) -> Option<Self> {
        if text.starts_with("http://") {
            return Self::parse(gateway, text);
        }
        let slash = if text.starts_with('/') { "" } else { "/" };
        Self::at(base.port, &format!("{slash}{text}"))
    }

    /// What cannot stand in a request's first line is refused.
    fn at(port: u16, path: &str) -> Option<Self> {
        let path = if path.is_empty() { "/" } else { path };
        let is_plain = path.len() <= MAX_PATH && path.bytes().all(|byte| byte.is_ascii_graphic());
        is_plain.then(|| Self { port, path: path.to_owned() })
    }
}

/// Asks for a document, or calls with a body. HTTP/1.0, so that the answer is what comes until the end.
fn http(gateway: Ipv4Addr, at: &Url, call: Option<(&str, &str)>) -> Result<String, Error> {
    let until = Instant::now() + CALL_TIMEOUT;
    let left = || {
        let left = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero());
        left.ok_or(Error::Silent)
    };
    let mut stream = TcpStream::connect_timeout(&(gateway, at.port).into(), CALL_TIMEOUT)?;
    let Url { port, path } = at;
    let request = match call {
        None => format!("GET {path} HTTP/1.0\r\nHost: {gateway}:{port}\r\nConnection: close\r\n\r\n"),
        Some((action, body)) => format!(
            "POST {path} HTTP/1.0\r\nHost: {gateway}:{port}\r\nConnection: close\r\n\
             Content-Type: text/xml; charset=\"utf-8\"\r\nSOAPAction: \"{action}\"\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    };
    stream.set_write_timeout(Some(left()?))?;
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut part) = (Vec::new(), [0; 4_096]);
    loop {
        stream.set_read_timeout(Some(left()?))?;
        let len = stream.read(&mut part)?;
        answer.extend_from_slice(part.get(..len).unwrap_or_default());
        if answer.len() as u64 > MAX_ANSWER {
            return Err(Error::Garbled("it is too long"));
        }
        if len == 0 || is_whole(&answer) {
            return content(&String::from_utf8_lossy(&answer));
        }
    }
}

/// Whether all has come that the head announces: some routers leave the connection open.
pub(super) fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let mut headers = head.lines().filter_map(|line| line.split_once(':'));
    let length = headers.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-length"));
    length
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .is_some_and(|length| body.len() >= length)
}

/// What an answer carries, or what it refuses with.
pub(super) fn content(answer: &str) -> Result<String, Error> {
    let (head, body) = answer.split_once("\r\n\r\n").ok_or(Error::Garbled("it has no head"))?;
    let status = head.split(' ').nth(1).and_then(|status| status.get(..3)?.parse::<u16>().ok());
    match status {
        Some(200) => Ok(body.to_owned()),
        Some(status) => {
            let code = element(body, "errorCode").and_then(|code| code.trim().parse().ok());
            Err(Error::Code(code.unwrap_or(status)))
        }
        None => Err(Error::Garbled("it has no status")),
    }
}

/// What stands between the first tags of this name. What routers write needs no more, and what it is used for is
/// compared with what is known, or parsed.
pub(super) fn element<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let from = text.find(&format!("<{name}>"))? + name.len() + 2;
    let rest = text.get(from..)?;
    rest.get(..rest.find(&format!("</{name}>"))?)
}
