//! Tries with a password that were not good: how many are allowed at one account from one address, and from one address at
//! all accounts together. Nobody can lock an account for others, who come from elsewhere.
//!
//! Whoever is challenged knows whether they guessed right, whether they answer or not: a login that is not finished is a
//! wrong password. While it is under way it is neither, so that all devices of a person may come back at once; but no more are
//! under way than may turn out wrong. Who was never challenged has learned nothing, and pays nothing.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use chatnet::{Budget, origin};
use chatproto::hub::ConnId;
use chatproto::wire::{ErrorCode, Name};

use crate::settings::AccountPolicy;

/// What is left of the tries.
pub(super) struct Attempts {
    at_account: Bounded<Account>,
    by_address: Bounded<IpAddr>,
    /// Under way, at most one for each connection; those without a login are bounded.
    open: HashMap<ConnId, Try>,
}

type Account = (IpAddr, Name);

struct Try {
    account: Account,
    is_challenged: bool,
}

/// Why a try may not begin.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hasty {
    /// Too many were wrong: how long until there is one again.
    Spent(Duration),
    /// As many are under way as there are left.
    UnderWay,
}

impl Attempts {
    pub(super) fn new(policy: &AccountPolicy, now: Instant) -> Self {
        let refill = policy.attempt_refill_per_address();
        Self {
            at_account: Bounded::new(Budget::new(policy.max_attempts(), policy.attempt_refill(), now)),
            by_address: Bounded::new(Budget::new(policy.max_attempts_per_address(), refill, now)),
            open: HashMap::new(),
        }
    }

    /// Begins a try, of a login or of a change of the password.
    ///
    /// # Errors
    /// When too many were wrong, or may turn out to be.
    pub(super) fn begin(
        &mut self,
        conn: ConnId,
        addr: SocketAddr,
        user: &Name,
        now: Instant,
    ) -> Result<(), Hasty> {
        // One that was begun before and never answered.
        self.end(conn, now);
        let account = (origin(addr.ip()), user.clone());
        self.by_address.ask(&account.0, now)?;
        self.at_account.ask(&account, now)?;
        self.by_address.enter(account.0);
        self.at_account.enter(account.clone());
        self.open.insert(conn, Try { account, is_challenged: false });
        Ok(())
    }

    /// The challenge is sent: from here on it is known there whether the guess was right.
    pub(super) fn challenged(&mut self, conn: ConnId) {
        if let Some(open) = self.open.get_mut(&conn) {
            open.is_challenged = true;
        }
    }

    /// The password was right.
    pub(super) fn right(&mut self, conn: ConnId) {
        self.take(conn);
    }

    /// The password was wrong, or the try has ended before anybody could tell.
    pub(super) fn end(&mut self, conn: ConnId, now: Instant) {
        if let Some(Try { account, is_challenged: true }) = self.take(conn) {
            self.by_address.budget.charge(account.0, now);
            self.at_account.budget.charge(account, now);
        }
    }

    fn take(&mut self, conn: ConnId) -> Option<Try> {
        let ended = self.open.remove(&conn)?;
        self.by_address.leave(&ended.account.0);
        self.at_account.leave(&ended.account);
        Some(ended)
    }
}

/// A budget whose tries take their time.
struct Bounded<K> {
    budget: Budget<K>,
    /// How many are under way; none of them is 0.
    under_way: HashMap<K, u32>,
}

impl<K: Hash + Eq + Clone> Bounded<K> {
    fn new(budget: Budget<K>) -> Self {
        Self { budget, under_way: HashMap::new() }
    }

    fn ask(&self, key: &K, now: Instant) -> Result<(), Hasty> {
        self.budget.ask(key, now).map_err(Hasty::Spent)?;
        let under_way = self.under_way.get(key).copied().unwrap_or(0);
        if under_way < self.budget.left(key, now) { Ok(()) } else { Err(Hasty::UnderWay) }
    }

    fn enter(&mut self, key: K) {
        *self.under_way.entry(key).or_default() += 1;
    }

    fn leave(&mut self, key: &K) {
        if let Some(under_way) = self.under_way.get_mut(key) {
            *under_way -= 1;
            if *under_way == 0 {
                self.under_way.remove(key);
            }
        }
    }
}

impl Hasty {
    /// The code, the milliseconds to wait, and the words.
    pub(super) fn refusal(&self) -> (ErrorCode, u32, String) {
        match self {
            Self::Spent(wait) => {
                let note = format!("too many wrong passwords; try again in {} s", wait.as_secs() + 1);
                (ErrorCode::TooManyAttempts, advice(*wait), note)
            }
            Self::UnderWay => {
                let note = "too many passwords are being tried at once, try again";
                (ErrorCode::Busy, advice(UNDER_WAY_RETRY), note.to_owned())
            }
        }
    }
}

