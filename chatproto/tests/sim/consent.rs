//! Nobody is introduced, and nobody's address is told, without a yes of whoever was asked.

use std::collections::BTreeSet;

use chatproto::session::Introduction;
use chatproto::wire::{Name, OfferId};

use crate::client::Client;

/// Every yes that was said: to which offer, by which device, to whom. A server that was restarted counts its offers anew.
#[derive(Default)]
pub struct Consents(BTreeSet<(OfferId, usize, Name)>);

impl Consents {
    pub fn yes(&mut self, offer: OfferId, by: usize, to: Name) {
        self.0.insert((offer, by, to));
    }

    /// Holds what a device is told of another one against what was agreed to.
    pub fn check(&self, at: usize, introduction: &Introduction, clients: &[Client]) {
        let Introduction { offer, request, peer, device, link_key, addresses, .. } = introduction;
        let is_other = |client: &Client| client.device == *device && client.user == *peer;
        let other = clients.iter().position(is_other).expect("a device of the person that is named");
        // Whoever asked is told with their request, whoever was asked without one.
        let (asked, asker) = if request.is_some() { (other, at) } else { (at, other) };
        let yes = (*offer, asked, clients[asker].user.clone());
        assert!(self.0.contains(&yes), "{:?} is told of {peer:?}, who never said yes", clients[at].user);
        assert_eq!(*link_key, clients[other].key);
        assert!(addresses.iter().all(|address| *address == clients[other].listener), "{addresses:?}");
    }
}
