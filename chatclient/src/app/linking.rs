//! From "may I?" to a link that stands: asking, being asked, dialling, being dialled.

use super::App;
use super::errand::Errand;
use super::links::{LinkId, With};
use crate::notice::{Code, LinkPath, Notice};
use crate::settings::AcceptPolicy;
use crate::state::KeyCheck;
use chatnet::{ClientTls, CloseReason, ConnToken, ConnectOptions, Security, TlsInfo, origin};
use chatproto::peer::{Introduction as Dialled, Peer};
use chatproto::session::{Introduction, Refusal};
use chatproto::wire::{
    DeviceId, DialRole, ErrorCode, LinkKey, LinkTicket, Name, OfferId, Purpose, RequestId,
};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

/// Time for one address of a peer, with the TLS handshake; the next one is tried then.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Connections that are being made.
    dials: HashMap<ConnToken, Dial>,
    /// Introductions whose other side dials; with the command that asked, if one did.
    awaited: BTreeMap<OfferId, Awaited>,
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

#[derive(Debug)]
struct Awaited {
    peer: Name,
    errand: Option<Errand>,
}

/// An introduction on its way from address to address.
#[derive(Debug)]
struct Dial {
    introduction: Introduction,
    left: VecDeque<SocketAddr>,
    errand: Option<Errand>,
    /// Why the last address did not do.
    verdict: (Code, String),
}

impl Linking {
    /// Whether a link to somebody is on its way; to anybody, for `None`.
    pub(super) fn is_busy(&self, peer: Option<&Name>) -> bool {
        let meant = |name: &Name| peer.is_none_or(|peer| peer == name);
        self.asked.values().any(|asked| meant(&asked.peer))
            || self.dials.values().any(|dial| dial.errand.is_some() && meant(&dial.introduction.peer))
            || self.awaited.values().any(|awaited| awaited.errand.is_some() && meant(&awaited.peer))
    }

    /// People to whom a link is being made.
    pub(super) fn connecting(&self) -> impl Iterator<Item = &Name> {
        let dialled = self.dials.values().map(|dial| &dial.introduction.peer);
        dialled.chain(self.awaited.values().map(|awaited| &awaited.peer))
    }
}

