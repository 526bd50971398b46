//! Making rooms, and keeping order in them.
//!
//! What is decided leaves as an [`LogRequest::Moderate`], and holds once the program has stored it: a crash between the two
//! undoes nothing that anybody has seen. An operator acts upon those below, the owner upon operators too, an administrator
//! of the server is above every owner of a room that shows itself to them, and the operator of the server above all.

use core::net::IpAddr;

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::house::{House, Left, Role, Ruling};
use super::orders::{Asker, Pending, Refused, unknown};
use super::query::{Query, Wanted};
use super::{ConnId, Holder, Hub, Label, LogRequest, OrderId, Standing};
use crate::wire::{
    Action, Capability, Create, DeviceId, ErrorCode, Invited, Moderate, Moderated, Name, Network, Note,
    RequestId, RoomId,
};

/// A change of a room that somebody wants.
#[derive(Debug)]
pub(super) struct Order {
    /// `None` for the operator of the server.
    pub(super) asker: Option<Asker>,
    pub(super) room: RoomId,
    pub(super) action: Action,
    pub(super) user: Option<Name>,
    pub(super) seconds: u32,
    pub(super) note: Note,
    /// Who is let into a room that becomes private.
    pub(super) admits: Vec<Name>,
    /// The addresses that a ban covers.
    pub(super) networks: Vec<Network>,
}

/// A change of a room that the operator of the server wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOrder {
    /// The room.
    pub room: Name,
    /// What to do.
    pub action: Action,
    /// To whom; the program has looked whether there is such an account.
    pub user: Option<Name>,
    /// Upon which network, of a ban of one and its lifting.
    pub network: Option<Network>,
    /// For how long, where the action has a time; 0 for no end, or, of slow mode, for none.
    pub seconds: u32,
    /// The topic, or the reason; may be empty.
    pub note: Note,
}

/// Who acts upon whom: each upon those below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Power {
    Guest,
    Operator,
    Owner,
    Admin,
    /// Runs the server.
    Host,
}

impl Hub {
    pub(super) fn on_create(&mut self, id: ConnId, create: &Create<'_>) {
        let Some(asker) = self.asker(id, create.request) else { return };
        let name = create.name.to_owned();
        let refused = if !self.config.capabilities.has(Capability::Moderation) {
            Err(NO_ROLES)
        } else if self.is_in_too_many_rooms(id) {
            Err((ErrorCode::TooManyRooms, super::rooms::IN_TOO_MANY))
        } else {
            self.may_make(&name)
        };
        let refused = refused.and_then(|()| if self.may_ask(id) { Ok(()) } else { Err(TOO_MANY) });
        if let Err((code, note)) = refused {
            return self.send_error(id, code, create, create.request.into(), note);
        }
        let house = House::of(&asker.name, create.private);
        self.make(Some(asker), name, house);
    }

    /// Makes a room for the operator of the server; [`ordered`](Self::ordered) under this number answers.
    ///
    /// # Errors
    /// Says why there can be no such room.
    pub fn create_room_as_host(
        &mut self,
        name: Name,
        owner: Option<&Name>,
        is_private: bool,
    ) -> Result<OrderId, (ErrorCode, &'static str)> {
        self.may_make(&name)?;
        let house = owner.map_or_else(House::default, |owner| House::of(owner, false));
        Ok(self.make(None, name, House { is_private, ..house }))
    }

    fn may_make(&self, name: &Name) -> Result<(), Refused> {
        if self.router.find(&Label::Group(name.clone())).is_some() {
            return Err((ErrorCode::RoomExists, "a room of this name exists already"));
        }
        if self.router.groups() >= self.config.max_rooms {
            return Err((ErrorCode::TooManyRooms, "the server has as many rooms as it may have"));
        }
        Ok(())
    }

    fn make(&mut self, asker: Option<Asker>, name: Name, house: House) -> OrderId {
        let label = Label::Group(name);
        let by = asker.as_ref().map(|asker| asker.name.clone());
        let room = self.router.create(label.clone(), house.clone());
        self.store_room(room, asker, by, label, house)
    }

