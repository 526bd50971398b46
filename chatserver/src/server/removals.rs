//! Removed and disabled accounts: the `user` command changes them beside the running server, which then ends the
//! connections of whoever is logged in. The store tells who it is. Who has just logged in is looked up once more, because
//! a removal may come between the look at the account and the end of the login.

use std::collections::{BTreeMap, VecDeque};

use chatproto::Instant as HubInstant;
use chatproto::hub::Hub;
use chatproto::wire::Name;

use crate::store::{Read, Reply, Store};

/// Set in the id of a store read of ours; see `LOGIN_READ` of the logins.
const REMOVAL_READ: u64 = 1 << 62;

/// Who is to be looked up. Bounded by the logins that end while the store's queue is full.
#[derive(Debug, Default)]
pub(super) struct Removals {
    due: VecDeque<Name>,
    /// Reads that are not answered.
    asked: BTreeMap<u64, Name>,
    last: u64,
}

impl Removals {
    pub(super) fn logged_in(&mut self, user: Name) {
        self.due.push_back(user);
    }

    /// Asks for those who are due.
    pub(super) fn ask(&mut self, store: &Store) {
        while let Some(user) = self.due.front() {
            let id = (self.last + 1) | REMOVAL_READ;
            // With a full queue there is a next time: each answer that makes room wakes the loop.
            if store.reader.try_send(Read::Account { id, name: user.as_str().into() }).is_err() {
                return;
            }
            self.last += 1;
            self.asked.extend(self.due.pop_front().map(|user| (id, user)));
        }
    }

    /// Takes a reply if it is of ours; whose account is gone is disconnected.
    pub(super) fn on_reply(&mut self, hub: &mut Hub, reply: &Reply, now: HubInstant) -> bool {
        match reply {
            Reply::Account { id, account } => {
                let Some(user) = self.asked.remove(id) else { return false };
                if account.as_ref().is_none_or(|account| account.disabled) {
                    hub.remove_user(&user, now);
                }
                true
            }
            Reply::Removed { names } => {
                // Whoever has no legal name never logged in.
                for name in names.iter().filter_map(|name| Name::new(name).ok()) {
                    hub.remove_user(&name, now);
                }
                true
            }
            Reply::Failed { id, .. } => self.asked.remove(id).is_some(),
            Reply::Page { .. } | Reply::Found { .. } | Reply::Ticket { .. } => false,
        }
    }
}
