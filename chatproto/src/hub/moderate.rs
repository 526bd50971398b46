//! Making rooms, and keeping order in them.
//!
//! What is decided holds at once and leaves as an [`Event::Moderated`], which the program stores. An operator acts upon
//! those below, the owner upon operators too, and an administrator of the server is above every owner of a room that
//! shows itself to them.

use super::house::{House, Left, Role};
use super::query::Query;
use super::{ConnId, Event, Hub, Label};
use crate::wire::{
    Action, Capability, Create, DeviceId, ErrorCode, Invited, Moderate, Moderated, Name, Note, RequestId,
    RoomId, Target,
};

/// What somebody wants done, while it is found out whether there is such a person.
#[derive(Debug)]
pub(super) struct Order {
    conn: ConnId,
    request: RequestId,
    room: RoomId,
    action: Action,
    user: Option<Name>,
    seconds: u32,
    note: Note,
}

type Refused = (ErrorCode, &'static str);

/// Who acts upon whom: each upon those below.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Guest,
    Operator,
    Owner,
    Admin,
}

impl Hub {
    pub(super) fn on_create(&mut self, id: ConnId, create: &Create<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        let label = Label::Group(create.name.to_owned());
        let refused = if !self.config.capabilities.has(Capability::Moderation) {
            Some((ErrorCode::NotSupported, "this server does not keep roles"))
        } else if self.router.find(&label).is_some() {
            Some((ErrorCode::RoomExists, "a room of this name exists already"))
        } else if self.router.groups() >= self.config.max_rooms {
            Some((ErrorCode::TooManyRooms, "the server has as many rooms as it may have"))
        } else if self.is_in_too_many_rooms(id) {
            Some((ErrorCode::TooManyRooms, super::rooms::IN_TOO_MANY))
        } else {
            None
        };
        if let Some((code, note)) = refused {
            return self.send_error(id, code, create, create.request.into(), note);
        }
        let room = self.create_room(label, House::of(&user, create.private));
        self.enter(id, create.request, room, None);
    }

    pub(super) fn on_moderate(&mut self, id: ConnId, asked: &Moderate<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        let request = asked.request.into();
        if !self.config.capabilities.has(Capability::Moderation) {
            let note = "this server does not keep roles";
            return self.send_error(id, ErrorCode::NotSupported, asked, request, note);
        }
        let Some(room) = self.find_room(&user, asked.target) else {
            return self.send_error(id, ErrorCode::NoSuchRoom, asked, request, "no such room");
        };
        let about = asked.user.filter(|_| needs_person(asked.action)).map(|user| user.to_owned());
        let order = Order {
            conn: id,
            request: asked.request,
            room,
            action: asked.action,
            user: about,
            seconds: asked.seconds,
            note: asked.note.to_owned(),
        };
        if let Err(refused) = self.check(&user, &order) {
            return self.refuse_order(&order, refused);
        }
        let unknown = order.user.clone().filter(|user| !self.is_known(room, user));
        let Some(name) = unknown else { return self.carry_out(order) };
        if !self.may_ask(id) {
            return self.refuse_order(&order, (ErrorCode::TooManyRequests, "too many requests are open"));
        }
        let query = self.ask(Query::Order(order));
        self.events.push_back(Event::FindUser { id: query, name });
    }

    /// It is known now whether there is the person that an order is about.
    pub(super) fn end_order(&mut self, order: Order, is_known: bool) {
        if let Some(client) = self.clients.get_mut(&order.conn) {
            client.requests = client.requests.saturating_sub(1);
        }
        let Some((user, _)) = self.identity(order.conn) else { return };
        if !is_known {
            return self.refuse_order(&order, (ErrorCode::NoSuchUser, "nobody here has this name"));
        }
        // Roles may have changed since it was asked.
        match self.check(&user, &order) {
            Ok(()) => self.carry_out(order),
            Err(refused) => self.refuse_order(&order, refused),
        }
    }

    /// Whether `user` may do this.
    fn check(&mut self, user: &Name, order: &Order) -> Result<(), Refused> {
        let now = self.now;
        let max = self.config.max_house_notes;
        let is_group = matches!(self.router.info(order.room), Some((Label::Group(_), ..)));
        if !is_group {
            return Err((ErrorCode::Forbidden, "a conversation has neither topic nor roles"));
        }
        if needs_person(order.action) && order.user.is_none() {
            return Err((ErrorCode::NoSuchUser, "this needs the name of a person"));
        }
        let mine = self.rank(order.room, user);
        let least =
            if matches!(order.action, Action::Op | Action::Deop) { Rank::Owner } else { Rank::Operator };
        if mine < least {
            let note = match least {
                Rank::Owner | Rank::Admin => "only the owner of the room may do this",
                Rank::Guest | Rank::Operator => "only operators of the room may do this",
            };
            return Err((ErrorCode::Forbidden, note));
        }
        let theirs = order.user.as_ref().map(|user| self.rank(order.room, user));
        if acts_upon(order.action) && theirs.is_some_and(|theirs| theirs >= mine) {
            return Err((ErrorCode::Forbidden, "they have as much to say here as you"));
        }
        let Some(house) = self.router.house_mut(order.room) else {
            return Err((ErrorCode::NoSuchRoom, "no such room"));
        };
        if order.action == Action::Invite && !house.is_private {
            return Err((ErrorCode::Forbidden, "everybody may enter this room"));
        }
        let adds = matches!(order.action, Action::Invite | Action::Mute | Action::Ban | Action::Op);
        if adds && house.count(now) >= max {
            return Err((ErrorCode::Busy, "the room keeps as many roles, mutes and bans as it may"));
        }
        Ok(())
    }

