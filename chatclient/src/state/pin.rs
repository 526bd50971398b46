//! The servers' certificates, remembered from the first contact: `known_servers`, a file for people too.
//!
//! Each line has the address as it was given, the certificate, and maybe, after `next`, the one that the server has announced
//! to show later. `#` begins a comment. A state directory is one user at one server: where the address is a new one, the last
//! line holds, for a server that moved.

use super::StateError;
use super::folder::Folder;
use super::hex;

/// A fingerprint is the SHA-256 of the server's certificate.
pub const FINGERPRINT_BYTES: usize = 32;

/// Lines that are kept; the oldest go.
const MAX_SERVERS: usize = 64;

const FILE: &str = "known_servers";
const PREFIX: &str = "sha256:";
const NEXT: &str = "next";
const HEAD: &str =
    "# Servers that this client knows: address, certificate, and the one announced to come next.\n";

/// What is remembered of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownServer {
    /// The certificate that it must show.
    pub fingerprint: [u8; FINGERPRINT_BYTES],
    /// Or this one, which it has announced under the first.
    pub next: Option<[u8; FINGERPRINT_BYTES]>,
}

pub(super) fn load(folder: &Folder, address: &str) -> Result<Option<KnownServer>, StateError> {
    let servers = read(folder)?;
    let found = servers.iter().find(|(known, _)| known == address).or_else(|| servers.last());
    Ok(found.map(|(_, server)| *server))
}

pub(super) fn store(folder: &Folder, address: &str, server: KnownServer) -> Result<(), StateError> {
    let mut servers = read(folder)?;
    servers.retain(|(known, _)| known != address);
    servers.push((address.to_owned(), server));
    let excess = servers.len().saturating_sub(MAX_SERVERS);
    let lines = servers.iter().skip(excess).map(|(address, KnownServer { fingerprint, next })| {
        let next = next.map_or_else(String::new, |next| format!(" {NEXT} {PREFIX}{}", hex::encode(&next)));
        format!("{address} {PREFIX}{}{next}\n", hex::encode(fingerprint))
    });
    let text = std::iter::once(HEAD.to_owned()).chain(lines).collect::<String>();
    folder.replace(FILE, text.as_bytes()).map(drop)
}

fn read(folder: &Folder) -> Result<Vec<(String, KnownServer)>, StateError> {
    let Some(text) = folder.read(FILE)? else { return Ok(Vec::new()) };
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let servers = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(at, line)| {
            parse(line).ok_or_else(|| {
                folder.corrupt(FILE, format!("line {at} does not read ADDRESS sha256:HEX [next sha256:HEX]"))
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    // A file that lost its lines must not make a server that was met look new.
    if servers.is_empty() {
        return Err(folder.corrupt(FILE, "it names no server; remove it to meet the server anew"));
    }
    Ok(servers)
}

fn parse(line: &str) -> Option<(String, KnownServer)> {
    let fingerprint = |word: &str| word.strip_prefix(PREFIX).and_then(hex::decode);
    let mut words = line.split_whitespace();
    let address = words.next()?.to_owned();
    let shown = fingerprint(words.next()?)?;
    let next = match words.next() {
        None => None,
        Some(NEXT) => Some(fingerprint(words.next()?)?),
        Some(_) => return None,
    };
    words.next().is_none().then_some((address, KnownServer { fingerprint: shown, next }))
}