    pub(super) fn on_moderate(&mut self, id: ConnId, asked: &Moderate<'_>) {
        let Some(asker) = self.asker(id, asked.request) else { return };
        let request = asked.request.into();
        if !self.config.capabilities.has(Capability::Moderation) {
            return self.send_error(id, NO_ROLES.0, asked, request, NO_ROLES.1);
        }
        let Some(room) = self.find_room(&asker.name, asked.target) else {
            return self.send_error(id, ErrorCode::NoSuchRoom, asked, request, "no such room");
        };
        let action = asked.action;
        let order = Order {
            asker: Some(asker),
            room,
            action,
            user: asked.user.filter(|_| needs_person(action)).map(|user| user.to_owned()),
            seconds: if has_time(action) { asked.seconds } else { 0 },
            note: asked.note.to_owned(),
            admits: Vec::new(),
            networks: Vec::new(),
        };
        if let Err(refused) = self.check(&order, None) {
            return self.refuse_order(&order, refused);
        }
        if !self.may_ask(id) {
            return self.refuse_order(&order, TOO_MANY);
        }
        match order.user.clone().filter(|user| !self.is_known(room, action, user)) {
            None => {
                self.store_order(order);
            }
            Some(name) => {
                let query = self.ask(Query::Order(Wanted::Room(order)));
                self.request(LogRequest::FindUser { id: query, name });
            }
        }
    }

    /// Changes a room for the operator of the server; [`ordered`](Self::ordered) under this number answers.
    ///
    /// # Errors
    /// Says what is in the way.
    pub fn moderate_as_host(&mut self, wanted: RoomOrder) -> Result<OrderId, (ErrorCode, &'static str)> {
        let RoomOrder { room, action, user, network, seconds, note } = wanted;
        let networks = network.into_iter().collect();
        let room = self.router.find(&Label::Group(room)).ok_or((ErrorCode::NoSuchRoom, "no such room"))?;
        let order = Order { asker: None, room, action, user, seconds, note, admits: Vec::new(), networks };
        self.check(&order, None)?;
        Ok(self.store_order(order))
    }

    /// It is known now whether there is the person that an order is about.
    pub(super) fn end_order(&mut self, order: Order, holder: Option<Holder>) {
        let refused = match holder {
            // Roles may have changed since it was asked.
            Some(Holder::Person | Holder::Admin) => self.check(&order, holder).err(),
            Some(Holder::Nobody) | None => Some(unknown(holder)),
        };
        match refused {
            None => {
                self.store_order(order);
            }
            Some(refused) => {
                self.end_asking(order.asker.as_ref());
                self.refuse_order(&order, refused);
            }
        }
    }

    fn store_order(&mut self, mut order: Order) -> OrderId {
        self.make_again(order.room);
        if order.action == Action::Private {
            order.admits = self.router.people(order.room).map(|(name, _)| name.clone()).collect();
        }
        if let Some(user) = order.user.as_ref().filter(|_| order.action == Action::BanAddress) {
            order.networks = self.addresses_of(user);
        }
        let Order { room, action, seconds, .. } = order;
        let by = order.asker.as_ref().map(|asker| asker.name.clone());
        let (user, note) = (order.user.clone(), order.note.clone());
        let (admits, networks) = (order.admits.clone(), order.networks.clone());
        let id = self.begin_order(Pending::Room(order));
        self.request(LogRequest::Moderate { id, room, by, action, user, seconds, note, admits, networks });
        id
    }

