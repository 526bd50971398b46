//! The members, on one loop and one thread: they come in, some of them speak, all of them listen.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chatnet::{ConnToken, ConnectOptions, Net, NetConfig, NetEvent, Read, Write};
use chatproto::wire::DeviceId;

use crate::Failure;
use crate::latency::Histogram;
use crate::member::Member;
use crate::payload::Stamp;
use crate::plan::{Load, Pace};
use crate::process::{Cpu, Listening};
use crate::subject::{Dialect, Running};

/// Members that may be on their way in at once; a server bounds its strangers.
const MAX_ENTERING: usize = 64;

/// Time without any progress after which the subject counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a sender at its limit waits before it looks again.
const PAUSE: Duration = Duration::from_millis(1);

/// Messages that a sender may say at once.
const MAX_BURST: f64 = 1000.0;

/// What was measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// The measured time.
    pub time: Duration,
    /// Messages that reached a member in it.
    pub deliveries: u64,
    /// The process' CPU time in it.
    pub cpu: Cpu,
    /// Of every delivery of a message that was due in it, in nanoseconds.
    pub latency: Histogram,
    /// The process' resident memory at its end, in bytes.
    pub resident: u64,
    /// Deliveries of the whole run that came from the log because a member was too slow.
    pub missed: u64,
}

/// The members of one room.
#[derive(Debug)]
pub struct Crowd {
    net: Net,
    seats: Vec<Seat>,
    by_token: HashMap<ConnToken, usize>,
    /// Seats that have something to send.
    talking: Vec<usize>,
    started: Instant,
    tally: Tally,
}

#[derive(Debug)]
struct Seat {
    member: Member,
    token: Option<ConnToken>,
    sent: u64,
    is_talking: bool,
}

/// What everybody heard.
#[derive(Debug, Default)]
struct Tally {
    deliveries: u64,
    /// Messages that came back to their own sender, by sender.
    returned: Vec<u64>,
    latency: Histogram,
    /// Messages due in this time count for the latency.
    from: u64,
    until: u64,
    entered: usize,
}

impl Crowd {
    /// Brings all members in, and into the room if they `join`.
    ///
    /// # Errors
    /// When the subject refuses one of them or does not answer.
    pub fn gather(subject: &Running, members: usize, joins: bool) -> Result<Self, Failure> {
        let member = |number: usize| match &subject.dialect {
            Dialect::Floor => Some(Member::of_floor()),
            Dialect::Chat(accounts) => {
                let mut device = [0; 16];
                device[..8].copy_from_slice(&(number as u64).to_be_bytes());
                let user = accounts.get(number % accounts.len().max(1))?.clone();
                Some(Member::of_server(user, DeviceId(device), joins))
            }
        };
        let seat = |member| Seat { member, token: None, sent: 0, is_talking: false };
        let config = NetConfig { max_connections: members, ..NetConfig::default() };
        let mut crowd = Self {
            net: Net::new(config).map_err(Failure::io("start a loop"))?,
            seats: (0..members).filter_map(member).map(seat).collect(),
            by_token: HashMap::new(),
            talking: Vec::new(),
            started: Instant::now(),
            tally: Tally::default(),
        };
        let options = ConnectOptions { security: subject.security.clone(), timeout: PATIENCE };
        let mut dialled = 0;
        crowd.until("everybody is in", |crowd| {
            while dialled < members && dialled < crowd.tally.entered + MAX_ENTERING {
                let token =
                    crowd.net.connect(subject.addr(), options.clone()).map_err(Failure::io("connect"))?;
                if let Some(seat) = crowd.seats.get_mut(dialled) {
                    seat.token = Some(token);
                }
                crowd.by_token.insert(token, dialled);
                dialled += 1;
            }
            Ok((crowd.tally.entered == members, crowd.tally.entered as u64))
        })?;
        Ok(crowd)
    }

