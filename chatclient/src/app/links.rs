//! Direct links to peers: each is a socket and a machine.

use super::errand::Errand;
use super::rate::Bucket;
use super::transfers::Heard;
use crate::notice::LinkPath;
use chatnet::ConnToken;
use chatproto::peer::{Peer, State};
use chatproto::session::Introduction;
use chatproto::wire::{Capabilities, Capability, DeviceId, LinkKey, Name, OfferId, Purpose, Way};
use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::time::Instant;

/// Names a link for as long as the program runs; newer ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct LinkId(u64);

#[cfg(test)]
impl LinkId {
    pub(super) fn of(number: u64) -> Self {
        Self(number)
    }
}

/// One link, from the end of its TLS handshake on.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) token: ConnToken,
    pub(super) peer: Peer,
    /// The key that the other side proved to have.
    pub(super) key: LinkKey,
    /// Who it is with; unknown until a caller has shown a good ticket.
    pub(super) with: Option<With>,
    /// The introduction that it is to fulfil, and by which way, until it stands.
    pub(super) seeking: Option<(OfferId, Way)>,
    /// How it came about, where that is known before the other side says hello.
    pub(super) known_path: Option<LinkPath>,
    /// What ties the two ends of this TLS connection, and nobody else.
    pub(super) binding: [u8; 32],
    /// This end connected.
    pub(super) was_dialled: bool,
    /// The introduction that led here, until the link stands.
    pub(super) origin: Option<Origin>,
    /// It is a link that was lost, found again at this moment.
    pub(super) again: Option<(OfferId, Instant)>,
    /// Another link with the same peer is preferred: its end means nothing.
    pub(super) is_surplus: bool,
    /// What both ends can do, once it stands.
    pub(super) capabilities: Capabilities,
    /// The socket is not read for now.
    pub(super) paused: bool,
    /// Bytes of files wait for a rate, and not for the socket.
    pub(super) is_held: bool,
    /// The command that ended it.
    pub(super) hangup: Option<Errand>,
    /// Says that the peer has not confirmed, by their numbers.
    pub(super) says: BTreeMap<u64, Errand>,
    /// When bytes of files left last.
    pub(super) sent: Heard,
    /// What the peer wants files to be kept to.
    pub(super) rate: Option<Bucket>,
    /// What the peer was asked to keep files to.
    pub(super) asked_rate: u64,
}

/// What of an introduction is of use after the link stands.
#[derive(Debug)]
pub(super) struct Origin {
    pub(super) offer: OfferId,
    pub(super) leads: bool,
    pub(super) addresses: Vec<SocketAddr>,
}

/// Who a link is with, and how it came about.
#[derive(Debug, Clone)]
pub(super) struct With {
    pub(super) peer: Name,
    pub(super) device: DeviceId,
    pub(super) purpose: Purpose,
    pub(super) path: LinkPath,
    /// The command that asked for it, on the side that did, until it is answered.
    pub(super) errand: Option<Errand>,
    /// The peer was told to be connected.
    pub(super) told: bool,
}

/// All links.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkId, Link>,
    tokens: HashMap<ConnToken, LinkId>,
    last: u64,
    turn: usize,
}

impl Links {
    pub(super) fn insert(
        &mut self,
        token: ConnToken,
        peer: Peer,
        key: LinkKey,
        binding: [u8; 32],
        with: Option<With>,
    ) -> LinkId {
        self.last += 1;
        let id = LinkId(self.last);
        self.tokens.insert(token, id);
        let link = Link {
            token,
            peer,
            key,
            with,
            seeking: None,
            known_path: None,
            binding,
            was_dialled: false,
            origin: None,
            again: None,
            is_surplus: false,
            capabilities: Capabilities::NONE,
            paused: false,
            is_held: false,
            hangup: None,
            says: BTreeMap::new(),
            sent: Heard::now(),
            rate: None,
            asked_rate: 0,
        };
        self.links.insert(id, link);
        id
    }

