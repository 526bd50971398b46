//! Direct mode: both have left the server, and the link alone goes on.

use super::App;
use super::errand::Errand;
use super::links::{LinkId, Origin};
use crate::notice::{Code, Notice};
use chatproto::peer;
use chatproto::session::{Introduction, State};
use chatproto::wire::{ErrorCode, Name, Text};

/// With whom, and the command that asked for it until it is answered.
#[derive(Debug)]
pub(super) struct Direct {
    pub(super) peer: Name,
    errand: Option<Errand>,
}

impl App {
    /// The link for it stands: leave the server.
    pub(super) fn go_direct(&mut self, peer: Name, errand: Option<Errand>) {
        let before = self.direct.replace(Direct { peer, errand });
        self.fail_direct(before, "another direct link has taken its place");
        if self.server.session.state() == State::Away {
            return self.on_away();
        }
        self.server.session.leave_for_direct(self.clock.now());
    }

    /// A link between the two introduced devices stands already: it becomes the one for direct mode. What the ticket would
    /// prove is proven: the server told both ends that both agreed to this purpose, and this link has shown the
    /// introduced key. The ticket is worth nothing any more.
    pub(super) fn use_for_direct(&mut self, id: LinkId, introduction: Introduction, errand: Option<Errand>) {
        let Introduction { offer, purpose, peer, request, addresses, .. } = introduction;
        self.server.session.linked(offer);
        let Some(link) = self.links.get_mut(id) else { return };
        if let Some(with) = &mut link.with {
            with.purpose = purpose;
        }
        link.origin = Some(Origin { offer, leads: request.is_some(), addresses });
        self.keep_for_redial(id);
        self.go_direct(peer, errand);
    }

    /// The server was left.
    pub(super) fn on_away(&mut self) {
        let Some(direct) = &mut self.direct else { return };
        let errand = direct.errand.take();
        let peer = direct.peer.clone();
        self.voice.show(&Notice::Direct { peer }, errand.as_ref());
        self.refresh_prompt();
    }

    /// Whether this client is in direct mode with somebody, or looks for the link that it was in.
    pub(super) fn is_direct_with(&self, peer: &Name) -> bool {
        let is_away = self.server.session.state() != State::Ready;
        is_away && self.direct.as_ref().is_some_and(|direct| direct.peer == *peer)
    }

    /// Who asked for a direct link that did not come to be, is told.
    fn fail_direct(&mut self, direct: Option<Direct>, text: &str) {
        if let Some(errand) = direct.and_then(|direct| direct.errand)
            && self.ending.is_none()
        {
            self.voice.fail(Some(&errand), Code::LinkLost, text);
        }
    }

    /// Says something over a link.
    pub(super) fn say_on_link(&mut self, errand: Errand, peer: &Name, text: &Text) {
        let Some(id) = self.links.with(peer) else {
            let message = format!("there is no link with {}; try [FILE] {0}", peer.as_str());
            return self.voice.fail(Some(&errand), Code::NoPeer, message);
        };
        let Some(link) = self.links.get_mut(id) else { return };
        match link.peer.say(text) {
            Ok(counter) => drop(link.says.insert(counter, errand)),
            Err(peer::SayError::Backlog { .. }) => {
                let message = format!("{} does not read what was said before", peer.as_str());
                self.voice.fail(Some(&errand), ErrorCode::Backlog, message);
            }
            Err(peer::SayError::NotOpen(_)) => {
                let message = format!("the link with {} has just ended", peer.as_str());
                self.voice.fail(Some(&errand), Code::LinkLost, message);
            }
        }
    }

    /// The last link with somebody is gone; if it was what the server was left for, it is looked for, and the server is
    /// there again.
    pub(super) fn end_direct_with(&mut self, peer: &Name, is_lost: bool) {
        if self.links.with(peer).is_some() || self.links.is_opening(Some(peer)) {
            return;
        }
        let is_direct = self.direct.as_ref().is_some_and(|direct| direct.peer == *peer);
        if is_direct && is_lost && self.ending.is_none() && self.search_for(peer) {
            return self.voice.info(format!("the link with {} is lost; looking for it", peer.as_str()));
        }
        if !is_lost {
            self.forget_redial(Some(peer));
        }
        let Some(direct) = self.direct.take_if(|direct| direct.peer == *peer) else { return };
        self.fail_direct(Some(direct), "the link has ended before the server was left");
        if self.ending.is_none() {
            self.voice.info(format!("the link with {} is gone; going back to the server", peer.as_str()));
            self.server.session.come_back(self.clock.now());
            self.refresh_prompt();
        }
    }
}
