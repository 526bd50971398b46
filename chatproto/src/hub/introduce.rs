//! Introductions: one asks, the other is asked on all devices, the first yes wins, both learn where the other is.
//!
//! Nobody learns an address before a yes. The observed address is the server's own knowledge; what a client announces is
//! a port and, for neighbours behind the same address, private candidates.

use core::net::{IpAddr, SocketAddr};

use alloc::borrow::Cow;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::budgets::after;
use super::client::Announcement;
use super::{ConnId, Event, Hub};
use crate::Instant;
use crate::reach::MIN_PEER_PORT;
use crate::wire::{
    Announce, DialRole, ErrorCode, LinkTicket, List, MAX_CANDIDATES, Name, OfferId, PeerAnswer, PeerClosed,
    PeerIntroduce, PeerOffer, PeerRequest, Purpose, RequestId,
};

/// Offers that nobody has answered yet.
#[derive(Debug, Default)]
pub(super) struct Introductions {
    offers: BTreeMap<OfferId, Offer>,
    expiries: BTreeSet<(Instant, OfferId)>,
    last: u64,
}

#[derive(Debug)]
struct Offer {
    asker: ConnId,
    request: RequestId,
    from: Name,
    to: Name,
    purpose: Purpose,
    /// The asker shows no address.
    concealed: bool,
    asked: BTreeSet<ConnId>,
    expires: Instant,
}

impl Introductions {
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.expiries.first().map(|(at, _)| *at)
    }

    fn remove(&mut self, id: OfferId) -> Option<Offer> {
        let offer = self.offers.remove(&id)?;
        self.expiries.remove(&(offer.expires, id));
        Some(offer)
    }
}

impl Hub {
    pub(super) fn on_announce(&mut self, id: ConnId, announce: &Announce<'_>) {
        let candidates =
            announce.candidates.iter().filter(is_private_candidate).take(MAX_CANDIDATES).collect();
        let announcement = Announcement { port: announce.port, link_key: announce.link_key, candidates };
        if let Some(client) = self.clients.get_mut(&id) {
            client.announcement = Some(announcement);
        }
    }

    pub(super) fn on_peer_request(&mut self, id: ConnId, ask: &PeerRequest<'_>) {
        if let Err(NotAsked { code, retry_after, note }) = self.offer(id, ask) {
            if let Some((from, _)) = self.identity(id) {
                self.events.push_back(Event::PeerRefused { from, to: ask.to.to_owned(), code });
            }
            self.send_error_until(id, code, ask, ask.request.into(), retry_after, &note);
        }
    }

    fn offer(&mut self, id: ConnId, ask: &PeerRequest<'_>) -> Result<(), NotAsked> {
        let (from, device) = self.identity(id).ok_or((ErrorCode::WrongState, "log in first"))?;
        let to = ask.to.to_owned();
        let has_port =
            self.announcement(id).ok_or((ErrorCode::NoAnnounce, "announce a link key first"))?.accepts()
                && !ask.concealed;
        if from == to {
            return Err((ErrorCode::SelfRequest, "that is you").into());
        }
        let open = self.introductions.offers.values().filter(|offer| offer.asker == id).count();
        if open >= self.config.max_offers {
            return Err((ErrorCode::TooManyRequests, "too many requests are open").into());
        }
        let devices = self.people.get(&to).ok_or((ErrorCode::Offline, "not logged in"))?;
        let can_meet = |other: &&ConnId| {
            let announced = self.announcement(**other);
            announced.is_some_and(|there| there.accepts() || has_port || self.can_relay([id, **other]))
        };
        let asked = devices.iter().filter(can_meet).copied().collect::<BTreeSet<_>>();
        if asked.is_empty() {
            return Err((ErrorCode::NoPeerPort, "neither side accepts connections from peers").into());
        }
        self.charge_pair(&from, &to).map_err(|retry_after| NotAsked {
            code: ErrorCode::TooFast,
            retry_after,
            note: alloc::format!("they were asked often enough for now: again {}", after(retry_after)).into(),
        })?;
        self.introductions.last += 1;
        let offer = OfferId(self.introductions.last);
        let expires = self.now + self.config.offer_timeout;
        let frame = PeerOffer {
            offer,
            purpose: ask.purpose,
            expires: millis(self.config.offer_timeout),
            device,
            from: from.borrow(),
        };
        for other in &asked {
            self.send(*other, &frame);
        }
        self.events.push_back(Event::PeerRequested {
            offer,
            from: from.clone(),
            to: to.clone(),
            purpose: ask.purpose,
        });
        self.introductions.expiries.insert((expires, offer));
        let (request, purpose, concealed) = (ask.request, ask.purpose, ask.concealed);
        let entry = Offer { asker: id, request, from, to, purpose, concealed, asked, expires };
        self.introductions.offers.insert(offer, entry);
        Ok(())
    }