    /// Whether this may be done by whoever asks. `holder` is what the accounts say of whom it is about, where they were asked:
    /// of somebody who is not connected the hub does not know whether they administer the server.
    fn check(&mut self, order: &Order, holder: Option<Holder>) -> Result<(), Refused> {
        let now = self.now;
        let max = self.config.max_house_notes;
        let &Order { room, action, .. } = order;
        let Some((Label::Group(name), ..)) = self.router.info(room) else {
            return Err((ErrorCode::Forbidden, "a conversation has neither topic nor roles"));
        };
        let is_default = *name == self.config.default_room;
        let Some(least) = least(action) else {
            return Err((ErrorCode::Forbidden, "this is not done to a room"));
        };
        if matches!(action, Action::BanNetwork | Action::UnbanNetwork) && order.networks.is_empty() {
            return Err((ErrorCode::Forbidden, "only the operator of the server bans networks from a room"));
        }
        if order.networks.iter().any(|network| network.prefix() == 0) {
            return Err((ErrorCode::Forbidden, "this would be everybody"));
        }
        if needs_person(action) && order.user.is_none() {
            return Err((ErrorCode::NoSuchUser, "this needs the name of a person"));
        }
        let mine = order.asker.as_ref().map_or(Power::Host, |asker| self.power(room, &asker.name));
        if mine < least {
            let note = match least {
                Power::Host => "only the operator of the server may do this",
                Power::Owner | Power::Admin => "only the owner of the room may do this",
                Power::Guest | Power::Operator => "only operators of the room may do this",
            };
            return Err((ErrorCode::Forbidden, note));
        }
        if is_default && matches!(action, Action::Private | Action::Remove) {
            return Err((ErrorCode::Forbidden, "this room is everybody's"));
        }
        let is_admin = holder == Some(Holder::Admin);
        let power = |user| if is_admin { Power::Admin } else { self.power(room, user) };
        let theirs = order.user.as_ref().map(power);
        if matches!(action, Action::Ban | Action::BanAddress) && theirs == Some(Power::Admin) {
            return Err((ErrorCode::Forbidden, "no ban holds for administrators of the server"));
        }
        if acts_upon(action) && theirs.is_some_and(|theirs| theirs >= mine) {
            return Err((ErrorCode::Forbidden, "they have as much to say here as you"));
        }
        let is_own = order.asker.as_ref().is_some_and(|asker| order.user.as_ref() == Some(&asker.name));
        if action == Action::Unmute && is_own && mine < Power::Owner {
            return Err((ErrorCode::Forbidden, "somebody else has to lift that"));
        }
        let people = self.router.people(room).count();
        let devices = order.user.as_ref().map_or(0, |user| self.conns_of(user).len());
        let Some(house) = self.router.house_mut(room) else {
            return Err((ErrorCode::NoSuchRoom, "no such room"));
        };
        let owns = |user: &Name| house.role(user) == Some(Role::Owner);
        let is_so_already = match (action, house.is_private) {
            (Action::Invite, false) => Some("everybody may enter this room"),
            (Action::Deop, _) if theirs.is_some_and(|theirs| theirs < Power::Operator) => {
                Some("they are no operator here")
            }
            (Action::Private, true) => Some("the room is private already"),
            (Action::Public, false) => Some("the room is public already"),
            (Action::UnbanNetwork, _)
                if !house
                    .networks
                    .keys()
                    .any(|(network, with)| with.is_none() && order.networks.contains(network)) =>
            {
                Some("there is no such ban")
            }
            (Action::Owner, _) if order.user.as_ref().is_some_and(owns) => Some("they own it already"),
            (_, true | false) => None,
        };
        if let Some(note) = is_so_already {
            return Err((ErrorCode::Forbidden, note));
        }
        let added = if action == Action::Private {
            people
        } else if action == Action::BanAddress {
            devices.saturating_add(1)
        } else {
            usize::from(adds(action))
        };
        if added > 0 && house.count(now) + added > max {
            return Err((ErrorCode::Busy, "the room keeps as many roles, mutes and bans as it may"));
        }
        Ok(())
    }

    pub(super) fn power(&self, room: RoomId, user: &Name) -> Power {
        if self.is_admin(user) {
            return Power::Admin;
        }
        match self.router.house(room).and_then(|house| house.role(user)) {
            None | Some(Role::Member) => Power::Guest,
            Some(Role::Operator) => Power::Operator,
            Some(Role::Owner) => Power::Owner,
        }
    }

    pub(super) fn is_admin(&self, user: &Name) -> bool {
        let mut conns = self.people.get(user).into_iter().flatten();
        conns.any(|id| self.clients.get(id).is_some_and(|client| client.is_admin))
    }

    /// Whether enough is known of `user` to do this: that there is such an account, and where that matters, its rank.
    fn is_known(&self, room: RoomId, action: Action, user: &Name) -> bool {
        let is_noted = self.router.house(room).is_some_and(|house| house.knows(user));
        self.people.contains_key(user) || (is_noted && !acts_upon(action))
    }