impl App {
    /// Asks somebody for a link.
    pub(super) fn ask_peer(&mut self, errand: Errand, peer: Name, purpose: Purpose) {
        match self.server.session.request_peer(&peer, purpose) {
            Ok(request) => drop(self.linking.asked.insert(request, Asked { peer, errand })),
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
                     says that it is so, /trust {name} accepts it"
                );
                let (peer, device, link_key) = (peer.clone(), *device, *link_key);
                self.note_changed_key(&peer, device, link_key);
                return self.fail_link(peer, errand.as_ref(), Code::KeyMismatch, message);
            }
            Err(error) => {
                let peer = peer.clone();
                return self.fail_link(peer, errand.as_ref(), Code::State, error.to_string());
            }
        }
        match introduction.role {
            DialRole::Await => {
                let awaited = Awaited { peer: introduction.peer, errand };
                self.linking.awaited.insert(introduction.offer, awaited);
            }
            DialRole::Dial => {
                let left = introduction.addresses.iter().copied().collect();
                let verdict = (Code::Unreachable, "the server named no address".to_owned());
                self.dial_next(Dial { introduction, left, errand, verdict });
            }
        }
    }

    pub(super) fn on_introduction_expired(&mut self, offer: OfferId, peer: Name) {
        let errand = self.linking.awaited.remove(&offer).and_then(|awaited| awaited.errand);
        let message = "nobody connected in time; is your port reachable from outside?".to_owned();
        self.fail_link(peer, errand.as_ref(), ErrorCode::Timeout.into(), message);
    }

    /// Tries the addresses one after another; called again when one did not do.
    fn dial_next(&mut self, mut dial: Dial) {
        while let Some(address) = dial.left.pop_front() {
            let expected = chatnet::LinkKey::from_bytes(dial.introduction.link_key.0);
            let started = ClientTls::to_peer(&self.identity, [expected]).map_err(|error| error.to_string());
            let started = started.and_then(|tls| {
                let options = ConnectOptions { security: Security::TlsClient(tls), timeout: DIAL_TIMEOUT };
                self.net.connect(address, options).map_err(|error| error.to_string())
            });
            match started {
                Ok(token) => return drop(self.linking.dials.insert(token, dial)),
                Err(error) => dial.verdict = (Code::Unreachable, format!("{address}: {error}")),
            }
        }
        let Dial { introduction, errand, verdict: (code, message), .. } = dial;
        self.fail_link(introduction.peer, errand.as_ref(), code, message);
    }

    /// No link comes about; the command that asked for one has failed.
    pub(super) fn fail_link(&mut self, peer: Name, errand: Option<&Errand>, verdict: Code, message: String) {
        let failed = format!("no link with {}: {}", peer.as_str(), verdict.name());
        self.voice.show(&Notice::PeerFailed { peer, verdict, message }, errand);
        if errand.is_some() {
            self.voice.fail(errand, verdict, failed);
        }
    }

    /// A dialled connection stands, and so does the key that was introduced.
    pub(super) fn on_dialled(&mut self, token: ConnToken, tls: Option<&TlsInfo>) -> bool {
        let Some(dial) = self.linking.dials.remove(&token) else { return false };
        let Introduction { offer, purpose, peer, device, link_key, ticket, request, .. } = dial.introduction;
        // TLS has compared the key; were there none, the link must not go on.
        if proved_key(tls) != Some(link_key) {
            self.net.abort(token);
            let message = "the device shows another key than the one introduced".to_owned();
            self.fail_link(peer, dial.errand.as_ref(), Code::KeyMismatch, message);
            return true;
        }
        let path = if request.is_some() { LinkPath::Direct } else { LinkPath::Reverse };
        let introduction = Dialled { offer, ticket, purpose, peer: peer.clone(), device };
        let machine = Peer::dial(self.peer_config(), introduction, self.clock.now());
        let with = With { peer, device, purpose, path, errand: dial.errand, told: false };
        self.links.insert(token, machine, link_key, Some(with));
        true
    }

    /// A connection that was being made has failed: the next address, or the verdict.
    pub(super) fn on_dial_failed(&mut self, token: ConnToken, reason: &CloseReason) -> bool {
        let Some(mut dial) = self.linking.dials.remove(&token) else { return false };
        dial.verdict = verdict(reason);
        self.dial_next(dial);
        true
    }

    /// Somebody connected, and has proved to have some key. Who it is, the hello will say.
    pub(super) fn on_called(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        match proved_key(tls) {
            Some(key) if self.has_room_for(token) => {
                let machine = Peer::listen(self.peer_config(), self.clock.now());
                self.links.insert(token, machine, key, None);
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
        let Some(link) = self.links.get_mut(id) else { return };
        match self.server.session.admit(offer, ticket, link.key, user, device, now) {
            Ok(Introduction { purpose, .. }) if purpose != claimed => {
                let _ = link.peer.refuse(ErrorCode::BadTicket, now);
                tracing::warn!(
                    claimed = user.as_str(),
                    "a caller wants another link than the one introduced"
                );
            }
            Ok(Introduction { peer, device, purpose, request, .. }) => {
                let errand = self.linking.awaited.remove(&offer).and_then(|awaited| awaited.errand);
                let path = if request.is_some() { LinkPath::Reverse } else { LinkPath::Direct };
                link.with = Some(With { peer, device, purpose, path, errand, told: false });
                // It waits for exactly this.
                let _ = link.peer.admit(now);
            }
            Err(error) => {
                let _ = link.peer.refuse(ErrorCode::BadTicket, now);
                // Not for the user's eyes: anybody can call.
                tracing::warn!(claimed = user.as_str(), %error, "a caller was not let in");
            }
        }
    }

    /// The link stands.
    pub(super) fn on_link_open(&mut self, id: LinkId) {
        let Some(With { peer, device, purpose, path, errand, told }) =
            self.links.get_mut(id).and_then(|link| link.with.as_mut())
        else {
            return;
        };
        *told = true;
        let (peer, device, purpose, path, errand) = (peer.clone(), *device, *purpose, *path, errand.take());
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
            (Purpose::Direct, errand) => self.go_direct(peer, errand),
        }
    }
}

/// The key that the other side of a connection proved to have.
fn proved_key(tls: Option<&TlsInfo>) -> Option<LinkKey> {
    Some(LinkKey(*tls?.peer?.link_key.as_bytes()))
}

/// What both people can read of a failed connection.
fn verdict(reason: &CloseReason) -> (Code, String) {
    let code = match reason {
        CloseReason::ConnectTimeout | CloseReason::HandshakeTimeout => ErrorCode::Timeout.into(),
        CloseReason::WrongLinkKey { .. }
        | CloseReason::WrongFingerprint { .. }
        | CloseReason::BadCertificate(_) => Code::KeyMismatch,
        CloseReason::Local
        | CloseReason::Finished
        | CloseReason::ConnectFailed(_)
        | CloseReason::HandshakeCut
        | CloseReason::NotTls
        | CloseReason::RefusedByPeer(_)
        | CloseReason::Tls(_)
        | CloseReason::Truncated
        | CloseReason::Lost(_) => Code::Unreachable,
    };
    (code, reason.to_string())
}
