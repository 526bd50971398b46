//! One attack on a fresh server with its own limits: first quiet, then the attack, with members who talk and visitors who log
//! in all the time.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use chatnet::NetConfig;
use serde::Serialize;

use super::{Attack, Counts, Kind, Origins, Visitors, Visits};
use crate::Failure;
use crate::cli::TalkArgs;
use crate::crowd::Crowd;
use crate::member::Task;
use crate::report::Latency;
use crate::subject::{Guests, Running, Setup, Subject};

/// What is done, and for how long.
#[derive(Clone, Debug)]
pub struct Siege {
    /// What the report calls it.
    pub name: String,
    /// What the attackers do.
    pub kind: Kind,
    /// Where they come from.
    pub origins: Origins,
    /// The quiet before.
    pub quiet: Duration,
    /// The longest that it goes on. It ends before when all of a number of attackers have been closed.
    pub longest: Duration,
}

/// What was measured.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// What the report calls it.
    pub name: String,
    /// Of the members' chat, without the attack.
    pub quiet_ms: Latency,
    /// With it.
    pub siege_ms: Latency,
    /// Logins with the right password, without the attack.
    pub quiet_visits: Visits,
    /// With it.
    pub siege_visits: Visits,
    /// What the attackers were told.
    pub attackers: Counts,
    /// What the server counted.
    pub server: Counted,
    /// Most resident memory before, in bytes.
    pub resident_before: u64,
    /// Most resident memory during the attack, in bytes.
    pub resident_most: u64,
    /// What the bounds before a login allow it to grow by, in bytes.
    pub bound: u64,
}

/// What the server counted during the attack; the visitors are among the callers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Counted {
    /// Callers taken in.
    pub taken_in: u64,
    /// Closed unanswered: their address came too often.
    pub too_often: u64,
    /// Closed unanswered: all addresses came too often.
    pub too_many: u64,
    /// Closed unanswered: their address had too many handshakes under way.
    pub half_open: u64,
    /// Told to come back later.
    pub busy: u64,
    /// Logins refused.
    pub refused: u64,
}

/// How often memory is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// Of the same load before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// Members who talk.
const SENDERS: u8 = 4;

/// Bytes of each text.
const TEXT_LEN: usize = 64;

/// Room for the devices of visitors.
const VISITORS: usize = 64;

/// The processors of the attackers and of the server.
const OURS: usize = 0;
const THEIRS: usize = 1;

/// The server stays on one processor, and all of this process on the other. `false` where there is only one.
///
/// # Errors
/// When the system refuses.
pub fn part_processors(setup: &mut Setup) -> Result<bool, Failure> {
    if std::thread::available_parallelism().map_or(1, usize::from) <= THEIRS {
        return Ok(false);
    }
    let mut taskset = Command::new("taskset");
    taskset.args(["-cp", &OURS.to_string(), &std::process::id().to_string()]).stdout(Stdio::null());
    let status = taskset.status().map_err(Failure::io("start taskset"))?;
    if !status.success() {
        return Err(Failure::new("stay on one processor", status));
    }
    setup.processor = Some(THEIRS);
    Ok(true)
}

impl Siege {
    /// Does it.
    ///
    /// # Errors
    /// Says which step failed: also when a member is dropped.
    pub fn run(&self, talk: TalkArgs, setup: &Setup) -> Result<Outcome, Failure> {
        eprintln!("{}", self.name);
        let running =
            Subject::Server(talk.durability).start(setup, Guests::Devices(talk.members + VISITORS))?;
        let mut crowd = Crowd::gather(&running, talk.members, Task::Enter)?;
        let every = Duration::from_millis(talk.every);
        let senders = SENDERS.min(u8::try_from(talk.members).unwrap_or(SENDERS));
        crowd.chat_until(Instant::now() + WARM_UP, every, senders, TEXT_LEN)?;

        let visitors = Visitors::start(&running)?;
        let watch = crowd.watch(Instant::now(), Instant::now() + self.quiet);
        crowd.chat_until(Instant::now() + self.quiet, every, senders, TEXT_LEN)?;
        let quiet_visits = visitors.finish()?;
        let quiet_ms = Latency::from(&crowd.watched(watch));
        let resident_before = running.process.resident()?;
        let before = Counted::read(&running)?;

        let (begin, mut resident_most) = (Instant::now(), resident_before);
        let visitors = Visitors::start(&running)?;
        let watch = crowd.watch(begin, begin + self.longest);
        let attack = Attack::start(self.kind, running.addr(), &running.security, self.origins)?;
        while begin.elapsed() < self.longest && !attack.is_over() {
            crowd.chat_until(Instant::now() + LOOK_INTERVAL, every, senders, TEXT_LEN)?;
            resident_most = resident_most.max(running.process.resident()?);
        }
        let attackers = attack.finish()?;
        let siege_visits = visitors.finish()?;
        let siege_ms = Latency::from(&crowd.watched(watch));
        let server = Counted::read(&running)?.since(before);
        crowd.hear_all()?;
        drop(crowd);
        running.stop()?;
        Ok(Outcome {
            name: self.name.clone(),
            quiet_ms,
            siege_ms,
            quiet_visits,
            siege_visits,
            attackers,
            server,
            resident_before,
            resident_most,
            bound: NetConfig::default().worst_case_strangers() as u64,
        })
    }
}

impl Outcome {
    /// How many times the latency without the attack.
    #[must_use]
    pub fn times(&self) -> f64 {
        self.siege_ms.p50 / self.quiet_ms.p50
    }

    /// What the server's memory grew by, in bytes.
    #[must_use]
    pub fn grown(&self) -> u64 {
        self.resident_most.saturating_sub(self.resident_before)
    }
}

impl Counted {
    fn read(running: &Running) -> Result<Self, Failure> {
        let page = running.metrics_page()?;
        let read = |name: &str| Running::metric(&page, name);
        Ok(Self {
            taken_in: read("chatserver_taken_in_total ")?,
            too_often: read("chatserver_turned_away_total{reason=\"too_often\"}")?,
            too_many: read("chatserver_turned_away_total{reason=\"too_many\"}")?,
            half_open: read("chatserver_turned_away_total{reason=\"half_open\"}")?,
            busy: read("chatserver_busy_total ")?,
            refused: read("chatserver_logins_total{result=\"refused\"}")?,
        })
    }

    fn since(self, before: Self) -> Self {
        Self {
            taken_in: self.taken_in - before.taken_in,
            too_often: self.too_often - before.too_often,
            too_many: self.too_many - before.too_many,
            half_open: self.half_open - before.half_open,
            busy: self.busy - before.busy,
            refused: self.refused - before.refused,
        }
    }
}
