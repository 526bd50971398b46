//! What the people of the [house](crate::house) do: talk, come and go, and keep order, most of it by right.

use chatproto::hub::RoomOrder;
use chatproto::session::{Decree, Order as Wanted, RoomKey, State};
use chatproto::wire::*;

use crate::answers::Ask;
use crate::house::{House, MAX_SECONDS, PEOPLE};
use crate::rules::LOBBY;
use crate::world::name;

/// Attempts to find something to order that is legal, or illegal, as chance wants it.
const MAX_TRIES: u32 = 24;

impl House {
    pub fn any_room(&mut self) -> Name {
        name(self.rng.choose(&[LOBBY, "tea", "den", "attic"]).unwrap())
    }

    /// Whether the program is to try again: whoever was refused at the door comes back when somebody asks for it.
    pub fn is_stopped(&self, at: usize) -> bool {
        self.members[at].client.end.session().state() == State::Stopped
    }

    pub fn knock(&mut self, at: usize) {
        self.members[at].client.end.session_mut().reconnect_now(self.now);
    }

    pub fn say(&mut self, at: usize, target: RoomKey) {
        if self.is_stopped(at) {
            return;
        }
        let words = "x".repeat(self.rng.index(200));
        self.members[at].client.say(target, &words);
    }

    pub fn say_in(&mut self, at: usize, room: &Name) {
        self.say(at, RoomKey::Room(room.clone()));
    }

    pub fn join(&mut self, at: usize, room: Name) {
        if self.is_stopped(at) {
            return;
        }
        let mark = self.mark();
        let member = &mut self.members[at];
        let room = RoomKey::Room(room);
        let request = member.client.end.session_mut().join(room.clone()).unwrap();
        member.joins.entry(request).or_insert((room, mark));
    }

    pub fn cut(&mut self, at: usize) {
        if let Some(stream) = self.members[at].client.end.stream() {
            let bytes = self.rng.index(300);
            self.network.cut_after(stream, bytes);
        }
    }

    pub fn restart(&mut self, at: usize) {
        let member = &mut self.members[at];
        member.client.restart(self.now);
        member.asks.clear();
        member.joins.clear();
        member.heard.clear();
    }

    /// Somebody orders something, mostly by right.
    pub fn moderate(&mut self) {
        const ACTIONS: [(Action, u64); 14] = [
            (Action::Kick, 14),
            (Action::Mute, 14),
            (Action::Unmute, 6),
            (Action::Ban, 10),
            (Action::BanAddress, 5),
            (Action::Unban, 6),
            (Action::Invite, 12),
            (Action::Op, 9),
            (Action::Deop, 4),
            (Action::Private, 5),
            (Action::Public, 6),
            (Action::Topic, 7),
            (Action::Slow, 6),
            (Action::Owner, 4),
        ];
        let is_legal = self.rng.chance(82);
        for _ in 0..MAX_TRIES {
            let mut left = self.rng.below(ACTIONS.iter().map(|(_, weight)| weight).sum());
            let falls = |(_, weight): &&(Action, u64)| {
                let is_here = left < *weight;
                left = left.saturating_sub(*weight);
                is_here
            };
            let action = ACTIONS.iter().find(falls).unwrap().0;
            let (by, room) = (self.rng.index(PEOPLE.len()), self.any_room());
            let user = name(self.rng.choose(&PEOPLE).unwrap());
            let allowed = self.order_now().may_moderate(&room, self.user(by), action, Some(&user));
            if self.is_ready(by) && allowed.is_ok() == is_legal {
                let seconds = match action {
                    Action::Slow => self.rng.below(3) as u32,
                    _ if self.rng.chance(80) => 1 + self.rng.below(MAX_SECONDS) as u32,
                    _ => 0,
                };
                self.order(by, &room, action, Some(user), seconds);
                return;
            }
        }
    }

    pub fn user(&self, at: usize) -> &Name {
        &self.members[at].client.user
    }

    /// A note that nobody has used.
    pub fn note(&mut self) -> Note {
        self.orders += 1;
        Note::new(&format!("order {}", self.orders)).unwrap()
    }

