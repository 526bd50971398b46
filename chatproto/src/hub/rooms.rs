//! Entering and leaving rooms, and asking about them.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::budgets::Verb;
use super::house::sentence;
use super::listing::Listing;
use super::moderate::Power;
use super::orders::Refused;
use super::{ConnId, House, Hub, Label, LogRequest, Standing};
use crate::wire::{
    Body, DirectRoom, ErrorCode, FrameType, HEADER_LEN, Join, Joined, Leave, Left, List, MIN_FRAME, Member,
    Members, Name, NameRef, Rank, RequestId, RoomId, RoomKind, Target, Who, Wire,
};

impl Hub {
    pub(super) fn on_join(&mut self, id: ConnId, join: &Join<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        let found = self.find_room(&user, join.target);
        let Some(client) = self.clients.get(&id) else { return };
        // Before a room is made: a refusal leaves nothing behind.
        let is_in = found.is_some_and(|room| client.rooms.contains(&room));
        let is_group = found.is_none_or(|room| {
            self.router.info(room).is_none_or(|(label, ..)| label.kind() == RoomKind::Group)
        });
        let is_too_many =
            if is_group { self.is_in_too_many_rooms(id) } else { self.is_in_too_many_conversations(id) };
        if !is_in && is_too_many {
            return self.send_error(id, ErrorCode::TooManyRooms, join, join.request.into(), IN_TOO_MANY);
        }
        if found.is_none()
            && matches!(join.target, Target::Room(_))
            && let Err(wait) = self.charge(id, Verb::Create)
        {
            return self.refuse_too_fast(id, FrameType::Join, join.request.into(), wait);
        }
        let room = match found.map_or_else(|| self.create_for(&user, join.target), Ok) {
            Ok(room) => room,
            Err((code, note)) => return self.send_error(id, code, join, join.request.into(), note),
        };
        // Administrators are above whoever may have banned them while they were away.
        let house = self.router.house(room).filter(|_| self.power(room, &user) < Power::Admin);
        if let Some((left, reason)) = house.and_then(|house| house.ban(&user, self.now)) {
            let note = sentence("you may not enter this room", left, reason);
            let (code, retry_after) = (ErrorCode::Banned, left.as_retry_after());
            return self.send_error_until(id, code, join, join.request.into(), retry_after, &note);
        }
        if let Some((left, reason)) = self.bars_origin(room, id, &user) {
            let note = sentence("nobody may enter this room from your address", left, &reason);
            let (code, retry_after) = (ErrorCode::Banned, left.as_retry_after());
            return self.send_error_until(id, code, join, join.request.into(), retry_after, &note);
        }
        if self.is_full_for(room, &user) {
            let note = "the room holds as many people as it may";
            return self.send_error(id, ErrorCode::RoomFull, join, join.request.into(), note);
        }
        self.enter(id, join.request, room, join.cursor);
    }

    /// Whether somebody who is not there yet finds no place. Those who keep order do.
    fn is_full_for(&self, room: RoomId, user: &Name) -> bool {
        self.router.people(room).len() >= self.config.max_room_members
            && self.router.devices(room, user) == 0
            && self.power(room, user) < Power::Operator
    }

    /// Conversations do not count: others begin them.
    pub(super) fn is_in_too_many_rooms(&self, id: ConnId) -> bool {
        let is_group = |room: &&RoomId| {
            self.router.info(**room).is_some_and(|(label, ..)| label.kind() == RoomKind::Group)
        };
        let max = self.config.max_rooms_joined;
        self.clients.get(&id).is_none_or(|client| {
            client.rooms.len() >= max && client.rooms.iter().filter(is_group).count() >= max
        })
    }

    /// Whether a connection is in as many conversations as it is told live; it hears of others by name only.
    fn is_in_too_many_conversations(&self, id: ConnId) -> bool {
        self.clients.get(&id).is_none_or(|client| client.rooms.len() >= 2 * self.config.max_rooms_joined)
    }

    /// Lets a connection into a room that its person may enter, from `cursor` on.
    pub(super) fn enter(&mut self, id: ConnId, request: RequestId, room: RoomId, cursor: Option<u64>) {
        let Some((user, device)) = self.identity(id) else { return };
        // What it would have heard while it is behind again, it is told as a whole when it turns live.
        let was_live = self.router.standing(room, id) == Some(Standing::Live);
        let Some(client) = self.clients.get_mut(&id) else { return };
        client.rooms.insert(room);
        if was_live {
            client.missed_presence.insert(room);
        }
        let Some((label, topic, last)) = self.router.info(room) else { return };
        // A cursor beyond the end belongs to another log, or to none.
        let cursor = cursor.unwrap_or(last).min(last);
        let (label, topic) = (label.clone(), topic.clone());
        self.send(
            id,
            &Joined {
                request,
                room,
                kind: label.kind(),
                name: label.name_for(&user).borrow(),
                topic: topic.borrow(),
                last,
                cursor,
            },
        );
        // Joining again is how a client that found a gap asks for what it misses. Either way it is behind until this turn's
        // batch is given out: it does not see itself enter, and a storm of newcomers costs the room one batch.
        self.router.join(room, id, &user, device, cursor);
        self.wake(id, room);
    }

