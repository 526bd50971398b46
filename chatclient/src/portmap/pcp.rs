//! PCP (RFC 6887) and NAT-PMP (RFC 6886): packets of a few dozen bytes to one port of the gateway.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddrV4, UdpSocket};
use std::time::{Duration, Instant};

use super::{Error, Mapped, Protocol, Router};

/// Where a gateway is asked.
pub(super) const PORT: u16 = 5351;

/// How long each of the packets waits for an answer: lost ones are sent again.
const WAITS: [Duration; 4] =
    [Duration::from_millis(250), Duration::from_millis(500), Duration::from_secs(1), Duration::from_secs(2)];

/// More than PCP allows in a packet.
const MAX_PACKET: usize = 1_101;

const PCP: u8 = 2;
const NAT_PMP: u8 = 0;
const IS_RESPONSE: u8 = 0x80;
const PCP_MAP: u8 = 1;
const NAT_PMP_ADDRESS: u8 = 0;
const NAT_PMP_MAP_TCP: u8 = 2;
const TCP: u8 = 6;

/// A PCP request or response with one MAP, without options.
const MAP_LEN: usize = 60;

/// Has a TCP port mapped by PCP; a lease of zero takes it back.
pub(super) fn map(router: &Router, suggested: u16, lease: Duration) -> Result<Mapped, Error> {
    let request = map_request(router, suggested, lease);
    ask(router, &request, |answer| map_response(router, answer))
}

