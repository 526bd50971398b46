//! Mallory: a person with an account and a device of her own, whom the real server introduces as it introduces everybody.
//! Her session is an honest machine; her links are made by hand, so that she can say what no machine utters.
//!
//! She does one thing at a time, on the thread of the test; what others do meanwhile waits in their sockets.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]

mod file;
mod link;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::{Buf as _, BytesMut};
use chatnet::{
    ClientTls, ConnToken, ConnectOptions, Identity, ListenerId, Net, NetConfig, NetEvent, Read, Security,
    ServerTls, Waker,
};
use chatproto::opaque::{ClientLogin, MECHANISM, OsRng, Password, RngCore as _};
use chatproto::session::{Announcement, Config, Event, Introduction, Restored, Session};
use chatproto::wire::{DeviceId, LinkKey, Name, Purpose};

pub use file::{Sending, entry, inline, merged, page, root_of, values_of};
pub use link::{End, Greeting, Link};

use crate::harness::{PASSWORD, PATIENCE, Server};

pub struct Mallory {
    pub name: Name,
    pub device: DeviceId,
    pub identity: Identity,
    net: Net,
    /// Where she accepts peers.
    port: ListenerId,
    listens: SocketAddr,
    events: Vec<NetEvent>,
    started: Instant,
    session: Session,
    addr: SocketAddr,
    security: Security,
    server: Option<ConnToken>,
    /// Ties the login to its channel.
    binding: Vec<u8>,
    login: Option<ClientLogin>,
    /// What her session told and nobody looked at.
    told: VecDeque<Event>,
    /// Those who connected to her port and were not looked at.
    called: VecDeque<ConnToken>,
    wires: HashMap<ConnToken, Wire>,
}

/// A connection that is no server's.
#[derive(Default)]
struct Wire {
    input: BytesMut,
    out: BytesMut,
    /// The key that the other side has proved to have.
    key: Option<LinkKey>,
    /// The same at both ends of the connection.
    binding: [u8; 32],
    is_open: bool,
    is_unread: bool,
    /// Why it is over.
    over: Option<String>,
}

impl Mallory {
    /// Logs in with TLS, and announces a port for peers. Returns once she is logged in.
    pub fn start(server: &Server, name: &str) -> Self {
        let identity = Identity::generate(["peer"]).expect("a key");
        let mut net = Net::new(NetConfig::default()).expect("a loop");
        let tls = ServerTls::for_peers(&identity).expect("a listener's TLS");
        let any = "127.0.0.1:0".parse().expect("an address");
        let (port, listens) = net.listen(any, Security::TlsServer(tls)).expect("a port");
        let mut device = DeviceId([0; 16]);
        OsRng.fill_bytes(&mut device.0);
        let name = Name::new(name).expect("a name");
        let mut config = Config::new(name.clone(), device);
        let announcement = Announcement::new(listens.port(), key_of(&identity), Vec::new());
        config.announcement = Some(announcement.expect("an announcement"));
        let session = Session::new(config, Restored::default(), 1, chatproto::Instant::default());
        let pin = server.fingerprint.as_ref().expect("a server with TLS").parse().expect("a fingerprint");
        let mut mallory = Self {
            name,
            device,
            identity,
            net,
            port,
            listens,
            events: Vec::new(),
            started: Instant::now(),
            session,
            addr: server.addr.parse().expect("an address"),
            security: Security::TlsClient(ClientTls::pinned(pin).expect("a client's TLS")),
            server: None,
            binding: Vec::new(),
            login: None,
            told: VecDeque::new(),
            called: VecDeque::new(),
            wires: HashMap::new(),
        };
        mallory.hear("her login", |event| matches!(event, Event::Ready { .. }).then_some(()));
        mallory
    }

