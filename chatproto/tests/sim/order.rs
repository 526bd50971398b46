//! Order in the rooms, and the model of it: what was said and done is held against the audit log, line by line.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chatproto::Instant;
use chatproto::hub::{House, Hub, Imposed, Label, Record, Role, Ruling};
use chatproto::session::{Event, Order, RoomKey, Session};
use chatproto::testing::{LOG_EPOCH_MS, MemoryLog, Rng};
use chatproto::wire::*;

use crate::world::{PEOPLE, ROOMS, Totals, name};

/// The private room. Only those who were let in may ever hear of it.
pub const VAULT: &str = "vault";

/// What may be asked for in one go.
const ACTIONS: [Action; 12] = [
    Action::Topic,
    Action::Slow,
    Action::Kick,
    Action::Mute,
    Action::Unmute,
    Action::Ban,
    Action::Unban,
    Action::Unban,
    Action::Op,
    Action::Deop,
    Action::Owner,
    Action::BanAddress,
];

/// What is asked for before a change holds may be stored after it: two commits, and a step of the world.
const ON_ITS_WAY: Duration = Duration::from_millis(150);

/// Changes of a room that may be on their way at once: who has asked has asked with the rank of that moment.
const AT_ONCE: usize = 8;

/// Who may know of the private room.
#[derive(Default)]
pub struct Insiders(BTreeSet<Name>);

impl Insiders {
    /// Somebody wants a room changed, or asks what they may not be told.
    pub fn act(&mut self, rng: &mut Rng, who: &Name, session: &mut Session, log: &MemoryLog) {
        let vault = RoomKey::Room(name(VAULT));
        let exists = log.rooms().any(|room| room.label == Label::Group(name(VAULT)));
        let is_in = self.0.contains(who);
        // Each is refused while not logged in, or with too many open requests: then it is nothing.
        match rng.below(10) {
            0 if !exists && (self.0.is_empty() || is_in) => {
                self.0.insert(who.clone());
                _ = session.create(&name(VAULT), true);
            }
            0 | 1 if exists => _ = session.join(vault),
            2 => _ = session.rooms(),
            3 if exists => _ = session.who(&vault),
            4 if exists => _ = session.history(&vault, Anchor::Before, 0, 10),
            5 if exists && is_in => {
                let user = name(rng.choose(&PEOPLE).unwrap());
                let action =
                    *rng.choose(&[Action::Invite, Action::Invite, Action::Kick, Action::Ban]).unwrap();
                if action == Action::Invite {
                    self.0.insert(user.clone());
                }
                let note = Note::new(VAULT).unwrap();
                _ = session.moderate(&vault, &Order { action, user: Some(user), seconds: 0, note });
            }
            5 if exists => {
                let (action, note) = (Action::Topic, Note::new("mine").unwrap());
                _ = session.moderate(&vault, &Order { action, user: None, seconds: 0, note });
            }
            _ => {
                let room = RoomKey::Room(name(rng.choose(&ROOMS).unwrap()));
                let action = *rng.choose(&ACTIONS).unwrap();
                let user = name(rng.choose(&PEOPLE).unwrap());
                let seconds = *rng.choose(&[0, 1, 3]).unwrap();
                let is_about_room = matches!(action, Action::Topic | Action::Slow);
                let (user, note) = ((!is_about_room).then_some(user), Note::new("because").unwrap());
                _ = session.moderate(&room, &Order { action, user, seconds, note });
            }
        }
    }

    /// Whether somebody may say something there: who is not in says what nobody hears.
    pub fn may_say(&self, who: &Name) -> bool {
        self.0.contains(who)
    }

    /// Nobody outside hears of the private room: not its name, its topic, its people, nor what is said there.
    pub fn check(&self, who: &Name, event: &Event) {
        let is_own_question = matches!(event, Event::JoinRefused { .. } | Event::SayRefused { .. });
        if !is_own_question && !self.0.contains(who) {
            let told = format!("{event:?}");
            assert!(!told.contains(VAULT), "{who:?} hears of a private room: {told}");
        }
    }
}

