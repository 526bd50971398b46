//! A hub among clients that do anything: legal frames in any order, garbage, hanging up, not reading.
#![no_main]

use core::time::Duration;
use std::collections::BTreeMap;

use arbitrary::{Result, Unstructured};
use bumpalo::Bump;
use bytes::Bytes;
use chatproto::Instant;
use chatproto::hub::{Accept, Config, ConnId, Event, Hub};
use chatproto::testing::{MemoryLog, Trouble};
use chatproto::wire::{
    Announce, Body, Capabilities, Capability, ClientHello, DeviceId, ErrorCode, Join, LinkKey, List,
    LoginStart, MAGIC, MAX_FRAME, Name, NameRef, NoteRef, OfferId, PeerAnswer, PeerRequest, Purpose,
    RequestId, Say, ServerId, Target, ToClient, ToServer,
};
use chatproto_fuzz::{Sent, Told, Value};
use libfuzzer_sys::fuzz_target;

/// Connections alive at once.
const MAX_CONNS: usize = 6;

/// Bounds small enough to be met.
fn config() -> Config {
    let note = |text| NoteRef::new(text).expect("a legal note").to_owned();
    let name = Name::new("lobby").expect("a legal name");
    let mut config = Config::new(ServerId([9; 16]), note("fuzz"), note("any none"), name);
    config.capabilities = Capabilities::NONE.with(Capability::Search).with(Capability::Moderation);
    config.limits.max_queue = 8 * 1024;
    config.limits.max_queue_hard = 64 * 1024;
    config.max_strangers = 4;
    config.max_devices = 3;
    config.max_rooms_joined = 4;
    config.max_rooms = 5;
    config.max_appends = 4;
    config.max_requests = 3;
    config.max_offers = 2;
    config.page_messages = 4;
    config.recent_bytes = 512;
    config.max_house_notes = 4;
    config
}

/// Rounds in which everybody hears everything; a log that fails may keep somebody waiting for good.
const MAX_ROUNDS: usize = 64;

/// What a queue may hold past its hard bound: the frame that went over it, a page of missed messages, the bye.
const SLACK: usize = 128 * 1024;

struct World {
    hub: Hub,
    log: MemoryLog,
    conns: BTreeMap<ConnId, (Sent, Told)>,
    now: Instant,
}

impl World {
    fn pick(&self, u: &mut Unstructured<'_>) -> Result<Option<ConnId>> {
        let at = u.arbitrary::<u8>()?;
        Ok(self.conns.keys().nth(usize::from(at) % self.conns.len().max(1)).copied())
    }

    fn accept(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        if self.conns.len() < MAX_CONNS {
            let ip = [10, 0, 0, u.int_in_range(1..=3)?];
            let id = self.hub.accept((ip, u.arbitrary()?).into(), self.now);
            let sent = Sent::new(|raw| ToClient::decode(raw).map(|frame| frame.is_some()));
            self.conns.insert(id, (sent, Told::default()));
        }
        Ok(())
    }

    /// What a well-behaved client sends to log in.
    fn log_in(&mut self, id: ConnId, u: &mut Unstructured<'_>) -> Result<()> {
        let hello = ClientHello {
            magic: MAGIC,
            version_min: 1,
            version_max: 1,
            capabilities: Capabilities::NONE.with(Capability::Search),
            max_frame: MAX_FRAME,
            agent: NoteRef::EMPTY,
        };
        let announce = Announce { port: 4000, link_key: LinkKey([1; 32]), candidates: List::new(&[]) };
        let bump = Bump::new();
        let start = LoginStart {
            user: Value::draw(u, &bump)?,
            device: DeviceId([u.int_in_range(0..=2)?; 16]),
            mechanism: NoteRef::new("any").expect("a legal note"),
            data: chatproto::wire::Blob::default(),
        };
        for bytes in [hello.to_bytes(), announce.to_bytes(), start.to_bytes()] {
            self.hub.handle_input(id, &bytes, self.now);
        }
        Ok(())
    }

    /// A frame that makes sense after a login.
    fn sensible(&mut self, id: ConnId, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let lobby = Target::Room(NameRef::new("lobby").expect("a legal name"));
        let bytes = match u.int_in_range(0..=4)? {
            0 => Join { request: RequestId(1), target: lobby, cursor: Value::draw(u, &bump)? }.to_bytes(),
            1 => Say { counter: Value::draw(u, &bump)?, target: lobby, text: Value::draw(u, &bump)? }
                .to_bytes(),
            2 => Say {
                counter: Value::draw(u, &bump)?,
                target: Value::draw(u, &bump)?,
                text: Value::draw(u, &bump)?,
            }
            .to_bytes(),
            3 => PeerRequest {
                request: Value::draw(u, &bump)?,
                purpose: Purpose::Files,
                concealed: Value::draw(u, &bump)?,
                to: Value::draw(u, &bump)?,
            }
            .to_bytes(),
            _ => PeerAnswer {
                offer: OfferId(u.int_in_range(1..=3)?),
                accept: u.ratio(3, 4)?,
                concealed: u.ratio(1, 4)?,
            }
            .to_bytes(),
        };
        self.hub.handle_input(id, &bytes, self.now);
        Ok(())
    }

    /// Any legal frame, cut in two anywhere.
    fn frame(&mut self, id: ConnId, u: &mut Unstructured<'_>) -> Result<()> {
        let bump = Bump::new();
        let frame = ToServer::draw(u, &bump)?;
        let mut bytes = Vec::new();
        frame.encode(&mut bytes);
        let cut = usize::from(u.arbitrary::<u8>()?).min(bytes.len());
        self.hub.handle_input(id, &bytes[..cut], self.now);
        self.hub.handle_input(id, &bytes[cut..], self.now);
        Ok(())
    }