    fn rank(&self, room: RoomId, user: &Name) -> Rank {
        if self.is_admin(user) {
            return Rank::Admin;
        }
        match self.router.house(room).and_then(|house| house.role(user)) {
            None | Some(Role::Member) => Rank::Guest,
            Some(Role::Operator) => Rank::Operator,
            Some(Role::Owner) => Rank::Owner,
        }
    }

    fn is_admin(&self, user: &Name) -> bool {
        let mut conns = self.people.get(user).into_iter().flatten();
        conns.any(|id| self.clients.get(id).is_some_and(|client| client.is_admin))
    }

    fn is_known(&self, room: RoomId, user: &Name) -> bool {
        self.people.contains_key(user) || self.router.house(room).is_some_and(|house| house.knows(user))
    }

    fn carry_out(&mut self, order: Order) {
        let Some((by, device)) = self.identity(order.conn) else { return };
        let Order { conn, request, room, action, user, seconds, note } = order;
        let has_time = matches!(action, Action::Slow | Action::Mute | Action::Ban);
        let seconds = if has_time { seconds } else { 0 };
        if action == Action::Topic {
            self.router.set_topic(room, note.clone());
        } else if let Some(house) = self.router.house_mut(room) {
            house.apply(action, user.as_ref(), seconds, self.now);
        }
        let done = Moderated {
            request: RequestId(0),
            room,
            action,
            by: Some(by.borrow()),
            device,
            user: user.as_ref().map(Name::borrow),
            seconds,
            note: note.borrow(),
        };
        self.router.tell(room, &done);
        self.send(conn, &Moderated { request, ..done });
        match (action, &user) {
            (Action::Topic, _) => self.miss_topic(room),
            (Action::Invite, Some(user)) => self.tell_invited(room, user, &by),
            (Action::Kick, Some(user)) => self.expel(room, user, &done, ErrorCode::Kicked),
            (Action::Ban, Some(user)) => self.expel(room, user, &done, ErrorCode::Banned),
            (
                Action::Slow
                | Action::Invite
                | Action::Kick
                | Action::Ban
                | Action::Mute
                | Action::Unmute
                | Action::Unban
                | Action::Op
                | Action::Deop,
                _,
            ) => {}
        }
        self.events.push_back(Event::Moderated { room, by, action, user, seconds, note });
        self.flush_if_full();
    }

    /// Those who are behind do not get the news: they hear the topic when they turn live.
    fn miss_topic(&mut self, room: RoomId) {
        for id in self.router.behind(room) {
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

    fn tell_invited(&mut self, room: RoomId, user: &Name, by: &Name) {
        let Some((label, ..)) = self.router.info(room) else { return };
        let name = label.name_for(user).clone();
        for id in self.conns_of(user) {
            self.send(id, &Invited { room, name: name.borrow(), by: by.borrow() });
        }
    }

    /// Takes a person out of a room with all their devices. They hear why before they hear that they are out.
    fn expel(&mut self, room: RoomId, user: &Name, done: &Moderated<'_>, code: ErrorCode) {
        for id in self.conns_of(user) {
            if self.clients.get(&id).is_some_and(|client| client.rooms.contains(&room)) {
                self.send(id, done);
                self.take_out(id, room, Some(code));
            }
        }
    }

    fn conns_of(&self, user: &Name) -> alloc::vec::Vec<ConnId> {
        self.people.get(user).into_iter().flatten().copied().collect()
    }

    fn refuse_order(&mut self, order: &Order, (code, note): Refused) {
        let about = Moderate {
            request: order.request,
            target: Target::Id(order.room),
            action: order.action,
            user: None,
            seconds: 0,
            note: order.note.borrow(),
        };
        self.send_error(order.conn, code, &about, order.request.into(), note);
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
        if house.slow.is_zero() || self.rank(room, user) >= Rank::Operator {
            return Ok(());
        }
        self.router.slow_down(room, user, (device, counter), now).map_err(|left| (ErrorCode::SlowMode, left))
    }
}

/// Whether the action is about a person.
fn needs_person(action: Action) -> bool {
    !matches!(action, Action::Topic | Action::Slow)
}

/// Whether the action is about a person who must be below.
fn acts_upon(action: Action) -> bool {
    matches!(action, Action::Kick | Action::Mute | Action::Ban | Action::Op | Action::Deop)
}
