//! What crosses the wire in the worlds: every frame of it is whole, in one direction, and allowed there. With
//! `CHATPROTO_WRITE_SEEDS=DIR` it is written as seeds for the fuzz targets `decode`, `split` and `hub`, in folders of these names.
//!
//! The other targets draw what they do from every byte: what a session or a peer makes of a stream depends on what its program
//! asked for, so that a stream alone would be refused at its first answer.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use chatproto::conn::FrameReader;
use chatproto::wire::*;

use crate::house::House;
use crate::world::World;

/// Of so many worlds and houses it is kept.
const WORLDS: u64 = 12;
const HOUSES: u64 = 4;

/// Of each end of a connection, in bytes.
const KEPT: usize = 16 * 1024;

/// The longest seed: a fuzzer changes short ones better.
const MAX_SEED: usize = 4 * 1024;

/// Seeds of `split` for each direction.
const MAX_STREAMS: usize = 24;

/// Seeds of `hub`, and connections in each.
const MAX_CROWDS: usize = 12;
const CROWD: usize = 3;

/// Who reads a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reader {
    Server,
    Client,
    Peer,
}

impl Reader {
    const ALL: [Self; 3] = [Self::Server, Self::Client, Self::Peer];

    fn knows(self, raw: RawFrame<'_>) -> bool {
        match self {
            Self::Server => matches!(ToServer::decode(raw), Ok(Some(_))),
            Self::Client => matches!(ToClient::decode(raw), Ok(Some(_))),
            Self::Peer => matches!(ToPeer::decode(raw), Ok(Some(_))),
        }
    }
}

/// One direction of one connection: frames as a type and a body, and the lengths of the pieces in which they came.
#[derive(Debug)]
struct Stream {
    reader: Reader,
    frames: Vec<Vec<u8>>,
    bytes: Vec<u8>,
    pieces: Vec<usize>,
}

impl Stream {
    /// Reads what was recorded. Whose stream it is, the one direction tells in which every frame has a meaning.
    fn read(pieces: &[Bytes]) -> Option<Self> {
        let (mut reader, mut frames) = (FrameReader::new(MAX_FRAME), Vec::new());
        let mut readers = Reader::ALL.to_vec();
        for piece in pieces {
            let mut rest = &piece[..];
            loop {
                let step = reader.step(rest).expect("frames within the limit");
                rest = &rest[step.used..];
                let Some(raw) = step.frame else { break };
                readers.retain(|reader| reader.knows(raw));
                assert!(!readers.is_empty(), "frame {:#04x} after {} others", raw.number, frames.len());
                frames.push([&[raw.number], raw.body].concat());
            }
        }
        // Of a connection that was cut at once nobody can say.
        let [reader] = readers[..] else { return None };
        let bytes = pieces.concat();
        Some(Self { reader, frames, bytes, pieces: pieces.iter().map(Bytes::len).collect() })
    }

    /// As `split` takes it: the limit, eight lengths of pieces that are used over and over, and the stream.
    fn seed(&self) -> Vec<u8> {
        let lengths = self.pieces.iter().map(|len| u8::try_from(*len).unwrap_or(u8::MAX)).cycle();
        let bytes = &self.bytes[..self.bytes.len().min(MAX_SEED)];
        [0].into_iter().chain(lengths.take(8)).chain(bytes.iter().copied()).collect()
    }
}

/// What the target `hub` does by a byte at the beginning of a step: let somebody in, hear bytes from somebody, answer what the hub
/// asks, send what waits.
const ACCEPT: u8 = 0;
const HEAR: u8 = 8;
const ANSWER: u8 = 14;
const DRAIN: u8 = 17;

/// How many frames of this type end in a piece.
fn count(reader: &mut FrameReader, mut piece: &[u8], which: FrameType) -> usize {
    let mut found = 0;
    loop {
        let step = reader.step(piece).unwrap();
        piece = &piece[step.used..];
        let Some(raw) = step.frame else { return found };
        found += usize::from(raw.number == which.number());
    }
}

