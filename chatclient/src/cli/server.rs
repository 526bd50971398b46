//! The value of `--server`: a host and a port, or an invite.

use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use chatnet::{Fingerprint, FingerprintError};
use chatproto::wire::Note;

use crate::settings::{DEFAULT_PORT, ServerAddr};

/// A server, and what an invite says about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Where it is.
    pub addr: ServerAddr,
    /// The certificate that it must show, if the invite says so.
    pub fingerprint: Option<Fingerprint>,
    /// The code of the invitation, if there is one.
    pub invite: Option<Note>,
}

/// Why a text names no server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// Another scheme than `chat`.
    #[error("an invite begins with chat://, not with {0}://")]
    Scheme(String),
    /// An ID or password before the host.
    #[error("an invite carries no user; name yours with --user")]
    User,
    /// Something after the host that is neither `/` nor a query.
    #[error("an invite has no path, this one has {0:?}")]
    Path(String),
    /// Something after `#`.
    #[error("an invite has no fragment (#)")]
    Fragment,
    /// A parameter that is not known, or has no value.
    #[error("an invite has the parameters fp=sha256:HEX and invite=CODE, not {0:?}")]
    Parameter(String),
    /// The same parameter twice.
    #[error("an invite has its fp only once")]
    TwoFingerprints,
    /// The same code twice, or none that can be one.
    #[error("an invite has one code, of letters, digits and dashes")]
    Code,
    /// The fingerprint is none.
    #[error("{0}")]
    Fingerprint(FingerprintError),
    /// No host.
    #[error("the host is missing")]
    NoHost,
    /// A host that cannot exist.
    #[error("{found:?} cannot stand in the host {host:?}")]
    HostChar {
        /// The host.
        host: String,
        /// The first character that cannot be there.
        found: char,
    },
    /// A host name past the length that name servers know.
    #[error("a host name has at most {MAX_HOST} characters, this one has {0}")]
    HostLength(usize),
    /// An IPv6 address without brackets and with something behind it, or in brackets and wrong.
    #[error("{0:?} is no host and port; an IPv6 address goes in brackets, as [::1]:{DEFAULT_PORT}")]
    Ipv6(String),
    /// A port that is none.
    #[error("{0:?} is no port from 1 to 65535")]
    Port(String),
}

impl FromStr for Server {
    type Err = ServerError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("chat") => invite(rest),
            Some((scheme, _)) => Err(ServerError::Scheme(scheme.to_owned())),
            None => Ok(Self { addr: address(text)?, fingerprint: None, invite: None }),
        }
    }
}

