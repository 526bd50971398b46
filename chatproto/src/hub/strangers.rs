//! Who waits in or before a login, and from where: nobody takes all the room there is for strangers.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};

use super::{Config, ConnId};
use crate::Instant;

/// Counts of connections in or before a login. Holds no more addresses than strangers, which [`Config::max_strangers`]
/// bounds.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    count: usize,
    refused: u64,
    /// Those who have not said hello, and since when: the oldest come first, for numbers rise.
    silent: BTreeMap<ConnId, Instant>,
    origins: BTreeMap<IpAddr, usize>,
}

impl Strangers {
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// Counts one more; says why there is no room for it, if so. It counts in any case, until it leaves.
    pub(super) fn enter(&mut self, ip: IpAddr, config: &Config) -> Result<(), &'static str> {
        self.count += 1;
        let here = self.origins.entry(origin(ip)).or_default();
        *here += 1;
        let verdict = if self.count > config.max_strangers {
            Err("too many logins at once")
        } else if *here > config.max_strangers_per_address {
            Err("too many logins at once from this address")
        } else {
            Ok(())
        };
        self.refused += u64::from(verdict.is_err());
        verdict
    }

    /// It has entered and said nothing yet.
    pub(super) fn waits_for(&mut self, id: ConnId, now: Instant) {
        self.silent.insert(id, now);
    }

    /// It has said what it wants.
    pub(super) fn has_spoken(&mut self, id: ConnId) {
        self.silent.remove(&id);
    }

    /// Whoever has to give way to one more from `ip`: the one who has been silent for longest, if all places are taken, that
    /// was long enough, and the address has places left.
    pub(super) fn gives_way(&self, ip: IpAddr, config: &Config, now: Instant) -> Option<ConnId> {
        let (&id, &since) = self.silent.first_key_value()?;
        let here = self.origins.get(&origin(ip)).copied().unwrap_or_default();
        let is_due = self.count >= config.max_strangers && now.since(since) >= config.stranger_grace;
        (is_due && here < config.max_strangers_per_address).then_some(id)
    }

    /// How often there was no room, since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// One that entered from `ip` is in, or handed over, or gone.
    pub(super) fn leave(&mut self, id: ConnId, ip: IpAddr) {
        self.has_spoken(id);
        self.count = self.count.saturating_sub(1);
        let ip = origin(ip);
        if let Some(here) = self.origins.get_mut(&ip) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                self.origins.remove(&ip);
            }
        }
    }
}

/// Where somebody comes from: an IPv4 address, or the part of an IPv6 address that one customer has.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip,
    }
}