    pub(super) fn announcement(&self, id: ConnId) -> Option<&Announcement> {
        self.clients.get(&id)?.announcement.as_ref()
    }

    pub(super) fn on_peer_answer(&mut self, id: ConnId, answer: PeerAnswer) {
        let was_asked =
            self.introductions.offers.get(&answer.offer).is_some_and(|offer| offer.asked.contains(&id));
        let Some(offer) = was_asked.then(|| self.introductions.remove(answer.offer)).flatten() else {
            // The offer may have ended while the answer was on its way.
            let gone = PeerClosed { offer: answer.offer, request: RequestId(0), code: ErrorCode::Expired };
            return self.send(id, &gone);
        };
        for other in offer.asked.iter().filter(|other| **other != id) {
            let code = ErrorCode::AnsweredElsewhere;
            self.send(*other, &PeerClosed { offer: answer.offer, request: RequestId(0), code });
        }
        if answer.accept {
            // Whoever is welcome may come again.
            self.refund_pair(&offer.from, &offer.to);
            self.introduce(answer.offer, &offer, id, answer.concealed);
        } else {
            self.end_offer(&offer, ErrorCode::Denied);
        }
    }

    fn introduce(&mut self, id: OfferId, offer: &Offer, answerer: ConnId, concealed: bool) {
        let sides = (self.side(offer.asker, offer.concealed), self.side(answerer, concealed));
        let (Some(asker), Some(answering)) = sides else {
            return self.end_offer(offer, ErrorCode::Offline);
        };
        let mut ticket = [0; 32];
        self.entropy.fill(&mut ticket);
        let to_answering = addresses(&asker, &answering);
        let to_asker = addresses(&answering, &asker);
        // Who asked dials; if the other cannot be dialled, it is the other way round.
        let asker_dials = !to_asker.is_empty() || to_answering.is_empty();
        let ends = [offer.asker, answerer];
        if to_asker.is_empty() && to_answering.is_empty() && !self.can_relay(ends) {
            let gone = PeerClosed { offer: id, request: RequestId(0), code: ErrorCode::NoPeerPort };
            self.send(answerer, &gone);
            return self.end_offer(offer, ErrorCode::NoPeerPort);
        }
        let [for_asker, for_answering] = self.open_meeting(id, ends, [&offer.from, &offer.to]);
        let base = PeerIntroduce {
            offer: id,
            request: offer.request,
            purpose: offer.purpose,
            role: if asker_dials { DialRole::Dial } else { DialRole::Await },
            expires: millis(self.config.ticket_lifetime),
            ticket: LinkTicket(ticket),
            token: for_asker,
            device: answering.device,
            link_key: answering.announcement.link_key,
            hidden: to_asker.is_empty() && answering.announcement.accepts(),
            peer: offer.to.borrow(),
            addresses: List::new(&to_asker),
        };
        // The side that awaits is told first: it must know the ticket before the other comes with it.
        let other = PeerIntroduce {
            request: RequestId(0),
            role: if asker_dials { DialRole::Await } else { DialRole::Dial },
            token: for_answering,
            device: asker.device,
            link_key: asker.announcement.link_key,
            hidden: to_answering.is_empty() && asker.announcement.accepts(),
            peer: offer.from.borrow(),
            addresses: List::new(&to_answering),
            ..base
        };
        self.send(answerer, &other);
        self.send(offer.asker, &base);
        self.events.push_back(Event::PeerIntroduced {
            offer: id,
            from: offer.from.clone(),
            to: offer.to.clone(),
        });
    }

