//! What the people of the [house](crate::house) hear, held against the model: every answer is right at some moment between the
//! question and its arrival, and nothing is told that the log does not have.

use std::collections::BTreeMap;

use chatproto::hub::Label;
use chatproto::session::{Decree, Event, LineInfo, MemberInfo, Order as Wanted, Refusal, RoomKey};
use chatproto::testing::Committed;
use chatproto::wire::{Action, ErrorCode, FrameType, Name, Rank, RequestId};

use crate::house::{House, Mark};
use crate::rules::{ROOT, Who};

/// What somebody asked for.
#[derive(Clone, Debug)]
pub enum Ask {
    Moderate {
        room: Name,
        wanted: Wanted,
    },
    Govern(Decree),
    Who(Name),
    /// The same when nothing changes any more, unless there is another crash than these.
    WhoInPeace(Name, u64),
    Rooms,
    History(Name),
    Audit(Name),
}

impl House {
    pub fn hear_members(&mut self) {
        for at in 0..self.members.len() {
            for event in self.members[at].client.end.take_events() {
                if is_crossed(&event) {
                    self.counts.add("left when thrown out");
                    continue;
                }
                if let Event::ServerError { code, .. } | Event::LoginFailed { code, .. } = event {
                    self.told_to_go(at, code);
                    continue;
                }
                self.hear(at, &event);
                let log = self.server.log();
                self.members[at].client.check(&event, log, &mut self.totals);
            }
        }
    }

    fn hear(&mut self, at: usize, event: &Event) {
        let user = self.members[at].client.user.clone();
        let ip = self.members[at].client.ip;
        let who = Who { user: &user, ip };
        match event {
            Event::Ready { .. } => self.members[at].ready = self.before,
            Event::Joined { room: RoomKey::Room(room), request, .. } => {
                let from = self.asked(at, *request);
                let may = self.holds_since(from, |order, now| {
                    order.rooms.get(room).is_none_or(|room| room.may_be(who, now).is_ok())
                });
                assert!(may, "{who:?} entered {room:?}");
                let house = self.order_now().rooms.get(room);
                let was_banned = house.is_some_and(|house| house.bans.contains_key(&user));
                self.counts.add(if was_banned { "entered after a ban" } else { "entered" });
            }
            Event::JoinRefused { room: RoomKey::Room(room), request, refusal } => {
                let from = self.asked(at, *request);
                let Some(code) = refusal.code() else { return };
                let is_right = self.holds_since(from, |order, now| {
                    order.rooms.get(room).is_some_and(|room| room.may_be(who, now) == Err(code))
                });
                assert!(is_right, "{who:?} did not enter {room:?}: {code:?}");
                self.counts.add(&format!("join refused: {code:?}"));
            }
            // A conversation that could not be stored is gone.
            Event::Left { code: Some(ErrorCode::NotStored | ErrorCode::Busy), .. } => {
                assert!(self.troubled.is_some(), "{event:?}");
                self.counts.add("could not be made");
            }
            Event::Left { room, code: Some(code) } => self.thrown_out(at, room, *code),
            Event::SayRefused { code: ErrorCode::NotStored, .. } => {
                assert!(self.troubled.is_some(), "{event:?}");
                self.counts.add("say refused: NotStored");
            }
            Event::SayRefused { target: RoomKey::Room(room), code, .. } => {
                let start = Mark { changes: 0, at: self.now };
                let is_right = self.holds_since(start, |order, now| {
                    let Some(house) = order.rooms.get(room) else { return false };
                    match code {
                        ErrorCode::Muted => house.mutes.contains_key(&user),
                        ErrorCode::SlowMode => house.is_slow_for(&user),
                        ErrorCode::LockedDown => order.is_hushed_for(&user),
                        ErrorCode::NoSuchRoom => house.may_be(who, now) == Err(*code),
                        ErrorCode::NotMember => true,
                        _ => false,
                    }
                });
                assert!(is_right, "{who:?} may not speak in {room:?}: {code:?}");
                self.counts.add(&format!("say refused: {code:?}"));
            }
            Event::SayRefused { target, code, .. } => {
                assert_eq!(*code, ErrorCode::LockedDown, "{target}");
            }
            // The present topic, told to who has missed news.
            Event::Moderated { by: None, action: Action::Topic, .. } => {}
            Event::Moderated { room, note, request, .. } => {
                let known = self.notes.get(note.as_str()).copied();
                let (change, _) = known.expect("told, and not in the log");
                self.members[at].heard.insert(room.clone(), change);
                if let Some(request) = request {
                    self.done(at, *request, event);
                }
            }
            Event::Governed { request, note, .. } => {
                assert!(self.notes.contains_key(note.as_str()), "told, and not in the log");
                self.done(at, *request, event);
            }
            Event::Refused { request, refusal } => self.refused(at, *request, refusal),
            Event::Members { request: Some(request), members, more: false, .. } => {
                let (ask, from) = self.members[at].asks.remove(request).expect("it was asked");
                self.members_are(&ask, from, who, members);
            }
            Event::RoomList { request, rooms, more: false } => {
                let (_, from) = self.members[at].asks.remove(request).expect("it was asked");
                let shown: Vec<&Name> = rooms.iter().map(|room| &room.name).collect();
                let is_right = self.holds_since(from, |order, _| {
                    let theirs = order.rooms.iter().filter(|(_, room)| room.is_shown(&user));
                    theirs.map(|(name, _)| name).eq(shown.iter().copied())
                });
                assert!(is_right, "{who:?} sees {shown:?}");
                self.counts.add("rooms");
            }
            Event::Page { request, more: false, .. } => {
                let (ask, from) = self.members[at].asks.remove(request).expect("it was asked");
                let Ask::History(room) = ask else { panic!("{ask:?} is no history") };
                let is_right = self.holds_since(from, |order, _| order.rooms[&room].is_shown(&user));
                assert!(is_right, "{who:?} reads {room:?}");
                self.counts.add("history");
            }
            Event::Report { request, lines, more } => {
                assert!(!more, "a few lines are one page");
                let (ask, from) = self.members[at].asks.remove(request).expect("it was asked");
                let Ask::Audit(room) = ask else { panic!("{ask:?} is no audit") };
                let may = self.holds_since(from, |order, _| order.rooms[&room].may_inquire(&user).is_ok());
                assert!(may, "{who:?} reads the audit log of {room:?}");
                self.audit_is(&room, from, lines);
                self.counts.add("audit");
            }
            _ => {}
        }
    }

