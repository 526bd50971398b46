//! Frames that must be refused, and with which code.

use chatproto::wire::{FrameType, MAX_FRAME};

use crate::show::{hex, quoted};
use crate::{DIRECTIONS, read_one};

/// A frame, to whom, why it is wrong.
struct Invalid {
    case: &'static str,
    to: &'static str,
    bytes: Vec<u8>,
}

fn frame(case: &'static str, to: &'static str, frame: FrameType, body: &[&[u8]]) -> Invalid {
    let body = body.concat();
    let len = u32::try_from(body.len() + 1).expect("a short frame");
    Invalid { case, to, bytes: [&len.to_be_bytes()[..], &[frame.number()], &body].concat() }
}

fn raw(case: &'static str, to: &'static str, bytes: &[u8]) -> Invalid {
    Invalid { case, to, bytes: bytes.to_vec() }
}

fn say(case: &'static str, target: &[u8], text: &[u8]) -> Invalid {
    let len = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    frame(case, "server", FrameType::Say, &[&[0; 8], target, &len, text])
}

fn join(case: &'static str, name: &[u8], cursor: &[u8]) -> Invalid {
    let len = u8::try_from(name.len()).expect("a short name");
    frame(case, "server", FrameType::Join, &[&[0, 0, 0, 1, 2, len], name, cursor])
}

fn list(case: &'static str, path: &[u8]) -> Invalid {
    let len = u16::try_from(path.len()).expect("a short path").to_be_bytes();
    frame(case, "peer", FrameType::List, &[&[0; 13], &len, path])
}

/// `messages` in room 1 from number `seq` and time `time` on.
fn messages(case: &'static str, seq: u64, time: u64, runs: &[&[u8]]) -> Invalid {
    let runs = runs.concat();
    let len = u32::try_from(runs.len()).expect("short runs").to_be_bytes();
    let body: [&[u8]; 6] = [&[0, 0, 0, 1], &seq.to_be_bytes(), &time.to_be_bytes(), &[0], &len, &runs];
    frame(case, "client", FrameType::Messages, &body)
}

/// What bob says on a device of zeros.
fn run(said: &[&[u8]]) -> Vec<u8> {
    let said = said.concat();
    let len = u32::try_from(said.len()).expect("a short run").to_be_bytes();
    [&[0; 16][..], b"\x03bob", &len, &said].concat()
}

fn said(later: u32, text: &[u8]) -> Vec<u8> {
    let len = u16::try_from(text.len()).expect("a short text").to_be_bytes();
    [&later.to_be_bytes()[..], &[0; 8], &len, text].concat()
}

