//! The world: who lives in it, what chance does to it, and what must hold.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use chatproto::Instant;
use chatproto::hub::{Config, Hub, Label};
use chatproto::peer::{self, Peer};
use chatproto::reach::Action;
use chatproto::session::{Event, Introduction, RoomKey};
use chatproto::testing::{
    Actor, Conditions, CrashPoint, Dialled, HubEnd, MemoryLog, Network, PeerEnd, Rng, StreamId, Trouble, run,
};
use chatproto::wire::*;

use crate::client::Client;
use crate::consent::Consents;
use crate::link::{Around, LinkEnd};
use crate::share::{COMMON_LEN, Share};

pub const SERVER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 4000);

/// Alice has two devices.
const PEOPLE: [&str; 4] = ["alice", "alice", "bob", "carol"];
const ROOMS: [&str; 3] = ["lobby", "tea", "den"];

/// Messages of a life in which nothing happens but one crash.
pub const SAID_IN_PEACE: u64 = 16;

/// Things that chance does in one life.
const STEPS: u32 = 60;

/// Small, so that every bound is met often.
const MAX_QUEUE: usize = 4 * 1024;
const PAGE: usize = 1024;

/// How long the world may take to come to rest in the end: the longest pause between attempts, more than once.
pub const REST: Duration = Duration::from_secs(400);

/// What happened in a life, to see that something did.
#[derive(Debug, Default, PartialEq, Eq, Clone)]
pub struct Totals {
    pub posted: u64,
    pub refused: u64,
    pub delivered: u64,
    pub missed: u64,
    pub lost: u64,
    pub crashes: u64,
    pub trapped: u64,
    pub gaps: u64,
    pub links: u64,
    pub link_says: u64,
    pub files: u64,
    pub file_bytes: u64,
    pub files_failed: u64,
    pub files_resumed: u64,
    pub parts: u64,
    pub away: u64,
    pub not_reached: u64,
    /// Places in lines that were told, and those that were better than before.
    pub queued: u64,
    pub moved_up: u64,
    /// Files that came in parts; of those, from several.
    pub gathered: u64,
    pub several: u64,
    /// Who is there, told whole without being asked; and looked at in the end.
    pub snapshots: u64,
    pub pictures: u64,
}

impl Totals {
    pub fn add(&mut self, other: &Self) {
        self.posted += other.posted;
        self.refused += other.refused;
        self.delivered += other.delivered;
        self.missed += other.missed;
        self.lost += other.lost;
        self.crashes += other.crashes;
        self.trapped += other.trapped;
        self.gaps += other.gaps;
        self.links += other.links;
        self.link_says += other.link_says;
        self.files += other.files;
        self.file_bytes += other.file_bytes;
        self.files_failed += other.files_failed;
        self.files_resumed += other.files_resumed;
        self.parts += other.parts;
        self.away += other.away;
        self.not_reached += other.not_reached;
        self.queued += other.queued;
        self.moved_up += other.moved_up;
        self.gathered += other.gathered;
        self.several += other.several;
        self.snapshots += other.snapshots;
        self.pictures += other.pictures;
    }

    pub fn assert_rich(&self) {
        let all = [
            self.posted,
            self.delivered,
            self.missed,
            self.lost,
            self.crashes,
            self.trapped,
            self.gaps,
            self.links,
            self.link_says,
            self.files,
            self.files_resumed,
            self.parts,
            self.files_failed,
            self.away,
            self.not_reached,
            self.queued,
            self.moved_up,
            self.gathered,
            self.snapshots,
            self.pictures,
        ];
        let is_rich = all.iter().all(|count| *count >= 5) && self.several >= 1;
        assert!(is_rich, "too little happened: {self:?}");
    }
}

pub struct World {
    rng: Rng,
    network: Network,
    now: Instant,
    server: HubEnd,
    clients: Vec<Client>,
    shares: Vec<Share>,
    links: Vec<LinkEnd>,
    /// How many links there have been.
    linked: u64,
    dials: Vec<Dial>,
    consents: Consents,
    /// Introductions that must end in a link or a verdict.
    seeking: BTreeMap<(usize, OfferId), Introduction>,
    totals: Totals,
    is_ending: bool,
}

