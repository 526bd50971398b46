//! From an introduction to a connection: what a negotiation asks for, done with sockets.
//!
//! Every socket here belongs to one introduction. The first whose other end proves the introduced key becomes the link, and
//! takes the others of its introduction down.

use super::App;
use super::advice;
use super::errand::Errand;
use super::linking::proved;
use super::links::{Origin, With};
use crate::notice::{Code, LinkPath, Notice};
use bytes::{Buf as _, Bytes};
use chatnet::{ClientTls, CloseReason, ConnToken, ConnectOptions, Read, Security, ServerTls, TlsInfo};
use chatproto::conn::FrameReader;
use chatproto::peer::{Introduction as Dialled, Peer};
use chatproto::reach::{Action, Verdict};
use chatproto::session::Introduction;
use chatproto::wire::{
    Body as _, ErrorCode, MAX_HELLO_FRAME, Name, OfferId, Probe, Relay, RequestId, ToClient, Way,
};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// Time for one socket. The negotiation has its own, shorter deadlines; this one is for what it forgets.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(15);

/// Pause before a simultaneous open that was refused is tried again: the other side's packet was first.
const MEET_RETRY: Duration = Duration::from_millis(200);

/// How much later than the leading side the other connects, so that without anything in between there is one connection
/// and not two.
const FOLLOW_AFTER: Duration = Duration::from_millis(150);

/// Everything that looks for a way to a peer.
#[derive(Debug, Default)]
pub(super) struct Reaching {
    seeking: BTreeMap<OfferId, Seeking>,
    sockets: HashMap<ConnToken, Socket>,
}

/// An introduction that is not a link yet.
#[derive(Debug)]
struct Seeking {
    introduction: Introduction,
    /// The command that asked for it, if one did.
    errand: Option<Errand>,
    /// The port that the server saw, for the connection that follows the probe.
    port: u16,
    meet: Option<Meet>,
    /// Why the last address did not do.
    code: ErrorCode,
}

/// A simultaneous open that is to begin, or to be tried again.
#[derive(Debug, Clone, Copy)]
struct Meet {
    way: Way,
    address: SocketAddr,
    at: Instant,
}

/// One socket of an introduction.
#[derive(Debug)]
struct Socket {
    offer: OfferId,
    way: Way,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    /// To become the link.
    Link,
    /// The same, by a simultaneous open: tried again when it is refused.
    Meet(SocketAddr),
    /// Shows the server a port.
    Probe,
    /// Waits for the server to join it to the other side's; then it becomes the link.
    Relay(FrameReader),
}

impl Reaching {
    pub(super) fn begin(&mut self, introduction: Introduction, errand: Option<Errand>) {
        let offer = introduction.offer;
        let code = ErrorCode::NoRoute;
        self.seeking.insert(offer, Seeking { introduction, errand, port: 0, meet: None, code });
    }

    /// Whether a link to somebody, which a command waits for, is on its way; to anybody, for `None`.
    pub(super) fn is_busy(&self, peer: Option<&Name>) -> bool {
        let meant = |seeking: &Seeking| peer.is_none_or(|peer| *peer == seeking.introduction.peer);
        self.seeking.values().any(|seeking| seeking.errand.is_some() && meant(seeking))
    }

    pub(super) fn people(&self) -> impl Iterator<Item = &Name> {
        self.seeking.values().map(|seeking| &seeking.introduction.peer)
    }

    pub(super) fn has(&self, token: ConnToken) -> bool {
        self.sockets.contains_key(&token)
    }

    /// It has become a link, or never will.
    pub(super) fn end(&mut self, offer: OfferId) -> Option<Errand> {
        self.seeking.remove(&offer)?.errand
    }

    /// When the next simultaneous open is to begin.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.seeking.values().filter_map(|seeking| seeking.meet.map(|meet| meet.at)).min()
    }

    fn tokens_of(&self, offer: OfferId) -> Vec<ConnToken> {
        let of = |(token, socket): (&ConnToken, &Socket)| (socket.offer == offer).then_some(*token);
        self.sockets.iter().filter_map(of).collect()
    }
}

