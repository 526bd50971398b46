//! What the program of a session must have been told, given what its server sent: a model that knows the protocol and nothing
//! of the machine.

use std::collections::{BTreeMap, BTreeSet};

use chatproto::session::{ChatMessage, Event, LineInfo, LostReason, MemberInfo, Refusal, RoomInfo, RoomKey};
use chatproto::session::{Introduction, Restored};
use chatproto::wire::*;

/// Times in a row that a room is asked for again because numbers are missing.
const MAX_RESTARTS: u8 = 3;

/// What a frame must bring.
#[derive(Debug)]
pub enum Due {
    /// These events, and the session goes on.
    Events(Vec<Event>),
    /// These events, unless a bound is met, which ends the connection.
    EventsOrEnd(Vec<Event>),
    /// An introduction under this offer to this person.
    Introduction(OfferId, Name),
    /// The server broke the rules.
    Breach,
    /// Something that the model does not follow.
    Unknown,
}

/// What was asked for under a number.
#[derive(Debug, Clone, PartialEq)]
pub enum Asked {
    Rooms,
    Who(RoomKey),
    History(RoomKey),
    Search,
    Create,
    Moderate(RoomKey),
    Govern,
    Inquire,
    Reach,
    Peer(Purpose),
}

#[derive(Debug, Clone, Default)]
struct Place {
    /// The last number that was told.
    cursor: Option<u64>,
    /// Messages of others that were missed, since the last time that everything was caught up.
    missed: u64,
    restarts: u8,
    is_leaving: bool,
}

#[derive(Debug, Clone)]
struct Offer {
    from: Name,
    device: DeviceId,
    purpose: Purpose,
    is_accepted: bool,
}

/// The model.
#[derive(Debug, Default)]
pub struct Heard {
    device: DeviceId,
    max_offers: usize,
    /// Nothing is known of this connection any more.
    is_blind: bool,
    rooms: BTreeMap<RoomId, RoomKey>,
    places: BTreeMap<RoomKey, Place>,
    /// Rooms that were left while they were being entered, or the other way round: not followed on this connection.
    lax: BTreeSet<RoomKey>,
    /// Joins on their way.
    joins: BTreeMap<RequestId, RoomKey>,
    /// Those of them that the program waits for.
    waited: BTreeSet<RequestId>,
    says: BTreeMap<u64, RoomKey>,
    /// Those that are on their way.
    sent: BTreeSet<u64>,
    requests: BTreeMap<RequestId, Asked>,
    offers: BTreeMap<OfferId, Offer>,
    introduced: Vec<Introduction>,
}

impl Heard {
    pub fn new(device: DeviceId, max_offers: usize) -> Self {
        Self { device, max_offers, ..Self::default() }
    }

    /// From here on the stream is not what the model thinks.
    pub fn go_blind(&mut self) {
        self.is_blind = true;
    }

    /// The program said something.
    pub fn said(&mut self, counter: u64, target: RoomKey) {
        assert!(self.says.insert(counter, target).is_none(), "the number {counter} was given twice");
    }

    /// The program asked for something.
    pub fn asked(&mut self, request: RequestId, what: Asked) {
        assert!(self.requests.insert(request, what).is_none(), "{request:?} was given twice");
    }

    /// The program wants to be in a room.
    pub fn wanted(&mut self, request: RequestId, room: RoomKey) {
        if self.places.entry(room.clone()).or_default().is_leaving {
            self.lax.insert(room);
        }
        self.waited.insert(request);
    }

    /// The program wants to leave a room.
    pub fn parted(&mut self, room: &RoomKey) {
        let is_simple = self.is_in(room) && !self.is_joining(room);
        match self.places.get_mut(room).filter(|place| is_simple && !place.is_leaving) {
            Some(place) => place.is_leaving = true,
            None => _ = self.lax.insert(room.clone()),
        }
    }

