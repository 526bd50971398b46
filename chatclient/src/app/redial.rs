//! Direct mode without a server: when the link is lost, both ends look for each other again by themselves.
//!
//! What they need they have from the first link: each other's key, the addresses, and a secret that both took from its
//! TLS and nobody else can know. Either end dials and either lets the other in, for a day at most. Whoever has dialled in
//! vain for a while also goes back to the server, and stops dialling when it is there.

use super::App;
use super::linking::proved;
use super::links::{Link, LinkId, With};
use crate::notice::LinkPath;
use chatnet::{ClientTls, ConnToken, ConnectOptions, Security, TlsInfo};
use chatproto::peer::{Introduction as Dialled, Peer};
use chatproto::session::State;
use chatproto::wire::{CloseReason, DeviceId, LinkKey, LinkTicket, Name, OfferId, Purpose};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// How long the two ends of a link in direct mode may find each other again.
const GOOD_FOR: Duration = Duration::from_secs(24 * 60 * 60);

/// Links that may be found again; the oldest gives way.
const MAX_STANDING: usize = 16;

/// Addresses kept of a peer: those of the introduction, and the one that worked.
const MAX_ADDRESSES: usize = 6;

/// Time for one attempt, over all addresses at once.
const ATTEMPT: Duration = Duration::from_secs(5);

/// Pauses between attempts: the first, by how much they grow, the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(15);

/// How much later the end that was asked begins, so that the two do not meet in the middle.
const FOLLOW_AFTER: Duration = Duration::from_millis(250);

/// How long an end dials before it goes back to the server as well.
const ALONE_FOR: Duration = Duration::from_secs(10);

/// Links that were found within so short a time come from one search of both ends: longer than an attempt and a hello take.
const ONE_SEARCH: Duration = Duration::from_secs(15);

/// What the secret is made for: that of one purpose is worth nothing for another.
const SECRET_CONTEXT: &str = "chatproto 2026 direct link found again";

/// Links that were made for direct mode, by the offers of their introductions.
#[derive(Debug, Default)]
pub(super) struct Redial {
    standing: BTreeMap<OfferId, Standing>,
}

#[derive(Debug)]
struct Standing {
    peer: Name,
    device: DeviceId,
    key: LinkKey,
    secret: LinkTicket,
    addresses: Vec<SocketAddr>,
    /// This end asked for the first link.
    leads: bool,
    until: Instant,
    /// The link is lost, and is looked for.
    search: Option<Search>,
}

#[derive(Debug)]
struct Search {
    since: Instant,
    next: Instant,
    pause: Duration,
    sockets: Vec<ConnToken>,
    /// The server is asked for as well.
    has_returned: bool,
}

impl Redial {
    pub(super) fn has(&self, token: ConnToken) -> bool {
        self.searches().any(|search| search.sockets.contains(&token))
    }

    fn searches(&self) -> impl Iterator<Item = &Search> {
        self.standing.values().filter_map(|standing| standing.search.as_ref())
    }

    /// Whether a lost link is looked for.
    pub(super) fn is_searching(&self) -> bool {
        self.searches().next().is_some()
    }

    /// When the next attempt is due, or the server.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let due = |search: &Search| {
            let back = (!search.has_returned).then_some(search.since + ALONE_FOR);
            back.into_iter().chain([search.next]).min()
        };
        self.searches().filter_map(due).min()
    }
}

impl App {
    /// A link for direct mode stands: remembers how to find it again.
    pub(super) fn keep_for_redial(&mut self, id: LinkId) {
        // Whoever looks for a link shows its address.
        let peer = self.links.get_mut(id).and_then(|link| link.with.as_ref()).map(|with| with.peer.clone());
        if peer.is_none_or(|peer| self.conceals_from(&peer)) {
            return;
        }
        let Some(link) = self.links.get_mut(id) else { return };
        let (Some(with), Some(origin)) = (&link.with, link.origin.take()) else { return };
        if with.purpose != Purpose::Direct {
            return;
        }
        let mut addresses = origin.addresses;
        // Where it was dialled, it listens. Where it came from is a port of the moment.
        if let (true, Ok(address)) = (link.was_dialled, self.net.peer_addr(link.token)) {
            addresses.retain(|known| *known != address);
            addresses.insert(0, address);
        }
        addresses.truncate(MAX_ADDRESSES);
        let standing = Standing {
            peer: with.peer.clone(),
            device: with.device,
            key: link.key,
            secret: LinkTicket(blake3::derive_key(SECRET_CONTEXT, &link.binding)),
            addresses,
            leads: origin.leads,
            until: Instant::now() + GOOD_FOR,
            search: None,
        };
        let peer = standing.peer.clone();
        self.redial.standing.retain(|_, older| older.peer != peer);
        self.redial.standing.insert(origin.offer, standing);
        if self.redial.standing.len() > MAX_STANDING {
            self.redial.standing.pop_first();
        }
    }

