//! The hellos and the login exchange.

use chatproto::wire::{
    Blob, Capabilities, Capability, ClientHello, LoginChallenge, LoginOk, LoginResponse, LoginStart, MAGIC,
    MAX_FRAME, MIN_FRAME, NameRef, NoteRef, ServerHello, ServerId, VERSION,
};

use crate::show::show;
use crate::values::{ALICE, BOB, SERVER, addr, blob, items, name, note, repeated};
use crate::{Vector, vector};

show! {
    ClientHello<'_> { magic, version_min, version_max, capabilities, max_frame, agent }
    ServerHello<'_> { version, capabilities, max_frame, server, agent, mechanisms }
    LoginStart<'_> { user, device, mechanism, data }
    LoginChallenge<'_> { data }
    LoginResponse<'_> { data }
    LoginOk<'_> { user, default_room, observed, ticket, ticket_lifetime, data }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let hello = ClientHello {
        magic: MAGIC,
        version_min: VERSION,
        version_max: VERSION,
        capabilities: Capabilities::NONE.with(Capability::Search).with(Capability::Resume),
        max_frame: MAX_FRAME,
        agent: note("chatclient/0.1.0"),
    };
    let welcome = ServerHello {
        version: VERSION,
        capabilities: Capabilities::NONE.with(Capability::Search),
        max_frame: MAX_FRAME,
        server: SERVER,
        agent: note("chatserver/0.1.0"),
        mechanisms: note("opaque-ristretto255-argon2id"),
    };
    let start = LoginStart {
        user: name("alice"),
        device: ALICE,
        mechanism: note("opaque-ristretto255-argon2id"),
        data: blob(&[0x5a; 96]),
    };
    let ok = LoginOk {
        user: name("alice"),
        default_room: name("lobby"),
        observed: addr("192.0.2.7:49152"),
        ticket: blob(b"ticket"),
        ticket_lifetime: 86_400,
        data: Blob::default(),
    };
    let longest = blob(items(vec![0xee; Blob::MAX_LEN]));
    vec![
        vector("typical", hello),
        vector(
            "smallest",
            ClientHello {
                capabilities: Capabilities::NONE,
                max_frame: MIN_FRAME,
                agent: NoteRef::EMPTY,
                ..hello
            },
        ),
        vector("another protocol, refused above the codec", ClientHello { magic: *b"tahc", ..hello }),
        vector(
            "versions and capabilities of the future",
            ClientHello {
                version_max: 255,
                capabilities: Capabilities::from(u64::MAX),
                max_frame: u32::MAX,
                ..hello
            },
        ),
        vector("typical", welcome),
        vector(
            "two mechanisms, nothing in common",
            ServerHello {
                capabilities: Capabilities::NONE,
                max_frame: MIN_FRAME,
                server: ServerId([0xff; 16]),
                mechanisms: note("ticket opaque-ristretto255-argon2id"),
                ..welcome
            },
        ),
        vector("no mechanism", ServerHello { agent: NoteRef::EMPTY, mechanisms: NoteRef::EMPTY, ..welcome }),
        vector("opaque request", start),
        vector(
            "no data",
            LoginStart { user: name("b"), device: BOB, mechanism: note("x"), data: Blob::default() },
        ),
        vector("longest name", LoginStart { user: name(repeated("a", NameRef::MAX_LEN)), ..start }),
        vector("name of several scripts", LoginStart { user: name("Жанна.李_7"), ..start }),
        vector("opaque response", LoginChallenge { data: blob(&[0xc5; 326]) }),
        vector("empty", LoginChallenge { data: Blob::default() }),
        vector("opaque finalization", LoginResponse { data: blob(&[0x3c; 64]) }),
        vector("longest blob", LoginResponse { data: longest }),
        vector("typical, IPv4", ok),
        vector(
            "IPv6, no ticket",
            LoginOk {
                observed: addr("[2001:db8::17]:65535"),
                ticket: Blob::default(),
                ticket_lifetime: 0,
                ..ok
            },
        ),
        vector(
            "last bytes of the mechanism",
            LoginOk { observed: addr("[::1]:0"), data: blob(b"\0\x01\x02"), ..ok },
        ),
    ]
}
