//! Relayed links: bytes go from one socket to another. What they mean is between the two clients, whose TLS runs from
//! end to end; here they are counted, limited, and passed on.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::{Buf as _, Bytes, BytesMut};
use chatnet::{ConnToken, Net, Read};
use chatproto::hub::Hub;
use chatproto::wire::{Body as _, OfferId, RelayOpened};

use super::console;

/// What relays may cost. Off unless the operator says otherwise.
#[derive(Debug, Clone)]
pub(crate) struct RelayConfig {
    /// Links relayed at once; 0, the default, switches the relay off. Each has two sockets and at most
    /// 4 times [`CHUNK`] of memory.
    pub(crate) max_relays: usize,
    /// Those of them that one account may be an end of. Default 4.
    pub(crate) max_relays_per_account: usize,
    /// Bytes a second of one link, both directions together. Default 1 MiB. Keeps a transfer from using the line up.
    pub(crate) bytes_per_second: u64,
    /// Bytes of one link, both directions together. Default 1 GiB.
    pub(crate) max_bytes: u64,
    /// Time of one link. Default 1 h.
    pub(crate) max_time: Duration,
    /// Time without a byte. Default 3 min: a link pings more often.
    pub(crate) idle_time: Duration,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            max_relays: 0,
            max_relays_per_account: 4,
            bytes_per_second: 1 << 20,
            max_bytes: 1 << 30,
            max_time: Duration::from_secs(60 * 60),
            idle_time: Duration::from_secs(180),
        }
    }
}

/// Bytes that wait for one end before the other is read no more; one more read may come on top.
const CHUNK: usize = 64 * 1024;

/// What a link may send at once before its rate counts: a fraction of a second, and at least one chunk.
const BURST: Duration = Duration::from_millis(250);

/// All relayed links.
#[derive(Debug)]
pub(super) struct Relays {
    config: RelayConfig,
    ends: HashMap<ConnToken, (u64, usize)>,
    relays: BTreeMap<u64, Relay>,
    last: u64,
    bytes: u64,
    /// Relays that ended and are to be told to the hub.
    ended: Vec<OfferId>,
}

/// One relayed link.
#[derive(Debug)]
struct Relay {
    offer: OfferId,
    ends: [End; 2],
    names: [String; 2],
    bytes: u64,
    /// Bytes that may be read now; below 0 the rate is exceeded.
    allowance: i64,
    counted_at: Instant,
    began: Instant,
    heard: Instant,
}

#[derive(Debug)]
struct End {
    token: ConnToken,
    /// Waits to be written to this end.
    waiting: BytesMut,
    /// Nothing more will be read from it.
    is_over: bool,
    /// Its end was passed on to the other.
    is_told: bool,
    is_paused: bool,
}

impl Relays {
    pub(super) fn new(config: RelayConfig) -> Self {
        Self { config, ends: HashMap::new(), relays: BTreeMap::new(), last: 0, bytes: 0, ended: Vec::new() }
    }

