//! The model of order: what holds in each room and on the server after each change that the log has, told from the changes
//! alone and from the rules as a person would say them.

use std::collections::BTreeMap;
use std::net::IpAddr;

use chatproto::Instant;
use chatproto::hub::{Gate, House, Label};
use chatproto::testing::{Change, Committed};
use chatproto::wire::{Action, ErrorCode, Name, Network, Rank, Subject};

/// The one administrator.
pub const ROOT: &str = "root";

/// The room that everybody is in.
pub const LOBBY: &str = "lobby";

/// When something ends; `None` if somebody must lift it.
type Until = Option<Instant>;

/// Everything that holds at one moment of the log.
#[derive(Clone, Debug, Default)]
pub struct Order {
    pub rooms: BTreeMap<Name, Room>,
    barred: BTreeMap<Subject, Until>,
    lockdown: Option<Action>,
}

/// One room.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub private: bool,
    pub topic: String,
    /// Seconds between two messages of one person.
    pub slow: u32,
    pub ranks: BTreeMap<Name, Rank>,
    pub mutes: BTreeMap<Name, Until>,
    pub bans: BTreeMap<Name, Until>,
    /// Addresses from which nobody enters, each with whose ban it belongs to.
    pub origins: BTreeMap<(Network, Option<Name>), Until>,
}

/// Somebody on a device.
#[derive(Clone, Copy, Debug)]
pub struct Who<'a> {
    pub user: &'a Name,
    pub ip: IpAddr,
}

impl Who<'_> {
    fn is(self, subject: &Subject) -> bool {
        match subject {
            Subject::User(user) => user == self.user,
            Subject::Network(network) => network.contains(self.ip),
        }
    }
}

fn holds(until: Option<&Until>, now: Instant) -> bool {
    until.is_some_and(|until| until.is_none_or(|until| until > now))
}

/// What of `imposed` still holds.
pub fn in_force<K: Clone + Ord>(imposed: &BTreeMap<K, Until>, now: Instant) -> BTreeMap<K, Until> {
    let held = imposed.iter().filter(|(_, until)| holds(Some(until), now));
    held.map(|(key, until)| (key.clone(), *until)).collect()
}

impl Room {
    pub fn rank(&self, user: &Name) -> Rank {
        self.ranks.get(user).copied().unwrap_or(Rank::Guest)
    }

    /// What somebody has to say here, as a number to compare.
    fn power(&self, user: &Name) -> u8 {
        match self.rank(user) {
            _ if user.as_str() == ROOT => 3,
            Rank::Owner => 2,
            Rank::Operator => 1,
            _ => 0,
        }
    }

    pub fn is_shown(&self, user: &Name) -> bool {
        !self.private || self.ranks.contains_key(user)
    }

    /// Whether somebody may be here, and if not, what they are told.
    pub fn may_be(&self, who: Who<'_>, now: Instant) -> Result<(), ErrorCode> {
        let mut origins = self.origins.iter().filter(|((network, _), _)| network.contains(who.ip));
        if !self.is_shown(who.user) {
            Err(ErrorCode::NoSuchRoom)
        } else if holds(self.bans.get(who.user), now)
            || (origins.any(|(_, until)| holds(Some(until), now)) && self.power(who.user) == 0)
        {
            Err(ErrorCode::Banned)
        } else {
            Ok(())
        }
    }

    pub fn is_muted(&self, user: &Name, now: Instant) -> bool {
        holds(self.mutes.get(user), now)
    }

    /// Whether slow mode holds somebody back.
    pub fn is_slow_for(&self, user: &Name) -> bool {
        self.slow > 0 && self.power(user) == 0
    }

    /// Whether `by` may look at the audit log of the room.
    pub fn may_inquire(&self, by: &Name) -> Result<(), ErrorCode> {
        match (self.is_shown(by), self.power(by)) {
            (false, _) => Err(ErrorCode::NoSuchRoom),
            (true, 0) => Err(ErrorCode::Forbidden),
            (true, _) => Ok(()),
        }
    }