    /// Says yes to the next one who asks, and learns who that is.
    pub fn is_asked(&mut self) -> Introduction {
        let offer = self.hear("an offer", |event| match event {
            Event::PeerOffer { offer, .. } => Some(*offer),
            _ => None,
        });
        self.session.answer_peer(offer, true).expect("the offer is open");
        self.hear("an introduction", |event| match event {
            Event::Introduced(introduction) if introduction.offer == offer => Some(introduction.clone()),
            _ => None,
        })
    }

    /// Leaves the next one who asks without an answer.
    pub fn ignores(&mut self) {
        self.hear("an offer", |event| matches!(event, Event::PeerOffer { .. }).then_some(()));
    }

    /// Says that she accepts no peers: whoever she meets, she calls.
    pub fn accepts_nobody(&mut self) {
        let announcement = Announcement::new(0, key_of(&self.identity), Vec::new());
        self.session.announce(announcement.expect("an announcement"));
        self.write();
    }

    /// Announces another key for her device.
    pub fn announces(&mut self, key: LinkKey) {
        let announcement = Announcement::new(self.listens.port(), key, Vec::new());
        self.session.announce(announcement.expect("an announcement"));
        self.write();
    }

    /// Answers whoever calls with another certificate than her own.
    pub fn shows(&mut self, identity: &Identity) {
        let tls = ServerTls::for_peers(identity).expect("a listener's TLS");
        assert!(self.net.set_security(self.port, Security::TlsServer(tls)));
    }

    /// Whether anybody who called, or was called, has come as far as to speak.
    pub fn has_met(&self) -> bool {
        self.wires.values().any(|wire| wire.is_open || !wire.input.is_empty())
    }

