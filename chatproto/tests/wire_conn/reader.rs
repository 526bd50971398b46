//! Frames out of a stream that may be cut anywhere.

use chatproto::conn::FrameReader;
use chatproto::wire::{FrameError, MAX_FRAME, MAX_HELLO_FRAME};
use proptest::prelude::*;

type Frame = (u8, Vec<u8>);

fn encode(frames: &[Frame]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (number, body) in frames {
        bytes.extend_from_slice(&u32::try_from(body.len() + 1).expect("a short body").to_be_bytes());
        bytes.push(*number);
        bytes.extend_from_slice(body);
    }
    bytes
}

/// All frames of one piece of input; checks that what is held stays below the limit.
fn read(reader: &mut FrameReader, mut input: &[u8], max_frame: u32) -> Result<Vec<Frame>, FrameError> {
    let mut frames = Vec::new();
    loop {
        let step = reader.step(input)?;
        let used = step.used;
        let frame = step.frame.map(|raw| (raw.number, raw.body.to_vec()));
        input = &input[used..];
        match frame {
            Some(frame) => frames.push(frame),
            None => {
                assert_eq!(input, b"", "a step without a frame uses all the input");
                assert!(reader.buffered() < usize::try_from(max_frame).unwrap() + 4);
                return Ok(frames);
            }
        }
    }
}

fn pieces<'b>(mut bytes: &'b [u8], lens: &[usize]) -> Vec<&'b [u8]> {
    let mut pieces = Vec::new();
    for &len in lens {
        let (piece, rest) = bytes.split_at(len.min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
    }
    pieces.push(bytes);
    pieces
}

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let body = prop_oneof![
        4 => prop::collection::vec(any::<u8>(), 0..16),
        1 => prop::collection::vec(any::<u8>(), 900..1023),
    ];
    prop::collection::vec((any::<u8>(), body), 0..12)
}

proptest! {
    #[test]
    fn any_cut_of_a_stream_gives_the_same_frames(
        frames in frames(),
        lens in prop::collection::vec(prop_oneof![0_usize..8, 0_usize..3000], 0..64),
    ) {
        let bytes = encode(&frames);
        let mut reader = FrameReader::new(MAX_HELLO_FRAME);
        let mut found = Vec::new();
        for piece in pieces(&bytes, &lens) {
            found.extend(read(&mut reader, piece, MAX_HELLO_FRAME).unwrap());
        }
        prop_assert_eq!(found, frames);
        prop_assert_eq!(reader.buffered(), 0);
    }

    #[test]
    fn a_stream_without_its_end_gives_the_frames_before_it(frames in frames(), cut in any::<prop::sample::Index>()) {
        let bytes = encode(&frames);
        let cut = cut.index(bytes.len() + 1);
        let mut reader = FrameReader::new(MAX_HELLO_FRAME);
        let found = read(&mut reader, &bytes[..cut], MAX_HELLO_FRAME).unwrap();
        let whole = encode(&found).len();
        prop_assert_eq!(&found[..], &frames[..found.len()]);
        prop_assert_eq!(reader.buffered(), cut - whole);
    }

    #[test]
    fn a_bad_length_is_refused_the_same_however_it_arrives(
        frames in frames(),
        len in prop_oneof![Just(0), MAX_HELLO_FRAME + 1..=u32::MAX],
        lens in prop::collection::vec(0_usize..8, 0..64),
    ) {
        let good = encode(&frames);
        let bytes = [&good[..], &len.to_be_bytes(), &[0x5a; 32]].concat();
        let mut reader = FrameReader::new(MAX_HELLO_FRAME);
        let mut found = Vec::new();
        let mut error = None;
        for piece in pieces(&bytes, &lens) {
            match read_until_error(&mut reader, piece, &mut found) {
                Ok(()) => {}
                Err(refused) => {
                    error = Some(refused);
                    break;
                }
            }
        }
        let expected = if len == 0 { FrameError::NoType } else { FrameError::TooLarge { len, max: MAX_HELLO_FRAME } };
        prop_assert_eq!(error, Some(expected));
        prop_assert_eq!(found, frames);
        prop_assert!(reader.buffered() <= 4, "no more than the length is held");
    }
}

fn read_until_error(
    reader: &mut FrameReader,
    mut input: &[u8],
    found: &mut Vec<Frame>,
) -> Result<(), FrameError> {
    loop {
        let step = reader.step(input)?;
        let used = step.used;
        let Some(raw) = step.frame else { return Ok(()) };
        found.push((raw.number, raw.body.to_vec()));
        input = &input[used..];
    }
}

#[test]
fn a_giant_length_is_refused_with_its_fourth_byte_and_stays_refused() {
    let mut reader = FrameReader::new(MAX_FRAME);
    for byte in [0xff, 0xff, 0xff] {
        assert!(reader.step(&[byte]).unwrap().frame.is_none());
    }
    for _ in 0..2 {
        assert_eq!(reader.step(&[0xff]).unwrap_err(), FrameError::TooLarge { len: u32::MAX, max: MAX_FRAME });
    }
    assert!(reader.buffered() <= 4);
}

#[test]
fn the_longest_frame_is_taken_and_one_byte_more_is_not() {
    let longest = usize::try_from(MAX_FRAME).unwrap() - 1;
    let frame = (0x62, vec![7; longest]);
    let bytes = encode(std::slice::from_ref(&frame));
    for cut in [0, 3, 4, 5, 6, bytes.len() - 1, bytes.len()] {
        let mut reader = FrameReader::new(MAX_FRAME);
        let mut found = read(&mut reader, &bytes[..cut], MAX_FRAME).unwrap();
        found.extend(read(&mut reader, &bytes[cut..], MAX_FRAME).unwrap());
        assert!(found == [frame.clone()], "cut at {cut}");
    }
    let longer = encode(&[(0x62, vec![7; longest + 1])]);
    let refused = FrameReader::new(MAX_FRAME).step(&longer).unwrap_err();
    assert_eq!(refused, FrameError::TooLarge { len: MAX_FRAME + 1, max: MAX_FRAME });
}

#[test]
fn a_new_limit_holds_from_the_next_header_on() {
    let hello = (0x10, vec![1; 40]);
    let long = (0x20, vec![2; 3000]);
    let bytes = encode(&[hello.clone(), long.clone()]);
    let mut reader = FrameReader::new(MAX_HELLO_FRAME);
    let step = reader.step(&bytes).unwrap();
    let used = step.used;
    assert_eq!(step.frame.map(|raw| raw.number), Some(0x10));
    reader.set_max_frame(MAX_FRAME);
    assert_eq!(read(&mut reader, &bytes[used..], MAX_FRAME), Ok(vec![long]));
}

#[test]
fn a_frame_that_arrived_whole_is_not_copied() {
    let bytes = encode(&[(0x01, vec![9; 8])]);
    let mut reader = FrameReader::new(MAX_FRAME);
    let step = reader.step(&bytes).unwrap();
    let body = step.frame.unwrap().body;
    assert!(std::ptr::eq(body, &bytes[5..]));
}