    /// From when on the answer to a join can be right. Who was let in again enters all rooms without being asked.
    fn asked(&mut self, at: usize, request: Option<RequestId>) -> Mark {
        let member = &mut self.members[at];
        let join = request.and_then(|request| member.joins.remove(&request));
        join.map_or(member.ready, |(_, mark)| mark)
    }

    /// Whoever is told that they are barred, or locked out, was.
    fn told_to_go(&mut self, at: usize, code: ErrorCode) {
        let member = &self.members[at];
        let who = Who { user: &member.client.user, ip: member.client.ip };
        let is_right = self.states.iter().any(|order| match code {
            ErrorCode::Barred => order.names(who),
            ErrorCode::LockedDown => order.is_locked() && who.user.as_str() != ROOT,
            _ => false,
        });
        assert!(is_right, "{who:?} is sent away: {code:?}");
        self.counts.add(&format!("told to go: {code:?}"));
    }

    /// Whoever is removed has seen nothing that was said after that was stored.
    fn thrown_out(&mut self, at: usize, room: &RoomKey, code: ErrorCode) {
        let member = &mut self.members[at];
        let change = member.heard.get(room).expect("they hear why before they hear that they are out");
        let (_, last) = self.notes.values().find(|(known, _)| known == change).expect("it is in the log");
        let next = member.client.next(room).expect("they were in it");
        // A log in memory leaves numbers out when it crashes, and tells of that gap.
        let is_right = next <= last + 1 || self.server.log().is_volatile();
        assert!(is_right, "saw up to {next} of {room}, and was out after {last}");
        self.counts.add(&format!("thrown out: {code:?}"));
    }

    /// Something that somebody wanted is done: they had the right, and the log has exactly that.
    fn done(&mut self, at: usize, request: RequestId, event: &Event) {
        let member = &self.members[at];
        let who = Who { user: &member.client.user, ip: member.client.ip };
        let (ask, from) = member.asks.get(&request).cloned().expect("it was asked");
        let (may, action, note) = match (&ask, event) {
            (Ask::Moderate { room, wanted }, Event::Moderated { action, user, seconds, note, .. }) => {
                let Wanted { action: asked, user: whom, seconds: long, note: why } = wanted;
                assert_eq!((action, user, seconds, note), (asked, whom, long, why));
                let may = self.holds_since(from, |order, _| {
                    order.may_moderate(room, who.user, *action, whom.as_ref()).is_ok()
                });
                (may, *action, note)
            }
            (Ask::Govern(decree), Event::Governed { action, subject, seconds, note, .. }) => {
                let Decree { action: asked, subject: whom, seconds: long, note: why } = decree;
                assert_eq!((action, subject, seconds, note), (asked, whom, long, why));
                let may = self.holds_since(from, |order, now| {
                    let may = order.may_govern(who, *action, whom.as_ref(), now);
                    may.is_ok()
                        || (*action == Action::Unban && order.barred().any(|it| Some(it) == whom.as_ref()))
                });
                (may, *action, note)
            }
            (ask, event) => panic!("{event:?} answers {ask:?}"),
        };
        assert!(may, "{who:?} had no right to {ask:?}");
        let lines = self.server.log().journal().iter().filter_map(|entry| match entry {
            Committed::Change(change) if change.line.note == *note => Some(change),
            _ => None,
        });
        let [change] = lines.collect::<Vec<_>>()[..] else { panic!("{ask:?} is not in the log once") };
        assert_eq!((change.line.by.as_str(), change.line.action), (who.user.as_str(), action));
        let where_to = if matches!(ask, Ask::Govern(_)) { "server" } else { "room" };
        self.counts.add(&format!("{where_to}: {action:?}"));
        self.members[at].asks.remove(&request);
    }