    /// The program answered an offer.
    pub fn answered(&mut self, offer: OfferId, yes: bool) {
        if self.is_blind {
            return;
        }
        if yes {
            self.offers.get_mut(&offer).expect("it was offered").is_accepted = true;
        } else {
            assert!(self.offers.remove(&offer).is_some_and(|offer| !offer.is_accepted));
        }
    }

    /// Somebody who connected was taken for the person of an introduction.
    pub fn admitted(&mut self, ticket: &LinkTicket, key: LinkKey, user: &Name, device: DeviceId) {
        if self.is_blind {
            return;
        }
        let is_it = |it: &Introduction| {
            it.ticket == *ticket && it.link_key == key && it.peer == *user && it.device == device
        };
        let at = self.introduced.iter().position(is_it).expect("nobody like that was introduced");
        self.introduced.remove(at);
    }

    /// The session sent something.
    pub fn sent(&mut self, raw: RawFrame<'_>) {
        match ToServer::decode(raw) {
            Ok(Some(ToServer::Join(join))) => {
                let key = match join.target {
                    Target::Room(name) => Some(RoomKey::Room(name.to_owned())),
                    Target::User(name) => Some(RoomKey::User(name.to_owned())),
                    Target::Id(room) => self.rooms.get(&room).cloned(),
                };
                if let Some(key) = key {
                    self.joins.insert(join.request, key);
                } else {
                    self.is_blind = true;
                }
            }
            Ok(Some(ToServer::Say(say))) => {
                let is_new = self.sent.insert(say.counter);
                assert!(is_new, "{} was sent twice on one connection", say.counter);
            }
            Ok(_) | Err(_) => {}
        }
    }

    fn is_in(&self, key: &RoomKey) -> bool {
        self.rooms.values().any(|other| other == key)
    }

    fn is_joining(&self, key: &RoomKey) -> bool {
        self.joins.values().any(|other| other == key)
    }

    /// The room of a frame that comes only for rooms that one is in; an error says what is due instead.
    fn place(&mut self, room: RoomId) -> Result<(RoomKey, bool, &mut Place), Due> {
        let key = self.rooms.get(&room).cloned().ok_or(Due::Breach)?;
        if self.lax.contains(&key) {
            return Err(Due::Unknown);
        }
        let is_joining = self.is_joining(&key);
        let place = self.places.get_mut(&key).expect("whoever is in a room is somewhere in it");
        Ok((key, is_joining, place))
    }

    /// What the frame must bring, if everything before it has been told and all that was sent has been seen.
    pub fn due(&mut self, frame: &ToClient<'_>) -> Due {
        if self.is_blind {
            return Due::Unknown;
        }
        self.due_of(frame).unwrap_or_else(|due| due)
    }

