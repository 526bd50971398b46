//! Many clients' sessions on one loop, against a real server: connecting, reading and writing. What they do with what they
//! are told is the test's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant as Clock};

use chatnet::{ConnToken, ConnectOptions, Net, NetConfig, NetEvent, Read, Security, TlsInfo};
use chatproto::Instant;
use chatproto::session::{Event, Session};

use super::Server;

/// One of a crowd.
pub trait Member {
    fn session(&mut self) -> &mut Session;

    /// A connection to the server stands; `tls` says which, if it is one with TLS.
    fn on_connected(&mut self, tls: Option<&TlsInfo>);

    /// Everything that the session tells, but that it wants a connection.
    fn on_event(&mut self, event: Event);
}

/// Sessions on one loop.
pub struct Crowd<M> {
    pub members: Vec<M>,
    net: Net,
    server: SocketAddr,
    security: Security,
    /// The connection of each member.
    tokens: Vec<Option<ConnToken>>,
    by_token: HashMap<ConnToken, usize>,
    started: Clock,
    patience: Duration,
}

impl<M: Member> Crowd<M> {
    /// `patience` is how long the crowd may take for one step before the test counts as failed.
    pub fn new(members: Vec<M>, server: &Server, security: Security, patience: Duration) -> Self {
        Self {
            net: Net::new(NetConfig::default()).expect("a loop"),
            server: server.addr.parse().expect("an address"),
            security,
            tokens: vec![None; members.len()],
            members,
            by_token: HashMap::new(),
            started: Clock::now(),
            patience,
        }
    }

    /// Lets everybody go on until the members are as they should be.
    pub fn until(&mut self, what: &str, done: impl Fn(&[M]) -> bool) {
        let began = Clock::now();
        let mut events = Vec::new();
        loop {
            (0..self.members.len()).for_each(|at| self.run(at));
            if done(&self.members) {
                return;
            }
            assert!(began.elapsed() < self.patience, "not in time: {what}");
            let next = self.members.iter_mut().filter_map(|member| member.session().poll_timeout()).min();
            let next = next.map(|at| self.started + Duration::from_millis(at.as_millis()));
            self.net.turn(next, &mut events).expect("the loop runs");
            for event in events.drain(..) {
                self.on_net(event);
            }
            let now = self.now();
            self.members.iter_mut().for_each(|member| member.session().handle_timeout(now));
        }
    }

    fn now(&self) -> Instant {
        Instant::from_millis(self.started.elapsed().as_millis().try_into().expect("a time"))
    }

    fn on_net(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            NetEvent::Connected { token, tls } => {
                let member = &mut self.members[self.by_token[&token]];
                member.on_connected(tls.as_deref());
                member.session().connected(now);
            }
            NetEvent::Readable { token } => {
                let Some(&at) = self.by_token.get(&token) else { return };
                let session = self.members[at].session();
                loop {
                    match self.net.read(token) {
                        Read::Bytes(bytes) => session.handle_input(bytes, now),
                        Read::Empty | Read::Closed => return,
                        Read::Eof => {
                            session.handle_eof(now);
                            return self.net.close(token);
                        }
                    }
                }
            }
            NetEvent::Closed { token, .. } => {
                let Some(at) = self.by_token.remove(&token) else { return };
                if self.tokens[at] == Some(token) {
                    self.tokens[at] = None;
                    let session = self.members[at].session();
                    session.connect_failed(now);
                    session.handle_eof(now);
                }
            }
            NetEvent::Writable { .. }
            | NetEvent::Accepted { .. }
            | NetEvent::AcceptPaused { .. }
            | NetEvent::Woken
            | NetEvent::Signal(_) => {}
        }
    }

    /// Lets one session go on, and sends what it has to say.
    fn run(&mut self, at: usize) {
        let now = self.now();
        let member = &mut self.members[at];
        while let Some(event) = member.session().poll_event() {
            if !matches!(event, Event::Connect) {
                member.on_event(event);
                continue;
            }
            let options = ConnectOptions { security: self.security.clone(), timeout: self.patience };
            match self.net.connect(self.server, options) {
                Ok(token) => {
                    self.tokens[at] = Some(token);
                    self.by_token.insert(token, at);
                }
                Err(_) => member.session().connect_failed(now),
            }
        }
        if let Some(token) = self.tokens[at] {
            self.net.write(token, member.session().outgoing());
        }
    }
}
