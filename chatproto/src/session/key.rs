//! Which room: by the name that people use, stable over connections and servers' numbers.

use core::fmt;

use crate::wire::{Name, NameRef, RoomId, RoomKind, Target};

/// A group room by its name, or the conversation with one person.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoomKey {
    /// A group room.
    Room(Name),
    /// The conversation with this person.
    User(Name),
    /// What is left of the conversation with somebody whose account was removed: their name, and the server's number, since
    /// somebody else may have the name now.
    Former(Name, RoomId),
}

impl RoomKey {
    /// The name of the room or of the other person.
    #[must_use]
    pub fn name(&self) -> &Name {
        match self {
            Self::Room(name) | Self::User(name) | Self::Former(name, _) => name,
        }
    }

    pub(super) fn target(&self) -> Target<'_> {
        match self {
            Self::Room(name) => Target::Room(name.borrow()),
            Self::User(name) => Target::User(name.borrow()),
            Self::Former(_, room) => Target::Id(*room),
        }
    }

    pub(super) fn of(kind: RoomKind, name: NameRef<'_>, room: RoomId) -> Self {
        match kind {
            RoomKind::Group => Self::Room(name.to_owned()),
            RoomKind::Direct => Self::User(name.to_owned()),
            RoomKind::Former => Self::Former(name.to_owned(), room),
        }
    }
}

/// For diagnostics of this crate: names carry no character that could harm a terminal.
impl fmt::Display for RoomKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(name) => write!(f, "room {name:?}"),
            Self::User(name) => write!(f, "conversation with {name:?}"),
            Self::Former(name, _) => write!(f, "former conversation with {name:?}"),
        }
    }
}
