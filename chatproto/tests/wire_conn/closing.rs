//! How a connection ends.

use bytes::{Buf, Bytes};
use chatproto::Instant;
use chatproto::conn::{Conn, FrameReader, Limits};
use chatproto::wire::{
    CloseReason, ErrorCode, FrameError, FrameType, MAX_FRAME, MAX_HELLO_FRAME, Ping, ToClient, WireError,
};

fn conn() -> Conn {
    Conn::new(&Limits::default(), Instant::default())
}

/// Takes all that waits and shows it.
fn sent(conn: &mut Conn) -> Vec<String> {
    let len = conn.queue.remaining();
    let bytes = conn.queue.copy_to_bytes(len);
    let mut reader = FrameReader::new(MAX_FRAME);
    let mut frames = Vec::new();
    let mut rest = &bytes[..];
    while !rest.is_empty() {
        let step = reader.step(rest).expect("our own frames");
        let raw = step.frame.expect("whole frames");
        frames.push(match ToClient::decode(raw).expect("our own frames").expect("known") {
            ToClient::Error(error) => {
                format!("error {} about {}: {}", error.code, error.about, error.note.as_str())
            }
            ToClient::Bye(bye) => format!("bye {} {}: {}", bye.reason, bye.retry_after, bye.note.as_str()),
            other => other.frame_type().to_string(),
        });
        rest = &rest[step.used..];
    }
    frames
}

#[test]
fn nothing_follows_a_bye() {
    let mut conn = conn();
    conn.send(&Ping { nonce: 1 });
    conn.close_for(CloseReason::Busy, 2_000, "come back later");
    conn.send(&Ping { nonce: 2 });
    conn.send_shared(Bytes::from_static(&[0, 0, 0, 1, 0x80]));
    conn.close(CloseReason::Done, "again");
    assert_eq!(conn.closing(), Some(CloseReason::Busy));
    assert!(!conn.is_finished());
    assert_eq!(sent(&mut conn), ["ping", "bye busy 2000: come back later"]);
    assert!(conn.is_finished());
}

#[test]
fn a_connection_that_is_not_closing_is_not_finished() {
    let conn = conn();
    assert_eq!(conn.closing(), None);
    assert!(conn.queue.is_empty() && !conn.is_finished());
}

#[test]
fn whoever_breaks_a_rule_hears_which() {
    let wrong = WireError::Truncated { field: "text" };
    let cases = [
        (FrameError::NoType, "error malformed about 0: a frame of length 0"),
        (
            FrameError::TooLarge { len: u32::from_be_bytes(*b"GET "), max: MAX_HELLO_FRAME },
            "error too_large about 0: a frame of 1195725856 bytes, at most 1024 are allowed here (the other side speaks HTTP)",
        ),
        (FrameError::Unknown(0x7e), "error unknown_frame about 126: unknown frame type 0x7e"),
        (
            FrameError::Direction(FrameType::Posted),
            "error wrong_state about 33: `posted` does not go in this direction",
        ),
        (
            FrameError::Body { frame: FrameType::Say, error: wrong },
            "error malformed about 32: malformed `say`: the frame ends inside `text`",
        ),
    ];
    for (error, expected) in cases {
        let mut conn = conn();
        conn.violation(&error);
        assert_eq!(sent(&mut conn), [expected, "bye violation 0: "]);
    }
}

#[test]
fn a_note_that_does_not_fit_is_cut_at_a_character() {
    let mut conn = conn();
    conn.send_error(ErrorCode::Internal, 0, 0, &"é".repeat(200));
    assert_eq!(sent(&mut conn), [format!("error internal about 0: {}", "é".repeat(127))]);
}
