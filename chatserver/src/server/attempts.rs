//! Tries with a password that were not good: how many are allowed at one account from one address, and from one address at
//! all accounts together. Nobody can lock an account for others, who come from elsewhere.
//!
//! Whoever is challenged knows whether they guessed right, whether they answer or not: a login that is not finished is a
//! wrong password. While it is under way it is neither, so that all devices of a person may come back at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use chatnet::{Budget, origin};
use chatproto::hub::ConnId;
use chatproto::wire::Name;

use crate::settings::AccountPolicy;

/// What is left of the tries.
pub(super) struct Attempts {
    at_account: Budget<(IpAddr, Name)>,
    by_address: Budget<IpAddr>,
    /// Under way, at most one for each connection; those without a login are bounded.
    open: HashMap<ConnId, (IpAddr, Name)>,
}

impl Attempts {
    pub(super) fn new(policy: &AccountPolicy, now: Instant) -> Self {
        let refill = policy.attempt_refill_per_address();
        Self {
            at_account: Budget::new(policy.max_attempts(), policy.attempt_refill(), now),
            by_address: Budget::new(policy.max_attempts_per_address(), refill, now),
            open: HashMap::new(),
        }
    }

    /// Begins a try, of a login or of a change of the password.
    ///
    /// # Errors
    /// When too many were wrong: how long until there is one again.
    pub(super) fn begin(
        &mut self,
        conn: ConnId,
        addr: SocketAddr,
        user: &Name,
        now: Instant,
    ) -> Result<(), Duration> {
        // One that was begun before and never answered.
        self.wrong(conn, now);
        let account = (origin(addr.ip()), user.clone());
        self.by_address.ask(&account.0, now)?;
        self.at_account.ask(&account, now)?;
        self.open.insert(conn, account);
        Ok(())
    }

    /// The password was right.
    pub(super) fn right(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }

    /// The password was wrong, or the connection has ended before anybody could tell.
    pub(super) fn wrong(&mut self, conn: ConnId, now: Instant) {
        if let Some(account) = self.open.remove(&conn) {
            self.by_address.charge(account.0, now);
            self.at_account.charge(account, now);
        }
    }
}

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
        attempts.wrong(CONN, now);
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
        for number in 0..10_000 {
            let conn = ConnId(number);
            assert_eq!(attempts.begin(conn, addr.parse().expect("an address"), &alice, now), Ok(()));
        }
        // So many at once, and all of them good.
        (0..10_000).for_each(|number| attempts.right(ConnId(number)));
        let tried = (0..10_000).filter(|_| guess(&mut attempts, addr, "alice", now)).count();
        assert_eq!(tried, policy.max_attempts() as usize);
        assert!(guess(&mut attempts, addr, "bob", now), "tries that were refused left the address its own");
    }
}
