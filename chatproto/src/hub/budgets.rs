//! How much an account may ask for, by what it costs: so many at once, and as many again with time. A flood costs whoever
//! makes it and nobody else, and is told when to come back.
//!
//! Everything here is asked for after the login, so the account is known. What an address may do before that is bounded by
//! [`Config`](super::Config)'s strangers, by the program's accepts and handshakes, and by its attempts with passwords.

use core::time::Duration;

use alloc::collections::BTreeMap;

use super::{ConnId, Hub};
use crate::Instant;
use crate::wire::{ErrorCode, FrameType, Name, ToServer};

/// So many at once, and as many again, evenly, over the time. 0 times is no bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub times: u32,
    /// In which time the whole budget comes back.
    pub per: Duration,
}

impl Rate {
    /// No bound.
    pub const UNLIMITED: Self = Self { times: 0, per: Duration::ZERO };

    const fn new(times: u32, seconds: u64) -> Self {
        Self { times, per: Duration::from_secs(seconds) }
    }
}

/// What one account may ask for, with all its connections together. All of it takes at most 5 MiB: about 150 bytes for each
/// account, and as many for each pair, that has less than its whole budget; 16,384 of either are remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budgets {
    /// Messages. Default 3,000, back in 30 s. Answers who fills rooms, and everybody's log, faster than anybody reads.
    pub say: Rate,
    /// Joins; whoever leaves has joined before. Default 3,000, back in 2 minutes: a reconnect joins every room again.
    /// Answers storms of presence.
    pub join: Rate,
    /// New rooms, by `create` or by joining, and first messages to people. Default 300, back in 10 minutes. Answers who takes all names.
    pub create: Rate,
    /// Pages of history, searches and inquiries. Default 600, back in a minute. Answers who keeps the disk busy.
    pub read: Rate,
    /// Lists of rooms, people and own devices. Default 600, back in a minute. Answers small questions with large answers.
    pub list: Rate,
    /// Changes of rooms and of the server. Default 300, back in a minute. Answers floods of news and of lines in the audit log.
    pub moderate: Rate,
    /// Requests to be introduced, to whomever. Default 120, back in a minute. Answers who rings every bell.
    pub peer: Rate,
    /// Requests to be introduced to the same person that were not accepted: denied, expired or taken back. Default 10, back
    /// in 10 minutes. Answers who rings one bell until it is answered.
    pub peer_pair: Rate,
}

impl Default for Budgets {
    fn default() -> Self {
        Self {
            say: Rate::new(3_000, 30),
            join: Rate::new(3_000, 120),
            create: Rate::new(300, 600),
            read: Rate::new(600, 60),
            list: Rate::new(600, 60),
            moderate: Rate::new(300, 60),
            peer: Rate::new(120, 60),
            peer_pair: Rate::new(10, 600),
        }
    }
}

impl Budgets {
    /// Bounds nothing, for load tests.
    #[must_use]
    pub fn unlimited() -> Self {
        let unlimited = Rate::UNLIMITED;
        Self {
            say: unlimited,
            join: unlimited,
            create: unlimited,
            read: unlimited,
            list: unlimited,
            moderate: unlimited,
            peer: unlimited,
            peer_pair: unlimited,
        }
    }

    fn of(&self, verb: Verb) -> Rate {
        match verb {
            Verb::Say => self.say,
            Verb::Join => self.join,
            Verb::Create => self.create,
            Verb::Read => self.read,
            Verb::List => self.list,
            Verb::Moderate => self.moderate,
            Verb::Peer => self.peer,
        }
    }
}

/// What is asked for, by what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Say,
    Join,
    Create,
    Read,
    List,
    Moderate,
    Peer,
}

impl Verb {
    /// Which budget a frame is charged to, and the request that a refusal is about.
    fn of(frame: &ToServer<'_>) -> Option<(Self, u64)> {
        match frame {
            ToServer::Say(say) => Some((Self::Say, say.counter)),
            ToServer::Join(join) => Some((Self::Join, join.request.into())),
            ToServer::Create(create) => Some((Self::Create, create.request.into())),
            ToServer::History(history) => Some((Self::Read, history.request.into())),
            ToServer::Search(search) => Some((Self::Read, search.request.into())),
            ToServer::Inquire(inquire) => Some((Self::Read, inquire.request.into())),
            ToServer::Rooms(rooms) => Some((Self::List, rooms.request.into())),
            ToServer::Who(who) => Some((Self::List, who.request.into())),
            ToServer::Devices(devices) => Some((Self::List, devices.request.into())),
            ToServer::Moderate(moderate) => Some((Self::Moderate, moderate.request.into())),
            ToServer::Govern(govern) => Some((Self::Moderate, govern.request.into())),
            ToServer::PeerRequest(request) => Some((Self::Peer, request.request.into())),
            // They end something, belong to something that was charged, or have bounds of their own.
            ToServer::Leave(_)
            | ToServer::PeerWithdraw(_)
            | ToServer::PeerAnswer(_)
            | ToServer::PeerTry(_)
            | ToServer::PeerOutcome(_)
            | ToServer::PeerFailed(_)
            | ToServer::Reach(_)
            | ToServer::PasswordStart(_)
            | ToServer::PasswordFinish(_)
            // They touch this connection only.
            | ToServer::Announce(_)
            | ToServer::Ping(_)
            | ToServer::Pong(_)
            | ToServer::Error(_)
            | ToServer::Bye(_)
            // They come before a login.
            | ToServer::ClientHello(_)
            | ToServer::LoginStart(_)
            | ToServer::LoginResponse(_)
            | ToServer::RegisterStart(_)
            | ToServer::RegisterFinish(_)
            | ToServer::Probe(_)
            | ToServer::Relay(_) => None,
        }
    }

