//! Accounts over the wire.

use chatproto::wire::{
    AccountReply, Blob, DeviceEntry, DeviceList, Devices, List, NoteRef, PasswordFinish, PasswordStart,
    RegisterFinish, RegisterStart, RequestId, ServerKey,
};

use crate::show::show;
use crate::values::{ALICE, BOB, KEY, TIME, addr, blob, items, name, note};
use crate::{Vector, vector};

show! {
    RegisterStart<'_> { user, mechanism, invite, data }
    RegisterFinish<'_> { data }
    PasswordStart<'_> { request, mechanism, data }
    PasswordFinish<'_> { request, data }
    AccountReply<'_> { request, data }
    ServerKey { fingerprint }
    Devices { request, revoke }
    DeviceEntry { device, first, last, address, ticket, online }
    DeviceList<'_> { request, devices }
}

pub(crate) fn vectors() -> Vec<Vector> {
    let start = RegisterStart {
        user: name("alice"),
        mechanism: note("opaque-ristretto255-argon2id"),
        invite: note("k7fq-2m9d-x4tp-r8wz"),
        data: blob(&[0x5a; 32]),
    };
    let mechanism = note("opaque-ristretto255-argon2id");
    let entry = DeviceEntry {
        device: ALICE,
        first: TIME - 86_400_000,
        last: TIME,
        address: addr("192.0.2.7:49152"),
        ticket: true,
        online: true,
    };
    let other =
        DeviceEntry { device: BOB, address: addr("[2001:db8::17]:1"), ticket: false, online: false, ..entry };
    vec![
        vector("invited", start),
        vector("open to everybody", RegisterStart { invite: NoteRef::EMPTY, data: Blob::default(), ..start }),
        vector("opaque record", RegisterFinish { data: blob(&[0x3c; 199]) }),
        vector(
            "opaque request",
            PasswordStart { request: RequestId(7), mechanism, data: blob(&[0x5a; 128]) },
        ),
        vector("no record", RegisterFinish { data: Blob::default() }),
        vector(
            "no request",
            PasswordStart { request: RequestId(1), mechanism: note("x"), data: Blob::default() },
        ),
        vector("no proof", PasswordFinish { request: RequestId(u32::MAX), data: Blob::default() }),
        vector("all zero", ServerKey { fingerprint: [0; 32] }),
        vector("opaque proof", PasswordFinish { request: RequestId(7), data: blob(&[0x3c; 263]) }),
        vector("for a registration", AccountReply { request: RequestId(0), data: blob(&[0xc5; 70]) }),
        vector("for a password", AccountReply { request: RequestId(7), data: blob(&[0xc5; 396]) }),
        vector("done", AccountReply { request: RequestId(7), data: Blob::default() }),
        vector("typical", ServerKey { fingerprint: KEY.0 }),
        vector("list", Devices { request: RequestId(8), revoke: None }),
        vector("revoke", Devices { request: RequestId(9), revoke: Some(BOB) }),
        vector("two", DeviceList { request: RequestId(8), devices: List::new(items(vec![entry, other])) }),
        vector("none", DeviceList { request: RequestId(8), devices: List::new(&[]) }),
    ]
}
