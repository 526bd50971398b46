//! A session with its socket.

use core::net::{IpAddr, SocketAddr};

use alloc::vec::Vec;

use super::network::Dialled;
use super::socket::{Pumped, pump};
use super::{Actor, Network, StreamId};
use crate::Instant;
use crate::session::{Event, Session};

/// A client of a test world: it dials when its session asks, and logs in with the first mechanism and no bytes.
#[derive(Debug)]
pub struct SessionEnd {
    session: Session,
    local: IpAddr,
    server: SocketAddr,
    stream: Option<StreamId>,
    is_connected: bool,
    events: Vec<Event>,
}

impl SessionEnd {
    /// A client at `local` that dials `server`.
    #[must_use]
    pub fn new(session: Session, local: IpAddr, server: SocketAddr) -> Self {
        Self { session, local, server, stream: None, is_connected: false, events: Vec::new() }
    }

    /// The session.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The session, to call its verbs.
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// Its present connection to the server, if it stands.
    #[must_use]
    pub fn stream(&self) -> Option<StreamId> {
        self.stream.filter(|_| self.is_connected)
    }

    /// What happened since the last call, without what the connection and the login were about.
    pub fn take_events(&mut self) -> Vec<Event> {
        core::mem::take(&mut self.events)
    }

    fn drop_stream(&mut self, network: &mut Network) {
        if let Some(stream) = self.stream.take() {
            network.close(stream);
        }
        self.is_connected = false;
    }

    fn take_session_events(&mut self, network: &mut Network, now: Instant) -> bool {
        let mut any = false;
        while let Some(event) = self.session.poll_event() {
            any = true;
            if event == Event::Connect {
                self.drop_stream(network);
                self.stream = Some(network.dial(self.local, self.server, now));
            } else if let Event::LoginWanted { mechanisms, .. } = &event {
                // An error means that the connection has ended meanwhile, which an event tells.
                let first = mechanisms.first().map_or("", |mechanism| mechanism.as_str());
                let _ = self.session.login_one_way(first, &[]);
            } else {
                self.events.push(event);
            }
        }
        any
    }

    fn connect(&mut self, network: &mut Network, now: Instant) -> bool {
        let Some(stream) = self.stream.filter(|_| !self.is_connected) else { return false };
        match network.poll_dialled(stream, now) {
            None => return false,
            Some(Dialled::Connected) => {
                self.is_connected = true;
                self.session.connected(now);
            }
            Some(Dialled::Refused) => {
                self.stream = None;
                self.session.connect_failed(now);
            }
        }
        true
    }

    fn pump(&mut self, network: &mut Network, now: Instant) -> bool {
        let Some(stream) = self.stream else { return false };
        if !self.is_connected {
            let is_given_up = self.session.is_finished();
            if is_given_up {
                self.drop_stream(network);
            }
            return is_given_up;
        }
        match pump(network, stream, &mut self.session, now) {
            Pumped::Idle => false,
            Pumped::Moved => true,
            Pumped::Over => {
                self.drop_stream(network);
                true
            }
        }
    }
}

impl Actor for SessionEnd {
    fn step(&mut self, network: &mut Network, now: Instant) -> bool {
        let mut any = self.take_session_events(network, now);
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
            any = true;
        }
        any |= self.take_session_events(network, now);
        any |= self.connect(network, now);
        any |= self.pump(network, now);
        any | self.take_session_events(network, now)
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.session.poll_timeout()
    }
}