    /// Sends an order to the server. `false` if too many are open.
    pub fn order(
        &mut self,
        by: usize,
        room: &Name,
        action: Action,
        user: Option<Name>,
        seconds: u32,
    ) -> bool {
        let has_time = matches!(action, Action::Slow | Action::Mute | Action::Ban | Action::BanAddress);
        let is_about = !matches!(action, Action::Topic | Action::Slow | Action::Private | Action::Public);
        let seconds = if has_time { seconds } else { 0 };
        let wanted = Wanted { action, user: user.filter(|_| is_about), seconds, note: self.note() };
        let mark = self.mark();
        let member = &mut self.members[by];
        let asked = member.client.end.session_mut().moderate(&RoomKey::Room(room.clone()), &wanted);
        let Ok(request) = asked else { return false };
        member.asks.insert(request, (Ask::Moderate { room: room.clone(), wanted }, mark));
        true
    }

    /// The administrator bars somebody or locks the server, or somebody else tries to.
    pub fn govern(&mut self) {
        let by = if self.rng.chance(85) { 0 } else { self.rng.index(PEOPLE.len()) };
        let barred: Vec<Subject> = self.order_now().barred().cloned().collect();
        let action = match self.rng.below(10) {
            0..5 => Action::Ban,
            5 if !self.order_now().is_locked() => Action::Lockdown,
            6 if !self.order_now().is_locked() => Action::Hush,
            _ if self.order_now().is_locked() => Action::Unlock,
            _ => Action::Unban,
        };
        let at = self.rng.index(PEOPLE.len());
        let subject = match action {
            Action::Ban if self.rng.chance(50) => Some(Subject::User(self.user(at).clone())),
            Action::Ban => Some(Subject::Network(Network::of(self.members[at].client.ip))),
            Action::Unban => Some(self.rng.choose(&barred).cloned().unwrap_or(Subject::User(name("bob")))),
            _ => None,
        };
        let seconds = if action == Action::Ban { 1 + self.rng.below(MAX_SECONDS) as u32 } else { 0 };
        let decree = Decree { action, subject, seconds, note: self.note() };
        let mark = self.mark();
        let member = &mut self.members[by];
        if let Ok(request) = member.client.end.session_mut().govern(&decree) {
            member.asks.insert(request, (Ask::Govern(decree), mark));
        }
    }

    /// The operator of the server bans an address from a room, lifts that, or ends the lockdown.
    pub fn host(&mut self) {
        if !self.server.is_up() {
            return;
        }
        let (room, at, note) = (self.any_room(), self.rng.index(PEOPLE.len()), self.note());
        let hub = self.server.hub_mut();
        if self.states.last().unwrap().is_locked() {
            hub.govern_as_host(Action::Unlock, None, 0, note).unwrap();
            return;
        }
        let network = Some(Network::of(self.members[at].client.ip));
        let (action, seconds) = match self.rng.below(3) {
            0 => (Action::UnbanNetwork, 0),
            _ => (Action::BanNetwork, 1 + self.rng.below(MAX_SECONDS) as u32),
        };
        // There may be nothing to lift.
        let _ = hub.moderate_as_host(RoomOrder { room, action, user: None, network, seconds, note });
    }

    /// Somebody asks what is there.
    pub fn inquire(&mut self, at: usize) {
        let room = self.any_room();
        let (mark, kind) = (self.mark(), self.rng.below(5));
        let member = &mut self.members[at];
        let session = member.client.end.session_mut();
        let key = RoomKey::Room(room.clone());
        let (ask, request) = match kind {
            0..2 => (Ask::Who(room), session.who(&key)),
            2 => (Ask::Rooms, session.rooms()),
            3 => (Ask::History(room), session.history(&key, Anchor::Before, 0, 5)),
            _ => (Ask::Audit(room), session.inquire(Some(&key), Inquiry::Audit, 0, 4)),
        };
        if let Ok(request) = request {
            member.asks.insert(request, (ask, mark));
        }
    }
}