    fn due_of(&mut self, frame: &ToClient<'_>) -> Result<Due, Due> {
        let events = |events: Vec<Event>| Ok(Due::Events(events));
        match frame {
            ToClient::Ping(_) | ToClient::Pong(_) => events(Vec::new()),
            ToClient::ServerKey(key) => events(vec![Event::ServerKey { fingerprint: key.fingerprint }]),
            ToClient::Messages(messages) => {
                let own = self.device;
                let mut told = Vec::new();
                for it in messages.iter() {
                    let (room, is_joining, place) = self.place(it.room)?;
                    let cursor = place.cursor.unwrap_or_default();
                    if place.is_leaving || it.seq <= cursor {
                        continue;
                    }
                    if it.seq - cursor > 1 {
                        // Then it is the first of the frame, and the others are beyond the cursor too.
                        assert!(told.is_empty(), "numbers of a frame follow one another");
                        return place.skip(is_joining);
                    }
                    *place = Place { cursor: Some(it.seq), restarts: 0, ..*place };
                    let missed = it.flags & MESSAGE_MISSED != 0;
                    place.missed += u64::from(missed && it.device != own);
                    let (from, text) = (it.from.to_owned(), it.text.to_owned());
                    let Message { seq, time, device, counter, .. } = it;
                    let message = ChatMessage { room, seq, time, from, device, counter, text };
                    told.push(Event::Message { message, missed });
                }
                events(told)
            }
            ToClient::Gap(it) if it.to < it.from => Err(Due::Breach),
            ToClient::Gap(it) => {
                let (room, is_joining, place) = self.place(it.room)?;
                let cursor = place.cursor.unwrap_or_default();
                if place.is_leaving || it.to <= cursor {
                    return events(Vec::new());
                }
                if it.from > cursor.saturating_add(1) {
                    return place.skip(is_joining);
                }
                *place = Place { cursor: Some(it.to), restarts: 0, ..*place };
                events(vec![Event::Gap { room, from: cursor + 1, to: it.to }])
            }
            ToClient::CaughtUp(it) => {
                let (room, is_joining, place) = self.place(it.room)?;
                if place.is_leaving || is_joining {
                    return events(Vec::new());
                }
                if it.seq > place.cursor.unwrap_or_default() {
                    return place.skip(is_joining);
                }
                events(vec![Event::CaughtUp { room, missed: core::mem::take(&mut place.missed) }])
            }
            ToClient::Left(it) => {
                let (room, is_joining, _) = self.place(it.room)?;
                if is_joining {
                    self.lax.insert(room.clone());
                    return Err(Due::Unknown);
                }
                events(vec![Event::Left { room, code: it.code }])
            }
            ToClient::Presence(it) => {
                let (room, ..) = self.place(it.room)?;
                let (user, device, change) = (it.user.to_owned(), it.device, it.change);
                events(vec![Event::Presence { room, user, device, change }])
            }
            ToClient::Invited(it) => {
                let room = RoomKey::Room(it.name.to_owned());
                events(vec![Event::Invited { room, by: it.by.map(|by| by.to_owned()) }])
            }
            ToClient::Joined(it) => self.due_of_joined(it),
            ToClient::Posted(it) => {
                let Some(target) = self.says.get(&it.counter) else { return events(Vec::new()) };
                let room = self.rooms.get(&it.room).unwrap_or(target).clone();
                let Posted { counter, seq, time, .. } = *it;
                events(vec![Event::Posted { counter, room, seq, time }])
            }
            ToClient::Error(it) => self.due_of_error(it),
            ToClient::PeerOffer(it) if self.offers.len() >= self.max_offers => {
                let _ = it;
                events(Vec::new())
            }
            // It brings a time, which the model does not count.
            ToClient::PeerOffer(_) => Err(Due::Unknown),
            ToClient::PeerIntroduce(it) => self.due_of_introduction(it),
            ToClient::RoomList(_)
            | ToClient::Members(_)
            | ToClient::MessagePage(_)
            | ToClient::Report(_)
            | ToClient::Governed(_)
            | ToClient::Moderated(_)
            | ToClient::Reached(_) => self.due_of_answer(frame),
            // Hellos and logins out of place.
            ToClient::ServerHello(_) | ToClient::LoginChallenge(_) | ToClient::LoginOk(_) => Err(Due::Breach),
            _ => Err(Due::Unknown),
        }
    }

