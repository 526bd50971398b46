//! What changes a room, and what ends one. Each verb does what the program has decided and stored.

use alloc::vec::Vec;

use super::{Router, Standing};
use crate::Instant;
use crate::hub::{ConnId, House, Label, Ruling};
use crate::wire::{Action, Name, RoomId};

impl Router {
    /// Changes the order of a room, or its topic, which is the reason then. Nobody is told, and nobody is put out.
    /// `false` if there is no such room.
    pub fn apply(&mut self, room: RoomId, ruling: &Ruling<'_>, now: Instant) -> bool {
        let Some(room) = self.rooms.get_mut(&room) else { return false };
        if ruling.action == Action::Topic {
            room.topic = ruling.reason.clone();
        } else {
            room.house.apply(ruling, now);
        }
        true
    }

    pub(in crate::hub) fn house_mut(&mut self, room: RoomId) -> Option<&mut House> {
        self.rooms.get_mut(&room).map(|room| &mut room.house)
    }

    /// The connections in a room, and where they stand.
    pub fn members(&self, room: RoomId) -> impl Iterator<Item = (ConnId, Standing)> {
        let members = self.rooms.get(&room).into_iter().flat_map(|room| &room.members);
        members.map(|(conn, standing)| (*conn, *standing))
    }

    /// The same as a list, for who changes the room meanwhile.
    pub(in crate::hub) fn conns(&self, room: RoomId) -> Vec<ConnId> {
        self.members(room).map(|(conn, _)| conn).collect()
    }

    /// Forgets a room that everybody has left. Its number is not given again. `false`, and nothing happens, if there is no
    /// such room, or somebody is in it.
    pub fn remove(&mut self, room: RoomId) -> bool {
        let is_empty = self.rooms.get(&room).is_some_and(|room| room.members.is_empty());
        let Some(gone) = is_empty.then(|| self.rooms.remove(&room)).flatten() else { return false };
        if self.labels.get(&gone.label) == Some(&room) {
            self.labels.remove(&gone.label);
        }
        self.groups -= usize::from(matches!(gone.label, Label::Group(_)));
        for person in gone.label.pair() {
            if let Some(rooms) = self.directs.get_mut(&person) {
                rooms.remove(&room);
            }
        }
        self.dirty.retain(|dirty| *dirty != room);
        true
    }

    /// Ends the conversations of somebody whose account is gone and who is in no room any more. The other person keeps what was
    /// said, under a label that no name leads to; what nobody is left to read is forgotten. Tells which rooms these are, and
    /// who keeps them.
    pub fn retire(&mut self, user: &Name) -> Vec<(RoomId, Option<Name>)> {
        let rooms = self.directs.get(user).cloned().unwrap_or_default();
        let mut retired = Vec::new();
        for id in rooms {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            let keeper = match &room.label {
                Label::Direct(first, second) if first == second => None,
                Label::Direct(first, second) if first == user => Some(second.clone()),
                Label::Direct(first, _) => Some(first.clone()),
                Label::Group(_) | Label::Former(..) => None,
            };
            match &keeper {
                None => drop(self.remove(id)),
                Some(keeper) => {
                    let former = Label::Former(keeper.clone(), user.clone());
                    let label = core::mem::replace(&mut room.label, former);
                    self.labels.remove(&label);
                }
            }
            retired.push((id, keeper));
        }
        self.directs.remove(user);
        retired
    }

    /// Forgets what every room has noted about somebody whose account is gone.
    pub fn forget(&mut self, user: &Name) {
        for room in self.rooms.values_mut() {
            room.house.forget(user);
            room.spoken.remove(user);
        }
    }
}
