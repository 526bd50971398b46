//! Any stream, cut anywhere: the same frames and the same error as in one piece.
//!
//! The first byte chooses the limit, the next eight are lengths of pieces, used over and over; the rest is the stream.
#![no_main]

use chatproto::conn::FrameReader;
use chatproto::wire::{FrameError, MAX_FRAME, MAX_HELLO_FRAME};
use libfuzzer_sys::fuzz_target;

#[derive(Debug, PartialEq)]
struct Found {
    frames: Vec<(u8, Vec<u8>)>,
    end: Result<usize, FrameError>,
}

fn read<'d>(pieces: impl Iterator<Item = &'d [u8]>, max_frame: u32) -> Found {
    let mut reader = FrameReader::new(max_frame);
    let mut frames = Vec::new();
    for mut piece in pieces {
        loop {
            let step = match reader.step(piece) {
                Ok(step) => step,
                Err(error) => return Found { frames, end: Err(error) },
            };
            let used = step.used;
            assert!(used <= piece.len());
            let Some(raw) = step.frame else {
                assert_eq!(used, piece.len());
                break;
            };
            frames.push((raw.number, raw.body.to_vec()));
            piece = &piece[used..];
        }
        assert!(reader.buffered() < max_frame as usize + 4);
    }
    Found { frames, end: Ok(reader.buffered()) }
}

fuzz_target!(|data: &[u8]| {
    let Some((head, stream)) = data.split_first_chunk::<9>() else { return };
    let max_frame = if head[0] & 1 == 0 { MAX_FRAME } else { MAX_HELLO_FRAME };
    let whole = read([stream].into_iter(), max_frame);

    let mut rest = stream;
    let pieces = head[1..].iter().cycle().map_while(|&len| {
        if rest.is_empty() {
            return None;
        }
        let (piece, tail) = rest.split_at(rest.len().min(if len == 0 { 1 } else { len.into() }));
        rest = tail;
        Some(piece)
    });
    assert_eq!(read(pieces, max_frame), whole);
});