    fn due_of_joined(&mut self, it: &Joined<'_>) -> Result<Due, Due> {
        let key = match it.kind {
            RoomKind::Group => RoomKey::Room(it.name.to_owned()),
            RoomKind::Direct => RoomKey::User(it.name.to_owned()),
            RoomKind::Former => return self.lose_track(),
        };
        let is_unasked = it.request == RequestId(0);
        if self.rooms.get(&it.room).is_some_and(|other| *other != key) {
            return Err(Due::Breach);
        }
        if self.requests.get(&it.request) == Some(&Asked::Create) || self.lax.contains(&key) {
            return self.lose_track();
        }
        let asked = self.joins.remove(&it.request);
        if !is_unasked && asked.is_none() {
            return Err(Due::Breach);
        }
        if asked.is_some_and(|asked| asked != key) || self.places.get(&key).is_some_and(|it| it.is_leaving) {
            // The room goes by another name than it was asked for.
            return self.lose_track();
        }
        let (was_in, is_waited) = (self.is_in(&key), self.waited.contains(&it.request));
        let place = self.places.entry(key.clone()).or_default();
        let offered = it.cursor.min(it.last);
        let seen = place.cursor.filter(|seen| *seen <= it.last).unwrap_or(offered);
        place.cursor = Some(seen.max(offered));
        let mut told = Vec::new();
        if !was_in || is_waited {
            let request = is_waited.then_some(it.request);
            let (topic, last) = (it.topic.to_owned(), it.last);
            told.push(Event::Joined { room: key.clone(), id: it.room, topic, last, request });
        }
        if offered > seen {
            told.push(Event::Gap { room: key.clone(), from: seen + 1, to: offered });
        }
        self.rooms.retain(|_, other| *other != key);
        self.rooms.insert(it.room, key);
        Ok(if is_unasked { Due::EventsOrEnd(told) } else { Due::Events(told) })
    }

    /// What comes of this is not followed any further on this connection.
    fn lose_track(&mut self) -> Result<Due, Due> {
        self.is_blind = true;
        Err(Due::Unknown)
    }

    fn due_of_error(&mut self, it: &Error<'_>) -> Result<Due, Due> {
        let about = FrameType::from_number(it.about);
        let note = it.note.to_owned();
        let retry_after =
            (it.retry_after != 0).then(|| core::time::Duration::from_millis(it.retry_after.into()));
        let refusal = Refusal::Code { code: it.code, retry_after, note: note.clone() };
        if about == Some(FrameType::Say) && self.sent.contains(&it.request) {
            use ErrorCode as E;
            let counter = it.request;
            if matches!(it.code, E::Backlog | E::Busy | E::Flood | E::ShuttingDown | E::TooFast) {
                // It is kept, and goes out again.
                self.sent.remove(&counter);
                return Ok(Due::Events(Vec::new()));
            }
            let target = self.says[&counter].clone();
            return Ok(Due::Events(vec![Event::SayRefused {
                counter,
                target,
                code: it.code,
                retry_after,
                note,
            }]));
        }
        let request = u32::try_from(it.request).ok().map(RequestId).filter(|_| about != Some(FrameType::Say));
        if about != Some(FrameType::PeerAnswer)
            && let Some(request) = request
            && !self.joins.contains_key(&request)
            && let Some(asked) = self.requests.get(&request)
        {
            return match asked {
                Asked::Create => Err(Due::Unknown),
                Asked::Peer(_) => Ok(Due::Events(vec![Event::PeerRequestClosed { request, refusal }])),
                _ => Ok(Due::Events(vec![Event::Refused { request, refusal }])),
            };
        }
        if about == Some(FrameType::PeerAnswer) {
            let offer = OfferId(it.request);
            if self.offers.contains_key(&offer) {
                return Ok(Due::Events(vec![Event::PeerOfferClosed { offer, refusal }]));
            }
        } else if let Some(room) = request.and_then(|request| self.joins.get(&request)) {
            self.lax.insert(room.clone());
            return Err(Due::Unknown);
        } else if request.is_some() && about == Some(FrameType::PeerRequest) {
            return Ok(Due::Events(Vec::new()));
        }
        Ok(Due::Events(vec![Event::ServerError { code: it.code, about, retry_after, note }]))
    }

