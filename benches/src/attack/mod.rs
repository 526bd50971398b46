//! Attackers, on a thread of their own that gives way to whoever measures: what they do, and what they are told.

mod caller;
mod siege;
mod table;
mod visitor;

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatnet::{ConnToken, ConnectOptions, Net, NetConfig, NetEvent, Read, Security, Write};
use serde::Serialize;

use crate::Failure;
use crate::report::{float, millis};

use caller::{Caller, End};
pub use siege::{Counted, Outcome, Siege, part_processors};
pub use table::Outcomes;
pub use visitor::{Visitors, Visits};

/// What attackers do.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Connect as often as they can, and go away after a moment.
    Knock,
    /// Log in with wrong passwords, so often each second.
    Guess(u32),
    /// So many connect, and say nothing.
    Silent(usize),
    /// So many connect, and say a byte a second.
    Drip(usize),
}

/// Where attackers come from: so many addresses of their own on loopback.
#[derive(Clone, Copy, Debug)]
pub struct Origins(pub u16);

impl Origins {
    fn of(self, number: u64) -> SocketAddr {
        let at = u16::try_from(number % u64::from(self.0.max(1))).unwrap_or(0);
        let [high, low] = at.to_be_bytes();
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 66, high, low.saturating_add(1).max(1))), 0)
    }
}

/// What became of their connections.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counts {
    /// Connections that were begun.
    pub attempts: u64,
    /// The system did not connect them, at once or in time.
    pub failed: u64,
    /// Closed without a byte.
    pub unanswered: u64,
    /// Connected, as this side's system had it, and never known to the server, whose queue was full.
    pub unknown: u64,
    /// Told to come back later.
    pub busy: u64,
    /// Logins refused for a wrong ID or password.
    pub refused: u64,
    /// Logins refused because there were too many.
    pub too_many: u64,
    /// Ended by the server with any other answer.
    pub answered: u64,
    /// Left by the attacker, in time or at the end.
    pub left: u64,
    /// The longest that the server let one stay, in seconds.
    pub longest_stay: f64,
    /// How long the attack went on, in seconds.
    pub seconds: f64,
}

