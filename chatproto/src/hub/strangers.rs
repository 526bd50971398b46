//! Who waits in or before a login, and from where: nobody takes all the room there is for strangers, and who gets on with a
//! login is not kept out by those who do not.

use alloc::collections::{BTreeMap, BTreeSet};
use core::cmp::Reverse;
use core::net::{IpAddr, Ipv6Addr};

use super::{Config, ConnId};
use crate::Instant;

/// How far a stranger has come, of those who owe the next word. Who waits for the program owes none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    /// Has said nothing yet.
    Silent,
    /// Has said hello.
    Greeted,
    /// Has the challenge of a login or of a registration, and works on the answer.
    Challenged,
}

impl Step {
    const ALL: [Self; 3] = [Self::Silent, Self::Greeted, Self::Challenged];

    /// For how long it is left alone, in units of [`Config::stranger_grace`]: the further somebody has come, the longer, and a
    /// slow device may have to stretch a password.
    const fn patience(self) -> u32 {
        match self {
            Self::Silent => 1,
            Self::Greeted => 4,
            Self::Challenged => 16,
        }
    }
}

/// One connection in or before a login.
#[derive(Debug)]
struct Place {
    origin: IpAddr,
    /// How far it has come, and since when, if the next word is its own.
    owes: Option<(Step, Instant)>,
}

/// Connections in or before a login. Holds no more places than strangers, which [`Config::max_strangers`] bounds.
#[derive(Debug, Default)]
pub(super) struct Strangers {
    places: BTreeMap<ConnId, Place>,
    refused: u64,
    /// Those who owe a word, in the order in which they give way: by how far they have come, then by time.
    owing: BTreeSet<(Step, Instant, ConnId)>,
    /// How many places each address has; never zero.
    origins: BTreeMap<IpAddr, usize>,
}

impl Strangers {
    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Gives a place, or says why there is none. It counts in any case, until it leaves.
    pub(super) fn enter(
        &mut self,
        id: ConnId,
        ip: IpAddr,
        config: &Config,
        now: Instant,
    ) -> Result<(), &'static str> {
        let origin = origin(ip);
        self.places.insert(id, Place { origin, owes: None });
        self.owes(id, Step::Silent, now);
        let here = self.origins.entry(origin).or_default();
        *here += 1;
        let verdict = if self.places.len() > config.max_strangers {
            Err("too many logins at once")
        } else if *here > config.max_strangers_per_address {
            Err("too many logins at once from this address")
        } else {
            Ok(())
        };
        self.refused += u64::from(verdict.is_err());
        verdict
    }

    /// It has come so far, and the next word is its own.
    pub(super) fn owes(&mut self, id: ConnId, step: Step, now: Instant) {
        self.is_answered(id);
        if let Some(place) = self.places.get_mut(&id) {
            place.owes = Some((step, now));
            self.owing.insert((step, now, id));
        }
    }

    /// It has said what it had to: now it waits for others.
    pub(super) fn is_answered(&mut self, id: ConnId) {
        if let Some((step, since)) = self.places.get_mut(&id).and_then(|place| place.owes.take()) {
            self.owing.remove(&(step, since, id));
        }
    }

    /// Whoever has to give way to one more from `ip`, if all places are taken and the address has places left: of those who
    /// have owed a word for longer than they are left alone, those who have come least far; of these one of the address
    /// with most places; of these the one who has waited for longest.
    pub(super) fn gives_way(&self, ip: IpAddr, config: &Config, now: Instant) -> Option<ConnId> {
        let is_full = self.places.len() >= config.max_strangers;
        if !is_full || self.places_of(&origin(ip)) >= config.max_strangers_per_address {
            return None;
        }
        Step::ALL.into_iter().find_map(|step| {
            let grace = config.stranger_grace.saturating_mul(step.patience());
            let first = (step, Instant::default(), ConnId(0));
            let overdue = self.owing.range(first..).take(MAX_LOOKED_AT);
            let overdue = overdue.take_while(|(at, since, _)| *at == step && now.since(*since) >= grace);
            let most = overdue.min_by_key(|(_, _, id)| {
                Reverse(self.places.get(id).map_or(0, |place| self.places_of(&place.origin)))
            });
            most.map(|(_, _, id)| *id)
        })
    }

    fn places_of(&self, origin: &IpAddr) -> usize {
        self.origins.get(origin).copied().unwrap_or_default()
    }

    /// How often there was no room, since the start.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }

    /// It is in, or handed over, or gone.
    pub(super) fn leave(&mut self, id: ConnId) {
        self.is_answered(id);
        let Some(Place { origin, .. }) = self.places.remove(&id) else { return };
        if let Some(here) = self.origins.get_mut(&origin) {
            *here = here.saturating_sub(1);
            if *here == 0 {
                self.origins.remove(&origin);
            }
        }
    }
}

/// Of those who could give way, so many are compared, those who have waited for longest: a caller costs no more work than that.
const MAX_LOOKED_AT: usize = 256;

/// Where somebody comes from: an IPv4 address, or the part of an IPv6 address that one customer has.
fn origin(ip: IpAddr) -> IpAddr {
    match ip.to_canonical() {
        IpAddr::V6(ip) => IpAddr::V6(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64))),
        ip @ IpAddr::V4(_) => ip,
    }
}