    /// Makes the room that a join names and that does not exist.
    fn create_for(&mut self, user: &Name, target: Target<'_>) -> Result<RoomId, (ErrorCode, &'static str)> {
        match target {
            // A private room says nothing of itself to strangers, except that its name is taken.
            Target::Room(name) if self.router.find(&Label::Group(name.to_owned())).is_some() => {
                Err((ErrorCode::NoSuchRoom, "no room of this name can be entered"))
            }
            Target::Room(name) if self.router.groups() < self.config.max_rooms => {
                Ok(self.create_room(Label::Group(name.to_owned()), House::of(user, false)))
            }
            Target::Room(_) => Err((ErrorCode::TooManyRooms, "the server has as many rooms as it may have")),
            Target::Id(_) => Err((ErrorCode::NoSuchRoom, "no room has this number")),
            Target::User(_) => Err((ErrorCode::NoSuchRoom, "there is no conversation with this person yet")),
        }
    }

    pub(super) fn create_room(&mut self, label: Label, house: House) -> RoomId {
        let room = self.router.create(label.clone(), house.clone());
        let by = house.roles.keys().next().cloned();
        self.store_room(room, None, by, label, house);
        room
    }

    /// The room that `target` means to `user`, if it exists and is theirs to see.
    pub(super) fn find_room(&self, user: &Name, target: Target<'_>) -> Option<RoomId> {
        let room = match target {
            Target::Id(room) => room,
            Target::Room(name) => self.router.find(&Label::Group(name.to_owned()))?,
            Target::User(name) => self.router.find(&Label::direct(user, &name.to_owned()))?,
        };
        let (label, ..) = self.router.info(room)?;
        let pair = label.pair();
        let is_shown = self.router.house(room).is_some_and(|house| house.shows_itself_to(user));
        (is_shown && (pair.is_empty() || pair.contains(user))).then_some(room)
    }

    pub(super) fn on_leave(&mut self, id: ConnId, room: RoomId) {
        if !self.take_out(id, room, None) {
            self.send_error(id, ErrorCode::NotMember, &Leave { room }, 0, "not in this room");
        }
    }

    /// Takes a connection out of a room and tells it so. `false` if it was not there.
    pub(super) fn take_out(&mut self, id: ConnId, room: RoomId, code: Option<ErrorCode>) -> bool {
        let Some((user, device)) = self.identity(id) else { return true };
        let Some(client) = self.clients.get_mut(&id) else { return true };
        client.waiting.retain(|waiting| *waiting != room);
        client.missed_presence.remove(&room);
        if !client.rooms.remove(&room) {
            return false;
        }
        self.router.leave(room, id, &user, device);
        self.send(id, &Left { room, code });
        true
    }

    /// Tells a client that has just logged in which conversations exist.
    pub(super) fn tell_directs(&mut self, id: ConnId, user: &Name) {
        let mut directs = self.router.directs(user).map(|(room, ..)| room).collect::<Vec<_>>();
        // Those that are over come first: a client that was away learns that it has one, before one with somebody else
        // of the same name.
        directs.sort_by_key(|room| !self.is_over(*room));
        for room in directs {
            self.tell_direct(id, user, room);
        }
    }

    fn tell_direct(&mut self, id: ConnId, user: &Name, room: RoomId) {
        let Some((label, _, last)) = self.router.info(room) else { return };
        let (with, over) = (label.name_for(user).clone(), label.kind() == RoomKind::Former);
        self.send(id, &DirectRoom { room, last, over, with: with.borrow() });
    }

    /// Whether this is what is left of a conversation with somebody whose account was removed.
    pub(super) fn is_over(&self, room: RoomId) -> bool {
        self.router.info(room).is_some_and(|(label, ..)| label.kind() == RoomKind::Former)
    }

    /// Ends the conversations of an account that is gone, and tells those they were with.
    pub(super) fn retire_conversations(&mut self, gone: &Name) {
        self.drop_lookups_of(gone);
        for (room, keeper) in self.router.retire(gone) {
            let conns = keeper.iter().flat_map(|keeper| self.conns_of(keeper)).collect::<Vec<_>>();
            for id in conns {
                if let Some(keeper) = &keeper {
                    self.tell_direct(id, keeper, room);
                }
            }
            self.request(LogRequest::Retired { room, gone: gone.clone(), keeper });
        }
    }