impl App {
    pub(super) fn on_reach(&mut self, offer: OfferId, action: Action) {
        match action {
            Action::Dial { way, addresses } => self.dial_peer(offer, way, &addresses),
            Action::Probe { way } => self.probe(offer, way),
            Action::Meet { way, address, at } => {
                let at = self.clock.system(at);
                let Some(seeking) = self.reaching.seeking.get_mut(&offer) else { return };
                let leads = seeking.introduction.request.is_some();
                let at = if leads { at } else { at + FOLLOW_AFTER };
                seeking.meet = Some(Meet { way, address, at });
            }
            Action::Relay => self.open_relay(offer),
            Action::Stop => self.stop_reaching(offer),
            // The session does these itself.
            Action::Tell(_) | Action::Fail(_) => {}
        }
    }

    /// Gives up every socket of an introduction that has not become the link.
    pub(super) fn stop_reaching(&mut self, offer: OfferId) {
        for token in self.reaching.tokens_of(offer) {
            self.reaching.sockets.remove(&token);
            self.net.abort(token);
        }
        if let Some(seeking) = self.reaching.seeking.get_mut(&offer) {
            seeking.meet = None;
        }
    }

    pub(super) fn on_link_failed(&mut self, offer: OfferId, peer: Name, verdict: &Verdict) {
        self.stop_reaching(offer);
        let errand = self.reaching.end(offer);
        let message = advice::with(verdict.text(peer.as_str()), &advice::on_verdict(verdict));
        self.fail_link(peer, errand.as_ref(), verdict.code.into(), message);
    }

    fn way_failed(&mut self, offer: OfferId, way: Way, code: ErrorCode) {
        self.server.session.way_failed(offer, way, code, self.clock.now());
    }

    /// Connects to all addresses of the other side at once: there are few, and the first good one counts.
    fn dial_peer(&mut self, offer: OfferId, way: Way, addresses: &[SocketAddr]) {
        let Some(seeking) = self.reaching.seeking.get(&offer) else { return };
        let expected = chatnet::LinkKey::from_bytes(seeking.introduction.link_key.0);
        let mut is_started = false;
        for &address in addresses {
            let started = ClientTls::to_peer(&self.identity, [expected]).map_err(io::Error::other);
            let options =
                |tls| ConnectOptions { security: Security::TlsClient(tls), timeout: SOCKET_TIMEOUT };
            if let Ok(token) = started.and_then(|tls| self.net.connect(address, options(tls))) {
                self.reaching.sockets.insert(token, Socket { offer, way, kind: Kind::Link });
                is_started = true;
            }
        }
        if !is_started {
            self.way_failed(offer, way, ErrorCode::NoRoute);
        }
    }

    /// Shows the server the port that peers connect to, by the family that the way is about.
    fn probe(&mut self, offer: OfferId, way: Way) {
        let Some(server) = self.server.address_for(&self.net, way) else {
            let code = if way == Way::Family { ErrorCode::NoFamily } else { ErrorCode::NoRoute };
            return self.way_failed(offer, way, code);
        };
        let options = ConnectOptions { security: Security::Plain, timeout: SOCKET_TIMEOUT };
        let port = self.server.peer_port.unwrap_or(0);
        match self.net.connect_from(port, server, options) {
            Ok(token) => drop(self.reaching.sockets.insert(token, Socket { offer, way, kind: Kind::Probe })),
            Err(error) => {
                tracing::debug!(%error, "no probe can be made");
                self.way_failed(offer, way, ErrorCode::NoRoute);
            }
        }
    }

    fn open_relay(&mut self, offer: OfferId) {
        let options = ConnectOptions { security: Security::Plain, timeout: SOCKET_TIMEOUT };
        let server = self.server.address_for(&self.net, Way::Relay);
        let opened = server.and_then(|server| self.net.connect(server, options).ok());
        let Some(token) = opened else { return self.way_failed(offer, Way::Relay, ErrorCode::NoRoute) };
        let kind = Kind::Relay(FrameReader::new(MAX_HELLO_FRAME));
        self.reaching.sockets.insert(token, Socket { offer, way: Way::Relay, kind });
    }

