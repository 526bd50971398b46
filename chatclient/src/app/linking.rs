//! From "may I?" to a link that stands: asking, being asked, being called.

use super::App;
use super::errand::Errand;
use super::links::{LinkId, Origin, With};
use crate::notice::{Code, LinkPath, Notice};
use crate::settings::AcceptPolicy;
use crate::state::KeyCheck;
use chatnet::{ConnToken, TlsInfo, origin};
use chatproto::peer::Peer;
use chatproto::session::{Introduction, Refusal};
use chatproto::wire::{DeviceId, ErrorCode, LinkKey, LinkTicket, Name, OfferId, Purpose, RequestId, Way};
use std::collections::BTreeMap;

/// Callers that have not shown a ticket yet. Answers strangers who would use up the connections that peers and the server
/// need.
const MAX_STRANGERS: usize = 32;

/// Those of them from one address (of IPv6, from one /64). Answers one stranger who would keep everybody's peers out.
const MAX_STRANGERS_PER_ADDRESS: usize = 8;

/// Everything that may become a link.
#[derive(Debug, Default)]
pub(super) struct Linking {
    /// What this user asked of others.
    pub(super) asked: BTreeMap<RequestId, Asked>,
    /// What others ask of this user.
    pub(super) offers: BTreeMap<OfferId, Offer>,
}

/// A question to somebody.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) peer: Name,
    pub(super) errand: Errand,
}

/// A question from somebody.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) from: Name,
    pub(super) purpose: Purpose,
    /// It was shown and waits for `/accept` or `/deny`.
    pub(super) waits: bool,
}

impl Linking {
    /// Whether somebody is asked for a link; anybody, for `None`.
    pub(super) fn is_busy(&self, peer: Option<&Name>) -> bool {
        let meant = |name: &Name| peer.is_none_or(|peer| peer == name);
        self.asked.values().any(|asked| meant(&asked.peer))
    }
}

impl App {
    /// Asks somebody for a link.
    pub(super) fn ask_peer(&mut self, errand: Errand, peer: Name, purpose: Purpose) {
        match self.server.session.request_peer(&peer, purpose) {
            Ok(request) => {
                self.voice.info(format!("* {} is asked", peer.as_str()));
                self.linking.asked.insert(request, Asked { peer, errand });
            }
            Err(error) => self.refuse_request(&errand, &error),
        }
    }

    pub(super) fn on_peer_request_closed(&mut self, request: RequestId, refusal: &Refusal) {
        let Some(asked) = self.linking.asked.remove(&request) else { return };
        let (code, message) = super::facts::refusal(refusal);
        self.fail_link(asked.peer, Some(&asked.errand), code, message);
    }

    pub(super) fn on_peer_offer(&mut self, offer: OfferId, from: Name, purpose: Purpose) {
        self.linking.offers.insert(offer, Offer { from: from.clone(), purpose, waits: false });
        if let Some(policy) = self.consent_to(offer, &from) {
            self.decide_offer(offer, policy);
        }
    }

    /// Answers an offer, or shows it, now that it is known what its asker is to be told.
    pub(super) fn decide_offer(&mut self, offer: OfferId, policy: AcceptPolicy) {
        let Some(asked) = self.linking.offers.get_mut(&offer) else { return };
        asked.waits = policy == AcceptPolicy::Ask;
        let (from, purpose) = (asked.from.clone(), asked.purpose);
        if policy != AcceptPolicy::None {
            let notice = Notice::PeerRequest { id: offer.0, from: from.clone(), purpose };
            self.voice.show(&notice, None);
        }
        match policy {
            AcceptPolicy::Ask => {}
            AcceptPolicy::All => self.answer_offer(offer, true, None),
            AcceptPolicy::None => {
                self.voice.info(format!("{} asked for {purpose} and was denied", from.as_str()));
                self.answer_offer(offer, false, None);
            }
        }
    }

