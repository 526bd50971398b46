//! Both ends of some connections in one loop, driven until something holds.

#![allow(dead_code, reason = "each test file uses its part")]

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    io::IoSlice,
    net::SocketAddr,
    time::{Duration, Instant},
};

use bytes::{Buf, Bytes};
use chatnet::{
    ClientTls, CloseReason, ConnToken, ConnectOptions, Identity, Net, NetConfig, NetEvent, Read, Security,
    ServerTls, TlsInfo, Write,
};

/// What one end of a connection has seen and has to do.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub(crate) peer: Option<SocketAddr>,
    pub(crate) connected: bool,
    pub(crate) tls: Option<TlsInfo>,
    pub(crate) unsent: Queue,
    pub(crate) received: Vec<u8>,
    /// Bytes received in each turn in which there were any.
    pub(crate) per_turn: Vec<usize>,
    pub(crate) eof: bool,
    /// Half-close once everything is sent.
    pub(crate) finish: bool,
    pub(crate) closed: Option<CloseReason>,
    /// Send back what comes, and end when the other side ends.
    pub(crate) echo: bool,
}

pub(crate) struct Rig {
    pub(crate) net: Net,
    pub(crate) ends: BTreeMap<ConnToken, End>,
    /// Accepted connections, oldest first.
    pub(crate) accepted: Vec<ConnToken>,
    /// Other events, oldest first.
    pub(crate) other: Vec<NetEvent>,
    pub(crate) paused: BTreeSet<ConnToken>,
    /// Accepted connections echo.
    pub(crate) echo: bool,
    events: Vec<NetEvent>,
}

impl Rig {
    pub(crate) fn new(config: NetConfig) -> Self {
        Self {
            net: Net::new(NetConfig { io_threads: crate::IO_THREADS, ..config }).unwrap(),
            ends: BTreeMap::new(),
            accepted: Vec::new(),
            other: Vec::new(),
            paused: BTreeSet::new(),
            echo: false,
            events: Vec::new(),
        }
    }

    pub(crate) fn listen(&mut self, security: Security) -> SocketAddr {
        self.net.listen("127.0.0.1:0".parse().unwrap(), security).unwrap().1
    }

    pub(crate) fn dial(&mut self, addr: SocketAddr, security: Security) -> ConnToken {
        let options = ConnectOptions { security, timeout: PATIENCE };
        let token = self.net.connect(addr, options).unwrap();
        self.ends.insert(token, End::default());
        token
    }

    /// A connected pair: the dialled and the accepted end.
    pub(crate) fn pair(&mut self, listen: Security, dial: Security) -> (ConnToken, ConnToken) {
        let known = self.accepted.len();
        let addr = self.listen(listen);
        let client = self.dial(addr, dial);
        self.run_until("the pair is connected", |rig| {
            rig.end(client).connected
                && rig.accepted.get(known).is_some_and(|server| rig.end(*server).connected)
        });
        (client, self.accepted[known])
    }

    pub(crate) fn end(&self, token: ConnToken) -> &End {
        &self.ends[&token]
    }

    pub(crate) fn end_mut(&mut self, token: ConnToken) -> &mut End {
        self.ends.get_mut(&token).unwrap()
    }

    pub(crate) fn closed(&self, token: ConnToken) -> bool {
        self.end(token).closed.is_some()
    }

    /// The words of a connection's end.
    pub(crate) fn reason(&self, token: ConnToken) -> String {
        self.end(token).closed.as_ref().unwrap().to_string()
    }