    /// Begins the simultaneous opens whose moment has come.
    pub(super) fn meet_peers(&mut self) {
        let now = Instant::now();
        let is_due = |seeking: &Seeking| seeking.meet.is_some_and(|meet| now >= meet.at);
        let due = self.reaching.seeking.iter().filter(|(_, seeking)| is_due(seeking));
        for offer in due.map(|(offer, _)| *offer).collect::<Vec<_>>() {
            let Some(seeking) = self.reaching.seeking.get_mut(&offer) else { continue };
            let Some(meet) = seeking.meet.take() else { continue };
            let (port, leads) = (seeking.port, seeking.introduction.request.is_some());
            let key = seeking.introduction.link_key;
            match self.link_security(leads, key).and_then(|security| {
                let options = ConnectOptions { security, timeout: SOCKET_TIMEOUT };
                self.net.connect_from(port, meet.address, options)
            }) {
                Ok(token) => {
                    self.reaching
                        .sockets
                        .insert(token, Socket { offer, way: meet.way, kind: Kind::Meet(meet.address) });
                }
                Err(error) => {
                    // The other side's connection may be there already; else the deadline ends it.
                    tracing::debug!(%error, address = %meet.address, "cannot connect at the moment");
                    self.meet_again(offer, meet);
                }
            }
        }
    }

    fn meet_again(&mut self, offer: OfferId, meet: Meet) {
        if let Some(seeking) = self.reaching.seeking.get_mut(&offer) {
            seeking.meet = Some(Meet { at: Instant::now() + MEET_RETRY, ..meet });
        }
    }

    /// Who leads is the TLS client, whoever dialled.
    fn link_security(&self, leads: bool, key: chatproto::wire::LinkKey) -> io::Result<Security> {
        if leads {
            let expected = chatnet::LinkKey::from_bytes(key.0);
            return ClientTls::to_peer(&self.identity, [expected])
                .map(Security::TlsClient)
                .map_err(io::Error::other);
        }
        ServerTls::for_peers(&self.identity).map(Security::TlsServer).map_err(io::Error::other)
    }

    /// A socket of an introduction is open for bytes.
    pub(super) fn on_reached(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        let Some(socket) = self.reaching.sockets.get(&token) else { return };
        let (offer, way) = (socket.offer, socket.way);
        let Some(seeking) = self.reaching.seeking.get_mut(&offer) else { return };
        let secret = seeking.introduction.token;
        let hello = match socket.kind {
            Kind::Link | Kind::Meet(_) => return self.become_link(token, tls),
            Kind::Probe => {
                seeking.port = self.net.local_addr(token).map_or(0, |local| local.port());
                Probe { token: secret, way }.to_bytes()
            }
            Kind::Relay(_) if tls.is_some() => return self.become_link(token, tls),
            Kind::Relay(_) => Relay { token: secret }.to_bytes(),
        };
        self.say_once(token, hello);
    }

    /// Writes the one small frame of a fresh connection, for which there is always room.
    fn say_once(&mut self, token: ConnToken, mut frame: Bytes) {
        let _ = self.net.write(token, &mut frame);
        if frame.has_remaining() {
            self.net.abort(token);
        }
    }

