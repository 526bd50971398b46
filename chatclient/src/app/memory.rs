//! What outlives this run: who this device is, what was seen, and what was said and is not acknowledged.

use crate::command::ConsentWhom;
use crate::share::KnownHashes;
use crate::state::{
    self, Consent, ConsentFor, ConsentRule, Device, Journal, KeyCheck, KnownPeers, KnownServer, SayTarget,
    StateDir, StateError, TICKET_BYTES, Ticket, WantedFiles,
};
use chatnet::{Fingerprint, Identity, IdentityError};
use chatproto::session::{PendingSay, Restored, RoomKey, Session};
use chatproto::wire::{DeviceId, LinkKey, Name, RoomId, ServerId, Text};
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

/// The certificate and key of this device on direct links.
const IDENTITY_FILE: &str = "device.pem";

/// Before the name of a group room, and of a person, in the journal. Names begin with neither.
const ROOM_MARK: char = '#';
const USER_MARK: char = '@';
const FORMER_MARK: char = '-';

/// The state directory with everything in it opened once.
#[derive(Debug)]
pub(super) struct Memory {
    dir: StateDir,
    device: Device,
    journal: Journal,
    peers: KnownPeers,
    consent: Consent,
    /// The files that are still to be fetched.
    pub(super) wanted: WantedFiles,
    ticket: Option<Ticket>,
    /// The first number of this run, reserved on disk.
    first_counter: u64,
    /// Reserved and not used.
    next_counter: Option<u64>,
    /// Lines of the journal that could not be read.
    damaged_lines: u64,
}

impl Memory {
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let dir = StateDir::open(path)?;
        let mut device = dir.device()?;
        let (journal, replay) = dir.journal(&device)?;
        let peers = dir.known_peers()?;
        let consent = dir.consent()?;
        let wanted = dir.wanted()?;
        // A damaged one costs no more than the password: the next one replaces it.
        let ticket = dir.ticket().unwrap_or_else(|error| {
            tracing::warn!(%error, "the session ticket is lost");
            None
        });
        let first_counter = device.next_counter()?;
        let damaged_lines = replay.damaged_lines;
        Ok(Self {
            dir,
            device,
            journal,
            peers,
            consent,
            wanted,
            ticket,
            first_counter,
            next_counter: Some(first_counter),
            damaged_lines,
        })
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

    /// The hashes of shared files; to be asked for once.
    pub(super) fn hashes(&self) -> Result<KnownHashes, StateError> {
        self.dir.hashes().map(|(file, remembered)| KnownHashes::restored(file, remembered))
    }

    /// The certificate that the server at this address must show, and the one that it has announced.
    pub(super) fn known_server(
        &self,
        address: &str,
    ) -> Result<Option<(Fingerprint, Option<Fingerprint>)>, StateError> {
        let known = self.dir.known_server(address)?;
        Ok(known.map(|KnownServer { fingerprint, next }| {
            (Fingerprint::from_bytes(fingerprint), next.map(Fingerprint::from_bytes))
        }))
    }

    /// Pins the server, and takes its ticket along when its certificate has rolled on.
    pub(super) fn pin_server(
        &mut self,
        address: &str,
        fingerprint: Fingerprint,
        next: Option<Fingerprint>,
    ) -> Result<(), StateError> {
        let (fingerprint, next) = (*fingerprint.as_bytes(), next.map(|next| *next.as_bytes()));
        self.dir.pin_server(address, KnownServer { fingerprint, next })
    }

    /// The server that gave the ticket is known by another certificate from now on.
    pub(super) fn move_ticket(&mut self, fingerprint: Fingerprint) -> Result<(), StateError> {
        let Some(ticket) = &mut self.ticket else { return Ok(()) };
        ticket.fingerprint = *fingerprint.as_bytes();
        self.dir.keep_ticket(ticket)
    }