    pub(crate) fn run_until(&mut self, what: &str, mut done: impl FnMut(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !done(self) {
            assert!(Instant::now() < deadline, "in vain: {what}; {:#?}", self.ends);
            // What I/O threads have sent meanwhile is no event: it is looked for.
            self.turn(Instant::now() + Duration::from_millis(20));
        }
    }

    pub(crate) fn turn(&mut self, deadline: Instant) {
        self.send();
        let mut events = std::mem::take(&mut self.events);
        self.net.turn(Some(deadline), &mut events).unwrap();
        for event in events.drain(..) {
            self.handle(event);
        }
        self.events = events;
        self.send();
    }

    /// Nothing happens any more, and the loop knows: it waits instead of turning in vain.
    pub(crate) fn assert_at_rest(&mut self) {
        let pause = Duration::from_millis(30);
        let mut events = Vec::new();
        // An edge of which nothing comes, such as the first one of a new socket, may still end a wait or two.
        let waited = (0..4).any(|_| {
            let before = Instant::now();
            self.net.turn(Some(before + pause), &mut events).unwrap();
            before.elapsed() >= pause
        });
        assert!(events.is_empty(), "{events:?}");
        assert!(waited, "the loop is busy with nothing");
    }

    fn handle(&mut self, event: NetEvent) {
        match event {
            NetEvent::Accepted { token, peer, .. } => {
                self.accepted.push(token);
                self.ends.insert(token, End { echo: self.echo, peer: Some(peer), ..End::default() });
            }
            NetEvent::Connected { token, tls } => {
                let end = self.end_mut(token);
                assert!(!end.connected && end.closed.is_none(), "connected once, and before the end");
                end.connected = true;
                end.tls = tls.map(|tls| *tls);
            }
            NetEvent::Readable { token } => self.receive(token),
            NetEvent::Writable { token } => assert!(self.end(token).connected),
            NetEvent::Closed { token, reason } => {
                let end = self.end_mut(token);
                assert!(end.closed.is_none(), "{token:?} closed twice");
                end.closed = Some(reason);
            }
            other @ (NetEvent::AcceptPaused { .. } | NetEvent::Woken | NetEvent::Signal(_)) => {
                self.other.push(other);
            }
        }
    }

    fn receive(&mut self, token: ConnToken) {
        assert!(!self.paused.contains(&token), "{token:?} is paused");
        let end = self.ends.get_mut(&token).unwrap();
        assert!(end.connected && end.closed.is_none());
        let before = end.received.len();
        loop {
            match self.net.read(token) {
                Read::Bytes(bytes) => {
                    assert!(!bytes.is_empty() && !end.eof);
                    end.received.extend_from_slice(bytes);
                    if end.echo {
                        end.unsent.push(Bytes::copy_from_slice(bytes));
                    }
                }
                Read::Eof => {
                    end.eof = true;
                    end.finish |= end.echo;
                    break;
                }
                Read::Empty | Read::Closed => break,
            }
        }
        if end.received.len() > before {
            end.per_turn.push(end.received.len() - before);
        }
    }

    fn send(&mut self) {
        for (token, end) in &mut self.ends {
            if !end.connected || end.closed.is_some() {
                continue;
            }
            if end.unsent.has_remaining() {
                self.net.write(*token, &mut end.unsent);
            }
            if end.finish && !end.unsent.has_remaining() {
                end.finish = false;
                self.net.shutdown_write(*token);
            }
        }
    }
}

/// Chunks to send, as a program's send queue would hold them.
#[derive(Default)]
pub(crate) struct Queue(VecDeque<Bytes>);

impl Queue {
    pub(crate) fn push(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.0.push_back(chunk);
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.remaining())
    }
}

impl Buf for Queue {
    fn remaining(&self) -> usize {
        self.0.iter().map(Bytes::len).sum()
    }

    fn has_remaining(&self) -> bool {
        !self.0.is_empty()
    }

    fn chunk(&self) -> &[u8] {
        self.0.front().map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        self.0.iter().zip(slices.iter_mut()).map(|(chunk, slice)| *slice = IoSlice::new(chunk)).count()
    }

    fn advance(&mut self, mut count: usize) {
        while count > 0 {
            let front = self.0.front_mut().unwrap();
            let taken = count.min(front.len());
            front.advance(taken);
            count -= taken;
            if front.is_empty() {
                self.0.pop_front();
            }
        }
    }
}

/// Numbers that look random and are the same in each run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub(crate) fn bytes(&mut self, count: usize) -> Bytes {
        std::iter::repeat_with(|| self.roll().to_le_bytes()).flatten().take(count).collect()
    }

    /// `bytes` in chunks of up to `most` bytes, small ones more often.
    pub(crate) fn split(&mut self, mut bytes: Bytes, most: u64) -> Queue {
        let mut queue = Queue::default();
        while !bytes.is_empty() {
            let most = 1 + self.roll() % most;
            let size = usize::try_from(1 + self.roll() % most).unwrap().min(bytes.len());
            queue.push(bytes.split_to(size));
        }
        queue
    }
}

pub(crate) fn identity() -> Identity {
    Identity::generate(["localhost"]).unwrap()
}

/// Security of a server and of a client that has pinned it.
pub(crate) fn tls() -> (Security, Security) {
    let identity = identity();
    (
        Security::TlsServer(ServerTls::new(&identity).unwrap()),
        Security::TlsClient(ClientTls::pinned(identity.fingerprint()).unwrap()),
    )
}

pub(crate) fn plain() -> (Security, Security) {
    (Security::Plain, Security::Plain)
}

pub(crate) fn write_all(rig: &mut Rig, token: ConnToken, bytes: &'static [u8]) {
    let mut bytes = bytes;
    assert_eq!(rig.net.write(token, &mut bytes), Write::Done);
}

/// Longer than anything here takes; a test that fails ends all the same.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