    /// The link with somebody in direct mode is lost, not ended: begins to look for it. `false` when it cannot be found.
    pub(super) fn search_for(&mut self, peer: &Name) -> bool {
        let now = Instant::now();
        // The rule may be newer than the link.
        if self.conceals_from(peer) {
            return false;
        }
        let found =
            self.redial.standing.values_mut().find(|standing| standing.peer == *peer && now < standing.until);
        let Some(standing) = found else { return false };
        if standing.search.is_none() {
            let delay = if standing.leads { Duration::ZERO } else { FOLLOW_AFTER };
            standing.search = Some(Search {
                since: now,
                next: now + delay,
                pause: FIRST_PAUSE,
                sockets: Vec::new(),
                has_returned: false,
            });
        }
        true
    }

    /// One of the two has ended it on purpose, or the server is there again.
    pub(super) fn forget_redial(&mut self, peer: Option<&Name>) {
        for standing in self.redial.standing.values_mut() {
            if peer.is_none_or(|peer| *peer == standing.peer)
                && let Some(search) = standing.search.take()
            {
                search.sockets.into_iter().for_each(|token| self.net.abort(token));
            }
        }
        if let Some(peer) = peer {
            self.redial.standing.retain(|_, standing| standing.peer != *peer);
        }
    }

    /// The rules of who may learn an address have changed: of whom may not, no link is found again.
    pub(super) fn forget_concealed(&mut self) {
        let standing =
            self.redial.standing.values().map(|standing| standing.peer.clone()).collect::<Vec<_>>();
        for peer in standing.into_iter().filter(|peer| self.conceals_from(peer)).collect::<Vec<_>>() {
            self.forget_redial(Some(&peer));
        }
    }

    /// Dials where it is time to.
    pub(super) fn redial_peers(&mut self) {
        let now = Instant::now();
        for standing in self.redial.standing.values_mut().filter(|standing| now >= standing.until) {
            let search = standing.search.take();
            search.into_iter().flat_map(|search| search.sockets).for_each(|token| self.net.abort(token));
        }
        self.redial.standing.retain(|_, standing| now < standing.until);
        let mut returns = false;
        for standing in self.redial.standing.values_mut() {
            let Some(search) = &mut standing.search else { continue };
            if !search.has_returned && now >= search.since + ALONE_FOR {
                search.has_returned = true;
                returns = true;
            }
            if now < search.next {
                continue;
            }
            search.sockets.drain(..).for_each(|token| self.net.abort(token));
            let expected = chatnet::LinkKey::from_bytes(standing.key.0);
            for address in &standing.addresses {
                let Ok(tls) = ClientTls::to_peer(&self.identity, [expected]) else { continue };
                let options = ConnectOptions { security: Security::TlsClient(tls), timeout: ATTEMPT };
                search.sockets.extend(self.net.connect(*address, options));
            }
            search.next = now + ATTEMPT.min(search.pause * 2).max(search.pause);
            search.pause = (search.pause * 2).min(LONGEST_PAUSE);
        }
        if returns && self.server.session.state() == State::Away {
            self.voice.info("the link was not found again yet; going back to the server as well");
            self.server.session.come_back(self.clock.now());
            self.refresh_prompt();
        }
    }