    /// The ticket that this user has from the server with this certificate.
    pub(super) fn ticket(&self, user: &Name, server: Fingerprint) -> Option<KeptTicket<'_>> {
        let ticket = self.ticket.as_ref()?;
        let fits = ticket.user == user.as_str() && ticket.fingerprint == *server.as_bytes();
        fits.then_some(KeptTicket { secret: &ticket.secret[..], is_fresh: ticket.expires_ms > unix_ms() })
    }

    /// Keeps what the server gave.
    pub(super) fn keep_ticket(
        &mut self,
        user: &Name,
        server: Fingerprint,
        secret: [u8; TICKET_BYTES],
        lifetime: Duration,
    ) -> Result<(), StateError> {
        let lifetime_ms = u64::try_from(lifetime.as_millis()).unwrap_or(u64::MAX);
        let ticket = self.ticket.insert(Ticket {
            user: user.as_str().to_owned(),
            fingerprint: *server.as_bytes(),
            secret: Zeroizing::new(secret),
            expires_ms: unix_ms().saturating_add(lifetime_ms),
        });
        self.dir.keep_ticket(ticket)
    }

    /// The server does not accept it any more.
    pub(super) fn forget_ticket(&mut self) -> Result<(), StateError> {
        self.ticket = None;
        self.dir.forget_ticket()
    }

    /// What the session goes on from; to be asked before anything is said. What a journal of another program holds and the protocol does not allow is left
    /// out.
    pub(super) fn restored(&self) -> Result<Restored, StateError> {
        let cursors = self.journal.cursors().iter();
        let pending = self.journal.pending();
        Ok(Restored {
            server: self.dir.known_log()?.map(ServerId),
            cursors: cursors.filter_map(|(room, seq)| Some((room_key(room)?, *seq))).collect(),
            next_counter: self.first_counter,
            pending: pending.filter_map(pending_say).collect(),
        })
    }

    /// Says something: kept first, then given to the session.
    pub(super) fn say(&mut self, session: &mut Session, room: RoomKey, text: &Text) -> Result<u64, NotSaid> {
        let target = say_target(&room).ok_or(NotSaid::Session(chatproto::session::SayError::Over))?;
        let reserved = self.next_counter.take().map_or_else(|| self.device.next_counter(), Ok);
        let counter = reserved.map_err(NotSaid::State)?;
        self.next_counter = Some(counter);
        let text_kept = text.as_str().to_owned();
        let kept = state::PendingSay { counter, target, text: text_kept };
        self.journal.say(kept).map_err(NotSaid::State)?;
        if let Err(error) = session.say(room, text) {
            // It was never said; were the line to stay, it would be said at the next start.
            self.journal.ack(counter).map_err(NotSaid::State)?;
            return Err(NotSaid::Session(error));
        }
        self.next_counter = None;
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

    /// A conversation is over: what was to be said there is not for whoever has the name next, also in the next run.
    pub(super) fn retire(&mut self, was: &RoomKey, now: &RoomKey) -> Result<(), StateError> {
        if let Some(was) = say_target(was) {
            self.journal.retarget(&was, &SayTarget::Former(journal_room(now)))?;
        }
        self.forget_room(was)
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

/// The keys of people.
impl Memory {
    /// Remembers a key in place of another.
    pub(super) fn accept_peer(
        &mut self,
        user: &Name,
        device: DeviceId,
        key: LinkKey,
    ) -> Result<(), StateError> {
        self.peers.remember(user.as_str(), &device.0, &key.0)
    }

    pub(super) fn verify_peer(&mut self, user: &Name, device: DeviceId) -> Result<(), StateError> {
        self.peers.verify(user.as_str(), &device.0)
    }

    /// The devices of somebody that were met: each with its key, and whether that was compared.
    pub(super) fn keys_of(&self, user: &Name) -> Vec<(DeviceId, LinkKey, bool)> {
        let known = self.peers.devices(user.as_str()).into_iter();
        known.map(|(device, key, verified)| (DeviceId(device), LinkKey(key), verified)).collect()
    }

    pub(super) fn consent(&self) -> &Consent {
        &self.consent
    }

    pub(super) fn set_consent(
        &mut self,
        whom: &ConsentWhom,
        rule: Option<ConsentRule>,
    ) -> Result<(), StateError> {
        let whom = match whom {
            ConsentWhom::Person(name) => ConsentFor::Person(name.as_str()),
            ConsentWhom::Room(name) => ConsentFor::Room(name.as_str()),
        };
        self.consent.set(whom, rule)
    }

    pub(super) fn set_relay_only(&mut self, person: Option<&Name>, only: bool) -> Result<(), StateError> {
        self.consent.set_relay_only(person.map(Name::as_str), only)
    }

    /// The people who learn no address of this device.
    pub(super) fn relay_only(&self) -> BTreeSet<Name> {
        self.consent.relay_only().filter_map(|name| Name::new(name).ok()).collect()
    }
}

/// What may log in without the password.
#[derive(Clone, Copy)]
pub(super) struct KeptTicket<'a> {
    pub(super) secret: &'a [u8],
    /// It is still good, as far as this machine's clock goes: that may have jumped by years since it was kept, or before, and
    /// only the server knows. Where there is nothing surer, one that is not fresh is worth a try.
    pub(super) is_fresh: bool,
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

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn journal_room(room: &RoomKey) -> String {
    match room {
        RoomKey::Room(name) => format!("{ROOM_MARK}{}", name.as_str()),
        RoomKey::User(name) => format!("{USER_MARK}{}", name.as_str()),
        RoomKey::Former(name, room) => format!("{FORMER_MARK}{}/{}", room.0, name.as_str()),
    }
}

fn room_key(text: &str) -> Option<RoomKey> {
    if let Some(room) = text.strip_prefix(ROOM_MARK) {
        return Name::new(room).ok().map(RoomKey::Room);
    }
    if let Some(former) = text.strip_prefix(FORMER_MARK) {
        let (room, name) = former.split_once('/')?;
        return Some(RoomKey::Former(Name::new(name).ok()?, RoomId(room.parse().ok()?)));
    }
    Name::new(text.strip_prefix(USER_MARK)?).ok().map(RoomKey::User)
}

/// `None` where nothing more is said.
fn say_target(room: &RoomKey) -> Option<SayTarget> {
    match room {
        RoomKey::Room(name) => Some(SayTarget::Room(name.as_str().to_owned())),
        RoomKey::User(name) => Some(SayTarget::User(name.as_str().to_owned())),
        RoomKey::Former(..) => None,
    }
}

fn pending_say(say: &state::PendingSay) -> Option<PendingSay> {
    let target = match &say.target {
        SayTarget::Room(name) => RoomKey::Room(Name::new(name).ok()?),
        SayTarget::User(name) => RoomKey::User(Name::new(name).ok()?),
        SayTarget::Former(room) => room_key(room)?,
    };
    Some(PendingSay { counter: say.counter, target, text: Text::new(&say.text).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use chatproto::Instant;
    use chatproto::session::{Config, SayError};

    fn lobby() -> RoomKey {
        RoomKey::Room(Name::new("lobby").unwrap())
    }

    fn session(memory: &Memory, max_pending: usize) -> Session {
        let mut config = Config::new(Name::new("alice").unwrap(), memory.device());
        config.max_pending = max_pending;
        Session::new(config, memory.restored().unwrap(), 1, Instant::from_millis(0))
    }

    #[test]
    fn what_was_said_and_seen_is_there_in_the_next_run() {
        let temp = tempfile::tempdir().unwrap();
        let bob = RoomKey::User(Name::new("bob").unwrap());
        let (first, second) = {
            let mut memory = Memory::open(temp.path()).unwrap();
            let mut session = session(&memory, 10);
            let first = memory.say(&mut session, lobby(), &Text::new("one").unwrap()).unwrap();
            let second = memory.say(&mut session, bob.clone(), &Text::new("two").unwrap()).unwrap();
            memory.saw(&lobby(), 7).unwrap();
            memory.saw(&bob, 2).unwrap();
            memory.settle(first).unwrap();
            (first, second)
        };
        assert_eq!(second, first + 1);
        let memory = Memory::open(temp.path()).unwrap();
        let restored = memory.restored().unwrap();
        assert_eq!(restored.cursors, [(lobby(), 7), (bob.clone(), 2)]);
        let pending = restored.pending.iter().map(|say| (say.counter, &say.target, say.text.as_str()));
        assert_eq!(pending.collect::<Vec<_>>(), [(second, &bob, "two")]);
        assert!(restored.next_counter > second, "no number is used twice");
    }

    #[test]
    fn words_for_somebody_who_is_gone_stay_theirs_in_the_next_run() {
        let temp = tempfile::tempdir().unwrap();
        let bob = Name::new("bob").unwrap();
        let (was, now) = (RoomKey::User(bob.clone()), RoomKey::Former(bob, RoomId(7)));
        {
            let mut memory = Memory::open(temp.path()).unwrap();
            let mut session = session(&memory, 10);
            memory.say(&mut session, was.clone(), &Text::new("psst").unwrap()).unwrap();
            memory.saw(&was, 3).unwrap();
            memory.retire(&was, &now).unwrap();
            memory.say(&mut session, was.clone(), &Text::new("who are you?").unwrap()).unwrap();
        }
        let restored = Memory::open(temp.path()).unwrap().restored().unwrap();
        let pending = restored.pending.iter().map(|say| (&say.target, say.text.as_str()));
        assert_eq!(pending.collect::<Vec<_>>(), [(&now, "psst"), (&was, "who are you?")]);
        assert_eq!(restored.cursors, []);
    }

    #[test]
    fn what_the_session_refuses_is_not_said_at_the_next_start() {
        let temp = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(temp.path()).unwrap();
        let mut session = session(&memory, 1);
        let text = Text::new("hi").unwrap();
        let first = memory.say(&mut session, lobby(), &text).unwrap();
        let refused = memory.say(&mut session, lobby(), &text);
        assert!(matches!(refused, Err(NotSaid::Session(SayError::TooMany { max: 1 }))), "{refused:?}");
        let pending = memory.restored().unwrap().pending;
        assert_eq!(pending.iter().map(|say| say.counter).collect::<Vec<_>>(), [first]);
    }

    #[test]
    fn numbers_of_another_log_are_forgotten() {
        let temp = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(temp.path()).unwrap();
        memory.on_log(ServerId([1; 16])).unwrap();
        memory.saw(&lobby(), 7).unwrap();
        memory.on_log(ServerId([1; 16])).unwrap();
        assert_eq!(memory.restored().unwrap().cursors, [(lobby(), 7)]);
        memory.on_log(ServerId([2; 16])).unwrap();
        let restored = memory.restored().unwrap();
        assert_eq!((restored.server, restored.cursors), (Some(ServerId([2; 16])), Vec::new()));
    }

    #[test]
    fn a_ticket_goes_to_nobody_but_the_server_that_gave_it() {
        let temp = tempfile::tempdir().unwrap();
        let (alice, bob) = (Name::new("alice").unwrap(), Name::new("bob").unwrap());
        let (server, other) = (Fingerprint::from_bytes([1; 32]), Fingerprint::from_bytes([2; 32]));
        let mut memory = Memory::open(temp.path()).unwrap();
        memory.keep_ticket(&alice, server, [7; 32], Duration::from_secs(60)).unwrap();
        drop(memory);
        let mut memory = Memory::open(temp.path()).unwrap();
        let shown = |memory: &Memory, user, server| {
            memory.ticket(user, server).map(|ticket| (ticket.secret.to_vec(), ticket.is_fresh))
        };
        assert_eq!(shown(&memory, &alice, server), Some((vec![7; 32], true)));
        assert_eq!(shown(&memory, &alice, other), None);
        assert_eq!(shown(&memory, &bob, server), None);
        // Kept, for the clock that says so may be wrong.
        memory.keep_ticket(&alice, server, [8; 32], Duration::ZERO).unwrap();
        assert_eq!(shown(&memory, &alice, server), Some((vec![8; 32], false)));
        memory.keep_ticket(&alice, server, [8; 32], Duration::MAX).unwrap();
        assert_eq!(shown(&memory, &alice, server), Some((vec![8; 32], true)));
        memory.keep_ticket(&alice, server, [9; 32], Duration::from_secs(60)).unwrap();
        memory.forget_ticket().unwrap();
        assert_eq!(shown(&memory, &alice, server), None);
        drop(memory);
        std::fs::write(temp.path().join("ticket.json"), "{}").unwrap();
        assert_eq!(shown(&Memory::open(temp.path()).unwrap(), &alice, server), None, "damaged is lost");
    }

    #[test]
    fn a_device_with_another_key_is_noticed() {
        let temp = tempfile::tempdir().unwrap();
        let mut memory = Memory::open(temp.path()).unwrap();
        let (bob, device) = (Name::new("bob").unwrap(), DeviceId([1; 16]));
        let mut check = |key| memory.check_peer(&bob, device, LinkKey([key; 32])).unwrap();
        assert_eq!(check(1), KeyCheck::New);
        assert_eq!(check(1), KeyCheck::Known);
        assert_eq!(check(2), KeyCheck::Changed { known: [1; 32] });
    }
}
