//! The keys of people: compared by code, verified, accepted anew after a change; and who gets a link without a question.

use super::App;
use super::errand::Errand;
use super::rooms::{Answer, Question};
use crate::command::ConsentWhom;
use crate::comparison::{comparison_code, is_same_code};
use crate::notice::{Code, ConsentLine, Notice, PeerKey};
use crate::settings::{AcceptPolicy, Plaintext};
use crate::state::ConsentRule;
use chatproto::session::RoomKey;
use chatproto::wire::{DeviceId, LinkKey, Name, OfferId};

/// Changed keys that wait for `/trust`; the first gives way. Answers a server that invents people.
const MAX_CHANGED: usize = 64;

/// Rooms that are asked about for one offer. Each costs the server a question.
const MAX_ROOMS_ASKED: usize = 8;

/// Keys that are not those remembered, and offers that wait for the people of rooms.
#[derive(Debug, Default)]
pub(super) struct Persons {
    changed: Vec<(Name, DeviceId, LinkKey)>,
    /// Offers whose asker is looked for in rooms: how many answers are missing, and the strictest rule so far.
    looking: Vec<Looking>,
}

#[derive(Debug)]
struct Looking {
    offer: OfferId,
    missing: usize,
    found: Option<ConsentRule>,
}

impl App {
    /// A device has another key than before: it waits for `/trust`.
    pub(super) fn note_changed_key(&mut self, user: &Name, device: DeviceId, key: LinkKey) {
        let changed = &mut self.persons.changed;
        changed.retain(|(name, other, _)| name != user || *other != device);
        if changed.len() >= MAX_CHANGED {
            changed.remove(0);
        }
        changed.push((user.clone(), device, key));
    }

    /// `/trust USER`: the changed keys that were seen are those of this person.
    pub(super) fn trust_person(&mut self, errand: &Errand, user: &Name) {
        let (accepted, kept) = std::mem::take(&mut self.persons.changed)
            .into_iter()
            .partition::<Vec<_>, _>(|(name, ..)| name == user);
        self.persons.changed = kept;
        if accepted.is_empty() {
            let text = format!("no device of {} has shown another key than before", user.as_str());
            return self.voice.fail(Some(errand), Code::NoPeer, text);
        }
        for (user, device, key) in accepted {
            if let Err(error) = self.memory.accept_peer(&user, device, key) {
                return self.voice.fail(Some(errand), Code::State, error.to_string());
            }
        }
        self.show_keys(errand, user);
    }

    /// `/verify USER`: shows the codes; with the code that the other person has read out, remembers that it was right.
    pub(super) fn verify_person(&mut self, errand: &Errand, user: &Name, typed: Option<&str>) {
        let Some(typed) = typed else { return self.show_keys(errand, user) };
        let own = LinkKey(*self.identity.link_key().as_bytes());
        let me = &self.settings.user;
        let known = self.memory.keys_of(user);
        let same =
            known.iter().find(|(_, key, _)| is_same_code(typed, &comparison_code((me, own), (user, *key))));
        let Some((device, ..)) = same.copied() else {
            let text = format!(
                "THE CODES DIFFER: this is not the code of you and any device of {}. If it was read out right, somebody \
                 stands in between",
                user.as_str()
            );
            return self.voice.fail(Some(errand), Code::KeyMismatch, text);
        };
        if let Err(error) = self.memory.verify_peer(user, device) {
            return self.voice.fail(Some(errand), Code::State, error.to_string());
        }
        self.refresh_prompt();
        self.show_keys(errand, user);
    }

    fn show_keys(&mut self, errand: &Errand, user: &Name) {
        let own = LinkKey(*self.identity.link_key().as_bytes());
        let me = &self.settings.user;
        let known = self.memory.keys_of(user);
        if known.is_empty() {
            let text = format!("no device of {} was met yet: connect first, as with /file", user.as_str());
            return self.voice.fail(Some(errand), Code::NoPeer, text);
        }
        let keys = known.into_iter().map(|(device, key, verified)| PeerKey {
            device,
            code: comparison_code((me, own), (user, key)),
            verified,
        });
        let notice = Notice::PeerKeys { peer: user.clone(), keys: keys.collect() };
        self.voice.show(&notice, Some(errand));
    }

    /// Whether the user has compared codes with this device.
    pub(super) fn is_verified(&self, user: &Name, device: DeviceId) -> bool {
        self.memory.keys_of(user).iter().any(|(known, _, verified)| *known == device && *verified)
    }

    /// What people should know of a link that stands with a device whose key nobody has compared.
    pub(super) fn warn_of_unverified(&mut self, peer: &Name) {
        if self.settings.plaintext != Plaintext::Off {
            let name = peer.as_str();
            self.voice.info(format!(
                "{name} is not verified, and without TLS to the server anybody on the way may have introduced somebody else: \
                 compare codes with /verify {name}"
            ));
        }
    }

