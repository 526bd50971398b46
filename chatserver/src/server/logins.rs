//! Logins: the hub brings a mechanism's bytes, the store the account's record, OPAQUE says yes or no.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;
use chatproto::hub::{Accept, ConnId, Hub};
use chatproto::opaque::{OsRng, Record, ServerLogin, ServerSetup};
use chatproto::wire::{ErrorCode, Name};

use super::console;
use super::links::Links;
use crate::store::{Read, Reply, Store};

/// Set in the id of a store read that belongs to a login, so that it never meets the hub's own ids.
const LOGIN_READ: u64 = 1 << 63;

/// What a failed login hears, whatever was wrong.
const REFUSED: &str = "wrong ID or password";

/// The logins under way; the hub bounds their number.
pub(super) struct Logins {
    setup: ServerSetup,
    /// By the id of the account look-up.
    started: HashMap<u64, Started>,
    challenged: HashMap<ConnId, Challenged>,
    last: u64,
    refused: u64,
    abandoned: u64,
}

struct Started {
    conn: ConnId,
    user: Name,
    request: Bytes,
}

struct Challenged {
    user: Name,
    login: ServerLogin,
    /// Whether there is an account that may log in. Known here, told to nobody before the end.
    may_enter: bool,
}

impl Logins {
    pub(super) fn new(setup: ServerSetup) -> Self {
        Self { setup, started: HashMap::new(), challenged: HashMap::new(), last: 0, refused: 0, abandoned: 0 }
    }

    /// Looks the account up.
    pub(super) fn start(&mut self, hub: &mut Hub, store: &Store, conn: ConnId, user: Name, request: Bytes) {
        self.last += 1;
        let id = self.last | LOGIN_READ;
        let read = Read::Account { id, name: user.as_str().into() };
        if store.reader.try_send(read).is_err() {
            self.refused += 1;
            hub.login_refuse(conn, ErrorCode::Busy, "too many logins at once, try again");
            return;
        }
        self.started.insert(id, Started { conn, user, request });
    }

    /// The look-up that a reply answers, if it is one of a login.
    pub(super) fn lookup_of(reply: &Reply) -> Option<u64> {
        match reply {
            Reply::Account { id, .. } | Reply::Failed { id, .. } => (id & LOGIN_READ != 0).then_some(*id),
            Reply::Page { .. } | Reply::Found { .. } => None,
        }
    }

    /// Answers the client's first message. An unknown account is answered like a known one.
    pub(super) fn on_account(&mut self, hub: &mut Hub, lookup: u64, reply: Reply, links: &Links) {
        let Some(Started { conn, user, request }) = self.started.remove(&lookup) else { return };
        let Reply::Account { account, .. } = reply else {
            tracing::error!(user = user.as_str(), "the account could not be read");
            self.refused += 1;
            hub.login_refuse(conn, ErrorCode::Internal, "the account could not be read");
            return;
        };
        let may_enter = account.as_ref().is_some_and(|account| !account.disabled);
        let record = match account.map(|account| Record::from_bytes(&account.record)).transpose() {
            Ok(record) => record,
            Err(error) => {
                tracing::error!(user = user.as_str(), %error, "the account's login record is damaged");
                None
            }
        };
        let binding = links.channel_binding(conn);
        let started =
            ServerLogin::start(&self.setup, record.as_ref(), user.as_str(), &request, binding, &mut OsRng);
        match started {
            Ok((login, response)) => {
                if hub.login_challenge(conn, &response) {
                    self.challenged.insert(conn, Challenged { user, login, may_enter });
                }
            }
            Err(error) => {
                self.refused += 1;
                hub.login_refuse(conn, ErrorCode::Malformed, &error.to_string());
            }
        }
    }

    /// Checks the client's proof.
    pub(super) fn respond(&mut self, hub: &mut Hub, conn: ConnId, finalization: &[u8]) {
        let Some(Challenged { user, login, may_enter }) = self.challenged.remove(&conn) else { return };
        if login.finish(finalization).is_ok() && may_enter {
            let accept =
                Accept { user, ticket: Bytes::new(), ticket_lifetime: Duration::ZERO, data: Bytes::new() };
            hub.login_accept(conn, &accept);
        } else {
            tracing::warn!(user = user.as_str(), %conn, "login refused: {REFUSED}");
            self.refused += 1;
            hub.login_refuse(conn, ErrorCode::LoginRefused, REFUSED);
        }
    }

    /// How many logins were refused, and how many given up by the client after the server's answer.
    pub(super) fn failed(&self) -> (u64, u64) {
        (self.refused, self.abandoned)
    }

    /// The connection has ended.
    pub(super) fn forget(&mut self, conn: ConnId) {
        if let Some(challenged) = self.challenged.remove(&conn) {
            self.abandoned += 1;
            console::login_abandoned(&challenged.user);
        }
        self.started.retain(|_, started| started.conn != conn);
    }
}