/// What follows `chat://`.
fn invite(rest: &str) -> Result<Server, ServerError> {
    if rest.contains('#') {
        return Err(ServerError::Fragment);
    }
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, path) = before.split_once('/').unwrap_or((before, ""));
    if authority.contains('@') {
        return Err(ServerError::User);
    }
    if !path.is_empty() {
        return Err(ServerError::Path(format!("/{path}")));
    }
    let mut fingerprint = None;
    let mut invite = None;
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let value = match parameter.split_once('=') {
            Some(("fp", value)) => value,
            Some(("invite", value)) => {
                let is_code = |c: char| c.is_ascii_alphanumeric() || c == '-';
                let code = Some(value).filter(|value| !value.is_empty() && value.chars().all(is_code));
                let code = code.and_then(|value| Note::new(value).ok()).ok_or(ServerError::Code)?;
                if invite.replace(code).is_some() {
                    return Err(ServerError::Code);
                }
                continue;
            }
            Some(_) | None => return Err(ServerError::Parameter(parameter.to_owned())),
        };
        // Of its characters only the colon is ever percent-encoded by what passes links on.
        let value = value.replace("%3A", ":").replace("%3a", ":");
        let value = value.parse().map_err(ServerError::Fingerprint)?;
        if fingerprint.replace(value).is_some() {
            return Err(ServerError::TwoFingerprints);
        }
    }
    Ok(Server { addr: address(authority)?, fingerprint, invite })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`, or an IPv6 address alone.
fn address(text: &str) -> Result<ServerAddr, ServerError> {
    if text.parse::<Ipv6Addr>().is_ok() {
        return Ok(ServerAddr { host: text.to_owned(), port: DEFAULT_PORT });
    }
    if let Some(inner) = text.strip_prefix('[') {
        let wrong = || ServerError::Ipv6(text.to_owned());
        let (host, rest) = inner.split_once(']').ok_or_else(wrong)?;
        host.parse::<Ipv6Addr>().map_err(|_| wrong())?;
        let port = match rest.strip_prefix(':') {
            Some(digits) => port(digits)?,
            None if rest.is_empty() => DEFAULT_PORT,
            None => return Err(wrong()),
        };
        return Ok(ServerAddr { host: host.to_owned(), port });
    }
    let (host, port) = match text.split_once(':') {
        Some((_, rest)) if rest.contains(':') => return Err(ServerError::Ipv6(text.to_owned())),
        Some((host, digits)) => (host, port(digits)?),
        None => (text, DEFAULT_PORT),
    };
    check_host(host)?;
    Ok(ServerAddr { host: host.to_owned(), port })
}

fn check_host(host: &str) -> Result<(), ServerError> {
    if host.is_empty() {
        return Err(ServerError::NoHost);
    }
    if host.len() > MAX_HOST {
        return Err(ServerError::HostLength(host.len()));
    }
    if host.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match host.chars().find(|c| !c.is_ascii_alphanumeric() && !matches!(c, '-' | '.' | '_')) {
        Some(found) => Err(ServerError::HostChar { host: host.to_owned(), found }),
        None => Ok(()),
    }
}

fn port(digits: &str) -> Result<u16, ServerError> {
    let number = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok()).flatten();
    number.filter(|&port| port > 0).ok_or_else(|| ServerError::Port(digits.to_owned()))
}

/// The longest name that name servers know (RFC 1035, section 2.3.4), without the dot of the root.
const MAX_HOST: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

    #[test]
    fn hosts_and_ports_are_read() {
        for (text, host, port) in [
            ("chat.example.org", "chat.example.org", 4848),
            ("chat.example.org:5000", "chat.example.org", 5000),
            ("my_lab-1:1", "my_lab-1", 1),
            ("127.0.0.1:65535", "127.0.0.1", 65535),
            ("[::1]:5000", "::1", 5000),
            ("[fe80::1]", "fe80::1", 4848),
            ("::1", "::1", 4848),
            ("chat://chat.example.org", "chat.example.org", 4848),
            ("CHAT://chat.example.org:7/", "chat.example.org", 7),
            ("chat://[::1]:7/?", "::1", 7),
        ] {
            let server: Server = text.parse().unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!((server.addr.host.as_str(), server.addr.port), (host, port), "{text}");
            assert_eq!(server.fingerprint, None, "{text}");
        }
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        for text in ["host:4848", "[::1]:4848", "10.0.0.1:1"] {
            assert_eq!(text.parse::<Server>().unwrap().addr.to_string(), text);
        }
    }

    #[test]
    fn invites_carry_the_fingerprint() {
        let expected: Fingerprint = HEX.parse().unwrap();
        for text in [
            format!("chat://host:4848/?fp=sha256:{HEX}"),
            format!("chat://host?fp=sha256%3A{HEX}"),
            format!("chat://[::1]/?fp={}", HEX.to_uppercase()),
        ] {
            assert_eq!(text.parse::<Server>().unwrap().fingerprint, Some(expected), "{text}");
        }
    }

    #[test]
    fn invites_carry_the_code_to_register_with() {
        let link = format!("chat://host/?fp=sha256:{HEX}&invite=k7fq-2m9d");
        let server: Server = link.parse().unwrap();
        assert_eq!(server.invite.unwrap().as_str(), "k7fq-2m9d");
        assert!(server.fingerprint.is_some());
        for wrong in ["chat://host/?invite=", "chat://host/?invite=a b", "chat://host/?invite=a&invite=a"] {
            assert_eq!(wrong.parse::<Server>(), Err(ServerError::Code), "{wrong}");
        }
    }

    #[test]
    fn everything_else_is_refused_and_says_why() {
        use ServerError as E;
        for (text, error) in [
            ("", E::NoHost),
            (":4848", E::NoHost),
            ("chat://", E::NoHost),
            ("chat:///?fp=", E::Fingerprint(FingerprintError::Length(0))),
            ("https://host", E::Scheme("https".into())),
            ("chat://alice@host", E::User),
            ("chat://host/lobby", E::Path("/lobby".into())),
            ("chat://host/#x", E::Fragment),
            ("chat://host?fp", E::Parameter("fp".into())),
            ("chat://host?token=1", E::Parameter("token=1".into())),
            ("chat://host?fp=sha256:12", E::Fingerprint(FingerprintError::Length(2))),
            ("host:", E::Port(String::new())),
            ("host:0", E::Port("0".into())),
            ("host:+1", E::Port("+1".into())),
            ("host:65536", E::Port("65536".into())),
            ("host:48 48", E::Port("48 48".into())),
            ("ho st", E::HostChar { host: "ho st".into(), found: ' ' }),
            ("h\u{1b}[0m", E::HostChar { host: "h\u{1b}[0m".into(), found: '\u{1b}' }),
            ("bücher.example", E::HostChar { host: "bücher.example".into(), found: 'ü' }),
            ("host/x", E::HostChar { host: "host/x".into(), found: '/' }),
            ("::1:x", E::Ipv6("::1:x".into())),
            ("[::1", E::Ipv6("[::1".into())),
            ("[::1]x", E::Ipv6("[::1]x".into())),
            ("[host]:1", E::Ipv6("[host]:1".into())),
        ] {
            assert_eq!(text.parse::<Server>(), Err(error), "{text:?}");
        }
        let twice = format!("chat://host?fp={HEX}&fp={HEX}");
        assert_eq!(twice.parse::<Server>(), Err(E::TwoFingerprints));
        assert_eq!("a".repeat(254).parse::<Server>(), Err(E::HostLength(254)));
    }
}