    fn side(&self, id: ConnId, concealed: bool) -> Option<Side> {
        let client = self.clients.get(&id).filter(|client| client.is_open())?;
        let mut announcement = client.announcement.clone()?;
        if concealed {
            // As if it accepted no peers: nothing of it is shown, not even that there is something.
            announcement.port = 0;
        }
        Some(Side { observed: client.addr.ip().to_canonical(), device: client.device, announcement })
    }

    pub(super) fn on_peer_withdraw(&mut self, id: ConnId, request: RequestId) {
        let mine = |(_, offer): &(&OfferId, &Offer)| offer.asker == id && offer.request == request;
        let found = self.introductions.offers.iter().find(mine).map(|(offer, _)| *offer);
        let Some(offer) = found else { return };
        self.close_offer(offer, ErrorCode::Withdrawn);
    }

    pub(super) fn expire_offers(&mut self) {
        while let Some(&(at, offer)) = self.introductions.expiries.first() {
            if at > self.now {
                return;
            }
            self.close_offer(offer, ErrorCode::Expired);
        }
    }

    /// A connection has ended: what it asked is withdrawn, what it was asked is up to the person's other devices.
    pub(super) fn end_offers_of(&mut self, id: ConnId) {
        let concerns = |(_, offer): &(&OfferId, &Offer)| offer.asker == id || offer.asked.contains(&id);
        let found =
            self.introductions.offers.iter().filter(concerns).map(|(offer, _)| *offer).collect::<Vec<_>>();
        for offer in found {
            let Some(entry) = self.introductions.offers.get_mut(&offer) else { continue };
            if entry.asker == id {
                self.close_offer(offer, ErrorCode::Withdrawn);
            } else if entry.asked.remove(&id) && entry.asked.is_empty() {
                self.close_offer(offer, ErrorCode::Offline);
            }
        }
    }

    /// Ends an offer on both sides.
    fn close_offer(&mut self, id: OfferId, code: ErrorCode) {
        let Some(offer) = self.introductions.remove(id) else { return };
        for other in &offer.asked {
            self.send(*other, &PeerClosed { offer: id, request: RequestId(0), code });
        }
        self.end_offer(&offer, code);
    }

    fn end_offer(&mut self, offer: &Offer, code: ErrorCode) {
        self.send(offer.asker, &PeerClosed { offer: OfferId(0), request: offer.request, code });
        self.events.push_back(Event::PeerRefused { from: offer.from.clone(), to: offer.to.clone(), code });
    }
}

/// Why somebody is not asked.
struct NotAsked {
    code: ErrorCode,
    /// In milliseconds; 0 where waiting does not help.
    retry_after: u32,
    note: Cow<'static, str>,
}

impl From<(ErrorCode, &'static str)> for NotAsked {
    fn from((code, note): (ErrorCode, &'static str)) -> Self {
        Self { code, retry_after: 0, note: note.into() }
    }
}

/// One end of an introduction.
struct Side {
    observed: IpAddr,
    device: crate::wire::DeviceId,
    announcement: Announcement,
}

/// Where `side` can be dialled by `other`: the observed address, and private ones for a neighbour.
fn addresses(side: &Side, other: &Side) -> Vec<SocketAddr> {
    let mut found = Vec::new();
    if !side.announcement.accepts() {
        return found;
    }
    // A loopback address means something only to somebody on the same machine.
    if !side.observed.is_loopback() || other.observed.is_loopback() {
        found.push(SocketAddr::new(side.observed, side.announcement.port));
    }
    if side.observed == other.observed {
        found.extend(side.announcement.candidates.iter().copied());
    }
    found
}

/// Private, unique-local and link-local addresses only: an announcement cannot point others at a third party.
fn is_private_candidate(addr: &SocketAddr) -> bool {
    let is_private = match addr.ip().to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local(),
    };
    is_private && addr.port() >= MIN_PEER_PORT
}

pub(super) fn millis(duration: core::time::Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}