    /// Nobody is introduced but to whom the program asked for, or said yes to.
    fn due_of_introduction(&mut self, it: &PeerIntroduce<'_>) -> Result<Due, Due> {
        if it.addresses.iter().count() > MAX_ADDRESSES {
            return Err(Due::Breach);
        }
        let is_agreed = if it.request == RequestId(0) {
            let offer = self.offers.get(&it.offer).filter(|offer| {
                (offer.is_accepted, offer.device, offer.purpose) == (true, it.device, it.purpose)
                    && offer.from.borrow() == it.peer
            });
            let is_agreed = offer.is_some();
            if is_agreed {
                self.offers.remove(&it.offer);
            }
            is_agreed
        } else if let Some(&Asked::Peer(purpose)) = self.requests.get(&it.request) {
            self.requests.remove(&it.request);
            purpose == it.purpose
        } else {
            false
        };
        Ok(if is_agreed { Due::Introduction(it.offer, it.peer.to_owned()) } else { Due::Events(Vec::new()) })
    }

    /// Answers come to questions, once, and to the kind of question that was asked.
    fn due_of_answer(&mut self, frame: &ToClient<'_>) -> Result<Due, Due> {
        let room_of = |heard: &Self, room: RoomId, asked: Option<&Asked>| {
            let named = asked.and_then(|asked| match asked {
                Asked::Who(key) | Asked::History(key) | Asked::Moderate(key) => Some(key.clone()),
                _ => None,
            });
            heard.rooms.get(&room).cloned().or(named)
        };
        let (request, more, is_kind): (RequestId, bool, fn(&Asked) -> bool) = match frame {
            ToClient::RoomList(it) => (it.request, it.more, |asked| *asked == Asked::Rooms),
            ToClient::Members(it) => (it.request, it.more, |asked| matches!(asked, Asked::Who(_))),
            ToClient::MessagePage(it) => {
                (it.request, it.more, |asked| matches!(asked, Asked::History(_) | Asked::Search))
            }
            ToClient::Report(it) => (it.request, it.more, |asked| *asked == Asked::Inquire),
            ToClient::Governed(it) => (it.request, false, |asked| *asked == Asked::Govern),
            ToClient::Moderated(it) => (it.request, false, |asked| matches!(asked, Asked::Moderate(_))),
            ToClient::Reached(it) => (it.request, false, |asked| *asked == Asked::Reach),
            _ => return Err(Due::Unknown),
        };
        let is_news =
            request == RequestId(0) && matches!(frame, ToClient::Members(_) | ToClient::Moderated(_));
        let asked = self.requests.get(&request).filter(|asked| is_kind(asked)).cloned();
        if !is_news && asked.is_none() {
            return Err(Due::Breach);
        }
        if !is_news && !more {
            self.requests.remove(&request);
        }
        let answered = (!is_news).then_some(request);
        let event = match frame {
            ToClient::RoomList(it) => {
                let rooms = it.rooms.iter().map(|it| RoomInfo {
                    id: it.room,
                    name: it.name.to_owned(),
                    people: it.people,
                    last: it.last,
                    topic: it.topic.to_owned(),
                });
                Event::RoomList { request, rooms: rooms.collect(), more }
            }
            ToClient::Members(it) => {
                let room = room_of(self, it.room, asked.as_ref()).ok_or(Due::Breach)?;
                let members = it.members.iter().map(|it| MemberInfo {
                    user: it.user.to_owned(),
                    devices: it.devices,
                    rank: it.rank,
                });
                Event::Members { request: answered, room, members: members.collect(), more }
            }
            ToClient::MessagePage(it) => {
                let messages = it.messages.iter().filter_map(|it| {
                    let room = room_of(self, it.room, asked.as_ref())?;
                    let (from, text) = (it.from.to_owned(), it.text.to_owned());
                    let PageMessage { seq, time, device, counter, .. } = it;
                    Some(ChatMessage { room, seq, time, from, device, counter, text })
                });
                Event::Page { request, messages: messages.collect(), more }
            }
            ToClient::Report(it) => {
                let lines = it.lines.iter().map(|it| LineInfo {
                    number: it.number,
                    time: it.time,
                    room: it.room.to_owned(),
                    by: it.by.to_owned(),
                    action: it.action,
                    subject: it.subject.to_owned(),
                    seconds: it.seconds,
                    note: it.note.to_owned(),
                });
                Event::Report { request, lines: lines.collect(), more }
            }
            ToClient::Governed(it) => {
                let subject = it.subject.map(|subject| subject.to_owned());
                let (action, seconds, note) = (it.action, it.seconds, it.note.to_owned());
                Event::Governed { request, action, subject, seconds, note }
            }
            ToClient::Moderated(it) => {
                let room = room_of(self, it.room, asked.as_ref()).ok_or(Due::Breach)?;
                // What this device asked for comes as an answer too, and is told once.
                if is_news && it.by.is_some() && it.device == self.device {
                    return Ok(Due::Events(Vec::new()));
                }
                Event::Moderated {
                    room,
                    action: it.action,
                    by: it.by.map(|by| by.to_owned()),
                    user: it.user.map(|user| user.to_owned()),
                    seconds: it.seconds,
                    note: it.note.to_owned(),
                    request: answered,
                }
            }
            ToClient::Reached(it) => Event::Reached { request, address: it.address, code: it.code },
            _ => return Err(Due::Unknown),
        };
        Ok(Due::Events(vec![event]))
    }