/// A link that is being dialled.
struct Dial {
    owner: usize,
    stream: StreamId,
    way: Way,
    introduction: Introduction,
}

impl World {
    pub fn new(seed: u64) -> Self {
        let mut world = Self::durable(seed);
        if world.rng.chance(25) {
            world.server.log_mut().set_volatile();
        }
        world
    }

    /// A world whose log keeps what it has.
    pub fn durable(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut network = Network::new(rng.next_u64(), conditions(&mut rng));
        let log = MemoryLog::new(Duration::from_millis(rng.below(50)));
        let server = HubEnd::new(Hub::new(config(), [], rng.fork()), log, SERVER, &mut network);
        let now = Instant::from_millis(1);
        let mut common = vec![0; COMMON_LEN];
        rng.fill(&mut common);
        let common = common.into();
        let shares: Vec<Share> = PEOPLE.iter().map(|_| Share::with(&common, &mut rng)).collect();
        let client = |(at, user): (usize, &&str)| {
            let client = Client::new(at as u8 + 1, user, shares[at].clone(), rng.next_u64(), now);
            network.listen(client.listener);
            client
        };
        let clients = PEOPLE.iter().enumerate().map(client).collect();
        Self {
            rng,
            network,
            now,
            server,
            clients,
            shares,
            links: Vec::new(),
            linked: 0,
            dials: Vec::new(),
            consents: Consents::default(),
            seeking: BTreeMap::new(),
            totals: Totals::default(),
            is_ending: false,
        }
    }

    pub fn live(mut self) -> Totals {
        self.live_on();
        self.totals
    }

    /// Lives, and returns what each end of each connection has read, piece by piece and at most so many bytes.
    pub fn recorded(mut self, limit: usize) -> Vec<Vec<Bytes>> {
        self.network.record(limit);
        self.live_on();
        self.network.take_recorded()
    }

    fn live_on(&mut self) {
        for _ in 0..STEPS {
            self.act();
            let pause = self.rng.below(200);
            self.pass(Duration::from_millis(pause));
        }
        self.come_to_rest();
    }

    /// A quiet life in which the server crashes once, at this point of the `count`th message, and comes back.
    pub fn crash_once(mut self, point: CrashPoint, count: u64) -> Totals {
        let lobby = || RoomKey::Room(name("lobby"));
        for client in &mut self.clients {
            client.end.session_mut().join(lobby()).unwrap();
        }
        self.pass(Duration::from_secs(2));
        self.server.crash_at(point, count);
        for round in 0..SAID_IN_PEACE / PEOPLE.len() as u64 {
            for client in &mut self.clients {
                client.say(lobby(), &format!("round {round}"));
            }
            self.pass(Duration::from_millis(30));
        }
        let until = self.now + REST;
        while self.server.is_up() && self.now < until {
            self.pass(Duration::from_millis(100));
        }
        assert!(!self.server.is_up(), "it was to crash at {point:?} of message {count}");
        self.come_to_rest();
        assert_eq!(self.server.log().len() as u64, SAID_IN_PEACE, "all of it is said, once");
        self.totals
    }

