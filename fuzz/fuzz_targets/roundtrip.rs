//! Any legal frame encodes, is read as one frame, and decodes to itself.
#![no_main]

use arbitrary::Unstructured;
use bumpalo::Bump;
use chatproto::conn::FrameReader;
use chatproto::wire::MAX_FRAME;
use chatproto_fuzz::frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let bump = Bump::new();
    let mut u = Unstructured::new(data);
    // An error says that the bytes are used up.
    let _ = frames(&mut u, &bump, |bytes, decodes_to_same| {
        let mut reader = FrameReader::new(MAX_FRAME);
        let step = reader.step(bytes).expect("a legal header");
        assert_eq!(step.used, bytes.len());
        assert!(decodes_to_same(step.frame.expect("a whole frame")));
    });
});
