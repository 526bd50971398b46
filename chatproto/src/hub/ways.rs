//! What the server does for two ends that look for a way to each other: it passes small frames on, tells each where the
//! other's probe came from, and brings the two connections of a relay together.
//!
//! It believes no address that somebody names: it knows those that connections came from.

use core::hint::black_box;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use alloc::collections::{BTreeMap, BTreeSet};

use super::introduce::millis;
use super::{ConnId, Event, Hub, State};
use crate::Instant;
use crate::wire::{
    Capability, CloseReason, ErrorCode, FrameType, Name, OfferId, PeerFailed, PeerMeet, PeerOutcome, PeerTry,
    Probe, Reach, Reached, Relay, RequestId, SideToken, Way,
};

/// Frames that one introduction may have passed on. A few for each way are enough.
const MAX_PASSED: u8 = 64;

/// Time for a `peer_meet` to arrive at both ends before they connect.
const MEET_AFTER: Duration = Duration::from_millis(200);

/// Lowest port that the server connects to: below are other people's services.
const MIN_REACH_PORT: u16 = 1024;

/// Addresses whose tests are counted; past it, who comes new is put off. Bounds the memory to about 100 bytes each.
const MAX_REACH_NOTES: usize = 4_096;

/// Bytes of a token that say to which offer it belongs.
const TOKEN_OFFER_LEN: usize = 8;

/// Introductions that are looking for a way, and what is counted for them.
#[derive(Debug, Default)]
pub(super) struct Meetings {
    open: BTreeMap<OfferId, Meeting>,
    expiries: BTreeSet<(Instant, OfferId)>,
    /// Links that are relayed, and whose they are.
    relayed: BTreeMap<OfferId, [Name; 2]>,
    tests: BTreeMap<IpAddr, Tests>,
}

/// One introduction: the asking side first.
#[derive(Debug)]
struct Meeting {
    ends: [End; 2],
    expires: Instant,
    passed: u8,
}

#[derive(Debug)]
struct End {
    conn: ConnId,
    user: Name,
    token: SideToken,
    /// Where its last probe came from, and for which way. It may come before the word that asks for it.
    probe: Option<(Way, SocketAddr)>,
    /// Its connection for the relay.
    relay: Option<ConnId>,
}

/// Tests of reachability that an address had since then.
#[derive(Debug, Clone, Copy)]
struct Tests {
    since: Instant,
    count: u32,
}

impl Meetings {
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, offer: OfferId) -> Option<Meeting> {
        let meeting = self.open.remove(&offer)?;
        self.expiries.remove(&(meeting.expires, offer));
        Some(meeting)
    }

    /// Whose token this is.
    fn owner(&mut self, token: &SideToken) -> Option<(OfferId, usize)> {
        let offer = token.0.first_chunk::<TOKEN_OFFER_LEN>()?;
        let offer = OfferId(u64::from_be_bytes(*offer));
        let meeting = self.open.get(&offer)?;
        let end = meeting.ends.iter().position(|end| same_secret(&end.token, token))?;
        Some((offer, end))
    }

    /// The meeting, and which of its ends a connection is.
    fn of(&mut self, offer: OfferId, conn: ConnId) -> Option<(&mut Meeting, usize)> {
        let meeting = self.open.get_mut(&offer)?;
        let end = meeting.ends.iter().position(|end| end.conn == conn)?;
        Some((meeting, end))
    }
}

impl Hub {
    /// Whether this server would relay a link between these two.
    pub(super) fn can_relay(&self, ends: [ConnId; 2]) -> bool {
        let can = |id: &ConnId| {
            let common = self.clients.get(id).map(|client| client.capabilities);
            common.is_some_and(|common| common.has(Capability::Relay) && common.has(Capability::Ways))
        };
        ends.iter().all(can)
    }

    fn can_negotiate(&self, ends: [ConnId; 2]) -> bool {
        ends.iter()
            .all(|id| self.clients.get(id).is_some_and(|client| client.capabilities.has(Capability::Ways)))
    }

