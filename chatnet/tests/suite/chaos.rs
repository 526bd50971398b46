//! Whatever the program does and when: each connection ends once, each end has a beginning of what the other one
//! sent, nothing is left over, and the loop comes to rest.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use chatnet::{CloseReason, ConnToken, NetConfig, Security};

use super::common::{Dice, Rig, plain, tls};

const STEPS: u64 = 300;
const MAX_PAIRS: usize = 12;

struct Chaos {
    rig: Rig,
    dice: Dice,
    security: (Security, Security),
    pairs: Vec<(ConnToken, ConnToken)>,
    /// What each end was to send, before whatever cut it off.
    sent: BTreeMap<ConnToken, Vec<u8>>,
    /// Those that say no more.
    silent: BTreeSet<ConnToken>,
}

impl Chaos {
    fn new(security: (Security, Security), seed: u64) -> Self {
        let config = NetConfig {
            max_in_transit: 5_000,
            read_budget: 10_000,
            write_budget: 10_000,
            linger_timeout: Duration::from_millis(100),
            ..NetConfig::default()
        };
        let (rig, dice) = (Rig::new(config), Dice(seed));
        Self { rig, dice, security, pairs: Vec::new(), sent: BTreeMap::new(), silent: BTreeSet::new() }
    }

    fn roll(&mut self, sides: usize) -> usize {
        usize::try_from(self.dice.roll() % u64::try_from(sides).unwrap()).unwrap()
    }

    fn step(&mut self) {
        if self.pairs.len() < MAX_PAIRS && self.roll(5) == 0 {
            let (server, client) = self.security.clone();
            self.pairs.push(self.rig.pair(server, client));
        }
        let Some(pair) = (!self.pairs.is_empty()).then(|| self.roll(self.pairs.len())) else { return };
        let (first, second) = self.pairs[pair];
        let token = if self.roll(2) == 0 { first } else { second };
        if self.rig.closed(token) {
            return;
        }
        match self.roll(20) {
            0..10 => {
                let count = 1 + self.roll(60_000);
                let bytes = self.dice.bytes(count);
                if !self.silent.contains(&token) {
                    self.sent.entry(token).or_default().extend_from_slice(&bytes);
                    self.rig.end_mut(token).unsent.push(bytes);
                }
            }
            10..13 => {
                self.rig.net.pause_read(token);
                self.rig.paused.insert(token);
            }
            13..17 => self.resume(token),
            17 => {
                self.silent.insert(token);
                self.rig.end_mut(token).finish = true;
            }
            18 => {
                self.silent.insert(token);
                self.rig.net.close(token);
                // No events but the last.
                self.rig.paused.insert(token);
            }
            _ => self.rig.net.abort(token),
        }
    }

    /// Also of one that the program has closed, which must not come back to life.
    fn resume(&mut self, token: ConnToken) {
        self.rig.net.resume_read(token);
        self.rig.paused.remove(&token);
    }

    /// How many ends have all of the other one's bytes and its end.
    fn finish(&mut self) -> usize {
        for (first, second) in self.pairs.clone() {
            for token in [first, second] {
                self.resume(token);
                self.rig.end_mut(token).finish = true;
            }
        }
        self.rig.run_until("all are closed", |rig| rig.ends.keys().all(|token| rig.closed(*token)));
        self.rig.run_until("all are gone", |rig| rig.net.connections() == 0);
        self.rig.assert_at_rest();
        let mut whole = 0;
        for &(first, second) in &self.pairs {
            for (from, to) in [(first, second), (second, first)] {
                let sent = self.sent.get(&from).map_or(&[][..], |sent| sent);
                let end = self.rig.end(to);
                assert!(sent.starts_with(&end.received), "what {to:?} got is not what {from:?} sent");
                // Only an end that was not cut off says that it was all.
                if end.eof && matches!(self.rig.end(from).closed, Some(CloseReason::Finished)) {
                    assert_eq!(end.received.len(), sent.len(), "{to:?} believes that it has all of {from:?}");
                    whole += usize::from(!sent.is_empty());
                }
            }
        }
        whole
    }
}

fn play(security: &(Security, Security), seeds: std::ops::Range<u64>) {
    let mut whole = 0;
    for seed in seeds {
        let mut chaos = Chaos::new(security.clone(), 1 + seed);
        for _ in 0..STEPS {
            chaos.step();
            chaos.rig.turn(Instant::now());
        }
        whole += chaos.finish();
    }
    assert!(whole > 10, "{whole}: hardly anything came through, so little was tried");
}

#[test]
fn plain_chaos_ends_in_order() {
    play(&plain(), 0..10);
}

#[test]
fn tls_chaos_ends_in_order() {
    play(&tls(), 10..20);
}
