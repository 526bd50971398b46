//! How the two ends of an introduction come together: an order of ways, a deadline for each, a verdict at the end.
//!
//! ```text
//!   asking side (leads)                                        asked side (follows)
//!   direct   dials ─────────────────────────────────────────►
//!   reverse  peer_try ───────────── server ─────────────────►  dials
//!   family   peer_try ───────────── server ─────────────────►
//!   punch    probe ──────────────►  server  ◄───────────────── probe
//!            ◄──────── peer_meet ── server ── peer_meet ────►
//!            dials ──────────────►     at once     ◄────────── dials
//!   relay    peer_try ───────────── server ─────────────────►
//!            relay ──────────────►  server  ◄───────────────── relay
//! ```
//!
//! The asking side leads: it alone decides when one way has ended and which is next. Either side tells the other what did
//! not work (`peer_outcome`), so that both can say it to their users. Whoever has a connection whose other end proved the
//! right key goes on with it and with nothing else. As the leading side gives up its own dial before it asks the other
//! to dial, at most one connection becomes the link.
//!
//! A [`Negotiation`] does no I/O. Frames, failures and time go in, [`Action`]s come out. It always ends: with
//! [`linking`](Negotiation::linking), or with [`Action::Fail`] at the latest when the introduction expires.

mod verdict;

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use core::time::Duration;

pub use verdict::{By, Tried, Verdict};

use crate::Instant;
use crate::wire::{DialRole, ErrorCode, Way};

/// The lowest port at which anybody is dialled as a peer, told of or tested: below are other people's mail and name servers,
/// against which a network of clients must not be turned.
pub const MIN_PEER_PORT: u16 = 1024;

/// Which ways a user wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// Every way; the relay last.
    #[default]
    Any,
    /// No relay: not even ciphertext passes through the server.
    NoRelay,
    /// The relay only: the other side learns no address.
    OnlyRelay,
}

impl Policy {
    /// Whether this user takes part in a way.
    #[must_use]
    pub fn allows(self, way: Way) -> bool {
        match self {
            Self::Any => true,
            Self::NoRelay => way != Way::Relay,
            Self::OnlyRelay => way == Way::Relay,
        }
    }
}

/// How long each way may take. Together they stay below the life of an introduction's ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Connecting to the addresses of the other side, with TLS. Default 4 s. Bounds the wait behind a firewall that drops.
    pub dial: Duration,
    /// What a request to the other side takes on top, there and back. Default 2 s.
    pub answer: Duration,
    /// A simultaneous open: both probes, the server's word, the connection, TLS. Default 6 s.
    pub meet: Duration,
    /// The relay: both connections to the server, and TLS through it. Default 6 s.
    pub relay: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            dial: Duration::from_secs(4),
            answer: Duration::from_secs(2),
            meet: Duration::from_secs(6),
            relay: Duration::from_secs(6),
        }
    }
}

/// What a negotiation is told at its start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Begin {
    /// This side asked for the introduction, so it leads.
    pub leads: bool,
    /// What the server told this side to do first.
    pub role: DialRole,
    /// Where the other side accepts peers.
    pub addresses: Vec<SocketAddr>,
    /// The other side accepts peers, but at no address that means something here.
    pub hidden: bool,
    /// Where the server sees this side.
    pub observed: Option<IpAddr>,
    /// The server passes on what the two sides have to say; without it there is one dial.
    pub negotiates: bool,
    /// What this user wants.
    pub policy: Policy,
    /// Deadlines.
    pub bounds: Bounds,
    /// When the introduction is over, whatever is under way.
    pub expires: Instant,
}

/// What one side tells the other, through the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Do your part of this way.
    Try(Way),
    /// This way did not work.
    Outcome(Way, ErrorCode),
    /// Nothing worked.
    Failed(ErrorCode),
}

