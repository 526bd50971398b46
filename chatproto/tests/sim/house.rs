//! A world in which people keep order: owners, operators and an administrator kick, mute, ban, invite and lock, most of it by
//! right and some of it not, while connections break and the server dies. The [model](crate::rules) says what holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use chatproto::Instant;
use chatproto::hub::{Config, ConnId, Hub};
use chatproto::session::{RoomKey, State};
use chatproto::testing::{
    Actor, CrashPoint, HubEnd, MemoryLog, Network as Wires, Rng, StreamId, Trouble, run,
};
use chatproto::wire::*;

use crate::answers::Ask;
use crate::client::Client;
use crate::counts::Counts;
use crate::rules::{LOBBY, Order, ROOT};
use crate::share::Share;
use crate::world::{REST, SERVER, Totals, conditions, config, name};

/// Each on a device of their own; Alice has two.
pub const PEOPLE: [&str; 6] = [ROOT, "alice", "alice", "bob", "carol", "dave"];

/// The rooms that are made in the beginning: by whom, and whether private.
const MADE: [(&str, usize, bool); 3] = [("tea", 1, false), ("den", 3, true), ("attic", 4, true)];

/// Things that chance does in one life.
const STEPS: u32 = 90;

/// How often the model looks at the world.
const OFTEN: Duration = Duration::from_millis(20);
const SELDOM: Duration = Duration::from_millis(200);

/// Longest mute or ban, in seconds.
pub const MAX_SECONDS: u64 = 12;

/// A moment, as the model has it: how many changes the log had, and when.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    pub changes: usize,
    pub at: Instant,
}

pub struct Member {
    pub client: Client,
    pub asks: BTreeMap<RequestId, (Ask, Mark)>,
    pub joins: BTreeMap<RequestId, (RoomKey, Mark)>,
    /// When it was last let in.
    pub ready: Mark,
    /// The last change of each room that it heard of by its note.
    pub heard: BTreeMap<RoomKey, usize>,
}

pub struct House {
    pub rng: Rng,
    pub network: Wires,
    pub now: Instant,
    pub server: HubEnd,
    pub members: Vec<Member>,
    pub conns: BTreeMap<ConnId, (Name, IpAddr)>,
    /// What holds after no change, one, two, ...
    pub states: Vec<Order>,
    /// Which change each note belongs to, for every note is used once; and the room's last number then.
    pub notes: BTreeMap<String, (usize, u64)>,
    /// Notes of what was refused, which must never be in the log.
    pub refused: BTreeSet<String>,
    /// Entries of the log's journal that the model has seen.
    pub seen: usize,
    /// The last message of each person in slow mode, in this life of the server.
    pub spoken: BTreeMap<(Name, Name), Instant>,
    /// Before the last time that the world moved.
    pub before: Mark,
    /// When the log last would not store anything.
    pub troubled: Option<Instant>,
    /// How often the model looks: seldom while everybody waits, for that is most of the time.
    pub glance: Duration,
    pub orders: u64,
    pub counts: Counts,
    pub totals: Totals,
}

