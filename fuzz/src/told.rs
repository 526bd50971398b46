//! What a member has been told: the rooms that it is in, as a client would know them.

use std::collections::BTreeSet;

use chatproto::hub::{ConnId, Hub};
use chatproto::wire::{RawFrame, RoomId, ToClient};

/// One connection's view.
#[derive(Default)]
pub struct Told {
    rooms: BTreeSet<RoomId>,
    is_over: bool,
}

impl Told {
    /// Takes what the hub sends.
    pub fn hear(&mut self, raw: RawFrame<'_>) {
        assert!(!self.is_over, "a frame comes after the bye");
        match ToClient::decode(raw) {
            Ok(Some(ToClient::Joined(joined))) => _ = self.rooms.insert(joined.room),
            Ok(Some(ToClient::Left(left))) => _ = self.rooms.remove(&left.room),
            Ok(Some(ToClient::Bye(_))) => self.is_over = true,
            Ok(_) | Err(_) => {}
        }
    }

    /// Holds it against the hub once everything that was said has been heard: whoever is in a room knows, and nobody else
    /// believes to be.
    pub fn agrees(&self, hub: &Hub, id: ConnId) {
        if self.is_over {
            return;
        }
        for room in &self.rooms {
            assert!(hub.router().standing(*room, id).is_some(), "{id} was told of {room}, and is not there");
        }
        for (room, ..) in hub.router().list() {
            let is_in = hub.router().standing(room, id).is_some();
            assert!(!is_in || self.rooms.contains(&room), "{id} is in {room} and was not told");
        }
    }
}
