//! Lies at random places of a file, cuts at random moments, and the truth in the end.
//!
//! `CHATCLIENT_ROUNDS=200` makes more rounds, `CHATCLIENT_SEED=7` begins with another one; what was said and how it ended is
//! printed (`--no-capture`).

use std::collections::BTreeMap;

use chatproto::testing::Rng;
use chatproto::wire::{Body as _, Entry, ToPeer};

use crate::harness::{MIB, ended, film, read};
use crate::mallory::{Sending, entry, page, root_of};
use crate::scene::{Scene, Victim};

/// Rounds when nothing else is asked for.
const DEFAULT_ROUNDS: u64 = 6;

/// Lies of a round, before the truth.
const LIES: u64 = 3;

#[derive(Clone, Copy, Debug)]
enum Lie {
    CorruptByte,
    WrongValue,
    WrongRoot,
    WrongFirstValues,
    Cut,
}

const KINDS: [Lie; 5] = [Lie::CorruptByte, Lie::WrongValue, Lie::WrongRoot, Lie::WrongFirstValues, Lie::Cut];

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

struct Round<'a> {
    scene: &'a mut Scene,
    victim: &'a mut Victim,
    rng: &'a mut Rng,
    name: String,
    content: Vec<u8>,
    by_root: bool,
}

#[test]
fn after_any_lies_the_file_is_whole_or_its_failure_named() {
    let rounds = number("CHATCLIENT_ROUNDS").unwrap_or(DEFAULT_ROUNDS);
    let seed = number("CHATCLIENT_SEED").unwrap_or(1);
    let mut rng = Rng::new(seed);
    let mut scene = Scene::new();
    let mut victim = scene.victim();
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    let mut names = Vec::new();
    for round in 0..rounds {
        let mut content = film(3, rng.next_u64());
        content.truncate(2 * MIB + usize::try_from(rng.below(MIB as u64)).expect("a size"));
        let name = format!("film {round:04}.mkv");
        let by_root = rng.below(2) == 0;
        let (scene, victim, rng) = (&mut scene, &mut victim, &mut rng);
        let mut round = Round { scene, victim, rng, name, content, by_root };
        let mut must_ask = true;
        for _ in 0..LIES {
            let lie = KINDS[usize::try_from(round.rng.below(KINDS.len() as u64)).expect("a kind")];
            let end = round.play(Some(lie), must_ask);
            *ends
                .entry(format!("{lie:?} by {}: {end}", if by_root { "root" } else { "number" }))
                .or_default() += 1;
            if end == "done" {
                break;
            }
            // What waits goes on by itself.
            must_ask = end != "waiting";
        }
        if !round.victim.downloads().contains(&round.name) {
            assert_eq!(round.play(None, must_ask), "done", "the truth does not arrive");
        }
        assert!(read(&round.victim.download(&round.name)) == round.content, "wrong bytes have the name");
        names.push(round.name);
    }
    for (what, count) in ends {
        println!("seed {seed}, {what}, {count} times");
    }
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let code = victim.first_failure;
    victim.ends_well(code, &names);
}

impl Round<'_> {
    /// Links, lets the file be asked for, and answers with a lie or the truth; how the transfer ended, by name.
    fn play(&mut self, lie: Option<Lie>, must_ask: bool) -> String {
        let link = self.scene.link(self.victim);
        if must_ask {
            self.victim.alice.type_line("/get 1");
        }
        let root = self.by_root.then(|| root_of(&self.content));
        let listed = Entry { root, ..entry(1, &self.name, self.content.len() as u64) };
        let asked = self.scene.mallory.until(link, |frame| match frame {
            ToPeer::List(asked) => Err(page(&asked, &[listed]).to_bytes().to_vec()),
            ToPeer::FileRequest(asked) => Ok(Sending::answer(&asked, &self.content)),
            ToPeer::UnitRequest(asked) => Ok(Sending::units(&asked, &self.content)),
            _ => Err(Vec::new()),
        });
        let mut sending = asked.expect("it is asked for");
        let bytes = self.bend(&mut sending, lie);
        self.scene.mallory.say(link, &bytes);
        if matches!(lie, Some(Lie::Cut)) {
            self.scene.mallory.flush(link);
            self.scene.mallory.cut(link);
            self.victim.alice.expect("peer_closed", |_| true);
        }
        let alice = &mut self.victim.alice;
        let last = self
            .scene
            .mallory
            .meanwhile(|| alice.expect("transfer", |event| ended(event) || event["state"] == "waiting"));
        self.victim.note(&last);
        if !matches!(lie, Some(Lie::Cut)) {
            self.victim.alice.type_line("/hangup mallory");
            self.scene.mallory.serve(link, |_| Vec::new());
            self.victim.alice.expect("peer_closed", |_| true);
        }
        self.victim.alice.forget();
        let named = if last["state"] == "failed" { &last["error"] } else { &last["state"] };
        named.as_str().expect("it has a name").to_owned()
    }

    /// What she says, bent at a random place.
    fn bend(&mut self, sending: &mut Sending, lie: Option<Lie>) -> Vec<u8> {
        let mut pick = |count: u64| usize::try_from(self.rng.below(count.max(1))).expect("a small number");
        match lie {
            Some(Lie::CorruptByte) if sending.offset < sending.end => {
                let first = usize::try_from(sending.offset).expect("a size");
                sending.content[first + pick(sending.end - sending.offset)] ^= 1 << pick(8);
            }
            Some(Lie::WrongValue) if sending.offset < sending.end => {
                let first = usize::try_from(sending.offset >> sending.unit_log2).expect("a unit");
                let count = (sending.values.len() - first) as u64;
                sending.values[first + pick(count)].0[pick(32)] ^= 1 << pick(8);
            }
            Some(Lie::WrongFirstValues) if sending.values_first.is_some() => {
                let values = sending.values_first.as_mut().expect("they come first");
                let count = values.len() as u64;
                values[pick(count)].0[pick(32)] ^= 1 << pick(8);
            }
            Some(Lie::Cut) => {
                let bytes = sending.bytes();
                return bytes[..pick(bytes.len() as u64)].to_vec();
            }
            Some(Lie::WrongRoot | Lie::CorruptByte | Lie::WrongValue | Lie::WrongFirstValues) => {
                sending.root.0[pick(32)] ^= 1 << pick(8);
            }
            None => {}
        }
        sending.bytes()
    }
}
