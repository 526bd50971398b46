//! What holds for the whole server: administrators and the operator bar accounts and addresses, and declare lockdown;
//! and what is told of all that was done or is imposed.

use core::net::IpAddr;
use core::ops::Bound;

use alloc::borrow::ToOwned as _;
use alloc::boxed::Box;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use super::gate::{Gate, GateAction};
use super::house::{Imposed, Left, sentence};
use super::listing::{Listing, report_line};
use super::moderate::{NO_ROLES, Power, TOO_MANY};
use super::orders::{Asker, Pending, Refused, unknown};
use super::query::{Query, Wanted};
use super::rooms::pages;
use super::{AuditLine, ConnId, Holder, Hub, LogRequest, OrderId, QueryId};
use crate::Instant;
use crate::wire::{
    Action, Body as _, Capability, CloseReason, ErrorCode, FrameType, Govern, Governed, Inquire, Inquiry,
    List, MAX_AUDIT_LINES, Name, Network, Note, NoteRef, Report, RequestId, RoomId, Subject,
};

/// A change of the whole server that somebody wants.
#[derive(Debug)]
pub(super) struct Decree {
    /// `None` for the operator of the server.
    pub(super) asker: Option<Asker>,
    pub(super) action: Action,
    pub(super) subject: Option<Subject>,
    pub(super) seconds: u32,
    pub(super) note: Note,
}

impl Hub {
    /// What holds for the whole server, as the log has it; to be called before the first connection.
    pub fn set_gate(&mut self, gate: Gate) {
        self.gate = gate;
    }

    /// What holds for the whole server.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Bars somebody, lets them in again, or changes the lockdown, for the operator of the server;
    /// [`ordered`](Self::ordered) under this number answers. The program has looked whether there is such an account.
    ///
    /// # Errors
    /// Says what is in the way.
    pub fn govern_as_host(
        &mut self,
        action: Action,
        subject: Option<Subject>,
        seconds: u32,
        note: Note,
    ) -> Result<OrderId, (ErrorCode, &'static str)> {
        let decree = Decree { asker: None, action, subject, seconds, note };
        self.check_decree(&decree)?;
        Ok(self.store_decree(decree))
    }

    pub(super) fn on_govern(&mut self, id: ConnId, asked: &Govern<'_>) {
        let Some(asker) = self.asker(id, asked.request) else { return };
        let is_ban = asked.action == Action::Ban;
        let decree = Decree {
            asker: Some(asker),
            action: asked.action,
            subject: asked.subject.map(|subject| subject.to_owned()),
            seconds: if is_ban { asked.seconds } else { 0 },
            note: asked.note.to_owned(),
        };
        let allowed = if self.config.capabilities.has(Capability::Moderation) {
            self.check_decree(&decree)
        } else {
            Err(NO_ROLES)
        };
        let allowed = allowed.and_then(|()| if self.may_ask(id) { Ok(()) } else { Err(TOO_MANY) });
        if let Err(refused) = allowed {
            return self.refuse_decree(&decree, refused);
        }
        match &decree.subject {
            Some(Subject::User(name)) if is_ban && !self.people.contains_key(name) => {
                let name = name.clone();
                let query = self.ask(Query::Order(Wanted::Server(decree)));
                self.request(LogRequest::FindUser { id: query, name });
            }
            Some(_) | None => {
                self.store_decree(decree);
            }
        }
    }

    /// It is known now whether there is the account that is to be barred.
    pub(super) fn end_decree(&mut self, decree: Decree, holder: Option<Holder>) {
        match holder {
            Some(Holder::Person | Holder::Admin) => drop(self.store_decree(decree)),
            Some(Holder::Nobody) | None => {
                self.end_asking(decree.asker.as_ref());
                self.refuse_decree(&decree, unknown(holder));
            }
        }
    }

    fn store_decree(&mut self, decree: Decree) -> OrderId {
        let by = decree.asker.as_ref().map(|asker| asker.name.clone());
        let Decree { action, seconds, .. } = decree;
        let (subject, note) = (decree.subject.clone(), decree.note.clone());
        let id = self.begin_order(Pending::Server(decree));
        self.request(LogRequest::Govern { id, by, action, subject, seconds, note });
        id
    }

