//! Which socket is which connection of the hub.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasherDefault, Hasher};

use chatnet::ConnToken;
use chatproto::hub::ConnId;

/// Both directions of the mapping, and what else is known of a socket.
#[derive(Debug, Default)]
pub(super) struct Links {
    conns: HashMap<ConnToken, ConnId, BuildHasherDefault<OwnKeys>>,
    tokens: HashMap<ConnId, Link, BuildHasherDefault<OwnKeys>>,
    /// Connections that are not read for now.
    paused: BTreeSet<ConnId>,
}

#[derive(Debug)]
struct Link {
    token: ConnToken,
    channel_binding: Option<[u8; 32]>,
}

impl Links {
    pub(super) fn insert(&mut self, token: ConnToken, conn: ConnId, channel_binding: Option<[u8; 32]>) {
        self.conns.insert(token, conn);
        self.tokens.insert(conn, Link { token, channel_binding });
    }

    pub(super) fn remove(&mut self, token: ConnToken) -> Option<ConnId> {
        let conn = self.conns.remove(&token)?;
        self.tokens.remove(&conn);
        self.paused.remove(&conn);
        Some(conn)
    }

    pub(super) fn conn(&self, token: ConnToken) -> Option<ConnId> {
        self.conns.get(&token).copied()
    }

    pub(super) fn token(&self, conn: ConnId) -> Option<ConnToken> {
        self.tokens.get(&conn).map(|link| link.token)
    }

    /// What ties a login to the TLS connection it runs in; empty for plaintext.
    pub(super) fn channel_binding(&self, conn: ConnId) -> &[u8] {
        self.tokens
            .get(&conn)
            .and_then(|link| link.channel_binding.as_ref())
            .map_or(&[], |binding| &binding[..])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.conns.is_empty()
    }

    pub(super) fn pause(&mut self, conn: ConnId) {
        self.paused.insert(conn);
    }

    /// The sockets of paused connections that may be read again.
    pub(super) fn resume(&mut self, wants_read: impl Fn(ConnId) -> bool) -> Vec<ConnToken> {
        let ready = self.paused.iter().copied().filter(|conn| wants_read(*conn)).collect::<Vec<_>>();
        for conn in &ready {
            self.paused.remove(conn);
        }
        ready.into_iter().filter_map(|conn| self.token(conn)).collect()
    }
}

/// Hashes keys that this server has given out itself: nobody can choose them to collide, and both maps are asked for every
/// write to every socket.
#[derive(Debug, Default)]
struct OwnKeys(u64);

impl OwnKeys {
    /// The odd number next to 2^64 divided by the golden ratio: it spreads consecutive keys over all bits.
    const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
}

impl Hasher for OwnKeys {
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u32(&mut self, key: u32) {
        self.write_u64(u64::from(key));
    }

    fn write_u64(&mut self, key: u64) {
        self.0 = (self.0.rotate_left(5) ^ key).wrapping_mul(Self::SPREAD);
    }

    fn finish(&self) -> u64 {
        // A table takes the low bits for the place and the high ones for the tag.
        self.0 ^ (self.0 >> 32)
    }
}