    /// The server answers a probe with a bye, and a relay when the other side is there.
    pub(super) fn read_reached(&mut self, token: ConnToken) {
        loop {
            let Some(socket) = self.reaching.sockets.get_mut(&token) else {
                return self.net.pause_read(token);
            };
            let (offer, way) = (socket.offer, socket.way);
            match (self.net.read(token), &mut socket.kind) {
                (Read::Bytes(bytes), Kind::Relay(reader)) => match relay_answer(reader, bytes) {
                    Ok(None) => {}
                    Ok(Some(early)) => return self.start_link_tls(token, &early),
                    Err(code) => {
                        self.reaching.sockets.remove(&token);
                        self.net.abort(token);
                        return self.way_failed(offer, way, code);
                    }
                },
                (Read::Bytes(_), Kind::Probe | Kind::Link | Kind::Meet(_)) => {}
                (Read::Eof, Kind::Probe) => {
                    self.reaching.sockets.remove(&token);
                    return self.net.close(token);
                }
                (Read::Eof, Kind::Relay(_) | Kind::Link | Kind::Meet(_)) => return self.net.abort(token),
                (Read::Empty | Read::Closed, _) => return,
            }
        }
    }

    /// The relay stands: from here on the connection is the link's.
    fn start_link_tls(&mut self, token: ConnToken, early: &[u8]) {
        let Some(socket) = self.reaching.sockets.get(&token) else { return };
        let (offer, way) = (socket.offer, socket.way);
        let Some(seeking) = self.reaching.seeking.get(&offer) else { return };
        let (leads, key) = (seeking.introduction.request.is_some(), seeking.introduction.link_key);
        let started = self.link_security(leads, key).and_then(|security| {
            let options = ConnectOptions { security, timeout: SOCKET_TIMEOUT };
            self.net.start_tls(token, &options, early)
        });
        if let Err(error) = started {
            tracing::debug!(%error, "no TLS through the relay");
            self.reaching.sockets.remove(&token);
            self.net.abort(token);
            self.way_failed(offer, way, ErrorCode::LinkBroken);
        }
    }

    /// A connection stands, and so does the key that was introduced.
    fn become_link(&mut self, token: ConnToken, tls: Option<&TlsInfo>) {
        let Some(Socket { offer, way, .. }) = self.reaching.sockets.remove(&token) else { return };
        let Some(seeking) = self.reaching.seeking.get(&offer) else { return self.net.abort(token) };
        let Introduction { purpose, peer, device, link_key, ticket, request, addresses, .. } =
            seeking.introduction.clone();
        let errand = seeking.errand.clone();
        // TLS has compared the key where it could; were it another one, the link must not go on.
        let Some((_, binding)) = proved(tls).filter(|(proved, _)| *proved == link_key) else {
            self.net.abort(token);
            return self.way_failed(offer, way, ErrorCode::WrongKey);
        };
        if !self.server.session.linking(offer, way) {
            return self.net.abort(token);
        }
        self.stop_reaching(offer);
        let now = self.clock.now();
        let leads = request.is_some();
        let path = match way {
            Way::Direct => LinkPath::Direct,
            Way::Reverse => LinkPath::Reverse,
            Way::Family | Way::Punch => LinkPath::Punched,
            Way::Relay => LinkPath::Relay,
        };
        let says_hello = leads || way == Way::Reverse;
        let id = if says_hello {
            let introduction = Dialled { offer, ticket, purpose, peer: peer.clone(), device };
            let machine = Peer::dial(self.peer_config(), introduction, now);
            let with = With { peer, device, purpose, path, errand, told: false };
            self.links.insert(token, machine, link_key, binding, Some(with))
        } else {
            let machine = Peer::listen(self.peer_config(), now);
            self.links.insert(token, machine, link_key, binding, None)
        };
        if let Some(link) = self.links.get_mut(id) {
            link.seeking = Some((offer, way));
            link.was_dialled = matches!(way, Way::Direct | Way::Reverse);
            link.origin = Some(Origin { offer, leads, addresses });
            link.known_path = Some(path);
        }
    }

    /// The server has tried to reach this client.
    pub(super) fn on_reach_tested(
        &mut self,
        request: RequestId,
        address: SocketAddr,
        code: Option<ErrorCode>,
    ) {
        let Some(question) = self.questions.remove(&request) else { return };
        let message = match code {
            None => format!("peers can reach you at {address}"),
            Some(ErrorCode::WrongKey) => {
                format!("peers cannot reach you: somebody else answers at {address}")
            }
            Some(code) => format!("peers cannot reach you at {address}: {}", super::facts::sentence(code)),
        };
        let help = code.map(|code| advice::on_test(code, address.port(), self.settings.map_port.is_some()));
        let message = advice::with(message, &help.unwrap_or_default());
        let verdict = code.map(Code::from);
        let notice = Notice::Reach { reachable: code.is_none(), address, verdict, message };
        self.voice.show(&notice, Some(&question.errand));
    }