    /// Something was refused: rightly, and for good.
    fn refused(&mut self, at: usize, request: RequestId, refusal: &Refusal) {
        let Some((ask, from)) = self.members[at].asks.remove(&request) else { return };
        // Whether it was done is known to the log alone.
        let Some(code) = refusal.code() else { return };
        let user = self.members[at].client.user.clone();
        let who = Who { user: &user, ip: self.members[at].client.ip };
        let is_of_log = matches!(code, ErrorCode::Busy | ErrorCode::NotStored) && self.was_troubled(from);
        let is_right = is_of_log
            || self.holds_since(from, |order, now| {
                let told = match &ask {
                    Ask::Moderate { room, wanted } => {
                        order.may_moderate(room, who.user, wanted.action, wanted.user.as_ref())
                    }
                    Ask::Govern(decree) => order.may_govern(who, decree.action, decree.subject.as_ref(), now),
                    Ask::Audit(room) => order.rooms[room].may_inquire(who.user),
                    // Who is not there may not read it; and retention may have left nothing to read.
                    Ask::History(_) if matches!(code, ErrorCode::NotMember | ErrorCode::Gone) => Err(code),
                    Ask::Who(room) | Ask::WhoInPeace(room, _) | Ask::History(room) => {
                        order.rooms[room].is_shown(who.user).then_some(()).ok_or(ErrorCode::NoSuchRoom)
                    }
                    Ask::Rooms => Ok(()),
                };
                told == Err(code)
            });
        assert!(is_right, "{who:?} was refused {ask:?}: {code:?}");
        if let Ask::Moderate { wanted: Wanted { note, .. }, .. } | Ask::Govern(Decree { note, .. }) = &ask {
            assert!(!self.notes.contains_key(note.as_str()), "{ask:?} was refused, and is in the log");
            self.refused.insert(note.as_str().to_owned());
        }
        self.counts.add(&format!("refused: {code:?}"));
    }

    /// Who is in a room, and what they are there.
    fn members_are(&mut self, ask: &Ask, from: Mark, who: Who<'_>, members: &[MemberInfo]) {
        let (Ask::Who(room) | Ask::WhoInPeace(room, _)) = ask else { panic!("{ask:?} is no who") };
        let is_right = self.holds_since(from, |order, _| {
            let house = &order.rooms[room];
            house.is_shown(who.user) && members.iter().all(|it| house.rank(&it.user) == it.rank)
        });
        assert!(is_right, "{who:?} is told {members:?} of {room:?}");
        self.counts.add("who");
        for rank in [Rank::Member, Rank::Operator, Rank::Owner] {
            if members.iter().any(|it| it.rank == rank) {
                self.counts.add(&format!("who: {rank:?}"));
            }
        }
        if matches!(ask, Ask::WhoInPeace(_, crashes) if *crashes == self.totals.crashes) {
            let mut there = BTreeMap::<Name, u16>::new();
            for member in &self.members {
                if member.client.end.session().joined().any(|it| *it == RoomKey::Room(room.clone())) {
                    *there.entry(member.client.user.clone()).or_default() += 1;
                }
            }
            let told = members.iter().map(|it| (it.user.clone(), it.devices)).collect::<BTreeMap<_, _>>();
            assert_eq!(told, there, "who is in {room:?}");
        }
    }

    /// What somebody is told of the audit log is its end, at some moment since they asked.
    fn audit_is(&self, room: &Name, from: Mark, told: &[LineInfo]) {
        let label = Label::Group(room.clone());
        let of_room = |entry: &&Committed| match entry {
            Committed::Change(change) => change.room.as_ref() == Some(&label),
            _ => false,
        };
        let changes = |entry: &&Committed| matches!(entry, Committed::Room { .. } | Committed::Change(_));
        let log: Vec<&Committed> = self.server.log().journal().iter().filter(changes).collect();
        let is_right = (from.changes..self.states.len()).any(|count| {
            let newest = log[..count].iter().rev().copied().filter(of_room).take(4);
            newest
                .map(|entry| match entry {
                    Committed::Change(change) => {
                        (change.line.number, change.line.note.as_str(), change.line.by.as_str())
                    }
                    _ => unreachable!("they were filtered"),
                })
                .eq(told.iter().map(|line| (line.number, line.note.as_str(), line.by.as_str())))
        });
        assert!(is_right, "told {told:?} of {room:?}");
    }
}

/// Whether somebody left a room in the moment in which they were thrown out of it.
fn is_crossed(event: &Event) -> bool {
    let about_leave = Some(FrameType::Leave);
    matches!(event, Event::ServerError { code: ErrorCode::NotMember, about, .. } if *about == about_leave)
}