    fn act(&mut self) {
        let at = self.rng.index(self.clients.len());
        match self.rng.below(100) {
            0..30 => self.say(at),
            30..40 => self.say_direct(at),
            40..46 => {
                let room = self.room();
                self.clients[at].end.session_mut().join(room).unwrap();
            }
            46..50 => {
                let room = self.room();
                // Refused when it is not in that room.
                let _ = self.clients[at].end.session_mut().leave(&room);
            }
            50..55 => self.cut(at),
            55..58 => {
                self.clients[at].restart(self.now);
                self.seeking.retain(|(owner, _), _| *owner != at);
            }
            58..62 => self.crash_or_restart(),
            62..67 => {
                if let Some(stream) = self.clients[at].end.stream() {
                    let is_slow = self.rng.chance(60);
                    self.network.set_slow(stream, is_slow);
                }
            }
            67..77 => self.request_peer(at),
            77..90 => self.use_link(),
            90..93 => self.clients[at].end.session_mut().leave_for_direct(self.now),
            93..96 => self.clients[at].end.session_mut().come_back(self.now),
            96..97 => self.forget(),
            97..98 => self.network.set_conditions(conditions(&mut self.rng)),
            _ => {
                let trouble = match self.rng.below(10) {
                    0..2 => Some(Trouble::Full),
                    2..4 => Some(Trouble::Locked),
                    _ => None,
                };
                self.server.log_mut().set_trouble(trouble);
            }
        }
    }

    fn say(&mut self, at: usize) {
        let room = self.room();
        for _ in 0..=self.rng.below(6) {
            let words = "x".repeat(self.rng.index(400));
            self.clients[at].say(room.clone(), &words);
        }
    }

    fn say_direct(&mut self, at: usize) {
        let to = name(self.rng.choose(&PEOPLE).unwrap());
        self.clients[at].say(RoomKey::User(to), "psst");
    }

    fn room(&mut self) -> RoomKey {
        RoomKey::Room(name(self.rng.choose(&ROOMS).unwrap()))
    }

    fn cut(&mut self, at: usize) {
        let links = self.links.iter().filter_map(|link| link.end.stream());
        let streams: Vec<StreamId> = self.clients[at].end.stream().into_iter().chain(links).collect();
        if let Some(stream) = self.rng.choose(&streams) {
            let bytes = self.rng.index(300);
            self.network.cut_after(*stream, bytes);
        }
    }

    fn crash_or_restart(&mut self) {
        if self.server.is_up() && self.rng.chance(50) {
            let point = *self.rng.choose(&CrashPoint::ALL).unwrap();
            self.server.crash_at(point, 1 + self.rng.below(8));
        } else if self.server.is_up() {
            self.server.crash(&mut self.network);
            self.totals.crashes += 1;
        } else {
            self.server.restart(config(), self.rng.next_u64(), &mut self.network);
        }
    }

    /// Retention: the oldest messages of a room go.
    fn forget(&mut self) {
        let RoomKey::Room(room) = self.room() else { return };
        let label = Label::Group(room);
        let last = self.server.log().last(&label);
        let up_to = self.rng.below(last + 1);
        self.server.log_mut().forget(&label, up_to);
    }

    fn request_peer(&mut self, at: usize) {
        let to = name(self.rng.choose(&PEOPLE).unwrap());
        let purpose = if self.rng.chance(70) { Purpose::Files } else { Purpose::Direct };
        // Refused while it is not logged in.
        let request = self.clients[at].end.session_mut().request_peer(&to, purpose);
        if let Ok(request) = request
            && self.rng.chance(10)
        {
            self.clients[at].end.session_mut().withdraw_peer(request).unwrap();
        }
    }

    fn use_link(&mut self) {
        let open: Vec<usize> = (0..self.links.len()).filter(|at| self.links[*at].is_open).collect();
        let Some(at) = self.rng.choose(&open) else { return };
        let link = &mut self.links[*at];
        match self.rng.below(10) {
            0..4 => link.say(&format!("over the link, at {:?}", self.now)),
            4..8 => {
                let owner = link.owner;
                // From all who are linked at once, so that several send the same file.
                let is_asked = |link: &&mut LinkEnd| link.owner == owner && link.is_open && !link.is_closed;
                self.links.iter_mut().filter(is_asked).for_each(LinkEnd::list);
            }
            8 => link.cancel_one(&mut self.clients[link.owner], &mut self.rng),
            _ => link.end.peer_mut().close(CloseReason::Done, self.now),
        }
    }