    /// Holds what the frame brought against what was due.
    pub fn check(&mut self, due: &Due, told: &[Event], is_ready: bool, kept: impl FnOnce() -> Restored) {
        // How two come together has a model of its own; that all rooms have caught up says nothing new.
        let is_followed = |event: &&Event| {
            !matches!(event, Event::Reach { .. } | Event::LinkFailed { .. } | Event::Back { .. })
        };
        let told: Vec<&Event> = told.iter().filter(is_followed).collect();
        match due {
            Due::Events(due) => {
                assert!(is_ready, "the session ended; due was {due:?}, told was {told:?}");
                assert!(told.iter().copied().eq(due), "due was {due:?}, told was {told:?}");
            }
            Due::EventsOrEnd(due) => {
                assert!(!is_ready || told.iter().copied().eq(due), "due was {due:?}, told was {told:?}");
            }
            Due::Introduction(offer, peer) => {
                let is_it = |event: &Event| matches!(event, Event::Introduced(it) if it.offer == *offer && it.peer == *peer);
                assert!(is_ready && told.len() == 1 && is_it(told[0]), "{peer:?} was due, told was {told:?}");
            }
            Due::Breach => {
                assert!(!is_ready, "the server may break the rules; told was {told:?}");
                let is_breach =
                    |event: &&Event| matches!(event, Event::Lost { reason: LostReason::Violation(_), .. });
                // It may be told once the bye has left.
                assert!(
                    told.iter().copied().all(|event| is_breach(&event) || is_end(event)),
                    "told was {told:?}"
                );
            }
            Due::Unknown => self.learn(&kept()),
        }
    }

    /// Takes over what the session says of itself, where the model has not followed.
    fn learn(&mut self, kept: &Restored) {
        let cursors: BTreeMap<_, _> = kept.cursors.iter().cloned().collect();
        for (key, cursor) in &cursors {
            self.places.entry(key.clone()).or_default().cursor = Some(*cursor);
        }
        for (key, place) in &mut self.places {
            place.cursor = cursors.get(key).copied();
        }
    }