    /// A socket of an introduction has failed: the last of a dial ends the way.
    pub(super) fn on_unreached(&mut self, token: ConnToken, reason: &CloseReason) {
        let Some(Socket { offer, way, kind }) = self.reaching.sockets.remove(&token) else { return };
        let code = verdict(reason);
        match kind {
            // The server has seen it, or the way's deadline will tell.
            Kind::Probe if matches!(reason, CloseReason::Local | CloseReason::Finished) => {}
            Kind::Meet(address) if code != ErrorCode::WrongKey => {
                self.meet_again(offer, Meet { way, address, at: Instant::now() });
            }
            Kind::Link => {
                let Some(seeking) = self.reaching.seeking.get_mut(&offer) else { return };
                seeking.code = more_telling(seeking.code, code);
                let code = seeking.code;
                if self.reaching.tokens_of(offer).is_empty() {
                    self.way_failed(offer, way, code);
                }
            }
            Kind::Meet(_) | Kind::Probe | Kind::Relay(_) => self.way_failed(offer, way, code),
        }
    }
}

/// What the server says on a connection for the relay: `None` when more must come, and in the end what follows its last
/// frame, which is the other side's.
fn relay_answer(reader: &mut FrameReader, bytes: &[u8]) -> Result<Option<Bytes>, ErrorCode> {
    let step = reader.step(bytes).map_err(|error| error.code())?;
    let used = step.used;
    let Some(raw) = step.frame else { return Ok(None) };
    match ToClient::decode(raw) {
        Ok(Some(ToClient::RelayOpened(_))) => {
            Ok(Some(Bytes::copy_from_slice(bytes.get(used..).unwrap_or_default())))
        }
        Ok(Some(ToClient::Error(error))) => Err(error.code),
        _ => Err(ErrorCode::NoRelay),
    }
}

/// Of several addresses, what the user should hear: that somebody else answers, then that nobody wants to, then silence.
fn more_telling(one: ErrorCode, other: ErrorCode) -> ErrorCode {
    const ORDER: [ErrorCode; 4] =
        [ErrorCode::WrongKey, ErrorCode::LinkBroken, ErrorCode::DialRefused, ErrorCode::DialTimeout];
    let said = [one, other];
    ORDER.into_iter().find(|code| said.contains(code)).unwrap_or(other)
}

/// How the system says that nobody wants the connection.
const REFUSALS: [io::ErrorKind; 2] = [io::ErrorKind::ConnectionRefused, io::ErrorKind::ConnectionReset];

/// What a failed connection comes to.
fn verdict(reason: &CloseReason) -> ErrorCode {
    match reason {
        CloseReason::ConnectTimeout | CloseReason::HandshakeTimeout => ErrorCode::DialTimeout,
        CloseReason::ConnectFailed(error) if error.kind() == io::ErrorKind::TimedOut => {
            ErrorCode::DialTimeout
        }
        CloseReason::ConnectFailed(error) if REFUSALS.contains(&error.kind()) => ErrorCode::DialRefused,
        CloseReason::ConnectFailed(_) => ErrorCode::NoRoute,
        CloseReason::WrongLinkKey { .. }
        | CloseReason::WrongFingerprint { .. }
        | CloseReason::BadCertificate(_)
        | CloseReason::NotTls => ErrorCode::WrongKey,
        CloseReason::Local
        | CloseReason::Finished
        | CloseReason::HandshakeCut
        | CloseReason::RefusedByPeer(_)
        | CloseReason::Tls(_)
        | CloseReason::Truncated
        | CloseReason::Lost(_) => ErrorCode::LinkBroken,
    }
}
