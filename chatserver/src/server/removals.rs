//! Removed and disabled accounts: the `user` command changes them beside the running server, which looks again at the
//! accounts of those who are logged in, a few at a time.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use chatproto::Instant as HubInstant;
use chatproto::hub::Hub;
use chatproto::wire::Name;

use crate::store::{Read, Reply, Store};

/// Pause between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Accounts looked at each time: with a thousand people logged in, a removal takes effect within a quarter of a minute.
const MAX_AT_ONCE: usize = 64;

/// Set in the id of a store read of ours; see `LOGIN_READ` of the logins.
const REMOVAL_READ: u64 = 1 << 62;

/// Who is logged in, in the order in which they are looked at.
#[derive(Debug, Default)]
pub(super) struct Removals {
    connected: BTreeMap<Name, usize>,
    turn: VecDeque<Name>,
    /// Reads that are not answered.
    asked: BTreeMap<u64, Name>,
    last: u64,
    next: Option<Instant>,
}

impl Removals {
    pub(super) fn logged_in(&mut self, user: &Name) {
        let devices = self.connected.entry(user.clone()).or_default();
        *devices += 1;
        if *devices == 1 {
            self.turn.push_back(user.clone());
        }
        self.next.get_or_insert_with(|| Instant::now() + INTERVAL);
    }

    pub(super) fn closed(&mut self, user: &Name) {
        let Some(devices) = self.connected.get_mut(user) else { return };
        *devices -= 1;
        if *devices == 0 {
            self.connected.remove(user);
            self.turn.retain(|other| other != user);
        }
    }

    /// When to look again; never while nobody is logged in.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the next accounts, if it is time.
    pub(super) fn look(&mut self, store: &Store) {
        if self.next.is_none_or(|next| Instant::now() < next) {
            return;
        }
        for _ in 0..self.turn.len().min(MAX_AT_ONCE) {
            let Some(user) = self.turn.pop_front() else { break };
            self.turn.push_back(user.clone());
            self.last += 1;
            let id = self.last | REMOVAL_READ;
            // With a full queue there is a next time.
            if store.reader.try_send(Read::Account { id, name: user.as_str().into() }).is_ok() {
                self.asked.insert(id, user);
            }
        }
        self.next = (!self.turn.is_empty()).then(|| Instant::now() + INTERVAL);
    }

    /// Takes a reply if it answers a read of ours; whose account is gone is disconnected.
    pub(super) fn on_reply(&mut self, hub: &mut Hub, reply: &Reply, now: HubInstant) -> bool {
        match reply {
            Reply::Account { id, account } => {
                let Some(user) = self.asked.remove(id) else { return false };
                if account.as_ref().is_none_or(|account| account.disabled) {
                    hub.remove_user(&user, now);
                }
                true
            }
            Reply::Failed { id, .. } => self.asked.remove(id).is_some(),
            Reply::Page { .. } | Reply::Found { .. } | Reply::Audit { .. } | Reply::Ticket { .. } => false,
        }
    }
}