    /// `/consent`: shows the rules, or sets one.
    pub(super) fn change_consent(
        &mut self,
        errand: &Errand,
        change: Option<(ConsentWhom, Option<ConsentRule>)>,
    ) {
        if let Some((whom, rule)) = change
            && let Err(error) = self.memory.set_consent(&whom, rule)
        {
            return self.voice.fail(Some(errand), Code::State, error.to_string());
        }
        let consent = self.memory.consent();
        let people =
            consent.people().map(|(name, rule)| ConsentLine { user: Some(name.into()), room: None, rule });
        let rooms =
            consent.rooms().map(|(name, rule)| ConsentLine { user: None, room: Some(name.into()), rule });
        let otherwise = match self.settings.accept {
            AcceptPolicy::Ask => ConsentRule::Ask,
            AcceptPolicy::All => ConsentRule::Always,
            AcceptPolicy::None => ConsentRule::Never,
        };
        let notice = Notice::Consent { rules: people.chain(rooms).collect(), otherwise };
        self.voice.show(&notice, Some(errand));
    }

    /// Whether somebody gets no link of their own accord, as far as that can be told without asking for the people of rooms.
    pub(super) fn refuses(&self, peer: &Name) -> bool {
        let rule = self.memory.consent().person(peer.as_str());
        rule.map_or(self.settings.accept, policy) == AcceptPolicy::None
    }

    /// What somebody who asks is told without a question: by the rule for them, else by the strictest rule of the rooms that
    /// both are in, else as the command line says. `None` while the rooms are asked.
    pub(super) fn consent_to(&mut self, offer: OfferId, from: &Name) -> Option<AcceptPolicy> {
        let consent = self.memory.consent();
        if let Some(rule) = consent.person(from.as_str()) {
            return Some(policy(rule));
        }
        let rooms = consent.rooms().filter_map(|(name, rule)| Some((Name::new(name).ok()?, rule)));
        let rooms = rooms.filter(|(room, _)| self.is_in(room)).collect::<Vec<_>>();
        let (mut missing, mut found) = (0, None);
        for (room, rule) in rooms {
            let asked = (missing < MAX_ROOMS_ASKED).then(|| self.server.session.who(&RoomKey::Room(room)));
            let Some(Ok(request)) = asked else {
                found = Some(self.strictest_unseen(found, rule));
                continue;
            };
            let errand = self.errands.begin();
            let answer = Answer::Consent { offer, from: from.clone(), rule, is_there: false };
            self.questions.insert(request, Question::new(errand, answer));
            missing += 1;
        }
        if missing == 0 {
            return Some(found.map_or(self.settings.accept, policy));
        }
        self.persons.looking.push(Looking { offer, missing, found });
        None
    }

    /// The strictest rule so far when a room cannot be looked into: whoever asks may be there or not, so that nothing is given
    /// without a question that either would not give.
    fn strictest_unseen(&self, found: Option<ConsentRule>, rule: ConsentRule) -> ConsentRule {
        let unseen = strictest(strictest(rule, ConsentRule::Ask), rule_of(self.settings.accept));
        found.map_or(unseen, |found| strictest(found, unseen))
    }

    /// The people of one room are known: whoever asks is there, or not. `None` when the room cannot be looked into.
    pub(super) fn on_asker_sought(&mut self, offer: OfferId, rule: ConsentRule, is_there: Option<bool>) {
        let here = |looking: &Looking| looking.offer == offer;
        let Some(at) = self.persons.looking.iter().position(here) else { return };
        let Looking { missing, found, .. } = self.persons.looking.swap_remove(at);
        let found = match is_there {
            Some(true) => Some(found.map_or(rule, |found| strictest(found, rule))),
            Some(false) => found,
            None => Some(self.strictest_unseen(found, rule)),
        };
        if missing > 1 {
            return self.persons.looking.push(Looking { offer, missing: missing - 1, found });
        }
        let decided = found.map_or(self.settings.accept, policy);
        self.decide_offer(offer, decided);
    }
}

fn rule_of(policy: AcceptPolicy) -> ConsentRule {
    match policy {
        AcceptPolicy::All => ConsentRule::Always,
        AcceptPolicy::Ask => ConsentRule::Ask,
        AcceptPolicy::None => ConsentRule::Never,
    }
}

fn policy(rule: ConsentRule) -> AcceptPolicy {
    match rule {
        ConsentRule::Always => AcceptPolicy::All,
        ConsentRule::Ask => AcceptPolicy::Ask,
        ConsentRule::Never => AcceptPolicy::None,
    }
}

fn strictest(one: ConsentRule, other: ConsentRule) -> ConsentRule {
    let rank = |rule| match rule {
        ConsentRule::Always => 0,
        ConsentRule::Ask => 1,
        ConsentRule::Never => 2,
    };
    if rank(one) >= rank(other) { one } else { other }
}
