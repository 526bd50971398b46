//! The order of one room: whose it is, who keeps it, who may not speak or enter for a while.

use core::net::IpAddr;
use core::time::Duration;

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};

use crate::Instant;
use crate::wire::{Action, Name, Network, Note, Rank};

/// What somebody is in a room beyond being there. Later ones may do more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Let into a private room.
    Member,
    /// Keeps order.
    Operator,
    /// Made the room.
    Owner,
}

/// Until when something holds on the hub's clock; `None` until it is lifted.
pub type Until = Option<Instant>;

/// Something that somebody may not do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Imposed {
    /// Until when.
    pub until: Until,
    /// Why; may be empty.
    pub reason: Note,
}

impl Imposed {
    /// Holds for `seconds` from `now` on; 0 until it is lifted.
    #[must_use]
    pub fn from(now: Instant, seconds: u32, reason: &Note) -> Self {
        let until = (seconds != 0).then(|| now + Duration::from_secs(seconds.into()));
        Self { until, reason: reason.clone() }
    }

    /// How long it still holds; `None` if its time is over.
    #[must_use]
    pub fn left(&self, now: Instant) -> Option<Left> {
        match self.until {
            None => Some(Left::Forever),
            Some(until) => (until > now).then(|| Left::For(until.since(now))),
        }
    }
}

/// A change of a room's order, durable or about to be.
#[derive(Debug, Clone, Copy)]
pub struct Ruling<'a> {
    /// What is done; [`Action::Topic`] is none of the house's business.
    pub action: Action,
    /// To whom.
    pub user: Option<&'a Name>,
    /// For how long, where the action has a time; 0 for no end, or, of slow mode, for none.
    pub seconds: u32,
    /// The reason; may be empty.
    pub reason: &'a Note,
    /// Who is let into a room that becomes private, besides those with a role.
    pub admits: &'a [Name],
    /// Of a ban with addresses, these; of one of a network, that.
    pub networks: &'a [Network],
}

/// Who may do what in a room. The default is a public room that belongs to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct House {
    /// Whether only those with a role see and enter it.
    pub is_private: bool,
    /// Time between two messages of one person; zero for none.
    pub slow: Duration,
    /// Those who are more than present.
    pub roles: BTreeMap<Name, Role>,
    /// Who may not speak.
    pub mutes: BTreeMap<Name, Imposed>,
    /// Who may not enter.
    pub bans: BTreeMap<Name, Imposed>,
    /// From where nobody enters but those who keep order; with the account whose ban it belongs to, if to one.
    pub networks: BTreeMap<(Network, Option<Name>), Imposed>,
}

impl House {
    /// A room that `owner` makes.
    #[must_use]
    pub fn of(owner: &Name, is_private: bool) -> Self {
        Self { is_private, roles: BTreeMap::from([(owner.clone(), Role::Owner)]), ..Self::default() }
    }

    /// What `user` is here.
    #[must_use]
    pub fn role(&self, user: &Name) -> Option<Role> {
        self.roles.get(user).copied()
    }

    /// Whether the room exists as far as `user` can tell.
    #[must_use]
    pub fn shows_itself_to(&self, user: &Name) -> bool {
        !self.is_private || self.roles.contains_key(user)
    }

    /// What `user` is here, as others are told.
    #[must_use]
    pub fn rank(&self, user: &Name) -> Rank {
        match self.role(user) {
            None => Rank::Guest,
            Some(Role::Member) => Rank::Member,
            Some(Role::Operator) => Rank::Operator,
            Some(Role::Owner) => Rank::Owner,
        }
    }

    /// For how long `user` may not speak; `None` if they may.
    #[must_use]
    pub fn mute(&self, user: &Name, now: Instant) -> Option<Left> {
        self.mutes.get(user)?.left(now)
    }

    /// For how long `user` may not enter, and why; `None` if they may.
    #[must_use]
    pub fn ban(&self, user: &Name, now: Instant) -> Option<(Left, &Note)> {
        let ban = self.bans.get(user)?;
        ban.left(now).map(|left| (left, &ban.reason))
    }

    /// For how long nobody may enter from `addr`, and why; `None` if they may. Looks at every network that is banned, of which
    /// a room has no more than its [`max_house_notes`](super::Config::max_house_notes).
    #[must_use]
    pub fn bars_address(&self, addr: IpAddr, now: Instant) -> Option<(Left, &Note)> {
        let mut bans = self.networks.iter().filter(|((network, _), _)| network.contains(addr));
        bans.find_map(|(_, ban)| ban.left(now).map(|left| (left, &ban.reason)))
    }

    /// Whose bans cover addresses as well.
    #[must_use]
    pub fn banned_with_addresses(&self) -> BTreeSet<&Name> {
        self.networks.keys().filter_map(|(_, with)| with.as_ref()).collect()
    }

