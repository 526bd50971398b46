//! People who log in with the right password meanwhile, each from an address of their own that is none of the attackers'.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use chatnet::{ConnectOptions, Net, NetConfig, NetEvent, Read, Security, Write};
use serde::Serialize;

use crate::Failure;
use crate::latency::Histogram;
use crate::member::{Member, Task};
use crate::report::Latency;
use crate::subject::{Account, Dialect, Running};

/// How they fared.
#[derive(Clone, Debug, Serialize)]
pub struct Visits {
    /// Logins that went through.
    pub through: u64,
    /// Times that somebody was told to come back later, and did.
    pub busy: u64,
    /// Logins that did not.
    pub failed: u64,
    /// Why the last of those did not.
    pub why: Option<String>,
    /// From the call to the end of the login.
    pub login_ms: Latency,
}

/// Visitors, one after the other, on a thread of their own.
#[derive(Debug)]
pub struct Visitors {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Result<Visits, Failure>>,
}

/// Time between two of them.
const PAUSE: Duration = Duration::from_millis(100);

/// Time that a login may take: what a person waits.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the member's failure says then.
const BUSY: &str = "busy";

/// When to come back: as the server advises.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Longest wait in one turn.
const TURN: Duration = Duration::from_millis(50);

/// The device of the first; members have low numbers.
const FIRST_DEVICE: u64 = 1 << 32;

impl Visitors {
    /// Begins.
    ///
    /// # Errors
    /// When no thread can be started, or the subject has no accounts.
    pub fn start(subject: &Running) -> Result<Self, Failure> {
        let Dialect::Chat(accounts) = &subject.dialect else {
            return Err(Failure::new("visit", "there is nothing to log in to"));
        };
        let (accounts, addr, security) = (accounts.clone(), subject.addr(), subject.security.clone());
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let visit = move || visit(&accounts, addr, &security, &stopped);
        let thread = thread::Builder::new().name("visitors".into()).spawn(visit);
        Ok(Self { stop, thread: thread.map_err(Failure::io("start the visitors' thread"))? })
    }

    /// Ends after the login that is under way.
    ///
    /// # Errors
    /// When it could not go on.
    pub fn finish(self) -> Result<Visits, Failure> {
        self.stop.store(true, Ordering::Relaxed);
        let outcome = self.thread.join();
        outcome.unwrap_or_else(|_| Err(Failure::new("visit", "the visitors' thread broke off")))
    }
}

fn visit(
    accounts: &[Account],
    addr: SocketAddr,
    security: &Security,
    stop: &AtomicBool,
) -> Result<Visits, Failure> {
    let mut net = Net::new(NetConfig::default()).map_err(Failure::io("start the visitors' loop"))?;
    let (mut times, mut busy, mut failed, mut why) = (Histogram::default(), 0, 0, None);
    for (number, account) in accounts.iter().cycle().enumerate() {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let begun = Instant::now();
        let end = begun + PATIENCE;
        let options = ConnectOptions { security: security.clone(), timeout: PATIENCE };
        let outcome = loop {
            let outcome = log_in(&mut net, addr, options.clone(), account, number, end);
            // As a client does it that is asked to.
            let is_busy = outcome.as_ref().is_err_and(|failure| failure.to_string().contains(BUSY));
            if !is_busy || Instant::now() + BUSY_PAUSE > end {
                break outcome;
            }
            busy += 1;
            thread::sleep(BUSY_PAUSE);
        };
        match outcome {
            Ok(()) => times.record(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX)),
            Err(failure) => {
                failed += 1;
                why = Some(failure.to_string());
            }
        }
        thread::sleep(PAUSE);
    }
    Ok(Visits { through: times.total(), busy, failed, why, login_ms: Latency::from(&times) })
}

fn log_in(
    net: &mut Net,
    addr: SocketAddr,
    options: ConnectOptions,
    account: &Account,
    number: usize,
    end: Instant,
) -> Result<(), Failure> {
    let home = IpAddr::V4(Ipv4Addr::new(127, 0, 77, u8::try_from(number % 200).unwrap_or(0) + 1));
    let token = net
        .connect_between(SocketAddr::new(home, 0), addr, options)
        .map_err(Failure::io("connect as a visitor"))?;
    let mut member = Member::of_server(account, FIRST_DEVICE + number as u64, Task::Wait);
    let mut events = Vec::new();
    while Instant::now() < end {
        net.turn(Some(end.min(Instant::now() + TURN)), &mut events)
            .map_err(Failure::io("the visitors' loop"))?;
        for event in events.drain(..) {
            match event {
                NetEvent::Connected { token: connected, tls } if connected == token => {
                    let binding = tls.map(|tls| tls.channel_binding);
                    member.connected(binding.as_ref().map_or(&[], |binding| binding));
                }
                NetEvent::Closed { token: closed, reason } if closed == token => {
                    return Err(Failure::new("log in as a visitor", reason));
                }
                NetEvent::Readable { token: readable } if readable == token => loop {
                    match net.read(token) {
                        Read::Bytes(bytes) => member.take(bytes, |_| {})?,
                        Read::Empty => break,
                        Read::Eof | Read::Closed => {
                            net.abort(token);
                            return Err(Failure::new("log in as a visitor", "the server hung up"));
                        }
                    }
                },
                NetEvent::Connected { .. }
                | NetEvent::Closed { .. }
                | NetEvent::Readable { .. }
                | NetEvent::Writable { .. }
                | NetEvent::Accepted { .. }
                | NetEvent::AcceptPaused { .. }
                | NetEvent::Woken
                | NetEvent::Signal(_) => {}
            }
        }
        match net.write(token, &mut member.out) {
            Write::Done | Write::Blocked | Write::Closed => {}
        }
        if member.is_settled() {
            net.close(token);
            return Ok(());
        }
    }
    net.abort(token);
    Err(Failure::new("log in as a visitor", format!("not within {} s", PATIENCE.as_secs())))
}