impl Counts {
    /// Connections that were begun each second.
    #[must_use]
    pub fn rate(&self) -> f64 {
        float(self.attempts) / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// An attack under way.
#[derive(Debug)]
pub struct Attack {
    stop: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
    thread: JoinHandle<Result<Counts, Failure>>,
}

/// Knocks under way at once.
const MAX_KNOCKING: usize = 512;

/// Guesses under way at once: past it the attack is slower than it should be, which its count shows.
const MAX_GUESSING: usize = 2048;

/// Connections begun in one turn.
const MAX_DIALLED: usize = 64;

/// Time that an attacker who only knocks stays after it is connected.
const KNOCK: Duration = Duration::from_millis(20);

/// Time between two bytes of one who drips.
const DRIP: Duration = Duration::from_secs(1);

/// Time after which a silent one looks whether anybody knows it: longer than the server's queue and deadlines together.
const FORGOTTEN: Duration = Duration::from_secs(60);

/// Longest wait in one turn.
const TURN: Duration = Duration::from_millis(5);

/// Time that a connection may take to stand: long enough for the system to ask again and again.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(60);

/// Others go first.
const NICE: i32 = 19;

impl Attack {
    /// Begins to attack `target`.
    ///
    /// # Errors
    /// When no thread or loop can be started.
    pub fn start(
        kind: Kind,
        target: SocketAddr,
        security: &Security,
        origins: Origins,
    ) -> Result<Self, Failure> {
        let max_connections = match kind {
            Kind::Knock => MAX_KNOCKING,
            Kind::Guess(_) => MAX_GUESSING,
            Kind::Silent(count) | Kind::Drip(count) => count,
        };
        let config = NetConfig { max_connections, ..NetConfig::default() };
        let net = Net::new(config).map_err(Failure::io("start the attackers' loop"))?;
        let security = if matches!(kind, Kind::Guess(_)) { security.clone() } else { Security::Plain };
        let options = ConnectOptions { security, timeout: CONNECT_TIMEOUT };
        let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let gang = Gang {
            kind,
            target,
            options,
            origins,
            net,
            callers: HashMap::new(),
            counts: Counts::default(),
            began: Instant::now(),
            dripped: Instant::now(),
            stop: stop.clone(),
            done: done.clone(),
        };
        let thread = thread::Builder::new().name("attack".into()).spawn(move || gang.run());
        let thread = thread.map_err(Failure::io("start the attackers' thread"))?;
        Ok(Self { stop, done, thread })
    }

    /// Whether all that were to come have come, and the server has ended every one of them.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.done.load(Ordering::Relaxed) || self.thread.is_finished()
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it could not go on.
    pub fn finish(self) -> Result<Counts, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join();
        outcome.unwrap_or_else(|_| Err(Failure::new("attack", "the attackers' thread broke off")))
    }
}

/// All attackers.
#[derive(Debug)]
struct Gang {
    kind: Kind,
    target: SocketAddr,
    options: ConnectOptions,
    origins: Origins,
    net: Net,
    callers: HashMap<ConnToken, Caller>,
    counts: Counts,
    began: Instant,
    dripped: Instant,
    stop: Arc<AtomicBool>,
    done: Arc<AtomicBool>,
}

impl Gang {
    fn run(mut self) -> Result<Counts, Failure> {
        // Of this thread alone, on Linux. Without it the figures are worse, not better.
        let _ = rustix::process::nice(NICE);
        let mut events = Vec::new();
        while !self.stop.load(Ordering::Relaxed) {
            self.dial();
            self.net.turn(Some(Instant::now() + TURN), &mut events).map_err(Failure::io("attack"))?;
            events.drain(..).for_each(|event| self.on_net(event));
            self.look_at_the_clock();
            let is_finite = matches!(self.kind, Kind::Silent(_) | Kind::Drip(_));
            let is_over = is_finite && self.callers.is_empty() && self.missing() == 0;
            self.done.store(is_over, Ordering::Relaxed);
        }
        self.counts.left += self.callers.len() as u64;
        self.counts.seconds = self.began.elapsed().as_secs_f64();
        Ok(self.counts)
    }

    /// How many more should be under way now.
    fn missing(&self) -> usize {
        let begun = usize::try_from(self.counts.attempts).unwrap_or(usize::MAX);
        match self.kind {
            Kind::Knock => MAX_KNOCKING.saturating_sub(self.callers.len()),
            Kind::Guess(rate) => {
                let due = self.began.elapsed().as_millis() * u128::from(rate) / 1000;
                usize::try_from(due).unwrap_or(usize::MAX).saturating_sub(begun)
            }
            Kind::Silent(count) | Kind::Drip(count) => count.saturating_sub(begun),
        }
    }

    fn dial(&mut self) {
        for _ in 0..self.missing().min(MAX_DIALLED) {
            let local = self.origins.of(self.counts.attempts);
            let token = match self.net.connect_between(local, self.target, self.options.clone()) {
                Ok(token) => token,
                // As many as there may be are under way.
                Err(error) if error.kind() == std::io::ErrorKind::QuotaExceeded => return,
                Err(_) => {
                    self.counts.attempts += 1;
                    self.counts.failed += 1;
                    continue;
                }
            };
            let caller = match self.kind {
                Kind::Guess(_) => Caller::guesser(self.counts.attempts),
                Kind::Knock | Kind::Silent(_) | Kind::Drip(_) => Caller::mute(),
            };
            self.counts.attempts += 1;
            self.callers.insert(token, caller);
        }
    }

