//! Who may be linked with this device: introductions that look for a way to the other side. Each is good once, and not
//! for long.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

use super::outbox::Outbox;
use super::{AdmitError, Event};
use crate::Instant;
use crate::reach::{Action, Begin, Bounds, MIN_PEER_PORT, Negotiation, Policy, Signal, Verdict};
use crate::wire::{
    DeviceId, DialRole, ErrorCode, LinkKey, LinkTicket, Name, OfferId, PeerFailed, PeerIntroduce, PeerMeet,
    PeerOutcome, PeerTry, Purpose, RequestId, SideToken, Way,
};

/// The other side of a link, as the server named it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Introduction {
    /// The offer that was accepted.
    pub offer: OfferId,
    /// The request that it answers; `None` on the side that accepted.
    pub request: Option<RequestId>,
    /// What the link is for.
    pub purpose: Purpose,
    /// What this end does first.
    pub role: DialRole,
    /// The other person.
    pub peer: Name,
    /// The other device.
    pub device: DeviceId,
    /// The other device's key, which its certificate must have.
    pub link_key: LinkKey,
    /// Where the other side accepts peers, best first; may be empty.
    pub addresses: Vec<SocketAddr>,
    /// The other side accepts peers, but at no address that means something here.
    pub hidden: bool,
    /// The secret of the link.
    pub ticket: LinkTicket,
    /// This end's secret for further connections to the server about this introduction.
    pub token: SideToken,
    /// Until when the ticket is good.
    pub expires: Instant,
}

impl Introduction {
    pub(super) fn from_wire(frame: &PeerIntroduce<'_>, now: Instant) -> Self {
        Self {
            offer: frame.offer,
            request: (frame.request.0 != 0).then_some(frame.request),
            purpose: frame.purpose,
            role: frame.role,
            peer: frame.peer.to_owned(),
            device: frame.device,
            link_key: frame.link_key,
            addresses: frame.addresses.iter().filter(may_be_dialled).collect(),
            hidden: frame.hidden,
            ticket: frame.ticket,
            token: frame.token,
            expires: now + Duration::from_millis(frame.expires.into()),
        }
    }
}

/// Whatever a server says: see [`MIN_PEER_PORT`].
fn may_be_dialled(address: &SocketAddr) -> bool {
    address.port() >= MIN_PEER_PORT
}

/// What every negotiation of a session has in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub(super) negotiates: bool,
    pub(super) policy: Policy,
    pub(super) bounds: Bounds,
    pub(super) observed: Option<IpAddr>,
}

/// Introductions that have not become links, by their offers.
#[derive(Debug)]
pub(super) struct Introductions {
    open: BTreeMap<OfferId, Open>,
    max: usize,
}

#[derive(Debug)]
struct Open {
    introduction: Introduction,
    negotiation: Negotiation,
}

impl Introductions {
    pub(super) fn new(max: usize) -> Self {
        Self { open: BTreeMap::new(), max }
    }

    /// Keeps an introduction and begins to look for a way; past the bound, the one that expires first gives way.
    pub(super) fn begin(
        &mut self,
        introduction: Introduction,
        terms: &Terms,
        now: Instant,
        out: &mut Outbox,
    ) {
        let begin = Begin {
            leads: introduction.request.is_some(),
            role: introduction.role,
            addresses: introduction.addresses.clone(),
            hidden: introduction.hidden,
            observed: terms.observed,
            negotiates: terms.negotiates,
            policy: terms.policy,
            bounds: terms.bounds,
            expires: introduction.expires,
        };
        let offer = introduction.offer;
        self.open.insert(offer, Open { introduction, negotiation: Negotiation::new(begin, now) });
        if self.open.len() > self.max
            && let Some(first) = self.first_to_expire()
            && let Some(gone) = self.open.remove(&first)
        {
            let verdict = Verdict { code: ErrorCode::TooManyRequests, tried: Vec::new() };
            out.emit(Event::Reach { offer: first, action: Action::Stop });
            out.emit(gone.failed(verdict));
        }
        self.settle(offer, out);
    }

    fn first_to_expire(&self) -> Option<OfferId> {
        let first = self.open.values().min_by_key(|open| open.introduction.expires)?;
        Some(first.introduction.offer)
    }

    /// The other side says something about an introduction. About one that is over, it comes too late.
    pub(super) fn signal(&mut self, offer: OfferId, signal: Signal, now: Instant, out: &mut Outbox) {
        if let Some(open) = self.open.get_mut(&offer) {
            open.negotiation.handle_signal(signal, now);
            self.settle(offer, out);
        }
    }