/// Advice to whoever comes while others are being checked: each takes some round trips.
const UNDER_WAY_RETRY: Duration = Duration::from_secs(2);

/// Milliseconds for the wire, at least 1.
pub(super) fn advice(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONN: ConnId = ConnId(1);

    /// Guesses once, and answers whether that was allowed.
    fn guess(attempts: &mut Attempts, addr: &str, user: &str, now: Instant) -> bool {
        let user = Name::new(user).expect("a name");
        let allowed = attempts.begin(CONN, addr.parse().expect("an address"), &user, now).is_ok();
        attempts.challenged(CONN);
        attempts.end(CONN, now);
        allowed
    }

    #[test]
    fn guesses_at_many_accounts_are_bounded_by_their_address_and_hurt_nobody_else() {
        let policy = AccountPolicy::default();
        let now = Instant::now();
        let mut attempts = Attempts::new(&policy, now);
        let tried = (0..10_000)
            .filter(|number| guess(&mut attempts, "192.0.2.1:1", &format!("user{number}"), now))
            .count();
        assert_eq!(tried, policy.max_attempts_per_address() as usize);
        assert!(guess(&mut attempts, "192.0.2.2:1", "user0", now));
    }

    #[test]
    fn good_passwords_and_refused_tries_cost_nothing() {
        let policy = AccountPolicy::default();
        let now = Instant::now();
        let mut attempts = Attempts::new(&policy, now);
        let addr = "[2001:db8::1]:1";
        let alice = Name::new("alice").expect("a name");
        for _ in 0..1_000 {
            // Sixteen devices come back at once, and all of them are right.
            for number in 0..16 {
                let conn = ConnId(number);
                assert_eq!(attempts.begin(conn, addr.parse().expect("an address"), &alice, now), Ok(()));
                attempts.challenged(conn);
            }
            (0..16).for_each(|number| attempts.right(ConnId(number)));
        }
        let tried = (0..10_000).filter(|_| guess(&mut attempts, addr, "alice", now)).count();
        assert_eq!(tried, policy.max_attempts() as usize);
        assert!(guess(&mut attempts, addr, "bob", now), "tries that were refused left the address its own");
        assert!(attempts.open.is_empty());
        assert!(attempts.by_address.under_way.is_empty() && attempts.at_account.under_way.is_empty());
    }

    #[test]
    fn no_more_are_under_way_than_may_turn_out_wrong() {
        let policy = AccountPolicy::default();
        let start = Instant::now();
        let mut attempts = Attempts::new(&policy, start);
        let addr: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        let guessed = |attempts: &mut Attempts, now| {
            let mut allowed = 0;
            for number in 0..192 {
                let user = Name::new("alice").expect("a name");
                match attempts.begin(ConnId(number), addr, &user, now) {
                    Ok(()) => allowed += 1,
                    Err(Hasty::UnderWay) => assert!(allowed > 0),
                    Err(Hasty::Spent(_)) => assert_eq!(allowed, 0),
                }
                attempts.challenged(ConnId(number));
            }
            (0..192).for_each(|number| attempts.end(ConnId(number), now));
            allowed
        };
        assert_eq!(guessed(&mut attempts, start), policy.max_attempts());
        assert_eq!(guessed(&mut attempts, start), 0);
        // Whatever others do in between, the rest comes back one by one.
        let later = start + policy.attempt_refill() * 3;
        assert!(guess(&mut attempts, "192.0.2.2:1", "carol", later));
        assert_eq!(guessed(&mut attempts, later), 3);
        // And all accounts together have no more than their address.
        let mut attempts = Attempts::new(&policy, start);
        let mut begin = |number| {
            let user = Name::new(&format!("user{number}")).expect("a name");
            attempts.begin(ConnId(number), addr, &user, start)
        };
        let allowed = (0..10_000).filter(|number| begin(*number).is_ok()).count();
        assert_eq!(allowed, policy.max_attempts_per_address() as usize);
    }

    #[test]
    fn who_was_never_challenged_pays_nothing() {
        let policy = AccountPolicy::default();
        let now = Instant::now();
        let mut attempts = Attempts::new(&policy, now);
        let addr: SocketAddr = "192.0.2.1:1".parse().expect("an address");
        let alice = Name::new("alice").expect("a name");
        for _ in 0..10_000 {
            // The server was busy.
            assert_eq!(attempts.begin(CONN, addr, &alice, now), Ok(()));
            attempts.end(CONN, now);
        }
    }
}
