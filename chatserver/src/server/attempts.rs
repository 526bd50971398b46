//! Tries with a password that were not good: how many are allowed at one account from one address, and from one address at
//! all accounts together. Nobody can lock an account for others, who come from elsewhere.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use chatnet::{Budget, origin};
use chatproto::wire::Name;

use crate::settings::AccountPolicy;

/// What is left of the tries.
pub(super) struct Attempts {
    at_account: Budget<(IpAddr, Name)>,
    by_address: Budget<IpAddr>,
}

impl Attempts {
    pub(super) fn new(policy: &AccountPolicy, now: Instant) -> Self {
        let refill = policy.attempt_refill_per_address();
        Self {
            at_account: Budget::new(policy.max_attempts(), policy.attempt_refill(), now),
            by_address: Budget::new(policy.max_attempts_per_address(), refill, now),
        }
    }

    /// Spends one try of `user` from `addr`, until it turns out to be good.
    ///
    /// # Errors
    /// When there is none left: how long until there is one. Nothing is spent then.
    pub(super) fn spend(&mut self, addr: SocketAddr, user: &Name, now: Instant) -> Result<(), Duration> {
        let origin = origin(addr.ip());
        let account = (origin, user.clone());
        self.by_address.spend(origin, now)?;
        self.at_account.spend(account, now).inspect_err(|_| self.by_address.give_back(&origin))
    }

    /// The try was good, and so it was none.
    pub(super) fn give_back(&mut self, addr: SocketAddr, user: &Name) {
        let origin = origin(addr.ip());
        self.at_account.give_back(&(origin, user.clone()));
        self.by_address.give_back(&origin);
    }
}

/// Milliseconds for the wire, at least 1.
pub(super) fn advice(wait: Duration) -> u32 {
    u32::try_from(wait.as_millis()).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guesses_at_many_accounts_are_bounded_by_their_address_and_hurt_nobody_else() {
        let policy = AccountPolicy::default();
        let now = Instant::now();
        let mut attempts = Attempts::new(&policy, now);
        let attacker = "192.0.2.1:1".parse().expect("an address");
        let name = |number: u32| Name::new(&format!("user{number}")).expect("a name");
        let tried =
            (0..10_000).filter(|number| attempts.spend(attacker, &name(*number), now).is_ok()).count();
        assert_eq!(tried, policy.max_attempts_per_address() as usize);
        let other = "192.0.2.2:1".parse().expect("an address");
        assert_eq!(attempts.spend(other, &name(0), now), Ok(()));
    }

    #[test]
    fn good_passwords_and_refused_tries_cost_nothing() {
        let policy = AccountPolicy::default();
        let now = Instant::now();
        let mut attempts = Attempts::new(&policy, now);
        let addr = "[2001:db8::1]:1".parse().expect("an address");
        let (alice, bob) = (Name::new("alice").expect("a name"), Name::new("bob").expect("a name"));
        for _ in 0..10_000 {
            assert_eq!(attempts.spend(addr, &alice, now), Ok(()));
            attempts.give_back(addr, &alice);
        }
        let tried = (0..10_000).filter(|_| attempts.spend(addr, &alice, now).is_ok()).count();
        assert_eq!(tried, policy.max_attempts() as usize);
        assert_eq!(
            attempts.spend(addr, &bob, now),
            Ok(()),
            "tries that were refused left the address its own"
        );
    }
}