pub(super) fn map_request(router: &Router, suggested: u16, lease: Duration) -> [u8; MAP_LEN] {
    let mut packet = [0; MAP_LEN];
    let (head, map) = packet.split_at_mut(24);
    if let [version, opcode, ..] = head {
        (*version, *opcode) = (PCP, PCP_MAP);
    }
    put(head, 4, &seconds(lease).to_be_bytes());
    put(head, 8, &router.local.to_ipv6_mapped().octets());
    put(map, 0, &router.nonce);
    put(map, 12, &[TCP]);
    put(map, 16, &router.port.to_be_bytes());
    put(map, 18, &suggested.to_be_bytes());
    put(map, 20, &Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    packet
}

/// What an answer comes to; `None` when it is the answer to something else.
pub(super) fn map_response(router: &Router, answer: &[u8]) -> Option<Result<Mapped, Error>> {
    let (version, opcode) = (*answer.first()?, *answer.get(1)?);
    if version == NAT_PMP {
        return Some(Err(Error::Refused("it speaks only NAT-PMP")));
    }
    if (version, opcode) != (PCP, PCP_MAP | IS_RESPONSE) || answer.len() < 24 {
        return None;
    }
    let code = *answer.get(3)?;
    if code != 0 {
        return Some(Err(pcp_refusal(code)));
    }
    let map = answer.get(24..MAP_LEN)?;
    let ours = map.get(..12)? == router.nonce && *map.get(12)? == TCP && u16_at(map, 16)? == router.port;
    if !ours {
        return None;
    }
    let external: [u8; 16] = map.get(20..36)?.try_into().ok()?;
    let Some(address) = Ipv6Addr::from(external).to_ipv4_mapped() else {
        return Some(Err(Error::Garbled("an external address of another family")));
    };
    let external = SocketAddrV4::new(address, u16_at(map, 18)?);
    let lease = Duration::from_secs(u32_at(answer, 4)?.into());
    Some(Ok(Mapped { protocol: Protocol::Pcp, external, lease }))
}

/// Has a TCP port mapped by NAT-PMP; a lease of zero takes it back.
pub(super) fn map_nat_pmp(router: &Router, suggested: u16, lease: Duration) -> Result<Mapped, Error> {
    let address = ask(router, &[NAT_PMP, NAT_PMP_ADDRESS], address_response)?;
    let request = nat_pmp_request(router.port, suggested, lease);
    ask(router, &request, |answer| nat_pmp_response(router.port, address, answer))
}

pub(super) fn nat_pmp_request(port: u16, suggested: u16, lease: Duration) -> [u8; 12] {
    let mut packet = [NAT_PMP, NAT_PMP_MAP_TCP, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    put(&mut packet, 4, &port.to_be_bytes());
    put(&mut packet, 6, &suggested.to_be_bytes());
    put(&mut packet, 8, &seconds(lease).to_be_bytes());
    packet
}

pub(super) fn address_response(answer: &[u8]) -> Option<Result<Ipv4Addr, Error>> {
    Some(match nat_pmp_head(NAT_PMP_ADDRESS, answer)? {
        Ok(()) => u32_at(answer, 8).map(Ipv4Addr::from).ok_or(Error::Garbled("it is too short")),
        Err(error) => Err(error),
    })
}

pub(super) fn nat_pmp_response(port: u16, address: Ipv4Addr, answer: &[u8]) -> Option<Result<Mapped, Error>> {
    if let Err(error) = nat_pmp_head(NAT_PMP_MAP_TCP, answer)? {
        return Some(Err(error));
    }
    if u16_at(answer, 8)? != port {
        return None;
    }
    let external = SocketAddrV4::new(address, u16_at(answer, 10)?);
    let lease = Duration::from_secs(u32_at(answer, 12)?.into());
    Some(Ok(Mapped { protocol: Protocol::NatPmp, external, lease }))
}

/// Whether it answers this request, and says yes.
fn nat_pmp_head(opcode: u8, answer: &[u8]) -> Option<Result<(), Error>> {
    if (*answer.first()?, *answer.get(1)?) != (NAT_PMP, opcode | IS_RESPONSE) {
        return None;
    }
    Some(match u16_at(answer, 2)? {
        0 => Ok(()),
        1 => Err(Error::Refused("it does not speak this version")),
        2 => Err(Error::Refused("port mapping is switched off there")),
        3 => Err(Error::Refused("it has no address of its own yet")),
        4 => Err(Error::Refused("all its ports are taken")),
        code => Err(Error::Code(code)),
    })
}

fn pcp_refusal(code: u8) -> Error {
    match code {
        1 => Error::Refused("it does not speak this version"),
        2 => Error::Refused("port mapping is switched off there"),
        4 => Error::Refused("it maps no ports"),
        7 => Error::Refused("it has no address of its own yet"),
        8 => Error::Refused("all its ports are taken"),
        10 => Error::Refused("this machine has all the ports that it may have"),
        12 => Error::Refused("another address translation lies before it"),
        code => Error::Code(code.into()),
    }
}

/// Sends a request until there is an answer to it. Only the gateway's own words come through a connected socket.
fn ask<T>(
    router: &Router,
    request: &[u8],
    read: impl Fn(&[u8]) -> Option<Result<T, Error>>,
) -> Result<T, Error> {
    let socket = UdpSocket::bind((router.local, 0))?;
    socket.connect((router.gateway, PORT))?;
    let mut packet = [0; MAX_PACKET];
    for wait in WAITS {
        socket.send(request)?;
        let until = Instant::now() + wait;
        while let Some(left) = until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let len = match socket.recv(&mut packet).map_err(Error::from) {
                Ok(len) => len,
                Err(Error::Silent) => break,
                Err(error) => return Err(error),
            };
            if let Some(outcome) = packet.get(..len).and_then(&read) {
                return outcome;
            }
        }
    }
    Err(Error::Silent)
}

fn seconds(lease: Duration) -> u32 {
    u32::try_from(lease.as_secs()).unwrap_or(u32::MAX)
}

fn put(packet: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = packet.get_mut(at..at + bytes.len()) {
        place.copy_from_slice(bytes);
    }
}

fn u16_at(packet: &[u8], at: usize) -> Option<u16> {
    packet.get(at..at + 2)?.try_into().ok().map(u16::from_be_bytes)
}

fn u32_at(packet: &[u8], at: usize) -> Option<u32> {
    packet.get(at..at + 4)?.try_into().ok().map(u32::from_be_bytes)
}