fn cases() -> Vec<Invalid> {
    let too_large = (MAX_FRAME + 1).to_be_bytes();
    let lobby: &[u8] = b"\x02\x05lobby";
    let mut cases = vec![
        raw("length 0", "server", &[0, 0, 0, 0]),
        raw("length past the limit", "server", &[&too_large[..], &[0x01]].concat()),
        raw("largest length", "peer", &[0xff; 5]),
        raw("HTTP", "server", b"GET / HTTP/1.1\r\n"),
        raw("TLS", "server", &[0x16, 0x03, 0x01, 0x02, 0x00, 0x01]),
        raw("unknown type", "server", &[0, 0, 0, 1, 0x7e]),
        raw("reserved type", "client", &[0, 0, 0, 1, 0x32]),
        raw("type 0", "peer", &[0, 0, 0, 1, 0x00]),
        frame("a server's frame to a server", "server", FrameType::Posted, &[&[0; 28]]),
        frame("a client's frame to a client", "client", FrameType::Say, &[]),
        frame("a chat frame on a link", "peer", FrameType::Say, &[]),
        frame("empty body", "server", FrameType::Ping, &[]),
        frame("body one byte short", "server", FrameType::Ping, &[&[0; 7]]),
        frame("body one byte long", "server", FrameType::Ping, &[&[0; 9]]),
        say("unknown target", b"\x04\x05lobby", b"x"),
        say("target 0", &[0, 0, 0, 0, 1], b"x"),
        say("empty text", lobby, b""),
        say("text not UTF-8", lobby, b"\xff\xfe"),
        say("overlong UTF-8", lobby, b"\xc0\xaf"),
        say("surrogate in UTF-8", lobby, b"\xed\xa0\x80"),
        say("NUL", lobby, b"a\0b"),
        say("line feed", lobby, b"a\nb"),
        say("escape sequence", lobby, b"\x1b[2J"),
        say("DEL", lobby, b"a\x7f"),
        say("C1 control", lobby, "a\u{9b}31m".as_bytes()),
        say("line separator", lobby, "a\u{2028}b".as_bytes()),
        say("right-to-left override", lobby, "exe\u{202e}gpj".as_bytes()),
        say("isolate", lobby, "a\u{2066}b".as_bytes()),
        say("byte order mark", lobby, "\u{feff}a".as_bytes()),
        say("noncharacter", lobby, "a\u{fffe}".as_bytes()),
        say("noncharacter of a high plane", lobby, "a\u{10ffff}".as_bytes()),
        say("text of 4097 bytes", lobby, &[b'x'; 4097]),
        join("empty name", b"", &[0]),
        join("name of 33 bytes", &[b'a'; 33], &[0]),
        join("name begins with a dot", b".hidden", &[0]),
        join("space in a name", b"two words", &[0]),
        join("slash in a name", b"a/b", &[0]),
        join("name not in form C", "e\u{301}".as_bytes(), &[0]),
        join("invisible filler in a name", "a\u{3164}".as_bytes(), &[0]),
        join("variation selector in a name", "a\u{fe0f}".as_bytes(), &[0]),
        join("name begins with a mark", "\u{345}a".as_bytes(), &[0]),
        join("presence byte 2", b"lobby", &[2, 0, 0, 0, 0, 0, 0, 0, 0]),
        frame("boolean 2", "server", FrameType::PeerAnswer, &[&[0; 8], &[2]]),
        frame("unknown close reason", "server", FrameType::Bye, &[&[0xee, 0, 0, 0, 0, 0]]),
        frame("unknown error code", "server", FrameType::Error, &[&[0xee; 2], &[0; 14]]),
        frame("unknown purpose", "server", FrameType::PeerRequest, &[&[0, 0, 0, 1, 9], b"\x03bob"]),
        frame("blob of 8193 bytes", "server", FrameType::LoginResponse, &[&[0x20, 0x01], &[0; 8193]]),
        frame(
            "address of family 5",
            "server",
            FrameType::Announce,
            &[&[0; 34], &[0, 0, 0, 7, 5, 0, 0, 0, 0, 0, 0]],
        ),
        frame(
            "list ends inside an item",
            "server",
            FrameType::Announce,
            &[&[0; 34], &[0, 0, 0, 6, 4, 0, 0, 0, 0, 0]],
        ),
        frame(
            "list longer than the frame",
            "server",
            FrameType::Announce,
            &[&[0; 34], &[0, 0, 0, 8, 4, 0, 0, 0, 0, 0, 0]],
        ),
        frame("list of 4 GiB", "server", FrameType::Announce, &[&[0; 34], &[0xff; 4]]),
        frame(
            "five candidates",
            "server",
            FrameType::Announce,
            &[&[0; 34], &[0, 0, 0, 35], &[4, 10, 0, 0, 1, 4, 0].repeat(5)],
        ),
        frame("unknown source", "peer", FrameType::FileRequest, &[&[0, 0, 0, 1, 3], &[0; 18]]),
    ];
    let hello = said(0, b"hello");
    cases.extend([
        messages("no messages", 1, 5, &[]),
        messages("a run in which nothing is said", 1, 5, &[&run(&[])]),
        messages("nothing said in the second run", 1, 5, &[&run(&[&hello]), &run(&[])]),
        messages("time before the first message", 1, 5, &[&run(&[&said(1, b"hello")])]),
        messages("two runs of one device", 1, 5, &[&run(&[&hello]), &run(&[&hello])]),
        messages("numbers past the last", u64::MAX, 5, &[&run(&[&hello, &hello])]),
        messages("times past the last", 1, u64::MAX, &[&run(&[&hello, &said(1, b"x")])]),
        messages("a run ends inside a message", 1, 5, &[&run(&[&hello, &hello[..7]])]),
        messages("runs end inside a run", 1, 5, &[&run(&[&hello]), &run(&[&hello])[..18]]),
        messages("an empty text among others", 1, 5, &[&run(&[&hello, &said(0, b"")])]),
        list("path above", b".."),
        list("path through above", b"a/../b"),
        list("this folder", b"a/."),
        list("absolute path", b"/etc"),
        list("two slashes", b"a//b"),
        list("slash at the end", b"a/"),
        list("backslash", b"a\\b"),
        list("drive", b"C:"),
        list("device", b"a/nul.txt"),
        list("device with a superscript digit", "com\u{b9}".as_bytes()),
        list("space at the end of a name", b"a /b"),
        list("dot at the end of a name", b"a."),
        list("control in a path", b"a\x07"),
        list("zero-width space in a path", "a\u{200b}b".as_bytes()),
        list("path not in form C", "e\u{301}".as_bytes()),
        list("path not UTF-8", b"\xff"),
        list("33 names", "a/".repeat(33).trim_end_matches('/').as_bytes()),
        list("name of 241 bytes", &[b'a'; 241]),
        list("path of 1025 bytes", &[b'a'; 1025]),
    ]);
    cases
}

/// The content of `invalid.json`; every case is refused on the way.
pub(crate) fn render() -> String {
    let cases: Vec<_> = cases().iter().map(render_one).collect();
    format!("[\n{}\n]\n", cases.join(",\n"))
}

fn render_one(invalid: &Invalid) -> String {
    let direction = DIRECTIONS.iter().find(|direction| direction.name == invalid.to).expect(invalid.to);
    let Err(error) = read_one(&invalid.bytes, direction) else { panic!("accepted: {}", invalid.case) };
    format!(
        "  {{\n    \"case\": {},\n    \"to\": {},\n    \"hex\": {},\n    \"code\": {},\n    \"about\": {},\n    \"note\": {}\n  }}",
        quoted(invalid.case),
        quoted(invalid.to),
        quoted(&hex(&invalid.bytes)),
        quoted(error.code().name()),
        error.about(),
        quoted(&error.to_string()),
    )
}
