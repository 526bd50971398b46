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
use crate::wire::Name;

/// The server of a test world. Every login is accepted, whatever the mechanism says, unless the hub itself bars it.
#[derive(Debug)]
pub struct HubEnd {
    hub: Hub,
    log: MemoryLog,
    address: SocketAddr,
    streams: BTreeMap<StreamId, ConnId>,
    events: Vec<Event>,
    is_up: bool,
    admins: BTreeSet<Name>,
    trap: Option<Trap>,
}

/// Where the process is to die.
#[derive(Debug, Clone, Copy)]
struct Trap {
    point: CrashPoint,
    /// Of this many messages or changes, counted from the beginning of the log.
    count: u64,
    of_changes: bool,
}

/// The moment of a crash, in the life of one message or change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The log was asked to store it.
    BeforeCommit,
    /// It is durable, and the hub does not know.
    AfterCommit,
    /// The hub has acknowledged it, and no byte of that has left.
    BeforeAcknowledgement,
    /// What the hub said was handed to the network.
    AfterAcknowledgement,
}

impl CrashPoint {
    /// All of them, in their order.
    pub const ALL: [Self; 4] =
        [Self::BeforeCommit, Self::AfterCommit, Self::BeforeAcknowledgement, Self::AfterAcknowledgement];
}

impl HubEnd {
    /// A server that listens at `address`.
    #[must_use]
    pub fn new(hub: Hub, log: MemoryLog, address: SocketAddr, network: &mut Network) -> Self {
        network.listen(address);
        Self {
            hub,
            log,
            address,
            streams: BTreeMap::new(),
            events: Vec::new(),
            is_up: true,
            admins: BTreeSet::new(),
            trap: None,
        }
    }

    /// Says who administers the server, from their next login on.
    pub fn set_admins(&mut self, admins: impl IntoIterator<Item = Name>) {
        self.admins = admins.into_iter().collect();
        self.log.set_admins(self.admins.iter().cloned());
    }

    /// The process will die at this point in the life of the `count`th message from now on.
    pub fn crash_at(&mut self, point: CrashPoint, count: u64) {
        let asked = self.log.appended_by(Instant::default());
        self.trap = Some(Trap { point, count: asked.saturating_add(count), of_changes: false });
    }

    /// The process will die at this point in the life of the `count`th change from now on: of a room that is made, of what
    /// is done in one, or to the whole server.
    pub fn crash_at_change(&mut self, point: CrashPoint, count: u64) {
        let asked = self.log.changed_by(Instant::default());
        self.trap = Some(Trap { point, count: asked.saturating_add(count), of_changes: true });
    }

    /// The process dies: connections are cut, what the log had not committed is gone, nobody listens.
    pub fn crash(&mut self, network: &mut Network) {
        self.is_up = false;
        self.trap = None;
        network.unlisten(self.address);
        for stream in core::mem::take(&mut self.streams).into_keys() {
            network.cut(stream);
            network.close(stream);
        }
        self.log.crash();
    }

    /// Starts again from what the log kept.
    pub fn restart(&mut self, config: Config, seed: u64, network: &mut Network) {
        let config = Config { last_room: self.log.last_room(), ..config };
        self.hub = Hub::new(config, self.log.rooms(), Rng::new(seed));
        self.hub.set_gate(self.log.gate().clone());
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
                    is_admin: self.admins.contains(user),
                    ticket: Bytes::new(),
                    ticket_lifetime: Duration::ZERO,
                    data: Bytes::new(),
                };
                self.hub.login_accept(*conn, &accept);
            } else {
                self.events.push(event);
            }
        }
        any
    }

    /// Brings the log's answers to the hub, unless the process dies there.
    fn answer_log(&mut self, network: &mut Network, now: Instant) -> bool {
        let is_now = |trap: &Trap| {
            let log = &self.log;
            (if trap.of_changes { log.changed_by(now) } else { log.appended_by(now) }) >= trap.count
        };
        let Some(trap) = self.trap.filter(is_now) else { return self.log.answer(&mut self.hub, now) };
        match trap.point {
            CrashPoint::BeforeCommit => {}
            CrashPoint::AfterCommit => self.log.commit_due(now),
            CrashPoint::BeforeAcknowledgement => _ = self.log.answer(&mut self.hub, now),
            CrashPoint::AfterAcknowledgement => {
                self.log.answer(&mut self.hub, now);
                self.pump_all(network, now);
            }
        }
        self.crash(network);
        true
    }

    fn pump_all(&mut self, network: &mut Network, now: Instant) -> bool {
        let mut any = false;
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
        any
    }
}

impl Actor for HubEnd {
    fn step(&mut self, network: &mut Network, now: Instant) -> bool {
        if !self.is_up {
            return false;
        }
        let mut any = self.accept(network, now);
        any |= self.hub.poll_timeout().is_some_and(|due| due <= now);
        // Every turn, as a program does: what the log answers is dated by this.
        self.hub.handle_timeout(now);
        any |= self.pump_all(network, now);
        // Every connection was looked at: who is named here has been served already, or is in the next round.
        while self.hub.poll_writable().is_some() {}
        any |= self.answer_events(now);
        any | self.answer_log(network, now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let hub = self.hub.poll_timeout();
        hub.into_iter().chain(self.log.poll_timeout()).filter(|_| self.is_up).min()
    }
}