    /// Remembers an introduction for as long as its ticket is good, and makes the two ends' tokens.
    pub(super) fn open_meeting(
        &mut self,
        offer: OfferId,
        conns: [ConnId; 2],
        users: [&Name; 2],
    ) -> [SideToken; 2] {
        let tokens = [self.token_of(offer), self.token_of(offer)];
        if !self.can_negotiate(conns) {
            return tokens;
        }
        if self.meetings.open.len() >= self.config.max_meetings
            && let Some(&(_, oldest)) = self.meetings.expiries.first()
        {
            self.meetings.remove(oldest);
        }
        let expires = self.now + self.config.ticket_lifetime;
        let [asker, answerer] = conns;
        let [from, to] = users;
        let [first, second] = tokens;
        let end =
            |conn, user: &Name, token| End { conn, user: user.clone(), token, probe: None, relay: None };
        let ends = [end(asker, from, first), end(answerer, to, second)];
        self.meetings.expiries.insert((expires, offer));
        self.meetings.open.insert(offer, Meeting { ends, expires, passed: 0 });
        tokens
    }

    fn token_of(&mut self, offer: OfferId) -> SideToken {
        let mut token = [0; 32];
        self.entropy.fill(&mut token);
        if let Some(head) = token.first_chunk_mut::<TOKEN_OFFER_LEN>() {
            *head = offer.0.to_be_bytes();
        }
        SideToken(token)
    }

    /// The asking side begins a way.
    pub(super) fn on_peer_try(&mut self, id: ConnId, ask: PeerTry) {
        let PeerTry { offer, way } = ask;
        let Some(other) = self.pass_on(id, offer) else { return };
        let Some((meeting, end)) = self.meetings.of(offer, id) else { return };
        if end != 0 {
            // Only one side leads; what the other asks for has no meaning.
            return;
        }
        let ends = meeting.ends.each_ref().map(|end| end.conn);
        let users = meeting.ends.each_ref().map(|end| end.user.clone());
        let refusal = if way != Way::Relay {
            None
        } else if !self.can_relay(ends) {
            Some(ErrorCode::NoRelay)
        } else if !self.has_relay_for(&users) {
            Some(ErrorCode::RelayBusy)
        } else {
            None
        };
        match refusal {
            // Both want to say why there is none.
            Some(code) => {
                for end in [id, other] {
                    self.send(end, &PeerOutcome { offer, way, code });
                }
            }
            None => self.send(other, &ask),
        }
    }

    pub(super) fn on_peer_outcome(&mut self, id: ConnId, outcome: PeerOutcome) {
        if let Some(other) = self.pass_on(id, outcome.offer) {
            self.send(other, &outcome);
        }
    }

    pub(super) fn on_peer_failed(&mut self, id: ConnId, failed: PeerFailed) {
        if let Some(other) = self.pass_on(id, failed.offer) {
            self.meetings.remove(failed.offer);
            self.send(other, &failed);
        }
    }

    /// The other end of an introduction, if something may still be passed on to it.
    fn pass_on(&mut self, id: ConnId, offer: OfferId) -> Option<ConnId> {
        let Some((meeting, end)) = self.meetings.of(offer, id) else {
            // It was good for so long and no longer.
            self.send(id, &PeerFailed { offer, code: ErrorCode::Expired });
            return None;
        };
        meeting.passed = meeting.passed.saturating_add(1);
        let other = meeting.ends.get(1 - end).map(|other| other.conn);
        other.filter(|_| meeting.passed <= MAX_PASSED)
    }