/// What the program is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Tell the other side.
    Tell(Signal),
    /// Connect to these; the first whose key is right counts. [`linking`](Negotiation::linking) or
    /// [`failed`](Negotiation::failed) answers.
    Dial {
        /// As what.
        way: Way,
        /// All that are known.
        addresses: Vec<SocketAddr>,
    },
    /// Show the server the address from which this side will connect: by the server's other address family for
    /// [`Way::Family`].
    Probe {
        /// For which way.
        way: Way,
    },
    /// Connect from the port of the probe, again and again until it works or is stopped.
    Meet {
        /// As what.
        way: Way,
        /// To the port of the other side's probe.
        address: SocketAddr,
        /// When.
        at: Instant,
    },
    /// Open a connection to the server for the relay.
    Relay,
    /// Give up whatever is under way, unless its other end has proved its key.
    Stop,
    /// It is over without a link.
    Fail(Verdict),
}

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A way is being tried, until then.
    Trying(Way, Instant),
    /// The following side waits to be told, or to be called.
    Waiting,
    /// A connection stands and will be the link.
    Linking(Way),
    /// It has ended.
    Over,
}

/// One end's part in coming together.
#[derive(Debug, Clone)]
pub struct Negotiation {
    begin: Begin,
    phase: Phase,
    tried: Vec<Tried>,
    actions: VecDeque<Action>,
    /// The server is gone: what it would have to pass on is of no use.
    is_cut: bool,
    /// Signals that the other side may still send. Answers one that sends without end.
    signals_left: u8,
}

/// Signals taken from the other side: several for each way.
const MAX_SIGNALS: u8 = 32;

