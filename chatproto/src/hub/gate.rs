//! What holds for the whole server: who may not use it for now, and lockdown.

use alloc::collections::{BTreeMap, BTreeSet};

use core::net::IpAddr;
use core::ops::Bound;

use super::house::{Imposed, Left};
use crate::Instant;
use crate::wire::{Action, Name, Network, Note, Subject};

/// Who may not use the server, and whether it is in lockdown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Gate {
    users: BTreeMap<Name, Imposed>,
    networks: BTreeMap<Network, Imposed>,
    /// The prefixes of all networks: an address is looked for once under each.
    prefixes: BTreeSet<(bool, u8)>,
    lockdown: Option<Lockdown>,
}

/// What is done to the whole server: the actions that are not done to a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GateAction {
    /// Keeps an account or a network out.
    Bar,
    /// Lets it in again.
    Unbar,
    /// Begins a lockdown, or changes it.
    Lock {
        /// Whether nobody but administrators may speak either.
        is_hushed: bool,
    },
    /// Ends it.
    Unlock,
}

impl GateAction {
    /// What `action` means for the whole server; `None` if it is done to rooms only.
    #[must_use]
    pub const fn of(action: Action) -> Option<Self> {
        match action {
            Action::Ban => Some(Self::Bar),
            Action::Unban => Some(Self::Unbar),
            Action::Lockdown => Some(Self::Lock { is_hushed: false }),
            Action::Hush => Some(Self::Lock { is_hushed: true }),
            Action::Unlock => Some(Self::Unlock),
            Action::Topic
            | Action::Slow
            | Action::Invite
            | Action::Kick
            | Action::Mute
            | Action::Unmute
            | Action::Op
            | Action::Deop
            | Action::Private
            | Action::Public
            | Action::Owner
            | Action::Remove
            | Action::Create
            | Action::BanAddress
            | Action::BanNetwork
            | Action::UnbanNetwork => None,
        }
    }
}

/// Nobody logs in but administrators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lockdown {
    /// Whether nobody but administrators may speak either.
    pub is_hushed: bool,
    /// Why; may be empty.
    pub reason: Note,
}

impl Gate {
    /// Why an account may not log in, and for how long; `None` if it may.
    #[must_use]
    pub fn bars_user(&self, user: &Name, now: Instant) -> Option<(Left, &Note)> {
        let ban = self.users.get(user)?;
        ban.left(now).map(|left| (left, &ban.reason))
    }

    /// Why nobody may connect from `addr`, and for how long; `None` if they may. Costs one look for each length of a
    /// prefix that occurs, 161 at most.
    #[must_use]
    pub fn bars_address(&self, addr: IpAddr, now: Instant) -> Option<(Left, &Note)> {
        let addr = addr.to_canonical();
        let networks = self.prefixes.iter().filter(|(is_v4, _)| *is_v4 == addr.is_ipv4());
        let mut bans = networks.filter_map(|(_, prefix)| self.networks.get(&Network::new(addr, *prefix)?));
        bans.find_map(|ban| ban.left(now).map(|left| (left, &ban.reason)))
    }

    /// The lockdown, if there is one.
    #[must_use]
    pub fn lockdown(&self) -> Option<&Lockdown> {
        self.lockdown.as_ref()
    }

    /// Everybody who is barred, accounts first; some may have run out.
    pub fn bans(&self) -> impl Iterator<Item = (Subject, &Imposed)> {
        self.bans_behind(None)
    }

    /// Those of them that come behind this one.
    pub(super) fn bans_behind(&self, after: Option<&Subject>) -> impl Iterator<Item = (Subject, &Imposed)> {
        let (users, networks) = match after {
            None => (Some(Bound::Unbounded), Bound::Unbounded),
            Some(Subject::User(name)) => (Some(Bound::Excluded(name)), Bound::Unbounded),
            Some(Subject::Network(network)) => (None, Bound::Excluded(network)),
        };
        let users = users.into_iter().flat_map(|from| self.users.range::<Name, _>((from, Bound::Unbounded)));
        let users = users.map(|(name, ban)| (Subject::User(name.clone()), ban));
        let networks = self.networks.range::<Network, _>((networks, Bound::Unbounded));
        users.chain(networks.map(|(network, ban)| (Subject::Network(*network), ban)))
    }

    /// Bars somebody.
    pub fn bar(&mut self, subject: Subject, ban: Imposed) {
        match subject {
            Subject::User(name) => drop(self.users.insert(name, ban)),
            Subject::Network(network) => {
                self.prefixes.insert(key(network));
                self.networks.insert(network, ban);
            }
        }
    }

    /// Lets somebody in again.
    pub fn unbar(&mut self, subject: &Subject) {
        match subject {
            Subject::User(name) => drop(self.users.remove(name)),
            Subject::Network(network) => {
                self.networks.remove(network);
                self.count_prefixes();
            }
        }
    }

    /// Begins, changes or ends the lockdown.
    pub fn set_lockdown(&mut self, lockdown: Option<Lockdown>) {
        self.lockdown = lockdown;
    }

    /// Does what an [`LogRequest::Govern`](super::LogRequest::Govern) asked to be stored.
    pub fn apply(
        &mut self,
        action: Action,
        subject: Option<&Subject>,
        seconds: u32,
        note: &Note,
        now: Instant,
    ) {
        match (GateAction::of(action), subject.cloned()) {
            (Some(GateAction::Bar), Some(subject)) => self.bar(subject, Imposed::from(now, seconds, note)),
            (Some(GateAction::Unbar), Some(subject)) => self.unbar(&subject),
            (Some(GateAction::Lock { is_hushed }), _) => {
                self.lockdown = Some(Lockdown { is_hushed, reason: note.clone() });
            }
            (Some(GateAction::Unlock), _) => self.lockdown = None,
            (Some(GateAction::Bar | GateAction::Unbar) | None, _) => {}
        }
    }

    /// Whether there is anything to lift.
    pub(super) fn holds(&self, subject: &Subject) -> bool {
        match subject {
            Subject::User(name) => self.users.contains_key(name),
            Subject::Network(network) => self.networks.contains_key(network),
        }
    }

    /// How many bans there are, once those that have run out are gone.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        self.users.retain(|_, ban| ban.left(now).is_some());
        self.networks.retain(|_, ban| ban.left(now).is_some());
        self.count_prefixes();
        self.users.len() + self.networks.len()
    }

    fn count_prefixes(&mut self) {
        self.prefixes = self.networks.keys().map(|network| key(*network)).collect();
    }
}

fn key(network: Network) -> (bool, u8) {
    (network.base().is_ipv4(), network.prefix())
}