    /// Moves what can move while something is done elsewhere.
    pub fn meanwhile<T: Send>(&mut self, act: impl FnOnce() -> T + Send) -> T {
        /// Says so, also when it fails.
        struct Ends<'a>(&'a AtomicBool, Waker);
        impl Drop for Ends<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
                self.1.wake();
            }
        }
        let (is_over, waker) = (AtomicBool::new(false), self.net.waker());
        std::thread::scope(|scope| {
            let is_over = &is_over;
            let done = scope.spawn(move || {
                let _ends = Ends(is_over, waker);
                act()
            });
            while !is_over.load(Ordering::SeqCst) {
                self.turn(Instant::now() + PATIENCE);
            }
            done.join().expect("it is done")
        })
    }

    /// Asks somebody, who says yes.
    pub fn asks(&mut self, whom: &str, purpose: Purpose) -> Introduction {
        let whom = Name::new(whom).expect("a name");
        let request = self.session.request_peer(&whom, purpose).expect("she may ask");
        self.hear("an introduction", |event| match event {
            Event::Introduced(introduction) if introduction.request == Some(request) => {
                Some(introduction.clone())
            }
            Event::PeerRequestClosed { request: closed, refusal } if *closed == request => {
                panic!("mallory is refused: {refusal:?}")
            }
            _ => None,
        })
    }

    /// Waits for something that her session tells; what comes before it is forgotten.
    fn hear<T>(&mut self, what: &str, wanted: impl Fn(&Event) -> Option<T>) -> T {
        self.wait(what, |mallory| {
            while let Some(event) = mallory.told.pop_front() {
                if let Some(found) = wanted(&event) {
                    return Some(found);
                }
            }
            None
        })
    }

    fn wait<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < deadline, "mallory waited in vain for {what}");
            self.turn(deadline);
        }
    }

    /// Moves what can move, and waits for more of it.
    fn turn(&mut self, deadline: Instant) {
        self.take_session_events();
        self.write();
        let due =
            self.session.poll_timeout().map(|at| self.started + at.since(chatproto::Instant::default()));
        let until = due.map_or(deadline, |due| due.min(deadline));
        self.net.turn(Some(until), &mut self.events).expect("the loop turns");
        for event in std::mem::take(&mut self.events) {
            self.on_event(event);
        }
        let now = self.now();
        self.session.handle_timeout(now);
        self.take_session_events();
        self.write();
    }

    fn on_event(&mut self, event: NetEvent) {
        let now = self.now();
        match event {
            NetEvent::Accepted { token, .. } => drop(self.wires.insert(token, Wire::default())),
            NetEvent::Connected { token, tls } if self.server == Some(token) => {
                self.binding = tls.map(|tls| tls.channel_binding.to_vec()).unwrap_or_default();
                self.session.connected(now);
            }
            NetEvent::Connected { token, tls } => {
                let Some(wire) = self.wires.get_mut(&token) else { return };
                wire.binding = tls.as_ref().map_or([0; 32], |tls| tls.channel_binding);
                wire.key = tls.and_then(|tls| tls.peer).map(|peer| LinkKey(*peer.link_key.as_bytes()));
                wire.is_open = true;
                self.called.push_back(token);
            }
            NetEvent::Readable { token } => self.read(token),
            NetEvent::Closed { token, reason } if self.server == Some(token) => {
                self.session.handle_eof(now);
                panic!("mallory's server is gone: {reason}");
            }
            NetEvent::Closed { token, reason } => {
                if let Some(wire) = self.wires.get_mut(&token) {
                    wire.over.get_or_insert(reason.to_string());
                }
            }
            NetEvent::Writable { .. }
            | NetEvent::AcceptPaused { .. }
            | NetEvent::Woken
            | NetEvent::Signal(_) => {}
        }
    }

    fn read(&mut self, token: ConnToken) {
        let now = self.now();
        let is_unread = self.wires.get(&token).is_some_and(|wire| wire.is_unread);
        if is_unread {
            return self.net.pause_read(token);
        }
        loop {
            match self.net.read(token) {
                Read::Bytes(bytes) if self.server == Some(token) => self.session.handle_input(bytes, now),
                Read::Bytes(bytes) => {
                    if let Some(wire) = self.wires.get_mut(&token) {
                        wire.input.extend_from_slice(bytes);
                    }
                }
                Read::Eof => {
                    if let Some(wire) = self.wires.get_mut(&token) {
                        wire.over.get_or_insert("the other side has hung up".to_owned());
                    }
                    return self.net.close(token);
                }
                Read::Empty | Read::Closed => return,
            }
        }
    }

    fn write(&mut self) {
        if let Some(server) = self.server {
            let queue = self.session.outgoing();
            if queue.has_remaining() {
                self.net.write(server, queue);
            }
        }
        for (token, wire) in self.wires.iter_mut().filter(|(_, wire)| wire.is_open && wire.over.is_none()) {
            if wire.out.has_remaining() {
                self.net.write(*token, &mut wire.out);
            }
        }
    }

    fn take_session_events(&mut self) {
        while let Some(event) = self.session.poll_event() {
            match event {
                Event::Connect => {
                    let options = ConnectOptions { security: self.security.clone(), timeout: PATIENCE };
                    self.server = Some(self.net.connect(self.addr, options).expect("the server is there"));
                }
                Event::LoginWanted { .. } => {
                    let password = Password::new(PASSWORD).expect("a password");
                    let (login, request) = ClientLogin::start(password, &mut OsRng).expect("a login");
                    self.login = Some(login);
                    self.session.login(MECHANISM, &request).expect("the mechanism is offered");
                }
                Event::Challenge { data } => {
                    let login = self.login.take().expect("a login");
                    let proof = login.finish(&data, self.name.as_str(), &self.binding, &mut OsRng);
                    self.session.respond(&proof.expect("a good server").0).expect("it waits for that");
                }
                event => self.told.push_back(event),
            }
        }
    }

    fn now(&self) -> chatproto::Instant {
        let millis = self.started.elapsed().as_millis();
        chatproto::Instant::from_millis(millis.try_into().expect("a short test"))
    }
}

/// The key of an identity as it is announced.
pub fn key_of(identity: &Identity) -> LinkKey {
    LinkKey(*identity.link_key().as_bytes())
}
