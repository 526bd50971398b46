//! The opening of a direct link, and chat on it.

use chatproto::wire::{
    Capabilities, Capability, LinkHello, LinkSaid, LinkSay, LinkWelcome, MAGIC, MAX_FRAME, MIN_FRAME,
    NoteRef, OfferId, Purpose, TextRef, VERSION,
};

use crate::show::show;
use crate::values::{ALICE, BOB, TICKET, name, note, repeated, text};
use crate::{Vector, vector};

show! {
    LinkHello<'_> { magic, version_min, version_max, capabilities, max_frame, offer, ticket, user, device, purpose, agent }
    LinkWelcome<'_> { version, capabilities, max_frame, user, device, agent }
    LinkSay<'_> { counter, text }
    LinkSaid { counter }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let hello = LinkHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: Capabilities::NONE.with(Capability::Inline).with(Capability::Resume),
        max_frame: MAX_FRAME,
        offer: OfferId(0x0102_0304_0506_0708),
        ticket: TICKET,
        user: name("alice"),
        device: ALICE,
        purpose: Purpose::Files,
        agent: note("chatclient/0.1.0"),
    };
    let welcome = LinkWelcome {
        version: VERSION,
        capabilities: Capabilities::NONE.with(Capability::Resume),
        max_frame: MAX_FRAME,
        user: name("bob"),
        device: BOB,
        agent: note("chatclient/0.1.0"),
    };
    vec![
        vector("for files", hello),
        vector("for a direct talk", LinkHello { purpose: Purpose::Direct, agent: NoteRef::EMPTY, ..hello }),
        vector(
            "a range of versions",
            LinkHello { version_max: 3, capabilities: Capabilities::NONE, offer: OfferId(u64::MAX), ..hello },
        ),
        vector("typical", welcome),
        vector(
            "smallest",
            LinkWelcome {
                capabilities: Capabilities::NONE,
                max_frame: MIN_FRAME,
                user: name("b"),
                agent: NoteRef::EMPTY,
                ..welcome
            },
        ),
        vector("first", LinkSay { counter: 1, text: text("just us now") }),
        vector(
            "longest text",
            LinkSay { counter: u64::MAX, text: text(repeated("é", TextRef::MAX_LEN / 2)) },
        ),
        vector("first", LinkSaid { counter: 1 }),
        vector("largest", LinkSaid { counter: u64::MAX }),
    ]
}
