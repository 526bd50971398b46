//! What outlives this run: who this device is, what was seen, and what was said and is not acknowledged.

use crate::state::{self, Device, Journal, KeyCheck, KnownPeers, SayTarget, StateDir, StateError};
use chatnet::{Fingerprint, Identity, IdentityError};
use chatproto::session::{PendingSay, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, LinkKey, Name, ServerId, Text};
use std::path::Path;

/// The certificate and key of this device on direct links.
const IDENTITY_FILE: &str = "device.pem";

/// Before the name of a group room, and of a person, in the journal. Names begin with neither.
const ROOM_MARK: char = '#';
const USER_MARK: char = '@';

/// The state directory with everything in it opened once.
#[derive(Debug)]
pub(super) struct Memory {
    dir: StateDir,
    device: Device,
    journal: Journal,
    peers: KnownPeers,
    /// Reserved on disk for the next say.
    next_counter: u64,
    /// Lines of the journal that could not be read.
    damaged_lines: u64,
}

impl Memory {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let dir = StateDir::open(path)?;
        let mut device = dir.device()?;
        let (journal, replay) = dir.journal(&device)?;
        let peers = dir.known_peers()?;
        let next_counter = device.next_counter()?;
        Ok(Self { dir, device, journal, peers, next_counter, damaged_lines: replay.damaged_lines })
    }

    pub(super) fn device(&self) -> DeviceId {
        DeviceId(self.device.id())
    }

    pub(super) fn damaged_lines(&self) -> u64 {
        self.damaged_lines
    }

    /// The key of this device on direct links, made at the first call ever.
    pub(super) fn identity(&self) -> Result<Identity, IdentityError> {
        Identity::load_or_create(&self.dir.file_path(IDENTITY_FILE), ["chatproto peer"])
    }

    pub(super) fn known_server(&self) -> Result<Option<Fingerprint>, StateError> {
        Ok(self.dir.known_server()?.map(Fingerprint::from_bytes))
    }

    pub(super) fn pin_server(&self, fingerprint: Fingerprint) -> Result<(), StateError> {
        self.dir.pin_server(fingerprint.as_bytes())
    }

    /// What the session goes on from. What a journal of another program holds and the protocol does not allow is left
    /// out.
    pub(super) fn restored(&self) -> Result<Restored, StateError> {
        let cursors = self.journal.cursors().iter();
        let pending = self.journal.pending();
        Ok(Restored {
            server: self.dir.known_log()?.map(ServerId),
            cursors: cursors.filter_map(|(room, seq)| Some((room_key(room)?, *seq))).collect(),
            next_counter: self.next_counter,
            pending: pending.filter_map(pending_say).collect(),
        })
    }

    /// Says something: kept first, then given to the session.
    pub(super) fn say(&mut self, session: &mut Session, room: RoomKey, text: &Text) -> Result<u64, NotSaid> {
        let counter = self.next_counter;
        let text_kept = text.as_str().to_owned();
        let kept = state::PendingSay { counter, target: say_target(&room), text: text_kept };
        self.journal.say(kept).map_err(NotSaid::State)?;
        if let Err(error) = session.say(room, text) {
            // It was never said; were the line to stay, it would be said at the next start.
            self.journal.ack(counter).map_err(NotSaid::State)?;
            return Err(NotSaid::Session(error));
        }
        self.next_counter = self.device.next_counter().map_err(NotSaid::State)?;
        Ok(counter)
    }

    /// A say was acknowledged, or refused for good.
    pub(super) fn settle(&mut self, counter: u64) -> Result<(), StateError> {
        self.journal.ack(counter).map(drop)
    }

    pub(super) fn saw(&mut self, room: &RoomKey, seq: u64) -> Result<(), StateError> {
        self.journal.set_cursor(&journal_room(room), seq)
    }

    pub(super) fn forget_room(&mut self, room: &RoomKey) -> Result<(), StateError> {
        self.journal.forget_room(&journal_room(room))
    }

    /// The server has this log; numbers seen in another one mean nothing.
    pub(super) fn on_log(&mut self, server: ServerId) -> Result<(), StateError> {
        let known = self.dir.known_log()?;
        if known == Some(server.0) {
            return Ok(());
        }
        if known.is_some() {
            let rooms = self.journal.cursors().keys().cloned().collect::<Vec<_>>();
            rooms.iter().try_for_each(|room| self.journal.forget_room(room))?;
        }
        self.dir.remember_log(&server.0)
    }

    /// Compares a peer's key with what is remembered, and remembers the first one.
    pub(super) fn check_peer(
        &mut self,
        user: &Name,
        device: DeviceId,
        key: LinkKey,
    ) -> Result<KeyCheck, StateError> {
        let check = self.peers.check(user.as_str(), &device.0, &key.0);
        if check == KeyCheck::New {
            self.peers.remember(user.as_str(), &device.0, &key.0)?;
        }
        Ok(check)
    }
}

/// Why something was not said.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotSaid {
    /// It could not be kept.
    #[error(transparent)]
    State(StateError),
    /// The session does not take it.
    #[error(transparent)]
    Session(chatproto::session::SayError),
}

fn journal_room(room: &RoomKey) -> String {
    match room {
        RoomKey::Room(name) => format!("{ROOM_MARK}{}", name.as_str()),
        RoomKey::User(name) => format!("{USER_MARK}{}", name.as_str()),
    }
}

fn room_key(text: &str) -> Option<RoomKey> {
    if let Some(room) = text.strip_prefix(ROOM_MARK) {
        return Name::new(room).ok().map(RoomKey::Room);
    }
    Name::new(text.strip_prefix(USER_MARK)?).ok().map(RoomKey::User)
}

fn say_target(room: &RoomKey) -> SayTarget {
    match room {
        RoomKey::Room(name) => SayTarget::Room(name.as_str().to_owned()),
        RoomKey::User(name) => SayTarget::User(name.as_str().to_owned()),
    }
}

fn pending_say(say: &state::PendingSay) -> Option<PendingSay> {
    let target = match &say.target {
        SayTarget::Room(name) => RoomKey::Room(Name::new(name).ok()?),
        SayTarget::User(name) => RoomKey::User(Name::new(name).ok()?),
    };
    Some(PendingSay { counter: say.counter, target, text: Text::new(&say.text).ok()? })
}