    /// Something was told. Whatever was open ends once.
    pub fn note(&mut self, event: &Event) {
        if self.is_blind {
            return;
        }
        match event {
            Event::Joined { room, id, request, .. } => {
                self.rooms.retain(|_, other| other != room);
                self.rooms.insert(*id, room.clone());
                self.places.entry(room.clone()).or_default();
                if let Some(request) = request {
                    self.waited.remove(request);
                    self.requests.remove(request);
                }
            }
            Event::JoinRefused { request: Some(request), .. } => {
                self.joins.remove(request);
                let is_open = self.waited.remove(request) | self.requests.remove(request).is_some();
                assert!(is_open, "{event:?} was not asked for");
            }
            Event::Left { room, .. } => {
                self.rooms.retain(|_, other| other != room);
                self.places.remove(room);
            }
            Event::Retired { .. } => self.is_blind = true,
            Event::Posted { counter, .. } | Event::SayRefused { counter, .. } => {
                self.sent.remove(counter);
                assert!(self.says.remove(counter).is_some(), "say {counter} ended before");
            }
            Event::Refused { request, .. } | Event::PeerRequestClosed { request, .. } => {
                assert!(self.requests.remove(request).is_some(), "{event:?} was not open");
            }
            Event::PeerOffer { offer, from, device, purpose, .. } => {
                let (from, device, purpose) = (from.clone(), *device, *purpose);
                self.offers.insert(*offer, Offer { from, device, purpose, is_accepted: false });
            }
            Event::PeerOfferClosed { offer, .. } => {
                assert!(self.offers.remove(offer).is_some(), "{offer:?} was not open");
            }
            Event::Introduced(introduction) => self.introduced.push(introduction.clone()),
            _ => {}
        }
    }

    /// Everything that there was to tell has been told, and there is no connection that one is logged in on.
    pub fn is_outside(&mut self, kept: impl FnOnce() -> Restored) {
        if self.is_blind {
            let kept = kept();
            self.says = kept.pending.iter().map(|say| (say.counter, say.target.clone())).collect();
            self.places.clear();
            (self.requests, self.offers) = Default::default();
            self.learn(&kept);
            self.is_blind = false;
        } else if !self.rooms.is_empty() || !self.sent.is_empty() || !self.lax.is_empty() {
            self.learn(&kept());
        }
        assert!(self.requests.is_empty(), "without an end: {:?}", self.requests);
        assert!(self.offers.is_empty(), "without an end: {:?}", self.offers);
        self.rooms.clear();
        self.joins.clear();
        self.sent.clear();
        self.lax.clear();
        for place in self.places.values_mut() {
            *place = Place { cursor: place.cursor, ..Place::default() };
        }
    }

    /// Rooms that one is in, with the next number of each.
    pub fn rooms(&self) -> Vec<(RoomId, u64)> {
        let next =
            |key| self.places.get(key).and_then(|place| place.cursor).unwrap_or_default().saturating_add(1);
        self.rooms.iter().map(|(id, key)| (*id, next(key))).collect()
    }

    /// Joins that wait for an answer.
    pub fn joins(&self) -> Vec<(RequestId, RoomKey)> {
        self.joins.iter().map(|(request, key)| (*request, key.clone())).collect()
    }

    /// Requests that wait for an answer.
    pub fn requests(&self) -> Vec<RequestId> {
        self.requests.keys().copied().collect()
    }

    /// Says on their way.
    pub fn says(&self) -> Vec<u64> {
        self.sent.iter().copied().collect()
    }

    /// Offers: whose, on which device, what for.
    pub fn offers(&self) -> Vec<(OfferId, Name, DeviceId, Purpose)> {
        let offers = self.offers.iter();
        offers.map(|(id, it)| (*id, it.from.clone(), it.device, it.purpose)).collect()
    }
}

impl Place {
    /// A number came that is further ahead: what lies between is asked for, a few times.
    fn skip(&mut self, is_joining: bool) -> Result<Due, Due> {
        if !is_joining {
            if self.restarts >= MAX_RESTARTS {
                return Err(Due::Breach);
            }
            self.restarts += 1;
        }
        Ok(Due::Events(Vec::new()))
    }
}

/// Whether an event only says that something has ended with the connection.
fn is_end(event: &Event) -> bool {
    let is_lost = |refusal: &Refusal| *refusal == Refusal::ConnectionLost;
    match event {
        Event::Refused { refusal, .. }
        | Event::PeerRequestClosed { refusal, .. }
        | Event::PeerOfferClosed { refusal, .. }
        | Event::JoinRefused { refusal, .. } => is_lost(refusal),
        Event::Left { code: None, .. } => true,
        _ => false,
    }
}