    fn on_net(&mut self, event: NetEvent) {
        match event {
            NetEvent::Connected { token, .. } => {
                if let Some(caller) = self.callers.get_mut(&token) {
                    caller.connected();
                    self.write(token);
                }
            }
            NetEvent::Readable { token } => self.read(token),
            NetEvent::Writable { token } => self.write(token),
            NetEvent::Closed { token, .. } => {
                if let Some(caller) = self.callers.remove(&token) {
                    self.count(&caller);
                }
            }
            NetEvent::Accepted { .. }
            | NetEvent::AcceptPaused { .. }
            | NetEvent::Woken
            | NetEvent::Signal(_) => {}
        }
    }

    fn read(&mut self, token: ConnToken) {
        loop {
            let Some(caller) = self.callers.get_mut(&token) else { return self.net.abort(token) };
            let is_over = match self.net.read(token) {
                Read::Bytes(bytes) => caller.take(bytes),
                Read::Empty => break,
                Read::Eof | Read::Closed => true,
            };
            if is_over {
                if let Some(caller) = self.callers.remove(&token) {
                    self.count(&caller);
                }
                return self.net.abort(token);
            }
        }
        self.write(token);
    }

    fn write(&mut self, token: ConnToken) {
        let Some(caller) = self.callers.get_mut(&token) else { return };
        match self.net.write(token, &mut caller.out) {
            // What is left goes on with `Writable`; an end is told as an event.
            Write::Done | Write::Blocked | Write::Closed => {}
        }
    }

    fn look_at_the_clock(&mut self) {
        let now = Instant::now();
        match self.kind {
            Kind::Knock => {
                let is_done = |caller: &Caller| caller.stay(now).is_some_and(|stay| stay >= KNOCK);
                let done: Vec<_> = self
                    .callers
                    .iter()
                    .filter(|(_, caller)| is_done(caller))
                    .map(|(token, _)| *token)
                    .collect();
                for token in done {
                    self.callers.remove(&token);
                    self.counts.left += 1;
                    self.net.abort(token);
                }
            }
            Kind::Drip(_) if now.duration_since(self.dripped) >= DRIP => {
                self.dripped = now;
                let tokens: Vec<_> = self.callers.keys().copied().collect();
                for token in tokens {
                    if let Some(caller) = self.callers.get_mut(&token) {
                        caller.drip(&self.options.security);
                    }
                    self.write(token);
                }
            }
            Kind::Silent(_) if now.duration_since(self.dripped) >= DRIP => {
                self.dripped = now;
                let is_late = |caller: &Caller| caller.stay(now).is_some_and(|stay| stay >= FORGOTTEN);
                let late = self.callers.iter_mut().filter(|(_, caller)| is_late(caller));
                let tokens: Vec<_> = late.map(|(token, _)| *token).collect();
                for token in tokens {
                    if let Some(caller) = self.callers.get_mut(&token) {
                        caller.poke();
                    }
                    self.write(token);
                }
            }
            Kind::Drip(_) | Kind::Guess(_) | Kind::Silent(_) => {}
        }
    }

    fn count(&mut self, caller: &Caller) {
        let counts = &mut self.counts;
        let counter = match caller.end() {
            End::Failed => &mut counts.failed,
            End::Unanswered => &mut counts.unanswered,
            End::Unknown => {
                // It was nowhere all that time.
                counts.unknown += 1;
                return;
            }
            End::Busy => &mut counts.busy,
            End::Refused => &mut counts.refused,
            End::TooMany => &mut counts.too_many,
            End::Answered => &mut counts.answered,
        };
        *counter += 1;
        let stay = caller.stay(Instant::now()).map_or(0.0, millis) / 1e3;
        counts.longest_stay = counts.longest_stay.max(stay);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_address_is_one_and_many_are_many_and_none_is_a_neighbours() {
        let addresses = |origins: Origins| (0..2000).map(|n| origins.of(n).ip()).collect::<BTreeSet<_>>();
        assert_eq!(addresses(Origins(1)).len(), 1);
        let many = addresses(Origins(1000));
        assert!((990..=1000).contains(&many.len()), "{}", many.len());
        assert!(many.iter().all(|ip| ip.is_loopback() && *ip != IpAddr::V4(Ipv4Addr::LOCALHOST)));
    }
}
