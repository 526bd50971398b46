//! The members, on one loop and one thread: they come in, some of them speak, all of them listen.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use chatnet::{ConnToken, ConnectOptions, Net, NetConfig, NetEvent, Read, Write};

use crate::Failure;
use crate::latency::Histogram;
use crate::member::{Member, Task};
use crate::payload::Stamp;
use crate::plan::{Load, Pace};
use crate::process::Cpu;
use crate::subject::{Dialect, Running};

/// Members that may be on their way in at once; a server bounds its strangers.
const MAX_ENTERING: usize = 64;

/// Time without any progress after which the subject counts as stuck.
const PATIENCE: Duration = Duration::from_secs(60);

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
    /// Messages that the search index did not have at its end.
    pub search_lag: u64,
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
    /// It does not read, and what it hears counts for nobody.
    is_aside: bool,
}

/// What everybody heard.
#[derive(Debug, Default)]
struct Tally {
    deliveries: u64,
    /// Messages that came back to their own sender, by sender.
    returned: Vec<u64>,
    watches: Vec<Watch>,
    /// Members who have done what they were told.
    settled: usize,
}

/// The latency of the messages that are due in a stretch of time.
#[derive(Debug)]
struct Watch {
    from: u64,
    until: u64,
    latency: Histogram,
}