    /// `/accept` and `/deny`.
    pub(super) fn answer_by_user(&mut self, errand: &Errand, id: u64, accept: bool) {
        let offer = OfferId(id);
        if self.linking.offers.get(&offer).is_some_and(|offer| offer.waits) {
            self.answer_offer(offer, accept, Some(errand));
        } else {
            self.voice.fail(
                Some(errand),
                Code::NoSuchRequest,
                format!("no request {id} waits for an answer"),
            );
        }
    }

    fn answer_offer(&mut self, id: OfferId, accept: bool, errand: Option<&Errand>) {
        let Some(offer) = self.linking.offers.get_mut(&id) else { return };
        let waited = std::mem::take(&mut offer.waits);
        if self.server.session.answer_peer(id, accept).is_err() || !accept {
            self.linking.offers.remove(&id);
        }
        if waited || accept {
            self.voice.show(&Notice::PeerRequestClosed { id: id.0, reason: None }, errand);
        }
    }

    pub(super) fn on_peer_offer_closed(&mut self, id: OfferId, refusal: &Refusal) {
        let Some(offer) = self.linking.offers.remove(&id) else { return };
        let (code, message) = super::facts::refusal(refusal);
        if offer.waits {
            self.voice.show(&Notice::PeerRequestClosed { id: id.0, reason: Some(code) }, None);
        } else if self.settings.accept != AcceptPolicy::None {
            self.voice.show(&Notice::PeerFailed { peer: offer.from, verdict: code, message }, None);
        }
    }

    pub(super) fn on_introduced(&mut self, introduction: Introduction) {
        let asked = introduction.request.and_then(|request| self.linking.asked.remove(&request));
        let errand = asked.map(|asked| asked.errand);
        self.linking.offers.remove(&introduction.offer);
        let Introduction { peer, device, link_key, .. } = &introduction;
        match self.memory.check_peer(peer, *device, *link_key) {
            Ok(KeyCheck::New | KeyCheck::Known) => {}
            Ok(KeyCheck::Changed { .. }) => {
                let name = peer.as_str();
                let message = format!(
                    "A DEVICE OF {name} SHOWS ANOTHER KEY THAN BEFORE: this may be somebody else. No link is made. If {name} \
                     tells you, by another way than this server, that it has a new key, /trust {name} accepts it"
                );
                let (peer, device, link_key) = (peer.clone(), *device, *link_key);
                self.server.session.abandon_link(introduction.offer, ErrorCode::WrongKey);
                self.note_changed_key(&peer, device, link_key);
                return self.fail_link(peer, errand.as_ref(), Code::KeyMismatch, message);
            }
            Err(error) => {
                let (peer, offer) = (peer.clone(), introduction.offer);
                self.server.session.abandon_link(offer, ErrorCode::Internal);
                return self.fail_link(peer, errand.as_ref(), Code::State, error.to_string());
            }
        }
        if introduction.purpose == Purpose::Direct
            && let Some(link) = self.links.between(&introduction)
        {
            return self.use_for_direct(link, introduction, errand);
        }
        self.reaching.begin(introduction, errand);
    }

    /// No link comes about; the command that asked for one has failed.
    pub(super) fn fail_link(&mut self, peer: Name, errand: Option<&Errand>, verdict: Code, message: String) {
        let failed = format!("no link with {}: {}", peer.as_str(), verdict.name());
        self.voice.show(&Notice::PeerFailed { peer, verdict, message }, errand);
        if errand.is_some() {
            self.voice.fail(errand, verdict, failed);
        }
    }

    /// Somebody connected, and has proved to have some key. Who it is, the hello will say.
    pub(super) fn on_called(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        match proved(tls) {
            Some((key, binding)) if self.has_room_for(token) => {
                let machine = Peer::listen(self.peer_config(), self.clock.now());
                self.links.insert(token, machine, key, binding, None);
            }
            Some(_) | None => self.net.abort(token),
        }
    }

    fn has_room_for(&self, caller: ConnToken) -> bool {
        let origin_of = |token| self.net.peer_addr(token).map(|addr| origin(addr.ip())).ok();
        let Some(here) = origin_of(caller) else { return false };
        let (mut all, mut neighbours) = (0, 0);
        for stranger in self.links.strangers() {
            all += 1;
            neighbours += usize::from(origin_of(stranger) == Some(here));
        }
        all < MAX_STRANGERS && neighbours < MAX_STRANGERS_PER_ADDRESS
    }