    pub(super) fn meet(&mut self, meet: &PeerMeet, now: Instant, out: &mut Outbox) {
        if let Some(open) = self.open.get_mut(&meet.offer).filter(|_| may_be_dialled(&meet.address)) {
            let after = Duration::from_millis(meet.after.into()).min(MAX_MEET_AFTER);
            open.negotiation.handle_meet(meet.way, meet.address, after, now);
            self.settle(meet.offer, out);
        }
    }

    pub(super) fn way_failed(
        &mut self,
        offer: OfferId,
        way: Way,
        code: ErrorCode,
        now: Instant,
        out: &mut Outbox,
    ) {
        if let Some(open) = self.open.get_mut(&offer) {
            open.negotiation.failed(way, code, now);
            self.settle(offer, out);
        }
    }

    pub(super) fn linking(&mut self, offer: OfferId, way: Way) -> bool {
        self.open.get_mut(&offer).is_some_and(|open| open.negotiation.linking(way))
    }

    pub(super) fn linked(&mut self, offer: OfferId) {
        self.open.remove(&offer);
    }

    /// This side wants no link any more, and says so.
    pub(super) fn abandon(&mut self, offer: OfferId, code: ErrorCode, out: &mut Outbox) {
        if let Some(mut open) = self.open.remove(&offer)
            && open.negotiation.abandon()
        {
            out.send(&PeerFailed { offer, code });
        }
    }

    /// The server can pass nothing on any more.
    pub(super) fn cut(&mut self) {
        self.open.values_mut().for_each(|open| open.negotiation.cut());
    }

    /// Does what a negotiation wants: tells the other side, and tells the program what to do.
    fn settle(&mut self, offer: OfferId, out: &mut Outbox) {
        let Some(open) = self.open.get_mut(&offer) else { return };
        while let Some(action) = open.negotiation.poll_action() {
            match action {
                Action::Tell(Signal::Try(way)) => out.send(&PeerTry { offer, way }),
                Action::Tell(Signal::Outcome(way, code)) => out.send(&PeerOutcome { offer, way, code }),
                Action::Tell(Signal::Failed(code)) => out.send(&PeerFailed { offer, code }),
                Action::Fail(verdict) => out.emit(open.failed(verdict)),
                action @ (Action::Dial { .. }
                | Action::Probe { .. }
                | Action::Meet { .. }
                | Action::Relay
                | Action::Stop) => out.emit(Event::Reach { offer, action }),
            }
        }
        if open.negotiation.is_over() {
            self.open.remove(&offer);
        }
    }

    /// Takes the introduction out, if whoever connected has proved to be the one introduced.
    ///
    /// A wrong ticket does not use it up: otherwise any stranger could spend it.
    pub(super) fn admit(
        &mut self,
        offer: OfferId,
        ticket: &LinkTicket,
        link_key: LinkKey,
        user: &Name,
        device: DeviceId,
        now: Instant,
    ) -> Result<(Introduction, Option<Way>), AdmitError> {
        let open = self.open.get(&offer).filter(|open| open.negotiation.may_be_called());
        let open = open.ok_or(AdmitError::Unknown)?;
        let waiting = &open.introduction;
        if now >= waiting.expires {
            return Err(AdmitError::Expired);
        }
        if !waiting.ticket.is_same(ticket) {
            return Err(AdmitError::Ticket);
        }
        if waiting.link_key != link_key {
            return Err(AdmitError::Key);
        }
        if waiting.peer != *user || waiting.device != device {
            return Err(AdmitError::Identity);
        }
        let open = self.open.remove(&offer).ok_or(AdmitError::Unknown)?;
        let way = open.negotiation.way();
        Ok((open.introduction, way))
    }

    pub(super) fn get(&self, offer: OfferId) -> Option<&Introduction> {
        self.open.get(&offer).map(|open| &open.introduction)
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.open.values().filter_map(|open| open.negotiation.poll_timeout()).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        let is_due = |open: &Open| open.negotiation.poll_timeout().is_some_and(|at| now >= at);
        let due =
            self.open.iter().filter(|(_, open)| is_due(open)).map(|(offer, _)| *offer).collect::<Vec<_>>();
        for offer in due {
            if let Some(open) = self.open.get_mut(&offer) {
                open.negotiation.handle_timeout(now);
                self.settle(offer, out);
            }
        }
    }
}

