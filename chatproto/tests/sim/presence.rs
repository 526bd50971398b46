//! Who is in each room, as one device is told: all of them when it asks or has been behind, and by news in between.

use std::collections::{BTreeMap, BTreeSet};

use chatproto::session::{Event, RoomKey};
use chatproto::wire::{Change, Name, RequestId};

/// What a device believes of the rooms that it is in.
#[derive(Default)]
pub struct Pictures {
    rooms: BTreeMap<RoomKey, Picture>,
    asked: BTreeMap<RequestId, RoomKey>,
    /// How often it was told all of them without having asked.
    pub snapshots: u64,
}

#[derive(Default)]
struct Picture {
    people: BTreeSet<Name>,
    /// The pages of an answer that has not ended.
    coming: BTreeSet<Name>,
    /// It was told of everybody once; before that, news mean little.
    is_whole: bool,
    /// It has caught up: before that, no news come, so that who asks must ask again.
    has_caught_up: bool,
}

impl Pictures {
    /// Takes what the device was told. A room that it has just met, and may ask about now, comes back.
    pub fn hear(&mut self, event: &Event) -> Option<RoomKey> {
        match event {
            Event::Joined { room, .. } => _ = self.rooms.entry(room.clone()).or_default(),
            Event::Left { room, .. } => _ = self.rooms.remove(room),
            Event::Lost { .. } | Event::Away => {
                self.rooms.clear();
                self.asked.clear();
            }
            Event::Presence { room, user, change, .. } => {
                if let Some(picture) = self.rooms.get_mut(room) {
                    match change {
                        Change::Entered => picture.people.insert(user.clone()),
                        Change::Departed => picture.people.remove(user),
                    };
                }
            }
            Event::Members { request, room, members, more } => {
                self.snapshots += u64::from(request.is_none() && !more);
                if let Some(request) = request.filter(|_| !more) {
                    self.asked.remove(&request);
                }
                if let Some(picture) = self.rooms.get_mut(room) {
                    picture.coming.extend(members.iter().map(|it| it.user.clone()));
                    if !more {
                        picture.people = std::mem::take(&mut picture.coming);
                        picture.is_whole = true;
                    }
                }
            }
            Event::Refused { request, .. } => _ = self.asked.remove(request),
            Event::CaughtUp { room, .. } => {
                if let Some(picture) = self.rooms.get_mut(room) {
                    picture.has_caught_up = true;
                }
                return self.wants(room).then(|| room.clone());
            }
            _ => {}
        }
        None
    }

    /// The device has asked about a room.
    pub fn asks(&mut self, request: RequestId, room: RoomKey) {
        self.asked.insert(request, room);
    }

    /// Rooms that it knows too little of and has not asked about.
    pub fn unknown(&self) -> Vec<RoomKey> {
        self.rooms.keys().filter(|room| self.wants(room)).cloned().collect()
    }

    pub fn is_whole(&self) -> bool {
        self.rooms.values().all(|picture| picture.is_whole)
    }

    fn wants(&self, room: &RoomKey) -> bool {
        let is_asked = self.asked.values().any(|asked| asked == room);
        let is_due = |picture: &Picture| picture.has_caught_up && !picture.is_whole;
        !is_asked && self.rooms.get(room).is_some_and(is_due)
    }

    /// Holds what is believed of a room against who is there.
    pub fn assert_is<'a>(&self, room: &RoomKey, people: impl Iterator<Item = &'a Name>, who: &str) {
        let believed = &self.rooms.get(room).expect("a room that it is in").people;
        assert_eq!(*believed, people.cloned().collect(), "who is in {room}, as {who} was told");
    }
}