    /// Lets time pass, with a look at everything each time something happened.
    fn pass(&mut self, duration: Duration) {
        let until = self.now + duration;
        // Small steps, so that programs answer soon; a world at rest jumps.
        while self.now < until {
            let next = (self.now + Duration::from_millis(20)).min(until);
            self.run(next);
            while self.answer() {
                let now = self.now;
                self.run(now);
            }
            self.check();
        }
    }

    fn run(&mut self, until: Instant) {
        let was_up = self.server.is_up();
        let mut actors: Vec<&mut dyn Actor> = vec![&mut self.server];
        actors.extend(self.clients.iter_mut().map(|client| &mut client.end as &mut dyn Actor));
        actors.extend(self.links.iter_mut().map(|link| &mut link.end as &mut dyn Actor));
        run(&mut self.network, &mut actors, &mut self.now, until).unwrap();
        if was_up && !self.server.is_up() {
            self.totals.crashes += 1;
            self.totals.trapped += 1;
        }
    }

    /// The programs behind the machines take their events. Returns whether there was anything to do.
    fn answer(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.clients.len() {
            for event in self.clients[at].end.take_events() {
                any = true;
                self.clients[at].check(&event, self.server.log(), &mut self.totals);
                self.clients[at].look(&event, &mut self.totals);
                self.on_session_event(at, event);
            }
            while let Some((stream, from)) = self.network.poll_accepted(self.clients[at].listener, self.now) {
                any = true;
                let dialler = self.clients.iter().find(|client| client.ip == from.ip()).unwrap();
                let peer = Peer::listen(peer_config(&self.clients[at]), self.now);
                let end = PeerEnd::new(peer, stream);
                self.linked += 1;
                self.links.push(LinkEnd::new(self.linked, end, at, None, dialler.key));
            }
        }
        any | self.answer_dials() | self.answer_links() | self.serve_queues()
    }

    /// Whoever has a turn gets it, and the others hear of their places.
    fn serve_queues(&mut self) -> bool {
        let mut any = false;
        for client in &mut self.clients {
            while let Some(waiting) = client.queue.next() {
                any = true;
                let job = waiting.job;
                let link = self.links.iter_mut().find(|link| link.number == job.0 && !link.is_closed);
                if !link.is_some_and(|link| link.start(waiting)) {
                    client.queue.end(job);
                }
            }
            for ((number, transfer), place) in client.queue.moved() {
                any = true;
                if let Some(link) = self.links.iter_mut().find(|link| link.number == number) {
                    // It may have been taken back in the same moment.
                    let _ = link.end.peer_mut().queue_file(transfer, place);
                }
            }
            client.queue.check();
        }
        any
    }

    /// Nobody believes to be further in front than they are.
    fn check_places(&self) {
        for client in &self.clients {
            for ((number, transfer), place) in client.queue.places() {
                let Some(link) = self.links.iter().find(|link| link.number == number) else { continue };
                let is_other = |other: &&LinkEnd| other.number != number && other.ticket == link.ticket;
                let other = self.links.iter().find(is_other).filter(|_| link.ticket.is_some());
                if let Some(believed) = other.and_then(|other| other.place(transfer)) {
                    assert!(believed >= place, "{believed} in line, and really {place}");
                }
            }
        }
    }

    fn on_session_event(&mut self, at: usize, event: Event) {
        let session = self.clients[at].end.session_mut();
        match event {
            Event::PeerOffer { offer, from, .. } => {
                let yes = self.rng.chance(80);
                // It may have been closed in the same moment.
                if session.answer_peer(offer, yes).is_ok() && yes {
                    self.consents.yes(offer, at, from);
                }
            }
            Event::Introduced(introduction) => {
                self.consents.check(at, &introduction, &self.clients);
                self.seeking.insert((at, introduction.offer), introduction);
            }
            Event::Reach { offer, action } => self.reach(at, offer, action),
            Event::LinkFailed { offer, .. } => {
                self.totals.not_reached += 1;
                assert!(self.seeking.remove(&(at, offer)).is_some(), "an end without a beginning");
            }
            Event::Away => {
                self.totals.away += 1;
                if self.is_ending {
                    session.come_back(self.now);
                }
            }
            _ => {}
        }
    }

