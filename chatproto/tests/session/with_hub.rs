//! Sessions with a real hub over a network that cuts connections: nothing is lost, nothing comes twice.

use std::collections::BTreeMap;
use std::time::Duration;

use chatproto::Instant;
use chatproto::hub::{self, Hub};
use chatproto::session::{Config, Event, Restored, RoomKey, Session};
use chatproto::testing::{Actor, Conditions, HubEnd, MemoryLog, Network, Rng, SessionEnd, run};
use chatproto::wire::{DeviceId, Note, ServerId};

use crate::rig::{lobby, name, text, user};

const SAYS: u64 = 30;

struct World {
    network: Network,
    server: HubEnd,
    clients: Vec<(SessionEnd, Vec<Event>)>,
    now: Instant,
}

impl World {
    fn new(seed: u64) -> Self {
        let address = "192.0.2.1:4000".parse().unwrap();
        let mut network = Network::new(seed, Conditions { max_piece: 200, ..Conditions::default() });
        let (agent, mechanisms) = (Note::new("test").unwrap(), Note::new("none").unwrap());
        let config = hub::Config::new(ServerId([7; 16]), agent, mechanisms, name("lobby"));
        let mut log = MemoryLog::new(Duration::from_millis(5));
        let people = ["alice", "bob", "carol"];
        log.set_users(people.map(name));
        let server = HubEnd::new(Hub::new(config, [], Rng::new(seed)), log, address, &mut network);
        let now = Instant::default();
        let client = |(person, device): (&str, u8)| {
            let config = Config::new(name(person), DeviceId([device; 16]));
            let session = Session::new(config, Restored::default(), seed + u64::from(device), now);
            (SessionEnd::new(session, "198.51.100.1".parse().unwrap(), address), Vec::new())
        };
        let clients = people.into_iter().zip(1..).map(client).collect();
        Self { network, server, clients, now }
    }

    fn run_for(&mut self, millis: u64) {
        let until = self.now + Duration::from_millis(millis);
        let mut actors: Vec<&mut dyn Actor> = vec![&mut self.server];
        actors.extend(self.clients.iter_mut().map(|(client, _)| client as &mut dyn Actor));
        run(&mut self.network, &mut actors, &mut self.now, until).unwrap();
        for (client, events) in &mut self.clients {
            events.extend(client.take_events());
        }
    }
}

/// Everything said in each room as one client saw it, and a check that the numbers have no gap.
fn seen(events: &[Event]) -> BTreeMap<RoomKey, Vec<String>> {
    let mut rooms = BTreeMap::<RoomKey, (u64, Vec<String>)>::new();
    for event in events {
        if let Event::Message { message, .. } = event {
            let (last, texts) = rooms.entry(message.room.clone()).or_insert((message.seq - 1, Vec::new()));
            assert_eq!(message.seq, *last + 1, "{message:?}");
            *last = message.seq;
            texts.push(message.text.as_str().to_owned());
        }
        assert!(!matches!(event, Event::SayRefused { .. } | Event::JoinRefused { .. }), "{event:?}");
        if let Event::Lost { reason, .. } = event {
            assert!(!format!("{reason:?}").contains("Violation"), "{reason:?}");
        }
    }
    rooms.into_iter().map(|(room, (_, texts))| (room, texts)).collect()
}

#[test]
fn cut_connections_lose_nothing_and_double_nothing() {
    for seed in 0..30 {
        let mut world = World::new(seed);
        let mut chance = Rng::new(seed);
        world.run_for(1_000);
        for say in 1..=SAYS {
            for speaker in 0..world.clients.len() {
                let whole = text(&format!("{speaker} says {say}"));
                let target = if say % 5 == 0 && speaker == 0 { user("bob") } else { lobby() };
                world.clients[speaker].0.session_mut().say(target, &whole).unwrap();
            }
            let victim = chance.index(3);
            if let Some(stream) = world.clients[victim].0.stream() {
                world.network.cut_after(stream, chance.index(300));
            }
            world.run_for(chance.below(400));
        }
        world.run_for(120_000);

        let seen = world.clients.iter().map(|(_, events)| seen(events)).collect::<Vec<_>>();
        assert_eq!(seen[0][&user("bob")], seen[1][&user("alice")], "seed {seed}");
        assert_eq!(seen[0][&user("bob")].len(), 6, "seed {seed}");
        for (client, events) in &world.clients {
            assert_eq!(client.session().pending().count(), 0, "seed {seed}");
            let posted = events.iter().filter(|event| matches!(event, Event::Posted { .. })).count();
            assert_eq!(u64::try_from(posted).unwrap(), SAYS, "seed {seed}");
            assert!(events.iter().any(|event| matches!(event, Event::Back { .. })), "seed {seed}");
        }
        for others in &seen {
            assert_eq!(others[&lobby()], seen[0][&lobby()], "seed {seed}");
            assert_eq!(others[&lobby()].len(), 84, "seed {seed}");
        }
    }
}
