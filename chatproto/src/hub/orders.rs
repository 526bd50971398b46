//! Changes of rooms and of the server on their way through the log: nothing of them holds before they are stored.
//!
//! The log applies orders in the sequence in which the hub asks, and the hub in the sequence in which the log answers, so
//! both come to the same. Whether somebody may do it is looked at once, when they ask.

use alloc::collections::{BTreeMap, BTreeSet};

use super::govern::Decree;
use super::moderate::Order;
use super::{ConnId, ErrorCode, Holder, House, Hub, Label, LogRequest, OrderId, Ordered};
use crate::wire::{DeviceId, FrameType, Name, RequestId, RoomId, Subject};

/// Orders that the log has not answered for.
#[derive(Debug, Default)]
pub(super) struct Orders {
    pending: BTreeMap<OrderId, Pending>,
    /// Those of them that are about somebody whose account is gone: whoever has the name next is somebody else.
    moot: BTreeSet<OrderId>,
    /// Those that are about a room which a busy log would not have: it is busy for them as well.
    put_off: BTreeSet<OrderId>,
    /// The default room, while the log does not have it.
    unmade: Option<RoomId>,
    next: u64,
}

/// What waits for the log.
#[derive(Debug)]
pub(super) enum Pending {
    /// A change of a room.
    Room(Order),
    /// A change of the whole server.
    Server(Decree),
    /// A room, and who enters it once it is there, where somebody waits for that.
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

    /// Asks the log for a room that is there already, so that people may be in it before it is durable.
    pub(super) fn store_room(
        &mut self,
        room: RoomId,
        asker: Option<Asker>,
        by: Option<Name>,
        label: Label,
        house: House,
    ) -> OrderId {
        let id = self.begin_order(Pending::Create { asker, room });
        self.request(LogRequest::RoomCreated { id, room, by, label, house });
        id
    }

    /// The default room is everybody's: where the log has refused it, it is asked for again with what is to be stored there.
    pub(super) fn make_again(&mut self, room: RoomId) {
        if self.orders.unmade.take_if(|unmade| *unmade == room).is_none() {
            return;
        }
        let Some((label, ..)) = self.router.info(room) else { return };
        let (label, house) = (label.clone(), self.router.house(room).cloned().unwrap_or_default());
        self.store_room(room, None, None, label, house);
    }

    /// Answers [`LogRequest::Moderate`], [`LogRequest::Govern`] and [`LogRequest::RoomCreated`]. `false` if the hub did not ask.
    pub fn ordered(&mut self, id: OrderId, outcome: Ordered) -> bool {
        let Some(pending) = self.orders.pending.remove(&id) else { return false };
        let is_moot = self.orders.moot.remove(&id);
        let is_put_off = self.orders.put_off.remove(&id) && outcome == Ordered::Failed;
        let refused = not_done(if is_put_off { Ordered::Busy } else { outcome });
        match pending {
            Pending::Room(order) => {
                self.end_asking(order.asker.as_ref());
                if is_moot {
                    self.refuse_order(&order, unknown(Some(Holder::Nobody)));
                } else if let Some(refused) = refused {
                    self.refuse_order(&order, refused);
                } else {
                    self.carry_out(order);
                }
            }
            Pending::Server(decree) => {
                self.end_asking(decree.asker.as_ref());
                let gone = is_moot.then(|| unknown(Some(Holder::Nobody)));
                match gone.or(refused) {
                    Some(refused) => self.refuse_decree(&decree, refused),
                    None => self.put_in_force(&decree),
                }
            }
            Pending::Create { asker, room } => {
                self.end_asking(asker.as_ref());
                self.end_create(asker, room, refused);
            }
        }
        self.flush_if_full();
        true
    }

    /// The account is gone: what was to be done to it does not hold, whether it is stored before or after.
    pub(super) fn forget_orders_about(&mut self, user: &Name) {
        let Orders { pending, moot, .. } = &mut self.orders;
        for (id, pending) in pending {
            let is_about = match pending {
                Pending::Room(order) => {
                    order.admits.retain(|admitted| admitted != user);
                    order.user.as_ref() == Some(user)
                }
                Pending::Server(decree) => decree.subject.as_ref() == Some(&Subject::User(user.clone())),
                Pending::Create { .. } => false,
            };
            if is_about {
                moot.insert(*id);
            }
        }
    }

    fn end_create(&mut self, asker: Option<Asker>, room: RoomId, refused: Option<Refused>) {
        if let Some((code, _)) = refused {
            self.unmake(room, code);
        }
        let Some(Asker { conn, request, name, .. }) = asker else { return };
        let (code, note) = match refused {
            Some(refused) => refused,
            // Removed, or they were banned, in the meantime.
            None if self.router.house(room).is_none_or(|house| house.ban(&name, self.now).is_some()) => {
                (ErrorCode::NoSuchRoom, "no such room")
            }
            None => return self.enter(conn, request, room, None),
        };
        self.send_error(conn, code, &FrameType::Create, request.into(), note);
    }

    /// The log does not have the room, and nothing that was said there: whoever has come meanwhile is told so.
    fn unmake(&mut self, room: RoomId, code: ErrorCode) {
        let Some((label, ..)) = self.router.info(room) else { return };
        if *label == Label::Group(self.config.default_room.clone()) {
            self.orders.unmade = Some(room);
            return;
        }
        for id in self.router.conns(room) {
            self.take_out(id, room, Some(code));
        }
        self.router.remove(room);
        self.pages.forget(room);
        if code == ErrorCode::Busy {
            self.says.put_off(room);
            let is_there = |(_, pending): &(&OrderId, &Pending)| matches!(pending, Pending::Room(order) if order.room == room);
            let there = self.orders.pending.iter().filter(is_there).map(|(id, _)| *id);
            self.orders.put_off.extend(there);
        }
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
pub(super) fn unknown(holder: Option<Holder>) -> Refused {
    match holder {
        Some(_) => (ErrorCode::NoSuchUser, "nobody here has this name"),
        None => (ErrorCode::Busy, "whether there is such an account cannot be told now; ask again"),
    }
}

/// Why nothing is done that the log was asked for.
fn not_done(outcome: Ordered) -> Option<Refused> {
    match outcome {
        Ordered::Stored => None,
        Ordered::Busy => Some((ErrorCode::Busy, "the log is busy, and this is not done; ask again later")),
        Ordered::Failed => Some((ErrorCode::NotStored, "this could not be stored, and is not done")),
    }
}
