//! Changes of rooms and of the server on their way through the log: nothing of them holds before they are stored.
//!
//! The log applies orders in the sequence in which the hub asks, and the hub in the sequence in which the log answers, so
//! both come to the same. Whether somebody may do it is looked at once, when they ask.

use alloc::collections::{BTreeMap, BTreeSet};

use super::govern::Decree;
use super::moderate::Order;
use super::{ConnId, ErrorCode, Hub, OrderId};
use crate::wire::{DeviceId, FrameType, Name, RequestId, RoomId, Subject};

/// Orders that the log has not answered for.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pending: BTreeMap<OrderId, Pending>,
    /// Those of them that are about somebody whose account is gone: whoever has the name next is somebody else.
    moot: BTreeSet<OrderId>,
    next: u64,
}

/// What waits for the log.
#[derive(Debug)]
pub(super) enum Pending {
    /// A change of a room.
    Room(Order),
    /// A change of the whole server.
    Server(Decree),
    /// A room that somebody enters once it is there; `None` for one that the operator of the server makes.
    Create { asker: Option<Asker>, room: RoomId },
}

/// Who asked for something, and where the answer goes.
#[derive(Debug, Clone)]
pub(super) struct Asker {
    pub(super) conn: ConnId,
    pub(super) request: RequestId,
    pub(super) name: Name,
    pub(super) device: DeviceId,
}

/// Why something is not done.
pub(super) type Refused = (ErrorCode, &'static str);

impl Hub {
    pub(super) fn begin_order(&mut self, pending: Pending) -> OrderId {
        let id = OrderId(self.orders.next);
        self.orders.next += 1;
        self.orders.pending.insert(id, pending);
        id
    }

    /// Answers [`LogRequest::Moderate`](super::LogRequest::Moderate), [`LogRequest::Govern`](super::LogRequest::Govern) and a
    /// [`LogRequest::RoomCreated`](super::LogRequest::RoomCreated) that somebody waits for: it is durable and holds from now on, or
    /// it could not be stored and never will. `false` if the hub did not ask.
    pub fn ordered(&mut self, id: OrderId, is_stored: bool) -> bool {
        let Some(pending) = self.orders.pending.remove(&id) else { return false };
        let is_moot = self.orders.moot.remove(&id);
        match pending {
            Pending::Room(order) => {
                self.end_asking(order.asker.as_ref());
                if is_moot {
                    self.refuse_order(&order, unknown(Some(false)));
                } else if is_stored {
                    self.carry_out(order);
                } else {
                    self.refuse_order(&order, NOT_STORED);
                }
            }
            Pending::Server(decree) => {
                self.end_asking(decree.asker.as_ref());
                if is_moot {
                    self.refuse_decree(&decree, unknown(Some(false)));
                } else if is_stored {
                    self.put_in_force(&decree);
                } else {
                    self.refuse_decree(&decree, NOT_STORED);
                }
            }
            Pending::Create { asker, room } => {
                self.end_asking(asker.as_ref());
                self.end_create(asker, room, is_stored);
            }
        }
        self.flush_if_full();
        true
    }

    /// The account is gone: what was to be done to it does not hold, whether it is stored before or after.
    pub(super) fn forget_orders_about(&mut self, user: &Name) {
        for (id, pending) in &mut self.orders.pending {
            let is_about = match pending {
                Pending::Room(order) => {
                    order.admits.retain(|admitted| admitted != user);
                    order.user.as_ref() == Some(user)
                }
                Pending::Server(decree) => {
                    matches!(&decree.subject, Some(Subject::User(subject)) if subject == user)
                }
                Pending::Create { .. } => false,
            };
            if is_about {
                self.orders.moot.insert(*id);
            }
        }
    }

    fn end_create(&mut self, asker: Option<Asker>, room: RoomId, is_stored: bool) {
        if !is_stored && self.router.conns(room).is_empty() {
            self.router.remove(room);
            self.pages.forget(room);
        }
        let Some(Asker { conn, request, name, .. }) = asker else { return };
        if is_stored {
            // Removed, or they were banned, in the meantime.
            let may_enter = self.router.house(room).is_some_and(|house| house.ban(&name, self.now).is_none());
            if may_enter {
                return self.enter(conn, request, room, None);
            }
        }
        let (code, note) = if is_stored { (ErrorCode::NoSuchRoom, "no such room") } else { NOT_STORED };
        self.send_error(conn, code, &FrameType::Create, request.into(), note);
    }

    pub(super) fn end_asking(&mut self, asker: Option<&Asker>) {
        if let Some(client) = asker.and_then(|asker| self.clients.get_mut(&asker.conn)) {
            client.requests = client.requests.saturating_sub(1);
        }
    }

    pub(super) fn asker(&self, conn: ConnId, request: RequestId) -> Option<Asker> {
        self.identity(conn).map(|(name, device)| Asker { conn, request, name, device })
    }
}

/// Why nothing is done to somebody: there is no such account, or it could not be found out.
pub(super) fn unknown(is_known: Option<bool>) -> Refused {
    match is_known {
        Some(_) => (ErrorCode::NoSuchUser, "nobody here has this name"),
        None => (ErrorCode::Busy, "whether there is such an account cannot be told now; ask again"),
    }
}

const NOT_STORED: Refused = (ErrorCode::NotStored, "this could not be stored, and is not done");