    pub(super) fn remove(&mut self, id: LinkId) -> Option<Link> {
        let link = self.links.remove(&id)?;
        self.tokens.remove(&link.token);
        Some(link)
    }

    pub(super) fn get(&self, id: LinkId) -> Option<&Link> {
        self.links.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(&id)
    }

    pub(super) fn by_token(&self, token: ConnToken) -> Option<LinkId> {
        self.tokens.get(&token).copied()
    }

    pub(super) fn ids(&self) -> Vec<LinkId> {
        self.links.keys().copied().collect()
    }

    /// All links, each time another one first: what is shared is shared fairly.
    pub(super) fn in_turn(&mut self) -> Vec<LinkId> {
        let mut ids = self.ids();
        self.turn = self.turn.wrapping_add(1);
        let first = self.turn.checked_rem(ids.len()).unwrap_or(0);
        ids.rotate_left(first);
        ids
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Link> {
        self.links.values()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// The device at the other end, once it is known.
    pub(super) fn device(&self, link: LinkId) -> Option<DeviceId> {
        self.links.get(&link)?.with.as_ref().map(|with| with.device)
    }

    /// The newest link that stands with somebody.
    pub(super) fn with(&self, peer: &Name) -> Option<LinkId> {
        let stands = |(_, link): &(&LinkId, &Link)| link.stands() && link.name() == Some(peer);
        self.links.iter().rfind(stands).map(|(id, _)| *id)
    }

    /// The link that stands between the two devices of an introduction, if there is one: of several the same at both ends.
    pub(super) fn between(&self, introduction: &Introduction) -> Option<LinkId> {
        let Introduction { peer, device, link_key, .. } = introduction;
        let is_theirs =
            |link: &Link| link.with.as_ref().is_some_and(|with| with.peer == *peer && with.device == *device);
        let stands = |link: &Link| link.stands() && !link.is_surplus && link.key == *link_key;
        let all = self.links.iter().filter(|(_, link)| is_theirs(link) && stands(link));
        all.min_by_key(|(_, link)| link.binding).map(|(id, _)| *id)
    }

    /// Every link with somebody, whether it stands or is on its way.
    pub(super) fn all_with(&self, peer: &Name) -> Vec<LinkId> {
        let with = self.links.iter().filter(|(_, link)| link.name() == Some(peer));
        with.map(|(id, _)| *id).collect()
    }

    /// Callers that have not shown a ticket.
    pub(super) fn strangers(&self) -> impl Iterator<Item = ConnToken> + '_ {
        self.links.values().filter(|link| link.with.is_none()).map(|link| link.token)
    }

    /// Whether units can be asked for by their hash over a link.
    pub(super) fn has_sources(&self, id: LinkId) -> bool {
        let has = |link: &Link| link.stands() && link.capabilities.has(Capability::Sources);
        self.links.get(&id).is_some_and(has)
    }

    /// Whether a link is there and stands.
    pub(super) fn stands(&self, id: LinkId) -> bool {
        self.links.get(&id).is_some_and(Link::stands)
    }

    /// Whether a link with somebody is being opened; with anybody, for `None`.
    pub(super) fn is_opening(&self, peer: Option<&Name>) -> bool {
        let opening = |link: &&Link| !link.stands() && link.peer.state() != State::Closed;
        let meant = |link: &Link| peer.is_none() || link.name() == peer;
        self.links.values().filter(opening).any(|link| link.with.is_some() && meant(link))
    }
}

impl Link {
    /// Who it is with, once that is known.
    pub(super) fn name(&self) -> Option<&Name> {
        self.with.as_ref().map(|with| &with.peer)
    }

    /// Whether lists, files and words can be exchanged.
    pub(super) fn stands(&self) -> bool {
        self.peer.state() == State::Open
    }

    pub(super) fn poll_timeout(&self) -> Option<chatproto::Instant> {
        self.peer.poll_timeout()
    }
}
