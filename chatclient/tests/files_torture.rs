//! Everything that can happen to a file on its way, at random: senders that lie, parts that crash, disks that forget. What
//! has its name in the end is what was promised, or nothing has.
//!
//! A seed is one file's fate. `CHATCLIENT_SEEDS=5000` tries more of them, `CHATCLIENT_SEED=7` one again.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod files_support;

use bytes::Bytes;
use chatclient::downloads::{DownloadError, Downloads, Incoming, Origin, Search};
use chatclient::share::{KnownHashes, Outgoing, Share, ShareError};
use chatproto::testing::Rng;
use chatproto::verify::UnitLog2;
use chatproto::wire::SafeRelPathRef;
use files_support::{name, path};
use std::fs;
use std::path::{Path, PathBuf};

const ROOT: SafeRelPathRef<'static> = SafeRelPathRef::ROOT;
const UNIT: UnitLog2 = UnitLog2::MIN;

/// Fates that are tried when nothing else is asked for.
const DEFAULT_SEEDS: u64 = 60;

/// Attempts that may fail before nothing disturbs the next one any more.
const MAX_DISTURBED: u32 = 12;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn what_has_its_name_is_what_was_promised() {
    let first = number("CHATCLIENT_SEED");
    let count = if first.is_some() { 1 } else { number("CHATCLIENT_SEEDS").unwrap_or(DEFAULT_SEEDS) };
    let first = first.unwrap_or(1);
    let mut told = Told::default();
    for seed in first..first + count {
        eprintln!("CHATCLIENT_SEED={seed}");
        Fate::new(seed).live(&mut told);
    }
    eprintln!("{count} files: {told:?}");
    if count >= DEFAULT_SEEDS {
        let Told { resumed, crashed, changed, lies, damaged } = told;
        assert!(
            [resumed, crashed, changed, lies, damaged].iter().all(|count| *count > 0),
            "nothing happened"
        );
    }
}

/// How often something happened.
#[derive(Debug, Default)]
struct Told {
    resumed: u32,
    crashed: u32,
    changed: u32,
    lies: u32,
    damaged: u32,
}

/// How an attempt ends.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done(PathBuf),
    Interrupted,
    Changed,
    Lied,
}

struct Fate {
    rng: Rng,
    source: tempfile::TempDir,
    target: tempfile::TempDir,
    hashes: KnownHashes,
    /// Every content that the source ever had.
    versions: Vec<Vec<u8>>,
}

impl Fate {
    fn new(seed: u64) -> Self {
        let (source, target) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let hashes = KnownHashes::default();
        let mut fate = Self { rng: Rng::new(seed), source, target, hashes, versions: Vec::new() };
        fate.change_source();
        fate
    }

    fn live(mut self, told: &mut Told) {
        for attempt in 0.. {
            let outcome = self.attempt(attempt < MAX_DISTURBED, told);
            let named = self.target.path().join("film.mkv");
            match outcome {
                Outcome::Done(path) => {
                    assert_eq!(path, named);
                    assert!(self.versions.contains(&fs::read(path).unwrap()), "it is no version of the file");
                    return;
                }
                Outcome::Interrupted | Outcome::Changed | Outcome::Lied => assert!(!named.exists()),
            }
            assert!(attempt <= MAX_DISTURBED + 1, "undisturbed, it does not arrive: {outcome:?}");
            self.meanwhile(attempt < MAX_DISTURBED, told);
        }
    }

    /// One transfer, from where the last one ended.
    fn attempt(&mut self, disturbed: bool, told: &mut Told) -> Outcome {
        let share = Share::open(self.source.path()).unwrap().with_hashes(self.hashes.clone());
        let file = share.open_file(path("film.mkv").borrow(), None).unwrap();
        let wanted = Origin {
            peer: "bob".to_owned(),
            path: "film.mkv".to_owned(),
            size: file.size(),
            mtime_ms: file.mtime_ms(),
            unit: UNIT,
            root: file.known().root,
        };
        let downloads = Downloads::open(self.target.path()).unwrap();
        let mut outgoing = Outgoing::new(file, UNIT);
        let incoming = match downloads.look_for(ROOT, name("film.mkv").borrow(), &wanted).unwrap() {
            Search::Part(mut part) => {
                part.recheck(u64::MAX).unwrap();
                part
            }
            Search::Changed(kept) => {
                told.changed += 1;
                assert!(kept.discard().unwrap());
                return Outcome::Changed;
            }
            Search::Nothing { .. } => {
                Box::new(Incoming::begin(&downloads, ROOT, name("film.mkv").borrow(), &wanted).unwrap())
            }
        };
        let (units, held) = incoming.prefix();
        if units > 0 {
            outgoing.hash_up_to(units, u64::MAX).unwrap();
            if outgoing.go_on_at(units, &held).is_err() {
                told.changed += 1;
                incoming.discard().unwrap();
                return Outcome::Changed;
            }
            told.resumed += 1;
        }
        self.send(&mut outgoing, incoming, wanted.mtime_ms, disturbed, told)
    }