/// Plays the audit log of every room again, and holds against it what was done and said.
pub fn check_end(log: &MemoryLog, hub: &Hub, now: Instant, crashes: &[Instant], totals: &mut Totals) {
    for room in log.rooms() {
        let Label::Group(_) = &room.label else { continue };
        let lines: Vec<&(Option<RoomId>, chatproto::hub::AuditLine)> =
            log.audit().iter().filter(|(of, _)| *of == Some(room.room)).collect();
        let in_memory = hub.router().house(room.room).expect("it is in memory, too");
        assert_eq!(held(in_memory, now), held(&room.house, now), "in memory as in the log");
        let mut states = vec![log.first_house(room.room).unwrap().clone()];
        for (_, line) in &lines {
            let by = Name::new(line.by.as_str()).expect("everybody here is somebody");
            let recent = states.iter().rev().take(AT_ONCE);
            assert!(recent.into_iter().any(|house| may(house, &by, line.action, &line.subject)), "{line:?}");
            let mut house = states.last().unwrap().clone();
            let user = Name::new(line.subject.as_str()).ok();
            let (action, reason) = (line.action, &line.note);
            let (user, seconds) = (user.as_ref(), line.seconds);
            let ruling = Ruling { action, user, seconds, reason, admits: &[], networks: &[] };
            house.apply(&ruling, at(line.time));
            states.push(house);
            totals.orders += 1;
        }
        let times: Vec<Instant> = lines.iter().map(|(_, line)| at(line.time)).collect();
        let said: Vec<&Record> = log.records(&room.label).iter().collect();
        for record in &said {
            check_mute(record, &states, &times, totals);
        }
        check_slow(&said, &states, &times, crashes);
    }
}

/// What still holds, without its times: the hub's clock may stand a step of the world before the log's.
fn held(house: &House, now: Instant) -> (bool, Duration, BTreeMap<Name, Role>, [Vec<Name>; 2], usize) {
    let names = |notes: &BTreeMap<Name, Imposed>| {
        let held = notes.iter().filter(|(_, imposed)| imposed.left(now).is_some());
        held.map(|(name, _)| name.clone()).collect()
    };
    let networks = house.networks.values().filter(|ban| ban.left(now).is_some()).count();
    (house.is_private, house.slow, house.roles.clone(), [names(&house.mutes), names(&house.bans)], networks)
}

fn at(time: u64) -> Instant {
    Instant::from_millis(time - LOG_EPOCH_MS)
}

/// Whether somebody may do this: operators to those below, the owner to operators as well.
fn may(house: &House, by: &Name, action: Action, subject: &Note) -> bool {
    let rank = |user: &Name| house.role(user).filter(|role| *role > Role::Member);
    let mine = rank(by);
    let theirs = Name::new(subject.as_str()).ok().and_then(|user| rank(&user));
    match action {
        Action::Op | Action::Deop => mine == Some(Role::Owner) && theirs < mine,
        Action::Owner => mine == Some(Role::Owner),
        Action::Kick | Action::Mute | Action::Ban | Action::BanAddress => mine.is_some() && theirs < mine,
        _ => mine.is_some(),
    }
}

/// The states that may have held when something was asked for that was stored at `time`.
fn in_force<'h>(states: &'h [House], times: &[Instant], time: Instant) -> impl Iterator<Item = &'h House> {
    let begin = Instant::from_millis(time.as_millis().saturating_sub(millis(ON_ITS_WAY)));
    let first = times.partition_point(|at| *at <= begin);
    let last = times.partition_point(|at| *at <= time);
    states[first..=last].iter()
}

/// Nobody speaks who was mute all the time in which they can have asked.
fn check_mute(record: &Record, states: &[House], times: &[Instant], totals: &mut Totals) {
    let time = at(record.time);
    let is_mute = |house: &House| house.mute(&record.from, time).is_some();
    assert!(!in_force(states, times, time).all(is_mute), "said while mute: {record:?}");
    totals.mutes += u64::from(states.iter().any(|house| house.mutes.contains_key(&record.from)));
}

/// In slow mode nobody speaks twice within its time, but for those who keep order, and after a crash.
fn check_slow(said: &[&Record], states: &[House], times: &[Instant], crashes: &[Instant]) {
    for (number, record) in said.iter().enumerate() {
        let time = at(record.time);
        let before = said[..number].iter().rev().find(|before| before.from == record.from);
        let Some(before) = before.map(|before| at(before.time)) else { continue };
        let crashed = crashes.iter().any(|crash| before <= *crash + ON_ITS_WAY && *crash <= time);
        let pause = time.since(before) + ON_ITS_WAY;
        let is_slow = |house: &House| house.slow > pause && house.role(&record.from) < Some(Role::Operator);
        let mut then = in_force(states, times, time).chain(in_force(states, times, before));
        assert!(crashed || !then.all(is_slow), "too soon after {before:?}: {record:?}");
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