    /// Puts the load on, measures, and waits until everybody has everything.
    ///
    /// # Errors
    /// When the subject refuses or loses anything.
    pub fn run(&mut self, load: &Load, process: &Listening) -> Result<Measured, Failure> {
        let begin = Instant::now();
        let from = begin + load.warm_up;
        let until = from + load.measured;
        self.tally.returned = vec![0; load.senders.into()];
        self.tally.from = self.nanos(from);
        self.tally.until = self.nanos(until);
        let begin = self.nanos(begin);
        let allowance = vec![Allowance { messages: 0.0, at: begin }; load.senders.into()];
        let mut speech = Speech { load: *load, begin, spoken: 0, allowance };

        self.speak_until(from, &mut speech)?;
        let before = (Instant::now(), self.tally.deliveries, process.cpu()?);
        self.speak_until(until, &mut speech)?;
        let after = (Instant::now(), self.tally.deliveries, process.cpu()?);
        let resident = process.resident()?;

        let sent = self.seats.iter().map(|seat| seat.sent).sum::<u64>();
        let wanted = sent * self.seats.len() as u64;
        self.until("everybody has heard everything", |crowd| {
            Ok((crowd.tally.deliveries == wanted, crowd.tally.deliveries))
        })?;
        if let Some(seat) = self.seats.iter().find(|seat| seat.member.heard != sent) {
            let why = format!("{} of {sent} messages reached one of the members", seat.member.heard);
            return Err(Failure::new("compare what everybody heard", why));
        }
        Ok(Measured {
            time: after.0 - before.0,
            deliveries: after.1 - before.1,
            cpu: after.2.since(&before.2),
            latency: self.tally.latency.clone(),
            resident,
            missed: self.seats.iter().map(|seat| seat.member.missed).sum(),
        })
    }

    fn speak_until(&mut self, end: Instant, speech: &mut Speech) -> Result<(), Failure> {
        let stuck = end + PATIENCE;
        while Instant::now() < end {
            let now = self.nanos(Instant::now());
            match speech.load.pace {
                Pace::Window { messages, limit } => self.fill_windows(messages, limit, now, speech)?,
                Pace::Rate(rate) => self.say_due(rate, now, speech)?,
            }
            let deadline = match speech.load.pace {
                Pace::Window { .. } if speech.is_limited() => end.min(Instant::now() + PAUSE),
                Pace::Window { .. } => end,
                // The system's timers are too coarse for what is due next.
                Pace::Rate(_) => Instant::now(),
            };
            self.turn(deadline)?;
            if Instant::now() > stuck {
                return Err(Failure::new("speak", "one turn took too long"));
            }
        }
        Ok(())
    }

    fn fill_windows(
        &mut self,
        window: u32,
        limit: f64,
        now: u64,
        speech: &mut Speech,
    ) -> Result<(), Failure> {
        for (sender, allowance) in (0..speech.load.senders).zip(&mut speech.allowance) {
            let at = usize::from(sender);
            let returned = self.tally.returned.get(at).copied().unwrap_or_default();
            let wanted = returned + u64::from(window);
            allowance.renew(limit, now);
            while self.seats.get(at).is_some_and(|seat| seat.sent < wanted) && allowance.spend() {
                self.say(Stamp { due: now, sender }, speech.load.text_len)?;
            }
        }
        Ok(())
    }

    fn say_due(&mut self, rate: f64, now: u64, speech: &mut Speech) -> Result<(), Failure> {
        loop {
            let due = speech.begin + after(speech.spoken, rate);
            if due > now {
                return Ok(());
            }
            let sender = u8::try_from(speech.spoken % u64::from(speech.load.senders)).unwrap_or(0);
            self.say(Stamp { due, sender }, speech.load.text_len)?;
            speech.spoken += 1;
        }
    }

    fn say(&mut self, stamp: Stamp, len: usize) -> Result<(), Failure> {
        let at = usize::from(stamp.sender);
        if let Some(seat) = self.seats.get_mut(at) {
            seat.member.say(stamp, len)?;
            seat.sent += 1;
            self.talks(at);
        }
        Ok(())
    }

    /// Goes on until `done` says so; it also says how far things are, so that a standstill is noticed.
    fn until(
        &mut self,
        what: &str,
        mut done: impl FnMut(&mut Self) -> Result<(bool, u64), Failure>,
    ) -> Result<(), Failure> {
        let (mut progress, mut since) = (0, Instant::now());
        loop {
            let (is_done, so_far) = done(self)?;
            if is_done {
                return Ok(());
            }
            if so_far != progress {
                (progress, since) = (so_far, Instant::now());
            } else if since.elapsed() > PATIENCE {
                return Err(Failure::new(format!("wait until {what}"), format!("it stopped at {so_far}")));
            }
            self.turn(since + PATIENCE)?;
        }
    }

    /// Sends what is to be sent, waits, and hears what came.
    fn turn(&mut self, deadline: Instant) -> Result<(), Failure> {
        for at in std::mem::take(&mut self.talking) {
            self.write(at);
        }
        let mut events = Vec::new();
        self.net.turn(Some(deadline), &mut events).map_err(Failure::io("poll"))?;
        events.into_iter().try_for_each(|event| self.on_net(event))
    }

