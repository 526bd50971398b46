//! Whom a ban of the whole server is about: an account, or the addresses of a network.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use core::str::FromStr;

use alloc::string::{String, ToString as _};

use bytes::BufMut;

use super::{Name, NameRef, Reader, Wire, WireError};

/// The addresses that begin with the same bits; one address is a network of its own.
///
/// There is one value for one set of addresses: the bits behind the prefix are 0, and an IPv4 address inside of IPv6
/// (`::ffff:0:0/96`) is the IPv4 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of `prefix` bits that `addr` is in; `None` if an address has fewer bits.
    #[must_use]
    pub fn new(addr: IpAddr, prefix: u8) -> Option<Self> {
        let width = if addr.is_ipv4() { 32 } else { 128 };
        if prefix > width {
            return None;
        }
        let base = match addr {
            IpAddr::V4(addr) => IpAddr::V4(Ipv4Addr::from_bits(addr.to_bits() & mask32(prefix))),
            IpAddr::V6(addr) => IpAddr::V6(Ipv6Addr::from_bits(addr.to_bits() & mask128(prefix))),
        };
        match base.to_canonical() {
            canonical @ IpAddr::V4(_) if base.is_ipv6() && prefix >= MAPPED => {
                Some(Self { base: canonical, prefix: prefix - MAPPED })
            }
            IpAddr::V4(_) | IpAddr::V6(_) => Some(Self { base, prefix }),
        }
    }

    /// One address.
    #[must_use]
    pub fn of(addr: IpAddr) -> Self {
        let base = addr.to_canonical();
        Self { base, prefix: if base.is_ipv4() { 32 } else { 128 } }
    }

    /// The lowest address.
    #[must_use]
    pub fn base(&self) -> IpAddr {
        self.base
    }

    /// How many bits its addresses share.
    #[must_use]
    pub fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `addr` is in it; an IPv4 address inside of IPv6 counts as what it is.
    #[must_use]
    pub fn contains(&self, addr: IpAddr) -> bool {
        let addr = addr.to_canonical();
        addr.is_ipv4() == self.base.is_ipv4() && Self::new(addr, self.prefix) == Some(*self)
    }
}

/// As `192.0.2.0/24`; one address without its prefix.
impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::of(self.base) {
            self.base.fmt(f)
        } else {
            write!(f, "{}/{}", self.base, self.prefix)
        }
    }
}

/// One byte 4 or 6, the address, the prefix. Anything but the one value for its addresses is refused.
impl<'a> Wire<'a> for Network {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let base = match u8::decode(reader, field)? {
            4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::decode(reader, field)?)),
            6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::decode(reader, field)?)),
            value => return Err(WireError::UnknownValue { field, value: value.into() }),
        };
        let prefix = u8::decode(reader, field)?;
        let network = Self::new(base, prefix).filter(|network| network.base == base);
        network.ok_or(WireError::UnknownValue { field, value: prefix.into() })
    }
    fn encode(&self, out: &mut impl BufMut) {
        match self.base {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
        out.put_u8(self.prefix);
    }
    fn encoded_len(&self) -> usize {
        if self.base.is_ipv4() { 6 } else { 18 }
    }
}

/// Whom a ban of the whole server is about, borrowed from a frame: one byte 1 and a name, or 2 and a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubjectRef<'a> {
    /// An account.
    User(NameRef<'a>),
    /// The addresses of a network.
    Network(Network),
}

impl SubjectRef<'_> {
    /// The owned form.
    #[must_use]
    pub fn to_owned(self) -> Subject {
        match self {
            Self::User(name) => Subject::User(name.to_owned()),
            Self::Network(network) => Subject::Network(network),
        }
    }
}

impl<'a> Wire<'a> for SubjectRef<'a> {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        match u8::decode(reader, field)? {
            1 => NameRef::decode(reader, field).map(Self::User),
            2 => Network::decode(reader, field).map(Self::Network),
            value => Err(WireError::UnknownValue { field, value: value.into() }),
        }
    }
    fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::User(name) => {
                out.put_u8(1);
                name.encode(out);
            }
            Self::Network(network) => {
                out.put_u8(2);
                network.encode(out);
            }
        }
    }
    fn encoded_len(&self) -> usize {
        1 + match self {
            Self::User(name) => name.encoded_len(),
            Self::Network(network) => network.encoded_len(),
        }
    }
}

/// Whom a ban of the whole server is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subject {
    /// An account.
    User(Name),
    /// The addresses of a network.
    Network(Network),
}

impl Subject {
    /// As a frame says it.
    #[must_use]
    pub fn borrow(&self) -> SubjectRef<'_> {
        match self {
            Self::User(name) => SubjectRef::User(name.borrow()),
            Self::Network(network) => SubjectRef::Network(*network),
        }
    }

    /// As people write it, and [`FromStr`] reads it.
    #[must_use]
    pub fn as_written(&self) -> String {
        match self {
            // A name may look like an address; then it needs the mark.
            Self::User(name) if name.as_str().parse::<IpAddr>().is_ok() => {
                alloc::format!("{ACCOUNT_MARK}{}", name.as_str())
            }
            Self::User(name) => name.as_str().into(),
            Self::Network(network) => network.to_string(),
        }
    }
}

