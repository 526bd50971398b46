//! Tries with a password, which somebody has only so many of.
//!
//! Whoever is challenged knows whether they guessed right, whether they answer or not: a login that is not finished is a
//! wrong password. While it is under way it is neither, so that all devices of a person may come back at once.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use chatproto::hub::ConnId;
use chatproto::wire::Name;

use super::budget::{Budget, origin};
use crate::settings::AccountPolicy;

/// The budget for wrong passwords, by address and ID.
#[derive(Debug)]
pub(super) struct Attempts {
    wrong: Budget<(IpAddr, Name)>,
    /// Under way, one for each connection without a login, of which there are only so many.
    open: HashMap<ConnId, (IpAddr, Name)>,
}

impl Attempts {
    pub(super) fn new(policy: &AccountPolicy) -> Self {
        let wrong = Budget::new(policy.max_attempts(), policy.attempt_refill(), Instant::now());
        Self { wrong, open: HashMap::new() }
    }

    /// Begins a try, of a login or of a change of the password.
    ///
    /// # Errors
    /// When too many were wrong: how long until there is one again.
    pub(super) fn begin(&mut self, conn: ConnId, addr: SocketAddr, user: Name) -> Result<(), Duration> {
        let key = (origin(addr), user);
        let now = Instant::now();
        // One that was begun before and never answered.
        self.wrong(conn);
        self.wrong.ask(&key, now)?;
        self.open.insert(conn, key);
        Ok(())
    }

    /// The password was right.
    pub(super) fn right(&mut self, conn: ConnId) {
        self.open.remove(&conn);
    }

    /// The password was wrong, or the connection has ended before anybody could tell.
    pub(super) fn wrong(&mut self, conn: ConnId) {
        if let Some(key) = self.open.remove(&conn) {
            self.wrong.charge(key, Instant::now());
        }
    }
}
