//! A hub with its listener, its connections and its log.

use core::net::SocketAddr;
use core::time::Duration;

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use bytes::Bytes;

use super::socket::{HubConn, Pumped, pump};
use super::{Actor, MemoryLog, Network, Rng, StreamId};
use crate::Instant;
use crate::hub::{Accept, Config, ConnId, Event, Hub};

/// The server of a test world. Every login is accepted, whatever the mechanism says.
#[derive(Debug)]
pub struct HubEnd {
    hub: Hub,
    log: MemoryLog,
    address: SocketAddr,
    streams: BTreeMap<StreamId, ConnId>,
    events: Vec<Event>,
    is_up: bool,
}

impl HubEnd {
    /// A server that listens at `address`.
    #[must_use]
    pub fn new(hub: Hub, log: MemoryLog, address: SocketAddr, network: &mut Network) -> Self {
        network.listen(address);
        Self { hub, log, address, streams: BTreeMap::new(), events: Vec::new(), is_up: true }
    }

    /// The process dies: connections are cut, what the log had not committed is gone, nobody listens.
    pub fn crash(&mut self, network: &mut Network) {
        self.is_up = false;
        network.unlisten(self.address);
        for stream in core::mem::take(&mut self.streams).into_keys() {
            network.cut(stream);
            network.close(stream);
        }
        self.log.crash();
    }

    /// Starts again from what the log kept.
    pub fn restart(&mut self, config: Config, seed: u64, network: &mut Network) {
        self.hub = Hub::new(config, self.log.rooms(), Rng::new(seed));
        self.hub.set_gate(self.log.gate().clone());
        self.hub.skip_rooms(self.log.last_room());
        self.is_up = true;
        network.listen(self.address);
    }

    /// The hub.
    #[must_use]
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// The hub, to call its verbs.
    pub fn hub_mut(&mut self) -> &mut Hub {
        &mut self.hub
    }

    /// The log.
    #[must_use]
    pub fn log(&self) -> &MemoryLog {
        &self.log
    }

    /// The log, to make it fail or forget.
    pub fn log_mut(&mut self) -> &mut MemoryLog {
        &mut self.log
    }

    /// Whether it is running.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.is_up
    }

    /// Connections and their streams.
    pub fn connections(&self) -> impl Iterator<Item = (StreamId, ConnId)> {
        self.streams.iter().map(|(stream, conn)| (*stream, *conn))
    }

    /// What happened since the last call, without what the log or the login was asked.
    pub fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    fn accept(&mut self, network: &mut Network, now: Instant) -> bool {
        let mut any = false;
        while let Some((stream, from)) = network.poll_accepted(self.address, now) {
            self.streams.insert(stream, self.hub.accept(from, now));
            any = true;
        }
        any
    }

    fn answer_events(&mut self, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.hub.poll_event() {
            any = true;
            let Some(event) = self.log.take(event, now) else { continue };
            if let Event::LoginStarted { conn, user, .. } = &event {
                let accept = Accept {
                    user: user.clone(),
                    is_admin: false,
                    ticket: Bytes::new(),
                    ticket_lifetime: Duration::ZERO,
                    data: Bytes::new(),
                };
                self.hub.login_accept(*conn, &accept);
            } else {
                self.events.push(event);
            }
        }
        any | self.log.answer(&mut self.hub, now)
    }
}

impl Actor for HubEnd {
    fn step(&mut self, network: &mut Network, now: Instant) -> bool {
        if !self.is_up {
            return false;
        }
        let mut any = self.accept(network, now);
        if self.hub.poll_timeout().is_some_and(|due| due <= now) {
            self.hub.handle_timeout(now);
            any = true;
        }
        let streams = self.streams.iter().map(|(stream, conn)| (*stream, *conn)).collect::<BTreeSet<_>>();
        for (stream, conn) in streams {
            match pump(network, stream, &mut HubConn(&mut self.hub, conn), now) {
                Pumped::Idle => {}
                Pumped::Moved => any = true,
                Pumped::Over => {
                    self.streams.remove(&stream);
                    any = true;
                }
            }
        }
        // Every connection was looked at: who is named here has been served already, or is in the next round.
        while self.hub.poll_writable().is_some() {}
        any | self.answer_events(now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let hub = self.hub.poll_timeout();
        hub.into_iter().chain(self.log.poll_timeout()).filter(|_| self.is_up).min()
    }
}