    fn send(
        &mut self,
        outgoing: &mut Outgoing,
        mut incoming: Box<Incoming>,
        mtime_ms: u64,
        disturbed: bool,
        told: &mut Told,
    ) -> Outcome {
        loop {
            let sent = match outgoing.next_unit() {
                Ok(Some(sent)) => sent,
                Ok(None) => break,
                Err(ShareError::Changed { .. }) => {
                    drop(incoming.keep().unwrap());
                    return Outcome::Changed;
                }
                Err(error) => panic!("{error}"),
            };
            let (mut bytes, mut value) = (sent.bytes.to_vec(), sent.value);
            let event = if disturbed { self.rng.below(40) } else { u64::MAX };
            match event {
                // A wrong byte, a wrong value.
                0 => bytes[0] ^= 1,
                1 => value[0] ^= 1,
                // Both ends are cut off; or the receiver dies with what it has not claimed.
                2 => {
                    drop(incoming.keep().unwrap());
                    outgoing.remember(&self.hashes);
                    return Outcome::Interrupted;
                }
                3 => {
                    told.crashed += 1;
                    drop(incoming);
                    return Outcome::Interrupted;
                }
                4 => self.change_source(),
                _ => {}
            }
            let cut = usize::try_from(self.rng.below(bytes.len() as u64 + 1)).unwrap();
            let pieces = [Bytes::copy_from_slice(&bytes[..cut]), Bytes::copy_from_slice(&bytes[cut..])];
            if incoming.store(sent.index, &pieces, &value).unwrap() != value {
                told.lies += 1;
                drop(incoming.keep().unwrap());
                return Outcome::Lied;
            }
            if self.rng.chance(20)
                && let Some(mut claim) = incoming.claim_due()
            {
                claim.write().unwrap();
            }
        }
        outgoing.remember(&self.hashes);
        let mut root = outgoing.root().unwrap();
        if disturbed && self.rng.chance(20) {
            root[31] ^= 1;
        }
        match incoming.finish(&root, mtime_ms) {
            Ok(finished) => {
                assert_eq!(finished.root, *blake3::hash(&fs::read(&finished.path).unwrap()).as_bytes());
                Outcome::Done(finished.path)
            }
            Err(DownloadError::RootMismatch { .. }) => {
                told.lies += 1;
                Outcome::Lied
            }
            Err(error) => panic!("{error}"),
        }
    }

    /// What happens to the disks between two attempts.
    fn meanwhile(&mut self, disturbed: bool, told: &mut Told) {
        if !disturbed {
            return;
        }
        if self.rng.chance(15) {
            self.change_source();
        }
        if self.rng.chance(40) {
            let found = fs::read_dir(self.target.path()).unwrap();
            let files: Vec<PathBuf> = found.map(|entry| entry.unwrap().path()).collect();
            if let Some(path) = self.rng.choose(&files).cloned() {
                told.damaged += 1;
                self.damage(&path);
            }
        }
    }

    /// Cuts a file, or flips a bit of it.
    fn damage(&mut self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        if bytes.is_empty() {
            return;
        }
        let at = usize::try_from(self.rng.below(bytes.len() as u64)).unwrap();
        if self.rng.chance(50) {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << self.rng.below(8);
        }
        fs::write(path, bytes).unwrap();
    }

    fn change_source(&mut self) {
        let size = match self.versions.last() {
            // Most often only the content changes.
            Some(last) if self.rng.chance(70) => last.len(),
            Some(_) | None => usize::try_from(1 + self.rng.below(60 * 1024)).unwrap(),
        };
        let mut content = vec![0; size];
        self.rng.fill(&mut content);
        // Parts of it stay as they were.
        if let Some(last) = self.versions.last() {
            let same = usize::try_from(self.rng.below(size.min(last.len()) as u64)).unwrap();
            content[..same].copy_from_slice(&last[..same]);
        }
        fs::write(self.source.path().join("film.mkv"), &content).unwrap();
        self.versions.push(content);
    }
}