    /// A connection shows where one end will connect from.
    pub(super) fn on_probe(&mut self, id: ConnId, probe: &Probe) {
        let addr = self.clients.get(&id).map(|client| client.addr);
        let (Some((offer, end)), Some(addr)) = (self.meetings.owner(&probe.token), addr) else {
            return self.close(id, CloseReason::BadTicket, "the token is unknown or expired");
        };
        self.close(id, CloseReason::Done, "");
        let Some(meeting) = self.meetings.open.get_mut(&offer) else { return };
        if let Some(end) = meeting.ends.get_mut(end) {
            end.probe = Some((probe.way, SocketAddr::new(addr.ip().to_canonical(), addr.port())));
        }
        let [first, second] = &meeting.ends;
        let (Some((way, of_first)), Some((other_way, of_second))) = (first.probe, second.probe) else {
            return;
        };
        if way != other_way || of_first.is_ipv4() != of_second.is_ipv4() {
            return;
        }
        let to = [(first.conn, of_second), (second.conn, of_first)];
        for (conn, address) in to {
            let after = millis(MEET_AFTER);
            self.send(conn, &PeerMeet { offer, way: probe.way, after, address });
        }
    }

    /// A connection is one end of a relay.
    pub(super) fn on_relay(&mut self, id: ConnId, relay: &Relay) {
        let Some((offer, end)) = self.meetings.owner(&relay.token) else {
            return self.refuse_side(id, ErrorCode::BadTicket, "the token is unknown or expired");
        };
        let Some(meeting) = self.meetings.open.get(&offer) else { return };
        if !self.can_relay(meeting.ends.each_ref().map(|end| end.conn)) {
            return self.refuse_side(id, ErrorCode::NoRelay, "this server relays no links");
        }
        let Some(meeting) = self.meetings.open.get_mut(&offer) else { return };
        if let Some(end) = meeting.ends.get_mut(end)
            && let Some(older) = end.relay.replace(id)
        {
            self.refuse_side(older, ErrorCode::BadTicket, "another connection came with the same token");
        }
        self.strangers.is_answered(id);
        if let Some(client) = self.clients.get_mut(&id) {
            client.state = State::Relaying;
        }
        self.join_relay(offer);
    }

    /// Hands the two connections of a relay over to the program, once both are there.
    fn join_relay(&mut self, offer: OfferId) {
        let Some(meeting) = self.meetings.open.get(&offer) else { return };
        let [Some(first), Some(second)] = meeting.ends.each_ref().map(|end| end.relay) else { return };
        // Others may have come first since it was asked for.
        let users = meeting.ends.each_ref().map(|end| end.user.clone());
        if !self.has_relay_for(&users) {
            for id in [first, second] {
                self.refuse_side(id, ErrorCode::RelayBusy, "too many links are relayed");
            }
            return;
        }
        let Some(meeting) = self.meetings.remove(offer) else { return };
        self.meetings.relayed.insert(offer, users);
        for id in [first, second] {
            if let Some(client) = self.clients.remove(&id) {
                self.deadlines.remove(&(client.due, id));
                self.strangers.leave(id);
            }
        }
        let [from, to] = meeting.ends.map(|end| end.user);
        self.events.push_back(Event::Relayed { offer, ends: [first, second], from, to });
    }

    /// Whether there is a place for one more link between these two.
    fn has_relay_for(&self, users: &[Name; 2]) -> bool {
        let relayed = &self.meetings.relayed;
        let max = self.config.max_relays_per_account;
        let of = |user: &Name| relayed.values().filter(|ends| ends.contains(user)).take(max).count();
        relayed.len() < self.config.max_relays && users.iter().all(|user| of(user) < max)
    }

    /// The relay of [`Event::Relayed`] is over: its place is free.
    pub fn relay_ended(&mut self, offer: OfferId) {
        self.meetings.relayed.remove(&offer);
    }

    /// How many links are relayed.
    #[must_use]
    pub fn relays(&self) -> usize {
        self.meetings.relayed.len()
    }

    fn refuse_side(&mut self, id: ConnId, code: ErrorCode, note: &str) {
        if let Some(client) = self.clients.get_mut(&id) {
            client.conn.send_error(code, FrameType::Relay.number(), 0, note);
        }
        self.close(id, CloseReason::BadTicket, note);
    }

    /// A connection that was one end of a relay has ended before the other came.
    pub(super) fn forget_relay_end(&mut self, id: ConnId) {
        for meeting in self.meetings.open.values_mut() {
            for end in &mut meeting.ends {
                end.relay = end.relay.filter(|conn| *conn != id);
            }
        }
    }

