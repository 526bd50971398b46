//! One end of a direct link with its socket.

use alloc::vec::Vec;

use super::socket::{Pumped, pump};
use super::{Actor, Network, StreamId};
use crate::Instant;
use crate::peer::{Event, Peer};

/// One end of a direct link in a test world. Its events are the test's to answer.
#[derive(Debug)]
pub struct PeerEnd {
    peer: Peer,
    stream: Option<StreamId>,
    events: Vec<Event>,
}

impl PeerEnd {
    /// An end whose stream is connected: [dialled](Network::dial) or [accepted](Network::poll_accepted).
    #[must_use]
    pub fn new(peer: Peer, stream: StreamId) -> Self {
        Self { peer, stream: Some(stream), events: Vec::new() }
    }

    /// The machine.
    #[must_use]
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// The machine, to call its verbs.
    pub fn peer_mut(&mut self) -> &mut Peer {
        &mut self.peer
    }

    /// Its connection, while it stands.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.stream
    }

    /// What happened since the last call.
    pub fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }
}

impl Actor for PeerEnd {
    fn step(&mut self, network: &mut Network, now: Instant) -> bool {
        let mut any = false;
        if self.peer.poll_timeout().is_some_and(|due| due <= now) {
            self.peer.handle_timeout(now);
            any = true;
        }
        if let Some(stream) = self.stream {
            let pumped = pump(network, stream, &mut self.peer, now);
            any |= pumped != Pumped::Idle;
            if pumped == Pumped::Over {
                self.stream = None;
            }
        }
        while let Some(event) = self.peer.poll_event() {
            self.events.push(event);
            any = true;
        }
        any
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.peer.poll_timeout().filter(|_| self.stream.is_some())
    }
}