impl House {
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut network = Wires::new(rng.next_u64(), conditions(&mut rng));
        let mut log = MemoryLog::new(Duration::from_millis(rng.below(50)));
        if rng.chance(15) {
            log.set_volatile();
        }
        let mut server = HubEnd::new(Hub::new(house_config(), [], rng.fork()), log, SERVER, &mut network);
        server.set_admins([name(ROOT)]);
        let now = Instant::from_millis(1);
        let mark = Mark { changes: 0, at: now };
        let member = |(at, user): (usize, &&str)| Member {
            client: Client::new(at as u8 + 1, user, Share::new(&mut rng), rng.next_u64(), now),
            asks: BTreeMap::new(),
            joins: BTreeMap::new(),
            ready: mark,
            heard: BTreeMap::new(),
        };
        let members = PEOPLE.iter().enumerate().map(member).collect();
        Self {
            rng,
            network,
            now,
            server,
            members,
            conns: BTreeMap::new(),
            states: vec![Order::default()],
            notes: BTreeMap::new(),
            refused: BTreeSet::new(),
            seen: 0,
            spoken: BTreeMap::new(),
            before: mark,
            troubled: None,
            glance: SELDOM,
            orders: 0,
            counts: Counts::default(),
            totals: Totals::default(),
        }
    }

    pub fn live(mut self) -> (Counts, Totals) {
        self.live_on();
        (self.counts, self.totals)
    }

    /// As a world's.
    pub fn recorded(mut self, limit: usize) -> Vec<Vec<Bytes>> {
        self.network.record(limit);
        self.live_on();
        self.network.take_recorded()
    }

    fn live_on(&mut self) {
        self.furnish();
        self.glance = OFTEN;
        for _ in 0..STEPS {
            self.act();
            let longest = if self.rng.chance(12) { 5_000 } else { 250 };
            let pause = self.rng.below(longest);
            self.pass(Duration::from_millis(pause));
            if self.rng.chance(30) {
                self.server.log_mut().set_trouble(None);
            }
        }
        self.come_to_rest();
    }

    /// A life that follows a script, in which the server crashes once, at this point of the `count`th change.
    pub fn crash_once(mut self, point: CrashPoint, count: u64) -> Counts {
        self.furnish();
        self.server.crash_at_change(point, count);
        let until = self.now + REST;
        let mut script = SCRIPT.iter().peekable();
        while let Some(&&(by, room, action, user, seconds)) = script.peek() {
            assert!(self.now < until, "still at {action:?} of {room}");
            for at in [2, 4] {
                self.say_in(at, &name("tea"));
            }
            // One after the other; and after the crash everybody has to come back first.
            let is_idle = self.members.iter().all(|member| member.asks.is_empty());
            let user = Some(user).filter(|user| !user.is_empty()).map(name);
            if is_idle && self.is_ready(by) && self.order(by, &name(room), action, user, seconds) {
                script.next();
            }
            self.pass(Duration::from_millis(400));
            if !self.server.is_up() {
                self.crash_or_restart();
            }
        }
        self.come_to_rest();
        assert_eq!(self.totals.trapped, 1, "{point:?} of change {count}");
        self.counts
    }

    fn act(&mut self) {
        let at = self.rng.index(self.members.len());
        if self.is_stopped(at) {
            self.knock(at);
        }
        match self.rng.below(100) {
            0..28 => {
                let room = self.any_room();
                for _ in 0..=self.rng.below(3) {
                    self.say_in(at, &room);
                }
            }
            28..32 => {
                let to = name(self.rng.choose(&PEOPLE).unwrap());
                self.say(at, RoomKey::User(to));
            }
            32..42 => {
                let room = self.any_room();
                self.join(at, room);
            }
            42..44 => {
                let room = RoomKey::Room(self.any_room());
                let member = &mut self.members[at];
                if member.client.end.session_mut().leave(&room).is_ok() {
                    // A join before it need not be answered.
                    member.joins.retain(|_, (of, _)| *of != room);
                }
            }
            44..47 => self.cut(at),
            47..49 => self.restart(at),
            49..53 => self.crash_or_restart(),
            53..55 => {
                if let Some(stream) = self.members[at].client.end.stream() {
                    let is_slow = self.rng.chance(60);
                    self.network.set_slow(stream, is_slow);
                }
            }
            55..83 => self.moderate(),
            83..88 => self.govern(),
            88..90 => self.host(),
            90..98 => self.inquire(at),
            98 => {
                let trouble = *self.rng.choose(&[Trouble::Full, Trouble::Locked]).unwrap();
                self.server.log_mut().set_trouble(Some(trouble));
            }
            _ => self.network.set_conditions(conditions(&mut self.rng)),
        }
    }

    /// Makes the rooms and lets most people in.
    fn furnish(&mut self) {
        self.pass_until(|world| (0..PEOPLE.len()).all(|at| world.is_ready(at)));
        for (room, by, private) in MADE {
            self.members[by].client.end.session_mut().create(&name(room), private).unwrap();
        }
        self.pass_until(|world| {
            MADE.iter().all(|(room, ..)| world.order_now().rooms.contains_key(&name(room)))
        });
        for (room, by, user) in [("den", 3, "alice"), ("den", 3, "dave"), ("attic", 4, "bob")] {
            assert!(self.order(by, &name(room), Action::Invite, Some(name(user)), 0));
        }
        self.pass_until(|world| world.members.iter().all(|member| member.asks.is_empty()));
        for at in 0..PEOPLE.len() {
            for room in [LOBBY, "tea", "den", "attic"] {
                self.join(at, name(room));
            }
        }
        self.pass_until(|world| world.members.iter().all(|member| member.joins.is_empty()));
    }

    pub fn is_ready(&self, at: usize) -> bool {
        self.members[at].client.end.session().state() == State::Ready
    }

    pub fn order_now(&self) -> &Order {
        self.states.last().unwrap()
    }

    pub fn mark(&self) -> Mark {
        Mark { changes: self.states.len() - 1, at: self.now }
    }

    pub fn crash_or_restart(&mut self) {
        if self.server.is_up() && self.rng.chance(70) {
            let point = *self.rng.choose(&CrashPoint::ALL).unwrap();
            let count = 1 + self.rng.below(4);
            if self.rng.chance(70) {
                self.server.crash_at_change(point, count);
            } else {
                self.server.crash_at(point, count);
            }
        } else if self.server.is_up() {
            self.server.crash(&mut self.network);
            self.crashed();
        } else {
            self.server.restart(house_config(), self.rng.next_u64(), &mut self.network);
        }
    }

    fn crashed(&mut self) {
        self.totals.crashes += 1;
        self.conns.clear();
    }

    /// Whether the log would not store anything at some moment since then.
    pub fn was_troubled(&self, since: Mark) -> bool {
        self.troubled.is_some_and(|at| at >= since.at)
    }

    pub fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.now < until {
            let next = (self.now + self.glance).min(until);
            self.before = self.mark();
            let was_up = self.server.is_up();
            let mut actors: Vec<&mut dyn Actor> = vec![&mut self.server];
            actors.extend(self.members.iter_mut().map(|member| &mut member.client.end as &mut dyn Actor));
            run(&mut self.network, &mut actors, &mut self.now, next).unwrap();
            if self.server.log().trouble().is_some() {
                self.troubled = Some(self.now);
            }
            self.read_journal();
            if was_up && !self.server.is_up() {
                self.totals.trapped += 1;
                self.crashed();
            }
            self.hear_hub();
            self.check_hub();
            self.hear_members();
        }
    }

    pub fn pass_until(&mut self, is_so: impl Fn(&Self) -> bool) {
        let until = self.now + REST;
        while !is_so(self) {
            assert!(self.now < until, "it never came to that: {:?}", self.unfinished());
            if !self.server.is_up() {
                self.crash_or_restart();
            }
            for at in (0..PEOPLE.len()).filter(|at| self.is_stopped(*at)).collect::<Vec<_>>() {
                self.knock(at);
            }
            self.pass(Duration::from_millis(200));
        }
    }

    fn come_to_rest(&mut self) {
        self.glance = SELDOM;
        self.server.log_mut().set_trouble(None);
        let streams: Vec<StreamId> = self.network.streams().collect();
        for stream in streams {
            self.network.set_slow(stream, false);
            self.network.cut_after(stream, usize::MAX);
        }
        // What was on its way arrives: a crash that was to come, or a lockdown whose asker has gone.
        self.pass_until(|world| world.server.is_up() && world.members.iter().all(|it| it.asks.is_empty()));
        self.pass(Duration::from_secs(2 * MAX_SECONDS));
        self.pass_until(|world| world.server.is_up());
        self.open_doors();
        self.pass_until(|world| world.server.is_up());
        // The crash that was to come may have come in the middle of that.
        self.open_doors();
        self.pass_until(Self::is_at_rest);
        self.ask_everything();
        self.pass_until(|world| world.is_at_rest() && world.members.iter().all(Member::is_answered));
        for member in &self.members {
            member.client.check_end(self.server.log());
        }
    }

    /// The operator of the server lets everybody in again.
    fn open_doors(&mut self) {
        let barred: Vec<Subject> = self.order_now().barred().cloned().collect();
        for subject in barred {
            let note = self.note();
            // Its time may be over.
            let _ = self.server.hub_mut().govern_as_host(Action::Unban, Some(subject), 0, note);
        }
        let note = self.note();
        self.server.hub_mut().govern_as_host(Action::Unlock, None, 0, note).unwrap();
        self.pass(Duration::from_secs(2));
    }

    /// What there is to wait for, for whoever reads of a failure.
    fn unfinished(&self) -> Vec<String> {
        let busy = self
            .members
            .iter()
            .filter(|member| !member.is_answered() || !member.client.is_at_rest(self.server.log()));
        busy.map(|member| {
            let session = member.client.end.session();
            let says = session.pending().count();
            format!(
                "{:?} {:?} {says} {:?} {:?}",
                member.client.user,
                session.state(),
                member.asks,
                member.joins
            )
        })
        .collect()
    }

    fn is_at_rest(&self) -> bool {
        self.server.is_up() && self.members.iter().all(|member| member.client.is_at_rest(self.server.log()))
    }

    /// Nothing changes any more: everybody tries every door and looks around, and there is one right answer to all of it.
    fn ask_everything(&mut self) {
        for room in [LOBBY, "tea", "den", "attic"].map(name) {
            for at in 0..PEOPLE.len() {
                self.join(at, room.clone());
            }
            self.pass_until(|world| {
                (0..PEOPLE.len()).all(|at| world.is_ready(at) && world.members[at].is_answered())
            });
            for at in 0..PEOPLE.len() {
                self.say_in(at, &room);
                let (mark, crashes) = (self.mark(), self.totals.crashes);
                let member = &mut self.members[at];
                let request = member.client.end.session_mut().who(&RoomKey::Room(room.clone())).unwrap();
                member.asks.insert(request, (Ask::WhoInPeace(room.clone(), crashes), mark));
            }
        }
    }
}

impl Member {
    fn is_answered(&self) -> bool {
        self.asks.is_empty() && self.joins.is_empty()
    }
}

/// By whom, where, what, to whom, for how long: what goes through a crash at every one of its changes.
pub const SCRIPT: [(usize, &str, Action, &str, u32); 12] = [
    (1, "tea", Action::Topic, "", 0),
    (1, "tea", Action::Mute, "carol", 3),
    (1, "tea", Action::Op, "bob", 0),
    (3, "tea", Action::Kick, "dave", 0),
    (3, "tea", Action::Ban, "carol", 2),
    (0, LOBBY, Action::BanAddress, "dave", 3),
    (1, "tea", Action::Slow, "", 1),
    (1, "tea", Action::Private, "", 0),
    (1, "tea", Action::Invite, "carol", 0),
    (4, "attic", Action::Owner, "bob", 0),
    (3, "attic", Action::Ban, "carol", 0),
    (1, "tea", Action::Deop, "bob", 0),
];

fn house_config() -> Config {
    let mut config = config();
    config.capabilities = config.capabilities.with(Capability::Moderation);
    config
}