    fn check_decree(&mut self, decree: &Decree) -> Result<(), Refused> {
        let client = decree.asker.as_ref().and_then(|asker| self.clients.get(&asker.conn));
        if decree.asker.is_some() && !client.is_some_and(|client| client.is_admin) {
            return Err((ErrorCode::Forbidden, "only administrators of the server may do this"));
        }
        let Some(action) = GateAction::of(decree.action) else {
            return Err((ErrorCode::Forbidden, "this is done to a room, not to the server"));
        };
        match (action, &decree.subject) {
            (GateAction::Bar | GateAction::Unbar, None) => {
                Err((ErrorCode::NoSuchUser, "this needs an account, an address or a network"))
            }
            (GateAction::Bar, Some(Subject::Network(network))) if network.prefix() == 0 => {
                Err((ErrorCode::Forbidden, "this would be everybody: use lockdown"))
            }
            (GateAction::Bar, Some(subject)) => {
                let is_mine = match (subject, client) {
                    (Subject::Network(network), Some(client)) => network.contains(client.addr.ip()),
                    (Subject::User(name), Some(_)) => self.is_admin(name),
                    (Subject::Network(_) | Subject::User(_), None) => false,
                };
                if is_mine {
                    return Err((ErrorCode::Forbidden, "this would bar an administrator"));
                }
                if self.gate.count(self.now) >= self.config.max_bans {
                    return Err((ErrorCode::Busy, "the server keeps as many bans as it may"));
                }
                Ok(())
            }
            (GateAction::Unbar, Some(subject)) if !self.gate.holds(subject) => {
                Err((ErrorCode::NoSuchUser, "there is no such ban"))
            }
            (GateAction::Unbar, Some(_)) | (GateAction::Lock { .. } | GateAction::Unlock, _) => Ok(()),
        }
    }

    /// The decree is stored: from here on it holds, also for those who are here.
    pub(super) fn put_in_force(&mut self, decree: &Decree) {
        let Decree { asker, action, subject, seconds, note } = decree;
        self.gate.apply(*action, subject.as_ref(), *seconds, note, self.now);
        if *action == Action::Ban {
            self.throw_out();
        }
        let Some(Asker { conn, request, .. }) = asker else { return };
        let done = Governed {
            request: *request,
            action: *action,
            subject: subject.as_ref().map(Subject::borrow),
            seconds: *seconds,
            note: note.borrow(),
        };
        self.send(*conn, &done);
    }

    /// Ends the connections of everybody who is barred now.
    fn throw_out(&mut self) {
        let barred = |(id, client): (&ConnId, &alloc::boxed::Box<super::Client>)| {
            let user = client.user.as_ref().filter(|_| client.is_open());
            let by_name = user.and_then(|user| self.gate.bars_user(user, self.now));
            let (left, reason) = by_name.or_else(|| self.gate.bars_address(client.addr.ip(), self.now))?;
            Some((*id, sentence(BARRED, left, reason)))
        };
        let barred: Vec<_> = self.clients.iter().filter_map(barred).collect();
        for (id, note) in barred {
            self.turn_away(id, &note);
        }
    }

    /// Tells a connection that it is barred, and ends it.
    fn turn_away(&mut self, id: ConnId, note: &str) {
        if let Some(client) = self.clients.get_mut(&id).filter(|client| client.conn.closing().is_none()) {
            client.conn.send_error(ErrorCode::Barred, 0, 0, note);
            self.close(id, CloseReason::LoginRefused, note);
        }
    }

    /// Whether nobody may connect from `addr` at this time: a program that asks before the handshake saves all its work.
    #[must_use]
    pub fn bars_address(&self, addr: IpAddr, now: Instant) -> bool {
        self.gate.bars_address(addr, now).is_some()
    }

    pub(super) fn turn_away_if_barred(&mut self, id: ConnId, addr: IpAddr) {
        let barred = self.gate.bars_address(addr, self.now);
        if let Some(note) = barred.map(|(left, reason)| sentence(BARRED, left, reason)) {
            self.turn_away(id, &note);
        }
    }

    /// Why somebody who has proved who they are is not let in all the same.
    pub(super) fn bars_login(&self, user: &Name, is_admin: bool) -> Option<(ErrorCode, String)> {
        if let Some((left, reason)) = self.gate.bars_user(user, self.now) {
            return Some((ErrorCode::Barred, sentence(BARRED, left, reason)));
        }
        let lockdown = self.gate.lockdown().filter(|_| !is_admin)?;
        Some((ErrorCode::LockedDown, sentence(LOCKED, Left::Forever, &lockdown.reason)))
    }

    /// Why nobody but administrators may speak.
    pub(super) fn bars_speech(&self, id: ConnId) -> Option<String> {
        let lockdown = self.gate.lockdown().filter(|lockdown| lockdown.is_hushed)?;
        let is_admin = self.clients.get(&id).is_some_and(|client| client.is_admin);
        (!is_admin).then(|| sentence(HUSHED, Left::Forever, &lockdown.reason))
    }

    pub(super) fn refuse_decree(&mut self, decree: &Decree, (code, note): Refused) {
        if let Some(Asker { conn, request, .. }) = decree.asker {
            self.send_error(conn, code, &FrameType::Govern, request.into(), note);
        }
    }