    /// Does what an [`LogRequest::Moderate`](super::LogRequest::Moderate) asked to be stored.
    pub fn apply(&mut self, ruling: &Ruling<'_>, now: Instant) {
        let &Ruling { action, seconds, reason, admits, networks, .. } = ruling;
        match action {
            Action::Slow => self.slow = Duration::from_secs(seconds.into()),
            Action::Private => {
                self.is_private = true;
                for name in admits {
                    self.roles.entry(name.clone()).or_insert(Role::Member);
                }
            }
            Action::Public => {
                self.is_private = false;
                self.roles.retain(|_, role| *role > Role::Member);
            }
            Action::BanNetwork => {
                let ban = || Imposed::from(now, seconds, reason);
                self.networks.extend(networks.iter().map(|network| ((*network, None), ban())));
            }
            Action::UnbanNetwork => {
                self.networks.retain(|(network, with), _| with.is_some() || !networks.contains(network));
            }
            Action::Topic
            | Action::Invite
            | Action::Kick
            | Action::Mute
            | Action::Unmute
            | Action::Ban
            | Action::BanAddress
            | Action::Unban
            | Action::Op
            | Action::Deop
            | Action::Owner
            | Action::Remove
            | Action::Create
            | Action::Lockdown
            | Action::Hush
            | Action::Unlock => {}
        }
        if let Some(user) = ruling.user.cloned() {
            self.apply_to(action, user, networks, || Imposed::from(now, seconds, reason));
        }
    }

    fn apply_to(&mut self, action: Action, user: Name, networks: &[Network], imposed: impl Fn() -> Imposed) {
        match action {
            Action::Invite => {
                self.roles.entry(user).or_insert(Role::Member);
            }
            // Who was let in has to be invited again; who keeps order stays who they are.
            Action::Kick => self.roles.retain(|name, role| *name != user || *role > Role::Member),
            Action::Mute => drop(self.mutes.insert(user, imposed())),
            Action::Unmute => drop(self.mutes.remove(&user)),
            Action::Ban | Action::BanAddress => {
                self.lift_addresses_of(&user);
                self.roles.remove(&user);
                if action == Action::BanAddress {
                    let with = |network: &Network| ((*network, Some(user.clone())), imposed());
                    self.networks.extend(networks.iter().map(with));
                }
                self.bans.insert(user, imposed());
            }
            Action::Unban => {
                self.lift_addresses_of(&user);
                self.bans.remove(&user);
            }
            Action::Op => drop(self.roles.insert(user, Role::Operator)),
            Action::Deop if self.is_private => drop(self.roles.insert(user, Role::Member)),
            Action::Deop => drop(self.roles.remove(&user)),
            Action::Owner => {
                for role in self.roles.values_mut().filter(|role| **role == Role::Owner) {
                    *role = Role::Operator;
                }
                self.mutes.remove(&user);
                self.bans.remove(&user);
                self.lift_addresses_of(&user);
                self.roles.insert(user, Role::Owner);
            }
            Action::Topic
            | Action::Slow
            | Action::Private
            | Action::Public
            | Action::Remove
            | Action::Create
            | Action::Lockdown
            | Action::Hush
            | Action::Unlock
            | Action::BanNetwork
            | Action::UnbanNetwork => {}
        }
    }

    fn lift_addresses_of(&mut self, user: &Name) {
        self.networks.retain(|(_, with), _| with.as_ref() != Some(user));
    }

    /// Forgets all about somebody whose account is gone. `false` if there was nothing.
    pub fn forget(&mut self, user: &Name) -> bool {
        let role = self.roles.remove(user).is_some();
        let mute = self.mutes.remove(user).is_some();
        let ban = self.bans.remove(user).is_some();
        self.lift_addresses_of(user);
        role || mute || ban
    }

    /// Whether anything is noted about `user`.
    pub(super) fn knows(&self, user: &Name) -> bool {
        self.roles.contains_key(user) || self.mutes.contains_key(user) || self.bans.contains_key(user)
    }

    /// How many notes there are, once those that have run out are gone.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        let holds = |_: &Name, imposed: &mut Imposed| imposed.left(now).is_some();
        self.mutes.retain(holds);
        self.bans.retain(holds);
        self.networks.retain(|_, ban| ban.left(now).is_some());
        self.roles.len() + self.mutes.len() + self.bans.len() + self.networks.len()
    }
}

/// How long something still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// So long.
    For(Duration),
    /// Until somebody lifts it.
    Forever,
}

impl Left {
    /// As a report says it: seconds, rounded up, 0 where there is no end.
    #[must_use]
    pub fn as_seconds(self) -> u32 {
        match self {
            Self::For(time) => u32::try_from(time.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX),
            Self::Forever => 0,
        }
    }

    /// As a frame says it: milliseconds, 0 where there is no end.
    #[must_use]
    pub fn as_retry_after(self) -> u32 {
        match self {
            Self::For(time) => u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
            Self::Forever => 0,
        }
    }
}

/// What may not be done for how long, and why, for people.
pub(super) fn sentence(what: &str, left: Left, reason: &Note) -> alloc::string::String {
    let reason = match reason.as_str() {
        "" => Cow::Borrowed(""),
        reason => alloc::format!(": {reason}").into(),
    };
    alloc::format!("{what} {left}{reason}")
}

/// For people, to be read after what may not be done.
impl core::fmt::Display for Left {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::For(time) => write!(f, "for another {} s", time.as_millis().div_ceil(1_000)),
            Self::Forever => f.write_str("until that is lifted"),
        }
    }
}