    /// Bytes relayed since the start of the server.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn has(&self, token: ConnToken) -> bool {
        self.ends.contains_key(&token)
    }

    /// Joins two connections, and tells both.
    pub(super) fn begin(
        &mut self,
        net: &mut Net,
        offer: OfferId,
        tokens: [ConnToken; 2],
        names: [String; 2],
    ) {
        self.last += 1;
        let id = self.last;
        let now = Instant::now();
        let opened: Bytes = RelayOpened { offer }.to_bytes();
        let end = |token| End {
            token,
            waiting: BytesMut::from(opened.as_ref()),
            is_over: false,
            is_told: false,
            is_paused: false,
        };
        for (at, token) in tokens.into_iter().enumerate() {
            self.ends.insert(token, (id, at));
        }
        let allowance = burst(self.config.bytes_per_second);
        let relay = Relay {
            offer,
            ends: tokens.map(end),
            names,
            bytes: 0,
            allowance,
            counted_at: now,
            began: now,
            heard: now,
        };
        self.relays.insert(id, relay);
        for token in tokens {
            self.writable(net, token);
            // It may have been paused while the hub had it.
            net.resume_read(token);
        }
    }

    /// Passes on what an end has sent, as far as the other takes it and the rate allows.
    pub(super) fn readable(&mut self, net: &mut Net, token: ConnToken) {
        let Some((&(id, at), now)) = self.ends.get(&token).map(|found| (found, Instant::now())) else {
            return;
        };
        let Some(relay) = self.relays.get_mut(&id) else { return };
        relay.earn(now, self.config.bytes_per_second);
        loop {
            let [first, second] = &mut relay.ends;
            let (from, to) = if at == 0 { (first, second) } else { (second, first) };
            if to.waiting.len() >= CHUNK || relay.allowance <= 0 {
                from.is_paused = true;
                net.pause_read(token);
                break;
            }
            match net.read(token) {
                Read::Bytes(bytes) => {
                    to.waiting.extend_from_slice(bytes);
                    let count = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
                    relay.allowance = relay.allowance.saturating_sub_unsigned(count);
                    relay.bytes = relay.bytes.saturating_add(count);
                    self.bytes = self.bytes.saturating_add(count);
                    relay.heard = now;
                }
                Read::Eof => {
                    from.is_over = true;
                    break;
                }
                Read::Empty | Read::Closed => break,
            }
        }
        let other = relay.ends.get(1 - at).map(|end| end.token);
        if relay.bytes >= self.config.max_bytes {
            return self.end(net, id, "it has had its share of bytes");
        }
        if let Some(other) = other {
            self.writable(net, other);
        }
    }

    /// Writes what waits for an end, and reads on from the other when there is room.
    pub(super) fn writable(&mut self, net: &mut Net, token: ConnToken) {
        let Some(&(id, at)) = self.ends.get(&token) else { return };
        let Some(relay) = self.relays.get_mut(&id) else { return };
        let [first, second] = &mut relay.ends;
        let (to, from) = if at == 0 { (first, second) } else { (second, first) };
        if to.waiting.has_remaining() {
            let _ = net.write(token, &mut to.waiting);
        }
        if to.waiting.is_empty() && from.is_over && !to.is_told {
            to.is_told = true;
            net.shutdown_write(token);
        }
        if from.is_paused && to.waiting.len() < CHUNK && relay.allowance > 0 {
            from.is_paused = false;
            net.resume_read(from.token);
        }
        if relay.ends.iter().all(|end| end.is_over && end.is_told) {
            self.end(net, id, "both ends have finished");
        }
    }

    /// An end is gone.
    pub(super) fn closed(&mut self, net: &mut Net, token: ConnToken) {
        if let Some((id, _)) = self.ends.remove(&token) {
            self.end(net, id, "one end is gone");
        }
    }

    fn end(&mut self, net: &mut Net, id: u64, why: &str) {
        let Some(relay) = self.relays.remove(&id) else { return };
        for end in &relay.ends {
            if self.ends.remove(&end.token).is_some() {
                net.close(end.token);
            }
        }
        self.ended.push(relay.offer);
        let [from, to] = &relay.names;
        console::relay_ended(from, to, relay.bytes, relay.began.elapsed().as_secs(), why);
    }

    /// Goes on with those that had to wait for their rate, and ends those whose time is over.
    pub(super) fn tick(&mut self, net: &mut Net, hub: &mut Hub) {
        let now = Instant::now();
        let rate = self.config.bytes_per_second;
        let mut over = Vec::new();
        for (id, relay) in &mut self.relays {
            relay.earn(now, rate);
            if now >= relay.began + self.config.max_time {
                over.push((*id, "its time is over"));
            } else if now >= relay.heard + self.config.idle_time {
                over.push((*id, "nothing was heard for too long"));
            } else if relay.allowance > 0 {
                relay.resume(net);
            }
        }
        for (id, why) in over {
            self.end(net, id, why);
        }
        self.ended.drain(..).for_each(|offer| hub.relay_ended(offer));
    }

    /// When a relay that waits for its rate can go on, or the time of one is over.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let of = |relay: &Relay| {
            let over = (relay.began + self.config.max_time).min(relay.heard + self.config.idle_time);
            let waits = relay.allowance <= 0 && relay.ends.iter().any(|end| end.is_paused);
            if waits { over.min(relay.counted_at + relay.debt(self.config.bytes_per_second)) } else { over }
        };
        let ended = (!self.ended.is_empty()).then(Instant::now);
        self.relays.values().map(of).chain(ended).min()
    }
}

impl Relay {
    /// Counts the time since the last look into the allowance.
    fn earn(&mut self, now: Instant, rate: u64) {
        let elapsed = now.saturating_duration_since(self.counted_at).as_micros();
        let earned = elapsed.saturating_mul(u128::from(rate)) / 1_000_000;
        // What is less than a byte stays to be earned.
        if earned > 0 {
            let earned = i64::try_from(earned).unwrap_or(i64::MAX);
            self.allowance = self.allowance.saturating_add(earned).min(burst(rate));
            self.counted_at = now;
        }
    }

    /// How long until the allowance is above 0.
    fn debt(&self, rate: u64) -> Duration {
        let missing = u64::try_from(1_i64.saturating_sub(self.allowance)).unwrap_or(0);
        let micros = u128::from(missing).saturating_mul(1_000_000) / u128::from(rate.max(1));
        Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX)) + Duration::from_millis(1)
    }

    /// Reads on from the ends that were paused, where the other end takes it.
    fn resume(&mut self, net: &mut Net) {
        let waiting = self.ends.each_ref().map(|end| end.waiting.len());
        for (from, other) in self.ends.iter_mut().zip(waiting.into_iter().rev()) {
            if from.is_paused && other < CHUNK {
                from.is_paused = false;
                net.resume_read(from.token);
            }
        }
    }
}

fn burst(rate: u64) -> i64 {
    let bytes = u128::from(rate) * BURST.as_millis() / 1_000;
    i64::try_from(bytes).unwrap_or(i64::MAX).max(i64::try_from(CHUNK).unwrap_or(i64::MAX))
}