    pub(super) fn on_inquire(&mut self, id: ConnId, asked: &Inquire<'_>) {
        let Some(asker) = self.asker(id, asked.request) else { return };
        let request = asked.request.into();
        if !self.config.capabilities.has(Capability::Moderation) {
            return self.send_error(id, NO_ROLES.0, asked, request, NO_ROLES.1);
        }
        let room = match asked.target.map(|target| self.find_room(&asker.name, target)) {
            None => None,
            Some(Some(room)) => Some(room),
            Some(None) => {
                return self.send_error(id, ErrorCode::NoSuchRoom, asked, request, "no such room");
            }
        };
        if !self.may_inquire(id, room) {
            let note = match room {
                Some(_) => "only operators of the room may ask this",
                None => "only administrators of the server may ask this",
            };
            return self.send_error(id, ErrorCode::Forbidden, asked, request, note);
        }
        match asked.about {
            Inquiry::Audit if self.may_ask(id) => {
                let query = self.ask(Query::Audit { conn: id, request: asked.request, room });
                let limit = asked.limit.clamp(1, MAX_AUDIT_LINES);
                self.request(LogRequest::Audit { id: query, room, before: asked.before, limit });
            }
            Inquiry::Audit => self.send_error(id, TOO_MANY.0, asked, request, TOO_MANY.1),
            Inquiry::Imposed => {
                self.begin_list(id, Listing::Imposed { request: asked.request, room, after: None });
            }
        }
    }

    /// Whether a connection may ask what was done in a room, or in the whole server. Asked again before it is told: it may
    /// have had to wait for the answer.
    pub(super) fn may_inquire(&self, id: ConnId, room: Option<RoomId>) -> bool {
        let Some((user, _)) = self.identity(id) else { return false };
        match room {
            Some(room) => self.power(room, &user) >= Power::Operator,
            None => self.clients.get(&id).is_some_and(|client| client.is_admin),
        }
    }

    /// Answers [`LogRequest::Audit`]; an error answers with `None`. `false` if the hub did not ask.
    pub fn audited(&mut self, id: QueryId, lines: Option<&[AuditLine]>) -> bool {
        let asked = self.take_query(id, |query| matches!(query, Query::Audit { .. }));
        let Some(Query::Audit { conn, request, room }) = asked else { return false };
        if let Some(client) = self.clients.get_mut(&conn) {
            client.requests = client.requests.saturating_sub(1);
        }
        match lines {
            Some(_) if !self.may_inquire(conn, room) => {
                let note = "you may not ask this any more";
                self.send_error(conn, ErrorCode::Forbidden, &FrameType::Inquire, request.into(), note);
            }
            Some(lines) => {
                let is_admin = self.clients.get(&conn).is_some_and(|client| client.is_admin);
                let lines = lines.iter().map(|line| shown_to(is_admin, line)).collect::<Vec<_>>();
                self.send_report(conn, request, &lines);
            }
            None => {
                let note = "the audit log could not be read";
                self.send_error(conn, ErrorCode::Internal, &FrameType::Inquire, request.into(), note);
            }
        }
        true
    }

