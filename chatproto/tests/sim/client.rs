//! Somebody on a device, and the model of what that device was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use chatproto::Instant;
use chatproto::hub::{Label, Record, Router};
use chatproto::session::{self, Announcement, ChatMessage, Event, Restored, RoomKey, Session};
use chatproto::testing::{MemoryLog, SessionEnd};
use chatproto::wire::{Capabilities, Capability, DeviceId, ErrorCode, FrameType, LinkKey, Name, Text};

use crate::gather::Gather;
use crate::presence::Pictures;
use crate::queue::Queue;
use crate::share::Share;
use crate::world::{SERVER, Totals, name};

/// Messages of a conversation that a session takes up at most.
const DIRECT_BACKLOG: u64 = 100;

pub struct Client {
    pub end: SessionEnd,
    pub user: Name,
    pub device: DeviceId,
    pub ip: IpAddr,
    /// Where it accepts peers.
    pub listener: SocketAddr,
    pub key: LinkKey,
    pub share: Share,
    /// What came of files and was verified, by whose they are and their names: it survives cuts and crashes.
    pub parts: BTreeMap<(usize, String), Part>,
    /// What it sends, over all its links.
    pub queue: Queue,
    /// What it fetches from several.
    pub gather: Gather,
    pictures: Pictures,
    seed: u64,
    /// The next number of each room that it is in; what it gets must be exactly that.
    views: BTreeMap<RoomKey, u64>,
    /// Conversations that were too long to be taken up from their beginning: what comes first says where they begin.
    long: BTreeSet<RoomKey>,
    said: BTreeMap<u64, (RoomKey, Text)>,
    outcomes: BTreeMap<u64, Outcome>,
}

/// The first units of a file, as they lie on a disk.
#[derive(Clone, Debug)]
pub struct Part {
    pub unit_log2: u8,
    pub bytes: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Posted,
    Refused(ErrorCode),
}

impl Client {
    pub fn new(number: u8, user: &str, share: Share, seed: u64, now: Instant) -> Self {
        let ip: IpAddr = [198, 51, 100, number].into();
        let (user, device, key) = (name(user), DeviceId([number; 16]), LinkKey([number; 32]));
        let listener = SocketAddr::new(ip, 6000);
        let session = Session::new(config(&user, device, key), Restored::default(), seed, now);
        Self {
            end: SessionEnd::new(session, ip, SERVER),
            user,
            device,
            ip,
            listener,
            key,
            share,
            parts: BTreeMap::new(),
            queue: Queue::default(),
            gather: Gather::default(),
            pictures: Pictures::default(),
            seed,
            views: BTreeMap::new(),
            long: BTreeSet::new(),
            said: BTreeMap::new(),
            outcomes: BTreeMap::new(),
        }
    }

    /// The program is killed and starts again with what it kept on its disk.
    pub fn restart(&mut self, now: Instant) {
        let kept = self.end.session().snapshot();
        self.seed += 1;
        let session = Session::new(config(&self.user, self.device, self.key), kept, self.seed, now);
        self.end = SessionEnd::new(session, self.ip, SERVER);
        self.pictures = Pictures::default();
    }

    /// Takes what it is told of who is where, and asks about a room that it has just met.
    pub fn look(&mut self, event: &Event, totals: &mut Totals) {
        let before = self.pictures.snapshots;
        let met = self.pictures.hear(event);
        totals.snapshots += self.pictures.snapshots - before;
        met.into_iter().for_each(|room| self.ask_who(room));
    }

    /// Asks about rooms of which it does not know who is there.
    pub fn look_around(&mut self) {
        self.pictures.unknown().into_iter().for_each(|room| self.ask_who(room));
    }

    fn ask_who(&mut self, room: RoomKey) {
        // Refused while it is not logged in, or asks too much: then later.
        if let Ok(request) = self.end.session_mut().who(&room) {
            self.pictures.asks(request, room);
        }
    }

    /// Nothing is on its way any more: whoever is told of is there, in every room.
    pub fn check_pictures(&self, router: &Router, totals: &mut Totals) {
        let who = format!("{:?} {}", self.user, self.device);
        for room in self.end.session().joined() {
            let id = router.find(&self.label(room)).expect("a room that it is in");
            self.pictures.assert_is(room, router.people(id).map(|(name, _)| name), &who);
            totals.pictures += 1;
        }
    }

    pub fn say(&mut self, target: RoomKey, words: &str) {
        let counter = self.end.session().next_counter();
        let text = Text::new(&format!("{:?} {} {counter} {words}", self.user, self.device)).unwrap();
        let given = self.end.session_mut().say(target.clone(), &text).unwrap();
        assert_eq!(given, counter);
        self.said.insert(counter, (target, text));
    }

    /// The number that must come next in a room that it is in.
    pub fn next(&self, room: &RoomKey) -> Option<u64> {
        self.views.get(room).copied()
    }

    pub fn label(&self, room: &RoomKey) -> Label {
        match room {
            RoomKey::Room(name) => Label::Group(name.clone()),
            RoomKey::User(other) => Label::direct(&self.user, other),
            RoomKey::Former(other, _) => Label::Former(self.user.clone(), other.clone()),
        }
    }