    fn may_moderate(
        &self,
        name: &str,
        by: &Name,
        action: Action,
        user: Option<&Name>,
    ) -> Result<(), ErrorCode> {
        use Action as A;
        self.is_shown(by).then_some(()).ok_or(ErrorCode::NoSuchRoom)?;
        let needed = match action {
            A::Op | A::Deop | A::Private | A::Public | A::Owner => 2,
            _ => 1,
        };
        let mine = self.power(by);
        let is_below = user.is_some_and(|user| self.power(user) < mine);
        let is_allowed = mine >= needed
            && match action {
                A::Kick | A::Mute | A::Ban | A::BanAddress | A::Op => is_below,
                A::Deop => is_below && user.is_some_and(|user| self.power(user) > 0),
                A::Unmute => mine >= 2 || user != Some(by),
                A::Invite => self.private,
                A::Private => !self.private && name != LOBBY,
                A::Public => self.private,
                A::Owner => user.is_some_and(|user| self.rank(user) != Rank::Owner),
                _ => true,
            };
        is_allowed.then_some(()).ok_or(ErrorCode::Forbidden)
    }

    fn apply(&mut self, change: &Change) {
        use Action as A;
        let until = until(change);
        match (change.line.action, &change.user) {
            (A::Topic, _) => change.line.note.as_str().clone_into(&mut self.topic),
            (A::Slow, _) => self.slow = change.line.seconds,
            (A::Private, _) => {
                self.private = true;
                for user in &change.admits {
                    self.ranks.entry(user.clone()).or_insert(Rank::Member);
                }
            }
            (A::Public, _) => {
                self.private = false;
                self.ranks.retain(|_, rank| *rank != Rank::Member);
            }
            (A::BanNetwork, _) => self.origins.extend(change.networks.iter().map(|it| ((*it, None), until))),
            (A::UnbanNetwork, _) => {
                self.origins
                    .retain(|(network, with), _| with.is_some() || !change.networks.contains(network));
            }
            (action, Some(user)) => self.apply_to(action, user.clone(), change),
            (action, None) => panic!("{action:?} of nobody"),
        }
    }

    fn apply_to(&mut self, action: Action, user: Name, change: &Change) {
        use Action as A;
        let until = until(change);
        if matches!(action, A::Ban | A::BanAddress | A::Unban | A::Owner) {
            self.bans.remove(&user);
            self.origins.retain(|(_, with), _| with.as_ref() != Some(&user));
        }
        match action {
            A::Invite => _ = self.ranks.entry(user).or_insert(Rank::Member),
            A::Kick => self.ranks.retain(|name, rank| *name != user || *rank != Rank::Member),
            A::Mute => _ = self.mutes.insert(user, until),
            A::Unmute => _ = self.mutes.remove(&user),
            A::Ban | A::BanAddress => {
                self.ranks.remove(&user);
                let covered = change.networks.iter().map(|it| ((*it, Some(user.clone())), until));
                self.origins.extend(covered);
                self.bans.insert(user, until);
            }
            A::Unban => {}
            A::Op => _ = self.ranks.insert(user, Rank::Operator),
            A::Deop if self.private => _ = self.ranks.insert(user, Rank::Member),
            A::Deop => _ = self.ranks.remove(&user),
            A::Owner => {
                self.mutes.remove(&user);
                for rank in self.ranks.values_mut().filter(|rank| **rank == Rank::Owner) {
                    *rank = Rank::Operator;
                }
                self.ranks.insert(user, Rank::Owner);
            }
            _ => panic!("{action:?} in a room"),
        }
    }

    /// Holds the hub's own notes against this.
    pub fn assert_is(&self, house: &House, topic: &str, now: Instant, about: &str) {
        assert_eq!((house.is_private, topic), (self.private, self.topic.as_str()), "{about}");
        assert_eq!(house.slow.as_secs(), u64::from(self.slow), "{about}: slow mode");
        let ranks = house.roles.keys().map(|name| (name.clone(), house.rank(name)));
        assert_eq!(ranks.collect::<BTreeMap<_, _>>(), self.ranks, "{about}: roles");
        let mutes = house.mutes.iter().map(|(user, it)| (user.clone(), it.until)).collect();
        assert_eq!(in_force(&mutes, now), in_force(&self.mutes, now), "{about}: mutes");
        let bans = house.bans.iter().map(|(user, it)| (user.clone(), it.until)).collect();
        assert_eq!(in_force(&bans, now), in_force(&self.bans, now), "{about}: bans");
        let origins = house.networks.iter().map(|(origin, it)| (origin.clone(), it.until)).collect();
        assert_eq!(in_force(&origins, now), in_force(&self.origins, now), "{about}: addresses");
    }
}

