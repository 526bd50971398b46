//! ping, pong, bye, error.

use chatproto::wire::{Bye, CloseReason, Error, ErrorCode, FrameType, NoteRef, Ping, Pong};

use crate::show::show;
use crate::values::{note, repeated};
use crate::{Vector, vector};

show! {
    Ping { nonce }
    Pong { nonce }
    Bye<'_> { reason, retry_after, note }
    Error<'_> { code, about, request, retry_after, note }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let mut vectors = vec![
        vector("zero", Ping { nonce: 0 }),
        vector("every byte differs", Ping { nonce: 0x0102_0304_0506_0708 }),
        vector("largest", Ping { nonce: u64::MAX }),
        vector("zero", Pong { nonce: 0 }),
        vector("every byte differs", Pong { nonce: 0x0102_0304_0506_0708 }),
        vector(
            "with advice",
            Bye { reason: CloseReason::ShuttingDown, retry_after: 2_500, note: note("restarting") },
        ),
        vector(
            "longest note",
            Bye {
                reason: CloseReason::Busy,
                retry_after: u32::MAX,
                note: note(repeated("x", NoteRef::MAX_LEN)),
            },
        ),
        vector(
            "about a say",
            Error {
                code: ErrorCode::NotMember,
                about: FrameType::Say.number(),
                request: u64::MAX,
                retry_after: 0,
                note: note("join first"),
            },
        ),
        vector(
            "note in many scripts",
            Error {
                code: ErrorCode::Busy,
                about: 0,
                request: 0,
                retry_after: 60_000,
                note: note("später · 後で · بعداً"),
            },
        ),
    ];
    vectors.extend(
        CloseReason::ALL
            .iter()
            .map(|&reason| vector(reason.name(), Bye { reason, retry_after: 0, note: NoteRef::EMPTY })),
    );
    vectors.extend(ErrorCode::ALL.iter().map(|&code| {
        vector(code.name(), Error { code, about: 0, request: 0, retry_after: 0, note: NoteRef::EMPTY })
    }));
    vectors
}