impl Crowd {
    /// Brings all members in, each with its task.
    ///
    /// # Errors
    /// When the subject refuses one of them or does not answer.
    pub fn gather(subject: &Running, members: usize, task: Task) -> Result<Self, Failure> {
        let member = |number: usize| match &subject.dialect {
            Dialect::Floor => Some(Member::of_floor()),
            Dialect::Chat(accounts) => {
                let account = accounts.get(number % accounts.len().max(1))?;
                Some(Member::of_server(account, number as u64, task))
            }
        };
        let seat = |member| Seat { member, token: None, sent: 0, is_talking: false, is_aside: false };
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
            while dialled < members && dialled < crowd.tally.settled + MAX_ENTERING {
                let token =
                    crowd.net.connect(subject.addr(), options.clone()).map_err(Failure::io("connect"))?;
                if let Some(seat) = crowd.seats.get_mut(dialled) {
                    seat.token = Some(token);
                }
                crowd.by_token.insert(token, dialled);
                dialled += 1;
            }
            Ok((crowd.tally.settled == members, crowd.tally.settled as u64))
        })?;
        Ok(crowd)
    }

    /// Puts the load on, measures, and waits until everybody has everything.
    ///
    /// # Errors
    /// When the subject refuses or loses anything.
    pub fn run(&mut self, load: &Load, subject: &Running) -> Result<Measured, Failure> {
        let process = &subject.process;
        let mut speech = self.begin(load);
        let from = Instant::now() + load.warm_up;
        let until = from + load.measured;
        let watch = self.watch(from, until);

        self.speak_until(from, &mut speech)?;
        let before = (Instant::now(), self.tally.deliveries, process.cpu()?);
        self.speak_until(until, &mut speech)?;
        let after = (Instant::now(), self.tally.deliveries, process.cpu()?);
        let resident = process.resident()?;
        let search_lag = subject.search_lag()?;
        self.hear_all()?;
        Ok(Measured {
            time: after.0 - before.0,
            deliveries: after.1 - before.1,
            cpu: after.2.since(&before.2),
            latency: self.watched(watch),
            resident,
            search_lag,
            missed: self.seats.iter().map(|seat| seat.member.missed).sum(),
        })
    }

    /// Begins a load; [`speak_until`](Self::speak_until) goes on with it.
    pub fn begin(&mut self, load: &Load) -> Speech {
        self.tally.returned = vec![0; load.senders.into()];
        Speech { load: *load, begin: self.nanos(Instant::now()), spoken: 0 }
    }

    /// Collects the latency of the messages that are due in a stretch of time.
    pub fn watch(&mut self, from: Instant, until: Instant) -> WatchId {
        let (from, until) = (self.nanos(from), self.nanos(until));
        self.tally.watches.push(Watch { from, until, latency: Histogram::default() });
        WatchId(self.tally.watches.len() - 1)
    }

    /// What was collected so far.
    #[must_use]
    pub fn watched(&self, id: WatchId) -> Histogram {
        self.tally.watches.get(id.0).map(|watch| watch.latency.clone()).unwrap_or_default()
    }

    /// Waits until everybody who reads has heard everything that was said.
    ///
    /// # Errors
    /// When the subject stops before that.
    pub fn hear_all(&mut self) -> Result<(), Failure> {
        let sent = self.said();
        self.until("everybody has heard everything", |crowd| {
            let lacks = |seat: &Seat| !seat.is_aside && seat.member.heard < sent;
            Ok((!crowd.seats.iter().any(lacks), crowd.tally.deliveries))
        })?;
        match self.seats.iter().find(|seat| !seat.is_aside && seat.member.heard != sent) {
            None => Ok(()),
            Some(seat) => {
                let why = format!("{} of {sent} messages reached one of the members", seat.member.heard);
                Err(Failure::new("compare what everybody heard", why))
            }
        }
    }

    /// Waits until one member has heard everything that was said, in order.
    ///
    /// # Errors
    /// When it does not come.
    pub fn hear_out(&mut self, at: usize) -> Result<(), Failure> {
        let sent = self.said();
        self.until("the one who had stopped has heard everything", |crowd| {
            let (heard, _) = crowd.heard(at);
            Ok((heard == sent, heard))
        })
    }

    /// Messages said so far.
    #[must_use]
    pub fn said(&self) -> u64 {
        self.seats.iter().map(|seat| seat.sent).sum()
    }

    /// Messages that the member heard, and how many of them came from the log.
    #[must_use]
    pub fn heard(&self, at: usize) -> (u64, u64) {
        self.seats.get(at).map_or((0, 0), |seat| (seat.member.heard, seat.member.missed))
    }

    /// From now on the member does not read.
    pub fn stall(&mut self, at: usize) {
        if let Some(seat) = self.seats.get_mut(at) {
            seat.is_aside = true;
            seat.token.iter().for_each(|token| self.net.pause_read(*token));
        }
    }

    /// From now on the member reads again; what it hears still counts for nobody else.
    pub fn resume(&mut self, at: usize) {
        let token = self.seats.get(at).and_then(|seat| seat.token);
        token.iter().for_each(|token| self.net.resume_read(*token));
    }

    /// Members from `from` on enter the room, and look who is there.
    pub fn enter(&mut self, from: usize) {
        self.tell(from, Member::enter);
    }

    /// Members from `from` on leave the room.
    pub fn leave(&mut self, from: usize) {
        self.tell(from, Member::leave);
    }

    fn tell(&mut self, from: usize, act: impl Fn(&mut Member)) {
        for at in from..self.seats.len() {
            let Some(seat) = self.seats.get_mut(at) else { return };
            let was_settled = seat.member.is_settled();
            act(&mut seat.member);
            self.tally.settled -= usize::from(was_settled && !seat.member.is_settled());
            self.talks(at);
        }
    }

    /// Waits until all have done what they were told, and the first `present` members know that exactly they are there.
    ///
    /// # Errors
    /// When it comes to a standstill before that.
    pub fn agree(&mut self, present: usize) -> Result<(), Failure> {
        self.until("everybody knows who is there", |crowd| {
            let rosters = || crowd.seats.iter().take(present).filter_map(|seat| seat.member.roster());
            let known = rosters().map(|roster| roster.count() as u64).sum::<u64>();
            let all_settled = crowd.tally.settled == crowd.seats.len();
            let is_done = all_settled && rosters().all(|roster| roster.is_first(present));
            // Leaving makes the sum smaller: any change is progress.
            Ok((is_done, known << 20 | crowd.tally.settled as u64))
        })
    }

    /// Lets time pass, in which nobody does anything but answer.
    ///
    /// # Errors
    /// When a connection ends meanwhile.
    pub fn rest(&mut self, time: Duration) -> Result<(), Failure> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Says something every so often until `end`, one of the first `senders` after the other, and sleeps in between: the
    /// processor is somebody else's then. A message is due when it is said.
    ///
    /// # Errors
    /// When the subject ends a connection or breaks the order.
    pub fn chat_until(
        &mut self,
        end: Instant,
        every: Duration,
        senders: u8,
        text_len: usize,
    ) -> Result<(), Failure> {
        let mut due = Instant::now();
        let mut sender = 0;
        while Instant::now() < end {
            if Instant::now() >= due {
                due = Instant::now() + every;
                self.say(Stamp { due: self.nanos(Instant::now()), sender }, text_len)?;
                sender = (sender + 1) % senders.max(1);
            }
            self.turn(due.min(end))?;
        }
        Ok(())
    }

    /// Goes on with a load until `end`.
    ///
    /// # Errors
    /// When the subject ends a connection or breaks the order.
    pub fn speak_until(&mut self, end: Instant, speech: &mut Speech) -> Result<(), Failure> {
        let stuck = end + PATIENCE;
        while Instant::now() < end {
            let now = self.nanos(Instant::now());
            let deadline = match speech.load.pace {
                Pace::Window(messages) => {
                    self.fill_windows(messages, now, speech)?;
                    end
                }
                Pace::Rate(rate) => {
                    self.say_due(rate, now, speech)?;
                    // The system's timers are too coarse for what is due next.
                    Instant::now()
                }
            };
            self.turn(deadline)?;
            if Instant::now() > stuck {
                return Err(Failure::new("speak", "one turn took too long"));
            }
        }
        Ok(())
    }

    fn fill_windows(&mut self, window: u32, now: u64, speech: &Speech) -> Result<(), Failure> {
        for sender in 0..speech.load.senders {
            let at = usize::from(sender);
            let returned = self.tally.returned.get(at).copied().unwrap_or_default();
            let wanted = returned + u64::from(window);
            while self.seats.get(at).is_some_and(|seat| seat.sent < wanted) {
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
        let was_settled = seat.member.is_settled();
        let is_aside = seat.is_aside;
        loop {
            match self.net.read(token) {
                Read::Bytes(bytes) => {
                    let now = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    let tally = &mut self.tally;
                    let hear = |stamp| {
                        if !is_aside {
                            tally.hear(at, stamp, now)
                        }
                    };
                    seat.member.take(bytes, hear)?;
                }
                Read::Empty => break,
                Read::Eof | Read::Closed => {
                    return Err(Failure::new("keep everybody connected", "the subject hung up"));
                }
            }
        }
        self.tally.settled += usize::from(!was_settled && seat.member.is_settled());
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

/// A load under way.
#[derive(Debug)]
pub struct Speech {
    load: Load,
    begin: u64,
    /// Messages of an open loop.
    spoken: u64,
}

/// One [`watch`](Crowd::watch) of a crowd.
#[derive(Clone, Copy, Debug)]
pub struct WatchId(usize);

impl Tally {
    fn hear(&mut self, at: usize, stamp: Stamp, now: u64) {
        self.deliveries += 1;
        if usize::from(stamp.sender) == at
            && let Some(returned) = self.returned.get_mut(at)
        {
            *returned += 1;
        }
        let is_due = |watch: &&mut Watch| (watch.from..watch.until).contains(&stamp.due);
        if let Some(watch) = self.watches.iter_mut().find(is_due) {
            watch.latency.record(now.saturating_sub(stamp.due));
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