/// `192.0.2.7`, `2001:db8::/32`, or the name of an account, which may have an `@` before it.
impl FromStr for Subject {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        let account = |name: &str| Name::new(name).map(Self::User).map_err(SubjectError::Name);
        if let Some(name) = text.strip_prefix(ACCOUNT_MARK) {
            return account(name);
        }
        if let Some((addr, prefix)) = text.split_once('/') {
            let addr = addr.parse::<IpAddr>().map_err(|_| SubjectError::Network)?;
            let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
            let prefix = prefix.parse().ok().filter(|_| digits).ok_or(SubjectError::Network)?;
            let network = Network::new(addr, prefix).ok_or(SubjectError::Network)?;
            return if network.prefix() == 0 {
                Err(SubjectError::Everybody)
            } else {
                Ok(Self::Network(network))
            };
        }
        match text.parse::<IpAddr>() {
            Ok(addr) => Ok(Self::Network(Network::of(addr))),
            Err(_) if text.contains(':') => Err(SubjectError::Network),
            Err(_) => account(text),
        }
    }
}

/// Why a text names nobody.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubjectError {
    /// It is neither an address nor a name.
    #[error("neither an address nor a name: {0}")]
    Name(WireError),
    /// It should be an address or a network, and is none.
    #[error("not an address or network, as 192.0.2.7 or 2001:db8::/32")]
    Network,
    /// All addresses there are.
    #[error("this would be everybody: use lockdown")]
    Everybody,
}

/// Before a name that would otherwise be taken for an address.
const ACCOUNT_MARK: char = '@';

/// Bits of the prefix in front of IPv4 addresses inside of IPv6.
const MAPPED: u8 = 96;

fn mask32(prefix: u8) -> u32 {
    u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0)
}

fn mask128(prefix: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        match text.parse() {
            Ok(Subject::Network(network)) => network,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn there_is_one_value_for_one_set_of_addresses() {
        assert_eq!(network("192.0.2.77/24"), network("192.0.2.0/24"));
        assert_eq!(network("::ffff:192.0.2.77"), network("192.0.2.77/32"));
        assert_eq!(network("::ffff:192.0.2.77/120"), network("192.0.2.0/24"));
        assert_eq!(network("2001:db8:1::/32").to_string(), "2001:db8::/32");
        assert_eq!(network("192.0.2.7").to_string(), "192.0.2.7");
    }

    #[test]
    fn addresses_are_in_the_networks_that_begin_like_them() {
        let is_in = |addr: &str, of: &str| network(of).contains(addr.parse().unwrap());
        assert!(is_in("192.0.2.255", "192.0.2.0/24") && !is_in("192.0.3.0", "192.0.2.0/24"));
        assert!(is_in("::ffff:192.0.2.1", "192.0.2.0/24"), "IPv4 inside of IPv6 is IPv4");
        assert!(is_in("2001:db8:ffff::1", "2001:db8::/32") && !is_in("2001:db9::", "2001:db8::/32"));
        assert!(!is_in("192.0.2.1", "c000::/8"), "bits of one family say nothing about the other");
        assert!(is_in("192.0.2.1", "192.0.2.1") && !is_in("192.0.2.2", "192.0.2.1"));
        assert!(is_in("128.0.0.0", "128.0.0.0/1") && !is_in("127.0.0.0", "128.0.0.0/1"));
    }

    #[test]
    fn what_people_write_is_read_back() {
        for text in ["alice", "@192.0.2.7", "192.0.2.7", "10.0.0.0/8", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Subject>().map(|subject| subject.as_written()), Ok(text.to_string()));
        }
        assert_eq!("@alice".parse(), Ok(Subject::User(Name::new("alice").unwrap())));
        for text in ["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/+8", "alice/8", "1:2", "::1/129"] {
            assert_eq!(text.parse::<Subject>(), Err(SubjectError::Network), "{text}");
        }
        assert_eq!("0.0.0.0/0".parse::<Subject>(), Err(SubjectError::Everybody));
        assert!(matches!("a b".parse::<Subject>(), Err(SubjectError::Name(_))));
    }

    #[test]
    fn a_frame_carries_no_second_value_for_the_same_addresses() {
        let decode = |bytes: &[u8]| Network::decode(&mut Reader::new(bytes), "subject");
        assert_eq!(decode(&[4, 192, 0, 2, 0, 24]), Ok(network("192.0.2.0/24")));
        assert!(decode(&[4, 192, 0, 2, 1, 24]).is_err(), "bits behind the prefix");
        assert!(decode(&[4, 192, 0, 2, 0, 33]).is_err(), "more bits than an address has");
        let mapped = [6, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 0, 120];
        assert!(decode(&mapped).is_err(), "IPv4 inside of IPv6");
    }
}
