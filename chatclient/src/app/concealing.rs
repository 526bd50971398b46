//! Who learns no address of this client: links with them go through the server's relay alone.
//!
//! The server is told with each request and each yes, and shows the other side no address. What a server does in spite of
//! that changes nothing here: this end then neither dials nor probes, lets nobody in who comes another way, and does not look
//! for a lost link.

use super::App;
use super::errand::Errand;
use super::memory::Memory;
use crate::notice::{Code, Notice};
use crate::settings::RelayPolicy;
use chatproto::reach::Policy;
use chatproto::wire::Name;

impl App {
    /// `/relay`: shows the rules, or sets one. It holds from the next link on.
    pub(super) fn change_relay(&mut self, errand: &Errand, change: Option<(Option<Name>, bool)>) {
        if let Some((person, only)) = change {
            if let Err(error) = self.memory.set_relay_only(person.as_ref(), only) {
                return self.voice.fail(Some(errand), Code::State, error.to_string());
            }
            let policy = ways(wanted(&self.memory, self.settings.relay));
            self.server.session.set_policy(policy, self.memory.relay_only());
            self.forget_concealed();
        }
        let only = self.memory.consent().relay_only().map(str::to_owned).collect();
        let otherwise = wanted(&self.memory, self.settings.relay);
        self.voice.show(&Notice::Relay { only, otherwise }, Some(errand));
    }

    /// Whether somebody must not learn where this client is.
    pub(super) fn conceals_from(&self, peer: &Name) -> bool {
        let consent = self.memory.consent();
        wanted(&self.memory, self.settings.relay) == RelayPolicy::Only
            || consent.relay_only().any(|name| name == peer.as_str())
    }
}

/// What the relay is wanted for by all: what was stored is stricter than what the command line says.
pub(super) fn wanted(memory: &Memory, asked: RelayPolicy) -> RelayPolicy {
    if memory.consent().is_relay_only_for_all() { RelayPolicy::Only } else { asked }
}

/// The ways that follow from it.
pub(super) fn ways(relay: RelayPolicy) -> Policy {
    match relay {
        RelayPolicy::Last => Policy::Any,
        RelayPolicy::Never => Policy::NoRelay,
        RelayPolicy::Only => Policy::OnlyRelay,
    }
}
