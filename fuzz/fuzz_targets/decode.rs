//! Any type and body, in all three directions: no panic, and what decodes encodes to the same bytes.
#![no_main]

use chatproto::wire::{HEADER_LEN, RawFrame, ToClient, ToPeer, ToServer};
use libfuzzer_sys::fuzz_target;

macro_rules! check {
    ($direction:ident, $raw:expr) => {
        if let Ok(Some(frame)) = $direction::decode($raw) {
            assert_eq!(frame.frame_type().number(), $raw.number);
            let mut bytes = Vec::new();
            frame.encode(&mut bytes);
            assert_eq!(bytes.len(), frame.frame_len());
            let (header, body) = bytes.split_at(HEADER_LEN);
            assert_eq!(body, $raw.body);
            assert_eq!(header[..4], u32::try_from(body.len() + 1).unwrap().to_be_bytes());
            let again = RawFrame { number: header[4], body };
            assert_eq!($direction::decode(again), Ok(Some(frame)));
        }
    };
}

fuzz_target!(|data: &[u8]| {
    let Some((&number, body)) = data.split_first() else { return };
    let raw = RawFrame { number, body };
    check!(ToServer, raw);
    check!(ToClient, raw);
    check!(ToPeer, raw);
});