    /// A caller shows a ticket.
    pub(super) fn on_hello(
        &mut self,
        id: LinkId,
        offer: OfferId,
        ticket: &LinkTicket,
        user: &Name,
        device: DeviceId,
        claimed: Purpose,
    ) {
        let now = self.clock.now();
        if self.admit_again(id, offer, ticket, user, device, claimed) {
            return;
        }
        let Some(link) = self.links.get_mut(id) else { return };
        let purpose = self.server.session.introduction(offer).map(|introduction| introduction.purpose);
        if purpose.is_some_and(|purpose| purpose != claimed) {
            // As with anything else that is wrong, nothing is used up: whoever is meant may still come.
            let _ = link.peer.refuse(ErrorCode::BadTicket, now);
            tracing::debug!(claimed = user.as_str(), "a caller wants another link than the one introduced");
            return;
        }
        match self.server.session.admit(offer, ticket, link.key, user, device, now) {
            Ok((Introduction { peer, device, purpose, request, addresses, .. }, way)) => {
                let errand = self.reaching.end(offer);
                let called = match way {
                    // The other side's connection was the first of the two, and found the listener.
                    Some(Way::Family | Way::Punch) => LinkPath::Punched,
                    _ if request.is_some() => LinkPath::Reverse,
                    _ => LinkPath::Direct,
                };
                let path = link.known_path.unwrap_or(called);
                link.seeking = None;
                link.origin = Some(Origin { offer, leads: request.is_some(), addresses });
                link.with = Some(With { peer, device, purpose, path, errand, told: false });
                // It waits for exactly this.
                let _ = link.peer.admit(now);
                self.stop_reaching(offer);
            }
            Err(error) => {
                let _ = link.peer.refuse(ErrorCode::BadTicket, now);
                // Not for the user's eyes, nor line after line over what they type: anybody can call.
                tracing::debug!(claimed = user.as_str(), %error, "a caller was not let in");
            }
        }
    }

    /// The link stands.
    pub(super) fn on_link_open(&mut self, id: LinkId) {
        if let Some((offer, _)) = self.links.get_mut(id).and_then(|link| link.seeking.take()) {
            self.server.session.linked(offer);
            self.reaching.end(offer);
        }
        let Some(With { peer, device, purpose, path, errand, told }) =
            self.links.get_mut(id).and_then(|link| link.with.as_mut())
        else {
            return;
        };
        let (peer, device, purpose, path, errand) = (peer.clone(), *device, *purpose, *path, errand.take());
        *told = true;
        self.keep_for_redial(id);
        let again = self.links.get_mut(id).and_then(|link| link.again);
        if let Some((offer, _)) = again
            && !self.link_is_back(id, offer, &peer)
        {
            return;
        }
        let verified = self.is_verified(&peer, device);
        let notice = Notice::PeerConnected { peer: peer.clone(), device, path, verified };
        self.voice.show(&notice, errand.as_ref());
        if !verified {
            self.warn_of_unverified(&peer);
        }
        self.find_again(id, &peer);
        self.revive(id, &peer);
        match (purpose, errand) {
            (Purpose::Files, Some(errand)) => self.list_root(errand, id),
            (Purpose::Files, None) => {}
            // Who has gone back to the server stays there, and who talks with somebody else goes on with that.
            (Purpose::Direct, _) if again.is_some() && !self.is_direct_with(&peer) => {}
            (Purpose::Direct, errand) => self.go_direct(peer, errand),
        }
    }
}

/// The key that the other side of a connection proved to have, and what ties the two ends of it.
pub(super) fn proved(tls: Option<&TlsInfo>) -> Option<(LinkKey, [u8; 32])> {
    let tls = tls?;
    Some((LinkKey(*tls.peer?.link_key.as_bytes()), tls.channel_binding))
}