    /// The order is stored: from here on it holds, and everybody hears of it.
    pub(super) fn carry_out(&mut self, order: Order) {
        let Order { asker, room, action, user, seconds, note, admits, networks } = order;
        let (reason, admits) = (&note, &admits[..]);
        let ruling = Ruling { action, user: user.as_ref(), seconds, reason, admits, networks: &networks };
        self.router.apply(room, &ruling, self.now);
        let device = asker.as_ref().map_or_else(DeviceId::default, |asker| asker.device);
        let done = Moderated {
            request: RequestId(0),
            room,
            action,
            by: asker.as_ref().map(|asker| asker.name.borrow()),
            device,
            user: user.as_ref().map(Name::borrow),
            seconds,
            note: note.borrow(),
        };
        self.router.tell(room, &done);
        if let Some(Asker { conn, request, .. }) = asker {
            self.send(conn, &Moderated { request, ..done });
        }
        match (action, &user) {
            (Action::Topic, _) => self.miss_topic(room),
            (Action::Invite, Some(user)) => self.tell_invited(room, user, done.by),
            (Action::Kick, Some(user)) => self.expel(room, Some(user), &done, ErrorCode::Kicked),
            (Action::Ban, Some(user)) => self.expel(room, Some(user), &done, ErrorCode::Banned),
            (Action::BanAddress, Some(user)) => {
                self.expel(room, Some(user), &done, ErrorCode::Banned);
                self.expel_from(room, &networks, &done);
            }
            (Action::BanNetwork, _) => self.expel_from(room, &networks, &done),
            (Action::Deop, Some(user)) => self.expel_barred(room, user, &done),
            (Action::Private, _) => self.expel(room, None, &done, ErrorCode::Kicked),
            (Action::Remove, _) => self.remove_room(room, &done),
            (_, None | Some(_)) => {}
        }
    }

    /// Those who are behind do not get the news: they hear the topic when they turn live.
    fn miss_topic(&mut self, room: RoomId) {
        let members = self.router.members(room);
        for (id, _) in members.filter(|(_, standing)| matches!(standing, Standing::Behind(_))) {
            if let Some(client) = self.clients.get_mut(&id) {
                client.missed_presence.insert(room);
            }
        }
    }

    /// The present topic, for who has missed news.
    pub(super) fn send_topic(&mut self, id: ConnId, room: RoomId) {
        let Some((Label::Group(_), topic, _)) = self.router.info(room) else { return };
        let topic = topic.clone();
        let (request, action, device) = (RequestId(0), Action::Topic, DeviceId::default());
        let note = topic.borrow();
        self.send(id, &Moderated { request, room, action, by: None, device, user: None, seconds: 0, note });
    }

    fn tell_invited(&mut self, room: RoomId, user: &Name, by: Option<crate::wire::NameRef<'_>>) {
        let Some((label, ..)) = self.router.info(room) else { return };
        let name = label.name_for(user).clone();
        for id in self.conns_of(user) {
            self.send(id, &Invited { room, name: name.borrow(), by });
        }
    }

    /// Takes a person out of a room with all their devices, or everybody who may not see it any more. They hear why
    /// before they hear that they are out.
    fn expel(&mut self, room: RoomId, user: Option<&Name>, done: &Moderated<'_>, code: ErrorCode) {
        let conns = match user {
            Some(user) => self.conns_of(user),
            None => self.router.conns(room),
        };
        for id in conns {
            let Some(client) = self.clients.get(&id).filter(|client| client.rooms.contains(&room)) else {
                continue;
            };
            let sees = |name| self.router.house(room).is_some_and(|house| house.shows_itself_to(name));
            if user.is_some() || !client.user.as_ref().is_some_and(sees) {
                self.send(id, done);
                self.take_out(id, room, Some(code));
            }
        }
    }

    /// Takes everybody out of a room who comes from one of these networks, but for those who keep order.
    fn expel_from(&mut self, room: RoomId, networks: &[Network], done: &Moderated<'_>) {
        for id in self.router.conns(room) {
            let Some(client) = self.clients.get(&id) else { continue };
            let is_there = networks.iter().any(|network| network.contains(client.addr.ip()));
            let keeps_order =
                client.user.as_ref().is_some_and(|user| self.power(room, user) >= Power::Operator);
            if is_there && !keeps_order {
                self.send(id, done);
                self.take_out(id, room, Some(ErrorCode::Banned));
            }
        }
    }

    /// Takes a person who keeps order no more out of a room, with those devices that may not be there without that.
    fn expel_barred(&mut self, room: RoomId, user: &Name, done: &Moderated<'_>) {
        for id in self.conns_of(user) {
            let is_there = self.clients.get(&id).is_some_and(|client| client.rooms.contains(&room));
            if is_there && self.bars_origin(room, id, user).is_some() {
                self.send(id, done);
                self.take_out(id, room, Some(ErrorCode::Banned));
            }
        }
    }