    const fn index(self) -> usize {
        match self {
            Self::Say => 0,
            Self::Join => 1,
            Self::Create => 2,
            Self::Read => 3,
            Self::List => 4,
            Self::Moderate => 5,
            Self::Peer => 6,
        }
    }
}

const VERBS: usize = 7;

/// The time, in microseconds, at which a budget is whole again.
#[derive(Debug, Clone, Copy, Default)]
struct Whole(u64);

impl Whole {
    /// Takes one; if there is none left, how many milliseconds until there is.
    fn spend(&mut self, rate: Rate, now: u64) -> Result<(), u32> {
        let Some((cost, whole)) = cost(rate) else { return Ok(()) };
        let after = self.0.max(now).saturating_add(cost);
        match after.saturating_sub(now.saturating_add(whole)).div_ceil(1_000) {
            0 => self.0 = after,
            wait => return Err(u32::try_from(wait).unwrap_or(u32::MAX)),
        }
        Ok(())
    }

    fn refund(&mut self, rate: Rate) {
        self.0 = self.0.saturating_sub(cost(rate).map_or(0, |(cost, _)| cost));
    }
}

/// Microseconds that one costs, and that the whole budget has; `None` without a bound.
fn cost(rate: Rate) -> Option<(u64, u64)> {
    let whole = u64::try_from(rate.per.as_micros()).unwrap_or(u64::MAX);
    let times = u64::from(rate.times);
    whole.checked_div(times).map(|cost| (cost.max(1), cost.max(1).saturating_mul(times)))
}

/// What was spent lately. Whoever has a whole budget is forgotten.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    users: BTreeMap<Name, [Whole; VERBS]>,
    /// Who asked whom.
    pairs: BTreeMap<(Name, Name), Whole>,
}

/// So many accounts, and as many pairs, are remembered at most. To fill this takes as many accounts in the time of one budget;
/// then half of them are forgotten, and have a whole one.
const MAX_TALLIES: usize = 16 * 1024;

/// The tally of `key`, for which room is made.
fn entry<K: Ord, V: Default>(tallies: &mut BTreeMap<K, V>, key: K, is_spent: impl Fn(&V) -> bool) -> &mut V {
    if tallies.len() >= MAX_TALLIES && !tallies.contains_key(&key) {
        tallies.retain(|_, spent| is_spent(spent));
        if tallies.len() >= MAX_TALLIES {
            let mut at = 0_usize;
            tallies.retain(|_, _| {
                at += 1;
                at.is_multiple_of(2)
            });
        }
    }
    tallies.entry(key).or_default()
}

impl Hub {
    /// Charges one to whoever asks; if that is too much, how many milliseconds they have to wait.
    pub(super) fn charge(&mut self, id: ConnId, verb: Verb) -> Result<(), u32> {
        let rate = self.config.budgets.of(verb);
        if rate.times == 0 {
            return Ok(());
        }
        let now = micros(self.now);
        let Some((user, _)) = self.identity(id) else { return Ok(()) };
        let is_spent = |spent: &[Whole; VERBS]| spent.iter().any(|whole| whole.0 > now);
        let spent = entry(&mut self.tallies.users, user, is_spent);
        spent.get_mut(verb.index()).map_or(Ok(()), |whole| whole.spend(rate, now))
    }

    /// Charges one request to be introduced to the two; [`refund_pair`](Self::refund_pair) gives it back.
    pub(super) fn charge_pair(&mut self, from: &Name, to: &Name) -> Result<(), u32> {
        let (rate, now) = (self.config.budgets.peer_pair, micros(self.now));
        if rate.times == 0 {
            return Ok(());
        }
        let is_spent = |whole: &Whole| whole.0 > now;
        entry(&mut self.tallies.pairs, (from.clone(), to.clone()), is_spent).spend(rate, now)
    }

    pub(super) fn refund_pair(&mut self, from: &Name, to: &Name) {
        let rate = self.config.budgets.peer_pair;
        if let Some(whole) = self.tallies.pairs.get_mut(&(from.clone(), to.clone())) {
            whole.refund(rate);
        }
    }

    /// Refuses a frame whose budget is used up; `false` if it may go on.
    pub(super) fn is_too_fast(&mut self, id: ConnId, frame: &ToServer<'_>) -> bool {
        let Some((verb, request)) = Verb::of(frame) else { return false };
        let Err(wait) = self.charge(id, verb) else { return false };
        self.refuse_too_fast(id, frame.frame_type(), request, wait);
        true
    }

    pub(super) fn refuse_too_fast(&mut self, id: ConnId, about: FrameType, request: u64, wait: u32) {
        let note = alloc::format!("too much at once: again {}", after(wait));
        self.send_error_until(id, ErrorCode::TooFast, &about, request, wait, &note);
    }
}

/// A wait in milliseconds, for people.
pub(super) fn after(wait: u32) -> alloc::string::String {
    alloc::format!("in {} s", wait.div_ceil(1_000))
}

fn micros(now: Instant) -> u64 {
    now.as_millis().saturating_mul(1_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_is_bounded_and_whoever_is_whole_goes_first() {
        let mut tallies = BTreeMap::new();
        let is_spent = |spent: &bool| *spent;
        for key in 0..MAX_TALLIES {
            *entry(&mut tallies, key, is_spent) = key >= 100;
        }
        *entry(&mut tallies, MAX_TALLIES, is_spent) = true;
        assert_eq!(tallies.len(), MAX_TALLIES - 99);
        for key in MAX_TALLIES + 1..3 * MAX_TALLIES {
            *entry(&mut tallies, key, is_spent) = true;
            assert!(tallies.len() <= MAX_TALLIES && tallies.contains_key(&key));
        }
    }
}