/// Clients one after the other at the same hub, as the target `hub` takes it. Of what is drawn there, lengths of bytes are taken
/// from the end of the input, the first one last.
fn crowd(streams: &[&Stream]) -> Vec<u8> {
    const PORT: [u8; 2] = [1, 2];
    // A yes for whoever logs in, and as much to send as may be.
    const YES: u8 = 7;
    const ALL: [u8; 2] = [0x13, 0x88];
    let mut steps: Vec<(Vec<u8>, &[u8])> = Vec::new();
    for (number, stream) in (0_u8..).zip(streams) {
        steps.push(([&[ACCEPT, number], &PORT[..]].concat(), &[]));
        let mut rest = &stream.bytes[..stream.bytes.len().min(MAX_SEED / CROWD)];
        let mut reader = FrameReader::new(MAX_FRAME);
        for piece in &stream.pieces {
            let (piece, later) = rest.split_at(rest.len().min(*piece));
            rest = later;
            steps.push((vec![HEAR, number], piece));
            // The target draws an answer for each login that has begun, and none otherwise.
            let logins = count(&mut reader, piece, FrameType::LoginStart);
            steps.push(([vec![ANSWER, number], vec![YES; logins]].concat(), &[]));
            steps.push(([&[DRAIN, number], &ALL[..]].concat(), &[]));
            if rest.is_empty() {
                break;
            }
        }
    }
    let (mut front, mut lengths) = (Vec::new(), Vec::new());
    for (head, bytes) in steps.into_iter().rev() {
        front.splice(..0, [&head, bytes].concat());
        if head[0] == HEAR {
            // One byte for the length if all that is left has no more than 256 with it, else two.
            let left = front.len() - head.len() + lengths.len();
            match u8::try_from(left) {
                Ok(_) => lengths.push(bytes.len() as u8),
                Err(_) => lengths.extend(u16::try_from(bytes.len()).unwrap().to_be_bytes()),
            }
        }
    }
    [front, lengths].concat()
}

#[test]
fn what_crosses_the_wire_is_whole_and_goes_one_way() {
    let worlds = (1..=WORLDS).flat_map(|seed| World::new(seed).recorded(KEPT));
    let houses = (1..=HOUSES).flat_map(|seed| House::new(seed).recorded(KEPT));
    let streams: Vec<_> = worlds.chain(houses).filter_map(|pieces| Stream::read(&pieces)).collect();

    let mut frames = BTreeMap::<_, BTreeSet<_>>::new();
    for stream in &streams {
        for frame in &stream.frames {
            frames.entry((stream.reader, frame[0])).or_default().insert((frame.len(), frame));
        }
    }
    let types = |reader| frames.keys().filter(|(other, _)| *other == reader).count();
    let counts = Reader::ALL.map(types);
    // A record of nothing would be no record.
    assert!(counts[0] >= 15 && counts[1] >= 20 && counts[2] >= 12, "types of frames: {counts:?}");

    let Some(folder) = std::env::var_os("CHATPROTO_WRITE_SEEDS") else { return };
    let folder = Path::new(&folder);
    let write = |target: &str, name: &str, data: &[u8]| {
        let folder = folder.join(target);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(name), data).unwrap();
    };
    for ((reader, number), frames) in &frames {
        // The shortest, the longest, and one between.
        let fit: Vec<_> = frames.iter().filter(|(len, _)| *len <= MAX_SEED).collect();
        for (at, which) in [0, fit.len() / 2, fit.len().saturating_sub(1)].into_iter().enumerate() {
            if let Some((_, frame)) = fit.get(which) {
                write("decode", &format!("sim_{reader:?}_{number:02x}_{at}").to_lowercase(), frame);
            }
        }
    }
    for reader in Reader::ALL {
        // Those with most kinds of frames first.
        let mut own: Vec<_> = streams.iter().filter(|stream| stream.reader == reader).collect();
        own.sort_by_key(|stream| {
            let kinds: BTreeSet<_> = stream.frames.iter().map(|frame| frame[0]).collect();
            (std::cmp::Reverse(kinds.len()), stream.bytes.len())
        });
        for (at, stream) in own.into_iter().take(MAX_STREAMS).enumerate() {
            write("split", &format!("sim_{reader:?}_{at:02}").to_lowercase(), &stream.seed());
        }
    }
    let clients: Vec<_> = streams.iter().filter(|stream| stream.reader == Reader::Server).collect();
    let crowds = clients.chunks(CROWD).map(crowd).filter(|seed| seed.len() <= 2 * MAX_SEED);
    for (at, seed) in crowds.take(MAX_CROWDS).enumerate() {
        write("hub", &format!("sim_{at:02}"), &seed);
    }
}
