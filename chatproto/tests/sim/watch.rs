//! The model of the [house](crate::house) watches the log and the hub.

use std::time::Duration;

use chatproto::Instant;
use chatproto::hub::{Event as HubEvent, Label};
use chatproto::testing::Committed;
use chatproto::wire::Name;

use crate::house::{House, Mark};
use crate::rules::{Order, Room, Who};

impl House {
    /// Takes what the log has committed into the model, and holds every message against the order at the moment at which the
    /// hub let it pass.
    pub fn read_journal(&mut self) {
        let log = self.server.log();
        for entry in &log.journal()[self.seen..] {
            if let Committed::Change(change) = entry {
                let last = change.room.as_ref().map_or(0, |label| {
                    let messages = log.journal()[..self.seen].iter().filter_map(|entry| match entry {
                        Committed::Message { label: of, seq, .. } if of == label => Some(*seq),
                        _ => None,
                    });
                    messages.max().unwrap_or(0)
                });
                let note = change.line.note.as_str().to_owned();
                assert!(!self.refused.contains(&note), "{change:?} was refused");
                let twice = self.notes.insert(note, (self.states.len(), last));
                assert_eq!(twice, None, "{change:?} is there twice");
            }
            if let Some(order) = self.states.last().unwrap().after(entry) {
                self.states.push(order);
            }
            match entry {
                Committed::Crash => self.spoken.clear(),
                Committed::Message { label, seq, asked } => {
                    let record = log.record(label, *seq).expect("it was stored");
                    let order = &self.states[asked.changes];
                    let ip = [198, 51, 100, record.device.0[0]].into();
                    let who = Who { user: &record.from, ip };
                    assert!(!order.is_barred(who, asked.at), "{record:?} of somebody barred");
                    assert!(!order.is_hushed_for(who.user), "{record:?} in silence");
                    if let Some(room) = room_of(order, label) {
                        assert_eq!(room.may_be(who, asked.at), Ok(()), "{record:?} from outside");
                        assert!(!room.is_muted(who.user, asked.at), "{record:?} of somebody mute");
                        if room.is_slow_for(who.user) {
                            let key = (name_of(label), record.from.clone());
                            let slow = Duration::from_secs(room.slow.into());
                            let early =
                                self.spoken.insert(key, asked.at).is_some_and(|last| asked.at < last + slow);
                            // What a log in trouble put off was said earlier, and its time goes on from then.
                            assert!(!early || self.troubled.is_some(), "{record:?} too soon");
                            self.counts.add("said slowly");
                        }
                    }
                }
                Committed::Room { .. } | Committed::Change(_) => {}
            }
            self.seen += 1;
        }
    }

    /// Who came and who went, as the hub says; nobody came who must not.
    pub fn hear_hub(&mut self) {
        for event in self.server.take_events() {
            match event {
                HubEvent::LoggedIn { conn, user, addr, .. } if self.server.is_up() => {
                    let who = Who { user: &user, ip: addr.ip() };
                    let may = self.holds_since(self.before, |order, at| order.may_log_in(who, at));
                    assert!(may, "{who:?} was let in");
                    self.conns.insert(conn, (user, addr.ip()));
                }
                HubEvent::Closed { conn, .. } => _ = self.conns.remove(&conn),
                _ => {}
            }
        }
    }

    /// Whether something held at some moment since then. What was in between is known only by its changes.
    pub fn holds_since(&self, from: Mark, is_so: impl Fn(&Order, Instant) -> bool) -> bool {
        self.states[from.changes..].iter().any(|order| is_so(order, from.at) || is_so(order, self.now))
    }

    /// The hub believes what the model says, and whoever is in a room may be there.
    pub fn check_hub(&mut self) {
        if !self.server.is_up() {
            return;
        }
        let (order, now) = (self.states.last().unwrap(), self.now);
        let router = self.server.hub().router();
        order.assert_is(self.server.hub().gate(), now);
        for (room, label, topic, ..) in router.list() {
            let Some(house) = order.rooms.get(label) else { continue };
            house.assert_is(router.house(room).unwrap(), topic.as_str(), now, label.as_str());
            for (conn, (user, ip)) in &self.conns {
                let who = Who { user, ip: *ip };
                if router.standing(room, *conn).is_some() {
                    assert_eq!(house.may_be(who, now), Ok(()), "{who:?} is in {label:?}");
                    assert!(!order.is_barred(who, now), "{who:?} is here");
                }
            }
        }
    }
}

fn room_of<'a>(order: &'a Order, label: &Label) -> Option<&'a Room> {
    match label {
        Label::Group(name) => order.rooms.get(name),
        Label::Direct(..) | Label::Former(..) => None,
    }
}

fn name_of(label: &Label) -> Name {
    match label {
        Label::Group(name) | Label::Direct(name, _) | Label::Former(name, _) => name.clone(),
    }
}