    /// Holds an event against the model.
    pub fn check(&mut self, event: &Event, log: &MemoryLog, totals: &mut Totals) {
        match event {
            Event::Joined { room, last, .. } => {
                // A group is entered at its end, a conversation at its beginning; who comes back goes on.
                let next = if matches!(room, RoomKey::Room(_)) { last + 1 } else { 1 };
                if !self.views.contains_key(room) && next == 1 && *last >= DIRECT_BACKLOG {
                    self.long.insert(room.clone());
                }
                self.views.entry(room.clone()).or_insert(next);
            }
            Event::Left { room, .. } => {
                self.views.remove(room);
                self.long.remove(room);
            }
            Event::Message { message, missed } => {
                totals.delivered += 1;
                totals.missed += u64::from(*missed);
                self.check_message(message, log);
            }
            Event::Posted { counter, room, seq, .. } => {
                totals.posted += 1;
                self.end_say(*counter, Outcome::Posted);
                let (target, text) = &self.said[counter];
                assert_eq!(target, room);
                let label = self.label(room);
                let is_it = |stored: &&Record| {
                    (&stored.from, stored.device, stored.counter) == (&self.user, self.device, *counter)
                };
                // Without a number, the log has let go of it.
                let stored = match seq {
                    0 => log
                        .records(&label)
                        .iter()
                        .filter(|stored| stored.seq <= log.forgotten(&label))
                        .find(is_it),
                    seq => log.record(&label, *seq).filter(is_it),
                };
                assert_eq!(&stored.expect("acknowledged, not stored").text, text);
            }
            Event::SayRefused { counter, code, .. } => {
                totals.refused += 1;
                self.end_say(*counter, Outcome::Refused(*code));
            }
            Event::Lost { .. } => totals.lost += 1,
            Event::Gap { room, from, to } => {
                totals.gaps += 1;
                let forgotten = log.forgotten(&self.label(room));
                assert!(*to <= forgotten, "{room} lost {from} to {to}, and up to {forgotten} is gone");
                let next = self.views.get_mut(room).expect("a gap in a room that one is in");
                if self.long.remove(room) {
                    *next = *from;
                }
                assert_eq!(from, next, "{:?} in {room}", self.user);
                *next = to + 1;
            }
            Event::NewLog { .. } => panic!("it is the same log"),
            Event::LoginFailed { code, note } => panic!("login failed: {code} {note:?}"),
            // Put out of a room that could not be stored, in the moment of leaving it.
            Event::ServerError { code: ErrorCode::NotMember, about: Some(FrameType::Leave), .. } => {}
            Event::ServerError { code, note, .. } => panic!("server error: {code} {note:?}"),
            _ => {}
        }
    }

    fn check_message(&mut self, message: &ChatMessage, log: &MemoryLog) {
        let who = (&self.user, self.device);
        let Some(next) = self.views.get_mut(&message.room) else {
            panic!("{who:?} got a message of {} and is not in it", message.room);
        };
        if self.long.remove(&message.room) {
            *next = message.seq;
        }
        assert_eq!(message.seq, *next, "{who:?} in {}", message.room);
        *next += 1;
        let stored = log.record(&self.label(&message.room), message.seq).expect("delivered, not stored");
        let same = (&stored.from, stored.device, stored.counter, &stored.text, stored.time);
        assert_eq!((&message.from, message.device, message.counter, &message.text, message.time), same);
    }

    fn end_say(&mut self, counter: u64, outcome: Outcome) {
        assert!(self.said.contains_key(&counter), "{counter} was never said");
        let before = self.outcomes.insert(counter, outcome.clone());
        assert_eq!(before, None, "say {counter} ended twice, now {outcome:?}");
    }

    /// Whether nothing is under way for this device.
    pub fn is_at_rest(&self, log: &MemoryLog) -> bool {
        let session = self.end.session();
        let has_all = |room: &RoomKey| {
            let last = log.last(&self.label(room));
            self.views.get(room) == Some(&(last + 1))
        };
        session.state() == session::State::Ready
            && self.pictures.is_whole()
            && session.pending().next().is_none()
            && session.joined().all(has_all)
    }

    /// Everything has come to rest: what was promised must have been kept.
    pub fn check_end(&self, log: &MemoryLog) {
        let who = (&self.user, self.device);
        let session = self.end.session();
        assert_eq!(session.state(), session::State::Ready, "{who:?}");
        assert_eq!(session.pending().count(), 0, "{who:?}");
        assert_eq!(self.outcomes.len(), self.said.len(), "{who:?}: every say ends");
        for room in session.joined() {
            let last = log.last(&self.label(room));
            assert_eq!(self.views[room], last + 1, "{who:?} in {room}");
        }
        // Whoever was written to is in the conversation, also if they were away then.
        for record in log.rooms().filter(|record| record.last > 0) {
            if let Label::Direct(one, other) = record.label
                && (one == self.user || other == self.user)
            {
                let with = RoomKey::User(if one == self.user { other } else { one });
                assert!(session.joined().any(|room| *room == with), "{who:?} does not know the {with}");
            }
        }
    }
}

fn config(user: &Name, device: DeviceId, key: LinkKey) -> session::Config {
    let mut config = session::Config::new(user.clone(), device);
    config.announcement = Some(Announcement::new(6000, key, Vec::new()).unwrap());
    config.max_unposted = 8;
    config.capabilities =
        Capabilities::NONE.with(Capability::Ways).with(Capability::Relay).with(Capability::Moderation);
    config
}