    /// A client is gone: whoever looks for a way to it learns that it will not answer any more.
    pub(super) fn end_meetings_of(&mut self, id: ConnId) {
        let concerns = |(_, meeting): &(&OfferId, &Meeting)| meeting.ends.iter().any(|end| end.conn == id);
        let found = self.meetings.open.iter().filter(concerns).map(|(offer, _)| *offer);
        for offer in found.collect::<alloc::vec::Vec<_>>() {
            let Some(meeting) = self.meetings.remove(offer) else { continue };
            for other in meeting.ends.iter().filter(|end| end.conn != id) {
                self.send(other.conn, &PeerFailed { offer, code: ErrorCode::Offline });
            }
        }
    }

    pub(super) fn expire_meetings(&mut self) {
        while let Some(&(at, offer)) = self.meetings.expiries.first() {
            if at > self.now {
                return;
            }
            self.meetings.remove(offer);
        }
    }

    /// A client asks whether peers could reach it.
    pub(super) fn on_reach(&mut self, id: ConnId, reach: &Reach) {
        if let Err((code, note)) = self.test_reach(id, reach.request) {
            let retry = if code == ErrorCode::Busy { millis(self.config.reach_interval) } else { 0 };
            self.send_error_until(id, code, reach, reach.request.0.into(), retry, note);
        }
    }

    fn test_reach(&mut self, id: ConnId, request: RequestId) -> Result<(), (ErrorCode, &'static str)> {
        let client = self.clients.get(&id).ok_or((ErrorCode::Internal, ""))?;
        if !client.capabilities.has(Capability::Probe) {
            return Err((ErrorCode::NotSupported, "this server tests nobody"));
        }
        let announced =
            client.announcement.as_ref().ok_or((ErrorCode::NoAnnounce, "announce a link key first"))?;
        let (port, link_key) = (announced.port, announced.link_key);
        if port == 0 {
            return Err((ErrorCode::NoPeerPort, "no port is announced"));
        }
        if port < MIN_REACH_PORT {
            return Err((ErrorCode::Forbidden, "ports below 1024 are not tested"));
        }
        let ip = client.addr.ip().to_canonical();
        if !self.spend_test(ip) {
            return Err((ErrorCode::Busy, "too many tests of this address"));
        }
        let address = SocketAddr::new(ip, port);
        self.events.push_back(Event::TestReach { conn: id, request, address, link_key });
        Ok(())
    }

    /// Counts one test of an address; false when it has had its share.
    fn spend_test(&mut self, ip: IpAddr) -> bool {
        let (now, interval) = (self.now, self.config.reach_interval);
        let tests = &mut self.meetings.tests;
        if tests.len() >= MAX_REACH_NOTES {
            tests.retain(|_, noted| now.since(noted.since) < interval);
        }
        let key = network(ip);
        if tests.len() >= MAX_REACH_NOTES && !tests.contains_key(&key) {
            return false;
        }
        let noted = tests.entry(key).or_insert(Tests { since: now, count: 0 });
        if now.since(noted.since) >= interval {
            *noted = Tests { since: now, count: 0 };
        }
        noted.count = noted.count.saturating_add(1);
        noted.count <= self.config.reach_tests
    }

    /// Answers [`Event::TestReach`]: `None` when the device was there.
    pub fn reached(
        &mut self,
        conn: ConnId,
        request: RequestId,
        address: SocketAddr,
        code: Option<ErrorCode>,
    ) {
        if self.clients.get(&conn).is_some_and(|client| client.is_open()) {
            self.send(conn, &Reached { request, address, code });
        }
    }
}

/// What one subscriber has: an address, or a network of IPv6.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            core::net::Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

/// Compares in a time that does not depend on where the first difference is.
fn same_secret(left: &SideToken, right: &SideToken) -> bool {
    let pairs = left.0.iter().zip(&right.0);
    pairs.fold(0, |sum, (left, right)| black_box(sum | (left ^ right))) == 0
}