    /// An attempt has reached the other device.
    pub(super) fn on_redialled(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        let now = self.clock.now();
        let config = self.peer_config();
        let has_it = |standing: &Standing| {
            standing.search.as_ref().is_some_and(|search| search.sockets.contains(&token))
        };
        let mut all = self.redial.standing.iter_mut();
        let Some((offer, standing)) = all.find(|(_, standing)| has_it(standing)) else { return };
        let (offer, key) = (*offer, standing.key);
        let Some(search) = &mut standing.search else { return };
        search.sockets.retain(|socket| *socket != token);
        let Some((_, binding)) = proved(tls).filter(|(proved, _)| *proved == key) else {
            return self.net.abort(token);
        };
        // One is enough; were it to fail after all, the next attempt is set.
        search.sockets.drain(..).for_each(|other| self.net.abort(other));
        let (peer, device) = (standing.peer.clone(), standing.device);
        let (purpose, ticket) = (Purpose::Direct, standing.secret);
        let introduction = Dialled { offer, ticket, purpose, peer: peer.clone(), device };
        let machine = Peer::dial(config, introduction, now);
        let with = With { peer, device, purpose, path: LinkPath::Direct, errand: None, told: false };
        let id = self.links.insert(token, machine, key, binding, Some(with));
        if let Some(link) = self.links.get_mut(id) {
            link.was_dialled = true;
            link.again = Some((offer, Instant::now()));
        }
    }

    /// An attempt has failed.
    pub(super) fn on_not_redialled(&mut self, token: ConnToken) {
        for standing in self.redial.standing.values_mut() {
            if let Some(search) = &mut standing.search {
                search.sockets.retain(|socket| *socket != token);
            }
        }
    }

    /// Whether a caller is the other end of a link that was lost; if so, it is let in. Whom the rules refuse is let in only as
    /// long as this user is in direct mode with them, which is a yes.
    pub(super) fn admit_again(
        &mut self,
        id: LinkId,
        offer: OfferId,
        ticket: &LinkTicket,
        user: &Name,
        device: DeviceId,
        claimed: Purpose,
    ) -> bool {
        let now = self.clock.now();
        let is_unwelcome = self.refuses(user) && !self.is_direct_with(user);
        let (Some(link), Some(standing)) = (self.links.get_mut(id), self.redial.standing.get(&offer)) else {
            return false;
        };
        let is_it = ticket.is_same(&standing.secret)
            && link.key == standing.key
            && *user == standing.peer
            && device == standing.device
            && claimed == Purpose::Direct
            && Instant::now() < standing.until
            && !is_unwelcome;
        if is_it {
            let (purpose, path) = (Purpose::Direct, LinkPath::Direct);
            link.with = Some(With { peer: user.clone(), device, purpose, path, errand: None, told: false });
            link.again = Some((offer, Instant::now()));
            // It waits for exactly this.
            let _ = link.peer.admit(now);
        }
        is_it
    }

    /// A lost link stands again. `false` when there is another already, which both ends prefer.
    pub(super) fn link_is_back(&mut self, id: LinkId, offer: OfferId, peer: &Name) -> bool {
        let leads = self.redial.standing.get(&offer).is_some_and(|standing| standing.leads);
        let by_lead = |link: &Link| link.was_dialled == leads;
        let now_found =
            |link: &Link| link.again.is_some_and(|(of, at)| of == offer && at.elapsed() < ONE_SEARCH);
        let is_by_lead = self.links.get_mut(id).is_some_and(|link| by_lead(link));
        let now = self.clock.now();
        for other in self.links.all_with(peer).into_iter().filter(|other| *other != id) {
            let Some(older) = self.links.get_mut(other).filter(|older| older.stands()) else { continue };
            // When both ends have dialled, they see both links, and keep the one that the asking side dialled. One that stood
            // before is dead at the other end, which would not have dialled otherwise.
            if !is_by_lead && by_lead(older) && now_found(older) {
                if let Some(link) = self.links.get_mut(id) {
                    link.is_surplus = true;
                    link.peer.close(CloseReason::Done, now);
                }
                return false;
            }
            older.is_surplus = true;
            older.peer.close(CloseReason::Done, now);
        }
        if let Some(search) = self.redial.standing.get_mut(&offer).and_then(|standing| standing.search.take())
        {
            search.sockets.into_iter().for_each(|token| self.net.abort(token));
        }
        true
    }
}