    fn answer(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        while let Some(event) = self.hub.poll_event() {
            let Some(event) = self.log.take(event, self.now) else { continue };
            match event {
                Event::LoginStarted { conn, user, .. } => match u.int_in_range(0..=7)? {
                    0 => _ = self.hub.login_refuse(conn, ErrorCode::LoginRefused, "no"),
                    1 => _ = self.hub.login_challenge(conn, b"prove it"),
                    _ => self.login(conn, user),
                },
                Event::LoginResponse { conn, .. } => {
                    self.login(conn, Name::new("carol").expect("a legal name"))
                }
                Event::LoggedIn { .. }
                | Event::Closed { .. }
                | Event::PeerRequested { .. }
                | Event::PeerIntroduced { .. }
                | Event::Relayed { .. }
                | Event::TestReach { .. }
                | Event::PeerRefused { .. } => {}
                other => panic!("the log does not answer {other:?}"),
            }
        }
        self.log.answer(&mut self.hub, self.now);
        Ok(())
    }

    fn login(&mut self, conn: ConnId, user: Name) {
        let accept = Accept {
            user,
            is_admin: false,
            ticket: Bytes::new(),
            ticket_lifetime: Duration::ZERO,
            data: Bytes::new(),
        };
        self.hub.login_accept(conn, &accept);
    }

    fn drain(&mut self, id: ConnId, count: usize) {
        if let (Some((sent, told)), Some(queue)) = (self.conns.get_mut(&id), self.hub.outgoing(id)) {
            sent.take_each(queue, count, |raw| told.hear(raw));
        }
        if self.hub.is_finished(id) {
            self.hang_up(id);
        }
    }

    fn hang_up(&mut self, id: ConnId) {
        self.hub.handle_eof(id, self.now);
        self.conns.remove(&id);
        assert!(self.hub.outgoing(id).is_none() && self.hub.is_finished(id) && !self.hub.wants_read(id));
    }

    fn check(&mut self) {
        assert_eq!(self.hub.poll_timeout(), self.hub.poll_timeout());
        let hard = config().limits.max_queue_hard;
        for &id in self.conns.keys() {
            let len = self.hub.outgoing(id).map_or(0, |queue| queue.len());
            assert!(len <= hard + SLACK, "{len} bytes wait");
        }
        let (all, logged_in) = self.hub.connections();
        assert_eq!(all, self.conns.len());
        assert!(logged_in <= all);
        assert!(self.hub.strangers() <= config().max_strangers);
    }

    /// Everybody hears everything; then what they know is what is.
    fn compare(&mut self, u: &mut Unstructured<'_>) {
        for _ in 0..MAX_ROUNDS {
            let _ = self.answer(u);
            let everybody: Vec<_> = self.conns.keys().copied().collect();
            // Who did not take its bye in time never hears it: its connection is only to be closed.
            let waits = |hub: &mut Hub, id| {
                hub.is_finished(id) || hub.outgoing(id).is_some_and(|queue| !queue.is_empty())
            };
            if !everybody.iter().any(|id| waits(&mut self.hub, *id)) {
                self.conns.iter().for_each(|(id, (_, told))| told.agrees(&self.hub, *id));
                return;
            }
            everybody.into_iter().for_each(|id| self.drain(id, usize::MAX));
        }
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let op = u.int_in_range(0..=31)?;
        if op < 3 {
            return self.accept(u);
        }
        let Some(id) = self.pick(u)? else { return self.accept(u) };
        match op {
            3..=6 => self.log_in(id, u)?,
            7 => self.hang_up(id),
            8 => {
                let bytes: &[u8] = u.arbitrary()?;
                self.hub.handle_input(id, bytes, self.now);
            }
            9 => {
                self.now = self.now + Duration::from_millis(u.int_in_range(0..=100_000)?);
                self.hub.handle_timeout(self.now);
            }
            10 => self.log.set_trouble(match u.arbitrary::<u8>()? % 4 {
                1 => Some(Trouble::Full),
                3 => Some(Trouble::Locked),
                _ => None,
            }),
            11 if u.ratio(1, 8)? => self.hub.shut_down(self.now),
            12 if u.ratio(1, 2)? => self.hub.remove_user(&Name::new("bob").expect("a legal name"), self.now),
            13 => _ = self.hub.poll_writable(),
            14..=16 => self.answer(u)?,
            17..=18 => self.drain(id, u.int_in_range(0..=5000)?),
            19..=24 => self.sensible(id, u)?,
            _ => self.frame(id, u)?,
        }
        Ok(())
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let mut ticket = 0_u8;
    let entropy = move |bytes: &mut [u8]| {
        ticket = ticket.wrapping_add(1);
        bytes.fill(ticket);
    };
    let hub = Hub::new(config(), [], entropy);
    let log = MemoryLog::new(Duration::ZERO);
    let mut world = World { hub, log, conns: BTreeMap::new(), now: Instant::from_millis(1) };
    while !u.is_empty() && world.step(&mut u).is_ok() {
        world.check();
    }
    world.compare(&mut u);
    // However it ended: once everybody reads and hangs up, nobody is left and nothing is due.
    let _ = world.answer(&mut u);
    let everybody: Vec<_> = world.conns.keys().copied().collect();
    for &id in &everybody {
        world.drain(id, usize::MAX);
    }
    for id in everybody {
        world.hub.handle_eof(id, world.now);
    }
    while world.hub.poll_event().is_some() {}
    assert_eq!(world.hub.poll_event(), None);
    assert_eq!(world.hub.connections(), (0, 0));
});