    /// What is imposed in a room or on the whole server, in its order, behind one of the lines.
    pub(super) fn imposed<'a>(
        &'a self,
        room: Option<RoomId>,
        after: Option<&'a Place>,
    ) -> Box<dyn Iterator<Item = Holding<'a>> + 'a> {
        match room {
            Some(room) => Box::new(self.imposed_in(room, after)),
            None => Box::new(self.imposed_on_all(after)),
        }
    }

    fn imposed_on_all<'a>(&'a self, after: Option<&'a Place>) -> impl Iterator<Item = Holding<'a>> + 'a {
        let lockdown = self.gate.lockdown().filter(|_| after.is_none()).map(|lockdown| {
            let action = if lockdown.is_hushed { Action::Hush } else { Action::Lockdown };
            Holding { action, upon: Upon::Everybody, seconds: 0, reason: &lockdown.reason }
        });
        let after = after.and_then(|after| match after {
            Place::Barred(subject) => Some(subject),
            Place::Lockdown | Place::Ban(_) | Place::Network(_) | Place::Mute(_) => None,
        });
        let bans = self
            .gate
            .bans_behind(after)
            .filter_map(|(subject, ban)| Holding::of(Action::Ban, Upon::Subject(subject), ban, self.now));
        lockdown.into_iter().chain(bans)
    }

    fn imposed_in<'a>(
        &'a self,
        room: RoomId,
        after: Option<&'a Place>,
    ) -> impl Iterator<Item = Holding<'a>> + 'a {
        let (now, all) = (self.now, Bound::Unbounded);
        let (bans_from, networks_from, mutes_from) = match after {
            None | Some(Place::Lockdown | Place::Barred(_)) => (Some(all), Some(Bound::Unbounded), all),
            Some(Place::Ban(user)) => (Some(Bound::Excluded(user)), Some(Bound::Unbounded), all),
            Some(Place::Network(key)) => (None, Some(Bound::Excluded(key)), all),
            Some(Place::Mute(user)) => (None, None, Bound::Excluded(user)),
        };
        self.router.house(room).into_iter().flat_map(move |house| {
            let with_addresses = house.banned_with_addresses();
            let bans = bans_from.map(|from| house.bans.range::<Name, _>((from, Bound::Unbounded)));
            let bans = bans.into_iter().flatten().filter_map(move |(user, ban)| {
                let covers_more = with_addresses.contains(user);
                let action = if covers_more { Action::BanAddress } else { Action::Ban };
                Holding::of(action, Upon::Person(user), ban, now)
            });
            let networks = networks_from.map(|from| house.networks.range((from, Bound::Unbounded)));
            let networks = networks.into_iter().flatten().filter(|((_, with), _)| with.is_none());
            let networks = networks.filter_map(move |((network, _), ban)| {
                Holding::of(Action::BanNetwork, Upon::Network(*network), ban, now)
            });
            let mutes = house.mutes.range::<Name, _>((mutes_from, Bound::Unbounded));
            let mutes = mutes
                .filter_map(move |(user, mute)| Holding::of(Action::Mute, Upon::Person(user), mute, now));
            bans.chain(networks).chain(mutes)
        })
    }

    /// Something that holds, told as a line of the audit log is; `seconds` are left.
    pub(super) fn imposed_line(&self, room: Option<RoomId>, is_admin: bool, it: &Holding<'_>) -> AuditLine {
        let name = room.and_then(|room| self.router.info(room)).map_or("", |(label, ..)| label.shown());
        let subject = match &it.upon {
            Upon::Everybody => String::new(),
            Upon::Subject(subject) => subject.as_written(),
            Upon::Person(user) => user.as_str().to_owned(),
            // Operators of a room are not told addresses.
            Upon::Network(network) if is_admin => network.to_string(),
            Upon::Network(_) => String::new(),
        };
        AuditLine {
            number: 0,
            time: 0,
            room: NoteRef::truncated(name).to_owned(),
            by: NoteRef::EMPTY.to_owned(),
            action: it.action,
            subject: NoteRef::truncated(&subject).to_owned(),
            seconds: it.seconds,
            note: it.reason.clone(),
        }
    }

    fn send_report(&mut self, id: ConnId, request: RequestId, lines: &[AuditLine]) {
        let lines = lines.iter().map(report_line);
        let lines = lines.collect::<Vec<_>>();
        let about = Report { request, more: false, lines: List::new(&[]) };
        for (page, more) in pages(&lines, about.body_len(), self.frame_limit(id)) {
            self.send(id, &Report { request, more, lines: List::new(page) });
        }
    }
}

/// A line of what is imposed, by what it is about: the list goes on behind it.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The lockdown of the server.
    Lockdown,
    /// A ban of the server.
    Barred(Subject),
    /// A ban of a room.
    Ban(Name),
    /// A network's ban of a room.
    Network((Network, Option<Name>)),
    /// A mute.
    Mute(Name),
}

/// Something that holds now.
pub(super) struct Holding<'a> {
    action: Action,
    upon: Upon<'a>,
    /// How long still; 0 where there is no end.
    seconds: u32,
    reason: &'a Note,
}

enum Upon<'a> {
    Everybody,
    Subject(Subject),
    Person(&'a Name),
    Network(Network),
}

impl<'a> Holding<'a> {
    /// What is imposed, unless its time is over.
    fn of(action: Action, upon: Upon<'a>, imposed: &'a Imposed, now: Instant) -> Option<Self> {
        let seconds = imposed.left(now)?.as_seconds();
        Some(Self { action, upon, seconds, reason: &imposed.reason })
    }

    pub(super) fn place(&self) -> Place {
        match &self.upon {
            Upon::Everybody => Place::Lockdown,
            Upon::Subject(subject) => Place::Barred(subject.clone()),
            Upon::Person(user) if self.action == Action::Mute => Place::Mute((*user).clone()),
            Upon::Person(user) => Place::Ban((*user).clone()),
            Upon::Network(network) => Place::Network((*network, None)),
        }
    }
}

/// A line of the audit log as it is shown: only administrators are told addresses.
fn shown_to(is_admin: bool, line: &AuditLine) -> AuditLine {
    let is_address = matches!(line.action, Action::BanNetwork | Action::UnbanNetwork);
    let mut line = line.clone();
    if is_address && !is_admin {
        line.subject = NoteRef::EMPTY.to_owned();
    }
    line
}

const BARRED: &str = "you may not use this server";
const LOCKED: &str = "only administrators may log in";
const HUSHED: &str = "only administrators may speak";
