//! Who waits in or before a login, and from where: nobody takes all the room there is for strangers.

use alloc::collections::BTreeMap;
use core::net::{IpAddr, Ipv6Addr};

use super::Config;

/// Counts of connections in or before a login. Holds no more addresses than strangers, which [`Config::max_strangers`]
/// bounds.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    count: usize,
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
        if self.count > config.max_strangers {
            Err("too many logins at once")
        } else if *here > config.max_strangers_per_address {
            Err("too many logins at once from this address")
        } else {
            Ok(())
        }
    }

    /// One that entered from `ip` is in, or gone.
    pub(super) fn leave(&mut self, ip: IpAddr) {
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
