//! The order of one room: whose it is, who keeps it, who may not speak or enter for a while.

use core::time::Duration;

use alloc::collections::BTreeMap;

use crate::Instant;
use crate::wire::{Action, Name};

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
    pub mutes: BTreeMap<Name, Until>,
    /// Who may not enter.
    pub bans: BTreeMap<Name, Until>,
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

    /// For how long `user` may not speak; `None` if they may.
    #[must_use]
    pub fn mute(&self, user: &Name, now: Instant) -> Option<Left> {
        left(&self.mutes, user, now)
    }

    /// For how long `user` may not enter; `None` if they may.
    #[must_use]
    pub fn ban(&self, user: &Name, now: Instant) -> Option<Left> {
        left(&self.bans, user, now)
    }

    /// Does what an [`Event::Moderated`](super::Event::Moderated) tells; the topic is none of the house's business.
    pub fn apply(&mut self, action: Action, user: Option<&Name>, seconds: u32, now: Instant) {
        let time = Duration::from_secs(seconds.into());
        if action == Action::Slow {
            self.slow = time;
        }
        let Some(user) = user.cloned() else { return };
        let until = (seconds != 0).then(|| now + time);
        match action {
            Action::Topic | Action::Slow => {}
            Action::Invite => {
                self.roles.entry(user).or_insert(Role::Member);
            }
            // Who was let in has to be invited again; who keeps order stays who they are.
            Action::Kick => self.roles.retain(|name, role| *name != user || *role > Role::Member),
            Action::Mute => drop(self.mutes.insert(user, until)),
            Action::Unmute => drop(self.mutes.remove(&user)),
            Action::Ban => {
                self.roles.remove(&user);
                self.bans.insert(user, until);
            }
            Action::Unban => drop(self.bans.remove(&user)),
            Action::Op => drop(self.roles.insert(user, Role::Operator)),
            Action::Deop if self.is_private => drop(self.roles.insert(user, Role::Member)),
            Action::Deop => drop(self.roles.remove(&user)),
        }
    }

    /// Whether anything is noted about `user`.
    pub(super) fn knows(&self, user: &Name) -> bool {
        self.roles.contains_key(user) || self.mutes.contains_key(user) || self.bans.contains_key(user)
    }

    /// How many notes there are, once those that have run out are gone.
    pub(super) fn count(&mut self, now: Instant) -> usize {
        let holds = |_: &Name, until: &mut Until| until.is_none_or(|until| until > now);
        self.mutes.retain(holds);
        self.bans.retain(holds);
        self.roles.len() + self.mutes.len() + self.bans.len()
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
    /// As a frame says it: milliseconds, 0 where there is no end.
    #[must_use]
    pub fn as_retry_after(self) -> u32 {
        match self {
            Self::For(time) => u32::try_from(time.as_millis()).unwrap_or(u32::MAX),
            Self::Forever => 0,
        }
    }
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

fn left(notes: &BTreeMap<Name, Until>, user: &Name, now: Instant) -> Option<Left> {
    match notes.get(user)? {
        None => Some(Left::Forever),
        Some(until) => (*until > now).then(|| Left::For(until.since(now))),
    }
}