impl Negotiation {
    /// Begins with the first way that both the server and this user allow.
    #[must_use]
    pub fn new(begin: Begin, now: Instant) -> Self {
        let mut negotiation = Self {
            phase: Phase::Waiting,
            tried: Vec::new(),
            actions: VecDeque::new(),
            is_cut: false,
            signals_left: MAX_SIGNALS,
            begin,
        };
        match (negotiation.begin.leads, negotiation.begin.role) {
            (true, DialRole::Dial) => negotiation.go_on_from(None, now),
            (true, DialRole::Await) if negotiation.begin.policy == Policy::OnlyRelay => {
                negotiation.go_on_from(Some(Way::Punch), now);
            }
            (true, DialRole::Await) => {
                // The server told the other side to dial, because it knows that nothing else can work.
                negotiation.note_unshown();
                let until = negotiation.dial_deadline(now);
                negotiation.phase = Phase::Trying(Way::Reverse, until);
            }
            (false, DialRole::Dial) => negotiation.follow(Way::Reverse, now),
            (false, DialRole::Await) => {}
        }
        negotiation
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) at the latest.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.phase {
            Phase::Trying(_, until) => Some(until.min(self.begin.expires)),
            Phase::Waiting | Phase::Linking(_) => Some(self.begin.expires),
            Phase::Over => None,
        }
    }

    /// Whether it has ended without a link.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Whether the other side may connect to this one.
    #[must_use]
    pub fn may_be_called(&self) -> bool {
        // Who wants the relay alone has shown no address: whoever comes by one has it from elsewhere.
        let is_wanted = self.begin.policy != Policy::OnlyRelay || self.way() == Some(Way::Relay);
        is_wanted
            && self.phase != Phase::Over
            && (self.begin.negotiates || self.begin.role == DialRole::Await)
    }

    /// By which way the connection came about that is to be the link.
    #[must_use]
    pub fn way(&self) -> Option<Way> {
        match self.phase {
            Phase::Linking(way) | Phase::Trying(way, _) => Some(way),
            Phase::Waiting | Phase::Over => None,
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        if now >= self.begin.expires {
            return self.give_up(ErrorCode::Timeout);
        }
        if let Phase::Trying(way, until) = self.phase
            && now >= until
        {
            let by = By::of(self.begin.leads, way);
            let code = self.explained(way, ErrorCode::DialTimeout);
            if by == By::Us {
                self.tell(Signal::Outcome(way, code));
            }
            self.end_way(way, by, code, now);
        }
    }

    /// The other side says something.
    pub fn handle_signal(&mut self, signal: Signal, now: Instant) {
        if matches!(self.phase, Phase::Over | Phase::Linking(_)) || self.signals_left == 0 {
            return;
        }
        self.signals_left -= 1;
        match signal {
            Signal::Try(way) if !self.begin.leads => self.follow(way, now),
            // Only one side leads.
            Signal::Try(_) => {}
            Signal::Outcome(way, code) => self.heard_outcome(way, code, now),
            // It hears nothing of what follows, but may still dial, or be dialled.
            Signal::Failed(ErrorCode::Offline) => {
                self.is_cut = true;
                let last = now + (self.begin.bounds.dial + self.begin.bounds.answer);
                self.begin.expires = self.begin.expires.min(last);
            }
            Signal::Failed(code) => {
                self.actions.push_back(Action::Stop);
                // Who leads knows best: whatever the other side says, or a server that has forgotten, it hides no wrong key.
                let knows = self.begin.leads && !self.tried.is_empty();
                self.fail(if knows { verdict::overall(&self.tried) } else { code });
            }
        }
    }

    /// The server has seen both probes.
    pub fn handle_meet(&mut self, way: Way, address: SocketAddr, after: Duration, now: Instant) {
        if matches!(self.phase, Phase::Trying(trying, _) if trying == way) {
            self.actions.push_back(Action::Meet { way, address, at: now + after });
        }
    }

    /// This side's own part of a way did not work. What is said of a way that is not being tried any more is ignored.
    pub fn failed(&mut self, way: Way, code: ErrorCode, now: Instant) {
        let is_current = match self.phase {
            Phase::Trying(trying, _) | Phase::Linking(trying) => trying == way,
            Phase::Waiting | Phase::Over => false,
        };
        if is_current {
            let code = self.explained(way, code);
            self.tell(Signal::Outcome(way, code));
            self.end_way(way, By::Us, code, now);
        }
    }

    /// A connection stands whose other end has proved the right key: everything else is given up for it. `false` when it
    /// comes too late and must be closed.
    #[must_use]
    pub fn linking(&mut self, way: Way) -> bool {
        match self.phase {
            Phase::Trying(trying, _) if trying == way => {
                self.phase = Phase::Linking(way);
                true
            }
            Phase::Trying(..) | Phase::Waiting | Phase::Linking(_) | Phase::Over => false,
        }
    }

    /// The connection to the server is lost: what is under way goes on, and nothing follows it.
    pub fn cut(&mut self) {
        self.is_cut = true;
    }

    /// This side ends it. Whether the other side can be told.
    pub fn abandon(&mut self) -> bool {
        self.phase = Phase::Over;
        self.begin.negotiates && !self.is_cut
    }

    /// The following side does its part.
    fn follow(&mut self, way: Way, now: Instant) {
        if matches!(self.phase, Phase::Trying(..)) {
            self.actions.push_back(Action::Stop);
        }
        if !self.begin.policy.allows(way) {
            self.phase = Phase::Waiting;
            self.note(way, By::Us, ErrorCode::Declined);
            return self.tell(Signal::Outcome(way, ErrorCode::Declined));
        }
        let until = now + self.part(way);
        match way {
            // It would be the leading side's part.
            Way::Direct => return,
            Way::Reverse if self.begin.addresses.is_empty() => {
                let code = self.unshown();
                self.phase = Phase::Waiting;
                self.note(way, By::Us, code);
                return self.tell(Signal::Outcome(way, code));
            }
            Way::Reverse => {
                let addresses = self.begin.addresses.clone();
                self.actions.push_back(Action::Dial { way, addresses });
            }
            Way::Family | Way::Punch => self.actions.push_back(Action::Probe { way }),
            Way::Relay => self.actions.push_back(Action::Relay),
        }
        self.phase = Phase::Trying(way, until);
    }

    fn heard_outcome(&mut self, way: Way, code: ErrorCode, now: Instant) {
        match self.phase {
            Phase::Trying(trying, _) if trying == way => self.end_way(way, By::Them, code, now),
            Phase::Trying(..) | Phase::Waiting => self.note(way, By::Them, code),
            Phase::Linking(_) | Phase::Over => {}
        }
    }

    /// A way has ended without a connection.
    fn end_way(&mut self, way: Way, by: By, code: ErrorCode, now: Instant) {
        self.note(way, by, code);
        self.actions.push_back(Action::Stop);
        if self.begin.leads {
            self.go_on_from(Some(way), now);
        } else {
            self.phase = Phase::Waiting;
            if !self.begin.negotiates {
                self.give_up(code);
            }
        }
    }

    /// Tries what comes after `last`, or says that nothing is left.
    fn go_on_from(&mut self, last: Option<Way>, now: Instant) {
        let left = Way::ALL.iter().copied().filter(|way| last.is_none_or(|last| *way > last));
        for way in left {
            if !self.begin.policy.allows(way) {
                continue;
            }
            if way != Way::Direct && (self.is_cut || !self.begin.negotiates) {
                break;
            }
            if way == Way::Direct {
                if self.begin.addresses.is_empty() {
                    self.note_unshown();
                    continue;
                }
                let addresses = self.begin.addresses.clone();
                self.actions.push_back(Action::Dial { way, addresses });
            } else {
                self.tell(Signal::Try(way));
            }
            match way {
                Way::Direct | Way::Reverse => {}
                Way::Family | Way::Punch => self.actions.push_back(Action::Probe { way }),
                Way::Relay => self.actions.push_back(Action::Relay),
            }
            let answer = if way == Way::Direct { Duration::ZERO } else { self.begin.bounds.answer };
            self.phase = Phase::Trying(way, now + (self.part(way) + answer));
            return;
        }
        let code = verdict::overall(&self.tried);
        self.tell(Signal::Failed(code));
        self.fail(code);
    }

    /// Ends it from outside.
    fn give_up(&mut self, code: ErrorCode) {
        if self.phase == Phase::Over {
            return;
        }
        self.actions.push_back(Action::Stop);
        if self.begin.leads {
            self.tell(Signal::Failed(code));
        }
        let code = if self.tried.is_empty() { code } else { verdict::overall(&self.tried) };
        self.fail(code);
    }

    fn fail(&mut self, code: ErrorCode) {
        self.phase = Phase::Over;
        let tried = core::mem::take(&mut self.tried);
        self.actions.push_back(Action::Fail(Verdict { code, tried }));
    }

    fn tell(&mut self, signal: Signal) {
        if self.begin.negotiates && !self.is_cut {
            self.actions.push_back(Action::Tell(signal));
        }
    }

    fn note(&mut self, way: Way, by: By, code: ErrorCode) {
        // Both may say that the same way failed; the first word is nearer to the cause.
        if !self.tried.iter().any(|tried| tried.way == way) {
            self.tried.push(Tried { way, by, code });
        }
    }

    /// Nobody can dial the other side; it is told why, if it can be.
    fn note_unshown(&mut self) {
        if self.begin.addresses.is_empty() {
            let code = self.unshown();
            self.note(Way::Direct, By::Us, code);
            self.tell(Signal::Outcome(Way::Direct, code));
        }
    }

    fn unshown(&self) -> ErrorCode {
        if self.begin.hidden { ErrorCode::PrivateAddress } else { ErrorCode::NoPeerPort }
    }

    /// How long a side may work on its part.
    fn part(&self, way: Way) -> Duration {
        match way {
            Way::Direct | Way::Reverse => self.begin.bounds.dial,
            Way::Family | Way::Punch => self.begin.bounds.meet,
            Way::Relay => self.begin.bounds.relay,
        }
    }

    /// How long the leading side waits for the other to dial. Where nothing can follow, as long as the introduction is good.
    fn dial_deadline(&self, now: Instant) -> Instant {
        if self.begin.negotiates {
            now + (self.begin.bounds.dial + self.begin.bounds.answer)
        } else {
            self.begin.expires
        }
    }

    /// Nothing answers at a private address because the other side is in another network.
    fn explained(&self, way: Way, code: ErrorCode) -> ErrorCode {
        let is_dial = matches!(way, Way::Direct | Way::Reverse);
        let is_silence = matches!(code, ErrorCode::DialTimeout | ErrorCode::NoRoute);
        let is_outside = self.begin.observed.is_some_and(|own| !is_local(own));
        let all_local = self.begin.addresses.iter().all(|address| is_local(address.ip()));
        if is_dial && is_silence && is_outside && all_local { ErrorCode::PrivateAddress } else { code }
    }
}

/// Whether an address means something in its own network only.
fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_private() || ip.is_link_local() || ip.is_loopback(),
        IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
    }
}