impl Open {
    fn failed(&self, verdict: Verdict) -> Event {
        let Introduction { offer, peer, purpose, .. } = &self.introduction;
        Event::LinkFailed { offer: *offer, peer: peer.clone(), purpose: *purpose, verdict }
    }
}

/// Longest pause that the server can ask for before a simultaneous open. A way has its own deadline besides.
const MAX_MEET_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::Limits;

    const LATER: Instant = Instant::from_millis(1_000);

    fn introduction(offer: u64, expires: u64) -> Introduction {
        Introduction {
            offer: OfferId(offer),
            request: None,
            purpose: Purpose::Files,
            role: DialRole::Await,
            peer: Name::new("bob").unwrap(),
            device: DeviceId([2; 16]),
            link_key: LinkKey([3; 32]),
            addresses: Vec::new(),
            hidden: false,
            ticket: LinkTicket([4; 32]),
            token: SideToken([5; 32]),
            expires: Instant::from_millis(expires),
        }
    }

    fn table(max: usize, introductions: impl IntoIterator<Item = Introduction>) -> (Introductions, Outbox) {
        let (mut table, mut out) = (Introductions::new(max), Outbox::new(&Limits::default(), LATER));
        let (policy, bounds) = (Policy::Any, Bounds::default());
        let terms = Terms { negotiates: false, policy, bounds, observed: None };
        for introduction in introductions {
            table.begin(introduction, &terms, Instant::from_millis(0), &mut out);
        }
        (table, out)
    }

    fn admit(table: &mut Introductions, offer: u64, now: Instant) -> Result<Introduction, AdmitError> {
        let bob = Name::new("bob").unwrap();
        let (ticket, key) = (LinkTicket([4; 32]), LinkKey([3; 32]));
        table.admit(OfferId(offer), &ticket, key, &bob, DeviceId([2; 16]), now).map(|(admitted, _)| admitted)
    }

    fn failures(out: &mut Outbox) -> Vec<OfferId> {
        let failed = |event| if let Event::LinkFailed { offer, .. } = event { Some(offer) } else { None };
        out.events.drain(..).filter_map(failed).collect()
    }

    #[test]
    fn an_introduction_is_good_once() {
        let (mut table, _) = table(4, [introduction(1, 2_000)]);
        assert_eq!(admit(&mut table, 1, LATER), Ok(introduction(1, 2_000)));
        assert_eq!(admit(&mut table, 1, LATER), Err(AdmitError::Unknown));
    }

    #[test]
    fn every_proof_must_be_right_and_a_wrong_one_uses_nothing_up() {
        let (mut table, _) = table(4, [introduction(1, 2_000)]);
        let (bob, eve) = (Name::new("bob").unwrap(), Name::new("eve").unwrap());
        let (device, key) = (DeviceId([2; 16]), LinkKey([3; 32]));
        let ticket = LinkTicket([4; 32]);
        for position in [0, 15, 31] {
            let mut wrong = ticket;
            wrong.0[position] ^= 1;
            assert_eq!(table.admit(OfferId(1), &wrong, key, &bob, device, LATER), Err(AdmitError::Ticket));
        }
        let mut try_with = |key, user, device| table.admit(OfferId(1), &ticket, key, user, device, LATER);
        assert_eq!(try_with(LinkKey([9; 32]), &bob, device), Err(AdmitError::Key));
        assert_eq!(try_with(key, &eve, device), Err(AdmitError::Identity));
        assert_eq!(try_with(key, &bob, DeviceId([9; 16])), Err(AdmitError::Identity));
        assert!(try_with(key, &bob, device).is_ok());
    }

    #[test]
    fn an_introduction_expires() {
        let (mut table, mut out) = table(4, [introduction(1, 2_000), introduction(2, 1_500)]);
        assert_eq!(table.next_timeout(), Some(Instant::from_millis(1_500)));
        assert_eq!(admit(&mut table, 2, Instant::from_millis(1_500)), Err(AdmitError::Expired));
        table.handle_timeout(Instant::from_millis(1_500), &mut out);
        assert_eq!(failures(&mut out), [OfferId(2)]);
        assert_eq!(table.next_timeout(), Some(Instant::from_millis(2_000)));
    }

    #[test]
    fn past_the_bound_the_first_to_expire_gives_way() {
        let all = [introduction(1, 3_000), introduction(2, 1_500), introduction(3, 2_000)];
        let (mut table, mut out) = table(2, all);
        assert_eq!(failures(&mut out), [OfferId(2)]);
        assert!(admit(&mut table, 1, LATER).is_ok());
        assert!(admit(&mut table, 3, LATER).is_ok());
    }
}