    /// A conversation has its first message: whoever logged in between its making and now has not heard of it.
    pub(super) fn tell_begun(&mut self, room: RoomId) {
        let Some((label, ..)) = self.router.info(room) else { return };
        let label = label.clone();
        for user in label.pair().into_iter().collect::<BTreeSet<_>>() {
            let conns = self.people.get(&user).into_iter().flatten().copied().collect::<Vec<_>>();
            for id in conns {
                if self.clients.get(&id).is_some_and(|client| !client.rooms.contains(&room)) {
                    self.tell_direct(id, &user, room);
                }
            }
        }
    }

    pub(super) fn on_who(&mut self, id: ConnId, who: &Who<'_>) {
        let Some((user, _)) = self.identity(id) else { return };
        let request = who.request;
        let Some(room) = self.find_room(&user, who.target) else {
            return self.send_error(id, ErrorCode::NoSuchRoom, who, request.into(), "no such room");
        };
        self.begin_list(id, Listing::People { request, room, after: None });
    }

    /// Sends who is in a room now, which nobody asked for: at once, because news of who comes and goes follow.
    pub(super) fn send_members(&mut self, id: ConnId, room: RoomId) {
        let request = RequestId(0);
        let house = self.router.house(room);
        let rank = |name: &Name| house.map_or(Rank::Guest, |house| house.rank(name));
        let people = self.router.people(room);
        let people = people.map(|(name, devices)| (name.clone(), devices, rank(name))).collect::<Vec<_>>();
        let members = people.iter().map(|(name, devices, rank)| Member {
            user: name.borrow(),
            devices: *devices,
            rank: *rank,
        });
        let members = members.collect::<Vec<_>>();
        let about = Members { request, room, more: false, members: List::new(&[]) };
        for (page, more) in pages(&members, about.body_len(), self.frame_limit(id)) {
            self.send(id, &Members { request, room, more, members: List::new(page) });
        }
    }

    /// Longest frame that the client accepts, in bytes (type and body).
    pub(super) fn frame_limit(&self, id: ConnId) -> u32 {
        self.clients.get(&id).map_or(MIN_FRAME, |client| client.max_frame)
    }

    /// Why these two cannot begin a conversation: one of them has as many as anybody may have.
    pub(super) fn has_too_many_conversations(&self, from: &Name, to: &Name) -> Option<Refused> {
        let is_full = |user: &Name| self.router.conversations(user) >= self.config.max_conversations;
        if is_full(from) {
            return Some((ErrorCode::TooManyRooms, "you have as many conversations as one account may have"));
        }
        is_full(to)
            .then_some((ErrorCode::TooManyRooms, "they have as many conversations as one account may have"))
    }

    /// A person began a conversation with another: both are told, and those connected are in it from its start.
    pub(super) fn open_direct(&mut self, from: &Name, to: &Name) -> RoomId {
        let room = self.create_room(Label::direct(from, to), House::default());
        let both = [(from, to), (to, from)];
        for (user, other) in both.into_iter().take(if from == to { 1 } else { 2 }) {
            let conns = self.people.get(user).into_iter().flatten().copied().collect::<Vec<_>>();
            for id in conns {
                self.enter_direct(id, room, user, other.borrow());
            }
        }
        room
    }

    fn enter_direct(&mut self, id: ConnId, room: RoomId, user: &Name, other: NameRef<'_>) {
        // It is told of the conversation with its first message, and may join when it has left another.
        if self.is_in_too_many_conversations(id) {
            return;
        }
        let Some(client) = self.clients.get_mut(&id).filter(|client| client.is_open()) else { return };
        client.rooms.insert(room);
        let device = client.device;
        let topic = crate::wire::NoteRef::EMPTY;
        let kind = RoomKind::Direct;
        self.send(id, &Joined { request: RequestId(0), room, kind, name: other, topic, last: 0, cursor: 0 });
        self.router.join(room, id, user, device, 0);
        self.wake(id, room);
    }
}

/// Why a connection enters no further room.
pub(super) const IN_TOO_MANY: &str = "this connection is in as many rooms as it may be";

/// Cuts items into pages whose frames keep to `limit`, with whether another follows. There is always one page.
pub(super) fn pages<'i, 'a, T: Wire<'a> + Copy>(
    items: &'i [T],
    base: usize,
    limit: u32,
) -> impl Iterator<Item = (&'i [T], bool)> {
    let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_sub(base + HEADER_LEN);
    let mut rest = Some(items);
    core::iter::from_fn(move || {
        let items = rest.take()?;
        let mut len = 0;
        let fitting = items.iter().take_while(|item| {
            len += item.encoded_len();
            len <= room
        });
        // One item always fits: MIN_FRAME is far above the largest.
        let count = fitting.count().max(1).min(items.len());
        let (page, tail) = items.split_at_checked(count).unwrap_or((items, &[]));
        rest = (!tail.is_empty()).then_some(tail);
        Some((page, !tail.is_empty()))
    })
}