fn until(change: &Change) -> Until {
    let seconds = change.line.seconds;
    (seconds != 0).then(|| change.at + core::time::Duration::from_secs(seconds.into()))
}

impl Order {
    /// What holds after one more entry of the log; `None` if it is no change.
    pub fn after(&self, entry: &Committed) -> Option<Self> {
        let mut order = self.clone();
        match entry {
            Committed::Room { label, house } => {
                if let Label::Group(name) = label {
                    let ranks = house.roles.keys().map(|user| (user.clone(), house.rank(user))).collect();
                    let room = Room { private: house.is_private, ranks, ..Room::default() };
                    order.rooms.insert(name.clone(), room);
                }
            }
            Committed::Change(change) => match &change.room {
                Some(Label::Group(name)) => order.rooms.get_mut(name).expect("it was made").apply(change),
                Some(label) => panic!("{label:?} has no order"),
                None => order.govern(change),
            },
            Committed::Message { .. } | Committed::Crash => return None,
        }
        Some(order)
    }

    fn govern(&mut self, change: &Change) {
        let users = change.user.iter().cloned().map(Subject::User);
        let mut subjects = users.chain(change.networks.iter().copied().map(Subject::Network));
        match change.line.action {
            Action::Ban => _ = self.barred.insert(subjects.next().expect("a subject"), until(change)),
            Action::Unban => _ = self.barred.remove(&subjects.next().expect("a subject")),
            Action::Unlock => self.lockdown = None,
            action => self.lockdown = Some(action),
        }
    }

    /// Whether somebody may not use the server at all.
    pub fn is_barred(&self, who: Who<'_>, now: Instant) -> bool {
        self.barred.iter().any(|(subject, until)| who.is(subject) && holds(Some(until), now))
    }

    /// Whether there is a ban of somebody, maybe one whose time is over.
    pub fn names(&self, who: Who<'_>) -> bool {
        self.barred.keys().any(|subject| who.is(subject))
    }

    /// Who is barred: those whose time is over too, while nobody has lifted it.
    pub fn barred(&self) -> impl Iterator<Item = &Subject> {
        self.barred.keys()
    }

    /// Whether somebody may log in.
    pub fn may_log_in(&self, who: Who<'_>, now: Instant) -> bool {
        !self.is_barred(who, now) && (self.lockdown.is_none() || who.user.as_str() == ROOT)
    }

    /// Whether nobody but administrators may speak.
    pub fn is_hushed_for(&self, user: &Name) -> bool {
        self.lockdown == Some(Action::Hush) && user.as_str() != ROOT
    }

    pub fn is_locked(&self) -> bool {
        self.lockdown.is_some()
    }

    /// Whether `by` may do this in a room, and if not, what they are told.
    pub fn may_moderate(
        &self,
        room: &Name,
        by: &Name,
        action: Action,
        user: Option<&Name>,
    ) -> Result<(), ErrorCode> {
        let house = self.rooms.get(room).ok_or(ErrorCode::NoSuchRoom)?;
        house.may_moderate(room.as_str(), by, action, user)
    }

    /// Whether `who` may do this to the server, and if not, what they are told.
    pub fn may_govern(
        &self,
        who: Who<'_>,
        action: Action,
        subject: Option<&Subject>,
        now: Instant,
    ) -> Result<(), ErrorCode> {
        let bars_root = subject.is_some_and(|subject| who.is(subject));
        if who.user.as_str() != ROOT || (action == Action::Ban && bars_root) {
            return Err(ErrorCode::Forbidden);
        }
        let is_lifted = subject.is_some_and(|subject| !holds(self.barred.get(subject), now));
        if action == Action::Unban && is_lifted { Err(ErrorCode::NoSuchUser) } else { Ok(()) }
    }

    /// Holds the hub's own notes against this.
    pub fn assert_is(&self, gate: &Gate, now: Instant) {
        let barred = gate.bans().map(|(subject, it)| (subject, it.until)).collect();
        assert_eq!(in_force(&barred, now), in_force(&self.barred, now), "who is barred");
        let hushed = gate.lockdown().map(|lockdown| lockdown.is_hushed);
        assert_eq!(hushed, self.lockdown.map(|action| action == Action::Hush), "lockdown");
    }
}