    fn on_net(&mut self, event: NetEvent) -> Result<(), Failure> {
        match event {
            NetEvent::Connected { token, tls } => {
                let binding = tls.map(|tls| tls.channel_binding);
                if let Some(&at) = self.by_token.get(&token)
                    && let Some(seat) = self.seats.get_mut(at)
                {
                    seat.member.connected(binding.as_ref().map_or(&[], |binding| binding));
                    self.talks(at);
                }
                Ok(())
            }
            NetEvent::Readable { token } => self.read(token),
            NetEvent::Writable { token } => {
                if let Some(&at) = self.by_token.get(&token) {
                    self.write(at);
                }
                Ok(())
            }
            NetEvent::Closed { reason, .. } => Err(Failure::new("keep everybody connected", reason)),
            NetEvent::Accepted { .. }
            | NetEvent::AcceptPaused { .. }
            | NetEvent::Woken
            | NetEvent::Signal(_) => Ok(()),
        }
    }

    fn read(&mut self, token: ConnToken) -> Result<(), Failure> {
        let Some(&at) = self.by_token.get(&token) else { return Ok(()) };
        let Some(seat) = self.seats.get_mut(at) else { return Ok(()) };
        let was_in = seat.member.is_in();
        loop {
            match self.net.read(token) {
                Read::Bytes(bytes) => {
                    let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    let tally = &mut self.tally;
                    seat.member.take(bytes, |stamp| tally.hear(at, stamp, now))?;
                }
                Read::Empty => break,
                Read::Eof | Read::Closed => {
                    return Err(Failure::new("keep everybody connected", "the subject hung up"));
                }
            }
        }
        self.tally.entered += usize::from(!was_in && seat.member.is_in());
        if !seat.member.out.is_empty() {
            self.talks(at);
        }
        Ok(())
    }

    fn talks(&mut self, at: usize) {
        if let Some(seat) = self.seats.get_mut(at)
            && !seat.is_talking
        {
            seat.is_talking = true;
            self.talking.push(at);
        }
    }

    fn write(&mut self, at: usize) {
        let Some(seat) = self.seats.get_mut(at) else { return };
        seat.is_talking = false;
        let Some(token) = seat.token else { return };
        match self.net.write(token, &mut seat.member.out) {
            // What is left goes on when the loop says `Writable`; an end is told as an event.
            Write::Done | Write::Blocked | Write::Closed => {}
        }
    }

    fn nanos(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_nanos()).unwrap_or(u64::MAX)
    }
}

/// What was said, and may be.
#[derive(Debug)]
struct Speech {
    load: Load,
    begin: u64,
    /// Messages of an open loop.
    spoken: u64,
    /// Of each sender of a closed loop.
    allowance: Vec<Allowance>,
}

/// Messages that a sender may say whatever its window: what accrues while nothing comes back is not all kept, or a standstill
/// would end in a flood.
#[derive(Clone, Debug)]
struct Allowance {
    messages: f64,
    at: u64,
}

impl Speech {
    /// Whether it is time, and no message on its way, that a sender waits for.
    fn is_limited(&self) -> bool {
        self.allowance.iter().any(|allowance| allowance.messages < 1.0)
    }
}

impl Allowance {
    fn renew(&mut self, limit: f64, now: u64) {
        let seconds = Duration::from_nanos(now.saturating_sub(self.at)).as_secs_f64();
        self.messages =
            if limit.is_finite() { (self.messages + seconds * limit).min(MAX_BURST) } else { limit };
        self.at = now;
    }

    fn spend(&mut self) -> bool {
        let may = self.messages >= 1.0;
        if may {
            self.messages -= 1.0;
        }
        may
    }
}

impl Tally {
    fn hear(&mut self, at: usize, stamp: Stamp, now: u64) {
        self.deliveries += 1;
        if usize::from(stamp.sender) == at
            && let Some(returned) = self.returned.get_mut(at)
        {
            *returned += 1;
        }
        if (self.from..self.until).contains(&stamp.due) {
            self.latency.record(now.saturating_sub(stamp.due));
        }
    }
}

/// Nanoseconds after which message number `count` is due.
fn after(count: u64, rate: f64) -> u64 {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a run lasts an hour at most, which has 42 bits of nanoseconds"
    )]
    #[expect(
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "neither is negative, nor beyond 52 bits"
    )]
    let nanos = (count as f64 / rate * 1e9) as u64;
    nanos
}