    /// Where an account is connected from now; of IPv6 the part that one customer has.
    fn addresses_of(&self, user: &Name) -> Vec<Network> {
        let addrs = self.conns_of(user).into_iter().filter_map(|id| Some(self.clients.get(&id)?.addr.ip()));
        let networks = addrs.map(|addr| match addr.to_canonical() {
            addr @ IpAddr::V4(_) => Network::of(addr),
            addr @ IpAddr::V6(_) => Network::new(addr, CUSTOMER_BITS).unwrap_or_else(|| Network::of(addr)),
        });
        networks.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// For how long somebody may not enter a room from where they are, and why.
    pub(super) fn bars_origin(&self, room: RoomId, id: ConnId, user: &Name) -> Option<(Left, Note)> {
        let house = self.router.house(room).filter(|house| !house.networks.is_empty())?;
        let addr = self.clients.get(&id)?.addr.ip();
        let (left, reason) = house.bars_address(addr, self.now)?;
        (self.power(room, user) < Power::Operator).then(|| (left, reason.clone()))
    }

    /// Everybody leaves, and there is no such room any more.
    fn remove_room(&mut self, room: RoomId, done: &Moderated<'_>) {
        // What is in the batch goes out before: whoever is live has seen all of the room.
        self.flush_rooms();
        for id in self.router.conns(room) {
            let is_behind = matches!(self.router.standing(room, id), Some(Standing::Behind(_)));
            if is_behind {
                self.send(id, done);
            }
            self.take_out(id, room, Some(ErrorCode::NoSuchRoom));
        }
        self.router.remove(room);
        self.pages.forget(room);
    }

    pub(super) fn conns_of(&self, user: &Name) -> Vec<ConnId> {
        self.people.get(user).into_iter().flatten().copied().collect()
    }

    pub(super) fn refuse_order(&mut self, order: &Order, (code, note): Refused) {
        let Some(Asker { conn, request, .. }) = order.asker else { return };
        self.send_error(conn, code, &crate::wire::FrameType::Moderate, request.into(), note);
    }

    /// Whether `user` may speak now, and notes that they did.
    pub(super) fn may_speak(
        &mut self,
        room: RoomId,
        user: &Name,
        device: DeviceId,
        counter: u64,
    ) -> Result<(), (ErrorCode, Left)> {
        let now = self.now;
        let Some(house) = self.router.house(room) else { return Ok(()) };
        if let Some(left) = house.mute(user, now) {
            return Err((ErrorCode::Muted, left));
        }
        // The rank last: it looks at all of a person's devices, and hardly any room is in slow mode.
        if house.slow.is_zero() || self.power(room, user) >= Power::Operator {
            return Ok(());
        }
        self.router.slow_down(room, user, (device, counter), now).map_err(|left| (ErrorCode::SlowMode, left))
    }
}

pub(super) const NO_ROLES: Refused = (ErrorCode::NotSupported, "this server does not keep roles");

pub(super) const TOO_MANY: Refused = (ErrorCode::TooManyRequests, "too many requests are open");

/// Bits of an IPv6 address that one customer has.
const CUSTOMER_BITS: u8 = 64;

/// Who may do it at least; `None` for what is not done to a room.
fn least(action: Action) -> Option<Power> {
    match action {
        Action::Topic
        | Action::Slow
        | Action::Invite
        | Action::Kick
        | Action::Mute
        | Action::Unmute
        | Action::Ban
        | Action::BanAddress
        | Action::Unban => Some(Power::Operator),
        // Operators of rooms do not learn addresses, so they cannot name them.
        Action::BanNetwork | Action::UnbanNetwork => Some(Power::Host),
        Action::Op | Action::Deop | Action::Private | Action::Public | Action::Owner | Action::Remove => {
            Some(Power::Owner)
        }
        Action::Create | Action::Lockdown | Action::Hush | Action::Unlock => None,
    }
}

/// Whether the action adds one to what is noted in the room.
fn adds(action: Action) -> bool {
    matches!(
        action,
        Action::Invite | Action::Mute | Action::Ban | Action::Op | Action::Owner | Action::BanNetwork
    )
}

/// Whether the action is about a person.
fn needs_person(action: Action) -> bool {
    !matches!(
        action,
        Action::Topic
            | Action::Slow
            | Action::Private
            | Action::Public
            | Action::Remove
            | Action::BanNetwork
            | Action::UnbanNetwork
    )
}

fn has_time(action: Action) -> bool {
    matches!(action, Action::Slow | Action::Mute | Action::Ban | Action::BanAddress | Action::BanNetwork)
}

/// Whether the action is about a person who must be below.
fn acts_upon(action: Action) -> bool {
    matches!(
        action,
        Action::Kick | Action::Mute | Action::Ban | Action::BanAddress | Action::Op | Action::Deop
    )
}
