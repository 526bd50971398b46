//! Identifiers and the small values that frames carry.

use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use bytes::BufMut;

use super::{Capability, NameRef, Reader, Wire, WireError};

/// An integer that counts or names something, with its own type.
macro_rules! number_id {
    ($($(#[$doc:meta])* $name:ident($inner:ident);)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<'a> Wire<'a> for $name {
            #[inline]
            fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
                $inner::decode(reader, field).map(Self)
            }
            #[inline]
            fn encode(&self, out: &mut impl BufMut) {
                self.0.encode(out);
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                self.0.encoded_len()
            }
        }
    )*};
}

number_id! {
    /// A room for as long as the server's log exists. Never 0 for a room that exists.
    RoomId(u32);
    /// A request of one side of one connection, chosen by the asker; 0 means none.
    RequestId(u32);
    /// An offer to be introduced, chosen by the server.
    OfferId(u64);
    /// A transfer on one link, chosen by the receiver of the file: odd for the side that dialled, even for the other.
    TransferId(u32);
    /// One generation of a peer's numbered list; 0 asks for a fresh one.
    Generation(u32);
}

/// Random identifiers and digests: 16 or 32 bytes, printed as hex.
macro_rules! byte_id {
    ($($(#[$doc:meta])* $name:ident($len:literal);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl<'a> Wire<'a> for $name {
            #[inline]
            fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
                Wire::decode(reader, field).map(Self)
            }
            #[inline]
            fn encode(&self, out: &mut impl BufMut) {
                self.0.encode(out);
            }
            #[inline]
            fn encoded_len(&self) -> usize {
                $len
            }
        }
    )*};
}

byte_id! {
    /// One installation of a client: random, made once, kept with its state.
    DeviceId(16);
    /// A server's log: random, made with it. Cursors of another log mean nothing here.
    ServerId(16);
    /// SHA-256 of the SubjectPublicKeyInfo of the certificate a device uses on direct links.
    LinkKey(32);
    /// A BLAKE3 root or chaining value.
    Hash(32);
}

/// The secret that proves an introduction; single use, prints as `***`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LinkTicket(pub [u8; 32]);

impl LinkTicket {
    /// Compares in a time that does not depend on where the first difference is.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let pairs = self.0.iter().zip(&other.0);
        pairs.fold(0, |sum, (left, right)| core::hint::black_box(sum | (left ^ right))) == 0
    }
}

impl fmt::Debug for LinkTicket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LinkTicket(***)")
    }
}

impl<'a> Wire<'a> for LinkTicket {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        Wire::decode(reader, field).map(Self)
    }
    fn encode(&self, out: &mut impl BufMut) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        32
    }
}

/// The secret of one end of an introduction, for further connections to the server; prints as `***`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SideToken(pub [u8; 32]);

impl fmt::Debug for SideToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SideToken(***)")
    }
}

impl<'a> Wire<'a> for SideToken {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        Wire::decode(reader, field).map(Self)
    }
    fn encode(&self, out: &mut impl BufMut) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        32
    }
}

/// A set of [`Capability`] bits. Unknown bits are carried and never agreed on.
#[derive(Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct Capabilities(u64);

impl Capabilities {
    /// The empty set.
    pub const NONE: Self = Self(0);

    /// This set and `capability`.
    #[must_use]
    pub const fn with(self, capability: Capability) -> Self {
        Self(self.0 | (1 << capability.number()))
    }

    /// Whether `capability` is in the set.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 & (1 << capability.number()) != 0
    }

    /// What both sets have.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// The bits as sent.
    #[must_use]
    pub const fn bits(self) -> u64 {
        self.0
    }
}

impl From<u64> for Capabilities {
    fn from(bits: u64) -> Self {
        Self(bits)
    }
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = Capability::ALL.iter().filter(|capability| self.has(**capability));
        f.debug_set().entries(known.map(|capability| capability.name())).finish()
    }
}

impl<'a> Wire<'a> for Capabilities {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        u64::decode(reader, field).map(Self)
    }
    fn encode(&self, out: &mut impl BufMut) {
        self.0.encode(out);
    }
    fn encoded_len(&self) -> usize {
        8
    }
}

/// An address: one byte 4 or 6, the address, the port.
impl<'a> Wire<'a> for SocketAddr {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        let ip = match u8::decode(reader, field)? {
            4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::decode(reader, field)?)),
            6 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::decode(reader, field)?)),
            value => return Err(WireError::UnknownValue { field, value: value.into() }),
        };
        Ok(Self::new(ip, u16::decode(reader, field)?))
    }
    fn encode(&self, out: &mut impl BufMut) {
        match self.ip() {
            IpAddr::V4(ip) => {
                out.put_u8(4);
                out.put_slice(&ip.octets());
            }
            IpAddr::V6(ip) => {
                out.put_u8(6);
                out.put_slice(&ip.octets());
            }
        }
        out.put_u16(self.port());
    }
    fn encoded_len(&self) -> usize {
        if self.is_ipv4() { 7 } else { 19 }
    }
}

/// Whom a message or a join is for: one byte 1 (a room by number), 2 (a room by name) or 3 (a person).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target<'a> {
    /// A room by its number.
    Id(RoomId),
    /// A group room by name.
    Room(NameRef<'a>),
    /// A person.
    User(NameRef<'a>),
}

impl<'a> Wire<'a> for Target<'a> {
    #[inline]
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        match u8::decode(reader, field)? {
            1 => RoomId::decode(reader, field).map(Self::Id),
            2 => NameRef::decode(reader, field).map(Self::Room),
            3 => NameRef::decode(reader, field).map(Self::User),
            value => Err(WireError::UnknownValue { field, value: value.into() }),
        }
    }
    #[inline]
    fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Id(room) => {
                out.put_u8(1);
                room.encode(out);
            }
            Self::Room(name) => {
                out.put_u8(2);
                name.encode(out);
            }
            Self::User(name) => {
                out.put_u8(3);
                name.encode(out);
            }
        }
    }
    #[inline]
    fn encoded_len(&self) -> usize {
        1 + match self {
            Self::Id(room) => room.encoded_len(),
            Self::Room(name) | Self::User(name) => name.encoded_len(),
        }
    }
}

/// Which file is asked for: one byte 1 (number of a generation) or 2 (a root, whoever has it).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// A number of one generation of the list.
    Number {
        /// The generation whose list showed the number.
        generation: Generation,
        /// The number, from 1.
        number: u32,
    },
    /// Any file with this BLAKE3 root.
    Root(Hash),
}

impl<'a> Wire<'a> for Source {
    fn decode(reader: &mut Reader<'a>, field: &'static str) -> Result<Self, WireError> {
        match u8::decode(reader, field)? {
            1 => Ok(Self::Number {
                generation: Generation::decode(reader, field)?,
                number: u32::decode(reader, field)?,
            }),
            2 => Hash::decode(reader, field).map(Self::Root),
            value => Err(WireError::UnknownValue { field, value: value.into() }),
        }
    }
    fn encode(&self, out: &mut impl BufMut) {
        match self {
            Self::Number { generation, number } => {
                out.put_u8(1);
                generation.encode(out);
                number.encode(out);
            }
            Self::Root(root) => {
                out.put_u8(2);
                root.encode(out);
            }
        }
    }
    fn encoded_len(&self) -> usize {
        match self {
            Self::Number { .. } => 9,
            Self::Root(_) => 33,
        }
    }
}