    /// Does what a negotiation asks for, or fails at it, or is silent until the deadline does.
    fn reach(&mut self, at: usize, offer: OfferId, action: Action) {
        let session = self.clients[at].end.session_mut();
        let is_silent = self.rng.chance(15);
        let is_failing = self.rng.chance(40);
        match action {
            Action::Stop => {
                let is_mine = |dial: &Dial| dial.owner == at && dial.introduction.offer == offer;
                for dial in self.dials.extract_if(.., |dial| is_mine(dial)) {
                    self.network.close(dial.stream);
                }
            }
            _ if is_silent => {}
            Action::Dial { way, addresses } if !is_failing => {
                let introduction = self.seeking[&(at, offer)].clone();
                let stream = self.network.dial(self.clients[at].ip, addresses[0], self.now);
                self.dials.push(Dial { owner: at, stream, way, introduction });
            }
            Action::Dial { way, .. } => session.way_failed(offer, way, ErrorCode::DialRefused, self.now),
            Action::Probe { way } => session.way_failed(offer, way, ErrorCode::NoFamily, self.now),
            Action::Relay => session.way_failed(offer, Way::Relay, ErrorCode::NoRoute, self.now),
            Action::Meet { .. } => panic!("nobody probes here"),
            Action::Tell(_) | Action::Fail(_) => panic!("the session does that itself"),
        }
    }

    fn answer_dials(&mut self) -> bool {
        let mut any = false;
        for dial in core::mem::take(&mut self.dials) {
            match self.network.poll_dialled(dial.stream, self.now) {
                None => self.dials.push(dial),
                Some(Dialled::Refused) => panic!("everybody listens"),
                Some(Dialled::Connected) => {
                    any = true;
                    let session = self.clients[dial.owner].end.session_mut();
                    if !session.linking(dial.introduction.offer, dial.way) {
                        self.network.close(dial.stream);
                        continue;
                    }
                    let Introduction { offer, ticket, purpose, peer, device, link_key, .. } =
                        dial.introduction;
                    let introduction = peer::Introduction { offer, ticket, purpose, peer, device };
                    let config = peer_config(&self.clients[dial.owner]);
                    let end = PeerEnd::new(Peer::dial(config, introduction, self.now), dial.stream);
                    self.linked += 1;
                    let mut link = LinkEnd::new(self.linked, end, dial.owner, Some(ticket), link_key);
                    link.dialled = Some((offer, dial.way));
                    self.links.push(link);
                }
            }
        }
        any
    }

    fn answer_links(&mut self) -> bool {
        let mut any = false;
        for at in 0..self.links.len() {
            for event in self.links[at].end.take_events() {
                any = true;
                let ticket = self.links[at].ticket;
                let is_other = |(other, link): &(usize, &LinkEnd)| *other != at && link.ticket == ticket;
                let other = self.links.iter().enumerate().find(is_other).map(|(_, link)| link.said());
                let owner = &mut self.clients[self.links[at].owner];
                let around = Around {
                    said: other.filter(|_| ticket.is_some()),
                    shares: &self.shares,
                    rng: &mut self.rng,
                    totals: &mut self.totals,
                    now: self.now,
                };
                self.links[at].handle(event, owner, around);
                if let Some(offer) = self.links[at].found.take() {
                    self.seeking.remove(&(self.links[at].owner, offer));
                }
            }
        }
        let before = self.links.len();
        // Both ends stay until both have ended: each is the other's model.
        let ended: BTreeSet<[u8; 32]> = self
            .links
            .iter()
            .filter(|link| !link.is_closed)
            .filter_map(|link| link.ticket.map(|ticket| ticket.0))
            .collect();
        self.links
            .retain(|link| !link.is_closed || link.ticket.is_some_and(|ticket| ended.contains(&ticket.0)));
        any || self.links.len() < before
    }

    fn check(&mut self) {
        let conns: Vec<_> = self.server.connections().collect();
        for (_, conn) in conns {
            let waiting = self.server.hub_mut().outgoing(conn).map_or(0, |queue| queue.len());
            // One batch or page past the bound, and the small frames between.
            let most = MAX_QUEUE + PAGE + 2 * 1024;
            assert!(waiting <= most, "{waiting} bytes wait for {conn}, at most {most} may");
        }
        self.check_places();
    }

    /// Chance has had its time: everything is repaired, everybody comes back, and all promises are due.
    fn come_to_rest(&mut self) {
        self.is_ending = true;
        if !self.server.is_up() {
            self.crash_or_restart();
        }
        self.server.log_mut().set_trouble(None);
        let streams: Vec<StreamId> = self.network.streams().collect();
        for stream in streams {
            self.network.set_slow(stream, false);
            // A cut that was to come does not.
            self.network.cut_after(stream, usize::MAX);
        }
        for client in &mut self.clients {
            client.end.session_mut().come_back(self.now);
        }
        let until = self.now + REST;
        while self.now < until && !self.is_at_rest() {
            self.clients.iter_mut().for_each(Client::look_around);
            self.pass(Duration::from_millis(500));
            if !self.server.is_up() {
                // What was still to come has come to the message at which it was to crash.
                self.crash_or_restart();
            }
        }
        // Every introduction ends, in a link or in a verdict, when its ticket does at the latest.
        self.pass(config().ticket_lifetime);
        assert!(self.seeking.is_empty(), "without an end: {:?}", self.seeking.keys());
        // A little longer, so that nothing comes late.
        self.pass(Duration::from_secs(2));
        for client in &self.clients {
            client.check_end(self.server.log());
            client.check_pictures(self.server.hub().router(), &mut self.totals);
        }
        self.check_log();
    }

    fn is_at_rest(&self) -> bool {
        self.clients.iter().all(|client| client.is_at_rest(self.server.log()))
    }

    /// The log itself: numbers without gap, every message once. In memory, both hold between two crashes.
    fn check_log(&self) {
        let log = self.server.log();
        let labels: Vec<Label> = log.rooms().map(|room| room.label).collect();
        let mut seen = BTreeSet::new();
        for label in &labels {
            let mut last = 0;
            for record in log.records(label) {
                let follows = if log.is_volatile() { record.seq > last } else { record.seq == last + 1 };
                assert!(follows, "{} after {last}", record.seq);
                last = record.seq;
                let is_kept = !log.is_volatile() || record.seq > log.forgotten(label);
                let key = (record.from.clone(), record.device, record.counter);
                assert!(!is_kept || seen.insert(key), "{record:?} twice");
            }
        }
    }
}

pub fn conditions(rng: &mut Rng) -> Conditions {
    Conditions {
        min_delay: Duration::from_millis(rng.below(10)),
        max_delay: Duration::from_millis(rng.below(150)),
        max_piece: *rng.choose(&[3, 50, 1000, 4096]).unwrap(),
        window: *rng.choose(&[200, 2000, 16_000]).unwrap(),
    }
}

pub fn config() -> Config {
    let note = |text| Note::new(text).unwrap();
    let mut config = Config::new(ServerId([7; 16]), note("sim"), note("none"), name("lobby"));
    config.limits.max_queue = MAX_QUEUE;
    config.limits.max_queue_hard = 64 * 1024;
    config.page_bytes = PAGE;
    config.page_messages = 3;
    config.recent_bytes = 2 * 1024;
    config.max_appends = 16;
    config.capabilities = Capabilities::NONE.with(Capability::Ways).with(Capability::Relay);
    config.max_relays = 4;
    config
}

fn peer_config(client: &Client) -> peer::Config {
    let mut config = peer::Config::new(client.user.clone(), client.device, Note::new("sim").unwrap());
    config.capabilities = Capabilities::NONE.with(Capability::Resume).with(Capability::Sources);
    config.low_water = 8 * 1024;
    config.max_unstored = 8 * 1024;
    config
}

pub fn name(text: &str) -> Name {
    Name::new(text).unwrap()
}
